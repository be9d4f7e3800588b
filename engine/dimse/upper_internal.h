/* upper_internal.h: the DICOM upper layer (PS3.8) as C sees it; DCMTK's ASC_* and DUL_* behind it, and no type of
 * theirs.
 *
 *   dv_upper_accept(fd) -> dv_upper_negotiate -> dv_upper_acknowledge -> dv_upper_next, dv_upper_send -> dv_upper_close
 *   dv_upper_request(fd) ----------------------------------------------> the same
 *
 * The caller makes the TCP connection; DCMTK never listens, resolves, or waits without our deadline.
 * Ends      dv_upper_next says why there is no PDV: a timeout or cancellation while nothing has come leaves the
 *           association usable; every other end is final, and dv_upper_close is all that is left to do.
 * Memory    PDV bytes lie in DCMTK's buffer and live until the next dv_upper_next. dv_upper_close frees all.
 * Threads   one at a time for each association; any number of associations. */
#ifndef DV_DIMSE_UPPER_INTERNAL_H
#define DV_DIMSE_UPPER_INTERNAL_H

#include "dimse/role.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { DV_MAX_CONTEXTS = 128, DV_UID_SIZE = 65, DV_AE_SIZE = 17 };

struct dv_tls;
typedef struct dv_upper dv_upper;

typedef struct dv_pdv {
    const uint8_t *at;
    size_t len;
    uint8_t context;
    bool command, last;
} dv_pdv;

typedef enum dv_upper_end {
    DV_UPPER_OK,
    DV_UPPER_RELEASED, /* the peer asked for it; dv_upper_close answers */
    DV_UPPER_ABORTED,  /* A-ABORT came */
    DV_UPPER_CLOSED,   /* the TCP connection ended */
    DV_UPPER_TIMEOUT,
    DV_UPPER_CANCELLED,
    DV_UPPER_BROKEN /* the peer breaks the protocol, or the network failed; dv_upper_why says how */
} dv_upper_end;

/* Who waits, and who may end the waiting; see wire_internal.h. */
typedef struct dv_upper_cancel {
    bool (*cancelled)(void *user);
    void *user;
    int wake;
} dv_upper_cancel;

/* One presentation context. `syntax` is the accepted one, empty when it was refused or not decided yet. */
typedef struct dv_upper_context {
    uint8_t id;
    char sop_class[DV_UID_SIZE];
    char syntax[DV_UID_SIZE];
    bool provider; /* requested by us, and the peer agreed that we are SCP: it may send in it */
} dv_upper_context;

typedef struct dv_upper_rejection {
    uint8_t result, source, reason; /* PS3.8 9.3.4; result 0: none came */
} dv_upper_rejection;

/* DCMTK's globals, its log into ours, its two network objects; once, before any thread (setup.cc). False: WHY says
 * it. */
bool dv_upper_setup(char *why, size_t size);

/* FIRST (malloc'd, taken) is the whole A-ASSOCIATE-RQ; with TLS it is NULL: first the handshake and the request are
 * waited for, within PDU_MS or until CANCEL. FD is taken. NULL: WHY says it, the connection is closed. */
dv_upper *dv_upper_accept(int fd, uint8_t *first, size_t n, const struct dv_tls *tls, uint32_t max_pdu, int pdu_ms,
                          const dv_upper_cancel *cancel, char *why, size_t size);
const char *dv_upper_calling(const dv_upper *u);
const char *dv_upper_called(const dv_upper *u);
/* Calls ASK for each proposed context: with SYNTAX NULL whether the class is wanted at all (no: refused with "abstract
 * syntax not supported"), then for its syntaxes in the sender's order until it says yes (none: refused with "transfer
 * syntaxes not supported"). Of storage commitment the role of an SCP is granted to whoever asks for it: a peer that
 * reports has it. Returns how many were accepted. */
size_t dv_upper_negotiate(dv_upper *u, bool (*ask)(void *user, const char *sop_class, const char *syntax), void *user);
bool dv_upper_acknowledge(dv_upper *u);
/* Sends an A-ASSOCIATE-RJ. */
void dv_upper_reject(dv_upper *u, uint8_t result, uint8_t source, uint8_t reason);

typedef struct dv_upper_offer {
    const char *sop_class;
    const char *const *syntaxes;
    int count;
    dv_role role;
} dv_upper_offer;

/* Asks for an association over FD (taken), which is connected; TLS (may be NULL) for HOST first. NULL: REJECTION->result is set when the peer said no;
 * else *END and WHY say what happened. */
dv_upper *dv_upper_request(int fd, const struct dv_tls *tls, const char *host, const char *calling, const char *called,
                           const dv_upper_offer *offers, size_t count, uint32_t max_pdu, int answer_ms,
                           const dv_upper_cancel *cancel, dv_upper_rejection *rejection, dv_upper_end *end, char *why,
                           size_t size);

void dv_upper_set_cancel(dv_upper *u, const dv_upper_cancel *cancel);
/* What the peer said of the INDEX-th offer: 0 accepted, 1 refused, 2 without a reason, 3 abstract syntax, 4 transfer syntaxes not
 * supported (PS3.8 9.3.3.2); 255: nothing. */
uint8_t dv_upper_result(const dv_upper *u, size_t index);
/* What the peer says of itself; strings live as long as U. */
typedef struct dv_upper_facts {
    const char *implementation_uid, *implementation; /* empty: not said */
    uint32_t max_pdu;                                /* largest it receives; 0: no limit */
} dv_upper_facts;
dv_upper_facts dv_upper_peer(const dv_upper *u);
/* Accepted contexts, in order of id. */
const dv_upper_context *dv_upper_contexts(const dv_upper *u, size_t *count);
/* NULL: not accepted. */
const dv_upper_context *dv_upper_context_of(const dv_upper *u, uint8_t id);
/* Largest data of one PDV to the peer, even, at least 2. */
size_t dv_upper_room(const dv_upper *u);

/* The next PDV. WAIT_MS for its PDU's first byte, PDU_MS for the rest of it. */
dv_upper_end dv_upper_next(dv_upper *u, int wait_ms, int pdu_ms, dv_pdv *out);
/* One PDV, split as the peer's PDU size asks, one write() a PDU. False: dv_upper_ended says why. */
bool dv_upper_send(dv_upper *u, uint8_t context, bool command, const void *bytes, size_t n, bool last, int ms);
/* How it ended, DV_UPPER_OK while it has not. */
dv_upper_end dv_upper_ended(const dv_upper *u);
const char *dv_upper_why(const dv_upper *u);
/* Has anything come from the peer that nobody waits for? */
bool dv_upper_readable(dv_upper *u);
/* The end: answers a release that came; else with RELEASE asks for one and waits at most MS, and without aborts.
 * Frees U (may be NULL). */
void dv_upper_close(dv_upper *u, bool release, int ms);

#ifdef __cplusplus
}
#endif

#endif
