/* Any bytes as the note of a stored object, which recovery and rebuild read. */
#include "ingest/ingest_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dv_arena arena;
    dv_error err;
    dv_instance row = {0};
    dv_quarantined kept;
    dv_sealed sealed = {.sealed = true, .json = {(const char *)data, size}};
    dv_arena_init(&arena, 0);
    (void)dv_note_read(sealed.json, &arena, &row, &err);
    (void)dv_note_quarantined(&sealed, &row, true, &arena, &kept, &err);
    dv_arena_free(&arena);
    return 0;
}
