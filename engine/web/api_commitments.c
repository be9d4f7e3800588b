#include "catalog/commitments.h"
#include "web/api_peers_internal.h"

static cJSON *row_json(const dv_commit_row *r)
{
    cJSON *row = cJSON_CreateObject();
    cJSON_AddNumberToObject(row, "id", (double)r->id);
    cJSON_AddStringToObject(row, "asked_by", dv_text_is(r->role, "scu") ? "us" : "peer");
    dv_json_text(row, "peer", r->peer.len ? r->peer : r->aet);
    dv_json_text(row, "aet", r->aet);
    dv_json_text(row, "called", r->called);
    dv_json_text(row, "address", r->address);
    dv_json_text(row, "transaction", r->transaction);
    dv_json_text(row, "state", r->state);
    cJSON_AddNumberToObject(row, "instances", (double)r->instances);
    if (r->decided_at)
        cJSON_AddNumberToObject(row, "committed", (double)(r->instances - r->failed));
    else
        cJSON_AddNullToObject(row, "committed");
    dv_json_stamp(row, "asked_at", r->asked_at);
    dv_json_stamp(row, "decided_at", r->decided_at);
    dv_json_stamp(row, "ended_at", r->ended_at);
    cJSON_AddNumberToObject(row, "tries", (double)r->tries);
    dv_json_stamp(row, "next_at", r->ended_at ? 0 : r->next_at);
    dv_json_text(row, "error", r->error);
    return row;
}

static bool send_one(dv_site *site, int64_t id, dv_reply *reply, dv_error *err)
{
    dv_arena arena;
    dv_commit_row row;
    bool found = false;
    dv_arena_init(&arena, 1024);
    dv_db *db = dv_catalog_reader(site->catalog, err);
    bool ok =
        db && dv_commit_get(db, id, &arena, &row, &found, err) &&
        (found || dv_fail(err, DV_ERR_NOT_FOUND, "there is no storage commitment %lld; 'drover commitments' shows them",
                          (long long)id)) &&
        dv_reply_row(reply, row_json(&row), err);
    dv_arena_free(&arena);
    return ok;
}

bool dv_api_commitments_list(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    int64_t id = dv_args_int(args, "id", 0), limit = dv_args_int(args, "limit", 100);
    if (id)
        return send_one(site, id, reply, err);
    if (limit < 1 || limit > 100000)
        return dv_fail(err, DV_ERR_USAGE, "the limit is %lld; it must be between 1 and 100000", (long long)limit);
    dv_arena arena;
    dv_commit_row *rows = NULL;
    size_t count = 0;
    dv_arena_init(&arena, 0);
    dv_db *db = dv_catalog_reader(site->catalog, err);
    bool ok = db && dv_commit_list(db, dv_args_text(args, "state"), dv_args_int(args, "after", 0), (int)limit, &arena,
                                   &rows, &count, err);
    for (size_t i = 0; ok && i < count; i++)
        ok = dv_reply_row(reply, row_json(&rows[i]), err);
    dv_arena_free(&arena);
    return ok;
}

bool dv_api_commitments_instances(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    dv_arena arena;
    dv_commit_instance *list = NULL;
    size_t count = 0;
    dv_arena_init(&arena, 0);
    dv_db *db = dv_catalog_reader(site->catalog, err);
    bool ok = db && dv_commit_instances(db, dv_args_int(args, "id", 0), &arena, &list, &count, err);
    for (size_t i = 0; ok && i < count; i++) {
        cJSON *row = cJSON_CreateObject();
        dv_json_text(row, "sop_uid", list[i].sop_uid);
        dv_json_text(row, "sop_class", list[i].sop_class);
        if (list[i].reason < 0) {
            cJSON_AddNullToObject(row, "reason");
            cJSON_AddStringToObject(row, "result", "not known");
        } else {
            cJSON_AddNumberToObject(row, "reason", (double)list[i].reason);
            cJSON_AddStringToObject(row, "result", dv_commit_reason((uint16_t)list[i].reason));
        }
        ok = dv_reply_row(reply, row, err);
    }
    dv_arena_free(&arena);
    return ok;
}

static bool nobody_listens(void *user)
{
    return dv_reply_cancelled(user);
}

bool dv_api_peers_commit(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    const char *uid = dv_args_text(args, "uid");
    int64_t wait_s = dv_args_int(args, "wait_s", 60), id = 0;
    dv_arena arena;
    dv_peer peer;
    if (wait_s < 0 || wait_s > 86400)
        return dv_fail(err, DV_ERR_USAGE, "the wait is %lld s; it must be between 0 and 86400", (long long)wait_s);
    dv_arena_init(&arena, 1024);
    bool ok = dv_api_peer(site, dv_args_text(args, "peer"), &arena, &peer, err) &&
              dv_commitments_ask(site->commitments, &peer, dv_text_of(uid ? uid : ""), (int)wait_s * 1000,
                                 nobody_listens, reply, &id, err) &&
              send_one(site, id, reply, err);
    dv_arena_free(&arena);
    return ok;
}
