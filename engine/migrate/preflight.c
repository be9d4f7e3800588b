/* What the source has of a study, asked as deep as it can be asked:
 *
 *   A  SERIES level, then IMAGE level for each series: instance UIDs     B  SERIES level with counts     C  the count of the study's answer
 *   D  nothing: only the C-MOVE's own counts remain
 *
 * A source that refuses a level, or has nothing to say there though it counts instances, is taken one level higher. */
#include "migrate/migrate_internal.h"

#include <stdlib.h>

static void *grown(dv_evidence *ev, void *old, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return old;
    size_t more = *room ? *room * 2 : 64;
    void *p = dv_arena_grow(ev->arena, old, *room * size, more * size);
    if (p)
        *room = more;
    else
        ev->memory = true;
    return p;
}

void dv_evidence_add(dv_evidence *ev, dv_text series, dv_text sop)
{
    dv_wanted *at = ev->memory ? NULL : grown(ev, ev->wanted, ev->count, &ev->room, sizeof *at);
    if (!at)
        return;
    ev->wanted = at;
    at[ev->count] = (dv_wanted){dv_arena_text(ev->arena, series), dv_arena_text(ev->arena, sop), DV_FATE_MISSING};
    ev->memory = !at[ev->count].sop.at || !at[ev->count].series.at;
    ev->count += !ev->memory;
}

void dv_evidence_add_series(dv_evidence *ev, dv_text uid, int64_t instances)
{
    for (size_t i = 0; i < ev->series_count; i++)
        if (dv_text_equal(ev->series[i].uid, uid)) {
            /* Two records for one series (P3): the larger count is the safer one. */
            if (instances > ev->series[i].source)
                ev->series[i].source = instances;
            return;
        }
    dv_wanted_series *at = ev->memory ? NULL : grown(ev, ev->series, ev->series_count, &ev->series_room, sizeof *at);
    if (!at)
        return;
    ev->series = at;
    at[ev->series_count] = (dv_wanted_series){.uid = dv_arena_text(ev->arena, uid), .source = instances};
    ev->memory = !at[ev->series_count].uid.at;
    ev->series_count += !ev->memory;
}

static int by_sop(const void *a, const void *b)
{
    return dv_text_compare(((const dv_wanted *)a)->sop, ((const dv_wanted *)b)->sop);
}

void dv_evidence_ready(dv_evidence *ev)
{
    if (ev->level != 'A')
        return;
    if (ev->count > 1)
        qsort(ev->wanted, ev->count, sizeof *ev->wanted, by_sop);
    size_t kept = 0;
    for (size_t i = 0; i < ev->count; i++)
        if (kept == 0 || !dv_text_equal(ev->wanted[kept - 1].sop, ev->wanted[i].sop))
            ev->wanted[kept++] = ev->wanted[i];
    ev->count = kept;
    /* A series whose count was not said is as long as its list. */
    for (size_t k = 0; k < ev->series_count; k++)
        if (ev->series[k].source < 0) {
            ev->series[k].source = 0;
            for (size_t i = 0; i < kept; i++)
                ev->series[k].source += dv_text_equal(ev->wanted[i].series, ev->series[k].uid);
        }
}

/* ---- asking ---- */

typedef struct gather {
    dv_evidence *ev;
    dv_text series;
} gather;

static bool on_series(void *user, dv_dataset *ds, dv_text bytes, dv_text syntax)
{
    (void)bytes;
    (void)syntax;
    gather *g = user;
    dv_text uid = dv_text_trim(dv_dataset_raw(ds, DV_SeriesInstanceUID));
    uint64_t n;
    bool said = dv_text_uint(dv_text_trim(dv_dataset_raw(ds, DV_NumberOfSeriesRelatedInstances)), &n) && n < INT32_MAX;
    if (uid.len)
        dv_evidence_add_series(g->ev, uid, said ? (int64_t)n : -1);
    return !g->ev->memory;
}

static bool on_image(void *user, dv_dataset *ds, dv_text bytes, dv_text syntax)
{
    (void)bytes;
    (void)syntax;
    gather *g = user;
    dv_text uid = dv_text_trim(dv_dataset_raw(ds, DV_SOPInstanceUID));
    dv_text series = dv_text_trim(dv_dataset_raw(ds, DV_SeriesInstanceUID));
    /* A peer that ignores the series key answers with the whole study; each belongs where it says. */
    if (uid.len)
        dv_evidence_add(g->ev, series.len ? series : g->series, uid);
    return !g->ev->memory;
}

static bool ask_series(dv_evidence *ev, dv_links *links, const dv_source *source, dv_text study, dv_error *err)
{
    gather g = {ev, DV_TEXT("")};
    const dv_key keys[] = {{DV_QueryRetrieveLevel, DV_TEXT("SERIES")},
                           {DV_StudyInstanceUID, study},
                           {DV_SeriesInstanceUID, DV_TEXT("")},
                           {DV_Modality, DV_TEXT("")},
                           {DV_NumberOfSeriesRelatedInstances, DV_TEXT("")}};
    return dv_links_find(links, source, keys, sizeof keys / sizeof *keys, on_series, &g, NULL, err);
}

static bool ask_images(dv_evidence *ev, dv_links *links, const dv_source *source, dv_text study, dv_text series,
                       dv_error *err)
{
    gather g = {ev, series};
    const dv_key keys[] = {{DV_QueryRetrieveLevel, DV_TEXT("IMAGE")},
                           {DV_StudyInstanceUID, study},
                           {DV_SeriesInstanceUID, series},
                           {DV_SOPInstanceUID, DV_TEXT("")}};
    return dv_links_find(links, source, keys, sizeof keys / sizeof *keys, on_image, &g, NULL, err);
}

/* A refusal is an answer of sorts: ask less. Anything else means that the source cannot be asked now. */
static bool is_refusal(const dv_error *err)
{
    return err->code == DV_ERR_PEER || err->code == DV_ERR_UNSUPPORTED || err->code == DV_ERR_MALFORMED ||
           err->code == DV_ERR_TRUNCATED;
}

static bool counts_are_known(const dv_evidence *ev)
{
    for (size_t i = 0; i < ev->series_count; i++)
        if (ev->series[i].source < 0)
            return false;
    return ev->series_count > 0;
}

static char without_images(const dv_evidence *ev)
{
    return counts_are_known(ev) ? 'B' : ev->study_count > 0 ? 'C' : 'D';
}

bool dv_evidence_ask(dv_evidence *ev, dv_links *links, const dv_source *source, const dv_job *job, dv_arena *arena,
                     dv_error *err)
{
    *ev = (dv_evidence){.arena = arena, .study_count = job->source_instances};
    ev->move = (dv_move_result){.remaining = -1, .completed = -1, .failed = -1, .warning = -1};
    ev->level = ev->study_count > 0 ? 'C' : 'D';
    if (source->evidence == DV_DEPTH_STUDY)
        return true;
    if (!ask_series(ev, links, source, job->study_uid, err)) {
        ev->series_count = 0;
        return is_refusal(err) && !ev->memory;
    }
    if (ev->series_count == 0 && ev->study_count > 0)
        return true; /* it counts instances but lists no series: believe the count */
    ev->level = 'A'; /* no series, no count: an empty study is an exact answer too */
    for (size_t i = 0; i < ev->series_count && ev->level == 'A' && !ev->memory; i++) {
        if (source->evidence == DV_DEPTH_SERIES) {
            ev->level = without_images(ev);
            break;
        }
        size_t before = ev->count;
        bool asked = ask_images(ev, links, source, job->study_uid, ev->series[i].uid, err);
        if (!asked && (!is_refusal(err) || ev->memory))
            return ev->memory ? dv_fail(err, DV_ERR_MEMORY, "out of memory for the instances of a study") : false;
        if (!asked || (ev->count == before && ev->series[i].source != 0))
            ev->level = without_images(ev);
    }
    if (ev->memory)
        return dv_fail(err, DV_ERR_MEMORY, "out of memory for the instances of a study");
    dv_evidence_ready(ev);
    return true;
}
