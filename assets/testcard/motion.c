/* Pictures that move, for measuring (tests/bench/display.py): single changes after rest, each with
 * its time, and one change after the other. The line says what there was only when it is over, so
 * that telling disturbs nothing. */
#include "card.h"

#define FLASH_X      500
#define FLASH_Y      300
#define FLASH_WIDTH  8
#define FLASH_HEIGHT 16

#define REST_MIN_US    50000u
#define REST_SPREAD_US 250000u

#define WINDOW_WIDTH  300
#define WINDOW_HEIGHT 200
#define WINDOW_TITLE  16

#define TERMINAL_X       80
#define TERMINAL_Y       80
#define TERMINAL_COLUMNS 80
#define TERMINAL_WIDTH   (TERMINAL_COLUMNS * FONT_WIDTH)
#define TERMINAL_HEIGHT  (24 * FONT_HEIGHT)

#define BACKGROUND 0x204060u
#define PAPER      0xf8f8f8u
#define INK        0x101010u

static uint64_t times[FLASH_MAX];
static uint32_t pixels[TERMINAL_WIDTH * TERMINAL_HEIGHT]; /* as they are in the framebuffer */

static uint64_t time_stamp(void)
{
	uint32_t low, high;

	__asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

void motion_time(void)
{
	report("tsc %lx", time_stamp());
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void rest(uint32_t microseconds)
{
	for (; microseconds > PIT_PAUSE_MAX_US; microseconds -= PIT_PAUSE_MAX_US)
		pit_pause(PIT_PAUSE_MAX_US);
	pit_pause(microseconds);
}

void motion_flash(uint32_t count, uint32_t seed)
{
	report("flashing %u", count);
	for (uint32_t i = 0; i < count; i++) {
		rest(REST_MIN_US + next_random(&seed) % REST_SPREAD_US);
		times[i] = time_stamp();
		screen_fill(FLASH_X, FLASH_Y, FLASH_WIDTH, FLASH_HEIGHT, 0x010000u + i);
	}
	for (uint32_t i = 0; i < count; i++)
		report("flash %u %lx", i, times[i]);
	report("flashed");
}

static void draw_full(uint32_t number)
{
	screen_fill(
		0, 0, (int)screen.width, (int)screen.height, (number * 7919 + 0x10101) & 0xffffff);
}

static void draw_cursor(uint32_t number)
{
	screen_fill(FLASH_X, FLASH_Y, FLASH_WIDTH, FLASH_HEIGHT, number % 2 ? INK : PAPER);
}

/* A line of words, another one for each number. */
static void draw_line(int x, int y, int columns, uint32_t number)
{
	char text[TERMINAL_COLUMNS + 1];
	uint32_t seed = number * 77 + 1;

	for (int i = 0; i < columns; i++) {
		uint32_t value = next_random(&seed);

		text[i] = value % 6 == 0 ? ' ' : (char)('a' + (value >> 8) % 26);
	}
	text[columns] = '\0';
	font_draw(x, y, 1, INK, text);
}

static void window_place(uint32_t number, int *x, int *y)
{
	*x = 100 + (int)(number * 8 % 400);
	*y = 100 + (int)(number * 4 % 300);
}

/* With a title and text, drawn once and then copied to its places. */
static void draw_window(uint32_t number)
{
	int x, y;

	if (number == 0) {
		window_place(0, &x, &y);
		screen_fill(0, 0, (int)screen.width, (int)screen.height, BACKGROUND);
		screen_fill(x, y, WINDOW_WIDTH, WINDOW_HEIGHT, PAPER);
		screen_fill(x, y, WINDOW_WIDTH, WINDOW_TITLE, 0xc06020);
		for (int row = 0; row < 17; row++)
			draw_line(
				x + 6, y + WINDOW_TITLE + 8 + row * FONT_HEIGHT, 48, (uint32_t)row);
		screen_save(x, y, WINDOW_WIDTH, WINDOW_HEIGHT, pixels);
		return;
	}
	window_place(number - 1, &x, &y);
	screen_fill(x, y, WINDOW_WIDTH, WINDOW_HEIGHT, BACKGROUND);
	window_place(number, &x, &y);
	screen_restore(x, y, WINDOW_WIDTH, WINDOW_HEIGHT, pixels);
}

/* One more line at the end, and all the others move up. */
static void draw_terminal(uint32_t number)
{
	const int last = TERMINAL_HEIGHT - FONT_HEIGHT;

	if (number == 0)
		screen_fill(TERMINAL_X, TERMINAL_Y, TERMINAL_WIDTH, TERMINAL_HEIGHT, PAPER);
	screen_save(TERMINAL_X, TERMINAL_Y + FONT_HEIGHT, TERMINAL_WIDTH, last, pixels);
	screen_restore(TERMINAL_X, TERMINAL_Y, TERMINAL_WIDTH, last, pixels);
	screen_fill(TERMINAL_X, TERMINAL_Y + last, TERMINAL_WIDTH, FONT_HEIGHT, PAPER);
	draw_line(TERMINAL_X, TERMINAL_Y + last, TERMINAL_COLUMNS, number);
}

/* The cursor, but always there. */
static void draw_same(uint32_t number)
{
	(void)number;
	draw_cursor(1);
}

static void draw_hidden(uint32_t number)
{
	screen_fill_hidden(number % 2 ? INK : PAPER);
}

/* The cursor under a screen that is off until the stream ends. */
static void draw_dark(uint32_t number)
{
	if (number == 0)
		screen_blank(true);
	draw_cursor(number);
}

/* White, the last of the palette, gets another colour, as where a palette fades. */
static void draw_palette(uint32_t number)
{
	screen_set_colour(255, number % 2 ? 0xffffff : 0xf0f0f0);
}

/* Up and down by a row. */
static void draw_pan(uint32_t number)
{
	screen_pan(number % 2);
}

static const struct {
	const char *name;
	void (*draw)(uint32_t number);
} kinds[] = {
	{ "cursor", draw_cursor },
	{ "dark", draw_dark },
	{ "full", draw_full },
	{ "hidden", draw_hidden },
	{ "palette", draw_palette },
	{ "pan", draw_pan },
	{ "same", draw_same },
	{ "terminal", draw_terminal },
	{ "window", draw_window },
};

bool motion_stream(const char *kind, uint32_t count, uint32_t pause_us)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!text_equal(kind, kinds[i].name))
			continue;
		report("streaming %s", kind);
		for (uint32_t number = 0; number < count; number++) {
			kinds[i].draw(number);
			if (pause_us)
				rest(pause_us);
		}
		screen_blank(false);
		report("streamed %u", count);
		return true;
	}
	return false;
}
