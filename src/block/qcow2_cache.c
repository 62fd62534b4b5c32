/* qcow2: tables in memory, and the cache of L2 tables and refcount blocks.
 *
 * A block that has changes, or that somebody has pinned, is held; the others are in a list by last
 * use and go when room is needed. The number of blocks is bounded: who is about to change metadata
 * asks qcow2_cache_has_room first and waits for a commit otherwise. Threads: see qcow2.h. */
#include "block/qcow2.h"

#include <assert.h>
#include <stdlib.h>

#define MIN_BLOCKS 16u
/* What one step may change at most, beyond what it pinned: an L2 table, and refcount blocks for its
 * clusters and for the blocks themselves. */
#define SPARE_BLOCKS 6u

static size_t pieces_of(size_t bytes)
{
	return (bytes + QCOW2_PIECE_BYTES - 1) / QCOW2_PIECE_BYTES;
}

int qcow2_table_init(struct qcow2_table *table, uint64_t offset, size_t bytes)
{
	memset(table, 0, sizeof(*table));
	table->offset = offset;
	table->bytes = bytes;
	table->data = calloc(1, bytes ? bytes : 1);
	table->dirty = calloc(pieces_of(bytes) / 64 + 1, 8);
	if (table->data && table->dirty)
		return 0;
	qcow2_table_fini(table);
	return -ENOMEM;
}

void qcow2_table_fini(struct qcow2_table *table)
{
	free(table->data);
	free(table->dirty);
	table->data = NULL;
	table->dirty = NULL;
}

void qcow2_table_dirty(struct qcow2_table *table, size_t offset, size_t length)
{
	for (size_t piece = offset / QCOW2_PIECE_BYTES;
		piece <= (offset + length - 1) / QCOW2_PIECE_BYTES; piece++) {
		uint64_t bit = UINT64_C(1) << (piece % 64);

		if (table->dirty[piece / 64] & bit)
			continue;
		table->dirty[piece / 64] |= bit;
		table->dirty_pieces++;
	}
}

void qcow2_table_dirty_all(struct qcow2_table *table)
{
	if (table->bytes)
		qcow2_table_dirty(table, 0, table->bytes);
}

int qcow2_cache_init(struct qcow2 *q, uint64_t bytes)
{
	struct qcow2_cache *cache = &q->cache;
	uint64_t blocks = (bytes ? bytes : QCOW2_DEFAULT_CACHE_BYTES) >> q->cluster_bits;
	unsigned buckets = 16;

	cache->max_blocks = (unsigned)min_u64(max_u64(blocks, MIN_BLOCKS), 1u << 20);
	while (buckets < cache->max_blocks)
		buckets *= 2;
	cache->bucket_mask = buckets - 1;
	cache->buckets = calloc(buckets, sizeof(struct qcow2_block *));
	return cache->buckets ? 0 : -ENOMEM;
}

static void block_destroy(struct qcow2_block *block)
{
	if (!block)
		return;
	free(block->table.data);
	free(block);
}

void qcow2_cache_fini(struct qcow2 *q)
{
	struct qcow2_cache *cache = &q->cache;

	if (!cache->buckets)
		return;
	for (unsigned i = 0; i <= cache->bucket_mask; i++) {
		while (cache->buckets[i]) {
			struct qcow2_block *block = cache->buckets[i];

			cache->buckets[i] = block->hash_next;
			block_destroy(block);
		}
	}
	free(cache->buckets);
}

static struct qcow2_block **bucket_of(const struct qcow2 *q, uint64_t offset)
{
	uint64_t number = offset >> q->cluster_bits;

	return &q->cache.buckets[(number ^ (number >> 15)) & q->cache.bucket_mask];
}

static bool is_held(const struct qcow2_block *block)
{
	return block->pins || block->table.dirty_pieces;
}

static void list_add(struct qcow2_cache *cache, struct qcow2_block *block)
{
	block->newer = NULL;
	block->older = cache->newest;
	if (cache->newest)
		cache->newest->newer = block;
	else
		cache->oldest = block;
	cache->newest = block;
}

static void list_remove(struct qcow2_cache *cache, struct qcow2_block *block)
{
	if (block->newer)
		block->newer->older = block->older;
	else
		cache->newest = block->older;
	if (block->older)
		block->older->newer = block->newer;
	else
		cache->oldest = block->newer;
}

/* Around every change of a block's pins and dirty pieces. */
static void held_changed(struct qcow2 *q, struct qcow2_block *block, bool before)
{
	if (is_held(block) == before)
		return;
	if (before) {
		q->cache.held--;
		list_add(&q->cache, block);
	} else {
		q->cache.held++;
		list_remove(&q->cache, block);
	}
}

static void hash_remove(struct qcow2 *q, struct qcow2_block *block)
{
	struct qcow2_block **link = bucket_of(q, block->table.offset);

	while (*link != block)
		link = &(*link)->hash_next;
	*link = block->hash_next;
}

static struct qcow2_block *oldest_take(struct qcow2 *q)
{
	struct qcow2_cache *cache = &q->cache;
	struct qcow2_block *block = cache->oldest;

	cache->oldest = block->newer;
	if (cache->oldest)
		cache->oldest->older = NULL;
	else
		cache->newest = NULL;
	hash_remove(q, block);
	cache->blocks--;
	return block;
}

/* Memory for one more block: that of the one that was longest not used, when there are enough. */
static struct qcow2_block *block_take(struct qcow2 *q)
{
	struct qcow2_cache *cache = &q->cache;
	struct qcow2_block *block = NULL;
	uint8_t *data;
	void *memory;

	/* One of them serves again; there are more when some could not be given up before. */
	while (cache->blocks > cache->max_blocks && cache->oldest)
		block_destroy(oldest_take(q));
	if (cache->blocks == cache->max_blocks && cache->oldest)
		block = oldest_take(q);
	if (!block) {
		block = malloc(sizeof(*block));
		/* Direct I/O likes it aligned. */
		if (!block || posix_memalign(&memory, PAGE_BYTES, q->cluster_bytes)) {
			free(block);
			return NULL;
		}
		data = memory;
	} else {
		data = block->table.data;
	}
	memset(block, 0, sizeof(*block));
	block->table.data = data;
	block->table.bytes = q->cluster_bytes;
	block->table.dirty = block->dirty_bits;
	return block;
}

static void block_insert(struct qcow2 *q, struct qcow2_block *block)
{
	struct qcow2_block **bucket = bucket_of(q, block->table.offset);

	block->hash_next = *bucket;
	*bucket = block;
	q->cache.blocks++;
	list_add(&q->cache, block);
}

static struct qcow2_block *block_find(const struct qcow2 *q, uint64_t offset)
{
	struct qcow2_block *block = *bucket_of(q, offset);

	while (block && block->table.offset != offset)
		block = block->hash_next;
	return block;
}

int qcow2_block_get(
	struct qcow2 *q, enum qcow2_block_kind kind, uint64_t offset, struct qcow2_block **result)
{
	struct qcow2_block *block = block_find(q, offset);
	int r;

	if (!block) {
		if (!offset || qcow2_in_cluster(q, offset) ||
			offset >> q->cluster_bits >= q->end_cluster) {
			qcow2_bad(q, "a table at 0x%llx cannot be", (unsigned long long)offset);
			return -EIO;
		}
		block = block_take(q);
		if (!block)
			return -ENOMEM;
		r = q->file->ops->read(q->file, offset, block->table.data, q->cluster_bytes);
		if (r) {
			block_destroy(block);
			return r;
		}
		block->table.offset = offset;
		block->kind = kind;
		block_insert(q, block);
	} else if (block->kind != kind) {
		qcow2_bad(q, "the table at 0x%llx is used for two things",
			(unsigned long long)offset);
		return -EIO;
	}
	if (!is_held(block) && block != q->cache.newest) {
		list_remove(&q->cache, block);
		list_add(&q->cache, block);
	}
	*result = block;
	return 0;
}

int qcow2_block_create(
	struct qcow2 *q, enum qcow2_block_kind kind, uint64_t offset, struct qcow2_block **result)
{
	struct qcow2_block *block;

	/* Only a damaged image can have a table in a cluster that was free. */
	if (block_find(q, offset)) {
		qcow2_bad(q, "the table at 0x%llx has a refcount of 0", (unsigned long long)offset);
		return -EIO;
	}
	block = block_take(q);
	if (!block)
		return -ENOMEM;
	memset(block->table.data, 0, q->cluster_bytes);
	block->table.offset = offset;
	block->kind = kind;
	block_insert(q, block);
	qcow2_block_dirty_all(q, block);
	*result = block;
	return 0;
}

void qcow2_block_pin(struct qcow2 *q, struct qcow2_block *block)
{
	bool before = is_held(block);

	block->pins++;
	held_changed(q, block, before);
}

void qcow2_block_unpin(struct qcow2 *q, struct qcow2_block *block)
{
	bool before = is_held(block);

	assert(block->pins);
	block->pins--;
	held_changed(q, block, before);
}

void qcow2_block_dirty(struct qcow2 *q, struct qcow2_block *block, size_t offset, size_t length)
{
	bool before = is_held(block);

	qcow2_table_dirty(&block->table, offset, length);
	held_changed(q, block, before);
	if (block->on_dirty_list)
		return;
	block->on_dirty_list = true;
	block->dirty_next = q->cache.dirty;
	q->cache.dirty = block;
}

void qcow2_block_dirty_all(struct qcow2 *q, struct qcow2_block *block)
{
	qcow2_block_dirty(q, block, 0, block->table.bytes);
}

void qcow2_block_clean(struct qcow2 *q, struct qcow2_block *block)
{
	bool before = is_held(block);

	memset(block->dirty_bits, 0, sizeof(block->dirty_bits));
	block->table.dirty_pieces = 0;
	held_changed(q, block, before);
}

bool qcow2_cache_has_room(const struct qcow2 *q)
{
	return q->cache.held + SPARE_BLOCKS <= q->cache.max_blocks;
}
