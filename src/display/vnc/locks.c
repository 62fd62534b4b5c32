/* Lock lights from key presses; see locks.h. */
#include "display/vnc/locks.h"

#include <linux/input-event-codes.h>
#include <xkbcommon/xkbcommon-keysyms.h>

#include "core/input_sink.h"

static unsigned lock_of_key(uint32_t keysym)
{
	switch (keysym) {
	case XKB_KEY_Caps_Lock:
		return INPUT_LED_CAPS;
	case XKB_KEY_Num_Lock:
		return INPUT_LED_NUM;
	case XKB_KEY_Scroll_Lock:
		return INPUT_LED_SCROLL;
	default:
		return 0;
	}
}

/* The keys that are digits or arrows as Num Lock has it. Some keypads have a second point, which is
 * one always. */
static bool is_numeric_key(unsigned code)
{
	return code == KEY_KPDOT ||
	       (code >= KEY_KP7 && code <= KEY_KP0 && code != KEY_KPMINUS && code != KEY_KPPLUS);
}

/* Which lock a symbol on that key shows, and in *on whether it is on. */
static unsigned lock_of_symbol(uint32_t keysym, unsigned code, bool *on)
{
	if (is_numeric_key(code)) {
		*on = (keysym >= XKB_KEY_KP_0 && keysym <= XKB_KEY_KP_9) ||
		      keysym == XKB_KEY_KP_Decimal || keysym == XKB_KEY_KP_Separator;
		return *on || (keysym >= XKB_KEY_KP_Home && keysym <= XKB_KEY_KP_Delete)
			       ? INPUT_LED_NUM
			       : 0;
	}
	*on = keysym >= XKB_KEY_A && keysym <= XKB_KEY_Z;
	return *on || (keysym >= XKB_KEY_a && keysym <= XKB_KEY_z) ? INPUT_LED_CAPS : 0;
}

unsigned vnc_locks_press(struct vnc_locks *locks, uint32_t keysym, unsigned code, bool plain,
	unsigned guest_leds, unsigned *leds)
{
	unsigned lock = lock_of_key(keysym), changed;
	bool on;

	if (lock) {
		locks->known &= ~lock;
		locks->old_leds = (locks->old_leds & ~lock) | (guest_leds & lock);
		locks->pending |= lock;
		return 0;
	}
	lock = plain && code ? lock_of_symbol(keysym, code, &on) : 0;
	if (!lock)
		return 0;
	if (locks->pending & lock) {
		if (!((guest_leds ^ locks->old_leds) & lock))
			return 0;
		locks->pending &= ~lock;
	}
	changed = !(locks->known & lock) || !(locks->leds & lock) != !on ? lock : 0;
	locks->known |= lock;
	locks->leds = (locks->leds & ~lock) | (on ? lock : 0);
	*leds = locks->leds;
	return changed;
}
