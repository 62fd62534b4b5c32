/* Scan codes of the PC keyboard. See ps2_scancodes.h.
 *
 * Specifications: IBM PS/2 Hardware Interface Technical Reference, "Keyboard (101- and 102-key)";
 * the HID usage to PS/2 scan code translation table (Windows platform design notes) for the keys
 * that came later. Where F13 to F15 have two codes in use, these are the ones that Linux's atkbd
 * knows.
 *
 * Only set 1 is written down: it is what the controller makes of set 2, so set 2 is found by
 * looking the translation up backwards. Threads: none of its own, no state. */
#include "devices/ps2_scancodes.h"

#include <linux/input-event-codes.h>
#include <string.h>

/* The keyboard controller's translation, by byte of set 2; bytes from 80h pass, but for the two
 * that are in the switch below. */
static const uint8_t set2_to_set1[128] = {
	0xff,
	0x43,
	0x41,
	0x3f,
	0x3d,
	0x3b,
	0x3c,
	0x58,
	0x64,
	0x44,
	0x42,
	0x40,
	0x3e,
	0x0f,
	0x29,
	0x59,
	0x65,
	0x38,
	0x2a,
	0x70,
	0x1d,
	0x10,
	0x02,
	0x5a,
	0x66,
	0x71,
	0x2c,
	0x1f,
	0x1e,
	0x11,
	0x03,
	0x5b,
	0x67,
	0x2e,
	0x2d,
	0x20,
	0x12,
	0x05,
	0x04,
	0x5c,
	0x68,
	0x39,
	0x2f,
	0x21,
	0x14,
	0x13,
	0x06,
	0x5d,
	0x69,
	0x31,
	0x30,
	0x23,
	0x22,
	0x15,
	0x07,
	0x5e,
	0x6a,
	0x72,
	0x32,
	0x24,
	0x16,
	0x08,
	0x09,
	0x5f,
	0x6b,
	0x33,
	0x25,
	0x17,
	0x18,
	0x0b,
	0x0a,
	0x60,
	0x6c,
	0x34,
	0x35,
	0x26,
	0x27,
	0x19,
	0x0c,
	0x61,
	0x6d,
	0x73,
	0x28,
	0x74,
	0x1a,
	0x0d,
	0x62,
	0x6e,
	0x3a,
	0x36,
	0x1c,
	0x1b,
	0x75,
	0x2b,
	0x63,
	0x76,
	0x55,
	0x56,
	0x77,
	0x78,
	0x79,
	0x7a,
	0x0e,
	0x7b,
	0x7c,
	0x4f,
	0x7d,
	0x4b,
	0x47,
	0x7e,
	0x7f,
	0x6f,
	0x52,
	0x53,
	0x50,
	0x4c,
	0x4d,
	0x48,
	0x01,
	0x45,
	0x57,
	0x4e,
	0x51,
	0x4a,
	0x37,
	0x49,
	0x46,
	0x54,
};

uint8_t ps2_scancode_translate(uint8_t byte)
{
	switch (byte) {
	case 0x83: /* F7 */
		return 0x41;
	case 0x84: /* Alt and Print Screen */
		return 0x54;
	default:
		return byte < 0x80 ? set2_to_set1[byte] : byte;
	}
}

static uint8_t set2_of_set1(uint8_t set1)
{
	switch (set1) {
	case 0x41: /* 02 translates to it, too, but the key sends this */
		return 0x83;
	case 0x54:
		return 0x84;
	}
	for (unsigned i = 0; i < sizeof(set2_to_set1); i++)
		if (set2_to_set1[i] == set1)
			return (uint8_t)i;
	return 0;
}

#define E0 0xe000 /* the code follows an E0 */

/* Set 1 by evdev code, which up to the keypad's point is the same thing. */
static const uint16_t set1_codes[256] = {
	[KEY_ZENKAKUHANKAKU] = 0x76,
	[KEY_102ND] = 0x56,
	[KEY_F11] = 0x57,
	[KEY_F12] = 0x58,
	[KEY_RO] = 0x73,
	[KEY_KATAKANA] = 0x78,
	[KEY_HIRAGANA] = 0x77,
	[KEY_HENKAN] = 0x79,
	[KEY_KATAKANAHIRAGANA] = 0x70,
	[KEY_MUHENKAN] = 0x7b,
	[KEY_KPJPCOMMA] = 0x5c,
	[KEY_KPENTER] = E0 | 0x1c,
	[KEY_RIGHTCTRL] = E0 | 0x1d,
	[KEY_KPSLASH] = E0 | 0x35,
	[KEY_RIGHTALT] = E0 | 0x38,
	[KEY_HOME] = E0 | 0x47,
	[KEY_UP] = E0 | 0x48,
	[KEY_PAGEUP] = E0 | 0x49,
	[KEY_LEFT] = E0 | 0x4b,
	[KEY_RIGHT] = E0 | 0x4d,
	[KEY_END] = E0 | 0x4f,
	[KEY_DOWN] = E0 | 0x50,
	[KEY_PAGEDOWN] = E0 | 0x51,
	[KEY_INSERT] = E0 | 0x52,
	[KEY_DELETE] = E0 | 0x53,
	[KEY_MUTE] = E0 | 0x20,
	[KEY_VOLUMEDOWN] = E0 | 0x2e,
	[KEY_VOLUMEUP] = E0 | 0x30,
	[KEY_POWER] = E0 | 0x5e,
	[KEY_KPEQUAL] = 0x59,
	[KEY_KPCOMMA] = 0x7e,
	[KEY_YEN] = 0x7d,
	[KEY_LEFTMETA] = E0 | 0x5b,
	[KEY_RIGHTMETA] = E0 | 0x5c,
	[KEY_COMPOSE] = E0 | 0x5d,
	[KEY_MENU] = E0 | 0x5d,
	[KEY_STOP] = E0 | 0x68,
	[KEY_CALC] = E0 | 0x21,
	[KEY_SLEEP] = E0 | 0x5f,
	[KEY_WAKEUP] = E0 | 0x63,
	[KEY_MAIL] = E0 | 0x6c,
	[KEY_BOOKMARKS] = E0 | 0x66,
	[KEY_COMPUTER] = E0 | 0x6b,
	[KEY_BACK] = E0 | 0x6a,
	[KEY_FORWARD] = E0 | 0x69,
	[KEY_NEXTSONG] = E0 | 0x19,
	[KEY_PLAYPAUSE] = E0 | 0x22,
	[KEY_PREVIOUSSONG] = E0 | 0x10,
	[KEY_STOPCD] = E0 | 0x24,
	[KEY_HOMEPAGE] = E0 | 0x32,
	[KEY_REFRESH] = E0 | 0x67,
	[KEY_F13] = 0x5d,
	[KEY_F14] = 0x5e,
	[KEY_F15] = 0x5f,
	[KEY_F16] = 0x67,
	[KEY_F17] = 0x68,
	[KEY_F18] = 0x69,
	[KEY_F19] = 0x6a,
	[KEY_F20] = 0x6b,
	[KEY_F21] = 0x6c,
	[KEY_F22] = 0x6d,
	[KEY_F23] = 0x6e,
	[KEY_F24] = 0x7f,
	[KEY_SEARCH] = E0 | 0x65,
	[KEY_MEDIA] = E0 | 0x6d,
};

static uint16_t set1_code(unsigned code)
{
	if (code >= KEY_ESC && code <= KEY_KPDOT)
		return (uint16_t)code;
	return code < array_size(set1_codes) ? set1_codes[code] : 0;
}

bool ps2_scancode_make_only(unsigned code)
{
	return code == KEY_PAUSE || code == KEY_HANGEUL || code == KEY_HANJA;
}

bool ps2_scancode_known(unsigned code)
{
	return code == KEY_SYSRQ || ps2_scancode_make_only(code) || set1_code(code) != 0;
}

static unsigned put(uint8_t *to, const uint8_t *from, unsigned length)
{
	memcpy(to, from, length);
	return length;
}

/* One code with its prefix, as press or release. */
static unsigned plain(uint16_t set1, bool down, unsigned set, uint8_t *bytes)
{
	unsigned n = 0;
	uint8_t code = (uint8_t)set1;
	if (set1 & E0)
		bytes[n++] = 0xe0;
	if (set == 1) {
		bytes[n++] = down ? code : code | 0x80;
	} else {
		if (!down)
			bytes[n++] = 0xf0;
		bytes[n++] = set2_of_set1(code);
	}
	return n;
}

/* Print Screen is a shifted keypad star of old, unless Shift or Ctrl is held; with Alt it is SysRq.
 */
static unsigned print_screen(bool down, unsigned set, unsigned modifiers, uint8_t *bytes)
{
	if (modifiers & PS2_MODIFIER_ALT)
		return plain(0x54, down, set, bytes);
	if (modifiers & (PS2_MODIFIER_SHIFT | PS2_MODIFIER_CTRL))
		return plain(E0 | 0x37, down, set, bytes);
	unsigned n = plain(down ? E0 | 0x2a : E0 | 0x37, down, set, bytes);
	return n + plain(down ? E0 | 0x37 : E0 | 0x2a, down, set, bytes + n);
}

/* Pause sends press and release at once; with Ctrl it is Break. */
static unsigned pause_break(unsigned set, unsigned modifiers, uint8_t *bytes)
{
	static const uint8_t pause1[] = { 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5 };
	static const uint8_t pause2[] = { 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77 };
	if (modifiers & PS2_MODIFIER_CTRL) {
		unsigned n = plain(E0 | 0x46, true, set, bytes);
		return n + plain(E0 | 0x46, false, set, bytes + n);
	}
	return set == 1 ? put(bytes, pause1, sizeof(pause1)) : put(bytes, pause2, sizeof(pause2));
}

unsigned ps2_scancode(
	unsigned code, bool down, unsigned set, unsigned modifiers, uint8_t bytes[PS2_SCANCODE_MAX])
{
	if (!down && ps2_scancode_make_only(code))
		return 0;
	switch (code) {
	case KEY_SYSRQ:
		return print_screen(down, set, modifiers, bytes);
	case KEY_PAUSE:
		return pause_break(set, modifiers, bytes);
	case KEY_HANGEUL: /* the same in both sets */
		bytes[0] = 0xf2;
		return 1;
	case KEY_HANJA:
		bytes[0] = 0xf1;
		return 1;
	}
	uint16_t set1 = set1_code(code);
	return set1 ? plain(set1, down, set, bytes) : 0;
}
