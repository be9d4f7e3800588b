/* peer_settings.h: what a peer's settings may hold; their list is peer_settings.def.
 * Threads   pure; the table is constant. */
#ifndef DV_CATALOG_PEER_SETTINGS_H
#define DV_CATALOG_PEER_SETTINGS_H

#include "base/error.h"

#include <cjson/cJSON.h>

typedef enum dv_peer_kind {
    DV_PEER_KIND_int,
    DV_PEER_KIND_bool,
    DV_PEER_KIND_text,
    DV_PEER_KIND_file,
    DV_PEER_KIND_choice
} dv_peer_kind;

typedef struct dv_peer_setting {
    const char *name;
    dv_peer_kind kind;
    const char *otherwise; /* the default; of a choice: its words, the default first */
    int min, max;
    const char *help;
} dv_peer_setting;

extern const dv_peer_setting dv_peer_settings[]; /* name NULL ends it */

/* VALUE names the key that is unknown (and lists the known ones) or whose value does not fit. */
bool dv_peer_settings_check(const cJSON *settings, dv_error *err);

#endif
