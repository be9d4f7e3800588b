/* schema.h: the tables, and the steps from one version to the next. */
#ifndef DV_CATALOG_SCHEMA_H
#define DV_CATALOG_SCHEMA_H

/* Step N brings version N to N + 1; step 0 makes everything. Portable SQL: SQLite and PostgreSQL. */
extern const char *const dv_schema_steps[];
extern const int dv_schema_version; /* number of steps */

#endif
