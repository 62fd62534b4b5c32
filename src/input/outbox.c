/* A window's events that wait for the router; see outbox.h.
 *
 * Room for releases is kept: at most one can follow for each code that is down, so everything
 * else is refused while fewer than KEY_CNT places are left. */
#include "input/outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 256u
#define MAX_OTHERS     (INPUT_OUTBOX_MAX_EVENTS - KEY_CNT)

enum kind {
	KIND_KEY,
	KIND_BUTTON,
	KIND_RELATIVE,
	KIND_ABSOLUTE,
	KIND_WHEEL,
};

struct input_outbox_event {
	enum kind kind;
	bool down;
	unsigned code;
	int a, b;                     /* relative motion, or the wheel's turns */
	unsigned x, y, width, height; /* absolute */
};

void input_outbox_fini(struct input_outbox *outbox)
{
	free(outbox->events);
	memset(outbox, 0, sizeof(*outbox));
}

static void sync_now(struct input_outbox *outbox)
{
	if (outbox->unsynced)
		input_source_sync(outbox->source);
	outbox->unsynced = false;
}

/* Hands an event to the source; false: it has to wait. */
static bool deliver(struct input_outbox *outbox, const struct input_outbox_event *event)
{
	struct input_source *source = outbox->source;

	switch (event->kind) {
	case KIND_KEY:
		sync_now(outbox); /* motion that came before goes before */
		return input_source_key(source, event->code, event->down) != -EAGAIN;
	case KIND_BUTTON:
		if (input_source_button(source, event->code, event->down) == -EAGAIN)
			return false;
		break;
	case KIND_RELATIVE:
		input_source_relative(source, event->a, event->b);
		break;
	case KIND_ABSOLUTE:
		input_source_absolute(source, event->x, event->y, event->width, event->height);
		break;
	case KIND_WHEEL:
		input_source_wheel(source, event->a, event->b);
		break;
	}
	outbox->unsynced = true;
	return true;
}

static bool grow(struct input_outbox *outbox)
{
	size_t capacity = outbox->capacity ? 2 * outbox->capacity : FIRST_CAPACITY;
	struct input_outbox_event *events;

	if (capacity > INPUT_OUTBOX_MAX_EVENTS)
		return false;
	events = calloc(capacity, sizeof(*events));
	if (!events)
		return false;
	for (size_t i = 0; i < outbox->count; i++)
		events[i] = outbox->events[(outbox->head + i) % outbox->capacity];
	free(outbox->events);
	outbox->events = events;
	outbox->capacity = capacity;
	outbox->head = 0;
	return true;
}

/* Motion joins motion of its kind. */
static bool join(struct input_outbox *outbox, const struct input_outbox_event *event)
{
	struct input_outbox_event *tail;

	if (!outbox->count)
		return false;
	tail = &outbox->events[(outbox->head + outbox->count - 1) % outbox->capacity];
	if (tail->kind != event->kind)
		return false;
	switch (event->kind) {
	case KIND_RELATIVE:
	case KIND_WHEEL:
		return !__builtin_add_overflow(tail->a, event->a, &tail->a) &&
		       !__builtin_add_overflow(tail->b, event->b, &tail->b);
	case KIND_ABSOLUTE:
		*tail = *event;
		return true;
	case KIND_KEY:
	case KIND_BUTTON:
		break;
	}
	return false;
}

/* Sends it now, or has it wait. False: there is no place for it. */
static bool post(struct input_outbox *outbox, const struct input_outbox_event *event)
{
	const bool release =
		!event->down && (event->kind == KIND_KEY || event->kind == KIND_BUTTON);

	if (!outbox->source || (!outbox->count && deliver(outbox, event)) || join(outbox, event))
		return true;
	if (outbox->count >= (release ? INPUT_OUTBOX_MAX_EVENTS : MAX_OTHERS) ||
		(outbox->count == outbox->capacity && !grow(outbox)))
		return false;
	outbox->events[(outbox->head + outbox->count) % outbox->capacity] = *event;
	outbox->count++;
	return true;
}

static bool change(struct input_outbox *outbox, enum kind kind, unsigned code, bool down)
{
	const struct input_outbox_event event = { .kind = kind, .code = code, .down = down };

	if (code >= KEY_CNT || outbox->down[code] == down)
		return true;
	if (!post(outbox, &event))
		return false;
	outbox->down[code] = down;
	return true;
}

bool input_outbox_key(struct input_outbox *outbox, unsigned code, bool down)
{
	return change(outbox, KIND_KEY, code, down);
}

bool input_outbox_button(struct input_outbox *outbox, unsigned code, bool down)
{
	bool taken = change(outbox, KIND_BUTTON, code, down);

	sync_now(outbox);
	return taken;
}

void input_outbox_relative(struct input_outbox *outbox, int dx, int dy)
{
	const struct input_outbox_event event = { .kind = KIND_RELATIVE, .a = dx, .b = dy };

	(void)post(outbox, &event);
}

void input_outbox_absolute(
	struct input_outbox *outbox, unsigned x, unsigned y, unsigned width, unsigned height)
{
	const struct input_outbox_event event = {
		.kind = KIND_ABSOLUTE, .x = x, .y = y, .width = width, .height = height
	};

	(void)post(outbox, &event);
}

void input_outbox_wheel(struct input_outbox *outbox, int vertical, int horizontal)
{
	const struct input_outbox_event event = {
		.kind = KIND_WHEEL, .a = vertical, .b = horizontal
	};

	(void)post(outbox, &event);
	sync_now(outbox);
}

void input_outbox_sync(struct input_outbox *outbox)
{
	sync_now(outbox);
}

void input_outbox_release_all(struct input_outbox *outbox)
{
	if (!outbox->source)
		return;
	if (!outbox->count) {
		sync_now(outbox);
		input_source_release_all(outbox->source);
		memset(outbox->down, 0, sizeof(outbox->down));
		return;
	}
	for (unsigned code = 0; code < KEY_CNT; code++) {
		bool button = code >= BTN_MOUSE && code <= BTN_TASK;

		if (outbox->down[code])
			(void)change(outbox, button ? KIND_BUTTON : KIND_KEY, code, false);
	}
}

void input_outbox_step(struct input_outbox *outbox)
{
	while (outbox->count && deliver(outbox, &outbox->events[outbox->head])) {
		sync_now(outbox);
		outbox->head = (outbox->head + 1) % outbox->capacity;
		outbox->count--;
	}
}
