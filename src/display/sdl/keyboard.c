/* Keys: which one it is by its place, whatever is printed on it, and those that are vmgui's own.
 *
 * SDL's scancodes are places already, but it knows only some of them. Every key's own code is told
 * by X11 (SDL_SYSWMEVENT, which SDL sends right before the event of its own, if it has one) and by
 * Wayland (wayland_keys.h, right before or after SDL's): evdev's, and that is what the guest gets.
 */
#include <linux/input-event-codes.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "display/sdl/scancodes.h"
#include "display/sdl/wayland_keys.h"
#include "display/sdl/window.h"
#include "display/sdl/x11.h"

struct key {
	unsigned code; /* evdev; 0: unknown */
	uint32_t keysym;
	unsigned modifiers; /* held besides it */
	bool down;
};

/* --- vmgui's own keys --- */

static void toggle_fullscreen(struct sdl_window *sdl)
{
	view_set_fullscreen(&sdl->view, !view_is_fullscreen(&sdl->view));
	grab_refresh(sdl);
}

static void save_screenshot(struct sdl_window *sdl)
{
	sdl->host->control->save_screenshot(sdl->host->control->opaque);
}

static void toggle_pause(struct sdl_window *sdl)
{
	if (sdl->state != VM_ENDED)
		sdl->host->control->toggle_pause(sdl->host->control->opaque);
}

static void zoom_in(struct sdl_window *sdl)
{
	view_zoom(&sdl->view, sdl->settings, 1);
}

static void zoom_out(struct sdl_window *sdl)
{
	view_zoom(&sdl->view, sdl->settings, -1);
}

static void zoom_back(struct sdl_window *sdl)
{
	view_zoom(&sdl->view, sdl->settings, 0);
}

static const struct hotkey {
	uint32_t keysym; /* X's, without Shift */
	uint16_t code;   /* where a US keyboard has it; 0: only by its symbol */
	void (*act)(struct sdl_window *sdl);
} hotkeys[] = {
	{ 'f', KEY_F, toggle_fullscreen },
	{ 's', KEY_S, save_screenshot },
	{ 'p', KEY_P, toggle_pause },
	{ 'h', KEY_H, window_toggle_help },
	{ '+', 0, zoom_in },
	{ '=', 0, zoom_in },    /* with Shift it would be the plus */
	{ 0xffab, 0, zoom_in }, /* the keypad's */
	{ '-', 0, zoom_out },
	{ 0xffad, 0, zoom_out },
	{ '0', KEY_0, zoom_back },
	{ 0xffb0, 0, zoom_back },
};

/* F1 goes with the release chord's modifiers, if they are more than a guest has a use for. */
static unsigned help_modifiers(const struct sdl_window *sdl)
{
	unsigned modifiers = sdl->settings->release.modifiers;

	return modifiers & (modifiers - 1) ? modifiers : CHORD_CTRL | CHORD_ALT;
}

static bool is_help(const struct sdl_window *sdl, const struct key *key)
{
	return key->code == KEY_F1 && key->modifiers == help_modifiers(sdl);
}

const char *keyboard_help_modifiers(const struct sdl_window *sdl, char text[24])
{
	unsigned modifiers = help_modifiers(sdl);

	snprintf(text, 24, "%s%s%s%s", modifiers & CHORD_CTRL ? "Ctrl-" : "",
		modifiers & CHORD_ALT ? "Alt-" : "", modifiers & CHORD_SHIFT ? "Shift-" : "",
		modifiers & CHORD_SUPER ? "Super-" : "");
	return text;
}

static bool is_hotkey(const struct hotkey *hotkey, const struct key *key)
{
	const struct key_chord chord = {
		.modifiers = CHORD_CTRL | CHORD_ALT, .keysym = hotkey->keysym, .code = hotkey->code
	};

	/* Shift may be what the plus takes. */
	return chord_matches(&chord, key->keysym, key->code,
		hotkey->keysym == '+' || hotkey->keysym == '='
			? key->modifiers & ~(unsigned)CHORD_SHIFT
			: key->modifiers);
}

static bool handle_own(struct sdl_window *sdl, const struct key *key)
{
	if (chord_follow(&sdl->release, &sdl->settings->release, key->keysym, key->code,
		    key->modifiers, key->down)) {
		grab_toggle(sdl);
		return true;
	}
	if (!key->down)
		return false;
	if (is_help(sdl, key)) {
		window_toggle_help(sdl);
		return true;
	}
	for (size_t i = 0; i < array_size(hotkeys); i++) {
		if (is_hotkey(&hotkeys[i], key)) {
			hotkeys[i].act(sdl);
			return true;
		}
	}
	return false;
}

/* --- every key --- */

static void handle_key(struct sdl_window *sdl, const struct key *key)
{
	if (handle_own(sdl, key)) {
		/* Ctrl and Alt have reached the guest; the letter has not, nor will any release. */
		input_outbox_release_all(&sdl->outbox);
		return;
	}
	if (key->down && sdl->help)
		window_toggle_help(sdl);
	if (key->code && !input_outbox_key(&sdl->outbox, key->code, key->down))
		log_guest("sdl", "the guest takes no keys, %u is left out", key->code);
}

static unsigned modifiers_besides(const SDL_Keysym *key)
{
	static const struct {
		uint16_t scancode, mod;
	} own[] = { { SDL_SCANCODE_LCTRL, KMOD_LCTRL }, { SDL_SCANCODE_RCTRL, KMOD_RCTRL },
		{ SDL_SCANCODE_LALT, KMOD_LALT }, { SDL_SCANCODE_RALT, KMOD_RALT },
		{ SDL_SCANCODE_LSHIFT, KMOD_LSHIFT }, { SDL_SCANCODE_RSHIFT, KMOD_RSHIFT },
		{ SDL_SCANCODE_LGUI, KMOD_LGUI }, { SDL_SCANCODE_RGUI, KMOD_RGUI } };
	unsigned held = key->mod, modifiers = 0;

	for (size_t i = 0; i < array_size(own); i++) {
		if (key->scancode == (SDL_Scancode)own[i].scancode)
			held &= ~(unsigned)own[i].mod;
	}
	if (held & KMOD_CTRL)
		modifiers |= CHORD_CTRL;
	if (held & KMOD_ALT)
		modifiers |= CHORD_ALT;
	if (held & KMOD_SHIFT)
		modifiers |= CHORD_SHIFT;
	if (held & KMOD_GUI)
		modifiers |= CHORD_SUPER;
	return modifiers;
}

/* What is released is what was pressed, whoever tells. */
static unsigned evdev_code(struct sdl_window *sdl, SDL_Scancode scancode, bool down)
{
	unsigned index = (unsigned)scancode < SDL_NUM_SCANCODES ? (unsigned)scancode : 0;
	unsigned code = sdl_scancode_to_evdev(index);

	if (sdl->raw_code && sdl->raw_code < KEY_CNT && sdl->raw_down == down) {
		code = sdl->raw_code;
		sdl->paired[code] = true;
		sdl->raw_code = 0;
	} else if (!down && sdl->pressed[index]) {
		code = sdl->pressed[index];
	}
	sdl->pressed[index] = down ? (uint16_t)code : 0;
	return code;
}

static void handle_sdl_key(struct sdl_window *sdl, const SDL_KeyboardEvent *event)
{
	const SDL_Keysym *keysym = &event->keysym;
	struct key key = { .down = event->state == SDL_PRESSED };

	key.code = evdev_code(sdl, keysym->scancode, key.down);
	if (event->repeat)
		return; /* the guest repeats by itself */
	key.keysym = sdl_keysym(keysym->sym, (unsigned)keysym->scancode);
	key.modifiers = modifiers_besides(keysym);
	if (!key.code)
		log_guest("sdl", "scan code %d is no key of ours", (int)keysym->scancode);
	handle_key(sdl, &key);
}

void keyboard_key(struct sdl_window *sdl, const SDL_KeyboardEvent *event)
{
	const bool down = event->state == SDL_PRESSED;
	const bool fits = sdl->raw_code && sdl->raw_down == down;

	if (sdl->wayland_keys && event->repeat)
		return; /* SDL's own, the compositor sends none */
	if (sdl->key_order == KEY_ORDER_UNKNOWN && fits &&
		sdl_scancode_to_evdev((unsigned)event->keysym.scancode) == sdl->raw_code)
		sdl->key_order = KEY_ORDER_CODE_FIRST;
	if (!fits || sdl->key_order != KEY_ORDER_CODE_FIRST)
		keyboard_settle(sdl);
	if (sdl->key_order == KEY_ORDER_CODE_FIRST) {
		handle_sdl_key(sdl, event);
		return;
	}
	sdl->key_waits = true;
	sdl->waiting_key = *event;
}

static void handle_code(struct sdl_window *sdl, unsigned code, bool down)
{
	const bool fits = sdl->key_waits && (sdl->waiting_key.state == SDL_PRESSED) == down;

	if (sdl->key_order == KEY_ORDER_UNKNOWN && fits &&
		sdl_scancode_to_evdev((unsigned)sdl->waiting_key.keysym.scancode) == code)
		sdl->key_order = KEY_ORDER_SDL_FIRST;
	if (fits && sdl->key_order == KEY_ORDER_SDL_FIRST) {
		sdl->key_waits = false;
		sdl->raw_code = code;
		sdl->raw_down = down;
		handle_sdl_key(sdl, &sdl->waiting_key);
		return;
	}
	keyboard_settle(sdl);
	sdl->raw_code = code;
	sdl->raw_down = down;
	if (sdl->key_order == KEY_ORDER_SDL_FIRST)
		keyboard_settle(sdl);
}

void keyboard_x11(struct sdl_window *sdl, const SDL_SysWMEvent *event)
{
	bool down = false;
	unsigned code = sdl->hardware_keys ? x11_hardware_key(event, &down) : 0;

	if (code)
		handle_code(sdl, code, down);
}

void keyboard_wayland(struct sdl_window *sdl, const SDL_UserEvent *event)
{
	handle_code(sdl, (unsigned)event->code, event->data1 != NULL);
}

void keyboard_settle(struct sdl_window *sdl)
{
	const struct key key = { .code = sdl->raw_code, .down = sdl->raw_down };

	if (sdl->key_waits) {
		sdl->key_waits = false;
		sdl->raw_code = 0;
		handle_sdl_key(sdl, &sdl->waiting_key);
	}
	sdl->raw_code = 0;
	/* SDL may have kept an event to itself; a key that it knows comes with one. */
	if (key.code && key.code < KEY_CNT && !sdl->paired[key.code])
		handle_key(sdl, &key);
}

void keyboard_sync_locks(struct sdl_window *sdl)
{
	unsigned mask = INPUT_LED_CAPS | INPUT_LED_NUM, leds;

	if (!sdl->outbox.source || !sdl->settings->sync_locks)
		return;
	if (x11_lock_lights(sdl->view.window, &leds)) {
		mask |= INPUT_LED_SCROLL;
	} else if (sdl->wayland_keys) {
		leds = wayland_keys_locks(sdl->wayland_keys);
	} else {
		SDL_Keymod mod = SDL_GetModState();

		leds = (mod & KMOD_CAPS ? INPUT_LED_CAPS : 0u) |
		       (mod & KMOD_NUM ? INPUT_LED_NUM : 0u);
	}
	input_source_sync_locks(sdl->outbox.source, mask, leds);
}
