/* Layouts: their names, and every symbol of each, typed by clients of several kinds at a guest that
 * is simulated by libxkbcommon. */
#include "cmocka_all.h"
#include "input/compose.h"
#include "input/keysym_keyboard.h"
#include "xkb_guest.h"

struct layout {
	const char *name, *layout, *variant;
};
/* First those that are promised. */
static const struct layout layouts[] = {
	{ "us", "us", "" },
	{ "gb", "gb", "" },
	{ "de", "de", "" },
	{ "fr", "fr", "" },
	{ "es", "es", "" },
	{ "it", "it", "" },
	{ "jp", "jp", "" },
	{ "br", "br", "" },
	{ "dvorak", "us", "dvorak" },
	{ "de(nodeadkeys)", "de", "nodeadkeys" },
	{ "us:intl", "us", "intl" },
	{ "us-altgr-intl", "us", "altgr-intl" },
	{ "fr(bepo)", "fr", "bepo" },
	{ "ch", "ch", "" },
	{ "ch(fr)", "ch", "fr" },
	{ "be", "be", "" },
	{ "ca", "ca", "" },
	{ "cz", "cz", "" },
	{ "dk", "dk", "" },
	{ "fi", "fi", "" },
	{ "gr", "gr", "" },
	{ "hu", "hu", "" },
	{ "no", "no", "" },
	{ "pl", "pl", "" },
	{ "pt", "pt", "" },
	{ "ru", "ru", "" },
	{ "se", "se", "" },
	{ "tr", "tr", "" },
};

static struct keymap *keymap;
static struct xkb_guest guest;
static struct keysym_keyboard keyboard;
static const char *what; /* is being tried, for messages */

static void emit(void *opaque, unsigned code, bool down)
{
	xkb_guest_key(opaque, code, down);
}

static void open_layout(const struct layout *layout)
{
	struct error err;

	if (keymap_create(layout->name, &keymap, &err))
		fail_msg("%s", err.text);
	assert_true(xkb_guest_init(&guest, layout->layout, layout->variant));
	what = layout->name;
	keysym_keyboard_init(&keyboard, keymap, emit, &guest);
}

static void close_layout(void)
{
	xkb_guest_fini(&guest);
	keymap_destroy(keymap);
}

static void event(uint32_t keysym, bool down)
{
	keysym_keyboard_event(&keyboard, keysym, down, xkb_guest_leds(&guest));
}

/* Long ago, as far as the keyboard knows. */
static void set_caps(bool on)
{
	xkb_guest_set_caps(&guest, on);
	keysym_keyboard_init(&keyboard, keymap, emit, &guest);
}

/* What a key gives, asked of XKB. altgr: the layout's right Alt. */
static uint32_t symbol_of(unsigned code, unsigned level, bool caps)
{
	struct xkb_state *state = xkb_state_new(guest.keymap);
	uint32_t keysym;

	if (level & 1)
		xkb_state_update_key(state, KEY_LEFTSHIFT + 8, XKB_KEY_DOWN);
	if (level & 2)
		xkb_state_update_key(state, KEY_RIGHTALT + 8, XKB_KEY_DOWN);
	if (caps) {
		xkb_mod_mask_t held = xkb_state_serialize_mods(state, XKB_STATE_MODS_DEPRESSED);
		xkb_mod_mask_t lock = 1u
				      << xkb_keymap_mod_get_index(guest.keymap, XKB_MOD_NAME_CAPS);

		xkb_state_update_mask(state, held, 0, lock, 0, 0, 0);
	}
	keysym = xkb_state_key_get_one_sym(state, code + 8);
	xkb_state_unref(state);
	return keysym;
}

static bool right_alt_is_altgr(void)
{
	uint32_t keysym = symbol_of(KEY_RIGHTALT, 0, false);

	return keysym == XKB_KEY_ISO_Level3_Shift || keysym == XKB_KEY_Mode_switch;
}

/* Keys that a keyboard can have: not XKB's own for modifiers without a key. */
static bool is_key(unsigned code)
{
	return code != 84 && !(code >= 195 && code <= 199);
}

/* Symbols that are for the guest's own lights, or for the keyboard to follow. */
static bool is_tried(uint32_t keysym)
{
	return keysym != XKB_KEY_NoSymbol && !xkb_guest_is_modifier(keysym) &&
	       !(keysym >= XKB_KEY_KP_Space && keysym <= XKB_KEY_KP_Equal);
}

enum client {
	HOLDS_MODIFIERS, /* sends Shift and AltGr as the guest's layout needs them */
	SENDS_NONE,
	HOLDS_OTHERS, /* its own layout needs the opposite of Shift */
	CLIENTS,
};

static const char *const client_names[] = { "with its modifiers", "without modifiers",
	"with the wrong Shift" };

static void hold(enum client client, unsigned level, bool down)
{
	unsigned held = client == SENDS_NONE ? 0 : client == HOLDS_OTHERS ? (level ^ 1) & 1 : level;

	if (held & 1)
		event(XKB_KEY_Shift_L, down);
	if (held & 2)
		event(XKB_KEY_ISO_Level3_Shift, down);
}

/* XKB writes some characters in two ways (0x53, 0x1000053). */
static bool is_same(uint32_t keysym, uint32_t other)
{
	uint32_t character = xkb_keysym_to_utf32(keysym);

	return keysym == other || (character > 0x20 && character == xkb_keysym_to_utf32(other));
}

static void expect_symbol(
	uint32_t keysym, bool caps, unsigned code, unsigned level, const char *client)
{
	bool single = guest.symbol_count == 1 && is_same(guest.symbols[0], keysym);
	/* With Caps Lock in the way of its own key, a dead key may do. */
	bool composed = caps && guest.text_count == 1 && is_same(guest.text[0], keysym);

	if ((single || composed) && xkb_guest_is_at_rest(&guest) &&
		(xkb_guest_leds(&guest) != 0) == caps)
		return;
	fail_msg("%s: keysym 0x%x (key %u, level %u) by a client %s, Caps Lock %s: the guest got "
		 "%u symbols, 0x%x; %u keys down, %u wrong, Caps Lock %s",
		what, keysym, code, level, client, caps ? "on" : "off", guest.symbol_count,
		guest.symbol_count ? guest.symbols[0] : 0, guest.down_count, guest.wrong,
		xkb_guest_leds(&guest) ? "on" : "off");
}

static void try_symbol(uint32_t keysym, unsigned code, unsigned level, bool caps)
{
	for (enum client client = 0; client < CLIENTS; client++) {
		/* Symbols that do not print are the client's business together with Shift. */
		if (client == HOLDS_OTHERS && !keymap_character_of(keymap, keysym) &&
			!compose_is_dead(keysym))
			continue;
		xkb_guest_forget(&guest);
		hold(client, level, true);
		event(keysym, true);
		event(keysym, false);
		hold(client, level, false);
		expect_symbol(keysym, caps, code, level, client_names[client]);
	}
}

static void keymap_every_symbol_of_every_layout_arrives(void **state)
{
	unsigned count = 0;

	(void)state;
	for (size_t i = 0; i < array_size(layouts); i++) {
		unsigned levels;

		open_layout(&layouts[i]);
		levels = right_alt_is_altgr() ? 4 : 2;
		assert_int_equal(keymap_has_altgr(keymap), levels == 4);
		for (unsigned caps = 0; caps < 2; caps++) {
			set_caps(caps);
			for (unsigned n = 0; n < 248 * levels; n++) {
				unsigned code = n / levels, level = n % levels;
				uint32_t keysym = code ? symbol_of(code, level, false) : 0;
				uint32_t capital = code ? symbol_of(code, level, true) : 0;

				if (!is_key(code) || !is_tried(keysym))
					continue;
				count++;
				try_symbol(keysym, code, level, caps);
				/* The client has Caps Lock on itself. */
				if (caps && capital != keysym)
					try_symbol(capital, code, level, caps);
			}
		}
		close_layout();
	}
	print_message("%u symbols of %zu layouts\n", count, array_size(layouts));
}

/* The guest's light answers only now and then, or in the end. */
static void keymap_caps_lock_turned_faster_than_its_light_answers(void **state)
{
	const struct layout german = { "de", "de", "" };
	/* With Caps Lock on the symbols on AltGr are to be had only by turning that off. */
	static const uint32_t typed[] = { 'a', XKB_KEY_lstroke, XKB_KEY_tslash, 'B',
		XKB_KEY_dstroke, 'c', XKB_KEY_ae, 'd', 'E', XKB_KEY_hstroke };

	(void)state;
	for (unsigned lag = 1; lag < 40; lag++) {
		unsigned leds = INPUT_LED_CAPS;

		open_layout(&german);
		xkb_guest_set_caps(&guest, true);
		/* It was on before. */
		keysym_keyboard_event(&keyboard, XKB_KEY_Control_L, true, leds);
		keysym_keyboard_event(&keyboard, XKB_KEY_Control_L, false, leds);
		keysym_keyboard_event(&keyboard, 'x', true, leds);
		keysym_keyboard_event(&keyboard, 'x', false, leds);
		xkb_guest_forget(&guest);
		for (unsigned i = 0; i < 4 * array_size(typed); i++) {
			uint32_t keysym = typed[i % array_size(typed)];

			keysym_keyboard_event(&keyboard, keysym, true, leds);
			if (i % lag == 0)
				leds = xkb_guest_leds(&guest);
			keysym_keyboard_event(&keyboard, keysym, false, leds);
			assert_int_equal(guest.symbol_count, i + 1);
			assert_int_equal(guest.symbols[i], keysym);
		}
		assert_true(xkb_guest_is_at_rest(&guest));
		assert_int_equal(xkb_guest_leds(&guest), INPUT_LED_CAPS);
		close_layout();
	}
}

static void keymap_client_turns_caps_lock_and_types_on_at_once(void **state)
{
	static const struct layout some[] = { { "us", "us", "" }, { "fr", "fr", "" },
		{ "jp", "jp", "" } };

	(void)state;
	for (size_t i = 0; i < array_size(some); i++) {
		open_layout(&some[i]);
		for (unsigned tap = 0; tap < 9; tap++) {
			keysym_keyboard_event(&keyboard, XKB_KEY_Caps_Lock, true, 0);
			keysym_keyboard_event(&keyboard, XKB_KEY_Caps_Lock, false, 0);
			keysym_keyboard_event(&keyboard, tap & 1 ? 'q' : 'Q', true, 0);
			keysym_keyboard_event(&keyboard, tap & 1 ? 'q' : 'Q', false, 0);
			assert_int_equal(guest.symbol_count, tap + 1);
			assert_int_equal(guest.symbols[tap], tap & 1 ? 'q' : 'Q');
			assert_true(xkb_guest_is_at_rest(&guest));
			assert_int_equal(xkb_guest_leds(&guest), tap & 1 ? 0 : INPUT_LED_CAPS);
		}
		close_layout();
	}
}

/* Characters that no key has: dead keys in the guest make them. */
static void keymap_every_composed_character_arrives(void **state)
{
	unsigned count = 0;

	(void)state;
	for (size_t i = 0; i < array_size(layouts); i++) {
		open_layout(&layouts[i]);
		if (!guest.compose) {
			close_layout();
			print_message("skipped: there is no " XKB_GUEST_COMPOSE "\n");
			skip();
		}
		for (unsigned caps = 0; caps < 2; caps++) {
			set_caps(caps);
			for (uint32_t character = 0x20; character < 0x2200; character++) {
				uint32_t keysym = keymap_keysym_of(character);
				struct keymap_strokes strokes;

				if (!keysym || !keymap_find_strokes(keymap, keysym, caps, &strokes))
					continue;
				count += strokes.count > 1;
				xkb_guest_forget(&guest);
				event(keysym, true);
				event(keysym, false);
				if (guest.text_count == 1 &&
					xkb_keysym_to_utf32(guest.text[0]) == character &&
					xkb_guest_is_at_rest(&guest) &&
					(xkb_guest_leds(&guest) != 0) == caps)
					continue;
				fail_msg("%s: U+%04X arrives as %u symbols, 0x%x; %u down", what,
					character, guest.text_count,
					guest.text_count ? guest.text[0] : 0, guest.down_count);
			}
		}
		close_layout();
	}
	print_message("%u composed characters\n", count);
}

/* A client whose layout has dead keys that the guest's has not. */
static void keymap_dead_key_of_the_client_finds_its_letter(void **state)
{
	static const struct {
		struct layout layout;
		uint32_t dead, letter, text[2];
	} cases[] = {
		/* French has é as a key, and dead_acute only with AltGr; us has neither. */
		{ { "fr", "fr", "" }, XKB_KEY_dead_acute, 'e', { 0xe9 } },
		{ { "de(nodeadkeys)", "de", "nodeadkeys" }, XKB_KEY_dead_diaeresis, 'u', { 0xfc } },
		{ { "us", "us", "" }, XKB_KEY_dead_acute, 'e', { '\'', 'e' } },
		{ { "us", "us", "" }, XKB_KEY_dead_circumflex, ' ', { '^' } },
		{ { "us", "us", "" }, XKB_KEY_dead_tilde, XKB_KEY_dead_tilde, { '~' } },
		{ { "us", "us", "" }, XKB_KEY_dead_diaeresis, 'x', { '"', 'x' } },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		unsigned count = cases[i].text[1] ? 2 : 1;

		open_layout(&cases[i].layout);
		event(cases[i].dead, true);
		event(cases[i].dead, false);
		event(XKB_KEY_Shift_L, true);
		event(XKB_KEY_Shift_L, false);
		event(cases[i].letter, true);
		event(cases[i].letter, false);
		if (guest.compose) {
			assert_int_equal(guest.text_count, count);
			for (unsigned n = 0; n < count; n++)
				assert_int_equal(
					xkb_keysym_to_utf32(guest.text[n]), cases[i].text[n]);
		}
		assert_true(xkb_guest_is_at_rest(&guest));
		close_layout();
	}
}

/* Our own table says nothing that X's does not. */
static void keymap_dead_keys_are_as_x_has_them(void **state)
{
	const struct layout us = { "us", "us", "" };
	unsigned count = 0;

	(void)state;
	open_layout(&us);
	if (!guest.compose) {
		close_layout();
		skip();
	}
	for (uint32_t dead = XKB_KEY_dead_grave; dead < 0xfea0; dead++) {
		for (uint32_t character = 0x20; character < 0x2000; character++) {
			uint32_t made = compose(dead, character);

			if (!made)
				continue;
			count++;
			xkb_guest_forget(&guest);
			xkb_guest_compose(&guest, dead);
			xkb_guest_compose(&guest, xkb_utf32_to_keysym(character));
			assert_int_equal(guest.text_count, 1);
			assert_int_equal(xkb_keysym_to_utf32(guest.text[0]), made);
		}
		if (compose_twice(dead)) {
			xkb_guest_forget(&guest);
			xkb_guest_compose(&guest, dead);
			xkb_guest_compose(&guest, dead);
			assert_int_equal(guest.text_count, 1);
			assert_int_equal(xkb_keysym_to_utf32(guest.text[0]), compose_twice(dead));
		}
	}
	assert_true(count > 400);
	close_layout();
}

static void keymap_names_are_found_however_they_are_written(void **state)
{
	static const char *const names[][2] = { { "us", "us" }, { "US", "us" }, { "en-us", "us" },
		{ "en_GB", "gb" }, { "uk", "gb" }, { "dvorak", "us(dvorak)" },
		{ "us:dvorak", "us(dvorak)" }, { "us(dvorak)", "us(dvorak)" },
		{ "us-dvorak-intl", "us(dvorak-intl)" }, { "pt-br", "br" }, { "ja", "jp" },
		{ "de-ch", "ch" }, { "fr-ch", "ch(fr)" }, { "de:nodeadkeys", "de(nodeadkeys)" },
		{ "us(altgr-intl)", "us(altgr-intl)" }, { "br(nativo-us)", "br(nativo-us)" } };

	(void)state;
	for (size_t i = 0; i < array_size(names); i++) {
		struct error err;

		if (keymap_create(names[i][0], &keymap, &err))
			fail_msg("%s", err.text);
		assert_string_equal(keymap_name(keymap), names[i][1]);
		keymap_destroy(keymap);
	}
	keymap_destroy(NULL);
}

static void keymap_unknown_names_are_refused_with_near_ones(void **state)
{
	static const char *const names[][2] = {
		{ "dee", "--keymap dee: there is no such layout (there are ee, de" },
		{ "german", " de" },
		{ "norwegian", "(there is no)" },
		{ "us(dvorack)", "the layout us has no variant 'dvorack' (there are us(dvorak)" },
		{ "qwertz", "(qwertz)" },
		{ "klingon", "try us, gb, de" },
		{ "us,de", "one layout" },
		{ "", "one layout" },
		{ "../../etc/passwd", "one layout" },
		{ ".", "one layout" },
		{ "de(", "one layout" },
		{ "de)", "one layout" },
		{ "de(nodeadkeys", "one layout" },
		{ "(de)", "one layout" },
		{ "us%include \"de\"", "one layout" },
		{ "a-name-that-is-so-long-that-no-layout-of-the-world-has-such-a-name-or-ever-had-"
		  "one",
			"one layout" },
	};

	(void)state;
	for (size_t i = 0; i < array_size(names); i++) {
		struct error err = { "" };
		struct keymap *none = (struct keymap *)1;

		assert_int_equal(keymap_create(names[i][0], &none, &err), -22);
		assert_null(none);
		if (!strstr(err.text, names[i][1]))
			fail_msg("'%s' is answered by: %s", names[i][0], err.text);
	}
}

static void keymap_all_kinds_of_keysyms_for_a_character_are_one(void **state)
{
	const struct layout polish = { "pl", "pl", "" };
	struct keymap_key legacy, unicode;

	(void)state;
	open_layout(&polish);
	assert_true(keymap_find(keymap, XKB_KEY_zacute, false, &legacy));
	assert_true(keymap_find(keymap, 0x0100017a, false, &unicode));
	assert_memory_equal(&legacy, &unicode, sizeof(legacy));
	assert_true(keymap_find(keymap, 0x010000f3, false, &unicode)); /* ó */
	assert_true(keymap_find(keymap, XKB_KEY_EuroSign, false, &legacy));
	assert_int_equal(keymap_character_of(keymap, XKB_KEY_EuroSign), 0x20ac);
	assert_int_equal(keymap_character_of(keymap, XKB_KEY_Return), 0);
	assert_int_equal(keymap_character_of(keymap, 0x01000007), 0);
	assert_int_equal(keymap_character_of(keymap, 0x01ffffff), 0);
	assert_int_equal(keymap_keysym_of(0x110000), 0);
	close_layout();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keymap_every_symbol_of_every_layout_arrives),
		cmocka_unit_test(keymap_caps_lock_turned_faster_than_its_light_answers),
		cmocka_unit_test(keymap_client_turns_caps_lock_and_types_on_at_once),
		cmocka_unit_test(keymap_every_composed_character_arrives),
		cmocka_unit_test(keymap_dead_key_of_the_client_finds_its_letter),
		cmocka_unit_test(keymap_dead_keys_are_as_x_has_them),
		cmocka_unit_test(keymap_names_are_found_however_they_are_written),
		cmocka_unit_test(keymap_unknown_names_are_refused_with_near_ones),
		cmocka_unit_test(keymap_all_kinds_of_keysyms_for_a_character_are_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
