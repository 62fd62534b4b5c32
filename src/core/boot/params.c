/* boot_params for Linux: see params.h.
 * Specification: Linux Documentation/arch/x86/boot.rst, zero-page.rst. Threads: one at a time. */
#include <asm/bootparam.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "core/boot/low_memory.h"
#include "core/boot/params.h"

_Static_assert(MEMORY_MAP_MAX_RANGES <= E820_MAX_ENTRIES_ZEROPAGE, "e820 table");
_Static_assert(sizeof(struct boot_params) == 4096, "boot_params");

#define LOADER_UNKNOWN 0xff /* type_of_loader: none that has a number */
#define SEED_BYTES     32

struct pixel_layout {
	uint8_t depth;
	uint8_t red_size, red_pos, green_size, green_pos, blue_size, blue_pos, rest_size, rest_pos;
};

static const struct pixel_layout pixel_layouts[] = {
	{ 8, 6, 0, 6, 0, 6, 0, 0, 0 }, /* through a palette of 6-bit levels */
	{ 15, 5, 10, 5, 5, 5, 0, 1, 15 },
	{ 16, 5, 11, 6, 5, 5, 0, 0, 0 },
	{ 24, 8, 16, 8, 8, 8, 0, 0, 0 },
	{ 32, 8, 16, 8, 8, 8, 0, 8, 24 },
};

static const struct pixel_layout *find_layout(uint32_t depth)
{
	for (size_t i = 0; i < array_size(pixel_layouts); i++)
		if (pixel_layouts[i].depth == depth)
			return &pixel_layouts[i];
	return NULL;
}

static int fill_screen(
	struct screen_info *screen, const struct boot_video *video, struct error *err)
{
	const struct pixel_layout *layout = find_layout(video->depth);
	const uint64_t units = video->framebuffer_bytes >> 16; /* of 64 KiB, as VBE counts */

	if (!layout || !video->width || !video->height || video->width > UINT16_MAX ||
		video->height > UINT16_MAX || video->stride_bytes > UINT16_MAX ||
		units > UINT32_MAX ||
		(uint64_t)video->stride_bytes * video->height > video->framebuffer_bytes)
		return error_set(err, EINVAL, "boot: no screen_info for a mode of %ux%u, %u bits",
			video->width, video->height, video->depth);
	screen->orig_video_isVGA = VIDEO_TYPE_VLFB;
	screen->orig_video_cols = 80;
	screen->orig_video_lines = 25;
	screen->orig_video_points = 16;
	screen->lfb_width = (uint16_t)video->width;
	screen->lfb_height = (uint16_t)video->height;
	screen->lfb_depth = (uint16_t)video->depth;
	screen->lfb_base = (uint32_t)video->framebuffer_gpa;
	screen->lfb_size = (uint32_t)units;
	screen->lfb_linelength = (uint16_t)video->stride_bytes;
	screen->red_size = layout->red_size;
	screen->red_pos = layout->red_pos;
	screen->green_size = layout->green_size;
	screen->green_pos = layout->green_pos;
	screen->blue_size = layout->blue_size;
	screen->blue_pos = layout->blue_pos;
	screen->rsvd_size = layout->rest_size;
	screen->rsvd_pos = layout->rest_pos;
	screen->pages = 1;
	if (video->framebuffer_gpa >> 32) {
		screen->ext_lfb_base = (uint32_t)(video->framebuffer_gpa >> 32);
		screen->capabilities |= VIDEO_CAPABILITY_64BIT_BASE;
	}
	return 0;
}

/* A seed spares the guest the wait for randomness. -errno leaves it out. */
static int write_seed(struct guest_mem *mem)
{
	/* struct setup_data, whose length is open, with its data. */
	struct {
		uint64_t next;
		uint32_t type, length;
		uint8_t seed[SEED_BYTES];
	} node = { .type = SETUP_RNG_SEED, .length = SEED_BYTES };
	int r = -EIO;

	if (getrandom(node.seed, sizeof(node.seed), GRND_NONBLOCK) == (ssize_t)sizeof(node.seed))
		r = guest_mem_write(mem, LOW_SETUP_DATA_GPA, &node, sizeof(node));
	explicit_bzero(&node, sizeof(node));
	return r;
}

int params_write_linux(struct guest_mem *mem, const struct params_input *input, struct error *err)
{
	const struct boot_machine *machine = input->machine;
	struct setup_header header;
	struct boot_params params;
	int r;

	memset(&params, 0, sizeof(params));
	memset(&header, 0, sizeof(header));
	if (input->header) {
		memcpy(&header, input->header->header, sizeof(header));
	} else {
		header.boot_flag = 0xaa55;
		header.header = 0x53726448; /* "HdrS" */
		header.version = 0x020f;
		header.loadflags = LOADED_HIGH;
		header.kernel_alignment = MIB(2);
	}
	header.vid_mode = 0xffff; /* "normal": the mode stands already */
	header.type_of_loader = LOADER_UNKNOWN;
	header.loadflags &= (uint8_t) ~(KASLR_FLAG | CAN_USE_HEAP);
	if (input->randomized)
		header.loadflags |= KASLR_FLAG;
	header.code32_start = (uint32_t)input->kernel_gpa;
	header.ramdisk_image = (uint32_t)input->initrd_gpa;
	header.ramdisk_size = (uint32_t)input->initrd_bytes;
	header.cmd_line_ptr = (uint32_t)LOW_CMDLINE_GPA;
	header.setup_data = 0;
	/* setup_data came with 2.09; a kernel too old for the type skips it. */
	if (header.version >= 0x0209 && write_seed(mem) == 0)
		header.setup_data = LOW_SETUP_DATA_GPA;
	params.hdr = header;

	params.acpi_rsdp_addr = machine->acpi_rsdp_gpa;
	if (machine->video.present) {
		r = fill_screen(&params.screen_info, &machine->video, err);
		if (r)
			return r;
		if (machine->video.edid)
			memcpy(&params.edid_info, machine->video.edid, sizeof(params.edid_info));
	}
	for (unsigned i = 0; i < input->map->count; i++) {
		params.e820_table[i].addr = input->map->ranges[i].start_gpa;
		params.e820_table[i].size = input->map->ranges[i].length_bytes;
		params.e820_table[i].type = input->map->ranges[i].type;
	}
	params.e820_entries = (uint8_t)input->map->count;
	r = guest_mem_write(mem, LOW_PARAMS_GPA, &params, sizeof(params));
	if (r)
		return error_set(err, -r, "boot: low memory is not RAM");
	return 0;
}
