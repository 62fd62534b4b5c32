/* From the user's words to a disk: which files, in which format, on top of which others.
 *
 * Nothing here trusts what a guest can write. The format of an image is what the user said or what
 * its name ends in; the backing file that a qcow2 header names is followed only when the user
 * allowed it, or each guest with a qcow2 disk could read any file of the host.
 *
 * Threads: the caller's. */
#include "block/disk.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "block/disk_internal.h"
#include "core/log.h"

#define CHAIN_LIMIT 16

static const uint8_t qcow2_magic[4] = { 'Q', 'F', 'I', 0xfb };

struct opener {
	const struct block_options *options;
	struct engine *engine;
	struct {
		dev_t device;
		ino_t inode;
	} chain[CHAIN_LIMIT];
	unsigned depth;
};

struct layer {
	const char *path;
	enum block_format format;
	bool read_only;
	const char *backing_path; /* instead of the one in its header; NULL: none */
	enum block_format backing_format;
};

static int open_layer(
	struct opener *opener, const struct layer *layer, struct image **image, struct error *err);

static bool is_qcow2_name(const char *path)
{
	size_t length = strlen(path), suffix = strlen(".qcow2");

	return length > suffix && !strcasecmp(path + length - suffix, ".qcow2");
}

/* A chain that bites its tail has no end, and one that is very long is a mistake. */
static int enter_layer(struct opener *opener, const struct layer *layer, struct error *err)
{
	struct stat status;

	if (opener->depth == CHAIN_LIMIT)
		return error_set(err, ELOOP,
			"%s: more than %d backing files (merge some with 'qemu-img rebase')",
			layer->path, CHAIN_LIMIT - 1);
	if (stat(layer->path, &status) < 0)
		memset(&status, 0, sizeof(status)); /* opening it says what is wrong */
	for (unsigned i = 0; status.st_ino && i < opener->depth; i++) {
		if (opener->chain[i].device == status.st_dev &&
			opener->chain[i].inode == status.st_ino)
			return error_set(err, ELOOP,
				"%s: is its own backing file (rebase it with qemu-img rebase)",
				layer->path);
	}
	opener->chain[opener->depth].device = status.st_dev;
	opener->chain[opener->depth++].inode = status.st_ino;
	return 0;
}

static int open_raw(
	const struct layer *layer, struct block_file *file, struct image **image, struct error *err)
{
	uint8_t start[sizeof(qcow2_magic)] = { 0 };

	if (layer->format == BLOCK_FORMAT_BY_NAME &&
		!file->ops->read(file, 0, start, sizeof(start)) &&
		!memcmp(start, qcow2_magic, sizeof(start)))
		log_warn("block",
			"%s: taken as raw, but begins like a qcow2 image (say format=qcow2, or "
			"format=raw to silence this)",
			layer->path);
	return raw_open(file, image, err);
}

/* Where the file that the header of layer names is, seen from here. */
static int resolve_backing(
	const struct layer *layer, const char *name, char path[PATH_MAX], struct error *err)
{
	const char *slash = strrchr(layer->path, '/');
	size_t folder = slash && *name != '/' ? (size_t)(slash - layer->path) + 1 : 0;
	size_t scheme;

	if (!strncmp(name, "file:", 5))
		name += 5;
	scheme = strcspn(name, ":/");
	if (name[scheme] == ':')
		return error_set(err, ENOTSUP,
			"%s: its backing file '%s' is not a file of this machine ('qemu-img "
			"convert' "
			"makes an image without one)",
			layer->path, name);
	if ((size_t)snprintf(path, PATH_MAX, "%.*s%s", (int)folder, layer->path, name) >= PATH_MAX)
		return error_set(err, ENAMETOOLONG, "%s: the name of its backing file is too long",
			layer->path);
	return 0;
}

/* Opens what is below a qcow2; *image stays NULL when nothing is. */
static int open_backing(struct opener *opener, const struct layer *layer, struct block_file *file,
	struct image **image, struct error *err)
{
	struct layer below = { .read_only = true };
	struct qcow2_backing header;
	char path[PATH_MAX];
	int ret = qcow2_read_backing(file, &header, err);

	if (ret)
		return ret;
	if (!header.name[0]) {
		if (layer->backing_path)
			return error_set(err, EINVAL,
				"%s: has no backing file, so '%s' cannot be it (leave that out)",
				layer->path, layer->backing_path);
		return 0;
	}
	below.format = BLOCK_FORMAT_BY_NAME;
	if (!strcmp(header.format, "raw"))
		below.format = BLOCK_FORMAT_RAW;
	else if (!strcmp(header.format, "qcow2"))
		below.format = BLOCK_FORMAT_QCOW2;
	else if (header.format[0])
		return error_set(err, ENOTSUP,
			"%s: its backing file has the unknown format '%s' (raw and qcow2 are "
			"known)",
			layer->path, header.format);
	if (layer->backing_path) {
		below.path = layer->backing_path;
		if (layer->backing_format != BLOCK_FORMAT_BY_NAME)
			below.format = layer->backing_format;
	} else if (!opener->options->allow_backing) {
		return error_set(err, EPERM,
			"%s: needs the backing file '%s', which vmgui opens only when told to (add "
			",backing=allow, or ,backing=FILE)",
			layer->path, header.name);
	} else {
		ret = resolve_backing(layer, header.name, path, err);
		if (ret)
			return ret;
		below.path = path;
	}
	return open_layer(opener, &below, image, err);
}

static int open_qcow2(struct opener *opener, const struct layer *layer, struct block_file *file,
	struct image **image, struct error *err)
{
	struct qcow2_options options = { .backing = NULL };
	int ret = open_backing(opener, layer, file, &options.backing, err);

	if (ret) {
		file->ops->close(file);
		return ret;
	}
	return qcow2_open(file, &options, image, err);
}

static int open_layer(
	struct opener *opener, const struct layer *layer, struct image **image, struct error *err)
{
	const struct posix_file_options options = { .path = layer->path,
		.read_only = layer->read_only,
		.direct = opener->options->cache == BLOCK_CACHE_DIRECT };
	struct block_file *file;
	int ret = enter_layer(opener, layer, err);

	if (ret)
		return ret;
	ret = posix_file_open(&options, &file, err);
	if (ret)
		return ret;
	posix_file_set_engine(file, opener->engine);
	if (layer->format == BLOCK_FORMAT_QCOW2 ||
		(layer->format == BLOCK_FORMAT_BY_NAME && is_qcow2_name(layer->path)))
		return open_qcow2(opener, layer, file, image, err);
	if (layer->backing_path) {
		file->ops->close(file);
		return error_set(err, EINVAL,
			"%s: a raw image has no backing file (leave '%s' out, or say format=qcow2)",
			layer->path, layer->backing_path);
	}
	return open_raw(layer, file, image, err);
}

/* Puts an empty qcow2 in an unnamed file on top: what is written goes there and vanishes with it.
 * Takes *image over, on failure too. */
static int add_snapshot(struct opener *opener, struct image **image, struct error *err)
{
	const char *folder = getenv("TMPDIR");
	const struct posix_file_options options = { .path = folder && *folder ? folder : "/var/tmp",
		.temporary = true };
	struct qcow2_options overlay = { .backing = *image };
	uint32_t block_bytes = (*image)->block_bytes;
	uint32_t physical_block_bytes = (*image)->physical_block_bytes;
	struct block_file *file;
	int ret = posix_file_open(&options, &file, err);

	if (ret)
		goto destroy_image;
	posix_file_set_engine(file, opener->engine);
	ret = qcow2_create_overlay(file, atomic_load(&(*image)->size_bytes), err);
	if (ret)
		goto close_file;
	ret = qcow2_open(file, &overlay, image, err);
	if (ret)
		return ret;
	/* The guest sees the disk that it would see without the snapshot. */
	(*image)->block_bytes = block_bytes;
	(*image)->physical_block_bytes = physical_block_bytes;
	return 0;

close_file:
	file->ops->close(file);
destroy_image:
	(*image)->ops->destroy(*image);
	return ret;
}

int block_open(const struct block_options *options, struct block_disk **disk, struct error *err)
{
	struct opener opener = { .options = options };
	const struct layer top = { .path = options->path,
		.format = options->format,
		.read_only = options->read_only || options->snapshot,
		.backing_path = options->backing_path,
		.backing_format = options->backing_format };
	struct image *image = NULL;
	int ret;

	*disk = NULL;
	if (!options->path || !options->path[0])
		return error_set(err, EINVAL, "disk: no image is named (--disk FILE)");
	ret = engine_create(ENGINE_ANY, &opener.engine, err);
	if (ret)
		return ret;
	ret = open_layer(&opener, &top, &image, err);
	/* Read-only is read-only: nothing would go to the overlay. */
	if (!ret && options->snapshot && !options->read_only)
		ret = add_snapshot(&opener, &image, err);
	if (ret) {
		engine_destroy(opener.engine);
		return ret;
	}
	return disk_create(image, opener.engine, options->path, disk, err);
}
