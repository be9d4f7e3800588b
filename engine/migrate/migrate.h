/* migrate.h: pulls studies out of a source, and proves that they are here (M30, M31, M32, M35).
 *
 *   batch  what somebody asked for: a source, seeds (accessions, study UIDs, patients, or all), a priority
 *   entry  one seed as submitted            waiting -> expanded | empty | failed | cancelled
 *   job    one study that an entry led to   queued -> preflight -> retrieving -> verifying -> complete ... (job.c draws it)
 *   attempt one run of a job: opened when it is claimed, closed with its counts; kept for ever
 *
 *   worker thread:  claim an entry -> C-FIND -> jobs        claim a job -> what is here? -> C-MOVE to ourselves -> wait until quiet
 *                                                                       -> compare with the source -> verdict, or again later
 *   intake thread:  dv_migrate_identify ("whose is this study?") ... dv_migrate_notify ("it is durable") wakes the worker
 *
 * All that matters is in the catalog's rows: killing the process at any moment is a normal way to stop it. Arrivals are counted in
 * memory only, because the instances are the proof and not the count.
 * Quirks of a source are keys of its peers.settings JSON (catalog/peer_settings.def): retrieve "move"|"get", find_timeout_s 60, move_timeout_s 600, quiet_ms, max_moves 2 (jobs at a time),
 * find_limit 0 (the source caps its answers at so many: date ranges are split), evidence "instances"|"series"|"study" (how deep it can be
 * asked, found out by itself when it refuses), move_level "image"|"series"|"study" (how fine it can be asked to send), nearline_s 0 (seconds
 * between tries while it answers with nothing yet: state `staging`), charset (of answers that declare none).
 * Memory    JSON results belong to the caller (cJSON_Delete).
 * Threads   a dv_migrate is shared by all; functions with a dv_db use the caller's read connection and need no running engine.
 * Standard  PS3.4 C (Study Root C-FIND, C-MOVE and C-GET). */
#ifndef DV_MIGRATE_MIGRATE_H
#define DV_MIGRATE_MIGRATE_H

#include "catalog/catalog.h"
#include "catalog/peers.h"
#include "dimse/scp.h"
#include "dimse/scu_pool.h"
#include "ingest/ingest.h"

#include <cjson/cJSON.h>

typedef struct dv_migrate dv_migrate;

/* Takes instances as the server does (ingest/receiver.h); EXPECT, with ON's user, prepares CALLER for what the peer SLUG will send. */
typedef struct dv_taker {
    dv_scp_callbacks on;
    bool (*expect)(void *user, dv_text slug, dv_caller *caller, dv_error *err);
} dv_taker;

/* Everything borrowed until dv_migrate_stop; 0 takes the default in brackets. */
typedef struct dv_migrate_options {
    dv_catalog *catalog;
    const char *aet;  /* ours: calling title, and the C-MOVE destination that the source must know */
    const char *host; /* ours as a source's administrator should enter it; NULL: the host's name */
    uint16_t port;    /* ours, for the same text */
    const char *tls_certificate, *tls_key,
        *tls_ca;           /* ours, for peers that are called by TLS and name none; NULL or "": none */
    dv_pool *pool;         /* of all outbound associations */
    dv_taker taker;        /* takes what a C-GET brings; expect NULL: no source may be retrieved so */
    int workers;           /* threads [4]; -1: none (tests drive by hand) */
    int quiet_ms;          /* after the last arrival a retrieve is over [2000] */
    int max_tries;         /* of a study that comes incomplete [5] */
    int max_peer_tries;    /* of a source that cannot be reached [12]: about 8 minutes with the default backoff */
    int backoff_ms;        /* first wait, doubled each time up to a minute [2000] */
} dv_migrate_options;

/* Voids the leases of an earlier process (this one holds the data directory's lock), puts its unfinished jobs back in the queue, closes
 * its open attempts as "interrupted", starts the workers. NULL on failure. */
dv_migrate *dv_migrate_start(const dv_migrate_options *options, dv_error *err);
/* Abandons what is under way: those jobs are queued again and cost no try; the workers end. M may still be told of arrivals, so this comes
 * before the SCP's stop, or the source would count what is still sent as failed. M may be NULL. */
void dv_migrate_quiesce(dv_migrate *m);
/* The first half of it, which does not wait: nothing new begins, what runs is cancelled, and no job loses a try by it. */
void dv_migrate_halt(dv_migrate *m);
/* The same where it was not done, then frees M: nobody may know it any more (the SCP is stopped). M may be NULL. */
void dv_migrate_stop(dv_migrate *m);

/* For dv_ingest_hooks, with the dv_migrate as user. */
void dv_migrate_identify(void *user, dv_text received_study_uid, struct dv_arrival *arrival, dv_arena *arena);
void dv_migrate_notify(void *user, const struct dv_arrival *arrival, const struct dv_receipt *receipt);

/* ---- submit ---- */

typedef struct dv_seeds {
    const char *const *values;
    size_t count;
} dv_seeds;

typedef struct dv_batch_request {
    const char *name;   /* NULL: "SOURCE 2026-11-24 21:52" */
    const char *source; /* slug of an enabled peer that is no DestinationOnly */
    dv_seeds accessions, study_uids, patient_ids;
    const char *
        patient_id; /* beside accessions or study UIDs: whose they must be, an answer for another is a mismatch; alone: a seed */
    bool all;         /* everything the source lists */
    bool full_repull; /* also what is here already */
    int priority;     /* higher is earlier */
    const char
        *external_id; /* (channel, external_id) again gives the batch of the first time; NULL or "": always a new one */
    const char *channel; /* "cli" "web" "webhook" ...; NULL: "cli" */
} dv_batch_request;

typedef struct dv_batch_made {
    int64_t id;
    bool existed;       /* by (channel, external_id): nothing was added */
    int64_t entries;    /* seeds taken */
    int64_t duplicates; /* seeds dropped because they were there twice */
    int64_t blank;      /* seeds dropped because nothing was in them */
} dv_batch_made;

/* Durable when it returns. Seeds are trimmed. VALUE: a wildcard (* ? \) in a seed, a UID that is none, no seed at all; NOT_FOUND: no
 * such source; CONFIG: the source is disabled or only a destination. */
bool dv_batch_submit(dv_migrate *m, const dv_batch_request *request, dv_batch_made *out, dv_error *err);
/* The same from a BatchSeed object: {batch_name, source, accession_numbers[], study_instance_uids[], patient_ids[], patient_id, all,
 * force_full_repull, priority, external_id, channel}; an unknown key is refused with the nearest right one. Result {batch, existed, entries,
 * duplicates, blank}; NULL on failure. */
cJSON *dv_batch_submit_json(dv_migrate *m, const cJSON *seed, dv_error *err);

/* ---- control ---- */

typedef enum dv_control {
    DV_CONTROL_PAUSE, /* nothing new is begun; what runs ends */
    DV_CONTROL_RESUME,
    DV_CONTROL_CANCEL, /* final: what waits and what runs becomes cancelled */
    DV_CONTROL_RETRY,  /* partial, failed, empty and cancelled jobs and failed or empty entries begin anew */
} dv_control;

/* "pause" "resume" "cancel" "retry"; false if NAME is none of them. */
bool dv_control_of(const char *name, dv_control *out);
/* For one batch (BATCH not 0), or a source (SOURCE not NULL), or all. *COUNT (may be NULL): batches paused, resumed; jobs and entries
 * cancelled, retried. Durable when it returns. NOT_FOUND: no such batch or source. A batch that was cancelled cannot be resumed, but retried. */
bool dv_migrate_control(dv_migrate *m, dv_control what, int64_t batch, const char *source, int64_t *count,
                        dv_error *err);

/* ---- watch ---- */

/* Blocks until something changed since *VERSION (0 at first: returns at once), TIMEOUT_MS passed, or the engine stops; *VERSION is renewed.
 * True when something changed. A change is a state of a job, entry or batch; arriving instances are none: let TIMEOUT_MS be how often
 * the bar should move. */
bool dv_migrate_wait_change(dv_migrate *m, uint64_t *version, int timeout_ms);
/* Of BATCH, or of all open batches when 0:
 * {batch, name, source, state: running|paused|ended|cancelled, ended: bool,
 *  entries {waiting, expanded, empty, failed, cancelled}, jobs {queued, preflight, ...}, studies {total, done, open},
 *  instances {total, here, explained, arriving}, bytes, rate {instances_per_s}, eta_s (null when unknown),
 *  problems [{seed, study_uid, state, error}] (of BATCH: the first five seeds and studies with an error, also those that are tried again),
 *  running [{job, study_uid, state, asked, arrived, remaining}], waiting_for [{source, error, next_at}], report (when ended, else null)} */
cJSON *dv_migrate_progress_json(dv_migrate *m, int64_t batch, dv_error *err);

/* ---- read: all arrays in order of id; AFTER is the last id of the page before, LIMIT 0 is 100 ---- */

/* [{batch, name, source, priority, state, paused, created_at, ended_at, jobs {state: n}, entries {state: n}}], newest first (AFTER: older than
 * this id, 0 at first). */
cJSON *dv_batch_list_json(dv_db *db, int64_t after, int limit, dv_error *err);
/* One batch with its counts, its seeds' errors and its report; NOT_FOUND. */
cJSON *dv_batch_json(dv_db *db, int64_t batch, dv_error *err);
/* [{job, study_uid, seed, state, study_date, tries, error, source_series, source_instances, here_series, here_instances, explained, bytes, ...}] */
cJSON *dv_batch_jobs_json(dv_db *db, int64_t batch, const char *state, int64_t after, int limit, dv_error *err);
/* One job with evidence {A..E}, verdict_stands_on, attempts [{number, started_at, ended_at, status, asked, completed, failed, warned,
 * arrived, error}]; NOT_FOUND. */
cJSON *dv_job_json(dv_db *db, int64_t job, dv_error *err);

#endif
