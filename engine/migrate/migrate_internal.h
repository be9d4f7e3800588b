/* migrate_internal.h: what the files of migrate/ share.
 *
 *   source.c     a peer with its quirks, questions, retrieves      expand.c     entry -> C-FIND -> jobs
 *   preflight.c  what the source has, and what of it is here      retrieve.c  C-MOVE to ourselves or C-GET, wait until quiet
 *   get.c        what a C-GET proposes
 *   verify.c     the comparison, its verdict and its evidence     job.c       states, claims, attempts: one function changes a state
 *   batch.c      submit                control.c  pause ... retry report.c    JSON       worker.c   threads: claim, run, settle
 *   arrivals.c   identify, notify      gate.c     which source may be asked now
 *
 * Memory    a run (one claimed entry or job) has an arena, freed whole when it ends. */
#ifndef DV_MIGRATE_INTERNAL_H
#define DV_MIGRATE_INTERNAL_H

#include "base/buffer.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "dimse/scu_pool.h"
#include "ingest/outbound.h"
#include "migrate/migrate.h"

#include <pthread.h>

/* ---- sources (source.c) ---- */

enum { DV_MAX_WORKERS = 64, DV_SLUG = 33 };

typedef enum dv_depth { DV_DEPTH_STUDY, DV_DEPTH_SERIES, DV_DEPTH_INSTANCES } dv_depth;

/* A peer with its quirks read. Strings in the run's arena. */
typedef struct dv_source {
    const char *slug, *aet, *host, *charset; /* charset NULL: none set */
    uint16_t port;
    int find_ms, move_ms, quiet_ms, find_limit, nearline_s;
    dv_depth evidence, move_level;
    dv_peer_tls tls;
    bool get;                                    /* retrieve by C-GET, else by C-MOVE to ourselves */
    int most;                                    /* associations at a time, 0: no limit of its own */
    const char *sop_classes, *transfer_syntaxes; /* what may be proposed, '\\' between; "": all */
    int capacity;                                /* jobs at a time, by max_associations and max_moves */
} dv_source;

/* NOT_FOUND, CONFIG (disabled, only a destination, settings that are no JSON object). QUIET_MS is the default. */
bool dv_source_load(dv_db *db, dv_text slug, int quiet_ms, dv_arena *arena, dv_source *out, dv_error *err);

/* How a worker speaks to sources. `cancel` is looked at while waiting. */
typedef struct dv_links {
    dv_pool *pool;
    const char *calling;
    const atomic_bool *cancel;
    dv_tls_files ours; /* for peers that are called by TLS */
} dv_links;

typedef struct dv_key {
    dv_tag tag;
    dv_text value; /* empty: asked for */
} dv_key;

/* One answer: the dataset, and its bytes. Both are gone after the call. */
typedef bool dv_each_answer(void *user, dv_dataset *ds, dv_text bytes, dv_text syntax);

/* Study Root C-FIND; *COUNT answers. After a fault of the association it is asked once more: COUNT NULL says that EACH may get an answer twice, else
 * only while there was none. */
bool dv_links_find(dv_links *l, const dv_source *s, const dv_key *keys, size_t n, dv_each_answer *each, void *user,
                   int64_t *count, dv_error *err);

/* What one C-GET association offers (get.c). */
typedef struct dv_proposal {
    dv_context_offer *offers; /* the first is C-GET's own */
    size_t count;
    char variant[32];
} dv_proposal;

enum { DV_MOST_PROPOSALS = 16 };
typedef struct dv_proposals {
    dv_proposal list[DV_MOST_PROPOSALS];
    size_t count;
} dv_proposals;

/* For a study: by what the source says of its classes and modalities, and the usual classes. In ARENA. */
bool dv_get_propose(dv_links *links, const dv_source *source, dv_text study, dv_arena *arena, dv_proposals *out,
                    dv_error *err);
/* For what EV still misses, by the classes that the source says these instances have; none when it does not. */
struct dv_evidence;
bool dv_get_propose_missing(dv_links *links, const dv_source *source, dv_text study, const struct dv_evidence *ev,
                            dv_arena *arena, dv_proposals *out, dv_error *err);

typedef struct dv_pull {
    const char *destination;     /* C-MOVE */
    const dv_proposal *proposal; /* C-GET; NULL: C-MOVE */
    dv_get_sink sink;
    bool fresh; /* not over a kept association: one has broken */
} dv_pull;

/* C-MOVE or C-GET of what KEYS name. As dv_move. */
bool dv_links_pull(dv_links *l, const dv_source *s, const dv_pull *pull, const dv_key *keys, size_t n, dv_arena *arena,
                   void (*progress)(void *user, const dv_move_result *so_far), void *user, dv_move_result *out,
                   dv_error *err);
/* An answer's bytes as a dataset in ARENA; CHARSET (may be NULL) is put where none is declared (DEFECTS P16). */
dv_dataset *dv_answer_open(dv_text bytes, dv_text syntax, const char *charset, dv_arena *arena, dv_error *err);

/* ---- jobs (job.c) ---- */

typedef enum dv_job_state {
    DV_JOB_QUEUED,
    DV_JOB_PREFLIGHT,
    DV_JOB_RETRIEVING,
    DV_JOB_STAGING,
    DV_JOB_VERIFYING,
    DV_JOB_COMPLETE,
    DV_JOB_PARTIAL,
    DV_JOB_FAILED,
    DV_JOB_SKIPPED,
    DV_JOB_EXCLUDED,
    DV_JOB_EMPTY,
    DV_JOB_MISMATCH,
    DV_JOB_CANCELLED,
    DV_JOB_STATES
} dv_job_state;

const char *dv_job_state_name(dv_job_state s);
/* DV_JOB_STATES when NAME is none. */
dv_job_state dv_job_state_of(dv_text name);
bool dv_job_state_is_final(dv_job_state s);
bool dv_job_may(dv_job_state from, dv_job_state to);

/* A claimed job. Texts in the run's arena. */
typedef struct dv_job {
    int64_t id, batch, attempt_id, attempt; /* attempt counts from 1 */
    dv_text source, study_uid, seed, batch_name, found, found_syntax;
    int64_t source_instances; /* as the C-FIND answer said, 0: nothing */
    int tries, peer_tries;
    bool full_repull;
} dv_job;

/* What a change of state writes besides the state. */
typedef struct dv_job_change {
    dv_text error;
    int64_t next_at;
    int tries, peer_tries;
    bool counted; /* the five counts, bytes and evidence below are known */
    int64_t source_series, source_instances, here_series, here_instances, explained, bytes;
    dv_text evidence;
} dv_job_change;

/* The one function that changes a job's state; inside a WORK. CANCELLED when the job is no longer in FROM (a person was quicker); INTERNAL
 * when the drawing has no such line. CHANGE NULL: error, tries and next_at stay. */
bool dv_job_set_state(dv_db *db, int64_t job, dv_job_state from, dv_job_state to, const dv_job_change *change,
                      const char *owner, int64_t now, dv_error *err);
/* The best job that may run: highest priority, then newest study, then first come; opens its attempt. BLOCKED is "|slug|slug|" of sources
 * that may not be asked now. *FOUND false when there is none. Inside a WORK; OUT in ARENA. */
bool dv_job_claim(dv_db *db, const char *owner, const char *blocked, int64_t now, dv_arena *arena, dv_job *out,
                  bool *found, dv_error *err);

typedef struct dv_attempt_end {
    const char *status; /* a final state's name, "again", "interrupted", "unreachable" */
    int64_t asked, completed, failed, warned, arrived;
    dv_text error;
} dv_attempt_end;
bool dv_attempt_close(dv_db *db, int64_t attempt, const dv_attempt_end *end, int64_t now, dv_error *err);

/* Inside a WORK: voids every lease, queues what ran, closes open attempts. *COUNT jobs put back. */
bool dv_jobs_recover(dv_db *db, int64_t now, int64_t *count, dv_error *err);
/* Inside a WORK, at the start: no job or entry waits longer than is ever written, though the clock was set back meanwhile. */
bool dv_jobs_due_at_last(dv_db *db, int64_t now, dv_error *err);
/* Looks whether the clock was set back, and takes that off the times of the next tries. Any thread of M's. */
void dv_migrate_mind_clock(dv_migrate *m);
/* When the earliest job or entry of sources that are not BLOCKED is due, wall us; INT64_MAX: none waits. */
bool dv_jobs_next_due(dv_db *db, const char *blocked, int64_t now, int64_t *due, dv_error *err);

/* ---- entries (expand.c) and batches (batch.c, report.c) ---- */

typedef struct dv_entry {
    int64_t id, batch;
    dv_text source, kind, value, patient;
    int priority, tries, peer_tries;
} dv_entry;

bool dv_entry_claim(dv_db *db, const char *owner, const char *blocked, int64_t now, dv_arena *arena, dv_entry *out,
                    bool *found, dv_error *err);
typedef struct dv_entry_end {
    const char *state; /* waiting: again at next_at */
    dv_text error;
    int64_t next_at;
    int tries, peer_tries;
} dv_entry_end;
/* Inside a WORK; also ends the batch when it was the last. */
bool dv_entry_settle(dv_db *db, const dv_entry *entry, const dv_entry_end *end, int64_t now, dv_error *err);
/* Ends BATCH with its report when nothing of it is open. Inside a WORK. */
bool dv_batch_settle(dv_db *db, int64_t batch, int64_t now, dv_error *err);
/* The report of a batch as JSON. */
cJSON *dv_batch_report(dv_db *db, int64_t batch, dv_error *err);
/* {state: n} of TABLE "jobs" or "entries" of a batch, or of all open batches when 0. */
cJSON *dv_state_counts(dv_db *db, bool entries, int64_t batch, dv_error *err);

/* ---- one study: what the source has, what is here (preflight.c, verify.c) ---- */

typedef enum dv_fate {
    DV_FATE_MISSING,
    DV_FATE_STORED,
    DV_FATE_EXCLUDED,
    DV_FATE_REJECTED,
    DV_FATE_HELD,
    DV_FATE_UNREADABLE,
    DV_FATES
} dv_fate;

typedef struct dv_wanted {
    dv_text series, sop;
    dv_fate fate;
} dv_wanted;

typedef struct dv_wanted_series {
    dv_text uid;
    int64_t source; /* instances the source says it has, -1: not said */
    int64_t here, explained;
} dv_wanted_series;

typedef struct dv_evidence {
    dv_arena *arena;
    char level;        /* 'A' instance UIDs, 'B' series counts, 'C' study count, 'D' nothing but the sub-operations */
    dv_wanted *wanted; /* A: sorted by SOP UID, each once */
    size_t count, room;
    dv_wanted_series *series; /* A and B */
    size_t series_count, series_room;
    int64_t study_count; /* C, as the C-FIND answer said; 0: not said */
    bool memory;         /* memory was out while gathering */
    /* here, by dv_evidence_compare */
    int64_t fates[DV_FATES]; /* A: of the wanted; else of all that is here under this study; [MISSING] by the level */
    int64_t here_series, bytes, beyond; /* beyond: here but not in the source's list */
    char reason[256];                   /* of the first rejected, held or unreadable one */
    /* the retrieve */
    bool moved;
    dv_move_result move; /* summed over its C-MOVEs; status of the worst */
    int64_t asked, arrived;
} dv_evidence;

/* Asks the source, as deep as it can be asked. False only when it could not be asked at all. */
bool dv_evidence_ask(dv_evidence *ev, dv_links *links, const dv_source *source, const dv_job *job, dv_arena *arena,
                     dv_error *err);
/* Adds one instance or series; for dv_evidence_ask and tests. */
void dv_evidence_add(dv_evidence *ev, dv_text series, dv_text sop);
void dv_evidence_add_series(dv_evidence *ev, dv_text uid, int64_t instances);
/* Sorts, drops doubles; after the last add. */
void dv_evidence_ready(dv_evidence *ev);
/* Looks what is here now. May be called again. */
bool dv_evidence_compare(dv_evidence *ev, dv_db *db, dv_text study_uid, dv_error *err);
int64_t dv_evidence_source_count(const dv_evidence *ev);
int64_t dv_evidence_explained(const dv_evidence *ev);
/* Is everything accounted for? */
bool dv_evidence_all_here(const dv_evidence *ev);
/* The state a study has by what is here; ERROR says what lacks, in numbers. QUEUED: instances are missing. */
dv_job_state dv_evidence_verdict(const dv_evidence *ev, char *error, size_t size);
/* {stands_on, A, B, C, D, E} in ARENA. */
dv_text dv_evidence_json(const dv_evidence *ev, dv_arena *arena);

/* ---- the engine (worker.c) ---- */

/* What intake threads see of a worker's job. All under dv_migrate.lock; texts borrowed from the worker's arena while `job` is not 0. */
typedef struct dv_run {
    int64_t job, batch, attempt;
    dv_text study_uid, source, batch_name, seed, found, found_syntax;
    const char *charset;
    dv_job_state state;
    int64_t asked, arrived, under_way, last_ms; /* last_ms: dv_mono_ms of the last sign of life */
    int remaining;
    pthread_cond_t arrival;
} dv_run;

typedef struct dv_worker {
    struct dv_migrate *m;
    int number;
    pthread_t thread;
    bool started;
    atomic_bool cancel; /* set by stop and by cancel of its job */
    dv_links links;
    dv_run run;
} dv_worker;

/* A source that is used or was asked in vain; under dv_migrate.lock. */
typedef struct dv_gate {
    char slug[DV_SLUG];
    int running, capacity;
    bool paused;
    int failures;     /* in a row: associations that did not come to be */
    int64_t until_ms; /* monotonic; not asked before */
    char error[256];
} dv_gate;

struct dv_migrate {
    /* set once */
    dv_catalog *catalog;
    char aet[17], host[256];
    uint16_t port;
    dv_tls_files tls; /* borrowed, as all of dv_migrate_options */
    dv_taker taker;
    int quiet_ms, max_tries, max_peer_tries, backoff_ms;
    char owner[96];
    int worker_count;
    /* one claimer at a time: what is blocked must not change between looking and claiming */
    pthread_mutex_t claim;
    /* under lock */
    pthread_mutex_t lock;
    pthread_cond_t work, changed;
    bool stopping, paused;
    uint64_t version, work_version;
    dv_gate *gates;
    size_t gate_count;
    int64_t rate_second, rate_began; /* arrivals by second, the last 30; began: after a silence as long */
    uint32_t rate[30];
    dv_worker workers[DV_MAX_WORKERS];
};

/* Something changed: wakes watchers, and idle workers when there may be MORE_WORK. */
void dv_migrate_changed(dv_migrate *m, bool more_work);
/* Backoff before try N (1, 2, ...), us: base, doubled, at most a minute. */
int64_t dv_backoff_us(const dv_migrate *m, int n);
bool dv_migrate_is_stopping(dv_migrate *m);
/* Entry and job, one each; *DID false when nothing was to do. By worker threads and by tests. */
bool dv_worker_entry(dv_worker *w, bool *did);
bool dv_worker_job(dv_worker *w, bool *did);
/* Runs one claimed entry: asks and writes jobs. What became of it in *END (texts in ARENA); false: ERR, nothing was settled. */
bool dv_expand(dv_worker *w, const dv_entry *entry, const dv_source *source, dv_arena *arena, dv_entry_end *end,
               dv_error *err);
/* C-MOVE of what EV says is missing, then waits until it is quiet. False: it could not be asked (EV.move has what was said). */
bool dv_move_is_refused(uint16_t status); /* a failure status: not success, not a warning */
bool dv_retrieve(dv_worker *w, const dv_job *job, const dv_source *source, dv_evidence *ev, dv_arena *arena,
                 dv_error *err);
/* Reads "migrate.paused" and "migrate.paused.SLUG" of settings into the gates; at start. */
bool dv_control_load(dv_migrate *m, dv_db *db, dv_error *err);

/* ---- gates (gate.c) ---- */

dv_gate *dv_gate_of(dv_migrate *m, dv_text slug); /* with lock held, until it is given up; NULL: memory */
/* "|a|b|" of the sources that may not be asked now; *UNTIL_MS: when the first of those that are down may be. False: memory, or all is paused. */
bool dv_gates_blocked(dv_migrate *m, dv_buffer *out, int64_t *until_ms);
void dv_gate_enter(dv_migrate *m, dv_text slug);
void dv_gate_leave(dv_migrate *m, dv_text slug);
void dv_gate_answered(dv_migrate *m, const dv_source *source);
void dv_gate_is_down(dv_migrate *m, dv_text slug, const dv_error *err);

#endif
