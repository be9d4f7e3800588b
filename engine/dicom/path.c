#include "dicom/path.h"
#include "base/buffer.h"
#include "base/limits.h"
#include "dicom/dict.h"

enum { MAX_STEPS = DV_MAX_NESTING + 1 };

typedef struct parser {
    dv_arena *arena;
    dv_text text;
    size_t at;
    dv_step step[MAX_STEPS];
    uint32_t count;
    dv_error *err;
} parser;

static bool wrong(parser *p, const char *what)
{
    return dv_fail(p->err, DV_ERR_PATH, "%s at character %zu of the path '%.*s'", what, p->at + 1, DV_ARG(p->text));
}

static bool is_at(const parser *p, char c)
{
    return p->at < p->text.len && p->text.at[p->at] == c;
}

static bool take(parser *p, char c)
{
    if (!is_at(p, c))
        return false;
    p->at++;
    return true;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool take_hex(parser *p, int digits, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < digits; i++) {
        int d = p->at < p->text.len ? hex_digit(p->text.at[p->at]) : -1;
        if (d < 0)
            return false;
        *out = *out << 4 | (uint32_t)d;
        p->at++;
    }
    return true;
}

static void know(dv_step *s)
{
    const dv_dict_entry *e = s->creator.at ? dv_dict_private(s->creator, s->tag) : dv_dict_by_tag(s->tag);
    s->vr = e ? e->vr : s->creator.at ? DV_VR_UN : dv_dict_vr(s->tag);
}

static bool parse_keyword(parser *p, dv_tag *tag)
{
    size_t from = p->at;
    while (p->at < p->text.len && p->text.at[p->at] != '.' && p->text.at[p->at] != '[' && p->text.at[p->at] != '=' &&
           p->text.at[p->at] != ']')
        p->at++;
    dv_text keyword = {p->text.at + from, p->at - from};
    const dv_dict_entry *e = keyword.len ? dv_dict_by_keyword(keyword) : NULL;
    if (e) {
        *tag = e->tag;
        return true;
    }
    p->at = from;
    if (!keyword.len)
        return wrong(p, "an attribute is missing");
    const char *near = dv_dict_nearest(keyword);
    return dv_fail(p->err, DV_ERR_PATH, "no attribute is called '%.*s'%s%s%s (path '%.*s')", DV_ARG(keyword),
                   near ? "; did you mean " : "", near ? near : "", near ? "?" : "", DV_ARG(p->text));
}

/* "(gggg,eeee)" or "(gggg,"CREATOR",ee)", behind the bracket. */
static bool parse_tag(parser *p, dv_tag *tag, dv_text *creator)
{
    uint32_t group, element;
    *creator = (dv_text){NULL, 0};
    if (!take_hex(p, 4, &group) || !take(p, ','))
        return wrong(p, "a tag is written (gggg,eeee) or (gggg,\"CREATOR\",ee)");
    if (take(p, '"')) {
        size_t from = p->at;
        while (p->at < p->text.len && p->text.at[p->at] != '"')
            p->at++;
        *creator = dv_text_trim((dv_text){p->text.at + from, p->at - from});
        if (!creator->len || !take(p, '"') || !take(p, ',') || !take_hex(p, 2, &element) || !take(p, ')'))
            return wrong(p, "a private element is written (gggg,\"CREATOR\",ee)");
        if (!dv_tag_is_private(DV_TAG(group, 0x1000)))
            return wrong(p, "only odd groups have private creators");
    } else if (!take_hex(p, 4, &element) || !take(p, ')')) {
        return wrong(p, "a tag is written (gggg,eeee)");
    }
    *tag = DV_TAG(group, element);
    if (group >= 0xFFFE)
        return wrong(p, "groups FFFE and FFFF have no attributes");
    return true;
}

/* Behind '['. */
static bool parse_pick(parser *p, dv_step *s)
{
    bool sequence = s->vr == DV_VR_SQ, unknown = s->vr == DV_VR_UN;
    size_t from = p->at;
    if (take(p, '*')) {
        s->pick = DV_PICK_ALL;
    } else if (take(p, '+')) {
        s->pick = DV_PICK_NEW;
    } else if (p->text.len - p->at > 4 && !memcmp(p->text.at + p->at, "last]", 5)) {
        s->pick = DV_PICK_LAST;
        p->at += 4;
    } else if (p->at < p->text.len && p->text.at[p->at] >= '0' && p->text.at[p->at] <= '9') {
        size_t end = p->at;
        while (end < p->text.len && p->text.at[end] >= '0' && p->text.at[end] <= '9')
            end++;
        uint64_t number;
        if (!dv_text_uint((dv_text){p->text.at + p->at, end - p->at}, &number) || !number || number > DV_MAX_ELEMENTS)
            return wrong(p, "items and values count from 1");
        s->pick = DV_PICK_NUMBER;
        s->number = (uint32_t)number;
        p->at = end;
    } else {
        dv_text creator;
        if (!(take(p, '(') ? parse_tag(p, &s->match_tag, &creator) : parse_keyword(p, &s->match_tag)))
            return false;
        if (!take(p, '='))
            return wrong(p, "items are picked as [1], [last], [*], [+] or [Keyword=value]");
        size_t value = p->at;
        while (p->at < p->text.len && p->text.at[p->at] != ']')
            p->at++;
        s->pick = DV_PICK_MATCH;
        s->match_value = dv_text_trim((dv_text){p->text.at + value, p->at - value});
    }
    if (!take(p, ']'))
        return wrong(p, "']' is missing");
    if (!sequence && !unknown && (s->pick == DV_PICK_ALL || s->pick == DV_PICK_MATCH)) {
        p->at = from;
        return wrong(p, "what is no sequence has values [1], [2] ... [last], not items");
    }
    return true;
}

static bool parse_step(parser *p)
{
    if (p->count == MAX_STEPS)
        return wrong(p, "a path is deeper than sequences may be nested");
    dv_step *s = &p->step[p->count++];
    *s = (dv_step){.pick = DV_PICK_NONE};
    while (p->text.len - p->at >= 3 && !memcmp(p->text.at + p->at, "**.", 3)) {
        s->anywhere = true;
        p->at += 3;
    }
    if (!(take(p, '(') ? parse_tag(p, &s->tag, &s->creator) : parse_keyword(p, &s->tag)))
        return false;
    know(s);
    if (take(p, '[') && !parse_pick(p, s))
        return false;
    if (p->at < p->text.len && !is_at(p, '.'))
        return wrong(p, "'.' or the end is expected");
    if (is_at(p, '.') && s->vr != DV_VR_SQ && s->vr != DV_VR_UN)
        return wrong(p, "what is before '.' is no sequence");
    if (is_at(p, '.') && s->pick == DV_PICK_NONE)
        return wrong(p, "say which item: [1], [last], [*], [+] or [Keyword=value]");
    return true;
}

static void print_tag(dv_buffer *b, dv_tag tag, dv_text creator)
{
    char name[12];
    if (creator.at) {
        dv_buffer_printf(b, "(%04X,\"%.*s\",%02X)", DV_GROUP(tag), DV_ARG(creator), DV_ELEMENT(tag) & 0xFF);
        return;
    }
    const dv_dict_entry *e = dv_dict_by_tag(tag);
    /* Repeating groups share a keyword, which then names the first group only. */
    if (e && e->tag == tag && dv_dict_by_keyword(dv_text_of(e->keyword)) == e)
        dv_buffer_string(b, e->keyword);
    else
        dv_buffer_string(b, dv_tag_print(tag, name));
}

static void print_step(dv_buffer *b, const dv_step *s)
{
    if (s->anywhere)
        dv_buffer_string(b, "**.");
    print_tag(b, s->tag, s->creator);
    switch (s->pick) {
    case DV_PICK_NONE:
        break;
    case DV_PICK_NUMBER:
        dv_buffer_printf(b, "[%u]", s->number);
        break;
    case DV_PICK_LAST:
        dv_buffer_string(b, "[last]");
        break;
    case DV_PICK_ALL:
        dv_buffer_string(b, "[*]");
        break;
    case DV_PICK_NEW:
        dv_buffer_string(b, "[+]");
        break;
    case DV_PICK_MATCH:
        dv_buffer_string(b, "[");
        print_tag(b, s->match_tag, (dv_text){NULL, 0});
        dv_buffer_printf(b, "=%.*s]", DV_ARG(s->match_value));
        break;
    }
}

dv_text dv_path_print(dv_arena *arena, const dv_step *steps, uint32_t count)
{
    dv_buffer b = {0};
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            dv_buffer_string(&b, ".");
        print_step(&b, &steps[i]);
    }
    dv_text text = b.failed ? (dv_text){NULL, 0} : dv_arena_text(arena, dv_buffer_as_text(&b));
    dv_buffer_free(&b);
    return text;
}

static bool finish(dv_arena *arena, const dv_step *steps, uint32_t count, const dv_path **out, dv_error *err)
{
    dv_path *path = dv_arena_zalloc(arena, 1, sizeof *path);
    dv_step *copy = dv_arena_alloc(arena, count * sizeof *copy);
    if (!path || !copy)
        return dv_fail(err, DV_ERR_MEMORY, "out of memory for a path");
    memcpy(copy, steps, count * sizeof *copy);
    path->steps = copy;
    path->count = count;
    for (uint32_t i = 0; i < count; i++) {
        if (copy[i].creator.at)
            copy[i].creator = dv_arena_text(arena, copy[i].creator);
        if (copy[i].match_value.at)
            copy[i].match_value = dv_arena_text(arena, copy[i].match_value);
        path->many |= copy[i].anywhere || copy[i].pick == DV_PICK_ALL || copy[i].pick == DV_PICK_MATCH;
    }
    path->text = dv_path_print(arena, copy, count);
    if (!path->text.at)
        return dv_fail(err, DV_ERR_MEMORY, "out of memory for a path");
    *out = path;
    return true;
}

bool dv_path_compile(dv_arena *arena, dv_text text, const dv_path **out, dv_error *err)
{
    *out = NULL;
    parser p = {.arena = arena, .text = dv_text_trim(text), .err = err};
    if (!p.text.len)
        return dv_fail(err, DV_ERR_PATH, "the path is empty; name an attribute, such as PatientID");
    if (p.text.len > DV_MAX_PATH)
        return dv_fail(err, DV_ERR_LIMIT, "the path is longer than %d characters", DV_MAX_PATH);
    do {
        if (!parse_step(&p))
            return false;
    } while (take(&p, '.'));
    return finish(arena, p.step, p.count, out, err);
}

bool dv_path_of_tag(dv_arena *arena, dv_tag tag, const dv_path **out, dv_error *err)
{
    dv_step s = {.tag = tag};
    know(&s);
    return finish(arena, &s, 1, out, err);
}
