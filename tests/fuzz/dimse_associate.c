/* Any bytes as the beginning of a connection: looked at as the acceptor does, then given to DCMTK's parser, negotiated, and what follows is
 * answered by the server's own code. The first byte says whether the rest is one PDU, or a PDU and what comes after it. */
#include "dimse_peer.h"

#include "dimse/scp.c" /* its visit, without a thread */

#include "dimse/associate_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool any(void *user, const dv_caller *caller, dv_text sop_class, dv_text syntax)
{
    (void)user, (void)caller, (void)syntax;
    return sop_class.len % 2 == 1;
}

static void *none(void *user, dv_caller *caller, const dv_store_request *rq, dv_store_answer *answer)
{
    (void)user, (void)caller, (void)rq;
    answer->status = 0xA700;
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static dv_scp *scp;
    static uint8_t said[PEER_MOST];
    size_t total;
    const char *why;
    int theirs;
    if (!scp) {
        dv_error err;
        if (!dv_dimse_setup(&err) || !(scp = make(&(dv_scp_options){.pdu_ms = 1000, .idle_ms = 1000},
                                                  &(dv_scp_callbacks){.accept = any, .store_begin = none})))
            abort();
        dv_log_setup(nowhere(), false, DV_LOG_ERROR);
    }
    if (size > PEER_MOST || dv_associate_first(data, size, &total) != DV_FIRST_ASSOCIATE || total > size ||
        !dv_associate_check(data, total, &why))
        return 0;
    uint8_t *first = malloc(total);
    memcpy(first, data, total);
    visit v = {.scp = scp,
               .arrival = {.fd = begin_peer(data + total, size - total, &theirs), .first = first, .n = total, .address = "fuzz"}};
    serve(&v);
    size_t n = end_peer(theirs, said, sizeof said);
    if (n > 0 && said[0] != 2 && said[0] != 3 && said[0] != 7)
        abort(); /* what we say first is yes, no, or an abort */
    return 0;
}
