/* Submitting a batch: seeds are checked and thinned before anything is written, then all of it is one durable transaction. */
#include "migrate/migrate_internal.h"

#include "dicom/values.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_SEED = 256, MAX_NAME = 200 };

typedef struct seed {
    const char *kind;
    dv_text value;
    size_t place;
} seed;

typedef struct submit {
    const dv_batch_request *request;
    const char *name, *channel, *external_id;
    seed *seeds;
    size_t count;
    int64_t now;
    dv_batch_made *out;
} submit;

/* ---- seeds ---- */

static bool check_seed(const char *kind, dv_text value, dv_error *err)
{
    const char *what = strcmp(kind, "accession") == 0   ? "accession number"
                       : strcmp(kind, "study_uid") == 0 ? "study UID"
                                                        : "patient ID";
    for (size_t i = 0; i < value.len; i++) {
        char c = value.at[i];
        /* A source would take them for a pattern and answer with studies that nobody asked for (M31). */
        if (c == '*' || c == '?' || c == '\\')
            return dv_fail(err, DV_ERR_VALUE, "the %s '%.*s' has the wildcard '%c'; name each one, or use `all`", what,
                           DV_ARG(value), c);
        if ((unsigned char)c < 0x20)
            return dv_fail(err, DV_ERR_VALUE, "the %s '%.*s' has a control character", what, DV_ARG(value));
    }
    if (value.len > MAX_SEED)
        return dv_fail(err, DV_ERR_VALUE, "the %s '%.40s...' has %zu characters; %d are the most", what, value.at,
                       value.len, MAX_SEED);
    if (strcmp(kind, "study_uid") == 0)
        for (size_t i = 0; i < value.len; i++)
            if (value.at[i] != '.' && (value.at[i] < '0' || value.at[i] > '9'))
                return dv_fail(err, DV_ERR_VALUE, "the study UID '%.*s' is none: digits and dots only", DV_ARG(value));
    return true;
}

static bool take_seeds(submit *s, const char *kind, dv_seeds from, dv_error *err)
{
    for (size_t i = 0; i < from.count; i++) {
        dv_text value = dv_text_trim(dv_text_of(from.values[i]));
        if (value.len == 0) {
            s->out->blank++;
            continue;
        }
        if (!check_seed(kind, value, err))
            return false;
        s->seeds[s->count] = (seed){kind, value, s->count};
        s->count++;
    }
    return true;
}

static int by_value(const void *a, const void *b)
{
    const seed *x = a, *y = b;
    int order = strcmp(x->kind, y->kind);
    if (order == 0)
        order = dv_text_compare(x->value, y->value);
    return order ? order : x->place < y->place ? -1 : 1;
}

static int by_place(const void *a, const void *b)
{
    const seed *x = a, *y = b;
    return x->place < y->place ? -1 : x->place > y->place;
}

static void drop_doubles(submit *s)
{
    if (s->count < 2)
        return;
    qsort(s->seeds, s->count, sizeof *s->seeds, by_value);
    size_t kept = 1;
    for (size_t i = 1; i < s->count; i++) {
        const seed *last = &s->seeds[kept - 1];
        if (strcmp(last->kind, s->seeds[i].kind) == 0 && dv_text_equal(last->value, s->seeds[i].value))
            s->out->duplicates++;
        else
            s->seeds[kept++] = s->seeds[i];
    }
    s->count = kept;
    qsort(s->seeds, s->count, sizeof *s->seeds, by_place);
}

/* ---- the transaction ---- */

static bool source_is_usable(dv_db *db, const char *slug, dv_error *err)
{
    dv_arena arena;
    dv_arena_init(&arena, 0);
    dv_source source;
    bool ok = dv_source_load(db, dv_text_of(slug), 0, &arena, &source, err);
    dv_arena_free(&arena);
    return ok;
}

static bool write_batch(dv_db *db, void *user, dv_error *err)
{
    submit *s = user;
    const dv_batch_request *q = s->request;
    if (!source_is_usable(db, q->source, err))
        return false;
    if (s->external_id[0]) {
        if (!dv_db_int(db, 0, &s->out->id, err, "SELECT id FROM batches WHERE channel = $1 AND external_id = $2", "ss",
                       s->channel, s->external_id))
            return false;
        if (s->out->id) {
            s->out->existed = true;
            return true;
        }
    }
    if (!dv_db_int(db, 0, &s->out->id, err,
                   "INSERT INTO batches (name, source, priority, full_repull, paused, cancelled, external_id, channel, "
                   "options, created_at,"
                   " ended_at, report) VALUES ($1, $2, $3, $4, 0, 0, $5, $6, '{}', $7, 0, '') RETURNING id",
                   "ssiissi", s->name, q->source, (int64_t)q->priority, (int64_t)q->full_repull, s->external_id,
                   s->channel, s->now))
        return false;
    /* A patient beside other seeds is a condition, alone it is a seed. */
    dv_text patient = q->patient_id ? dv_text_trim(dv_text_of(q->patient_id)) : DV_TEXT("");
    for (size_t i = 0; i < s->count; i++) {
        bool bound = patient.len && strcmp(s->seeds[i].kind, "patient_id") != 0 && strcmp(s->seeds[i].kind, "all") != 0;
        if (!dv_db_exec(db, err,
                        "INSERT INTO entries (batch, kind, value, patient, state, error, next_at, tries, peer_tries, "
                        "lease_until, lease_owner)"
                        " VALUES ($1, $2, $3, $4, 'waiting', '', 0, 0, 0, 0, '')",
                        "istt", s->out->id, s->seeds[i].kind, s->seeds[i].value, bound ? patient : DV_TEXT("")))
            return false;
    }
    s->out->entries = (int64_t)s->count;
    return true;
}

bool dv_batch_submit(dv_migrate *m, const dv_batch_request *request, dv_batch_made *out, dv_error *err)
{
    *out = (dv_batch_made){0};
    if (!request->source || !request->source[0])
        return dv_fail(err, DV_ERR_VALUE, "the batch names no source; `drover peers` lists them");
    char name[MAX_NAME + 1], stamp[DV_STAMP_SIZE];
    submit s = {.request = request, .now = dv_wall_us(), .out = out};
    s.channel = request->channel && request->channel[0] ? request->channel : "cli";
    s.external_id = request->external_id ? request->external_id : "";
    dv_stamp(s.now, stamp);
    stamp[10] = ' ';
    dv_text given = request->name ? dv_text_trim(dv_text_of(request->name)) : DV_TEXT("");
    if (given.len)
        dv_text_copy(given, name, sizeof name);
    else
        snprintf(name, sizeof name, "%.40s %.16s", request->source, stamp);
    s.name = name;
    size_t most = request->accessions.count + request->study_uids.count + request->patient_ids.count + 2;
    s.seeds = calloc(most, sizeof *s.seeds);
    if (!s.seeds)
        return dv_fail(err, DV_ERR_MEMORY, "out of memory for %zu seeds", most);
    bool ok =
        take_seeds(&s, "accession", request->accessions, err) && take_seeds(&s, "study_uid", request->study_uids, err);
    if (ok && s.count == 0 && request->patient_id)
        ok = take_seeds(&s, "patient_id", (dv_seeds){&request->patient_id, 1}, err);
    ok = ok && take_seeds(&s, "patient_id", request->patient_ids, err);
    if (ok && request->all) {
        s.seeds[s.count] = (seed){"all", DV_TEXT(""), s.count};
        s.count++;
    }
    if (ok && s.count == 0)
        ok = dv_fail(err, DV_ERR_VALUE,
                     "the batch asks for nothing: give accession numbers, study UIDs, patient IDs, or `all`");
    if (ok) {
        drop_doubles(&s);
        ok = dv_catalog_write(m->catalog, true, write_batch, &s, err);
    }
    free(s.seeds);
    if (!ok)
        return false;
    dv_info("migrate", "batch %lld from %s: %lld seeds%s", (long long)out->id, request->source, (long long)out->entries,
            out->existed ? ", known already by its external id" : "");
    dv_migrate_changed(m, true);
    return true;
}

/* ---- from JSON ---- */

enum json_kind { TEXT, TEXTS, FLAG, NUMBER };
static const struct {
    const char *name;
    enum json_kind kind;
    const char *what;
} fields[] = {
    {"batch_name", TEXT, "a text"},
    {"source", TEXT, "a text"},
    {"accession_numbers", TEXTS, "a list of texts"},
    {"study_instance_uids", TEXTS, "a list of texts"},
    {"patient_ids", TEXTS, "a list of texts"},
    {"patient_id", TEXT, "a text"},
    {"all", FLAG, "true or false"},
    {"force_full_repull", FLAG, "true or false"},
    {"priority", NUMBER, "a number"},
    {"external_id", TEXT, "a text"},
    {"channel", TEXT, "a text"},
};
enum { FIELDS = sizeof fields / sizeof *fields };

static bool right_kind(const cJSON *item, enum json_kind kind)
{
    if (kind == TEXTS) {
        const cJSON *e;
        if (!cJSON_IsArray(item))
            return false;
        cJSON_ArrayForEach(e, item) if (!cJSON_IsString(e)) return false;
        return true;
    }
    return kind == TEXT ? cJSON_IsString(item) : kind == FLAG ? cJSON_IsBool(item) : cJSON_IsNumber(item);
}

static bool check_fields(const cJSON *seed_json, dv_error *err)
{
    if (!cJSON_IsObject(seed_json))
        return dv_fail(err, DV_ERR_VALUE, "a batch is a JSON object");
    const cJSON *item;
    cJSON_ArrayForEach(item, seed_json)
    {
        const char *nearest = NULL;
        unsigned best = 5;
        int hit = -1;
        for (int i = 0; i < FIELDS; i++) {
            unsigned d = dv_text_distance(dv_text_of(item->string), dv_text_of(fields[i].name), 4);
            if (d == 0 && strcmp(item->string, fields[i].name) == 0)
                hit = i;
            if (d < best) {
                best = d;
                nearest = fields[i].name;
            }
        }
        if (hit < 0)
            return dv_fail(err, DV_ERR_VALUE, "a batch has no field '%s'%s%s%s", item->string,
                           nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
        if (!cJSON_IsNull(item) && !right_kind(item, fields[hit].kind))
            return dv_fail(err, DV_ERR_VALUE, "the field '%s' must be %s", item->string, fields[hit].what);
    }
    return true;
}

static const char *text_field(const cJSON *o, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, name));
}

static dv_seeds list_field(const cJSON *o, const char *name, const char **room, size_t *used)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(o, name), *e;
    dv_seeds out = {room + *used, 0};
    if (cJSON_IsArray(list))
        cJSON_ArrayForEach(e, list) room[(*used)++] = e->valuestring, out.count++;
    return out;
}

static size_t list_length(const cJSON *o, const char *name)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(o, name);
    return cJSON_IsArray(list) ? (size_t)cJSON_GetArraySize(list) : 0;
}

cJSON *dv_batch_submit_json(dv_migrate *m, const cJSON *o, dv_error *err)
{
    if (!check_fields(o, err))
        return NULL;
    size_t n = list_length(o, "accession_numbers") + list_length(o, "study_instance_uids") +
               list_length(o, "patient_ids"),
           used = 0;
    const char **room = calloc(n + 1, sizeof *room);
    if (!room) {
        dv_fail(err, DV_ERR_MEMORY, "out of memory for %zu seeds", n);
        return NULL;
    }
    double priority = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(o, "priority"));
    dv_batch_request q = {
        .name = text_field(o, "batch_name"),
        .source = text_field(o, "source"),
        .patient_id = text_field(o, "patient_id"),
        .all = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "all")),
        .full_repull = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "force_full_repull")),
        .priority = priority > -1e6 && priority < 1e6 ? (int)priority : 0, /* NaN when it is not there */
        .external_id = text_field(o, "external_id"),
        .channel = text_field(o, "channel"),
    };
    q.accessions = list_field(o, "accession_numbers", room, &used);
    q.study_uids = list_field(o, "study_instance_uids", room, &used);
    q.patient_ids = list_field(o, "patient_ids", room, &used);
    dv_batch_made made;
    bool ok = dv_batch_submit(m, &q, &made, err);
    free(room);
    if (!ok)
        return NULL;
    cJSON *out = cJSON_CreateObject();
    if (!out || !cJSON_AddNumberToObject(out, "batch", (double)made.id) ||
        !cJSON_AddBoolToObject(out, "existed", made.existed) ||
        !cJSON_AddNumberToObject(out, "entries", (double)made.entries) ||
        !cJSON_AddNumberToObject(out, "duplicates", (double)made.duplicates) ||
        !cJSON_AddNumberToObject(out, "blank", (double)made.blank)) {
        cJSON_Delete(out);
        dv_fail(err, DV_ERR_MEMORY, "out of memory; batch %lld was made", (long long)made.id);
        return NULL;
    }
    return out;
}
