#include "dimse/message_internal.h"

#include "base/limits.h"

static dv_heard heard(const dv_upper *u, dv_upper_end end, bool begun, dv_error *err)
{
    if (dv_upper_ended(u) != DV_UPPER_OK)
        return DV_HEARD_END;
    if (end == DV_UPPER_CANCELLED)
        return DV_HEARD_CANCELLED;
    if (begun)
        dv_fail(err, DV_ERR_TIMEOUT, "the peer stopped in the middle of a message");
    return DV_HEARD_TIMEOUT;
}

dv_heard dv_message_read(dv_upper *u, dv_message *m, int wait_ms, int pdu_ms, dv_error *err)
{
    bool begun = false;

    dv_buffer_clear(&m->bytes);
    for (;;) {
        dv_pdv pdv;
        dv_upper_end end = dv_upper_next(u, begun ? pdu_ms : wait_ms, pdu_ms, &pdv);

        if (end != DV_UPPER_OK)
            return heard(u, end, begun, err);
        if (!pdv.command) {
            dv_fail(err, DV_ERR_MALFORMED, "data came where a command was due (presentation context %u)", pdv.context);
            return DV_HEARD_MALFORMED;
        }
        if (begun && pdv.context != m->context) {
            dv_fail(err, DV_ERR_MALFORMED, "a command began in presentation context %u and went on in %u", m->context,
                    pdv.context);
            return DV_HEARD_MALFORMED;
        }
        m->context = pdv.context;
        begun = true;
        if (pdv.len > DV_MAX_COMMAND - m->bytes.len) {
            dv_fail(err, DV_ERR_LIMIT, "a command set over %d bytes", DV_MAX_COMMAND);
            return DV_HEARD_MALFORMED;
        }
        if (!dv_buffer_add(&m->bytes, pdv.at, pdv.len)) {
            dv_fail(err, DV_ERR_MEMORY, "no memory for a command set");
            return DV_HEARD_MALFORMED;
        }
        if (!pdv.last)
            continue;
        if (!dv_upper_context_of(u, m->context)) {
            dv_fail(err, DV_ERR_MALFORMED, "a command in presentation context %u, which was not accepted", m->context);
            return DV_HEARD_MALFORMED;
        }
        return dv_command_parse((const uint8_t *)m->bytes.at, m->bytes.len, &m->command, err) ? DV_HEARD
                                                                                              : DV_HEARD_MALFORMED;
    }
}

dv_heard dv_message_data(dv_upper *u, const dv_message *m, int wait_ms, int pdu_ms, dv_text *piece, bool *last,
                         dv_error *err)
{
    dv_pdv pdv;
    dv_upper_end end = dv_upper_next(u, wait_ms, pdu_ms, &pdv);

    if (end != DV_UPPER_OK)
        return heard(u, end, true, err);
    if (pdv.command) {
        dv_fail(err, DV_ERR_MALFORMED, "a command came inside a data set");
        return DV_HEARD_MALFORMED;
    }
    if (pdv.context != m->context) {
        dv_fail(err, DV_ERR_MALFORMED, "a data set for presentation context %u came in %u", m->context, pdv.context);
        return DV_HEARD_MALFORMED;
    }
    *piece = (dv_text){(const char *)pdv.at, pdv.len};
    *last = pdv.last;
    return DV_HEARD;
}

dv_heard dv_message_collect(dv_upper *u, const dv_message *m, int wait_ms, int pdu_ms, size_t limit, dv_buffer *out,
                            dv_error *err)
{
    bool last = false;

    while (!last) {
        dv_text piece;
        dv_heard h = dv_message_data(u, m, wait_ms, pdu_ms, &piece, &last, err);

        if (h != DV_HEARD)
            return h;
        if (piece.len > limit - out->len) {
            dv_fail(err, DV_ERR_LIMIT, "an identifier over %zu bytes", limit);
            return DV_HEARD_MALFORMED;
        }
        if (piece.len && !dv_buffer_add(out, piece.at, piece.len)) {
            dv_fail(err, DV_ERR_MEMORY, "no memory for an identifier");
            return DV_HEARD_MALFORMED;
        }
    }
    return DV_HEARD;
}

bool dv_message_send(dv_upper *u, uint8_t context, const dv_command_writer *command, int ms)
{
    return dv_upper_send(u, context, true, command->bytes, command->len, true, ms);
}

void dv_message_free(dv_message *m)
{
    dv_buffer_free(&m->bytes);
}
