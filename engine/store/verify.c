#include "base/file.h"
#include "base/limits.h"
#include "dicom/deflate.h"
#include "store/store_internal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PASS_BYTES = 4 << 20 }; /* of a large body, in memory at a time */

/* ---- what a file says of itself ---- */

static bool inflate_header(dv_text deflated, dv_arena *arena, dv_text *out, dv_error *err)
{
    dv_buffer plain = {0};
    bool done = false;
    dv_inflater *z = dv_inflate_new(false, err);
    bool ok = z && dv_inflate_add(z, deflated.at, deflated.len, DV_MAX_HEADER, &plain, &done, err);
    if (ok && !done)
        ok = dv_fail(err, DV_ERR_MALFORMED, "the received header kept in File Meta ends too early");
    if (ok) {
        dv_text t = plain.at ? dv_buffer_as_text(&plain) : DV_TEXT("");
        *out = dv_arena_text(arena, t);
        ok = out->at || dv_fail(err, DV_ERR_MEMORY, "no memory for a received header of %zu bytes", plain.len);
    }
    dv_inflate_free(z);
    dv_buffer_free(&plain);
    return ok;
}

/* META and private information of a file; *OURS false: not written by us. */
static bool open_file(const uint8_t *bytes, size_t len, dv_arena *arena, dv_file_meta *meta, dv_private *private,
                      bool *ours, dv_error *err)
{
    *ours = false;
    return dv_part10_read(bytes, len, arena, meta, err) && (!dv_text_is(meta->private_creator, DV_PRIVATE_UID) ||
                                                            dv_private_parse(meta->private_bytes, private, ours, err));
}

bool dv_store_read_seal(const uint8_t *bytes, size_t len, dv_arena *arena, dv_sealed *out, dv_error *err)
{
    dv_private p;
    dv_seal seal;
    bool ours;
    *out = (dv_sealed){0};
    if (!open_file(bytes, len, arena, &out->meta, &p, &ours, err))
        return false;
    if (!ours)
        return true;
    dv_seal_get(p.seal, &seal);
    if (seal.version > DV_SEAL_VERSION)
        return dv_fail(err, DV_ERR_UNSUPPORTED, "the seal has version %u, this program knows 1; use the newer program",
                       seal.version);
    out->sealed = seal.version != 0;
    out->dataset_bytes = seal.dataset_bytes;
    out->header_bytes = seal.header_bytes;
    out->body_bytes = seal.body_bytes;
    memcpy(out->received_hash, seal.received_hash, DV_SHA256_BYTES);
    memcpy(out->header_hash, seal.header_hash, DV_SHA256_BYTES);
    memcpy(out->body_hash, seal.body_hash, DV_SHA256_BYTES);
    out->json = p.note;
    return !p.deflated.at || inflate_header(p.deflated, arena, &out->received_header, err);
}

/* ---- verifying ---- */

static bool differs(const char *name, const char *part, dv_error *err)
{
    return dv_fail(err, DV_ERR_HASH, "%s: the %s is not what was stored", name, part);
}

typedef struct hashes {
    dv_sha256 *header, *body;
} hashes;

/* N bytes of a map, which are not needed again. */
static bool hash_passing(dv_sha256 *h, const uint8_t *at, size_t n, dv_error *err)
{
    for (size_t done = 0, part; done < n; done += part) {
        part = n - done < PASS_BYTES ? n - done : PASS_BYTES;
        if (!dv_sha256_add(h, at + done, part, err))
            return false;
        if (part == PASS_BYTES)
            dv_map_passed(at + done, part);
    }
    return true;
}

/* Header and body of the dataset as the pieces part them. */
static bool hash_parts(const hashes *h, const uint8_t *dataset, const dv_seal *seal, const dv_private *p,
                       const char *name, dv_error *err)
{
    uint64_t at = 0, bulk = 0;
    for (uint32_t i = 0; i < p->piece_count; i++) {
        dv_piece piece = dv_private_piece(p, i);
        if (piece.at < at || piece.at > seal->dataset_bytes || piece.len > seal->dataset_bytes - piece.at)
            return differs(name, "list of bulk values", err);
        if (!dv_sha256_add(h->header, dataset + at, piece.at - at, err) ||
            !hash_passing(h->body, dataset + piece.at, piece.len, err))
            return false;
        at = piece.at + piece.len;
        bulk += piece.len;
    }
    uint64_t tail = seal->header_bytes + bulk;
    if (tail < at || tail > seal->dataset_bytes)
        return differs(name, "list of bulk values", err);
    return dv_sha256_add(h->header, dataset + at, tail - at, err) &&
           hash_passing(h->body, dataset + tail, seal->dataset_bytes - tail, err);
}

static bool compare_parts(const hashes *h, const uint8_t *dataset, const dv_seal *seal, const dv_private *p,
                          const char *name, dv_error *err)
{
    uint8_t header[DV_SHA256_BYTES], body[DV_SHA256_BYTES];
    if (!dv_sha256_begin(h->header, err) || !dv_sha256_begin(h->body, err) ||
        !hash_parts(h, dataset, seal, p, name, err) || !dv_sha256_end(h->header, header, err) ||
        !dv_sha256_end(h->body, body, err))
        return false;
    if (memcmp(header, seal->header_hash, sizeof header) != 0)
        return differs(name, "header", err);
    return memcmp(body, seal->body_hash, sizeof body) == 0 || differs(name, "body", err);
}

static bool compare_received(const dv_seal *seal, const dv_private *p, dv_arena *arena, const char *name, dv_error *err)
{
    if (((seal->flags & DV_SEAL_KEEPS_HEADER) != 0) != (p->deflated.at != NULL))
        return differs(name, "received header", err);
    if (!p->deflated.at)
        return memcmp(seal->received_hash, seal->header_hash, DV_SHA256_BYTES) == 0 || seal->header_bytes == 0 ||
               differs(name, "received header", err);
    dv_text header;
    uint8_t hash[DV_SHA256_BYTES];
    dv_error why;
    if (!inflate_header(p->deflated, arena, &header, &why))
        return why.code == DV_ERR_MEMORY ? dv_fail(err, why.code, "%s", why.message)
                                         : differs(name, "received header", err);
    return dv_sha256_of(header.at, header.len, hash, err) &&
           (memcmp(hash, seal->received_hash, sizeof hash) == 0 || differs(name, "received header", err));
}

/* All before the dataset: preamble, File Meta, note. */
static bool compare_meta(dv_sha256 *h, const uint8_t *bytes, size_t dataset, const uint8_t *seal_bytes,
                         const dv_seal *seal, const char *name, dv_error *err)
{
    static const uint8_t zeros[DV_SEAL_BYTES];
    uint8_t hash[DV_SHA256_BYTES];
    size_t at = (size_t)(seal_bytes - bytes), behind = at + DV_SEAL_BYTES;
    return dv_sha256_begin(h, err) && dv_sha256_add(h, bytes, at, err) && dv_sha256_add(h, zeros, DV_SEAL_BYTES, err) &&
           dv_sha256_add(h, bytes + behind, dataset - behind, err) && dv_sha256_end(h, hash, err) &&
           (memcmp(hash, seal->meta_hash, sizeof hash) == 0 || differs(name, "File Meta or note", err));
}

static bool verify(const uint8_t *bytes, size_t len, const char *name, dv_arena *arena, uint8_t raw[DV_SEAL_BYTES],
                   dv_error *err)
{
    dv_file_meta meta;
    dv_private p;
    dv_seal seal;
    bool ours;
    dv_error why;
    if (!open_file(bytes, len, arena, &meta, &p, &ours, &why))
        return dv_fail(err, why.code == DV_ERR_MEMORY ? why.code : DV_ERR_HASH, "%s: %s", name, why.message);
    if (!ours)
        return dv_fail(err, DV_ERR_HASH, "%s carries no seal of Drover", name);
    memcpy(raw, p.seal, DV_SEAL_BYTES);
    dv_seal_get(p.seal, &seal);
    if (seal.version == 0)
        return dv_fail(err, DV_ERR_HASH, "%s was never finished: its seal is empty", name);
    if (seal.version != DV_SEAL_VERSION)
        return differs(name, "seal", err);
    if (meta.dataset > len || len - meta.dataset != seal.dataset_bytes)
        return dv_fail(err, DV_ERR_HASH, "%s: its dataset has %llu bytes, its seal says %llu", name,
                       (unsigned long long)(meta.dataset > len ? 0 : len - meta.dataset),
                       (unsigned long long)seal.dataset_bytes);
    if (seal.header_bytes > seal.dataset_bytes || seal.body_bytes != seal.dataset_bytes - seal.header_bytes)
        return differs(name, "seal", err);
    hashes h = {dv_sha256_new(), dv_sha256_new()};
    bool ok = (h.header && h.body) || dv_fail(err, DV_ERR_MEMORY, "no memory for a hash");
    ok = ok && compare_meta(h.header, bytes, meta.dataset, p.seal, &seal, name, err) &&
         compare_parts(&h, bytes + meta.dataset, &seal, &p, name, err) && compare_received(&seal, &p, arena, name, err);
    dv_sha256_free(h.header);
    dv_sha256_free(h.body);
    return ok;
}

bool dv_verify_bytes(const uint8_t *bytes, size_t len, const char *name, uint8_t seal[DV_SEAL_BYTES], dv_error *err)
{
    dv_arena arena;
    dv_arena_init(&arena, 0);
    bool ok = verify(bytes, len, name, &arena, seal, err);
    dv_arena_free(&arena);
    return ok;
}

/* The name has the seal's hash: SOP.HEX.dcm or SOP.HEX-2.dcm. */
static bool compare_name(const char *path, const uint8_t raw[DV_SEAL_BYTES], dv_error *err)
{
    char hex[DV_SEAL_HEX];
    if (!dv_seal_hex(raw, hex, err))
        return false;
    const char *base = strrchr(path, '/');
    const char *end = base ? strstr(base, ".dcm") : NULL;
    const char *dash = base ? strrchr(base, '-') : NULL;
    if (end && dash)
        end = dash;
    bool ok = end && end - base > (DV_SEAL_HEX - 1) && strncmp(end - (DV_SEAL_HEX - 1), hex, DV_SEAL_HEX - 1) == 0;
    return ok || differs(path, "seal (by the file's name)", err);
}

static bool compare_row(const char *path, const uint8_t raw[DV_SEAL_BYTES], size_t len, const dv_stored *row,
                        dv_error *err)
{
    dv_seal seal;
    dv_seal_get(raw, &seal);
    const char *part = NULL;
    if (row->bytes && row->bytes != len)
        part = "length";
    else if (memcmp(seal.received_hash, row->received_hash, DV_SHA256_BYTES) != 0)
        part = "received header's hash";
    else if (memcmp(seal.header_hash, row->header_hash, DV_SHA256_BYTES) != 0)
        part = "header's hash";
    else if (memcmp(seal.body_hash, row->body_hash, DV_SHA256_BYTES) != 0)
        part = "body's hash";
    return !part || dv_fail(err, DV_ERR_HASH, "%s: the %s is not the one in the catalog", path, part);
}

bool dv_store_verify(dv_store *store, const char *path, const dv_stored *row, dv_error *err)
{
    char full[4096 + DV_STORE_PATH];
    dv_map map;
    uint8_t raw[DV_SEAL_BYTES];
    if (snprintf(full, sizeof full, "%s/%s", store->folder, path) >= (int)sizeof full)
        return dv_fail(err, DV_ERR_VALUE, "the path %s is too long", path);
    if (access(full, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR))
        return dv_fail(err, DV_ERR_NOT_FOUND, "%s is missing", path);
    if (!dv_map_open(&map, full, err))
        return false;
    if (map.bytes)
        madvise((void *)(uintptr_t)map.bytes, map.len, MADV_SEQUENTIAL);
    bool ok = map.bytes ? dv_verify_bytes(map.bytes, map.len, path, raw, err)
                        : dv_fail(err, DV_ERR_HASH, "%s is empty", path);
    ok = ok && compare_name(path, raw, err) && (!row || compare_row(path, raw, map.len, row, err));
    dv_map_close(&map);
    return ok;
}
