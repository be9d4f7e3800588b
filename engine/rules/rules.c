/* Generations in force and their pools, and running one dataset.
 *
 *   borrow ──> run ──> give back ──> free list              (almost always)
 *                          └──> returned ──> keeper: collects, or closes and makes a new one
 *
 * Invariants
 *   1 no Lua runs while `lock` is held; whoever borrowed a state is its only user
 *   2 only a publisher and the keeper make states; a thread that wants one waits for it
 *   3 a generation is freed with its last state, after it was retired */
#include "rules/rules_internal.h"
#include "rules/bind.h"
#include "rules/harness.h"
#include "base/fault.h"
#include "base/log.h"

#include <lauxlib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { STATES = 4, MOST_STATES = 64 };
enum {
    GARBAGE =
        4 * 1024 * 1024, /* a state is collected when it has grown by this: about 100 datasets, 3 ms of the keeper's */
    KEPT =
        512 *
        1024, /* what may remain after a collection (caches); more is a rule that keeps things: the state is closed */
};

const char *dv_verdict_name(dv_verdict v)
{
    static const char *const names[] = {"store", "reject", "hold", "exclude"};
    return names[v];
}

/* ---- pools ---- */

/* Under the lock, after a state of G is gone. True: the caller frees G, without the lock. */
static bool is_over(const dv_generation *g)
{
    return g->retired && g->total == 0;
}

static void free_generation(dv_generation *g)
{
    dv_rule_set_free(g->set);
    free(g);
}

static dv_state *borrow(dv_rules *rules)
{
    pthread_mutex_lock(&rules->lock);
    dv_state *s;
    bool asked = false;
    while (!(s = rules->current->free)) {
        if (asked && rules->make_failed && rules->current->total == 0)
            break;
        if (!asked)
            rules->make_failed = false;
        asked = true;
        rules->waiting++;
        pthread_cond_signal(&rules->work);
        pthread_cond_wait(&rules->ready, &rules->lock);
        rules->waiting--;
    }
    if (s)
        rules->current->free = s->next;
    pthread_mutex_unlock(&rules->lock);
    return s;
}

static void give_back(dv_rules *rules, dv_state *s, bool spoiled)
{
    s->spoiled = spoiled;
    bool tidy = spoiled || dv_sandbox_grown(s->L) > GARBAGE;
    pthread_mutex_lock(&rules->lock);
    if (tidy || s->generation->retired) {
        s->next = rules->returned;
        rules->returned = s;
        pthread_cond_signal(&rules->work);
    } else {
        s->next = s->generation->free;
        s->generation->free = s;
        if (rules->waiting)
            pthread_cond_signal(&rules->ready);
    }
    pthread_mutex_unlock(&rules->lock);
}

/* Keeper, under the lock on entry and exit: one returned state. */
static void tidy_one(dv_rules *rules, dv_state *s)
{
    dv_generation *g = s->generation;
    bool close = s->spoiled || g->retired;
    pthread_mutex_unlock(&rules->lock);
    if (!close) {
        dv_sandbox_collect(s->L);
        close = dv_sandbox_grown(s->L) > KEPT;
    }
    if (close)
        dv_state_free(s);
    pthread_mutex_lock(&rules->lock);
    if (close) {
        g->total--;
    } else if (g->retired) {
        s->next = rules->returned; /* retired meanwhile: next time */
        rules->returned = s;
    } else {
        s->next = g->free;
        g->free = s;
        pthread_cond_signal(&rules->ready);
    }
    if (is_over(g)) {
        pthread_mutex_unlock(&rules->lock);
        free_generation(g);
        pthread_mutex_lock(&rules->lock);
    }
}

/* Keeper, under the lock on entry and exit: one more state for the current generation. */
static void make_one(dv_rules *rules)
{
    dv_generation *g = rules->current;
    dv_error err;
    g->total++;
    dv_rule_set *set = dv_rule_set_ref(g->set);
    pthread_mutex_unlock(&rules->lock);
    dv_state *s = dv_state_new(set, &rules->limits, NULL, &err);
    dv_rule_set_free(set);
    if (!s)
        dv_error_log("rules", "a state of generation %lld could not be made: %s", (long long)g->number, err.message);
    pthread_mutex_lock(&rules->lock);
    if (s) {
        s->generation = g;
        s->next = g->retired ? rules->returned : g->free;
        *(g->retired ? &rules->returned : &g->free) = s;
        pthread_cond_signal(&rules->ready);
        return;
    }
    g->total--;
    rules->make_failed = true;
    pthread_cond_broadcast(&rules->ready);
    if (is_over(g)) {
        pthread_mutex_unlock(&rules->lock);
        free_generation(g);
        pthread_mutex_lock(&rules->lock);
    }
}

static bool wants_state(const dv_rules *rules)
{
    const dv_generation *g = rules->current;
    if (!g || rules->make_failed)
        return false;
    return g->total < rules->states || (rules->waiting && !g->free && !rules->returned && g->total < MOST_STATES);
}

static void *keep(void *user)
{
    dv_rules *rules = user;
    pthread_mutex_lock(&rules->lock);
    while (!rules->stop) {
        dv_state *s = rules->returned;
        bool want = wants_state(rules);
        if (s && !(want && rules->waiting && !rules->current->free)) {
            rules->returned = s->next;
            tidy_one(rules, s);
        } else if (want) {
            make_one(rules);
        } else {
            pthread_cond_wait(&rules->work, &rules->lock);
        }
    }
    pthread_mutex_unlock(&rules->lock);
    return NULL;
}

/* ---- publishing ---- */

static void free_states(dv_state *s)
{
    while (s) {
        dv_state *next = s->next;
        dv_state_free(s);
        s = next;
    }
}

/* The tests of the rules, in a state of their own. */
static bool test_set(const dv_rules *rules, const dv_rule_set *set, dv_buffer *report, dv_error *err)
{
    dv_state *s = dv_state_new(set, &rules->limits, report, err);
    if (!s)
        return false;
    int passed = 0, failed = 0;
    dv_buffer_clear(report);
    bool ran = dv_harness_test_all(s->L, report, &passed, &failed);
    dv_state_free(s);
    if (ran && failed == 0)
        return true;
    dv_text rest = {0}, first = dv_text_split(dv_text_trim(dv_buffer_as_text(report)), '\n', &rest);
    if (failed) { /* where, not what: ERR enters the log, and a test may hold a patient's values; the report has them */
        dv_text name = first;
        for (size_t at = 0, colons = 0; at + 1 < first.len && colons < 2; at++)
            if (first.at[at] == ':' && first.at[at + 1] == ' ' && ++colons == 2)
                name.len = at;
        return dv_fail(err, DV_ERR_RULE_LOAD,
                       "%d of %d tests of the rules fail, the first in %.*s; 'drover rules test' shows them", failed,
                       passed + failed, (int)(name.len < 300 ? name.len : 300), name.at ? name.at : "");
    }
    return dv_fail(err, DV_ERR_RULE_LOAD, "the tests of the rules could not be run: %.*s",
                   (int)(first.len < 300 ? first.len : 300), first.at ? first.at : "");
}

static void note_refusal(dv_rules *rules, dv_buffer *report, const dv_error *err)
{
    dv_text all = report ? dv_text_trim(dv_buffer_as_text(report)) : (dv_text){0};
    pthread_mutex_lock(&rules->lock);
    dv_text_copy(all.len ? all : dv_text_of(err->message), rules->refusal, sizeof rules->refusal);
    pthread_mutex_unlock(&rules->lock);
}

static void put_in_force(dv_rules *rules, dv_generation *g)
{
    pthread_mutex_lock(&rules->lock);
    dv_generation *old = rules->current;
    rules->current = g;
    rules->refusal[0] = '\0';
    rules->make_failed = false;
    bool over = false;
    dv_state *unused = NULL;
    if (old) {
        old->retired = true;
        unused = old->free;
        old->free = NULL;
        for (dv_state *s = unused; s; s = s->next)
            old->total--;
        over = is_over(old);
    }
    pthread_cond_broadcast(&rules->ready);
    pthread_mutex_unlock(&rules->lock);
    free_states(unused);
    if (over)
        free_generation(old);
}

/* Builds, tests, records and puts SET in force. Takes the reference. With NUMBER not 0 it is on record already. */
static bool put_take(dv_rules *rules, dv_rule_set *set, const char *who, int64_t number, dv_error *err)
{
    dv_buffer report = {0};
    dv_generation *g = calloc(1, sizeof *g);
    bool ok = g || dv_fail(err, DV_ERR_MEMORY, "no memory for a generation of rules");
    ok = ok && (number || !rules->require_tests || test_set(rules, set, &report, err));
    for (int i = 0; ok && i < rules->states; i++) {
        dv_state *s = dv_state_new(set, &rules->limits, i == 0 ? (dv_buffer_clear(&report), &report) : NULL, err);
        if (!s) {
            ok = false;
            break;
        }
        s->generation = g;
        s->next = g->free;
        g->free = s;
        g->total++;
    }
    DV_FAIL_POINT("rules.tested");
    ok = ok && (number || dv_publish_record(rules, set, who, &number, err));
    DV_FAIL_POINT("rules.recorded");
    if (ok) {
        g->number = number;
        g->set = set;
        put_in_force(rules, g);
    } else {
        note_refusal(rules, &report, err);
        if (g)
            free_states(g->free);
        free(g);
        dv_rule_set_free(set);
    }
    dv_buffer_free(&report);
    return ok;
}

bool dv_rules_publish(dv_rules *rules, const char *who, int64_t *number, dv_error *err)
{
    dv_error own;
    err = err ? err : &own;
    pthread_mutex_lock(&rules->publishing);
    dv_rule_set *set = dv_rule_set_read(rules->share, rules->site, err);
    bool ok = set;
    if (!set) {
        if (err->code != DV_ERR_LOCKED)
            note_refusal(rules, NULL, err);
    } else {
        pthread_mutex_lock(&rules->lock);
        bool same = rules->current && strcmp(rules->current->set->hash, set->hash) == 0;
        if (same)
            rules->refusal[0] = '\0';
        pthread_mutex_unlock(&rules->lock);
        if (same)
            dv_rule_set_free(set);
        else
            ok = put_take(rules, set, who, 0, err);
    }
    if (ok)
        *number = dv_rules_current(rules);
    pthread_mutex_unlock(&rules->publishing);
    return ok;
}

int64_t dv_rules_current(dv_rules *rules)
{
    pthread_mutex_lock(&rules->lock);
    int64_t number = rules->current ? rules->current->number : 0;
    pthread_mutex_unlock(&rules->lock);
    return number;
}

bool dv_rules_last_refusal(dv_rules *rules, char *buf, size_t size)
{
    pthread_mutex_lock(&rules->lock);
    bool refused = rules->refusal[0];
    dv_text_copy(dv_text_of(rules->refusal), buf, size);
    pthread_mutex_unlock(&rules->lock);
    return refused;
}

/* ---- open, close ---- */

/* The folders as they are; when they are refused and the catalog has a generation in force, that one goes on. */
static bool first_generation(dv_rules *rules, dv_error *err)
{
    int64_t number, before;
    if (!dv_publish_number(rules, &before, err))
        return false;
    if (dv_rules_publish(rules, "start", &number, err)) {
        if (before && number != before)
            dv_info("rules", "generation %lld is in force: the folders differ from generation %lld", (long long)number,
                    (long long)before);
        return true;
    }
    dv_error why;
    dv_rule_set *set = before ? dv_publish_recorded(rules, &before, &why) : NULL;
    if (!set)
        return false;
    char refusal[sizeof rules->refusal];
    dv_rules_last_refusal(rules, refusal, sizeof refusal);
    if (!put_take(rules, set, "start", before, &why))
        return false;
    dv_warn("rules", "the folders are refused, generation %lld of the catalog goes on: %s", (long long)before,
            err->message);
    dv_fail(&why, err->code, "%s", err->message);
    dv_buffer text = {refusal, strlen(refusal), sizeof refusal, false};
    note_refusal(rules, &text, &why);
    return true;
}

dv_rules *dv_rules_open(const dv_rules_options *options, dv_error *err)
{
    dv_error own;
    err = err ? err : &own;
    dv_rules *rules = calloc(1, sizeof *rules);
    if (!rules) {
        dv_fail(err, DV_ERR_MEMORY, "no memory for the rules");
        return NULL;
    }
    pthread_mutex_init(&rules->publishing, NULL);
    pthread_mutex_init(&rules->lock, NULL);
    pthread_cond_init(&rules->ready, NULL);
    pthread_cond_init(&rules->work, NULL);
    rules->stop_fd = rules->watch_fd = -1;
    rules->share = strdup(options->share);
    rules->site = options->site ? strdup(options->site) : NULL;
    rules->catalog = options->catalog;
    rules->require_tests = options->require_tests;
    rules->states = options->states > 0 ? options->states < MOST_STATES ? options->states : MOST_STATES : STATES;
    rules->limits = (dv_sandbox_limits){.time_ms = options->time_limit_ms, .memory = options->memory_limit};
    bool ok =
        (rules->share && (rules->site || !options->site)) || dv_fail(err, DV_ERR_MEMORY, "no memory for the rules");
    ok = ok && first_generation(rules, err);
    if (ok) {
        sigset_t all, kept;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all,
                        &kept); /* signals are for the main thread; the watchdog's is let through where it is needed */
        rules->has_keeper = pthread_create(&rules->keeper, NULL, keep, rules) == 0;
        pthread_sigmask(SIG_SETMASK, &kept, NULL);
        ok = rules->has_keeper || dv_fail(err, DV_ERR_MEMORY, "the keeper of the rules' states cannot be started");
    }
    if (ok)
        return rules;
    dv_rules_close(rules);
    return NULL;
}

void dv_rules_close(dv_rules *rules)
{
    if (!rules)
        return;
    dv_watch_stop(rules);
    pthread_mutex_lock(&rules->lock);
    rules->stop = true;
    pthread_cond_signal(&rules->work);
    pthread_mutex_unlock(&rules->lock);
    if (rules->has_keeper)
        pthread_join(rules->keeper, NULL);
    for (dv_state *s; (s = rules->returned);) {
        dv_generation *g = s->generation;
        rules->returned = s->next;
        dv_state_free(s);
        g->total--;
        if (is_over(g))
            free_generation(g);
    }
    if (rules->current) {
        free_states(rules->current->free);
        free_generation(rules->current);
    }
    for (struct dv_known *k = rules->known; k;) {
        struct dv_known *next = k->next;
        free(k);
        k = next;
    }
    free(rules->share);
    free(rules->site);
    pthread_cond_destroy(&rules->work);
    pthread_cond_destroy(&rules->ready);
    pthread_mutex_destroy(&rules->lock);
    pthread_mutex_destroy(&rules->publishing);
    free(rules);
}

/* ---- running ---- */

typedef struct job {
    int run;
    dv_dataset *ds;
    const dv_context *ctx;
    dv_arena *arena;
    dv_outcome *out;
    bool no_memory;
} job;

static dv_text kept_text(lua_State *L, int index, job *j)
{
    dv_text t = {0};
    if (lua_isnil(L, index))
        return t;
    t.at = lua_tolstring(L, index, &t.len);
    if (!t.at)
        luaL_error(L, "a verdict's stage, rule and reason are text, not a %s", luaL_typename(L, index));
    t = dv_arena_text(j->arena, t);
    j->no_memory |= !t.at;
    return t;
}

/* Protected: nothing that needs giving back is held here. */
static int run_job(lua_State *L)
{
    job *j = lua_touserdata(L, 1);
    lua_settop(L, 0);
    lua_rawgeti(L, LUA_REGISTRYINDEX, j->run);
    dv_bind_push(L, j->ds, j->ctx, j->arena, j->out);
    lua_call(L, 2, 4);
    if (lua_isnil(L, 1)) {
        j->out->verdict = DV_VERDICT_STORE;
        return 0;
    }
    const char *word = luaL_checkstring(L, 1);
    int v = 0;
    while (strcmp(word, dv_verdict_name((dv_verdict)v)) != 0)
        if (++v > DV_VERDICT_EXCLUDE)
            return luaL_error(L, "the verdict '%s' is none of store, reject, hold, exclude", word);
    dv_text stage = kept_text(L, 2, j), rule = kept_text(L, 3, j), reason = kept_text(L, 4, j);
    j->out->verdict = (dv_verdict)v;
    j->out->stage = stage;
    j->out->rule = rule;
    j->out->reason = reason;
    return 0;
}

/* Fail closed: a rule that errs holds its dataset, naming rule, file and line. */
static void hold_for_fault(const dv_sandbox_fault *fault, dv_arena *arena, dv_outcome *out)
{
    out->verdict = DV_VERDICT_HOLD;
    out->fault = true;
    if (*fault->file) {
        out->file = dv_arena_text(arena, dv_text_of(fault->file));
        out->line = fault->line;
    }
    char place[200] = "";
    if (out->file.len)
        snprintf(place, sizeof place, "%.*s:%lld: ", (int)(out->file.len < 150 ? out->file.len : 150), out->file.at,
                 (long long)out->line);
    const char *reason =
        dv_arena_printf(arena, "%.*s%s%s%s", DV_ARG(out->rule), out->rule.len ? ": " : "", place, fault->message);
    out->reason = reason ? dv_text_of(reason) : DV_TEXT("a rule failed, and there was no memory to say how");
}

bool dv_rules_run(dv_rules *rules, dv_dataset *ds, const dv_context *ctx, dv_arena *arena, dv_outcome *out,
                  dv_error *err)
{
    *out = (dv_outcome){.verdict = DV_VERDICT_HOLD};
    dv_state *s = borrow(rules);
    if (!s)
        return dv_fail(err, DV_ERR_MEMORY, "no memory to run the rules");
    out->generation = s->generation->number;
    job j = {s->run, ds, ctx, arena, out, false};
    dv_sandbox_fault fault;
    lua_pushcfunction(s->L, run_job);
    lua_pushlightuserdata(s->L, &j);
    bool ok = dv_sandbox_call(s->L, 1, 0, &fault);
    dv_bind_done(s->L);
    if (!ok) {
        hold_for_fault(&fault, arena, out);
    } else if (out->verdict == DV_VERDICT_STORE) {
        out->stage = out->rule = out->reason = out->file = (dv_text){0};
        out->line = 0;
    } else {
        out->file = (dv_text){0};
        out->line = 0;
    }
    /* after a limit, or an error that left much behind, the state is not trusted again */
    give_back(rules, s, !ok && (fault.kind != DV_RUN_ERROR || dv_sandbox_grown(s->L) > GARBAGE));
    return !j.no_memory || dv_fail(err, DV_ERR_MEMORY, "no memory for the verdict of the rules");
}
