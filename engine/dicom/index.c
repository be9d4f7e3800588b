/* Invariants
 * 1. stack[0] is the dataset itself; stack[1..open] are the open sequences, items and fragment lists, outermost first.
 * 2. A frame's `limit` is the end of the innermost defined length around it; `at` never passes it.
 * 3. A node's `end` and `stop` are final when its frame is closed; open nodes are exactly those of the frames.
 * 4. Everything that a second call needs is in dv_index; an element is parsed when all of its head, and unless it
 *    is bulk all of its value, has arrived, so a call that stopped short did nothing. */
#include "dicom/index.h"
#include "base/limits.h"
#include "dicom/dict.h"

enum { FIRST_NODES = 128, MAX_FRAMES = 1 + 2 * DV_MAX_NESTING + 1 };

typedef enum frame_kind { FRAME_ELEMENTS, FRAME_ITEMS, FRAME_FRAGMENTS } frame_kind;

typedef struct dv_index_open {
    size_t limit;
    size_t said; /* a sequence whose limit an item moved: where it said that it ends; 0 otherwise */
    uint32_t node;
    uint32_t creators; /* implicit: first private creator of the group last met here */
    dv_tag before;     /* tag of the element before, to see order */
    uint8_t kind;      /* frame_kind */
    uint8_t depth;     /* of the elements or items inside */
    bool implicit;     /* implicit little endian inside explicit */
    bool undefined;    /* ends with a delimiter */
    bool is_signed;    /* Pixel Representation met here or around: US or SS of implicit data (PS3.5 A.1) */
} frame;

/* How a VR is followed by its length. */
enum { SHORT_FORM = 1, LONG_FORM, SEQUENCE };
#define ROW(a, b) [((a) - 'A') * 26 + (b) - 'A']
static const uint8_t forms[26 * 26] = {
    ROW('A', 'E') = SHORT_FORM, ROW('A', 'S') = SHORT_FORM, ROW('A', 'T') = SHORT_FORM, ROW('C', 'S') = SHORT_FORM,
    ROW('D', 'A') = SHORT_FORM, ROW('D', 'S') = SHORT_FORM, ROW('D', 'T') = SHORT_FORM, ROW('F', 'D') = SHORT_FORM,
    ROW('F', 'L') = SHORT_FORM, ROW('I', 'S') = SHORT_FORM, ROW('L', 'O') = SHORT_FORM, ROW('L', 'T') = SHORT_FORM,
    ROW('P', 'N') = SHORT_FORM, ROW('S', 'H') = SHORT_FORM, ROW('S', 'L') = SHORT_FORM, ROW('S', 'S') = SHORT_FORM,
    ROW('S', 'T') = SHORT_FORM, ROW('T', 'M') = SHORT_FORM, ROW('U', 'I') = SHORT_FORM, ROW('U', 'L') = SHORT_FORM,
    ROW('U', 'S') = SHORT_FORM, ROW('O', 'B') = LONG_FORM,  ROW('O', 'D') = LONG_FORM,  ROW('O', 'F') = LONG_FORM,
    ROW('O', 'L') = LONG_FORM,  ROW('O', 'V') = LONG_FORM,  ROW('O', 'W') = LONG_FORM,  ROW('S', 'V') = LONG_FORM,
    ROW('U', 'C') = LONG_FORM,  ROW('U', 'N') = LONG_FORM,  ROW('U', 'R') = LONG_FORM,  ROW('U', 'T') = LONG_FORM,
    ROW('U', 'V') = LONG_FORM,  ROW('S', 'Q') = SEQUENCE,
};
#undef ROW

static inline uint16_t get16(const uint8_t *p, bool big)
{
    unsigned high = big ? p[0] : p[1], low = big ? p[1] : p[0];
    return (uint16_t)(high << 8 | low);
}

static inline uint32_t get32(const uint8_t *p, bool big)
{
    return big ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]
               : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

void dv_index_init(dv_index *ix, dv_arena *arena, dv_encoding encoding)
{
    *ix = (dv_index){.arena = arena, .encoding = encoding, .sorted = true, .body = DV_NO_NODE};
}

static bool out_of_memory(dv_error *err)
{
    return dv_fail(err, DV_ERR_MEMORY, "out of memory while a dataset is indexed");
}

static bool more_nodes(dv_index *ix, dv_error *err)
{
    if (ix->count >= DV_MAX_ELEMENTS)
        return dv_fail(err, DV_ERR_LIMIT,
                       "the dataset has more than %d elements and items; no more are read, as such a dataset is a "
                       "fault or an attack",
                       DV_MAX_ELEMENTS);
    uint32_t room = ix->room ? ix->room * 2 : FIRST_NODES;
    if (room > DV_MAX_ELEMENTS)
        room = DV_MAX_ELEMENTS;
    dv_node *grown = dv_arena_grow(ix->arena, ix->nodes, ix->room * sizeof *grown, room * sizeof *grown);
    if (!grown)
        return out_of_memory(err);
    ix->nodes = grown;
    ix->room = room;
    return true;
}

static bool more_top(dv_index *ix, dv_error *err)
{
    uint32_t room = ix->top_room ? ix->top_room * 2 : FIRST_NODES;
    uint32_t *grown = dv_arena_grow(ix->arena, ix->top, ix->top_room * sizeof *grown, room * sizeof *grown);
    if (!grown)
        return out_of_memory(err);
    ix->top = grown;
    ix->top_room = room;
    return true;
}

static bool start(dv_index *ix, dv_error *err)
{
    ix->stack = dv_arena_alloc(ix->arena, MAX_FRAMES * sizeof *ix->stack);
    if (!ix->stack)
        return out_of_memory(err);
    ix->stack[0] = (frame){.limit = SIZE_MAX, .node = DV_NO_NODE, .creators = DV_NO_NODE};
    return more_nodes(ix, err) && more_top(ix, err);
}

/* Creator of TAG's block among the elements already met in F: the run of creators that opens the group. */
static dv_text creator_of(const dv_index *ix, const frame *f, dv_tag tag)
{
    dv_tag wanted = (tag & 0xFFFF0000u) | (DV_ELEMENT(tag) >> 8);
    for (uint32_t n = f->creators; n < ix->count; n = ix->nodes[n].end) {
        const dv_node *c = &ix->nodes[n];
        if (!dv_tag_is_creator(c->tag) || c->tag > wanted)
            break;
        if (c->tag == wanted)
            return dv_text_trim(dv_index_value(ix, n));
    }
    return (dv_text){NULL, 0};
}

/* VR of implicit data: the dictionary's, the private one's by creator, SS for US where pixels are signed. */
static dv_vr vr_of(const dv_index *ix, frame *f, dv_tag tag)
{
    if (!DV_ELEMENT(tag))
        return DV_VR_UL;
    const dv_dict_entry *e;
    if (dv_tag_is_private(tag)) {
        if (DV_ELEMENT(tag) < 0x1000)
            return DV_ELEMENT(tag) >= 0x10 && DV_ELEMENT(tag) <= 0xFF ? DV_VR_LO : DV_VR_UN;
        dv_text creator = creator_of(ix, f, tag);
        e = creator.at ? dv_dict_private(creator, tag) : NULL;
    } else {
        e = dv_dict_by_tag(tag);
    }
    if (!e)
        return DV_VR_UN;
    return e->vr == DV_VR_US && e->alt == DV_VR_SS && f->is_signed ? DV_VR_SS : e->vr;
}

static inline bool all_zero(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

static void close_frame(dv_index *ix)
{
    dv_node *n = &ix->nodes[ix->stack[ix->open--].node];
    n->end = ix->count;
    n->stop = ix->at;
}

/* A delimiter that belongs to nothing stays with the element or item before it. */
static bool keep_with_previous(dv_index *ix, const frame *f, size_t at)
{
    if (!ix->count || ix->count - 1 == f->node)
        return false;
    uint32_t n = ix->count - 1;
    while (ix->nodes[n].parent != f->node)
        n = ix->nodes[n].parent;
    ix->nodes[n].stop = at + 8;
    ix->at = at + 8;
    ix->findings |= DV_INDEX_WRONG_ITEM_LENGTH;
    return true;
}

/* Opens what NODE holds: items of a sequence, elements of an item, fragments. False: LIMIT. */
static bool open_frame(dv_index *ix, uint32_t node, frame_kind kind, uint32_t length, bool implicit, size_t end,
                       dv_error *err)
{
    const frame *f = &ix->stack[ix->open];
    if (kind == FRAME_ITEMS && f->depth >= DV_MAX_NESTING)
        return dv_fail(err, DV_ERR_LIMIT,
                       "sequences are nested in each other more than %d deep, which no real dataset is, at offset %zu",
                       DV_MAX_NESTING, ix->at);
    ix->at = end;
    if (!length) {
        ix->nodes[node].end = ix->count;
        ix->nodes[node].stop = end;
        return true;
    }
    ix->open++;
    ix->stack[ix->open] = (frame){
        .limit = length == DV_UNDEFINED ? f->limit : end + length,
        .node = node,
        .creators = DV_NO_NODE,
        .kind = (uint8_t)kind,
        .depth = (uint8_t)(f->depth + (kind == FRAME_ITEMS)),
        .implicit = implicit,
        .undefined = length == DV_UNDEFINED,
        .is_signed = f->is_signed,
    };
    return true;
}

typedef enum step { STEP_ON, STEP_MORE, STEP_BAD } step;

static step bad(dv_error *err, dv_code code, const char *what, dv_tag tag, size_t at)
{
    char name[12];
    dv_fail(err, code, "%s: %s at offset %zu", what, dv_tag_print(tag, name), at);
    return STEP_BAD;
}

/* One tag of group FFFE, or anything inside a sequence or a fragment list. */
static step delimiter(dv_index *ix, dv_tag tag, uint32_t length, size_t total, dv_error *err)
{
    frame *f = &ix->stack[ix->open];
    size_t at = ix->at;
    if (f->limit - at < 8)
        return bad(err, DV_ERR_MALFORMED, "a sequence's length ends inside a tag", tag, at);
    if (tag == DV_ITEM) {
        if (f->kind == FRAME_ELEMENTS)
            return bad(err, DV_ERR_MALFORMED, "an item that is in no sequence", tag, at);
        if (length != DV_UNDEFINED && length > f->limit - at - 8) {
            /* The item is believed and not its sequence, as DCMTK does, but never more than what is around both. */
            if (f->kind != FRAME_ITEMS || f->undefined || length > ix->stack[ix->open - 1].limit - at - 8)
                return bad(err, DV_ERR_MALFORMED, "an item runs past the end of what it is in", tag, at);
            if (!f->said)
                f->said = f->limit;
            f->limit = at + 8 + length;
            ix->findings |= DV_INDEX_WRONG_ITEM_LENGTH;
        }
        if (f->kind == FRAME_FRAGMENTS) {
            if (length == DV_UNDEFINED)
                return bad(err, DV_ERR_MALFORMED, "a fragment of undefined length", tag, at);
            if (total - at - 8 < length)
                return STEP_MORE;
            ix->at = at + 8 + length;
            return STEP_ON;
        }
        if (ix->count == ix->room && !more_nodes(ix, err))
            return STEP_BAD;
        uint32_t n = ix->count++;
        ix->nodes[n] = (dv_node){.tag = tag,
                                 .length = length,
                                 .offset = at,
                                 .parent = f->node,
                                 .end = n + 1,
                                 .stop = at + 8,
                                 .head = 8,
                                 .depth = f->depth,
                                 .kind = DV_NODE_ITEM,
                                 .implicit = f->implicit};
        return open_frame(ix, n, FRAME_ELEMENTS, length, f->implicit, at + 8, err) ? STEP_ON : STEP_BAD;
    }
    if (length)
        ix->findings |= DV_INDEX_WRONG_ITEM_LENGTH;
    if (tag == DV_SEQUENCE_END) {
        if (f->kind == FRAME_ELEMENTS && ix->open && f->undefined && ix->stack[ix->open - 1].undefined) {
            close_frame(ix); /* the item's own delimiter is missing */
            ix->findings |= DV_INDEX_WRONG_ITEM_LENGTH;
            f = &ix->stack[ix->open];
        }
        if (f->kind != FRAME_ELEMENTS) {
            if (!f->undefined)
                ix->findings |= DV_INDEX_WRONG_ITEM_LENGTH;
            ix->at = at + 8;
            close_frame(ix);
            return STEP_ON;
        }
    } else if (tag == DV_ITEM_END && f->kind == FRAME_ELEMENTS && ix->open) {
        if (!f->undefined)
            ix->findings |= DV_INDEX_WRONG_ITEM_LENGTH;
        ix->at = at + 8;
        close_frame(ix);
        return STEP_ON;
    } else if (tag != DV_ITEM_END) {
        return bad(err, DV_ERR_MALFORMED,
                   f->kind == FRAME_ELEMENTS ? "a tag that no element has" : "no item where one must begin", tag, at);
    }
    if (!keep_with_previous(ix, f, at))
        return bad(err, DV_ERR_MALFORMED, "a delimiter that ends nothing", tag, at);
    return STEP_ON;
}

/* What is rare: order faults, odd lengths, groups that do not belong. */
static void note(dv_index *ix, const frame *f, dv_tag tag, uint32_t length)
{
    if (length & 1 && length != DV_UNDEFINED)
        ix->findings |= DV_INDEX_ODD_LENGTH;
    bool first = f->node == DV_NO_NODE ? ix->top_count == 0 : ix->count - 1 == f->node;
    if (!first && tag <= f->before) {
        ix->findings |= tag == f->before ? DV_INDEX_DUPLICATE : DV_INDEX_UNSORTED;
        if (f->node == DV_NO_NODE)
            ix->sorted = false;
    }
    if (tag < 0x00080000u && f->node == DV_NO_NODE)
        ix->findings |= DV_INDEX_FOREIGN_GROUP;
}

static dv_index_state starved(dv_index *ix, size_t total, bool last, dv_error *err)
{
    if (!ix->whole && total > DV_MAX_HEADER) {
        dv_fail(err, DV_ERR_LIMIT, "the header (all before Pixel Data but its long values) is longer than %d bytes",
                DV_MAX_HEADER);
        return DV_INDEX_BAD;
    }
    if (!last)
        return DV_INDEX_MORE;
    if (!ix->open && all_zero(ix->bytes + ix->at, total - ix->at)) {
        if (total > ix->at)
            ix->findings |= DV_INDEX_TRAILING;
        ix->at = ix->len = total;
        return DV_INDEX_END;
    }
    /* The data end where a sequence said it would, before an item that claims more: the item was wrong, nothing is missing. */
    for (uint32_t i = ix->open; ix->at == total && i; i--)
        while (ix->stack[i].said && ix->stack[i].said <= total && ix->open >= i)
            close_frame(ix);
    if (!ix->open && ix->at == total) {
        ix->len = total;
        return DV_INDEX_END;
    }
    dv_fail(err, DV_ERR_TRUNCATED, "the data end inside %s at offset %zu of %zu",
            ix->open ? "a sequence" : "an element", ix->at, total);
    return DV_INDEX_BAD;
}

dv_index_state dv_index_feed(dv_index *ix, const uint8_t *bytes, size_t total, bool last, dv_error *err)
{
    ix->bytes = bytes;
    if (!ix->stack && !start(ix, err))
        return DV_INDEX_BAD;
    for (;;) {
        frame *f = &ix->stack[ix->open];
        while (ix->open && ix->at >= f->limit && !f->undefined) {
            close_frame(ix);
            f = &ix->stack[ix->open];
        }
        ix->len = ix->open ? ix->len : ix->at;
        size_t at = ix->at, left = total - at;
        if (left < 8)
            return starved(ix, total, last, err);
        const uint8_t *p = bytes + at;
        bool implicit = ix->encoding.implicit || f->implicit, big = ix->encoding.big_endian && !f->implicit;
        dv_tag tag = (dv_tag)get16(p, big) << 16 | get16(p + 2, big);
        if (f->kind != FRAME_ELEMENTS || DV_GROUP(tag) == 0xFFFE) {
            switch (delimiter(ix, tag, get32(p + 4, big), total, err)) {
            case STEP_ON:
                continue;
            case STEP_MORE:
                return starved(ix, total, last, err);
            case STEP_BAD:
                return DV_INDEX_BAD;
            }
        }

        uint32_t length, head = 8;
        dv_vr vr;
        unsigned form = SHORT_FORM;
        if (implicit) {
            if (!ix->open && !tag && all_zero(p, 8)) { /* padding behind the dataset: wait for its end */
                if (last && !all_zero(p, left)) {
                    bad(err, DV_ERR_MALFORMED, "no element, but not only zeros either", tag, at);
                    return DV_INDEX_BAD;
                }
                return starved(ix, total, last, err);
            }
            length = get32(p + 4, big);
            if (dv_tag_is_creator(tag) &&
                (f->creators == DV_NO_NODE || DV_GROUP(ix->nodes[f->creators].tag) != DV_GROUP(tag)))
                f->creators = ix->count;
            vr = vr_of(ix, f, tag);
            form = vr == DV_VR_SQ ? SEQUENCE : LONG_FORM;
        } else {
            vr = DV_VR(p[4], p[5]);
            unsigned a = (unsigned)p[4] - 'A', b = (unsigned)p[5] - 'A';
            form = a < 26 && b < 26 ? forms[a * 26 + b] : 0;
            if (form > SHORT_FORM) {
                head = 12;
                if (left < 12)
                    return starved(ix, total, last, err);
                length = get32(p + 8, big);
            } else if (form) {
                length = get16(p + 6, big);
            } else {
                if (!ix->open && !tag && !vr) {
                    if (last && !all_zero(p, left)) {
                        bad(err, DV_ERR_MALFORMED, "no element, but not only zeros either", tag, at);
                        return DV_INDEX_BAD;
                    }
                    return starved(ix, total, last, err);
                }
                ix->findings |= DV_INDEX_BAD_VR;
                form = LONG_FORM;
                if (a < 26 && b < 26 && !p[6] && !p[7]) {
                    head = 12;
                    if (left < 12)
                        return starved(ix, total, last, err);
                    length = get32(p + 8, big);
                } else {
                    length = get16(p + 6, big);
                }
            }
        }

        if (length == DV_UNDEFINED ? f->limit - at < head : f->limit - at < (size_t)head + length) {
            bad(err, DV_ERR_MALFORMED, "an element runs past the end of its item", tag, at);
            return DV_INDEX_BAD;
        }
        bool body = !ix->open && (tag == DV_PixelData || tag == DV_FloatPixelData || tag == DV_DoubleFloatPixelData);
        bool fragments = length == DV_UNDEFINED && tag == DV_PixelData;
        bool sequence = !fragments && !body && (form == SEQUENCE || length == DV_UNDEFINED);
        bool bulk = body || fragments || (length > DV_BULK_BYTES && !ix->open && !sequence);
        if (sequence && form != SEQUENCE && !implicit && vr != DV_VR_UN && vr != DV_VR_OB && vr != DV_VR_OW) {
            bad(err, DV_ERR_MALFORMED, "undefined length in what is no sequence", tag, at);
            return DV_INDEX_BAD;
        }
        if (!sequence && !fragments && (!bulk || ix->whole) && left - head < length) {
            if (!ix->whole && length > DV_MAX_HEADER) {
                bad(err, DV_ERR_LIMIT, "a value inside a sequence is longer than a whole header may be", tag, at);
                return DV_INDEX_BAD;
            }
            if (last) {
                bad(err, DV_ERR_TRUNCATED, "the data end inside the value of", tag, at);
                return DV_INDEX_BAD;
            }
            return starved(ix, total, last, err);
        }

        if (ix->count == ix->room && !more_nodes(ix, err))
            return DV_INDEX_BAD;
        if ((length & 1) || tag <= f->before || tag < 0x00080000u)
            note(ix, f, tag, length);
        f->before = tag;
        uint32_t n = ix->count;
        if (!ix->open) {
            if (ix->top_count == ix->top_room && !more_top(ix, err))
                return DV_INDEX_BAD;
            ix->top[ix->top_count++] = n;
        }
        ix->count = n + 1;
        size_t stop = at + head + (bulk && !ix->whole && !ix->open ? 0 : length);
        ix->nodes[n] = (dv_node){.tag = tag,
                                 .length = length,
                                 .offset = at,
                                 .parent = f->node,
                                 .end = n + 1,
                                 .stop = stop,
                                 .vr = vr,
                                 .head = (uint8_t)head,
                                 .depth = f->depth,
                                 .kind = DV_NODE_VALUE,
                                 .bulk = bulk,
                                 .implicit = f->implicit};
        if (implicit && tag == DV_PixelRepresentation && length == 2)
            f->is_signed = get16(p + head, big) == 1;

        if (sequence) {
            bool un = form != SEQUENCE && !implicit && vr == DV_VR_UN; /* CP-246: implicit little endian inside */
            if (un)
                ix->findings |= DV_INDEX_UN_SEQUENCE;
            else if (form != SEQUENCE && !implicit)
                ix->findings |= DV_INDEX_BAD_VR;
            ix->nodes[n].kind = DV_NODE_SEQUENCE;
            ix->nodes[n].implicit = f->implicit || un;
            if (!open_frame(ix, n, FRAME_ITEMS, length, f->implicit || un, at + head, err))
                return DV_INDEX_BAD;
            continue;
        }
        if (body) {
            ix->body = n;
            if (!ix->whole) {
                ix->at = ix->len = at + head;
                ix->nodes[n].stop = ix->at;
                return DV_INDEX_BODY;
            }
        }
        if (fragments) {
            if (!open_frame(ix, n, FRAME_FRAGMENTS, length, f->implicit, at + head, err))
                return DV_INDEX_BAD;
            continue;
        }
        ix->bulk_count += bulk && !body;
        ix->at = stop;
        if (bulk && !ix->whole) {
            ix->len = stop;
            return DV_INDEX_BULK;
        }
    }
}

bool dv_index_all(dv_index *ix, dv_arena *arena, dv_encoding encoding, const uint8_t *bytes, size_t len, dv_error *err)
{
    dv_index_init(ix, arena, encoding);
    ix->whole = true;
    return dv_index_feed(ix, bytes, len, true, err) == DV_INDEX_END;
}

uint32_t dv_index_find(const dv_index *ix, dv_tag tag)
{
    if (!ix->sorted) {
        for (uint32_t i = ix->top_count; i-- > 0;)
            if (ix->nodes[ix->top[i]].tag == tag)
                return ix->top[i];
        return DV_NO_NODE;
    }
    uint32_t low = 0, high = ix->top_count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        dv_tag found = ix->nodes[ix->top[mid]].tag;
        if (found == tag)
            return ix->top[mid];
        if (found < tag)
            low = mid + 1;
        else
            high = mid;
    }
    return DV_NO_NODE;
}

uint32_t dv_index_find_in(const dv_index *ix, uint32_t item, dv_tag tag)
{
    uint32_t found = DV_NO_NODE;
    for (uint32_t n = item + 1; n < ix->nodes[item].end; n = ix->nodes[n].end)
        if (ix->nodes[n].tag == tag)
            found = n;
    return found;
}

dv_text dv_index_value(const dv_index *ix, uint32_t node)
{
    const dv_node *n = &ix->nodes[node];
    if (n->kind != DV_NODE_VALUE || (n->bulk && !ix->whole && !n->depth))
        return (dv_text){NULL, 0};
    size_t from = n->offset + n->head;
    return (dv_text){(const char *)ix->bytes + from, n->length == DV_UNDEFINED ? n->stop - from : n->length};
}
