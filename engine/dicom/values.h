/* values.h: dates, times, ages, names, numbers and UIDs in their parts (PS3.5 6.2, 6.2.1, 9.1).
 * Nothing here changes a value by itself: parse says what is there, check says what is wrong.
 * Threads   pure functions. */
#ifndef DV_DICOM_VALUES_H
#define DV_DICOM_VALUES_H

#include "base/arena.h"
#include "base/error.h"
#include "dicom/tag.h"

typedef struct dv_date {
    int year, month, day;
} dv_date;
typedef struct dv_time {
    int hour, minute, second, micro;
    int digits; /* how many of HHMMSSFFFFFF were given */
} dv_time;

/* Strictly DA: YYYYMMDD of a day that exists. */
bool dv_date_parse(dv_text t, dv_date *out);
/* Strictly TM: HH[MM[SS[.F{1,6}]]], second 60 allowed. */
bool dv_time_parse(dv_text t, dv_time *out);
/* Days since 1970-01-01, for differences. */
int64_t dv_date_days(dv_date d);
/* AS at DAY for one born on BIRTH: D below 4 weeks, W below 3 months, M below 2 years, else Y. Into BUF "045Y". False when
 * DAY is before BIRTH or over 999 years. */
bool dv_age_compute(dv_date birth, dv_date day, char buf[5]);

typedef struct dv_name_group {
    dv_text family, given, middle, prefix, suffix;
} dv_name_group;
typedef struct dv_name {
    dv_name_group alphabetic, ideographic, phonetic;
} dv_name;
/* Parts borrow from T (UTF-8). Absent parts are empty. False: more than 3 groups or 5 components. */
bool dv_name_parse(dv_text t, dv_name *out);

/* One value against its VR (PS3.5 Table 6.2-1): characters, form, length. T is UTF-8 without padding. True when it is
 * right; else ERR (VALUE) says what is wrong. Empty is right. */
bool dv_value_check(dv_vr vr, dv_text t, dv_error *err);
/* PS3.5 9.1: digits and dots, no leading zeros, 64 characters. */
bool dv_uid_check(dv_text t);
/* A new UID below 2.25 from random bits (PS3.5 B.2), at most 44 characters, into BUF of 65. */
bool dv_uid_make(char buf[65], dv_error *err);
/* The same for equal SEEDs: 2.25.<first 128 bits of SHA-256>. */
bool dv_uid_from(dv_text seed, char buf[65], dv_error *err);

#endif
