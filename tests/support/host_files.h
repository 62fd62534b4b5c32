/* What this host's file systems and kernel can do, for tests that must leave something out where
 * they cannot. Each one says so on stdout if it cannot. */
#ifndef TESTS_HOST_FILES_H
#define TESTS_HOST_FILES_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/engine.h"

/* Containers forbid it, as a rule. */
static inline bool host_has_uring(void)
{
	struct engine *engine;
	struct error err = { "" };

	if (engine_create(ENGINE_URING, &engine, &err)) {
		printf("skipped: %s\n", err.text);
		return false;
	}
	engine_destroy(engine);
	return true;
}

/* tmpfs has none before Linux 6.6, nor have some network file systems. */
static inline bool host_has_direct_io(const char *folder)
{
	char path[PATH_MAX];
	bool has = false;
	int fd;

	snprintf(path, sizeof(path), "%s/vmgui-probe-XXXXXX", folder);
	fd = mkstemp(path);
	if (fd >= 0) {
		int direct = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);

		has = direct >= 0;
		if (!has)
			printf("skipped: no direct I/O in %s: %s\n", folder, strerror(errno));
		else
			close(direct);
		close(fd);
		unlink(path);
	}
	return has;
}

#endif
