#include "dimse/commitment.h"

#include "dicom/index.h"

enum { MAX_UID = 64 };

static const dv_tag transaction_uid = DV_TAG(0x0008, 0x1195), failed_sequence = DV_TAG(0x0008, 0x1198),
                    referenced_sequence = DV_TAG(0x0008, 0x1199), referenced_class = DV_TAG(0x0008, 0x1150),
                    referenced_instance = DV_TAG(0x0008, 0x1155), failure_reason = DV_TAG(0x0008, 0x1197);

const char *dv_commit_reason(uint16_t reason)
{
    switch (reason) {
    case DV_COMMITTED:
        return "committed";
    case DV_COMMIT_PROCESSING:
        return "processing failure";
    case DV_COMMIT_NO_INSTANCE:
        return "no such object instance";
    case DV_COMMIT_CONFLICT:
        return "class / instance conflict";
    case DV_COMMIT_NO_CLASS:
        return "referenced SOP class not supported";
    case DV_COMMIT_DUPLICATE:
        return "duplicate transaction UID";
    case DV_COMMIT_RESOURCES:
        return "resource limitation";
    default:
        return "failure";
    }
}

/* ---- reading ---- */

static dv_text value_of(const dv_index *ix, dv_text bytes, uint32_t node)
{
    const dv_node *n = &ix->nodes[node];
    size_t at = n->offset + n->head;

    if (n->kind != DV_NODE_VALUE || n->length == DV_UNDEFINED || at > bytes.len || n->length > bytes.len - at)
        return (dv_text){0};
    return (dv_text){bytes.at + at, n->length};
}

static void read_item(const dv_index *ix, dv_text bytes, uint32_t item, bool failed, dv_reference *out)
{
    *out = (dv_reference){.reason = failed ? DV_COMMIT_PROCESSING : DV_COMMITTED};
    for (uint32_t e = item + 1; e < ix->nodes[item].end; e = ix->nodes[e].end) {
        dv_text value = value_of(ix, bytes, e);

        if (ix->nodes[e].tag == referenced_class)
            out->sop_class = dv_text_trim(value);
        else if (ix->nodes[e].tag == referenced_instance)
            out->sop_instance = dv_text_trim(value);
        else if (ix->nodes[e].tag == failure_reason && failed && value.len == 2)
            out->reason = (uint16_t)((uint8_t)value.at[0] | (uint8_t)value.at[1] << 8);
    }
    /* A failed reference is one, whatever its reason says. */
    if (failed && out->reason == DV_COMMITTED)
        out->reason = DV_COMMIT_PROCESSING;
}

static bool is_uid_long(dv_text t)
{
    return t.len >= 1 && t.len <= MAX_UID;
}

/* The items of SEQUENCE behind those that OUT has. */
static bool read_sequence(const dv_index *ix, dv_text bytes, dv_tag sequence, bool failed, dv_commitment *out,
                          dv_error *err)
{
    uint32_t node = dv_index_find(ix, sequence);

    if (node == DV_NO_NODE)
        return true;
    if (ix->nodes[node].kind != DV_NODE_SEQUENCE)
        return dv_fail(err, DV_ERR_MALFORMED, "(%04x,%04x) of a storage commitment is no sequence",
                       (unsigned)(sequence >> 16), (unsigned)(sequence & 0xFFFF));
    for (uint32_t i = node + 1; i < ix->nodes[node].end; i = ix->nodes[i].end) {
        dv_reference *r = &out->references[out->count];

        read_item(ix, bytes, i, failed, r);
        if (!is_uid_long(r->sop_class) || !is_uid_long(r->sop_instance))
            return dv_fail(err, DV_ERR_VALUE, "reference %zu of a storage commitment has no class or no instance UID",
                           out->count + 1);
        out->count++;
    }
    return true;
}

bool dv_commitment_read(dv_text bytes, dv_text syntax, dv_arena *arena, dv_commitment *out, dv_error *err)
{
    dv_index ix;
    uint32_t node;

    *out = (dv_commitment){0};
    if (!dv_index_all(&ix, arena, dv_syntax_encoding(syntax), (const uint8_t *)bytes.at, bytes.len, err))
        return false;
    node = dv_index_find(&ix, transaction_uid);
    if (node != DV_NO_NODE)
        out->transaction = dv_text_trim(value_of(&ix, bytes, node));
    if (!is_uid_long(out->transaction))
        return dv_fail(err, DV_ERR_VALUE, "a storage commitment without Transaction UID (0008,1195)");
    /* Every item is a node of its own: there are fewer references than nodes. */
    out->references = dv_arena_zalloc(arena, ix.count, sizeof *out->references);
    if (!out->references)
        return dv_fail(err, DV_ERR_MEMORY, "no memory for a storage commitment");
    return read_sequence(&ix, bytes, referenced_sequence, false, out, err) &&
           read_sequence(&ix, bytes, failed_sequence, true, out, err) &&
           (out->count > 0 || dv_fail(err, DV_ERR_VALUE, "a storage commitment that names no instance"));
}

/* ---- writing ---- */

static void put(uint8_t *p, uint64_t value, int n)
{
    for (int i = 0; i < n; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

/* The head of an element; where its 32-bit or 16-bit length stands is what set_length needs for sequences: the last 4 bytes. */
static bool head(dv_buffer *b, bool implicit, dv_tag tag, const char *vr, size_t length)
{
    uint8_t h[12] = {0};
    bool sequence = vr[0] == 'S' && vr[1] == 'Q';
    size_t n = implicit || !sequence ? 8 : 12;

    put(h, tag >> 16, 2);
    put(h + 2, tag & 0xFFFF, 2);
    if (implicit) {
        put(h + 4, length, 4);
    } else {
        h[4] = (uint8_t)vr[0];
        h[5] = (uint8_t)vr[1];
        put(h + (sequence ? 8 : 6), length, sequence ? 4 : 2);
    }
    return dv_buffer_add(b, h, n);
}

static void uid(dv_buffer *b, bool implicit, dv_tag tag, dv_text value)
{
    head(b, implicit, tag, "UI", value.len + value.len % 2);
    dv_buffer_text(b, value);
    if (value.len % 2)
        dv_buffer_add(b, "", 1);
}

static void item(dv_buffer *b, bool implicit, const dv_reference *r)
{
    static const uint8_t begin[4] = {0xFE, 0xFF, 0x00, 0xE0};
    uint8_t length[4], reason[2];
    size_t bytes = 16 + r->sop_class.len + r->sop_class.len % 2 + r->sop_instance.len + r->sop_instance.len % 2 +
                   (r->reason ? 10 : 0);

    put(length, bytes, 4);
    put(reason, r->reason, 2);
    dv_buffer_add(b, begin, sizeof begin);
    dv_buffer_add(b, length, sizeof length);
    uid(b, implicit, referenced_class, r->sop_class);
    uid(b, implicit, referenced_instance, r->sop_instance);
    if (r->reason) {
        head(b, implicit, failure_reason, "US", 2);
        dv_buffer_add(b, reason, 2);
    }
}

/* Those of C that are FAILED, or those that are not, as one sequence; none: no sequence. */
static void sequence_of(dv_buffer *b, bool implicit, dv_tag tag, const dv_commitment *c, bool failed)
{
    size_t begin = 0;

    for (size_t i = 0; i < c->count; i++) {
        if ((c->references[i].reason != DV_COMMITTED) != failed)
            continue;
        if (!begin) {
            head(b, implicit, tag, "SQ", 0);
            begin = b->len;
        }
        item(b, implicit, &c->references[i]);
    }
    if (begin && !b->failed)
        put((uint8_t *)b->at + begin - 4, b->len - begin, 4);
}

bool dv_commitment_write(const dv_commitment *c, bool report, dv_text syntax, dv_buffer *out, dv_error *err)
{
    dv_encoding how = dv_syntax_encoding(syntax);

    if (how.big_endian || how.deflated)
        return dv_fail(err, DV_ERR_UNSUPPORTED, "storage commitment in transfer syntax %.*s", DV_ARG(syntax));
    uid(out, how.implicit, transaction_uid, c->transaction);
    if (report)
        sequence_of(out, how.implicit, failed_sequence, c, true);
    sequence_of(out, how.implicit, referenced_sequence, c, false);
    if (out->len > DV_MAX_COMMIT_BYTES)
        return dv_fail(err, DV_ERR_LIMIT, "a storage commitment of %zu instances; ask for fewer at once", c->count);
    return !out->failed || dv_fail(err, DV_ERR_MEMORY, "no memory for a storage commitment");
}
