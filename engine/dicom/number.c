/* Binary numbers as text and back (PS3.5 6.2: US SS UL SL UV SV FL FD AT). */
#include "dicom/dataset_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LONGEST_NUMBER = 32 };

static uint64_t load(const uint8_t *p, unsigned n, bool big)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++)
        v = v << 8 | p[big ? i : n - 1 - i];
    return v;
}

static void store(uint8_t *p, unsigned n, bool big, uint64_t v)
{
    for (unsigned i = 0; i < n; i++, v >>= 8)
        p[big ? n - 1 - i : i] = (uint8_t)v;
}

static unsigned width(dv_vr vr)
{
    const dv_vr_info *info = dv_vr_lookup(vr);
    return vr == DV_VR_AT ? 4 : info ? info->unit : 1;
}

static int64_t sign_extend(uint64_t v, unsigned n)
{
    unsigned shift = 64 - 8 * n;
    return (int64_t)(v << shift) >> shift;
}

/* The shortest decimal that reads back as the same number. */
static int print_real(char *out, double v, bool single)
{
    int n = 0;
    if (isnan(v) || isinf(v))
        return snprintf(out, LONGEST_NUMBER, "%s", isnan(v) ? "nan" : v < 0 ? "-inf" : "inf");
    for (int digits = single ? 6 : 15; digits <= (single ? 9 : 17); digits++) {
        n = snprintf(out, LONGEST_NUMBER, "%.*g", digits, v);
        if (single ? strtof(out, NULL) == (float)v : strtod(out, NULL) == v)
            break;
    }
    return n;
}

static int print(char *out, dv_vr vr, const uint8_t *p, unsigned n, bool big)
{
    if (vr == DV_VR_AT)
        return snprintf(out, LONGEST_NUMBER, "%04X%04X", (unsigned)load(p, 2, big), (unsigned)load(p + 2, 2, big));
    uint64_t bits = load(p, n, big);
    if (vr == DV_VR_FL) {
        float f;
        uint32_t half = (uint32_t)bits;
        memcpy(&f, &half, sizeof f);
        return print_real(out, (double)f, true);
    }
    if (vr == DV_VR_FD) {
        double d;
        memcpy(&d, &bits, sizeof d);
        return print_real(out, d, false);
    }
    if (vr == DV_VR_SS || vr == DV_VR_SL || vr == DV_VR_SV)
        return snprintf(out, LONGEST_NUMBER, "%" PRId64, sign_extend(bits, n));
    return snprintf(out, LONGEST_NUMBER, "%" PRIu64, bits);
}

bool dv_numbers_decode(dv_vr vr, dv_text bytes, bool big_endian, dv_arena *arena, dv_text *out, dv_error *err)
{
    unsigned n = width(vr);
    *out = (dv_text){NULL, 0};
    if (bytes.len % n)
        return dv_fail(err, DV_ERR_VALUE, "%zu bytes are no whole number of %u-byte values", bytes.len, n);
    size_t count = bytes.len / n, used = 0;
    char *text = dv_arena_alloc(arena, count * LONGEST_NUMBER + 1);
    if (!text)
        return dv_fail(err, DV_ERR_MEMORY, "out of memory for %zu numbers", count);
    for (size_t i = 0; i < count; i++) {
        if (i)
            text[used++] = '\\';
        /* A number has at most 24 characters, so room for the backslash is left. */
        used += (size_t)print(text + used, vr, (const uint8_t *)bytes.at + i * n, n, big_endian);
    }
    text[used] = '\0';
    *out = (dv_text){text, used};
    return true;
}

static bool parse_tag(const char *s, size_t len, uint64_t *bits)
{
    char digits[9];
    if (len == 11 && s[0] == '(' && s[5] == ',' && s[10] == ')') {
        memcpy(digits, s + 1, 4);
        memcpy(digits + 4, s + 6, 4);
    } else if (len == 8) {
        memcpy(digits, s, 8);
    } else {
        return false;
    }
    digits[8] = '\0';
    if (strspn(digits, "0123456789abcdefABCDEF") != 8)
        return false;
    *bits = strtoul(digits, NULL, 16);
    return true;
}

static bool parse(dv_vr vr, const char *s, unsigned n, uint64_t *bits)
{
    char *end;
    errno = 0;
    if (vr == DV_VR_FL) {
        float f = strtof(s, &end);
        uint32_t half;
        memcpy(&half, &f, sizeof half);
        *bits = half;
        return end != s && !*end && !(errno == ERANGE && isinf(f));
    }
    if (vr == DV_VR_FD) {
        double d = strtod(s, &end);
        memcpy(bits, &d, sizeof *bits);
        return end != s && !*end && !(errno == ERANGE && isinf(d));
    }
    if (vr == DV_VR_SS || vr == DV_VR_SL || vr == DV_VR_SV) {
        long long v = strtoll(s, &end, 10);
        *bits = (uint64_t)v;
        return end != s && !*end && !errno && sign_extend(*bits, n) == v;
    }
    if (*s == '-')
        return false;
    *bits = strtoull(s, &end, 10);
    return end != s && !*end && !errno && (n == 8 || *bits >> (8 * n) == 0);
}

bool dv_numbers_encode(dv_vr vr, dv_text text, bool big_endian, dv_arena *arena, dv_text *out, dv_error *err)
{
    unsigned n = width(vr);
    size_t count = text.len ? 1 : 0, used = 0;
    for (size_t i = 0; i < text.len; i++)
        count += text.at[i] == '\\';
    uint8_t *bytes = dv_arena_alloc(arena, count * n);
    if (!bytes)
        return dv_fail(err, DV_ERR_MEMORY, "out of memory for %zu numbers", count);
    for (dv_text rest = text; count--; used += n) {
        dv_text one = dv_text_trim(dv_text_split(rest, '\\', &rest));
        char name[3] = {(char)(vr >> 8), (char)vr, '\0'}, digits[2 * LONGEST_NUMBER];
        uint64_t bits = 0;
        if (!dv_text_copy(one, digits, sizeof digits) || memchr(digits, '\0', one.len) ||
            !(vr == DV_VR_AT ? parse_tag(digits, one.len, &bits) : parse(vr, digits, n, &bits)))
            return dv_fail(err, DV_ERR_VALUE, "'%.*s' is no number that %s can hold", one.len > 40 ? 40 : (int)one.len,
                           one.at ? one.at : "", name);
        if (vr == DV_VR_AT) {
            store(bytes + used, 2, big_endian, bits >> 16);
            store(bytes + used + 2, 2, big_endian, bits & 0xFFFF);
        } else {
            store(bytes + used, n, big_endian, bits);
        }
    }
    *out = (dv_text){(char *)bytes, used};
    return true;
}
