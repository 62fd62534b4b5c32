/* A listening unix stream socket with a place in the file system. */
#ifndef VMGUI_CORE_UNIX_LISTENER_H
#define VMGUI_CORE_UNIX_LISTENER_H

#include <sys/types.h>
#include <sys/un.h>

#include "core/error.h"
#include "core/util.h"

#define UNIX_LISTENER_PATH_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)

struct unix_listener {
	int fd; /* non-blocking; -1: closed */
	char path[UNIX_LISTENER_PATH_BYTES];
	dev_t path_device; /* which file is ours, should somebody have put another there */
	ino_t path_inode;
};

/* Listens on path, for this user only (0600). A socket that nobody listens on any more is replaced;
 * one in use (-EADDRINUSE) and anything else that is there already (-EEXIST) are left alone. asked
 * begins the error's text: what the user asked for. On failure fd is -1. */
VMGUI_MUST_USE int unix_listener_open(struct unix_listener *listener, const char *path, int backlog,
	const char *asked, struct error *err);
/* Removes the path if it is still ours. */
void unix_listener_close(struct unix_listener *listener);

#endif
