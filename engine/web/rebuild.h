/* rebuild.h: the whole catalog made again from the stored objects, while no engine runs.
 *
 *   new, empty database  <-  objects/ and quarantine/      instances, studies, patients, audit, counters: each object's File Meta has them
 *                        <-  the old catalog, if it opens  peers, settings, generations, batches, jobs, attempts: no object has these
 *   then the new one takes the old one's place, which stays beside it as catalog.db.before-<time>
 *
 * INTO: build into that empty database instead and leave the old one in its place: so a site changes its engine (M07). */
#ifndef DV_WEB_REBUILD_H
#define DV_WEB_REBUILD_H

#include "base/error.h"

#include <stdint.h>

typedef struct dv_rebuilt {
    int64_t instances, quarantined, ms;
    int64_t carried;       /* rows of the old catalog */
    char into[4200];       /* the new database, as it may be shown */
    char before[4200];     /* where the old one lies now, empty with INTO */
    char not_carried[512]; /* why nothing, or not all, came from the old catalog; empty: all did */
} dv_rebuilt;

/* INTO NULL: in place (SQLite). */
bool dv_rebuild(const char *folder, const char *into, dv_rebuilt *out, dv_error *err);

/* Before the catalog DSN is opened: a rebuild that was killed between taking the old one away and giving the new one its name gets its end. */
bool dv_rebuild_finish(const char *dsn, dv_error *err);

#endif
