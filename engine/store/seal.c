#include "store/seal.h"
#include "base/limits.h"
#include "dicom/deflate.h"

static const char word[4] = {'D', 'V', 'O', '1'};

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static void put64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t get64(const uint8_t *p)
{
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

void dv_seal_put(const dv_seal *seal, uint8_t out[DV_SEAL_BYTES])
{
    put32(out, seal->version);
    put32(out + 4, seal->flags);
    put64(out + 8, seal->dataset_bytes);
    put64(out + 16, seal->header_bytes);
    put64(out + 24, seal->body_bytes);
    memcpy(out + 32, seal->received_hash, DV_SHA256_BYTES);
    memcpy(out + 64, seal->header_hash, DV_SHA256_BYTES);
    memcpy(out + 96, seal->body_hash, DV_SHA256_BYTES);
    memcpy(out + 128, seal->meta_hash, DV_SHA256_BYTES);
}

void dv_seal_get(const uint8_t in[DV_SEAL_BYTES], dv_seal *seal)
{
    seal->version = get32(in);
    seal->flags = get32(in + 4);
    seal->dataset_bytes = get64(in + 8);
    seal->header_bytes = get64(in + 16);
    seal->body_bytes = get64(in + 24);
    memcpy(seal->received_hash, in + 32, DV_SHA256_BYTES);
    memcpy(seal->header_hash, in + 64, DV_SHA256_BYTES);
    memcpy(seal->body_hash, in + 96, DV_SHA256_BYTES);
    memcpy(seal->meta_hash, in + 128, DV_SHA256_BYTES);
}

bool dv_seal_hex(const uint8_t in[DV_SEAL_BYTES], char out[DV_SEAL_HEX], dv_error *err)
{
    uint8_t hash[DV_SHA256_BYTES];
    if (!dv_sha256_of(in, DV_SEAL_NAMED, hash, err))
        return false;
    dv_hex(hash, (DV_SEAL_HEX - 1) / 2, out);
    return true;
}

/* ---- the value around it ---- */

bool dv_private_build(const dv_object_note *note, const dv_piece *pieces, uint32_t count, dv_arena *arena, dv_text *out,
                      dv_error *err)
{
    dv_buffer deflated = {0};
    if (note->received_header.at &&
        !dv_deflate(note->received_header.at, note->received_header.len, false, 1, &deflated, err)) {
        dv_buffer_free(&deflated);
        return false;
    }
    size_t pieces_size = (size_t)count * 16,
           n = DV_SEAL_AT + DV_SEAL_BYTES + 4 + pieces_size + 4 + note->json.len + 4 + deflated.len;
    bool ok = n < UINT32_MAX - 1 && note->json.len < UINT32_MAX;
    uint8_t *at = ok ? dv_arena_zalloc(arena, 1, n + (n & 1)) : NULL;
    if (at) {
        uint8_t *p = at;
        memcpy(p, word, sizeof word);
        p += DV_SEAL_AT + DV_SEAL_BYTES;
        put32(p, count);
        p += 4;
        for (uint32_t i = 0; i < count; i++, p += 16) {
            put64(p, pieces[i].at);
            put64(p + 8, pieces[i].len);
        }
        put32(p, (uint32_t)note->json.len);
        if (note->json.len)
            memcpy(p + 4, note->json.at, note->json.len);
        p += 4 + note->json.len;
        put32(p, (uint32_t)deflated.len);
        if (deflated.len)
            memcpy(p + 4, deflated.at, deflated.len);
        *out = (dv_text){(const char *)at, n + (n & 1)};
    }
    dv_buffer_free(&deflated);
    return at || dv_fail(err, ok ? DV_ERR_MEMORY : DV_ERR_LIMIT,
                         "the private information of an object would take %zu bytes", n);
}

/* Reads a length at *AT and gives that many bytes behind it; false when they are not there. */
static bool counted(dv_text bytes, size_t *at, dv_text *out)
{
    if (bytes.len - *at < 4)
        return false;
    uint32_t n = get32((const uint8_t *)bytes.at + *at);
    *at += 4;
    if (bytes.len - *at < n)
        return false;
    *out = (dv_text){n ? bytes.at + *at : NULL, n};
    *at += n;
    return true;
}

bool dv_private_parse(dv_text bytes, dv_private *out, bool *ours, dv_error *err)
{
    *out = (dv_private){0};
    *ours = bytes.len >= sizeof word && memcmp(bytes.at, word, sizeof word) == 0;
    if (!*ours)
        return true;
    size_t at = DV_SEAL_AT + DV_SEAL_BYTES;
    bool ok = bytes.len >= at + 4;
    if (ok) {
        out->seal = (const uint8_t *)bytes.at + DV_SEAL_AT;
        out->piece_count = get32((const uint8_t *)bytes.at + at);
        out->pieces = (const uint8_t *)bytes.at + at + 4;
        at += 4;
        ok = out->piece_count <= DV_MAX_ELEMENTS && bytes.len - at >= (size_t)out->piece_count * 16;
        at += ok ? (size_t)out->piece_count * 16 : 0;
    }
    ok = ok && counted(bytes, &at, &out->note) && counted(bytes, &at, &out->deflated);
    return ok ||
           dv_fail(err, DV_ERR_MALFORMED,
                   "the private information (0002,0102) of %zu bytes is cut or broken at byte %zu", bytes.len, at);
}

dv_piece dv_private_piece(const dv_private *p, uint32_t i)
{
    return (dv_piece){get64(p->pieces + (size_t)i * 16), get64(p->pieces + (size_t)i * 16 + 8)};
}
