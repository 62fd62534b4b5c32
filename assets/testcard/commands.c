/* What the serial line and the kernel command line can tell the card to do: README.md has the
 * table. */
#include "card.h"

#define MAX_WORDS 6

static bool number_word(const char *word, uint32_t *number)
{
	return text_number(&word, number) && !*word;
}

/* RRGGBB, with or without 0x or #. */
static bool colour_word(const char *word, uint32_t *colour)
{
	char number[16];

	if (*word == '#')
		word++;
	if (word[0] != '0' || word[1] != 'x') {
		text_format(number, sizeof(number), "0x%s", word);
		word = number;
	}
	return number_word(word, colour) && *colour <= 0xffffff;
}

static bool run_mode(char **words)
{
	uint32_t width, height, depth;

	if (!number_word(words[1], &width) || !number_word(words[2], &height) ||
		!number_word(words[3], &depth))
		return false;
	if (!screen_set_mode(width, height, depth)) {
		report("error mode %ux%ux%u refused", width, height, depth);
		return true;
	}
	card_mode_changed();
	return true;
}

static bool run_exit(char **words)
{
	uint32_t status;

	if (!number_word(words[1], &status) || status > 255)
		return false;
	out8(0xf4, (uint8_t)status);
	report("error exit %u: no exit port", status);
	return true;
}

static bool run_fill(char **words)
{
	uint32_t colour;

	if (!colour_word(words[1], &colour))
		return false;
	picture_leave();
	screen_fill(0, 0, (int)screen.width, (int)screen.height, colour);
	report("filled");
	return true;
}

static bool run_rect(char **words)
{
	uint32_t x, y, width, height, colour;

	if (!number_word(words[1], &x) || !number_word(words[2], &y) ||
		!number_word(words[3], &width) || !number_word(words[4], &height) ||
		!colour_word(words[5], &colour))
		return false;
	picture_leave();
	if (x < screen.width && y < screen.height && width <= screen.width &&
		height <= screen.height)
		screen_fill((int)x, (int)y, (int)width, (int)height, colour);
	report("filled");
	return true;
}

static bool run_card(char **words)
{
	(void)words;
	picture_paint(&card);
	report("painted");
	return true;
}

static bool run_sum(char **words)
{
	(void)words;
	report("sum %08x", screen_checksum());
	return true;
}

static bool run_fps(char **words)
{
	uint32_t fps;

	if (!number_word(words[1], &fps) || fps > 1000)
		return false;
	card_set_rate(fps);
	report("fps %u", fps);
	return true;
}

static bool run_pan(char **words)
{
	uint32_t hz;

	if (!number_word(words[1], &hz) || hz > 1000)
		return false;
	if (card_set_pan(hz))
		report("pan %u", hz);
	else
		report("error pan %u: no video memory for two screens", hz);
	return true;
}

static bool run_flash(char **words)
{
	uint32_t count, seed;

	if (!number_word(words[1], &count) || !number_word(words[2], &seed) || !count ||
		count > FLASH_MAX)
		return false;
	picture_leave();
	motion_flash(count, seed);
	return true;
}

static bool run_stream(char **words)
{
	uint32_t count, pause_us;

	if (!number_word(words[2], &count) || !number_word(words[3], &pause_us))
		return false;
	picture_leave();
	return motion_stream(words[1], count, pause_us);
}

static bool run_tsc(char **words)
{
	(void)words;
	motion_time();
	return true;
}

static bool run_leds(char **words)
{
	uint32_t leds;

	if (!number_word(words[1], &leds) || leds > 7)
		return false;
	card.leds = leds;
	ps2_set_leds(leds);
	report("leds %u", leds);
	picture_update(&card);
	return true;
}

static bool run_pointer(char **words)
{
	bool absolute = text_equal(words[1], "absolute");

	if (!absolute && !text_equal(words[1], "relative"))
		return false;
	if (card_set_absolute(absolute))
		report("pointer %s", words[1]);
	else
		report("error pointer absolute: there is no vmmouse");
	picture_update(&card);
	return true;
}

static bool run_slow(char **words)
{
	uint32_t delay;

	if (!number_word(words[1], &delay) || delay > 50000)
		return false;
	card_set_delay(delay);
	report("slow %u", delay);
	return true;
}

static bool on_word(const char *word, bool *on)
{
	*on = text_equal(word, "on");
	return *on || text_equal(word, "off");
}

static bool run_scan(char **words)
{
	bool on;

	if (!on_word(words[1], &on))
		return false;
	ps2_report_scans(on);
	report("scans %s", words[1]);
	return true;
}

static bool run_record(char **words)
{
	bool on;

	if (text_equal(words[1], "show"))
		card_record_show();
	else if (on_word(words[1], &on))
		card_record(on);
	else
		return false;
	return true;
}

static bool run_smp(char **words)
{
	(void)words;
	smp_start();
	return true;
}

static bool run_echo(char **words)
{
	report("echo %s", words[1]);
	return true;
}

static bool run_reset(char **words)
{
	machine_reset(words[1]);
	return true;
}

static bool run_poweroff(char **words)
{
	(void)words;
	acpi_power_off();
	return true;
}

static bool run_crash(char **words)
{
	(void)words;
	/* No page is there. */
	*(volatile uint8_t *)0x7fffdead0000 = 0;
	return true;
}

struct command {
	const char *name;
	unsigned arguments;
	bool (*run)(char **words); /* false: the arguments are wrong */
	const char *usage;
};

static const struct command commands[] = {
	{ "card", 0, run_card, "card" },
	{ "crash", 0, run_crash, "crash" },
	{ "echo", 1, run_echo, "echo WORD" },
	{ "exit", 1, run_exit, "exit STATUS" },
	{ "fill", 1, run_fill, "fill RRGGBB" },
	{ "flash", 2, run_flash, "flash COUNT SEED" },
	{ "fps", 1, run_fps, "fps N" },
	{ "leds", 1, run_leds, "leds MASK" },
	{ "mode", 3, run_mode, "mode WIDTH HEIGHT DEPTH" },
	{ "pan", 1, run_pan, "pan HZ" },
	{ "pointer", 1, run_pointer, "pointer absolute|relative" },
	{ "poweroff", 0, run_poweroff, "poweroff" },
	{ "record", 1, run_record, "record on|off|show" },
	{ "rect", 5, run_rect, "rect X Y WIDTH HEIGHT RRGGBB" },
	{ "reset", 1, run_reset, "reset kbd|port92|cf9|acpi|triple" },
	{ "scan", 1, run_scan, "scan on|off" },
	{ "slow", 1, run_slow, "slow MICROSECONDS" },
	{ "smp", 0, run_smp, "smp" },
	{ "stream", 3, run_stream, "stream KIND COUNT PAUSE" },
	{ "sum", 0, run_sum, "sum" },
	{ "tsc", 0, run_tsc, "tsc" },
};

static unsigned split(char *line, char **words)
{
	unsigned count = 0;

	for (char *at = line; *at;) {
		while (*at == ' ')
			*at++ = '\0';
		if (!*at)
			break;
		if (count == MAX_WORDS)
			return MAX_WORDS + 1;
		words[count++] = at;
		while (*at && *at != ' ')
			at++;
	}
	return count;
}

void command_run(const char *line)
{
	char copy[256], *words[MAX_WORDS];
	unsigned count;

	text_format(copy, sizeof(copy), "%s", line);
	count = split(copy, words);
	if (count == 0)
		return;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!text_equal(words[0], commands[i].name))
			continue;
		if (count != commands[i].arguments + 1 || !commands[i].run(words))
			report("error usage: %s", commands[i].usage);
		return;
	}
	report("error unknown command %s", words[0]);
}

void command_run_list(const char *list)
{
	char line[256];
	size_t length = 0;

	for (;; list++) {
		bool end = !*list || *list == ' ';

		if (end || *list == ';') {
			line[length] = '\0';
			command_run(line);
			length = 0;
			if (end)
				return;
		} else if (length < sizeof(line) - 1) {
			line[length++] = *list == ',' ? ' ' : *list;
		}
	}
}
