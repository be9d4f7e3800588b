#include "dimse/wire_internal.h"

#include "base/clock.h"
#include "dimse/tls_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

void dv_wire_init(dv_wire *w, int fd)
{
    int one = 1, flags = fcntl(fd, F_GETFL);

    w->fd = fd;
    w->state = DV_WIRE_OK;
    w->error = 0;
    w->deadline = INT64_MAX;
    w->cancelled = NULL;
    w->user = NULL;
    w->wake = -1;
    w->reset = w->torn = false;
    w->head_len = 0;
    w->at = w->buffer;
    w->left = 0;
    w->first = NULL;
    w->tls = NULL;
    w->before = NULL;
    w->why[0] = '\0';
    if (flags >= 0)
        (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* fails on a socketpair, which has no Nagle */
}

void dv_wire_preload(dv_wire *w, uint8_t *bytes, size_t n)
{
    w->first = bytes;
    w->at = bytes;
    w->left = n;
}

void dv_wire_patience(dv_wire *w, int ms)
{
    w->deadline = dv_mono_ms() + ms;
}

static dv_wire_state failed(dv_wire *w, dv_wire_state state, int error)
{
    if (w->state == DV_WIRE_OK) {
        w->state = state;
        w->error = error;
        if (w->tls)
            memcpy(w->why, dv_tls_why(w->tls), strlen(dv_tls_why(w->tls)) + 1);
    }
    return state;
}

/* Waits for EVENTS on the socket. Nothing here changes the wire's state. */
static dv_wire_state await(dv_wire *w, short events)
{
    bool use_wake = w->wake >= 0;

    if (w->tls)
        events = dv_tls_wants(w->tls); /* a read may have to write, and the other way round */

    for (;;) {
        struct pollfd on[2] = {{.fd = w->fd, .events = events}, {.fd = w->wake, .events = POLLIN}};
        int64_t rest = w->deadline - dv_mono_ms();
        int n;

        if (w->cancelled && w->cancelled(w->user))
            return DV_WIRE_CANCELLED;
        if (rest <= 0)
            return DV_WIRE_TIMEOUT;
        if (w->cancelled && !use_wake && rest > DV_WIRE_SLICE_MS)
            rest = DV_WIRE_SLICE_MS;
        if (rest > 3600 * 1000)
            rest = 3600 * 1000;
        n = poll(on, use_wake ? 2 : 1, (int)rest);
        if (n > 0 && on[0].revents)
            return DV_WIRE_OK;
        /* The descriptor woke us for a cancellation that is not meant for this wire: it stays readable, so ask by
         * time. */
        if (n > 0 && use_wake && on[1].revents && !(w->cancelled && w->cancelled(w->user)))
            use_wake = false;
    }
}

/* One attempt, without waiting, to read into BYTES and, behind it, the buffer. EAGAIN is -1 with errno. */
static ssize_t take(dv_wire *w, void *bytes, size_t n)
{
    struct iovec to[2] = {{bytes, n}, {w->buffer, sizeof w->buffer}};
    struct msghdr message = {.msg_iov = n ? to : to + 1, .msg_iovlen = n ? 2 : 1};
    int one = 1;
    ssize_t got;

    (void)setsockopt(w->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
    if (w->tls) {
        got = n ? dv_tls_read(w->tls, bytes, n) : dv_tls_read(w->tls, w->buffer, sizeof w->buffer);
        if (got > 0 && n == 0) {
            w->at = w->buffer;
            w->left = (size_t)got;
        }
        return got;
    }
    do
        got = recvmsg(w->fd, &message, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got > 0 && (size_t)got > n) {
        w->at = w->buffer;
        w->left = (size_t)got - n;
    }
    return got;
}

static dv_wire_state ended(dv_wire *w, ssize_t got)
{
    if (got == 0 || errno == ECONNRESET || errno == EPIPE)
        return failed(w, DV_WIRE_CLOSED, 0);
    return failed(w, DV_WIRE_FAILED, errno);
}

dv_wire_state dv_wire_secure(dv_wire *w, const struct dv_tls *tls, const char *name)
{
    w->tls = dv_tls_open(tls, w->fd, name);
    if (!w->tls)
        return failed(w, DV_WIRE_FAILED, ENOMEM);
    while (dv_tls_handshake(w->tls) < 0) {
        dv_wire_state ready;

        if (errno != EAGAIN)
            return failed(w, DV_WIRE_FAILED, errno);
        ready = await(w, POLLIN);
        if (ready != DV_WIRE_OK)
            return failed(w, ready, 0);
    }
    return DV_WIRE_OK;
}

void dv_wire_moved(dv_wire *w, int fd)
{
    w->fd = fd;
    if (w->tls)
        dv_tls_moved(w->tls, fd);
}

dv_wire_state dv_wire_wait(dv_wire *w)
{
    if (w->state != DV_WIRE_OK)
        return w->state;
    if (w->fd < 0)
        return failed(w, DV_WIRE_CLOSED, 0);
    while (w->left == 0) {
        dv_wire_state ready;
        ssize_t got = take(w, NULL, 0);

        if (got > 0)
            break;
        if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
            return ended(w, got);
        ready = await(w, POLLIN);
        if (ready != DV_WIRE_OK)
            return ready;
    }
    return DV_WIRE_OK;
}

bool dv_wire_readable(dv_wire *w)
{
    struct pollfd on = {.fd = w->fd, .events = POLLIN};

    if (w->fd < 0 || w->state != DV_WIRE_OK || w->left > 0)
        return true;
    if (w->tls) { /* what lies in the socket may be a ticket, and what was said may lie in the session */
        ssize_t got = take(w, NULL, 0);

        return got >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
    }
    return poll(&on, 1, 0) != 0;
}

ssize_t dv_wire_read(dv_wire *w, void *bytes, size_t n)
{
    if (w->left == 0 && (w->state != DV_WIRE_OK || w->fd < 0))
        return w->state == DV_WIRE_CLOSED ? 0 : -1;
    if (n == 0)
        return 0;
    if (w->left > 0) {
        size_t some = n < w->left ? n : w->left;

        memcpy(bytes, w->at, some);
        w->at += some;
        w->left -= some;
        if (w->left == 0 && w->first) {
            free(w->first);
            w->first = NULL;
        }
        return (ssize_t)some;
    }
    for (;;) {
        dv_wire_state ready;
        ssize_t got;

        if (w->cancelled && w->cancelled(w->user)) { /* bytes that never stop must not keep us from it */
            failed(w, DV_WIRE_CANCELLED, 0);
            return -1;
        }
        got = take(w, bytes, n);
        if (got > 0)
            return (size_t)got < n ? got : (ssize_t)n;
        if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
            return ended(w, got) == DV_WIRE_CLOSED ? 0 : -1;
        ready = await(w, POLLIN);
        if (ready != DV_WIRE_OK) {
            failed(w, ready, 0);
            return -1;
        }
    }
}

/* One attempt at HEAD and then FROM, DONE bytes of which are gone. The head and what follows fill one record. */
static ssize_t give_tls(dv_wire *w, size_t head, const uint8_t *from, size_t n, size_t done)
{
    uint8_t record[16 * 1024];
    size_t some;

    if (done >= head)
        return dv_tls_write(w->tls, from + (done - head), n - (done - head));
    memcpy(record, w->head + done, head - done);
    some = n < sizeof record - (head - done) ? n : sizeof record - (head - done);
    if (some)
        memcpy(record + (head - done), from, some);
    return dv_tls_write(w->tls, record, head - done + some);
}

ssize_t dv_wire_write(dv_wire *w, const void *bytes, size_t n)
{
    const uint8_t *from = bytes;
    size_t head = w->head_len, done = 0, total;

    if (w->state != DV_WIRE_OK || w->fd < 0)
        return -1;
    if (head == 0 && n == sizeof w->head && from[0] == 0x04) {
        memcpy(w->head, from, n); /* DUL writes the data next, be it empty */
        w->head_len = n;
        return (ssize_t)n;
    }
    w->head_len = 0;
    total = head + n;
    while (done < total) {
        struct iovec out[2];
        struct msghdr message = {.msg_iov = out};
        ssize_t sent;

        if (done < head) {
            out[message.msg_iovlen++] = (struct iovec){w->head + done, head - done};
            if (n)
                out[message.msg_iovlen++] = (struct iovec){(void *)(uintptr_t)from, n};
        } else {
            out[message.msg_iovlen++] = (struct iovec){(void *)(uintptr_t)(from + (done - head)), total - done};
        }
        sent = w->tls ? give_tls(w, head, from, n, done) : sendmsg(w->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            done += (size_t)sent;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            dv_wire_state ready = await(w, POLLOUT);

            if (ready != DV_WIRE_OK) {
                failed(w, ready, 0);
                w->torn = done > 0;
                return -1;
            }
        } else if (errno != EINTR) {
            (void)ended(w, -1);
            w->torn = done > 0;
            return -1;
        }
    }
    return (ssize_t)n;
}

void dv_wire_abort(dv_wire *w, uint8_t source, uint8_t reason)
{
    const uint8_t pdu[10] = {0x07, 0, 0, 0, 0, 4, 0, 0, source, reason};

    if (w->fd >= 0 && !w->torn && w->state != DV_WIRE_CLOSED && w->state != DV_WIRE_FAILED)
        (void)!(w->tls ? dv_tls_write(w->tls, pdu, sizeof pdu)
                       : send(w->fd, pdu, sizeof pdu, MSG_NOSIGNAL | MSG_DONTWAIT));
    w->reset = false;
}

static void linger_a_little(dv_wire *w)
{
    int64_t until = dv_mono_ms() + DV_WIRE_LINGER_MS;

    (void)shutdown(w->fd, SHUT_WR);
    for (;;) {
        struct pollfd on = {.fd = w->fd, .events = POLLIN};
        int64_t rest = until - dv_mono_ms();
        ssize_t got;

        if (rest <= 0 || poll(&on, 1, (int)rest) <= 0)
            return;
        got = recv(w->fd, w->buffer, sizeof w->buffer, MSG_DONTWAIT);
        if (got <= 0)
            return;
    }
}

void dv_wire_close(dv_wire *w, bool linger)
{
    free(w->first);
    w->first = NULL;
    w->left = 0;
    if (w->fd < 0)
        return;
    if (w->reset) {
        dv_wire_abort(w, 2, 0);
        linger = true;
    }
    dv_tls_close(w->tls, !w->torn && w->state != DV_WIRE_CLOSED && w->state != DV_WIRE_FAILED);
    w->tls = NULL;
    if (linger && w->state != DV_WIRE_CLOSED)
        linger_a_little(w);
    close(w->fd);
    w->fd = -1;
}
