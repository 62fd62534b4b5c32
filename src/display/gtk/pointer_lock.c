/* See pointer_lock.h. The protocols' code is made by wayland-scanner at build time; without it, or
 * without Wayland, there is no lock. */
#include "display/gtk/pointer_lock.h"

#ifdef VMGUI_POINTER_LOCK
#include <gdk/gdkwayland.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "display/gtk/window.h"
#include "pointer-constraints-unstable-v1-client-protocol.h"
#include "relative-pointer-unstable-v1-client-protocol.h"

struct pointer_lock {
	struct window *window;
	struct wl_registry *registry;
	struct zwp_pointer_constraints_v1 *constraints;
	struct zwp_relative_pointer_manager_v1 *relative_manager;
	/* while taken */
	struct wl_pointer *pointer;
	struct zwp_locked_pointer_v1 *locked;
	struct zwp_relative_pointer_v1 *relative;
};

static void on_global(void *opaque, struct wl_registry *registry, uint32_t name,
	const char *interface, uint32_t version)
{
	struct pointer_lock *lock = opaque;

	(void)version;
	if (!strcmp(interface, zwp_pointer_constraints_v1_interface.name))
		lock->constraints =
			wl_registry_bind(registry, name, &zwp_pointer_constraints_v1_interface, 1);
	else if (!strcmp(interface, zwp_relative_pointer_manager_v1_interface.name))
		lock->relative_manager = wl_registry_bind(
			registry, name, &zwp_relative_pointer_manager_v1_interface, 1);
}

static void on_global_remove(void *opaque, struct wl_registry *registry, uint32_t name)
{
	(void)opaque;
	(void)registry;
	(void)name;
}

static const struct wl_registry_listener registry_listener = { on_global, on_global_remove };

static void on_relative(void *opaque, struct zwp_relative_pointer_v1 *relative, uint32_t time_high,
	uint32_t time_low, wl_fixed_t dx, wl_fixed_t dy, wl_fixed_t raw_dx, wl_fixed_t raw_dy)
{
	struct pointer_lock *lock = opaque;

	(void)relative;
	(void)time_high;
	(void)time_low;
	(void)raw_dx;
	(void)raw_dy;
	if (lock->locked)
		pointer_move_relative(lock->window, wl_fixed_to_double(dx), wl_fixed_to_double(dy));
}

static const struct zwp_relative_pointer_v1_listener relative_listener = { on_relative };

static void on_locked(void *opaque, struct zwp_locked_pointer_v1 *locked)
{
	(void)opaque;
	(void)locked;
}

static const struct zwp_locked_pointer_v1_listener locked_listener = { on_locked, on_locked };

struct pointer_lock *pointer_lock_create(GdkDisplay *display, struct window *window)
{
	struct pointer_lock *lock;
	struct wl_display *wl_display;
	struct wl_display *wrapper;
	struct wl_event_queue *queue;

	if (!GDK_IS_WAYLAND_DISPLAY(display))
		return NULL;
	lock = calloc(1, sizeof(*lock));
	if (!lock)
		return NULL;
	lock->window = window;
	wl_display = gdk_wayland_display_get_wl_display(display);
	/* The list of globals comes on a queue of its own, so that nothing of GDK's is dispatched
	 * here. */
	queue = wl_display_create_queue(wl_display);
	wrapper = wl_proxy_create_wrapper(wl_display);
	wl_proxy_set_queue((struct wl_proxy *)wrapper, queue);
	lock->registry = wl_display_get_registry(wrapper);
	wl_proxy_wrapper_destroy(wrapper);
	wl_registry_add_listener(lock->registry, &registry_listener, lock);
	(void)wl_display_roundtrip_queue(wl_display, queue);
	wl_registry_destroy(lock->registry);
	if (lock->constraints)
		wl_proxy_set_queue((struct wl_proxy *)lock->constraints, NULL);
	if (lock->relative_manager)
		wl_proxy_set_queue((struct wl_proxy *)lock->relative_manager, NULL);
	wl_event_queue_destroy(queue);
	if (lock->constraints && lock->relative_manager)
		return lock;
	log_debug("gtk", "the compositor cannot hold the pointer");
	pointer_lock_destroy(lock);
	return NULL;
}

void pointer_lock_destroy(struct pointer_lock *lock)
{
	if (!lock)
		return;
	pointer_lock_release(lock);
	if (lock->constraints)
		zwp_pointer_constraints_v1_destroy(lock->constraints);
	if (lock->relative_manager)
		zwp_relative_pointer_manager_v1_destroy(lock->relative_manager);
	free(lock);
}

bool pointer_lock_take(struct pointer_lock *lock, GdkWindow *toplevel)
{
	GdkSeat *seat = gdk_display_get_default_seat(gdk_window_get_display(toplevel));
	GdkDevice *device = gdk_seat_get_pointer(seat);

	if (lock->locked)
		return true;
	if (!device)
		return false;
	/* GDK's own: one pointer may have one lock, whoever has asked for it. */
	lock->pointer = gdk_wayland_device_get_wl_pointer(device);
	if (!lock->pointer)
		return false;
	lock->relative = zwp_relative_pointer_manager_v1_get_relative_pointer(
		lock->relative_manager, lock->pointer);
	zwp_relative_pointer_v1_add_listener(lock->relative, &relative_listener, lock);
	lock->locked = zwp_pointer_constraints_v1_lock_pointer(lock->constraints,
		gdk_wayland_window_get_wl_surface(toplevel), lock->pointer, NULL,
		ZWP_POINTER_CONSTRAINTS_V1_LIFETIME_PERSISTENT);
	zwp_locked_pointer_v1_add_listener(lock->locked, &locked_listener, lock);
	return true;
}

void pointer_lock_release(struct pointer_lock *lock)
{
	if (lock->relative)
		zwp_relative_pointer_v1_destroy(lock->relative);
	if (lock->locked)
		zwp_locked_pointer_v1_destroy(lock->locked);
	lock->relative = NULL;
	lock->locked = NULL;
	lock->pointer = NULL;
}
#else
struct pointer_lock *pointer_lock_create(GdkDisplay *display, struct window *window)
{
	(void)display;
	(void)window;
	return NULL;
}

void pointer_lock_destroy(struct pointer_lock *lock)
{
	(void)lock;
}

bool pointer_lock_take(struct pointer_lock *lock, GdkWindow *toplevel)
{
	(void)lock;
	(void)toplevel;
	return false;
}

void pointer_lock_release(struct pointer_lock *lock)
{
	(void)lock;
}
#endif
