/* qcow2: DISCARD and WRITE_ZEROES, by L2 entries where whole clusters are meant.
 *
 * A discarded cluster reads as zeroes (never as what the backing image has), and its host cluster
 * becomes free with the next commit. Threads: see qcow2.h. */
#include "block/qcow2.h"

/* Of one step, so that the list of what becomes free stays bounded. */
#define MAX_CLUSTERS 512u

enum action {
	LEAVE, /* it is right as it is */
	SET,
	WRITE, /* version 2 has no zero flag: zeroes have to be written */
};

/* What to do to one whole cluster. */
static enum action decide(
	struct qcow2_op *op, uint64_t guest, const struct qcow2_mapping *mapping, uint64_t *entry)
{
	struct qcow2 *q = op->q;
	bool discard = op->request->operation == BLOCK_DISCARD;
	bool backed = qcow2_backing_bytes(q, guest << q->cluster_bits), v3 = q->header.version >= 3;

	*entry = backed ? QCOW2_ZERO : 0;
	switch (mapping->kind) {
	case QCOW2_IS_UNALLOCATED:
		if (discard || !backed)
			return LEAVE;
		return v3 ? SET : WRITE;
	case QCOW2_IS_ZERO:
		return discard && mapping->host ? SET : LEAVE;
	case QCOW2_IS_DATA:
		if (!discard && !op->request->may_unmap && mapping->exclusive && v3) {
			*entry = mapping->entry | QCOW2_ZERO;
			return SET;
		}
		break;
	case QCOW2_IS_COMPRESSED:
		break;
	}
	if (backed && !v3)
		return discard ? LEAVE : WRITE;
	return SET;
}

static int64_t write_zeroes(struct qcow2_op *op, uint64_t max_bytes)
{
	struct qcow2 *q = op->q;
	uint64_t rest = q->cluster_bytes - qcow2_in_cluster(q, op->offset);

	op->zeroes = true;
	return qcow2_step_write(op, min_u64(max_bytes, rest));
}

static int64_t leave(struct qcow2_op *op, uint64_t bytes)
{
	bytes = min_u64(bytes, op->left);
	qcow2_op_advance(op, bytes);
	return (int64_t)bytes;
}

/* Less than a cluster. */
static int64_t zero_part(struct qcow2_op *op, uint64_t bytes)
{
	struct qcow2 *q = op->q;
	uint64_t guest = op->offset >> q->cluster_bits;
	struct qcow2_mapping mapping = { .kind = QCOW2_IS_UNALLOCATED };
	struct qcow2_block *l2;
	int r;

	if (op->request->operation == BLOCK_DISCARD)
		return leave(op, bytes);
	r = qcow2_l2_get(q, guest, &l2);
	if (!r && l2)
		r = qcow2_decode(q, qcow2_entry(&l2->table, qcow2_l2_index(q, guest)), &mapping);
	if (r)
		return r;
	/* Also while the cluster is being allocated: then what is around the data becomes zero. */
	if (mapping.kind == QCOW2_IS_ZERO ||
		(mapping.kind == QCOW2_IS_UNALLOCATED && !qcow2_backing_bytes(q, op->offset)))
		return leave(op, bytes);
	return write_zeroes(op, bytes);
}

static int apply(struct qcow2_op *op, uint64_t guest, uint64_t clusters)
{
	struct qcow2 *q = op->q;
	struct qcow2_mapping mapping;
	struct qcow2_block *l2;
	uint64_t entry;
	int r = qcow2_l2_get_writable(q, guest, &l2);

	if (r)
		return r;
	for (uint64_t i = guest; i < guest + clusters; i++) {
		r = qcow2_decode(q, qcow2_entry(&l2->table, qcow2_l2_index(q, i)), &mapping);
		if (r)
			break;
		if (decide(op, i, &mapping, &entry) == SET)
			qcow2_l2_set(q, l2, i, entry,
				op->request->operation == BLOCK_DISCARD || op->request->may_unmap);
	}
	qcow2_block_unpin(q, l2);
	return r;
}

int64_t qcow2_step_zero(struct qcow2_op *op)
{
	struct qcow2 *q = op->q;
	const uint64_t guest = op->offset >> q->cluster_bits, in = qcow2_in_cluster(q, op->offset);
	uint64_t index = qcow2_l2_index(q, guest), in_table = (UINT64_C(1) << q->l2_bits) - index;
	uint64_t clusters = op->left >> q->cluster_bits, n, entry;
	struct qcow2_mapping mapping = { .kind = QCOW2_IS_UNALLOCATED };
	struct qcow2_piece *other;
	struct qcow2_block *l2;
	bool change = false;
	enum action action;
	int r;

	/* The disk's end may be inside of a cluster, which is a whole one to the guest. */
	if (op->offset + op->left == q->image.size_bytes && qcow2_in_cluster(q, op->left))
		clusters++;
	if (in || !clusters)
		return zero_part(op, min_u64(op->left, q->cluster_bytes - in));
	clusters = min_u64(clusters, in_table);
	other = qcow2_find_allocating(q, guest, &clusters);
	if (other) {
		qcow2_op_wait(op, &other->waiters);
		return 0;
	}
	r = qcow2_l2_get(q, guest, &l2);
	if (r)
		return r;
	if (!l2 && !qcow2_backing_bytes(q, op->offset))
		return leave(op, clusters << q->cluster_bits);
	clusters = min_u64(clusters, MAX_CLUSTERS);
	for (n = 0; n < clusters; n++) {
		if (l2)
			r = qcow2_decode(q, qcow2_entry(&l2->table, index + n), &mapping);
		if (r)
			break;
		action = decide(op, guest + n, &mapping, &entry);
		if (action == WRITE)
			break;
		change |= action == SET;
	}
	if (!n)
		return r ? r : write_zeroes(op, op->left);
	if (change) {
		if (!qcow2_cache_has_room(q) || q->open_frees.count >= QCOW2_MAX_FREES)
			return qcow2_wait_for_room(op);
		r = apply(op, guest, n);
		if (r)
			return r == -EAGAIN ? qcow2_wait_for_room(op) : r;
	}
	return leave(op, n << q->cluster_bits);
}

int64_t qcow2_step_discard(struct qcow2_op *op)
{
	return qcow2_step_zero(op);
}
