/* The PostgreSQL driver.
 *
 *   statement   found by its words; prepared under a number of its own once a connection; busy while its result is open
 *   result      rows come one at a time (single-row mode). When another statement is run meanwhile, the rest is taken into memory first,
 *               because a connection does one thing at a time.
 *   pending     BEGIN, SAVEPOINT and RELEASE go out with the next statement
 *   pipe        inside a transaction: what is pending or posted, and the statement whose answer is wanted, go out at once; then all answers
 *               are read. An instance's row costs four round trips so, not twelve.
 *
 * Values go in binary and come as text, but for bytea, which is decoded in place. Text that PostgreSQL cannot hold (NUL, no UTF-8) gets
 * U+FFFD for each such byte.
 *
 * Invariants
 *   1 a connection that is lost inside a transaction fails what is left of it; the next one begins on a new connection
 *   2 a statement is prepared on the connection of its `epoch` only
 *   3 no message holds the password, or words of a DSN that could not be read */
#include "db/db_internal.h"
#include "base/clock.h"
#include "base/fault.h"
#include "db/script.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

enum {
    MAX_PARAMETERS = 64,
    MAX_STATEMENTS = 512, /* built texts must not pile up at the server: idle ones are dropped then */
    PENDING = 512,
    OLDEST = 120000,
    MOST_PIPED = 200, /* unread answers: neither side may fill the other's buffers */
    AGAIN_MS = 300,   /* between two tries to connect: an engine full of senders does not storm a server that starts */
};

/* Object ids of types (pg_type.dat), which never change. */
enum { TYPE_BYTEA = 17, TYPE_INT8 = 20, TYPE_TEXT = 25, TYPE_FLOAT8 = 701 };

typedef struct statement {
    dv_rows rows; /* head */
    char *sql;
    UT_hash_handle hh;
    unsigned number, epoch; /* epoch 0: not prepared yet */
    int last;               /* highest $N */
    bool busy;
    bool unproven; /* prepared in a pipe; whether it was is not known yet */
    /* the open result */
    bool done, failed;
    dv_error error;
    PGresult *now; /* the row that is shown, or the one that waits to be */
    bool first;    /* it waits */
    int row;       /* of it */
    PGresult **held;
    size_t held_count, held_at, held_room;
    int *blob_len; /* by column; -1: not decoded */
    int columns;
} statement;

typedef struct pg_db {
    dv_db base; /* head */
    PGconn *conn;
    char *where; /* the DSN as it may be shown */
    dv_db_mode mode;
    statement *statements;
    statement *streaming; /* whose rows still come over the wire */
    unsigned numbers, epoch;
    int64_t again_ms; /* not to be tried before */
    char pending[PENDING];
    bool unproven; /* some statement is */
    bool piping;   /* in pipeline mode, with so many answers to come before the next statement's */
    int piped;
    dv_arena scratch; /* values of the statement that is sent */
} pg_db;

static const dv_db_driver driver;

/* ---- errors ---- */

static dv_code code_of(const char *state)
{
    static const struct {
        const char *state;
        dv_code code;
    } map[] = {{"23505", DV_ERR_EXISTS}, {"53100", DV_ERR_DISK_FULL}, {"53200", DV_ERR_MEMORY},
               {"55P03", DV_ERR_LOCKED}, {"40P01", DV_ERR_LOCKED},    {"40001", DV_ERR_LOCKED}};
    for (size_t i = 0; state && i < sizeof map / sizeof *map; i++)
        if (strcmp(map[i].state, state) == 0)
            return map[i].code;
    return DV_ERR_DB;
}

static bool is_lost(const pg_db *db)
{
    return PQstatus(db->conn) != CONNECTION_OK;
}

/* R, or without one the connection, says what is wrong. */
static bool fail(const pg_db *db, const PGresult *r, const char *what, dv_error *err)
{
    const char *words = r ? PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    const char *state = r ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
    if (is_lost(db))
        return dv_fail(err, DV_ERR_DB, "the catalog database %s is lost: %s", db->where,
                       words ? words : PQerrorMessage(db->conn));
    if (!words)
        words = r && PQresultErrorMessage(r)[0] ? PQresultErrorMessage(r) : PQerrorMessage(db->conn);
    return dv_fail(err, code_of(state), "the catalog database: %s (%s)", words, what);
}

static void quiet(void *user, const char *message)
{
    (void)user;
    (void)
        message; /* "there is already a transaction", "identifier will be truncated": what matters comes as an error */
}

/* ---- the connection ---- */

char *dv_postgres_shown(const char *dsn, dv_error *err)
{
    char *words = NULL, buf[512] = "postgresql://";
    PQconninfoOption *options = PQconninfoParse(dsn, &words);
    PQfreemem(words);
    if (!options) {
        dv_fail(err, DV_ERR_CONFIG,
                "the catalog's PostgreSQL address cannot be understood; write "
                "postgresql://USER:PASSWORD@HOST:PORT/DATABASE (signs like @ / : %% in the"
                " password as %%40 %%2F %%3A %%25), or host=... dbname=...");
        return NULL;
    }
    const char *part[4] = {"", "", "", ""};
    static const char *const names[4] = {"user", "host", "port", "dbname"};
    for (const PQconninfoOption *o = options; o->keyword; o++)
        for (int i = 0; i < 4; i++)
            if (o->val && strcmp(o->keyword, names[i]) == 0)
                part[i] = o->val;
    snprintf(buf, sizeof buf, "postgresql://%s%s%s%s%s/%s", part[0], part[0][0] ? "@" : "", part[1],
             part[2][0] ? ":" : "", part[2], part[3]);
    PQconninfoFree(options);
    char *shown = strdup(buf);
    if (!shown)
        dv_fail(err, DV_ERR_MEMORY, "no memory for a database connection");
    return shown;
}

static bool set_up(pg_db *db, dv_error *err)
{
    char sql[400];
    if (is_lost(db))
        return dv_fail(err, DV_ERR_DB, "the catalog database %s cannot be reached: %s", db->where,
                       PQerrorMessage(db->conn));
    if (PQserverVersion(db->conn) < OLDEST)
        return dv_fail(err, DV_ERR_CONFIG, "the catalog database %s is PostgreSQL %d; version %d or newer is needed",
                       db->where, PQserverVersion(db->conn) / 10000, OLDEST / 10000);
    const char *encoding = PQparameterStatus(db->conn, "server_encoding");
    if (!encoding || strcmp(encoding, "UTF8") != 0)
        return dv_fail(err, DV_ERR_CONFIG, "the catalog database %s holds text as %s; make one with ENCODING 'UTF8'",
                       db->where, encoding ? encoding : "unknown");
    snprintf(
        sql, sizeof sql,
        "SET synchronous_commit TO off; SET bytea_output TO hex; SET standard_conforming_strings TO on; SET jit TO off;"
        " SET lock_timeout TO 5000; SET client_min_messages TO error; SET default_transaction_read_only TO %s%s",
        db->mode == DV_DB_READ ? "on" : "off",
        /* the writer's statements all go by an index; plans made while tables were small must do so too. Pages of a search take an index in
         * its order, whatever the statistics say. */
        db->mode == DV_DB_READ ? "; SET enable_bitmapscan TO off"
                               : "; SET enable_seqscan TO off; SET plan_cache_mode TO force_generic_plan");
    PGresult *r = PQexec(db->conn, sql);
    bool ok = PQresultStatus(r) == PGRES_COMMAND_OK || fail(db, r, "settings of the connection", err);
    PQclear(r);
    db->epoch++;
    db->pending[0] = '\0';
    db->piping = false;
    db->piped = 0;
    snprintf(db->base.engine, sizeof db->base.engine, "postgresql %.40s",
             PQparameterStatus(db->conn, "server_version"));
    return ok;
}

/* Before a transaction or a statement outside one: has the server gone away meanwhile? Then once more from the start. */
static bool connected(pg_db *db, dv_error *err)
{
    struct pollfd p = {.fd = PQsocket(db->conn), .events = POLLIN};
    for (int i = 0; i < 4 && !is_lost(db) && !db->streaming && poll(&p, 1, 0) != 0; i++)
        PQconsumeInput(db->conn); /* a farewell, then the end */
    if (!is_lost(db))
        return true;
    if (dv_mono_ms() < db->again_ms)
        return dv_fail(err, DV_ERR_DB, "the catalog database %s is lost; it is tried again in a moment", db->where);
    db->again_ms = dv_mono_ms() + AGAIN_MS;
    PQreset(db->conn);
    if (!set_up(db, err))
        return false;
    db->again_ms = 0;
    db->base.reconnects++;
    return true;
}

static bool pg_in_transaction(const dv_db *base)
{
    const pg_db *db = (const pg_db *)base;
    if (db->pending[0] == 'B')
        return true;
    PGTransactionStatusType t = PQtransactionStatus(db->conn);
    return t == PQTRANS_INTRANS || t == PQTRANS_INERROR || (t == PQTRANS_ACTIVE && db->base.began);
}

/* ---- results ---- */

static void keep_row(statement *s, PGresult *r)
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
static PGresult *from_wire(pg_db *db, statement *s)
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
            fail(db, r, s->sql, &s->error);
            s->failed = true;
        }
        PQclear(r);
    }
    if (!row) {
        if (!s->failed && is_lost(db)) {
            fail(db, NULL, s->sql, &s->error);
            s->failed = true;
        }
        db->streaming = NULL;
    }
    return row;
}

/* The wire is free afterwards. */
static void absorb(pg_db *db)
{
    statement *s = db->streaming;
    for (PGresult *r; s && db->streaming == s && (r = from_wire(db, s));)
        keep_row(s, r);
}

static void undecoded(statement *s)
{
    for (int i = 0; s->blob_len && i < s->columns; i++)
        s->blob_len[i] = -1;
}

static PGresult *take(pg_db *db, statement *s)
{
    if (s->held_at < s->held_count)
        return s->held[s->held_at++];
    return db->streaming == s ? from_wire(db, s) : NULL;
}

static bool pg_next(dv_rows *r)
{
    statement *s = (statement *)r;
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

static bool pg_rows_close(dv_rows *r, dv_error *err)
{
    statement *s = (statement *)r;
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

static bool pg_is_null(const dv_rows *r, int column)
{
    const statement *s = (const statement *)r;
    return !s->now || PQgetisnull(s->now, s->row, column);
}

static int64_t pg_int(const dv_rows *r, int column)
{
    const statement *s = (const statement *)r;
    const char *t = s->now ? PQgetvalue(s->now, s->row, column) : "";
    return *t == 't' ? 1 : strtoll(t, NULL, 10); /* "t" and "f" are booleans */
}

static double pg_double(const dv_rows *r, int column)
{
    const statement *s = (const statement *)r;
    return s->now ? strtod(PQgetvalue(s->now, s->row, column), NULL) : 0;
}

static int hex(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

static dv_text pg_text(const dv_rows *r, int column)
{
    const statement *s = (const statement *)r;
    if (pg_is_null(r, column))
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

static int pg_columns(const dv_rows *r)
{
    return ((const statement *)r)->columns;
}

static const char *pg_name(const dv_rows *r, int column)
{
    const statement *s = (const statement *)r;
    const char *name = s->now ? PQfname(s->now, column) : NULL;
    return name ? name : "";
}

/* ---- the pipe ---- */

/* After the answers of a pipe: what was prepared in one that failed may be there or not; it gets a new number. */
static void prove(pg_db *db, bool ok)
{
    if (!db->unproven)
        return;
    for (statement *s = db->statements; s; s = s->hh.next) {
        if (s->unproven && !ok) {
            s->number = ++db->numbers;
            s->epoch = 0;
        }
        s->unproven = false;
    }
    db->unproven = false;
}

/* Reads the answers that are due, the last one into S when there is one. False: the first failure, in ERR. */
static bool pipe_finish(pg_db *db, statement *s, dv_error *err)
{
    if (!db->piping)
        return true;
    bool ok = PQpipelineSync(db->conn) || fail(db, NULL, "sync", err), synced = false;
    for (int due = db->piped + (s ? 1 : 0); ok && !synced && !is_lost(db);) {
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
            ok = fail(db, r, s ? s->sql : "what was posted", err);
            PQclear(r);
            while (!is_lost(db) && !synced) { /* what follows was not run */
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
        ok = fail(db, NULL, s ? s->sql : "what was posted", err);
    PQexitPipelineMode(db->conn);
    db->piping = false;
    db->piped = 0;
    prove(db, ok);
    return ok;
}

/* Sends what is pending, statement by statement. */
static bool pipe_pending(pg_db *db, dv_error *err)
{
    char *sql = db->pending;
    absorb(db);
    if (!db->piping && !PQenterPipelineMode(db->conn))
        return fail(db, NULL, "pipeline", err);
    db->piping = true;
    db->base.began = db->base.began || sql[0] == 'B';
    for (char *end; *sql; sql = end) {
        end = strstr(sql, "; ");
        if (end)
            *end = '\0';
        if (!PQsendQueryParams(db->conn, sql, 0, NULL, NULL, NULL, NULL, 0))
            return fail(db, NULL, sql, err);
        db->piped++;
        end = end ? end + 2 : sql + strlen(sql);
    }
    db->pending[0] = '\0';
    return true;
}

/* ---- what needs no prepared statement ---- */

static bool exec_text(pg_db *db, const char *sql, dv_error *err)
{
    if (!pipe_finish(db, NULL, err))
        return false;
    absorb(db);
    PGresult *r = PQexec(db->conn, sql);
    ExecStatusType status = PQresultStatus(r);
    bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    char head[80];
    dv_text_copy(dv_text_of(sql), head, sizeof head);
    ok = ok || fail(db, r, head, err);
    /* COMMIT of a transaction in which something failed and was ignored answers so */
    if (ok && strcmp(PQcmdStatus(r), "ROLLBACK") == 0 && strstr(sql, "COMMIT"))
        ok = dv_fail(err, DV_ERR_DB,
                     "the catalog database: the transaction could not be committed, a statement in it had failed");
    PQclear(r);
    return ok;
}

static bool flush_pending(pg_db *db, dv_error *err)
{
    char sql[PENDING];
    if (!db->pending[0])
        return true;
    dv_text_copy(dv_text_of(db->pending), sql, sizeof sql);
    bool begins = sql[0] == 'B';
    db->pending[0] = '\0';
    db->base.began = db->base.began || begins;
    if (exec_text(db, sql, err))
        return true;
    if (!begins || !is_lost(db)) /* nothing of the transaction was there yet: it may begin elsewhere */
        return false;
    return connected(db, err) && exec_text(db, sql, err);
}

static bool defer(pg_db *db, const char *sql, dv_error *err)
{
    size_t have = strlen(db->pending), more = strlen(sql);
    if (have + more + 3 > PENDING) {
        if (!flush_pending(db, err))
            return false;
        have = 0;
    }
    snprintf(db->pending + have, PENDING - have, "%s%s", have ? "; " : "", sql);
    return true;
}

static bool pg_begin(dv_db *base, bool full, dv_error *err)
{
    pg_db *db = (pg_db *)base;
    if (pg_in_transaction(base))
        return dv_fail(err, DV_ERR_INTERNAL, "a transaction inside a transaction");
    if (DV_FAULT(DV_FAULT_SQL))
        return dv_fail(err, DV_ERR_DB, "the catalog database: BEGIN failed on purpose");
    db->pending[0] = '\0';
    db->base.began = false;
    return connected(db, err) && defer(db, full ? "BEGIN; SET LOCAL synchronous_commit TO on" : "BEGIN", err);
}

/* COMMIT, ROLLBACK and savepoints. *MINE: SQL is one of them. */
static bool control(pg_db *db, const char *sql, bool *mine, dv_error *err)
{
    static const char *const words[] = {"COMMIT", "ROLLBACK", "SAVEPOINT member", "RELEASE SAVEPOINT member",
                                        "ROLLBACK TO SAVEPOINT member"};
    int which = -1;
    for (int i = 0; i < 5; i++)
        if (strcmp(sql, words[i]) == 0)
            which = i;
    *mine = which >= 0;
    if (which < 0)
        return true;
    if (!pg_in_transaction(&db->base))
        return is_lost(db) ? fail(db, NULL, sql, err)
                           : dv_fail(err, DV_ERR_DB, "the catalog database: %s outside a transaction", sql);
    /* what was posted is heard of before its member ends */
    if (which != 2 && !pipe_finish(db, NULL, which == 0 || which == 3 ? err : NULL) && (which == 0 || which == 3))
        return false;
    bool untouched = db->pending[0] == 'B'; /* the server has heard nothing of it */
    if (which == 1 || (which == 0 && untouched)) {
        bool ok = untouched || exec_text(db, "ROLLBACK", err);
        db->pending[0] = '\0';
        db->base.began = false;
        return ok;
    }
    if (which == 3 && PQtransactionStatus(db->conn) == PQTRANS_INERROR && !strstr(db->pending, "ROLLBACK TO"))
        return dv_fail(err, DV_ERR_DB, "the catalog database: a statement of this member had failed");
    if (!defer(db, sql, err))
        return false;
    if (which != 0)
        return true;
    bool ok = flush_pending(db, err);
    db->base.began = false;
    return ok;
}

/* ---- statements ---- */

static void forget(pg_db *db, statement *s)
{
    HASH_DEL(db->statements, s);
    free(s->sql);
    free(s);
}

/* Idle statements go, here and at the server. */
static void drop_idle(pg_db *db)
{
    statement *s, *next;
    char sql[48];
    HASH_ITER(hh, db->statements, s, next)
    {
        if (s->busy)
            continue;
        if (s->epoch == db->epoch && PQtransactionStatus(db->conn) != PQTRANS_INERROR) {
            snprintf(sql, sizeof sql, "DEALLOCATE s%u", s->number);
            exec_text(db, sql, NULL);
        }
        forget(db, s);
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

static statement *find(pg_db *db, const char *sql, dv_error *err)
{
    statement *s = NULL;
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
static bool prepare(pg_db *db, statement *s, const dv_value *values, size_t count, dv_error *err)
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
            return fail(db, NULL, s->sql, err);
        db->piped++;
        s->epoch = db->epoch;
        s->unproven = db->unproven = true;
        return true;
    }
    PGresult *r = PQprepare(db->conn, name, s->sql, (int)count, types);
    bool ok = PQresultStatus(r) == PGRES_COMMAND_OK || fail(db, r, s->sql, err);
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

static bool send_values(pg_db *db, const statement *s, const dv_value *values, size_t count, dv_error *err)
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
           fail(db, NULL, s->sql, err);
}

static bool start(pg_db *db, statement *s, const dv_value *values, size_t count, dv_error *err)
{
    if (s->last != (int)count)
        return dv_fail(err, DV_ERR_INTERNAL, "%zu parameters given, %d wanted by \"%s\"", count, s->last, s->sql);
    if (DV_FAULT(DV_FAULT_SQL))
        return dv_fail(err, DV_ERR_DB, "the catalog database: failed on purpose (%s)", s->sql);
    if (is_lost(db) && db->base.began)
        return fail(db, NULL, s->sql, err); /* invariant 1 */
    if (pg_in_transaction(&db->base) ? !pipe_pending(db, err) : !connected(db, err))
        return false;
    absorb(db);
    return (s->epoch == db->epoch || prepare(db, s, values, count, err)) && send_values(db, s, values, count, err);
}

/* An empty result that is open, for what has none. */
static dv_rows *nothing(pg_db *db, const char *sql, dv_error *err)
{
    statement *s = find(db, sql, err);
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
    if (!control(db, sql, &mine, err))
        return NULL;
    if (mine)
        return nothing(db, sql, err);
    statement *s = find(db, sql, err);
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
    } else if (!pipe_finish(db, s, &s->error)) {
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
    pg_rows_close(&s->rows, err);
    return NULL;
}

/* What only reads may be asked again of a new connection, when the old one was found lost by asking. */
static dv_rows *pg_query(dv_db *base, const char *sql, const dv_value *values, size_t count, bool keep, dv_error *err)
{
    (void)keep; /* libpq copies what it sends */
    pg_db *db = (pg_db *)base;
    bool alone = !pg_in_transaction(base) && !db->base.began && strncmp(sql, "SELECT", 6) == 0;
    dv_rows *r = query_once(db, sql, values, count, err);
    return r || !alone || !is_lost(db) || !connected(db, err) ? r : query_once(db, sql, values, count, err);
}

static bool pg_post(dv_db *base, const char *sql, const dv_value *values, size_t count, dv_error *err)
{
    pg_db *db = (pg_db *)base;
    if (db->piped >= MOST_PIPED && !pipe_finish(db, NULL, err))
        return false;
    statement *s = find(db, sql, err);
    if (!s || !start(db, s, values, count, err))
        return false;
    db->piped++;
    return true;
}

static bool pg_script(dv_db *base, const char *sql, dv_error *err)
{
    pg_db *db = (pg_db *)base;
    dv_buffer text = {0};
    if (DV_FAULT(DV_FAULT_SQL))
        return dv_fail(err, DV_ERR_DB, "the catalog database: a script failed on purpose");
    bool ok = (pg_in_transaction(base) || connected(db, err)) && flush_pending(db, err) &&
              (dv_script_for_postgres(sql, &text) || dv_fail(err, DV_ERR_MEMORY, "no memory for a script")) &&
              exec_text(db, text.at, err);
    dv_buffer_free(&text);
    return ok;
}

static bool pg_has_table(dv_db *base, const char *name, bool *has, dv_error *err)
{
    int64_t n;
    if (!dv_db_int(base, 0, &n, err, "SELECT to_regclass($1) IS NOT NULL", "s", name))
        return false;
    *has = n > 0;
    return true;
}

/* One lock a schema, until the transaction ends. */
static bool pg_lock(dv_db *base, dv_error *err)
{
    int64_t n;
    return dv_db_int(base, 0, &n, err, "SELECT count(pg_advisory_xact_lock(1146508370, hashtext(current_schema())))",
                     "");
}

/* There is no log of ours to move, but rows committed without waiting: a commit that waits brings them to the disk with it. */
static bool pg_checkpoint(dv_db *base, int64_t *left, dv_error *err)
{
    int64_t n;
    if (!dv_db_begin(base, true, err))
        return false;
    if (!dv_db_int(base, 0, &n, err, "SELECT count(pg_logical_emit_message(true, 'drover', ''))", "")) {
        dv_db_rollback(base);
        return false;
    }
    if (!dv_db_commit(base, err))
        return false;
    base->log_bytes = 0;
    if (left)
        *left = 0;
    return true;
}

static void pg_close(dv_db *base)
{
    pg_db *db = (pg_db *)base;
    statement *s, *next;
    absorb(db);
    HASH_ITER(hh, db->statements, s, next)
    {
        PQclear(s->now);
        while (s->held_at < s->held_count)
            PQclear(s->held[s->held_at++]);
        free(s->held);
        free(s->blob_len);
        forget(db, s);
    }
    PQfinish(db->conn);
    dv_arena_free(&db->scratch);
    free(db->where);
    free(db);
}

dv_db *dv_postgres_open(const char *dsn, dv_db_mode mode, dv_error *err)
{
    char *where = dv_postgres_shown(dsn, err);
    pg_db *db = where ? calloc(1, sizeof *db) : NULL;
    if (!db) {
        if (where)
            dv_fail(err, DV_ERR_MEMORY, "no memory for a database connection");
        free(where);
        return NULL;
    }
    db->base.driver = &driver;
    db->where = where;
    db->mode = mode;
    dv_arena_init(&db->scratch, 0);
    /* Ours first: the DSN may say otherwise. A host that vanishes without a word is noticed after half a minute. */
    const char *const names[] = {"application_name",
                                 "connect_timeout",
                                 "keepalives_idle",
                                 "tcp_user_timeout",
                                 "dbname",
                                 "client_encoding",
                                 NULL};
    const char *const values[] = {"drover", "5", "20", "30000", dsn, "UTF8", NULL};
    db->conn = PQconnectdbParams(names, values, 1);
    PQsetNoticeProcessor(db->conn, quiet, NULL);
    if (!db->conn || !set_up(db, err)) {
        if (!db->conn)
            dv_fail(err, DV_ERR_MEMORY, "no memory for a database connection");
        pg_close(&db->base);
        return NULL;
    }
    return &db->base;
}

static const dv_db_driver driver = {
    .close = pg_close,
    .has_table = pg_has_table,
    .lock = pg_lock,
    .script = pg_script,
    .query = pg_query,
    .post = pg_post,
    .next = pg_next,
    .is_null = pg_is_null,
    .get_int = pg_int,
    .get_double = pg_double,
    .get_text = pg_text,
    .columns = pg_columns,
    .name = pg_name,
    .rows_close = pg_rows_close,
    .begin = pg_begin,
    .in_transaction = pg_in_transaction,
    .checkpoint = pg_checkpoint,
};
