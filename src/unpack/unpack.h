/* Inside vmgui-unpack.so: one function for each format, all as struct unpack_module's run is.
 * Threads: any; there is no state. */
#ifndef VMGUI_UNPACK_UNPACK_H
#define VMGUI_UNPACK_UNPACK_H

#include "core/boot/unpack.h"

int unpack_gzip(struct unpack_job *job);
int unpack_xz(struct unpack_job *job);
int unpack_lzma(struct unpack_job *job);
int unpack_lz4_legacy(struct unpack_job *job);
int unpack_zstd(struct unpack_job *job);
int unpack_bzip2(struct unpack_job *job);
int unpack_lzo(struct unpack_job *job);

static inline uint32_t unpack_le32(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
	       (uint32_t)at[3] << 24;
}

#endif
