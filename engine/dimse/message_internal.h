/* message_internal.h: DIMSE messages over an association (PS3.7 6.3.1, PS3.8 E): a command set, then perhaps a data
 * set.
 *
 *   PDVs      C  C* | D  D  D*         * last fragment, perhaps empty; any number in a PDU, also C and D
 *
 * A message stays in one presentation context. What breaks that (data before its command, a command or another
 * context inside a data set) ends the association: whose bytes they are cannot be known.
 * Threads   one at a time. */
#ifndef DV_DIMSE_MESSAGE_INTERNAL_H
#define DV_DIMSE_MESSAGE_INTERNAL_H

#include "base/buffer.h"
#include "dimse/command_internal.h"
#include "dimse/upper_internal.h"

typedef struct dv_message {
    uint8_t context;
    dv_buffer bytes; /* of the command set; kept for the next message */
    dv_command command;
} dv_message;

/* What happened to a read: OK, or the association's end; MALFORMED leaves the reason in the error. */
typedef enum dv_heard { DV_HEARD, DV_HEARD_END, DV_HEARD_TIMEOUT, DV_HEARD_CANCELLED, DV_HEARD_MALFORMED } dv_heard;

/* The next command set. WAIT_MS until it begins, PDU_MS for each PDU from then on. TIMEOUT and CANCELLED only while
 * nothing has come: the association is still good. END: see dv_upper_ended. */
dv_heard dv_message_read(dv_upper *u, dv_message *m, int wait_ms, int pdu_ms, dv_error *err);
/* The next piece of M's data set; *LAST when it is the last one, which may be empty. */
dv_heard dv_message_data(dv_upper *u, const dv_message *m, int wait_ms, int pdu_ms, dv_text *piece, bool *last,
                         dv_error *err);
/* All of it, at most LIMIT bytes, into OUT. */
dv_heard dv_message_collect(dv_upper *u, const dv_message *m, int wait_ms, int pdu_ms, size_t limit, dv_buffer *out,
                            dv_error *err);
/* A command set in one PDU. */
bool dv_message_send(dv_upper *u, uint8_t context, const dv_command_writer *command, int ms);
void dv_message_free(dv_message *m);

#endif
