/* The keymap module: asks libxkbcommon what each key of a layout gives, with each combination of
 * Shift, AltGr and Caps Lock, and turns that round.
 *
 * It is asked by xkb_state and not read off the levels: so what Caps Lock does is what it does in a
 * guest that uses XKB itself, capitals of keys without a level for them included.
 *
 * What it makes is plain memory that keymap_destroy frees; no function of the program is used.
 *
 * Threads: any. */
#include <errno.h>
#include <linux/input-event-codes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xkbcommon/xkbcommon-keysyms.h>
#include <xkbcommon/xkbcommon.h>

#include "core/module.h"
#include "input/keymap_internal.h"
#include "input/xkb/names.h"

MODULE_DEFINE();

#define XKB_EVDEV_OFFSET 8 /* X keycode = evdev code + 8 */
#define LAST_CODE        247
#define LEVELS           4 /* Shift and AltGr */
#define LEGACY_BEGIN     UINT32_C(0x100)
#define LEGACY_END       UINT32_C(0x2100)
#define DEAD_FIRST       XKB_KEY_dead_grave
#define DEAD_LAST        XKB_KEY_dead_longsolidusoverlay

/* A key for a symbol; of several the one with the lowest rank is taken. */
struct candidate {
	uint32_t keysym;
	unsigned rank;
	struct keymap_key key;
};

struct candidates {
	struct candidate *list;
	size_t count, room;
	bool failed; /* out of memory */
};

/* Keys that mean the same in every layout, for symbols that the layout itself does not have. */
static const struct {
	uint32_t keysym;
	uint16_t code;
} elsewhere[] = {
	{ XKB_KEY_Caps_Lock, KEY_CAPSLOCK },
	{ XKB_KEY_Shift_Lock, KEY_CAPSLOCK },
	{ XKB_KEY_Sys_Req, KEY_SYSRQ }, /* Print with Alt held */
	{ XKB_KEY_Execute, KEY_SYSRQ },
	{ XKB_KEY_Break, KEY_PAUSE }, /* Pause with Ctrl held */
	{ XKB_KEY_Multi_key, KEY_COMPOSE },
	{ XKB_KEY_Linefeed, KEY_ENTER },
	{ XKB_KEY_Cancel, KEY_STOP },
	{ XKB_KEY_KP_Decimal, KEY_KPDOT },
	{ XKB_KEY_KP_Separator, KEY_KPCOMMA },
	{ XKB_KEY_KP_Equal, KEY_KPEQUAL },
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
	{ XKB_KEY_Kanji, KEY_ZENKAKUHANKAKU },
	{ XKB_KEY_Zenkaku_Hankaku, KEY_ZENKAKUHANKAKU },
	{ XKB_KEY_Zenkaku, KEY_ZENKAKUHANKAKU },
	{ XKB_KEY_Hankaku, KEY_ZENKAKUHANKAKU },
	{ XKB_KEY_Henkan_Mode, KEY_HENKAN },
	{ XKB_KEY_Muhenkan, KEY_MUHENKAN },
	{ XKB_KEY_Hiragana_Katakana, KEY_KATAKANAHIRAGANA },
	{ XKB_KEY_Romaji, KEY_KATAKANAHIRAGANA },
	{ XKB_KEY_Hiragana, KEY_HIRAGANA },
	{ XKB_KEY_Katakana, KEY_KATAKANA },
	{ XKB_KEY_Eisu_toggle, KEY_CAPSLOCK },
	{ XKB_KEY_Hangul, KEY_HANGEUL },
	{ XKB_KEY_Hangul_Hanja, KEY_HANJA },
	{ XKB_KEY_XF86PowerOff, KEY_POWER },
	{ XKB_KEY_XF86Sleep, KEY_SLEEP },
	{ XKB_KEY_XF86WakeUp, KEY_WAKEUP },
	{ XKB_KEY_XF86AudioMute, KEY_MUTE },
	{ XKB_KEY_XF86AudioLowerVolume, KEY_VOLUMEDOWN },
	{ XKB_KEY_XF86AudioRaiseVolume, KEY_VOLUMEUP },
	{ XKB_KEY_XF86AudioPlay, KEY_PLAYPAUSE },
	{ XKB_KEY_XF86AudioPause, KEY_PLAYPAUSE },
	{ XKB_KEY_XF86AudioStop, KEY_STOPCD },
	{ XKB_KEY_XF86AudioNext, KEY_NEXTSONG },
	{ XKB_KEY_XF86AudioPrev, KEY_PREVIOUSSONG },
	{ XKB_KEY_XF86AudioMedia, KEY_MEDIA },
	{ XKB_KEY_XF86Calculator, KEY_CALC },
	{ XKB_KEY_XF86Mail, KEY_MAIL },
	{ XKB_KEY_XF86HomePage, KEY_HOMEPAGE },
	{ XKB_KEY_XF86Favorites, KEY_BOOKMARKS },
	{ XKB_KEY_XF86Search, KEY_SEARCH },
	{ XKB_KEY_XF86Back, KEY_BACK },
	{ XKB_KEY_XF86Forward, KEY_FORWARD },
	{ XKB_KEY_XF86Reload, KEY_REFRESH },
	{ XKB_KEY_XF86MyComputer, KEY_COMPUTER },
	/* What Ctrl-Alt makes of keys where the client runs. */
	{ XKB_KEY_XF86Switch_VT_1, KEY_F1 },
	{ XKB_KEY_XF86Switch_VT_2, KEY_F2 },
	{ XKB_KEY_XF86Switch_VT_3, KEY_F3 },
	{ XKB_KEY_XF86Switch_VT_4, KEY_F4 },
	{ XKB_KEY_XF86Switch_VT_5, KEY_F5 },
	{ XKB_KEY_XF86Switch_VT_6, KEY_F6 },
	{ XKB_KEY_XF86Switch_VT_7, KEY_F7 },
	{ XKB_KEY_XF86Switch_VT_8, KEY_F8 },
	{ XKB_KEY_XF86Switch_VT_9, KEY_F9 },
	{ XKB_KEY_XF86Switch_VT_10, KEY_F10 },
	{ XKB_KEY_XF86Switch_VT_11, KEY_F11 },
	{ XKB_KEY_XF86Switch_VT_12, KEY_F12 },
	{ XKB_KEY_XF86Ungrab, KEY_KPSLASH },
	{ XKB_KEY_XF86ClearGrab, KEY_KPASTERISK },
};

/* Modifiers are where they are on every keyboard, whatever level a layout has them on (Meta is Alt
 * with Shift held). Those that it follows are not here. */
static const struct {
	uint32_t keysym;
	uint16_t code;
} modifiers[] = {
	{ XKB_KEY_Control_R, KEY_RIGHTCTRL },
	{ XKB_KEY_Alt_L, KEY_LEFTALT },
	{ XKB_KEY_Meta_L, KEY_LEFTALT },
	{ XKB_KEY_Super_L, KEY_LEFTMETA },
	{ XKB_KEY_Super_R, KEY_RIGHTMETA },
	{ XKB_KEY_Hyper_L, KEY_LEFTMETA },
	{ XKB_KEY_Hyper_R, KEY_RIGHTMETA },
};

static int VMGUI_PRINTF(3, 4) fail(struct error *err, int errnum, const char *format, ...)
{
	va_list arguments;

	if (err) {
		va_start(arguments, format);
		vsnprintf(err->text, sizeof(err->text), format, arguments);
		va_end(arguments);
		for (char *at = err->text; *at; at++) {
			if ((unsigned char)*at < 0x20 || *at == 0x7f)
				*at = '?';
		}
	}
	return -errnum;
}

static bool is_keypad(uint32_t keysym)
{
	return keysym >= XKB_KEY_KP_Space && keysym <= XKB_KEY_KP_Equal;
}

static bool is_keypad_code(unsigned code)
{
	return (code >= KEY_KP7 && code <= KEY_KPDOT) || code == KEY_KPASTERISK ||
	       code == KEY_KPSLASH || code == KEY_KPEQUAL || code == KEY_KPCOMMA ||
	       code == KEY_KPJPCOMMA;
}

static bool is_dead(uint32_t keysym)
{
	return keysym >= DEAD_FIRST && keysym <= DEAD_LAST;
}

/* 0: the keysym is no character. */
static uint32_t character_of(uint32_t keysym)
{
	uint32_t character = is_keypad(keysym) ? 0 : xkb_keysym_to_utf32(keysym);

	return character < 0x20 || (character >= 0x7f && character < 0xa0) ? 0 : character;
}

/* One keysym for each character, as keymap_keysym_of has it. */
static uint32_t canonical(uint32_t keysym)
{
	uint32_t character = character_of(keysym);

	if (!character)
		return keysym;
	return character < 0x100 ? character : 0x01000000 | character;
}

/* Keycodes that no keyboard has: XKB's own, for modifiers that stand on no key (LVL3, MDSW, ALT,
 * META, SUPR, HYPR in keycodes/evdev). */
static bool is_made_up(unsigned code)
{
	return code == 84 || (code >= 195 && code <= 199);
}

/* Those that the keyboard of symbols presses by itself (keysym_keyboard.c): nothing else is theirs,
 * whatever a layout has on their second level. */
static bool is_followed_modifier(unsigned code)
{
	return code == KEY_LEFTSHIFT || code == KEY_RIGHTSHIFT || code == KEY_RIGHTALT ||
	       code == KEY_LEFTCTRL;
}

/* Keys beyond the main block for which PS/2 has scan codes. */
static bool is_common_extra(unsigned code)
{
	switch (code) {
	case KEY_STOP:
	case KEY_MENU:
	case KEY_CALC:
	case KEY_SLEEP:
	case KEY_WAKEUP:
	case KEY_MAIL:
	case KEY_BOOKMARKS:
	case KEY_COMPUTER:
	case KEY_BACK:
	case KEY_FORWARD:
	case KEY_NEXTSONG:
	case KEY_PLAYPAUSE:
	case KEY_PREVIOUSSONG:
	case KEY_STOPCD:
	case KEY_HOMEPAGE:
	case KEY_REFRESH:
	case KEY_SEARCH:
	case KEY_MEDIA:
		return true;
	default:
		return code >= KEY_F13 && code <= KEY_F24;
	}
}

#define RANK_ELSEWHERE 30 /* after a layout's key that keyboards have, before one that few have */

static unsigned rarity(unsigned code)
{
	if (is_keypad_code(code))
		return 64; /* what it gives is up to Num Lock */
	if (code >= 128)
		return is_common_extra(code) ? 16 : 32;
	if (code == KEY_KPPLUSMINUS)
		return 32; /* no PC keyboard has it, nor a scan code for it */
	/* Not on US keyboards: rather Shift and another key, but not AltGr. */
	return code == KEY_102ND || code == KEY_RO || code == KEY_YEN ? 3 : 0;
}

static void add(struct candidates *into, uint32_t keysym, unsigned rank, struct keymap_key key)
{
	if (into->count == into->room) {
		size_t room = into->room ? into->room * 2 : 512;
		struct candidate *list = realloc(into->list, room * sizeof(*list));

		if (!list) {
			into->failed = true;
			return;
		}
		into->list = list;
		into->room = room;
	}
	into->list[into->count++] =
		(struct candidate){ .keysym = canonical(keysym), .rank = rank, .key = key };
}

struct layout {
	struct xkb_keymap *keymap;
	struct xkb_state *state;
	bool altgr;
	xkb_mod_mask_t shift, level3, lock;
};

static uint32_t symbol_of(struct layout *layout, unsigned code, unsigned level, bool caps)
{
	xkb_mod_mask_t held = (level & KEYMAP_SHIFT ? layout->shift : 0) |
			      (level & KEYMAP_ALTGR ? layout->level3 : 0);

	xkb_state_update_mask(layout->state, held, 0, caps ? layout->lock : 0, 0, 0, 0);
	return xkb_state_key_get_one_sym(layout->state, code + XKB_EVDEV_OFFSET);
}

/* What the modifier keys do, asked of the layout itself. */
static void learn_modifiers(struct layout *layout)
{
	const xkb_keycode_t shift = KEY_LEFTSHIFT + XKB_EVDEV_OFFSET;
	const xkb_keycode_t alt = KEY_RIGHTALT + XKB_EVDEV_OFFSET;
	xkb_mod_index_t lock = xkb_keymap_mod_get_index(layout->keymap, XKB_MOD_NAME_CAPS);
	uint32_t keysym = xkb_state_key_get_one_sym(layout->state, alt);

	xkb_state_update_key(layout->state, shift, XKB_KEY_DOWN);
	layout->shift = xkb_state_serialize_mods(layout->state, XKB_STATE_MODS_DEPRESSED);
	xkb_state_update_key(layout->state, shift, XKB_KEY_UP);
	layout->altgr = keysym == XKB_KEY_ISO_Level3_Shift || keysym == XKB_KEY_Mode_switch;
	if (layout->altgr) {
		xkb_state_update_key(layout->state, alt, XKB_KEY_DOWN);
		layout->level3 = xkb_state_serialize_mods(layout->state, XKB_STATE_MODS_DEPRESSED);
		xkb_state_update_key(layout->state, alt, XKB_KEY_UP);
	}
	layout->lock = lock == XKB_MOD_INVALID ? 0 : 1u << lock;
}

/* All that a key of the keypad may give: which of it is the guest's business. */
static void add_keypad_key(struct layout *layout, unsigned code, struct candidates *into)
{
	const xkb_keycode_t keycode = code + XKB_EVDEV_OFFSET;
	const xkb_level_index_t levels = xkb_keymap_num_levels_for_key(layout->keymap, keycode, 0);
	const struct keymap_key key = { .code = (uint16_t)code, .level = KEYMAP_ANY };
	/* The second comma is on Brazilian and Japanese keypads only. */
	const unsigned rare = code == KEY_KPCOMMA || code == KEY_KPJPCOMMA ? LEVELS : 0;
	const xkb_keysym_t *keysyms;

	for (xkb_level_index_t level = 0; level < levels; level++) {
		if (xkb_keymap_key_get_syms_by_level(layout->keymap, keycode, 0, level, &keysyms) ==
				1 &&
			is_keypad(keysyms[0]))
			add(into, keysyms[0], rare + level, key);
	}
}

/* Whether Shift makes no other symbol of it, or none that would not be meant with Shift held. */
static bool means_the_same(struct layout *layout, unsigned code, uint32_t keysym)
{
	uint32_t shifted = symbol_of(layout, code, KEYMAP_SHIFT, false);

	return shifted == keysym || shifted == XKB_KEY_ISO_Left_Tab || shifted == XKB_KEY_NoSymbol;
}

static void add_key(struct layout *layout, unsigned code, bool caps, struct candidates *into)
{
	static const unsigned level_cost[LEVELS] = { 0, 2, 8, 10 };

	for (unsigned level = 0; level < (layout->altgr ? LEVELS : 2); level++) {
		uint32_t keysym = symbol_of(layout, code, level, caps);
		struct keymap_key key = { .code = (uint16_t)code, .level = (uint8_t)level };
		unsigned rank = rarity(code) + level_cost[level];

		if (keysym == XKB_KEY_NoSymbol || is_keypad(keysym))
			continue;
		key.printable = character_of(keysym) || is_dead(keysym);
		if (!key.printable && level == 0 && means_the_same(layout, code, keysym))
			key.level = KEYMAP_ANY;
		else if (keysym == symbol_of(layout, code, level ^ KEYMAP_SHIFT, caps))
			key.level |= KEYMAP_ANY_SHIFT;
		/* Caps Lock and Shift do the same to a letter, and undo each other. */
		key.letter = key.printable && keysym != symbol_of(layout, code, level, !caps) &&
			     keysym == symbol_of(layout, code, level ^ KEYMAP_SHIFT, !caps);
		add(into, keysym, rank, key);
	}
}

static int compare_candidates(const void *left, const void *right)
{
	const struct candidate *a = left, *b = right;

	if (a->keysym != b->keysym)
		return a->keysym < b->keysym ? -1 : 1;
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	return (a->key.code > b->key.code) - (a->key.code < b->key.code);
}

/* Fills in one table of the keymap. */
static int make_table(struct layout *layout, bool caps, struct keymap *keymap)
{
	const struct keymap_key anyhow = { .level = KEYMAP_ANY };
	struct candidates all = { 0 };
	struct keymap_symbol *symbols;
	struct keymap_key key;
	size_t kept = 0;

	for (unsigned code = 1; code <= LAST_CODE; code++) {
		if (is_made_up(code) || is_followed_modifier(code))
			continue;
		add_keypad_key(layout, code, &all);
		add_key(layout, code, caps, &all);
	}
	for (size_t i = 0; i < array_size(modifiers); i++) {
		key = anyhow;
		key.code = modifiers[i].code;
		for (size_t n = 0; n < all.count; n++) {
			if (all.list[n].keysym == modifiers[i].keysym)
				all.list[n].rank += 1000;
		}
		add(&all, modifiers[i].keysym, 0, key);
	}
	for (size_t i = 0; i < array_size(elsewhere); i++) {
		key = anyhow;
		key.code = elsewhere[i].code;
		add(&all, elsewhere[i].keysym, RANK_ELSEWHERE, key);
	}
	symbols = all.failed ? NULL : calloc(all.count, sizeof(*symbols));
	if (!symbols) {
		free(all.list);
		return -ENOMEM;
	}
	qsort(all.list, all.count, sizeof(*all.list), compare_candidates);
	for (size_t i = 0; i < all.count; i++) {
		if (kept && symbols[kept - 1].keysym == all.list[i].keysym)
			continue;
		symbols[kept].keysym = all.list[i].keysym;
		symbols[kept++].key = all.list[i].key;
	}
	free(all.list);
	keymap->caps[caps].symbols = symbols;
	keymap->caps[caps].count = kept;
	return 0;
}

static int make_legacy(struct keymap *keymap)
{
	keymap->legacy = calloc(LEGACY_END - LEGACY_BEGIN, sizeof(*keymap->legacy));
	if (!keymap->legacy)
		return -ENOMEM;
	for (uint32_t keysym = LEGACY_BEGIN; keysym < LEGACY_END; keysym++) {
		uint32_t character = character_of(keysym);

		if (character)
			keymap->legacy[keymap->legacy_count++] =
				(struct keymap_legacy){ keysym, character };
	}
	return 0;
}

static void free_keymap(struct keymap *keymap)
{
	free(keymap->caps[false].symbols);
	free(keymap->caps[true].symbols);
	free(keymap->legacy);
	free(keymap);
}

static int make_keymap(struct xkb_keymap *xkb, const struct layout_name *name, struct keymap **out)
{
	struct layout layout = { .keymap = xkb, .state = xkb_state_new(xkb) };
	struct keymap *keymap = calloc(1, sizeof(*keymap));
	int result = layout.state && keymap ? 0 : -ENOMEM;

	if (!result) {
		learn_modifiers(&layout);
		keymap->altgr = layout.altgr;
		layout_name_format(name, keymap->name, sizeof(keymap->name));
		result = make_legacy(keymap);
	}
	for (unsigned caps = 0; caps < 2 && !result; caps++)
		result = make_table(&layout, caps, keymap);
	xkb_state_unref(layout.state);
	if (result && keymap)
		free_keymap(keymap);
	else
		*out = keymap;
	return result;
}

static struct xkb_keymap *load(struct xkb_context *context, const struct layout_name *name)
{
	const struct xkb_rule_names names = { .rules = "evdev",
		.model = "pc105",
		.layout = name->layout,
		.variant = name->variant,
		.options = "" };

	return xkb_keymap_new_from_names(context, &names, XKB_KEYMAP_COMPILE_NO_FLAGS);
}

/* Why there is no such layout. */
static int explain(struct xkb_context *context, const char *text, const struct layout_name *name,
	struct error *err)
{
	const struct layout_name usual = { .layout = "us" };
	struct layout_name plain = *name;
	struct xkb_keymap *xkb = load(context, &usual);
	char near[384];
	bool known;

	if (!xkb)
		return fail(err, ENOENT,
			"--keymap %s: this host has no keyboard layouts (install the package "
			"xkb-data)",
			text);
	xkb_keymap_unref(xkb);
	plain.variant[0] = '\0';
	xkb = *name->variant ? load(context, &plain) : NULL;
	known = xkb;
	xkb_keymap_unref(xkb);
	layout_name_suggest(context, name, known, near, sizeof(near));
	if (known)
		return fail(err, EINVAL, "--keymap %s: the layout %s has no variant '%s' (%s)",
			text, name->layout, name->variant, near);
	return fail(err, EINVAL, "--keymap %s: there is no such layout (%s)", text, near);
}

int vmgui_keymap_compile(const char *text, struct keymap **keymap, struct error *err)
{
	struct layout_name name;
	struct xkb_context *context;
	struct xkb_keymap *xkb;
	int result;

	if (!layout_name_parse(text, &name))
		return fail(err, EINVAL,
			"--keymap %.80s: this is no layout's name (one layout, as in de, "
			"de(nodeadkeys) or us:dvorak)",
			text);
	context = xkb_context_new(XKB_CONTEXT_NO_ENVIRONMENT_NAMES);
	if (!context)
		return fail(err, ENOENT,
			"--keymap %s: this host has no keyboard layouts (install the package "
			"xkb-data)",
			text);
	xkb_context_set_log_level(context, XKB_LOG_LEVEL_CRITICAL);
	xkb_context_set_log_verbosity(context, -1);
	xkb = load(context, &name);
	if (!xkb) {
		result = explain(context, text, &name, err);
	} else {
		result = make_keymap(xkb, &name, keymap);
		if (result)
			fail(err, ENOMEM, "--keymap %s: out of memory", text);
		xkb_keymap_unref(xkb);
	}
	xkb_context_unref(context);
	return result;
}
