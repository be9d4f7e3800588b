/* The comparison of a study at its source with what is here, by received identifiers, and what follows from it.
 *
 *   every wanted instance has one fate:  stored | excluded | rejected | held | unreadable (in quarantine, with a reason) | missing
 *   source = stored + explained + missing                                                 <- holds at level A by construction
 *
 * Levels B and C know numbers only: what lacks is source - here, a series at a time or for the study. */
#include "catalog/query.h"
#include "migrate/migrate_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { MISSING_SHOWN = 20 };

/* ---- what is here ---- */

static dv_wanted *find_wanted(const dv_evidence *ev, dv_text sop)
{
    size_t low = 0, high = ev->level == 'A' ? ev->count : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = dv_text_compare(sop, ev->wanted[middle].sop);
        if (order == 0)
            return &ev->wanted[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static void note_fate(dv_evidence *ev, dv_text series, dv_text sop, dv_fate fate)
{
    dv_wanted *w = find_wanted(ev, sop);
    if (ev->level == 'A' && (!w || w->fate != DV_FATE_MISSING)) {
        ev->beyond += w == NULL;
        return;
    }
    if (w) {
        w->fate = fate;
        series = w->series;
    }
    ev->fates[fate]++;
    for (size_t i = 0; i < ev->series_count; i++)
        if (dv_text_equal(ev->series[i].uid, series)) {
            ev->series[i].here += fate == DV_FATE_STORED;
            ev->series[i].explained += fate != DV_FATE_STORED;
            return;
        }
}

static bool on_stored(void *user, dv_text series, dv_text sop)
{
    note_fate(user, dv_text_trim(series), dv_text_trim(sop), DV_FATE_STORED);
    return true;
}

static dv_fate fate_of(dv_text state)
{
    return dv_text_is(state, "excluded")   ? DV_FATE_EXCLUDED
           : dv_text_is(state, "rejected") ? DV_FATE_REJECTED
           : dv_text_is(state, "held")     ? DV_FATE_HELD
                                           : DV_FATE_UNREADABLE;
}

/* Several rows may stand for one instance (another reason each time): the newest counts. One that is stored as well counts as stored. */
static bool read_quarantine(dv_evidence *ev, dv_db *db, dv_text study_uid, dv_error *err)
{
    dv_rows *r =
        dv_db_query(db, err,
                    "SELECT q.received_series_uid, q.received_sop_uid, q.state, q.reason, q.rule FROM quarantine q "
                    "WHERE q.received_study_uid = $1"
                    " AND q.id = (SELECT max(n.id) FROM quarantine n WHERE n.received_sop_uid = q.received_sop_uid AND "
                    "n.received_study_uid = $1)"
                    " AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.received_sop_uid = q.received_sop_uid)",
                    "t", study_uid);
    while (dv_rows_next(r)) {
        dv_fate fate = fate_of(dv_rows_text(r, 2));
        int64_t before = ev->fates[fate];
        note_fate(ev, dv_text_trim(dv_rows_text(r, 0)), dv_text_trim(dv_rows_text(r, 1)), fate);
        if (fate != DV_FATE_EXCLUDED && ev->fates[fate] > before && !ev->reason[0]) {
            dv_text rule = dv_rows_text(r, 4), reason = dv_rows_text(r, 3);
            snprintf(ev->reason, sizeof ev->reason, "%.*s%s%.*s", DV_ARG(rule), rule.len ? ": " : "", DV_ARG(reason));
        }
    }
    return dv_rows_close(r, err);
}

static int64_t lacking(int64_t source, int64_t here)
{
    return source > here ? source - here : 0;
}

bool dv_evidence_compare(dv_evidence *ev, dv_db *db, dv_text study_uid, dv_error *err)
{
    memset(ev->fates, 0, sizeof ev->fates);
    ev->beyond = ev->here_series = ev->bytes = 0;
    ev->reason[0] = '\0';
    for (size_t i = 0; i < ev->count; i++)
        ev->wanted[i].fate = DV_FATE_MISSING;
    for (size_t i = 0; i < ev->series_count; i++)
        ev->series[i].here = ev->series[i].explained = 0;
    if (!dv_query_received_study(db, study_uid, on_stored, ev, err) || !read_quarantine(ev, db, study_uid, err))
        return false;
    int64_t here = ev->fates[DV_FATE_STORED] + dv_evidence_explained(ev);
    if (ev->level == 'A')
        ev->fates[DV_FATE_MISSING] = (int64_t)ev->count - here;
    else if (ev->level == 'B')
        for (size_t i = 0; i < ev->series_count; i++)
            ev->fates[DV_FATE_MISSING] += lacking(ev->series[i].source, ev->series[i].here + ev->series[i].explained);
    else if (ev->level == 'C')
        ev->fates[DV_FATE_MISSING] = lacking(ev->study_count, here);
    /* By origins: rules may have stored it as several studies, or together with others. */
    return dv_db_int(db, 0, &ev->here_series, err, "SELECT count(*) FROM origins WHERE received_study_uid = $1", "t",
                     study_uid) &&
           dv_db_int(db, 0, &ev->bytes, err,
                     "SELECT coalesce(sum(i.bytes), 0) FROM origins o JOIN instances i ON i.origin = o.id WHERE "
                     "o.received_study_uid = $1",
                     "t", study_uid);
}

/* ---- what follows ---- */

int64_t dv_evidence_source_count(const dv_evidence *ev)
{
    int64_t n = 0;
    if (ev->level == 'A')
        return (int64_t)ev->count;
    if (ev->level == 'B')
        for (size_t i = 0; i < ev->series_count; i++)
            n += ev->series[i].source;
    return ev->level == 'B' ? n : ev->study_count;
}

int64_t dv_evidence_explained(const dv_evidence *ev)
{
    return ev->fates[DV_FATE_EXCLUDED] + ev->fates[DV_FATE_REJECTED] + ev->fates[DV_FATE_HELD] +
           ev->fates[DV_FATE_UNREADABLE];
}

bool dv_evidence_all_here(const dv_evidence *ev)
{
    return ev->level != 'D' && ev->fates[DV_FATE_MISSING] == 0 && dv_evidence_source_count(ev) > 0;
}

static void say_counts(const dv_evidence *ev, char *error, size_t size)
{
    int n = snprintf(error, size, "%lld stored", (long long)ev->fates[DV_FATE_STORED]);
    const struct {
        dv_fate fate;
        const char *word;
    } rest[] = {{DV_FATE_EXCLUDED, "excluded"},
                {DV_FATE_REJECTED, "rejected"},
                {DV_FATE_HELD, "held"},
                {DV_FATE_UNREADABLE, "unreadable"},
                {DV_FATE_MISSING, "missing"}};
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
        if (ev->fates[rest[i].fate] && n > 0 && (size_t)n < size)
            n += snprintf(error + n, size - (size_t)n, ", %lld %s", (long long)ev->fates[rest[i].fate], rest[i].word);
    if (dv_evidence_source_count(ev) > 0 && n > 0 && (size_t)n < size)
        n += snprintf(error + n, size - (size_t)n, " of %lld at the source", (long long)dv_evidence_source_count(ev));
    if (ev->reason[0] && n > 0 && (size_t)n < size)
        snprintf(error + n, size - (size_t)n, "; %s", ev->reason);
}

dv_job_state dv_evidence_verdict(const dv_evidence *ev, char *error, size_t size)
{
    int64_t stored = ev->fates[DV_FATE_STORED], explained = dv_evidence_explained(ev);
    error[0] = '\0';
    if ((ev->level == 'A' || ev->level == 'B') && dv_evidence_source_count(ev) == 0) {
        snprintf(error, size, "the source lists no instances");
        return stored ? DV_JOB_COMPLETE : DV_JOB_EMPTY;
    }
    /* Where the source tells nothing, only its sub-operations and what came can speak. */
    bool lost = ev->level == 'D' && (ev->move.failed > 0 || stored + explained == 0);
    if (ev->fates[DV_FATE_MISSING] > 0 || lost) {
        say_counts(ev, error, size);
        return DV_JOB_QUEUED;
    }
    if (explained > ev->fates[DV_FATE_EXCLUDED]) {
        say_counts(ev, error, size);
        return DV_JOB_PARTIAL;
    }
    return stored == 0 ? DV_JOB_EXCLUDED : DV_JOB_COMPLETE;
}

/* ---- evidence as JSON ---- */

static void add_number(cJSON *o, const char *name, int64_t n)
{
    cJSON_AddNumberToObject(o, name, (double)n);
}

static void add_instances(cJSON *root, const dv_evidence *ev)
{
    cJSON *a = cJSON_AddObjectToObject(root, "A");
    add_number(a, "source", (int64_t)ev->count);
    add_number(a, "here", ev->fates[DV_FATE_STORED]);
    add_number(a, "explained", dv_evidence_explained(ev));
    add_number(a, "missing_count", ev->fates[DV_FATE_MISSING]);
    add_number(a, "beyond", ev->beyond);
    cJSON *missing = cJSON_AddArrayToObject(a, "missing");
    for (size_t i = 0, shown = 0; i < ev->count && shown < MISSING_SHOWN; i++)
        if (ev->wanted[i].fate == DV_FATE_MISSING) {
            cJSON_AddItemToArray(missing,
                                 cJSON_CreateString(ev->wanted[i].sop.at)); /* the arena's copy has a terminator */
            shown++;
        }
}

static void add_series(cJSON *root, const dv_evidence *ev)
{
    cJSON *b = cJSON_AddObjectToObject(root, "B");
    add_number(b, "source", (int64_t)ev->series_count);
    int64_t whole = 0;
    cJSON *differ = NULL;
    for (size_t i = 0; i < ev->series_count; i++) {
        const dv_wanted_series *s = &ev->series[i];
        if (s->here + s->explained == s->source) {
            whole++;
            continue;
        }
        if (!differ)
            differ = cJSON_AddArrayToObject(b, "differ");
        if (cJSON_GetArraySize(differ) >= MISSING_SHOWN)
            continue;
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "series", s->uid.at);
        add_number(o, "source", s->source);
        add_number(o, "here", s->here);
        add_number(o, "explained", s->explained);
        cJSON_AddItemToArray(differ, o);
    }
    add_number(b, "equal", whole);
}

/* FailedSOPInstanceUIDList: what the source says it could not send. Said, not believed: what is missing is compared. */
static void add_failed(cJSON *d, const dv_evidence *ev)
{
    cJSON *list = ev->move.failed_uids.len ? cJSON_AddArrayToObject(d, "failed_uids") : NULL;
    char uid[65];
    for (dv_text rest = ev->move.failed_uids; list && rest.at && cJSON_GetArraySize(list) < MISSING_SHOWN;) {
        dv_text one = dv_text_trim(dv_text_split(rest, '\\', &rest));
        dv_text_copy(one, uid, sizeof uid);
        if (one.len)
            cJSON_AddItemToArray(list, cJSON_CreateString(uid));
    }
}

dv_text dv_evidence_json(const dv_evidence *ev, dv_arena *arena)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "stands_on", (char[]){ev->level, 0});
    if (ev->level == 'A')
        add_instances(root, ev);
    if (ev->level == 'A' || ev->level == 'B')
        add_series(root, ev);
    if (ev->study_count) {
        cJSON *c = cJSON_AddObjectToObject(root, "C");
        add_number(c, "source", ev->study_count);
        add_number(c, "here", ev->fates[DV_FATE_STORED]);
    }
    if (ev->moved) {
        char status[8];
        snprintf(status, sizeof status, "%04X", ev->move.status);
        cJSON *d = cJSON_AddObjectToObject(root, "D");
        cJSON_AddStringToObject(d, "status", status);
        add_number(d, "completed", ev->move.completed);
        add_number(d, "failed", ev->move.failed);
        add_number(d, "warning", ev->move.warning);
        if (ev->move.comment[0])
            cJSON_AddStringToObject(d, "comment", ev->move.comment);
        add_failed(d, ev);
        cJSON *e = cJSON_AddObjectToObject(root, "E");
        add_number(e, "asked", ev->asked);
        add_number(e, "arrived", ev->arrived);
    }
    char *text = cJSON_PrintUnformatted(root);
    dv_text out = text ? dv_arena_text(arena, dv_text_of(text)) : DV_TEXT("{}");
    cJSON_free(text);
    cJSON_Delete(root);
    return out.at ? out : DV_TEXT("{}");
}
