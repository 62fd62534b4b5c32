/* The decompressors, by way of the module: each format, damaged, cut short and short of room. */
#include "cmocka_all.h"

#include <errno.h>
#include <string.h>

#include "core/boot/unpack.h"
#include "core/module.h"
#include "packed_samples.h"

static struct module *module;
static const struct unpack_module *unpack;

static int open_module(void **state)
{
	struct error err = { "" };
	void *symbol;

	(void)state;
	if (module_open("unpack", &module, &err) ||
		module_symbol(module, UNPACK_MODULE_SYMBOL, &symbol, &err)) {
		print_error("%s\n", err.text);
		return -1;
	}
	unpack = symbol;
	return 0;
}

static int close_module(void **state)
{
	(void)state;
	module_close(module);
	return 0;
}

static void unpack_each_format_gives_the_text(void **state)
{
	char text[SAMPLE_TEXT_BYTES + 1];

	(void)state;
	sample_text(text);
	for (size_t i = 0; i < array_size(packed_samples); i++) {
		uint8_t out[SAMPLE_TEXT_BYTES + 64] = { 0 };
		struct unpack_job job = { .input = packed_samples[i].data,
			.input_bytes = packed_samples[i].bytes,
			.output = out,
			.output_room = sizeof(out) };

		assert_int_equal(unpack->run(packed_samples[i].format, &job), 0);
		assert_int_equal(job.output_bytes, SAMPLE_TEXT_BYTES);
		assert_int_equal(job.consumed_bytes, packed_samples[i].bytes);
		assert_memory_equal(out, text, SAMPLE_TEXT_BYTES);
	}
}

static void unpack_exact_room_is_enough(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_size(packed_samples); i++) {
		uint8_t out[SAMPLE_TEXT_BYTES];
		struct unpack_job job = { .input = packed_samples[i].data,
			.input_bytes = packed_samples[i].bytes,
			.output = out,
			.output_room = sizeof(out) };

		assert_int_equal(unpack->run(packed_samples[i].format, &job), 0);
		assert_int_equal(job.output_bytes, SAMPLE_TEXT_BYTES);
	}
}

static void unpack_one_byte_short_of_room_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_size(packed_samples); i++) {
		uint8_t out[SAMPLE_TEXT_BYTES + 15];
		struct unpack_job job = { .input = packed_samples[i].data,
			.input_bytes = packed_samples[i].bytes,
			.output = out,
			.output_room = SAMPLE_TEXT_BYTES - 1 };

		memset(out, 0x5a, sizeof(out));
		assert_int_equal(unpack->run(packed_samples[i].format, &job), -ENOSPC);
		for (size_t j = SAMPLE_TEXT_BYTES - 1; j < sizeof(out); j++)
			assert_int_equal(out[j], 0x5a);
	}
}

static void unpack_truncated_input_never_gives_the_whole_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_size(packed_samples); i++)
		for (size_t length = 0; length < packed_samples[i].bytes; length++) {
			uint8_t out[SAMPLE_TEXT_BYTES];
			struct unpack_job job = { .input = packed_samples[i].data,
				.input_bytes = length,
				.output = out,
				.output_room = sizeof(out) };
			int r = unpack->run(packed_samples[i].format, &job);

			/* LZ4's legacy frame has no end mark: shorter is all that can be seen.
			 * -ENOSPC: all the text came, and its end mark did not. */
			assert_true(r == -EINVAL || r == -ENOSPC ||
				    (r == 0 && job.output_bytes < SAMPLE_TEXT_BYTES));
		}
}

static void unpack_flipped_bits_never_crash(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_size(packed_samples); i++)
		for (size_t bit = 0; bit < packed_samples[i].bytes * 8; bit++) {
			uint8_t in[1024], out[SAMPLE_TEXT_BYTES];
			struct unpack_job job = { .input = in,
				.input_bytes = packed_samples[i].bytes,
				.output = out,
				.output_room = sizeof(out) };

			memcpy(in, packed_samples[i].data, packed_samples[i].bytes);
			in[bit / 8] ^= (uint8_t)(1u << (bit % 8));
			(void)unpack->run(packed_samples[i].format, &job);
			assert_true(job.output_bytes <= sizeof(out));
		}
}

static void unpack_unknown_format_is_refused(void **state)
{
	struct unpack_job job = { .input = NULL };

	(void)state;
	assert_int_equal(unpack->run(UNPACK_UNKNOWN, &job), -EINVAL);
	assert_int_equal(unpack->run(UNPACK_FORMATS, &job), -EINVAL);
}

static void unpack_gzip_members_are_one_stream(void **state)
{
	uint8_t in[1024], out[2 * SAMPLE_TEXT_BYTES];
	struct unpack_job job = { .input = in,
		.input_bytes = 2 * sizeof(sample_gzip),
		.output = out,
		.output_room = sizeof(out) };

	(void)state;
	memcpy(in, sample_gzip, sizeof(sample_gzip));
	memcpy(in + sizeof(sample_gzip), sample_gzip, sizeof(sample_gzip));
	assert_int_equal(unpack->run(UNPACK_GZIP, &job), 0);
	assert_int_equal(job.output_bytes, sizeof(out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unpack_each_format_gives_the_text),
		cmocka_unit_test(unpack_exact_room_is_enough),
		cmocka_unit_test(unpack_one_byte_short_of_room_is_refused),
		cmocka_unit_test(unpack_truncated_input_never_gives_the_whole_text),
		cmocka_unit_test(unpack_flipped_bits_never_crash),
		cmocka_unit_test(unpack_unknown_format_is_refused),
		cmocka_unit_test(unpack_gzip_members_are_one_stream),
	};

	return cmocka_run_group_tests(tests, open_module, close_module);
}
