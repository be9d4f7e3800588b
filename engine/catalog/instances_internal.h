/* instances_internal.h: what instances.c lends to versions.c: the levels above an instance, and its row. Only inside a WORK. */
#ifndef DV_CATALOG_INSTANCES_INTERNAL_H
#define DV_CATALOG_INSTANCES_INTERNAL_H

#include "catalog/fold.h"
#include "catalog/versions.h"

enum { DV_FOLDED = 512 }; /* bytes of a key; the longest VR that is searched is PN, three groups of 64 characters */

typedef struct dv_place {
    int64_t patient, study, series, origin;
    bool new_patient, new_study, new_series, new_modality;
    bool clash; /* the stored study belongs to another patient */
    /* the instance's row is this very object's: it was added before, by whoever could not be told (a connection lost in the commit), or
     * by a recovery that runs beside */
    bool own;
    int64_t keep_id, version; /* of a row that is replaced; 0: new */
} dv_place;

/* Absent values are empty in the catalog: no column here is NULL. */
dv_text dv_or_empty(dv_text t);
dv_text dv_hash_text(const uint8_t *hash);
/* T folded into BUF; what is longer than any legal value is cut before. */
dv_text dv_fold_key(dv_text t, char buf[DV_FOLDED * DV_FOLD_GROWTH]);

/* All that there is of ROW and of the levels above it, in one question. */
bool dv_place_look_up(dv_db *db, const dv_instance *row, dv_place *p, dv_standing *standing, dv_error *err);
/* Adds ROW and what is missing above it at P, with audit and counts. *ID 0: another host was faster. */
bool dv_place_put(dv_db *db, const dv_instance *row, dv_place *p, int64_t *id, dv_error *err);
/* Edits and findings of ROW under the number ID. */
bool dv_place_audit(dv_db *db, const dv_instance *row, int64_t id, int64_t *findings, dv_error *err);
/* The patient of ROW into P, made when there is none. */
bool dv_place_patient(dv_db *db, const dv_instance *row, dv_place *p, dv_error *err);
/* Study P->study goes to ROW's patient, as far as row->clash wants it. */
bool dv_place_take_study(dv_db *db, const dv_instance *row, dv_place *p, dv_error *err);

#endif
