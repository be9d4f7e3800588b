/* The one write connection and the readers.
 *
 *   dv_catalog_write   joins the queue; when nobody leads, its caller does:
 *                        takes all that wait, up to GROUP_MAX
 *                        BEGIN IMMEDIATE; SAVEPOINT, work, RELEASE ...; COMMIT        (one alone needs no savepoint)
 *                        posts each other member's semaphore, and hands the lead to the first that waits by now
 *                      else it waits on its semaphore until its group is committed, or it is to lead the next one
 *
 * So a single sender's row costs no change of thread, and many share a commit. The write connection belongs to whoever leads. The keeper
 * thread moves the log into the database file; it joins the queue like everyone, and leads a turn of its own.
 * A member lies on its caller's stack: a leader never touches another's after the post.
 * Locks     `lock` (queue) and `readers_lock` are never held together, and neither while SQL runs, but for
 * `readers_lock` while a connection is opened or closed. */
#include "catalog/catalog.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "catalog/lists.h"
#include "catalog/schema.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    GROUP_MAX =
        256, /* members of one transaction: bounds what one failing disk takes with it, and how long the first waits */
    QUIET_MS = 500, /* of silence, then the log is moved into the database file */
    MARGIN_S = 600, /* before a complete checkpoint: linked objects whose row was not asked for yet */
};
#define LOG_LIMIT ((int64_t)64 << 20) /* checkpoint between two groups at this length of the log */
#define LOG_AGAIN ((int64_t)16 << 20) /* and again at this growth, when a reader held it back */

typedef struct member {
    struct member *next;
    bool (*work)(dv_db *db, void *user, dv_error *err); /* NULL: the keeper, who wants a turn for a checkpoint */
    void *user;
    dv_error *err; /* the caller's, may be NULL; the leader's until the post */
    bool full, ok;
    bool lead; /* posted to lead, not because it is done */
    sem_t turn;
} member;

/* The catalog whose group this thread is running. */
static _Thread_local const dv_catalog *leading;

typedef struct reader {
    dv_catalog *cat;
    dv_db *db;
    struct reader *next, *previous;
} reader;

struct dv_catalog {
    /* set once */
    char *dsn;
    bool postgres;
    bool unclean;
    pthread_t thread;
    pthread_key_t key;

    /* under lock */
    pthread_mutex_t lock;
    pthread_cond_t wake; /* of the keeper */
    member *first, **last;
    bool led; /* somebody leads */
    bool stop;

    atomic_llong groups, members;
    atomic_bool recovered; /* nothing is missing from before this run, or before the connection was made anew */
    atomic_bool rows_lost; /* the latter */
    atomic_llong recovered_through;

    atomic_bool dirty;    /* committed since the last complete checkpoint */
    atomic_bool long_log; /* over retry_at */

    /* the leader's */
    dv_db *db;
    int64_t through; /* to be written to site with the next group, 0: nothing new */
    int64_t reconnects;
    bool warned;      /* that checkpoints fail */
    int64_t retry_at; /* length of the log at which a checkpoint is tried again */

    bool unlisted; /* the keeper's: studies could not be listed, and that was said */

    /* under readers_lock */
    pthread_mutex_t readers_lock;
    reader *readers;
};

/* ---- site ---- */

static bool site_int(dv_db *db, const char *name, int64_t absent, int64_t *out, dv_error *err)
{
    return dv_db_int(db, absent, out, err, "SELECT CAST(value AS BIGINT) FROM site WHERE name = $1", "s", name);
}

static bool site_put(dv_db *db, const char *name, int64_t value, dv_error *err)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return dv_db_exec(
        db, err,
        "INSERT INTO site (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value", "ss",
        name, text);
}

/* What the last stop left, and the mark that this run has begun. */
static bool mark_started(dv_catalog *cat, dv_error *err)
{
    int64_t clean = 0, through = 0;
    /* a new catalog too has to look: there may be objects of one that is gone */
    if (!site_int(cat->db, "clean_stop", 0, &clean, err) || !site_int(cat->db, "recovered_through", 0, &through, err))
        return false;
    atomic_store(&cat->recovered_through, through);
    /* No object goes to a folder before it, which recovery would not list: the clock may have been set back meanwhile. */
    dv_wall_not_before(through);
    int64_t ahead = (through - dv_wall_us()) / 60000000;
    if (ahead > 60)
        dv_warn("catalog", "the clock is %lld minutes behind the last checkpoint; new objects are filed under that time",
                (long long)ahead);
    cat->unclean = clean == 0;
    atomic_store(&cat->recovered, !cat->unclean);
    if (dv_db_begin(cat->db, true, err) && site_put(cat->db, "clean_stop", 0, err) && dv_db_commit(cat->db, err))
        return true;
    dv_db_rollback(cat->db);
    return false;
}

/* ---- checkpoints ---- */

/* After anything that may have connected anew. */
static void look_for_loss(dv_catalog *cat)
{
    int64_t n = dv_db_reconnects(cat->db);
    if (n == cat->reconnects)
        return;
    cat->reconnects = n;
    cat->through = 0;
    atomic_store(&cat->recovered, false);
    atomic_store(&cat->rows_lost, true);
    dv_warn("catalog", "the database is back; objects are looked through for rows that it lost");
}

static void checkpoint(dv_catalog *cat)
{
    dv_error err;
    int64_t left = 0, now = dv_wall_forward_us();
    DV_FAIL_POINT("catalog.checkpoint");
    if (!dv_db_checkpoint(cat->db, &left, &err)) {
        if (!cat->warned)
            dv_warn("catalog", "what was committed is not on the disk: %s", err.message);
        cat->warned = true;
        cat->retry_at = dv_db_log_bytes(cat->db) + LOG_AGAIN;
        /* SQLite: tried again after the next group. A server that went away: until it is back, to see what it lost. */
        atomic_store(&cat->dirty, dv_db_is_postgres(cat->dsn));
        return;
    }
    DV_FAIL_POINT("catalog.checkpointed");
    cat->warned = false;
    look_for_loss(cat);
    if (left > 0) { /* a reader holds it back */
        cat->retry_at = dv_db_log_bytes(cat->db) + LOG_AGAIN;
        return;
    }
    cat->retry_at = LOG_LIMIT;
    atomic_store(&cat->dirty, false);
    if (atomic_load(&cat->recovered)) {
        cat->through = now - (int64_t)MARGIN_S * 1000000;
        if (cat->through > atomic_load(&cat->recovered_through))
            atomic_store(&cat->recovered_through, cat->through);
    }
}

/* ---- groups ---- */

/* ALONE: the transaction is its savepoint. */
static bool run_member(dv_catalog *cat, member *m, bool alone, bool *lost)
{
    if (!alone && !dv_db_savepoint(cat->db, m->err)) {
        *lost = !dv_db_in_transaction(cat->db);
        return false;
    }
    bool ok = m->work(cat->db, m->user, m->err);
    DV_FAIL_POINT("catalog.member");
    if (ok && (alone || dv_db_release(cat->db, m->err)))
        return true;
    *lost = alone || !dv_db_rollback_to(cat->db);
    return false;
}

/* Runs the members from FIRST on as one transaction; MINE is the caller's. */
static void run_group(dv_catalog *cat, member *first, const member *mine)
{
    dv_error err = {DV_ERR_NONE, ""};
    bool full = false, lost = false;
    int64_t count = 0;
    for (member *m = first; m; m = m->next, count++)
        full = full || m->full;
    bool ok = dv_db_begin(cat->db, full, &err);
    look_for_loss(cat);
    if (ok && cat->through) {
        ok = site_put(cat->db, "recovered_through", cat->through, &err);
        if (!ok)
            dv_db_rollback(cat->db);
    }
    for (member *m = first; ok && m; m = m->next) {
        m->ok = run_member(cat, m, !first->next, &lost);
        if (lost) { /* invariant 5: what the others did is gone with it */
            dv_db_rollback(cat->db);
            ok = dv_fail(&err, m->err ? m->err->code : DV_ERR_DB, "the transaction was lost with another's: %s",
                         m->err ? m->err->message : "no reason was kept");
        }
    }
    if (ok) {
        DV_FAIL_POINT("catalog.before_commit");
        ok = dv_db_commit(cat->db, &err);
        DV_FAIL_POINT("catalog.committed");
    }
    if (ok) {
        cat->through = 0;
        atomic_store(&cat->dirty, true);
        atomic_fetch_add(&cat->groups, 1);
        atomic_fetch_add(&cat->members, count);
    }
    for (member *m = first, *next; m; m = next) {
        next = m->next; /* the member is gone after the post */
        if (!ok && m->ok && m->err)
            *m->err = err;
        else if (!ok && m->err && m->err->code == DV_ERR_NONE)
            *m->err = err;
        m->ok = m->ok && ok;
        if (m != mine)
            sem_post(&m->turn);
    }
}

/* Takes the head of the queue: the keeper alone, or all members up to it, GROUP_MAX at most. PostgreSQL does not wait for the disk unless FULL:
 * there a transaction costs less than a savepoint. Under lock. */
static member *take_group(dv_catalog *cat)
{
    member *first = cat->first, *end = first;
    int most = cat->postgres && !first->full ? 1 : GROUP_MAX;
    for (int n = 1; first->work && end->next && end->next->work && n < most; n++)
        end = end->next;
    cat->first = end->next;
    if (!cat->first)
        cat->last = &cat->first;
    end->next = NULL;
    return first;
}

/* Joins the queue and waits: until M leads with its group in *GROUP (true), or until another has run it (false). */
static bool join(dv_catalog *cat, member *m, member **group)
{
    sem_init(&m->turn, 0, 0);
    pthread_mutex_lock(&cat->lock);
    *cat->last = m;
    cat->last = &m->next;
    bool lead = !cat->led;
    if (lead) {
        cat->led = true;
        *group = take_group(cat);
    }
    pthread_mutex_unlock(&cat->lock);
    if (lead)
        return true;
    while (sem_wait(&m->turn) != 0 && errno == EINTR)
        ;
    if (!m->lead)
        return false;
    pthread_mutex_lock(&cat->lock);
    *group = take_group(cat); /* M is its first */
    pthread_mutex_unlock(&cat->lock);
    return true;
}

/* The lead goes to the first that waits, or to whoever comes next. */
static void hand_over(dv_catalog *cat)
{
    pthread_mutex_lock(&cat->lock);
    member *next = cat->first;
    cat->led = next != NULL;
    if (next) {
        next->lead = true;
        sem_post(&next->turn);
    }
    pthread_mutex_unlock(&cat->lock);
}

bool dv_catalog_write(dv_catalog *cat, bool full, bool (*work)(dv_db *db, void *user, dv_error *err), void *user,
                      dv_error *err)
{
    if (leading == cat)
        return dv_fail(err, DV_ERR_INTERNAL, "a write inside a write would wait for itself");
    member m = {.work = work, .user = user, .full = full}, *group;
    dv_error own; /* a group that is lost says why, even when its member does not care */
    m.err = err ? err : &own;
    *m.err = (dv_error){DV_ERR_NONE, ""};
    pthread_mutex_lock(&cat->lock);
    bool closed = cat->stop;
    pthread_mutex_unlock(&cat->lock);
    if (closed)
        return dv_fail(err, DV_ERR_CANCELLED, "the catalog is being closed");
    if (join(cat, &m, &group)) {
        leading = cat;
        bool was_dirty = atomic_load(&cat->dirty);
        run_group(cat, group, &m);
        bool too_long = dv_db_log_bytes(cat->db) > cat->retry_at && !atomic_exchange(&cat->long_log, true);
        leading = NULL;
        hand_over(cat);
        if (too_long || (!was_dirty && atomic_load(&cat->dirty)))
            pthread_cond_signal(&cat->wake);
    }
    sem_destroy(&m.turn);
    return m.ok;
}

/* Sleeps until the log is too long, or something was written and then nothing for QUIET_MS. False: the catalog closes. */
static bool keeper_waits(dv_catalog *cat)
{
    long long seen = -1;
    pthread_mutex_lock(&cat->lock);
    while (!cat->stop && !atomic_load(&cat->long_log)) {
        if (!atomic_load(&cat->dirty)) {
            pthread_cond_wait(&cat->wake, &cat->lock);
            continue;
        }
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += QUIET_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        long long groups = atomic_load(&cat->groups);
        if (groups == seen)
            break;
        seen = groups;
        pthread_cond_timedwait(&cat->wake, &cat->lock, &until);
    }
    bool go_on = !cat->stop;
    pthread_mutex_unlock(&cat->lock);
    return go_on;
}

/* Full chunks of studies are listed for searches, in turns of its own. What fails is tried again after the next write. */
static void list_studies(dv_catalog *cat)
{
    dv_error err;
    bool done = false;
    while (!done && dv_lists_work(cat, &done, &err))
        ;
    if (!done && !cat->unlisted && err.code != DV_ERR_CANCELLED && err.code != DV_ERR_LOCKED)
        dv_warn("catalog", "studies cannot be listed for searches, which go slowly until they are: %s", err.message);
    cat->unlisted = !done;
}

static void *keeper(void *user)
{
    dv_catalog *cat = user;
    list_studies(cat);
    for (bool go_on = true; go_on;) {
        go_on = keeper_waits(cat);
        member m = {.work = NULL}, *group;
        join(cat, &m, &group); /* nobody runs a keeper's turn for it: it always leads */
        if (atomic_load(&cat->dirty))
            checkpoint(cat);
        atomic_store(&cat->long_log, false);
        hand_over(cat);
        sem_destroy(&m.turn);
        if (go_on)
            list_studies(cat);
    }
    return NULL;
}

void dv_catalog_groups(dv_catalog *cat, int64_t *groups, int64_t *members)
{
    *groups = atomic_load(&cat->groups);
    *members = atomic_load(&cat->members);
}

/* ---- readers ---- */

static void reader_gone(void *value)
{
    reader *r = value;
    dv_catalog *cat = r->cat;
    pthread_mutex_lock(&cat->readers_lock);
    if (r->previous)
        r->previous->next = r->next;
    else
        cat->readers = r->next;
    if (r->next)
        r->next->previous = r->previous;
    dv_db_close(r->db);
    pthread_mutex_unlock(&cat->readers_lock);
    free(r);
}

dv_db *dv_catalog_reader(dv_catalog *cat, dv_error *err)
{
    reader *r = pthread_getspecific(cat->key);
    if (r)
        return r->db;
    r = calloc(1, sizeof *r);
    if (!r) {
        dv_fail(err, DV_ERR_MEMORY, "no memory for a read connection");
        return NULL;
    }
    r->cat = cat;
    pthread_mutex_lock(&cat->readers_lock);
    r->db = dv_db_open(cat->dsn, DV_DB_READ, err);
    bool ok = r->db != NULL;
    if (ok && pthread_setspecific(cat->key, r) != 0)
        ok = dv_fail(err, DV_ERR_MEMORY, "no memory for a read connection");
    if (ok) {
        r->next = cat->readers;
        if (r->next)
            r->next->previous = r;
        cat->readers = r;
    }
    pthread_mutex_unlock(&cat->readers_lock);
    if (!ok) {
        dv_db_close(r->db);
        free(r);
        return NULL;
    }
    return r->db;
}

/* ---- open and close ---- */

static void release(dv_catalog *cat)
{
    dv_db_close(cat->db);
    pthread_mutex_destroy(&cat->lock);
    pthread_mutex_destroy(&cat->readers_lock);
    pthread_cond_destroy(&cat->wake);
    free(cat->dsn);
    free(cat);
}

dv_catalog *dv_catalog_open(const char *dsn, dv_error *err)
{
    dv_catalog *cat = calloc(1, sizeof *cat);
    if (!cat || !(cat->dsn = strdup(dsn))) {
        free(cat);
        dv_fail(err, DV_ERR_MEMORY, "no memory for the catalog");
        return NULL;
    }
    cat->postgres = dv_db_is_postgres(dsn);
    cat->last = &cat->first;
    cat->retry_at = LOG_LIMIT;
    pthread_mutex_init(&cat->lock, NULL);
    pthread_mutex_init(&cat->readers_lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&cat->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    cat->db = dv_db_open(dsn, DV_DB_CREATE, err);
    if (!cat->db || !dv_schema_upgrade(cat->db, dsn, err) || !mark_started(cat, err)) {
        release(cat);
        return NULL;
    }
    if (pthread_key_create(&cat->key, reader_gone) != 0) {
        dv_fail(err, DV_ERR_MEMORY, "no thread key for read connections");
        release(cat);
        return NULL;
    }
    int rc = pthread_create(&cat->thread, NULL, keeper, cat);
    if (rc != 0) {
        errno = rc;
        dv_fail_errno(err, "cannot start the catalog's keeper");
        pthread_key_delete(cat->key);
        release(cat);
        return NULL;
    }
    return cat;
}

void dv_catalog_close(dv_catalog *cat)
{
    if (!cat)
        return;
    pthread_mutex_lock(&cat->lock);
    cat->stop = true;
    pthread_cond_signal(&cat->wake);
    pthread_mutex_unlock(&cat->lock);
    pthread_join(cat->thread, NULL);
    pthread_key_delete(cat->key);
    for (reader *r = cat->readers, *next; r; r = next) {
        next = r->next;
        dv_db_close(r->db);
        free(r);
    }
    if (!atomic_load(&cat->recovered)) { /* the next start has to look again */
        release(cat);
        return;
    }
    dv_error err;
    bool ok = dv_db_begin(cat->db, true, &err) && site_put(cat->db, "recovered_through", dv_wall_forward_us(), &err) &&
              site_put(cat->db, "clean_stop", 1, &err) && dv_db_commit(cat->db, &err);
    if (!ok) {
        dv_db_rollback(cat->db);
        dv_warn("catalog", "the stop cannot be marked as clean, the next start looks for objects without rows: %s",
                err.message);
    }
    release(cat);
}

bool dv_catalog_was_unclean(const dv_catalog *cat)
{
    return cat->unclean;
}

int64_t dv_catalog_recovered_through(const dv_catalog *cat)
{
    return atomic_load(&cat->recovered_through);
}

void dv_catalog_recovered(dv_catalog *cat)
{
    atomic_store(&cat->rows_lost, false);
    atomic_store(&cat->recovered, true);
}

void dv_catalog_row_failed(dv_catalog *cat)
{
    atomic_store(&cat->recovered, false);
    atomic_store(&cat->rows_lost, true);
}

bool dv_catalog_rows_lost(const dv_catalog *cat)
{
    return atomic_load(&cat->rows_lost);
}
