/* A source with its quirks, and the questions and retrieves over the pool's associations, one at a time for each worker.
 *
 * A fault at an association does not lose what was asked: a question is put once more over a fresh one where an answer twice does no harm; of a
 * retrieve, retrieve.c asks once more for what lacks by then. */
#include "migrate/migrate_internal.h"

#include "dicom/write.h"

#include <cjson/cJSON.h>
#include <stdio.h>

typedef struct secured {
    const dv_links *links;
    const dv_source *source;
} secured;

/* ---- sources ---- */

static int setting(const cJSON *settings, const char *name, int otherwise, int least, int most)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(settings, name);
    if (!cJSON_IsNumber(v))
        return otherwise;
    return v->valuedouble < least ? least : v->valuedouble > most ? most : (int)v->valuedouble;
}

static bool depth(const cJSON *settings, const char *name, const char *deepest, dv_depth *out, dv_error *err)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(settings, name));
    *out = DV_DEPTH_INSTANCES;
    if (!text || strcmp(text, deepest) == 0)
        return true;
    if (strcmp(text, "series") == 0)
        *out = DV_DEPTH_SERIES;
    else if (strcmp(text, "study") == 0)
        *out = DV_DEPTH_STUDY;
    else
        return dv_fail(err, DV_ERR_CONFIG, "the peer setting %s is '%s'; it is one of %s, series, study", name, text,
                       deepest);
    return true;
}

static cJSON *parse_settings(dv_text text)
{
    return text.len ? cJSON_ParseWithLength(text.at, text.len) : cJSON_CreateObject();
}

/* A job has one association at a time. */
static int capacity(const dv_peer *peer, const cJSON *settings)
{
    int n = setting(settings, "max_moves", 2, 1, DV_MAX_WORKERS);
    return peer->max_associations > 0 && peer->max_associations < n ? peer->max_associations : n;
}

static bool usable(const dv_peer *peer, dv_text slug, dv_error *err)
{
    if (!peer->enabled)
        return dv_fail(err, DV_ERR_CONFIG, "the peer '%.*s' is disabled; enable it first", DV_ARG(slug));
    if (dv_text_is(peer->direction, "DestinationOnly"))
        return dv_fail(err, DV_ERR_CONFIG, "the peer '%.*s' is a destination only; nothing is retrieved from it",
                       DV_ARG(slug));
    return true;
}

bool dv_source_load(dv_db *db, dv_text slug, int quiet_ms, dv_arena *arena, dv_source *out, dv_error *err)
{
    dv_peer peer = {0};
    bool found = false;
    if (!dv_peer_get(db, slug, arena, &peer, &found, err))
        return false;
    if (!found)
        return dv_fail(err, DV_ERR_NOT_FOUND,
                       "there is no peer '%.*s'; `drover peers` lists them, `drover peers add` makes one",
                       DV_ARG(slug));
    if (!usable(&peer, slug, err))
        return false;
    cJSON *settings = parse_settings(peer.settings);
    if (!cJSON_IsObject(settings)) {
        cJSON_Delete(settings);
        return dv_fail(err, DV_ERR_CONFIG, "the settings of peer '%.*s' are no JSON object", DV_ARG(slug));
    }
    *out = (dv_source){
        .slug = dv_arena_string(arena, slug),
        .aet = dv_arena_string(arena, peer.aet),
        .host = dv_arena_string(arena, peer.host),
        .port = (uint16_t)peer.port,
        .find_ms = 1000 * setting(settings, "find_timeout_s", 60, 1, 86400),
        .move_ms = 1000 * setting(settings, "move_timeout_s", 600, 1, 86400),
        .quiet_ms = setting(settings, "quiet_ms", quiet_ms, 0, 3600000),
        .find_limit = setting(settings, "find_limit", 0, 0, 100000000),
        .nearline_s = setting(settings, "nearline_s", 0, 0, 86400),
        .most = peer.max_associations,
        .sop_classes = dv_arena_string(arena, peer.sop_classes),
        .transfer_syntaxes = dv_arena_string(arena, peer.transfer_syntaxes),
        .capacity = capacity(&peer, settings),
    };
    const char *charset = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(settings, "charset"));
    if (charset && charset[0])
        out->charset = dv_arena_string(arena, dv_text_of(charset));
    const char *retrieve = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(settings, "retrieve"));
    out->get = retrieve && strcmp(retrieve, "get") == 0;
    bool ok = depth(settings, "evidence", "instances", &out->evidence, err) &&
              depth(settings, "move_level", "image", &out->move_level, err);
    cJSON_Delete(settings);
    ok = ok && dv_peer_tls_of(peer.settings, arena, &out->tls, err);
    if (ok && (!out->slug || !out->aet || !out->host || !out->sop_classes || !out->transfer_syntaxes))
        ok = dv_fail(err, DV_ERR_MEMORY, "out of memory for the peer '%.*s'", DV_ARG(slug));
    return ok;
}

/* ---- associations ---- */

static bool secure(void *user, dv_tls **out, dv_error *err)
{
    const secured *how = user;
    return dv_outbound_tls(&how->source->tls, &how->links->ours, out, err) ||
           dv_error_context(err, "the peer %s", how->source->slug);
}

static const char *text_or_none(const char *t)
{
    return t ? t : "";
}

/* An association whose offers are PULL's (C-GET), or questions and C-MOVE together. */
static bool take(dv_links *l, const dv_source *s, const char *need, const dv_pull *pull, int answer_ms, bool fresh,
                 dv_lease *out, dv_error *err)
{
    const dv_context_offer usual[] = {{.sop_class = DV_SOP_STUDY_FIND}, {.sop_class = DV_SOP_STUDY_MOVE}};
    const dv_proposal *p = pull ? pull->proposal : NULL;
    char variant[1200];
    snprintf(variant, sizeof variant, "%s|%d%d|%s|%s|%s", p ? p->variant : "", s->tls.on, s->tls.insecure,
             text_or_none(s->tls.ca), text_or_none(s->tls.certificate), text_or_none(s->tls.key));
    secured how = {l, s};
    const dv_pool_call call = {.peer = s->slug,
                               .most = s->most,
                               .to = {.host = s->host,
                                      .port = s->port,
                                      .calling = l->calling,
                                      .called = s->aet,
                                      .answer_ms = answer_ms,
                                      .cancel = l->cancel},
                               .secure = s->tls.on ? secure : NULL,
                               .user = &how,
                               .variant = variant,
                               .offers = p ? p->offers : usual,
                               .count = p        ? p->count
                                        : s->get ? 1
                                                 : 2,
                               .need = need};
    if (dv_pool_take(l->pool, &call, fresh, out, err))
        return true;
    const char *service = p ? "C-GET" : pull ? "C-MOVE" : "C-FIND";
    if (err->code == DV_ERR_UNSUPPORTED)
        return dv_error_context(err, "%s allows AE title %s no Study Root %s%s", s->slug, l->calling, service,
                                p ? " (the peer setting retrieve \"move\" does without)" : "");
    return false;
}

static bool encode(dv_arena *arena, dv_text syntax, const dv_key *keys, size_t n, dv_text *out, dv_error *err)
{
    dv_dataset *ds = dv_dataset_new(arena, dv_syntax_encoding(syntax), err);
    if (!ds)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!dv_dataset_put(ds, keys[i].tag, keys[i].value.at ? keys[i].value : DV_TEXT(""), err))
            return false;
    return dv_write_bytes(ds, out, err);
}

dv_dataset *dv_answer_open(dv_text bytes, dv_text syntax, const char *charset, dv_arena *arena, dv_error *err)
{
    dv_index *ix = dv_arena_zalloc(arena, 1, sizeof *ix);
    if (!ix) {
        dv_fail(err, DV_ERR_MEMORY, "out of memory for an answer of %zu bytes", bytes.len);
        return NULL;
    }
    if (!dv_index_all(ix, arena, dv_syntax_encoding(syntax), (const uint8_t *)bytes.at, bytes.len, err))
        return NULL;
    dv_dataset *ds = dv_dataset_open(arena, ix, err);
    if (ds && charset && dv_text_trim(dv_dataset_raw(ds, DV_SpecificCharacterSet)).len == 0 &&
        !dv_dataset_put(ds, DV_SpecificCharacterSet, dv_text_of(charset), err))
        return NULL;
    return ds;
}

typedef struct asking {
    dv_each_answer *each;
    void *user;
    dv_text syntax;
    const char *charset;
    dv_arena scratch;
    int64_t count;
    dv_error *err;
    bool unreadable;
} asking;

static bool on_answer(void *user, dv_text identifier)
{
    asking *q = user;
    dv_arena_reset(&q->scratch);
    dv_dataset *ds = dv_answer_open(identifier, q->syntax, q->charset, &q->scratch, q->err);
    if (!ds) {
        q->unreadable = true;
        return false;
    }
    q->count++;
    return q->each(q->user, ds, identifier, q->syntax);
}

static bool is_lost(const dv_error *err)
{
    return err->code == DV_ERR_NETWORK || err->code == DV_ERR_ABORTED;
}

/* May the association be used again? A failure status and a refusal of ours leave it whole. */
static bool is_whole(bool worked, const dv_error *err)
{
    return worked || err->code == DV_ERR_PEER || err->code == DV_ERR_UNSUPPORTED;
}

bool dv_links_find(dv_links *l, const dv_source *s, const dv_key *keys, size_t n, dv_each_answer *each, void *user,
                   int64_t *count, dv_error *err)
{
    dv_error own;
    err = err ? err : &own;
    bool ok = false;
    for (int again = 0; again < 2; again++) {
        dv_lease lease;
        if (!take(l, s, DV_SOP_STUDY_FIND, NULL, s->find_ms, again, &lease, err))
            return false;
        asking q = {.each = each, .user = user, .charset = s->charset, .err = err};
        q.syntax = dv_accepted_syntax(lease.a, DV_SOP_STUDY_FIND);
        dv_arena arena;
        dv_arena_init(&arena, 4096);
        dv_arena_init(&q.scratch, 4096);
        dv_text query;
        bool encoded = encode(&arena, q.syntax, keys, n, &query, err);
        ok = encoded && dv_find(lease.a, DV_SOP_STUDY_FIND, query, on_answer, &q, err) && !q.unreadable;
        if (q.unreadable)
            dv_error_context(err, "an answer of %s cannot be read", s->slug);
        dv_arena_free(&arena);
        dv_arena_free(&q.scratch);
        dv_pool_give(l->pool, &lease, is_whole(ok || !encoded, err));
        if (count)
            *count = q.count;
        if (ok || !encoded || !is_lost(err) || (count && q.count))
            break;
    }
    return ok || dv_error_context(err, "C-FIND at %s", s->slug);
}

/* A C-GET association that brings nothing: why. */
static bool refuses_storage(dv_links *l, const dv_source *s, const dv_proposal *p, dv_association *a, dv_error *err)
{
    size_t accepted = 0;
    for (size_t i = 1; i < p->count; i++)
        accepted += dv_offer_result(a, i) == 0;
    if (accepted)
        return dv_fail(
            err, DV_ERR_UNSUPPORTED,
            "%s (%s at %s:%u) accepts a C-GET of AE title %s but refuses us the SCP role for the storage classes "
            "(PS3.7 D.3.3.4), so it may not send over our association; its administrator must allow that, or set "
            "the peer setting retrieve to \"move\"",
            s->slug, s->aet, s->host, s->port, l->calling);
    return dv_fail(
        err, DV_ERR_UNSUPPORTED,
        "%s (%s at %s:%u) accepts a C-GET of AE title %s but none of the %zu storage contexts that we proposed; "
        "set the peer setting retrieve to \"move\"",
        s->slug, s->aet, s->host, s->port, l->calling, p->count - 1);
}

static bool pull_once(dv_links *l, const dv_source *s, const dv_pull *pull, dv_association *a, const dv_key *keys,
                      size_t n, dv_arena *arena, void (*progress)(void *user, const dv_move_result *so_far), void *user,
                      dv_move_result *out, dv_error *err)
{
    dv_text query;
    if (!pull->proposal)
        return encode(arena, dv_accepted_syntax(a, DV_SOP_STUDY_MOVE), keys, n, &query, err) &&
               dv_move(a, DV_SOP_STUDY_MOVE, pull->destination, query, arena, progress, user, out, err);
    if (dv_may_receive(a) == 0)
        return refuses_storage(l, s, pull->proposal, a, err);
    return encode(arena, dv_accepted_syntax(a, DV_SOP_STUDY_GET), keys, n, &query, err) &&
           dv_get(a, DV_SOP_STUDY_GET, query, &pull->sink, arena, progress, user, out, err);
}

bool dv_links_pull(dv_links *l, const dv_source *s, const dv_pull *pull, const dv_key *keys, size_t n, dv_arena *arena,
                   void (*progress)(void *user, const dv_move_result *so_far), void *user, dv_move_result *out,
                   dv_error *err)
{
    dv_error own;
    err = err ? err : &own;
    dv_lease lease;
    if (!take(l, s, pull->proposal ? DV_SOP_STUDY_GET : DV_SOP_STUDY_MOVE, pull, s->move_ms, pull->fresh, &lease, err))
        return false;
    *out = (dv_move_result){.remaining = -1, .completed = -1, .failed = -1, .warning = -1};
    bool ok = pull_once(l, s, pull, lease.a, keys, n, arena, progress, user, out, err);
    dv_pool_give(l->pool, &lease, is_whole(ok, err));
    return ok || dv_error_context(err, "%s at %s", pull->proposal ? "C-GET" : "C-MOVE", s->slug);
}
