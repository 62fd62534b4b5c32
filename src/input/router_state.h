/* What the router's files share: router.c (its life, its thread, switching), router_source.c (what
 * sources do), router_order.c (what waits for what), router_queue.c (what waits). router.h is for
 * everybody else.
 *
 * Why a release always has a place in the queue: with `owed` counting the releases still to come
 * (one for each code that is down at this sink) and the button changes that wait in a source for
 * its sync,
 *
 *   count + owed <= INPUT_QUEUE_EVENTS
 *
 * holds at all times. A press is accepted only if it holds with the press and its release added;
 * everything else moves one from owed to count, or asks first. */
#ifndef VMGUI_INPUT_ROUTER_STATE_H
#define VMGUI_INPUT_ROUTER_STATE_H

#include <linux/input-event-codes.h>
#include <pthread.h>
#include <stdatomic.h>

#include "core/timer.h"
#include "input/router.h"
#include "input/router_queue.h"

#define NO_SINK (-1)
#define POINTER (INPUT_POINTER_RELATIVE | INPUT_POINTER_ABSOLUTE)
/* Slow guests have been seen to take half a second for a handful of keys. */
#define ROUTER_PATIENCE_NS (1500 * NS_PER_MS)

struct attached_sink {
	struct input_router *router;
	struct input_sink_listener listener;
	struct input_queue queue;
	/* Since when something has been waiting for the guest to read what came before it here, or
	 * since the guest last took something meanwhile; 0: nothing waits. */
	uint64_t awaited_since_ns;
	bool given_up; /* the guest does not read, so nothing waits for that until it does */
	/* Written under the device's lock; the second: those that have changed since the router
	 * looked, if only for a moment. */
	atomic_uint leds, changed_leds;
};

/* A key or button that at least one source holds. */
struct held_code {
	unsigned holders;
	int sink; /* which one got the press, or NO_SINK */
};

struct input_source {
	struct input_router *router;
	struct input_source *next;
	char name[64];
	struct input_source_listener listener;
	bool held[KEY_CNT];
	struct pointer_packet pending;
	int pending_sink;            /* which sink pending.button is for */
	bool pending_synced;         /* sync came, but there was no room */
	struct pointer_packet place; /* where it pointed last; MOTION_NONE: nowhere yet */
	struct input_place last;     /* its last key, button or wheel */
	unsigned queued;             /* events in the queues */
	unsigned sinks_used; /* mask: which may have something that the guest has not read */
	int refused_by;      /* the sink that had no room for a press, or NO_SINK */
	unsigned told_leds, told_capabilities;
};

/* All guarded by lock, but for what is immutable after the set-up. */
struct input_router {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* queues drained, callback finished; CLOCK_MONOTONIC */
	pthread_t thread;       /* immutable, like the three below */
	int wake_fd;
	void (*used)(void *opaque);
	void *used_opaque;
	bool stopping;
	bool paused;
	struct attached_sink *sinks[INPUT_ROUTER_MAX_SINKS];
	int sink_count;
	struct input_source *sources;
	struct input_source *calling; /* whose callback runs now */
	unsigned flushing;            /* how many wait in input_source_flush */
	struct input_source *pointed; /* who moved the guest's pointer last; NULL: it is gone */
	struct held_code codes[KEY_CNT];
	unsigned leds, capabilities; /* as last seen */
	/* Lights whose lock key was sent, and the guest has not answered. */
	unsigned awaited_leds;
	uint64_t patience_ns; /* ROUTER_PATIENCE_NS, but for tests; see router_order.c */
};

static inline bool is_button(unsigned code)
{
	return code >= BTN_MOUSE && code <= BTN_TASK;
}

/* All of these with the lock held. */

void router_wake(struct input_router *router); /* also without */
/* The last attached sink that has any of the capabilities switched on, or NO_SINK. */
int router_find_sink(struct input_router *router, unsigned capabilities);
/* Appends, for a source or NULL, and delivers what has room. The caller has made sure that there is
 * room in the queue. */
void router_send_key(struct input_router *router, int sink, struct input_source *source,
	unsigned code, bool down);
void router_send_packet(struct input_router *router, int sink, struct input_source *source,
	const struct pointer_packet *packet);
/* What a source has collected; what finds no room stays. router_source.c. */
void router_send_pending(struct input_source *source);
/* Everything that a source holds. router_source.c. */
void router_release_source(struct input_source *source);
/* The order of one source's keys, buttons and wheels, which go to different devices:
 * router_order.c. What an event has to wait for, with number 0 for nothing; and that it has been
 * sent, as the last in that sink's queue. */
struct input_place router_place_before(const struct input_source *source, int sink);
void router_note_place(struct input_source *source, int sink);
/* Whether the first event of this queue has to wait: for the guest to read what its source did
 * before elsewhere, or because others wait for the guest to read what this sink has. */
bool router_must_wait(struct input_router *router, int sink);
/* An event was handed over: whoever waits for that has more patience. */
void router_note_progress(struct input_router *router, int sink);
/* Whether the guest reads again where it did not. */
void router_look_at_given_up(struct input_router *router);
/* Whoever waits has all its patience again; the guest has run on. */
void router_start_patience(struct input_router *router);
/* Nobody waits for this sink. */
void router_stop_waiting(struct input_router *router, int sink);
/* In how many milliseconds to look again because somebody's patience ends then; -1: nobody waits.
 */
int router_patience_ms(struct input_router *router);
/* Takes over what the keyboard says of its lights. */
void router_look_at_leds(struct input_router *router);

#endif
