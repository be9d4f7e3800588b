/* query_internal.h: how a study query is answered: where matches may lie, and the SQL that looks there. For query.c and tests. */
#ifndef DV_CATALOG_QUERY_INTERNAL_H
#define DV_CATALOG_QUERY_INTERNAL_H

#include "base/buffer.h"
#include "catalog/query.h"

enum {
    DV_QUERY_VALUES = 64,
    DV_PART_IDS = 32, /* candidates of one statement */
};

typedef struct dv_sql {
    dv_buffer text;
    dv_value values[DV_QUERY_VALUES];
    size_t count;
    bool where; /* a condition was written */
    dv_arena *arena;
} dv_sql;

/* ---- where matches may lie (parts.c) ---- */

/* Studies IDS (COUNT, falling), or those from LOW to below HIGH. */
typedef struct dv_study_part {
    const int64_t *ids;
    size_t count;
    int64_t low, high;
} dv_study_part;

typedef struct dv_parts dv_parts;
/* The parts of the archive below the id BEFORE (0: all) in which studies that match Q may lie, the newest first: candidates by an index or
 * by the lists, and ranges to be walked where nothing is listed yet. Lives in the arena A. NULL on failure. */
dv_parts *dv_parts_open(dv_db *db, const dv_study_query *q, int64_t before, dv_arena *a, dv_error *err);
/* *END: there is no further part. PART's ids are borrowed until the next call. */
bool dv_parts_next(dv_parts *p, dv_study_part *part, bool *end, dv_error *err);

/* The index that finds few candidates for a key of Q, as SQL; for the test that reads plans. False: Q has no key of that NUMBER. */
bool dv_probe_sql(const dv_study_query *q, int number, dv_sql *sql, dv_error *err);

/* ---- SQL (search.c) ---- */

/* The studies of PART that match Q, newest first, at most LIMIT. Values live in the arena of SQL. No index but that of the ids is of use to
 * it: the part was found by the best one already. */
bool dv_study_sql(const dv_study_query *q, const dv_study_part *part, int limit, dv_sql *sql, dv_error *err);

/* Writes "column matches PATTERN" for each of COLUMNS (COUNT), joined by OR. PATTERN is folded already and has * and ?
 * as wildcards. */
void dv_sql_match(dv_sql *sql, const char *const *columns, size_t count, dv_text pattern);
void dv_sql_equal(dv_sql *sql, const char *const *columns, size_t count, dv_text value);
/* The text behind all that begin with PREFIX. at == NULL: no memory. */
dv_text dv_sql_behind(dv_arena *a, dv_text prefix);
/* How many bytes of PATTERN come before its first wildcard. */
size_t dv_sql_literal(dv_text pattern);
void dv_sql_and(dv_sql *sql);
/* Writes $N for a new value. */
void dv_sql_text(dv_sql *sql, dv_text value);
void dv_sql_int(dv_sql *sql, int64_t value);
/* A date or range of Q's syntax; an open end is empty. VALUE when it is none. */
bool dv_sql_dates(dv_text date, dv_text *from, dv_text *to, dv_error *err);

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
