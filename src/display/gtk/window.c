/* The window: its widgets, title and status, and its size. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "display/gtk/window.h"
#include "display/icon.h"
#include "display/window_memory.h"
#include "display/window_title.h"

#define FIRST_WIDTH  640
#define FIRST_HEIGHT 480
/* What a header bar and a frame take from the screen, before they are there to be measured. */
#define FIRST_BORDER 8
/* How long a size has to stay the same, and how long the desktop may take for one we ask for. */
#define SETTLE_MS    500
#define ANSWER_MS    3000
#define FIRST_HEADER 56

void window_set_accessible(GtkWidget *widget, const char *name, const char *description)
{
	AtkObject *object = gtk_widget_get_accessible(widget);

	atk_object_set_name(object, name);
	if (description)
		atk_object_set_description(object, description);
}

bool window_has_guest_focus(struct window *window)
{
	return gtk_widget_has_focus(window->view.area) &&
	       gtk_window_has_toplevel_focus(GTK_WINDOW(window->window));
}

/* ---- Title and status ---- */

static void refresh_title(struct window *window)
{
	const struct window_facts facts = { .state = window->state,
		.width = window->view.image ? (uint32_t)window->view.picture.width : 0,
		.height = window->view.image ? (uint32_t)window->view.picture.height : 0,
		.has_input = window->source != NULL,
		.capabilities = atomic_load(&window->capabilities),
		.grabbed = window->grabbed };
	char title[sizeof(window->title)];

	window_title(window->host, &facts, title, sizeof(title));
	if (!strcmp(title, window->title))
		return;
	strcpy(window->title, title);
	gtk_window_set_title(GTK_WINDOW(window->window), title);
}

/* The guest's lights that are on, as the keys are called. */
static void append_lights(struct window *window, char *text, size_t size)
{
	unsigned leds = atomic_load(&window->leds);
	size_t length = strlen(text);

	snprintf(text + length, size - length, "%s%s%s", leds & INPUT_LED_CAPS ? " · Caps" : "",
		leds & INPUT_LED_NUM ? " · Num" : "", leds & INPUT_LED_SCROLL ? " · Scroll" : "");
}

void window_refresh_status(struct window *window)
{
	const char *release = window->settings->release.text;
	char text[sizeof(window->status)];
	size_t length;

	refresh_title(window);
	length = (size_t)snprintf(text, sizeof(text), "%s", window_state_name(window->state));
	if (window->view.image)
		length += (size_t)snprintf(text + length, sizeof(text) - length,
			" · %d × %d at %u %%", window->view.picture.width,
			window->view.picture.height, view_percent(&window->view));
	if (window->rate_timer)
		length += (size_t)snprintf(
			text + length, sizeof(text) - length, " · %u frames/s", window->rate);
	if (window->grabbed)
		snprintf(text + length, sizeof(text) - length, " · %s releases %s",
			*release ? release : "another window",
			window->relative ? "mouse and keyboard" : "the keyboard");
	append_lights(window, text, sizeof(text));
	if (!strcmp(text, window->status))
		return;
	strcpy(window->status, text);
	gtk_label_set_text(GTK_LABEL(window->status_label), text);
	bars_refresh(window);
}

static gboolean on_rate_timer(gpointer opaque)
{
	struct window *window = opaque;
	unsigned frames = window->view.frames - window->frames_before;
	bool over = !frames && !window->rate;

	window->frames_before = window->view.frames;
	window->rate = frames;
	if (over)
		window->rate_timer = 0;
	window_refresh_status(window);
	return over ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
}

void window_count_frames(struct window *window)
{
	if (window->rate_timer)
		return;
	/* A picture at rest wakes nobody. */
	window->rate = 1;
	window->frames_before = window->view.frames;
	window->rate_timer = g_timeout_add_seconds(1, on_rate_timer, window);
}

static void show_end(struct window *window)
{
	const char *reason = window_end_reason(window->host, window->state);
	char text[256];

	pointer_set_grab(window, false);
	keyboard_release(window);
	view_set_dimmed(&window->view, true);
	if (!window->settings->keep_open)
		return;
	snprintf(text, sizeof(text), "The guest has ended%s%s.", reason ? ": " : "",
		reason ? reason : "");
	bars_tell(window, GTK_MESSAGE_INFO, text, "Close", "win.close", -1, 0);
}

void window_refresh(struct window *window)
{
	const struct vm_control *control = window->host->control;
	enum vm_state state = control->state(control->opaque);

	if (state != window->state) {
		window->state = state;
		if (state == VM_PAUSED)
			keyboard_release(window);
		if (state == VM_ENDED)
			show_end(window);
	}
	pointer_refresh(window);
	window_refresh_status(window);
	actions_refresh(window);
}

void window_close_asked(struct window *window)
{
	const struct vm_control *control = window->host->control;

	if (control->state(control->opaque) == VM_ENDED) {
		window->over = true;
		g_main_context_wakeup(NULL);
		return;
	}
	bars_tell(window, GTK_MESSAGE_QUESTION,
		"The guest was asked to power down. Close the window once more within 10 seconds "
		"to end it at once.",
		NULL, NULL, -1, 10);
	control->request_powerdown(control->opaque);
}

static gboolean on_delete(GtkWidget *widget, GdkEvent *event, gpointer opaque)
{
	(void)widget;
	(void)event;
	window_close_asked(opaque);
	return TRUE;
}

/* ---- Size ---- */

/* With its scroll bars. */
static struct extent area_units(struct window *window)
{
	return (struct extent){ gtk_widget_get_allocated_width(window->view.frame),
		gtk_widget_get_allocated_height(window->view.frame) };
}

/* The largest area that the screen has room for beside the window's frame. */
static struct extent largest_area(struct window *window, struct extent frame)
{
	GdkDisplay *display = gtk_widget_get_display(window->window);
	GdkWindow *gdk = gtk_widget_get_window(window->window);
	GdkMonitor *monitor = gdk ? gdk_display_get_monitor_at_window(display, gdk)
				  : gdk_display_get_primary_monitor(display);
	GdkRectangle room = { 0, 0, 0, 0 };

	if (!monitor)
		monitor = gdk_display_get_monitor(display, 0);
	if (monitor)
		gdk_monitor_get_workarea(monitor, &room);
	return (struct extent){ room.width - frame.width, room.height - frame.height };
}

static gboolean on_settled(gpointer opaque)
{
	struct window *window = opaque;
	struct extent size = area_units(window);

	window->settle_timer = 0;
	if (window->fullscreen || window->maximized || !gtk_widget_get_mapped(window->window))
		return G_SOURCE_REMOVE;
	window->normal = size;
	/* The desktop's last word: header bars have a least width, screens an end. */
	if (window->asked)
		window->wanted = size;
	window->asked = false;
	if (size.width != window->wanted.width || size.height != window->wanted.height)
		window->resized = true;
	return G_SOURCE_REMOVE;
}

/* Our own resizing takes the desktop a while, and so does what comes with full screen; whose size
 * it is shows when it is at rest. */
static void expect_rest(struct window *window, unsigned milliseconds)
{
	if (window->settle_timer)
		g_source_remove(window->settle_timer);
	window->settle_timer = g_timeout_add(milliseconds, on_settled, window);
}

static void ask_for_size(struct window *window, struct extent size)
{
	window->wanted = size;
	window->asked = true;
	expect_rest(window, ANSWER_MS);
}

static void on_frame_allocated(GtkWidget *frame, GdkRectangle *allocation, gpointer opaque)
{
	(void)frame;
	(void)allocation;
	expect_rest(opaque, SETTLE_MS);
}

void window_adapt_size(struct window *window)
{
	struct extent wanted, frame = { FIRST_BORDER, FIRST_HEADER };

	if (!window->view.image || window->fullscreen || window->maximized || window->resized)
		return;
	if (!gtk_widget_get_realized(window->window)) {
		wanted = view_natural_size(&window->view, largest_area(window, frame));
		ask_for_size(window, wanted);
		gtk_widget_set_size_request(window->view.area, wanted.width, wanted.height);
		return;
	}
	frame.height = gtk_widget_get_allocated_height(window->header);
	wanted = view_natural_size(&window->view, largest_area(window, frame));
	ask_for_size(window, wanted);
	/* The header bar does not count, and nothing else stands around the picture. What there is
	 * now may be about to change, and is no measure. */
	gtk_window_resize(GTK_WINDOW(window->window), wanted.width, wanted.height);
}

/* What the first size asked for was only to begin with. */
static gboolean free_size(gpointer opaque)
{
	struct window *window = opaque;

	gtk_widget_set_size_request(window->view.area, 160, 120);
	return G_SOURCE_REMOVE;
}

static gboolean on_mapped(GtkWidget *widget, GdkEvent *event, gpointer opaque)
{
	struct window *window = opaque;

	(void)widget;
	(void)event;
	free_size(window);
	return FALSE;
}

static gboolean on_window_state(GtkWidget *widget, GdkEventWindowState *event, gpointer opaque)
{
	struct window *window = opaque;
	bool fullscreen = event->new_window_state & GDK_WINDOW_STATE_FULLSCREEN;

	(void)widget;
	window->maximized =
		event->new_window_state & (GDK_WINDOW_STATE_MAXIMIZED | GDK_WINDOW_STATE_TILED);
	if (fullscreen != window->fullscreen) {
		window->fullscreen = fullscreen;
		bars_hide_top(window);
		if (fullscreen)
			bars_show_top(window); /* for a moment: that there is one */
	}
	actions_refresh(window);
	return FALSE;
}

static void on_view_changed(void *opaque, bool new_size)
{
	struct window *window = opaque;

	if (new_size)
		window_adapt_size(window);
	window_refresh_status(window);
}

static void recall(struct window *window)
{
	struct window_memory memory;

	window->view.scale = window->settings->scale;
	window->view.percent = window->settings->scale_percent;
	window->view.filter = window->settings->filter;
	window->wanted = (struct extent){ FIRST_WIDTH, FIRST_HEIGHT };
	window->asked = true;
	if (window_memory_load(window->host->guest_name, &memory)) {
		if (!window->settings->scale_given) {
			window->view.scale = memory.scale;
			window->view.percent = memory.scale_percent;
		}
		if (memory.width) {
			window->resized = true;
			window->wanted = (struct extent){ (int)memory.width, (int)memory.height };
		}
	}
	gtk_widget_set_size_request(window->view.area, window->wanted.width, window->wanted.height);
}

static void remember(struct window *window)
{
	struct window_memory memory = { .scale = window->view.scale, .scale_percent = 100 };

	if (memory.scale == DISPLAY_SCALE_FIXED)
		memory.scale_percent = window->view.percent;
	if (window->resized && window->normal.width > 0) {
		memory.width = (unsigned)window->normal.width;
		memory.height = (unsigned)window->normal.height;
	} else if (!window->zoomed) {
		return;
	}
	window_memory_save(window->host->guest_name, &memory);
}

/* ---- Widgets ---- */

static GtkWidget *header_button(
	const char *icon, const char *action, const char *name, const char *description)
{
	GtkWidget *button = gtk_button_new_from_icon_name(icon, GTK_ICON_SIZE_BUTTON);

	gtk_actionable_set_detailed_action_name(GTK_ACTIONABLE(button), action);
	gtk_widget_set_focus_on_click(button, FALSE); /* the guest keeps it */
	gtk_widget_set_tooltip_text(button, description);
	window_set_accessible(button, name, description);
	return button;
}

static GtkWidget *menu_button(
	const char *icon, GMenuModel *menu, const char *name, const char *description)
{
	GtkWidget *button = gtk_menu_button_new();

	gtk_button_set_image(
		GTK_BUTTON(button), gtk_image_new_from_icon_name(icon, GTK_ICON_SIZE_BUTTON));
	/* A menu of the old kind: it shows what keys do the same. */
	gtk_menu_button_set_use_popover(GTK_MENU_BUTTON(button), FALSE);
	gtk_menu_button_set_menu_model(GTK_MENU_BUTTON(button), menu);
	gtk_widget_set_focus_on_click(button, FALSE);
	gtk_widget_set_tooltip_text(button, description);
	window_set_accessible(button, name, description);
	g_object_unref(menu);
	return button;
}

static GtkWidget *title_label(const char *text, const char *class)
{
	GtkWidget *label = gtk_label_new(text);

	gtk_style_context_add_class(gtk_widget_get_style_context(label), class);
	gtk_label_set_ellipsize(GTK_LABEL(label), PANGO_ELLIPSIZE_END);
	gtk_label_set_single_line_mode(GTK_LABEL(label), TRUE);
	return label;
}

/* The window's own title, which tells more, is for task bars: a header bar would show that. */
static GtkWidget *create_title(struct window *window)
{
	GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 0);

	window->status_label = title_label("", "subtitle");
	/* Its name is its text. */
	atk_object_set_description(gtk_widget_get_accessible(window->status_label), "Status");
	gtk_container_add(GTK_CONTAINER(box), title_label(window->host->guest_name, "title"));
	gtk_container_add(GTK_CONTAINER(box), window->status_label);
	gtk_widget_set_valign(box, GTK_ALIGN_CENTER);
	return box;
}

static void create_header(struct window *window)
{
	GtkHeaderBar *header;

	window->header = gtk_header_bar_new();
	header = GTK_HEADER_BAR(window->header);
	gtk_header_bar_set_show_close_button(header, TRUE);
	gtk_header_bar_set_custom_title(header, create_title(window));
	window->pause_button = header_button("media-playback-pause-symbolic", "win.pause", "Pause",
		"Pause the guest, or let it go on");
	gtk_header_bar_pack_start(header, window->pause_button);
	if (window->console) {
		GtkWidget *switcher = gtk_stack_switcher_new();

		gtk_stack_switcher_set_stack(
			GTK_STACK_SWITCHER(switcher), GTK_STACK(window->stack));
		window_set_accessible(switcher, "Tabs", "The guest's screen or its serial console");
		gtk_header_bar_pack_start(header, switcher);
	}
	window->menu_button = menu_button("open-menu-symbolic", menu_of_machine(window), "Menu",
		"What can be done with the guest");
	gtk_header_bar_pack_end(header, window->menu_button);
	gtk_header_bar_pack_end(
		header, header_button("view-fullscreen-symbolic", "win.fullscreen", "Full screen",
				"Show the guest on all of the screen"));
	gtk_header_bar_pack_end(
		header, menu_button("input-keyboard-symbolic", menu_of_keys(), "Send keys",
				"Send the guest keys that the desktop keeps"));
	gtk_window_set_titlebar(GTK_WINDOW(window->window), window->header);
}

/* What was clicked or chosen elsewhere is done; the guest has the keys again. */
static void on_tab(GObject *stack, GParamSpec *spec, gpointer opaque)
{
	struct window *window = opaque;

	(void)stack;
	(void)spec;
	actions_refresh(window);
	gtk_widget_child_focus(
		gtk_stack_get_visible_child(GTK_STACK(window->stack)), GTK_DIR_TAB_FORWARD);
}

GdkPixbuf *window_icon(void)
{
	GdkPixbuf *icon = gdk_pixbuf_new(GDK_COLORSPACE_RGB, TRUE, 8, ICON_SIZE, ICON_SIZE);
	int stride = gdk_pixbuf_get_rowstride(icon);
	guchar *bytes = gdk_pixbuf_get_pixels(icon);
	uint32_t pixels[ICON_SIZE * ICON_SIZE];

	icon_draw(pixels);
	for (int i = 0; i < ICON_SIZE * ICON_SIZE; i++) {
		guchar *to = bytes + i / ICON_SIZE * stride + i % ICON_SIZE * 4;

		to[0] = (guchar)(pixels[i] >> 16);
		to[1] = (guchar)(pixels[i] >> 8);
		to[2] = (guchar)pixels[i];
		to[3] = (guchar)(pixels[i] >> 24);
	}
	return icon;
}

/* The theme's, which has it in every size; without an installation there is none. */
static void set_icon(struct window *window)
{
	GdkPixbuf *icon;

	if (gtk_icon_theme_has_icon(gtk_icon_theme_get_default(), "vmgui")) {
		gtk_window_set_icon_name(GTK_WINDOW(window->window), "vmgui");
		return;
	}
	icon = window_icon();
	gtk_window_set_icon(GTK_WINDOW(window->window), icon);
	g_object_unref(icon);
}

int window_create(struct window *window, struct error *err)
{
	view_init(&window->view, window->view.reader);
	window->view.changed = on_view_changed;
	window->view.opaque = window;
	window->state = window->host->control->state(window->host->control->opaque);
	window->window = gtk_application_window_new(window->application);
	if (!window->window)
		return error_set(err, ENODEV, "gtk: cannot open a window");
	gtk_application_window_set_show_menubar(GTK_APPLICATION_WINDOW(window->window), FALSE);
	set_icon(window);
	gtk_window_set_role(GTK_WINDOW(window->window), "guest");
	window->stack = gtk_stack_new();
	gtk_stack_add_titled(GTK_STACK(window->stack), window->view.frame, "screen", "Screen");
	console_init(window);
	create_header(window);
	gtk_container_add(GTK_CONTAINER(window->window), bars_create(window, window->stack));
	actions_init(window);
	keyboard_init(window);
	pointer_init(window);
	theme_init(window);
	recall(window);
	g_signal_connect(window->window, "delete-event", G_CALLBACK(on_delete), window);
	g_signal_connect(window->window, "map-event", G_CALLBACK(on_mapped), window);
	g_signal_connect(window->window, "window-state-event", G_CALLBACK(on_window_state), window);
	g_signal_connect(window->stack, "notify::visible-child", G_CALLBACK(on_tab), window);
	g_signal_connect(
		window->view.frame, "size-allocate", G_CALLBACK(on_frame_allocated), window);
	view_update(&window->view);
	window_adapt_size(window);
	window_refresh(window);
	if (window->settings->fullscreen)
		gtk_window_fullscreen(GTK_WINDOW(window->window));
	gtk_widget_show_all(window->window);
	gtk_widget_grab_focus(window->view.area);
	if (window->state == VM_ENDED)
		show_end(window);
	return 0;
}

void window_destroy(struct window *window)
{
	if (!window->window)
		return;
	if (window->settle_timer) {
		g_source_remove(window->settle_timer);
		on_settled(window);
	}
	remember(window);
	pointer_set_grab(window, false);
	if (window->rate_timer)
		g_source_remove(window->rate_timer);
	theme_fini(window);
	actions_fini(window);
	bars_fini(window);
	console_fini(window);
	pointer_fini(window);
	if (window->view.tick)
		gtk_widget_remove_tick_callback(window->view.area, window->view.tick);
	window->view.changed = NULL;
	gtk_widget_destroy(window->window);
	window->window = NULL;
	view_fini(&window->view);
}
