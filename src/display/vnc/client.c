/* VNC clients: their slots, messages and input; see server.h for threads and locks. */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "display/vnc/server.h"

#define GONE_WAIT_MS    2000 /* how long the last keys of one that hung up wait for room */
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

bool vnc_client_keep(struct vnc_client *client)
{
	bool kept;

	pthread_mutex_lock(&client->server->lock);
	kept = !client->pushed_out;
	client->stranger = false;
	pthread_mutex_unlock(&client->server->lock);
	return kept;
}

/* --- input --- */

static void on_leds(void *opaque, unsigned leds)
{
	struct vnc_client *client = opaque;

	if (atomic_exchange(&client->leds, leds) != leds)
		vnc_updates_state_changed(client);
}

static void on_capabilities(void *opaque, unsigned active)
{
	struct vnc_client *client = opaque;

	if (atomic_exchange(&client->capabilities, active) != active)
		vnc_updates_state_changed(client);
}

static void poke(int event_fd)
{
	const uint64_t one = 1;

	(void)!write(event_fd, &one, sizeof(one));
}

static void on_room(void *opaque)
{
	struct vnc_client *client = opaque;

	poke(client->room_fd);
}

static void hold_back(struct vnc_client *client, bool held_back)
{
	rfbClientPtr rfb = client->rfb; /* set by this thread */

	pthread_mutex_lock(&rfb->updateMutex);
	client->held_back = held_back;
	pthread_cond_signal(&rfb->updateCond);
	pthread_mutex_unlock(&rfb->updateMutex);
}

/* The guest takes no more keys: so nothing is read from its client either, however long that takes,
 * and what it types waits where it comes from. Only a client that has hung up is not waited with
 * for ever. */
static bool wait_until_room(struct vnc_client *client)
{
	rfbClientPtr rfb = client->rfb; /* set by this thread */
	struct pollfd fds[] = { { .fd = client->room_fd, .events = POLLIN },
		{ .fd = rfb->sock, .events = POLLRDHUP } };
	int timeout_ms = -1;

	for (;;) {
		uint64_t count;
		int ready = poll(fds, array_size(fds), timeout_ms);

		if (vnc_client_is_shut(rfb) || backend_should_stop(client->server->backend))
			return false;
		if (ready == 0)
			return false;
		if (ready < 0)
			continue;
		if (fds[0].revents && read(client->room_fd, &count, sizeof(count)) > 0)
			return true;
		if (fds[1].revents) {
			fds[1].fd = -1;
			timeout_ms = GONE_WAIT_MS;
		}
	}
}

/* Who types into a guest that is busy wants to see what it does. */
static bool wait_for_room(void *opaque)
{
	struct vnc_client *client = opaque;
	bool room;

	if (!client->asks)
		return wait_until_room(client);
	hold_back(client, true);
	room = wait_until_room(client);
	hold_back(client, false);
	return room;
}

/* A key or pointer event, of which nothing is read yet. */
static int serve_input(struct vnc_client *client, rfbClientPtr rfb)
{
	const int64_t deadline = vnc_now_ms() + VNC_SEND_TIMEOUT_MS;
	const unsigned leds = atomic_load(&client->leds);
	struct vnc_pointer_view view;
	struct vnc_message message;
	uint8_t bytes[VNC_MESSAGE_MAX_BYTES];
	int have = 0, length = 1;

	while (have < length) {
		int result = vnc_read(rfb->sock, bytes + have, (size_t)(length - have), deadline);

		if (result)
			return result;
		have = length;
		length = vnc_message_bytes(bytes, (size_t)have, client->allowed & VNC_BUTTONS);
		if (length < 0)
			return length;
	}
	if (!client->source)
		return 0;
	if (atomic_exchange(&client->was_paused, false))
		vnc_input_release_all(&client->input);
	vnc_message_parse(bytes, (size_t)length, &message);
	pthread_mutex_lock(&rfb->updateMutex);
	view.width = (int)(rfb->useNewFBSize ? client->width : client->seen_width);
	view.height = (int)(rfb->useNewFBSize ? client->height : client->seen_height);
	pthread_mutex_unlock(&rfb->updateMutex);
	view.capabilities = atomic_load(&client->capabilities);
	view.mode = (enum vnc_pointer_mode)atomic_load(&client->told_mode);
	vnc_input_message(&client->input, &message, &view, leds == VNC_LEDS_UNKNOWN ? 0 : leds);
	return 0;
}

/* 0, or an error: no input then. */
static int open_input(struct vnc_client *client)
{
	const struct input_source_listener listener = { .leds_changed = on_leds,
		.capabilities_changed = on_capabilities,
		.room = on_room,
		.opaque = client };
	struct vnc_server *server = client->server;
	int fd;

	client->allowed = 0;
	client->wanted = client->unanswered = 0;
	client->told_leds = VNC_LEDS_UNKNOWN;
	client->state_news = client->held_back = client->asks = false;
	atomic_store(&client->told_mode, VNC_POINTER_PLACES);
	atomic_store(&client->was_paused, false);
	atomic_store(&client->leds, VNC_LEDS_UNKNOWN);
	if (!server->host->router)
		return 0;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	pthread_mutex_lock(&server->lock);
	client->room_fd = fd;
	pthread_mutex_unlock(&server->lock);
	/* The source's listener tells, too, but the first click may be earlier. */
	atomic_store(&client->capabilities, input_router_active(server->host->router));
	client->source = input_source_create(server->host->router, client->name, &listener);
	if (!client->source)
		return -ENOMEM;
	client->input.sender = (struct vnc_sender){ .source = client->source,
		.name = client->name,
		.wait = wait_for_room,
		.opaque = client };
	vnc_input_init(&client->input, server->keymap, &server->place,
		display_backend_settings(server->backend)->sync_locks);
	return 0;
}

/* Releases what the client holds. */
static void close_input(struct vnc_client *client)
{
	int fd;

	input_source_destroy(client->source);
	client->source = NULL;
	pthread_mutex_lock(&client->server->lock);
	fd = client->room_fd;
	client->room_fd = -1;
	pthread_mutex_unlock(&client->server->lock);
	if (fd >= 0)
		close(fd);
}

void vnc_clients_poke(struct vnc_server *server)
{
	const struct vm_control *control = server->host->control;
	const bool paused = control && control->state(control->opaque) == VM_PAUSED;

	pthread_mutex_lock(&server->lock);
	for (unsigned i = 0; i < VNC_MAX_CLIENTS; i++) {
		struct vnc_client *client = &server->clients[i];

		if (client->room_fd < 0)
			continue;
		if (paused)
			atomic_store(&client->was_paused, true);
		poke(client->room_fd);
	}
	pthread_mutex_unlock(&server->lock);
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
	int result = vnc_read(fd, bytes, CUT_TEXT_HEADER, vnc_now_ms() + VNC_SEND_TIMEOUT_MS);

	if (result)
		return result;
	left = (uint32_t)bytes[4] << 24 | (uint32_t)bytes[5] << 16 | (uint32_t)bytes[6] << 8 |
	       bytes[7];
	if (left & 0x80000000u) /* the extended clipboard's: minus the length */
		left = 0u - left;
	while (!result && left) {
		uint32_t part = left < sizeof(bytes) ? left : (uint32_t)sizeof(bytes);

		result = vnc_read(fd, bytes, part, vnc_now_ms() + VNC_SEND_TIMEOUT_MS);
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
	case VNC_QEMU_MESSAGE:
		if (!(client->allowed & VNC_SCANCODES))
			break;
		return serve_input(client, rfb);
	case VNC_KEY_EVENT:
	case VNC_POINTER_EVENT:
		return serve_input(client, rfb);
	case rfbSetEncodings:
		pthread_mutex_lock(&rfb->sendMutex);
		vnc_extensions_set_encodings(client, rfb);
		pthread_mutex_unlock(&rfb->sendMutex);
		return 0;
	case rfbSetPixelFormat:
		/* Not under the encoder's hands. */
		pthread_mutex_lock(&rfb->sendMutex);
		rfbProcessClientMessage(rfb);
		pthread_mutex_unlock(&rfb->sendMutex);
		return 0;
	case rfbFramebufferUpdateRequest:
		client->asks = true;
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
		break;
	}
	/* File transfer, server-side scaling, chat and the like are not offered, and an unknown
	 * message has no known length. */
	log_guest("vnc", "%s: message %u is not served", client->name, type);
	return -EPROTO;
}

static void serve(struct vnc_client *client, rfbClientPtr rfb)
{
	struct vnc_server *server = client->server;
	pthread_t output;
	bool started;

	pthread_mutex_lock(&server->lock);
	client->rfb = rfb;
	pthread_mutex_unlock(&server->lock);
	started = pthread_create(&output, NULL, vnc_updates_main, client) == 0;
	/* What a client has sent before it was shut down may still be read for long. */
	while (started && !vnc_client_is_shut(rfb) && !backend_should_stop(server->backend)) {
		if (vnc_wait_readable(rfb->sock, -1) || serve_message(client, rfb))
			break;
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
	vnc_extensions_forget(rfb);
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

/* A client may be gone without a word: its machine was switched off. */
static void notice_its_end(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, 60 },
		{ IPPROTO_TCP, TCP_KEEPINTVL, 15 },
		{ IPPROTO_TCP, TCP_KEEPCNT, 4 },
	};

	for (size_t i = 0; i < array_size(options); i++)
		setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
}

static void *client_main(void *opaque)
{
	struct vnc_client *client = opaque;
	struct vnc_server *server = client->server;
	int fd = client->fd; /* set before this thread began, closed by it */
	const int one = 1;
	rfbClientPtr rfb = NULL;
	char name[16];
	int result;

	snprintf(name, sizeof(name), "vnc-in-%u", client->index);
	pthread_setname_np(pthread_self(), name);
	describe(client, fd);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* no TCP: no need */
	notice_its_end(fd);
	if (vnc_handshake(client, fd, vnc_now_ms() + VNC_HANDSHAKE_SECONDS * 1000) == 0 &&
		vnc_updates_open(client)) {
		vnc_updates_first_look(client);
		rfb = vnc_handshake_finish(client, fd);
	}
	if (rfb) {
		log_debug("vnc", "%s: connected", client->name);
		result = open_input(client);
		if (result)
			log_guest("vnc", "%s: no input: %s", client->name, strerror(-result));
		serve(client, rfb);
		close_input(client);
		log_debug("vnc", "%s: gone", client->name);
	}
	vnc_updates_close(client);
	pthread_mutex_lock(&server->lock);
	client->fd = -1;
	client->stranger = false;
	client->finished = true;
	pthread_mutex_unlock(&server->lock);
	close(fd);
	vnc_server_wake(server);
	return NULL;
}

/* --- slots --- */

static void join(struct vnc_client *client)
{
	pthread_join(client->thread, NULL);
	client->busy = false;
}

static struct vnc_client *free_place(struct vnc_server *server)
{
	for (unsigned i = 0; i < VNC_MAX_CLIENTS; i++) {
		if (!server->clients[i].busy)
			return &server->clients[i];
	}
	return NULL;
}

/* Frees the place of the client that has been a stranger for longest; NULL: there is none. Only
 * reading from it is shut, so that it can be told. */
static struct vnc_client *push_one_out(struct vnc_server *server)
{
	struct vnc_client *oldest = NULL;

	pthread_mutex_lock(&server->lock);
	for (unsigned i = 0; i < VNC_MAX_CLIENTS; i++) {
		struct vnc_client *client = &server->clients[i];

		if (client->stranger && (!oldest || client->number < oldest->number))
			oldest = client;
	}
	if (oldest) {
		oldest->pushed_out = true;
		if (oldest->fd >= 0)
			shutdown(oldest->fd, SHUT_RD);
	}
	pthread_mutex_unlock(&server->lock);
	if (oldest)
		join(oldest); /* it waits for nothing any more */
	return oldest;
}

int vnc_clients_add(struct vnc_server *server, int fd)
{
	struct vnc_client *client = free_place(server);
	int result;

	if (!client)
		client = push_one_out(server);
	if (!client)
		return -EBUSY;
	client->finished = client->pushed_out = false;
	client->stranger = true;
	client->number = server->connections++;
	client->fd = fd;
	result = pthread_create(&client->thread, NULL, client_main, client);
	if (result) {
		client->fd = -1;
		client->stranger = false;
		return -result;
	}
	client->busy = true;
	return 0;
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
	screen->maxClientWait = VNC_SEND_TIMEOUT_MS;
	screen->ignoreSIGPIPE = FALSE; /* signals are blocked in this thread and its children */
	return screen;
}

int vnc_clients_init(struct vnc_server *server, struct error *err)
{
	int result;

	rfbLog = log_library;
	rfbErr = log_library;
	pthread_mutex_init(&server->lock, NULL);
	pthread_mutex_init(&server->place.lock, NULL);
	vnc_extensions_register();
	for (unsigned i = 0; i < VNC_MAX_CLIENTS; i++) {
		struct vnc_client *client = &server->clients[i];

		client->server = server;
		client->index = i;
		client->fd = client->room_fd = -1;
		/* All of them now: rfbGetScreen makes a lock of the library's anew. */
		client->screen = create_screen(server);
		if (!client->screen) {
			result = error_set(err, ENOMEM, "vnc: out of memory");
			goto fail;
		}
	}
	result = vnc_handshake_warm_up(server);
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
	poke(server->end_fd);
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
	vnc_extensions_unregister();
	pthread_mutex_destroy(&server->place.lock);
	pthread_mutex_destroy(&server->lock);
}
