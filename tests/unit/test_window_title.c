/* What the titles of a guest's windows say. */
#include "cmocka_all.h"

#include "core/input_sink.h"
#include "display/window_title.h"

#define BOTH (INPUT_KEYBOARD | INPUT_POINTER_RELATIVE | INPUT_POINTER_ABSOLUTE)

static const char *reason;

static const char *end_reason(void *opaque)
{
	(void)opaque;
	return reason;
}

static const struct vm_control control = { .end_reason = end_reason };
static struct display_settings settings;
static const struct display_host host = {
	.control = &control, .settings = &settings, .guest_name = "office"
};

static int reset(void **state)
{
	(void)state;
	settings = display_settings_default;
	reason = NULL;
	return 0;
}

static void expect(const struct window_facts *facts, const char *wanted)
{
	char text[192];

	window_title(&host, facts, text, sizeof(text));
	assert_string_equal(text, wanted);
}

static void window_title_of_a_relative_mouse_tells_what_releases_it(void **state)
{
	struct window_facts facts = { VM_RUNNING, 800, 600, true,
		INPUT_KEYBOARD | INPUT_POINTER_RELATIVE, false, 0 };

	(void)state;
	expect(&facts, "office - running - 800x600 - Ctrl-Alt-G releases the mouse");
	facts.grabbed = true;
	expect(&facts, "office - running - 800x600 - Ctrl-Alt-G releases the mouse");
}

static void window_title_of_an_absolute_pointer_speaks_of_the_keyboard(void **state)
{
	struct window_facts facts = { VM_PAUSED, 800, 600, true, BOTH, false, 0 };

	(void)state;
	expect(&facts, "office - paused - 800x600 - Ctrl-Alt-G grabs the keyboard");
	facts.grabbed = true;
	expect(&facts, "office - paused - 800x600 - Ctrl-Alt-G releases the keyboard");
}

static void window_title_without_chord_or_devices_names_none(void **state)
{
	struct window_facts facts = { VM_RUNNING, 0, 0, false, BOTH, false, 0 };

	(void)state;
	expect(&facts, "office - running - no picture");
	facts.has_input = true;
	settings.release.keysym = 0;
	expect(&facts, "office - running - no picture");
}

static void window_title_says_how_it_ends_and_why_it_has(void **state)
{
	struct window_facts facts = { VM_POWERING_DOWN, 640, 480, true, BOTH, false, 0 };

	(void)state;
	expect(&facts, "office - powering down, close twice to end it - 640x480 - "
		       "Ctrl-Alt-G grabs the keyboard");
	facts.state = VM_ENDED;
	expect(&facts, "office - ended - 640x480");
	reason = "the guest powered down";
	expect(&facts, "office - the guest powered down - 640x480");
	facts.state = VM_RUNNING; /* nobody asks too early */
	expect(&facts, "office - running - 640x480 - Ctrl-Alt-G grabs the keyboard");
}

static void window_title_tells_of_locks_that_change_what_is_typed(void **state)
{
	struct window_facts facts = { VM_RUNNING, 800, 600, false, BOTH, false, INPUT_LED_NUM };

	(void)state;
	expect(&facts, "office - running - 800x600");
	facts.leds |= INPUT_LED_CAPS;
	expect(&facts, "office - running - 800x600 - Caps Lock");
	facts.leds |= INPUT_LED_SCROLL;
	facts.has_input = true;
	expect(&facts, "office - running - 800x600 - Caps Lock - Scroll Lock - "
		       "Ctrl-Alt-G grabs the keyboard");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(
			window_title_of_a_relative_mouse_tells_what_releases_it, reset),
		cmocka_unit_test_setup(
			window_title_of_an_absolute_pointer_speaks_of_the_keyboard, reset),
		cmocka_unit_test_setup(window_title_without_chord_or_devices_names_none, reset),
		cmocka_unit_test_setup(window_title_says_how_it_ends_and_why_it_has, reset),
		cmocka_unit_test_setup(
			window_title_tells_of_locks_that_change_what_is_typed, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
