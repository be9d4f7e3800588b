#include "base/buffer.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "catalog/query.h"
#include "web/api.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct sender {
    dv_reply *reply;
    dv_error *err;
    bool ok;
    int64_t rows;
} sender;

/* ---- studies ---- */

static bool each_study(void *user, const dv_study_row *s)
{
    sender *to = user;
    cJSON *row = cJSON_CreateObject();
    cJSON_AddNumberToObject(row, "id", (double)s->id);
    dv_json_text(row, "patient_id", s->patient_id);
    dv_json_text(row, "received_patient_id", s->received_patient_id);
    dv_json_text(row, "patient_name", s->patient_name);
    dv_json_text(row, "birth_date", s->birth_date);
    dv_json_text(row, "sex", s->sex);
    dv_json_text(row, "accession", s->accession);
    dv_json_text(row, "received_accession", s->received_accession);
    dv_json_text(row, "study_date", s->study_date);
    dv_json_text(row, "study_time", s->study_time);
    dv_json_text(row, "description", s->description);
    dv_json_text(row, "modalities", s->modalities);
    cJSON_AddNumberToObject(row, "series", (double)s->series);
    cJSON_AddNumberToObject(row, "instances", (double)s->instances);
    cJSON_AddNumberToObject(row, "bytes", (double)s->bytes);
    dv_json_text(row, "study_uid", s->study_uid);
    dv_json_text(row, "received_study_uid", s->received_study_uid);
    cJSON_AddNumberToObject(row, "generation_first", (double)s->generation_first);
    cJSON_AddNumberToObject(row, "generation_last", (double)s->generation_last);
    cJSON_AddNumberToObject(row, "findings", (double)s->findings);
    dv_json_stamp(row, "first_received", s->first_received);
    dv_json_stamp(row, "last_received", s->last_received);
    to->rows++;
    return to->ok = dv_reply_row(to->reply, row, to->err);
}

bool dv_api_studies(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    dv_db *db = dv_catalog_reader(site->catalog, err);
    sender to = {reply, err, true, 0};
    dv_study_query q = {
        .patient_id = dv_text_of(dv_args_text(args, "patient_id")),
        .patient_name = dv_text_of(dv_args_text(args, "patient_name")),
        .accession = dv_text_of(dv_args_text(args, "accession")),
        .study_date = dv_text_of(dv_args_text(args, "study_date")),
        .modality = dv_text_of(dv_args_text(args, "modality")),
        .study_uid = dv_text_of(dv_args_text(args, "study_uid")),
        .source = dv_text_of(dv_args_text(args, "source")),
        .flagged = dv_args_bool(args, "flagged"),
        .after = dv_args_int(args, "after", 0),
        .limit = (int)dv_args_int(args, "limit", 0),
    };
    return db && dv_query_studies(db, &q, each_study, &to, err) && to.ok;
}

/* ---- instances ---- */

static void json_hash(cJSON *row, const char *name, dv_text hash)
{
    char hex[DV_SHA256_HEX];
    if (hash.len == DV_SHA256_BYTES)
        cJSON_AddStringToObject(row, name, dv_hex((const uint8_t *)hash.at, hash.len, hex));
}

static cJSON *instance_json(const dv_instance_row *i)
{
    cJSON *row = cJSON_CreateObject();
    cJSON_AddNumberToObject(row, "id", (double)i->id);
    dv_json_text(row, "sop_uid", i->sop_uid);
    dv_json_text(row, "received_sop_uid", i->received_sop_uid);
    dv_json_text(row, "series_uid", i->series_uid);
    dv_json_text(row, "study_uid", i->study_uid);
    dv_json_text(row, "sop_class", i->sop_class);
    dv_json_text(row, "transfer_syntax", i->transfer_syntax);
    dv_json_text(row, "path", i->path);
    cJSON_AddNumberToObject(row, "bytes", (double)i->bytes);
    dv_json_text(row, "source", i->source);
    cJSON_AddNumberToObject(row, "generation", (double)i->generation);
    cJSON_AddNumberToObject(row, "job", (double)i->job);
    dv_json_stamp(row, "received_at", i->received_at);
    json_hash(row, "received_hash", i->received_hash);
    json_hash(row, "header_hash", i->header_hash);
    json_hash(row, "body_hash", i->body_hash);
    return row;
}

static bool each_instance(void *user, const dv_instance_row *i)
{
    sender *to = user;
    to->rows++;
    return to->ok = dv_reply_row(to->reply, instance_json(i), to->err);
}

bool dv_api_instances(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    const char *uid = dv_args_text(args, "uid");
    dv_db *db = dv_catalog_reader(site->catalog, err);
    sender to = {reply, err, true, 0};
    return db && dv_query_instances(db, dv_text_of(uid ? uid : ""), 0, each_instance, &to, err) && to.ok;
}

/* ---- audit: what rules did to each instance of UID ---- */

/* Instances first, then their edits: a connection holds one open result of a statement. */
typedef struct audited {
    cJSON *list;
    bool ok;
} audited;

static bool collect_instance(void *user, const dv_instance_row *i)
{
    audited *a = user;
    return a->ok = cJSON_AddItemToArray(a->list, instance_json(i)) != 0;
}

static bool each_edit(void *user, const dv_audit_edit *e)
{
    cJSON *row = cJSON_CreateObject();
    dv_json_text(row, "kind", e->kind);
    dv_json_text(row, "path", e->path);
    dv_json_text(row, "before", e->before);
    dv_json_text(row, "after", e->after);
    dv_json_text(row, "stage", e->stage);
    dv_json_text(row, "rule", e->rule);
    return cJSON_AddItemToArray(user, row) != 0;
}

static bool each_finding(void *user, const dv_audit_finding *f)
{
    cJSON *row = cJSON_CreateObject();
    dv_json_text(row, "kind", f->kind);
    dv_json_text(row, "rule", f->rule);
    dv_json_text(row, "path", f->path);
    dv_json_text(row, "message", f->message);
    return cJSON_AddItemToArray(user, row) != 0;
}

/* Its number, and the versions that are not in force, each with its own edits and findings. */
static bool add_versions(dv_site *site, dv_db *db, int64_t id, cJSON *row, dv_error *err)
{
    int64_t number = 1;
    const char *sop = dv_args_text(row, "received_sop_uid");
    cJSON *list = cJSON_AddArrayToObject(row, "versions"), *v;
    if (!dv_db_int(db, 1, &number, err, "SELECT version FROM instances WHERE id = $1", "i", id) ||
        !dv_version_list(site, db, dv_text_of(sop ? sop : ""), list, err))
        return false;
    cJSON_AddNumberToObject(row, "version", (double)number);
    cJSON_ArrayForEach(v, list)
    {
        int64_t version = dv_args_int(v, "id", 0);
        if (!dv_query_edits(db, -version, each_edit, cJSON_AddArrayToObject(v, "edits"), err) ||
            !dv_query_findings(db, -version, each_finding, cJSON_AddArrayToObject(v, "findings"), err))
            return false;
    }
    return true;
}

bool dv_api_audit(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    const char *uid = dv_args_text(args, "uid");
    if (!uid || !*uid)
        return dv_fail(err, DV_ERR_USAGE, "which instance, series or study? give its UID");
    dv_db *db = dv_catalog_reader(site->catalog, err);
    audited a = {cJSON_CreateArray(), true};
    bool ok = db && dv_query_instances(db, dv_text_of(uid), 0, collect_instance, &a, err);
    if (ok && cJSON_GetArraySize(a.list) == 0)
        ok =
            dv_fail(err, DV_ERR_NOT_FOUND,
                    "no instance, series or study %s is stored; 'drover quarantine list' shows what was kept out", uid);
    cJSON *row;
    while (ok && (row = cJSON_DetachItemFromArray(a.list, 0))) {
        int64_t id = (int64_t)cJSON_GetObjectItemCaseSensitive(row, "id")->valuedouble;
        ok = dv_query_edits(db, id, each_edit, cJSON_AddArrayToObject(row, "edits"), err) &&
             dv_query_findings(db, id, each_finding, cJSON_AddArrayToObject(row, "findings"), err) &&
             add_versions(site, db, id, row, err);
        if (ok)
            ok = dv_reply_row(reply, row, err);
        else
            cJSON_Delete(row);
    }
    cJSON_Delete(a.list);
    return ok;
}

static void add_quoted(dv_buffer *out, dv_text value, const char *absent)
{
    dv_buffer_printf(out, value.at ? "\"%.*s\"" : "%.*s", DV_ARG(value.at ? value : dv_text_of(absent)));
}

/* What each rule did in the whole archive, with an example: a change, else a finding. */
bool dv_api_audit_by_rule(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    (void)args;
    dv_db *db = dv_catalog_reader(site->catalog, err);
    dv_rows *r =
        !db ? NULL
            : dv_db_query(db, err,
                          "SELECT rule, path, kind, count(DISTINCT instance), min(before), min(after), NULL FROM edits"
                          " WHERE instance > 0 GROUP BY rule, path, kind UNION ALL"
                          " SELECT rule, path, kind, count(DISTINCT instance), NULL, NULL, min(message) FROM findings"
                          " WHERE instance > 0 GROUP BY rule, path, kind ORDER BY 1, 2, 3",
                          "");
    static const char *const names[] = {"rule", "attribute", "kind", NULL, "before", "after", "message"};
    bool ok = true;
    while (ok && dv_rows_next(r)) {
        cJSON *row = cJSON_CreateObject();
        cJSON_AddNumberToObject(row, "instances", (double)dv_rows_int(r, 3));
        for (int i = 0; i < 7; i++)
            if (names[i])
                dv_json_text(row, names[i], dv_rows_text(r, i));
        dv_buffer example = {0};
        if (!dv_rows_is_null(r, 6)) {
            dv_buffer_printf(&example, "%.*s: %.*s", DV_ARG(dv_rows_text(r, 2)), DV_ARG(dv_rows_text(r, 6)));
        } else {
            add_quoted(&example, dv_rows_text(r, 4), "(absent)");
            dv_buffer_string(&example, " -> ");
            add_quoted(&example, dv_rows_text(r, 5), "(removed)");
        }
        dv_json_text(row, "example", dv_buffer_as_text(&example));
        dv_buffer_free(&example);
        ok = dv_reply_row(reply, row, err);
    }
    return dv_rows_close(r, ok ? err : NULL) && ok;
}

/* ---- verify ---- */

typedef struct page {
    struct {
        int64_t id;
        dv_stored stored;
        char sop_uid[65];
    } item[256];
    int count;
} page;

static bool fill_page(void *user, const dv_instance_row *i)
{
    page *p = user;
    dv_stored *s = &p->item[p->count].stored;
    p->item[p->count].id = i->id;
    dv_text_copy(i->sop_uid, p->item[p->count].sop_uid, sizeof p->item[0].sop_uid);
    dv_text_copy(i->path, s->path, sizeof s->path);
    s->bytes = (uint64_t)i->bytes;
    if (i->received_hash.len == DV_SHA256_BYTES && i->header_hash.len == DV_SHA256_BYTES &&
        i->body_hash.len == DV_SHA256_BYTES) {
        memcpy(s->received_hash, i->received_hash.at, DV_SHA256_BYTES);
        memcpy(s->header_hash, i->header_hash.at, DV_SHA256_BYTES);
        memcpy(s->body_hash, i->body_hash.at, DV_SHA256_BYTES);
    }
    return ++p->count < 256;
}

/* What the scheduled verification found and is not good again. */
bool dv_api_damages(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    (void)args;
    dv_db *db = dv_catalog_reader(site->catalog, err);
    dv_rows *r =
        db ? dv_db_query(db, err,
                         "SELECT i.sop_uid, s.study_uid, i.path, d.error, d.first_at, d.last_at FROM damages d "
                         "JOIN instances i ON i.id = d.instance JOIN series e ON e.id = i.series JOIN studies "
                         "s ON s.id = e.study ORDER BY d.first_at, i.id",
                         "")
           : NULL;
    static const char *const names[] = {"sop_uid", "study_uid", "path", "error"};
    bool ok = true;
    while (ok && dv_rows_next(r)) {
        cJSON *row = cJSON_CreateObject();
        for (int i = 0; i < 4; i++)
            dv_json_text(row, names[i], dv_rows_text(r, i));
        dv_json_stamp(row, "first_at", dv_rows_int(r, 4));
        dv_json_stamp(row, "last_at", dv_rows_int(r, 5));
        ok = dv_reply_row(reply, row, err);
    }
    return dv_rows_close(r, ok ? err : NULL) && ok;
}

/* What was replaced since the page was read is nobody's damage. */
static bool still_there(dv_db *db, int64_t id, const char *path)
{
    int64_t found = 1;
    return !dv_db_int(db, 0, &found, NULL, "SELECT id FROM instances WHERE id = $1 AND path = $2", "is", id, path) ||
           found;
}

bool dv_api_verify(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    const char *uid = dv_args_text(args, "uid");
    page *p = malloc(sizeof *p);
    if (!p)
        return dv_fail(err, DV_ERR_MEMORY, "no memory to verify");
    int64_t after = 0, looked = 0, bad = 0, bytes = 0, started = dv_mono_ms(), said = started;
    bool ok = true;
    do {
        memset(p, 0, sizeof *p);
        dv_db *db = dv_catalog_reader(site->catalog, err);
        ok = db && dv_query_instances(db, dv_text_of(uid ? uid : ""), after, fill_page, p, err);
        for (int i = 0; ok && i < p->count; i++) {
            dv_error why = {0};
            if (dv_reply_cancelled(reply)) {
                ok = dv_fail(err, DV_ERR_CANCELLED, "stopped after %lld objects", (long long)looked);
                break;
            }
            looked++;
            bytes += (int64_t)p->item[i].stored.bytes;
            if (!dv_store_verify(site->store, p->item[i].stored.path, &p->item[i].stored, &why) &&
                still_there(db, p->item[i].id, p->item[i].stored.path)) {
                bad++;
                cJSON *row = cJSON_CreateObject();
                cJSON_AddStringToObject(row, "sop_uid", p->item[i].sop_uid);
                cJSON_AddStringToObject(row, "path", p->item[i].stored.path);
                cJSON_AddStringToObject(row, "error", why.message);
                ok = dv_reply_row(reply, row, err);
            }
            after = p->item[i].id;
            if (ok && dv_mono_ms() - said > 500) {
                said = dv_mono_ms();
                cJSON *progress = cJSON_CreateObject();
                cJSON_AddNumberToObject(progress, "objects", (double)looked);
                ok = dv_reply_progress(reply, progress, err);
            }
        }
    } while (ok && p->count == 256);
    free(p);
    if (!ok)
        return false;
    if (uid && *uid && looked == 0)
        return dv_fail(err, DV_ERR_NOT_FOUND, "no instance, series or study %s is stored", uid);
    cJSON *sum = cJSON_CreateObject();
    cJSON_AddNumberToObject(sum, "objects", (double)looked);
    cJSON_AddNumberToObject(sum, "damaged", (double)bad);
    cJSON_AddNumberToObject(sum, "bytes", (double)bytes);
    cJSON_AddNumberToObject(sum, "seconds", (double)(dv_mono_ms() - started) / 1e3);
    if (!dv_reply_progress(reply, sum, err))
        return false;
    return bad == 0 || dv_fail(err, DV_ERR_HASH, "%lld of %lld stored objects differ from their seal or row",
                               (long long)bad, (long long)looked);
}
