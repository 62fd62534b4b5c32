/* Decompression on the host: see payload.h. Threads: any. */
#include "core/boot/payload.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "core/boot/image_cache.h"
#include "core/boot/unpack_progress.h"
#include "core/module.h"

#define MAX_OUTPUT_BYTES GIB(1)
#define TRAILER_BYTES    4u /* the unpacked size, at the end of a kernel's payload */

static const struct format {
	const char *name;
	uint8_t magic[9];
	uint8_t magic_bytes;
} formats[UNPACK_FORMATS] = {
	[UNPACK_UNKNOWN] = { "nothing known", { 0 }, 0 },
	[UNPACK_GZIP] = { "gzip", { 0x1f, 0x8b, 0x08 }, 3 },
	[UNPACK_XZ] = { "xz", { 0xfd, '7', 'z', 'X', 'Z', 0x00 }, 6 },
	[UNPACK_LZMA] = { "LZMA", { 0x5d, 0x00, 0x00 }, 3 },
	[UNPACK_LZ4_LEGACY] = { "LZ4", { 0x02, 0x21, 0x4c, 0x18 }, 4 },
	[UNPACK_ZSTD] = { "zstd", { 0x28, 0xb5, 0x2f, 0xfd }, 4 },
	[UNPACK_BZIP2] = { "bzip2", { 'B', 'Z', 'h' }, 3 },
	[UNPACK_LZO] = { "LZO", { 0x89, 'L', 'Z', 'O', 0x00, 0x0d, 0x0a, 0x1a, 0x0a }, 9 },
};

enum unpack_format payload_probe(const struct boot_source *source, uint64_t offset)
{
	uint8_t head[16] = { 0 };

	if (offset >= source->size_bytes ||
		boot_source_read(source, offset, head,
			min_u64(sizeof(head), source->size_bytes - offset)) != 0)
		return UNPACK_UNKNOWN;
	for (enum unpack_format f = UNPACK_GZIP; f < UNPACK_FORMATS; f++)
		if (memcmp(head, formats[f].magic, formats[f].magic_bytes) == 0)
			return f;
	return UNPACK_UNKNOWN;
}

const char *payload_format_name(enum unpack_format format)
{
	return formats[format < UNPACK_FORMATS ? format : UNPACK_UNKNOWN].name;
}

/* The module is open for one job only: its libraries are not needed for the rest of the run. */
static int run_module(enum unpack_format format, struct unpack_job *job, struct error *err)
{
	struct module *module;
	void *symbol;
	int r;

	r = module_open("unpack", &module, err);
	if (r)
		return r;
	r = module_symbol(module, UNPACK_MODULE_SYMBOL, &symbol, err);
	if (!r) {
		r = ((const struct unpack_module *)symbol)->run(format, job);
		if (r)
			error_set(err, -r, "%s: %s", payload_format_name(format),
				r == -ENOSPC   ? "it unpacks to more than it announces or fits"
				: r == -EINVAL ? "the data is damaged"
					       : strerror(-r));
	}
	module_close(module);
	return r;
}

struct unpack_request {
	enum unpack_format format;
	const uint8_t *input;
	size_t input_bytes;
	size_t output_bytes; /* what must come out */
	bool use_cache;
};

/* The cache goes by the input alone, which does not hold the announced size. */
static int check_size(
	const struct unpack_request *request, struct boot_source *content, struct error *err)
{
	if (content->size_bytes == request->output_bytes)
		return 0;
	boot_source_close(content);
	return error_set(err, EINVAL, "it does not unpack to the size that it announces");
}

static int unpack(
	const struct unpack_request *request, struct boot_source *content, struct error *err)
{
	uint8_t digest[BLAKE2B_DIGEST_BYTES];
	struct unpack_job job = {
		.input = request->input,
		.input_bytes = request->input_bytes,
		.output_room = request->output_bytes,
	};
	struct unpack_progress progress = { .period_ms = UNPACK_PROGRESS_PERIOD_MS };
	int r;

	if (request->use_cache) {
		blake2b(request->input, request->input_bytes, digest);
		if (image_cache_find(digest, content) == 0)
			return check_size(request, content, err);
	}
	job.output = boot_source_map(request->output_bytes);
	if (!job.output)
		return error_set(err, ENOMEM, "no memory for %zu bytes", request->output_bytes);
	unpack_progress_start(
		&progress, payload_format_name(request->format), job.output, request->output_bytes);
	r = run_module(request->format, &job, err);
	unpack_progress_stop(&progress);
	if (!r && job.output_bytes != request->output_bytes)
		r = error_set(err, EINVAL, "it unpacks to %zu bytes, not to %zu as it says",
			job.output_bytes, request->output_bytes);
	if (r) {
		munmap(job.output, request->output_bytes);
		return r;
	}
	if (request->use_cache &&
		image_cache_store(digest, job.output, job.output_bytes, content) == 0)
		munmap(job.output, request->output_bytes);
	else
		boot_source_from_map(content, job.output, request->output_bytes, job.output_bytes);
	return 0;
}

int payload_open_kernel(const struct boot_source *source, uint64_t offset, uint64_t length_bytes,
	uint64_t max_bytes, bool use_cache, struct boot_source *kernel, struct error *err)
{
	struct unpack_request request = {
		.format = payload_probe(source, offset),
		.use_cache = use_cache,
	};
	uint32_t announced;
	uint8_t *input;
	int r;

	if (request.format == UNPACK_UNKNOWN)
		return error_set(err, EINVAL, "its payload is compressed with nothing known");
	if (length_bytes <= TRAILER_BYTES || length_bytes > MAX_OUTPUT_BYTES)
		return error_set(err, EINVAL, "its payload has %llu bytes",
			(unsigned long long)length_bytes);
	input = boot_source_map(length_bytes);
	if (!input)
		return error_set(err, ENOMEM, "no memory for its payload");
	r = boot_source_read(source, offset, input, length_bytes);
	if (r) {
		error_set(err, -r, "its payload cannot be read: %s", strerror(-r));
		goto out_unmap;
	}
	memcpy(&announced, input + length_bytes - TRAILER_BYTES, TRAILER_BYTES);
	if (announced == 0 || announced > min_u64(max_bytes, MAX_OUTPUT_BYTES)) {
		r = error_set(err, EINVAL, "it says that it unpacks to %u bytes", announced);
		goto out_unmap;
	}
	request.input = input;
	/* gzip has that size in its own trailer; the kernel's build adds it to all others. */
	request.input_bytes = length_bytes - (request.format == UNPACK_GZIP ? 0 : TRAILER_BYTES);
	request.output_bytes = announced;
	r = unpack(&request, kernel, err);
out_unmap:
	munmap(input, length_bytes);
	return r;
}
