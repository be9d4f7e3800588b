/* C-MOVE and C-GET (PS3.7 9.1.3, 9.1.4; PS3.4 C.4.2, C.4.3).
 *
 *   we    C-GET-RQ            C-STORE-RSP              C-STORE-RSP
 *   peer            C-STORE-RQ, data set   C-GET-RSP, pending   ...   C-GET-RSP, final
 *
 * The sub-operations of a C-GET come over the association that asked: taken here, one by one, between its answers. */
#include "base/clock.h"
#include "dicom/index.h"
#include "dimse/scu_internal.h"
#include "dimse/take_internal.h"

enum {
    DRAIN_MS = 10 * 1000, /* a peer that goes on sending after C-CANCEL is left */
    GRACE_MS = 1000,      /* a set flag lets the message that comes be read: C-CANCEL goes out between two */
};

/* The cancel flag with a grace: an instance under way is finished, if it does not take too long. */
typedef struct patience {
    dv_association *a;
    int64_t since_ms; /* the flag was first seen; 0: not yet */
    bool taking;      /* an instance is coming */
} patience;

static bool has_no_patience(void *user)
{
    patience *p = user;

    if (!dv_op_cancelled(p->a))
        return false;
    if (!p->since_ms)
        p->since_ms = dv_mono_ms();
    return dv_mono_ms() - p->since_ms >= (p->taking ? DRAIN_MS : GRACE_MS);
}

/* (0008,0058) of the final answer's identifier. One that cannot be read is as good as none. */
static dv_text failed_uids(const dv_operation *op, dv_arena *arena)
{
    const dv_upper_context *c = dv_upper_context_of(op->a->upper, op->context);
    dv_text bytes = dv_buffer_as_text(&op->a->identifier), none = {0};
    dv_index ix;
    uint32_t node;

    if (!bytes.len || !dv_index_all(&ix, arena, dv_syntax_encoding(dv_text_of(c->syntax)), (const uint8_t *)bytes.at,
                                    bytes.len, NULL))
        return none;
    node = dv_index_find(&ix, DV_TAG(0x0008, 0x0058));
    if (node == DV_NO_NODE || ix.nodes[node].kind != DV_NODE_VALUE)
        return none;
    /* A list over 64 KB is "bulk" to the index; its bytes are here all the same. */
    if (ix.nodes[node].length > bytes.len - ix.nodes[node].offset - ix.nodes[node].head)
        return none;
    return dv_arena_text(
        arena, dv_text_trim((dv_text){bytes.at + ix.nodes[node].offset + ix.nodes[node].head, ix.nodes[node].length}));
}

/* Until the final answer. TAKING (NULL: none may come) is what takes the sub-operations. */
static bool retrieve(dv_operation *op, const dv_taking *taking, dv_arena *arena,
                     void (*progress)(void *user, const dv_move_result *so_far), void *user, dv_move_result *out,
                     dv_error *err)
{
    dv_association *a = op->a;
    const dv_command *c = &a->message.command;
    patience p = {.a = a};
    const dv_upper_cancel patient = {has_no_patience, &p, -1};

    if (taking)
        dv_upper_set_cancel(a->upper, &patient);
    for (;;) {
        if (taking && !op->by_flag && dv_op_cancelled(a)) {
            p.since_ms = dv_mono_ms();
            op->by_flag = true;
            op->wait_ms = DV_CANCEL_MS;
            if (!dv_op_cancel(op, err))
                return false;
        }
        if (!dv_op_listen(op, true, err))
            return false;
        if (taking && c->field == DV_C_STORE_RQ) {
            p.taking = true;
            dv_heard h = dv_take_store(taking, err);
            p.taking = false;
            if (h == DV_HEARD && p.since_ms && dv_mono_ms() - p.since_ms >= DRAIN_MS)
                h = DV_HEARD_TIMEOUT;
            if (h != DV_HEARD)
                return dv_op_unheard(op, h, err);
            continue;
        }
        if (!dv_op_answer(op, err))
            return false;
        *out = (dv_move_result){c->status, c->remaining, c->completed, c->failed, c->warning, {0}, ""};
        dv_text_copy(dv_text_trim(c->comment), out->comment, sizeof out->comment);
        if (!dv_op_pending(c->status)) {
            if (op->by_flag)
                return dv_fail(err, DV_ERR_CANCELLED, "a %s from %s was cancelled", op->name, a->called);
            out->failed_uids = failed_uids(op, arena);
            return true;
        }
        if (progress)
            progress(user, out);
    }
}

bool dv_move(dv_association *a, const char *sop_class, const char *destination, dv_text query, dv_arena *arena,
             void (*progress)(void *user, const dv_move_result *so_far), void *user, dv_move_result *out, dv_error *err)
{
    dv_command_writer w;
    dv_operation op;

    *out = (dv_move_result){.remaining = -1, .completed = -1, .failed = -1, .warning = -1};
    if (!dv_op_begin(&op, a, "C-MOVE", DV_C_MOVE_RQ, dv_text_of(sop_class), (dv_text){0}, err))
        return false;
    dv_op_head(&w, &op, dv_text_of(sop_class));
    dv_command_text(&w, 0x0600, dv_text_of(destination), ' ');
    dv_command_u16(&w, 0x0700, 0);
    dv_command_u16(&w, 0x0800, 1);
    return dv_op_end(&op, dv_op_send(&op, &w, query, err) && retrieve(&op, NULL, arena, progress, user, out, err));
}

bool dv_get(dv_association *a, const char *sop_class, dv_text query, const dv_get_sink *sink, dv_arena *arena,
            void (*progress)(void *user, const dv_move_result *so_far), void *user, dv_move_result *out, dv_error *err)
{
    const dv_taking taking = {a->upper, &a->message, sink->on, sink->caller, a->answer_ms};
    dv_command_writer w;
    dv_operation op;

    *out = (dv_move_result){.remaining = -1, .completed = -1, .failed = -1, .warning = -1};
    if (!dv_op_begin(&op, a, "C-GET", DV_C_GET_RQ, dv_text_of(sop_class), (dv_text){0}, err))
        return false;
    dv_op_head(&w, &op, dv_text_of(sop_class));
    dv_command_u16(&w, 0x0700, 0);
    dv_command_u16(&w, 0x0800, 1);
    return dv_op_end(&op, dv_op_send(&op, &w, query, err) && retrieve(&op, &taking, arena, progress, user, out, err));
}
