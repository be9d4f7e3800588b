/* Any bytes as a file: read, printed as JSON and as a listing, its meta written and read again. */
#include "dicom/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dv_arena arena;
    dv_file_meta meta, again;
    dv_buffer out = {0};
    dv_text head;
    dv_arena_init(&arena, 0);
    dv_dataset *ds = dv_part10_open(data, size, &arena, &meta, NULL);
    if (ds) {
        dv_json_write(ds, &meta, (dv_json_options){.pretty = size & 1, .meta = true}, &out, NULL);
        dv_dump_write(ds, &meta, &out, NULL);
        if (out.len > 0 && !dv_utf8_valid(dv_buffer_as_text(&out)))
            abort();
        if (dv_part10_write(&meta, &arena, &head, NULL, NULL) &&
            (!dv_part10_read((const uint8_t *)head.at, head.len, &arena, &again, NULL) || again.dataset != head.len))
            abort();
    }
    dv_buffer_free(&out);
    dv_arena_free(&arena);
    return 0;
}
