/* A display source of a test: fake memory, a mode that the test sets, a palette, and what each
 * format's pixels must look like, worked out the slow and obvious way. */
#ifndef VMGUI_TESTS_FAKE_SOURCE_H
#define VMGUI_TESTS_FAKE_SOURCE_H

#include "core/display_source.h"
#include "fake_memory.h"

struct fake_source {
	struct display_source base;
	struct fake_memory *memory;
	pthread_mutex_t lock;
	/* under lock */
	struct display_mode mode;
	uint32_t palette[256];
	uint32_t palette_version;
	int bell; /* -1: nobody waits */
};

/* Lock held: the mode or the palette has changed. */
static inline void fake_source_ring(struct fake_source *source)
{
	const uint64_t one = 1;

	if (source->bell >= 0 && write(source->bell, &one, sizeof(one)) < 0)
		abort();
	source->bell = -1;
}

static inline int fake_source_arm(struct display_source *base, int bell)
{
	struct fake_source *source = container_of(base, struct fake_source, base);
	const struct display_mode *mode = &source->mode;
	uint64_t start, bytes;

	pthread_mutex_lock(&source->lock);
	source->bell = bell;
	start = mode->offset_bytes;
	bytes = mode->blank || !mode->height ? 0 : display_mode_end(mode) - start;
	pthread_mutex_unlock(&source->lock);
	return fake_memory_arm(&source->memory->base, bell, start, bytes);
}

static inline void fake_source_disarm(struct display_source *base)
{
	struct fake_source *source = container_of(base, struct fake_source, base);

	fake_memory_disarm(&source->memory->base);
	pthread_mutex_lock(&source->lock);
	source->bell = -1;
	pthread_mutex_unlock(&source->lock);
}

static inline void fake_source_get_mode(struct display_source *base, struct display_mode *mode)
{
	struct fake_source *source = container_of(base, struct fake_source, base);

	pthread_mutex_lock(&source->lock);
	*mode = source->mode;
	pthread_mutex_unlock(&source->lock);
}

static inline int fake_source_collect(
	struct display_source *base, uint64_t *bitmap, const uint64_t *watched, size_t words)
{
	struct fake_source *source = container_of(base, struct fake_source, base);

	return fake_memory_collect(&source->memory->base, bitmap, watched, words);
}

static inline uint64_t fake_source_activity(struct display_source *base)
{
	return fake_memory_activity(&container_of(base, struct fake_source, base)->memory->base);
}

static inline uint32_t fake_source_get_palette(struct display_source *base, uint32_t palette[256])
{
	struct fake_source *source = container_of(base, struct fake_source, base);
	uint32_t version;

	pthread_mutex_lock(&source->lock);
	memcpy(palette, source->palette, sizeof(source->palette));
	version = source->palette_version;
	pthread_mutex_unlock(&source->lock);
	return version;
}

static inline struct fake_source *fake_source_create(uint64_t vram_bytes)
{
	static const struct display_source_ops ops = { fake_source_get_mode, fake_source_collect,
		fake_source_get_palette, fake_source_arm, fake_source_disarm,
		fake_source_activity };
	struct fake_source *source = calloc(1, sizeof(*source));

	if (!source)
		abort();
	source->memory = fake_memory_create(vram_bytes);
	source->base.ops = &ops;
	source->bell = -1;
	source->base.vram = source->memory->base.hva;
	source->base.vram_bytes = vram_bytes;
	pthread_mutex_init(&source->lock, NULL);
	return source;
}

static inline void fake_source_destroy(struct fake_source *source)
{
	pthread_mutex_destroy(&source->lock);
	fake_memory_destroy(source->memory);
	free(source);
}

/* padding_bytes are added to each row. */
static inline void fake_source_set_mode(struct fake_source *source, uint32_t width, uint32_t height,
	enum pixel_format format, uint64_t offset_bytes, uint32_t padding_bytes)
{
	pthread_mutex_lock(&source->lock);
	source->mode.width = width;
	source->mode.height = height;
	source->mode.format = format;
	source->mode.offset_bytes = offset_bytes;
	source->mode.stride_bytes = width * pixel_format_bytes(format) + padding_bytes;
	source->mode.generation++;
	fake_source_ring(source);
	pthread_mutex_unlock(&source->lock);
}

static inline void fake_source_set_blank(struct fake_source *source, bool blank)
{
	pthread_mutex_lock(&source->lock);
	source->mode.blank = blank;
	source->mode.generation++;
	fake_source_ring(source);
	pthread_mutex_unlock(&source->lock);
}

static inline void fake_source_set_palette(
	struct fake_source *source, unsigned index, uint32_t colour)
{
	pthread_mutex_lock(&source->lock);
	source->palette[index] = colour;
	source->palette_version++;
	if (source->mode.format == PIXEL_INDEX8 && !source->mode.blank)
		fake_source_ring(source);
	pthread_mutex_unlock(&source->lock);
}

static inline uint64_t fake_source_offset(const struct fake_source *source, uint32_t x, uint32_t y)
{
	const struct display_mode *mode = &source->mode;

	return mode->offset_bytes + (uint64_t)y * mode->stride_bytes +
	       (uint64_t)x * pixel_format_bytes(mode->format);
}

/* The guest writes one pixel; the value is in the mode's format. */
static inline void fake_source_put(
	struct fake_source *source, uint32_t x, uint32_t y, uint32_t value)
{
	unsigned bytes = pixel_format_bytes(source->mode.format);
	uint8_t data[4];

	for (unsigned i = 0; i < bytes; i++)
		data[i] = (uint8_t)(value >> 8 * (source->mode.big_endian ? bytes - 1 - i : i));
	fake_memory_write(source->memory, fake_source_offset(source, x, y), data, bytes);
}

static inline void fake_source_fill(struct fake_source *source, uint32_t x, uint32_t y,
	uint32_t width, uint32_t height, uint32_t value)
{
	for (uint32_t row = y; row < y + height; row++) {
		for (uint32_t column = x; column < x + width; column++)
			fake_source_put(source, column, row, value);
	}
}

/* 0x00RRGGBB to the nearest value of a format without palette. */
static inline uint32_t fake_source_encode(enum pixel_format format, uint32_t rgb)
{
	uint32_t red = rgb >> 16 & 255, green = rgb >> 8 & 255, blue = rgb & 255;

	if (format == PIXEL_XRGB1555)
		return red >> 3 << 10 | green >> 3 << 5 | blue >> 3;
	if (format == PIXEL_RGB565)
		return red >> 3 << 11 | green >> 2 << 5 | blue >> 3;
	return rgb;
}

/* What a display must show at x, y. */
static inline uint32_t fake_source_expect(const struct fake_source *source, uint32_t x, uint32_t y)
{
	const uint8_t *data = source->base.vram + fake_source_offset(source, x, y);
	unsigned bytes = pixel_format_bytes(source->mode.format);
	uint32_t value = 0, red, green, blue;

	if (source->mode.blank)
		return 0;
	for (unsigned i = 0; i < bytes; i++)
		value |= (uint32_t)data[source->mode.big_endian ? bytes - 1 - i : i] << 8 * i;
	switch (source->mode.format) {
	case PIXEL_INDEX8:
		return source->palette[value];
	case PIXEL_XRGB1555:
		red = value >> 10 & 31;
		green = value >> 5 & 31;
		blue = value & 31;
		return (red * 8 + red / 4) << 16 | (green * 8 + green / 4) << 8 |
		       (blue * 8 + blue / 4);
	case PIXEL_RGB565:
		red = value >> 11 & 31;
		green = value >> 5 & 63;
		blue = value & 31;
		return (red * 8 + red / 4) << 16 | (green * 4 + green / 16) << 8 |
		       (blue * 8 + blue / 4);
	case PIXEL_RGB888:
	case PIXEL_XRGB8888:
		break;
	}
	return value & 0xffffff;
}

#endif
