/* Key combinations for vmgui itself. */
#include <errno.h>
#include <linux/input-event-codes.h>
#include <string.h>
#include <xkbcommon/xkbcommon-keysyms.h>

#include "cmocka_all.h"
#include "input/chord.h"

static struct key_chord parse(const char *text)
{
	struct key_chord chord;
	struct error err;

	if (chord_parse(text, "--release-key", &chord, &err))
		fail_msg("%s: %s", text, err.text);
	return chord;
}

static void chord_names_are_read_however_they_are_written(void **state)
{
	static const struct {
		const char *text, *shown;
		unsigned modifiers;
		uint32_t keysym;
		unsigned code;
	} cases[] = {
		{ "ctrl-alt-g", "Ctrl-Alt-G", CHORD_CTRL | CHORD_ALT, 'g', KEY_G },
		{ "Alt+Control+G", "Ctrl-Alt-G", CHORD_CTRL | CHORD_ALT, 'g', KEY_G },
		{ "ctrl-shift-f12", "Ctrl-Shift-F12", CHORD_CTRL | CHORD_SHIFT, XKB_KEY_F12,
			KEY_F12 },
		{ "super-escape", "Super-Escape", CHORD_SUPER, XKB_KEY_Escape, KEY_ESC },
		{ "win-esc", "Super-Escape", CHORD_SUPER, XKB_KEY_Escape, KEY_ESC },
		{ "pause", "Pause", 0, XKB_KEY_Pause, KEY_PAUSE },
		{ "scroll-lock", "Scroll-Lock", 0, XKB_KEY_Scroll_Lock, KEY_SCROLLLOCK },
		{ "shift-pause", "Shift-Pause", CHORD_SHIFT, XKB_KEY_Pause, KEY_PAUSE },
		{ "alt-page-up", "Alt-Page-Up", CHORD_ALT, XKB_KEY_Page_Up, KEY_PAGEUP },
		{ "alt-left", "Alt-Left", CHORD_ALT, XKB_KEY_Left, KEY_LEFT },
		{ "ctrl-alt-1", "Ctrl-Alt-1", CHORD_CTRL | CHORD_ALT, '1', KEY_1 },
		{ "ctrl-alt-0", "Ctrl-Alt-0", CHORD_CTRL | CHORD_ALT, '0', KEY_0 },
		{ "ctrl-bracket-right", "Ctrl-Bracket-Right", CHORD_CTRL, ']', KEY_RIGHTBRACE },
		{ "f24", "F24", 0, XKB_KEY_F24, KEY_F24 },
		{ "right-ctrl", "Right Ctrl", 0, XKB_KEY_Control_R, KEY_RIGHTCTRL },
		{ "left alt", "Left Alt", 0, XKB_KEY_Alt_L, KEY_LEFTALT },
		{ "RightShift", "Right Shift", 0, XKB_KEY_Shift_R, KEY_RIGHTSHIFT },
		{ "super", "Super", 0, XKB_KEY_Super_L, KEY_LEFTMETA },
		{ "ctrl-alt", "Ctrl-Alt", CHORD_CTRL, XKB_KEY_Alt_L, KEY_LEFTALT },
		{ "none", "none", 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		struct key_chord chord = parse(cases[i].text);

		assert_string_equal(chord.text, cases[i].shown);
		assert_int_equal(chord.modifiers, cases[i].modifiers);
		assert_int_equal(chord.keysym, cases[i].keysym);
		assert_int_equal(chord.code, cases[i].code);
	}
}

static void chord_bad_names_are_refused_in_terms_of_the_option(void **state)
{
	static const char *const cases[][2] = {
		{ "ctrl-alt-gg", "--release-key ctrl-alt-gg: there is no key 'gg'" },
		{ "g", "nobody could type this into the guest" },
		{ "shift-g", "nobody could type this into the guest" },
		{ "space", "nobody could type this into the guest" },
		{ "", "this is no key" },
		{ "-", "this is no key" },
		{ "ctrl-", "this is no key" },
		{ "ctrl-ctrl-g", "there is no key 'ctrlg'" },
		{ "f0", "there is no key 'f0'" },
		{ "f25", "there is no key" },
		{ "f 1x", "there is no key" },
		{ "right-g", "there is no key 'rightg'" },
		{ "a-very-long-name-of-a-key-that-nobody-has-on-any-keyboard", "this is no key" },
		{ "\xff\xfe", "there is no key" },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		struct key_chord chord;
		struct error err = { "" };
		int result = chord_parse(cases[i][0], "--release-key", &chord, &err);

		if (result != -EINVAL || !strstr(err.text, cases[i][1]))
			fail_msg("'%s': %d %s", cases[i][0], result, err.text);
	}
}

static void chord_matches_by_symbol_and_exact_modifiers(void **state)
{
	const struct key_chord chord = parse("ctrl-alt-g");
	const unsigned both = CHORD_CTRL | CHORD_ALT;

	(void)state;
	assert_true(chord_matches(&chord, 'g', KEY_G, both));
	assert_true(chord_matches(&chord, 'G', KEY_G, both));
	/* Dvorak has g where QWERTY has u, and i where it has g. */
	assert_true(chord_matches(&chord, 'g', KEY_U, both));
	assert_false(chord_matches(&chord, 'i', KEY_G, both));
	assert_false(chord_matches(&chord, 'g', KEY_G, CHORD_CTRL));
	assert_false(chord_matches(&chord, 'g', KEY_G, both | CHORD_SHIFT));
	assert_false(chord_matches(&chord, 'h', KEY_H, both));
	/* Dvorak's key in the place of q is an apostrophe: that is Latin enough. */
	assert_false(chord_matches(
		&(struct key_chord){ .modifiers = both, .keysym = 'q', .code = KEY_Q }, '\'', KEY_Q,
		both));
}

static void chord_matches_by_place_where_the_script_is_another(void **state)
{
	const struct key_chord letter = parse("ctrl-alt-g"), digit = parse("ctrl-alt-1"),
			       function = parse("super-f1"), none = parse("none");
	const unsigned both = CHORD_CTRL | CHORD_ALT;

	(void)state;
	assert_true(chord_matches(&letter, XKB_KEY_Cyrillic_pe, KEY_G, both));
	assert_true(chord_matches(&letter, XKB_KEY_Greek_gamma, KEY_G, both));
	assert_true(chord_matches(&letter, XKB_KEY_hebrew_ayin, KEY_G, both));
	assert_true(chord_matches(&letter, 0x0100093f, KEY_G, both)); /* Devanagari */
	assert_false(chord_matches(&letter, XKB_KEY_Cyrillic_pe, KEY_H, both));
	/* French digits need Shift. */
	assert_true(chord_matches(&digit, '&', KEY_1, both));
	assert_false(chord_matches(&digit, '2', KEY_1, both));
	assert_true(chord_matches(&function, XKB_KEY_XF86Switch_VT_1, KEY_F1, CHORD_SUPER));
	assert_false(chord_matches(&none, 0, 0, 0));
}

struct keyboard {
	struct chord_follower follower;
	unsigned held;
};

static bool feed(struct keyboard *keyboard, const struct key_chord *chord, uint32_t keysym,
	unsigned code, unsigned own, bool down)
{
	bool given;

	keyboard->held &= ~own;
	given = chord_follow(&keyboard->follower, chord, keysym, code, keyboard->held, down);
	if (down)
		keyboard->held |= own;
	return given;
}

#define CTRL_L(down)  feed(&keyboard, &chord, XKB_KEY_Control_L, KEY_LEFTCTRL, CHORD_CTRL, down)
#define CTRL_R(down)  feed(&keyboard, &chord, XKB_KEY_Control_R, KEY_RIGHTCTRL, CHORD_CTRL, down)
#define ALT_L(down)   feed(&keyboard, &chord, XKB_KEY_Alt_L, KEY_LEFTALT, CHORD_ALT, down)
#define SHIFT_L(down) feed(&keyboard, &chord, XKB_KEY_Shift_L, KEY_LEFTSHIFT, CHORD_SHIFT, down)
#define G(down)       feed(&keyboard, &chord, 'g', KEY_G, 0, down)

static void chord_of_one_modifier_comes_with_its_release(void **state)
{
	const struct key_chord chord = parse("right-ctrl");
	struct keyboard keyboard = { 0 };

	(void)state;
	assert_false(CTRL_R(true));
	assert_false(CTRL_R(true)); /* repeat */
	assert_true(CTRL_R(false));
	assert_false(CTRL_R(false));
	/* Used for something else. */
	assert_false(CTRL_R(true));
	assert_false(G(true));
	assert_false(G(false));
	assert_false(CTRL_R(false));
	/* Another one with it, before or after. */
	assert_false(SHIFT_L(true));
	assert_false(CTRL_R(true));
	assert_false(CTRL_R(false));
	assert_false(SHIFT_L(false));
	assert_false(CTRL_R(true));
	assert_false(SHIFT_L(true));
	assert_false(SHIFT_L(false));
	assert_false(CTRL_R(false));
	/* The other side. */
	assert_false(CTRL_L(true));
	assert_false(CTRL_L(false));
	assert_false(chord_matches(&chord, XKB_KEY_Control_R, KEY_RIGHTCTRL, 0));
}

static void chord_of_two_modifiers_comes_in_any_order(void **state)
{
	const struct key_chord chord = parse("ctrl-alt");
	struct keyboard keyboard = { 0 };

	(void)state;
	assert_false(CTRL_L(true));
	assert_false(ALT_L(true));
	assert_true(CTRL_L(false));
	assert_false(ALT_L(false));
	assert_false(ALT_L(true));
	assert_false(CTRL_R(true));
	assert_true(CTRL_R(false));
	assert_false(ALT_L(false));
	/* Ctrl-Alt-G is not Ctrl-Alt. */
	assert_false(CTRL_L(true));
	assert_false(ALT_L(true));
	assert_false(G(true));
	assert_false(G(false));
	assert_false(ALT_L(false));
	assert_false(CTRL_L(false));
	/* One of them alone. */
	assert_false(ALT_L(true));
	assert_false(ALT_L(false));
}

static void chord_with_a_key_comes_with_its_press(void **state)
{
	const struct key_chord chord = parse("ctrl-alt-g");
	struct keyboard keyboard = { 0 };

	(void)state;
	assert_false(CTRL_L(true));
	assert_false(ALT_L(true));
	assert_true(G(true));
	assert_false(G(false));
	assert_false(ALT_L(false));
	assert_false(G(true));
	assert_false(G(false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chord_names_are_read_however_they_are_written),
		cmocka_unit_test(chord_bad_names_are_refused_in_terms_of_the_option),
		cmocka_unit_test(chord_matches_by_symbol_and_exact_modifiers),
		cmocka_unit_test(chord_matches_by_place_where_the_script_is_another),
		cmocka_unit_test(chord_of_one_modifier_comes_with_its_release),
		cmocka_unit_test(chord_of_two_modifiers_comes_in_any_order),
		cmocka_unit_test(chord_with_a_key_comes_with_its_press),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
