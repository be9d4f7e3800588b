/* The index fed in pieces says what it says of the whole: same state, same nodes, same findings.
 * First byte: encoding and size of the pieces. The rest is the dataset. */
#include "dicom/index.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(dv_index *ix, const uint8_t *data, size_t size, size_t piece, dv_index_state *state)
{
    dv_error err = {0};
    for (size_t n = piece < size ? piece : size;; n = size - n < piece ? size : n + piece) {
        /* Exactly N bytes, somewhere else each time: nothing may be read too far or remembered by address. */
        uint8_t *now = malloc(n ? n : 1);
        if (n)
            memcpy(now, data, n);
        do
            *state = dv_index_feed(ix, now, n, n == size, &err);
        while (*state == DV_INDEX_BULK);
        for (uint32_t i = 0; i < ix->count; i++)
            (void)(ix->nodes[i].end && dv_index_value(ix, i).len);
        free(now);
        if (*state != DV_INDEX_MORE || n == size)
            return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    dv_encoding encoding = {.implicit = data[0] & 1, .big_endian = (data[0] & 3) == 2};
    size_t piece = 1 + (size_t)(data[0] >> 2);
    data++;
    size--;
    dv_arena arena;
    dv_arena_init(&arena, 0);
    dv_index whole, pieces, all;
    dv_index_state s1, s2;
    dv_index_init(&whole, &arena, encoding);
    dv_index_init(&pieces, &arena, encoding);
    run(&whole, data, size, size ? size : 1, &s1);
    run(&pieces, data, size, piece, &s2);
    if (s1 != s2 || whole.count != pieces.count || whole.findings != pieces.findings || whole.at != pieces.at)
        abort();
    for (uint32_t i = 0; i < whole.count && s1 != DV_INDEX_BAD; i++) {
        const dv_node *a = &whole.nodes[i], *b = &pieces.nodes[i];
        if (a->tag != b->tag || a->offset != b->offset || a->stop != b->stop || a->end != b->end || a->vr != b->vr)
            abort();
        if (a->end <= i || a->end > whole.count || a->stop < a->offset + a->head)
            abort();
    }
    if (dv_index_all(&all, &arena, encoding, data, size, NULL))
        for (uint32_t i = 0; i < all.count; i++)
            if (all.nodes[i].stop > size)
                abort();
    dv_arena_free(&arena);
    return 0;
}
