/* qcow2 inside: what its files share. Users include block/image.h.
 *
 * Specification: "Qcow2 Image File Format" (docs/interop/qcow2 in QEMU's tree), versions 2 and 3.
 *
 *   guest cluster g:   L1[g / l2_entries] -> L2 table -> entry g % l2_entries -> host cluster
 *   host cluster c:    refcount table[c / refblock_entries] -> refcount block -> its refcount
 *
 * Metadata is changed in memory only and written by a commit (qcow2_commit.c), which a flush asks
 * for, or a cache that is full of changes. Its order makes a crash at any moment leave, at worst,
 * clusters that nobody uses:
 *
 *   1. refcount blocks and L2 tables that nothing in the file points to yet; sync (data, too)
 *   2. the refcount table; sync          3. the header, if that table has moved; sync
 *   4. L2 tables in use, the L1 table; sync
 *   5. what L2 entries pointed to before is free from now on, and reused only when I/O that began
 *      before has ended, too
 *
 * Steps with nothing to write are left out, so a flush of plain overwrites is one sync and one of
 * newly allocated clusters is two.
 *
 * Tables are kept as in the file (big endian). Everything here runs in the disk's one thread, or in
 * the one that has the image to itself; there are no locks. */
#ifndef VMGUI_BLOCK_QCOW2_H
#define VMGUI_BLOCK_QCOW2_H

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "block/image.h"
#include "core/log.h"

#define QCOW2_MIN_CLUSTER_BITS    9u
#define QCOW2_MAX_CLUSTER_BITS    21u
#define QCOW2_MAX_L1_BYTES        MIB(32)
#define QCOW2_MAX_REFTABLE_BYTES  MIB(8)
#define QCOW2_MAX_SNAPSHOTS       65536u
#define QCOW2_DEFAULT_CACHE_BYTES MIB(32)
#define QCOW2_PIECE_BYTES         4096u /* of a table: what is written when a byte of it changes */
#define QCOW2_MAX_BOUNCE_BYTES    MIB(64) /* of all requests together, beyond the first's */
#define QCOW2_MAX_FREES           65536u  /* ranges that wait for a commit */
#define QCOW2_END_OF_OFFSETS      (UINT64_C(1) << 56)

/* L1 and L2 entries. */
#define QCOW2_COPIED      (UINT64_C(1) << 63) /* refcount is exactly 1: may be written in place */
#define QCOW2_COMPRESSED  (UINT64_C(1) << 62)
#define QCOW2_ZERO        UINT64_C(1)
#define QCOW2_OFFSET_MASK UINT64_C(0x00fffffffffffe00)

/* Incompatible features. */
#define QCOW2_DIRTY            (UINT64_C(1) << 0)
#define QCOW2_CORRUPT          (UINT64_C(1) << 1)
#define QCOW2_DATA_FILE        (UINT64_C(1) << 2)
#define QCOW2_COMPRESSION_TYPE (UINT64_C(1) << 3)
#define QCOW2_EXTENDED_L2      (UINT64_C(1) << 4)

enum qcow2_compression {
	QCOW2_ZLIB,
	QCOW2_ZSTD,
};

struct qcow2_header {
	uint32_t version, cluster_bits, refcount_order;
	uint64_t size_bytes;
	uint64_t l1_offset;
	uint32_t l1_entries;
	uint64_t reftable_offset;
	uint32_t reftable_clusters;
	uint64_t snapshots_offset;
	uint32_t snapshots;
	uint64_t incompatible, autoclear;
	enum qcow2_compression compression;
	struct qcow2_backing backing;
	uint8_t sector[512]; /* the first of the file */
};

/* A table of 8-byte entries or refcounts, and which parts of it the file does not have yet. */
struct qcow2_table {
	uint64_t offset; /* in the file */
	size_t bytes;
	uint8_t *data;
	uint64_t *dirty; /* a bit per piece */
	unsigned dirty_pieces;
};

enum qcow2_block_kind {
	QCOW2_L2_TABLE,
	QCOW2_REFCOUNTS,
};

/* A cluster of metadata in the cache. It is held (not evicted) while it is dirty or pinned. */
struct qcow2_block {
	struct qcow2_table table;
	uint64_t dirty_bits[((1u << QCOW2_MAX_CLUSTER_BITS) / QCOW2_PIECE_BYTES + 63) / 64];
	enum qcow2_block_kind kind;
	bool unpublished; /* an L2 table that no L1 entry in the file points to */
	unsigned pins;
	bool on_dirty_list;
	struct qcow2_block *hash_next, *dirty_next;
	struct qcow2_block *newer, *older; /* blocks that are not held, by use */
};

struct qcow2_cache {
	struct qcow2_block **buckets;
	unsigned bucket_mask;
	unsigned max_blocks, blocks, held;
	struct qcow2_block *newest, *oldest;
	struct qcow2_block *dirty;
};

/* Clusters that hold metadata, by number: writes of guest data stay off them, whatever an L2 table
 * says, and so does the allocator, whatever a refcount says. */
struct qcow2_set {
	uint64_t *slots; /* cluster number + 1; 0: empty */
	size_t mask, used;
};

struct qcow2_range {
	uint64_t first, count; /* clusters */
	bool punch;
};

/* Ranges freed by L2 updates of one commit. */
struct qcow2_frees {
	struct qcow2_range *ranges;
	size_t count, capacity;
	size_t next;    /* the first that has not been dealt with */
	uint64_t epoch; /* I/O that began in it or before may still be on these clusters */
	struct qcow2_frees *younger;
};

struct qcow2_op;
struct qcow2_piece;
struct qcow2_commit;
struct qcow2_fetch;

struct qcow2_op_list {
	struct qcow2_op *first, **last; /* last: NULL or where the next goes */
};

struct qcow2_unpacked {
	uint64_t entry; /* its L2 entry; 0: none */
	uint8_t *data;
};

struct qcow2 {
	struct image image;
	struct block_file *file;
	struct image *backing;
	struct qcow2_header header;

	unsigned cluster_bits;
	uint64_t cluster_bytes;
	unsigned l2_bits;       /* log2 of the entries of an L2 table */
	unsigned refblock_bits; /* log2 of the refcounts in a block */

	struct qcow2_table l1, reftable;
	uint64_t reftable_entries;
	bool reftable_moved; /* the header must say so */
	struct qcow2_cache cache;

	struct qcow2_set metadata;
	struct qcow2_range *fixed; /* header, L1 tables, snapshot table; sorted by first */
	size_t fixed_count;

	uint64_t end_cluster;   /* no cluster from here on has ever been used: holes in the file */
	uint64_t limit_cluster; /* no cluster from here on can be used */
	uint64_t free_hint;     /* no free cluster before this one */
	struct qcow2_frees open_frees;                   /* of L2 updates not committed yet */
	struct qcow2_frees *old_frees, **youngest_frees; /* committed */
	unsigned punches;                                /* in flight */

	uint64_t epoch;                                    /* counts commits */
	struct qcow2_piece *oldest_piece, *youngest_piece; /* in flight, in the order they began */
	struct qcow2_piece *allocating;

	struct qcow2_commit *commit;
	struct qcow2_op_list flushes; /* for the next commit */
	struct qcow2_op_list
		room_waiters; /* for a cache that is not full of changes, or free space */
	struct qcow2_op_list bounce_waiters;
	size_t bounce_bytes;
	bool written;   /* something, since the last sync began */
	int sync_error; /* the first one; for good */

	struct qcow2_op_list finished; /* to be told; not from inside one another */
	bool telling;

	uint8_t *zeroes; /* a cluster of them */
	struct qcow2_fetch *unpacking;
	struct qcow2_unpacked unpacked[4];
	unsigned next_unpacked;
	void *inflater, *zstd;
};

/* A wrong entry in a table; can be any number of times. */
#define qcow2_bad(q, ...)                                                                          \
	do {                                                                                       \
		static struct log_limit log_limit_here;                                            \
		unsigned log_dropped;                                                              \
		if (log_limit_pass(&log_limit_here, &log_dropped))                                 \
			qcow2_complain((q), log_dropped, __VA_ARGS__);                             \
	} while (0)
void qcow2_complain(struct qcow2 *q, unsigned dropped, const char *format, ...) VMGUI_PRINTF(3, 4);

static inline uint64_t qcow2_entry(const struct qcow2_table *table, uint64_t index)
{
	uint64_t raw;

	memcpy(&raw, table->data + index * 8, 8);
	return be64toh(raw);
}

static inline uint64_t qcow2_in_cluster(const struct qcow2 *q, uint64_t offset)
{
	return offset & (q->cluster_bytes - 1);
}

/* qcow2_header.c: the header, its extensions and the snapshot table. */
VMGUI_MUST_USE int qcow2_header_read(
	struct block_file *file, struct qcow2_header *header, struct error *err);
/* What writing needs: no dirty or corrupt bit. */
VMGUI_MUST_USE int qcow2_header_check_writable(
	const struct block_file *file, const struct qcow2_header *header, struct error *err);
struct qcow2_snapshot {
	uint64_t l1_offset;
	uint32_t l1_entries;
	uint64_t next; /* offset of the next entry in the snapshot table */
};
VMGUI_MUST_USE int qcow2_snapshot_read(struct block_file *file, const struct qcow2_header *header,
	uint64_t offset, struct qcow2_snapshot *snapshot, struct error *err);

/* qcow2_cache.c */
VMGUI_MUST_USE int qcow2_table_init(struct qcow2_table *table, uint64_t offset, size_t bytes);
void qcow2_table_fini(struct qcow2_table *table);
void qcow2_table_dirty(struct qcow2_table *table, size_t offset, size_t length);
void qcow2_table_dirty_all(struct qcow2_table *table);

VMGUI_MUST_USE int qcow2_cache_init(struct qcow2 *q, uint64_t bytes);
void qcow2_cache_fini(struct qcow2 *q);
/* The block at that offset, read if need be. Valid until the next get or create; pinned until it is
 * unpinned. -EIO also for an offset that cannot be or that is cached as the other kind. */
VMGUI_MUST_USE int qcow2_block_get(
	struct qcow2 *q, enum qcow2_block_kind kind, uint64_t offset, struct qcow2_block **block);
/* A new one, all zeroes and dirty. */
VMGUI_MUST_USE int qcow2_block_create(
	struct qcow2 *q, enum qcow2_block_kind kind, uint64_t offset, struct qcow2_block **block);
void qcow2_block_pin(struct qcow2 *q, struct qcow2_block *block);
void qcow2_block_unpin(struct qcow2 *q, struct qcow2_block *block);
void qcow2_block_dirty(struct qcow2 *q, struct qcow2_block *block, size_t offset, size_t length);
void qcow2_block_dirty_all(struct qcow2 *q, struct qcow2_block *block);
/* The commit has taken its changes: no dirty piece is left. */
void qcow2_block_clean(struct qcow2 *q, struct qcow2_block *block);
/* False: a commit must come first. */
bool qcow2_cache_has_room(const struct qcow2 *q);

/* qcow2_refcount.c */
VMGUI_MUST_USE int qcow2_refcount_init(struct qcow2 *q, struct error *err);
void qcow2_refcount_fini(struct qcow2 *q);
VMGUI_MUST_USE int qcow2_refcount_get(struct qcow2 *q, uint64_t cluster, uint64_t *refcount);
bool qcow2_is_metadata(const struct qcow2 *q, uint64_t cluster);
VMGUI_MUST_USE int qcow2_set_add(struct qcow2_set *set, uint64_t cluster);
bool qcow2_set_has(const struct qcow2_set *set, uint64_t cluster);
/* From 1 to `want` adjacent clusters, refcount 1 from now on. fresh: they are holes beyond what the
 * file ever had, and read as zeroes. -ENOSPC; -EAGAIN: after a commit there may be some. */
VMGUI_MUST_USE int qcow2_allocate(
	struct qcow2 *q, uint64_t want, uint64_t *first, uint64_t *got, bool *fresh);
/* Of clusters that no L2 or L1 entry has ever pointed to: at once. */
void qcow2_release(struct qcow2 *q, uint64_t first, uint64_t count);
/* Of clusters that the tables in memory do not point to any more: once these are in the file. */
void qcow2_free_later(struct qcow2 *q, uint64_t first, uint64_t count, bool punch);
/* What has been committed and has no I/O on it any more becomes free. */
void qcow2_reclaim(struct qcow2 *q, bool may_punch);
/* The number of the refcount in a block. */
uint64_t qcow2_refcount_load(const uint8_t *data, unsigned order, uint64_t index);
void qcow2_refcount_store(uint8_t *data, unsigned order, uint64_t index, uint64_t value);

/* qcow2_map.c */
enum qcow2_kind {
	QCOW2_IS_UNALLOCATED,
	QCOW2_IS_ZERO, /* host: 0 or a cluster that is kept for it */
	QCOW2_IS_DATA,
	QCOW2_IS_COMPRESSED,
};

struct qcow2_mapping {
	enum qcow2_kind kind;
	bool exclusive; /* host may be written */
	uint64_t entry;
	uint64_t host;         /* byte offset in the file; compressed: of the first byte */
	uint64_t packed_bytes; /* compressed */
};
/* -EIO: the entry cannot be right. */
VMGUI_MUST_USE int qcow2_decode(struct qcow2 *q, uint64_t entry, struct qcow2_mapping *mapping);
/* The L2 table for a guest cluster; NULL: there is none, nothing is allocated. */
VMGUI_MUST_USE int qcow2_l2_get(struct qcow2 *q, uint64_t guest_cluster, struct qcow2_block **l2);
/* The same, made or copied where it must be, and pinned. */
VMGUI_MUST_USE int qcow2_l2_get_writable(
	struct qcow2 *q, uint64_t guest_cluster, struct qcow2_block **l2);
static inline uint64_t qcow2_l2_index(const struct qcow2 *q, uint64_t guest_cluster)
{
	return guest_cluster & ((UINT64_C(1) << q->l2_bits) - 1);
}
/* Sets an entry and frees what the old one pointed to, unless the new one does. */
void qcow2_l2_set(struct qcow2 *q, struct qcow2_block *l2, uint64_t guest_cluster, uint64_t entry,
	bool punch);
/* How many bytes from a guest offset on the backing image has contents for. */
uint64_t qcow2_backing_bytes(const struct qcow2 *q, uint64_t guest_offset);

/* qcow2_fetch.c: contents that are not simply in the file. */
struct qcow2_fetch {
	/* Given: */
	struct qcow2 *q;
	struct qcow2_mapping mapping;
	uint64_t guest_offset, length; /* inside one guest cluster, but for the backing image */
	const struct iovec *iov;       /* where to; length in sum; valid until done */
	unsigned iov_count;
	void (*done)(struct qcow2_fetch *fetch, int result); /* may come from inside start */
	void *opaque;
	/* Its own: */
	struct file_io io;
	struct iovec io_iov, own_iov;
	struct block_request *request;
	uint8_t *packed, *bounce;
	uint64_t bounce_skip;
	struct qcow2_fetch *next, *followers;
};
void qcow2_fetch_start(struct qcow2_fetch *fetch);
void qcow2_fetch_fini(struct qcow2 *q);
/* Scattered memory, from `skip` bytes on. */
void qcow2_iov_zero(const struct iovec *iov, unsigned count, uint64_t skip, uint64_t length);
void qcow2_iov_fill(const struct iovec *iov, unsigned count, const uint8_t *from, uint64_t length);

/* qcow2_compressed.c: unpacks exactly one cluster, or -EIO. */
VMGUI_MUST_USE int qcow2_unpack(
	struct qcow2 *q, const uint8_t *packed, size_t packed_bytes, uint8_t *out);
void qcow2_unpack_fini(struct qcow2 *q);

/* qcow2_commit.c */
/* Starts a commit unless one is running (then another follows it if anybody waits for it). */
void qcow2_commit(struct qcow2 *q);
VMGUI_MUST_USE int qcow2_settle(struct image *image);

/* qcow2_io.c */
/* A request in its scratch memory: a few pieces of it in flight at a time. */
#define QCOW2_PIECES     4u
#define QCOW2_INLINE_IOV 8u

struct qcow2_piece {
	struct qcow2_op *op;
	bool busy;
	int result;
	struct file_io io;
	struct iovec inline_iov[QCOW2_INLINE_IOV];
	struct iovec *heap_iov;
	struct qcow2_piece *older, *younger; /* in flight */
	uint64_t epoch;
	uint64_t host_first, host_clusters; /* being written */
	/* A write to clusters that the L2 table does not have yet: */
	struct qcow2_block *l2; /* pinned; NULL: an ordinary piece */
	uint64_t guest_first;
	bool owned; /* host clusters are new */
	struct qcow2_piece *next_allocating;
	struct qcow2_op_list waiters;
	unsigned fetching;
	struct qcow2_fetch *fetches[2];
	uint8_t *bounce;
	size_t bounce_bytes; /* of the budget */
};

struct qcow2_op {
	struct qcow2 *q;
	struct block_request *request;
	struct qcow2_op *next; /* in a list of waiters */
	uint64_t offset, left; /* not begun yet */
	const struct iovec *iov;
	unsigned iov_left;
	size_t iov_used; /* of its first */
	unsigned busy;
	int result;
	bool running, waiting, woken;
	bool zeroes; /* the write's data are zeroes */
	struct qcow2_piece pieces[QCOW2_PIECES];
};

void qcow2_submit(struct image *image, struct block_request *request);
void qcow2_op_list_init(struct qcow2_op_list *list);
void qcow2_op_wait(struct qcow2_op *op, struct qcow2_op_list *list);
/* Runs those that waited, or ends them with an error (negative). */
void qcow2_op_wake(struct qcow2_op_list *list, int error);
void qcow2_op_finish(struct qcow2_op *op, int result);
bool qcow2_being_written(const struct qcow2 *q, uint64_t cluster);
/* Where in flight writes to clusters that are being allocated are in the way: the piece to wait
 * for, or NULL; *clusters from guest_first on are free of them. */
struct qcow2_piece *qcow2_find_allocating(
	const struct qcow2 *q, uint64_t guest_first, uint64_t *clusters);
/* One step of an op: how many bytes it dealt with or began; 0: it waits (for a piece of its own, or
 * in a list); or negative errno. */
int64_t qcow2_step_read(struct qcow2_op *op);
int64_t qcow2_step_write(struct qcow2_op *op, uint64_t max_bytes);
int64_t qcow2_step_zero(struct qcow2_op *op);
int64_t qcow2_step_discard(struct qcow2_op *op);
/* Waits until a commit has made room or free space; returns 0. */
int64_t qcow2_wait_for_room(struct qcow2_op *op);
/* The op has gone on by so much. */
void qcow2_op_advance(struct qcow2_op *op, uint64_t bytes);
/* NULL: all are in flight. */
struct qcow2_piece *qcow2_piece_free(struct qcow2_op *op);
void qcow2_piece_begin(struct qcow2_op *op, struct qcow2_piece *piece);
void qcow2_piece_end(struct qcow2_piece *piece, int result);
/* The piece's iovecs: front (if any), the op's next `length` bytes, back. */
VMGUI_MUST_USE int qcow2_piece_iov(struct qcow2_op *op, struct qcow2_piece *piece, uint64_t length,
	const struct iovec *front, const struct iovec *back);
/* May that many more bytes of memory be taken? If not, the op waits. */
bool qcow2_bounce_available(struct qcow2_op *op, uint64_t bytes);

/* qcow2_check.c */
struct qcow2_check {
	uint64_t leaks, corruptions;
	char first[160]; /* the first corruption, in words */
};
/* Compares refcounts with what the tables of the file point to. The file stays the caller's. */
VMGUI_MUST_USE int qcow2_check(
	struct block_file *file, struct qcow2_check *check, struct error *err);

#endif
