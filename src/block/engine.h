/* The loop of a disk's thread: waits for eventfds and for the host's file I/O at once.
 *
 * Two implementations: io_uring (liburing), where one io_uring_enter both submits what has gathered
 * and waits; and a pool of worker threads with an eventfd, where io_uring is forbidden (containers,
 * seccomp) or too old. engine_create takes the first that works; VMGUI_BLOCK_ENGINE=uring|threads
 * chooses one, for tests and comparisons.
 *
 * Threads: everything but engine_post and engine_stop in the thread that runs engine_run. */
#ifndef VMGUI_BLOCK_ENGINE_H
#define VMGUI_BLOCK_ENGINE_H

#include "block/file.h"
#include "core/block.h"

struct engine;

enum engine_kind {
	ENGINE_ANY,
	ENGINE_URING,
	ENGINE_THREADS
};

VMGUI_MUST_USE int engine_create(enum engine_kind kind, struct engine **engine, struct error *err);
void engine_destroy(struct engine *engine);
/* Before engine_run; see struct block_disk_ops. */
VMGUI_MUST_USE int engine_watch(
	struct engine *engine, int eventfd, void (*rang)(void *opaque), void *opaque);
void engine_set_batch_end(struct engine *engine, void (*batch_end)(void *opaque), void *opaque);
/* Runs until engine_stop and nothing is in flight any more. */
void engine_run(struct engine *engine);
void engine_stop(struct engine *engine);                          /* any thread */
void engine_post(struct engine *engine, struct block_call *call); /* any thread */
/* An operation on a descriptor; io->file's fields direct, block_bytes are looked at. */
void engine_submit(struct engine *engine, int fd, struct file_io *io);

/* A file or block device on this engine (NULL: only the synchronous calls, until
 * posix_file_set_engine). Takes the locks that QEMU's tools respect (open file description locks on
 * bytes 100 and 200 onwards, as qemu's file-posix driver documents them): -EBUSY where somebody
 * else holds what we need. err: "PATH: what is wrong (what to do)". */
struct posix_file_options {
	const char *path;
	bool read_only;
	bool direct;
	bool temporary; /* path is a folder: an unnamed file in it */
};
VMGUI_MUST_USE int posix_file_open(
	const struct posix_file_options *options, struct block_file **file, struct error *err);
void posix_file_set_engine(struct block_file *file, struct engine *engine);

#endif
