/* Any text as a path: refused with words, or compiled; what is compiled prints to a text that compiles to the same. */
#include "dicom/path.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dv_arena arena;
    dv_error err = {0};
    const dv_path *path, *again;
    dv_arena_init(&arena, 0);
    if (!dv_path_compile(&arena, (dv_text){(const char *)data, size}, &path, &err)) {
        if (err.code == DV_ERR_NONE || !err.message[0])
            abort();
    } else if (!dv_path_compile(&arena, path->text, &again, &err) || !dv_text_equal(again->text, path->text) ||
               again->count != path->count || again->many != path->many) {
        abort();
    }
    dv_arena_free(&arena);
    return 0;
}
