/* The loop of a disk's thread: one suite for both engines. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "block/engine.h"
#include "cmocka_all.h"

#define MANY 3000 /* more than any queue of an engine holds */

static enum engine_kind kind;

struct call {
	struct file_call base;
	struct iovec iov;
	struct fixture *fixture;
	uint8_t bytes[16];
};

struct fixture {
	struct engine *engine;
	pthread_t thread;
	int fd, kick_fd;
	struct call *calls;
	/* The engine's thread. */
	atomic_uint rings;
	unsigned finished, batches, chain;
	bool inside; /* of a submit */
	void (*on_ring)(struct fixture *fixture);
	void (*on_batch_end)(struct fixture *fixture);
	void (*on_finished)(struct fixture *fixture, struct call *call);
};

static void ring(void *opaque)
{
	struct fixture *fixture = opaque;

	fixture->rings++;
	if (fixture->on_ring)
		fixture->on_ring(fixture);
}

static void batch(void *opaque)
{
	struct fixture *fixture = opaque;

	fixture->batches++;
	if (fixture->on_batch_end)
		fixture->on_batch_end(fixture);
}

static void *run(void *opaque)
{
	engine_run(opaque);
	return NULL;
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	char path[] = "/tmp/vmgui-engine-XXXXXX";
	struct error err = { "" };

	fixture->calls = calloc(MANY, sizeof(*fixture->calls));
	fixture->fd = mkstemp(path);
	unlink(path);
	assert_true(fixture->fd >= 0);
	fixture->kick_fd = eventfd(0, EFD_CLOEXEC);
	if (engine_create(kind, &fixture->engine, &err))
		fail_msg("%s", err.text);
	assert_string_equal(
		engine_name(fixture->engine), kind == ENGINE_URING ? "io_uring" : "threads");
	assert_int_equal(engine_watch(fixture->engine, fixture->kick_fd, ring, fixture), 0);
	engine_set_batch_end(fixture->engine, batch, fixture);
	*state = fixture;
	return 0;
}

static void start(struct fixture *fixture)
{
	assert_int_equal(engine_prepare(fixture->engine, NULL), 0);
	assert_int_equal(pthread_create(&fixture->thread, NULL, run, fixture->engine), 0);
}

static void join(struct fixture *fixture)
{
	pthread_join(fixture->thread, NULL);
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	engine_destroy(fixture->engine);
	close(fixture->fd);
	close(fixture->kick_fd);
	free(fixture->calls);
	free(fixture);
	return 0;
}

static void kick(struct fixture *fixture)
{
	uint64_t one = 1;

	assert_int_equal(write(fixture->kick_fd, &one, sizeof(one)), sizeof(one));
}

static void complete(struct file_call *base)
{
	struct call *call = container_of(base, struct call, base);
	struct fixture *fixture = call->fixture;

	assert_false(fixture->inside);
	fixture->finished++;
	if (fixture->on_finished)
		fixture->on_finished(fixture, call);
}

static void submit(struct fixture *fixture, unsigned index, enum file_call_kind call_kind)
{
	struct call *call = &fixture->calls[index];

	call->fixture = fixture;
	call->iov = (struct iovec){ call->bytes, sizeof(call->bytes) };
	call->base = (struct file_call){ .kind = call_kind,
		.fd = fixture->fd,
		.offset_bytes = index * sizeof(call->bytes),
		.iov = &call->iov,
		.iov_count = 1,
		.result = -1,
		.complete = complete };
	fixture->inside = true;
	engine_submit(fixture->engine, &call->base);
	fixture->inside = false;
}

static void submit_many_writes(struct fixture *fixture)
{
	for (unsigned i = 0; i < MANY; i++) {
		memset(fixture->calls[i].bytes, (int)(i % 251), sizeof(fixture->calls[i].bytes));
		submit(fixture, i, FILE_CALL_WRITE);
	}
}

static void stop_when_all_finished(struct fixture *fixture, struct call *call)
{
	assert_int_equal(call->base.result, sizeof(call->bytes));
	if (fixture->finished == MANY)
		engine_stop(fixture->engine);
}

static void engine_flooded_loses_nothing(void **state)
{
	struct fixture *fixture = *state;
	uint8_t bytes[16];

	fixture->on_ring = submit_many_writes;
	fixture->on_finished = stop_when_all_finished;
	start(fixture);
	kick(fixture);
	join(fixture);
	assert_int_equal(fixture->finished, MANY);
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(pread(fixture->fd, bytes, 16, i * 16), 16);
		assert_int_equal(bytes[15], i % 251);
	}
}

static void submit_each_kind(struct fixture *fixture)
{
	static const enum file_call_kind kinds[] = { FILE_CALL_WRITE, FILE_CALL_SYNC,
		FILE_CALL_ALLOCATE, FILE_CALL_DISCARD, FILE_CALL_NOTHING, FILE_CALL_READ };

	for (unsigned i = 0; i < array_size(kinds); i++)
		submit(fixture, i, kinds[i]);
	for (unsigned i = 1; i < 5; i++) /* may be left from something else */
		fixture->calls[i].base.iov = (const struct iovec *)(uintptr_t)16;
	fixture->calls[2].base.length_bytes = MIB(1);
	fixture->calls[5].base.blocking = true;
	fixture->calls[5].base.offset_bytes = MIB(8);
}

static void stop_after_six(struct fixture *fixture, struct call *call)
{
	(void)call;
	if (fixture->finished == 6)
		engine_stop(fixture->engine);
}

static void engine_each_kind_gives_its_result(void **state)
{
	struct fixture *fixture = *state;

	fixture->on_ring = submit_each_kind;
	fixture->on_finished = stop_after_six;
	start(fixture);
	kick(fixture);
	join(fixture);
	assert_int_equal(fixture->calls[0].base.result, 16);
	assert_int_equal(fixture->calls[1].base.result, 0);
	assert_int_equal(fixture->calls[2].base.result, 0);
	assert_int_equal(fixture->calls[3].base.result, -ENOTTY); /* not a block device */
	assert_int_equal(fixture->calls[4].base.result, -1);      /* as it was */
	assert_int_equal(fixture->calls[5].base.result, 0);       /* the end of the file */
	assert_int_equal(lseek(fixture->fd, 0, SEEK_END), MIB(1) + 2 * 16);
}

static void bad_descriptor(struct fixture *fixture)
{
	submit(fixture, 0, FILE_CALL_READ);
	fixture->calls[0].base.fd = -1;
	submit(fixture, 1, FILE_CALL_WRITE);
	fixture->calls[1].base.fd = -1;
}

static void engine_failed_call_gives_errno(void **state)
{
	struct fixture *fixture = *state;

	fixture->on_ring = bad_descriptor;
	start(fixture);
	kick(fixture);
	while (!atomic_load(&fixture->rings))
		usleep(1000);
	engine_stop(fixture->engine);
	join(fixture);
	assert_int_equal(fixture->finished, 2);
	assert_int_equal(fixture->calls[0].base.result, -EBADF);
	assert_int_equal(fixture->calls[1].base.result, -EBADF);
}

/* A call submitted by what runs last before the wait must not wait for somebody else's wake-up. */
static void batch_end_submits(struct fixture *fixture)
{
	if (fixture->rings && fixture->chain < 100)
		submit(fixture, fixture->chain++, FILE_CALL_NOTHING);
	else if (fixture->rings && fixture->chain < 200)
		submit(fixture, fixture->chain++, FILE_CALL_WRITE);
	else if (fixture->rings && fixture->finished == 200)
		engine_stop(fixture->engine);
}

static void engine_batch_end_may_submit(void **state)
{
	struct fixture *fixture = *state;

	fixture->on_batch_end = batch_end_submits;
	start(fixture);
	kick(fixture);
	join(fixture);
	assert_int_equal(fixture->finished, 200);
}

static void finished_submits(struct fixture *fixture, struct call *call)
{
	assert_int_equal(call->base.result, 16);
	if (fixture->chain < 500)
		submit(fixture, fixture->chain++, FILE_CALL_WRITE);
}

static void submit_one(struct fixture *fixture)
{
	submit(fixture, fixture->chain++, FILE_CALL_WRITE);
}

static void engine_stopped_finishes_what_is_in_flight(void **state)
{
	struct fixture *fixture = *state;

	fixture->on_ring = submit_one;
	fixture->on_finished = finished_submits;
	start(fixture);
	kick(fixture);
	while (!atomic_load(&fixture->rings))
		usleep(1000);
	engine_stop(fixture->engine);
	join(fixture);
	assert_int_equal(fixture->finished, 500);
}

/* Writes that are done at once, one after the other without end, keep nobody from being heard. */
static void submit_page(struct fixture *fixture)
{
	static uint8_t page[4096];
	struct call *call = &fixture->calls[0];

	submit(fixture, 0, FILE_CALL_WRITE);
	call->iov = (struct iovec){ page, sizeof(page) };
}

static void page_submits(struct fixture *fixture, struct call *call)
{
	assert_int_equal(call->base.result, 4096);
	if (++fixture->chain == 10)
		kick(fixture);
	if (atomic_load(&fixture->rings) < 2 && fixture->chain < 20000)
		submit_page(fixture);
	else
		engine_stop(fixture->engine);
}

static void first_ring_submits_page(struct fixture *fixture)
{
	if (atomic_load(&fixture->rings) == 1)
		submit_page(fixture);
}

static void engine_kept_busy_hears_rings(void **state)
{
	struct fixture *fixture = *state;

	fixture->on_ring = first_ring_submits_page;
	fixture->on_finished = page_submits;
	start(fixture);
	kick(fixture);
	join(fixture);
	assert_in_range(fixture->chain, 10, 1000);
}

static void engine_stopped_starts_again(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned i = 1; i <= 20; i++) {
		unsigned before = fixture->rings;

		start(fixture);
		kick(fixture);
		while (atomic_load(&fixture->rings) == before)
			usleep(100);
		engine_stop(fixture->engine);
		join(fixture);
	}
}

static void engine_rung_before_start_hears_it(void **state)
{
	struct fixture *fixture = *state;

	kick(fixture);
	start(fixture);
	while (!atomic_load(&fixture->rings))
		usleep(1000);
	engine_stop(fixture->engine);
	join(fixture);
}

/* Every kick is heard while it runs: each time only after the one before was. */
static void engine_rung_often_hears_each(void **state)
{
	struct fixture *fixture = *state;

	start(fixture);
	for (unsigned i = 0; i < 2000; i++) {
		unsigned before = atomic_load(&fixture->rings);

		kick(fixture);
		while (atomic_load(&fixture->rings) == before)
			sched_yield();
	}
	engine_stop(fixture->engine);
	join(fixture);
}

static void engine_watches_at_most_64(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned i = 1; i < 64; i++)
		assert_int_equal(engine_watch(fixture->engine, fixture->kick_fd, ring, fixture), 0);
	assert_int_equal(engine_watch(fixture->engine, fixture->kick_fd, ring, fixture), -ENOSPC);
}

struct poster {
	struct fixture *fixture;
	pthread_t thread;
	unsigned first;
};

struct post {
	struct block_call call;
	unsigned *ran;
};

static struct post posts[4][1000];

static void post_runs(struct block_call *call)
{
	(*container_of(call, struct post, call)->ran)++;
}

static void *post_many(void *opaque)
{
	struct poster *poster = opaque;

	for (unsigned i = 0; i < 1000; i++)
		engine_post(poster->fixture->engine, &posts[poster->first][i].call);
	return NULL;
}

static void engine_posted_by_threads_runs_each_once(void **state)
{
	struct fixture *fixture = *state;
	struct poster posters[4];
	unsigned ran = 0; /* the engine's thread */

	start(fixture);
	for (unsigned i = 0; i < 4; i++) {
		for (unsigned j = 0; j < 1000; j++)
			posts[i][j] = (struct post){ { post_runs, NULL }, &ran };
		posters[i] = (struct poster){ fixture, 0, i };
		pthread_create(&posters[i].thread, NULL, post_many, &posters[i]);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(posters[i].thread, NULL);
	engine_stop(fixture->engine);
	join(fixture);
	assert_int_equal(ran, 4000);
}

/* Makes io_uring_setup fail in this process from now on, as containers do. */
static void forbid_io_uring(int errnum)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)errnum),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { array_size(code), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(2);
}

static void engine_uring_forbidden_takes_threads(void **state)
{
	static const int errnums[] = { EPERM, ENOSYS, ENOMEM };

	(void)state;
	unsetenv("VMGUI_BLOCK_ENGINE");
	for (size_t i = 0; i < array_size(errnums); i++) {
		int status;
		pid_t child = fork();

		if (!child) {
			struct engine *engine;
			struct error err;

			forbid_io_uring(errnums[i]);
			if (engine_create(ENGINE_URING, &engine, &err) != -errnums[i])
				_exit(3);
			if (engine_create(ENGINE_ANY, &engine, &err))
				_exit(4);
			_exit(strcmp(engine_name(engine), "threads") ? 5 : 0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
}

static void engine_unknown_name_refused(void **state)
{
	struct engine *engine;
	struct error err;

	(void)state;
	setenv("VMGUI_BLOCK_ENGINE", "steam", 1);
	assert_int_equal(engine_create(ENGINE_ANY, &engine, &err), -EINVAL);
	assert_non_null(strstr(err.text, "steam"));
	unsetenv("VMGUI_BLOCK_ENGINE");
}

#define both(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		both(engine_flooded_loses_nothing),
		both(engine_each_kind_gives_its_result),
		both(engine_failed_call_gives_errno),
		both(engine_batch_end_may_submit),
		both(engine_stopped_finishes_what_is_in_flight),
		both(engine_kept_busy_hears_rings),
		both(engine_stopped_starts_again),
		both(engine_rung_before_start_hears_it),
		both(engine_rung_often_hears_each),
		both(engine_watches_at_most_64),
		both(engine_posted_by_threads_runs_each_once),
	};
	const struct CMUnitTest choice[] = {
		cmocka_unit_test(engine_uring_forbidden_takes_threads),
		cmocka_unit_test(engine_unknown_name_refused),
	};
	struct engine *engine;
	int failed;

	kind = ENGINE_THREADS;
	failed = cmocka_run_group_tests_name("threads", tests, NULL, NULL);
	kind = ENGINE_URING;
	if (engine_create(kind, &engine, NULL)) {
		puts("skipped: io_uring is not to be had here");
	} else {
		engine_destroy(engine);
		failed += cmocka_run_group_tests_name("io_uring", tests, NULL, NULL);
	}
	return failed + cmocka_run_group_tests_name("choice", choice, NULL, NULL);
}
