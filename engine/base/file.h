/* file.h: files of the host, with errors that name them. */
#ifndef DV_BASE_FILE_H
#define DV_BASE_FILE_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"

#include <sys/types.h>

/* A file mapped read-only; a file of length 0 has bytes == NULL. */
typedef struct dv_map {
    const uint8_t *bytes;
    size_t len;
} dv_map;

bool dv_map_open(dv_map *map, const char *path, dv_error *err);
void dv_map_close(dv_map *map);
/* N bytes at AT, in a map and nowhere else, have been passed: their pages go from our memory, and come again from the file when they are
 * touched. Without it a file of 4 GB that is read once is 4 GB of us. */
void dv_map_passed(const void *at, size_t n);
/* Appends the whole file. */
bool dv_file_read(const char *path, dv_buffer *out, dv_error *err);
/* Replaces PATH by rename of a synced temporary beside it: readers see the old text or the new, never half. */
bool dv_file_replace(const char *path, dv_text text, mode_t mode, dv_error *err);
/* write() until all N bytes are out; NAME for the error. */
bool dv_write_all(int fd, const void *bytes, size_t n, const char *name, dv_error *err);
bool dv_mkdirs(const char *path, mode_t mode, dv_error *err);
/* Removes a directory tree; symbolic links are removed, not followed. */
bool dv_remove_tree(const char *path, dv_error *err);
/* The folder that holds scripts/ and rules/ as shipped: $DROVER_SHARE, else found from the place of the running binary
 * (PREFIX/share/drover, or the source tree above build/PRESET). */
bool dv_share_dir(char *buf, size_t size, dv_error *err);

#endif
