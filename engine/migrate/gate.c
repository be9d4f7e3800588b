/* What may be asked now: a gate a source, with its running jobs, its pause, and the backoff of one that does not answer.
 * All of it in memory and under `lock`; pauses are rows too (control.c). */
#include "migrate/migrate_internal.h"

#include <stdio.h>
#include <stdlib.h>

dv_gate *dv_gate_of(dv_migrate *m, dv_text slug)
{
    for (size_t i = 0; i < m->gate_count; i++)
        if (dv_text_is(slug, m->gates[i].slug))
            return &m->gates[i];
    dv_gate *more = realloc(m->gates, (m->gate_count + 1) * sizeof *more);
    if (!more)
        return NULL;
    m->gates = more;
    dv_gate *g = &m->gates[m->gate_count++];
    *g = (dv_gate){.capacity = 2};
    dv_text_copy(slug, g->slug, sizeof g->slug);
    return g;
}

bool dv_gates_blocked(dv_migrate *m, dv_buffer *out, int64_t *until_ms)
{
    pthread_mutex_lock(&m->lock);
    int64_t now = dv_mono_ms();
    bool go = !m->paused && !m->stopping;
    dv_buffer_string(out, "|");
    for (size_t i = 0; i < m->gate_count; i++) {
        const dv_gate *g = &m->gates[i];
        bool down = now < g->until_ms;
        if (down && !g->paused && g->until_ms < *until_ms)
            *until_ms = g->until_ms;
        if (down || g->paused || g->running >= g->capacity)
            dv_buffer_printf(out, "%s|", g->slug);
    }
    pthread_mutex_unlock(&m->lock);
    return go && !out->failed;
}

void dv_gate_enter(dv_migrate *m, dv_text slug)
{
    pthread_mutex_lock(&m->lock);
    dv_gate *g = dv_gate_of(m, slug);
    if (g)
        g->running++;
    pthread_mutex_unlock(&m->lock);
}

void dv_gate_leave(dv_migrate *m, dv_text slug)
{
    pthread_mutex_lock(&m->lock);
    dv_gate *g = dv_gate_of(m, slug);
    if (g && g->running > 0)
        g->running--;
    pthread_mutex_unlock(&m->lock);
}

void dv_gate_answered(dv_migrate *m, const dv_source *source)
{
    pthread_mutex_lock(&m->lock);
    dv_gate *g = dv_gate_of(m, dv_text_of(source->slug));
    if (g) {
        if (g->failures)
            dv_info("migrate", "%s answers again", source->slug);
        g->failures = 0;
        g->error[0] = '\0';
    }
    pthread_mutex_unlock(&m->lock);
}

void dv_gate_is_down(dv_migrate *m, dv_text slug, const dv_error *err)
{
    pthread_mutex_lock(&m->lock);
    dv_gate *g = dv_gate_of(m, slug);
    if (g) {
        /* Two workers that fail together are one failure. */
        if (dv_mono_ms() >= g->until_ms)
            g->failures++;
        g->until_ms = dv_mono_ms() + dv_backoff_us(m, g->failures) / 1000;
        if (g->failures == 1 || strcmp(g->error, err->message) != 0)
            dv_warn("migrate", "%s", err->message);
        snprintf(g->error, sizeof g->error, "%.255s", err->message);
    }
    pthread_mutex_unlock(&m->lock);
}
