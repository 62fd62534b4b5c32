/* See shared.h. The X protocol is spoken through XCB, which alone passes descriptors, on GDK's own
 * connection. Protocol: MIT-SHM 1.2 (X.Org's shm.xml). */
#include "display/gtk/shared.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef GDK_WINDOWING_X11
#include <gdk/gdkx.h>
#endif
#ifdef VMGUI_SHARED_PIXMAPS
#include <X11/Xlib-xcb.h>
#include <cairo-xlib.h>
#include <xcb/shm.h>
#include <xcb/xcbext.h>
#endif

static const cairo_user_data_key_t key;

/* ---- In this process ---- */

struct mapping {
	void *start;
	size_t bytes;
};

static void unmap(void *opaque)
{
	struct mapping *mapping = opaque;

	munmap(mapping->start, mapping->bytes);
	free(mapping);
}

static cairo_surface_t *create_image(int fd, struct extent size)
{
	struct mapping *mapping = malloc(sizeof(*mapping));
	int stride = size.width * (int)sizeof(uint32_t);
	cairo_surface_t *image;

	if (!mapping)
		return NULL;
	mapping->bytes = (size_t)stride * (size_t)size.height;
	mapping->start = mmap(NULL, mapping->bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (mapping->start == MAP_FAILED) {
		free(mapping);
		return NULL;
	}
	/* Nobody draws into it. */
	image = cairo_image_surface_create_for_data(
		mapping->start, CAIRO_FORMAT_RGB24, size.width, size.height, stride);
	if (!cairo_surface_set_user_data(image, &key, mapping, unmap))
		return image;
	cairo_surface_destroy(image);
	unmap(mapping);
	return NULL;
}

/* ---- In the X server ---- */

#ifdef VMGUI_SHARED_PIXMAPS
struct pixmap {
	Display *display;
	Pixmap id;
};

static void free_pixmap(void *opaque)
{
	struct pixmap *pixmap = opaque;

	XFreePixmap(pixmap->display, pixmap->id);
	free(pixmap);
}

static xcb_connection_t *connection_of(GdkWindow *window)
{
	GdkDisplay *display = gdk_window_get_display(window);

	if (!GDK_IS_X11_DISPLAY(display))
		return NULL;
	return XGetXCBConnection(gdk_x11_display_get_xdisplay(display));
}

/* XCB gives up the connection if a descriptor cannot be passed. */
static bool passes_descriptors(xcb_connection_t *connection)
{
	socklen_t size = sizeof(int);
	int domain;

	return !getsockopt(xcb_get_file_descriptor(connection), SOL_SOCKET, SO_DOMAIN, &domain,
		       &size) &&
	       domain == AF_UNIX;
}

static bool has_pixmaps(xcb_connection_t *connection)
{
	const xcb_query_extension_reply_t *extension =
		xcb_get_extension_data(connection, &xcb_shm_id);
	xcb_shm_query_version_reply_t *version;
	bool result;

	if (!extension || !extension->present)
		return false;
	version = xcb_shm_query_version_reply(connection, xcb_shm_query_version(connection), NULL);
	result = version && version->shared_pixmaps &&
		 version->pixmap_format == XCB_IMAGE_FORMAT_Z_PIXMAP &&
		 (version->major_version > 1 ||
			 (version->major_version == 1 && version->minor_version >= 2));
	free(version);
	return result;
}

/* Whether a pixmap's pixels are the surface's: 0x00RRGGBB, 4 bytes, in our order. */
static bool is_our_format(Display *display, GdkVisual *visual)
{
	const Visual *x = gdk_x11_visual_get_xvisual(visual);
	XPixmapFormatValues *formats;
	bool result = false;
	int count = 0;

	if (gdk_visual_get_visual_type(visual) != GDK_VISUAL_TRUE_COLOR ||
		gdk_visual_get_depth(visual) != 24 || x->red_mask != 0xff0000 ||
		x->green_mask != 0xff00 || x->blue_mask != 0xff ||
		ImageByteOrder(display) != LSBFirst)
		return false;
	formats = XListPixmapFormats(display, &count);
	for (int i = 0; i < count; i++)
		if (formats[i].depth == 24)
			result = formats[i].bits_per_pixel == 32 && formats[i].scanline_pad == 32;
	XFree(formats);
	return result;
}

static bool failed(xcb_connection_t *connection, xcb_void_cookie_t cookie)
{
	xcb_generic_error_t *error = xcb_request_check(connection, cookie);

	free(error);
	return error || xcb_connection_has_error(connection);
}

/* 0: the server does not want to. */
static Pixmap create_pixmap(xcb_connection_t *connection, Window root, int fd, struct extent size)
{
	xcb_shm_seg_t segment = xcb_generate_id(connection);
	xcb_pixmap_t pixmap = xcb_generate_id(connection);
	int theirs = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* XCB closes what it has passed */
	bool attached, created;

	if (theirs < 0)
		return 0;
	/* Only what may be written can be a pixmap; nobody writes to it. */
	attached =
		!failed(connection, xcb_shm_attach_fd_checked(connection, segment, theirs, false));
	if (!attached)
		return 0;
	created = !failed(
		connection, xcb_shm_create_pixmap_checked(connection, pixmap, (xcb_drawable_t)root,
				    (uint16_t)size.width, (uint16_t)size.height, 24, segment, 0));
	xcb_shm_detach(connection, segment); /* the pixmap keeps it */
	return created ? pixmap : 0;
}

static cairo_surface_t *create_on_server(GdkWindow *window, int fd, struct extent size)
{
	xcb_connection_t *connection = connection_of(window);
	GdkScreen *screen = gdk_window_get_screen(window);
	GdkVisual *visual = gdk_screen_get_system_visual(screen);
	struct pixmap *pixmap;
	cairo_surface_t *surface;

	if (!connection || !passes_descriptors(connection) || !has_pixmaps(connection) ||
		!is_our_format(
			gdk_x11_display_get_xdisplay(gdk_window_get_display(window)), visual))
		return NULL;
	pixmap = malloc(sizeof(*pixmap));
	if (!pixmap)
		return NULL;
	pixmap->display = gdk_x11_display_get_xdisplay(gdk_window_get_display(window));
	pixmap->id = create_pixmap(
		connection, GDK_WINDOW_XID(gdk_screen_get_root_window(screen)), fd, size);
	if (!pixmap->id) {
		free(pixmap);
		return NULL;
	}
	surface = cairo_xlib_surface_create(pixmap->display, pixmap->id,
		gdk_x11_visual_get_xvisual(visual), size.width, size.height);
	if (!cairo_surface_set_user_data(surface, &key, pixmap, free_pixmap))
		return surface;
	cairo_surface_destroy(surface);
	free_pixmap(pixmap);
	return NULL;
}

bool shared_open(GdkWindow *window, int fd, struct extent size, cairo_surface_t **image,
	cairo_surface_t **pixmap)
{
	*pixmap = NULL;
	if (GDK_IS_X11_DISPLAY(gdk_window_get_display(window))) {
		*pixmap = create_on_server(window, fd, size);
		if (!*pixmap)
			return false;
	}
	*image = create_image(fd, size);
	if (!*image && *pixmap)
		cairo_surface_destroy(*pixmap);
	return *image != NULL;
}

/* A question that any server answers, after all that was asked before. */
void shared_mark(struct shared_mark *mark, GdkWindow *window)
{
	xcb_connection_t *connection = connection_of(window);

	if (mark->set || !connection)
		return;
	mark->request = xcb_get_input_focus(connection).sequence;
	mark->set = true;
	xcb_flush(connection);
}

bool shared_is_behind(struct shared_mark *mark, GdkWindow *window)
{
	xcb_generic_error_t *error = NULL;
	void *answer = NULL;

	if (mark->set &&
		xcb_poll_for_reply(connection_of(window), mark->request, &answer, &error)) {
		mark->set = false;
		free(answer);
		free(error);
	}
	return mark->set;
}
#else
bool shared_open(GdkWindow *window, int fd, struct extent size, cairo_surface_t **image,
	cairo_surface_t **pixmap)
{
	*pixmap = NULL;
#ifdef GDK_WINDOWING_X11
	if (GDK_IS_X11_DISPLAY(gdk_window_get_display(window)))
		return false;
#endif
	*image = create_image(fd, size);
	return *image != NULL;
}

void shared_mark(struct shared_mark *mark, GdkWindow *window)
{
	(void)mark;
	(void)window;
}

bool shared_is_behind(struct shared_mark *mark, GdkWindow *window)
{
	(void)mark;
	(void)window;
	return false;
}
#endif
