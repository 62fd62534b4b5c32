/* The test card: starts everything, then turns what the devices say into a picture and into lines
 * on the serial port. */
#include "card.h"

struct card_state card;

static uint32_t rate; /* frames a second; 0: only when something happens */

void card_set_rate(uint32_t fps)
{
	rate = fps;
	pit_start(fps);
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

static void key_event(const struct ps2_event *event)
{
	char unknown[16];
	const char *name = key_name(event->code);

	if (!event->code) {
		text_format(unknown, sizeof(unknown), "scan-%x", event->scan);
		name = unknown;
	}
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

static void mouse_event(const struct mouse_event *mouse)
{
	card.x = limit(card.x + mouse->dx, (int)screen.width - 1);
	card.y = limit(card.y + mouse->dy, (int)screen.height - 1);
	card.wheel += mouse->wheel;
	card.buttons = mouse->buttons;
	report("mouse %d %d %u %d %d %d", mouse->dx, mouse->dy, mouse->buttons, mouse->wheel,
		card.x, card.y);
}

/* Everything that the devices have to say; true if the picture changes. */
static bool collect(void)
{
	const char *line;
	bool changed;

	while ((line = serial_line()))
		command_run(line);
	changed = rate != 0; /* woken by the clock; not if it has just been stopped */
	for (;;) {
		struct ps2_event event = ps2_next();

		if (event.kind == PS2_NONE)
			break;
		if (event.kind == PS2_KEY)
			key_event(&event);
		else
			mouse_event(&event.mouse);
		changed = true;
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
	card.x = (int)screen.width / 2;
	card.y = (int)screen.height / 2;
	picture_paint(&card);
	screen_mode_name(name, sizeof(name));
	devices = ps2_found();
	report("devices keyboard %u mouse %u wheel %u buttons %u", !!(devices & PS2_HAS_KEYBOARD),
		!!(devices & PS2_HAS_MOUSE), !!(devices & PS2_HAS_WHEEL),
		devices & PS2_HAS_BUTTONS5 ? 5
		: devices & PS2_HAS_MOUSE  ? 3
					   : 0);
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
			picture_update(&card);
		}
		interrupts_wait();
	}
}
