/* scu_pool.h: the associations to peers, shared by all who call out: limits, turns, and those kept for the next call.
 *
 *   dv_pool_take ── its turn? ── an idle one of the same key, still alive ──> lease (kept)
 *        |            |  no         └── none: the oldest idle one gives way when a limit is reached; dv_associate ──> lease
 *        |            waits: in order of arrival, only behind those who could go
 *   operation(s) over lease.a
 *   dv_pool_give ── good ──> idle, until idle_ms are over (dv_pool_tend) or it is taken again
 *                └─ not ───> aborted: after a failure the peer may be in the middle of anything
 *
 * Limits    of the host, and of each peer. A peer that rejects for now while others of ours are open has shown its own limit: that is
 *           kept to for ten minutes, and the caller waits instead of failing (DEFECTS P14).
 * Deadlock  who holds a lease takes no second one: then a holder never waits, and each wait ends.
 * Threads   shared by all; a lease has one thread at a time. No lock is held while the network is spoken to.
 * Memory    a lease's association belongs to the pool from dv_pool_give on. */
#ifndef DV_DIMSE_SCU_POOL_H
#define DV_DIMSE_SCU_POOL_H

#include "dimse/scu.h"

typedef struct dv_pool dv_pool;

/* MAX associations at once, 0: no limit; idle ones are closed after IDLE_MS, 0: none is kept. NULL: MEMORY. */
dv_pool *dv_pool_new(int max, int idle_ms, dv_error *err);
/* All leases were given back. POOL may be NULL. */
void dv_pool_free(dv_pool *pool);

typedef struct dv_pool_call {
    const char *peer; /* slug, of at most 32 characters */
    int most;         /* associations to it at once, 0: no limit but the host's */
    dv_target to;     /* its cancel and answer_ms are for this lease; its tls is SECURE's */
    /* Makes the TLS of a new association (freed here); NULL: plain. */
    bool (*secure)(void *user, dv_tls **out, dv_error *err);
    void *user;
    const char
        *variant; /* whatever else must be the same to share an association: TLS files, proposals; NULL: nothing */
    const dv_context_offer *offers;
    size_t count;
    const char *
        need; /* the class that must be accepted. Refused among the others, it is offered alone once more (DEFECTS P12) */
    int wait_ms; /* for a turn; 0: as long as it takes */
} dv_pool_call;

typedef struct dv_lease {
    dv_association *a;
    bool kept;   /* it was open already */
    void *entry; /* the pool's */
} dv_lease;

/* FRESH: idle ones of the same key are closed first: one that broke makes them suspect. Errors are dv_associate's, TIMEOUT (no turn
 * within wait_ms, says which limit), CANCELLED. */
bool dv_pool_take(dv_pool *pool, const dv_pool_call *call, bool fresh, dv_lease *out, dv_error *err);
void dv_pool_give(dv_pool *pool, dv_lease *lease, bool good);
/* Releases a taken one, whose lease need not be at hand. A may be NULL. */
void dv_pool_end(dv_pool *pool, dv_association *a);
/* To be called every second or so: closes idle ones whose time is over, or whose peer has gone. */
void dv_pool_tend(dv_pool *pool);

typedef struct dv_pool_counts {
    int open, idle, waiting; /* open: idle ones too */
} dv_pool_counts;

/* PEER NULL: all. */
dv_pool_counts dv_pool_count(dv_pool *pool, const char *peer);

#endif
