/* What displays do when nothing is said; see settings.h. */
#include "display/settings.h"

#include <linux/input-event-codes.h>

const struct display_settings display_settings_default = {
	.release = { .modifiers = CHORD_CTRL | CHORD_ALT,
		.keysym = 'g',
		.code = KEY_G,
		.text = "Ctrl-Alt-G" },
	.sync_locks = true,
	.scale = DISPLAY_SCALE_FIT,
	.scale_percent = 100,
};
