/* Addresses and listening sockets; see listen.h. */
#include "display/vnc/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG     16
#define MAX_DISPLAY (65535u - VNC_FIRST_PORT)

static int parse_display(
	const char *argument, const char *text, struct vnc_address *address, struct error *err)
{
	size_t digits = strspn(text, "0123456789");

	if (!digits || text[digits] || digits > 5 || strtoul(text, NULL, 10) > MAX_DISPLAY)
		return error_set(err, EINVAL,
			"--vnc=%s: '%s' is not a display (a number from 0 to %u; display N is port "
			"5900+N)",
			argument, text, MAX_DISPLAY);
	address->display = (unsigned)strtoul(text, NULL, 10);
	address->any_display = false;
	return 0;
}

static int parse_host(const char *argument, bool allow_remote, const char *host,
	struct vnc_address *address, struct error *err)
{
	if (!*host || !strcmp(host, "localhost")) {
		address->family = AF_INET;
		address->ipv4.s_addr = htonl(INADDR_LOOPBACK);
	} else if (inet_pton(AF_INET, host, &address->ipv4) == 1) {
		address->family = AF_INET;
	} else if (inet_pton(AF_INET6, host, &address->ipv6) == 1) {
		address->family = AF_INET6;
	} else {
		return error_set(err, EINVAL,
			"--vnc=%s: '%s' is not an address (use 127.0.0.1:DISPLAY, [::1]:DISPLAY or "
			"unix:PATH)",
			argument, host);
	}
	if (allow_remote || !vnc_address_is_remote(address))
		return 0;
	return error_set(err, EINVAL,
		"--vnc=%s: other machines reach this address, and VNC encrypts nothing (use "
		"127.0.0.1:DISPLAY and an SSH tunnel, or allow it with --vnc-allow-remote)",
		argument);
}

bool vnc_address_is_remote(const struct vnc_address *address)
{
	if (address->family == AF_INET)
		return ntohl(address->ipv4.s_addr) >> 24 != 127;
	return address->family == AF_INET6 && !IN6_IS_ADDR_LOOPBACK(&address->ipv6);
}

int vnc_address_parse(
	const char *argument, bool allow_remote, struct vnc_address *address, struct error *err)
{
	char host[INET6_ADDRSTRLEN + 32];
	const char *end, *display = NULL;
	int result;

	memset(address, 0, sizeof(*address));
	address->any_display = true;
	if (!argument || !*argument) {
		address->family = AF_INET;
		address->ipv4.s_addr = htonl(INADDR_LOOPBACK);
		return 0;
	}
	if (!strncmp(argument, "unix:", 5)) {
		const char *path = argument + 5;

		if (!*path)
			return error_set(err, EINVAL, "--vnc=%s: the path is missing", argument);
		if (strlen(path) >= sizeof(address->path))
			return error_set(err, EINVAL,
				"--vnc=%s: the path is too long for a socket (at most %zu bytes)",
				argument, sizeof(address->path) - 1);
		address->family = AF_UNIX;
		strcpy(address->path, path);
		return 0;
	}
	if (*argument == '[') {
		argument++;
		end = strchr(argument, ']');
		if (!end || end == argument || (end[1] && end[1] != ':'))
			return error_set(err, EINVAL,
				"--vnc=%s: not an address (use [::1]:DISPLAY)", argument - 1);
		if (end[1])
			display = end + 2;
		argument--;
	} else if (strchr(argument, ':') != strrchr(argument, ':') &&
		   inet_pton(AF_INET6, argument, &address->ipv6) == 1) {
		end = argument + strlen(argument); /* "::1" */
	} else {
		end = strrchr(argument, ':');
		if (end)
			display = end + 1;
		else
			end = argument + strlen(argument);
	}
	snprintf(host, sizeof(host), "%.*s", (int)(end - argument) - (*argument == '['),
		argument + (*argument == '['));
	result = parse_host(argument, allow_remote, host, address, err);
	if (!result && display)
		result = parse_display(argument, display, address, err);
	return result;
}

static int listen_on(int family, const struct sockaddr *address, socklen_t length, int *fd_out)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const int one = 1;
	int result;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
		goto fail;
	if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0)
		goto fail;
	if (bind(fd, address, length) < 0 || listen(fd, BACKLOG) < 0)
		goto fail;
	*fd_out = fd;
	return 0;

fail:
	result = -errno;
	close(fd);
	return result;
}

static int open_display(
	struct vnc_listener *listener, const struct vnc_address *address, unsigned display)
{
	const uint16_t port = htons((uint16_t)(VNC_FIRST_PORT + display));
	const struct sockaddr_in ipv4 = {
		.sin_family = AF_INET, .sin_port = port, .sin_addr = address->ipv4
	};
	const struct sockaddr_in6 ipv6 = {
		.sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = address->ipv6
	};
	char text[INET6_ADDRSTRLEN];

	if (address->family == AF_INET) {
		inet_ntop(AF_INET, &address->ipv4, text, sizeof(text));
		snprintf(listener->where, sizeof(listener->where), "%s:%u (display %u)", text,
			VNC_FIRST_PORT + display, display);
		return listen_on(
			AF_INET, (const struct sockaddr *)&ipv4, sizeof(ipv4), &listener->fd);
	}
	inet_ntop(AF_INET6, &address->ipv6, text, sizeof(text));
	snprintf(listener->where, sizeof(listener->where), "[%s]:%u (display %u)", text,
		VNC_FIRST_PORT + display, display);
	return listen_on(AF_INET6, (const struct sockaddr *)&ipv6, sizeof(ipv6), &listener->fd);
}

static int open_unix(
	struct vnc_listener *listener, const struct vnc_address *address, struct error *err)
{
	char asked[sizeof(address->path) + 16];
	int result;

	snprintf(listener->where, sizeof(listener->where), "unix:%s", address->path);
	snprintf(asked, sizeof(asked), "--vnc=unix:%s", address->path);
	result = unix_listener_open(&listener->socket, address->path, BACKLOG, asked, err);
	listener->fd = listener->socket.fd;
	return result;
}

int vnc_listener_open(
	struct vnc_listener *listener, const struct vnc_address *address, struct error *err)
{
	unsigned first = address->any_display ? 0 : address->display;
	unsigned count = address->any_display ? VNC_MAX_DISPLAYS : 1;
	int result = 0;

	memset(listener, 0, sizeof(*listener));
	listener->fd = listener->socket.fd = -1;
	if (address->family == AF_UNIX)
		return open_unix(listener, address, err);
	for (unsigned i = 0; i < count; i++) {
		result = open_display(listener, address, first + i);
		if (result != -EADDRINUSE)
			break;
	}
	if (result == -EADDRINUSE && count > 1)
		return error_set(err, EADDRINUSE,
			"vnc: the displays 0 to %u are all taken (name one with --vnc=127.0.0.1:N)",
			count - 1);
	if (result == -EADDRINUSE)
		return error_set(err, EADDRINUSE,
			"vnc: %s is in use by another program (choose another display, or leave it "
			"out for the first free one)",
			listener->where);
	if (result)
		return error_set(err, -result, "vnc: cannot listen on %s: %s", listener->where,
			strerror(-result));
	return 0;
}

void vnc_listener_close(struct vnc_listener *listener)
{
	if (listener->fd < 0)
		return;
	if (listener->socket.fd >= 0)
		unix_listener_close(&listener->socket);
	else
		close(listener->fd);
	listener->fd = -1;
}
