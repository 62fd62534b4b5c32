/* A PS/2 keyboard (MF2) on its line to the controller.
 *
 * Specification: IBM PS/2 Hardware Interface Technical Reference, "Keyboard (101- and 102-key)":
 * commands EDh to FFh, typematic rate and delay. Not there: scan code set 3 (refused, and F0 00
 * says so), and the shifts that real keyboards fake around the grey keys when Num Lock is on, which
 * no driver wants.
 *
 * Threads: see ps2_keyboard.h; "timers" repeats the key held last. */
#include "devices/ps2_keyboard.h"

#include <errno.h>
#include <linux/input-event-codes.h>
#include <string.h>

#include "devices/ps2_scancodes.h"

enum {
	COMMAND_SET_LEDS = 0xed,
	COMMAND_ECHO = 0xee,
	COMMAND_SCANCODE_SET = 0xf0,
	COMMAND_IDENTIFY = 0xf2,
	COMMAND_TYPEMATIC = 0xf3,
	COMMAND_ENABLE = 0xf4,
	COMMAND_DISABLE = 0xf5,
	COMMAND_DEFAULTS = 0xf6,
	COMMAND_ALL_TYPEMATIC = 0xf7, /* to FAh: key types, which exist in set 3 only */
	COMMAND_ALL_EVERYTHING = 0xfa,
	COMMAND_RESEND = 0xfe,
	COMMAND_RESET = 0xff,

	ANSWER_ACK = 0xfa,
	ANSWER_RESEND = 0xfe,
	ANSWER_TEST_PASSED = 0xaa,
	ANSWER_ECHO = 0xee,

	TYPEMATIC_DEFAULT = 0x2b, /* 500 ms, then 10.9 a second */
	LEDS_MASK = 0x07,
	DOWN = 0x80,
};

static void answer(struct ps2_keyboard *keyboard, const uint8_t *bytes, unsigned length)
{
	/* A host that sends commands and reads no answer gets the newest ones. */
	if (!ps2_queue_put(&keyboard->answers, bytes, length)) {
		ps2_queue_clear(&keyboard->answers);
		(void)ps2_queue_put(&keyboard->answers, bytes, length);
	}
}

static void answer_byte(struct ps2_keyboard *keyboard, uint8_t byte)
{
	answer(keyboard, &byte, 1);
}

static uint64_t repeat_delay_ns(const struct ps2_keyboard *keyboard)
{
	return (uint64_t)(1 + (keyboard->typematic >> 5 & 3)) * 250 * NS_PER_MS;
}

static uint64_t repeat_period_ns(const struct ps2_keyboard *keyboard)
{
	unsigned mantissa = 8 + (keyboard->typematic & 7), exponent = keyboard->typematic >> 3 & 3;
	return (uint64_t)(mantissa << exponent) * 4170 * NS_PER_US;
}

static void stop_repeat(struct ps2_keyboard *keyboard)
{
	keyboard->repeating = 0;
	timer_disarm(&keyboard->repeat_timer);
}

static void arm_repeat(struct ps2_keyboard *keyboard, uint64_t after_ns)
{
	struct timer *timer = &keyboard->repeat_timer;
	timer_arm(timer, timer_queue_now_ns(timer->queue) + after_ns);
}

bool ps2_keyboard_is_drained(const struct ps2_keyboard *keyboard)
{
	return !keyboard->waiting && !keyboard->keys.count;
}

static uint64_t now_ns(const struct ps2_keyboard *keyboard)
{
	return timer_queue_now_ns(keyboard->rest_timer.queue);
}

/* When the next handful may begin, if all is read. */
static uint64_t rest_end_ns(const struct ps2_keyboard *keyboard)
{
	uint64_t pace = max_u64(3 * keyboard->reading_ns, PS2_KEYBOARD_REST_MIN_NS);
	return min_u64(keyboard->handful_since_ns + pace,
		keyboard->all_read_ns + PS2_KEYBOARD_REST_MAX_NS);
}

/* Whether one more belongs to the handful, or a new one begins. */
static bool has_room(struct ps2_keyboard *keyboard)
{
	if (keyboard->full)
		return false;
	if (!keyboard->unread_since_ns && now_ns(keyboard) >= rest_end_ns(keyboard))
		keyboard->handful = 0;
	return keyboard->handful < PS2_KEYBOARD_HANDFUL;
}

static void put_event(struct ps2_keyboard *keyboard, unsigned code, bool down)
{
	unsigned at = (keyboard->first_waiting + keyboard->waiting++) % PS2_KEYBOARD_HANDFUL;
	if (!keyboard->unread_since_ns)
		keyboard->unread_since_ns = now_ns(keyboard);
	if (!keyboard->handful++) {
		keyboard->handful_since_ns = keyboard->unread_since_ns;
		keyboard->reading_ns = 0;
	}
	keyboard->events_waiting[at] = (struct ps2_key_event){
		.code = (uint8_t)code,
		.modifiers = keyboard->down[code] & (uint8_t)~DOWN,
		.down = down,
	};
}

/* The next event that the host has to hear of. */
static bool next_event(struct ps2_keyboard *keyboard, struct ps2_key_event *event)
{
	/* Releases of what the host saw pressed come also where the host has thrown them away. */
	for (unsigned code = 0; keyboard->stale && code < PS2_KEYBOARD_CODES; code++) {
		if (keyboard->told[code] && !keyboard->down[code]) {
			*event = (struct ps2_key_event){ .code = (uint8_t)code,
				.modifiers = keyboard->told[code] & (uint8_t)~DOWN };
			return true;
		}
	}
	keyboard->stale = false;
	while (keyboard->waiting) {
		*event = keyboard->events_waiting[keyboard->first_waiting];
		keyboard->first_waiting = (keyboard->first_waiting + 1) % PS2_KEYBOARD_HANDFUL;
		keyboard->waiting--;
		if (event->down || keyboard->told[event->code])
			return true;
	}
	return false;
}

static void fill_keys(struct ps2_keyboard *keyboard)
{
	uint8_t bytes[PS2_SCANCODE_MAX];
	struct ps2_key_event *event = &keyboard->sending;
	while (keyboard->scanning && !keyboard->keys.count && next_event(keyboard, event)) {
		unsigned n = ps2_scancode(
			event->code, event->down, keyboard->set, event->modifiers, bytes);
		(void)ps2_queue_put(&keyboard->keys, bytes, n);
	}
}

static void clear_keys(struct ps2_keyboard *keyboard)
{
	ps2_queue_clear(&keyboard->keys);
	keyboard->waiting = 0;
	keyboard->stale = true;
}

static void repeat_expired(void *opaque)
{
	struct ps2_keyboard *keyboard = opaque;
	if (!keyboard->repeating)
		return;
	/* A guest that does not keep up is not given a backlog; and where keys had to wait, the
	 * release of this one may be among them. */
	if (ps2_keyboard_is_drained(keyboard) && has_room(keyboard)) {
		put_event(keyboard, keyboard->repeating, true);
		keyboard->events.output(keyboard->events.opaque);
	}
	arm_repeat(keyboard, repeat_period_ns(keyboard));
}

void ps2_keyboard_all_is_read(struct ps2_keyboard *keyboard)
{
	if (keyboard->unread_since_ns) {
		keyboard->all_read_ns = now_ns(keyboard);
		keyboard->reading_ns += keyboard->all_read_ns - keyboard->unread_since_ns;
		keyboard->unread_since_ns = 0;
	}
	if (!keyboard->full || keyboard->rests)
		return;
	keyboard->rests = true;
	timer_arm(&keyboard->rest_timer, rest_end_ns(keyboard));
}

static void rest_expired(void *opaque)
{
	struct ps2_keyboard *keyboard = opaque;
	keyboard->full = keyboard->rests = false;
	keyboard->handful = 0;
	if (keyboard->repeating)
		arm_repeat(keyboard, repeat_delay_ns(keyboard));
	keyboard->events.room(keyboard->events.opaque);
}

static void set_leds(struct ps2_keyboard *keyboard, uint8_t leds)
{
	if (leds == keyboard->leds)
		return;
	keyboard->leds = leds;
	keyboard->events.leds_changed(keyboard->events.opaque, leds);
}

static void set_scanning(struct ps2_keyboard *keyboard, bool scanning)
{
	bool changed = scanning != keyboard->scanning;
	clear_keys(keyboard);
	stop_repeat(keyboard);
	keyboard->scanning = scanning;
	if (changed)
		keyboard->events.enabled_changed(keyboard->events.opaque);
}

static void set_defaults(struct ps2_keyboard *keyboard, bool scanning)
{
	keyboard->set = 2;
	keyboard->typematic = TYPEMATIC_DEFAULT;
	set_scanning(keyboard, scanning);
}

static void reset_state(struct ps2_keyboard *keyboard)
{
	keyboard->command = 0;
	ps2_queue_clear(&keyboard->answers);
	set_defaults(keyboard, true);
	set_leds(keyboard, 0);
}

static void do_argument(struct ps2_keyboard *keyboard, uint8_t command, uint8_t argument)
{
	switch (command) {
	case COMMAND_SET_LEDS:
		answer_byte(keyboard, ANSWER_ACK);
		set_leds(keyboard, argument & LEDS_MASK);
		return;
	case COMMAND_TYPEMATIC:
		answer_byte(keyboard, ANSWER_ACK);
		keyboard->typematic = argument;
		return;
	case COMMAND_SCANCODE_SET:
		if (argument > 2) {
			answer_byte(keyboard, ANSWER_RESEND);
			return;
		}
		answer_byte(keyboard, ANSWER_ACK);
		if (argument == 0) {
			answer_byte(keyboard, keyboard->set);
			return;
		}
		keyboard->set = argument;
		return;
	}
}

static void do_command(struct ps2_keyboard *keyboard, uint8_t command)
{
	static const uint8_t identity[] = { ANSWER_ACK, 0xab, 0x83 };
	static const uint8_t reset_done[] = { ANSWER_ACK, ANSWER_TEST_PASSED };
	switch (command) {
	case COMMAND_SET_LEDS:
	case COMMAND_SCANCODE_SET:
	case COMMAND_TYPEMATIC:
		keyboard->command = command;
		answer_byte(keyboard, ANSWER_ACK);
		break;
	case COMMAND_ECHO:
		answer_byte(keyboard, ANSWER_ECHO);
		break;
	case COMMAND_IDENTIFY:
		answer(keyboard, identity, sizeof(identity));
		break;
	case COMMAND_ENABLE:
		set_scanning(keyboard, true);
		answer_byte(keyboard, ANSWER_ACK);
		break;
	case COMMAND_DISABLE:
		set_defaults(keyboard, false);
		answer_byte(keyboard, ANSWER_ACK);
		break;
	case COMMAND_DEFAULTS:
		set_defaults(keyboard, keyboard->scanning);
		answer_byte(keyboard, ANSWER_ACK);
		break;
	case COMMAND_ALL_TYPEMATIC ... COMMAND_ALL_EVERYTHING:
		answer_byte(keyboard, ANSWER_ACK);
		break;
	case COMMAND_RESEND:
		answer_byte(keyboard, keyboard->last_sent);
		break;
	case COMMAND_RESET:
		reset_state(keyboard);
		answer(keyboard, reset_done, sizeof(reset_done));
		break;
	default:
		answer_byte(keyboard, ANSWER_RESEND);
		break;
	}
}

void ps2_keyboard_write(struct ps2_keyboard *keyboard, uint8_t byte)
{
	uint8_t command = keyboard->command;
	keyboard->command = 0;
	/* No argument has bit 7 set: such a byte is the next command. */
	if (command && byte < 0x80)
		do_argument(keyboard, command, byte);
	else
		do_command(keyboard, byte);
}

static bool read_key(struct ps2_keyboard *keyboard, uint8_t *byte)
{
	const struct ps2_key_event *event = &keyboard->sending;
	fill_keys(keyboard);
	if (!ps2_queue_get(&keyboard->keys, byte))
		return false;
	if (!keyboard->keys.inside && !ps2_scancode_make_only(event->code))
		keyboard->told[event->code] = event->down ? DOWN | event->modifiers : 0;
	return true;
}

bool ps2_keyboard_is_busy(const struct ps2_keyboard *keyboard)
{
	return keyboard->answers.count || keyboard->command;
}

bool ps2_keyboard_read(struct ps2_keyboard *keyboard, uint8_t *byte)
{
	bool got = ps2_queue_get(&keyboard->answers, byte);
	keyboard->sent_key = !got;
	if (!got && !keyboard->command)
		got = read_key(keyboard, byte);
	if (got && *byte != ANSWER_RESEND)
		keyboard->last_sent = *byte;
	return got;
}

static unsigned held_modifiers(const struct ps2_keyboard *keyboard)
{
	const uint8_t *down = keyboard->down;
	return (down[KEY_LEFTSHIFT] | down[KEY_RIGHTSHIFT] ? PS2_MODIFIER_SHIFT : 0u) |
	       (down[KEY_LEFTCTRL] | down[KEY_RIGHTCTRL] ? PS2_MODIFIER_CTRL : 0u) |
	       (down[KEY_LEFTALT] | down[KEY_RIGHTALT] ? PS2_MODIFIER_ALT : 0u);
}

int ps2_keyboard_key(struct ps2_keyboard *keyboard, unsigned code, bool down)
{
	if (code >= PS2_KEYBOARD_CODES || !ps2_scancode_known(code))
		return -ENOENT;
	if (!keyboard->scanning) {
		if (!down)
			keyboard->down[code] = 0;
		return -ENODEV;
	}
	if (!down && !keyboard->down[code])
		return 0;
	if (!has_room(keyboard)) {
		keyboard->full = true;
		return -EAGAIN;
	}
	if (down)
		keyboard->down[code] = (uint8_t)(DOWN | held_modifiers(keyboard));
	put_event(keyboard, code, down);
	if (!down) {
		keyboard->down[code] = 0;
		if (keyboard->repeating == code)
			stop_repeat(keyboard);
	} else if (!ps2_scancode_make_only(code)) {
		keyboard->repeating = code;
		arm_repeat(keyboard, repeat_delay_ns(keyboard));
	} else {
		keyboard->down[code] = 0;
		stop_repeat(keyboard);
	}
	return 0;
}

void ps2_keyboard_init(struct ps2_keyboard *keyboard, const struct ps2_keyboard_events *events,
	struct timer_queue *timers, pthread_mutex_t *lock)
{
	*keyboard = (struct ps2_keyboard){
		.events = *events,
		.scanning = true,
		.set = 2,
		.typematic = TYPEMATIC_DEFAULT,
	};
	timer_init(&keyboard->repeat_timer, timers, lock, repeat_expired, keyboard);
	timer_init(&keyboard->rest_timer, timers, lock, rest_expired, keyboard);
}

void ps2_keyboard_fini(struct ps2_keyboard *keyboard)
{
	timer_fini(&keyboard->repeat_timer);
	timer_fini(&keyboard->rest_timer);
}

void ps2_keyboard_power_on(struct ps2_keyboard *keyboard)
{
	memset(keyboard->down, 0, sizeof(keyboard->down));
	memset(keyboard->told, 0, sizeof(keyboard->told));
	keyboard->last_sent = 0;
	keyboard->full = keyboard->rests = false;
	keyboard->handful = 0;
	keyboard->unread_since_ns = 0;
	timer_disarm(&keyboard->rest_timer);
	reset_state(keyboard);
}
