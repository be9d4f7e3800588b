/* commitment.h: the service behind storage commitment (PS3.4 J).
 *
 *   a peer asks    dv_commitments_take -> catalog `asked` -> checker thread: each instance -> `decided`
 *                  -> on the association that asked, while it lasts (dv_commitments_due)
 *                  -> else reporter thread: an association of our own to the peer, again and again, later each time -> `reported` | `lost`
 *   we ask a peer  dv_commitments_ask -> N-ACTION -> dv_commitments_told, whatever association it comes by -> `complete` | `failed`
 *
 * An instance is committed when it is in the catalog (by its SOP Instance UID as received, in the class as received), and its object, read
 * again whole, is what its seal and the catalog say. Why not: 0112 it never came; 0119 it is of another class; 0110 it came and is in
 * quarantine (also beside another instance of that UID), or its object is damaged; 0213 it could not be looked at.
 * All is in the catalog: a restart goes on where it was.
 * Threads   shared. */
#ifndef DV_INGEST_COMMITMENT_H
#define DV_INGEST_COMMITMENT_H

#include "catalog/commitments.h"
#include "catalog/peers.h"
#include "dimse/commitment.h"
#include "dimse/scp.h"
#include "store/store.h"

typedef struct dv_commitments dv_commitments;

typedef struct dv_commitments_options {
    dv_catalog *catalog;
    dv_store *store;
    const char *aet;  /* what we call ourselves when we ask */
    dv_tls_files tls; /* ours */
    int tries;        /* to report, before it is given up */
    int backoff_ms;   /* before the second; doubles, at most an hour */
    int keep_days;    /* what is at an end */
} dv_commitments_options;

/* Strings of OPTIONS are borrowed. */
dv_commitments *dv_commitments_start(const dv_commitments_options *options, dv_error *err);
/* After the server has stopped. C may be NULL. */
void dv_commitments_stop(dv_commitments *c);

/* ---- for the server; PEER is the caller's slug, or "" ---- */

/* As dv_commit_events. APART: the peer wants its reports on an association of their own. */
uint16_t dv_commitments_take(dv_commitments *c, const dv_caller *caller, const char *peer, bool apart,
                             const dv_commitment *request, bool *here);
bool dv_commitments_due(dv_commitments *c, const dv_caller *caller, dv_arena *arena, dv_commitment *report,
                        int64_t *id);
void dv_commitments_delivered(dv_commitments *c, const dv_caller *caller, int64_t id, uint16_t status);
uint16_t dv_commitments_told(dv_commitments *c, const char *aet, const dv_commitment *report);
/* CALLER's association ends. */
void dv_commitments_left(dv_commitments *c, const dv_caller *caller);

/* ---- for whoever asks ---- */

/* Asks PEER for the instances with this SOP, Series or Study Instance UID, under the UIDs that it knows: as received for what came from it, as stored for
 * the rest. Waits at most WAIT_MS for the report, or until CANCELLED. *ID is the transaction's number also when that time is over: the report may
 * come later. NOT_FOUND: no such instance. */
bool dv_commitments_ask(dv_commitments *c, const dv_peer *peer, dv_text uid, int wait_ms, bool (*cancelled)(void *user),
                        void *user, int64_t *id, dv_error *err);

#endif
