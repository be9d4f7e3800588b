/* commitment_scu.c: asking and reporting over an association that we opened. */
#include "dimse/commitment.h"
#include "dimse/scu_internal.h"

/* The data set of C in the syntax of OP's context, into the association's buffer. */
static bool encode(dv_operation *op, const dv_commitment *c, bool report, dv_error *err)
{
    const dv_upper_context *context = dv_upper_context_of(op->a->upper, op->context);

    dv_buffer_clear(&op->a->identifier);
    return dv_commitment_write(c, report, dv_text_of(context->syntax), &op->a->identifier, err);
}

/* A report has begun: takes it and answers. */
static bool take_report(dv_association *a, uint16_t (*take)(void *user, const dv_commitment *report), void *user,
                        dv_error *err)
{
    const dv_command rq = a->message.command;
    const dv_upper_context *context = dv_upper_context_of(a->upper, a->message.context);
    uint16_t status = DV_STATUS_INVALID_VALUE;
    dv_command_writer w;
    dv_commitment report;
    dv_error why = {0};
    dv_arena arena;

    dv_buffer_clear(&a->identifier);
    if (rq.data_set != DV_NO_DATA_SET && dv_message_collect(a->upper, &a->message, a->answer_ms, a->answer_ms,
                                                            DV_MAX_COMMIT_BYTES, &a->identifier, err) != DV_HEARD) {
        a->dirty = true;
        return err->code ? false : dv_fail(err, DV_ERR_NETWORK, "the report of %s broke off", a->called);
    }
    dv_arena_init(&arena, 0);
    if (dv_commitment_read(dv_buffer_as_text(&a->identifier), dv_text_of(context->syntax), &arena, &report, &why))
        status = take(user, &report);
    dv_arena_free(&arena);
    dv_command_begin(&w);
    dv_command_text(&w, 0x0002, DV_TEXT(DV_SOP_COMMITMENT), '\0');
    dv_command_u16(&w, 0x0100, DV_N_EVENT_REPORT_RQ | DV_RESPONSE);
    dv_command_u16(&w, 0x0120, rq.message_id);
    dv_command_u16(&w, 0x0800, DV_NO_DATA_SET);
    dv_command_u16(&w, 0x0900, status);
    dv_command_text(&w, 0x1000, DV_TEXT(DV_SOP_COMMITMENT_INSTANCE), '\0');
    dv_command_u16(&w, 0x1002, rq.type);
    dv_command_end(&w);
    if (!dv_message_send(a->upper, a->message.context, &w, a->answer_ms)) {
        a->dirty = true;
        return dv_fail(err, DV_ERR_NETWORK, "%s (%s:%u) was lost while its report was answered", a->called, a->host,
                       a->port);
    }
    return true;
}

static bool answered(dv_operation *op, dv_error *err)
{
    const dv_association *a = op->a;
    uint16_t status = a->message.command.status;
    dv_text comment = dv_text_trim(a->message.command.comment);

    /* 0x0107, 0x0116, 0x0000: done, perhaps with a remark (PS3.7 C.4, C.5) */
    return status == DV_STATUS_SUCCESS || status == 0x0107 || status == 0x0116 ||
           dv_fail(err, DV_ERR_PEER, "%s (%s:%u) answered the %s of a storage commitment with status %04X (%s)%s%.*s",
                   a->called, a->host, a->port, op->name, status, dv_commit_reason(status), comment.len ? ": " : "",
                   DV_ARG(comment));
}

bool dv_commitment_ask(dv_association *a, const dv_commitment *c,
                       uint16_t (*take)(void *user, const dv_commitment *report), void *user, bool *came, dv_error *err)
{
    dv_command_writer w;
    dv_operation op;

    *came = false;
    if (!dv_op_begin(&op, a, "N-ACTION", DV_N_ACTION_RQ, DV_TEXT(DV_SOP_COMMITMENT), (dv_text){0}, err) ||
        !encode(&op, c, false, err))
        return false;
    dv_command_begin(&w);
    dv_command_text(&w, 0x0003, DV_TEXT(DV_SOP_COMMITMENT), '\0');
    dv_command_u16(&w, 0x0100, op.field);
    dv_command_u16(&w, 0x0110, op.id);
    dv_command_u16(&w, 0x0800, 1);
    dv_command_text(&w, 0x1001, DV_TEXT(DV_SOP_COMMITMENT_INSTANCE), '\0');
    dv_command_u16(&w, 0x1008, 1);
    if (!dv_op_send(&op, &w, dv_buffer_as_text(&a->identifier), err))
        return false;
    for (;;) {
        if (!dv_op_listen(&op, false, err))
            return false;
        if (a->message.command.field != DV_N_EVENT_REPORT_RQ)
            break;
        if (!take_report(a, take, user, err)) /* before it has answered the request: some are that quick */
            return false;
        *came = true;
    }
    return dv_op_answer(&op, err) && answered(&op, err);
}

bool dv_commitment_await(dv_association *a, int ms, uint16_t (*take)(void *user, const dv_commitment *report),
                         void *user, bool *came, dv_error *err)
{
    *came = false;
    switch (dv_message_read(a->upper, &a->message, ms, a->answer_ms, err)) {
    case DV_HEARD:
        break;
    case DV_HEARD_TIMEOUT:
        return !err->code;
    case DV_HEARD_CANCELLED:
        return dv_fail(err, DV_ERR_CANCELLED, "waiting for the report of %s was cancelled", a->called);
    case DV_HEARD_END: /* it has released: the report comes by an association of its own */
        a->dirty = dv_upper_ended(a->upper) != DV_UPPER_RELEASED;
        return true;
    case DV_HEARD_MALFORMED:
    default:
        a->dirty = true;
        return false;
    }
    if (a->message.command.field != DV_N_EVENT_REPORT_RQ) {
        a->dirty = true;
        return dv_fail(err, DV_ERR_MALFORMED, "%s (%s:%u) sent command %04x where a report was due", a->called, a->host,
                       a->port, a->message.command.field);
    }
    *came = take_report(a, take, user, err);
    return *came;
}

bool dv_commitment_report(dv_association *a, const dv_commitment *report, dv_error *err)
{
    dv_command_writer w;
    dv_operation op;
    bool failed = false;

    for (size_t i = 0; i < report->count; i++)
        failed |= report->references[i].reason != DV_COMMITTED;
    if (!dv_op_begin(&op, a, "N-EVENT-REPORT", DV_N_EVENT_REPORT_RQ, DV_TEXT(DV_SOP_COMMITMENT), (dv_text){0}, err) ||
        !encode(&op, report, true, err))
        return false;
    dv_op_head(&w, &op, DV_TEXT(DV_SOP_COMMITMENT));
    dv_command_u16(&w, 0x0800, 1);
    dv_command_text(&w, 0x1000, DV_TEXT(DV_SOP_COMMITMENT_INSTANCE), '\0');
    dv_command_u16(&w, 0x1002, failed ? 2 : 1);
    return dv_op_send(&op, &w, dv_buffer_as_text(&a->identifier), err) && dv_op_hear(&op, false, err) &&
           answered(&op, err);
}
