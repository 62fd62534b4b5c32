/* Any sequence of key events of a client: the guest never gets a press twice or a release of what
 * is up, and nothing stays down once the client is gone. A byte for the layout, then five bytes an
 * event. */
#include <linux/input-event-codes.h>
#include <stdlib.h>
#include <string.h>

#include "input/keymap_internal.h"
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
	static const char *const names[] = { "us", "de", "fr", "jp", "br", "ru", "us(intl)" };
	static struct keymap *keymaps[array_size(names)];
	struct keysym_keyboard keyboard;
	unsigned layout;

	if (!size)
		return 0;
	layout = data[0] % array_size(names);
	if (!keymaps[layout] && vmgui_keymap_compile(names[layout], &keymaps[layout], NULL))
		abort();
	keysym_keyboard_init(&keyboard, keymaps[layout], emit, NULL);
	data++;
	size--;
	for (; size >= 5; data += 5, size -= 5) {
		uint32_t keysym;

		memcpy(&keysym, data, sizeof(keysym));
		/* Most keysyms are no key; half of the time stay where those are. */
		if (data[4] & 2)
			keysym &= data[4] & 4 ? 0xff : 0xffff;
		if ((data[4] & 6) == 6)
			keysym |= 0xff00;
		if ((data[4] & 14) == 8) /* dead keys, AltGr */
			keysym = 0xfe00 | (keysym & 0xff);
		keysym_keyboard_event(&keyboard, keysym, data[4] & 1, data[4] >> 4);
	}
	keysym_keyboard_release_all(&keyboard);
	for (unsigned code = 0; code < KEY_CNT; code++) {
		if (down_now[code])
			abort();
	}
	return 0;
}
