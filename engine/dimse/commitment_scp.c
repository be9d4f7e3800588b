#include "dimse/commitment_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "dicom/syntax.h"

enum { SLICE_MS = 100 };

bool dv_commitment_wanted(const dv_scp_callbacks *on, const char *syntax)
{
    return on->commit &&
           (!syntax || strcmp(syntax, DV_UID_IMPLICIT_LE) == 0 || strcmp(syntax, DV_UID_EXPLICIT_LE) == 0);
}

static dv_heard answer(const dv_taking *t, uint16_t status, const char *comment)
{
    const dv_command *rq = &t->message->command;
    dv_command_writer w;

    dv_command_begin(&w);
    dv_command_text(&w, 0x0002, rq->sop_class.len <= 128 ? rq->sop_class : (dv_text){0}, '\0');
    dv_command_u16(&w, 0x0100, rq->field | DV_RESPONSE);
    dv_command_u16(&w, 0x0120, rq->message_id);
    dv_command_u16(&w, 0x0800, DV_NO_DATA_SET);
    dv_command_u16(&w, 0x0900, status);
    if (comment[0]) {
        dv_text text = dv_text_of(comment);

        text.len = text.len > 64 ? 64 : text.len;
        dv_command_text(&w, 0x0902, text, ' ');
    }
    dv_command_text(&w, 0x1000, rq->sop_instance.len <= 128 ? rq->sop_instance : (dv_text){0}, '\0');
    dv_command_u16(&w, rq->field == DV_N_ACTION_RQ ? 0x1008 : 0x1002, rq->type);
    dv_command_end(&w);
    return dv_message_send(t->upper, t->message->context, &w, t->pdu_ms) ? DV_HEARD : DV_HEARD_END;
}

/* What is asked or told in C, which came with the request. The status for the answer. */
static uint16_t understood(const dv_taking *t, dv_commit_visit *v, const dv_commitment *c)
{
    const dv_command *rq = &t->message->command;
    bool here = false;
    uint16_t status;

    if (rq->field == DV_N_EVENT_REPORT_RQ)
        return t->on->commit->told(t->on->user, t->caller, c);
    status = t->on->commit->asked(t->on->user, t->caller, c, &here);
    if (status == DV_STATUS_SUCCESS && here) {
        v->waiting++;
        v->context = t->message->context;
    }
    return status;
}

static dv_heard take_request(const dv_taking *t, dv_commit_visit *v, dv_error *err)
{
    const dv_command *rq = &t->message->command;
    const dv_upper_context *context = dv_upper_context_of(t->upper, t->message->context);
    bool action = rq->field == DV_N_ACTION_RQ;
    uint16_t status = DV_STATUS_SUCCESS;
    dv_error why = {0};
    dv_buffer bytes = {0};
    dv_commitment c;
    dv_arena arena;
    dv_heard h = DV_HEARD;

    if (strcmp(context->sop_class, DV_SOP_COMMITMENT) != 0)
        return dv_take_refuse(t, DV_STATUS_UNRECOGNIZED, "the presentation context knows no such operation", err);
    if (rq->data_set != DV_NO_DATA_SET)
        h = dv_message_collect(t->upper, t->message, t->pdu_ms, t->pdu_ms, DV_MAX_COMMIT_BYTES, &bytes, err);
    if (h != DV_HEARD) {
        dv_buffer_free(&bytes);
        return h;
    }
    dv_arena_init(&arena, 0);
    if (!dv_text_is(dv_text_trim(rq->sop_class), DV_SOP_COMMITMENT))
        status = DV_STATUS_NO_SUCH_CLASS;
    else if (!dv_text_is(dv_text_trim(rq->sop_instance), DV_SOP_COMMITMENT_INSTANCE))
        status = DV_STATUS_NO_SUCH_INSTANCE;
    else if (action && rq->type != 1)
        status = DV_STATUS_NO_SUCH_ACTION;
    else if (!action && rq->type != 1 && rq->type != 2)
        status = DV_STATUS_NO_SUCH_EVENT;
    else if (!dv_commitment_read(dv_buffer_as_text(&bytes), dv_text_of(context->syntax), &arena, &c, &why))
        status = DV_STATUS_INVALID_VALUE;
    else
        status = understood(t, v, &c);
    dv_arena_free(&arena);
    dv_buffer_free(&bytes);
    if (status != DV_STATUS_SUCCESS)
        dv_warn("scp", "%s (%s): %s of a storage commitment answered %04X%s%s", t->caller->calling, t->caller->address,
                action ? "request" : "report", status, why.message[0] ? ": " : "", why.message);
    return answer(t, status, why.message);
}

dv_heard dv_commitment_heard(const dv_taking *t, dv_commit_visit *v, dv_error *err)
{
    const dv_command *c = &t->message->command;
    uint16_t status = c->status;

    if (!t->on->commit)
        return dv_take_refuse(t, DV_STATUS_UNRECOGNIZED, "operation not supported", err);
    if (!(c->field & DV_RESPONSE))
        return take_request(t, v, err);
    if (!v->sent || c->answers != v->last_id) {
        dv_fail(err, DV_ERR_MALFORMED, "an answer (%04x) for message %u came, and we had asked nothing", c->field,
                c->answers);
        return DV_HEARD_MALFORMED;
    }
    if (c->data_set != DV_NO_DATA_SET) { /* Event Reply: it may have one, of no use to us */
        dv_buffer reply = {0};
        dv_heard h = dv_message_collect(t->upper, t->message, t->pdu_ms, t->pdu_ms, DV_MAX_COMMIT_BYTES, &reply, err);

        dv_buffer_free(&reply);
        if (h != DV_HEARD)
            return h;
    }
    v->sent = false;
    v->waiting--;
    t->on->commit->delivered(t->on->user, t->caller, v->id, status);
    return DV_HEARD;
}

static bool send_report(const dv_taking *t, dv_commit_visit *v, const dv_commitment *report, dv_error *err)
{
    const dv_upper_context *context = dv_upper_context_of(t->upper, v->context);
    dv_command_writer w;
    dv_buffer bytes = {0};
    bool failed = false, ok = dv_commitment_write(report, true, dv_text_of(context->syntax), &bytes, err);

    for (size_t i = 0; i < report->count; i++)
        failed |= report->references[i].reason != DV_COMMITTED;
    v->last_id = (uint16_t)(v->last_id % UINT16_MAX + 1);
    dv_command_begin(&w);
    dv_command_text(&w, 0x0002, DV_TEXT(DV_SOP_COMMITMENT), '\0');
    dv_command_u16(&w, 0x0100, DV_N_EVENT_REPORT_RQ);
    dv_command_u16(&w, 0x0110, v->last_id);
    dv_command_u16(&w, 0x0800, 1);
    dv_command_text(&w, 0x1000, DV_TEXT(DV_SOP_COMMITMENT_INSTANCE), '\0');
    dv_command_u16(&w, 0x1002, failed ? 2 : 1);
    dv_command_end(&w);
    ok = ok && dv_message_send(t->upper, v->context, &w, t->pdu_ms) &&
         dv_upper_send(t->upper, v->context, false, bytes.at, bytes.len, true, t->pdu_ms);
    dv_buffer_free(&bytes);
    v->sent = ok;
    return ok;
}

dv_heard dv_commitment_listen(const dv_taking *t, dv_message *m, dv_commit_visit *v, int idle_ms, dv_error *err)
{
    int64_t until = dv_mono_ms() + idle_ms;
    dv_heard h = DV_HEARD_TIMEOUT;

    while (h == DV_HEARD_TIMEOUT && !err->code && v->waiting > 0) {
        int64_t rest = until - dv_mono_ms();

        if (rest <= 0)
            return h;
        if (!v->sent) {
            dv_commitment report;
            dv_arena arena;
            bool ok = true;

            dv_arena_init(&arena, 0);
            if (t->on->commit->due(t->on->user, t->caller, &arena, &report, &v->id))
                ok = send_report(t, v, &report, err);
            dv_arena_free(&arena);
            if (!ok)
                return DV_HEARD_END;
        }
        h = dv_message_read(t->upper, m, rest < SLICE_MS ? (int)rest : SLICE_MS, t->pdu_ms, err);
    }
    return v->waiting > 0 ? h : dv_message_read(t->upper, m, idle_ms, t->pdu_ms, err);
}
