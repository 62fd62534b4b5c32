/* The guest's console, serial or virtio, on stdin and stdout: interface.md, "Console". See
 * console_terminal.c.
 */
#ifndef VMGUI_CORE_CONSOLE_TERMINAL_H
#define VMGUI_CORE_CONSOLE_TERMINAL_H

#include "core/char_channel.h"
#include "core/error.h"
#include "core/vm_control.h"

struct console_terminal_config {
	int in_fd, out_fd; /* stdin and stdout; stay the caller's. A terminal, pipe, file, socket
			      ... */
	const struct char_device *device; /* the serial port, say; outlives the console */
	const struct vm_control *control; /* for the keys that quit; NULL: they do nothing */
};

struct console_terminal;

/* Opens what it needs (call it before privileges are dropped) and touches no terminal yet. */
int console_terminal_create(const struct console_terminal_config *config,
	struct console_terminal **out, struct error *err) VMGUI_MUST_USE;
/* What the device is given by serial_set_host, say; valid until destroy. */
const struct char_host *console_terminal_char_host(struct console_terminal *console);

/* Sets a terminal on in_fd to raw mode and starts the thread "console". -EBUSY: another console of
 * this process has a terminal already (the way back after a crash knows one only). */
int console_terminal_start(struct console_terminal *console, struct error *err) VMGUI_MUST_USE;
/* Writes out what the guest has sent (gives up when nobody reads for a second), ends the thread and
 * restores the terminal. To be called with the vCPUs stopped and before the device is destroyed.
 * Does nothing if not started. */
void console_terminal_stop(struct console_terminal *console);
/* Stops, too. NULL is fine. */
void console_terminal_destroy(struct console_terminal *console);

/* Sends break and key: Linux's magic SysRq over a serial line, and, as the break becomes Ctrl-O
 * there, over a virtio console. Any thread. */
void console_terminal_send_sysrq(struct console_terminal *console, char key);

#endif
