/* The one place that knows every source of input (windows, VNC clients, scripts) and every sink.
 *
 * Sources send evdev codes; the router keeps which source holds which key, so that a lost focus or
 * a dropped client releases what it held, a key held by two sources is released when the last lets
 * go, and LED state goes back to all of them. A sink without room delays, it never drops: events
 * wait in that sink's bounded queue in order. When it is full a press is refused with -EAGAIN; the
 * release of what was accepted always has its place. Pointer motion merges while it waits, so it
 * needs no more than one place and is never refused. Keys, buttons and wheels of one source reach
 * the guest in their order, also through different sinks (router_order.c).
 *
 * Locks: the router's own mutex, taken before any device's lock (order: router, device). Listener
 * callbacks of sources are called from the router's own thread with no lock held. Any thread may
 * call. */
#ifndef VMGUI_INPUT_ROUTER_H
#define VMGUI_INPUT_ROUTER_H

#include "core/error.h"
#include "core/input_sink.h"

#define INPUT_ROUTER_MAX_SINKS 8

struct input_router;
struct input_source;

/* Each callback comes once soon after the source's creation, then on every change. It may use the
 * source, but not destroy it. Members may be NULL. */
struct input_source_listener {
	void (*leds_changed)(void *opaque, unsigned leds); /* mask of enum input_led */
	/* enum input_capability mask that the guest has switched on: tells a window whether to
	 * grab. */
	void (*capabilities_changed)(void *opaque, unsigned active);
	/* There is room again after a press was refused with -EAGAIN. (Not at creation.) */
	void (*room)(void *opaque);
	void *opaque;
};

VMGUI_MUST_USE int input_router_create(struct input_router **router, struct error *err);
/* After its sources; takes its listeners off the sinks. NULL is fine. */
void input_router_destroy(struct input_router *router);
/* Before the first source. Of several keyboards or pointers the last attached that is active gets
 * the events; a release follows its press. -ENOSPC: INPUT_ROUTER_MAX_SINKS are attached. */
VMGUI_MUST_USE int input_router_attach(struct input_router *router, struct input_sink *sink);
/* Before the first source. `used` is called for each event on its way to the guest, in any thread,
 * with the router's lock held: it must only signal. */
void input_router_watch(struct input_router *router, void (*used)(void *opaque), void *opaque);
/* While the machine does not run (paused) nothing new is taken: whoever types at a still picture
 * would not expect it to come later. Stopping releases every key of every source. Any thread; true
 * at first. */
void input_router_set_running(struct input_router *router, bool running);
/* The guest starts anew: what waits is forgotten, what is held counts as released. */
void input_router_reset(struct input_router *router);
/* enum input_capability mask of all sinks together, as switched on right now. */
unsigned input_router_active(struct input_router *router);

/* name: for messages, e.g. "vnc client 127.0.0.1:4711"; copied. listener may be NULL, is copied.
 * NULL: out of memory. */
struct input_source *input_source_create(struct input_router *router, const char *name,
	const struct input_source_listener *listener);
/* Releases everything the source holds; no callback runs any more when it returns. NULL is fine. */
void input_source_destroy(struct input_source *source);

/* A press of a key that the source holds already is ignored (host auto-repeat), as is the release
 * of one it does not hold. 0; -EAGAIN: the press was not taken, try again after `room`;
 * -EHOSTDOWN: the machine does not run, the key is not taken; -EINVAL: not an evdev code. */
int input_source_key(struct input_source *source, unsigned code, bool down);
void input_source_release_all(struct input_source *source); /* focus lost; never fails */
/* The lock lights that this source's user has before the eyes (mask: those that are known): where
 * the guest's differ, the lock key is tapped, once, until the guest has answered. To be called when
 * a window gets the focus or the host's lights change. */
void input_source_sync_locks(struct input_source *source, unsigned mask, unsigned leds);

/* What follows is collected in the source until input_source_sync sends it as one packet. */
void input_source_relative(struct input_source *source, int dx, int dy);
/* x < width, y < height: greater ones are clipped. Nothing happens if width or height is 0. */
void input_source_absolute(
	struct input_source *source, unsigned x, unsigned y, unsigned width, unsigned height);
/* As input_source_key, for BTN_LEFT..BTN_TASK. */
int input_source_button(struct input_source *source, unsigned code, bool down);
void input_source_wheel(struct input_source *source, int vertical, int horizontal);
void input_source_sync(struct input_source *source);
/* Who moved the guest's pointer last, to be compared with a source; NULL: nobody since the guest
 * started. */
const struct input_source *input_source_last_to_point(struct input_source *source);
/* Waits until the guest has read everything that this source sent from its device, at most
 * timeout_ms. -ETIMEDOUT. Not from a callback. */
VMGUI_MUST_USE int input_source_flush(struct input_source *source, unsigned timeout_ms);

#endif
