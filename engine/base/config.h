/* config.h: what must be known before the catalog opens: DATA/drover.lua, Lua data under keys of settings.def.
 *
 *   dimse = { aet = "DROVER", port = 11112 }
 *   log = { level = "info" }
 *
 * A flag of the command line wins over the file, the file over the default. A wrong key is refused with the nearest right one.
 * Memory    owned by the dv_config; strings live until dv_config_free.
 * Threads   read-only after loading. */
#ifndef DV_BASE_CONFIG_H
#define DV_BASE_CONFIG_H

#include "base/buffer.h"
#include "base/error.h"

typedef struct dv_config dv_config;

/* Defaults only. NULL when memory is out. */
dv_config *dv_config_new(void);
void dv_config_free(dv_config *c);
/* Reads PATH over the defaults; a file that is not there is no error. CONFIG with file:line. */
bool dv_config_load(dv_config *c, const char *path, dv_error *err);
/* VALUE as on a command line ("true", "11112"); FROM says where it came from. */
bool dv_config_set(dv_config *c, const char *key, const char *value, const char *from, dv_error *err);

/* PATH read anew, with what WAS has from the command line laid over it; NULL on failure. */
dv_config *dv_config_again(const dv_config *was, const char *path, dv_error *err);
/* The I-th key of settings.def, NULL behind the last. */
const char *dv_config_key(int i);

/* Sets in C what is set in OVER (is not at its default there). */
bool dv_config_overlay(dv_config *c, const dv_config *over, dv_error *err);

/* KEY must be of settings.def: a wrong one is a fault of the program. */
const char *dv_config_text(const dv_config *c, const char *key);
int64_t dv_config_int(const dv_config *c, const char *key);
bool dv_config_bool(const dv_config *c, const char *key);
/* "default", "drover.lua", "command line". */
const char *dv_config_from(const dv_config *c, const char *key);
/* Appends the commented file that a new data directory gets: every key, its help and default. */
bool dv_config_template(dv_buffer *out);
/* Appends a line a key: key, value, where it comes from. */
bool dv_config_show(const dv_config *c, dv_buffer *out);
/* Appends docs/configuration.md's table. */
bool dv_config_reference(dv_buffer *out);

#endif
