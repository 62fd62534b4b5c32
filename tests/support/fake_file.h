/* A block_file in memory for tests of image formats: operations finish when the test says so, in
 * the order it says, any of them can be made to fail, and from what was recorded the states can be
 * built that a power cut could have left behind.
 *
 * Time: every submission and every completion is a tick of file->now. A write is durable at time t
 * if a sync that was submitted after the write was done has itself been done by t with result 0;
 * everything else that was submitted by then may or may not have reached the disk, sector (512
 * bytes) by sector, finished or not. After a failed sync nothing becomes durable any more.
 *
 *	struct fake_file *file = fake_file_create(MIB(1));
 *	raw_open(&file->base, &image, &err);         the image owns and closes it ...
 *	fake_file_keep(file);                        ... but a test may look at it afterwards
 *	image->ops->submit(image, &request);
 *	fake_file_run(file);                         until nothing is pending
 *	crashed = fake_file_crash(file, file->now, seed);
 *	fake_file_free(file);
 *
 * Threads: one. Header-only. */
#ifndef VMGUI_TESTS_FAKE_FILE_H
#define VMGUI_TESTS_FAKE_FILE_H

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/file.h"

#define FAKE_FILE_LIMIT_BYTES GIB(1)
#define FAKE_FILE_SECTOR      UINT64_C(512)

enum {
	FAKE_FILE_TRUNCATE = FILE_ZERO_UNMAP + 1, /* as a file_operation, for masks and records */
	FAKE_FILE_ALL = (1 << (FAKE_FILE_TRUNCATE + 1)) - 1,
};

/* What was done, in the order of completion. */
struct fake_record {
	int operation; /* enum file_operation, FAKE_FILE_TRUNCATE; reads are not recorded */
	int result;
	uint64_t submitted, done;            /* ticks */
	uint64_t offset_bytes, length_bytes; /* TRUNCATE: offset is the size */
	uint8_t *data;                       /* WRITE: what reached the file */
	uint64_t data_bytes;                 /* less than length after a fault */
};

struct fake_pending {
	struct file_io *io;
	uint64_t submitted;
};

struct fake_file {
	struct block_file base;
	uint64_t now;
	uint8_t *bytes; /* as a reader sees it now */
	uint64_t size_bytes, allocated_bytes;
	uint8_t *first; /* as it was durable before the first record */
	uint64_t first_bytes;

	struct fake_pending *pending;
	size_t pending_count, pending_allocated;
	struct fake_record *records;
	size_t record_count, record_allocated;

	/* Faults. Operations whose bit is in fault_mask are counted; number fault_at (from 1; 0:
	 * none) fails with fault_errno, and all later ones too if fault_forever. A write that fails
	 * has still written its first fault_after_bytes. */
	unsigned fault_mask, fault_at, fault_count;
	int fault_errno; /* positive */
	bool fault_forever;
	uint64_t fault_after_bytes;
	unsigned faults; /* how many struck */

	uint64_t shuffle; /* not 0: a seed; what is pending finishes in random order */
	bool sync_failed, keep, closed;
	bool wrote_read_only; /* somebody tried to change a read-only file */
	unsigned operations[FAKE_FILE_TRUNCATE + 1];
};

static inline uint64_t fake_file_random(uint64_t *state)
{
	uint64_t value = *state += UINT64_C(0x9e3779b97f4a7c15);

	value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
	return value ^ value >> 31;
}

static inline void *fake_file_grow(void *array, size_t *allocated, size_t count, size_t element)
{
	if (count < *allocated)
		return array;
	*allocated = *allocated ? *allocated * 2 : 64;
	array = realloc(array, *allocated * element);
	if (!array)
		abort();
	return array;
}

/* The bytes up to size exist; new ones are zero. */
static inline int fake_file_resize(struct fake_file *file, uint64_t size)
{
	if (size > FAKE_FILE_LIMIT_BYTES)
		return -EFBIG;
	if (size > file->allocated_bytes) {
		uint64_t allocated = max_u64(size, file->allocated_bytes * 2);

		file->bytes = realloc(file->bytes, allocated);
		if (!file->bytes)
			abort();
		file->allocated_bytes = allocated;
	}
	if (size > file->size_bytes)
		memset(file->bytes + file->size_bytes, 0, size - file->size_bytes);
	file->size_bytes = size;
	return 0;
}

static inline int fake_file_put(
	struct fake_file *file, uint64_t offset, const void *data, uint64_t length)
{
	if (offset > FAKE_FILE_LIMIT_BYTES || length > FAKE_FILE_LIMIT_BYTES)
		return -EFBIG;
	if (!length)
		return 0;
	if (offset + length > file->size_bytes) {
		int ret = fake_file_resize(file, offset + length);

		if (ret)
			return ret;
	}
	if (data)
		memcpy(file->bytes + offset, data, length);
	else
		memset(file->bytes + offset, 0, length);
	return 0;
}

/* The fault that hits this operation, or 0. */
static inline int fake_file_fault(struct fake_file *file, int operation)
{
	file->operations[operation]++;
	if (!file->fault_at || !(file->fault_mask & 1u << operation))
		return 0;
	file->fault_count++;
	if (file->fault_count != file->fault_at &&
		!(file->fault_forever && file->fault_count > file->fault_at))
		return 0;
	file->faults++;
	return -file->fault_errno;
}

/* One operation takes effect now; data is contiguous, of a READ it is filled. */
static inline int fake_file_execute(struct fake_file *file, int operation, uint64_t submitted,
	uint64_t offset, uint64_t length, void *data)
{
	struct fake_record *record;
	uint64_t effective = length;
	int ret = fake_file_fault(file, operation);

	if (operation == FILE_READ) {
		uint64_t there =
			offset < file->size_bytes ? min_u64(length, file->size_bytes - offset) : 0;

		if (ret)
			return ret;
		if (there)
			memcpy(data, file->bytes + offset, there);
		memset((uint8_t *)data + there, 0, length - there);
		return 0;
	}
	if (operation != FILE_SYNC && file->base.read_only) {
		file->wrote_read_only = true;
		return -EBADF;
	}
	if (ret)
		effective = operation == FILE_WRITE ? min_u64(file->fault_after_bytes, length) : 0;
	if (operation == FILE_SYNC) {
		if (ret)
			file->sync_failed = true;
		else if (file->sync_failed)
			ret = -EIO;
	} else if (operation == FILE_WRITE) {
		int put = fake_file_put(file, offset, data, effective);

		if (!ret)
			ret = put;
	} else if (operation == FAKE_FILE_TRUNCATE) {
		if (!ret)
			ret = fake_file_resize(file, offset);
	} else if ((operation == FILE_PUNCH && !file->base.can_punch) ||
		   (operation != FILE_PUNCH && !file->base.can_zero)) {
		ret = -EOPNOTSUPP;
	} else if (!ret && offset < file->size_bytes) {
		ret = fake_file_put(file, offset, NULL, min_u64(length, file->size_bytes - offset));
	}

	file->records = fake_file_grow(
		file->records, &file->record_allocated, file->record_count, sizeof(*file->records));
	record = &file->records[file->record_count++];
	*record = (struct fake_record){ .operation = operation,
		.result = ret,
		.submitted = submitted,
		.done = ++file->now,
		.offset_bytes = offset,
		.length_bytes = length };
	if (operation == FILE_WRITE && effective) {
		record->data = malloc(effective);
		if (!record->data)
			abort();
		memcpy(record->data, data, effective);
		record->data_bytes = effective;
	}
	return ret;
}

static inline void *fake_file_gather(const struct file_io *io, bool fill)
{
	uint8_t *data = malloc(io->length_bytes ? io->length_bytes : 1);
	uint64_t at = 0;

	if (!data)
		abort();
	for (unsigned i = 0; fill && i < io->iov_count; i++) {
		if (!range_fits(at, io->iov[i].iov_len, io->length_bytes))
			abort(); /* a submitter whose iov is longer than its length */
		memcpy(data + at, io->iov[i].iov_base, io->iov[i].iov_len);
		at += io->iov[i].iov_len;
	}
	if (fill && at != io->length_bytes)
		abort();
	return data;
}

/* Finishes the pending operation with that index. */
static inline void fake_file_run_one(struct fake_file *file, size_t index)
{
	struct fake_pending pending = file->pending[index];
	struct file_io *io = pending.io;
	bool has_data = io->operation == FILE_READ || io->operation == FILE_WRITE;
	uint8_t *data = NULL;

	memmove(file->pending + index, file->pending + index + 1,
		(--file->pending_count - index) * sizeof(*file->pending));
	if (has_data)
		data = fake_file_gather(io, true);
	io->result = fake_file_execute(file, (int)io->operation, pending.submitted,
		io->offset_bytes, io->length_bytes, data);
	if (io->operation == FILE_READ && !io->result) {
		uint64_t at = 0;

		for (unsigned i = 0; i < io->iov_count; i++) {
			memcpy(io->iov[i].iov_base, data + at, io->iov[i].iov_len);
			at += io->iov[i].iov_len;
		}
	}
	free(data);
	io->done(io);
}

/* Finishes everything that is pending and what comes of it; how many that were. A bound keeps a
 * test from running for ever when something retries endlessly. */
static inline unsigned fake_file_run(struct fake_file *file)
{
	unsigned count = 0;

	while (file->pending_count) {
		size_t index = 0;

		if (++count > 10000000)
			abort();
		if (file->shuffle)
			index = fake_file_random(&file->shuffle) % file->pending_count;
		fake_file_run_one(file, index);
	}
	return count;
}

static inline void fake_file_submit(struct block_file *base, struct file_io *io)
{
	struct fake_file *file = container_of(base, struct fake_file, base);

	file->pending = fake_file_grow(file->pending, &file->pending_allocated, file->pending_count,
		sizeof(*file->pending));
	file->pending[file->pending_count++] = (struct fake_pending){ io, ++file->now };
}

static inline int fake_file_read(
	struct block_file *base, uint64_t offset, void *buffer, size_t length)
{
	struct fake_file *file = container_of(base, struct fake_file, base);

	return fake_file_execute(file, FILE_READ, ++file->now, offset, length, buffer);
}

static inline int fake_file_write(
	struct block_file *base, uint64_t offset, const void *buffer, size_t length)
{
	struct fake_file *file = container_of(base, struct fake_file, base);

	return fake_file_execute(file, FILE_WRITE, ++file->now, offset, length, (void *)buffer);
}

static inline int fake_file_sync(struct block_file *base)
{
	struct fake_file *file = container_of(base, struct fake_file, base);

	return fake_file_execute(file, FILE_SYNC, ++file->now, 0, 0, NULL);
}

static inline int fake_file_truncate(struct block_file *base, uint64_t size)
{
	struct fake_file *file = container_of(base, struct fake_file, base);

	return fake_file_execute(file, FAKE_FILE_TRUNCATE, ++file->now, size, 0, NULL);
}

static inline int fake_file_size(struct block_file *base, uint64_t *size)
{
	*size = container_of(base, struct fake_file, base)->size_bytes;
	return 0;
}

/* Takes the contents of now for durable and forgets how they came about. */
static inline void fake_file_checkpoint(struct fake_file *file)
{
	for (size_t i = 0; i < file->record_count; i++)
		free(file->records[i].data);
	file->record_count = 0;
	free(file->first);
	file->first_bytes = file->size_bytes;
	file->first = malloc(file->size_bytes ? file->size_bytes : 1);
	if (!file->first)
		abort();
	if (file->size_bytes)
		memcpy(file->first, file->bytes, file->size_bytes);
}

static inline void fake_file_free(struct fake_file *file)
{
	if (!file)
		return;
	for (size_t i = 0; i < file->record_count; i++)
		free(file->records[i].data);
	free(file->records);
	free(file->pending);
	free(file->bytes);
	free(file->first);
	free(file);
}

static inline void fake_file_close(struct block_file *base)
{
	struct fake_file *file = container_of(base, struct fake_file, base);

	if (file->pending_count || file->closed)
		abort(); /* closed with I/O in flight, or twice */
	file->closed = true;
	if (!file->keep)
		fake_file_free(file);
}

/* Closing leaves it to fake_file_free. */
static inline void fake_file_keep(struct fake_file *file)
{
	file->keep = true;
}

/* To open what was closed (and kept) once more, as another process would. */
static inline void fake_file_reopen(struct fake_file *file)
{
	file->closed = false;
	file->sync_failed = false;
	file->fault_at = 0;
	file->base.read_only = false;
}

static inline struct fake_file *fake_file_create(uint64_t size_bytes)
{
	static const struct block_file_ops ops = {
		.submit = fake_file_submit,
		.read = fake_file_read,
		.write = fake_file_write,
		.sync = fake_file_sync,
		.truncate = fake_file_truncate,
		.size = fake_file_size,
		.close = fake_file_close,
	};
	struct fake_file *file = calloc(1, sizeof(*file));

	if (!file || fake_file_resize(file, size_bytes))
		abort();
	file->base = (struct block_file){ .ops = &ops,
		.path = "fake.img",
		.block_bytes = 512,
		.physical_block_bytes = 4096,
		.can_punch = true,
		.can_zero = true };
	file->fault_mask = FAKE_FILE_ALL;
	fake_file_checkpoint(file);
	return file;
}

static inline struct fake_file *fake_file_from(const void *bytes, uint64_t size_bytes)
{
	struct fake_file *file = fake_file_create(size_bytes);

	if (size_bytes)
		memcpy(file->bytes, bytes, size_bytes);
	fake_file_checkpoint(file);
	return file;
}

/* NULL when it cannot be read. */
static inline struct fake_file *fake_file_load(const char *path)
{
	struct fake_file *file = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);

	if (size >= 0) {
		file = fake_file_create((uint64_t)size);
		if (pread(fd, file->bytes, (size_t)size, 0) != size) {
			fake_file_free(file);
			file = NULL;
		} else {
			fake_file_checkpoint(file);
		}
	}
	if (fd >= 0)
		close(fd);
	return file;
}

/* Writes it to the host's disk, for qemu-img. 0 or negative errno. */
static inline int fake_file_save(const struct fake_file *file, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	uint64_t at = 0;

	if (fd < 0)
		return -errno;
	while (at < file->size_bytes) {
		ssize_t count = write(fd, file->bytes + at, file->size_bytes - at);

		if (count <= 0) {
			close(fd);
			return -EIO;
		}
		at += (uint64_t)count;
	}
	return close(fd) ? -errno : 0;
}

/* True if the record's effect was sure to survive a power cut at that time. */
static inline bool fake_file_durable(
	const struct fake_file *file, const struct fake_record *record, uint64_t time)
{
	for (size_t i = 0; i < file->record_count; i++) {
		const struct fake_record *sync = &file->records[i];

		if (sync->operation == FILE_SYNC && !sync->result && sync->done <= time &&
			sync->submitted > record->done)
			return true;
	}
	return false;
}

/* Applies what there is of a record to a crashed file: all, nothing, or some of its sectors. */
static inline void fake_file_replay(struct fake_file *crashed, const struct fake_record *record,
	const uint8_t *data, bool durable, uint64_t *seed)
{
	uint64_t length =
		record->operation == FILE_WRITE ? record->data_bytes : record->length_bytes;
	uint64_t start = record->offset_bytes, end = start + length;
	unsigned mode = durable ? 0 : (unsigned)(fake_file_random(seed) % 3);

	if (mode == 1)
		return;
	if (record->operation == FAKE_FILE_TRUNCATE) {
		if (!record->result)
			(void)fake_file_resize(crashed, start);
		return;
	}
	if (record->operation != FILE_WRITE) {
		if (record->result)
			return;
		end = min_u64(end, crashed->size_bytes); /* they never make it longer */
	}
	for (uint64_t at = start; at < end;) {
		uint64_t next = min_u64((at / FAKE_FILE_SECTOR + 1) * FAKE_FILE_SECTOR, end);

		if (mode == 0 || fake_file_random(seed) & 1)
			(void)fake_file_put(
				crashed, at, data ? data + (at - start) : NULL, next - at);
		at = next;
	}
}

/* What a power cut at that tick (file->now: at once) could have left; another seed, another
 * outcome. A new file, the caller's to free. */
static inline struct fake_file *fake_file_crash(
	const struct fake_file *file, uint64_t time, uint64_t seed)
{
	struct fake_file *crashed = fake_file_from(file->first, file->first_bytes);

	for (size_t i = 0; i < file->record_count; i++) {
		const struct fake_record *record = &file->records[i];

		if (record->operation == FILE_SYNC || record->submitted > time)
			continue;
		fake_file_replay(crashed, record, record->data,
			record->done <= time && fake_file_durable(file, record, time), &seed);
	}
	for (size_t i = 0; i < file->pending_count; i++) {
		const struct file_io *io = file->pending[i].io;
		struct fake_record record = { .operation = (int)io->operation,
			.offset_bytes = io->offset_bytes,
			.length_bytes = io->length_bytes,
			.data_bytes = io->length_bytes };
		uint8_t *data;

		if (io->operation == FILE_READ || io->operation == FILE_SYNC ||
			file->pending[i].submitted > time)
			continue;
		data = io->operation == FILE_WRITE ? fake_file_gather(io, true) : NULL;
		fake_file_replay(crashed, &record, data, false, &seed);
		free(data);
	}
	fake_file_checkpoint(crashed);
	return crashed;
}

#endif
