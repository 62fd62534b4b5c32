/* bzip2 by libbz2. Threads: any. */
#include <bzlib.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "unpack/unpack.h"

static unsigned clamp(size_t bytes)
{
	return bytes < UINT_MAX ? (unsigned)bytes : UINT_MAX;
}

int unpack_bzip2(struct unpack_job *job)
{
	size_t consumed = 0, produced = 0;
	unsigned in, out;
	bz_stream stream;
	int r, z;

	memset(&stream, 0, sizeof(stream));
	if (BZ2_bzDecompressInit(&stream, 0, 0) != BZ_OK)
		return -ENOMEM;
	do {
		in = clamp(job->input_bytes - consumed);
		out = clamp(job->output_room - produced);
		stream.next_in = (char *)(uintptr_t)(job->input + consumed);
		stream.avail_in = in;
		stream.next_out = (char *)job->output + produced;
		stream.avail_out = out;
		z = BZ2_bzDecompress(&stream);
		in -= stream.avail_in;
		out -= stream.avail_out;
		consumed += in;
		produced += out;
	} while (z == BZ_OK && (in || out)); /* no progress: the input or the room is at its end */
	if (z == BZ_STREAM_END)
		r = 0;
	else if (z == BZ_MEM_ERROR)
		r = -ENOMEM;
	else if (z == BZ_OK && produced == job->output_room)
		r = -ENOSPC;
	else
		r = -EINVAL;
	BZ2_bzDecompressEnd(&stream);
	job->consumed_bytes = consumed;
	job->output_bytes = produced;
	return r;
}
