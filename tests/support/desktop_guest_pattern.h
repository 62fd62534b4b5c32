/* The picture that the desktop guest draws, and how it tells what a picture is. desktop_guest.py
 * has the same pattern. */
#ifndef DESKTOP_GUEST_PATTERN_H
#define DESKTOP_GUEST_PATTERN_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* No two rows, no two columns and no two seeds alike; every value of every colour occurs. */
static inline uint32_t pattern_pixel(uint32_t x, uint32_t y, uint32_t seed)
{
	uint32_t red = (x + 3 * y + 50 * seed) & 255;
	uint32_t green = (x ^ (y + seed)) & 255;
	uint32_t blue = (5 * x + (x >> 8) * 31 + (y >> 8) * 17 + y) & 255;

	return red << 16 | green << 8 | blue;
}

/* CRC-32 as in zlib. */
static inline uint32_t crc32_of(const uint8_t *data, size_t size)
{
	static uint32_t table[256];
	uint32_t crc = ~0u;

	for (uint32_t i = 0; !table[255] && i < 256; i++) {
		uint32_t value = i;

		for (int bit = 0; bit < 8; bit++)
			value = value >> 1 ^ (value & 1 ? 0xedb88320u : 0);
		table[i] = value;
	}
	for (size_t i = 0; i < size; i++)
		crc = crc >> 8 ^ table[(crc ^ data[i]) & 255];
	return ~crc;
}

static inline void print_row(const uint8_t *rgb, size_t size)
{
	printf("%08x\n", crc32_of(rgb, size));
}

#endif
