/* qcow2: writing changed metadata to the file, in the order that qcow2.h explains.
 *
 * A commit copies every changed piece of the tables when it begins, so that requests can go on
 * changing them; what they change belongs to the next commit. It runs on the disk's queue, or, when
 * the disk stands still (settle), synchronously. When a write fails, its step's and the later
 * steps' pieces are dirty again and those who waited are told; when a sync fails, nothing will ever
 * be promised again. Threads: see qcow2.h. */
#include "block/qcow2.h"

#include <assert.h>
#include <stdlib.h>

#define MAX_WRITES 16u

enum step {
	STEP_REFCOUNTS, /* and L2 tables that nothing points to; with it, the data */
	STEP_REFTABLE,
	STEP_HEADER,
	STEP_MAPPING,
	STEPS,
};

struct write {
	struct file_io io;
	struct iovec iov;
	struct qcow2_commit *commit;
	struct qcow2_table *table;
	struct qcow2_block *block; /* pinned; NULL: another table, or the header */
	size_t offset;             /* in the table */
	struct write *next;
	uint8_t *data;
};

struct qcow2_commit {
	struct qcow2 *q;
	struct write *writes[STEPS], **last[STEPS];
	struct qcow2_op_list flushes;
	struct qcow2_frees *frees; /* of the L2 updates in here */
	bool reftable_moved;
	unsigned step;
	struct write *next; /* of the step */
	unsigned in_flight;
	int result;
	struct file_io sync;
};

static int add_write(struct qcow2_commit *commit, enum step step, struct qcow2_table *table,
	struct qcow2_block *block, size_t offset, size_t length)
{
	struct write *write = calloc(1, sizeof(*write));
	void *memory;

	if (!write)
		return -ENOMEM;
	if (posix_memalign(&memory, PAGE_BYTES, length)) {
		free(write);
		return -ENOMEM;
	}
	write->data = memory;
	write->commit = commit;
	write->table = table;
	write->block = block;
	write->offset = offset;
	write->iov.iov_base = memory;
	write->iov.iov_len = length;
	write->io.operation = FILE_WRITE;
	write->io.offset_bytes = (table ? table->offset : 0) + offset;
	write->io.length_bytes = length;
	write->io.iov = &write->iov;
	write->io.iov_count = 1;
	if (table)
		memcpy(memory, table->data + offset, length);
	else
		memcpy(memory, commit->q->header.sector, length);
	if (block)
		qcow2_block_pin(commit->q, block);
	*commit->last[step] = write;
	commit->last[step] = &write->next;
	return 0;
}

static bool is_dirty(const struct qcow2_table *table, size_t piece)
{
	return table->dirty[piece / 64] >> (piece % 64) & 1;
}

/* Copies all the changed pieces of a table, adjacent ones together. */
static int add_table(struct qcow2_commit *commit, enum step step, struct qcow2_table *table,
	struct qcow2_block *block)
{
	size_t pieces = (table->bytes + QCOW2_PIECE_BYTES - 1) / QCOW2_PIECE_BYTES, first, end;
	int r = 0;

	if (!table->dirty_pieces)
		return 0;
	for (first = 0; !r && first < pieces; first = end) {
		end = first + 1;
		if (!is_dirty(table, first))
			continue;
		while (end < pieces && is_dirty(table, end))
			end++;
		r = add_write(commit, step, table, block, first * QCOW2_PIECE_BYTES,
			(size_t)min_u64(end * QCOW2_PIECE_BYTES, table->bytes) -
				first * QCOW2_PIECE_BYTES);
	}
	return r;
}

static void table_clean(struct qcow2_table *table)
{
	memset(table->dirty, 0,
		((table->bytes + QCOW2_PIECE_BYTES - 1) / QCOW2_PIECE_BYTES / 64 + 1) * 8);
	table->dirty_pieces = 0;
}

/* The header's first sector, with where the refcount table is now. */
static int add_header(struct qcow2_commit *commit)
{
	struct qcow2 *q = commit->q;
	uint64_t offset = htobe64(q->reftable.offset);
	uint32_t clusters = htobe32((uint32_t)(q->reftable.bytes >> q->cluster_bits));

	memcpy(q->header.sector + 48, &offset, 8);
	memcpy(q->header.sector + 56, &clusters, 4);
	return add_write(commit, STEP_HEADER, NULL, NULL, 0, sizeof(q->header.sector));
}

static void free_writes(struct qcow2_commit *commit)
{
	for (unsigned step = 0; step < STEPS; step++) {
		while (commit->writes[step]) {
			struct write *write = commit->writes[step];

			commit->writes[step] = write->next;
			if (write->block)
				qcow2_block_unpin(commit->q, write->block);
			free(write->data);
			free(write);
		}
		commit->last[step] = &commit->writes[step];
	}
}

/* Everything that has changed; nothing of it is taken for clean before all of it is copied. */
static int collect(struct qcow2_commit *commit)
{
	struct qcow2 *q = commit->q;
	struct qcow2_block *block, *next;
	int r = 0;

	for (unsigned step = 0; step < STEPS; step++)
		commit->last[step] = &commit->writes[step];
	commit->frees = calloc(1, sizeof(*commit->frees));
	if (!commit->frees)
		return -ENOMEM;
	for (block = q->cache.dirty; !r && block; block = block->dirty_next)
		r = add_table(commit,
			block->kind == QCOW2_REFCOUNTS || block->unpublished ? STEP_REFCOUNTS
									     : STEP_MAPPING,
			&block->table, block);
	if (!r)
		r = add_table(commit, STEP_MAPPING, &q->l1, NULL);
	if (!r)
		r = add_table(commit, STEP_REFTABLE, &q->reftable, NULL);
	if (!r && q->reftable_moved)
		r = add_header(commit);
	if (r) {
		free_writes(commit);
		free(commit->frees);
		return r;
	}
	for (block = q->cache.dirty; block; block = next) {
		next = block->dirty_next;
		block->on_dirty_list = false;
		qcow2_block_clean(q, block);
	}
	q->cache.dirty = NULL;
	table_clean(&q->l1);
	table_clean(&q->reftable);
	commit->reftable_moved = q->reftable_moved;
	q->reftable_moved = false;
	*commit->frees = q->open_frees;
	commit->frees->epoch = q->epoch++;
	memset(&q->open_frees, 0, sizeof(q->open_frees));
	return 0;
}

/* From now on the L1 table in the file may point to them. */
static void publish(struct qcow2_commit *commit)
{
	for (struct write *write = commit->writes[STEP_REFCOUNTS]; write; write = write->next) {
		if (write->block)
			write->block->unpublished = false;
	}
}

/* What did not get to the file for certain has changed, still. */
static void put_back(struct qcow2_commit *commit)
{
	struct qcow2 *q = commit->q;
	struct qcow2_frees *frees = commit->frees;

	for (unsigned step = 0; step < STEPS; step++) {
		for (struct write *write = commit->writes[step]; write; write = write->next) {
			/* An L2 table stays with its L1 entry: the commit that has that must know
			 * the table, to publish it. */
			if (step < commit->step && !(write->block && write->block->unpublished))
				continue;
			if (write->block)
				qcow2_block_dirty(
					q, write->block, write->offset, write->iov.iov_len);
			else if (write->table)
				qcow2_table_dirty(write->table, write->offset, write->iov.iov_len);
		}
	}
	if (commit->step <= STEP_HEADER)
		q->reftable_moved |= commit->reftable_moved;
	for (size_t i = 0; i < frees->count; i++)
		qcow2_free_later(
			q, frees->ranges[i].first, frees->ranges[i].count, frees->ranges[i].punch);
	free(frees->ranges);
	free(frees);
}

static void conclude(struct qcow2_commit *commit)
{
	struct qcow2 *q = commit->q;

	if (commit->result) {
		put_back(commit);
	} else if (commit->frees->count) {
		*q->youngest_frees = commit->frees;
		q->youngest_frees = &commit->frees->younger;
	} else {
		free(commit->frees);
	}
	free_writes(commit);
}

/* True: there is nothing to write, and all that was written is durable. */
static bool is_settled(const struct qcow2 *q)
{
	return !q->cache.dirty && !q->l1.dirty_pieces && !q->reftable.dirty_pieces &&
	       !q->open_frees.count && !q->written;
}

/* On the disk's queue. */

static void step_begin(struct qcow2_commit *commit);

static void end(struct qcow2_commit *commit)
{
	struct qcow2 *q = commit->q;
	struct qcow2_op_list flushes = commit->flushes;
	int result = commit->result;

	conclude(commit);
	q->commit = NULL;
	free(commit);
	if (!flushes.first)
		flushes.last = &flushes.first;
	qcow2_op_wake(&flushes, result);
	if (!result)
		qcow2_reclaim(q, true);
	qcow2_op_wake(&q->room_waiters, result);
	if (q->flushes.first)
		qcow2_commit(q);
}

static void synced(struct file_io *io)
{
	struct qcow2_commit *commit = container_of(io, struct qcow2_commit, sync);

	if (io->result) {
		if (!commit->q->sync_error)
			commit->q->sync_error = io->result;
		commit->result = io->result;
		end(commit);
		return;
	}
	do
		commit->step++;
	while (commit->step < STEPS && !commit->writes[commit->step]);
	if (commit->step == STEPS)
		end(commit);
	else
		step_begin(commit);
}

static void step_go_on(struct qcow2_commit *commit);

static void write_done(struct file_io *io)
{
	struct qcow2_commit *commit = container_of(io, struct write, io)->commit;

	if (io->result && !commit->result)
		commit->result = io->result;
	commit->in_flight--;
	step_go_on(commit);
}

static void step_go_on(struct qcow2_commit *commit)
{
	struct block_file *file = commit->q->file;

	while (commit->next && !commit->result && commit->in_flight < MAX_WRITES) {
		struct write *write = commit->next;

		commit->next = write->next;
		commit->in_flight++;
		write->io.done = write_done;
		file->ops->submit(file, &write->io);
	}
	if (commit->in_flight)
		return;
	if (commit->result) {
		end(commit);
		return;
	}
	commit->q->written = false;
	commit->sync = (struct file_io){ .operation = FILE_SYNC, .done = synced };
	file->ops->submit(file, &commit->sync);
}

static void step_begin(struct qcow2_commit *commit)
{
	commit->next = commit->writes[commit->step];
	if (commit->step == STEP_MAPPING)
		publish(commit);
	step_go_on(commit);
}

static void fail_waiters(struct qcow2 *q, int result)
{
	struct qcow2_op_list flushes = q->flushes, room = q->room_waiters;

	if (!flushes.first)
		flushes.last = &flushes.first;
	if (!room.first)
		room.last = &room.first;
	qcow2_op_list_init(&q->flushes);
	qcow2_op_list_init(&q->room_waiters);
	qcow2_op_wake(&flushes, result);
	qcow2_op_wake(&room, result);
}

void qcow2_commit(struct qcow2 *q)
{
	struct qcow2_commit *commit;
	int r;

	if (q->commit)
		return;
	if (q->sync_error || is_settled(q)) {
		fail_waiters(q, q->sync_error);
		return;
	}
	commit = calloc(1, sizeof(*commit));
	if (!commit) {
		fail_waiters(q, -ENOMEM);
		return;
	}
	commit->q = q;
	r = collect(commit);
	if (r) {
		free(commit);
		fail_waiters(q, r);
		return;
	}
	q->commit = commit;
	commit->flushes = q->flushes;
	if (!commit->flushes.first)
		commit->flushes.last = &commit->flushes.first;
	qcow2_op_list_init(&q->flushes);
	step_begin(commit);
}

/* While nothing else is going on. */

static int step_now(struct qcow2_commit *commit)
{
	struct qcow2 *q = commit->q;
	struct block_file *file = q->file;
	int r = 0;

	if (commit->step == STEP_MAPPING)
		publish(commit);
	for (struct write *write = commit->writes[commit->step]; !r && write; write = write->next)
		r = file->ops->write(file, write->io.offset_bytes, write->data, write->iov.iov_len);
	if (r)
		return r;
	q->written = false;
	r = file->ops->sync(file);
	if (r && !q->sync_error)
		q->sync_error = r;
	return r;
}

static int commit_now(struct qcow2 *q)
{
	struct qcow2_commit commit = { .q = q };
	int r = q->sync_error;

	if (!r)
		r = collect(&commit);
	if (r)
		return r;
	for (; !commit.result && commit.step < STEPS; commit.step++) {
		if (commit.step && !commit.writes[commit.step])
			continue;
		commit.result = step_now(&commit);
		if (commit.result)
			break;
	}
	r = commit.result;
	conclude(&commit);
	return r;
}

int qcow2_settle(struct image *image)
{
	struct qcow2 *q = container_of(image, struct qcow2, image);
	int r = q->sync_error;

	if (image->read_only)
		return 0;
	/* The queue stands still: what was under way in it has ended. */
	assert(!q->commit && !q->oldest_piece && !q->punches);
	/* What the first commit frees, the second writes. */
	while (!r && (!is_settled(q) || q->old_frees)) {
		r = commit_now(q);
		qcow2_reclaim(q, false);
	}
	return r;
}
