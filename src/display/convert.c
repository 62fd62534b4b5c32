/* Pixel conversion; see convert.h.
 *
 * Video memory is read while the guest writes to it. That race is the nature of a screen and
 * harmless: a pixel that changed after it was read is dirty again in the next pass. ThreadSanitizer
 * is told so; the loads go through a type that may be unaligned and aliased, and not through
 * memcpy, which would be reported all the same. */
#include "display/convert.h"

#define GUEST_RACE __attribute__((no_sanitize("thread")))

struct unaligned_u16 {
	uint16_t value;
} __attribute__((packed, may_alias));

struct unaligned_u32 {
	uint32_t value;
} __attribute__((packed, may_alias));

/* Short colour channels are widened by repeating their upper bits, so that full stays full. */
static inline uint32_t widen_5(uint32_t value)
{
	return value << 3 | value >> 2;
}

static inline uint32_t widen_6(uint32_t value)
{
	return value << 2 | value >> 4;
}

static inline uint32_t from_1555(uint32_t value)
{
	return widen_5(value >> 10 & 31) << 16 | widen_5(value >> 5 & 31) << 8 |
	       widen_5(value & 31);
}

static inline uint32_t from_565(uint32_t value)
{
	return widen_5(value >> 11 & 31) << 16 | widen_6(value >> 5 & 63) << 8 |
	       widen_5(value & 31);
}

GUEST_RACE static void convert_index8(
	const uint8_t *source, uint32_t count, const uint32_t palette[256], uint32_t *target)
{
	for (uint32_t i = 0; i < count; i++)
		target[i] = palette[source[i]];
}

GUEST_RACE static void convert_1555(
	const struct unaligned_u16 *source, uint32_t count, uint32_t *target)
{
	for (uint32_t i = 0; i < count; i++)
		target[i] = from_1555(source[i].value);
}

GUEST_RACE static void convert_1555_swapped(
	const struct unaligned_u16 *source, uint32_t count, uint32_t *target)
{
	for (uint32_t i = 0; i < count; i++)
		target[i] = from_1555(__builtin_bswap16(source[i].value));
}

GUEST_RACE static void convert_565(
	const struct unaligned_u16 *source, uint32_t count, uint32_t *target)
{
	for (uint32_t i = 0; i < count; i++)
		target[i] = from_565(source[i].value);
}

GUEST_RACE static void convert_565_swapped(
	const struct unaligned_u16 *source, uint32_t count, uint32_t *target)
{
	for (uint32_t i = 0; i < count; i++)
		target[i] = from_565(__builtin_bswap16(source[i].value));
}

GUEST_RACE static void convert_888(
	const uint8_t *source, uint32_t count, bool big_endian, uint32_t *target)
{
	unsigned red = big_endian ? 0 : 2, blue = 2 - red;

	for (uint32_t i = 0; i < count; i++, source += 3)
		target[i] = (uint32_t)source[red] << 16 | (uint32_t)source[1] << 8 | source[blue];
}

GUEST_RACE static void convert_8888(
	const struct unaligned_u32 *source, uint32_t count, uint32_t *target)
{
	for (uint32_t i = 0; i < count; i++)
		target[i] = source[i].value & 0xffffff;
}

GUEST_RACE static void convert_8888_swapped(
	const struct unaligned_u32 *source, uint32_t count, uint32_t *target)
{
	for (uint32_t i = 0; i < count; i++)
		target[i] = __builtin_bswap32(source[i].value) & 0xffffff;
}

void convert_row(enum pixel_format format, bool big_endian, const uint8_t *source, uint32_t count,
	const uint32_t palette[256], uint32_t *target)
{
	const struct unaligned_u16 *words = (const struct unaligned_u16 *)source;
	const struct unaligned_u32 *dwords = (const struct unaligned_u32 *)source;

	switch (format) {
	case PIXEL_INDEX8:
		convert_index8(source, count, palette, target);
		break;
	case PIXEL_XRGB1555:
		(big_endian ? convert_1555_swapped : convert_1555)(words, count, target);
		break;
	case PIXEL_RGB565:
		(big_endian ? convert_565_swapped : convert_565)(words, count, target);
		break;
	case PIXEL_RGB888:
		convert_888(source, count, big_endian, target);
		break;
	case PIXEL_XRGB8888:
		(big_endian ? convert_8888_swapped : convert_8888)(dwords, count, target);
		break;
	}
}

bool convert_is_direct(enum pixel_format format, bool big_endian)
{
	return format == PIXEL_XRGB8888 && !big_endian;
}

GUEST_RACE static inline bool same_pixel(uint32_t a, uint32_t b)
{
	return !((a ^ b) & 0xffffff);
}

GUEST_RACE bool convert_differs(const uint8_t *source, const uint32_t *shown, uint32_t count,
	uint32_t *first, uint32_t *last)
{
	const struct unaligned_u32 *pixels = (const struct unaligned_u32 *)source;
	uint32_t difference = 0, low = 0, high = count;

	/* A picture that is all new shows it here. */
	if (same_pixel(pixels[0].value, shown[0])) {
		/* No way out inside, so that the compiler makes vector code of it. */
		for (uint32_t i = 0; i < count; i++)
			difference |= pixels[i].value ^ shown[i];
		if (!(difference & 0xffffff))
			return false;
		/* The guest may have undone it: nothing is as it was a moment ago. */
		while (low < count && same_pixel(pixels[low].value, shown[low]))
			low++;
		if (low == count)
			return false;
	}
	while (high > low + 1 && same_pixel(pixels[high - 1].value, shown[high - 1]))
		high--;
	*first = low;
	*last = high - 1;
	return true;
}
