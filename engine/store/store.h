/* store.h: objects on disk, durable and sealed (DESIGN idea 4, steps a to c).
 *
 *   DATA/objects/2026/11/24/21-5x/STUDY/SOP.<16 hex of the seal's SHA-256>.dcm       ten-minute folders, UTC
 *   DATA/quarantine/...                                       the same, the dataset as received
 *
 *   one object   preamble "DICM" File Meta ............................ header (stored) .... body
 *                               (0002,0100) DV_PRIVATE_UID
 *                               (0002,0102) "DVO1" seal[112] length+JSON length+zlib(received header)
 *   seal         uint32 version, uint32 flags, uint64 dataset bytes, uint64 header bytes, uint64 body bytes,
 *                SHA-256 of the received header, of the stored header, of the body; little endian, all zero until sealed
 *   header       dataset bytes before Pixel Data's value without bulk values; body: bulk values in order, then everything from
 *                Pixel Data's value on. Deflated: no header, all is body.
 *
 *   dv_object_begin -> dv_object_head -> dv_object_body ... -> dv_object_finish      or dv_object_drop, which leaves nothing
 *
 * Invariants
 *   1 an object has a name only when its seal is written
 *   2 dv_object_finish returns true only after fsync returned, behind the link and the last write
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
typedef enum dv_area { DV_OBJECTS, DV_QUARANTINE } dv_area;

/* FOLDER is the data directory; makes objects/ and quarantine/. A file system without O_TMPFILE is refused by its name (CONFIG). */
dv_store *dv_store_open(const char *folder, dv_error *err);
void dv_store_close(dv_store *store);
/* False after a failed fsync, with the reason. */
bool dv_store_ready(const dv_store *store, dv_error *err);
const char *dv_store_folder(const dv_store *store);

/* What File Meta's private information says besides the seal. Borrowed. */
typedef struct dv_object_note {
    dv_text json;             /* {"source":..,"job":..,"generation":..,"received_at":..,"edits":[..],"findings":[..],"received":{..uids..}} */
    dv_text received_header;  /* header as received, without bulk; absent when the stored header is the same */
} dv_object_note;

dv_object *dv_object_begin(dv_store *store, dv_area area, dv_error *err);
/* A second unnamed file of the same store, for bulk values that come before the header is complete. */
int dv_store_spool(dv_store *store, dv_error *err);
/* Preamble, meta (META's private fields are ours) and the header SPANS; bulk spans are copied from SPOOL in order, -1 without.
 * RECEIVED_HASH is of the received header. */
bool dv_object_head(dv_object *o, const dv_file_meta *meta, const dv_object_note *note, const dv_spans *spans, int spool,
                    const uint8_t received_hash[DV_SHA256_BYTES], dv_error *err);
/* The body as it arrives: hashed and written once. */
bool dv_object_body(dv_object *o, const void *bytes, size_t n, dv_error *err);

typedef struct dv_stored {
    char path[512];           /* relative to the data directory: "objects/2026/..." */
    uint64_t bytes;           /* of the file */
    uint8_t received_hash[DV_SHA256_BYTES], header_hash[DV_SHA256_BYTES], body_hash[DV_SHA256_BYTES];
    bool adopted;             /* an equal object was there already and is taken instead */
} dv_stored;

/* The body's hash so far, before finish: to ask the catalog whether the instance is known. */
bool dv_object_body_hash(dv_object *o, uint8_t out[DV_SHA256_BYTES], dv_error *err);
/* Seal, link, fsync. STUDY and SOP are the received UIDs; what is no UID is replaced by a hash of it. Frees O whatever happens. */
bool dv_object_finish(dv_object *o, dv_text study, dv_text sop, dv_stored *out, dv_error *err);
/* Before finish: O goes to AREA after all (the catalog knows its UID with other content). */
void dv_object_set_area(dv_object *o, dv_area area);
/* Leaves nothing behind; O may be NULL. */
void dv_object_drop(dv_object *o);
/* Removes a stored file (a duplicate that lost the race). PATH as in dv_stored. */
bool dv_store_remove(dv_store *store, const char *path, dv_error *err);
/* Links a stored file at the same place of AREA, durably, and removes the old name. DONE->path becomes the new one; the rest stays. */
bool dv_store_move(dv_store *store, const char *path, dv_area area, dv_stored *done, dv_error *err);

/* What a stored file says of itself. Fields in ARENA. */
typedef struct dv_sealed {
    bool sealed;              /* false: no seal of ours, or zero: it was never finished */
    dv_file_meta meta;
    uint64_t dataset_bytes, header_bytes, body_bytes;
    uint8_t received_hash[DV_SHA256_BYTES], header_hash[DV_SHA256_BYTES], body_hash[DV_SHA256_BYTES];
    dv_text json;
    dv_text received_header;  /* inflated; absent when equal to the stored header */
} dv_sealed;

bool dv_store_read_seal(const uint8_t *bytes, size_t len, dv_arena *arena, dv_sealed *out, dv_error *err);
/* Reads PATH (relative) again and compares length and hashes with its seal, and with ROW's when not NULL (path's row: received, header,
 * body hash). DV_ERR_HASH says which part differs. */
bool dv_store_verify(dv_store *store, const char *path, const dv_stored *row, dv_error *err);
/* Every file of AREA in folders not older than SINCE (wall us, 0: all), in order of name. EACH gets the relative path. */
bool dv_store_each(dv_store *store, dv_area area, int64_t since, bool (*each)(void *user, const char *path, dv_error *err), void *user,
                   dv_error *err);

#endif
