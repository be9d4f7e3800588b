/* Stored files after their end: moved to the other area. */
#include "base/fault.h"
#include "store/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* "area/2026/11/24/215/STUDY/SOP.HEX.dcm" taken apart; a number behind HEX goes. */
static bool take_apart(const char *path, char study[72], char sop[72], char hex[DV_SEAL_HEX])
{
    const char *file = strrchr(path, '/');
    const char *folder = file ? memrchr(path, '/', (size_t)(file - path)) : NULL;
    const char *dot = file ? strrchr(file, '.') : NULL; /* of ".dcm" */
    const char *before = dot ? memrchr(file, '.', (size_t)(dot - file)) : NULL;
    return folder && before && dv_text_copy((dv_text){folder + 1, (size_t)(file - folder - 1)}, study, 72) &&
           dv_text_copy((dv_text){file + 1, (size_t)(before - file - 1)}, sop, 72) &&
           strlen(before) > DV_SEAL_HEX - 1 &&
           !dv_text_copy((dv_text){before + 1, DV_SEAL_HEX}, hex, DV_SEAL_HEX); /* cut at 16 digits */
}

/* DV_AREAS: of none. */
static int area_of(const char *path)
{
    int a = 0;
    for (size_t n = 0; a < DV_AREAS; a++)
        if (n = strlen(dv_area_name[a]), strncmp(path, dv_area_name[a], n) == 0 && path[n] == '/')
            break;
    return a;
}

/* Is NAME one of the file FD? */
static bool is_this(int area, const char *name, int fd)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && fstatat(area, name, &b, 0) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

bool dv_store_move(dv_store *store, const char *path, dv_area area, dv_stored *done, dv_error *err)
{
    char study[72], sop[72], hex[DV_SEAL_HEX], to[DV_STORE_PATH];
    int from = area_of(path);
    if (from == DV_AREAS || from == (int)area || !take_apart(path, study, sop, hex))
        return dv_fail(err, DV_ERR_INTERNAL, "%s is no object that can be moved to %s", path, dv_area_name[area]);
    size_t head = strlen(dv_area_name[from]) + 1;
    int fd = openat(store->area[from], path + head, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return dv_fail_errno(err, "cannot open %s", path);
    bool exists = true, ok = true;
    for (int n = 1; ok && exists; n++) {
        ok = dv_place_link(store, area, fd, study, sop, hex, n, to, &exists, err);
        if (ok && exists && is_this(store->area[area], to + strlen(dv_area_name[area]) + 1, fd))
            break; /* a move that was broken off */
    }
    /* the bytes are on the disk, the new name is not: the row that will speak of it must not be there first */
    ok = ok && dv_store_sync(store, fd, to, err);
    close(fd);
    ok = ok && dv_place_sync(store, area, to, err);
    if (ok)
        DV_FAIL_POINT("store.moved");
    /* A power cut may bring the old name back: recovery then finds it without a row and moves it again. */
    if (ok && unlinkat(store->area[from], path + head, 0) != 0)
        ok = dv_fail_errno(err, "cannot remove %s", path);
    if (ok)
        snprintf(done->path, sizeof done->path, "%s", to);
    return ok;
}
