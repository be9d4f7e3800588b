/* recover.c: rows for objects that a kill left without one.
 *
 * The object is the truth, the row an index that can be made again (DESIGN idea 4). After a stop that was not clean the folders from the
 * last checkpoint on are listed: a sealed object without a row gets it through the same arbitration as a new one; what has no good
 * seal goes to quarantine as unreadable. Nothing is deleted. objects/ comes first, so that each version finds what is in force. */
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "ingest/ingest_internal.h"

#include <stdio.h>
#include <time.h>

typedef struct recovery {
    dv_ingest *ingest;
    bool rebuild;
    int64_t rows, looked, bad;
} recovery;

bool dv_map_object(dv_ingest *ingest, const char *path, dv_map *map, dv_error *err)
{
    char full[4096];
    snprintf(full, sizeof full, "%s/%s", dv_store_folder(ingest->store), path);
    return dv_map_open(map, full, err);
}

/* ---- rows again ---- */

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
    bool ok = true;
    if (area == DV_QUARANTINE)
        ok = dv_db_int(db, 0, &id, err, "SELECT id FROM quarantine WHERE received_sop_uid = $1 AND path = $2", "ts",
                       sop, path) &&
             (id || dv_db_int(db, 0, &id, err, "SELECT id FROM quarantine WHERE path = $1", "s", path));
    else
        ok = dv_db_int(db, 0, &id, err, "SELECT id FROM instances WHERE received_sop_uid = $1 AND path = $2", "ts", sop,
                       path) &&
             (id || dv_db_int(db, 0, &id, err, "SELECT id FROM versions WHERE received_sop_uid = $1 AND path = $2",
                              "ts", sop, path));
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

/* Is it the object that is bad, and not that we have no memory, no descriptor, no disk? Then recovery fails, and the next one looks again: a good
 * object must not go to quarantine for our distress. */
static bool is_bad(const dv_error *why, const char *path, dv_error *err)
{
    switch (why->code) {
    case DV_ERR_NOT_DICOM:
    case DV_ERR_TRUNCATED:
    case DV_ERR_MALFORMED:
    case DV_ERR_LIMIT:
    case DV_ERR_PATH:
    case DV_ERR_VALUE:
    case DV_ERR_CHARSET:
    case DV_ERR_UNSUPPORTED:
    case DV_ERR_HASH:
        return true;
    default:
        return dv_fail(err, why->code == DV_ERR_NONE ? DV_ERR_MEMORY : why->code, "recovery stopped at %s: %s", path,
                       why->code == DV_ERR_NONE ? "no memory" : why->message);
    }
}

static bool quarantine_bad(recovery *r, const char *path, dv_area area, const char *reason, dv_error *err)
{
    dv_stored moved;
    dv_text_copy(dv_text_of(path), moved.path, sizeof moved.path);
    if (area != DV_QUARANTINE && !dv_store_move(r->ingest->store, path, DV_QUARANTINE, &moved, err))
        return false;
    dv_text none = DV_TEXT("");
    DV_FAIL_POINT("recovery.moved");
    const dv_quarantined kept = {.state = DV_TEXT("unreadable"),
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
                                 .source = none};
    dv_row_write w = {.kept = &kept};
    r->bad++;
    dv_warn("recovery", "%s: %s; kept as %s", path, reason, moved.path);
    return dv_row_do(r->ingest, &w, err);
}

/* ---- one of objects/ ---- */

static bool recover_instance(recovery *r, dv_instance *row, const dv_dataset *received, dv_error *err)
{
    dv_row_write w = {.row = row};
    if (r->rebuild)
        row->clash = row->clash == DV_CLASH_TAKE ? DV_CLASH_NEWER : DV_CLASH_KEEP;
    if (!dv_row_do(r->ingest, &w, err))
        return false;
    DV_FAIL_POINT("recovery.row");
    if (w.seen == DV_SEEN_NEW) {
        r->rows++;
        return true;
    }
    if (w.seen ==
        DV_SEEN_IDENTICAL) /* a second file of what has its row: it was never acknowledged as one of its own */
        return dv_store_remove(r->ingest->store, row->path.at, err);
    dv_stored done = {.bytes = row->bytes};
    dv_receipt receipt;
    dv_text_copy(row->path, done.path, sizeof done.path);
    const dv_newcomer n = {.row = row, .received = received, .rebuild = r->rebuild};
    if (!dv_again_settle(r->ingest, &n, &done, &receipt, err))
        return false;
    r->rows++;
    dv_info("recovery", "%s: %s, %s", done.path, dv_kept_name(receipt.kept), receipt.reason);
    return true;
}

/* ---- one of versions/ ---- */

typedef struct version_work {
    const dv_instance *row;
    dv_seen seen;
    int64_t at, id;
    bool known, settle;
    char old[512]; /* its name before it was moved */
} version_work;

static bool write_version(dv_db *db, void *user, dv_error *err)
{
    version_work *w = user;
    return w->settle ? dv_catalog_settle_version(db, w->id, w->row->path, err)
                     : dv_catalog_add_version(db, w->row, w->seen, w->at, false, &w->id, &w->known, err);
}

static bool is_unsettled(void *user, const dv_version *v)
{
    version_work *w = user;
    const dv_instance *row = w->row;
    w->settle = !v->settled && v->header_hash.len == DV_SHA256_BYTES &&
                memcmp(v->header_hash.at, row->header_hash, DV_SHA256_BYTES) == 0 &&
                memcmp(v->body_hash.at, row->body_hash, DV_SHA256_BYTES) == 0;
    w->id = v->id;
    dv_text_copy(v->path, w->old, sizeof w->old);
    return !w->settle;
}

/* When the file got its name in versions/, to ten minutes: from then on its days are counted. */
static int64_t placed_at(const char *path)
{
    struct tm tm = {0};
    int ten = 0;
    if (sscanf(path, "versions/%4d/%2d/%2d/%2d%1d/", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &ten) != 5)
        return dv_wall_us();
    tm.tm_year -= 1900;
    tm.tm_mon--;
    tm.tm_min = ten * 10;
    return (int64_t)timegm(&tm) * 1000000;
}

static bool recover_version(recovery *r, dv_instance *row, dv_error *err)
{
    dv_standing standing;
    version_work w = {.row = row, .at = placed_at(row->path.at)};
    dv_db *db = dv_catalog_reader(r->ingest->catalog, err);
    row->clash = DV_CLASH_KEEP;
    if (!db ||
        !dv_catalog_each_version(db, &(dv_version_query){.received_sop_uid = row->received_sop_uid}, is_unsettled, &w,
                                 err) ||
        !dv_catalog_stands(db, row, &standing, err))
        return false;
    if (!standing.id) { /* what was in force is lost: better this than nothing */
        dv_row_write alone = {.row = row};
        r->rows++;
        return dv_row_do(r->ingest, &alone, err);
    }
    w.seen = standing.seen;
    if (!dv_catalog_write(r->ingest->catalog, false, write_version, &w, err))
        return false;
    DV_FAIL_POINT("recovery.version");
    dv_error why = {0};
    const char *needless = w.settle ? w.old : w.known ? row->path.at : NULL;
    r->rows += !w.known;
    return !needless || strcmp(needless, standing.path) == 0 || dv_store_remove(r->ingest->store, needless, &why) ||
           why.code == DV_ERR_NOT_FOUND || dv_fail(err, why.code, "%s", why.message);
}

/* ---- one of quarantine/ ---- */

/* What was stored by its rules and kept apart for what came before it: its note was written before that was known. */
static bool say_why(recovery *r, const dv_instance *row, dv_quarantined *kept, char text[256], dv_error *err)
{
    dv_standing standing = {.seen = DV_SEEN_NEW};
    dv_db *db = dv_catalog_reader(r->ingest->catalog, err);
    if (kept->reason.len || row->received_sop_uid.len == 0 || row->received_study_uid.len == 0 ||
        row->received_series_uid.len == 0)
        return true;
    if (!db || !dv_catalog_stands(db, row, &standing, err))
        return false;
    dv_again_describe(&standing, kept, text);
    return true;
}

static bool recover_kept(recovery *r, const dv_sealed *sealed, const dv_instance *row, bool header, dv_arena *arena,
                         dv_error *err)
{
    char text[256];
    dv_quarantined kept;
    dv_row_write w = {.kept = &kept};
    if (!dv_note_quarantined(sealed, row, header, arena, &kept, err) ||
        (header && !say_why(r, row, &kept, text, err)) || !dv_row_do(r->ingest, &w, err))
        return false;
    DV_FAIL_POINT("recovery.kept");
    r->rows++;
    return !w.duplicate || dv_store_remove(r->ingest->store, row->path.at, err);
}

/* ---- one object ---- */

static bool recover_object(recovery *r, dv_area area, const char *path, dv_error *err)
{
    bool has;
    r->looked++;
    if (!has_row(r->ingest, area, path, &has, err))
        return false;
    /* Gone since it was listed: replaced by one that came before it in this very list, or by an arriving instance. */
    if (has || !dv_store_has(r->ingest->store, path))
        return true;
    dv_error why = {0};
    dv_map map;
    if (!dv_store_verify(r->ingest->store, path, NULL, &why))
        return is_bad(&why, path, err) && quarantine_bad(r, path, area, why.message, err);
    if (!dv_map_object(r->ingest, path, &map, err))
        return false;
    dv_arena arena;
    dv_arena_init(&arena, 0);
    dv_sealed sealed;
    dv_instance row = {0};
    dv_dataset *stored = NULL, *received = NULL;
    bool ok =
        dv_store_read_seal(map.bytes, map.len, &arena, &sealed, &why) && dv_note_read(sealed.json, &arena, &row, &why);
    bool header = ok && (sealed.header_bytes || area != DV_QUARANTINE ||
                         dv_syntax_encoding(sealed.meta.transfer_syntax).deflated);
    if (header) {
        stored = dv_part10_open(map.bytes, map.len, &arena, NULL, &why);
        received = stored ? received_view(&sealed, stored, &arena, &why) : NULL;
        ok = received != NULL;
    }
    if (!ok) {
        ok = is_bad(&why, path, err) && quarantine_bad(r, path, area, why.message, err);
    } else {
        row.path = dv_text_of(path);
        row.bytes = map.len;
        row.transfer_syntax = sealed.meta.transfer_syntax;
        row.sop_class = sealed.meta.sop_class;
        row.received_hash = sealed.received_hash;
        row.header_hash = sealed.header_hash;
        row.body_hash = sealed.body_hash;
        if (header)
            dv_row_fill(&row, received, stored);
        ok = area == DV_QUARANTINE ? recover_kept(r, &sealed, &row, header, &arena, err)
             : area == DV_VERSIONS ? recover_version(r, &row, err)
                                   : recover_instance(r, &row, received, err);
    }
    dv_arena_free(&arena);
    dv_map_close(&map);
    return ok;
}

static bool each_object(void *user, const char *path, dv_error *err)
{
    return recover_object(user, DV_OBJECTS, path, err);
}

static bool each_version(void *user, const char *path, dv_error *err)
{
    return recover_object(user, DV_VERSIONS, path, err);
}

static bool each_kept(void *user, const char *path, dv_error *err)
{
    return recover_object(user, DV_QUARANTINE, path, err);
}

static bool recover(dv_ingest *ingest, bool rebuild, int64_t *count, dv_error *err)
{
    recovery r = {.ingest = ingest, .rebuild = rebuild};
    int64_t since = dv_catalog_recovered_through(ingest->catalog), started = dv_mono_ms();
    if (!dv_store_each(ingest->store, DV_OBJECTS, since, each_object, &r, err) ||
        !dv_store_each(ingest->store, DV_VERSIONS, since, each_version, &r, err) ||
        !dv_store_each(ingest->store, DV_QUARANTINE, since, each_kept, &r, err))
        return false;
    DV_FAIL_POINT("recovery.listed");
    if (!dv_ingest_tidy(ingest, err))
        return false;
    *count = r.rows;
    if (r.looked)
        dv_info("recovery", "%lld objects looked at, %lld rows made again, %lld to quarantine, %lld ms",
                (long long)r.looked, (long long)r.rows, (long long)r.bad, (long long)(dv_mono_ms() - started));
    dv_catalog_recovered(ingest->catalog);
    return true;
}

bool dv_ingest_recover(dv_ingest *ingest, int64_t *count, dv_error *err)
{
    return recover(ingest, false, count, err);
}

bool dv_ingest_rebuild(dv_ingest *ingest, int64_t *count, dv_error *err)
{
    return recover(ingest, true, count, err);
}
