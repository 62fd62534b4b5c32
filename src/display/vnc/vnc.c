/* The VNC backend: listening, accepting and refusing; see server.h.
 *
 * Threads: all but vnc_server_wake run in the backend's own. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/log.h"
#include "core/module.h"
#include "display/vnc/server.h"

MODULE_DEFINE();

#define PAUSE_MS 1000 /* before listening again when the process is out of descriptors */

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

static void vnc_run(struct display_backend *backend)
{
	struct vnc_server *server = display_backend_private(backend);
	int64_t paused_until = -1; /* listening */

	while (!backend_should_stop(backend)) {
		struct epoll_event events[8];
		int64_t left = paused_until < 0 ? -1 : paused_until - vnc_now_ms();
		int count;

		if (paused_until >= 0 && left <= 0) {
			paused_until = watch(server, server->listener.fd, TAG_LISTEN)
					       ? vnc_now_ms() + PAUSE_MS
					       : -1;
			continue;
		}
		count = epoll_wait(server->epoll_fd, events, array_size(events), (int)left);
		for (int i = 0; i < count; i++) {
			uint32_t tag = events[i].data.u32;
			uint64_t news;

			if (tag == TAG_WAKE) {
				(void)!read(server->wake_fd, &news, sizeof(news));
				vnc_clients_reap(server);
				vnc_clients_poke(server);
			} else if (tag == TAG_LISTEN) {
				if (accept_one(server))
					continue;
				log_guest("vnc", "out of file descriptors, clients have to wait");
				epoll_ctl(
					server->epoll_fd, EPOLL_CTL_DEL, server->listener.fd, NULL);
				paused_until = vnc_now_ms() + PAUSE_MS;
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
	vnc_clients_fini(server);
	for (unsigned i = 0; i < array_size(server->refused); i++)
		forget_refused(server, i);
	close(server->end_fd);
	close(server->epoll_fd);
	close(server->wake_fd);
	explicit_bzero(&server->password, sizeof(server->password));
	keymap_destroy(server->own_keymap);
}

static int vnc_init(struct display_backend *backend, const char *argument, struct error *err)
{
	struct vnc_server *server = display_backend_private(backend);
	const struct display_settings *settings = display_backend_settings(backend);
	struct vnc_address address;
	int result;

	server->backend = backend;
	server->host = display_backend_host(backend);
	for (unsigned i = 0; i < array_size(server->refused); i++)
		server->refused[i] = -1;
	result = vnc_address_parse(argument, settings->vnc_allow_remote, &address, err);
	if (!result && settings->vnc_password_file)
		result = vnc_password_read(settings->vnc_password_file, &server->password, err);
	if (result)
		return result;
	if (vnc_address_is_remote(&address) && !*server->password.text)
		log_warn("vnc", "anybody who reaches this machine over the network can "
				"see and use the guest (set a password with --vnc-password-file)");
	server->keymap = settings->keymap;
	if (!server->keymap) {
		result = keymap_create("us", &server->own_keymap, err);
		server->keymap = server->own_keymap;
	}
	if (result)
		return result;
	server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	server->end_fd = eventfd(0, EFD_CLOEXEC);
	if (server->wake_fd < 0 || server->epoll_fd < 0 || server->end_fd < 0) {
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
	log_info("vnc", "VNC server on %s", server->listener.where);
	return 0;

close_listener:
	vnc_listener_close(&server->listener);
fini_clients:
	vnc_clients_fini(server);
close_fds:
	if (server->end_fd >= 0)
		close(server->end_fd);
	if (server->epoll_fd >= 0)
		close(server->epoll_fd);
	if (server->wake_fd >= 0)
		close(server->wake_fd);
	keymap_destroy(server->own_keymap);
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
	.description = "a VNC server, on the loopback interface unless told otherwise",
	.private_size = sizeof(struct vnc_server),
	.init = vnc_init,
	.run = vnc_run,
	.fini = vnc_fini,
	.wakeup = vnc_wakeup,
};
