#include "base/file.h"
#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

bool dv_map_open(dv_map *map, const char *path, dv_error *err)
{
    *map = (dv_map){NULL, 0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO would wait for its writer */
    if (fd < 0)
        return dv_fail_errno(err, "cannot open %s", path);
    struct stat st;
    bool ok = fstat(fd, &st) == 0 || dv_fail_errno(err, "cannot look at %s", path);
    if (ok && !S_ISREG(st.st_mode))
        ok = dv_fail(err, DV_ERR_IO, "%s is not a regular file", path);
    if (ok && st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            ok = dv_fail_errno(err, "cannot map %s", path);
        else
            *map = (dv_map){p, (size_t)st.st_size};
    }
    close(fd);
    return ok;
}

void dv_map_passed(const void *at, size_t n)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = ((uintptr_t)at + page - 1) / page * page,
              to = ((uintptr_t)at + n) / page * page;
    if (from < to)
        madvise((void *)from, to - from, MADV_DONTNEED); /* a hint */
}

void dv_map_close(dv_map *map)
{
    if (map->bytes)
        munmap((void *)(uintptr_t)map->bytes, map->len);
    *map = (dv_map){NULL, 0};
}

bool dv_file_read(const char *path, dv_buffer *out, dv_error *err)
{
    dv_map map;
    if (!dv_map_open(&map, path, err))
        return false;
    bool ok = dv_buffer_add(out, map.bytes, map.len) || dv_fail(err, DV_ERR_MEMORY, "no memory to read %s", path);
    dv_map_close(&map);
    return ok;
}

bool dv_write_all(int fd, const void *bytes, size_t n, const char *name, dv_error *err)
{
    const char *p = bytes;
    while (n) {
        ssize_t done = DV_FAULT(DV_FAULT_WRITE) ? -1 : write(fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return dv_fail_errno(err, "cannot write %s", name);
        p += done;
        n -= (size_t)done;
    }
    return true;
}

bool dv_file_replace(const char *path, dv_text text, mode_t mode, dv_error *err)
{
    char temporary[PATH_MAX];
    if (snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >= (int)sizeof temporary)
        return dv_fail(err, DV_ERR_IO, "the path %s is too long", path);
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return dv_fail_errno(err, "cannot create %s", temporary);
    bool ok = dv_write_all(fd, text.at, text.len, path, err);
    if (ok && (fchmod(fd, mode) != 0 || DV_FAULT(DV_FAULT_FSYNC) || fsync(fd) != 0))
        ok = dv_fail_errno(err, "cannot sync %s", temporary);
    close(fd);
    if (ok && rename(temporary, path) != 0)
        ok = dv_fail_errno(err, "cannot rename %s to %s", temporary, path);
    if (!ok)
        unlink(temporary);
    return ok;
}

bool dv_mkdirs(const char *path, mode_t mode, dv_error *err)
{
    char part[PATH_MAX];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof part)
        return dv_fail(err, DV_ERR_IO, "the path '%s' cannot be made", path);
    memcpy(part, path, n + 1);
    for (char *p = part + 1;; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char kept = *p;
        *p = '\0';
        if (mkdir(part, mode) != 0 && errno != EEXIST)
            return dv_fail_errno(err, "cannot make the folder %s", part);
        *p = kept;
        if (kept == '\0')
            break;
    }
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return dv_fail(err, DV_ERR_IO, "%s is not a folder", path);
    return true;
}

bool dv_remove_tree(const char *path, dv_error *err)
{
    char *roots[] = {(char *)(uintptr_t)path, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!walk)
        return dv_fail_errno(err, "cannot list %s", path);
    bool ok = true;
    for (FTSENT *e; ok && (e = fts_read(walk));)
        if (e->fts_info != FTS_D && remove(e->fts_path) != 0 && errno != ENOENT)
            ok = dv_fail_errno(err, "cannot remove %s", e->fts_path);
    fts_close(walk);
    return ok;
}

static bool is_share(const char *folder)
{
    char probe[PATH_MAX];
    return snprintf(probe, sizeof probe, "%s/scripts/validation.lua", folder) < (int)sizeof probe &&
           access(probe, R_OK) == 0;
}

bool dv_share_dir(char *buf, size_t size, dv_error *err)
{
    const char *given = getenv("DROVER_SHARE");
    if (given && *given) {
        if (!is_share(given))
            return dv_fail(err, DV_ERR_CONFIG, "DROVER_SHARE=%s holds no scripts/validation.lua", given);
        return dv_text_copy(dv_text_of(given), buf, size) || dv_fail(err, DV_ERR_CONFIG, "DROVER_SHARE is too long");
    }
    char exe[PATH_MAX], folder[PATH_MAX + 32];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n < 0)
        return dv_fail_errno(err, "cannot find the running binary");
    exe[n] = '\0';
    static const char *const places[] = {"../share/drover", "../..", "../../.."};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(folder, sizeof folder, "%.*s/%s", (int)(strrchr(exe, '/') - exe), exe, places[i]);
        char real[PATH_MAX];
        if (is_share(folder) && realpath(folder, real))
            return dv_text_copy(dv_text_of(real), buf, size) || dv_fail(err, DV_ERR_CONFIG, "%s is too long", real);
    }
    return dv_fail(err, DV_ERR_CONFIG,
                   "scripts/ and rules/ are not found beside %s; set DROVER_SHARE to the folder that holds them", exe);
}
