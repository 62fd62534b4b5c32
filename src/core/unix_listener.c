/* A listening unix stream socket. See unix_listener.h. Threads: any, one at a time for each. */
#include "core/unix_listener.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum occupant {
	OCCUPANT_NONE, /* or one that cannot be told; bind says what is wrong then */
	OCCUPANT_STALE,
	OCCUPANT_LIVE,
	OCCUPANT_NO_SOCKET
};

static enum occupant look_at(const struct sockaddr_un *address)
{
	struct stat status;
	int fd, rc;

	if (lstat(address->sun_path, &status))
		return OCCUPANT_NONE;
	if (!S_ISSOCK(status.st_mode))
		return OCCUPANT_NO_SOCKET;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return OCCUPANT_NONE;
	rc = connect(fd, (const struct sockaddr *)address, sizeof(*address)) ? -errno : 0;
	close(fd);
	/* A full backlog (EAGAIN) is a live one's, and what we may not connect to is not ours to
	 * remove. */
	return rc == -ECONNREFUSED ? OCCUPANT_STALE : OCCUPANT_LIVE;
}

int unix_listener_open(struct unix_listener *listener, const char *path, int backlog,
	const char *asked, struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat status;
	int fd, rc;

	*listener = (struct unix_listener){ .fd = -1 };
	if (!*path)
		return error_set(err, EINVAL, "%s: the path is missing", asked);
	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(err, EINVAL,
			"%s: the path is too long for a socket (at most %zu bytes)", asked,
			sizeof(address.sun_path) - 1);
	strcpy(address.sun_path, path);

	switch (look_at(&address)) {
	case OCCUPANT_NONE:
		break;
	case OCCUPANT_STALE:
		unlink(path);
		break;
	case OCCUPANT_LIVE:
		return error_set(err, EADDRINUSE,
			"%s: another program listens there (choose another path)", asked);
	case OCCUPANT_NO_SOCKET:
		return error_set(err, EEXIST,
			"%s: the path exists already and is no socket (remove it or choose "
			"another)",
			asked);
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set(err, errno, "%s: %s", asked, strerror(errno));
	/* Linux gives the new socket file these permissions, so nobody gets in between. */
	if (fchmod(fd, S_IRUSR | S_IWUSR) ||
		bind(fd, (const struct sockaddr *)&address, sizeof(address)))
		goto fail;
	if (listen(fd, backlog)) {
		rc = errno;
		unlink(path);
		errno = rc;
		goto fail;
	}
	listener->fd = fd;
	if (!lstat(path, &status)) {
		strcpy(listener->path, path);
		listener->path_device = status.st_dev;
		listener->path_inode = status.st_ino;
	}
	return 0;

fail:
	rc = error_set(err, errno, "%s: %s", asked, strerror(errno));
	close(fd);
	return rc;
}

void unix_listener_close(struct unix_listener *listener)
{
	struct stat status;

	if (listener->fd < 0)
		return;
	close(listener->fd);
	listener->fd = -1;
	if (listener->path[0] && !lstat(listener->path, &status) && S_ISSOCK(status.st_mode) &&
		status.st_dev == listener->path_device && status.st_ino == listener->path_inode)
		unlink(listener->path);
}
