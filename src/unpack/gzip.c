/* gzip (RFC 1952) by zlib. Members that follow each other are one stream. Threads: any. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <zlib.h>

#include "unpack/unpack.h"

#define WINDOW_BITS (15 + 16) /* gzip's own head and trailer only */

static unsigned clamp(size_t bytes)
{
	return bytes < UINT_MAX ? (unsigned)bytes : UINT_MAX;
}

/* One member, from *consumed and *produced on. */
static int member(struct unpack_job *job, size_t *consumed, size_t *produced)
{
	z_stream stream;
	int r, z;

	memset(&stream, 0, sizeof(stream));
	if (inflateInit2(&stream, WINDOW_BITS) != Z_OK)
		return -ENOMEM;
	do {
		unsigned in = clamp(job->input_bytes - *consumed);
		unsigned out = clamp(job->output_room - *produced);

		stream.next_in = (z_const Bytef *)(job->input + *consumed);
		stream.avail_in = in;
		stream.next_out = job->output + *produced;
		stream.avail_out = out;
		z = inflate(&stream, Z_NO_FLUSH);
		*consumed += in - stream.avail_in;
		*produced += out - stream.avail_out;
	} while (z == Z_OK && (*consumed < job->input_bytes || *produced < job->output_room) &&
		 (stream.avail_in || stream.avail_out));
	if (z == Z_STREAM_END)
		r = 0;
	else if (z == Z_MEM_ERROR)
		r = -ENOMEM;
	else if ((z == Z_OK || z == Z_BUF_ERROR) && *produced == job->output_room)
		r = -ENOSPC;
	else
		r = -EINVAL;
	inflateEnd(&stream);
	return r;
}

int unpack_gzip(struct unpack_job *job)
{
	size_t consumed = 0, produced = 0;
	int r;

	do {
		r = member(job, &consumed, &produced);
	} while (!r && job->input_bytes - consumed >= 3 && job->input[consumed] == 0x1f &&
		 job->input[consumed + 1] == 0x8b);
	job->consumed_bytes = consumed;
	job->output_bytes = produced;
	return r;
}
