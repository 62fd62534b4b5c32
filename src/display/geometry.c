/* Fitting pictures into windows; see geometry.h. */
#include "display/geometry.h"

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

static int start_at(int shown, int window, int pan)
{
	if (shown <= window)
		return (window - shown) / 2;
	if (pan > shown - window)
		pan = shown - window;
	return pan > 0 ? -pan : 0;
}

struct placement geometry_place(enum display_scale scale, unsigned percent, int picture_width,
	int picture_height, int window_width, int window_height, int pan_x, int pan_y)
{
	struct placement placement;
	int factor;

	switch (scale) {
	case DISPLAY_SCALE_FIXED:
		placement.width = scaled(picture_width, (int)percent, 100);
		placement.height = scaled(picture_height, (int)percent, 100);
		break;
	case DISPLAY_SCALE_INTEGER:
		factor = window_width / picture_width;
		if (factor > window_height / picture_height)
			factor = window_height / picture_height;
		if (factor < 1)
			factor = 1;
		placement.width = picture_width * factor;
		placement.height = picture_height * factor;
		break;
	case DISPLAY_SCALE_FIT:
	default:
		return geometry_fit(picture_width, picture_height, window_width, window_height);
	}
	placement.x = start_at(placement.width, window_width, pan_x);
	placement.y = start_at(placement.height, window_height, pan_y);
	return placement;
}

void geometry_window_size(enum display_scale scale, unsigned percent, int picture_width,
	int picture_height, int most_width, int most_height, int *width, int *height)
{
	bool fixed = scale == DISPLAY_SCALE_FIXED;

	*width = fixed ? scaled(picture_width, (int)percent, 100) : picture_width;
	*height = fixed ? scaled(picture_height, (int)percent, 100) : picture_height;
	if (most_width <= 0 || most_height <= 0)
		return;
	if (scale != DISPLAY_SCALE_FIT) { /* a part is shown at that scale */
		*width = *width > most_width ? most_width : *width;
		*height = *height > most_height ? most_height : *height;
	} else if (*width > most_width || *height > most_height) {
		struct placement placement = geometry_fit(*width, *height, most_width, most_height);

		*width = placement.width;
		*height = placement.height;
	}
}

int geometry_to_picture(int place, int start, int shown, int picture)
{
	int64_t pixel;

	if (place < start || shown <= 0)
		return 0;
	/* By the output pixel's centre, as renderers choose what to draw there. */
	pixel = (2 * (int64_t)(place - start) + 1) * picture / (2 * (int64_t)shown);
	return pixel < picture ? (int)pixel : picture - 1;
}

int geometry_scale_motion(int delta, int64_t numerator, int64_t denominator, int64_t *remainder)
{
	int64_t total, whole;

	if (numerator <= 0 || denominator <= 0)
		return delta;
	total = delta * numerator + *remainder;
	whole = total / denominator;
	*remainder = total - whole * denominator;
	return (int)whole;
}

int geometry_pan(int pan, int place, int shown, int window)
{
	int margin = window / 8;

	if (shown <= window)
		return 0;
	if (place < margin)
		pan -= margin - place;
	else if (place >= window - margin)
		pan += place - (window - margin) + 1;
	if (pan > shown - window)
		pan = shown - window;
	return pan > 0 ? pan : 0;
}

unsigned geometry_zoom(unsigned percent, int direction)
{
	static const uint16_t steps[] = { 25, 50, 75, 100, 125, 150, 175, 200, 250, 300, 400, 500,
		600, 700, 800 };
	size_t count = array_size(steps);

	if (direction > 0) {
		for (size_t i = 0; i < count; i++) {
			if (steps[i] > percent)
				return steps[i];
		}
		return steps[count - 1];
	}
	for (size_t i = count; i-- > 0;) {
		if (steps[i] < percent)
			return steps[i];
	}
	return steps[0];
}
