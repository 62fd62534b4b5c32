/* Keeps the desktop's end from being the guest's. GDK and Xlib end the process by their own choice
 * when the X server or the Wayland compositor goes away, libdbus and GDBus when the session bus
 * does; with this in place the window's thread leaves GTK by a long jump instead, and GTK is not
 * touched again in this process.
 *
 *	jmp_buf way_out;
 *	if (setjmp(way_out) == 0) {
 *		guard_enter(&way_out);
 *		... anything of GTK's ...
 *	}
 *	guard_enter(NULL);
 *
 * How GDK 3.24 goes: on X11 through Xlib's handler for connections (_exit) and a fatal message for
 * protocol errors; on Wayland a message, then _exit. All messages pass GLib's log writer, which is
 * ours.
 *
 * Threads: the GTK backend's; one at a time. */
#ifndef VMGUI_DISPLAY_GTK_GUARD_H
#define VMGUI_DISPLAY_GTK_GUARD_H

#include <setjmp.h>
#include <stdbool.h>

/* Where the calling thread goes on when the display is lost; NULL: nowhere. */
void guard_enter(jmp_buf *way_out);
/* Before anything of GTK's, once or more. */
void guard_prepare(void);
/* After GTK has opened its display. */
void guard_display_opened(void);
/* After the session bus may have been connected to. */
void guard_bus_opened(void);
/* GTK is not to be used any more. Any thread. */
bool guard_is_lost(void);

#endif
