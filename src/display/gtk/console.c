/* The serial console's tab: a terminal (VTE) on a tap of the console hub. What is typed waits here,
 * bounded, while the guest's port takes no more. */
#include "display/gtk/window.h"

#ifdef VMGUI_VTE
#include <stdlib.h>
#include <string.h>
#include <vte/vte.h>

#include "core/log.h"

#define MAX_WAITING (64u * 1024)
/* The terminal queues whatever it is fed, without limit, and works on it from a timer of 10 ms
 * below the priority of events. A guest that writes faster than it reads would make that queue grow
 * for good. So it is fed at most this much at a time, and then nothing until a timer of ours comes,
 * which is due later and of lower priority: by then the terminal has done what it was given. What
 * the guest writes meanwhile stays with the hub, which forgets the oldest when it is too much. */
#define FEED_BYTES (128u * 1024)
#define FEED_MS    15

struct console {
	struct window *window;
	struct console_tap *tap;
	GtkWidget *terminal;
	GByteArray *waiting; /* typed, not taken yet */
	guint feeding;       /* the timer; 0: the terminal has worked everything off */
	char fed[FEED_BYTES];
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

/* Returns whether the terminal was given anything. */
static bool feed(struct console *console)
{
	VteTerminal *terminal = VTE_TERMINAL(console->terminal);
	size_t lost, length;

	length = console_tap_read(
		console->tap, (uint8_t *)console->fed, sizeof(console->fed), &lost);
	if (lost) {
		char note[64];

		g_snprintf(note, sizeof(note), "\r\n[%zu bytes were lost]\r\n", lost);
		vte_terminal_feed(terminal, note, -1);
	}
	if (length)
		vte_terminal_feed(terminal, console->fed, (gssize)length);
	return length || lost;
}

static gboolean on_fed(gpointer opaque)
{
	struct console *console = opaque;

	if (feed(console))
		return G_SOURCE_CONTINUE;
	console->feeding = 0;
	return G_SOURCE_REMOVE;
}

void console_update(struct window *window)
{
	struct console *console = window->console;

	if (!console)
		return;
	send_waiting(console);
	if (!console->feeding && feed(console))
		console->feeding =
			g_timeout_add_full(G_PRIORITY_LOW, FEED_MS, on_fed, console, NULL);
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
	if (console->feeding)
		g_source_remove(console->feeding);
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
