/* The engine where io_uring is not to be had: a pool of threads for the calls, epoll for the
 * eventfds. See engine.h.
 *
 * The eventfds are watched edge-triggered: each write to one is an edge, whatever its counter says,
 * which saves reading it. */
#include "block/engine_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

struct engine_threads {
	struct engine base;
	struct engine_pool *pool;
	int epoll_fd; /* -1 outside of prepare ... end */
};

static void pool_finished(void *opaque)
{
	engine_wake(opaque);
}

static int prepare(struct engine *base, struct error *err)
{
	struct engine_threads *engine = container_of(base, struct engine_threads, base);
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u32 = ENGINE_WATCHES };
	int ret;

	if (engine->epoll_fd >= 0)
		return 0;
	engine->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (engine->epoll_fd < 0)
		goto failed;
	if (epoll_ctl(engine->epoll_fd, EPOLL_CTL_ADD, base->wake_fd, &event) < 0)
		goto failed;
	for (unsigned i = 0; i < base->watch_count; i++) {
		event.data.u32 = i;
		if (epoll_ctl(engine->epoll_fd, EPOLL_CTL_ADD, base->watches[i].fd, &event) < 0)
			goto failed;
	}
	return 0;

failed:
	ret = error_set(err, errno, "disk I/O: epoll: %s", strerror(errno));
	if (engine->epoll_fd >= 0)
		close(engine->epoll_fd);
	engine->epoll_fd = -1;
	return ret;
}

static void begin(struct engine *base)
{
	(void)base;
}

static void end(struct engine *base)
{
	struct engine_threads *engine = container_of(base, struct engine_threads, base);

	close(engine->epoll_fd);
	engine->epoll_fd = -1;
}

/* What the page cache has is not worth a thread. */
static bool read_cached(struct file_call *call)
{
	ssize_t count;

	if (call->kind != FILE_CALL_READ || call->direct || call->blocking)
		return false;
	if (engine_strike(call))
		return true;
	count = preadv2(
		call->fd, call->iov, (int)call->iov_count, (off_t)call->offset_bytes, RWF_NOWAIT);
	if (count < 0)
		return false; /* most likely EAGAIN; a thread finds out */
	call->result = count;
	return true;
}

static void hand_over(struct engine_threads *engine)
{
	struct engine *base = &engine->base;
	struct call_list slow;
	struct file_call *call;

	call_list_init(&slow);
	while ((call = call_list_take(&base->gathered))) {
		bool done = read_cached(call) || engine_write_inline(base, call);

		call_list_append(done ? &base->finished : &slow, call);
	}
	engine_pool_submit(engine->pool, &slow);
}

static void turn(struct engine *base)
{
	struct engine_threads *engine = container_of(base, struct engine_threads, base);
	struct epoll_event events[ENGINE_WATCHES + 1];
	int count;

	hand_over(engine);
	do {
		count = epoll_wait(engine->epoll_fd, events, (int)array_size(events),
			base->finished.first ? 0 : -1);
	} while (count < 0 && errno == EINTR);
	for (int i = 0; i < count; i++) {
		uint32_t index = events[i].data.u32;

#ifdef __SANITIZE_THREAD__
		uint64_t counter; /* so that it sees the order that the wake-up makes */

		(void)!read(index < ENGINE_WATCHES ? base->watches[index].fd : base->wake_fd,
			&counter, sizeof(counter));
#endif
		if (index < ENGINE_WATCHES)
			base->watches[index].rang(base->watches[index].opaque);
	}
	/* Behind all reading of eventfds: who finishes from here on writes to it again. */
	engine_pool_collect(engine->pool, &base->finished);
}

static void destroy(struct engine *base)
{
	struct engine_threads *engine = container_of(base, struct engine_threads, base);

	if (engine->epoll_fd >= 0)
		close(engine->epoll_fd);
	engine_pool_destroy(engine->pool);
	engine_fini(base);
	free(engine);
}

int engine_threads_create(struct engine **engine_out, struct error *err)
{
	static const struct engine_kind_ops ops = {
		.name = "threads",
		.prepare = prepare,
		.begin = begin,
		.end = end,
		.turn = turn,
		.destroy = destroy,
	};
	struct engine_threads *engine = calloc(1, sizeof(*engine));
	int ret;

	if (!engine)
		return error_set(err, ENOMEM, "disk I/O: out of memory");
	engine->epoll_fd = -1;
	ret = engine_init(&engine->base, &ops, err);
	if (ret)
		goto free_engine;
	ret = engine_pool_create(pool_finished, &engine->base, &engine->pool);
	if (ret) {
		error_set(err, -ret, "disk I/O: %s", strerror(-ret));
		goto fini;
	}
	*engine_out = &engine->base;
	return 0;

fini:
	engine_fini(&engine->base);
free_engine:
	free(engine);
	return ret;
}
