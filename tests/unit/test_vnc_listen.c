/* What --vnc=... accepts, and the sockets for it. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "display/vnc/listen.h"

static void expect_ipv4(const char *argument, const char *host, int display)
{
	struct vnc_address address;
	struct error err = { "" };
	char text[INET_ADDRSTRLEN];

	if (vnc_address_parse(argument, false, &address, &err))
		fail_msg("%s: %s", argument, err.text);
	assert_int_equal(address.family, AF_INET);
	assert_string_equal(inet_ntop(AF_INET, &address.ipv4, text, sizeof(text)), host);
	assert_int_equal(address.any_display, display < 0);
	if (display >= 0)
		assert_int_equal(address.display, display);
}

static void vnc_address_loopback_is_accepted(void **state)
{
	struct vnc_address address;

	(void)state;
	expect_ipv4(NULL, "127.0.0.1", -1);
	expect_ipv4("", "127.0.0.1", -1);
	expect_ipv4("127.0.0.1", "127.0.0.1", -1);
	expect_ipv4("127.0.0.1:0", "127.0.0.1", 0);
	expect_ipv4("127.1.2.3:59635", "127.1.2.3", 59635);
	expect_ipv4("localhost:7", "127.0.0.1", 7);
	expect_ipv4(":3", "127.0.0.1", 3);
	for (int i = 0; i < 3; i++) {
		static const char *const texts[] = { "[::1]:2", "[::1]", "::1" };

		assert_int_equal(vnc_address_parse(texts[i], false, &address, NULL), 0);
		assert_int_equal(address.family, AF_INET6);
		assert_true(IN6_IS_ADDR_LOOPBACK(&address.ipv6));
		assert_int_equal(address.any_display, i != 0);
	}
	assert_int_equal(vnc_address_parse("unix:/tmp/x", false, &address, NULL), 0);
	assert_int_equal(address.family, AF_UNIX);
	assert_string_equal(address.path, "/tmp/x");
}

static void vnc_address_anything_else_is_refused_and_named(void **state)
{
	static const char *const bad[] = { "0.0.0.0:0", "192.168.1.1:0", "[::]:0", "::", "fe80::1",
		"example.org:0", "127.0.0.1:", "127.0.0.1:-1", "127.0.0.1:59636",
		"127.0.0.1:999999", "127.0.0.1:99999999999999999999", "127.0.0.1:1x", "[::1",
		"[::1]x", "[]:1", "unix:", "256.0.0.1:1", "128.0.0.1:1", "[127.0.0.1:1", "::1:1" };
	char lengthy[4096];
	struct vnc_address address;

	(void)state;
	for (size_t i = 0; i < array_size(bad); i++) {
		struct error err = { "" };

		if (vnc_address_parse(bad[i], false, &address, &err) != -EINVAL)
			fail_msg("'%s' was accepted", bad[i]);
		assert_non_null(strstr(err.text, bad[i]));
	}
	memset(lengthy, 'a', sizeof(lengthy) - 1);
	lengthy[sizeof(lengthy) - 1] = '\0';
	assert_int_equal(vnc_address_parse(lengthy, false, &address, NULL), -EINVAL);
	memcpy(lengthy, "unix:", 5);
	assert_int_equal(vnc_address_parse(lengthy, false, &address, NULL), -EINVAL);
	memcpy(lengthy, "[1:1:", 5);
	assert_int_equal(vnc_address_parse(lengthy, false, &address, NULL), -EINVAL);
}

static void vnc_listener_takes_the_first_free_display(void **state)
{
	struct vnc_listener first, second, third;
	struct vnc_address address;
	struct error err;
	char host[32], argument[64];

	(void)state;
	/* A loopback address of this process alone: tests of several builds run side by side. */
	snprintf(host, sizeof(host), "127.77.%u.%u", (unsigned)getpid() / 250 % 250,
		(unsigned)getpid() % 250 + 1);
	assert_int_equal(vnc_address_parse(host, false, &address, &err), 0);
	assert_int_equal(vnc_listener_open(&first, &address, &err), 0);
	snprintf(argument, sizeof(argument), "%s:5900 (display 0)", host);
	assert_string_equal(first.where, argument);
	assert_int_equal(vnc_listener_open(&second, &address, &err), 0);
	snprintf(argument, sizeof(argument), "%s:5901 (display 1)", host);
	assert_string_equal(second.where, argument);
	snprintf(argument, sizeof(argument), "%s:1", host);
	assert_int_equal(vnc_address_parse(argument, false, &address, &err), 0);
	assert_int_equal(vnc_listener_open(&third, &address, &err), -EADDRINUSE);
	snprintf(argument, sizeof(argument), "%s:5901", host);
	assert_non_null(strstr(err.text, argument));
	vnc_listener_close(&third);
	vnc_listener_close(&second);
	vnc_listener_close(&first);
	vnc_listener_close(&first);
}

static void vnc_listener_unix_socket_is_the_users_alone(void **state)
{
	char folder[] = "/tmp/vmgui-test-XXXXXX", argument[128], path[64];
	struct vnc_listener listener, other;
	struct vnc_address address;
	struct stat status;
	struct error err;
	mode_t before = umask(0);

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/vnc", folder);
	snprintf(argument, sizeof(argument), "unix:%s", path);
	assert_int_equal(vnc_address_parse(argument, false, &address, &err), 0);
	assert_int_equal(vnc_listener_open(&listener, &address, &err), 0);
	assert_int_equal(lstat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	/* In use by somebody alive. */
	assert_int_equal(vnc_listener_open(&other, &address, &err), -EADDRINUSE);
	/* Left behind by somebody dead. */
	close(listener.fd);
	listener.fd = -1;
	vnc_listener_close(&listener);
	assert_int_equal(lstat(path, &status), 0);
	assert_int_equal(vnc_listener_open(&listener, &address, &err), 0);
	vnc_listener_close(&listener);
	assert_int_equal(lstat(path, &status), -1);
	/* Something else that has the name stays. */
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(vnc_listener_open(&other, &address, &err), -EEXIST);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(folder), 0);
	umask(before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vnc_address_loopback_is_accepted),
		cmocka_unit_test(vnc_address_anything_else_is_refused_and_named),
		cmocka_unit_test(vnc_listener_takes_the_first_free_display),
		cmocka_unit_test(vnc_listener_unix_socket_is_the_users_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
