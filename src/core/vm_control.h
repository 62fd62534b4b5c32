/* What a window, a console key or a signal may ask of the running machine. Each call only leaves a
 * request and wakes the machine's thread; any thread may call. */
#ifndef VMGUI_CORE_VM_CONTROL_H
#define VMGUI_CORE_VM_CONTROL_H

#include "core/util.h"

enum vm_state {
	VM_RUNNING,
	VM_PAUSED,
	VM_POWERING_DOWN, /* asked to, not down yet */
	VM_ENDED,
};

struct vm_control {
	/* The power button; a second call within 10 s ends the guest at once (as closing a window
	 * or SIGTERM does). */
	void (*request_powerdown)(void *opaque);
	void (*request_quit)(void *opaque); /* end at once */
	void (*request_reset)(void *opaque);
	void (*toggle_pause)(void *opaque);
	enum vm_state (*state)(void *opaque);
	/* Why the guest has ended, as a sentence without its full stop: "the guest powered down";
	 * immutable from VM_ENDED on, NULL before. */
	const char *(*end_reason)(void *opaque);
	/* Writes the current picture as a PNG file named after the guest and the time into the
	 * current folder, and says where on stderr. */
	void (*save_screenshot)(void *opaque);
	void *opaque;
};

#endif
