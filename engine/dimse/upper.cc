/* upper.cc: associations over ASC_* and DUL_*.
 *
 * 1. A dv_upper owns its wire, its T_ASC_Association and, through that, the dv_connection. The wire outlives the
 *    connection: DUL deletes that at the first failed read, and the wire still knows why.
 * 2. dcmExternalSocketHandle is set only with `handle_lock` held, from just before ASC_receiveAssociation until our
 *    layer has made the connection from it: microseconds.
 * 3. `end` is set once; afterwards nothing is read or sent but what dv_upper_close does.
 * 4. The PDVs of a PDU are walked here, not by DUL_NextPDV: 3.6.7 steps over a PDV by the length of the one behind
 *    it, so that the third of unequal ones is read from a wrong place, with a length that may lead out of its buffer.
 *    DUL_ReadPDVs has checked that the lengths add up to the PDU's. */
#include "dimse/upper.h"
#include "dimse/upper_internal.h"

extern "C" {
#include "dimse/associate_internal.h"
#include "dimse/commitment.h"
}

#include "dcmtk/dcmnet/cond.h"
#include "dcmtk/dcmnet/dul.h"
#include "dcmtk/dcmnet/dulstruc.h"
#include "dcmtk/dcmnet/lst.h"

#include <arpa/inet.h>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <sys/socket.h>
#include <unistd.h>

struct dv_upper {
    dv_wire wire;
    T_ASC_Association *association = nullptr;
    dv_upper_end end = DV_UPPER_OK;
    char why[400] = "";
    char calling[DV_AE_SIZE] = "", called[DV_AE_SIZE] = "";
    dv_upper_context contexts[DV_MAX_CONTEXTS];
    size_t count = 0;
    uint8_t results[DV_MAX_CONTEXTS] = {}; /* of our offers; see dv_upper_result */
    size_t room = 0;
    const uint8_t *pdv = nullptr; /* the next one of the PDU received last, and how many there are */
    int pdvs = 0;
};

namespace
{
std::mutex handle_lock;

void handle_taken()
{
    dcmExternalSocketHandle.set(-1);
    handle_lock.unlock();
}

void copy(char *to, size_t size, const char *from)
{
    while (*from == ' ')
        from++;
    snprintf(to, size, "%s", from);
    for (size_t n = strlen(to); n > 0 && to[n - 1] == ' '; n--)
        to[n - 1] = '\0';
}

dv_upper_end ended(dv_upper *u, dv_upper_end end, const char *why)
{
    if (u->end == DV_UPPER_OK) {
        u->end = end;
        snprintf(u->why, sizeof u->why, "%s", why);
        for (char *p = u->why; *p; p++) /* DCMTK's texts have line ends */
            if (*p == '\n')
                *p = ' ';
    }
    return u->end;
}

/* Why a call of DCMTK's failed: what the wire saw, else its condition. */
dv_upper_end ended_by(dv_upper *u, const OFCondition &cond)
{
    switch (u->wire.state) {
    case DV_WIRE_TIMEOUT:
        return ended(u, DV_UPPER_TIMEOUT, "the peer stopped in the middle of a PDU");
    case DV_WIRE_CANCELLED:
        return ended(u, DV_UPPER_CANCELLED, "cancelled");
    case DV_WIRE_CLOSED:
        return ended(u, DV_UPPER_CLOSED, "the peer closed the connection");
    case DV_WIRE_FAILED:
        return ended(u, DV_UPPER_BROKEN, u->wire.why[0] ? u->wire.why : strerror(u->wire.error));
    case DV_WIRE_OK:
        break;
    }
    if (cond == DUL_READTIMEOUT)
        return ended(u, DV_UPPER_TIMEOUT, "the peer did not answer in time");
    if (cond == DUL_PEERREQUESTEDRELEASE)
        return ended(u, DV_UPPER_RELEASED, "released");
    if (cond == DUL_PEERABORTEDASSOCIATION)
        return ended(u, DV_UPPER_ABORTED, "the peer aborted the association");
    return ended(u, DV_UPPER_BROKEN, cond.text());
}

/* A call of DCMTK's, in which memory may run out: it checks what malloc gives it, and knows nothing of what `new` throws. Then what it had made so
 * far leaks, and the association ends. */
template <typename Call> OFCondition guarded(Call call)
{
    try {
        return call();
    } catch (const std::bad_alloc &) {
        return EC_MemoryExhausted;
    }
}

/* Everything but the struct's memory. */
void drop(dv_upper *u)
{
    if (u->association) {
        guarded([u] { return ASC_dropAssociation(u->association); });
        guarded([u] { return ASC_destroyAssociation(&u->association); });
    }
    dv_wire_close(&u->wire, false);
}

/* Data bytes of a PDV that the peer takes: its PDU without 12 bytes of heads. */
void set_room(dv_upper *u)
{
    unsigned long most = u->association->params->theirMaxPDUReceiveSize;

    if (most == 0 || most > ASC_MAXIMUMPDUSIZE)
        most = ASC_MAXIMUMPDUSIZE;
    u->room = most < 14 ? 2 : (most - 12) & ~1ul;
}
} // namespace

/* All N bytes, or what the wire or the peer did instead. */
static bool read_all(dv_wire *w, uint8_t *to, size_t n)
{
    while (n > 0) {
        ssize_t got = dv_wire_read(w, to, n);

        if (got <= 0)
            return false;
        to += got;
        n -= static_cast<size_t>(got);
    }
    return true;
}

/* What the acceptor does for plain connections: the whole request, checked before DCMTK sees it. */
static bool read_request(dv_upper *u)
{
    uint8_t head[DV_PDU_HEAD], *pdu;
    size_t total = 0;
    const char *reason = "";

    if (!read_all(&u->wire, head, sizeof head)) {
        ended_by(u, DUL_NETWORKCLOSED);
        return false;
    }
    if (dv_associate_first(head, sizeof head, &total) != DV_FIRST_ASSOCIATE) {
        ended(u, DV_UPPER_BROKEN, "it does not begin with an association request");
        return false;
    }
    pdu = static_cast<uint8_t *>(malloc(total));
    if (!pdu) {
        ended(u, DV_UPPER_BROKEN, "out of memory");
        return false;
    }
    memcpy(pdu, head, sizeof head);
    if (!read_all(&u->wire, pdu + sizeof head, total - sizeof head)) {
        ended_by(u, DUL_NETWORKCLOSED);
        free(pdu);
        return false;
    }
    if (!dv_associate_check(pdu, total, &reason)) {
        ended(u, DV_UPPER_BROKEN, reason);
        free(pdu);
        return false;
    }
    if (u->wire.left > 0) { /* nothing may follow the request before our answer */
        ended(u, DV_UPPER_BROKEN, "bytes follow the association request");
        free(pdu);
        return false;
    }
    dv_wire_preload(&u->wire, pdu, total);
    return true;
}

/* The answer to a request of ours, looked at before DCMTK sees it; its bytes and those behind it are given back to the wire. */
static bool check_answer(dv_wire *w)
{
    uint8_t head[DV_PDU_HEAD], *all;
    size_t total = sizeof head, behind;
    const char *why = "";

    if (!read_all(w, head, sizeof head))
        return false;
    if (head[0] == 2)
        total += static_cast<size_t>(head[2]) << 24 | static_cast<size_t>(head[3]) << 16 |
                 static_cast<size_t>(head[4]) << 8 | head[5];
    all = total <= DV_MAX_ASSOCIATE ? static_cast<uint8_t *>(malloc(total + DV_WIRE_BUFFER)) : nullptr;
    if (!all) {
        why = "it is too long";
    } else {
        memcpy(all, head, sizeof head);
        if (!read_all(w, all + sizeof head, total - sizeof head)) {
            free(all);
            return false;
        }
        if (head[0] != 2 || dv_associate_check(all, total, &why)) {
            behind = w->left;
            if (behind)
                memcpy(all + total, w->at, behind);
            dv_wire_preload(w, all, total + behind);
            return true;
        }
        free(all);
    }
    snprintf(w->why, sizeof w->why, "its answer to the association request is malformed: %s", why);
    w->state = DV_WIRE_FAILED;
    return false;
}

dv_upper *dv_upper_accept(int fd, uint8_t *first, size_t n, const struct dv_tls *tls, uint32_t max_pdu, int pdu_ms,
                          const dv_upper_cancel *cancel, char *why, size_t size)
{
    dv_upper *u = new (std::nothrow) dv_upper;

    if (!u) {
        free(first);
        close(fd);
        snprintf(why, size, "out of memory");
        return nullptr;
    }
    dv_wire_init(&u->wire, fd);
    dv_upper_set_cancel(u, cancel);
    dv_wire_patience(&u->wire, pdu_ms);
    if (!tls) {
        dv_wire_preload(&u->wire, first, n);
    } else if (dv_wire_secure(&u->wire, tls, nullptr) != DV_WIRE_OK || !read_request(u)) {
        if (u->end == DV_UPPER_OK)
            ended_by(u, DUL_NETWORKCLOSED);
        snprintf(why, size, "%s", u->why);
        drop(u);
        delete u;
        return nullptr;
    }
    fd = u->wire.fd;

    handle_lock.lock();
    dcmExternalSocketHandle.set(fd);
    dv_next_wire.wire = &u->wire;
    dv_next_wire.taken = handle_taken;
    OFCondition cond = guarded([=] {
        return ASC_receiveAssociation(dv_acceptor_network, &u->association, max_pdu, nullptr, nullptr, OFFalse,
                                      DUL_BLOCK, 0);
    });
    if (dv_next_wire.wire) { /* it never got to our layer: the peer was gone already */
        dv_next_wire = dv_handoff();
        handle_taken();
    }
    if (cond.bad()) {
        snprintf(why, size, "%s", cond.text());
        drop(u);
        delete u;
        return nullptr;
    }
    copy(u->calling, sizeof u->calling, u->association->params->DULparams.callingAPTitle);
    copy(u->called, sizeof u->called, u->association->params->DULparams.calledAPTitle);
    return u;
}

const char *dv_upper_calling(const dv_upper *u)
{
    return u->calling;
}

const char *dv_upper_called(const dv_upper *u)
{
    return u->called;
}

/* The lists are walked here: ASC_getPresentationContext fails beyond 50 transfer syntaxes. */
static const char *choose(DUL_PRESENTATIONCONTEXT *pc, bool (*ask)(void *, const char *, const char *), void *user,
                          bool *known)
{
    char sop_class[DV_UID_SIZE], syntax[DV_UID_SIZE];

    copy(sop_class, sizeof sop_class, pc->abstractSyntax);
    *known = ask(user, sop_class, nullptr);
    if (!*known || !pc->proposedTransferSyntax)
        return nullptr;
    auto *ts = reinterpret_cast<DUL_TRANSFERSYNTAX *>(LST_Head(&pc->proposedTransferSyntax));
    if (ts)
        LST_Position(&pc->proposedTransferSyntax, reinterpret_cast<LST_NODE *>(ts));
    for (; ts; ts = reinterpret_cast<DUL_TRANSFERSYNTAX *>(LST_Next(&pc->proposedTransferSyntax))) {
        copy(syntax, sizeof syntax, ts->transferSyntax);
        if (ask(user, sop_class, syntax))
            return ts->transferSyntax;
    }
    return nullptr;
}

size_t dv_upper_negotiate(dv_upper *u, bool (*ask)(void *user, const char *sop_class, const char *syntax), void *user)
{
    T_ASC_Parameters *params = u->association->params;
    LST_HEAD **list = &params->DULparams.requestedPresentationContext;
    DUL_PRESENTATIONCONTEXT *proposed[256] = {};

    u->count = 0;
    if (!*list)
        return 0;
    /* First collected by id: accepting walks the same list, which has but one position. Of two with one id the first
     * counts. */
    auto *pc = reinterpret_cast<DUL_PRESENTATIONCONTEXT *>(LST_Head(list));
    if (pc)
        LST_Position(list, reinterpret_cast<LST_NODE *>(pc));
    for (; pc; pc = reinterpret_cast<DUL_PRESENTATIONCONTEXT *>(LST_Next(list)))
        if (!proposed[pc->presentationContextID])
            proposed[pc->presentationContextID] = pc;

    for (int id = 0; id < 256; id++) {
        if (!proposed[id])
            continue;
        bool known = false;
        const char *syntax = id % 2 ? choose(proposed[id], ask, user, &known) : nullptr;
        auto number = static_cast<T_ASC_PresentationContextID>(id);
        T_ASC_SC_ROLE role =
            strcmp(proposed[id]->abstractSyntax, DV_SOP_COMMITMENT) == 0 ? ASC_SC_ROLE_SCUSCP : ASC_SC_ROLE_DEFAULT;
        if (syntax &&
            guarded([=] { return ASC_acceptPresentationContext(params, number, syntax, role, OFTrue); }).good()) {
            dv_upper_context *c = &u->contexts[u->count++];
            c->id = number;
            copy(c->sop_class, sizeof c->sop_class, proposed[id]->abstractSyntax);
            copy(c->syntax, sizeof c->syntax, syntax);
        } else {
            guarded([=] {
                return ASC_refusePresentationContext(params, number,
                                                     known || id % 2 == 0 ? ASC_P_TRANSFERSYNTAXESNOTSUPPORTED
                                                                          : ASC_P_ABSTRACTSYNTAXNOTSUPPORTED);
            });
        }
    }
    return u->count;
}

bool dv_upper_acknowledge(dv_upper *u)
{
    OFCondition cond = guarded([u] { return ASC_acknowledgeAssociation(u->association); });

    if (cond.bad()) {
        ended_by(u, cond);
        return false;
    }
    set_room(u);
    return true;
}

void dv_upper_reject(dv_upper *u, uint8_t result, uint8_t source, uint8_t reason)
{
    DUL_ABORTITEMS items;

    items.result = result;
    items.source = source;
    items.reason = reason;
    guarded([&] { return DUL_RejectAssociationRQ(&u->association->DULassociation, &items, 0); });
    dv_wire_close(&u->wire, true);
    ended(u, DV_UPPER_CLOSED, "rejected");
}

/* DCMTK only ever connects by itself: IPv4, whole seconds, not to be cancelled, one address of a name. So it connects
 * to this listener on the loopback, and our layer puts the real connection, made by us, under the descriptor that it
 * got (dup2). */
static int stand_in = -1;
static char stand_in_address[32];

bool dv_stand_in_open(char *why, size_t size)
{
    struct sockaddr_in at = {};
    socklen_t length = sizeof at;

    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    stand_in = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (stand_in < 0 || bind(stand_in, reinterpret_cast<sockaddr *>(&at), sizeof at) || listen(stand_in, 128) ||
        getsockname(stand_in, reinterpret_cast<sockaddr *>(&at), &length)) {
        snprintf(why, size, "cannot listen on the loopback: %s", strerror(errno));
        return false;
    }
    snprintf(stand_in_address, sizeof stand_in_address, "127.0.0.1:%u", ntohs(at.sin_port));
    return true;
}

static T_ASC_SC_ROLE role_of(dv_role role)
{
    return role == DV_ROLE_SCP ? ASC_SC_ROLE_SCP : role == DV_ROLE_BOTH ? ASC_SC_ROLE_SCUSCP : ASC_SC_ROLE_DEFAULT;
}

static bool was_offered(const dv_upper_offer *offer, const char *syntax)
{
    for (int i = 0; i < offer->count; i++)
        if (strcmp(offer->syntaxes[i], syntax) == 0)
            return true;
    return false;
}

static void read_accepted(dv_upper *u, const dv_upper_offer *offers, size_t count)
{
    LST_HEAD **list = &u->association->params->DULparams.acceptedPresentationContext;

    memset(u->results, 255, sizeof u->results);
    if (!*list)
        return;
    auto *pc = reinterpret_cast<DUL_PRESENTATIONCONTEXT *>(LST_Head(list));
    if (pc)
        LST_Position(list, reinterpret_cast<LST_NODE *>(pc));
    for (; pc && u->count < DV_MAX_CONTEXTS; pc = reinterpret_cast<DUL_PRESENTATIONCONTEXT *>(LST_Next(list))) {
        size_t index = pc->presentationContextID / 2u;
        dv_upper_context *c = &u->contexts[u->count];

        if (pc->presentationContextID % 2 == 0 || index >= count)
            continue;
        u->results[index] = pc->result;
        if (pc->result != DUL_PRESENTATION_ACCEPT)
            continue;
        c->id = pc->presentationContextID;
        copy(c->sop_class, sizeof c->sop_class, offers[index].sop_class);
        copy(c->syntax, sizeof c->syntax, pc->acceptedTransferSyntax);
        c->provider = pc->acceptedSCRole == DUL_SC_ROLE_SCP || pc->acceptedSCRole == DUL_SC_ROLE_SCUSCP;
        if (was_offered(&offers[index], c->syntax))
            u->count++;
    }
}

/* What an association is asked for. */
static OFCondition describe(T_ASC_Parameters **params, const char *calling, const char *called,
                            const dv_upper_offer *offers, size_t count, uint32_t max_pdu)
{
    OFCondition cond = ASC_createAssociationParameters(params, static_cast<long>(max_pdu));

    if (cond.good())
        cond = ASC_setAPTitles(*params, calling, called, nullptr);
    if (cond.good())
        cond = ASC_setPresentationAddresses(*params, "localhost", stand_in_address);
    for (size_t i = 0; i < count && cond.good(); i++)
        cond = ASC_addPresentationContext(*params, static_cast<T_ASC_PresentationContextID>(2 * i + 1),
                                          offers[i].sop_class, const_cast<const char **>(offers[i].syntaxes),
                                          offers[i].count, role_of(offers[i].role));
    return cond;
}

dv_upper *dv_upper_request(int fd, const struct dv_tls *tls, const char *host, const char *calling, const char *called,
                           const dv_upper_offer *offers, size_t count, uint32_t max_pdu, int answer_ms,
                           const dv_upper_cancel *cancel, dv_upper_rejection *rejection, dv_upper_end *end, char *why,
                           size_t size)
{
    dv_upper *u = new (std::nothrow) dv_upper;
    T_ASC_Parameters *params = nullptr;
    OFCondition cond;

    rejection->result = 0;
    *end = DV_UPPER_BROKEN;
    if (!u) {
        close(fd);
        snprintf(why, size, "out of memory");
        return nullptr;
    }
    dv_wire_init(&u->wire, fd);
    dv_upper_set_cancel(u, cancel);
    dv_wire_patience(&u->wire, answer_ms);
    u->wire.before = check_answer;
    snprintf(u->calling, sizeof u->calling, "%s", calling);
    snprintf(u->called, sizeof u->called, "%s", called);
    if (tls && dv_wire_secure(&u->wire, tls, host) != DV_WIRE_OK) {
        *end = ended_by(u, DUL_NETWORKCLOSED);
        snprintf(why, size, "%s", u->why);
        drop(u);
        delete u;
        return nullptr;
    }

    cond = guarded([&] { return describe(&params, calling, called, offers, count, max_pdu); });
    if (cond.good()) {
        dv_next_wire.wire = &u->wire;
        cond = guarded([&] {
            return ASC_requestAssociation(dv_requestor_network, params, &u->association, nullptr, nullptr, DUL_BLOCK,
                                          0);
        });
        dv_next_wire = dv_handoff();
        for (int other; (other = accept4(stand_in, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;)
            close(other);
    }
    if (cond.bad()) {
        if (cond == DUL_ASSOCIATIONREJECTED) {
            T_ASC_RejectParameters said = {};
            ASC_getRejectParameters(params, &said);
            rejection->result = static_cast<uint8_t>(said.result);
            rejection->source = static_cast<uint8_t>(static_cast<unsigned>(said.reason) >> 8);
            rejection->reason = static_cast<uint8_t>(said.reason);
        }
        *end = ended_by(u, cond);
        snprintf(why, size, "%s", u->why);
        if (tls && *end == DV_UPPER_CLOSED) { /* TLS 1.3: it looks at our certificate after our handshake has ended */
            *end = DV_UPPER_BROKEN;
            snprintf(why, size,
                     "TLS: the peer closed the connection after the handshake; it may want a certificate of ours "
                     "(dimse.tls_cert), or refuse it");
        }
        if (!u->association && params)
            ASC_destroyAssociationParameters(&params);
        u->wire.reset = u->wire.state == DV_WIRE_OK && !rejection->result;
        drop(u);
        delete u;
        return nullptr;
    }
    set_room(u);
    read_accepted(u, offers, count);
    return u;
}

void dv_upper_set_cancel(dv_upper *u, const dv_upper_cancel *cancel)
{
    u->wire.cancelled = cancel ? cancel->cancelled : nullptr;
    u->wire.user = cancel ? cancel->user : nullptr;
    u->wire.wake = cancel ? cancel->wake : -1;
}

const dv_upper_context *dv_upper_contexts(const dv_upper *u, size_t *count)
{
    *count = u->count;
    return u->contexts;
}

const dv_upper_context *dv_upper_context_of(const dv_upper *u, uint8_t id)
{
    for (size_t i = 0; i < u->count; i++)
        if (u->contexts[i].id == id)
            return &u->contexts[i];
    return nullptr;
}

uint8_t dv_upper_result(const dv_upper *u, size_t index)
{
    return index < DV_MAX_CONTEXTS ? u->results[index] : 255;
}

dv_upper_facts dv_upper_peer(const dv_upper *u)
{
    const T_ASC_Parameters *p = u->association->params;

    return {p->theirImplementationClassUID, p->theirImplementationVersionName,
            static_cast<uint32_t>(p->theirMaxPDUReceiveSize)};
}

size_t dv_upper_room(const dv_upper *u)
{
    return u->room;
}

static void take_pdv(dv_upper *u, dv_pdv *out)
{
    const uint8_t *p = u->pdv;
    size_t length =
        static_cast<size_t>(p[0]) << 24 | static_cast<size_t>(p[1]) << 16 | static_cast<size_t>(p[2]) << 8 | p[3];

    out->context = p[4];
    out->command = p[5] & 1;
    out->last = p[5] & 2;
    out->at = p + 6;
    out->len = length - 2;
    u->pdv = p + 4 + length;
    u->pdvs--;
}

dv_upper_end dv_upper_next(dv_upper *u, int wait_ms, int pdu_ms, dv_pdv *out)
{
    while (u->end == DV_UPPER_OK) {
        if (u->pdvs > 0) {
            take_pdv(u, out);
            return DV_UPPER_OK;
        }
        dv_wire_patience(&u->wire, wait_ms);
        switch (dv_wire_wait(&u->wire)) {
        case DV_WIRE_TIMEOUT:
            return DV_UPPER_TIMEOUT;
        case DV_WIRE_CANCELLED:
            return DV_UPPER_CANCELLED;
        default:
            break; /* closed or failed: DUL finds out for itself and keeps its states */
        }
        dv_wire_patience(&u->wire, pdu_ms);
        OFCondition cond =
            guarded([u] { return DUL_ReadPDVs(&u->association->DULassociation, nullptr, DUL_BLOCK, 0); });
        if (cond != DUL_PDATAPDUARRIVED)
            return ended_by(u, cond);
        auto *key = static_cast<PRIVATE_ASSOCIATIONKEY *>(u->association->DULassociation);
        u->pdv = key->fragmentBuffer;
        u->pdvs = key->pdvCount;
    }
    return u->end;
}

bool dv_upper_send(dv_upper *u, uint8_t context, bool command, const void *bytes, size_t n, bool last, int ms)
{
    DUL_PDV pdv;
    DUL_PDVLIST list = {};

    if (u->end != DV_UPPER_OK)
        return false;
    pdv.fragmentLength = n;
    pdv.presentationContextID = context;
    pdv.pdvType = command ? DUL_COMMANDPDV : DUL_DATASETPDV;
    pdv.lastPDV = last;
    pdv.data = const_cast<void *>(bytes);
    list.count = 1;
    list.pdv = &pdv;
    dv_wire_patience(&u->wire, ms);
    OFCondition cond = guarded([&] { return DUL_WritePDVs(&u->association->DULassociation, &list); });
    if (cond.bad())
        ended_by(u, cond);
    return cond.good();
}

dv_upper_end dv_upper_ended(const dv_upper *u)
{
    return u->end;
}

const char *dv_upper_why(const dv_upper *u)
{
    return u->why;
}

bool dv_upper_readable(dv_upper *u)
{
    return u->end != DV_UPPER_OK || dv_wire_readable(&u->wire);
}

void dv_upper_close(dv_upper *u, bool release, int ms)
{
    if (!u)
        return;
    u->wire.cancelled = nullptr; /* what is left is bounded by MS */
    u->wire.wake = -1;
    dv_wire_patience(&u->wire, ms);
    if (u->end == DV_UPPER_RELEASED) {
        guarded([u] { return ASC_acknowledgeRelease(u->association); });
        dv_wire_close(&u->wire, true);
    } else if (!(release && u->end == DV_UPPER_OK &&
                 guarded([u] { return ASC_releaseAssociation(u->association); }).good())) {
        dv_wire_abort(&u->wire, u->end == DV_UPPER_BROKEN ? 2 : 0, 0);
        dv_wire_close(&u->wire, true);
    }
    drop(u);
    delete u;
}
