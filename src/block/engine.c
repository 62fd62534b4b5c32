/* The loop of a disk's thread, whatever waits for it; see engine.h.
 *
 * A turn: what has finished is completed, posted calls are run, the owner publishes its batch, and
 * then the kind of engine hands over what all of them submitted and waits. Callbacks may submit:
 * submitting only gathers, so that the host is asked once for all. */
#include "block/engine_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"

int64_t (*engine_fault)(const struct file_call *call);

int engine_init(struct engine *engine, const struct engine_kind_ops *ops, struct error *err)
{
	engine->ops = ops;
	call_list_init(&engine->gathered);
	call_list_init(&engine->finished);
	engine->posted_last = &engine->posted;
	engine->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (engine->wake_fd < 0)
		return error_set(err, errno, "disk I/O: %s", strerror(errno));
	pthread_mutex_init(&engine->post_lock, NULL);
	return 0;
}

void engine_fini(struct engine *engine)
{
	pthread_mutex_destroy(&engine->post_lock);
	close(engine->wake_fd);
}

int engine_create(enum engine_kind kind, struct engine **engine, struct error *err)
{
	const char *env = secure_getenv("VMGUI_BLOCK_ENGINE");
	struct error uring_err;
	int ret;

	*engine = NULL;
	if (kind == ENGINE_ANY && env && *env) {
		if (!strcmp(env, "uring"))
			kind = ENGINE_URING;
		else if (!strcmp(env, "threads"))
			kind = ENGINE_THREADS;
		else
			return error_set(err, EINVAL,
				"VMGUI_BLOCK_ENGINE=%s: no such engine (uring, threads)", env);
	}
	if (kind == ENGINE_URING)
		return engine_uring_create(engine, err);
	if (kind == ENGINE_ANY) {
		ret = engine_uring_create(engine, &uring_err);
		if (!ret)
			return 0;
		log_debug("block", "%s; threads do the disk I/O", uring_err.text);
	}
	return engine_threads_create(engine, err);
}

void engine_destroy(struct engine *engine)
{
	if (engine)
		engine->ops->destroy(engine);
}

int engine_watch(struct engine *engine, int eventfd, void (*rang)(void *opaque), void *opaque)
{
	if (engine->watch_count == ENGINE_WATCHES)
		return -ENOSPC;
	engine->watches[engine->watch_count++] = (struct engine_watch){ eventfd, rang, opaque };
	return 0;
}

void engine_set_batch_end(struct engine *engine, void (*batch_end)(void *opaque), void *opaque)
{
	engine->batch_end = batch_end;
	engine->batch_end_opaque = opaque;
}

int engine_prepare(struct engine *engine, struct error *err)
{
	atomic_store(&engine->stopping, false);
	return engine->ops->prepare(engine, err);
}

void engine_wake(struct engine *engine)
{
	uint64_t one = 1;

	/* Fails only when the counter is full, and then it wakes anyway. */
	(void)!write(engine->wake_fd, &one, sizeof(one));
}

void engine_stop(struct engine *engine)
{
	atomic_store(&engine->stopping, true);
	engine_wake(engine);
}

void engine_post(struct engine *engine, struct block_call *call)
{
	bool first;

	call->next = NULL;
	pthread_mutex_lock(&engine->post_lock);
	first = !engine->posted;
	*engine->posted_last = call;
	engine->posted_last = &call->next;
	pthread_mutex_unlock(&engine->post_lock);
	if (first)
		engine_wake(engine);
}

/* True if there was one. */
static bool run_posted(struct engine *engine)
{
	struct block_call *call;

	pthread_mutex_lock(&engine->post_lock);
	call = engine->posted;
	engine->posted = NULL;
	engine->posted_last = &engine->posted;
	pthread_mutex_unlock(&engine->post_lock);
	if (!call)
		return false;
	while (call) {
		struct block_call *next = call->next; /* the call's owner may free it */

		call->function(call);
		call = next;
	}
	return true;
}

static void complete_finished(struct engine *engine)
{
	struct file_call *call;

	while ((call = call_list_take(&engine->finished))) {
		engine->in_flight--;
		call->complete(call);
	}
}

void engine_run(struct engine *engine)
{
	engine->ops->begin(engine);
	for (;;) {
		complete_finished(engine);
		while (run_posted(engine))
			complete_finished(engine);
		if (engine->batch_end)
			engine->batch_end(engine->batch_end_opaque);
		/* Whoever stops or posts from here on wakes the turn. */
		if (!engine->in_flight && atomic_load(&engine->stopping))
			break;
		engine->ops->turn(engine);
	}
	engine->ops->end(engine);
}

void engine_submit(struct engine *engine, struct file_call *call)
{
	engine->in_flight++;
	call_list_append(
		call->kind == FILE_CALL_NOTHING ? &engine->finished : &engine->gathered, call);
}

const char *engine_name(const struct engine *engine)
{
	return engine->ops->name;
}

bool engine_strike(struct file_call *call)
{
	int64_t fault = engine_fault ? engine_fault(call) : 0;

	if (!fault)
		return false;
	if (fault < 0) {
		call->result = fault;
		return true;
	}
	if (call->kind != FILE_CALL_READ && call->kind != FILE_CALL_WRITE)
		return false;
	if (call->direct)
		fault = (int64_t)align_up(
			(uint64_t)fault, BLOCK_SECTOR_BYTES); /* as a host would */
	call->part = call->iov[0];
	call->part.iov_len = min_u64((uint64_t)fault, call->part.iov_len);
	call->iov = &call->part;
	call->iov_count = 1;
	return false;
}

/* Few file systems (XFS, btrfs) let io_uring copy into the page cache at once; for the others,
 * ext4 among them, it wakes a kernel thread for each write and is woken by it, which costs several
 * times the copy itself. So small writes of whole pages are copied here. Measured on ext4, 4 KiB,
 * Linux 6.18, host CPU time for each, the waking of a client included: 4.6 us against 13 to 16 us
 * at depth 1, 1.8 us against 3.6 to 4.8 us at depth 32. (For reads that hit the page cache a
 * preadv2 here gained nothing over the ring, which does them within the same io_uring_enter.)
 *
 * A copy may have to wait (too much is dirty, the journal is being committed), and everything else
 * of this disk with it. When that happens writes go the long way for a while; a millisecond or two
 * is what a busy machine takes for nothing. */
bool engine_write_inline(struct engine *engine, struct file_call *call)
{
	const uint64_t limit_bytes = KIB(128), slow_ns = 4000 * 1000, pause_ns = 10 * slow_ns;
	uint64_t together = call->offset_bytes, sum = 0, start, end;

	if (call->kind != FILE_CALL_WRITE || call->direct || call->blocking)
		return false;
	for (unsigned i = 0; i < call->iov_count; i++) {
		together |= call->iov[i].iov_len;
		sum += call->iov[i].iov_len;
	}
	/* A part of a page may have to be read first. */
	if (together & (PAGE_BYTES - 1) || sum > limit_bytes)
		return false;
	start = clock_now_ns();
	if (start < engine->inline_after_ns)
		return false;
	if (engine_strike(call))
		return true;
	call->result = engine_execute(call);
	end = clock_now_ns();
	if (end - start > slow_ns)
		engine->inline_after_ns = end + pause_ns;
	return true;
}

int64_t engine_execute(struct file_call *call)
{
	uint64_t range[2] = { call->offset_bytes, call->length_bytes };
	off_t offset = (off_t)call->offset_bytes;
	int64_t ret;

	switch (call->kind) {
	case FILE_CALL_READ:
		ret = call->iov_count == 1
			      ? pread(call->fd, call->iov->iov_base, call->iov->iov_len, offset)
			      : preadv(call->fd, call->iov, (int)call->iov_count, offset);
		break;
	case FILE_CALL_WRITE:
		ret = call->iov_count == 1
			      ? pwrite(call->fd, call->iov->iov_base, call->iov->iov_len, offset)
			      : pwritev(call->fd, call->iov, (int)call->iov_count, offset);
		break;
	case FILE_CALL_SYNC:
		ret = fdatasync(call->fd);
		break;
	case FILE_CALL_ALLOCATE:
		ret = fallocate(call->fd, call->mode, offset, (off_t)call->length_bytes);
		break;
	case FILE_CALL_DISCARD:
		ret = ioctl(call->fd, BLKDISCARD, range);
		break;
	case FILE_CALL_TRUNCATE:
		ret = ftruncate(call->fd, (off_t)call->length_bytes);
		break;
	default:
		return -EINVAL;
	}
	return ret < 0 ? -errno : ret;
}
