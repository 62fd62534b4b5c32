/* The hub of a serial line: everybody reads all of it, nobody holds up the guest but the terminal.
 */
#include "core/console_hub.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_all.h"

struct fixture {
	struct console_hub *hub;
	struct char_device device;
	struct char_host primary;
	uint8_t typed[64]; /* what the device got, at most `room` more */
	size_t typed_bytes, room;
	size_t primary_room, primary_bytes;
	unsigned primary_resumed;
	atomic_uint woken;
};

static size_t device_receive(void *opaque, const uint8_t *data, size_t length)
{
	struct fixture *fixture = opaque;
	size_t taken = length < fixture->room ? length : fixture->room;

	memcpy(fixture->typed + fixture->typed_bytes, data, taken);
	fixture->typed_bytes += taken;
	fixture->room -= taken;
	return taken;
}

static size_t primary_write(void *opaque, const uint8_t *data, size_t length)
{
	struct fixture *fixture = opaque;
	size_t taken = length < fixture->primary_room ? length : fixture->primary_room;

	(void)data;
	fixture->primary_bytes += taken;
	fixture->primary_room -= taken;
	return taken;
}

static void primary_resume(void *opaque)
{
	((struct fixture *)opaque)->primary_resumed++;
}

static void wake(void *opaque)
{
	atomic_fetch_add(&((struct fixture *)opaque)->woken, 1);
}

static void set_up(struct fixture *fixture, bool with_primary)
{
	struct error err;

	*fixture = (struct fixture){ .room = sizeof(fixture->typed) };
	fixture->device = (struct char_device){ .receive = device_receive, .opaque = fixture };
	fixture->primary = (struct char_host){
		.write = primary_write, .resume_input = primary_resume, .opaque = fixture
	};
	assert_int_equal(console_hub_create(&fixture->device,
				 with_primary ? &fixture->primary : NULL, &fixture->hub, &err),
		0);
}

static size_t guest_writes(struct fixture *fixture, const void *data, size_t bytes)
{
	const struct char_host *host = console_hub_char_host(fixture->hub);

	return host->write(host->opaque, data, bytes);
}

static void assert_reads(struct console_tap *tap, const char *text, size_t expected_lost)
{
	uint8_t data[64];
	size_t lost, bytes = console_tap_read(tap, data, sizeof(data), &lost);

	assert_int_equal(lost, expected_lost);
	assert_int_equal(bytes, strlen(text));
	assert_memory_equal(data, text, bytes);
}

static void tap_that_comes_late_reads_the_history(void **state)
{
	struct fixture fixture;
	struct console_tap *tap;

	(void)state;
	set_up(&fixture, false);
	assert_int_equal(guest_writes(&fixture, "booting", 7), 7);
	tap = console_tap_create(fixture.hub, wake, &fixture);
	assert_reads(tap, "booting", 0);
	assert_reads(tap, "", 0);
	assert_int_equal(guest_writes(&fixture, " on", 3), 3);
	assert_reads(tap, " on", 0);
	console_tap_destroy(tap);
	console_hub_destroy(fixture.hub);
}

static void taps_each_read_everything_at_their_own_pace(void **state)
{
	struct fixture fixture;
	struct console_tap *quick, *slow;

	(void)state;
	set_up(&fixture, false);
	quick = console_tap_create(fixture.hub, wake, &fixture);
	slow = console_tap_create(fixture.hub, wake, &fixture);
	(void)guest_writes(&fixture, "a", 1);
	assert_reads(quick, "a", 0);
	(void)guest_writes(&fixture, "b", 1);
	assert_reads(quick, "b", 0);
	assert_reads(slow, "ab", 0);
	/* One wake for each news, until it is read. */
	assert_int_equal(atomic_load(&fixture.woken), 3);
	console_tap_destroy(quick);
	console_tap_destroy(slow);
	console_hub_destroy(fixture.hub);
}

static void tap_that_reads_nothing_loses_the_oldest_and_is_told(void **state)
{
	const size_t more = 1000, all = CONSOLE_HUB_HISTORY_BYTES + more;
	uint8_t *bytes = malloc(all), *got = malloc(all);
	struct fixture fixture;
	struct console_tap *tap;
	size_t lost;

	(void)state;
	for (size_t i = 0; i < all; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 256);
	set_up(&fixture, false);
	tap = console_tap_create(fixture.hub, wake, &fixture);
	for (size_t at = 0; at < all; at += 777)
		(void)guest_writes(&fixture, bytes + at, at + 777 > all ? all - at : 777);
	assert_int_equal(console_tap_read(tap, got, all, &lost), CONSOLE_HUB_HISTORY_BYTES);
	assert_int_equal(lost, more);
	assert_memory_equal(got, bytes + more, CONSOLE_HUB_HISTORY_BYTES);
	/* All at once, more than there is room for. */
	assert_int_equal(guest_writes(&fixture, bytes, all), all);
	assert_int_equal(console_tap_read(tap, got, all, &lost), CONSOLE_HUB_HISTORY_BYTES);
	assert_int_equal(lost, more);
	assert_memory_equal(got, bytes + more, CONSOLE_HUB_HISTORY_BYTES);
	console_tap_destroy(tap);
	console_hub_destroy(fixture.hub);
	free(bytes);
	free(got);
}

static void terminal_that_is_full_holds_the_guest_back_and_taps_get_no_byte_twice(void **state)
{
	struct fixture fixture;
	struct console_tap *tap;

	(void)state;
	set_up(&fixture, true);
	tap = console_tap_create(fixture.hub, wake, &fixture);
	fixture.primary_room = 2;
	assert_int_equal(guest_writes(&fixture, "abc", 3), 2);
	assert_int_equal(guest_writes(&fixture, "c", 1), 0);
	fixture.primary_room = 10;
	assert_int_equal(guest_writes(&fixture, "c", 1), 1);
	assert_int_equal(fixture.primary_bytes, 3);
	assert_reads(tap, "abc", 0);
	console_tap_destroy(tap);
	console_hub_destroy(fixture.hub);
}

static void tap_types_what_there_is_room_for_and_is_told_of_more(void **state)
{
	const struct char_host *host;
	struct fixture fixture;
	struct console_tap *tap;

	(void)state;
	set_up(&fixture, true);
	tap = console_tap_create(fixture.hub, wake, &fixture);
	fixture.room = 3;
	assert_int_equal(console_tap_write(tap, (const uint8_t *)"root\n", 5), 3);
	fixture.room = 10;
	host = console_hub_char_host(fixture.hub);
	host->resume_input(host->opaque);
	assert_int_equal(fixture.primary_resumed, 1);
	assert_int_equal(atomic_load(&fixture.woken), 1);
	assert_int_equal(console_tap_write(tap, (const uint8_t *)"t\n", 2), 2);
	assert_memory_equal(fixture.typed, "root\n", 5);
	console_tap_destroy(tap);
	console_hub_destroy(fixture.hub);
}

static void *write_much(void *opaque)
{
	for (unsigned i = 0; i < 20000; i++)
		(void)guest_writes(opaque, "0123456789", 10);
	return NULL;
}

static void taps_come_and_go_while_the_guest_writes(void **state)
{
	struct fixture fixture;
	pthread_t guest;

	(void)state;
	set_up(&fixture, false);
	assert_int_equal(pthread_create(&guest, NULL, write_much, &fixture), 0);
	for (unsigned i = 0; i < 500; i++) {
		struct console_tap *tap = console_tap_create(fixture.hub, wake, &fixture);
		uint8_t data[100];
		size_t lost, bytes = console_tap_read(tap, data, sizeof(data), &lost);

		for (size_t n = 1; n < bytes; n++)
			assert_int_equal(data[n], data[n - 1] == '9' ? '0' : data[n - 1] + 1);
		console_tap_destroy(tap);
	}
	pthread_join(guest, NULL);
	console_hub_destroy(fixture.hub);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tap_that_comes_late_reads_the_history),
		cmocka_unit_test(taps_each_read_everything_at_their_own_pace),
		cmocka_unit_test(tap_that_reads_nothing_loses_the_oldest_and_is_told),
		cmocka_unit_test(
			terminal_that_is_full_holds_the_guest_back_and_taps_get_no_byte_twice),
		cmocka_unit_test(tap_types_what_there_is_room_for_and_is_told_of_more),
		cmocka_unit_test(taps_come_and_go_while_the_guest_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
