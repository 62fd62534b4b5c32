/* What the module vmgui-png.so exports. It uses nothing of the program. */
#ifndef VMGUI_DISPLAY_PNG_ENCODE_H
#define VMGUI_DISPLAY_PNG_ENCODE_H

#include <stdio.h>

#include "core/util.h"

/* Writes width x height pixels of 0x00RRGGBB as a PNG into file. 0, or -errno and a reason. */
typedef int vmgui_png_encode_fn(FILE *file, const uint32_t *pixels, uint32_t width, uint32_t height,
	uint32_t stride_pixels, char reason[128]);

#define VMGUI_PNG_ENCODE_SYMBOL "vmgui_png_encode"
extern vmgui_png_encode_fn vmgui_png_encode;

#endif
