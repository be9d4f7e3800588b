/* The PostgreSQL driver.
 *
 *   statement   found by its words; prepared under a number of its own once a connection; busy while its result is open
 *   result      rows come one at a time (single-row mode). When another statement is run meanwhile, the rest is taken into memory first,
 *               because a connection does one thing at a time.
 *   pending     BEGIN, SAVEPOINT and RELEASE go out with the next statement
 *   pipe        inside a transaction: what is pending or posted, and the statement whose answer is wanted, go out at once; then all answers
 *               are read, with COMMIT too. An instance's row costs two round trips so, not twelve.
 *
 * Values go in binary and come as text, but for bytea, which is decoded in place. Text that PostgreSQL cannot hold (NUL, no UTF-8) gets
 * U+FFFD for each such byte.
 *
 * Invariants
 *   1 a connection that is lost inside a transaction fails what is left of it; the next one begins on a new connection
 *   2 a statement is prepared on the connection of its `epoch` only
 *   3 no message holds the password, words of a DSN that could not be read, or a value */
#include "base/clock.h"
#include "base/fault.h"
#include "db/postgres_internal.h"
#include "db/script.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    OLDEST = 120000,
    AGAIN_MS = 300, /* between two tries to connect: an engine full of senders does not storm a server that starts */
};

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

bool dv_pg_lost(const pg_db *db)
{
    return PQstatus(db->conn) != CONNECTION_OK;
}

/* R, or without one the connection, says what is wrong. */
bool dv_pg_fail(const pg_db *db, const PGresult *r, const char *what, dv_error *err)
{
    const char *words = r ? PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    const char *state = r ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
    if (dv_pg_lost(db))
        return dv_fail(err, DV_ERR_DB, "the catalog database %s is lost: %s", db->where,
                       words ? words : PQerrorMessage(db->conn));
    if (!words)
        words = r && PQresultErrorMessage(r)[0] ? PQresultErrorMessage(r) : PQerrorMessage(db->conn);
    if (state && strncmp(state, "22", 2) == 0) /* its words quote the value */
        return dv_fail(err, DV_ERR_DB, "the catalog database: a value is not what its column takes, SQLSTATE %s (%s)",
                       state, what);
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
    char sql[600];
    if (dv_pg_lost(db))
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
        db->mode == DV_DB_READ ? "; SET enable_bitmapscan TO off; SET plan_cache_mode TO force_generic_plan"
                               : "; SET enable_seqscan TO off; SET plan_cache_mode TO force_generic_plan");
    PGresult *r = PQexec(db->conn, sql);
    bool ok = PQresultStatus(r) == PGRES_COMMAND_OK || dv_pg_fail(db, r, "settings of the connection", err);
    PQclear(r);
    PQsetErrorVerbosity(db->conn, PQERRORS_TERSE); /* DETAIL quotes keys: a patient's */
    db->epoch++;
    db->pending[0] = '\0';
    db->piping = false;
    db->piped = 0;
    snprintf(db->base.engine, sizeof db->base.engine, "postgresql %.40s",
             PQparameterStatus(db->conn, "server_version"));
    return ok;
}

/* Before a transaction or a statement outside one: has the server gone away meanwhile? Then once more from the start. */
bool dv_pg_connected(pg_db *db, dv_error *err)
{
    struct pollfd p = {.fd = PQsocket(db->conn), .events = POLLIN};
    for (int i = 0; i < 4 && !dv_pg_lost(db) && !db->streaming && poll(&p, 1, 0) != 0; i++)
        PQconsumeInput(db->conn); /* a farewell, then the end */
    if (!dv_pg_lost(db))
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

bool dv_pg_in_transaction(const dv_db *base)
{
    const pg_db *db = (const pg_db *)base;
    if (db->pending[0] == 'B')
        return true;
    PGTransactionStatusType t = PQtransactionStatus(db->conn);
    return t == PQTRANS_INTRANS || t == PQTRANS_INERROR || (t == PQTRANS_ACTIVE && db->base.began);
}

/* ---- transactions ---- */

bool dv_pg_exec_text(pg_db *db, const char *sql, dv_error *err)
{
    if (!dv_pg_pipe_finish(db, NULL, err))
        return false;
    dv_pg_absorb(db);
    PGresult *r = PQexec(db->conn, sql);
    ExecStatusType status = PQresultStatus(r);
    bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    char head[80];
    dv_text_copy(dv_text_of(sql), head, sizeof head);
    ok = ok || dv_pg_fail(db, r, head, err);
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
    if (dv_pg_exec_text(db, sql, err))
        return true;
    if (!begins || !dv_pg_lost(db)) /* nothing of the transaction was there yet: it may begin elsewhere */
        return false;
    return dv_pg_connected(db, err) && dv_pg_exec_text(db, sql, err);
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
    if (dv_pg_in_transaction(base))
        return dv_fail(err, DV_ERR_INTERNAL, "a transaction inside a transaction");
    if (DV_FAULT(DV_FAULT_SQL))
        return dv_fail(err, DV_ERR_DB, "the catalog database: BEGIN failed on purpose");
    db->pending[0] = '\0';
    db->base.began = false;
    return dv_pg_connected(db, err) && defer(db, full ? "BEGIN; SET LOCAL synchronous_commit TO on" : "BEGIN", err);
}

/* COMMIT, ROLLBACK and savepoints. *MINE: SQL is one of them. */
/* COMMIT goes out behind what was posted. */
static bool commit_in_pipe(pg_db *db, dv_error *err)
{
    bool ok = defer(db, "COMMIT", err) && dv_pg_pipe_pending(db, err) && dv_pg_pipe_finish(db, NULL, err);
    db->pending[0] = '\0';
    if (ok)
        db->base.began = false;
    return ok;
}

bool dv_pg_control(pg_db *db, const char *sql, bool *mine, dv_error *err)
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
    if (!dv_pg_in_transaction(&db->base))
        return dv_pg_lost(db) ? dv_pg_fail(db, NULL, sql, err)
                              : dv_fail(err, DV_ERR_DB, "the catalog database: %s outside a transaction", sql);
    if (which == 0 && db->piping && PQtransactionStatus(db->conn) != PQTRANS_INERROR)
        return commit_in_pipe(db, err);
    /* what was posted is heard of before its member ends */
    if (which != 2 && !dv_pg_pipe_finish(db, NULL, which == 0 || which == 3 ? err : NULL) && (which == 0 || which == 3))
        return false;
    bool untouched = db->pending[0] == 'B'; /* the server has heard nothing of it */
    if (which == 1 || (which == 0 && untouched)) {
        bool ok = untouched || dv_pg_exec_text(db, "ROLLBACK", err);
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

/* ---- the rest ---- */

static bool pg_script(dv_db *base, const char *sql, dv_error *err)
{
    pg_db *db = (pg_db *)base;
    dv_buffer text = {0};
    if (DV_FAULT(DV_FAULT_SQL))
        return dv_fail(err, DV_ERR_DB, "the catalog database: a script failed on purpose");
    bool ok = (dv_pg_in_transaction(base) || dv_pg_connected(db, err)) && flush_pending(db, err) &&
              (dv_script_for_postgres(sql, &text) || dv_fail(err, DV_ERR_MEMORY, "no memory for a script")) &&
              dv_pg_exec_text(db, text.at, err);
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
    pg_statement *s, *next;
    dv_pg_absorb(db);
    HASH_ITER(hh, db->statements, s, next)
    {
        PQclear(s->now);
        while (s->held_at < s->held_count)
            PQclear(s->held[s->held_at++]);
        free(s->held);
        free(s->blob_len);
        dv_pg_forget(db, s);
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
    .query = dv_pg_query,
    .post = dv_pg_post,
    .next = dv_pg_next,
    .is_null = dv_pg_is_null,
    .get_int = dv_pg_int,
    .get_double = dv_pg_double,
    .get_text = dv_pg_text,
    .columns = dv_pg_columns,
    .name = dv_pg_name,
    .rows_close = dv_pg_rows_close,
    .begin = pg_begin,
    .in_transaction = dv_pg_in_transaction,
    .checkpoint = pg_checkpoint,
};
