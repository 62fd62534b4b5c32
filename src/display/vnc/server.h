/* The VNC backend's inside: one server, up to VNC_MAX_CLIENTS clients, and who may touch what.
 *
 *   thread "vnc" (backend.h)      accepts connections and joins what has ended
 *   thread "vnc-in-N"             client N's handshake and messages, its keyboard and pointer
 *   thread "vnc-out-N"            takes news from the surface into the client's own picture,
 *                                 encodes and sends its updates; may block for seconds
 *
 * libvncserver does the protocol's messages and most encodings (encode.c). It has threads of its
 * own, but those cannot be joined, have no deadline for a handshake, walk a list of clients that
 * others are leaving, and change a client's pixel format under the encoder. So each client slot has
 * a screen of its own with one client in it, the loops are here, and messages that change how
 * updates are encoded are handled with the client's sendMutex held. Protocol: RFC 6143.
 *
 * Each client is a reader of the surface and has a copy of the picture, which only its own threads
 * touch: an encoder never sees a half-written update, and a slow client holds up nobody; what it
 * missed comes as one update when it asks again. The copy costs memory while the client is there.
 *
 * A client's input is not read while the guest takes no keys, and so its requests are not either;
 * it is sent what changes all the same. What extensions beyond the RFC it uses is in extensions.c,
 * what its messages mean in input.h.
 *
 * Lock order: a client's sendMutex (the library's), then the surface's or server->lock, then the
 * client's updateMutex (the library's; it never sends with that one held). */
#ifndef VMGUI_DISPLAY_VNC_SERVER_H
#define VMGUI_DISPLAY_VNC_SERVER_H

#include <pthread.h>
#include <stdatomic.h>

#include <rfb/rfb.h>
#include <rfb/rfbregion.h>

#include "display/backend.h"
#include "display/vnc/input.h"
#include "display/vnc/listen.h"
#include "display/vnc/password.h"
#include "display/vnc/split.h"

#define VNC_MAX_CLIENTS       16u
#define VNC_HANDSHAKE_SECONDS 10
#define VNC_SEND_TIMEOUT_MS   20000 /* a client that takes nothing for so long is dropped */

/* What a client may ask for beyond the RFC; the first two are answered once, in this order. */
enum vnc_extension {
	VNC_SCANCODES = 1,
	VNC_BUTTONS = 2,
	VNC_MOTION = 4,
	VNC_LEDS = 8, /* QEMU's way */
	VNC_VMWARE_LEDS = 16,
};
#define VNC_LEDS_UNKNOWN UINT_MAX

struct vnc_server;

struct vnc_client {
	/* immutable after vnc_clients_init */
	struct vnc_server *server;
	rfbScreenInfoPtr screen;
	unsigned index;

	/* "vnc-in-N", set before there is another thread */
	struct surface_reader *reader;
	uint32_t *pixels; /* DISPLAY_MAX_HEIGHT rows of VNC_STRIDE_PIXELS */

	/* the one of the two threads that sends: "vnc-in-N" before the first update */
	uint32_t picture_width,
		picture_height; /* of what is in pixels; the client's may be older */
	uint32_t picture_generation;
	uint32_t told_generation; /* which size the client knows */
	struct vnc_pieces pieces; /* of one update */

	/* "vnc" thread */
	pthread_t thread;
	bool busy;       /* has a thread to join */
	uint64_t number; /* of its connection; a later one has a higher number */

	/* server->lock */
	int fd;           /* the client's connection, for shutdown(); -1: none */
	bool finished;    /* its thread is about to end */
	bool stranger;    /* it has not shown yet that it may come in, nor tried to */
	bool pushed_out;  /* another connection needs its place */
	rfbClientPtr rfb; /* NULL before the handshake and after the end */

	/* the library's updateMutex of the client */
	uint32_t width, height;           /* as the client knows it */
	uint32_t seen_width, seen_height; /* of the picture that it is shown; a client that does
					     not follow new sizes may see a part */
	bool news;                        /* the surface has something that is not in pixels */
	bool state_news;                  /* lights or kinds of pointer have changed */
	bool held_back;                   /* its requests wait behind keys that nobody takes */

	/* the library's sendMutex of the client */
	unsigned wanted;     /* enum vnc_extension mask, by its last SetEncodings */
	unsigned unanswered; /* those of them that wait for their answer */
	unsigned told_leds;
	atomic_uint told_mode; /* enum vnc_pointer_mode; read by "vnc-in-N" */

	/* "vnc-in-N" */
	char name[64];
	bool asks;                   /* it has asked for a picture */
	struct input_source *source; /* NULL: no input devices */
	struct vnc_input input;
	unsigned allowed; /* enum vnc_extension mask: what the client was ever told that it may use
			   */
	int room_fd;      /* eventfd: the guest takes keys again; set while there is a source */

	atomic_bool was_paused;   /* the router has let go of everything; "vnc-in-N" has not yet */
	atomic_uint leds;         /* from the router's thread; VNC_LEDS_UNKNOWN at first */
	atomic_uint capabilities; /* the same */
};

struct vnc_server {
	/* immutable after init */
	struct display_backend *backend;
	const struct display_host *host;
	const struct keymap *keymap; /* of the guest */
	struct keymap *own_keymap;   /* the same, if the settings have none; else NULL */
	struct vnc_password password;
	int wake_fd, epoll_fd;
	int end_fd; /* readable once everything ends */

	/* "vnc" thread */
	struct vnc_listener listener;
	int refused[VNC_MAX_CLIENTS]; /* connections over the limit, told so; -1: none */
	unsigned next_refused;
	uint64_t connections; /* so many were given a place */

	pthread_mutex_t lock;
	int64_t last_turn;      /* lock; when the last wrong password is answered, vnc_now_ms */
	struct vnc_place place; /* has a lock of its own */
	struct vnc_client clients[VNC_MAX_CLIENTS];
};

/* A page boundary at each row, so that a small picture touches few pages. */
#define VNC_STRIDE_PIXELS  4096u
#define VNC_DEFAULT_WIDTH  640u /* before the guest has a picture */
#define VNC_DEFAULT_HEIGHT 480u

/* The "vnc" thread. */
VMGUI_MUST_USE int vnc_clients_init(struct vnc_server *server, struct error *err);
void vnc_clients_fini(struct vnc_server *server); /* disconnects and joins */
/* Takes the connection over; -EBUSY, -ENOMEM...: it is still the caller's. When all places are
 * taken the one that has been a stranger for longest gives up its own: the door is not to be
 * blocked by who only stands in it. */
VMGUI_MUST_USE int vnc_clients_add(struct vnc_server *server, int fd);
void vnc_clients_reap(struct vnc_server *server); /* joins those that are finished */
void vnc_clients_poke(struct vnc_server *server); /* the machine's state may have changed */

/* A client's own two threads. */
bool vnc_client_is_shut(rfbClientPtr rfb);
/* Makes both of them return from whatever they do with the connection. Any thread. */
void vnc_client_disconnect(struct vnc_client *client);
/* It is a stranger no more, whatever comes of it. False: it was pushed out before. */
VMGUI_MUST_USE bool vnc_client_keep(struct vnc_client *client);

/* updates.c. open: a reader of the surface and a picture, false and a line: no memory. */
VMGUI_MUST_USE bool vnc_updates_open(struct vnc_client *client);
void vnc_updates_close(struct vnc_client *client);
void vnc_updates_first_look(struct vnc_client *client); /* before the client is told the size */
void *vnc_updates_main(void *client);                   /* "vnc-out-N" */
/* Lights or kinds of pointer have changed. Any thread, with no lock held. */
void vnc_updates_state_changed(struct vnc_client *client);

/* encode.c. sendMutex held, the client's picture is up to date: sends what it asked for. False:
 * that is for the library to send. */
VMGUI_MUST_USE bool vnc_encode_update(struct vnc_client *client, rfbClientPtr rfb);

/* extensions.c. A server registers at its start and unregisters at its end. */
void vnc_extensions_register(void);
void vnc_extensions_unregister(void);
/* sendMutex held, a SetEncodings message can be read. */
void vnc_extensions_set_encodings(struct vnc_client *client, rfbClientPtr rfb);
/* sendMutex held: sends what the client wants to be told and has not been. */
void vnc_extensions_tell(struct vnc_client *client, rfbClientPtr rfb);
void vnc_extensions_forget(rfbClientPtr rfb); /* frees records that the library loses */

/* handshake.c. Deadlines are in vnc_now_ms; -1: none. */
VMGUI_MUST_USE int vnc_wait_readable(int fd, int64_t deadline); /* 0, -ETIMEDOUT, -errno */
VMGUI_MUST_USE int vnc_read(int fd, void *buffer, size_t length, int64_t deadline);
/* Up to and with ClientInit; -errno and a line: the connection is not worth it. */
VMGUI_MUST_USE int vnc_handshake(struct vnc_client *client, int fd, int64_t deadline);
/* The library's client for it, told the size that it begins with; NULL and a line. */
rfbClientPtr vnc_handshake_finish(struct vnc_client *client, int fd);
VMGUI_MUST_USE int vnc_handshake_warm_up(struct vnc_server *server);

/* Any thread. */
void vnc_server_wake(struct vnc_server *server);
int64_t vnc_now_ms(void); /* CLOCK_MONOTONIC */

#endif
