/* commitment_internal.h: what the files of the commitment service share.
 *
 *   commitment.c  taking, threads, reporting     commitment_check.c  is an instance committed?     commitment_ask.c  we as the one who asks */
#ifndef DV_INGEST_COMMITMENT_INTERNAL_H
#define DV_INGEST_COMMITMENT_INTERNAL_H

#include "ingest/commitment.h"

#include <pthread.h>
#include <stdatomic.h>

/* A transaction whose report is to go out on the association that asked. */
typedef struct dv_commit_held {
    struct dv_commit_held *next;
    int64_t id;
    const dv_caller *caller;
    bool sent;
} dv_commit_held;

struct dv_commitments {
    dv_commitments_options o;
    atomic_bool stopping;
    pthread_t checker, reporter;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* something to check, to report; something came to an end */
    uint64_t changes;       /* lock */
    dv_commit_held *held;   /* lock */
};

void dv_commitments_wake(dv_commitments *c);
uint64_t dv_commitments_changes(dv_commitments *c);
/* Until something changed since SEEN, or MS are over. */
void dv_commitments_wait(dv_commitments *c, uint64_t seen, int64_t ms);
/* Row and instances in the catalog, durable; ASK: in state `asked`, else `adding`. HELD_BY (may be NULL) holds it before anybody can see that it is
 * decided; *HELD says so. *OPEN: that transaction is there and not at an end. */
bool dv_commitments_add(dv_commitments *c, const dv_commit_row *row, const dv_commit_instance *list, size_t count,
                        bool ask, const dv_caller *held_by, bool *held, int64_t *id, bool *open, dv_error *err);
/* The class that the instance came with: rules may have changed it. */
bool dv_commitments_received_class(dv_db *db, int64_t instance, dv_text stored, dv_arena *arena, dv_text *out,
                                   dv_error *err);
/* The reason for each of LIST. False: the catalog failed, or STOPPING. */
bool dv_commitments_check(dv_commitments *c, const dv_commit_row *row, dv_commit_instance *list, size_t count,
                          dv_error *err);
/* An association to PEER for storage commitment, in ROLE; our name there is CALLING. */
dv_association *dv_commitments_call(dv_commitments *c, const dv_peer *peer, const char *calling, dv_role role,
                                    dv_error *err);
bool dv_commitments_decide(dv_commitments *c, int64_t id, const char *state, bool ended, const dv_commit_instance *list,
                           size_t count, dv_error *err);
bool dv_commitments_end(dv_commitments *c, int64_t id, const char *state, dv_text error, dv_error *err);

#endif
