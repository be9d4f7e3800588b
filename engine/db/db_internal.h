/* db_internal.h: what a database driver gives to db.c. A driver is one file: sqlite.c, postgres.c.
 * dv_db and dv_rows are the heads of the driver's own structures. */
#ifndef DV_DB_DB_INTERNAL_H
#define DV_DB_DB_INTERNAL_H

#include "db/db.h"

typedef struct dv_db_driver {
    void (*close)(dv_db *db);
    bool (*has_table)(dv_db *db, const char *name, bool *has, dv_error *err);
    bool (*lock)(dv_db *db, dv_error *err); /* NULL: a transaction is one already */
    bool (*script)(dv_db *db, const char *sql, dv_error *err);
    /* KEEP: the values must be copied, since the caller's may be gone when the rows are read. */
    dv_rows *(*query)(dv_db *db, const char *sql, const dv_value *values, size_t count, bool keep, dv_error *err);
    /* NULL: as query, at once. Only inside a transaction. */
    bool (*post)(dv_db *db, const char *sql, const dv_value *values, size_t count, dv_error *err);
    bool (*next)(dv_rows *r);
    bool (*is_null)(const dv_rows *r, int column);
    int64_t (*get_int)(const dv_rows *r, int column);
    double (*get_double)(const dv_rows *r, int column);
    dv_text (*get_text)(const dv_rows *r, int column);
    int (*columns)(const dv_rows *r);
    const char *(*name)(const dv_rows *r, int column);
    bool (*rows_close)(dv_rows *r, dv_error *err);
    bool (*begin)(dv_db *db, bool full, dv_error *err);
    bool (*in_transaction)(const dv_db *db);
    bool (*checkpoint)(dv_db *db, int64_t *left, dv_error *err);
} dv_db_driver;

struct dv_db {
    const dv_db_driver *driver;
    char engine[64];
    int64_t changes;
    int64_t log_bytes;
    int64_t reconnects;
    bool began; /* PostgreSQL: a transaction was begun at the server */
};

struct dv_rows {
    dv_db *db;
};

dv_db *dv_sqlite_open(const char *path, dv_db_mode mode, dv_error *err);
/* Owned by the caller; NULL with CONFIG when it cannot be understood. */
char *dv_postgres_shown(const char *dsn, dv_error *err);
dv_db *dv_postgres_open(const char *dsn, dv_db_mode mode, dv_error *err);

#endif
