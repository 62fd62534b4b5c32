/* Where pictures come from: the contract between a graphics device and the refresh thread.
 *
 * The device publishes its current mode as one immutable snapshot, and tells which pages of its
 * video memory the guest wrote. A mode is published only if all of it fits in video memory: offset
 * + (height - 1) * stride + width * bytes per pixel <= video memory. Reading vram needs no lock;
 * the guest may change it at any time. */
#ifndef VMGUI_CORE_DISPLAY_SOURCE_H
#define VMGUI_CORE_DISPLAY_SOURCE_H

#include "core/util.h"

enum pixel_format {
	PIXEL_INDEX8,   /* through the palette */
	PIXEL_XRGB1555, /* little-endian words and dwords, as the VBE modes have them */
	PIXEL_RGB565,
	PIXEL_RGB888,
	PIXEL_XRGB8888,
};

static inline unsigned pixel_format_bytes(enum pixel_format format)
{
	switch (format) {
	case PIXEL_INDEX8:
		return 1;
	case PIXEL_XRGB1555:
	case PIXEL_RGB565:
		return 2;
	case PIXEL_RGB888:
		return 3;
	case PIXEL_XRGB8888:
		break;
	}
	return 4;
}

#define DISPLAY_MAX_WIDTH  3840u
#define DISPLAY_MAX_HEIGHT 2160u

struct display_mode {
	uint32_t width, height; /* pixels, 1..DISPLAY_MAX_*; 0 x 0: no picture yet */
	uint32_t stride_bytes;
	uint64_t offset_bytes; /* of the first pixel in video memory */
	enum pixel_format format;
	bool big_endian;     /* the pixels' words, dwords or byte triples are byte-swapped */
	bool blank;          /* show black: the guest turned the screen off */
	uint32_t generation; /* changes with every change of any of the above */
};

/* Where a pixel is in video memory. */
static inline uint64_t display_mode_pixel(const struct display_mode *mode, uint32_t x, uint32_t y)
{
	return mode->offset_bytes + (uint64_t)y * mode->stride_bytes +
	       (uint64_t)x * pixel_format_bytes(mode->format);
}

/* Where the picture's last byte has been. Height is not 0. */
static inline uint64_t display_mode_end(const struct display_mode *mode)
{
	return display_mode_pixel(mode, mode->width, mode->height - 1);
}

struct display_source;

struct display_source_ops {
	/* The current mode, consistent in itself. Any thread; takes no device lock for long. */
	void (*get_mode)(struct display_source *source, struct display_mode *mode);
	/* As device_memory's collect_dirty, over video memory. Also reports everything as dirty
	 * after the device itself changed the picture (reset). */
	int (*collect_damage)(struct display_source *source, uint64_t *bitmap,
		const uint64_t *watched, size_t words);
	/* 256 entries 0x00RRGGBB. Returns a number that changes whenever an entry does. */
	uint32_t (*get_palette)(struct display_source *source, uint32_t palette[256]);
	/* As device_memory's arm and disarm, over what is shown: the picture in video memory, the
	 * mode, and the palette if the mode has one. What is written elsewhere, or while the screen
	 * is blank, rings nothing: it is collected when there is another mode. May be NULL: this
	 * source has to be looked at. */
	int (*arm)(struct display_source *source, int bell);
	void (*disarm)(struct display_source *source);
	/* As device_memory's activity, over video memory alone. May be NULL. */
	uint64_t (*activity)(struct display_source *source);
};

struct display_source {
	const struct display_source_ops *ops;
	const uint8_t *vram;
	uint64_t vram_bytes; /* a multiple of 256 KiB */
};

#endif
