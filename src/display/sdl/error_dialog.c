/* An error in a dialog of SDL's, with no window of ours open (src/error_dialog.h). */
#include <SDL.h>

extern int vmgui_show_error(const char *title, const char *text);

int vmgui_show_error(const char *title, const char *text)
{
	SDL_SetMainReady();
	return SDL_ShowSimpleMessageBox(SDL_MESSAGEBOX_ERROR, title, text, NULL);
}
