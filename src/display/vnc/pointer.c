/* A client's pointer; see pointer.h. */
#include "display/vnc/pointer.h"

#include <linux/input-event-codes.h>

#define DETENT 120 /* wheel units, core/input_sink.h */
/* No picture is that wide or high, and no hand that quick: from here on it is motion. */
#define FIRST_MOTION 0x4000

static const struct {
	uint16_t code; /* 0: wheel */
	int8_t vertical, horizontal;
} buttons_of_mask[] = {
	{ .code = BTN_LEFT },
	{ .code = BTN_MIDDLE },
	{ .code = BTN_RIGHT },
	{ .vertical = 1 },
	{ .vertical = -1 },
	{ .horizontal = -1 },
	{ .horizontal = 1 },
	{ .code = BTN_SIDE },
	{ .code = BTN_EXTRA },
};

static int clamp(int value, int limit)
{
	if (value < 0)
		return 0;
	return value < limit ? value : limit - 1;
}

/* One axis of relative motion. */
static int step(int from, int to, int limit)
{
	int distance = to - from;

	if (to == 0)
		distance -= limit;
	else if (to == limit - 1)
		distance += limit;
	return distance;
}

/* The client's own motion. */
static void move_by(struct vnc_pointer *pointer, struct input_source *source, int dx, int dy)
{
	pointer->known = false;
	if (!dx && !dy)
		return;
	pthread_mutex_lock(&pointer->place->lock);
	pointer->place->known = false;
	input_source_relative(source, dx, dy);
	input_source_sync(source);
	pthread_mutex_unlock(&pointer->place->lock);
}

/* A place for a guest with a mouse. */
static void move_mouse_to(struct vnc_pointer *pointer, struct input_source *source,
	const struct vnc_pointer_view *view, int x, int y)
{
	const int width = view->width, height = view->height;
	struct vnc_place *place = pointer->place;

	pthread_mutex_lock(&place->lock);
	if (!pointer->known || !place->known ||
		input_source_last_to_point(source) != place->mover) {
		input_source_relative(source, -2 * width, -2 * height);
		input_source_sync(source);
		input_source_relative(source, step(0, x, width), step(0, y, height));
		input_source_sync(source);
	} else if (place->x != x || place->y != y) {
		input_source_relative(source, step(place->x, x, width), step(place->y, y, height));
		input_source_sync(source);
	}
	place->known = true;
	place->mover = source;
	place->x = x;
	place->y = y;
	pthread_mutex_unlock(&place->lock);
}

static void move_to(struct vnc_pointer *pointer, struct input_source *source,
	const struct vnc_pointer_view *view, int x, int y)
{
	if (view->capabilities & INPUT_POINTER_ABSOLUTE) {
		/* The guest may have put its pointer elsewhere when it changed the picture. */
		if (pointer->known && pointer->x == x && pointer->y == y &&
			pointer->width == view->width && pointer->height == view->height)
			return;
		input_source_absolute(source, (unsigned)x, (unsigned)y, (unsigned)view->width,
			(unsigned)view->height);
		input_source_sync(source);
	} else if (view->capabilities & INPUT_POINTER_RELATIVE) {
		move_mouse_to(pointer, source, view, x, y);
	} else {
		pointer->known = false; /* the guest has no pointer yet */
		return;
	}
	pointer->known = true;
	pointer->x = x;
	pointer->y = y;
	pointer->width = view->width;
	pointer->height = view->height;
}

static void move(struct vnc_pointer *pointer, struct input_source *source,
	const struct vnc_pointer_view *view, int x, int y)
{
	const bool motion = x >= FIRST_MOTION && y >= FIRST_MOTION;

	/* The client has not heard of the new mode: only what it says of its buttons is good. */
	if (view->mode != VNC_POINTER_PLACES && motion != (view->mode == VNC_POINTER_RELATIVE))
		return;
	if (view->mode == VNC_POINTER_RELATIVE)
		move_by(pointer, source, x - VNC_MOTION_ZERO, y - VNC_MOTION_ZERO);
	else
		move_to(pointer, source, view, clamp(x, view->width), clamp(y, view->height));
}

void vnc_pointer_event(struct vnc_pointer *pointer, struct vnc_sender *sender,
	const struct vnc_pointer_view *view, unsigned buttons, int x, int y)
{
	struct input_source *source = sender->source;
	unsigned changed = buttons ^ pointer->buttons;

	if (view->width <= 0 || view->height <= 0)
		return;
	move(pointer, source, view, x, y);
	for (unsigned bit = 0; bit < array_size(buttons_of_mask); bit++) {
		bool down = buttons & (1u << bit);

		if (!(changed & (1u << bit)))
			continue;
		if (buttons_of_mask[bit].code)
			vnc_send(sender, buttons_of_mask[bit].code, down);
		else if (down)
			input_source_wheel(source, buttons_of_mask[bit].vertical * DETENT,
				buttons_of_mask[bit].horizontal * DETENT);
		input_source_sync(source);
	}
	pointer->buttons = buttons;
}
