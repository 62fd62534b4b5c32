/* Opening disk images: what stands behind --disk.
 *
 * Loaded as the module vmgui-block when a disk is asked for (block_open is its export), so that a
 * run without disks maps neither liburing nor zlib nor zstd. */
#ifndef VMGUI_BLOCK_DISK_H
#define VMGUI_BLOCK_DISK_H

#include "core/block.h"

enum block_format {
	BLOCK_FORMAT_BY_NAME, /* .qcow2 is qcow2, everything else raw: never by content, which a
			       * guest can write */
	BLOCK_FORMAT_RAW,
	BLOCK_FORMAT_QCOW2,
};

enum block_cache {
	BLOCK_CACHE_WRITEBACK, /* through the host's page cache; durable after a flush */
	BLOCK_CACHE_DIRECT,    /* O_DIRECT */
};

struct block_options {
	const char *path;
	enum block_format format;
	enum block_cache cache;
	bool read_only;
	bool snapshot;            /* writes go to an unnamed temporary file and are thrown away */
	bool allow_backing;       /* a qcow2's own backing file name may be followed */
	const char *backing_path; /* or this file is its backing file; NULL: none named */
	enum block_format backing_format;
};

/* -EBUSY: somebody else holds the image (exit status 6); -EIO, -ENOMEM and the like: this machine
 * (1); anything else: the file or option is wrong (2). err is one line "PATH: what is wrong (what
 * to do)"; the image is untouched. */
VMGUI_MUST_USE int block_open(
	const struct block_options *options, struct block_disk **disk, struct error *err);

#endif
