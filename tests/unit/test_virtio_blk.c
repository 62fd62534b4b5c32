/* virtio-blk's features, configuration space and requests (VIRTIO 1.2, 5.2.3 to 5.2.6); what goes
 * on over time is in test_virtio_blk_life.c. */
#include "cmocka_all.h"

#include "blk_driver.h"
#include "count_accesses.h"

#define CAPACITY_SECTORS 2048u
#define ALL_FEATURES     (~UINT64_C(0) & ~VIRTIO_FEATURE(BLK_F_EVENT_IDX))

static int setup_disk(void **state)
{
	struct blk_driver *d = calloc(1, sizeof(*d));
	blk_driver_init(d, CAPACITY_SECTORS * 512);
	d->disk->automatic = true;
	*state = d;
	return 0;
}

static int setup(void **state)
{
	setup_disk(state);
	blk_driver_create(*state, 1);
	blk_driver_begin(*state, ALL_FEATURES);
	fake_disk_run(((struct blk_driver *)*state)->disk);
	return 0;
}

static int teardown(void **state)
{
	blk_driver_fini(*state);
	free(*state);
	return 0;
}

static uint64_t config(struct blk_driver *d, unsigned offset, unsigned width)
{
	return fake_virtio_read_config(&d->virtio, offset, width);
}

/* One request from begin to end: its status, and how much is said to have been written. */
static void expect_answer(
	struct blk_driver *d, const struct blk_io *io, uint8_t status, uint32_t written)
{
	uint32_t told;

	blk_run(d, 0);
	assert_true(blk_used(d, 0, io, &told));
	assert_int_equal(blk_status(d, io), status);
	assert_int_equal(told, written);
	assert_false(blk_needs_reset(d));
}

static void expect_broken(struct blk_driver *d)
{
	unsigned before = blk_submitted(d);

	blk_run(d, 0);
	assert_true(blk_needs_reset(d));
	assert_int_equal(fake_queue_used_count(&d->queues[0]), 0);
	assert_int_equal(blk_submitted(d), before);
	/* And nothing more comes of this queue. */
	blk_add(d, 0, BLK_FLUSH, 0, 0);
	fake_queue_ring(&d->queues[0]);
	fake_disk_run(d->disk);
	assert_int_equal(blk_submitted(d), before);
}

/* ---- 5.2.3 and 5.2.4: features and configuration ---- */

static uint64_t offered(struct blk_driver *d, unsigned queues)
{
	blk_driver_create(d, queues);
	return fake_virtio_offered(&d->virtio) & 0xffffff;
}

#define ALWAYS_OFFERED 0x644u /* SEG_MAX, BLK_SIZE, FLUSH, TOPOLOGY */

static void features_writable_disk_offers_all(void **state)
{
	assert_int_equal(offered(*state, 2), ALWAYS_OFFERED | 1 << BLK_F_CONFIG_WCE |
						     1 << BLK_F_MQ | 1 << BLK_F_DISCARD |
						     1 << BLK_F_WRITE_ZEROES);
}

static void features_read_only_disk_offers_no_writes(void **state)
{
	struct blk_driver *d = *state;
	d->disk->base.read_only = true;
	assert_int_equal(offered(d, 1), ALWAYS_OFFERED | 1 << BLK_F_RO);
}

static void features_disk_without_discard_and_cache_offers_neither(void **state)
{
	struct blk_driver *d = *state;
	d->disk->base.discard_granularity_bytes = 0;
	d->disk->base.writeback = false;
	assert_int_equal(offered(d, 1), ALWAYS_OFFERED | 1 << BLK_F_WRITE_ZEROES);
	assert_int_equal(config(d, 36, 4), 0);
	assert_int_equal(config(d, 56, 1), 0);
}

static void config_every_field_has_its_value(void **state)
{
	struct blk_driver *d = *state;
	blk_driver_create(d, 3);
	assert_int_equal(config(d, 0, 8), CAPACITY_SECTORS);
	assert_int_equal(config(d, 0, 4), CAPACITY_SECTORS);
	assert_int_equal(config(d, 4, 4), 0);
	assert_int_equal(config(d, 8, 4), 0);                   /* size_max */
	assert_int_equal(config(d, 12, 4), BLK_QUEUE_SIZE - 2); /* seg_max */
	assert_int_equal(config(d, 16, 4), 0);                  /* geometry */
	assert_int_equal(config(d, 20, 4), 512);                /* blk_size */
	assert_int_equal(config(d, 24, 1), 3);                  /* 4096 of 512 bytes */
	assert_int_equal(config(d, 25, 1), 0);
	assert_int_equal(config(d, 26, 2), 8);
	assert_int_equal(config(d, 28, 4), 0);
	assert_int_equal(config(d, BLK_CONFIG_WRITEBACK, 1), 1);
	assert_int_equal(config(d, 33, 1), 0);
	assert_int_equal(config(d, 34, 2), 3); /* queues */
	assert_int_equal(config(d, 36, 4), 1 << 21);
	assert_int_equal(config(d, 40, 4), 16);
	assert_int_equal(config(d, 44, 4), 8);
	assert_int_equal(config(d, 48, 4), 1 << 19);
	assert_int_equal(config(d, 52, 4), 16);
	assert_int_equal(config(d, 56, 4), 1); /* may unmap, and padding */
}

static void config_outside_and_odd_accesses_read_zero(void **state)
{
	struct blk_driver *d = *state;
	blk_driver_create(d, 1);
	assert_int_equal(config(d, BLK_CONFIG_BYTES, 1), 0);
	assert_int_equal(config(d, BLK_CONFIG_BYTES - 2, 4), 0);
	assert_int_equal(config(d, 20, 3), 0);
	assert_int_equal(fake_virtio_read_config(&d->virtio, UINT64_MAX, 8), 0);
}

static void config_write_changes_the_cache_mode_only(void **state)
{
	struct blk_driver *d = *state;
	for (unsigned i = 0; i < 64; i++) {
		if (i != BLK_CONFIG_WRITEBACK)
			fake_virtio_write_config(&d->virtio, i, 1, 0xff);
	}
	fake_virtio_write_config(&d->virtio, BLK_CONFIG_WRITEBACK, 2, 0);
	assert_int_equal(config(d, 0, 8), CAPACITY_SECTORS);
	assert_int_equal(config(d, BLK_CONFIG_WRITEBACK, 1), 1);
	fake_virtio_write_config(&d->virtio, BLK_CONFIG_WRITEBACK, 1, 0);
	assert_int_equal(config(d, BLK_CONFIG_WRITEBACK, 1), 0);
	fake_virtio_write_config(&d->virtio, BLK_CONFIG_WRITEBACK, 1, 1);
	assert_int_equal(config(d, BLK_CONFIG_WRITEBACK, 1), 1);
}

static void config_cache_mode_unless_negotiated_stays(void **state)
{
	struct blk_driver *d = *state;
	blk_driver_create(d, 1);
	blk_driver_begin(d, ALL_FEATURES & ~VIRTIO_FEATURE(BLK_F_CONFIG_WCE));
	fake_virtio_write_config(&d->virtio, BLK_CONFIG_WRITEBACK, 1, 0);
	assert_int_equal(config(d, BLK_CONFIG_WRITEBACK, 1), 1);
}

/* 5.2.5.2: no FLUSH, no write-back. And a reset takes it back. */
static void config_without_flush_is_writethrough_until_reset(void **state)
{
	struct blk_driver *d = *state;
	blk_driver_create(d, 1);
	blk_driver_begin(d, ALL_FEATURES & ~VIRTIO_FEATURE(BLK_F_FLUSH));
	assert_int_equal(config(d, BLK_CONFIG_WRITEBACK, 1), 0);
	fake_virtio_add_status(&d->virtio, 0);
	fake_disk_run(d->disk);
	assert_int_equal(fake_virtio_status(&d->virtio), 0);
	assert_int_equal(config(d, BLK_CONFIG_WRITEBACK, 1), 1);
}

static void config_resize_shows_and_interrupts(void **state)
{
	struct blk_driver *d = *state;
	struct virtio_device *vdev = virtio_blk_vdev(d->device);
	unsigned generation = atomic_load(&vdev->config_generation);
	struct blk_io io = blk_add(d, 0, BLK_OUT, CAPACITY_SECTORS + 1, 512);
	expect_answer(d, &io, BLK_IOERR, 1);

	fake_disk_resize(d->disk, (CAPACITY_SECTORS + 2) * 512);
	assert_int_equal(config(d, 0, 8), CAPACITY_SECTORS + 2);
	assert_int_equal(atomic_load(&vdev->config_generation), generation + 1);
	assert_int_equal(d->virtio.config_interrupts, 1);
	io = blk_add(d, 0, BLK_OUT, CAPACITY_SECTORS + 1, 512);
	expect_answer(d, &io, BLK_OK, 1);
}

static void create_what_cannot_be_leaves_the_disk_alone(void **state)
{
	struct blk_driver *d = *state;
	bool destroyed = false;
	struct error err = { "" };

	d->disk->destroyed = &destroyed;
	d->disk->watch_limit = 1;
	d->config.queue_count = 2;
	assert_int_equal(virtio_blk_create(&d->config, &d->device, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "fake.img"));
	d->disk->watch_limit = FAKE_DISK_WATCHES;
	d->config.queue_count = VIRTIO_MAX_QUEUES + 1;
	assert_int_not_equal(virtio_blk_create(&d->config, &d->device, NULL), 0);
	assert_false(destroyed);
	assert_null(d->device);
}

/* ---- 5.2.6: requests ---- */

static void read_gets_what_is_there(void **state)
{
	struct blk_driver *d = *state;
	struct blk_io io = blk_add(d, 0, BLK_IN, 7, 1536);
	memset(d->disk->bytes + 7 * 512, 0xa7, 1536);
	expect_answer(d, &io, BLK_OK, 1537);
	assert_memory_equal(blk_at(d, io.data_gpa, 1536), d->disk->bytes + 7 * 512, 1536);
	assert_int_equal(d->virtio.queue_interrupts[0], 1);
}

static void write_puts_it_there(void **state)
{
	struct blk_driver *d = *state;
	struct blk_io io = blk_add(d, 0, BLK_OUT, CAPACITY_SECTORS - 4, 2048);
	expect_answer(d, &io, BLK_OK, 1);
	assert_memory_equal(
		blk_at(d, io.data_gpa, 2048), d->disk->bytes + (CAPACITY_SECTORS - 4) * 512, 2048);
}

static void transfer_of_nothing_is_fine(void **state)
{
	struct blk_driver *d = *state;
	struct blk_io io = blk_add(d, 0, BLK_IN, 3, 0);
	expect_answer(d, &io, BLK_OK, 1);
	io = blk_add(d, 0, BLK_OUT, CAPACITY_SECTORS, 0);
	expect_answer(d, &io, BLK_OK, 1);
	io = blk_add(d, 0, BLK_OUT, CAPACITY_SECTORS + 1, 0);
	expect_answer(d, &io, BLK_IOERR, 1);
	assert_int_equal(blk_submitted(d), 0);
}

/* 2.7.4: header, data and status may be cut into buffers anywhere. */
static void layout_any_cut_is_the_same_request(void **state)
{
	struct blk_driver *d = *state;
	for (unsigned cut = 1; cut < 16 + 512; cut += cut < 18 ? 1 : 93) {
		/* A write: one run of memory, readable, cut in two; the status apart. */
		const struct blk_header header = { BLK_OUT, 0, cut };
		uint64_t gpa = fake_virtio_alloc(&d->virtio, 16 + 512, 1);
		uint64_t status = fake_virtio_alloc(&d->virtio, 1, 1);
		const struct fake_buffer write[] = { { gpa, cut, false },
			{ gpa + cut, 16 + 512 - cut, false }, { status, 1, true } };
		struct blk_io io = { .status_gpa = status };
		memcpy(blk_at(d, gpa, 16), &header, 16);
		memset(blk_at(d, gpa + 16, 512), (int)cut + 1, 512);
		io.head = cut % 2 ? fake_queue_add(&d->queues[0], write, 3)
				  : fake_queue_add_indirect(&d->queues[0], write, 3);
		expect_answer(d, &io, BLK_OK, 1);
		assert_memory_equal(d->disk->bytes + cut * 512, blk_at(d, gpa + 16, 512), 512);
	}
	for (unsigned cut = 1; cut < 513; cut += 73) {
		/* A read: data and status are one run, cut in two; the header in three pieces. */
		const struct blk_header header = { BLK_IN, 0, cut };
		uint64_t gpa = fake_virtio_alloc(&d->virtio, 16, 1);
		uint64_t data = fake_virtio_alloc(&d->virtio, 513, 1);
		const struct fake_buffer read[] = { { gpa, 1, false }, { gpa + 1, 14, false },
			{ gpa + 15, 1, false }, { data, cut, true },
			{ data + cut, 513 - cut, true } };
		struct blk_io io = { .status_gpa = data + 512 };
		memcpy(blk_at(d, gpa, 16), &header, 16);
		memset(d->disk->bytes + cut * 512, (int)cut + 3, 512);
		*(uint8_t *)blk_at(d, data + 512, 1) = BLK_NO_ANSWER;
		io.head = fake_queue_add(&d->queues[0], read, 5);
		expect_answer(d, &io, BLK_OK, 513);
		assert_memory_equal(d->disk->bytes + cut * 512, blk_at(d, data, 512), 512);
	}
}

static void layout_header_missing_or_short_needs_reset(void **state)
{
	struct blk_driver *d = *state;
	struct blk_io io = blk_prepare(d, BLK_IN, 0, 512);
	const struct fake_buffer buffers[] = { { io.header_gpa, 15, false },
		{ io.data_gpa, 513, true } };
	fake_queue_add(&d->queues[0], buffers, 2);
	expect_broken(d);
	assert_int_equal(blk_status(d, &io), BLK_NO_ANSWER);
}

static void layout_no_readable_part_needs_reset(void **state)
{
	struct blk_driver *d = *state;
	struct blk_io io = blk_prepare(d, BLK_IN, 0, 512);
	const struct fake_buffer buffer = { io.data_gpa, 512, true };
	fake_queue_add(&d->queues[0], &buffer, 1);
	expect_broken(d);
}

static void layout_no_room_for_status_needs_reset(void **state)
{
	struct blk_driver *d = *state;
	struct blk_io io = blk_prepare(d, BLK_OUT, 0, 512);
	const struct fake_buffer buffers[] = { { io.header_gpa, 16, false },
		{ io.data_gpa, 512, false } };
	fake_queue_add(&d->queues[0], buffers, 2);
	expect_broken(d);
}

static void ring_broken_needs_reset(void **state)
{
	struct blk_driver *d = *state;
	fake_queue_offer(&d->queues[0], BLK_QUEUE_SIZE);
	expect_broken(d);
}

static void transfer_out_of_range_is_an_error(void **state)
{
	struct blk_driver *d = *state;
	const struct {
		uint64_t sector;
		uint32_t bytes;
	} wrong[] = {
		{ CAPACITY_SECTORS, 512 },
		{ CAPACITY_SECTORS - 1, 1024 },
		{ CAPACITY_SECTORS + 1, 512 },
		{ UINT64_MAX, 512 },
		{ UINT64_MAX, 1024 },
		{ UINT64_MAX / 512, 512 },
		{ UINT64_MAX / 512 + 1, 512 }, /* its offset wraps to 0 */
		{ UINT64_C(1) << 55, 512 },
		{ UINT64_C(1) << 63, 512 },
		{ 0, 511 },
		{ 0, 513 },
		{ 0, 1 },
	};
	for (unsigned i = 0; i < array_size(wrong); i++) {
		struct blk_io io = blk_add(d, 0, BLK_OUT, wrong[i].sector, wrong[i].bytes);
		expect_answer(d, &io, BLK_IOERR, 1);
		io = blk_add(d, 0, BLK_IN, wrong[i].sector, wrong[i].bytes);
		expect_answer(d, &io, BLK_IOERR, 0);
	}
	assert_int_equal(blk_submitted(d), 0);
}

static void transfer_of_half_a_large_block_is_an_error(void **state)
{
	struct blk_driver *d = *state;
	d->disk->base.block_bytes = 4096;
	blk_driver_create(d, 1);
	blk_driver_begin(d, ALL_FEATURES);
	assert_int_equal(config(d, 20, 4), 4096);
	assert_int_equal(config(d, 24, 1), 0);
	struct blk_io io = blk_add(d, 0, BLK_OUT, 4, 4096);
	expect_answer(d, &io, BLK_IOERR, 1);
	io = blk_add(d, 0, BLK_OUT, 8, 512);
	expect_answer(d, &io, BLK_IOERR, 1);
	io = blk_add(d, 0, BLK_OUT, 8, 4096);
	expect_answer(d, &io, BLK_OK, 1);
	const struct blk_range half = { 4, 8, 0 };
	io = blk_add_ranges(d, BLK_DISCARD, &half, sizeof(half));
	expect_answer(d, &io, BLK_IOERR, 1);
}

static void write_to_read_only_disk_is_an_error(void **state)
{
	struct blk_driver *d = *state;
	const struct blk_range range = { 0, 8, 0 };
	d->disk->base.read_only = true; /* the fake disk aborts if it gets to see one */
	blk_driver_create(d, 1);
	blk_driver_begin(d, ALL_FEATURES);
	struct blk_io io = blk_add(d, 0, BLK_OUT, 0, 512);
	expect_answer(d, &io, BLK_IOERR, 1);
	io = blk_add_ranges(d, BLK_DISCARD, &range, sizeof(range));
	expect_answer(d, &io, BLK_IOERR, 1);
	io = blk_add_ranges(d, BLK_ZEROES, &range, sizeof(range));
	expect_answer(d, &io, BLK_IOERR, 1);
	io = blk_add(d, 0, BLK_IN, 0, 512);
	expect_answer(d, &io, BLK_OK, 513);
	io = blk_add(d, 0, BLK_FLUSH, 0, 0);
	expect_answer(d, &io, BLK_OK, 1);
}

static void type_unknown_is_unsupported(void **state)
{
	struct blk_driver *d = *state;
	static const uint32_t types[] = { 2, 3, 5, 7, 10, 12, 14, 15, 0x80000000, 0x80000001,
		UINT32_MAX };
	for (unsigned i = 0; i < array_size(types); i++) {
		struct blk_io io = blk_add(d, 0, types[i], 0, 512);
		expect_answer(d, &io, BLK_UNSUPP, 1);
	}
	assert_int_equal(blk_submitted(d), 0);
}

static void get_id_fills_what_room_there_is(void **state)
{
	struct blk_driver *d = *state;
	static const char id[20] = "disk-0";
	struct blk_io io = blk_add(d, 0, BLK_GET_ID, 0, 20);
	expect_answer(d, &io, BLK_OK, 21);
	assert_memory_equal(blk_at(d, io.data_gpa, 20), id, 20);
	io = blk_add(d, 0, BLK_GET_ID, 0, 4);
	expect_answer(d, &io, BLK_OK, 5);
	assert_memory_equal(blk_at(d, io.data_gpa, 4), id, 4);
	io = blk_add(d, 0, BLK_GET_ID, 0, 32); /* the status lies behind a gap */
	expect_answer(d, &io, BLK_OK, 20);
	assert_memory_equal(blk_at(d, io.data_gpa, 20), id, 20);
}

static void get_id_long_serial_is_cut(void **state)
{
	struct blk_driver *d = *state;
	d->config.serial = "0123456789abcdefghijklmnop";
	blk_driver_create(d, 1);
	blk_driver_begin(d, ALL_FEATURES);
	struct blk_io io = blk_add(d, 0, BLK_GET_ID, 0, 20);
	expect_answer(d, &io, BLK_OK, 21);
	assert_memory_equal(blk_at(d, io.data_gpa, 20), "0123456789abcdefghij", 20);
}

static int fault_errno(void *opaque, const struct block_request *request)
{
	(void)request;
	return -*(const int *)opaque;
}

static void result_of_the_disk_becomes_the_status(void **state)
{
	struct blk_driver *d = *state;
	static const struct {
		int error;
		uint8_t status;
	} results[] = { { EIO, BLK_IOERR }, { EOPNOTSUPP, BLK_UNSUPP }, { EBADMSG, BLK_IOERR },
		{ ENOMEM, BLK_IOERR } };
	const struct blk_range range = { 8, 8, 0 };
	d->disk->fault = fault_errno;
	for (unsigned i = 0; i < array_size(results); i++) {
		int error = results[i].error;
		d->disk->opaque = &error;
		struct blk_io io = blk_add(d, 0, BLK_OUT, 0, 512);
		expect_answer(d, &io, results[i].status, 1);
		io = blk_add(d, 0, BLK_FLUSH, 0, 0);
		expect_answer(d, &io, results[i].status, 1);
		io = blk_add_ranges(d, BLK_DISCARD, &range, sizeof(range));
		expect_answer(d, &io, results[i].status, 1);
		io = blk_add_ranges(d, BLK_ZEROES, &range, sizeof(range));
		expect_answer(d, &io, results[i].status, 1);
		io = blk_add(d, 0, BLK_IN, 0, 512);
		expect_answer(d, &io, results[i].status, 0); /* nothing without a gap */
	}
	int space = ENOSPC; /* makes no sense for a read: must not wait for anybody */
	d->disk->opaque = &space;
	struct blk_io io = blk_add(d, 0, BLK_IN, 0, 512);
	expect_answer(d, &io, BLK_IOERR, 0);
	assert_int_equal(d->stalls, 0);
}

/* ---- discard and write zeroes ---- */

static void ranges_are_done_in_order_with_their_flags(void **state)
{
	struct blk_driver *d = *state;
	const struct blk_range ranges[] = { { 8, 8, 1 }, { 100, 1, 0 }, { 64, 0, 0 },
		{ 32, 16, 1 } };
	d->disk->automatic = false;
	memset(d->disk->bytes, 0xee, CAPACITY_SECTORS * 512);
	struct blk_io io = blk_add_ranges(d, BLK_ZEROES, ranges, sizeof(ranges));
	blk_run(d, 0);
	/* The driver has second thoughts, too late. */
	memset(blk_at(d, io.data_gpa, io.bytes), 0xff, io.bytes);
	memset(blk_at(d, io.header_gpa, 16), 0xff, 16);
	for (unsigned i = 0; i < array_size(ranges); i++) {
		assert_int_equal(d->disk->pending_count, 1);
		assert_int_equal(d->disk->pending[0]->operation, BLOCK_WRITE_ZEROES);
		assert_int_equal(d->disk->pending[0]->offset_bytes, ranges[i].sector * 512);
		assert_int_equal(d->disk->pending[0]->length_bytes, ranges[i].count * 512);
		assert_int_equal(d->disk->pending[0]->may_unmap, ranges[i].flags);
		assert_int_equal(blk_status(d, &io), BLK_NO_ANSWER);
		fake_disk_complete(d->disk, 0, 0);
	}
	expect_answer(d, &io, BLK_OK, 1);
	assert_int_equal(d->disk->bytes[100 * 512], 0);
	assert_int_equal(d->disk->bytes[101 * 512], 0xee);
}

static void ranges_first_failure_ends_them(void **state)
{
	struct blk_driver *d = *state;
	const struct blk_range ranges[] = { { 8, 8, 0 }, { 16, 8, 0 }, { 32, 16, 0 } };
	d->disk->automatic = false;
	struct blk_io io = blk_add_ranges(d, BLK_DISCARD, ranges, sizeof(ranges));
	blk_run(d, 0);
	assert_int_equal(d->disk->pending[0]->operation, BLOCK_DISCARD);
	fake_disk_complete(d->disk, 0, 0);
	fake_disk_complete(d->disk, 0, -EIO);
	assert_int_equal(d->disk->pending_count, 0);
	expect_answer(d, &io, BLK_IOERR, 1);
}

static void ranges_flags_reserved_or_wrong_are_unsupported(void **state)
{
	struct blk_driver *d = *state;
	const struct blk_range unmap = { 0, 8, 1 }, reserved = { 0, 8, 2 },
			       top = { 0, 8, 1u << 31 };
	const struct blk_range second[] = { { 0, 8, 0 }, { 8, 8, 4 } };
	struct blk_io io = blk_add_ranges(d, BLK_DISCARD, &unmap, sizeof(unmap));
	expect_answer(d, &io, BLK_UNSUPP, 1);
	io = blk_add_ranges(d, BLK_ZEROES, &reserved, sizeof(reserved));
	expect_answer(d, &io, BLK_UNSUPP, 1);
	io = blk_add_ranges(d, BLK_DISCARD, &top, sizeof(top));
	expect_answer(d, &io, BLK_UNSUPP, 1);
	io = blk_add_ranges(d, BLK_ZEROES, second, sizeof(second));
	expect_answer(d, &io, BLK_UNSUPP, 1);
	assert_int_equal(blk_submitted(d), 0);
}

static void ranges_out_of_limits_are_errors(void **state)
{
	struct blk_driver *d = *state;
	struct blk_range many[17];
	const struct blk_range wrong[] = { { CAPACITY_SECTORS, 1, 0 }, { 1, CAPACITY_SECTORS, 0 },
		{ UINT64_MAX, 8, 0 }, { UINT64_C(1) << 55, 8, 0 }, { 0, UINT32_MAX, 0 } };
	struct blk_io io;

	for (unsigned i = 0; i < array_size(wrong); i++) {
		io = blk_add_ranges(d, BLK_DISCARD, &wrong[i], sizeof(wrong[i]));
		expect_answer(d, &io, BLK_IOERR, 1);
		io = blk_add_ranges(d, BLK_ZEROES, &wrong[i], sizeof(wrong[i]));
		expect_answer(d, &io, BLK_IOERR, 1);
	}
	for (unsigned i = 0; i < 17; i++)
		many[i] = (struct blk_range){ i, 1, 0 };
	io = blk_add_ranges(d, BLK_DISCARD, many, 0);
	expect_answer(d, &io, BLK_IOERR, 1);
	io = blk_add_ranges(d, BLK_DISCARD, many, 15);
	expect_answer(d, &io, BLK_IOERR, 1);
	io = blk_add_ranges(d, BLK_DISCARD, many, 24);
	expect_answer(d, &io, BLK_IOERR, 1);
	io = blk_add_ranges(d, BLK_ZEROES, many, sizeof(many));
	expect_answer(d, &io, BLK_IOERR, 1);
	assert_int_equal(blk_submitted(d), 0);
	io = blk_add_ranges(d, BLK_ZEROES, many, 16 * 16);
	expect_answer(d, &io, BLK_OK, 1);
	assert_int_equal(blk_submitted(d), 16);
}

/* More than a request may be, of a disk that is larger than that. */
static void ranges_larger_than_told_are_errors(void **state)
{
	struct blk_driver *d = *state;
	d->disk->base.size_bytes = GIB(4); /* not really; nothing gets there */
	blk_driver_create(d, 1);
	blk_driver_begin(d, ALL_FEATURES);
	const struct blk_range zeroes = { 0, (1 << 19) + 8, 0 }, discard = { 0, (1 << 21) + 8, 0 };
	struct blk_io io = blk_add_ranges(d, BLK_ZEROES, &zeroes, sizeof(zeroes));
	expect_answer(d, &io, BLK_IOERR, 1);
	io = blk_add_ranges(d, BLK_DISCARD, &discard, sizeof(discard));
	expect_answer(d, &io, BLK_IOERR, 1);
	assert_int_equal(blk_submitted(d), 0);
}

static void discard_unless_the_disk_can_is_unsupported(void **state)
{
	struct blk_driver *d = *state;
	const struct blk_range range = { 0, 8, 0 };
	d->disk->base.discard_granularity_bytes = 0;
	blk_driver_create(d, 1);
	blk_driver_begin(d, ALL_FEATURES);
	struct blk_io io = blk_add_ranges(d, BLK_DISCARD, &range, sizeof(range));
	expect_answer(d, &io, BLK_UNSUPP, 1);
	assert_int_equal(blk_submitted(d), 0);
}

/* ---- header read twice ---- */

/* The data of a read lands on the request's own header: what is there now must not matter. */
static void header_overwritten_by_its_own_data_is_not_read_again(void **state)
{
	struct blk_driver *d = *state;
	struct blk_io io = blk_prepare(d, BLK_IN, 1, 512);
	const struct blk_header evil = { BLK_OUT, 0, UINT64_MAX };
	memcpy(d->disk->bytes + 512, &evil, sizeof(evil));
	memset(d->disk->bytes + 512 + 16, 0x11, 496);
	const struct fake_buffer buffers[] = { { io.header_gpa, 16, false },
		{ io.header_gpa, 16, true }, { io.data_gpa, 496, true },
		{ io.status_gpa, 1, true } };
	io.head = fake_queue_add(&d->queues[0], buffers, 4);
	expect_answer(d, &io, BLK_OK, 513);
	assert_memory_equal(blk_at(d, io.header_gpa, 16), &evil, 16);
}

/* What another vCPU changes in between must not matter: there is no between. */
static void header_and_ranges_are_read_once(void **state)
{
	struct blk_driver *d = *state;
	static const uint32_t types[] = { BLK_IN, BLK_OUT, BLK_FLUSH, BLK_GET_ID, BLK_DISCARD,
		BLK_ZEROES, 99 };
	const struct blk_range ranges[2] = { { 8, 8, 0 }, { 64, 8, 0 } };

#ifdef __SANITIZE_THREAD__
	print_message("skipped: ThreadSanitizer does not like signals on memory accesses\n");
	skip();
#endif
	d->disk->automatic = false; /* it reads data, of course */
	for (unsigned i = 0; i < array_size(types); i++) {
		bool has_ranges = types[i] == BLK_DISCARD || types[i] == BLK_ZEROES;
		bool in = types[i] == BLK_IN || types[i] == BLK_GET_ID;
		uint32_t bytes = has_ranges ? sizeof(ranges) : 512;
		uint64_t gpa = fake_virtio_alloc(&d->virtio, 2 * PAGE_BYTES, PAGE_BYTES);
		uint64_t other = fake_virtio_alloc(&d->virtio, PAGE_BYTES, PAGE_BYTES);
		const struct blk_header header = { types[i], 0, 3 };
		const struct fake_buffer buffers[] = { { gpa, 16, false },
			{ in ? other : gpa + PAGE_BYTES, bytes, in }, { other + 512, 1, true } };
		uint8_t *pages = blk_at(d, gpa, 2 * PAGE_BYTES), copy[16 + sizeof(ranges)];
		struct iovec iov[] = { { pages, 16 }, { pages + PAGE_BYTES, sizeof(ranges) } };
		const struct virtqueue_chain once = { .iov = iov, .readable_count = 2 };
		unsigned wanted;

		memcpy(pages, &header, sizeof(header));
		memcpy(pages + PAGE_BYTES, ranges, sizeof(ranges));
		count_begin(pages, 2 * PAGE_BYTES);
		virtqueue_read(&once, 0, copy, 16);
		if (has_ranges)
			virtqueue_read(&once, 16, copy + 16, sizeof(ranges));
		wanted = count_end();
		assert_true(wanted > 0);

		fake_queue_add(&d->queues[0], buffers, 3);
		fake_queue_kick(&d->queues[0]);
		count_begin(pages, 2 * PAGE_BYTES);
		fake_disk_run(d->disk);
		assert_int_equal(count_end(), wanted);
		while (d->disk->pending_count)
			fake_disk_complete(d->disk, 0, 0);
		fake_disk_run(d->disk);
		assert_int_equal(fake_queue_used_count(&d->queues[0]), i + 1);
	}
}

int main(void)
{
#define on_disk(test) cmocka_unit_test_setup_teardown(test, setup_disk, teardown)
#define running(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		on_disk(features_writable_disk_offers_all),
		on_disk(features_read_only_disk_offers_no_writes),
		on_disk(features_disk_without_discard_and_cache_offers_neither),
		on_disk(config_every_field_has_its_value),
		on_disk(config_outside_and_odd_accesses_read_zero),
		running(config_write_changes_the_cache_mode_only),
		on_disk(config_cache_mode_unless_negotiated_stays),
		on_disk(config_without_flush_is_writethrough_until_reset),
		running(config_resize_shows_and_interrupts),
		on_disk(create_what_cannot_be_leaves_the_disk_alone),
		running(read_gets_what_is_there),
		running(write_puts_it_there),
		running(transfer_of_nothing_is_fine),
		running(layout_any_cut_is_the_same_request),
		running(layout_header_missing_or_short_needs_reset),
		running(layout_no_readable_part_needs_reset),
		running(layout_no_room_for_status_needs_reset),
		running(ring_broken_needs_reset),
		running(transfer_out_of_range_is_an_error),
		on_disk(transfer_of_half_a_large_block_is_an_error),
		on_disk(write_to_read_only_disk_is_an_error),
		running(type_unknown_is_unsupported),
		running(get_id_fills_what_room_there_is),
		on_disk(get_id_long_serial_is_cut),
		running(result_of_the_disk_becomes_the_status),
		running(ranges_are_done_in_order_with_their_flags),
		running(ranges_first_failure_ends_them),
		running(ranges_flags_reserved_or_wrong_are_unsupported),
		running(ranges_out_of_limits_are_errors),
		on_disk(ranges_larger_than_told_are_errors),
		on_disk(discard_unless_the_disk_can_is_unsupported),
		running(header_overwritten_by_its_own_data_is_not_read_again),
		running(header_and_ranges_are_read_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
