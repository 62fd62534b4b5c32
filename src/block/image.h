/* An image format: turns a disk's requests into I/O on files.
 *
 * Threads: submit and what follows from it in the disk's thread; open, close and check in whichever
 * thread has the image to itself. */
#ifndef VMGUI_BLOCK_IMAGE_H
#define VMGUI_BLOCK_IMAGE_H

#include "block/file.h"
#include "core/block.h"

struct image;

struct image_ops {
	const char *format; /* "raw", "qcow2" */
	/* As struct block_disk_ops. done may be called from inside submit. */
	void (*submit)(struct image *image, struct block_request *request);
	/* Nothing is in flight: writes out and syncs all metadata, as a flush does. 0 or negative
	 * errno. */
	int (*settle)(struct image *image);
	/* Looks whether the file has been resized behind our back, cheaply; true: size_bytes has
	 * changed. NULL: cannot happen. */
	bool (*resized)(struct image *image);
	/* Frees the image and closes its files; no I/O but what close needs. */
	void (*destroy)(struct image *image);
};

struct image {
	const struct image_ops *ops;
	_Atomic uint64_t size_bytes;
	uint32_t block_bytes, physical_block_bytes;
	uint32_t discard_granularity_bytes; /* 0: none */
	bool read_only;
	size_t scratch_bytes; /* of struct block_request.scratch */
};

/* Both take file over, on failure too. */
VMGUI_MUST_USE int raw_open(struct block_file *file, struct image **image, struct error *err);

struct qcow2_options {
	/* Opened by the caller for the file's backing name (relative to the image's folder) when
	 * the header has one, and taken over; NULL: the header must have none. For an overlay made
	 * by qcow2_create_overlay it is the image below. */
	struct image *backing;
	uint64_t cache_bytes; /* for metadata; 0: a default */
};
VMGUI_MUST_USE int qcow2_open(struct block_file *file, const struct qcow2_options *options,
	struct image **image, struct error *err);

/* What the header says of a backing file, so that the caller can decide before it opens the image:
 * name is "" when there is none; format is "", "raw" or "qcow2". */
struct qcow2_backing {
	char name[1024];
	char format[64];
};
VMGUI_MUST_USE int qcow2_read_backing(
	struct block_file *file, struct qcow2_backing *backing, struct error *err);

/* Makes file an empty version 3 image of that size, for --disk ...,snapshot: no backing name is
 * written, `backing` of qcow2_options stands in. */
VMGUI_MUST_USE int qcow2_create_overlay(
	struct block_file *file, uint64_t size_bytes, struct error *err);

#endif
