/* Between view.c and view_window.c. */
#ifndef VMGUI_DISPLAY_SDL_VIEW_INTERNAL_H
#define VMGUI_DISPLAY_SDL_VIEW_INTERNAL_H

#include "display/sdl/view.h"

/* The measures of the moment. */
struct view_frame {
	int window_width, window_height; /* window units */
	int output_width, output_height; /* output pixels, like the picture's place */
	struct placement place;
};

/* False: there is no picture, and no place of it. */
bool view_frame(struct sdl_view *view, struct view_frame *frame);
/* Shows what is damaged, at one pixel of the screen for each of the picture's, past the renderer.
 * False: that cannot be done, and nothing has been. */
bool view_show_directly(struct sdl_view *view, const struct view_frame *frame);
void view_window_init(struct sdl_view *view, const struct display_settings *settings,
	const struct window_memory *memory);
/* The picture has another size: so has the window, unless its user has chosen one. */
void view_follow_picture(struct sdl_view *view);

#endif
