/* Windows' icon: the one of assets/desktop, drawn at the size that they want. It needs no file, so
 * that a program that is not installed has it, too. Threads: any, no state. */
#ifndef VMGUI_DISPLAY_ICON_H
#define VMGUI_DISPLAY_ICON_H

#include "core/util.h"

#define ICON_SIZE 64

/* ARGB, not premultiplied. */
void icon_draw(uint32_t pixels[ICON_SIZE * ICON_SIZE]);

#endif
