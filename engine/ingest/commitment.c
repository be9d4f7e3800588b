/* commitment.c
 *
 * 1. `changes` grows, under `lock`, whenever a thread may find something new; a thread waits only when it has not grown since it looked.
 * 2. Who holds a transaction (an association that lasts) reports it; the reporter passes over what is held. */
#include "base/clock.h"
#include "base/log.h"
#include "ingest/commitment_internal.h"
#include "ingest/outbound.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CHUNK = 1000, HOUR_MS = 3600 * 1000, LOST_PATIENCE_MS = 1000 };

void dv_commitments_wake(dv_commitments *c)
{
    pthread_mutex_lock(&c->lock);
    c->changes++;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

uint64_t dv_commitments_changes(dv_commitments *c)
{
    pthread_mutex_lock(&c->lock);
    uint64_t n = c->changes;
    pthread_mutex_unlock(&c->lock);
    return n;
}

void dv_commitments_wait(dv_commitments *c, uint64_t seen, int64_t ms)
{
    struct timespec until;
    int64_t end = dv_mono_ns() + ms * 1000000;
    until = (struct timespec){.tv_sec = (time_t)(end / 1000000000), .tv_nsec = (long)(end % 1000000000)};
    pthread_mutex_lock(&c->lock);
    while (c->changes == seen && !atomic_load(&c->stopping) &&
           pthread_cond_timedwait(&c->changed, &c->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&c->lock);
}

/* ---- who reports ---- */

static dv_commit_held **held_place(dv_commitments *c, int64_t id)
{
    dv_commit_held **at = &c->held;
    while (*at && (*at)->id != id)
        at = &(*at)->next;
    return at;
}

static bool is_held(dv_commitments *c, int64_t id)
{
    pthread_mutex_lock(&c->lock);
    bool held = *held_place(c, id) != NULL;
    pthread_mutex_unlock(&c->lock);
    return held;
}

static bool hold(dv_commitments *c, int64_t id, const dv_caller *caller)
{
    dv_commit_held *h = calloc(1, sizeof *h);
    if (!h)
        return false; /* then by an association of its own */
    h->id = id;
    h->caller = caller;
    pthread_mutex_lock(&c->lock);
    h->next = c->held;
    c->held = h;
    pthread_mutex_unlock(&c->lock);
    return true;
}

static void unhold(dv_commitments *c, int64_t id)
{
    pthread_mutex_lock(&c->lock);
    dv_commit_held **at = held_place(c, id), *h = *at;
    if (h)
        *at = h->next;
    c->changes++;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    free(h);
}

void dv_commitments_left(dv_commitments *c, const dv_caller *caller)
{
    pthread_mutex_lock(&c->lock);
    for (dv_commit_held **at = &c->held; *at;) {
        dv_commit_held *h = *at;
        if (h->caller == caller) {
            *at = h->next;
            free(h);
            c->changes++;
        } else {
            at = &h->next;
        }
    }
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

/* ---- rows ---- */

typedef struct row_work {
    int64_t id;
    const dv_commit_row *row;
    const dv_commit_instance *list;
    size_t count, position;
    const char *state;
    bool ended, last, *open;
    dv_text error;
    int64_t next_at, before;
} row_work;

static bool add_row(dv_db *db, void *user, dv_error *err)
{
    row_work *w = user;
    return dv_commit_add(db, w->row, &w->id, w->open, err);
}

static bool add_chunk(dv_db *db, void *user, dv_error *err)
{
    const row_work *w = user;
    return dv_commit_add_instances(db, w->id, (int64_t)w->position, w->list + w->position, w->count, err) &&
           (!w->last || dv_commit_asked(db, w->id, err));
}

bool dv_commitments_add(dv_commitments *c, const dv_commit_row *row, const dv_commit_instance *list, size_t count,
                        bool ask, const dv_caller *held_by, bool *held, int64_t *id, bool *open, dv_error *err)
{
    row_work w = {.row = row, .list = list, .open = open};
    bool ok = dv_catalog_write(c->o.catalog, true, add_row, &w, err);
    *held = ok && !*open && held_by && hold(c, w.id, held_by);
    /* By chunks: those who store must not wait for a hundred thousand rows. */
    for (size_t at = 0; ok && !*open && at < count; at += CHUNK) {
        w.position = at;
        w.count = count - at < CHUNK ? count - at : CHUNK;
        w.last = ask && at + CHUNK >= count;
        ok = dv_catalog_write(c->o.catalog, true, add_chunk, &w, err);
    }
    if (!ok && *held)
        unhold(c, w.id);
    *id = w.id;
    return ok;
}

static bool decide_row(dv_db *db, void *user, dv_error *err)
{
    const row_work *w = user;
    return dv_commit_decide(db, w->id, w->state, w->ended, w->list, w->count, err);
}

bool dv_commitments_decide(dv_commitments *c, int64_t id, const char *state, bool ended, const dv_commit_instance *list,
                           size_t count, dv_error *err)
{
    row_work w = {.id = id, .state = state, .ended = ended, .list = list, .count = count};
    return dv_catalog_write(c->o.catalog, true, decide_row, &w, err);
}

static bool end_row(dv_db *db, void *user, dv_error *err)
{
    const row_work *w = user;
    return dv_commit_end(db, w->id, w->state, w->error, err);
}

bool dv_commitments_end(dv_commitments *c, int64_t id, const char *state, dv_text error, dv_error *err)
{
    row_work w = {.id = id, .state = state, .error = error};
    return dv_catalog_write(c->o.catalog, true, end_row, &w, err);
}

static bool again_row(dv_db *db, void *user, dv_error *err)
{
    const row_work *w = user;
    return dv_commit_again(db, w->id, w->next_at, w->error, err);
}

static bool clean_rows(dv_db *db, void *user, dv_error *err)
{
    const row_work *w = user;
    return dv_commit_clean(db, w->before, err);
}

/* ---- taking requests ---- */

uint16_t dv_commitments_take(dv_commitments *c, const dv_caller *caller, const char *peer, bool apart,
                             const dv_commitment *request, bool *here)
{
    dv_error err = {0};
    bool open = false;
    int64_t id = 0;
    dv_commit_row row = {
        .role = DV_TEXT("scp"),
        .transaction = request->transaction,
        .peer = dv_text_of(peer),
        .aet = dv_text_of(caller->calling),
        .called = dv_text_of(caller->called),
        .address = dv_text_of(caller->address),
        .instances = (int64_t)request->count,
    };
    dv_commit_instance *list = calloc(request->count, sizeof *list);
    for (size_t i = 0; list && i < request->count; i++)
        list[i] = (dv_commit_instance){request->references[i].sop_class, request->references[i].sop_instance, -1};
    *here = false;
    if (!list ||
        !dv_commitments_add(c, &row, list, request->count, true, apart ? NULL : caller, here, &id, &open, &err)) {
        dv_error_log("commitment", "a request of %s is refused: %s", caller->calling, list ? err.message : "no memory");
        free(list);
        *here = false;
        return DV_COMMIT_RESOURCES;
    }
    free(list);
    if (open) /* asked twice: it is told once */
        dv_warn("commitment", "%s asks again for transaction %.*s, which is under way", caller->calling,
                DV_ARG(request->transaction));
    else
        dv_info("commitment", "%s asks to commit %zu instances (transaction %.*s)", caller->calling, request->count,
                DV_ARG(request->transaction));
    dv_commitments_wake(c);
    return 0x0000;
}

/* ---- checking ---- */

static bool check_row(dv_commitments *c, dv_db *db, const dv_commit_row *row, dv_arena *arena, dv_error *err)
{
    dv_commit_instance *list;
    size_t count, failed = 0;
    if (!dv_commit_instances(db, row->id, arena, &list, &count, err) ||
        !dv_commitments_check(c, row, list, count, err) ||
        !dv_commitments_decide(c, row->id, "decided", false, list, count, err))
        return false;
    for (size_t i = 0; i < count; i++)
        failed += list[i].reason != DV_COMMITTED;
    if (failed)
        dv_warn("commitment", "%.*s asked to commit %zu instances: %zu are not here or not whole (transaction %.*s)",
                DV_ARG(row->aet), count, failed, DV_ARG(row->transaction));
    else
        dv_info("commitment", "%zu instances committed for %.*s (transaction %.*s)", count, DV_ARG(row->aet),
                DV_ARG(row->transaction));
    return true;
}

static void *checker_main(void *user)
{
    dv_commitments *c = user;
    while (!atomic_load(&c->stopping)) {
        uint64_t seen = dv_commitments_changes(c);
        dv_error err = {0};
        dv_arena arena;
        dv_commit_row row;
        bool found = false;
        dv_arena_init(&arena, 0);
        dv_db *db = dv_catalog_reader(c->o.catalog, &err);
        bool ok = db && dv_commit_next(db, "scp", "asked", INT64_MAX, 0, &arena, &row, &found, &err) &&
                  (!found || check_row(c, db, &row, &arena, &err));
        dv_arena_free(&arena);
        if (ok && found) {
            dv_commitments_wake(c);
        } else if (ok) {
            dv_commitments_wait(c, seen, HOUR_MS);
        } else if (err.code != DV_ERR_CANCELLED) {
            dv_error_log("commitment", "%s; it is tried again", err.message);
            dv_commitments_wait(c, dv_commitments_changes(c), LOST_PATIENCE_MS);
        }
    }
    return NULL;
}

/* ---- reporting ---- */

static bool as_report(dv_db *db, const dv_commit_row *row, dv_arena *arena, dv_commitment *out, dv_error *err)
{
    dv_commit_instance *list;
    size_t count;
    if (!dv_commit_instances(db, row->id, arena, &list, &count, err))
        return false;
    *out = (dv_commitment){row->transaction, dv_arena_zalloc(arena, count ? count : 1, sizeof *out->references), count};
    for (size_t i = 0; out->references && i < count; i++)
        out->references[i] = (dv_reference){list[i].sop_class, list[i].sop_uid,
                                            list[i].reason < 0 ? DV_COMMIT_PROCESSING : (uint16_t)list[i].reason};
    return out->references || dv_fail(err, DV_ERR_MEMORY, "no memory for a report");
}

bool dv_commitments_due(dv_commitments *c, const dv_caller *caller, dv_arena *arena, dv_commitment *report, int64_t *id)
{
    /* Asked ten times a second while an association waits: one key lookup each. */
    dv_error err = {0};
    int64_t mine = 0;
    pthread_mutex_lock(&c->lock);
    for (dv_commit_held *h = c->held; h; h = h->next)
        if (h->caller == caller && !h->sent)
            mine = h->id; /* the oldest is the last */
    pthread_mutex_unlock(&c->lock);
    dv_commit_row row;
    bool found = false;
    dv_db *db = mine ? dv_catalog_reader(c->o.catalog, &err) : NULL;
    if (!db || !dv_commit_get(db, mine, arena, &row, &found, &err) || !found || !dv_text_is(row.state, "decided") ||
        !as_report(db, &row, arena, report, &err))
        return false;
    pthread_mutex_lock(&c->lock);
    dv_commit_held *h = *held_place(c, mine);
    if (h)
        h->sent = true;
    pthread_mutex_unlock(&c->lock);
    *id = mine;
    return h != NULL;
}

static bool to_try_again(dv_commitments *c, const dv_commit_row *row, const char *why)
{
    dv_error err = {0};
    bool last = row->tries + 1 >= c->o.tries, ok;
    if (last) {
        dv_error_log("commitment", "transaction %.*s cannot be reported to %.*s: %s; given up after %lld tries",
                     DV_ARG(row->transaction), DV_ARG(row->aet), why, (long long)row->tries + 1);
        ok = dv_commitments_end(c, row->id, "lost", dv_text_of(why), &err);
    } else {
        int64_t wait_ms = c->o.backoff_ms;
        for (int64_t i = 0; i < row->tries && wait_ms < HOUR_MS; i++)
            wait_ms *= 2;
        wait_ms = wait_ms > HOUR_MS ? HOUR_MS : wait_ms;
        dv_warn("commitment", "transaction %.*s cannot be reported to %.*s: %s; again in %lld s",
                DV_ARG(row->transaction), DV_ARG(row->aet), why, (long long)(wait_ms + 999) / 1000);
        row_work w = {.id = row->id, .next_at = dv_wall_us() + wait_ms * 1000, .error = dv_text_of(why)};
        ok = dv_catalog_write(c->o.catalog, true, again_row, &w, &err);
    }
    if (!ok)
        dv_error_log("commitment", "%s", err.message);
    return ok;
}

void dv_commitments_delivered(dv_commitments *c, const dv_caller *caller, int64_t id, uint16_t status)
{
    dv_error err = {0};
    dv_arena arena;
    dv_commit_row row;
    bool found = false, ok = true;
    char why[100];
    dv_arena_init(&arena, 1024);
    if (status == 0x0000 || status == 0x0107 || status == 0x0116) {
        ok = dv_commitments_end(c, id, "reported", DV_TEXT(""), &err);
    } else {
        dv_db *db = dv_catalog_reader(c->o.catalog, &err);
        snprintf(why, sizeof why, "%s answered the report with status %04X", caller->calling, status);
        ok = db && dv_commit_get(db, id, &arena, &row, &found, &err) && (!found || to_try_again(c, &row, why));
    }
    if (!ok)
        dv_error_log("commitment", "%s", err.message);
    dv_arena_free(&arena);
    unhold(c, id);
}

dv_association *dv_commitments_call(dv_commitments *c, const dv_peer *peer, const char *calling, dv_role role,
                                    dv_error *err)
{
    dv_arena arena;
    dv_association *a = NULL;
    dv_peer_tls how;
    dv_tls *tls = NULL;
    dv_context_offer offer = {.sop_class = DV_SOP_COMMITMENT, .role = role};
    dv_target to = {.host = peer->host.at,
                    .port = (uint16_t)peer->port,
                    .calling = calling,
                    .called = peer->aet.at,
                    .answer_ms = 30000,
                    .cancel = &c->stopping};
    dv_arena_init(&arena, 512);
    if (dv_peer_tls_of(peer->settings, &arena, &how, err) && dv_outbound_tls(&how, &c->o.tls, &tls, err)) {
        to.tls = tls;
        a = dv_associate(&to, &offer, 1, err);
    }
    dv_tls_free(tls);
    dv_arena_free(&arena);
    return a;
}

static bool any_host(void *user, const char *host)
{
    (void)user, (void)host;
    return true;
}

/* Who asked, as a peer that can be called: by its slug, else by its AE title. */
static bool peer_of(dv_db *db, const dv_commit_row *row, dv_arena *arena, dv_peer *out, dv_error *err)
{
    bool found = false;
    if (row->peer.len && !dv_peer_get(db, row->peer, arena, out, &found, err))
        return false;
    if (!found && !dv_peer_calling(db, row->aet, any_host, NULL, arena, out, &found, err))
        return false;
    if (found && !out->enabled)
        return dv_fail(err, DV_ERR_NOT_FOUND, "the peer %.*s is disabled", DV_ARG(out->slug));
    return found || dv_fail(err, DV_ERR_NOT_FOUND,
                            "%.*s at %.*s is no peer of ours, so its port is not known; add it with 'drover peers add'",
                            DV_ARG(row->aet), DV_ARG(row->address));
}

static bool report_row(dv_commitments *c, dv_db *db, const dv_commit_row *row, dv_arena *arena, dv_error *err)
{
    dv_commitment report;
    dv_peer peer;
    if (!peer_of(db, row, arena, &peer, err) || !as_report(db, row, arena, &report, err))
        return false;
    dv_association *a = dv_commitments_call(c, &peer, row->called.len ? row->called.at : c->o.aet, DV_ROLE_SCP, err);
    bool ok = a && dv_commitment_report(a, &report, err);
    dv_release(a);
    return ok;
}

/* One round over what is due. False: the catalog failed. *NEXT_MS: until something may be due again. */
static bool report_due(dv_commitments *c, int64_t *next_ms, dv_error *err)
{
    dv_db *db = dv_catalog_reader(c->o.catalog, err);
    dv_arena arena;
    bool ok = db != NULL, found = true;
    int64_t after = 0, soonest = 0;
    dv_arena_init(&arena, 0);
    while (ok && found && !atomic_load(&c->stopping)) {
        dv_commit_row row;
        dv_error why = {0};
        dv_arena_reset(&arena);
        ok = dv_commit_next(db, "scp", "decided", dv_wall_us(), after, &arena, &row, &found, err);
        if (!ok || !found)
            break;
        after = row.id;
        if (is_held(c, row.id))
            continue;
        if (report_row(c, db, &row, &arena, &why))
            ok = dv_commitments_end(c, row.id, "reported", DV_TEXT(""), err);
        else if (why.code == DV_ERR_CANCELLED)
            break;
        else
            ok = to_try_again(c, &row, why.message);
        if (ok)
            dv_commitments_wake(c); /* whoever waits for an end */
    }
    dv_arena_free(&arena);
    ok = ok && dv_db_int(db, 0, &soonest, err,
                         "SELECT min(next_at) FROM commitments WHERE state = 'decided' AND ended_at = 0 AND next_at > "
                         "0",
                         "");
    *next_ms = HOUR_MS;
    if (ok && soonest) {
        int64_t ms = (soonest - dv_wall_us()) / 1000 + 1;
        *next_ms = ms < 1 ? 1 : ms < HOUR_MS ? ms : HOUR_MS;
    }
    return ok;
}

static void *reporter_main(void *user)
{
    dv_commitments *c = user;
    int64_t cleaned = 0;
    while (!atomic_load(&c->stopping)) {
        uint64_t seen = dv_commitments_changes(c);
        dv_error err = {0};
        int64_t next_ms = LOST_PATIENCE_MS, now = dv_mono_ms();
        if (!report_due(c, &next_ms, &err)) {
            dv_error_log("commitment", "%s; it is tried again", err.message);
            next_ms = LOST_PATIENCE_MS;
        }
        if (!cleaned || now - cleaned > HOUR_MS) {
            row_work w = {.before = dv_wall_us() - c->o.keep_days * INT64_C(86400000000)};
            if (!dv_catalog_write(c->o.catalog, false, clean_rows, &w, &err))
                dv_warn("commitment", "old transactions stay: %s", err.message);
            cleaned = now;
        }
        dv_commitments_wait(c, seen, next_ms);
    }
    return NULL;
}

/* ---- what we are told ---- */

typedef struct by_uid {
    dv_text uid;
    int64_t reason;
} by_uid;

static int compare_uids(const void *a, const void *b)
{
    return dv_text_compare(((const by_uid *)a)->uid, ((const by_uid *)b)->uid);
}

/* The report's verdict on each of LIST; what it does not name stays -1. */
static bool match(const dv_commitment *report, dv_commit_instance *list, size_t count, dv_arena *arena, size_t *failed)
{
    by_uid *said = dv_arena_zalloc(arena, report->count ? report->count : 1, sizeof *said);
    if (!said)
        return false;
    for (size_t i = 0; i < report->count; i++)
        said[i] = (by_uid){report->references[i].sop_instance, report->references[i].reason};
    qsort(said, report->count, sizeof *said, compare_uids);
    *failed = 0;
    for (size_t i = 0; i < count; i++) {
        const by_uid key = {list[i].sop_uid, 0};
        const by_uid *is = bsearch(&key, said, report->count, sizeof *said, compare_uids);
        list[i].reason = is ? is->reason : -1;
        *failed += list[i].reason != DV_COMMITTED;
    }
    return true;
}

uint16_t dv_commitments_told(dv_commitments *c, const char *aet, const dv_commitment *report)
{
    dv_error err = {0};
    dv_arena arena;
    dv_commit_row row;
    dv_commit_instance *list = NULL;
    size_t count = 0, failed = 0;
    bool found = false;
    dv_arena_init(&arena, 0);
    dv_db *db = dv_catalog_reader(c->o.catalog, &err);
    bool ok = db && dv_commit_find(db, "scu", dv_text_of(aet), report->transaction, &arena, &row, &found, &err);
    if (ok && found && !row.ended_at) {
        ok = dv_commit_instances(db, row.id, &arena, &list, &count, &err) &&
             (match(report, list, count, &arena, &failed) || dv_fail(&err, DV_ERR_MEMORY, "no memory for a report")) &&
             dv_commitments_decide(c, row.id, failed ? "failed" : "complete", true, list, count, &err);
        if (ok)
            dv_info("commitment", "%s has committed %zu of %zu instances (transaction %.*s)", aet, count - failed,
                    count, DV_ARG(report->transaction));
    }
    dv_arena_free(&arena);
    if (!ok) {
        dv_error_log("commitment", "%s", err.message);
        return DV_COMMIT_PROCESSING; /* it may tell us again */
    }
    if (!found) {
        dv_warn("commitment", "%s reports transaction %.*s, which we never asked it for", aet,
                DV_ARG(report->transaction));
        return 0x0115;
    }
    dv_commitments_wake(c);
    return 0x0000;
}

/* ---- life ---- */

static void dispose(dv_commitments *c)
{
    while (c->held) {
        dv_commit_held *h = c->held;
        c->held = h->next;
        free(h);
    }
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

dv_commitments *dv_commitments_start(const dv_commitments_options *options, dv_error *err)
{
    dv_commitments *c = calloc(1, sizeof *c);
    pthread_condattr_t monotonic;
    if (!c) {
        dv_fail(err, DV_ERR_MEMORY, "no memory for storage commitment");
        return NULL;
    }
    c->o = *options;
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&c->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int error = pthread_create(&c->checker, NULL, checker_main, c);
    if (!error) {
        error = pthread_create(&c->reporter, NULL, reporter_main, c);
        if (error) {
            atomic_store(&c->stopping, true);
            dv_commitments_wake(c);
            pthread_join(c->checker, NULL);
        }
    }
    if (error) {
        dv_fail(err, DV_ERR_INTERNAL, "no thread for storage commitment: %s", strerror(error));
        dispose(c);
        return NULL;
    }
    return c;
}

void dv_commitments_stop(dv_commitments *c)
{
    if (!c)
        return;
    atomic_store(&c->stopping, true);
    dv_commitments_wake(c);
    pthread_join(c->checker, NULL);
    pthread_join(c->reporter, NULL);
    dispose(c);
}
