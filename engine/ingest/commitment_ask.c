#include "base/clock.h"
#include "base/log.h"
#include "catalog/query.h"
#include "dicom/values.h"
#include "ingest/commitment_internal.h"

#include <stdio.h>

enum { MOST = 250000, SLICE_MS = 200 };

/* ---- which instances ---- */

typedef struct collecting {
    dv_arena *arena;
    dv_text slug;
    struct found {
        dv_commit_instance as;
        int64_t id;
        bool received;
    } * list;
    size_t count, room;
    bool memory, more;
} collecting;

static bool collect(void *user, const dv_instance_row *row)
{
    collecting *c = user;
    if (c->count == MOST) {
        c->more = true;
        return false;
    }
    if (c->count == c->room) {
        size_t room = c->room ? c->room * 2 : 256;
        void *grown = dv_arena_grow(c->arena, c->list, c->count * sizeof *c->list, room * sizeof *c->list);
        c->memory = grown != NULL;
        if (!grown)
            return false;
        c->list = grown;
        c->room = room;
    }
    bool received = dv_text_equal(row->source, c->slug);
    struct found *f = &c->list[c->count++];
    *f = (struct found){{dv_arena_text(c->arena, row->sop_class),
                         dv_arena_text(c->arena, received ? row->received_sop_uid : row->sop_uid), -1},
                        row->id,
                        received};
    c->memory = f->as.sop_class.at && f->as.sop_uid.at;
    return c->memory;
}

static bool find_instances(dv_db *db, dv_text slug, dv_text uid, dv_arena *arena, dv_commit_instance **out,
                           size_t *count, dv_error *err)
{
    collecting c = {.arena = arena, .slug = slug, .memory = true};
    if (uid.len == 0)
        return dv_fail(err, DV_ERR_USAGE, "which study, series or instance? Give its UID");
    if (!dv_query_instances(db, uid, 0, collect, &c, err))
        return false;
    if (c.more)
        return dv_fail(err, DV_ERR_LIMIT, "%.*s has more than %d instances; ask for its series one by one", DV_ARG(uid),
                       MOST);
    if (c.count == 0)
        return dv_fail(err, DV_ERR_NOT_FOUND, "no instance of %.*s is stored here", DV_ARG(uid));
    *out = dv_arena_zalloc(arena, c.count, sizeof **out);
    if (!c.memory || !*out)
        return dv_fail(err, DV_ERR_MEMORY, "no memory for %zu instances", c.count);
    *count = c.count;
    bool ok = true;
    for (size_t i = 0; ok && i < c.count; i++) {
        (*out)[i] = c.list[i].as;
        if (c.list[i].received)
            ok = dv_commitments_received_class(db, c.list[i].id, c.list[i].as.sop_class, arena, &(*out)[i].sop_class,
                                               err);
    }
    return ok;
}

/* ---- asking ---- */

typedef struct asking {
    dv_commitments *c;
    const dv_peer *peer;
    int64_t id;
} asking;

static uint16_t take(void *user, const dv_commitment *report)
{
    const asking *a = user;
    return dv_commitments_told(a->c, a->peer->aet.at, report);
}

static bool mark_asked(dv_db *db, void *user, dv_error *err)
{
    return dv_commit_asked(db, ((asking *)user)->id, err);
}

static bool is_ended(asking *a, bool *ended, dv_error *err)
{
    dv_db *db = dv_catalog_reader(a->c->o.catalog, err);
    int64_t at = 0;
    bool ok = db && dv_db_int(db, 0, &at, err, "SELECT ended_at FROM commitments WHERE id = $1", "i", a->id);
    *ended = at != 0;
    return ok;
}

/* Until the report is here, by the association ASSOCIATION (taken) or by another one to our server. */
static bool await(asking *a, dv_association *association, int wait_ms, bool (*cancelled)(void *user), void *user,
                  dv_error *err)
{
    int64_t until = dv_mono_ms() + wait_ms;
    bool ended = false, ok = true;
    for (;;) {
        uint64_t seen = dv_commitments_changes(a->c);
        int64_t rest = until - dv_mono_ms();
        int ms = rest < SLICE_MS ? (int)rest : SLICE_MS;
        bool came = false;
        ok = is_ended(a, &ended, err);
        if (!ok || ended || rest <= 0 || cancelled(user) || atomic_load(&a->c->stopping))
            break;
        if (association && !dv_commitment_await(association, ms, take, a, &came, err)) {
            dv_info("commitment", "%s; its report may still come by an association of its own", err->message);
            dv_abort(association);
            association = NULL;
        } else if (association && !came && !dv_association_is_alive(association)) {
            dv_release(association);
            association = NULL;
        } else if (!association) {
            dv_commitments_wait(a->c, seen, ms);
        }
    }
    dv_release(association);
    return ok;
}

bool dv_commitments_ask(dv_commitments *c, const dv_peer *peer, dv_text uid, int wait_ms, bool (*cancelled)(void *user),
                        void *user, int64_t *id, dv_error *err)
{
    dv_arena arena;
    dv_commit_instance *list = NULL;
    size_t count = 0;
    char transaction[65];
    asking a = {c, peer, 0};
    dv_arena_init(&arena, 0);
    dv_db *db = dv_catalog_reader(c->o.catalog, err);
    bool ok = db && find_instances(db, peer->slug, uid, &arena, &list, &count, err) && dv_uid_make(transaction, err);
    dv_association *association = ok ? dv_commitments_call(c, peer, c->o.aet, DV_ROLE_SCU, err) : NULL;
    dv_commitment request = {dv_text_of(transaction), NULL, count};
    if (association) {
        char address[300];
        bool open, held, came;
        snprintf(address, sizeof address, "%.255s:%d", peer->host.at, peer->port);
        dv_commit_row row = {.role = DV_TEXT("scu"),
                             .transaction = request.transaction,
                             .peer = peer->slug,
                             .aet = peer->aet,
                             .called = dv_text_of(c->o.aet),
                             .address = dv_text_of(address),
                             .instances = (int64_t)count};
        request.references = dv_arena_zalloc(&arena, count, sizeof *request.references);
        for (size_t i = 0; request.references && i < count; i++)
            request.references[i] = (dv_reference){list[i].sop_class, list[i].sop_uid, 0};
        ok = (request.references || dv_fail(err, DV_ERR_MEMORY, "no memory to ask for %zu instances", count)) &&
             dv_commitments_add(c, &row, list, count, false, NULL, &held, &a.id, &open, err);
        *id = a.id;
        if (ok && !dv_commitment_ask(association, &request, take, &a, &came, err)) {
            dv_error why = {0};
            if (!dv_commitments_end(c, a.id, "failed", dv_text_of(err->message), &why))
                dv_error_log("commitment", "%s", why.message);
            ok = false;
        }
        ok = ok && dv_catalog_write(c->o.catalog, true, mark_asked, &a, err);
        if (ok)
            ok = await(&a, association, wait_ms, cancelled, user, err);
        else
            dv_release(association);
    }
    dv_arena_free(&arena);
    return association && ok;
}
