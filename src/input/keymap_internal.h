/* What the keymap module (xkb/) makes and keymap.c looks into. */
#ifndef VMGUI_INPUT_KEYMAP_INTERNAL_H
#define VMGUI_INPUT_KEYMAP_INTERNAL_H

#include "input/keymap.h"

struct keymap_symbol {
	uint32_t keysym; /* as keymap_keysym_of has it, where it is a character */
	struct keymap_key key;
};

/* Keysyms older than Unicode's (0x1bc is Polish z with acute). */
struct keymap_legacy {
	uint32_t keysym, character;
};

struct keymap {
	char name[64];
	bool altgr;
	/* Without and with Caps Lock; each sorted by keysym. */
	struct {
		struct keymap_symbol *symbols;
		size_t count;
	} caps[2];
	struct keymap_legacy *legacy; /* sorted by keysym */
	size_t legacy_count;
};

/* The module's only function: keymap_create's work. It uses nothing of the program. */
typedef int keymap_compile_fn(const char *name, struct keymap **keymap, struct error *err);
keymap_compile_fn vmgui_keymap_compile;

#endif
