/* Rows of instances and of quarantine: what was seen before, what is added, what is counted.
 *
 *   patients <- studies <- series <- instances -> origins (the series as received)
 * Arbitration comes first and the counts last, so that a conflict adds nothing. Only the writer's connection gets here,
 * inside a savepoint: what fails half-way is rolled back by who called. */
#include "base/buffer.h"
#include "base/hash.h"
#include "catalog/instances_internal.h"
#include "catalog/lists.h"

#include <pthread.h>
#include <unistd.h>

dv_text dv_or_empty(dv_text t)
{
    return t.at ? t : DV_TEXT("");
}

dv_text dv_hash_text(const uint8_t *hash)
{
    return (dv_text){(const char *)hash, hash ? DV_SHA256_BYTES : 0};
}

dv_text dv_fold_key(dv_text t, char buf[DV_FOLDED * DV_FOLD_GROWTH])
{
    if (t.len > DV_FOLDED)
        t.len = DV_FOLDED;
    return (dv_text){buf, dv_fold_into(t, buf)};
}

/* ---- counters ---- */

static char host_name[65];
static pthread_once_t host_once = PTHREAD_ONCE_INIT;

static void find_host(void)
{
    if (gethostname(host_name, sizeof host_name - 1) != 0)
        host_name[0] = '\0';
}

static const char *host(void)
{
    pthread_once(&host_once, find_host);
    return host_name;
}

/* The failure of a post is told by the member's next question or its release, which dv_catalog_write does. */
bool dv_catalog_count(dv_db *db, const char *name, int64_t add, dv_error *err)
{
    return dv_db_post(db, err,
                      "INSERT INTO counters (name, host, value) VALUES ($1, $2, $3)"
                      " ON CONFLICT (name, host) DO UPDATE SET value = counters.value + excluded.value",
                      "ssi", name, host(), add);
}

/* ---- seen before ---- */

/* A deflated dataset is known by the stream that came alone: what is stored is another one when a rule changed it. Another transfer syntax
 * alone makes all bytes others: then the hashes say nothing. */
static dv_seen compare(dv_text received_hash, dv_text body_hash, dv_text syntax, const uint8_t *received,
                       const uint8_t *body, dv_text new_syntax)
{
    if (new_syntax.len && !dv_text_equal(syntax, new_syntax))
        return DV_SEEN_RECODED;
    if (dv_text_is(syntax, DV_UID_DEFLATED_LE))
        return dv_text_equal(received_hash, dv_hash_text(received)) ? DV_SEEN_IDENTICAL : DV_SEEN_CONFLICT;
    if (!dv_text_equal(body_hash, dv_hash_text(body)))
        return DV_SEEN_CONFLICT;
    return dv_text_equal(received_hash, dv_hash_text(received)) ? DV_SEEN_IDENTICAL : DV_SEEN_HEADER;
}

bool dv_catalog_seen(dv_db *db, dv_text received_sop_uid, const uint8_t *received_hash, const uint8_t *body_hash,
                     dv_text transfer_syntax, dv_seen *seen, dv_error *err)
{
    *seen = DV_SEEN_NEW;
    dv_rows *r = dv_db_query(
        db, err, "SELECT received_hash, body_hash, transfer_syntax FROM instances WHERE received_sop_uid = $1", "t",
        dv_or_empty(received_sop_uid));
    if (dv_rows_next(r))
        *seen = compare(dv_rows_text(r, 0), dv_rows_text(r, 1), dv_rows_text(r, 2), received_hash, body_hash,
                        transfer_syntax);
    return dv_rows_close(r, err);
}

/* ---- the levels above an instance; each is found or made ---- */

/* Whether the same UID came for another study or patient: then it is another instance, whatever its pixels. (The origin's patient is that of
 * its first instance: what is IDENTICAL is so whatever it says.) */
static const char *other_owner(const dv_rows *r, const dv_instance *row, dv_seen seen)
{
    if (!dv_text_equal(dv_rows_text(r, 3), row->received_study_uid))
        return "this SOP Instance UID came before in another study";
    if (seen == DV_SEEN_IDENTICAL)
        return NULL;
    if (!dv_text_equal(dv_rows_text(r, 12), dv_or_empty(row->received_patient_id)) ||
        !dv_text_equal(dv_rows_text(r, 13), dv_or_empty(row->received_issuer)))
        return "this SOP Instance UID came before for another patient";
    return NULL;
}

bool dv_place_look_up(dv_db *db, const dv_instance *row, dv_place *p, dv_standing *s, dv_error *err)
{
    *s = (dv_standing){.seen = DV_SEEN_NEW};
    *p = (dv_place){0};
    dv_rows *r = dv_db_query(
        db, err,
        "SELECT i.id, i.received_hash, i.body_hash, o.received_study_uid, i.path, s.id, s.patient, p.patient_id, "
        "p.issuer, e.id, q.id, i.transfer_syntax, o.received_patient_id, o.received_issuer, i.received_at, i.version"
        " FROM (SELECT 1 AS one) x LEFT JOIN instances i ON i.received_sop_uid = $1 LEFT JOIN origins o ON o.id = "
        "i.origin"
        " LEFT JOIN studies s ON s.study_uid = $2 LEFT JOIN patients p ON p.id = s.patient"
        " LEFT JOIN series e ON e.study = s.id AND e.series_uid = $3"
        " LEFT JOIN origins q ON q.received_study_uid = $4 AND q.received_series_uid = $5",
        "ttttt", row->received_sop_uid, dv_or_empty(row->study_uid), dv_or_empty(row->series_uid),
        row->received_study_uid, row->received_series_uid);
    if (!dv_rows_next(r))
        return dv_rows_close(r, err);
    s->id = dv_rows_int(r, 0);
    if (s->id) {
        s->received_at = dv_rows_int(r, 14);
        s->version = dv_rows_int(r, 15);
        dv_text_copy(dv_rows_text(r, 4), s->path, sizeof s->path);
        s->seen = compare(dv_rows_text(r, 1), dv_rows_text(r, 2), dv_rows_text(r, 11), row->received_hash,
                          row->body_hash, row->transfer_syntax);
        const char *other = other_owner(r, row, s->seen);
        if (other)
            s->seen = DV_SEEN_CONFLICT;
        if (s->seen == DV_SEEN_CONFLICT)
            s->why = other ? other : "another body came before under this SOP Instance UID";
        p->own = s->seen == DV_SEEN_IDENTICAL && row->path.len && dv_text_equal(dv_rows_text(r, 4), row->path);
        if (p->own)
            s->seen = DV_SEEN_NEW;
    }
    p->study = dv_rows_int(r, 5);
    p->patient = dv_rows_int(r, 6);
    p->clash = p->study && (!dv_text_equal(dv_rows_text(r, 7), dv_or_empty(row->patient_id)) ||
                            !dv_text_equal(dv_rows_text(r, 8), dv_or_empty(row->issuer)));
    p->series = dv_rows_int(r, 9);
    p->origin = dv_rows_int(r, 10);
    return dv_rows_close(r, err);
}

/* Runs an INSERT with RETURNING id. *ID stays when the row was there already (ON CONFLICT DO NOTHING). */
static bool returned_id(dv_rows *r, int64_t *id, dv_error *err)
{
    if (dv_rows_next(r))
        *id = dv_rows_int(r, 0);
    return dv_rows_close(r, err);
}

bool dv_place_patient(dv_db *db, const dv_instance *row, dv_place *p, dv_error *err)
{
    dv_text id = dv_or_empty(row->patient_id), issuer = dv_or_empty(row->issuer);
    if (!dv_db_int(db, 0, &p->patient, err, "SELECT id FROM patients WHERE patient_id = $1 AND issuer = $2", "tt", id,
                   issuer))
        return false;
    if (p->patient)
        return true;
    char key[DV_FOLDED * DV_FOLD_GROWTH];
    p->new_patient = true;
    return returned_id(dv_db_query(db, err,
                                   "INSERT INTO patients (patient_id, issuer, name, name_key, birth_date, sex)"
                                   " VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
                                   "tttttt", id, issuer, dv_or_empty(row->patient_name),
                                   dv_fold_key(row->patient_name, key), dv_or_empty(row->birth_date),
                                   dv_or_empty(row->sex)),
                       &p->patient, err);
}

static bool make_study(dv_db *db, const dv_instance *row, dv_place *p, dv_error *err)
{
    char patient_key[DV_FOLDED * DV_FOLD_GROWTH], received_patient_key[DV_FOLDED * DV_FOLD_GROWTH],
        name_key[DV_FOLDED * DV_FOLD_GROWTH];
    char accession_key[DV_FOLDED * DV_FOLD_GROWTH], received_accession_key[DV_FOLDED * DV_FOLD_GROWTH];
    p->new_study = true;
    return dv_place_patient(db, row, p, err) &&
           returned_id(
               dv_db_query(
                   db, err,
                   "INSERT INTO studies (patient, study_uid, received_study_uid, patient_id, patient_key, "
                   "received_patient_id,"
                   " received_patient_key, received_issuer, patient_name, name_key, birth_date, sex, accession, "
                   "accession_key,"
                   " received_accession, received_accession_key, study_id, study_date, study_time, description,"
                   " referring_physician, modalities, source, series_count, instance_count, bytes, first_received,"
                   " last_received, generation_first, generation_last, finding_count) VALUES ($1, $2, $3, $4, $5, $6, "
                   "$7, $8,"
                   " $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, '', $22, 0, 0, 0, $23, $23, $24, "
                   "$24, 0)"
                   " RETURNING id",
                   "itttttttttttttttttttttii", p->patient, dv_or_empty(row->study_uid), row->received_study_uid,
                   dv_or_empty(row->patient_id), dv_fold_key(row->patient_id, patient_key),
                   dv_or_empty(row->received_patient_id), dv_fold_key(row->received_patient_id, received_patient_key),
                   dv_or_empty(row->received_issuer), dv_or_empty(row->patient_name),
                   dv_fold_key(row->patient_name, name_key), dv_or_empty(row->birth_date), dv_or_empty(row->sex),
                   dv_or_empty(row->accession), dv_fold_key(row->accession, accession_key),
                   dv_or_empty(row->received_accession), dv_fold_key(row->received_accession, received_accession_key),
                   dv_or_empty(row->study_id), dv_or_empty(row->study_date), dv_or_empty(row->study_time),
                   dv_or_empty(row->study_description), dv_or_empty(row->referring_physician), dv_or_empty(row->source),
                   row->received_at, row->generation),
               &p->study, err) &&
           dv_lists_touch(db, p->study, err);
}

static bool make_series(dv_db *db, const dv_instance *row, dv_place *p, dv_error *err)
{
    dv_text uid = dv_or_empty(row->series_uid), modality = dv_or_empty(row->modality);
    if (p->series)
        return true;
    p->new_series = true;
    if (!returned_id(
            dv_db_query(
                db, err,
                "INSERT INTO series (study, series_uid, received_series_uid, modality, number, description, body_part,"
                " instance_count) VALUES ($1, $2, $3, $4, $5, $6, $7, 0) RETURNING id",
                "itttttt", p->study, uid, row->received_series_uid, modality, dv_or_empty(row->series_number),
                dv_or_empty(row->series_description), dv_or_empty(row->body_part)),
            &p->series, err))
        return false;
    if (modality.len == 0)
        return true;
    if (!dv_db_exec(
            db, err,
            "INSERT INTO study_modalities (modality, study) VALUES ($1, $2) ON CONFLICT (modality, study) DO NOTHING",
            "ti", modality, p->study))
        return false;
    p->new_modality = dv_db_changes(db) > 0;
    return true;
}

static bool make_origin(dv_db *db, const dv_instance *row, dv_place *p, dv_error *err)
{
    return p->origin ||
           returned_id(
               dv_db_query(
                   db, err,
                   "INSERT INTO origins (received_study_uid, received_series_uid, received_patient_id, received_issuer,"
                   " received_accession) VALUES ($1, $2, $3, $4, $5) RETURNING id",
                   "ttttt", row->received_study_uid, row->received_series_uid, dv_or_empty(row->received_patient_id),
                   dv_or_empty(row->received_issuer), dv_or_empty(row->received_accession)),
               &p->origin, err);
}

/* ---- what hangs below an instance, and the counts above it ---- */

bool dv_place_audit(dv_db *db, const dv_instance *row, int64_t id, int64_t *findings, dv_error *err)
{
    int64_t position = 0;
    for (const dv_audit_edit *e = row->edits; e; e = e->next)
        if (!dv_db_post(db, err,
                        "INSERT INTO edits (instance, position, kind, path, before, after, stage, rule)"
                        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                        "iitttttt", id, ++position, dv_or_empty(e->kind), dv_or_empty(e->path), e->before, e->after,
                        dv_or_empty(e->stage), dv_or_empty(e->rule)))
            return false;
    *findings = 0;
    for (const dv_audit_finding *f = row->findings; f; f = f->next)
        if (!dv_db_post(
                db, err,
                "INSERT INTO findings (instance, position, kind, rule, path, message) VALUES ($1, $2, $3, $4, $5, $6)",
                "iitttt", id, ++*findings, dv_or_empty(f->kind), dv_or_empty(f->rule), dv_or_empty(f->path),
                dv_or_empty(f->message)))
            return false;
    return true;
}

/* studies.modalities with one more value, joined by a backslash. */
static bool add_modality(dv_db *db, const dv_instance *row, const dv_place *p, dv_error *err)
{
    return !p->new_modality || (dv_db_post(db, err,
                                           "UPDATE studies SET modalities = CASE modalities WHEN '' THEN $1 ELSE "
                                           "modalities || '\\' || $1 END WHERE id = $2",
                                           "ti", row->modality, p->study) &&
                                (p->new_study || dv_lists_touch(db, p->study, err)));
}

static bool count_up(dv_db *db, const dv_instance *row, const dv_place *p, int64_t findings, dv_error *err)
{
    int64_t bytes = (int64_t)row->bytes;
    return add_modality(db, row, p, err) &&
           dv_db_post(db, err, "UPDATE series SET instance_count = instance_count + 1 WHERE id = $1", "i", p->series) &&
           dv_db_post(
               db, err,
               "UPDATE studies SET series_count = series_count + $2, instance_count = instance_count + 1, bytes = "
               "bytes + $3,"
               " finding_count = finding_count + $4,"
               " first_received = CASE WHEN first_received > $5 THEN $5 ELSE first_received END,"
               " last_received = CASE WHEN last_received < $5 THEN $5 ELSE last_received END,"
               " generation_first = CASE WHEN generation_first > $6 THEN $6 ELSE generation_first END,"
               " generation_last = CASE WHEN generation_last < $6 THEN $6 ELSE generation_last END WHERE id = $1",
               "iiiiii", p->study, (int64_t)p->new_series, bytes, findings, row->received_at, row->generation) &&
           dv_db_post(db, err,
                      "INSERT INTO counters (name, host, value) VALUES ('instances', $1, 1), ('bytes', $1, $2)"
                      " ON CONFLICT (name, host) DO UPDATE SET value = counters.value + excluded.value",
                      "si", host(), bytes) &&
           (!p->new_series || dv_catalog_count(db, "series", 1, err)) &&
           (!p->new_study || dv_catalog_count(db, "studies", 1, err)) &&
           (!p->new_patient || dv_catalog_count(db, "patients", 1, err));
}

static bool insert_instance(dv_db *db, const dv_instance *row, const dv_place *p, int64_t *id, dv_error *err)
{
    *id = 0;
    bool ok = returned_id(dv_db_query(db, err,
                                      "INSERT INTO instances (series, origin, sop_uid, received_sop_uid, sop_class, "
                                      "transfer_syntax, instance_number, path,"
                                      " bytes, received_hash, header_hash, body_hash, generation, source, job, "
                                      "received_at, repeats, verified_at) VALUES"
                                      " ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 0, 0)"
                                      " ON CONFLICT (received_sop_uid) DO NOTHING RETURNING id",
                                      "iittttttibbbitii", p->series, p->origin, dv_or_empty(row->sop_uid),
                                      row->received_sop_uid, dv_or_empty(row->sop_class),
                                      dv_or_empty(row->transfer_syntax), dv_or_empty(row->instance_number),
                                      dv_or_empty(row->path), (int64_t)row->bytes, dv_hash_text(row->received_hash),
                                      dv_hash_text(row->header_hash), dv_hash_text(row->body_hash), row->generation,
                                      dv_or_empty(row->source), row->job, row->received_at),
                          id, err);
    if (!ok || !*id || !p->keep_id)
        return ok;
    int64_t added = *id; /* a row that is replaced keeps its number */
    *id = p->keep_id;
    return dv_db_post(db, err, "UPDATE instances SET id = $2, version = $3 WHERE id = $1", "iii", added, p->keep_id,
                      p->version);
}

static bool repeated(dv_db *db, int64_t id, dv_error *err)
{
    return dv_db_exec(db, err, "UPDATE instances SET repeats = repeats + 1 WHERE id = $1", "i", id) &&
           dv_catalog_count(db, "duplicates", 1, err);
}

static bool finish(dv_db *db, const dv_instance *row, const dv_place *p, int64_t id, dv_error *err)
{
    int64_t findings;
    return dv_place_audit(db, row, id, &findings, err) && count_up(db, row, p, findings, err);
}

bool dv_place_put(dv_db *db, const dv_instance *row, dv_place *p, int64_t *id, dv_error *err)
{
    if ((!p->study && !make_study(db, row, p, err)) || !make_series(db, row, p, err) || !make_origin(db, row, p, err) ||
        !insert_instance(db, row, p, id, err))
        return false;
    return !*id || finish(db, row, p, *id, err);
}

static bool needs_uids(const dv_instance *row, dv_error *err)
{
    return (row->received_sop_uid.len && row->received_study_uid.len && row->received_series_uid.len) ||
           dv_fail(err, DV_ERR_VALUE,
                   "an instance needs its SOP, Series and Study Instance UID as received (has '%.*s', '%.*s', '%.*s')",
                   DV_ARG(row->received_sop_uid), DV_ARG(row->received_series_uid), DV_ARG(row->received_study_uid));
}

bool dv_catalog_stands(dv_db *db, const dv_instance *row, dv_standing *out, dv_error *err)
{
    dv_place p;
    if (!needs_uids(row, err) || !dv_place_look_up(db, row, &p, out, err))
        return false;
    bool goes_in = out->seen == DV_SEEN_NEW ? !p.own : out->seen == DV_SEEN_HEADER || out->seen == DV_SEEN_RECODED;
    if (goes_in && p.clash && row->clash == DV_CLASH_HOLD) {
        out->seen = DV_SEEN_CONFLICT;
        out->why = "the study belongs to another patient";
    }
    return true;
}

/* The common case in one statement: series, origin and patient are there, the instance is not. *ID stays 0 when one of that is not so. */
static bool add_to_known(dv_db *db, const dv_instance *row, dv_place *p, int64_t *id, dv_error *err)
{
    *id = 0;
    *p = (dv_place){0};
    dv_rows *r = dv_db_query(
        db, err,
        "INSERT INTO instances (series, origin, sop_uid, received_sop_uid, sop_class, transfer_syntax, "
        "instance_number, path, bytes, received_hash, header_hash, body_hash, generation, source, job, received_at, "
        "repeats, verified_at) SELECT e.id, q.id, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, 0"
        " FROM studies s JOIN patients p ON p.id = s.patient JOIN series e ON e.study = s.id CROSS JOIN origins q"
        " WHERE s.study_uid = $15 AND p.patient_id = $16 AND p.issuer = $17 AND e.series_uid = $18"
        " AND q.received_study_uid = $19 AND q.received_series_uid = $20"
        " ON CONFLICT (received_sop_uid) DO NOTHING"
        " RETURNING id, series, (SELECT e.study FROM series e WHERE e.id = instances.series)",
        "ttttttibbbitiitttttt", dv_or_empty(row->sop_uid), row->received_sop_uid, dv_or_empty(row->sop_class),
        dv_or_empty(row->transfer_syntax), dv_or_empty(row->instance_number), dv_or_empty(row->path),
        (int64_t)row->bytes, dv_hash_text(row->received_hash), dv_hash_text(row->header_hash),
        dv_hash_text(row->body_hash), row->generation, dv_or_empty(row->source), row->job, row->received_at,
        dv_or_empty(row->study_uid), dv_or_empty(row->patient_id), dv_or_empty(row->issuer),
        dv_or_empty(row->series_uid), row->received_study_uid, row->received_series_uid);
    if (dv_rows_next(r)) {
        *id = dv_rows_int(r, 0);
        p->series = dv_rows_int(r, 1);
        p->study = dv_rows_int(r, 2);
    }
    return dv_rows_close(r, err);
}

bool dv_catalog_add_instance_why(dv_db *db, const dv_instance *row, dv_seen *seen, int64_t *existing, const char **why,
                                 dv_error *err)
{
    const char *unwanted;
    dv_place p = {0};
    dv_standing s;
    why = why ? why : &unwanted;
    *why = NULL;
    if (!needs_uids(row, err) || !add_to_known(db, row, &p, existing, err))
        return false;
    if (*existing) {
        *seen = DV_SEEN_NEW;
        return finish(db, row, &p, *existing, err);
    }
    if (!dv_place_look_up(db, row, &p, &s, err))
        return false;
    *seen = s.seen;
    *existing = s.id;
    *why = s.why;
    if (p.own)
        return true;
    if (*seen != DV_SEEN_NEW)
        return *seen != DV_SEEN_IDENTICAL || repeated(db, *existing, err);
    if (p.clash && row->clash == DV_CLASH_HOLD) {
        *seen = DV_SEEN_CONFLICT;
        *why = "the study belongs to another patient";
        return true;
    }
    if (p.clash && !dv_place_take_study(db, row, &p, err))
        return false;
    if (!dv_place_put(db, row, &p, existing, err))
        return false;
    if (*existing)
        return true;
    /* another host was faster; its transaction is committed, so this finds it */
    if (!dv_place_look_up(db, row, &p, &s, err))
        return false;
    *seen = s.seen;
    *existing = s.id;
    *why = s.why;
    return *seen != DV_SEEN_IDENTICAL || repeated(db, *existing, err);
}

bool dv_catalog_add_instance(dv_db *db, const dv_instance *row, dv_seen *seen, int64_t *existing, dv_error *err)
{
    return dv_catalog_add_instance_why(db, row, seen, existing, NULL, err);
}

/* ---- quarantine ---- */

static bool findings_json(const dv_audit_finding *findings, dv_buffer *out)
{
    dv_buffer_string(out, "[");
    for (const dv_audit_finding *f = findings; f; f = f->next) {
        dv_buffer_string(out, f == findings ? "{\"kind\":" : ",{\"kind\":");
        dv_buffer_json(out, dv_or_empty(f->kind));
        dv_buffer_string(out, ",\"rule\":");
        dv_buffer_json(out, dv_or_empty(f->rule));
        dv_buffer_string(out, ",\"path\":");
        dv_buffer_json(out, dv_or_empty(f->path));
        dv_buffer_string(out, ",\"message\":");
        dv_buffer_json(out, dv_or_empty(f->message));
        dv_buffer_string(out, "}");
    }
    dv_buffer_string(out, "]");
    return !out->failed;
}

/* *DUPLICATE: the row that is there is another file's; with the row of this very file (see find_instance's OWN) it is still needed. */
static bool count_repeat(dv_db *db, const dv_quarantined *row, int64_t *id, bool *duplicate, dv_error *err)
{
    *id = 0;
    *duplicate = false;
    if (!row->body_hash || !row->received_hash)
        return true;
    dv_rows *r = dv_db_query(
        db, err,
        "UPDATE quarantine SET repeats = repeats + 1, last_at = $6 WHERE received_sop_uid || '' = $1 AND state = $2"
        " AND rule = $3 AND body_hash = $4 AND received_hash = $5 RETURNING id, path", /* by the hash: many lack a UID */
        "tttbbi", dv_or_empty(row->received_sop_uid), dv_or_empty(row->state), dv_or_empty(row->rule),
        dv_hash_text(row->body_hash), dv_hash_text(row->received_hash), row->received_at);
    if (dv_rows_next(r)) {
        *id = dv_rows_int(r, 0);
        *duplicate = !dv_text_equal(dv_rows_text(r, 1), dv_or_empty(row->path));
    }
    return dv_rows_close(r, err);
}

static bool insert_quarantined(dv_db *db, const dv_quarantined *row, dv_text findings, int64_t *id, dv_error *err)
{
    return returned_id(
        dv_db_query(
            db, err,
            "INSERT INTO quarantine (state, reason, stage, rule, file, line, received_sop_uid, received_study_uid,"
            " received_series_uid, received_patient_id, received_accession, sop_class, transfer_syntax, path, bytes, "
            "body_hash,"
            " received_hash, generation, job, source, first_at, last_at, repeats, findings) VALUES ($1, $2, $3, $4, "
            "$5, $6, $7,"
            " $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $21, 0, $22) RETURNING id",
            "tttttittttttttibbiitit", dv_or_empty(row->state), dv_or_empty(row->reason), dv_or_empty(row->stage),
            dv_or_empty(row->rule), dv_or_empty(row->file), row->line, dv_or_empty(row->received_sop_uid),
            dv_or_empty(row->received_study_uid), dv_or_empty(row->received_series_uid),
            dv_or_empty(row->received_patient_id), dv_or_empty(row->received_accession), dv_or_empty(row->sop_class),
            dv_or_empty(row->transfer_syntax), dv_or_empty(row->path), (int64_t)row->bytes,
            dv_hash_text(row->body_hash), dv_hash_text(row->received_hash), row->generation, row->job,
            dv_or_empty(row->source), row->received_at, findings),
        id, err);
}

static const char *state_counter(dv_text state)
{
    static const char *const states[] = {"rejected", "held", "excluded", "unreadable"};
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (dv_text_is(state, states[i]))
            return states[i];
    return NULL;
}

bool dv_catalog_add_quarantined(dv_db *db, const dv_quarantined *row, int64_t *id, bool *duplicate, dv_error *err)
{
    const char *state = state_counter(row->state);
    if (!state)
        return dv_fail(err, DV_ERR_INTERNAL, "'%.*s' is no state of quarantine (rejected held excluded unreadable)",
                       DV_ARG(row->state));
    if (!count_repeat(db, row, id, duplicate, err))
        return false;
    if (*id)
        return true;
    dv_buffer json = {0};
    bool ok = findings_json(row->findings, &json) ||
              dv_fail(err, DV_ERR_MEMORY, "no memory for the findings of a quarantined instance");
    ok = ok && insert_quarantined(db, row, dv_buffer_as_text(&json), id, err) && dv_catalog_count(db, state, 1, err);
    dv_buffer_free(&json);
    return ok;
}

bool dv_catalog_remove_quarantined(dv_db *db, int64_t id, dv_error *err)
{
    const char *state = NULL;
    dv_rows *r = dv_db_query(db, err, "DELETE FROM quarantine WHERE id = $1 RETURNING state", "i", id);
    if (dv_rows_next(r))
        state = state_counter(dv_rows_text(r, 0));
    if (!dv_rows_close(r, err))
        return false;
    if (!state)
        return dv_fail(err, DV_ERR_NOT_FOUND, "there is no %lld in quarantine", (long long)id);
    return dv_catalog_count(db, state, -1, err);
}
