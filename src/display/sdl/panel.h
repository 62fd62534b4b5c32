/* A box with text that lies over the picture. Threads: the SDL backend's only. */
#ifndef VMGUI_DISPLAY_SDL_PANEL_H
#define VMGUI_DISPLAY_SDL_PANEL_H

#include <SDL.h>

#include "core/util.h"

/* Zeroed storage is one that shows nothing. */
struct sdl_panel {
	char text[1024];      /* lines; empty: not shown */
	SDL_Texture *texture; /* of the text at `scale`; NULL: to be made */
	int scale, width, height;
};

/* True if that changes anything. NULL: nothing is shown. */
bool panel_set(struct sdl_panel *panel, const char *text);
/* In the middle of an output of this size; scale: how many pixels a dot of the letters has, less
 * where there is no room for that. 0 or -1 (the renderer is lost). */
int panel_draw(struct sdl_panel *panel, SDL_Renderer *renderer, int width, int height, int scale);
/* The renderer goes, or the panel. */
void panel_drop(struct sdl_panel *panel);

#endif
