/* What goes beyond RFC 6143 from the server's side: which extensions a client asked for, and the
 * pseudo-rectangles that tell it of them; see server.h for threads and locks.
 *
 * Protocol: the community's RFB document (rfbproto), "QEMU Extended Key Event", "QEMU Pointer
 * Motion Change", "QEMU LED State", "VMware LED State" and "Extended Mouse Buttons"
 * pseudo-encodings. A client may use the first and the last from the moment on at which it was told
 * so; the others describe a state and are sent again whenever that changes. As QEMU does, they are
 * sent without being asked for: a client may have a long time nothing to ask.
 *
 * The library offers each pseudo-encoding that it does not know to the extensions that are
 * registered, which is a list of the process: ours is on it while there is a server. */
#include <stdlib.h>

#include "display/vnc/server.h"
#include "display/vnc/wire.h"

static const struct {
	int encoding;
	enum vnc_extension extension;
} encodings[] = {
	{ -257, VNC_MOTION },
	{ -258, VNC_SCANCODES },
	{ -261, VNC_LEDS },
	{ -316, VNC_BUTTONS },
	{ 0x574d5668, VNC_VMWARE_LEDS },
};

#define MAX_RECTS     4 /* of the two for lights only one */
#define MESSAGE_BYTES (VNC_UPDATE_BYTES + MAX_RECTS * (VNC_RECT_BYTES + 4))

/* Called by the library with the client's sendMutex held. */
static rfbBool on_encoding(rfbClientPtr rfb, void **data, int encoding)
{
	struct vnc_client *client = rfb->clientData;

	(void)data;
	for (size_t i = 0; i < array_size(encodings); i++) {
		if (encodings[i].encoding != encoding)
			continue;
		client->wanted |= encodings[i].extension;
		return TRUE;
	}
	return FALSE;
}

static int pseudo_encodings[array_size(encodings) + 1];
static rfbProtocolExtension extension = { .pseudoEncodings = pseudo_encodings,
	.enablePseudoEncoding = on_encoding };
static pthread_mutex_t users_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned users; /* users_lock */

void vnc_extensions_register(void)
{
	pthread_mutex_lock(&users_lock);
	if (users++ == 0) {
		for (size_t i = 0; i < array_size(encodings); i++)
			pseudo_encodings[i] = encodings[i].encoding;
		extension.next = NULL;
		rfbRegisterProtocolExtension(&extension);
	}
	pthread_mutex_unlock(&users_lock);
}

void vnc_extensions_unregister(void)
{
	pthread_mutex_lock(&users_lock);
	if (--users == 0)
		rfbUnregisterProtocolExtension(&extension);
	pthread_mutex_unlock(&users_lock);
}

void vnc_extensions_forget(rfbClientPtr rfb)
{
	while (rfb->extensions) {
		rfbExtensionData *first = rfb->extensions;

		rfb->extensions = first->next;
		free(first);
	}
}

static uint8_t *put_answer(uint8_t *to, unsigned x, enum vnc_extension what)
{
	const struct rect place = { .x = x };
	int encoding = 0;

	for (size_t i = 0; i < array_size(encodings); i++) {
		if (encodings[i].extension == what)
			encoding = encodings[i].encoding;
	}
	return vnc_put_rect(to, &place, encoding);
}

static enum vnc_pointer_mode mode_of(unsigned capabilities)
{
	/* Before the guest has a pointer: as RFB has it. */
	if ((capabilities & INPUT_POINTER_RELATIVE) && !(capabilities & INPUT_POINTER_ABSOLUTE))
		return VNC_POINTER_RELATIVE;
	return VNC_POINTER_ABSOLUTE;
}

void vnc_extensions_tell(struct vnc_client *client, rfbClientPtr rfb)
{
	const unsigned leds = atomic_load(&client->leds);
	const enum vnc_pointer_mode mode = mode_of(atomic_load(&client->capabilities));
	uint8_t message[MESSAGE_BYTES], *end = message + VNC_UPDATE_BYTES;
	unsigned count = 0;

	for (unsigned answer = VNC_SCANCODES; answer <= VNC_BUTTONS; answer <<= 1) {
		if (!(client->unanswered & answer))
			continue;
		end = put_answer(end, 0, answer);
		count++;
	}
	client->unanswered = 0;
	if ((client->wanted & VNC_MOTION) && (unsigned)mode != atomic_load(&client->told_mode)) {
		end = put_answer(end, mode == VNC_POINTER_ABSOLUTE, VNC_MOTION);
		count++;
		atomic_store(&client->told_mode, mode);
	}
	if ((client->wanted & (VNC_LEDS | VNC_VMWARE_LEDS)) && leds != client->told_leds) {
		/* A client that knows both must not hear of one change twice. */
		if (client->wanted & VNC_LEDS) {
			end = put_answer(end, 0, VNC_LEDS);
			*end++ = (uint8_t)leds;
		} else {
			end = vnc_put32(put_answer(end, 0, VNC_VMWARE_LEDS), leds);
		}
		count++;
		client->told_leds = leds;
	}
	if (!count)
		return;
	vnc_put_update(message, count);
	if (rfbWriteExact(rfb, (const char *)message, (int)(end - message)) < 0)
		rfbCloseClient(rfb);
}

void vnc_extensions_set_encodings(struct vnc_client *client, rfbClientPtr rfb)
{
	const bool sync_locks = display_backend_settings(client->server->backend)->sync_locks;
	const unsigned before = client->wanted;

	client->wanted = 0;
	rfbProcessClientMessage(rfb);
	if (vnc_client_is_shut(rfb))
		return;
	if (!client->source)
		client->wanted = 0; /* there is nothing to tell of */
	if (!sync_locks)
		client->wanted &= ~(unsigned)(VNC_LEDS | VNC_VMWARE_LEDS);
	/* Once allowed it stays so: what comes next may have been on its way. */
	client->allowed |= client->wanted;
	client->unanswered = client->wanted & (VNC_SCANCODES | VNC_BUTTONS);
	if (!(client->wanted & VNC_MOTION) || !(before & VNC_MOTION))
		atomic_store(&client->told_mode, VNC_POINTER_PLACES);
	if (!(client->wanted & before & (VNC_LEDS | VNC_VMWARE_LEDS)))
		client->told_leds = VNC_LEDS_UNKNOWN;
	vnc_extensions_tell(client, rfb);
}
