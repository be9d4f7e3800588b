/* raw_peer.h: the other side of an association, byte by byte: what no decent library lets one send. */
#ifndef DV_TEST_RAW_PEER_H
#define DV_TEST_RAW_PEER_H

#include "dimse/command_internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { RAW_MS = 10000 }; /* how long a test waits for what must come */

#define IMPLICIT     "1.2.840.10008.1.2"
#define EXPLICIT     "1.2.840.10008.1.2.1"
#define CT_CLASS     "1.2.840.10008.5.1.4.1.1.2"
#define VERIFICATION "1.2.840.10008.1.1"

/* Bytes being put together. */
typedef struct raw {
    uint8_t at[200000];
    size_t n;
} raw;

static inline void raw_bytes(raw *r, const void *bytes, size_t n)
{
    assert_true(n <= sizeof r->at - r->n);
    if (n)
        memcpy(r->at + r->n, bytes, n);
    r->n += n;
}

static inline void raw_u8(raw *r, unsigned v)
{
    raw_bytes(r, &(uint8_t){(uint8_t)v}, 1);
}

static inline void raw_u16be(raw *r, unsigned v)
{
    raw_u8(r, v >> 8);
    raw_u8(r, v);
}

static inline void raw_u32be(raw *r, unsigned v)
{
    raw_u16be(r, v >> 16);
    raw_u16be(r, v);
}

static inline void raw_item(raw *r, unsigned type, const char *value)
{
    raw_u8(r, type);
    raw_u8(r, 0);
    raw_u16be(r, (unsigned)strlen(value));
    raw_bytes(r, value, strlen(value));
}

/* The length of what was begun at START, whose 4-byte length field is at START + 2. */
static inline void raw_pdu_end(raw *r, size_t start)
{
    size_t length = r->n - start - 6;

    for (int i = 0; i < 4; i++)
        r->at[start + 2 + i] = (uint8_t)(length >> (24 - 8 * i));
}

static inline void raw_title(raw *r, const char *title)
{
    char padded[17];

    snprintf(padded, sizeof padded, "%-16s", title);
    raw_bytes(r, padded, 16);
}

static inline void raw_associate_begin(raw *r, unsigned type, const char *calling, const char *called)
{
    r->n = 0;
    raw_u8(r, type);
    raw_u8(r, 0);
    raw_u32be(r, 0);
    raw_u16be(r, 1);
    raw_u16be(r, 0);
    raw_title(r, called);
    raw_title(r, calling);
    raw_bytes(r, (char[32]){0}, 32);
    raw_item(r, 0x10, "1.2.840.10008.3.1.1.1");
}

/* One context; SYNTAXES ends with NULL. */
static inline void raw_context(raw *r, unsigned type, unsigned id, unsigned result, const char *sop_class,
                               const char *const *syntaxes)
{
    size_t start = r->n, length;

    raw_u8(r, type);
    raw_u8(r, 0);
    raw_u16be(r, 0);
    raw_u8(r, id);
    raw_u8(r, 0);
    raw_u8(r, result);
    raw_u8(r, 0);
    if (sop_class)
        raw_item(r, 0x30, sop_class);
    for (; *syntaxes; syntaxes++)
        raw_item(r, 0x40, *syntaxes);
    length = r->n - start - 4;
    r->at[start + 2] = (uint8_t)(length >> 8);
    r->at[start + 3] = (uint8_t)length;
}

static inline void raw_associate_end(raw *r, unsigned max_pdu)
{
    static const char implementation[] = "2.25.1234567";

    raw_u8(r, 0x50);
    raw_u8(r, 0);
    raw_u16be(r, 8 + 4 + (unsigned)strlen(implementation));
    raw_u8(r, 0x51);
    raw_u8(r, 0);
    raw_u16be(r, 4);
    raw_u32be(r, max_pdu);
    raw_item(r, 0x52, implementation);
    raw_pdu_end(r, 0);
}

static inline void raw_pdata_begin(raw *r)
{
    r->n = 0;
    raw_u8(r, 4);
    raw_u8(r, 0);
    raw_u32be(r, 0);
}

enum { COMMAND = 1, LAST = 2 };

static inline void raw_pdv(raw *r, unsigned context, unsigned control, const void *bytes, size_t n)
{
    raw_u32be(r, (unsigned)n + 2);
    raw_u8(r, context);
    raw_u8(r, control);
    raw_bytes(r, bytes, n);
}

static inline void raw_send(int fd, const void *bytes, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);

        assert_true(sent > 0);
        bytes = (const uint8_t *)bytes + sent;
        n -= (size_t)sent;
    }
}

static inline void raw_send_pdu(int fd, raw *r)
{
    raw_pdu_end(r, 0);
    raw_send(fd, r->at, r->n);
}

static inline bool raw_receive(int fd, void *bytes, size_t n)
{
    while (n > 0) {
        struct pollfd on = {.fd = fd, .events = POLLIN};
        ssize_t got;

        if (poll(&on, 1, RAW_MS) <= 0)
            return false;
        got = recv(fd, bytes, n, 0);
        if (got <= 0)
            return false;
        bytes = (uint8_t *)bytes + got;
        n -= (size_t)got;
    }
    return true;
}

/* The next PDU's type, its body in R; 0 when the connection ended. */
static inline unsigned raw_pdu(int fd, raw *r)
{
    uint8_t head[6];

    r->n = 0;
    if (!raw_receive(fd, head, 6))
        return 0;
    r->n = (size_t)head[2] << 24 | (size_t)head[3] << 16 | (size_t)head[4] << 8 | head[5];
    assert_true(r->n <= sizeof r->at);
    assert_true(raw_receive(fd, r->at, r->n));
    return head[0];
}

/* Has the peer closed, without a word more? */
static inline bool raw_closed(int fd)
{
    uint8_t byte;
    struct pollfd on = {.fd = fd, .events = POLLIN};

    return poll(&on, 1, RAW_MS) > 0 && recv(fd, &byte, 1, 0) <= 0;
}

static inline int raw_dial(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* The command set in the one PDV of the next PDU. */
static inline dv_command raw_answer(int fd, raw *r)
{
    dv_command c;
    dv_error err;

    assert_int_equal(raw_pdu(fd, r), 4);
    assert_int_equal(r->at[5], COMMAND | LAST);
    if (!dv_command_parse(r->at + 6, r->n - 6, &c, &err))
        fail_msg("%s", err.message);
    return c;
}

#endif
