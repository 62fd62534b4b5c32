/* How a connection becomes a client of the library, and reading with a deadline; see server.h.
 *
 * Threads: "vnc-in-N" only. Protocol: RFC 6143, section 7.1. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/log.h"
#include "display/vnc/server.h"

#define VERSION_BYTES 12
#define FD_LIMIT      (FD_SETSIZE - 1) /* the library uses select() */

int vnc_wait_readable(int fd, int64_t deadline)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };

	for (;;) {
		int64_t left = deadline < 0 ? -1 : deadline - vnc_now_ms();
		int ready;

		if (deadline >= 0 && left <= 0)
			return -ETIMEDOUT;
		ready = poll(&pollfd, 1, (int)left);
		if (ready > 0)
			return 0;
		if (ready < 0 && errno != EINTR)
			return -errno;
	}
}

int vnc_read(int fd, void *buffer, size_t length, int64_t deadline)
{
	size_t done = 0;

	while (done < length) {
		int result = vnc_wait_readable(fd, deadline);
		ssize_t got;

		if (result)
			return result;
		got = read(fd, (char *)buffer + done, length - done);
		if (got == 0)
			return -ECONNRESET;
		if (got < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (got > 0)
			done += (size_t)got;
	}
	return 0;
}

/* A few bytes into a fresh connection; they fit, or the client is not worth it. */
static int write_all(int fd, const void *buffer, size_t length)
{
	ssize_t done = send(fd, buffer, length, MSG_NOSIGNAL);

	if (done < 0)
		return -errno;
	return (size_t)done == length ? 0 : -EPIPE;
}

/* Lets the library talk to one end of a socket pair: pulls what it says out of the other end. */
static int forward(int from, int to)
{
	char bytes[512];
	ssize_t length = recv(from, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (length <= 0)
		return -EPROTO;
	return write_all(to, bytes, (size_t)length);
}

/* Makes the library's client and takes it as far as the choice of security.
 *
 * The library first looks whether the other side speaks HTTP or TLS, to offer WebSockets, for which
 * it waits and which it frees twice when both of its threads meet an error. So the first exchange
 * goes through a socket pair, on which nothing but RFB is ever said; then the real connection takes
 * the place of the library's end. That also puts one deadline over the client's slow version
 * string. */
rfbClientPtr vnc_handshake(struct vnc_client *client, int fd, int64_t deadline)
{
	char version[VERSION_BYTES];
	rfbClientPtr rfb;
	int pair[2], result;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return NULL;
	if (pair[0] > FD_LIMIT || write_all(pair[1], "RFB ", 4) < 0) {
		close(pair[0]);
		close(pair[1]);
		return NULL;
	}
	rfb = rfbNewClient(client->screen, pair[0]); /* owns pair[0] from here on */
	if (!rfb) {
		close(pair[1]);
		return NULL;
	}
	rfb->clientData = client;
	result = forward(pair[1], fd); /* our version */
	if (!result)
		result = vnc_read(fd, version, sizeof(version), deadline);
	/* Take back the "RFB " that was there to be looked at. */
	if (!result && recv(pair[0], (char[4]){ 0 }, 4, MSG_DONTWAIT) != 4)
		result = -EPROTO;
	if (!result)
		result = write_all(pair[1], version, sizeof(version));
	if (!result) {
		rfbProcessClientMessage(rfb);
		result = vnc_client_is_shut(rfb) ? -EPROTO : forward(pair[1], fd);
	}
	close(pair[1]);
	if (!result && dup3(fd, pair[0], O_CLOEXEC) < 0)
		result = -errno;
	if (result) {
		log_guest("vnc", "%s: no handshake: %s", client->name, strerror(-result));
		rfbCloseClient(rfb);
		rfbClientConnectionGone(rfb);
		return NULL;
	}
	return rfb;
}

/* The library makes its locks and its list of security types when first used, with no lock around
 * that: one client with nobody behind it does so before there are threads. */
int vnc_handshake_warm_up(rfbScreenInfoPtr screen)
{
	static const char version[] = "RFB 003.008\n";
	rfbClientPtr rfb;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	if (pair[0] > FD_LIMIT || write_all(pair[1], version, VERSION_BYTES) < 0) {
		close(pair[0]);
		close(pair[1]);
		return -EMFILE;
	}
	rfb = rfbNewClient(screen, pair[0]);
	if (rfb) {
		rfbProcessClientMessage(rfb);
		rfbCloseClient(rfb);
		rfbClientConnectionGone(rfb);
	}
	close(pair[1]);
	return rfb ? 0 : -ENOMEM;
}
