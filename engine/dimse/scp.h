/* scp.h: the DICOM server: acceptor, associations, C-ECHO and C-STORE (PS3.7 9.1, PS3.8).
 *
 *   acceptor thread   listen, host check, limits, first PDU or deadline: a silent socket costs no thread
 *   association       a thread each: commands parsed by our index, dataset bytes handed on as they come
 *
 * The callbacks run in the association's thread. No DIMSE_* function, no dcmdata; DCMTK gives the upper layer only.
 * Threads   dv_scp_start makes its own; dv_scp_stop may be called from any. */
#ifndef DV_DIMSE_SCP_H
#define DV_DIMSE_SCP_H

#include "base/arena.h"
#include "base/error.h"
#include "base/text.h"
#include "dimse/tls.h"

/* Sets DCMTK's globals, routes its log to ours, ignores SIGPIPE; once, before any thread and before anything else of
 * dimse/. */
bool dv_dimse_setup(dv_error *err);

typedef struct dv_scp dv_scp;

/* An association as the callbacks see it; strings live as long as it. */
typedef struct dv_caller {
    const char *calling, *called; /* AE titles without padding */
    const char *address;          /* numeric, from our accept() */
    const char *ours;             /* the AE title of the listener it came to; NULL: the first one's */
    bool tls;
    void *user; /* what `admit` put there */
} dv_caller;

typedef enum dv_admit { DV_ADMIT, DV_ADMIT_UNKNOWN_CALLING, DV_ADMIT_UNKNOWN_CALLED, DV_ADMIT_BUSY } dv_admit;

/* Texts live until store_end or store_lost; without padding. A class or instance that the command lacks is absent:
 * the data set has it. */
typedef struct dv_store_request {
    dv_text sop_class, sop_instance, transfer_syntax;
    uint16_t message_id;
    dv_text move_originator; /* (0000,1030), absent unless a C-MOVE's sub-operation */
    uint16_t move_message_id;
} dv_store_request;

typedef struct dv_store_answer {
    uint16_t status;  /* 0x0000, 0xB000, 0xA700, 0xC000 ... */
    char comment[65]; /* Error Comment (0000,0902), empty: left out */
} dv_store_answer;

struct dv_commitment; /* commitment.h */

/* Storage commitment, both ways. */
typedef struct dv_commit_events {
    /* CALLER asks for a commitment. Returns the answer's status. *HERE: its report is to go out on this association, while it lasts. */
    uint16_t (*asked)(void *user, dv_caller *caller, const struct dv_commitment *request, bool *here);
    /* Is a report ready that is to go out here? In ARENA, with an ID of the callee's. Asked every 100 ms or so. */
    bool (*due)(void *user, dv_caller *caller, dv_arena *arena, struct dv_commitment *report, int64_t *id);
    /* The peer has answered that report with STATUS. Of one that was never answered `leave` tells. */
    void (*delivered)(void *user, dv_caller *caller, int64_t id, uint16_t status);
    /* CALLER reports what we had asked it for. Returns the answer's status. */
    uint16_t (*told)(void *user, dv_caller *caller, const struct dv_commitment *report);
} dv_commit_events;

typedef struct dv_scp_callbacks {
    void *user;
    /* May CALLER associate? CALLER->user may be set. Only those admitted leave. */
    dv_admit (*admit)(void *user, dv_caller *caller);
    /* Is the class in this syntax wanted? Asked first with an absent syntax: is the class wanted at all; then in the
     * sender's order, the first yes wins. Verification is not asked about. */
    bool (*accept)(void *user, const dv_caller *caller, dv_text sop_class, dv_text transfer_syntax);
    /* A store begins. NULL: ANSWER is sent and the dataset's bytes are dropped. */
    void *(*store_begin)(void *user, dv_caller *caller, const dv_store_request *rq, dv_store_answer *answer);
    /* Bytes of the dataset, never none; borrowed for the call. False: the rest is dropped, ANSWER of store_end is
     * sent. */
    bool (*store_data)(void *instance, const void *bytes, size_t n);
    /* All bytes are here; fills ANSWER. The instance is the callee's to free. */
    void (*store_end)(void *instance, dv_store_answer *answer);
    /* The association was lost in the middle; frees the instance. */
    void (*store_lost)(void *instance);
    /* The association ends, whatever way. */
    void (*leave)(void *user, dv_caller *caller);
    const dv_commit_events *commit; /* NULL: storage commitment is refused */
} dv_scp_callbacks;

/* Another place to listen; one limit counts the associations of all. Strings and TLS are borrowed until dv_scp_stop. */
typedef struct dv_scp_listener {
    const char *host; /* NULL: every address */
    uint16_t port;
    const char *aet;   /* what it is called there */
    const dv_tls *tls; /* of dv_tls_server; NULL: plain */
} dv_scp_listener;

enum { DV_MAX_LISTENERS = 15 };

/* "PORT AET [tls]; HOST:PORT AET; [IPv6]:PORT AET tls": at most DV_MAX_LISTENERS into OUT, strings in ARENA; SECURE is
 * the TLS of those that say so. CONFIG names what is wrong. */
bool dv_scp_listeners_of(const char *text, const dv_tls *secure, dv_arena *arena, dv_scp_listener *out, size_t *count,
                         dv_error *err);
/* Does one of TEXT's say tls? */
bool dv_scp_listeners_need_tls(const char *text);

typedef struct dv_scp_options {
    const char *host;     /* NULL: every address, IPv4 and IPv6 */
    uint16_t port;        /* 0: any free one, see dv_scp_port */
    int max_associations; /* 0: no limit */
    uint32_t max_pdu;     /* 0: DV_MAX_PDU; clamped to 4096..DV_MAX_PDU, said in the log */
    /* Deadlines: the association request; between messages; within a PDU or a message. 0: 10 s, 600 s, 60 s. */
    int first_pdu_ms, idle_ms, pdu_ms;
    const dv_scp_listener *more; /* MORE_COUNT listeners beside the first */
    size_t more_count;
} dv_scp_options;

/* Listens (after dv_dimse_setup); OPTIONS and CALLBACKS are copied. NULL with "port 11112 is taken ..." and what to
 * do. */
dv_scp *dv_scp_start(const dv_scp_options *options, const dv_scp_callbacks *callbacks, dv_error *err);
uint16_t dv_scp_port(const dv_scp *scp);
/* Of `more[i]`. */
uint16_t dv_scp_more_port(const dv_scp *scp, size_t i);
int dv_scp_associations(const dv_scp *scp);
/* No new association; those between messages are aborted at once, the others when their message has been answered or
 * GRACE_MS is over. Waits for their threads, frees SCP (may be NULL). Not from a callback. */
void dv_scp_stop(dv_scp *scp, int grace_ms);
/* The first half of it: nobody associates any more, idle associations are aborted, instances on their way go on. Returns at once. */
void dv_scp_drain(dv_scp *scp);
/* Changes what OPTIONS said, from the next association or message on; 0 as there. */
void dv_scp_adjust(dv_scp *scp, int max_associations, int idle_ms, int pdu_ms);

#endif
