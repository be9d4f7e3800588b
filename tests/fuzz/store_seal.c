/* Reads the seal of hostile files, and verifies them: no crash, no read outside, bounded memory. */
#include "store/store_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dv_arena arena;
    dv_sealed sealed;
    dv_error err;
    uint8_t raw[DV_SEAL_BYTES];
    bool ours;
    dv_private p;
    dv_arena_init(&arena, 0);
    if (dv_private_parse((dv_text){(const char *)data, size}, &p, &ours, &err) && ours)
        for (uint32_t i = 0; i < p.piece_count; i++)
            (void)dv_private_piece(&p, i);
    (void)dv_store_read_seal(data, size, &arena, &sealed, &err);
    (void)dv_verify_bytes(data, size, "fuzz", raw, &err);
    dv_arena_free(&arena);
    return 0;
}
