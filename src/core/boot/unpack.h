/* The contract between boot and the module vmgui-unpack.so, which holds the decompressors.
 *
 * Input and output are whole buffers; nothing is written past output_room, so a bomb ends with
 * -ENOSPC. Threads: any; there is no state between calls. */
#ifndef VMGUI_CORE_BOOT_UNPACK_H
#define VMGUI_CORE_BOOT_UNPACK_H

#include "core/util.h"

enum unpack_format {
	UNPACK_UNKNOWN,
	UNPACK_GZIP,
	UNPACK_XZ,
	UNPACK_LZMA,       /* .lzma, "LZMA alone" */
	UNPACK_LZ4_LEGACY, /* lz4 -l, as Linux wants it */
	UNPACK_ZSTD,
	UNPACK_BZIP2,
	UNPACK_LZO, /* lzop's file format */
	UNPACK_FORMATS,
};

struct unpack_job {
	const uint8_t *input;
	size_t input_bytes;
	uint8_t *output;
	size_t output_room;
	/* Results, valid after 0. */
	size_t consumed_bytes; /* of the input: one stream, with what belongs to it */
	size_t output_bytes;
};

/* What the module exports as vmgui_unpack_module. */
struct unpack_module {
	/* 0; -EINVAL: damaged or truncated; -ENOSPC: more output than room; -ENOMEM. */
	int (*run)(enum unpack_format format, struct unpack_job *job);
};

#define UNPACK_MODULE_SYMBOL "vmgui_unpack_module"

#endif
