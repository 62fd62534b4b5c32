/* Pixels of the guest's formats to the surface's 0x00RRGGBB. */
#ifndef VMGUI_DISPLAY_CONVERT_H
#define VMGUI_DISPLAY_CONVERT_H

#include "core/display_source.h"

/* Converts count pixels of one row. source is guest memory of count * pixel_format_bytes(format)
 * bytes, of any alignment, that may change meanwhile: each result is some colour the guest wrote or
 * a mix of two. palette is used by PIXEL_INDEX8 only. */
void convert_row(enum pixel_format format, bool big_endian, const uint8_t *source, uint32_t count,
	const uint32_t palette[256], uint32_t *target);

/* Whether the format's pixels are the surface's but for the upper byte. */
bool convert_is_direct(enum pixel_format format, bool big_endian);

/* Compares count pixels, at least one, of such a format with what is shown. False if they are the
 * same; else the first and last pixels that differ. source as above. */
bool convert_differs(const uint8_t *source, const uint32_t *shown, uint32_t count, uint32_t *first,
	uint32_t *last);

#endif
