/* Pixels of the guest's formats to the surface's 0x00RRGGBB. */
#ifndef VMGUI_DISPLAY_CONVERT_H
#define VMGUI_DISPLAY_CONVERT_H

#include "core/display_source.h"

/* Converts count pixels of one row. source is guest memory of count * pixel_format_bytes(format)
 * bytes, of any alignment, that may change meanwhile: each result is some colour the guest wrote or
 * a mix of two. palette is used by PIXEL_INDEX8 only. */
void convert_row(enum pixel_format format, bool big_endian, const uint8_t *source, uint32_t count,
	const uint32_t palette[256], uint32_t *target);

/* How many of `count` pixels from the first on are what is shown already, as far as can be told
 * without converting: 0 if that takes conversion, else the difference is within the next 64. A
 * first look, at half the cost. */
uint32_t convert_same_pixels(enum pixel_format format, bool big_endian, const uint8_t *source,
	uint32_t count, const uint32_t *shown);

/* Compares two rows of count pixels. False if they are the same; else the first and last pixels
 * that differ. */
bool convert_differs(
	const uint32_t *a, const uint32_t *b, uint32_t count, uint32_t *first, uint32_t *last);

#endif
