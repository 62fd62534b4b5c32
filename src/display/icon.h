/* The window's icon: the one of assets/desktop, drawn at the size that windows want. */
#ifndef VMGUI_DISPLAY_SDL_ICON_H
#define VMGUI_DISPLAY_SDL_ICON_H

#include "core/util.h"

#define ICON_SIZE 64

/* ARGB, not premultiplied. */
void icon_draw(uint32_t pixels[ICON_SIZE * ICON_SIZE]);

#endif
