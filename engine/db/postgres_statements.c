/* The PostgreSQL driver's statements, results and pipe; postgres.c draws them. */
#include "base/fault.h"
#include "db/postgres_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    MAX_PARAMETERS = 64,
    MAX_STATEMENTS = 512, /* built texts must not pile up at the server: idle ones are dropped then */
    MOST_PIPED = 200,     /* unread answers: neither side may fill the other's buffers */
};

/* Object ids of types (pg_type.dat), which never change. */
enum { TYPE_BYTEA = 17, TYPE_INT8 = 20, TYPE_TEXT = 25, TYPE_FLOAT8 = 701 };

/* ---- results ---- */

static void keep_row(pg_statement *s, PGresult *r)
{
    if (s->held_count == s->held_room) {
        size_t room = s->held_room ? s->held_room * 2 : 64;
        PGresult **more = realloc(s->held, room * sizeof(PGresult *));
        if (!more) {
            s->failed = dv_fail(&s->error, DV_ERR_MEMORY, "no memory for the rows of \"%.64s\"", s->sql) || true;
            PQclear(r);
            return;
        }
        s->held = more;
        s->held_room = room;
    }
    s->held[s->held_count++] = r;
}

/* The next row off the wire; NULL at the end or on failure, which S then says. */
static PGresult *from_wire(pg_db *db, pg_statement *s)
{
    PGresult *row = NULL, *r;
    while (!row && (r = PQgetResult(db->conn))) {
        ExecStatusType status = PQresultStatus(r);
        if (status == PGRES_SINGLE_TUPLE) {
            row = r;
            continue;
        }
        if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
            const char *n = PQcmdTuples(r);
            db->base.changes = *n ? strtoll(n, NULL, 10) : 0;
            if (status == PGRES_TUPLES_OK)
                s->columns = PQnfields(r);
        } else if (!s->failed) {
            dv_pg_fail(db, r, s->sql, &s->error);
            s->failed = true;
        }
        PQclear(r);
    }
    if (!row) {
        if (!s->failed && dv_pg_lost(db)) {
            dv_pg_fail(db, NULL, s->sql, &s->error);
            s->failed = true;
        }
        db->streaming = NULL;
    }
    return row;
}

/* The wire is free afterwards. */
void dv_pg_absorb(pg_db *db)
{
    pg_statement *s = db->streaming;
    for (PGresult *r; s && db->streaming == s && (r = from_wire(db, s));)
        keep_row(s, r);
}

static void undecoded(pg_statement *s)
{
    for (int i = 0; s->blob_len && i < s->columns; i++)
        s->blob_len[i] = -1;
}

static PGresult *take(pg_db *db, pg_statement *s)
{
    if (s->held_at < s->held_count)
        return s->held[s->held_at++];
    return db->streaming == s ? from_wire(db, s) : NULL;
}

bool dv_pg_next(dv_rows *r)
{
    pg_statement *s = (pg_statement *)r;
    if (s->first) {
        s->first = false;
        return true;
    }
    if (s->done)
        return false;
    undecoded(s);
    if (s->now && s->row + 1 < PQntuples(s->now)) {
        s->row++;
        return true;
    }
    PQclear(s->now);
    s->now = take((pg_db *)s->rows.db, s);
    s->row = 0;
    s->done = !s->now;
    return !s->done;
}

bool dv_pg_rows_close(dv_rows *r, dv_error *err)
{
    pg_statement *s = (pg_statement *)r;
    pg_db *db = (pg_db *)s->rows.db;
    PQclear(s->now);
    s->now = NULL;
    for (PGresult *row; (row = take(db, s));)
        PQclear(row);
    free(s->held);
    free(s->blob_len);
    s->held = NULL;
    s->blob_len = NULL;
    s->held_count = s->held_at = s->held_room = 0;
    s->busy = s->first = false;
    if (s->failed && err)
        *err = s->error;
    return !s->failed;
}

bool dv_pg_is_null(const dv_rows *r, int column)
{
    const pg_statement *s = (const pg_statement *)r;
    return !s->now || PQgetisnull(s->now, s->row, column);
}

int64_t dv_pg_int(const dv_rows *r, int column)
{
    const pg_statement *s = (const pg_statement *)r;
    const char *t = s->now ? PQgetvalue(s->now, s->row, column) : "";
    return *t == 't' ? 1 : strtoll(t, NULL, 10); /* "t" and "f" are booleans */
}

double dv_pg_double(const dv_rows *r, int column)
{
    const pg_statement *s = (const pg_statement *)r;
    return s->now ? strtod(PQgetvalue(s->now, s->row, column), NULL) : 0;
}

static int hex(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

dv_text dv_pg_text(const dv_rows *r, int column)
{
    const pg_statement *s = (const pg_statement *)r;
    if (dv_pg_is_null(r, column))
        return (dv_text){NULL, 0};
    char *at = PQgetvalue(s->now, s->row, column);
    size_t len = (size_t)PQgetlength(s->now, s->row, column);
    if (PQftype(s->now, column) != TYPE_BYTEA || len < 2)
        return (dv_text){at, len};
    if (s->blob_len[column] < 0) { /* "\x0aff" as it comes, over itself; once */
        size_t n = (len - 2) / 2;
        for (size_t i = 0; i < n; i++)
            at[i] = (char)(hex(at[2 + 2 * i]) << 4 | hex(at[3 + 2 * i]));
        s->blob_len[column] = (int)n;
    }
    return (dv_text){at, (size_t)s->blob_len[column]};
}

int dv_pg_columns(const dv_rows *r)
{
    return ((const pg_statement *)r)->columns;
}

const char *dv_pg_name(const dv_rows *r, int column)
{
    const pg_statement *s = (const pg_statement *)r;
    const char *name = s->now ? PQfname(s->now, column) : NULL;
    return name ? name : "";
}

/* ---- the pipe ---- */

/* After the answers of a pipe: what was prepared in one that failed may be there or not; it gets a new number. */
static void prove(pg_db *db, bool ok)
{
    if (!db->unproven)
        return;
    for (pg_statement *s = db->statements; s; s = s->hh.next) {
        if (s->unproven && !ok) {
            s->number = ++db->numbers;
            s->epoch = 0;
        }
        s->unproven = false;
    }
    db->unproven = false;
}

/* Reads the answers that are due, the last one into S when there is one. False: the first failure, in ERR. */
bool dv_pg_pipe_finish(pg_db *db, pg_statement *s, dv_error *err)
{
    if (!db->piping)
        return true;
    bool ok = PQpipelineSync(db->conn) || dv_pg_fail(db, NULL, "sync", err), synced = false;
    for (int due = db->piped + (s ? 1 : 0); ok && !synced && !dv_pg_lost(db);) {
        PGresult *r = PQgetResult(db->conn);
        ExecStatusType status = PQresultStatus(r);
        bool wanted = due == 1 && s;
        if (!r) {
            due--; /* the end of one statement's answers */
            continue;
        }
        synced = status == PGRES_PIPELINE_SYNC;
        if (wanted && status == PGRES_TUPLES_OK) {
            s->columns = PQnfields(r);
            s->now = r;
        }
        if (wanted && (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)) {
            const char *n = PQcmdTuples(r);
            db->base.changes = *n ? strtoll(n, NULL, 10) : 0;
        }
        if (status == PGRES_FATAL_ERROR && ok) {
            ok = dv_pg_fail(db, r, s ? s->sql : "what was posted", err);
            PQclear(r);
            while (!dv_pg_lost(db) && !synced) { /* what follows was not run */
                r = PQgetResult(db->conn);
                synced = PQresultStatus(r) == PGRES_PIPELINE_SYNC;
                PQclear(r);
            }
            break;
        }
        if (!s || r != s->now)
            PQclear(r);
    }
    if (ok && !synced)
        ok = dv_pg_fail(db, NULL, s ? s->sql : "what was posted", err);
    PQexitPipelineMode(db->conn);
    db->piping = false;
    db->piped = 0;
    prove(db, ok);
    return ok;
}

/* Sends what is pending, statement by statement. */
bool dv_pg_pipe_pending(pg_db *db, dv_error *err)
{
    char *sql = db->pending;
    dv_pg_absorb(db);
    if (!db->piping && !PQenterPipelineMode(db->conn))
        return dv_pg_fail(db, NULL, "pipeline", err);
    db->piping = true;
    db->base.began = db->base.began || sql[0] == 'B';
    for (char *end; *sql; sql = end) {
        end = strstr(sql, "; ");
        if (end)
            *end = '\0';
        if (!PQsendQueryParams(db->conn, sql, 0, NULL, NULL, NULL, NULL, 0))
            return dv_pg_fail(db, NULL, sql, err);
        db->piped++;
        end = end ? end + 2 : sql + strlen(sql);
    }
    db->pending[0] = '\0';
    return true;
}

/* ---- statements ---- */

void dv_pg_forget(pg_db *db, pg_statement *s)
{
    HASH_DEL(db->statements, s);
    free(s->sql);
    free(s);
}

/* Idle statements go, here and at the server. */
static void drop_idle(pg_db *db)
{
    pg_statement *s, *next;
    char sql[48];
    HASH_ITER(hh, db->statements, s, next)
    {
        if (s->busy)
            continue;
        if (s->epoch == db->epoch && PQtransactionStatus(db->conn) != PQTRANS_INERROR) {
            snprintf(sql, sizeof sql, "DEALLOCATE s%u", s->number);
            dv_pg_exec_text(db, sql, NULL);
        }
        dv_pg_forget(db, s);
    }
}

/* The highest $N outside quotes. */
static int count_parameters(const char *sql)
{
    int last = 0;
    bool quoted = false;
    for (const char *c = sql; *c; c++) {
        if (*c == '\'')
            quoted = !quoted;
        int n = 0;
        if (*c == '$' && !quoted)
            for (; c[1] >= '0' && c[1] <= '9' && n < MAX_PARAMETERS; c++)
                n = n * 10 + (c[1] - '0');
        if (n > last)
            last = n;
    }
    return last;
}

static pg_statement *find(pg_db *db, const char *sql, dv_error *err)
{
    pg_statement *s = NULL;
    HASH_FIND_STR(db->statements, sql, s);
    if (s && s->busy) {
        dv_fail(err, DV_ERR_INTERNAL, "the result of \"%s\" is still open", sql);
        return NULL;
    }
    if (s)
        return s;
    if (HASH_COUNT(db->statements) >= MAX_STATEMENTS)
        drop_idle(db);
    s = calloc(1, sizeof *s);
    if (!s || !(s->sql = strdup(sql))) {
        free(s);
        dv_fail(err, DV_ERR_MEMORY, "no memory for a statement");
        return NULL;
    }
    s->rows.db = &db->base;
    s->number = ++db->numbers;
    s->last = count_parameters(sql);
    HASH_ADD_KEYPTR(hh, db->statements, s->sql, strlen(s->sql), s);
    return s;
}

/* With the pipe it is only sent. */
static bool prepare(pg_db *db, pg_statement *s, const dv_value *values, size_t count, dv_error *err)
{
    Oid types[MAX_PARAMETERS] = {0};
    char name[24];
    for (size_t i = 0; i < count; i++)
        types[i] = values[i].type == 'i'   ? TYPE_INT8
                   : values[i].type == 'd' ? TYPE_FLOAT8
                   : values[i].type == 't' ? TYPE_TEXT
                   : values[i].type == 'b' ? TYPE_BYTEA
                                           : 0;
    snprintf(name, sizeof name, "s%u", s->number);
    if (db->piping) {
        if (!PQsendPrepare(db->conn, name, s->sql, (int)count, types))
            return dv_pg_fail(db, NULL, s->sql, err);
        db->piped++;
        s->epoch = db->epoch;
        s->unproven = db->unproven = true;
        return true;
    }
    PGresult *r = PQprepare(db->conn, name, s->sql, (int)count, types);
    bool ok = PQresultStatus(r) == PGRES_COMMAND_OK || dv_pg_fail(db, r, s->sql, err);
    PQclear(r);
    s->epoch = ok ? db->epoch : 0;
    return ok;
}

/* How many bytes of the UTF-8 character at T[I] there are; 0: none that PostgreSQL takes. */
static size_t utf8_at(dv_text t, size_t i)
{
    const unsigned char *c = (const unsigned char *)t.at + i;
    size_t left = t.len - i, n = c[0] < 0x80   ? 1
                                 : c[0] < 0xC2 ? 0
                                 : c[0] < 0xE0 ? 2
                                 : c[0] < 0xF0 ? 3
                                 : c[0] < 0xF5 ? 4
                                               : 0;
    if (c[0] == 0 || n == 0 || n > left)
        return 0;
    for (size_t k = 1; k < n; k++)
        if ((c[k] & 0xC0) != 0x80)
            return 0;
    if ((c[0] == 0xE0 && c[1] < 0xA0) || (c[0] == 0xED && c[1] > 0x9F) || (c[0] == 0xF0 && c[1] < 0x90) ||
        (c[0] == 0xF4 && c[1] > 0x8F))
        return 0;
    return n;
}

static dv_text clean(pg_db *db, dv_text t)
{
    size_t bad = 0, n;
    for (size_t i = 0; i < t.len; i += n ? n : 1)
        bad += !(n = utf8_at(t, i));
    if (!bad)
        return t;
    char *out = dv_arena_alloc(&db->scratch, t.len + 2 * bad);
    size_t len = 0;
    for (size_t i = 0; out && i < t.len; i += n ? n : 1) {
        n = utf8_at(t, i);
        memcpy(out + len, n ? t.at + i : "\xEF\xBF\xBD", n ? n : 3);
        len += n ? n : 3;
    }
    return (dv_text){out, len};
}

static void big_endian(uint64_t n, char out[8])
{
    for (int i = 0; i < 8; i++)
        out[i] = (char)(n >> (56 - 8 * i));
}

static bool send_values(pg_db *db, const pg_statement *s, const dv_value *values, size_t count, dv_error *err)
{
    const char *at[MAX_PARAMETERS];
    int lengths[MAX_PARAMETERS], formats[MAX_PARAMETERS];
    char numbers[MAX_PARAMETERS][8], name[24];
    dv_arena_reset(&db->scratch);
    for (size_t i = 0; i < count; i++) {
        const dv_value *v = &values[i];
        uint64_t bits = (uint64_t)v->i;
        formats[i] = 1;
        at[i] = NULL;
        lengths[i] = 0;
        if (v->type == 'd')
            memcpy(&bits, &v->d, sizeof bits);
        if (v->type == 'i' || v->type == 'd') {
            big_endian(bits, numbers[i]);
            at[i] = numbers[i];
            lengths[i] = 8;
        } else if ((v->type == 't' || v->type == 'b') && v->t.at) {
            dv_text t = v->type == 't' ? clean(db, v->t) : v->t;
            if (!t.at || t.len > INT32_MAX / 2)
                return dv_fail(err, t.at ? DV_ERR_LIMIT : DV_ERR_MEMORY,
                               "a value of %zu bytes does not go into the catalog", v->t.len);
            at[i] = t.at;
            lengths[i] = (int)t.len;
        }
        db->base.log_bytes += 16 + lengths[i];
    }
    snprintf(name, sizeof name, "s%u", s->number);
    return (PQsendQueryPrepared(db->conn, name, (int)count, at, lengths, formats, 0) &&
            (db->piping || PQsetSingleRowMode(db->conn))) ||
           dv_pg_fail(db, NULL, s->sql, err);
}

static bool start(pg_db *db, pg_statement *s, const dv_value *values, size_t count, dv_error *err)
{
    if (s->last != (int)count)
        return dv_fail(err, DV_ERR_INTERNAL, "%zu parameters given, %d wanted by \"%s\"", count, s->last, s->sql);
    if (DV_FAULT(DV_FAULT_SQL))
        return dv_fail(err, DV_ERR_DB, "the catalog database: failed on purpose (%s)", s->sql);
    if (dv_pg_lost(db) && db->base.began)
        return dv_pg_fail(db, NULL, s->sql, err); /* invariant 1 */
    if (dv_pg_in_transaction(&db->base) ? !dv_pg_pipe_pending(db, err) : !dv_pg_connected(db, err))
        return false;
    dv_pg_absorb(db);
    return (s->epoch == db->epoch || prepare(db, s, values, count, err)) && send_values(db, s, values, count, err);
}

/* An empty result that is open, for what has none. */
static dv_rows *nothing(pg_db *db, const char *sql, dv_error *err)
{
    pg_statement *s = find(db, sql, err);
    if (!s)
        return NULL;
    s->busy = s->done = true;
    s->failed = s->first = false;
    s->columns = 0;
    return &s->rows;
}

static dv_rows *query_once(pg_db *db, const char *sql, const dv_value *values, size_t count, dv_error *err)
{
    bool mine = false;
    if (!dv_pg_control(db, sql, &mine, err))
        return NULL;
    if (mine)
        return nothing(db, sql, err);
    pg_statement *s = find(db, sql, err);
    if (!s || !start(db, s, values, count, err))
        return NULL;
    s->busy = true;
    s->failed = false;
    s->columns = 0;
    s->row = 0;
    s->now = NULL;
    if (!db->piping) {
        db->streaming = s;
        s->now = from_wire(db, s);
    } else if (!dv_pg_pipe_finish(db, s, &s->error)) {
        s->failed = true;
    } else if (s->now && PQntuples(s->now) == 0) {
        PQclear(s->now);
        s->now = NULL;
    }
    s->done = !s->now;
    s->first = !s->done;
    if (s->now) {
        s->columns = PQnfields(s->now);
        s->blob_len = malloc(sizeof(int) * (size_t)(s->columns + 1));
        for (int i = 0; s->blob_len && i < s->columns; i++)
            s->blob_len[i] = -1;
        if (!s->blob_len)
            s->failed = dv_fail(&s->error, DV_ERR_MEMORY, "no memory for a row") || true;
    }
    if (!s->failed)
        return &s->rows;
    dv_pg_rows_close(&s->rows, err);
    return NULL;
}

/* What only reads may be asked again of a new connection, when the old one was found lost by asking. */
dv_rows *dv_pg_query(dv_db *base, const char *sql, const dv_value *values, size_t count, bool keep, dv_error *err)
{
    (void)keep; /* libpq copies what it sends */
    pg_db *db = (pg_db *)base;
    bool alone = !dv_pg_in_transaction(base) && !db->base.began && strncmp(sql, "SELECT", 6) == 0;
    dv_rows *r = query_once(db, sql, values, count, err);
    return r || !alone || !dv_pg_lost(db) || !dv_pg_connected(db, err) ? r : query_once(db, sql, values, count, err);
}

bool dv_pg_post(dv_db *base, const char *sql, const dv_value *values, size_t count, dv_error *err)
{
    pg_db *db = (pg_db *)base;
    if (db->piped >= MOST_PIPED && !dv_pg_pipe_finish(db, NULL, err))
        return false;
    pg_statement *s = find(db, sql, err);
    if (!s || !start(db, s, values, count, err))
        return false;
    db->piped++;
    return true;
}
