/* Any text as the name of a layout, and as a chord; and any sequence of keys for the latter. */
#include <stdlib.h>
#include <string.h>

#include "input/chord.h"
#include "input/keymap_internal.h"
#include "input/xkb/names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct chord_follower follower = { false };
	struct keymap *keymap = NULL;
	struct layout_name name;
	struct key_chord chord;
	struct error err;
	char text[128];
	size_t length = strnlen((const char *)data, size < sizeof(text) ? size : sizeof(text) - 1);

	memcpy(text, data, length);
	text[length] = '\0';
	if (layout_name_parse(text, &name)) {
		char shown[64];

		layout_name_format(&name, shown, sizeof(shown));
		check_text(shown);
	}
	/* That takes a thousand times as long. */
	if (text[0] == '!') {
		if (vmgui_keymap_compile(text + 1, &keymap, &err)) {
			if (keymap)
				abort();
			check_text(err.text);
		} else if (!*keymap_name(keymap)) {
			abort();
		}
		keymap_destroy(keymap);
	}
	if (chord_parse(text, "--release-key", &chord, &err))
		check_text(err.text);
	else
		check_text(chord.text);
	for (data += length, size -= length; size >= 4; data += 4, size -= 4)
		chord_follow(&follower, &chord, 0xff00u | data[0], data[1], data[2], data[3] & 1);
	return 0;
}
