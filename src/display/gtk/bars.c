/* What lies over the picture and does not move it: messages at the bottom, and full screen's bar,
 * which comes when the pointer touches the upper edge. */
#include <string.h>

#include "display/gtk/window.h"

#define BAR_MS 2500

/* Gone, it has to be hidden: a revealer keeps a row of pixels, and their pointer. */
static void on_revealed(GObject *object, GParamSpec *spec, gpointer opaque)
{
	GtkRevealer *revealer = GTK_REVEALER(object);

	(void)spec;
	(void)opaque;
	if (!gtk_revealer_get_child_revealed(revealer) && !gtk_revealer_get_reveal_child(revealer))
		gtk_widget_hide(GTK_WIDGET(revealer));
}

static void reveal(GtkWidget *revealer, bool shown)
{
	if (shown)
		gtk_widget_show(revealer);
	gtk_revealer_set_reveal_child(GTK_REVEALER(revealer), shown);
}

static GtkWidget *create_revealer(GtkWidget *child, GtkAlign vertical, GtkAlign horizontal,
	GtkRevealerTransitionType transition)
{
	GtkWidget *revealer = gtk_revealer_new();

	gtk_container_add(GTK_CONTAINER(revealer), child);
	gtk_widget_show_all(child);
	gtk_widget_set_no_show_all(revealer, TRUE);
	gtk_widget_set_valign(revealer, vertical);
	gtk_widget_set_halign(revealer, horizontal);
	gtk_revealer_set_transition_type(GTK_REVEALER(revealer), transition);
	g_signal_connect(revealer, "notify::child-revealed", G_CALLBACK(on_revealed), NULL);
	return revealer;
}

/* ---- Messages ---- */

static gboolean on_message_timer(gpointer opaque)
{
	struct window *window = opaque;

	window->message_timer = 0;
	reveal(window->message, false);
	return G_SOURCE_REMOVE;
}

void bars_hush(struct window *window)
{
	if (window->message_timer)
		g_source_remove(window->message_timer);
	window->message_timer = 0;
	reveal(window->message, false);
}

void bars_tell(struct window *window, GtkMessageType type, const char *text, const char *button,
	const char *action, double progress, unsigned seconds)
{
	GtkWidget *info = gtk_bin_get_child(GTK_BIN(window->message));

	gtk_info_bar_set_message_type(GTK_INFO_BAR(info), type);
	gtk_label_set_text(GTK_LABEL(window->message_label), text);
	gtk_widget_set_visible(window->message_progress, progress >= 0);
	if (progress >= 0)
		gtk_progress_bar_set_fraction(GTK_PROGRESS_BAR(window->message_progress), progress);
	gtk_widget_set_visible(window->message_button, button != NULL);
	if (button) {
		gtk_button_set_label(GTK_BUTTON(window->message_button), button);
		gtk_actionable_set_detailed_action_name(
			GTK_ACTIONABLE(window->message_button), action);
		window_set_accessible(window->message_button, button, text);
	}
	reveal(window->message, true);
	if (window->message_timer)
		g_source_remove(window->message_timer);
	window->message_timer =
		seconds ? g_timeout_add_seconds(seconds, on_message_timer, window) : 0;
}

static void create_message(struct window *window)
{
	GtkWidget *info = gtk_info_bar_new(), *content;

	window->message_label = gtk_label_new("");
	window->message_progress = gtk_progress_bar_new();
	window->message_button = gtk_button_new_with_label("");
	gtk_label_set_line_wrap(GTK_LABEL(window->message_label), TRUE);
	gtk_label_set_xalign(GTK_LABEL(window->message_label), 0);
	gtk_widget_set_hexpand(window->message_label, TRUE);
	gtk_widget_set_valign(window->message_progress, GTK_ALIGN_CENTER);
	gtk_widget_set_focus_on_click(window->message_button, FALSE);
	content = gtk_info_bar_get_content_area(GTK_INFO_BAR(info));
	gtk_container_add(GTK_CONTAINER(content), window->message_label);
	gtk_container_add(GTK_CONTAINER(content), window->message_progress);
	gtk_container_add(GTK_CONTAINER(content), window->message_button);
	window->message = create_revealer(
		info, GTK_ALIGN_END, GTK_ALIGN_FILL, GTK_REVEALER_TRANSITION_TYPE_SLIDE_UP);
	window_set_accessible(info, "Message", NULL);
	window_set_accessible(window->message_progress, "Progress", NULL);
	gtk_overlay_add_overlay(GTK_OVERLAY(window->overlay), window->message);
}

/* ---- Full screen's bar ---- */

static gboolean on_bar_timer(gpointer opaque)
{
	struct window *window = opaque;

	/* Not under the pointer, nor while its menu is open. */
	if (gtk_widget_get_state_flags(window->bar) & GTK_STATE_FLAG_PRELIGHT ||
		gtk_toggle_button_get_active(GTK_TOGGLE_BUTTON(window->bar_menu_button)))
		return G_SOURCE_CONTINUE;
	window->bar_timer = 0;
	reveal(window->bar, false);
	return G_SOURCE_REMOVE;
}

void bars_show_top(struct window *window)
{
	reveal(window->bar, true);
	if (window->bar_timer)
		g_source_remove(window->bar_timer);
	window->bar_timer = g_timeout_add(BAR_MS, on_bar_timer, window);
}

void bars_hide_top(struct window *window)
{
	if (window->bar_timer)
		g_source_remove(window->bar_timer);
	window->bar_timer = 0;
	reveal(window->bar, false);
}

void bars_refresh(struct window *window)
{
	char text[sizeof(window->status) + 80];

	if (!window->bar_label)
		return;
	g_snprintf(text, sizeof(text), "%.64s · %s", window->host->guest_name, window->status);
	gtk_label_set_text(GTK_LABEL(window->bar_label), text);
}

static gboolean on_bar_crossing(GtkWidget *box, GdkEventCrossing *event, gpointer opaque)
{
	struct window *window = opaque;

	(void)box;
	if (event->detail == GDK_NOTIFY_INFERIOR)
		return FALSE;
	if (event->type == GDK_ENTER_NOTIFY)
		gtk_widget_set_state_flags(window->bar, GTK_STATE_FLAG_PRELIGHT, FALSE);
	else
		gtk_widget_unset_state_flags(window->bar, GTK_STATE_FLAG_PRELIGHT);
	return FALSE;
}

static GtkWidget *bar_button(const char *icon, const char *action, const char *name)
{
	GtkWidget *button = gtk_button_new_from_icon_name(icon, GTK_ICON_SIZE_BUTTON);

	gtk_actionable_set_detailed_action_name(GTK_ACTIONABLE(button), action);
	gtk_widget_set_focus_on_click(button, FALSE);
	gtk_widget_set_tooltip_text(button, name);
	window_set_accessible(button, name, NULL);
	return button;
}

/* Narrow and in the middle, so that the corners stay the guest's. */
static void create_bar(struct window *window)
{
	GtkWidget *box = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 6);
	GtkWidget *events = gtk_event_box_new(), *button;
	GMenuModel *menu = menu_of_machine(window);

	window->bar_label = gtk_label_new("");
	window->bar_menu_button = gtk_menu_button_new();
	button = window->bar_menu_button;
	gtk_button_set_image(GTK_BUTTON(button),
		gtk_image_new_from_icon_name("open-menu-symbolic", GTK_ICON_SIZE_BUTTON));
	gtk_menu_button_set_use_popover(GTK_MENU_BUTTON(button), FALSE);
	gtk_menu_button_set_menu_model(GTK_MENU_BUTTON(button), menu);
	g_object_unref(menu);
	gtk_widget_set_focus_on_click(button, FALSE);
	window_set_accessible(button, "Menu", "What can be done with the guest");
	gtk_style_context_add_class(gtk_widget_get_style_context(box), "titlebar");
	gtk_style_context_add_class(gtk_widget_get_style_context(events), "background");
	gtk_container_set_border_width(GTK_CONTAINER(box), 6);
	window->bar_pause_button =
		bar_button("media-playback-pause-symbolic", "win.pause", "Pause");
	gtk_container_add(GTK_CONTAINER(box), window->bar_pause_button);
	gtk_container_add(GTK_CONTAINER(box), window->bar_label);
	gtk_container_add(GTK_CONTAINER(box), button);
	gtk_container_add(GTK_CONTAINER(box),
		bar_button("view-restore-symbolic", "win.fullscreen", "Leave full screen"));
	gtk_container_add(
		GTK_CONTAINER(box), bar_button("window-close-symbolic", "win.close", "Close"));
	gtk_container_add(GTK_CONTAINER(events), box);
	window->bar = create_revealer(
		events, GTK_ALIGN_START, GTK_ALIGN_CENTER, GTK_REVEALER_TRANSITION_TYPE_SLIDE_DOWN);
	gtk_widget_add_events(events, GDK_ENTER_NOTIFY_MASK | GDK_LEAVE_NOTIFY_MASK);
	g_signal_connect(events, "enter-notify-event", G_CALLBACK(on_bar_crossing), window);
	g_signal_connect(events, "leave-notify-event", G_CALLBACK(on_bar_crossing), window);
	window_set_accessible(box, "Full screen bar", NULL);
	gtk_overlay_add_overlay(GTK_OVERLAY(window->overlay), window->bar);
}

/* Over the console: the guest's screen keeps its motion (pointer.c). */
static gboolean on_motion(GtkWidget *overlay, GdkEventMotion *event, gpointer opaque)
{
	struct window *window = opaque;
	int left, top;

	gdk_window_get_origin(gtk_widget_get_window(overlay), &left, &top);
	if (window->fullscreen && event->y_root - top < 1)
		bars_show_top(window);
	return FALSE;
}

GtkWidget *bars_create(struct window *window, GtkWidget *content)
{
	window->overlay = gtk_overlay_new();
	gtk_container_add(GTK_CONTAINER(window->overlay), content);
	g_signal_connect(window->overlay, "motion-notify-event", G_CALLBACK(on_motion), window);
	create_message(window);
	create_bar(window);
	view_add_cover(&window->view, window->message);
	view_add_cover(&window->view, window->bar);
	return window->overlay;
}

void bars_fini(struct window *window)
{
	if (window->message_timer)
		g_source_remove(window->message_timer);
	if (window->bar_timer)
		g_source_remove(window->bar_timer);
	window->message_timer = window->bar_timer = 0;
}
