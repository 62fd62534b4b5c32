/* A PS/2 mouse: standard, IntelliMouse or IntelliMouse Explorer.
 *
 * Specifications: IBM PS/2 Hardware Interface Technical Reference, "Mouse" (commands E6h to FFh,
 * the three-byte packet); Microsoft's IntelliMouse and IntelliMouse Explorer extensions, switched
 *on by the sample rates 200, 100, 80 and 200, 200, 80; the Explorer 4.0's sideways wheel as Linux's
 * psmouse reads it.
 *
 *	byte 0   bit 0 left, 1 right, 2 middle, 3 always one, 4 and 5 signs of x and y
 *	byte 1, 2   x to the right, y up: low eight of nine bits; we never send more than 255
 *	byte 3   IntelliMouse: wheel, down positive. Explorer: four bits of wheel, bit 4 and 5 the
 *	         fourth and fifth button; or 40h and six bits of sideways wheel, left positive
 *
 * Motion waits here and not in the queue: at most a few packets stand there, so a slow guest gets
 * one long stroke and not an old story. Only a change of buttons ends a stroke, and a long way back
 * (turns_back). Threads: see ps2_mouse.h. */
#include "devices/ps2_mouse.h"

#include <errno.h>
#include <linux/input-event-codes.h>
#include <string.h>

enum {
	COMMAND_SCALING_1_1 = 0xe6,
	COMMAND_SCALING_2_1 = 0xe7,
	COMMAND_RESOLUTION = 0xe8,
	COMMAND_STATUS = 0xe9,
	COMMAND_STREAM = 0xea,
	COMMAND_READ = 0xeb,
	COMMAND_END_WRAP = 0xec,
	COMMAND_WRAP = 0xee,
	COMMAND_REMOTE = 0xf0,
	COMMAND_IDENTIFY = 0xf2,
	COMMAND_RATE = 0xf3,
	COMMAND_ENABLE = 0xf4,
	COMMAND_DISABLE = 0xf5,
	COMMAND_DEFAULTS = 0xf6,
	COMMAND_RESEND = 0xfe,
	COMMAND_RESET = 0xff,

	ANSWER_ACK = 0xfa,
	ANSWER_RESEND = 0xfe,
	ANSWER_TEST_PASSED = 0xaa,

	ID_STANDARD = 0,
	ID_INTELLIMOUSE = 3,
	ID_EXPLORER = 4,

	BUTTON_LEFT = 0x01,
	BUTTON_RIGHT = 0x02,
	BUTTON_MIDDLE = 0x04,
	BUTTON_FOURTH = 0x08,
	BUTTON_FIFTH = 0x10,

	PACKET_MAX = 4,
	PACKETS_QUEUED = 3,
	MOTION_MAX = 32767,
	WHEEL_STEP = 120,
};

static int clamp(int value, int limit)
{
	return value > limit ? limit : value < -limit ? -limit : value;
}

/* Takes up to limit from *from. */
static int take(int *from, int limit)
{
	int part = clamp(*from, limit);
	*from -= part;
	return part;
}

static void answer(struct ps2_mouse *mouse, const uint8_t *bytes, unsigned length)
{
	/* A host that sends commands and reads no answer gets the newest ones. */
	if (!ps2_queue_put(&mouse->answers, bytes, length)) {
		ps2_queue_clear(&mouse->answers);
		(void)ps2_queue_put(&mouse->answers, bytes, length);
	}
}

static void answer_byte(struct ps2_mouse *mouse, uint8_t byte)
{
	answer(mouse, &byte, 1);
}

/* Packets. */

static uint8_t current_buttons(const struct ps2_mouse *mouse)
{
	return mouse->stroke_count ? mouse->strokes[mouse->stroke_count - 1].buttons
				   : mouse->sent_buttons;
}

static bool has_report(const struct ps2_mouse *mouse)
{
	return mouse->stroke_count || (mouse->id != ID_STANDARD && mouse->wheel) ||
	       (mouse->id == ID_EXPLORER && mouse->hwheel);
}

static void remove_stroke(struct ps2_mouse *mouse, unsigned index)
{
	mouse->stroke_count--;
	memmove(mouse->strokes + index, mouse->strokes + index + 1,
		(mouse->stroke_count - index) * sizeof(mouse->strokes[0]));
}

/* Takes a packet's worth of what waits; returns its length. */
static unsigned make_packet(struct ps2_mouse *mouse, uint8_t packet[PACKET_MAX])
{
	/* A packet with sideways steps has no place for the fourth and fifth button. */
	bool sideways = mouse->hwheel && !mouse->wheel && !mouse->stroke_count;
	int dx = 0, dy = 0;
	if (mouse->remote)
		mouse->sent_buttons = current_buttons(mouse);
	if (mouse->stroke_count) {
		struct ps2_mouse_stroke *stroke = &mouse->strokes[0];
		dx = take(&stroke->dx, 255);
		dy = take(&stroke->dy, 255);
		/* Buttons change where the motion ends, not on the way. */
		if (!stroke->dx && !stroke->dy) {
			mouse->sent_buttons = stroke->buttons;
			remove_stroke(mouse, 0);
		}
	}
	packet[0] = (uint8_t)((mouse->sent_buttons & 0x07) | 0x08 | (dx < 0 ? 0x10 : 0) |
			      (dy < 0 ? 0x20 : 0));
	packet[1] = (uint8_t)dx;
	packet[2] = (uint8_t)dy;
	switch (mouse->id) {
	case ID_INTELLIMOUSE:
		packet[3] = (uint8_t)take(&mouse->wheel, 127);
		return 4;
	case ID_EXPLORER:
		if (sideways)
			packet[3] = (uint8_t)(0x40 | (take(&mouse->hwheel, 31) & 0x3f));
		else
			packet[3] = (uint8_t)((take(&mouse->wheel, 7) & 0x0f) |
					      (mouse->sent_buttons & BUTTON_FOURTH ? 0x10 : 0) |
					      (mouse->sent_buttons & BUTTON_FIFTH ? 0x20 : 0));
		return 4;
	default:
		return 3;
	}
}

static void put_packet(struct ps2_mouse *mouse)
{
	uint8_t packet[PACKET_MAX];
	(void)ps2_queue_put(&mouse->packets, packet, make_packet(mouse, packet));
	if (mouse->announced < mouse->records)
		mouse->announced++;
}

static bool streams(const struct ps2_mouse *mouse)
{
	return mouse->reporting && !mouse->remote && !mouse->wrap;
}

static void fill_queue(struct ps2_mouse *mouse)
{
	if (!streams(mouse))
		return;
	while (has_report(mouse) && mouse->packets.count <= (PACKETS_QUEUED - 1) * PACKET_MAX)
		put_packet(mouse);
	/* One at a time: a driver may fetch all records at the first. */
	if (mouse->announced < mouse->records && !mouse->packets.count)
		put_packet(mouse);
}

static void clear_packets(struct ps2_mouse *mouse)
{
	ps2_queue_clear(&mouse->packets);
	mouse->announced = 0;
}

static void forget_motion(struct ps2_mouse *mouse)
{
	for (unsigned i = mouse->stroke_count; i-- > 0;) {
		mouse->strokes[i].dx = mouse->strokes[i].dy = 0;
		if (!mouse->strokes[i].ends)
			remove_stroke(mouse, i);
	}
	mouse->wheel = mouse->hwheel = 0;
	mouse->wheel_rest = mouse->hwheel_rest = 0;
}

/* The host has no use for what happened while the mouse was off, but for the buttons' state now. */
static void forget_reports(struct ps2_mouse *mouse)
{
	mouse->sent_buttons = current_buttons(mouse);
	mouse->stroke_count = 0;
	forget_motion(mouse);
	clear_packets(mouse);
}

/* Commands. */

static void set_reporting(struct ps2_mouse *mouse, bool reporting)
{
	bool changed = mouse->reporting != reporting;
	forget_reports(mouse);
	mouse->reporting = reporting;
	if (changed)
		mouse->enabled_changed(mouse->opaque);
}

static void set_defaults(struct ps2_mouse *mouse)
{
	mouse->rate = 100;
	mouse->resolution = 2;
	mouse->scaling = false;
	mouse->remote = false;
	mouse->rate_history = 0;
	set_reporting(mouse, false);
}

static void reset_state(struct ps2_mouse *mouse)
{
	mouse->command = 0;
	mouse->wrap = false;
	mouse->id = ID_STANDARD;
	ps2_queue_clear(&mouse->answers);
	set_defaults(mouse);
}

/* Follows the knocks: states 1 after 200, 2 after 200 100, 3 after 200 200. */
static void note_rate(struct ps2_mouse *mouse, uint8_t rate)
{
	uint8_t history = mouse->rate_history;
	mouse->rate_history = 0;
	if (rate == 200)
		mouse->rate_history = history == 1 || history == 3 ? 3 : 1;
	else if (rate == 100 && (history == 1 || history == 3))
		mouse->rate_history = 2;
	else if (rate == 80 && history == 2)
		mouse->id = ID_INTELLIMOUSE;
	else if (rate == 80 && history == 3)
		mouse->id = ID_EXPLORER;
}

static bool valid_rate(uint8_t rate)
{
	static const uint8_t rates[] = { 10, 20, 40, 60, 80, 100, 200 };
	return memchr(rates, rate, sizeof(rates)) != NULL;
}

static void do_argument(struct ps2_mouse *mouse, uint8_t command, uint8_t argument)
{
	if (command == COMMAND_RATE && valid_rate(argument)) {
		mouse->rate = argument;
		note_rate(mouse, argument);
		answer_byte(mouse, ANSWER_ACK);
	} else if (command == COMMAND_RESOLUTION && argument <= 3) {
		mouse->resolution = argument;
		answer_byte(mouse, ANSWER_ACK);
	} else {
		answer_byte(mouse, ANSWER_RESEND);
	}
}

static void answer_status(struct ps2_mouse *mouse)
{
	uint8_t buttons = current_buttons(mouse);
	const uint8_t status[] = {
		ANSWER_ACK,
		(uint8_t)((mouse->remote ? 0x40 : 0) | (mouse->reporting ? 0x20 : 0) |
			  (mouse->scaling ? 0x10 : 0) | (buttons & BUTTON_LEFT ? 0x04 : 0) |
			  (buttons & BUTTON_MIDDLE ? 0x02 : 0) |
			  (buttons & BUTTON_RIGHT ? 0x01 : 0)),
		mouse->resolution,
		mouse->rate,
	};
	answer(mouse, status, sizeof(status));
}

static void answer_packet(struct ps2_mouse *mouse)
{
	uint8_t bytes[1 + PACKET_MAX] = { ANSWER_ACK };
	unsigned length = make_packet(mouse, bytes + 1);
	answer(mouse, bytes, 1 + length);
}

static void do_command(struct ps2_mouse *mouse, uint8_t command)
{
	static const uint8_t reset_done[] = { ANSWER_ACK, ANSWER_TEST_PASSED, ID_STANDARD };
	const uint8_t identity[] = { ANSWER_ACK, mouse->id };
	switch (command) {
	case COMMAND_SCALING_1_1:
	case COMMAND_SCALING_2_1:
		mouse->scaling = command == COMMAND_SCALING_2_1;
		answer_byte(mouse, ANSWER_ACK);
		break;
	case COMMAND_RESOLUTION:
	case COMMAND_RATE:
		mouse->command = command;
		answer_byte(mouse, ANSWER_ACK);
		break;
	case COMMAND_STATUS:
		answer_status(mouse);
		break;
	case COMMAND_STREAM:
	case COMMAND_REMOTE:
		clear_packets(mouse);
		forget_motion(mouse);
		mouse->remote = command == COMMAND_REMOTE;
		answer_byte(mouse, ANSWER_ACK);
		break;
	case COMMAND_READ:
		answer_packet(mouse);
		break;
	case COMMAND_END_WRAP:
	case COMMAND_WRAP:
		clear_packets(mouse);
		mouse->wrap = command == COMMAND_WRAP;
		answer_byte(mouse, ANSWER_ACK);
		break;
	case COMMAND_IDENTIFY:
		answer(mouse, identity, sizeof(identity));
		break;
	case COMMAND_ENABLE:
	case COMMAND_DISABLE:
		set_reporting(mouse, command == COMMAND_ENABLE);
		answer_byte(mouse, ANSWER_ACK);
		break;
	case COMMAND_DEFAULTS:
		set_defaults(mouse);
		answer_byte(mouse, ANSWER_ACK);
		break;
	case COMMAND_RESEND:
		if (mouse->last_length)
			answer(mouse, mouse->last_sent, mouse->last_length);
		else
			answer_byte(mouse, ANSWER_RESEND);
		break;
	case COMMAND_RESET:
		reset_state(mouse);
		answer(mouse, reset_done, sizeof(reset_done));
		break;
	default:
		/* Drivers try other makers' extensions; a prompt no lets them go on. */
		answer_byte(mouse, ANSWER_RESEND);
		break;
	}
}

void ps2_mouse_write(struct ps2_mouse *mouse, uint8_t byte)
{
	uint8_t command = mouse->command;
	mouse->command = 0;
	if (mouse->wrap && byte != COMMAND_END_WRAP && byte != COMMAND_RESET)
		answer_byte(mouse, byte);
	else if (command && byte < COMMAND_SCALING_1_1)
		do_argument(mouse, command, byte);
	else
		do_command(mouse, byte);
}

static void note_sent(struct ps2_mouse *mouse, uint8_t byte, bool ends)
{
	if (mouse->last_complete || mouse->last_length == sizeof(mouse->last_sent))
		mouse->last_length = 0;
	mouse->last_sent[mouse->last_length++] = byte;
	mouse->last_complete = ends;
}

bool ps2_mouse_read(struct ps2_mouse *mouse, uint8_t *byte)
{
	struct ps2_queue *queue = &mouse->packets;
	if (!queue->inside && mouse->answers.count)
		queue = &mouse->answers;
	if (!ps2_queue_get(queue, byte))
		return false;
	note_sent(mouse, *byte, !queue->inside);
	fill_queue(mouse);
	return true;
}

/* Input. */

void ps2_mouse_relative(struct ps2_mouse *mouse, int dx, int dy)
{
	mouse->new_dx = clamp(mouse->new_dx + clamp(dx, MOTION_MAX), MOTION_MAX);
	mouse->new_dy = clamp(mouse->new_dy - clamp(dy, MOTION_MAX), MOTION_MAX);
}

void ps2_mouse_button(struct ps2_mouse *mouse, unsigned code, bool down)
{
	unsigned bit;
	switch (code) {
	case BTN_LEFT:
		bit = BUTTON_LEFT;
		break;
	case BTN_RIGHT:
		bit = BUTTON_RIGHT;
		break;
	case BTN_MIDDLE:
		bit = BUTTON_MIDDLE;
		break;
	case BTN_SIDE:
		bit = BUTTON_FOURTH;
		break;
	case BTN_EXTRA:
		bit = BUTTON_FIFTH;
		break;
	default:
		return;
	}
	mouse->new_buttons = down ? mouse->new_buttons | bit : mouse->new_buttons & ~bit;
}

void ps2_mouse_wheel(struct ps2_mouse *mouse, int vertical, int horizontal)
{
	const int limit = MOTION_MAX * WHEEL_STEP;
	mouse->new_wheel = clamp(mouse->new_wheel - clamp(vertical, limit), limit);
	mouse->new_hwheel = clamp(mouse->new_hwheel - clamp(horizontal, limit), limit);
}

/* Whole steps of what has gathered; turning back starts from nothing. */
static int wheel_steps(int *rest, int turned)
{
	if ((*rest > 0 && turned < 0) || (*rest < 0 && turned > 0))
		*rest = 0;
	int total = *rest + turned;
	*rest = total % WHEEL_STEP;
	return total / WHEEL_STEP;
}

/* What 2:1 scaling makes of a movement's counts. */
static int scaled(const struct ps2_mouse *mouse, int counts)
{
	static const int small[] = { 0, 1, 1, 3, 6, 9 };
	if (!mouse->scaling || mouse->remote)
		return counts;
	int magnitude = counts < 0 ? -counts : counts;
	magnitude = magnitude < (int)array_size(small) ? small[magnitude] : 2 * magnitude;
	return counts < 0 ? -magnitude : magnitude;
}

bool ps2_mouse_has_room(const struct ps2_mouse *mouse)
{
	return mouse->stroke_count < PS2_MOUSE_BUTTON_STATES;
}

/* Whether motion back and forth is more than a packet holds. A guest's pointer that stops at an
 * edge of its screen on the way forth ends elsewhere than after the sum of both; senders rely on it
 * to find out where the pointer is. */
static bool turns_back(int before, bool was_long, int now)
{
	return ((before > 0 && now < 0) || (before < 0 && now > 0)) &&
	       (was_long || now > 255 || now < -255);
}

/* The stroke that takes more motion. There is always one. */
static struct ps2_mouse_stroke *open_stroke(struct ps2_mouse *mouse, int dx, int dy)
{
	struct ps2_mouse_stroke *stroke = &mouse->strokes[mouse->stroke_count];
	if (mouse->stroke_count) {
		struct ps2_mouse_stroke *last = stroke - 1;
		/* Remote mode shows the sum and the state at the time of asking. */
		if (mouse->remote || mouse->stroke_count == array_size(mouse->strokes) ||
			(!last->ends && !turns_back(last->dx, last->long_x, dx) &&
				!turns_back(last->dy, last->long_y, dy)))
			return last;
	}
	*stroke = (struct ps2_mouse_stroke){ .buttons = current_buttons(mouse) };
	mouse->stroke_count++;
	return stroke;
}

static void add_stroke(struct ps2_mouse *mouse, int dx, int dy, bool buttons_changed)
{
	if (!dx && !dy && !buttons_changed)
		return;
	struct ps2_mouse_stroke *stroke = open_stroke(mouse, dx, dy);
	stroke->dx = clamp(stroke->dx + dx, MOTION_MAX);
	stroke->dy = clamp(stroke->dy + dy, MOTION_MAX);
	/* Also when some of it has gone out already: what is left is still beyond the edge. */
	stroke->long_x |= stroke->dx > 255 || stroke->dx < -255;
	stroke->long_y |= stroke->dy > 255 || stroke->dy < -255;
	if (buttons_changed) {
		stroke->buttons = (uint8_t)mouse->new_buttons;
		stroke->ends = true;
	} else if (!stroke->ends && !stroke->dx && !stroke->dy) {
		mouse->stroke_count--; /* there and back again */
	}
}

int ps2_mouse_sync(struct ps2_mouse *mouse)
{
	bool buttons_changed = mouse->new_buttons != current_buttons(mouse);
	if (buttons_changed && mouse->reporting && !ps2_mouse_has_room(mouse))
		return -EAGAIN;
	add_stroke(
		mouse, scaled(mouse, mouse->new_dx), scaled(mouse, mouse->new_dy), buttons_changed);
	mouse->wheel =
		clamp(mouse->wheel + wheel_steps(&mouse->wheel_rest, mouse->new_wheel), MOTION_MAX);
	mouse->hwheel = clamp(
		mouse->hwheel + wheel_steps(&mouse->hwheel_rest, mouse->new_hwheel), MOTION_MAX);
	mouse->new_dx = mouse->new_dy = mouse->new_wheel = mouse->new_hwheel = 0;
	if (!mouse->reporting && !mouse->remote) {
		mouse->sent_buttons = (uint8_t)mouse->new_buttons;
		mouse->stroke_count = 0;
		forget_motion(mouse);
		return 0;
	}
	if (mouse->id == ID_STANDARD)
		mouse->wheel = mouse->hwheel = 0;
	else if (mouse->id == ID_INTELLIMOUSE)
		mouse->hwheel = 0;
	fill_queue(mouse);
	return 0;
}

bool ps2_mouse_announce(struct ps2_mouse *mouse, unsigned records)
{
	if (records < mouse->records) {
		unsigned fetched = mouse->records - records;
		mouse->announced -= fetched < mouse->announced ? fetched : mouse->announced;
	}
	mouse->records = records;
	fill_queue(mouse);
	return streams(mouse);
}

bool ps2_mouse_is_drained(const struct ps2_mouse *mouse)
{
	return !mouse->packets.count && !has_report(mouse);
}

void ps2_mouse_init(struct ps2_mouse *mouse, void (*enabled_changed)(void *opaque), void *opaque)
{
	*mouse = (struct ps2_mouse){
		.rate = 100,
		.resolution = 2,
		.last_complete = true,
		.enabled_changed = enabled_changed,
		.opaque = opaque,
	};
}

void ps2_mouse_power_on(struct ps2_mouse *mouse)
{
	mouse->last_length = 0;
	mouse->last_complete = true;
	mouse->new_dx = mouse->new_dy = mouse->new_wheel = mouse->new_hwheel = 0;
	mouse->new_buttons = 0;
	reset_state(mouse);
	mouse->sent_buttons = 0;
}
