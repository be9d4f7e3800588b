/* store_fixture.h: a store in a folder of its own, and objects to put into it. */
#ifndef STORE_FIXTURE_H
#define STORE_FIXTURE_H

#include "base/file.h"
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[96];
static dv_store *store;
static dv_error err;

static inline int open_store(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "%s/dv-store-XXXXXX", getenv("DV_TEST_TMP") ? getenv("DV_TEST_TMP") : "/tmp");
    if (!mkdtemp(folder))
        return -1;
    store = dv_store_open(folder, &err);
    if (!store)
        fprintf(stderr, "%s\n", err.message);
    return store ? 0 : -1;
}

static inline int close_store(void **state)
{
    (void)state;
    dv_store_close(store);
    store = NULL;
    return dv_remove_tree(folder, NULL) ? 0 : -1;
}

/* A dataset in explicit little endian: SOP class and instance, patient; the head of Pixel Data. */
static const uint8_t header_bytes[] = "\x08\0\x16\0UI\x04\0"
                                      "1.2\0"
                                      "\x08\0\x18\0UI\x08\0"
                                      "1.2.3.4\0"
                                      "\x10\0\x10\0PN\x04\0"
                                      "A^B "
                                      "\xe0\x7f\x10\0OW\0\0\x00\x10\0\0";
enum { HEADER = sizeof header_bytes - 1, BODY = 4096 };

static inline dv_file_meta meta(void)
{
    return (dv_file_meta){.sop_class = DV_TEXT("1.2"),
                          .sop_instance = DV_TEXT("1.2.3.4"),
                          .transfer_syntax = DV_TEXT("1.2.840.10008.1.2.1")};
}

static const dv_object_note plain_note = {.json = {"{\"source\":\"GE\"}", 15}};

/* An object of our header and SIZE body bytes in chunks of CHUNK, all of it SEED. NULL when something failed, ERR set.
 */
static inline dv_object *written(dv_area area, const dv_object_note *note, size_t size, size_t chunk, int seed,
                                 dv_error *e)
{
    dv_file_meta m = meta();
    dv_span span = {header_bytes, HEADER, 0};
    dv_spans spans = {&span, 1, HEADER};
    uint8_t hash[DV_SHA256_BYTES];
    dv_text received = note->received_header.at ? note->received_header : (dv_text){(const char *)header_bytes, HEADER};
    dv_object *o = dv_object_begin(store, area, DV_TEXT("1.2.3"), e);
    if (!o || !dv_sha256_of(received.at, received.len, hash, e) || !dv_object_head(o, &m, note, &spans, -1, hash, e)) {
        dv_object_drop(o);
        return NULL;
    }
    uint8_t *bytes = malloc(chunk ? chunk : 1);
    memset(bytes, seed, chunk);
    bool ok = true;
    for (size_t at = 0; ok && at < size; at += chunk)
        ok = dv_object_body(o, bytes, size - at < chunk ? size - at : chunk, e);
    free(bytes);
    if (ok)
        return o;
    dv_object_drop(o);
    return NULL;
}

static inline bool stored(size_t size, int seed, dv_stored *out, dv_error *e)
{
    dv_object *o = written(DV_OBJECTS, &plain_note, size, 3000, seed, e);
    return o && dv_object_finish(o, DV_TEXT("1.2.3"), DV_TEXT("1.2.3.4"), out, e);
}

typedef struct names {
    int count;
    char last[512];
} names;

static inline bool count_name(void *user, const char *path, dv_error *e)
{
    (void)e;
    names *n = user;
    if (strcmp(n->last, path) > 0)
        fail_msg("%s comes behind %s", path, n->last);
    snprintf(n->last, sizeof n->last, "%s", path);
    n->count++;
    return true;
}

static inline int files(dv_area area)
{
    names n = {0};
    if (!dv_store_each(store, area, 0, count_name, &n, &err))
        fail_msg("%s", err.message);
    return n.count;
}

static inline void whole(const char *path, dv_map *map)
{
    char full[700];
    snprintf(full, sizeof full, "%s/%s", folder, path);
    if (!dv_map_open(map, full, &err))
        fail_msg("%s", err.message);
}

#endif
