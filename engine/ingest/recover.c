/* recover.c: rows for objects that a kill left without one, and quarantined bytes through the pipeline again.
 *
 * The object is the truth, the row an index that can be made again (DESIGN idea 4). After a stop that was not clean the folders from the
 * last checkpoint on are listed: a sealed object without a row gets it through the same arbitration as a new one; what has no good
 * seal goes to quarantine as unreadable. Nothing is deleted. */
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "ingest/ingest_internal.h"

#include <stdio.h>

typedef struct recovery {
    dv_ingest *ingest;
    int64_t rows, looked, bad;
} recovery;

static bool map_object(dv_ingest *ingest, const char *path, dv_map *map, dv_error *err)
{
    char full[4096];
    snprintf(full, sizeof full, "%s/%s", dv_store_folder(ingest->store), path);
    return dv_map_open(map, full, err);
}

/* ---- rows again ---- */

typedef struct row_work {
    dv_instance row;
    dv_quarantined kept;
    bool quarantine;
    dv_seen seen;
    int64_t id;
    bool duplicate;
} row_work;

static bool add_row(dv_db *db, void *user, dv_error *err)
{
    row_work *w = user;
    return w->quarantine ? dv_catalog_add_quarantined(db, &w->kept, &w->id, &w->duplicate, err)
                         : dv_catalog_add_instance(db, &w->row, &w->seen, &w->id, err);
}

/* The SOP Instance UID that PATH's name begins with: objects/.../STUDY/SOP.<16 hex>[-N].dcm. What was no UID has another name: then no
 * row is found by it, and the arbiter finds it by what the object says. */
static dv_text sop_of(const char *path)
{
    const char *name = strrchr(path, '/');
    dv_text t = dv_text_of(name ? name + 1 : path);
    for (int dots = 0; t.len && dots < 2; t.len--)
        dots += t.at[t.len - 1] == '.';
    return t;
}

static bool has_row(dv_ingest *ingest, dv_area area, const char *path, bool *has, dv_error *err)
{
    int64_t id = 0;
    dv_db *db = dv_catalog_reader(ingest->catalog, err);
    if (!db)
        return false;
    dv_text sop = sop_of(path); /* paths have no index: it would cost every instance something */
    bool ok = area == DV_OBJECTS
                  ? dv_db_int(db, 0, &id, err, "SELECT id FROM instances WHERE received_sop_uid = $1 AND path = $2",
                              "ts", sop, path)
                  : dv_db_int(db, 0, &id, err, "SELECT id FROM quarantine WHERE received_sop_uid = $1 AND path = $2",
                              "ts", sop, path) &&
                        (id || dv_db_int(db, 0, &id, err, "SELECT id FROM quarantine WHERE path = $1", "s", path));
    *has = id != 0;
    return ok;
}

/* The received view of a stored object: its kept header when it has one, else its own dataset. */
static dv_dataset *received_view(const dv_sealed *sealed, dv_dataset *stored, dv_arena *arena, dv_error *err)
{
    if (!sealed->received_header.at)
        return stored;
    dv_index *ix = dv_arena_alloc(arena, sizeof *ix);
    if (!ix)
        return NULL;
    dv_encoding encoding = dv_syntax_encoding(sealed->meta.transfer_syntax);
    dv_index_init(ix, arena, encoding);
    if (encoding.deflated) {
        const uint8_t *plain;
        size_t len;
        return dv_part10_inflate((const uint8_t *)sealed->received_header.at, sealed->received_header.len, arena,
                                 &plain, &len, err) &&
                       dv_index_all(ix, arena, encoding, plain, len, err)
                   ? dv_dataset_open(arena, ix, err)
                   : NULL;
    }
    for (;;) {
        dv_index_state state =
            dv_index_feed(ix, (const uint8_t *)sealed->received_header.at, sealed->received_header.len, true, err);
        if (state == DV_INDEX_BAD)
            return NULL;
        if (state == DV_INDEX_BODY || state == DV_INDEX_END)
            return dv_dataset_open(arena, ix, err);
    }
}

static const char conflict[] =
    "the same SOPInstanceUID, Study or Patient is stored with other content; decide which one is right";

static bool quarantine_bad(recovery *r, const char *path, dv_area area, const char *reason, dv_error *err)
{
    dv_stored moved;
    dv_text_copy(dv_text_of(path), moved.path, sizeof moved.path);
    if (area == DV_OBJECTS && !dv_store_move(r->ingest->store, path, DV_QUARANTINE, &moved, err))
        return false;
    dv_text none = DV_TEXT("");
    DV_FAIL_POINT("recovery.moved");
    row_work w = {.quarantine = true,
                  .kept = {.state = DV_TEXT("unreadable"),
                           .reason = dv_text_of(reason),
                           .stage = DV_TEXT("recovery"),
                           .rule = none,
                           .file = none,
                           .received_sop_uid = none,
                           .received_study_uid = none,
                           .received_series_uid = none,
                           .received_patient_id = none,
                           .received_accession = none,
                           .sop_class = none,
                           .transfer_syntax = none,
                           .path = dv_text_of(moved.path),
                           .received_at = dv_wall_us(),
                           .source = none}};
    r->bad++;
    dv_warn("recovery", "%s: %s; kept as %s", path, reason, moved.path);
    return dv_catalog_write(r->ingest->catalog, false, add_row, &w, err);
}

/* What the arbiter says no to is held, as when it had arrived: the object at PATH moves to quarantine. W's row is of it. */
static bool hold(recovery *r, row_work *w, const char *path, const dv_sealed *sealed, dv_arena *arena, dv_error *err)
{
    dv_stored moved;
    if (!dv_store_move(r->ingest->store, path, DV_QUARANTINE, &moved, err))
        return false;
    DV_FAIL_POINT("recovery.held");
    w->quarantine = true;
    w->row.path = dv_text_of(moved.path);
    if (!dv_note_quarantined(sealed, &w->row, true, arena, &w->kept, err))
        return false;
    w->kept.reason = dv_text_of(conflict);
    r->bad++;
    dv_warn("recovery", "%s: %s; kept as %s", path, conflict, moved.path);
    return dv_catalog_write(r->ingest->catalog, false, add_row, w, err) &&
           (!w->duplicate || dv_store_remove(r->ingest->store, moved.path, err));
}

static bool recover_object(recovery *r, dv_area area, const char *path, dv_error *err)
{
    bool has;
    r->looked++;
    if (!has_row(r->ingest, area, path, &has, err))
        return false;
    if (has)
        return true;
    dv_error why = {0};
    dv_map map;
    if (!dv_store_verify(r->ingest->store, path, NULL, &why))
        return quarantine_bad(r, path, area, why.message, err);
    if (!map_object(r->ingest, path, &map, err))
        return false;
    dv_arena arena;
    dv_arena_init(&arena, 0);
    dv_sealed sealed;
    row_work w = {.quarantine = area == DV_QUARANTINE};
    dv_instance *row = &w.row;
    dv_dataset *stored = NULL, *received = NULL;
    bool ok =
        dv_store_read_seal(map.bytes, map.len, &arena, &sealed, &why) && dv_note_read(sealed.json, &arena, row, &why);
    bool header =
        ok && (sealed.header_bytes || area == DV_OBJECTS || dv_syntax_encoding(sealed.meta.transfer_syntax).deflated);
    if (header) {
        stored = dv_part10_open(map.bytes, map.len, &arena, NULL, &why);
        received = stored ? received_view(&sealed, stored, &arena, &why) : NULL;
        ok = received != NULL;
    }
    if (!ok) {
        ok = quarantine_bad(r, path, area, why.message, err);
    } else {
        row->path = dv_text_of(path);
        row->bytes = map.len;
        row->transfer_syntax = sealed.meta.transfer_syntax;
        row->sop_class = sealed.meta.sop_class;
        row->received_hash = sealed.received_hash;
        row->header_hash = sealed.header_hash;
        row->body_hash = sealed.body_hash;
        if (header)
            dv_row_fill(row, received, stored);
        if (w.quarantine && !dv_note_quarantined(&sealed, row, header, &arena, &w.kept, &why)) {
            ok = quarantine_bad(r, path, area, why.message, err);
        } else {
            if (w.quarantine && w.kept.reason.len == 0)
                w.kept.reason = dv_text_of(conflict); /* its note is older than the arbiter's no */
            ok = dv_catalog_write(r->ingest->catalog, false, add_row, &w, err);
            r->rows += ok;
        }
        DV_FAIL_POINT("recovery.row");
    }
    /* A second file of what has its row: it was never acknowledged as a row of its own. */
    if (ok && w.quarantine && w.duplicate)
        ok = dv_store_remove(r->ingest->store, path, err);
    else if (ok && !w.quarantine && w.seen == DV_SEEN_IDENTICAL && w.id)
        ok = dv_store_remove(r->ingest->store, path, err);
    else if (ok && !w.quarantine && (w.seen == DV_SEEN_HEADER || w.seen == DV_SEEN_CONFLICT))
        ok = hold(r, &w, path, &sealed, &arena, err);
    dv_arena_free(&arena);
    dv_map_close(&map);
    return ok;
}

static bool each_object(void *user, const char *path, dv_error *err)
{
    return recover_object(user, DV_OBJECTS, path, err);
}

static bool each_kept(void *user, const char *path, dv_error *err)
{
    return recover_object(user, DV_QUARANTINE, path, err);
}

bool dv_ingest_recover(dv_ingest *ingest, int64_t *count, dv_error *err)
{
    recovery r = {.ingest = ingest};
    int64_t since = dv_catalog_recovered_through(ingest->catalog), started = dv_mono_ms();
    if (!dv_store_each(ingest->store, DV_OBJECTS, since, each_object, &r, err) ||
        !dv_store_each(ingest->store, DV_QUARANTINE, since, each_kept, &r, err))
        return false;
    DV_FAIL_POINT("recovery.listed");
    *count = r.rows;
    if (r.looked)
        dv_info("recovery", "%lld objects looked at, %lld rows made again, %lld to quarantine, %lld ms",
                (long long)r.looked, (long long)r.rows, (long long)r.bad, (long long)(dv_mono_ms() - started));
    dv_catalog_recovered(ingest->catalog);
    return true;
}

/* ---- retry ---- */

typedef struct kept_row {
    dv_text path, transfer_syntax, sop_class, sop_uid, source;
    int64_t job;
} kept_row;

/* The dataset as received, in its order: header up to each bulk value, that value, ..., body. */
static bool feed_received(dv_intake *in, const dv_sealed *sealed, const dv_map *map, dv_arena *arena, dv_error *err)
{
    const uint8_t *dataset = map->bytes + sealed->meta.dataset;
    size_t len = map->len - sealed->meta.dataset;
    if (!sealed->received_header.at)
        return dv_intake_data(in, dataset, len, err);
    dv_encoding encoding = dv_syntax_encoding(sealed->meta.transfer_syntax);
    if (encoding.deflated) /* the whole stream was kept */
        return dv_intake_data(in, sealed->received_header.at, sealed->received_header.len, err);
    dv_index stored, received;
    dv_index_init(&stored, arena, encoding);
    if (!dv_index_all(&stored, arena, encoding, dataset, len, err))
        return false;
    dv_index_init(&received, arena, encoding);
    const uint8_t *header = (const uint8_t *)sealed->received_header.at;
    size_t done = 0;
    uint32_t next = 0;
    for (;;) {
        dv_index_state state = dv_index_feed(&received, header, sealed->received_header.len, true, err);
        if (state == DV_INDEX_BAD || !dv_intake_data(in, header + done, received.at - done, err))
            return false;
        done = received.at;
        if (state == DV_INDEX_END)
            return true;
        while (next < stored.top_count && !stored.nodes[stored.top[next]].bulk)
            next++;
        if (next == stored.top_count)
            return dv_fail(err, DV_ERR_HASH, "the stored object lacks a bulk value of its received header");
        const dv_node *node = &stored.nodes[stored.top[next++]];
        size_t value = node->offset + node->head;
        if (state == DV_INDEX_BODY)
            return dv_intake_data(in, dataset + value, len - value, err);
        if (!dv_intake_data(in, dataset + value, node->length, err))
            return false;
    }
}

static bool read_row(dv_ingest *ingest, int64_t id, dv_arena *arena, kept_row *row, dv_error *err)
{
    dv_db *db = dv_catalog_reader(ingest->catalog, err);
    dv_rows *r =
        db ? dv_db_query(
                 db, err,
                 "SELECT path, transfer_syntax, sop_class, received_sop_uid, source, job FROM quarantine WHERE id = $1",
                 "i", id)
           : NULL;
    bool found = dv_rows_next(r);
    if (found)
        *row = (kept_row){dv_arena_text(arena, dv_rows_text(r, 0)), dv_arena_text(arena, dv_rows_text(r, 1)),
                          dv_arena_text(arena, dv_rows_text(r, 2)), dv_arena_text(arena, dv_rows_text(r, 3)),
                          dv_arena_text(arena, dv_rows_text(r, 4)), dv_rows_int(r, 5)};
    return dv_rows_close(r, err) &&
           (found ||
            dv_fail(err, DV_ERR_NOT_FOUND, "there is nothing with the number %lld in quarantine", (long long)id));
}

static bool remove_row(dv_db *db, void *user, dv_error *err)
{
    return dv_catalog_remove_quarantined(db, *(int64_t *)user, err);
}

bool dv_ingest_discard(dv_ingest *ingest, int64_t id, dv_error *err)
{
    dv_arena arena;
    dv_arena_init(&arena, 0);
    kept_row row;
    bool ok = read_row(ingest, id, &arena, &row, err) && dv_catalog_write(ingest->catalog, true, remove_row, &id, err);
    DV_FAIL_POINT("ingest.discarding");
    ok = ok && dv_store_remove(ingest->store, row.path.at, err);
    dv_arena_free(&arena);
    return ok;
}

bool dv_ingest_retry(dv_ingest *ingest, int64_t id, dv_receipt *out, dv_error *err)
{
    dv_arena arena;
    dv_arena_init(&arena, 0);
    kept_row row = {0};
    dv_map map = {0};
    dv_sealed sealed;
    bool ok = read_row(ingest, id, &arena, &row, err) && map_object(ingest, row.path.at, &map, err) &&
              dv_store_read_seal(map.bytes, map.len, &arena, &sealed, err);
    if (ok) {
        /* File Meta's UID is not asked again: what the first look held for it would be held for ever. */
        dv_arrival arrival = {.transfer_syntax = sealed.meta.transfer_syntax,
                              .sop_class = row.sop_class,
                              .source = dv_arena_string(&arena, row.source),
                              .calling = "",
                              .called = "",
                              .address = "",
                              .channel = "retry",
                              .job = row.job,
                              .batch = "",
                              .seed = ""};
        dv_intake *in = dv_intake_begin(ingest, &arrival, err);
        ok = in && feed_received(in, &sealed, &map, &arena, err);
        if (ok)
            ok = dv_intake_finish(in, out, err);
        else
            dv_intake_drop(in);
    }
    dv_map_close(&map);
    dv_arena_free(&arena);
    DV_FAIL_POINT("ingest.retried");
    bool same_row = ok && out->kept != DV_KEPT_STORED && out->kept != DV_KEPT_KNOWN && out->id == id;
    return ok && (same_row || dv_ingest_discard(ingest, id, err));
}
