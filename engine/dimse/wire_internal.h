/* wire_internal.h: one connected socket with patience: a deadline, and someone who may cancel.
 *
 *   peer -> kernel -> [ buffer, 16 KB ] -> DUL: head of a PDU (6 bytes), then its body
 *                  \________________________/    a read takes what it asked for and the buffer's fill in one readv
 *   DUL: head of a P-DATA-TF (12 bytes), held back -> joined with the data -> one sendmsg -> peer
 *
 * Why        a small instance costs one read and its answer one write; TCP_QUICKACK before each read and TCP_NODELAY
 *            keep a stock peer (Nagle on, two writes a PDU) from waiting 40 ms for our delayed acknowledgement.
 * TLS        with a session, bytes go through it; every wait still has our deadline and canceller (tls_internal.h).
 * Time       deadlines are monotonic and absolute. `cancelled` is asked before each wait; who has no descriptor to
 *            wake it (`wake`) is asked every 200 ms.
 * Memory     the struct is its owner's; `first` is malloc'd and freed by the wire.
 * Threads    one at a time; `cancelled` reads what others write. */
#ifndef DV_DIMSE_WIRE_INTERNAL_H
#define DV_DIMSE_WIRE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { DV_WIRE_BUFFER = 16 * 1024, DV_WIRE_SLICE_MS = 200, DV_WIRE_LINGER_MS = 300 };

typedef enum dv_wire_state {
    DV_WIRE_OK,
    DV_WIRE_CLOSED,
    DV_WIRE_TIMEOUT,
    DV_WIRE_CANCELLED,
    DV_WIRE_FAILED
} dv_wire_state;

struct dv_tls;
struct dv_tls_session;

typedef struct dv_wire {
    int fd;                        /* -1 when closed */
    dv_wire_state state;           /* the first failure of a read or write; it stays */
    int error;                     /* errno of DV_WIRE_FAILED */
    int64_t deadline;              /* monotonic ms */
    bool (*cancelled)(void *user); /* NULL: nobody cancels */
    void *user;
    int wake;         /* readable when `cancelled` may have become true; -1: none */
    bool reset;       /* a failure here must tell the peer by an A-ABORT when the wire closes */
    bool torn;        /* a PDU was written in part: an A-ABORT would be read as its data */
    uint8_t head[12]; /* of a P-DATA-TF that waits for its data */
    size_t head_len;
    const uint8_t *at; /* received and not yet read: `left` bytes, in `buffer` or `first` */
    size_t left;
    struct dv_tls_session *tls; /* NULL: plain */
    bool (*before)(struct dv_wire *w); /* asked once, before the first read of dv_connection; NULL: nothing to ask */
    char why[400];              /* what TLS said of DV_WIRE_FAILED; survives the session */
    uint8_t *first;             /* what the acceptor had read before we took over */
    uint8_t buffer[DV_WIRE_BUFFER];
} dv_wire;

/* Takes FD: non-blocking, TCP_NODELAY. */
void dv_wire_init(dv_wire *w, int fd);
/* N bytes that were already received; BYTES is taken (free). */
void dv_wire_preload(dv_wire *w, uint8_t *bytes, size_t n);
/* TLS from here on: the handshake, within the deadline. NAME: whom we call; NULL: we were called. */
dv_wire_state dv_wire_secure(dv_wire *w, const struct dv_tls *tls, const char *name);
/* The socket was given the number FD. */
void dv_wire_moved(dv_wire *w, int fd);
/* The deadline becomes now + MS. */
void dv_wire_patience(dv_wire *w, int ms);
/* Waits until a byte can be read. TIMEOUT and CANCELLED leave the wire usable; CLOSED and FAILED are also its state. */
dv_wire_state dv_wire_wait(dv_wire *w);
/* Is something to be read (or the peer gone) right now? */
bool dv_wire_readable(dv_wire *w);
/* 1..N bytes; 0 closed; -1 with `state` set. */
ssize_t dv_wire_read(dv_wire *w, void *bytes, size_t n);
/* All N bytes, or -1 with `state` set. */
ssize_t dv_wire_write(dv_wire *w, const void *bytes, size_t n);
/* Sends an A-ABORT (PS3.8 9.3.8) without waiting, SOURCE 0 is the user, 2 the provider. */
void dv_wire_abort(dv_wire *w, uint8_t source, uint8_t reason);
/* Closes; LINGER waits a little for the peer to read what was last sent: a close over unread bytes is a reset, which
 * would overtake it. May be called again. */
void dv_wire_close(dv_wire *w, bool linger);

#ifdef __cplusplus
}
#endif

#endif
