/* What happens to times of the next try when somebody sets the clock.
 *
 * `next_at` is wall time, so that it outlives the process. When the clock is set back, what was due in a minute would be due in a day: the step is
 * seen by the distance between the two clocks, and taken off. What a step did while no engine ran is met at the start: no wait is longer than the
 * longest that is ever written. */
#include "migrate/migrate_internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdatomic.h>

enum { STEP_US = 2 * 1000000, LONGEST_QUEUED_US = 60 * 1000000 };
#define LONGEST_STAGING_US ((int64_t)86400 * 1000000) /* nearline_s at most */

static atomic_llong lead; /* of the wall clock before the monotonic one, at the last look; 0: none yet */

typedef struct step {
    int64_t back, now, rows;
} step;

static bool shift(dv_db *db, void *user, dv_error *err)
{
    step *s = user;
    bool ok = dv_db_exec(db, err,
                         "UPDATE jobs SET next_at = next_at - $1 WHERE state IN ('queued', 'staging') AND next_at > $2",
                         "ii", s->back, s->now);
    s->rows = ok ? dv_db_changes(db) : 0;
    ok = ok && dv_db_exec(db, err, "UPDATE entries SET next_at = next_at - $1 WHERE state = 'waiting' AND next_at > $2",
                          "ii", s->back, s->now);
    s->rows += ok ? dv_db_changes(db) : 0;
    return ok;
}

void dv_migrate_mind_clock(dv_migrate *m)
{
    int64_t now = dv_wall_us();
    long long is = now - dv_mono_ns() / 1000, was = atomic_load(&lead);
    if (was - is < STEP_US || was == 0) { /* forward: what is due a little too early harms nobody */
        if (is != was)
            atomic_compare_exchange_strong(&lead, &was, is);
        return;
    }
    if (!atomic_compare_exchange_strong(&lead, &was, is))
        return; /* another worker does it */
    dv_error err;
    step s = {.back = was - is, .now = now};
    if (!dv_catalog_write(m->catalog, false, shift, &s, &err))
        dv_error_log("migrate", "the clock was set back, and the next tries cannot be: %s", err.message);
    else
        dv_warn("migrate", "the clock was set back by %lld s; %lld waiting jobs and seeds are due so much earlier",
                (long long)(s.back / 1000000), (long long)s.rows);
}

bool dv_jobs_due_at_last(dv_db *db, int64_t now, dv_error *err)
{
    return dv_db_exec(db, err, "UPDATE jobs SET next_at = $1 WHERE state = 'queued' AND next_at > $2", "ii", now,
                      now + LONGEST_QUEUED_US) &&
           dv_db_exec(db, err, "UPDATE jobs SET next_at = $1 WHERE state = 'staging' AND next_at > $2", "ii", now,
                      now + LONGEST_STAGING_US) &&
           dv_db_exec(db, err, "UPDATE entries SET next_at = $1 WHERE state = 'waiting' AND next_at > $2", "ii", now,
                      now + LONGEST_QUEUED_US);
}
