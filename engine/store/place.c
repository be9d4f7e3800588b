/* Names and folders.
 *
 *   objects / 2026 / 11 / 24 / 215 / STUDY / SOP.HEX.dcm
 * A link is tried straight away; only ENOENT makes folders, so that the common case is one call. What was made, by
 * whomever, is synced in its parent by the first object that is to be acknowledged from it: a folder is in `folders`
 * when that was done.
 *
 * Locks     make_lock or sync_lock, then lock. */
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "dicom/values.h"
#include "store/store_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uthash.h>

#define SLOT_US ((int64_t)600 * 1000000)

struct dv_folder {
    UT_hash_handle hh;
    char path[]; /* with the area */
};

bool dv_place_name(dv_text uid, char out[72], dv_error *err)
{
    if (dv_uid_check(uid) && dv_text_copy(uid, out, 72))
        return true;
    uint8_t hash[DV_SHA256_BYTES];
    if (!dv_sha256_of(uid.at ? uid.at : "", uid.len, hash, err))
        return false;
    out[0] = 'x';
    dv_hex(hash, 16, out + 1);
    return true;
}

void dv_place_folder(int64_t slot, char out[32])
{
    time_t t = (time_t)(slot * 600);
    struct tm tm;
    gmtime_r(&t, &tm);
    snprintf(out, 32, "%04d/%02d/%02d/%02d%d", (tm.tm_year + 1900) % 10000, (tm.tm_mon + 1) % 100, tm.tm_mday % 100,
             tm.tm_hour % 100, tm.tm_min / 10 % 10);
}

/* This moment's slot, never earlier than one used. */
static int64_t slot_now(dv_store *store)
{
    long long now = dv_wall_forward_us() / SLOT_US, last = atomic_load(&store->slot);
    while (last < now)
        if (atomic_compare_exchange_weak(&store->slot, &last, now))
            return now;
    return last;
}

/* ---- linking ---- */

/* Tells ext4 to spread the folders in FOLDER over its block groups instead of putting them all into its own: a study's files stay together,
 * associations do not wait for one inode bitmap, and without a journal new files are not searched for among the many that were deleted lately.
 * A hint; other file systems refuse it. */
static void spread(int area, const char *folder)
{
    int fd = openat(area, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), flags;
    if (fd >= 0 && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
        flags |= FS_TOPDIR_FL;
        (void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
    }
    if (fd >= 0)
        close(fd);
}

/* Makes every folder of PATH (its last part is the file). */
static bool make_folders(int area, char *path, dv_error *err)
{
    int level = 1;
    for (char *p = strchr(path, '/'); p; p = strchr(p + 1, '/'), level++) {
        *p = '\0';
        bool made = mkdirat(area, path, 0750) == 0;
        bool ok = made || errno == EEXIST || dv_fail_errno(err, "cannot make the folder %s", path);
        if (made && level == TIME_LEVELS)
            spread(area, path);
        *p = '/';
        if (!ok)
            return false;
    }
    return true;
}

static int link_fd(int fd, int area, const char *path)
{
    char source[40];
    snprintf(source, sizeof source, "/proc/self/fd/%d", fd);
    return DV_FAULT(DV_FAULT_LINK) ? -1 : linkat(AT_FDCWD, source, area, path, AT_SYMLINK_FOLLOW);
}

int dv_place_open(dv_store *store, dv_area area, dv_text study, dv_error *err)
{
    char path[DV_STORE_PATH] = ".", folder[32], name[72];
    int fd = -1;
    if (study.at) {
        if (!dv_place_name(study, name, err))
            return -1;
        dv_place_folder(slot_now(store), folder);
        snprintf(path, sizeof path, "%s/%s", folder, name);
    }
    for (int i = 0; i < 2; i++) {
        fd = openat(store->area[area], path, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0640);
        if (fd >= 0)
            return fd;
        if (errno != ENOENT || !study.at || i > 0)
            break;
        memcpy(path + strlen(path), "/", 2); /* the last part is the file */
        if (!make_folders(store->area[area], path, err))
            return -1;
    }
    dv_fail_errno(err, "cannot begin an object in %s/%s/%s", store->folder, dv_area_name[area], path);
    return -1;
}

bool dv_place_link(dv_store *store, dv_area area, int fd, const char *study, const char *sop, const char *hex, int n,
                   char path[DV_STORE_PATH], bool *exists, dv_error *err)
{
    char folder[32], suffix[16] = "";
    dv_place_folder(slot_now(store), folder);
    if (n > 1)
        snprintf(suffix, sizeof suffix, "-%d", n);
    int head = (int)strlen(dv_area_name[area]) + 1;
    if (snprintf(path, DV_STORE_PATH, "%s/%s/%s/%s.%s%s.dcm", dv_area_name[area], folder, study, sop, hex, suffix) >=
        DV_STORE_PATH)
        return dv_fail(err, DV_ERR_INTERNAL, "an object's path is longer than %d bytes", DV_STORE_PATH);
    *exists = false;
    for (int i = 0; i < 2; i++) {
        if (link_fd(fd, store->area[area], path + head) == 0) {
            atomic_fetch_add(&store->linked, 1);
            return true;
        }
        if (errno == EEXIST) {
            *exists = true;
            return true;
        }
        if (errno != ENOENT || i > 0)
            break;
        if (!make_folders(store->area[area], path + head, err))
            return false;
    }
    return dv_fail_errno(err, "cannot give an object its name %s", path);
}

/* ---- durable folders ---- */

void dv_place_forget(dv_store *store)
{
    struct dv_folder *f, *next;
    HASH_ITER(hh, store->folders, f, next)
    {
        HASH_DEL(store->folders, f);
        free(f);
    }
}

static bool is_durable(dv_store *store, const char *folder, size_t n)
{
    struct dv_folder *f;
    pthread_mutex_lock(&store->lock);
    HASH_FIND(hh, store->folders, folder, n, f);
    pthread_mutex_unlock(&store->lock);
    return f != NULL;
}

static void set_durable(dv_store *store, const char *folder, size_t n)
{
    struct dv_folder *f = malloc(sizeof *f + n + 1);
    if (!f)
        return; /* it is synced again next time */
    memcpy(f->path, folder, n);
    f->path[n] = '\0';
    pthread_mutex_lock(&store->lock);
    int64_t slot = atomic_load(&store->slot);
    if (slot != store->folders_slot) { /* the ten minutes are over: none of the old ones is used again */
        dv_place_forget(store);
        store->folders_slot = slot;
    }
    HASH_ADD(hh, store->folders, path[0], n, f);
    pthread_mutex_unlock(&store->lock);
}

static bool sync_folder(dv_store *store, dv_area area, const char *folder, dv_error *err)
{
    int fd = openat(store->area[area], *folder ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return dv_fail_errno(err, "cannot open the folder %s", folder);
    bool ok = dv_store_sync(store, fd, *folder ? folder : dv_area_name[area], err);
    close(fd);
    return ok;
}

/* Syncs the parents of FOLDER (relative to the area) from the top down to the first one that is known. Under make_lock.
 */
static bool sync_parents(dv_store *store, dv_area area, const char *folder, const char *full, dv_error *err)
{
    size_t head = (size_t)(folder - full);
    char parent[DV_STORE_PATH] = "";
    for (const char *end = folder;; end++) {
        if (*end && *end != '/')
            continue;
        size_t n = (size_t)(end - folder);
        if (!is_durable(store, full, head + n)) {
            if (!sync_folder(store, area, parent, err))
                return false;
            set_durable(store, full, head + n);
        }
        if (!*end)
            return true;
        memcpy(parent, folder, n);
        parent[n] = '\0';
    }
}

/* The object's own folder, for file systems that do not log a name with its inode. Shared by all that wait. */
static bool sync_own(dv_store *store, dv_area area, const char *folder, dv_error *err)
{
    unsigned long long mine = atomic_load(&store->linked);
    bool ok = true;
    pthread_mutex_lock(&store->sync_lock);
    if (store->synced < mine || strcmp(store->synced_folder, folder) != 0) {
        unsigned long long seen = atomic_load(&store->linked);
        ok = sync_folder(store, area, folder, err);
        if (ok) {
            store->synced = seen;
            snprintf(store->synced_folder, sizeof store->synced_folder, "%s", folder);
        }
    }
    pthread_mutex_unlock(&store->sync_lock);
    return ok;
}

bool dv_place_sync(dv_store *store, dv_area area, const char *path, dv_error *err)
{
    char full[DV_STORE_PATH];
    snprintf(full, sizeof full, "%s", path);
    char *last = strrchr(full, '/');
    *last = '\0';
    const char *folder = full + strlen(dv_area_name[area]) + 1;
    size_t n = (size_t)(last - full);
    bool ok = true;
    if (!is_durable(store, full, n)) {
        pthread_mutex_lock(&store->make_lock);
        ok = is_durable(store, full, n) || sync_parents(store, area, folder, full, err);
        pthread_mutex_unlock(&store->make_lock);
    }
    return ok && (store->logs_names || sync_own(store, area, folder, err));
}

/* ---- where the last run stopped ---- */

/* The greatest entry of the folder AT that is WIDTH digits; 0 without one, -1 when it cannot be read. */
static int greatest(int area, const char *at, size_t width)
{
    int fd = openat(area, at, O_RDONLY | O_DIRECTORY | O_CLOEXEC), best = 0;
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    for (struct dirent *e; (e = readdir(dir));) {
        uint64_t v;
        if (strlen(e->d_name) == width && dv_text_uint(dv_text_of(e->d_name), &v) && (int)v >= best)
            best = (int)v;
    }
    closedir(dir);
    return best;
}

bool dv_place_resume(dv_store *store, dv_error *err)
{
    int64_t latest = 0;
    for (int a = 0; a < DV_AREAS; a++) {
        char at[32] = ".";
        struct tm tm = {0};
        int year = greatest(store->area[a], at, 4);
        if (year < 0)
            return dv_fail_errno(err, "cannot list %s/%s", store->folder, dv_area_name[a]);
        if (year < 1970)
            continue;
        snprintf(at, sizeof at, "%04d", year % 10000);
        int month = greatest(store->area[a], at, 2);
        snprintf(at, sizeof at, "%04d/%02d", year % 10000, month > 0 ? month % 100 : 0);
        int day = month > 0 ? greatest(store->area[a], at, 2) : 0;
        snprintf(at, sizeof at, "%04d/%02d/%02d", year % 10000, month > 0 ? month % 100 : 0, day > 0 ? day % 100 : 0);
        int ten = day > 0 ? greatest(store->area[a], at, 3) : 0;
        if (month < 1 || month > 12 || day < 1 || day > 31 || ten < 0 || ten > 235)
            continue;
        tm.tm_year = year - 1900;
        tm.tm_mon = month - 1;
        tm.tm_mday = day;
        tm.tm_hour = ten / 10;
        tm.tm_min = ten % 10 * 10;
        int64_t slot = timegm(&tm) / 600;
        latest = slot > latest ? slot : latest;
    }
    int64_t ahead = latest - dv_wall_us() / SLOT_US;
    if (ahead > 6)
        dv_warn("store",
                "the last folder written is %lld minutes ahead of the clock; it is used until the clock has passed it",
                (long long)ahead * 10);
    atomic_store(&store->slot, latest);
    return true;
}
