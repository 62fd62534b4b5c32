/* Input messages as bytes; see messages.h. */
#include "display/vnc/messages.h"

#include <errno.h>
#include <string.h>

#define KEY_BYTES             8
#define POINTER_BYTES         6
#define POINTER_LONG_BYTES    7
#define POINTER_MARK          0x80u /* in the first byte of buttons: one more follows */
#define POINTER_SHORT_BUTTONS 7
#define QEMU_EXTENDED_KEY     0
#define QEMU_KEY_BYTES        12

static unsigned get16(const uint8_t *bytes)
{
	return (unsigned)bytes[0] << 8 | bytes[1];
}

static uint32_t get32(const uint8_t *bytes)
{
	return (uint32_t)get16(bytes) << 16 | get16(bytes + 2);
}

int vnc_message_bytes(const uint8_t *bytes, size_t have, bool extended_buttons)
{
	switch (bytes[0]) {
	case VNC_KEY_EVENT:
		return KEY_BYTES;
	case VNC_POINTER_EVENT:
		if (extended_buttons && have > 1 && (bytes[1] & POINTER_MARK))
			return POINTER_LONG_BYTES;
		return POINTER_BYTES;
	case VNC_QEMU_MESSAGE:
		if (have > 1 && bytes[1] != QEMU_EXTENDED_KEY)
			return -EPROTO; /* nobody knows how long it is */
		return have > 1 ? QEMU_KEY_BYTES : 2;
	default:
		return -EPROTO;
	}
}

void vnc_message_parse(const uint8_t *bytes, size_t length, struct vnc_message *message)
{
	memset(message, 0, sizeof(*message));
	message->type = bytes[0];
	switch (message->type) {
	case VNC_KEY_EVENT:
		message->down = bytes[1];
		message->keysym = get32(bytes + 4);
		break;
	case VNC_POINTER_EVENT:
		message->buttons = bytes[1];
		message->x = get16(bytes + 2);
		message->y = get16(bytes + 4);
		if (length == POINTER_LONG_BYTES)
			message->buttons = (bytes[1] & ~POINTER_MARK) |
					   (unsigned)bytes[6] << POINTER_SHORT_BUTTONS;
		break;
	case VNC_QEMU_MESSAGE:
		message->down = get16(bytes + 2);
		message->keysym = get32(bytes + 4);
		message->scancode = get32(bytes + 8);
		break;
	}
}
