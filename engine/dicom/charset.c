#include "dicom/charset_internal.h"

/* PS3.3 Tables C.12-2 to C.12-5. Escapes: PS3.3 C.12-3 and C.12-4, without the ESC. */
const dv_code_element dv_code_elements[DV_CODE_COUNT] = {
    {"ISO_IR 6", "ISO 2022 IR 6", NULL, "(B", NULL, DV_CODE_ASCII},
    {"ISO_IR 100", "ISO 2022 IR 100", "ISO-8859-1", NULL, "-A", DV_CODE_BYTE},
    {"ISO_IR 101", "ISO 2022 IR 101", "ISO-8859-2", NULL, "-B", DV_CODE_BYTE},
    {"ISO_IR 109", "ISO 2022 IR 109", "ISO-8859-3", NULL, "-C", DV_CODE_BYTE},
    {"ISO_IR 110", "ISO 2022 IR 110", "ISO-8859-4", NULL, "-D", DV_CODE_BYTE},
    {"ISO_IR 144", "ISO 2022 IR 144", "ISO-8859-5", NULL, "-L", DV_CODE_BYTE},
    {"ISO_IR 127", "ISO 2022 IR 127", "ISO-8859-6", NULL, "-G", DV_CODE_BYTE},
    {"ISO_IR 126", "ISO 2022 IR 126", "ISO-8859-7", NULL, "-F", DV_CODE_BYTE},
    {"ISO_IR 138", "ISO 2022 IR 138", "ISO-8859-8", NULL, "-H", DV_CODE_BYTE},
    {"ISO_IR 148", "ISO 2022 IR 148", "ISO-8859-9", NULL, "-M", DV_CODE_BYTE},
    {"ISO_IR 203", "ISO 2022 IR 203", "ISO-8859-15", NULL, "-b", DV_CODE_BYTE},
    {"ISO_IR 166", "ISO 2022 IR 166", "TIS-620", NULL, "-T", DV_CODE_BYTE},
    {"ISO_IR 13", "ISO 2022 IR 13", "SHIFT_JIS", "(J", ")I", DV_CODE_KANA},
    {NULL, "ISO 2022 IR 87", "EUC-JP", "$B", NULL, DV_CODE_G0_PAIR},
    {NULL, "ISO 2022 IR 159", "EUC-JP", "$(D", NULL, DV_CODE_G0_212},
    {NULL, "ISO 2022 IR 149", "EUC-KR", NULL, "$)C", DV_CODE_G1_PAIR},
    {NULL, "ISO 2022 IR 58", "GB2312", NULL, "$)A", DV_CODE_G1_PAIR},
    {"ISO_IR 192", NULL, NULL, NULL, NULL, DV_CODE_UTF8},
    {"GB18030", NULL, "GB18030", NULL, NULL, DV_CODE_GB},
    {"GBK", NULL, "GBK", NULL, NULL, DV_CODE_GB},
};

/* Terms of other worlds, by their letters and digits alone in upper case. Windows code pages and EUC without escapes
 * are no character sets of DICOM: nothing is guessed for them. */
static const struct {
    const char *key, *term;
} aliases[] = {
    {"ASCII", "ISO_IR 6"},      {"USASCII", "ISO_IR 6"},     {"DEFAULT", "ISO_IR 6"},
    {"ISO646", "ISO_IR 6"},     {"LATIN1", "ISO_IR 100"},    {"L1", "ISO_IR 100"},
    {"ISO88591", "ISO_IR 100"}, {"88591", "ISO_IR 100"},     {"LATIN2", "ISO_IR 101"},
    {"ISO88592", "ISO_IR 101"}, {"LATIN3", "ISO_IR 109"},    {"ISO88593", "ISO_IR 109"},
    {"LATIN4", "ISO_IR 110"},   {"ISO88594", "ISO_IR 110"},  {"CYRILLIC", "ISO_IR 144"},
    {"ISO88595", "ISO_IR 144"}, {"ARABIC", "ISO_IR 127"},    {"ISO88596", "ISO_IR 127"},
    {"GREEK", "ISO_IR 126"},    {"ISO88597", "ISO_IR 126"},  {"HEBREW", "ISO_IR 138"},
    {"ISO88598", "ISO_IR 138"}, {"LATIN5", "ISO_IR 148"},    {"ISO88599", "ISO_IR 148"},
    {"LATIN9", "ISO_IR 203"},   {"ISO885915", "ISO_IR 203"}, {"TIS620", "ISO_IR 166"},
    {"THAI", "ISO_IR 166"},     {"ISO885911", "ISO_IR 166"}, {"JISX0201", "ISO_IR 13"},
    {"UTF8", "ISO_IR 192"},     {"ISO10646", "ISO_IR 192"},  {"GB2312", "GB18030"},
    {"CP936", "GBK"},           {"ISOIR18030", "GB18030"},
};

/* Letters and digits of T in upper case; false when there are too many to be a term. */
static bool key_of(dv_text t, char *key, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < t.len; i++) {
        char c = t.at[i];
        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
            continue;
        if (n + 1 >= size)
            return false;
        key[n++] = c;
    }
    key[n] = '\0';
    return n > 0;
}

static bool key_equal(const char *key, const char *term)
{
    char other[32];
    return term && key_of(dv_text_of(term), other, sizeof other) && strcmp(key, other) == 0;
}

const char *dv_charset_term(dv_text misspelt)
{
    char key[32];
    for (size_t i = 0; i < DV_CODE_COUNT; i++) { /* nearly always it is spelt right */
        if (dv_code_elements[i].term && dv_text_is(misspelt, dv_code_elements[i].term))
            return dv_code_elements[i].term;
        if (dv_code_elements[i].extended && dv_text_is(misspelt, dv_code_elements[i].extended))
            return dv_code_elements[i].extended;
    }
    if (!key_of(misspelt, key, sizeof key))
        return NULL;
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (strcmp(key, aliases[i].key) == 0)
            return aliases[i].term;
    for (size_t i = 0; i < DV_CODE_COUNT; i++) {
        if (key_equal(key, dv_code_elements[i].term))
            return dv_code_elements[i].term;
        if (key_equal(key, dv_code_elements[i].extended))
            return dv_code_elements[i].extended;
    }
    /* "IR 100", "ISO 100", "ISO_IR 87": the number says all. */
    const char *digits = key + strcspn(key, "0123456789");
    size_t letters = (size_t)(digits - key);
    if (*digits == '\0' || strspn(digits, "0123456789") != strlen(digits))
        return NULL;
    if (!(letters == 2 && memcmp(key, "IR", 2) == 0) && !(letters == 3 && memcmp(key, "ISO", 3) == 0) &&
        !(letters == 5 && memcmp(key, "ISOIR", 5) == 0))
        return NULL;
    for (size_t i = 0; i < DV_CODE_COUNT; i++) {
        const char *term = dv_code_elements[i].term ? dv_code_elements[i].term : dv_code_elements[i].extended;
        const char *space = strrchr(term, ' ');
        if (space && strcmp(space + 1, digits) == 0)
            return term;
    }
    return NULL;
}

static const dv_code_element *element_of(const char *term, bool *extended)
{
    for (size_t i = 0; i < DV_CODE_COUNT; i++) {
        const dv_code_element *e = &dv_code_elements[i];
        if (e->extended && strcmp(e->extended, term) == 0) {
            *extended = true;
            return e;
        }
        if (e->term && strcmp(e->term, term) == 0)
            return e;
    }
    return NULL;
}

static bool alone(const dv_code_element *e)
{
    return e->form == DV_CODE_UTF8 || e->form == DV_CODE_GB;
}

static dv_charset ascii(void)
{
    return (dv_charset){.elements = {&dv_code_elements[0]}, .count = 1};
}

bool dv_charset_parse(dv_text value, dv_charset *out, dv_error *err)
{
    dv_charset cs = {0};
    dv_text rest = dv_text_trim(value);
    bool values = rest.at && rest.len > 0;
    *out = ascii();
    if (!values)
        return true;
    for (size_t n = 0; rest.at; n++) {
        dv_text one = dv_text_trim(dv_text_split(rest, '\\', &rest));
        const dv_code_element *e = &dv_code_elements[0];
        if (one.len == 0 && n > 0)
            continue;
        if (one.len > 0) {
            const char *term = dv_charset_term(one);
            e = term ? element_of(term, &cs.iso2022) : NULL;
        }
        if (!e)
            return dv_fail(err, DV_ERR_CHARSET,
                           "SpecificCharacterSet has '%.*s', which is no defined term of PS3.3 C.12.1.1.2",
                           DV_ARG(one));
        if (alone(e)) {
            /* It forbids code extensions. First, or behind nothing but ASCII (which it contains), it stands for all. */
            if (n > 0 && !(cs.count == 1 && cs.elements[0]->form == DV_CODE_ASCII))
                return dv_fail(err, DV_ERR_CHARSET, "SpecificCharacterSet '%.*s' combines %s with other sets",
                               DV_ARG(value), e->term);
            *out = (dv_charset){.elements = {e}, .count = 1, .multibyte = true};
            return true;
        }
        /* Sets that live by escapes cannot be the initial one: what stands before the first escape is ASCII. */
        if (cs.count == 0 && !e->term)
            cs.elements[cs.count++] = &dv_code_elements[0];
        bool known = false;
        for (uint8_t i = 0; i < cs.count; i++)
            known |= cs.elements[i] == e;
        if (known)
            continue;
        if (cs.count == sizeof cs.elements / sizeof *cs.elements)
            return dv_fail(err, DV_ERR_CHARSET, "SpecificCharacterSet names more than %d sets", (int)cs.count);
        cs.elements[cs.count++] = e;
    }
    cs.iso2022 |= cs.count > 1;
    *out = cs;
    return true;
}

const dv_code_element *dv_code_escape(dv_text bytes, size_t *len, bool *g1)
{
    for (size_t i = 0; i < DV_CODE_COUNT; i++)
        for (int half = 0; half < 2; half++) {
            const char *escape = half ? dv_code_elements[i].g1 : dv_code_elements[i].g0;
            if (escape && dv_text_starts(bytes, dv_text_of(escape))) {
                *len = strlen(escape);
                *g1 = half == 1;
                return &dv_code_elements[i];
            }
        }
    /* JIS C 6226-1978, the older edition of JIS X 0208: some Japanese consoles still send its escape. */
    if (dv_text_starts(bytes, DV_TEXT("$@"))) {
        *len = 2;
        *g1 = false;
        for (size_t i = 0; i < DV_CODE_COUNT; i++)
            if (dv_code_elements[i].form == DV_CODE_G0_PAIR)
                return &dv_code_elements[i];
    }
    return NULL;
}

/* Length of the character at P of N bytes in GB18030 or GBK. */
static size_t gb_length(const unsigned char *p, size_t n)
{
    if (p[0] < 0x81 || n < 2)
        return 1;
    if (p[1] >= 0x30 && p[1] <= 0x39)
        return n >= 4 ? 4 : n;
    return 2;
}

size_t dv_charset_split(const dv_charset *cs, dv_text bytes, dv_text *values, size_t max)
{
    const unsigned char *p = (const unsigned char *)bytes.at;
    bool gb = cs->multibyte && cs->elements[0]->form == DV_CODE_GB;
    bool pairs = false; /* G0 holds a two-byte set */
    size_t count = 0, start = 0, i = 0;
    while (i < bytes.len) {
        if (gb) {
            size_t n = gb_length(p + i, bytes.len - i);
            if (n > 1) {
                i += n;
                continue;
            }
        } else if (cs->iso2022 && p[i] == DV_ESC) {
            size_t n = 0;
            bool g1 = false;
            const dv_code_element *e = dv_code_escape((dv_text){bytes.at + i + 1, bytes.len - i - 1}, &n, &g1);
            if (e && !g1)
                pairs = e->form == DV_CODE_G0_PAIR || e->form == DV_CODE_G0_212;
            i += 1 + n;
            continue;
        } else if (pairs && p[i] > 0x20 && p[i] < 0x7F) {
            i += 2;
            continue;
        }
        if (p[i] == '\\') {
            if (count < max)
                values[count] = (dv_text){bytes.at + start, i - start};
            count++;
            start = i + 1;
        }
        if (p[i] < 0x20)
            pairs = false;
        i++;
    }
    if (count < max)
        values[count] = (dv_text){bytes.at ? bytes.at + start : NULL, bytes.len - start};
    return count + 1;
}

bool dv_text_is_ascii(dv_text t)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    size_t i = 0;
    for (; i + 8 <= t.len; i += 8) {
        uint64_t w;
        memcpy(&w, t.at + i, 8);
        uint64_t e = w ^ (ones * DV_ESC); /* a zero byte where ESC stood */
        if ((w | ((e - ones) & ~e)) & high)
            return false;
    }
    for (; i < t.len; i++)
        if ((unsigned char)t.at[i] >= 0x80 || t.at[i] == DV_ESC)
            return false;
    return true;
}

size_t dv_utf8_next(dv_text t, uint32_t *code)
{
    const unsigned char *p = (const unsigned char *)t.at;
    if (t.len == 0)
        return 0;
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;
    if (n == 0 || n > t.len)
        return 0;
    uint32_t c = n == 1 ? p[0] : (uint32_t)(p[0] & (0xFF >> (n + 1)));
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3F);
    }
    if ((n == 3 && (c < 0x800 || (c >= 0xD800 && c <= 0xDFFF))) || (n == 4 && (c < 0x10000 || c > 0x10FFFF)))
        return 0;
    if (code)
        *code = c;
    return n;
}

bool dv_utf8_valid(dv_text t)
{
    while (t.len > 0) {
        size_t n = dv_utf8_next(t, NULL);
        if (n == 0)
            return false;
        t.at += n;
        t.len -= n;
    }
    return true;
}

size_t dv_utf8_length(dv_text t)
{
    size_t n = 0;
    for (size_t i = 0; i < t.len; i++)
        n += ((unsigned char)t.at[i] & 0xC0) != 0x80;
    return n;
}
