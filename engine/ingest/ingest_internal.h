/* ingest_internal.h: what the files of ingest/ share. */
#ifndef DV_INGEST_INTERNAL_H
#define DV_INGEST_INTERNAL_H

#include "base/file.h"
#include "dicom/write.h"
#include "ingest/again.h"

#include <pthread.h>

struct dv_ingest {
    dv_store *store;
    dv_catalog *catalog;
    dv_rules *rules;
    dv_identify *identify;
    dv_notify *notify;
    void *user;
    pthread_mutex_t lock;    /* short; of the spare intakes */
    struct dv_intake *spare; /* with their memory: the steady state allocates nothing */
    int spares;
    /* again.c */
    dv_again_policies policies;
    pthread_mutex_t
        again[DV_AGAIN_LOCKS]; /* by SOP Instance UID: whoever settles one that came again; taken first of all locks */
};

void dv_intake_free_spares(dv_ingest *ingest);

/* One dataset on its way from header to verdict: index made, rules not yet run. */
typedef struct dv_passage {
    dv_ingest *ingest;
    dv_arena *arena;
    dv_arrival *arrival;
    const dv_index *index; /* of the received header */
    dv_dataset *received;  /* no edits ever */
    dv_dataset *dataset;   /* as rules leave it */
    dv_context context;
    dv_outcome outcome;
    int64_t received_at;
    dv_text stream; /* deflated: all that came, kept whole when a rule changes it; absent otherwise */
    uint8_t received_hash[DV_SHA256_BYTES]; /* of the header, deflated: of the stream */
    dv_text sop_uid, study_uid, series_uid; /* as received, trimmed, never absent */
} dv_passage;

/* Opens both views over P's index and finds the job. P's first four fields and received_at are set. */
bool dv_passage_open(dv_passage *p, dv_error *err);
/* Rules -> outcome. BODY is the beginning of Pixel Data's value, BODY_BYTES its length when known. */
bool dv_passage_run(dv_passage *p, dv_text body, uint64_t body_bytes, dv_error *err);
/* Adds a finding to the outcome when native Pixel Data is shorter than the header says. */
bool dv_pixels_look(dv_passage *p, dv_error *err);
/* Holds instead of what was decided. */
void dv_passage_hold(dv_passage *p, const char *reason);
/* The object's beginning: meta, note and header; edited when the verdict is store, else as received. */
dv_object *dv_passage_object(dv_passage *p, int spool, dv_error *err);
/* Seals the object and gives it its row: instance or quarantine. Frees O whatever happens. */
bool dv_passage_finish(dv_passage *p, dv_object *o, dv_receipt *out, dv_error *err);

/* The file of PATH (relative). */
bool dv_map_object(dv_ingest *ingest, const char *path, dv_map *map, dv_error *err);

/* One row to be written, of an instance or (KEPT not NULL) of the quarantine. */
typedef struct dv_row_write {
    const dv_instance *row;
    const dv_quarantined *kept;
    bool must_be_known; /* else LOCKED, and nothing is written: there is no object */
    dv_seen seen;       /* of row */
    bool duplicate;     /* of kept: its file is not needed */
    int64_t id;
} dv_row_write;
/* When it cannot be had the object stays, not acknowledged: recovery gives it its row, or the sender's next try finds it. (Removing it would be
 * wrong: a commit whose answer was lost may have happened.) */
bool dv_row_do(dv_ingest *ingest, dv_row_write *w, dv_error *err);

/* SHA-256 of the received header without bulk values. */
bool dv_header_hash(const dv_index *ix, uint8_t out[DV_SHA256_BYTES], dv_error *err);

/* What the file tells of its row: the JSON of the object's note. */
bool dv_note_write(const dv_passage *p, dv_arena *arena, dv_text *out, dv_error *err);
/* The note of what could not be read. */
bool dv_note_write_unreadable(const dv_passage *p, const char *reason, dv_text *out, dv_error *err);
/* The note back into ROW (source, job, generation, received_at, edits, findings). */
bool dv_note_read(dv_text json, dv_arena *arena, dv_instance *row, dv_error *err);
/* The note as a quarantine row: state from its verdict ("unreadable" when HEADER is false), identifiers from ROW. */
bool dv_note_quarantined(const dv_sealed *sealed, const dv_instance *row, bool header, dv_arena *arena,
                         dv_quarantined *out, dv_error *err);
/* Is the object's body a whole file that came, File Meta and all? */
bool dv_note_is_file(dv_text json);
/* Fills ROW's identifiers from the two views. */
void dv_row_fill(dv_instance *row, dv_dataset *received, dv_dataset *stored);
/* Edits of DS as audit rows, in ARENA; NULL when there are none, or memory is out (*OK false). */
const dv_audit_edit *dv_audit_edits(const dv_dataset *ds, dv_arena *arena, bool *ok);
const dv_audit_finding *dv_audit_findings(const dv_outcome *outcome, dv_arena *arena, bool *ok);

/* Keeps bytes that are no dataset: an object in quarantine whose header is empty. */
bool dv_keep_unreadable(dv_passage *p, dv_object *o, const char *reason, dv_receipt *out, dv_error *err);

#endif
