#include "dimse/connect_internal.h"

#include "base/clock.h"
#include "dimse/wire_internal.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* 0, or errno; ETIMEDOUT when UNTIL passes, ECANCELED. */
static int finish(int fd, int64_t until, const atomic_bool *cancel)
{
    for (;;) {
        struct pollfd on = {.fd = fd, .events = POLLOUT};
        int64_t rest = until - dv_mono_ms();
        int error = 0, n;
        socklen_t length = sizeof error;

        if (cancel && atomic_load(cancel))
            return ECANCELED;
        if (rest <= 0)
            return ETIMEDOUT;
        n = poll(&on, 1, (int)(cancel && rest > DV_WIRE_SLICE_MS ? DV_WIRE_SLICE_MS : rest));
        if (n > 0)
            return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) ? errno : error;
    }
}

static int attempt(const struct addrinfo *to, int64_t until, const atomic_bool *cancel, int *error)
{
    int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        *error = errno;
        return -1;
    }
    *error = connect(fd, to->ai_addr, to->ai_addrlen) ? errno : 0;
    if (*error == EINPROGRESS)
        *error = finish(fd, until, cancel);
    if (*error) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool why_not(const char *host, uint16_t port, int error, int ms, dv_error *err)
{
    switch (error) {
    case ECANCELED:
        return dv_fail(err, DV_ERR_CANCELLED, "cancelled while connecting to %s:%u", host, port);
    case ETIMEDOUT:
        return dv_fail(err, DV_ERR_TIMEOUT,
                       "%s:%u did not take the connection within %.1f s; is the address right, is a firewall between?",
                       host, port, ms / 1000.0);
    case ECONNREFUSED:
        return dv_fail(err, DV_ERR_NETWORK,
                       "%s:%u refuses the connection: nothing listens there; is the port right, is the peer running?",
                       host, port);
    default:
        return dv_fail(err, DV_ERR_NETWORK, "cannot connect to %s:%u: %s", host, port, strerror(error));
    }
}

/* ---- names ---- */

/* One question to the C library's resolver, which knows no deadline: a thread of its own asks, and who leaves last frees it. */
typedef struct question {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    bool done, left; /* the thread, the asker */
    int unresolved;  /* getaddrinfo's */
    struct addrinfo *list;
    char service[8], host[256];
} question;

static void free_question(question *q)
{
    if (q->list)
        freeaddrinfo(q->list);
    pthread_cond_destroy(&q->answered);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

static void *resolve(void *user)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    question *q = user;
    int unresolved = getaddrinfo(q->host, q->service, &hints, &q->list);

    pthread_mutex_lock(&q->lock);
    q->unresolved = unresolved;
    q->done = true;
    bool left = q->left;
    pthread_cond_signal(&q->answered);
    pthread_mutex_unlock(&q->lock);
    if (left)
        free_question(q);
    return NULL;
}

static question *ask(const char *host, const char *service)
{
    question *q = calloc(1, sizeof *q);
    pthread_condattr_t monotonic;
    pthread_t thread;

    if (!q)
        return NULL;
    snprintf(q->host, sizeof q->host, "%s", host);
    snprintf(q->service, sizeof q->service, "%s", service);
    pthread_mutex_init(&q->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&q->answered, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&thread, NULL, resolve, q)) {
        free_question(q);
        return NULL;
    }
    pthread_detach(thread);
    return q;
}

static struct addrinfo *look_up(const char *host, const char *service, int64_t end, const atomic_bool *cancel,
                                dv_error *err)
{
    const struct addrinfo numeric = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *list = NULL;
    question *q;

    if (getaddrinfo(host, service, &numeric, &list) == 0) /* an address needs no question */
        return list;
    q = ask(host, service);
    if (!q) {
        dv_fail(err, DV_ERR_MEMORY, "no memory to look up the host name \"%s\"", host);
        return NULL;
    }
    pthread_mutex_lock(&q->lock);
    for (int64_t now; !q->done && (now = dv_mono_ms()) < end && !(cancel && atomic_load(cancel));) {
        int64_t until = now + DV_WIRE_SLICE_MS < end ? now + DV_WIRE_SLICE_MS : end;
        struct timespec t = {.tv_sec = (time_t)(until / 1000), .tv_nsec = (long)(until % 1000) * 1000000};

        pthread_cond_timedwait(&q->answered, &q->lock, &t);
    }
    bool done = q->done;
    q->left = true;
    pthread_mutex_unlock(&q->lock);
    if (!done) { /* its thread frees it */
        if (cancel && atomic_load(cancel))
            dv_fail(err, DV_ERR_CANCELLED, "cancelled while looking up the host name \"%s\"", host);
        else
            dv_fail(
                err, DV_ERR_TIMEOUT,
                "the host name \"%s\" was not resolved in time; is the name server reachable? An address needs none",
                host);
        return NULL;
    }
    list = q->list;
    q->list = NULL;
    if (q->unresolved)
        dv_fail(err, DV_ERR_NETWORK, "the host name \"%s\" cannot be resolved: %s", host, gai_strerror(q->unresolved));
    free_question(q);
    return list;
}

int dv_connect(const char *host, uint16_t port, int ms, const atomic_bool *cancel, dv_error *err)
{
    struct addrinfo *list;
    int64_t end = dv_mono_ms() + ms;
    int fd = -1, error = EADDRNOTAVAIL;
    char service[8];

    snprintf(service, sizeof service, "%u", port);
    list = look_up(host, service, end, cancel, err);
    if (!list)
        return -1;
    for (struct addrinfo *i = list; i && fd < 0 && error != ECANCELED; i = i->ai_next) {
        int64_t now = dv_mono_ms();
        /* A first address that swallows packets must leave time for the next one. */
        int64_t until = i->ai_next ? now + (end - now) / 2 : end;

        fd = attempt(i, until, cancel, &error);
    }
    freeaddrinfo(list);
    if (fd < 0)
        why_not(host, port, error, ms, err);
    return fd;
}
