/* path.h: how an attribute is named everywhere: rules, tests, CLI, API, audit.
 *
 *   PatientID   (0010,0020)   (0019,"ACME_CT_01",20)          keyword, tag, private element by creator
 *   RequestAttributesSequence[1].AccessionNumber              items count from 1
 *   Seq[last].X   Seq[*].X   Seq[+].X                          the last, every, a new one at the end
 *   Seq[CodeValue=T-D1100].X                                   items whose CodeValue is that
 *   **.PatientID                                               at every depth, the top included
 *   ImageType[3]                                               a value of a multi-valued attribute
 *
 * A path is compiled once (for a rule: at load) and used by many datasets. It ends in an attribute, an item (Seq[1]) or
 * a value (ImageType[3]).
 * Memory    in the arena given to dv_path_compile.
 * Threads   read-only after. */
#ifndef DV_DICOM_PATH_H
#define DV_DICOM_PATH_H

#include "base/arena.h"
#include "base/error.h"
#include "dicom/tag.h"

typedef enum dv_pick { DV_PICK_NONE, DV_PICK_NUMBER, DV_PICK_LAST, DV_PICK_ALL, DV_PICK_NEW, DV_PICK_MATCH } dv_pick;

typedef struct dv_step {
    dv_tag tag;      /* private by creator: group and low byte; the block is found in the dataset */
    dv_text creator; /* absent unless private by creator */
    dv_vr vr;        /* from the dictionary, UN when it does not say */
    bool anywhere;   /* "**." before this step */
    dv_pick pick;
    uint32_t number;  /* DV_PICK_NUMBER, from 1 */
    dv_tag match_tag; /* DV_PICK_MATCH */
    dv_text match_value;
} dv_step;

typedef struct dv_path {
    dv_text text; /* canonical: keywords where the dictionary has one */
    dv_step *steps;
    uint32_t count;
    bool many; /* has [*], a match or ** : may name more than one attribute */
} dv_path;

/* DV_ERR_PATH names the wrong part and the nearest keyword. */
bool dv_path_compile(dv_arena *arena, dv_text text, const dv_path **out, dv_error *err);
/* STEPS as text in ARENA; absent when memory is out. */
dv_text dv_path_print(dv_arena *arena, const dv_step *steps, uint32_t count);
/* A one-step path of TAG. */
bool dv_path_of_tag(dv_arena *arena, dv_tag tag, const dv_path **out, dv_error *err);

#endif
