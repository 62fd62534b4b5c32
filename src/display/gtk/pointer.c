/* The mouse to the guest, and the grab.
 *
 * A guest with an absolute pointer is told places, and nothing is grabbed but the keyboard, if the
 * user asks for that by the release chord. One that has only a relative mouse gets it, and the
 * keyboard with it, by a click.
 *
 * GTK 3 has no relative motion. On X11 the hidden pointer is put back into the middle of the area
 * whenever it has gone some way, and motion is what it went in between; on Wayland, where nobody
 * may move the pointer, pointer_lock.c has the compositor hold it. */
#include <gtk/gtk.h>
#include <linux/input-event-codes.h>
#include <math.h>
#include <string.h>

#ifdef GDK_WINDOWING_X11
#include <gdk/gdkx.h>
#endif

#include "core/log.h"
#include "display/gtk/pointer_lock.h"
#include "display/gtk/window.h"

#define DETENT 120.0 /* wheel units, core/input_sink.h */

static bool is_absolute(struct window *window)
{
	return atomic_load(&window->capabilities) & INPUT_POINTER_ABSOLUTE;
}

bool pointer_can_be_relative(struct window *window)
{
	return window->source && !is_absolute(window) &&
	       (atomic_load(&window->capabilities) & INPUT_POINTER_RELATIVE);
}

/* Whether the guest follows the mouse at the moment. */
static bool is_following(struct window *window)
{
	return window->source && (is_absolute(window) || window->relative);
}

static GdkSeat *seat_of(struct window *window)
{
	return gdk_display_get_default_seat(gtk_widget_get_display(window->window));
}

/* ---- The grab ---- */

static void set_cursor(struct window *window)
{
	bool hidden = (is_absolute(window) && window->source) || window->relative;
	GdkWindow *area = gtk_widget_get_window(window->view.area);

	if (!area || hidden == window->cursor_hidden)
		return;
	window->cursor_hidden = hidden;
	gdk_window_set_cursor(area, hidden ? window->no_cursor : NULL);
}

static bool is_x11(struct window *window)
{
#ifdef GDK_WINDOWING_X11
	return GDK_IS_X11_DISPLAY(gtk_widget_get_display(window->window));
#else
	(void)window;
	return false;
#endif
}

/* The middle of the area on the screen. */
static void middle(struct window *window, int *x, int *y)
{
	gdk_window_get_origin(gtk_widget_get_window(window->view.area), x, y);
	*x += gtk_widget_get_allocated_width(window->view.area) / 2;
	*y += gtk_widget_get_allocated_height(window->view.area) / 2;
}

static void put_back(struct window *window)
{
	int x, y;

	middle(window, &x, &y);
	gdk_device_warp(
		gdk_seat_get_pointer(seat_of(window)), gtk_widget_get_screen(window->window), x, y);
	window->warped = true;
}

static bool take(struct window *window)
{
	GdkWindow *toplevel = gtk_widget_get_window(window->window), *target = toplevel;
	GdkSeatCapabilities what = GDK_SEAT_CAPABILITY_KEYBOARD;
	bool relative = pointer_can_be_relative(window);
	GdkGrabStatus status;
	GdkDevice *device;

	if (!toplevel || !gtk_widget_get_mapped(window->window))
		return false;
	if (relative && is_x11(window)) {
		what = GDK_SEAT_CAPABILITY_ALL;
		/* All of it is the area's: a quick hand is over the header bar before the pointer
		 * is put back, and its click must not press a button there. */
		target = gtk_widget_get_window(window->view.area);
	} else if (relative && !(window->lock && pointer_lock_take(window->lock, toplevel)))
		relative = false; /* the keyboard can be had even so */
	status = gdk_seat_grab(seat_of(window), target, what, target == toplevel, window->no_cursor,
		NULL, NULL, NULL);
	if (status != GDK_GRAB_SUCCESS) {
		log_debug("gtk", "no grab: %d", (int)status);
		if (relative && window->lock)
			pointer_lock_release(window->lock);
		return false;
	}
	window->relative = relative;
	if (relative && is_x11(window)) {
		device = gdk_seat_get_pointer(seat_of(window));
		gdk_window_set_event_compression(gtk_widget_get_window(window->view.area), FALSE);
		gdk_device_get_position_double(device, NULL, &window->last_x, &window->last_y);
		put_back(window);
	}
	return true;
}

static void let_go(struct window *window)
{
	GdkWindow *area = gtk_widget_get_window(window->view.area);

	gdk_seat_ungrab(seat_of(window));
	if (window->relative && window->lock)
		pointer_lock_release(window->lock);
	if (area)
		gdk_window_set_event_compression(area, TRUE);
	window->relative = false;
	window->warped = false;
}

void pointer_set_grab(struct window *window, bool grab)
{
	if (grab == window->grabbed || (grab && !window->source))
		return;
	if (grab && !take(window)) {
		bars_tell(window, GTK_MESSAGE_WARNING,
			"The desktop does not let vmgui have the keyboard at the moment.", NULL,
			NULL, -1, 5);
		return;
	}
	window->grabbed = grab;
	if (!grab)
		let_go(window);
	set_cursor(window);
	window_refresh_status(window);
	actions_refresh(window);
}

void pointer_refresh(struct window *window)
{
	/* It can do with less, or needs another kind. */
	if (window->grabbed && window->relative && is_absolute(window))
		pointer_set_grab(window, false);
	set_cursor(window);
}

static gboolean on_grab_broken(GtkWidget *widget, GdkEventGrabBroken *event, gpointer opaque)
{
	(void)widget;
	(void)event;
	pointer_set_grab(opaque, false);
	return FALSE;
}

/* ---- Motion ---- */

static int take_whole(double *amount)
{
	int whole = (int)*amount;

	*amount -= whole;
	return whole;
}

void pointer_move_relative(struct window *window, double dx, double dy)
{
	int whole_x, whole_y;

	view_scale_motion(&window->view, &dx, &dy);
	window->rest_x += dx;
	window->rest_y += dy;
	whole_x = take_whole(&window->rest_x);
	whole_y = take_whole(&window->rest_y);
	if (!whole_x && !whole_y)
		return;
	input_outbox_relative(&window->outbox, whole_x, whole_y);
	input_outbox_sync(&window->outbox);
}

/* X11's. Motion that was on its way when the pointer was put back still counts from where it was
 * before; the first that is in the middle is our own doing. */
static void move_by_warping(struct window *window, double x, double y)
{
	int middle_x, middle_y, width = gtk_widget_get_allocated_width(window->view.area);
	int height = gtk_widget_get_allocated_height(window->view.area);

	middle(window, &middle_x, &middle_y);
	if (window->warped && fabs(x - middle_x) <= 1 && fabs(y - middle_y) <= 1) {
		window->warped = false;
		window->last_x = x;
		window->last_y = y;
		return;
	}
	pointer_move_relative(window, x - window->last_x, y - window->last_y);
	window->last_x = x;
	window->last_y = y;
	if (!window->warped &&
		(fabs(x - middle_x) > width / 4.0 || fabs(y - middle_y) > height / 4.0))
		put_back(window);
}

static void place(struct window *window, unsigned x, unsigned y)
{
	input_outbox_absolute(&window->outbox, x, y, (unsigned)window->view.picture.width,
		(unsigned)window->view.picture.height);
}

/* The guest's absolute pointer to a place in the area's units. */
static void point_at(struct window *window, double area_x, double area_y)
{
	unsigned x, y;

	if (!window->source || !is_absolute(window) ||
		!view_locate(&window->view, area_x, area_y, &x, &y))
		return;
	place(window, x, y);
	input_outbox_sync(&window->outbox);
}

static gboolean on_enter(GtkWidget *area, GdkEventCrossing *event, gpointer opaque)
{
	struct window *window = opaque;

	(void)area;
	if (!window->relative)
		point_at(window, event->x, event->y);
	return FALSE;
}

static gboolean on_motion(GtkWidget *area, GdkEventMotion *event, gpointer opaque)
{
	struct window *window = opaque;

	(void)area;
	if (window->relative && is_x11(window)) {
		move_by_warping(window, event->x_root, event->y_root);
		return TRUE;
	}
	if (window->relative)
		return TRUE; /* the lock tells */
	if (window->fullscreen && event->y < 1)
		bars_show_top(window);
	point_at(window, event->x, event->y);
	return TRUE;
}

/* ---- Buttons and wheel ---- */

/* X11's numbers; GDK has Wayland's buttons numbered alike. 4 to 7 are wheels. */
static unsigned button_code(guint button)
{
	static const uint16_t codes[] = {
		[1] = BTN_LEFT, [2] = BTN_MIDDLE, [3] = BTN_RIGHT, [8] = BTN_SIDE, [9] = BTN_EXTRA
	};

	return button < array_size(codes) ? codes[button] : 0;
}

static gboolean on_button(GtkWidget *area, GdkEventButton *event, gpointer opaque)
{
	struct window *window = opaque;
	bool down = event->type == GDK_BUTTON_PRESS;
	unsigned code = button_code(event->button), x, y;

	if (event->type != GDK_BUTTON_PRESS && event->type != GDK_BUTTON_RELEASE)
		return TRUE; /* a double click: both clicks were told */
	if (down && !gtk_widget_has_focus(area))
		gtk_widget_grab_focus(area);
	if (!is_following(window)) {
		/* The click that grabs is not the guest's. */
		if (down && pointer_can_be_relative(window))
			pointer_set_grab(window, true);
		return TRUE;
	}
	if (!code)
		return TRUE;
	if (is_absolute(window) && view_locate(&window->view, event->x, event->y, &x, &y))
		place(window, x, y);
	if (!input_outbox_button(&window->outbox, code, down))
		log_guest("gtk", "a click is lost: too many wait");
	return TRUE;
}

/* What GDK says for a wheel's click. It takes Wayland's 10 for one; some compositors send 15. The
 * first single click tells. */
static double wheel_unit(struct window *window, const GdkEventScroll *event)
{
	GdkDevice *device = gdk_event_get_source_device((const GdkEvent *)event);
	double delta = fabs(event->delta_x) > fabs(event->delta_y) ? fabs(event->delta_x)
								   : fabs(event->delta_y);

	if (is_x11(window) || !device || gdk_device_get_source(device) != GDK_SOURCE_MOUSE)
		return 1;
	if (fabs(delta - 1.5) < 0.01)
		window->wheel_click = 1.5;
	else if (fabs(delta - 1) < 0.01)
		window->wheel_click = 1;
	return window->wheel_click > 0 ? window->wheel_click : 1;
}

static gboolean on_scroll(GtkWidget *area, GdkEventScroll *event, gpointer opaque)
{
	struct window *window = opaque;
	double right = 0, down = 0, unit;
	int vertical, horizontal;

	(void)area;
	if (!is_following(window))
		return TRUE;
	switch (event->direction) {
	case GDK_SCROLL_UP:
		down = -1;
		break;
	case GDK_SCROLL_DOWN:
		down = 1;
		break;
	case GDK_SCROLL_LEFT:
		right = -1;
		break;
	case GDK_SCROLL_RIGHT:
		right = 1;
		break;
	case GDK_SCROLL_SMOOTH:
		unit = wheel_unit(window, event);
		right = event->delta_x / unit;
		down = event->delta_y / unit;
		break;
	}
	window->wheel_rest_x += right * DETENT;
	window->wheel_rest_y -= down * DETENT;
	horizontal = take_whole(&window->wheel_rest_x);
	vertical = take_whole(&window->wheel_rest_y);
	if (vertical || horizontal)
		input_outbox_wheel(&window->outbox, vertical, horizontal);
	return TRUE;
}

static void on_realized(GtkWidget *area, gpointer opaque)
{
	struct window *window = opaque;

	window->cursor_hidden = false;
	window->no_cursor =
		gdk_cursor_new_for_display(gtk_widget_get_display(area), GDK_BLANK_CURSOR);
	set_cursor(window);
}

void pointer_init(struct window *window)
{
	GtkWidget *area = window->view.area;

	gtk_widget_add_events(area, GDK_ENTER_NOTIFY_MASK | GDK_POINTER_MOTION_MASK |
					    GDK_BUTTON_PRESS_MASK | GDK_BUTTON_RELEASE_MASK |
					    GDK_SCROLL_MASK | GDK_SMOOTH_SCROLL_MASK);
	g_signal_connect(area, "enter-notify-event", G_CALLBACK(on_enter), window);
	g_signal_connect(area, "motion-notify-event", G_CALLBACK(on_motion), window);
	g_signal_connect(area, "button-press-event", G_CALLBACK(on_button), window);
	g_signal_connect(area, "button-release-event", G_CALLBACK(on_button), window);
	g_signal_connect(area, "scroll-event", G_CALLBACK(on_scroll), window);
	g_signal_connect(area, "grab-broken-event", G_CALLBACK(on_grab_broken), window);
	g_signal_connect_after(area, "realize", G_CALLBACK(on_realized), window);
	window->lock = pointer_lock_create(gdk_display_get_default(), window);
}

void pointer_fini(struct window *window)
{
	pointer_lock_destroy(window->lock);
	window->lock = NULL;
	g_clear_object(&window->no_cursor);
}
