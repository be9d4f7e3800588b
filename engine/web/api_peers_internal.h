/* api_peers_internal.h: what the handlers about peers share: which peer is meant, and an association to it. */
#ifndef DV_WEB_API_PEERS_INTERNAL_H
#define DV_WEB_API_PEERS_INTERNAL_H

#include "catalog/peers.h"
#include "dimse/scu.h"
#include "web/api.h"

cJSON *dv_api_peer_json(dv_site *site, const dv_peer *peer);
/* In ARENA. NOT_FOUND names SLUG (may be NULL). */
bool dv_api_peer(dv_site *site, const char *slug, dv_arena *arena, dv_peer *out, dv_error *err);
/* An association to PEER by its TLS settings, as our own AE title, within the limits of the pool; dv_pool_end ends it. KEEP_EMPTY: also when it accepts
 * none of OFFERS. */
dv_association *dv_api_call(dv_site *site, const dv_peer *peer, const dv_context_offer *offers, size_t count,
                            bool keep_empty, int answer_ms, dv_error *err);

#endif
