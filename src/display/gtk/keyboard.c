/* Keys to the guest.
 *
 * Keys go by their place: the hardware's key code, which on Wayland and with X servers of the evdev
 * kind is Linux's own plus 8, never by what the host's layout makes of them. While the guest's
 * screen has the focus every key is the guest's, but for the window's own (shortcuts.c) and the
 * release chord: the toolkit's accelerators and mnemonics see none. (On Wayland GDK 3 keeps keys to
 * itself that have no symbol in the host's layout.) */
#include <linux/input-event-codes.h>
#include <string.h>

#include "core/log.h"
#include "display/gtk/shortcuts.h"
#include "display/gtk/window.h"

#define EVDEV_OFFSET 8u

static unsigned modifier_of(unsigned code)
{
	switch (code) {
	case KEY_LEFTCTRL:
	case KEY_RIGHTCTRL:
		return CHORD_CTRL;
	case KEY_LEFTALT:
	case KEY_RIGHTALT:
		return CHORD_ALT;
	case KEY_LEFTSHIFT:
	case KEY_RIGHTSHIFT:
		return CHORD_SHIFT;
	case KEY_LEFTMETA:
	case KEY_RIGHTMETA:
		return CHORD_SUPER;
	default:
		return 0;
	}
}

/* Which are held besides the key itself. */
static unsigned modifiers_of(struct window *window, const GdkEventKey *event, unsigned code)
{
	GdkModifierType state = event->state;
	unsigned modifiers = 0;

	gdk_keymap_add_virtual_modifiers(
		gdk_keymap_get_for_display(gtk_widget_get_display(window->window)), &state);
	if (state & GDK_CONTROL_MASK)
		modifiers |= CHORD_CTRL;
	if (state & GDK_MOD1_MASK)
		modifiers |= CHORD_ALT;
	if (state & GDK_SHIFT_MASK)
		modifiers |= CHORD_SHIFT;
	if (state & GDK_SUPER_MASK)
		modifiers |= CHORD_SUPER;
	return modifiers & ~modifier_of(code);
}

/* What is printed on the key, in the layout that is switched on. */
static uint32_t keysym_of(struct window *window, const GdkEventKey *event)
{
	GdkKeymap *keymap = gdk_keymap_get_for_display(gtk_widget_get_display(window->window));
	guint keyval = event->keyval;

	gdk_keymap_translate_keyboard_state(
		keymap, event->hardware_keycode, 0, event->group, &keyval, NULL, NULL, NULL);
	return gdk_keyval_to_lower(keyval);
}

/* True: it was the window's own. */
static bool handle_own(struct window *window, const GdkEventKey *event, unsigned code, bool down)
{
	unsigned modifiers = modifiers_of(window, event, code);
	uint32_t keysym = keysym_of(window, event);
	const struct shortcut *shortcut;

	if (window->own_key == code) {
		/* Held, it does its work once; the guest has not seen it and sees no release. */
		if (!down)
			window->own_key = 0;
		return true;
	}
	if (!(down && window->outbox.down[code]) &&
		chord_follow(&window->follower, &window->settings->release, keysym, code, modifiers,
			down)) {
		pointer_set_grab(window, !window->grabbed);
		keyboard_release(window);
		window->own_key = down ? code : 0;
		return true;
	}
	shortcut = down ? shortcut_find(keysym, code, modifiers) : NULL;
	if (!shortcut)
		return false;
	/* Ctrl and Alt have reached the guest; their release may not, if a dialog opens. */
	keyboard_release(window);
	window->own_key = code;
	actions_activate(window, shortcut->action);
	return true;
}

static gboolean on_key(GtkWidget *widget, GdkEventKey *event, gpointer opaque)
{
	struct window *window = opaque;
	unsigned code = event->hardware_keycode - EVDEV_OFFSET;
	bool down = event->type == GDK_KEY_PRESS;

	(void)widget;
	if (!window_has_guest_focus(window))
		return FALSE;
	if (!code || code >= KEY_CNT)
		return TRUE;
	if (handle_own(window, event, code, down))
		return TRUE;
	/* The host's repeat ends in the outbox; the guest's keyboard does its own. */
	if (!input_outbox_key(&window->outbox, code, down))
		log_guest("gtk", "key %u is lost: too many wait", code);
	return TRUE;
}

void keyboard_release(struct window *window)
{
	memset(&window->follower, 0, sizeof(window->follower));
	window->own_key = 0;
	input_outbox_release_all(&window->outbox);
}

void keyboard_sync_locks(struct window *window)
{
	GdkKeymap *keymap = gdk_keymap_get_for_display(gtk_widget_get_display(window->window));
	unsigned leds = 0;

	if (!window->source || !window->settings->sync_locks || !window_has_guest_focus(window))
		return;
	if (gdk_keymap_get_caps_lock_state(keymap))
		leds |= INPUT_LED_CAPS;
	if (gdk_keymap_get_num_lock_state(keymap))
		leds |= INPUT_LED_NUM;
	if (gdk_keymap_get_scroll_lock_state(keymap))
		leds |= INPUT_LED_SCROLL;
	input_source_sync_locks(
		window->source, INPUT_LED_CAPS | INPUT_LED_NUM | INPUT_LED_SCROLL, leds);
}

/* The user's own Caps Lock reaches the guest as a key, and the host's lights change with it; only
 * what changed with the window in the background is left to be told. */
static gboolean on_focus_in(GtkWidget *area, GdkEventFocus *event, gpointer opaque)
{
	(void)area;
	(void)event;
	keyboard_sync_locks(opaque);
	return FALSE;
}

static gboolean on_focus_out(GtkWidget *area, GdkEventFocus *event, gpointer opaque)
{
	struct window *window = opaque;

	(void)area;
	(void)event;
	pointer_set_grab(window, false);
	keyboard_release(window);
	return FALSE;
}

/* A menu or a dialog has taken the keys. */
static void on_shadowed(GtkWidget *area, gboolean free_again, gpointer opaque)
{
	(void)area;
	if (!free_again) {
		pointer_set_grab(opaque, false);
		keyboard_release(opaque);
	}
}

void keyboard_send(struct window *window, const uint16_t *codes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		(void)input_outbox_key(&window->sent, codes[i], true);
	for (size_t i = count; i-- > 0;)
		(void)input_outbox_key(&window->sent, codes[i], false);
}

void keyboard_init(struct window *window)
{
	window->outbox.source = window->source;
	window->sent.source = window->sender;
	g_signal_connect(window->window, "key-press-event", G_CALLBACK(on_key), window);
	g_signal_connect(window->window, "key-release-event", G_CALLBACK(on_key), window);
	g_signal_connect(window->view.area, "focus-in-event", G_CALLBACK(on_focus_in), window);
	g_signal_connect(window->view.area, "focus-out-event", G_CALLBACK(on_focus_out), window);
	g_signal_connect(window->view.area, "grab-notify", G_CALLBACK(on_shadowed), window);
}
