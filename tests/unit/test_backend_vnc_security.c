/* Who a VNC server lets in: passwords (RFC 6143, 7.2.2), and addresses that others reach. */
#include <fcntl.h>
#include <pthread.h>
#include <rfb/rfb.h>

#include "vnc_fixture.h"

#define FILE_NAME "vnc-password.txt"
#define TRIES     6 /* for what is quick, and on a busy machine now and then not */

static void write_password(const char *text)
{
	int fd = open(FILE_NAME, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static int setup_without_start(void **state)
{
	*state = vnc_fixture_create(INPUT_KEYBOARD | INPUT_POINTER_ABSOLUTE);
	return 0;
}

static int setup(void **state)
{
	struct vnc_fixture *fixture;

	setup_without_start(state);
	fixture = *state;
	write_password("s3cret\nnot this\n");
	fixture->settings.vnc_password_file = FILE_NAME;
	return vnc_fixture_start(fixture);
}

static int teardown(void **state)
{
	vnc_fixture_destroy(*state);
	unlink(FILE_NAME);
	return 0;
}

static bool enter(struct vnc_fixture *fixture, const char *password, int minor)
{
	char text[16];
	struct rfb_client client = {
		.fd = rfb_connect(fixture->port), .password = text, .encrypt = rfbEncryptBytes
	};
	bool in;

	snprintf(text, sizeof(text), "%s", password);
	in = rfb_handshake(&client, minor) && rfb_refresh(&client);
	rfb_close(&client);
	return in;
}

static void vnc_password_opens_in_every_version(void **state)
{
	static const int minors[] = { 3, 7, 8 };

	for (size_t i = 0; i < array_size(minors); i++)
		assert_true(enter(*state, "s3cret", minors[i]));
}

static void vnc_password_that_is_wrong_is_refused_late(void **state)
{
	static const char *const wrong[] = { "", "s3cre", "s3cret2", "S3CRET" };
	struct vnc_fixture *fixture = *state;
	char text[16] = "wrong";
	struct rfb_client client = {
		.fd = rfb_connect(fixture->port), .password = text, .encrypt = rfbEncryptBytes
	};
	uint8_t bytes[32];
	int64_t begun;

	assert_true(rfb_read(client.fd, bytes, 12));
	assert_true(rfb_write(client.fd, "RFB 003.008\n\2", 13));
	assert_true(rfb_read(client.fd, bytes, 2));
	assert_int_equal(bytes[1], 2);
	begun = vnc_test_now_ms();
	assert_int_equal(rfb_authenticate(&client), 1);
	assert_true(vnc_test_now_ms() - begun >= 900);
	/* Since version 3.8 with a reason. */
	assert_true(rfb_read(client.fd, bytes, 4));
	assert_int_equal(rfb_get32(bytes), strlen("wrong password"));
	assert_true(rfb_read(client.fd, bytes, strlen("wrong password")));
	assert_memory_equal(bytes, "wrong password", strlen("wrong password"));
	assert_true(rfb_is_closed(client.fd));
	rfb_close(&client);
	for (size_t i = 0; i < array_size(wrong); i++)
		assert_false(enter(fixture, wrong[i], i % 2 ? 3 : 8));
	assert_true(enter(fixture, "s3cret", 8));
}

static void *guess(void *opaque)
{
	assert_false(enter(opaque, "guess", 8));
	return NULL;
}

static void vnc_password_is_guessed_once_a_second_with_many_connections(void **state)
{
	struct vnc_fixture *fixture = *state;
	bool at_once = false;
	pthread_t threads[4];
	int64_t begun;

	for (unsigned tries = 0; !at_once && tries < TRIES; tries++) {
		begun = vnc_test_now_ms();
		for (size_t i = 0; i < array_size(threads); i++)
			assert_int_equal(pthread_create(&threads[i], NULL, guess, fixture), 0);
		/* Who knows it need not wait for those. */
		assert_true(enter(fixture, "s3cret", 8));
		at_once = vnc_test_now_ms() - begun < 3000;
		for (size_t i = 0; i < array_size(threads); i++)
			pthread_join(threads[i], NULL);
		assert_true(vnc_test_now_ms() - begun >= 3900);
	}
	assert_true(at_once);
	/* Nor has the end to. */
	at_once = false;
	for (unsigned tries = 0; !at_once && tries < TRIES; tries++) {
		if (tries)
			assert_int_equal(vnc_fixture_start(fixture), 0);
		for (size_t i = 0; i < array_size(threads); i++)
			assert_int_equal(pthread_create(&threads[i], NULL, guess, fixture), 0);
		usleep(200000);
		begun = vnc_test_now_ms();
		backend_stop(fixture->backend);
		at_once = vnc_test_now_ms() - begun < 2000;
		for (size_t i = 0; i < array_size(threads); i++)
			pthread_join(threads[i], NULL);
	}
	assert_true(at_once);
}

#define PLACES 16

/* At the door, asked for the password. */
static int come_to_the_door(struct vnc_fixture *fixture)
{
	uint8_t bytes[2 + 16];
	int fd = rfb_connect(fixture->port);

	assert_true(rfb_read(fd, bytes, 12));
	assert_true(rfb_write(fd, "RFB 003.008\n\2", 13));
	assert_true(rfb_read(fd, bytes, 2 + 16));
	return fd;
}

/* Who connects and then says nothing keeps nobody out: the one that has waited for longest goes,
 * and is told so. Who has come in stays. */
static void vnc_password_that_does_not_come_gives_up_its_place(void **state)
{
	static const uint8_t response[16];
	struct vnc_fixture *fixture = *state;
	struct rfb_client inside = { .fd = rfb_connect(fixture->port),
		.password = (char[]){ "s3cret" },
		.encrypt = rfbEncryptBytes };
	char reason[256] = "";
	uint8_t bytes[8];
	int fds[PLACES];

	assert_true(rfb_handshake(&inside, 8) && rfb_refresh(&inside));
	for (unsigned i = 0; i < PLACES - 1; i++)
		fds[i] = i == 1 ? rfb_connect(fixture->port) : come_to_the_door(fixture);
	fds[PLACES - 1] = come_to_the_door(fixture);
	assert_true(rfb_read(fds[0], bytes, sizeof(bytes)));
	assert_int_equal(rfb_get32(bytes), 1);
	assert_in_range(rfb_get32(bytes + 4), 10, sizeof(reason) - 1);
	assert_true(rfb_read(fds[0], reason, rfb_get32(bytes + 4)));
	assert_non_null(strstr(reason, "full"));
	assert_true(rfb_is_closed(fds[0]));
	/* The next in turn has not said a word. */
	assert_true(enter(fixture, "s3cret", 8));
	assert_true(rfb_is_closed(fds[1]));
	for (unsigned i = 2; i < PLACES; i++)
		assert_false(rfb_readable(fds[i], 0));
	/* An answer that came in time holds its place until it has got its own, however late. */
	fds[0] = come_to_the_door(fixture);
	assert_true(rfb_write(fds[2], response, sizeof(response)));
	usleep(100000);
	for (unsigned i = 0; i < 3; i++)
		assert_true(enter(fixture, "s3cret", 8));
	assert_true(rfb_read(fds[2], bytes, 4));
	assert_int_equal(rfb_get32(bytes), 1);
	assert_true(rfb_refresh(&inside));
	rfb_close(&inside);
	for (unsigned i = 0; i < PLACES; i++)
		close(fds[i]);
}

static void vnc_password_cannot_be_gone_round(void **state)
{
	static const char *const openings[] = {
		"RFB 003.008\n\1\1", /* no security, please */
		"RFB 003.889\n\1",   /* as Apple's client does */
		"RFB 003.007\n\1\1",
		"RFB 003.008\n\x10\1",
		"RFB 003.008\n\2", /* and then the challenge as the response */
		"RFB 003.003\n",
	};
	struct vnc_fixture *fixture = *state;

	for (size_t i = 0; i < array_size(openings); i++) {
		uint8_t bytes[64], challenge[16];
		int fd = rfb_connect(fixture->port);
		const size_t head = i == 5 ? 16 : 14;

		assert_true(rfb_write(fd, openings[i], strlen(openings[i])));
		assert_true(rfb_read(fd, bytes, head));
		if (i >= 4) {
			assert_true(rfb_read(fd, challenge, sizeof(challenge)));
			assert_true(rfb_write(fd, challenge, sizeof(challenge)));
			assert_true(rfb_read(fd, bytes, 4));
			assert_int_equal(rfb_get32(bytes), 1);
		}
		assert_true(rfb_is_closed(fd));
		close(fd);
	}
}

static void vnc_password_of_another_server_in_the_process_changes_nothing(void **state)
{
	struct vnc_fixture *fixture = *state, *open;
	struct rfb_client client, late = { .fd = rfb_connect(fixture->port) };
	uint8_t bytes[16];

	/* One of ours has begun; then comes somebody to a server that wants no password. */
	assert_true(rfb_read(late.fd, bytes, 12));
	assert_true(rfb_write(late.fd, "RFB 003.008\n", 12));
	assert_true(rfb_read(late.fd, bytes, 2));
	open = vnc_fixture_create(INPUT_KEYBOARD | INPUT_POINTER_ABSOLUTE);
	assert_int_equal(vnc_fixture_start(open), 0);
	assert_true(rfb_open(&client, open->port, true));
	assert_true(rfb_refresh(&client));
	rfb_close(&client);
	assert_true(rfb_write(late.fd, "\1\1", 2));
	assert_true(rfb_is_closed(late.fd));
	rfb_close(&late);
	assert_true(enter(fixture, "s3cret", 8));
	vnc_fixture_destroy(open);
}

static void vnc_password_counts_eight_characters(void **state)
{
	struct vnc_fixture *fixture = *state;

	write_password("longer than that\r\n");
	fixture->settings.vnc_password_file = FILE_NAME;
	assert_int_equal(vnc_fixture_start(fixture), 0);
	assert_true(enter(fixture, "longer t", 8));
	assert_false(enter(fixture, "longer", 8));
}

static void vnc_password_file_that_is_none_is_named(void **state)
{
	static const char *const contents[] = { NULL, "", "\n", "\r\nsecret\n" };
	struct vnc_fixture *fixture = *state;
	struct error err;

	fixture->settings.vnc_password_file = FILE_NAME;
	for (size_t i = 0; i < array_size(contents); i++) {
		if (contents[i])
			write_password(contents[i]);
		err.text[0] = '\0';
		assert_int_equal(backend_start(fixture->backend, NULL, &err), -EINVAL);
		assert_non_null(strstr(err.text, "--vnc-password-file=" FILE_NAME));
		assert_null(strchr(err.text, '\n'));
	}
	fixture->settings.vnc_password_file = "/"; /* opens, and cannot be read */
	assert_int_equal(backend_start(fixture->backend, NULL, &err), -EINVAL);
}

static void vnc_address_that_others_reach_needs_leave(void **state)
{
	struct vnc_fixture *fixture = *state;
	struct rfb_client client;
	char argument[32];
	struct error err;

	snprintf(argument, sizeof(argument), "0.0.0.0:%u", fixture->port - VNC_PORT);
	assert_int_equal(backend_start(fixture->backend, argument, &err), -EINVAL);
	assert_non_null(strstr(err.text, "--vnc-allow-remote"));
	fixture->settings.vnc_allow_remote = true;
	assert_int_equal(backend_start(fixture->backend, argument, &err), 0);
	assert_true(rfb_open(&client, fixture->port, true));
	assert_true(rfb_refresh(&client));
	rfb_close(&client);
}

static void vnc_address_of_ipv6_is_served(void **state)
{
	struct vnc_fixture *fixture = *state;
	const struct sockaddr_in6 address = { .sin6_family = AF_INET6,
		.sin6_port = htons(fixture->port),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct rfb_client client = { 0 };
	char argument[32];
	struct error err;
	int result;

	snprintf(argument, sizeof(argument), "[::1]:%u", fixture->port - VNC_PORT);
	result = backend_start(fixture->backend, argument, &err);
	if (result == -EADDRNOTAVAIL || result == -EAFNOSUPPORT) {
		print_message("skipped: no IPv6 here: %s\n", err.text);
		skip();
	}
	assert_int_equal(result, 0);
	client.fd = socket(AF_INET6, SOCK_STREAM, 0);
	assert_int_equal(connect(client.fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_true(rfb_handshake(&client, 8));
	assert_true(rfb_refresh(&client));
	rfb_close(&client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST_WITH(name, setup) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST(name)             TEST_WITH(name, setup)
		TEST(vnc_password_opens_in_every_version),
		TEST(vnc_password_that_is_wrong_is_refused_late),
		TEST(vnc_password_is_guessed_once_a_second_with_many_connections),
		TEST(vnc_password_that_does_not_come_gives_up_its_place),
		TEST(vnc_password_cannot_be_gone_round),
		TEST(vnc_password_of_another_server_in_the_process_changes_nothing),
		TEST_WITH(vnc_password_counts_eight_characters, setup_without_start),
		TEST_WITH(vnc_password_file_that_is_none_is_named, setup_without_start),
		TEST_WITH(vnc_address_that_others_reach_needs_leave, setup_without_start),
		TEST_WITH(vnc_address_of_ipv6_is_served, setup_without_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
