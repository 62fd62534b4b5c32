/* How a connection becomes a client of the library, and reading with a deadline; see server.h.
 *
 * The version, the security type, the password and ClientInit are dealt with here, and only then
 * does the library hear of the client, over a socket pair and as one of the simplest kind (version
 * 3.3, no security); the connection takes the place of that pair at the end. Its own handshake has
 * no deadline, waits for clients that speak HTTP or TLS, makes challenges that can be guessed from
 * the time, and keeps the security types of all servers of a process in one list, so that a server
 * without a password could open one that has one.
 *
 * Threads: "vnc-in-N" only, but for vnc_handshake_warm_up. Protocol: RFC 6143, sections 7.1 to 7.3.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/log.h"
#include "display/vnc/server.h"

#define VERSION_BYTES     12
#define FD_LIMIT          (FD_SETSIZE - 1) /* the library uses select() */
#define PASSWORD_SECONDS  120              /* for people to type it */
#define WRONG_PASSWORD_MS 1000             /* a wrong one is answered not sooner than that */
#define MAC_MINOR         889              /* what Apple's client calls itself */

enum security {
	SECURITY_NONE = 1,
	SECURITY_PASSWORD = 2,
};

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

static int write32(int fd, uint32_t value)
{
	const uint8_t bytes[] = { (uint8_t)(value >> 24), (uint8_t)(value >> 16),
		(uint8_t)(value >> 8), (uint8_t)value };

	return write_all(fd, bytes, sizeof(bytes));
}

/* Section 7.1.1. The minor version, 3 if it is one that the RFC does not know. */
static int exchange_versions(int fd, int64_t deadline, unsigned *minor)
{
	static const char ours[] = "RFB 003.008\n";
	char theirs[VERSION_BYTES];
	int result = write_all(fd, ours, VERSION_BYTES);

	if (!result)
		result = vnc_read(fd, theirs, sizeof(theirs), deadline);
	if (result)
		return result;
	if (memcmp(theirs, ours, 8) != 0 || theirs[11] != '\n')
		return -EPROTO;
	*minor = 0;
	for (int i = 8; i < 11; i++) {
		if (theirs[i] < '0' || theirs[i] > '9')
			return -EPROTO;
		*minor = *minor * 10 + (unsigned)(theirs[i] - '0');
	}
	if (*minor < 7)
		*minor = 3;
	return 0;
}

/* Section 7.1.2. */
static int agree_on_security(int fd, int64_t deadline, unsigned minor, enum security security)
{
	const uint8_t offer[] = { 1, (uint8_t)security };
	uint8_t chosen;
	int result;

	if (minor == 3)
		return write32(fd, security);
	result = write_all(fd, offer, sizeof(offer));
	if (!result)
		result = vnc_read(fd, &chosen, sizeof(chosen), deadline);
	if (!result && chosen != security)
		result = -EPROTO;
	return result;
}

/* Whoever guesses does so once a second, with however many connections: each wrong answer gets a
 * turn of its own, and holds one of the few places until then, also if its client has hung up. */
static void wait_for_turn(struct vnc_server *server)
{
	struct pollfd pollfd = { .fd = server->end_fd, .events = POLLIN };
	int64_t now = vnc_now_ms(), turn;

	pthread_mutex_lock(&server->lock);
	turn = (server->last_turn > now ? server->last_turn : now) + WRONG_PASSWORD_MS;
	server->last_turn = turn;
	pthread_mutex_unlock(&server->lock);
	while (now < turn && poll(&pollfd, 1, (int)(turn - now)) <= 0)
		now = vnc_now_ms();
}

/* Section 7.1.3. */
static void tell_failure(int fd, unsigned minor, const char *reason)
{
	if (!write32(fd, 1) && minor >= 8 && !write32(fd, (uint32_t)strlen(reason)))
		(void)!write_all(fd, reason, strlen(reason));
}

/* Section 7.2.2. */
static int ask_for_password(struct vnc_client *client, int fd, unsigned minor)
{
	uint8_t challenge[VNC_CHALLENGE_BYTES], response[VNC_CHALLENGE_BYTES];
	int result;

	if (getrandom(challenge, sizeof(challenge), 0) != (ssize_t)sizeof(challenge))
		return -EIO;
	result = write_all(fd, challenge, sizeof(challenge));
	if (!result)
		result = vnc_read(
			fd, response, sizeof(response), vnc_now_ms() + PASSWORD_SECONDS * 1000);
	/* Its answer counts only while it has its place: else guessing would cost no time. */
	if (!vnc_client_keep(client)) {
		tell_failure(fd, minor, "the server is full, and others came before the password");
		return -ECANCELED;
	}
	if (result)
		return result;
	if (vnc_password_matches(&client->server->password, challenge, response))
		return 0;
	log_guest("vnc", "%s: wrong password", client->name);
	wait_for_turn(client->server);
	tell_failure(fd, minor, "wrong password");
	return -EACCES;
}

static int keep(struct vnc_client *client)
{
	return vnc_client_keep(client) ? 0 : -ECANCELED;
}

int vnc_handshake(struct vnc_client *client, int fd, int64_t deadline)
{
	const enum security security =
		*client->server->password.text ? SECURITY_PASSWORD : SECURITY_NONE;
	uint8_t shared; /* always, whatever it says */
	unsigned minor = 0;
	int result = exchange_versions(fd, deadline, &minor);

	if (!result)
		result = agree_on_security(fd, deadline, minor, security);
	if (!result && security == SECURITY_PASSWORD)
		result = ask_for_password(client, fd, minor);
	/* Apple's client has no use for the result nor for ClientInit if there is no password. */
	if (!result && security == SECURITY_NONE && minor == MAC_MINOR)
		return keep(client);
	if (!result && (security == SECURITY_PASSWORD || minor >= 8))
		result = write32(fd, 0);
	if (!result && security == SECURITY_PASSWORD)
		deadline = vnc_now_ms() + VNC_HANDSHAKE_SECONDS * 1000;
	if (!result)
		result = vnc_read(fd, &shared, sizeof(shared), deadline);
	if (!result)
		result = keep(client);
	if (result == -ECONNRESET && !vnc_client_keep(client))
		result = -ECANCELED;
	if (result == -ECANCELED)
		log_guest(
			"vnc", "%s: sent away for another one: all places are taken", client->name);
	else if (result && result != -EACCES)
		log_guest("vnc", "%s: no handshake: %s", client->name, strerror(-result));
	return result;
}

/* What the library has to hear, and what it says before ServerInit: version and security type. */
static const char simple_client[] = "RFB 003.003\n\1";
#define SIMPLE_CLIENT_STEPS  2
#define SIMPLE_ANSWERS_BYTES (VERSION_BYTES + 4)

/* A client of the library's, up to its ServerInit, which can be read from *fd; NULL: *result tells
 * why. */
static rfbClientPtr make_client(rfbScreenInfoPtr screen, int *fd, int *result)
{
	char answers[SIMPLE_ANSWERS_BYTES];
	rfbClientPtr rfb;
	int pair[2];

	*result = -EMFILE;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return NULL;
	if (pair[0] > FD_LIMIT ||
		write_all(pair[1], simple_client, sizeof(simple_client) - 1) < 0) {
		close(pair[0]);
		close(pair[1]);
		return NULL;
	}
	*result = -EPROTO;
	rfb = rfbNewClient(screen, pair[0]); /* owns pair[0] from here on */
	for (int i = 0; rfb && i < SIMPLE_CLIENT_STEPS && !vnc_client_is_shut(rfb); i++)
		rfbProcessClientMessage(rfb);
	if (!rfb || rfb->state != RFB_NORMAL ||
		recv(pair[1], answers, sizeof(answers), MSG_DONTWAIT) != (ssize_t)sizeof(answers)) {
		if (rfb) {
			rfbCloseClient(rfb);
			rfbClientConnectionGone(rfb);
		}
		close(pair[1]);
		return NULL;
	}
	*fd = pair[1];
	*result = 0;
	return rfb;
}

rfbClientPtr vnc_handshake_finish(struct vnc_client *client, int fd)
{
	char server_init[512];
	rfbClientPtr rfb;
	ssize_t length;
	int from, result;

	rfb = make_client(client->screen, &from, &result);
	if (!rfb)
		goto fail;
	length = recv(from, server_init, sizeof(server_init), MSG_DONTWAIT);
	close(from);
	result = length > 0 ? write_all(fd, server_init, (size_t)length) : -EPROTO;
	if (!result && dup3(fd, rfb->sock, O_CLOEXEC) < 0)
		result = -errno;
	if (!result) {
		rfb->clientData = client;
		return rfb;
	}
	rfbCloseClient(rfb);
	rfbClientConnectionGone(rfb);
fail:
	log_guest("vnc", "%s: no handshake: %s", client->name, strerror(-result));
	return NULL;
}

/* The library makes its locks when first used, with no lock around that: one client with nobody
 * behind it does so before there are threads. The same for what encrypts, if that is needed. */
int vnc_handshake_warm_up(struct vnc_server *server)
{
	static const uint8_t challenge[VNC_CHALLENGE_BYTES];
	rfbClientPtr rfb;
	int fd, result;

	if (*server->password.text)
		(void)vnc_password_matches(&server->password, challenge, challenge);
	rfb = make_client(server->clients[0].screen, &fd, &result);
	if (!rfb)
		return result;
	close(fd);
	rfbCloseClient(rfb);
	rfbClientConnectionGone(rfb);
	return 0;
}
