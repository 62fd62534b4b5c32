/* Scan codes of the PC keyboard: evdev codes to set 1 and set 2, and the keyboard controller's
 * translation from set 2 to set 1. */
#ifndef VMGUI_DEVICES_PS2_SCANCODES_H
#define VMGUI_DEVICES_PS2_SCANCODES_H

#include "core/util.h"

#define PS2_SCANCODE_MAX 8u /* bytes; Pause in set 2 */

/* What the key sends depends on the keys held with it. */
enum ps2_modifier {
	PS2_MODIFIER_SHIFT = 1,
	PS2_MODIFIER_CTRL = 2,
	PS2_MODIFIER_ALT = 4,
};

/* Whether the PC keyboard has the key (a Linux evdev code). */
bool ps2_scancode_known(unsigned code);
/* Whether the key sends nothing when it is released, and so does not repeat either. */
bool ps2_scancode_make_only(unsigned code);
/* Writes the bytes for a press or release in scan code set 1 or 2. modifiers: a mask of enum
 * ps2_modifier; a release gets those of its press. Returns the length: 0 for an unknown key or the
 * release of a make-only one. */
unsigned ps2_scancode(unsigned code, bool down, unsigned set, unsigned modifiers,
	uint8_t bytes[PS2_SCANCODE_MAX]);

/* What the controller makes of one byte of set 2 (make codes; F0 is the controller's to handle). */
uint8_t ps2_scancode_translate(uint8_t byte);

#endif
