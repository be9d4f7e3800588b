/* store_internal.h: what store.c, object.c, place.c and verify.c share. */
#ifndef DV_STORE_STORE_INTERNAL_H
#define DV_STORE_STORE_INTERNAL_H

#include "store/seal.h"

#include <pthread.h>
#include <stdatomic.h>

enum { DV_AREAS = 3, DV_STORE_PATH = 512, TIME_LEVELS = 4 /* YYYY MM DD HHM */ };

struct dv_folder; /* a folder that is known to be durable */

struct dv_store {
    /* set once */
    char *folder;
    int area[DV_AREAS]; /* objects/, quarantine/, versions/ */
    bool logs_names;    /* an fsync of a file brings its new name with it */
    bool direct;        /* files are written past the page cache */

    atomic_llong slot; /* the latest ten-minute folder used, in ten minutes since 1970 */
    atomic_bool unready;

    pthread_mutex_t lock;      /* short; taken last */
    char reason[256];          /* why unready */
    struct dv_folder *folders; /* durable ones of `folders_slot` */
    int64_t folders_slot;
    dv_object *spare; /* objects to be used again, with their buffer */
    int spares;

    pthread_mutex_t make_lock; /* held while folders are synced, before `lock`: those who wait find it done */

    pthread_mutex_t sync_lock; /* the same for an object's own folder, where the file system needs it */
    atomic_ullong linked;      /* links made so far */
    atomic_ullong looks;       /* at files that had the name already; made under `lock` */
    unsigned long long synced; /* links that the last sync of `synced_folder` had seen */
    char synced_folder[DV_STORE_PATH];
};

extern const char *const dv_area_name[DV_AREAS];

/* The one fsync: of FD, called WHAT in errors. One that fails is final, invariant 3: the store is unready from then on. (A folder that could not be
 * opened to be synced was not made durable, which is no more than that.) */
bool dv_store_sync(dv_store *store, int fd, const char *what, dv_error *err);

/* ---- place.c: names and folders ---- */

/* UID as a name of a file or folder: itself when it is a valid one, else "x" and 32 hex of its hash. */
bool dv_place_name(dv_text uid, char out[72], dv_error *err);
/* An unnamed file for an object of STUDY, in this moment's folder of it, which is made. STUDY absent: in the area's own. -1 on failure. */
int dv_place_open(dv_store *store, dv_area area, dv_text study, dv_error *err);
/* Gives FD the first free name "STUDY/SOP.HEX.dcm", "...HEX-2.dcm" ... in this moment's folder. PATH (relative to the
 * data directory) is the name. *EXISTS: the name number N (from 1) is taken already, nothing was linked; look at it,
 * and call again with N + 1. */
bool dv_place_link(dv_store *store, dv_area area, int fd, const char *study, const char *sop, const char *hex, int n,
                   char path[DV_STORE_PATH], bool *exists, dv_error *err);
/* Syncs what leads to PATH, as far as it is not known to be durable. */
bool dv_place_sync(dv_store *store, dv_area area, const char *path, dv_error *err);
/* Finds the latest folder there is, so that none earlier is used. */
bool dv_place_resume(dv_store *store, dv_error *err);
void dv_place_forget(dv_store *store);
/* "2026/11/24/215" of SLOT. */
void dv_place_folder(int64_t slot, char out[32]);

/* ---- verify.c ---- */

/* Checks a whole file, a map, called NAME in errors; SEAL gets its bytes. */
bool dv_verify_bytes(const uint8_t *bytes, size_t len, const char *name, uint8_t seal[DV_SEAL_BYTES], dv_error *err);

/* object.c */
void dv_object_free_spares(dv_store *store);

#endif
