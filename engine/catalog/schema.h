/* schema.h: the tables, and the steps from one version of the catalog to the next.
 *
 *   version 0 --step 0--> version 1 --step 1--> version 2 ...          (an empty database is version 0)
 *
 * A step that was in a released version is never changed: its databases are out there. All steps that a database needs run in
 * one transaction (upgrade.c), so a kill leaves the old version whole. tests/integration/test_upgrade.py upgrades a filled database
 * of each version. Portable SQL as db/script.h reads it; what the engines spell differently has a text of its own. */
#ifndef DV_CATALOG_SCHEMA_H
#define DV_CATALOG_SCHEMA_H

#include "db/db.h"

typedef struct dv_schema_step {
    const char *sql;                        /* both engines */
    const char *sqlite, *postgres;          /* after it, that engine alone; NULL: nothing */
    bool (*fill)(dv_db *db, dv_error *err); /* after both: values that SQL cannot make; NULL: none */
} dv_schema_step;

extern const dv_schema_step dv_schema_steps[];
extern const int dv_schema_version; /* number of steps */

/* Brings the database to dv_schema_version. A SQLite file of an older version is copied to DSN.vN before. CONFIG when it is newer. */
bool dv_schema_upgrade(dv_db *db, const char *dsn, dv_error *err);

#endif
