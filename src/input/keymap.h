/* A keyboard layout of the guest: which keys give a symbol. From libxkbcommon's compiled layouts,
 * which a module reads (xkb/compile.c), so that a run that asks for no layout maps no library for
 * it. A layout takes a few milliseconds to make: make it when it is first needed.
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
	KEYMAP_ANY = 4,       /* the key means the same with and without: Return, F1, keypad */
	KEYMAP_ANY_SHIFT = 8, /* with and without Shift: the space bar */
};

struct keymap_key {
	uint16_t code; /* evdev */
	uint8_t level; /* enum keymap_level mask */
	bool letter;   /* Caps Lock turns Shift round for it */
	bool printable;
};

/* Keys to strike one after the other for one symbol: a dead key first, perhaps. */
#define KEYMAP_MAX_STROKES 2
struct keymap_strokes {
	struct keymap_key keys[KEYMAP_MAX_STROKES];
	unsigned count;
	/* The Caps Lock for which they hold: the one asked for, unless there the symbol cannot be
	 * typed at all (é, where that is a key's plain symbol: Caps Lock makes it É). */
	bool caps;
};

struct keymap;

/* -EINVAL: no such layout (err names some that there are); -ENOENT: no layouts are installed;
 * -ENOEXEC: the module cannot be loaded. To be called before privileges are dropped. */
VMGUI_MUST_USE int keymap_create(const char *name, struct keymap **keymap, struct error *err);
void keymap_destroy(struct keymap *keymap);           /* NULL is fine */
const char *keymap_name(const struct keymap *keymap); /* as XKB has it: "us(dvorak)" */
/* Whether the right Alt key is AltGr. */
bool keymap_has_altgr(const struct keymap *keymap);

/* The key for an X keysym (Unicode keysyms included) while Caps Lock is in that state; false: the
 * layout has none. The dead keys' own keysyms are found, too. */
bool keymap_find(const struct keymap *keymap, uint32_t keysym, bool caps, struct keymap_key *key);
/* The same, and if no single key has it, a dead key and a letter (é on a US-international layout,
 * â on a French one), a dead key twice or with space; and if that fails, too, the same with the
 * other state of Caps Lock. False: it cannot be typed. */
bool keymap_find_strokes(
	const struct keymap *keymap, uint32_t keysym, bool caps, struct keymap_strokes *strokes);

/* The keysym of a character (Latin-1 or Unicode keysym), and the character of a keysym of any
 * kind; 0: it is none. The keypad's digits are not characters here. */
uint32_t keymap_keysym_of(uint32_t character);
uint32_t keymap_character_of(const struct keymap *keymap, uint32_t keysym);

#endif
