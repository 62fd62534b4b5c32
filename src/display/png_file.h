/* Pictures as PNG files: screenshots, and the png display.
 *
 * A file appears whole or not at all: it is written under another name beside its place and then
 * renamed. Where something that is no regular file stands there (/dev/stdout, a pipe), it is
 * written into. libpng is in a module that is loaded on first use. Threads: any. */
#ifndef VMGUI_DISPLAY_PNG_FILE_H
#define VMGUI_DISPLAY_PNG_FILE_H

#include "core/error.h"
#include "core/util.h"

struct surface;

/* What a screenshot of now is called: GUEST-DATE-TIME.png in the current folder, or another if
 * there is one. */
void png_file_name(const char *guest_name, char *path, size_t size);

/* Loads the encoder now: for a program that is about to change its root, or that would rather fail
 * at its start. */
VMGUI_MUST_USE int png_file_prepare(struct error *err);
/* Whether a file can be made at path, as far as that can be told without making it. */
VMGUI_MUST_USE int png_file_check(const char *path, struct error *err);

/* pixels: 0x00RRGGBB, width and height at least 1. */
VMGUI_MUST_USE int png_file_write(const char *path, const uint32_t *pixels, uint32_t width,
	uint32_t height, uint32_t stride_pixels, struct error *err);
/* What the surface shows; it is held only while it is copied. -ENODATA: nothing yet. */
VMGUI_MUST_USE int png_file_write_surface(
	const char *path, struct surface *surface, struct error *err);

#endif
