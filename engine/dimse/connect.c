#include "dimse/connect_internal.h"

#include "base/clock.h"
#include "dimse/wire_internal.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
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

int dv_connect(const char *host, uint16_t port, int ms, const atomic_bool *cancel, dv_error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int64_t end = dv_mono_ms() + ms;
    int fd = -1, error = EADDRNOTAVAIL, unresolved;
    char service[8];

    snprintf(service, sizeof service, "%u", port);
    unresolved = getaddrinfo(host, service, &hints, &list);
    if (unresolved) {
        dv_fail(err, DV_ERR_NETWORK, "the host name \"%s\" cannot be resolved: %s", host, gai_strerror(unresolved));
        return -1;
    }
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
