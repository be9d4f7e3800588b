#include "dimse/scu_internal.h"

#include <stdlib.h>

/* Fills a piece from NEXT; less than its size only at the end. */
static bool fill(uint8_t *to, size_t size, size_t *got,
                 ptrdiff_t (*next)(void *user, void *buf, size_t size, dv_error *err), void *user, dv_error *err)
{
    *got = 0;
    while (*got < size) {
        ptrdiff_t n = next(user, to + *got, size - *got, err);

        if (n < 0)
            return false;
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    return true;
}

/* Reads one piece ahead: the last one must say that it is. */
static bool send_pieces(dv_operation *op, ptrdiff_t (*next)(void *user, void *buf, size_t size, dv_error *err),
                        void *user, dv_error *err)
{
    dv_association *a = op->a;
    size_t length[2] = {0, 0};
    int now = 0;

    a->dirty = true; /* until all is sent: half a data set cannot be taken back */
    if (!fill(a->piece[0], a->piece_size, &length[0], next, user, err))
        return false;
    for (bool last = false; !last; now = !now) {
        if (length[now] == a->piece_size && !fill(a->piece[!now], a->piece_size, &length[!now], next, user, err))
            return false;
        last = length[now] < a->piece_size || length[!now] == 0;
        if (dv_op_cancelled(a))
            return dv_fail(err, DV_ERR_CANCELLED, "a %s to %s was cancelled", op->name, a->called);
        if (!dv_upper_send(a->upper, op->context, false, a->piece[now], length[now], last, a->answer_ms))
            return dv_op_lost(op, err);
    }
    a->dirty = false;
    return true;
}

bool dv_store_send(dv_association *a, dv_text sop_class, dv_text sop_instance, dv_text transfer_syntax,
                   ptrdiff_t (*next)(void *user, void *buf, size_t size, dv_error *err), void *user, uint16_t *status,
                   dv_error *err)
{
    dv_command_writer w;
    dv_operation op;

    if (!dv_op_begin(&op, a, "C-STORE", DV_C_STORE_RQ, sop_class, transfer_syntax, err))
        return false;
    if (!a->piece[0]) {
        a->piece_size = dv_upper_room(a->upper);
        a->piece[0] = malloc(a->piece_size);
        a->piece[1] = malloc(a->piece_size);
    }
    if (!a->piece[0] || !a->piece[1])
        return dv_fail(err, DV_ERR_MEMORY, "no memory to send an instance");
    dv_op_head(&w, &op, sop_class);
    dv_command_u16(&w, 0x0700, 0);
    dv_command_u16(&w, 0x0800, 1);
    dv_command_text(&w, 0x1000, sop_instance, '\0');
    if (!dv_op_send(&op, &w, (dv_text){0}, err) || !send_pieces(&op, next, user, err) || !dv_op_hear(&op, false, err))
        return false;
    *status = a->message.command.status;
    return true;
}
