/* The serial console's tab: a terminal (VTE) on a tap of the console hub. What is typed waits here,
 * bounded, while the guest's port takes no more. */
#include "display/gtk/window.h"

#ifdef VMGUI_VTE
#include <stdlib.h>
#include <string.h>
#include <vte/vte.h>

#include "core/log.h"

#define MAX_WAITING (64u * 1024)
#define CHUNK       4096
#define MAX_CHUNKS  16 /* before others get their turn */

struct console {
	struct window *window;
	struct console_tap *tap;
	GtkWidget *terminal;
	GByteArray *waiting; /* typed, not taken yet */
};

static void on_tap(void *opaque)
{
	window_wake(opaque, NEWS_CONSOLE);
}

static void send_waiting(struct console *console)
{
	size_t taken;

	if (!console->waiting->len)
		return;
	taken = console_tap_write(console->tap, console->waiting->data, console->waiting->len);
	if (taken)
		g_byte_array_remove_range(console->waiting, 0, (guint)taken);
}

static void on_typed(VteTerminal *terminal, const char *text, guint size, gpointer opaque)
{
	struct console *console = opaque;

	(void)terminal;
	if (console->waiting->len + size > MAX_WAITING) {
		log_guest("gtk", "the guest's serial port takes nothing: %u bytes are lost", size);
		return;
	}
	g_byte_array_append(console->waiting, (const guint8 *)text, size);
	send_waiting(console);
}

void console_update(struct window *window)
{
	struct console *console = window->console;
	uint8_t data[CHUNK];
	size_t length = 0, lost = 0;

	if (!console)
		return;
	send_waiting(console);
	for (int i = 0; i < MAX_CHUNKS; i++) {
		length = console_tap_read(console->tap, data, sizeof(data), &lost);
		if (lost) {
			char note[64];

			g_snprintf(note, sizeof(note), "\r\n[%zu bytes were lost]\r\n", lost);
			vte_terminal_feed(VTE_TERMINAL(console->terminal), note, -1);
		}
		if (length)
			vte_terminal_feed(VTE_TERMINAL(console->terminal), (const char *)data,
				(gssize)length);
		if (length < sizeof(data))
			return;
	}
	window_wake(window, NEWS_CONSOLE); /* there is more */
}

void console_init(struct window *window)
{
	struct console *console;
	GtkWidget *box, *bar;

	if (!window->host->console)
		return;
	console = calloc(1, sizeof(*console));
	if (!console)
		return;
	console->window = window;
	console->tap = console_tap_create(window->host->console, on_tap, window);
	if (!console->tap) {
		free(console);
		return;
	}
	window->console = console;
	console->waiting = g_byte_array_new();
	console->terminal = vte_terminal_new();
	vte_terminal_set_scrollback_lines(VTE_TERMINAL(console->terminal), 10000);
	vte_terminal_set_scroll_on_keystroke(VTE_TERMINAL(console->terminal), TRUE);
	/* It is the guest that would ring, as often as it likes. */
	vte_terminal_set_audible_bell(VTE_TERMINAL(console->terminal), FALSE);
	vte_terminal_set_mouse_autohide(VTE_TERMINAL(console->terminal), TRUE);
	window_set_accessible(console->terminal, "Serial console", "The guest's first serial port");
	g_signal_connect(console->terminal, "commit", G_CALLBACK(on_typed), console);
	box = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 0);
	bar = gtk_scrollbar_new(GTK_ORIENTATION_VERTICAL,
		gtk_scrollable_get_vadjustment(GTK_SCROLLABLE(console->terminal)));
	window_set_accessible(bar, "Earlier output", NULL);
	gtk_box_pack_start(GTK_BOX(box), console->terminal, TRUE, TRUE, 0);
	gtk_box_pack_start(GTK_BOX(box), bar, FALSE, FALSE, 0);
	gtk_stack_add_titled(GTK_STACK(window->stack), box, "console", "Console");
	window_wake(window, NEWS_CONSOLE);
}

void console_fini(struct window *window)
{
	struct console *console = window->console;

	if (!console)
		return;
	window->console = NULL;
	console_tap_destroy(console->tap);
	/* The terminal goes with the window, and may say something yet. */
	g_signal_handlers_disconnect_by_data(console->terminal, console);
	g_byte_array_unref(console->waiting);
	free(console);
}
#else
void console_init(struct window *window)
{
	(void)window;
}

void console_fini(struct window *window)
{
	(void)window;
}

void console_update(struct window *window)
{
	(void)window;
}
#endif
