/* Any bytes that a VNC client may send as input, played on a keyboard and a pointer: every message
 * ends where the next begins, the guest never gets a press twice or a release of what is up, no
 * place outside of the picture, and nothing stays down once the client is gone.
 *
 * The first byte of a message that is none of input's says what changes meanwhile: the guest's
 * lights, its pointer, the client's mode, the picture's size. */
#include <limits.h>
#include <linux/input-event-codes.h>
#include <stdlib.h>
#include <string.h>

#include "display/vnc/input.h"
#include "fake_sink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool down_now[KEY_CNT];

static void follow(const char *event)
{
	bool button = *event == 'b', down = event[button] == '+';
	unsigned x, y, width, height;
	unsigned long code;

	if (event[button] == '+' || event[button] == '-') {
		code = strtoul(event + button + 1, NULL, 10);
		if (!code || code >= KEY_CNT || down_now[code] == down)
			abort();
		down_now[code] = down;
	} else if (sscanf(event, "abs(%u,%u,%ux%u)", &x, &y, &width, &height) == 4) {
		if (x >= width || y >= height)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fake_sink sink;
	static struct input_router *router;
	static struct keymap *keymap;
	static struct vnc_place place = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct vnc_pointer_view view = { .width = 640, .height = 480 };
	struct vnc_input input = { .sender.name = "client" };
	bool extended_buttons = false;

	if (!router) {
		fake_sink_init(&sink, "fake",
			INPUT_KEYBOARD | INPUT_POINTER_ABSOLUTE | INPUT_POINTER_RELATIVE, UINT_MAX);
		sink.echo = follow;
		if (keymap_create("us", &keymap, NULL) || input_router_create(&router, NULL) ||
			input_router_attach(router, &sink.sink))
			abort();
	}
	input.sender.source = input_source_create(router, "client", NULL);
	if (!input.sender.source)
		abort();
	vnc_input_init(&input, keymap, &place, true);
	while (size) {
		struct vnc_message message;
		size_t have = 1;
		int length = vnc_message_bytes(data, have, extended_buttons);

		while (length > (int)have && (size_t)length <= size) {
			have = (size_t)length;
			length = vnc_message_bytes(data, have, extended_buttons);
		}
		if (length > (int)size)
			break;
		if (length > VNC_MESSAGE_MAX_BYTES)
			abort();
		if (length < 0) {
			extended_buttons = *data & 1;
			view.mode = *data % 3;
			view.capabilities =
				*data & 8 ? INPUT_POINTER_RELATIVE : INPUT_POINTER_ABSOLUTE;
			view.width = *data & 16 ? 1 : 3840;
			sink.leds = *data >> 5;
			data++;
			size--;
			continue;
		}
		vnc_message_parse(data, (size_t)length, &message);
		vnc_input_message(&input, &message, &view, sink.leds);
		data += length;
		size -= (size_t)length;
	}
	input_source_destroy(input.sender.source);
	for (unsigned code = 0; code < KEY_CNT; code++) {
		if (down_now[code])
			abort();
	}
	sink.length = 0;
	place.known = false;
	return 0;
}
