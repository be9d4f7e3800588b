/* intake.c: bytes as they arrive -> header in memory, body to disk.
 *
 *   HEADER ──bulk value──> BULK ──its last byte──> HEADER
 *     │ Pixel Data begins                             finish in HEADER: the dataset has no Pixel Data
 *     v
 *   PREFIX  until 64 KB of the body are there, then rules run and the object begins
 *     v
 *   BODY    straight to the object
 *
 *   RAW     deflated datasets: all of it is spooled, inflated when complete (they are documents, not images)
 *   BAD     the bytes cannot be read past: everything goes to quarantine
 *
 * Invariants
 *   1 in HEADER and PREFIX nothing has a name yet; in BODY the object is unnamed until dv_object_finish
 *   2 every byte given to dv_intake_data is in exactly one of: header, spool, object
 *   3 no state but RAW holds more than DV_MAX_HEADER of a dataset in memory */
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/limits.h"
#include "dicom/deflate.h"
#include "dicom/part10.h"
#include "ingest/ingest_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef enum phase { PHASE_HEADER, PHASE_BULK, PHASE_PREFIX, PHASE_BODY, PHASE_RAW, PHASE_BAD } phase;

enum {
    SPARES = 16,              /* intakes kept with their memory: as many associations as usually send at once */
    SPARE_BYTES = 512 * 1024, /* a header buffer that grew over this is given back */
    TRIAL = 512,              /* bytes that tell in which syntax they are */
    MAP_PIECE = 4 << 20,      /* of a file that is read, in memory at a time */
    PIECE = 64 * 1024,        /* taken at a time while the header is not complete: bounds what is copied of the body */
};

/* Where the end of Pixel Data's value is: counted for native, found by walking the fragments' heads for encapsulated (PS3.5 A.4). */
typedef struct body_end {
    bool known, fragments, met, broken;
    uint64_t left;   /* native: bytes to come; fragments: of this fragment */
    uint8_t head[8]; /* of the next fragment, as far as it is here */
    unsigned have;
} body_end;

struct dv_intake {
    dv_intake *next; /* in ingest->spare */
    dv_arena arena;
    dv_arrival arrival;
    dv_passage passage;
    dv_index index;
    phase phase;
    dv_buffer header; /* header bytes without bulk; from PREFIX on, the first of the body behind index.at */
    int spool;        /* bulk values in order, or the deflated stream; -1 without */
    uint64_t bulk_left;
    dv_object *object;
    body_end end;
    char bad[256]; /* why in BAD */
};

static bool no_memory(dv_error *err)
{
    return dv_fail(err, DV_ERR_MEMORY, "no memory for a dataset's header");
}

/* One with empty memory: a spare one, else new. */
static dv_intake *fresh(dv_ingest *ingest)
{
    pthread_mutex_lock(&ingest->lock);
    dv_intake *in = ingest->spare;
    if (in) {
        ingest->spare = in->next;
        ingest->spares--;
    }
    pthread_mutex_unlock(&ingest->lock);
    if (!in && !DV_FAULT(DV_FAULT_MALLOC) && (in = calloc(1, sizeof *in)))
        dv_arena_init(&in->arena, 128 * 1024);
    return in;
}

void dv_intake_free_spares(dv_ingest *ingest)
{
    for (dv_intake *in = ingest->spare, *next; in; in = next) {
        next = in->next;
        dv_buffer_free(&in->header);
        dv_arena_free(&in->arena);
        free(in);
    }
}

dv_intake *dv_intake_begin(dv_ingest *ingest, const dv_arrival *arrival, dv_error *err)
{
    if (!dv_store_ready(ingest->store, err))
        return NULL;
    dv_intake *in = fresh(ingest);
    if (!in) {
        no_memory(err);
        return NULL;
    }
    dv_encoding encoding = dv_syntax_encoding(arrival->transfer_syntax);
    *in = (dv_intake){.arena = in->arena, .header = in->header, .arrival = *arrival, .spool = -1};
    in->phase = encoding.deflated ? PHASE_RAW : PHASE_HEADER;
    dv_index_init(&in->index, &in->arena, encoding);
    in->index.findings = arrival->other_syntax ? DV_INDEX_OTHER_SYNTAX : 0;
    in->passage = (dv_passage){.ingest = ingest,
                               .arena = &in->arena,
                               .arrival = &in->arrival,
                               .index = &in->index,
                               .received_at = dv_wall_us()};
    DV_FAIL_POINT("ingest.begun");
    return in;
}

void dv_intake_drop(dv_intake *in)
{
    if (!in)
        return;
    dv_ingest *ingest = in->passage.ingest;
    dv_object_drop(in->object);
    if (in->spool >= 0)
        close(in->spool);
    dv_arena_reset(&in->arena);
    dv_buffer_clear(&in->header);
    if (in->header.size > SPARE_BYTES)
        dv_buffer_free(&in->header);
    pthread_mutex_lock(&ingest->lock);
    bool keep = ingest->spares < SPARES;
    if (keep) {
        in->next = ingest->spare;
        ingest->spare = in;
        ingest->spares++;
    }
    pthread_mutex_unlock(&ingest->lock);
    if (!keep) {
        dv_buffer_free(&in->header);
        dv_arena_free(&in->arena);
        free(in);
    }
}

static bool spool(dv_intake *in, const void *bytes, size_t n, dv_error *err)
{
    if (in->spool < 0 && (in->spool = dv_store_spool(in->passage.ingest->store, err)) < 0)
        return false;
    return dv_write_all(in->spool, bytes, n, "the spool of bulk values", err);
}

static void watch_end(body_end *e, const uint8_t *at, size_t n)
{
    if (!e->known || e->met || e->broken)
        return;
    while (n) {
        size_t part = n < e->left ? n : (size_t)e->left;
        e->left -= part;
        at += part;
        n -= part;
        if (!e->fragments) {
            e->met = e->left == 0;
            return;
        }
        while (n && e->left == 0 && e->have < 8) {
            e->head[e->have++] = *at++;
            n--;
        }
        if (e->have < 8)
            continue;
        uint32_t tag = (uint32_t)e->head[1] << 24 | (uint32_t)e->head[0] << 16 | (uint32_t)e->head[3] << 8 | e->head[2];
        e->left = (uint32_t)e->head[7] << 24 | (uint32_t)e->head[6] << 16 | (uint32_t)e->head[5] << 8 | e->head[4];
        e->have = 0;
        if (tag == (uint32_t)DV_SEQUENCE_END) {
            e->met = true;
            return;
        }
        if (tag != (uint32_t)DV_ITEM || e->left == DV_UNDEFINED) {
            e->broken = true;
            return;
        }
    }
}

static bool body(dv_intake *in, const void *bytes, size_t n, dv_error *err)
{
    watch_end(&in->end, bytes, n);
    return dv_object_body(in->object, bytes, n, err);
}

/* A body that ends too early, or whose fragments cannot be followed, is held: the header is right, the image is not. */
static void check_end(dv_intake *in)
{
    const body_end *e = &in->end;
    char *reason = NULL;
    if (!e->known || e->met || in->passage.outcome.verdict != DV_VERDICT_STORE)
        return;
    if (e->broken)
        reason = dv_arena_printf(&in->arena, "Pixel Data's fragments cannot be followed to their end (PS3.5 A.4)");
    else if (!e->fragments)
        reason = dv_arena_printf(&in->arena, "Pixel Data ends %llu bytes too early", (unsigned long long)e->left);
    else
        reason = dv_arena_printf(&in->arena, "Pixel Data ends without its sequence delimiter: it was cut");
    dv_passage_hold(&in->passage, reason ? reason : "Pixel Data ends too early");
    dv_object_set_area(in->object, DV_QUARANTINE);
}

/* Rules run, the object begins, the body's first bytes go into it. */
static bool begin_object(dv_intake *in, bool whole, dv_error *err)
{
    dv_text first = {in->header.at + in->index.at, in->header.len - in->index.at};
    const dv_node *pixels = in->index.body == DV_NO_NODE ? NULL : &in->index.nodes[in->index.body];
    uint64_t length = !pixels ? 0 : whole ? first.len : pixels->length == DV_UNDEFINED ? 0 : pixels->length;
    if (!dv_passage_run(&in->passage, pixels ? first : (dv_text){NULL, 0}, length, err))
        return false;
    in->object = dv_passage_object(&in->passage, in->spool, err);
    in->phase = PHASE_BODY;
    if (pixels) {
        bool fragments = pixels->length == DV_UNDEFINED;
        in->end = (body_end){
            .known = true, .fragments = fragments, .met = pixels->length == 0, .left = fragments ? 0 : pixels->length};
    }
    return in->object && (first.len == 0 || body(in, first.at, first.len, err));
}

/* The dataset cannot be read past: what came, and what comes, is kept as it is. */
static bool turn_bad(dv_intake *in, const dv_error *why, dv_error *err)
{
    snprintf(in->bad, sizeof in->bad, "%.255s", why->message);
    in->phase = PHASE_BAD;
    in->object = dv_object_begin(in->passage.ingest->store, DV_QUARANTINE, (dv_text){0}, err);
    uint8_t nothing[DV_SHA256_BYTES];
    dv_file_meta meta = {.sop_class = in->arrival.sop_class,
                         .sop_instance = in->arrival.sop_instance,
                         .transfer_syntax = in->arrival.transfer_syntax,
                         .source_aet = dv_text_of(in->arrival.calling)};
    dv_object_note note = {0};
    dv_spans none = {0};
    if (!dv_note_write_unreadable(&in->passage, in->bad, &note.json, err) || !in->object ||
        !dv_sha256_of("", 0, nothing, err) || !dv_object_head(in->object, &meta, &note, &none, -1, nothing, err))
        return false;
    /* Received order again: header bytes up to each bulk value, then that value from the spool. */
    size_t done = 0;
    off_t at = 0;
    for (uint32_t i = 0; i < in->index.count; i++) {
        const dv_node *node = &in->index.nodes[i];
        if (!node->bulk || i == in->index.body || in->spool < 0)
            continue;
        size_t upto = node->offset + node->head;
        if (!dv_object_body(in->object, in->header.at + done, upto - done, err))
            return false;
        done = upto;
        for (uint64_t left = node->length; left;) {
            char piece[16384];
            ssize_t got = pread(in->spool, piece, left < sizeof piece ? (size_t)left : sizeof piece, at);
            if (got < 0)
                return dv_fail_errno(err, "cannot read the spool of bulk values");
            if (got == 0)
                break; /* the bulk value itself is what was cut */
            if (!dv_object_body(in->object, piece, (size_t)got, err))
                return false;
            at += got;
            left -= (uint64_t)got;
        }
    }
    return in->header.len == done || dv_object_body(in->object, in->header.at + done, in->header.len - done, err);
}

/* Peers that send explicit elements in an implicit context, and the like (DEFECTS.md 11): the first elements tell. False: too few are here. */
static bool find_syntax(dv_intake *in, bool last)
{
    if (in->index.at || in->index.count)
        return true;
    if (in->header.len < TRIAL && !last)
        return false;
    dv_text found = dv_part10_plain_syntax((const uint8_t *)in->header.at, in->header.len, in->arrival.transfer_syntax);
    if (found.at != in->arrival.transfer_syntax.at) {
        in->arrival.transfer_syntax = found;
        dv_index_init(&in->index, &in->arena, dv_syntax_encoding(found));
        in->index.findings = DV_INDEX_OTHER_SYNTAX;
    }
    return true;
}

/* Feeds the index with what HEADER holds. True also when it turned BAD. */
static bool feed(dv_intake *in, bool last, dv_error *err)
{
    if (!find_syntax(in, last))
        return true;
    for (;;) {
        dv_error why = {0};
        dv_index_state state = dv_index_feed(&in->index, (const uint8_t *)in->header.at, in->header.len, last, &why);
        if (state == DV_INDEX_BAD) {
            if (why.code == DV_ERR_MEMORY)
                return no_memory(err);
            return turn_bad(in, &why, err);
        }
        if (state == DV_INDEX_MORE || state == DV_INDEX_END)
            return true;
        if (state == DV_INDEX_BODY) {
            in->phase = PHASE_PREFIX;
            /* From here on texts point into the buffer: it must not move while the body's first bytes come. */
            if (!dv_buffer_reserve(&in->header, 2 * PIECE))
                return no_memory(err);
            in->index.bytes = (const uint8_t *)in->header.at;
            return dv_header_hash(&in->index, in->passage.received_hash, err) && dv_passage_open(&in->passage, err);
        }
        /* A bulk value: what is here of it goes to the spool, what follows it moves up. */
        in->bulk_left = in->index.nodes[in->index.count - 1].length;
        size_t here = in->header.len - in->index.at;
        size_t part = here < in->bulk_left ? here : (size_t)in->bulk_left;
        if (!spool(in, in->header.at + in->index.at, part, err))
            return false;
        memmove(in->header.at + in->index.at, in->header.at + in->index.at + part, here - part);
        in->header.len -= part;
        in->bulk_left -= part;
        if (in->bulk_left) {
            in->phase = PHASE_BULK;
            return true;
        }
    }
}

static bool take_piece(dv_intake *in, const char *bytes, size_t n, dv_error *err)
{
    switch (in->phase) {
    case PHASE_HEADER:
        if (!dv_buffer_add(&in->header, bytes, n))
            return no_memory(err);
        if (in->header.len > DV_MAX_HEADER) {
            dv_error why;
            dv_fail(&why, DV_ERR_LIMIT, "the header is longer than %d bytes", DV_MAX_HEADER);
            return turn_bad(in, &why, err);
        }
        if (!feed(in, false, err))
            return false;
        break;
    case PHASE_BULK: {
        size_t part = n < in->bulk_left ? n : (size_t)in->bulk_left;
        if (!spool(in, bytes, part, err))
            return false;
        in->bulk_left -= part;
        if (in->bulk_left == 0) {
            in->phase = PHASE_HEADER;
            if (n > part)
                return take_piece(in, bytes + part, n - part, err); /* once: the phase is HEADER now */
        }
        return true;
    }
    case PHASE_PREFIX:
        if (!dv_buffer_add(&in->header, bytes, n))
            return no_memory(err);
        break;
    case PHASE_RAW:
        return spool(in, bytes, n, err);
    case PHASE_BODY:
    case PHASE_BAD:
        return body(in, bytes, n, err);
    }
    return in->phase != PHASE_PREFIX || in->header.len - in->index.at < PIECE || begin_object(in, false, err);
}

bool dv_intake_data(dv_intake *in, const void *bytes, size_t n, dv_error *err)
{
    const char *at = bytes;
    while (n) {
        size_t piece = n > PIECE && in->phase != PHASE_BODY && in->phase != PHASE_BAD ? PIECE : n;
        if (!take_piece(in, at, piece, err))
            return false;
        at += piece;
        n -= piece;
    }
    return true;
}

/* A deflated dataset is complete in the spool: inflate, index, run; what no rule changed is stored as it came. */
static bool finish_deflated(dv_intake *in, dv_error *err)
{
    struct stat st;
    if (in->spool < 0 && (in->spool = dv_store_spool(in->passage.ingest->store, err)) < 0)
        return false;
    if (fstat(in->spool, &st) != 0)
        return dv_fail_errno(err, "cannot look at the spool");
    void *map = st.st_size ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, in->spool, 0) : NULL;
    if (map == MAP_FAILED)
        return dv_fail_errno(err, "cannot map the spool");
    dv_error why = {0};
    dv_buffer changed = {0};
    const uint8_t *plain;
    size_t plain_len;
    bool ok;
    if (!dv_part10_inflate(map ? map : (const void *)"", (size_t)st.st_size, &in->arena, &plain, &plain_len, &why) ||
        !dv_index_all(&in->index, &in->arena, in->index.encoding, plain, plain_len, &why)) {
        in->index.count = 0; /* what came is in the spool, as it came */
        ok = turn_bad(in, &why, err) && dv_object_body(in->object, map, (size_t)st.st_size, err);
    } else {
        dv_passage *p = &in->passage;
        p->stream = (dv_text){map, (size_t)st.st_size};
        ok = dv_sha256_of(map, (size_t)st.st_size, p->received_hash, err) && dv_passage_open(p, err) &&
             dv_passage_run(p, (dv_text){NULL, 0}, 0, err);
        bool edited = ok && p->outcome.verdict == DV_VERDICT_STORE && dv_dataset_is_changed(p->dataset);
        if (edited) {
            dv_text bytes;
            ok = dv_write_bytes(p->dataset, &bytes, err) && dv_deflate(bytes.at, bytes.len, true, 6, &changed, err);
        }
        ok = ok && (in->object = dv_passage_object(p, -1, err)) != NULL &&
             (edited ? dv_object_body(in->object, changed.at, changed.len, err)
                     : dv_object_body(in->object, map, (size_t)st.st_size, err));
        if (ok)
            in->phase = PHASE_BODY;
    }
    dv_buffer_free(&changed);
    if (map)
        munmap(map, (size_t)st.st_size);
    return ok;
}

/* All bytes are here: whatever phase it is in becomes BODY or BAD, with an object. */
static bool complete(dv_intake *in, dv_error *err)
{
    dv_error why;
    if (in->phase == PHASE_RAW)
        return finish_deflated(in, err);
    if (in->phase == PHASE_HEADER) {
        if (in->header.len == 0) {
            dv_fail(&why, DV_ERR_TRUNCATED, "the dataset is empty");
            return turn_bad(in, &why, err);
        }
        if (!feed(in, true, err))
            return false;
        if (in->phase == PHASE_HEADER && !(dv_header_hash(&in->index, in->passage.received_hash, err) &&
                                           dv_passage_open(&in->passage, err) && begin_object(in, true, err)))
            return false;
    }
    if (in->phase == PHASE_BULK) {
        dv_fail(&why, DV_ERR_TRUNCATED, "the dataset ends inside a bulk value, %llu bytes before its end",
                (unsigned long long)in->bulk_left);
        return turn_bad(in, &why, err);
    }
    return in->phase != PHASE_PREFIX || begin_object(in, true, err);
}

bool dv_intake_finish(dv_intake *in, dv_receipt *out, dv_error *err)
{
    memset(out, 0, sizeof *out);
    bool ok = complete(in, err);
    if (ok) {
        check_end(in);
        dv_object *object = in->object;
        in->object = NULL;
        ok = in->phase == PHASE_BAD ? dv_keep_unreadable(&in->passage, object, in->bad, out, err)
                                    : dv_passage_finish(&in->passage, object, out, err);
    }
    const dv_ingest *ingest = in->passage.ingest;
    if (ok && ingest->notify)
        ingest->notify(ingest->user, &in->arrival, out);
    dv_intake_drop(in);
    return ok;
}

/* A file that is DICOM and breaks off, or is broken, in its File Meta (ERR says how): all of it is kept. */
static bool keep_file(dv_ingest *ingest, const uint8_t *bytes, size_t len, const dv_arrival *given, dv_receipt *out,
                      dv_error *err)
{
    const dv_error why = *err;
    dv_arrival arrival = *given;
    arrival.transfer_syntax = DV_TEXT(DV_UID_IMPLICIT_LE); /* of our File Meta in front of it: nobody reads on */
    arrival.whole_file = arrival.from_file = true;
    dv_intake *in = dv_intake_begin(ingest, &arrival, err);
    if (in && turn_bad(in, &why, err) && dv_intake_data(in, bytes, len, err))
        return dv_intake_finish(in, out, err);
    dv_intake_drop(in);
    return false;
}

bool dv_ingest_file(dv_ingest *ingest, const uint8_t *bytes, size_t len, const dv_arrival *given, dv_receipt *out,
                    dv_error *err)
{
    dv_arena arena;
    dv_arena_init(&arena, 0);
    dv_file_meta meta;
    bool ok = dv_part10_read(bytes, len, &arena, &meta, err);
    if (!ok && (err->code == DV_ERR_TRUNCATED || err->code == DV_ERR_MALFORMED)) {
        dv_arena_free(&arena);
        return keep_file(ingest, bytes, len, given, out, err);
    }
    if (ok && dv_text_is(dv_text_trim(meta.sop_class), "1.2.840.10008.1.3.10"))
        ok = dv_fail(err, DV_ERR_UNSUPPORTED,
                     "a DICOMDIR lists files and is no instance; the files are taken by themselves");
    if (ok) {
        dv_arrival arrival = *given;
        arrival.transfer_syntax = meta.transfer_syntax;
        arrival.other_syntax = meta.wrong_meta;
        arrival.sop_class = meta.sop_class;
        arrival.sop_instance = meta.sop_instance;
        arrival.from_file = true;
        dv_intake *in = dv_intake_begin(ingest, &arrival, err);
        ok = in != NULL;
        for (size_t at = meta.dataset, n; ok && at < len; at += n) {
            n = len - at < MAP_PIECE ? len - at : MAP_PIECE;
            ok = dv_intake_data(in, bytes + at, n, err);
            if (n == MAP_PIECE)
                dv_map_passed(bytes + at, n);
        }
        if (ok)
            ok = dv_intake_finish(in, out, err);
        else
            dv_intake_drop(in);
    }
    dv_arena_free(&arena);
    return ok;
}
