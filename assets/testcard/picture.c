/* The picture: a grid with a one-pixel border at the exact edges, a disc with colour bars,
 * gradients and gratings, and four panels and two bands that show what the input devices say.
 * README.md has the geometry for those who compare pixels. */
#include "card.h"

#define MAX_WIDTH 4096

/* Sub-pixel steps of the disc's edge. */
#define EDGE_STEPS 16

#define COLOUR_BACKGROUND 0x23283a
#define COLOUR_GRID       0x47506b
#define COLOUR_PANEL      0x10131d
#define COLOUR_TEXT       0xe8ecf4
#define COLOUR_DIM        0x8f9ab3
#define COLOUR_KEY        0xffc83d
#define COLOUR_LAMP_ON    0x3ddc84
#define COLOUR_LAMP_OFF   0x2a3042
#define COLOUR_WHITE      0xffffff
#define COLOUR_BLACK      0x000000

#define TEXT_BYTES 48

/* Places of the mark below the frame counter. */
#define SWEEP_STEPS 16

/* Where each band of the disc ends, in hundredths of its radius from the centre down. */
enum band {
	BAND_TITLE,
	BAND_MODE,
	BAND_BARS,
	BAND_GRADIENTS,
	BAND_GRATINGS,
	BAND_KEY,
	BAND_FOOT,
	BANDS,
};

static const int band_end[BANDS] = { -66, -42, 2, 26, 40, 66, 101 };

static const uint32_t bars[] = { 0xffffff, 0xffff00, 0x00ffff, 0x00ff00, 0xff00ff, 0xff0000,
	0x0000ff, 0x000000 };
static const uint32_t gradients[] = { 0x010101, 0x010000, 0x000100, 0x000001 };

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

struct box {
	int x, y, width, height;
};

static struct {
	int scale; /* of small text; the bands' text is twice as large */
	int centre_x, centre_y;
	int radius, inner; /* with and without the white ring */
	int cell;          /* of the grid */
	struct box leds, buttons, frame, pointer;
} layout;

static bool painted; /* the card is what the screen shows */
static struct card_state shown;
static uint32_t row[MAX_WIDTH];

static const char *const arrow[] = {
	"#           ",
	"##          ",
	"#.#         ",
	"#..#        ",
	"#...#       ",
	"#....#      ",
	"#.....#     ",
	"#......#    ",
	"#.......#   ",
	"#........#  ",
	"#.........# ",
	"#......#####",
	"#...#..#    ",
	"#..##..#    ",
	"#.#  #..#   ",
	"##   #..#   ",
	"#     #..#  ",
	"      #..#  ",
	"       ##   ",
};

#define ARROW_WIDTH  12
#define ARROW_HEIGHT COUNT(arrow)
#define ARROW_SCALE  3

static struct {
	struct box box; /* width 0: not on the screen */
	uint8_t under[ARROW_WIDTH * 19 * ARROW_SCALE * ARROW_SCALE * 4];
} cursor;

static int smaller(int a, int b)
{
	return a < b ? a : b;
}

static int larger(int a, int b)
{
	return a > b ? a : b;
}

static uint32_t root(uint64_t square)
{
	uint64_t result = 0;

	for (uint64_t bit = 1ull << 31; bit; bit >>= 1) {
		if ((result | bit) * (result | bit) <= square)
			result |= bit;
	}
	return (uint32_t)result;
}

/* weight 0: a, EDGE_STEPS: b */
static uint32_t mix(uint32_t a, uint32_t b, uint32_t weight)
{
	uint32_t result = 0;

	for (int shift = 0; shift < 24; shift += 8) {
		uint32_t left = a >> shift & 255, right = b >> shift & 255;

		result |= (left * (EDGE_STEPS - weight) + right * weight) / EDGE_STEPS << shift;
	}
	return result;
}

static void set_layout(void)
{
	int width = (int)screen.width, height = (int)screen.height, margin, panel_width,
	    panel_height;

	layout.scale = larger(1, smaller((width + 256) / 512, (height + 192) / 384));
	layout.centre_x = width / 2;
	layout.centre_y = height / 2;
	layout.radius = smaller(width, height) * 45 / 100;
	layout.inner = layout.radius - larger(1, layout.radius / 80);
	layout.cell = larger(8, smaller(width, height) / 12);

	margin = height / 32;
	panel_width = smaller(width * 21 / 100, height * 32 / 100);
	panel_height = height * 13 / 100;
	layout.leds = (struct box){ margin, margin, panel_width, panel_height };
	layout.buttons =
		(struct box){ width - margin - panel_width, margin, panel_width, panel_height };
	layout.frame =
		(struct box){ margin, height - margin - panel_height, panel_width, panel_height };
	layout.pointer = (struct box){ width - margin - panel_width, height - margin - panel_height,
		panel_width, panel_height };
}

/* The first row of a band, from the top of the screen. */
static int band_top(enum band band)
{
	return layout.centre_y +
	       (band == 0 ? -layout.radius : band_end[band - 1] * layout.radius / 100);
}

static int band_height(enum band band)
{
	return band_top(band + 1) - band_top(band);
}

static enum band band_of(int y)
{
	int band = 0;

	while (band < BAND_FOOT && y >= band_top((enum band)(band + 1)))
		band++;
	return (enum band)band;
}

static uint32_t grating(int x, int y, int section)
{
	/* Lines of 1, 2, 3 and 4 pixels, then a chequer of single pixels, then lines across. */
	switch (section) {
	case 0:
	case 1:
	case 2:
	case 3:
		return x / (section + 1) % 2 ? COLOUR_WHITE : COLOUR_BLACK;
	case 4:
		return (x + y) % 2 ? COLOUR_WHITE : COLOUR_BLACK;
	default:
		return y % 2 ? COLOUR_WHITE : COLOUR_BLACK;
	}
}

/* One row of the disc, without its edge: pixels from..to - 1 of `row`. */
static void disc_row(int y, int from, int to)
{
	enum band band = band_of(y);
	int left = layout.centre_x - layout.inner, span = 2 * layout.inner;
	int line = (y - band_top(band)) * COUNT(gradients) / larger(1, band_height(band));

	for (int x = from; x < to; x++) {
		int at = smaller(larger(x - left, 0), span - 1);

		switch (band) {
		case BAND_TITLE:
			row[x] = COLOUR_TEXT;
			break;
		case BAND_BARS:
			row[x] = bars[at * COUNT(bars) / span];
			break;
		case BAND_GRADIENTS:
			row[x] = gradients[smaller(line, COUNT(gradients) - 1)] *
				 (uint32_t)(at * 255 / (span - 1));
			break;
		case BAND_GRATINGS:
			row[x] = grating(x, y, at * 6 / span);
			break;
		default:
			row[x] = COLOUR_PANEL;
			break;
		}
	}
}

/* Half the disc's width at a row, in EDGE_STEPS of a pixel; the row's middle counts. */
static int half_width(int y, int radius)
{
	int64_t distance = 2 * (y - layout.centre_y) + 1;
	int64_t square = 4 * (int64_t)radius * radius - distance * distance;

	return square <= 0 ? 0 : (int)root((uint64_t)square * EDGE_STEPS * EDGE_STEPS / 4);
}

/* The white ring, whose outer edge is blended into what is there, and inside it the bands, whose
 * edge is blended with white. */
static void draw_disc_row(int y)
{
	static uint32_t behind[MAX_WIDTH];
	int width = (int)screen.width;

	for (int ring = 0; ring < 2; ring++) {
		int half = half_width(y, ring ? layout.inner : layout.radius),
		    whole = half / EDGE_STEPS;
		uint32_t part = (uint32_t)(half % EDGE_STEPS);
		int from = larger(layout.centre_x - whole - 1, 0);
		int to = smaller(layout.centre_x + whole + 1, width);

		if (half == 0)
			continue;
		memcpy(behind + from, row + from, (size_t)(to - from) * sizeof(row[0]));
		if (ring)
			disc_row(y, from, to);
		else
			for (int x = from; x < to; x++)
				row[x] = COLOUR_WHITE;
		row[from] = mix(behind[from], row[from], part);
		row[to - 1] = mix(behind[to - 1], row[to - 1], part);
	}
}

static void draw_background_row(int y)
{
	int width = (int)screen.width, height = (int)screen.height;
	int x_phase = layout.centre_x % layout.cell, y_phase = layout.centre_y % layout.cell;
	bool line = y % layout.cell == y_phase;

	for (int x = 0; x < width; x++)
		row[x] = line ? COLOUR_GRID : COLOUR_BACKGROUND;
	for (int x = x_phase; x < width && !line; x += layout.cell)
		row[x] = COLOUR_GRID;
	/* The border: white on the outermost pixels, and black inside so that it stands alone. */
	if (y == 1 || y == height - 2) {
		for (int x = 0; x < width; x++)
			row[x] = COLOUR_BLACK;
	}
	if (width > 2)
		row[1] = row[width - 2] = COLOUR_BLACK;
	row[0] = row[width - 1] = COLOUR_WHITE;
	if (y == 0 || y == height - 1) {
		for (int x = 0; x < width; x++)
			row[x] = COLOUR_WHITE;
	}
}

static int text_width(const char *text, int scale)
{
	/* The last letter's gap does not count. */
	return ((int)text_length(text) * FONT_WIDTH - 1) * scale;
}

/* In the middle of a box, as large as fits up to that scale. */
static void centred(const struct box *box, int scale, uint32_t colour, const char *text)
{
	while (scale > 1 && (text_width(text, scale) > box->width || 9 * scale > box->height))
		scale--;
	font_draw(box->x + (box->width - text_width(text, scale)) / 2,
		box->y + (box->height - 7 * scale) / 2, scale, colour, text);
}

static struct box band_box(enum band band)
{
	int top = band_top(band), height = band_height(band);
	int half =
		smaller(half_width(top, layout.inner), half_width(top + height - 1, layout.inner)) /
		EDGE_STEPS;

	return (struct box){ layout.centre_x - half, top, 2 * half, height };
}

static void panel(const struct box *box, const char *title)
{
	int line = larger(1, layout.scale / 2);

	screen_fill(box->x, box->y, box->width, box->height, COLOUR_GRID);
	screen_fill(box->x + line, box->y + line, box->width - 2 * line, box->height - 2 * line,
		COLOUR_PANEL);
	font_draw(box->x + 5 * layout.scale, box->y + 5 * layout.scale, layout.scale, COLOUR_DIM,
		title);
}

/* A panel's space below its title. */
static struct box panel_body(const struct box *box)
{
	int line = larger(1, layout.scale / 2), title = 14 * layout.scale;

	return (struct box){ box->x + line, box->y + title, box->width - 2 * line,
		box->height - title - line };
}

static void panel_text(const struct box *box, const char *text)
{
	struct box body = panel_body(box);

	screen_fill(body.x, body.y, body.width, body.height, COLOUR_PANEL);
	centred(&body, 2 * layout.scale, COLOUR_TEXT, text);
}

/* One lamp of `count` in a panel, with its label inside. */
static void lamp(const struct box *panel_box, int index, int count, bool on, const char *label)
{
	struct box body = panel_body(panel_box);
	int gap = 3 * layout.scale, width = (body.width - gap) / count - gap;
	struct box box = { body.x + gap + index * (width + gap), body.y + gap, width,
		body.height - 2 * gap };

	screen_fill(box.x, box.y, box.width, box.height, on ? COLOUR_LAMP_ON : COLOUR_LAMP_OFF);
	centred(&box, layout.scale, on ? COLOUR_BLACK : COLOUR_DIM, label);
}

static void draw_leds(unsigned leds)
{
	lamp(&layout.leds, 0, 3, leds & 2, "num");
	lamp(&layout.leds, 1, 3, leds & 4, "caps");
	lamp(&layout.leds, 2, 3, leds & 1, "scrl");
}

static void draw_buttons(unsigned buttons, int wheel, int hwheel)
{
	char number[TEXT_BYTES];

	/* The sideways wheel only where there is one. */
	if (hwheel)
		text_format(number, sizeof(number), "%d,%d", wheel, hwheel);
	else
		text_format(number, sizeof(number), "%d", wheel);
	lamp(&layout.buttons, 0, 6, buttons & 1, "L");
	lamp(&layout.buttons, 1, 6, buttons & 4, "M");
	lamp(&layout.buttons, 2, 6, buttons & 2, "R");
	lamp(&layout.buttons, 3, 6, buttons & 8, "4");
	lamp(&layout.buttons, 4, 6, buttons & 16, "5");
	lamp(&layout.buttons, 5, 6, false, number);
}

static void draw_frame(uint32_t frame)
{
	char text[TEXT_BYTES];

	struct box body = panel_body(&layout.frame);
	int height = 2 * layout.scale, gap = 3 * layout.scale, track = body.width - 2 * gap;
	int mark = track / SWEEP_STEPS;

	text_format(text, sizeof(text), "%u", frame);
	panel_text(&layout.frame, text);
	screen_fill(
		body.x + gap, body.y + body.height - gap - height, track, height, COLOUR_LAMP_OFF);
	screen_fill(body.x + gap + (int)(frame % SWEEP_STEPS) * mark,
		body.y + body.height - gap - height, mark, height, COLOUR_LAMP_ON);
}

static void draw_pointer_panel(bool absolute)
{
	panel(&layout.pointer, absolute ? "absolute" : "relative");
}

static void draw_pointer(int x, int y)
{
	char text[TEXT_BYTES];

	text_format(text, sizeof(text), "%d,%d", x, y);
	panel_text(&layout.pointer, text);
}

static void draw_key(const char *key)
{
	struct box box = band_box(BAND_KEY);

	screen_fill(box.x, box.y, box.width, box.height, COLOUR_PANEL);
	centred(&box, 3 * layout.scale, *key ? COLOUR_KEY : COLOUR_DIM, *key ? key : "press a key");
}

static void draw_title(void)
{
	struct box title = band_box(BAND_MODE), mode = title;
	char name[TEXT_BYTES];

	title.height = band_height(BAND_TITLE) * 7 / 10;
	title.y = band_top(BAND_TITLE) + band_height(BAND_TITLE) * 2 / 10;
	centred(&title, 5 * layout.scale, COLOUR_BACKGROUND, "vmgui");
	screen_mode_name(name, sizeof(name));
	centred(&mode, 3 * layout.scale, COLOUR_TEXT, name);
}

static void draw_foot(void)
{
	struct box box = band_box(BAND_KEY);

	box.y = band_top(BAND_FOOT);
	box.height = band_height(BAND_FOOT) * 6 / 10;
	box.x += box.width / 6;
	box.width -= box.width / 3;
	centred(&box, layout.scale, COLOUR_DIM, "test card");
}

static void hide_cursor(void)
{
	if (cursor.box.width > 0)
		screen_restore(cursor.box.x, cursor.box.y, cursor.box.width, cursor.box.height,
			cursor.under);
	cursor.box.width = 0;
}

static void show_cursor(int x, int y)
{
	int scale = smaller(ARROW_SCALE, larger(1, layout.scale / 2));

	cursor.box = (struct box){ x, y, smaller(ARROW_WIDTH * scale, (int)screen.width - x),
		smaller(ARROW_HEIGHT * scale, (int)screen.height - y) };
	screen_save(cursor.box.x, cursor.box.y, cursor.box.width, cursor.box.height, cursor.under);
	for (int line = 0; line < ARROW_HEIGHT; line++) {
		for (int column = 0; column < ARROW_WIDTH; column++) {
			char dot = arrow[line][column];

			if (dot != ' ')
				screen_fill(x + column * scale, y + line * scale, scale, scale,
					dot == '#' ? COLOUR_BLACK : COLOUR_WHITE);
		}
	}
}

void picture_paint(const struct card_state *state)
{
	if (!screen.base || screen.width > MAX_WIDTH)
		return;
	set_layout();
	for (int y = 0; y < (int)screen.height; y++) {
		draw_background_row(y);
		draw_disc_row(y);
		screen_row(0, y, (int)screen.width, row);
	}
	draw_title();
	draw_foot();
	panel(&layout.leds, "keyboard");
	panel(&layout.buttons, "mouse");
	panel(&layout.frame, "frame");
	draw_key(state->key);
	draw_leds(state->leds);
	draw_buttons(state->buttons, state->wheel, state->hwheel);
	draw_frame(state->frame);
	draw_pointer_panel(state->absolute);
	draw_pointer(state->x, state->y);
	show_cursor(state->x, state->y);
	shown = *state;
	painted = true;
}

void picture_update(const struct card_state *state)
{
	if (!painted)
		return;
	hide_cursor();
	if (!text_equal(shown.key, state->key))
		draw_key(state->key);
	if (shown.leds != state->leds)
		draw_leds(state->leds);
	if (shown.buttons != state->buttons || shown.wheel != state->wheel ||
		shown.hwheel != state->hwheel)
		draw_buttons(state->buttons, state->wheel, state->hwheel);
	if (shown.frame != state->frame)
		draw_frame(state->frame);
	if (shown.absolute != state->absolute)
		draw_pointer_panel(state->absolute);
	if (shown.x != state->x || shown.y != state->y || shown.absolute != state->absolute)
		draw_pointer(state->x, state->y);
	show_cursor(state->x, state->y);
	shown = *state;
}

void picture_leave(void)
{
	cursor.box.width = 0;
	painted = false;
}
