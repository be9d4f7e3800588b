/* scp.c: the DICOM server.
 *
 * 1. A visit (association) is on exactly one of `visits` and `gone`; its own thread moves it, under `lock`, as the
 *    last thing it does. Who finds it on `gone` joins the thread and frees it: the acceptor thread when woken,
 *    dv_scp_stop at the end.
 * 2. `running` counts `visits`, is changed under `lock`, read anywhere.
 * 3. Stopping is a phase that visits read and two eventfds that wake them: nobody touches another thread's socket. */
#include "dimse/scp.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/limits.h"
#include "base/log.h"
#include "dimse/acceptor_internal.h"
#include "dimse/commitment_internal.h"
#include "dimse/scu.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    /* Rules run in this thread (Lua, PCRE2): their C stack and ours fit in a quarter of it. Address space, not
     * memory. */
    STACK_BYTES = 1024 * 1024,
    SANITIZED_STACK_BYTES = 8 * 1024 * 1024,
    FIRST_PDU_MS = 10 * 1000,
    IDLE_MS = 600 * 1000,
    PDU_MS = 60 * 1000,
    MIN_PDU = 4096,
};

typedef enum phase { RUNNING, NO_NEW_MESSAGE, ABORT_ALL } phase;

typedef struct visit {
    struct visit *next, *prev;
    struct dv_scp *scp;
    pthread_t thread;
    dv_arrival arrival;
    /* its own thread's */
    dv_upper *upper;
    dv_caller caller;
    dv_message message;
    dv_commit_visit commits;
    bool idle; /* between messages */
    uint64_t stores;
} visit;

struct dv_scp {
    /* set once */
    dv_scp_callbacks on;
    int first_pdu_ms;
    atomic_int max_associations, idle_ms, pdu_ms; /* dv_scp_adjust */
    bool drained;
    dv_scp_listener more[DV_MAX_LISTENERS];
    size_t more_count;
    uint32_t max_pdu;
    dv_acceptor *acceptor;
    pthread_t thread;
    int idle_wake, all_wake;
    /* shared */
    atomic_int phase;
    pthread_mutex_t lock;
    pthread_cond_t left;
    visit *visits, *gone; /* lock */
    atomic_int running;   /* written with lock */
};

bool dv_dimse_setup(dv_error *err)
{
    char why[200];

    if (!dv_upper_setup(why, sizeof why))
        return dv_fail(err, DV_ERR_NETWORK, "cannot start the DICOM network: %s", why);
    return true;
}

static bool must_end(void *user)
{
    const visit *v = user;
    int now = atomic_load_explicit(&v->scp->phase, memory_order_relaxed);

    return now == ABORT_ALL || (now == NO_NEW_MESSAGE && v->idle);
}

static void set_idle(visit *v, bool idle)
{
    dv_upper_cancel cancel = {must_end, v, idle ? v->scp->idle_wake : v->scp->all_wake};

    v->idle = idle;
    dv_upper_set_cancel(v->upper, &cancel);
}

/* Why the visit ends, into TEXT; the last line of the log about it. */
static void say_end(const visit *v, dv_heard heard, const dv_error *err)
{
    const char *who = v->caller.calling, *where = v->caller.address;
    unsigned long long n = v->stores;

    switch (heard) {
    case DV_HEARD_MALFORMED:
        dv_warn("scp", "%s (%s): %s; aborted after %llu stores", who, where, err->message, n);
        break;
    case DV_HEARD_TIMEOUT:
        if (err->code)
            dv_warn("scp", "%s (%s): %s; aborted after %llu stores", who, where, err->message, n);
        else
            dv_info("scp", "%s (%s): no message for %d s; aborted after %llu stores", who, where,
                    v->scp->idle_ms / 1000, n);
        break;
    case DV_HEARD_CANCELLED:
        dv_info("scp", "%s (%s): aborted after %llu stores: we are stopping", who, where, n);
        break;
    case DV_HEARD_END:
    case DV_HEARD:
        if (dv_upper_ended(v->upper) == DV_UPPER_RELEASED)
            dv_info("scp", "%s (%s): released after %llu stores", who, where, n);
        else
            dv_warn("scp", "%s (%s): %s after %llu stores", who, where, dv_upper_why(v->upper), n);
        break;
    }
}

static dv_heard handle(visit *v, dv_error *err)
{
    const dv_command *c = &v->message.command;
    const dv_taking request = {v->upper, &v->message, &v->scp->on, &v->caller, v->scp->pdu_ms};
    dv_heard h;

    switch (c->field) {
    case DV_C_STORE_RQ:
        h = dv_take_store(&request, err);
        v->stores += h == DV_HEARD;
        DV_FAIL_POINT("dimse.answered");
        return h;
    case DV_C_ECHO_RQ:
        return dv_take_refuse(&request, DV_STATUS_SUCCESS, NULL, err);
    case DV_C_CANCEL_RQ:
        return DV_HEARD; /* of something that has ended already: it has no answer (PS3.7 9.3.2.3) */
    case DV_N_ACTION_RQ:
    case DV_N_EVENT_REPORT_RQ:
    case DV_N_EVENT_REPORT_RQ | DV_RESPONSE:
        return dv_commitment_heard(&request, &v->commits, err);
    default:
        if (c->field & DV_RESPONSE) {
            dv_fail(err, DV_ERR_MALFORMED, "an answer (%04x) came, and we had asked nothing", c->field);
            return DV_HEARD_MALFORMED;
        }
        dv_warn("scp", "%s (%s): command %04x is not supported here", v->caller.calling, v->caller.address, c->field);
        return dv_take_refuse(&request, DV_STATUS_UNRECOGNIZED, "operation not supported", err);
    }
}

static void converse(visit *v)
{
    const dv_taking here = {v->upper, &v->message, &v->scp->on, &v->caller, v->scp->pdu_ms};
    dv_error err = {0};
    dv_heard h = DV_HEARD;

    while (h == DV_HEARD) {
        err.code = DV_ERR_NONE;
        set_idle(v, true);
        h = dv_commitment_listen(&here, &v->message, &v->commits, v->scp->idle_ms, &err);
        if (h == DV_HEARD) {
            set_idle(v, false);
            h = handle(v, &err);
        }
    }
    say_end(v, h, &err);
}

static bool wanted(void *user, const char *sop_class, const char *syntax)
{
    visit *v = user;

    if (strcmp(sop_class, DV_SOP_VERIFICATION) == 0)
        return true;
    if (strcmp(sop_class, DV_SOP_COMMITMENT) == 0)
        return dv_commitment_wanted(&v->scp->on, syntax);
    return v->scp->on.accept(v->scp->on.user, &v->caller, dv_text_of(sop_class), dv_text_of(syntax));
}

static bool admitted(visit *v)
{
    dv_admit said = v->scp->on.admit ? v->scp->on.admit(v->scp->on.user, &v->caller) : DV_ADMIT;
    const char *why = "";

    switch (said) {
    case DV_ADMIT:
        return true;
    case DV_ADMIT_UNKNOWN_CALLING:
        why = "the calling AE title is unknown here";
        dv_upper_reject(v->upper, 1, 1, 3);
        break;
    case DV_ADMIT_UNKNOWN_CALLED:
        why = "the called AE title is not ours";
        dv_upper_reject(v->upper, 1, 1, 7);
        break;
    case DV_ADMIT_BUSY:
        why = "busy";
        dv_upper_reject(v->upper, 2, 3, 2);
        break;
    }
    dv_warn("scp", "association of \"%s\" (%s) to \"%s\" rejected: %s", v->caller.calling, v->caller.address,
            v->caller.called, why);
    return false;
}

static void serve(visit *v)
{
    char why[200];
    size_t accepted;
    dv_upper_cancel cancel = {must_end, v, v->scp->idle_wake};
    const dv_scp_listener *at = v->arrival.place ? &v->scp->more[v->arrival.place - 1] : NULL;
    const dv_tls *tls = at ? at->tls : NULL;

    v->idle = true;
    v->upper = dv_upper_accept(v->arrival.fd, v->arrival.first, v->arrival.n, tls, v->scp->max_pdu,
                               tls ? v->scp->first_pdu_ms : v->scp->pdu_ms, &cancel, why, sizeof why);
    if (!v->upper) {
        dv_warn("scp", "no association with %s: %s", v->arrival.address, why);
        return;
    }
    v->caller = (dv_caller){dv_upper_calling(v->upper),
                            dv_upper_called(v->upper),
                            v->arrival.address,
                            at ? at->aet : NULL,
                            tls != NULL,
                            NULL};
    set_idle(v, false);
    if (admitted(v)) {
        accepted = dv_upper_negotiate(v->upper, wanted, v);
        dv_info("scp", "%s (%s): associated with %s, %zu presentation contexts accepted", v->caller.calling,
                v->caller.address, v->caller.called, accepted);
        if (dv_upper_acknowledge(v->upper))
            converse(v);
        else
            say_end(v, DV_HEARD_END, NULL);
        if (v->scp->on.leave)
            v->scp->on.leave(v->scp->on.user, &v->caller);
    }
    dv_upper_close(v->upper, false, 1000);
    dv_message_free(&v->message);
}

static void unlink_visit(dv_scp *s, visit *v)
{
    if (v->prev)
        v->prev->next = v->next;
    else
        s->visits = v->next;
    if (v->next)
        v->next->prev = v->prev;
    atomic_fetch_sub(&s->running, 1);
}

static void *visit_main(void *arg)
{
    visit *v = arg;
    dv_scp *s = v->scp;

    serve(v);
    pthread_mutex_lock(&s->lock);
    unlink_visit(s, v);
    v->next = s->gone;
    s->gone = v;
    pthread_cond_signal(&s->left);
    pthread_mutex_unlock(&s->lock);
    dv_acceptor_wake(s->acceptor); /* lives until we are joined */
    return NULL;
}

static int start_thread(visit *v)
{
    pthread_attr_t attributes;
    size_t stack = STACK_BYTES;
    int error;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    stack = SANITIZED_STACK_BYTES;
#endif
    error = pthread_attr_init(&attributes);
    if (error)
        return error;
    (void)pthread_attr_setstacksize(&attributes, stack);
    error = pthread_create(&v->thread, &attributes, visit_main, v);
    pthread_attr_destroy(&attributes);
    return error;
}

static bool on_arrival(void *user, const dv_arrival *arrival)
{
    dv_scp *s = user;
    visit *v;
    int error;

    if (s->max_associations > 0 && atomic_load(&s->running) >= s->max_associations) {
        dv_warn("scp", "association from %s rejected: %d are open, the limit (dimse.max_associations)",
                arrival->address, s->max_associations);
        return false;
    }
    v = calloc(1, sizeof *v);
    if (!v) {
        dv_error_log("scp", "association from %s rejected: no memory", arrival->address);
        return false;
    }
    v->scp = s;
    v->arrival = *arrival;
    pthread_mutex_lock(&s->lock);
    v->next = s->visits;
    if (v->next)
        v->next->prev = v;
    s->visits = v;
    atomic_fetch_add(&s->running, 1);
    error = start_thread(v); /* under the lock: `thread` is set before anybody can join it */
    if (error)
        unlink_visit(s, v);
    pthread_mutex_unlock(&s->lock);
    if (error) {
        dv_error_log("scp", "association from %s rejected: no thread for it: %s", arrival->address, strerror(error));
        free(v);
    }
    return error == 0;
}

static void reap(void *user)
{
    dv_scp *s = user;
    visit *list;

    pthread_mutex_lock(&s->lock);
    list = s->gone;
    s->gone = NULL;
    pthread_mutex_unlock(&s->lock);
    while (list) {
        visit *v = list;

        list = v->next;
        pthread_join(v->thread, NULL);
        free(v);
    }
}

static void *acceptor_main(void *arg)
{
    dv_scp *s = arg;

    dv_acceptor_run(s->acceptor);
    return NULL;
}

static void dispose(dv_scp *s)
{
    dv_acceptor_free(s->acceptor);
    if (s->idle_wake >= 0)
        close(s->idle_wake);
    if (s->all_wake >= 0)
        close(s->all_wake);
    pthread_cond_destroy(&s->left);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static dv_scp *make(const dv_scp_options *o, const dv_scp_callbacks *callbacks)
{
    pthread_condattr_t monotonic;
    dv_scp *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->on = *callbacks;
    s->first_pdu_ms = o->first_pdu_ms ? o->first_pdu_ms : FIRST_PDU_MS;
    dv_scp_adjust(s, o->max_associations, o->idle_ms, o->pdu_ms);
    s->max_pdu = o->max_pdu ? o->max_pdu : DV_MAX_PDU;
    if (s->max_pdu > DV_MAX_PDU || s->max_pdu < MIN_PDU) {
        s->max_pdu = s->max_pdu > DV_MAX_PDU ? DV_MAX_PDU : MIN_PDU;
        dv_warn("scp", "the largest PDU of %u bytes is set to %u: DCMTK receives %d to %d", o->max_pdu, s->max_pdu,
                MIN_PDU, DV_MAX_PDU);
    }
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->left, &monotonic);
    pthread_condattr_destroy(&monotonic);
    s->idle_wake = eventfd(0, EFD_CLOEXEC);
    s->all_wake = eventfd(0, EFD_CLOEXEC);
    return s;
}

static bool listen_more(dv_scp *s, const dv_scp_options *o, dv_error *err)
{
    if (o->more_count > DV_MAX_LISTENERS)
        return dv_fail(err, DV_ERR_LIMIT, "%zu more listeners; at most %d", o->more_count, DV_MAX_LISTENERS);
    for (size_t i = 0; i < o->more_count; i++) {
        s->more[i] = o->more[i];
        if (!dv_acceptor_add(s->acceptor, o->more[i].host, o->more[i].port, o->more[i].tls != NULL, err))
            return false;
        s->more_count++;
    }
    return true;
}

static void say_listening(const dv_scp *s, const dv_scp_options *o)
{
    dv_info("scp", "listening on %s%sport %u", o->host ? o->host : "", o->host ? " " : "", dv_scp_port(s));
    for (size_t i = 0; i < s->more_count; i++)
        dv_info("scp", "listening on %s%sport %u as %s%s", s->more[i].host ? s->more[i].host : "",
                s->more[i].host ? " " : "", dv_scp_more_port(s, i), s->more[i].aet, s->more[i].tls ? " with TLS" : "");
}

dv_scp *dv_scp_start(const dv_scp_options *o, const dv_scp_callbacks *callbacks, dv_error *err)
{
    dv_scp *s;
    int error;

    if (!dv_dimse_setup(err))
        return NULL;
    s = make(o, callbacks);
    if (!s) {
        dv_fail(err, DV_ERR_MEMORY, "no memory for the DICOM server");
        return NULL;
    }
    if (s->idle_wake < 0 || s->all_wake < 0) {
        dv_fail_errno(err, "cannot start the DICOM server");
        dispose(s);
        return NULL;
    }
    s->acceptor = dv_acceptor_open(o->host, o->port, s->first_pdu_ms, &(dv_acceptor_events){s, on_arrival, reap}, err);
    if (!s->acceptor || !listen_more(s, o, err)) {
        dispose(s);
        return NULL;
    }
    error = pthread_create(&s->thread, NULL, acceptor_main, s);
    if (error) {
        dv_fail(err, DV_ERR_INTERNAL, "no thread for the DICOM server: %s", strerror(error));
        dispose(s);
        return NULL;
    }
    say_listening(s, o);
    return s;
}

uint16_t dv_scp_port(const dv_scp *s)
{
    return dv_acceptor_port(s->acceptor, 0);
}

uint16_t dv_scp_more_port(const dv_scp *s, size_t i)
{
    return dv_acceptor_port(s->acceptor, (int)i + 1);
}

int dv_scp_associations(const dv_scp *s)
{
    return atomic_load(&s->running);
}

static void enter(dv_scp *s, phase next, int wake)
{
    const uint64_t one = 1;

    atomic_store(&s->phase, next);
    (void)!write(wake, &one, sizeof one);
}

void dv_scp_adjust(dv_scp *s, int max_associations, int idle_ms, int pdu_ms)
{
    atomic_store(&s->max_associations, max_associations);
    atomic_store(&s->idle_ms, idle_ms ? idle_ms : IDLE_MS);
    atomic_store(&s->pdu_ms, pdu_ms ? pdu_ms : PDU_MS);
}

void dv_scp_drain(dv_scp *s)
{
    if (s->drained)
        return;
    s->drained = true;
    dv_acceptor_stop(s->acceptor);
    pthread_join(s->thread, NULL);
    enter(s, NO_NEW_MESSAGE, s->idle_wake);
}

void dv_scp_stop(dv_scp *s, int grace_ms)
{
    struct timespec until;
    int64_t end = dv_mono_ns() + (int64_t)grace_ms * 1000000;
    int waited = 0;

    if (!s)
        return;
    dv_scp_drain(s);
    until = (struct timespec){.tv_sec = (time_t)(end / 1000000000), .tv_nsec = (long)(end % 1000000000)};
    pthread_mutex_lock(&s->lock);
    while (s->visits && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&s->left, &s->lock, &until);
    pthread_mutex_unlock(&s->lock);
    enter(s, ABORT_ALL, s->all_wake);
    pthread_mutex_lock(&s->lock);
    while (s->visits)
        pthread_cond_wait(&s->left, &s->lock);
    pthread_mutex_unlock(&s->lock);
    reap(s);
    dispose(s);
}
