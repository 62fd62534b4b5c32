/* qcow2: writing.
 *
 * Clusters that may be written in place are. Others get new host clusters (or the ones kept for
 * them), and the L2 table learns of these only when the data have been written; until then the old
 * contents are what everybody reads, and other writers to the same guest clusters wait. What a
 * write leaves of a cluster is filled from where it was (backing image, snapshot, compressed
 * cluster), in the same operation as the data; a new cluster beyond the end of the file is a hole
 * and needs no filling with zeroes. The L2 table is pinned meanwhile, so that nothing can fail once
 * the data have been written. Threads: see qcow2.h. */
#include "block/qcow2.h"

#include <stdlib.h>

struct qcow2_piece *qcow2_find_allocating(
	const struct qcow2 *q, uint64_t guest_first, uint64_t *clusters)
{
	struct qcow2_piece *piece;

	for (piece = q->allocating; piece; piece = piece->next_allocating) {
		if (guest_first >= piece->guest_first) {
			if (guest_first - piece->guest_first < piece->host_clusters)
				return piece;
		} else {
			*clusters = min_u64(*clusters, piece->guest_first - guest_first);
		}
	}
	return NULL;
}

/* In place. */

static void written(struct file_io *io)
{
	struct qcow2_piece *piece = container_of(io, struct qcow2_piece, io);

	piece->op->q->written = true;
	qcow2_piece_end(piece, io->result);
}

/* The host clusters of a piece; -EIO: one is a table, which only a damaged image has there. */
static int check_host(struct qcow2 *q, uint64_t first, uint64_t count)
{
	for (uint64_t cluster = first; cluster < first + count; cluster++) {
		if (!qcow2_is_metadata(q, cluster))
			continue;
		qcow2_bad(q, "a write would go over the table at 0x%llx",
			(unsigned long long)cluster << q->cluster_bits);
		return -EIO;
	}
	return 0;
}

static int64_t write_in_place(struct qcow2_op *op, const struct qcow2_mapping *mapping,
	uint64_t clusters, uint64_t length)
{
	struct qcow2 *q = op->q;
	uint64_t first = mapping->host >> q->cluster_bits;
	struct qcow2_piece *piece = qcow2_piece_free(op);
	int r;

	if (!piece)
		return 0;
	r = check_host(q, first, clusters);
	if (!r)
		r = qcow2_piece_iov(op, piece, length, NULL, NULL);
	if (r)
		return r;
	qcow2_piece_begin(op, piece);
	piece->host_first = first;
	piece->host_clusters = clusters;
	piece->io.operation = FILE_WRITE;
	piece->io.offset_bytes = mapping->host + qcow2_in_cluster(q, op->offset);
	piece->io.length_bytes = length;
	piece->io.done = written;
	qcow2_op_advance(op, length);
	q->file->ops->submit(q->file, &piece->io);
	return (int64_t)length;
}

/* To clusters that the L2 table does not have. */

/* What is written around the data of a run: a part of the first cluster in front, a part of the
 * last one behind. */
struct fill {
	struct qcow2_mapping from;
	uint64_t guest_offset, length; /* 0: none */
	bool fetch;                    /* else zeroes */
};

static void end_allocation(struct qcow2_piece *piece, int result)
{
	struct qcow2 *q = piece->op->q;
	struct qcow2_piece **link = &q->allocating;
	struct qcow2_op_list waiters = piece->waiters;

	while (*link != piece)
		link = &(*link)->next_allocating;
	*link = piece->next_allocating;
	if (!result) {
		for (uint64_t i = 0; i < piece->host_clusters; i++)
			qcow2_l2_set(q, piece->l2, piece->guest_first + i,
				((piece->host_first + i) << q->cluster_bits) | QCOW2_COPIED, false);
	} else if (piece->owned) {
		qcow2_release(q, piece->host_first, piece->host_clusters);
	}
	qcow2_block_unpin(q, piece->l2);
	if (!waiters.first)
		waiters.last = &waiters.first;
	qcow2_piece_end(piece, result);
	qcow2_op_wake(&waiters, 0);
	if (q->room_waiters.first)
		qcow2_op_wake(&q->room_waiters, 0);
}

static void allocated_written(struct file_io *io)
{
	struct qcow2_piece *piece = container_of(io, struct qcow2_piece, io);

	piece->op->q->written = true;
	end_allocation(piece, io->result);
}

static void begin_writing(struct qcow2_piece *piece)
{
	struct qcow2 *q = piece->op->q;

	if (piece->result)
		end_allocation(piece, piece->result);
	else
		q->file->ops->submit(q->file, &piece->io);
}

static void filled(struct qcow2_fetch *fetch, int result)
{
	struct qcow2_piece *piece = fetch->opaque;

	if (!piece->result)
		piece->result = result;
	free(fetch);
	if (--piece->fetching == 0)
		begin_writing(piece);
}

static void fill_init(struct qcow2 *q, struct fill *fill, const struct qcow2_mapping *from,
	uint64_t guest_offset, uint64_t length)
{
	fill->from = *from;
	fill->guest_offset = guest_offset;
	fill->length = length;
	fill->fetch = length && (from->kind == QCOW2_IS_DATA || from->kind == QCOW2_IS_COMPRESSED ||
					(from->kind == QCOW2_IS_UNALLOCATED &&
						qcow2_backing_bytes(q, guest_offset)));
}

static size_t fetch_bytes(const struct fill *fill)
{
	return fill->fetch ? (size_t)(fill->length + fill->from.packed_bytes) : 0;
}

/* Memory for what has to be fetched: the iovecs around the data and the fetches into them. */
static int prepare_fills(struct qcow2 *q, struct qcow2_piece *piece, const struct fill fills[2],
	bool fresh, struct iovec around[2])
{
	struct iovec *iov;
	size_t bytes = 0;
	void *memory;

	for (unsigned i = 0; i < 2; i++)
		bytes += fills[i].fetch ? (size_t)fills[i].length : 0;
	if (bytes) { /* aligned, or direct I/O would not be direct */
		if (posix_memalign(&memory, PAGE_BYTES, bytes))
			return -ENOMEM;
		piece->bounce = memory;
	}
	bytes = 0;
	for (unsigned i = 0; i < 2; i++) {
		iov = &around[i];
		iov->iov_base = q->zeroes;
		iov->iov_len = fresh && !fills[i].fetch ? 0 : (size_t)fills[i].length;
		if (!fills[i].fetch)
			continue;
		piece->fetches[i] = calloc(1, sizeof(struct qcow2_fetch));
		if (!piece->fetches[i])
			return -ENOMEM;
		iov->iov_base = piece->bounce + bytes;
		bytes += iov->iov_len;
		*piece->fetches[i] = (struct qcow2_fetch){ .q = q,
			.mapping = fills[i].from,
			.guest_offset = fills[i].guest_offset,
			.length = fills[i].length,
			.iov_count = 1,
			.done = filled,
			.opaque = piece };
		/* An iovec that lives as long as the fetch. */
		piece->fetches[i]->own_iov = *iov;
		piece->fetches[i]->iov = &piece->fetches[i]->own_iov;
	}
	return 0;
}

static void forget_fills(struct qcow2_piece *piece)
{
	free(piece->fetches[0]);
	free(piece->fetches[1]);
	free(piece->bounce);
	free(piece->heap_iov);
	memset(piece, 0, sizeof(*piece));
}

/* Host clusters for up to `clusters` guest clusters: those kept for them, or new ones. */
static int take_host(struct qcow2 *q, const struct qcow2_mapping *mapping, bool kept,
	uint64_t clusters, uint64_t *first, uint64_t *got, bool *fresh)
{
	if (!kept)
		return qcow2_allocate(q, clusters, first, got, fresh);
	*first = mapping->host >> q->cluster_bits;
	*got = clusters;
	*fresh = false;
	return check_host(q, *first, clusters);
}

/* The L2 table's mappings of the first and last of `clusters` guest clusters are `fills`' sources.
 */
static int64_t write_allocating(struct qcow2_op *op, const struct qcow2_mapping *first_mapping,
	const struct qcow2_mapping *last_mapping, bool kept, uint64_t clusters, uint64_t length)
{
	struct qcow2 *q = op->q;
	const uint64_t guest = op->offset >> q->cluster_bits, in = qcow2_in_cluster(q, op->offset);
	uint64_t host, got, behind = qcow2_in_cluster(q, q->cluster_bytes - in - length);
	struct qcow2_piece *piece = qcow2_piece_free(op);
	struct iovec around[2];
	struct qcow2_block *l2;
	struct fill fills[2];
	bool fresh;
	int r;

	if (!piece)
		return 0;
	fill_init(q, &fills[0], first_mapping, op->offset - in, in);
	fill_init(q, &fills[1], last_mapping, op->offset + length, behind);
	if (!qcow2_bounce_available(op, fetch_bytes(&fills[0]) + fetch_bytes(&fills[1])))
		return 0;
	r = qcow2_l2_get_writable(q, guest, &l2);
	if (r)
		return r == -EAGAIN ? qcow2_wait_for_room(op) : r;
	r = take_host(q, first_mapping, kept, clusters, &host, &got, &fresh);
	if (r) {
		qcow2_block_unpin(q, l2);
		return r == -EAGAIN ? qcow2_wait_for_room(op) : r;
	}
	if (got < clusters) {
		length = (got << q->cluster_bits) - in;
		fill_init(q, &fills[1], last_mapping, op->offset + length, 0);
	}
	r = prepare_fills(q, piece, fills, fresh, around);
	if (!r)
		r = qcow2_piece_iov(op, piece, length, around[0].iov_len ? &around[0] : NULL,
			around[1].iov_len ? &around[1] : NULL);
	if (r) {
		forget_fills(piece);
		if (!kept)
			qcow2_release(q, host, got);
		qcow2_block_unpin(q, l2);
		return r;
	}
	qcow2_piece_begin(op, piece);
	piece->bounce_bytes = fetch_bytes(&fills[0]) + fetch_bytes(&fills[1]);
	q->bounce_bytes += piece->bounce_bytes;
	piece->host_first = host;
	piece->host_clusters = got;
	piece->l2 = l2;
	piece->guest_first = guest;
	piece->owned = !kept;
	qcow2_op_list_init(&piece->waiters);
	piece->next_allocating = q->allocating;
	q->allocating = piece;
	piece->io.operation = FILE_WRITE;
	piece->io.offset_bytes = (host << q->cluster_bits) + in - around[0].iov_len;
	piece->io.length_bytes = around[0].iov_len + length + around[1].iov_len;
	piece->io.done = allocated_written;
	qcow2_op_advance(op, length);
	/* One more than there are, so that those which end at once do not begin the write. */
	piece->fetching = 1u + (piece->fetches[0] ? 1 : 0) + (piece->fetches[1] ? 1 : 0);
	for (unsigned i = 0; i < 2; i++) {
		if (piece->fetches[i])
			qcow2_fetch_start(piece->fetches[i]);
	}
	if (--piece->fetching == 0)
		begin_writing(piece);
	return (int64_t)length;
}

static bool in_place(const struct qcow2_mapping *mapping)
{
	return mapping->kind == QCOW2_IS_DATA && mapping->exclusive;
}

static bool is_kept(const struct qcow2_mapping *mapping)
{
	return mapping->kind == QCOW2_IS_ZERO && mapping->host && mapping->exclusive;
}

int64_t qcow2_step_write(struct qcow2_op *op, uint64_t max_bytes)
{
	struct qcow2 *q = op->q;
	const uint64_t guest = op->offset >> q->cluster_bits, in = qcow2_in_cluster(q, op->offset);
	uint64_t index = qcow2_l2_index(q, guest), clusters, length, n = 1;
	struct qcow2_mapping first = { .kind = QCOW2_IS_UNALLOCATED }, next, last;
	struct qcow2_block *l2;
	struct qcow2_piece *other = NULL;
	bool adjacent;
	int r;

	r = qcow2_l2_get(q, guest, &l2);
	if (!r && l2)
		r = qcow2_decode(q, qcow2_entry(&l2->table, index), &first);
	if (r)
		return r;
	clusters = min_u64((in + max_bytes + q->cluster_bytes - 1) >> q->cluster_bits,
		(UINT64_C(1) << q->l2_bits) - index);
	if (!in_place(&first)) {
		other = qcow2_find_allocating(q, guest, &clusters);
		if (other) {
			qcow2_op_wait(op, &other->waiters);
			return 0;
		}
		if (!qcow2_cache_has_room(q) || q->open_frees.count >= QCOW2_MAX_FREES)
			return qcow2_wait_for_room(op);
	}
	adjacent = in_place(&first) || is_kept(&first);
	last = first;
	for (; l2 && n < clusters; n++) {
		if (qcow2_decode(q, qcow2_entry(&l2->table, index + n), &next) ||
			in_place(&next) != in_place(&first) || is_kept(&next) != is_kept(&first))
			break;
		if (adjacent && next.host != first.host + (n << q->cluster_bits))
			break;
		last = next;
	}
	if (!l2)
		n = clusters;
	length = min_u64(max_bytes, (n << q->cluster_bits) - in);
	if (in_place(&first))
		return write_in_place(op, &first, n, length);
	return write_allocating(op, &first, &last, is_kept(&first), n, length);
}
