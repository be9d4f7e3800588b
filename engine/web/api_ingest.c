/* api_ingest.c: a folder tree of files into the archive.
 *
 *   the caller's thread walks ──queue──> WORKERS threads: map, dv_ingest_file        rows and counts under `lock`
 *
 * Each file is made durable by itself; with many of them under way the disk does that for several in one go. Their order is that of the walk
 * but for those under way together: of two files with one SOP Instance UID either may be the first.
 * Threads   `lock` guards all of `work`; only its holder uses the reply. */
#include "base/buffer.h"
#include "base/clock.h"
#include "base/file.h"
#include "web/api.h"

#include <errno.h>
#include <fts.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
    WORKERS = 16, /* that many share a commit of the file system's journal; 8 are a third slower on small files */
    QUEUE = 64,
};

typedef struct counts {
    int64_t files, kept[6], not_dicom, dicomdir, failed;
} counts;

typedef struct work {
    dv_site *site;
    const char *source;
    bool no_rules;
    dv_reply *reply;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char *queue[QUEUE];
    size_t first, waiting;
    bool walked; /* no more files will come */
    bool stop;   /* `err` says why */
    dv_error *err;
    counts counts;
    int64_t said;
} work;

static cJSON *counts_json(const counts *c)
{
    cJSON *j = cJSON_CreateObject();
    cJSON_AddNumberToObject(j, "files", (double)c->files);
    for (int k = 0; k < 6; k++)
        cJSON_AddNumberToObject(j, dv_kept_name((dv_kept)k), (double)c->kept[k]);
    cJSON_AddNumberToObject(j, "not_dicom", (double)c->not_dicom);
    cJSON_AddNumberToObject(j, "dicomdir", (double)c->dicomdir);
    cJSON_AddNumberToObject(j, "failed", (double)c->failed);
    return j;
}

/* The first reason stays. Under `lock`. */
static void stop(work *w, const dv_error *why)
{
    if (!w->stop)
        *w->err = *why;
    w->stop = true;
    pthread_cond_broadcast(&w->changed);
}

/* What became of a file that was not simply stored. Under `lock`. */
static void tell(work *w, const char *path, const char *kept, const char *reason)
{
    dv_error err = {0};
    cJSON *row = cJSON_CreateObject();
    dv_json_text(row, "file", dv_text_of(path));
    cJSON_AddStringToObject(row, "kept", kept);
    dv_json_text(row, "reason", dv_text_of(reason));
    if (!w->stop && dv_reply_row(w->reply, row, &err))
        return;
    if (w->stop)
        cJSON_Delete(row);
    else
        stop(w, &err);
}

/* Under `lock`. */
static void count(work *w, const char *path, const dv_receipt *receipt, const dv_error *why, bool mapped)
{
    counts *c = &w->counts;
    c->files++;
    if (receipt) {
        c->kept[receipt->kept]++;
        if (receipt->kept != DV_KEPT_STORED && receipt->kept != DV_KEPT_KNOWN)
            tell(w, path, dv_kept_name(receipt->kept), receipt->reason);
    } else if (why->code == DV_ERR_NOT_DICOM) {
        c->not_dicom++;
        tell(w, path, "not_dicom", why->message);
    } else if (why->code == DV_ERR_UNSUPPORTED) {
        c->dicomdir++;
        tell(w, path, "dicomdir", why->message);
    } else {
        c->failed++;
        tell(w, path, "failed", why->message);
        /* Our disk, memory or catalog failed: the next files would fail too. A file that breaks off is its own trouble. */
        if (mapped && dv_error_lookup(why->code)->dimse_status == 0xA700)
            stop(w, why);
    }
}

static void take(work *w, const char *path)
{
    dv_arrival arrival = {.source = w->source,
                          .calling = "",
                          .called = "",
                          .address = "",
                          .channel = "files",
                          .batch = "",
                          .seed = "",
                          .no_rules = w->no_rules};
    dv_receipt receipt = {0};
    dv_error why = {0};
    dv_map map;
    bool mapped = dv_map_open(&map, path, &why);
    bool ok = mapped && dv_ingest_file(w->site->ingest, map.bytes, map.len, &arrival, &receipt, &why);
    dv_map_close(&map);
    pthread_mutex_lock(&w->lock);
    count(w, path, ok ? &receipt : NULL, &why, mapped);
    pthread_mutex_unlock(&w->lock);
}

static void *worker(void *user)
{
    work *w = user;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (!w->waiting && !w->walked && !w->stop)
            pthread_cond_wait(&w->changed, &w->lock);
        if (w->stop || !w->waiting)
            break;
        char *path = w->queue[w->first];
        w->first = (w->first + 1) % QUEUE;
        w->waiting--;
        pthread_cond_broadcast(&w->changed);
        pthread_mutex_unlock(&w->lock);
        take(w, path);
        free(path);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* Under `lock`. */
static void look_around(work *w)
{
    dv_error err = {0};
    if (dv_reply_cancelled(w->reply)) {
        dv_fail(&err, DV_ERR_CANCELLED, "stopped after %lld files; what was stored is known when it is run again",
                (long long)w->counts.files);
        stop(w, &err);
    } else if (dv_mono_ms() - w->said > 500) {
        w->said = dv_mono_ms();
        if (!dv_reply_progress(w->reply, counts_json(&w->counts), &err))
            stop(w, &err);
    }
}

/* Gives E to the workers. Under `lock`. */
static void offer(work *w, const FTSENT *e)
{
    dv_error why = {0};
    if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR || e->fts_info == FTS_NS) {
        errno = e->fts_errno;
        dv_fail_errno(&why, "cannot read %s", e->fts_path);
        w->counts.failed++;
        tell(w, e->fts_path, "failed", why.message);
    }
    if (e->fts_info != FTS_F)
        return;
    while (w->waiting == QUEUE && !w->stop)
        pthread_cond_wait(&w->changed, &w->lock);
    if (w->stop)
        return;
    char *path = strdup(e->fts_path);
    if (!path) {
        dv_fail(&why, DV_ERR_MEMORY, "no memory for a file's name");
        stop(w, &why);
        return;
    }
    w->queue[(w->first + w->waiting++) % QUEUE] = path;
    pthread_cond_broadcast(&w->changed);
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* Walks with as many workers as can be had, at least one. */
static void run(work *w, FTS *walk)
{
    pthread_t threads[WORKERS];
    size_t running = 0;
    dv_error err;
    while (running < WORKERS && pthread_create(&threads[running], NULL, worker, w) == 0)
        running++;
    pthread_mutex_lock(&w->lock);
    if (running == 0) {
        dv_fail(&err, DV_ERR_MEMORY, "no thread can be started");
        stop(w, &err);
    }
    for (FTSENT *e; !w->stop;) {
        pthread_mutex_unlock(&w->lock); /* the walk waits for its own disk */
        e = fts_read(walk);
        pthread_mutex_lock(&w->lock);
        if (!e)
            break;
        offer(w, e);
        look_around(w);
    }
    w->walked = true;
    pthread_cond_broadcast(&w->changed);
    while (w->waiting && !w->stop) { /* the last files, however large, are told of too */
        struct timespec soon;
        clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_sec++;
        pthread_cond_timedwait(&w->changed, &w->lock, &soon);
        look_around(w);
    }
    pthread_mutex_unlock(&w->lock);
    for (size_t i = 0; i < running; i++)
        pthread_join(threads[i], NULL);
    for (; w->waiting; w->waiting--)
        free(w->queue[(w->first + w->waiting - 1) % QUEUE]);
}

bool dv_api_ingest(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    const char *path = dv_args_text(args, "path"), *rules = dv_args_text(args, "rules"),
               *source = dv_args_text(args, "source");
    struct stat st;
    if (!path || !*path)
        return dv_fail(err, DV_ERR_USAGE, "which file or folder?");
    if (rules && strcmp(rules, "none") != 0 && strcmp(rules, "current") != 0)
        return dv_fail(err, DV_ERR_USAGE, "--rules is '%s'; it must be none or current", rules);
    if (stat(path, &st) != 0)
        return dv_fail_errno(err, "cannot read %s", path);
    char *roots[] = {(char *)(uintptr_t)path, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    if (!walk)
        return dv_fail_errno(err, "cannot list %s", path);
    work w = {.site = site,
              .source = source ? source : "files",
              .no_rules = rules && strcmp(rules, "none") == 0,
              .reply = reply,
              .err = err,
              .said = dv_mono_ms()};
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.changed, NULL);
    run(&w, walk);
    fts_close(walk);
    pthread_cond_destroy(&w.changed);
    pthread_mutex_destroy(&w.lock);
    if (w.stop || !dv_reply_progress(reply, counts_json(&w.counts), err))
        return false;
    return w.counts.failed == 0 || dv_fail(err, DV_ERR_INCOMPLETE, "%lld of %lld files could not be taken",
                                           (long long)w.counts.failed, (long long)w.counts.files);
}
