/* What posix_file.c and posix_open.c share. */
#ifndef VMGUI_BLOCK_POSIX_INTERNAL_H
#define VMGUI_BLOCK_POSIX_INTERNAL_H

#include "block/engine.h"

struct posix_file {
	struct block_file base;
	struct engine *engine;
	int fd; /* O_DIRECT if base.direct */
	/* Without O_DIRECT: what direct I/O cannot do for its alignment goes this way. The same as
	 * fd if that is not direct. */
	int buffered_fd;
	uint32_t align_bytes, memory_align_bytes; /* of direct I/O */
	bool can_zero_unmap;
	bool temporary; /* gone with this process, so a sync has nothing to do */
	/* With O_DIRECT: write calls in flight through the page cache [0] and past it [1], of which
	 * one is 0, and the writes that wait for that. */
	unsigned writing[2];
	struct file_io *waiting, **last_waiting;
	/* Writes that have finished since the file was opened, and how many of them the last good
	 * sync covered: when nothing is new, a sync has nothing to do. */
	uint64_t changes, synced_changes;
	bool sync_failed;
	char *path;
};

extern const struct block_file_ops posix_file_ops;

#endif
