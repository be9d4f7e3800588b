/* versions.c: replace is "take the old row out, put the new one in by the way of every instance, sweep what became empty": so the counts are
 * made in one place. The id stays, for whoever holds it. */
#include "catalog/versions.h"
#include "base/buffer.h"
#include "catalog/instances_internal.h"
#include "catalog/lists.h"

const char *dv_seen_name(dv_seen seen)
{
    switch (seen) {
    case DV_SEEN_NEW:
        return "new";
    case DV_SEEN_IDENTICAL:
        return "identical";
    case DV_SEEN_HEADER:
        return "header changed";
    case DV_SEEN_RECODED:
        return "re-encoded";
    case DV_SEEN_CONFLICT:
        break;
    }
    return "conflict";
}

/* ---- what is in force ---- */

typedef struct old_row {
    int64_t series, study, patient, origin, bytes, findings;
    bool there;
} old_row;

static bool read_old(dv_db *db, const dv_standing *s, old_row *o, dv_error *err)
{
    *o = (old_row){0};
    dv_rows *r = dv_db_query(db, err,
                             "SELECT i.series, e.study, s.patient, i.origin, i.bytes, (SELECT count(*) FROM findings f "
                             "WHERE f.instance = i.id)"
                             " FROM instances i JOIN series e ON e.id = i.series JOIN studies s ON s.id = e.study"
                             " WHERE i.id = $1 AND i.path = $2",
                             "is", s->id, s->path);
    if (dv_rows_next(r))
        *o = (old_row){dv_rows_int(r, 0),
                       dv_rows_int(r, 1),
                       dv_rows_int(r, 2),
                       dv_rows_int(r, 3),
                       dv_rows_int(r, 4),
                       dv_rows_int(r, 5),
                       true};
    return dv_rows_close(r, err);
}

static bool next_number(dv_db *db, dv_text sop, int64_t in_force, int64_t *number, dv_error *err)
{
    int64_t most = 0;
    if (!dv_db_int(db, 0, &most, err, "SELECT max(number) FROM versions WHERE received_sop_uid = $1", "t", sop))
        return false;
    *number = (most > in_force ? most : in_force) + 1;
    return true;
}

static bool move_audit(dv_db *db, int64_t from, int64_t to, dv_error *err)
{
    return dv_db_post(db, err, "UPDATE edits SET instance = $2 WHERE instance = $1", "ii", from, to) &&
           dv_db_post(db, err, "UPDATE findings SET instance = $2 WHERE instance = $1", "ii", from, to);
}

/* The row of instances becomes one of versions, and leaves the counts. */
static bool take_out(dv_db *db, const dv_instance *row, const dv_standing *s, const old_row *o, int64_t number,
                     int64_t at, int64_t *version, dv_error *err)
{
    *version = 0;
    /* a file that is in force again is no version: adopted while it was waiting to be moved */
    int64_t waiting = 0;
    if (!dv_db_int(db, 0, &waiting, err, "SELECT id FROM versions WHERE received_sop_uid = $1 AND path = $2", "tt",
                   row->received_sop_uid, dv_or_empty(row->path)) ||
        (waiting && !dv_catalog_remove_version(db, waiting, err)))
        return false;
    dv_rows *r = dv_db_query(
        db, err,
        "INSERT INTO versions (received_sop_uid, number, replaced_by, replaced_at, class, sop_uid, sop_class, "
        "transfer_syntax, path, bytes, received_hash, header_hash, body_hash, generation, source, job, received_at, "
        "repeats, settled)"
        " SELECT received_sop_uid, version, $2, $3, $4, sop_uid, sop_class, transfer_syntax, path, bytes, "
        "received_hash, header_hash, body_hash, generation, source, job, received_at, repeats, 0 FROM instances WHERE "
        "id = $1 RETURNING id",
        "iiis", s->id, number, at, dv_seen_name(s->seen));
    if (dv_rows_next(r))
        *version = dv_rows_int(r, 0);
    return dv_rows_close(r, err) && move_audit(db, s->id, -*version, err) &&
           dv_db_post(db, err, "DELETE FROM damages WHERE instance = $1", "i", s->id) &&
           dv_db_exec(db, err, "DELETE FROM instances WHERE id = $1", "i", s->id) &&
           dv_db_post(db, err, "UPDATE series SET instance_count = instance_count - 1 WHERE id = $1", "i", o->series) &&
           dv_db_post(db, err,
                      "UPDATE studies SET instance_count = instance_count - 1, bytes = bytes - $2, finding_count = "
                      "finding_count - $3 WHERE id = $1",
                      "iii", o->study, o->bytes, o->findings) &&
           dv_catalog_count(db, "instances", -1, err) && dv_catalog_count(db, "bytes", -o->bytes, err) &&
           dv_catalog_count(db, "versions", 1, err);
}

/* ---- what became empty ---- */

/* Runs a DELETE and counts NAME down when a row went. */
static bool sweep(dv_db *db, const char *name, const char *sql, int64_t id, bool *gone, dv_error *err)
{
    if (!dv_db_exec(db, err, sql, "i", id))
        return false;
    *gone = dv_db_changes(db) > 0;
    return !*gone || dv_catalog_count(db, name, -1, err);
}

static bool sweep_patient(dv_db *db, int64_t patient, dv_error *err)
{
    bool gone;
    return sweep(db, "patients",
                 "DELETE FROM patients WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM studies WHERE patient = $1)",
                 patient, &gone, err);
}

/* The modalities of STUDY's series, after one went. */
static bool modalities_again(dv_db *db, int64_t study, dv_error *err)
{
    dv_buffer joined = {0};
    bool ok = dv_db_exec(db, err,
                         "DELETE FROM study_modalities WHERE study = $1 AND NOT EXISTS (SELECT 1 FROM series e WHERE "
                         "e.study = $1 AND e.modality = study_modalities.modality)",
                         "i", study);
    dv_rows *r = ok ? dv_db_query(db, err,
                                  "SELECT modality, min(id) FROM series WHERE study = $1 AND modality <> '' GROUP BY "
                                  "modality ORDER BY 2",
                                  "i", study)
                    : NULL;
    while (dv_rows_next(r))
        dv_buffer_printf(&joined, "%s%.*s", joined.len ? "\\" : "", DV_ARG(dv_rows_text(r, 0)));
    ok = dv_rows_close(r, err) && ok;
    ok = ok && (!joined.failed || dv_fail(err, DV_ERR_MEMORY, "no memory for a study's modalities")) &&
         dv_db_exec(db, err, "UPDATE studies SET modalities = $2 WHERE id = $1", "it", study,
                    joined.at ? dv_buffer_as_text(&joined) : DV_TEXT("")) &&
         dv_lists_touch(db, study, err);
    dv_buffer_free(&joined);
    return ok;
}

static bool sweep_empty(dv_db *db, const old_row *o, dv_error *err)
{
    bool no_series, no_study;
    if (!sweep(db, "series", "DELETE FROM series WHERE id = $1 AND instance_count = 0", o->series, &no_series, err))
        return false;
    if (no_series &&
        (!dv_db_exec(db, err, "UPDATE studies SET series_count = series_count - 1 WHERE id = $1", "i", o->study) ||
         !modalities_again(db, o->study, err)))
        return false;
    if (!sweep(db, "studies", "DELETE FROM studies WHERE id = $1 AND instance_count = 0", o->study, &no_study, err))
        return false;
    return sweep_patient(db, o->patient, err);
}

/* ---- the study says what the newest instance says ---- */

static bool set_study(dv_db *db, const dv_instance *row, int64_t study, dv_error *err)
{
    enum { KEY = DV_FOLDED * DV_FOLD_GROWTH };
    char patient[KEY], name[KEY], accession[KEY], received_patient[KEY], received_accession[KEY];
    return dv_db_exec(db, err,
                      "UPDATE studies SET patient_id = $2, patient_key = $3, patient_name = $4, name_key = $5, "
                      "birth_date = $6, sex = $7, accession = $8, accession_key = $9, study_id = $10, study_date = "
                      "$11, study_time = $12, description = $13, referring_physician = $14 WHERE id = $1",
                      "itttttttttttt"
                      "t",
                      study, dv_or_empty(row->patient_id), dv_fold_key(row->patient_id, patient),
                      dv_or_empty(row->patient_name), dv_fold_key(row->patient_name, name),
                      dv_or_empty(row->birth_date), dv_or_empty(row->sex), dv_or_empty(row->accession),
                      dv_fold_key(row->accession, accession), dv_or_empty(row->study_id), dv_or_empty(row->study_date),
                      dv_or_empty(row->study_time), dv_or_empty(row->study_description),
                      dv_or_empty(row->referring_physician)) &&
           /* a study that rules merged is known by the first of its sources' */
           dv_db_exec(db, err,
                      "UPDATE studies SET received_patient_id = $3, received_patient_key = $4, received_issuer = $5, "
                      "received_accession = $6, received_accession_key = $7 WHERE id = $1 AND received_study_uid = $2",
                      "itttttt", study, row->received_study_uid, dv_or_empty(row->received_patient_id),
                      dv_fold_key(row->received_patient_id, received_patient), dv_or_empty(row->received_issuer),
                      dv_or_empty(row->received_accession), dv_fold_key(row->received_accession, received_accession)) &&
           dv_lists_touch(db, study, err);
}

static bool set_series(dv_db *db, const dv_instance *row, const dv_place *p, dv_error *err)
{
    return dv_db_exec(db, err,
                      "UPDATE series SET modality = $2, number = $3, description = $4, body_part = $5 WHERE id = $1",
                      "itttt", p->series, dv_or_empty(row->modality), dv_or_empty(row->series_number),
                      dv_or_empty(row->series_description), dv_or_empty(row->body_part)) &&
           (dv_or_empty(row->modality).len == 0 ||
            dv_db_exec(
                db, err,
                "INSERT INTO study_modalities (modality, study) VALUES ($1, $2) ON CONFLICT (modality, study) DO "
                "NOTHING",
                "ti", row->modality, p->study)) &&
           modalities_again(db, p->study, err);
}

/* Study, series and patient say what ROW says: the newest is in force. */
static bool says(dv_db *db, const dv_instance *row, const dv_place *p, dv_error *err)
{
    char key[DV_FOLDED * DV_FOLD_GROWTH];
    return set_study(db, row, p->study, err) && set_series(db, row, p, err) &&
           dv_db_exec(db, err,
                      "UPDATE patients SET name = $2, name_key = $3, birth_date = $4, sex = $5 WHERE id = (SELECT "
                      "patient FROM studies WHERE id = $1)",
                      "itttt", p->study, dv_or_empty(row->patient_name), dv_fold_key(row->patient_name, key),
                      dv_or_empty(row->birth_date), dv_or_empty(row->sex));
}

bool dv_place_take_study(dv_db *db, const dv_instance *row, dv_place *p, dv_error *err)
{
    int64_t before = p->patient, last = 0;
    if (row->clash == DV_CLASH_NEWER &&
        !dv_db_int(db, 0, &last, err, "SELECT last_received FROM studies WHERE id = $1", "i", p->study))
        return false;
    if (row->clash == DV_CLASH_KEEP || row->received_at < last)
        return true;
    if (!dv_place_patient(db, row, p, err) ||
        !dv_db_exec(db, err, "UPDATE studies SET patient = $2 WHERE id = $1", "ii", p->study, p->patient) ||
        !set_study(db, row, p->study, err))
        return false;
    p->clash = false;
    return sweep_patient(db, before, err);
}

/* ---- replace ---- */

bool dv_catalog_replace(dv_db *db, const dv_instance *row, const dv_standing *s, int64_t at, dv_replaced *out,
                        dv_error *err)
{
    old_row old;
    dv_place p;
    dv_standing now;
    int64_t id = 0;
    *out = (dv_replaced){0};
    if (!read_old(db, s, &old, err))
        return false;
    if (!old.there)
        return true;
    if (!next_number(db, row->received_sop_uid, s->version, &out->number, err) ||
        !take_out(db, row, s, &old, out->number, at, &out->version, err) || !dv_place_look_up(db, row, &p, &now, err))
        return false;
    if (p.clash && row->clash == DV_CLASH_HOLD) { /* asked before: dv_catalog_stands */
        return dv_fail(err, DV_ERR_LOCKED, "the study went to another patient meanwhile; send the instance once more");
    }
    if (p.clash && !dv_place_take_study(db, row, &p, err))
        return false;
    p.keep_id = s->id;
    p.version = out->number;
    if (!dv_place_put(db, row, &p, &id, err) ||
        (!id && !dv_fail(err, DV_ERR_LOCKED, "the stored instance changed meanwhile; send it once more")) ||
        (!p.clash && !says(db, row, &p, err)) ||
        !dv_db_exec(db, err,
                    "UPDATE origins SET received_patient_id = $2, received_issuer = $3, received_accession = $4 WHERE "
                    "id = $1",
                    "ittt", p.origin, dv_or_empty(row->received_patient_id), dv_or_empty(row->received_issuer),
                    dv_or_empty(row->received_accession)))
        return false;
    out->done = true;
    return sweep_empty(db, &old, err);
}

/* ---- beside what is in force ---- */

bool dv_catalog_repeat_version(dv_db *db, const dv_instance *row, int64_t *id, dv_error *err)
{
    *id = 0;
    dv_rows *r = dv_db_query(db, err,
                             "UPDATE versions SET repeats = repeats + 1 WHERE id = (SELECT max(id) FROM versions WHERE "
                             "received_sop_uid = $1 AND received_hash = $2 AND body_hash = $3 AND transfer_syntax = $4)"
                             " RETURNING id",
                             "tbbt", row->received_sop_uid, dv_hash_text(row->received_hash),
                             dv_hash_text(row->body_hash), dv_or_empty(row->transfer_syntax));
    if (dv_rows_next(r))
        *id = dv_rows_int(r, 0);
    return dv_rows_close(r, err) && (!*id || dv_catalog_count(db, "duplicates", 1, err));
}

static bool insert_version(dv_db *db, const dv_instance *row, const dv_version *v, int64_t *id, dv_error *err)
{
    dv_rows *r = dv_db_query(
        db, err,
        "INSERT INTO versions (received_sop_uid, number, replaced_by, replaced_at, class, sop_uid, sop_class, "
        "transfer_syntax, path, bytes, received_hash, header_hash, body_hash, generation, source, job, received_at, "
        "repeats, settled) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, 0, 1)"
        " RETURNING id",
        "tiiittttt"
        "ibbbitii",
        row->received_sop_uid, v->number, v->replaced_by, v->replaced_at, v->class, dv_or_empty(row->sop_uid),
        dv_or_empty(row->sop_class), dv_or_empty(row->transfer_syntax), dv_or_empty(row->path), (int64_t)row->bytes,
        dv_hash_text(row->received_hash), dv_hash_text(row->header_hash), dv_hash_text(row->body_hash), row->generation,
        dv_or_empty(row->source), row->job, row->received_at);
    if (dv_rows_next(r))
        *id = dv_rows_int(r, 0);
    int64_t findings;
    return dv_rows_close(r, err) && dv_place_audit(db, row, -*id, &findings, err) &&
           dv_catalog_count(db, "versions", 1, err);
}

bool dv_catalog_add_version(dv_db *db, const dv_instance *row, dv_seen seen, int64_t at, bool count_equal,
                            int64_t *id, bool *known, dv_error *err)
{
    int64_t in_force = 0, instance = 0, received_at = 0, number = 0;
    *known = false; /* the row of this very file: recovery, that runs beside, was faster */
    if (!dv_db_int(db, 0, id, err, "SELECT id FROM versions WHERE received_sop_uid = $1 AND path = $2", "tt",
                   row->received_sop_uid, dv_or_empty(row->path)))
        return false;
    if (*id)
        return true;
    if (count_equal && !dv_catalog_repeat_version(db, row, id, err))
        return false;
    *known = *id != 0;
    if (*known)
        return true;
    dv_rows *r = dv_db_query(db, err, "SELECT id, version, received_at FROM instances WHERE received_sop_uid = $1", "t",
                             row->received_sop_uid);
    if (dv_rows_next(r)) {
        instance = dv_rows_int(r, 0);
        in_force = dv_rows_int(r, 1);
        received_at = dv_rows_int(r, 2);
    }
    if (!dv_rows_close(r, err))
        return false;
    if (!instance)
        return dv_fail(err, DV_ERR_NOT_FOUND, "no instance %.*s is in force", DV_ARG(row->received_sop_uid));
    if (!next_number(db, row->received_sop_uid, in_force, &number, err))
        return false;
    bool older = row->received_at < received_at;
    dv_version v = {.number = older ? in_force : number,
                    .replaced_by = older ? number : 0,
                    .replaced_at = at,
                    .class = dv_text_of(dv_seen_name(seen))};
    return insert_version(db, row, &v, id, err) &&
           (!older || dv_db_exec(db, err, "UPDATE instances SET version = $2 WHERE id = $1", "ii", instance, number));
}

/* ---- looking, ending ---- */

static bool copy_version(const dv_rows *r, dv_arena *a, dv_version *v)
{
    int64_t *const numbers[] = {&v->id,         &v->number, &v->replaced_by, &v->replaced_at, &v->bytes,
                                &v->generation, &v->job,    &v->received_at, &v->repeats};
    dv_text *const texts[] = {&v->class, &v->received_sop_uid, &v->sop_uid,       &v->sop_class,   &v->transfer_syntax,
                              &v->path,  &v->source,           &v->received_hash, &v->header_hash, &v->body_hash};
    int column = 0;
    bool ok = true;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        *numbers[i] = dv_rows_int(r, column++);
    v->settled = dv_rows_int(r, column++) != 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        *texts[i] = dv_arena_text(a, dv_rows_text(r, column++));
        ok = ok && texts[i]->at;
    }
    return ok;
}

#define VERSION                                                                                                        \
    "SELECT id, number, replaced_by, replaced_at, bytes, generation, job, received_at, repeats, settled, class, "      \
    "received_sop_uid, sop_uid, sop_class, transfer_syntax, path, source, received_hash, header_hash, body_hash "      \
    "FROM versions "

bool dv_catalog_each_version(dv_db *db, const dv_version_query *q, bool (*each)(void *user, const dv_version *v),
                             void *user, dv_error *err)
{
    typedef struct found {
        dv_version v;
        struct found *next;
    } found;
    dv_arena arena;
    dv_arena_init(&arena, 0);
    found *first = NULL, **tail = &first;
    bool memory = true;
    int64_t limit = q->limit ? q->limit : 1000;
    dv_rows *r =
        q->received_sop_uid.at ? dv_db_query(db, err, VERSION "WHERE received_sop_uid = $1 ORDER BY number LIMIT $2",
                                             "ti", q->received_sop_uid, limit)
        : q->id                ? dv_db_query(db, err, VERSION "WHERE id = $1", "i", q->id)
        : q->unsettled         ? dv_db_query(db, err, VERSION "WHERE settled = 0 ORDER BY id LIMIT $1", "i", limit)
        : q->newest_first ? dv_db_query(db, err, VERSION "WHERE replaced_at < $1 ORDER BY replaced_at DESC LIMIT $2",
                                        "ii", q->replaced_before, limit)
                          : dv_db_query(db, err, VERSION "WHERE replaced_at < $1 ORDER BY replaced_at LIMIT $2", "ii",
                                        q->replaced_before, limit);
    while (memory && dv_rows_next(r)) {
        found *f = dv_arena_zalloc(&arena, 1, sizeof *f);
        memory = f && copy_version(r, &arena, &f->v);
        if (memory) {
            *tail = f;
            tail = &f->next;
        }
    }
    bool ok = dv_rows_close(r, err) && (memory || dv_fail(err, DV_ERR_MEMORY, "no memory for versions"));
    for (const found *f = first; ok && f && each(user, &f->v); f = f->next)
        ;
    dv_arena_free(&arena);
    return ok;
}

bool dv_catalog_settle_version(dv_db *db, int64_t id, dv_text path, dv_error *err)
{
    return dv_db_exec(db, err, "UPDATE versions SET path = $2, settled = 1 WHERE id = $1", "it", id, path);
}

bool dv_catalog_remove_version(dv_db *db, int64_t id, dv_error *err)
{
    return dv_db_exec(db, err, "DELETE FROM edits WHERE instance = $1", "i", -id) &&
           dv_db_exec(db, err, "DELETE FROM findings WHERE instance = $1", "i", -id) &&
           dv_db_exec(db, err, "DELETE FROM versions WHERE id = $1", "i", id) &&
           (dv_db_changes(db) == 0 || dv_catalog_count(db, "versions", -1, err));
}
