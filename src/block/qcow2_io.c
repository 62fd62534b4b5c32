/* qcow2: requests, and the pieces of them that are in flight.
 *
 * A request is worked through from front to back in steps. A step takes the longest run of clusters
 * that can go to the file as one operation and begins it, as one of a few pieces. When it cannot go
 * on it waits: for one of its pieces, or in the list of somebody who will wake it, and then looks
 * at the tables anew. Threads: see qcow2.h. */
#include "block/qcow2.h"

#include <assert.h>
#include <stdlib.h>

void qcow2_op_list_init(struct qcow2_op_list *list)
{
	list->first = NULL;
	list->last = &list->first;
}

static void list_append(struct qcow2_op_list *list, struct qcow2_op *op)
{
	op->next = NULL;
	*list->last = op;
	list->last = &op->next;
}

void qcow2_op_wait(struct qcow2_op *op, struct qcow2_op_list *list)
{
	op->waiting = true;
	list_append(list, op);
}

/* Tells the submitters, whose answer may be further requests that end at once: one after the other,
 * not inside each other. */
void qcow2_op_finish(struct qcow2_op *op, int result)
{
	struct qcow2 *q = op->q;

	op->result = result;
	list_append(&q->finished, op);
	if (q->telling)
		return;
	q->telling = true;
	while (q->finished.first) {
		struct block_request *request;

		op = q->finished.first;
		q->finished.first = op->next;
		if (!op->next)
			q->finished.last = &q->finished.first;
		request = op->request;
		request->result = op->result;
		request->done(request);
	}
	q->telling = false;
}

static int64_t step(struct qcow2_op *op)
{
	switch (op->request->operation) {
	case BLOCK_READ:
		return qcow2_step_read(op);
	case BLOCK_WRITE:
		return qcow2_step_write(op, op->left);
	case BLOCK_DISCARD:
		return qcow2_step_discard(op);
	case BLOCK_WRITE_ZEROES:
		return qcow2_step_zero(op);
	default:
		return -EOPNOTSUPP;
	}
}

/* As far as it goes. The op is gone afterwards if it was the last. */
static void run(struct qcow2_op *op)
{
	op->running = true;
	while (op->left && !op->result && !op->waiting) {
		int64_t r = step(op);

		if (r < 0)
			op->result = (int)r;
		if (r <= 0 && !op->woken)
			break;
		op->woken = false;
	}
	op->running = false;
	if (!op->busy && !op->waiting && (!op->left || op->result))
		qcow2_op_finish(op, op->result);
}

void qcow2_op_wake(struct qcow2_op_list *list, int error)
{
	struct qcow2_op *op = list->first, *next;

	qcow2_op_list_init(list);
	for (; op; op = next) {
		next = op->next;
		op->waiting = false;
		if (!op->result)
			op->result = error;
		if (op->running) /* by the very step that made it wait */
			op->woken = true;
		else
			run(op);
	}
}

int64_t qcow2_wait_for_room(struct qcow2_op *op)
{
	struct qcow2 *q = op->q;

	qcow2_op_wait(op, &q->room_waiters);
	/* Otherwise a piece in flight, or a commit that is running, will wake it. */
	if (q->cache.dirty || q->open_frees.count)
		qcow2_commit(q);
	return 0;
}

void qcow2_op_advance(struct qcow2_op *op, uint64_t bytes)
{
	op->offset += bytes;
	op->left -= bytes;
	while (bytes && op->iov_left) {
		uint64_t rest = op->iov->iov_len - op->iov_used;

		if (bytes < rest) {
			op->iov_used += bytes;
			return;
		}
		bytes -= rest;
		op->iov_used = 0;
		op->iov++;
		op->iov_left--;
	}
}

struct qcow2_piece *qcow2_piece_free(struct qcow2_op *op)
{
	for (unsigned i = 0; i < QCOW2_PIECES; i++) {
		if (!op->pieces[i].busy)
			return &op->pieces[i];
	}
	return NULL;
}

void qcow2_piece_begin(struct qcow2_op *op, struct qcow2_piece *piece)
{
	struct qcow2 *q = op->q;

	piece->op = op;
	piece->busy = true;
	piece->epoch = q->epoch;
	piece->younger = NULL;
	piece->older = q->youngest_piece;
	if (q->youngest_piece)
		q->youngest_piece->younger = piece;
	else
		q->oldest_piece = piece;
	q->youngest_piece = piece;
	op->busy++;
}

void qcow2_piece_end(struct qcow2_piece *piece, int result)
{
	struct qcow2_op *op = piece->op;
	struct qcow2 *q = op->q;
	bool had_bounce = piece->bounce_bytes;

	if (piece->older)
		piece->older->younger = piece->younger;
	else
		q->oldest_piece = piece->younger;
	if (piece->younger)
		piece->younger->older = piece->older;
	else
		q->youngest_piece = piece->older;
	q->bounce_bytes -= piece->bounce_bytes;
	free(piece->heap_iov);
	free(piece->bounce);
	memset(piece, 0, sizeof(*piece));
	op->busy--;
	if (!op->result)
		op->result = result;
	if (!op->running)
		run(op);
	if (had_bounce)
		qcow2_op_wake(&q->bounce_waiters, 0);
	if (q->old_frees) { /* it may have been the last in the way */
		qcow2_reclaim(q, true);
		qcow2_op_wake(&q->room_waiters, 0);
	}
}

bool qcow2_bounce_available(struct qcow2_op *op, uint64_t bytes)
{
	struct qcow2 *q = op->q;

	/* One may always go on, however big its clusters are. */
	if (!bytes || !q->bounce_bytes || q->bounce_bytes + bytes <= QCOW2_MAX_BOUNCE_BYTES)
		return true;
	qcow2_op_wait(op, &q->bounce_waiters);
	return false;
}

bool qcow2_being_written(const struct qcow2 *q, uint64_t cluster)
{
	for (const struct qcow2_piece *piece = q->oldest_piece; piece; piece = piece->younger) {
		if (cluster >= piece->host_first &&
			cluster - piece->host_first < piece->host_clusters)
			return true;
	}
	return false;
}

int qcow2_piece_iov(struct qcow2_op *op, struct qcow2_piece *piece, uint64_t length,
	const struct iovec *front, const struct iovec *back)
{
	struct iovec zeroes = { op->q->zeroes, (size_t)length };
	const struct iovec *from = op->zeroes ? &zeroes : op->iov;
	size_t used = op->zeroes ? 0 : op->iov_used;
	uint64_t covered = 0, bytes = length;
	unsigned count = 0, extra = 0;
	struct iovec *iov;

	if (front)
		extra++;
	if (back)
		extra++;
	while (covered < length + used)
		covered += from[count++].iov_len;
	if (!extra && !used && covered == length && !op->zeroes) {
		piece->io.iov = from; /* the submitter's, as it is */
		piece->io.iov_count = count;
		return 0;
	}
	iov = piece->inline_iov;
	if (count + extra > QCOW2_INLINE_IOV) {
		iov = piece->heap_iov = malloc((count + extra) * sizeof(*iov));
		if (!iov)
			return -ENOMEM;
	}
	piece->io.iov = iov;
	piece->io.iov_count = count + extra;
	if (front)
		*iov++ = *front;
	for (; bytes; from++, iov++) {
		iov->iov_base = (uint8_t *)from->iov_base + used;
		iov->iov_len = (size_t)min_u64(from->iov_len - used, bytes);
		bytes -= iov->iov_len;
		used = 0;
	}
	if (back)
		*iov = *back;
	return 0;
}

/* Reading. */

static void read_done(struct file_io *io)
{
	struct qcow2_piece *piece = container_of(io, struct qcow2_piece, io);

	qcow2_piece_end(piece, io->result);
}

static void fetch_done(struct qcow2_fetch *fetch, int result)
{
	struct qcow2_piece *piece = fetch->opaque;

	free(fetch);
	qcow2_piece_end(piece, result);
}

/* From the backing image, or compressed. */
static int64_t read_elsewhere(
	struct qcow2_op *op, const struct qcow2_mapping *mapping, uint64_t length)
{
	struct qcow2 *q = op->q;
	struct qcow2_piece *piece;
	struct qcow2_fetch *fetch;
	uint64_t bounce = 0;
	int r;

	if (mapping->kind == QCOW2_IS_COMPRESSED)
		bounce = mapping->packed_bytes;
	else if (q->backing->block_bytes > BLOCK_SECTOR_BYTES)
		bounce = length =
			min_u64(length, q->cluster_bytes - qcow2_in_cluster(q, op->offset));
	piece = qcow2_piece_free(op);
	if (!piece || !qcow2_bounce_available(op, bounce))
		return 0;
	fetch = calloc(1, sizeof(*fetch));
	if (!fetch)
		return -ENOMEM;
	r = qcow2_piece_iov(op, piece, length, NULL, NULL);
	if (r) {
		free(fetch);
		return r;
	}
	qcow2_piece_begin(op, piece);
	piece->bounce_bytes = (size_t)bounce;
	q->bounce_bytes += (size_t)bounce;
	fetch->q = q;
	fetch->mapping = *mapping;
	fetch->guest_offset = op->offset;
	fetch->length = length;
	fetch->iov = piece->io.iov;
	fetch->iov_count = piece->io.iov_count;
	fetch->done = fetch_done;
	fetch->opaque = piece;
	qcow2_op_advance(op, length);
	qcow2_fetch_start(fetch);
	return (int64_t)length;
}

static int64_t read_zeroes(struct qcow2_op *op, uint64_t length)
{
	qcow2_iov_zero(op->iov, op->iov_left, op->iov_used, length);
	qcow2_op_advance(op, length);
	return (int64_t)length;
}

static int64_t read_data(struct qcow2_op *op, uint64_t host, uint64_t length)
{
	struct qcow2 *q = op->q;
	struct qcow2_piece *piece = qcow2_piece_free(op);
	int r;

	if (!piece)
		return 0;
	r = qcow2_piece_iov(op, piece, length, NULL, NULL);
	if (r)
		return r;
	qcow2_piece_begin(op, piece);
	piece->io.operation = FILE_READ;
	piece->io.offset_bytes = host + qcow2_in_cluster(q, op->offset);
	piece->io.length_bytes = length;
	piece->io.done = read_done;
	qcow2_op_advance(op, length);
	q->file->ops->submit(q->file, &piece->io);
	return (int64_t)length;
}

int64_t qcow2_step_read(struct qcow2_op *op)
{
	struct qcow2 *q = op->q;
	uint64_t guest = op->offset >> q->cluster_bits, index = qcow2_l2_index(q, guest);
	uint64_t clusters = (UINT64_C(1) << q->l2_bits) - index, run_length = 1, length;
	struct qcow2_mapping mapping = { .kind = QCOW2_IS_UNALLOCATED }, next;
	struct qcow2_block *l2;
	int r;

	r = qcow2_l2_get(q, guest, &l2);
	if (!r && l2)
		r = qcow2_decode(q, qcow2_entry(&l2->table, index), &mapping);
	if (r)
		return r;
	length = min_u64(op->left, (clusters << q->cluster_bits) - qcow2_in_cluster(q, op->offset));
	clusters = (qcow2_in_cluster(q, op->offset) + length + q->cluster_bytes - 1) >>
		   q->cluster_bits;
	if (!l2)
		run_length = clusters;
	while (run_length < clusters && mapping.kind != QCOW2_IS_COMPRESSED) {
		if (qcow2_decode(q, qcow2_entry(&l2->table, index + run_length), &next) ||
			next.kind != mapping.kind)
			break;
		if (mapping.kind == QCOW2_IS_DATA &&
			next.host != mapping.host + (run_length << q->cluster_bits))
			break;
		run_length++;
	}
	length = min_u64(length, (run_length << q->cluster_bits) - qcow2_in_cluster(q, op->offset));
	switch (mapping.kind) {
	case QCOW2_IS_DATA:
		return read_data(op, mapping.host, length);
	case QCOW2_IS_COMPRESSED:
		return read_elsewhere(op, &mapping, length);
	case QCOW2_IS_UNALLOCATED:
		if (qcow2_backing_bytes(q, op->offset))
			return read_elsewhere(
				op, &mapping, min_u64(length, qcow2_backing_bytes(q, op->offset)));
		break;
	case QCOW2_IS_ZERO:
		break;
	}
	return read_zeroes(op, length);
}

void qcow2_submit(struct image *image, struct block_request *request)
{
	struct qcow2 *q = container_of(image, struct qcow2, image);
	struct qcow2_op *op = request->scratch;
	int result = 0;

	memset(op, 0, sizeof(*op));
	op->q = q;
	op->request = request;
	op->offset = request->offset_bytes;
	op->left = request->length_bytes;
	op->iov = request->iov;
	op->iov_left = request->iov_count;
	if (request->operation == BLOCK_FLUSH) {
		if (q->image.read_only) {
			qcow2_op_finish(op, 0);
			return;
		}
		qcow2_op_wait(op, &q->flushes);
		qcow2_commit(q);
		return;
	}
	if (request->operation != BLOCK_READ && q->image.read_only)
		result = -EROFS;
	else if (!range_fits(op->offset, op->left, q->image.size_bytes))
		result = -EINVAL;
	if (request->operation == BLOCK_WRITE_ZEROES || request->operation == BLOCK_DISCARD) {
		op->iov = NULL;
		op->iov_left = 0;
	}
	if (result) {
		qcow2_op_finish(op, result);
		return;
	}
	run(op);
}
