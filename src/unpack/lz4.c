/* LZ4's legacy frames (lz4_Frame_format.md, "Legacy frame") by liblz4: a magic number, then blocks
 * of [packed length, 32 bits][data], each of at most 8 MiB unpacked. Threads: any. */
#include <errno.h>
#include <limits.h>
#include <lz4.h>

#include "unpack/unpack.h"

#define MAGIC       UINT32_C(0x184c2102)
#define BLOCK_BYTES ((size_t)8 << 20)

int unpack_lz4_legacy(struct unpack_job *job)
{
	const uint8_t *in = job->input;
	size_t at = 4, out = 0;

	if (job->input_bytes < 4 || unpack_le32(in) != MAGIC)
		return -EINVAL;
	/* The frame has no end mark: it ends with the input. */
	while (job->input_bytes - at >= 4) {
		size_t packed = unpack_le32(in + at);
		size_t room = job->output_room - out;
		int n;

		if (packed == MAGIC) { /* another frame */
			at += 4;
			continue;
		}
		if (packed == 0)
			break; /* padding */
		if (packed > job->input_bytes - at - 4 || packed > INT_MAX)
			return -EINVAL;
		if (room > BLOCK_BYTES)
			room = BLOCK_BYTES;
		n = LZ4_decompress_safe((const char *)in + at + 4, (char *)job->output + out,
			(int)packed, (int)room);
		if (n < 0) /* the library tells damage and lack of room with one code */
			return room < BLOCK_BYTES ? -ENOSPC : -EINVAL;
		at += 4 + packed;
		out += (size_t)n;
	}
	job->consumed_bytes = at;
	job->output_bytes = out;
	return 0;
}
