/* The engine on io_uring; see engine.h.
 *
 * One io_uring_enter per turn hands over what was gathered and waits for the next event. What can
 * be done at once (data in the page cache) is done inside of that same system call, so that it
 * costs no turn of its own. The eventfds are in the ring as multishot polls: a poll that rings
 * leaves an entry in the completion queue and stays; nothing reads the eventfd or arms it anew.
 *
 * The ring belongs to the thread that runs it (SINGLE_ISSUER), and the kernel's side of completions
 * runs only when that thread asks for events (DEFER_TASKRUN), never by interrupting it; older
 * kernels get the flags that they know.
 *
 * Threads: prepare in the owner's, begin to end in the engine's; see engine.h. */
#include "block/engine_internal.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"

/* Entries of the submission queue: more than that only waits for the next turn. */
#define ENTRIES 256
/* Calls that the kernel has at once; with the watches they fit in the completion queue, which could
 * otherwise overflow. */
#define IN_RING      768u
#define COMPLETIONS  1024
#define WAKE_WATCH   ENGINE_WATCHES
#define WATCH_NUMBER (ENGINE_WATCHES + 1)
/* Turns that do not wait, one after the other, of which the last looks at what has come. */
#define TURNS_BLIND 8u

_Static_assert(IN_RING + 2 * WATCH_NUMBER < COMPLETIONS, "completions fit in their queue");

struct engine_uring {
	struct engine base;
	struct io_uring ring;
	bool prepared;
	struct engine_pool *pool; /* for what the ring cannot do; made when there is any */

	/* The engine's thread. */
	unsigned in_ring, blind; /* blind: turns since it last looked at what has come */
	bool arm[WATCH_NUMBER];  /* the watch is to be put into the ring (again) */
	bool arm_any;
};

static struct engine_uring *uring_of(struct engine *base)
{
	return container_of(base, struct engine_uring, base);
}

/* What a completion belongs to is in its user data: a call's address, or an odd number for a watch.
 */
static uint64_t watch_data(unsigned index)
{
	return (uint64_t)index << 1 | 1;
}

static int set_up_ring(struct io_uring *ring)
{
	static const unsigned flags[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, /* Linux 6.1 */
		IORING_SETUP_COOP_TASKRUN,                               /* 5.19 */
		0,
	};
	int ret = -EINVAL;

	for (size_t i = 0; ret == -EINVAL && i < array_size(flags); i++) {
		struct io_uring_params params = { .cq_entries = COMPLETIONS };

		/* Disabled until the thread that will own it enables it. */
		params.flags = flags[i] | IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE |
			       IORING_SETUP_CLAMP;
		ret = io_uring_queue_init_params(ENTRIES, ring, &params);
		/* 5.13: multishot polls; and what is older had more faults than virtues. */
		if (!ret && !(params.features & IORING_FEAT_RSRC_TAGS)) {
			io_uring_queue_exit(ring);
			return -ENOSYS;
		}
	}
	return ret;
}

static int prepare(struct engine *base, struct error *err)
{
	struct engine_uring *engine = uring_of(base);
	int ret;

	if (engine->prepared)
		return 0;
	ret = set_up_ring(&engine->ring);
	if (ret)
		return error_set(err, -ret, "disk I/O: io_uring: %s%s", strerror(-ret),
			ret == -ENOMEM ? " (see 'ulimit -l')" : "");
	engine->prepared = true;
	return 0;
}

static void begin(struct engine *base)
{
	struct engine_uring *engine = uring_of(base);

	/* Not io_uring_enable_rings: liburing 2.3 does not export it. */
	if (syscall(__NR_io_uring_register, engine->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS,
		    NULL, 0) < 0)
		log_error("block", "io_uring: enabling: %s", strerror(errno));
	(void)io_uring_register_ring_fd(&engine->ring); /* saves a look-up; 5.18 */
	for (unsigned i = 0; i < base->watch_count; i++)
		engine->arm[i] = true;
	engine->arm[WAKE_WATCH] = engine->arm_any = true;
}

static void end(struct engine *base)
{
	struct engine_uring *engine = uring_of(base);

	io_uring_queue_exit(&engine->ring); /* the polls end with it */
	engine->prepared = false;
}

static int watch_fd(const struct engine *base, unsigned index)
{
	return index == WAKE_WATCH ? base->wake_fd : base->watches[index].fd;
}

static void arm_watches(struct engine_uring *engine)
{
	struct engine *base = &engine->base;

	engine->arm_any = false;
	for (unsigned i = 0; i < WATCH_NUMBER; i++) {
		struct io_uring_sqe *sqe;

		if (!engine->arm[i])
			continue;
		sqe = io_uring_get_sqe(&engine->ring);
		if (!sqe) {
			engine->arm_any = true;
			return;
		}
		io_uring_prep_poll_multishot(sqe, watch_fd(base, i), POLLIN);
		sqe->user_data = watch_data(i);
		engine->arm[i] = false;
	}
}

static bool is_single(const struct file_call *call)
{
	return call->iov_count == 1 && call->iov->iov_len <= INT32_MAX;
}

static void fill(struct io_uring_sqe *sqe, struct file_call *call)
{
	const struct iovec *iov = call->iov; /* of a transfer; anything otherwise */

	switch (call->kind) {
	case FILE_CALL_READ:
		if (is_single(call))
			io_uring_prep_read(sqe, call->fd, iov->iov_base, (unsigned)iov->iov_len,
				call->offset_bytes);
		else
			io_uring_prep_readv(
				sqe, call->fd, iov, call->iov_count, call->offset_bytes);
		break;
	case FILE_CALL_WRITE:
		if (is_single(call))
			io_uring_prep_write(sqe, call->fd, iov->iov_base, (unsigned)iov->iov_len,
				call->offset_bytes);
		else
			io_uring_prep_writev(
				sqe, call->fd, iov, call->iov_count, call->offset_bytes);
		break;
	case FILE_CALL_SYNC:
		io_uring_prep_fsync(sqe, call->fd, IORING_FSYNC_DATASYNC);
		break;
	case FILE_CALL_ALLOCATE:
		io_uring_prep_fallocate(sqe, call->fd, call->mode, (off_t)call->offset_bytes,
			(off_t)call->length_bytes);
		break;
	default:
		io_uring_prep_nop(sqe);
		break;
	}
	if (call->blocking)
		sqe->flags |= IOSQE_ASYNC;
	io_uring_sqe_set_data(sqe, call);
}

static void pool_finished(void *opaque)
{
	engine_wake(opaque);
}

/* For calls that have no operation in the ring. */
static void give_to_pool(struct engine_uring *engine, struct file_call *call)
{
	struct engine *base = &engine->base;
	struct call_list calls;
	int ret = 0;

	if (!engine->pool)
		ret = engine_pool_create(pool_finished, base, &engine->pool);
	if (ret) {
		call->result = ret;
		call_list_append(&base->finished, call);
		return;
	}
	call_list_init(&calls);
	call_list_append(&calls, call);
	engine_pool_submit(engine->pool, &calls);
}

/* Puts into the ring what it has room for; the rest stays gathered. */
static void fill_ring(struct engine_uring *engine)
{
	struct engine *base = &engine->base;

	while (base->gathered.first && engine->in_ring < IN_RING) {
		struct file_call *call = base->gathered.first;
		struct io_uring_sqe *sqe;

		if (call->kind == FILE_CALL_DISCARD) {
			give_to_pool(engine, call_list_take(&base->gathered));
			continue;
		}
		if (engine_write_inline(base, call) || (engine_fault && engine_strike(call))) {
			call_list_append(&base->finished, call_list_take(&base->gathered));
			continue;
		}
		sqe = io_uring_get_sqe(&engine->ring);
		if (!sqe)
			break;
		fill(sqe, call_list_take(&base->gathered));
		engine->in_ring++;
	}
}

static void watch_rang(struct engine_uring *engine, unsigned index, const struct io_uring_cqe *cqe)
{
	struct engine *base = &engine->base;

	if (!(cqe->flags & IORING_CQE_F_MORE)) {
		/* The kernel ends a poll when memory or room is short. One that cannot be armed
		 * at all would go round for ever. */
		if (cqe->res < 0 && cqe->res != -ECANCELED && cqe->res != -ENOMEM &&
			cqe->res != -EAGAIN) {
			log_error("block", "io_uring: poll: %s", strerror(-cqe->res));
			return;
		}
		engine->arm[index] = engine->arm_any = true;
	}
#ifdef __SANITIZE_THREAD__
	if (cqe->res > 0) { /* so that it sees the order that the wake-up makes */
		struct pollfd poll_fd = { .fd = watch_fd(base, index), .events = POLLIN };
		uint64_t counter;

		if (poll(&poll_fd, 1, 0) == 1)
			(void)!read(poll_fd.fd, &counter, sizeof(counter));
	}
#endif
	if (index < base->watch_count)
		base->watches[index].rang(base->watches[index].opaque);
}

static void reap(struct engine_uring *engine)
{
	struct engine *base = &engine->base;
	struct io_uring_cqe *cqe;
	unsigned head, count = 0;

	io_uring_for_each_cqe(&engine->ring, head, cqe)
	{
		count++;
		if (cqe->user_data & 1) {
			watch_rang(engine, (unsigned)(cqe->user_data >> 1), cqe);
		} else {
			struct file_call *call = (struct file_call *)(uintptr_t)cqe->user_data;

			call->result = cqe->res;
			call_list_append(&base->finished, call);
			engine->in_ring--;
		}
	}
	io_uring_cq_advance(&engine->ring, count);
}

/* What was done here and now is completed before the thread waits, and mostly that is worth no
 * system call. But the kernel tells of what else has come only when it is asked, and one who keeps
 * us busy with such calls must not keep the others waiting. */
static int enter(struct engine_uring *engine)
{
	if (!engine->base.finished.first) {
		engine->blind = 0;
		return io_uring_submit_and_wait(&engine->ring, 1);
	}
	if (++engine->blind < TURNS_BLIND)
		return io_uring_submit(&engine->ring);
	engine->blind = 0;
	return io_uring_submit_and_get_events(&engine->ring);
}

static void turn(struct engine *base)
{
	struct engine_uring *engine = uring_of(base);
	int ret;

	if (engine->arm_any)
		arm_watches(engine);
	fill_ring(engine);
	do
		ret = enter(engine);
	while (ret == -EINTR);
	/* The kernel is short of memory, or of room for completions until some are taken. What it
	 * did not accept is still in the ring and goes with the next turn. */
	if (ret < 0 && !io_uring_cq_ready(&engine->ring)) {
		const struct timespec moment = { .tv_nsec = 1000 * 1000 };

		nanosleep(&moment, NULL);
		(void)io_uring_get_events(&engine->ring);
	}
	reap(engine);
	if (engine->pool)
		engine_pool_collect(engine->pool, &base->finished);
}

static void destroy(struct engine *base)
{
	struct engine_uring *engine = uring_of(base);

	if (engine->prepared)
		io_uring_queue_exit(&engine->ring);
	engine_pool_destroy(engine->pool);
	engine_fini(base);
	free(engine);
}

int engine_uring_create(struct engine **engine_out, struct error *err)
{
	static const struct engine_kind_ops ops = {
		.name = "io_uring",
		.prepare = prepare,
		.begin = begin,
		.end = end,
		.turn = turn,
		.destroy = destroy,
	};
	struct engine_uring *engine = calloc(1, sizeof(*engine));
	int ret;

	if (!engine)
		return error_set(err, ENOMEM, "disk I/O: out of memory");
	ret = engine_init(&engine->base, &ops, err);
	if (ret)
		goto free_engine;
	ret = prepare(&engine->base, err); /* made now, to know whether it can be */
	if (ret)
		goto fini;
	*engine_out = &engine->base;
	return 0;

fini:
	engine_fini(&engine->base);
free_engine:
	free(engine);
	return ret;
}
