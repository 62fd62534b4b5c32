/* qcow2: unpacking compressed clusters.
 *
 * The packed bytes may be anything; whatever they are, exactly one cluster is written and the
 * memory that the libraries take is bounded. Threads: see qcow2.h.
 * Specification: Qcow2 Image File Format, "Compressed Clusters Descriptor"; RFC 1951 (deflate
 * without a zlib header), RFC 8878 (zstd). */
#include "block/qcow2.h"

#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

/* Frames of one cluster need no bigger window; the library's own limit would be 128 MiB. */
#define ZSTD_MAX_WINDOW_LOG 23

static int inflate_cluster(
	struct qcow2 *q, const uint8_t *packed, size_t packed_bytes, uint8_t *out)
{
	z_stream *stream = q->inflater;
	int r;

	if (!stream) {
		stream = calloc(1, sizeof(*stream));
		if (!stream)
			return -ENOMEM;
		if (inflateInit2(stream, -MAX_WBITS) != Z_OK) {
			free(stream);
			return -ENOMEM;
		}
		q->inflater = stream;
	} else if (inflateReset(stream) != Z_OK) {
		return -EIO;
	}
	/* zlib's types do not say const. */
	stream->next_in = (Bytef *)(uintptr_t)packed;
	stream->avail_in = (uInt)packed_bytes;
	stream->next_out = out;
	stream->avail_out = (uInt)q->cluster_bytes;
	r = inflate(stream, Z_FINISH);
	if (stream->avail_out || (r != Z_STREAM_END && r != Z_BUF_ERROR && r != Z_OK))
		return -EIO;
	return 0;
}

static int zstd_cluster(struct qcow2 *q, const uint8_t *packed, size_t packed_bytes, uint8_t *out)
{
	ZSTD_inBuffer input = { packed, packed_bytes, 0 };
	ZSTD_outBuffer output = { out, q->cluster_bytes, 0 };
	size_t before_in, before_out;

	if (!q->zstd) {
		q->zstd = ZSTD_createDCtx();
		if (!q->zstd)
			return -ENOMEM;
		if (ZSTD_isError(ZSTD_DCtx_setParameter(
			    q->zstd, ZSTD_d_windowLogMax, ZSTD_MAX_WINDOW_LOG)))
			return -EIO;
	}
	if (ZSTD_isError(ZSTD_DCtx_reset(q->zstd, ZSTD_reset_session_only)))
		return -EIO;
	while (output.pos < output.size) {
		before_in = input.pos;
		before_out = output.pos;
		if (ZSTD_isError(ZSTD_decompressStream(q->zstd, &output, &input)))
			return -EIO;
		if (input.pos == before_in && output.pos == before_out)
			return -EIO; /* the packed bytes end early */
	}
	return 0;
}

int qcow2_unpack(struct qcow2 *q, const uint8_t *packed, size_t packed_bytes, uint8_t *out)
{
	int r;

	if (q->header.compression == QCOW2_ZSTD)
		r = zstd_cluster(q, packed, packed_bytes, out);
	else
		r = inflate_cluster(q, packed, packed_bytes, out);
	if (r == -EIO)
		qcow2_bad(q, "a compressed cluster cannot be unpacked");
	return r;
}

void qcow2_unpack_fini(struct qcow2 *q)
{
	if (q->inflater)
		inflateEnd(q->inflater);
	free(q->inflater);
	ZSTD_freeDCtx(q->zstd);
}
