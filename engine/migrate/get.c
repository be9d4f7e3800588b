/* What a C-GET proposes (PS3.4 C.4.3): the source can send only what we offered, as storage SCP, when the association began.
 *
 *   classes that the source says the study has, or that its modalities make likely   each class  { explicit, implicit } { JPEG lossless } { JPEG 2000 } ...
 *   the usual classes, as far as 128 contexts go                                     each class  { explicit, implicit }
 *
 * One context a compressed syntax: the one who accepts chooses one syntax of a context, so that only so may it keep each instance as it is stored (P11).
 * What does not fit into one association goes into another one; a retrieve goes through them until nothing is missing. */
#include "migrate/migrate_internal.h"

#include <stdio.h>

enum { MOST_CONTEXTS = 128, MOST_CLASSES = 128 };

#define ROOT "1.2.840.10008.5.1.4.1.1."

static const struct {
    const char *uid, *modalities;
} usual[] = {
#define DV_STORAGE(uid, modalities) {ROOT uid, modalities},
#include "migrate/get_classes.def"
#undef DV_STORAGE
};

enum { USUAL = sizeof usual / sizeof *usual };

static const char *const plain[] = {DV_UID_EXPLICIT_LE, DV_UID_IMPLICIT_LE};
/* The most frequent first. */
static const char *const compressed[] = {
    "1.2.840.10008.1.2.4.70",  "1.2.840.10008.1.2.4.90",  "1.2.840.10008.1.2.4.91",  "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.57",  "1.2.840.10008.1.2.4.80",  "1.2.840.10008.1.2.4.81",  "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.5",     "1.2.840.10008.1.2.1.99",  "1.2.840.10008.1.2.2",     "1.2.840.10008.1.2.4.100",
    "1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.103", "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.203"};

enum { COMPRESSED = sizeof compressed / sizeof *compressed };

static bool is_one_of(dv_text list, char separator, dv_text one)
{
    for (dv_text rest = list; rest.at;)
        if (dv_text_equal(dv_text_trim(dv_text_split(rest, separator, &rest)), one))
            return true;
    return false;
}

static bool allows(const char *list, const char *uid)
{
    return !list[0] || is_one_of(dv_text_of(list), '\\', dv_text_of(uid));
}

/* ---- the classes of a study ---- */

typedef struct classes {
    const dv_source *source;
    dv_arena *arena;
    const char *uid[MOST_CLASSES];
    size_t count;
} classes;

static void add_class(classes *c, dv_text uid)
{
    char copy[65];
    if (!uid.len || uid.len > 64 || c->count == MOST_CLASSES)
        return;
    dv_text_copy(uid, copy, sizeof copy);
    if (!allows(c->source->sop_classes, copy))
        return;
    for (size_t i = 0; i < c->count; i++)
        if (dv_text_is(uid, c->uid[i]))
            return;
    c->uid[c->count] = dv_arena_string(c->arena, uid);
    c->count += c->uid[c->count] != NULL;
}

static void add_modality(classes *c, dv_text modality)
{
    for (size_t i = 0; i < USUAL; i++)
        if (is_one_of(dv_text_of(usual[i].modalities), ' ', modality))
            add_class(c, dv_text_of(usual[i].uid));
}

/* SOPClassesInStudy says it all, else ModalitiesInStudy makes it likely; either is an optional key (PS3.4 C.6.2.1.2). */
static bool on_study(void *user, dv_dataset *ds, dv_text bytes, dv_text syntax)
{
    (void)bytes, (void)syntax;
    classes *c = user;
    dv_text said = dv_text_trim(dv_dataset_raw(ds, DV_SOPClassesInStudy));
    for (dv_text rest = said; rest.at;)
        add_class(c, dv_text_trim(dv_text_split(rest, '\\', &rest)));
    for (dv_text rest = said.len ? (dv_text){0} : dv_dataset_raw(ds, DV_ModalitiesInStudy); rest.at;)
        add_modality(c, dv_text_trim(dv_text_split(rest, '\\', &rest)));
    return true;
}

static bool on_image(void *user, dv_dataset *ds, dv_text bytes, dv_text syntax)
{
    (void)bytes, (void)syntax;
    add_class(user, dv_text_trim(dv_dataset_raw(ds, DV_SOPClassUID)));
    return true;
}

/* ---- contexts ---- */

/* A context of CLASS with those of COUNT syntaxes that the peer's list allows. */
static void add_context(dv_proposal *p, const dv_source *s, const char *class, const char *const *syntaxes,
                        size_t count)
{
    dv_context_offer *o = &p->offers[p->count];
    size_t n = 0;
    *o = (dv_context_offer){.sop_class = class, .role = DV_ROLE_SCP};
    for (size_t i = 0; i < count; i++)
        if (allows(s->transfer_syntaxes, syntaxes[i]))
            o->syntaxes[n++] = syntaxes[i];
    p->count += n > 0;
}

static bool begin(dv_proposal *p, dv_arena *arena)
{
    *p = (dv_proposal){.offers = dv_arena_zalloc(arena, MOST_CONTEXTS, sizeof *p->offers)};
    if (!p->offers)
        return false;
    p->offers[p->count++].sop_class = DV_SOP_STUDY_GET;
    return true;
}

/* Two proposals that are the same may share an association. */
static void name(dv_proposal *p)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < p->count; i++) {
        for (const char *at = p->offers[i].sop_class; *at; at++)
            h = (h ^ (uint8_t)*at) * 1099511628211u;
        for (size_t k = 0; k < 16 && p->offers[i].syntaxes[k]; k++)
            for (const char *at = p->offers[i].syntaxes[k]; *at; at++)
                h = (h ^ (uint8_t)*at) * 1099511628211u;
    }
    snprintf(p->variant, sizeof p->variant, "get:%016llx", (unsigned long long)h);
}

/* Each class whole in one association. */
static bool propose(const classes *c, bool with_usual, dv_arena *arena, dv_proposals *out)
{
    out->count = 0;
    for (size_t i = 0; i < c->count && out->count < DV_MOST_PROPOSALS;) {
        dv_proposal *p = &out->list[out->count++];
        if (!begin(p, arena))
            return false;
        for (; i < c->count && p->count + 1 + COMPRESSED <= MOST_CONTEXTS; i++) {
            add_context(p, c->source, c->uid[i], plain, 2);
            for (size_t k = 0; k < COMPRESSED; k++)
                add_context(p, c->source, c->uid[i], &compressed[k], 1);
        }
    }
    if (out->count == 0 && !begin(&out->list[out->count++], arena))
        return false;
    dv_proposal *first = &out->list[0];
    for (size_t i = 0; with_usual && i < USUAL && first->count < MOST_CONTEXTS; i++) {
        bool there = !allows(c->source->sop_classes, usual[i].uid);
        for (size_t k = 0; k < c->count && !there; k++)
            there = strcmp(c->uid[k], usual[i].uid) == 0;
        if (!there)
            add_context(first, c->source, usual[i].uid, plain, 2);
    }
    for (size_t i = 0; i < out->count; i++)
        name(&out->list[i]);
    return true;
}

/* ---- for retrieve.c ---- */

bool dv_get_propose(dv_links *links, const dv_source *source, dv_text study, dv_arena *arena, dv_proposals *out,
                    dv_error *err)
{
    classes *c = dv_arena_zalloc(arena, 1, sizeof *c);
    const dv_key keys[] = {{DV_QueryRetrieveLevel, DV_TEXT("STUDY")},
                           {DV_StudyInstanceUID, study},
                           {DV_SOPClassesInStudy, DV_TEXT("")},
                           {DV_ModalitiesInStudy, DV_TEXT("")}};
    if (!c)
        return dv_fail(err, DV_ERR_MEMORY, "out of memory for a C-GET");
    c->source = source;
    c->arena = arena;
    /* Without an answer the usual classes remain. */
    if (!dv_links_find(links, source, keys, sizeof keys / sizeof *keys, on_study, c, NULL, err) &&
        err->code == DV_ERR_CANCELLED)
        return false;
    return propose(c, true, arena, out) || dv_fail(err, DV_ERR_MEMORY, "out of memory for a C-GET");
}

bool dv_get_propose_missing(dv_links *links, const dv_source *source, dv_text study, const dv_evidence *ev,
                            dv_arena *arena, dv_proposals *out, dv_error *err)
{
    enum { ASKED = 32 }; /* series, one instance of each: those of a series are alike */
    classes *c = dv_arena_zalloc(arena, 1, sizeof *c);
    dv_text last = {0};
    int asked = 0;
    if (!c)
        return dv_fail(err, DV_ERR_MEMORY, "out of memory for a C-GET");
    c->source = source;
    c->arena = arena;
    out->count = 0;
    for (size_t i = 0; ev->level == 'A' && i < ev->count && asked < ASKED; i++) {
        const dv_wanted *w = &ev->wanted[i];
        if (w->fate != DV_FATE_MISSING || dv_text_equal(w->series, last))
            continue;
        last = w->series;
        asked++;
        const dv_key keys[] = {{DV_QueryRetrieveLevel, DV_TEXT("IMAGE")},
                               {DV_StudyInstanceUID, study},
                               {DV_SeriesInstanceUID, w->series},
                               {DV_SOPInstanceUID, w->sop},
                               {DV_SOPClassUID, DV_TEXT("")}};
        if (!dv_links_find(links, source, keys, sizeof keys / sizeof *keys, on_image, c, NULL, err))
            return err->code != DV_ERR_CANCELLED;
    }
    if (c->count == 0)
        return true;
    return propose(c, false, arena, out) || dv_fail(err, DV_ERR_MEMORY, "out of memory for a C-GET");
}
