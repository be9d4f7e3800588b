/* outbound.h: what a call to a peer needs beside its address: TLS by the peer's settings, with our own certificate where it names none.
 * Threads   pure; the files are read at each call, so a renewed certificate counts from the next association on. */
#ifndef DV_INGEST_OUTBOUND_H
#define DV_INGEST_OUTBOUND_H

#include "catalog/peers.h"
#include "dimse/tls.h"

/* *OUT (dv_tls_free) for dv_target.tls; NULL when the peer is called without TLS. CONFIG: a file cannot be used. */
bool dv_outbound_tls(const dv_peer_tls *peer, const dv_tls_files *ours, dv_tls **out, dv_error *err);

#endif
