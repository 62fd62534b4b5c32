/* The i8042 with keyboard and mouse, set up as an operating system would: self tests, translation
 * to scan code set 1, the mouse asked for its wheel (IntelliMouse, then Explorer). */
#include "card.h"

#define PORT_DATA   0x60
#define PORT_STATUS 0x64

#define STATUS_OUTPUT_FULL 0x01
#define STATUS_INPUT_FULL  0x02
#define STATUS_FROM_MOUSE  0x20

#define CONTROLLER_WRITE_CONFIG   0x60
#define CONTROLLER_DISABLE_MOUSE  0xa7
#define CONTROLLER_ENABLE_MOUSE   0xa8
#define CONTROLLER_TEST_MOUSE     0xa9
#define CONTROLLER_SELF_TEST      0xaa
#define CONTROLLER_TEST_KEYBOARD  0xab
#define CONTROLLER_DISABLE_KBD    0xad
#define CONTROLLER_ENABLE_KBD     0xae
#define CONTROLLER_WRITE_TO_MOUSE 0xd4
#define CONTROLLER_SELF_TEST_OK   0x55
/* Interrupts of both, the system flag, translation. */
#define CONFIG 0x47

#define KEYBOARD_LEDS     0xed
#define DEVICE_IDENTIFY   0xf2
#define MOUSE_RATE        0xf3
#define DEVICE_ENABLE     0xf4
#define DEVICE_DEFAULTS   0xf6
#define MOUSE_RESOLUTION  0xe8
#define DEVICE_ACK        0xfa
#define DEVICE_RESEND     0xfe
#define KEYBOARD_RESET_OK 0xaa

#define MOUSE_ID_WHEEL    3
#define MOUSE_ID_EXPLORER 4
#define EXPLORER_SIDEWAYS 0x40 /* in the fourth byte: the Explorer 4.0's other wheel */

#define SCAN_E0          0xe0
#define SCAN_E1          0xe1
#define SCAN_BREAK       0x80
#define SCAN_LEFT_SHIFT  0x2a
#define SCAN_RIGHT_SHIFT 0x36
#define SCAN_HANGUL      0xf2
#define SCAN_HANJA       0xf1
#define PAUSE_BYTES      2 /* after E1, for down and for up each */
#define PAUSE_BREAK      0x9d
#define SEQUENCE_BYTES   3 /* at most */

/* How often to look for an answer; 17 us each where a port access is slow. */
#define POLLS 4000

static unsigned found;
static uint32_t delay; /* before a byte is read */
static bool report_scans;

/* Bytes that came from one device while the other was being asked. */
static struct {
	uint8_t byte[64];
	bool mouse[64];
	unsigned head, count;
} kept;

static struct {
	unsigned prefix; /* E0 or E1 seen */
	unsigned pause_bytes;
	bool pause_break;
	bool down[256];
	uint8_t sequence[SEQUENCE_BYTES]; /* so far, for report_scans */
	unsigned sequence_bytes;
} keyboard;

static struct {
	uint8_t packet[4];
	unsigned count, length;
	unsigned side_buttons;
	/* Beside the vmmouse: whether it may hold something, its buttons, and the others as they
	 * have been told. */
	bool announced;
	unsigned fetched_buttons, told_buttons;
} mouse;

static void keep(uint8_t byte, bool from_mouse)
{
	unsigned slot = (kept.head + kept.count) % sizeof(kept.byte);

	if (kept.count == sizeof(kept.byte))
		return;
	kept.byte[slot] = byte;
	kept.mouse[slot] = from_mouse;
	kept.count++;
}

static bool write_port(uint16_t port, uint8_t value)
{
	for (unsigned i = 0; i < POLLS; i++) {
		if (!(in8(PORT_STATUS) & STATUS_INPUT_FULL)) {
			out8(port, value);
			return true;
		}
	}
	return false;
}

/* The next byte from that device, or -1; the other's bytes are kept. */
static int answer(bool from_mouse)
{
	for (unsigned i = 0; i < POLLS; i++) {
		uint8_t status = in8(PORT_STATUS), byte;

		if (!(status & STATUS_OUTPUT_FULL))
			continue;
		byte = in8(PORT_DATA);
		if (!(status & STATUS_FROM_MOUSE) == !from_mouse)
			return byte;
		keep(byte, !from_mouse);
	}
	return -1;
}

static int controller_ask(uint8_t command)
{
	if (!write_port(PORT_STATUS, command))
		return -1;
	return answer(false);
}

/* Sends a byte and waits for its acknowledgement; what else comes from the device meanwhile is
 * kept. */
static bool device_send(bool to_mouse, uint8_t byte)
{
	for (int tries = 0; tries < 3; tries++) {
		int reply;

		if (to_mouse && !write_port(PORT_STATUS, CONTROLLER_WRITE_TO_MOUSE))
			return false;
		if (!write_port(PORT_DATA, byte))
			return false;
		while ((reply = answer(to_mouse)) >= 0) {
			if (reply == DEVICE_ACK)
				return true;
			if (reply == DEVICE_RESEND)
				break;
			keep((uint8_t)reply, to_mouse);
		}
		if (reply < 0)
			return false;
	}
	return false;
}

static int mouse_identify(uint8_t rate1, uint8_t rate2, uint8_t rate3)
{
	if (!device_send(true, MOUSE_RATE) || !device_send(true, rate1) ||
		!device_send(true, MOUSE_RATE) || !device_send(true, rate2) ||
		!device_send(true, MOUSE_RATE) || !device_send(true, rate3) ||
		!device_send(true, DEVICE_IDENTIFY))
		return -1;
	return answer(true);
}

static void mouse_init(void)
{
	int id;

	mouse.length = 3;
	if (!device_send(true, DEVICE_DEFAULTS))
		return;
	found |= PS2_HAS_MOUSE;
	id = mouse_identify(200, 100, 80);
	if (id == MOUSE_ID_WHEEL) {
		mouse.length = 4;
		found |= PS2_HAS_WHEEL;
		id = mouse_identify(200, 200, 80);
		if (id == MOUSE_ID_EXPLORER)
			found |= PS2_HAS_BUTTONS5;
	}
	if (device_send(true, MOUSE_RESOLUTION))
		(void)device_send(true, 3);
	if (device_send(true, MOUSE_RATE))
		(void)device_send(true, 100);
	(void)device_send(true, DEVICE_ENABLE);
	interrupts_unmask(IRQ_MOUSE);
}

void ps2_init(void)
{
	if (in8(PORT_STATUS) == 0xff)
		return;
	write_port(PORT_STATUS, CONTROLLER_DISABLE_KBD);
	write_port(PORT_STATUS, CONTROLLER_DISABLE_MOUSE);
	for (unsigned i = 0; i < 64 && (in8(PORT_STATUS) & STATUS_OUTPUT_FULL); i++)
		(void)in8(PORT_DATA);
	if (controller_ask(CONTROLLER_SELF_TEST) != CONTROLLER_SELF_TEST_OK) {
		report("error ps2: the controller's self test failed");
		return;
	}
	write_port(PORT_STATUS, CONTROLLER_WRITE_CONFIG);
	write_port(PORT_DATA, CONFIG);
	if (controller_ask(CONTROLLER_TEST_KEYBOARD) == 0) {
		write_port(PORT_STATUS, CONTROLLER_ENABLE_KBD);
		if (device_send(false, DEVICE_DEFAULTS)) {
			found |= PS2_HAS_KEYBOARD;
			ps2_set_leds(0);
			(void)device_send(false, DEVICE_ENABLE);
			interrupts_unmask(IRQ_KEYBOARD);
		}
	}
	if (controller_ask(CONTROLLER_TEST_MOUSE) == 0) {
		write_port(PORT_STATUS, CONTROLLER_ENABLE_MOUSE);
		mouse_init();
	}
}

unsigned ps2_found(void)
{
	return found;
}

void ps2_set_leds(unsigned leds)
{
	if ((found & PS2_HAS_KEYBOARD) && device_send(false, KEYBOARD_LEDS))
		(void)device_send(false, (uint8_t)leds);
}

static bool key_event(struct ps2_event *event, unsigned scan, bool down)
{
	unsigned code = key_code(scan);

	*event = (struct ps2_event){ .kind = PS2_KEY, .code = code, .scan = scan, .down = down };
	if (!code || code >= sizeof(keyboard.down))
		return true;
	event->repeat = down && keyboard.down[code];
	keyboard.down[code] = down;
	return true;
}

void ps2_set_delay(uint32_t microseconds)
{
	delay = microseconds;
}

void ps2_report_scans(bool on)
{
	report_scans = on;
}

static void report_sequence(void)
{
	char text[3 * SEQUENCE_BYTES + 1];
	size_t length = 0;

	for (unsigned i = 0; i < keyboard.sequence_bytes; i++)
		length += text_format(
			text + length, sizeof(text) - length, " %02x", keyboard.sequence[i]);
	report("scan%s", text);
}

/* Notes the byte; at a sequence's end, says it. */
static void note_scan(uint8_t byte)
{
	bool inside = byte == SCAN_E0 || byte == SCAN_E1;

	if (keyboard.sequence_bytes < SEQUENCE_BYTES)
		keyboard.sequence[keyboard.sequence_bytes++] = byte;
	/* E1 has two bytes to come. */
	if (keyboard.sequence[0] == SCAN_E1 && keyboard.sequence_bytes <= PAUSE_BYTES)
		inside = true;
	if (inside)
		return;
	report_sequence();
	keyboard.sequence_bytes = 0;
}

static bool keyboard_byte(struct ps2_event *event, uint8_t byte)
{
	unsigned prefix = keyboard.prefix, scan;

	if (report_scans)
		note_scan(byte);
	if (byte == SCAN_E0 || byte == SCAN_E1) {
		keyboard.prefix = byte;
		keyboard.pause_bytes = 0;
		return false;
	}
	if (prefix == SCAN_E1) {
		/* Pause: E1 1D 45, and at once E1 9D C5. */
		if (keyboard.pause_bytes++ == 0)
			keyboard.pause_break = byte == PAUSE_BREAK;
		if (keyboard.pause_bytes < PAUSE_BYTES)
			return false;
		keyboard.prefix = 0;
		*event = (struct ps2_event){ .kind = PS2_KEY,
			.code = KEY_PAUSE,
			.scan = 0xe11d,
			.down = !keyboard.pause_break };
		return true;
	}
	keyboard.prefix = 0;
	scan = byte & ~SCAN_BREAK & 0xff;
	if (prefix) {
		/* Shifts that the keyboard makes up around the keys of the grey block. */
		if (scan == SCAN_LEFT_SHIFT || scan == SCAN_RIGHT_SHIFT)
			return false;
		return key_event(event, 0xe000 | scan, !(byte & SCAN_BREAK));
	}
	/* Two keys that say only that they are pressed, with codes that look like releases. */
	if (byte == SCAN_HANGUL || byte == SCAN_HANJA) {
		*event = (struct ps2_event){ .kind = PS2_KEY,
			.scan = byte,
			.down = true,
			.code = byte == SCAN_HANGUL ? KEY_HANGUL : KEY_HANJA };
		return true;
	}
	/* What a keyboard says to commands and after its reset are releases of keys, too. */
	if ((byte == DEVICE_ACK || byte == DEVICE_RESEND || byte == KEYBOARD_RESET_OK) &&
		!keyboard.down[key_code(scan)])
		return false;
	return key_event(event, scan, !(byte & SCAN_BREAK));
}

static bool mouse_byte(struct ps2_event *event, uint8_t byte)
{
	const uint8_t *packet = mouse.packet;
	unsigned head;

	/* Bit 3 of the first byte is always set: where it is not, the stream has slipped. */
	if (mouse.count == 0 && !(byte & 0x08)) {
		report("error mouse: byte %02x out of step", byte);
		return false;
	}
	mouse.packet[mouse.count++] = byte;
	if (mouse.count < mouse.length)
		return false;
	mouse.count = 0;
	head = packet[0];
	*event = (struct ps2_event){ .kind = PS2_MOUSE };
	event->mouse.dx = packet[1] - (head & 0x10 ? 256 : 0);
	event->mouse.dy = -(packet[2] - (head & 0x20 ? 256 : 0));
	event->mouse.buttons = head & 7;
	if (mouse.length == 4) {
		int wheel = packet[3] & 0x0f, sideways = packet[3] & 0x3f;

		if (!(found & PS2_HAS_BUTTONS5)) {
			event->mouse.wheel = -(int8_t)packet[3];
		} else if ((packet[3] & 0xc0) == EXPLORER_SIDEWAYS) {
			/* Left positive; without the two buttons, which stay as they are. */
			event->mouse.hwheel = sideways & 0x20 ? 64 - sideways : -sideways;
			event->mouse.buttons |= mouse.side_buttons;
		} else {
			event->mouse.wheel = wheel & 8 ? 16 - wheel : -wheel;
			mouse.side_buttons = (packet[3] & 0x30u) >> 1;
			event->mouse.buttons |= mouse.side_buttons;
		}
	}
	return true;
}

/* A place from the vmmouse, which a packet of the PS/2 mouse has announced. */
static bool absolute_event(struct ps2_event *event)
{
	*event = (struct ps2_event){ .kind = PS2_NONE };
	if (!mouse.announced)
		return false;
	if (!vmmouse_next(&event->mouse)) {
		mouse.announced = false;
		return false;
	}
	event->kind = PS2_MOUSE;
	mouse.fetched_buttons = event->mouse.buttons;
	event->mouse.buttons |= mouse.told_buttons;
	return true;
}

/* A packet beside the vmmouse: mostly it only announces; but the side buttons and the sideways
 * wheel have no place but here. */
static bool says_more(struct mouse_event *event)
{
	bool changed = mouse.side_buttons != mouse.told_buttons;

	mouse.announced = true;
	mouse.told_buttons = mouse.side_buttons;
	event->buttons |= mouse.fetched_buttons;
	return changed || event->dx || event->dy || event->wheel || event->hwheel;
}

struct ps2_event ps2_next(void)
{
	struct ps2_event event = { .kind = PS2_NONE };

	while (found) {
		uint8_t byte, status;
		bool from_mouse;

		if (absolute_event(&event))
			break;
		if (kept.count > 0) {
			byte = kept.byte[kept.head];
			from_mouse = kept.mouse[kept.head];
			kept.head = (kept.head + 1) % sizeof(kept.byte);
			kept.count--;
		} else {
			status = in8(PORT_STATUS);
			if (!(status & STATUS_OUTPUT_FULL))
				break;
			if (delay)
				pit_pause(delay);
			byte = in8(PORT_DATA);
			from_mouse = status & STATUS_FROM_MOUSE;
		}
		if (!(from_mouse ? mouse_byte(&event, byte) : keyboard_byte(&event, byte)))
			continue;
		if (!from_mouse || !vmmouse_enabled() || says_more(&event.mouse))
			break;
	}
	return event;
}
