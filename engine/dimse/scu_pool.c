/* scu_pool.c
 *
 * Invariants
 *   1 `entries` has every association that is open or being opened, each once; a busy one belongs to its lease
 *   2 `busy` (in all and of a peer) never passes a limit; with idle ones `entries` does not either, once evicted ones are closed
 *   3 the first waiter that could go is the only one that goes
 *   4 no lock is held while an association is opened or closed: a busy one is closed first and then leaves `entries`; one that gives way to a new
 *     one leaves first, and is closed before that is opened */
#include "dimse/scu_pool.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SLICE_MS = 200, PEER_SIZE = 33, LEARNT = 64, LEARNT_MS = 10 * 60 * 1000 };

typedef struct entry {
    struct entry *next;
    dv_association *a; /* NULL while it is being opened */
    char peer[PEER_SIZE];
    char *key;
    bool busy;
    int64_t since_ms; /* idle since */
} entry;

typedef struct waiter {
    struct waiter *next;
    const char *peer;
    int most;
} waiter;

/* What a peer's rejection has taught. */
typedef struct learnt {
    char peer[PEER_SIZE];
    int most;
    int64_t until_ms;
} learnt;

struct dv_pool {
    int max, idle_ms;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under lock */
    entry *entries;
    waiter *waiters;
    learnt learnt[LEARNT];
};

dv_pool *dv_pool_new(int max, int idle_ms, dv_error *err)
{
    dv_pool *p = calloc(1, sizeof *p);
    pthread_condattr_t monotonic;

    if (!p) {
        dv_fail(err, DV_ERR_MEMORY, "no memory for the pool of associations");
        return NULL;
    }
    p->max = max;
    p->idle_ms = idle_ms;
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&p->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return p;
}

/* ---- entries; with the lock held ---- */

static void close_all(entry *list)
{
    while (list) {
        entry *next = list->next;

        if (list->busy)
            dv_abort(list->a);
        else
            dv_release(list->a);
        free(list->key);
        free(list);
        list = next;
    }
}

void dv_pool_free(dv_pool *p)
{
    if (!p)
        return;
    close_all(p->entries);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static bool is_of(const entry *e, const char *peer)
{
    return !peer || strcmp(e->peer, peer) == 0;
}

static int count(const dv_pool *p, const char *peer, bool idle_too)
{
    int n = 0;

    for (const entry *e = p->entries; e; e = e->next)
        n += is_of(e, peer) && (e->busy || idle_too);
    return n;
}

/* Moves E from the pool to LIST. */
static void take_out(dv_pool *p, entry *e, entry **list)
{
    entry **at = &p->entries;

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    e->next = *list;
    *list = e;
}

/* The idle one that is so for longest; PEER NULL: of all. */
static bool evict(dv_pool *p, const char *peer, entry **list)
{
    entry *oldest = NULL;

    for (entry *e = p->entries; e; e = e->next)
        if (!e->busy && is_of(e, peer) && (!oldest || e->since_ms < oldest->since_ms))
            oldest = e;
    if (oldest)
        take_out(p, oldest, list);
    return oldest != NULL;
}

/* The limit of a peer, 0: none: its own, or what it has taught. */
static int limit_of(const dv_pool *p, const char *peer, int most)
{
    int64_t now = dv_mono_ms();

    for (int i = 0; i < LEARNT; i++)
        if (p->learnt[i].until_ms > now && strcmp(p->learnt[i].peer, peer) == 0 &&
            (most == 0 || p->learnt[i].most < most))
            return p->learnt[i].most;
    return most;
}

static void learn(dv_pool *p, const char *peer, int most)
{
    int at = 0;

    for (int i = 0; i < LEARNT; i++) {
        if (strcmp(p->learnt[i].peer, peer) == 0) {
            at = i;
            break;
        }
        if (p->learnt[i].until_ms < p->learnt[at].until_ms)
            at = i;
    }
    snprintf(p->learnt[at].peer, sizeof p->learnt[at].peer, "%s", peer);
    p->learnt[at].most = most;
    p->learnt[at].until_ms = dv_mono_ms() + LEARNT_MS;
}

static bool could_go(const dv_pool *p, const waiter *w)
{
    int most = limit_of(p, w->peer, w->most);

    return (p->max == 0 || count(p, NULL, false) < p->max) && (most == 0 || count(p, w->peer, false) < most);
}

static bool is_turn_of(const dv_pool *p, const waiter *me)
{
    const waiter *w = p->waiters;

    while (w != me && !could_go(p, w))
        w = w->next;
    return w == me && could_go(p, me);
}

static void line_up(dv_pool *p, waiter *w)
{
    waiter **at = &p->waiters;

    while (*at)
        at = &(*at)->next;
    w->next = NULL;
    *at = w;
}

static void leave_line(dv_pool *p, waiter *w)
{
    waiter **at = &p->waiters;

    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    pthread_cond_broadcast(&p->changed); /* who stood behind may be first now */
}

/* ---- a turn ---- */

static bool no_turn(const dv_pool *p, const dv_pool_call *c, dv_error *err)
{
    int most = limit_of(p, c->peer, c->most);

    if (most && count(p, c->peer, false) >= most)
        return dv_fail(err, DV_ERR_TIMEOUT,
                       "all %d associations that %s takes at once are in use for %.0f s now; raise its "
                       "max_associations, or try again later",
                       most, c->peer, c->wait_ms / 1000.0);
    return dv_fail(
        err, DV_ERR_TIMEOUT,
        "all %d outbound associations are in use for %.0f s now; raise dimse.max_outbound, or try again later", p->max,
        c->wait_ms / 1000.0);
}

static bool wait_for_turn(dv_pool *p, waiter *w, const dv_pool_call *c, dv_error *err)
{
    int64_t end = c->wait_ms ? dv_mono_ms() + c->wait_ms : INT64_MAX;

    while (!is_turn_of(p, w)) {
        int64_t now = dv_mono_ms(), until = now + SLICE_MS < end ? now + SLICE_MS : end;
        struct timespec t = {.tv_sec = (time_t)(until / 1000), .tv_nsec = (long)(until % 1000) * 1000000};

        if (c->to.cancel && atomic_load(c->to.cancel))
            return dv_fail(err, DV_ERR_CANCELLED, "cancelled while waiting for an association to %s", c->peer);
        if (now >= end)
            return no_turn(p, c, err);
        pthread_cond_timedwait(&p->changed, &p->lock, &t);
    }
    return true;
}

static char *key_of(const dv_pool_call *c)
{
    char *key = NULL;

    if (asprintf(&key, "%s|%s|%u|%s|%s|%s", c->peer, c->to.host, c->to.port, c->to.called, c->to.calling,
                 c->variant ? c->variant : "") < 0)
        return NULL;
    return key;
}

/* The one of KEY that was used last: the others may then grow old. */
static entry *idle_one(const dv_pool *p, const char *key, const char *need)
{
    entry *best = NULL;

    for (entry *e = p->entries; e; e = e->next)
        if (!e->busy && strcmp(e->key, key) == 0 && dv_accepted_syntax(e->a, need).at &&
            (!best || e->since_ms > best->since_ms))
            best = e;
    return best;
}

/* A place among the busy ones: an idle association's (E->a is set), or room for a new one. KEY is taken. CLOSE: what must give way. */
static entry *place(dv_pool *p, const dv_pool_call *c, char *key, entry **close)
{
    int most = limit_of(p, c->peer, c->most);
    entry *e = c->need ? idle_one(p, key, c->need) : NULL;

    if (e) {
        free(key);
    } else {
        while (p->max && count(p, NULL, true) >= p->max && evict(p, NULL, close))
            ;
        while (most && count(p, c->peer, true) >= most && evict(p, c->peer, close))
            ;
        e = calloc(1, sizeof *e);
        if (!e) {
            free(key);
            return NULL;
        }
        e->key = key;
        snprintf(e->peer, sizeof e->peer, "%s", c->peer);
        e->next = p->entries;
        p->entries = e;
    }
    e->busy = true;
    return e;
}

/* ---- opening ---- */

static dv_association *associate(const dv_pool_call *c, const dv_context_offer *offers, size_t n, dv_error *err)
{
    dv_target to = c->to;
    dv_tls *tls = NULL;
    dv_association *a;

    if (c->secure && !c->secure(c->user, &tls, err))
        return NULL;
    to.tls = tls;
    a = dv_associate(&to, offers, n, err);
    dv_tls_free(tls);
    return a;
}

static dv_association *open_one(const dv_pool_call *c, dv_error *err)
{
    dv_association *a = associate(c, c->offers, c->count, err);
    size_t at = 0;

    if (a && (!c->need || dv_accepted_syntax(a, c->need).at))
        return a;
    if (!c->need)
        return NULL;
    if (!a && (err->code != DV_ERR_UNSUPPORTED || c->count == 1))
        return NULL;
    dv_release(a);
    while (at < c->count && strcmp(c->offers[at].sop_class, c->need) != 0)
        at++;
    return at < c->count ? associate(c, &c->offers[at], 1, err) : NULL;
}

/* Of a busy one: it stays counted until its association is closed. */
static void remove_entry(dv_pool *p, entry *e, bool release)
{
    entry *gone = NULL;

    if (release)
        dv_release(e->a);
    else
        dv_abort(e->a);
    e->a = NULL;
    pthread_mutex_lock(&p->lock);
    take_out(p, e, &gone);
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    close_all(gone);
}

/* A rejection for now while others of ours are open is the peer's limit: true, the caller may wait for its turn again. */
static bool is_full(dv_pool *p, const dv_pool_call *c, const dv_error *err)
{
    bool full = false;

    if (err->code != DV_ERR_BUSY)
        return false;
    pthread_mutex_lock(&p->lock);
    int others = count(p, c->peer, true) - 1;
    full = others > 0;
    if (full)
        learn(p, c->peer, others);
    pthread_mutex_unlock(&p->lock);
    return full;
}

/* The idle ones like C's. */
static bool forget(dv_pool *p, const dv_pool_call *c, dv_error *err)
{
    char *key = key_of(c);
    entry *e = NULL;

    if (!key)
        return dv_fail(err, DV_ERR_MEMORY, "no memory for an association to %s", c->peer);
    do {
        pthread_mutex_lock(&p->lock);
        for (e = p->entries; e && (e->busy || strcmp(e->key, key) != 0);)
            e = e->next;
        if (e)
            e->busy = true;
        pthread_mutex_unlock(&p->lock);
        if (e)
            remove_entry(p, e, false);
    } while (e);
    free(key);
    return true;
}

bool dv_pool_take(dv_pool *p, const dv_pool_call *c, bool fresh, dv_lease *out, dv_error *err)
{
    if (fresh && !forget(p, c, err))
        return false;
    for (;;) {
        waiter me = {NULL, c->peer, c->most};
        entry *close = NULL, *e = NULL;
        char *key = key_of(c);

        if (!key)
            return dv_fail(err, DV_ERR_MEMORY, "no memory for an association to %s", c->peer);
        pthread_mutex_lock(&p->lock);
        line_up(p, &me);
        bool turn = wait_for_turn(p, &me, c, err);
        if (turn)
            e = place(p, c, key, &close);
        leave_line(p, &me);
        pthread_mutex_unlock(&p->lock);
        close_all(close);
        if (!turn) {
            free(key);
            return false;
        }
        if (!e)
            return dv_fail(err, DV_ERR_MEMORY, "no memory for an association to %s", c->peer);
        *out = (dv_lease){.a = e->a, .kept = e->a != NULL, .entry = e};
        if (e->a && !dv_association_is_alive(e->a)) {
            remove_entry(p, e, false);
            continue;
        }
        if (!e->a && !(out->a = open_one(c, err))) {
            bool wait = is_full(p, c, err);
            remove_entry(p, e, false);
            if (wait)
                continue;
            return false;
        }
        pthread_mutex_lock(&p->lock);
        e->a = out->a;
        pthread_mutex_unlock(&p->lock);
        dv_association_lend(e->a, c->to.answer_ms, c->to.cancel);
        return true;
    }
}

void dv_pool_give(dv_pool *p, dv_lease *lease, bool good)
{
    entry *e = lease->entry;

    lease->a = NULL;
    if (good && p->idle_ms > 0 && dv_association_is_alive(e->a)) {
        dv_association_lend(e->a, 0, NULL); /* the flag may go before the association does */
        pthread_mutex_lock(&p->lock);
        e->busy = false;
        e->since_ms = dv_mono_ms();
        pthread_cond_broadcast(&p->changed);
        pthread_mutex_unlock(&p->lock);
        return;
    }
    remove_entry(p, e, good);
}

void dv_pool_end(dv_pool *p, dv_association *a)
{
    entry *e;

    if (!a)
        return;
    pthread_mutex_lock(&p->lock);
    for (e = p->entries; e && e->a != a;)
        e = e->next;
    pthread_mutex_unlock(&p->lock);
    if (e)
        remove_entry(p, e, true);
}

/* The next idle one that must go, now busy. *OLD: for its age. */
static entry *next_to_close(dv_pool *p, bool *old)
{
    pthread_mutex_lock(&p->lock);
    entry *e = p->entries;
    for (; e; e = e->next) {
        *old = !e->busy && dv_mono_ms() - e->since_ms >= p->idle_ms;
        if (*old || (!e->busy && !dv_association_is_alive(e->a)))
            break;
    }
    if (e)
        e->busy = true;
    pthread_mutex_unlock(&p->lock);
    return e;
}

void dv_pool_tend(dv_pool *p)
{
    bool old = false; /* one a call: a mute peer takes seconds of the caller's time to release */

    for (entry *e; !old && (e = next_to_close(p, &old));)
        remove_entry(p, e, true);
}

dv_pool_counts dv_pool_count(dv_pool *p, const char *peer)
{
    dv_pool_counts n = {0};

    pthread_mutex_lock(&p->lock);
    n.open = count(p, peer, true);
    n.idle = n.open - count(p, peer, false);
    for (const waiter *w = p->waiters; w; w = w->next)
        n.waiting += !peer || strcmp(w->peer, peer) == 0;
    pthread_mutex_unlock(&p->lock);
    return n;
}
