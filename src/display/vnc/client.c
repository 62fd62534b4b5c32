/* VNC clients: their slots, handshake, messages and updates; see server.h for threads and locks. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/display_source.h"
#include "core/log.h"
#include "display/vnc/server.h"

#define VERSION_BYTES   12
#define SEND_TIMEOUT_MS 20000 /* a client that takes nothing for so long is dropped */
#define KEY_WAIT_MS     1000  /* how long a full input queue holds up its client */
#define DEFAULT_WIDTH   640u  /* before the guest has a picture */
#define DEFAULT_HEIGHT  480u
#define CUT_TEXT_HEADER 8
#define FD_LIMIT        (FD_SETSIZE - 1) /* the library uses select() */
#define PIXEL_BYTES     ((size_t)DISPLAY_MAX_HEIGHT * VNC_STRIDE_PIXELS * sizeof(uint32_t))

_Static_assert(DISPLAY_MAX_WIDTH <= VNC_STRIDE_PIXELS, "a row has room for the widest picture");

static bool is_shut(rfbClientPtr rfb)
{
	return __atomic_load_n(&rfb->state, __ATOMIC_RELAXED) == RFB_SHUTDOWN;
}

/* Makes both of the client's threads return from whatever they do with the connection. */
static void disconnect(struct vnc_client *client)
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

/* --- updates --- */

static void on_surface_news(void *opaque)
{
	struct vnc_client *client = opaque;
	rfbClientPtr rfb;

	pthread_mutex_lock(&client->server->lock);
	rfb = client->rfb;
	if (rfb) { /* else its first look comes anyway */
		pthread_mutex_lock(&rfb->updateMutex);
		client->news = true;
		pthread_cond_signal(&rfb->updateCond);
		pthread_mutex_unlock(&rfb->updateMutex);
	}
	pthread_mutex_unlock(&client->server->lock);
}

static void copy_rect(
	struct vnc_client *client, const struct surface_view *view, const struct rect *rect)
{
	for (uint32_t y = rect->y; y < rect->y + rect->height; y++)
		memcpy(client->pixels + (size_t)y * VNC_STRIDE_PIXELS + rect->x,
			view->pixels + (size_t)y * view->stride_pixels + rect->x,
			rect->width * sizeof(uint32_t));
}

/* A client that keeps an older, larger size sees black around the new picture. */
static void blank(struct vnc_client *client)
{
	for (uint32_t y = 0; y < client->picture_height; y++)
		memset(client->pixels + (size_t)y * VNC_STRIDE_PIXELS, 0,
			client->picture_width * sizeof(uint32_t));
}

/* Copies what is new on the surface. Returns how many rectangles; one of the largest possible size
 * stands for a new picture. */
static size_t take_picture(struct vnc_client *client, struct rect rects[SURFACE_MAX_RECTS])
{
	struct surface_view view;
	size_t count = surface_read_begin(client->reader, &view, rects);

	if (!view.width || !view.height || view.width > DISPLAY_MAX_WIDTH ||
		view.height > DISPLAY_MAX_HEIGHT) {
		surface_read_end(client->reader);
		return 0;
	}
	if (view.generation != client->picture_generation)
		blank(client);
	for (size_t i = 0; i < count; i++)
		copy_rect(client, &view, &rects[i]);
	surface_read_end(client->reader);
	if (view.generation != client->picture_generation) {
		client->picture_generation = view.generation;
		client->picture_width = view.width;
		client->picture_height = view.height;
		rects[0] = (struct rect){ 0, 0, DISPLAY_MAX_WIDTH, DISPLAY_MAX_HEIGHT };
		count = 1;
	}
	return count;
}

static void add_rect(sraRegionPtr region, const struct rect *rect)
{
	sraRegionPtr one = sraRgnCreateRect((int)rect->x, (int)rect->y,
		(int)(rect->x + rect->width), (int)(rect->y + rect->height));

	sraRgnOr(region, one);
	sraRgnDestroy(one);
}

/* sendMutex held: brings the client's picture up to date. A client that follows new sizes is told
 * the current one before any pixel of it; another one keeps its first size and sees that part. */
static void take_news(struct vnc_client *client, rfbClientPtr rfb)
{
	struct rect rects[SURFACE_MAX_RECTS];
	rfbScreenInfoPtr screen = client->screen;
	sraRegionPtr whole;
	size_t count = 0;
	bool news;

	pthread_mutex_lock(&rfb->updateMutex);
	news = client->news;
	client->news = false;
	pthread_mutex_unlock(&rfb->updateMutex);
	if (news)
		count = take_picture(client, rects);

	pthread_mutex_lock(&rfb->updateMutex);
	for (size_t i = 0; i < count; i++)
		add_rect(rfb->modifiedRegion, &rects[i]);
	if (client->told_generation != client->picture_generation && rfb->useNewFBSize) {
		client->told_generation = client->picture_generation;
		client->width = client->picture_width;
		client->height = client->picture_height;
		screen->width = (int)client->width;
		screen->height = (int)client->height;
		rfb->newFBSizePending = TRUE;
		add_rect(rfb->modifiedRegion,
			&(struct rect){ .width = client->width, .height = client->height });
		/* The new size is the answer to what was asked before. */
		sraRgnMakeEmpty(rfb->requestedRegion);
	}
	/* What was asked for or marked in an older, larger size is no longer there. */
	whole = sraRgnCreateRect(0, 0, screen->width, screen->height);
	sraRgnAnd(rfb->modifiedRegion, whole);
	sraRgnAnd(rfb->requestedRegion, whole);
	sraRgnDestroy(whole);
	pthread_mutex_unlock(&rfb->updateMutex);
}

/* updateMutex held: whether there is something that the client wants and has not got. */
static bool update_wanted(rfbClientPtr rfb)
{
	sraRegionPtr region;
	bool wanted;

	if (sraRgnEmpty(rfb->requestedRegion))
		return false;
	if ((rfb->useNewFBSize && rfb->newFBSizePending) ||
		(rfb->enableCursorShapeUpdates && rfb->cursorWasChanged))
		return true;
	region = sraRgnCreateRgn(rfb->modifiedRegion);
	wanted = sraRgnAnd(region, rfb->requestedRegion);
	sraRgnDestroy(region);
	return wanted;
}

static void *output_main(void *opaque)
{
	struct vnc_client *client = opaque;
	rfbClientPtr rfb = client->rfb; /* stays until this thread has ended */
	char name[16];

	snprintf(name, sizeof(name), "vnc-out-%u", client->index);
	pthread_setname_np(pthread_self(), name);
	for (;;) {
		sraRegionPtr region;

		pthread_mutex_lock(&rfb->updateMutex);
		while (!is_shut(rfb) && !update_wanted(rfb) &&
			!(client->news && !sraRgnEmpty(rfb->requestedRegion)))
			pthread_cond_wait(&rfb->updateCond, &rfb->updateMutex);
		pthread_mutex_unlock(&rfb->updateMutex);
		if (is_shut(rfb))
			break;
		pthread_mutex_lock(&rfb->sendMutex);
		take_news(client, rfb);
		pthread_mutex_lock(&rfb->updateMutex);
		region = sraRgnCreateRgn(rfb->modifiedRegion);
		pthread_mutex_unlock(&rfb->updateMutex);
		(void)rfbSendFramebufferUpdate(rfb, region);
		pthread_mutex_unlock(&rfb->sendMutex);
		sraRgnDestroy(region);
	}
	/* The library may have given up sending; the other thread reads until it hears of it. */
	disconnect(client);
	return NULL;
}

/* --- handshake and messages --- */

int64_t vnc_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Until the connection can be read; deadline -1: none. 0, -ETIMEDOUT, -errno. */
static int wait_readable(int fd, int64_t deadline)
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

static int read_by(int fd, void *buffer, size_t length, int64_t deadline)
{
	size_t done = 0;

	while (done < length) {
		int result = wait_readable(fd, deadline);
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
static rfbClientPtr shake_hands(struct vnc_client *client, int fd, int64_t deadline)
{
	struct rect rects[SURFACE_MAX_RECTS];
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
	client->picture_width = DEFAULT_WIDTH;
	client->picture_height = DEFAULT_HEIGHT;
	client->picture_generation = 0;
	(void)take_picture(client, rects);
	client->width = client->picture_width;
	client->height = client->picture_height;
	client->told_generation = client->picture_generation;
	client->news = true; /* what came between this look and the first wake-up */
	client->screen->width = (int)client->width;
	client->screen->height = (int)client->height;
	client->screen->frameBuffer = (char *)client->pixels;
	rfb = rfbNewClient(client->screen, pair[0]); /* owns pair[0] from here on */
	if (!rfb) {
		close(pair[1]);
		return NULL;
	}
	rfb->clientData = client;
	result = forward(pair[1], fd); /* our version */
	if (!result)
		result = read_by(fd, version, sizeof(version), deadline);
	/* Take back the "RFB " that was there to be looked at. */
	if (!result && recv(pair[0], (char[4]){ 0 }, 4, MSG_DONTWAIT) != 4)
		result = -EPROTO;
	if (!result)
		result = write_all(pair[1], version, sizeof(version));
	if (!result) {
		rfbProcessClientMessage(rfb);
		result = is_shut(rfb) ? -EPROTO : forward(pair[1], fd);
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

/* The client's clipboard: read and forgotten. */
static int skip_cut_text(int fd)
{
	uint8_t bytes[4096];
	uint32_t left;
	int result = read_by(fd, bytes, CUT_TEXT_HEADER, vnc_now_ms() + SEND_TIMEOUT_MS);

	if (result)
		return result;
	left = (uint32_t)bytes[4] << 24 | (uint32_t)bytes[5] << 16 | (uint32_t)bytes[6] << 8 |
	       bytes[7];
	if (left & 0x80000000u) /* the extended clipboard's: minus the length */
		left = 0u - left;
	while (!result && left) {
		uint32_t part = left < sizeof(bytes) ? left : (uint32_t)sizeof(bytes);

		result = read_by(fd, bytes, part, vnc_now_ms() + SEND_TIMEOUT_MS);
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
	while (!is_shut(rfb) && !backend_should_stop(server->backend)) {
		if (wait_readable(rfb->sock, started ? -1 : deadline))
			break;
		if (started) {
			if (serve_message(client, rfb))
				break;
			continue;
		}
		rfbProcessClientMessage(rfb); /* one byte each: security, ClientInit */
		if (rfb->state == RFB_NORMAL) {
			if (pthread_create(&output, NULL, output_main, client))
				break;
			started = true;
		}
	}
	pthread_mutex_lock(&rfb->updateMutex);
	__atomic_store_n(&rfb->state, RFB_SHUTDOWN, __ATOMIC_RELAXED);
	pthread_cond_signal(&rfb->updateCond);
	pthread_mutex_unlock(&rfb->updateMutex);
	disconnect(client);
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

static bool take_surface(struct vnc_client *client)
{
	/* Only what the picture covers is ever touched. */
	void *pixels = mmap(NULL, PIXEL_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	client->pixels = pixels == MAP_FAILED ? NULL : pixels;
	if (client->pixels)
		client->reader = surface_reader_create(
			client->server->host->surface, on_surface_news, client);
	if (!client->reader)
		log_guest("vnc", "%s: refused: no memory for its picture", client->name);
	return client->reader;
}

static void leave_surface(struct vnc_client *client)
{
	surface_reader_destroy(client->reader); /* its wake-up comes no more */
	client->reader = NULL;
	if (client->pixels)
		munmap(client->pixels, PIXEL_BYTES);
	client->pixels = NULL;
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
	rfbClientPtr rfb;
	char name[16];

	snprintf(name, sizeof(name), "vnc-in-%u", client->index);
	pthread_setname_np(pthread_self(), name);
	describe(client, fd);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* no TCP: no need */
	client->guest_stuck = false;
	rfb = take_surface(client) ? shake_hands(client, fd, deadline) : NULL;
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
	leave_surface(client);
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
	rfbScreenInfoPtr screen = rfbGetScreen(NULL, NULL, DEFAULT_WIDTH, DEFAULT_HEIGHT, 8, 3, 4);

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

/* The library makes its locks and its list of security types when first used, with no lock around
 * that: one client with nobody behind it does so before there are threads. */
static int warm_up(rfbScreenInfoPtr screen)
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
	result = warm_up(server->clients[0].screen);
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
			disconnect(&server->clients[i]);
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
