/* The VNC server with real connections over loopback: the displays' conformance suite, then what
 * clients do, well-behaved and not. */
#include <linux/input-event-codes.h>

#include "core/display_source.h"
#include "display_conformance.h"
#include "vnc_fixture.h"

#define CLIENTS 16
#define BLACK   0x000000u
#define RED     0xff0000u
#define GREEN   0x00ff00u

static uint32_t pixel(const struct rfb_client *client, unsigned x, unsigned y)
{
	return client->pixels[(size_t)y * client->width + x];
}

static void vnc_client_sees_name_size_and_picture(void **state)
{
	static const int minors[] = { 3, 7, 8 };
	struct vnc_fixture *fixture = *state;

	for (size_t i = 0; i < array_size(minors); i++) {
		struct rfb_client client = { .fd = rfb_connect(fixture->port) };

		assert_true(rfb_handshake(&client, minors[i]));
		assert_string_equal(client.name, "a guest");
		assert_int_equal(client.width, 320);
		assert_int_equal(client.height, 240);
		assert_true(rfb_refresh(&client));
		assert_int_equal(pixel(&client, 0, 0), RED);
		assert_int_equal(pixel(&client, 319, 239), RED);
		rfb_close(&client);
	}
}

static void vnc_colours_are_right_in_every_client_format(void **state)
{
	static const struct rfb_format formats[] = {
		{ 32, 24, 0, 1, 255, 255, 255, 16, 8, 0 },
		{ 32, 24, 0, 1, 255, 255, 255, 0, 8, 16 },
		{ 32, 24, 1, 1, 255, 255, 255, 16, 8, 0 },
		{ 32, 24, 1, 1, 255, 255, 255, 8, 16, 24 },
		{ 16, 16, 0, 1, 31, 63, 31, 11, 5, 0 },
		{ 16, 16, 1, 1, 31, 63, 31, 11, 5, 0 },
		{ 16, 15, 0, 1, 31, 31, 31, 10, 5, 0 },
		{ 8, 8, 0, 1, 7, 7, 3, 0, 3, 6 },
	};
	struct vnc_fixture *fixture = *state;
	struct rfb_client client;

	vnc_fixture_fill(fixture, 10, 0, 10, 240, GREEN);
	vnc_fixture_fill(fixture, 20, 0, 10, 240, 0x0000ff);
	vnc_fixture_fill(fixture, 30, 0, 10, 240, 0xffff00);
	assert_true(rfb_open(&client, fixture->port, true));
	for (size_t i = 0; i < array_size(formats); i++) {
		assert_true(rfb_set_format(&client, &formats[i]));
		assert_true(rfb_refresh(&client));
		assert_int_equal(pixel(&client, 5, 100), RED);
		assert_int_equal(pixel(&client, 15, 100), GREEN);
		assert_int_equal(pixel(&client, 25, 100), 0x0000ff);
		assert_int_equal(pixel(&client, 35, 100), 0xffff00);
	}
	rfb_close(&client);
}

static void vnc_only_what_changed_is_sent_and_a_static_screen_nothing(void **state)
{
	struct vnc_fixture *fixture = *state;
	struct rfb_client client;
	uint8_t bytes[16 + 4 * 7 * 5];
	bool resized;

	assert_true(rfb_open(&client, fixture->port, true));
	assert_true(rfb_refresh(&client));
	assert_true(rfb_request(&client, true));
	assert_false(rfb_readable(client.fd, 300));
	vnc_fixture_fill(fixture, 100, 50, 7, 5, GREEN);
	/* One rectangle, of that size. */
	assert_true(rfb_read(client.fd, bytes, sizeof(bytes)));
	assert_int_equal(rfb_get16(bytes + 2), 1);
	assert_int_equal(rfb_get16(bytes + 4), 100);
	assert_int_equal(rfb_get16(bytes + 6), 50);
	assert_int_equal(rfb_get16(bytes + 8), 7);
	assert_int_equal(rfb_get16(bytes + 10), 5);
	assert_false(rfb_readable(client.fd, 100));
	/* What changes while nothing is asked for comes with the next request. */
	vnc_fixture_fill(fixture, 0, 0, 1, 1, GREEN);
	vnc_fixture_fill(fixture, 0, 0, 2, 1, BLACK);
	assert_false(rfb_readable(client.fd, 100));
	do {
		assert_true(rfb_request(&client, true));
		assert_true(rfb_update(&client, &resized));
	} while (pixel(&client, 1, 0) != BLACK); /* it may have seen but the first one so far */
	assert_int_equal(pixel(&client, 0, 0), BLACK);
	rfb_close(&client);
}

static void vnc_new_size_is_followed_or_clipped(void **state)
{
	struct vnc_fixture *fixture = *state;
	struct rfb_client follows, stays;
	bool resized;

	assert_true(rfb_open(&follows, fixture->port, true));
	assert_true(rfb_open(&stays, fixture->port, false));
	assert_true(rfb_refresh(&follows));
	assert_true(rfb_refresh(&stays));
	assert_true(rfb_request(&follows, true));
	vnc_fixture_set_size(fixture, 800, 600, GREEN);
	assert_true(rfb_update(&follows, &resized));
	assert_true(resized);
	assert_int_equal(follows.width, 800);
	assert_int_equal(follows.height, 600);
	assert_true(rfb_refresh(&follows));
	assert_int_equal(pixel(&follows, 799, 599), GREEN);
	assert_true(rfb_refresh(&stays));
	assert_int_equal(stays.width, 320);
	assert_int_equal(pixel(&stays, 319, 239), GREEN);
	/* Smaller than what the client has: the rest is black. */
	vnc_fixture_set_size(fixture, 100, 50, RED);
	for (int64_t end = vnc_test_now_ms() + RFB_WAIT_MS; vnc_test_now_ms() < end;) {
		assert_true(rfb_refresh(&stays));
		if (pixel(&stays, 99, 49) == RED)
			break;
	}
	assert_int_equal(pixel(&stays, 99, 49), RED);
	assert_int_equal(pixel(&stays, 100, 49), BLACK);
	assert_int_equal(pixel(&stays, 319, 239), BLACK);
	assert_true(rfb_refresh(&follows));
	assert_int_equal(follows.width, 100);
	assert_int_equal(follows.height, 50);
	/* The largest there is. */
	vnc_fixture_set_size(fixture, DISPLAY_MAX_WIDTH, DISPLAY_MAX_HEIGHT, GREEN);
	for (int64_t end = vnc_test_now_ms() + RFB_WAIT_MS; vnc_test_now_ms() < end;) {
		assert_true(rfb_refresh(&follows));
		if (follows.width == DISPLAY_MAX_WIDTH)
			break;
	}
	assert_int_equal(pixel(&follows, DISPLAY_MAX_WIDTH - 1, DISPLAY_MAX_HEIGHT - 1), GREEN);
	rfb_close(&stays);
	rfb_close(&follows);
}

static void vnc_extended_size_is_told_and_may_not_be_set(void **state)
{
	static const int32_t encodings[] = { 0, RFB_DESKTOP_SIZE, RFB_EXT_DESKTOP_SIZE };
	uint8_t wish[8 + 16] = { 251, 0, 2, 0, 1, 0, 1 }, answer[4 + 12 + 4 + 16];
	struct vnc_fixture *fixture = *state;
	struct rfb_client client;
	bool resized;

	assert_true(rfb_open(&client, fixture->port, true));
	assert_true(rfb_set_encodings(&client, encodings, 3));
	/* The answer to a full request begins with it. */
	assert_true(rfb_request(&client, false));
	assert_true(rfb_update(&client, &resized));
	assert_true(resized);
	assert_true(rfb_update(&client, &resized));
	assert_int_equal(pixel(&client, 319, 239), RED);
	assert_true(rfb_request(&client, true));
	vnc_fixture_set_size(fixture, 400, 300, GREEN);
	assert_true(rfb_update(&client, &resized));
	assert_true(resized);
	assert_int_equal(client.width, 400);
	assert_int_equal(client.height, 300);
	assert_true(rfb_request(&client, true));
	assert_true(rfb_update(&client, &resized));
	assert_int_equal(pixel(&client, 399, 299), GREEN);
	/* 512x256 with one screen: prohibited, says the one rectangle. */
	assert_true(rfb_request(&client, true));
	assert_true(rfb_write(client.fd, wish, sizeof(wish)));
	assert_true(rfb_read(client.fd, answer, sizeof(answer)));
	assert_int_equal(rfb_get16(answer + 2), 1);
	assert_int_equal(rfb_get16(answer + 4), 1);
	assert_int_equal(rfb_get16(answer + 6), 1);
	assert_int_equal(rfb_get16(answer + 8), 400);
	assert_int_equal((int32_t)rfb_get32(answer + 12), RFB_EXT_DESKTOP_SIZE);
	rfb_close(&client);
}

static void vnc_keys_and_pointer_reach_the_guest(void **state)
{
	struct vnc_fixture *fixture = *state;
	struct rfb_client client;

	assert_true(rfb_open(&client, fixture->port, true));
	assert_true(rfb_refresh(&client));
	assert_true(rfb_key(&client, 'a', true));
	assert_true(rfb_key(&client, 'a', false));
	assert_true(rfb_key(&client, 'B', true));
	assert_true(rfb_key(&client, 'B', false));
	vnc_fixture_expect(fixture, "+30 -30 +42 +48 -48 -42 ");
	assert_true(rfb_pointer(&client, 0, 100, 50));
	assert_true(rfb_pointer(&client, 1, 100, 50));
	assert_true(rfb_pointer(&client, 0, 101, 50));
	vnc_fixture_expect(fixture, "abs(100,50,320x240) sync b+272 sync abs(101,50,320x240) sync "
				    "b-272 sync ");
	rfb_close(&client);
}

static void vnc_client_that_goes_releases_what_it_held(void **state)
{
	struct vnc_fixture *fixture = *state;
	struct rfb_client client;

	assert_true(rfb_open(&client, fixture->port, true));
	assert_true(rfb_key(&client, 0xffe3, true)); /* Control_L */
	assert_true(rfb_key(&client, 'a', true));
	assert_true(rfb_pointer(&client, 1, 5, 5));
	vnc_fixture_expect(fixture, "+29 +30 abs(5,5,320x240) sync b+272 sync ");
	rfb_close(&client);
	vnc_fixture_expect(fixture, "-29 -30 b-272 sync ");
}

static void vnc_clipboard_is_skipped(void **state)
{
	struct vnc_fixture *fixture = *state;
	struct rfb_client client;
	uint8_t message[8 + 100000] = { 6 };

	assert_true(rfb_open(&client, fixture->port, true));
	rfb_put32(message + 4, 100000);
	assert_true(rfb_write(client.fd, message, sizeof(message)));
	rfb_put32(message + 4, 0);
	assert_true(rfb_write(client.fd, message, 8));
	rfb_put32(message + 4, (uint32_t)-20); /* the extended clipboard's */
	assert_true(rfb_write(client.fd, message, 28));
	assert_true(rfb_key(&client, 'a', true));
	vnc_fixture_expect(fixture, "+30 ");
	rfb_close(&client);
}

static void vnc_messages_that_are_not_served_end_the_client(void **state)
{
	static const uint8_t types[] = { 1, 7, 8, 9, 10, 11, 15, 100, 250, 254, 255 };
	struct vnc_fixture *fixture = *state;

	for (size_t i = 0; i < array_size(types); i++) {
		struct rfb_client client;
		uint8_t message[32] = { types[i], 2 };

		assert_true(rfb_open(&client, fixture->port, true));
		assert_true(rfb_write(client.fd, message, sizeof(message)));
		assert_true(rfb_is_closed(client.fd));
		rfb_close(&client);
	}
}

static void vnc_strange_openings_are_closed_and_harm_nobody(void **state)
{
	static const char *const openings[] = { "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
		"\x16\x03\x01\x02\x01\x01\x01\xfc\x03\x03\x01\x01", "RFB 009.009\n",
		"RFB xxx.yyy\n", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80" };
	struct vnc_fixture *fixture = *state;
	struct rfb_client client;

	for (size_t i = 0; i < array_size(openings); i++) {
		int fd = rfb_connect(fixture->port);

		assert_true(rfb_write(fd, openings[i], strlen(openings[i])));
		assert_true(rfb_is_closed(fd));
		close(fd);
	}
	/* A security type that was not offered. */
	client.fd = rfb_connect(fixture->port);
	assert_true(rfb_write(client.fd, "RFB 003.008\n\x10", 13));
	assert_true(rfb_is_closed(client.fd));
	close(client.fd);
	assert_true(rfb_open(&client, fixture->port, true));
	assert_true(rfb_refresh(&client));
	rfb_close(&client);
}

static void vnc_clients_in_the_middle_of_things_hold_up_nobody(void **state)
{
	static const uint8_t half_key[] = { 4, 1, 0, 0 };
	static const uint8_t half_format[] = { 0, 0, 0, 0, 32 };
	struct vnc_fixture *fixture = *state;
	struct rfb_client client, half[2];
	int64_t start;
	int fds[4];

	for (size_t i = 0; i < array_size(fds); i++)
		fds[i] = rfb_connect(fixture->port); /* says nothing, or half of a version */
	assert_true(rfb_write(fds[1], "RFB 0", 5));
	assert_true(rfb_write(fds[2], "RFB 003.008\n", 12));
	assert_true(rfb_open(&half[0], fixture->port, true));
	assert_true(rfb_write(half[0].fd, half_key, sizeof(half_key)));
	assert_true(rfb_open(&half[1], fixture->port, true));
	assert_true(rfb_write(half[1].fd, half_format, sizeof(half_format)));
	/* One that waits for any of them waits 10 s, the limit of a handshake. */
	start = vnc_test_now_ms();
	assert_true(rfb_open(&client, fixture->port, true));
	assert_true(rfb_refresh(&client));
	assert_true(rfb_key(&client, 'a', true));
	vnc_fixture_expect(fixture, "+30 ");
	assert_in_range(vnc_test_now_ms() - start, 0, 9000);
	for (size_t i = 0; i < array_size(fds); i++)
		close(fds[i]);
	for (size_t i = 0; i < array_size(half); i++)
		rfb_close(&half[i]);
	rfb_close(&client);
}

static void vnc_client_that_does_not_read_holds_up_nobody(void **state)
{
	struct vnc_fixture *fixture = *state;
	struct rfb_client lazy, client;
	int64_t start;
	bool resized;

	vnc_fixture_set_size(fixture, 1920, 1080, RED);
	assert_true(rfb_open(&lazy, fixture->port, true));
	for (int i = 0; i < 20; i++)
		assert_true(rfb_request(&lazy, false)); /* 8 MiB each, never read */
	assert_true(rfb_open(&client, fixture->port, true));
	assert_true(rfb_refresh(&client));
	/* It waits for the other, but for a mistake, until that is given up after 20 s. */
	start = vnc_test_now_ms();
	for (unsigned i = 0; i < 20; i++) {
		assert_true(rfb_request(&client, true));
		vnc_fixture_fill(fixture, i, 0, 1, 1, GREEN + i + 1);
		assert_true(rfb_update(&client, &resized));
		assert_int_equal(pixel(&client, i, 0), GREEN + i + 1);
	}
	assert_in_range(vnc_test_now_ms() - start, 0, 15000);
	/* Nor does it hold up the end. */
	start = vnc_test_now_ms();
	backend_stop(fixture->backend);
	assert_in_range(vnc_test_now_ms() - start, 0, 15000);
	rfb_close(&client);
	rfb_close(&lazy);
}

static void vnc_seventeenth_client_is_refused_until_one_goes(void **state)
{
	struct vnc_fixture *fixture = *state;
	struct rfb_client clients[CLIENTS], late;
	uint8_t bytes[12 + 1 + 4];
	bool in = false;
	int fd;

	for (unsigned i = 0; i < CLIENTS; i++) {
		assert_true(rfb_open(&clients[i], fixture->port, true));
		assert_true(rfb_refresh(&clients[i]));
	}
	for (unsigned i = 0; i < 2 * CLIENTS; i++) {
		char reason[256] = "";

		fd = rfb_connect(fixture->port);
		assert_true(rfb_read(fd, bytes, sizeof(bytes)));
		assert_memory_equal(bytes, "RFB 003.008\n\0", 13);
		assert_in_range(rfb_get32(bytes + 13), 10, 200);
		assert_true(rfb_write(fd, "RFB 003.008\n", 12));
		assert_true(rfb_read(fd, reason, rfb_get32(bytes + 13)));
		assert_non_null(strstr(reason, "16 clients"));
		assert_true(rfb_is_closed(fd));
		close(fd);
	}
	for (unsigned i = 0; i < CLIENTS; i++)
		assert_true(rfb_refresh(&clients[i]));
	rfb_close(&clients[7]);
	for (int64_t end = vnc_test_now_ms() + RFB_WAIT_MS; !in && vnc_test_now_ms() < end;) {
		in = rfb_open(&late, fixture->port, true);
		if (!in)
			rfb_close(&late);
	}
	assert_true(in);
	assert_true(rfb_refresh(&late));
	rfb_close(&late);
	for (unsigned i = 0; i < CLIENTS; i++) {
		if (i != 7)
			rfb_close(&clients[i]);
	}
}

static void vnc_many_connections_one_after_the_other_leak_nothing(void **state)
{
	struct vnc_fixture *fixture = *state;
	const int64_t end = vnc_test_now_ms() + 2 * RFB_WAIT_MS;

	for (unsigned i = 0; i < 300; i++) {
		struct rfb_client client;
		bool served;

		/* Those before it may not be gone: it tries again where it met a full house. */
		do {
			memset(&client, 0, sizeof(client));
			client.fd = rfb_connect(fixture->port);
			assert_true(client.fd >= 0);
			served = true;
			if (i % 4 == 1) /* begins; the one before that is gone at once */
				(void)rfb_write(client.fd, "RFB 003.008\n", 12);
			else if (i % 4)
				served = rfb_handshake(&client, 8) && rfb_refresh(&client);
			rfb_close(&client);
			if (!served) {
				assert_true(vnc_test_now_ms() < end);
				usleep(1000);
			}
		} while (!served);
	}
}

struct storm {
	uint16_t port;
	unsigned seed;
	atomic_bool *stop;
	atomic_uint updates;
};

static void *storm_client(void *opaque)
{
	struct storm *storm = opaque;

	while (!atomic_load(storm->stop)) {
		struct rfb_client client;
		bool resized, good = rfb_open(&client, storm->port, storm->seed % 4 != 0);

		for (unsigned i = 0; good && i < 20 && !atomic_load(storm->stop); i++) {
			good = rfb_request(&client, rand_r(&storm->seed) % 2) &&
			       rfb_pointer(&client, 0, i, i);
			/* An incremental request may have to wait for a change. */
			if (good && rfb_readable(client.fd, 20)) {
				good = rfb_update(&client, &resized);
				atomic_fetch_add(&storm->updates, good);
			}
		}
		rfb_close(&client);
	}
	return NULL;
}

/* The storm lasts two seconds, or until each of them has seen something of it. */
static bool storm_goes_on(struct storm *storms, unsigned count, int64_t begun)
{
	bool all = true;

	for (unsigned i = 0; i < count; i++)
		all = all && atomic_load(&storms[i].updates) > 0;
	return vnc_test_now_ms() - begun < (all ? 2000 : RFB_WAIT_MS);
}

static void vnc_mode_storm_with_busy_clients(void **state)
{
	struct vnc_fixture *fixture = *state;
	atomic_bool stop = false;
	struct storm storms[6];
	pthread_t threads[6];
	struct rfb_client client;
	unsigned seed = 5;
	int64_t begun;

	for (unsigned i = 0; i < array_size(threads); i++) {
		storms[i] = (struct storm){ .port = fixture->port, .seed = i + 1, .stop = &stop };
		assert_int_equal(pthread_create(&threads[i], NULL, storm_client, &storms[i]), 0);
	}
	for (begun = vnc_test_now_ms(); storm_goes_on(storms, array_size(storms), begun);
		usleep(2000)) {
		uint32_t width = 16 + (uint32_t)rand_r(&seed) % 600;
		uint32_t height = 16 + (uint32_t)rand_r(&seed) % 400;

		vnc_fixture_set_size(fixture, width, height, (uint32_t)rand_r(&seed) & 0xffffff);
		for (int i = 0; i < 5; i++)
			vnc_fixture_fill(fixture, (uint32_t)rand_r(&seed) % (width - 8),
				(uint32_t)rand_r(&seed) % (height - 8), 8, 8,
				(uint32_t)rand_r(&seed) & 0xffffff);
	}
	vnc_fixture_set_size(fixture, 200, 100, GREEN);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < array_size(threads); i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_true(atomic_load(&storms[i].updates) > 0);
	}
	assert_true(rfb_open(&client, fixture->port, true));
	for (int64_t end = vnc_test_now_ms() + RFB_WAIT_MS; vnc_test_now_ms() < end;) {
		assert_true(rfb_refresh(&client));
		if (client.width == 200 && pixel(&client, 199, 99) == GREEN)
			break;
	}
	assert_int_equal(client.width, 200);
	assert_int_equal(client.height, 100);
	assert_int_equal(pixel(&client, 0, 0), GREEN);
	assert_int_equal(pixel(&client, 199, 99), GREEN);
	rfb_close(&client);
}

static void vnc_bad_addresses_are_refused_in_one_line(void **state)
{
	static const char *const bad[] = { "0.0.0.0:1", "example.org:1", "127.0.0.1:x",
		"unix:/nonexistent/folder/socket" };
	struct vnc_fixture *fixture = *state;
	char taken[32];
	struct display_backend *backend;
	struct error err;

	assert_int_equal(backend_create("vnc", &fixture->host, &backend, &err), 0);
	for (size_t i = 0; i < array_size(bad); i++) {
		err.text[0] = '\0';
		assert_true(backend_start(backend, bad[i], &err) < 0);
		assert_non_null(strstr(err.text, bad[i]));
	}
	snprintf(taken, sizeof(taken), "127.0.0.1:%u", fixture->port - VNC_PORT);
	assert_int_equal(backend_start(backend, taken, &err), -EADDRINUSE);
	backend_destroy(backend);
}

/* Every capture is a new client: what it is sent is the picture of that moment. */
static bool capture(void *opaque, struct display_picture *picture)
{
	const uint16_t *port = opaque;
	struct rfb_client client;
	bool good = rfb_open(&client, *port, true) && rfb_refresh(&client);

	if (good) {
		*picture = (struct display_picture){ client.pixels, client.width, client.height };
		client.pixels = NULL;
	}
	rfb_close(&client);
	return good;
}

static void use(void *opaque, uint32_t width, uint32_t height)
{
	const uint16_t *port = opaque;
	struct rfb_client client;

	assert_true(rfb_open(&client, *port, true));
	assert_true(rfb_refresh(&client));
	assert_true(rfb_key(&client, 'a', true) && rfb_key(&client, 'a', false));
	assert_true(rfb_pointer(&client, 0, width / 2, height / 2));
	/* An answer: all before it has been read. */
	assert_true(rfb_refresh(&client));
	rfb_close(&client);
}

/* Clients that stall: one in the handshake, one that asks and does not read; then both are gone. */
static void stall(void *opaque, bool stalls)
{
	static struct rfb_client client;
	const uint16_t *port = opaque;
	static int silent;

	if (stalls) {
		silent = rfb_connect(*port);
		assert_true(silent >= 0);
		assert_true(rfb_open(&client, *port, true));
		for (int i = 0; i < 10; i++)
			assert_true(rfb_request(&client, i > 0));
	} else {
		rfb_close(&client);
		close(silent);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, vnc_fixture_setup, vnc_fixture_teardown)
		TEST(vnc_client_sees_name_size_and_picture),
		TEST(vnc_colours_are_right_in_every_client_format),
		TEST(vnc_only_what_changed_is_sent_and_a_static_screen_nothing),
		TEST(vnc_new_size_is_followed_or_clipped),
		TEST(vnc_extended_size_is_told_and_may_not_be_set),
		TEST(vnc_keys_and_pointer_reach_the_guest),
		TEST(vnc_client_that_goes_releases_what_it_held),
		TEST(vnc_clipboard_is_skipped),
		TEST(vnc_messages_that_are_not_served_end_the_client),
		TEST(vnc_strange_openings_are_closed_and_harm_nobody),
		TEST(vnc_clients_in_the_middle_of_things_hold_up_nobody),
		TEST(vnc_client_that_does_not_read_holds_up_nobody),
		TEST(vnc_seventeenth_client_is_refused_until_one_goes),
		TEST(vnc_many_connections_one_after_the_other_leak_nothing),
		TEST(vnc_mode_storm_with_busy_clients),
		TEST(vnc_bad_addresses_are_refused_in_one_line),
	};
	struct test_port reserved;
	char argument[32];
	const struct display_conformance conformance = { .backend = "vnc",
		.argument = argument,
		.capture = capture,
		.wrong_argument = "example.org:1",
		.use = use,
		.disturb = stall,
		.opaque = &reserved.port };
	int failed;

	if (!test_port_reserve(&reserved)) {
		fprintf(stderr, "no free port on the loopback interface\n");
		return 1;
	}
	snprintf(argument, sizeof(argument), "127.0.0.1:%u", reserved.port - VNC_PORT);
	failed = display_conformance_run(&conformance);
	return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
