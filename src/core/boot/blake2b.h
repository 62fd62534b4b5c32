/* BLAKE2b-256, RFC 7693: the name of a thing by its content. No key, no streaming state to keep.
 * Threads: any. */
#ifndef VMGUI_CORE_BOOT_BLAKE2B_H
#define VMGUI_CORE_BOOT_BLAKE2B_H

#include "core/util.h"

#define BLAKE2B_DIGEST_BYTES 32

void blake2b(const void *data, size_t length_bytes, uint8_t digest[BLAKE2B_DIGEST_BYTES]);

#endif
