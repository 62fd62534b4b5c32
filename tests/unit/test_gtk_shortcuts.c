/* The window's own keys and the combinations that it sends. */
#include "cmocka_all.h"

#include <linux/input-event-codes.h>
#include <string.h>

#include "display/gtk/shortcuts.h"

#define CTRL_ALT (CHORD_CTRL | CHORD_ALT)

static const char *action_of(uint32_t keysym, unsigned code, unsigned modifiers)
{
	const struct shortcut *shortcut = shortcut_find(keysym, code, modifiers);

	return shortcut ? shortcut->action : "the guest's";
}

static void shortcut_keys_are_found_by_symbol_and_place(void **state)
{
	(void)state;
	assert_string_equal(action_of('f', KEY_F, CTRL_ALT), "win.fullscreen");
	/* A Russian keyboard has no f there. */
	assert_string_equal(action_of(0x6c1, KEY_F, CTRL_ALT), "win.fullscreen");
	/* On a Dvorak keyboard p is where others have r. */
	assert_string_equal(action_of('p', KEY_R, CTRL_ALT), "win.pause");
	assert_string_equal(action_of('h', KEY_H, CTRL_ALT), "win.shortcuts");
	assert_string_equal(action_of('=', KEY_EQUAL, CTRL_ALT | CHORD_SHIFT), "win.zoom-in");
	assert_string_equal(action_of(0xffad, KEY_KPMINUS, CTRL_ALT), "win.zoom-out");
}

static void shortcut_other_keys_are_the_guests(void **state)
{
	(void)state;
	assert_string_equal(action_of(0xffff, KEY_DELETE, CTRL_ALT), "the guest's");
	assert_string_equal(action_of(0xffbe, KEY_F1, CTRL_ALT), "the guest's");
	assert_string_equal(action_of('f', KEY_F, CHORD_ALT), "the guest's");
	assert_string_equal(action_of('f', KEY_F, CTRL_ALT | CHORD_SUPER), "the guest's");
	assert_string_equal(action_of('p', KEY_P, CHORD_CTRL), "the guest's");
	assert_string_equal(action_of(0xffc7, KEY_F10, 0), "the guest's");
}

static void shortcut_every_one_is_reached_and_none_twice(void **state)
{
	(void)state;
	for (const struct shortcut *shortcut = shortcuts; shortcut->action; shortcut++)
		assert_ptr_equal(shortcut_find(shortcut->chord.keysym, shortcut->chord.code,
					 shortcut->chord.modifiers),
			shortcut);
}

static void combination_names_are_found(void **state)
{
	const struct key_combination *keys = key_combination_find("ctrl-alt-f12");

	(void)state;
	assert_non_null(keys);
	assert_int_equal(keys->codes[0], KEY_LEFTCTRL);
	assert_int_equal(keys->codes[2], KEY_F12);
	assert_int_equal(keys->codes[3], 0);
	assert_null(key_combination_find("ctrl-alt-f13"));
	for (keys = key_combinations; keys->name; keys++) {
		assert_ptr_equal(key_combination_find(keys->name), keys);
		assert_true(keys->codes[0] != 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shortcut_keys_are_found_by_symbol_and_place),
		cmocka_unit_test(shortcut_other_keys_are_the_guests),
		cmocka_unit_test(shortcut_every_one_is_reached_and_none_twice),
		cmocka_unit_test(combination_names_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
