/* What the command line sets for all displays. Made by the composition root, immutable, outlives
 * the displays. */
#ifndef VMGUI_DISPLAY_SETTINGS_H
#define VMGUI_DISPLAY_SETTINGS_H

#include "core/util.h"
#include "input/chord.h"
#include "input/keymap.h"

enum display_scale {
	DISPLAY_SCALE_FIT,     /* as large as the window allows, the picture's proportions kept */
	DISPLAY_SCALE_INTEGER, /* the same, by whole factors only (at least 1) */
	DISPLAY_SCALE_FIXED,   /* scale_percent; a window that is too small shows a part */
};

enum display_filter {
	DISPLAY_FILTER_AUTO, /* nearest at whole factors, smooth at others */
	DISPLAY_FILTER_NEAREST,
	DISPLAY_FILTER_SMOOTH,
};

struct display_settings {
	const struct keymap *keymap; /* of the guest; NULL: who needs one makes "us" for itself */
	struct key_chord release;    /* gives mouse and keyboard back to the host */
	bool sync_locks; /* Caps, Num and Scroll Lock of host and guest follow each other */
	bool fullscreen;
	bool scale_given; /* on the command line: goes before what a window remembers */
	enum display_scale scale;
	unsigned scale_percent; /* 25 to 800; 100 unless the scale is fixed */
	enum display_filter filter;
	bool keep_open; /* a window stays when the guest has ended, and says why it did */
	/* VNC */
	const char *vnc_password_file; /* NULL: no password */
	bool vnc_allow_remote;         /* addresses other than loopback may be listened on */
};

/* What applies when nothing is said; keymap NULL. */
extern const struct display_settings display_settings_default;

#endif
