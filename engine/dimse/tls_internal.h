/* tls_internal.h: TLS on one non-blocking socket, for wire.c, which does the waiting.
 * Threads   one at a time. */
#ifndef DV_DIMSE_TLS_INTERNAL_H
#define DV_DIMSE_TLS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct dv_tls;
typedef struct dv_tls_session dv_tls_session;

/* NAME: the host that a client calls; NULL for a server. NULL: no memory. */
dv_tls_session *dv_tls_open(const struct dv_tls *tls, int fd, const char *name);
/* 1: done. -1 with errno EAGAIN: wait for dv_tls_wants; EPROTO: dv_tls_why. */
int dv_tls_handshake(dv_tls_session *s);
/* As recv and send without waiting: 0 is the end; -1 with errno EAGAIN, EPROTO or the socket's. */
ssize_t dv_tls_read(dv_tls_session *s, void *bytes, size_t n);
ssize_t dv_tls_write(dv_tls_session *s, const void *bytes, size_t n);
short dv_tls_wants(const dv_tls_session *s);
/* Why it failed, in plain words; "" when it has not. */
const char *dv_tls_why(const dv_tls_session *s);
/* The socket has another number now. */
void dv_tls_moved(dv_tls_session *s, int fd);
/* Says goodbye without waiting when POLITE; frees S. */
void dv_tls_close(dv_tls_session *s, bool polite);

#endif
