/* The choice of a renderer; see renderer.h. */
#include "display/sdl/renderer.h"

#include <string.h>
#include <unistd.h>

#include "core/log.h"

#define GL_RENDERER_NAME 0x1F01 /* OpenGL's GL_RENDERER */

/* A GL without hardware is slower than SDL's own blitter, and loads a compiler. */
static bool is_software_gl(void)
{
	const unsigned char *(*get_string)(unsigned name) = NULL;
	const char *name;

	*(void **)&get_string = SDL_GL_GetProcAddress("glGetString");
	name = get_string ? (const char *)get_string(GL_RENDERER_NAME) : NULL;
	return name &&
	       (strstr(name, "llvmpipe") || strstr(name, "softpipe") || strstr(name, "swrast"));
}

static SDL_Renderer *create_accelerated(SDL_Window *window)
{
	SDL_Renderer *renderer = NULL;
	SDL_RendererInfo info;

	if (access("/dev/dri", F_OK) == 0 || access("/dev/nvidiactl", F_OK) == 0)
		renderer = SDL_CreateRenderer(window, -1, SDL_RENDERER_ACCELERATED);
	if (renderer && SDL_GetRendererInfo(renderer, &info) == 0 &&
		!strncmp(info.name, "opengl", 6) && is_software_gl()) {
		SDL_DestroyRenderer(renderer);
		renderer = NULL;
	}
	return renderer;
}

SDL_Renderer *renderer_create(SDL_Window *window, bool software, bool *keeps_frame)
{
	const char *wanted = SDL_GetHint(SDL_HINT_RENDER_DRIVER);
	SDL_Renderer *renderer = NULL;
	SDL_RendererInfo info;

	if (wanted && *wanted && !software)
		renderer = SDL_CreateRenderer(window, -1, 0);
	else if (!software)
		renderer = create_accelerated(window);
	if (!renderer) {
		/* Else SDL would send the software renderer's result through such a GL. */
		SDL_SetHint(SDL_HINT_FRAMEBUFFER_ACCELERATION, "0");
		renderer = SDL_CreateRenderer(window, -1, SDL_RENDERER_SOFTWARE);
	}
	if (!renderer) {
		/* On Wayland SDL can show nothing but through a GL, be it what it may. */
		SDL_SetHint(SDL_HINT_FRAMEBUFFER_ACCELERATION, NULL);
		renderer = SDL_CreateRenderer(window, -1, SDL_RENDERER_ACCELERATED);
	}
	*keeps_frame = false;
	if (renderer && SDL_GetRendererInfo(renderer, &info) == 0) {
		*keeps_frame = info.flags & SDL_RENDERER_SOFTWARE;
		log_debug("sdl", "video driver %s, renderer %s", SDL_GetCurrentVideoDriver(),
			info.name);
	}
	return renderer;
}
