/* hash.h: SHA-256 of bytes that pass, over OpenSSL. */
#ifndef DV_BASE_HASH_H
#define DV_BASE_HASH_H

#include "base/error.h"
#include "base/text.h"

enum { DV_SHA256_BYTES = 32, DV_SHA256_HEX = 65 };

/* One digest at a time, reusable. Threads: one at a time. */
typedef struct dv_sha256 dv_sha256;

/* NULL when memory is out. */
dv_sha256 *dv_sha256_new(void);
bool dv_sha256_begin(dv_sha256 *h, dv_error *err);
bool dv_sha256_add(dv_sha256 *h, const void *bytes, size_t n, dv_error *err);
bool dv_sha256_end(dv_sha256 *h, uint8_t out[DV_SHA256_BYTES], dv_error *err);
void dv_sha256_free(dv_sha256 *h);
/* All at once. */
bool dv_sha256_of(const void *bytes, size_t n, uint8_t out[DV_SHA256_BYTES], dv_error *err);
/* N bytes as 2N lower-case digits and a terminator. Returns OUT. */
char *dv_hex(const uint8_t *bytes, size_t n, char *out);
/* HEX of exactly 2N digits into N bytes; false if it is not that. */
bool dv_unhex(dv_text hex, uint8_t *out, size_t n);

#endif
