/* qcow2: from guest clusters to host clusters. Threads: see qcow2.h.
 * Specification: Qcow2 Image File Format, "Cluster mapping". */
#include "block/qcow2.h"

static int bad_entry(struct qcow2 *q, uint64_t entry)
{
	qcow2_bad(q, "the table entry 0x%016llx cannot be right", (unsigned long long)entry);
	return -EIO;
}

static int decode_compressed(struct qcow2 *q, uint64_t entry, struct qcow2_mapping *mapping)
{
	const unsigned offset_bits = 62 - (q->cluster_bits - 8);
	uint64_t descriptor = entry & ~(QCOW2_COPIED | QCOW2_COMPRESSED);
	uint64_t last;

	mapping->kind = QCOW2_IS_COMPRESSED;
	mapping->host = descriptor & ((UINT64_C(1) << offset_bits) - 1);
	mapping->packed_bytes = ((descriptor >> offset_bits) + 1) * 512 - mapping->host % 512;
	last = mapping->host + mapping->packed_bytes - 1;
	if (mapping->host < q->cluster_bytes || last >> q->cluster_bits >= q->end_cluster)
		return bad_entry(q, entry);
	return 0;
}

int qcow2_decode(struct qcow2 *q, uint64_t entry, struct qcow2_mapping *mapping)
{
	uint64_t known = QCOW2_OFFSET_MASK | QCOW2_COPIED;

	mapping->entry = entry;
	mapping->exclusive = false;
	mapping->host = 0;
	mapping->packed_bytes = 0;
	mapping->kind = QCOW2_IS_UNALLOCATED;
	if (!entry)
		return 0;
	if (entry & QCOW2_COMPRESSED)
		return decode_compressed(q, entry, mapping);
	if (q->header.version >= 3)
		known |= QCOW2_ZERO;
	mapping->host = entry & QCOW2_OFFSET_MASK;
	mapping->exclusive = entry & QCOW2_COPIED;
	mapping->kind = entry & QCOW2_ZERO ? QCOW2_IS_ZERO : QCOW2_IS_DATA;
	if ((entry & ~known) || qcow2_in_cluster(q, mapping->host) ||
		(!mapping->host && entry != QCOW2_ZERO) ||
		mapping->host >> q->cluster_bits >= q->end_cluster)
		return bad_entry(q, entry);
	return 0;
}

/* The L1 entry's table; 0: none. */
static int l1_get(struct qcow2 *q, uint64_t guest_cluster, uint64_t *offset, bool *exclusive)
{
	uint64_t index = guest_cluster >> q->l2_bits, entry;

	if (index >= q->header.l1_entries)
		return -EIO;
	entry = qcow2_entry(&q->l1, index);
	*offset = entry & QCOW2_OFFSET_MASK;
	*exclusive = entry & QCOW2_COPIED;
	if ((entry & ~(QCOW2_OFFSET_MASK | QCOW2_COPIED)) || (entry && !*offset))
		return bad_entry(q, entry);
	return 0;
}

int qcow2_l2_get(struct qcow2 *q, uint64_t guest_cluster, struct qcow2_block **l2)
{
	uint64_t offset;
	bool exclusive;
	int r = l1_get(q, guest_cluster, &offset, &exclusive);

	*l2 = NULL;
	if (r || !offset)
		return r;
	return qcow2_block_get(q, QCOW2_L2_TABLE, offset, l2);
}

/* A new table, pinned. */
static int l2_create(struct qcow2 *q, struct qcow2_block **l2)
{
	uint64_t cluster, got;
	bool fresh;
	int r = qcow2_allocate(q, 1, &cluster, &got, &fresh);

	if (r)
		return r;
	r = qcow2_set_add(&q->metadata, cluster);
	if (!r)
		r = qcow2_block_create(q, QCOW2_L2_TABLE, cluster << q->cluster_bits, l2);
	if (r) {
		qcow2_release(q, cluster, 1);
		return r;
	}
	(*l2)->unpublished = true;
	qcow2_block_pin(q, *l2);
	return 0;
}

int qcow2_l2_get_writable(struct qcow2 *q, uint64_t guest_cluster, struct qcow2_block **l2)
{
	uint64_t index = guest_cluster >> q->l2_bits, offset, entry;
	struct qcow2_block *old = NULL;
	bool exclusive;
	int r = l1_get(q, guest_cluster, &offset, &exclusive);

	if (!r && offset)
		r = qcow2_block_get(q, QCOW2_L2_TABLE, offset, &old);
	if (r)
		return r;
	if (old)
		qcow2_block_pin(q, old);
	if (old && exclusive) {
		*l2 = old;
		return 0;
	}
	r = l2_create(q, l2);
	if (r) {
		if (old)
			qcow2_block_unpin(q, old);
		return r;
	}
	if (old) { /* a snapshot has it, too */
		memcpy((*l2)->table.data, old->table.data, q->cluster_bytes);
		qcow2_block_unpin(q, old);
		qcow2_free_later(q, offset >> q->cluster_bits, 1, false);
	}
	entry = htobe64((*l2)->table.offset | QCOW2_COPIED);
	memcpy(q->l1.data + index * 8, &entry, 8);
	qcow2_table_dirty(&q->l1, index * 8, 8);
	return 0;
}

/* A hostile table may point to another table: that one stays used. */
static void free_data(struct qcow2 *q, uint64_t first, uint64_t last, bool punch)
{
	for (uint64_t cluster = first; cluster <= last; cluster++) {
		if (qcow2_is_metadata(q, cluster))
			qcow2_bad(q, "an L2 entry points to the table at 0x%llx",
				(unsigned long long)cluster << q->cluster_bits);
		else
			qcow2_free_later(q, cluster, 1, punch);
	}
}

void qcow2_l2_set(
	struct qcow2 *q, struct qcow2_block *l2, uint64_t guest_cluster, uint64_t entry, bool punch)
{
	uint64_t index = qcow2_l2_index(q, guest_cluster), raw = htobe64(entry);
	struct qcow2_mapping old;
	int r = qcow2_decode(q, qcow2_entry(&l2->table, index), &old);

	memcpy(l2->table.data + index * 8, &raw, 8);
	qcow2_block_dirty(q, l2, index * 8, 8);
	if (r)
		return; /* nobody knows what it was */
	if (old.kind == QCOW2_IS_COMPRESSED)
		free_data(q, old.host >> q->cluster_bits,
			(old.host + old.packed_bytes - 1) >> q->cluster_bits, false);
	else if (old.host &&
		 ((entry & QCOW2_COMPRESSED) || old.host != (entry & QCOW2_OFFSET_MASK)))
		free_data(q, old.host >> q->cluster_bits, old.host >> q->cluster_bits,
			punch && old.exclusive);
}

uint64_t qcow2_backing_bytes(const struct qcow2 *q, uint64_t guest_offset)
{
	uint64_t size;

	if (!q->backing)
		return 0;
	size = atomic_load_explicit(&q->backing->size_bytes, memory_order_relaxed);
	return size > guest_offset ? size - guest_offset : 0;
}
