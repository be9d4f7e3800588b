#include "base/clock.h"
#include "base/hash.h"
#include "catalog/query.h"
#include "catalog/versions.h"
#include "web/api.h"

#include <stdlib.h>

enum { DAY_S = 86400 };

static void add_hash(cJSON *row, const char *name, dv_text hash)
{
    char hex[DV_SHA256_HEX];
    if (hash.len == DV_SHA256_BYTES)
        cJSON_AddStringToObject(row, name, dv_hex((const uint8_t *)hash.at, hash.len, hex));
}

/* When the file goes, by the setting in force now; 0: never. */
static int64_t goes_at(const dv_site *site, int64_t replaced_at)
{
    int64_t days = dv_config_int(site->config, "store.keep_versions_days");
    return days ? replaced_at + days * DAY_S * 1000000 : 0;
}

static cJSON *version_json(const dv_site *site, const dv_version *v)
{
    cJSON *row = cJSON_CreateObject();
    cJSON_AddNumberToObject(row, "id", (double)v->id);
    cJSON_AddNumberToObject(row, "number", (double)v->number);
    cJSON_AddStringToObject(row, "state", v->replaced_by ? "replaced" : "beside");
    if (v->replaced_by)
        cJSON_AddNumberToObject(row, "replaced_by", (double)v->replaced_by);
    dv_json_text(row, "class", v->class);
    dv_json_stamp(row, "replaced_at", v->replaced_at);
    dv_json_stamp(row, "removed_at", goes_at(site, v->replaced_at));
    dv_json_text(row, "received_sop_uid", v->received_sop_uid);
    dv_json_text(row, "sop_uid", v->sop_uid);
    dv_json_text(row, "sop_class", v->sop_class);
    dv_json_text(row, "transfer_syntax", v->transfer_syntax);
    dv_json_text(row, "path", v->path);
    cJSON_AddNumberToObject(row, "bytes", (double)v->bytes);
    dv_json_text(row, "source", v->source);
    cJSON_AddNumberToObject(row, "job", (double)v->job);
    cJSON_AddNumberToObject(row, "generation", (double)v->generation);
    dv_json_stamp(row, "received_at", v->received_at);
    cJSON_AddNumberToObject(row, "repeats", (double)v->repeats);
    add_hash(row, "received_hash", v->received_hash);
    add_hash(row, "header_hash", v->header_hash);
    add_hash(row, "body_hash", v->body_hash);
    return row;
}

static bool collect_version(void *user, const dv_version *v)
{
    void **both = user;
    return cJSON_AddItemToArray(both[1], version_json(both[0], v)) != 0;
}

bool dv_version_list(dv_site *site, dv_db *db, dv_text received_sop_uid, cJSON *list, dv_error *err)
{
    void *both[] = {site, list};
    const dv_version_query q = {.received_sop_uid = received_sop_uid};
    return dv_catalog_each_version(db, &q, collect_version, both, err);
}

/* ---- those of a UID ---- */

typedef struct found {
    cJSON *list;
    int64_t count;
} found;

static bool collect_instance(void *user, const dv_instance_row *i)
{
    found *f = user;
    cJSON *row = cJSON_CreateObject();
    f->count++;
    cJSON_AddNullToObject(row, "id");
    dv_json_text(row, "received_sop_uid", i->received_sop_uid);
    dv_json_text(row, "sop_uid", i->sop_uid);
    cJSON_AddNumberToObject(row, "instance", (double)i->id);
    cJSON_AddStringToObject(row, "state", "in force");
    dv_json_text(row, "sop_class", i->sop_class);
    dv_json_text(row, "transfer_syntax", i->transfer_syntax);
    dv_json_text(row, "path", i->path);
    cJSON_AddNumberToObject(row, "bytes", (double)i->bytes);
    dv_json_text(row, "source", i->source);
    cJSON_AddNumberToObject(row, "job", (double)i->job);
    cJSON_AddNumberToObject(row, "generation", (double)i->generation);
    dv_json_stamp(row, "received_at", i->received_at);
    add_hash(row, "received_hash", i->received_hash);
    add_hash(row, "header_hash", i->header_hash);
    add_hash(row, "body_hash", i->body_hash);
    return cJSON_AddItemToArray(f->list, row) != 0;
}

/* Of one instance all; of a series or study those that came again. */
static bool reply_instance(dv_site *site, dv_db *db, cJSON *row, bool only, dv_reply *reply, dv_error *err)
{
    int64_t number = 1;
    cJSON *versions = cJSON_CreateArray();
    const char *sop = dv_args_text(row, "received_sop_uid");
    bool ok = dv_version_list(site, db, dv_text_of(sop ? sop : ""), versions, err) &&
              dv_db_int(db, 1, &number, err, "SELECT version FROM instances WHERE id = $1", "i",
                        dv_args_int(row, "instance", 0));
    bool wanted = ok && (only || cJSON_GetArraySize(versions));
    cJSON_AddNumberToObject(row, "number", (double)number);
    cJSON *v;
    while (ok && (v = cJSON_DetachItemFromArray(versions, 0)))
        ok = dv_reply_row(reply, v, err);
    cJSON_Delete(versions);
    if (wanted && ok)
        return dv_reply_row(reply, row, err);
    cJSON_Delete(row);
    return ok;
}

static bool each_recent(void *user, const dv_version *v)
{
    void **all = user;
    bool *ok = all[3];
    return *ok = dv_reply_row(all[1], version_json(all[0], v), all[2]);
}

bool dv_api_versions(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    const char *uid = dv_args_text(args, "uid");
    dv_db *db = dv_catalog_reader(site->catalog, err);
    bool ok = db != NULL;
    if (!uid || !*uid) {
        void *all[] = {site, reply, err, &ok};
        const dv_version_query q = {
            .replaced_before = INT64_MAX, .newest_first = true, .limit = (int)dv_args_int(args, "limit", 100)};
        return ok && dv_catalog_each_version(db, &q, each_recent, all, err) && ok;
    }
    found f = {cJSON_CreateArray(), 0};
    ok = ok && dv_query_instances(db, dv_text_of(uid), 0, collect_instance, &f, err) &&
         (f.count || dv_fail(err, DV_ERR_NOT_FOUND, "no instance, series or study %s is stored", uid));
    cJSON *row;
    while (ok && (row = cJSON_DetachItemFromArray(f.list, 0)))
        ok = reply_instance(site, db, row, f.count == 1, reply, err);
    cJSON_Delete(f.list);
    return ok;
}

bool dv_api_versions_restore(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    int64_t id = dv_args_int(args, "id", 0);
    dv_receipt receipt = {0};
    if (!id)
        return dv_fail(err, DV_ERR_USAGE, "which version? 'drover versions UID' shows their IDs");
    if (!dv_ingest_restore(site->ingest, id, &receipt, err))
        return err->code == DV_ERR_NOT_FOUND ? dv_fail(err, DV_ERR_NOT_FOUND,
                                                       "there is no version with the ID %lld, or its days are over; "
                                                       "'drover versions UID' shows what is there",
                                                       (long long)id)
                                             : false;
    cJSON *row = cJSON_CreateObject();
    cJSON_AddNumberToObject(row, "id", (double)id);
    cJSON_AddStringToObject(row, "kept", dv_kept_name(receipt.kept));
    dv_json_text(row, "received_sop_uid", dv_text_of(receipt.sop_uid));
    dv_json_text(row, "reason",
                 dv_text_of(receipt.kept == DV_KEPT_KNOWN && !receipt.reason[0] ? "it is what is in force already"
                                                                                : receipt.reason));
    return dv_reply_row(reply, row, err);
}
