/* Reading and writing a file or block device of the host; see file.h, and posix_open.c for how it
 * is opened.
 *
 * An operation is a series of system calls: prepare sets up the next one for what is left, advance
 * looks at how it went. The asynchronous operations let the engine make the call, the synchronous
 * ones make it themselves.
 *
 * Direct I/O needs offset, length and memory aligned. What is not goes through the page cache by a
 * second descriptor, where neighbours in one block are safe from each other, which they would not
 * be if we read, changed and wrote whole blocks. The kernel keeps the two coherent as long as
 * writes of the two kinds are not in flight together: a cached page that is changed while a direct
 * write to another part of it is under way keeps the old contents of that part, and writes them
 * back later (the kernel notices, too late, and fails the next sync). So one kind waits for the
 * other, first come, first served. */
#include "block/posix_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/engine_internal.h"
#include "core/log.h"

/* Of a call that keeps giving EINTR or EAGAIN without getting anywhere. */
#define RETRIES 100

static struct posix_file *posix_file(struct block_file *base)
{
	return container_of(base, struct posix_file, base);
}

static bool is_aligned(const struct posix_file *file, const struct file_call *call)
{
	uint64_t together = call->offset_bytes, memory = 0;

	for (unsigned i = 0; i < call->iov_count; i++) {
		together |= call->iov[i].iov_len;
		memory |= (uintptr_t)call->iov[i].iov_base;
	}
	return !(together & (file->align_bytes - 1)) && !(memory & (file->memory_align_bytes - 1));
}

static void prepare_transfer(struct posix_file *file, struct file_io *io)
{
	struct file_call *call = &io->call;
	uint64_t skip = io->finished_bytes;
	unsigned first = 0;

	while (first < io->iov_count && skip >= io->iov[first].iov_len)
		skip -= io->iov[first++].iov_len;
	call->kind = io->operation == FILE_READ ? FILE_CALL_READ : FILE_CALL_WRITE;
	call->offset_bytes = io->offset_bytes + io->finished_bytes;
	if (skip) { /* a short count ended inside of an element: its rest is a call of its own */
		call->part.iov_base = (char *)io->iov[first].iov_base + skip;
		call->part.iov_len = io->iov[first].iov_len - skip;
		call->iov = &call->part;
		call->iov_count = 1;
	} else {
		call->iov = io->iov + first;
		call->iov_count = io->iov_count - first;
		if (call->iov_count > IOV_MAX)
			call->iov_count = IOV_MAX;
	}
	call->direct = file->base.direct && is_aligned(file, call);
	call->fd = call->direct ? file->fd : file->buffered_fd;
}

static void prepare(struct posix_file *file, struct file_io *io)
{
	struct file_call *call = &io->call;

	call->fd = file->fd;
	call->offset_bytes = io->offset_bytes;
	call->length_bytes = io->length_bytes;
	switch (io->operation) {
	case FILE_READ:
	case FILE_WRITE:
		prepare_transfer(file, io);
		return;
	case FILE_SYNC:
		call->kind = FILE_CALL_SYNC;
		/* What finishes from now on may or may not be covered. */
		io->finished_bytes = file->changes;
		return;
	case FILE_PUNCH:
		if (file->base.is_device) {
			call->kind = FILE_CALL_DISCARD;
			return;
		}
		/* fallthrough */
	case FILE_ZERO_UNMAP:
		call->kind = FILE_CALL_ALLOCATE;
		call->mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
		return;
	case FILE_ZERO:
		call->kind = FILE_CALL_ALLOCATE;
		call->mode = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
		return;
	}
}

static void fill_zeroes(struct file_io *io)
{
	uint64_t skip = io->finished_bytes;

	for (unsigned i = 0; i < io->iov_count; i++) {
		size_t length = io->iov[i].iov_len;

		if (skip < length) {
			memset((char *)io->iov[i].iov_base + skip, 0, length - skip);
			skip = 0;
		} else {
			skip -= length;
		}
	}
}

static void report(const struct posix_file *file, const struct file_io *io, int errnum)
{
	static const char *const names[] = { "reading", "writing", "sync", "discarding", "zeroing",
		"zeroing" };
	static struct log_limit limit;
	unsigned dropped;

	if (!log_limit_pass(&limit, &dropped))
		return;
	log_warn("block", "%s: %s at %llu: %s", file->path, names[io->operation],
		(unsigned long long)io->offset_bytes, strerror(errnum));
}

static int sync_failure(struct posix_file *file, int errnum)
{
	/* What was dirty may have been dropped by the kernel, and its next sync would know nothing
	 * of it: no sync of this file can be trusted any more. That includes ENOSPC, which cannot
	 * be waited out when the data is gone. */
	if (!file->sync_failed)
		log_error("block",
			"%s: writing to stable storage failed: %s (what the guest wrote last may "
			"be "
			"lost; it is told that flushes fail)",
			file->path, strerror(errnum));
	file->sync_failed = true;
	return -EIO;
}

/* Of a failed punch or zero: 0 if the host can do it, just not now. */
static bool is_unsupported(int errnum)
{
	return errnum == EOPNOTSUPP || errnum == ENOSYS || errnum == ENOTTY || errnum == EINVAL ||
	       errnum == EPERM;
}

static int allocate_failure(struct posix_file *file, struct file_io *io, int errnum)
{
	if (!is_unsupported(errnum)) {
		report(file, io, errnum);
		return -errnum;
	}
	/* EINVAL may be about this range. */
	if (errnum != EINVAL) {
		if (io->operation == FILE_PUNCH)
			file->base.can_punch = false;
		else if (io->operation == FILE_ZERO)
			file->base.can_zero = false;
		else
			file->can_zero_unmap = false;
	}
	return -EOPNOTSUPP;
}

/* True if the operation is finished, with its result; false if another call is needed. */
static bool advance(struct posix_file *file, struct file_io *io)
{
	int64_t result = io->call.result;
	bool transfer = io->operation == FILE_READ || io->operation == FILE_WRITE;

	if (result < 0) {
		int errnum = (int)-result;

		if ((errnum == EINTR || errnum == EAGAIN) && io->retries++ < RETRIES) {
			io->call.blocking = errnum == EAGAIN;
			return false;
		}
		if (errnum == EINTR || errnum == EAGAIN)
			errnum = EIO;
		if (io->operation != FILE_READ && io->operation != FILE_SYNC)
			file->changes++; /* some of it may have been done */
		if (errnum == EDQUOT)
			errnum = ENOSPC;
		if (io->operation == FILE_SYNC) {
			io->result = sync_failure(file, errnum);
		} else if (transfer) {
			if (errnum != ENOSPC)
				report(file, io, errnum);
			io->result = -errnum;
		} else {
			io->result = allocate_failure(file, io, errnum);
		}
		return true;
	}
	io->result = 0;
	if (io->operation == FILE_SYNC) {
		/* Another one that ran at the same time may have failed. */
		if (file->sync_failed)
			io->result = -EIO;
		else
			file->synced_changes = max_u64(file->synced_changes, io->finished_bytes);
		return true;
	}
	if (io->operation != FILE_READ)
		file->changes++;
	if (!transfer)
		return true;
	if (!result && io->operation == FILE_READ) {
		fill_zeroes(io); /* the end of the file */
		return true;
	}
	if (!result) {
		report(file, io, EIO);
		io->result = -EIO;
		return true;
	}
	io->finished_bytes += (uint64_t)result;
	io->retries = 0;
	return io->finished_bytes >= io->length_bytes;
}

/* True if there is a call to be made at all; otherwise io->result is what to say. */
static bool is_needed(struct posix_file *file, struct file_io *io)
{
	io->file = &file->base;
	io->finished_bytes = 0;
	io->retries = 0;
	io->call.blocking = false;
	io->result = 0;
	switch (io->operation) {
	case FILE_SYNC:
		if (file->sync_failed)
			io->result = -EIO;
		else
			return !file->temporary && file->changes != file->synced_changes;
		return false;
	case FILE_PUNCH:
		if (!file->base.can_punch)
			io->result = -EOPNOTSUPP;
		break;
	case FILE_ZERO:
		if (!file->base.can_zero)
			io->result = -EOPNOTSUPP;
		break;
	case FILE_ZERO_UNMAP:
		if (!file->can_zero_unmap)
			io->result = -EOPNOTSUPP;
		break;
	default:
		break;
	}
	return io->length_bytes && !io->result;
}

static bool takes_turns(const struct posix_file *file, const struct file_call *call)
{
	return file->base.direct && call->kind == FILE_CALL_WRITE;
}

static void begin_write(struct posix_file *file, struct file_io *io)
{
	file->writing[io->call.direct]++;
	engine_submit(file->engine, &io->call);
}

static void issue(struct posix_file *file, struct file_io *io)
{
	prepare(file, io);
	if (!takes_turns(file, &io->call)) {
		engine_submit(file->engine, &io->call);
	} else if (!file->waiting && !file->writing[!io->call.direct]) {
		begin_write(file, io);
	} else {
		io->next = NULL;
		*(file->waiting ? file->last_waiting : &file->waiting) = io;
		file->last_waiting = &io->next;
	}
}

static void end_write(struct posix_file *file, const struct file_call *call)
{
	file->writing[call->direct]--;
	while (file->waiting && !file->writing[!file->waiting->call.direct]) {
		struct file_io *io = file->waiting;

		file->waiting = io->next;
		begin_write(file, io);
	}
}

static void call_complete(struct file_call *call)
{
	struct file_io *io = container_of(call, struct file_io, call);
	struct posix_file *file = posix_file(io->file);

	if (takes_turns(file, call))
		end_write(file, call);
	if (call->kind != FILE_CALL_NOTHING && !advance(file, io))
		issue(file, io);
	else
		io->done(io);
}

static void file_submit(struct block_file *base, struct file_io *io)
{
	struct posix_file *file = posix_file(base);

	io->call.complete = call_complete;
	if (is_needed(file, io)) {
		issue(file, io);
		return;
	}
	io->call.kind = FILE_CALL_NOTHING;
	engine_submit(file->engine, &io->call);
}

/* The same here and now. */
static int perform(struct posix_file *file, struct file_io *io)
{
	if (!is_needed(file, io))
		return io->result;
	do {
		prepare(file, io);
		if (!engine_strike(&io->call))
			io->call.result = engine_execute(&io->call);
	} while (!advance(file, io));
	return io->result;
}

static int file_read(struct block_file *base, uint64_t offset, void *buffer, size_t length)
{
	struct iovec iov = { buffer, length };
	struct file_io io = { .operation = FILE_READ,
		.offset_bytes = offset,
		.length_bytes = length,
		.iov = &iov,
		.iov_count = 1 };

	return perform(posix_file(base), &io);
}

static int file_write(struct block_file *base, uint64_t offset, const void *buffer, size_t length)
{
	struct iovec iov = { (void *)buffer, length };
	struct file_io io = { .operation = FILE_WRITE,
		.offset_bytes = offset,
		.length_bytes = length,
		.iov = &iov,
		.iov_count = 1 };

	return perform(posix_file(base), &io);
}

static int file_sync(struct block_file *base)
{
	struct file_io io = { .operation = FILE_SYNC };

	return perform(posix_file(base), &io);
}

static int file_truncate(struct block_file *base, uint64_t size_bytes)
{
	struct posix_file *file = posix_file(base);
	struct file_call call = {
		.kind = FILE_CALL_TRUNCATE, .fd = file->fd, .length_bytes = size_bytes
	};
	unsigned retries = 0;

	if (base->is_device)
		return -EOPNOTSUPP;
	file->changes++;
	do {
		if (!engine_strike(&call))
			call.result = engine_execute(&call);
	} while (call.result == -EINTR && retries++ < RETRIES);
	return call.result == -EDQUOT ? -ENOSPC : (int)call.result;
}

static int file_size(struct block_file *base, uint64_t *size_bytes)
{
	struct posix_file *file = posix_file(base);
	struct stat status;

	if (base->is_device) {
		if (ioctl(file->fd, BLKGETSIZE64, size_bytes) < 0)
			return -errno;
		return 0;
	}
	if (fstat(file->fd, &status) < 0)
		return -errno;
	*size_bytes = (uint64_t)status.st_size;
	return 0;
}

static void file_close(struct block_file *base)
{
	struct posix_file *file = posix_file(base);

	if (file->buffered_fd != file->fd)
		close(file->buffered_fd);
	close(file->fd); /* the locks go with it */
	free(file->path);
	free(file);
}

const struct block_file_ops posix_file_ops = {
	.submit = file_submit,
	.read = file_read,
	.write = file_write,
	.sync = file_sync,
	.truncate = file_truncate,
	.size = file_size,
	.close = file_close,
};

void posix_file_set_engine(struct block_file *base, struct engine *engine)
{
	posix_file(base)->engine = engine;
}
