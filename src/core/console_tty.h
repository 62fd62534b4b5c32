/* The terminal in raw mode, and its way back on every way out of the process. For
 * console_terminal.c.
 *
 * Signal handlers and atexit reach no object, so this is the one piece of static state: one
 * terminal for a process. */
#ifndef VMGUI_CORE_CONSOLE_TTY_H
#define VMGUI_CORE_CONSOLE_TTY_H

#include "core/util.h"

/* Takes the process's terminal for `fd` and installs the handlers for crashes, fatal signals that
 * nobody else handles, SIGTSTP, SIGCONT and SIGWINCH. The last two also wake wake_fd, an eventfd.
 * -EBUSY: taken already. */
int console_tty_claim(int fd, int wake_fd) VMGUI_MUST_USE;
/* Restores the terminal and the handlers. */
void console_tty_release(void);

/* Whether the terminal's input is ours to take: false for a background job. */
bool console_tty_foreground(void);
/* Raw mode, again after SIGCONT too; nothing for a background job. Returns whether it is raw. */
bool console_tty_enter_raw(void);
/* Whether SIGCONT came since the last call: the shell may have set the terminal to a mode of its
 * own. */
bool console_tty_continued(void);
/* Whether the terminal's size may have changed since the last call; true at the first one. */
bool console_tty_resized(void);

#endif
