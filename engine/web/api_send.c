/* C-STORE to a peer: files, or what is stored.
 *
 *   every item  ->  (class, transfer syntax as it is stored)  ->  at most 128 of these pairs an association, a context each
 *   one association for all items of its pairs, streamed; broken, the item under way is sent once more over another one
 *
 * A context carries one syntax, the one that the bytes are in: nothing is decompressed for a peer that would take another one first (DEFECTS P11). Each
 * PDU has one PDV (P9). */
#include "base/file.h"
#include "catalog/query.h"
#include "dicom/part10.h"
#include "web/api_peers_internal.h"

#include <stdio.h>

enum { MOST_PAIRS = 128, PASSED = 4 << 20, PROGRESS_EVERY = 32 };

typedef struct pair {
    const char *sop_class, *syntax;
} pair;

typedef struct item {
    const char *path;
    size_t pair;
} item;

typedef struct sending {
    dv_site *site;
    dv_reply *reply;
    dv_arena *arena;
    dv_peer peer;
    item *items;
    pair *pairs;
    size_t count, room, pair_count, pair_room;
    dv_association *a;
    size_t first_pair, offered; /* what `a` offers */
    int64_t sent, warned, refused, failed, bytes, associations;
} sending;

/* ---- what is sent ---- */

/* P with room for one more of SIZE bytes. */
static void *grown(dv_arena *arena, void *p, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return p;
    size_t more = *room ? *room * 2 : 256;
    void *q = dv_arena_grow(arena, p, *room * size, more * size);
    if (q)
        *room = more;
    return q;
}

static bool add_item(sending *s, const char *path, dv_text sop_class, dv_text syntax, dv_error *err)
{
    size_t k = 0;
    while (k < s->pair_count &&
           !(dv_text_is(sop_class, s->pairs[k].sop_class) && dv_text_is(syntax, s->pairs[k].syntax)))
        k++;
    pair *pairs = grown(s->arena, s->pairs, s->pair_count, &s->pair_room, sizeof *pairs);
    s->pairs = pairs ? pairs : s->pairs;
    item *items = grown(s->arena, s->items, s->count, &s->room, sizeof *items);
    s->items = items ? items : s->items;
    if (!pairs || !items)
        return dv_fail(err, DV_ERR_MEMORY, "out of memory for what is to be sent");
    if (k == s->pair_count)
        pairs[s->pair_count++] = (pair){dv_arena_string(s->arena, sop_class), dv_arena_string(s->arena, syntax)};
    items[s->count++] = (item){path, k};
    return (pairs[k].sop_class && pairs[k].syntax) ||
           dv_fail(err, DV_ERR_MEMORY, "out of memory for what is to be sent");
}

static bool tell(sending *s, const char *path, const char *what, uint16_t status, const char *reason, dv_error *err)
{
    char hex[8] = "";
    cJSON *row = cJSON_CreateObject();
    if (status)
        snprintf(hex, sizeof hex, "%04X", status);
    cJSON_AddStringToObject(row, "file", path);
    cJSON_AddStringToObject(row, "result", what);
    cJSON_AddStringToObject(row, "status", hex);
    cJSON_AddStringToObject(row, "reason", reason);
    return dv_reply_row(s->reply, row, err);
}

/* A file that cannot be read is told and counted, and the others are sent. */
static bool add_file(sending *s, const char *path, dv_error *err)
{
    dv_map map;
    dv_arena arena;
    dv_file_meta meta;
    dv_error why = {0};
    const char *copy = dv_arena_string(s->arena, dv_text_of(path));
    if (!copy)
        return dv_fail(err, DV_ERR_MEMORY, "out of memory for what is to be sent");
    dv_arena_init(&arena, 0);
    bool mapped = dv_map_open(&map, path, &why), ok = true;
    if (mapped && dv_part10_read(map.bytes, map.len, &arena, &meta, &why) && !meta.sop_class.len)
        dv_fail(&why, DV_ERR_NOT_DICOM, "it has no SOP class");
    if (why.code) {
        s->failed++;
        ok = tell(s, path, "failed", 0, why.message, err);
    } else {
        ok = add_item(s, copy, dv_text_trim(meta.sop_class), dv_text_trim(meta.transfer_syntax), err);
    }
    if (mapped)
        dv_map_close(&map);
    dv_arena_free(&arena);
    return ok;
}

typedef struct stored {
    sending *s;
    dv_error *err;
    bool ok;
} stored;

static bool on_stored(void *user, const dv_instance_row *row)
{
    stored *q = user;
    const char *path = dv_arena_printf(q->s->arena, "%s/%.*s", q->s->site->folder, DV_ARG(row->path));
    q->ok = path ? add_item(q->s, path, row->sop_class, row->transfer_syntax, q->err)
                 : dv_fail(q->err, DV_ERR_MEMORY, "out of memory for what is to be sent");
    return q->ok;
}

static bool gather(sending *s, const cJSON *args, dv_error *err)
{
    const char *study = dv_args_text(args, "study_uid");
    const cJSON *path;
    cJSON_ArrayForEach(path, cJSON_GetObjectItemCaseSensitive(args, "paths"))
    {
        if (!cJSON_IsString(path))
            return dv_fail(err, DV_ERR_USAGE, "paths are texts");
        if (!add_file(s, path->valuestring, err))
            return false;
    }
    if (!study)
        return s->count || s->failed || dv_fail(err, DV_ERR_USAGE, "there is nothing to send");
    stored q = {s, err, true};
    size_t before = s->count;
    dv_db *db = dv_catalog_reader(s->site->catalog, err);
    if (!db || !dv_query_instances(db, dv_text_of(study), 0, on_stored, &q, err) || !q.ok)
        return false;
    return s->count > before ||
           dv_fail(err, DV_ERR_NOT_FOUND, "nothing is stored under the UID %s; 'drover studies' lists studies", study);
}

/* ---- one by one ---- */

typedef struct reader {
    dv_map map;
    size_t at, passed;
} reader;

static ptrdiff_t next_bytes(void *user, void *buf, size_t size, dv_error *err)
{
    (void)err;
    reader *r = user;
    size_t n = r->map.len - r->at < size ? r->map.len - r->at : size;
    if (n)
        memcpy(buf, r->map.bytes + r->at, n);
    r->at += n;
    if (r->at - r->passed >= PASSED) {
        dv_map_passed(r->map.bytes + r->passed, r->at - r->passed);
        r->passed = r->at;
    }
    return (ptrdiff_t)n;
}

static bool is_lost(const dv_error *err)
{
    return err->code == DV_ERR_NETWORK || err->code == DV_ERR_ABORTED || err->code == DV_ERR_TIMEOUT;
}

/* The association that offers PAIR. */
static bool open_for(sending *s, size_t at, dv_error *err)
{
    dv_context_offer offers[MOST_PAIRS];
    size_t first = at / MOST_PAIRS * MOST_PAIRS;
    size_t n = s->pair_count - first < MOST_PAIRS ? s->pair_count - first : MOST_PAIRS;
    if (s->a && s->first_pair == first && dv_association_is_alive(s->a))
        return true;
    dv_pool_end(s->site->pool, s->a);
    for (size_t i = 0; i < n; i++)
        offers[i] =
            (dv_context_offer){.sop_class = s->pairs[first + i].sop_class, .syntaxes = {s->pairs[first + i].syntax}};
    s->a = dv_api_call(s->site, &s->peer, offers, n, true, 60000, err);
    s->first_pair = first;
    s->offered = n;
    s->associations += s->a != NULL;
    return s->a != NULL;
}

/* *STATUS of the answer. False: ERR. */
static bool store(sending *s, const item *it, uint16_t *status, dv_error *err)
{
    const pair *p = &s->pairs[it->pair];
    reader r = {.at = 0};
    dv_file_meta meta;
    dv_arena arena;
    if (!dv_map_open(&r.map, it->path, err))
        return false;
    dv_arena_init(&arena, 0);
    bool ok = dv_part10_read(r.map.bytes, r.map.len, &arena, &meta, err);
    r.at = r.passed = ok ? meta.dataset : 0;
    ok = ok && dv_store_send(s->a, dv_text_of(p->sop_class), dv_text_trim(meta.sop_instance), dv_text_of(p->syntax),
                             next_bytes, &r, status, err);
    if (ok)
        s->bytes += (int64_t)(r.map.len - meta.dataset);
    dv_arena_free(&arena);
    dv_map_close(&r.map);
    return ok;
}

static bool count_answer(sending *s, const item *it, uint16_t status, dv_error *err)
{
    if (status == 0x0000) {
        s->sent++;
        return true;
    }
    bool warning = status >> 12 == 0xB || status == 0x0001 || status == 0x0107 || status == 0x0116;
    s->warned += warning;
    s->failed += !warning;
    return tell(s, it->path, warning ? "warning" : "failed", status,
                warning ? "taken with a warning" : "the peer answered with a failure", err);
}

/* False: it makes no sense to go on. */
static bool send_one(sending *s, const item *it, dv_error *err)
{
    for (int again = 0; again < 2; again++) {
        dv_error why = {0};
        uint16_t status = 0;
        if (!open_for(s, it->pair, err))
            return false;
        uint8_t result = dv_offer_result(s->a, it->pair - s->first_pair);
        if (result != 0) {
            s->refused++;
            char reason[300];
            snprintf(reason, sizeof reason,
                     result == 4 ? "it takes class %s, but not in transfer syntax %s"
                                 : "it does not take class %s (%s)",
                     s->pairs[it->pair].sop_class, s->pairs[it->pair].syntax);
            return tell(s, it->path, "refused", 0, reason, err);
        }
        if (store(s, it, &status, &why))
            return count_answer(s, it, status, err);
        if (why.code == DV_ERR_CANCELLED)
            return dv_fail(err, why.code, "%s", why.message);
        if (again || !is_lost(&why)) {
            s->failed++;
            return tell(s, it->path, "failed", 0, why.message, err);
        }
    }
    return true;
}

static cJSON *sum(const sending *s)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "files", (double)(s->sent + s->warned + s->refused + s->failed));
    cJSON_AddNumberToObject(o, "sent", (double)s->sent);
    cJSON_AddNumberToObject(o, "warning", (double)s->warned);
    cJSON_AddNumberToObject(o, "refused", (double)s->refused);
    cJSON_AddNumberToObject(o, "failed", (double)s->failed);
    cJSON_AddNumberToObject(o, "bytes", (double)s->bytes);
    cJSON_AddNumberToObject(o, "associations", (double)s->associations);
    return o;
}

bool dv_api_send(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    dv_arena arena;
    dv_arena_init(&arena, 0);
    sending s = {.site = site, .reply = reply, .arena = &arena};
    bool ok = dv_api_peer(site, dv_args_text(args, "peer"), &arena, &s.peer, err);
    if (ok && (!s.peer.enabled || dv_text_is(s.peer.direction, "SourceOnly")))
        ok = dv_fail(err, DV_ERR_CONFIG, "nothing is sent to the peer '%s': it is %s", s.peer.slug.at,
                     s.peer.enabled ? "SourceOnly; make it Both or DestinationOnly" : "disabled");
    ok = ok && gather(&s, args, err);
    /* By the association they need: the order of arrival within it. */
    for (size_t first = 0; ok && first < s.pair_count; first += MOST_PAIRS)
        for (size_t i = 0; ok && i < s.count; i++) {
            if (s.items[i].pair / MOST_PAIRS * MOST_PAIRS != first)
                continue;
            ok = !dv_reply_cancelled(reply) || dv_fail(err, DV_ERR_CANCELLED, "stopped before all was sent");
            ok = ok && send_one(&s, &s.items[i], err);
            if (ok && i % PROGRESS_EVERY == PROGRESS_EVERY - 1)
                ok = dv_reply_progress(reply, sum(&s), err);
        }
    dv_pool_end(site->pool, s.a);
    dv_error unsaid;
    if (s.count || s.failed)
        ok = dv_reply_progress(reply, sum(&s), ok ? err : &unsaid) && ok;
    dv_arena_free(&arena);
    if (ok && s.refused + s.failed)
        return dv_fail(err, DV_ERR_INCOMPLETE, "%lld of %lld were not taken", (long long)(s.refused + s.failed),
                       (long long)(s.sent + s.warned + s.refused + s.failed));
    return ok;
}
