#include "base/hash.h"

#include <openssl/evp.h>

/* The algorithm is fetched once: EVP_sha256() looks it up again at each EVP_DigestInit_ex, under a lock. */
static EVP_MD *algorithm(void)
{
    static EVP_MD *fetched;
    EVP_MD *md = __atomic_load_n(&fetched, __ATOMIC_ACQUIRE);
    if (!md) {
        EVP_MD *fresh = EVP_MD_fetch(NULL, "SHA256", NULL), *expected = NULL;
        if (fresh &&
            !__atomic_compare_exchange_n(&fetched, &expected, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            EVP_MD_free(fresh);
            fresh = expected;
        }
        md = fresh;
    }
    return md;
}

static bool failed(dv_error *err)
{
    return dv_fail(err, DV_ERR_INTERNAL, "SHA-256 failed inside OpenSSL");
}

dv_sha256 *dv_sha256_new(void)
{
    return (dv_sha256 *)EVP_MD_CTX_new();
}

bool dv_sha256_begin(dv_sha256 *h, dv_error *err)
{
    return EVP_DigestInit_ex((EVP_MD_CTX *)h, algorithm(), NULL) == 1 || failed(err);
}

bool dv_sha256_add(dv_sha256 *h, const void *bytes, size_t n, dv_error *err)
{
    return EVP_DigestUpdate((EVP_MD_CTX *)h, bytes, n) == 1 || failed(err);
}

bool dv_sha256_end(dv_sha256 *h, uint8_t out[DV_SHA256_BYTES], dv_error *err)
{
    return EVP_DigestFinal_ex((EVP_MD_CTX *)h, out, NULL) == 1 || failed(err);
}

void dv_sha256_free(dv_sha256 *h)
{
    EVP_MD_CTX_free((EVP_MD_CTX *)h);
}

bool dv_sha256_of(const void *bytes, size_t n, uint8_t out[DV_SHA256_BYTES], dv_error *err)
{
    return EVP_Digest(bytes, n, out, NULL, algorithm(), NULL) == 1 || failed(err);
}

char *dv_hex(const uint8_t *bytes, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    out[2 * n] = '\0';
    return out;
}

static int digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool dv_unhex(dv_text hex, uint8_t *out, size_t n)
{
    if (hex.len != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++) {
        int high = digit(hex.at[2 * i]), low = digit(hex.at[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}
