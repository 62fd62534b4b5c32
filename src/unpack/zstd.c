/* Zstandard (RFC 8878) by libzstd, one frame straight into the output: no window to allocate.
 * Threads: any. */
#include <errno.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "unpack/unpack.h"

int unpack_zstd(struct unpack_job *job)
{
	size_t frame = ZSTD_findFrameCompressedSize(job->input, job->input_bytes), n;

	if (ZSTD_isError(frame))
		return -EINVAL;
	n = ZSTD_decompress(job->output, job->output_room, job->input, frame);
	if (ZSTD_isError(n)) {
		switch (ZSTD_getErrorCode(n)) {
		case ZSTD_error_dstSize_tooSmall:
			return -ENOSPC;
		case ZSTD_error_memory_allocation:
			return -ENOMEM;
		default:
			return -EINVAL;
		}
	}
	job->consumed_bytes = frame;
	job->output_bytes = n;
	return 0;
}
