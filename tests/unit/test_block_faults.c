/* Every system call that a raw disk makes is made to fail in turn, on both engines and both ways of
 * caching: nothing hangs, nothing ends the process, and what is said to have succeeded has. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/disk.h"
#include "block/engine.h"
#include "cmocka_all.h"
#include "host_files.h"

#define PARTS      4
#define PART_BYTES UINT64_C(16384)
#define DISK_BYTES (PARTS * PART_BYTES)

/* The fault: call number `at` (from 1), and the later ones too if `forever`. */
static atomic_uint calls, strikes;
static unsigned strike_at;
static int64_t strike_with;
static bool strike_forever;

static int64_t fault(const struct file_call *call)
{
	unsigned number = ++calls;

	if (!strike_at || (number != strike_at && !(strike_forever && number > strike_at)))
		return 0;
	if (strike_with > 0 && call->kind != FILE_CALL_READ && call->kind != FILE_CALL_WRITE)
		return 0;
	strikes++;
	return strike_with;
}

struct guest {
	struct block_disk *disk;
	struct block_call call;
	struct block_request requests[PARTS];
	struct iovec iov[PARTS][2];
	uint8_t *buffer; /* DISK_BYTES */
	unsigned left;   /* the disk's thread's */
	sem_t all_done;
	char path[64];
};

static struct guest *running;

static void request_done(struct block_request *request)
{
	assert_true(request >= running->requests && request < running->requests + PARTS);
	if (!--running->left)
		sem_post(&running->all_done);
}

static void submit_all(struct block_call *call)
{
	struct guest *guest = container_of(call, struct guest, call);

	for (unsigned i = 0; i < PARTS; i++)
		guest->disk->ops->submit(guest->disk, &guest->requests[i]);
}

/* The operation on each part of the disk at once. False: it hung. */
static bool perform(struct guest *guest, enum block_operation operation)
{
	struct timespec deadline;

	for (unsigned i = 0; i < PARTS; i++) {
		struct block_request *request = &guest->requests[i];

		request->operation = operation;
		request->offset_bytes = operation == BLOCK_FLUSH ? 0 : i * PART_BYTES;
		request->length_bytes = operation == BLOCK_FLUSH ? 0 : PART_BYTES;
		request->iov = guest->iov[i];
		request->iov_count = 2;
		request->may_unmap = i & 1;
		request->result = 1;
		request->done = request_done;
	}
	guest->left = PARTS;
	guest->call.function = submit_all;
	guest->disk->ops->post(guest->disk, &guest->call);
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += 60;
	return sem_timedwait(&guest->all_done, &deadline) == 0;
}

static void set_up(struct guest *guest, enum block_cache cache)
{
	struct block_options options = { .path = guest->path, .cache = cache };
	struct error err = { "" };
	int fd;

	memset(guest, 0, sizeof(*guest));
	running = guest;
	strcpy(guest->path, "/var/tmp/vmgui-faults-XXXXXX");
	fd = mkstemp(guest->path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)DISK_BYTES), 0);
	close(fd);
	if (block_open(&options, &guest->disk, &err))
		fail_msg("%s", err.text);
	assert_int_equal(posix_memalign((void **)&guest->buffer, 4096, DISK_BYTES), 0);
	for (unsigned i = 0; i < PARTS; i++) {
		uint8_t *part = guest->buffer + i * PART_BYTES;

		guest->requests[i].scratch = malloc(guest->disk->scratch_bytes);
		guest->iov[i][0] = (struct iovec){ part, 512 };
		guest->iov[i][1] = (struct iovec){ part + 512, PART_BYTES - 512 };
	}
	sem_init(&guest->all_done, 0, 0);
	assert_int_equal(guest->disk->ops->start(guest->disk, "disk-test", NULL), 0);
}

static void tear_down(struct guest *guest)
{
	guest->disk->ops->stop(guest->disk);
	guest->disk->ops->destroy(guest->disk);
	for (unsigned i = 0; i < PARTS; i++)
		free(guest->requests[i].scratch);
	free(guest->buffer);
	sem_destroy(&guest->all_done);
	unlink(guest->path);
}

/* What each part of the disk may read as. */
struct expectation {
	uint8_t before, after;
	bool either; /* a failed write may have written some of it */
};

static bool is_expected(const uint8_t *part, const struct expectation *expected)
{
	for (uint64_t i = 0; i < PART_BYTES; i++) {
		if (part[i] != expected->after &&
			!(expected->either && part[i] == expected->before))
			return false;
	}
	return true;
}

/* All is written, flushed and read, then all zeroed, flushed and read; the fault somewhere. How
 * many calls there were. */
static unsigned scenario(enum block_cache cache)
{
	struct expectation expected[PARTS] = { { 0 } };
	bool flush_failed = false;
	struct guest guest;
	unsigned made;

	calls = strikes = 0;
	set_up(&guest, cache);
	for (unsigned round = 1; round <= 2; round++) {
		uint8_t value = round % 2 ? (uint8_t)round : 0;

		memset(guest.buffer, value, DISK_BYTES);
		assert_true(perform(&guest, value ? BLOCK_WRITE : BLOCK_WRITE_ZEROES));
		for (unsigned i = 0; i < PARTS; i++) {
			int result = guest.requests[i].result;

			assert_true(result <= 0);
			expected[i].either = result < 0;
			if (result)
				assert_true(result == -EIO || result == -ENOSPC);
			expected[i].before = expected[i].after;
			expected[i].after = value;
		}
		assert_true(perform(&guest, BLOCK_FLUSH));
		for (unsigned i = 0; i < PARTS; i++) {
			int result = guest.requests[i].result;

			assert_true(result == 0 || result == -EIO);
			/* Once failed, always failed. */
			if (flush_failed)
				assert_int_equal(result, -EIO);
		}
		flush_failed |= guest.requests[PARTS - 1].result != 0;
		memset(guest.buffer, 0xee, DISK_BYTES);
		assert_true(perform(&guest, BLOCK_READ));
		for (unsigned i = 0; i < PARTS; i++) {
			if (guest.requests[i].result) {
				assert_true(guest.requests[i].result == -EIO ||
					    guest.requests[i].result == -ENOSPC);
				continue;
			}
			assert_true(is_expected(guest.buffer + i * PART_BYTES, &expected[i]));
		}
		if (strikes && !strike_forever) {
			/* The fault is over: everything works again but flushes that failed. */
			memset(guest.buffer, value, DISK_BYTES);
			assert_true(perform(&guest, BLOCK_WRITE));
			for (unsigned i = 0; i < PARTS; i++)
				assert_int_equal(guest.requests[i].result, 0);
			for (unsigned i = 0; i < PARTS; i++)
				expected[i].either = false;
		} else if (strikes) {
			break;
		}
	}
	made = calls;
	tear_down(&guest);
	return made;
}

static bool has_direct;

static void sweep(int64_t with, bool forever)
{
	for (int cache = BLOCK_CACHE_WRITEBACK; cache <= BLOCK_CACHE_DIRECT; cache++) {
		unsigned number;

		if (cache == BLOCK_CACHE_DIRECT && !has_direct)
			continue;
		strike_at = 0;
		number = scenario((enum block_cache)cache);
		assert_true(number >= 4 * PARTS);
		strike_with = with;
		strike_forever = forever;
		/* Calls run in any order, so a fault may strike somewhere else the next time; all
		 * places are struck all the same. */
		for (strike_at = 1; strike_at <= number; strike_at++)
			scenario((enum block_cache)cache);
	}
	strike_at = 0;
}

static void faults_eio_is_told(void **state)
{
	(void)state;
	sweep(-EIO, false);
}

static void faults_lasting_eio_is_told(void **state)
{
	(void)state;
	sweep(-EIO, true);
}

static void faults_enospc_is_told(void **state)
{
	(void)state;
	sweep(-ENOSPC, false);
}

static void faults_eintr_is_repeated(void **state)
{
	(void)state;
	sweep(-EINTR, false);
}

static void faults_eagain_is_repeated(void **state)
{
	(void)state;
	sweep(-EAGAIN, false);
}

static void faults_short_count_is_continued(void **state)
{
	(void)state;
	sweep(1, false);
	sweep(511, false);
	sweep(512, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_eio_is_told),
		cmocka_unit_test(faults_lasting_eio_is_told),
		cmocka_unit_test(faults_enospc_is_told),
		cmocka_unit_test(faults_eintr_is_repeated),
		cmocka_unit_test(faults_eagain_is_repeated),
		cmocka_unit_test(faults_short_count_is_continued),
	};
	int failed;

	has_direct = host_has_direct_io("/var/tmp");
	engine_fault = fault;
	setenv("VMGUI_BLOCK_ENGINE", "threads", 1);
	failed = cmocka_run_group_tests_name("threads", tests, NULL, NULL);
	if (!host_has_uring())
		return failed;
	setenv("VMGUI_BLOCK_ENGINE", "uring", 1);
	return failed + cmocka_run_group_tests_name("io_uring", tests, NULL, NULL);
}
