/* What intake threads ask and tell: whose is this study, and it is durable. A short lock an instance; nothing is read or written. */
#include "migrate/migrate_internal.h"

/* A source may send from another AE title than the one it answers by: the study decides, the peer only between two. */
static dv_run *run_of_study(dv_migrate *m, dv_text study_uid, const char *source)
{
    dv_run *hit = NULL;
    for (int i = 0; i < m->worker_count; i++) {
        dv_run *run = &m->workers[i].run;
        if (run->job && dv_text_equal(run->study_uid, study_uid) &&
            (!hit || dv_text_is(run->source, source ? source : "")))
            hit = run;
    }
    return hit;
}

void dv_migrate_identify(void *user, dv_text received_study_uid, struct dv_arrival *arrival, dv_arena *arena)
{
    dv_migrate *m = user;
    dv_text found = {0}, syntax = {0};
    const char *charset = NULL;
    if (!m)
        return;
    pthread_mutex_lock(&m->lock);
    dv_run *run = run_of_study(m, dv_text_trim(received_study_uid), arrival->source);
    if (run) {
        run->under_way++;
        run->last_ms = dv_mono_ms();
        arrival->job = run->job;
        arrival->attempt = run->attempt;
        arrival->batch = dv_arena_string(arena, run->batch_name);
        arrival->seed = dv_arena_string(arena, run->seed);
        found = dv_arena_text(arena, run->found);
        syntax = dv_arena_text(arena, run->found_syntax);
        charset = run->charset ? dv_arena_string(arena, dv_text_of(run->charset)) : NULL;
    }
    pthread_mutex_unlock(&m->lock);
    if (found.len && syntax.len)
        arrival->found = dv_answer_open(found, syntax, charset, arena, NULL); /* unreadable: rules see an empty one */
}

static void count_rate(dv_migrate *m)
{
    enum { SECONDS = sizeof m->rate / sizeof *m->rate };
    int64_t second = dv_mono_ms() / 1000;
    if (second - m->rate_second >= SECONDS) {
        memset(m->rate, 0, sizeof m->rate);
        m->rate_began = second;
    } else {
        for (int64_t s = m->rate_second + 1; s <= second; s++)
            m->rate[s % SECONDS] = 0;
    }
    m->rate_second = second;
    m->rate[second % SECONDS]++;
}

void dv_migrate_notify(void *user, const struct dv_arrival *arrival, const struct dv_receipt *receipt)
{
    dv_migrate *m = user;
    (void)receipt; /* whatever became of it, it is durable and its fate is a row */
    if (!m || !arrival->job)
        return;
    pthread_mutex_lock(&m->lock);
    count_rate(m);
    for (int i = 0; i < m->worker_count; i++) {
        dv_run *run = &m->workers[i].run;
        if (run->job != arrival->job || run->attempt != arrival->attempt)
            continue;
        run->arrived++;
        run->under_way -= run->under_way > 0;
        run->last_ms = dv_mono_ms();
        if (run->asked > 0 && run->arrived >= run->asked)
            pthread_cond_signal(&run->arrival);
    }
    pthread_mutex_unlock(&m->lock);
}
