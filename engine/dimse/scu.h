/* scu.h: the DICOM client: association, C-ECHO, C-FIND, C-MOVE, C-GET, C-STORE (PS3.7 9.1).
 *
 *   dv_association *a = dv_associate(&to, contexts, n, &err);  dv_echo(a, &err);  dv_release(a);
 *
 * Errors: NETWORK (cannot connect, connection lost, names host and port), REJECTED (with the peer's reason in plain
 * words and what its administrator must enter; BUSY when it is only for now), UNSUPPORTED (the peer accepted no presentation context for it),
 * TIMEOUT, ABORTED, PEER (a failure status, in hex, with its Error Comment), MALFORMED, CANCELLED.
 * Cancel  `cancel` is looked at while waiting, at least every 200 ms. A C-FIND, C-MOVE or C-GET under way is ended by
 *         C-CANCEL first, and the association stays good when the peer answers that within 2 s.
 * Needs   dv_dimse_setup (scp.h) first; dv_associate does it if nobody has.
 * Threads   an association has one thread at a time; `cancel` may be set from any. */
#ifndef DV_DIMSE_SCU_H
#define DV_DIMSE_SCU_H

#include "base/arena.h"
#include "base/error.h"
#include "base/text.h"
#include "dimse/role.h"
#include "dimse/tls.h"

#include <stdatomic.h>
#include <stddef.h>

typedef struct dv_association dv_association;

typedef struct dv_target {
    const char *host;
    uint16_t port;
    const char *calling, *called;
    int connect_ms, answer_ms; /* 0: 10 s, 60 s; answer_ms is for each response */
    uint32_t max_pdu;          /* 0: DV_MAX_PDU */
    const atomic_bool *cancel; /* checked while waiting; may be NULL */
    const dv_tls *tls;         /* of dv_tls_client; NULL: plain. Borrowed until dv_associate returns */
    bool keep_empty;           /* an association without one accepted context is no failure (probe) */
} dv_target;

/* A presentation context to propose: a class and up to 16 syntaxes. */
typedef struct dv_context_offer {
    const char *sop_class;
    const char *syntaxes[16]; /* NULL-terminated when fewer; none: explicit and implicit little endian */
    dv_role role;
} dv_context_offer;

#define DV_SOP_VERIFICATION "1.2.840.10008.1.1"
#define DV_SOP_STUDY_FIND   "1.2.840.10008.5.1.4.1.2.2.1"
#define DV_SOP_STUDY_MOVE   "1.2.840.10008.5.1.4.1.2.2.2"
#define DV_SOP_STUDY_GET    "1.2.840.10008.5.1.4.1.2.2.3"

/* COUNT 1..128. Fails when not one of the offers is accepted. Strings of TO and OFFERS are copied; `cancel` must
 * outlive the association. */
dv_association *dv_associate(const dv_target *to, const dv_context_offer *offers, size_t count, dv_error *err);
/* Was the class accepted, and in which syntax? Absent if not. */
dv_text dv_accepted_syntax(const dv_association *a, const char *sop_class);
/* What the peer answered to the INDEX-th offer: 0 accepted, 1 refused, 2 without a reason, 3 class, 4 syntaxes not
 * supported; 255: nothing. */
uint8_t dv_offer_result(const dv_association *a, size_t index);

/* What a peer says of itself. */
typedef struct dv_peer_facts {
    char implementation_uid[65], implementation[17]; /* empty: not said */
    uint32_t max_pdu, sent;                          /* the largest PDU it receives, 0: no limit; the largest we send */
} dv_peer_facts;
void dv_association_facts(const dv_association *a, dv_peer_facts *out);
/* Polls: may the idle association be used again? Not after an operation failed half-way, nor when the peer has said
 * anything. */
bool dv_association_is_alive(dv_association *a);
/* For the next operation: each response within ANSWER_MS (0: 60 s), CANCEL looked at while waiting (may be NULL). */
void dv_association_lend(dv_association *a, int answer_ms, const atomic_bool *cancel);
/* Releases or, when that fails, aborts; frees. A may be NULL. */
void dv_release(dv_association *a);
void dv_abort(dv_association *a);

bool dv_echo(dv_association *a, dv_error *err);

/* QUERY is the identifier, encoded in dv_accepted_syntax(a, class). EACH gets each pending answer's identifier in the
 * same syntax, until it returns false: then C-CANCEL is sent and the rest is drained. */
bool dv_find(dv_association *a, const char *sop_class, dv_text query, bool (*each)(void *user, dv_text identifier),
             void *user, dv_error *err);

typedef struct dv_move_result {
    uint16_t status;                           /* the final one */
    int remaining, completed, failed, warning; /* -1: not said */
    dv_text failed_uids; /* (0008,0058) of the final answer, values joined by '\', in ARENA; absent if not sent */
    char comment[65];
} dv_move_result;

/* C-MOVE to DESTINATION. PROGRESS (may be NULL) is called for each pending answer. True when a final answer came,
 * also a warning or failure one: the instances are the proof, never the status. MESSAGE_ID (may be NULL) is what
 * sub-operations will carry. */
bool dv_move(dv_association *a, const char *sop_class, const char *destination, dv_text query, dv_arena *arena,
             void (*progress)(void *user, const dv_move_result *so_far), void *user, dv_move_result *out,
             dv_error *err);
struct dv_scp_callbacks;
struct dv_caller;

/* Who takes what a C-GET brings: as if CALLER had sent it to our server. store_begin, store_data, store_end and store_lost are called. */
typedef struct dv_get_sink {
    const struct dv_scp_callbacks *on;
    struct dv_caller *caller;
} dv_get_sink;

/* C-GET: what QUERY names comes over this association, into SINK, before the final answer; so the storage classes must have been offered with
 * DV_ROLE_SCP (see dv_may_receive). Else as dv_move. */
bool dv_get(dv_association *a, const char *sop_class, dv_text query, const dv_get_sink *sink, dv_arena *arena,
            void (*progress)(void *user, const dv_move_result *so_far), void *user, dv_move_result *out, dv_error *err);
/* How many accepted contexts let the peer send to us: it agreed that we are SCP (PS3.7 D.3.3.4). */
size_t dv_may_receive(const dv_association *a);

/* The message id the next dv_move will use. */
uint16_t dv_next_message_id(const dv_association *a);

/* C-STORE of a dataset whose bytes NEXT gives piece by piece (returns 0 at the end, -1 on failure with its own ERR).
 * *STATUS is the answer's. */
bool dv_store_send(dv_association *a, dv_text sop_class, dv_text sop_instance, dv_text transfer_syntax,
                   ptrdiff_t (*next)(void *user, void *buf, size_t size, dv_error *err), void *user, uint16_t *status,
                   dv_error *err);

#endif
