#include "store/store_internal.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

const char *const dv_area_name[DV_AREAS] = {"objects", "quarantine", "versions"};

/* ---- open and close ---- */

/* File systems by what an fsync of a file does for its name, and whether to write past the page cache: where that is tried and quick. */
static const struct {
    long magic;
    const char *name;
    bool logs_names, direct;
} systems[] = {{EXT4_SUPER_MAGIC, "ext4", true, true},    {XFS_SUPER_MAGIC, "xfs", true, true},
               {BTRFS_SUPER_MAGIC, "btrfs", true, false}, {TMPFS_MAGIC, "tmpfs", true, false},
               {NFS_SUPER_MAGIC, "nfs", false, false},    {0x6969, "nfs", false, false},
               {0x794c7630, "overlayfs", false, false},   {0xff534d42, "cifs", false, false},
               {0x2fc12fc1, "zfs", false, false},         {0x65735546, "fuse", false, false},
               {MSDOS_SUPER_MAGIC, "vfat", false, false}};

/* The name of the file system MAGIC, and what the store does on it. */
static const char *settle(dv_store *store, long magic)
{
    for (size_t i = 0; i < sizeof systems / sizeof *systems; i++)
        if (systems[i].magic == magic) {
            store->logs_names = systems[i].logs_names;
            store->direct = systems[i].direct;
            return systems[i].name;
        }
    store->logs_names = store->direct = false;
    return "unknown";
}

static bool open_area(dv_store *store, int a, dv_error *err)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s", store->folder, dv_area_name[a]) >= (int)sizeof path)
        return dv_fail(err, DV_ERR_CONFIG, "the data directory's path is too long");
    if (!dv_mkdirs(path, 0750, err))
        return false;
    store->area[a] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct statfs fs;
    if (store->area[a] < 0 || fstatfs(store->area[a], &fs) != 0)
        return dv_fail_errno(err, "cannot open %s", path);
    const char *name = settle(store, (long)fs.f_type); /* one file system for all areas, as is checked */
    int fd = openat(store->area[a], ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0640);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
        return dv_fail(err, DV_ERR_CONFIG,
                       "%s lies on a file system (%s, 0x%lx) without O_TMPFILE; use ext4, xfs, btrfs or tmpfs", path,
                       name, (unsigned long)fs.f_type);
    if (fd < 0)
        return dv_fail_errno(err, "cannot write in %s", path);
    close(fd);
    return true;
}

/* The areas' folders, when they are new. */
static bool sync_data_folder(const char *folder, dv_error *err)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = (fd >= 0 && fsync(fd) == 0) || dv_fail_errno(err, "cannot sync the data directory %s", folder);
    if (fd >= 0)
        close(fd);
    return ok;
}

dv_store *dv_store_open(const char *folder, dv_error *err)
{
    dv_store *store = calloc(1, sizeof *store);
    if (!store || !(store->folder = strdup(folder))) {
        free(store);
        dv_fail(err, DV_ERR_MEMORY, "no memory for the object store");
        return NULL;
    }
    pthread_mutex_init(&store->lock, NULL);
    pthread_mutex_init(&store->make_lock, NULL);
    pthread_mutex_init(&store->sync_lock, NULL);
    struct stat at[DV_AREAS];
    bool ok = true;
    for (int a = 0; a < DV_AREAS; a++)
        store->area[a] = -1;
    for (int a = 0; ok && a < DV_AREAS; a++) {
        ok = open_area(store, a, err) &&
             (fstat(store->area[a], &at[a]) == 0 || dv_fail_errno(err, "cannot look at %s", folder));
        if (ok && at[a].st_dev != at[0].st_dev)
            ok = dv_fail(err, DV_ERR_CONFIG, "%s/ and %s/ in %s are on different file systems; put them on one",
                         dv_area_name[0], dv_area_name[a], folder);
    }
    ok = ok && sync_data_folder(folder, err);
    if (!ok || !dv_place_resume(store, err)) {
        dv_store_close(store);
        return NULL;
    }
    return store;
}

void dv_store_close(dv_store *store)
{
    if (!store)
        return;
    dv_object_free_spares(store);
    dv_place_forget(store);
    for (int a = 0; a < DV_AREAS; a++)
        if (store->area[a] >= 0)
            close(store->area[a]);
    pthread_mutex_destroy(&store->lock);
    pthread_mutex_destroy(&store->make_lock);
    pthread_mutex_destroy(&store->sync_lock);
    free(store->folder);
    free(store);
}

/* The first reason stays. */
static void no_more(dv_store *store, const dv_error *why)
{
    pthread_mutex_lock(&store->lock);
    bool first = !store->reason[0];
    if (first)
        snprintf(store->reason, sizeof store->reason, "%.250s", why->message);
    pthread_mutex_unlock(&store->lock);
    atomic_store(&store->unready, true);
    if (first)
        dv_error_log("store", "nothing is stored any more until a restart: %s", why->message);
}

bool dv_store_sync(dv_store *store, int fd, const char *what, dv_error *err)
{
    dv_error why;
    if (!DV_FAULT(DV_FAULT_FSYNC) && fsync(fd) == 0)
        return true;
    dv_fail_errno(&why, "cannot sync %s", what);
    no_more(store, &why);
    return dv_fail(err, why.code, "%s", why.message);
}

bool dv_store_ready(const dv_store *store, dv_error *err)
{
    if (!atomic_load(&store->unready))
        return true;
    dv_store *s = (dv_store *)(uintptr_t)store; /* for the lock only */
    pthread_mutex_lock(&s->lock);
    dv_fail(err, DV_ERR_IO, "the object store is not ready: %s; look at the disk, then restart", s->reason);
    pthread_mutex_unlock(&s->lock);
    return false;
}

const char *dv_store_folder(const dv_store *store)
{
    return store->folder;
}

int dv_store_spool(dv_store *store, dv_error *err)
{
    int fd = openat(store->area[DV_OBJECTS], ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        dv_fail_errno(err, "cannot open a spool file in %s/objects", store->folder);
    return fd;
}

/* ---- files by their relative path ---- */

/* The area of PATH; *REST is the path in it. False when it is none of the store's. */
static bool split_path(const char *path, int *area, const char **rest, dv_error *err)
{
    for (int a = 0; a < DV_AREAS; a++) {
        size_t n = strlen(dv_area_name[a]);
        if (strncmp(path, dv_area_name[a], n) == 0 && path[n] == '/' && path[n + 1] && !strstr(path, "..") &&
            !strstr(path, "//")) {
            *area = a;
            *rest = path + n + 1;
            return true;
        }
    }
    return dv_fail(err, DV_ERR_VALUE, "'%s' is no path of the object store", path);
}

bool dv_store_remove(dv_store *store, const char *path, dv_error *err)
{
    int area;
    const char *rest;
    if (!split_path(path, &area, &rest, err))
        return false;
    if (unlinkat(store->area[area], rest, 0) == 0)
        return true;
    return errno == ENOENT ? dv_fail(err, DV_ERR_NOT_FOUND, "%s is not there", path)
                           : dv_fail_errno(err, "cannot remove %s", path);
}

bool dv_store_has(const dv_store *store, const char *path)
{
    int area;
    const char *rest;
    return split_path(path, &area, &rest, NULL) && faccessat(store->area[area], rest, F_OK, 0) == 0;
}

void dv_store_uncache(const dv_store *store, const char *path)
{
    int area;
    const char *rest;
    int fd = split_path(path, &area, &rest, NULL) ? openat(store->area[area], rest, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
}

/* ---- the walk ---- */

enum { LEVELS = TIME_LEVELS + 2 }; /* YYYY MM DD HHM STUDY file */

typedef struct walk {
    int area;
    char since[32];
    char path[DV_STORE_PATH];
    bool (*each)(void *user, const char *path, dv_error *err);
    void *user;
    size_t head; /* of the area's name and slash in path */
} walk;

/* By bytes, whatever the locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

/* The entries of the folder w->path, N bytes long, at LEVEL; no deeper than LEVELS. */
static bool walk_level(walk *w, size_t n, int level, dv_error *err)
{
    struct dirent **list = NULL;
    int count = scandirat(w->area, n > w->head ? w->path + w->head : ".", &list, visible, by_name);
    if (count < 0)
        return errno == ENOENT || errno == ENOTDIR || dv_fail_errno(err, "cannot list %s", w->path);
    bool ok = true;
    for (int i = 0; i < count; i++) {
        size_t len = strlen(list[i]->d_name);
        bool fits = n + 1 + len < sizeof w->path;
        if (ok && fits) {
            size_t at = n;
            if (n > w->head)
                w->path[at++] = '/';
            memcpy(w->path + at, list[i]->d_name, len + 1);
            /* a folder of time is skipped by its name: shorter paths compare by their own length */
            bool old = level < TIME_LEVELS && strncmp(w->path + w->head, w->since, at + len - w->head) < 0;
            if (level == LEVELS - 1)
                ok = w->each(w->user, w->path, err);
            else if (!old)
                ok = walk_level(w, at + len, level + 1, err);
            w->path[n] = '\0';
        }
        free(list[i]);
    }
    free(list);
    return ok;
}

bool dv_store_each(dv_store *store, dv_area area, int64_t since,
                   bool (*each)(void *user, const char *path, dv_error *err), void *user, dv_error *err)
{
    walk w = {.area = store->area[area], .each = each, .user = user};
    if (since > 0)
        dv_place_folder(since / 600000000, w.since);
    w.head = (size_t)snprintf(w.path, sizeof w.path, "%s/", dv_area_name[area]);
    return walk_level(&w, w.head, 0, err);
}
