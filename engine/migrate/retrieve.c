/* C-MOVE to ourselves, and the wait behind it; or C-GET, which needs none: what it brings has come when it has ended.
 *
 *   nothing here yet         one C-MOVE for the study
 *   little lacks             SERIES level for series that lack whole, IMAGE level for single instances
 *   the third try            each missing instance in a C-MOVE of its own: many a peer ends a C-MOVE at the first instance that it
 *                            cannot send, and so keeps back all that stand behind it
 *   all finer are refused    one C-MOVE for the study after all
 *
 * C-GET goes through its proposals (get.c) until nothing is missing. An association that breaks in the middle does not end the attempt: what lacks by
 * then is asked for once more.
 *
 * C-MOVE's final answer ends nothing by itself: peers send it before their last C-STORE is done, or claim success for what they never sent (P1,
 * P15). A retrieve is over when everything asked for is here, or when nothing came for quiet_ms. */
#include "migrate/migrate_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    MAX_MOVES = 32,     /* finer C-MOVEs for one study: more are slower than the whole study again */
    MAX_SINGLE = 500,   /* instances asked for one by one */
    SINGLE_TRY = 2,     /* ... when so many tries were in vain */
    UIDS_A_MOVE = 100,  /* 100 UIDs are 6.5 KB: within every peer's limit seen */
    STALLED_MS = 60000, /* an instance that began to arrive and neither ends nor breaks off is waited for so long */
};

typedef struct retrieve {
    dv_worker *w;
    const dv_job *job;
    const dv_source *source;
    dv_evidence *ev;
    dv_arena *arena;
    dv_pull pull;
} retrieve;

static void on_progress(void *user, const dv_move_result *so_far)
{
    retrieve *r = user;
    dv_migrate *m = r->w->m;
    pthread_mutex_lock(&m->lock);
    r->w->run.remaining = so_far->remaining;
    r->w->run.last_ms = dv_mono_ms();
    pthread_mutex_unlock(&m->lock);
}

static void add_count(int *sum, int n)
{
    if (n >= 0)
        *sum = (*sum < 0 ? 0 : *sum) + n;
}

static bool move(retrieve *r, const dv_key *keys, size_t n, dv_move_result *one, dv_error *err)
{
    if (!dv_links_pull(&r->w->links, r->source, &r->pull, keys, n, r->arena, on_progress, r, one, err))
        return false;
    r->pull.fresh = false;
    dv_move_result *sum = &r->ev->move;
    r->ev->moved = true;
    add_count(&sum->completed, one->completed);
    add_count(&sum->failed, one->failed);
    add_count(&sum->warning, one->warning);
    if (one->failed_uids.len)
        sum->failed_uids = one->failed_uids;
    if (one->status && (sum->status == 0 || sum->status == 0xB000)) {
        sum->status = one->status;
        memcpy(sum->comment, one->comment, sizeof sum->comment);
    }
    if (one->status == 0xA801)
        return dv_fail(err, DV_ERR_CONFIG,
                       "%s does not know our AE title %s as a move destination (A801): its administrator must add AE "
                       "title %s, host %s, port %u",
                       r->source->slug, r->w->m->aet, r->w->m->aet, r->w->m->host, r->w->m->port);
    return true;
}

static bool move_study(retrieve *r, dv_error *err)
{
    const dv_key keys[] = {{DV_QueryRetrieveLevel, DV_TEXT("STUDY")}, {DV_StudyInstanceUID, r->job->study_uid}};
    dv_move_result one;
    return move(r, keys, 2, &one, err);
}

/* ---- what lacks, by series ---- */

typedef struct lack {
    dv_text series;
    const dv_wanted **of; /* the series' missing instances */
    size_t missing, whole;
} lack;

static int by_series(const void *a, const void *b)
{
    const dv_wanted *x = *(const dv_wanted *const *)a, *y = *(const dv_wanted *const *)b;
    int order = dv_text_compare(x->series, y->series);
    return order ? order : dv_text_compare(x->sop, y->sop);
}

static bool one_by_one(const retrieve *r)
{
    return r->job->tries >= SINGLE_TRY && r->source->move_level == DV_DEPTH_INSTANCES &&
           r->ev->fates[DV_FATE_MISSING] <= MAX_SINGLE;
}

static bool as_whole(const retrieve *r, const lack *l)
{
    return !one_by_one(r) && (l->missing == l->whole || r->source->move_level == DV_DEPTH_SERIES);
}

/* *MOVES: how many C-MOVEs it takes. False: memory. */
static bool list_lacks(retrieve *r, lack **out, size_t *count, size_t *moves)
{
    const dv_evidence *ev = r->ev;
    const dv_wanted **missing = dv_arena_alloc(r->arena, (ev->count + 1) * sizeof *missing);
    lack *lacks = dv_arena_zalloc(r->arena, ev->count + 1, sizeof *lacks);
    size_t n = 0;
    *count = *moves = 0;
    if (!missing || !lacks)
        return false;
    for (size_t i = 0; i < ev->count; i++)
        if (ev->wanted[i].fate == DV_FATE_MISSING)
            missing[n++] = &ev->wanted[i];
    if (n)
        qsort(missing, n, sizeof *missing, by_series);
    for (size_t i = 0; i < n; i++) {
        if (*count == 0 || !dv_text_equal(lacks[*count - 1].series, missing[i]->series))
            lacks[(*count)++] = (lack){.series = missing[i]->series, .of = &missing[i]};
        lacks[*count - 1].missing++;
    }
    for (size_t k = 0; k < *count; k++) {
        for (size_t i = 0; i < ev->count; i++)
            lacks[k].whole += dv_text_equal(ev->wanted[i].series, lacks[k].series);
        *moves += as_whole(r, &lacks[k]) ? 1 : (lacks[k].missing + UIDS_A_MOVE - 1) / UIDS_A_MOVE;
        if (*moves > MAX_MOVES)
            break; /* it will be the study; counting on would be quadratic in series for nothing */
    }
    *out = lacks;
    return true;
}

bool dv_move_is_refused(uint16_t status)
{
    return status != 0 && status >> 12 != 0xB;
}

static bool refused(const dv_move_result *one)
{
    return dv_move_is_refused(one->status) && one->completed <= 0;
}

/* *FINE: the source could be asked so finely, at least for a part. */
static bool move_lacks(retrieve *r, const lack *lacks, size_t count, bool *fine, dv_error *err)
{
    *fine = false;
    for (size_t k = 0; k < count; k++) {
        bool whole = as_whole(r, &lacks[k]);
        size_t step = whole ? lacks[k].missing : one_by_one(r) ? 1 : UIDS_A_MOVE;
        for (size_t i = 0; i < lacks[k].missing; i += step) {
            dv_buffer uids = {0};
            for (size_t j = i; !whole && j < i + step && j < lacks[k].missing; j++) {
                dv_buffer_string(&uids, j > i ? "\\" : "");
                dv_buffer_text(&uids, lacks[k].of[j]->sop);
            }
            const dv_key keys[] = {{DV_QueryRetrieveLevel, whole ? DV_TEXT("SERIES") : DV_TEXT("IMAGE")},
                                   {DV_StudyInstanceUID, r->job->study_uid},
                                   {DV_SeriesInstanceUID, lacks[k].series},
                                   {DV_SOPInstanceUID, dv_buffer_as_text(&uids)}};
            dv_move_result one;
            bool ok = uids.failed ? dv_fail(err, DV_ERR_MEMORY, "out of memory for a list of UIDs")
                                  : move(r, keys, whole ? 3 : 4, &one, err);
            dv_buffer_free(&uids);
            if (!ok)
                return false;
            *fine = *fine || !refused(&one); /* a refused part does not keep the others back */
        }
    }
    return true;
}

static bool ask_for_missing(retrieve *r, dv_error *err)
{
    const dv_evidence *ev = r->ev;
    lack *lacks = NULL;
    size_t count = 0, moves = 0;
    bool nothing_here = ev->fates[DV_FATE_MISSING] >= (int64_t)ev->count, fine = false;
    if (ev->level == 'A' && (!nothing_here || one_by_one(r)) && !r->job->full_repull &&
        r->source->move_level != DV_DEPTH_STUDY) {
        if (!list_lacks(r, &lacks, &count, &moves))
            return dv_fail(err, DV_ERR_MEMORY, "out of memory for what a study lacks");
        if (count && moves <= MAX_MOVES && !move_lacks(r, lacks, count, &fine, err))
            return false;
    }
    return fine || move_study(r, err);
}

/* ---- until it is quiet ---- */

static void deadline(struct timespec *t, int64_t ms)
{
    clock_gettime(CLOCK_MONOTONIC, t);
    t->tv_sec += (time_t)(ms / 1000);
    t->tv_nsec += (long)(ms % 1000) * 1000000;
    if (t->tv_nsec >= 1000000000) {
        t->tv_sec++;
        t->tv_nsec -= 1000000000;
    }
}

/* Waits for one of: as many arrivals as were asked for (*ENOUGH), quiet, cancel. */
static void wait_a_while(dv_worker *w, int quiet_ms, bool *enough, bool heed_enough)
{
    dv_migrate *m = w->m;
    dv_run *run = &w->run;
    pthread_mutex_lock(&m->lock);
    for (;;) {
        *enough = heed_enough && run->asked > 0 && run->arrived >= run->asked;
        int64_t idle = dv_mono_ms() - run->last_ms;
        int64_t patience = run->under_way > 0 && quiet_ms < STALLED_MS ? STALLED_MS : quiet_ms;
        if (*enough || idle >= patience || m->stopping || atomic_load(&w->cancel))
            break;
        struct timespec until;
        deadline(&until, patience - idle);
        pthread_cond_timedwait(&run->arrival, &m->lock, &until);
    }
    pthread_mutex_unlock(&m->lock);
}

static bool wait_until_quiet(retrieve *r, dv_error *err)
{
    dv_migrate *m = r->w->m;
    dv_run *run = &r->w->run;
    pthread_mutex_lock(&m->lock);
    run->last_ms = dv_mono_ms(); /* the final answer is a sign of life too */
    bool nothing = run->arrived == 0 && run->under_way == 0;
    pthread_mutex_unlock(&m->lock);
    if (nothing && refused(&r->ev->move))
        return true; /* it said no, and means it */
    bool enough = false;
    wait_a_while(r->w, r->source->quiet_ms, &enough, true);
    if (enough) {
        /* As many as asked for; if one came twice another may still be on its way. */
        dv_db *db = dv_catalog_reader(m->catalog, err);
        if (!db || !dv_evidence_compare(r->ev, db, r->job->study_uid, err))
            return false;
        if (!dv_evidence_all_here(r->ev))
            wait_a_while(r->w, r->source->quiet_ms, &enough, false);
    }
    if (dv_migrate_is_stopping(m) || atomic_load(&r->w->cancel))
        return dv_fail(err, DV_ERR_CANCELLED, "job %lld was interrupted", (long long)r->job->id);
    return true;
}

/* ---- C-GET ---- */

static bool compare(retrieve *r, dv_error *err)
{
    dv_db *db = dv_catalog_reader(r->w->m->catalog, err);
    return db && dv_evidence_compare(r->ev, db, r->job->study_uid, err);
}

static bool interrupted(const retrieve *r, dv_error *err)
{
    return (dv_migrate_is_stopping(r->w->m) || atomic_load(&r->w->cancel)) &&
           !dv_fail(err, DV_ERR_CANCELLED, "job %lld was interrupted", (long long)r->job->id);
}

/* Each proposal in turn, until nothing is missing. */
static bool get_by(retrieve *r, const dv_proposals *all, dv_error *err)
{
    for (size_t i = 0; i < all->count; i++) {
        if (i > 0 && dv_evidence_all_here(r->ev))
            break;
        r->pull.proposal = &all->list[i];
        if (!ask_for_missing(r, err) || interrupted(r, err) || !compare(r, err))
            return false;
    }
    return true;
}

static bool get(retrieve *r, dv_error *err)
{
    dv_migrate *m = r->w->m;
    dv_proposals all;
    const dv_scp_callbacks *on = &m->taker.on;
    if (!m->taker.expect)
        return dv_fail(err, DV_ERR_INTERNAL, "nobody takes what a C-GET brings");
    dv_caller caller = {
        .calling = r->source->aet, .called = m->aet, .address = r->source->host, .tls = r->source->tls.on};
    if (!m->taker.expect(on->user, dv_text_of(r->source->slug), &caller, err))
        return false;
    r->pull.sink = (dv_get_sink){on, &caller};
    bool ok = dv_get_propose(&r->w->links, r->source, r->job->study_uid, r->arena, &all, err) && get_by(r, &all, err);
    if (ok && !dv_evidence_all_here(r->ev))
        ok = dv_get_propose_missing(&r->w->links, r->source, r->job->study_uid, r->ev, r->arena, &all, err) &&
             get_by(r, &all, err);
    on->leave(on->user, &caller);
    return ok;
}

static bool pull(retrieve *r, dv_error *err)
{
    if (r->source->get)
        return get(r, err);
    return ask_for_missing(r, err) && wait_until_quiet(r, err);
}

/* The association broke: what was under way may still arrive. */
static bool may_go_on(retrieve *r, dv_error *err)
{
    dv_error none;
    if (err->code != DV_ERR_NETWORK && err->code != DV_ERR_ABORTED)
        return false;
    r->pull.fresh = true;
    dv_warn("migrate", "job %lld: %s; what lacks is asked for once more", (long long)r->job->id, err->message);
    return (r->source->get || wait_until_quiet(r, &none)) && compare(r, &none);
}

bool dv_retrieve(dv_worker *w, const dv_job *job, const dv_source *source, dv_evidence *ev, dv_arena *arena,
                 dv_error *err)
{
    dv_migrate *m = w->m;
    retrieve r = {w, job, source, ev, arena, {.destination = m->aet}};
    int64_t whole = dv_evidence_source_count(ev);
    ev->asked = job->full_repull || ev->level == 'D' ? whole : ev->fates[DV_FATE_MISSING];
    pthread_mutex_lock(&m->lock);
    w->run.asked = ev->asked;
    w->run.arrived = w->run.under_way = 0;
    w->run.remaining = -1;
    w->run.last_ms = dv_mono_ms();
    pthread_mutex_unlock(&m->lock);
    bool ok = pull(&r, err);
    if (!ok && may_go_on(&r, err))
        ok = dv_evidence_all_here(ev) || pull(&r, err);
    pthread_mutex_lock(&m->lock);
    ev->arrived = w->run.arrived;
    pthread_mutex_unlock(&m->lock);
    return ok;
}
