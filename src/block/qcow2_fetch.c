/* qcow2: fetching contents that are somewhere else: in the backing image, compressed, or in a
 * cluster that is about to be copied.
 *
 * The last few unpacked clusters are kept, and those who want one that is being unpacked wait for
 * it, so that small reads in sequence unpack each cluster once. Nobody writes compressed clusters
 * here, so that what is kept stays right. Threads: see qcow2.h. */
#include "block/qcow2.h"

#include <stdlib.h>

void qcow2_iov_zero(const struct iovec *iov, unsigned count, uint64_t skip, uint64_t length)
{
	for (; count && length; iov++, count--) {
		uint64_t part;

		if (skip >= iov->iov_len) {
			skip -= iov->iov_len;
			continue;
		}
		part = min_u64(length, iov->iov_len - skip);
		memset((uint8_t *)iov->iov_base + skip, 0, part);
		length -= part;
		skip = 0;
	}
}

void qcow2_iov_fill(const struct iovec *iov, unsigned count, const uint8_t *from, uint64_t length)
{
	for (; count && length; iov++, count--) {
		uint64_t part = min_u64(length, iov->iov_len);

		memcpy(iov->iov_base, from, part);
		from += part;
		length -= part;
	}
}

static void finish(struct qcow2_fetch *fetch, int result)
{
	free(fetch->packed);
	free(fetch->bounce);
	free(fetch->request);
	fetch->packed = NULL;
	fetch->bounce = NULL;
	fetch->request = NULL;
	fetch->done(fetch, result);
}

static void file_done(struct file_io *io)
{
	struct qcow2_fetch *fetch = container_of(io, struct qcow2_fetch, io);

	finish(fetch, io->result);
}

static void submit_io(struct qcow2_fetch *fetch, uint64_t offset, uint64_t length,
	const struct iovec *iov, unsigned iov_count, void (*done)(struct file_io *io))
{
	struct block_file *file = fetch->q->file;

	fetch->io = (struct file_io){ .operation = FILE_READ,
		.offset_bytes = offset,
		.length_bytes = length,
		.iov = iov,
		.iov_count = iov_count,
		.done = done };
	file->ops->submit(file, &fetch->io);
}

/* Compressed. */

static void fill_from(struct qcow2_fetch *fetch, const uint8_t *cluster)
{
	qcow2_iov_fill(fetch->iov, fetch->iov_count,
		cluster + qcow2_in_cluster(fetch->q, fetch->guest_offset), fetch->length);
}

static struct qcow2_unpacked *find_unpacked(struct qcow2 *q, uint64_t entry)
{
	for (unsigned i = 0; i < array_size(q->unpacked); i++) {
		if (q->unpacked[i].entry == entry)
			return &q->unpacked[i];
	}
	return NULL;
}

static void packed_done(struct file_io *io)
{
	struct qcow2_fetch *fetch = container_of(io, struct qcow2_fetch, io), *next, **link;
	struct qcow2 *q = fetch->q;
	struct qcow2_unpacked *kept = &q->unpacked[q->next_unpacked];
	int result = io->result;

	if (!result && !kept->data) {
		kept->data = malloc(q->cluster_bytes);
		if (!kept->data)
			result = -ENOMEM;
	}
	if (!result) {
		kept->entry = 0;
		result = qcow2_unpack(
			q, fetch->packed, (size_t)fetch->mapping.packed_bytes, kept->data);
	}
	if (!result) {
		kept->entry = fetch->mapping.entry;
		q->next_unpacked = (q->next_unpacked + 1) % array_size(q->unpacked);
	}
	for (link = &q->unpacking; *link != fetch; link = &(*link)->next)
		;
	*link = fetch->next;
	/* All are served before anybody is told, who might make the cache take other clusters. */
	if (!result) {
		for (next = fetch; next; next = next->followers)
			fill_from(next, kept->data);
	}
	for (; fetch; fetch = next) {
		next = fetch->followers;
		finish(fetch, result);
	}
}

static void start_compressed(struct qcow2_fetch *fetch)
{
	struct qcow2 *q = fetch->q;
	struct qcow2_unpacked *kept = find_unpacked(q, fetch->mapping.entry);
	struct qcow2_fetch *other;

	if (kept) {
		fill_from(fetch, kept->data);
		finish(fetch, 0);
		return;
	}
	fetch->followers = NULL;
	for (other = q->unpacking; other; other = other->next) {
		if (other->mapping.entry != fetch->mapping.entry)
			continue;
		fetch->followers = other->followers;
		other->followers = fetch;
		return;
	}
	fetch->packed = malloc((size_t)fetch->mapping.packed_bytes);
	if (!fetch->packed) {
		finish(fetch, -ENOMEM);
		return;
	}
	fetch->next = q->unpacking;
	q->unpacking = fetch;
	fetch->io_iov.iov_base = fetch->packed;
	fetch->io_iov.iov_len = (size_t)fetch->mapping.packed_bytes;
	submit_io(fetch, fetch->mapping.host, fetch->mapping.packed_bytes, &fetch->io_iov, 1,
		packed_done);
}

/* The backing image. */

static void backing_done(struct block_request *request)
{
	struct qcow2_fetch *fetch =
		*(struct qcow2_fetch **)(void *)((uint8_t *)request + sizeof(*request));
	int result = request->result;

	if (!result && fetch->bounce)
		qcow2_iov_fill(fetch->iov, fetch->iov_count, fetch->bounce + fetch->bounce_skip,
			min_u64(fetch->length,
				request->length_bytes -
					min_u64(fetch->bounce_skip, request->length_bytes)));
	finish(fetch, result);
}

static void start_backing(struct qcow2_fetch *fetch)
{
	struct qcow2 *q = fetch->q;
	struct image *backing = q->backing;
	uint64_t present = min_u64(qcow2_backing_bytes(q, fetch->guest_offset), fetch->length);
	uint64_t begin = align_down(fetch->guest_offset, backing->block_bytes), end;
	/* request | who asked | scratch */
	const size_t head = align_up(sizeof(*fetch->request) + sizeof(void *), 64);
	struct block_request *request;

	qcow2_iov_zero(fetch->iov, fetch->iov_count, present, fetch->length - present);
	if (!present) {
		finish(fetch, 0);
		return;
	}
	request = malloc(head + backing->scratch_bytes);
	if (!request) {
		finish(fetch, -ENOMEM);
		return;
	}
	fetch->request = request;
	*request = (struct block_request){
		.operation = BLOCK_READ, .done = backing_done, .scratch = (uint8_t *)request + head
	};
	memcpy(request + 1, &fetch, sizeof(struct qcow2_fetch *));
	end = align_up(fetch->guest_offset + present, backing->block_bytes);
	if (begin == fetch->guest_offset && end == begin + fetch->length) {
		request->iov = fetch->iov;
		request->iov_count = fetch->iov_count;
	} else {
		fetch->bounce = malloc((size_t)(end - begin));
		if (!fetch->bounce) {
			finish(fetch, -ENOMEM);
			return;
		}
		fetch->bounce_skip = fetch->guest_offset - begin;
		fetch->io_iov.iov_base = fetch->bounce;
		fetch->io_iov.iov_len = (size_t)(end - begin);
		request->iov = &fetch->io_iov;
		request->iov_count = 1;
		fetch->length = present;
	}
	request->offset_bytes = begin;
	request->length_bytes = end - begin;
	backing->ops->submit(backing, request);
}

void qcow2_fetch_start(struct qcow2_fetch *fetch)
{
	switch (fetch->mapping.kind) {
	case QCOW2_IS_DATA:
		submit_io(fetch,
			fetch->mapping.host + qcow2_in_cluster(fetch->q, fetch->guest_offset),
			fetch->length, fetch->iov, fetch->iov_count, file_done);
		return;
	case QCOW2_IS_COMPRESSED:
		start_compressed(fetch);
		return;
	case QCOW2_IS_UNALLOCATED:
		if (fetch->q->backing) {
			start_backing(fetch);
			return;
		}
		break;
	case QCOW2_IS_ZERO:
		break;
	}
	qcow2_iov_zero(fetch->iov, fetch->iov_count, 0, fetch->length);
	finish(fetch, 0);
}

void qcow2_fetch_fini(struct qcow2 *q)
{
	for (unsigned i = 0; i < array_size(q->unpacked); i++)
		free(q->unpacked[i].data);
}
