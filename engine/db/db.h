/* db.h: the thin database interface under the catalog. One SQL text serves SQLite and PostgreSQL where both agree.
 *
 *   dv_rows *r = dv_db_query(db, &err, "SELECT id, aet FROM peers WHERE slug = $1", "s", slug);
 *   while (r && dv_rows_next(r)) use(dv_rows_int(r, 0), dv_rows_text(r, 1));
 *   if (!dv_rows_close(r, &err)) return false;
 *
 * Parameters are $1, $2, ... and are bound by their number. TYPES has a letter an argument:
 *   i int64_t   d double   s const char * (NULL: SQL NULL)   t dv_text (absent: NULL)   b dv_text as a blob   n nothing: NULL
 * Statements are prepared once a connection and kept by the address of their text: pass literals. (A built text works too: the words are
 * compared, and another text at the same address is prepared anew.)
 * Threads   a connection belongs to one thread at a time.
 * Errors    DB with the database's own words; LOCKED when another writer holds it; DISK_FULL; MEMORY; EXISTS when a unique key is
 *           taken; INTERNAL when the call does not fit its statement (number of parameters, a result that is still open). */
#ifndef DV_DB_DB_H
#define DV_DB_DB_H

#include "base/arena.h"
#include "base/error.h"
#include "base/text.h"

typedef struct dv_db dv_db;
typedef struct dv_rows dv_rows;

/* One parameter, for statements that are built: TYPE is a letter as above. */
typedef struct dv_value {
    char type;
    int64_t i;
    double d;
    dv_text t;
} dv_value;

typedef enum dv_db_mode { DV_DB_WRITE, DV_DB_READ, DV_DB_CREATE } dv_db_mode;

/* DSN is a file path (SQLite); "postgres://...", "postgresql://..." or "host=..." is PostgreSQL. SQLite is set to WAL, synchronous NORMAL,
 * foreign keys on; automatic checkpoints off for the writer. PostgreSQL commits without waiting for the disk unless FULL; a connection that
 * is lost fails what runs (DB) and is made anew by the next transaction, or the next statement outside one. Messages name the DSN without
 * its password. NULL on failure. */
bool dv_db_is_postgres(const char *dsn);
/* DSN as it may be shown: without a password. */
void dv_db_show_dsn(const char *dsn, char *buf, size_t size);
dv_db *dv_db_open(const char *dsn, dv_db_mode mode, dv_error *err);
void dv_db_close(dv_db *db);
const char *dv_db_engine(const dv_db *db); /* "sqlite 3.40.1" */

/* Runs a statement without a result. */
bool dv_db_exec(dv_db *db, dv_error *err, const char *sql, const char *types, ...);
/* The same inside a transaction, when nothing is asked back: it may go out together with the next statement (PostgreSQL: a round trip less), and
 * a failure may be told by that one, by dv_db_release or by dv_db_commit. */
bool dv_db_post(dv_db *db, dv_error *err, const char *sql, const char *types, ...);
bool dv_db_exec_values(dv_db *db, dv_error *err, const char *sql, const dv_value *values, size_t count);
/* Several statements separated by ';', no parameters: schemas, written as SQLite reads them (db/script.h). */
bool dv_db_script(dv_db *db, const char *sql, dv_error *err);
/* NULL on failure. At most one open result a statement text. The arguments need not outlive the call. INSERT, UPDATE, DELETE with
 * RETURNING have done all their work when the first row is there. */
dv_rows *dv_db_query(dv_db *db, dv_error *err, const char *sql, const char *types, ...);
dv_rows *dv_db_query_values(dv_db *db, dv_error *err, const char *sql, const dv_value *values, size_t count);
/* Is there a table NAME? */
bool dv_db_has_table(dv_db *db, const char *name, bool *has, dv_error *err);
/* The next row; false at the end or on failure, which dv_rows_close tells apart. R NULL: false. */
bool dv_rows_next(dv_rows *r);
int64_t dv_rows_int(const dv_rows *r, int column);
double dv_rows_double(const dv_rows *r, int column);
bool dv_rows_is_null(const dv_rows *r, int column);
/* Borrowed until the next dv_rows_next or dv_rows_close; absent when NULL. Blobs too. */
dv_text dv_rows_text(const dv_rows *r, int column);
int dv_rows_columns(const dv_rows *r);
const char *dv_rows_name(const dv_rows *r, int column);
/* False, ERR set, when stepping failed. R NULL: returns false and leaves ERR as dv_db_query set it. */
bool dv_rows_close(dv_rows *r, dv_error *err);
/* One integer: the first column of the first row, ABSENT when there is none. */
bool dv_db_int(dv_db *db, int64_t absent, int64_t *out, dv_error *err, const char *sql, const char *types, ...);
/* Rows changed by the last dv_db_exec. */
int64_t dv_db_changes(const dv_db *db);

/* FULL: durable when dv_db_commit returns (SQLite synchronous FULL); else the rows may be lost by a power cut, never torn. */
bool dv_db_begin(dv_db *db, bool full, dv_error *err);
/* On failure the transaction is rolled back. */
bool dv_db_commit(dv_db *db, dv_error *err);
void dv_db_rollback(dv_db *db);
/* Inside a transaction: until it ends no other does the same on this database (SQLite: true of every transaction). For upgrades. */
bool dv_db_lock(dv_db *db, dv_error *err);
/* How often a lost connection was made anew; the rows of the last moments before may be lost with a server that broke down. */
int64_t dv_db_reconnects(const dv_db *db);
/* False too when the database itself has rolled the transaction back (disk full, I/O error). */
bool dv_db_in_transaction(const dv_db *db);
/* One level of savepoint inside a transaction. */
bool dv_db_savepoint(dv_db *db, dv_error *err);
bool dv_db_release(dv_db *db, dv_error *err);
/* False when that cannot be done because the whole transaction is gone. */
bool dv_db_rollback_to(dv_db *db);
/* PostgreSQL: all that was committed is on the disk. SQLite: PASSIVE checkpoint; *LEFT (may be NULL) bytes of the log that could not be moved yet, 0: all is in the file and synced. */
bool dv_db_checkpoint(dv_db *db, int64_t *left, dv_error *err);
/* Bytes of the log after the last commit of this connection (PostgreSQL: sent since the last checkpoint). */
int64_t dv_db_log_bytes(const dv_db *db);

#endif
