/* Fitting pictures into windows; see geometry.h. */
#include "display/sdl/geometry.h"

/* Sizes are at most some ten thousand pixels, but a product of three need not fit 32 bits. */
static int scaled(int value, int by, int from)
{
	int64_t result = ((int64_t)value * by + from / 2) / from;

	return result > 0 ? (int)result : 1;
}

struct placement geometry_fit(
	int picture_width, int picture_height, int window_width, int window_height)
{
	struct placement placement = { .width = window_width, .height = window_height };

	if ((int64_t)picture_width * window_height > (int64_t)window_width * picture_height)
		placement.height = scaled(picture_height, window_width, picture_width);
	else
		placement.width = scaled(picture_width, window_height, picture_height);
	placement.x = (window_width - placement.width) / 2;
	placement.y = (window_height - placement.height) / 2;
	return placement;
}

void geometry_window_size(int picture_width, int picture_height, int most_width, int most_height,
	int *width, int *height)
{
	*width = picture_width;
	*height = picture_height;
	if (most_width > 0 && most_height > 0 &&
		(picture_width > most_width || picture_height > most_height)) {
		struct placement placement =
			geometry_fit(picture_width, picture_height, most_width, most_height);

		*width = placement.width;
		*height = placement.height;
	}
}

int geometry_to_picture(int place, int start, int shown, int picture)
{
	int64_t pixel;

	if (place < start || shown <= 0)
		return 0;
	pixel = (int64_t)(place - start) * picture / shown;
	return pixel < picture ? (int)pixel : picture - 1;
}
