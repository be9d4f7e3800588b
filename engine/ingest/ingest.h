/* ingest.h: the one way of an instance, whatever brings it: C-STORE, a file, STOW-RS, a retry.
 *
 *   dv_intake_begin -> dv_intake_data ... -> dv_intake_finish        or dv_intake_drop (association lost: nothing is left)
 *
 *   header gathers in memory -> rules -> object store, sealed -> catalog row -> receipt
 *
 * A receipt means that the instance is durable: stored, known already, or kept in quarantine.
 * Threads   dv_ingest is shared; a dv_intake has one thread. */
#ifndef DV_INGEST_INGEST_H
#define DV_INGEST_INGEST_H

#include "catalog/catalog.h"
#include "rules/rules.h"
#include "store/store.h"

typedef struct dv_ingest dv_ingest;
typedef struct dv_intake dv_intake;

/* RULES NULL: stored without rules (`ingest --rules none`). All borrowed. */
dv_ingest *dv_ingest_new(dv_store *store, dv_catalog *catalog, dv_rules *rules, dv_error *err);
void dv_ingest_free(dv_ingest *ingest);

/* Asked once an instance's header is complete, in its thread: which job does it belong to? Fills job, batch, attempt, seed and found of
 * ARRIVAL, in ARENA. Set before the first intake; NULL user data allowed. */
struct dv_arrival;
typedef void dv_identify(void *user, dv_text received_study_uid, struct dv_arrival *arrival, dv_arena *arena);
/* Told after each receipt, in the intake's thread: what became of it. */
struct dv_receipt;
typedef void dv_notify(void *user, const struct dv_arrival *arrival, const struct dv_receipt *receipt);
void dv_ingest_hooks(dv_ingest *ingest, dv_identify *identify, dv_notify *notify, void *user);

/* Where an instance comes from. Strings are borrowed until finish or drop. */
typedef struct dv_arrival {
    dv_text transfer_syntax;                          /* of the dataset that follows */
    dv_text sop_class, sop_instance;                  /* as the command or File Meta says; absent: from the dataset */
    const char *source;                               /* peer slug; "files"; "" for an unknown peer of --allow-any */
    const char *calling, *called, *address, *channel; /* channel: "dimse" "files" "retry" */
    int64_t job;                                      /* the migration job, 0 without */
    const char *batch;
    int64_t attempt;
    const char *seed;
    const dv_dataset *found;
    bool no_rules;
    bool
        accept; /* a person decided: it takes the place of what stands under its SOP Instance UID, and its study goes to its patient */
    bool whole_file; /* what comes is a whole file, File Meta and all, that cannot be taken apart */
    bool other_syntax; /* transfer_syntax was found by trial, another one was declared */
    bool from_file;  /* sop_class and sop_instance are File Meta's, which is made anew: the dataset wins (DEFECTS 11) */
} dv_arrival;

typedef enum dv_kept {
    DV_KEPT_STORED,
    DV_KEPT_KNOWN,
    DV_KEPT_REJECTED,
    DV_KEPT_HELD,
    DV_KEPT_EXCLUDED,
    DV_KEPT_UNREADABLE
} dv_kept;
const char *dv_kept_name(dv_kept kept); /* "stored" "known" ... */

typedef struct dv_receipt {
    dv_kept kept;
    bool changed; /* rules changed something */
    int64_t id;   /* instances.id, or quarantine.id */
    char path[512];
    char reason[256];                /* why rejected, held, excluded, unreadable; what it replaced */
    char study_uid[65], sop_uid[65]; /* as received */
} dv_receipt;

dv_intake *dv_intake_begin(dv_ingest *ingest, const dv_arrival *arrival, dv_error *err);
/* The next bytes of the dataset, of any size; copied or written before it returns. False: the store or the memory failed; drop it. Bad data is no
 * failure: they are kept. */
bool dv_intake_data(dv_intake *in, const void *bytes, size_t n, dv_error *err);
/* All bytes are here. False: nothing is acknowledged, ERR's DIMSE status is the answer. Frees IN whatever happens. */
bool dv_intake_finish(dv_intake *in, dv_receipt *out, dv_error *err);
void dv_intake_drop(dv_intake *in);

/* A whole Part 10 file, mapped: what was read of a large one is given back (dv_map_passed). NOT_DICOM when it is none, UNSUPPORTED for a DICOMDIR: nothing is kept. */
bool dv_ingest_file(dv_ingest *ingest, const uint8_t *bytes, size_t len, const dv_arrival *arrival, dv_receipt *out,
                    dv_error *err);
/* Objects without a row since the last clean stop get one; unsealed ones go to quarantine. *COUNT rows added. */
bool dv_ingest_recover(dv_ingest *ingest, int64_t *count, dv_error *err);
/* The same into an empty catalog: nothing that is in force is questioned, of two objects of one instance the newer is. */
bool dv_ingest_rebuild(dv_ingest *ingest, int64_t *count, dv_error *err);
/* Feeds quarantined bytes through the whole pipeline again; what passes leaves the quarantine. ACCEPT: as dv_arrival's. */
bool dv_ingest_retry(dv_ingest *ingest, int64_t quarantine_id, bool accept, dv_receipt *out, dv_error *err);
/* Feeds the bytes of a version through it, to be in force again (versions.id); the version itself stays until its days are over. */
bool dv_ingest_restore(dv_ingest *ingest, int64_t version_id, dv_receipt *out, dv_error *err);
/* Deletes a quarantined instance, row and bytes. */
bool dv_ingest_discard(dv_ingest *ingest, int64_t quarantine_id, dv_error *err);

#endif
