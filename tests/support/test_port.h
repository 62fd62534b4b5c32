/* TCP ports of the loopback interface for tests that run side by side: a port is only tried by who
 * holds its name, an abstract Unix socket, which tests/guest/guest.py does as well. */
#ifndef TESTS_TEST_PORT_H
#define TESTS_TEST_PORT_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TEST_PORT_FIRST 6000u /* VNC display 100 */
#define TEST_PORT_COUNT 1000u

struct test_port {
	uint16_t port;
	int name_fd;
};

/* Takes the port's name; -1: another test has it. */
static inline int test_port_take_name(unsigned port)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int length = snprintf(
		address.sun_path + 1, sizeof(address.sun_path) - 1, "vmgui-test-port-%u", port);

	if (fd >= 0 &&
		bind(fd, (const struct sockaddr *)&address,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static inline bool test_port_is_free(unsigned port)
{
	const struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	bool is_free;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	is_free = bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
	close(fd);
	return is_free;
}

/* A port that nobody listens on and no other test will, until it is released. */
static inline bool test_port_reserve(struct test_port *reserved)
{
	for (unsigned i = 0; i < TEST_PORT_COUNT; i++) {
		unsigned port = TEST_PORT_FIRST + ((unsigned)getpid() + i) % TEST_PORT_COUNT;

		reserved->name_fd = test_port_take_name(port);
		if (reserved->name_fd < 0)
			continue;
		if (test_port_is_free(port)) {
			reserved->port = (uint16_t)port;
			return true;
		}
		close(reserved->name_fd);
	}
	return false;
}

static inline void test_port_release(struct test_port *reserved)
{
	close(reserved->name_fd);
}

#endif
