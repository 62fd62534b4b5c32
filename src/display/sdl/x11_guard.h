/* Keeps Xlib from ending the process: by its own defaults it calls exit() when the X server goes
 *away and upon protocol errors. The guest has to survive that.
 *
 * SDL has two connections to the X server; the second one is for those who wake it. So the loss may
 *be found in any thread that calls SDL, and each such call has to stand under a way out of its
 *thread's:
 *
 *	jmp_buf way_out, *outer = x11_guard_enter(&way_out);
 *	if (setjmp(way_out) == 0)
 *		SDL_...;
 *	x11_guard_enter(outer);
 *
 * Threads: any. One window at a time. */
#ifndef VMGUI_DISPLAY_SDL_X11_GUARD_H
#define VMGUI_DISPLAY_SDL_X11_GUARD_H

#include <SDL.h>
#include <setjmp.h>
#include <stdatomic.h>

/* Where this thread continues if the X server is gone. Returns the one before; NULL: none, the
 * process ends. */
jmp_buf *x11_guard_enter(jmp_buf *way_out);

/* Before SDL's video starts. When it ends, SDL puts back the handler of protocol errors that it
 * found and only then closes its connections, on which an answer may still be on its way: a wake-up
 * sent to the window that was just closed. So what SDL finds has to be ours. */
void x11_guard_prepare(void);
/* *lost becomes true with the first loss; SDL must not be called after that. Does nothing where the
 * window is not one of X11. */
void x11_guard_install(SDL_Window *window, atomic_bool *lost);
/* Before SDL's video ends: notes the handlers that somebody else, GTK, has put over ours. */
void x11_guard_close(void);
/* After SDL's video has ended: Xlib may outlive us. What was noted is put back. */
void x11_guard_remove(void);

#endif
