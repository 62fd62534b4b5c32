/* An input sink for tests: writes down what it gets as text, and may be told to have no room. */
#ifndef TESTS_FAKE_SINK_H
#define TESTS_FAKE_SINK_H

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/input_sink.h"

struct fake_sink {
	struct input_sink sink;
	pthread_mutex_t lock; /* the "device's lock" */
	struct input_sink_listener listener;
	bool has_listener;
	unsigned active;
	unsigned room; /* how many keys and syncs fit; each takes one */
	int key_error; /* what key answers instead of taking it */
	unsigned leds;
	bool unread; /* what was taken has not all been read */
	struct input_sink_ops ops;
	char text[1 << 16]; /* "+30 -30 rel(1,2) abs(3,4,640x480) b+272 wheel(120,0) sync " */
	size_t length;
	int x, y;                        /* sum of relative motion, or the last absolute one */
	void (*echo)(const char *event); /* also told; may be NULL */
};

static inline struct fake_sink *fake_sink_of(struct input_sink *sink)
{
	return container_of(sink, struct fake_sink, sink);
}

static inline void fake_sink_write(struct fake_sink *fake, const char *event)
{
	size_t length = strlen(event);

	if (fake->length + length + 2 < sizeof(fake->text)) {
		memcpy(fake->text + fake->length, event, length);
		fake->length += length;
		fake->text[fake->length++] = ' ';
		fake->text[fake->length] = '\0';
	}
	if (fake->echo)
		fake->echo(event);
}

static inline int fake_sink_key(struct input_sink *sink, unsigned code, bool down)
{
	struct fake_sink *fake = fake_sink_of(sink);
	char event[32];
	int result = 0;

	pthread_mutex_lock(&fake->lock);
	if (fake->key_error) {
		result = fake->key_error;
	} else if (!fake->room) {
		result = -EAGAIN;
	} else {
		fake->room--;
		snprintf(event, sizeof(event), "%c%u", down ? '+' : '-', code);
		fake_sink_write(fake, event);
	}
	pthread_mutex_unlock(&fake->lock);
	return result;
}

static inline void fake_sink_relative(struct input_sink *sink, int dx, int dy)
{
	struct fake_sink *fake = fake_sink_of(sink);
	char event[64];

	pthread_mutex_lock(&fake->lock);
	fake->x += dx;
	fake->y += dy;
	snprintf(event, sizeof(event), "rel(%d,%d)", dx, dy);
	fake_sink_write(fake, event);
	pthread_mutex_unlock(&fake->lock);
}

static inline void fake_sink_absolute(
	struct input_sink *sink, unsigned x, unsigned y, unsigned width, unsigned height)
{
	struct fake_sink *fake = fake_sink_of(sink);
	char event[64];

	pthread_mutex_lock(&fake->lock);
	fake->x = (int)x;
	fake->y = (int)y;
	snprintf(event, sizeof(event), "abs(%u,%u,%ux%u)", x, y, width, height);
	fake_sink_write(fake, event);
	pthread_mutex_unlock(&fake->lock);
}

static inline void fake_sink_button(struct input_sink *sink, unsigned code, bool down)
{
	struct fake_sink *fake = fake_sink_of(sink);
	char event[32];

	pthread_mutex_lock(&fake->lock);
	snprintf(event, sizeof(event), "b%c%u", down ? '+' : '-', code);
	fake_sink_write(fake, event);
	pthread_mutex_unlock(&fake->lock);
}

static inline void fake_sink_wheel(struct input_sink *sink, int vertical, int horizontal)
{
	struct fake_sink *fake = fake_sink_of(sink);
	char event[64];

	pthread_mutex_lock(&fake->lock);
	snprintf(event, sizeof(event), "wheel(%d,%d)", vertical, horizontal);
	fake_sink_write(fake, event);
	pthread_mutex_unlock(&fake->lock);
}

static inline int fake_sink_sync(struct input_sink *sink)
{
	struct fake_sink *fake = fake_sink_of(sink);
	int result = -EAGAIN;

	pthread_mutex_lock(&fake->lock);
	if (fake->room) {
		fake->room--;
		fake_sink_write(fake, "sync");
		result = 0;
	}
	pthread_mutex_unlock(&fake->lock);
	return result;
}

static inline bool fake_sink_drained(struct input_sink *sink)
{
	struct fake_sink *fake = fake_sink_of(sink);
	bool drained;

	pthread_mutex_lock(&fake->lock);
	drained = !fake->unread;
	pthread_mutex_unlock(&fake->lock);
	return drained;
}

static inline unsigned fake_sink_active(struct input_sink *sink)
{
	struct fake_sink *fake = fake_sink_of(sink);
	unsigned active;

	pthread_mutex_lock(&fake->lock);
	active = fake->active;
	pthread_mutex_unlock(&fake->lock);
	return active;
}

static inline void fake_sink_set_listener(
	struct input_sink *sink, const struct input_sink_listener *listener)
{
	struct fake_sink *fake = fake_sink_of(sink);

	pthread_mutex_lock(&fake->lock);
	fake->has_listener = listener != NULL;
	if (listener) {
		fake->listener = *listener;
		listener->leds_changed(listener->opaque, fake->leds);
	}
	pthread_mutex_unlock(&fake->lock);
}

/* room: UINT_MAX for one that always has some. */
static inline void fake_sink_init(
	struct fake_sink *fake, const char *name, unsigned capabilities, unsigned room)
{
	memset(fake, 0, sizeof(*fake));
	pthread_mutex_init(&fake->lock, NULL);
	fake->ops = (struct input_sink_ops){ .name = name,
		.key = fake_sink_key,
		.relative = fake_sink_relative,
		.absolute = fake_sink_absolute,
		.button = fake_sink_button,
		.wheel = fake_sink_wheel,
		.sync = fake_sink_sync,
		.drained = fake_sink_drained,
		.active = fake_sink_active,
		.set_listener = fake_sink_set_listener };
	fake->sink.ops = &fake->ops;
	fake->sink.capabilities = capabilities;
	fake->active = capabilities;
	fake->room = room;
}

static inline void fake_sink_fini(struct fake_sink *fake)
{
	pthread_mutex_destroy(&fake->lock);
}

/* The guest took everything: there is room for more. */
static inline void fake_sink_give_room(struct fake_sink *fake, unsigned room)
{
	pthread_mutex_lock(&fake->lock);
	fake->room = room;
	if (fake->has_listener)
		fake->listener.ready(fake->listener.opaque);
	pthread_mutex_unlock(&fake->lock);
}

static inline void fake_sink_set_unread(struct fake_sink *fake, bool unread)
{
	pthread_mutex_lock(&fake->lock);
	fake->unread = unread;
	if (fake->has_listener && !unread)
		fake->listener.ready(fake->listener.opaque);
	pthread_mutex_unlock(&fake->lock);
}

static inline void fake_sink_set_active(struct fake_sink *fake, unsigned active)
{
	pthread_mutex_lock(&fake->lock);
	fake->active = active;
	if (fake->has_listener)
		fake->listener.ready(fake->listener.opaque);
	pthread_mutex_unlock(&fake->lock);
}

static inline void fake_sink_set_leds(struct fake_sink *fake, unsigned leds)
{
	pthread_mutex_lock(&fake->lock);
	fake->leds = leds;
	if (fake->has_listener)
		fake->listener.leds_changed(fake->listener.opaque, leds);
	pthread_mutex_unlock(&fake->lock);
}

/* Copies what was written down and starts anew. */
static inline const char *fake_sink_take(struct fake_sink *fake, char *text, size_t size)
{
	size_t length;

	pthread_mutex_lock(&fake->lock);
	length = strnlen(fake->text, size - 1);
	memcpy(text, fake->text, length);
	text[length] = '\0';
	fake->length = 0;
	fake->text[0] = '\0';
	pthread_mutex_unlock(&fake->lock);
	return text;
}

#endif
