#include "catalog/fold.h"

/* Latin-1 and Latin Extended-A, U+00C0 to U+017F. */
static const char latin[][3] = {
    "a", "a", "a",  "a",  "a", "a", "ae", "c", "e", "e", "e", "e", "i", "i", "i",  "i",  /* U+00C0 */
    "d", "n", "o",  "o",  "o", "o", "o",  "",  "o", "u", "u", "u", "u", "y", "th", "ss", /* U+00D0 */
    "a", "a", "a",  "a",  "a", "a", "ae", "c", "e", "e", "e", "e", "i", "i", "i",  "i",  /* U+00E0 */
    "d", "n", "o",  "o",  "o", "o", "o",  "",  "o", "u", "u", "u", "u", "y", "th", "y",  /* U+00F0 */
    "a", "a", "a",  "a",  "a", "a", "c",  "c", "c", "c", "c", "c", "c", "c", "d",  "d",  /* U+0100 */
    "d", "d", "e",  "e",  "e", "e", "e",  "e", "e", "e", "e", "e", "g", "g", "g",  "g",  /* U+0110 */
    "g", "g", "g",  "g",  "h", "h", "h",  "h", "i", "i", "i", "i", "i", "i", "i",  "i",  /* U+0120 */
    "i", "i", "ij", "ij", "j", "j", "k",  "k", "k", "l", "l", "l", "l", "l", "l",  "l",  /* U+0130 */
    "l", "l", "l",  "n",  "n", "n", "n",  "n", "n", "n", "n", "n", "o", "o", "o",  "o",  /* U+0140 */
    "o", "o", "oe", "oe", "r", "r", "r",  "r", "r", "r", "s", "s", "s", "s", "s",  "s",  /* U+0150 */
    "s", "s", "t",  "t",  "t", "t", "t",  "t", "u", "u", "u", "u", "u", "u", "u",  "u",  /* U+0160 */
    "u", "u", "u",  "u",  "w", "w", "y",  "y", "y", "z", "z", "z", "z", "z", "z",  "s",  /* U+0170 */
};

static bool in(uint32_t c, uint32_t from, uint32_t to)
{
    return c >= from && c <= to;
}

/* Vietnamese letters, U+1EA0 to U+1EF9: accents upon accents of six vowels. */
static uint32_t vietnamese(uint32_t c)
{
    static const struct {
        uint32_t last;
        char base;
    } rows[] = {{0x1EB7, 'a'}, {0x1EC7, 'e'}, {0x1ECB, 'i'}, {0x1EE3, 'o'}, {0x1EF1, 'u'}, {0x1EF9, 'y'}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (c <= rows[i].last)
            return (uint32_t)rows[i].base;
    return c;
}

static uint32_t greek(uint32_t c)
{
    switch (c) {
    case 0x386:
    case 0x3AC:
        return 0x3B1;
    case 0x388:
    case 0x3AD:
        return 0x3B5;
    case 0x389:
    case 0x3AE:
        return 0x3B7;
    case 0x38A:
    case 0x3AF:
    case 0x390:
    case 0x3AA:
    case 0x3CA:
        return 0x3B9;
    case 0x38C:
    case 0x3CC:
        return 0x3BF;
    case 0x38E:
    case 0x3CD:
    case 0x3B0:
    case 0x3AB:
    case 0x3CB:
        return 0x3C5;
    case 0x38F:
    case 0x3CE:
        return 0x3C9;
    case 0x3C2:
        return 0x3C3; /* final sigma */
    default:
        return in(c, 0x391, 0x3A9) && c != 0x3A2 ? c + 0x20 : c;
    }
}

static uint32_t cyrillic(uint32_t c)
{
    if (in(c, 0x410, 0x42F))
        c += 0x20;
    else if (in(c, 0x400, 0x40F))
        c += 0x50;
    else if (in(c, 0x48A, 0x4BF) || in(c, 0x4D0, 0x52F))
        c |= 1;
    switch (c) {
    case 0x450:
    case 0x451:
        return 0x435; /* yo is written as ye */
    case 0x439:
        return 0x439; /* short i is a letter of its own */
    default:
        return c;
    }
}

/* One character that is not ASCII and not in `latin`; 0: it goes, ' ': a blank. */
static uint32_t fold_other(uint32_t c)
{
    if (in(c, 0xFF01, 0xFF5E)) /* wide forms */
        c -= 0xFEE0;
    if (in(c, 'A', 'Z'))
        return c + 0x20;
    if (c == '^' || c == 0xA0 || c == 0x3000 || in(c, 0x2000, 0x200A))
        return ' ';
    if (in(c, 0x300, 0x36F) || in(c, 0x200B, 0x200F))
        return 0;
    if (in(c, 0x1A0, 0x1A1))
        return 'o';
    if (in(c, 0x1AF, 0x1B0))
        return 'u';
    if (in(c, 0x218, 0x219)) /* Romanian, comma below */
        return 's';
    if (in(c, 0x21A, 0x21B))
        return 't';
    if (in(c, 0x1EA0, 0x1EF9))
        return vietnamese(c);
    if (in(c, 0x386, 0x3CE))
        return greek(c);
    if (in(c, 0x400, 0x52F))
        return cyrillic(c);
    if (in(c, 0x531, 0x556)) /* Armenian */
        return c + 0x30;
    return c;
}

/* The character at T[*I], which is moved behind it; U+FFFD for a byte that begins none. */
static uint32_t next(dv_text t, size_t *i)
{
    const uint8_t *p = (const uint8_t *)t.at + *i;
    size_t left = t.len - *i;
    uint32_t c = p[0];
    size_t n = c < 0x80 ? 1 : in(c, 0xC2, 0xDF) ? 2 : in(c, 0xE0, 0xEF) ? 3 : in(c, 0xF0, 0xF4) ? 4 : 0;
    if (n == 0 || n > left)
        goto wrong;
    if (n > 1)
        c &= 0x7Fu >> n;
    for (size_t k = 1; k < n; k++) {
        if ((p[k] & 0xC0) != 0x80)
            goto wrong;
        c = c << 6 | (p[k] & 0x3Fu);
    }
    if ((n == 3 && (c < 0x800 || in(c, 0xD800, 0xDFFF))) || (n == 4 && !in(c, 0x10000, 0x10FFFF)))
        goto wrong;
    *i += n;
    return c;
wrong:
    *i += 1;
    return 0xFFFD;
}

static size_t put(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

size_t dv_fold_into(dv_text t, char *buf)
{
    size_t n = 0;
    bool blank = false; /* one is due before the next letter */
    for (size_t i = 0; i < t.len;) {
        uint32_t c = (uint8_t)t.at[i];
        const char *letters = NULL;
        if (c < 0x80) {
            i++;
            if (c >= 'A' && c <= 'Z')
                c += 0x20;
            else if (c == '^' || c <= ' ' || c == 0x7F)
                c = ' ';
        } else {
            c = next(t, &i);
            if (in(c, 0xC0, 0x17F))
                letters = latin[c - 0xC0];
            else
                c = fold_other(c);
        }
        if (c == 0 || (letters && !*letters))
            continue;
        if (!letters && c == ' ') {
            blank = true;
            continue;
        }
        if (blank && n)
            buf[n++] = ' ';
        blank = false;
        if (!letters)
            n += put(buf + n, c);
        else
            while (*letters)
                buf[n++] = *letters++;
    }
    return n;
}

dv_text dv_fold(dv_arena *a, dv_text t)
{
    char *buf = dv_arena_alloc(a, t.len * DV_FOLD_GROWTH);
    return buf ? (dv_text){buf, dv_fold_into(t, buf)} : (dv_text){NULL, 0};
}
