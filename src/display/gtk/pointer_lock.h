/* The relative mouse on Wayland: the compositor holds the pointer and tells how the mouse moves.
 * GTK 3 does not know these protocols (pointer-constraints-unstable-v1, relative-pointer-unstable-
 * v1), so they are spoken beside it, on its own connection.
 *
 * Threads: the GTK backend's. */
#ifndef VMGUI_DISPLAY_GTK_POINTER_LOCK_H
#define VMGUI_DISPLAY_GTK_POINTER_LOCK_H

#include <gtk/gtk.h>
#include <stdbool.h>

struct pointer_lock;
struct window;

/* NULL: this is no Wayland display, or its compositor has not got them. */
struct pointer_lock *pointer_lock_create(GdkDisplay *display, struct window *window);
void pointer_lock_destroy(struct pointer_lock *lock); /* NULL is fine */
/* Motion goes to pointer_move_relative from now on. */
bool pointer_lock_take(struct pointer_lock *lock, GdkWindow *toplevel);
void pointer_lock_release(struct pointer_lock *lock);

#endif
