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
void engine_destroy(struct engine *engine); /* NULL is fine */
/* Before engine_run; see struct block_disk_ops. The counter may or may not have been taken. */
VMGUI_MUST_USE int engine_watch(
	struct engine *engine, int eventfd, void (*rang)(void *opaque), void *opaque);
void engine_set_batch_end(struct engine *engine, void (*batch_end)(void *opaque), void *opaque);
/* Before each engine_run, in any thread: makes sure that it can run. */
VMGUI_MUST_USE int engine_prepare(struct engine *engine, struct error *err);
/* Runs until engine_stop and nothing is in flight any more. */
void engine_run(struct engine *engine);
void engine_stop(struct engine *engine);                          /* any thread */
void engine_post(struct engine *engine, struct block_call *call); /* any thread */
/* call->complete is called later, never from inside. */
void engine_submit(struct engine *engine, struct file_call *call);
const char *engine_name(const struct engine *engine); /* "io_uring", "threads" */

/* For tests, NULL otherwise: asked before every system call that touches an image's contents. 0: it
 * is made; negative errno: it is not and fails so; positive: a read or write of that many bytes at
 * most. Any thread. */
extern int64_t (*engine_fault)(const struct file_call *call);

/* A file or block device on this engine (NULL: only the synchronous calls, until
 * posix_file_set_engine). Takes the locks that QEMU's tools respect (open file description locks on
 * bytes 100 and 200 onwards, as qemu's file-posix driver documents them): -EBUSY where somebody
 * else holds what we need. err: "PATH: what is wrong (what to do)". */
struct posix_file_options {
	const char *path;
	bool read_only;
	bool direct;
	bool temporary; /* path is a folder: an unnamed, empty file in it, without locks */
};
VMGUI_MUST_USE int posix_file_open(
	const struct posix_file_options *options, struct block_file **file, struct error *err);
void posix_file_set_engine(struct block_file *file, struct engine *engine);

#endif
