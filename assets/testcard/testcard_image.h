/* The embedded test card: a static ELF64 image that boots by Linux's 64-bit protocol (README.md
 * beside this file). */
#ifndef VMGUI_TESTCARD_IMAGE_H
#define VMGUI_TESTCARD_IMAGE_H

#include <stddef.h>
#include <stdint.h>

extern const uint8_t vmgui_testcard_image[];
extern const size_t vmgui_testcard_size;

#endif
