/* .xz and .lzma by liblzma, which knows the x86 filter that kernels are packed with. Threads: any.
 */
#include <errno.h>
#include <lzma.h>

#include "unpack/unpack.h"

/* The dictionary of a kernel is at most 128 MiB; a file may ask for 4 GiB. */
#define MEMORY_LIMIT ((uint64_t)512 << 20)

static int decode(lzma_stream *stream, struct unpack_job *job)
{
	lzma_ret l;
	int r;

	stream->next_in = job->input;
	stream->avail_in = job->input_bytes;
	stream->next_out = job->output;
	stream->avail_out = job->output_room;
	l = lzma_code(stream, LZMA_FINISH);
	switch (l) {
	case LZMA_STREAM_END:
		r = 0;
		break;
	case LZMA_MEM_ERROR:
	case LZMA_MEMLIMIT_ERROR:
		r = -ENOMEM;
		break;
	case LZMA_OK:
	case LZMA_BUF_ERROR:
		r = stream->avail_out ? -EINVAL : -ENOSPC;
		break;
	default:
		r = -EINVAL;
	}
	job->consumed_bytes = job->input_bytes - stream->avail_in;
	job->output_bytes = job->output_room - stream->avail_out;
	lzma_end(stream);
	return r;
}

int unpack_xz(struct unpack_job *job)
{
	lzma_stream stream = LZMA_STREAM_INIT;

	if (lzma_stream_decoder(&stream, MEMORY_LIMIT, 0) != LZMA_OK)
		return -ENOMEM;
	return decode(&stream, job);
}

int unpack_lzma(struct unpack_job *job)
{
	lzma_stream stream = LZMA_STREAM_INIT;

	if (lzma_alone_decoder(&stream, MEMORY_LIMIT) != LZMA_OK)
		return -ENOMEM;
	return decode(&stream, job);
}
