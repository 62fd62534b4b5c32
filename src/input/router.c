/* The input router; see router.h for what it promises.
 *
 *   source thread --key/sync--> [ queue of sink 0 ] --pump--> sink (device lock inside)
 *                               [ queue of sink 1 ]   ^
 *                                                     | eventfd: "room again", LEDs, switched
 * on/off router thread "input" ----------------------------+--> listeners of the sources
 *
 * An event is delivered at once in the source's own thread if its sink has room; the router's
 * thread works only on what had to wait. Sinks call back with their device's lock held, where the
 * router's mutex must not be taken: they store into an atomic and write the eventfd, nothing else.
 *
 * Why a release always has a place in the queue: with `owed` counting the releases still to come
 * (one for each code that is down at this sink) and the button changes that wait in a source for
 * its sync,
 *
 *   count + owed <= QUEUE_EVENTS
 *
 * holds at all times. A press is accepted only if it holds with the press and its release added;
 * everything else moves one from owed to count, or asks first. */
#include "input/router.h"

#include <errno.h>
#include <limits.h>
#include <linux/input-event-codes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"

#define QUEUE_EVENTS 4096u
#define NO_SINK      (-1)
#define UNKNOWN      UINT_MAX /* what a new source has been told of LEDs and capabilities */

enum motion {
	MOTION_NONE,
	MOTION_RELATIVE,
	MOTION_ABSOLUTE,
};

/* One packet of a pointer: motion first, then at most one button change, then the wheel. */
struct pointer_packet {
	enum motion motion;
	int dx, dy;
	unsigned x, y, width, height;
	int vertical, horizontal;
	unsigned button; /* evdev code; 0: none */
	bool down;
};

struct event {
	struct input_source *source; /* NULL: it is gone */
	bool pointer;
	bool handed_over; /* pointer: the sink has it as pending, only its sync is left */
	bool key_down;
	unsigned key_code;
	struct pointer_packet packet;
};

struct attached_sink {
	struct input_sink *sink;
	struct input_router *router;
	struct input_sink_listener listener;
	struct event queue[QUEUE_EVENTS];
	unsigned head, count;
	unsigned owed;
	atomic_uint leds; /* written under the device's lock */
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
	int pending_sink;    /* which sink pending.button is for */
	bool pending_synced; /* sync came, but there was no room */
	unsigned queued;     /* events in the queues */
	unsigned told_leds, told_capabilities;
};

struct input_router {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* queues drained, callback finished; CLOCK_MONOTONIC */
	pthread_t thread;
	int wake_fd;
	void (*used)(void *opaque);                          /* immutable after the set-up */
	void *used_opaque;                                   /* the same */
	bool stopping;                                       /* lock */
	struct attached_sink *sinks[INPUT_ROUTER_MAX_SINKS]; /* lock */
	int sink_count;                                      /* lock */
	struct input_source *sources;                        /* lock */
	struct input_source *calling;                        /* lock; whose callback runs now */
	struct held_code codes[KEY_CNT];                     /* lock */
	unsigned leds, capabilities;                         /* lock; as last seen */
};

static void wake(struct input_router *router)
{
	uint64_t one = 1;
	ssize_t done;

	/* Fails only when the counter is full, and then the thread has a wake-up coming anyway. */
	do {
		done = write(router->wake_fd, &one, sizeof(one));
	} while (done < 0 && errno == EINTR);
}

static void on_sink_leds(void *opaque, unsigned leds)
{
	struct attached_sink *attached = opaque;

	atomic_store(&attached->leds, leds);
	wake(attached->router);
}

static void on_sink_ready(void *opaque)
{
	struct attached_sink *attached = opaque;

	wake(attached->router);
}

/* The last attached sink that has any of the capabilities switched on. */
static int find_sink(struct input_router *router, unsigned capabilities)
{
	for (int i = router->sink_count - 1; i >= 0; i--) {
		struct input_sink *sink = router->sinks[i]->sink;

		if ((sink->capabilities & capabilities) && (sink->ops->active(sink) & capabilities))
			return i;
	}
	return NO_SINK;
}

static bool has_room(const struct attached_sink *attached, unsigned more)
{
	return attached->count + attached->owed + more <= QUEUE_EVENTS;
}

static int add_saturated(int a, int b)
{
	int sum;

	if (__builtin_add_overflow(a, b, &sum))
		return a < 0 ? INT_MIN + 1 : INT_MAX;
	return sum;
}

static void collect_motion(struct pointer_packet *into, const struct pointer_packet *from)
{
	if (from->motion == MOTION_RELATIVE) {
		into->dx = add_saturated(into->dx, from->dx);
		into->dy = add_saturated(into->dy, from->dy);
		into->motion = MOTION_RELATIVE;
	} else if (from->motion == MOTION_ABSOLUTE) {
		into->x = from->x;
		into->y = from->y;
		into->width = from->width;
		into->height = from->height;
		into->motion = MOTION_ABSOLUTE;
	}
	into->vertical = add_saturated(into->vertical, from->vertical);
	into->horizontal = add_saturated(into->horizontal, from->horizontal);
}

static bool packet_is_empty(const struct pointer_packet *packet)
{
	return packet->motion == MOTION_NONE && !packet->vertical && !packet->horizontal &&
	       !packet->button;
}

/* Whether `after` can join `before`, which is still waiting: nothing in it may overtake a button.
 */
static bool packets_join(const struct pointer_packet *before, const struct pointer_packet *after)
{
	if (before->button)
		return false;
	if (after->button && (before->vertical || before->horizontal))
		return false;
	return before->motion == MOTION_NONE || after->motion == MOTION_NONE ||
	       before->motion == after->motion;
}

/* 0: done with it; -EAGAIN: it stays at the head. */
static int deliver(struct input_sink *sink, struct event *event)
{
	const struct pointer_packet *packet = &event->packet;
	int result;

	if (!event->pointer) {
		result = sink->ops->key(sink, event->key_code, event->key_down);
		if (result < 0 && result != -EAGAIN && event->key_down)
			log_guest("input", "%s: key %u is not taken%s", sink->ops->name,
				event->key_code, result == -ENODEV ? ": switched off" : "");
		return result == -EAGAIN ? result : 0;
	}
	if (!event->handed_over) {
		event->handed_over = true;
		if (packet->motion == MOTION_RELATIVE)
			sink->ops->relative(sink, packet->dx, packet->dy);
		else if (packet->motion == MOTION_ABSOLUTE)
			sink->ops->absolute(
				sink, packet->x, packet->y, packet->width, packet->height);
		if (packet->button)
			sink->ops->button(sink, packet->button, packet->down);
		if (packet->vertical || packet->horizontal)
			sink->ops->wheel(sink, packet->vertical, packet->horizontal);
	}
	return sink->ops->sync(sink) == -EAGAIN ? -EAGAIN : 0;
}

static void pump(struct input_router *router, int index)
{
	struct attached_sink *attached = router->sinks[index];

	while (attached->count) {
		struct event *event = &attached->queue[attached->head];
		struct input_source *source = event->source;

		if (deliver(attached->sink, event) == -EAGAIN)
			return;
		attached->head = (attached->head + 1) % QUEUE_EVENTS;
		attached->count--;
		if (source && --source->queued == 0)
			pthread_cond_broadcast(&router->changed);
	}
}

/* The caller has made sure that there is room. */
static struct event *append(struct attached_sink *attached, struct input_source *source)
{
	struct event *event = &attached->queue[(attached->head + attached->count) % QUEUE_EVENTS];

	*event = (struct event){ .source = source };
	attached->count++;
	source->queued++;
	if (attached->router->used)
		attached->router->used(attached->router->used_opaque);
	return event;
}

static bool join_tail(struct attached_sink *attached, struct input_source *source,
	const struct pointer_packet *packet)
{
	struct event *tail;

	if (!attached->count)
		return false;
	tail = &attached->queue[(attached->head + attached->count - 1) % QUEUE_EVENTS];
	if (!tail->pointer || tail->handed_over || tail->source != source ||
		!packets_join(&tail->packet, packet))
		return false;
	collect_motion(&tail->packet, packet);
	tail->packet.button = packet->button;
	tail->packet.down = packet->down;
	return true;
}

static void append_packet(struct input_router *router, int index, struct input_source *source,
	const struct pointer_packet *packet)
{
	struct attached_sink *attached = router->sinks[index];

	if (!join_tail(attached, source, packet)) {
		struct event *event = append(attached, source);

		event->pointer = true;
		event->packet = *packet;
	}
	pump(router, index);
}

/* Where a packet's motion goes; NO_SINK if the guest has no such pointer now. */
static int motion_sink(struct input_router *router, const struct pointer_packet *packet)
{
	if (packet->motion == MOTION_RELATIVE)
		return find_sink(router, INPUT_POINTER_RELATIVE);
	if (packet->motion == MOTION_ABSOLUTE)
		return find_sink(router, INPUT_POINTER_ABSOLUTE);
	if (packet->vertical || packet->horizontal)
		return find_sink(router, INPUT_POINTER_RELATIVE | INPUT_POINTER_ABSOLUTE);
	return NO_SINK;
}

/* Sends what the source has collected. Motion that finds no room stays, a button never does. */
static void send_pending(struct input_router *router, struct input_source *source)
{
	struct pointer_packet packet = source->pending;
	int moved = motion_sink(router, &packet);
	int pressed = packet.button ? source->pending_sink : NO_SINK;
	const struct pointer_packet button = { .button = packet.button, .down = packet.down };

	if (pressed != NO_SINK && (moved == pressed || moved == NO_SINK)) {
		if (moved == NO_SINK)
			packet = button;
		router->sinks[pressed]->owed--;
		memset(&source->pending, 0, sizeof(source->pending));
		append_packet(router, pressed, source, &packet);
	} else {
		packet.button = 0;
		if (moved != NO_SINK && !packet_is_empty(&packet)) {
			if (!has_room(router->sinks[moved], 1) && pressed == NO_SINK) {
				source->pending_synced = true;
				return;
			}
			if (has_room(router->sinks[moved], 1))
				append_packet(router, moved, source, &packet);
		}
		memset(&source->pending, 0, sizeof(source->pending));
		if (pressed != NO_SINK) {
			router->sinks[pressed]->owed--;
			append_packet(router, pressed, source, &button);
		}
	}
	if (source->pending_synced) {
		source->pending_synced = false;
		pthread_cond_broadcast(&router->changed);
	}
}

/* Key or button; lock held. */
static int change(struct input_source *source, unsigned code, bool down, bool pointer)
{
	struct input_router *router = source->router;
	struct held_code *held = &router->codes[code];
	unsigned wanted =
		pointer ? INPUT_POINTER_RELATIVE | INPUT_POINTER_ABSOLUTE : INPUT_KEYBOARD;
	int sink;

	if (source->held[code] == down)
		return 0;
	/* One button change a packet, and changes of one button in the order in which they came,
	 * also when another source has yet to sync its own. */
	for (struct input_source *other = router->sources; pointer && other; other = other->next) {
		if (other->pending.button && (other == source || other->pending.button == code))
			send_pending(router, other);
	}
	if (down && !held->holders) {
		sink = find_sink(router, wanted);
		if (sink != NO_SINK && !has_room(router->sinks[sink], 2))
			return -EAGAIN;
		held->sink = sink;
		if (sink != NO_SINK)
			router->sinks[sink]->owed++;
	}
	source->held[code] = down;
	if (down ? held->holders++ : --held->holders)
		return 0; /* another source holds it, too */
	sink = held->sink;
	if (sink == NO_SINK)
		return 0;
	if (!down)
		held->sink = NO_SINK;
	if (pointer) {
		/* A release owes one packet as before; a press now its own and its release. */
		if (down)
			router->sinks[sink]->owed++;
		source->pending.button = code;
		source->pending.down = down;
		source->pending_sink = sink;
	} else {
		struct event *event;

		if (!down)
			router->sinks[sink]->owed--;
		event = append(router->sinks[sink], source);
		event->key_code = code;
		event->key_down = down;
		pump(router, sink);
	}
	return 0;
}

static bool is_button(unsigned code)
{
	return code >= BTN_MOUSE && code <= BTN_TASK;
}

int input_source_key(struct input_source *source, unsigned code, bool down)
{
	int result;

	if (code == KEY_RESERVED || code >= KEY_CNT || is_button(code))
		return -EINVAL;
	pthread_mutex_lock(&source->router->lock);
	result = change(source, code, down, false);
	pthread_mutex_unlock(&source->router->lock);
	return result;
}

int input_source_button(struct input_source *source, unsigned code, bool down)
{
	int result;

	if (!is_button(code))
		return -EINVAL;
	pthread_mutex_lock(&source->router->lock);
	result = change(source, code, down, true);
	pthread_mutex_unlock(&source->router->lock);
	return result;
}

/* Lock held. */
static void release_all(struct input_source *source)
{
	for (unsigned code = 0; code < KEY_CNT; code++) {
		if (!source->held[code])
			continue;
		/* A release is never refused. */
		(void)change(source, code, false, is_button(code));
	}
	if (source->pending.button)
		send_pending(source->router, source);
}

void input_source_release_all(struct input_source *source)
{
	pthread_mutex_lock(&source->router->lock);
	release_all(source);
	pthread_mutex_unlock(&source->router->lock);
}

void input_source_relative(struct input_source *source, int dx, int dy)
{
	const struct pointer_packet packet = { .motion = MOTION_RELATIVE, .dx = dx, .dy = dy };

	pthread_mutex_lock(&source->router->lock);
	collect_motion(&source->pending, &packet);
	pthread_mutex_unlock(&source->router->lock);
}

void input_source_absolute(
	struct input_source *source, unsigned x, unsigned y, unsigned width, unsigned height)
{
	struct pointer_packet packet = {
		.motion = MOTION_ABSOLUTE, .x = x, .y = y, .width = width, .height = height
	};

	if (!width || !height)
		return;
	if (x >= width)
		packet.x = width - 1;
	if (y >= height)
		packet.y = height - 1;
	pthread_mutex_lock(&source->router->lock);
	collect_motion(&source->pending, &packet);
	pthread_mutex_unlock(&source->router->lock);
}

void input_source_wheel(struct input_source *source, int vertical, int horizontal)
{
	const struct pointer_packet packet = { .vertical = vertical, .horizontal = horizontal };

	pthread_mutex_lock(&source->router->lock);
	collect_motion(&source->pending, &packet);
	pthread_mutex_unlock(&source->router->lock);
}

void input_source_sync(struct input_source *source)
{
	pthread_mutex_lock(&source->router->lock);
	if (!packet_is_empty(&source->pending))
		send_pending(source->router, source);
	pthread_mutex_unlock(&source->router->lock);
}

int input_source_flush(struct input_source *source, unsigned timeout_ms)
{
	struct input_router *router = source->router;
	struct timespec deadline;
	int result = 0;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += (time_t)(timeout_ms / 1000);
	deadline.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (deadline.tv_nsec >= 1000000000) {
		deadline.tv_nsec -= 1000000000;
		deadline.tv_sec++;
	}
	pthread_mutex_lock(&router->lock);
	while ((source->queued || source->pending_synced) && result == 0)
		result = pthread_cond_timedwait(&router->changed, &router->lock, &deadline);
	if (!source->queued && !source->pending_synced)
		result = 0;
	pthread_mutex_unlock(&router->lock);
	return -result;
}

/* Lock held: all that waits and now has room, sinks first, then what sources could not queue. */
static void pump_all(struct input_router *router)
{
	for (int i = 0; i < router->sink_count; i++)
		pump(router, i);
	for (struct input_source *source = router->sources; source; source = source->next) {
		if (source->pending_synced)
			send_pending(router, source);
	}
}

static unsigned active_now(struct input_router *router)
{
	unsigned active = 0;

	for (int i = 0; i < router->sink_count; i++) {
		struct input_sink *sink = router->sinks[i]->sink;

		active |= sink->capabilities & sink->ops->active(sink);
	}
	return active;
}

unsigned input_router_active(struct input_router *router)
{
	unsigned active;

	pthread_mutex_lock(&router->lock);
	active = active_now(router);
	pthread_mutex_unlock(&router->lock);
	return active;
}

/* Lock held; dropped during the callback. True: a source was told something. */
static bool tell_one_source(struct input_router *router)
{
	for (struct input_source *source = router->sources; source; source = source->next) {
		const struct input_source_listener listener = source->listener;
		const unsigned leds = router->leds, capabilities = router->capabilities;
		const bool tell_leds = source->told_leds != leds;
		const bool tell_capabilities = source->told_capabilities != capabilities;

		if (!tell_leds && !tell_capabilities)
			continue;
		source->told_leds = leds;
		source->told_capabilities = capabilities;
		router->calling = source;
		pthread_mutex_unlock(&router->lock);
		if (tell_leds && listener.leds_changed)
			listener.leds_changed(listener.opaque, leds);
		if (tell_capabilities && listener.capabilities_changed)
			listener.capabilities_changed(listener.opaque, capabilities);
		pthread_mutex_lock(&router->lock);
		router->calling = NULL;
		pthread_cond_broadcast(&router->changed);
		return true;
	}
	return false;
}

static void *router_main(void *opaque)
{
	struct input_router *router = opaque;
	uint64_t count;

	pthread_setname_np(pthread_self(), "input");
	for (;;) {
		int keyboard;

		/* Blocks; an interrupted read only means one look too many. */
		if (read(router->wake_fd, &count, sizeof(count)) < 0 && errno != EINTR)
			return NULL;
		pthread_mutex_lock(&router->lock);
		if (router->stopping) {
			pthread_mutex_unlock(&router->lock);
			return NULL;
		}
		pump_all(router);
		keyboard = find_sink(router, INPUT_KEYBOARD);
		if (keyboard != NO_SINK)
			router->leds = atomic_load(&router->sinks[keyboard]->leds);
		router->capabilities = active_now(router);
		while (!router->stopping && tell_one_source(router))
			;
		pthread_mutex_unlock(&router->lock);
	}
}

int input_router_create(struct input_router **router_out, struct error *err)
{
	struct input_router *router = calloc(1, sizeof(*router));
	pthread_condattr_t attributes;
	int result;

	if (!router)
		return error_set(err, ENOMEM, "input: out of memory");
	for (unsigned code = 0; code < KEY_CNT; code++)
		router->codes[code].sink = NO_SINK;
	pthread_mutex_init(&router->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&router->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	router->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (router->wake_fd < 0) {
		result = error_set(err, errno, "input: eventfd: %s", strerror(errno));
		goto free_router;
	}
	result = pthread_create(&router->thread, NULL, router_main, router);
	if (result) {
		result = error_set(
			err, result, "input: cannot start a thread: %s", strerror(result));
		goto close_wake_fd;
	}
	*router_out = router;
	return 0;

close_wake_fd:
	close(router->wake_fd);
free_router:
	pthread_cond_destroy(&router->changed);
	pthread_mutex_destroy(&router->lock);
	free(router);
	return result;
}

void input_router_destroy(struct input_router *router)
{
	if (!router)
		return;
	/* From here on no sink calls back. */
	for (int i = 0; i < router->sink_count; i++) {
		struct input_sink *sink = router->sinks[i]->sink;

		sink->ops->set_listener(sink, NULL);
	}
	pthread_mutex_lock(&router->lock);
	router->stopping = true;
	pthread_mutex_unlock(&router->lock);
	wake(router);
	pthread_join(router->thread, NULL);
	for (int i = 0; i < router->sink_count; i++)
		free(router->sinks[i]);
	close(router->wake_fd);
	pthread_cond_destroy(&router->changed);
	pthread_mutex_destroy(&router->lock);
	free(router);
}

void input_router_watch(struct input_router *router, void (*used)(void *opaque), void *opaque)
{
	router->used_opaque = opaque;
	router->used = used;
}

int input_router_attach(struct input_router *router, struct input_sink *sink)
{
	struct attached_sink *attached = calloc(1, sizeof(*attached));
	int result = 0;

	if (!attached)
		return -ENOMEM;
	attached->sink = sink;
	attached->router = router;
	attached->listener = (struct input_sink_listener){
		.leds_changed = on_sink_leds, .ready = on_sink_ready, .opaque = attached
	};
	pthread_mutex_lock(&router->lock);
	if (router->sink_count == INPUT_ROUTER_MAX_SINKS)
		result = -ENOSPC;
	else
		router->sinks[router->sink_count++] = attached;
	pthread_mutex_unlock(&router->lock);
	if (result) {
		free(attached);
		return result;
	}
	sink->ops->set_listener(sink, &attached->listener);
	return 0;
}

struct input_source *input_source_create(
	struct input_router *router, const char *name, const struct input_source_listener *listener)
{
	struct input_source *source = calloc(1, sizeof(*source));

	if (!source)
		return NULL;
	source->router = router;
	snprintf(source->name, sizeof(source->name), "%s", name);
	if (listener)
		source->listener = *listener;
	source->told_leds = UNKNOWN;
	source->told_capabilities = UNKNOWN;
	pthread_mutex_lock(&router->lock);
	source->next = router->sources;
	router->sources = source;
	pthread_mutex_unlock(&router->lock);
	wake(router);
	return source;
}

void input_source_destroy(struct input_source *source)
{
	struct input_router *router;

	if (!source)
		return;
	router = source->router;
	pthread_mutex_lock(&router->lock);
	release_all(source);
	for (struct input_source **link = &router->sources; *link; link = &(*link)->next) {
		if (*link == source) {
			*link = source->next;
			break;
		}
	}
	for (int i = 0; i < router->sink_count; i++) {
		struct attached_sink *attached = router->sinks[i];

		for (unsigned n = 0; n < attached->count; n++) {
			struct event *event = &attached->queue[(attached->head + n) % QUEUE_EVENTS];

			if (event->source == source)
				event->source = NULL;
		}
	}
	while (router->calling == source)
		pthread_cond_wait(&router->changed, &router->lock);
	pthread_mutex_unlock(&router->lock);
	free(source);
}
