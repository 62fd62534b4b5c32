/* Messages to keys; see input.h. */
#include "display/vnc/input.h"

#include <linux/input-event-codes.h>
#include <string.h>
#include <xkbcommon/xkbcommon-keysyms.h>

#include "display/vnc/xt_keys.h"

/* With one of these held a symbol tells nothing of the locks. Those that the keyboard of symbols
 * follows itself have to go through it. */
static const struct {
	uint16_t code;
	bool followed;
	uint32_t keysyms[2]; /* the first stands for the key */
} modifiers[] = {
	{ KEY_LEFTSHIFT, true, { XKB_KEY_Shift_L } },
	{ KEY_RIGHTSHIFT, true, { XKB_KEY_Shift_R } },
	/* AltGr is let go for symbols that need none, the right Alt is not. */
	{ KEY_RIGHTALT, true, { XKB_KEY_Alt_R, XKB_KEY_ISO_Level3_Shift } },
	{ KEY_LEFTALT, false, { XKB_KEY_Alt_L, XKB_KEY_Meta_L } },
	{ KEY_LEFTCTRL, true, { XKB_KEY_Control_L } },
	{ KEY_RIGHTCTRL, false, { XKB_KEY_Control_R } },
	{ KEY_LEFTMETA, false, { XKB_KEY_Super_L } },
	{ KEY_RIGHTMETA, false, { XKB_KEY_Super_R } },
};

static void emit(void *opaque, unsigned code, bool down)
{
	vnc_send(opaque, code, down);
}

void vnc_input_init(struct vnc_input *input, const struct keymap *keymap, struct vnc_place *place,
	bool sync_locks)
{
	input->pointer = (struct vnc_pointer){ .place = place };
	memset(&input->locks, 0, sizeof(input->locks));
	input->modifiers = 0;
	input->sync_locks = sync_locks;
	keysym_keyboard_init(&input->keyboard, keymap, emit, &input->sender);
}

void vnc_input_release_all(struct vnc_input *input)
{
	keysym_keyboard_release_all(&input->keyboard);
	input_source_release_all(input->sender.source);
	input->modifiers = 0;
	input->pointer.buttons = 0;
}

/* -1: it is none. code 0: only the symbol is known. */
static int find_modifier(unsigned code, uint32_t keysym)
{
	for (size_t i = 0; i < array_size(modifiers); i++) {
		if (code ? code == modifiers[i].code
			 : keysym && (keysym == modifiers[i].keysyms[0] ||
					     keysym == modifiers[i].keysyms[1]))
			return (int)i;
	}
	return -1;
}

/* A modifier by its scan code, and the symbol that the client has on that key. */
static void follow_modifier(
	struct vnc_input *input, int index, uint32_t keysym, bool down, unsigned leds)
{
	const uint32_t *keysyms = modifiers[index].keysyms;

	if (down) {
		bool second = keysyms[1] && keysym == keysyms[1];

		keysym_keyboard_event(&input->keyboard, keysyms[second], true, leds);
		return;
	}
	/* Its symbol may be another one by now. */
	for (int i = 0; i < 2 && keysyms[i]; i++)
		keysym_keyboard_event(&input->keyboard, keysyms[i], false, leds);
}

static void follow_locks(struct vnc_input *input, uint32_t keysym, unsigned code, unsigned leds)
{
	unsigned shown, changed;

	changed = vnc_locks_press(&input->locks, keysym, code, !input->modifiers, leds, &shown);
	if (changed && input->sync_locks)
		input_source_sync_locks(input->sender.source, changed, shown);
}

static void play_key(struct vnc_input *input, const struct vnc_message *message, unsigned leds)
{
	unsigned code = vnc_evdev_of_xt(message->scancode);
	int modifier = find_modifier(code, message->keysym);

	if (modifier >= 0) {
		input->modifiers &= ~(1u << modifier);
		input->modifiers |= (unsigned)message->down << modifier;
	} else if (message->down) {
		follow_locks(input, message->keysym, code, leds);
	}
	if (!code)
		keysym_keyboard_event(&input->keyboard, message->keysym, message->down, leds);
	else if (modifier >= 0 && modifiers[modifier].followed)
		follow_modifier(input, modifier, message->keysym, message->down, leds);
	else
		vnc_send(&input->sender, code, message->down);
}

void vnc_input_message(struct vnc_input *input, const struct vnc_message *message,
	const struct vnc_pointer_view *view, unsigned leds)
{
	if (message->type == VNC_POINTER_EVENT)
		vnc_pointer_event(&input->pointer, &input->sender, view, message->buttons,
			(int)message->x, (int)message->y);
	else
		play_key(input, message, leds);
}
