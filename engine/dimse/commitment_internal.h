/* commitment_internal.h: storage commitment on an association that came to our server.
 *
 *   N-ACTION-RQ            -> `asked`, answered; when it is to be reported here, `due` is asked every 100 ms between messages
 *   `due` gives a report   -> N-EVENT-REPORT-RQ;   its answer -> `delivered`
 *   N-EVENT-REPORT-RQ      -> `told` (we had asked that peer), answered
 *
 * Threads   the association's. */
#ifndef DV_DIMSE_COMMITMENT_INTERNAL_H
#define DV_DIMSE_COMMITMENT_INTERNAL_H

#include "dimse/commitment.h"
#include "dimse/take_internal.h"

typedef struct dv_commit_visit {
    int waiting;      /* requests whose report is to go out here */
    uint8_t context;  /* of the last request */
    uint16_t last_id; /* of our messages */
    bool sent;        /* a report is under way: ID's, message LAST_ID */
    int64_t id;
} dv_commit_visit;

/* Is a context of storage commitment in SYNTAX (NULL: any) wanted? */
bool dv_commitment_wanted(const dv_scp_callbacks *on, const char *syntax);
/* dv_message_read between messages, with reports going out while it waits. */
dv_heard dv_commitment_listen(const dv_taking *t, dv_message *m, dv_commit_visit *v, int idle_ms, dv_error *err);
/* The message is N-ACTION-RQ, N-EVENT-REPORT-RQ or its answer. */
dv_heard dv_commitment_heard(const dv_taking *t, dv_commit_visit *v, dv_error *err);

#endif
