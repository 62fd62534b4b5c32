/* Keys: from scan code set 1 (as the i8042 translates to it) to Linux's key codes, and their names.
 * The codes from 1 to 0x53 and 0x56 to 0x58 are the same in both. */
#include "card.h"

struct extra {
	uint16_t scan;
	uint16_t code;
};

static const struct extra extras[] = {
	{ 0x54, 99 }, /* Print with Alt */
	{ 0x59, 117 },
	{ 0x5c, 95 },
	/* F13 to F15 have two codes in use. */
	{ 0x5d, 183 },
	{ 0x5e, 184 },
	{ 0x5f, 185 },
	{ 0x64, 183 },
	{ 0x65, 184 },
	{ 0x66, 185 },
	{ 0x67, 186 },
	{ 0x68, 187 },
	{ 0x69, 188 },
	{ 0x6a, 189 },
	{ 0x6b, 190 },
	{ 0x6c, 191 },
	{ 0x6d, 192 },
	{ 0x6e, 193 },
	{ 0x7f, 194 }, /* F24 */
	{ 0x70, 93 },
	{ 0x73, 89 },
	{ 0x76, 85 },
	{ 0x77, 91 },
	{ 0x78, 90 },
	{ 0x79, 92 },
	{ 0x7b, 94 },
	{ 0x7d, 124 },
	{ 0x7e, 121 },
	{ 0xe010, 165 },
	{ 0xe019, 163 },
	{ 0xe01c, 96 },
	{ 0xe01d, 97 },
	{ 0xe020, 113 },
	{ 0xe021, 140 },
	{ 0xe022, 164 },
	{ 0xe024, 166 },
	{ 0xe02e, 114 },
	{ 0xe030, 115 },
	{ 0xe032, 172 },
	{ 0xe035, 98 },
	{ 0xe037, 99 },
	{ 0xe038, 100 },
	{ 0xe046, KEY_PAUSE }, /* with Control */
	{ 0xe047, 102 },
	{ 0xe048, 103 },
	{ 0xe049, 104 },
	{ 0xe04b, 105 },
	{ 0xe04d, 106 },
	{ 0xe04f, 107 },
	{ 0xe050, 108 },
	{ 0xe051, 109 },
	{ 0xe052, 110 },
	{ 0xe053, 111 },
	{ 0xe05b, 125 },
	{ 0xe05c, 126 },
	{ 0xe05d, 127 },
	{ 0xe05e, 116 },
	{ 0xe05f, 142 },
	{ 0xe063, 143 },
	{ 0xe065, 217 },
	{ 0xe066, 156 },
	{ 0xe067, 173 },
	{ 0xe068, 128 },
	{ 0xe069, 159 },
	{ 0xe06a, 158 },
	{ 0xe06b, 157 },
	{ 0xe06c, 155 },
	{ 0xe06d, 226 },
};

/* clang-format off */
static const char *const names[] = {
	[1] = "Esc", "1", "2", "3", "4", "5", "6", "7", "8", "9", "0", "Minus", "Equal",
	[14] = "Backspace", "Tab", "Q", "W", "E", "R", "T", "Y", "U", "I", "O", "P",
	[26] = "LeftBracket", "RightBracket", "Enter", "LeftCtrl",
	[30] = "A", "S", "D", "F", "G", "H", "J", "K", "L", "Semicolon", "Apostrophe", "Grave",
	[42] = "LeftShift", "Backslash", "Z", "X", "C", "V", "B", "N", "M", "Comma", "Dot", "Slash",
	[54] = "RightShift", "KP-Asterisk", "LeftAlt", "Space", "CapsLock",
	[59] = "F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9", "F10", "NumLock", "ScrollLock",
	[71] = "KP-7", "KP-8", "KP-9", "KP-Minus", "KP-4", "KP-5", "KP-6", "KP-Plus", "KP-1", "KP-2",
	[81] = "KP-3", "KP-0", "KP-Dot",
	[85] = "Zenkaku", "102nd", "F11", "F12", "Ro", "Katakana", "Hiragana", "Henkan", "KatakanaHiragana",
	[94] = "Muhenkan", "KP-Comma-JP", "KP-Enter", "RightCtrl", "KP-Slash", "Print", "RightAlt",
	[102] = "Home", "Up", "PageUp", "Left", "Right", "End", "Down", "PageDown", "Insert", "Delete",
	[113] = "Mute", "VolumeDown", "VolumeUp", "Power", "KP-Equal",
	[119] = "Pause", [121] = "KP-Comma", "Hangul", "Hanja", "Yen",
	[125] = "LeftMeta", "RightMeta", "Menu", "Stop",
	[140] = "Calculator", [142] = "Sleep", "WakeUp",
	[155] = "Mail", "Bookmarks", "Computer", "Back", "Forward",
	[163] = "NextSong", "PlayPause", "PreviousSong", "StopSong",
	[172] = "HomePage", "Refresh",
	[183] = "F13", "F14", "F15", "F16", "F17", "F18", "F19", "F20", "F21", "F22", "F23", "F24",
	[217] = "Search", [226] = "Media",
};
/* clang-format on */

unsigned key_code(unsigned scan)
{
	if ((scan >= 1 && scan <= 0x53) || (scan >= 0x56 && scan <= 0x58))
		return scan;
	for (size_t i = 0; i < sizeof(extras) / sizeof(extras[0]); i++) {
		if (extras[i].scan == scan)
			return extras[i].code;
	}
	return 0;
}

const char *key_name(unsigned code)
{
	if (code < sizeof(names) / sizeof(names[0]) && names[code])
		return names[code];
	return "unknown";
}
