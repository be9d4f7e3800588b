/* retry.c: bytes that are kept already through the pipeline again: of the quarantine, or of a version that is to be in force again. */
#include "base/fault.h"
#include "base/file.h"
#include "ingest/ingest_internal.h"

typedef struct kept_row {
    dv_text path, sop_class, sop_uid, source;
    int64_t job;
    bool unreadable;
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

/* Of QUERY, which selects kept_row's columns by a number. */
static bool read_row(dv_ingest *ingest, const char *query, int64_t id, dv_arena *arena, kept_row *row, dv_error *err)
{
    dv_db *db = dv_catalog_reader(ingest->catalog, err);
    dv_rows *r = db ? dv_db_query(db, err, query, "i", id) : NULL;
    bool found = dv_rows_next(r);
    if (found)
        *row = (kept_row){dv_arena_text(arena, dv_rows_text(r, 0)),
                          dv_arena_text(arena, dv_rows_text(r, 1)),
                          dv_arena_text(arena, dv_rows_text(r, 2)),
                          dv_arena_text(arena, dv_rows_text(r, 3)),
                          dv_rows_int(r, 4),
                          dv_rows_int(r, 5) != 0};
    return dv_rows_close(r, err) &&
           (found || dv_fail(err, DV_ERR_NOT_FOUND, "there is nothing with the number %lld", (long long)id));
}

static bool read_kept(dv_ingest *ingest, int64_t id, dv_arena *arena, kept_row *row, dv_error *err)
{
    return read_row(ingest,
                    "SELECT path, sop_class, received_sop_uid, source, job, CASE state WHEN 'unreadable' THEN 1 ELSE 0 "
                    "END FROM quarantine WHERE id = $1",
                    id, arena, row, err) ||
           (err->code == DV_ERR_NOT_FOUND && dv_error_context(err, "quarantine"));
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
    bool ok = read_kept(ingest, id, &arena, &row, err) && dv_catalog_write(ingest->catalog, true, remove_row, &id, err);
    DV_FAIL_POINT("ingest.discarding");
    ok = ok && dv_store_remove(ingest->store, row.path.at, err);
    dv_arena_free(&arena);
    return ok;
}

/* The bytes of ROW's file as they came, from its source, by CHANNEL. */
static bool feed_again(dv_ingest *ingest, const kept_row *row, const char *channel, bool accept, dv_receipt *out,
                       dv_error *err)
{
    dv_arena arena;
    dv_arena_init(&arena, 0);
    dv_map map = {0};
    dv_sealed sealed;
    bool ok =
        dv_map_object(ingest, row->path.at, &map, err) && dv_store_read_seal(map.bytes, map.len, &arena, &sealed, err);
    /* File Meta's UID is not asked again: what the first look held for it would be held for ever. What could not be read has no other. */
    dv_arrival arrival = {.sop_class = row->sop_class,
                          .sop_instance = row->unreadable ? row->sop_uid : (dv_text){NULL, 0},
                          .from_file = true,
                          .source = dv_arena_string(&arena, row->source),
                          .calling = "",
                          .called = "",
                          .address = "",
                          .channel = channel,
                          .job = row->job,
                          .batch = "",
                          .seed = "",
                          .accept = accept};
    if (ok && dv_note_is_file(sealed.json)) {
        ok = dv_ingest_file(ingest, map.bytes + sealed.meta.dataset, map.len - sealed.meta.dataset, &arrival, out, err);
    } else if (ok) {
        arrival.transfer_syntax = sealed.meta.transfer_syntax;
        dv_intake *in = dv_intake_begin(ingest, &arrival, err);
        ok = in && feed_received(in, &sealed, &map, &arena, err);
        if (ok)
            ok = dv_intake_finish(in, out, err);
        else
            dv_intake_drop(in);
    }
    dv_map_close(&map);
    dv_arena_free(&arena);
    return ok;
}

bool dv_ingest_retry(dv_ingest *ingest, int64_t id, bool accept, dv_receipt *out, dv_error *err)
{
    dv_arena arena;
    dv_arena_init(&arena, 0);
    kept_row row = {0};
    bool ok = read_kept(ingest, id, &arena, &row, err) && feed_again(ingest, &row, "retry", accept, out, err);
    dv_arena_free(&arena);
    DV_FAIL_POINT("ingest.retried");
    bool same_row = ok && out->kept != DV_KEPT_STORED && out->kept != DV_KEPT_KNOWN && out->id == id;
    return ok && (same_row || dv_ingest_discard(ingest, id, err));
}

bool dv_ingest_restore(dv_ingest *ingest, int64_t id, dv_receipt *out, dv_error *err)
{
    dv_arena arena;
    dv_arena_init(&arena, 0);
    kept_row row = {0};
    bool ok = read_row(ingest, "SELECT path, sop_class, received_sop_uid, source, job, 0 FROM versions WHERE id = $1",
                       id, &arena, &row, err) &&
              feed_again(ingest, &row, "restore", true, out, err);
    dv_arena_free(&arena);
    return ok;
}
