/* The graphics card through its buses, as a guest's driver sees it. */
#include "cmocka_all.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/vga.h"
#include "fake_memory.h"

#define VRAM      MIB(16)
#define MMIO_BASE UINT64_C(0xc0000000)

#define DISPI_MMIO(index) (0x500u + 2 * (index))
enum {
	ID,
	XRES,
	YRES,
	BPP,
	ENABLE,
	BANK,
	VIRT_WIDTH,
	VIRT_HEIGHT,
	X_OFFSET,
	Y_OFFSET,
	MEMORY_64K,
};

struct fixture {
	struct bus *ports, *mmio;
	struct pci_bus *pci;
	struct fake_memory *memory;
	struct vga *vga;
	struct display_source *source;
};

static uint32_t config_read(struct fixture *f, unsigned offset)
{
	uint32_t address = 0x80000000u | 1u << 11 | offset, value;

	bus_write(f->ports, 0xcf8, &address, 4);
	bus_read(f->ports, 0xcfc, &value, 4);
	return value;
}

static int setup_with(void **state, uint64_t vram_bytes)
{
	const struct vga_options options = { 1024, 768, 32 };
	struct fixture *f = calloc(1, sizeof(*f));
	struct pci_bus_config config = { .mmio_base = MMIO_BASE,
		.mmio_end = MMIO_BASE + MIB(512),
		.ports_base = 0xc000,
		.ports_end = 0xd000 };
	struct error err;

	f->ports = bus_create("ports", 0x10000);
	f->mmio = bus_create("mmio", 0);
	config.ports = f->ports;
	config.mmio = f->mmio;
	assert_int_equal(pci_bus_create(&config, &f->pci, &err), 0);
	f->memory = fake_memory_create(vram_bytes);
	assert_int_equal(vga_create(&options, &f->memory->base, &f->vga, &err), 0);
	assert_int_equal(vga_attach(f->vga, f->ports, f->pci, 1, &err), 0);
	f->source = vga_get_source(f->vga);
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, VRAM);
}

static int setup_large(void **state)
{
	return setup_with(state, MIB(64));
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct device *device = vga_get_device(f->vga);

	device->ops->destroy(device);
	pci_bus_destroy(f->pci);
	bus_destroy(f->mmio);
	bus_destroy(f->ports);
	fake_memory_destroy(f->memory);
	free(f);
	return 0;
}

static uint32_t mmio_read(struct fixture *f, unsigned offset, unsigned width)
{
	uint64_t base = config_read(f, 0x18) & ~UINT64_C(15);
	uint32_t value = 0;

	assert_true(bus_read(f->mmio, base + offset, &value, width));
	return value;
}

static void mmio_write(struct fixture *f, unsigned offset, unsigned width, uint32_t value)
{
	uint64_t base = config_read(f, 0x18) & ~UINT64_C(15);

	assert_true(bus_write(f->mmio, base + offset, &value, width));
}

static unsigned dispi_read(struct fixture *f, unsigned index)
{
	uint16_t number = (uint16_t)index, value;

	bus_write(f->ports, 0x1ce, &number, 2);
	assert_true(bus_read(f->ports, 0x1cf, &value, 2));
	return value;
}

static void dispi_write(struct fixture *f, unsigned index, unsigned value)
{
	uint16_t number = (uint16_t)index, word = (uint16_t)value;

	bus_write(f->ports, 0x1ce, &number, 2);
	assert_true(bus_write(f->ports, 0x1cf, &word, 2));
}

static void outb(struct fixture *f, unsigned port, unsigned value)
{
	uint8_t byte = (uint8_t)value;

	assert_true(bus_write(f->ports, port, &byte, 1));
}

static unsigned inb(struct fixture *f, unsigned port)
{
	uint8_t byte;

	assert_true(bus_read(f->ports, port, &byte, 1));
	return byte;
}

static struct display_mode get_mode(struct fixture *f)
{
	struct display_mode mode;

	f->source->ops->get_mode(f->source, &mode);
	return mode;
}

static void set_mode(
	struct fixture *f, unsigned width, unsigned height, unsigned depth, unsigned flags)
{
	dispi_write(f, ENABLE, 0);
	dispi_write(f, XRES, width);
	dispi_write(f, YRES, height);
	dispi_write(f, BPP, depth);
	dispi_write(f, ENABLE, 0x41 | flags);
}

static void vga_pci_identity_is_the_bochs_display(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(config_read(f, 0x00), 0x11111234);
	assert_int_equal(config_read(f, 0x08), 0x03000002);
	assert_int_equal(config_read(f, 0x2c), 0x11001af4);
	assert_int_equal(config_read(f, 0x10) & 15, 8); /* memory, prefetchable */
	assert_int_equal(config_read(f, 0x18) & 15, 0);
	assert_int_equal(f->memory->gpa, config_read(f, 0x10) & ~15u);
	assert_int_equal(vga_framebuffer_gpa(f->vga), f->memory->gpa);
}

static void vga_start_up_mode_is_shown_at_reset(void **state)
{
	struct display_mode mode = get_mode(*state);

	assert_int_equal(mode.width, 1024);
	assert_int_equal(mode.height, 768);
	assert_int_equal(mode.stride_bytes, 4096);
	assert_int_equal(mode.offset_bytes, 0);
	assert_int_equal(mode.format, PIXEL_XRGB8888);
	assert_false(mode.blank);
	assert_int_not_equal(mode.generation, 0);
	assert_int_equal(dispi_read(*state, ENABLE), 0x41);
	assert_int_equal(dispi_read(*state, ID), 0xb0c5);
	assert_int_equal(dispi_read(*state, MEMORY_64K), 256);
}

static void vga_bochs_drm_mode_set_by_mmio_is_shown(void **state)
{
	struct fixture *f = *state;
	struct display_mode mode;

	assert_int_equal(mmio_read(f, DISPI_MMIO(ID), 2) & 0xfff0, 0xb0c0);
	assert_int_equal(mmio_read(f, DISPI_MMIO(MEMORY_64K), 2), 256);
	assert_int_equal(mmio_read(f, 0x600, 4), 8);
	mmio_write(f, 0x604, 4, 0x1e1e1e1e);
	assert_int_equal(mmio_read(f, 0x604, 4), 0x1e1e1e1e);

	(void)mmio_read(f, 0x41a, 1); /* input status 1 */
	mmio_write(f, 0x400, 1, 0x20);
	mmio_write(f, DISPI_MMIO(ENABLE), 2, 0);
	assert_true(get_mode(f).blank);
	mmio_write(f, DISPI_MMIO(BPP), 2, 32);
	mmio_write(f, DISPI_MMIO(XRES), 2, 1366);
	mmio_write(f, DISPI_MMIO(YRES), 2, 768);
	mmio_write(f, DISPI_MMIO(BANK), 2, 0);
	mmio_write(f, DISPI_MMIO(VIRT_WIDTH), 2, 1366);
	mmio_write(f, DISPI_MMIO(VIRT_HEIGHT), 2, 1536);
	mmio_write(f, DISPI_MMIO(X_OFFSET), 2, 0);
	mmio_write(f, DISPI_MMIO(Y_OFFSET), 2, 0);
	mmio_write(f, DISPI_MMIO(ENABLE), 2, 0x41);
	mmio_write(f, DISPI_MMIO(VIRT_WIDTH), 2, 1376);
	mmio_write(f, DISPI_MMIO(Y_OFFSET), 2, 768);
	mode = get_mode(f);
	assert_int_equal(mode.width, 1366);
	assert_int_equal(mode.height, 768);
	assert_int_equal(mode.stride_bytes, 1376 * 4);
	assert_int_equal(mode.offset_bytes, 768 * 1376 * 4);
	assert_false(mode.blank);
	/* and bochs_hw_blank */
	(void)mmio_read(f, 0x41a, 1);
	mmio_write(f, 0x400, 1, 0x00);
	assert_true(get_mode(f).blank);
	(void)mmio_read(f, 0x41a, 1);
	mmio_write(f, 0x400, 1, 0x20);
	assert_false(get_mode(f).blank);
}

static void vga_every_depth_has_its_format(void **state)
{
	static const struct {
		unsigned depth, bytes;
		enum pixel_format format;
	} depths[] = { { 8, 1, PIXEL_INDEX8 }, { 15, 2, PIXEL_XRGB1555 }, { 16, 2, PIXEL_RGB565 },
		{ 24, 3, PIXEL_RGB888 }, { 32, 4, PIXEL_XRGB8888 } };
	struct fixture *f = *state;

	for (size_t i = 0; i < array_size(depths); i++) {
		set_mode(f, 800, 600, depths[i].depth, 0);
		assert_int_equal(get_mode(f).format, depths[i].format);
		assert_int_equal(get_mode(f).stride_bytes, 800 * depths[i].bytes);
	}
	dispi_write(f, BPP, 4); /* refused */
	assert_int_equal(dispi_read(f, BPP), 32);
}

static void vga_mode_too_large_for_memory_is_cut_down(void **state)
{
	struct fixture *f = *state;
	struct display_mode mode;

	set_mode(f, 3840, 2160, 32, 0);
	mode = get_mode(f);
	assert_int_equal(mode.width, 3840);
	assert_int_equal(mode.height, VRAM / (3840 * 4));
	assert_int_equal(dispi_read(f, YRES), mode.height);
	set_mode(f, 0xffff, 0xffff, 8, 0);
	mode = get_mode(f);
	assert_int_equal(mode.width, DISPLAY_MAX_WIDTH);
	assert_int_equal(mode.height, DISPLAY_MAX_HEIGHT);
	set_mode(f, 0, 0, 32, 0);
	assert_int_equal(get_mode(f).width, 8);
	assert_int_equal(get_mode(f).height, 1);
}

static void vga_offset_outside_memory_is_dropped(void **state)
{
	struct fixture *f = *state;

	set_mode(f, 1024, 768, 32, 0);
	dispi_write(f, Y_OFFSET, 4096 - 768);
	assert_int_equal(get_mode(f).offset_bytes, (4096 - 768) * 4096);
	dispi_write(f, Y_OFFSET, 4096 - 767);
	assert_int_equal(get_mode(f).offset_bytes, 0);
	assert_int_equal(dispi_read(f, Y_OFFSET), 0);
	dispi_write(f, X_OFFSET, 16);
	assert_int_equal(get_mode(f).offset_bytes, 64);
}

static void vga_getcaps_tells_the_largest_mode(void **state)
{
	struct fixture *f = *state;

	dispi_write(f, ENABLE, 0x43);
	assert_int_equal(dispi_read(f, XRES), 3840);
	assert_int_equal(dispi_read(f, YRES), 2160);
	assert_int_equal(dispi_read(f, BPP), 32);
	dispi_write(f, ENABLE, 0x41);
	assert_int_equal(dispi_read(f, XRES), 1024);
}

static void vga_enable_clears_memory_unless_told_not_to(void **state)
{
	uint64_t bitmap[VRAM / PAGE_BYTES / 64] = { 0 };
	struct fixture *f = *state;

	fake_memory_fill(f->memory, 0, 0x55, VRAM);
	(void)f->source->ops->collect_damage(f->source, bitmap, NULL, array_size(bitmap));
	memset(bitmap, 0, sizeof(bitmap));
	set_mode(f, 640, 480, 32, 0x80);
	assert_int_equal(f->memory->base.hva[0], 0x55);
	assert_int_equal(
		f->source->ops->collect_damage(f->source, bitmap, NULL, array_size(bitmap)), 0);
	set_mode(f, 640, 480, 32, 0);
	assert_int_equal(f->memory->base.hva[0], 0);
	assert_int_equal(f->memory->base.hva[640 * 480 * 4 - 1], 0);
	assert_int_equal(f->memory->base.hva[640 * 480 * 4], 0x55);
	/* the host's own write is damage, too */
	assert_int_equal(
		f->source->ops->collect_damage(f->source, bitmap, NULL, array_size(bitmap)), 1);
	assert_int_equal(bitmap[0], UINT64_MAX);
}

static uint64_t rings(int bell)
{
	uint64_t count = 0;

	return read(bell, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static void vga_armed_rings_at_what_is_seen(void **state)
{
	struct fixture *f = *state;
	int bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(f->source->ops->arm(f->source, bell), 0);
		assert_int_equal(rings(bell), 0);
		if (i == 0)
			fake_memory_fill(f->memory, 1024 * 768 * 4 - 1, 1, 1);
		else if (i == 1)
			dispi_write(f, Y_OFFSET, 5);
		else if (i == 2)
			set_mode(f, 640, 480, 8, 0);
		else if (i == 3)
			outb(f, 0x3c6, 0x0f);
		else if (i == 4)
			outb(f, 0x3c0, 0);
		else
			vga_get_device(f->vga)->ops->reset(vga_get_device(f->vga));
		assert_in_range(rings(bell), 1, 2);
	}
	/* What changes nothing does not ring; nor does anything once disarmed. */
	assert_int_equal(f->source->ops->arm(f->source, bell), 0);
	outb(f, 0x3c6, 0xff);
	dispi_write(f, XRES, 1024);
	assert_int_equal(rings(bell), 0);
	f->source->ops->disarm(f->source);
	set_mode(f, 640, 480, 32, 0);
	fake_memory_fill(f->memory, 0, 1, 1);
	assert_int_equal(rings(bell), 0);
	close(bell);
}

/* Below the picture and above it, a palette that the mode has not, and all of it in the dark. */
static void vga_armed_does_not_ring_at_what_nobody_sees(void **state)
{
	struct fixture *f = *state;
	int bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	set_mode(f, 1024, 512, 32, 0x80);
	dispi_write(f, Y_OFFSET, 512);
	assert_int_equal(f->source->ops->arm(f->source, bell), 0);
	fake_memory_fill(f->memory, 0, 1, MIB(2));
	fake_memory_fill(f->memory, MIB(4), 1, MIB(8));
	outb(f, 0x3c6, 0x0f);
	assert_int_equal(rings(bell), 0);
	fake_memory_fill(f->memory, MIB(4) - 1, 1, 1);
	assert_int_equal(rings(bell), 1);

	set_mode(f, 640, 480, 8, 0x80);
	outb(f, 0x3c4, 1);
	outb(f, 0x3c5, 0x21); /* the screen is off */
	(void)rings(bell);
	assert_int_equal(f->source->ops->arm(f->source, bell), 0);
	fake_memory_fill(f->memory, 0, 2, MIB(16));
	outb(f, 0x3c6, 0xff);
	assert_int_equal(rings(bell), 0);
	outb(f, 0x3c5, 0x01);
	assert_int_equal(rings(bell), 1);
	f->source->ops->disarm(f->source);
	close(bell);
}

static void vga_palette_follows_dac_width_and_mask(void **state)
{
	struct fixture *f = *state;
	uint32_t palette[256], version;

	version = f->source->ops->get_palette(f->source, palette);
	outb(f, 0x3c8, 5);
	outb(f, 0x3c9, 0x3f);
	outb(f, 0x3c9, 0x20);
	assert_int_equal(f->source->ops->get_palette(f->source, palette), version);
	outb(f, 0x3c9, 0x00);
	assert_int_not_equal(f->source->ops->get_palette(f->source, palette), version);
	assert_int_equal(palette[5], 0xff8200);
	outb(f, 0x3c7, 5);
	assert_int_equal(inb(f, 0x3c7), 3);
	assert_int_equal(inb(f, 0x3c9), 0x3f);
	assert_int_equal(inb(f, 0x3c9), 0x20);

	dispi_write(f, ENABLE, 0x61);
	outb(f, 0x3c8, 5);
	outb(f, 0x3c9, 0xc1);
	outb(f, 0x3c9, 0x80);
	outb(f, 0x3c9, 0x7f);
	f->source->ops->get_palette(f->source, palette);
	assert_int_equal(palette[5], 0xc1807f);
	outb(f, 0x3c6, 0x05);
	f->source->ops->get_palette(f->source, palette);
	assert_int_equal(palette[0xf5], 0xc1807f);
}

static void vga_status1_toggles_and_resets_the_flip_flop(void **state)
{
	struct fixture *f = *state;
	unsigned first = inb(f, 0x3da), second = inb(f, 0x3da);

	assert_int_equal(first ^ second, 0x09);
	outb(f, 0x3c0, 0x30); /* index, screen on */
	assert_false(get_mode(f).blank);
	outb(f, 0x3c0, 0x01); /* data: not an index, so not blank */
	assert_false(get_mode(f).blank);
	assert_int_equal(inb(f, 0x3c1), 0x01);
	outb(f, 0x3c0, 0x10); /* an index without the bit */
	assert_true(get_mode(f).blank);
}

/* What vesafb does for FB_BLANK_POWERDOWN and back. */
static void vga_crtc_without_syncs_blanks(void **state)
{
	struct fixture *f = *state;
	unsigned mode;

	for (unsigned on = 0; on <= 1; on++) {
		outb(f, 0x3c4, 0);
		outb(f, 0x3c5, on ? 0x00 : 0x20);
		outb(f, 0x3d4, 0x17);
		mode = inb(f, 0x3d5) & 0x7f;
		outb(f, 0x3d5, mode | on << 7);
		outb(f, 0x3c4, 0);
		outb(f, 0x3c5, 0x03);
		assert_int_equal(get_mode(f).blank, !on);
	}
}

/* bochs-drm with two pictures of 3840x2160, flipped by setbase: stride, then x, then y. */
static void vga_page_flips_at_the_largest_size(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(dispi_read(f, MEMORY_64K), 1024);
	set_mode(f, 3840, 2160, 32, 0);
	assert_int_equal(get_mode(f).width, 3840);
	assert_int_equal(get_mode(f).height, 2160);
	assert_in_range(dispi_read(f, VIRT_HEIGHT), 2 * 2160, 65535);
	for (unsigned i = 0; i < 4; i++) {
		dispi_write(f, VIRT_WIDTH, 3840);
		dispi_write(f, X_OFFSET, 0);
		dispi_write(f, Y_OFFSET, i % 2 * 2160);
		assert_int_equal(get_mode(f).offset_bytes, i % 2 * 3840 * 2160 * 4);
		assert_int_equal(get_mode(f).stride_bytes, 3840 * 4);
	}
}

static void vga_every_size_has_every_depth(void **state)
{
	static const uint16_t sizes[][2] = { { 640, 480 }, { 800, 600 }, { 1024, 768 },
		{ 1280, 720 }, { 1366, 768 }, { 1440, 900 }, { 1680, 1050 }, { 1920, 1080 },
		{ 1920, 1200 }, { 2560, 1440 }, { 2560, 1600 }, { 3440, 1440 }, { 3840, 2160 } };
	static const uint8_t depths[] = { 8, 15, 16, 24, 32 };
	struct fixture *f = *state;

	for (size_t i = 0; i < array_size(sizes); i++) {
		for (size_t j = 0; j < array_size(depths); j++) {
			uint32_t bytes = (depths[j] + 7u) / 8;
			uint32_t width = sizes[i][0], height = sizes[i][1];
			uint32_t line = 2 * width * bytes;

			set_mode(f, width, height, depths[j], 0x80);
			assert_int_equal(get_mode(f).width, width);
			assert_int_equal(get_mode(f).height, height);
			assert_int_equal(get_mode(f).stride_bytes, width * bytes);
			/* a virtual screen twice as wide, seen from its middle */
			if (line * (height + 9) > MIB(64))
				continue;
			dispi_write(f, VIRT_WIDTH, 2 * width);
			dispi_write(f, X_OFFSET, width / 2);
			dispi_write(f, Y_OFFSET, 8);
			assert_int_equal(get_mode(f).stride_bytes, line);
			assert_int_equal(get_mode(f).offset_bytes, 8 * line + width / 2 * bytes);
		}
	}
}

static void vga_sequencer_screen_off_blanks(void **state)
{
	struct fixture *f = *state;

	outb(f, 0x3c4, 1);
	outb(f, 0x3c5, 0x21);
	assert_true(get_mode(f).blank);
	outb(f, 0x3c5, 0x01);
	assert_false(get_mode(f).blank);
}

static void vga_crtc_protect_keeps_the_first_registers(void **state)
{
	struct fixture *f = *state;

	outb(f, 0x3d4, 0x00);
	outb(f, 0x3d5, 0x5f);
	outb(f, 0x3d4, 0x11);
	outb(f, 0x3d5, 0x80);
	outb(f, 0x3d4, 0x00);
	outb(f, 0x3d5, 0x11);
	assert_int_equal(inb(f, 0x3d5), 0x5f);
	outb(f, 0x3d4, 0x0e); /* the cursor's place is not protected */
	outb(f, 0x3d5, 0x12);
	assert_int_equal(inb(f, 0x3d5), 0x12);
	assert_int_equal(inb(f, 0x3b5), 0xff); /* colour, so no mono twin */
	outb(f, 0x3c2, inb(f, 0x3cc) & 0xfe);
	assert_int_equal(inb(f, 0x3b5), 0x12);
}

static void vga_word_write_to_an_index_port_is_index_and_data(void **state)
{
	struct fixture *f = *state;
	uint16_t word = 0x2101; /* sequencer 1 := 0x21 */

	assert_true(bus_write(f->ports, 0x3c4, &word, 2));
	assert_true(get_mode(f).blank);
	mmio_write(f, 0x404, 2, 0x0101);
	assert_false(get_mode(f).blank);
}

static void vga_mmio_odd_accesses_do_no_harm(void **state)
{
	struct fixture *f = *state;

	set_mode(f, 800, 600, 32, 0);
	mmio_write(f, DISPI_MMIO(XRES), 1, 1); /* not the whole register */
	mmio_write(f, DISPI_MMIO(XRES) + 1, 2, 1);
	assert_int_equal(get_mode(f).width, 800);
	mmio_write(f, DISPI_MMIO(XRES), 4, 480u << 16 | 640u); /* two registers at once */
	assert_int_equal(get_mode(f).width, 640);
	assert_int_equal(get_mode(f).height, 480);
	assert_int_equal(mmio_read(f, DISPI_MMIO(XRES), 4), 480u << 16 | 640u);
	assert_int_equal(mmio_read(f, 0xffc, 4), 0xffffffff);
	mmio_write(f, 0x000, 4, 0); /* the EDID is read-only */
	assert_int_equal(mmio_read(f, 0x000, 4), 0xffffff00);
}

static void vga_byte_order_register_is_published(void **state)
{
	struct fixture *f = *state;

	mmio_write(f, 0x604, 4, 0xbebebebe);
	assert_true(get_mode(f).big_endian);
	assert_int_equal(mmio_read(f, 0x604, 4), 0xbebebebe);
	mmio_write(f, 0x604, 4, 0x12345678);
	assert_true(get_mode(f).big_endian);
	mmio_write(f, 0x604, 4, 0x1e1e1e1e);
	assert_false(get_mode(f).big_endian);
}

static void vga_generation_changes_with_the_mode_only(void **state)
{
	struct fixture *f = *state;
	uint32_t generation = get_mode(f).generation;

	dispi_write(f, XRES, 1024);
	dispi_write(f, ID, 0xb0c4);
	dispi_write(f, ID, 0x1234);
	assert_int_equal(dispi_read(f, ID), 0xb0c4);
	assert_int_equal(get_mode(f).generation, generation);
	dispi_write(f, XRES, 1000);
	assert_int_not_equal(get_mode(f).generation, generation);
}

static void vga_reset_restores_mode_and_clears_memory(void **state)
{
	struct fixture *f = *state;
	struct device *device = vga_get_device(f->vga);
	uint64_t bitmap[VRAM / PAGE_BYTES / 64] = { 0 };
	struct error err;

	assert_int_equal(device->ops->start(device, &err), 0);
	set_mode(f, 640, 480, 16, 0);
	fake_memory_fill(f->memory, MIB(15), 0x77, 5000);
	outb(f, 0x3c6, 0);
	device->ops->reset(device);
	assert_int_equal(get_mode(f).width, 1024);
	assert_int_equal(get_mode(f).format, PIXEL_XRGB8888);
	assert_int_equal(inb(f, 0x3c6), 0xff);
	assert_int_equal(f->memory->base.hva[MIB(15) + 4999], 0);
	assert_int_equal(
		f->source->ops->collect_damage(f->source, bitmap, NULL, array_size(bitmap)), 1);
	assert_int_equal(bitmap[array_size(bitmap) - 1], UINT64_MAX);
}

static void vga_impossible_start_up_mode_is_refused(void **state)
{
	static const struct vga_options wrong[] = { { 0, 480, 32 }, { 640, 0, 32 },
		{ 3840, 2160, 32 }, { 3841, 100, 32 }, { 100, 2161, 8 }, { 640, 480, 4 },
		{ 640, 480, 0 } };
	struct fixture *f = *state;
	struct error err;
	struct vga *vga;

	for (size_t i = 0; i < array_size(wrong); i++) {
		err.text[0] = '\0';
		assert_int_equal(vga_create(&wrong[i], &f->memory->base, &vga, &err), -EINVAL);
		assert_int_not_equal(err.text[0], '\0');
	}
}

static void vga_second_card_lives_beside_the_first(void **state)
{
	const struct vga_options options = { 640, 480, 16 };
	struct fake_memory *memory = fake_memory_create(VRAM);
	struct fixture *f = *state;
	struct display_mode mode;
	struct device *device;
	struct error err;
	struct vga *vga;

	assert_int_equal(vga_create(&options, &memory->base, &vga, &err), 0);
	/* The ports are taken: attaching fails and leaves nothing behind. */
	assert_int_equal(vga_attach(vga, f->ports, f->pci, 2, &err), -EEXIST);
	assert_int_equal(vga_attach(vga, NULL, f->pci, 2, &err), 0);
	assert_int_not_equal(vga_framebuffer_gpa(vga), vga_framebuffer_gpa(f->vga));
	vga_get_source(vga)->ops->get_mode(vga_get_source(vga), &mode);
	assert_int_equal(mode.width, 640);
	assert_int_equal(get_mode(f).width, 1024);
	device = vga_get_device(vga);
	device->ops->destroy(device);
	fake_memory_destroy(memory);
	assert_int_equal(dispi_read(f, XRES), 1024);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(vga_pci_identity_is_the_bochs_display),
		test(vga_start_up_mode_is_shown_at_reset),
		test(vga_bochs_drm_mode_set_by_mmio_is_shown),
		test(vga_every_depth_has_its_format),
		test(vga_mode_too_large_for_memory_is_cut_down),
		test(vga_offset_outside_memory_is_dropped),
		test(vga_getcaps_tells_the_largest_mode),
		test(vga_enable_clears_memory_unless_told_not_to),
		test(vga_armed_rings_at_what_is_seen),
		test(vga_armed_does_not_ring_at_what_nobody_sees),
		test(vga_palette_follows_dac_width_and_mask),
		test(vga_status1_toggles_and_resets_the_flip_flop),
		test(vga_sequencer_screen_off_blanks),
		test(vga_crtc_without_syncs_blanks),
		cmocka_unit_test_setup_teardown(
			vga_page_flips_at_the_largest_size, setup_large, teardown),
		cmocka_unit_test_setup_teardown(
			vga_every_size_has_every_depth, setup_large, teardown),
		test(vga_crtc_protect_keeps_the_first_registers),
		test(vga_word_write_to_an_index_port_is_index_and_data),
		test(vga_mmio_odd_accesses_do_no_harm),
		test(vga_byte_order_register_is_published),
		test(vga_generation_changes_with_the_mode_only),
		test(vga_reset_restores_mode_and_clears_memory),
		test(vga_impossible_start_up_mode_is_refused),
		test(vga_second_card_lives_beside_the_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
