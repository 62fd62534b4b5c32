/* The EDID that the card shows: checked field by field as a driver reads it. */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

#include "devices/edid.h"

static void build(uint8_t edid[EDID_BYTES], uint32_t width, uint32_t height)
{
	const struct edid_options options = { "vmgui", width, height, 4u << 20 };

	edid_build(edid, &options);
}

static void edid_checksum_and_header_are_valid(void **state)
{
	static const uint32_t sizes[][2] = { { 640, 480 }, { 1024, 768 }, { 1366, 768 },
		{ 1920, 1080 }, { 3840, 2160 }, { 8, 1 } };

	(void)state;
	for (size_t i = 0; i < array_size(sizes); i++) {
		uint8_t edid[EDID_BYTES], sum = 0;

		build(edid, sizes[i][0], sizes[i][1]);
		for (unsigned j = 0; j < EDID_BYTES; j++) {
			sum = (uint8_t)(sum + edid[j]);
			if (j % EDID_BLOCK_BYTES == EDID_BLOCK_BYTES - 1)
				assert_int_equal(sum, 0);
		}
		assert_memory_equal(edid, "\0\xff\xff\xff\xff\xff\xff\0", 8);
		assert_int_equal(edid[18], 1);
		assert_int_equal(edid[19], 4);
		assert_int_equal(edid[126], 1);
	}
}

static void edid_preferred_timing_is_the_start_up_mode(void **state)
{
	uint8_t edid[EDID_BYTES], *timing = edid + 54;

	(void)state;
	build(edid, 1920, 1080);
	assert_int_equal(timing[2] | (timing[4] & 0xf0) << 4, 1920);
	assert_int_equal(timing[5] | (timing[7] & 0xf0) << 4, 1080);
	/* CVT's reduced-blanking table has 138.5 MHz and 31 lines for this mode. */
	assert_int_equal(timing[0] | timing[1] << 8, 13850);
	assert_int_equal(timing[6] | (timing[7] & 0x0f) << 8, 31);
	build(edid, 3840, 2160);
	assert_int_equal(timing[2] | (timing[4] & 0xf0) << 4, 3840);
	assert_int_equal(timing[0] | timing[1] << 8, 53325);
}

static void edid_names_the_monitor(void **state)
{
	const struct edid_options longer = { "a name that is too long", 640, 480, 0 };
	uint8_t edid[EDID_BYTES];

	(void)state;
	build(edid, 1024, 768);
	assert_memory_equal(edid + 90, "\0\0\0\xfc\0vmgui\n       ", 18);
	edid_build(edid, &longer);
	assert_memory_equal(edid + 95, "a name that i", 13);
}

static void edid_offers_no_mode_larger_than_memory(void **state)
{
	const struct edid_options small = { "vmgui", 640, 480, 1280 * 800 };
	uint8_t edid[EDID_BYTES];

	(void)state;
	edid_build(edid, &small);
	for (unsigned i = 0; i < 8; i++) {
		const uint8_t *slot = edid + 38 + 2 * i;

		assert_true((slot[0] == 1 && slot[1] == 1) || (slot[0] + 31) * 8 == 1280);
	}
}

static void edid_extension_offers_wide_modes_that_fit(void **state)
{
	const struct edid_options large = { "vmgui", 1024, 768, 16u << 20 };
	uint8_t edid[EDID_BYTES], *block = edid + EDID_BLOCK_BYTES;
	unsigned count = 0;

	(void)state;
	edid_build(edid, &large);
	assert_int_equal(block[0], 2);
	assert_int_equal(block[1], 3);
	assert_memory_equal(block + 4, "\xe2\0\x4a", 3);
	for (uint8_t *timing = block + block[2]; timing[0] || timing[1]; timing += 18) {
		count++;
		/* clock / (all pixels) is 60 Hz */
		uint32_t h =
			timing[2] + (timing[4] >> 4) * 256u + timing[3] + (timing[4] & 15) * 256u;
		uint32_t v =
			timing[5] + (timing[7] >> 4) * 256u + timing[6] + (timing[7] & 15) * 256u;

		assert_in_range((timing[0] | timing[1] * 256u) * 10000u / (h * v), 59, 60);
	}
	assert_int_equal(count, 6);
	build(edid, 1024, 768); /* 4 Mi pixels: neither 3840x2160 nor 3440x1440 */
	assert_int_equal(block[block[2] + 2] | (block[block[2] + 4] & 0xf0) << 4, 2560);
}

/* One monitor, so one size for all timings; none rather than one that nobody believes. */
static void edid_tells_one_size_for_all_timings(void **state)
{
	uint8_t edid[EDID_BYTES], *block = edid + EDID_BLOCK_BYTES;

	(void)state;
	build(edid, 1024, 768);
	assert_int_equal(edid[21], 27);
	assert_int_equal(edid[22], 20);
	assert_int_equal(edid[54 + 12], 270 & 255);
	for (uint8_t *timing = block + block[2]; timing[0] || timing[1]; timing += 18)
		assert_memory_equal(timing + 12, edid + 54 + 12, 3);
	build(edid, 320, 200);
	assert_memory_equal(edid + 21, "\0\0", 2);
	assert_memory_equal(edid + 54 + 12, "\0\0\0", 3);
}

/* Someone else's eyes: v4l-utils' edid-decode, where it is installed, finds nothing to say about
 * any size, memory from 1 to 64 MiB. */
static void edid_decodes_without_complaint(void **state)
{
	static const uint32_t sizes[][2] = { { 320, 200 }, { 640, 400 }, { 640, 480 }, { 800, 600 },
		{ 1024, 768 }, { 1280, 1024 }, { 1366, 768 }, { 1600, 1200 }, { 1920, 1080 },
		{ 1920, 1200 }, { 2560, 1440 }, { 3440, 1440 }, { 3840, 2160 }, { 3840, 200 },
		{ 320, 2160 }, { 8, 1 } };

	(void)state;
	if (system("command -v edid-decode >/dev/null"))
		skip();
	for (size_t i = 0; i < 4 * array_size(sizes); i++) {
		const uint32_t *size = sizes[i / 4];
		const struct edid_options options = { "vmgui", size[0], size[1],
			UINT64_C(1) << (18 + 2 * (i % 4)) };
		uint8_t edid[EDID_BYTES];
		FILE *decoder = popen("edid-decode --check >/dev/null", "w");

		assert_non_null(decoder);
		edid_build(edid, &options);
		assert_int_equal(fwrite(edid, 1, sizeof(edid), decoder), sizeof(edid));
		if (pclose(decoder))
			fail_msg("%ux%u: see what edid-decode --check says", size[0], size[1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edid_checksum_and_header_are_valid),
		cmocka_unit_test(edid_preferred_timing_is_the_start_up_mode),
		cmocka_unit_test(edid_names_the_monitor),
		cmocka_unit_test(edid_extension_offers_wide_modes_that_fit),
		cmocka_unit_test(edid_offers_no_mode_larger_than_memory),
		cmocka_unit_test(edid_tells_one_size_for_all_timings),
		cmocka_unit_test(edid_decodes_without_complaint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
