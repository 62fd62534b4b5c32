/* Panels; see panel.h. */
#include "display/sdl/panel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "display/sdl/text.h"

#define PAPER  0xd8101418u /* ARGB */
#define INK    0xffffffffu
#define BORDER 0xff6b727cu
#define MARGIN 2 /* cells */

bool panel_set(struct sdl_panel *panel, const char *text)
{
	if (!strcmp(panel->text, text ? text : ""))
		return false;
	snprintf(panel->text, sizeof(panel->text), "%s", text ? text : "");
	panel_drop(panel);
	return true;
}

void panel_drop(struct sdl_panel *panel)
{
	if (panel->texture)
		SDL_DestroyTexture(panel->texture);
	panel->texture = NULL;
}

static void draw_box(uint32_t *pixels, int width, int height, int line)
{
	for (int y = 0; y < height; y++) {
		for (int x = 0; x < width; x++) {
			bool edge = x < line || y < line || x >= width - line || y >= height - line;

			pixels[(size_t)y * (size_t)width + (size_t)x] = edge ? BORDER : PAPER;
		}
	}
}

static int make_texture(struct sdl_panel *panel, SDL_Renderer *renderer, int scale)
{
	int columns, lines;
	uint32_t *pixels;
	SDL_Texture *texture;

	text_measure(panel->text, &columns, &lines);
	panel->scale = scale;
	panel->width = (columns + 2 * MARGIN) * TEXT_CELL_WIDTH * scale;
	panel->height = (lines + MARGIN) * TEXT_CELL_HEIGHT * scale;
	pixels = malloc((size_t)panel->width * (size_t)panel->height * sizeof(*pixels));
	if (!pixels)
		return 0; /* one without text; nothing is lost */
	draw_box(pixels, panel->width, panel->height, scale);
	text_draw(pixels, panel->width, panel->height, MARGIN * TEXT_CELL_WIDTH * scale,
		MARGIN * TEXT_CELL_HEIGHT * scale / 2, scale, INK, panel->text);
	texture = SDL_CreateTexture(renderer, SDL_PIXELFORMAT_ARGB8888, SDL_TEXTUREACCESS_STATIC,
		panel->width, panel->height);
	if (texture) {
		SDL_SetTextureBlendMode(texture, SDL_BLENDMODE_BLEND);
		if (SDL_UpdateTexture(texture, NULL, pixels, panel->width * 4)) {
			SDL_DestroyTexture(texture);
			texture = NULL;
		}
	}
	free(pixels);
	panel->texture = texture;
	return texture ? 0 : -1;
}

int panel_draw(struct sdl_panel *panel, SDL_Renderer *renderer, int width, int height, int scale)
{
	int columns, lines;
	SDL_Rect target;

	if (!panel->text[0])
		return 0;
	text_measure(panel->text, &columns, &lines);
	while (scale > 1 && ((columns + 2 * MARGIN) * TEXT_CELL_WIDTH * scale > width ||
				    (lines + MARGIN) * TEXT_CELL_HEIGHT * scale > height))
		scale--;
	if (panel->texture && panel->scale != scale)
		panel_drop(panel);
	if (!panel->texture && make_texture(panel, renderer, scale))
		return -1;
	if (!panel->texture)
		return 0;
	target = (SDL_Rect){ (width - panel->width) / 2, (height - panel->height) / 2, panel->width,
		panel->height };
	return SDL_RenderCopy(renderer, panel->texture, NULL, &target);
}
