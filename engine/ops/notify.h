/* notify.h: what the service manager is told (sd_notify(3)): one datagram to the socket that $NOTIFY_SOCKET names.
 *
 *   dv_service_tell("READY=1")    dv_service_tell("WATCHDOG=1")    dv_service_tell("STOPPING=1")
 *
 * Written by hand: libsystemd would be a dependency for this one datagram.
 * Threads   any. */
#ifndef DV_OPS_NOTIFY_H
#define DV_OPS_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/* False when nobody listens, which is no fault: Drover may run without a service manager. */
bool dv_service_tell(const char *state);
/* How often WATCHDOG=1 is wanted: half of $WATCHDOG_USEC when it is meant for this process; 0: never. */
int64_t dv_service_watchdog_ms(void);

#endif
