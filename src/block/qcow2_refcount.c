/* qcow2: refcounts, free clusters, and which clusters must never be written as data.
 *
 * Every change is made in the cache. Increments may reach the file at any time (a crash leaves an
 * unused cluster); decrements are made only when the L2 table that dropped the cluster is in the
 * file, and until then nobody can be given the cluster. Threads: see qcow2.h.
 * Specification: Qcow2 Image File Format, "Host cluster management". */
#include "block/qcow2.h"

#include <stdlib.h>

/* How many full refcount blocks one allocation looks through before it goes to the end of the file;
 * the next one goes on looking. */
#define MAX_BLOCKS_SEARCHED 8u
#define MAX_PUNCHES         8u

uint64_t qcow2_refcount_load(const uint8_t *data, unsigned order, uint64_t index)
{
	unsigned shift, mask;
	uint64_t raw64;
	uint32_t raw32;
	uint16_t raw16;

	switch (order) {
	case 3:
		return data[index];
	case 4:
		memcpy(&raw16, data + index * 2, 2);
		return be16toh(raw16);
	case 5:
		memcpy(&raw32, data + index * 4, 4);
		return be32toh(raw32);
	case 6:
		memcpy(&raw64, data + index * 8, 8);
		return be64toh(raw64);
	default: /* 1, 2 or 4 bits, the lowest first */
		break;
	}
	shift = (unsigned)(index & ((1u << (3 - order)) - 1)) << order;
	mask = (1u << (1u << order)) - 1;
	return ((unsigned)data[index >> (3 - order)] >> shift) & mask;
}

void qcow2_refcount_store(uint8_t *data, unsigned order, uint64_t index, uint64_t value)
{
	uint64_t raw64;
	uint32_t raw32;
	uint16_t raw16;
	unsigned shift, mask;

	switch (order) {
	case 3:
		data[index] = (uint8_t)value;
		return;
	case 4:
		raw16 = htobe16((uint16_t)value);
		memcpy(data + index * 2, &raw16, 2);
		return;
	case 5:
		raw32 = htobe32((uint32_t)value);
		memcpy(data + index * 4, &raw32, 4);
		return;
	case 6:
		raw64 = htobe64(value);
		memcpy(data + index * 8, &raw64, 8);
		return;
	default:
		shift = (unsigned)(index & ((1u << (3 - order)) - 1)) << order;
		mask = ((1u << (1u << order)) - 1) << shift;
		data += index >> (3 - order);
		*data = (uint8_t)((*data & ~mask) | ((value << shift) & mask));
	}
}

/* The set: open addressing, at most half full. */

static size_t slot_of(const struct qcow2_set *set, uint64_t cluster)
{
	size_t slot = (size_t)(cluster * UINT64_C(0x9e3779b97f4a7c15) >> 20) & set->mask;

	while (set->slots[slot] && set->slots[slot] != cluster + 1)
		slot = (slot + 1) & set->mask;
	return slot;
}

bool qcow2_set_has(const struct qcow2_set *set, uint64_t cluster)
{
	return set->slots && set->slots[slot_of(set, cluster)];
}

/* -EEXIST */
int qcow2_set_add(struct qcow2_set *set, uint64_t cluster)
{
	struct qcow2_set bigger;
	size_t slot;

	if (!set->slots || set->used * 2 > set->mask) {
		bigger.mask = set->slots ? set->mask * 2 + 1 : 255;
		bigger.used = set->used;
		bigger.slots = calloc(bigger.mask + 1, sizeof(*bigger.slots));
		if (!bigger.slots)
			return -ENOMEM;
		for (size_t i = 0; set->slots && i <= set->mask; i++) {
			if (set->slots[i])
				bigger.slots[slot_of(&bigger, set->slots[i] - 1)] = set->slots[i];
		}
		free(set->slots);
		*set = bigger;
	}
	slot = slot_of(set, cluster);
	if (set->slots[slot])
		return -EEXIST;
	set->slots[slot] = cluster + 1;
	set->used++;
	return 0;
}

static bool in_fixed(const struct qcow2 *q, uint64_t cluster)
{
	size_t low = 0, high = q->fixed_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (cluster < q->fixed[middle].first)
			high = middle;
		else if (cluster - q->fixed[middle].first >= q->fixed[middle].count)
			low = middle + 1;
		else
			return true;
	}
	return false;
}

bool qcow2_is_metadata(const struct qcow2 *q, uint64_t cluster)
{
	uint64_t reftable = q->reftable.offset >> q->cluster_bits;

	return (cluster >= reftable && cluster - reftable < q->reftable.bytes >> q->cluster_bits) ||
	       in_fixed(q, cluster) || qcow2_set_has(&q->metadata, cluster);
}

static int refblock_get(struct qcow2 *q, uint64_t number, struct qcow2_block **block)
{
	uint64_t entry;

	*block = NULL;
	if (number >= q->reftable_entries)
		return 0;
	entry = qcow2_entry(&q->reftable, number);
	return entry ? qcow2_block_get(q, QCOW2_REFCOUNTS, entry, block) : 0;
}

static uint64_t refblock_index(const struct qcow2 *q, uint64_t cluster)
{
	return cluster & ((UINT64_C(1) << q->refblock_bits) - 1);
}

int qcow2_refcount_get(struct qcow2 *q, uint64_t cluster, uint64_t *refcount)
{
	struct qcow2_block *block;
	int r = refblock_get(q, cluster >> q->refblock_bits, &block);

	*refcount = 0;
	if (!r && block)
		*refcount = qcow2_refcount_load(
			block->table.data, q->header.refcount_order, refblock_index(q, cluster));
	return r;
}

/* Of `count` clusters inside one block. */
static void store_run(
	struct qcow2 *q, struct qcow2_block *block, uint64_t first, uint64_t count, uint64_t value)
{
	unsigned order = q->header.refcount_order;
	uint64_t index = refblock_index(q, first), from, to;

	for (uint64_t i = 0; i < count; i++)
		qcow2_refcount_store(block->table.data, order, index + i, value);
	from = (index << order) / 8;
	to = ((index + count - 1) << order) / 8;
	qcow2_block_dirty(q, block, from, to - from + ((1u << order) + 7) / 8);
}

static void drop(struct qcow2 *q, uint64_t first, uint64_t count)
{
	for (uint64_t cluster = first; cluster < first + count; cluster++) {
		struct qcow2_block *block;
		uint64_t refcount;

		/* Clusters that cannot be given back are lost, no more. */
		if (refblock_get(q, cluster >> q->refblock_bits, &block))
			continue;
		refcount = block ? qcow2_refcount_load(block->table.data, q->header.refcount_order,
					   refblock_index(q, cluster))
				 : 0;
		if (!refcount) {
			qcow2_bad(q, "cluster 0x%llx is freed more often than it was used",
				(unsigned long long)cluster);
			continue;
		}
		store_run(q, block, cluster, 1, refcount - 1);
		if (refcount == 1)
			q->free_hint = min_u64(q->free_hint, cluster);
	}
}

void qcow2_release(struct qcow2 *q, uint64_t first, uint64_t count)
{
	drop(q, first, count);
}

static bool usable(const struct qcow2 *q, uint64_t cluster)
{
	/* I/O on a free cluster there is only where a refcount is wrong. */
	return cluster >= q->end_cluster ||
	       (!qcow2_is_metadata(q, cluster) && !qcow2_being_written(q, cluster));
}

/* A block for a range that has none, inside it (all of it is free), at *cluster or after. */
static int refblock_create(struct qcow2 *q, uint64_t number, uint64_t cluster)
{
	uint64_t end = min_u64((number + 1) << q->refblock_bits, q->limit_cluster), entry;
	struct qcow2_block *block;
	int r;

	while (cluster < end && !usable(q, cluster))
		cluster++;
	if (cluster == end) /* full of tables without refcounts */
		return -EIO;
	r = qcow2_set_add(&q->metadata, cluster);
	if (!r)
		r = qcow2_block_create(q, QCOW2_REFCOUNTS, cluster << q->cluster_bits, &block);
	if (r)
		return r;
	store_run(q, block, cluster, 1, 1);
	entry = htobe64(cluster << q->cluster_bits);
	memcpy(q->reftable.data + number * 8, &entry, 8);
	qcow2_table_dirty(&q->reftable, number * 8, 8);
	q->end_cluster = max_u64(q->end_cluster, cluster + 1);
	return 0;
}

/* Moves the refcount table to a bigger place: at the start of what it does not cover yet, behind
 * the refcount blocks for that place.
 *
 *   | refcount block | ... | new table, `table` clusters |      all of it covered by `blocks`
 * blocks
 */
static int reftable_grow(struct qcow2 *q, uint64_t needed)
{
	const uint64_t per_block = UINT64_C(1) << q->refblock_bits;
	const uint64_t per_cluster = q->cluster_bytes / 8;
	const uint64_t most = QCOW2_MAX_REFTABLE_BYTES / 8;
	uint64_t first = q->reftable_entries << q->refblock_bits;
	uint64_t old = q->reftable.offset >> q->cluster_bits, blocks, clusters, entries, entry;
	struct qcow2_table table;
	struct qcow2_block *block;
	int r;

	entries = min_u64(max_u64(needed, q->reftable_entries + q->reftable_entries / 2), most);
	do {
		clusters = (entries + per_cluster - 1) / per_cluster;
		entries = clusters * per_cluster;
		blocks = (clusters + per_block - 2) / (per_block - 1);
		if (needed > most || q->reftable_entries + blocks > most)
			return -EFBIG;
		entries = max_u64(entries, q->reftable_entries + blocks);
	} while (entries > clusters * per_cluster);
	if (!range_fits(first, blocks + clusters, q->limit_cluster))
		return -ENOSPC;
	for (uint64_t i = first; i < first + blocks + clusters; i++) {
		if (!usable(q, i)) {
			qcow2_bad(q, "cluster 0x%llx has no refcount", (unsigned long long)i);
			return -EIO;
		}
	}
	r = qcow2_table_init(
		&table, (first + blocks) << q->cluster_bits, clusters << q->cluster_bits);
	if (r)
		return r;
	memcpy(table.data, q->reftable.data, q->reftable.bytes);
	q->end_cluster = max_u64(q->end_cluster, first + blocks + clusters);
	for (uint64_t i = 0; i < blocks; i++) {
		uint64_t start = first + (i << q->refblock_bits);

		r = qcow2_set_add(&q->metadata, first + i);
		if (!r)
			r = qcow2_block_create(
				q, QCOW2_REFCOUNTS, (first + i) << q->cluster_bits, &block);
		if (r) {
			qcow2_table_fini(&table);
			return r;
		}
		store_run(
			q, block, start, min_u64(per_block, first + blocks + clusters - start), 1);
		entry = htobe64((first + i) << q->cluster_bits);
		memcpy(table.data + (q->reftable_entries + i) * 8, &entry, 8);
	}
	qcow2_free_later(q, old, q->reftable.bytes >> q->cluster_bits, false);
	qcow2_table_fini(&q->reftable);
	q->reftable = table;
	q->reftable_entries = entries;
	q->reftable_moved = true;
	qcow2_table_dirty_all(&q->reftable);
	return 0;
}

/* Free clusters in a block, from *cluster on; 0: none. */
static uint64_t find_run(
	struct qcow2 *q, const struct qcow2_block *block, uint64_t *cluster, uint64_t want)
{
	const unsigned order = q->header.refcount_order;
	uint64_t at = *cluster, run = 0;
	uint64_t end =
		min_u64(((at >> q->refblock_bits) + 1) << q->refblock_bits, q->limit_cluster);

	while (at < end && (qcow2_refcount_load(block->table.data, order, refblock_index(q, at)) ||
				   !usable(q, at)))
		at++;
	*cluster = at;
	/* Never across the border of what is fresh. */
	if (at < q->end_cluster)
		end = min_u64(end, q->end_cluster);
	while (run < want && at + run < end &&
		!qcow2_refcount_load(block->table.data, order, refblock_index(q, at + run)) &&
		usable(q, at + run))
		run++;
	return run;
}

int qcow2_allocate(struct qcow2 *q, uint64_t want, uint64_t *first, uint64_t *got, bool *fresh)
{
	uint64_t cluster = q->free_hint, number, run;
	struct qcow2_block *block;
	unsigned searched = 0;
	bool skipped = false;
	int r;

	for (;;) {
		if (cluster >= q->limit_cluster)
			return q->open_frees.count || q->old_frees || q->punches ? -EAGAIN
										 : -ENOSPC;
		number = cluster >> q->refblock_bits;
		if (number >= q->reftable_entries) {
			r = reftable_grow(q, number + 1);
			if (r)
				return r;
		}
		r = 0;
		if (!qcow2_entry(&q->reftable, number))
			r = refblock_create(q, number, cluster);
		if (!r)
			r = refblock_get(q, number, &block);
		if (r)
			return r;
		run = find_run(q, block, &cluster, want);
		if (run)
			break;
		cluster = (number + 1) << q->refblock_bits;
		if (!skipped)
			q->free_hint = cluster;
		if (++searched == MAX_BLOCKS_SEARCHED && cluster < q->end_cluster &&
			q->end_cluster < q->limit_cluster) {
			cluster = q->end_cluster;
			skipped = true;
		}
	}
	store_run(q, block, cluster, run, 1);
	if (!skipped)
		q->free_hint = cluster + run;
	*fresh = cluster >= q->end_cluster;
	q->end_cluster = max_u64(q->end_cluster, cluster + run);
	*first = cluster;
	*got = run;
	return 0;
}

void qcow2_free_later(struct qcow2 *q, uint64_t first, uint64_t count, bool punch)
{
	struct qcow2_frees *frees = &q->open_frees;
	struct qcow2_range *last = frees->count ? &frees->ranges[frees->count - 1] : NULL;

	if (last && last->first + last->count == first && last->punch == punch) {
		last->count += count;
		return;
	}
	if (frees->count == frees->capacity) {
		size_t capacity = frees->capacity ? frees->capacity * 2 : 64;
		struct qcow2_range *ranges =
			realloc(frees->ranges, capacity * sizeof(*frees->ranges));

		if (!ranges) /* unused from now on, and nothing worse */
			return;
		frees->ranges = ranges;
		frees->capacity = capacity;
	}
	frees->ranges[frees->count++] = (struct qcow2_range){ first, count, punch };
}

struct punch {
	struct file_io io;
	struct qcow2 *q;
	struct qcow2_range range;
};

static void punched(struct file_io *io)
{
	struct punch *punch = container_of(io, struct punch, io);
	struct qcow2 *q = punch->q;

	/* A host that cannot give the space back has lost nothing. */
	drop(q, punch->range.first, punch->range.count);
	free(punch);
	q->punches--;
	qcow2_reclaim(q, true);
	qcow2_op_wake(&q->room_waiters, 0);
}

/* Nobody else uses these clusters, whatever wrong tables say. */
static bool may_be_punched(struct qcow2 *q, const struct qcow2_range *range)
{
	uint64_t refcount;

	for (uint64_t i = range->first; i < range->first + range->count; i++) {
		if (qcow2_is_metadata(q, i) || qcow2_refcount_get(q, i, &refcount) || refcount != 1)
			return false;
	}
	return true;
}

static void give_back(struct qcow2 *q, const struct qcow2_range *range, bool may_punch)
{
	struct punch *punch = NULL;

	if (may_punch && range->punch && q->file->can_punch && may_be_punched(q, range))
		punch = calloc(1, sizeof(*punch));
	if (!punch) {
		drop(q, range->first, range->count);
		return;
	}
	punch->q = q;
	punch->range = *range;
	punch->io.operation = FILE_PUNCH;
	punch->io.offset_bytes = range->first << q->cluster_bits;
	punch->io.length_bytes = range->count << q->cluster_bits;
	punch->io.done = punched;
	q->punches++;
	q->file->ops->submit(q->file, &punch->io);
}

void qcow2_reclaim(struct qcow2 *q, bool may_punch)
{
	while (q->old_frees) {
		struct qcow2_frees *frees = q->old_frees;

		if (q->oldest_piece && q->oldest_piece->epoch <= frees->epoch)
			return;
		while (frees->next < frees->count) {
			if (!qcow2_cache_has_room(q)) {
				/* The next commit's end goes on here, or a piece's. */
				if (may_punch && q->cache.dirty)
					qcow2_commit(q);
				return;
			}
			if (q->punches == MAX_PUNCHES)
				return;
			give_back(q, &frees->ranges[frees->next++], may_punch);
		}
		q->old_frees = frees->younger;
		if (!q->old_frees)
			q->youngest_frees = &q->old_frees;
		free(frees->ranges);
		free(frees);
	}
}

static int compare_ranges(const void *a, const void *b)
{
	const struct qcow2_range *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

static int add_fixed(struct qcow2 *q, uint64_t offset, uint64_t bytes)
{
	struct qcow2_range *ranges;

	if (!bytes)
		return 0;
	ranges = realloc(q->fixed, (q->fixed_count + 1) * sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	q->fixed = ranges;
	ranges[q->fixed_count++] = (struct qcow2_range){ .first = offset >> q->cluster_bits,
		.count = (qcow2_in_cluster(q, offset) + bytes + q->cluster_bytes - 1) >>
			 q->cluster_bits };
	return 0;
}

static int damaged(const struct qcow2 *q, const char *what, struct error *err)
{
	return error_set(err, EINVAL,
		"%s: the image is damaged: %s (repair it with qemu-img check -r all, or open it "
		"with ro)",
		q->file->path, what);
}

static int find_fixed(struct qcow2 *q, struct error *err)
{
	const struct qcow2_header *header = &q->header;
	struct qcow2_snapshot snapshot = { .next = header->snapshots_offset };
	int r;

	r = add_fixed(q, 0, q->cluster_bytes);
	if (!r)
		r = add_fixed(q, header->l1_offset, (uint64_t)header->l1_entries * 8);
	for (uint32_t i = 0; !r && i < header->snapshots; i++) {
		int s = qcow2_snapshot_read(q->file, header, snapshot.next, &snapshot, err);

		if (s)
			return s;
		r = add_fixed(q, snapshot.l1_offset, (uint64_t)snapshot.l1_entries * 8);
	}
	if (!r && header->snapshots)
		r = add_fixed(
			q, header->snapshots_offset, snapshot.next - header->snapshots_offset);
	if (r)
		return error_set(err, -r, "%s: out of memory", q->file->path);
	qsort(q->fixed, q->fixed_count, sizeof(*q->fixed), compare_ranges);
	for (size_t i = 0; i < q->fixed_count; i++) {
		const struct qcow2_range *range = &q->fixed[i];
		uint64_t reftable = q->reftable.offset >> q->cluster_bits;

		if (i && range[-1].first + range[-1].count > range->first)
			return damaged(q, "its tables overlap", err);
		if (range->first < reftable + (q->reftable.bytes >> q->cluster_bits) &&
			reftable < range->first + range->count)
			return damaged(q, "its refcount table overlaps another", err);
	}
	return 0;
}

/* What the L1 and refcount tables point to: all different, and apart from the rest. */
static int find_tables(struct qcow2 *q, const struct qcow2_table *table, uint64_t entries,
	uint64_t known_bits, struct error *err)
{
	for (uint64_t i = 0; i < entries; i++) {
		uint64_t entry = qcow2_entry(table, i), offset = entry & known_bits & ~QCOW2_COPIED;
		int r;

		if (!entry)
			continue;
		if ((entry & ~known_bits) || !offset || qcow2_in_cluster(q, offset) ||
			offset >> q->cluster_bits >= q->end_cluster)
			return damaged(q, "an L1 or refcount table entry is wrong", err);
		if (qcow2_is_metadata(q, offset >> q->cluster_bits))
			return damaged(q, "two of its tables are in the same place", err);
		r = qcow2_set_add(&q->metadata, offset >> q->cluster_bits);
		if (r)
			return error_set(err, -r, "%s: out of memory", q->file->path);
	}
	return 0;
}

int qcow2_refcount_init(struct qcow2 *q, struct error *err)
{
	const struct qcow2_header *header = &q->header;
	size_t bytes = (size_t)header->reftable_clusters << q->cluster_bits;
	int r;

	r = qcow2_table_init(&q->reftable, header->reftable_offset, bytes);
	if (r)
		return error_set(err, -r, "%s: out of memory", q->file->path);
	r = q->file->ops->read(q->file, q->reftable.offset, q->reftable.data, bytes);
	if (r)
		return error_set(err, -r, "%s: cannot be read: %s", q->file->path, strerror(-r));
	q->reftable_entries = bytes / 8;
	r = find_fixed(q, err);
	if (!r)
		r = find_tables(
			q, &q->l1, header->l1_entries, QCOW2_OFFSET_MASK | QCOW2_COPIED, err);
	if (!r)
		r = find_tables(q, &q->reftable, q->reftable_entries, QCOW2_OFFSET_MASK, err);
	return r;
}

void qcow2_refcount_fini(struct qcow2 *q)
{
	while (q->old_frees) {
		struct qcow2_frees *frees = q->old_frees;

		q->old_frees = frees->younger;
		free(frees->ranges);
		free(frees);
	}
	free(q->open_frees.ranges);
	free(q->fixed);
	free(q->metadata.slots);
	qcow2_table_fini(&q->reftable);
}
