/* Any bytes as text, typed at a keyboard that has room or not, with Caps Lock turning at will: what
 * is sent is balanced, what is refused leaves nothing, and everything ends. */
#include <errno.h>
#include <limits.h>
#include <linux/input-event-codes.h>
#include <stdlib.h>
#include <string.h>

#include "fake_sink.h"
#include "input/keymap_internal.h"
#include "input/typist.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool down_now[KEY_CNT];

static void on_event(const char *event)
{
	unsigned code = (unsigned)strtoul(event + 1, NULL, 10);

	if ((event[0] != '+' && event[0] != '-') || !code || code >= KEY_CNT ||
		down_now[code] == (event[0] == '+'))
		abort();
	down_now[code] = event[0] == '+';
}

static void on_wake(void *opaque)
{
	(void)opaque;
}

/* 0 is a layout, then: a byte that says what to do; text goes to the next zero byte. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "us", "de", "fr", "jp", "br", "pl" };
	static struct keymap *keymaps[array_size(names)];
	static struct fake_sink fake;
	struct input_router *router;
	struct typist *typist;

	if (!size)
		return 0;
	for (size_t i = 0; i < array_size(names) && !keymaps[i]; i++) {
		if (vmgui_keymap_compile(names[i], &keymaps[i], NULL))
			abort();
	}
	fake_sink_init(&fake, "fuzz", INPUT_KEYBOARD, UINT_MAX);
	fake.echo = on_event;
	if (input_router_create(&router, NULL) || input_router_attach(router, &fake.sink) ||
		typist_create(
			router, keymaps[data[0] % array_size(names)], on_wake, NULL, &typist, NULL))
		abort();
	for (data++, size--; size; data++, size--) {
		const uint8_t *end;
		size_t bytes, skipped;

		switch (*data) {
		case 1:
			fake_sink_give_room(&fake, data[0] & 7u);
			break;
		case 2:
			fake_sink_give_room(&fake, UINT_MAX);
			break;
		case 3:
			fake_sink_set_leds(&fake, INPUT_LED_CAPS);
			break;
		case 4:
			fake_sink_set_leds(&fake, 0);
			break;
		case 5:
			typist_cancel(typist);
			break;
		case 6:
			typist_step(typist);
			break;
		case 7:
			fake_sink_give_room(&fake, 0);
			break;
		default:
			end = memchr(data, 0, size);
			bytes = end ? (size_t)(end - data) : size;
			if (!typist_add(typist, (const char *)data, bytes, &skipped) &&
				skipped > bytes)
				abort();
			data += bytes - (bytes == size);
			size -= bytes - (bytes == size);
		}
	}
	typist_destroy(typist);
	fake_sink_give_room(&fake, UINT_MAX);
	input_router_destroy(router);
	fake_sink_fini(&fake);
	memset(down_now, 0, sizeof(down_now));
	return 0;
}
