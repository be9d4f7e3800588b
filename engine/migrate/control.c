/* Pause, resume, cancel, retry; and the wait of those who watch.
 *
 * Pauses are rows (batches.paused; settings migrate.paused and migrate.paused.SLUG), so that they outlive the process. A cancelled job's row
 * changes at once; the worker that runs it is told by its flag, and its own writes then find the row gone from the state they expect. */
#include "migrate/migrate_internal.h"

#include <errno.h>
#include <stdio.h>

bool dv_control_of(const char *name, dv_control *out)
{
    static const char *const names[] = {"pause", "resume", "cancel", "retry"};
    for (int i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (dv_control)i;
            return true;
        }
    return false;
}

typedef struct order {
    dv_control what;
    int64_t batch;
    const char *source; /* NULL: any */
    int64_t count;
} order;

/* ---- pause and resume ---- */

static bool set_pause(dv_db *db, order *o, bool on, dv_error *err)
{
    if (o->batch) {
        int64_t ended = 0, cancelled = 0;
        if (!dv_db_int(db, 0, &ended, err, "SELECT ended_at FROM batches WHERE id = $1", "i", o->batch) ||
            !dv_db_int(db, 0, &cancelled, err, "SELECT cancelled FROM batches WHERE id = $1", "i", o->batch))
            return false;
        if (ended || cancelled)
            return dv_fail(err, DV_ERR_VALUE, "batch %lld %s; nothing of it can be %s%s", (long long)o->batch,
                           cancelled ? "was cancelled" : "has ended", on ? "paused" : "resumed",
                           on ? "" : "; `retry` begins what failed or was cancelled anew");
        if (!dv_db_exec(db, err, "UPDATE batches SET paused = $2 WHERE id = $1", "ii", o->batch, (int64_t)on))
            return false;
        o->count = 1;
        return true;
    }
    char name[64];
    snprintf(name, sizeof name, "migrate.paused%s%.40s", o->source ? "." : "", o->source ? o->source : "");
    if (!dv_db_exec(db, err, "DELETE FROM settings WHERE name = $1", "s", name) ||
        (on && !dv_db_exec(db, err, "INSERT INTO settings (name, value) VALUES ($1, '1')", "s", name)))
        return false;
    return dv_db_int(db, 0, &o->count, err,
                     "SELECT count(*) FROM batches WHERE ended_at = 0 AND ($1 = '' OR source = $1)", "s",
                     o->source ? o->source : "");
}

bool dv_control_load(dv_migrate *m, dv_db *db, dv_error *err)
{
    dv_rows *r = dv_db_query(
        db, err, "SELECT name FROM settings WHERE value = '1' AND name >= 'migrate.paused' AND name < 'migrate.pausee'",
        "");
    bool memory = false;
    pthread_mutex_lock(&m->lock);
    while (dv_rows_next(r)) {
        dv_text name = dv_rows_text(r, 0), prefix = DV_TEXT("migrate.paused.");
        if (dv_text_is(name, "migrate.paused")) {
            m->paused = true;
        } else if (dv_text_starts(name, prefix)) {
            dv_gate *g = dv_gate_of(m, (dv_text){name.at + prefix.len, name.len - prefix.len});
            memory = memory || !g;
            if (g)
                g->paused = true;
        }
    }
    pthread_mutex_unlock(&m->lock);
    if (!dv_rows_close(r, err))
        return false;
    return !memory || dv_fail(err, DV_ERR_MEMORY, "out of memory for paused sources");
}

/* ---- cancel and retry: the jobs and entries of batches, a page at a time ---- */

enum { PAGE = 512 };

/* Jobs of batch B in STATE become TO, through the one function that does. */
static bool move_jobs(dv_db *db, int64_t batch, dv_job_state from, dv_job_state to, int64_t *count, int64_t now,
                      dv_error *err)
{
    int64_t ids[PAGE];
    static const dv_job_change anew = {0};
    for (int n = PAGE; n == PAGE;) {
        n = 0;
        dv_rows *r = dv_db_query(db, err, "SELECT id FROM jobs WHERE batch = $1 AND state = $2 LIMIT 512", "is", batch,
                                 dv_job_state_name(from));
        while (n < PAGE && dv_rows_next(r))
            ids[n++] = dv_rows_int(r, 0);
        if (!dv_rows_close(r, err))
            return false;
        for (int i = 0; i < n; i++)
            if (!dv_job_set_state(db, ids[i], from, to, to == DV_JOB_QUEUED ? &anew : NULL, "", now, err))
                return false;
        *count += n;
    }
    return true;
}

static bool cancel_batch(dv_db *db, int64_t batch, int64_t *count, int64_t now, dv_error *err)
{
    for (int s = 0; s < DV_JOB_STATES; s++)
        if (!dv_job_state_is_final((dv_job_state)s) &&
            !move_jobs(db, batch, (dv_job_state)s, DV_JOB_CANCELLED, count, now, err))
            return false;
    if (!dv_db_exec(db, err,
                    "UPDATE entries SET state = 'cancelled', lease_owner = '', lease_until = 0 WHERE batch = $1 AND "
                    "state = 'waiting'",
                    "i", batch))
        return false;
    *count += dv_db_changes(db);
    return dv_db_exec(db, err, "UPDATE batches SET cancelled = 1 WHERE id = $1", "i", batch) &&
           dv_batch_settle(db, batch, now, err);
}

static bool retry_batch(dv_db *db, int64_t batch, int64_t *count, int64_t now, dv_error *err)
{
    static const dv_job_state again[] = {DV_JOB_PARTIAL, DV_JOB_FAILED, DV_JOB_EMPTY, DV_JOB_CANCELLED};
    for (size_t i = 0; i < sizeof again / sizeof *again; i++)
        if (!move_jobs(db, batch, again[i], DV_JOB_QUEUED, count, now, err))
            return false;
    if (!dv_db_exec(db, err,
                    "UPDATE entries SET state = 'waiting', error = '', next_at = 0, tries = 0, peer_tries = 0"
                    " WHERE batch = $1 AND state IN ('failed', 'empty', 'cancelled')",
                    "i", batch))
        return false;
    *count += dv_db_changes(db);
    return dv_db_exec(db, err, "UPDATE batches SET ended_at = 0, cancelled = 0, report = '' WHERE id = $1", "i",
                      batch) &&
           dv_batch_settle(db, batch, now, err);
}

static bool each_batch(dv_db *db, order *o, dv_error *err)
{
    int64_t ids[PAGE], after = 0, now = dv_wall_us();
    for (int n = PAGE; n == PAGE;) {
        n = 0;
        dv_rows *r =
            dv_db_query(db, err,
                        "SELECT id FROM batches WHERE id > $1 AND ($2 = 0 OR id = $2) AND ($3 = '' OR source = $3)"
                        " AND ($4 = 1 OR ended_at = 0) ORDER BY id LIMIT 512",
                        "iisi", after, o->batch, o->source ? o->source : "", (int64_t)(o->what == DV_CONTROL_RETRY));
        while (n < PAGE && dv_rows_next(r))
            ids[n++] = dv_rows_int(r, 0);
        if (!dv_rows_close(r, err))
            return false;
        for (int i = 0; i < n; i++)
            if (!(o->what == DV_CONTROL_CANCEL ? cancel_batch : retry_batch)(db, ids[i], &o->count, now, err))
                return false;
        after = n ? ids[n - 1] : after;
    }
    return true;
}

static bool write_order(dv_db *db, void *user, dv_error *err)
{
    order *o = user;
    int64_t there = 1;
    if (o->batch && (!dv_db_int(db, 0, &there, err, "SELECT count(*) FROM batches WHERE id = $1", "i", o->batch)))
        return false;
    if (!there)
        return dv_fail(err, DV_ERR_NOT_FOUND, "there is no batch %lld", (long long)o->batch);
    if (o->source && !dv_db_int(db, 0, &there, err, "SELECT count(*) FROM peers WHERE slug = $1", "s", o->source))
        return false;
    if (!there)
        return dv_fail(err, DV_ERR_NOT_FOUND, "there is no peer '%s'", o->source);
    if (o->what == DV_CONTROL_PAUSE || o->what == DV_CONTROL_RESUME)
        return set_pause(db, o, o->what == DV_CONTROL_PAUSE, err);
    return each_batch(db, o, err);
}

/* ---- in memory ---- */

static void apply_pause(dv_migrate *m, const order *o)
{
    bool on = o->what == DV_CONTROL_PAUSE;
    if (o->batch)
        return; /* claims read the row */
    pthread_mutex_lock(&m->lock);
    if (!o->source)
        m->paused = on;
    dv_gate *g = o->source ? dv_gate_of(m, dv_text_of(o->source)) : NULL;
    if (g)
        g->paused = on;
    pthread_mutex_unlock(&m->lock);
}

static void stop_runs(dv_migrate *m, const order *o)
{
    pthread_mutex_lock(&m->lock);
    for (int i = 0; i < m->worker_count; i++) {
        dv_worker *w = &m->workers[i];
        if (w->run.job && (!o->batch || w->run.batch == o->batch) &&
            (!o->source || dv_text_is(w->run.source, o->source))) {
            atomic_store(&w->cancel, true);
            pthread_cond_broadcast(&w->run.arrival);
        }
    }
    pthread_mutex_unlock(&m->lock);
}

/* Somebody who asks for a try now does not want to wait out the source's backoff. */
static void open_gates(dv_migrate *m, const order *o)
{
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < m->gate_count; i++)
        if (!o->source || strcmp(m->gates[i].slug, o->source) == 0)
            m->gates[i].until_ms = 0;
    pthread_mutex_unlock(&m->lock);
}

bool dv_migrate_control(dv_migrate *m, dv_control what, int64_t batch, const char *source, int64_t *count,
                        dv_error *err)
{
    order o = {.what = what, .batch = batch, .source = batch || !source || !source[0] ? NULL : source};
    if (!dv_catalog_write(m->catalog, true, write_order, &o, err))
        return false;
    if (what == DV_CONTROL_PAUSE || what == DV_CONTROL_RESUME)
        apply_pause(m, &o);
    else if (what == DV_CONTROL_CANCEL)
        stop_runs(m, &o);
    else
        open_gates(m, &o);
    if (count)
        *count = o.count;
    static const char *const words[] = {"paused", "resumed", "cancelled", "to be tried again"};
    if (batch)
        dv_info("migrate", "batch %lld is %s", (long long)batch, words[what]);
    else
        dv_info("migrate", "%s%s: batches are %s", o.source ? "source " : "all", o.source ? o.source : "", words[what]);
    dv_migrate_changed(m, true);
    return true;
}

/* ---- watching ---- */

bool dv_migrate_wait_change(dv_migrate *m, uint64_t *version, int timeout_ms)
{
    int64_t until = dv_mono_ms() + (timeout_ms > 0 ? timeout_ms : 0);
    struct timespec t = {.tv_sec = (time_t)(until / 1000), .tv_nsec = (long)(until % 1000) * 1000000};
    pthread_mutex_lock(&m->lock);
    while (!m->stopping && m->version == *version)
        if (pthread_cond_timedwait(&m->changed, &m->lock, &t) == ETIMEDOUT)
            break;
    bool differs = m->version != *version;
    *version = m->version;
    pthread_mutex_unlock(&m->lock);
    return differs;
}
