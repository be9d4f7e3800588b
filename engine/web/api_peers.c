#include "base/clock.h"
#include "catalog/peers.h"
#include "dicom/json.h"
#include "ingest/outbound.h"
#include "web/api_peers_internal.h"

#include <stdio.h>

/* With the associations of ours that are open to it, idle ones too. */
cJSON *dv_api_peer_json(dv_site *site, const dv_peer *p)
{
    cJSON *row = cJSON_CreateObject();
    dv_pool_counts n = dv_pool_count(site->pool, p->slug.at);
    dv_json_text(row, "slug", p->slug);
    dv_json_text(row, "label", p->label);
    dv_json_text(row, "aet", p->aet);
    dv_json_text(row, "host", p->host);
    cJSON_AddNumberToObject(row, "port", p->port);
    dv_json_text(row, "direction", p->direction);
    cJSON_AddBoolToObject(row, "enabled", p->enabled);
    dv_json_text(row, "sop_classes", p->sop_classes);
    dv_json_text(row, "transfer_syntaxes", p->transfer_syntaxes);
    cJSON_AddNumberToObject(row, "max_associations", p->max_associations);
    cJSON *settings = cJSON_ParseWithLength(p->settings.at, p->settings.len);
    dv_json_put(row, "settings", settings ? settings : cJSON_CreateObject());
    const char *retrieve = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(settings, "retrieve"));
    cJSON_AddStringToObject(row, "retrieve", retrieve ? retrieve : "move");
    cJSON_AddNumberToObject(row, "open", n.open);
    cJSON_AddNumberToObject(row, "idle", n.idle);
    cJSON_AddNumberToObject(row, "waiting", n.waiting);
    return row;
}

bool dv_api_peers_list(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    (void)args;
    dv_arena arena;
    dv_arena_init(&arena, 0);
    dv_peer *peers = NULL;
    size_t count = 0;
    dv_db *db = dv_catalog_reader(site->catalog, err);
    bool ok = db && dv_peer_list(db, &arena, &peers, &count, err);
    for (size_t i = 0; ok && i < count; i++)
        ok = dv_reply_row(reply, dv_api_peer_json(site, &peers[i]), err);
    dv_arena_free(&arena);
    return ok;
}

typedef struct save_work {
    const dv_peer *peer;
    bool replace;
    int64_t id;
} save_work;

static bool save(dv_db *db, void *user, dv_error *err)
{
    save_work *w = user;
    dv_peer peer = *w->peer, old;
    dv_arena arena;
    dv_arena_init(&arena, 1024);
    bool found, ok = dv_peer_get(db, peer.slug, &arena, &old, &found, err);
    if (ok && found && !w->replace)
        ok = dv_fail(err, DV_ERR_EXISTS, "there is a peer '%.*s' already; --replace changes it", DV_ARG(peer.slug));
    peer.id = ok && found ? old.id : 0;
    ok = ok && dv_peer_save(db, &peer, &w->id, err);
    dv_arena_free(&arena);
    return ok;
}

static dv_text text_or(const cJSON *args, const char *name, const char *otherwise)
{
    const char *given = dv_args_text(args, name);
    return dv_text_of(given ? given : otherwise);
}

bool dv_api_peers_add(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    const cJSON *settings = cJSON_GetObjectItemCaseSensitive(args, "settings");
    char *settings_text = cJSON_IsObject(settings) ? cJSON_PrintUnformatted(settings) : NULL;
    const cJSON *enabled = cJSON_GetObjectItemCaseSensitive(args, "enabled");
    dv_peer peer = {
        .slug = text_or(args, "slug", ""),
        .label = text_or(args, "label", ""),
        .aet = text_or(args, "aet", ""),
        .host = text_or(args, "host", ""),
        .port = (int)dv_args_int(args, "port", 104),
        .direction = text_or(args, "direction", "Both"),
        .enabled = !enabled || cJSON_IsTrue(enabled),
        .sop_classes = text_or(args, "sop_classes", ""),
        .transfer_syntaxes = text_or(args, "transfer_syntaxes", ""),
        .max_associations = (int)dv_args_int(args, "max_associations", 0),
        .settings = dv_text_of(settings_text ? settings_text : "{}"),
    };
    if (peer.label.len == 0)
        peer.label = peer.slug;
    save_work work = {&peer, dv_args_bool(args, "replace"), 0};
    bool ok = dv_catalog_write(site->catalog, true, save, &work, err) &&
              dv_reply_row(reply, dv_api_peer_json(site, &peer), err);
    cJSON_free(settings_text);
    return ok;
}

static bool remove_peer(dv_db *db, void *user, dv_error *err)
{
    return dv_peer_remove(db, dv_text_of(user), err);
}

bool dv_api_peers_remove(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    (void)reply;
    const char *slug = dv_args_text(args, "slug");
    if (!slug)
        return dv_fail(err, DV_ERR_USAGE, "which peer?");
    return dv_catalog_write(site->catalog, true, remove_peer, (void *)(uintptr_t)slug, err);
}

bool dv_api_peer(dv_site *site, const char *slug, dv_arena *arena, dv_peer *out, dv_error *err)
{
    bool found = false;
    dv_db *db = dv_catalog_reader(site->catalog, err);
    return db && dv_peer_get(db, dv_text_of(slug ? slug : ""), arena, out, &found, err) &&
           (found ||
            dv_fail(err, DV_ERR_NOT_FOUND, "there is no peer '%s'; 'drover peers list' shows them", slug ? slug : ""));
}

typedef struct secured {
    const dv_peer_tls *how;
    dv_tls_files ours;
} secured;

static bool secure(void *user, dv_tls **out, dv_error *err)
{
    const secured *s = user;
    return dv_outbound_tls(s->how, &s->ours, out, err);
}

dv_association *dv_api_call(dv_site *site, const dv_peer *peer, const dv_context_offer *offers, size_t count,
                            bool keep_empty, int answer_ms, dv_error *err)
{
    enum { TURN_MS = 30000 };
    dv_arena arena;
    dv_peer_tls how;
    dv_lease lease = {0};
    secured with = {&how, dv_site_tls(site)};
    dv_arena_init(&arena, 512);
    if (dv_peer_tls_of(peer->settings, &arena, &how, err)) {
        const dv_pool_call call = {.peer = peer->slug.at,
                                   .most = peer->max_associations,
                                   .to = {.host = peer->host.at,
                                          .port = (uint16_t)peer->port,
                                          .calling = dv_config_text(site->config, "dimse.aet"),
                                          .called = peer->aet.at,
                                          .answer_ms = answer_ms,
                                          .keep_empty = keep_empty},
                                   .secure = how.on ? secure : NULL,
                                   .user = &with,
                                   .offers = offers,
                                   .count = count,
                                   .wait_ms = TURN_MS};
        (void)dv_pool_take(site->pool, &call, false, &lease, err);
    }
    dv_arena_free(&arena);
    return lease.a;
}

/* An association to the peer that ARGS name, offering SOP_CLASS. */
static dv_association *associate(dv_site *site, const cJSON *args, const char *sop_class, int answer_ms, dv_error *err)
{
    dv_arena arena;
    dv_peer peer;
    dv_context_offer offer = {.sop_class = sop_class};
    dv_arena_init(&arena, 1024);
    dv_association *a = dv_api_peer(site, dv_args_text(args, "peer"), &arena, &peer, err)
                            ? dv_api_call(site, &peer, &offer, 1, false, answer_ms, err)
                            : NULL;
    dv_arena_free(&arena);
    return a;
}

bool dv_api_echo(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    int64_t start = dv_mono_ns();
    dv_association *a = associate(site, args, DV_SOP_VERIFICATION, 10000, err);
    int64_t associated = dv_mono_ns();
    bool ok = a && dv_echo(a, err);
    int64_t echoed = dv_mono_ns();
    dv_pool_end(site->pool, a);
    if (!ok)
        return false;
    cJSON *row = cJSON_CreateObject();
    cJSON_AddStringToObject(row, "peer", dv_args_text(args, "peer"));
    cJSON_AddNumberToObject(row, "associate_ms", (double)(associated - start) / 1e6);
    cJSON_AddNumberToObject(row, "echo_ms", (double)(echoed - associated) / 1e6);
    return dv_reply_row(reply, row, err);
}

/* ---- C-FIND at study level ---- */

typedef struct answers {
    dv_reply *reply;
    dv_error *err;
    dv_encoding encoding;
    int64_t left, count;
    bool ok;
} answers;

static bool each_answer(void *user, dv_text identifier)
{
    answers *a = user;
    dv_arena arena;
    dv_arena_init(&arena, 0);
    dv_index ix;
    dv_index_init(&ix, &arena, a->encoding);
    dv_buffer json = {0};
    dv_dataset *ds = dv_index_all(&ix, &arena, a->encoding, (const uint8_t *)identifier.at, identifier.len, a->err)
                         ? dv_dataset_open(&arena, &ix, a->err)
                         : NULL;
    a->ok = ds && dv_json_write(ds, NULL, (dv_json_options){0}, &json, a->err) &&
            dv_reply_row(a->reply, cJSON_Parse(json.at), a->err);
    a->count++;
    dv_buffer_free(&json);
    dv_arena_free(&arena);
    return a->ok && --a->left != 0;
}

/* Keys that are returned when nobody asks for others (PS3.4 C.6.2.1.2). */
static const dv_tag usual_keys[] = {DV_StudyDate,
                                    DV_StudyTime,
                                    DV_AccessionNumber,
                                    DV_ModalitiesInStudy,
                                    DV_StudyDescription,
                                    DV_PatientName,
                                    DV_PatientID,
                                    DV_PatientBirthDate,
                                    DV_PatientSex,
                                    DV_StudyInstanceUID,
                                    DV_StudyID,
                                    DV_NumberOfStudyRelatedSeries,
                                    DV_NumberOfStudyRelatedInstances};

static bool build_query(dv_dataset *query, const cJSON *keys, dv_error *err)
{
    if (!dv_dataset_put(query, DV_QueryRetrieveLevel, DV_TEXT("STUDY"), err) ||
        !dv_dataset_put(query, DV_SpecificCharacterSet, DV_TEXT("ISO_IR 192"), err))
        return false;
    for (size_t i = 0; i < sizeof usual_keys / sizeof *usual_keys; i++)
        if (!dv_dataset_put(query, usual_keys[i], DV_TEXT(""), err))
            return false;
    const cJSON *key;
    cJSON_ArrayForEach(key, keys)
    {
        const dv_path *path;
        if (!dv_path_compile(dv_dataset_arena(query), dv_text_of(key->string), &path, err))
            return false;
        if (!cJSON_IsString(key))
            return dv_fail(err, DV_ERR_USAGE, "the value of %s must be a text", key->string);
        if (!dv_dataset_set(query, path, dv_text_of(key->valuestring), NULL, err))
            return false;
    }
    return true;
}

bool dv_api_find(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    dv_arena arena;
    dv_arena_init(&arena, 0);
    /* The keys are checked before anybody is called. */
    dv_dataset *probe = dv_dataset_new(&arena, dv_syntax_encoding(DV_TEXT(DV_UID_EXPLICIT_LE)), err);
    const cJSON *keys = cJSON_GetObjectItemCaseSensitive(args, "keys");
    bool ok = probe && build_query(probe, keys, err);
    dv_association *a = ok ? associate(site, args, DV_SOP_STUDY_FIND, 60000, err) : NULL;
    if (a) {
        dv_encoding encoding = dv_syntax_encoding(dv_accepted_syntax(a, DV_SOP_STUDY_FIND));
        answers got = {reply, err, encoding, dv_args_int(args, "limit", 0), 0, true};
        dv_text bytes;
        dv_dataset *query = dv_dataset_new(&arena, encoding, err);
        ok = query && build_query(query, keys, err) && dv_write_bytes(query, &bytes, err) &&
             dv_find(a, DV_SOP_STUDY_FIND, bytes, each_answer, &got, err) && got.ok;
        dv_pool_end(site->pool, a);
    }
    dv_arena_free(&arena);
    return a && ok;
}
