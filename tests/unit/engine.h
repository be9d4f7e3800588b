/* engine.h: which database a suite runs on: SQLite in a file, or with DROVER_TEST_PG=dsn (tests/run.sh) a schema of its own there. */
#ifndef ENGINE_H
#define ENGINE_H

#include "db/db.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { DSN_SIZE = 256 };

static inline bool on_postgres(void)
{
    return getenv("DROVER_TEST_PG") != NULL;
}

static inline bool in_schema(const char *before, const char *name, const char *behind)
{
    char sql[128];
    dv_error e;
    dv_db *admin = dv_db_open(getenv("DROVER_TEST_PG"), DV_DB_CREATE, &e);
    snprintf(sql, sizeof sql, "%s %s %s", before, name, behind);
    bool ok = admin && dv_db_script(admin, sql, &e);
    if (!ok)
        fprintf(stderr, "%s\n", e.message);
    dv_db_close(admin);
    return ok;
}

/* A new, empty database: FILE, or a schema that drop_database takes away. False: it cannot be made. */
static inline bool new_database(const char *file, char dsn[DSN_SIZE])
{
    static int number;
    char name[40];
    if (!on_postgres())
        return snprintf(dsn, DSN_SIZE, "%s", file) < DSN_SIZE;
    snprintf(name, sizeof name, "t_%d_%d", (int)getpid(), ++number);
    snprintf(dsn, DSN_SIZE, "%s options='-c search_path=%s'", getenv("DROVER_TEST_PG"), name);
    return in_schema("CREATE SCHEMA", name, "");
}

static inline bool drop_database(const char *dsn)
{
    const char *name = on_postgres() ? strstr(dsn, "search_path=") : NULL;
    char copy[40];
    if (!name)
        return true;
    dv_text_copy(dv_text_split(dv_text_of(name + 12), '\'', &(dv_text){0}), copy, sizeof copy);
    return in_schema("DROP SCHEMA IF EXISTS", copy, "CASCADE");
}

#endif
