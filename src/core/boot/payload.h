/* Compressed images: what they are compressed with, and their content by way of the image cache.
 * Threads: any. */
#ifndef VMGUI_CORE_BOOT_PAYLOAD_H
#define VMGUI_CORE_BOOT_PAYLOAD_H

#include "core/boot/source.h"
#include "core/boot/unpack.h"

/* By its first bytes; reads at most 16. */
enum unpack_format payload_probe(const struct boot_source *source, uint64_t offset);
const char *payload_format_name(enum unpack_format format);

/* The kernel inside a bzImage: length_bytes of source at offset, ending in the unpacked size as 32
 * bits. At most max_bytes of output. err has the reason alone. */
VMGUI_MUST_USE int payload_open_kernel(const struct boot_source *source, uint64_t offset,
	uint64_t length_bytes, uint64_t max_bytes, bool use_cache, struct boot_source *kernel,
	struct error *err);

#endif
