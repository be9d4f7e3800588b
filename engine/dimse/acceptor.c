/* acceptor.c
 *
 * 1. `waiting` is in order of arrival, so in order of deadline: only its head is looked at for expiry.
 * 2. A connection is freed in its own event or after the batch of events, never in another's event: epoll's pointers
 *    stay valid.
 * 3. Nothing is allocated for a PDU before its length has been checked, and then only as its bytes come. */
#include "dimse/acceptor_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "dimse/associate_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_SOCKETS = 64, PAUSE_MS = 200 }; /* a host name may have several addresses */

typedef struct guest {
    struct guest *next, *prev;
    int fd;
    int place;
    bool tls;
    bool closing; /* answered; only waits for the peer to close */
    int64_t deadline;
    uint8_t *bytes;
    size_t len, size, total; /* total 0: the head is not complete yet */
    uint8_t head[DV_PDU_HEAD];
    char address[INET6_ADDRSTRLEN];
} guest;

struct dv_acceptor {
    int epoll, wake;
    int listeners[MAX_SOCKETS], listener_count;
    int place_of[MAX_SOCKETS], places;
    bool tls_of[MAX_SOCKETS];
    int first_pdu_ms;
    dv_acceptor_events events;
    atomic_bool stopping;
    /* the acceptor thread's */
    guest *oldest, *newest;
    int count;
    int64_t paused_until; /* out of descriptors: not listening until then; 0: listening */
};

/* epoll's data.u64 is a guest's address, or one of these. */
static const uint64_t is_wake = 1, is_listener = 2;

static bool watch(dv_acceptor *a, int fd, uint64_t what)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = what};

    return epoll_ctl(a->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static int listen_on(const struct sockaddr *to, socklen_t length, bool dual)
{
    int one = 1, only6 = !dual;
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if ((to->sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only6, sizeof only6)) ||
        bind(fd, to, length) || listen(fd, DV_LISTEN_BACKLOG)) {
        int error = errno;

        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage at = {0};
    socklen_t length = sizeof at;

    if (getsockname(fd, (struct sockaddr *)&at, &length))
        return 0;
    return ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                          : ((struct sockaddr_in *)&at)->sin_port);
}

static bool cannot_listen(const char *host, uint16_t port, dv_error *err)
{
    if (errno == EADDRINUSE)
        return dv_fail(err, DV_ERR_NETWORK,
                       "port %u%s%s is taken by another program; stop that one or choose another port", port,
                       host ? " of " : "", host ? host : "");
    if (errno == EACCES)
        return dv_fail(err, DV_ERR_NETWORK,
                       "port %u needs privileges (it is below 1024); choose a higher one, such as 11112", port);
    if (errno == EADDRNOTAVAIL)
        return dv_fail(err, DV_ERR_NETWORK, "%s is no address of this machine", host ? host : "that");
    return dv_fail_errno(err, "cannot listen on port %u", port);
}

static bool listen_everywhere(dv_acceptor *a, uint16_t port, dv_error *err)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_ANY_INIT};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = listen_on((struct sockaddr *)&six, sizeof six, true);

    if (fd < 0 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) /* a kernel without IPv6 */
        fd = listen_on((struct sockaddr *)&four, sizeof four, false);
    if (fd < 0)
        return cannot_listen(NULL, port, err);
    a->listeners[a->listener_count++] = fd;
    return true;
}

static bool listen_at(dv_acceptor *a, const char *host, uint16_t port, dv_error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list = NULL;
    int error = getaddrinfo(host, NULL, &hints, &list);
    int before = a->listener_count;
    bool worked = true;

    if (error)
        return dv_fail(err, DV_ERR_NETWORK, "cannot listen on host \"%s\": %s", host, gai_strerror(error));
    for (struct addrinfo *i = list; i && worked && a->listener_count < MAX_SOCKETS; i = i->ai_next) {
        uint16_t number = port ? port : a->listener_count > before ? port_of(a->listeners[before]) : 0;
        int fd;

        if (i->ai_family == AF_INET6)
            ((struct sockaddr_in6 *)i->ai_addr)->sin6_port = htons(number);
        else if (i->ai_family == AF_INET)
            ((struct sockaddr_in *)i->ai_addr)->sin_port = htons(number);
        else
            continue;
        fd = listen_on(i->ai_addr, i->ai_addrlen, false);
        if (fd >= 0)
            a->listeners[a->listener_count++] = fd;
        else if (errno != EAFNOSUPPORT)
            worked = cannot_listen(host, number, err);
    }
    freeaddrinfo(list);
    if (worked && a->listener_count == before)
        return dv_fail(err, DV_ERR_NETWORK, "host \"%s\" has no address to listen on", host);
    return worked;
}

dv_acceptor *dv_acceptor_open(const char *host, uint16_t port, int first_pdu_ms, const dv_acceptor_events *events,
                              dv_error *err)
{
    dv_acceptor *a = calloc(1, sizeof *a);

    if (!a) {
        dv_fail(err, DV_ERR_MEMORY, "no memory for a listener");
        return NULL;
    }
    a->first_pdu_ms = first_pdu_ms;
    a->events = *events;
    a->epoll = epoll_create1(EPOLL_CLOEXEC);
    a->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (a->epoll < 0 || a->wake < 0 || !watch(a, a->wake, is_wake)) {
        dv_fail_errno(err, "cannot start the listener");
        dv_acceptor_free(a);
        return NULL;
    }
    if (!dv_acceptor_add(a, host, port, false, err)) {
        dv_acceptor_free(a);
        return NULL;
    }
    return a;
}

bool dv_acceptor_add(dv_acceptor *a, const char *host, uint16_t port, bool tls, dv_error *err)
{
    int before = a->listener_count;

    if (before >= MAX_SOCKETS)
        return dv_fail(err, DV_ERR_LIMIT, "too many addresses to listen on");
    if (!(host ? listen_at(a, host, port, err) : listen_everywhere(a, port, err)))
        return false;
    for (int i = before; i < a->listener_count; i++) {
        a->place_of[i] = a->places;
        a->tls_of[i] = tls;
        if (!watch(a, a->listeners[i], is_listener + (uint64_t)i))
            return dv_fail_errno(err, "cannot start the listener");
    }
    a->places++;
    return true;
}

uint16_t dv_acceptor_port(const dv_acceptor *a, int place)
{
    for (int i = 0; i < a->listener_count; i++)
        if (a->place_of[i] == place)
            return port_of(a->listeners[i]);
    return 0;
}

static void append(dv_acceptor *a, guest *g)
{
    g->next = NULL;
    g->prev = a->newest;
    if (a->newest)
        a->newest->next = g;
    else
        a->oldest = g;
    a->newest = g;
    a->count++;
}

static void unlink_guest(dv_acceptor *a, guest *g)
{
    if (g->prev)
        g->prev->next = g->next;
    else
        a->oldest = g->next;
    if (g->next)
        g->next->prev = g->prev;
    else
        a->newest = g->prev;
    a->count--;
}

static void dismiss(dv_acceptor *a, guest *g)
{
    unlink_guest(a, g);
    close(g->fd);
    free(g->bytes);
    free(g);
}

/* Says PDU and lets the peer close: a close by us over unread bytes would be a reset, and could overtake the answer. */
static void answer_and_close(guest *g, const uint8_t pdu[10])
{
    (void)!send(g->fd, pdu, 10, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)shutdown(g->fd, SHUT_WR);
    free(g->bytes);
    g->bytes = NULL;
    g->closing = true; /* until its old deadline: the list stays in order */
}

static void address_of(const struct sockaddr_storage *from, char *out, size_t size)
{
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)from;

    out[0] = '\0';
    if (from->ss_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)from)->sin_addr, out, (socklen_t)size);
    else if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
        inet_ntop(AF_INET, six->sin6_addr.s6_addr + 12, out, (socklen_t)size);
    else
        inet_ntop(AF_INET6, &six->sin6_addr, out, (socklen_t)size);
}

static void pause_listening(dv_acceptor *a)
{
    dv_error_log("scp", "no descriptor left for a new connection: %s; raise the limit of open files (ulimit -n)",
                 strerror(errno));
    for (int i = 0; i < a->listener_count; i++)
        (void)epoll_ctl(a->epoll, EPOLL_CTL_DEL, a->listeners[i], NULL);
    a->paused_until = dv_mono_ms() + PAUSE_MS;
}

static void accept_all(dv_acceptor *a, int which)
{
    for (int i = 0; i < 64; i++) { /* others get their turn; the listener stays readable */
        struct sockaddr_storage from = {0};
        socklen_t length = sizeof from;
        int fd = accept4(a->listeners[which], (struct sockaddr *)&from, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
        guest *g;

        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
                pause_listening(a);
            return; /* EAGAIN, or a peer that left again */
        }
        g = calloc(1, sizeof *g);
        if (!g) {
            close(fd);
            return;
        }
        g->fd = fd;
        g->place = a->place_of[which];
        g->tls = a->tls_of[which];
        g->deadline = dv_mono_ms() + a->first_pdu_ms;
        address_of(&from, g->address, sizeof g->address);
        append(a, g);
        if (!watch(a, fd, (uint64_t)(uintptr_t)g))
            dismiss(a, g);
    }
}

/* Gives the connection to an association, or says that there is no room for one. */
static void arrived(dv_acceptor *a, guest *g)
{
    static const uint8_t busy[10] = {0x03, 0, 0, 0, 0, 4, 0, 2, 3, 2}, bad[10] = {0x07, 0, 0, 0, 0, 4, 0, 0, 2, 6};
    dv_arrival arrival = {.fd = g->fd, .place = g->place, .first = g->bytes, .n = g->len};
    const char *why;

    memcpy(arrival.address, g->address, sizeof arrival.address);
    if (!g->tls && !dv_associate_check(g->bytes, g->len, &why)) {
        dv_warn("scp", "an association request from %s is malformed: %s; aborted", g->address, why);
        answer_and_close(g, bad);
        return;
    }
    (void)epoll_ctl(a->epoll, EPOLL_CTL_DEL, g->fd, NULL);
    if (a->events.arrived(a->events.user, &arrival)) {
        unlink_guest(a, g);
        free(g);
        return;
    }
    if (g->tls) { /* nothing can be said before a handshake, and that would take a thread */
        dismiss(a, g);
        return;
    }
    answer_and_close(g, busy);
    if (!watch(a, g->fd, (uint64_t)(uintptr_t)g))
        dismiss(a, g);
}

static void not_ours(dv_acceptor *a, guest *g, dv_first_bytes first)
{
    static const uint8_t bad[10] = {0x07, 0, 0, 0, 0, 4, 0, 0, 2, 1};
    static const char *const what[] = {[DV_FIRST_HTTP] =
                                           "speaks HTTP to the DICOM port; the pages have a port of their own",
                                       [DV_FIRST_TLS] = "speaks TLS to a port without it",
                                       [DV_FIRST_TOO_LONG] = "announces an association request of over 512 KB",
                                       [DV_FIRST_FOREIGN] = "does not begin with an association request"};

    dv_warn("scp", "a connection from %s %s; closed", g->address, what[first]);
    if (first == DV_FIRST_HTTP || first == DV_FIRST_TLS)
        dismiss(a, g);
    else
        answer_and_close(g, bad);
}

static ssize_t receive(guest *g, uint8_t *to, size_t n)
{
    ssize_t got;

    do
        got = recv(g->fd, to, n, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    return got;
}

/* Room for the next bytes of the PDU: as much again as came, at least 8 KB, at most what the PDU needs. */
static bool grow(guest *g)
{
    size_t size = g->size ? g->size * 2 : 8192;
    uint8_t *p;

    if (size > g->total)
        size = g->total;
    p = realloc(g->bytes, size);
    if (!p)
        return false;
    g->bytes = p;
    g->size = size;
    return true;
}

static void read_more(dv_acceptor *a, guest *g)
{
    uint8_t waste[4096];
    ssize_t got;

    if (g->closing) {
        got = receive(g, waste, sizeof waste);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            dismiss(a, g);
        return;
    }
    if (g->tls) { /* only looked at: OpenSSL reads it, in the association's thread */
        got = recv(g->fd, waste, 1, MSG_DONTWAIT | MSG_PEEK);
        if (got == 1 && waste[0] == 0x16) {
            arrived(a, g);
        } else if (got == 1) {
            dv_warn("scp", "a connection from %s speaks no TLS to a port that has it; closed", g->address);
            dismiss(a, g);
        } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            dismiss(a, g);
        }
        return;
    }
    if (g->total == 0) {
        dv_first_bytes first;

        got = receive(g, g->head + g->len, sizeof g->head - g->len);
        if (got > 0) {
            g->len += (size_t)got;
            first = dv_associate_first(g->head, g->len, &g->total);
            if (first == DV_FIRST_MORE)
                return;
            if (first != DV_FIRST_ASSOCIATE) {
                not_ours(a, g, first);
                return;
            }
            if (!grow(g)) {
                dismiss(a, g);
                return;
            }
            memcpy(g->bytes, g->head, g->len);
        }
    } else {
        got = 1;
    }
    while (got > 0 && g->len < g->total) {
        if (g->len == g->size && !grow(g)) {
            dismiss(a, g);
            return;
        }
        got = receive(g, g->bytes + g->len, g->size - g->len);
        if (got > 0)
            g->len += (size_t)got;
    }
    if (g->total && g->len == g->total)
        arrived(a, g);
    else if (got == 0 || (got < 0 && errno != EAGAIN))
        dismiss(a, g); /* a port check of a monitor, or a peer that changed its mind: no line in the log */
}

static void expire(dv_acceptor *a, int64_t now)
{
    while (a->oldest && (a->oldest->deadline <= now || a->count > DV_MAX_WAITING)) {
        if (!a->oldest->closing)
            dv_info("scp", "a connection from %s asked for nothing; closed", a->oldest->address);
        dismiss(a, a->oldest);
    }
    if (a->paused_until && a->paused_until <= now) {
        a->paused_until = 0;
        for (int i = 0; i < a->listener_count; i++)
            (void)watch(a, a->listeners[i], is_listener + (uint64_t)i);
    }
}

static int patience(const dv_acceptor *a, int64_t now)
{
    int64_t until = a->oldest ? a->oldest->deadline : INT64_MAX;

    if (a->paused_until && a->paused_until < until)
        until = a->paused_until;
    if (until == INT64_MAX)
        return -1;
    return until <= now ? 0 : (int)(until - now < 3600 * 1000 ? until - now : 3600 * 1000);
}

void dv_acceptor_run(dv_acceptor *a)
{
    while (!atomic_load(&a->stopping)) {
        struct epoll_event events[64];
        int n = epoll_wait(a->epoll, events, 64, patience(a, dv_mono_ms()));

        for (int i = 0; i < n; i++) {
            uint64_t what = events[i].data.u64;

            if (what == is_wake) {
                uint64_t count;

                (void)!read(a->wake, &count, sizeof count);
                a->events.woken(a->events.user);
            } else if (what < is_listener + MAX_SOCKETS) {
                accept_all(a, (int)(what - is_listener));
            } else {
                read_more(a, (guest *)(uintptr_t)what);
            }
        }
        expire(a, dv_mono_ms());
    }
    for (int i = 0; i < a->listener_count; i++)
        close(a->listeners[i]);
    a->listener_count = 0;
    while (a->oldest)
        dismiss(a, a->oldest);
}

void dv_acceptor_wake(dv_acceptor *a)
{
    const uint64_t one = 1;

    (void)!write(a->wake, &one, sizeof one);
}

void dv_acceptor_stop(dv_acceptor *a)
{
    atomic_store(&a->stopping, true);
    dv_acceptor_wake(a);
}

void dv_acceptor_free(dv_acceptor *a)
{
    if (!a)
        return;
    for (int i = 0; i < a->listener_count; i++)
        close(a->listeners[i]);
    while (a->oldest)
        dismiss(a, a->oldest);
    if (a->epoll >= 0)
        close(a->epoll);
    if (a->wake >= 0)
        close(a->wake);
    free(a);
}
