#include "base/log.h"
#include "ingest/commitment_internal.h"

/* What the catalog says of one instance. */
typedef struct known {
    bool there;
    int64_t id, received_at;
    dv_text sop_class;
    dv_stored stored;
} known;

static bool look_up(dv_db *db, dv_text sop_uid, dv_arena *arena, known *out, dv_error *err)
{
    dv_rows *r =
        dv_db_query(db, err,
                    "SELECT id, sop_class, path, bytes, received_hash, header_hash, body_hash, received_at FROM "
                    "instances"
                    " WHERE received_sop_uid = $1",
                    "t", sop_uid);
    memset(out, 0, sizeof *out);
    if (dv_rows_next(r)) {
        uint8_t *hashes[] = {out->stored.received_hash, out->stored.header_hash, out->stored.body_hash};
        out->there = true;
        out->id = dv_rows_int(r, 0);
        out->sop_class = dv_arena_text(arena, dv_rows_text(r, 1));
        dv_text_copy(dv_rows_text(r, 2), out->stored.path, sizeof out->stored.path);
        out->stored.bytes = (uint64_t)dv_rows_int(r, 3);
        out->received_at = dv_rows_int(r, 7);
        for (int i = 0; i < 3; i++) {
            dv_text hash = dv_rows_text(r, 4 + i);
            if (hash.len == DV_SHA256_BYTES)
                memcpy(hashes[i], hash.at, DV_SHA256_BYTES);
        }
    }
    return dv_rows_close(r, err);
}

bool dv_commitments_received_class(dv_db *db, int64_t instance, dv_text stored, dv_arena *arena, dv_text *out,
                                   dv_error *err)
{
    *out = stored;
    dv_rows *r = dv_db_query(db, err,
                             "SELECT before FROM edits WHERE instance = $1 AND path = 'SOPClassUID' ORDER BY position "
                             "LIMIT 1",
                             "i", instance);
    if (dv_rows_next(r) && !dv_rows_is_null(r, 0))
        *out = dv_arena_text(arena, dv_text_trim(dv_rows_text(r, 0)));
    return dv_rows_close(r, err);
}

/* Is there one of that UID in quarantine? When K is in the archive only another one counts, that PEER sent after it: it is not that one. */
static bool quarantined(dv_db *db, dv_text sop_uid, dv_text peer, const known *k, bool *is, dv_error *err)
{
    int64_t n = 0;
    bool ok =
        k->there
            ? dv_db_int(db, 0, &n, err,
                        "SELECT count(*) FROM quarantine WHERE received_sop_uid = $1 AND source = $2 AND last_at "
                        ">= $3",
                        "tti", sop_uid, peer, k->received_at)
            : dv_db_int(db, 0, &n, err, "SELECT count(*) FROM quarantine WHERE received_sop_uid = $1", "t", sop_uid);
    *is = n > 0;
    return ok;
}

/* Whole, and what its row says. A version that took its place meanwhile (M01) is looked at instead. */
static bool verify(dv_commitments *c, dv_db *db, dv_text sop_uid, known *k, dv_arena *arena, int64_t *reason,
                   dv_error *err)
{
    dv_error why = {0};
    for (int i = 0; i < 2; i++) {
        char path[sizeof k->stored.path];
        if (dv_store_verify(c->o.store, k->stored.path, &k->stored, &why)) {
            *reason = DV_COMMITTED;
            return true;
        }
        dv_text_copy(dv_text_of(k->stored.path), path, sizeof path);
        if (!look_up(db, sop_uid, arena, k, err))
            return false;
        if (!k->there || strcmp(path, k->stored.path) == 0)
            break;
    }
    dv_error_log("commitment", "not committed: %s", why.message);
    *reason = why.code == DV_ERR_HASH || why.code == DV_ERR_NOT_FOUND || why.code == DV_ERR_NOT_DICOM
                  ? DV_COMMIT_PROCESSING
                  : DV_COMMIT_RESOURCES;
    return true;
}

static bool check_one(dv_commitments *c, dv_db *db, dv_text peer, dv_commit_instance *one, dv_arena *arena,
                      dv_error *err)
{
    known k;
    bool aside = false;
    if (!look_up(db, one->sop_uid, arena, &k, err) || !quarantined(db, one->sop_uid, peer, &k, &aside, err))
        return false;
    if (!k.there || aside) {
        one->reason = aside ? DV_COMMIT_PROCESSING : DV_COMMIT_NO_INSTANCE;
        return true;
    }
    dv_text sent = k.sop_class;
    if (!dv_text_equal(sent, one->sop_class) &&
        !dv_commitments_received_class(db, k.id, k.sop_class, arena, &sent, err))
        return false;
    if (!dv_text_equal(sent, one->sop_class)) {
        one->reason = DV_COMMIT_CONFLICT;
        return true;
    }
    return verify(c, db, one->sop_uid, &k, arena, &one->reason, err);
}

bool dv_commitments_check(dv_commitments *c, const dv_commit_row *row, dv_commit_instance *list, size_t count,
                          dv_error *err)
{
    dv_arena arena;
    dv_arena_init(&arena, 0);
    dv_db *db = dv_catalog_reader(c->o.catalog, err);
    bool ok = db != NULL;
    for (size_t i = 0; ok && i < count; i++) {
        ok = !atomic_load(&c->stopping) || dv_fail(err, DV_ERR_CANCELLED, "we are stopping");
        ok = ok && check_one(c, db, row->peer, &list[i], &arena, err);
        dv_arena_reset(&arena);
    }
    dv_arena_free(&arena);
    return ok;
}
