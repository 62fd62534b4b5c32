/* A keyboard layout of the guest: which keys give a symbol. From libxkbcommon's compiled layouts.
 *
 * Names as people write them: an XKB layout ("de"), with its variant ("us(dvorak)",
 * "de:nodeadkeys"), or a short name for one ("dvorak", "en-us", "en-gb", "pt-br").
 *
 * Threads: a keymap is immutable. */
#ifndef VMGUI_INPUT_KEYMAP_H
#define VMGUI_INPUT_KEYMAP_H

#include "core/error.h"
#include "core/util.h"

/* What has to be held with a key for a symbol of it. */
enum keymap_level {
	KEYMAP_PLAIN = 0,
	KEYMAP_SHIFT = 1,
	KEYMAP_ALTGR = 2,
	KEYMAP_ANY = 4, /* the key means the same with and without: Return, F1, keypad */
};

struct keymap_key {
	uint16_t code; /* evdev */
	uint8_t level; /* enum keymap_level mask */
	bool caps;     /* a letter: Caps Lock turns Shift round for it */
	bool printable;
};

/* Keys to strike one after the other for one symbol: a dead key first, perhaps. */
#define KEYMAP_MAX_STROKES 2
struct keymap_strokes {
	struct keymap_key keys[KEYMAP_MAX_STROKES];
	unsigned count;
};

struct keymap;

/* -EINVAL: no such layout (err names some that there are); -ENOENT: no layouts are installed. */
VMGUI_MUST_USE int keymap_create(const char *name, struct keymap **keymap, struct error *err);
void keymap_destroy(struct keymap *keymap);
const char *keymap_name(const struct keymap *keymap);

/* The key for an X keysym (Unicode keysyms included); false: the layout has none. The dead keys'
 * own keysyms are found, too. */
bool keymap_find(const struct keymap *keymap, uint32_t keysym, struct keymap_key *key);
/* The same, and if no single key has it, a dead key and a letter (é on a US-international layout,
 * â on a French one), or a dead key and space. False: it cannot be typed. */
bool keymap_find_strokes(
	const struct keymap *keymap, uint32_t keysym, struct keymap_strokes *strokes);

#endif
