#include "base/text.h"

#include <stdlib.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

int64_t dv_int64_of(double v)
{
    if (v != v)
        return 0;
    return v >= 0x1p63 ? INT64_MAX : v < -0x1p63 ? INT64_MIN : (int64_t)v;
}

dv_text dv_text_of(const char *s)
{
    return s ? (dv_text){s, strlen(s)} : (dv_text){NULL, 0};
}

bool dv_text_equal(dv_text a, dv_text b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

bool dv_text_is(dv_text a, const char *b)
{
    return dv_text_equal(a, dv_text_of(b));
}

bool dv_text_equal_nocase(dv_text a, dv_text b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.at[i]) != lower(b.at[i]))
            return false;
    return true;
}

int dv_text_compare(dv_text a, dv_text b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.at, b.at, n) : 0;
    if (order == 0)
        order = a.len < b.len ? -1 : a.len > b.len;
    return order < 0 ? -1 : order > 0;
}

bool dv_text_starts(dv_text t, dv_text prefix)
{
    return t.len >= prefix.len && (prefix.len == 0 || memcmp(t.at, prefix.at, prefix.len) == 0);
}

size_t dv_text_find(dv_text t, char c)
{
    const char *hit = t.len ? memchr(t.at, c, t.len) : NULL;
    return hit ? (size_t)(hit - t.at) : t.len;
}

static bool padding(char c)
{
    return c == ' ' || c == '\0' || c == '\t' || c == '\r' || c == '\n';
}

dv_text dv_text_trim(dv_text t)
{
    while (t.len && padding(t.at[t.len - 1]))
        t.len--;
    while (t.len && padding(t.at[0])) {
        t.at++;
        t.len--;
    }
    return t;
}

dv_text dv_text_split(dv_text t, char sep, dv_text *rest)
{
    size_t n = dv_text_find(t, sep);
    *rest = n < t.len ? (dv_text){t.at + n + 1, t.len - n - 1} : (dv_text){NULL, 0};
    return (dv_text){t.at, n};
}

bool dv_text_uint(dv_text t, uint64_t *out)
{
    uint64_t n = 0;
    if (t.len == 0)
        return false;
    for (size_t i = 0; i < t.len; i++) {
        if (t.at[i] < '0' || t.at[i] > '9')
            return false;
        if (__builtin_mul_overflow(n, 10u, &n) || __builtin_add_overflow(n, (uint64_t)(t.at[i] - '0'), &n))
            return false;
    }
    *out = n;
    return true;
}

/* Damerau-Levenshtein in its optimal-string-alignment form, three rows; names are short. */
unsigned dv_text_distance(dv_text a, dv_text b, unsigned limit)
{
    enum { LONGEST = 96 };
    unsigned rows[3][LONGEST + 1];
    if (a.len > LONGEST || b.len > LONGEST)
        return dv_text_equal_nocase(a, b) ? 0 : limit + 1;
    for (size_t j = 0; j <= b.len; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= a.len; i++) {
        unsigned *now = rows[i % 3], *before = rows[(i + 2) % 3], *older = rows[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= b.len; j++) {
            unsigned change = lower(a.at[i - 1]) != lower(b.at[j - 1]);
            unsigned best = before[j - 1] + change;
            if (before[j] + 1 < best)
                best = before[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && lower(a.at[i - 1]) == lower(b.at[j - 2]) &&
                lower(a.at[i - 2]) == lower(b.at[j - 1]) && older[j - 2] + 1 < best)
                best = older[j - 2] + 1;
            now[j] = best;
        }
    }
    unsigned d = rows[a.len % 3][b.len];
    return d > limit ? limit + 1 : d;
}

bool dv_text_copy(dv_text t, char *buf, size_t size)
{
    if (size == 0)
        return t.len == 0;
    size_t n = t.len < size - 1 ? t.len : size - 1;
    if (n)
        memcpy(buf, t.at, n);
    buf[n] = '\0';
    return n == t.len;
}
