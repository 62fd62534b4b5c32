/* Whether the desktop's session bus answers. Toolkits speak to it while they start, and wait for
 * the answer without end.
 *
 * Threads: any. */
#ifndef VMGUI_DISPLAY_SESSION_BUS_H
#define VMGUI_DISPLAY_SESSION_BUS_H

#include "core/error.h"

/* -ETIMEDOUT: somebody listens there and says nothing for some seconds. 0: it answers, or a toolkit
 * will notice by itself that it does not. display: who asks, for the message. */
VMGUI_MUST_USE int session_bus_check(const char *display, struct error *err);

#endif
