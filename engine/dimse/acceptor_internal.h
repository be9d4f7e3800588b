/* acceptor_internal.h: the listening socket, and connections until they have said what they want.
 *
 *   accept -> waiting: bytes collected until the A-ASSOCIATE-RQ is whole -> `arrived` (an association thread takes it)
 *                      of a TLS listener: the first byte of a handshake came -> `arrived`, nothing read
 *                      HTTP, TLS on a plain one, noise, too long a PDU, silence           -> closed, one log line
 *                      `arrived` says no                                   -> A-ASSOCIATE-RJ "local limit", closed
 *
 * One thread and epoll for all: a silent connection costs a struct and a descriptor.
 * Threads   dv_acceptor_run is the thread; dv_acceptor_wake and dv_acceptor_stop from any. */
#ifndef DV_DIMSE_ACCEPTOR_INTERNAL_H
#define DV_DIMSE_ACCEPTOR_INTERNAL_H

#include "base/error.h"

#include <netinet/in.h>
#include <stddef.h>

enum {
    DV_LISTEN_BACKLOG = 512,
    DV_MAX_WAITING = 1000, /* connections without an association; beyond, the oldest is closed */
};

typedef struct dv_arrival {
    int fd;
    int place;      /* the listener: 0 is dv_acceptor_open's, then in order of dv_acceptor_add */
    uint8_t *first; /* malloc'd: the whole A-ASSOCIATE-RQ; NULL from a TLS listener */
    size_t n;
    char address[INET6_ADDRSTRLEN]; /* numeric; IPv4 as IPv4 */
} dv_arrival;

typedef struct dv_acceptor_events {
    void *user;
    /* Takes FD and FIRST of ARRIVAL when it returns true; false: rejected as busy. */
    bool (*arrived)(void *user, const dv_arrival *arrival);
    /* After dv_acceptor_wake. */
    void (*woken)(void *user);
} dv_acceptor_events;

typedef struct dv_acceptor dv_acceptor;

/* Listens on HOST (NULL: all addresses, one dual-stack socket) and PORT (0: any). NULL: ERR says what to do. */
dv_acceptor *dv_acceptor_open(const char *host, uint16_t port, int first_pdu_ms, const dv_acceptor_events *events,
                              dv_error *err);
/* Listens there too; before dv_acceptor_run. */
bool dv_acceptor_add(dv_acceptor *a, const char *host, uint16_t port, bool tls, dv_error *err);
uint16_t dv_acceptor_port(const dv_acceptor *a, int place);
/* Returns after dv_acceptor_stop. */
void dv_acceptor_run(dv_acceptor *a);
void dv_acceptor_wake(dv_acceptor *a);
void dv_acceptor_stop(dv_acceptor *a);
/* When dv_acceptor_run has returned. */
void dv_acceptor_free(dv_acceptor *a);

#endif
