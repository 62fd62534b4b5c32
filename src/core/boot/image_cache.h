/* Decompressed kernels and initrds, kept in $XDG_CACHE_HOME/vmgui (or ~/.cache/vmgui) under the
 * digest of what they were decompressed from.
 *
 * An entry counts only if it is a regular file of ours that nobody else may write, and its head
 * names the digest, the length and the checksum of what follows. It is written beside its place and
 * renamed, so that no half of one is ever seen; the checksum finds what a crash of the machine
 * tore. The oldest entries make room for new ones. Whatever goes wrong costs the cache, never the
 * run.
 *
 * Threads: any; other processes at any time. */
#ifndef VMGUI_CORE_BOOT_IMAGE_CACHE_H
#define VMGUI_CORE_BOOT_IMAGE_CACHE_H

#include "core/boot/blake2b.h"
#include "core/boot/source.h"

/* 0 and an open source, or -ENOENT. */
VMGUI_MUST_USE int image_cache_find(
	const uint8_t digest[BLAKE2B_DIGEST_BYTES], struct boot_source *source);
/* Stores and opens what was stored; -errno where that cannot be done (a debug line said why). */
VMGUI_MUST_USE int image_cache_store(const uint8_t digest[BLAKE2B_DIGEST_BYTES],
	const uint8_t *data, size_t length_bytes, struct boot_source *source);

#endif
