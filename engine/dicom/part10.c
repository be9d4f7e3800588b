#include "dicom/part10.h"

#include "base/hash.h"
#include "dicom/deflate.h"
#include "dicom/dict.h"

enum {
    PREAMBLE = 128,
    TRIAL_ELEMENTS = 3,       /* a wrong encoding does not get past the second */
    TRIAL_BYTES = 1024,       /* inflated, enough for those */
    SEARCH_BYTES = 64 * 1024, /* the SOP UIDs stand in group 0008, long before this */
};

static uint32_t number(const uint8_t *p, int n, bool big)
{
    uint32_t v = 0;
    for (int i = 0; i < n; i++)
        v |= (uint32_t)p[i] << 8 * (big ? n - 1 - i : i);
    return v;
}

static dv_tag tag_at(const uint8_t *p, bool big)
{
    return DV_TAG(number(p, 2, big), number(p + 2, 2, big));
}

/* ---- which encoding are these elements in ---- */

static bool vr_letters(const uint8_t *p)
{
    return p[0] >= 'A' && p[0] <= 'Z' && p[1] >= 'A' && p[1] <= 'Z';
}

/* Length and VR of the element at P of N bytes; false when it is no element of E. *CUT: it may be one, but the bytes
 * end first. */
static bool trial_element(const uint8_t *p, size_t n, dv_encoding e, uint32_t *length, size_t *head, bool *cut)
{
    *cut = n < 12 && n < (e.implicit ? 8u : 12u);
    if (n < 8)
        return false;
    dv_tag tag = tag_at(p, e.big_endian);
    if (tag == 0 || DV_GROUP(tag) == 0xFFFF || DV_GROUP(tag) == 0xFFFE)
        return false;
    if (e.implicit) {
        *head = 8;
        *length = number(p + 4, 4, e.big_endian);
        *cut = false;
        if (DV_ELEMENT(tag) == 0)
            return *length == 4;
        const dv_dict_entry *known = dv_dict_by_tag(tag);
        if (!known && !dv_tag_is_private(tag))
            return false;
        if (*length == DV_UNDEFINED)
            return !known || known->vr == DV_VR_SQ || tag == DV_PixelData;
        return *length < 1u << 28 || tag == DV_PixelData;
    }
    dv_vr vr = DV_VR(p[4], p[5]);
    const dv_vr_info *info = dv_vr_lookup(vr);
    if (!info)
        return false;
    *head = info->long_form ? 12 : 8;
    if (n < *head)
        return false;
    *cut = false;
    *length = info->long_form ? number(p + 8, 4, e.big_endian) : number(p + 6, 2, e.big_endian);
    return DV_ELEMENT(tag) != 0 || *length == 4;
}

/* Do the first elements read well in E? False for no bytes at all. Datasets begin with a low group (0008 in the wrong
 * byte order is 0800); only where nothing else speaks for another reading may a DECLARED one begin higher. */
static bool plausible(const uint8_t *p, size_t n, dv_encoding e, bool declared)
{
    int good = 0;
    if (n >= 2 && number(p, 2, e.big_endian) >= 0x0100 && (!declared || number(p, 2, !e.big_endian) < 0x0100))
        return false;
    for (size_t at = 0; at < n && good < TRIAL_ELEMENTS; good++) {
        uint32_t length = 0;
        size_t head = 0;
        bool cut = false;
        if (!trial_element(p + at, n - at, e, &length, &head, &cut))
            return good > 0 && (cut || n - at < 8);
        if (length == DV_UNDEFINED || length > n - at - head)
            return true;
        at += head + length;
    }
    return good > 0;
}

/* The beginning of what BYTES inflate to, appended to OUT. */
static void inflate_beginning(const uint8_t *p, size_t n, bool raw, dv_buffer *out)
{
    dv_inflater *z = dv_inflate_new(raw, NULL);
    bool done = false;
    for (size_t at = 0; z && at < n && !done && out->len < TRIAL_BYTES; at += 32)
        if (!dv_inflate_add(z, p + at, n - at < 32 ? n - at : 32, (size_t)1 << 24, out, &done, NULL))
            break;
    dv_inflate_free(z);
}

/* The same, raw as PS3.5 A.5 says or with zlib's header, which some writers leave on. False: neither gives a dataset.
 */
static bool inflate_start(const uint8_t *p, size_t n, dv_buffer *out, bool *raw)
{
    for (int form = 1; form >= 0; form--) {
        *raw = form == 1;
        dv_buffer_clear(out);
        inflate_beginning(p, n, *raw, out);
        if (plausible((const uint8_t *)out->at, out->len, (dv_encoding){0}, false))
            return true;
    }
    *raw = true;
    return false;
}

static bool plausible_deflated(const uint8_t *p, size_t n)
{
    dv_buffer begin = {0};
    bool raw, good = inflate_start(p, n, &begin, &raw);
    dv_buffer_free(&begin);
    return good;
}

/* The syntax whose encoding fits N bytes at P; DECLARED may be absent. NULL: none does. */
static dv_text true_syntax(const uint8_t *p, size_t n, dv_text declared)
{
    static const char *const order[] = {DV_UID_EXPLICIT_LE, DV_UID_EXPLICIT_BE, DV_UID_IMPLICIT_LE};
    if (declared.at) {
        dv_encoding e = dv_syntax_encoding(declared);
        /* An implicit reading takes two letters for a length of 16 KB or more and so passes nearly everything; an explicit one wants two
         * letters that are a VR, element after element. */
        if (e.implicit && plausible(p, n, dv_syntax_encoding(DV_TEXT(DV_UID_EXPLICIT_LE)), false))
            return dv_text_of(DV_UID_EXPLICIT_LE);
        if (e.deflated ? plausible_deflated(p, n) : plausible(p, n, e, true))
            return declared;
    }
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        if (plausible(p, n, dv_syntax_encoding(dv_text_of(order[i])), false))
            return dv_text_of(order[i]);
    if (plausible_deflated(p, n))
        return dv_text_of(DV_UID_DEFLATED_LE);
    return (dv_text){0};
}

dv_text dv_part10_plain_syntax(const uint8_t *p, size_t n, dv_text declared)
{
    static const char *const plain[] = {DV_UID_IMPLICIT_LE, DV_UID_EXPLICIT_LE, DV_UID_EXPLICIT_BE};
    dv_text found = {0};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (dv_text_is(declared, plain[i]))
            found = true_syntax(p, n, declared);
    return found.at && !dv_syntax_encoding(found).deflated ? found : declared;
}

/* ---- what is it, when it is not DICOM ---- */

static const char *looks_like(const uint8_t *p, size_t n)
{
    static const struct {
        const char *magic;
        uint8_t len;
        const char *name;
    } kinds[] = {
        {"%PDF", 4, "a PDF"},
        {"\xFF\xD8\xFF", 3, "a JPEG"},
        {"\x89PNG", 4, "a PNG"},
        {"PK\3\4", 4, "a ZIP archive"},
        {"\x1F\x8B", 2, "gzip data"},
        {"GIF8", 4, "a GIF"},
        {"BZh", 3, "bzip2 data"},
        {"\xFD"
         "7zXZ",
         5, "xz data"},
        {"7z\xBC\xAF", 4, "a 7z archive"},
        {"Rar!", 4, "a RAR archive"},
        {"II*\0", 4, "a TIFF"},
        {"MM\0*", 4, "a TIFF"},
        {"BM", 2, "a BMP"},
        {"RIFF", 4, "a RIFF file (AVI, WAV)"},
        {"\x7F"
         "ELF",
         4, "a program"},
        {"MZ", 2, "a program"},
        {"\0\0\0\x0CjP  ", 8, "a JPEG 2000"},
        {"\xFF\x4F\xFF\x51", 4, "a JPEG 2000 code stream"},
        {"SQLite format 3", 15, "an SQLite database"},
        {"{\\rtf", 5, "an RTF text"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (n >= kinds[i].len && memcmp(p, kinds[i].magic, kinds[i].len) == 0)
            return kinds[i].name;
    size_t m = n < 1024 ? n : 1024, zeros = 0, printable = 0, i = 0;
    for (; i < m; i++) {
        zeros += p[i] == 0;
        printable += (p[i] >= 0x20 && p[i] != 0x7F) || p[i] == '\t' || p[i] == '\n' || p[i] == '\r';
    }
    if (zeros == m)
        return "nothing but zeros";
    if (printable < m)
        return NULL;
    dv_text t = dv_text_trim((dv_text){(const char *)p, m});
    if (t.len >= 3 && memcmp(t.at, "\xEF\xBB\xBF", 3) == 0)
        t = dv_text_trim((dv_text){t.at + 3, t.len - 3});
    if (t.len >= 5 && (dv_text_equal_nocase((dv_text){t.at, 5}, DV_TEXT("<html")) ||
                       dv_text_equal_nocase((dv_text){t.at, 5}, DV_TEXT("<!doc"))))
        return "an HTML page";
    if (t.len > 1 && t.at[0] == '<')
        return "XML";
    if (t.len > 1 && t.at[0] == '{')
        return "JSON";
    return "text";
}

static bool not_dicom(const uint8_t *p, size_t n, dv_error *err)
{
    if (n == 0)
        return dv_fail(err, DV_ERR_NOT_DICOM, "it is empty");
    const char *kind = looks_like(p, n);
    if (kind)
        return dv_fail(err, DV_ERR_NOT_DICOM, "it is no DICOM file; it looks like %s", kind);
    char hex[9];
    return dv_fail(err, DV_ERR_NOT_DICOM, "it is no DICOM file; it begins with %s and reads in no transfer syntax",
                   dv_hex(p, n < 4 ? n : 4, hex));
}

/* ---- the meta group ---- */

/* One element of group 0002 at P of N bytes. Explicit little endian by the standard; implicit and big endian have been
 * seen. 0: it is none; SIZE_MAX: it goes on behind the end. */
static size_t meta_element(const uint8_t *p, size_t n, dv_tag *tag, dv_vr *vr, dv_text *value)
{
    if (n < 8)
        return 0;
    bool big = number(p, 2, false) != 2 && number(p, 2, true) == 2;
    *tag = tag_at(p, big);
    if (DV_GROUP(*tag) != 2)
        return 0;
    const dv_vr_info *info = vr_letters(p + 4) ? dv_vr_lookup(DV_VR(p[4], p[5])) : NULL;
    size_t head = 8;
    uint32_t length;
    if (info && info->long_form) {
        if (n < 12)
            return SIZE_MAX;
        head = 12;
        length = number(p + 8, 4, big);
    } else if (info) {
        length = number(p + 6, 2, big);
    } else {
        length = number(p + 4, 4, big);
    }
    *vr = info ? info->vr : dv_dict_vr(*tag);
    if (length > n - head)
        return SIZE_MAX;
    *value = (dv_text){(const char *)p + head, length};
    return head + length;
}

bool dv_part10_next(dv_text group, size_t *at, dv_tag *tag, dv_vr *vr, dv_text *value)
{
    size_t n = *at < group.len ? meta_element((const uint8_t *)group.at + *at, group.len - *at, tag, vr, value) : 0;
    if (n == 0 || n == SIZE_MAX)
        return false;
    *at += n;
    return true;
}

/* Where group 0002 ends by its own group length. Believed of files that we wrote only: what stands behind it there may be anything, also the
 * beginning of another file (kept as it came, because it could not be read); others' lengths have been seen to be wrong. */
static size_t meta_end(const uint8_t *bytes, size_t len, size_t at)
{
    dv_tag tag = 0;
    dv_vr vr = 0;
    dv_text value = {0};
    size_t n = at < len ? meta_element(bytes + at, len - at, &tag, &vr, &value) : 0;
    if (n == 0 || n == SIZE_MAX || tag != DV_TAG(2, 0) || value.len != 4)
        return len;
    size_t end = at + n + number((const uint8_t *)value.at, 4, false);
    for (at += n; at < end && end <= len; at += n) {
        n = meta_element(bytes + at, len - at, &tag, &vr, &value);
        if (n == 0 || n == SIZE_MAX)
            break;
        if (tag == DV_TAG(2, 0x0012) && dv_text_is(dv_text_trim(value), DV_IMPLEMENTATION_UID))
            return end;
    }
    return len;
}

static bool read_meta(const uint8_t *bytes, size_t len, size_t at, dv_file_meta *out, dv_error *err)
{
    size_t begin = at, end = meta_end(bytes, len, at);
    for (;;) {
        dv_tag tag = 0;
        dv_vr vr = 0;
        dv_text value = {0};
        size_t n = at < end ? meta_element(bytes + at, len - at, &tag, &vr, &value) : 0;
        if (n == SIZE_MAX)
            return dv_fail(err, DV_ERR_TRUNCATED,
                           "the data end within element (0002,%04X) of the File Meta group, at offset %zu",
                           (unsigned)DV_ELEMENT(tag), at);
        if (n == 0)
            break;
        switch (tag) {
        case DV_TAG(2, 0x0002):
            out->sop_class = dv_text_trim(value);
            break;
        case DV_TAG(2, 0x0003):
            out->sop_instance = dv_text_trim(value);
            break;
        case DV_TAG(2, 0x0010):
            out->transfer_syntax = dv_text_trim(value);
            break;
        case DV_TAG(2, 0x0016):
            out->source_aet = dv_text_trim(value);
            break;
        case DV_TAG(2, 0x0100):
            out->private_creator = dv_text_trim(value);
            break;
        case DV_TAG(2, 0x0102):
            out->private_bytes = value;
            break;
        default:
            break;
        }
        at += n;
    }
    out->no_meta = at == begin;
    out->group = (dv_text){(const char *)bytes + begin, at - begin};
    out->dataset = at;
    return true;
}

/* The SOP UIDs from the dataset's first elements, where the meta group has none. A dataset that does not parse has
 * none: whoever opens it gets the error. */
static void uids_from_dataset(const uint8_t *bytes, size_t len, dv_arena *arena, dv_file_meta *out)
{
    dv_encoding e = dv_syntax_encoding(out->transfer_syntax);
    dv_buffer begin = {0};
    if (e.deflated) {
        bool raw;
        inflate_start(bytes, len, &begin, &raw);
        bytes = (const uint8_t *)begin.at;
        len = begin.len;
    }
    dv_index *ix = dv_arena_zalloc(arena, 1, sizeof *ix);
    if (ix && len > 0) {
        dv_index_init(ix, arena, e);
        dv_index_feed(ix, bytes, len < SEARCH_BYTES ? len : SEARCH_BYTES, false, NULL);
        uint32_t c = dv_index_find(ix, DV_SOPClassUID), i = dv_index_find(ix, DV_SOPInstanceUID);
        if (out->sop_class.len == 0 && c != DV_NO_NODE)
            out->sop_class = dv_arena_text(arena, dv_text_trim(dv_index_value(ix, c)));
        if (out->sop_instance.len == 0 && i != DV_NO_NODE)
            out->sop_instance = dv_arena_text(arena, dv_text_trim(dv_index_value(ix, i)));
    }
    dv_buffer_free(&begin);
}

bool dv_part10_read(const uint8_t *bytes, size_t len, dv_arena *arena, dv_file_meta *out, dv_error *err)
{
    *out = (dv_file_meta){0};
    size_t at = 0;
    bool prefix = true;
    if (len >= PREAMBLE + 4 && memcmp(bytes + PREAMBLE, "DICM", 4) == 0) {
        at = PREAMBLE + 4;
    } else if (len >= 4 && memcmp(bytes, "DICM", 4) == 0) {
        at = 4;
        out->no_preamble = true;
    } else {
        out->no_preamble = true;
        prefix = false;
    }
    if (!prefix) {
        /* A meta group without the prefix must begin like one, not just with bytes 02 00. */
        dv_tag tag = 0;
        dv_vr vr = 0;
        dv_text value;
        size_t n = meta_element(bytes, len, &tag, &vr, &value);
        if (n != 0 && (n == SIZE_MAX || (tag != DV_TAG(2, 0) && !dv_dict_by_tag(tag))))
            return not_dicom(bytes, len, err);
    }
    if (!read_meta(bytes, len, at, out, err))
        return false;
    dv_text declared = out->transfer_syntax.len > 0 ? out->transfer_syntax : (dv_text){0};
    const uint8_t *data = bytes + out->dataset;
    size_t left = len - out->dataset;
    dv_text found = true_syntax(data, left, declared);
    if (!found.at && !prefix && out->no_meta)
        return not_dicom(bytes, len, err);
    if (!found.at) /* empty, or broken from its first element on: the declared one stands, and the parser will say what
                      is wrong */
        found = declared.at ? declared : dv_text_of(DV_UID_IMPLICIT_LE);
    out->wrong_meta = declared.at && found.at != declared.at;
    out->transfer_syntax = found;
    if (left > 0 && (out->sop_class.len == 0 || out->sop_instance.len == 0))
        uids_from_dataset(data, left, arena, out);
    return true;
}

/* ---- the whole file ---- */

bool dv_part10_inflate(const uint8_t *p, size_t n, dv_arena *arena, const uint8_t **out, size_t *len, dv_error *err)
{
    size_t limit = n > ((size_t)1 << 30) / 100 ? (size_t)1 << 30 : ((size_t)64 << 20) + n * 100;
    if (limit > (size_t)1 << 30)
        limit = (size_t)1 << 30;
    dv_buffer begin = {0}, all = {0};
    bool raw;
    inflate_start(p, n, &begin, &raw);
    dv_buffer_free(&begin);
    bool done = false;
    dv_inflater *z = dv_inflate_new(raw, err);
    bool ok = z && dv_inflate_add(z, p, n, limit, &all, &done, err);
    dv_inflate_free(z);
    if (ok && !done)
        ok = dv_fail(err, DV_ERR_TRUNCATED, "the deflated dataset ends after %zu of its bytes, before its stream does",
                     n);
    if (ok) {
        dv_text kept = dv_arena_text(arena, dv_buffer_as_text(&all));
        if (all.len > 0 && !kept.at)
            ok = dv_fail(err, DV_ERR_MEMORY, "no memory for %zu inflated bytes", all.len);
        *out = (const uint8_t *)kept.at;
        *len = all.len;
    }
    dv_buffer_free(&all);
    return ok;
}

/* The end of the last top-level element that was read whole before IX met its fault. */
static size_t good_until(const dv_index *ix, size_t len)
{
    size_t end = 0;
    uint32_t count =
        ix->top_count - (ix->open > 0 && ix->top_count > 0); /* the last is a sequence that is still open */
    for (uint32_t i = 0; i < count; i++) {
        const dv_node *n = &ix->nodes[ix->top[i]];
        if (n->stop > end && n->stop <= len && n->stop > n->offset)
            end = n->stop;
    }
    return end;
}

dv_dataset *dv_part10_open_most(const uint8_t *bytes, size_t len, dv_arena *arena, dv_file_meta *meta, dv_error *fault,
                                dv_error *err)
{
    *fault = (dv_error){DV_ERR_NONE, ""};
    if (!dv_part10_read(bytes, len, arena, meta, err))
        return NULL;
    dv_encoding e = dv_syntax_encoding(meta->transfer_syntax);
    const uint8_t *data = bytes + meta->dataset;
    size_t left = len - meta->dataset;
    if (e.deflated && left > 0 && !dv_part10_inflate(data, left, arena, &data, &left, err))
        return NULL;
    dv_index *ix = dv_arena_zalloc(arena, 1, sizeof *ix);
    if (!ix) {
        dv_fail(err, DV_ERR_MEMORY, "no memory for the index");
        return NULL;
    }
    if (!dv_index_all(ix, arena, e, data, left, fault)) {
        size_t good = fault->code == DV_ERR_MEMORY ? 0 : good_until(ix, left);
        if (good == 0 || !dv_index_all(ix, arena, e, data, good, NULL)) {
            if (err)
                *err = *fault;
            return NULL;
        }
    }
    if (meta->wrong_meta)
        ix->findings |= DV_INDEX_OTHER_SYNTAX;
    return dv_dataset_open(arena, ix, err);
}

dv_dataset *dv_part10_open(const uint8_t *bytes, size_t len, dv_arena *arena, dv_file_meta *meta, dv_error *err)
{
    dv_file_meta own;
    dv_error fault;
    dv_dataset *ds = dv_part10_open_most(bytes, len, arena, meta ? meta : &own, &fault, err);
    if (!ds || fault.code == DV_ERR_NONE)
        return ds;
    if (err)
        *err = fault;
    return NULL;
}

/* ---- writing ---- */

static bool add_element(dv_buffer *b, uint16_t element, const char *vr, dv_text value, char pad, dv_error *err)
{
    size_t padded = value.len + (value.len & 1);
    bool long_form = strcmp(vr, "OB") == 0;
    if (padded > (long_form ? 0xFFFFFFFEu : 0xFFFEu))
        return dv_fail(err, DV_ERR_VALUE, "(0002,%04X) of %zu bytes does not fit into the File Meta group", element,
                       value.len);
    uint8_t head[12] = {2, 0, (uint8_t)element, (uint8_t)(element >> 8), (uint8_t)vr[0], (uint8_t)vr[1]};
    size_t n = long_form ? 12 : 8;
    for (size_t i = 0; i < (long_form ? 4u : 2u); i++)
        head[(long_form ? 8 : 6) + i] = (uint8_t)(padded >> 8 * i);
    dv_buffer_add(b, head, n);
    dv_buffer_text(b, value);
    if (value.len & 1)
        dv_buffer_add(b, &pad, 1);
    return true;
}

bool dv_part10_write(const dv_file_meta *meta, dv_arena *arena, dv_text *out, size_t *private_at, dv_error *err)
{
    static const uint8_t zeros[PREAMBLE];
    dv_buffer b = {0};
    dv_buffer_add(&b, zeros, PREAMBLE);
    dv_buffer_string(&b, "DICM");
    size_t begin = b.len + 12, at = 0;
    bool ok = add_element(&b, 0x0000, "UL", DV_TEXT("\0\0\0\0"), 0, err) &&
              add_element(&b, 0x0001, "OB", DV_TEXT("\0\1"), 0, err) &&
              add_element(&b, 0x0002, "UI", meta->sop_class, 0, err) &&
              add_element(&b, 0x0003, "UI", meta->sop_instance, 0, err) &&
              add_element(&b, 0x0010, "UI", meta->transfer_syntax, 0, err) &&
              add_element(&b, 0x0012, "UI", DV_TEXT(DV_IMPLEMENTATION_UID), 0, err) &&
              add_element(&b, 0x0013, "SH", DV_TEXT("DROVER_" DROVER_VERSION), ' ', err) &&
              (meta->source_aet.len == 0 || add_element(&b, 0x0016, "AE", meta->source_aet, ' ', err));
    if (ok && meta->private_creator.len > 0) {
        ok = add_element(&b, 0x0100, "UI", meta->private_creator, 0, err);
        at = b.len + 12;
        ok = ok && add_element(&b, 0x0102, "OB", meta->private_bytes, 0, err);
    }
    if (ok && !b.failed) {
        for (size_t i = 0; i < 4; i++)
            b.at[begin - 4 + i] = (char)((b.len - begin) >> 8 * i);
        *out = dv_arena_text(arena, dv_buffer_as_text(&b));
        if (private_at)
            *private_at = at;
    }
    if (ok && (b.failed || !out->at))
        ok = dv_fail(err, DV_ERR_MEMORY, "no memory for the File Meta group");
    dv_buffer_free(&b);
    return ok;
}
