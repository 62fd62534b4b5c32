/* Pixels: the linear framebuffer in any depth that the adapter has, and its modes by the Bochs
 * DISPI registers (index port 0x1ce, data port 0x1cf). */
#include "card.h"

#define DISPI_INDEX 0x1ce
#define DISPI_DATA  0x1cf

enum dispi {
	DISPI_ID,
	DISPI_XRES,
	DISPI_YRES,
	DISPI_BPP,
	DISPI_ENABLE,
	DISPI_BANK,
	DISPI_VIRT_WIDTH,
	DISPI_VIRT_HEIGHT,
	DISPI_X_OFFSET,
	DISPI_Y_OFFSET,
	DISPI_MEMORY, /* of the adapter, in 64 KiB */
};

#define DISPI_ID_MASK  0xfff0
#define DISPI_ID_ANY   0xb0c0
#define DISPI_ENABLED  0x01
#define DISPI_LFB      0x40
#define DISPI_NO_CLEAR 0x80

#define SEQUENCER_INDEX    0x3c4
#define SEQUENCER_DATA     0x3c5
#define SEQUENCER_CLOCKING 1
#define CLOCKING_DOTS_8    0x01
#define CLOCKING_OFF       0x20

#define VGA_VENDOR_DEVICE 0x11111234u
#define PCI_BAR0          0x10
#define PCI_BAR_ADDRESS   0xfffffff0u

#define DAC_WRITE_INDEX 0x3c8
#define DAC_DATA        0x3c9

/* The palette of 8-bit modes: a colour cube of 6 levels a channel, then the greys. */
#define CUBE_LEVELS 6u
#define CUBE_SIZE   216u
#define CUBE_STEP   51u
#define GREYS       40u

struct screen_mode screen;

static uint16_t dispi_read(enum dispi index)
{
	out16(DISPI_INDEX, (uint16_t)index);
	return in16(DISPI_DATA);
}

static void dispi_write(enum dispi index, uint32_t value)
{
	out16(DISPI_INDEX, (uint16_t)index);
	out16(DISPI_DATA, (uint16_t)value);
}

static uint32_t bytes_per_pixel(void)
{
	return (screen.depth + 7) / 8;
}

static uint32_t palette_colour(uint32_t index)
{
	uint32_t grey;

	if (index < CUBE_SIZE) {
		return index / 36 * CUBE_STEP << 16 |
		       index / CUBE_LEVELS % CUBE_LEVELS * CUBE_STEP << 8 |
		       index % CUBE_LEVELS * CUBE_STEP;
	}
	grey = (index - CUBE_SIZE) * 255 / (GREYS - 1);
	return grey << 16 | grey << 8 | grey;
}

void screen_set_colour(uint32_t index, uint32_t colour)
{
	out8(DAC_WRITE_INDEX, (uint8_t)index);
	out8(DAC_DATA, (uint8_t)(colour >> 18 & 63));
	out8(DAC_DATA, (uint8_t)(colour >> 10 & 63));
	out8(DAC_DATA, (uint8_t)(colour >> 2 & 63));
}

static void load_palette(void)
{
	if (screen.depth != 8)
		return;
	for (uint32_t i = 0; i < 256; i++)
		screen_set_colour(i, palette_colour(i));
}

static uint32_t palette_index(uint32_t colour)
{
	uint32_t red = colour >> 16 & 255, green = colour >> 8 & 255, blue = colour & 255;

	if (red == green && green == blue)
		return CUBE_SIZE + (red * (GREYS - 1) + 127) / 255;
	return (red + 25) / CUBE_STEP * 36 + (green + 25) / CUBE_STEP * CUBE_LEVELS +
	       (blue + 25) / CUBE_STEP;
}

/* 0xRRGGBB as the mode stores it. */
static uint32_t pack(uint32_t colour)
{
	switch (screen.depth) {
	case 8:
		return palette_index(colour);
	case 15:
		return (colour >> 9 & 0x7c00) | (colour >> 6 & 0x3e0) | (colour >> 3 & 0x1f);
	case 16:
		return (colour >> 8 & 0xf800) | (colour >> 5 & 0x7e0) | (colour >> 3 & 0x1f);
	default:
		return colour;
	}
}

static uint8_t *pixel_at(uint32_t x, uint32_t y)
{
	return (uint8_t *)(uintptr_t)(screen.base + (uint64_t)y * screen.stride +
				      x * bytes_per_pixel());
}

static void store(uint8_t *to, uint32_t packed)
{
	switch (bytes_per_pixel()) {
	case 1:
		*to = (uint8_t)packed;
		break;
	case 2:
		*(uint16_t *)to = (uint16_t)packed;
		break;
	case 3:
		to[0] = (uint8_t)packed;
		to[1] = (uint8_t)(packed >> 8);
		to[2] = (uint8_t)(packed >> 16);
		break;
	default:
		*(uint32_t *)to = packed;
		break;
	}
}

static void fill_row(uint8_t *to, size_t width, uint32_t packed)
{
	switch (bytes_per_pixel()) {
	case 1:
		__asm__ volatile("rep stosb" : "+D"(to), "+c"(width) : "a"(packed) : "memory");
		break;
	case 2:
		__asm__ volatile("rep stosw" : "+D"(to), "+c"(width) : "a"(packed) : "memory");
		break;
	case 3:
		for (; width > 0; width--, to += 3)
			store(to, packed);
		break;
	default:
		__asm__ volatile("rep stosl" : "+D"(to), "+c"(width) : "a"(packed) : "memory");
		break;
	}
}

static bool clip(int *start, int *length, uint32_t limit)
{
	int end;

	if (*length <= 0 || *start >= (int)limit)
		return false;
	if (*length > (int)limit)
		*length = (int)limit + (*start < 0 ? -*start : 0);
	end = *start + *length;
	if (*start < 0)
		*start = 0;
	if (end > (int)limit)
		end = (int)limit;
	*length = end - *start;
	return *length > 0;
}

void screen_fill(int x, int y, int width, int height, uint32_t colour)
{
	uint32_t packed = pack(colour);

	if (!clip(&x, &width, screen.width) || !clip(&y, &height, screen.height))
		return;
	for (int row = 0; row < height; row++)
		fill_row(pixel_at((uint32_t)x, (uint32_t)(y + row)), (size_t)width, packed);
}

void screen_pixel(int x, int y, uint32_t colour)
{
	if (x >= 0 && y >= 0 && x < (int)screen.width && y < (int)screen.height)
		store(pixel_at((uint32_t)x, (uint32_t)y), pack(colour));
}

void screen_row(int x, int y, int width, const uint32_t *colours)
{
	int start = x;
	uint32_t step = bytes_per_pixel();
	uint8_t *to;

	if (y < 0 || y >= (int)screen.height || !clip(&x, &width, screen.width))
		return;
	to = pixel_at((uint32_t)x, (uint32_t)y);
	for (int i = 0; i < width; i++, to += step)
		store(to, pack(colours[x - start + i]));
}

void screen_save(int x, int y, int width, int height, void *to)
{
	size_t bytes = (size_t)width * bytes_per_pixel();

	for (int row = 0; row < height; row++)
		memcpy((uint8_t *)to + (size_t)row * bytes,
			pixel_at((uint32_t)x, (uint32_t)(y + row)), bytes);
}

void screen_restore(int x, int y, int width, int height, const void *from)
{
	size_t bytes = (size_t)width * bytes_per_pixel();

	for (int row = 0; row < height; row++)
		memcpy(pixel_at((uint32_t)x, (uint32_t)(y + row)),
			(const uint8_t *)from + (size_t)row * bytes, bytes);
}

static uint32_t unpack(const uint8_t *from)
{
	uint32_t packed;

	switch (screen.depth) {
	case 8:
		return palette_colour(*from) & 0xfcfcfc;
	case 15:
		packed = *(const uint16_t *)from;
		return (packed << 9 & 0xf80000) | (packed << 6 & 0xf800) | (packed << 3 & 0xf8);
	case 16:
		packed = *(const uint16_t *)from;
		return (packed << 8 & 0xf80000) | (packed << 5 & 0xfc00) | (packed << 3 & 0xf8);
	case 24:
		return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16;
	default:
		return *(const uint32_t *)from & 0xffffff;
	}
}

uint32_t screen_checksum(void)
{
	static uint8_t row[3 * 16384];
	uint32_t crc = 0, step = bytes_per_pixel();

	for (uint32_t y = 0; y < screen.height; y++) {
		const uint8_t *from = pixel_at(0, y);
		size_t length = 0;

		for (uint32_t x = 0; x < screen.width && length < sizeof(row); x++, from += step) {
			uint32_t colour = unpack(from);

			row[length++] = (uint8_t)(colour >> 16);
			row[length++] = (uint8_t)(colour >> 8);
			row[length++] = (uint8_t)colour;
		}
		crc = crc_add(crc, row, length);
	}
	return crc;
}

static void write_mode(uint32_t width, uint32_t height, uint32_t depth)
{
	dispi_write(DISPI_ENABLE, 0);
	dispi_write(DISPI_XRES, width);
	dispi_write(DISPI_YRES, height);
	dispi_write(DISPI_BPP, depth);
	dispi_write(DISPI_X_OFFSET, 0);
	dispi_write(DISPI_Y_OFFSET, 0);
	dispi_write(DISPI_ENABLE, DISPI_ENABLED | DISPI_LFB | DISPI_NO_CLEAR);
}

bool screen_set_mode(uint32_t width, uint32_t height, uint32_t depth)
{
	struct screen_mode mode = { .width = width, .height = height, .depth = depth };
	uint32_t vga;

	if ((dispi_read(DISPI_ID) & DISPI_ID_MASK) != DISPI_ID_ANY)
		return false;
	if (depth != 8 && depth != 15 && depth != 16 && depth != 24 && depth != 32)
		return false;
	mode.base = screen.base;
	if (!mode.base && pci_find(VGA_VENDOR_DEVICE, &vga))
		mode.base = pci_read32(vga, PCI_BAR0) & PCI_BAR_ADDRESS;
	write_mode(width, height, depth);
	mode.stride = dispi_read(DISPI_VIRT_WIDTH) * ((depth + 7) / 8);
	if (!mode.base || !(dispi_read(DISPI_ENABLE) & DISPI_ENABLED) ||
		dispi_read(DISPI_XRES) != width || dispi_read(DISPI_YRES) != height ||
		dispi_read(DISPI_BPP) != depth || mode.stride < width * ((depth + 7) / 8)) {
		if (screen.base)
			write_mode(screen.width, screen.height, screen.depth);
		return false;
	}
	screen = mode;
	load_palette();
	return true;
}

static bool has_rows(uint32_t rows)
{
	uint64_t memory = (uint64_t)dispi_read(DISPI_MEMORY) << 16;

	return screen.base && (uint64_t)screen.stride * rows <= memory;
}

bool screen_make_rows(void)
{
	uint32_t words = screen.stride / 4, rows = 2 * screen.height;
	uint32_t *to = (uint32_t *)(uintptr_t)screen.base;

	if (!has_rows(rows))
		return false;
	for (uint32_t row = 0; row < rows; row++) {
		uint32_t colour = row * 7919 + 0x10101;

		for (uint32_t i = 0; i < words; i++)
			*to++ = colour ^ (i & 0xff);
	}
	return true;
}

void screen_pan(uint32_t row)
{
	dispi_write(DISPI_Y_OFFSET, row);
}

void screen_fill_hidden(uint32_t colour)
{
	/* Not the page that the last visible row ends in. */
	uint32_t row = screen.height + 4096 / screen.stride + 1;

	if (has_rows(row + 1))
		fill_row(pixel_at(0, row), screen.width, pack(colour));
}

void screen_blank(bool blank)
{
	out8(SEQUENCER_INDEX, SEQUENCER_CLOCKING);
	out8(SEQUENCER_DATA, blank ? CLOCKING_DOTS_8 | CLOCKING_OFF : CLOCKING_DOTS_8);
}

void screen_init(void)
{
	boot_screen(&screen);
	if (screen.base)
		load_palette();
	else
		screen_set_mode(1024, 768, 32);
}

void screen_mode_name(char *to, size_t size)
{
	text_format(to, size, "%ux%ux%u", screen.width, screen.height, screen.depth);
}
