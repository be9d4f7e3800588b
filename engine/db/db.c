#include "db/db_internal.h"

#include <stdarg.h>
#include <stdlib.h>

enum { MAX_VALUES = 64 }; /* parameters of one statement; the widest insert has 26 */

bool dv_db_is_postgres(const char *dsn)
{
    dv_text t = dv_text_of(dsn);
    return dv_text_starts(t, DV_TEXT("postgres://")) || dv_text_starts(t, DV_TEXT("postgresql://")) ||
           dv_text_starts(t, DV_TEXT("host="));
}

void dv_db_show_dsn(const char *dsn, char *buf, size_t size)
{
    char *shown = dv_db_is_postgres(dsn) ? dv_postgres_shown(dsn, NULL) : NULL;
    dv_text_copy(dv_text_of(shown ? shown : dv_db_is_postgres(dsn) ? "postgresql" : dsn), buf, size);
    free(shown);
}

dv_db *dv_db_open(const char *dsn, dv_db_mode mode, dv_error *err)
{
    dv_text t = dv_text_of(dsn);
    if (t.len == 0) {
        dv_fail(err, DV_ERR_CONFIG, "the database has no name; give a file path");
        return NULL;
    }
    if (dv_db_is_postgres(dsn))
        return dv_postgres_open(dsn, mode, err);
    return dv_sqlite_open(dsn, mode, err);
}

void dv_db_close(dv_db *db)
{
    if (db)
        db->driver->close(db);
}

const char *dv_db_engine(const dv_db *db)
{
    return db->engine;
}

/* The arguments of a call as values; false when TYPES has a letter that is none or too many. */
static bool gather(dv_value *v, size_t *count, const char *types, va_list args, dv_error *err)
{
    size_t n = 0;
    for (const char *t = types ? types : ""; *t; t++, n++) {
        if (n == MAX_VALUES)
            return dv_fail(err, DV_ERR_INTERNAL, "a statement takes at most %d parameters", MAX_VALUES);
        v[n] = (dv_value){.type = *t};
        switch (*t) {
        case 'i':
            v[n].i = va_arg(args, int64_t);
            break;
        case 'd':
            v[n].d = va_arg(args, double);
            break;
        case 's':
            v[n].type = 't';
            v[n].t = dv_text_of(va_arg(args, const char *));
            break;
        case 't':
        case 'b':
            v[n].t = va_arg(args, dv_text);
            break;
        case 'n':
            break;
        default:
            return dv_fail(err, DV_ERR_INTERNAL, "'%c' in \"%s\" is no type of parameter (i d s t b n)", *t, types);
        }
    }
    *count = n;
    return true;
}

static bool run(dv_db *db, const char *sql, const dv_value *v, size_t count, dv_error *err)
{
    dv_rows *r = db->driver->query(db, sql, v, count, false, err);
    if (!r)
        return false;
    while (db->driver->next(r))
        ;
    return db->driver->rows_close(r, err);
}

bool dv_db_exec(dv_db *db, dv_error *err, const char *sql, const char *types, ...)
{
    dv_value v[MAX_VALUES];
    size_t count;
    va_list args;
    va_start(args, types);
    bool ok = gather(v, &count, types, args, err);
    va_end(args);
    return ok && run(db, sql, v, count, err);
}

bool dv_db_post(dv_db *db, dv_error *err, const char *sql, const char *types, ...)
{
    dv_value v[MAX_VALUES];
    size_t count;
    va_list args;
    va_start(args, types);
    bool ok = gather(v, &count, types, args, err);
    va_end(args);
    bool later = db->driver->post && db->driver->in_transaction(db);
    return ok && (later ? db->driver->post(db, sql, v, count, err) : run(db, sql, v, count, err));
}

bool dv_db_exec_values(dv_db *db, dv_error *err, const char *sql, const dv_value *values, size_t count)
{
    return run(db, sql, values, count, err);
}

bool dv_db_script(dv_db *db, const char *sql, dv_error *err)
{
    return db->driver->script(db, sql, err);
}

dv_rows *dv_db_query(dv_db *db, dv_error *err, const char *sql, const char *types, ...)
{
    dv_value v[MAX_VALUES];
    size_t count;
    va_list args;
    va_start(args, types);
    bool ok = gather(v, &count, types, args, err);
    va_end(args);
    return ok ? db->driver->query(db, sql, v, count, true, err) : NULL;
}

dv_rows *dv_db_query_values(dv_db *db, dv_error *err, const char *sql, const dv_value *values, size_t count)
{
    return db->driver->query(db, sql, values, count, true, err);
}

bool dv_db_int(dv_db *db, int64_t absent, int64_t *out, dv_error *err, const char *sql, const char *types, ...)
{
    dv_value v[MAX_VALUES];
    size_t count;
    va_list args;
    va_start(args, types);
    bool ok = gather(v, &count, types, args, err);
    va_end(args);
    dv_rows *r = ok ? db->driver->query(db, sql, v, count, false, err) : NULL;
    if (!r)
        return false;
    int64_t value = absent;
    if (db->driver->next(r) && !db->driver->is_null(r, 0))
        value = db->driver->get_int(r, 0);
    if (!db->driver->rows_close(r, err))
        return false;
    *out = value;
    return true;
}

bool dv_db_has_table(dv_db *db, const char *name, bool *has, dv_error *err)
{
    return db->driver->has_table(db, name, has, err);
}

bool dv_rows_next(dv_rows *r)
{
    return r && r->db->driver->next(r);
}

int64_t dv_rows_int(const dv_rows *r, int column)
{
    return r->db->driver->get_int(r, column);
}

double dv_rows_double(const dv_rows *r, int column)
{
    return r->db->driver->get_double(r, column);
}

bool dv_rows_is_null(const dv_rows *r, int column)
{
    return r->db->driver->is_null(r, column);
}

dv_text dv_rows_text(const dv_rows *r, int column)
{
    return r->db->driver->get_text(r, column);
}

int dv_rows_columns(const dv_rows *r)
{
    return r->db->driver->columns(r);
}

const char *dv_rows_name(const dv_rows *r, int column)
{
    return r->db->driver->name(r, column);
}

bool dv_rows_close(dv_rows *r, dv_error *err)
{
    return r && r->db->driver->rows_close(r, err);
}

int64_t dv_db_changes(const dv_db *db)
{
    return db->changes;
}

int64_t dv_db_log_bytes(const dv_db *db)
{
    return db->log_bytes;
}

bool dv_db_begin(dv_db *db, bool full, dv_error *err)
{
    return db->driver->begin(db, full, err);
}

bool dv_db_lock(dv_db *db, dv_error *err)
{
    return !db->driver->lock || db->driver->lock(db, err);
}

int64_t dv_db_reconnects(const dv_db *db)
{
    return db->reconnects;
}

bool dv_db_in_transaction(const dv_db *db)
{
    return db->driver->in_transaction(db);
}

bool dv_db_commit(dv_db *db, dv_error *err)
{
    if (run(db, "COMMIT", NULL, 0, err))
        return true;
    dv_db_rollback(db);
    return false;
}

void dv_db_rollback(dv_db *db)
{
    if (db->driver->in_transaction(db))
        run(db, "ROLLBACK", NULL, 0, NULL);
    db->began = false;
}

bool dv_db_savepoint(dv_db *db, dv_error *err)
{
    return run(db, "SAVEPOINT member", NULL, 0, err);
}

bool dv_db_release(dv_db *db, dv_error *err)
{
    return run(db, "RELEASE SAVEPOINT member", NULL, 0, err);
}

bool dv_db_rollback_to(dv_db *db)
{
    return db->driver->in_transaction(db) && run(db, "ROLLBACK TO SAVEPOINT member", NULL, 0, NULL) &&
           run(db, "RELEASE SAVEPOINT member", NULL, 0, NULL);
}

bool dv_db_checkpoint(dv_db *db, int64_t *left, dv_error *err)
{
    return db->driver->checkpoint(db, left, err);
}
