#include "rules/watchdog.h"
#include "rules/sandbox_internal.h"
#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

enum { IDLE, ARMED, SIGNALLED, DELIVERED, PHASES };
enum { LOOK_MS = 5, QUIET_MS = 1000, WALL_FACTOR = 50 };

/* state is run number * PHASES + phase: the watchdog's change of phase fails when the run it looked at is over. */
typedef struct slot {
    /* owned by its thread */
    lua_State *L;
    /* shared */
    _Atomic int64_t deadline;   /* dv_mono_ms: not looked at more closely before */
    _Atomic int64_t cpu_limit;  /* ns of the thread's own clock */
    _Atomic int64_t last_limit; /* dv_mono_ms: the end whatever the clocks say */
    atomic_ulong state;
    /* under the lock */
    pthread_t thread;
    clockid_t clock;
    struct slot *next;
} slot;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static slot *slots;
static atomic_bool asleep;
static bool started; /* under the lock */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool key_made;
static _Thread_local slot *mine;

static int signal_number(void)
{
    return SIGRTMIN + 5;
}

static void on_signal(int number)
{
    (void)number;
    int kept = errno;
    slot *s = mine;
    if (s) {
        unsigned long state = atomic_load(&s->state);
        if (state % PHASES == SIGNALLED) {
            dv_sandbox_interrupt(s->L, DV_RUN_TIME);
            atomic_store(&s->state, state - SIGNALLED + DELIVERED);
        }
    }
    errno = kept;
}

static int64_t cpu_ns(clockid_t clock)
{
    struct timespec t;
    return clock_gettime(clock, &t) == 0 ? (int64_t)t.tv_sec * 1000000000 + t.tv_nsec : INT64_MAX;
}

/* A rule pays for what it uses: on a busy host it may stand still for long, and that is no fault of its. */
static bool is_over(const slot *s, int64_t now)
{
    return now >= atomic_load(&s->deadline) &&
           (cpu_ns(s->clock) >= atomic_load(&s->cpu_limit) || now >= atomic_load(&s->last_limit));
}

/* Signals whoever is over its time; returns how many are armed. A rule that was signalled is signalled again at the
 * next look. */
static int look(int64_t now)
{
    int armed = 0;
    for (slot *s = slots; s; s = s->next) {
        unsigned long state = atomic_load(&s->state), phase = state % PHASES;
        if (phase == IDLE)
            continue;
        armed++;
        if (phase != SIGNALLED && is_over(s, now) &&
            atomic_compare_exchange_strong(&s->state, &state, state - phase + SIGNALLED))
            pthread_kill(s->thread, signal_number());
    }
    return armed;
}

static void *watch(void *unused)
{
    (void)unused;
    int64_t last_armed = dv_mono_ms();
    pthread_mutex_lock(&lock);
    for (;;) {
        int64_t now = dv_mono_ms();
        if (look(now))
            last_armed = now;
        if (now - last_armed > QUIET_MS) {
            /* Who arms after this store sees it and wakes us; who armed before is seen by this look. */
            atomic_store(&asleep, true);
            if (look(now) == 0)
                while (atomic_load(&asleep))
                    pthread_cond_wait(&wake, &lock);
            atomic_store(&asleep, false);
            last_armed = dv_mono_ms();
            continue;
        }
        pthread_mutex_unlock(&lock);
        nanosleep(&(struct timespec){0, LOOK_MS * 1000000L}, NULL);
        pthread_mutex_lock(&lock);
    }
    return NULL;
}

static void forget(void *p)
{
    slot *s = p;
    pthread_mutex_lock(&lock);
    for (slot **at = &slots; *at; at = &(*at)->next) {
        if (*at == s) {
            *at = s->next;
            break;
        }
    }
    pthread_mutex_unlock(&lock);
    mine = NULL;
    free(s);
}

static void prepare(void)
{
    key_made = pthread_key_create(&key, forget) == 0;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(signal_number(), &action, NULL);
}

static bool start(void)
{
    if (started)
        return true;
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, kept;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &kept); /* the watchdog takes no signals */
    started = pthread_create(&thread, &attributes, watch, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &kept, NULL);
    pthread_attr_destroy(&attributes);
    return started;
}

static void let_through(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal_number());
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static bool enlist(dv_error *err)
{
    pthread_once(&once, prepare);
    pthread_mutex_lock(&lock);
    bool ok = start();
    pthread_mutex_unlock(&lock);
    slot *s = ok && key_made ? calloc(1, sizeof *s) : NULL;
    if (!s || pthread_setspecific(key, s) != 0) {
        free(s);
        return dv_fail(err, DV_ERR_MEMORY, "no memory to watch over the rules of one more thread");
    }
    s->thread = pthread_self();
    if (pthread_getcpuclockid(s->thread, &s->clock) != 0)
        s->clock = CLOCK_MONOTONIC; /* then wall time it is */
    let_through();
    mine = s;
    pthread_mutex_lock(&lock);
    s->next = slots;
    slots = s;
    pthread_mutex_unlock(&lock);
    return true;
}

bool dv_watchdog_arm(lua_State *L, int ms, dv_error *err)
{
    if (!mine && !enlist(err))
        return false;
    slot *s = mine;
    s->L = L;
    int64_t now = dv_mono_ms();
    atomic_store(&s->cpu_limit, cpu_ns(s->clock == CLOCK_MONOTONIC ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID) +
                                    (int64_t)ms * 1000000);
    atomic_store(&s->last_limit, now + (int64_t)ms * WALL_FACTOR);
    atomic_store(&s->deadline, now + ms);
    unsigned long state = atomic_load(&s->state);
    atomic_store(&s->state, state - state % PHASES + PHASES + ARMED);
    if (atomic_load(&asleep)) {
        pthread_mutex_lock(&lock);
        atomic_store(&asleep, false);
        pthread_cond_signal(&wake);
        pthread_mutex_unlock(&lock);
    }
    return true;
}

void dv_watchdog_disarm(void)
{
    slot *s = mine;
    unsigned long state = atomic_load(&s->state);
    for (;;) {
        unsigned long phase = state % PHASES;
        if (phase == SIGNALLED) { /* on its way: it must not come after this call */
            let_through();
            sched_yield();
            state = atomic_load(&s->state);
        } else if (atomic_compare_exchange_strong(&s->state, &state, state - phase + IDLE)) {
            return;
        }
    }
}
