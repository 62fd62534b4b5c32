/* Builds an EDID; see edid.h. Pure function, any thread.
 *
 * Source: VESA Enhanced EDID Standard, release A revision 2 (structure 1.4), section 3; the
 * preferred mode's timing by VESA Coordinated Video Timings 1.1, reduced blanking; CTA-861-G,
 * section 7.5 (7.5.6 for the data block), for the extension, which offers what a base block cannot
 * say. Nothing scans the picture out line by line, so timings only have to be ones that a driver
 * takes for real. */
#include "devices/edid.h"

#include <string.h>

#define REFRESH_HZ      60u
#define PIXELS_PER_10CM 378u /* 96 dpi, what desktops scale for */

/* Reduced blanking: pixels and lines, and the least vertical blanking in microseconds. */
#define RB_H_BLANK       160u
#define RB_H_FRONT       48u
#define RB_H_SYNC        32u
#define RB_V_FRONT       3u
#define RB_V_BACK_MIN    6u
#define RB_V_BLANK_US    460u
#define RB_CLOCK_STEP_HZ 250000u

/* The least that a detailed timing may have; a small picture gets more blanking. */
#define MIN_CLOCK_HZ    10000000u
#define MIN_LINE_HZ     30000u
#define MIN_TOTAL_LINES (MIN_LINE_HZ / REFRESH_HZ + 2) /* the clock is rounded down */
#define MIN_TOTAL_WIDTH (MIN_CLOCK_HZ / MIN_LINE_HZ + 2)

struct standard_timing {
	uint16_t width, height;
	uint8_t aspect; /* bits 7:6 of the second byte */
};

static const struct standard_timing standard_timings[8] = {
	{ 1920, 1200, 0x00 },
	{ 1920, 1080, 0xc0 },
	{ 1680, 1050, 0x00 },
	{ 1600, 1200, 0x40 },
	{ 1440, 900, 0x00 },
	{ 1280, 1024, 0x80 },
	{ 1280, 800, 0x00 },
	{ 1280, 720, 0xc0 },
};

/* Wider than standard timings go. */
static const uint16_t wide_modes[][2] = {
	{ 3840, 2160 },
	{ 3440, 1440 },
	{ 2560, 1600 },
	{ 2560, 1440 },
	{ 2048, 1152 },
	{ 1366, 768 },
};

#define CTA_TAG          0x02
#define CTA_REVISION     3
#define CTA_UNDERSCAN    0x80u /* all of every mode is seen */
#define CTA_FIRST_TIMING (4 + sizeof(video_capability))

/* A data block of two bytes: the range of RGB can be chosen, no mode is cut off at its edges. */
static const uint8_t video_capability[] = { 7 << 5 | 2, 0x00, 0x4a };

_Static_assert(CTA_FIRST_TIMING + array_size(wide_modes) * 18 < EDID_BLOCK_BYTES,
	"all timings fit into the extension");

/* The picture's size on the monitor. Of less than 10 cm nobody believes it: then it is not told. */
struct size_mm {
	uint32_t width, height;
};

static struct size_mm size_of(const struct edid_options *options)
{
	struct size_mm size = { options->width * 100 / PIXELS_PER_10CM,
		options->height * 100 / PIXELS_PER_10CM };

	if (size.width < 100 || size.height < 100)
		size = (struct size_mm){ 0, 0 };
	return size;
}

/* CVT tells the aspect ratio by the length of the vertical sync pulse. */
static uint32_t v_sync_lines(uint32_t width, uint32_t height)
{
	if (width * 3 == height * 4)
		return 4;
	if (width * 9 == height * 16)
		return 5;
	if (width * 10 == height * 16)
		return 6;
	if (width * 4 == height * 5 || width * 9 == height * 15)
		return 7;
	return 10;
}

/* Section 3.10.2. */
static void detailed_timing(
	uint8_t timing[18], uint32_t width, uint32_t height, struct size_mm size)
{
	uint32_t v_sync = v_sync_lines(width, height);
	uint32_t v_blank =
		RB_V_BLANK_US * REFRESH_HZ * height / (1000000 - RB_V_BLANK_US * REFRESH_HZ) + 1;
	uint32_t h_blank = RB_H_BLANK, clock;
	uint64_t clock_hz;

	if (v_blank < RB_V_FRONT + v_sync + RB_V_BACK_MIN)
		v_blank = RB_V_FRONT + v_sync + RB_V_BACK_MIN;
	if (height + v_blank < MIN_TOTAL_LINES)
		v_blank = MIN_TOTAL_LINES - height;
	if (width + h_blank < MIN_TOTAL_WIDTH)
		h_blank = MIN_TOTAL_WIDTH - width;
	clock_hz = (uint64_t)(width + h_blank) * (height + v_blank) * REFRESH_HZ;
	clock_hz -= clock_hz % RB_CLOCK_STEP_HZ;
	clock = (uint32_t)min_u64(clock_hz / 10000, 0xffff);

	timing[0] = (uint8_t)clock;
	timing[1] = (uint8_t)(clock >> 8);
	timing[2] = (uint8_t)width;
	timing[3] = (uint8_t)h_blank;
	timing[4] = (uint8_t)(width >> 8 << 4 | h_blank >> 8);
	timing[5] = (uint8_t)height;
	timing[6] = (uint8_t)v_blank;
	timing[7] = (uint8_t)(height >> 8 << 4 | v_blank >> 8);
	timing[8] = (uint8_t)RB_H_FRONT;
	timing[9] = (uint8_t)RB_H_SYNC;
	timing[10] = (uint8_t)(RB_V_FRONT << 4 | v_sync);
	timing[11] = 0; /* upper bits of the four above */
	timing[12] = (uint8_t)size.width;
	timing[13] = (uint8_t)size.height;
	timing[14] = (uint8_t)(size.width >> 8 << 4 | size.height >> 8);
	timing[15] = 0; /* no borders */
	timing[16] = 0;
	timing[17] = 0x1a; /* separate digital syncs, horizontal positive, vertical negative */
}

static void text_descriptor(uint8_t descriptor[18], uint8_t tag, const char *text)
{
	size_t length = strnlen(text, 13);

	memset(descriptor, 0, 5);
	descriptor[3] = tag;
	memset(descriptor + 5, ' ', 13);
	memcpy(descriptor + 5, text, length);
	if (length < 13)
		descriptor[5 + length] = '\n';
}

static void set_checksum(uint8_t block[EDID_BLOCK_BYTES])
{
	uint8_t sum = 0;

	for (unsigned i = 0; i < EDID_BLOCK_BYTES - 1; i++)
		sum = (uint8_t)(sum + block[i]);
	block[EDID_BLOCK_BYTES - 1] = (uint8_t)-sum;
}

static void extension(
	uint8_t block[EDID_BLOCK_BYTES], const struct edid_options *options, struct size_mm size)
{
	uint8_t *timing = block + CTA_FIRST_TIMING;

	block[0] = CTA_TAG;
	block[1] = CTA_REVISION;
	block[2] = CTA_FIRST_TIMING;
	block[3] = CTA_UNDERSCAN;
	memcpy(block + 4, video_capability, sizeof(video_capability));
	for (size_t i = 0; i < array_size(wide_modes); i++) {
		uint32_t width = wide_modes[i][0], height = wide_modes[i][1];

		if ((uint64_t)width * height > options->max_pixels)
			continue;
		detailed_timing(timing, width, height, size);
		timing += 18;
	}
	set_checksum(block);
}

void edid_build(uint8_t edid[EDID_BYTES], const struct edid_options *options)
{
	static const uint8_t header[8] = { 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00 };
	static const uint8_t srgb[10] = { 0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50,
		0x54 };
	/* 50-75 Hz, 30-160 kHz, 600 MHz, bare limits: lets drivers offer what lies within. */
	static const uint8_t range_limits[18] = { 0, 0, 0, 0xfd, 0, 50, 75, 30, 160, 60, 0x01, '\n',
		' ', ' ', ' ', ' ', ' ', ' ' };
	struct size_mm size = size_of(options);

	memset(edid, 0, EDID_BYTES);
	memcpy(edid, header, sizeof(header));
	edid[8] = 0x59; /* "VMG", five bits a letter */
	edid[9] = 0xa7;
	edid[10] = 0x11; /* product 0x1111, as the PCI device */
	edid[11] = 0x11;
	edid[16] = 0xff; /* the next is a model year */
	edid[17] = 2025 - 1990;
	edid[18] = 1;
	edid[19] = 4;
	edid[20] = 0xa0; /* digital, 8 bits a colour, interface not told */
	edid[21] = (uint8_t)(size.width / 10);
	edid[22] = (uint8_t)(size.height / 10);
	edid[23] = 220 - 100; /* gamma 2.2 */
	edid[24] = 0x07;      /* sRGB, preferred mode is native, any frequency within the limits */
	memcpy(edid + 25, srgb, sizeof(srgb));
	edid[35] = 0x21; /* 640x480 and 800x600 at 60 Hz */
	edid[36] = 0x08; /* 1024x768 at 60 Hz */
	for (size_t i = 0; i < array_size(standard_timings); i++) {
		const struct standard_timing *timing = &standard_timings[i];
		uint8_t *slot = edid + 38 + 2 * i;
		bool offered = (uint64_t)timing->width * timing->height <= options->max_pixels;

		slot[0] = offered ? (uint8_t)(timing->width / 8 - 31) : 1;
		slot[1] = offered ? (uint8_t)(timing->aspect | (REFRESH_HZ - 60)) : 1;
	}
	detailed_timing(edid + 54, options->width, options->height, size);
	memcpy(edid + 72, range_limits, sizeof(range_limits));
	text_descriptor(edid + 90, 0xfc, options->name);
	edid[108 + 3] = 0x10; /* unused */
	edid[126] = EDID_BYTES / EDID_BLOCK_BYTES - 1;
	set_checksum(edid);
	extension(edid + EDID_BLOCK_BYTES, options, size);
}
