/* Keysyms to keys; see keys.h. */
#include "display/vnc/keys.h"

#include <errno.h>
#include <linux/input-event-codes.h>
#include <stdlib.h>
#include <string.h>
#include <xkbcommon/xkbcommon-keysyms.h>
#include <xkbcommon/xkbcommon.h>

#include "core/input_sink.h"
#include "core/log.h"

#define XKB_EVDEV_OFFSET 8 /* X keycode = evdev code + 8 */

/* What a client may hold: AltGr and the right Alt are one key in the guest. */
enum {
	HELD_SHIFT_LEFT,
	HELD_SHIFT_RIGHT,
	HELD_ALTGR,
	HELD_ALT_RIGHT,
};
enum {
	GUEST_SHIFT_LEFT,
	GUEST_SHIFT_RIGHT,
	GUEST_ALT_RIGHT,
	GUEST_MODIFIERS,
};
static const uint16_t modifier_codes[GUEST_MODIFIERS] = { KEY_LEFTSHIFT, KEY_RIGHTSHIFT,
	KEY_RIGHTALT };

enum shift_need {
	SHIFT_ANY, /* the key means the same, or the client knows what it does */
	SHIFT_UP,
	SHIFT_DOWN,
};

struct symbol {
	uint32_t keysym;
	uint16_t code;
	uint8_t rank; /* of several keys with that symbol the lowest is taken */
	uint8_t need; /* enum shift_need */
	bool letter;  /* Caps Lock turns it round */
	bool printable;
};

struct vnc_keymap {
	size_t count;
	struct symbol symbols[]; /* sorted by keysym */
};

/* Where the layout's own answer is missing or not what a client means. */
static const struct {
	uint32_t keysym;
	uint16_t code;
} fixed[] = {
	{ XKB_KEY_Control_L, KEY_LEFTCTRL },
	{ XKB_KEY_Control_R, KEY_RIGHTCTRL },
	{ XKB_KEY_Alt_L, KEY_LEFTALT },
	/* X gives Meta for Alt with Shift held. */
	{ XKB_KEY_Meta_L, KEY_LEFTALT },
	{ XKB_KEY_Super_L, KEY_LEFTMETA },
	{ XKB_KEY_Super_R, KEY_RIGHTMETA },
	{ XKB_KEY_Hyper_L, KEY_LEFTMETA },
	{ XKB_KEY_Hyper_R, KEY_RIGHTMETA },
	{ XKB_KEY_Caps_Lock, KEY_CAPSLOCK },
	{ XKB_KEY_Shift_Lock, KEY_CAPSLOCK },
	{ XKB_KEY_Num_Lock, KEY_NUMLOCK },
	{ XKB_KEY_Scroll_Lock, KEY_SCROLLLOCK },
	{ XKB_KEY_Print, KEY_SYSRQ },
	{ XKB_KEY_Sys_Req, KEY_SYSRQ },
	{ XKB_KEY_Execute, KEY_SYSRQ },
	{ XKB_KEY_Pause, KEY_PAUSE },
	{ XKB_KEY_Break, KEY_PAUSE },
	{ XKB_KEY_Menu, KEY_COMPOSE },
	{ XKB_KEY_Multi_key, KEY_COMPOSE },
	{ XKB_KEY_ISO_Left_Tab, KEY_TAB },
	{ XKB_KEY_Linefeed, KEY_ENTER },
	{ XKB_KEY_KP_Decimal, KEY_KPDOT },
	{ XKB_KEY_F13, KEY_F13 },
	{ XKB_KEY_F14, KEY_F14 },
	{ XKB_KEY_F15, KEY_F15 },
	{ XKB_KEY_F16, KEY_F16 },
	{ XKB_KEY_F17, KEY_F17 },
	{ XKB_KEY_F18, KEY_F18 },
	{ XKB_KEY_F19, KEY_F19 },
	{ XKB_KEY_F20, KEY_F20 },
	{ XKB_KEY_F21, KEY_F21 },
	{ XKB_KEY_F22, KEY_F22 },
	{ XKB_KEY_F23, KEY_F23 },
	{ XKB_KEY_F24, KEY_F24 },
	{ XKB_KEY_Henkan_Mode, KEY_HENKAN },
	{ XKB_KEY_Muhenkan, KEY_MUHENKAN },
	{ XKB_KEY_Hiragana_Katakana, KEY_KATAKANAHIRAGANA },
	{ XKB_KEY_Hiragana, KEY_HIRAGANA },
	{ XKB_KEY_Katakana, KEY_KATAKANA },
	{ XKB_KEY_Zenkaku_Hankaku, KEY_ZENKAKUHANKAKU },
	{ XKB_KEY_Hangul, KEY_HANGEUL },
	{ XKB_KEY_Hangul_Hanja, KEY_HANJA },
	{ XKB_KEY_XF86PowerOff, KEY_POWER },
};

/* Clients with dead keys name the accent; the US layout has it as a symbol of its own. */
static const struct {
	uint32_t dead, plain;
} dead_keys[] = {
	{ XKB_KEY_dead_grave, XKB_KEY_grave },
	{ XKB_KEY_dead_acute, XKB_KEY_apostrophe },
	{ XKB_KEY_dead_circumflex, XKB_KEY_asciicircum },
	{ XKB_KEY_dead_tilde, XKB_KEY_asciitilde },
	{ XKB_KEY_dead_diaeresis, XKB_KEY_quotedbl },
};

static bool is_keypad(uint32_t keysym)
{
	return keysym >= XKB_KEY_KP_Space && keysym <= XKB_KEY_KP_Equal;
}

static bool is_printable(uint32_t keysym)
{
	uint32_t character = xkb_keysym_to_utf32(keysym);

	return !is_keypad(keysym) && character >= 0x20 && character != 0x7f;
}

static int by_keysym_and_rank(const void *left, const void *right)
{
	const struct symbol *a = left, *b = right;

	if (a->keysym != b->keysym)
		return a->keysym < b->keysym ? -1 : 1;
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	return (a->code > b->code) - (a->code < b->code);
}

static int by_keysym(const void *key, const void *element)
{
	uint32_t keysym = *(const uint32_t *)key;
	const struct symbol *symbol = element;

	return (keysym > symbol->keysym) - (keysym < symbol->keysym);
}

/* Which modifiers lead to the key's second level. */
static void second_level(struct xkb_keymap *keymap, xkb_keycode_t keycode, bool *shift, bool *lock)
{
	xkb_mod_mask_t masks[8];
	size_t count = xkb_keymap_key_get_mods_for_level(keymap, keycode, 0, 1, masks, 8);
	xkb_mod_mask_t shift_mask = 1u << xkb_keymap_mod_get_index(keymap, XKB_MOD_NAME_SHIFT);
	xkb_mod_mask_t lock_mask = 1u << xkb_keymap_mod_get_index(keymap, XKB_MOD_NAME_CAPS);

	*shift = *lock = false;
	for (size_t i = 0; i < count; i++) {
		*shift |= masks[i] == shift_mask;
		*lock |= masks[i] == lock_mask;
	}
}

/* Adds the symbols of one key; symbols may be NULL to count them only. */
static size_t add_key(struct xkb_keymap *keymap, xkb_keycode_t keycode, struct symbol *symbols)
{
	xkb_level_index_t levels = xkb_keymap_num_levels_for_key(keymap, keycode, 0);
	unsigned code = keycode - XKB_EVDEV_OFFSET;
	bool shift = false, lock = false;
	size_t added = 0;

	if (levels > 1)
		second_level(keymap, keycode, &shift, &lock);
	for (xkb_level_index_t level = 0; level < levels && level < 2; level++) {
		const xkb_keysym_t *keysyms;
		int count = xkb_keymap_key_get_syms_by_level(keymap, keycode, 0, level, &keysyms);

		/* The second level of a keypad key is a matter of Num Lock, not ours. */
		if (count != 1 || (level == 1 && !shift && !is_keypad(keysyms[0])))
			continue;
		if (symbols) {
			struct symbol *symbol = &symbols[added];

			symbol->keysym = keysyms[0];
			symbol->code = (uint16_t)code;
			symbol->printable = is_printable(keysyms[0]);
			symbol->letter = lock && symbol->printable;
			symbol->need = SHIFT_ANY;
			if (level == 1 && !is_keypad(keysyms[0]))
				symbol->need = SHIFT_DOWN;
			else if (symbol->printable)
				symbol->need = SHIFT_UP;
			/* The main block before the keys that few keyboards have. */
			symbol->rank = (uint8_t)(1 + level + (code >= 128 ? 4 : 0) +
						 (code == KEY_102ND ? 2 : 0));
		}
		added++;
	}
	return added;
}

static size_t add_all(struct xkb_keymap *keymap, struct symbol *symbols)
{
	xkb_keycode_t last = xkb_keymap_max_keycode(keymap);
	size_t count = 0;

	for (xkb_keycode_t keycode = xkb_keymap_min_keycode(keymap); keycode <= last; keycode++) {
		if (keycode <= XKB_EVDEV_OFFSET || keycode - XKB_EVDEV_OFFSET >= KEY_CNT)
			continue;
		count += add_key(keymap, keycode, symbols ? symbols + count : NULL);
	}
	for (size_t i = 0; i < array_size(fixed); i++, count++) {
		if (symbols)
			symbols[count] = (struct symbol){ .keysym = fixed[i].keysym,
				.code = fixed[i].code,
				.need = fixed[i].keysym == XKB_KEY_ISO_Left_Tab ? SHIFT_DOWN
										: SHIFT_ANY };
	}
	return count;
}

int vnc_keymap_create(struct vnc_keymap **out, struct error *err)
{
	const struct xkb_rule_names names = {
		.rules = "evdev", .model = "pc105", .layout = "us", .variant = "", .options = ""
	};
	struct xkb_context *context = xkb_context_new(XKB_CONTEXT_NO_ENVIRONMENT_NAMES);
	struct xkb_keymap *keymap = NULL;
	struct vnc_keymap *table = NULL;
	size_t count, kept = 0;

	if (context) {
		xkb_context_set_log_level(context, XKB_LOG_LEVEL_CRITICAL);
		keymap = xkb_keymap_new_from_names(context, &names, XKB_KEYMAP_COMPILE_NO_FLAGS);
	}
	if (keymap) {
		count = add_all(keymap, NULL);
		table = calloc(1, sizeof(*table) + count * sizeof(table->symbols[0]));
	}
	if (table) {
		add_all(keymap, table->symbols);
		qsort(table->symbols, count, sizeof(table->symbols[0]), by_keysym_and_rank);
		for (size_t i = 0; i < count; i++) {
			if (!kept || table->symbols[kept - 1].keysym != table->symbols[i].keysym)
				table->symbols[kept++] = table->symbols[i];
		}
		table->count = kept;
	}
	xkb_keymap_unref(keymap);
	xkb_context_unref(context);
	if (!table)
		return error_set(err, ENOENT,
			"vnc: cannot load the US keyboard layout (install the package xkb-data)");
	*out = table;
	return 0;
}

void vnc_keymap_destroy(struct vnc_keymap *keymap)
{
	free(keymap);
}

static const struct symbol *find(const struct vnc_keymap *keymap, uint32_t keysym)
{
	for (size_t i = 0; i < array_size(dead_keys); i++) {
		if (dead_keys[i].dead == keysym)
			keysym = dead_keys[i].plain;
	}
	/* Some clients send every character as a Unicode keysym. */
	if (keysym >= 0x01000020 && keysym <= 0x0110ffff)
		keysym = xkb_utf32_to_keysym(keysym & 0x00ffffff);
	return bsearch(
		&keysym, keymap->symbols, keymap->count, sizeof(keymap->symbols[0]), by_keysym);
}

static int modifier_of(uint32_t keysym)
{
	switch (keysym) {
	case XKB_KEY_Shift_L:
		return HELD_SHIFT_LEFT;
	case XKB_KEY_Shift_R:
		return HELD_SHIFT_RIGHT;
	case XKB_KEY_ISO_Level3_Shift:
	case XKB_KEY_Mode_switch:
		return HELD_ALTGR;
	case XKB_KEY_Alt_R:
	case XKB_KEY_Meta_R:
		return HELD_ALT_RIGHT;
	default:
		return -1;
	}
}

/* Brings Shift and AltGr in the guest to what the next key needs; otherwise to what the client
 * holds. */
static void set_modifiers(struct vnc_keyboard *keyboard, enum shift_need need, bool no_altgr)
{
	const bool *held = keyboard->held;
	bool target[GUEST_MODIFIERS] = {
		[GUEST_SHIFT_LEFT] = held[HELD_SHIFT_LEFT],
		[GUEST_SHIFT_RIGHT] = held[HELD_SHIFT_RIGHT],
		[GUEST_ALT_RIGHT] = held[HELD_ALT_RIGHT] || (held[HELD_ALTGR] && !no_altgr),
	};

	if (need == SHIFT_UP)
		target[GUEST_SHIFT_LEFT] = target[GUEST_SHIFT_RIGHT] = false;
	else if (need == SHIFT_DOWN && !target[GUEST_SHIFT_RIGHT])
		target[GUEST_SHIFT_LEFT] = true;
	for (int down = 0; down < 2; down++) {
		for (int i = 0; i < GUEST_MODIFIERS; i++) {
			if (target[i] == keyboard->guest[i] || target[i] != (bool)down)
				continue;
			keyboard->guest[i] = target[i];
			keyboard->emit(keyboard->opaque, modifier_codes[i], target[i]);
		}
	}
}

static void press(struct vnc_keyboard *keyboard, uint32_t keysym, unsigned leds)
{
	const struct symbol *symbol = find(keyboard->keymap, keysym);
	enum shift_need need;

	if (!symbol) {
		log_guest("vnc", "the US layout has no key for keysym 0x%x", keysym);
		return;
	}
	for (unsigned i = 0; i < keyboard->down_count; i++) {
		if (keyboard->down[i].code == symbol->code)
			return; /* the client's auto-repeat; the guest makes its own */
	}
	if (keyboard->down_count == VNC_KEYBOARD_MAX_DOWN)
		return;
	need = symbol->need;
	if (symbol->letter && (leds & INPUT_LED_CAPS))
		need = need == SHIFT_UP ? SHIFT_DOWN : SHIFT_UP;
	set_modifiers(keyboard, need, symbol->printable);
	keyboard->down[keyboard->down_count].keysym = keysym;
	keyboard->down[keyboard->down_count].code = symbol->code;
	keyboard->down[keyboard->down_count].printable = symbol->printable;
	keyboard->down_count++;
	keyboard->emit(keyboard->opaque, symbol->code, true);
}

static void release(struct vnc_keyboard *keyboard, uint32_t keysym)
{
	const struct symbol *symbol = find(keyboard->keymap, keysym);
	unsigned found = keyboard->down_count;

	for (unsigned i = 0; i < keyboard->down_count; i++) {
		if (keyboard->down[i].keysym == keysym) {
			found = i;
			break;
		}
		if (symbol && keyboard->down[i].code == symbol->code)
			found = i; /* "A" down, "a" up: Shift went first */
	}
	/* "&" down, "6" up on a layout other than ours: one of those that are down has changed its
	 * name, the oldest most likely. A key too many released is better than one that sticks. */
	if (found == keyboard->down_count && (!symbol || symbol->printable)) {
		for (found = 0; found < keyboard->down_count; found++) {
			if (keyboard->down[found].printable)
				break;
		}
	}
	if (found == keyboard->down_count)
		return;
	keyboard->emit(keyboard->opaque, keyboard->down[found].code, false);
	keyboard->down_count--;
	memmove(&keyboard->down[found], &keyboard->down[found + 1],
		(keyboard->down_count - found) * sizeof(keyboard->down[0]));
	set_modifiers(keyboard, SHIFT_ANY, false);
}

void vnc_keyboard_init(struct vnc_keyboard *keyboard, const struct vnc_keymap *keymap,
	void (*emit)(void *opaque, unsigned code, bool down), void *opaque)
{
	memset(keyboard, 0, sizeof(*keyboard));
	keyboard->keymap = keymap;
	keyboard->emit = emit;
	keyboard->opaque = opaque;
}

void vnc_keyboard_event(struct vnc_keyboard *keyboard, uint32_t keysym, bool down, unsigned leds)
{
	int modifier = modifier_of(keysym);

	if (modifier >= 0) {
		keyboard->held[modifier] = down;
		set_modifiers(keyboard, SHIFT_ANY, false);
	} else if (down) {
		press(keyboard, keysym, leds);
	} else {
		release(keyboard, keysym);
	}
}

void vnc_keyboard_release_all(struct vnc_keyboard *keyboard)
{
	while (keyboard->down_count) {
		keyboard->down_count--;
		keyboard->emit(keyboard->opaque, keyboard->down[keyboard->down_count].code, false);
	}
	memset(keyboard->held, 0, sizeof(keyboard->held));
	set_modifiers(keyboard, SHIFT_ANY, false);
}
