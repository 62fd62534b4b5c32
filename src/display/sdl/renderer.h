/* The choice of a renderer for a window. Threads: the SDL backend's only. */
#ifndef VMGUI_DISPLAY_SDL_RENDERER_H
#define VMGUI_DISPLAY_SDL_RENDERER_H

#include <SDL.h>

#include "core/util.h"

/* The best there is, or the software one, which needs nothing; NULL: SDL_GetError(). *keeps_frame:
 * what it drew before is still there after a present. */
SDL_Renderer *renderer_create(SDL_Window *window, bool software, bool *keeps_frame);

#endif
