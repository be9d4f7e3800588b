/* custody.c: invariants
 *   1 verified_at, damages and the cursor of a page change in one transaction: what is said to be read was read
 *   2 a damage is recorded only for the object that its row still names: one that was replaced meanwhile is nobody's damage
 *   3 no file is removed but those of versions whose days are over; the file goes first, so that a kill leaves a row that goes the next time */
#include "ingest/custody.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "catalog/query.h"
#include "ingest/ingest_internal.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    PAGE = 64,
    PAGE_MS = 5000,    /* a page ends here too: what a kill costs */
    CHORES_MS = 60000, /* between looks for versions to tidy and remove */
    IDLE_MS = 10000,   /* between looks whether a round is due */
    BEHIND = 10,       /* while instances arrive it takes so many times as long */
    IO_IDLE = 3 << 13  /* IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0): linux/ioprio.h is not everywhere */
};
#define DAY_US ((int64_t)86400 * 1000000)

struct dv_custody {
    dv_ingest *ingest;
    pthread_t thread;
    /* under lock */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
    dv_custody_options options;
    /* the thread's */
    dv_custody_state state;
    int64_t others; /* members of the catalog's groups when it was looked at last */
};

/* ---- state ---- */

static const struct {
    const char *name;
    size_t at;
} members[] = {
#define MEMBER(m)                                                                                                      \
    {                                                                                                                  \
#m, offsetof(dv_custody_state, m)                                                                              \
    }
    MEMBER(began),      MEMBER(cursor),     MEMBER(checked),      MEMBER(damaged),     MEMBER(bytes),
    MEMBER(last_began), MEMBER(last_ended), MEMBER(last_checked), MEMBER(last_damaged)};

bool dv_custody_read(dv_db *db, dv_custody_state *out, dv_error *err)
{
    *out = (dv_custody_state){0};
    dv_rows *r = dv_db_query(db, err, "SELECT value FROM site WHERE name = 'verify'", "");
    if (dv_rows_next(r)) {
        dv_text t = dv_rows_text(r, 0);
        cJSON *json = cJSON_ParseWithLength(t.at, t.len);
        for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
            const cJSON *n = cJSON_GetObjectItemCaseSensitive(json, members[i].name);
            if (cJSON_IsNumber(n))
                *(int64_t *)(void *)((char *)out + members[i].at) = (int64_t)n->valuedouble;
        }
        cJSON_Delete(json);
    }
    return dv_rows_close(r, err);
}

static bool write_state(dv_db *db, const dv_custody_state *s, dv_error *err)
{
    char text[512];
    int n = 0;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s\"%s\":%lld", i ? "," : "{", members[i].name,
                      (long long)*(const int64_t *)(const void *)((const char *)s + members[i].at));
    snprintf(text + n, sizeof text - (size_t)n, "}");
    return dv_db_exec(db, err,
                      "INSERT INTO site (name, value) VALUES ('verify', $1) ON CONFLICT (name) DO UPDATE SET value = "
                      "excluded.value",
                      "s", text);
}

/* ---- a page ---- */

typedef struct looked {
    int64_t id;
    dv_stored stored;
    bool bad;
    char why[256];
} looked;

typedef struct page {
    dv_custody_state *state; /* as it will be */
    int count, done;         /* done: looked at by now */
    looked item[PAGE];
} page;

static bool fill_page(void *user, const dv_instance_row *i)
{
    page *p = user;
    looked *l = &p->item[p->count++];
    *l = (looked){.id = i->id};
    dv_text_copy(i->path, l->stored.path, sizeof l->stored.path);
    l->stored.bytes = (uint64_t)i->bytes;
    const dv_text hashes[] = {i->received_hash, i->header_hash, i->body_hash};
    uint8_t *const to[] = {l->stored.received_hash, l->stored.header_hash, l->stored.body_hash};
    for (int k = 0; k < 3; k++)
        if (hashes[k].len == DV_SHA256_BYTES)
            memcpy(to[k], hashes[k].at, DV_SHA256_BYTES);
    return p->count < PAGE;
}

#define RULE "verify/stored-object"

static bool add_damage(dv_db *db, const looked *l, int64_t now, bool *counts, dv_error *err)
{
    int64_t is = 0, known = 0;
    *counts = false;
    if (!dv_db_int(db, 0, &is, err, "SELECT id FROM instances WHERE id = $1 AND path = $2", "is", l->id,
                   l->stored.path) ||
        !dv_db_int(db, 0, &known, err, "SELECT instance FROM damages WHERE instance = $1", "i", l->id))
        return false;
    if (!is)
        return true; /* invariant 2 */
    *counts = true;
    if (!dv_db_exec(db, err,
                    "INSERT INTO damages (instance, error, first_at, last_at) VALUES ($1, $2, $3, $3) ON CONFLICT "
                    "(instance) DO UPDATE SET error = excluded.error, last_at = excluded.last_at",
                    "isi", l->id, l->why, now))
        return false;
    dv_error_log("verify", "%s", l->why);
    return known ||
           (dv_db_exec(db, err,
                       "INSERT INTO findings (instance, position, kind, rule, path, message) SELECT $1, (SELECT "
                       "coalesce(max(position), 0) + 1 FROM findings WHERE instance = $1), 'damaged', '" RULE
                       "', '', $2",
                       "is", l->id, l->why) &&
            dv_db_exec(db, err,
                       "UPDATE studies SET finding_count = finding_count + 1 WHERE id = (SELECT e.study FROM series e "
                       "JOIN instances i ON i.series = e.id WHERE i.id = $1)",
                       "i", l->id));
}

static bool mend(dv_db *db, int64_t id, dv_error *err)
{
    return dv_db_exec(db, err, "DELETE FROM damages WHERE instance = $1", "i", id) &&
           dv_db_exec(db, err, "DELETE FROM findings WHERE instance = $1 AND rule = '" RULE "'", "i", id) &&
           dv_db_exec(db, err,
                      "UPDATE studies SET finding_count = finding_count - 1 WHERE id = (SELECT e.study FROM series e "
                      "JOIN instances i ON i.series = e.id WHERE i.id = $1)",
                      "i", id);
}

/* Those of the page that were damaged before and are good now. */
static bool mend_page(dv_db *db, const page *p, dv_error *err)
{
    int64_t was[PAGE];
    int count = 0;
    dv_rows *r = dv_db_query(db, err, "SELECT instance FROM damages WHERE instance >= $1 AND instance <= $2", "ii",
                             p->item[0].id, p->item[p->done - 1].id);
    while (count < PAGE && dv_rows_next(r))
        was[count++] = dv_rows_int(r, 0);
    bool ok = dv_rows_close(r, err);
    for (int k = 0; ok && k < count; k++)
        for (int i = 0; ok && i < p->done; i++)
            if (p->item[i].id == was[k] && !p->item[i].bad) {
                dv_info("verify", "%s is good again", p->item[i].stored.path);
                ok = mend(db, was[k], err);
            }
    return ok;
}

static bool write_page(dv_db *db, void *user, dv_error *err)
{
    page *p = user;
    int64_t now = dv_wall_us();
    if (p->done) {
        if (!dv_db_exec(db, err, "UPDATE instances SET verified_at = $1 WHERE id >= $2 AND id <= $3", "iii", now,
                        p->item[0].id, p->item[p->done - 1].id) ||
            !mend_page(db, p, err))
            return false;
        for (int i = 0; i < p->done; i++) {
            bool counts = false;
            if (p->item[i].bad && !add_damage(db, &p->item[i], now, &counts, err))
                return false;
            p->state->damaged += counts;
        }
    }
    if (!p->state->began) /* that was the last page */
        p->state->last_damaged = p->state->damaged;
    return write_state(db, p->state, err);
}

/* ---- pace ---- */

static bool waits(dv_custody *c, int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&c->lock);
    while (!c->stop && ms > 0 && pthread_cond_timedwait(&c->wake, &c->lock, &until) != ETIMEDOUT)
        ;
    bool go_on = !c->stop;
    pthread_mutex_unlock(&c->lock);
    return go_on;
}

/* Has anybody else written since the last look? Instances that arrive do. */
static bool others_write(dv_custody *c)
{
    int64_t groups, count, before = c->others;
    dv_catalog_groups(c->ingest->catalog, &groups, &count);
    c->others = count;
    return count != before;
}

static dv_custody_options options_of(dv_custody *c)
{
    pthread_mutex_lock(&c->lock);
    dv_custody_options o = c->options;
    pthread_mutex_unlock(&c->lock);
    return o;
}

/* After BYTES that took TOOK ms. False: stop. */
static bool pace(dv_custody *c, uint64_t bytes, int64_t took)
{
    int64_t rate = options_of(c).rate_mb_s, due = rate ? (int64_t)(bytes / 1000) / rate : took;
    if (others_write(c))
        due *= BEHIND;
    return waits(c, due - took);
}

/* ---- rounds ---- */

static void look(dv_custody *c, looked *l)
{
    dv_error why = {0};
    dv_store_uncache(c->ingest->store, l->stored.path); /* the disk is to be asked, not the memory */
    l->bad = !dv_store_verify(c->ingest->store, l->stored.path, &l->stored, &why);
    if (l->bad)
        snprintf(l->why, sizeof l->why, "%.255s", why.message);
    dv_store_uncache(c->ingest->store, l->stored.path);
}

/* Reads on. *ENDED: that was the last page. */
static bool read_page(dv_custody *c, page *p, bool *ended, dv_error *err)
{
    dv_custody_state next = c->state;
    int64_t started = dv_mono_ms();
    bool go_on = true;
    p->count = p->done = 0;
    p->state = &next;
    dv_db *db = dv_catalog_reader(c->ingest->catalog, err);
    if (!db || !dv_query_instances(db, DV_TEXT(""), c->state.cursor, fill_page, p, err))
        return false;
    while (go_on && p->done < p->count && dv_mono_ms() - started < PAGE_MS) {
        looked *l = &p->item[p->done];
        int64_t began = dv_mono_ms();
        look(c, l);
        p->done++;
        next.checked++;
        next.cursor = l->id;
        next.bytes += (int64_t)l->stored.bytes;
        go_on = pace(c, l->stored.bytes, dv_mono_ms() - began);
    }
    *ended = go_on && p->count < PAGE && p->done == p->count;
    if (*ended) {
        next.last_began = next.began;
        next.last_ended = dv_wall_us();
        next.last_checked = next.checked;
        next.began = 0;
    }
    DV_FAIL_POINT("verify.page");
    if (!dv_catalog_write(c->ingest->catalog, false, write_page, p, err))
        return false;
    c->state = next;
    others_write(c); /* ours */
    return true;
}

static bool begin_round(dv_db *db, void *user, dv_error *err)
{
    return write_state(db, user, err);
}

static bool is_due(const dv_custody *c, const dv_custody_options *o)
{
    const dv_custody_state *s = &c->state;
    return o->interval_days &&
           (s->began || !s->last_began || dv_wall_us() - s->last_began >= o->interval_days * DAY_US);
}

/* A page of the round that is due. */
static bool verify(dv_custody *c, page *p, dv_error *err)
{
    bool ended = false;
    if (!c->state.began) {
        c->state.began = dv_wall_us();
        c->state.cursor = c->state.checked = c->state.damaged = c->state.bytes = 0;
        if (!dv_catalog_write(c->ingest->catalog, false, begin_round, &c->state, err))
            return false;
        others_write(c); /* ours */
    }
    if (!read_page(c, p, &ended, err))
        return false;
    if (ended)
        dv_info("verify", "a round is complete: %lld objects read again, %lld damaged",
                (long long)c->state.last_checked, (long long)c->state.last_damaged);
    return true;
}

/* ---- versions ---- */

typedef struct over {
    int64_t id;
    char path[512];
} over;

typedef struct over_list {
    over item[PAGE];
    int count;
} over_list;

static bool take_over(void *user, const dv_version *v)
{
    over_list *l = user;
    l->item[l->count].id = v->id;
    dv_text_copy(v->path, l->item[l->count].path, sizeof l->item[0].path);
    return ++l->count < PAGE;
}

static bool remove_version(dv_db *db, void *user, dv_error *err)
{
    return dv_catalog_remove_version(db, *(int64_t *)user, err);
}

static bool remove_old(dv_custody *c, int64_t days, dv_error *err)
{
    int64_t removed = 0;
    bool ok = true;
    over_list *l = days ? malloc(sizeof *l) : NULL;
    const dv_version_query q = {.replaced_before = dv_wall_us() - days * DAY_US, .limit = PAGE};
    for (bool more = l != NULL; ok && more;) {
        l->count = 0;
        dv_db *db = dv_catalog_reader(c->ingest->catalog, err);
        ok = db && dv_catalog_each_version(db, &q, take_over, l, err);
        more = l->count == PAGE;
        for (int i = 0; ok && i < l->count; i++) {
            dv_error why = {0};
            ok = dv_store_remove(c->ingest->store, l->item[i].path, &why) || why.code == DV_ERR_NOT_FOUND ||
                 dv_fail(err, why.code, "%s", why.message);
            DV_FAIL_POINT("versions.unlinked");
            ok = ok && dv_catalog_write(c->ingest->catalog, false, remove_version, &l->item[i].id, err);
            removed += ok;
        }
    }
    free(l);
    if (removed)
        dv_info("versions", "%lld versions are removed, their %lld days are over", (long long)removed, (long long)days);
    return ok;
}

/* ---- the thread ---- */

static void *keep(void *user)
{
    dv_custody *c = user;
    page *p = malloc(sizeof *p);
    int64_t chores_at = 0;
    dv_error err = {0};
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 19); /* of this thread alone, on Linux */
    syscall(SYS_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, IO_IDLE);
    dv_db *db = dv_catalog_reader(c->ingest->catalog, &err);
    if (!p || !db || !dv_custody_read(db, &c->state, &err))
        dv_warn("verify", "the last round is not known: %s", err.message);
    others_write(c);
    for (bool go_on = p != NULL; go_on;) {
        const dv_custody_options o = options_of(c);
        bool ok = true;
        if (dv_mono_ms() >= chores_at) {
            ok = dv_ingest_tidy(c->ingest, &err) && remove_old(c, o.keep_versions_days, &err);
            chores_at = dv_mono_ms() + CHORES_MS;
        }
        bool due = ok && is_due(c, &o);
        ok = ok && (!due || verify(c, p, &err));
        if (!ok)
            dv_warn("verify", "%s; it goes on later", err.message);
        go_on = waits(c, ok && due ? 0 : IDLE_MS);
    }
    free(p);
    return NULL;
}

dv_custody *dv_custody_start(const dv_custody_options *options, dv_error *err)
{
    dv_custody *c = calloc(1, sizeof *c);
    if (!c) {
        dv_fail(err, DV_ERR_MEMORY, "no memory for the custody of stored objects");
        return NULL;
    }
    c->ingest = options->ingest;
    c->options = *options;
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&c->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int rc = pthread_create(&c->thread, NULL, keep, c);
    if (rc == 0)
        return c;
    errno = rc;
    dv_fail_errno(err, "cannot start the custody of stored objects");
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->wake);
    free(c);
    return NULL;
}

void dv_custody_set(dv_custody *c, const dv_custody_options *options)
{
    pthread_mutex_lock(&c->lock);
    c->options.interval_days = options->interval_days;
    c->options.rate_mb_s = options->rate_mb_s;
    c->options.keep_versions_days = options->keep_versions_days;
    pthread_mutex_unlock(&c->lock);
}

void dv_custody_stop(dv_custody *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->wake);
    free(c);
}
