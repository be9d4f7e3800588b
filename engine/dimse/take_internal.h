/* take_internal.h: a C-STORE that comes to us, whoever opened the association: a sender to our server, or a source that answers our
 * C-GET. The data set goes to the callbacks piece by piece; nothing of it is kept here.
 * Threads   one at a time, the association's. */
#ifndef DV_DIMSE_TAKE_INTERNAL_H
#define DV_DIMSE_TAKE_INTERNAL_H

#include "dimse/message_internal.h"
#include "dimse/scp.h"

typedef struct dv_taking {
    dv_upper *upper;
    const dv_message *message; /* the request, just read */
    const dv_scp_callbacks *on;
    dv_caller *caller;
    int pdu_ms;
} dv_taking;

/* The data set of a C-STORE-RQ to ON, and ON's answer back. HEARD: answered. */
dv_heard dv_take_store(const dv_taking *t, dv_error *err);
/* Answers the request with STATUS and COMMENT (may be NULL); a data set that follows is read and dropped. */
dv_heard dv_take_refuse(const dv_taking *t, uint16_t status, const char *comment, dv_error *err);

#endif
