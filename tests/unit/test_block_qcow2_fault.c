/* qcow2 on a file that fails: every operation in turn, once or from then on. Nothing hangs, nothing
 * is told to be durable that is not, the image stays consistent, and what failed for want of space
 * works when there is some. */
#include "cmocka_all.h"

#include "qcow2_world.h"

#define REQUESTS 70u

static const struct world_kind kinds[] = {
	{ "v3", "cluster_size=4k", KIB(512), false, false, false, 0, 0, 64 },
	{ "backing", "cluster_size=4k", KIB(256), false, false, false, KIB(200) + 512, 0, 64 },
	{ "snapshot, a small cache", "cluster_size=512", KIB(256), true, false, true, 0, 8192, 64 },
	{ "compressed", "cluster_size=4k", KIB(256), true, true, false, 0, 0, 64 },
};

struct fault {
	int number;
	bool forever;
	uint64_t after_bytes;
	unsigned mask;
};

static const struct fault faults[] = {
	{ EIO, false, 0, FAKE_FILE_ALL },
	{ EIO, true, 512, FAKE_FILE_ALL },
	{ ENOSPC, false, 1024, 1u << FILE_WRITE },
	{ EIO, true, 0, 1u << FILE_SYNC },
};

/* Every sector may be asked for again: those of failed writes are written anew. */
static void write_again(struct world *w)
{
	for (uint64_t i = 0; i < w->sectors; i++) {
		if (w->sector[i].now != WORLD_ANY)
			continue;
		world_require(world_submit(w, BLOCK_WRITE, i, 1));
		world_drain(w);
	}
}

static void compare_with_history(struct world *w)
{
	uint8_t *data = world_read_all(w->image, w->file, w->backing_file);

	for (uint64_t i = 0; i < w->sectors; i++)
		world_require(world_allowed(w, i, data + i * WORLD_SECTOR, w->file->now));
	free(data);
}

static void open_again(struct world *w)
{
	w->image->ops->destroy(w->image);
	fake_file_reopen(w->file);
	w->image = world_open_image(w->file, w->backing_file, w->cache_bytes);
	world_require(w->image);
}

/* False: the fault came too late to strike. */
static bool run_with_fault(const struct world_kind *kind, const struct fault *fault, unsigned at)
{
	struct world *w = world_make(kind, 4711);
	size_t flushes;
	bool struck;
	int r;

	w->history = true;
	w->file->fault_mask = fault->mask;
	w->file->fault_errno = fault->number;
	w->file->fault_forever = fault->forever;
	w->file->fault_after_bytes = fault->after_bytes;
	w->file->fault_at = at;
	for (unsigned i = 0; i < REQUESTS; i++)
		world_step(w);
	world_submit(w, BLOCK_FLUSH, 0, 0);
	world_drain(w);
	struck = w->file->faults;
	flushes = w->flush_count;
	/* What is in memory is right, whatever has failed. */
	w->file->fault_at = 0;
	world_verify(w);
	if (w->file->sync_failed) {
		/* And stays so. */
		world_submit(w, BLOCK_WRITE, 0, 1);
		world_submit(w, BLOCK_FLUSH, 0, 0);
		world_drain(w);
		world_require(w->flush_count == flushes);
		world_require(w->image->ops->settle(w->image) < 0);
		open_again(w);
		world_check(w->file, true);
		compare_with_history(w);
		world_destroy(w);
		return struck;
	}
	write_again(w);
	world_require(world_submit(w, BLOCK_FLUSH, 0, 0));
	world_drain(w);
	world_require(w->flush_count == flushes + 1);
	world_verify(w);
	r = w->image->ops->settle(w->image);
	world_require(!r);
	/* Reads of refcounts that failed may have left something behind. */
	world_check(w->file, fault->mask & 1u << FILE_READ);
	open_again(w);
	world_verify(w);
	world_destroy(w);
	return struck;
}

static void qcow2_every_operation_failing_in_turn_is_survived(void **state)
{
	unsigned runs = 0;

	(void)state;
	for (size_t i = 0; i < array_size(kinds); i++) {
		world_make_image(&kinds[i]);
		for (size_t j = 0; j < array_size(faults); j++) {
			for (unsigned at = 1; run_with_fault(&kinds[i], &faults[j], at); at++)
				runs++;
		}
	}
	printf("%u faults\n", runs);
}

/* Directed ones. */

static const struct world_kind plain = { "v3", "cluster_size=4k", KIB(512), false, false, false, 0,
	0, 64 };

static struct world *plain_world(void)
{
	world_make_image(&plain);
	return world_make(&plain, 1);
}

static void write_now(struct world *w, uint64_t first, uint64_t count)
{
	assert_true(world_submit(w, BLOCK_WRITE, first, count));
	world_drain(w);
}

static void flush_now(struct world *w)
{
	assert_true(world_submit(w, BLOCK_FLUSH, 0, 0));
	world_drain(w);
}

static void qcow2_write_without_space_can_be_repeated(void **state)
{
	struct world *w = plain_world();

	(void)state;
	w->file->fault_mask = 1u << FILE_WRITE;
	w->file->fault_errno = ENOSPC;
	w->file->fault_at = 1;
	w->file->fault_after_bytes = 512;
	write_now(w, 3, 2);
	assert_int_equal(w->failed, 1);
	assert_int_equal(w->last_error, -ENOSPC);
	w->file->fault_at = 0;
	/* The sectors around it are zeroes, still, although the file has more now. */
	w->sector[3].now = WORLD_ZERO;
	w->sector[4].now = WORLD_ZERO;
	world_verify(w);
	write_now(w, 4, 1);
	world_verify(w);
	assert_int_equal(w->image->ops->settle(w->image), 0);
	world_check(w->file, false);
	world_destroy(w);
}

static void qcow2_flush_fails_when_metadata_cannot_be_written_and_works_again(void **state)
{
	struct world *w = plain_world();

	(void)state;
	write_now(w, 0, 16);
	w->file->fault_mask = 1u << FILE_WRITE;
	w->file->fault_errno = EIO;
	w->file->fault_at = 1;
	flush_now(w);
	assert_int_equal(w->failed_flushes, 1);
	w->file->fault_at = 0;
	flush_now(w);
	assert_int_equal(w->failed_flushes, 1);
	assert_int_equal(w->flush_count, 1);
	world_check(w->file, false);
	world_destroy(w);
}

static void qcow2_failed_sync_stays_failed(void **state)
{
	struct world *w = plain_world();

	(void)state;
	write_now(w, 0, 16);
	w->file->fault_mask = 1u << FILE_SYNC;
	w->file->fault_errno = EIO;
	w->file->fault_at = 1;
	flush_now(w);
	flush_now(w);
	write_now(w, 100, 16);
	flush_now(w);
	assert_int_equal(w->failed_flushes, 3);
	assert_int_equal(w->image->ops->settle(w->image), -EIO);
	world_destroy(w);
}

/* On a block device the file cannot grow. */
static void qcow2_full_device_gives_enospc_until_something_is_discarded(void **state)
{
	struct world *w;

	(void)state;
	world_make_image(&plain);
	w = world_make(&plain, 1);
	w->image->ops->destroy(w->image);
	fake_file_reopen(w->file);
	assert_int_equal(fake_file_resize(w->file, KIB(64)), 0);
	w->file->base.is_device = true;
	w->image = world_open_image(w->file, NULL, 0);
	assert_non_null(w->image);
	for (uint64_t i = 0; i < 16; i++)
		write_now(w, i * 8, 8);
	assert_true(w->failed > 0);
	assert_int_equal(w->last_error, -ENOSPC);
	for (uint64_t i = 0; i < w->sectors; i++) {
		if (w->sector[i].now == WORLD_ANY)
			w->sector[i].now = WORLD_ZERO;
	}
	world_verify(w);
	/* No flush asked for: the write that needs the space makes the commit that frees it. */
	w->failed = 0;
	assert_true(world_submit(w, BLOCK_DISCARD, 0, 8));
	world_drain(w);
	write_now(w, 200, 8);
	assert_int_equal(w->failed, 0);
	world_verify(w);
	assert_int_equal(w->image->ops->settle(w->image), 0);
	world_check(w->file, false);
	assert_int_equal(w->file->size_bytes, KIB(64));
	world_destroy(w);
}

static void finish_first_pending_last(struct fake_file *file)
{
	while (file->pending_count > 1)
		fake_file_run_one(file, 1);
}

static void ignore_done(struct block_request *request)
{
	(void)request;
}

/* A write is on its way to a cluster that is discarded meanwhile: the cluster is not given to
 * anybody before that write has ended. */
static void qcow2_freed_cluster_with_io_on_it_is_not_reused(void **state)
{
	struct world *w = plain_world();
	uint8_t buffer[4096];
	struct iovec iov = { buffer, sizeof(buffer) };
	struct block_request late = { .operation = BLOCK_WRITE,
		.length_bytes = sizeof(buffer),
		.iov = &iov,
		.iov_count = 1,
		.done = ignore_done,
		.scratch = malloc(w->image->scratch_bytes) };

	(void)state;
	write_now(w, 0, 8);
	flush_now(w);
	memset(buffer, 0xcc, sizeof(buffer));
	w->image->ops->submit(w->image, &late);
	assert_true(world_submit(w, BLOCK_DISCARD, 0, 8));
	for (unsigned i = 0; i < 4; i++) {
		assert_true(world_submit(w, BLOCK_FLUSH, 0, 0));
		finish_first_pending_last(w->file);
		assert_true(world_submit(w, BLOCK_WRITE, 64 + i * 8, 8));
		finish_first_pending_last(w->file);
	}
	assert_int_equal(w->in_flight, 0);
	world_drain(w);
	world_verify(w);
	flush_now(w);
	/* Now it is: the file does not grow any more. */
	flush_now(w);
	uint64_t before = w->file->size_bytes;
	write_now(w, 128, 8);
	assert_int_equal(w->file->size_bytes, before);
	assert_int_equal(w->image->ops->settle(w->image), 0);
	world_check(w->file, false);
	world_destroy(w);
	free(late.scratch);
}

/* A cluster that is kept for zeroes is being written when it is discarded: not freed and used. */
static void qcow2_discard_waits_for_a_write_to_a_kept_cluster(void **state)
{
	struct world *w = plain_world();
	uint8_t buffer[4096];
	struct iovec iov = { buffer, sizeof(buffer) };
	struct block_request late = { .operation = BLOCK_WRITE,
		.length_bytes = sizeof(buffer),
		.iov = &iov,
		.iov_count = 1,
		.done = ignore_done,
		.scratch = malloc(w->image->scratch_bytes) };
	struct block_request zero = { .operation = BLOCK_WRITE_ZEROES,
		.length_bytes = sizeof(buffer),
		.done = ignore_done,
		.scratch = malloc(w->image->scratch_bytes) };

	(void)state;
	write_now(w, 0, 8);
	w->image->ops->submit(w->image, &zero);
	fake_file_run(w->file);
	memset(buffer, 0xcc, sizeof(buffer));
	w->image->ops->submit(w->image, &late);
	assert_int_equal(w->file->pending_count, 1);
	assert_true(world_submit(w, BLOCK_DISCARD, 0, 8));
	assert_int_equal(w->in_flight, 1);
	for (unsigned i = 0; i < 4; i++) {
		assert_true(world_submit(w, BLOCK_FLUSH, 0, 0));
		finish_first_pending_last(w->file);
		assert_true(world_submit(w, BLOCK_WRITE, 64 + i * 8, 8));
		finish_first_pending_last(w->file);
	}
	world_drain(w);
	world_verify(w);
	assert_int_equal(w->image->ops->settle(w->image), 0);
	world_check(w->file, false);
	world_destroy(w);
	free(late.scratch);
	free(zero.scratch);
}

static unsigned count_io(const struct world *w)
{
	return w->file->operations[FILE_READ] + w->file->operations[FILE_WRITE];
}

/* What the speed rests on, counted. */
static void qcow2_io_is_merged_and_small(void **state)
{
	const struct world_kind kind = { "64 KiB", "cluster_size=64k", MIB(4), false, false, false,
		0, 0, 0 };
	uint64_t bytes = 0;
	struct world *w;
	unsigned before;

	(void)state;
	world_make_image(&kind);
	w = world_make(&kind, 1);
	write_now(w, 0, 1); /* makes the L2 table */
	before = count_io(w);
	write_now(w, 128, 384);
	assert_int_equal(count_io(w), before + 1);
	write_now(w, 128, 384);
	assert_int_equal(count_io(w), before + 2);
	assert_true(world_submit(w, BLOCK_READ, 130, 380));
	world_drain(w);
	assert_int_equal(count_io(w), before + 3);
	/* 4 KiB into a new cluster are 4 KiB. */
	write_now(w, 1024 + 64, 8);
	assert_int_equal(
		w->file->records[w->file->record_count - 1].length_bytes, 8 * WORLD_SECTOR);
	/* A flush of it: a piece of the refcounts, of the L2 table; two syncs. */
	flush_now(w);
	before = w->file->operations[FILE_SYNC];
	write_now(w, 2048 + 64, 8);
	size_t first = w->file->record_count;
	flush_now(w);
	for (size_t i = first; i < w->file->record_count; i++)
		bytes += w->file->records[i].length_bytes;
	assert_int_equal(bytes, 2 * QCOW2_PIECE_BYTES);
	assert_int_equal(w->file->operations[FILE_SYNC], before + 2);
	/* Overwriting: one sync; nothing written: none. */
	write_now(w, 2048 + 64, 8);
	flush_now(w);
	assert_int_equal(w->file->operations[FILE_SYNC], before + 3);
	flush_now(w);
	assert_int_equal(w->file->operations[FILE_SYNC], before + 3);
	world_destroy(w);
}

static void qcow2_compressed_cluster_is_unpacked_once_for_small_reads(void **state)
{
	const struct world_kind kind = { "zlib", "cluster_size=64k", MIB(1), true, true, false, 0,
		0, 0 };
	struct world *w;
	unsigned before;

	(void)state;
	world_make_image(&kind);
	w = world_make(&kind, 1);
	assert_true(world_submit(w, BLOCK_READ, 200, 8)); /* has the L2 table read */
	world_drain(w);
	before = count_io(w);
	for (unsigned i = 0; i < 8; i++)
		assert_true(world_submit(w, BLOCK_READ, i * 8, 8));
	world_drain(w);
	assert_int_equal(count_io(w), before + 1);
	world_destroy(w);
}

/* Flushes that come together cost what one costs. */
static void qcow2_flushes_are_grouped(void **state)
{
	struct world *w = plain_world();
	unsigned before;

	(void)state;
	write_now(w, 0, 8);
	before = w->file->operations[FILE_SYNC];
	for (unsigned i = 0; i < 10; i++)
		assert_true(world_submit(w, BLOCK_FLUSH, 0, 0));
	world_drain(w);
	assert_int_equal(w->flush_count, 10);
	assert_true(w->file->operations[FILE_SYNC] <= before + 3);
	world_destroy(w);
}

static int teardown(void **state)
{
	(void)state;
	world_folder_remove();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(qcow2_every_operation_failing_in_turn_is_survived),
		cmocka_unit_test(qcow2_write_without_space_can_be_repeated),
		cmocka_unit_test(qcow2_flush_fails_when_metadata_cannot_be_written_and_works_again),
		cmocka_unit_test(qcow2_failed_sync_stays_failed),
		cmocka_unit_test(qcow2_full_device_gives_enospc_until_something_is_discarded),
		cmocka_unit_test(qcow2_freed_cluster_with_io_on_it_is_not_reused),
		cmocka_unit_test(qcow2_discard_waits_for_a_write_to_a_kept_cluster),
		cmocka_unit_test(qcow2_io_is_merged_and_small),
		cmocka_unit_test(qcow2_compressed_cluster_is_unpacked_once_for_small_reads),
		cmocka_unit_test(qcow2_flushes_are_grouped),
	};

	if (!world_has_qemu_img()) {
		printf("skipped: qemu-img is not installed\n");
		world_folder_remove();
		return 77;
	}
	return cmocka_run_group_tests_name("block_qcow2_fault", tests, NULL, teardown);
}
