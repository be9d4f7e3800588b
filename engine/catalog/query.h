/* query.h: what the catalog is asked: study search, the keys of C-FIND, one instance's story, what is in quarantine.
 *
 * Rows are fetched by pages and copied before EACH sees them: however slow EACH is, no read is held open meanwhile, and it may write.
 * Studies come newest first. Few candidates are found by an index, many by lists that are intersected (catalog/lists.h), so that a page costs
 * the same however many match; the newest studies, up to 8192, are walked.
 * Threads   with the caller's read connection. */
#ifndef DV_CATALOG_QUERY_H
#define DV_CATALOG_QUERY_H

#include "catalog/catalog.h"

/* Absent fields do not filter. Text takes * and ? as wildcards and is compared without case and accents; an identifier is compared with
 * the stored and the received one. Dates YYYYMMDD or a range "20200101-20201231", "-2020...", "2020...-"; anything else is VALUE.
 * "*" alone does not filter. modality, study_uid and source are compared as they are. */
typedef struct dv_study_query {
    dv_text patient_id, patient_name, accession, study_date, modality, study_uid, source;
    int64_t after; /* cursor: the last id of the page before, 0 at first */
    int limit;     /* 0: 100 */
    bool flagged;  /* only studies with findings */
} dv_study_query;

typedef struct dv_study_row {
    int64_t id;
    dv_text study_uid, received_study_uid, patient_id, received_patient_id, patient_name, birth_date, sex, accession,
        received_accession, study_date, study_time, description, modalities;
    int64_t series, instances, bytes, first_received, last_received, generation_first, generation_last, findings;
} dv_study_row;

/* Calls EACH, newest first, until it returns false. Fields are borrowed for the call. */
bool dv_query_studies(dv_db *db, const dv_study_query *q, bool (*each)(void *user, const dv_study_row *row), void *user,
                      dv_error *err);

typedef struct dv_instance_row {
    int64_t id, study_id, series_id, bytes, generation, job, received_at;
    dv_text sop_uid, received_sop_uid, sop_class, transfer_syntax, path, source, study_uid, series_uid,
        received_study_uid, received_series_uid;
    dv_text received_hash, header_hash, body_hash; /* 32 bytes each */
} dv_instance_row;

/* By SOP, Series or Study Instance UID, stored or received; "" for all, in order of id after AFTER. */
bool dv_query_instances(dv_db *db, dv_text uid, int64_t after, bool (*each)(void *user, const dv_instance_row *row),
                        void *user, dv_error *err);
/* Received Study UID -> counts and received SOP Instance UIDs, for pre-flight and verification. */
bool dv_query_received_study(dv_db *db, dv_text received_study_uid,
                             bool (*each)(void *user, dv_text series_uid, dv_text sop_uid), void *user, dv_error *err);
/* Edits and findings of an instance, in order. */
bool dv_query_edits(dv_db *db, int64_t instance, bool (*each)(void *user, const dv_audit_edit *edit), void *user,
                    dv_error *err);
bool dv_query_findings(dv_db *db, int64_t instance, bool (*each)(void *user, const dv_audit_finding *finding),
                       void *user, dv_error *err);

typedef struct dv_quarantine_row {
    int64_t id, line, bytes, generation, job, first_at, last_at, repeats;
    dv_text state, reason, stage, rule, file, received_sop_uid, received_study_uid, received_series_uid,
        received_patient_id, received_accession, sop_class, transfer_syntax, path, source,
        findings; /* findings: JSON array of {kind, rule, path, message} */
} dv_quarantine_row;
/* Absent fields do not filter. ID: that row only, 0: all. Newest first, ids below BEFORE (0: from the newest), at most LIMIT (0: all). */
typedef struct dv_quarantine_query {
    dv_text state, rule, received_study_uid, received_sop_uid;
    int64_t id, before;
    int limit;
} dv_quarantine_query;
bool dv_query_quarantine(dv_db *db, const dv_quarantine_query *q,
                         bool (*each)(void *user, const dv_quarantine_row *row), void *user, dv_error *err);

typedef struct dv_totals {
    int64_t patients, studies, series, instances, bytes, rejected, held, excluded, unreadable, duplicates;
} dv_totals;
bool dv_query_totals(dv_db *db, dv_totals *out, dv_error *err);

#endif
