/* native's functions on values: dates, times, names, checks, folding, wildcards. They touch no dataset. */
#include "rules/bind_internal.h"

#include "dicom/dict.h"
#include "dicom/values.h"

#include <locale.h>
#include <pthread.h>
#include <wctype.h>

static dv_text text_arg(lua_State *L, int index)
{
    dv_text t;
    t.at = luaL_checklstring(L, index, &t.len);
    return t;
}

static dv_vr vr_arg(lua_State *L, int index)
{
    return dv_bind_vr(text_arg(L, index));
}

/* vr(name) -> nil when there is no such VR; else may hold text, maximum length */
static int native_vr(lua_State *L)
{
    dv_vr vr = vr_arg(L, 1);
    const dv_vr_info *info = vr ? dv_vr_lookup(vr) : NULL;
    if (!info)
        return 0;
    lua_pushboolean(L, info->text);
    lua_pushinteger(L, info->max);
    return 2;
}

/* check(vr, value) -> nil when right, else what is wrong */
static int native_check(lua_State *L)
{
    dv_error err;
    if (dv_value_check(vr_arg(L, 1), text_arg(L, 2), &err))
        return 0;
    lua_pushstring(L, err.message);
    return 1;
}

/* date(text) -> year, month, day, days since 1970; nil unless a DA */
static int native_date(lua_State *L)
{
    dv_date d;
    if (!dv_date_parse(text_arg(L, 1), &d))
        return 0;
    lua_pushinteger(L, d.year);
    lua_pushinteger(L, d.month);
    lua_pushinteger(L, d.day);
    lua_pushinteger(L, dv_date_days(d));
    return 4;
}

/* time(text) -> hour, minute, second, micro, digits; nil unless a TM */
static int native_time(lua_State *L)
{
    dv_time t;
    if (!dv_time_parse(text_arg(L, 1), &t))
        return 0;
    lua_pushinteger(L, t.hour);
    lua_pushinteger(L, t.minute);
    lua_pushinteger(L, t.second);
    lua_pushinteger(L, t.micro);
    lua_pushinteger(L, t.digits);
    return 5;
}

/* age(birth, day) -> "045Y"; nil when either is no DA, or the day is before the birth */
static int native_age(lua_State *L)
{
    dv_date birth, day;
    char age[5];
    if (!dv_date_parse(text_arg(L, 1), &birth) || !dv_date_parse(text_arg(L, 2), &day) ||
        !dv_age_compute(birth, day, age))
        return 0;
    lua_pushstring(L, age);
    return 1;
}

/* name(text) -> 15 texts: family given middle prefix suffix, of three groups; nil unless a PN */
static int native_name(lua_State *L)
{
    dv_name name;
    if (!dv_name_parse(text_arg(L, 1), &name))
        return 0;
    const dv_name_group *groups[3] = {&name.alphabetic, &name.ideographic, &name.phonetic};
    luaL_checkstack(L, 16, NULL);
    for (int i = 0; i < 3; i++) {
        dv_text part[5] = {groups[i]->family, groups[i]->given, groups[i]->middle, groups[i]->prefix,
                           groups[i]->suffix};
        for (int k = 0; k < 5; k++)
            lua_pushlstring(L, part[k].at ? part[k].at : "", part[k].len);
    }
    return 15;
}

/* uid_from(seed) -> the same UID for the same seed */
static int native_uid_from(lua_State *L)
{
    char uid[65];
    dv_error err;
    if (!dv_uid_from(text_arg(L, 1), uid, &err))
        return dv_bind_raise_bare(L, &err);
    lua_pushstring(L, uid);
    return 1;
}

static int native_uid_check(lua_State *L)
{
    lua_pushboolean(L, dv_uid_check(text_arg(L, 1)));
    return 1;
}

static int native_charset_term(lua_State *L)
{
    lua_pushstring(L, dv_charset_term(text_arg(L, 1)));
    return 1;
}

/* distance(a, b, limit) -> edits between two words */
static int native_distance(lua_State *L)
{
    lua_pushinteger(L, dv_text_distance(text_arg(L, 1), text_arg(L, 2), (unsigned)luaL_optinteger(L, 3, 3)));
    return 1;
}

/* keyword(tag as keyword or path) -> VR by the dictionary when the word is a keyword of it, else nil and the nearest
 * keyword */
static int native_keyword(lua_State *L)
{
    dv_text word = text_arg(L, 1);
    const dv_dict_entry *entry = dv_dict_by_keyword(word);
    if (entry) {
        char vr[2] = {(char)(entry->vr >> 8), (char)(entry->vr & 0xFF)};
        lua_pushlstring(L, vr, 2);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, dv_dict_nearest(word));
    return 2;
}

/* length(text) -> characters */
static int native_length(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)dv_utf8_length(text_arg(L, 1)));
    return 1;
}

/* ---- case and wildcards, in UTF-8 ---- */

static locale_t folding;
static pthread_once_t folding_once = PTHREAD_ONCE_INIT;

static void open_folding(void)
{
    folding = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0); /* (locale_t)0 when absent: ASCII only then */
}

/* One character of T from *AT; bytes that are no UTF-8 are given singly. */
static uint32_t next_char(dv_text t, size_t *at)
{
    unsigned char c = (unsigned char)t.at[*at];
    size_t n = c < 0x80 ? 1 : c < 0xC2 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 1;
    uint32_t code = n == 1 ? c : c & (0x7Fu >> n);
    if (*at + n > t.len)
        n = 1;
    for (size_t i = 1; i < n; i++) {
        unsigned char next = (unsigned char)t.at[*at + i];
        if ((next & 0xC0) != 0x80) {
            n = 1;
            break;
        }
        code = code << 6 | (next & 0x3Fu);
    }
    *at += n;
    return n == 1 ? c : code;
}

static uint32_t fold_char(uint32_t c)
{
    if (c < 0x80)
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    return folding ? (uint32_t)towlower_l((wint_t)c, folding) : c;
}

static size_t put_char(uint32_t c, char *out)
{
    if (c < 0x80)
        return out[0] = (char)c, 1;
    if (c < 0x800)
        return out[0] = (char)(0xC0 | c >> 6), out[1] = (char)(0x80 | (c & 0x3F)), 2;
    if (c < 0x10000)
        return out[0] = (char)(0xE0 | c >> 12), out[1] = (char)(0x80 | (c >> 6 & 0x3F)),
               out[2] = (char)(0x80 | (c & 0x3F)), 3;
    out[0] = (char)(0xF0 | c >> 18), out[1] = (char)(0x80 | (c >> 12 & 0x3F)), out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    return out[3] = (char)(0x80 | (c & 0x3F)), 4;
}

static bool plain_lower(dv_text t)
{
    for (size_t i = 0; i < t.len; i++)
        if ((unsigned char)t.at[i] >= 0x80 || (t.at[i] >= 'A' && t.at[i] <= 'Z'))
            return false;
    return true;
}

/* fold(text) -> in lower case, for comparing */
static int native_fold(lua_State *L)
{
    dv_text t = text_arg(L, 1);
    if (plain_lower(t)) {
        lua_settop(L, 1);
        return 1;
    }
    pthread_once(&folding_once, open_folding);
    luaL_Buffer out;
    luaL_buffinit(L, &out);
    for (size_t at = 0; at < t.len;) {
        size_t from = at;
        uint32_t c = next_char(t, &at);
        if (at - from == 1 && c >= 0x80) { /* no UTF-8: kept */
            luaL_addchar(&out, (char)c);
            continue;
        }
        char bytes[4];
        luaL_addlstring(&out, bytes, put_char(fold_char(c), bytes));
    }
    luaL_pushresult(&out);
    return 1;
}

/* Whole-text match of `*` and `?`. Two cursors and one place to come back to: never worse than |text| * |pattern|. */
static bool glob(lua_State *L, dv_text text, dv_text pattern)
{
    size_t t = 0, p = 0, star = SIZE_MAX, back = 0;
    int64_t steps = 0;
    while (t < text.len) {
        size_t t2 = t, p2 = p;
        if ((++steps & 0xFFF) == 0)
            dv_sandbox_step(L, 0x1000);
        if (p < pattern.len && pattern.at[p] == '*') {
            star = ++p;
            back = t;
            continue;
        }
        if (p < pattern.len) {
            uint32_t want = next_char(pattern, &p2), got = next_char(text, &t2);
            if (want == '?' || want == got) {
                t = t2;
                p = p2;
                continue;
            }
        }
        if (star == SIZE_MAX)
            return false;
        p = star;
        next_char(text, &back);
        t = back;
    }
    while (p < pattern.len && pattern.at[p] == '*')
        p++;
    return p == pattern.len;
}

static int native_glob(lua_State *L)
{
    lua_pushboolean(L, glob(L, text_arg(L, 1), text_arg(L, 2)));
    return 1;
}

/* contains, starts, ends (text, part): the plain comparisons of conditions, without a pattern and without a new string
 */
static int native_contains(lua_State *L)
{
    dv_text t = text_arg(L, 1), part = text_arg(L, 2);
    lua_pushboolean(L, part.len <= t.len && memmem(t.at, t.len, part.at, part.len) != NULL);
    return 1;
}

static int native_starts(lua_State *L)
{
    lua_pushboolean(L, dv_text_starts(text_arg(L, 1), text_arg(L, 2)));
    return 1;
}

static int native_ends(lua_State *L)
{
    dv_text t = text_arg(L, 1), part = text_arg(L, 2);
    lua_pushboolean(L, part.len <= t.len && memcmp(t.at + t.len - part.len, part.at, part.len) == 0);
    return 1;
}

/* offset(text) -> is it an offset from UTC as PS3.3 C.12.1.1.8 wants it, +HHMM */
static int native_offset(lua_State *L)
{
    dv_text t = text_arg(L, 1);
    bool good = t.len == 5 && (t.at[0] == '+' || t.at[0] == '-');
    for (size_t i = 1; good && i < 5; i++)
        good = t.at[i] >= '0' && t.at[i] <= '9';
    lua_pushboolean(L, good && t.at[3] < '6');
    return 1;
}

void dv_bind_values(lua_State *L, dv_bind *b)
{
    static const luaL_Reg functions[] = {
        {"vr", native_vr},
        {"check", native_check},
        {"date", native_date},
        {"time", native_time},
        {"age", native_age},
        {"name", native_name},
        {"uid_from", native_uid_from},
        {"uid_check", native_uid_check},
        {"charset_term", native_charset_term},
        {"distance", native_distance},
        {"keyword", native_keyword},
        {"length", native_length},
        {"fold", native_fold},
        {"glob", native_glob},
        {"contains", native_contains},
        {"starts", native_starts},
        {"ends", native_ends},
        {"offset", native_offset},
        {NULL, NULL},
    };
    dv_bind_set(L, b, functions);
}
