#include "ingest/outbound.h"

bool dv_outbound_tls(const dv_peer_tls *peer, const dv_tls_files *ours, dv_tls **out, dv_error *err)
{
    *out = NULL;
    if (!peer->on)
        return true;
    /* A certificate and its key belong together: the peer's key never goes with our certificate. */
    dv_tls_files files = {peer->certificate ? peer->certificate : ours->certificate,
                          peer->certificate ? peer->key : ours->key, peer->ca ? peer->ca : ours->ca};
    *out = dv_tls_client(&files, peer->insecure, err);
    return *out != NULL;
}
