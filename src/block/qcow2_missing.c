/* Until qcow2 is there. */
#include <errno.h>

#include "block/image.h"

static int refuse(struct block_file *file, struct error *err)
{
	return error_set(err, ENOTSUP, "%s: qcow2 is not built in (use a raw image)", file->path);
}

__attribute__((weak)) int qcow2_open(struct block_file *file, const struct qcow2_options *options,
	struct image **image, struct error *err)
{
	(void)options;
	*image = NULL;
	file->ops->close(file);
	return refuse(file, err);
}

__attribute__((weak)) int qcow2_read_backing(
	struct block_file *file, struct qcow2_backing *backing, struct error *err)
{
	(void)backing;
	return refuse(file, err);
}

__attribute__((weak)) int qcow2_create_overlay(
	struct block_file *file, uint64_t size_bytes, struct error *err)
{
	(void)size_bytes;
	return refuse(file, err);
}
