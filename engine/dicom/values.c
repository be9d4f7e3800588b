#include "dicom/values.h"

#include "base/hash.h"
#include "dicom/charset.h"

#include <stdio.h>
#include <sys/random.h>

/* N digits at P as a number; -1 when one is none. */
static int digits(const char *p, int n)
{
    int v = 0;
    for (int i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return -1;
        v = v * 10 + (p[i] - '0');
    }
    return v;
}

/* ---- dates, times, ages ---- */

static int days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

bool dv_date_parse(dv_text t, dv_date *out)
{
    if (t.len != 8)
        return false;
    dv_date d = {digits(t.at, 4), digits(t.at + 4, 2), digits(t.at + 6, 2)};
    if (d.year < 1 || d.month < 1 || d.month > 12 || d.day < 1 || d.day > days_in(d.year, d.month))
        return false;
    *out = d;
    return true;
}

bool dv_time_parse(dv_text t, dv_time *out)
{
    dv_time v = {0};
    size_t whole = dv_text_find(t, '.');
    if (whole != 2 && whole != 4 && whole != 6)
        return false;
    v.hour = digits(t.at, 2);
    v.minute = whole >= 4 ? digits(t.at + 2, 2) : 0;
    v.second = whole >= 6 ? digits(t.at + 4, 2) : 0;
    if (v.hour < 0 || v.hour > 23 || v.minute < 0 || v.minute > 59 || v.second < 0 || v.second > 60)
        return false;
    v.digits = (int)whole;
    if (whole < t.len) {
        size_t n = t.len - whole - 1;
        if (whole != 6 || n < 1 || n > 6)
            return false;
        v.micro = digits(t.at + 7, (int)n);
        if (v.micro < 0)
            return false;
        for (size_t i = n; i < 6; i++)
            v.micro *= 10;
        v.digits += (int)n;
    }
    *out = v;
    return true;
}

int64_t dv_date_days(dv_date d)
{
    /* Days before the year's first of March, years beginning then: the leap day is the last. */
    int64_t y = d.month <= 2 ? d.year - 1 : d.year;
    int64_t m = (d.month + 9) % 12;
    return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + d.day - 1 - 719468;
}

bool dv_age_compute(dv_date birth, dv_date day, char buf[5])
{
    int64_t days = dv_date_days(day) - dv_date_days(birth);
    int months = (day.year - birth.year) * 12 + day.month - birth.month - (day.day < birth.day);
    int number = months / 12;
    char unit = 'Y';
    if (days < 0 || number > 999)
        return false;
    if (days < 28) {
        number = (int)days;
        unit = 'D';
    } else if (months < 3) {
        number = (int)(days / 7);
        unit = 'W';
    } else if (months < 24) {
        number = months;
        unit = 'M';
    }
    snprintf(buf, 5, "%03u%c", (unsigned)number % 1000u, unit);
    return true;
}

/* ---- person names ---- */

static bool group_parse(dv_text t, dv_name_group *out)
{
    const dv_text empty = {"", 0};
    dv_text *part[] = {&out->family, &out->given, &out->middle, &out->prefix, &out->suffix};
    dv_text rest = t.at ? t : empty;
    for (size_t i = 0; i < 5; i++) {
        *part[i] = rest.at ? dv_text_split(rest, '^', &rest) : empty;
        if (!part[i]->at)
            *part[i] = empty;
    }
    return rest.at == NULL;
}

bool dv_name_parse(dv_text t, dv_name *out)
{
    dv_name_group *group[] = {&out->alphabetic, &out->ideographic, &out->phonetic};
    dv_text rest = t;
    bool good = true;
    for (size_t i = 0; i < 3; i++) {
        dv_text one = rest.at ? dv_text_split(rest, '=', &rest) : (dv_text){0};
        good &= group_parse(one, group[i]);
    }
    return good && rest.at == NULL;
}

/* ---- one value against its VR ---- */

/* Values of patients do not enter the log, but an error of a rule may be shown to its author; 40 bytes tell enough. */
#define SHOWN(t) (int)((t).len > 40 ? 40 : (t).len), ((t).at ? (t).at : "")

static bool wrong(dv_error *err, dv_vr vr, dv_text t, const char *why)
{
    return dv_fail(err, DV_ERR_VALUE, "'%.*s' is no %c%c: %s", SHOWN(t), vr >> 8, vr & 0xFF, why);
}

static bool too_long(dv_error *err, dv_vr vr, size_t length, size_t max)
{
    return dv_fail(err, DV_ERR_VALUE, "%zu characters are too many for %c%c, which takes %zu", length, vr >> 8,
                   vr & 0xFF, max);
}

static bool only(dv_text t, const char *set)
{
    for (size_t i = 0; i < t.len; i++)
        if (t.at[i] == '\0' || !strchr(set, t.at[i]))
            return false;
    return true;
}

static bool are_digits(dv_text t)
{
    for (size_t i = 0; i < t.len; i++)
        if (t.at[i] < '0' || t.at[i] > '9')
            return false;
    return true;
}

static bool is_code(dv_text t)
{
    for (size_t i = 0; i < t.len; i++) {
        char c = t.at[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ' ' || c == '_'))
            return false;
    }
    return true;
}

static dv_text trim_blanks(dv_text t)
{
    while (t.len > 0 && t.at[0] == ' ')
        t = (dv_text){t.at + 1, t.len - 1};
    while (t.len > 0 && t.at[t.len - 1] == ' ')
        t.len--;
    return t;
}

/* Text without control characters; LINES allows tab, line feed, form feed, carriage return. BACKSLASH allows that. */
static bool check_text(dv_vr vr, dv_text t, size_t max, bool lines, bool backslash, dv_error *err)
{
    for (size_t i = 0; i < t.len; i++) {
        unsigned char c = (unsigned char)t.at[i];
        bool line = c == '\t' || c == '\n' || c == '\f' || c == '\r';
        if ((c < 0x20 && !(line && lines)) || c == 0x7F)
            return dv_fail(err, DV_ERR_VALUE, "control character %02X at offset %zu is not allowed in %c%c", c, i,
                           vr >> 8, vr & 0xFF);
        if (c == '\\' && !backslash)
            return wrong(err, vr, t, "a backslash separates values");
    }
    size_t n = dv_utf8_length(t);
    return max && n > max ? too_long(err, vr, n, max) : true;
}

static bool check_ascii(dv_vr vr, dv_text t, size_t max, dv_error *err)
{
    if (!dv_text_is_ascii(t))
        return wrong(err, vr, t, "letters outside ASCII are not allowed");
    return check_text(vr, t, max, false, false, err);
}

/* [+-]digits[.digits][E[+-]digits], some digit before or behind the point. */
static bool is_decimal(dv_text t)
{
    size_t i = 0, n = 0;
    if (i < t.len && (t.at[i] == '+' || t.at[i] == '-'))
        i++;
    for (; i < t.len && t.at[i] >= '0' && t.at[i] <= '9'; i++)
        n++;
    if (i < t.len && t.at[i] == '.')
        for (i++; i < t.len && t.at[i] >= '0' && t.at[i] <= '9'; i++)
            n++;
    if (n == 0)
        return false;
    if (i < t.len && (t.at[i] == 'E' || t.at[i] == 'e')) {
        i++;
        if (i < t.len && (t.at[i] == '+' || t.at[i] == '-'))
            i++;
        size_t first = i;
        while (i < t.len && t.at[i] >= '0' && t.at[i] <= '9')
            i++;
        if (i == first)
            return false;
    }
    return i == t.len;
}

/* [+-]digits between -2^(BITS-1) and 2^(BITS-1)-1, or 0 and 2^BITS-1. */
static bool is_integer(dv_text t, int bits, bool is_signed)
{
    bool minus = t.len > 0 && t.at[0] == '-';
    uint64_t v;
    if (t.len > 0 && (minus || t.at[0] == '+'))
        t = (dv_text){t.at + 1, t.len - 1};
    if (!dv_text_uint(t, &v))
        return false;
    uint64_t top = is_signed ? (uint64_t)1 << (bits - 1) : bits == 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
    if (minus)
        return is_signed ? v <= top : v == 0;
    return is_signed ? v < top : v <= top;
}

/* YYYY[MM[DD[HH[MM[SS[.F{1,6}]]]]]][&ZZXX] */
static bool is_datetime(dv_text t)
{
    size_t zone = 0;
    while (zone < t.len && t.at[zone] != '+' && t.at[zone] != '-')
        zone++;
    if (zone < t.len) {
        int hours = t.len - zone == 5 ? digits(t.at + zone + 1, 2) : -1,
            minutes = hours >= 0 ? digits(t.at + zone + 3, 2) : -1;
        int all = hours * 60 + minutes;
        if (hours < 0 || minutes < 0 || minutes > 59 || (t.at[zone] == '-' ? all > 12 * 60 || all == 0 : all > 14 * 60))
            return false;
    }
    t.len = zone;
    if (t.len < 4 || digits(t.at, 4) < 1)
        return false;
    if (t.len == 4)
        return true;
    if (t.len == 6) {
        int month = digits(t.at + 4, 2);
        return month >= 1 && month <= 12;
    }
    dv_date date;
    dv_time time;
    if (t.len < 8 || !dv_date_parse((dv_text){t.at, 8}, &date))
        return false;
    return t.len == 8 || dv_time_parse((dv_text){t.at + 8, t.len - 8}, &time);
}

static bool check_name(dv_text t, dv_error *err)
{
    if (!check_text(DV_VR_PN, t, 0, false, false, err))
        return false;
    dv_text rest = t;
    size_t groups = 0;
    while (rest.at) {
        dv_text group = dv_text_split(rest, '=', &rest);
        size_t components = 1, n = dv_utf8_length(group);
        for (size_t i = 0; i < group.len; i++)
            components += group.at[i] == '^';
        if (++groups > 3)
            return wrong(err, DV_VR_PN, t, "it has more than 3 component groups");
        if (components > 5)
            return wrong(err, DV_VR_PN, t, "a group has more than 5 components");
        if (n > 64)
            return dv_fail(err, DV_ERR_VALUE, "%zu characters are too many for a component group of PN, which takes 64",
                           n);
    }
    return true;
}

static bool check_string(dv_vr vr, dv_text t, dv_error *err)
{
    dv_date date;
    dv_time time;
    switch (vr) {
    case DV_VR_AE:
        return check_ascii(vr, t, 16, err) && (trim_blanks(t).len > 0 || wrong(err, vr, t, "it is blank"));
    case DV_VR_AS:
        return (t.len == 4 && digits(t.at, 3) >= 0 && strchr("DWMY", t.at[3]) && t.at[3]) ||
               wrong(err, vr, t, "it must be three digits and one of D W M Y");
    case DV_VR_CS:
        if (!is_code(t))
            return wrong(err, vr, t, "only A-Z, 0-9, blank and underscore are allowed");
        return t.len <= 16 || too_long(err, vr, t.len, 16);
    case DV_VR_DA:
        return dv_date_parse(t, &date) || wrong(err, vr, t, "it must be YYYYMMDD of a day that exists");
    case DV_VR_DS:
        if (!is_decimal(trim_blanks(t)))
            return wrong(err, vr, t, "it must be a decimal number");
        return t.len <= 16 || too_long(err, vr, t.len, 16);
    case DV_VR_DT:
        return is_datetime(t) || wrong(err, vr, t, "it must be YYYYMMDDHHMMSS.FFFFFF&ZZXX or its beginning");
    case DV_VR_IS:
        if (!is_integer(trim_blanks(t), 32, true))
            return wrong(err, vr, t, "it must be a whole number from -2147483648 to 2147483647");
        return t.len <= 12 || too_long(err, vr, t.len, 12);
    case DV_VR_LO:
        return check_text(vr, t, 64, false, false, err);
    case DV_VR_LT:
        return check_text(vr, t, 10240, true, true, err);
    case DV_VR_PN:
        return check_name(t, err);
    case DV_VR_SH:
        return check_text(vr, t, 16, false, false, err);
    case DV_VR_ST:
        return check_text(vr, t, 1024, true, true, err);
    case DV_VR_TM:
        return dv_time_parse(t, &time) || wrong(err, vr, t, "it must be HHMMSS.FFFFFF or its beginning");
    case DV_VR_UC:
        return check_text(vr, t, 0, false, false, err);
    case DV_VR_UI:
        return dv_uid_check(t) ||
               wrong(err, vr, t, "it must be numbers and points, no leading zeros, at most 64 characters");
    case DV_VR_UR:
        return only(t, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/?#[]@!$&'()*+,;=%") ||
               wrong(err, vr, t, "a character is not allowed in a URI (RFC 3986)");
    default: /* UT */
        return check_text(vr, t, 0, true, true, err);
    }
}

static bool check_binary(dv_vr vr, dv_text t, dv_error *err)
{
    bool good = true;
    switch (vr) {
    case DV_VR_US:
        good = is_integer(t, 16, false);
        break;
    case DV_VR_SS:
        good = is_integer(t, 16, true);
        break;
    case DV_VR_UL:
        good = is_integer(t, 32, false);
        break;
    case DV_VR_SL:
        good = is_integer(t, 32, true);
        break;
    case DV_VR_UV:
        good = is_integer(t, 64, false);
        break;
    case DV_VR_SV:
        good = is_integer(t, 64, true);
        break;
    case DV_VR_FL:
    case DV_VR_FD:
        good = is_decimal(t) || dv_text_equal_nocase(t, DV_TEXT("nan")) || dv_text_equal_nocase(t, DV_TEXT("inf")) ||
               dv_text_equal_nocase(t, DV_TEXT("-inf"));
        break;
    case DV_VR_AT:
        good = t.len == 8 && only(t, "0123456789ABCDEFabcdef");
        break;
    default:
        break;
    }
    return good ||
           wrong(err, vr, t, vr == DV_VR_AT ? "it must be eight hexadecimal digits" : "it is no number in its range");
}

bool dv_value_check(dv_vr vr, dv_text t, dv_error *err)
{
    const dv_vr_info *info = dv_vr_lookup(vr);
    if (t.len == 0 || !info)
        return true;
    if (!info->text)
        return check_binary(vr, t, err);
    if (!dv_utf8_valid(t))
        return wrong(err, vr, t, "it is no UTF-8");
    return check_string(vr, t, err);
}

/* ---- UIDs ---- */

bool dv_uid_check(dv_text t)
{
    if (t.len == 0 || t.len > 64)
        return false;
    for (dv_text rest = t; rest.at;) {
        dv_text part = dv_text_split(rest, '.', &rest);
        if (part.len == 0 || !are_digits(part) || (part.len > 1 && part.at[0] == '0'))
            return false;
    }
    return true;
}

/* 16 bytes, first the highest, as one decimal number below 2.25 (PS3.5 B.2). */
static void uid_print(const uint8_t bytes[16], char buf[65])
{
    unsigned __int128 v = 0;
    char reversed[40];
    size_t n = 0, at = 5;
    for (int i = 0; i < 16; i++)
        v = v << 8 | bytes[i];
    do {
        reversed[n++] = (char)('0' + (int)(v % 10));
        v /= 10;
    } while (v > 0);
    memcpy(buf, "2.25.", at);
    while (n > 0)
        buf[at++] = reversed[--n];
    buf[at] = '\0';
}

bool dv_uid_make(char buf[65], dv_error *err)
{
    uint8_t bytes[16];
    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
        return dv_fail_errno(err, "cannot get random bytes for a UID");
    bytes[6] = (uint8_t)((bytes[6] & 0x0F) | 0x40); /* a UUID of version 4 */
    bytes[8] = (uint8_t)((bytes[8] & 0x3F) | 0x80);
    uid_print(bytes, buf);
    return true;
}

bool dv_uid_from(dv_text seed, char buf[65], dv_error *err)
{
    uint8_t hash[DV_SHA256_BYTES];
    if (!dv_sha256_of(seed.at, seed.len, hash, err))
        return false;
    uid_print(hash, buf);
    return true;
}
