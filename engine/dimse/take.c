#include "dimse/take_internal.h"

#include "dimse/commitment.h"

/* One PDU, one write. UIDs go back byte for byte as they came; such as are no UIDs by length are left out. */
static bool answer(const dv_taking *t, uint16_t status, const char *comment)
{
    const dv_command *rq = &t->message->command;
    dv_text none = {0};
    dv_command_writer w;

    dv_command_begin(&w);
    dv_command_text(&w, 0x0002, rq->sop_class.len <= 128 ? rq->sop_class : none, '\0');
    dv_command_u16(&w, 0x0100, rq->field | DV_RESPONSE);
    dv_command_u16(&w, 0x0120, rq->message_id);
    dv_command_u16(&w, 0x0800, DV_NO_DATA_SET);
    dv_command_u16(&w, 0x0900, status);
    if (comment && comment[0])
        dv_command_text(&w, 0x0902, dv_text_of(comment), ' ');
    dv_command_text(&w, 0x1000, rq->sop_instance.len <= 128 ? rq->sop_instance : none, '\0');
    dv_command_end(&w);
    return dv_message_send(t->upper, t->message->context, &w, t->pdu_ms);
}

/* The data set's pieces to INSTANCE's store_data until it says no; the rest, or all without an instance, is dropped. */
static dv_heard take_data(const dv_taking *t, void *instance, dv_error *err)
{
    bool last = false;

    while (!last) {
        dv_text piece;
        dv_heard h = dv_message_data(t->upper, t->message, t->pdu_ms, t->pdu_ms, &piece, &last, err);

        if (h != DV_HEARD)
            return h;
        if (instance && piece.len && !t->on->store_data(instance, piece.at, piece.len))
            instance = NULL; /* store_end gives the answer */
    }
    return DV_HEARD;
}

dv_heard dv_take_refuse(const dv_taking *t, uint16_t status, const char *comment, dv_error *err)
{
    dv_heard h = DV_HEARD;

    if (t->message->command.data_set != DV_NO_DATA_SET)
        h = take_data(t, NULL, err);
    if (h == DV_HEARD && !answer(t, status, comment))
        h = DV_HEARD_END;
    return h;
}

dv_heard dv_take_store(const dv_taking *t, dv_error *err)
{
    const dv_command *c = &t->message->command;
    const dv_upper_context *context = dv_upper_context_of(t->upper, t->message->context);
    dv_store_request rq = {
        .sop_class = dv_text_trim(c->sop_class),
        .sop_instance = dv_text_trim(c->sop_instance),
        .transfer_syntax = dv_text_of(context->syntax),
        .message_id = c->message_id,
        .move_originator = dv_text_trim(c->move_originator),
        .move_message_id = c->move_message_id,
    };
    dv_store_answer said = {0};
    void *instance;
    dv_heard h;

    if (c->data_set == DV_NO_DATA_SET)
        return dv_take_refuse(t, 0xC000, "a C-STORE without a data set", err);
    if (strcmp(context->sop_class, DV_SOP_VERIFICATION) == 0 || strcmp(context->sop_class, DV_SOP_COMMITMENT) == 0)
        return dv_take_refuse(t, DV_STATUS_CLASS_NOT_SUPPORTED, "the presentation context is for no storage", err);
    instance = t->on->store_begin(t->on->user, t->caller, &rq, &said);
    h = take_data(t, instance, err);
    if (h != DV_HEARD) {
        if (instance)
            t->on->store_lost(instance);
        return h;
    }
    if (instance)
        t->on->store_end(instance, &said);
    said.comment[sizeof said.comment - 1] = '\0';
    return answer(t, said.status, said.comment) ? DV_HEARD : DV_HEARD_END;
}
