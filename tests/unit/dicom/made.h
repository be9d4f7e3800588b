/* made.h: datasets made by hand for the tests of the dataset core, and real ones found through DROVER_DATA. */
#ifndef TESTS_DICOM_MADE_H
#define TESTS_DICOM_MADE_H

#include "base/buffer.h"
#include "base/file.h"
#include "dicom/dataset.h"
#include "dicom/write.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <cmocka.h>

#define UNUSED __attribute__((unused))

static void m16(dv_buffer *b, unsigned v, bool big)
{
    uint8_t p[2] = {(uint8_t)(big ? v >> 8 : v), (uint8_t)(big ? v : v >> 8)};
    dv_buffer_add(b, p, 2);
}

static void m32(dv_buffer *b, uint32_t v, bool big)
{
    m16(b, big ? v >> 16 : v & 0xFFFF, big);
    m16(b, big ? v & 0xFFFF : v >> 16, big);
}

/* Head of an element: VR NULL is implicit (or an item). */
static void head(dv_buffer *b, dv_tag tag, const char *vr, uint32_t len, bool big)
{
    m16(b, DV_GROUP(tag), big);
    m16(b, DV_ELEMENT(tag), big);
    if (!vr) {
        m32(b, len, big);
        return;
    }
    dv_buffer_add(b, vr, 2);
    const dv_vr_info *info = dv_vr_lookup(DV_VR(vr[0], vr[1]));
    if (info && info->long_form) {
        m16(b, 0, big);
        m32(b, len, big);
    } else {
        m16(b, len, big);
    }
}

static UNUSED void bytes_of(dv_buffer *b, dv_tag tag, const char *vr, const void *value, size_t len)
{
    head(b, tag, vr, (uint32_t)len, false);
    dv_buffer_add(b, value, len);
}

/* Explicit little endian, padded; VR NULL: implicit. */
static UNUSED void el(dv_buffer *b, dv_tag tag, const char *vr, const char *value)
{
    size_t n = strlen(value);
    head(b, tag, vr, (uint32_t)(n + (n & 1)), false);
    dv_buffer_add(b, value, n);
    if (n & 1)
        dv_buffer_add(b, vr && !strcmp(vr, "UI") ? "\0" : " ", 1);
}

/* A sequence or item of defined length around what INNER holds; INNER is emptied. */
static UNUSED void around(dv_buffer *b, dv_tag tag, const char *vr, dv_buffer *inner)
{
    head(b, tag, vr, (uint32_t)inner->len, false);
    dv_buffer_add(b, inner->at, inner->len);
    dv_buffer_free(inner);
}

static UNUSED const dv_path *path_of(dv_arena *arena, const char *text)
{
    const dv_path *path;
    dv_error err = {0};
    if (!dv_path_compile(arena, dv_text_of(text), &path, &err))
        fail_msg("%s", err.message);
    return path;
}

static UNUSED dv_dataset *open_bytes(dv_arena *arena, dv_encoding encoding, const void *bytes, size_t len)
{
    dv_error err = {0};
    dv_index *ix = dv_arena_alloc(arena, sizeof *ix);
    if (!dv_index_all(ix, arena, encoding, bytes, len, &err))
        fail_msg("%s", err.message);
    return dv_dataset_open(arena, ix, &err);
}

static UNUSED dv_dataset *open_made(dv_arena *arena, const dv_buffer *b)
{
    return open_bytes(arena, (dv_encoding){0}, b->at, b->len);
}

static UNUSED const char *get(dv_dataset *ds, const char *path)
{
    dv_text t;
    dv_error err = {0};
    if (!dv_dataset_get(ds, path_of(dv_dataset_arena(ds), path), &t, &err))
        fail_msg("%s: %s", path, err.message);
    return t.at ? dv_arena_string(dv_dataset_arena(ds), t) : NULL;
}

static UNUSED uint32_t set(dv_dataset *ds, const char *path, const char *value)
{
    uint32_t n;
    dv_error err = {0};
    if (!dv_dataset_set(ds, path_of(dv_dataset_arena(ds), path), dv_text_of(value), &n, &err))
        fail_msg("%s: %s", path, err.message);
    return n;
}

static UNUSED dv_code set_fails(dv_dataset *ds, const char *path, const char *value)
{
    dv_error err = {0};
    assert_false(dv_dataset_set(ds, path_of(dv_dataset_arena(ds), path), dv_text_of(value), NULL, &err));
    assert_true(err.message[0]);
    return err.code;
}

static UNUSED uint32_t removed(dv_dataset *ds, const char *path)
{
    uint32_t n;
    dv_error err = {0};
    if (!dv_dataset_remove(ds, path_of(dv_dataset_arena(ds), path), &n, &err))
        fail_msg("%s: %s", path, err.message);
    return n;
}

/* The dataset written and read again. */
static UNUSED dv_dataset *again(dv_dataset *ds)
{
    dv_text t;
    dv_error err = {0};
    if (!dv_write_bytes(ds, &t, &err))
        fail_msg("%s", err.message);
    return open_bytes(dv_dataset_arena(ds), dv_dataset_index(ds)->encoding, t.at, t.len);
}

/* Calls EACH for every file below DROVER_DATA/dicom, in whatever order; 0 when there is no such folder. */
static UNUSED size_t each_file(const char *folder, void (*each)(const char *name, const dv_map *map))
{
    size_t count = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char name[1024];
        struct stat st;
        snprintf(name, sizeof name, "%s/%s", folder, e->d_name);
        if (e->d_name[0] == '.' || stat(name, &st))
            continue;
        if (S_ISDIR(st.st_mode)) {
            count += each_file(name, each);
        } else {
            dv_map map;
            if (!dv_map_open(&map, name, NULL))
                continue;
            each(name, &map);
            dv_map_close(&map);
            count++;
        }
    }
    if (dir)
        closedir(dir);
    return count;
}

/* The folder of real files; NULL after saying so when it is absent, which DROVER_REQUIRE_DATA=1 makes a failure. */
static UNUSED const char *data_folder(char *buf, size_t size)
{
    const char *data = getenv("DROVER_DATA"), *must = getenv("DROVER_REQUIRE_DATA");
    struct stat st;
    snprintf(buf, size, "%s/dicom", data ? data : "../shared/data");
    if (!stat(buf, &st))
        return buf;
    if (must && !strcmp(must, "1"))
        fail_msg("%s is absent and DROVER_REQUIRE_DATA is set", buf);
    print_message("skipped: %s is absent (set DROVER_DATA)\n", buf);
    return NULL;
}

#endif
