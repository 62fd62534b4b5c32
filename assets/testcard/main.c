/* The test card: starts everything, then turns what the devices say into a picture and into lines
 * on the serial port. */
#include "card.h"

struct card_state card;

#define PAN_ROWS      7 /* a step */
#define RECORD_MAX    65536
#define RECORD_LINE   16 /* keys a line */
#define RECORD_DOWN   0x4000
#define RECORD_REPEAT 0x8000

static uint32_t rate; /* frames a second; 0: only when something happens */
static uint32_t delay;
static bool panning; /* the clock pans rather than paints */

static struct {
	bool on;
	uint16_t key[RECORD_MAX]; /* code and RECORD_ bits */
	unsigned count;           /* also of those that found no place */
} record;

void card_set_rate(uint32_t fps)
{
	rate = fps;
	pit_start(fps);
}

bool card_set_pan(uint32_t hz)
{
	if (hz) {
		picture_leave();
		if (!screen_make_rows())
			return false;
	}
	screen_pan(0);
	panning = hz != 0;
	card_set_rate(hz);
	return true;
}

void card_set_delay(uint32_t microseconds)
{
	delay = microseconds;
	ps2_set_delay(delay);
	if (!delay)
		pit_start(rate); /* was it the animation's before */
}

bool card_set_absolute(bool absolute)
{
	if (absolute == card.absolute)
		return true;
	if (absolute && (!(ps2_found() & PS2_HAS_MOUSE) || !vmmouse_found() || !vmmouse_enable()))
		return false;
	if (!absolute)
		vmmouse_disable();
	card.absolute = absolute;
	return true;
}

void card_record(bool on)
{
	unsigned kept = record.count < RECORD_MAX ? record.count : RECORD_MAX;

	report("record %s %u %08x", on ? "on" : "off", record.count,
		crc_add(0, record.key, kept * sizeof(record.key[0])));
	record.on = on;
	if (on)
		record.count = 0;
}

void card_record_show(void)
{
	char line[RECORD_LINE * 5 + 1];
	size_t length = 0;
	unsigned kept = record.count < RECORD_MAX ? record.count : RECORD_MAX;

	for (unsigned i = 0; i < kept; i++) {
		unsigned key = record.key[i];

		length += text_format(line + length, sizeof(line) - length, " %u%c",
			key & ~(unsigned)(RECORD_DOWN | RECORD_REPEAT),
			key & RECORD_REPEAT ? '*'
			: key & RECORD_DOWN ? '+'
					    : '-');
		if ((i + 1) % RECORD_LINE && i + 1 < kept)
			continue;
		report("recorded%s", line);
		length = 0;
	}
	report("record shown %u", record.count);
}

void card_mode_changed(void)
{
	char name[32];

	card.x = (int)screen.width / 2;
	card.y = (int)screen.height / 2;
	picture_paint(&card);
	screen_mode_name(name, sizeof(name));
	report("mode %s", name);
}

static void record_key(const struct ps2_event *event)
{
	if (record.count < RECORD_MAX)
		record.key[record.count] =
			(uint16_t)(event->code | (event->down ? RECORD_DOWN : 0) |
				   (event->repeat ? RECORD_REPEAT : 0));
	record.count++;
	if (event->code == KEY_ESC && !event->down)
		card_record(false);
}

static void key_event(const struct ps2_event *event)
{
	char unknown[16];
	const char *name = key_name(event->code);

	if (!event->code) {
		text_format(unknown, sizeof(unknown), "scan-%x", event->scan);
		name = unknown;
	}
	if (record.on)
		record_key(event);
	else
		report("key %u %s %s", event->code,
			event->repeat ? "repeat"
			: event->down ? "down"
				      : "up",
			name);
	text_format(card.key, sizeof(card.key), "%s %s", name, event->down ? "down" : "up");
	if (event->down && !event->repeat) {
		unsigned leds = card.leds;

		leds ^= event->code == KEY_SCROLLLOCK ? 1 : 0;
		leds ^= event->code == KEY_NUMLOCK ? 2 : 0;
		leds ^= event->code == KEY_CAPSLOCK ? 4 : 0;
		if (leds != card.leds) {
			card.leds = leds;
			ps2_set_leds(leds);
			report("leds %u", leds);
		}
	}
}

static int limit(int value, int max)
{
	return value < 0 ? 0 : value > max ? max : value;
}

/* The pixel that a place of the vmmouse's is in; as libinput has it. */
static int scale(uint32_t place, uint32_t size)
{
	return (int)((uint64_t)place * size >> 16);
}

static void mouse_event(const struct mouse_event *mouse)
{
	card.wheel += mouse->wheel;
	card.hwheel += mouse->hwheel;
	card.buttons = mouse->buttons;
	if (mouse->absolute) {
		card.x = limit(scale(mouse->x, screen.width), (int)screen.width - 1);
		card.y = limit(scale(mouse->y, screen.height), (int)screen.height - 1);
		report("absolute %u %u %u %d %d %d", mouse->x, mouse->y, mouse->buttons,
			mouse->wheel, card.x, card.y);
		return;
	}
	card.x = limit(card.x + mouse->dx, (int)screen.width - 1);
	card.y = limit(card.y + mouse->dy, (int)screen.height - 1);
	report("mouse %d %d %u %d %d %d", mouse->dx, mouse->dy, mouse->buttons, mouse->wheel,
		card.x, card.y);
	if (mouse->hwheel)
		report("hwheel %d", mouse->hwheel);
}

static void run_lines(void)
{
	const char *line;

	while ((line = serial_line()))
		command_run(line);
}

/* Everything that the devices have to say; true if the picture changes. */
static bool collect(void)
{
	bool changed;

	run_lines();
	changed = rate != 0; /* woken by the clock; not if it has just been stopped */
	for (;;) {
		struct ps2_event event = ps2_next();

		if (event.kind == PS2_NONE)
			break;
		/* The wait for the delay takes the serial port's interrupts, too. */
		if (delay)
			run_lines();
		if (event.kind == PS2_KEY)
			key_event(&event);
		else
			mouse_event(&event.mouse);
		/* A record is for speed. */
		changed |= !record.on;
	}
	if (acpi_power_button()) {
		report("power button");
		acpi_power_off();
	}
	return changed;
}

void card_main(const void *boot_params);
void card_main(const void *boot_params)
{
	const char *value;
	char name[32];
	uint32_t fps = 0;
	unsigned devices;

	interrupts_init();
	boot_init(boot_params);
	serial_init();
	screen_init();
	acpi_init();
	ps2_init();
	(void)card_set_absolute(true);
	card.x = (int)screen.width / 2;
	card.y = (int)screen.height / 2;
	picture_paint(&card);
	screen_mode_name(name, sizeof(name));
	devices = ps2_found();
	report("devices keyboard %u mouse %u wheel %u buttons %u absolute %u",
		!!(devices & PS2_HAS_KEYBOARD), !!(devices & PS2_HAS_MOUSE),
		!!(devices & PS2_HAS_WHEEL),
		devices & PS2_HAS_BUTTONS5 ? 5
		: devices & PS2_HAS_MOUSE  ? 3
					   : 0,
		card.absolute);
	report("card: ready %s", screen.base ? name : "none");

	value = boot_parameter("testcard.fps");
	if (value && text_number(&value, &fps) && fps > 0)
		card_set_rate(fps);
	value = boot_parameter("testcard.run");
	if (value)
		command_run_list(value);
	for (;;) {
		if (collect()) {
			card.frame++;
			if (panning)
				screen_pan(card.frame * PAN_ROWS % screen.height);
			else
				picture_update(&card);
		}
		interrupts_wait();
	}
}
