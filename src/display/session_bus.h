/* Whether the desktop's session bus answers. Toolkits speak to it while they start, and wait for
 * the answer without end.
 *
 * Threads: any, unless said otherwise. */
#ifndef VMGUI_DISPLAY_SESSION_BUS_H
#define VMGUI_DISPLAY_SESSION_BUS_H

#include "core/error.h"

/* Where there is no session bus, says so to the toolkits, in the environment: otherwise they run
 * dbus-launch, which leaves a daemon behind for each start, or is not installed. Before there are
 * threads. */
void session_bus_settle(void);

/* -ETIMEDOUT: somebody listens there and says nothing for some seconds. 0: it answers, or a toolkit
 * will notice by itself that it does not. display: who asks, for the message. */
VMGUI_MUST_USE int session_bus_check(const char *display, struct error *err);

#endif
