/* One object from its first byte to its name.
 *
 *   buffer (64 KB)  gathers meta, header and small chunks of the body; a large chunk leaves with it in one writev
 * An object that fits the buffer is one write, seal and all. A larger one has its seal written over the zeros at the
 * end. Objects are used again with their buffer, hash contexts and arena: nothing of that is allocated in the steady
 * state. */
#include "base/fault.h"
#include "store/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    BUFFER = 64 * 1024,
    DIRECT = 32 * 1024,           /* a chunk of this size is not worth a copy */
    WRITE_BACK = 8 * 1024 * 1024, /* the last sync must not outlast the sender's time-out */
    SPARES = 32,
    NAMES = 100, /* SOP.HEX-100.dcm: more unequal objects of one seal's hash is no accident */
};

struct dv_object {
    dv_store *store;
    dv_area area;
    int fd;
    bool headed, hashed, failed;
    uint8_t *buffer;
    size_t buffered;
    uint64_t written; /* bytes given to the kernel */
    uint64_t pushed;  /* of them, on their way to the disk */
    uint64_t seal_at; /* in the file */
    dv_seal seal;
    dv_sha256 *header_sha, *body_sha;
    dv_arena arena;
    dv_object *next; /* in store->spare, under its lock */
};

/* ---- life ---- */

static void free_object(dv_object *o)
{
    dv_sha256_free(o->header_sha);
    dv_sha256_free(o->body_sha);
    dv_arena_free(&o->arena);
    free(o->buffer);
    free(o);
}

void dv_object_free_spares(dv_store *store)
{
    for (dv_object *o = store->spare, *next; o; o = next) {
        next = o->next;
        free_object(o);
    }
}

static dv_object *make(dv_store *store, dv_error *err)
{
    dv_object *o = calloc(1, sizeof *o);
    if (o) {
        o->store = store;
        o->buffer = malloc(BUFFER);
        o->header_sha = dv_sha256_new();
        o->body_sha = dv_sha256_new();
        dv_arena_init(&o->arena, 0);
        if (o->buffer && o->header_sha && o->body_sha)
            return o;
        free_object(o);
    }
    dv_fail(err, DV_ERR_MEMORY, "no memory for an object");
    return NULL;
}

dv_object *dv_object_begin(dv_store *store, dv_area area, dv_text study, dv_error *err)
{
    if (!dv_store_ready(store, err))
        return NULL;
    pthread_mutex_lock(&store->lock);
    dv_object *o = store->spare;
    if (o) {
        store->spare = o->next;
        store->spares--;
    }
    pthread_mutex_unlock(&store->lock);
    if (!o && !(o = make(store, err)))
        return NULL;
    o->area = area;
    o->headed = o->hashed = o->failed = false;
    o->buffered = 0;
    o->written = o->pushed = o->seal_at = 0;
    o->seal = (dv_seal){.version = DV_SEAL_VERSION};
    o->next = NULL;
    o->fd = dv_place_open(store, area, study, err);
    if (o->fd < 0 || !dv_sha256_begin(o->header_sha, err) || !dv_sha256_begin(o->body_sha, err)) {
        dv_object_drop(o);
        return NULL;
    }
    return o;
}

void dv_object_drop(dv_object *o)
{
    if (!o)
        return;
    dv_store *store = o->store;
    if (o->fd >= 0)
        close(o->fd);
    dv_arena_reset(&o->arena);
    pthread_mutex_lock(&store->lock);
    bool keep = store->spares < SPARES;
    if (keep) {
        o->next = store->spare;
        store->spare = o;
        store->spares++;
    }
    pthread_mutex_unlock(&store->lock);
    if (!keep)
        free_object(o);
}

/* ---- writing ---- */

static bool write_failed(dv_object *o, dv_error *err)
{
    o->failed = true;
    return dv_fail_errno(err, "cannot write an object in %s/%s", o->store->folder, dv_area_name[o->area]);
}

/* The buffer and N bytes behind it, out. */
static bool flush_with(dv_object *o, const void *bytes, size_t n, dv_error *err)
{
    struct iovec parts[2] = {{o->buffer, o->buffered}, {(void *)(uintptr_t)bytes, n}};
    int first = o->buffered ? 0 : 1, end = n ? 2 : 1;
    while (first < end) {
        ssize_t done = DV_FAULT(DV_FAULT_WRITE) ? -1 : writev(o->fd, parts + first, end - first);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return write_failed(o, err);
        o->written += (uint64_t)done;
        for (; first < end && (size_t)done >= parts[first].iov_len; first++)
            done -= (ssize_t)parts[first].iov_len;
        if (first < end) {
            parts[first].iov_base = (uint8_t *)parts[first].iov_base + done;
            parts[first].iov_len -= (size_t)done;
        }
    }
    o->buffered = 0;
    if (o->written - o->pushed >= WRITE_BACK) { /* a hint: what fails here fails at the fsync */
        sync_file_range(o->fd, (off_t)o->pushed, (off_t)(o->written - o->pushed), SYNC_FILE_RANGE_WRITE);
        o->pushed = o->written;
    }
    return true;
}

static bool put(dv_object *o, const void *bytes, size_t n, dv_error *err)
{
    if (n >= DIRECT)
        return flush_with(o, bytes, n, err);
    if (o->buffered + n > BUFFER && !flush_with(o, NULL, 0, err))
        return false;
    if (n)
        memcpy(o->buffer + o->buffered, bytes, n);
    o->buffered += n;
    return true;
}

/* LEN bytes of SPOOL from AT on, through the buffer, into the body. */
static bool copy_bulk(dv_object *o, int spool, uint64_t at, uint64_t len, dv_error *err)
{
    if (!flush_with(o, NULL, 0, err))
        return false;
    while (len) {
        size_t want = len < BUFFER ? (size_t)len : BUFFER;
        ssize_t n = pread(spool, o->buffer, want, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            o->failed = true;
            return n < 0
                       ? dv_fail_errno(err, "cannot read the spool file")
                       : dv_fail(err, DV_ERR_INTERNAL, "the spool file ends %llu bytes early", (unsigned long long)len);
        }
        o->buffered = (size_t)n;
        if (!dv_sha256_add(o->body_sha, o->buffer, (size_t)n, err) || !flush_with(o, NULL, 0, err))
            return false;
        at += (uint64_t)n;
        len -= (uint64_t)n;
    }
    return true;
}

/* ---- the head ---- */

/* Where the bulk values will stand in the dataset. */
static bool find_pieces(dv_object *o, const dv_spans *spans, dv_piece **out, uint32_t *count, dv_error *err)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < spans->count; i++)
        n += !spans->span[i].at && spans->span[i].len;
    dv_piece *pieces = dv_arena_zalloc(&o->arena, n, sizeof *pieces);
    if (!pieces)
        return dv_fail(err, DV_ERR_MEMORY, "no memory for %u bulk values", n);
    uint64_t at = 0;
    *count = 0;
    for (uint32_t i = 0; i < spans->count; i++) {
        if (!spans->span[i].at && spans->span[i].len)
            pieces[(*count)++] = (dv_piece){at, spans->span[i].len};
        at += spans->span[i].len;
    }
    *out = pieces;
    return true;
}

static bool put_meta(dv_object *o, const dv_file_meta *meta, const dv_object_note *note, const dv_spans *spans,
                     dv_error *err)
{
    dv_file_meta m = *meta;
    dv_piece *pieces;
    uint32_t count;
    dv_text head;
    size_t private_at;
    m.private_creator = DV_TEXT(DV_PRIVATE_UID);
    if (!find_pieces(o, spans, &pieces, &count, err) ||
        !dv_private_build(note, pieces, count, &o->arena, &m.private_bytes, err) ||
        !dv_part10_write(&m, &o->arena, &head, &private_at, err))
        return false;
    o->seal_at = private_at + DV_SEAL_AT;
    return dv_sha256_of(head.at, head.len, o->seal.meta_hash, err) && put(o, head.at, head.len, err);
}

static bool put_spans(dv_object *o, const dv_spans *spans, int spool, const uint64_t *spool_at, dv_error *err)
{
    uint64_t next = 0;
    uint32_t bulk = 0;
    for (uint32_t i = 0; i < spans->count; i++) {
        const dv_span *s = &spans->span[i];
        if (s->len == 0)
            continue;
        if (s->at) {
            if (!dv_sha256_add(o->header_sha, s->at, s->len, err) || !put(o, s->at, s->len, err))
                return false;
            o->seal.header_bytes += s->len;
            continue;
        }
        if (spool < 0)
            return dv_fail(err, DV_ERR_INTERNAL, "a bulk value of %llu bytes was taken out and there is no spool file",
                           (unsigned long long)s->len);
        uint64_t at = spool_at ? spool_at[bulk++] : next;
        if (!copy_bulk(o, spool, at, s->len, err))
            return false;
        next = at + s->len;
        o->seal.body_bytes += s->len;
    }
    return true;
}

bool dv_object_head_at(dv_object *o, const dv_file_meta *meta, const dv_object_note *note, const dv_spans *spans,
                       int spool, const uint64_t *spool_at, const uint8_t received_hash[DV_SHA256_BYTES], dv_error *err)
{
    static const dv_spans none;
    if (o->headed || o->failed)
        return dv_fail(err, DV_ERR_INTERNAL, "an object's head is written once");
    o->headed = true;
    spans = spans ? spans : &none;
    memcpy(o->seal.received_hash, received_hash, DV_SHA256_BYTES);
    o->seal.flags = note->received_header.at ? DV_SEAL_KEEPS_HEADER : 0;
    bool ok = put_meta(o, meta, note, spans, err) && put_spans(o, spans, spool, spool_at, err) &&
              dv_sha256_end(o->header_sha, o->seal.header_hash, err);
    o->failed = !ok;
    return ok;
}

bool dv_object_head(dv_object *o, const dv_file_meta *meta, const dv_object_note *note, const dv_spans *spans,
                    int spool, const uint8_t received_hash[DV_SHA256_BYTES], dv_error *err)
{
    return dv_object_head_at(o, meta, note, spans, spool, NULL, received_hash, err);
}

bool dv_object_body(dv_object *o, const void *bytes, size_t n, dv_error *err)
{
    if (!o->headed || o->hashed || o->failed)
        return dv_fail(err, DV_ERR_INTERNAL,
                       "an object takes its body behind its head, and none once it was hashed or has failed");
    if (!dv_sha256_add(o->body_sha, bytes, n, err) || !put(o, bytes, n, err)) {
        o->failed = true;
        return false;
    }
    o->seal.body_bytes += n;
    DV_FAIL_POINT("store.body");
    return true;
}

bool dv_object_body_hash(dv_object *o, uint8_t out[DV_SHA256_BYTES], dv_error *err)
{
    if (!o->hashed && !dv_sha256_end(o->body_sha, o->seal.body_hash, err)) {
        o->failed = true;
        return false;
    }
    o->hashed = true;
    memcpy(out, o->seal.body_hash, DV_SHA256_BYTES);
    return true;
}

/* ---- the end ---- */

/* The seal into the buffer, when it is still there, else over the zeros in the file. */
static bool put_seal(dv_object *o, uint8_t raw[DV_SEAL_BYTES], dv_error *err)
{
    uint8_t hash[DV_SHA256_BYTES];
    if (!o->headed || o->failed)
        return dv_fail(err, DV_ERR_INTERNAL, "an object without head, or one that failed, cannot be finished");
    if (!dv_object_body_hash(o, hash, err))
        return false;
    o->seal.dataset_bytes = o->seal.header_bytes + o->seal.body_bytes;
    dv_seal_put(&o->seal, raw);
    bool in_buffer = o->written == 0;
    if (in_buffer)
        memcpy(o->buffer + o->seal_at, raw, DV_SEAL_BYTES);
    if (!flush_with(o, NULL, 0, err))
        return false;
    for (size_t done = 0; !in_buffer && done < DV_SEAL_BYTES;) {
        ssize_t n =
            DV_FAULT(DV_FAULT_WRITE) ? -1 : pwrite(o->fd, raw + done, DV_SEAL_BYTES - done, (off_t)(o->seal_at + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return write_failed(o, err);
        done += (size_t)n;
    }
    return true;
}

/* The file that has the name already: *EQUAL when it is this object, whole, which is made durable then. */
static bool look_at(dv_object *o, const char *path, const uint8_t raw[DV_SEAL_BYTES], bool *equal, dv_stored *out,
                    dv_error *err)
{
    *equal = false;
    int fd = openat(o->store->area[o->area], path + strlen(dv_area_name[o->area]) + 1, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return dv_fail_errno(err, "cannot open %s, which is there already", path);
    struct stat st;
    bool ok = fstat(fd, &st) == 0 || dv_fail_errno(err, "cannot look at %s", path);
    void *bytes = ok && st.st_size > 0 ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    if (bytes != MAP_FAILED) {
        uint8_t there[DV_SEAL_BYTES];
        *equal =
            dv_verify_bytes(bytes, (size_t)st.st_size, path, there, NULL) && memcmp(there, raw, DV_SEAL_NAMED) == 0;
        munmap(bytes, (size_t)st.st_size);
        out->bytes = (uint64_t)st.st_size;
    }
    /* whoever linked it may have died before its sync */
    ok = ok && (!*equal || dv_store_sync(o->store, fd, path, err));
    close(fd);
    return ok;
}

/* Links FD's file, or finds its equal there. */
static bool give_name(dv_object *o, const char *study, const char *sop, const uint8_t raw[DV_SEAL_BYTES],
                      dv_stored *out, dv_error *err)
{
    char hex[DV_SEAL_HEX];
    if (!dv_seal_hex(raw, hex, err))
        return false;
    for (int n = 1; n <= NAMES; n++) {
        bool exists, equal;
        if (!dv_place_link(o->store, o->area, o->fd, study, sop, hex, n, out->path, &exists, err))
            return false;
        if (!exists) {
            out->bytes = o->written;
            return true;
        }
        if (!look_at(o, out->path, raw, &equal, out, err))
            return false;
        if (equal) {
            out->adopted = true;
            return true;
        }
    }
    return dv_fail(err, DV_ERR_IO, "%d files already have the name %s and differ", NAMES, out->path);
}

/* Invariants 2 and 3: durable, or without a name. */
static bool make_durable(dv_object *o, const dv_stored *out, dv_error *err)
{
    dv_error why;
    if ((out->adopted || dv_store_sync(o->store, o->fd, out->path, &why)) &&
        dv_place_sync(o->store, o->area, out->path, &why))
        return true;
    if (!out->adopted)
        unlinkat(o->store->area[o->area], out->path + strlen(dv_area_name[o->area]) + 1, 0);
    return dv_fail(err, why.code == DV_ERR_DISK_FULL ? DV_ERR_DISK_FULL : DV_ERR_IO, "%s", why.message);
}

bool dv_object_finish(dv_object *o, dv_text study, dv_text sop, dv_stored *out, dv_error *err)
{
    uint8_t raw[DV_SEAL_BYTES];
    char study_name[72], sop_name[72];
    memset(out, 0, sizeof *out);
    DV_FAIL_POINT("store.unsealed");
    bool ok = dv_store_ready(o->store, err) && put_seal(o, raw, err);
    if (ok) {
        DV_FAIL_POINT("store.written");
        ok = dv_place_name(study, study_name, err) && dv_place_name(sop, sop_name, err) &&
             give_name(o, study_name, sop_name, raw, out, err);
    }
    if (ok) {
        DV_FAIL_POINT("store.linked");
        ok = make_durable(o, out, err);
    }
    if (ok) {
        DV_FAIL_POINT("store.synced");
        if (o->pushed) /* a large one shall not push the rest out of the page cache */
            posix_fadvise(o->fd, 0, 0, POSIX_FADV_DONTNEED);
        memcpy(out->received_hash, o->seal.received_hash, DV_SHA256_BYTES);
        memcpy(out->header_hash, o->seal.header_hash, DV_SHA256_BYTES);
        memcpy(out->body_hash, o->seal.body_hash, DV_SHA256_BYTES);
    }
    dv_object_drop(o);
    return ok;
}

void dv_object_set_area(dv_object *o, dv_area area)
{
    o->area = area; /* one file system: the unnamed file can get its name in either */
}
