/* The states of a job, and the one function that changes one.
 *
 *                    +------------- again, later (tries, backoff) --------------+
 *                    v                                                          |
 *   (new) ------> queued --claim--> preflight --> retrieving --> verifying -----+--> complete partial failed excluded empty
 *     |              ^                 |  |            |              |
 *     |              |                 |  +--> skipped (all here), complete, partial, excluded, empty, failed
 *     |           staging <------------+---------------+--------------+          the source has it, but not yet at hand
 *     |              +-----claim----> preflight
 *     +-> mismatch   any that is not final --a person--> cancelled;   partial failed empty cancelled --a person--> queued
 *
 * Invariants
 *   1 a job outside preflight, retrieving, verifying has no lease
 *   2 a claimed job has exactly one open attempt (ended_at 0); every other job has none
 *   3 a state is written only where the row still is in the state the writer believes: whoever cancels first wins */
#include "migrate/migrate_internal.h"

static const struct {
    const char *name;
    bool final, leased;
    uint32_t next; /* a bit a state */
} states[DV_JOB_STATES] = {
#define TO(s) (1u << DV_JOB_##s)
    [DV_JOB_QUEUED] = {"queued", false, false, TO(PREFLIGHT) | TO(CANCELLED)},
    [DV_JOB_PREFLIGHT] = {"preflight", false, true,
                          TO(RETRIEVING) | TO(SKIPPED) | TO(COMPLETE) | TO(PARTIAL) | TO(EXCLUDED) | TO(EMPTY) |
                              TO(FAILED) | TO(QUEUED) | TO(STAGING) | TO(CANCELLED)},
    [DV_JOB_RETRIEVING] = {"retrieving", false, true,
                           TO(VERIFYING) | TO(QUEUED) | TO(STAGING) | TO(FAILED) | TO(CANCELLED)},
    [DV_JOB_STAGING] = {"staging", false, false, TO(PREFLIGHT) | TO(CANCELLED)},
    [DV_JOB_VERIFYING] = {"verifying", false, true,
                          TO(COMPLETE) | TO(PARTIAL) | TO(EXCLUDED) | TO(EMPTY) | TO(FAILED) | TO(QUEUED) |
                              TO(STAGING) | TO(CANCELLED)},
    [DV_JOB_COMPLETE] = {"complete", true, false, 0},
    [DV_JOB_PARTIAL] = {"partial", true, false, TO(QUEUED)},
    [DV_JOB_FAILED] = {"failed", true, false, TO(QUEUED)},
    [DV_JOB_SKIPPED] = {"skipped", true, false, 0},
    [DV_JOB_EXCLUDED] = {"excluded", true, false, 0},
    [DV_JOB_EMPTY] = {"empty", true, false, TO(QUEUED)},
    [DV_JOB_MISMATCH] = {"mismatch", true, false, 0},
    [DV_JOB_CANCELLED] = {"cancelled", true, false, TO(QUEUED)},
#undef TO
};

/* Renewal comes with several hosts (M67); until then one engine holds the data directory and voids older leases at start. */
enum { LEASE_US = 3600 * 1000000LL };

const char *dv_job_state_name(dv_job_state s)
{
    return (unsigned)s < DV_JOB_STATES ? states[s].name : "?";
}

dv_job_state dv_job_state_of(dv_text name)
{
    for (int s = 0; s < DV_JOB_STATES; s++)
        if (dv_text_is(name, states[s].name))
            return (dv_job_state)s;
    return DV_JOB_STATES;
}

bool dv_job_state_is_final(dv_job_state s)
{
    return (unsigned)s < DV_JOB_STATES && states[s].final;
}

bool dv_job_may(dv_job_state from, dv_job_state to)
{
    return (unsigned)from < DV_JOB_STATES && (unsigned)to < DV_JOB_STATES && (states[from].next >> to & 1u);
}

bool dv_job_set_state(dv_db *db, int64_t job, dv_job_state from, dv_job_state to, const dv_job_change *change,
                      const char *owner, int64_t now, dv_error *err)
{
    if (!dv_job_may(from, to))
        return dv_fail(err, DV_ERR_INTERNAL, "job %lld cannot go from %s to %s", (long long)job,
                       dv_job_state_name(from), dv_job_state_name(to));
    int64_t until = states[to].leased ? now + LEASE_US : 0;
    int64_t ended = states[to].final ? now : 0;
    if (!dv_db_exec(db, err,
                    "UPDATE jobs SET state = $3, lease_owner = $4, lease_until = $5, ended_at = $6,"
                    " started_at = CASE WHEN started_at = 0 AND $3 = 'preflight' THEN $7 ELSE started_at END WHERE id "
                    "= $1 AND state = $2",
                    "isssiii", job, dv_job_state_name(from), dv_job_state_name(to), states[to].leased ? owner : "",
                    until, ended, now))
        return false;
    if (dv_db_changes(db) != 1)
        return dv_fail(err, DV_ERR_CANCELLED, "job %lld is no longer %s", (long long)job, dv_job_state_name(from));
    if (change &&
        !dv_db_exec(db, err, "UPDATE jobs SET error = $2, next_at = $3, tries = $4, peer_tries = $5 WHERE id = $1",
                    "itiii", job, change->error.at ? change->error : DV_TEXT(""), change->next_at,
                    (int64_t)change->tries, (int64_t)change->peer_tries))
        return false;
    if (change && change->counted &&
        !dv_db_exec(db, err,
                    "UPDATE jobs SET source_series = $2, source_instances = $3, here_series = $4, here_instances = $5, "
                    "explained = $6,"
                    " bytes = $7, evidence = $8 WHERE id = $1",
                    "iiiiiiit", job, change->source_series, change->source_instances, change->here_series,
                    change->here_instances, change->explained, change->bytes,
                    change->evidence.at ? change->evidence : DV_TEXT("{}")))
        return false;
    return true;
}

/* ---- claims ---- */

/* The best of each open batch, then the best of these: the cost grows with open batches, not with queued jobs. A study that runs for another
 * batch waits until that is over and will then be found here. */
static bool find_best(dv_db *db, const char *blocked, int64_t now, int64_t *job, dv_job_state *state, dv_error *err)
{
    *job = 0;
    dv_rows *r = dv_db_query(
        db, err,
        "SELECT j.id, j.state FROM batches b JOIN jobs j ON j.id = (SELECT q.id FROM jobs q WHERE q.batch = b.id"
        " AND q.state IN ('queued', 'staging') AND q.next_at <= $1"
        " AND NOT EXISTS (SELECT 1 FROM jobs o WHERE o.study_uid = q.study_uid AND o.lease_owner <> '')"
        " ORDER BY q.priority DESC, q.study_date DESC, q.id LIMIT 1)"
        " WHERE b.ended_at = 0 AND b.paused = 0 AND b.cancelled = 0 AND replace($2, '|' || b.source || '|', '') = $2"
        " ORDER BY j.priority DESC, j.study_date DESC, j.id LIMIT 1",
        "is", now, blocked);
    if (dv_rows_next(r)) {
        *job = dv_rows_int(r, 0);
        *state = dv_job_state_of(dv_rows_text(r, 1));
    }
    return dv_rows_close(r, err);
}

static bool read_job(dv_db *db, int64_t id, dv_arena *arena, dv_job *out, dv_error *err)
{
    dv_rows *r = dv_db_query(
        db, err,
        "SELECT j.batch, j.source, j.study_uid, j.seed, b.name, j.found, j.found_syntax, j.source_instances, j.tries,"
        " j.peer_tries, b.full_repull FROM jobs j JOIN batches b ON b.id = j.batch WHERE j.id = $1",
        "i", id);
    bool memory = false;
    *out = (dv_job){.id = id};
    if (dv_rows_next(r)) {
        out->batch = dv_rows_int(r, 0);
        dv_text *texts[] = {&out->source,     &out->study_uid, &out->seed,
                            &out->batch_name, &out->found,     &out->found_syntax};
        for (int i = 0; i < 6; i++) {
            dv_text t = dv_rows_text(r, i + 1);
            *texts[i] = dv_arena_text(arena, t.at ? t : DV_TEXT(""));
            memory = memory || !texts[i]->at;
        }
        out->source_instances = dv_rows_int(r, 7);
        out->tries = (int)dv_rows_int(r, 8);
        out->peer_tries = (int)dv_rows_int(r, 9);
        out->full_repull = dv_rows_int(r, 10) != 0;
    }
    if (!dv_rows_close(r, err))
        return false;
    return memory ? dv_fail(err, DV_ERR_MEMORY, "out of memory for job %lld", (long long)id)
                  : out->batch || dv_fail(err, DV_ERR_INTERNAL, "job %lld has no batch", (long long)id);
}

bool dv_job_claim(dv_db *db, const char *owner, const char *blocked, int64_t now, dv_arena *arena, dv_job *out,
                  bool *found, dv_error *err)
{
    int64_t id;
    dv_job_state state = DV_JOB_QUEUED;
    *found = false;
    if (!find_best(db, blocked, now, &id, &state, err))
        return false;
    if (!id)
        return true;
    if (!read_job(db, id, arena, out, err) ||
        !dv_job_set_state(db, id, state, DV_JOB_PREFLIGHT, NULL, owner, now, err) ||
        !dv_db_int(db, 0, &out->attempt, err, "SELECT count(*) + 1 FROM attempts WHERE job = $1", "i", id) ||
        !dv_db_int(db, 0, &out->attempt_id, err,
                   "INSERT INTO attempts (job, number, source, started_at, ended_at, status, asked, completed, failed, "
                   "warned, arrived, error)"
                   " VALUES ($1, $2, $3, $4, 0, 'open', 0, 0, 0, 0, 0, '') RETURNING id",
                   "iiti", id, out->attempt, out->source, now))
        return false;
    *found = true;
    return true;
}

bool dv_attempt_close(dv_db *db, int64_t attempt, const dv_attempt_end *end, int64_t now, dv_error *err)
{
    return dv_db_exec(db, err,
                      "UPDATE attempts SET ended_at = $2, status = $3, asked = $4, completed = $5, failed = $6, warned "
                      "= $7, arrived = $8,"
                      " error = $9 WHERE id = $1",
                      "iisiiiiit", attempt, now, end->status, end->asked, end->completed, end->failed, end->warned,
                      end->arrived, end->error.at ? end->error : DV_TEXT(""));
}

/* ---- after a stop ---- */

bool dv_jobs_recover(dv_db *db, int64_t now, int64_t *count, dv_error *err)
{
    *count = 0;
    /* Few: as many as the earlier process had workers. Read all before writing: a row that changes may be met again by its index. */
    struct {
        int64_t id;
        dv_job_state state;
    } open[DV_MAX_WORKERS];
    for (int n = DV_MAX_WORKERS; n == DV_MAX_WORKERS;) {
        n = 0;
        dv_rows *r = dv_db_query(db, err, "SELECT id, state FROM jobs WHERE lease_owner <> '' LIMIT 64", "");
        while (n < DV_MAX_WORKERS && dv_rows_next(r)) {
            open[n].id = dv_rows_int(r, 0);
            open[n++].state = dv_job_state_of(dv_rows_text(r, 1));
        }
        if (!dv_rows_close(r, err))
            return false;
        for (int i = 0; i < n; i++)
            if (!dv_job_set_state(db, open[i].id, open[i].state, DV_JOB_QUEUED, NULL, "", now, err))
                return false;
        *count += n;
    }
    return dv_db_exec(db, err, "UPDATE attempts SET ended_at = $1, status = 'interrupted' WHERE ended_at = 0", "i",
                      now) &&
           dv_db_exec(db, err, "UPDATE entries SET lease_owner = '', lease_until = 0 WHERE lease_owner <> ''", "");
}

bool dv_jobs_next_due(dv_db *db, const char *blocked, int64_t now, int64_t *due, dv_error *err)
{
    int64_t entries = INT64_MAX;
    *due = INT64_MAX;
    if (!dv_db_int(db, INT64_MAX, due, err,
                   "SELECT coalesce(min(j.next_at), 9223372036854775807) FROM batches b JOIN jobs j ON j.batch = b.id"
                   " WHERE b.ended_at = 0 AND b.paused = 0 AND b.cancelled = 0 AND replace($1, '|' || b.source || '|', "
                   "'') = $1"
                   " AND j.state IN ('queued', 'staging') AND j.next_at > $2",
                   "si", blocked, now) ||
        !dv_db_int(
            db, INT64_MAX, &entries, err,
            "SELECT coalesce(min(e.next_at), 9223372036854775807) FROM batches b JOIN entries e ON e.batch = b.id"
            " WHERE b.ended_at = 0 AND b.paused = 0 AND b.cancelled = 0 AND replace($1, '|' || b.source || '|', '') = "
            "$1"
            " AND e.state = 'waiting' AND e.lease_owner = '' AND e.next_at > $2",
            "si", blocked, now))
        return false;
    if (entries < *due)
        *due = entries;
    return true;
}
