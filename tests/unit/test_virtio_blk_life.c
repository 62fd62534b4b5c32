/* What goes on over time in virtio-blk: durability, requests that wait for space, resets of device
 * and queues in every state, several queues, notifications. */
#include "cmocka_all.h"

#include "blk_driver.h"

#define CAPACITY_SECTORS 2048u
#define ALL_FEATURES     (~UINT64_C(0) & ~VIRTIO_FEATURE(BLK_F_EVENT_IDX))
#define WITHOUT_FLUSH    (ALL_FEATURES & ~VIRTIO_FEATURE(BLK_F_FLUSH))

static struct blk_driver *begin(void **state, unsigned queues, uint64_t features)
{
	struct blk_driver *d = *state;
	blk_driver_create(d, queues);
	blk_driver_begin(d, features);
	fake_disk_run(d->disk);
	return d;
}

static int setup(void **state)
{
	struct blk_driver *d = calloc(1, sizeof(*d));
	blk_driver_init(d, CAPACITY_SECTORS * 512);
	*state = d;
	return 0;
}

static int teardown(void **state)
{
	blk_driver_fini(*state);
	free(*state);
	return 0;
}

static void finish(struct blk_driver *d, unsigned index, int result)
{
	fake_disk_complete(d->disk, index, result);
	fake_disk_run(d->disk);
}

static void expect_pending(struct blk_driver *d, unsigned count)
{
	assert_int_equal(d->disk->pending_count, count);
}

static void expect_answered(
	struct blk_driver *d, unsigned queue, const struct blk_io *io, uint8_t status)
{
	uint32_t written;
	assert_true(blk_used(d, queue, io, &written));
	assert_int_equal(blk_status(d, io), status);
}

static void expect_waiting(struct blk_driver *d, unsigned queue, const struct blk_io *io)
{
	assert_int_equal(fake_queue_used_count(&d->queues[queue]), 0);
	assert_int_equal(blk_status(d, io), BLK_NO_ANSWER);
}

/* ---- durability ---- */

static void flush_is_answered_after_the_disks_flush(void **state)
{
	struct blk_driver *d = begin(state, 1, ALL_FEATURES);
	struct blk_io write = blk_add(d, 0, BLK_OUT, 5, 512);
	blk_run(d, 0);
	finish(d, 0, 0);
	expect_answered(d, 0, &write, BLK_OK);
	assert_false(fake_disk_is_durable(d->disk, 5));
	struct blk_io flush = blk_add(d, 0, BLK_FLUSH, 0, 0);
	blk_run(d, 0);
	expect_pending(d, 1);
	assert_int_equal(d->disk->pending[0]->operation, BLOCK_FLUSH);
	expect_waiting(d, 0, &flush);
	finish(d, 0, 0);
	expect_answered(d, 0, &flush, BLK_OK);
	assert_true(fake_disk_is_durable(d->disk, 5));
}

static void flush_failed_is_an_error(void **state)
{
	struct blk_driver *d = begin(state, 1, ALL_FEATURES);
	struct blk_io flush = blk_add(d, 0, BLK_FLUSH, 0, 0);
	blk_run(d, 0);
	finish(d, 0, -EIO);
	expect_answered(d, 0, &flush, BLK_IOERR);
}

/* A driver that has not negotiated flushes relies on each write (5.2.6.2). */
static void write_without_flushes_is_answered_when_durable(void **state)
{
	struct blk_driver *d = begin(state, 1, WITHOUT_FLUSH);
	struct blk_io write = blk_add(d, 0, BLK_OUT, 5, 512);
	blk_run(d, 0);
	finish(d, 0, 0);
	expect_waiting(d, 0, &write);
	expect_pending(d, 1);
	assert_int_equal(d->disk->pending[0]->operation, BLOCK_FLUSH);
	finish(d, 0, 0);
	expect_answered(d, 0, &write, BLK_OK);
	assert_true(fake_disk_is_durable(d->disk, 5));

	const struct blk_range range = { 64, 8, 0 };
	struct blk_io zeroes = blk_add_ranges(d, BLK_ZEROES, &range, sizeof(range));
	blk_run(d, 0);
	finish(d, 0, 0);
	expect_waiting(d, 0, &zeroes);
	finish(d, 0, 0);
	expect_answered(d, 0, &zeroes, BLK_OK);
	assert_true(fake_disk_is_durable(d->disk, 64));

	/* Reads and discards promise nothing. */
	struct blk_io read = blk_add(d, 0, BLK_IN, 5, 512);
	struct blk_io discard = blk_add_ranges(d, BLK_DISCARD, &range, sizeof(range));
	blk_run(d, 0);
	finish(d, 0, 0);
	finish(d, 0, 0);
	expect_answered(d, 0, &read, BLK_OK);
	expect_answered(d, 0, &discard, BLK_OK);
	expect_pending(d, 0);
}

/* Whatever else it has negotiated or asked for. */
static void write_without_flushes_is_durable_in_every_mode(void **state)
{
	struct blk_driver *d = begin(state, 1, WITHOUT_FLUSH & ~VIRTIO_FEATURE(BLK_F_CONFIG_WCE));
	for (unsigned i = 0; i < 2; i++) {
		struct blk_io write = blk_add(d, 0, BLK_OUT, i, 512);
		blk_run(d, 0);
		finish(d, 0, 0);
		expect_waiting(d, 0, &write);
		finish(d, 0, 0);
		expect_answered(d, 0, &write, BLK_OK);
		assert_true(fake_disk_is_durable(d->disk, i));
		fake_virtio_add_status(&d->virtio, 0);
		fake_disk_run(d->disk);
		blk_driver_begin(d, WITHOUT_FLUSH);
		fake_virtio_write_config(&d->virtio, BLK_CONFIG_WRITEBACK, 1, 1);
		fake_disk_run(d->disk);
	}
}

/* Its flush begins after it is done: one that was under way already would not cover it. */
static void write_done_during_a_flush_gets_one_of_its_own(void **state)
{
	struct blk_driver *d = begin(state, 2, WITHOUT_FLUSH);
	struct blk_io a = blk_add(d, 0, BLK_OUT, 1, 512), b = blk_add(d, 1, BLK_OUT, 2, 512);
	blk_run(d, 0);
	blk_run(d, 1);
	finish(d, 0, 0);
	finish(d, 0, 0);
	expect_pending(d, 2);
	assert_int_equal(d->disk->submitted[BLOCK_FLUSH], 2);
	finish(d, 0, 0);
	expect_answered(d, 0, &a, BLK_OK);
	expect_waiting(d, 1, &b);
	assert_true(fake_disk_is_durable(d->disk, 1));
	assert_false(fake_disk_is_durable(d->disk, 2));
	finish(d, 0, -EIO);
	expect_answered(d, 1, &b, BLK_IOERR);
}

static void write_failed_without_flushes_needs_no_flush(void **state)
{
	struct blk_driver *d = begin(state, 1, WITHOUT_FLUSH);
	struct blk_io write = blk_add(d, 0, BLK_OUT, 5, 512);
	blk_run(d, 0);
	finish(d, 0, -EIO);
	expect_answered(d, 0, &write, BLK_IOERR);
	expect_pending(d, 0);
	/* Nor does the next request, which uses its slot. */
	struct blk_io read = blk_add(d, 0, BLK_IN, 5, 512);
	blk_run(d, 0);
	finish(d, 0, 0);
	expect_answered(d, 0, &read, BLK_OK);
}

static void cache_mode_changes_from_the_next_write_on(void **state)
{
	struct blk_driver *d = begin(state, 1, ALL_FEATURES);
	fake_virtio_write_config(&d->virtio, BLK_CONFIG_WRITEBACK, 1, 0);
	struct blk_io write = blk_add(d, 0, BLK_OUT, 5, 512);
	blk_run(d, 0);
	fake_virtio_write_config(&d->virtio, BLK_CONFIG_WRITEBACK, 1, 1);
	finish(d, 0, 0);
	expect_waiting(d, 0, &write);
	finish(d, 0, 0);
	expect_answered(d, 0, &write, BLK_OK);
	write = blk_add(d, 0, BLK_OUT, 6, 512);
	blk_run(d, 0);
	finish(d, 0, 0);
	expect_answered(d, 0, &write, BLK_OK);
	assert_false(fake_disk_is_durable(d->disk, 6));
}

/* The mode of one driver is not that of the next. */
static void cache_mode_after_reset_is_the_new_drivers(void **state)
{
	struct blk_driver *d = begin(state, 1, WITHOUT_FLUSH);
	fake_virtio_add_status(&d->virtio, 0);
	fake_disk_run(d->disk);
	blk_driver_begin(d, ALL_FEATURES);
	fake_disk_run(d->disk);
	struct blk_io write = blk_add(d, 0, BLK_OUT, 6, 512);
	blk_run(d, 0);
	finish(d, 0, 0);
	expect_answered(d, 0, &write, BLK_OK);
}

static void durable_disk_gets_no_flushes_of_ours(void **state)
{
	((struct blk_driver *)*state)->disk->base.writeback = false;
	struct blk_driver *d = begin(state, 1, WITHOUT_FLUSH);
	struct blk_io write = blk_add(d, 0, BLK_OUT, 6, 512);
	blk_run(d, 0);
	finish(d, 0, 0);
	expect_answered(d, 0, &write, BLK_OK);
	assert_true(fake_disk_is_durable(d->disk, 6));
}

/* ---- no space ---- */

static void stall_tells_once_and_resume_retries_in_order(void **state)
{
	struct blk_driver *d = begin(state, 2, ALL_FEATURES);
	const struct blk_range ranges[] = { { 64, 8, 0 }, { 80, 8, 1 } };
	struct blk_io a = blk_add(d, 0, BLK_OUT, 1, 512), b = blk_add(d, 1, BLK_OUT, 2, 512);
	struct blk_io zeroes = blk_add_ranges(d, BLK_ZEROES, ranges, sizeof(ranges));
	struct blk_io flush = blk_add(d, 1, BLK_FLUSH, 0, 0);
	blk_run(d, 0);
	blk_run(d, 1);
	expect_pending(d, 4);  /* a, zeroes, b, flush */
	finish(d, 0, -ENOSPC); /* a */
	finish(d, 0, 0);       /* the first range */
	finish(d, 2, -ENOSPC); /* the second */
	finish(d, 0, -EDQUOT); /* b */
	finish(d, 0, -ENOSPC); /* flush */
	expect_pending(d, 0);
	assert_int_equal(d->stalls, 1);
	assert_non_null(strstr(d->message, "fake.img: no space left"));
	assert_non_null(strstr(d->message, "SIGUSR2"));
	assert_null(strchr(d->message, '\n'));
	expect_waiting(d, 0, &a);
	expect_waiting(d, 1, &b);
	/* Other requests go on. */
	struct blk_io read = blk_add(d, 0, BLK_IN, 0, 512);
	blk_run(d, 0);
	finish(d, 0, 0);
	expect_answered(d, 0, &read, BLK_OK);

	d->device->ops->resume(d->device);
	d->device->ops->resume(d->device);
	fake_disk_run(d->disk);
	expect_pending(d, 4);
	assert_int_equal(d->disk->pending[0]->offset_bytes, 512);
	assert_int_equal(d->disk->pending[1]->offset_bytes, 80 * 512);
	assert_true(d->disk->pending[1]->may_unmap);
	assert_int_equal(d->disk->pending[2]->offset_bytes, 1024);
	assert_int_equal(d->disk->pending[3]->operation, BLOCK_FLUSH);
	for (unsigned i = 0; i < 4; i++)
		finish(d, 0, 0);
	expect_answered(d, 0, &a, BLK_OK);
	expect_answered(d, 0, &zeroes, BLK_OK);
	expect_answered(d, 1, &b, BLK_OK);
	expect_answered(d, 1, &flush, BLK_OK);
	assert_memory_equal(d->disk->bytes + 512, blk_at(d, a.data_gpa, 512), 512);
	assert_int_equal(d->stalls, 1);
}

static int no_space(void *opaque, const struct block_request *request)
{
	(void)opaque;
	return request->operation == BLOCK_READ ? 0 : -ENOSPC;
}

static void stall_again_tells_again(void **state)
{
	struct blk_driver *d = *state;
	d->disk->immediate = true; /* done from inside submit */
	d->disk->fault = no_space;
	begin(state, 1, ALL_FEATURES);
	struct blk_io a = blk_add(d, 0, BLK_OUT, 1, 512), b = blk_add(d, 0, BLK_OUT, 2, 512);
	blk_run(d, 0);
	assert_int_equal(d->stalls, 1);
	for (unsigned i = 2; i < 5; i++) {
		d->device->ops->resume(d->device);
		fake_disk_run(d->disk);
		assert_int_equal(d->stalls, i);
		expect_waiting(d, 0, &a);
	}
	d->disk->fault = NULL;
	d->device->ops->resume(d->device);
	fake_disk_run(d->disk);
	expect_answered(d, 0, &a, BLK_OK);
	expect_answered(d, 0, &b, BLK_OK);
	assert_int_equal(d->stalls, 4);
	/* Nothing to do: a pause by the user. */
	d->device->ops->resume(d->device);
	fake_disk_run(d->disk);
	assert_int_equal(d->stalls, 4);
}

/* The driver's memory is its own while it waits: the request is still the one that was checked. */
static void stall_request_is_not_read_again(void **state)
{
	struct blk_driver *d = begin(state, 1, ALL_FEATURES);
	struct blk_io a = blk_add(d, 0, BLK_OUT, 1, 512);
	blk_run(d, 0);
	finish(d, 0, -ENOSPC);
	memset(blk_at(d, a.header_gpa, 16), 0xff, 16);
	memset(d->queues[0].table, 0xff, 16 * BLK_QUEUE_SIZE);
	d->device->ops->resume(d->device);
	fake_disk_run(d->disk);
	assert_int_equal(d->disk->pending[0]->operation, BLOCK_WRITE);
	assert_int_equal(d->disk->pending[0]->offset_bytes, 512);
	finish(d, 0, 0);
	expect_answered(d, 0, &a, BLK_OK);
	assert_memory_equal(d->disk->bytes + 512, blk_at(d, a.data_gpa, 512), 512);
}

static void stall_in_the_flush_behind_a_write_flushes_again(void **state)
{
	struct blk_driver *d = begin(state, 1, WITHOUT_FLUSH);
	struct blk_io a = blk_add(d, 0, BLK_OUT, 1, 512);
	blk_run(d, 0);
	finish(d, 0, 0);
	finish(d, 0, -ENOSPC);
	assert_int_equal(d->stalls, 1);
	expect_pending(d, 0);
	expect_waiting(d, 0, &a);
	d->device->ops->resume(d->device);
	fake_disk_run(d->disk);
	expect_pending(d, 1);
	assert_int_equal(d->disk->pending[0]->operation, BLOCK_FLUSH);
	finish(d, 0, 0);
	expect_answered(d, 0, &a, BLK_OK);
	assert_true(fake_disk_is_durable(d->disk, 1));
}

static void stall_with_nobody_to_tell_is_an_error(void **state)
{
	((struct blk_driver *)*state)->config.stalled = NULL;
	struct blk_driver *d = begin(state, 1, ALL_FEATURES);
	struct blk_io a = blk_add(d, 0, BLK_OUT, 1, 512);
	blk_run(d, 0);
	finish(d, 0, -ENOSPC);
	expect_answered(d, 0, &a, BLK_IOERR);
}

/* ---- resets ---- */

static bool is_reset(struct blk_driver *d)
{
	return !fake_virtio_status(&d->virtio);
}

/* Starts over and does a read, to see that nothing is left of what was. */
static void expect_works_again(struct blk_driver *d)
{
	assert_true(is_reset(d));
	blk_driver_begin(d, ALL_FEATURES);
	fake_disk_run(d->disk);
	expect_pending(d, 0);
	for (unsigned i = 0; i < 3 * BLK_QUEUE_SIZE; i++) {
		struct blk_io io = blk_add(d, 0, BLK_IN, i, 512);
		blk_run(d, 0);
		finish(d, 0, 0);
		expect_answered(d, 0, &io, BLK_OK);
	}
}

static void reset_idle_is_complete_when_the_thread_has_seen_it(void **state)
{
	struct blk_driver *d = begin(state, 1, ALL_FEATURES);
	fake_virtio_add_status(&d->virtio, 0);
	fake_disk_run(d->disk);
	expect_works_again(d);
}

/* The disk's thread has not even begun with the queue. */
static void reset_before_the_start_is_carried_out(void **state)
{
	struct blk_driver *d = *state;
	blk_driver_create(d, 1);
	blk_driver_begin(d, ALL_FEATURES);
	blk_add(d, 0, BLK_IN, 0, 512);
	fake_virtio_add_status(&d->virtio, 0);
	assert_false(is_reset(d));
	fake_disk_run(d->disk);
	expect_works_again(d);
}

/* Slow I/O into guest memory: the reset is not complete before it is done, and nothing is touched
 * after that. */
static void reset_waits_for_what_is_in_flight(void **state)
{
	struct blk_driver *d = begin(state, 1, ALL_FEATURES);
	struct blk_io a = blk_add(d, 0, BLK_IN, 1, 512), b = blk_add(d, 0, BLK_OUT, 2, 512);
	unsigned interrupts = atomic_load(&d->virtio.queue_interrupts[0]);
	blk_run(d, 0);
	expect_pending(d, 2);
	fake_virtio_add_status(&d->virtio, 0);
	blk_add(d, 0, BLK_IN, 3, 512); /* not any more */
	fake_queue_ring(&d->queues[0]);
	fake_disk_run(d->disk);
	expect_pending(d, 2);
	assert_false(is_reset(d));
	finish(d, 1, 0);
	assert_false(is_reset(d));
	finish(d, 0, 0);
	assert_true(is_reset(d));
	/* Their answers went nowhere. */
	assert_int_equal(blk_status(d, &a), BLK_NO_ANSWER);
	assert_int_equal(blk_status(d, &b), BLK_NO_ANSWER);
	assert_int_equal(fake_queue_used_count(&d->queues[0]), 0);
	assert_int_equal(d->virtio.queue_interrupts[0], interrupts);
	expect_works_again(d);
}

static void reset_drops_stalled_requests(void **state)
{
	struct blk_driver *d = begin(state, 1, ALL_FEATURES);
	struct blk_io a = blk_add(d, 0, BLK_OUT, 1, 512);
	blk_add(d, 0, BLK_OUT, 2, 512);
	blk_run(d, 0);
	finish(d, 0, -ENOSPC);
	fake_virtio_add_status(&d->virtio, 0);
	fake_disk_run(d->disk);
	assert_false(is_reset(d));
	finish(d, 0, -ENOSPC); /* nobody waits for this one */
	assert_int_equal(d->stalls, 1);
	assert_int_equal(blk_status(d, &a), BLK_NO_ANSWER);
	d->device->ops->resume(d->device);
	fake_disk_run(d->disk);
	expect_works_again(d);
	a = blk_add(d, 0, BLK_OUT, 1, 512);
	blk_run(d, 0);
	finish(d, 0, -ENOSPC);
	assert_int_equal(d->stalls, 2); /* it is news again */
}

static void reset_of_a_range_under_way_ends_it(void **state)
{
	struct blk_driver *d = begin(state, 1, ALL_FEATURES);
	const struct blk_range ranges[] = { { 8, 8, 0 }, { 16, 8, 0 } };
	blk_add_ranges(d, BLK_DISCARD, ranges, sizeof(ranges));
	blk_run(d, 0);
	fake_virtio_add_status(&d->virtio, 0);
	fake_disk_run(d->disk);
	finish(d, 0, 0);
	expect_pending(d, 0);
	expect_works_again(d);
}

static void reset_while_a_write_waits_for_its_flush(void **state)
{
	struct blk_driver *d = begin(state, 1, WITHOUT_FLUSH);
	struct blk_io a = blk_add(d, 0, BLK_OUT, 1, 512), b = blk_add(d, 0, BLK_OUT, 2, 512);
	blk_run(d, 0);
	finish(d, 0, 0); /* its flush is in flight now */
	fake_virtio_add_status(&d->virtio, 0);
	fake_disk_run(d->disk);
	assert_false(is_reset(d));
	finish(d, 0, 0); /* this one needs none any more */
	expect_pending(d, 1);
	assert_false(is_reset(d));
	finish(d, 0, -ENOSPC);
	assert_int_equal(d->stalls, 0);
	expect_waiting(d, 0, &a); /* for ever */
	expect_waiting(d, 0, &b);
	expect_works_again(d);
}

static void reset_after_the_driver_broke_a_queue(void **state)
{
	struct blk_driver *d = begin(state, 1, ALL_FEATURES);
	struct blk_io a = blk_add(d, 0, BLK_IN, 1, 512);
	blk_run(d, 0);
	fake_queue_offer(&d->queues[0], 0x8000);
	blk_run(d, 0);
	assert_true(blk_needs_reset(d));
	finish(d, 0, 0); /* what was good is answered still */
	assert_int_equal(blk_status(d, &a), BLK_OK);
	fake_virtio_add_status(&d->virtio, 0);
	fake_disk_run(d->disk);
	expect_works_again(d);
}

/* 2.6.1: one queue alone; the others go on. */
static void queue_reset_leaves_the_others_alone(void **state)
{
	struct blk_driver *d = begin(state, 2, ALL_FEATURES);
	struct virtio_queue *first = virtio_device_queue(virtio_blk_vdev(d->device), 0);
	struct blk_io a = blk_add(d, 0, BLK_OUT, 1, 512), b = blk_add(d, 1, BLK_OUT, 2, 512);
	struct blk_io c = blk_add(d, 0, BLK_OUT, 3, 512), e = blk_add(d, 1, BLK_OUT, 4, 512);
	blk_run(d, 0);
	blk_run(d, 1);         /* a, c, b, e */
	finish(d, 0, -ENOSPC); /* a stalls */
	finish(d, 1, -ENOSPC); /* b, too */
	fake_virtio_lock(&d->virtio);
	virtio_queue_reset(virtio_blk_vdev(d->device), 0);
	fake_virtio_unlock(&d->virtio);
	fake_disk_run(d->disk);
	assert_int_equal(first->state, VIRTIO_QUEUE_STOPPING);
	finish(d, 1, 0);
	expect_answered(d, 1, &e, BLK_OK);
	finish(d, 0, 0);
	assert_int_equal(first->state, VIRTIO_QUEUE_IDLE);
	assert_int_equal(blk_status(d, &a), BLK_NO_ANSWER);
	assert_int_equal(blk_status(d, &c), BLK_NO_ANSWER);
	d->device->ops->resume(d->device);
	fake_disk_run(d->disk);
	expect_pending(d, 1);
	assert_int_equal(d->disk->pending[0]->offset_bytes, 1024);
	finish(d, 0, 0);
	expect_answered(d, 1, &b, BLK_OK);

	fake_queue_init(&d->queues[0], &d->virtio, BLK_QUEUE_SIZE);
	fake_queue_enable(&d->queues[0], 0);
	fake_disk_run(d->disk);
	a = blk_add(d, 0, BLK_IN, 1, 512);
	blk_run(d, 0);
	finish(d, 0, 0);
	expect_answered(d, 0, &a, BLK_OK);
}

/* The machine's reset waits for the disk's thread, which waits for slow I/O. */
static void *machine_reset(void *opaque)
{
	struct device *device = opaque;
	device->ops->reset(device);
	return NULL;
}

static void reset_of_the_machine_with_slow_requests(void **state)
{
	struct blk_driver *d = *state;
	d->disk->threaded = true;
	d->disk->automatic = true;
	d->disk->hold = true;
	blk_driver_create(d, 2);
	for (unsigned i = 0; i < 20; i++) {
		pthread_t thread;
		d->virtio.next_gpa = MIB(1);
		blk_driver_begin(d, ALL_FEATURES);
		for (unsigned j = 0; j < 5; j++) {
			blk_add(d, j % 2, j % 3 ? BLK_IN : BLK_OUT, j, 4096);
			fake_queue_kick(&d->queues[j % 2]);
		}
		if (i % 4)
			usleep(i * 100);
		assert_int_equal(pthread_create(&thread, NULL, machine_reset, d->device), 0);
		if (i % 3)
			usleep(i * 100);
		fake_disk_hold(d->disk, false);
		pthread_join(thread, NULL);
		assert_true(is_reset(d));
		/* All of it is the driver's again: the thread must not be seen in it. */
		memset(blk_at(d, MIB(1), d->virtio.next_gpa - MIB(1)), 0xcc,
			d->virtio.next_gpa - MIB(1));
		fake_disk_hold(d->disk, true);
		for (uint64_t gpa = MIB(1); gpa < d->virtio.next_gpa; gpa++)
			assert_int_equal(*(uint8_t *)blk_at(d, gpa, 1), 0xcc);
	}
}

/* ---- queues and notifications ---- */

static void queues_are_answered_each_by_itself(void **state)
{
	struct blk_driver *d = begin(state, BLK_QUEUES, ALL_FEATURES);
	struct blk_io io[BLK_QUEUES];
	for (unsigned i = 0; i < BLK_QUEUES; i++) {
		io[i] = blk_add(d, i, BLK_OUT, i * 8, 4096);
		blk_run(d, i);
	}
	expect_pending(d, BLK_QUEUES);
	for (unsigned i = BLK_QUEUES; i-- > 0;) {
		finish(d, i, 0);
		expect_answered(d, i, &io[i], BLK_OK);
		assert_int_equal(d->virtio.queue_interrupts[i], 1);
	}
}

static void interrupt_comes_once_for_a_batch(void **state)
{
	struct blk_driver *d = *state;
	d->disk->automatic = true;
	begin(state, 1, ALL_FEATURES);
	for (unsigned round = 1; round < 5; round++) {
		struct blk_io io[4];
		for (unsigned i = 0; i < 4; i++)
			io[i] = blk_add(d, 0, i % 2 ? BLK_IN : BLK_GET_ID, i, 512);
		blk_run(d, 0);
		for (unsigned i = 0; i < 4; i += 2)
			expect_answered(d, 0, &io[i], BLK_OK); /* had no need for the disk */
		for (unsigned i = 1; i < 4; i += 2)
			expect_answered(d, 0, &io[i], BLK_OK);
		assert_int_equal(d->virtio.queue_interrupts[0], round);
	}
}

/* All that was submitted before the device went to sleep again is found, kicked or not. */
static void notification_is_wanted_again_after_each_batch(void **state)
{
	struct blk_driver *d = begin(state, 1, ~UINT64_C(0)); /* with EVENT_IDX */
	for (unsigned i = 0; i < 70; i++) {
		struct blk_io io = blk_add(d, 0, BLK_IN, i, 512);
		assert_true(fake_queue_kick(&d->queues[0]));
		fake_disk_run(d->disk);
		expect_pending(d, 1);
		finish(d, 0, 0);
		expect_answered(d, 0, &io, BLK_OK);
		fake_store16(fake_queue_used_event(&d->queues[0]), d->queues[0].seen_used);
	}
}

struct endless {
	struct blk_driver *d;
	struct blk_io io;
	unsigned added;
};

/* A driver that adds a request whenever one was answered, faster than we look. */
static int add_another(void *opaque, const struct block_request *request)
{
	struct endless *endless = opaque;
	(void)request;
	assert_false(fake_queue_wants_kick(&endless->d->queues[0])); /* we look anyway */
	if (endless->added++ < 100000) {
		struct blk_io io = endless->io;
		blk_offer(endless->d, 0, &io, true);
	}
	return 0;
}

static void driver_that_never_pauses_keeps_nothing_from_running(void **state)
{
	struct blk_driver *d = *state;
	struct endless endless = { .d = d };
	d->disk->immediate = true;
	d->disk->fault = add_another;
	d->disk->opaque = &endless;
	begin(state, 2, ALL_FEATURES);
	endless.io = blk_add(d, 0, BLK_IN, 0, 512);
	fake_queue_kick(&d->queues[0]);
	/* One round of the disk's loop comes back, answers shown, long before the driver tires. */
	assert_true(fake_disk_step(d->disk));
	assert_true(endless.added < 1000);
	assert_true(endless.added > 10);
	/* And the reset gets through. */
	fake_virtio_add_status(&d->virtio, 0);
	fake_disk_step(d->disk);
	fake_disk_step(d->disk);
	assert_true(is_reset(d));
	assert_true(endless.added < 2000);
	d->disk->immediate = false;
	expect_works_again(d);
}

static struct endless *interrupted;

static void add_when_interrupted(struct virtio_transport *transport, unsigned queue)
{
	(void)transport, (void)queue;
	if (interrupted->added++ < 100000) {
		struct blk_io io = interrupted->io;
		blk_offer(interrupted->d, 0, &io, true);
	}
}

/* The same with a single request at a time. */
static void driver_that_answers_each_interrupt_keeps_nothing_from_running(void **state)
{
	struct blk_driver *d = *state;
	struct endless endless = { .d = d };
	interrupted = &endless;
	d->disk->immediate = true;
	begin(state, 1, ALL_FEATURES);
	d->virtio.transport.queue_interrupt = add_when_interrupted;
	endless.io = blk_add(d, 0, BLK_IN, 0, 512);
	fake_queue_kick(&d->queues[0]);
	assert_true(fake_disk_step(d->disk));
	assert_in_range(endless.added, 2, 100);
	unsigned before = endless.added;
	assert_true(fake_disk_step(d->disk)); /* it has not been forgotten */
	assert_in_range(endless.added, before + 1, before + 100);
}

static void ring_full_of_requests_is_served(void **state)
{
	struct blk_driver *d = begin(state, 1, ALL_FEATURES);
	struct blk_io io[BLK_QUEUE_SIZE];
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < BLK_QUEUE_SIZE; i++) {
			const struct blk_io next = blk_prepare(d, BLK_OUT, i, 512);
			const struct fake_buffer buffers[] = { { next.header_gpa, 16, false },
				{ next.data_gpa, 512, false }, { next.status_gpa, 1, true } };
			io[i] = next;
			io[i].head = fake_queue_add_indirect(&d->queues[0], buffers, 3);
		}
		blk_run(d, 0);
		expect_pending(d, BLK_QUEUE_SIZE);
		assert_false(blk_needs_reset(d));
		for (unsigned i = 0; i < BLK_QUEUE_SIZE; i++)
			fake_disk_complete(d->disk, 0, 0);
		fake_disk_run(d->disk);
		for (unsigned i = 0; i < BLK_QUEUE_SIZE; i++)
			expect_answered(d, 0, &io[i], BLK_OK);
	}
}

static void ring_overfilled_needs_reset(void **state)
{
	struct blk_driver *d = begin(state, 1, ALL_FEATURES);
	for (unsigned i = 0; i < BLK_QUEUE_SIZE; i++) {
		struct blk_io next = blk_prepare(d, BLK_FLUSH, 0, 0);
		const struct fake_buffer buffers[] = { { next.header_gpa, 16, false },
			{ next.status_gpa, 1, true } };
		fake_queue_add_indirect(&d->queues[0], buffers, 2);
	}
	blk_run(d, 0);
	expect_pending(d, BLK_QUEUE_SIZE);
	fake_queue_offer(&d->queues[0], 0);
	fake_queue_ring(&d->queues[0]);
	fake_disk_run(d->disk);
	assert_true(blk_needs_reset(d));
	expect_pending(d, BLK_QUEUE_SIZE);
}

static void two_devices_live_side_by_side(void **state)
{
	struct blk_driver *d = begin(state, 1, ALL_FEATURES), other;
	blk_driver_init(&other, MIB(1));
	other.config.serial = NULL;
	blk_driver_create(&other, 1);
	blk_driver_begin(&other, ALL_FEATURES);
	fake_disk_run(other.disk);
	struct blk_io a = blk_add(d, 0, BLK_OUT, 1, 512), b = blk_add(&other, 0, BLK_GET_ID, 1, 20);
	blk_run(d, 0);
	blk_run(&other, 0);
	finish(d, 0, 0);
	expect_answered(d, 0, &a, BLK_OK);
	expect_answered(&other, 0, &b, BLK_OK);
	assert_int_equal(*(uint8_t *)blk_at(&other, b.data_gpa, 1), 0);
	blk_driver_fini(&other);
}

/* A run of everything at once, with a thread as in life; for the sanitizers. */
static void threads_at_work_and_resets_between(void **state)
{
	struct blk_driver *d = *state;
	d->disk->threaded = true;
	d->disk->automatic = true;
	blk_driver_create(d, 2);
	for (unsigned i = 0; i < 30; i++) {
		d->virtio.next_gpa = PAGE_BYTES;
		blk_driver_begin(d, i % 2 ? ~UINT64_C(0) : WITHOUT_FLUSH);
		for (unsigned j = 0; j < 60; j++) {
			unsigned queue = j % 2;
			uint32_t head, written;
			struct blk_io io = blk_add(d, queue, j % 3 ? BLK_IN : BLK_OUT, j, 2048);
			fake_queue_kick(&d->queues[queue]);
			fake_queue_wait(&d->queues[queue], &head, &written);
			assert_int_equal(head, io.head);
			assert_int_equal(blk_status(d, &io), BLK_OK);
		}
		blk_add(d, 0, BLK_IN, 0, 512);
		fake_queue_kick(&d->queues[0]);
		d->device->ops->resume(d->device);
		fake_virtio_reset(&d->virtio);
	}
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		test(flush_is_answered_after_the_disks_flush),
		test(flush_failed_is_an_error),
		test(write_without_flushes_is_answered_when_durable),
		test(write_without_flushes_is_durable_in_every_mode),
		test(write_done_during_a_flush_gets_one_of_its_own),
		test(write_failed_without_flushes_needs_no_flush),
		test(cache_mode_changes_from_the_next_write_on),
		test(cache_mode_after_reset_is_the_new_drivers),
		test(durable_disk_gets_no_flushes_of_ours),
		test(stall_tells_once_and_resume_retries_in_order),
		test(stall_again_tells_again),
		test(stall_request_is_not_read_again),
		test(stall_in_the_flush_behind_a_write_flushes_again),
		test(stall_with_nobody_to_tell_is_an_error),
		test(reset_idle_is_complete_when_the_thread_has_seen_it),
		test(reset_before_the_start_is_carried_out),
		test(reset_waits_for_what_is_in_flight),
		test(reset_drops_stalled_requests),
		test(reset_of_a_range_under_way_ends_it),
		test(reset_while_a_write_waits_for_its_flush),
		test(reset_after_the_driver_broke_a_queue),
		test(queue_reset_leaves_the_others_alone),
		test(reset_of_the_machine_with_slow_requests),
		test(queues_are_answered_each_by_itself),
		test(interrupt_comes_once_for_a_batch),
		test(notification_is_wanted_again_after_each_batch),
		test(driver_that_never_pauses_keeps_nothing_from_running),
		test(driver_that_answers_each_interrupt_keeps_nothing_from_running),
		test(ring_full_of_requests_is_served),
		test(ring_overfilled_needs_reset),
		test(two_devices_live_side_by_side),
		test(threads_at_work_and_resets_between),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
