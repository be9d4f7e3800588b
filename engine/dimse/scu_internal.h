/* scu_internal.h: an association of ours and one operation over it, for the files of the client.
 *
 *   scu.c  association, C-ECHO, C-FIND     scu_retrieve.c  C-MOVE, C-GET     scu_store.c  C-STORE
 *
 *   dv_op_begin -> dv_op_head, more elements -> dv_op_send -> dv_op_hear until the final answer -> dv_op_end
 *
 * Threads   one at a time for each association. */
#ifndef DV_DIMSE_SCU_INTERNAL_H
#define DV_DIMSE_SCU_INTERNAL_H

#include "dimse/message_internal.h"
#include "dimse/scu.h"

enum { DV_CANCEL_MS = 2000 /* a peer that does not know C-CANCEL says nothing */ };

struct dv_association {
    dv_upper *upper;
    char host[256];
    uint16_t port;
    char calling[DV_AE_SIZE], called[DV_AE_SIZE];
    int answer_ms;
    const atomic_bool *cancel;
    uint16_t next_id;
    bool dirty;
    dv_message message;
    dv_buffer identifier;
    uint8_t *piece[2]; /* of a data set being sent */
    size_t piece_size;
};

/* What every operation carries. */
typedef struct dv_operation {
    dv_association *a;
    const char *name; /* "C-FIND" */
    uint16_t field, id;
    uint8_t context;
    int wait_ms;
    bool cancelling; /* C-CANCEL was sent */
    bool by_flag;    /* ... because `cancel` was set, not because the caller has enough */
} dv_operation;

bool dv_op_cancelled(void *association);
/* SYNTAX absent: any. UNSUPPORTED: no context for it. */
bool dv_op_begin(dv_operation *op, dv_association *a, const char *name, uint16_t field, dv_text sop_class,
                 dv_text syntax, dv_error *err);
/* The head of each request; what follows has tags above (0000,0110). */
void dv_op_head(dv_command_writer *w, const dv_operation *op, dv_text sop_class);
bool dv_op_send(dv_operation *op, dv_command_writer *w, dv_text identifier, dv_error *err);
/* The next message, whatever it is. A set cancel flag becomes a C-CANCEL when CAN_CANCEL. */
bool dv_op_listen(dv_operation *op, bool can_cancel, dv_error *err);
/* The message is an answer to OP; its identifier (if any) goes to `a->identifier`. */
bool dv_op_answer(dv_operation *op, dv_error *err);
/* Both. */
bool dv_op_hear(dv_operation *op, bool can_cancel, dv_error *err);
bool dv_op_cancel(dv_operation *op, dv_error *err);
/* Why there is no message; the association is dirty from then on. */
bool dv_op_unheard(dv_operation *op, dv_heard h, dv_error *err);
bool dv_op_lost(dv_operation *op, dv_error *err);
/* The cancel flag works again for the next operation. */
bool dv_op_end(dv_operation *op, bool worked);
bool dv_op_pending(uint16_t status);

#endif
