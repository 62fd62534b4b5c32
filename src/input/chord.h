/* A combination of keys that means something to vmgui itself, such as Ctrl-Alt-G: parsed from an
 * option, matched against what a window saw, named in titles and help.
 *
 * Written as ctrl-alt-g, ctrl-shift-f12, super-escape, pause; or one modifier alone, which then is
 * pressed and let go with nothing in between: right-ctrl, left-alt, super (either); or several of
 * them, ctrl-alt. The key is the one that has this symbol on the host's keyboard; where that has no
 * Latin letters, the one at its place.
 *
 * Threads: any; a chord is a value. */
#ifndef VMGUI_INPUT_CHORD_H
#define VMGUI_INPUT_CHORD_H

#include "core/error.h"
#include "core/util.h"

enum chord_modifier {
	CHORD_CTRL = 1,
	CHORD_ALT = 2,
	CHORD_SHIFT = 4,
	CHORD_SUPER = 8,
};

struct key_chord {
	unsigned modifiers; /* enum chord_modifier mask, besides the key */
	uint32_t keysym;    /* X keysym, letters in lower case; 0: there is no chord ("none") */
	uint16_t code;      /* evdev code of that key on a US keyboard */
	unsigned lone;      /* the enum chord_modifier that the key itself is; 0: it is none */
	bool either;        /* lone: the left one or the right one */
	char text[32];      /* "Ctrl-Alt-G", for people */
};

/* -EINVAL: err says what is wrong, in terms of `option`, "--release-key". */
VMGUI_MUST_USE int chord_parse(
	const char *text, const char *option, struct key_chord *chord, struct error *err);
/* Whether this press (the host's symbol without Shift's effect, the evdev code, and which modifiers
 * are held besides it) is the chord. Never for a chord of modifiers alone: use chord_follow. */
bool chord_matches(
	const struct key_chord *chord, uint32_t keysym, unsigned code, unsigned modifiers);

/* Follows a keyboard for chords of either kind. Zeroed storage is a fresh one. Feed every press and
 * release, in order; true: the chord was given with this event (for a lone modifier, at its
 * release). */
struct chord_follower {
	bool armed;
};
bool chord_follow(struct chord_follower *follower, const struct key_chord *chord, uint32_t keysym,
	unsigned code, unsigned modifiers, bool down);

#endif
