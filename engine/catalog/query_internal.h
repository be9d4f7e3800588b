/* query_internal.h: a query as SQL, for query.c and for the test that reads SQLite's plans. */
#ifndef DV_CATALOG_QUERY_INTERNAL_H
#define DV_CATALOG_QUERY_INTERNAL_H

#include "base/buffer.h"
#include "catalog/query.h"

enum { DV_QUERY_VALUES = 32 };

typedef struct dv_sql {
    dv_buffer text;
    dv_value values[DV_QUERY_VALUES];
    size_t count;
    bool keyed; /* an index narrows the search: it, not the order, must choose the way */
    bool where; /* a condition was written */
    dv_arena *arena;
} dv_sql;

/* Q as SQL with its values, the page of LIMIT rows below the id BEFORE (0: the newest). Values live in the arena of
 * SQL. */
bool dv_study_sql(const dv_study_query *q, int64_t before, int limit, dv_sql *sql, dv_error *err);

/* Writes "column matches PATTERN" for each of COLUMNS (COUNT), joined by OR. PATTERN is folded already and has * and ?
 * as wildcards. */
void dv_sql_match(dv_sql *sql, const char *const *columns, size_t count, dv_text pattern);
void dv_sql_equal(dv_sql *sql, const char *const *columns, size_t count, dv_text value);
void dv_sql_and(dv_sql *sql);
/* Writes $N for a new value. */
void dv_sql_text(dv_sql *sql, dv_text value);
void dv_sql_int(dv_sql *sql, int64_t value);

/* Instances i by a UID ($1) of any level, stored or received: each branch goes by its index on both engines (an OR of subqueries makes
 * PostgreSQL read all instances). */
#define DV_INSTANCE_BY_UID                                                                                             \
    "i.id IN (SELECT a.id FROM instances a WHERE a.sop_uid = $1"                                                       \
    " UNION SELECT a.id FROM instances a WHERE a.received_sop_uid = $1"                                                \
    " UNION SELECT a.id FROM series b JOIN instances a ON a.series = b.id WHERE b.series_uid = $1"                     \
    " UNION SELECT a.id FROM studies c JOIN series b ON b.study = c.id JOIN instances a ON a.series = b.id"            \
    " WHERE c.study_uid = $1"                                                                                          \
    " UNION SELECT a.id FROM origins d JOIN instances a ON a.origin = d.id WHERE d.received_series_uid = $1"           \
    " UNION SELECT a.id FROM origins d JOIN instances a ON a.origin = d.id WHERE d.received_study_uid = $1)"

#endif
