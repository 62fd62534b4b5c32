/* Text typed at a simulated guest, through the router. */
#include <errno.h>
#include <limits.h>
#include <semaphore.h>
#include <time.h>

#include "cmocka_all.h"
#include "fake_sink.h"
#include "input/typist.h"
#include "xkb_guest.h"

#define ROOM_FOREVER UINT_MAX

static struct fake_sink fake;
static struct xkb_guest guest; /* under the fake sink's lock */
static struct input_router *router;
static struct keymap *keymap;
static struct typist *typist;
static sem_t woken;

static void on_wake(void *opaque)
{
	(void)opaque;
	sem_post(&woken);
}

/* "+30", "-30" */
static void on_event(const char *event)
{
	if (event[0] == '+' || event[0] == '-')
		xkb_guest_key(&guest, (unsigned)strtoul(event + 1, NULL, 10), event[0] == '+');
}

static void start(const char *name, const char *layout, const char *variant, unsigned leds)
{
	struct error err;

	assert_int_equal(keymap_create(name, &keymap, &err), 0);
	assert_true(xkb_guest_init(&guest, layout, variant));
	xkb_guest_set_caps(&guest, leds & INPUT_LED_CAPS);
	fake_sink_init(&fake, "fake", INPUT_KEYBOARD, ROOM_FOREVER);
	fake.echo = on_event;
	fake.leds = leds;
	sem_init(&woken, 0, 0);
	assert_int_equal(input_router_create(&router, &err), 0);
	assert_int_equal(input_router_attach(router, &fake.sink), 0);
	assert_int_equal(typist_create(router, keymap, on_wake, NULL, &typist, &err), 0);
}

static void stop(void)
{
	typist_destroy(typist);
	input_router_destroy(router);
	sem_destroy(&woken);
	fake_sink_fini(&fake);
	assert_true(xkb_guest_is_at_rest(&guest));
	xkb_guest_fini(&guest);
	keymap_destroy(keymap);
}

static bool wait_for_wake(unsigned ms)
{
	struct timespec deadline;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_nsec += (long)ms * 1000000;
	deadline.tv_sec += deadline.tv_nsec / 1000000000;
	deadline.tv_nsec %= 1000000000;
	return sem_timedwait(&woken, &deadline) == 0;
}

/* Until everything is sent; the guest takes so many keys at a time. */
static void type_all(unsigned room)
{
	while (typist_step(typist)) {
		/* The guest takes keys without asking the typist. */
		for (unsigned tries = 0;; tries++) {
			if (room != ROOM_FOREVER)
				fake_sink_give_room(&fake, room);
			if (wait_for_wake(room == ROOM_FOREVER ? 60000 : 1))
				break;
			assert_true(tries < 60000);
		}
	}
	/* What is in the router's queue. */
	fake_sink_give_room(&fake, ROOM_FOREVER);
	for (unsigned i = 0; i < 1000; i++) {
		const struct timespec pause = { .tv_nsec = 1000000 };
		bool rest;

		pthread_mutex_lock(&fake.lock);
		rest = xkb_guest_is_at_rest(&guest);
		pthread_mutex_unlock(&fake.lock);
		if (rest && i > 5)
			break;
		nanosleep(&pause, NULL);
	}
}

static size_t add(const char *text)
{
	size_t skipped;

	assert_int_equal(typist_add(typist, text, strlen(text), &skipped), 0);
	return skipped;
}

/* A sanitizer's guest can be slow. */
static void wait_for_text(size_t count)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	bool done = false;

	for (unsigned i = 0; i < 60000 && !done; i++) {
		pthread_mutex_lock(&fake.lock);
		done = guest.text_count >= count && xkb_guest_is_at_rest(&guest);
		pthread_mutex_unlock(&fake.lock);
		if (!done)
			nanosleep(&pause, NULL);
	}
}

static void expect_text(const uint32_t *characters, size_t count)
{
	wait_for_text(count);
	pthread_mutex_lock(&fake.lock);
	for (size_t i = 0; i < count && i < guest.text_count; i++) {
		uint32_t character = xkb_keysym_to_utf32(guest.text[i]);

		if (character != characters[i])
			fail_msg("%s: character %zu: U+%04X and not U+%04X", keymap_name(keymap), i,
				character, characters[i]);
	}
	assert_int_equal(guest.text_count, count);
	assert_true(xkb_guest_is_at_rest(&guest));
	pthread_mutex_unlock(&fake.lock);
}

static unsigned arrived(void)
{
	unsigned count;

	pthread_mutex_lock(&fake.lock);
	count = guest.text_count;
	pthread_mutex_unlock(&fake.lock);
	return count;
}

static size_t encode(char *text, uint32_t character)
{
	return (size_t)xkb_keysym_to_utf8(
		       character < 0x100 ? character : 0x01000000 | character, text, 8) -
	       1;
}

static void typist_everything_a_layout_has_arrives(void **state)
{
	static const char *const names[][3] = { { "us", "us", "" }, { "gb", "gb", "" },
		{ "de", "de", "" }, { "fr", "fr", "" }, { "es", "es", "" }, { "it", "it", "" },
		{ "jp", "jp", "" }, { "br", "br", "" }, { "dvorak", "us", "dvorak" },
		{ "pl", "pl", "" }, { "gr", "gr", "" }, { "us(intl)", "us", "intl" } };
	static uint32_t characters[XKB_GUEST_SYMBOLS];
	static char text[XKB_GUEST_SYMBOLS * 4];

	(void)state;
	for (size_t i = 0; i < 2 * array_size(names); i++) {
		const char *const *name = names[i / 2];
		unsigned leds = i & 1 ? INPUT_LED_CAPS : 0;
		size_t count = 0, bytes = 0, skipped;

		start(name[0], name[1], name[2], leds);
		for (uint32_t c = 0x20; guest.compose && c < 0x2200; c++) {
			struct keymap_strokes strokes;

			if (!keymap_keysym_of(c) ||
				!keymap_find_strokes(keymap, keymap_keysym_of(c), false, &strokes))
				continue;
			characters[count++] = c;
			bytes += encode(text + bytes, c);
		}
		assert_int_equal(typist_add(typist, text, bytes, &skipped), 0);
		assert_int_equal(skipped, 0);
		type_all(i & 2 ? 7 : ROOM_FOREVER);
		expect_text(characters, count);
		assert_int_equal(xkb_guest_leds(&guest), leds);
		stop();
	}
}

static void typist_ten_thousand_keys_arrive_at_a_slow_guest(void **state)
{
	static char text[2501];
	static uint32_t characters[2500];

	(void)state;
	for (size_t i = 0; i < array_size(characters); i++) {
		/* "[" is AltGr on the German layout: four keys for each. */
		static const char some[] = "aB[{x?";

		text[i] = some[(i * 7 + i / 11) % 6];
		characters[i] = (unsigned char)text[i];
	}
	start("de", "de", "", 0);
	fake_sink_give_room(&fake, 0);
	assert_int_equal(add(text), 0);
	type_all(3);
	expect_text(characters, array_size(characters));
	stop();
}

static void answer_light(void)
{
	unsigned leds;

	pthread_mutex_lock(&fake.lock);
	leds = xkb_guest_leds(&guest);
	pthread_mutex_unlock(&fake.lock);
	fake_sink_set_leds(&fake, leds);
}

/* Its light tells of each tap late, and not of all. */
static void typist_caps_lock_is_turned_at_a_slow_guest(void **state)
{
	static const uint32_t characters[] = { 'a', 0x142, 0x111, 'B', 0xe6, 'c', 'D', 0x167, 'e',
		'F', 0x127, 'g' };

	(void)state;
	for (unsigned lag = 1; lag < 8; lag++) {
		char text[8];
		unsigned steps = 0;

		start("de", "de", "", INPUT_LED_CAPS);
		fake_sink_give_room(&fake, 0);
		assert_true(wait_for_wake(20000));
		for (size_t i = 0; i < array_size(characters); i++) {
			size_t one = encode(text, characters[i]);

			assert_int_equal(typist_add(typist, text, one, NULL), 0);
		}
		while (typist_step(typist) || arrived() < array_size(characters)) {
			fake_sink_give_room(&fake, 1);
			if (++steps % lag == 0)
				answer_light();
			wait_for_wake(1);
			assert_true(steps < 10000);
		}
		type_all(ROOM_FOREVER);
		expect_text(characters, array_size(characters));
		assert_int_equal(xkb_guest_leds(&guest), INPUT_LED_CAPS);
		stop();
	}
}

static void typist_newlines_tabs_and_marks_are_understood(void **state)
{
	static const uint32_t characters[] = { 'a', '\r', 'b', '\r', 'c', '\t', 'd', '\r', 0xe9,
		0x20ac, 'o', 0xf1 };

	(void)state;
	start("us(intl)", "us", "intl", 0);
	/* e and a combining acute are one; o and a combining square are one too few. */
	assert_int_equal(add("a\nb\r\nc\td\re\xcc\x81\xe2\x82\xac"
			     "o\xe2\x83\x9e"
			     "n\xcc\x83"),
		1);
	type_all(ROOM_FOREVER);
	if (guest.compose)
		expect_text(characters, array_size(characters));
	stop();
}

static void typist_what_the_layout_cannot_type_is_counted(void **state)
{
	static const uint32_t characters[] = { 'a', 'b' };

	(void)state;
	start("us", "us", "", 0);
	assert_int_equal(add("a\xe6\xbc\xa2\x01\x1b\x7f\xc2\x85\xf0\x9f\x98\x80"
			     "b"),
		6);
	type_all(ROOM_FOREVER);
	expect_text(characters, 2);
	assert_int_equal(typist_add(typist, "", 0, NULL), 0);
	assert_int_equal(typist_step(typist), 0);
	stop();
}

static void typist_malformed_text_is_refused_whole(void **state)
{
	static const char *const bad[] = { "ok\xff", "\xc3", "\xc0\x80", "\xe0\x80\x80",
		"\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\x80", "\xe2\x82",
		"e\xcc", "a\xe2\x28\xa1" };

	(void)state;
	start("us", "us", "", 0);
	for (size_t i = 0; i < array_size(bad); i++)
		assert_int_equal(typist_add(typist, bad[i], strlen(bad[i]), NULL), -EILSEQ);
	type_all(ROOM_FOREVER);
	expect_text(NULL, 0);
	stop();
}

static void typist_more_than_its_limit_is_refused(void **state)
{
	const size_t bytes = TYPIST_MAX_WAITING;
	char *text = malloc(bytes);

	(void)state;
	assert_non_null(text);
	memset(text, 'a', bytes);
	start("us", "us", "", 0);
	fake_sink_give_room(&fake, 0);
	assert_int_equal(typist_add(typist, text, bytes, NULL), 0);
	assert_int_equal(typist_add(typist, text, 1, NULL), -EFBIG);
	assert_true(typist_step(typist) > 1);
	typist_cancel(typist);
	assert_int_equal(typist_step(typist), 0);
	assert_int_equal(typist_add(typist, text, 1, NULL), 0);
	fake_sink_give_room(&fake, ROOM_FOREVER);
	free(text);
	type_all(ROOM_FOREVER);
	stop();
}

static void typist_waits_while_the_machine_does_not_run(void **state)
{
	static const uint32_t characters[] = { 'A', '!', 'z' };

	(void)state;
	start("us", "us", "", 0);
	assert_true(wait_for_wake(20000));
	input_router_set_running(router, false);
	add("A!z");
	assert_int_equal(typist_step(typist), 3);
	assert_int_equal(guest.symbol_count, 0);
	input_router_set_running(router, true);
	type_all(ROOM_FOREVER);
	expect_text(characters, 3);
	stop();
}

/* The sink has no room in the middle of a character; then it is called off. */
static void typist_called_off_leaves_nothing_held(void **state)
{
	(void)state;
	for (unsigned room = 0; room < 20; room++) {
		start("de", "de", "", 0);
		assert_true(wait_for_wake(20000));
		fake_sink_give_room(&fake, room);
		add("[{@A");
		typist_step(typist);
		typist_cancel(typist);
		assert_int_equal(typist_step(typist), 0);
		type_all(ROOM_FOREVER);
		stop();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(typist_everything_a_layout_has_arrives),
		cmocka_unit_test(typist_ten_thousand_keys_arrive_at_a_slow_guest),
		cmocka_unit_test(typist_caps_lock_is_turned_at_a_slow_guest),
		cmocka_unit_test(typist_newlines_tabs_and_marks_are_understood),
		cmocka_unit_test(typist_what_the_layout_cannot_type_is_counted),
		cmocka_unit_test(typist_malformed_text_is_refused_whole),
		cmocka_unit_test(typist_more_than_its_limit_is_refused),
		cmocka_unit_test(typist_waits_while_the_machine_does_not_run),
		cmocka_unit_test(typist_called_off_leaves_nothing_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
