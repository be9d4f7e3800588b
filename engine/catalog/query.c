/* Pages of rows, copied into an arena and closed before anyone sees them. */
#include "catalog/query_internal.h"

enum { PAGE = 256 };

/* The column's text in ARENA; empty when NULL or when memory is out (*OK false). */
static dv_text copy(const dv_rows *r, int column, dv_arena *arena, bool *ok)
{
    dv_text t = dv_rows_text(r, column);
    if (!t.at)
        return t;
    dv_text kept = dv_arena_text(arena, t);
    *ok = *ok && kept.at;
    return kept;
}

/* ---- rows of any kind ---- */

typedef bool read_row(const dv_rows *r, dv_arena *arena, void *row);

typedef struct page {
    char *rows;
    size_t size, count, room;
    dv_arena arena;
} page;

/* All rows of R read into P, which begins anew. Closes R. */
static bool fill(page *p, dv_rows *r, read_row *read, dv_error *err)
{
    bool memory = true;
    dv_arena_reset(&p->arena);
    p->rows = NULL;
    p->count = p->room = 0;
    while (memory && dv_rows_next(r)) {
        if (p->count == p->room) {
            size_t room = p->room ? p->room * 2 : PAGE;
            char *more = dv_arena_grow(&p->arena, p->rows, p->room * p->size, room * p->size);
            memory = more != NULL;
            if (!memory)
                break;
            p->rows = more;
            p->room = room;
        }
        memory = read(r, &p->arena, p->rows + p->count * p->size);
        p->count += memory;
    }
    if (!dv_rows_close(r, err))
        return false;
    return memory || dv_fail(err, DV_ERR_MEMORY, "no memory for rows of the catalog");
}

static void page_begin(page *p, size_t size)
{
    *p = (page){.size = size};
    dv_arena_init(&p->arena, (size_t)64 * 1024);
}

/* ---- studies ---- */

static bool read_study(const dv_rows *r, dv_arena *a, void *row)
{
    dv_study_row *s = row;
    bool ok = true;
    *s = (dv_study_row){.id = dv_rows_int(r, 0)};
    dv_text *const texts[] = {&s->study_uid,          &s->received_study_uid, &s->patient_id, &s->received_patient_id,
                              &s->patient_name,       &s->birth_date,         &s->sex,        &s->accession,
                              &s->received_accession, &s->study_date,         &s->study_time, &s->description,
                              &s->modalities};
    int64_t *const numbers[] = {&s->series,        &s->instances,        &s->bytes,           &s->first_received,
                                &s->last_received, &s->generation_first, &s->generation_last, &s->findings};
    int column = 1;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        *texts[i] = copy(r, column++, a, &ok);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        *numbers[i] = dv_rows_int(r, column++);
    return ok;
}

static bool study_page(dv_db *db, const dv_study_query *q, const dv_study_part *part, int limit, page *p, dv_error *err)
{
    dv_arena arena;
    dv_arena_init(&arena, 0);
    dv_sql sql = {.arena = &arena};
    bool ok = dv_study_sql(q, part, limit, &sql, err) &&
              fill(p, dv_db_query_values(db, err, sql.text.at, sql.values, sql.count), read_study, err);
    dv_buffer_free(&sql.text);
    dv_arena_free(&arena);
    return ok;
}

/* What of PART is asked by one statement is taken off it. */
static dv_study_part take_off(dv_study_part *part)
{
    dv_study_part now = *part;
    if (part->ids) {
        now.count = part->count < DV_PART_IDS ? part->count : DV_PART_IDS;
        part->ids += now.count;
        part->count -= now.count;
    }
    return now;
}

/* The matches of PART, LEFT at most, to EACH. *LEFT 0: enough. */
static bool each_of_part(dv_db *db, const dv_study_query *q, dv_study_part part, int *left, page *p,
                         bool (*each)(void *user, const dv_study_row *row), void *user, dv_error *err)
{
    for (bool more = true; more && *left > 0 && (!part.ids || part.count);) {
        int want = *left < PAGE ? *left : PAGE;
        dv_study_part now = take_off(&part);
        if (!study_page(db, q, &now, want, p, err))
            return false;
        const dv_study_row *rows = (const dv_study_row *)(const void *)p->rows;
        for (size_t i = 0; i < p->count; i++) {
            part.high = rows[i].id; /* of a range: the next page lies below */
            --*left;
            if (!each(user, &rows[i])) {
                *left = 0;
                break;
            }
        }
        more = part.ids || p->count == (size_t)want;
    }
    return true;
}

bool dv_query_studies(dv_db *db, const dv_study_query *q, bool (*each)(void *user, const dv_study_row *row), void *user,
                      dv_error *err)
{
    page p;
    dv_arena arena;
    page_begin(&p, sizeof(dv_study_row));
    dv_arena_init(&arena, 0);
    int left = q->limit > 0 ? q->limit : 100;
    dv_parts *parts = dv_parts_open(db, q, q->after, &arena, err);
    bool ok = parts != NULL;
    for (bool end = false; ok && !end && left > 0;) {
        dv_study_part part;
        ok = dv_parts_next(parts, &part, &end, err) && (end || each_of_part(db, q, part, &left, &p, each, user, err));
    }
    dv_arena_free(&arena);
    dv_arena_free(&p.arena);
    return ok;
}

/* ---- instances ---- */

#define INSTANCE_SELECT                                                                                                \
    "SELECT i.id, se.study, i.series, i.bytes, i.generation, i.job, i.received_at, i.sop_uid, i.received_sop_uid, "    \
    "i.sop_class,"                                                                                                     \
    " i.transfer_syntax, i.path, i.source, st.study_uid, se.series_uid, o.received_study_uid, o.received_series_uid, " \
    "i.received_hash,"                                                                                                 \
    " i.header_hash, i.body_hash FROM instances i JOIN series se ON se.id = i.series JOIN studies st ON st.id = "      \
    "se.study"                                                                                                         \
    " JOIN origins o ON o.id = i.origin"

static bool read_instance(const dv_rows *r, dv_arena *a, void *row)
{
    dv_instance_row *n = row;
    bool ok = true;
    *n = (dv_instance_row){.id = dv_rows_int(r, 0),
                           .study_id = dv_rows_int(r, 1),
                           .series_id = dv_rows_int(r, 2),
                           .bytes = dv_rows_int(r, 3),
                           .generation = dv_rows_int(r, 4),
                           .job = dv_rows_int(r, 5),
                           .received_at = dv_rows_int(r, 6)};
    dv_text *const texts[] = {
        &n->sop_uid,       &n->received_sop_uid, &n->sop_class,  &n->transfer_syntax,    &n->path,
        &n->source,        &n->study_uid,        &n->series_uid, &n->received_study_uid, &n->received_series_uid,
        &n->received_hash, &n->header_hash,      &n->body_hash};
    int column = 7;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        *texts[i] = copy(r, column++, a, &ok);
    return ok;
}

static dv_rows *instance_page(dv_db *db, dv_text uid, int64_t after, dv_error *err)
{
    if (uid.len == 0)
        return dv_db_query(db, err, INSTANCE_SELECT " WHERE i.id > $1 ORDER BY i.id LIMIT $2", "ii", after,
                           (int64_t)PAGE);
    /* "+": the UID, not the order, chooses the way */
    return dv_db_query(db, err, INSTANCE_SELECT " WHERE +i.id > $2 AND " DV_INSTANCE_BY_UID " ORDER BY +i.id LIMIT $3",
                       "tii", uid, after, (int64_t)PAGE);
}

bool dv_query_instances(dv_db *db, dv_text uid, int64_t after, bool (*each)(void *user, const dv_instance_row *row),
                        void *user, dv_error *err)
{
    page p;
    page_begin(&p, sizeof(dv_instance_row));
    bool ok = true;
    for (bool more = true; ok && more;) {
        ok = fill(&p, instance_page(db, uid, after, err), read_instance, err);
        const dv_instance_row *rows = (const dv_instance_row *)(const void *)p.rows;
        more = ok && p.count == PAGE;
        for (size_t i = 0; ok && i < p.count; i++) {
            after = rows[i].id;
            if (!each(user, &rows[i])) {
                more = false;
                break;
            }
        }
    }
    dv_arena_free(&p.arena);
    return ok;
}

/* ---- a study as received ---- */

typedef struct pair {
    dv_text series_uid, sop_uid;
} pair;

static bool read_pair(const dv_rows *r, dv_arena *a, void *row)
{
    bool ok = true;
    pair *p = row;
    *p = (pair){copy(r, 0, a, &ok), copy(r, 1, a, &ok)};
    return ok;
}

bool dv_query_received_study(dv_db *db, dv_text received_study_uid,
                             bool (*each)(void *user, dv_text series_uid, dv_text sop_uid), void *user, dv_error *err)
{
    page p;
    page_begin(&p, sizeof(pair));
    bool ok =
        fill(&p,
             dv_db_query(
                 db, err,
                 "SELECT o.received_series_uid, i.received_sop_uid FROM origins o JOIN instances i ON i.origin = o.id"
                 " WHERE o.received_study_uid = $1",
                 "t", received_study_uid),
             read_pair, err);
    const pair *rows = (const pair *)(const void *)p.rows;
    for (size_t i = 0; ok && i < p.count && each(user, rows[i].series_uid, rows[i].sop_uid); i++)
        ;
    dv_arena_free(&p.arena);
    return ok;
}

/* ---- audit ---- */

static bool read_edit(const dv_rows *r, dv_arena *a, void *row)
{
    bool ok = true;
    dv_audit_edit *e = row;
    *e = (dv_audit_edit){.path = copy(r, 0, a, &ok),
                         .before = copy(r, 1, a, &ok),
                         .after = copy(r, 2, a, &ok),
                         .stage = copy(r, 3, a, &ok),
                         .rule = copy(r, 4, a, &ok),
                         .kind = copy(r, 5, a, &ok)};
    return ok;
}

bool dv_query_edits(dv_db *db, int64_t instance, bool (*each)(void *user, const dv_audit_edit *edit), void *user,
                    dv_error *err)
{
    page p;
    page_begin(&p, sizeof(dv_audit_edit));
    bool ok = fill(
        &p,
        dv_db_query(db, err,
                    "SELECT path, before, after, stage, rule, kind FROM edits WHERE instance = $1 ORDER BY position",
                    "i", instance),
        read_edit, err);
    const dv_audit_edit *rows = (const dv_audit_edit *)(const void *)p.rows;
    for (size_t i = 0; ok && i < p.count && each(user, &rows[i]); i++)
        ;
    dv_arena_free(&p.arena);
    return ok;
}

static bool read_finding(const dv_rows *r, dv_arena *a, void *row)
{
    bool ok = true;
    dv_audit_finding *f = row;
    *f = (dv_audit_finding){.kind = copy(r, 0, a, &ok),
                            .rule = copy(r, 1, a, &ok),
                            .path = copy(r, 2, a, &ok),
                            .message = copy(r, 3, a, &ok)};
    return ok;
}

bool dv_query_findings(dv_db *db, int64_t instance, bool (*each)(void *user, const dv_audit_finding *finding),
                       void *user, dv_error *err)
{
    page p;
    page_begin(&p, sizeof(dv_audit_finding));
    bool ok = fill(&p,
                   dv_db_query(db, err,
                               "SELECT kind, rule, path, message FROM findings WHERE instance = $1 ORDER BY position",
                               "i", instance),
                   read_finding, err);
    const dv_audit_finding *rows = (const dv_audit_finding *)(const void *)p.rows;
    for (size_t i = 0; ok && i < p.count && each(user, &rows[i]); i++)
        ;
    dv_arena_free(&p.arena);
    return ok;
}

/* ---- quarantine ---- */

static bool read_quarantined(const dv_rows *r, dv_arena *a, void *row)
{
    dv_quarantine_row *q = row;
    bool ok = true;
    *q = (dv_quarantine_row){0};
    int64_t *const numbers[] = {&q->id,  &q->line,     &q->bytes,   &q->generation,
                                &q->job, &q->first_at, &q->last_at, &q->repeats};
    dv_text *const texts[] = {&q->state,
                              &q->reason,
                              &q->stage,
                              &q->rule,
                              &q->file,
                              &q->received_sop_uid,
                              &q->received_study_uid,
                              &q->received_series_uid,
                              &q->received_patient_id,
                              &q->received_accession,
                              &q->sop_class,
                              &q->transfer_syntax,
                              &q->path,
                              &q->source,
                              &q->findings};
    int column = 0;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        *numbers[i] = dv_rows_int(r, column++);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        *texts[i] = copy(r, column++, a, &ok);
    return ok;
}

static bool quarantine_page(dv_db *db, const dv_quarantine_query *q, int64_t before, int limit, page *p, dv_error *err)
{
    dv_sql sql = {0};
    const char *const columns[] = {"state", "rule", "received_study_uid", "received_sop_uid"};
    const dv_text values[] = {q->state, q->rule, q->received_study_uid, q->received_sop_uid};
    dv_buffer_string(
        &sql.text,
        "SELECT id, line, bytes, generation, job, first_at, last_at, repeats, state, reason, stage, rule, file,"
        " received_sop_uid, received_study_uid, received_series_uid, received_patient_id, received_accession,"
        " sop_class, transfer_syntax, path, source, findings FROM quarantine");
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (values[i].len)
            dv_sql_equal(&sql, &columns[i], 1, values[i]);
    if (q->id) {
        dv_sql_and(&sql);
        dv_buffer_string(&sql.text, "id = ");
        dv_sql_int(&sql, q->id);
    }
    if (before) {
        dv_sql_and(&sql);
        dv_buffer_string(&sql.text, "id < ");
        dv_sql_int(&sql, before);
    }
    dv_buffer_string(&sql.text, " ORDER BY id DESC LIMIT ");
    dv_sql_int(&sql, limit);
    bool ok = (!sql.text.failed || dv_fail(err, DV_ERR_MEMORY, "no memory for a query")) &&
              fill(p, dv_db_query_values(db, err, sql.text.at, sql.values, sql.count), read_quarantined, err);
    dv_buffer_free(&sql.text);
    return ok;
}

bool dv_query_quarantine(dv_db *db, const dv_quarantine_query *q,
                         bool (*each)(void *user, const dv_quarantine_row *row), void *user, dv_error *err)
{
    page p;
    page_begin(&p, sizeof(dv_quarantine_row));
    int64_t before = q->before;
    bool ok = true;
    int left = q->limit;
    for (bool more = true; ok && more;) {
        int want = left > 0 && left < PAGE ? left : PAGE;
        ok = quarantine_page(db, q, before, want, &p, err);
        const dv_quarantine_row *rows = (const dv_quarantine_row *)(const void *)p.rows;
        more = ok && p.count == (size_t)want;
        for (size_t i = 0; ok && i < p.count; i++) {
            before = rows[i].id;
            if (!each(user, &rows[i])) {
                more = false;
                break;
            }
        }
        if (left > 0 && (left -= want) == 0)
            more = false;
    }
    dv_arena_free(&p.arena);
    return ok;
}

/* ---- totals ---- */

bool dv_query_totals(dv_db *db, dv_totals *out, dv_error *err)
{
    *out = (dv_totals){0};
    const struct {
        const char *name;
        int64_t *to;
    } names[] = {{"patients", &out->patients},
                 {"studies", &out->studies},
                 {"series", &out->series},
                 {"instances", &out->instances},
                 {"bytes", &out->bytes},
                 {"rejected", &out->rejected},
                 {"held", &out->held},
                 {"excluded", &out->excluded},
                 {"unreadable", &out->unreadable},
                 {"duplicates", &out->duplicates}};
    dv_rows *r = dv_db_query(db, err, "SELECT name, SUM(value) FROM counters GROUP BY name", "");
    while (dv_rows_next(r))
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            if (dv_text_is(dv_rows_text(r, 0), names[i].name))
                *names[i].to = dv_rows_int(r, 1);
    return dv_rows_close(r, err);
}
