/* The SQLite driver.
 *
 *   statements   open addressing by the address of the text; a slot holds the prepared statement, and its open result
 *
 * Invariants
 *   1 a statement is busy from query to rows_close and is not handed out twice
 *   2 synchronous is changed outside a transaction only (SQLite refuses it inside), and only when the next one needs
 * another 3 no automatic checkpoints: who writes, decides */
#include "db/db_internal.h"
#include "base/fault.h"

#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    MAX_PARAMETERS = 64,
    MAX_STATEMENTS = 1024, /* built texts at ever new addresses must not pile up: idle ones are dropped then */
    BUSY_MS = 5000,
    FRAME_HEAD = 24, /* bytes before each page of the log */
};

typedef struct statement {
    dv_rows rows; /* head */
    const char *sql;
    sqlite3_stmt *stmt;
    int last;                    /* highest $N */
    short index[MAX_PARAMETERS]; /* SQLite's number of $N, 0: not used; SQLite numbers names by first appearance */
    bool busy;
    int rc; /* of the last step */
} statement;

typedef struct sqlite_db {
    dv_db base; /* head */
    sqlite3 *handle;
    statement **slots;
    size_t size, count; /* size is a power of two */
    bool full;          /* synchronous is FULL now */
    int page_size;
} sqlite_db;

static const dv_db_driver driver;

static bool fail(const sqlite_db *db, int rc, const char *what, dv_error *err)
{
    if (!err)
        return false;
    int extended = db->handle ? sqlite3_extended_errcode(db->handle) : rc;
    dv_code code = DV_ERR_DB;
    switch (rc & 0xff) {
    case SQLITE_FULL:
        code = DV_ERR_DISK_FULL;
        break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        code = DV_ERR_LOCKED;
        break;
    case SQLITE_NOMEM:
        code = DV_ERR_MEMORY;
        break;
    case SQLITE_CONSTRAINT:
        if (extended == SQLITE_CONSTRAINT_UNIQUE || extended == SQLITE_CONSTRAINT_PRIMARYKEY)
            code = DV_ERR_EXISTS;
        break;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        if (db->handle && sqlite3_system_errno(db->handle) == ENOSPC)
            code = DV_ERR_DISK_FULL;
        break;
    default:
        break;
    }
    /* the handle's words belong to its last call, which an injected fault never made */
    bool own = db->handle && (sqlite3_errcode(db->handle) & 0xff) == (rc & 0xff);
    return dv_fail(err, code, "the catalog database: %s (%s)", own ? sqlite3_errmsg(db->handle) : sqlite3_errstr(rc),
                   what);
}

/* ---- statements ---- */

static size_t slot_of(const sqlite_db *db, const char *sql)
{
    uint64_t h = (uint64_t)(uintptr_t)sql * 0x9E3779B97F4A7C15u;
    size_t i = (size_t)(h >> 32) & (db->size - 1);
    while (db->slots[i] && db->slots[i]->sql != sql)
        i = (i + 1) & (db->size - 1);
    return i;
}

static void free_statement(statement *s)
{
    sqlite3_finalize(s->stmt);
    free(s);
}

/* Makes room for one more: twice the slots, or all idle statements gone. */
static bool make_room(sqlite_db *db)
{
    if (db->count * 2 < db->size)
        return true;
    bool drop = db->count >= MAX_STATEMENTS;
    size_t size = drop ? db->size : db->size * 2;
    statement **old = db->slots, **slots = calloc(size, sizeof *slots);
    if (!slots)
        return false;
    size_t old_size = db->size;
    db->slots = slots;
    db->size = size;
    db->count = 0;
    for (size_t i = 0; i < old_size; i++) {
        if (!old[i])
            continue;
        if (drop && !old[i]->busy) {
            free_statement(old[i]);
            continue;
        }
        db->slots[slot_of(db, old[i]->sql)] = old[i];
        db->count++;
    }
    free(old);
    return true;
}

static bool number_parameters(statement *s, dv_error *err)
{
    int n = sqlite3_bind_parameter_count(s->stmt);
    for (int i = 1; i <= n; i++) {
        const char *name = sqlite3_bind_parameter_name(s->stmt, i);
        uint64_t number = 0;
        if (!name || name[0] != '$' || !dv_text_uint(dv_text_of(name + 1), &number) || number < 1 ||
            number > MAX_PARAMETERS)
            return dv_fail(err, DV_ERR_INTERNAL, "parameter '%s' is none of $1 to $%d", name ? name : "?",
                           MAX_PARAMETERS);
        s->index[number - 1] = (short)i;
        if ((int)number > s->last)
            s->last = (int)number;
    }
    return true;
}

static statement *prepare(sqlite_db *db, const char *sql, dv_error *err)
{
    statement *s = db->slots[slot_of(db, sql)];
    if (s && strcmp(sqlite3_sql(s->stmt), sql) == 0) {
        if (!s->busy)
            return s;
        dv_fail(err, DV_ERR_INTERNAL, "the result of \"%s\" is still open", sql);
        return NULL;
    }
    if (s && s->busy) {
        dv_fail(err, DV_ERR_INTERNAL, "a result whose text was overwritten is still open; now \"%s\"", sql);
        return NULL;
    }
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
    if (rc != SQLITE_OK || !stmt) {
        fail(db, rc == SQLITE_OK ? SQLITE_MISUSE : rc, sql, err);
        return NULL;
    }
    statement fresh = {.rows = {.db = &db->base}, .sql = sql, .stmt = stmt};
    if (!number_parameters(&fresh, err)) {
        sqlite3_finalize(stmt);
        return NULL;
    }
    if (s) { /* another text at the same address */
        sqlite3_finalize(s->stmt);
        *s = fresh;
        return s;
    }
    s = make_room(db) ? malloc(sizeof *s) : NULL;
    if (!s) {
        sqlite3_finalize(stmt);
        dv_fail(err, DV_ERR_MEMORY, "no memory for a statement");
        return NULL;
    }
    *s = fresh;
    db->slots[slot_of(db, sql)] = s;
    db->count++;
    return s;
}

static int bind_value(sqlite3_stmt *stmt, int at, const dv_value *v, sqlite3_destructor_type keep)
{
    switch (v->type) {
    case 'i':
        return sqlite3_bind_int64(stmt, at, v->i);
    case 'd':
        return sqlite3_bind_double(stmt, at, v->d);
    case 't':
        return v->t.at ? sqlite3_bind_text64(stmt, at, v->t.at, v->t.len, keep, SQLITE_UTF8)
                       : sqlite3_bind_null(stmt, at);
    case 'b':
        return v->t.at ? sqlite3_bind_blob64(stmt, at, v->t.at, v->t.len, keep) : sqlite3_bind_null(stmt, at);
    default:
        return sqlite3_bind_null(stmt, at);
    }
}

static dv_rows *sqlite_query(dv_db *base, const char *sql, const dv_value *values, size_t count, bool keep,
                             dv_error *err)
{
    sqlite_db *db = (sqlite_db *)base;
    statement *s = prepare(db, sql, err);
    if (!s)
        return NULL;
    if (s->last != (int)count) {
        dv_fail(err, DV_ERR_INTERNAL, "%zu parameters given, %d wanted by \"%s\"", count, s->last, sql);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        if (!s->index[i])
            continue; /* a number that the text leaves out */
        int rc = bind_value(s->stmt, s->index[i], &values[i], keep ? SQLITE_TRANSIENT : SQLITE_STATIC);
        if (rc != SQLITE_OK) {
            fail(db, rc, sql, err);
            sqlite3_clear_bindings(s->stmt);
            return NULL;
        }
    }
    s->busy = true;
    s->rc = SQLITE_ROW;
    return &s->rows;
}

static bool sqlite_next(dv_rows *r)
{
    statement *s = (statement *)r;
    if (s->rc != SQLITE_ROW)
        return false;
    s->rc = DV_FAULT(DV_FAULT_SQL) ? SQLITE_IOERR : sqlite3_step(s->stmt);
    return s->rc == SQLITE_ROW;
}

static bool sqlite_rows_close(dv_rows *r, dv_error *err)
{
    statement *s = (statement *)r;
    sqlite_db *db = (sqlite_db *)s->rows.db;
    bool ok = s->rc == SQLITE_ROW || s->rc == SQLITE_DONE;
    if (!ok)
        fail(db, s->rc, s->sql, err);
    else
        db->base.changes = sqlite3_changes64(db->handle);
    sqlite3_reset(s->stmt);
    sqlite3_clear_bindings(s->stmt); /* they may point to what the caller frees */
    s->busy = false;
    return ok;
}

static bool sqlite_is_null(const dv_rows *r, int column)
{
    return sqlite3_column_type(((const statement *)r)->stmt, column) == SQLITE_NULL;
}

static int64_t sqlite_int(const dv_rows *r, int column)
{
    return sqlite3_column_int64(((const statement *)r)->stmt, column);
}

static double sqlite_double(const dv_rows *r, int column)
{
    return sqlite3_column_double(((const statement *)r)->stmt, column);
}

static dv_text sqlite_text(const dv_rows *r, int column)
{
    sqlite3_stmt *stmt = ((const statement *)r)->stmt;
    int type = sqlite3_column_type(stmt, column);
    if (type == SQLITE_NULL)
        return (dv_text){NULL, 0};
    /* a blob of no bytes is given as NULL by SQLite */
    const char *at =
        type == SQLITE_BLOB ? sqlite3_column_blob(stmt, column) : (const char *)sqlite3_column_text(stmt, column);
    return (dv_text){at ? at : "", at ? (size_t)sqlite3_column_bytes(stmt, column) : 0};
}

static int sqlite_columns(const dv_rows *r)
{
    return sqlite3_column_count(((const statement *)r)->stmt);
}

static const char *sqlite_name(const dv_rows *r, int column)
{
    return sqlite3_column_name(((const statement *)r)->stmt, column);
}

/* ---- the connection ---- */

static bool sqlite_script(dv_db *base, const char *sql, dv_error *err)
{
    sqlite_db *db = (sqlite_db *)base;
    int rc = DV_FAULT(DV_FAULT_SQL) ? SQLITE_IOERR : sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    char head[64];
    dv_text_copy(dv_text_of(sql), head, sizeof head);
    return rc == SQLITE_OK || fail(db, rc, head, err);
}

static bool sqlite_has_table(dv_db *base, const char *name, bool *has, dv_error *err)
{
    int64_t n;
    if (!dv_db_int(base, 0, &n, err, "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = $1", "s",
                   name))
        return false;
    *has = n > 0;
    return true;
}

static bool sqlite_begin(dv_db *base, bool full, dv_error *err)
{
    sqlite_db *db = (sqlite_db *)base;
    if (full != db->full) { /* invariant 2 */
        if (!sqlite_script(base, full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", err))
            return false;
        db->full = full;
    }
    return dv_db_exec(base, err, "BEGIN IMMEDIATE", "");
}

static bool sqlite_in_transaction(const dv_db *base)
{
    return !sqlite3_get_autocommit(((const sqlite_db *)base)->handle);
}

static bool sqlite_checkpoint(dv_db *base, int64_t *left, dv_error *err)
{
    sqlite_db *db = (sqlite_db *)base;
    int log = 0, moved = 0;
    int rc = DV_FAULT(DV_FAULT_SQL)
                 ? SQLITE_IOERR
                 : sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_PASSIVE, &log, &moved);
    if (rc != SQLITE_OK)
        return fail(db, rc, "checkpoint", err);
    if (left)
        *left = (int64_t)(log - moved) * (db->page_size + FRAME_HEAD);
    return true;
}

/* Called by SQLite after each commit: how long the log is. Instead of the automatic checkpoint, which is the same hook.
 */
static int committed(void *user, sqlite3 *handle, const char *name, int pages)
{
    (void)handle;
    (void)name;
    sqlite_db *db = user;
    db->base.log_bytes = (int64_t)pages * (db->page_size + FRAME_HEAD);
    return SQLITE_OK;
}

static void sqlite_close(dv_db *base)
{
    sqlite_db *db = (sqlite_db *)base;
    for (size_t i = 0; i < db->size; i++)
        if (db->slots[i])
            free_statement(db->slots[i]);
    free(db->slots);
    sqlite3_close_v2(db->handle);
    free(db);
}

static bool set_up(sqlite_db *db, dv_db_mode mode, dv_error *err)
{
    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_busy_timeout(db->handle, BUSY_MS);
    const char *pragmas =
        mode == DV_DB_READ
            ? "PRAGMA query_only=ON; PRAGMA cache_size=-8192; PRAGMA temp_store=MEMORY;"
            : "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; PRAGMA wal_autocheckpoint=0;"
              "PRAGMA cache_size=-65536; PRAGMA temp_store=MEMORY; PRAGMA journal_size_limit=134217728;";
    int64_t page = 0;
    if (!sqlite_script(&db->base, pragmas, err) || !dv_db_int(&db->base, 4096, &page, err, "PRAGMA page_size", ""))
        return false;
    db->page_size = (int)page;
    if (mode == DV_DB_READ)
        return true;
    sqlite3_wal_hook(db->handle, committed, db);
    dv_rows *r = dv_db_query(&db->base, err, "PRAGMA journal_mode", "");
    bool wal = dv_rows_next(r) && dv_text_is(dv_rows_text(r, 0), "wal");
    return dv_rows_close(r, err) &&
           (wal ||
            dv_fail(err, DV_ERR_DB,
                    "the file system under the catalog database cannot hold a write-ahead log; use a local disk"));
}

dv_db *dv_sqlite_open(const char *path, dv_db_mode mode, dv_error *err)
{
    sqlite_db *db = calloc(1, sizeof *db);
    if (!db || !(db->slots = calloc(64, sizeof *db->slots))) {
        free(db);
        dv_fail(err, DV_ERR_MEMORY, "no memory for a database connection");
        return NULL;
    }
    db->size = 64;
    db->base.driver = &driver;
    snprintf(db->base.engine, sizeof db->base.engine, "sqlite %s", sqlite3_libversion());
    int flags = mode == DV_DB_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    if (mode == DV_DB_CREATE)
        flags |= SQLITE_OPEN_CREATE;
    int rc = sqlite3_open_v2(path, &db->handle, flags | SQLITE_OPEN_NOMUTEX, NULL);
    bool ok = rc == SQLITE_OK || fail(db, rc, path, err);
    if (ok && !set_up(db, mode, err))
        ok = dv_error_context(err, "%s", path);
    if (!ok) {
        sqlite_close(&db->base);
        return NULL;
    }
    return &db->base;
}

static const dv_db_driver driver = {
    .close = sqlite_close,
    .has_table = sqlite_has_table,
    .script = sqlite_script,
    .query = sqlite_query,
    .next = sqlite_next,
    .is_null = sqlite_is_null,
    .get_int = sqlite_int,
    .get_double = sqlite_double,
    .get_text = sqlite_text,
    .columns = sqlite_columns,
    .name = sqlite_name,
    .rows_close = sqlite_rows_close,
    .begin = sqlite_begin,
    .in_transaction = sqlite_in_transaction,
    .checkpoint = sqlite_checkpoint,
};
