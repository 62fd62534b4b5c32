/* The VNC backend: listening, accepting, and the picture that clients are sent; see server.h.
 *
 * Threads: all but vnc_server_wake and the surface's wake run in the backend's own. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/display_source.h"
#include "core/log.h"
#include "core/module.h"
#include "display/vnc/server.h"

MODULE_DEFINE();

#define PIXEL_BYTES ((size_t)DISPLAY_MAX_HEIGHT * VNC_STRIDE_PIXELS * sizeof(uint32_t))
#define PAUSE_MS    1000 /* before listening again when the process is out of descriptors */

_Static_assert(DISPLAY_MAX_WIDTH <= VNC_STRIDE_PIXELS, "a row has room for the widest picture");

enum epoll_tag {
	TAG_WAKE,
	TAG_LISTEN,
	TAG_REFUSED, /* + index */
};

void vnc_server_wake(struct vnc_server *server)
{
	const uint64_t one = 1;

	(void)!write(server->wake_fd, &one, sizeof(one));
}

static void on_surface_news(void *opaque)
{
	vnc_server_wake(opaque);
}

static int watch(struct vnc_server *server, int fd, uint32_t tag)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = tag };

	return epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void forget_refused(struct vnc_server *server, unsigned index)
{
	if (server->refused[index] >= 0)
		close(server->refused[index]);
	server->refused[index] = -1;
}

/* One client too many: it is told why in the protocol's own words (RFC 6143, 7.1.2: no security
 * type and a reason), without waiting for its version. The connection stays until the client has
 * read that and gone, or until others are refused: closing it with the client's version unread
 * would reset it and could lose the reason. */
static void refuse(struct vnc_server *server, int fd)
{
	static const char reason[] = "vmgui: 16 clients are connected already; try again later";
	char message[12 + 1 + 4 + sizeof(reason) - 1] = "RFB 003.008\n";
	unsigned index = server->next_refused;

	message[13 + 3] = (char)(sizeof(reason) - 1);
	memcpy(message + 17, reason, sizeof(reason) - 1);
	log_guest("vnc", "a client is refused: 16 are connected already");
	forget_refused(server, index);
	if (send(fd, message, sizeof(message), MSG_NOSIGNAL) != (ssize_t)sizeof(message) ||
		shutdown(fd, SHUT_WR) < 0 || watch(server, fd, TAG_REFUSED + index) < 0) {
		close(fd);
		return;
	}
	server->refused[index] = fd;
	server->next_refused = (index + 1) % array_size(server->refused);
}

static void drain_refused(struct vnc_server *server, unsigned index)
{
	char bytes[256];
	ssize_t got = recv(server->refused[index], bytes, sizeof(bytes), MSG_DONTWAIT);

	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		forget_refused(server, index);
}

/* False: out of descriptors, stop for a while. */
static bool accept_one(struct vnc_server *server)
{
	int fd = accept4(server->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int result;

	if (fd < 0)
		return errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
	vnc_clients_reap(server);
	result = vnc_clients_add(server, fd);
	if (result == -EBUSY) {
		refuse(server, fd);
	} else if (result) {
		log_guest("vnc", "a client is refused: %s", strerror(-result));
		close(fd);
	}
	return true;
}

static void copy_rect(
	struct vnc_server *server, const struct surface_view *view, const struct rect *rect)
{
	for (uint32_t y = rect->y; y < rect->y + rect->height; y++)
		memcpy(server->pixels + (size_t)y * VNC_STRIDE_PIXELS + rect->x,
			view->pixels + (size_t)y * view->stride_pixels + rect->x,
			rect->width * sizeof(uint32_t));
}

/* A client that keeps an older, larger size sees black around the new picture. */
static void blank(struct vnc_server *server)
{
	for (uint32_t y = 0; y < server->height; y++)
		memset(server->pixels + (size_t)y * VNC_STRIDE_PIXELS, 0,
			server->width * sizeof(uint32_t));
}

static void take_news(struct vnc_server *server)
{
	static const struct rect everything = { 0, 0, DISPLAY_MAX_WIDTH, DISPLAY_MAX_HEIGHT };
	struct rect rects[SURFACE_MAX_RECTS];
	struct surface_view view;
	bool resized = false;
	size_t count = surface_read_begin(server->reader, &view, rects);

	if (!view.width || !view.height || view.width > DISPLAY_MAX_WIDTH ||
		view.height > DISPLAY_MAX_HEIGHT) {
		surface_read_end(server->reader);
		return;
	}
	if (!server->has_picture || view.generation != server->picture_generation) {
		server->has_picture = true;
		server->picture_generation = view.generation;
		resized = true;
		blank(server);
		pthread_mutex_lock(&server->lock);
		server->width = view.width;
		server->height = view.height;
		server->size_generation++;
		pthread_mutex_unlock(&server->lock);
	}
	for (size_t i = 0; i < count; i++)
		copy_rect(server, &view, &rects[i]);
	surface_read_end(server->reader);
	if (resized)
		vnc_clients_mark(server, &everything, 1, true);
	else if (count)
		vnc_clients_mark(server, rects, count, false);
}

static void vnc_run(struct display_backend *backend)
{
	struct vnc_server *server = display_backend_private(backend);
	bool listening = true;

	take_news(server);
	while (!backend_should_stop(backend)) {
		struct epoll_event events[8];
		int count = epoll_wait(
			server->epoll_fd, events, array_size(events), listening ? -1 : PAUSE_MS);

		if (!listening && count == 0)
			listening = watch(server, server->listener.fd, TAG_LISTEN) == 0;
		for (int i = 0; i < count; i++) {
			uint32_t tag = events[i].data.u32;
			uint64_t news;

			if (tag == TAG_WAKE) {
				(void)!read(server->wake_fd, &news, sizeof(news));
				vnc_clients_reap(server);
				take_news(server);
			} else if (tag == TAG_LISTEN) {
				if (accept_one(server))
					continue;
				log_guest("vnc", "out of file descriptors, clients have to wait");
				epoll_ctl(
					server->epoll_fd, EPOLL_CTL_DEL, server->listener.fd, NULL);
				listening = false;
			} else if (server->refused[tag - TAG_REFUSED] >= 0) {
				drain_refused(server, tag - TAG_REFUSED);
			}
		}
	}
}

static void vnc_fini(struct display_backend *backend)
{
	struct vnc_server *server = display_backend_private(backend);

	vnc_listener_close(&server->listener);
	surface_reader_destroy(server->reader); /* its wake comes no more */
	vnc_clients_fini(server);
	for (unsigned i = 0; i < array_size(server->refused); i++)
		forget_refused(server, i);
	close(server->epoll_fd);
	close(server->wake_fd);
	munmap(server->pixels, PIXEL_BYTES);
	vnc_keymap_destroy(server->keymap);
}

static int vnc_init(struct display_backend *backend, const char *argument, struct error *err)
{
	struct vnc_server *server = display_backend_private(backend);
	struct vnc_address address;
	int result;

	server->backend = backend;
	server->host = display_backend_host(backend);
	for (unsigned i = 0; i < array_size(server->refused); i++)
		server->refused[i] = -1;
	result = vnc_address_parse(argument, &address, err);
	if (result)
		return result;
	result = vnc_keymap_create(&server->keymap, err);
	if (result)
		return result;
	/* Only what the picture covers is ever touched. */
	server->pixels = mmap(NULL, PIXEL_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (server->pixels == MAP_FAILED) {
		result = error_set(
			err, errno, "vnc: no memory for the picture: %s", strerror(errno));
		goto destroy_keymap;
	}
	server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (server->wake_fd < 0 || server->epoll_fd < 0) {
		result = error_set(err, errno, "vnc: %s", strerror(errno));
		goto close_fds;
	}
	result = vnc_clients_init(server, err);
	if (result)
		goto close_fds;
	result = vnc_listener_open(&server->listener, &address, err);
	if (result)
		goto fini_clients;
	result = watch(server, server->wake_fd, TAG_WAKE);
	if (!result)
		result = watch(server, server->listener.fd, TAG_LISTEN);
	if (result) {
		error_set(err, -result, "vnc: epoll: %s", strerror(-result));
		goto close_listener;
	}
	server->reader = surface_reader_create(server->host->surface, on_surface_news, server);
	if (!server->reader) {
		result = error_set(err, ENOMEM, "vnc: out of memory");
		goto close_listener;
	}
	log_info("vnc", "VNC server on %s", server->listener.where);
	return 0;

close_listener:
	vnc_listener_close(&server->listener);
fini_clients:
	vnc_clients_fini(server);
close_fds:
	if (server->epoll_fd >= 0)
		close(server->epoll_fd);
	if (server->wake_fd >= 0)
		close(server->wake_fd);
	munmap(server->pixels, PIXEL_BYTES);
destroy_keymap:
	vnc_keymap_destroy(server->keymap);
	return result;
}

static void vnc_wakeup(struct display_backend *backend)
{
	vnc_server_wake(display_backend_private(backend));
}

extern const struct display_backend_ops vmgui_backend_ops;
const struct display_backend_ops vmgui_backend_ops = {
	.abi = DISPLAY_BACKEND_ABI,
	.name = "vnc",
	.description = "a VNC server on the loopback interface",
	.private_size = sizeof(struct vnc_server),
	.init = vnc_init,
	.run = vnc_run,
	.fini = vnc_fini,
	.wakeup = vnc_wakeup,
};
