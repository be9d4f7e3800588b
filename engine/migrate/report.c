/* What was asked, what became of it: batches, jobs and attempts as JSON, the progress of those that run, the report of those that ended.
 *
 *   inventory = complete + explained + accepted + open, for studies and for instances (M35)
 *   complete  here              explained  excluded, empty, or in quarantine with a reason
 *   accepted  by a person       open       all else */
#include "migrate/migrate_internal.h"

#include <stdio.h>

enum { DEFAULT_LIMIT = 100, MOST = 100000, SECONDS = 30 };

/* ---- rows to objects ---- */

/* Adds ITEM, or gives up on O. */
static bool add(cJSON *o, const char *name, cJSON *item)
{
    if (item && cJSON_AddItemToObject(o, name, item))
        return true;
    cJSON_Delete(item);
    return false;
}

/* A letter a column, which gives the name: i number, s text, t time (null when 0), b truth, j JSON text. */
static cJSON *object_of(const dv_rows *r, const char *kinds)
{
    cJSON *o = cJSON_CreateObject();
    for (int c = 0; kinds[c]; c++) {
        const char *name = dv_rows_name(r, c);
        char stamp[DV_STAMP_SIZE];
        cJSON *v = NULL;
        dv_text t;
        switch (kinds[c]) {
        case 'i':
            v = cJSON_CreateNumber((double)dv_rows_int(r, c));
            break;
        case 'b':
            v = cJSON_CreateBool(dv_rows_int(r, c) != 0);
            break;
        case 't':
            v = dv_rows_int(r, c) ? cJSON_CreateString(dv_stamp(dv_rows_int(r, c), stamp)) : cJSON_CreateNull();
            break;
        case 'j':
            t = dv_rows_text(r, c);
            v = t.len ? cJSON_ParseWithLength(t.at, t.len) : NULL;
            v = v ? v : cJSON_CreateNull();
            break;
        default: {
            dv_buffer b = {0};
            dv_buffer_text(&b, dv_rows_text(r, c));
            v = cJSON_CreateString(b.at ? b.at : "");
            dv_buffer_free(&b);
        }
        }
        add(o, name, v);
    }
    return o;
}

static cJSON *array_of(dv_rows *r, const char *kinds, dv_error *err)
{
    cJSON *list = cJSON_CreateArray();
    while (dv_rows_next(r)) {
        cJSON *row = object_of(r, kinds);
        if (!cJSON_AddItemToArray(list, row))
            cJSON_Delete(row);
    }
    if (dv_rows_close(r, err) && list)
        return list;
    if (!list)
        dv_fail(err, DV_ERR_MEMORY, "out of memory for a list");
    cJSON_Delete(list);
    return NULL;
}

static int64_t limit_of(int limit)
{
    return limit <= 0 ? DEFAULT_LIMIT : limit > MOST ? MOST : limit;
}

/* ---- counts ---- */

cJSON *dv_state_counts(dv_db *db, bool entries, int64_t batch, dv_error *err)
{
    static const char *const entry_states[] = {"waiting", "expanded", "empty", "failed", "cancelled"};
    cJSON *o = cJSON_CreateObject();
    for (int i = 0; i < (entries ? 5 : DV_JOB_STATES); i++)
        cJSON_AddNumberToObject(o, entries ? entry_states[i] : dv_job_state_name((dv_job_state)i), 0);
    dv_rows *r = entries ? dv_db_query(db, err,
                                       "SELECT e.state, count(*) FROM batches b JOIN entries e ON e.batch = b.id"
                                       " WHERE (b.id = $1 OR ($1 = 0 AND b.ended_at = 0)) GROUP BY e.state",
                                       "i", batch)
                         : dv_db_query(db, err,
                                       "SELECT j.state, count(*) FROM batches b JOIN jobs j ON j.batch = b.id"
                                       " WHERE (b.id = $1 OR ($1 = 0 AND b.ended_at = 0)) GROUP BY j.state",
                                       "i", batch);
    while (dv_rows_next(r)) {
        char name[32];
        dv_text_copy(dv_rows_text(r, 0), name, sizeof name);
        cJSON *n = cJSON_GetObjectItemCaseSensitive(o, name);
        if (n)
            cJSON_SetNumberValue(n, (double)dv_rows_int(r, 1));
    }
    if (dv_rows_close(r, err))
        return o;
    cJSON_Delete(o);
    return NULL;
}

static double sum_of(const cJSON *counts, const char *const *names)
{
    double n = 0;
    for (; *names; names++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(counts, *names);
        n += cJSON_IsNumber(v) ? v->valuedouble : 0;
    }
    return n;
}

/* ---- the report ---- */

static bool add_inventory(dv_db *db, int64_t batch, cJSON *report, dv_error *err)
{
    /* A count that the source gave too low is raised to what was seen, so that the sum always holds. */
    dv_rows *r =
        dv_db_query(db, err,
                    "SELECT count(*), coalesce(sum(CASE WHEN state IN ('complete', 'skipped') THEN 1 ELSE 0 END), 0),"
                    " coalesce(sum(CASE WHEN state IN ('excluded', 'empty') OR (state = 'partial' AND explained > 0"
                    "   AND here_instances + explained >= source_instances) THEN 1 ELSE 0 END), 0),"
                    " coalesce(sum(here_instances), 0), coalesce(sum(explained), 0),"
                    " coalesce(sum(CASE WHEN source_instances > here_instances + explained THEN source_instances - "
                    "here_instances - explained ELSE 0 END), 0),"
                    " coalesce(sum(bytes), 0) FROM jobs WHERE batch = $1",
                    "i", batch);
    if (dv_rows_next(r)) {
        double all = (double)dv_rows_int(r, 0), complete = (double)dv_rows_int(r, 1),
               explained = (double)dv_rows_int(r, 2);
        cJSON *studies = cJSON_AddObjectToObject(report, "studies");
        cJSON_AddNumberToObject(studies, "inventory", all);
        cJSON_AddNumberToObject(studies, "complete", complete);
        cJSON_AddNumberToObject(studies, "explained", explained);
        cJSON_AddNumberToObject(studies, "accepted", 0);
        cJSON_AddNumberToObject(studies, "open", all - complete - explained);
        double here = (double)dv_rows_int(r, 3), reasons = (double)dv_rows_int(r, 4), lack = (double)dv_rows_int(r, 5);
        cJSON *instances = cJSON_AddObjectToObject(report, "instances");
        cJSON_AddNumberToObject(instances, "inventory", here + reasons + lack);
        cJSON_AddNumberToObject(instances, "complete", here);
        cJSON_AddNumberToObject(instances, "explained", reasons);
        cJSON_AddNumberToObject(instances, "accepted", 0);
        cJSON_AddNumberToObject(instances, "open", lack);
        cJSON_AddNumberToObject(report, "bytes", (double)dv_rows_int(r, 6));
    }
    return dv_rows_close(r, err);
}

static bool add_evidence_levels(dv_db *db, int64_t batch, cJSON *report, dv_error *err)
{
    dv_rows *r =
        dv_db_query(db, err,
                    "SELECT level, count(*) FROM (SELECT CASE WHEN evidence LIKE '{\"stands_on\":\"_\"%' THEN "
                    "substr(evidence, 15, 1)"
                    " ELSE '-' END AS level FROM jobs WHERE batch = $1) AS levels GROUP BY level ORDER BY level",
                    "i", batch);
    cJSON *levels = cJSON_AddObjectToObject(report, "stands_on");
    while (dv_rows_next(r)) {
        char level[4];
        dv_text_copy(dv_rows_text(r, 0), level, sizeof level);
        cJSON_AddNumberToObject(levels, level, (double)dv_rows_int(r, 1));
    }
    return dv_rows_close(r, err);
}

cJSON *dv_batch_report(dv_db *db, int64_t batch, dv_error *err)
{
    cJSON *report = cJSON_CreateObject(), *jobs = dv_state_counts(db, false, batch, err);
    cJSON *entries = jobs ? dv_state_counts(db, true, batch, err) : NULL;
    bool ok = jobs && entries;
    ok = add(report, "jobs", jobs) && ok;
    ok = (!entries || add(report, "entries", entries)) && ok;
    ok = ok && add_inventory(db, batch, report, err) && add_evidence_levels(db, batch, report, err);
    if (ok) {
        static const char *const open[] = {"empty", "failed", NULL};
        cJSON_AddNumberToObject(report, "seeds_without_a_study", sum_of(entries, open));
        return report;
    }
    cJSON_Delete(report);
    return NULL;
}

bool dv_batch_settle(dv_db *db, int64_t batch, int64_t now, dv_error *err)
{
    int64_t open = 1;
    if (!dv_db_int(db, 1, &open, err,
                   "SELECT EXISTS (SELECT 1 FROM entries WHERE batch = $1 AND state = 'waiting') OR EXISTS (SELECT 1 "
                   "FROM jobs WHERE batch = $1"
                   " AND state IN ('queued', 'preflight', 'retrieving', 'staging', 'verifying'))"
                   " OR NOT EXISTS (SELECT 1 FROM batches WHERE id = $1 AND ended_at = 0)",
                   "i", batch))
        return false;
    if (open)
        return true;
    cJSON *report = dv_batch_report(db, batch, err);
    char *text = report ? cJSON_PrintUnformatted(report) : NULL;
    bool ok = text ? dv_db_exec(db, err, "UPDATE batches SET ended_at = $2, report = $3 WHERE id = $1", "iis", batch,
                                now, text)
              : report ? dv_fail(err, DV_ERR_MEMORY, "out of memory for the report of batch %lld", (long long)batch)
                       : false;
    if (ok)
        dv_info("migrate", "batch %lld ended", (long long)batch);
    cJSON_free(text);
    cJSON_Delete(report);
    return ok;
}

/* ---- lists ---- */

static bool add_counts(dv_db *db, cJSON *batch, dv_error *err)
{
    int64_t id = (int64_t)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(batch, "batch"));
    cJSON *jobs = dv_state_counts(db, false, id, err), *entries = jobs ? dv_state_counts(db, true, id, err) : NULL;
    bool ok = jobs && entries;
    ok = (!jobs || add(batch, "jobs", jobs)) && ok;
    return (!entries || add(batch, "entries", entries)) && ok;
}

static const char batch_kinds[] = "issibbsstt";
#define BATCH_STATE                                                                                                    \
    "CASE WHEN b.cancelled = 1 THEN 'cancelled' WHEN b.ended_at > 0 THEN 'ended' WHEN b.paused = 1 OR EXISTS (SELECT " \
    "1 FROM settings s"                                                                                                \
    " WHERE s.value = '1' AND (s.name = 'migrate.paused' OR s.name = 'migrate.paused.' || b.source)) THEN 'paused' "   \
    "ELSE 'running' END"
#define BATCH_COLUMNS                                                                                                  \
    "b.id AS batch, b.name, b.source, b.priority, b.full_repull <> 0 AS full_repull, b.paused <> 0 AS "                \
    "paused, " BATCH_STATE " AS state, b.channel, b.created_at, b.ended_at"

cJSON *dv_batch_list_json(dv_db *db, int64_t after, int limit, dv_error *err)
{
    cJSON *list = array_of(dv_db_query(db, err,
                                       "SELECT " BATCH_COLUMNS
                                       " FROM batches b WHERE ($1 = 0 OR b.id < $1) ORDER BY b.id DESC LIMIT $2",
                                       "ii", after, limit_of(limit)),
                           batch_kinds, err);
    cJSON *b;
    cJSON_ArrayForEach(b, list) if (!add_counts(db, b, err))
    {
        cJSON_Delete(list);
        return NULL;
    }
    return list;
}

static cJSON *one_batch(dv_db *db, int64_t batch, dv_error *err)
{
    cJSON *list = array_of(dv_db_query(db, err, "SELECT " BATCH_COLUMNS " FROM batches b WHERE b.id = $1", "i", batch),
                           batch_kinds, err);
    cJSON *b = list ? cJSON_DetachItemFromArray(list, 0) : NULL;
    if (list && !b)
        dv_fail(err, DV_ERR_NOT_FOUND, "there is no batch %lld", (long long)batch);
    cJSON_Delete(list);
    return b;
}

cJSON *dv_batch_json(dv_db *db, int64_t batch, dv_error *err)
{
    cJSON *b = one_batch(db, batch, err);
    bool ok = b && add_counts(db, b, err);
    cJSON *errors =
        ok ? array_of(
                 dv_db_query(db, err,
                             "SELECT kind, value, state, error, tries FROM entries WHERE batch = $1 AND error <> ''"
                             " ORDER BY id LIMIT 20",
                             "i", batch),
                 "sssis", err)
           : NULL;
    ok = errors && add(b, "seed_errors", errors);
    cJSON *report = ok ? dv_batch_report(db, batch, err) : NULL;
    ok = report && add(b, "report", report);
    if (ok)
        return b;
    cJSON_Delete(b);
    return NULL;
}

static const char job_kinds[] = "iisssssiisiiiiiitttt";
#define JOB_COLUMNS                                                                                                    \
    "j.id AS job, j.batch, j.source, j.study_uid, j.seed, j.state, j.study_date, j.priority, j.tries, j.error, "       \
    "j.source_series,"                                                                                                 \
    " j.source_instances, j.here_series, j.here_instances, j.explained, j.bytes, j.created_at, j.started_at, "         \
    "j.ended_at,"                                                                                                      \
    " CASE WHEN j.state IN ('queued', 'staging') THEN j.next_at ELSE 0 END AS next_at"

cJSON *dv_batch_jobs_json(dv_db *db, int64_t batch, const char *state, int64_t after, int limit, dv_error *err)
{
    return array_of(dv_db_query(db, err,
                                "SELECT " JOB_COLUMNS
                                " FROM jobs j WHERE j.batch = $1 AND ($2 = '' OR j.state = $2) AND j.id > $3"
                                " ORDER BY j.id LIMIT $4",
                                "isii", batch, state ? state : "", after, limit_of(limit)),
                    job_kinds, err);
}

cJSON *dv_job_json(dv_db *db, int64_t job, dv_error *err)
{
    cJSON *list =
        array_of(dv_db_query(db, err, "SELECT " JOB_COLUMNS " FROM jobs j WHERE j.id = $1", "i", job), job_kinds, err);
    cJSON *j = list ? cJSON_DetachItemFromArray(list, 0) : NULL;
    if (list && !j)
        dv_fail(err, DV_ERR_NOT_FOUND, "there is no job %lld", (long long)job);
    cJSON_Delete(list);
    if (!j)
        return NULL;
    list = array_of(
        dv_db_query(
            db, err,
            "SELECT j.evidence, (SELECT count(*) FROM job_answers a WHERE a.job = j.id) AS further_answers FROM jobs j"
            " WHERE j.id = $1",
            "i", job),
        "ji", err);
    cJSON *more = list ? cJSON_GetArrayItem(list, 0) : NULL;
    const char *level = cJSON_GetStringValue(
        cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(more, "evidence"), "stands_on"));
    bool ok = more && add(j, "verdict_stands_on", cJSON_CreateString(level ? level : "")) &&
              add(j, "evidence", cJSON_DetachItemFromObjectCaseSensitive(more, "evidence")) &&
              add(j, "further_answers", cJSON_DetachItemFromObjectCaseSensitive(more, "further_answers"));
    cJSON_Delete(list);
    cJSON *attempts =
        ok ? array_of(
                 dv_db_query(
                     db, err,
                     "SELECT number, source, started_at, ended_at, status, asked, completed, failed, warned, arrived,"
                     " error FROM attempts WHERE job = $1 ORDER BY number",
                     "i", job),
                 "isttsiiiiis", err)
           : NULL;
    if (attempts && add(j, "attempts", attempts))
        return j;
    cJSON_Delete(j);
    return NULL;
}

/* ---- progress ---- */

typedef struct live {
    cJSON *running, *waiting_for;
    double arriving, rate;
    bool paused;
} live;

/* What only memory knows: arrivals, rates, sources that do not answer (of a batch: its own). */
static void look_at_runs(dv_migrate *m, int64_t batch, const char *source, live *l)
{
    pthread_mutex_lock(&m->lock);
    int64_t second = dv_mono_ms() / 1000, since = second - m->rate_began + 1, count = 0;
    for (int64_t s = second - SECONDS + 1; s <= second; s++)
        if (s > m->rate_second - SECONDS && s <= m->rate_second && s >= 0)
            count += m->rate[s % SECONDS];
    l->paused = m->paused;
    l->rate = count ? (double)count / (double)(since < 1 ? 1 : since > SECONDS ? SECONDS : since) : 0;
    for (int i = 0; i < m->worker_count; i++) {
        const dv_run *run = &m->workers[i].run;
        if (!run->job || (batch && run->batch != batch))
            continue;
        l->arriving += (double)run->arrived;
        cJSON *o = cJSON_CreateObject();
        cJSON_AddNumberToObject(o, "job", (double)run->job);
        cJSON_AddStringToObject(o, "study_uid", run->study_uid.at); /* the arena's copies have terminators */
        cJSON_AddStringToObject(o, "source", run->source.at);
        cJSON_AddStringToObject(o, "state", dv_job_state_name(run->state));
        cJSON_AddNumberToObject(o, "asked", (double)run->asked);
        cJSON_AddNumberToObject(o, "arrived", (double)run->arrived);
        cJSON_AddNumberToObject(o, "remaining", run->remaining);
        cJSON_AddItemToArray(l->running, o);
    }
    for (size_t i = 0; i < m->gate_count; i++) {
        const dv_gate *g = &m->gates[i];
        if (!g->failures || (source && strcmp(source, g->slug) != 0))
            continue;
        char stamp[DV_STAMP_SIZE];
        int64_t in_ms = g->until_ms > dv_mono_ms() ? g->until_ms - dv_mono_ms() : 0;
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "source", g->slug);
        cJSON_AddStringToObject(o, "error", g->error);
        cJSON_AddNumberToObject(o, "failures", g->failures);
        cJSON_AddStringToObject(o, "next_at", dv_stamp(dv_wall_us() + in_ms * 1000, stamp));
        cJSON_AddItemToArray(l->waiting_for, o);
    }
    pthread_mutex_unlock(&m->lock);
}

static bool add_sums(dv_db *db, int64_t batch, const live *l, cJSON *o, dv_error *err)
{
    dv_rows *r = dv_db_query(
        db, err,
        "SELECT coalesce(sum(j.source_instances), 0), coalesce(sum(j.here_instances), 0), coalesce(sum(j.explained), "
        "0),"
        " coalesce(sum(j.bytes), 0), coalesce(sum(CASE WHEN j.ended_at = 0 AND j.source_instances > j.here_instances +"
        " j.explained THEN j.source_instances - j.here_instances - j.explained ELSE 0 END), 0) FROM batches b"
        " JOIN jobs j ON j.batch = b.id WHERE (b.id = $1 OR ($1 = 0 AND b.ended_at = 0))",
        "i", batch);
    if (dv_rows_next(r)) {
        cJSON *instances = cJSON_AddObjectToObject(o, "instances");
        cJSON_AddNumberToObject(instances, "total", (double)dv_rows_int(r, 0));
        cJSON_AddNumberToObject(instances, "here", (double)dv_rows_int(r, 1));
        cJSON_AddNumberToObject(instances, "explained", (double)dv_rows_int(r, 2));
        cJSON_AddNumberToObject(instances, "arriving", l->arriving);
        cJSON_AddNumberToObject(o, "bytes", (double)dv_rows_int(r, 3));
        double left = (double)dv_rows_int(r, 4) - l->arriving;
        if (l->rate > 0)
            cJSON_AddNumberToObject(o, "eta_s", left > 0 ? left / l->rate : 0);
        else
            cJSON_AddNullToObject(o, "eta_s");
    }
    return dv_rows_close(r, err);
}

/* What went wrong so far, the first few of each kind: seeds, then studies; those that are tried again too. */
static bool add_problems(dv_db *db, int64_t batch, cJSON *o, dv_error *err)
{
    cJSON *seeds = array_of(
        dv_db_query(db, err,
                    "SELECT e.value AS seed, '' AS study_uid, e.state, e.error FROM entries e WHERE e.batch = $1"
                    " AND e.error <> '' LIMIT 5",
                    "i", batch),
        "ssss", err);
    cJSON *jobs =
        seeds ? array_of(
                    dv_db_query(
                        db, err,
                        "SELECT j.seed, j.study_uid, j.state, j.error FROM jobs j WHERE j.batch = $1 AND j.error <> ''"
                        " LIMIT 5",
                        "i", batch),
                    "ssss", err)
              : NULL;
    for (cJSON *j = NULL; jobs && (j = cJSON_DetachItemFromArray(jobs, 0));)
        cJSON_AddItemToArray(seeds, j);
    bool ok = jobs != NULL;
    cJSON_Delete(jobs);
    return (!seeds || add(o, "problems", seeds)) && ok;
}

static void add_studies(cJSON *o, const cJSON *jobs)
{
    static const char *const done[] = {"complete", "partial",  "failed",    "skipped", "excluded",
                                       "empty",    "mismatch", "cancelled", NULL};
    static const char *const open[] = {"queued", "preflight", "retrieving", "staging", "verifying", NULL};
    double ended = sum_of(jobs, done), left = sum_of(jobs, open);
    cJSON *studies = cJSON_AddObjectToObject(o, "studies");
    cJSON_AddNumberToObject(studies, "total", ended + left);
    cJSON_AddNumberToObject(studies, "done", ended);
    cJSON_AddNumberToObject(studies, "open", left);
}

cJSON *dv_migrate_progress_json(dv_migrate *m, int64_t batch, dv_error *err)
{
    dv_db *db = dv_catalog_reader(m->catalog, err);
    if (!db)
        return NULL;
    cJSON *o = batch ? one_batch(db, batch, err) : cJSON_CreateObject();
    if (!o) {
        if (!batch)
            dv_fail(err, DV_ERR_MEMORY, "out of memory for the progress");
        return NULL;
    }
    cJSON *entries = dv_state_counts(db, true, batch, err),
          *jobs = entries ? dv_state_counts(db, false, batch, err) : NULL;
    bool ok = entries && jobs;
    ok = (!entries || add(o, "entries", entries)) && ok;
    ok = (!jobs || add(o, "jobs", jobs)) && ok;
    live l = {cJSON_CreateArray(), cJSON_CreateArray(), 0, 0, false};
    look_at_runs(m, batch, cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "source")), &l);
    ok = add(o, "running", l.running) && ok;
    ok = add(o, "waiting_for", l.waiting_for) && ok;
    if (ok) {
        add_studies(o, jobs);
        cJSON_AddNumberToObject(cJSON_AddObjectToObject(o, "rate"), "instances_per_s", l.rate);
        ok = add_sums(db, batch, &l, o, err) && (!batch || add_problems(db, batch, o, err));
    }
    const char *state = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "state"));
    static const char *const waiting[] = {"waiting", NULL};
    bool ended = batch ? !cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(o, "ended_at"))
                       : ok && sum_of(entries, waiting) == 0 &&
                             cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(
                                 cJSON_GetObjectItemCaseSensitive(o, "studies"), "open")) == 0;
    if (ok && !state)
        cJSON_AddStringToObject(o, "state", ended ? "ended" : l.paused ? "paused" : "running");
    cJSON_AddBoolToObject(o, "ended", ended);
    cJSON *report = ok && batch && ended ? dv_batch_report(db, batch, err) : NULL;
    if (ok && batch && ended)
        ok = report && add(o, "report", report);
    else
        cJSON_AddNullToObject(o, "report");
    if (ok)
        return o;
    cJSON_Delete(o);
    return NULL;
}
