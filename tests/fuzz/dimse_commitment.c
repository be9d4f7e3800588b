/* A storage commitment's data set from outside, in the syntax that its first byte chooses: what is read is written, and read again
 * is the same. */
#include "dicom/syntax.h"
#include "dimse/commitment.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dv_text syntax = dv_text_of(size && data[0] % 2 ? DV_UID_EXPLICIT_LE : DV_UID_IMPLICIT_LE);
    dv_commitment c, again;
    dv_buffer b = {0};
    dv_error err;
    dv_arena arena;

    if (size == 0)
        return 0;
    dv_arena_init(&arena, 0);
    if (dv_commitment_read((dv_text){(const char *)data + 1, size - 1}, syntax, &arena, &c, &err) &&
        (!dv_commitment_write(&c, true, syntax, &b, &err) ||
         !dv_commitment_read(dv_buffer_as_text(&b), syntax, &arena, &again, &err) || again.count != c.count ||
         !dv_text_equal(again.transaction, c.transaction)))
        abort();
    dv_buffer_free(&b);
    dv_arena_free(&arena);
    return 0;
}
