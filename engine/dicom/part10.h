/* part10.h: the DICOM file: preamble, File Meta Information, dataset (PS3.10 7).
 *
 *   128 bytes | "DICM" | group 0002, explicit little endian | dataset in (0002,0010)
 *
 * Files without preamble, without meta header, or with a wrong one are read too: the true syntax is found by trial of the first
 * elements (the declared one first, but explicit data is never taken for implicit; then explicit little and big endian, implicit, deflated).
 * Memory    fields borrow from the bytes or the arena. Threads: pure functions. */
#ifndef DV_DICOM_PART10_H
#define DV_DICOM_PART10_H

#include "dicom/dataset.h"
#include "dicom/write.h"

/* Implementation class of what Drover writes: 2.25. and a UUID fixed for ever. */
#define DV_IMPLEMENTATION_UID "2.25.187434261508817426340187334290476310222"

typedef struct dv_file_meta {
    dv_text sop_class,
        sop_instance;        /* (0002,0002), (0002,0003); from the dataset when the file has none; absent in neither */
    dv_text transfer_syntax; /* never absent after dv_part10_read */
    dv_text source_aet;      /* (0002,0016) */
    dv_text private_creator; /* (0002,0100) */
    dv_text private_bytes;   /* (0002,0102) */
    size_t dataset;          /* offset of the dataset in the file */
    bool no_preamble, no_meta, wrong_meta; /* what was read past; wrong_meta: the declared syntax is not the data's */
    dv_text group; /* the elements of group 0002 as encoded, for dv_part10_next; absent in a meta made by hand */
} dv_file_meta;

/* BYTES are a file or its beginning (at least the meta header and the first elements; 4 KB do). Fields borrow from BYTES or ARENA.
 * NOT_DICOM when it is none, with what the first bytes look like ("a PDF", "a JPEG", "text"); TRUNCATED when the meta group goes on
 * behind the end. */
bool dv_part10_read(const uint8_t *bytes, size_t len, dv_arena *arena, dv_file_meta *out, dv_error *err);
/* The uncompressed syntax that the first N bytes of a dataset are in, where DECLARED, one of those, cannot be it; else DECLARED. A few elements
 * tell, 512 bytes have them. */
dv_text dv_part10_plain_syntax(const uint8_t *p, size_t n, dv_text declared);
/* Preamble, "DICM" and the meta group for META, padded and with its group length; implementation UID and version are ours.
 * *PRIVATE_AT (may be NULL): offset of private_bytes' value in the result. */
bool dv_part10_write(const dv_file_meta *meta, dv_arena *arena, dv_text *out, size_t *private_at, dv_error *err);
/* A deflated dataset of N bytes (PS3.5 A.5; a zlib header is read past), inflated into ARENA. TRUNCATED when the stream has no end, LIMIT when
 * it gives more than a hundredfold of its size (64 MB always, 1 GB never exceeded). */
bool dv_part10_inflate(const uint8_t *p, size_t n, dv_arena *arena, const uint8_t **out, size_t *len, dv_error *err);
/* A file's whole content in memory as a dataset, inflated when deflated (LIMIT over 1 GB, or over 64 MB and 100 times the file).
 * *META may be NULL. */
dv_dataset *dv_part10_open(const uint8_t *bytes, size_t len, dv_arena *arena, dv_file_meta *meta, dv_error *err);
/* The same for a file that is broken: all elements before the first fault, which FAULT tells (code NONE: there is none). NULL when there are none. */
dv_dataset *dv_part10_open_most(const uint8_t *bytes, size_t len, dv_arena *arena, dv_file_meta *meta, dv_error *fault,
                                dv_error *err);
/* One element of GROUP (dv_file_meta.group) at *AT, from 0 on: false at its end. VALUE as encoded; *AT goes behind it. */
bool dv_part10_next(dv_text group, size_t *at, dv_tag *tag, dv_vr *vr, dv_text *value);

#endif
