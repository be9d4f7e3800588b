/* dataset.h: one dataset as rules see it.
 *
 *   received bytes   never changed              ... 0010,0010 PN "MUELLER" ... 7FE0,0010 OW ...
 *   index            made once, by the parser   (tag, VR, offset, length) up to Pixel Data
 *   overlay          what rules wrote           0010,0010 "Müller^Hans", by mapping/fix-umlauts
 * A read looks in the overlay, then in the index; what no rule wrote leaves as it came.
 *
 * Values are text in UTF-8 without padding, several joined by a backslash. Binary numbers (US SS UL SL UV SV FL FD AT) read
 * and write as decimal text (AT as "(gggg,eeee)"... "ggggeeee"). OB OW OD OF OL OV UN and bulk are not readable.
 * A value that is written is encoded in the dataset's SpecificCharacterSet; what does not fit is DV_ERR_CHARSET, and
 * dv_dataset_transcode is the way out. Writing SpecificCharacterSet itself relabels: the received bytes are read by the new one.
 * An element that is written gets the VR it had, else the dictionary's, else for UN tags what dv_dataset_set_vr says.
 *
 * Memory    all of it in the arena given to dv_dataset_open; nothing to close.
 * Threads   one thread at a time; no locks inside.
 * Standard  PS3.5 6.1 (character sets), 6.2 (VRs), 7 (encoding). */
#ifndef DV_DICOM_DATASET_H
#define DV_DICOM_DATASET_H

#include "dicom/charset.h"
#include "dicom/index.h"
#include "dicom/path.h"

typedef struct dv_dataset dv_dataset;

/* Who writes: kept with each change. Both borrowed, they outlive the dataset. */
typedef struct dv_actor {
    const char *stage; /* "mapping" */
    const char *rule;  /* "mapping/fix-umlauts" */
} dv_actor;

/* One change, for audit (M19). BEFORE absent: added; AFTER absent: removed; AFTER empty: cleared. Concrete path: no wildcard. */
typedef struct dv_change {
    dv_text path, before, after; /* UTF-8; a sequence is shown as "<2 items>", unreadable values as "<N bytes>" */
    dv_actor by;
    struct dv_change *next;
} dv_change;

/* The dataset of IX; both live in ARENA or longer. NULL when memory is out. */
dv_dataset *dv_dataset_open(dv_arena *arena, const dv_index *ix, dv_error *err);
/* An empty one, to be filled and written (queries, synthetic data). */
dv_dataset *dv_dataset_new(dv_arena *arena, dv_encoding encoding, dv_error *err);
dv_arena *dv_dataset_arena(const dv_dataset *ds);
const dv_index *dv_dataset_index(const dv_dataset *ds);
void dv_dataset_set_actor(dv_dataset *ds, dv_actor by);

/* Reads the element at PATH (the first it names, when it has wildcards). OUT is borrowed from DS's arena. Absent: OUT->at is NULL. Empty:
 * OUT->len is 0. False, OUT absent: DV_ERR_PATH (runs through what is no sequence; names a sequence), DV_ERR_VALUE (not readable),
 * DV_ERR_CHARSET (ERR names the offset). */
bool dv_dataset_get(const dv_dataset *ds, const dv_path *path, dv_text *out, dv_error *err);
/* As received, whatever was written since. */
bool dv_dataset_get_received(const dv_dataset *ds, const dv_path *path, dv_text *out, dv_error *err);
/* For C code: the top-level element TAG; absent when absent or unreadable. */
dv_text dv_dataset_text(const dv_dataset *ds, dv_tag tag);
/* The bytes of the top-level element TAG as received, whatever was written since, trimmed. No conversion: for UIDs and keys. */
dv_text dv_dataset_raw(const dv_dataset *ds, dv_tag tag);

/* Writes VALUE at every place that PATH names. Missing items on the way are made when PATH names the next one ([1] of none, [+]).
 * Writing what is there already changes nothing and is not recorded. *COUNT (may be NULL): places changed. Errors: PATH, VALUE
 * (does not encode in its VR: too long for a 16-bit length, no number), CHARSET, MEMORY. Nothing is changed then. */
bool dv_dataset_set(dv_dataset *ds, const dv_path *path, dv_text value, uint32_t *count, dv_error *err);
/* dv_dataset_set of the top-level TAG. */
bool dv_dataset_put(dv_dataset *ds, dv_tag tag, dv_text value, dv_error *err);
/* Removes elements or items (Seq[2]); absent ones are no error. */
bool dv_dataset_remove(dv_dataset *ds, const dv_path *path, uint32_t *count, dv_error *err);
/* Changes the VR of the elements at PATH, value kept (UN of a known tag re-typed). DV_ERR_VALUE if the value's length does not fit. */
bool dv_dataset_set_vr(dv_dataset *ds, const dv_path *path, dv_vr vr, dv_error *err);
/* Encodes every text anew in TERM ("ISO_IR 192") and sets SpecificCharacterSet. All or nothing. */
bool dv_dataset_transcode(dv_dataset *ds, dv_text term, dv_error *err);

/* The VR in force at PATH, 0 when absent. */
dv_vr dv_dataset_vr(const dv_dataset *ds, const dv_path *path);
/* Items of the sequence at PATH; 0 when absent or no sequence. */
uint32_t dv_dataset_items(const dv_dataset *ds, const dv_path *path);
/* Calls EACH for every place that PATH names, with its concrete path, in order, until it returns false. PATH NULL: every element, at
 * every depth. VR 0 or only elements of that VR. EACH may write to the place it was called for. */
bool dv_dataset_each(dv_dataset *ds, const dv_path *path, dv_vr vr,
                     bool (*each)(void *user, const dv_path *place, dv_vr vr), void *user, dv_error *err);

/* Changes in the order made; several of one place stay several. NULL when nothing was written. */
const dv_change *dv_dataset_changes(const dv_dataset *ds);
bool dv_dataset_is_changed(const dv_dataset *ds);

#endif
