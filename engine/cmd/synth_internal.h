/* synth_internal.h: studies that never were, with the faults that legacy archives have.
 *
 *   plan (what was asked)  --dv_synth_study-->  study N  --dv_synth_instance-->  File Meta, dataset, pixels
 *
 * The same plan always makes the same bytes: whatever varies is drawn from SHA-256 of (seed, study, series, instance).
 * A study has one defect or none, in turn; each comes in two forms, as the standard's breakers do not agree either.
 * Memory    an instance's bytes are in the arena given.
 * Threads   pure functions. */
#ifndef DV_CMD_SYNTH_INTERNAL_H
#define DV_CMD_SYNTH_INTERNAL_H

#include "dicom/part10.h"

/* DEFECTS.md rows 18, 6, 1, 5, 4. */
typedef enum dv_synth_defect {
    DV_SYNTH_CLEAN,
    DV_SYNTH_ACCESSION, /* empty, the number stands in RequestAttributesSequence; or absent altogether */
    DV_SYNTH_SEX,       /* "m"; or "Female" */
    DV_SYNTH_DATES,     /* 2009.03.04; or 2009-03-04 */
    DV_SYNTH_CHARSET,   /* UTF-8 declared ISO_IR 100; or Latin-1 with nothing declared */
    DV_SYNTH_NAME,      /* "DOE, JOHN"; or "DOE^JOHN^^^" */
    DV_SYNTH_DEFECTS
} dv_synth_defect;

enum { DV_SYNTH_SERIES = 4 };

typedef struct dv_synth_kind {
    const char *modality, *sop_class, *body_part, *study, *manufacturer, *model;
    const char *series[DV_SYNTH_SERIES]; /* descriptions; NULL ends them */
    int instances[DV_SYNTH_SERIES];
    int rows, columns; /* of --size normal */
    int samples, bits, stored;
} dv_synth_kind;

typedef struct dv_synth_plan {
    uint64_t seed;
    int64_t studies, instances;    /* instances: most of a study, 0 for what its modality usually has */
    const dv_synth_kind *kinds[8]; /* taken in turn */
    int kind_count;
    dv_synth_defect defects[DV_SYNTH_DEFECTS]; /* taken in turn */
    int defect_count;
    bool normal; /* real matrix sizes instead of thumbnails */
} dv_synth_plan;

typedef struct dv_synth_study {
    int64_t number; /* from 1 */
    const dv_synth_kind *kind;
    dv_synth_defect defect;
    bool other_form; /* of the defect */
    char uid[65], accession[17], patient_id[17], date[9];
    int64_t instances[DV_SYNTH_SERIES], total;
} dv_synth_study;

typedef struct dv_synth_instance {
    dv_file_meta meta;
    dv_text header; /* the dataset up to Pixel Data's value */
    dv_text pixels;
} dv_synth_instance;

/* NULL when there is no such modality. "all" modalities: dv_synth_kinds, ended by a NULL modality. */
const dv_synth_kind *dv_synth_kind_of(dv_text modality);
extern const dv_synth_kind dv_synth_kinds[];
/* "accession", "sex" ...; "" for CLEAN. */
const char *dv_synth_defect_name(dv_synth_defect defect);
/* Study NUMBER of PLAN, from 1. */
bool dv_synth_study_of(const dv_synth_plan *plan, int64_t number, dv_synth_study *out, dv_error *err);
/* Instance NUMBER of SERIES, both from 0. */
bool dv_synth_instance_of(const dv_synth_plan *plan, const dv_synth_study *study, int series, int64_t number,
                          dv_arena *arena, dv_synth_instance *out, dv_error *err);

#endif
