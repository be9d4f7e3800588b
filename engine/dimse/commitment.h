/* commitment.h: storage commitment, push model (PS3.4 J, PS3.7 10.1.1 N-EVENT-REPORT, 10.1.4 N-ACTION).
 *
 *   SCU  N-ACTION   transaction, list of (class, instance)  ------------------------------>  SCP, which checks them
 *        <------------------------  transaction, list of committed, list of failed with reasons  N-EVENT-REPORT
 *                                   on the same association while it lasts, else on a new one, opened by the SCP
 *
 * Both sides are here: what the messages carry, asking and reporting over an association of ours (commitment_scu.c), and what our server
 * does with such messages (commitment_scp.c).
 * Memory    what is read lies in the arena given, texts without padding. Threads   as their association. */
#ifndef DV_DIMSE_COMMITMENT_H
#define DV_DIMSE_COMMITMENT_H

#define DV_SOP_COMMITMENT          "1.2.840.10008.1.20.1"
#define DV_SOP_COMMITMENT_INSTANCE "1.2.840.10008.1.20.1.1" /* well-known */

#ifndef __cplusplus
#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"
#include "dimse/scu.h"

/* Why an instance is not committed, (0008,1197) (PS3.3 C.14.1.1). */
enum {
    DV_COMMITTED = 0,
    DV_COMMIT_PROCESSING = 0x0110, /* it came, and is not (or not whole) in the archive */
    DV_COMMIT_NO_INSTANCE = 0x0112,
    DV_COMMIT_CONFLICT = 0x0119, /* it is of another class */
    DV_COMMIT_NO_CLASS = 0x0122,
    DV_COMMIT_DUPLICATE = 0x0131, /* the transaction UID is in use */
    DV_COMMIT_RESOURCES = 0x0213,
};

typedef struct dv_reference {
    dv_text sop_class, sop_instance;
    uint16_t reason; /* in a report: DV_COMMITTED, or why not */
} dv_reference;

typedef struct dv_commitment {
    dv_text transaction;
    dv_reference *references;
    size_t count;
} dv_commitment;

enum { DV_MAX_COMMIT_BYTES = 32 * 1024 * 1024 }; /* 250,000 references */

/* "no such object instance" ... */
const char *dv_commit_reason(uint16_t reason);
/* The data set of a request or a report, in SYNTAX. MALFORMED, VALUE (no transaction; a reference without class or instance), LIMIT. */
bool dv_commitment_read(dv_text bytes, dv_text syntax, dv_arena *arena, dv_commitment *out, dv_error *err);
/* The same as bytes at the end of OUT; a report has its failed references in a sequence of their own. Little endian syntaxes only. */
bool dv_commitment_write(const dv_commitment *c, bool report, dv_text syntax, dv_buffer *out, dv_error *err);

/* Asks the peer of A, which has accepted DV_SOP_COMMITMENT, to commit; true when it took the request. A report that comes before the answer
 * goes to TAKE, and *CAME is true. */
bool dv_commitment_ask(dv_association *a, const dv_commitment *c,
                       uint16_t (*take)(void *user, const dv_commitment *report), void *user, bool *came,
                       dv_error *err);
/* Waits at most MS for a report on A and gives it to TAKE, whose status is answered; *CAME false when none came: A stays good, or (see
 * dv_association_is_alive) the peer has released it. */
bool dv_commitment_await(dv_association *a, int ms, uint16_t (*take)(void *user, const dv_commitment *report),
                         void *user, bool *came, dv_error *err);
/* Reports over A, on which we proposed to be SCP. PEER when it answers with a failure. */
bool dv_commitment_report(dv_association *a, const dv_commitment *report, dv_error *err);
#endif

#endif
