/* From a seed to studies: C-FIND at study level, one job for each study that answers.
 *
 *   seed "A77" --C-FIND--> answer, answer   --same study again, other answer (P3)--> job_answers
 *                             |      +------ for another accession (the peer ignores keys): dropped, said
 *                             +--> job, or `mismatch` when the patient is not the seed's
 *
 * Jobs are written as answers come, a few hundred a transaction, so that a list of a million studies needs no memory. Running it again after
 * a kill adds what lacks: (batch, study) is unique. */
#include "migrate/migrate_internal.h"

#include <stdio.h>
#include <time.h>

enum { CHUNK = 256, EMPTY_TRIES = 3, DAY = 86400 };

bool dv_entry_claim(dv_db *db, const char *owner, const char *blocked, int64_t now, dv_arena *arena, dv_entry *out,
                    bool *found, dv_error *err)
{
    *found = false;
    *out = (dv_entry){0};
    bool memory = false;
    dv_rows *r = dv_db_query(
        db, err,
        "SELECT e.id, b.id, b.source, e.kind, e.value, e.patient, b.priority, e.tries, e.peer_tries FROM batches b "
        "JOIN entries e ON e.id ="
        " (SELECT q.id FROM entries q WHERE q.batch = b.id AND q.state = 'waiting' AND q.lease_owner = '' AND "
        "q.next_at <= $1"
        " ORDER BY q.next_at, q.id LIMIT 1)"
        " WHERE b.ended_at = 0 AND b.paused = 0 AND b.cancelled = 0 AND replace($2, '|' || b.source || '|', '') = $2"
        " ORDER BY b.priority DESC, b.id LIMIT 1",
        "is", now, blocked);
    if (dv_rows_next(r)) {
        *found = true;
        out->id = dv_rows_int(r, 0);
        out->batch = dv_rows_int(r, 1);
        dv_text *texts[] = {&out->source, &out->kind, &out->value, &out->patient};
        for (int i = 0; i < 4; i++) {
            *texts[i] = dv_arena_text(arena, dv_rows_text(r, i + 2));
            memory = memory || !texts[i]->at;
        }
        out->priority = (int)dv_rows_int(r, 6);
        out->tries = (int)dv_rows_int(r, 7);
        out->peer_tries = (int)dv_rows_int(r, 8);
    }
    if (!dv_rows_close(r, err))
        return false;
    if (memory)
        return dv_fail(err, DV_ERR_MEMORY, "out of memory for an entry");
    return !*found || dv_db_exec(db, err, "UPDATE entries SET lease_owner = $2, lease_until = $3 WHERE id = $1", "isi",
                                 out->id, owner, now + 3600 * 1000000LL);
}

bool dv_entry_settle(dv_db *db, const dv_entry *entry, const dv_entry_end *end, int64_t now, dv_error *err)
{
    /* Cancelled meanwhile: it stays so. */
    return dv_db_exec(db, err,
                      "UPDATE entries SET state = $2, error = $3, next_at = $4, tries = $5, peer_tries = $6, "
                      "lease_owner = '', lease_until = 0"
                      " WHERE id = $1 AND state = 'waiting'",
                      "istiii", entry->id, end->state, end->error.at ? end->error : DV_TEXT(""), end->next_at,
                      (int64_t)end->tries, (int64_t)end->peer_tries) &&
           dv_batch_settle(db, entry->batch, now, err);
}

/* ---- answers to jobs ---- */

typedef struct answer {
    dv_text uid, date, bytes, syntax;
    int64_t series, instances;
    bool mismatch;
} answer;

typedef struct expansion {
    dv_worker *w;
    const dv_entry *entry;
    dv_error *err;
    dv_arena arena; /* of the chunk */
    answer chunk[CHUNK];
    size_t count;
    int64_t taken, strangers, nameless, mismatches;
    bool failed;
} expansion;

static bool write_answer(dv_db *db, const dv_entry *e, const answer *a, int64_t now, dv_error *err)
{
    if (!dv_db_exec(db, err,
                    "INSERT INTO jobs (batch, entry, source, study_uid, seed, state, priority, study_date, tries, "
                    "peer_tries, next_at,"
                    " lease_until, lease_owner, error, found, found_syntax, source_series, source_instances, "
                    "here_series, here_instances,"
                    " explained, evidence, bytes, created_at, started_at, ended_at)"
                    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, 0, 0, '', $9, $10, $11, $12, $13, 0, 0, 0, '{}', "
                    "0, $14, 0, $15)"
                    " ON CONFLICT (batch, study_uid) DO NOTHING",
                    "iitttsitsbtiiii", e->batch, e->id, e->source, a->uid, e->value.len ? e->value : a->uid,
                    a->mismatch ? "mismatch" : "queued", (int64_t)e->priority, a->date,
                    a->mismatch ? "the source says that this study is another patient's than the seed's" : "", a->bytes,
                    a->syntax, a->series, a->instances, now, a->mismatch ? now : (int64_t)0))
        return false;
    if (dv_db_changes(db) > 0)
        return true;
    return dv_db_exec(db, err,
                      "INSERT INTO job_answers (job, position, found, found_syntax)"
                      " SELECT j.id, (SELECT count(*) + 1 FROM job_answers a WHERE a.job = j.id), $3, $4 FROM jobs j"
                      " WHERE j.batch = $1 AND j.study_uid = $2 AND j.found <> $3"
                      " AND NOT EXISTS (SELECT 1 FROM job_answers a WHERE a.job = j.id AND a.found = $3)",
                      "itbt", e->batch, a->uid, a->bytes, a->syntax);
}

static bool write_chunk(dv_db *db, void *user, dv_error *err)
{
    expansion *x = user;
    int64_t cancelled = 1, now = dv_wall_us();
    if (!dv_db_int(db, 1, &cancelled, err, "SELECT cancelled FROM batches WHERE id = $1", "i", x->entry->batch))
        return false;
    if (cancelled)
        return dv_fail(err, DV_ERR_CANCELLED, "batch %lld was cancelled", (long long)x->entry->batch);
    for (size_t i = 0; i < x->count; i++)
        if (!write_answer(db, x->entry, &x->chunk[i], now, err))
            return false;
    return true;
}

static bool flush(expansion *x)
{
    if (x->count && !dv_catalog_write(x->w->m->catalog, true, write_chunk, x, x->err))
        return false;
    if (x->count)
        dv_migrate_changed(x->w->m, true);
    x->count = 0;
    dv_arena_reset(&x->arena);
    return true;
}

/* Some peers ignore a key they do not know and answer with everything. */
static bool is_asked_for(const dv_entry *e, dv_dataset *ds)
{
    dv_tag tag = dv_text_is(e->kind, "accession")    ? DV_AccessionNumber
                 : dv_text_is(e->kind, "study_uid")  ? DV_StudyInstanceUID
                 : dv_text_is(e->kind, "patient_id") ? DV_PatientID
                                                     : 0;
    return tag == 0 || dv_text_equal(dv_text_trim(dv_dataset_raw(ds, tag)), e->value);
}

static int64_t count_of(dv_dataset *ds, dv_tag tag)
{
    uint64_t n = 0;
    return dv_text_uint(dv_text_trim(dv_dataset_raw(ds, tag)), &n) && n < INT32_MAX ? (int64_t)n : 0;
}

static bool on_answer(void *user, dv_dataset *ds, dv_text bytes, dv_text syntax)
{
    expansion *x = user;
    dv_text uid = dv_text_trim(dv_dataset_raw(ds, DV_StudyInstanceUID));
    if (uid.len == 0) {
        x->nameless++;
        return true;
    }
    if (!is_asked_for(x->entry, ds)) {
        x->strangers++;
        return true;
    }
    answer *a = &x->chunk[x->count];
    *a = (answer){
        .uid = dv_arena_text(&x->arena, uid),
        .bytes = dv_arena_text(&x->arena, bytes),
        .syntax = dv_arena_text(&x->arena, syntax),
        .series = count_of(ds, DV_NumberOfStudyRelatedSeries),
        .instances = count_of(ds, DV_NumberOfStudyRelatedInstances),
        .mismatch =
            x->entry->patient.len && !dv_text_equal(dv_text_trim(dv_dataset_raw(ds, DV_PatientID)), x->entry->patient),
    };
    dv_text date = dv_text_trim(dv_dataset_raw(ds, DV_StudyDate));
    a->date = dv_arena_text(&x->arena, date.at ? date : DV_TEXT(""));
    if (!a->uid.at || !a->bytes.at || !a->syntax.at || !a->date.at) {
        x->failed = !dv_fail(x->err, DV_ERR_MEMORY, "out of memory for the answers of %.*s", DV_ARG(x->entry->source));
        return false;
    }
    x->taken++;
    x->mismatches += a->mismatch;
    x->failed = ++x->count == CHUNK && !flush(x);
    return !x->failed;
}

/* ---- ranges, for sources that cap their answers ---- */

typedef struct range {
    int64_t day[2];  /* since 1970, inclusive */
    int second[2];   /* of one day, inclusive */
    bool everything; /* no date at all */
} range;

static void print_range(const range *r, char dates[32], char times[32])
{
    dates[0] = times[0] = '\0';
    if (r->everything)
        return;
    struct tm a, b;
    time_t from = (time_t)r->day[0] * DAY, to = (time_t)r->day[1] * DAY;
    gmtime_r(&from, &a);
    gmtime_r(&to, &b);
    char one[16], two[16];
    strftime(one, sizeof one, "%Y%m%d", &a);
    strftime(two, sizeof two, "%Y%m%d", &b);
    snprintf(dates, 32, "%s-%s", one, two);
    if (r->second[0] != 0 || r->second[1] != DAY - 1)
        snprintf(times, 32, "%02d%02d%02d-%02d%02d%02d", r->second[0] / 3600, r->second[0] / 60 % 60, r->second[0] % 60,
                 r->second[1] / 3600, r->second[1] / 60 % 60, r->second[1] % 60);
}

/* The halves of R, the newer one last (it is taken first). 0: one second cannot be split. */
static int split(const range *r, range out[2])
{
    out[0] = out[1] = *r;
    if (r->everything) {
        int64_t tomorrow = dv_wall_us() / 1000000 / DAY + 1;
        out[0] = (range){{-25567, tomorrow}, {0, DAY - 1}, false}; /* from 1900 on */
        return 1;
    }
    if (r->day[0] < r->day[1]) {
        int64_t middle = r->day[0] + (r->day[1] - r->day[0]) / 2;
        out[0].day[1] = middle;
        out[1].day[0] = middle + 1;
        return 2;
    }
    if (r->second[0] < r->second[1]) {
        int middle = r->second[0] + (r->second[1] - r->second[0]) / 2;
        out[0].second[1] = middle;
        out[1].second[0] = middle + 1;
        return 2;
    }
    return 0;
}

static bool ask(expansion *x, const dv_source *source, const range *r, int64_t *answers)
{
    char dates[32], times[32];
    print_range(r, dates, times);
    dv_text seed = x->entry->value, kind = x->entry->kind;
    const dv_text none = DV_TEXT("");
    const dv_key keys[] = {
        {DV_QueryRetrieveLevel, DV_TEXT("STUDY")},
        {DV_StudyInstanceUID, dv_text_is(kind, "study_uid") ? seed : none},
        {DV_AccessionNumber, dv_text_is(kind, "accession") ? seed : none},
        {DV_PatientID, dv_text_is(kind, "patient_id") ? seed : none},
        {DV_StudyDate, dv_text_of(dates)},
        {DV_StudyTime, dv_text_of(times)},
        {DV_IssuerOfPatientID, none},
        {DV_PatientName, none},
        {DV_PatientBirthDate, none},
        {DV_PatientSex, none},
        {DV_ModalitiesInStudy, none},
        {DV_NumberOfStudyRelatedSeries, none},
        {DV_NumberOfStudyRelatedInstances, none},
        {DV_StudyDescription, none},
        {DV_StudyID, none},
        {DV_SpecificCharacterSet, none},
    };
    return dv_links_find(&x->w->links, source, keys, sizeof keys / sizeof *keys, on_answer, x, answers, x->err) &&
           !x->failed && flush(x);
}

/* *CAPPED: seconds that still had as many answers as the source gives; *SPLIT: that it had to be split at all. */
static bool ask_all(expansion *x, const dv_source *source, int *capped, bool *was_split)
{
    range stack[80]; /* each split leaves one more behind: 16 halvings of days, 17 of seconds */
    size_t open = 1;
    stack[0] = (range){.everything = true};
    *capped = 0;
    *was_split = false;
    while (open) {
        range r = stack[--open], halves[2];
        int64_t answers = 0;
        if (!ask(x, source, &r, &answers))
            return false;
        if (source->find_limit == 0 || answers < source->find_limit)
            continue;
        int n = split(&r, halves);
        *capped += n == 0;
        *was_split = true;
        for (int i = 0; i < n && open < sizeof stack / sizeof *stack; i++)
            stack[open++] = halves[i];
    }
    return true;
}

/* ---- an entry ---- */

static const char *note_of(const expansion *x, int capped, bool was_split, dv_arena *arena)
{
    dv_buffer b = {0};
    if (x->strangers)
        dv_buffer_printf(&b, "%lld answers dropped: not what was asked for; ", (long long)x->strangers);
    if (x->nameless)
        dv_buffer_printf(&b, "%lld answers dropped: without a Study Instance UID; ", (long long)x->nameless);
    if (x->mismatches)
        dv_buffer_printf(&b, "%lld studies of another patient than the seed's; ", (long long)x->mismatches);
    if (capped)
        dv_buffer_printf(&b, "%d seconds still reach the source's limit: studies may lack; ", capped);
    if (was_split && dv_text_is(x->entry->kind, "all"))
        dv_buffer_string(&b, "asked in date ranges: studies without a date may lack; ");
    dv_text t = dv_buffer_as_text(&b);
    char *note = dv_arena_string(arena, (dv_text){t.at ? t.at : "", t.len > 2 ? t.len - 2 : 0});
    dv_buffer_free(&b);
    return note ? note : "";
}

bool dv_expand(dv_worker *w, const dv_entry *entry, const dv_source *source, dv_arena *arena, dv_entry_end *end,
               dv_error *err)
{
    expansion *x = dv_arena_zalloc(arena, 1, sizeof *x);
    if (!x)
        return dv_fail(err, DV_ERR_MEMORY, "out of memory to ask %s", source->slug);
    x->w = w;
    x->entry = entry;
    x->err = err;
    dv_arena_init(&x->arena, 0);
    int capped = 0;
    bool was_split = false;
    bool ok = ask_all(x, source, &capped, &was_split);
    dv_arena_free(&x->arena);
    if (!ok)
        return false;
    const char *note = note_of(x, capped, was_split, arena);
    *end = (dv_entry_end){.state = "expanded", .error = dv_text_of(note), .tries = entry->tries + 1};
    if (x->taken)
        return true;
    const char *text = dv_arena_printf(arena, "%s has no study for it%s%s", source->slug, note[0] ? "; " : "", note);
    end->error = dv_text_of(text ? text : "");
    /* A source that is being restored, or that answers from tape, may know it a moment later. */
    bool again = end->tries < EMPTY_TRIES && end->tries < w->m->max_tries;
    end->state = again ? "waiting" : "empty";
    end->next_at = again ? dv_wall_us() + dv_backoff_us(w->m, end->tries) : 0;
    return true;
}
