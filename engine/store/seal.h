/* seal.h: what an object of ours carries in its File Meta, byte by byte. All numbers are little endian. The layout is
 * never changed; a new one gets another word at its beginning.
 *
 *   Private Information (0002,0102)
 *     0    4     "DVO1"
 *     4    160   the seal, all zero until the object is finished
 *     164  4     P, number of bulk pieces
 *     168  16 P  each: uint64 offset in the dataset, uint64 length; ascending
 *          4     length of the note
 *                the note, JSON in UTF-8
 *          4     length of the received header's zlib stream; 0: the stored header is the received one
 *                zlib stream
 *          0/1   a zero byte to an even length
 *
 *   seal
 *     0    4     version, 1; 0: not finished
 *     4    4     flags, DV_SEAL_*
 *     8    8     bytes of the dataset (the file without preamble and File Meta)
 *     16   8     bytes of the header
 *     24   8     bytes of the body; header + body = dataset
 *     32   32    SHA-256 of the received header (without bulk values)
 *     64   32    SHA-256 of the stored header (without bulk values)
 *     96   32    SHA-256 of the body
 *     128  32    SHA-256 of all before the dataset, with zeros in place of the seal
 *
 * The body is the bulk pieces in order and then all from `header bytes + lengths of the pieces` to the end, so that
 * verifying needs no parser. A file's name has the first 16 hex digits of the SHA-256 of the first 128 bytes of its seal,
 * which guards the seal itself. Threads   pure functions. */
#ifndef DV_STORE_SEAL_H
#define DV_STORE_SEAL_H

#include "store/store.h"

enum { DV_SEAL_BYTES = 160, DV_SEAL_NAMED = 128 /* of them, what the file's name stands for */, DV_SEAL_AT = 4, DV_SEAL_VERSION = 1, DV_SEAL_HEX = 17 };
enum { DV_SEAL_KEEPS_HEADER = 1 /* the received header differs and is kept */ };

typedef struct dv_seal {
    uint32_t version, flags;
    uint64_t dataset_bytes, header_bytes, body_bytes;
    uint8_t received_hash[DV_SHA256_BYTES], header_hash[DV_SHA256_BYTES], body_hash[DV_SHA256_BYTES];
    uint8_t meta_hash[DV_SHA256_BYTES];
} dv_seal;

void dv_seal_put(const dv_seal *seal, uint8_t out[DV_SEAL_BYTES]);
void dv_seal_get(const uint8_t in[DV_SEAL_BYTES], dv_seal *seal);
/* The sixteen digits of a file's name. */
bool dv_seal_hex(const uint8_t in[DV_SEAL_BYTES], char out[DV_SEAL_HEX], dv_error *err);

typedef struct dv_piece {
    uint64_t at, len; /* in the dataset */
} dv_piece;

typedef struct dv_private {
    const uint8_t *seal;   /* DV_SEAL_BYTES */
    const uint8_t *pieces; /* 16 bytes each */
    uint32_t piece_count;
    dv_text note, deflated; /* deflated: absent when the stored header is the received one */
} dv_private;

/* The value with an empty seal, in ARENA. */
bool dv_private_build(const dv_object_note *note, const dv_piece *pieces, uint32_t count, dv_arena *arena, dv_text *out,
                      dv_error *err);
/* Takes BYTES apart; *OURS false: another's. All borrowed from BYTES. MALFORMED when a length points outside. */
bool dv_private_parse(dv_text bytes, dv_private *out, bool *ours, dv_error *err);
dv_piece dv_private_piece(const dv_private *p, uint32_t i);

#endif
