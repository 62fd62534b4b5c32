/* Keysyms to keys; see keysym_keyboard.h. */
#include "input/keysym_keyboard.h"

#include <linux/input-event-codes.h>
#include <string.h>
#include <xkbcommon/xkbcommon-keysyms.h>

#include "core/log.h"
#include "input/compose.h"

/* What a client may hold. */
enum {
	HELD_SHIFT_LEFT,
	HELD_SHIFT_RIGHT,
	HELD_ALTGR,
	HELD_ALT_RIGHT, /* the same key as AltGr in the guest */
	HELD_CTRL_LEFT,
	HELD_COUNT,
};
enum {
	GUEST_SHIFT_LEFT,
	GUEST_SHIFT_RIGHT,
	GUEST_ALT_RIGHT,
	GUEST_CTRL_LEFT,
	GUEST_COUNT,
};
_Static_assert(HELD_COUNT == KEYSYM_KEYBOARD_HELD, "as the header has it");
_Static_assert(GUEST_COUNT == KEYSYM_KEYBOARD_GUEST, "as the header has it");

static const uint16_t modifier_codes[GUEST_COUNT] = { KEY_LEFTSHIFT, KEY_RIGHTSHIFT, KEY_RIGHTALT,
	KEY_LEFTCTRL };

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
	case XKB_KEY_Control_L:
		return HELD_CTRL_LEFT;
	default:
		return -1;
	}
}

static bool is_shortcut_modifier(unsigned code)
{
	return code == KEY_RIGHTCTRL || code == KEY_LEFTALT || code == KEY_LEFTMETA ||
	       code == KEY_RIGHTMETA;
}

/* Whether Ctrl and the right Alt together are the client's way to say AltGr. With a letter or a
 * digit they are what they say: no layout has those on AltGr. */
static bool says_altgr(const struct keysym_keyboard *keyboard, uint32_t keysym)
{
	bool alphanumeric = (keysym >= '0' && keysym <= '9') || (keysym >= 'A' && keysym <= 'Z') ||
			    (keysym >= 'a' && keysym <= 'z') || keysym == ' ';

	return keyboard->held[HELD_CTRL_LEFT] && keyboard->held[HELD_ALT_RIGHT] && !alphanumeric;
}

/* Whether a letter is a command now. */
static bool is_shortcut(const struct keysym_keyboard *keyboard, uint32_t keysym)
{
	if (says_altgr(keyboard, keysym))
		return false;
	if (keyboard->held[HELD_CTRL_LEFT] ||
		(keyboard->held[HELD_ALT_RIGHT] && !keymap_has_altgr(keyboard->keymap)))
		return true;
	for (unsigned i = 0; i < keyboard->down_count; i++) {
		if (is_shortcut_modifier(keyboard->down[i].code))
			return true;
	}
	return false;
}

static void set_guest(struct keysym_keyboard *keyboard, const bool target[GUEST_COUNT])
{
	for (unsigned down = 0; down < 2; down++) {
		for (unsigned i = 0; i < GUEST_COUNT; i++) {
			if (target[i] == keyboard->guest[i] || target[i] != (bool)down)
				continue;
			keyboard->guest[i] = target[i];
			keyboard->emit(keyboard->opaque, modifier_codes[i], target[i]);
		}
	}
}

/* Modifiers in the guest as the client holds them. */
static void as_held(const struct keysym_keyboard *keyboard, bool target[GUEST_COUNT])
{
	const bool *held = keyboard->held;

	target[GUEST_SHIFT_LEFT] = held[HELD_SHIFT_LEFT];
	target[GUEST_SHIFT_RIGHT] = held[HELD_SHIFT_RIGHT];
	target[GUEST_ALT_RIGHT] = held[HELD_ALT_RIGHT] || held[HELD_ALTGR];
	target[GUEST_CTRL_LEFT] = held[HELD_CTRL_LEFT];
}

/* Modifiers in the guest as the key needs them for its symbol; otherwise as the client has them. */
static void set_modifiers(struct keysym_keyboard *keyboard, const struct keymap_key *key,
	uint32_t keysym, bool shortcut)
{
	bool target[GUEST_COUNT];

	as_held(keyboard, target);
	if (!(key->level & (KEYMAP_ANY | KEYMAP_ANY_SHIFT)) && !(shortcut && key->letter)) {
		if (!(key->level & KEYMAP_SHIFT))
			target[GUEST_SHIFT_LEFT] = target[GUEST_SHIFT_RIGHT] = false;
		else if (!target[GUEST_SHIFT_RIGHT])
			target[GUEST_SHIFT_LEFT] = true;
	}
	if (!(key->level & KEYMAP_ANY) && keymap_has_altgr(keyboard->keymap))
		target[GUEST_ALT_RIGHT] = key->level & KEYMAP_ALTGR;
	if (key->printable) {
		if (says_altgr(keyboard, keysym))
			target[GUEST_CTRL_LEFT] = false;
		/* A layout without AltGr has no symbols on it; with the right Alt it has. */
		if (!keymap_has_altgr(keyboard->keymap) &&
			(says_altgr(keyboard, keysym) || !keyboard->held[HELD_ALT_RIGHT]))
			target[GUEST_ALT_RIGHT] = false;
	}
	set_guest(keyboard, target);
}

static int find_code(const struct keysym_keyboard *keyboard, unsigned code)
{
	for (unsigned i = 0; i < keyboard->down_count; i++) {
		if (keyboard->down[i].code == code)
			return (int)i;
	}
	return -1;
}

static int find_keysym(const struct keysym_keyboard *keyboard, uint32_t keysym)
{
	for (unsigned i = 0; i < keyboard->down_count; i++) {
		if (keyboard->down[i].keysym == keysym)
			return (int)i;
	}
	return -1;
}

static void forget(struct keysym_keyboard *keyboard, unsigned index)
{
	keyboard->down_count--;
	memmove(&keyboard->down[index], &keyboard->down[index + 1],
		(keyboard->down_count - index) * sizeof(keyboard->down[0]));
}

static void let_go(struct keysym_keyboard *keyboard, unsigned index)
{
	if (keyboard->down[index].code)
		keyboard->emit(keyboard->opaque, keyboard->down[index].code, false);
	forget(keyboard, index);
}

static void strike(struct keysym_keyboard *keyboard, unsigned code)
{
	int index = find_code(keyboard, code);

	/* It is down for something else: up first, or the guest would not notice. */
	if (index >= 0)
		let_go(keyboard, (unsigned)index);
	keyboard->emit(keyboard->opaque, code, true);
	keyboard->emit(keyboard->opaque, code, false);
}

/* Taps Caps Lock for a symbol, or to undo that. */
static void turn_caps(struct keysym_keyboard *keyboard)
{
	struct keymap_key key;

	if (!keymap_find(keyboard->keymap, XKB_KEY_Caps_Lock, false, &key) ||
		find_code(keyboard, key.code) >= 0)
		return;
	set_modifiers(keyboard, &key, XKB_KEY_Caps_Lock, false);
	strike(keyboard, key.code);
	caps_lock_tapped(&keyboard->caps);
	keyboard->caps_turned = !keyboard->caps_turned;
}

/* Everything besides the keys as the client has it. */
static void settle(struct keysym_keyboard *keyboard)
{
	bool target[GUEST_COUNT];

	if (keyboard->caps_turned)
		turn_caps(keyboard);
	as_held(keyboard, target);
	set_guest(keyboard, target);
}

static uint8_t shifts_held(const struct keysym_keyboard *keyboard)
{
	uint8_t under = 0;

	for (unsigned i = HELD_SHIFT_LEFT; i <= HELD_ALTGR; i++) {
		if (keyboard->held[i])
			under = (uint8_t)(under | 1u << i);
	}
	return under;
}

static bool is_caps_lock(uint32_t keysym)
{
	return keysym == XKB_KEY_Caps_Lock || keysym == XKB_KEY_Shift_Lock;
}

/* Where a US keyboard has a letter; 0: it is none. */
static uint16_t place_of(uint32_t keysym)
{
	static const struct {
		const char *letters;
		uint16_t first;
	} rows[] = { { "qwertyuiop", KEY_Q }, { "asdfghjkl", KEY_A }, { "zxcvbnm", KEY_Z } };

	if (keysym >= 'A' && keysym <= 'Z')
		keysym += 'a' - 'A';
	for (size_t i = 0; keysym >= 'a' && keysym <= 'z' && i < array_size(rows); i++) {
		const char *at = strchr(rows[i].letters, (int)keysym);

		if (at)
			return (uint16_t)(rows[i].first + (at - rows[i].letters));
	}
	return 0;
}

/* A shortcut's letter on a layout without Latin letters is the key at its place, as guests take it
 * themselves. */
static bool find_strokes(const struct keysym_keyboard *keyboard, uint32_t keysym, bool caps,
	bool shortcut, struct keymap_strokes *strokes)
{
	uint16_t place = shortcut ? place_of(keysym) : 0;

	if (keymap_find_strokes(keyboard->keymap, keysym, caps, strokes))
		return true;
	*strokes = (struct keymap_strokes){ .count = 1, .caps = caps };
	strokes->keys[0] = (struct keymap_key){
		.code = place, .level = KEYMAP_ANY, .letter = true, .printable = true
	};
	return place;
}

/* Strikes or presses what gives the symbol. hold: the client will say when it is let go. */
static bool type(struct keysym_keyboard *keyboard, uint32_t keysym, unsigned leds, bool hold)
{
	/* As the guest has it apart from what was done here for one symbol. */
	const bool caps = caps_lock_look(&keyboard->caps, leds) ^ keyboard->caps_turned;
	const bool shortcut = is_shortcut(keyboard, keysym);
	struct keymap_strokes strokes;
	struct keymap_key *key;
	int index;

	if (!find_strokes(keyboard, keysym, caps, shortcut, &strokes))
		return false;
	key = &strokes.keys[strokes.count - 1];
	index = hold && strokes.count == 1 ? find_code(keyboard, key->code) : -1;
	if (index >= 0 && (keyboard->down[index].keysym == keysym || !key->printable || shortcut))
		return true; /* the client's auto-repeat; the guest makes its own */
	/* Two keys of the client are one here; or one symbol is on another key, now that Caps Lock
	 * has changed: what is down goes first. */
	if (index < 0)
		index = find_keysym(keyboard, keysym);
	if (index >= 0)
		let_go(keyboard, (unsigned)index);
	if (!shortcut && (strokes.caps != caps) != keyboard->caps_turned)
		turn_caps(keyboard);
	if (strokes.count > 1) {
		set_modifiers(keyboard, &strokes.keys[0], keysym, false);
		strike(keyboard, strokes.keys[0].code);
	}
	set_modifiers(keyboard, key, keysym, shortcut);
	if (!hold || strokes.count > 1) {
		/* The guest's own repeat of it would lack the accent; the client's does not. */
		strike(keyboard, key->code);
		settle(keyboard);
	} else {
		keyboard->emit(keyboard->opaque, key->code, true);
		if (is_caps_lock(keysym))
			caps_lock_tapped(&keyboard->caps);
	}
	if (hold)
		keyboard->down[keyboard->down_count++] = (struct keysym_down){
			.keysym = keysym,
			.code = strokes.count > 1 ? 0 : key->code,
			.printable = key->printable,
			.under = key->printable ? shifts_held(keyboard) : 0,
		};
	return true;
}

static bool is_printable(const struct keysym_keyboard *keyboard, uint32_t keysym)
{
	return keymap_character_of(keyboard->keymap, keysym) || compose_is_dead(keysym);
}

/* A letter after a dead key that the layout has not. True: the two made a symbol that it has. */
static bool combine(struct keysym_keyboard *keyboard, uint32_t keysym, unsigned leds)
{
	uint32_t dead = keyboard->dead, made, accent;

	keyboard->dead = 0;
	made = keysym == dead ? compose_twice(dead)
			      : compose(dead, keymap_character_of(keyboard->keymap, keysym));
	if (made && type(keyboard, keymap_keysym_of(made), leds, false)) {
		keyboard->ended++;
		return true;
	}
	/* Side by side is the best that the layout can do. */
	accent = compose(dead, ' ');
	if (accent)
		type(keyboard, keymap_keysym_of(accent), leds, false);
	if (keysym != dead && keysym != ' ')
		return false;
	keyboard->ended++;
	return true;
}

static void press(struct keysym_keyboard *keyboard, uint32_t keysym, unsigned leds)
{
	bool printable = is_printable(keyboard, keysym);
	struct keymap_key key;

	if (keyboard->down_count == KEYSYM_KEYBOARD_MAX_DOWN)
		return;
	if (keyboard->dead && printable && combine(keyboard, keysym, leds))
		return;
	if (type(keyboard, keysym, leds, true))
		return;
	if (compose_is_dead(keysym) && !keymap_find(keyboard->keymap, keysym, false, &key))
		keyboard->dead = keysym;
	else
		log_guest("input", "the keymap %s has no key for keysym 0x%x",
			keymap_name(keyboard->keymap), keysym);
}

static void release(struct keysym_keyboard *keyboard, uint32_t keysym)
{
	struct keymap_key key;
	bool known = keymap_find(keyboard->keymap, keysym, false, &key);
	int found = find_keysym(keyboard, keysym);

	if (found < 0 && known)
		found = find_code(keyboard, key.code); /* "A" down, "a" up: Shift went first */
	if (found < 0 && (known ? key.printable : is_printable(keyboard, keysym))) {
		if (keyboard->ended) {
			keyboard->ended--;
			return;
		}
		/* "&" down, "6" up on a layout other than the guest's: one of those that are down
		 * has changed its name, the oldest most likely. A key too many released is better
		 * than one that sticks. */
		for (unsigned i = 0; i < keyboard->down_count && found < 0; i++) {
			if (keyboard->down[i].printable)
				found = (int)i;
		}
	}
	if (found < 0)
		return;
	let_go(keyboard, (unsigned)found);
	settle(keyboard);
}

/* Keys that were pressed under a modifier end with it. */
static void end_those_under(struct keysym_keyboard *keyboard, unsigned modifier)
{
	for (unsigned i = keyboard->down_count; i-- > 0;) {
		if (!(keyboard->down[i].under & 1u << modifier))
			continue;
		let_go(keyboard, i);
		keyboard->ended++;
	}
}

void keysym_keyboard_init(struct keysym_keyboard *keyboard, const struct keymap *keymap,
	void (*emit)(void *opaque, unsigned code, bool down), void *opaque)
{
	memset(keyboard, 0, sizeof(*keyboard));
	keyboard->keymap = keymap;
	keyboard->emit = emit;
	keyboard->opaque = opaque;
}

void keysym_keyboard_event(
	struct keysym_keyboard *keyboard, uint32_t keysym, bool down, unsigned leds)
{
	int modifier = modifier_of(keysym);

	if (modifier >= 0) {
		if (!down && keyboard->held[modifier])
			end_those_under(keyboard, (unsigned)modifier);
		keyboard->held[modifier] = down;
		settle(keyboard);
	} else if (down) {
		press(keyboard, keysym, leds);
	} else {
		release(keyboard, keysym);
	}
}

void keysym_keyboard_release_all(struct keysym_keyboard *keyboard)
{
	while (keyboard->down_count)
		let_go(keyboard, keyboard->down_count - 1);
	memset(keyboard->held, 0, sizeof(keyboard->held));
	settle(keyboard);
	keyboard->ended = 0;
	keyboard->dead = 0;
}
