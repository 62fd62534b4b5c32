/* Raw images over a file in memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/image.h"
#include "cmocka_all.h"
#include "fake_file.h"

struct fixture {
	struct fake_file *file;
	struct image *image;
};

struct request {
	struct block_request base;
	struct iovec iov;
	unsigned done;
};

static void open_image(struct fixture *fixture, uint64_t bytes)
{
	struct error err = { "" };

	fixture->file = fake_file_create(bytes);
	fake_file_keep(fixture->file);
	memset(fixture->file->bytes, 0x5a, bytes);
	if (raw_open(&fixture->file->base, &fixture->image, &err))
		fail_msg("%s", err.text);
}

static void close_image(struct fixture *fixture)
{
	fixture->image->ops->destroy(fixture->image);
	assert_true(fixture->file->closed);
	fake_file_free(fixture->file);
}

static void done(struct block_request *base)
{
	container_of(base, struct request, base)->done++;
}

/* Runs one request to its end and gives its result. */
static int perform(struct fixture *fixture, enum block_operation operation, uint64_t offset,
	void *buffer, uint64_t length, bool may_unmap)
{
	struct request request = { .iov = { buffer, length },
		.base = { .operation = operation,
			.may_unmap = may_unmap,
			.offset_bytes = offset,
			.length_bytes = length,
			.iov_count = 1,
			.result = 1,
			.done = done } };

	request.base.iov = &request.iov;
	request.base.scratch = malloc(fixture->image->scratch_bytes);
	fixture->image->ops->submit(fixture->image, &request.base);
	fake_file_run(fixture->file);
	assert_int_equal(request.done, 1);
	free(request.base.scratch);
	return request.base.result;
}

static void raw_written_reads_back(void **state)
{
	uint8_t out[4096], in[4096];
	struct fixture fixture;

	(void)state;
	open_image(&fixture, MIB(1));
	assert_int_equal(fixture.image->size_bytes, MIB(1));
	assert_string_equal(fixture.image->ops->format, "raw");
	memset(out, 0x11, sizeof(out));
	assert_int_equal(perform(&fixture, BLOCK_WRITE, 8192, out, sizeof(out), false), 0);
	assert_int_equal(perform(&fixture, BLOCK_READ, 8192, in, sizeof(in), false), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(fixture.file->bytes[8191], 0x5a);
	assert_int_equal(fixture.file->bytes[12288], 0x5a);
	close_image(&fixture);
}

static void raw_odd_size_is_rounded_up(void **state)
{
	struct fixture fixture;
	uint8_t sector[512];

	(void)state;
	open_image(&fixture, 1024 + 7);
	assert_int_equal(fixture.image->size_bytes, 1536);
	assert_int_equal(perform(&fixture, BLOCK_READ, 1024, sector, 512, false), 0);
	assert_int_equal(sector[6], 0x5a);
	assert_int_equal(sector[7], 0);
	assert_int_equal(sector[511], 0);
	assert_int_equal(fixture.file->size_bytes, 1031); /* reading changed nothing */
	memset(sector, 1, 512);
	assert_int_equal(perform(&fixture, BLOCK_WRITE, 1024, sector, 512, false), 0);
	assert_int_equal(fixture.file->size_bytes, 1536);
	close_image(&fixture);
}

static void raw_empty_is_refused(void **state)
{
	struct fake_file *file = fake_file_create(0);
	struct image *image;
	struct error err;

	(void)state;
	fake_file_keep(file);
	assert_int_equal(raw_open(&file->base, &image, &err), -EINVAL);
	assert_null(image);
	assert_non_null(strstr(err.text, "empty"));
	assert_true(file->closed);
	fake_file_free(file);
}

static void raw_flush_syncs(void **state)
{
	struct fixture fixture;

	(void)state;
	open_image(&fixture, MIB(1));
	assert_int_equal(perform(&fixture, BLOCK_FLUSH, 0, NULL, 0, false), 0);
	assert_int_equal(fixture.file->operations[FILE_SYNC], 1);
	assert_int_equal(fixture.image->ops->settle(fixture.image), 0);
	assert_int_equal(fixture.file->operations[FILE_SYNC], 2);
	fixture.file->fault_mask = 1 << FILE_SYNC;
	fixture.file->fault_at = fixture.file->fault_count + 1;
	fixture.file->fault_errno = EIO;
	assert_int_equal(perform(&fixture, BLOCK_FLUSH, 0, NULL, 0, false), -EIO);
	assert_int_equal(perform(&fixture, BLOCK_FLUSH, 0, NULL, 0, false), -EIO);
	assert_int_equal(fixture.image->ops->settle(fixture.image), -EIO);
	close_image(&fixture);
}

/* However the host can make zeroes, or cannot: they are there, and nothing else is. */
static void raw_zeroes_fall_back(void **state)
{
	(void)state;
	for (unsigned can = 0; can < 8; can++) {
		uint64_t length = MIB(2) + 512 * 3;
		struct fixture fixture;

		open_image(&fixture, MIB(4));
		fixture.file->base.can_zero = can & 1;
		fixture.file->base.can_punch = can & 2;
		assert_int_equal(
			perform(&fixture, BLOCK_WRITE_ZEROES, 512, NULL, length, can & 4), 0);
		assert_int_equal(fixture.file->bytes[511], 0x5a);
		for (uint64_t at = 512; at < 512 + length; at++)
			assert_int_equal(fixture.file->bytes[at], 0);
		assert_int_equal(fixture.file->bytes[512 + length], 0x5a);
		if (can & 1)
			assert_int_equal(fixture.file->operations[FILE_WRITE], 0);
		else
			assert_int_equal(fixture.file->operations[FILE_WRITE], 3);
		if (!(can & 4))
			assert_int_equal(fixture.file->operations[FILE_ZERO_UNMAP], 0);
		close_image(&fixture);
	}
}

static void raw_zeroes_that_fail_say_so(void **state)
{
	(void)state;
	for (unsigned fault_at = 1; fault_at <= 3; fault_at++) {
		struct fixture fixture;

		open_image(&fixture, MIB(4));
		fixture.file->base.can_zero = false;
		fixture.file->fault_mask = 1 << FILE_WRITE;
		fixture.file->fault_at = fault_at;
		fixture.file->fault_errno = ENOSPC;
		assert_int_equal(
			perform(&fixture, BLOCK_WRITE_ZEROES, 0, NULL, MIB(3), false), -ENOSPC);
		fixture.file->fault_at = 0;
		assert_int_equal(perform(&fixture, BLOCK_WRITE_ZEROES, 0, NULL, MIB(3), false), 0);
		close_image(&fixture);
	}
}

static void raw_discard_is_a_hint(void **state)
{
	struct fixture fixture;

	(void)state;
	open_image(&fixture, MIB(1));
	assert_int_equal(fixture.image->discard_granularity_bytes, 4096);
	assert_int_equal(perform(&fixture, BLOCK_DISCARD, 4096, NULL, 8192, true), 0);
	assert_int_equal(fixture.file->operations[FILE_PUNCH], 1);
	fixture.file->base.can_punch = false;
	assert_int_equal(perform(&fixture, BLOCK_DISCARD, 4096, NULL, 8192, true), 0);
	fixture.file->base.can_punch = true;
	fixture.file->fault_at = fixture.file->fault_count + 1;
	fixture.file->fault_mask = 1 << FILE_PUNCH;
	fixture.file->fault_errno = EIO;
	assert_int_equal(perform(&fixture, BLOCK_DISCARD, 4096, NULL, 8192, true), -EIO);
	close_image(&fixture);
}

static void raw_each_failure_is_reported(void **state)
{
	static const int errnums[] = { EIO, ENOSPC };
	uint8_t bytes[512];

	(void)state;
	for (size_t i = 0; i < array_size(errnums); i++) {
		for (int operation = BLOCK_READ; operation <= BLOCK_WRITE_ZEROES; operation++) {
			struct fixture fixture;

			open_image(&fixture, MIB(1));
			fixture.file->fault_at = 1;
			fixture.file->fault_errno = errnums[i];
			assert_int_equal(perform(&fixture, (enum block_operation)operation, 0,
						 bytes, operation == BLOCK_FLUSH ? 0 : 512, true),
				-errnums[i]);
			close_image(&fixture);
		}
	}
}

static void raw_resized_is_seen(void **state)
{
	struct fixture fixture;

	(void)state;
	open_image(&fixture, MIB(1));
	assert_false(fixture.image->ops->resized(fixture.image));
	assert_int_equal(fake_file_resize(fixture.file, MIB(2) + 1), 0);
	assert_true(fixture.image->ops->resized(fixture.image));
	assert_int_equal(fixture.image->size_bytes, MIB(2) + 512);
	assert_false(fixture.image->ops->resized(fixture.image));
	close_image(&fixture);
}

static void raw_read_only_is_not_written(void **state)
{
	struct fixture fixture = { .file = fake_file_create(MIB(1)) };

	(void)state;
	fake_file_keep(fixture.file);
	fixture.file->base.read_only = true;
	assert_int_equal(raw_open(&fixture.file->base, &fixture.image, NULL), 0);
	assert_true(fixture.image->read_only);
	assert_int_equal(fixture.image->ops->settle(fixture.image), 0);
	close_image(&fixture);
}

/* The contract of disks on the plainest of them: whatever the moment of a power cut, what was
 * written before a flush that was done is there. */
static void raw_flushed_survives_power_cuts(void **state)
{
	enum {
		SECTORS = 64,
		STEPS = 120
	};
	uint8_t flushed[SECTORS] = { 0 }, written[SECTORS] = { 0 }, sector[512];
	struct fixture fixture;
	uint64_t seed = 1, flushed_at = 0;

	(void)state;
	open_image(&fixture, SECTORS * 512);
	memset(fixture.file->bytes, 0, SECTORS * 512);
	fake_file_checkpoint(fixture.file);
	for (unsigned step = 1; step <= STEPS; step++) {
		unsigned at = (unsigned)(fake_file_random(&seed) % SECTORS);

		memset(sector, (int)step, 512);
		assert_int_equal(perform(&fixture, BLOCK_WRITE, at * 512u, sector, 512, false), 0);
		written[at] = (uint8_t)step;
		if (step % 10 == 0) {
			assert_int_equal(perform(&fixture, BLOCK_FLUSH, 0, NULL, 0, false), 0);
			memcpy(flushed, written, sizeof(flushed));
			flushed_at = fixture.file->now;
		}
		for (unsigned cut = 0; cut < 5; cut++) {
			struct fake_file *crashed = fake_file_crash(
				fixture.file, fixture.file->now, fake_file_random(&seed));

			for (unsigned i = 0; i < SECTORS; i++)
				assert_true(crashed->bytes[i * 512u] >= flushed[i]);
			fake_file_free(crashed);
		}
	}
	assert_true(flushed_at > 0);
	close_image(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(raw_written_reads_back),
		cmocka_unit_test(raw_odd_size_is_rounded_up),
		cmocka_unit_test(raw_empty_is_refused),
		cmocka_unit_test(raw_flush_syncs),
		cmocka_unit_test(raw_zeroes_fall_back),
		cmocka_unit_test(raw_zeroes_that_fail_say_so),
		cmocka_unit_test(raw_discard_is_a_hint),
		cmocka_unit_test(raw_each_failure_is_reported),
		cmocka_unit_test(raw_resized_is_seen),
		cmocka_unit_test(raw_read_only_is_not_written),
		cmocka_unit_test(raw_flushed_survives_power_cuts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
