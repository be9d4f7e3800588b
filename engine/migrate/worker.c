/* The threads that run entries and jobs.
 *
 *   worker      claim -> run -> settle, until nothing is due; then sleeps until something changes or the next one is due
 *
 * Invariants
 *   1 who claims holds `claim`, so that the count of a source's jobs cannot pass its capacity
 *   2 a run is published before its first question to the source, and withdrawn after its settling
 *   3 each claimed job is settled exactly once: its state changed and its attempt closed in one durable transaction; when that transaction
 *     fails the rows stay as a kill would leave them, and the next start puts them right
 *   4 `lock` is never held over a call of the catalog or the network */
#include "migrate/migrate_internal.h"

#include "dicom/values.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LONGEST_BACKOFF_US = 60 * 1000000, STAGING_TRIES = 200, IDLE_MS = 30000 };

/* ---- changes and failures ---- */

void dv_migrate_changed(dv_migrate *m, bool more_work)
{
    pthread_mutex_lock(&m->lock);
    m->version++;
    pthread_cond_broadcast(&m->changed);
    if (more_work) {
        m->work_version++;
        pthread_cond_broadcast(&m->work);
    }
    pthread_mutex_unlock(&m->lock);
}

bool dv_migrate_is_stopping(dv_migrate *m)
{
    pthread_mutex_lock(&m->lock);
    bool stopping = m->stopping;
    pthread_mutex_unlock(&m->lock);
    return stopping;
}

int64_t dv_backoff_us(const dv_migrate *m, int n)
{
    int64_t us = (int64_t)m->backoff_ms * 1000;
    for (int i = 1; i < n && us < LONGEST_BACKOFF_US; i++)
        us *= 2;
    return us < LONGEST_BACKOFF_US ? us : LONGEST_BACKOFF_US;
}

/* The source could not be asked at all, as against: it said something that does not help. */
static bool is_unreachable(const dv_error *err)
{
    return err->code == DV_ERR_NETWORK || err->code == DV_ERR_TIMEOUT || err->code == DV_ERR_ABORTED ||
           err->code == DV_ERR_REJECTED || err->code == DV_ERR_BUSY;
}

/* What no repetition heals: a person must change something. */
static bool is_permanent(const dv_error *err)
{
    return err->code == DV_ERR_CONFIG || err->code == DV_ERR_NOT_FOUND || err->code == DV_ERR_UNSUPPORTED;
}

static bool load_source(dv_worker *w, dv_text slug, dv_arena *arena, dv_source *out, dv_error *err)
{
    dv_db *db = dv_catalog_reader(w->m->catalog, err);
    if (!db || !dv_source_load(db, slug, w->m->quiet_ms, arena, out, err))
        return false;
    pthread_mutex_lock(&w->m->lock);
    dv_gate *g = dv_gate_of(w->m, slug);
    if (g)
        g->capacity = out->capacity;
    pthread_mutex_unlock(&w->m->lock);
    return true;
}

/* ---- claiming ---- */

typedef struct claim {
    const char *owner, *blocked;
    dv_arena *arena;
    dv_job *job;
    dv_entry *entry;
    bool found;
} claim;

static bool write_claim(dv_db *db, void *user, dv_error *err)
{
    claim *c = user;
    return c->job ? dv_job_claim(db, c->owner, c->blocked, dv_wall_us(), c->arena, c->job, &c->found, err)
                  : dv_entry_claim(db, c->owner, c->blocked, dv_wall_us(), c->arena, c->entry, &c->found, err);
}

/* One of JOB and ENTRY is not NULL. */
static bool claim_one(dv_worker *w, dv_arena *arena, dv_job *job, dv_entry *entry, bool *found)
{
    dv_migrate *m = w->m;
    dv_buffer blocked = {0};
    dv_error err;
    int64_t until = INT64_MAX;
    bool ok = true;
    *found = false;
    pthread_mutex_lock(&m->claim);
    if (dv_gates_blocked(m, &blocked, &until)) {
        claim c = {m->owner, blocked.at, arena, job, entry, false};
        ok = dv_catalog_write(m->catalog, true, write_claim, &c, &err);
        if (!ok)
            dv_error_log("migrate", "cannot claim work: %s", err.message);
        *found = ok && c.found;
        if (*found)
            dv_gate_enter(m, job ? job->source : entry->source);
    }
    pthread_mutex_unlock(&m->claim);
    dv_buffer_free(&blocked);
    return ok;
}

/* ---- entries ---- */

typedef struct settling_entry {
    const dv_entry *entry;
    const dv_entry_end *end;
} settling_entry;

static bool write_entry(dv_db *db, void *user, dv_error *err)
{
    const settling_entry *s = user;
    return dv_entry_settle(db, s->entry, s->end, dv_wall_us(), err);
}

static void entry_failed(dv_worker *w, const dv_entry *entry, const dv_error *err, dv_entry_end *end)
{
    dv_migrate *m = w->m;
    *end = (dv_entry_end){
        .state = "waiting", .error = dv_text_of(err->message), .tries = entry->tries, .peer_tries = entry->peer_tries};
    if (dv_migrate_is_stopping(m) || err->code == DV_ERR_CANCELLED)
        return; /* of a cancelled batch the row is `cancelled` already, and stays so */
    bool last;
    if (is_unreachable(err)) {
        dv_gate_is_down(m, entry->source, err);
        /* Who asks for the first time and is not known there shall hear so at once. Jobs are patient: a source that is configured anew at
         * night must not fail them all. */
        last = ++end->peer_tries >= m->max_peer_tries || err->code == DV_ERR_REJECTED;
    } else {
        last = ++end->tries >= m->max_tries || is_permanent(err);
    }
    end->state = last ? "failed" : "waiting";
    end->next_at = last ? 0 : dv_wall_us() + dv_backoff_us(m, is_unreachable(err) ? end->peer_tries : end->tries);
}

bool dv_worker_entry(dv_worker *w, bool *did)
{
    dv_arena arena;
    dv_arena_init(&arena, 0);
    dv_entry entry;
    dv_source source;
    dv_entry_end end;
    dv_error err;
    bool ok = claim_one(w, &arena, NULL, &entry, did);
    if (*did) {
        if (load_source(w, entry.source, &arena, &source, &err) && dv_expand(w, &entry, &source, &arena, &end, &err))
            dv_gate_answered(w->m, &source);
        else
            entry_failed(w, &entry, &err, &end);
        settling_entry s = {&entry, &end};
        dv_error failure;
        ok = dv_catalog_write(w->m->catalog, true, write_entry, &s, &failure);
        if (!ok)
            dv_error_log("migrate", "entry %lld: %s", (long long)entry.id, failure.message);
        dv_gate_leave(w->m, entry.source);
        dv_migrate_changed(w->m, true);
    }
    dv_arena_free(&arena);
    return ok;
}

/* ---- jobs ---- */

typedef struct settling {
    dv_worker *w;
    const dv_job *job;
    dv_job_state from, to;
    dv_job_change change;
    dv_attempt_end end;
} settling;

static bool write_state(dv_db *db, void *user, dv_error *err)
{
    const settling *s = user;
    return dv_job_set_state(db, s->job->id, s->from, s->to, NULL, s->w->m->owner, dv_wall_us(), err);
}

static bool write_settling(dv_db *db, void *user, dv_error *err)
{
    const settling *s = user;
    int64_t now = dv_wall_us();
    return dv_job_set_state(db, s->job->id, s->from, s->to, &s->change, "", now, err) &&
           dv_attempt_close(db, s->job->attempt_id, &s->end, now, err) &&
           (!dv_job_state_is_final(s->to) || dv_batch_settle(db, s->job->batch, now, err));
}

static bool write_attempt_only(dv_db *db, void *user, dv_error *err)
{
    settling *s = user;
    return dv_attempt_close(db, s->job->attempt_id, &s->end, dv_wall_us(), err);
}

/* To the next state of a job that goes on. */
static bool step(dv_worker *w, const dv_job *job, dv_job_state *state, dv_job_state to, dv_error *err)
{
    settling s = {.w = w, .job = job, .from = *state, .to = to};
    if (!dv_catalog_write(w->m->catalog, true, write_state, &s, err))
        return false;
    *state = to;
    pthread_mutex_lock(&w->m->lock);
    w->run.state = to;
    pthread_mutex_unlock(&w->m->lock);
    dv_migrate_changed(w->m, false);
    return true;
}

static void publish(dv_worker *w, const dv_job *job, const dv_source *source)
{
    dv_migrate *m = w->m;
    pthread_mutex_lock(&m->lock);
    dv_run *run = &w->run;
    run->batch = job->batch;
    run->attempt = job->attempt;
    run->study_uid = job->study_uid;
    run->source = job->source;
    run->batch_name = job->batch_name;
    run->seed = job->seed;
    run->found = job->found;
    run->found_syntax = job->found_syntax;
    run->charset = source->charset;
    run->state = DV_JOB_PREFLIGHT;
    run->asked = run->arrived = run->under_way = 0;
    run->remaining = -1;
    run->job = job->id;
    pthread_mutex_unlock(&m->lock);
}

static void withdraw(dv_worker *w)
{
    pthread_mutex_lock(&w->m->lock);
    w->run.job = 0;
    pthread_mutex_unlock(&w->m->lock);
}

static void fill_counts(settling *s, const dv_evidence *ev, dv_arena *arena)
{
    int64_t explained = dv_evidence_explained(ev);
    s->change.counted = true;
    s->change.source_series = (int64_t)ev->series_count;
    s->change.source_instances = dv_evidence_source_count(ev);
    s->change.here_series = ev->here_series;
    s->change.here_instances = ev->fates[DV_FATE_STORED];
    s->change.explained = explained;
    s->change.bytes = ev->bytes;
    s->change.evidence = dv_evidence_json(ev, arena);
    s->end.asked = ev->asked;
    s->end.completed = ev->move.completed > 0 ? ev->move.completed : 0;
    s->end.failed = ev->move.failed > 0 ? ev->move.failed : 0;
    s->end.warned = ev->move.warning > 0 ? ev->move.warning : 0;
    s->end.arrived = ev->arrived;
}

/* Something is missing after a retrieve: again, later, or never. */
static void settle_missing(settling *s, const dv_source *source, const dv_evidence *ev, char *text, size_t size)
{
    dv_migrate *m = s->w->m;
    size_t n = strlen(text);
    /* Orthanc says C000 for a destination it does not know, others A801 or a success without anything. */
    if (!source->get && ev->moved && ev->arrived == 0 && (ev->move.failed > 0 || dv_move_is_refused(ev->move.status)) &&
        n < size)
        snprintf(text + n, size - n,
                 "; %s sends us nothing (status %04X%s%s): its administrator must know AE title %s as a destination at "
                 "host %s port %u, and it"
                 " must reach that port",
                 source->slug, ev->move.status, ev->move.comment[0] ? ", " : "", ev->move.comment, m->aet, m->host,
                 m->port);
    else if (ev->moved && ev->move.status && ev->move.status != 0xB000 && n < size)
        snprintf(text + n, size - n, "; its %s ended with status %04X%s%s", source->get ? "C-GET" : "C-MOVE",
                 ev->move.status, ev->move.comment[0] ? ": " : "", ev->move.comment);
    s->change.tries = s->job->tries + 1;
    bool nothing_yet = source->nearline_s > 0 && ev->moved && ev->arrived == 0 && ev->move.failed <= 0;
    if (nothing_yet && s->change.tries < STAGING_TRIES) {
        s->to = DV_JOB_STAGING;
        s->change.next_at = dv_wall_us() + source->nearline_s * 1000000LL;
    } else if (s->change.tries < m->max_tries) {
        s->to = DV_JOB_QUEUED;
        s->change.next_at = dv_wall_us() + dv_backoff_us(m, s->change.tries);
    } else {
        bool some = ev->fates[DV_FATE_STORED] + dv_evidence_explained(ev) > 0;
        s->to = some && dv_job_may(s->from, DV_JOB_PARTIAL) ? DV_JOB_PARTIAL : DV_JOB_FAILED;
    }
}

static void settle_error(settling *s, const dv_error *err)
{
    dv_migrate *m = s->w->m;
    s->change.error = dv_text_of(err->message);
    s->change.tries = s->job->tries;
    s->change.peer_tries = s->job->peer_tries;
    s->to = DV_JOB_QUEUED;
    if (dv_migrate_is_stopping(m)) {
        s->end.status = "interrupted";
        return;
    }
    bool last;
    if (is_unreachable(err)) {
        dv_gate_is_down(m, s->job->source, err);
        s->end.status = "unreachable";
        last = ++s->change.peer_tries >= m->max_peer_tries;
        s->change.next_at = dv_wall_us() + dv_backoff_us(m, s->change.peer_tries);
    } else {
        s->end.status = "again";
        last = ++s->change.tries >= m->max_tries || is_permanent(err);
        s->change.next_at = dv_wall_us() + dv_backoff_us(m, s->change.tries);
    }
    if (last) {
        s->to = DV_JOB_FAILED;
        s->change.next_at = 0;
    }
}

/* The way of a study. *STATE is where it stands when it ends; true: TO is its verdict by EV, with TEXT. */
static bool run_job(dv_worker *w, const dv_job *job, const dv_source *source, dv_evidence *ev, dv_arena *arena,
                    dv_job_state *state, dv_job_state *to, char *text, size_t size, dv_error *err)
{
    dv_db *db = dv_catalog_reader(w->m->catalog, err);
    if (!db || !dv_evidence_ask(ev, &w->links, source, job, arena, err) ||
        !dv_evidence_compare(ev, db, job->study_uid, err))
        return false;
    dv_gate_answered(w->m, source);
    *to = dv_evidence_verdict(ev, text, size);
    bool settled = *to == DV_JOB_EMPTY || (dv_evidence_all_here(ev) && !job->full_repull);
    if (settled) {
        /* Here since before this job: skipped. Here because a run of it was killed behind its last arrival: complete. */
        if (*to == DV_JOB_COMPLETE && job->attempt == 1)
            *to = DV_JOB_SKIPPED;
        return true;
    }
    DV_FAIL_POINT("migrate.preflight");
    if (!step(w, job, state, DV_JOB_RETRIEVING, err))
        return false;
    DV_FAIL_POINT("migrate.retrieving");
    if (!dv_retrieve(w, job, source, ev, arena, err) || !step(w, job, state, DV_JOB_VERIFYING, err))
        return false;
    DV_FAIL_POINT("migrate.verifying");
    if (!dv_evidence_compare(ev, db, job->study_uid, err))
        return false;
    *to = dv_evidence_verdict(ev, text, size);
    return true;
}

static void write_outcome(settling *s)
{
    dv_error err;
    dv_migrate *m = s->w->m;
    if (dv_catalog_write(m->catalog, true, write_settling, s, &err))
        return;
    if (err.code == DV_ERR_CANCELLED) {
        s->end.status = "cancelled";
        if (dv_catalog_write(m->catalog, true, write_attempt_only, s, &err))
            return;
    }
    dv_error_log("migrate", "job %lld: %s", (long long)s->job->id, err.message);
}

bool dv_worker_job(dv_worker *w, bool *did)
{
    dv_migrate *m = w->m;
    dv_arena arena;
    dv_arena_init(&arena, 0);
    dv_job job;
    pthread_mutex_lock(&m->lock);
    if (!m->stopping)
        atomic_store(&w->cancel, false);
    pthread_mutex_unlock(&m->lock);
    bool ok = claim_one(w, &arena, &job, NULL, did);
    if (!*did) {
        dv_arena_free(&arena);
        return ok;
    }
    dv_source source = {0};
    dv_evidence ev = {.level = 0};
    dv_error err = {0};
    char text[512] = "";
    settling s = {.w = w, .job = &job, .from = DV_JOB_PREFLIGHT};
    bool asked = load_source(w, job.source, &arena, &source, &err);
    if (asked)
        publish(w, &job, &source);
    asked = asked && run_job(w, &job, &source, &ev, &arena, &s.from, &s.to, text, sizeof text, &err);
    if (asked && s.to == DV_JOB_QUEUED)
        settle_missing(&s, &source, &ev, text, sizeof text);
    else if (asked)
        s.change.tries = job.tries;
    else
        settle_error(&s, &err);
    if (asked) {
        s.change.error = dv_text_of(text);
        s.end.status = s.to == DV_JOB_QUEUED ? "again" : dv_job_state_name(s.to);
    }
    if (ev.level)
        fill_counts(&s, &ev, &arena);
    s.change.counted = s.change.counted && asked; /* what a broken run saw is no verdict */
    s.end.error = s.change.error;
    if (s.to == DV_JOB_FAILED && !asked)
        s.end.status = "failed";
    write_outcome(&s);
    DV_FAIL_POINT("migrate.settled");
    withdraw(w);
    dv_gate_leave(m, job.source);
    dv_migrate_changed(m, true);
    dv_arena_free(&arena);
    return true;
}

/* ---- threads ---- */

/* Until something changes, or the next one is due. */
static void wait_for_work(dv_worker *w, uint64_t seen)
{
    dv_migrate *m = w->m;
    dv_buffer blocked = {0};
    dv_error err;
    int64_t due = INT64_MAX, until = dv_mono_ms() + IDLE_MS, now = dv_wall_us();
    dv_db *db = dv_catalog_reader(m->catalog, &err);
    if (dv_gates_blocked(m, &blocked, &until) && db && dv_jobs_next_due(db, blocked.at, now, &due, &err) &&
        due != INT64_MAX) {
        int64_t ms = dv_mono_ms() + (due > now ? (due - now) / 1000 + 1 : 0);
        if (ms < until)
            until = ms;
    }
    dv_buffer_free(&blocked);
    struct timespec t = {.tv_sec = (time_t)(until / 1000), .tv_nsec = (long)(until % 1000) * 1000000};
    pthread_mutex_lock(&m->lock);
    while (!m->stopping && m->work_version == seen)
        if (pthread_cond_timedwait(&m->work, &m->lock, &t) == ETIMEDOUT)
            break;
    pthread_mutex_unlock(&m->lock);
}

static void *work(void *user)
{
    dv_worker *w = user;
    dv_migrate *m = w->m;
    for (;;) {
        pthread_mutex_lock(&m->lock);
        bool stopping = m->stopping;
        uint64_t seen = m->work_version;
        pthread_mutex_unlock(&m->lock);
        if (stopping)
            break;
        dv_migrate_mind_clock(m);
        /* The first worker prefers seeds, so that a long list becomes jobs, and the newest come first, while others retrieve. */
        bool did = false, ok = w->number == 0 ? dv_worker_entry(w, &did) : dv_worker_job(w, &did);
        if (ok && !did)
            ok = w->number == 0 ? dv_worker_job(w, &did) : dv_worker_entry(w, &did);
        if (!ok || !did)
            wait_for_work(w, seen);
    }
    return NULL;
}

/* ---- start and stop ---- */

typedef struct recovery {
    int64_t count;
} recovery;

static bool write_recovery(dv_db *db, void *user, dv_error *err)
{
    recovery *r = user;
    return dv_jobs_recover(db, dv_wall_us(), &r->count, err) && dv_jobs_due_at_last(db, dv_wall_us(), err);
}

static int number_or(int given, int otherwise, int most)
{
    return given <= 0 ? otherwise : given > most ? most : given;
}

static void set_up(dv_migrate *m, const dv_migrate_options *o)
{
    m->catalog = o->catalog;
    m->taker = o->taker;
    m->tls = (dv_tls_files){o->tls_certificate, o->tls_key, o->tls_ca};
    snprintf(m->aet, sizeof m->aet, "%.16s", o->aet ? o->aet : "DROVER");
    char host[256] = "localhost";
    gethostname(host, sizeof host - 1);
    snprintf(m->host, sizeof m->host, "%.255s", o->host ? o->host : host);
    m->port = o->port;
    m->quiet_ms = number_or(o->quiet_ms, 2000, 3600000);
    m->max_tries = number_or(o->max_tries, 5, 1000);
    m->max_peer_tries = number_or(o->max_peer_tries, 12, 1000000);
    m->backoff_ms = number_or(o->backoff_ms, 2000, 60000);
    m->worker_count = o->workers < 0 ? 1 : number_or(o->workers, 4, DV_MAX_WORKERS);
    char uid[65];
    snprintf(m->owner, sizeof m->owner, "%.20s:%ld:%.40s", host, (long)getpid(), dv_uid_make(uid, NULL) ? uid : "0");
    pthread_mutex_init(&m->lock, NULL);
    pthread_mutex_init(&m->claim, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&m->work, &monotonic);
    pthread_cond_init(&m->changed, &monotonic);
    for (int i = 0; i < DV_MAX_WORKERS; i++) {
        dv_worker *w = &m->workers[i];
        w->m = m;
        w->number = i;
        w->links.pool = o->pool;
        w->links.calling = m->aet;
        w->links.cancel = &w->cancel;
        w->links.ours = m->tls;
        pthread_cond_init(&w->run.arrival, &monotonic);
    }
    pthread_condattr_destroy(&monotonic);
    m->version = 1;
}

dv_migrate *dv_migrate_start(const dv_migrate_options *options, dv_error *err)
{
    dv_migrate *m = calloc(1, sizeof *m);
    if (!m) {
        dv_fail(err, DV_ERR_MEMORY, "out of memory for the migration engine");
        return NULL;
    }
    set_up(m, options);
    recovery r = {0};
    dv_db *db = dv_catalog_reader(m->catalog, err);
    bool ok = db && dv_control_load(m, db, err) && dv_catalog_write(m->catalog, true, write_recovery, &r, err);
    if (ok && r.count)
        dv_info("migrate", "%lld jobs that the last stop interrupted are queued again", (long long)r.count);
    for (int i = 0; ok && options->workers >= 0 && i < m->worker_count; i++) {
        dv_worker *w = &m->workers[i];
        w->started = pthread_create(&w->thread, NULL, work, w) == 0;
        if (!w->started)
            ok = dv_fail(err, DV_ERR_MEMORY, "cannot start worker thread %d of %d", i + 1, m->worker_count);
    }
    if (ok)
        return m;
    dv_migrate_stop(m);
    return NULL;
}

void dv_migrate_halt(dv_migrate *m)
{
    if (!m)
        return;
    pthread_mutex_lock(&m->lock);
    m->stopping = true;
    for (int i = 0; i < DV_MAX_WORKERS; i++) {
        atomic_store(&m->workers[i].cancel, true);
        pthread_cond_broadcast(&m->workers[i].run.arrival);
    }
    pthread_cond_broadcast(&m->work);
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
}

void dv_migrate_quiesce(dv_migrate *m)
{
    if (!m)
        return;
    dv_migrate_halt(m);
    for (int i = 0; i < DV_MAX_WORKERS; i++) {
        dv_worker *w = &m->workers[i];
        if (w->started)
            pthread_join(w->thread, NULL);
        w->started = false;
    }
}

void dv_migrate_stop(dv_migrate *m)
{
    if (!m)
        return;
    dv_migrate_quiesce(m);
    for (int i = 0; i < DV_MAX_WORKERS; i++)
        pthread_cond_destroy(&m->workers[i].run.arrival);
    pthread_cond_destroy(&m->work);
    pthread_cond_destroy(&m->changed);
    pthread_mutex_destroy(&m->claim);
    pthread_mutex_destroy(&m->lock);
    free(m->gates);
    free(m);
}
