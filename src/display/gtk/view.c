/* The picture; see view.h. */
#include "display/gtk/view.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"

static int scale_factor(struct view *view)
{
	return gtk_widget_get_scale_factor(view->area);
}

/* The area in the screen's pixels. */
static struct extent area_size(struct view *view)
{
	int factor = scale_factor(view);
	struct extent size = { gtk_widget_get_allocated_width(view->area) * factor,
		gtk_widget_get_allocated_height(view->area) * factor };

	if (size.width < 1)
		size.width = 1;
	if (size.height < 1)
		size.height = 1;
	return size;
}

/* There is a picture. */
static struct placement place(struct view *view)
{
	struct extent area = area_size(view);

	return geometry_place(view->scale, view->percent, view->picture.width, view->picture.height,
		area.width, area.height, (int)gtk_adjustment_get_value(view->across),
		(int)gtk_adjustment_get_value(view->down));
}

static bool is_smooth(struct view *view, const struct placement *placement)
{
	switch (view->filter) {
	case DISPLAY_FILTER_NEAREST:
		return false;
	case DISPLAY_FILTER_SMOOTH:
	case DISPLAY_FILTER_AUTO:
		break;
	}
	/* At whole factors both look the same, but for the smoothed edges. */
	if (placement->width == view->picture.width && placement->height == view->picture.height)
		return false;
	return view->filter == DISPLAY_FILTER_SMOOTH || !redraw_is_whole(placement, view->picture);
}

/* ---- Drawing ---- */

/* Whatever is not picture. */
static void draw_margins(cairo_t *cr, const struct placement *placement, struct extent area)
{
	if (placement->x <= 0 && placement->y <= 0 &&
		placement->x + placement->width >= area.width &&
		placement->y + placement->height >= area.height)
		return;
	cairo_set_source_rgb(cr, 0, 0, 0);
	cairo_set_fill_rule(cr, CAIRO_FILL_RULE_EVEN_ODD);
	cairo_rectangle(cr, 0, 0, area.width, area.height);
	cairo_rectangle(cr, placement->x, placement->y, placement->width, placement->height);
	cairo_fill(cr);
}

static cairo_filter_t filter_of(struct view *view, const struct placement *placement)
{
	if (!is_smooth(view, placement))
		return CAIRO_FILTER_NEAREST;
	return placement->width < view->picture.width ? CAIRO_FILTER_GOOD : CAIRO_FILTER_BILINEAR;
}

/* What X servers have no filter for, cairo draws in this process. */
static bool is_for_server(struct view *view, const struct placement *placement)
{
	return view->pixmap && filter_of(view, placement) != CAIRO_FILTER_GOOD;
}

static void draw_picture(struct view *view, cairo_t *cr, const struct placement *placement)
{
	cairo_surface_t *source = is_for_server(view, placement) ? view->pixmap : view->image;
	cairo_filter_t filter = filter_of(view, placement);

	cairo_rectangle(cr, placement->x, placement->y, placement->width, placement->height);
	cairo_clip(cr);
	cairo_translate(cr, placement->x, placement->y);
	if (placement->width != view->picture.width || placement->height != view->picture.height)
		cairo_scale(cr, (double)placement->width / view->picture.width,
			(double)placement->height / view->picture.height);
	cairo_set_source_surface(cr, source, 0, 0);
	cairo_pattern_set_filter(cairo_get_source(cr), filter);
	/* Smoothing looks beyond the edge; let it find the edge again. */
	if (filter != CAIRO_FILTER_NEAREST)
		cairo_pattern_set_extend(cairo_get_source(cr), CAIRO_EXTEND_PAD);
	cairo_set_operator(cr, CAIRO_OPERATOR_SOURCE);
	cairo_paint(cr);
	if (view->dimmed) {
		cairo_set_operator(cr, CAIRO_OPERATOR_OVER);
		cairo_set_source_rgba(cr, 0, 0, 0, 0.5);
		cairo_paint(cr);
	}
}

static gboolean on_draw(GtkWidget *area, cairo_t *cr, gpointer opaque)
{
	struct view *view = opaque;
	struct extent size = area_size(view);
	struct placement placement = { 0, 0, 0, 0 };
	double unit = 1.0 / scale_factor(view);

	cairo_scale(cr, unit, unit); /* from here on in the screen's pixels */
	if (view->image)
		placement = place(view);
	draw_margins(cr, &placement, size);
	if (view->image)
		draw_picture(view, cr, &placement);
	if (view->news)
		view->frames++;
	view->news = false;
	if (view->pixmap)
		shared_mark(&view->mark, gtk_widget_get_window(area));
	return TRUE;
}

/* ---- Scrolling ---- */

static void adjust(GtkAdjustment *adjustment, GtkWidget *bar, bool needed, int shown, int area)
{
	gtk_adjustment_configure(adjustment,
		needed ? CLAMP(gtk_adjustment_get_value(adjustment), 0, shown - area) : 0, 0,
		needed ? shown : area, area / 10.0, area * 0.9, area);
	if (gtk_widget_get_visible(bar) != needed)
		gtk_widget_set_visible(bar, needed);
}

/* Scroll bars as the picture needs them. What they take from the area counts before they are
 * there, so that two that only need each other never come. */
static void refresh_bars(struct view *view)
{
	int factor = scale_factor(view), across, down;
	struct extent room = { gtk_widget_get_allocated_width(view->frame) * factor,
		gtk_widget_get_allocated_height(view->frame) * factor };
	struct placement placement = { 0, 0, 0, 0 };
	bool needs_across = false, needs_down = false;

	if (room.width <= factor || room.height <= factor)
		return; /* no size yet */
	gtk_widget_get_preferred_width(view->scroll_down, &across, NULL);
	gtk_widget_get_preferred_height(view->scroll_across, &down, NULL);
	if (view->image && view->scale != DISPLAY_SCALE_FIT) {
		placement = place(view);
		needs_down = placement.height > room.height;
		needs_across = placement.width > room.width - (needs_down ? across * factor : 0);
		needs_down = placement.height > room.height - (needs_across ? down * factor : 0);
		needs_across = placement.width > room.width - (needs_down ? across * factor : 0);
	}
	if (needs_down)
		room.width -= across * factor;
	if (needs_across)
		room.height -= down * factor;
	adjust(view->across, view->scroll_across, needs_across, placement.width, room.width);
	adjust(view->down, view->scroll_down, needs_down, placement.height, room.height);
}

static void replace(struct view *view, bool new_size)
{
	refresh_bars(view);
	gtk_widget_queue_draw(view->area);
	if (view->changed)
		view->changed(view->opaque, new_size);
}

static void on_scrolled(GtkAdjustment *adjustment, gpointer opaque)
{
	struct view *view = opaque;

	(void)adjustment;
	gtk_widget_queue_draw(view->area);
}

static gboolean refresh_bars_later(gpointer opaque)
{
	struct view *view = opaque;

	view->refresh = 0;
	replace(view, false);
	return G_SOURCE_REMOVE;
}

/* A widget must not come or go while sizes are given out. */
static void on_allocated(GtkWidget *area, GdkRectangle *allocation, gpointer opaque)
{
	struct view *view = opaque;

	(void)area;
	(void)allocation;
	if (!view->refresh)
		view->refresh =
			g_idle_add_full(GDK_PRIORITY_REDRAW - 1, refresh_bars_later, view, NULL);
}

static void on_scale_factor(GObject *object, GParamSpec *spec, gpointer opaque)
{
	(void)object;
	(void)spec;
	replace(opaque, false);
}

/* ---- The image ---- */

/* A copy that the window system can take as it is: on X11 its memory is the server's, too, and a
 * frame costs no way through the connection. NULL: no memory. */
static cairo_surface_t *create_copy(GdkWindow *window, struct extent size)
{
	cairo_surface_t *image =
		window ? gdk_window_create_similar_image_surface(
				 window, CAIRO_FORMAT_RGB24, size.width, size.height, 1)
		       : cairo_image_surface_create(CAIRO_FORMAT_RGB24, size.width, size.height);

	if (cairo_surface_status(image) == CAIRO_STATUS_SUCCESS &&
		cairo_image_surface_get_data(image))
		return image;
	cairo_surface_destroy(image);
	return NULL;
}

static void drop_image(struct view *view)
{
	if (view->image)
		cairo_surface_destroy(view->image);
	if (view->pixmap)
		cairo_surface_destroy(view->pixmap);
	view->image = view->pixmap = NULL;
}

/* fd: the picture's memory, or negative. */
static bool replace_image(struct view *view, struct extent size, int fd)
{
	GdkWindow *window = gtk_widget_get_window(view->area);
	cairo_surface_t *image, *pixmap = NULL;
	bool shared = window && fd >= 0 && shared_open(window, fd, size, &image, &pixmap);

	if (!shared)
		image = create_copy(window, size);
	if (!image)
		return false;
	drop_image(view);
	view->image = image;
	view->pixmap = pixmap;
	view->shared = shared;
	view->picture = size;
	return true;
}

static void copy_rect(unsigned char *copy, size_t stride, const struct surface_view *picture,
	const struct rect *rect)
{
	for (uint32_t y = rect->y; y < rect->y + rect->height; y++)
		memcpy(copy + y * stride + rect->x * sizeof(*picture->pixels),
			picture->pixels + (size_t)y * picture->stride_pixels + rect->x,
			rect->width * sizeof(*picture->pixels));
}

static void copy_rects(struct view *view, const struct surface_view *picture,
	const struct rect *rects, size_t count)
{
	if (view->shared)
		return;
	for (size_t i = 0; i < count; i++)
		copy_rect(cairo_image_surface_get_data(view->image),
			(size_t)cairo_image_surface_get_stride(view->image), picture, &rects[i]);
}

static struct rect whole(const struct surface_view *picture)
{
	return (struct rect){ 0, 0, picture->width, picture->height };
}

/* An image for the picture's size and the window that there is, with all of the picture. False: it
 * is as it was for now. */
static bool take_anew(struct view *view)
{
	struct rect rects[SURFACE_MAX_RECTS];
	struct surface_view picture;
	uint32_t generation;
	bool done;
	int fd;

	(void)surface_read_begin(view->reader, &picture, rects);
	generation = picture.generation;
	fd = surface_read_share(view->reader);
	/* What follows may wait for the X server, and that may go away. */
	surface_read_end(view->reader);
	done = replace_image(view, (struct extent){ (int)picture.width, (int)picture.height }, fd);
	if (fd >= 0)
		close(fd);
	if (!done) {
		log_guest("gtk", "no memory for a picture of %ux%u", picture.width, picture.height);
		return false;
	}
	view->generation = generation;
	(void)surface_read_begin(view->reader, &picture, rects);
	done = picture.generation == generation;
	rects[0] = whole(&picture);
	if (done)
		copy_rects(view, &picture, rects, 1);
	surface_read_end(view->reader);
	cairo_surface_mark_dirty(view->image);
	if (!done)
		view_wake(view);
	return done;
}

/* Now there is a window to make a better one for. */
static void on_realized(GtkWidget *area, gpointer opaque)
{
	struct view *view = opaque;

	(void)area;
	view->mark.set = false;
	if (view->image)
		(void)take_anew(view);
}

/* ---- News ---- */

static struct placement damaged_part(
	struct view *view, const struct placement *placement, const struct rect *rect)
{
	return redraw_damage(
		placement, view->picture, area_size(view), rect, is_smooth(view, placement));
}

static void queue_damage(struct view *view, const struct rect *rects, size_t count)
{
	struct placement placement = place(view);
	int factor = scale_factor(view);

	for (size_t i = 0; i < count; i++) {
		struct placement part = damaged_part(view, &placement, &rects[i]);

		part = redraw_to_units(&part, factor);
		if (part.width > 0 && part.height > 0)
			gtk_widget_queue_draw_area(
				view->area, part.x, part.y, part.width, part.height);
	}
}

/* Past GTK. False: that cannot be, or would show half a picture. */
static bool draw_at_once(struct view *view, const struct rect *rects, size_t count)
{
	GdkWindow *window = gtk_widget_get_window(view->area);
	struct placement placement = place(view);
	double unit = 1.0 / scale_factor(view);
	cairo_t *cr;

	if (view->covers || view->dimmed || !is_for_server(view, &placement) ||
		!gtk_widget_get_mapped(view->area) || !gdk_window_is_viewable(window))
		return false;
	/* What came after it would draw into GTK's buffer. */
	G_GNUC_BEGIN_IGNORE_DEPRECATIONS
	cr = gdk_cairo_create(window);
	G_GNUC_END_IGNORE_DEPRECATIONS
	cairo_scale(cr, unit, unit);
	for (size_t i = 0; i < count; i++) {
		struct placement part = damaged_part(view, &placement, &rects[i]);

		cairo_rectangle(cr, part.x, part.y, part.width, part.height);
	}
	cairo_clip(cr);
	draw_picture(view, cr, &placement);
	cairo_destroy(cr);
	shared_mark(&view->mark, window);
	view->frames++;
	return true;
}

static void show(struct view *view, const struct rect *rects, size_t count)
{
	for (size_t i = 0; i < count; i++)
		cairo_surface_mark_dirty_rectangle(view->image, (int)rects[i].x, (int)rects[i].y,
			(int)rects[i].width, (int)rects[i].height);
	if (!count || draw_at_once(view, rects, count))
		return;
	view->news = true;
	queue_damage(view, rects, count);
}

void view_update(struct view *view)
{
	struct rect rects[SURFACE_MAX_RECTS];
	struct surface_view picture;
	bool new_size;
	size_t count;

	/* May wait for the X server, which still looks at it; not with the surface locked. */
	if (view->image && !view->shared)
		cairo_surface_flush(view->image);
	count = surface_read_begin(view->reader, &picture, rects);
	new_size = picture.width && (!view->image || picture.generation != view->generation);
	if (!picture.width)
		count = 0;
	if (!new_size)
		copy_rects(view, &picture, rects, count);
	surface_read_end(view->reader);
	if (!new_size) {
		show(view, rects, count);
	} else if (take_anew(view)) {
		view->news = true;
		replace(view, true);
	}
}

static gboolean on_tick(GtkWidget *area, GdkFrameClock *clock, gpointer opaque)
{
	struct view *view = opaque;

	(void)clock;
	if (view->pixmap && shared_is_behind(&view->mark, gtk_widget_get_window(area)))
		return G_SOURCE_CONTINUE;
	view->tick = 0;
	view_update(view);
	return G_SOURCE_REMOVE;
}

void view_wake(struct view *view)
{
	if (!view->tick)
		view->tick = gtk_widget_add_tick_callback(view->area, on_tick, view, NULL);
}

/* ---- Settings and questions ---- */

void view_set_scale(struct view *view, enum display_scale scale, unsigned percent)
{
	view->scale = scale;
	view->percent = percent;
	replace(view, false);
}

void view_set_filter(struct view *view, enum display_filter filter)
{
	view->filter = filter;
	gtk_widget_queue_draw(view->area);
}

void view_set_dimmed(struct view *view, bool dimmed)
{
	if (view->dimmed == dimmed)
		return;
	view->dimmed = dimmed;
	gtk_widget_queue_draw(view->area);
}

static void on_cover_mapped(GtkWidget *widget, gpointer opaque)
{
	struct view *view = opaque;

	(void)widget;
	view->covers++;
}

static void on_cover_unmapped(GtkWidget *widget, gpointer opaque)
{
	struct view *view = opaque;

	(void)widget;
	view->covers--;
}

void view_add_cover(struct view *view, GtkWidget *widget)
{
	g_signal_connect(widget, "map", G_CALLBACK(on_cover_mapped), view);
	g_signal_connect(widget, "unmap", G_CALLBACK(on_cover_unmapped), view);
}

unsigned view_percent(struct view *view)
{
	struct placement placement;

	if (!view->image)
		return 0;
	placement = place(view);
	return (unsigned)(((int64_t)placement.width * 100 + view->picture.width / 2) /
			  view->picture.width);
}

bool view_locate(struct view *view, double x, double y, unsigned *pixel_x, unsigned *pixel_y)
{
	int factor = scale_factor(view);
	struct placement placement;

	if (!view->image)
		return false;
	placement = place(view);
	*pixel_x = (unsigned)geometry_to_picture(
		(int)floor(x * factor), placement.x, placement.width, view->picture.width);
	*pixel_y = (unsigned)geometry_to_picture(
		(int)floor(y * factor), placement.y, placement.height, view->picture.height);
	return true;
}

void view_scale_motion(struct view *view, double *dx, double *dy)
{
	int factor = scale_factor(view);
	struct placement placement;

	if (!view->image)
		return;
	placement = place(view);
	*dx *= (double)factor * view->picture.width / placement.width;
	*dy *= (double)factor * view->picture.height / placement.height;
}

struct extent view_natural_size(struct view *view, struct extent most)
{
	int factor = scale_factor(view);
	struct extent size;

	/* Following the window, a picture's pixel is one of the widget's units: on a screen of fine
	 * pixels exactly so many of them, and nothing is tiny. */
	if (view->scale != DISPLAY_SCALE_FIXED)
		factor = 1;
	geometry_window_size(view->scale, view->percent, view->picture.width, view->picture.height,
		most.width * factor, most.height * factor, &size.width, &size.height);
	return (struct extent){ (size.width + factor - 1) / factor,
		(size.height + factor - 1) / factor };
}

cairo_surface_t *view_screenshot(struct view *view)
{
	struct rect rects[SURFACE_MAX_RECTS], all;
	struct surface_view picture;
	cairo_surface_t *shot = NULL;
	bool same;
	size_t count;

	count = surface_read_begin(view->reader, &picture, rects);
	same = view->image && picture.generation == view->generation;
	if (same)
		copy_rects(view, &picture, rects, count);
	if (picture.width) {
		shot = cairo_image_surface_create(
			CAIRO_FORMAT_RGB24, (int)picture.width, (int)picture.height);
		all = whole(&picture);
		if (cairo_surface_status(shot) == CAIRO_STATUS_SUCCESS)
			copy_rect(cairo_image_surface_get_data(shot),
				(size_t)cairo_image_surface_get_stride(shot), &picture, &all);
	}
	surface_read_end(view->reader);
	/* What was news goes to the window, too. */
	if (same)
		show(view, rects, count);
	else
		view_update(view);
	if (!shot || cairo_surface_status(shot) == CAIRO_STATUS_SUCCESS) {
		if (shot)
			cairo_surface_mark_dirty(shot);
		return shot;
	}
	cairo_surface_destroy(shot);
	return NULL;
}

static void name(GtkWidget *widget, const char *text)
{
	atk_object_set_name(gtk_widget_get_accessible(widget), text);
}

void view_init(struct view *view, struct surface_reader *reader)
{
	view->reader = reader;
	view->percent = 100;
	view->across = gtk_adjustment_new(0, 0, 1, 1, 1, 1);
	view->down = gtk_adjustment_new(0, 0, 1, 1, 1, 1);
	view->area = gtk_drawing_area_new();
	view->scroll_across = gtk_scrollbar_new(GTK_ORIENTATION_HORIZONTAL, view->across);
	view->scroll_down = gtk_scrollbar_new(GTK_ORIENTATION_VERTICAL, view->down);
	view->frame = gtk_grid_new();
	gtk_widget_set_hexpand(view->area, TRUE);
	gtk_widget_set_vexpand(view->area, TRUE);
	gtk_widget_set_can_focus(view->area, TRUE);
	gtk_widget_set_size_request(view->area, 160, 120);
	gtk_grid_attach(GTK_GRID(view->frame), view->area, 0, 0, 1, 1);
	gtk_grid_attach(GTK_GRID(view->frame), view->scroll_down, 1, 0, 1, 1);
	gtk_grid_attach(GTK_GRID(view->frame), view->scroll_across, 0, 1, 1, 1);
	gtk_widget_set_no_show_all(view->scroll_across, TRUE);
	gtk_widget_set_no_show_all(view->scroll_down, TRUE);
	name(view->area, "Screen of the guest");
	name(view->scroll_across, "Part of the screen, across");
	name(view->scroll_down, "Part of the screen, down");
	g_signal_connect_after(view->area, "realize", G_CALLBACK(on_realized), view);
	g_signal_connect(view->area, "draw", G_CALLBACK(on_draw), view);
	g_signal_connect_after(view->area, "size-allocate", G_CALLBACK(on_allocated), view);
	g_signal_connect(view->area, "notify::scale-factor", G_CALLBACK(on_scale_factor), view);
	g_signal_connect(view->across, "value-changed", G_CALLBACK(on_scrolled), view);
	g_signal_connect(view->down, "value-changed", G_CALLBACK(on_scrolled), view);
}

void view_fini(struct view *view)
{
	if (view->refresh)
		g_source_remove(view->refresh);
	drop_image(view);
}
