/* catalog_fixture.h: a catalog in a folder of its own, and instances to put into it. */
#ifndef CATALOG_FIXTURE_H
#define CATALOG_FIXTURE_H

#include "base/file.h"
#include "catalog/catalog.h"
#include "engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[64], path[DSN_SIZE];
static dv_catalog *cat;
static dv_error err;
static char uids[4][70];

static int open_catalog(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/dv-catalog-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    char file[96];
    snprintf(file, sizeof file, "%s/catalog.db", folder);
    if (!new_database(file, path))
        return -1;
    cat = dv_catalog_open(path, &err);
    if (cat)
        dv_catalog_recovered(cat); /* there is nothing to look for */
    return cat ? 0 : -1;
}

static int close_catalog(void **state)
{
    (void)state;
    dv_catalog_close(cat);
    cat = NULL;
    return drop_database(path) && dv_remove_tree(folder, NULL) ? 0 : -1;
}

static const uint8_t hash_a[32] = {1}, hash_b[32] = {2}, hash_c[32] = {3};

/* Instance I of series SERIES of study STUDY of patient "P<study>". The UIDs lie in a static buffer until the next
 * call. */
static inline dv_instance instance(int study, int series, int i)
{
    snprintf(uids[0], sizeof uids[0], "1.2.%d", study);
    snprintf(uids[1], sizeof uids[1], "1.2.%d.%d", study, series);
    snprintf(uids[2], sizeof uids[2], "1.2.%d.%d.%d", study, series, i);
    snprintf(uids[3], sizeof uids[3], "P%d", study);
    dv_text st = dv_text_of(uids[0]), se = dv_text_of(uids[1]), sop = dv_text_of(uids[2]), pid = dv_text_of(uids[3]);
    return (dv_instance){.received_sop_uid = sop,
                         .received_study_uid = st,
                         .received_series_uid = se,
                         .received_patient_id = pid,
                         .received_accession = DV_TEXT("acc 1"),
                         .sop_uid = sop,
                         .sop_class = DV_TEXT("1.2.840.10008.5.1.4.1.1.2"),
                         .transfer_syntax = DV_TEXT("1.2.840.10008.1.2.1"),
                         .instance_number = DV_TEXT("1"),
                         .study_uid = st,
                         .study_date = DV_TEXT("20240131"),
                         .study_time = DV_TEXT("101112"),
                         .study_description = DV_TEXT("Thorax"),
                         .accession = DV_TEXT("N-ACC1"),
                         .series_uid = se,
                         .modality = DV_TEXT("CT"),
                         .patient_id = pid,
                         .patient_name = DV_TEXT("M\xc3\xbcller^Hans"),
                         .birth_date = DV_TEXT("19500101"),
                         .sex = DV_TEXT("M"),
                         .path = DV_TEXT("objects/2024/01/31/101/x/y.dcm"),
                         .bytes = 1000,
                         .received_hash = hash_a,
                         .header_hash = hash_b,
                         .body_hash = hash_c,
                         .generation = 1,
                         .source = DV_TEXT("GE_MAIN"),
                         .received_at = 1700000000000000};
}

typedef struct adding {
    const dv_instance *row;
    dv_seen seen;
    int64_t id;
    const char *why;
} adding;

static inline bool add_work(dv_db *db, void *user, dv_error *e)
{
    adding *a = user;
    return dv_catalog_add_instance_why(db, a->row, &a->seen, &a->id, &a->why, e);
}

static inline adding add(const dv_instance *row)
{
    adding a = {.row = row};
    if (!dv_catalog_write(cat, false, add_work, &a, &err))
        fail_msg("%s", err.message);
    return a;
}

static inline int64_t ask(const char *sql)
{
    int64_t n = -1;
    dv_db *db = dv_catalog_reader(cat, &err);
    assert_non_null(db);
    if (!dv_db_int(db, -1, &n, &err, sql, ""))
        fail_msg("%s", err.message);
    return n;
}

#endif
