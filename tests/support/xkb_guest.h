/* A guest's keyboard for tests: takes key codes and tells which symbols a program in an X or
 * Wayland guest would get, dead keys composed. It asks libxkbcommon for each key as it comes and
 * knows nothing of vmgui's tables. */
#ifndef TESTS_XKB_GUEST_H
#define TESTS_XKB_GUEST_H

#include <linux/input-event-codes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xkbcommon/xkbcommon-compose.h>
#include <xkbcommon/xkbcommon-keysyms.h>
#include <xkbcommon/xkbcommon.h>

#include "core/input_sink.h"

#define XKB_GUEST_COMPOSE "/usr/share/X11/locale/en_US.UTF-8/Compose"
#define XKB_GUEST_SYMBOLS 4096

struct xkb_guest {
	struct xkb_context *context;
	struct xkb_keymap *keymap;
	struct xkb_state *state;
	struct xkb_compose_table *compose_table; /* NULL: this host has no such file */
	struct xkb_compose_state *compose;
	bool down[KEY_CNT];
	unsigned down_count;
	unsigned wrong; /* presses of what is down, releases of what is up */
	/* Symbols of the keys that were pressed, modifiers left out; and the same composed. */
	uint32_t symbols[XKB_GUEST_SYMBOLS], text[XKB_GUEST_SYMBOLS];
	unsigned symbol_count, text_count;
};

static inline bool xkb_guest_init(struct xkb_guest *guest, const char *layout, const char *variant)
{
	const struct xkb_rule_names names = { "evdev", "pc105", layout, variant, "" };
	FILE *file = fopen(XKB_GUEST_COMPOSE, "r");

	memset(guest, 0, sizeof(*guest));
	guest->context = xkb_context_new(XKB_CONTEXT_NO_ENVIRONMENT_NAMES);
	guest->keymap =
		xkb_keymap_new_from_names(guest->context, &names, XKB_KEYMAP_COMPILE_NO_FLAGS);
	if (guest->keymap)
		guest->state = xkb_state_new(guest->keymap);
	if (file) {
		guest->compose_table = xkb_compose_table_new_from_file(guest->context, file,
			"en_US.UTF-8", XKB_COMPOSE_FORMAT_TEXT_V1, XKB_COMPOSE_COMPILE_NO_FLAGS);
		fclose(file);
	}
	if (guest->compose_table)
		guest->compose =
			xkb_compose_state_new(guest->compose_table, XKB_COMPOSE_STATE_NO_FLAGS);
	return guest->state;
}

static inline void xkb_guest_fini(struct xkb_guest *guest)
{
	xkb_compose_state_unref(guest->compose);
	xkb_compose_table_unref(guest->compose_table);
	xkb_state_unref(guest->state);
	xkb_keymap_unref(guest->keymap);
	xkb_context_unref(guest->context);
}

/* Shift to Hyper, the locks, ISO_Lock to ISO_Level5_Lock. */
static inline bool xkb_guest_is_modifier(uint32_t keysym)
{
	return (keysym >= XKB_KEY_Shift_L && keysym <= XKB_KEY_Hyper_R) ||
	       (keysym >= XKB_KEY_ISO_Lock && keysym <= XKB_KEY_ISO_Level5_Lock) ||
	       keysym == XKB_KEY_Mode_switch || keysym == XKB_KEY_Num_Lock ||
	       keysym == XKB_KEY_Scroll_Lock;
}

static inline void xkb_guest_compose(struct xkb_guest *guest, uint32_t keysym)
{
	enum xkb_compose_status status = XKB_COMPOSE_NOTHING;

	if (guest->compose) {
		xkb_compose_state_feed(guest->compose, keysym);
		status = xkb_compose_state_get_status(guest->compose);
	}
	if (status == XKB_COMPOSE_COMPOSING)
		return;
	if (status == XKB_COMPOSE_COMPOSED)
		keysym = xkb_compose_state_get_one_sym(guest->compose);
	if (status != XKB_COMPOSE_CANCELLED && guest->text_count < XKB_GUEST_SYMBOLS)
		guest->text[guest->text_count++] = keysym;
}

static inline void xkb_guest_key(struct xkb_guest *guest, unsigned code, bool down)
{
	uint32_t keysym = xkb_state_key_get_one_sym(guest->state, code + 8);

	if (guest->down[code] == down)
		guest->wrong++;
	guest->down[code] = down;
	guest->down_count += down ? 1u : -1u;
	if (down && !xkb_guest_is_modifier(keysym)) {
		if (guest->symbol_count < XKB_GUEST_SYMBOLS)
			guest->symbols[guest->symbol_count++] = keysym;
		xkb_guest_compose(guest, keysym);
	}
	xkb_state_update_key(guest->state, code + 8, down ? XKB_KEY_DOWN : XKB_KEY_UP);
}

static inline void xkb_guest_set_caps(struct xkb_guest *guest, bool on)
{
	xkb_mod_mask_t lock = 1u << xkb_keymap_mod_get_index(guest->keymap, XKB_MOD_NAME_CAPS);

	xkb_state_update_mask(guest->state, 0, 0, on ? lock : 0, 0, 0, 0);
}

static inline unsigned xkb_guest_leds(struct xkb_guest *guest)
{
	return xkb_state_led_name_is_active(guest->state, XKB_LED_NAME_CAPS) > 0 ? INPUT_LED_CAPS
										 : 0;
}

static inline void xkb_guest_forget(struct xkb_guest *guest)
{
	guest->symbol_count = guest->text_count = 0;
	if (guest->compose)
		xkb_compose_state_reset(guest->compose);
}

/* Nothing is held, whether by keys or by what they left behind; Caps Lock aside. */
static inline bool xkb_guest_is_at_rest(struct xkb_guest *guest)
{
	return !guest->down_count && !guest->wrong &&
	       !xkb_state_serialize_mods(guest->state, XKB_STATE_MODS_DEPRESSED) &&
	       !xkb_state_serialize_mods(guest->state, XKB_STATE_MODS_LATCHED);
}

#endif
