/* A worker's associations: one for questions, one for retrieves, each kept for the next use by the same source.
 *
 * A peer may have closed a kept one at the very moment it is used again: a question that fails so, before any answer came, is put once more
 * over a new association. */
#include "migrate/migrate_internal.h"

#include "dicom/write.h"

#include <cjson/cJSON.h>
#include <stdio.h>

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

static int capacity(const dv_peer *peer, const cJSON *settings)
{
    int n = setting(settings, "max_moves", 2, 1, DV_MAX_WORKERS);
    /* A job has two associations, but makes do with one after the other. */
    int by_associations = peer->max_associations > 1 ? peer->max_associations / 2 : 1;
    return peer->max_associations > 0 && by_associations < n ? by_associations : n;
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
        .single = peer.max_associations == 1,
        .capacity = capacity(&peer, settings),
    };
    const char *charset = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(settings, "charset"));
    if (charset && charset[0])
        out->charset = dv_arena_string(arena, dv_text_of(charset));
    bool ok = depth(settings, "evidence", "instances", &out->evidence, err) &&
              depth(settings, "move_level", "image", &out->move_level, err);
    cJSON_Delete(settings);
    ok = ok && dv_peer_tls_of(peer.settings, arena, &out->tls, err);
    if (ok && (!out->slug || !out->aet || !out->host))
        ok = dv_fail(err, DV_ERR_MEMORY, "out of memory for the peer '%.*s'", DV_ARG(slug));
    return ok;
}

/* ---- associations ---- */

static void close_link(dv_link *l)
{
    dv_release(l->a);
    l->a = NULL;
}

/* After a failure the peer may be in the middle of anything. */
static void abort_link(dv_link *l)
{
    if (l->a)
        dv_abort(l->a);
    l->a = NULL;
}

void dv_links_close(dv_links *l)
{
    close_link(&l->find);
    close_link(&l->move);
}

static bool is_to(const dv_link *l, const dv_source *s)
{
    return strcmp(l->slug, s->slug) == 0 && strcmp(l->host, s->host) == 0 && strcmp(l->aet, s->aet) == 0 &&
           l->port == s->port;
}

/* *KEPT: it was open already. */
static bool open_link(dv_links *all, dv_link *l, const dv_source *s, const char *sop_class, int answer_ms, bool *kept,
                      dv_error *err)
{
    *kept = l->a && is_to(l, s) && dv_association_is_alive(l->a);
    if (*kept)
        return true;
    close_link(l);
    if (s->single)
        close_link(l == &all->find ? &all->move : &all->find);
    dv_target to = {.host = s->host,
                    .port = s->port,
                    .calling = all->calling,
                    .called = s->aet,
                    .answer_ms = answer_ms,
                    .cancel = all->cancel};
    dv_context_offer offer = {.sop_class = sop_class};
    dv_tls *tls;
    if (!dv_outbound_tls(&s->tls, &all->ours, &tls, err))
        return dv_error_context(err, "the peer %s", s->slug);
    to.tls = tls;
    l->a = dv_associate(&to, &offer, 1, err);
    dv_tls_free(tls);
    if (!l->a && err->code == DV_ERR_UNSUPPORTED)
        return dv_fail(
            err, DV_ERR_UNSUPPORTED,
            "%s (%s at %s:%u) accepts no Study Root %s from us; its administrator must allow it for AE title %s",
            s->slug, s->aet, s->host, s->port, strcmp(sop_class, DV_SOP_STUDY_FIND) == 0 ? "C-FIND" : "C-MOVE",
            all->calling);
    if (!l->a)
        return false;
    dv_text_copy(dv_text_of(s->slug), l->slug, sizeof l->slug);
    dv_text_copy(dv_text_of(s->host), l->host, sizeof l->host);
    dv_text_copy(dv_text_of(s->aet), l->aet, sizeof l->aet);
    l->port = s->port;
    return true;
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

bool dv_links_find(dv_links *l, const dv_source *s, const dv_key *keys, size_t n, dv_each_answer *each, void *user,
                   int64_t *count, dv_error *err)
{
    dv_error own;
    err = err ? err : &own;
    bool ok = false;
    for (int again = 0; again < 2; again++) {
        bool kept;
        if (!open_link(l, &l->find, s, DV_SOP_STUDY_FIND, s->find_ms, &kept, err))
            return false;
        asking q = {.each = each, .user = user, .charset = s->charset, .err = err};
        q.syntax = dv_accepted_syntax(l->find.a, DV_SOP_STUDY_FIND);
        dv_arena arena;
        dv_arena_init(&arena, 4096);
        dv_arena_init(&q.scratch, 4096);
        dv_text query;
        bool encoded = encode(&arena, q.syntax, keys, n, &query, err);
        ok = encoded && dv_find(l->find.a, DV_SOP_STUDY_FIND, query, on_answer, &q, err) && !q.unreadable;
        if (q.unreadable)
            dv_error_context(err, "an answer of %s cannot be read", s->slug);
        dv_arena_free(&arena);
        dv_arena_free(&q.scratch);
        if (count)
            *count = q.count;
        if (ok || !encoded)
            break;
        if (err->code != DV_ERR_PEER) /* a failure status leaves the association whole */
            abort_link(&l->find);
        if (!kept || q.count || !is_lost(err))
            break;
    }
    return ok || dv_error_context(err, "C-FIND at %s", s->slug);
}

bool dv_links_move(dv_links *l, const dv_source *s, const char *destination, const dv_key *keys, size_t n,
                   dv_arena *arena, void (*progress)(void *user, const dv_move_result *so_far), void *user,
                   dv_move_result *out, dv_error *err)
{
    dv_error own;
    err = err ? err : &own;
    bool ok = false;
    for (int again = 0; again < 2; again++) {
        bool kept;
        if (!open_link(l, &l->move, s, DV_SOP_STUDY_MOVE, s->move_ms, &kept, err))
            return false;
        dv_text query;
        *out = (dv_move_result){.remaining = -1, .completed = -1, .failed = -1, .warning = -1};
        if (!encode(arena, dv_accepted_syntax(l->move.a, DV_SOP_STUDY_MOVE), keys, n, &query, err))
            return false;
        int64_t before = dv_mono_ms();
        ok = dv_move(l->move.a, DV_SOP_STUDY_MOVE, destination, query, arena, progress, user, out, err);
        if (ok)
            break;
        if (err->code != DV_ERR_PEER)
            abort_link(&l->move);
        /* Sent again only where it was lost at once: one that ran for a while may still be sending. */
        if (!kept || !is_lost(err) || dv_mono_ms() - before > 1000)
            break;
    }
    return ok || dv_error_context(err, "C-MOVE at %s", s->slug);
}
