/* qcow2: is an image consistent? Counts what the tables use and compares it with the refcounts.
 *
 * A leak is a cluster whose refcount is too high: space lost, nothing else. A corruption is
 * anything that could lose data: a refcount too low, a wrong flag, a pointer out of the file.
 * Memory: 12 bytes per cluster of the file. Threads: see qcow2.h. */
#include "block/qcow2.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_CLUSTERS (UINT64_C(1) << 26)

struct checker {
	struct block_file *file;
	struct qcow2_header header;
	struct qcow2_check *check;
	uint64_t clusters, cluster_bytes;
	uint64_t *stored; /* refcounts as in the file */
	uint32_t *used;   /* as they should be */
	uint8_t *cluster; /* the L2 table or refcount block that is looked at */
};

static void corrupt(struct checker *c, const char *format, ...) VMGUI_PRINTF(2, 3);
static void corrupt(struct checker *c, const char *format, ...)
{
	va_list arguments;

	if (c->check->corruptions++)
		return;
	va_start(arguments, format);
	vsnprintf(c->check->first, sizeof(c->check->first), format, arguments);
	va_end(arguments);
}

static void use(struct checker *c, uint64_t offset, uint64_t bytes, const char *what)
{
	uint64_t first = offset >> c->header.cluster_bits;

	if (!bytes)
		return;
	for (uint64_t i = first; i <= (offset + bytes - 1) >> c->header.cluster_bits; i++) {
		if (i >= c->clusters) {
			corrupt(c, "%s at 0x%llx is outside of the file", what,
				(unsigned long long)offset);
			return;
		}
		c->used[i]++;
	}
}

/* 0: the offset is none that could be followed. */
static uint64_t check_pointer(
	struct checker *c, uint64_t entry, uint64_t flags, bool active, const char *what)
{
	uint64_t offset = entry & QCOW2_OFFSET_MASK, refcount;

	if ((entry & ~(QCOW2_OFFSET_MASK | flags)) || offset % c->cluster_bytes || !offset ||
		offset >> c->header.cluster_bits >= c->clusters) {
		corrupt(c, "%s entry 0x%llx is wrong", what, (unsigned long long)entry);
		return 0;
	}
	refcount = c->stored[offset >> c->header.cluster_bits];
	if (active && (flags & QCOW2_COPIED) && !(entry & QCOW2_COPIED) != (refcount != 1))
		corrupt(c, "%s entry 0x%llx says something else than refcount %llu", what,
			(unsigned long long)entry, (unsigned long long)refcount);
	return offset;
}

static void check_l2_entry(struct checker *c, uint64_t entry, bool active)
{
	const unsigned offset_bits = 62 - (c->header.cluster_bits - 8);
	uint64_t offset, flags = QCOW2_COPIED;

	if (entry & QCOW2_COMPRESSED) {
		uint64_t descriptor = entry & ~(QCOW2_COMPRESSED | QCOW2_COPIED);

		offset = descriptor & ((UINT64_C(1) << offset_bits) - 1);
		if (entry & QCOW2_COPIED)
			corrupt(c, "compressed L2 entry 0x%llx is marked as exclusive",
				(unsigned long long)entry);
		use(c, offset, ((descriptor >> offset_bits) + 1) * 512 - offset % 512,
			"a compressed cluster");
		return;
	}
	if (c->header.version >= 3)
		flags |= QCOW2_ZERO;
	if (!entry || ((flags & QCOW2_ZERO) && entry == QCOW2_ZERO))
		return;
	offset = check_pointer(c, entry, flags, active, "L2");
	if (offset)
		use(c, offset, c->cluster_bytes, "a cluster");
}

static int check_l1(struct checker *c, uint64_t offset, uint32_t entries, bool active)
{
	struct block_file *file = c->file;
	struct qcow2_table l1, l2 = { .data = c->cluster };
	int r;

	if (!entries)
		return 0;
	r = qcow2_table_init(&l1, offset, (size_t)entries * 8);
	if (r)
		return r;
	r = file->ops->read(file, offset, l1.data, l1.bytes);
	use(c, offset, l1.bytes, "an L1 table");
	for (uint32_t i = 0; !r && i < entries; i++) {
		uint64_t entry = qcow2_entry(&l1, i);

		if (!entry)
			continue;
		entry = check_pointer(c, entry, QCOW2_COPIED, active, "L1");
		if (!entry)
			continue;
		use(c, entry, c->cluster_bytes, "an L2 table");
		r = file->ops->read(file, entry, c->cluster, c->cluster_bytes);
		for (uint64_t j = 0; !r && j < c->cluster_bytes / 8; j++)
			check_l2_entry(c, qcow2_entry(&l2, j), active);
	}
	qcow2_table_fini(&l1);
	return r;
}

static int load_refcounts(struct checker *c)
{
	const unsigned order = c->header.refcount_order;
	uint64_t per_block = UINT64_C(1) << (c->header.cluster_bits + 3 - order);
	struct block_file *file = c->file;
	struct qcow2_table table;
	int r;

	r = qcow2_table_init(&table, c->header.reftable_offset,
		(size_t)c->header.reftable_clusters << c->header.cluster_bits);
	if (r)
		return r;
	r = file->ops->read(file, table.offset, table.data, table.bytes);
	use(c, table.offset, table.bytes, "the refcount table");
	for (uint64_t i = 0; !r && i < table.bytes / 8; i++) {
		uint64_t offset = qcow2_entry(&table, i), first = i * per_block;

		if (!offset)
			continue;
		offset = check_pointer(c, offset, 0, false, "refcount table");
		if (!offset)
			continue;
		use(c, offset, c->cluster_bytes, "a refcount block");
		r = file->ops->read(file, offset, c->cluster, c->cluster_bytes);
		for (uint64_t j = 0; !r && j < per_block && first + j < c->clusters; j++)
			c->stored[first + j] = qcow2_refcount_load(c->cluster, order, j);
	}
	qcow2_table_fini(&table);
	return r;
}

static int check_tables(struct checker *c, struct error *err)
{
	struct qcow2_snapshot snapshot = { .next = c->header.snapshots_offset };
	int r;

	use(c, 0, c->cluster_bytes, "the header");
	r = load_refcounts(c);
	if (!r)
		r = check_l1(c, c->header.l1_offset, c->header.l1_entries, true);
	for (uint32_t i = 0; !r && i < c->header.snapshots; i++) {
		r = qcow2_snapshot_read(c->file, &c->header, snapshot.next, &snapshot, err);
		if (r)
			return r;
		r = check_l1(c, snapshot.l1_offset, snapshot.l1_entries, false);
	}
	if (!r && c->header.snapshots)
		use(c, c->header.snapshots_offset, snapshot.next - c->header.snapshots_offset,
			"the snapshot table");
	if (r)
		return error_set(err, -r, "%s: cannot be checked: %s", c->file->path, strerror(-r));
	for (uint64_t i = 0; i < c->clusters; i++) {
		if (c->stored[i] < c->used[i])
			corrupt(c, "cluster 0x%llx is used %u times and has refcount %llu",
				(unsigned long long)i, c->used[i],
				(unsigned long long)c->stored[i]);
		else if (c->stored[i] > c->used[i])
			c->check->leaks++;
	}
	return 0;
}

int qcow2_check(struct block_file *file, struct qcow2_check *check, struct error *err)
{
	struct checker c = { .file = file, .check = check };
	uint64_t file_bytes;
	int r;

	memset(check, 0, sizeof(*check));
	r = qcow2_header_read(file, &c.header, err);
	if (r)
		return r;
	r = file->ops->size(file, &file_bytes);
	if (r)
		return error_set(err, -r, "%s: cannot be read: %s", file->path, strerror(-r));
	c.cluster_bytes = UINT64_C(1) << c.header.cluster_bits;
	c.clusters = (file_bytes >> c.header.cluster_bits) + (file_bytes % c.cluster_bytes != 0);
	if (c.clusters > MAX_CLUSTERS)
		return error_set(err, EFBIG, "%s: is too big to be checked (use qemu-img check)",
			file->path);
	c.stored = calloc(c.clusters, sizeof(*c.stored));
	c.used = calloc(c.clusters, sizeof(*c.used));
	c.cluster = malloc(c.cluster_bytes);
	if (c.stored && c.used && c.cluster)
		r = check_tables(&c, err);
	else
		r = error_set(err, ENOMEM, "%s: out of memory", file->path);
	free(c.stored);
	free(c.used);
	free(c.cluster);
	return r;
}
