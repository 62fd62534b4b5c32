/* The face of vmgui-unpack.so: see core/boot/unpack.h. Threads: any. */
#include "unpack/unpack.h"

#include <errno.h>

#include "core/module.h"

MODULE_DEFINE();

static int run(enum unpack_format format, struct unpack_job *job)
{
	static int (*const formats[UNPACK_FORMATS])(struct unpack_job *) = {
		[UNPACK_GZIP] = unpack_gzip,
		[UNPACK_XZ] = unpack_xz,
		[UNPACK_LZMA] = unpack_lzma,
		[UNPACK_LZ4_LEGACY] = unpack_lz4_legacy,
		[UNPACK_ZSTD] = unpack_zstd,
		[UNPACK_BZIP2] = unpack_bzip2,
		[UNPACK_LZO] = unpack_lzo,
	};

	if ((unsigned)format >= UNPACK_FORMATS || !formats[format])
		return -EINVAL;
	job->consumed_bytes = job->output_bytes = 0;
	return formats[format](job);
}

extern const struct unpack_module vmgui_unpack_module;
const struct unpack_module vmgui_unpack_module = { .run = run };
