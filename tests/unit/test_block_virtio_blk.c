/* virtio-blk on real disks: a raw image, the disk's own thread, both engines; what the device's own
 * tests do with a fake disk is not repeated here. */
#include "cmocka_all.h"

#include <fcntl.h>

#include "blk_driver.h"
#include "block/disk.h"

#define DISK_BYTES    MIB(4)
#define ALL_FEATURES  (~UINT64_C(0))
#define WITHOUT_FLUSH (ALL_FEATURES & ~VIRTIO_FEATURE(BLK_F_FLUSH))
#define FIRST_GPA     MIB(1) /* buffers; rings lie below */

struct fixture {
	struct blk_driver d;
	char path[64];
	uint8_t *model; /* what the disk is to hold */
	uint32_t random;
};

static uint32_t next_random(struct fixture *f)
{
	f->random = f->random * 1664525 + 1013904223;
	return f->random >> 8;
}

static int setup_engine(void **state, const char *engine)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct block_options options = { .path = f->path, .format = BLOCK_FORMAT_RAW };
	struct block_disk *disk;
	struct error err = { "" };
	int fd;

	strcpy(f->path, "/tmp/vmgui-test-blk-XXXXXX");
	fd = mkstemp(f->path);
	if (fd < 0 || ftruncate(fd, (off_t)DISK_BYTES))
		abort();
	close(fd);
	f->model = calloc(1, DISK_BYTES);
	f->random = 1;
	setenv("VMGUI_BLOCK_ENGINE", engine, 1);
	if (block_open(&options, &disk, &err)) {
		print_message("%s: %s\n", engine, err.text);
		unlink(f->path);
		free(f->model);
		free(f);
		*state = NULL;
		return 0;
	}
	blk_driver_init(&f->d, MIB(1));
	f->d.disk->base.ops->destroy(&f->d.disk->base);
	f->d.disk = NULL;
	f->d.config.disk = disk;
	blk_driver_create(&f->d, 2);
	*state = f;
	return 0;
}

static int setup_uring(void **state)
{
	return setup_engine(state, "uring");
}

static int setup_threads(void **state)
{
	return setup_engine(state, "threads");
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	if (!f)
		return 0;
	blk_driver_fini(&f->d);
	unlink(f->path);
	free(f->model);
	free(f);
	return 0;
}

static void begin(struct fixture *f, uint64_t features)
{
	f->d.virtio.next_gpa = PAGE_BYTES;
	blk_driver_begin(&f->d, features);
}

/* Reads and writes of any size and place that do not meet, a few in flight at once. */
static void one_batch(struct fixture *f, unsigned queue)
{
	struct blk_io io[4];
	bool write[4], seen[4] = { false };
	uint64_t sector[4];

	f->d.virtio.next_gpa = FIRST_GPA;
	for (unsigned i = 0; i < 4; i++) {
		uint32_t bytes = (1 + next_random(f) % 64) * 512;
		write[i] = next_random(f) % 2;
		sector[i] = i * 2048 + next_random(f) % 1984;
		io[i] = blk_add(&f->d, queue, write[i] ? BLK_OUT : BLK_IN, sector[i], bytes);
		if (write[i])
			memcpy(f->model + sector[i] * 512, blk_at(&f->d, io[i].data_gpa, bytes),
				bytes);
	}
	fake_queue_kick(&f->d.queues[queue]);
	for (unsigned n = 0; n < 4; n++) {
		uint32_t head, written;
		fake_queue_wait(&f->d.queues[queue], &head, &written);
		for (unsigned i = 0; i < 4; i++) {
			if (io[i].head != head)
				continue;
			assert_false(seen[i]);
			seen[i] = true;
			assert_int_equal(blk_status(&f->d, &io[i]), BLK_OK);
			assert_int_equal(written, write[i] ? 1 : io[i].bytes + 1);
			assert_memory_equal(blk_at(&f->d, io[i].data_gpa, io[i].bytes),
				f->model + sector[i] * 512, io[i].bytes);
		}
	}
	assert_true(seen[0] && seen[1] && seen[2] && seen[3]);
}

static void expect_file(struct fixture *f)
{
	uint8_t *bytes = malloc(DISK_BYTES);
	int fd = open(f->path, O_RDONLY);
	assert_int_equal(read(fd, bytes, DISK_BYTES), DISK_BYTES);
	assert_memory_equal(bytes, f->model, DISK_BYTES);
	close(fd);
	free(bytes);
}

static void data_is_where_it_was_put(void **state)
{
	struct fixture *f = *state;
	if (!f)
		skip();
	for (unsigned round = 0; round < 4; round++) {
		begin(f, round % 2 ? WITHOUT_FLUSH : ALL_FEATURES);
		for (unsigned i = 0; i < 50; i++)
			one_batch(f, i % 2);
		fake_virtio_reset(&f->d.virtio);
	}
	expect_file(f);
}

/* I/O is under way when the driver resets the device: it has stopped when the reset is complete. */
static void reset_ends_what_is_in_flight(void **state)
{
	struct fixture *f = *state;
	if (!f)
		skip();
	for (unsigned round = 0; round < 60; round++) {
		begin(f, round % 2 ? WITHOUT_FLUSH : ALL_FEATURES);
		f->d.virtio.next_gpa = FIRST_GPA;
		for (unsigned i = 0; i < 8; i++) {
			blk_add(&f->d, i % 2, i % 3 ? BLK_IN : BLK_OUT, i * 64, 32768);
			fake_queue_kick(&f->d.queues[i % 2]);
		}
		if (round % 3)
			usleep(next_random(f) % 300);
		fake_virtio_reset(&f->d.virtio);
		uint64_t bytes = f->d.virtio.next_gpa - FIRST_GPA;
		uint8_t *memory = blk_at(&f->d, FIRST_GPA, bytes);
		memset(memory, 0xcc, bytes);
		usleep(200);
		for (uint64_t i = 0; i < bytes; i += 61)
			assert_int_equal(memory[i], 0xcc);
	}
}

static void zeroes_and_discards_reach_the_image(void **state)
{
	struct fixture *f = *state;
	const struct blk_range ranges[] = { { 8, 120, 0 }, { 1024, 8, 1 }, { 4096, 512, 0 } };
	const struct blk_range discard = { 6144, 2048, 0 };
	uint32_t head, written;
	struct blk_io io;

	if (!f)
		skip();
	begin(f, ALL_FEATURES);
	for (unsigned i = 0; i < 20; i++)
		one_batch(f, 0);
	f->d.virtio.next_gpa = FIRST_GPA;
	io = blk_add_ranges(&f->d, BLK_ZEROES, ranges, sizeof(ranges));
	fake_queue_kick(&f->d.queues[0]);
	fake_queue_wait(&f->d.queues[0], &head, &written);
	assert_int_equal(blk_status(&f->d, &io), BLK_OK);
	for (unsigned i = 0; i < array_size(ranges); i++)
		memset(f->model + ranges[i].sector * 512, 0, ranges[i].count * 512);
	io = blk_add(&f->d, 0, BLK_FLUSH, 0, 0);
	fake_queue_kick(&f->d.queues[0]);
	fake_queue_wait(&f->d.queues[0], &head, &written);
	assert_int_equal(blk_status(&f->d, &io), BLK_OK);
	expect_file(f);
	io = blk_add_ranges(&f->d, BLK_DISCARD, &discard, sizeof(discard));
	fake_queue_kick(&f->d.queues[0]);
	fake_queue_wait(&f->d.queues[0], &head, &written);
	assert_true(blk_status(&f->d, &io) == BLK_OK || blk_status(&f->d, &io) == BLK_UNSUPP);
}

int main(void)
{
#define both(test)                                                                                 \
	cmocka_unit_test_setup_teardown(test, setup_uring, teardown),                              \
		cmocka_unit_test_setup_teardown(test, setup_threads, teardown)
	const struct CMUnitTest tests[] = {
		both(data_is_where_it_was_put),
		both(reset_ends_what_is_in_flight),
		both(zeroes_and_discards_reach_the_image),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
