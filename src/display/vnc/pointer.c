/* A client's pointer; see pointer.h. */
#include "display/vnc/pointer.h"

#include <linux/input-event-codes.h>

#define DETENT 120 /* wheel units, core/input_sink.h */

static const struct {
	uint16_t code; /* 0: wheel */
	int8_t vertical, horizontal;
} buttons_of_mask[8] = {
	{ .code = BTN_LEFT },
	{ .code = BTN_MIDDLE },
	{ .code = BTN_RIGHT },
	{ .vertical = 1 },
	{ .vertical = -1 },
	{ .horizontal = -1 },
	{ .horizontal = 1 },
	{ .code = BTN_SIDE },
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

static void move(struct vnc_pointer *pointer, struct input_source *source, int x, int y, int width,
	int height, unsigned capabilities)
{
	if (capabilities & INPUT_POINTER_ABSOLUTE) {
		if (pointer->known && pointer->x == x && pointer->y == y)
			return;
		input_source_absolute(
			source, (unsigned)x, (unsigned)y, (unsigned)width, (unsigned)height);
	} else if (capabilities & INPUT_POINTER_RELATIVE) {
		if (!pointer->known) {
			input_source_relative(source, -2 * width, -2 * height);
			input_source_sync(source);
			input_source_relative(source, step(0, x, width), step(0, y, height));
		} else if (pointer->x != x || pointer->y != y) {
			input_source_relative(
				source, step(pointer->x, x, width), step(pointer->y, y, height));
		} else {
			return;
		}
	} else {
		pointer->known = false; /* the guest has no pointer yet */
		return;
	}
	input_source_sync(source);
	pointer->known = true;
	pointer->x = x;
	pointer->y = y;
}

void vnc_pointer_event(struct vnc_pointer *pointer, struct input_source *source, unsigned buttons,
	int x, int y, int width, int height, unsigned capabilities)
{
	unsigned changed = buttons ^ pointer->buttons;

	if (width <= 0 || height <= 0)
		return;
	move(pointer, source, clamp(x, width), clamp(y, height), width, height, capabilities);
	for (unsigned bit = 0; bit < array_size(buttons_of_mask); bit++) {
		bool down = buttons & (1u << bit);

		if (!(changed & (1u << bit)))
			continue;
		if (buttons_of_mask[bit].code)
			/* A press that finds no room is lost, as is its release then. */
			(void)input_source_button(source, buttons_of_mask[bit].code, down);
		else if (down)
			input_source_wheel(source, buttons_of_mask[bit].vertical * DETENT,
				buttons_of_mask[bit].horizontal * DETENT);
		input_source_sync(source);
	}
	pointer->buttons = buttons;
}
