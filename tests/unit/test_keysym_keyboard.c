/* Keysyms to the guest's keys. */
#include <linux/input-event-codes.h>
#include <stdio.h>
#include <string.h>
#include <xkbcommon/xkbcommon-keysyms.h>

#include "cmocka_all.h"
#include "core/input_sink.h"
#include "input/keysym_keyboard.h"

static struct keymap *keymap;
static char text[4096];
static bool guest_down[KEY_CNT];

static void emit(void *opaque, unsigned code, bool down)
{
	char event[16];

	(void)opaque;
	assert_true(code > 0 && code < KEY_CNT);
	assert_int_not_equal(guest_down[code], down); /* never a press twice, nor a release */
	guest_down[code] = down;
	snprintf(event, sizeof(event), "%c%u ", down ? '+' : '-', code);
	if (strlen(text) + sizeof(event) < sizeof(text))
		strcat(text, event);
}

static int group_setup(void **state)
{
	struct error err;

	(void)state;
	return keymap_create("us", &keymap, &err);
}

static int group_teardown(void **state)
{
	(void)state;
	keymap_destroy(keymap);
	return 0;
}

static void start(struct keysym_keyboard *keyboard)
{
	keysym_keyboard_init(keyboard, keymap, emit, NULL);
	text[0] = '\0';
	memset(guest_down, 0, sizeof(guest_down));
}

static void expect(const char *events)
{
	assert_string_equal(text, events);
	text[0] = '\0';
}

static void tap(struct keysym_keyboard *keyboard, uint32_t keysym)
{
	keysym_keyboard_event(keyboard, keysym, true, 0);
	keysym_keyboard_event(keyboard, keysym, false, 0);
}

static unsigned key_of(uint32_t keysym)
{
	struct keysym_keyboard keyboard;
	unsigned code = 0;
	int ignored;

	start(&keyboard);
	keysym_keyboard_event(&keyboard, keysym, true, 0);
	/* The key itself comes last, after Shift. */
	for (const char *event = text; *event; event = strchr(event, ' ') + 1)
		ignored = sscanf(event, "+%u", &code);
	(void)ignored;
	keysym_keyboard_release_all(&keyboard);
	return code;
}

static void keysym_keyboard_letters_and_digits_are_their_keys(void **state)
{
	static const struct {
		uint32_t keysym;
		unsigned code;
	} keys[] = { { 'a', KEY_A }, { 'z', KEY_Z }, { '1', KEY_1 }, { '0', KEY_0 },
		{ ' ', KEY_SPACE }, { '-', KEY_MINUS }, { '=', KEY_EQUAL }, { '[', KEY_LEFTBRACE },
		{ ';', KEY_SEMICOLON }, { '`', KEY_GRAVE }, { '\\', KEY_BACKSLASH },
		{ '/', KEY_SLASH }, { ',', KEY_COMMA }, { '.', KEY_DOT },
		{ '\'', KEY_APOSTROPHE } };

	(void)state;
	for (size_t i = 0; i < array_size(keys); i++) {
		struct keysym_keyboard keyboard;
		char events[32];

		start(&keyboard);
		tap(&keyboard, keys[i].keysym);
		snprintf(events, sizeof(events), "+%u -%u ", keys[i].code, keys[i].code);
		expect(events);
	}
}

static void keysym_keyboard_every_printable_ascii_has_a_key(void **state)
{
	(void)state;
	for (uint32_t keysym = 0x20; keysym < 0x7f; keysym++)
		assert_int_not_equal(key_of(keysym), 0);
	/* And is on the part of the keyboard that everybody has. */
	assert_int_equal(key_of('<'), KEY_COMMA);
	assert_int_equal(key_of('>'), KEY_DOT);
	assert_int_equal(key_of('|'), KEY_BACKSLASH);
	assert_int_equal(key_of('('), KEY_9);
	assert_int_equal(key_of(')'), KEY_0);
	assert_int_equal(key_of('='), KEY_EQUAL);
}

static void keysym_keyboard_special_keys_are_theirs(void **state)
{
	static const struct {
		uint32_t keysym;
		unsigned code;
	} keys[] = {
		{ XKB_KEY_Return, KEY_ENTER }, { XKB_KEY_Escape, KEY_ESC },
		{ XKB_KEY_BackSpace, KEY_BACKSPACE }, { XKB_KEY_Tab, KEY_TAB },
		{ XKB_KEY_Delete, KEY_DELETE }, { XKB_KEY_Insert, KEY_INSERT },
		{ XKB_KEY_Home, KEY_HOME }, { XKB_KEY_End, KEY_END },
		{ XKB_KEY_Page_Up, KEY_PAGEUP }, { XKB_KEY_Page_Down, KEY_PAGEDOWN },
		{ XKB_KEY_Left, KEY_LEFT }, { XKB_KEY_Right, KEY_RIGHT }, { XKB_KEY_Up, KEY_UP },
		{ XKB_KEY_Down, KEY_DOWN }, { XKB_KEY_Caps_Lock, KEY_CAPSLOCK },
		{ XKB_KEY_Num_Lock, KEY_NUMLOCK }, { XKB_KEY_Scroll_Lock, KEY_SCROLLLOCK },
		{ XKB_KEY_Control_L, KEY_LEFTCTRL }, { XKB_KEY_Control_R, KEY_RIGHTCTRL },
		{ XKB_KEY_Alt_L, KEY_LEFTALT }, { XKB_KEY_Alt_R, KEY_RIGHTALT },
		{ XKB_KEY_Super_L, KEY_LEFTMETA }, { XKB_KEY_Super_R, KEY_RIGHTMETA },
		{ XKB_KEY_Menu, KEY_COMPOSE }, { XKB_KEY_Print, KEY_SYSRQ },
		{ XKB_KEY_Sys_Req, KEY_SYSRQ }, { XKB_KEY_Pause, KEY_PAUSE },
		{ XKB_KEY_Break, KEY_PAUSE }, { XKB_KEY_KP_0, KEY_KP0 }, { XKB_KEY_KP_5, KEY_KP5 },
		{ XKB_KEY_KP_7, KEY_KP7 }, { XKB_KEY_KP_9, KEY_KP9 }, { XKB_KEY_KP_Home, KEY_KP7 },
		{ XKB_KEY_KP_Begin, KEY_KP5 }, { XKB_KEY_KP_Delete, KEY_KPDOT },
		{ XKB_KEY_KP_Decimal, KEY_KPDOT }, { XKB_KEY_KP_Enter, KEY_KPENTER },
		{ XKB_KEY_KP_Add, KEY_KPPLUS }, { XKB_KEY_KP_Subtract, KEY_KPMINUS },
		{ XKB_KEY_KP_Multiply, KEY_KPASTERISK }, { XKB_KEY_KP_Divide, KEY_KPSLASH },
		{ XKB_KEY_F1, KEY_F1 }, { XKB_KEY_F10, KEY_F10 }, { XKB_KEY_F11, KEY_F11 },
		{ XKB_KEY_F12, KEY_F12 }, { XKB_KEY_XF86AudioMute, KEY_MUTE },
		{ XKB_KEY_XF86AudioLowerVolume, KEY_VOLUMEDOWN },
		{ XKB_KEY_XF86AudioRaiseVolume, KEY_VOLUMEUP },
		{ XKB_KEY_XF86AudioPlay, KEY_PLAYPAUSE }, { XKB_KEY_XF86AudioNext, KEY_NEXTSONG },
		{ XKB_KEY_XF86AudioPrev, KEY_PREVIOUSSONG }, { XKB_KEY_Hangul, KEY_HANGEUL },
		{ XKB_KEY_Henkan_Mode, KEY_HENKAN },
		{ 0x01000061, KEY_A }, /* 'a' in Unicode's clothes */
	};

	(void)state;
	for (size_t i = 0; i < array_size(keys); i++) {
		if (key_of(keys[i].keysym) != keys[i].code)
			fail_msg("keysym 0x%x is %u, not %u", keys[i].keysym,
				key_of(keys[i].keysym), keys[i].code);
	}
	for (uint32_t i = 0; i < 12; i++)
		assert_int_equal(key_of(XKB_KEY_F13 + i), KEY_F13 + i);
}

static void keysym_keyboard_shifted_symbol_without_shift_gets_one(void **state)
{
	struct keysym_keyboard keyboard;

	(void)state;
	start(&keyboard);
	tap(&keyboard, 'A');
	expect("+42 +30 -30 -42 ");
	tap(&keyboard, '!');
	expect("+42 +2 -2 -42 ");
}

static void keysym_keyboard_shifted_symbol_with_shift_needs_none(void **state)
{
	struct keysym_keyboard keyboard;

	(void)state;
	start(&keyboard);
	keysym_keyboard_event(&keyboard, XKB_KEY_Shift_R, true, 0);
	tap(&keyboard, 'A');
	tap(&keyboard, '!');
	keysym_keyboard_event(&keyboard, XKB_KEY_Shift_R, false, 0);
	expect("+54 +30 -30 +2 -2 -54 ");
}

static void keysym_keyboard_plain_symbol_with_shift_suppresses_it(void **state)
{
	struct keysym_keyboard keyboard;

	(void)state;
	start(&keyboard);
	/* A German client: Shift-7 is a slash. */
	keysym_keyboard_event(&keyboard, XKB_KEY_Shift_L, true, 0);
	tap(&keyboard, '/');
	expect("+42 -42 +53 -53 +42 ");
	keysym_keyboard_event(&keyboard, XKB_KEY_Shift_L, false, 0);
	expect("-42 ");
}

static void keysym_keyboard_altgr_symbol_comes_without_altgr(void **state)
{
	struct keysym_keyboard keyboard;

	(void)state;
	start(&keyboard);
	/* A German client: AltGr-Q is an at sign. */
	keysym_keyboard_event(&keyboard, XKB_KEY_ISO_Level3_Shift, true, 0);
	tap(&keyboard, '@');
	keysym_keyboard_event(&keyboard, XKB_KEY_ISO_Level3_Shift, false, 0);
	expect("+100 -100 +42 +3 -3 -42 +100 -100 ");
	/* The right Alt of a US client stays. */
	keysym_keyboard_event(&keyboard, XKB_KEY_Alt_R, true, 0);
	tap(&keyboard, 'x');
	keysym_keyboard_event(&keyboard, XKB_KEY_Alt_R, false, 0);
	expect("+100 +45 -45 -100 ");
}

static void keysym_keyboard_release_after_shift_went_does_not_stick(void **state)
{
	struct keysym_keyboard keyboard;

	(void)state;
	start(&keyboard);
	keysym_keyboard_event(&keyboard, XKB_KEY_Shift_L, true, 0);
	keysym_keyboard_event(&keyboard, 'A', true, 0);
	keysym_keyboard_event(&keyboard, XKB_KEY_Shift_L, false, 0);
	keysym_keyboard_event(&keyboard, 'a', false, 0);
	expect("+42 +30 -30 -42 ");
	/* And where the release names a key elsewhere on our layout: German "&" and "6". */
	keysym_keyboard_event(&keyboard, XKB_KEY_Shift_L, true, 0);
	keysym_keyboard_event(&keyboard, '&', true, 0);
	keysym_keyboard_event(&keyboard, XKB_KEY_Shift_L, false, 0);
	keysym_keyboard_event(&keyboard, '6', false, 0);
	expect("+42 +8 -8 -42 ");
	/* The same with a symbol that we do not have. */
	keysym_keyboard_event(&keyboard, '\'', true, 0);
	keysym_keyboard_event(&keyboard, XKB_KEY_adiaeresis, false, 0);
	expect("+40 -40 ");
}

static void keysym_keyboard_caps_lock_in_the_guest_turns_letters(void **state)
{
	struct keysym_keyboard keyboard;

	(void)state;
	start(&keyboard);
	keysym_keyboard_event(&keyboard, 'A', true, INPUT_LED_CAPS);
	keysym_keyboard_event(&keyboard, 'A', false, INPUT_LED_CAPS);
	expect("+30 -30 ");
	keysym_keyboard_event(&keyboard, 'a', true, INPUT_LED_CAPS);
	keysym_keyboard_event(&keyboard, 'a', false, INPUT_LED_CAPS);
	expect("+42 +30 -30 -42 ");
	keysym_keyboard_event(&keyboard, '1', true, INPUT_LED_CAPS);
	keysym_keyboard_event(&keyboard, '1', false, INPUT_LED_CAPS);
	expect("+2 -2 ");
}

static void keysym_keyboard_repeat_and_unknown_are_ignored(void **state)
{
	struct keysym_keyboard keyboard;

	(void)state;
	start(&keyboard);
	keysym_keyboard_event(&keyboard, 'a', true, 0);
	keysym_keyboard_event(&keyboard, 'a', true, 0);
	keysym_keyboard_event(&keyboard, 'a', true, 0);
	keysym_keyboard_event(&keyboard, 'a', false, 0);
	expect("+30 -30 ");
	tap(&keyboard, XKB_KEY_adiaeresis);
	tap(&keyboard, 0);
	tap(&keyboard, 0xffffffff);
	tap(&keyboard, 0x0110ffff);
	expect("");
	keysym_keyboard_event(&keyboard, 'b', false, 0);
	keysym_keyboard_event(&keyboard, XKB_KEY_F1, false, 0);
	expect("");
}

static void keysym_keyboard_fast_typing_overlaps_with_right_shift_state(void **state)
{
	struct keysym_keyboard keyboard;

	(void)state;
	start(&keyboard);
	keysym_keyboard_event(&keyboard, 'A', true, 0);
	keysym_keyboard_event(&keyboard, 'b', true, 0);
	keysym_keyboard_event(&keyboard, 'A', false, 0);
	keysym_keyboard_event(&keyboard, 'b', false, 0);
	expect("+42 +30 -42 +48 -30 -48 ");
}

static void keysym_keyboard_release_all_leaves_nothing_down(void **state)
{
	struct keysym_keyboard keyboard;

	(void)state;
	start(&keyboard);
	keysym_keyboard_event(&keyboard, XKB_KEY_Shift_L, true, 0);
	keysym_keyboard_event(&keyboard, XKB_KEY_Control_L, true, 0);
	for (uint32_t keysym = 'a'; keysym <= 'z'; keysym++)
		keysym_keyboard_event(&keyboard, keysym, true, 0);
	for (uint32_t keysym = '0'; keysym <= '9'; keysym++)
		keysym_keyboard_event(&keyboard, keysym, true, 0); /* more than fit */
	keysym_keyboard_release_all(&keyboard);
	for (unsigned code = 0; code < KEY_CNT; code++)
		assert_false(guest_down[code]);
}

/* The guest's layout for one test. */
static struct keymap *usual;

static void use_layout(const char *name)
{
	struct error err;

	usual = keymap;
	assert_int_equal(keymap_create(name, &keymap, &err), 0);
}

static void use_usual_layout(void)
{
	keymap_destroy(keymap);
	keymap = usual;
}

static void keysym_keyboard_keys_of_other_countries_are_theirs(void **state)
{
	static const struct {
		const char *layout;
		uint32_t keysym;
		unsigned code;
	} keys[] = {
		{ "jp", XKB_KEY_Henkan_Mode, KEY_HENKAN },
		{ "jp", XKB_KEY_Muhenkan, KEY_MUHENKAN },
		{ "jp", XKB_KEY_Hiragana_Katakana, KEY_KATAKANAHIRAGANA },
		{ "jp", XKB_KEY_Zenkaku_Hankaku, KEY_GRAVE },
		{ "jp", XKB_KEY_Kanji, KEY_ZENKAKUHANKAKU },
		{ "us", XKB_KEY_Zenkaku_Hankaku, KEY_ZENKAKUHANKAKU },
		{ "jp", XKB_KEY_Eisu_toggle, KEY_CAPSLOCK },
		{ "jp", XKB_KEY_Caps_Lock, KEY_CAPSLOCK },
		{ "jp", '_', KEY_RO },
		{ "jp", '|', KEY_YEN },
		{ "br", '/', KEY_RO },
		{ "br", '?', KEY_RO },
		{ "br", XKB_KEY_ccedilla, KEY_SEMICOLON },
		{ "br", XKB_KEY_KP_Decimal, KEY_KPCOMMA },
		{ "br", XKB_KEY_KP_Separator, KEY_KPDOT },
		{ "de", '<', KEY_102ND },
		{ "de", XKB_KEY_udiaeresis, KEY_LEFTBRACE },
		{ "de", XKB_KEY_KP_Separator, KEY_KPDOT },
		{ "gb", '\\', KEY_102ND },
		{ "fr", XKB_KEY_KP_Add, KEY_KPPLUS },
		{ "us", '<', KEY_COMMA },
		{ "us", XKB_KEY_XF86Back, KEY_BACK },
		{ "us", XKB_KEY_XF86Forward, KEY_FORWARD },
		{ "us", XKB_KEY_XF86HomePage, KEY_HOMEPAGE },
		{ "us", XKB_KEY_XF86Search, KEY_SEARCH },
		{ "us", XKB_KEY_XF86Mail, KEY_MAIL },
		{ "us", XKB_KEY_XF86Calculator, KEY_CALC },
		{ "us", XKB_KEY_XF86AudioStop, KEY_STOPCD },
		{ "us", XKB_KEY_XF86AudioMedia, KEY_MEDIA },
		{ "us", XKB_KEY_XF86Reload, KEY_REFRESH },
		{ "us", XKB_KEY_XF86Favorites, KEY_BOOKMARKS },
		{ "us", XKB_KEY_XF86MyComputer, KEY_COMPUTER },
		{ "us", XKB_KEY_XF86Sleep, KEY_SLEEP },
		{ "us", XKB_KEY_XF86WakeUp, KEY_WAKEUP },
		{ "us", XKB_KEY_XF86PowerOff, KEY_POWER },
		{ "us", XKB_KEY_Cancel, KEY_STOP },
		{ "us", XKB_KEY_XF86Switch_VT_1, KEY_F1 },
		{ "us", XKB_KEY_XF86Switch_VT_12, KEY_F12 },
		{ "us", XKB_KEY_Meta_L, KEY_LEFTALT },
		{ "us", XKB_KEY_Hiragana_Katakana, KEY_KATAKANAHIRAGANA },
	};

	(void)state;
	for (size_t i = 0; i < array_size(keys); i++) {
		use_layout(keys[i].layout);
		if (key_of(keys[i].keysym) != keys[i].code)
			fail_msg("%s: keysym 0x%x is %u, not %u", keys[i].layout, keys[i].keysym,
				key_of(keys[i].keysym), keys[i].code);
		use_usual_layout();
	}
}

static void keysym_keyboard_windows_altgr_is_altgr(void **state)
{
	struct keysym_keyboard keyboard;

	(void)state;
	use_layout("de");
	start(&keyboard);
	keysym_keyboard_event(&keyboard, XKB_KEY_Control_L, true, 0);
	keysym_keyboard_event(&keyboard, XKB_KEY_Alt_R, true, 0);
	expect("+29 +100 ");
	tap(&keyboard, '@');
	expect("-29 +16 -16 +29 ");
	keysym_keyboard_event(&keyboard, XKB_KEY_Alt_R, false, 0);
	keysym_keyboard_event(&keyboard, XKB_KEY_Control_L, false, 0);
	expect("-100 -29 ");
	/* With a letter it is Ctrl and Alt. */
	use_usual_layout();
	start(&keyboard);
	keysym_keyboard_event(&keyboard, XKB_KEY_Control_L, true, 0);
	keysym_keyboard_event(&keyboard, XKB_KEY_Alt_R, true, 0);
	tap(&keyboard, 't');
	keysym_keyboard_event(&keyboard, XKB_KEY_Alt_R, false, 0);
	keysym_keyboard_event(&keyboard, XKB_KEY_Control_L, false, 0);
	expect("+29 +100 +20 -20 -100 -29 ");
}

static void keysym_keyboard_shortcuts_are_as_the_client_has_them(void **state)
{
	struct keysym_keyboard keyboard;

	(void)state;
	/* Caps Lock is on in the guest only: Ctrl-c is not Ctrl-Shift-c. */
	start(&keyboard);
	keysym_keyboard_event(&keyboard, XKB_KEY_Control_L, true, INPUT_LED_CAPS);
	keysym_keyboard_event(&keyboard, 'c', true, INPUT_LED_CAPS);
	keysym_keyboard_event(&keyboard, 'c', false, INPUT_LED_CAPS);
	keysym_keyboard_event(&keyboard, XKB_KEY_Control_L, false, INPUT_LED_CAPS);
	expect("+29 +46 -46 -29 ");
	/* And on the client's side only. */
	start(&keyboard);
	keysym_keyboard_event(&keyboard, XKB_KEY_Super_L, true, 0);
	tap(&keyboard, 'C');
	keysym_keyboard_event(&keyboard, XKB_KEY_Shift_L, true, 0);
	tap(&keyboard, 'C');
	keysym_keyboard_event(&keyboard, XKB_KEY_Shift_L, false, 0);
	keysym_keyboard_event(&keyboard, XKB_KEY_Super_L, false, 0);
	expect("+125 +46 -46 +42 +46 -46 -42 -125 ");
	/* Without Latin letters the place counts. */
	use_layout("ru");
	start(&keyboard);
	keysym_keyboard_event(&keyboard, XKB_KEY_Control_R, true, 0);
	tap(&keyboard, 'c');
	keysym_keyboard_event(&keyboard, XKB_KEY_Control_R, false, 0);
	tap(&keyboard, 'c');
	expect("+97 +46 -46 -97 ");
	use_usual_layout();
}

static void keysym_keyboard_symbols_without_a_release_end_with_their_modifier(void **state)
{
	struct keysym_keyboard keyboard;

	(void)state;
	use_layout("de");
	start(&keyboard);
	keysym_keyboard_event(&keyboard, XKB_KEY_ISO_Level3_Shift, true, 0);
	keysym_keyboard_event(&keyboard, '@', true, 0);
	keysym_keyboard_event(&keyboard, XKB_KEY_ISO_Level3_Shift, false, 0);
	expect("+100 +16 -16 -100 ");
	/* The client did not mean to release anything else with it. */
	keysym_keyboard_event(&keyboard, 'x', true, 0);
	keysym_keyboard_event(&keyboard, 'q', false, 0);
	expect("+45 ");
	keysym_keyboard_event(&keyboard, 'x', false, 0);
	expect("-45 ");
	/* Held on beyond Shift: its repeats press it again. */
	keysym_keyboard_event(&keyboard, XKB_KEY_Shift_L, true, 0);
	keysym_keyboard_event(&keyboard, 'W', true, 0);
	keysym_keyboard_event(&keyboard, XKB_KEY_Shift_L, false, 0);
	keysym_keyboard_event(&keyboard, 'w', true, 0);
	keysym_keyboard_event(&keyboard, 'w', true, 0);
	keysym_keyboard_event(&keyboard, 'w', false, 0);
	expect("+42 +17 -17 -42 +17 -17 ");
	use_usual_layout();
}

static void keysym_keyboard_two_symbols_of_one_key_are_both_typed(void **state)
{
	struct keysym_keyboard keyboard;

	(void)state;
	/* On a French keyboard these are two keys, and fingers overlap. */
	start(&keyboard);
	keysym_keyboard_event(&keyboard, '1', true, 0);
	keysym_keyboard_event(&keyboard, '!', true, 0);
	keysym_keyboard_event(&keyboard, '1', false, 0);
	keysym_keyboard_event(&keyboard, '!', false, 0);
	expect("+2 -2 +42 +2 -2 -42 ");
}

static void keysym_keyboard_composed_symbols_repeat_with_the_client(void **state)
{
	struct keysym_keyboard keyboard;

	(void)state;
	use_layout("fr");
	start(&keyboard);
	keysym_keyboard_event(&keyboard, XKB_KEY_acircumflex, true, 0);
	keysym_keyboard_event(&keyboard, XKB_KEY_acircumflex, true, 0);
	keysym_keyboard_event(&keyboard, XKB_KEY_acircumflex, false, 0);
	expect("+26 -26 +16 -16 +26 -26 +16 -16 ");
	/* The letter is down already. */
	keysym_keyboard_event(&keyboard, 'a', true, 0);
	tap(&keyboard, XKB_KEY_acircumflex);
	keysym_keyboard_event(&keyboard, 'a', false, 0);
	expect("+16 +26 -26 -16 +16 -16 ");
	use_usual_layout();
}

static void keysym_keyboard_space_with_shift_keeps_it(void **state)
{
	struct keysym_keyboard keyboard;

	(void)state;
	start(&keyboard);
	keysym_keyboard_event(&keyboard, XKB_KEY_Shift_L, true, 0);
	tap(&keyboard, ' ');
	tap(&keyboard, XKB_KEY_Return);
	tap(&keyboard, XKB_KEY_Tab);
	keysym_keyboard_event(&keyboard, XKB_KEY_Shift_L, false, 0);
	tap(&keyboard, XKB_KEY_ISO_Left_Tab);
	expect("+42 +57 -57 +28 -28 +15 -15 -42 +42 +15 -15 -42 ");
}

/* Its light never answers: a firmware, or Caps Lock used as another Ctrl. */
static void keysym_keyboard_caps_lock_without_a_light_is_none(void **state)
{
	struct keysym_keyboard keyboard;

	(void)state;
	start(&keyboard);
	for (unsigned tries = 0; tries < 2; tries++) {
		tap(&keyboard, XKB_KEY_Caps_Lock);
		text[0] = '\0';
		tap(&keyboard, 'A');
		/* Reckoned with at first; then the guest had its time, and the next tap counts for
		 * nothing. */
		expect(tries ? "+42 +30 -30 -42 " : "+30 -30 ");
		keyboard.caps.tapped_ns = 0;
		tap(&keyboard, 'A');
		expect("+42 +30 -30 -42 ");
	}
	/* Its light is one after all. */
	keysym_keyboard_event(&keyboard, 'A', true, INPUT_LED_CAPS);
	keysym_keyboard_event(&keyboard, 'A', false, INPUT_LED_CAPS);
	expect("+30 -30 ");
	keysym_keyboard_event(&keyboard, XKB_KEY_Caps_Lock, true, INPUT_LED_CAPS);
	keysym_keyboard_event(&keyboard, XKB_KEY_Caps_Lock, false, INPUT_LED_CAPS);
	text[0] = '\0';
	keysym_keyboard_event(&keyboard, 'A', true, INPUT_LED_CAPS);
	keysym_keyboard_event(&keyboard, 'A', false, INPUT_LED_CAPS);
	expect("+42 +30 -30 -42 ");
}

/* Whatever the guest's Num Lock is: both names of a key of the keypad are that key. */
static void keysym_keyboard_keypad_is_left_to_num_lock(void **state)
{
	struct keysym_keyboard keyboard;

	(void)state;
	start(&keyboard);
	tap(&keyboard, XKB_KEY_KP_7);
	tap(&keyboard, XKB_KEY_KP_Home);
	keysym_keyboard_event(&keyboard, XKB_KEY_Shift_L, true, 0);
	tap(&keyboard, XKB_KEY_KP_Home);
	keysym_keyboard_event(&keyboard, XKB_KEY_Shift_L, false, 0);
	expect("+71 -71 +71 -71 +42 +71 -71 -42 ");
	/* "7" down, Num Lock, "Home" up. */
	keysym_keyboard_event(&keyboard, XKB_KEY_KP_7, true, 0);
	keysym_keyboard_event(&keyboard, XKB_KEY_KP_Home, false, 0);
	expect("+71 -71 ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keysym_keyboard_letters_and_digits_are_their_keys),
		cmocka_unit_test(keysym_keyboard_every_printable_ascii_has_a_key),
		cmocka_unit_test(keysym_keyboard_special_keys_are_theirs),
		cmocka_unit_test(keysym_keyboard_shifted_symbol_without_shift_gets_one),
		cmocka_unit_test(keysym_keyboard_shifted_symbol_with_shift_needs_none),
		cmocka_unit_test(keysym_keyboard_plain_symbol_with_shift_suppresses_it),
		cmocka_unit_test(keysym_keyboard_altgr_symbol_comes_without_altgr),
		cmocka_unit_test(keysym_keyboard_release_after_shift_went_does_not_stick),
		cmocka_unit_test(keysym_keyboard_caps_lock_in_the_guest_turns_letters),
		cmocka_unit_test(keysym_keyboard_repeat_and_unknown_are_ignored),
		cmocka_unit_test(keysym_keyboard_fast_typing_overlaps_with_right_shift_state),
		cmocka_unit_test(keysym_keyboard_release_all_leaves_nothing_down),
		cmocka_unit_test(keysym_keyboard_keys_of_other_countries_are_theirs),
		cmocka_unit_test(keysym_keyboard_windows_altgr_is_altgr),
		cmocka_unit_test(keysym_keyboard_shortcuts_are_as_the_client_has_them),
		cmocka_unit_test(keysym_keyboard_symbols_without_a_release_end_with_their_modifier),
		cmocka_unit_test(keysym_keyboard_two_symbols_of_one_key_are_both_typed),
		cmocka_unit_test(keysym_keyboard_composed_symbols_repeat_with_the_client),
		cmocka_unit_test(keysym_keyboard_space_with_shift_keeps_it),
		cmocka_unit_test(keysym_keyboard_caps_lock_without_a_light_is_none),
		cmocka_unit_test(keysym_keyboard_keypad_is_left_to_num_lock),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
