/* The input router's life, its thread, and what it does when the guest switches devices or is
 * stopped; see router.h for what it promises.
 *
 *   source thread --key/sync--> [ queue of sink 0 ] --deliver--> sink (device lock inside)
 *                               [ queue of sink 1 ]   ^
 *                                                     | eventfd: "room again", LEDs, switched
 *   router thread "input" ----------------------------+--> listeners of the sources
 *
 * An event is delivered at once in the source's own thread if its sink has room; the router's
 * thread works only on what had to wait. Sinks call back with their device's lock held, where the
 * router's mutex must not be taken: they store into an atomic and write the eventfd, nothing else.
 */
#include "input/router.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "input/router_state.h"

#define UNKNOWN UINT_MAX /* what a new source has been told of LEDs and capabilities */
/* Who was refused is called again when so few wait, so that there is room for more than one key. */
#define FEW_EVENTS (INPUT_QUEUE_EVENTS / 2)

void router_wake(struct input_router *router)
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

	atomic_fetch_or(&attached->changed_leds, atomic_exchange(&attached->leds, leds) ^ leds);
	router_wake(attached->router);
}

static void on_sink_ready(void *opaque)
{
	struct attached_sink *attached = opaque;

	router_wake(attached->router);
}

int router_find_sink(struct input_router *router, unsigned capabilities)
{
	for (int i = router->sink_count - 1; i >= 0; i--) {
		struct input_sink *sink = router->sinks[i]->queue.sink;

		if ((sink->capabilities & capabilities) && (sink->ops->active(sink) & capabilities))
			return i;
	}
	return NO_SINK;
}

static void event_left(struct input_router *router, struct input_source *source)
{
	if (source && --source->queued == 0)
		pthread_cond_broadcast(&router->changed);
}

/* Whether anything was handed over. */
static bool deliver(struct input_router *router, int sink)
{
	struct input_queue *queue = &router->sinks[sink]->queue;
	struct input_source *source;
	bool any = false;

	while (!router_must_wait(router, sink)) {
		/* Who waits for what comes before it keeps others waiting, too. */
		bool frees_others = queue->count && input_queue_first(queue)->after.number;

		if (!input_queue_deliver(queue, &source))
			break;
		any = true;
		event_left(router, source);
		router_note_progress(router, sink);
		if (queue->count == FEW_EVENTS || frees_others)
			router_wake(router);
	}
	return any;
}

static void event_comes(struct input_router *router, int sink, struct input_source *source)
{
	if (source) {
		source->queued++;
		source->sinks_used |= 1u << sink;
	}
	if (router->used)
		router->used(router->used_opaque);
}

void router_send_key(struct input_router *router, int sink, struct input_source *source,
	unsigned code, bool down)
{
	event_comes(router, sink, source);
	input_queue_add_key(
		&router->sinks[sink]->queue, source, router_place_before(source, sink), code, down);
	router_note_place(source, sink);
	(void)deliver(router, sink);
}

void router_send_packet(struct input_router *router, int sink, struct input_source *source,
	const struct pointer_packet *packet)
{
	struct input_queue *queue = &router->sinks[sink]->queue;
	struct input_place after = { 0 };
	struct input_source *before;
	bool is_action = pointer_packet_is_action(packet);

	event_comes(router, sink, source);
	if (is_action)
		after = router_place_before(source, sink);
	if (input_queue_join(queue, source, after, packet, &before))
		event_left(router, before);
	else
		input_queue_add_packet(queue, source, after, packet);
	if (is_action)
		router_note_place(source, sink);
	(void)deliver(router, sink);
}

/* All that waits and now has room, sinks first, then what sources could not queue. */
static void deliver_all(struct input_router *router)
{
	bool any;

	do {
		any = false;
		for (int i = 0; i < router->sink_count; i++)
			any |= deliver(router, i);
	} while (any);
	for (struct input_source *source = router->sources; source; source = source->next) {
		if (source->pending_synced)
			router_send_pending(source);
	}
}

static unsigned active_now(struct input_router *router)
{
	unsigned active = 0;

	for (int i = 0; i < router->sink_count; i++) {
		struct input_sink *sink = router->sinks[i]->queue.sink;

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

void router_look_at_leds(struct input_router *router)
{
	int keyboard = router_find_sink(router, INPUT_KEYBOARD);

	if (keyboard == NO_SINK)
		return;
	router->awaited_leds &= ~atomic_exchange(&router->sinks[keyboard]->changed_leds, 0);
	router->leds = atomic_load(&router->sinks[keyboard]->leds);
}

static void send_release(struct input_router *router, int sink, unsigned code)
{
	const struct pointer_packet packet = { .button = code, .down = false };

	if (is_button(code))
		router_send_packet(router, sink, NULL, &packet);
	else
		router_send_key(router, sink, NULL, code, false);
}

/* The code's press, if it waits in a source for its sync, goes first. */
static void release_code(struct input_router *router, unsigned code)
{
	struct held_code *held = &router->codes[code];
	int sink = held->sink;

	if (sink == NO_SINK)
		return;
	for (struct input_source *source = router->sources; source; source = source->next) {
		if (source->pending.button == code)
			router_send_pending(source);
	}
	held->sink = NO_SINK;
	router->sinks[sink]->queue.owed--;
	send_release(router, sink, code);
}

/* The guest has another pointer now. A button that is down at the one before is let go there, and
 * pressed nowhere: nobody knows what a drag that began elsewhere would mean here. */
static void release_moved_buttons(struct input_router *router)
{
	int sink = router_find_sink(router, POINTER);

	for (unsigned code = BTN_MOUSE; code <= BTN_TASK; code++) {
		if (router->codes[code].sink != sink)
			release_code(router, code);
	}
}

static void look_at_capabilities(struct input_router *router)
{
	unsigned before = router->capabilities;

	router->capabilities = active_now(router);
	/* A keyboard that was off may have missed a lock key. */
	if (router->capabilities & ~before & INPUT_KEYBOARD)
		router->awaited_leds = 0;
	release_moved_buttons(router);
}

static bool has_room_again(struct input_router *router, const struct input_source *source)
{
	return source->refused_by != NO_SINK &&
	       router->sinks[source->refused_by]->queue.count <= FEW_EVENTS;
}

/* The lock is dropped during the callbacks. True: a source was told something. */
static bool tell_one_source(struct input_router *router)
{
	for (struct input_source *source = router->sources; source; source = source->next) {
		const struct input_source_listener listener = source->listener;
		const unsigned leds = router->leds, capabilities = router->capabilities;
		const bool tell_leds = source->told_leds != leds;
		const bool tell_capabilities = source->told_capabilities != capabilities;
		const bool tell_room = has_room_again(router, source);

		if (!tell_leds && !tell_capabilities && !tell_room)
			continue;
		source->told_leds = leds;
		source->told_capabilities = capabilities;
		if (tell_room)
			source->refused_by = NO_SINK;
		router->calling = source;
		pthread_mutex_unlock(&router->lock);
		if (tell_leds && listener.leds_changed)
			listener.leds_changed(listener.opaque, leds);
		if (tell_capabilities && listener.capabilities_changed)
			listener.capabilities_changed(listener.opaque, capabilities);
		if (tell_room && listener.room)
			listener.room(listener.opaque);
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
	struct pollfd woken = { .fd = router->wake_fd, .events = POLLIN };
	int timeout_ms = -1;
	uint64_t count;

	pthread_setname_np(pthread_self(), "input");
	for (;;) {
		/* An interruption only means one look too many. */
		if (poll(&woken, 1, timeout_ms) > 0 &&
			read(router->wake_fd, &count, sizeof(count)) < 0 && errno != EINTR)
			return NULL;
		pthread_mutex_lock(&router->lock);
		if (router->stopping) {
			pthread_mutex_unlock(&router->lock);
			return NULL;
		}
		deliver_all(router);
		router_look_at_given_up(router);
		router_look_at_leds(router);
		look_at_capabilities(router);
		if (router->flushing)
			pthread_cond_broadcast(&router->changed);
		while (!router->stopping && tell_one_source(router))
			;
		timeout_ms = router_patience_ms(router);
		pthread_mutex_unlock(&router->lock);
	}
}

static void forget_pending(struct input_router *router)
{
	for (struct input_source *source = router->sources; source; source = source->next) {
		memset(&source->pending, 0, sizeof(source->pending));
		source->pending_synced = false;
	}
	pthread_cond_broadcast(&router->changed);
}

void input_router_set_running(struct input_router *router, bool running)
{
	pthread_mutex_lock(&router->lock);
	if (!running && !router->paused) {
		for (struct input_source *source = router->sources; source; source = source->next)
			router_release_source(source);
		/* Motion that was collected and not sent. */
		forget_pending(router);
	}
	/* Nobody can have read anything meanwhile. */
	if (running && router->paused)
		router_start_patience(router);
	router->paused = !running;
	pthread_mutex_unlock(&router->lock);
}

void input_router_reset(struct input_router *router)
{
	pthread_mutex_lock(&router->lock);
	/* The new guest's devices ignore releases of what they do not hold; but a press may have
	 * reached them between their reset and this. */
	for (int i = 0; i < router->sink_count; i++) {
		bool released[KEY_CNT] = { false };

		input_queue_clear(&router->sinks[i]->queue, released);
		router_stop_waiting(router, i);
		for (unsigned code = 0; code < KEY_CNT; code++) {
			if (released[code])
				send_release(router, i, code);
		}
	}
	for (struct input_source *source = router->sources; source; source = source->next) {
		if (source->pending.button)
			router->sinks[source->pending_sink]->queue.owed--;
		memset(source->held, 0, sizeof(source->held));
		source->queued = 0;
		source->place.motion = MOTION_NONE;
	}
	forget_pending(router);
	for (unsigned code = 0; code < KEY_CNT; code++) {
		router->codes[code].holders = 0;
		release_code(router, code);
	}
	router->awaited_leds = 0;
	router->pointed = NULL;
	pthread_mutex_unlock(&router->lock);
	router_wake(router);
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
	router->patience_ns = ROUTER_PATIENCE_NS;
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
		struct input_sink *sink = router->sinks[i]->queue.sink;

		sink->ops->set_listener(sink, NULL);
	}
	pthread_mutex_lock(&router->lock);
	router->stopping = true;
	pthread_mutex_unlock(&router->lock);
	router_wake(router);
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
	attached->queue.sink = sink;
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
	source->refused_by = NO_SINK;
	source->told_leds = UNKNOWN;
	source->told_capabilities = UNKNOWN;
	pthread_mutex_lock(&router->lock);
	source->next = router->sources;
	router->sources = source;
	pthread_mutex_unlock(&router->lock);
	router_wake(router);
	return source;
}

void input_source_destroy(struct input_source *source)
{
	struct input_router *router;

	if (!source)
		return;
	router = source->router;
	pthread_mutex_lock(&router->lock);
	router_release_source(source);
	for (struct input_source **link = &router->sources; *link; link = &(*link)->next) {
		if (*link == source) {
			*link = source->next;
			break;
		}
	}
	for (int i = 0; i < router->sink_count; i++)
		input_queue_forget(&router->sinks[i]->queue, source);
	if (router->pointed == source)
		router->pointed = NULL;
	while (router->calling == source)
		pthread_cond_wait(&router->changed, &router->lock);
	pthread_mutex_unlock(&router->lock);
	free(source);
}
