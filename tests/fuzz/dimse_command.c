/* A command set from outside: parsed, its texts touched, and what a writer makes of it parsed to the same again. The
 * same bytes also as the first PDU of a connection. */
#include "dimse/associate_internal.h"
#include "dimse/command_internal.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned touch(dv_text t)
{
    unsigned sum = 0;

    t = dv_text_trim(t);
    for (size_t i = 0; i < t.len; i++)
        sum += (unsigned char)t.at[i];
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dv_command c, again;
    dv_command_writer w;
    dv_error err;
    const char *why;
    size_t total;

    if (dv_command_parse(data, size, &c, &err)) {
        volatile unsigned sum = touch(c.sop_class) + touch(c.sop_instance) + touch(c.move_originator) +
                                touch(c.move_destination) + touch(c.comment);

        (void)sum;
        dv_command_begin(&w);
        dv_command_text(&w, 0x0002, c.sop_class, '\0');
        dv_command_u16(&w, 0x0100, c.field);
        dv_command_u16(&w, 0x0120, c.answers);
        dv_command_u16(&w, 0x0900, c.status);
        dv_command_text(&w, 0x1000, c.sop_instance, '\0');
        dv_command_end(&w);
        if (!w.full &&
            (!dv_command_parse(w.bytes, w.len, &again, &err) || again.field != c.field || again.status != c.status ||
             again.answers != c.answers || !dv_text_equal(dv_text_trim(again.sop_class), dv_text_trim(c.sop_class))))
            abort();
    }
    if (dv_associate_first(data, size, &total) == DV_FIRST_ASSOCIATE && total <= size)
        (void)dv_associate_check(data, total, &why);
    return 0;
}
