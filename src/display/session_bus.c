/* See session_bus.h. Of the bus's protocol only the greeting is spoken (D-Bus specification,
 * "Authentication Protocol"): who can read us answers that, with a consent or a refusal. */
#include "display/session_bus.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/util.h"

#define TIMEOUT_MS 5000

/* The first address, if it is a plain socket of this machine: its length as connect wants it. */
static socklen_t find_address(struct sockaddr_un *socket)
{
	static const char path_key[] = "unix:path=", abstract_key[] = "unix:abstract=";
	const char *address = getenv("DBUS_SESSION_BUS_ADDRESS");
	const char *folder = getenv("XDG_RUNTIME_DIR"), *name;
	bool abstract = false;
	int length;

	memset(socket, 0, sizeof(*socket));
	socket->sun_family = AF_UNIX;
	if (!address || !*address) { /* then it is here, if anywhere */
		if (!folder || *folder != '/')
			return 0;
		length = snprintf(socket->sun_path, sizeof(socket->sun_path), "%s/bus", folder);
	} else {
		abstract = !strncmp(address, abstract_key, strlen(abstract_key));
		if (!abstract && strncmp(address, path_key, strlen(path_key)) != 0)
			return 0;
		name = address + strlen(abstract ? abstract_key : path_key);
		length = (int)strcspn(name, ",;");
		if (memchr(name, '%', (size_t)length)) /* escaped: no usual place */
			return 0;
		length = snprintf(socket->sun_path + abstract, sizeof(socket->sun_path) - abstract,
			"%.*s", length, name);
	}
	if (length <= 0 || (size_t)length + abstract >= sizeof(socket->sun_path))
		return 0;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + abstract + (size_t)length);
}

static bool answers(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	char greeting[64];
	/* A zero, and the user's number as text, in hexadecimal digits. */
	int length = snprintf(greeting + 1, sizeof(greeting) - 1, "AUTH EXTERNAL ") + 1;
	char user[16];

	greeting[0] = '\0';
	snprintf(user, sizeof(user), "%u", (unsigned)getuid());
	for (const char *digit = user; *digit; digit++)
		length += snprintf(greeting + length, sizeof(greeting) - (size_t)length, "%02x",
			(unsigned)*digit);
	length += snprintf(greeting + length, sizeof(greeting) - (size_t)length, "\r\n");
	if (send(fd, greeting, (size_t)length, MSG_NOSIGNAL) < 0)
		return true;
	return poll(&pollfd, 1, TIMEOUT_MS) != 0;
}

void session_bus_settle(void)
{
	static const char variable[] = "DBUS_SESSION_BUS_ADDRESS";
	const char *given = getenv(variable);
	struct sockaddr_un address;

	if (given && *given)
		return;
	if (!find_address(&address) || access(address.sun_path, F_OK) < 0)
		setenv(variable, "disabled:", 1);
}

int session_bus_check(const char *display, struct error *err)
{
	struct sockaddr_un address;
	socklen_t length = find_address(&address);
	bool good = true;
	int fd;

	if (!length)
		return 0;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return 0;
	if (connect(fd, (const struct sockaddr *)&address, length) == 0)
		good = answers(fd);
	else
		good = errno != EAGAIN; /* its queue is full: nobody takes calls */
	close(fd);
	if (good)
		return 0;
	return error_set(err, ETIMEDOUT,
		"%s: the session bus does not answer, and no window opens without (repair it, or "
		"set DBUS_SESSION_BUS_ADDRESS=disabled:)",
		display);
}
