/* What the window's menus, buttons and shortcuts do: GActions of the window, which the session bus
 * offers to scripts, too. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "display/gtk/shortcuts.h"
#include "display/gtk/window.h"
#include "display/png_file.h"

#define LONG_PASTE 64 /* strokes: from here on its progress is shown */

/* ---- The machine ---- */

static void on_pause(GSimpleAction *action, GVariant *parameter, gpointer opaque)
{
	struct window *window = opaque;

	(void)action;
	(void)parameter;
	window->host->control->toggle_pause(window->host->control->opaque);
}

static void on_power_down(GSimpleAction *action, GVariant *parameter, gpointer opaque)
{
	struct window *window = opaque;

	(void)action;
	(void)parameter;
	bars_tell(window, GTK_MESSAGE_INFO,
		"The guest was asked to power down. Ask once more within 10 seconds to end it at "
		"once.",
		NULL, NULL, -1, 10);
	window->host->control->request_powerdown(window->host->control->opaque);
}

static void close_dialog(struct window *window)
{
	if (window->dialog)
		gtk_widget_destroy(window->dialog);
}

static void on_dialog_gone(GtkWidget *dialog, gpointer opaque)
{
	struct window *window = opaque;

	if (window->dialog == dialog)
		window->dialog = NULL;
}

static void show_dialog(struct window *window, GtkWidget *dialog)
{
	close_dialog(window);
	window->dialog = dialog;
	gtk_window_set_transient_for(GTK_WINDOW(dialog), GTK_WINDOW(window->window));
	gtk_window_set_modal(GTK_WINDOW(dialog), TRUE);
	g_signal_connect(dialog, "destroy", G_CALLBACK(on_dialog_gone), window);
	gtk_widget_show(dialog);
}

static void confirm(struct window *window, const char *question, const char *consequence,
	const char *button, void (*on_response)(GtkDialog *, int, gpointer))
{
	GtkWidget *dialog = gtk_message_dialog_new(GTK_WINDOW(window->window),
		GTK_DIALOG_MODAL | GTK_DIALOG_USE_HEADER_BAR, GTK_MESSAGE_WARNING, GTK_BUTTONS_NONE,
		"%s", question);
	GtkWidget *yes;

	gtk_message_dialog_format_secondary_text(GTK_MESSAGE_DIALOG(dialog), "%s", consequence);
	gtk_dialog_add_button(GTK_DIALOG(dialog), "_Cancel", GTK_RESPONSE_CANCEL);
	yes = gtk_dialog_add_button(GTK_DIALOG(dialog), button, GTK_RESPONSE_ACCEPT);
	gtk_style_context_add_class(gtk_widget_get_style_context(yes), "destructive-action");
	gtk_dialog_set_default_response(GTK_DIALOG(dialog), GTK_RESPONSE_CANCEL);
	g_signal_connect(dialog, "response", G_CALLBACK(on_response), window);
	show_dialog(window, dialog);
}

static void on_reset_response(GtkDialog *dialog, int response, gpointer opaque)
{
	struct window *window = opaque;

	gtk_widget_destroy(GTK_WIDGET(dialog));
	if (response == GTK_RESPONSE_ACCEPT)
		window->host->control->request_reset(window->host->control->opaque);
}

static void on_reset(GSimpleAction *action, GVariant *parameter, gpointer opaque)
{
	(void)action;
	(void)parameter;
	confirm(opaque, "Reset the guest?",
		"As with a computer's reset button: what it has not saved is lost.", "_Reset",
		on_reset_response);
}

static void on_force_off_response(GtkDialog *dialog, int response, gpointer opaque)
{
	struct window *window = opaque;

	gtk_widget_destroy(GTK_WIDGET(dialog));
	if (response == GTK_RESPONSE_ACCEPT)
		window->host->control->request_quit(window->host->control->opaque);
}

static void on_force_off(GSimpleAction *action, GVariant *parameter, gpointer opaque)
{
	(void)action;
	(void)parameter;
	confirm(opaque, "Force the guest off?",
		"As with pulling a computer's plug: what it has not saved is lost.", "Force _Off",
		on_force_off_response);
}

/* ---- Keys ---- */

static void on_send_keys(GSimpleAction *action, GVariant *parameter, gpointer opaque)
{
	const struct key_combination *keys =
		key_combination_find(g_variant_get_string(parameter, NULL));
	size_t count = 0;

	(void)action;
	if (!keys)
		return;
	while (count < array_size(keys->codes) && keys->codes[count])
		count++;
	keyboard_send(opaque, keys->codes, count);
}

static void on_grab(GSimpleAction *action, GVariant *parameter, gpointer opaque)
{
	struct window *window = opaque;

	(void)action;
	(void)parameter;
	if (!window->grabbed)
		gtk_widget_grab_focus(window->view.area);
	pointer_set_grab(window, !window->grabbed);
}

/* ---- Pasting ---- */

static void on_typist(void *opaque)
{
	window_wake(opaque, NEWS_TYPIST);
}

static int create_typist(struct window *window, struct error *err)
{
	const struct keymap *keymap = window->settings->keymap;
	int result = 0;

	if (window->typist)
		return 0;
	if (!keymap && !window->keymap)
		result = keymap_create("us", &window->keymap, err);
	if (result)
		return result;
	return typist_create(window->host->router, keymap ? keymap : window->keymap, on_typist,
		window, &window->typist, err);
}

static void end_typing(struct window *window)
{
	if (window->typing > LONG_PASTE)
		bars_hush(window);
	window->typing = 0;
	actions_refresh(window);
}

void actions_type(struct window *window)
{
	size_t left, done;
	char text[80];

	if (!window->typist || !window->typing)
		return;
	left = typist_step(window->typist);
	if (!left) {
		end_typing(window);
		return;
	}
	if (window->typing <= LONG_PASTE)
		return;
	if (left > window->typing)
		left = window->typing;
	done = (window->typing - left) * 1000 / window->typing;
	if (done == window->typing_shown)
		return;
	window->typing_shown = done;
	snprintf(text, sizeof(text), "Typing the clipboard's text: %zu keys to go", left);
	bars_tell(window, GTK_MESSAGE_INFO, text, "Cancel", "win.cancel-paste", (double)done / 1000,
		0);
}

static void type_text(struct window *window, const char *text)
{
	struct error err;
	size_t skipped = 0;
	char note[160];
	int result = create_typist(window, &err);

	if (!result) {
		result = typist_add(window->typist, text, strlen(text), &skipped);
		if (result == -EFBIG)
			error_set(&err, EFBIG, "the text is too long to be typed");
		else if (result)
			error_set(&err, -result, "the text cannot be typed: %s", strerror(-result));
	}
	if (result) {
		bars_tell(window, GTK_MESSAGE_ERROR, err.text, NULL, NULL, -1, 8);
		return;
	}
	if (skipped) {
		snprintf(note, sizeof(note),
			"Left out: %zu characters that the guest's keyboard does not have.",
			skipped);
		bars_tell(window, GTK_MESSAGE_WARNING, note, NULL, NULL, -1, 8);
	}
	window->typing = typist_step(window->typist);
	window->typing_shown = SIZE_MAX;
	actions_type(window);
	actions_refresh(window);
}

/* The clipboard's owner may answer when the window is gone. */
static void on_clipboard_text(GtkClipboard *clipboard, const char *text, gpointer opaque)
{
	struct window **asker = opaque, *window = *asker;

	(void)clipboard;
	g_free(asker);
	if (!window)
		return;
	window->clipboard_asker = NULL;
	if (text && *text)
		type_text(window, text);
	else
		bars_tell(window, GTK_MESSAGE_INFO, "The clipboard holds no text.", NULL, NULL, -1,
			5);
}

static GtkClipboard *clipboard_of(struct window *window)
{
	return gtk_clipboard_get_for_display(
		gtk_widget_get_display(window->window), GDK_SELECTION_CLIPBOARD);
}

static void on_paste(GSimpleAction *action, GVariant *parameter, gpointer opaque)
{
	struct window *window = opaque;

	(void)action;
	(void)parameter;
	if (!window->host->router || window->clipboard_asker)
		return;
	window->clipboard_asker = g_new(struct window *, 1);
	*window->clipboard_asker = window;
	gtk_clipboard_request_text(
		clipboard_of(window), on_clipboard_text, window->clipboard_asker);
}

static void on_cancel_paste(GSimpleAction *action, GVariant *parameter, gpointer opaque)
{
	struct window *window = opaque;

	(void)action;
	(void)parameter;
	if (!window->typist || !window->typing)
		return;
	typist_cancel(window->typist);
	end_typing(window);
}

/* ---- Screenshots ---- */

/* Here and not by the machine (vm_control.save_screenshot), so that the window can tell how it went
 * to somebody who sees no terminal. */
static void save_picture(struct window *window, const char *path)
{
	char text[PATH_MAX + 32], *whole;
	struct error err;

	if (png_file_write_surface(path, window->host->surface, &err)) {
		bars_tell(window, GTK_MESSAGE_ERROR, err.text, NULL, NULL, -1, 10);
		log_warn("gtk", "%s", err.text);
		return;
	}
	whole = realpath(path, NULL);
	snprintf(text, sizeof(text), "The screenshot is in %s", whole ? whole : path);
	free(whole);
	bars_tell(window, GTK_MESSAGE_INFO, text, NULL, NULL, -1, 5);
	log_info("gtk", "screenshot: %s", path);
}

static void on_screenshot(GSimpleAction *action, GVariant *parameter, gpointer opaque)
{
	struct window *window = opaque;
	char name[128];

	(void)action;
	(void)parameter;
	png_file_name(window->host->guest_name, name, sizeof(name));
	save_picture(window, name);
}

static void on_save_response(GtkDialog *dialog, int response, gpointer opaque)
{
	char *path = NULL;

	if (response == GTK_RESPONSE_ACCEPT)
		path = gtk_file_chooser_get_filename(GTK_FILE_CHOOSER(dialog));
	gtk_widget_destroy(GTK_WIDGET(dialog));
	if (path)
		save_picture(opaque, path);
	g_free(path);
}

static void on_screenshot_as(GSimpleAction *action, GVariant *parameter, gpointer opaque)
{
	struct window *window = opaque;
	GtkWidget *dialog = gtk_file_chooser_dialog_new("Save the screenshot as",
		GTK_WINDOW(window->window), GTK_FILE_CHOOSER_ACTION_SAVE, "_Cancel",
		GTK_RESPONSE_CANCEL, "_Save", GTK_RESPONSE_ACCEPT, NULL);
	GtkFileFilter *filter = gtk_file_filter_new();
	char name[128];

	(void)action;
	(void)parameter;
	png_file_name(window->host->guest_name, name, sizeof(name));
	gtk_file_filter_set_name(filter, "PNG pictures");
	gtk_file_filter_add_mime_type(filter, "image/png");
	gtk_file_chooser_add_filter(GTK_FILE_CHOOSER(dialog), filter);
	gtk_file_chooser_set_current_name(GTK_FILE_CHOOSER(dialog), name);
	gtk_file_chooser_set_do_overwrite_confirmation(GTK_FILE_CHOOSER(dialog), TRUE);
	gtk_dialog_set_default_response(GTK_DIALOG(dialog), GTK_RESPONSE_ACCEPT);
	g_signal_connect(dialog, "response", G_CALLBACK(on_save_response), window);
	show_dialog(window, dialog);
}

static void on_screenshot_copy(GSimpleAction *action, GVariant *parameter, gpointer opaque)
{
	struct window *window = opaque;
	cairo_surface_t *image = view_screenshot(&window->view);
	GdkPixbuf *pixbuf = NULL;

	(void)action;
	(void)parameter;
	if (image) {
		pixbuf = gdk_pixbuf_get_from_surface(image, 0, 0,
			cairo_image_surface_get_width(image),
			cairo_image_surface_get_height(image));
		cairo_surface_destroy(image);
	}
	if (!pixbuf) {
		bars_tell(window, GTK_MESSAGE_ERROR, "There is no picture to copy.", NULL, NULL, -1,
			5);
		return;
	}
	gtk_clipboard_set_image(clipboard_of(window), pixbuf);
	g_object_unref(pixbuf);
	bars_tell(
		window, GTK_MESSAGE_INFO, "The screenshot is in the clipboard.", NULL, NULL, -1, 3);
}

/* ---- The view ---- */

static void on_fullscreen(GSimpleAction *action, GVariant *parameter, gpointer opaque)
{
	struct window *window = opaque;

	(void)action;
	(void)parameter;
	if (window->fullscreen)
		gtk_window_unfullscreen(GTK_WINDOW(window->window));
	else
		gtk_window_fullscreen(GTK_WINDOW(window->window));
}

static void set_scale(struct window *window, enum display_scale scale, unsigned percent)
{
	window->zoomed = true;
	view_set_scale(&window->view, scale, percent);
	window_adapt_size(window);
	actions_refresh(window);
}

static void on_scale(GSimpleAction *action, GVariant *parameter, gpointer opaque)
{
	const char *name = g_variant_get_string(parameter, NULL);
	unsigned percent;

	(void)action;
	if (!strcmp(name, "fit"))
		set_scale(opaque, DISPLAY_SCALE_FIT, 100);
	else if (!strcmp(name, "integer"))
		set_scale(opaque, DISPLAY_SCALE_INTEGER, 100);
	else if (sscanf(name, "%3u", &percent) == 1 && percent >= 25 && percent <= 800)
		set_scale(opaque, DISPLAY_SCALE_FIXED, percent);
}

static void zoom(struct window *window, int direction)
{
	unsigned percent = view_percent(&window->view);

	if (percent)
		set_scale(window, DISPLAY_SCALE_FIXED, geometry_zoom(percent, direction));
}

static void on_zoom_in(GSimpleAction *action, GVariant *parameter, gpointer opaque)
{
	(void)action;
	(void)parameter;
	zoom(opaque, 1);
}

static void on_zoom_out(GSimpleAction *action, GVariant *parameter, gpointer opaque)
{
	(void)action;
	(void)parameter;
	zoom(opaque, -1);
}

static const char *const filter_names[] = { [DISPLAY_FILTER_AUTO] = "auto",
	[DISPLAY_FILTER_NEAREST] = "nearest",
	[DISPLAY_FILTER_SMOOTH] = "smooth" };

static void on_filter(GSimpleAction *action, GVariant *parameter, gpointer opaque)
{
	struct window *window = opaque;

	(void)action;
	for (size_t i = 0; i < array_size(filter_names); i++) {
		if (!strcmp(filter_names[i], g_variant_get_string(parameter, NULL)))
			view_set_filter(&window->view, (enum display_filter)i);
	}
	actions_refresh(window);
}

static void on_tab(GSimpleAction *action, GVariant *parameter, gpointer opaque)
{
	struct window *window = opaque;

	(void)action;
	if (gtk_stack_get_child_by_name(
		    GTK_STACK(window->stack), g_variant_get_string(parameter, NULL)))
		gtk_stack_set_visible_child_name(
			GTK_STACK(window->stack), g_variant_get_string(parameter, NULL));
}

/* ---- The window ---- */

static void on_menu(GSimpleAction *action, GVariant *parameter, gpointer opaque)
{
	struct window *window = opaque;

	(void)action;
	(void)parameter;
	if (window->fullscreen)
		bars_show_top(window);
	gtk_button_clicked(
		GTK_BUTTON(window->fullscreen ? window->bar_menu_button : window->menu_button));
}

static void on_close(GSimpleAction *action, GVariant *parameter, gpointer opaque)
{
	(void)action;
	(void)parameter;
	window_close_asked(opaque);
}

static void add_shortcut(GtkWidget *group, const char *accelerator, const char *title)
{
	GtkWidget *row = g_object_new(GTK_TYPE_SHORTCUTS_SHORTCUT, "accelerator", accelerator,
		"title", title, "visible", TRUE, NULL);

	gtk_container_add(GTK_CONTAINER(group), row);
}

/* Modifiers alone are no accelerator that GTK could draw. */
static void add_gesture(GtkWidget *group, const char *keys, const char *title)
{
	char *text = g_strdup_printf("%s: %s", keys, title);

	gtk_container_add(GTK_CONTAINER(group),
		g_object_new(GTK_TYPE_SHORTCUTS_SHORTCUT, "shortcut-type", GTK_SHORTCUT_GESTURE,
			"title", text, "icon-set", FALSE, "visible", TRUE, NULL));
	g_free(text);
}

static void on_shortcuts(GSimpleAction *action, GVariant *parameter, gpointer opaque)
{
	struct window *window = opaque;
	GtkWidget *dialog =
		g_object_new(GTK_TYPE_SHORTCUTS_WINDOW, "title", "Keyboard Shortcuts", NULL);
	GtkWidget *section = g_object_new(
		GTK_TYPE_SHORTCUTS_SECTION, "section-name", "vmgui", "visible", TRUE, NULL);
	GtkWidget *group = g_object_new(GTK_TYPE_SHORTCUTS_GROUP, "title",
		"Also while the guest has the keyboard", "visible", TRUE, NULL);
	const struct key_chord *chord = &window->settings->release;
	char *release = menu_accelerator(chord);

	(void)action;
	(void)parameter;
	if (release)
		add_shortcut(group, release, "Give keyboard and mouse to the guest, or take back");
	else if (chord->keysym)
		add_gesture(
			group, chord->text, "Give keyboard and mouse to the guest, or take back");
	g_free(release);
	for (const struct shortcut *shortcut = shortcuts; shortcut->action; shortcut++) {
		if (shortcut->title)
			add_shortcut(group, shortcut->accelerator, shortcut->title);
	}
	gtk_container_add(GTK_CONTAINER(section), group);
	gtk_container_add(GTK_CONTAINER(dialog), section);
	show_dialog(window, dialog);
}

static void on_about_response(GtkDialog *dialog, int response, gpointer opaque)
{
	(void)response;
	(void)opaque;
	gtk_widget_destroy(GTK_WIDGET(dialog));
}

static void on_about(GSimpleAction *action, GVariant *parameter, gpointer opaque)
{
	GtkWidget *dialog = gtk_about_dialog_new();
	GtkAboutDialog *about = GTK_ABOUT_DIALOG(dialog);
	GdkPixbuf *logo = window_icon();

	(void)action;
	(void)parameter;
	gtk_about_dialog_set_program_name(about, "vmgui");
	gtk_about_dialog_set_version(about, VMGUI_VERSION);
	gtk_about_dialog_set_comments(about, "Runs a virtual machine in a window, on Linux's KVM");
	gtk_about_dialog_set_license_type(about, GTK_LICENSE_GPL_2_0);
	gtk_about_dialog_set_logo(about, logo);
	g_object_unref(logo);
	g_signal_connect(dialog, "response", G_CALLBACK(on_about_response), NULL);
	show_dialog(opaque, dialog);
}

/* ---- All of them ---- */

static const GActionEntry entries[] = {
	{ .name = "pause", .activate = on_pause, .state = "false" },
	{ .name = "power-down", .activate = on_power_down },
	{ .name = "reset", .activate = on_reset },
	{ .name = "force-off", .activate = on_force_off },
	{ .name = "send-keys", .activate = on_send_keys, .parameter_type = "s" },
	{ .name = "grab", .activate = on_grab, .state = "false" },
	{ .name = "paste", .activate = on_paste },
	{ .name = "cancel-paste", .activate = on_cancel_paste },
	{ .name = "screenshot", .activate = on_screenshot },
	{ .name = "screenshot-as", .activate = on_screenshot_as },
	{ .name = "screenshot-copy", .activate = on_screenshot_copy },
	{ .name = "fullscreen", .activate = on_fullscreen, .state = "false" },
	{ .name = "scale", .activate = on_scale, .parameter_type = "s", .state = "'fit'" },
	{ .name = "zoom-in", .activate = on_zoom_in },
	{ .name = "zoom-out", .activate = on_zoom_out },
	{ .name = "filter", .activate = on_filter, .parameter_type = "s", .state = "'auto'" },
	{ .name = "tab", .activate = on_tab, .parameter_type = "s", .state = "'screen'" },
	{ .name = "menu", .activate = on_menu },
	{ .name = "shortcuts", .activate = on_shortcuts },
	{ .name = "about", .activate = on_about },
	{ .name = "close", .activate = on_close },
};

static GSimpleAction *find(struct window *window, const char *name)
{
	return G_SIMPLE_ACTION(g_action_map_lookup_action(G_ACTION_MAP(window->window), name));
}

static void enable(struct window *window, const char *name, bool enabled)
{
	g_simple_action_set_enabled(find(window, name), enabled);
}

static void set_state(struct window *window, const char *name, GVariant *state)
{
	g_simple_action_set_state(find(window, name), state);
}

static void show_paused(GtkWidget *button, bool paused)
{
	gtk_button_set_image(GTK_BUTTON(button),
		gtk_image_new_from_icon_name(
			paused ? "media-playback-start-symbolic" : "media-playback-pause-symbolic",
			GTK_ICON_SIZE_BUTTON));
	window_set_accessible(button, paused ? "Go on" : "Pause", NULL);
}

void actions_refresh(struct window *window)
{
	bool alive = window->state != VM_ENDED, paused = window->state == VM_PAUSED;
	bool types = alive && !paused && window->source;
	char percent[16];

	enable(window, "pause", alive);
	enable(window, "power-down", alive);
	enable(window, "reset", alive);
	enable(window, "force-off", alive);
	enable(window, "send-keys", types);
	enable(window, "grab", types);
	enable(window, "paste", types && !window->typing);
	enable(window, "cancel-paste", window->typing > 0);
	enable(window, "screenshot", window->view.image != NULL);
	enable(window, "screenshot-as", window->view.image != NULL);
	enable(window, "screenshot-copy", window->view.image != NULL);
	set_state(window, "pause", g_variant_new_boolean(paused));
	set_state(window, "grab", g_variant_new_boolean(window->grabbed));
	set_state(window, "fullscreen", g_variant_new_boolean(window->fullscreen));
	set_state(window, "filter", g_variant_new_string(filter_names[window->view.filter]));
	snprintf(percent, sizeof(percent), "%u", window->view.percent);
	set_state(window, "scale",
		g_variant_new_string(window->view.scale == DISPLAY_SCALE_FIT       ? "fit"
				     : window->view.scale == DISPLAY_SCALE_INTEGER ? "integer"
										   : percent));
	set_state(window, "tab",
		g_variant_new_string(
			gtk_stack_get_visible_child_name(GTK_STACK(window->stack)) ?: "screen"));
	show_paused(window->pause_button, paused);
	show_paused(window->bar_pause_button, paused);
}

void actions_activate(struct window *window, const char *detailed)
{
	GVariant *target = NULL;
	char *name = NULL;

	if (!g_action_parse_detailed_name(detailed, &name, &target, NULL))
		return;
	g_action_group_activate_action(
		G_ACTION_GROUP(window->window), name + strlen("win."), target);
	g_free(name);
	if (target)
		g_variant_unref(target);
}

void actions_init(struct window *window)
{
	g_action_map_add_action_entries(
		G_ACTION_MAP(window->window), entries, (int)array_size(entries), window);
	/* For menus, to show them, and for when the guest has not got the keyboard. */
	for (const struct shortcut *shortcut = shortcuts; shortcut->action; shortcut++) {
		const char *accelerators[8] = { NULL };
		size_t count = 0;

		for (const struct shortcut *same = shortcuts; same->action; same++) {
			if (!strcmp(same->action, shortcut->action) && count < 7)
				accelerators[count++] = same->accelerator;
		}
		gtk_application_set_accels_for_action(
			window->application, shortcut->action, accelerators);
	}
}

void actions_fini(struct window *window)
{
	if (window->clipboard_asker)
		*window->clipboard_asker = NULL;
	window->clipboard_asker = NULL;
	close_dialog(window);
	typist_destroy(window->typist);
	keymap_destroy(window->keymap);
	window->typist = NULL;
	window->keymap = NULL;
	/* What was copied stays, if somebody keeps it. */
	gtk_clipboard_store(clipboard_of(window));
}
