/* A study query as SQL. */
#include "catalog/fold.h"
#include "catalog/query_internal.h"

/* ---- writing SQL ---- */

static void add_value(dv_sql *sql, dv_value v)
{
    if (sql->count == DV_QUERY_VALUES) {
        sql->text.failed = true; /* cannot be: the longest query has 24, and 32 ids */
        return;
    }
    sql->values[sql->count++] = v;
    dv_buffer_printf(&sql->text, "$%zu", sql->count);
}

void dv_sql_text(dv_sql *sql, dv_text value)
{
    add_value(sql, (dv_value){.type = 't', .t = value});
}

void dv_sql_int(dv_sql *sql, int64_t value)
{
    add_value(sql, (dv_value){.type = 'i', .i = value});
}

void dv_sql_and(dv_sql *sql)
{
    dv_buffer_string(&sql->text, sql->where ? " AND " : " WHERE ");
    sql->where = true;
}

void dv_sql_equal(dv_sql *sql, const char *const *columns, size_t count, dv_text value)
{
    dv_sql_and(sql);
    for (size_t i = 0; i < count; i++) {
        dv_buffer_printf(&sql->text, "%s%s = ", i ? " OR " : count > 1 ? "(" : "", columns[i]);
        dv_sql_text(sql, value);
    }
    dv_buffer_string(&sql->text, count > 1 ? ")" : "");
}

/* PATTERN for LIKE: * to %, ? to _, what LIKE takes for its own escaped by a backslash. */
static dv_text like_of(dv_arena *a, dv_text pattern)
{
    char *out = dv_arena_alloc(a, pattern.len * 2);
    size_t n = 0;
    for (size_t i = 0; out && i < pattern.len; i++) {
        char c = pattern.at[i];
        if (c == '%' || c == '_' || c == '\\')
            out[n++] = '\\';
        out[n++] = (char)(c == '*' ? '%' : c == '?' ? '_' : c);
    }
    return (dv_text){out, n};
}

/* The last code point that there is follows. */
dv_text dv_sql_behind(dv_arena *a, dv_text prefix)
{
    char *out = dv_arena_alloc(a, prefix.len + 4);
    if (!out)
        return (dv_text){NULL, 0};
    memcpy(out, prefix.at, prefix.len);
    memcpy(out + prefix.len, "\xF4\x8F\xBF\xBF", 4);
    return (dv_text){out, prefix.len + 4};
}

size_t dv_sql_literal(dv_text pattern)
{
    size_t star = dv_text_find(pattern, '*'), mark = dv_text_find(pattern, '?');
    return star < mark ? star : mark;
}

void dv_sql_match(dv_sql *sql, const char *const *columns, size_t count, dv_text pattern)
{
    size_t literal = dv_sql_literal(pattern);
    if (literal == pattern.len) {
        dv_sql_equal(sql, columns, count, pattern);
        return;
    }
    dv_text prefix = {pattern.at, literal};
    bool prefix_only = literal + 1 == pattern.len && pattern.at[literal] == '*';
    if (prefix_only && literal == 0)
        return; /* "*" matches all (PS3.4 C.2.2.2.4) */
    dv_text end = dv_sql_behind(sql->arena, prefix), like = like_of(sql->arena, pattern);
    if (!end.at || !like.at)
        sql->text.failed = true;
    dv_sql_and(sql);
    for (size_t i = 0; i < count; i++) {
        dv_buffer_string(&sql->text, i ? " OR (" : "((");
        if (literal) {
            dv_buffer_printf(&sql->text, "%s >= ", columns[i]);
            dv_sql_text(sql, prefix);
            dv_buffer_printf(&sql->text, " AND %s < ", columns[i]);
            dv_sql_text(sql, end);
        }
        if (!prefix_only) {
            dv_buffer_printf(&sql->text, "%s%s LIKE ", literal ? " AND " : "", columns[i]);
            dv_sql_text(sql, like);
            dv_buffer_string(&sql->text, " ESCAPE '\\'");
        }
        dv_buffer_string(&sql->text, ")");
    }
    dv_buffer_string(&sql->text, ")");
}

/* ---- the study query ---- */

static bool is_date(dv_text t)
{
    for (size_t i = 0; i < t.len; i++)
        if (t.at[i] < '0' || t.at[i] > '9')
            return false;
    return t.len == 8;
}

bool dv_sql_dates(dv_text date, dv_text *from, dv_text *to, dv_error *err)
{
    *from = dv_text_split(date, '-', to);
    bool range = to->at != NULL;
    if ((from->len && !is_date(*from)) || (range && to->len && !is_date(*to)) ||
        (from->len == 0 && (!range || to->len == 0)))
        return dv_fail(err, DV_ERR_VALUE,
                       "the study date '%.*s' is none; write 20240131, 20240101-20241231, 20240101- or -20241231",
                       DV_ARG(date));
    if (!range)
        *to = *from;
    return true;
}

static bool match_date(dv_sql *sql, dv_text date, dv_error *err)
{
    dv_text from, to;
    if (!dv_sql_dates(date, &from, &to, err))
        return false;
    dv_sql_and(sql);
    /* no date is not an early date */
    dv_buffer_string(&sql->text, from.len ? "COALESCE(s.study_date, '') >= " : "COALESCE(s.study_date, '') > ");
    dv_sql_text(sql, from.len ? from : DV_TEXT(""));
    if (to.len) {
        dv_buffer_string(&sql->text, " AND COALESCE(s.study_date, '') <= ");
        dv_sql_text(sql, to);
    }
    return true;
}

static void match_folded(dv_sql *sql, const char *const *columns, size_t count, dv_text value)
{
    dv_text pattern = dv_fold(sql->arena, value);
    if (!pattern.at)
        sql->text.failed = true;
    else if (pattern.len)
        dv_sql_match(sql, columns, count, pattern);
}

/* Columns in COALESCE, which changes nothing: no database goes by an index of theirs then. */
bool dv_study_sql(const dv_study_query *q, const dv_study_part *part, int limit, dv_sql *sql, dv_error *err)
{
    static const char *const patient[] = {"COALESCE(s.patient_key, '')", "COALESCE(s.received_patient_key, '')"};
    static const char *const accession[] = {"COALESCE(s.accession_key, '')", "COALESCE(s.received_accession_key, '')"};
    static const char *const uid[] = {"COALESCE(s.study_uid, '')", "COALESCE(s.received_study_uid, '')"};
    static const char *const name[] = {"COALESCE(s.name_key, '')"}, *const source[] = {"COALESCE(s.source, '')"};
    dv_buffer_string(
        &sql->text,
        "SELECT s.id, s.study_uid, s.received_study_uid, s.patient_id, s.received_patient_id, s.patient_name, "
        "s.birth_date,"
        " s.sex, s.accession, s.received_accession, s.study_date, s.study_time, s.description, s.modalities,"
        " s.series_count, s.instance_count, s.bytes, s.first_received, s.last_received, s.generation_first,"
        " s.generation_last, s.finding_count FROM studies s");
    dv_sql_and(sql);
    if (part->ids) {
        dv_buffer_string(&sql->text, "s.id IN (");
        for (size_t i = 0; i < DV_PART_IDS; i++) { /* always as many, so that the text is the same */
            dv_buffer_string(&sql->text, i ? ", " : "");
            dv_sql_int(sql, i < part->count ? part->ids[i] : 0);
        }
        dv_buffer_string(&sql->text, ")");
    } else {
        dv_buffer_string(&sql->text, "s.id >= ");
        dv_sql_int(sql, part->low);
        dv_buffer_string(&sql->text, " AND s.id < ");
        dv_sql_int(sql, part->high);
    }
    match_folded(sql, patient, 2, q->patient_id);
    match_folded(sql, accession, 2, q->accession);
    match_folded(sql, name, 1, q->patient_name);
    if (q->study_uid.len)
        dv_sql_equal(sql, uid, 2, q->study_uid);
    if (q->study_date.len && !match_date(sql, q->study_date, err))
        return false;
    if (q->modality.len) {
        dv_sql_and(sql);
        dv_buffer_string(&sql->text, "EXISTS (SELECT 1 FROM study_modalities m WHERE m.study = s.id AND m.modality = ");
        dv_sql_text(sql, q->modality);
        dv_buffer_string(&sql->text, ")");
    }
    if (q->source.len)
        dv_sql_equal(sql, source, 1, q->source);
    if (q->flagged) {
        dv_sql_and(sql);
        dv_buffer_string(&sql->text, "COALESCE(s.finding_count, 0) > 0");
    }
    dv_buffer_string(&sql->text, " ORDER BY s.id DESC LIMIT ");
    dv_sql_int(sql, limit);
    return !sql->text.failed || dv_fail(err, DV_ERR_MEMORY, "no memory for a study query");
}
