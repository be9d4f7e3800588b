/* again.c: what stands, what the policy says, and the steps that make it so. A row is changed only when it still is what was looked at
 * (compare and swap on its path), else all is looked at once more. */
#include "ingest/again.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "catalog/peers.h"
#include "ingest/ingest_internal.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

enum { TRIES = 16 };

bool dv_again_policy_of(const char *key, const char *word, dv_again_policy *out, dv_error *err)
{
    static const char *const words[] = {"hold", "first", "newest"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(word, words[i]) == 0) {
            *out = (dv_again_policy)i;
            return true;
        }
    return dv_fail(err, DV_ERR_CONFIG, "%s is '%s'; newest, first and hold are", key, word);
}

void dv_ingest_policies(dv_ingest *ingest, dv_again_policies policies)
{
    ingest->policies = policies;
}

/* ---- policy ---- */

/* The source's own word, else the site's. */
static bool policy_of(dv_ingest *ingest, const dv_instance *row, dv_seen seen, dv_again_policy *out, dv_error *err)
{
    const char *key = seen == DV_SEEN_HEADER ? "header_changed" : "reencoded";
    *out = seen == DV_SEEN_HEADER ? ingest->policies.header_changed : ingest->policies.reencoded;
    dv_arena arena;
    dv_arena_init(&arena, 1024);
    dv_peer peer = {0};
    bool found = false;
    dv_db *db = dv_catalog_reader(ingest->catalog, err);
    bool ok = db && (row->source.len == 0 || dv_peer_get(db, row->source, &arena, &peer, &found, err));
    cJSON *settings = ok && found ? cJSON_ParseWithLength(peer.settings.at, peer.settings.len) : NULL;
    const cJSON *word = cJSON_GetObjectItemCaseSensitive(settings, key);
    if (cJSON_IsString(word))
        dv_again_policy_of(key, word->valuestring, out, NULL); /* "site" leaves it */
    cJSON_Delete(settings);
    dv_arena_free(&arena);
    return ok;
}

/* ---- the same image in another encoding? ---- */

static bool same_text(const dv_dataset *a, const dv_dataset *b, dv_tag tag)
{
    dv_text x = dv_dataset_text(a, tag), y = dv_dataset_text(b, tag);
    return dv_text_equal(x.at ? x : DV_TEXT(""), y.at ? y : DV_TEXT(""));
}

/* Class, and size of the image, as far as both say it: no pixel is decoded. */
static bool same_image(dv_ingest *ingest, const dv_newcomer *n, const char *path, bool *same, dv_error *err)
{
    static const dv_tag tags[] = {DV_SOPClassUID, DV_Rows, DV_Columns, DV_NumberOfFrames};
    char full[4096 + 512];
    dv_map map;
    dv_error why = {0};
    *same = false;
    snprintf(full, sizeof full, "%s/%s", dv_store_folder(ingest->store), path);
    if (!dv_map_open(&map, full, &why)) {
        dv_warn("ingest", "%s cannot be compared with what comes again: %s", path, why.message);
        return true;
    }
    dv_arena arena;
    dv_arena_init(&arena, 0);
    const dv_dataset *stored = dv_part10_open(map.bytes, map.len, &arena, NULL, &why);
    *same = stored != NULL;
    for (size_t i = 0; *same && i < sizeof tags / sizeof *tags; i++)
        *same = same_text(stored, n->received, tags[i]);
    bool ok = stored || why.code != DV_ERR_MEMORY || dv_fail(err, why.code, "%s", why.message);
    dv_arena_free(&arena);
    dv_map_close(&map);
    return ok;
}

/* ---- course ---- */

/* The ten-minute folder never goes back, the clock may: it comes first. "area/YYYY/MM/DD/HHM/" */
static bool is_newer(const dv_instance *row, const dv_standing *s)
{
    const char *mine = strchr(row->path.at, '/'), *theirs = strchr(s->path, '/');
    int order = mine && theirs ? strncmp(mine, theirs, sizeof "/YYYY/MM/DD/HHM" - 1) : 0;
    return order ? order > 0 : row->received_at >= s->received_at;
}

bool dv_again_course(dv_ingest *ingest, const dv_newcomer *n, dv_standing *s, dv_course *course, dv_error *err)
{
    dv_again_policy policy = DV_AGAIN_HOLD;
    bool same = true, accepted = n->row->clash == DV_CLASH_TAKE || n->row->clash == DV_CLASH_NEWER;
    dv_db *db = dv_catalog_reader(ingest->catalog, err);
    if (!db || !dv_catalog_stands(db, n->row, s, err))
        return false;
    *course = s->seen == DV_SEEN_NEW ? DV_COURSE_STORE : DV_COURSE_KNOWN;
    if (s->seen == DV_SEEN_NEW || s->seen == DV_SEEN_IDENTICAL)
        return true;
    if (s->seen == DV_SEEN_RECODED) {
        if (!same_image(ingest, n, s->path, &same, err))
            return false;
        if (!same) {
            s->seen = DV_SEEN_CONFLICT;
            s->why = "an image of another kind or size came before under this SOP Instance UID";
        }
    }
    if (s->seen != DV_SEEN_CONFLICT && !accepted && !n->rebuild && !policy_of(ingest, n->row, s->seen, &policy, err))
        return false;
    if (n->rebuild && (accepted || s->seen != DV_SEEN_CONFLICT))
        policy = is_newer(n->row, s) ? DV_AGAIN_NEWEST : DV_AGAIN_FIRST;
    else if (accepted)
        policy = DV_AGAIN_NEWEST;
    *course = policy == DV_AGAIN_NEWEST  ? DV_COURSE_REPLACE
              : policy == DV_AGAIN_FIRST ? DV_COURSE_BESIDE
                                         : DV_COURSE_HOLD;
    return true;
}

dv_area dv_again_area(dv_course course)
{
    return course == DV_COURSE_BESIDE ? DV_VERSIONS : course == DV_COURSE_HOLD ? DV_QUARANTINE : DV_OBJECTS;
}

/* ---- settling ---- */

/* One that is being settled. */
typedef struct settling {
    dv_ingest *ingest;
    const dv_newcomer *n;
    const dv_stored *done;
    char path[512];  /* of the file, wherever it is by now */
    dv_instance row; /* the newcomer's with that path */
    dv_standing standing;
    dv_replaced replaced;
    dv_quarantined held;
    dv_course course;
    int64_t id;
    bool known;
} settling;

static bool work(dv_db *db, void *user, dv_error *err)
{
    settling *s = user;
    dv_seen seen;
    switch (s->course) {
    case DV_COURSE_STORE:
    case DV_COURSE_KNOWN:
        if (!dv_catalog_add_instance(db, &s->row, &seen, &s->id, err))
            return false;
        s->known = seen == (s->course == DV_COURSE_STORE ? DV_SEEN_NEW : DV_SEEN_IDENTICAL);
        return true;
    case DV_COURSE_REPLACE:
        return dv_catalog_replace(db, &s->row, &s->standing, dv_wall_us(), &s->replaced, err);
    case DV_COURSE_BESIDE:
        return dv_catalog_add_version(db, &s->row, s->standing.seen, dv_wall_us(), true, &s->id, &s->known, err);
    case DV_COURSE_HOLD:
        return dv_catalog_add_quarantined(db, &s->held, &s->id, &s->known, err);
    }
    return false;
}

static bool write_row(settling *s, dv_error *err)
{
    if (dv_catalog_write(s->ingest->catalog, false, work, s, err))
        return true;
    dv_catalog_row_failed(s->ingest->catalog);
    return false;
}

/* The file into AREA, unless it is there. */
static bool bring(settling *s, dv_area area, dv_error *err)
{
    static const char *const begins[] = {"objects/", "quarantine/", "versions/"};
    dv_stored moved;
    if (strncmp(s->path, begins[area], strlen(begins[area])) == 0)
        return true;
    if (!dv_store_move(s->ingest->store, s->path, area, &moved, err))
        return false;
    snprintf(s->path, sizeof s->path, "%s", moved.path);
    s->row.path = dv_text_of(s->path);
    DV_FAIL_POINT("again.brought");
    return true;
}

/* A second file of what has its row. One that was adopted is the other's. */
static bool drop_file(settling *s, dv_error *err)
{
    return s->done->adopted || dv_store_remove(s->ingest->store, s->path, err);
}

static void receipt(settling *s, dv_receipt *out, dv_kept kept, const char *path, const char *reason)
{
    out->kept = kept;
    out->id = s->id;
    dv_text_copy(dv_text_of(path), out->path, sizeof out->path);
    dv_text_copy(dv_text_of(reason), out->reason, sizeof out->reason);
}

typedef struct move_work {
    int64_t id;
    const char *path;
    bool in_force; /* its file is an instance's again */
} move_work;

static bool settle_work(dv_db *db, void *user, dv_error *err)
{
    move_work *m = user;
    return m->in_force ? dv_catalog_remove_version(db, m->id, err)
                       : dv_catalog_settle_version(db, m->id, dv_text_of(m->path), err);
}

/* The file of version ID goes from PATH to versions/. */
static bool retire(dv_ingest *ingest, int64_t id, const char *path, dv_error *err)
{
    dv_stored moved;
    DV_FAIL_POINT("again.replaced");
    if (!dv_store_move(ingest->store, path, DV_VERSIONS, &moved, err))
        return false;
    DV_FAIL_POINT("again.retired");
    move_work m = {.id = id, .path = moved.path};
    return dv_catalog_write(ingest->catalog, false, settle_work, &m, err);
}

static bool replace(settling *s, bool *done, dv_receipt *out, dv_error *err)
{
    char text[200];
    dv_error why = {0};
    *done = false;
    if (!bring(s, DV_OBJECTS, err) || !write_row(s, err))
        return false;
    if (!s->replaced.done)
        return true;
    *done = true;
    s->id = s->standing.id;
    /* The rows are right; the file is moved now, or by whoever tidies up. */
    if (!retire(s->ingest, s->replaced.version, s->standing.path, &why))
        dv_warn("ingest", "%s is replaced and waits to be moved to versions/: %s", s->standing.path, why.message);
    snprintf(text, sizeof text, "%s: version %lld replaces version %lld", dv_seen_name(s->standing.seen),
             (long long)s->replaced.number, (long long)s->standing.version);
    receipt(s, out, DV_KEPT_STORED, s->path, text);
    return true;
}

static bool beside(settling *s, dv_receipt *out, dv_error *err)
{
    char text[200];
    if (!bring(s, DV_VERSIONS, err) || !write_row(s, err) || (s->known && !drop_file(s, err)))
        return false;
    snprintf(text, sizeof text, "%s: kept as a version beside version %lld, which stays in force",
             dv_seen_name(s->standing.seen), (long long)s->standing.version);
    receipt(s, out, DV_KEPT_KNOWN, s->known ? "" : s->path, text);
    return true;
}

void dv_again_describe(const dv_standing *s, dv_quarantined *held, char text[256])
{
    held->stage = DV_TEXT("intake");
    held->rule = s->seen == DV_SEEN_HEADER     ? DV_TEXT("intake/header-changed")
                 : s->seen == DV_SEEN_RECODED  ? DV_TEXT("intake/re-encoded")
                 : s->seen == DV_SEEN_CONFLICT ? DV_TEXT("intake/conflict")
                                               : DV_TEXT("");
    if (held->rule.len == 0)
        snprintf(text, 256, "it was held when it came; retry it to hear why");
    else
        snprintf(text, 256, "%s: %s; decide which one is right: accept it or delete it", dv_seen_name(s->seen),
                 s->why                      ? s->why
                 : s->seen == DV_SEEN_HEADER ? "the same SOP Instance UID is stored with another header"
                                             : "the same instance is stored in another transfer syntax");
    held->reason = dv_text_of(text);
}

static bool hold(settling *s, dv_receipt *out, dv_error *err)
{
    char text[256];
    if (!bring(s, DV_QUARANTINE, err))
        return false;
    const dv_instance *row = &s->row;
    s->held = (dv_quarantined){
        .state = DV_TEXT("held"),
        .file = DV_TEXT(""),
        .received_sop_uid = row->received_sop_uid,
        .received_study_uid = row->received_study_uid,
        .received_series_uid = row->received_series_uid,
        .received_patient_id = row->received_patient_id,
        .received_accession = row->received_accession,
        .sop_class = row->sop_class,
        .transfer_syntax = row->transfer_syntax,
        .path = row->path,
        .bytes = row->bytes,
        .body_hash = row->body_hash,
        .received_hash = row->received_hash,
        .generation = row->generation,
        .job = row->job,
        .received_at = row->received_at,
        .source = row->source,
        .findings = row->findings,
    };
    dv_again_describe(&s->standing, &s->held, text);
    DV_FAIL_POINT("again.before_held_row");
    if (!write_row(s, err) || (s->known && !drop_file(s, err)))
        return false;
    receipt(s, out, DV_KEPT_HELD, s->known ? "" : s->path, text);
    return true;
}

/* One look and one try. *SETTLED false: what stands changed meanwhile. */
static bool try_once(settling *s, bool *settled, dv_receipt *out, dv_error *err)
{
    *settled = true;
    if (!dv_again_course(s->ingest, s->n, &s->standing, &s->course, err))
        return false;
    /* An equal object of another association was adopted, or ours by it: whoever came first has moved it. */
    if (s->course != DV_COURSE_KNOWN && !dv_store_has(s->ingest->store, s->path))
        return dv_fail(err, DV_ERR_LOCKED, "the same instance came over two associations at once; send it once more");
    DV_FAIL_POINT("again.settling");
    switch (s->course) {
    case DV_COURSE_STORE:
        if (!bring(s, DV_OBJECTS, err) || !write_row(s, err))
            return false;
        *settled = s->known;
        receipt(s, out, DV_KEPT_STORED, s->path, "");
        return true;
    case DV_COURSE_KNOWN:
        if (!write_row(s, err))
            return false;
        *settled = s->known;
        receipt(s, out, DV_KEPT_KNOWN, "", "");
        return !s->known || drop_file(s, err);
    case DV_COURSE_REPLACE:
        return replace(s, settled, out, err);
    case DV_COURSE_BESIDE:
        return beside(s, out, err);
    case DV_COURSE_HOLD:
        return hold(s, out, err);
    }
    return false;
}

static pthread_mutex_t *lock_of(dv_ingest *ingest, dv_text sop)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < sop.len; i++)
        h = (h ^ (uint8_t)sop.at[i]) * 16777619u;
    return &ingest->again[h % DV_AGAIN_LOCKS];
}

bool dv_again_settle(dv_ingest *ingest, const dv_newcomer *n, const dv_stored *done, dv_receipt *out, dv_error *err)
{
    settling s = {.ingest = ingest, .n = n, .done = done, .row = *n->row};
    dv_newcomer now = *n;
    snprintf(s.path, sizeof s.path, "%s", done->path);
    s.row.path = dv_text_of(s.path);
    now.row = &s.row; /* what stands is asked with the path that it has */
    s.n = &now;
    bool settled = false, ok = true;
    pthread_mutex_t *lock = lock_of(ingest, n->row->received_sop_uid);
    pthread_mutex_lock(lock);
    for (int i = 0; ok && !settled && i < TRIES; i++)
        ok = try_once(&s, &settled, out, err);
    pthread_mutex_unlock(lock);
    return ok &&
           (settled || dv_fail(err, DV_ERR_LOCKED, "the stored instance changes all the time; send it once more"));
}

typedef struct repeat_work {
    const dv_instance *row;
    int64_t id;
} repeat_work;

static bool count_repeat(dv_db *db, void *user, dv_error *err)
{
    repeat_work *w = user;
    return dv_catalog_repeat_version(db, w->row, &w->id, err);
}

bool dv_again_repeat(dv_ingest *ingest, const dv_instance *row, int64_t *id, dv_error *err)
{
    repeat_work w = {.row = row};
    bool ok = dv_catalog_write(ingest->catalog, false, count_repeat, &w, err);
    *id = w.id;
    return ok;
}

/* ---- tidying up ---- */

typedef struct waiting {
    char path[512], sop[128];
    int64_t id;
} waiting;

typedef struct wait_list {
    waiting item[64];
    int count;
} wait_list;

static bool take_waiting(void *user, const dv_version *v)
{
    wait_list *l = user;
    waiting *w = &l->item[l->count++];
    w->id = v->id;
    dv_text_copy(v->path, w->path, sizeof w->path);
    dv_text_copy(v->received_sop_uid, w->sop, sizeof w->sop);
    return l->count < (int)(sizeof l->item / sizeof *l->item);
}

static bool tidy_one(dv_ingest *ingest, const waiting *w, dv_error *err)
{
    int64_t in_force = 0, waits = 0;
    dv_db *db = dv_catalog_reader(ingest->catalog, err);
    if (!db || !dv_db_int(db, 0, &waits, err, "SELECT id FROM versions WHERE id = $1 AND settled = 0", "i", w->id))
        return false;
    if (!waits) /* whoever replaced it has moved it since it was listed */
        return true;
    if (!dv_db_int(db, 0, &in_force, err, "SELECT id FROM instances WHERE received_sop_uid = $1 AND path = $2", "ss",
                   w->sop, w->path))
        return false;
    if (in_force || !dv_store_has(ingest->store, w->path)) {
        move_work m = {.id = w->id, .path = w->path, .in_force = in_force != 0};
        return dv_catalog_write(ingest->catalog, false, settle_work, &m, err);
    }
    return retire(ingest, w->id, w->path, err);
}

bool dv_ingest_tidy(dv_ingest *ingest, dv_error *err)
{
    wait_list *l = malloc(sizeof *l);
    bool ok = l || dv_fail(err, DV_ERR_MEMORY, "no memory to tidy up");
    for (bool more = true; ok && more;) {
        l->count = 0;
        dv_db *db = dv_catalog_reader(ingest->catalog, err);
        const dv_version_query q = {.unsettled = true, .limit = 64};
        ok = db && dv_catalog_each_version(db, &q, take_waiting, l, err);
        more = l->count == 64;
        for (int i = 0; ok && i < l->count; i++) {
            pthread_mutex_t *lock = lock_of(ingest, dv_text_of(l->item[i].sop));
            pthread_mutex_lock(lock);
            ok = tidy_one(ingest, &l->item[i], err);
            pthread_mutex_unlock(lock);
        }
    }
    free(l);
    return ok;
}
