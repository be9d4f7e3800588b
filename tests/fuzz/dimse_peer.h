/* dimse_peer.h: a peer for fuzzing: what it sends is all there before we read, what we send is kept in the socket's buffer. No network, no
 * second thread. Whoever includes it is C. */
#ifndef DV_FUZZ_DIMSE_PEER_H
#define DV_FUZZ_DIMSE_PEER_H

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEER_MOST = 100 * 1024 }; /* fits the socket's buffer */

/* The log of millions of bad peers is nothing to read. */
static inline int nowhere(void)
{
    return open("/dev/null", O_WRONLY | O_CLOEXEC);
}

#define FUZZ_CT "1.2.840.10008.5.1.4.1.1.2"

/* Our end of a connection whose other end has sent N bytes and will send no more; *THEIRS is to be closed by end_peer. */
static inline int begin_peer(const void *bytes, size_t n, int *theirs)
{
    int two[2], size = 1 << 20;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, two) != 0)
        abort();
    for (int i = 0; i < 2; i++)
        setsockopt(two[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    fcntl(two[1], F_SETFL, O_NONBLOCK);
    while (n > 0) {
        ssize_t sent = send(two[1], bytes, n, MSG_NOSIGNAL);
        if (sent <= 0)
            abort();
        bytes = (const uint8_t *)bytes + sent;
        n -= (size_t)sent;
    }
    shutdown(two[1], SHUT_WR);
    *theirs = two[1];
    return two[0];
}

/* What we have sent, at most SIZE bytes into OUT; closes. */
static inline size_t end_peer(int theirs, void *out, size_t size)
{
    size_t n = 0;
    for (ssize_t got; n < size && (got = recv(theirs, (uint8_t *)out + n, size - n, 0)) > 0;)
        n += (size_t)got;
    close(theirs);
    return n;
}

/* Bytes being put together. */
typedef struct wire_text {
    uint8_t at[PEER_MOST];
    size_t n;
} wire_text;

static inline void put(wire_text *w, const void *bytes, size_t n)
{
    if (n > sizeof w->at - w->n)
        n = sizeof w->at - w->n;
    if (n)
        memcpy(w->at + w->n, bytes, n);
    w->n += n;
}

static inline void put_number(wire_text *w, size_t v, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--)
        put(w, &(uint8_t){(uint8_t)(v >> 8 * i)}, 1);
}

static inline void put_item(wire_text *w, int type, const char *value)
{
    put(w, (uint8_t[]){(uint8_t)type, 0}, 2);
    put_number(w, strlen(value), 2);
    put(w, value, strlen(value));
}

/* An A-ASSOCIATE-RQ (1) or -AC (2) with contexts 1, 3, 5, ... of SOP_CLASS and these syntaxes. */
static inline void put_associate(wire_text *w, int type, const char *const *classes, const char *const *syntaxes, size_t count)
{
    size_t start = w->n, length;
    put(w, (uint8_t[]){(uint8_t)type, 0, 0, 0, 0, 0, 0, 1, 0, 0}, 10);
    put(w, "DROVER          PEER            ", 32);
    put(w, (uint8_t[32]){0}, 32);
    put_item(w, 0x10, "1.2.840.10008.3.1.1.1");
    for (size_t i = 0; i < count; i++) {
        put(w, (uint8_t[]){type == 1 ? 0x20 : 0x21, 0}, 2);
        put_number(w, 4 + (type == 1 ? 4 + strlen(classes[i]) : 0) + 4 + strlen(syntaxes[i]), 2);
        put(w, (uint8_t[]){(uint8_t)(2 * i + 1), 0, 0, 0}, 4);
        if (type == 1)
            put_item(w, 0x30, classes[i]);
        put_item(w, 0x40, syntaxes[i]);
    }
    put(w, (uint8_t[]){0x50, 0, 0, 12 + 8}, 4);
    put(w, (uint8_t[]){0x51, 0, 0, 4, 0, 0, 0x40, 0}, 8);
    put_item(w, 0x52, "2.25.123");
    length = w->n - start - 6;
    for (int i = 0; i < 4; i++)
        w->at[start + 2 + (size_t)i] = (uint8_t)(length >> (24 - 8 * i));
}

/* One PDU with one PDV. */
static inline void put_pdv(wire_text *w, int context, int control, const void *bytes, size_t n)
{
    put(w, (uint8_t[]){4, 0}, 2);
    put_number(w, n + 6, 4);
    put_number(w, n + 2, 4);
    put(w, (uint8_t[]){(uint8_t)context, (uint8_t)control}, 2);
    put(w, bytes, n);
}

#endif
