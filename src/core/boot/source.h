/* Bytes that can be read more than once: a file, a part of a file, or memory. Reads go straight
 * into the caller's buffer (guest memory, mostly). A file is read with pread and never mapped,
 * because a mapping of a file that somebody truncates kills the process.
 *
 * Threads: one at a time. */
#ifndef VMGUI_CORE_BOOT_SOURCE_H
#define VMGUI_CORE_BOOT_SOURCE_H

#include "core/error.h"
#include "core/util.h"

struct boot_source {
	int fd;              /* -1: memory */
	uint64_t start;      /* of the bytes in the file */
	const uint8_t *data; /* of memory */
	bool mapped;         /* data is an anonymous mapping that the source owns */
	uint64_t size_bytes;
};

#define BOOT_SOURCE_NONE ((struct boot_source){ .fd = -1 })

/* what is the option that named the file, for the message: "--kernel". */
VMGUI_MUST_USE int boot_source_open(
	struct boot_source *source, const char *path, const char *what, struct error *err);
/* data stays the caller's. */
void boot_source_from_memory(struct boot_source *source, const uint8_t *data, size_t size_bytes);
/* -ERANGE: not all of it is inside; -EIO or another errno: the file could not be read, or became
 * shorter. */
VMGUI_MUST_USE int boot_source_read(
	const struct boot_source *source, uint64_t offset, void *buffer, uint64_t length_bytes);
/* Anonymous memory for a source: size_bytes of zeroes, or NULL. */
uint8_t *boot_source_map(size_t size_bytes);
/* Makes a source of it that owns the mapping. */
void boot_source_from_map(
	struct boot_source *source, uint8_t *map, size_t map_bytes, size_t used_bytes);
void boot_source_close(struct boot_source *source);

#endif
