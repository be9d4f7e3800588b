/* receiver.h: C-STORE into the intake: who may send, what is accepted, which status an outcome has (M01).
 * Threads   shared; the SCP's callbacks run in association threads. */
#ifndef DV_INGEST_RECEIVER_H
#define DV_INGEST_RECEIVER_H

#include "dimse/scp.h"
#include "ingest/ingest.h"

typedef struct dv_receiver dv_receiver;

typedef struct dv_receiver_options {
    dv_ingest *ingest;
    dv_store *store;
    dv_catalog *catalog;
    const char *aet;                    /* the called AE title we answer to */
    bool any_called;                    /* ... or any */
    bool allow_any;                     /* any calling AE title and address */
    int64_t low_water;                  /* bytes that must be free, 0: not looked at */
    struct dv_commitments *commitments; /* NULL: storage commitment is refused */
} dv_receiver_options;

/* Strings of OPTIONS are borrowed. */
dv_receiver *dv_receiver_new(const dv_receiver_options *options, dv_error *err);
void dv_receiver_free(dv_receiver *r);
/* For dv_scp_start. */
dv_scp_callbacks dv_receiver_callbacks(dv_receiver *r);
/* Before a C-GET: what the peer SLUG sends over an association of ours is taken as if it had called us; sets CALLER->user. The callback
 * `leave` ends it. */
bool dv_receiver_expect(dv_receiver *r, dv_text slug, dv_caller *caller, dv_error *err);
/* Changes what OPTIONS said, while associations are open: for the next association and the next instance. */
void dv_receiver_adjust(dv_receiver *r, bool any_called, bool allow_any, int64_t low_water);
/* True when the free space is under low_water: senders get A700. */
bool dv_receiver_disk_low(dv_receiver *r);

#endif
