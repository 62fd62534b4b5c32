/* See shortcuts.h. */
#include "display/gtk/shortcuts.h"

#include <linux/input-event-codes.h>
#include <string.h>

/* X keysyms of keys that are no letters. */
#define SYM_PLUS        0x2b
#define SYM_EQUAL       0x3d
#define SYM_KP_ADD      0xffab
#define SYM_KP_SUBTRACT 0xffad
#define SYM_KP_0        0xffb0

#define CTRL_ALT(symbol, place)                                                                    \
	{                                                                                          \
		.modifiers = CHORD_CTRL | CHORD_ALT, .keysym = (symbol), .code = (place)           \
	}

const struct shortcut shortcuts[] = {
	{ CTRL_ALT('f', KEY_F), "<Primary><Alt>f", "win.fullscreen", "Full screen" },
	{ CTRL_ALT('p', KEY_P), "<Primary><Alt>p", "win.pause", "Pause or go on" },
	{ CTRL_ALT('s', KEY_S), "<Primary><Alt>s", "win.screenshot",
		"Screenshot into the current folder" },
	{ CTRL_ALT('m', KEY_M), "<Primary><Alt>m", "win.menu", "Open the menu" },
	{ CTRL_ALT('h', KEY_H), "<Primary><Alt>h", "win.shortcuts", "This list" },
	{ CTRL_ALT('v', KEY_V), "<Primary><Alt>v", "win.paste", "Type the clipboard's text" },
	{ CTRL_ALT('1', KEY_1), "<Primary><Alt>1", "win.tab::screen", "The guest's screen" },
	{ CTRL_ALT('2', KEY_2), "<Primary><Alt>2", "win.tab::console", "The serial console" },
	{ CTRL_ALT(SYM_PLUS, KEY_KPPLUS), "<Primary><Alt>plus", "win.zoom-in", "Larger" },
	{ CTRL_ALT(SYM_EQUAL, KEY_EQUAL), "<Primary><Alt>equal", "win.zoom-in", NULL },
	{ CTRL_ALT(SYM_KP_ADD, KEY_KPPLUS), "<Primary><Alt>KP_Add", "win.zoom-in", NULL },
	/* Where "+" is above "=". */
	{ { .modifiers = CHORD_CTRL | CHORD_ALT | CHORD_SHIFT,
		  .keysym = SYM_EQUAL,
		  .code = KEY_EQUAL },
		"<Primary><Alt><Shift>plus", "win.zoom-in", NULL },
	{ CTRL_ALT('-', KEY_MINUS), "<Primary><Alt>minus", "win.zoom-out", "Smaller" },
	{ CTRL_ALT(SYM_KP_SUBTRACT, KEY_KPMINUS), "<Primary><Alt>KP_Subtract", "win.zoom-out",
		NULL },
	{ CTRL_ALT('0', KEY_0), "<Primary><Alt>0", "win.scale::100", "Pixel for pixel" },
	{ CTRL_ALT(SYM_KP_0, KEY_KP0), "<Primary><Alt>KP_0", "win.scale::100", NULL },
	{ CTRL_ALT('9', KEY_9), "<Primary><Alt>9", "win.scale::fit", "Fit the window" },
	{ .action = NULL },
};

const struct shortcut *shortcut_find(uint32_t keysym, unsigned code, unsigned modifiers)
{
	for (const struct shortcut *shortcut = shortcuts; shortcut->action; shortcut++) {
		if (chord_matches(&shortcut->chord, keysym, code, modifiers))
			return shortcut;
	}
	return NULL;
}

#define FUNCTION_KEY(n)                                                                            \
	{                                                                                          \
		"ctrl-alt-f" #n, "Ctrl+Alt+F" #n, "Virtual Terminals",                             \
		{                                                                                  \
			KEY_LEFTCTRL, KEY_LEFTALT, KEY_F##n                                        \
		}                                                                                  \
	}
#define SYSRQ(name, letter, label)                                                                 \
	{                                                                                          \
		"sysrq-" name, label, "Magic SysRq",                                               \
		{                                                                                  \
			KEY_LEFTALT, KEY_SYSRQ, letter                                             \
		}                                                                                  \
	}

const struct key_combination key_combinations[] = {
	{ "ctrl-alt-delete", "Ctrl+Alt+Delete", NULL, { KEY_LEFTCTRL, KEY_LEFTALT, KEY_DELETE } },
	{ "ctrl-alt-backspace", "Ctrl+Alt+Backspace", NULL,
		{ KEY_LEFTCTRL, KEY_LEFTALT, KEY_BACKSPACE } },
	{ "alt-tab", "Alt+Tab", NULL, { KEY_LEFTALT, KEY_TAB } },
	{ "alt-f4", "Alt+F4", NULL, { KEY_LEFTALT, KEY_F4 } },
	{ "super", "Super", NULL, { KEY_LEFTMETA } },
	{ "print", "Print Screen", NULL, { KEY_SYSRQ } },
	{ "pause", "Pause", NULL, { KEY_PAUSE } },
	FUNCTION_KEY(1),
	FUNCTION_KEY(2),
	FUNCTION_KEY(3),
	FUNCTION_KEY(4),
	FUNCTION_KEY(5),
	FUNCTION_KEY(6),
	FUNCTION_KEY(7),
	FUNCTION_KEY(8),
	FUNCTION_KEY(9),
	FUNCTION_KEY(10),
	FUNCTION_KEY(11),
	FUNCTION_KEY(12),
	/* Linux, Documentation/admin-guide/sysrq.rst. */
	SYSRQ("h", KEY_H, "H: Help"),
	SYSRQ("r", KEY_R, "R: Take the keyboard from X"),
	SYSRQ("e", KEY_E, "E: End all processes"),
	SYSRQ("i", KEY_I, "I: Kill all processes"),
	SYSRQ("s", KEY_S, "S: Sync the disks"),
	SYSRQ("u", KEY_U, "U: Remount read-only"),
	SYSRQ("b", KEY_B, "B: Reboot at once"),
	SYSRQ("t", KEY_T, "T: List the tasks"),
	SYSRQ("w", KEY_W, "W: List blocked tasks"),
	{ .name = NULL },
};

const struct key_combination *key_combination_find(const char *name)
{
	for (const struct key_combination *keys = key_combinations; keys->name; keys++) {
		if (!strcmp(keys->name, name))
			return keys;
	}
	return NULL;
}
