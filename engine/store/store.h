/* store.h: objects on disk, durable and sealed (DESIGN idea 4, steps a to c).
 *
 *   DATA/objects/2026/11/24/215/STUDY/SOP.<16 hex of the seal's SHA-256>.dcm    ten-minute folders, UTC: 215 is 21:50 to 21:59
 *   DATA/quarantine/...                                                         the same, the dataset as received
 *   DATA/versions/...                                                           the same: not in force (any more), see ingest/again.h
 *
 *   one object   preamble "DICM" File Meta ............................ header (stored) .... body
 *                               (0002,0100) DV_PRIVATE_UID
 *                               (0002,0102) seal, note and received header, byte by byte in seal.h
 *   header       dataset bytes before Pixel Data's value without bulk values; body: bulk values in order, then everything from
 *                Pixel Data's value on. Deflated: no header, all is body.
 *   STUDY, SOP   the UIDs as received; what is no UID becomes "x" and 32 hex of its SHA-256
 *
 *   dv_object_begin -> dv_object_head -> dv_object_body ... -> dv_object_finish      or dv_object_drop, which leaves nothing
 *
 * Invariants
 *   1 an object has a name only when its seal is written
 *   2 dv_object_finish returns true only after fsync returned, behind the link and the last write; folders made for it were synced in
 *     their parents, and the object's own folder where a file system (other than ext4, xfs, btrfs, tmpfs) asks for it
 *   3 an fsync that fails is final: the name is removed, the store is unready from then on
 * Threads   dv_store is shared; a dv_object has one thread. */
#ifndef DV_STORE_STORE_H
#define DV_STORE_STORE_H

#include "base/hash.h"
#include "dicom/part10.h"

/* Private Information Creator UID of all our objects, never changed. */
#define DV_PRIVATE_UID "2.25.187434261508817426340187334290476310221"

typedef struct dv_store dv_store;
typedef struct dv_object dv_object;
typedef enum dv_area { DV_OBJECTS, DV_QUARANTINE, DV_VERSIONS } dv_area;

/* FOLDER is the data directory; makes objects/, quarantine/ and versions/. A file system without O_TMPFILE is refused by its name, and so are
 * the three on different file systems (CONFIG). */
dv_store *dv_store_open(const char *folder, dv_error *err);
void dv_store_close(dv_store *store);
/* False after a failed fsync, with the reason. */
bool dv_store_ready(const dv_store *store, dv_error *err);
const char *dv_store_folder(const dv_store *store);

/* What File Meta's private information says besides the seal. Borrowed. */
typedef struct dv_object_note {
    dv_text
        json; /* {"source":..,"job":..,"generation":..,"received_at":..,"edits":[..],"findings":[..],"received":{..uids..}} */
    dv_text received_header; /* header as received, without bulk; absent when the stored header is the same */
} dv_object_note;

/* An unnamed file in the folder of STUDY (the received UID; absent: not known yet), where its name will be: near its like on the disk. */
dv_object *dv_object_begin(dv_store *store, dv_area area, dv_text study, dv_error *err);
/* A second unnamed file of the same store, for bulk values that come before the header is complete. The caller closes it. -1 on failure. */
int dv_store_spool(dv_store *store, dv_error *err);
/* Preamble, meta (META's private fields are ours) and the header SPANS (NULL: deflated, all comes as body); bulk spans are copied from SPOOL
 * in order, one behind the other from its beginning, -1 without. RECEIVED_HASH is of the received header. */
bool dv_object_head(dv_object *o, const dv_file_meta *meta, const dv_object_note *note, const dv_spans *spans,
                    int spool, const uint8_t received_hash[DV_SHA256_BYTES], dv_error *err);
/* The same when a rule took bulk elements out: the k-th bulk span of SPANS begins at SPOOL_AT[k] of SPOOL. */
bool dv_object_head_at(dv_object *o, const dv_file_meta *meta, const dv_object_note *note, const dv_spans *spans,
                       int spool, const uint64_t *spool_at, const uint8_t received_hash[DV_SHA256_BYTES],
                       dv_error *err);
/* The body as it arrives: hashed and written once. A call that failed leaves an object that can only be dropped. */
bool dv_object_body(dv_object *o, const void *bytes, size_t n, dv_error *err);

typedef struct dv_stored {
    char path[512]; /* relative to the data directory: "objects/2026/..." */
    uint64_t bytes; /* of the file */
    uint8_t received_hash[DV_SHA256_BYTES], header_hash[DV_SHA256_BYTES], body_hash[DV_SHA256_BYTES];
    bool adopted; /* an equal object was there already, was verified, and is taken instead */
} dv_stored;

/* The hash of the whole body, before finish: to ask the catalog whether the instance is known. No body may follow. */
bool dv_object_body_hash(dv_object *o, uint8_t out[DV_SHA256_BYTES], dv_error *err);
/* Seal, link, fsync. STUDY and SOP are the received UIDs; what is no UID is replaced by a hash of it. Frees O whatever happens. */
bool dv_object_finish(dv_object *o, dv_text study, dv_text sop, dv_stored *out, dv_error *err);
/* Before finish: O goes to AREA after all (the catalog knows its UID with other content). */
void dv_object_set_area(dv_object *o, dv_area area);
/* Leaves nothing behind; O may be NULL. */
void dv_object_drop(dv_object *o);
/* Removes a stored file (a duplicate that lost the race). PATH as in dv_stored. */
bool dv_store_remove(dv_store *store, const char *path, dv_error *err);
/* Links a stored file in this moment's folder of AREA, another one than it is in, durably, and removes the old name. DONE->path becomes the new
 * one; the rest stays. */
bool dv_store_move(dv_store *store, const char *path, dv_area area, dv_stored *done, dv_error *err);

/* What a stored file says of itself. Fields in ARENA. */
typedef struct dv_sealed {
    bool sealed; /* false: no seal of ours, or zero: it was never finished */
    dv_file_meta meta;
    uint64_t dataset_bytes, header_bytes, body_bytes;
    uint8_t received_hash[DV_SHA256_BYTES], header_hash[DV_SHA256_BYTES], body_hash[DV_SHA256_BYTES];
    dv_text json;
    dv_text received_header; /* inflated; absent when equal to the stored header */
} dv_sealed;

/* BYTES are a file, or its beginning with the whole meta header. Not ours or not finished: `sealed` is false. MALFORMED when it is ours
 * and broken, NOT_DICOM when it is no DICOM file at all. */
bool dv_store_read_seal(const uint8_t *bytes, size_t len, dv_arena *arena, dv_sealed *out, dv_error *err);
/* Reads PATH (relative) again and compares its name, length and hashes with its seal, and the hashes and (unless 0) bytes of ROW when not NULL.
 * No DICOM is parsed for it. DV_ERR_HASH says which part differs; NOT_FOUND when the file is missing. */
bool dv_store_verify(dv_store *store, const char *path, const dv_stored *row, dv_error *err);
/* Takes PATH out of the page cache, as far as it is on the disk: so that verifying reads the disk, and leaves the cache to others. */
void dv_store_uncache(const dv_store *store, const char *path);
/* Is there a file PATH (relative)? */
bool dv_store_has(const dv_store *store, const char *path);
/* Every file of AREA in ten-minute folders not older than SINCE's (wall us, 0: all), in order of name. EACH gets the relative path, and ends
 * the walk by false, which is returned with its ERR. */
bool dv_store_each(dv_store *store, dv_area area, int64_t since,
                   bool (*each)(void *user, const char *path, dv_error *err), void *user, dv_error *err);

#endif
