/* dataset_internal.h: the overlay, shared by dataset.c (reading), walk.c (paths), edit.c (writing) and write.c (bytes).
 *
 *   scope   what was written in one dataset or item: edits, sorted by tag
 *   edit    one element: a new value, a new VR, gone, new items, or only changes inside its items
 *   level   where a walk stands: a scope if there is one, and the received item under it
 *
 * A received item has its scope in by_node[item] from the first write inside it; from then on the sequence above it
 * has an edit of kind INSIDE, and so on up to the top. So the edits of the top scope lead to everything that changed.
 * Edits are never moved in memory; a removed one of a new element leaves its scope.
 * Values of edits are text in UTF-8; they are encoded when the dataset is written, by the character set in force then. */
#ifndef DV_DICOM_DATASET_INTERNAL_H
#define DV_DICOM_DATASET_INTERNAL_H

#include "dicom/dataset.h"

typedef enum dv_edit_kind {
    DV_EDIT_VALUE, /* `value` */
    DV_EDIT_VR,    /* the received bytes under `vr` */
    DV_EDIT_GONE,
    DV_EDIT_ITEMS,  /* a sequence of `items` and nothing received */
    DV_EDIT_INSIDE, /* a received sequence; its items are `items` when `listed`, else as received */
} dv_edit_kind;

typedef struct dv_item {
    uint32_t node;          /* received item, or DV_NO_NODE */
    struct dv_scope *fresh; /* new item, or NULL */
} dv_item;

typedef struct dv_edit {
    dv_tag tag;
    uint32_t node; /* received element, DV_NO_NODE for a new one */
    dv_vr vr;
    uint8_t kind; /* dv_edit_kind */
    bool listed;
    dv_text value;
    dv_item *items;
    uint32_t count, room;
} dv_edit;

typedef struct dv_scope {
    dv_edit **edits;
    uint32_t count, room;
    bool implicit; /* a new item's own elements are implicit little endian inside explicit */
} dv_scope;

struct dv_dataset {
    dv_arena *arena;
    const dv_index *ix;
    dv_scope top;
    dv_scope **by_node; /* scopes of received items; NULL until one is written to */
    dv_actor actor;
    dv_change *changes, *last_change;
    bool changed;
    bool received_only; /* while dv_dataset_get_received looks */
    bool charset_known; /* of the top level */
    bool charset_good;
    dv_charset charset;
    struct dv_seek { /* item last found in a sequence, so that walking items by number is linear */
        uint32_t sequence, number, item;
    } seek[8];
};

typedef struct dv_level {
    const struct dv_level *up;
    dv_scope *fresh; /* the top scope or a new item's; NULL for a received item */
    uint32_t item;   /* received item, DV_NO_NODE for top and new */
    dv_tag tag;      /* of the sequence that this is an item of */
    dv_text creator;
    uint32_t sequence; /* its received node, or DV_NO_NODE */
    uint32_t number;   /* of the item, from 1 */
    bool implicit;
} dv_level;

typedef struct dv_found {
    dv_edit *edit;
    uint32_t node;
    bool there;
} dv_found;

/* A place that a path names. */
typedef struct dv_place {
    const dv_level *level;
    dv_tag tag;
    dv_text creator;
    dv_found found;
    const dv_step *step; /* for value numbers; may be NULL */
    uint32_t item;       /* names this item of the sequence; 0: the element */
    bool made;           /* the item was made by this walk */
    bool is_virtual;     /* LEVEL is the deepest that is there; items below it are still to be made */
} dv_place;

typedef enum dv_walk_mode { DV_WALK_READ, DV_WALK_CHECK, DV_WALK_MAKE } dv_walk_mode;
typedef bool dv_visit(void *user, const dv_place *place);

/* walk.c */
dv_level dv_level_top(const dv_dataset *ds);
dv_level dv_level_item(const dv_dataset *ds, const dv_level *up, dv_tag tag, dv_text creator, const dv_found *sequence,
                       dv_item item, uint32_t number);
dv_scope *dv_level_scope(const dv_dataset *ds, const dv_level *lv);
dv_edit *dv_scope_find(const dv_scope *scope, dv_tag tag);
dv_found dv_level_find(const dv_dataset *ds, const dv_level *lv, dv_tag tag);
bool dv_found_is_sequence(const dv_dataset *ds, const dv_found *f);
dv_vr dv_found_vr(const dv_dataset *ds, const dv_found *f);
uint32_t dv_found_items(const dv_dataset *ds, const dv_found *f);
/* Item NUMBER from 1; false when there is none. */
bool dv_found_item(const dv_dataset *ds, const dv_found *f, uint32_t number, dv_item *out);
/* The element behind that of the call before; a cursor of zeros begins. Order: as received, new ones by tag. */
typedef struct dv_cursor {
    uint32_t next, fresh;
    bool begun;
} dv_cursor;
bool dv_level_next(const dv_dataset *ds, const dv_level *lv, dv_cursor *c, dv_tag *tag, dv_found *out);
/* Tag of the creator element of CREATOR's block in GROUP that has element LOW when one has; 0 when there is no block. */
dv_tag dv_level_block(const dv_dataset *ds, const dv_level *lv, dv_text creator, dv_tag tag);
/* Creator of TAG's block; absent without. */
dv_text dv_level_creator(const dv_dataset *ds, const dv_level *lv, dv_tag tag);
/* Calls VISIT for each place. MODE: READ those that are there (and, for a path without wildcards, the absent element in a level
 * that is there); CHECK also those that MAKE would make. False: ERR. */
bool dv_walk(dv_dataset *ds, const dv_path *path, dv_walk_mode mode, dv_visit *visit, void *user, dv_error *err);
/* The concrete path of PLACE, element or item. */
bool dv_place_path(const dv_dataset *ds, const dv_place *place, dv_arena *arena, dv_path *out, dv_error *err);

/* dataset.c */
/* *GOOD false: SpecificCharacterSet is no defined term. */
const dv_charset *dv_level_charset(const dv_dataset *ds, const dv_level *lv, dv_charset *room, bool *good);
bool dv_found_text(const dv_dataset *ds, const dv_level *lv, dv_tag tag, const dv_found *f, dv_text *out,
                   dv_error *err);
/* Received bytes of F's element; absent for sequences and bulk that was taken out. */
dv_text dv_found_bytes(const dv_dataset *ds, const dv_found *f);
/* VR by dictionary, private ones by creator; UN when unknown. */
dv_vr dv_level_dict_vr(const dv_dataset *ds, const dv_level *lv, dv_tag tag, dv_text creator);
dv_text dv_text_unpadded(dv_text t);
bool dv_text_is_plain(dv_text t);

/* overlay.c */
/* The scope to write in, made if need be with the INSIDE edits above it; NULL when memory is out. */
dv_scope *dv_level_write(dv_dataset *ds, const dv_level *lv);
/* The edit of TAG in LV, made if need be (kind VALUE for a new one). */
dv_edit *dv_level_edit(dv_dataset *ds, const dv_level *lv, dv_tag tag, const dv_found *f);
/* A new item at the end of the sequence TAG of LV, both made if need be. NULL when memory is out. */
dv_scope *dv_level_add_item(dv_dataset *ds, const dv_level *lv, dv_tag tag, uint32_t *number);
/* The tag of STEP in LV, its private block reserved. 0: no free block or no memory, ERR says. */
dv_tag dv_level_reserve(dv_dataset *ds, const dv_level *lv, const dv_step *step, bool make, dv_error *err);

bool dv_scope_remove(dv_scope *scope, dv_edit *e);
/* Lists the items of a received sequence in its edit, so that some can be added or removed. */
bool dv_edit_list_items(dv_dataset *ds, dv_edit *e);
/* Notes a change of PLACE. */
bool dv_overlay_record(dv_dataset *ds, const dv_place *place, dv_text before, dv_text after, dv_error *err);
/* What an audit shows for an element: its text, "<2 items>", "<N bytes>", or absent. */
dv_text dv_overlay_show(const dv_dataset *ds, const dv_level *lv, dv_tag tag, const dv_found *f);
/* TEXT as bytes of VR for an element of LV, not padded. Errors: VALUE, CHARSET, MEMORY. */
bool dv_value_encode(const dv_dataset *ds, const dv_level *lv, dv_tag tag, dv_vr vr, dv_text text, dv_text *out,
                     dv_error *err);

/* number.c */
/* BYTES of a binary VR as decimal text. */
bool dv_numbers_decode(dv_vr vr, dv_text bytes, bool big_endian, dv_arena *arena, dv_text *out, dv_error *err);
bool dv_numbers_encode(dv_vr vr, dv_text text, bool big_endian, dv_arena *arena, dv_text *out, dv_error *err);

#endif
