/* A second listener to the keyboards; see wayland_keys.h. Wayland's core protocol: wl_seat and
 * wl_keyboard, version 1, which is all that keys need. */
#include "display/sdl/wayland_keys.h"

#include <SDL_syswm.h>

#if defined(SDL_VIDEO_DRIVER_WAYLAND) && defined(VMGUI_WAYLAND)
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wayland-client.h>

#include "core/input_sink.h"

#define MAX_SEATS 4
/* X's modifiers, as which Wayland's keymaps have them; that Num Lock is the second is a custom. */
#define LOCK_MASK 0x02
#define MOD2_MASK 0x10

struct seat {
	struct wayland_keys *keys;
	struct wl_seat *seat;
	struct wl_keyboard *keyboard; /* NULL: it has none */
};

struct wayland_keys {
	Uint32 event_type;
	struct wl_registry *registry;
	struct seat seats[MAX_SEATS];
	unsigned seat_count;
	uint32_t locked; /* modifiers */
};

static void on_keymap(
	void *opaque, struct wl_keyboard *keyboard, uint32_t format, int32_t fd, uint32_t size)
{
	(void)opaque;
	(void)keyboard;
	(void)format;
	(void)size;
	close(fd);
}

static void on_enter(void *opaque, struct wl_keyboard *keyboard, uint32_t serial,
	struct wl_surface *surface, struct wl_array *held)
{
	(void)opaque;
	(void)keyboard;
	(void)serial;
	(void)surface;
	(void)held;
}

static void on_leave(
	void *opaque, struct wl_keyboard *keyboard, uint32_t serial, struct wl_surface *surface)
{
	(void)opaque;
	(void)keyboard;
	(void)serial;
	(void)surface;
}

static void on_key(void *opaque, struct wl_keyboard *keyboard, uint32_t serial, uint32_t time,
	uint32_t code, uint32_t state)
{
	const struct seat *seat = opaque;
	static char down;
	SDL_Event event = { .user = { .type = seat->keys->event_type,
				    .code = (Sint32)code,
				    .data1 = state == WL_KEYBOARD_KEY_STATE_PRESSED ? &down
										    : NULL } };

	(void)keyboard;
	(void)serial;
	(void)time;
	(void)SDL_PushEvent(&event);
}

static void on_modifiers(void *opaque, struct wl_keyboard *keyboard, uint32_t serial,
	uint32_t depressed, uint32_t latched, uint32_t locked, uint32_t group)
{
	const struct seat *seat = opaque;

	(void)keyboard;
	(void)serial;
	(void)depressed;
	(void)latched;
	(void)group;
	seat->keys->locked = locked;
}

static const struct wl_keyboard_listener keyboard_listener = {
	.keymap = on_keymap,
	.enter = on_enter,
	.leave = on_leave,
	.key = on_key,
	.modifiers = on_modifiers,
};

static void on_capabilities(void *opaque, struct wl_seat *wl_seat, uint32_t capabilities)
{
	struct seat *seat = opaque;
	bool has_keyboard = capabilities & WL_SEAT_CAPABILITY_KEYBOARD;

	if (has_keyboard && !seat->keyboard) {
		seat->keyboard = wl_seat_get_keyboard(wl_seat);
		if (seat->keyboard)
			wl_keyboard_add_listener(seat->keyboard, &keyboard_listener, seat);
	} else if (!has_keyboard && seat->keyboard) {
		wl_keyboard_destroy(seat->keyboard);
		seat->keyboard = NULL;
	}
}

static const struct wl_seat_listener seat_listener = { .capabilities = on_capabilities };

static void on_global(void *opaque, struct wl_registry *registry, uint32_t name,
	const char *interface, uint32_t version)
{
	struct wayland_keys *keys = opaque;
	struct seat *seat = &keys->seats[keys->seat_count];

	(void)version;
	if (strcmp(interface, wl_seat_interface.name) != 0 || keys->seat_count == MAX_SEATS)
		return;
	seat->keys = keys;
	seat->seat = wl_registry_bind(registry, name, &wl_seat_interface, 1);
	if (!seat->seat)
		return;
	wl_seat_add_listener(seat->seat, &seat_listener, seat);
	keys->seat_count++;
}

static void on_global_remove(void *opaque, struct wl_registry *registry, uint32_t name)
{
	(void)opaque;
	(void)registry;
	(void)name;
}

static const struct wl_registry_listener registry_listener = {
	.global = on_global,
	.global_remove = on_global_remove,
};

struct wayland_keys *wayland_keys_open(SDL_Window *window, Uint32 event_type)
{
	struct wayland_keys *keys;
	SDL_SysWMinfo info;

	SDL_VERSION(&info.version);
	if (!SDL_GetWindowWMInfo(window, &info) || info.subsystem != SDL_SYSWM_WAYLAND)
		return NULL;
	keys = calloc(1, sizeof(*keys));
	if (!keys)
		return NULL;
	keys->event_type = event_type;
	keys->registry = wl_display_get_registry(info.info.wl.display);
	if (keys->registry)
		wl_registry_add_listener(keys->registry, &registry_listener, keys);
	/* The seats, then their keyboards: so that these come after SDL's. */
	if (!keys->registry || wl_display_roundtrip(info.info.wl.display) < 0 ||
		wl_display_roundtrip(info.info.wl.display) < 0 || !keys->seat_count) {
		wayland_keys_close(keys);
		return NULL;
	}
	return keys;
}

unsigned wayland_keys_locks(const struct wayland_keys *keys)
{
	return (keys->locked & LOCK_MASK ? INPUT_LED_CAPS : 0u) |
	       (keys->locked & MOD2_MASK ? INPUT_LED_NUM : 0u);
}

void wayland_keys_close(struct wayland_keys *keys)
{
	if (!keys)
		return;
	for (unsigned i = 0; i < keys->seat_count; i++) {
		if (keys->seats[i].keyboard)
			wl_keyboard_destroy(keys->seats[i].keyboard);
		wl_seat_destroy(keys->seats[i].seat);
	}
	if (keys->registry)
		wl_registry_destroy(keys->registry);
	free(keys);
}
#else
struct wayland_keys *wayland_keys_open(SDL_Window *window, Uint32 event_type)
{
	(void)window;
	(void)event_type;
	return NULL;
}

unsigned wayland_keys_locks(const struct wayland_keys *keys)
{
	(void)keys;
	return 0;
}

void wayland_keys_close(struct wayland_keys *keys)
{
	(void)keys;
}
#endif
