/* The refresh thread: turns what the guest wrote into video memory into surface updates.
 *
 * It reads the source's mode and dirty pages, converts only dirty rows, compares them with the
 * surface so that rectangles are tight, and publishes them: at most `hz` updates a second while
 * things change. At rest it sleeps until the source says that there is something; the first change
 * after rest is on the surface a millisecond later. */
#ifndef VMGUI_DISPLAY_REFRESH_H
#define VMGUI_DISPLAY_REFRESH_H

#include "core/display_source.h"
#include "display/surface.h"

struct refresh;

/* Neither source nor surface is owned; both outlive the refresh. */
VMGUI_MUST_USE int refresh_create(struct display_source *source, struct surface *surface,
	unsigned hz, struct refresh **refresh, struct error *err);
VMGUI_MUST_USE int refresh_start(struct refresh *refresh, struct error *err);
void refresh_stop(struct refresh *refresh); /* joins; idempotent */
void refresh_destroy(struct refresh *refresh);
/* Look now rather than at the next period (input arrived). Only signals; any thread. */
void refresh_kick(struct refresh *refresh);
/* Looks once in the calling thread and returns when the surface shows everything that the guest had
 * written before the call (unless it changes its mode all the time, or there is no memory for the
 * picture). Any thread; also when stopped; holding no lock that a surface reader's wake takes. */
void refresh_sync(struct refresh *refresh);

#endif
