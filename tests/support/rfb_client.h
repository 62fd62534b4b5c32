/* A small RFB client for tests (RFC 6143): raw encoding, blocking, every wait with a limit. It
 * keeps the picture as the server describes it, in 0x00RRGGBB. */
#ifndef TESTS_RFB_CLIENT_H
#define TESTS_RFB_CLIENT_H

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RFB_DESKTOP_SIZE     (-223)
#define RFB_MOTION           (-257) /* QEMU's pointer motion change, */
#define RFB_SCANCODES        (-258) /* extended key event, */
#define RFB_LEDS             (-261) /* LED state */
#define RFB_EXT_DESKTOP_SIZE (-308)
#define RFB_BUTTONS          (-316) /* extended mouse buttons */
#define RFB_VMWARE_LEDS      0x574d5668
#define RFB_WAIT_MS          60000

struct rfb_format {
	uint8_t bits, depth, big_endian, true_colour;
	uint16_t red_max, green_max, blue_max;
	uint8_t red_shift, green_shift, blue_shift;
};

struct rfb_client {
	int fd;
	uint16_t width, height;
	char name[256];
	struct rfb_format format;
	uint32_t *pixels;
	/* VNC Authentication; NULL: the server must want none. encrypt: 16 bytes in place. */
	char *password;
	void (*encrypt)(unsigned char *challenge, char *password);
	/* What the server said besides pixels: how often, and what it was last. */
	unsigned scancodes, buttons, motions, led_updates, vmware_led_updates;
	unsigned frames; /* updates with pixels in them */
	bool absolute;
	uint32_t leds;
};

static inline int rfb_connect(uint16_t port)
{
	const struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Whether anything (the end included) comes within so many milliseconds. */
static inline bool rfb_readable(int fd, int milliseconds)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };

	return poll(&pollfd, 1, milliseconds) > 0;
}

static inline bool rfb_read(int fd, void *buffer, size_t length)
{
	uint8_t *next = buffer;

	while (length) {
		ssize_t got;

		if (fd < 0 || !rfb_readable(fd, RFB_WAIT_MS))
			return false;
		got = read(fd, next, length);
		if (got <= 0)
			return false;
		next += got;
		length -= (size_t)got;
	}
	return true;
}

static inline bool rfb_write(int fd, const void *buffer, size_t length)
{
	return send(fd, buffer, length, MSG_NOSIGNAL) == (ssize_t)length;
}

/* True if the server closes the connection, whatever it says before. */
static inline bool rfb_is_closed(int fd)
{
	uint8_t bytes[4096];

	while (rfb_readable(fd, RFB_WAIT_MS)) {
		if (read(fd, bytes, sizeof(bytes)) <= 0)
			return true;
	}
	return false;
}

static inline uint16_t rfb_get16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline uint32_t rfb_get32(const uint8_t *bytes)
{
	return (uint32_t)rfb_get16(bytes) << 16 | rfb_get16(bytes + 2);
}

static inline void rfb_put16(uint8_t *bytes, unsigned value)
{
	bytes[0] = (uint8_t)(value >> 8);
	bytes[1] = (uint8_t)value;
}

static inline void rfb_put32(uint8_t *bytes, uint32_t value)
{
	rfb_put16(bytes, value >> 16);
	rfb_put16(bytes + 2, value & 0xffff);
}

static inline void rfb_parse_format(struct rfb_format *format, const uint8_t *bytes)
{
	format->bits = bytes[0];
	format->depth = bytes[1];
	format->big_endian = bytes[2];
	format->true_colour = bytes[3];
	format->red_max = rfb_get16(bytes + 4);
	format->green_max = rfb_get16(bytes + 6);
	format->blue_max = rfb_get16(bytes + 8);
	format->red_shift = bytes[10];
	format->green_shift = bytes[11];
	format->blue_shift = bytes[12];
}

/* VNC Authentication: the server's answer; -1: it broke off. */
static inline int64_t rfb_authenticate(struct rfb_client *client)
{
	uint8_t challenge[16], bytes[4];

	if (!rfb_read(client->fd, challenge, sizeof(challenge)))
		return -1;
	client->encrypt(challenge, client->password);
	if (!rfb_write(client->fd, challenge, sizeof(challenge)) || !rfb_read(client->fd, bytes, 4))
		return -1;
	return rfb_get32(bytes);
}

/* Up to and with ServerInit. minor: 3, 7 or 8. */
static inline bool rfb_handshake(struct rfb_client *client, int minor)
{
	static const uint8_t shared = 1;
	const uint8_t security = client->password ? 2 : 1;
	char version[13] = "RFB 003.008\n";
	uint8_t bytes[256];
	uint32_t length;

	if (!rfb_read(client->fd, bytes, 12) || memcmp(bytes, "RFB 003.008\n", 12) != 0)
		return false;
	version[10] = (char)('0' + minor);
	if (!rfb_write(client->fd, version, 12))
		return false;
	if (minor == 3) {
		if (!rfb_read(client->fd, bytes, 4) || rfb_get32(bytes) != security)
			return false;
	} else {
		if (!rfb_read(client->fd, bytes, 2) || bytes[0] != 1 || bytes[1] != security ||
			!rfb_write(client->fd, &security, 1))
			return false;
		if (minor == 8 && !client->password &&
			(!rfb_read(client->fd, bytes, 4) || rfb_get32(bytes) != 0))
			return false;
	}
	if (client->password && rfb_authenticate(client) != 0)
		return false;
	if (!rfb_write(client->fd, &shared, 1) || !rfb_read(client->fd, bytes, 24))
		return false;
	client->width = rfb_get16(bytes);
	client->height = rfb_get16(bytes + 2);
	rfb_parse_format(&client->format, bytes + 4);
	length = rfb_get32(bytes + 20);
	if (length >= sizeof(client->name) || !rfb_read(client->fd, client->name, length))
		return false;
	client->name[length] = '\0';
	client->pixels = calloc((size_t)client->width * client->height, sizeof(uint32_t));
	return client->pixels != NULL;
}

static inline bool rfb_set_encodings(
	struct rfb_client *client, const int32_t *encodings, unsigned count)
{
	uint8_t message[4 + 4 * 16] = { 2 };

	rfb_put16(message + 2, count);
	for (unsigned i = 0; i < count; i++)
		rfb_put32(message + 4 + 4 * i, (uint32_t)encodings[i]);
	return rfb_write(client->fd, message, 4 + 4 * count);
}

static inline bool rfb_open(struct rfb_client *client, uint16_t port, bool resizable)
{
	static const int32_t encodings[] = { 0, RFB_DESKTOP_SIZE };

	memset(client, 0, sizeof(*client));
	client->fd = rfb_connect(port);
	return client->fd >= 0 && rfb_handshake(client, 8) &&
	       rfb_set_encodings(client, encodings, resizable ? 2 : 1);
}

static inline void rfb_close(struct rfb_client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
	free(client->pixels);
	client->pixels = NULL;
}

static inline bool rfb_set_format(struct rfb_client *client, const struct rfb_format *format)
{
	uint8_t message[20] = { 0 };

	client->format = *format;
	message[4] = format->bits;
	message[5] = format->depth;
	message[6] = format->big_endian;
	message[7] = format->true_colour;
	rfb_put16(message + 8, format->red_max);
	rfb_put16(message + 10, format->green_max);
	rfb_put16(message + 12, format->blue_max);
	message[14] = format->red_shift;
	message[15] = format->green_shift;
	message[16] = format->blue_shift;
	return rfb_write(client->fd, message, sizeof(message));
}

static inline bool rfb_request(struct rfb_client *client, bool incremental)
{
	uint8_t message[10] = { 3, incremental };

	rfb_put16(message + 6, client->width);
	rfb_put16(message + 8, client->height);
	return rfb_write(client->fd, message, sizeof(message));
}

static inline bool rfb_key(struct rfb_client *client, uint32_t keysym, bool down)
{
	uint8_t message[8] = { 4, down };

	rfb_put32(message + 4, keysym);
	return rfb_write(client->fd, message, sizeof(message));
}

static inline bool rfb_pointer(struct rfb_client *client, uint8_t buttons, unsigned x, unsigned y)
{
	uint8_t message[6] = { 5, buttons };

	rfb_put16(message + 2, x);
	rfb_put16(message + 4, y);
	return rfb_write(client->fd, message, sizeof(message));
}

/* The longer form: bit N of buttons is button N + 1. */
static inline bool rfb_pointer_long(
	struct rfb_client *client, unsigned buttons, unsigned x, unsigned y)
{
	uint8_t message[7] = { 5, (uint8_t)(0x80 | (buttons & 0x7f)) };

	rfb_put16(message + 2, x);
	rfb_put16(message + 4, y);
	message[6] = (uint8_t)(buttons >> 7);
	return rfb_write(client->fd, message, sizeof(message));
}

static inline bool rfb_scancode(
	struct rfb_client *client, uint32_t scancode, uint32_t keysym, bool down)
{
	uint8_t message[12] = { 255, 0, 0, down };

	rfb_put32(message + 4, keysym);
	rfb_put32(message + 8, scancode);
	return rfb_write(client->fd, message, sizeof(message));
}

static inline uint32_t rfb_channel(uint32_t pixel, unsigned shift, uint32_t max)
{
	return (pixel >> shift & max) * 255 / max;
}

static inline uint32_t rfb_pixel(const struct rfb_format *format, const uint8_t *bytes)
{
	uint32_t pixel = 0;

	for (unsigned i = 0; i < format->bits / 8u; i++)
		pixel |= (uint32_t)bytes[i]
			 << (format->big_endian ? format->bits - 8u - 8u * i : 8u * i);
	return rfb_channel(pixel, format->red_shift, format->red_max) << 16 |
	       rfb_channel(pixel, format->green_shift, format->green_max) << 8 |
	       rfb_channel(pixel, format->blue_shift, format->blue_max);
}

/* Reads updates until one of the counters above has that value. */
static inline bool rfb_update(struct rfb_client *client, bool *resized);
static inline bool rfb_await(struct rfb_client *client, const unsigned *counter, unsigned value)
{
	bool resized;

	while (*counter < value) {
		if (!rfb_update(client, &resized))
			return false;
	}
	return *counter == value;
}

static inline bool rfb_resize(struct rfb_client *client, uint16_t width, uint16_t height)
{
	uint32_t *pixels = calloc((size_t)width * height + 1, sizeof(*pixels));

	if (!pixels)
		return false;
	free(client->pixels);
	client->pixels = pixels;
	client->width = width;
	client->height = height;
	return true;
}

static inline bool rfb_read_raw(
	struct rfb_client *client, unsigned x, unsigned y, unsigned width, unsigned height)
{
	size_t bytes = client->format.bits / 8u;
	uint8_t *row;

	if (x + width > client->width || y + height > client->height)
		return false;
	row = malloc(width * bytes + 1);
	for (unsigned line = 0; row && line < height; line++) {
		if (!rfb_read(client->fd, row, width * bytes)) {
			free(row);
			return false;
		}
		for (unsigned i = 0; i < width; i++)
			client->pixels[(size_t)(y + line) * client->width + x + i] =
				rfb_pixel(&client->format, row + i * bytes);
	}
	free(row);
	return true;
}

/* Reads one FramebufferUpdate. False: something else, or nonsense, or the end. *resized: the server
 * changed the size; nothing else is in that update. */
static inline bool rfb_update(struct rfb_client *client, bool *resized)
{
	uint8_t bytes[12];
	unsigned count;

	bool frame = false;

	*resized = false;
	if (!rfb_read(client->fd, bytes, 4) || bytes[0] != 0)
		return false;
	count = rfb_get16(bytes + 2);
	for (unsigned i = 0; i < count; i++) {
		unsigned x, y, width, height;

		if (!rfb_read(client->fd, bytes, 12))
			return false;
		x = rfb_get16(bytes);
		y = rfb_get16(bytes + 2);
		width = rfb_get16(bytes + 4);
		height = rfb_get16(bytes + 6);
		switch ((int32_t)rfb_get32(bytes + 8)) {
		case 0:
			if (!rfb_read_raw(client, x, y, width, height))
				return false;
			frame = true;
			break;
		case RFB_DESKTOP_SIZE:
			if (!rfb_resize(client, (uint16_t)width, (uint16_t)height))
				return false;
			*resized = true;
			break;
		case RFB_EXT_DESKTOP_SIZE:
			if (!rfb_read(client->fd, bytes, 4) || bytes[0] != 1)
				return false;
			for (int n = 0; n < 4; n++) { /* the one screen */
				if (!rfb_read(client->fd, bytes, 4))
					return false;
			}
			if (!rfb_resize(client, (uint16_t)width, (uint16_t)height))
				return false;
			*resized = true;
			break;
		case RFB_SCANCODES:
			client->scancodes++;
			break;
		case RFB_BUTTONS:
			client->buttons++;
			break;
		case RFB_MOTION:
			client->motions++;
			client->absolute = x;
			break;
		case RFB_LEDS:
			if (!rfb_read(client->fd, bytes, 1))
				return false;
			client->led_updates++;
			client->leds = bytes[0];
			break;
		case RFB_VMWARE_LEDS:
			if (!rfb_read(client->fd, bytes, 4))
				return false;
			client->vmware_led_updates++;
			client->leds = rfb_get32(bytes);
			break;
		default:
			return false;
		}
	}
	client->frames += frame;
	return true;
}

/* Asks for the whole picture and reads it; follows a change of size. */
static inline bool rfb_refresh(struct rfb_client *client)
{
	unsigned before = client->frames;
	bool resized = true;

	for (int tries = 0; tries < 20; tries++) {
		if (resized && !rfb_request(client, false))
			return false;
		if (!rfb_update(client, &resized))
			return false;
		if (client->frames != before && !resized)
			return true;
	}
	return false;
}

#endif
