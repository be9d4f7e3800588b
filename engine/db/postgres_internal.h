/* postgres_internal.h: what the two files of the PostgreSQL driver share: postgres.c has the connection and its transactions,
 * postgres_statements.c statements, results and the pipe. */
#ifndef DV_DB_POSTGRES_INTERNAL_H
#define DV_DB_POSTGRES_INTERNAL_H

#include "db/db_internal.h"

#include <libpq-fe.h>
#include <uthash.h>

enum { PENDING = 512 };

typedef struct pg_statement {
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
} pg_statement;

typedef struct pg_db {
    dv_db base; /* head */
    PGconn *conn;
    char *where; /* the DSN as it may be shown */
    dv_db_mode mode;
    pg_statement *statements;
    pg_statement *streaming; /* whose rows still come over the wire */
    unsigned numbers, epoch;
    int64_t again_ms; /* not to be tried before */
    char pending[PENDING];
    bool unproven; /* some statement is */
    bool piping;   /* in pipeline mode, with so many answers to come before the next statement's */
    int piped;
    dv_arena scratch; /* values of the statement that is sent */
} pg_db;

/* ---- postgres.c ---- */

/* R, or without one the connection, says what is wrong; never with values, which may be a patient's. */
bool dv_pg_fail(const pg_db *db, const PGresult *r, const char *what, dv_error *err);
bool dv_pg_lost(const pg_db *db);
/* Before a transaction or a statement outside one: has the server gone away meanwhile? Then once more from the start. */
bool dv_pg_connected(pg_db *db, dv_error *err);
bool dv_pg_in_transaction(const dv_db *base);
/* COMMIT, ROLLBACK and savepoints. *MINE: SQL is one of them. */
bool dv_pg_control(pg_db *db, const char *sql, bool *mine, dv_error *err);
/* SQL without parameters, or several statements. */
bool dv_pg_exec_text(pg_db *db, const char *sql, dv_error *err);

/* ---- postgres_statements.c ---- */

/* The wire is free afterwards: rows that still come over it are kept. */
void dv_pg_absorb(pg_db *db);
/* Reads the answers that are due, the last one into S when there is one. False: the first failure, in ERR. */
bool dv_pg_pipe_finish(pg_db *db, pg_statement *s, dv_error *err);
/* Sends what is pending, statement by statement. */
bool dv_pg_pipe_pending(pg_db *db, dv_error *err);
void dv_pg_forget(pg_db *db, pg_statement *s);

/* The driver's, as db_internal.h says. */
dv_rows *dv_pg_query(dv_db *base, const char *sql, const dv_value *values, size_t count, bool keep, dv_error *err);
bool dv_pg_post(dv_db *base, const char *sql, const dv_value *values, size_t count, dv_error *err);
bool dv_pg_next(dv_rows *r);
bool dv_pg_is_null(const dv_rows *r, int column);
int64_t dv_pg_int(const dv_rows *r, int column);
double dv_pg_double(const dv_rows *r, int column);
dv_text dv_pg_text(const dv_rows *r, int column);
int dv_pg_columns(const dv_rows *r);
const char *dv_pg_name(const dv_rows *r, int column);
bool dv_pg_rows_close(dv_rows *r, dv_error *err);

#endif
