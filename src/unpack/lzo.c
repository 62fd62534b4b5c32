/* lzop's file format, with the LZO1X data that it holds unpacked by liblzo2. All numbers are
 * big-endian; the head's and the blocks' checksums of what comes out are verified. Threads: any. */
#include <errno.h>
#include <lzo/lzo1x.h>
#include <string.h>

#include "unpack/unpack.h"

#define FLAG_ADLER32_OUT UINT32_C(0x0001)
#define FLAG_ADLER32_IN  UINT32_C(0x0002)
#define FLAG_EXTRA_FIELD UINT32_C(0x0040)
#define FLAG_CRC32_OUT   UINT32_C(0x0100)
#define FLAG_CRC32_IN    UINT32_C(0x0200)
#define FLAG_CRC32_HEAD  UINT32_C(0x1000)
#define FLAG_FILTER      UINT32_C(0x0800)
#define VERSION_0940     0x0940u
#define BLOCK_MAX_BYTES  ((uint32_t)64 << 20)

static const uint8_t magic[9] = { 0x89, 'L', 'Z', 'O', 0x00, 0x0d, 0x0a, 0x1a, 0x0a };

struct reader {
	const uint8_t *at, *end;
	bool short_read; /* sticky */
};

static const uint8_t *take(struct reader *reader, size_t bytes)
{
	const uint8_t *at = reader->at;

	if (reader->short_read || (size_t)(reader->end - at) < bytes) {
		reader->short_read = true;
		return NULL;
	}
	reader->at += bytes;
	return at;
}

static uint32_t take_number(struct reader *reader, unsigned bytes)
{
	const uint8_t *at = take(reader, bytes);
	uint32_t value = 0;

	for (unsigned i = 0; at && i < bytes; i++)
		value = value << 8 | at[i];
	return value;
}

static int read_head(struct reader *reader, uint32_t *flags)
{
	const uint8_t *start = take(reader, sizeof(magic)), *body = reader->at;
	uint32_t version, method, checksum, sum;

	if (!start || memcmp(start, magic, sizeof(magic)) != 0)
		return -EINVAL;
	version = take_number(reader, 2);
	take_number(reader, 2); /* the library's version */
	if (version >= VERSION_0940)
		take_number(reader, 2); /* the version needed */
	method = take_number(reader, 1);
	if (version >= VERSION_0940)
		take_number(reader, 1); /* level */
	*flags = take_number(reader, 4);
	if (*flags & (FLAG_FILTER | FLAG_EXTRA_FIELD))
		return -EINVAL; /* lzop writes neither */
	take_number(reader, 4); /* mode */
	take_number(reader, 4); /* time */
	if (version >= VERSION_0940)
		take_number(reader, 4);       /* time, upper half */
	take(reader, take_number(reader, 1)); /* name */
	if (reader->short_read)
		return -EINVAL;
	sum = *flags & FLAG_CRC32_HEAD ? lzo_crc32(0, body, (lzo_uint)(reader->at - body))
				       : lzo_adler32(1, body, (lzo_uint)(reader->at - body));
	checksum = take_number(reader, 4);
	/* 1 to 3: LZO1X-1, LZO1X-1(15), LZO1X-999; one decoder for all. */
	if (reader->short_read || sum != checksum || method < 1 || method > 3)
		return -EINVAL;
	return 0;
}

/* 1: a block was unpacked, 0: the end mark was read. */
static int read_block(struct reader *reader, uint32_t flags, struct unpack_job *job)
{
	uint32_t unpacked = take_number(reader, 4), packed, adler = 0, crc = 0;
	uint8_t *out = job->output + job->output_bytes;
	lzo_uint produced;
	const uint8_t *data;

	if (reader->short_read)
		return -EINVAL;
	if (unpacked == 0)
		return 0;
	packed = take_number(reader, 4);
	if (flags & FLAG_ADLER32_OUT)
		adler = take_number(reader, 4);
	if (flags & FLAG_CRC32_OUT)
		crc = take_number(reader, 4);
	if (packed < unpacked && (flags & FLAG_ADLER32_IN))
		take_number(reader, 4);
	if (packed < unpacked && (flags & FLAG_CRC32_IN))
		take_number(reader, 4);
	if (packed > unpacked || unpacked > BLOCK_MAX_BYTES)
		return -EINVAL;
	data = take(reader, packed);
	if (!data)
		return -EINVAL;
	if (unpacked > job->output_room - job->output_bytes)
		return -ENOSPC;
	if (packed == unpacked) {
		memcpy(out, data, packed);
	} else {
		produced = unpacked;
		if (lzo1x_decompress_safe(data, packed, out, &produced, NULL) != LZO_E_OK ||
			produced != unpacked)
			return -EINVAL;
	}
	if (((flags & FLAG_ADLER32_OUT) && lzo_adler32(1, out, unpacked) != adler) ||
		((flags & FLAG_CRC32_OUT) && lzo_crc32(0, out, unpacked) != crc))
		return -EINVAL;
	job->output_bytes += unpacked;
	return 1;
}

int unpack_lzo(struct unpack_job *job)
{
	struct reader reader = { .at = job->input, .end = job->input + job->input_bytes };
	uint32_t flags;
	int r;

	if (lzo_init() != LZO_E_OK)
		return -EINVAL;
	r = read_head(&reader, &flags);
	if (r)
		return r;
	do {
		r = read_block(&reader, flags, job);
	} while (r > 0);
	job->consumed_bytes = (size_t)(reader.at - job->input);
	return r;
}
