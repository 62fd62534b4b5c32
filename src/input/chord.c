/* Key combinations for vmgui itself; see chord.h. */
#include "input/chord.h"

#include <ctype.h>
#include <errno.h>
#include <linux/input-event-codes.h>
#include <stdio.h>
#include <string.h>
#include <xkbcommon/xkbcommon-keysyms.h>

#define MODIFIERS (CHORD_CTRL | CHORD_ALT | CHORD_SHIFT | CHORD_SUPER)

static const struct {
	const char *name;
	unsigned modifier;
} modifier_names[] = {
	{ "ctrl", CHORD_CTRL },
	{ "control", CHORD_CTRL },
	{ "alt", CHORD_ALT },
	{ "option", CHORD_ALT },
	{ "shift", CHORD_SHIFT },
	{ "super", CHORD_SUPER },
	{ "meta", CHORD_SUPER },
	{ "win", CHORD_SUPER },
	{ "windows", CHORD_SUPER },
	{ "logo", CHORD_SUPER },
	{ "cmd", CHORD_SUPER },
};

/* In the order in which they are written: Ctrl-Alt-Shift-Super. */
static const struct {
	unsigned modifier;
	const char *text;
	uint32_t keysym[2]; /* left, right */
	uint16_t code[2];
} modifier_keys[] = {
	{ CHORD_CTRL, "Ctrl", { XKB_KEY_Control_L, XKB_KEY_Control_R },
		{ KEY_LEFTCTRL, KEY_RIGHTCTRL } },
	{ CHORD_ALT, "Alt", { XKB_KEY_Alt_L, XKB_KEY_Alt_R }, { KEY_LEFTALT, KEY_RIGHTALT } },
	{ CHORD_SHIFT, "Shift", { XKB_KEY_Shift_L, XKB_KEY_Shift_R },
		{ KEY_LEFTSHIFT, KEY_RIGHTSHIFT } },
	{ CHORD_SUPER, "Super", { XKB_KEY_Super_L, XKB_KEY_Super_R },
		{ KEY_LEFTMETA, KEY_RIGHTMETA } },
};

/* Names without hyphens: "page-up" and "pageup" are one. The first of several is the one shown. */
static const struct {
	const char *name, *text;
	uint32_t keysym;
	uint16_t code;
} key_names[] = {
	{ "escape", "Escape", XKB_KEY_Escape, KEY_ESC },
	{ "esc", "Escape", XKB_KEY_Escape, KEY_ESC },
	{ "pause", "Pause", XKB_KEY_Pause, KEY_PAUSE },
	{ "break", "Pause", XKB_KEY_Pause, KEY_PAUSE },
	{ "tab", "Tab", XKB_KEY_Tab, KEY_TAB },
	{ "return", "Return", XKB_KEY_Return, KEY_ENTER },
	{ "enter", "Return", XKB_KEY_Return, KEY_ENTER },
	{ "space", "Space", XKB_KEY_space, KEY_SPACE },
	{ "backspace", "Backspace", XKB_KEY_BackSpace, KEY_BACKSPACE },
	{ "insert", "Insert", XKB_KEY_Insert, KEY_INSERT },
	{ "ins", "Insert", XKB_KEY_Insert, KEY_INSERT },
	{ "delete", "Delete", XKB_KEY_Delete, KEY_DELETE },
	{ "del", "Delete", XKB_KEY_Delete, KEY_DELETE },
	{ "home", "Home", XKB_KEY_Home, KEY_HOME },
	{ "end", "End", XKB_KEY_End, KEY_END },
	{ "pageup", "Page-Up", XKB_KEY_Page_Up, KEY_PAGEUP },
	{ "pgup", "Page-Up", XKB_KEY_Page_Up, KEY_PAGEUP },
	{ "pagedown", "Page-Down", XKB_KEY_Page_Down, KEY_PAGEDOWN },
	{ "pgdn", "Page-Down", XKB_KEY_Page_Down, KEY_PAGEDOWN },
	{ "up", "Up", XKB_KEY_Up, KEY_UP },
	{ "down", "Down", XKB_KEY_Down, KEY_DOWN },
	{ "left", "Left", XKB_KEY_Left, KEY_LEFT },
	{ "right", "Right", XKB_KEY_Right, KEY_RIGHT },
	{ "print", "Print", XKB_KEY_Print, KEY_SYSRQ },
	{ "sysrq", "Print", XKB_KEY_Print, KEY_SYSRQ },
	{ "scrolllock", "Scroll-Lock", XKB_KEY_Scroll_Lock, KEY_SCROLLLOCK },
	{ "numlock", "Num-Lock", XKB_KEY_Num_Lock, KEY_NUMLOCK },
	{ "capslock", "Caps-Lock", XKB_KEY_Caps_Lock, KEY_CAPSLOCK },
	{ "menu", "Menu", XKB_KEY_Menu, KEY_COMPOSE },
	{ "minus", "Minus", XKB_KEY_minus, KEY_MINUS },
	{ "equal", "Equal", XKB_KEY_equal, KEY_EQUAL },
	{ "comma", "Comma", XKB_KEY_comma, KEY_COMMA },
	{ "period", "Period", XKB_KEY_period, KEY_DOT },
	{ "dot", "Period", XKB_KEY_period, KEY_DOT },
	{ "slash", "Slash", XKB_KEY_slash, KEY_SLASH },
	{ "backslash", "Backslash", XKB_KEY_backslash, KEY_BACKSLASH },
	{ "semicolon", "Semicolon", XKB_KEY_semicolon, KEY_SEMICOLON },
	{ "apostrophe", "Apostrophe", XKB_KEY_apostrophe, KEY_APOSTROPHE },
	{ "grave", "Grave", XKB_KEY_grave, KEY_GRAVE },
	{ "bracketleft", "Bracket-Left", XKB_KEY_bracketleft, KEY_LEFTBRACE },
	{ "bracketright", "Bracket-Right", XKB_KEY_bracketright, KEY_RIGHTBRACE },
};

static const uint16_t letter_codes[26] = { KEY_A, KEY_B, KEY_C, KEY_D, KEY_E, KEY_F, KEY_G, KEY_H,
	KEY_I, KEY_J, KEY_K, KEY_L, KEY_M, KEY_N, KEY_O, KEY_P, KEY_Q, KEY_R, KEY_S, KEY_T, KEY_U,
	KEY_V, KEY_W, KEY_X, KEY_Y, KEY_Z };
static const uint16_t function_codes[24] = { KEY_F1, KEY_F2, KEY_F3, KEY_F4, KEY_F5, KEY_F6, KEY_F7,
	KEY_F8, KEY_F9, KEY_F10, KEY_F11, KEY_F12, KEY_F13, KEY_F14, KEY_F15, KEY_F16, KEY_F17,
	KEY_F18, KEY_F19, KEY_F20, KEY_F21, KEY_F22, KEY_F23, KEY_F24 };

static unsigned modifier_named(const char *name, size_t length)
{
	for (size_t i = 0; i < array_size(modifier_names); i++) {
		if (strlen(modifier_names[i].name) == length &&
			memcmp(modifier_names[i].name, name, length) == 0)
			return modifier_names[i].modifier;
	}
	return 0;
}

static void append(struct key_chord *chord, const char *text)
{
	size_t used = strlen(chord->text);

	snprintf(chord->text + used, sizeof(chord->text) - used, "%s", text);
}

/* "ctrl", "leftctrl", "rightctrl": the key is a modifier itself. */
static bool set_lone(struct key_chord *chord, const char *name)
{
	bool left = strncmp(name, "left", 4) == 0, right = strncmp(name, "right", 5) == 0;
	unsigned modifier;

	name += left ? 4 : right ? 5 : 0;
	modifier = modifier_named(name, strlen(name));
	if (!modifier || (chord->modifiers & modifier))
		return false;
	for (size_t i = 0; i < array_size(modifier_keys); i++) {
		if (modifier_keys[i].modifier != modifier)
			continue;
		chord->keysym = modifier_keys[i].keysym[right];
		chord->code = modifier_keys[i].code[right];
		append(chord, left ? "Left " : right ? "Right " : "");
		append(chord, modifier_keys[i].text);
	}
	chord->lone = modifier;
	chord->either = !left && !right;
	return true;
}

static bool set_key(struct key_chord *chord, const char *name)
{
	char text[4];
	unsigned number;
	int length = 0;

	if (name[0] >= 'a' && name[0] <= 'z' && !name[1]) {
		chord->keysym = (uint32_t)name[0];
		chord->code = letter_codes[name[0] - 'a'];
		snprintf(text, sizeof(text), "%c", toupper(name[0]));
		append(chord, text);
		return true;
	}
	if (name[0] >= '0' && name[0] <= '9' && !name[1]) {
		chord->keysym = (uint32_t)name[0];
		chord->code = (uint16_t)(name[0] == '0' ? KEY_0 : KEY_1 + (name[0] - '1'));
		append(chord, name);
		return true;
	}
	if (sscanf(name, "f%2u%n", &number, &length) == 1 && !name[length] && number >= 1 &&
		number <= array_size(function_codes) && isdigit((unsigned char)name[1])) {
		chord->keysym = XKB_KEY_F1 + number - 1;
		chord->code = function_codes[number - 1];
		snprintf(text, sizeof(text), "F%u", number);
		append(chord, text);
		return true;
	}
	for (size_t i = 0; i < array_size(key_names); i++) {
		if (strcmp(key_names[i].name, name) == 0) {
			chord->keysym = key_names[i].keysym;
			chord->code = key_names[i].code;
			append(chord, key_names[i].text);
			return true;
		}
	}
	return set_lone(chord, name);
}

/* Takes modifiers off the front; what is left is the key. */
static const char *take_modifiers(const char *text, unsigned *modifiers)
{
	for (;;) {
		size_t length = strcspn(text, "-");
		unsigned modifier = modifier_named(text, length);

		if (!modifier || !text[length] || (*modifiers & modifier))
			return text;
		*modifiers |= modifier;
		text += length + 1;
	}
}

int chord_parse(const char *text, const char *option, struct key_chord *chord, struct error *err)
{
	char lower[48] = "", name[48] = "";
	const char *key;
	size_t length = strlen(text), used = 0;

	memset(chord, 0, sizeof(*chord));
	if (length < sizeof(lower)) {
		for (size_t i = 0; i <= length; i++)
			lower[i] = text[i] == '+' || text[i] == '_' || text[i] == ' '
					   ? '-'
					   : (char)tolower((unsigned char)text[i]);
		if (strcmp(lower, "none") == 0) {
			append(chord, "none");
			return 0;
		}
		key = take_modifiers(lower, &chord->modifiers);
		for (; *key; key++) {
			if (*key != '-')
				name[used++] = *key;
		}
		for (size_t i = 0; i < array_size(modifier_keys); i++) {
			if (!(chord->modifiers & modifier_keys[i].modifier))
				continue;
			append(chord, modifier_keys[i].text);
			append(chord, "-");
		}
		if (set_key(chord, name)) {
			/* A key that guests and people need for itself would be lost to them. */
			if (chord->modifiers & ~(unsigned)CHORD_SHIFT || chord->lone ||
				chord->keysym >= 0xff00)
				return 0;
			memset(chord, 0, sizeof(*chord));
			return error_set(err, EINVAL,
				"%s %.64s: nobody could type this into the guest any more (add "
				"ctrl, alt or super: ctrl-alt-%s)",
				option, text, name);
		}
		memset(chord, 0, sizeof(*chord));
		if (used)
			return error_set(err, EINVAL,
				"%s %.64s: there is no key '%s' (as in ctrl-alt-g, super-escape, "
				"pause; right-ctrl alone; or none)",
				option, text, name);
	}
	return error_set(err, EINVAL,
		"%s %.64s: this is no key (as in ctrl-alt-g, super-escape, pause; right-ctrl "
		"alone; or none)",
		option, text);
}

static bool is_latin_letter(uint32_t keysym)
{
	return (keysym >= 'a' && keysym <= 'z') || (keysym >= 'A' && keysym <= 'Z');
}

/* Symbols of another script: X's older keysyms of Cyrillic, Greek and so on, and Unicode's. */
static bool is_other_script(uint32_t keysym)
{
	return (keysym >= 0x400 && keysym < 0x1200) || (keysym >= 0x1300 && keysym < 0x2000) ||
	       keysym > 0x01000250;
}

bool chord_matches(
	const struct key_chord *chord, uint32_t keysym, unsigned code, unsigned modifiers)
{
	bool digit = chord->keysym >= '0' && chord->keysym <= '9';

	if (!chord->keysym || chord->lone || (modifiers & MODIFIERS) != chord->modifiers)
		return false;
	if (keysym >= 'A' && keysym <= 'Z')
		keysym += 'a' - 'A';
	if (keysym == chord->keysym)
		return true;
	if (code != chord->code)
		return false;
	/* What a keyboard has nowhere else is at its place: letters where the script is another,
	 * digits where they need Shift (French), and keys that have no symbol to differ in. */
	if (is_latin_letter(chord->keysym))
		return is_other_script(keysym);
	if (digit)
		return !is_latin_letter(keysym) && !(keysym >= '0' && keysym <= '9');
	return chord->keysym >= 0xff00;
}

/* Which modifier a key is; 0: none. */
static unsigned modifier_of(uint32_t keysym, unsigned code)
{
	for (size_t i = 0; i < array_size(modifier_keys); i++) {
		for (unsigned side = 0; side < 2; side++) {
			if (modifier_keys[i].code[side] == code ||
				modifier_keys[i].keysym[side] == keysym)
				return modifier_keys[i].modifier;
		}
	}
	return 0;
}

bool chord_follow(struct chord_follower *follower, const struct key_chord *chord, uint32_t keysym,
	unsigned code, unsigned modifiers, bool down)
{
	unsigned all = chord->modifiers | chord->lone, own;

	if (!chord->lone)
		return down && chord_matches(chord, keysym, code, modifiers);
	own = modifier_of(keysym, code);
	if (!own || !(own & all) || (own == chord->lone && !chord->either && code != chord->code)) {
		/* Something in between, or with it. */
		if (down)
			follower->armed = false;
		return false;
	}
	modifiers &= MODIFIERS;
	if (down) {
		/* A repeat keeps it. */
		follower->armed = (modifiers | own) == all;
		return false;
	}
	if (!follower->armed)
		return false;
	follower->armed = false;
	return true;
}
