/* struct block_disk over a raw image: the thread, kicks, batches, flush groups, resizing, stopping;
 * each on both engines. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "block/disk.h"
#include "block/disk_internal.h"
#include "cmocka_all.h"
#include "host_files.h"

#define DISK_BYTES MIB(4)
#define DEPTH      48

/* A guest in small: a kick makes the disk's thread start `wanted` requests, batch_end tells. */
struct slot {
	struct block_request request;
	struct iovec iov;
	uint8_t *buffer;
	struct guest *guest;
};

struct guest {
	struct block_disk *disk;
	int kick_fd, done_fd;
	struct slot slots[DEPTH];
	atomic_uint wanted;
	/* The disk's thread's while it runs. */
	unsigned finished, published, batches, resized;
	char path[64];
	struct block_call call;
	unsigned calls;
};

static void request_done(struct block_request *request)
{
	struct slot *slot = container_of(request, struct slot, request);

	slot->guest->finished++;
}

static void rang(void *opaque)
{
	struct guest *guest = opaque;
	unsigned wanted = atomic_exchange(&guest->wanted, 0);

	for (unsigned i = 0; i < wanted; i++)
		guest->disk->ops->submit(guest->disk, &guest->slots[i].request);
}

static void batch_end(void *opaque)
{
	struct guest *guest = opaque;
	uint64_t news = guest->finished - guest->published;

	guest->batches++;
	if (!news)
		return;
	guest->published = guest->finished;
	assert_int_equal(write(guest->done_fd, &news, sizeof(news)), sizeof(news));
}

static void resized(void *opaque)
{
	struct guest *guest = opaque;
	uint64_t one = 1;

	guest->resized++;
	assert_int_equal(write(guest->done_fd, &one, sizeof(one)), sizeof(one));
}

static void set_up(struct guest *guest)
{
	struct block_options options = { .path = guest->path };
	struct error err = { "" };
	int fd;

	memset(guest, 0, sizeof(*guest));
	strcpy(guest->path, "/tmp/vmgui-disk-XXXXXX");
	fd = mkstemp(guest->path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)DISK_BYTES), 0);
	close(fd);
	if (block_open(&options, &guest->disk, &err))
		fail_msg("%s", err.text);
	guest->kick_fd = eventfd(0, EFD_CLOEXEC);
	guest->done_fd = eventfd(0, EFD_CLOEXEC);
	for (unsigned i = 0; i < DEPTH; i++) {
		struct slot *slot = &guest->slots[i];

		slot->guest = guest;
		slot->buffer = calloc(1, 4096);
		slot->request.scratch = calloc(1, guest->disk->scratch_bytes);
		slot->iov = (struct iovec){ slot->buffer, 4096 };
		slot->request.iov = &slot->iov;
		slot->request.iov_count = 1;
		slot->request.length_bytes = 4096;
		slot->request.offset_bytes = i * UINT64_C(8192);
		slot->request.done = request_done;
	}
	assert_int_equal(guest->disk->ops->watch(guest->disk, guest->kick_fd, rang, guest), 0);
	guest->disk->ops->set_batch_end(guest->disk, batch_end, guest);
	guest->disk->ops->set_resized(guest->disk, resized, guest);
	assert_int_equal(guest->disk->ops->start(guest->disk, "disk-test", &err), 0);
}

static void tear_down(struct guest *guest)
{
	guest->disk->ops->stop(guest->disk);
	guest->disk->ops->destroy(guest->disk);
	for (unsigned i = 0; i < DEPTH; i++) {
		free(guest->slots[i].buffer);
		free(guest->slots[i].request.scratch);
	}
	close(guest->kick_fd);
	close(guest->done_fd);
	unlink(guest->path);
}

static void kick(struct guest *guest)
{
	uint64_t one = 1;

	assert_int_equal(write(guest->kick_fd, &one, sizeof(one)), sizeof(one));
}

static void wait_for(struct guest *guest, unsigned count)
{
	uint64_t sum = 0, news;

	while (sum < count) {
		assert_int_equal(read(guest->done_fd, &news, sizeof(news)), sizeof(news));
		sum += news;
	}
}

/* All requests of that kind at once. */
static void run_all(struct guest *guest, enum block_operation operation, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		guest->slots[i].request.operation = operation;
		guest->slots[i].request.result = 1;
	}
	guest->wanted = count;
	kick(guest);
	wait_for(guest, count);
}

static void disk_written_reads_back(void **state)
{
	struct guest guest;

	(void)state;
	set_up(&guest);
	assert_int_equal(guest.disk->size_bytes, DISK_BYTES);
	assert_int_equal(guest.disk->block_bytes, 512);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < DEPTH; i++)
			memset(guest.slots[i].buffer, (int)(i + round), 4096);
		run_all(&guest, BLOCK_WRITE, DEPTH);
		for (unsigned i = 0; i < DEPTH; i++) {
			assert_int_equal(guest.slots[i].request.result, 0);
			memset(guest.slots[i].buffer, 0xee, 4096);
		}
		run_all(&guest, BLOCK_FLUSH, 3);
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(guest.slots[i].request.result, 0);
		run_all(&guest, BLOCK_READ, DEPTH);
		for (unsigned i = 0; i < DEPTH; i++) {
			assert_int_equal(guest.slots[i].request.result, 0);
			assert_int_equal(guest.slots[i].buffer[4095], i + round);
		}
	}
	tear_down(&guest);
}

static void disk_out_of_range_fails(void **state)
{
	struct guest guest;

	(void)state;
	set_up(&guest);
	guest.slots[0].request.offset_bytes = DISK_BYTES - 512;
	guest.slots[1].request.offset_bytes = UINT64_MAX - 511;
	guest.slots[2].request.offset_bytes = 100;
	run_all(&guest, BLOCK_WRITE, 4);
	assert_int_equal(guest.slots[0].request.result, -EIO);
	assert_int_equal(guest.slots[1].request.result, -EIO);
	assert_int_equal(guest.slots[2].request.result, -EINVAL);
	assert_int_equal(guest.slots[3].request.result, 0);
	tear_down(&guest);
}

static void disk_zeroed_and_discarded_reads_zero(void **state)
{
	struct guest guest;

	(void)state;
	set_up(&guest);
	for (unsigned i = 0; i < DEPTH; i++)
		memset(guest.slots[i].buffer, 0xaa, 4096);
	run_all(&guest, BLOCK_WRITE, DEPTH);
	for (unsigned i = 0; i < DEPTH; i++)
		guest.slots[i].request.may_unmap = i & 1;
	run_all(&guest, BLOCK_WRITE_ZEROES, DEPTH / 2);
	for (unsigned i = 0; i < DEPTH / 2; i++)
		assert_int_equal(guest.slots[i].request.result, 0);
	run_all(&guest, BLOCK_READ, DEPTH);
	for (unsigned i = 0; i < DEPTH; i++)
		assert_int_equal(guest.slots[i].buffer[77], i < DEPTH / 2 ? 0 : 0xaa);
	run_all(&guest, BLOCK_DISCARD, DEPTH);
	for (unsigned i = 0; i < DEPTH; i++)
		assert_int_equal(guest.slots[i].request.result, 0);
	tear_down(&guest);
}

static void disk_grown_tells(void **state)
{
	struct guest guest;

	(void)state;
	set_up(&guest);
	assert_int_equal(truncate(guest.path, (off_t)MIB(8)), 0);
	for (unsigned i = 0; i < 600 && guest.disk->size_bytes == DISK_BYTES; i++) {
		run_all(&guest, BLOCK_READ, 1);
		usleep(100 * 1000);
	}
	assert_int_equal(guest.disk->size_bytes, MIB(8));
	guest.disk->ops->stop(guest.disk);
	assert_int_equal(guest.resized, 1);
	assert_int_equal(truncate(guest.path, (off_t)MIB(16)), 0);
	assert_int_equal(guest.disk->ops->start(guest.disk, "disk-test", NULL), 0);
	for (unsigned i = 0; i < 6000 && guest.disk->size_bytes != MIB(16); i++)
		usleep(10 * 1000);
	assert_int_equal(guest.disk->size_bytes, MIB(16));
	tear_down(&guest);
}

static void disk_stopped_with_io_finishes_it(void **state)
{
	struct guest guest;

	(void)state;
	set_up(&guest);
	for (unsigned round = 0; round < 50; round++) {
		struct error err;
		unsigned before = guest.finished;

		for (unsigned i = 0; i < DEPTH; i++)
			guest.slots[i].request.operation = i % 7 == 6 ? BLOCK_FLUSH : BLOCK_WRITE;
		guest.wanted = DEPTH;
		kick(&guest);
		guest.disk->ops->stop(guest.disk);
		if (!guest.wanted)
			assert_int_equal(guest.finished, before + DEPTH);
		else
			assert_int_equal(guest.finished, before);
		guest.wanted = 0;
		assert_int_equal(guest.disk->ops->start(guest.disk, "disk-test", &err), 0);
	}
	tear_down(&guest);
}

static void posted(struct block_call *call)
{
	struct guest *guest = container_of(call, struct guest, call);
	uint64_t one = 1;

	guest->calls++;
	assert_int_equal(write(guest->done_fd, &one, sizeof(one)), sizeof(one));
}

static void disk_posted_runs(void **state)
{
	struct guest guest;

	(void)state;
	set_up(&guest);
	guest.call.function = posted;
	for (unsigned i = 1; i <= 1000; i++) {
		guest.disk->ops->post(guest.disk, &guest.call);
		wait_for(&guest, 1);
		assert_int_equal(guest.calls, i);
	}
	tear_down(&guest);
}

static void disk_watched_too_often_refuses(void **state)
{
	struct guest guest;
	int ret = 0;

	(void)state;
	set_up(&guest);
	guest.disk->ops->stop(guest.disk);
	for (unsigned i = 1; i <= 64; i++)
		ret = guest.disk->ops->watch(guest.disk, guest.kick_fd, rang, &guest);
	assert_int_equal(ret, -ENOSPC);
	tear_down(&guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(disk_written_reads_back),
		cmocka_unit_test(disk_out_of_range_fails),
		cmocka_unit_test(disk_zeroed_and_discarded_reads_zero),
		cmocka_unit_test(disk_grown_tells),
		cmocka_unit_test(disk_stopped_with_io_finishes_it),
		cmocka_unit_test(disk_posted_runs),
		cmocka_unit_test(disk_watched_too_often_refuses),
	};
	int failed;

	setenv("VMGUI_BLOCK_ENGINE", "threads", 1);
	failed = cmocka_run_group_tests_name("threads", tests, NULL, NULL);
	if (!host_has_uring())
		return failed;
	setenv("VMGUI_BLOCK_ENGINE", "uring", 1);
	return failed + cmocka_run_group_tests_name("uring", tests, NULL, NULL);
}
