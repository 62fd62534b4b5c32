/* What sources do (router.h); see router_state.h for the rules that the queues keep. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "input/router_state.h"

/* Where a packet's motion goes; NO_SINK if the guest has no such pointer now. */
static int motion_sink(struct input_router *router, const struct pointer_packet *packet)
{
	if (packet->motion == MOTION_RELATIVE)
		return router_find_sink(router, INPUT_POINTER_RELATIVE);
	if (packet->motion == MOTION_ABSOLUTE)
		return router_find_sink(router, INPUT_POINTER_ABSOLUTE);
	if (packet->vertical || packet->horizontal)
		return router_find_sink(router, POINTER);
	return NO_SINK;
}

static void note_place(struct input_source *source, const struct pointer_packet *packet)
{
	if (packet->motion == MOTION_NONE)
		return;
	source->router->pointed = source;
	source->place = (struct pointer_packet){ .motion = MOTION_NONE };
	if (packet->motion == MOTION_ABSOLUTE)
		pointer_packet_collect(&source->place, packet);
	source->place.vertical = source->place.horizontal = 0;
}

static void finish_pending(struct input_source *source)
{
	memset(&source->pending, 0, sizeof(source->pending));
	if (source->pending_synced) {
		source->pending_synced = false;
		pthread_cond_broadcast(&source->router->changed);
	}
}

/* Motion that finds no room stays, a button always has its place. */
void router_send_pending(struct input_source *source)
{
	struct input_router *router = source->router;
	struct pointer_packet packet = source->pending;
	int moved = motion_sink(router, &packet);
	int pressed = packet.button ? source->pending_sink : NO_SINK;
	const struct pointer_packet button = { .button = packet.button, .down = packet.down };
	bool has_room = moved != NO_SINK && input_queue_has_room(&router->sinks[moved]->queue, 1);

	if (pressed == NO_SINK)
		packet.button = 0;
	if (pressed != NO_SINK && (moved == pressed || moved == NO_SINK)) {
		router->sinks[pressed]->queue.owed--;
		router_send_packet(router, pressed, source, moved == NO_SINK ? &button : &packet);
	} else {
		packet.button = 0;
		if (moved != NO_SINK && !has_room && pressed == NO_SINK) {
			source->pending_synced = true;
			return;
		}
		if (has_room)
			router_send_packet(router, moved, source, &packet);
		if (pressed != NO_SINK) {
			router->sinks[pressed]->queue.owed--;
			router_send_packet(router, pressed, source, &button);
		}
	}
	if (moved != NO_SINK)
		note_place(source, &packet);
	finish_pending(source);
}

/* One button change a packet, and changes of one button in the order in which they came, also when
 * another source has yet to sync its own. */
static void send_earlier_buttons(struct input_source *source, unsigned code)
{
	for (struct input_source *other = source->router->sources; other; other = other->next) {
		if (other->pending.button && (other == source || other->pending.button == code))
			router_send_pending(other);
	}
}

/* Somebody else has moved the pointer: a click or a wheel is meant where this one's user points. */
static void point_again(struct input_source *source)
{
	struct input_router *router = source->router;

	if (router->pointed != source && source->pending.motion == MOTION_NONE &&
		motion_sink(router, &source->place) != NO_SINK)
		pointer_packet_collect(&source->pending, &source->place);
}

static void collect_button(struct input_source *source, unsigned code, bool down, int sink)
{
	if (down)
		point_again(source);
	source->pending.button = code;
	source->pending.down = down;
	source->pending_sink = sink;
}

static unsigned light_of(unsigned code)
{
	return code == KEY_CAPSLOCK     ? INPUT_LED_CAPS
	       : code == KEY_NUMLOCK    ? INPUT_LED_NUM
	       : code == KEY_SCROLLLOCK ? INPUT_LED_SCROLL
					: 0;
}

/* The first holder's press: chooses the sink, and keeps a place for the release. */
static int begin_press(struct input_source *source, unsigned code)
{
	struct input_router *router = source->router;
	int sink = router_find_sink(router, is_button(code) ? POINTER : INPUT_KEYBOARD);

	if (sink != NO_SINK) {
		if (!input_queue_has_room(&router->sinks[sink]->queue, 2)) {
			source->refused_by = sink;
			return -EAGAIN;
		}
		router->sinks[sink]->queue.owed++;
	}
	router->codes[code].sink = sink;
	return 0;
}

/* Key or button; lock held. */
static int change(struct input_source *source, unsigned code, bool down)
{
	struct input_router *router = source->router;
	struct held_code *held = &router->codes[code];
	int sink;

	if (source->held[code] == down)
		return 0;
	if (down && router->paused)
		return -EHOSTDOWN;
	if (is_button(code))
		send_earlier_buttons(source, code);
	if (down && !held->holders && begin_press(source, code))
		return -EAGAIN;
	source->held[code] = down;
	if (down ? held->holders++ : --held->holders)
		return 0; /* another source holds it, too */
	sink = held->sink;
	if (!down)
		held->sink = NO_SINK;
	if (sink == NO_SINK)
		return 0;
	if (is_button(code)) {
		/* A release owes one packet as before; a press now its own and its release. */
		if (down)
			router->sinks[sink]->queue.owed++;
		collect_button(source, code, down, sink);
		return 0;
	}
	if (down)
		router->awaited_leds |= light_of(code);
	else
		router->sinks[sink]->queue.owed--;
	router_send_key(router, sink, source, code, down);
	return 0;
}

int input_source_key(struct input_source *source, unsigned code, bool down)
{
	int result;

	if (code == KEY_RESERVED || code >= KEY_CNT || is_button(code))
		return -EINVAL;
	pthread_mutex_lock(&source->router->lock);
	result = change(source, code, down);
	pthread_mutex_unlock(&source->router->lock);
	return result;
}

int input_source_button(struct input_source *source, unsigned code, bool down)
{
	int result;

	if (!is_button(code))
		return -EINVAL;
	pthread_mutex_lock(&source->router->lock);
	result = change(source, code, down);
	pthread_mutex_unlock(&source->router->lock);
	return result;
}

void router_release_source(struct input_source *source)
{
	for (unsigned code = 0; code < KEY_CNT; code++) {
		/* A release is never refused. */
		if (source->held[code])
			(void)change(source, code, false);
	}
	if (source->pending.button)
		router_send_pending(source);
}

void input_source_release_all(struct input_source *source)
{
	pthread_mutex_lock(&source->router->lock);
	router_release_source(source);
	pthread_mutex_unlock(&source->router->lock);
}

/* Presses and releases a lock key; lock held. */
static void tap(struct input_source *source, unsigned code)
{
	struct input_router *router = source->router;
	int sink = router_find_sink(router, INPUT_KEYBOARD);

	if (router->codes[code].holders || sink == NO_SINK ||
		!input_queue_has_room(&router->sinks[sink]->queue, 2))
		return;
	router->awaited_leds |= light_of(code);
	router_send_key(router, sink, source, code, true);
	router_send_key(router, sink, source, code, false);
}

void input_source_sync_locks(struct input_source *source, unsigned mask, unsigned leds)
{
	static const unsigned codes[] = { KEY_CAPSLOCK, KEY_NUMLOCK, KEY_SCROLLLOCK };
	struct input_router *router = source->router;

	pthread_mutex_lock(&router->lock);
	router_look_at_leds(router);
	for (unsigned i = 0; i < array_size(codes) && !router->paused; i++) {
		unsigned light = light_of(codes[i]);

		if (mask & light && (leds ^ router->leds) & light &&
			!(router->awaited_leds & light))
			tap(source, codes[i]);
	}
	pthread_mutex_unlock(&router->lock);
}

static void collect(struct input_source *source, const struct pointer_packet *packet)
{
	pthread_mutex_lock(&source->router->lock);
	if (!source->router->paused) {
		if (packet->vertical || packet->horizontal)
			point_again(source);
		pointer_packet_collect(&source->pending, packet);
	}
	pthread_mutex_unlock(&source->router->lock);
}

void input_source_relative(struct input_source *source, int dx, int dy)
{
	const struct pointer_packet packet = { .motion = MOTION_RELATIVE, .dx = dx, .dy = dy };

	collect(source, &packet);
}

void input_source_absolute(
	struct input_source *source, unsigned x, unsigned y, unsigned width, unsigned height)
{
	const struct pointer_packet packet = { .motion = MOTION_ABSOLUTE,
		.x = x < width ? x : width - 1,
		.y = y < height ? y : height - 1,
		.width = width,
		.height = height };

	if (width && height)
		collect(source, &packet);
}

void input_source_wheel(struct input_source *source, int vertical, int horizontal)
{
	const struct pointer_packet packet = { .vertical = vertical, .horizontal = horizontal };

	collect(source, &packet);
}

void input_source_sync(struct input_source *source)
{
	pthread_mutex_lock(&source->router->lock);
	if (!pointer_packet_is_empty(&source->pending))
		router_send_pending(source);
	pthread_mutex_unlock(&source->router->lock);
}

const struct input_source *input_source_last_to_point(struct input_source *source)
{
	const struct input_source *pointed;

	pthread_mutex_lock(&source->router->lock);
	pointed = source->router->pointed;
	pthread_mutex_unlock(&source->router->lock);
	return pointed;
}

/* Lock held. Asking makes the sink wake the router when it has changed. */
static bool is_flushed(struct input_source *source)
{
	struct input_router *router = source->router;

	if (source->queued || source->pending_synced)
		return false;
	for (int i = 0; i < router->sink_count; i++) {
		struct input_sink *sink = router->sinks[i]->queue.sink;

		if (!(source->sinks_used & 1u << i))
			continue;
		if (sink->ops->drained && !sink->ops->drained(sink))
			return false;
		source->sinks_used &= ~(1u << i);
	}
	return true;
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
	router->flushing++;
	while (!is_flushed(source) && result == 0)
		result = pthread_cond_timedwait(&router->changed, &router->lock, &deadline);
	if (result && is_flushed(source))
		result = 0;
	router->flushing--;
	pthread_mutex_unlock(&router->lock);
	return -result;
}
