/* catalog.h: the catalog of one site: who wrote, what lies where, what happened to it.
 *
 *   reader threads      dv_catalog_reader      a read-only connection a thread
 *   all other threads   dv_catalog_write  ->   the one write connection: a group is one transaction, a savepoint a member
 *
 * Invariants of the writer
 *   1 exactly one connection of the process writes and checkpoints
 *   2 a member's rows are all there or none; dv_catalog_write returns after the group's COMMIT
 *   3 a member that fails is rolled back alone; the others of its group go on
 *   4 a group with a FULL member is committed at synchronous FULL
 *   5 when COMMIT fails, or the database rolls the transaction back by itself (disk full), every member of the group fails
 * Nobody waits to make a group bigger: while one commits, the next gathers.
 *
 * The rows are described in schema.c, the one place that has the tables.
 * Threads   share freely. */
#ifndef DV_CATALOG_CATALOG_H
#define DV_CATALOG_CATALOG_H

#include "db/db.h"
#include "dicom/dataset.h"

typedef struct dv_catalog dv_catalog;

/* Opens DSN, makes or upgrades the schema, starts the writer. A schema newer than this program is CONFIG. */
dv_catalog *dv_catalog_open(const char *dsn, dv_error *err);
/* Waits for what is queued; checkpoints; marks the stop as clean. */
void dv_catalog_close(dv_catalog *cat);
/* Runs WORK, in this or another caller's thread, inside a savepoint of the next group's transaction and waits for its commit. WORK returns false to
 * be rolled back. It must not wait for anything (a dv_catalog_write inside it is INTERNAL) and may be called once only. FULL: the group is
 * durable when this returns. Errors: WORK's own, or DB, DISK_FULL, LOCKED. */
bool dv_catalog_write(dv_catalog *cat, bool full, bool (*work)(dv_db *db, void *user, dv_error *err), void *user,
                      dv_error *err);
/* This thread's read connection; closed when the thread ends or the catalog closes (no other thread may use its own by then). NULL on
 * failure. Finish each result before the next write of the same thread: a held read blocks checkpoints. */
dv_db *dv_catalog_reader(dv_catalog *cat, dv_error *err);
/* True when the last stop was not clean, or the catalog is new: recovery has to look for objects without rows. */
bool dv_catalog_was_unclean(const dv_catalog *cat);
/* Every object whose name was made before this wall time has its row, whatever happened since. Recovery lists the
 * folders from here on; 0: all of them. (Complete checkpoints move it on; it stands ten minutes before the last one, for objects
 * that were linked and had not asked for their row.) */
int64_t dv_catalog_recovered_through(const dv_catalog *cat);
/* Recovery is done. After an unclean stop nothing is marked as clean or moved on before this is called, however often Drover is
 * started and stopped; after a clean one it needs not be called. */
void dv_catalog_recovered(dv_catalog *cat);
/* The connection to the database was lost and is back: rows committed in the moments before may be gone (PostgreSQL that broke down; they
 * do not wait for its disk). As after an unclean stop until dv_catalog_recovered; recovery may run beside arriving instances. */
bool dv_catalog_rows_lost(const dv_catalog *cat);
/* An object is there whose row could not be added: rows are lost from now on, in the sense above. */
void dv_catalog_row_failed(dv_catalog *cat);
/* The writer's work so far: groups committed and members in them. */
void dv_catalog_groups(dv_catalog *cat, int64_t *groups, int64_t *members);

/* ---- instances ---- */

/* One stored object, as ingest gives it and recovery reads it back from File Meta. All borrowed. */
typedef struct dv_instance {
    /* as received */
    dv_text received_sop_uid, received_study_uid, received_series_uid, received_patient_id, received_issuer,
        received_accession;
    /* as stored */
    dv_text sop_uid, sop_class, transfer_syntax, instance_number, rows_columns;
    dv_text study_uid, study_date, study_time, study_description, study_id, accession, referring_physician;
    dv_text series_uid, modality, series_number, series_description, body_part;
    dv_text patient_id, issuer, patient_name, birth_date, sex;
    dv_text path;                                           /* relative to the data directory */
    uint64_t bytes;                                         /* of the file */
    const uint8_t *received_hash, *header_hash, *body_hash; /* SHA-256, 32 bytes each */
    int64_t generation;                                     /* 0: stored without rules */
    dv_text source;                                         /* peer slug, or "files" */
    int64_t job;                                            /* 0 without */
    int64_t received_at;                                    /* dv_wall_us */
    const struct dv_audit_edit *edits;
    const struct dv_audit_finding *findings;
    enum dv_clash {
        DV_CLASH_HOLD, /* the stored study belongs to another patient: a conflict */
        DV_CLASH_TAKE, /* a person decided: the study goes to this one's patient */
        DV_CLASH_NEWER, /* the same when the catalog is made again: the latest decision counts */
        DV_CLASH_KEEP, /* the catalog is made again: decided long ago, the study stays as the first made it */
    } clash;
} dv_instance;

typedef struct dv_audit_edit {
    dv_text path, before, after, stage, rule, kind; /* kind: changed filled cleared added removed */
    const struct dv_audit_edit *next;
} dv_audit_edit;

typedef struct dv_audit_finding {
    dv_text kind, rule, path, message; /* kind: flag warn */
    const struct dv_audit_finding *next;
} dv_audit_finding;

typedef enum dv_seen {
    DV_SEEN_NEW, /* the row was added, or was there for this very object (path) already */
    DV_SEEN_IDENTICAL, /* same SOP Instance UID, header and body as received: nothing was added but its repeats and the counter "duplicates" */
    DV_SEEN_HEADER,   /* same body, other header; nothing was added */
    DV_SEEN_CONFLICT, /* other body, study or patient; nothing was added */
    DV_SEEN_RECODED,  /* same study and patient in another transfer syntax; nothing was added */
} dv_seen;

/* The only arbiter of "seen before"; to be called inside a WORK. *EXISTING is the row's id, new or old; 0 when the stored study belongs to
 * another patient (a conflict without an instance). The received UIDs must not be empty (VALUE). */
bool dv_catalog_add_instance(dv_db *db, const dv_instance *row, dv_seen *seen, int64_t *existing, dv_error *err);
/* The same; *WHY (static text, no values) says what conflicts, NULL when nothing does. */
bool dv_catalog_add_instance_why(dv_db *db, const dv_instance *row, dv_seen *seen, int64_t *existing, const char **why,
                                 dv_error *err);
/* Is there a row for the received SOP Instance UID, with these hashes and this transfer syntax? For the quick answer before a file is written. */
bool dv_catalog_seen(dv_db *db, dv_text received_sop_uid, const uint8_t *received_hash, const uint8_t *body_hash,
                     dv_text transfer_syntax, dv_seen *seen, dv_error *err);

/* ---- quarantine: what was rejected, held or excluded, and what could not be read ---- */

typedef struct dv_quarantined {
    dv_text state;                     /* rejected held excluded unreadable */
    dv_text reason, stage, rule, file; /* file:line of a rule fault */
    int64_t line;
    dv_text received_sop_uid, received_study_uid, received_series_uid, received_patient_id, received_accession,
        sop_class, transfer_syntax;
    dv_text path;
    uint64_t bytes;
    const uint8_t *body_hash, *received_hash; /* NULL when unreadable */
    int64_t generation, job, received_at;
    dv_text source;
    const dv_audit_finding *findings;
} dv_quarantined;

/* The same instance (SOP Instance UID, header and body as received) for the same reason (state, rule) again is counted on its row, not
 * added. Inside a WORK. *DUPLICATE: the new file is not needed; never of a file that is the row's own. What has no SOP Instance UID or no hashes is always added. */
bool dv_catalog_add_quarantined(dv_db *db, const dv_quarantined *row, int64_t *id, bool *duplicate, dv_error *err);

/* Takes a row out (its file is the caller's to remove) and its state's counter down. Inside a WORK. NOT_FOUND when there is none. */
bool dv_catalog_remove_quarantined(dv_db *db, int64_t id, dv_error *err);

/* ---- counters: rows keyed (name, host), summed when read ---- */
/* patients studies series instances bytes duplicates; rejected held excluded unreadable: what is in quarantine now. */
bool dv_catalog_count(dv_db *db, const char *name, int64_t add, dv_error *err);

#endif
