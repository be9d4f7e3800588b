/* versions.h: an instance that came again and is not the same (M01). The one in force is the row of `instances`; the others are rows of `versions`.
 *
 *   instances   #3 in force                 replace   the newcomer is in force, what was goes to versions
 *   versions    #1 replaced by #2           add       the newcomer goes to versions, what is in force stays
 *               #2 replaced by #3
 *               #4 replaced by 0: came after the one in force and never took its place
 * Numbers count per received SOP Instance UID. The audit of a version stands under instance = -id of its row.
 * Threads   inside a dv_catalog_write, but for dv_catalog_stands and dv_catalog_each_version: any connection. */
#ifndef DV_CATALOG_VERSIONS_H
#define DV_CATALOG_VERSIONS_H

#include "catalog/catalog.h"

/* What stands against a newcomer. */
typedef struct dv_standing {
    dv_seen seen;    /* NEW: nothing does */
    const char *why; /* static text, of a CONFLICT */
    int64_t id;      /* instances.id of the same received SOP Instance UID, 0: none (NEW, or another patient's study) */
    int64_t version, received_at;
    char path[512]; /* of its object */
} dv_standing;

bool dv_catalog_stands(dv_db *db, const dv_instance *row, dv_standing *out, dv_error *err);

/* "identical" "header changed" "re-encoded" "conflict"; versions.class. */
const char *dv_seen_name(dv_seen seen);

typedef struct dv_replaced {
    bool done;       /* false: what stands is not what STANDING says any more; look again */
    int64_t version; /* versions.id of what was in force */
    int64_t number;  /* of the newcomer */
} dv_replaced;

/* ROW takes the place of STANDING's instance, which keeps its id. Study, series and patient go along: what has no instance any more goes, and the study's
 * columns become ROW's. AT is versions.replaced_at. */
bool dv_catalog_replace(dv_db *db, const dv_instance *row, const dv_standing *standing, int64_t at, dv_replaced *out,
                        dv_error *err);
/* ROW beside what is in force. *KNOWN (with COUNT_EQUAL): an equal version is there already, its repeats are counted, nothing was added. NOT_FOUND when nothing is
 * in force. Older than what is in force (received_at): it takes a number before it. */
bool dv_catalog_add_version(dv_db *db, const dv_instance *row, dv_seen seen, int64_t at, bool count_equal,
                            int64_t *id, bool *known, dv_error *err);
/* Counts one more of an equal version when there is one. */
bool dv_catalog_repeat_version(dv_db *db, const dv_instance *row, int64_t *id, dv_error *err);

typedef struct dv_version {
    int64_t id, number, replaced_by, replaced_at, bytes, generation, job, received_at, repeats;
    bool settled;
    dv_text class, received_sop_uid, sop_uid, sop_class, transfer_syntax, path, source, received_hash, header_hash,
        body_hash;
} dv_version;

/* The first that is set counts: of an instance, by number; this one; all whose file is still to be moved; else those replaced before. */
typedef struct dv_version_query {
    dv_text received_sop_uid;
    int64_t id;
    bool unsettled;
    int64_t replaced_before;
    bool newest_first; /* with replaced_before */
    int limit; /* 0: 1000 */
} dv_version_query;
/* Copied before EACH sees them. */
bool dv_catalog_each_version(dv_db *db, const dv_version_query *q, bool (*each)(void *user, const dv_version *v),
                             void *user, dv_error *err);
/* Its file is at PATH now, where it stays. */
bool dv_catalog_settle_version(dv_db *db, int64_t id, dv_text path, dv_error *err);
/* Row and audit; the file is the caller's to remove. */
bool dv_catalog_remove_version(dv_db *db, int64_t id, dv_error *err);

#endif
