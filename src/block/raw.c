/* Raw images: the disk is the file, byte for byte.
 *
 * A file whose size is no multiple of a sector is taken as rounded up, as QEMU takes it: the rest
 * of the last sector reads as zeroes, and the first write to it makes the file whole.
 *
 * Threads: see image.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/image.h"

#define ZERO_BYTES  KIB(64)
#define ZERO_PIECES 16

struct raw_image {
	struct image base;
	struct block_file *file;
};

/* In a request's scratch. */
struct raw_request {
	struct file_io io;
	struct raw_image *image;
	struct block_request *request;
	struct iovec pieces[ZERO_PIECES];
};

/* Never written to, so all of it is the one zero page of the kernel. */
static uint8_t zeroes[ZERO_BYTES] __attribute__((aligned(4096)));

static void finish(struct raw_request *raw, int result)
{
	raw->request->result = result;
	raw->request->done(raw->request);
}

static void transfer_done(struct file_io *io)
{
	finish(container_of(io, struct raw_request, io), io->result);
}

static void discard_done(struct file_io *io)
{
	/* A discard is a hint. */
	finish(container_of(io, struct raw_request, io),
		io->result == -EOPNOTSUPP ? 0 : io->result);
}

/* The host cannot make zeroes: they are written, piece by piece. */
static void write_zeroes(struct raw_request *raw, uint64_t offset, uint64_t end)
{
	uint64_t length = 0;
	unsigned count = 0;

	while (count < ZERO_PIECES && offset + length < end) {
		uint64_t piece = min_u64(ZERO_BYTES, end - offset - length);

		raw->pieces[count++] = (struct iovec){ zeroes, piece };
		length += piece;
	}
	raw->io.operation = FILE_WRITE;
	raw->io.offset_bytes = offset;
	raw->io.length_bytes = length;
	raw->io.iov = raw->pieces;
	raw->io.iov_count = count;
	raw->image->file->ops->submit(raw->image->file, &raw->io);
}

static void zero_done(struct file_io *io)
{
	struct raw_request *raw = container_of(io, struct raw_request, io);
	const struct block_request *request = raw->request;
	uint64_t end = request->offset_bytes + request->length_bytes;

	if (io->operation == FILE_WRITE) {
		uint64_t reached = io->offset_bytes + io->length_bytes;

		if (io->result || reached == end)
			finish(raw, io->result);
		else
			write_zeroes(raw, reached, end);
	} else if (io->result != -EOPNOTSUPP) {
		finish(raw, io->result);
	} else if (io->operation == FILE_ZERO_UNMAP) {
		io->operation = FILE_ZERO;
		raw->image->file->ops->submit(raw->image->file, io);
	} else {
		write_zeroes(raw, request->offset_bytes, end);
	}
}

static void raw_submit(struct image *base, struct block_request *request)
{
	struct raw_image *image = container_of(base, struct raw_image, base);
	struct raw_request *raw = request->scratch;
	struct file_io *io = &raw->io;

	raw->image = image;
	raw->request = request;
	io->offset_bytes = request->offset_bytes;
	io->length_bytes = request->length_bytes;
	io->iov = request->iov;
	io->iov_count = request->iov_count;
	io->done = transfer_done;
	switch (request->operation) {
	case BLOCK_READ:
		io->operation = FILE_READ;
		break;
	case BLOCK_WRITE:
		io->operation = FILE_WRITE;
		break;
	case BLOCK_FLUSH:
		io->operation = FILE_SYNC;
		io->length_bytes = 0;
		break;
	case BLOCK_DISCARD:
		io->operation = FILE_PUNCH;
		io->done = discard_done;
		break;
	case BLOCK_WRITE_ZEROES:
		io->operation = request->may_unmap ? FILE_ZERO_UNMAP : FILE_ZERO;
		io->done = zero_done;
		break;
	}
	image->file->ops->submit(image->file, io);
}

static int raw_settle(struct image *base)
{
	struct raw_image *image = container_of(base, struct raw_image, base);

	return base->read_only ? 0 : image->file->ops->sync(image->file);
}

static bool raw_resized(struct image *base)
{
	struct raw_image *image = container_of(base, struct raw_image, base);
	uint64_t size;

	if (image->file->ops->size(image->file, &size) || size > INT64_MAX - PAGE_BYTES)
		return false;
	size = align_up(size, base->block_bytes);
	return atomic_exchange(&base->size_bytes, size) != size;
}

static void raw_destroy(struct image *base)
{
	struct raw_image *image = container_of(base, struct raw_image, base);

	image->file->ops->close(image->file);
	free(image);
}

int raw_open(struct block_file *file, struct image **base, struct error *err)
{
	static const struct image_ops ops = {
		.format = "raw",
		.submit = raw_submit,
		.settle = raw_settle,
		.resized = raw_resized,
		.destroy = raw_destroy,
	};
	struct raw_image *image;
	uint64_t size;
	int ret = file->ops->size(file, &size);

	*base = NULL;
	if (ret) {
		error_set(err, -ret, "%s: %s", file->path, strerror(-ret));
		goto close_file;
	}
	if (!size) {
		ret = error_set(err, EINVAL, "%s: is empty (%s)", file->path,
			file->is_device ? "is there a medium in it?"
					: "'truncate -s 20G' gives it a size");
		goto close_file;
	}
	if (size > INT64_MAX - PAGE_BYTES) {
		ret = error_set(err, EFBIG, "%s: is too large", file->path);
		goto close_file;
	}
	image = calloc(1, sizeof(*image));
	if (!image) {
		ret = error_set(err, ENOMEM, "%s: out of memory", file->path);
		goto close_file;
	}
	image->file = file;
	image->base.ops = &ops;
	image->base.block_bytes = file->block_bytes;
	image->base.physical_block_bytes = file->physical_block_bytes;
	image->base.discard_granularity_bytes = file->can_punch ? file->physical_block_bytes : 0;
	image->base.read_only = file->read_only;
	image->base.scratch_bytes = sizeof(struct raw_request);
	atomic_init(&image->base.size_bytes, align_up(size, file->block_bytes));
	*base = &image->base;
	return 0;

close_file:
	file->ops->close(file);
	return ret;
}
