/* connect_internal.h: a TCP connection to a named peer: every address of the name in turn, a deadline, a flag that
 * cancels, both for the look-up of the name too.
 * Threads   any. */
#ifndef DV_DIMSE_CONNECT_INTERNAL_H
#define DV_DIMSE_CONNECT_INTERNAL_H

#include "base/error.h"

#include <stdatomic.h>

/* A connected, non-blocking descriptor, or -1: NETWORK, TIMEOUT, CANCELLED, with host and port in the text. */
int dv_connect(const char *host, uint16_t port, int ms, const atomic_bool *cancel, dv_error *err);

#endif
