/* One object from its first byte to its name.
 *
 *   head: the first 64 KB of the file (meta, seal, header)      chunk: the next 128 KB, written when full
 *         kept, and written last with its seal
 *
 * Where the file system can (store->direct), full chunks go to the disk past the page cache, which would only copy them once more into memory
 * that has to be found, walked for the sync and given back; and the disk works while the sender still sends. What is left at the end goes through
 * the cache, so that the sync brings it to the disk at one go. Objects are used again with their buffers, hash contexts and arena: nothing of that
 * is allocated in the steady state. */
#include "base/fault.h"
#include "store/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HEAD = 64 * 1024,
    CHUNK = 128 * 1024,
    BLOCK = 4096,                 /* what a write past the cache is a multiple of, in memory and in the file */
    WRITE_BACK = 8 * 1024 * 1024, /* through the cache: the last sync must not outlast the sender's time-out */
    SPARES = 32,
    NAMES = 100, /* SOP.HEX-100.dcm: more unequal objects of one seal's hash is no accident */
};

struct dv_object {
    dv_store *store;
    dv_area area;
    int fd;
    bool headed, hashed, failed;
    uint8_t *head, *chunk;
    size_t in_head, in_chunk;
    uint64_t written; /* where the chunk begins in the file; 0: all is in the head so far */
    uint64_t pushed;  /* up to here it is on its way to the disk */
    bool direct;      /* what is written to fd at this moment goes past the cache */
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
    free(o->head);
    free(o->chunk);
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
        o->head = aligned_alloc(BLOCK, HEAD);
        o->chunk = aligned_alloc(BLOCK, CHUNK);
        o->header_sha = dv_sha256_new();
        o->body_sha = dv_sha256_new();
        dv_arena_init(&o->arena, 0);
        if (o->head && o->chunk && o->header_sha && o->body_sha)
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
    o->headed = o->hashed = o->failed = o->direct = false;
    o->in_head = o->in_chunk = 0;
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

/* Past the cache from now on, or through it. A file system that cannot goes through it. */
static void set_direct(dv_object *o, bool direct)
{
    if (o->direct != direct && fcntl(o->fd, F_SETFL, direct ? O_DIRECT : 0) == 0)
        o->direct = direct;
}

static bool write_at(dv_object *o, const uint8_t *bytes, size_t n, uint64_t at, dv_error *err)
{
    while (n) {
        ssize_t done = DV_FAULT(DV_FAULT_WRITE) ? -1 : pwrite(o->fd, bytes, n, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return write_failed(o, err);
        bytes += done;
        n -= (size_t)done;
        at += (uint64_t)done;
        if (n) /* the disk is nearly full, and the rest may be no multiple of a block: the next write says why */
            set_direct(o, false);
    }
    return true;
}

static bool write_chunk(dv_object *o, dv_error *err)
{
    if (!write_at(o, o->chunk, o->in_chunk, o->written, err))
        return false;
    o->written += o->in_chunk;
    o->in_chunk = 0;
    if (!o->direct && o->written - o->pushed >= WRITE_BACK) { /* a hint: what fails here fails at the fsync */
        sync_file_range(o->fd, (off_t)o->pushed, (off_t)(o->written - o->pushed), SYNC_FILE_RANGE_WRITE);
        o->pushed = o->written;
    }
    return true;
}

/* Where the next bytes of the file go, *N at most; `taken` says how many came. NULL when a full chunk could not be written. */
static uint8_t *room(dv_object *o, size_t *n, dv_error *err)
{
    if (o->in_head < HEAD) {
        *n = HEAD - o->in_head;
        return o->head + o->in_head;
    }
    if (o->written == 0) {
        o->written = HEAD;
        set_direct(o, o->store->direct);
    }
    if (o->in_chunk == CHUNK && !write_chunk(o, err))
        return NULL;
    *n = CHUNK - o->in_chunk;
    return o->chunk + o->in_chunk;
}

static void taken(dv_object *o, size_t n)
{
    *(o->written ? &o->in_chunk : &o->in_head) += n;
}

static bool put(dv_object *o, const void *bytes, size_t n, dv_error *err)
{
    for (const uint8_t *from = bytes; n;) {
        size_t k;
        uint8_t *to = room(o, &k, err);
        if (!to)
            return false;
        k = k < n ? k : n;
        memcpy(to, from, k);
        taken(o, k);
        from += k;
        n -= k;
    }
    return true;
}

/* LEN bytes of SPOOL from AT on into the body. */
static bool copy_bulk(dv_object *o, int spool, uint64_t at, uint64_t len, dv_error *err)
{
    while (len) {
        size_t k;
        uint8_t *to = room(o, &k, err);
        if (!to)
            return false;
        ssize_t n = pread(spool, to, len < k ? (size_t)len : k, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            o->failed = true;
            return n < 0
                       ? dv_fail_errno(err, "cannot read the spool file")
                       : dv_fail(err, DV_ERR_INTERNAL, "the spool file ends %llu bytes early", (unsigned long long)len);
        }
        if (!dv_sha256_add(o->body_sha, to, (size_t)n, err))
            return false;
        taken(o, (size_t)n);
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

/* The seal into the head, and out with all that is not yet written. */
static bool put_seal(dv_object *o, uint8_t raw[DV_SEAL_BYTES], dv_error *err)
{
    uint8_t hash[DV_SHA256_BYTES];
    if (!o->headed || o->failed)
        return dv_fail(err, DV_ERR_INTERNAL, "an object without head, or one that failed, cannot be finished");
    if (!dv_object_body_hash(o, hash, err))
        return false;
    o->seal.dataset_bytes = o->seal.header_bytes + o->seal.body_bytes;
    dv_seal_put(&o->seal, raw);
    memcpy(o->head + o->seal_at, raw, DV_SEAL_BYTES);
    set_direct(o, false);
    if (!write_at(o, o->chunk, o->in_chunk, o->written, err) || !write_at(o, o->head, o->in_head, 0, err))
        return false;
    o->written = o->written ? o->written + o->in_chunk : o->in_head;
    return true;
}

/* The file that has the name already: *EQUAL when it is this object, whole, which is made durable then. */
static bool look_at(dv_object *o, const char *path, const uint8_t raw[DV_SEAL_BYTES], bool *equal, dv_stored *out,
                    dv_error *err)
{
    *equal = false;
    pthread_mutex_lock(&o->store->lock); /* whoever linked it takes it away no more, or has done so */
    atomic_fetch_add(&o->store->looks, 1);
    pthread_mutex_unlock(&o->store->lock);
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

/* Invariants 2 and 3: durable, or without a name. LOOKS: store->looks before the link. */
static bool make_durable(dv_object *o, const dv_stored *out, unsigned long long looks, dv_error *err)
{
    dv_error why;
    if ((out->adopted || dv_store_sync(o->store, o->fd, out->path, &why)) &&
        dv_place_sync(o->store, o->area, out->path, &why))
        return true;
    if (!out->adopted) {
        /* Not when another association may have taken it for its own meanwhile, and acknowledged it. */
        pthread_mutex_lock(&o->store->lock);
        if (atomic_load(&o->store->looks) == looks)
            unlinkat(o->store->area[o->area], out->path + strlen(dv_area_name[o->area]) + 1, 0);
        pthread_mutex_unlock(&o->store->lock);
    }
    return dv_fail(err, why.code == DV_ERR_DISK_FULL ? DV_ERR_DISK_FULL : DV_ERR_IO, "%s", why.message);
}

bool dv_object_finish(dv_object *o, dv_text study, dv_text sop, dv_stored *out, dv_error *err)
{
    uint8_t raw[DV_SEAL_BYTES];
    char study_name[72], sop_name[72];
    memset(out, 0, sizeof *out);
    unsigned long long looks = atomic_load(&o->store->looks);
    DV_FAIL_POINT("store.unsealed");
    bool ok = dv_store_ready(o->store, err) && put_seal(o, raw, err);
    if (ok) {
        DV_FAIL_POINT("store.written");
        ok = dv_place_name(study, study_name, err) && dv_place_name(sop, sop_name, err) &&
             give_name(o, study_name, sop_name, raw, out, err);
    }
    if (ok) {
        DV_FAIL_POINT("store.linked");
        ok = make_durable(o, out, looks, err);
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
