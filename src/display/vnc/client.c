/* VNC clients: their slots, messages and input; see server.h for threads and locks. */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "display/vnc/server.h"

#define SEND_TIMEOUT_MS 20000 /* a client that takes nothing for so long is dropped */
#define KEY_WAIT_MS     1000  /* how long a full input queue holds up its client */
#define CUT_TEXT_HEADER 8

bool vnc_client_is_shut(rfbClientPtr rfb)
{
	return __atomic_load_n(&rfb->state, __ATOMIC_RELAXED) == RFB_SHUTDOWN;
}

void vnc_client_disconnect(struct vnc_client *client)
{
	pthread_mutex_lock(&client->server->lock);
	if (client->fd >= 0)
		shutdown(client->fd, SHUT_RDWR);
	pthread_mutex_unlock(&client->server->lock);
}

/* --- input --- */

static void emit_key(void *opaque, unsigned code, bool down)
{
	struct vnc_client *client = opaque;
	int result = input_source_key(client->source, code, down);

	if (result == -EAGAIN && !client->guest_stuck) {
		/* The guest is slow to take keys: let the client wait, up to a point. One that
		 * takes none (it is paused, or dead) costs that wait once and not for every key, of
		 * which a client may have sent thousands. */
		client->guest_stuck = input_source_flush(client->source, KEY_WAIT_MS) != 0;
		result = input_source_key(client->source, code, down);
	}
	if (!result && down)
		client->guest_stuck = false;
	if (result)
		log_guest(
			"vnc", "%s: the guest does not take keys, %u is lost", client->name, code);
}

static void on_key(rfbBool down, rfbKeySym keysym, rfbClientPtr rfb)
{
	struct vnc_client *client = rfb->clientData;

	if (client->source)
		vnc_keyboard_event(&client->keyboard, keysym, down, atomic_load(&client->leds));
}

static void on_release_all_keys(rfbClientPtr rfb)
{
	struct vnc_client *client = rfb->clientData;

	if (client->source)
		vnc_keyboard_release_all(&client->keyboard);
}

static void on_pointer(int buttons, int x, int y, rfbClientPtr rfb)
{
	struct vnc_client *client = rfb->clientData;
	int width, height;

	if (!client->source)
		return;
	pthread_mutex_lock(&rfb->updateMutex);
	width = (int)client->width;
	height = (int)client->height;
	pthread_mutex_unlock(&rfb->updateMutex);
	vnc_pointer_event(&client->pointer, client->source, (unsigned)buttons, x, y, width, height,
		atomic_load(&client->capabilities));
}

static void on_leds(void *opaque, unsigned leds)
{
	struct vnc_client *client = opaque;

	atomic_store(&client->leds, leds);
}

static void on_capabilities(void *opaque, unsigned active)
{
	struct vnc_client *client = opaque;

	atomic_store(&client->capabilities, active);
}

/* --- messages --- */

int64_t vnc_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int skip_cut_text(int fd)
{
	uint8_t bytes[4096];
	uint32_t left;
	int result = vnc_read(fd, bytes, CUT_TEXT_HEADER, vnc_now_ms() + SEND_TIMEOUT_MS);

	if (result)
		return result;
	left = (uint32_t)bytes[4] << 24 | (uint32_t)bytes[5] << 16 | (uint32_t)bytes[6] << 8 |
	       bytes[7];
	if (left & 0x80000000u) /* the extended clipboard's: minus the length */
		left = 0u - left;
	while (!result && left) {
		uint32_t part = left < sizeof(bytes) ? left : (uint32_t)sizeof(bytes);

		result = vnc_read(fd, bytes, part, vnc_now_ms() + SEND_TIMEOUT_MS);
		left -= part;
	}
	return result;
}

/* One message of a client that is through with the handshake. */
static int serve_message(struct vnc_client *client, rfbClientPtr rfb)
{
	uint8_t type;
	ssize_t got = recv(rfb->sock, &type, 1, MSG_PEEK | MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (got <= 0)
		return -ECONNRESET;
	switch (type) {
	case rfbSetPixelFormat:
	case rfbSetEncodings:
		/* Not under the encoder's hands. */
		pthread_mutex_lock(&rfb->sendMutex);
		rfbProcessClientMessage(rfb);
		pthread_mutex_unlock(&rfb->sendMutex);
		return 0;
	case rfbFramebufferUpdateRequest:
	case rfbKeyEvent:
	case rfbPointerEvent:
		rfbProcessClientMessage(rfb);
		return 0;
	case rfbSetDesktopSize:
		/* The library notes that it is to be refused, and leaves it at that. */
		pthread_mutex_lock(&rfb->sendMutex);
		rfbProcessClientMessage(rfb);
		pthread_mutex_lock(&rfb->updateMutex);
		pthread_cond_signal(&rfb->updateCond);
		pthread_mutex_unlock(&rfb->updateMutex);
		pthread_mutex_unlock(&rfb->sendMutex);
		return 0;
	case rfbClientCutText:
		return skip_cut_text(rfb->sock);
	default:
		/* File transfer, server-side scaling, chat and the like are not offered, and an
		 * unknown message has no known length. */
		log_guest("vnc", "%s: message %u is not served", client->name, type);
		return -EPROTO;
	}
}

static void serve(struct vnc_client *client, rfbClientPtr rfb, int64_t deadline)
{
	struct vnc_server *server = client->server;
	pthread_t output;
	bool started = false;

	pthread_mutex_lock(&server->lock);
	client->rfb = rfb;
	pthread_mutex_unlock(&server->lock);
	/* What a client has sent before it was shut down may still be read for long. */
	while (!vnc_client_is_shut(rfb) && !backend_should_stop(server->backend)) {
		if (vnc_wait_readable(rfb->sock, started ? -1 : deadline))
			break;
		if (started) {
			if (serve_message(client, rfb))
				break;
			continue;
		}
		rfbProcessClientMessage(rfb); /* one byte each: security, ClientInit */
		if (rfb->state == RFB_NORMAL) {
			if (pthread_create(&output, NULL, vnc_updates_main, client))
				break;
			started = true;
		}
	}
	pthread_mutex_lock(&rfb->updateMutex);
	__atomic_store_n(&rfb->state, RFB_SHUTDOWN, __ATOMIC_RELAXED);
	pthread_cond_signal(&rfb->updateCond);
	pthread_mutex_unlock(&rfb->updateMutex);
	vnc_client_disconnect(client);
	if (started)
		pthread_join(output, NULL);
	pthread_mutex_lock(&server->lock);
	client->rfb = NULL;
	pthread_mutex_unlock(&server->lock);
	rfbCloseClient(rfb);
	rfbClientConnectionGone(rfb);
}

static void describe(struct vnc_client *client, int fd)
{
	struct sockaddr_storage peer = { 0 };
	socklen_t length = sizeof(peer);
	char host[64], port[16];

	if (getpeername(fd, (struct sockaddr *)&peer, &length) == 0 && peer.ss_family != AF_UNIX &&
		getnameinfo((struct sockaddr *)&peer, length, host, sizeof(host), port,
			sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		snprintf(client->name, sizeof(client->name), "client %.40s:%s", host, port);
	else
		snprintf(client->name, sizeof(client->name), "client %u", client->index);
}

static void *client_main(void *opaque)
{
	struct vnc_client *client = opaque;
	struct vnc_server *server = client->server;
	const struct input_source_listener listener = {
		.leds_changed = on_leds, .capabilities_changed = on_capabilities, .opaque = client
	};
	int64_t deadline = vnc_now_ms() + VNC_HANDSHAKE_SECONDS * 1000;
	int fd = client->fd; /* set before this thread began, closed by it */
	const int one = 1;
	rfbClientPtr rfb = NULL;
	char name[16];

	snprintf(name, sizeof(name), "vnc-in-%u", client->index);
	pthread_setname_np(pthread_self(), name);
	describe(client, fd);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* no TCP: no need */
	client->guest_stuck = false;
	if (vnc_updates_open(client)) {
		vnc_updates_first_look(client);
		rfb = vnc_handshake(client, fd, deadline);
	}
	if (rfb) {
		log_debug("vnc", "%s: connected", client->name);
		/* The source's listener tells, too, but the first click may be earlier. */
		atomic_store(&client->capabilities,
			server->host->router ? input_router_active(server->host->router) : 0);
		if (server->host->router)
			client->source =
				input_source_create(server->host->router, client->name, &listener);
		vnc_keyboard_init(&client->keyboard, server->keymap, emit_key, client);
		memset(&client->pointer, 0, sizeof(client->pointer));
		serve(client, rfb, deadline);
		input_source_destroy(client->source);
		client->source = NULL;
		log_debug("vnc", "%s: gone", client->name);
	}
	vnc_updates_close(client);
	pthread_mutex_lock(&server->lock);
	client->fd = -1;
	client->finished = true;
	pthread_mutex_unlock(&server->lock);
	close(fd);
	vnc_server_wake(server);
	return NULL;
}

/* --- slots --- */

int vnc_clients_add(struct vnc_server *server, int fd)
{
	for (unsigned i = 0; i < VNC_MAX_CLIENTS; i++) {
		struct vnc_client *client = &server->clients[i];
		int result;

		if (client->busy)
			continue;
		client->finished = false;
		client->fd = fd;
		atomic_store(&client->leds, 0);
		result = pthread_create(&client->thread, NULL, client_main, client);
		if (result) {
			client->fd = -1;
			return -result;
		}
		client->busy = true;
		return 0;
	}
	return -EBUSY;
}

static void join(struct vnc_client *client)
{
	pthread_join(client->thread, NULL);
	client->busy = false;
}

void vnc_clients_reap(struct vnc_server *server)
{
	for (unsigned i = 0; i < VNC_MAX_CLIENTS; i++) {
		struct vnc_client *client = &server->clients[i];
		bool finished;

		pthread_mutex_lock(&server->lock);
		finished = client->busy && client->finished;
		pthread_mutex_unlock(&server->lock);
		if (finished)
			join(client);
	}
}

static void log_library(const char *format, ...)
{
	char text[256];
	va_list arguments;

	if (!log_enabled(LOG_DEBUG))
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	text[strcspn(text, "\r\n")] = '\0';
	if (*text)
		log_guest("vnc", "library: %s", text);
}

static rfbScreenInfoPtr create_screen(struct vnc_server *server)
{
	/* Nothing is taken from a command line. */
	rfbScreenInfoPtr screen =
		rfbGetScreen(NULL, NULL, VNC_DEFAULT_WIDTH, VNC_DEFAULT_HEIGHT, 8, 3, 4);

	if (!screen)
		return NULL;
	screen->desktopName = server->host->guest_name;
	screen->paddedWidthInBytes = (int)(VNC_STRIDE_PIXELS * sizeof(uint32_t));
	screen->depth = 24;
	screen->serverFormat.depth = 24; /* 0x00RRGGBB */
	screen->serverFormat.redShift = 16;
	screen->serverFormat.greenShift = 8;
	screen->serverFormat.blueShift = 0;
	screen->alwaysShared = TRUE;
	screen->cursor = NULL; /* the guest draws its own */
	screen->permitFileTransfer = FALSE;
	screen->maxClientWait = SEND_TIMEOUT_MS;
	screen->ignoreSIGPIPE = FALSE; /* signals are blocked in this thread and its children */
	screen->kbdAddEvent = on_key;
	screen->kbdReleaseAllKeys = on_release_all_keys;
	screen->ptrAddEvent = on_pointer;
	return screen;
}

int vnc_clients_init(struct vnc_server *server, struct error *err)
{
	int result;

	rfbLog = log_library;
	rfbErr = log_library;
	pthread_mutex_init(&server->lock, NULL);
	for (unsigned i = 0; i < VNC_MAX_CLIENTS; i++) {
		struct vnc_client *client = &server->clients[i];

		client->server = server;
		client->index = i;
		client->fd = -1;
		/* All of them now: rfbGetScreen makes a lock of the library's anew. */
		client->screen = create_screen(server);
		if (!client->screen) {
			result = error_set(err, ENOMEM, "vnc: out of memory");
			goto fail;
		}
	}
	result = vnc_handshake_warm_up(server->clients[0].screen);
	if (result) {
		result = error_set(err, -result, "vnc: cannot start: %s", strerror(-result));
		goto fail;
	}
	/* From now on closing a client only says so, and its own threads do it. */
	for (unsigned i = 0; i < VNC_MAX_CLIENTS; i++)
		server->clients[i].screen->backgroundLoop = TRUE;
	return 0;

fail:
	vnc_clients_fini(server);
	return result;
}

void vnc_clients_fini(struct vnc_server *server)
{
	for (unsigned i = 0; i < VNC_MAX_CLIENTS; i++) {
		if (server->clients[i].busy)
			vnc_client_disconnect(&server->clients[i]);
	}
	for (unsigned i = 0; i < VNC_MAX_CLIENTS; i++) {
		struct vnc_client *client = &server->clients[i];

		if (client->busy)
			join(client);
		if (client->screen)
			rfbScreenCleanup(client->screen);
		client->screen = NULL;
	}
	pthread_mutex_destroy(&server->lock);
}
