/* scu.c: the DICOM client.
 *
 * 1. `dirty` is set when an operation ends without its final answer: what comes next on that association could be the
 *    old one's. It can then only be aborted.
 * 2. One operation at a time (the asynchronous window is 1). */
#include "dimse/scu.h"

#include "base/limits.h"
#include "dicom/index.h"
#include "dimse/connect_internal.h"
#include "dimse/scp.h"
#include "dimse/scu_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    CONNECT_MS = 10 * 1000,
    ANSWER_MS = 60 * 1000,
    RELEASE_MS = 5000,
    MAX_IDENTIFIER = 16 * 1024 * 1024, /* the failed UIDs of a C-MOVE of 250,000 instances */
};

bool dv_op_cancelled(void *user)
{
    const dv_association *a = user;

    return a->cancel && atomic_load_explicit(a->cancel, memory_order_relaxed);
}

/* ---- association ---- */

static bool rejected(const dv_association *a, const dv_upper_rejection *r, dv_error *err)
{
    const char *at = a->host, *who = a->called, *me = a->calling;
    unsigned port = a->port;

    switch (r->source << 8 | r->reason) {
    case 0x0103:
        return dv_fail(err, DV_ERR_REJECTED,
                       "%s (%s:%u) rejects the association: it does not know the calling AE title %s. Its "
                       "administrator must register AE "
                       "title %s with this machine's address and our DICOM port",
                       who, at, port, me, me);
    case 0x0107:
        return dv_fail(err, DV_ERR_REJECTED,
                       "%s:%u rejects the association: it is not called %s. Correct the peer's AE title (ask its "
                       "administrator for the right one)",
                       at, port, who);
    case 0x0102:
        return dv_fail(err, DV_ERR_REJECTED,
                       "%s (%s:%u) rejects the association: it does not support the DICOM application context", who, at,
                       port);
    case 0x0202:
        return dv_fail(err, DV_ERR_REJECTED,
                       "%s (%s:%u) rejects the association: it does not support the DICOM protocol version", who, at,
                       port);
    case 0x0301:
    case 0x0302:
        return dv_fail(
            err, DV_ERR_BUSY,
            "%s (%s:%u) rejects the association: %s. Use fewer associations to it at once, or try again later", who, at,
            port, r->reason == 1 ? "it is congested" : "its limit of associations is reached");
    default:
        return dv_fail(err, r->result == 2 ? DV_ERR_BUSY : DV_ERR_REJECTED,
                       "%s (%s:%u) rejects the association %s, without a reason. Its log says why; often the AE titles "
                       "%s (ours) and %s (its) "
                       "or our address are not registered there",
                       who, at, port, r->result == 2 ? "for now" : "for good", me, who);
    }
}

static bool no_association(const dv_association *a, dv_upper_end end, const char *why, dv_error *err)
{
    switch (end) {
    case DV_UPPER_TIMEOUT:
        return dv_fail(err, DV_ERR_TIMEOUT,
                       "%s (%s:%u) did not answer the association request within %.1f s; is that a DICOM port?",
                       a->called, a->host, a->port, a->answer_ms / 1000.0);
    case DV_UPPER_CANCELLED:
        return dv_fail(err, DV_ERR_CANCELLED, "cancelled while %s:%u considered the association", a->host, a->port);
    case DV_UPPER_ABORTED:
        return dv_fail(err, DV_ERR_ABORTED, "%s (%s:%u) aborted the association request", a->called, a->host, a->port);
    case DV_UPPER_CLOSED:
        return dv_fail(
            err, DV_ERR_NETWORK,
            "%s:%u closed the connection instead of answering the association request; is that a DICOM port?", a->host,
            a->port);
    default:
        return dv_fail(err, DV_ERR_NETWORK, "no association with %s (%s:%u): %s", a->called, a->host, a->port, why);
    }
}

static bool check_target(const dv_target *to, size_t count, dv_error *err)
{
    size_t calling = strlen(to->calling), called = strlen(to->called);

    if (calling == 0 || calling > 16 || called == 0 || called > 16)
        return dv_fail(err, DV_ERR_VALUE, "AE titles have 1 to 16 characters: calling \"%s\", called \"%s\"",
                       to->calling, to->called);
    if (count == 0 || count > DV_MAX_CONTEXTS)
        return dv_fail(err, DV_ERR_LIMIT, "%zu presentation contexts; an association carries 1 to %d", count,
                       DV_MAX_CONTEXTS);
    if (strlen(to->host) > 255 || to->port == 0)
        return dv_fail(err, DV_ERR_VALUE, "\"%.80s\", port %u is no address of a peer", to->host, to->port);
    return true;
}

static dv_upper *request(dv_association *a, int fd, const dv_target *to, const dv_context_offer *offers, size_t count,
                         dv_error *err)
{
    static const char *const plain[] = {DV_UID_EXPLICIT_LE, DV_UID_IMPLICIT_LE};
    dv_upper_offer list[DV_MAX_CONTEXTS];
    dv_upper_cancel cancel = {dv_op_cancelled, a, -1};
    dv_upper_rejection rejection;
    dv_upper_end end;
    char why[400];
    uint32_t pdu = to->max_pdu ? to->max_pdu : DV_MAX_PDU;
    dv_upper *u;

    for (size_t i = 0; i < count; i++) {
        list[i] = (dv_upper_offer){offers[i].sop_class, offers[i].syntaxes, 0, offers[i].role};
        while (list[i].count < 16 && offers[i].syntaxes[list[i].count])
            list[i].count++;
        if (list[i].count == 0) {
            list[i].syntaxes = plain;
            list[i].count = 2;
        }
    }
    pdu = pdu > DV_MAX_PDU ? DV_MAX_PDU : pdu < 4096 ? 4096 : pdu;
    u = dv_upper_request(fd, to->tls, a->host, a->calling, a->called, list, count, pdu, a->answer_ms, &cancel,
                         &rejection, &end, why, sizeof why);
    if (!u && rejection.result)
        rejected(a, &rejection, err);
    else if (!u)
        no_association(a, end, why, err);
    return u;
}

/* Which it was decides who can help: an abstract syntax is a service that is off, a transfer syntax is a codec. */
static void no_service(const dv_association *a, const dv_context_offer *offers, size_t count, dv_error *err)
{
    size_t by_syntax = 0, by_class = 0;

    for (size_t i = 0; i < count; i++) {
        by_class += dv_upper_result(a->upper, i) == 3;
        by_syntax += dv_upper_result(a->upper, i) == 4;
    }
    dv_fail(
        err, DV_ERR_UNSUPPORTED,
        "%s (%s:%u) takes the association but none of the %zu services offered (first %s): %s; its administrator must "
        "enable them for AE title %s",
        a->called, a->host, a->port, count, offers[0].sop_class,
        by_class == count    ? "it does not support the class (abstract syntax)"
        : by_syntax == count ? "it supports the class, but none of the transfer syntaxes offered"
        : by_syntax          ? "it supports some classes, but none of the transfer syntaxes offered for them"
                             : "it refuses them without a reason",
        a->calling);
}

dv_association *dv_associate(const dv_target *to, const dv_context_offer *offers, size_t count, dv_error *err)
{
    dv_association *a;
    size_t accepted;
    int fd;

    if (!dv_dimse_setup(err) || !check_target(to, count, err))
        return NULL;
    a = calloc(1, sizeof *a);
    if (!a) {
        dv_fail(err, DV_ERR_MEMORY, "no memory for an association");
        return NULL;
    }
    dv_text_copy(dv_text_of(to->host), a->host, sizeof a->host);
    dv_text_copy(dv_text_of(to->calling), a->calling, sizeof a->calling);
    dv_text_copy(dv_text_of(to->called), a->called, sizeof a->called);
    a->port = to->port;
    a->answer_ms = to->answer_ms ? to->answer_ms : ANSWER_MS;
    a->cancel = to->cancel;
    a->next_id = 1;
    fd = dv_connect(to->host, to->port, to->connect_ms ? to->connect_ms : CONNECT_MS, to->cancel, err);
    if (fd >= 0)
        a->upper = request(a, fd, to, offers, count, err);
    if (!a->upper) {
        free(a);
        return NULL;
    }
    dv_upper_contexts(a->upper, &accepted);
    if (accepted == 0 && !to->keep_empty) {
        no_service(a, offers, count, err);
        dv_release(a);
        return NULL;
    }
    return a;
}

static const dv_upper_context *context_for(const dv_association *a, dv_text sop_class, dv_text syntax)
{
    size_t count;
    const dv_upper_context *c = dv_upper_contexts(a->upper, &count);

    for (size_t i = 0; i < count; i++)
        if (dv_text_is(sop_class, c[i].sop_class) && (!syntax.at || dv_text_is(syntax, c[i].syntax)))
            return &c[i];
    return NULL;
}

dv_text dv_accepted_syntax(const dv_association *a, const char *sop_class)
{
    const dv_upper_context *c = context_for(a, dv_text_of(sop_class), (dv_text){0});

    return dv_text_of(c ? c->syntax : NULL);
}

uint8_t dv_offer_result(const dv_association *a, size_t index)
{
    return dv_upper_result(a->upper, index);
}

void dv_association_facts(const dv_association *a, dv_peer_facts *out)
{
    dv_upper_facts facts = dv_upper_peer(a->upper);

    dv_text_copy(dv_text_of(facts.implementation_uid), out->implementation_uid, sizeof out->implementation_uid);
    dv_text_copy(dv_text_of(facts.implementation), out->implementation, sizeof out->implementation);
    out->max_pdu = facts.max_pdu;
    out->sent = (uint32_t)dv_upper_room(a->upper) + 12;
}

bool dv_association_is_alive(dv_association *a)
{
    return !a->dirty && !dv_upper_readable(a->upper);
}

void dv_association_lend(dv_association *a, int answer_ms, const atomic_bool *cancel)
{
    a->answer_ms = answer_ms ? answer_ms : ANSWER_MS;
    a->cancel = cancel;
}

size_t dv_may_receive(const dv_association *a)
{
    size_t count, n = 0;
    const dv_upper_context *c = dv_upper_contexts(a->upper, &count);

    for (size_t i = 0; i < count; i++)
        n += c[i].provider;
    return n;
}

static void dispose(dv_association *a, bool release)
{
    if (!a)
        return;
    dv_upper_close(a->upper, release && !a->dirty, RELEASE_MS);
    dv_message_free(&a->message);
    dv_buffer_free(&a->identifier);
    free(a->piece[0]);
    free(a->piece[1]);
    free(a);
}

void dv_release(dv_association *a)
{
    dispose(a, true);
}

void dv_abort(dv_association *a)
{
    dispose(a, false);
}

uint16_t dv_next_message_id(const dv_association *a)
{
    return a->next_id;
}

/* ---- one operation ---- */

bool dv_op_lost(dv_operation *op, dv_error *err)
{
    dv_association *a = op->a;

    a->dirty = true;
    switch (dv_upper_ended(a->upper)) {
    case DV_UPPER_RELEASED:
        return dv_fail(err, DV_ERR_ABORTED, "%s (%s:%u) released the association in the middle of a %s", a->called,
                       a->host, a->port, op->name);
    case DV_UPPER_ABORTED:
        return dv_fail(err, DV_ERR_ABORTED, "%s (%s:%u) aborted the association in the middle of a %s", a->called,
                       a->host, a->port, op->name);
    case DV_UPPER_TIMEOUT:
        return dv_fail(err, DV_ERR_TIMEOUT, "%s (%s:%u) stopped for %.1f s in the middle of a PDU of a %s", a->called,
                       a->host, a->port, a->answer_ms / 1000.0, op->name);
    case DV_UPPER_CANCELLED:
        return dv_fail(err, DV_ERR_CANCELLED, "a %s to %s was cancelled", op->name, a->called);
    default:
        return dv_fail(err, DV_ERR_NETWORK, "the connection to %s (%s:%u) was lost in the middle of a %s: %s",
                       a->called, a->host, a->port, op->name, dv_upper_why(a->upper));
    }
}

bool dv_op_begin(dv_operation *op, dv_association *a, const char *name, uint16_t field, dv_text sop_class,
                 dv_text syntax, dv_error *err)
{
    const dv_upper_context *c = context_for(a, sop_class, syntax);

    if (a->dirty)
        return dv_fail(err, DV_ERR_ABORTED, "the association with %s ended in an earlier operation", a->called);
    if (!c)
        return dv_fail(err, DV_ERR_UNSUPPORTED,
                       "%s (%s:%u) accepted no presentation context for %s of class %.*s%s%.*s", a->called, a->host,
                       a->port, name, DV_ARG(sop_class), syntax.at ? " in transfer syntax " : "", DV_ARG(syntax));
    *op = (dv_operation){
        .a = a, .name = name, .field = field, .id = a->next_id, .context = c->id, .wait_ms = a->answer_ms};
    a->next_id = a->next_id == UINT16_MAX ? 1 : (uint16_t)(a->next_id + 1);
    return true;
}

void dv_op_head(dv_command_writer *w, const dv_operation *op, dv_text sop_class)
{
    dv_command_begin(w);
    dv_command_text(w, 0x0002, sop_class, '\0');
    dv_command_u16(w, 0x0100, op->field);
    dv_command_u16(w, 0x0110, op->id);
}

bool dv_op_send(dv_operation *op, dv_command_writer *w, dv_text identifier, dv_error *err)
{
    dv_association *a = op->a;

    dv_command_end(w);
    if (w->full)
        return dv_fail(err, DV_ERR_LIMIT, "the request for a %s does not fit in a command", op->name);
    if (!dv_message_send(a->upper, op->context, w, a->answer_ms))
        return dv_op_lost(op, err);
    if (identifier.at &&
        !dv_upper_send(a->upper, op->context, false, identifier.at, identifier.len, true, a->answer_ms))
        return dv_op_lost(op, err);
    return true;
}

bool dv_op_cancel(dv_operation *op, dv_error *err)
{
    dv_command_writer w;

    op->cancelling = true;
    dv_command_begin(&w);
    dv_command_u16(&w, 0x0100, DV_C_CANCEL_RQ);
    dv_command_u16(&w, 0x0120, op->id);
    dv_command_u16(&w, 0x0800, DV_NO_DATA_SET);
    dv_command_end(&w);
    return dv_message_send(op->a->upper, op->context, &w, op->a->answer_ms) || dv_op_lost(op, err);
}

bool dv_op_unheard(dv_operation *op, dv_heard h, dv_error *err)
{
    dv_association *a = op->a;

    a->dirty = true;
    switch (h) {
    case DV_HEARD_TIMEOUT:
        if (op->by_flag)
            return dv_fail(err, DV_ERR_CANCELLED, "a %s to %s was cancelled; the peer did not confirm it", op->name,
                           a->called);
        return dv_fail(err, DV_ERR_TIMEOUT, "%s (%s:%u) did not answer a %s within %.1f s", a->called, a->host, a->port,
                       op->name, op->wait_ms / 1000.0);
    case DV_HEARD_CANCELLED:
        return dv_fail(err, DV_ERR_CANCELLED, "a %s to %s was cancelled", op->name, a->called);
    case DV_HEARD_MALFORMED:
        return dv_error_context(err, "%s (%s:%u) answered a %s with nonsense", a->called, a->host, a->port, op->name);
    default:
        return dv_op_lost(op, err);
    }
}

bool dv_op_listen(dv_operation *op, bool can_cancel, dv_error *err)
{
    dv_association *a = op->a;
    dv_heard h = dv_message_read(a->upper, &a->message, op->wait_ms, a->answer_ms, err);

    if (h == DV_HEARD_CANCELLED && can_cancel && dv_upper_ended(a->upper) == DV_UPPER_OK) {
        dv_upper_set_cancel(a->upper, NULL);
        op->by_flag = true;
        op->wait_ms = DV_CANCEL_MS;
        if (!op->cancelling && !dv_op_cancel(op, err))
            return false;
        h = dv_message_read(a->upper, &a->message, op->wait_ms, a->answer_ms, err);
    }
    return h == DV_HEARD || dv_op_unheard(op, h, err);
}

bool dv_op_answer(dv_operation *op, dv_error *err)
{
    dv_association *a = op->a;
    const dv_command *c = &a->message.command;
    dv_heard h;

    if (c->field != (op->field | DV_RESPONSE) || c->answers != op->id || a->message.context != op->context ||
        !c->has_status) {
        a->dirty = true;
        return dv_fail(err, DV_ERR_MALFORMED, "%s (%s:%u) answered a %s (message %u) with command %04x for message %u",
                       a->called, a->host, a->port, op->name, op->id, c->field, c->answers);
    }
    dv_buffer_clear(&a->identifier);
    if (c->data_set == DV_NO_DATA_SET)
        return true;
    h = dv_message_collect(a->upper, &a->message, a->answer_ms, a->answer_ms, MAX_IDENTIFIER, &a->identifier, err);
    return h == DV_HEARD || dv_op_unheard(op, h, err);
}

bool dv_op_hear(dv_operation *op, bool can_cancel, dv_error *err)
{
    return dv_op_listen(op, can_cancel, err) && dv_op_answer(op, err);
}

bool dv_op_end(dv_operation *op, bool worked)
{
    dv_upper_cancel cancel = {dv_op_cancelled, op->a, -1};

    dv_upper_set_cancel(op->a->upper, &cancel);
    return worked;
}

bool dv_op_pending(uint16_t status)
{
    return status == DV_STATUS_PENDING || status == DV_STATUS_PENDING_WARNING;
}

static const char *status_text(uint16_t status)
{
    switch (status) {
    case 0x0110:
        return "processing failure";
    case 0x0118:
        return "no such SOP class";
    case 0x0122:
        return "SOP class not supported";
    case 0x0124:
        return "not authorized";
    case 0x0211:
        return "operation not supported";
    case 0xA700:
        return "out of resources";
    case 0xA701:
        return "out of resources: cannot count the matches";
    case 0xA702:
        return "out of resources: cannot perform sub-operations";
    case 0xA801:
        return "move destination unknown: its administrator must register our AE title with address and port";
    case 0xFE00:
        return "cancelled";
    default:
        break;
    }
    if ((status & 0xFF00) == 0xA900)
        return "the identifier or data set does not fit the SOP class";
    return (status & 0xF000) == 0xC000 ? "unable to process" : "failure";
}

static bool refused(const dv_operation *op, dv_error *err)
{
    const dv_association *a = op->a;
    uint16_t status = a->message.command.status;
    dv_text comment = dv_text_trim(a->message.command.comment);

    return dv_fail(err, DV_ERR_PEER, "%s (%s:%u) answered a %s with status %04X (%s)%s%.*s", a->called, a->host,
                   a->port, op->name, status, status_text(status), comment.len ? ": " : "", DV_ARG(comment));
}

bool dv_echo(dv_association *a, dv_error *err)
{
    dv_text sop_class = DV_TEXT(DV_SOP_VERIFICATION);
    dv_command_writer w;
    dv_operation op;

    if (!dv_op_begin(&op, a, "C-ECHO", DV_C_ECHO_RQ, sop_class, (dv_text){0}, err))
        return false;
    dv_op_head(&w, &op, sop_class);
    dv_command_u16(&w, 0x0800, DV_NO_DATA_SET);
    if (!dv_op_send(&op, &w, (dv_text){0}, err) || !dv_op_hear(&op, false, err))
        return false;
    return a->message.command.status == DV_STATUS_SUCCESS || refused(&op, err);
}

static bool find(dv_operation *op, bool (*each)(void *user, dv_text identifier), void *user, dv_error *err)
{
    dv_association *a = op->a;

    for (;;) {
        uint16_t status;

        if (!dv_op_hear(op, true, err))
            return false;
        status = a->message.command.status;
        if (!dv_op_pending(status)) {
            if (op->by_flag)
                return dv_fail(err, DV_ERR_CANCELLED, "a %s to %s was cancelled", op->name, a->called);
            return status == DV_STATUS_SUCCESS || (op->cancelling && status == DV_STATUS_CANCEL) || refused(op, err);
        }
        if (op->cancelling || a->message.command.data_set == DV_NO_DATA_SET)
            continue;
        if (!each(user, dv_buffer_as_text(&a->identifier)) && !dv_op_cancel(op, err))
            return false;
    }
}

bool dv_find(dv_association *a, const char *sop_class, dv_text query, bool (*each)(void *user, dv_text identifier),
             void *user, dv_error *err)
{
    dv_command_writer w;
    dv_operation op;

    if (!dv_op_begin(&op, a, "C-FIND", DV_C_FIND_RQ, dv_text_of(sop_class), (dv_text){0}, err))
        return false;
    dv_op_head(&w, &op, dv_text_of(sop_class));
    dv_command_u16(&w, 0x0700, 0);
    dv_command_u16(&w, 0x0800, 1);
    return dv_op_end(&op, dv_op_send(&op, &w, query, err) && find(&op, each, user, err));
}
