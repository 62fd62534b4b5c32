/* The VNC backend's inside: one server, up to VNC_MAX_CLIENTS clients, and who may touch what.
 *
 *   thread "vnc" (backend.h)      accepts, copies damage from the surface into `pixels`, marks it
 *                                 as modified for every client; never writes to a client
 *   thread "vnc-in-N"             client N's handshake and messages, its keyboard and pointer
 *   thread "vnc-out-N"            encodes and sends client N's updates; may block for seconds
 *
 * libvncserver does the protocol's messages and encodings and nothing else. It has threads of its
 * own, but those cannot be joined, have no deadline for a handshake, walk a list of clients that
 * others are leaving, and change a client's pixel format under the encoder. So each client slot has
 * a screen of its own with one client in it, the loops are here, and messages that change how
 * updates are encoded are handled with the client's sendMutex held. Protocol: RFC 6143.
 *
 * Lock order: server->lock, then the library's sendMutex of a client is never taken inside it, its
 * updateMutex is. `pixels` is read by encoders while the "vnc" thread writes it: an encoder may see
 * half of an update, but the mark that follows sends that place again. Its size and stride never
 * change. */
#ifndef VMGUI_DISPLAY_VNC_SERVER_H
#define VMGUI_DISPLAY_VNC_SERVER_H

#include <pthread.h>
#include <stdatomic.h>

#include <rfb/rfb.h>
#include <rfb/rfbregion.h>

#include "display/backend.h"
#include "display/vnc/keys.h"
#include "display/vnc/listen.h"
#include "display/vnc/pointer.h"

#define VNC_MAX_CLIENTS       16u
#define VNC_HANDSHAKE_SECONDS 10

struct vnc_server;

struct vnc_client {
	/* immutable after vnc_clients_init */
	struct vnc_server *server;
	rfbScreenInfoPtr screen;
	unsigned index;

	/* "vnc" thread */
	pthread_t thread;
	bool busy; /* has a thread to join */

	/* server->lock */
	int fd;           /* the client's connection, for shutdown(); -1: none */
	bool finished;    /* its thread is about to end */
	rfbClientPtr rfb; /* NULL before the handshake and after the end */
	uint32_t width, height;
	unsigned size_generation; /* which of the server's sizes the client was told */

	/* "vnc-in-N" */
	char name[64];
	struct input_source *source; /* NULL: no input devices */
	struct vnc_keyboard keyboard;
	struct vnc_pointer pointer;

	atomic_uint leds, capabilities; /* from the router's thread */
};

struct vnc_server {
	/* immutable after init */
	struct display_backend *backend;
	const struct display_host *host;
	struct vnc_keymap *keymap;
	uint32_t *pixels; /* DISPLAY_MAX_HEIGHT rows of VNC_STRIDE_PIXELS */
	int wake_fd, epoll_fd;

	/* "vnc" thread */
	struct vnc_listener listener;
	struct surface_reader *reader;
	uint32_t picture_generation;
	bool has_picture;
	int refused[VNC_MAX_CLIENTS]; /* connections over the limit, told so; -1: none */
	unsigned next_refused;

	pthread_mutex_t lock;
	uint32_t width, height;   /* lock */
	unsigned size_generation; /* lock */
	struct vnc_client clients[VNC_MAX_CLIENTS];
};

/* A page boundary at each row, so that a small picture touches few pages. */
#define VNC_STRIDE_PIXELS 4096u

/* The "vnc" thread. */
VMGUI_MUST_USE int vnc_clients_init(struct vnc_server *server, struct error *err);
void vnc_clients_fini(struct vnc_server *server); /* disconnects and joins */
/* Takes the connection over; -EBUSY, -ENOMEM...: it is still the caller's. */
VMGUI_MUST_USE int vnc_clients_add(struct vnc_server *server, int fd);
void vnc_clients_reap(struct vnc_server *server); /* joins those that are finished */
/* Changed rectangles of `pixels`; resized: the server's size is a new one, too. */
void vnc_clients_mark(
	struct vnc_server *server, const struct rect *rects, size_t count, bool resized);

/* Any thread. */
void vnc_server_wake(struct vnc_server *server);

#endif
