/* pixels.c: is native Pixel Data as long as the image that its header describes? Told, not refused: the image may still be worth having, and
 * whoever looks at the study is warned. From the header alone: nothing is read for it. */
#include "ingest/ingest_internal.h"

static uint64_t us(const dv_index *ix, dv_tag tag, uint64_t otherwise)
{
    uint32_t node = dv_index_find(ix, tag);
    dv_text t = node == DV_NO_NODE ? (dv_text){NULL, 0} : dv_index_value(ix, node);
    if (t.len < 2)
        return otherwise;
    uint8_t low = (uint8_t)t.at[ix->encoding.big_endian], high = (uint8_t)t.at[!ix->encoding.big_endian];
    return (uint64_t)high << 8 | low;
}

static dv_text text(const dv_index *ix, dv_tag tag)
{
    uint32_t node = dv_index_find(ix, tag);
    return node == DV_NO_NODE ? (dv_text){NULL, 0} : dv_text_trim(dv_index_value(ix, node));
}

/* PS3.5 8.1, PS3.3 C.7.6.3; 0: the header does not say. */
static uint64_t described(const dv_index *ix)
{
    uint64_t frames = 1, samples = us(ix, DV_SamplesPerPixel, 1);
    dv_text count = text(ix, DV_NumberOfFrames), colours = text(ix, DV_PhotometricInterpretation);
    if (count.len && (!dv_text_uint(count, &frames) || frames > 1u << 24))
        return 0;
    if (dv_text_is(colours, "YBR_FULL_422") || dv_text_is(colours, "YBR_PARTIAL_422"))
        samples = 2; /* two pixels share their colours */
    return (us(ix, DV_Rows, 0) * us(ix, DV_Columns, 0) * samples * us(ix, DV_BitsAllocated, 0) * (frames ? frames : 1) +
            7) /
           8;
}

bool dv_pixels_look(dv_passage *p, dv_error *err)
{
    const dv_index *ix = p->index;
    if (ix->body == DV_NO_NODE || ix->nodes[ix->body].tag != DV_PixelData || ix->nodes[ix->body].length == DV_UNDEFINED)
        return true;
    uint64_t want = described(ix), has = ix->nodes[ix->body].length;
    if (has >= want)
        return true;
    dv_finding *f = dv_arena_zalloc(p->arena, 1, sizeof *f), **tail = &p->outcome.findings;
    char *message = dv_arena_printf(p->arena, "Pixel Data has %llu bytes, the header describes an image of %llu",
                                    (unsigned long long)has, (unsigned long long)want);
    if (!f || !message)
        return dv_fail(err, DV_ERR_MEMORY, "no memory for a finding");
    *f = (dv_finding){.kind = "flag",
                      .rule = DV_TEXT("intake/pixel-data-length"),
                      .path = DV_TEXT("PixelData"),
                      .message = dv_text_of(message)};
    while (*tail)
        tail = &(*tail)->next;
    *tail = f;
    return true;
}
