/* qcow2: opening and closing. See qcow2.h for the whole. */
#include "block/qcow2.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PHYSICAL_BLOCK_BYTES 4096u

void qcow2_complain(struct qcow2 *q, unsigned dropped, const char *format, ...)
{
	char text[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (dropped)
		log_warn("qcow2", "%s: %u more messages like the next", q->file->path, dropped);
	log_warn("qcow2", "%s: the image is damaged: %s (stop the guest and run qemu-img check)",
		q->file->path, text);
}

static void destroy(struct image *image)
{
	struct qcow2 *q = container_of(image, struct qcow2, image);

	qcow2_cache_fini(q);
	qcow2_refcount_fini(q);
	qcow2_table_fini(&q->l1);
	qcow2_fetch_fini(q);
	qcow2_unpack_fini(q);
	free(q->zeroes);
	if (q->backing)
		q->backing->ops->destroy(q->backing);
	q->file->ops->close(q->file);
	free(q);
}

static const struct image_ops qcow2_ops = {
	.format = "qcow2",
	.submit = qcow2_submit,
	.settle = qcow2_settle,
	.destroy = destroy,
};

/* Features that say that something else in the image is in step with the data: not after us. */
static int clear_autoclear(struct qcow2 *q, struct error *err)
{
	struct block_file *file = q->file;
	int r;

	if (!q->header.autoclear)
		return 0;
	memset(q->header.sector + 88, 0, 8);
	r = file->ops->write(file, 0, q->header.sector, sizeof(q->header.sector));
	if (!r)
		r = file->ops->sync(file);
	if (r)
		return error_set(err, -r, "%s: cannot be written: %s", file->path, strerror(-r));
	return 0;
}

static int read_tables(struct qcow2 *q, uint64_t cache_bytes, struct error *err)
{
	struct block_file *file = q->file;
	uint64_t file_bytes;
	int r;

	r = file->ops->size(file, &file_bytes);
	if (r)
		return error_set(err, -r, "%s: cannot be read: %s", file->path, strerror(-r));
	q->limit_cluster = QCOW2_END_OF_OFFSETS >> q->cluster_bits;
	if (file->is_device)
		q->limit_cluster = min_u64(q->limit_cluster, file_bytes >> q->cluster_bits);
	q->end_cluster = min_u64(q->limit_cluster,
		(file_bytes >> q->cluster_bits) + (qcow2_in_cluster(q, file_bytes) != 0));
	r = qcow2_table_init(&q->l1, q->header.l1_offset,
		(size_t)align_up((uint64_t)q->header.l1_entries * 8, BLOCK_SECTOR_BYTES));
	if (!r)
		r = qcow2_cache_init(q, cache_bytes);
	if (r)
		return error_set(err, -r, "%s: out of memory", file->path);
	r = file->ops->read(file, q->l1.offset, q->l1.data, q->l1.bytes);
	if (r)
		return error_set(err, -r, "%s: cannot be read: %s", file->path, strerror(-r));
	return 0;
}

static struct qcow2 *create(struct block_file *file)
{
	struct qcow2 *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->file = file;
	q->youngest_frees = &q->old_frees;
	qcow2_op_list_init(&q->flushes);
	qcow2_op_list_init(&q->room_waiters);
	qcow2_op_list_init(&q->bounce_waiters);
	qcow2_op_list_init(&q->finished);
	return q;
}

static void fill_image(struct qcow2 *q)
{
	struct image *image = &q->image;

	image->ops = &qcow2_ops;
	image->read_only = q->file->read_only;
	atomic_init(&image->size_bytes, align_up(q->header.size_bytes, BLOCK_SECTOR_BYTES));
	image->block_bytes = BLOCK_SECTOR_BYTES;
	image->physical_block_bytes = (uint32_t)min_u64(q->cluster_bytes, PHYSICAL_BLOCK_BYTES);
	image->discard_granularity_bytes = image->read_only ? 0 : (uint32_t)q->cluster_bytes;
	image->scratch_bytes = sizeof(struct qcow2_op);
}

int qcow2_open(struct block_file *file, const struct qcow2_options *options, struct image **image,
	struct error *err)
{
	struct qcow2 *q = create(file);
	void *zeroes;
	int r;

	if (!q) {
		if (options->backing)
			options->backing->ops->destroy(options->backing);
		r = error_set(err, ENOMEM, "%s: out of memory", file->path);
		file->ops->close(file);
		return r;
	}
	q->backing = options->backing;
	r = qcow2_header_read(file, &q->header, err);
	if (!r && *q->header.backing.name && !q->backing)
		r = error_set(err, EINVAL,
			"%s: has the backing file '%s', which was not allowed (name it with "
			"backing=FILE)",
			file->path, q->header.backing.name);
	if (!r && !file->read_only)
		r = qcow2_header_check_writable(file, &q->header, err);
	if (r)
		goto destroy_image;
	q->cluster_bits = q->header.cluster_bits;
	q->cluster_bytes = UINT64_C(1) << q->cluster_bits;
	q->l2_bits = q->cluster_bits - 3;
	q->refblock_bits = q->cluster_bits + 3 - q->header.refcount_order;
	fill_image(q);
	if (posix_memalign(&zeroes, PAGE_BYTES, q->cluster_bytes)) { /* for direct I/O */
		r = error_set(err, ENOMEM, "%s: out of memory", file->path);
		goto destroy_image;
	}
	q->zeroes = memset(zeroes, 0, q->cluster_bytes);
	r = read_tables(q, options->cache_bytes, err);
	if (!r && !file->read_only)
		r = qcow2_refcount_init(q, err);
	if (!r && !file->read_only)
		r = clear_autoclear(q, err);
	if (r)
		goto destroy_image;
	*image = &q->image;
	return 0;
destroy_image:
	destroy(&q->image);
	return r;
}
