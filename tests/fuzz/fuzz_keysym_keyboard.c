/* Any sequence of key events of a client: the guest never gets a press twice or a release of what
 * is up, and nothing stays down once the client is gone. Five bytes an event. */
#include <linux/input-event-codes.h>
#include <stdlib.h>
#include <string.h>

#include "input/keysym_keyboard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool down_now[KEY_CNT];

static void emit(void *opaque, unsigned code, bool down)
{
	(void)opaque;
	if (!code || code >= KEY_CNT || down_now[code] == down)
		abort();
	down_now[code] = down;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct keymap *keymap;
	struct keysym_keyboard keyboard;

	if (!keymap && keymap_create("us", &keymap, NULL))
		abort();
	keysym_keyboard_init(&keyboard, keymap, emit, NULL);
	for (; size >= 5; data += 5, size -= 5) {
		uint32_t keysym;

		memcpy(&keysym, data, sizeof(keysym));
		/* Most keysyms are no key; half of the time stay where those are. */
		if (data[4] & 2)
			keysym &= data[4] & 4 ? 0xff : 0xffff;
		if ((data[4] & 6) == 6)
			keysym |= 0xff00;
		keysym_keyboard_event(&keyboard, keysym, data[4] & 1, data[4] >> 4);
	}
	keysym_keyboard_release_all(&keyboard);
	for (unsigned code = 0; code < KEY_CNT; code++) {
		if (down_now[code])
			abort();
	}
	return 0;
}
