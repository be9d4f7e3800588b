/* Conversion by code elements. Invariants of the walk, both ways:
 *   1  g0 is NULL (ASCII, or Roman, which is read as ASCII) or a two-byte set; g1 is NULL or a set of bytes over 7F
 *   2  at the start, and behind each delimiter or control character, g0 and g1 are the initial ones (PS3.5 6.1.2.5.3)
 *   3  delimiters are looked for only while g0 is NULL: 5C, 5E and 3D are good second bytes of kanji */
#include "dicom/charset_internal.h"

#include <errno.h>
#include <iconv.h>
#include <pthread.h>
#include <stdlib.h>

/* ---- iconv handles, opened at first use, kept a thread ---- */

typedef struct handles {
    iconv_t to[DV_CODE_COUNT], from[DV_CODE_COUNT]; /* UTF-8 from the element, the element from UTF-8; 0 is not open */
    iconv_t vendor;                                 /* UTF-8 from CP932 */
} handles;

static pthread_key_t handles_key;
static pthread_once_t handles_once = PTHREAD_ONCE_INIT;
static bool handles_ready;

static void handles_free(void *p)
{
    handles *h = p;
    for (size_t i = 0; i < DV_CODE_COUNT; i++) {
        if (h->to[i])
            iconv_close(h->to[i]);
        if (h->from[i])
            iconv_close(h->from[i]);
    }
    if (h->vendor)
        iconv_close(h->vendor);
    free(h);
}

/* The main thread's handles go at exit by this, for leak checkers; other threads' by the key. */
static void handles_exit(void)
{
    handles *h = pthread_getspecific(handles_key);
    if (h) {
        pthread_setspecific(handles_key, NULL);
        handles_free(h);
    }
}

static void handles_make(void)
{
    handles_ready = pthread_key_create(&handles_key, handles_free) == 0;
    if (handles_ready)
        atexit(handles_exit);
}

/* This thread's handles; NULL when memory is out. */
static handles *handles_get(dv_error *err)
{
    pthread_once(&handles_once, handles_make);
    handles *h = handles_ready ? pthread_getspecific(handles_key) : NULL;
    if (handles_ready && !h) {
        h = calloc(1, sizeof *h);
        if (h && pthread_setspecific(handles_key, h) != 0) {
            free(h);
            h = NULL;
        }
    }
    if (!h)
        dv_fail(err, DV_ERR_MEMORY, "no memory for a character set conversion");
    return h;
}

static bool handle_open(iconv_t *slot, const char *to, const char *from, iconv_t *out, dv_error *err)
{
    if (!*slot) {
        iconv_t made = iconv_open(to, from);
        if (made == (iconv_t)-1)
            return dv_fail(err, DV_ERR_UNSUPPORTED, "iconv of this system does not convert %s to %s", from, to);
        *slot = made;
    }
    *out = *slot;
    return true;
}

static bool handle_of(const dv_code_element *e, bool encode, iconv_t *out, dv_error *err)
{
    handles *h = handles_get(err);
    size_t row = (size_t)(e - dv_code_elements);
    if (!h)
        return false;
    return encode ? handle_open(&h->from[row], e->iconv, "UTF-8", out, err)
                  : handle_open(&h->to[row], "UTF-8", e->iconv, out, err);
}

/* ---- output that grows in the arena ---- */

typedef struct sink {
    dv_arena *arena;
    char *at;
    size_t len, size;
} sink;

static bool sink_room(sink *s, size_t n, dv_error *err)
{
    if (s->at && s->size - s->len >= n)
        return true;
    size_t size = s->size + s->size / 2 + n;
    char *p = s->at ? dv_arena_grow(s->arena, s->at, s->len, size) : dv_arena_alloc(s->arena, size);
    if (!p)
        return dv_fail(err, DV_ERR_MEMORY, "no memory for %zu bytes of text", size);
    s->at = p;
    s->size = size;
    return true;
}

static bool sink_add(sink *s, const void *bytes, size_t n, dv_error *err)
{
    if (!sink_room(s, n, err))
        return false;
    memcpy(s->at + s->len, bytes, n);
    s->len += n;
    return true;
}

/* ---- both ways ---- */

typedef struct state {
    const dv_code_element *g0, *g1;
} state;

static state initial(const dv_charset *cs)
{
    const dv_code_element *e = cs->elements[0];
    return (state){NULL, e->form == DV_CODE_BYTE || e->form == DV_CODE_KANA ? e : NULL};
}

static bool resets(dv_vr vr, unsigned char c)
{
    if (c < 0x20)
        return true;
    switch (vr) {
    case DV_VR_PN:
        return c == '^' || c == '=' || c == '\\';
    case DV_VR_LT:
    case DV_VR_ST:
    case DV_VR_UT:
    case DV_VR_UR:
        return false;
    default:
        return c == '\\';
    }
}

static const char *name_of(const dv_code_element *e)
{
    return e->term ? e->term : e->extended;
}

/* All of IN through iconv. *BAD: how many bytes of IN came before the one that failed; SIZE_MAX when it was not the
 * text's fault. */
static bool convert(iconv_t cd, dv_text in, sink *out, size_t *bad, dv_error *err)
{
    char *from = (char *)(uintptr_t)in.at;
    size_t left = in.len;
    *bad = SIZE_MAX;
    iconv(cd, NULL, NULL, NULL, NULL);
    while (left > 0) {
        if (!sink_room(out, left + left / 2 + 8, err))
            return false;
        char *to = out->at + out->len;
        size_t room = out->size - out->len;
        size_t done = iconv(cd, &from, &left, &to, &room);
        out->len = (size_t)(to - out->at);
        if (done == (size_t)-1 && errno != E2BIG) {
            *bad = in.len - left;
            return false;
        }
    }
    return true;
}

/* ---- bytes to UTF-8 ---- */

static bool no_text(dv_error *err, dv_text bytes, size_t offset, const char *set)
{
    return dv_fail(err, DV_ERR_CHARSET, "byte %02X at offset %zu is no text in %s", (unsigned char)bytes.at[offset],
                   offset, set);
}

/* NEC's and IBM's additions to JIS X 0208 in its rows 13 and 89 to 92 (circled digits, the ladder form of "taka" in
 * names): Japanese systems send them in the set's escapes. CP932 has them, in Shift-JIS's places. False when PAIR is
 * none of them. */
static bool decode_vendor_pair(const char *pair, sink *out)
{
    unsigned row = (unsigned char)pair[0] - 0x20u, cell = (unsigned char)pair[1];
    handles *h = handles_get(NULL);
    iconv_t cd;
    size_t bad;
    if ((row != 13 && (row < 89 || row > 92)) || !h || !handle_open(&h->vendor, "UTF-8", "CP932", &cd, NULL))
        return false;
    unsigned lead = (row - 1) / 2 + (row <= 62 ? 0x81 : 0xC1), trail = cell + (row % 2 == 0  ? 0x7E
                                                                               : cell < 0x60 ? 0x1F
                                                                                             : 0x20);
    const char sjis[2] = {(char)lead, (char)trail};
    size_t before = out->len;
    if (convert(cd, (dv_text){sjis, 2}, out, &bad, NULL))
        return true;
    out->len = before;
    return false;
}

/* Two-byte characters of g0 from *I on, as far as they go. */
static bool decode_pairs(const dv_code_element *e, dv_text bytes, size_t *i, sink *out, dv_error *err)
{
    iconv_t cd;
    if (!handle_of(e, false, &cd, err))
        return false;
    char euc[3 * 64];
    while (*i < bytes.len) {
        size_t n = 0, from = *i, unit = e->form == DV_CODE_G0_212 ? 3 : 2;
        while (n + unit <= sizeof euc && *i < bytes.len && bytes.at[*i] > 0x20 && bytes.at[*i] < 0x7F) {
            if (*i + 1 == bytes.len || bytes.at[*i + 1] <= 0x20 || bytes.at[*i + 1] == 0x7F)
                return no_text(err, bytes, *i, name_of(e));
            if (unit == 3)
                euc[n++] = (char)0x8F;
            euc[n++] = (char)(bytes.at[*i] | 0x80);
            euc[n++] = (char)(bytes.at[*i + 1] | 0x80);
            *i += 2;
        }
        if (n == 0)
            return true;
        size_t bad;
        if (convert(cd, (dv_text){euc, n}, out, &bad, err))
            continue;
        if (bad == SIZE_MAX)
            return false;
        from += bad / unit * 2;
        if (unit == 3 || !decode_vendor_pair(bytes.at + from, out))
            return no_text(err, bytes, from, name_of(e));
        *i = from + 2;
    }
    return true;
}

/* Bytes over 7F from *I on, by g1. */
static bool decode_high(const dv_code_element *e, dv_text bytes, size_t *i, sink *out, dv_error *err)
{
    size_t from = *i;
    while (*i < bytes.len && (unsigned char)bytes.at[*i] >= 0x80) {
        unsigned char c = (unsigned char)bytes.at[*i];
        if (e->form == DV_CODE_KANA && (c < 0xA1 || c > 0xDF)) /* else Shift-JIS would make kanji of two */
            return no_text(err, bytes, *i, name_of(e));
        ++*i;
    }
    iconv_t cd;
    size_t bad;
    if (!handle_of(e, false, &cd, err))
        return false;
    if (!convert(cd, (dv_text){bytes.at + from, *i - from}, out, &bad, err))
        return bad == SIZE_MAX ? false : no_text(err, bytes, from + bad, name_of(e));
    return true;
}

static bool decode_escape(const dv_charset *cs, dv_text bytes, size_t *i, state *s, dv_error *err)
{
    size_t n = 0;
    bool g1 = false, declared = false;
    const dv_code_element *e = dv_code_escape((dv_text){bytes.at + *i + 1, bytes.len - *i - 1}, &n, &g1);
    if (!e)
        return dv_fail(err, DV_ERR_CHARSET, "the escape sequence at offset %zu is none of DICOM's", *i);
    for (uint8_t k = 0; k < cs->count; k++)
        declared |= cs->elements[k] == e;
    /* ASCII may always come back: Japanese consoles that declare IR 13 switch to it where they should switch to Roman.
     */
    if (!declared && e->form != DV_CODE_ASCII)
        return dv_fail(err, DV_ERR_CHARSET,
                       "the escape sequence at offset %zu switches to %s, which SpecificCharacterSet lacks", *i,
                       e->extended);
    if (g1)
        s->g1 = e;
    else
        s->g0 = e->form == DV_CODE_G0_PAIR || e->form == DV_CODE_G0_212 ? e : NULL;
    *i += 1 + n;
    return true;
}

/* CARRY: G1 stays as it is at delimiters. */
static bool decode(const dv_charset *cs, dv_vr vr, dv_text bytes, bool carry, dv_arena *arena, dv_text *out,
                   dv_error *err)
{
    *out = bytes;
    if (dv_text_is_ascii(bytes))
        return true;
    const dv_code_element *first = cs->elements[0];
    if (first->form == DV_CODE_UTF8) {
        for (size_t i = 0; i < bytes.len;) {
            size_t n = dv_utf8_next((dv_text){bytes.at + i, bytes.len - i}, NULL);
            if (n == 0)
                return no_text(err, bytes, i, first->term);
            i += n;
        }
        return true;
    }
    sink to = {.arena = arena};
    if (first->form == DV_CODE_GB) {
        iconv_t cd;
        size_t bad;
        if (!handle_of(first, false, &cd, err))
            return false;
        if (!convert(cd, bytes, &to, &bad, err))
            return bad == SIZE_MAX ? false : no_text(err, bytes, bad, first->term);
        *out = (dv_text){to.at, to.len};
        return true;
    }
    state s = initial(cs);
    if (!sink_room(&to, bytes.len + bytes.len / 2 + 8, err))
        return false;
    for (size_t i = 0; i < bytes.len;) {
        unsigned char c = (unsigned char)bytes.at[i];
        size_t n = 0;
        bool g1;
        if (c == DV_ESC && (cs->iso2022 || dv_code_escape((dv_text){bytes.at + i + 1, bytes.len - i - 1}, &n, &g1))) {
            if (!decode_escape(cs, bytes, &i, &s, err))
                return false;
        } else if (s.g0 && c > 0x20 && c < 0x7F) {
            if (!decode_pairs(s.g0, bytes, &i, &to, err))
                return false;
        } else if (c >= 0x80) {
            if (!s.g1)
                return no_text(err, bytes, i, first->form == DV_CODE_ASCII ? "ISO_IR 6 (ASCII)" : name_of(first));
            if (!decode_high(s.g1, bytes, &i, &to, err))
                return false;
        } else {
            if (resets(vr, c))
                s = carry ? (state){NULL, s.g1} : initial(cs);
            if (!sink_add(&to, bytes.at + i, 1, err))
                return false;
            i++;
        }
    }
    *out = (dv_text){to.at, to.len};
    return true;
}

bool dv_charset_decode(const dv_charset *cs, dv_vr vr, dv_text bytes, dv_arena *arena, dv_text *out, dv_error *err)
{
    return decode(cs, vr, bytes, false, arena, out, err);
}

bool dv_charset_decode_carried(const dv_charset *cs, dv_vr vr, dv_text bytes, dv_arena *arena, dv_text *out,
                               dv_error *err)
{
    return decode(cs, vr, bytes, true, arena, out, err);
}

/* ---- UTF-8 to bytes ---- */

static bool lacks(dv_error *err, dv_text utf8, size_t offset, const dv_charset *cs)
{
    uint32_t code = 0;
    if (dv_utf8_next((dv_text){utf8.at + offset, utf8.len - offset}, &code) == 0)
        return dv_fail(err, DV_ERR_CHARSET, "the text to be written is no UTF-8 at offset %zu", offset);
    return dv_fail(err, DV_ERR_CHARSET,
                   "U+%04X does not exist in %s%s; write SpecificCharacterSet ISO_IR 192 to keep it", (unsigned)code,
                   name_of(cs->elements[0]), cs->count > 1 ? " and the sets declared with it" : "");
}

/* CHARACTER (not ASCII) in E as the bytes that stand in the value; 0 when E lacks it, SIZE_MAX with ERR when iconv is
 * missing. */
static size_t encode_one(const dv_code_element *e, dv_text character, unsigned char bytes[4], dv_error *err)
{
    if (e->form == DV_CODE_ASCII)
        return 0;
    iconv_t cd;
    if (!handle_of(e, true, &cd, err))
        return SIZE_MAX;
    char euc[8], *to = euc, *from = (char *)(uintptr_t)character.at;
    size_t left = character.len, room = sizeof euc;
    iconv(cd, NULL, NULL, NULL, NULL);
    if (iconv(cd, &from, &left, &to, &room) != 0 || left > 0)
        return 0;
    size_t n = (size_t)(to - euc), skip = 0;
    const unsigned char *p = (const unsigned char *)euc;
    switch (e->form) {
    case DV_CODE_BYTE:
        if (n != 1 || p[0] < 0x80)
            return 0;
        break;
    case DV_CODE_KANA:
        if (n != 1 || p[0] < 0xA1 || p[0] > 0xDF)
            return 0;
        break;
    case DV_CODE_G0_212:
        if (n != 3 || p[0] != 0x8F)
            return 0;
        skip = 1;
        break;
    default:
        if (n != 2 || p[0] < 0xA1 || p[1] < 0xA1) /* EUC's one-byte and 8E forms belong to other elements */
            return 0;
        break;
    }
    bool low = e->form == DV_CODE_G0_PAIR || e->form == DV_CODE_G0_212;
    for (size_t i = skip; i < n; i++)
        bytes[i - skip] = low ? p[i] & 0x7F : p[i];
    return n - skip;
}

static bool add_escape(sink *to, const char *escape, dv_error *err)
{
    const char esc = DV_ESC;
    return sink_add(to, &esc, 1, err) && sink_add(to, escape, strlen(escape), err);
}

/* Back to the initial state. A G1 that was empty at the start has no escape that would empty it, and needs none. */
static bool go_initial(const dv_charset *cs, state *s, sink *to, dv_error *err)
{
    state start = initial(cs);
    const dv_code_element *first = cs->elements[0];
    if (s->g0 && !add_escape(to, first->g0 ? first->g0 : dv_code_elements[0].g0, err))
        return false;
    if (start.g1 && s->g1 != start.g1 && !add_escape(to, start.g1->g1, err))
        return false;
    *s = start;
    return true;
}

static bool encode_ascii(const dv_charset *cs, dv_vr vr, char c, state *s, sink *to, dv_error *err)
{
    if (resets(vr, (unsigned char)c)) {
        if (!go_initial(cs, s, to, err))
            return false;
    } else if (s->g0) {
        if (!add_escape(to, cs->elements[0]->g0 ? cs->elements[0]->g0 : dv_code_elements[0].g0, err))
            return false;
        s->g0 = NULL;
    }
    return sink_add(to, &c, 1, err);
}

/* *FOUND false: no element of CS has it. */
static bool encode_wide(const dv_charset *cs, dv_text character, state *s, sink *to, bool *found, dv_error *err)
{
    *found = false;
    for (uint8_t i = 0; i < cs->count; i++) {
        const dv_code_element *e = cs->elements[i];
        unsigned char bytes[4];
        size_t n = encode_one(e, character, bytes, err);
        if (n == SIZE_MAX)
            return false;
        if (n == 0)
            continue;
        *found = true;
        bool low = e->form == DV_CODE_G0_PAIR || e->form == DV_CODE_G0_212;
        if (low && s->g0 != e) {
            if (!add_escape(to, e->g0, err))
                return false;
            s->g0 = e;
        } else if (!low && s->g1 != e) {
            if (!add_escape(to, e->g1, err))
                return false;
            s->g1 = e;
        }
        return sink_add(to, bytes, n, err);
    }
    return true;
}

bool dv_charset_encode(const dv_charset *cs, dv_vr vr, dv_text utf8, dv_arena *arena, dv_text *out, dv_error *err)
{
    *out = utf8;
    if (dv_text_is_ascii(utf8))
        return true;
    const dv_code_element *first = cs->elements[0];
    sink to = {.arena = arena};
    if (first->form == DV_CODE_UTF8) {
        for (size_t i = 0; i < utf8.len;) {
            size_t n = dv_utf8_next((dv_text){utf8.at + i, utf8.len - i}, NULL);
            if (n == 0)
                return lacks(err, utf8, i, cs);
            i += n;
        }
        return true;
    }
    if (first->form == DV_CODE_GB) {
        iconv_t cd;
        size_t bad;
        if (!handle_of(first, true, &cd, err))
            return false;
        if (!convert(cd, utf8, &to, &bad, err))
            return bad == SIZE_MAX ? false : lacks(err, utf8, bad, cs);
        *out = (dv_text){to.at, to.len};
        return true;
    }
    state s = initial(cs);
    if (!sink_room(&to, utf8.len + 32, err))
        return false;
    for (size_t i = 0; i < utf8.len;) {
        if (utf8.at[i] == DV_ESC)
            return dv_fail(err, DV_ERR_CHARSET,
                           "the text to be written has an ESC at offset %zu, which is kept for character sets", i);
        dv_text one = {utf8.at + i, dv_utf8_next((dv_text){utf8.at + i, utf8.len - i}, NULL)};
        bool found = true;
        if (one.len == 0)
            return lacks(err, utf8, i, cs);
        if (one.len == 1 ? !encode_ascii(cs, vr, *one.at, &s, &to, err) : !encode_wide(cs, one, &s, &to, &found, err))
            return false;
        if (!found)
            return lacks(err, utf8, i, cs);
        i += one.len;
    }
    if (!go_initial(cs, &s, &to, err))
        return false;
    *out = (dv_text){to.at, to.len};
    return true;
}
