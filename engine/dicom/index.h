/* index.h: where the elements of a dataset stand in its bytes.
 *
 *   bytes   header of the dataset, bulk values taken out, never changed while an index points to them
 *   nodes   flat, in the order met (preorder): element | item; children follow their parent
 *
 *     0 (0008,0005) CS              end 1
 *     1 (0040,0275) SQ              end 5     end = index of the first node behind the subtree
 *     2   item                      end 5
 *     3     (0008,0050) SH          end 4
 *     4     (0040,1001) SH          end 5
 *     5 (0010,0010) PN              end 6
 *
 * Resumable: dv_index_feed is called with the same bytes, now longer, as they arrive, and goes on where it stopped.
 * It stops at each value that rules do not read (longer than DV_BULK_BYTES, and Pixel Data): the caller spools those
 * bytes elsewhere and says so; the bytes given to feed go on behind them. Encapsulated Pixel Data, and any pixel data,
 * end the header: what follows (fragments, trailing elements) passes through and is not indexed.
 *
 *   for (;;) switch (dv_index_feed(ix, header, len, last, &err)) {
 *   case DV_INDEX_MORE:  get more bytes; continue
 *   case DV_INDEX_BULK:  the node ix->nodes[ix->count - 1] has its value next: spool nodes[..].length bytes, continue
 *   case DV_INDEX_BODY:  Pixel Data's value begins at header[ix->at]; the header is complete
 *   case DV_INDEX_END:   the dataset is complete, it has no Pixel Data
 *   case DV_INDEX_BAD:   ERR says what and at which offset
 *   }
 *
 * No recursion; depth, count and lengths are bounded by base/limits.h before anything is allocated for them.
 * Memory    nodes are in the arena given to dv_index_init. Bytes are borrowed.
 * Threads   one at a time while feeding, read-only after.
 * Standard  PS3.5 7.1 to 7.5, A.4. */
#ifndef DV_DICOM_INDEX_H
#define DV_DICOM_INDEX_H

#include "base/arena.h"
#include "base/error.h"
#include "dicom/syntax.h"
#include "dicom/tag.h"

#define DV_UNDEFINED 0xFFFFFFFFu /* length of PS3.5 7.1.1 */
#define DV_NO_NODE   0xFFFFFFFFu

typedef enum dv_node_kind { DV_NODE_VALUE, DV_NODE_SEQUENCE, DV_NODE_ITEM } dv_node_kind;

typedef struct dv_node {
    dv_tag tag;
    uint32_t length; /* as encoded, DV_UNDEFINED possible */
    size_t offset;   /* of the element's or item's first byte in the header bytes */
    uint32_t
        parent;   /* node of the enclosing item's... sequence for an item, item for an element; DV_NO_NODE at the top */
    uint32_t end; /* first node behind the subtree; for a value its own index + 1 */
    size_t stop;  /* first header byte behind it, delimiters included (a bulk value's bytes count nothing) */
    dv_vr vr;     /* as encoded, or by dictionary when implicit; 0 for items */
    uint8_t head; /* bytes from `offset` to the value: 8 or 12 */
    uint8_t depth; /* 0 at the top; elements of a first-level item have 1 */
    uint8_t kind;  /* dv_node_kind */
    bool bulk;     /* the value is not in the header bytes */
    bool implicit; /* content encoded as implicit little endian inside explicit (UN sequences, CP-246) */
} dv_node;

typedef struct dv_index {
    dv_node *nodes;
    uint32_t count, room;
    uint32_t *top; /* nodes of depth 0, in order met */
    uint32_t top_count, top_room;
    bool sorted; /* the top-level tags ascend strictly: binary search is allowed */
    dv_encoding encoding;
    const uint8_t *bytes; /* of the last feed */
    size_t len;           /* bytes parsed as complete elements; = at when the header is complete */
    size_t at;            /* next byte to parse */
    uint32_t bulk_count;
    uint32_t body; /* node of Pixel Data, DV_NO_NODE without */
    dv_arena *arena;
    struct dv_index_open *stack; /* open sequences and items, at most DV_MAX_NESTING */
    uint32_t open;
    uint32_t findings; /* DV_INDEX_* bits below: what was read past */
    bool whole;        /* made by dv_index_all: bulk and Pixel Data are in the bytes */
} dv_index;

/* Faults that were read past; normalization policies report them (DEFECTS.md 12, 13, 31). */
/* What is read past, and how:
 *   BAD_VR             no VR of PS3.5: two capital letters with zeros behind them have a 32-bit length (as future VRs will),
 *                      anything else a 16-bit one, as DCMTK does; OB and OW of undefined length that are not Pixel Data are sequences
 *   WRONG_ITEM_LENGTH  delimiters in defined lengths or where none belongs, a sequence delimiter that also ends its open item,
 *                      delimiters with a length; bytes stay with the element before them; an item longer than its sequence says
 *   TRAILING           zeros behind the last element
 *   FOREIGN_GROUP      groups 0000 to 0007 in the dataset
 *   OTHER_SYNTAX       set by whoever found that the dataset is not in the syntax declared for it (DEFECTS.md 11)
 * An element that runs past its item's defined length, and an item past that of the item around its sequence, are MALFORMED. */
enum {
    DV_INDEX_ODD_LENGTH = 1,
    DV_INDEX_BAD_VR = 2,
    DV_INDEX_UNSORTED = 4,
    DV_INDEX_DUPLICATE = 8,
    DV_INDEX_WRONG_ITEM_LENGTH = 16,
    DV_INDEX_TRAILING = 32,
    DV_INDEX_FOREIGN_GROUP = 64,
    DV_INDEX_UN_SEQUENCE = 128,
    DV_INDEX_OTHER_SYNTAX = 256,
};

typedef enum dv_index_state { DV_INDEX_MORE, DV_INDEX_BULK, DV_INDEX_BODY, DV_INDEX_END, DV_INDEX_BAD } dv_index_state;

/* For a dataset in ENCODING (deflated: feed inflated bytes). */
void dv_index_init(dv_index *ix, dv_arena *arena, dv_encoding encoding);
/* BYTES of LEN are the header bytes so far; LAST says that no more will come. Errors: MALFORMED, TRUNCATED, LIMIT, MEMORY. */
dv_index_state dv_index_feed(dv_index *ix, const uint8_t *bytes, size_t len, bool last, dv_error *err);
/* A whole dataset in memory: bulk values stay in the bytes (nodes have bulk set and `offset + head` is the value),
 * Pixel Data and what follows it too: elements behind it are indexed. Encapsulated Pixel Data (at any depth) is one node of
 * kind VALUE and undefined length, its fragments and sequence delimiter in front of `stop`. The common case of files. */
bool dv_index_all(dv_index *ix, dv_arena *arena, dv_encoding encoding, const uint8_t *bytes, size_t len, dv_error *err);
/* Top-level node of TAG, the last one when a faulty dataset has several; DV_NO_NODE when absent. */
uint32_t dv_index_find(const dv_index *ix, dv_tag tag);
/* The same among the direct children of ITEM. */
uint32_t dv_index_find_in(const dv_index *ix, uint32_t item, dv_tag tag);
/* The value's bytes as encoded; for encapsulated Pixel Data the fragments. Absent for sequences, items, and bulk that was taken out. */
dv_text dv_index_value(const dv_index *ix, uint32_t node);

#endif
