/* custody.h: what is done for stored objects while nobody asks (M06): one thread of `drover serve`, behind everything else.
 *
 *   verify   a round reads every object in force again, oldest first (by the order in which they came), and compares it with its seal and row:
 *            instances.verified_at, and for a damaged one a row of damages, a finding (verify/stored-object), an error in the log. Nothing
 *            is ever removed or changed for it; an object that is good again (put back from a copy) loses all three.
 *   remove   versions whose days are over (versions.h)
 *   tidy     files of versions that a kill kept from their move
 *
 *   round    began ──page by page, the cursor in the same transaction──> ended ──interval──> began ...        a restart goes on at the cursor
 *
 * Threads   start and stop in one; dv_custody_read anywhere. */
#ifndef DV_INGEST_CUSTODY_H
#define DV_INGEST_CUSTODY_H

#include "ingest/ingest.h"

typedef struct dv_custody dv_custody;

typedef struct dv_custody_options {
    dv_ingest *ingest;
    int64_t interval_days, rate_mb_s; /* 0: never; no limit */
    int64_t keep_versions_days;       /* 0: for ever */
} dv_custody_options;

dv_custody *dv_custody_start(const dv_custody_options *options, dv_error *err);
/* Other numbers from now on; options' ingest is not looked at. */
void dv_custody_set(dv_custody *custody, const dv_custody_options *options);
void dv_custody_stop(dv_custody *custody);

/* The rounds so far, as the catalog has them. Wall us, 0: never. */
typedef struct dv_custody_state {
    int64_t began;                           /* of the round that is under way, 0: none is */
    int64_t cursor, checked, damaged, bytes; /* of it; cursor: the last instances.id */
    int64_t last_began, last_ended, last_checked, last_damaged;
} dv_custody_state;

bool dv_custody_read(dv_db *db, dv_custody_state *out, dv_error *err);

#endif
