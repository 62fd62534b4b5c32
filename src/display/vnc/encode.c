/* Updates in raw pixels and in Tight, without the library's detours; see server.h.
 *
 * Raw pixels in the picture's own format go from there to the socket in one call, row by row; the
 * library copies them first, and makes a call of each 32 KB. For Tight what changed is cut into
 * pieces of few colours (split.h), and those of one colour are written here, since the library
 * looks for such only in the interest of clients that know LastRect. All else, and an update with
 * anything but pixels in it, is the library's.
 *
 * Protocol: RFC 6143, sections 7.6.1 FramebufferUpdate and 7.7.1 Raw; the community's RFB document
 * (rfbproto), "Tight Encoding".
 *
 * Threads: "vnc-out-N", with the client's sendMutex held. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "display/vnc/server.h"
#include "display/vnc/split.h"
#include "display/vnc/wire.h"

#define MAX_VECTORS  512
#define ANY_RECTS    0xffffu /* a LastRect tells which is the last */
#define TIGHT_FILL   0x80u   /* a rectangle of one colour */
#define COLOUR_BYTES 4

static bool next_rect(sraRectangleIterator *iterator, struct rect *rect)
{
	sraRect found;

	if (!sraRgnIteratorNext(iterator, &found))
		return false;
	*rect = (struct rect){ (uint32_t)found.x1, (uint32_t)found.y1,
		(uint32_t)(found.x2 - found.x1), (uint32_t)(found.y2 - found.y1) };
	return true;
}

/* --- raw pixels --- */

struct sending {
	rfbClientPtr rfb;
	size_t count;
	struct iovec vectors[MAX_VECTORS];
};

/* Takes what is sent off the vectors; returns the first that is left. */
static struct iovec *take_sent(struct iovec *vector, size_t sent)
{
	for (; sent && sent >= vector->iov_len; vector++)
		sent -= vector->iov_len;
	if (sent) {
		vector->iov_base = (char *)vector->iov_base + sent;
		vector->iov_len -= sent;
	}
	return vector;
}

static bool flush(struct sending *sending)
{
	struct iovec *vector = sending->vectors, *end = vector + sending->count;
	struct pollfd pollfd = { .fd = sending->rfb->sock, .events = POLLOUT };

	while (vector < end) {
		struct msghdr message = { .msg_iov = vector, .msg_iovlen = (size_t)(end - vector) };
		ssize_t sent = sendmsg(pollfd.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		int ready = 1;

		if (sent >= 0)
			vector = take_sent(vector, (size_t)sent);
		else if (errno == EAGAIN)
			ready = poll(&pollfd, 1, VNC_SEND_TIMEOUT_MS);
		else if (errno != EINTR)
			return false;
		if (ready == 0)
			return false;
	}
	sending->count = 0;
	return true;
}

static bool add(struct sending *sending, const void *bytes, size_t length)
{
	if (sending->count == MAX_VECTORS && !flush(sending))
		return false;
	sending->vectors[sending->count++] = (struct iovec){ (void *)bytes, length };
	return true;
}

static bool send_raw(struct vnc_client *client, rfbClientPtr rfb, sraRegionPtr region)
{
	sraRectangleIterator *iterator = sraRgnGetIterator(region);
	struct sending sending = { .rfb = rfb };
	uint8_t headers[VNC_UPDATE_BYTES + VNC_SPLIT_RECTS * VNC_RECT_BYTES], *header = headers;
	struct rect rect;
	bool done;

	header = vnc_put_update(header, (unsigned)sraRgnCountRects(region));
	done = add(&sending, headers, VNC_UPDATE_BYTES);
	while (done && next_rect(iterator, &rect)) {
		uint8_t *start = header;

		header = vnc_put_rect(start, &rect, rfbEncodingRaw);
		done = add(&sending, start, VNC_RECT_BYTES);
		for (uint32_t y = rect.y; done && y < rect.y + rect.height; y++)
			done = add(&sending,
				client->pixels + (size_t)y * VNC_STRIDE_PIXELS + rect.x,
				rect.width * sizeof(uint32_t));
	}
	sraRgnReleaseIterator(iterator);
	return done && flush(&sending);
}

/* --- Tight --- */

static bool has_packed_colours(const rfbPixelFormat *format)
{
	return format->depth == 24 && format->redMax == 255 && format->greenMax == 255 &&
	       format->blueMax == 255;
}

/* The colour as the client has it; returns how many bytes. */
static unsigned put_colour(rfbClientPtr rfb, uint8_t *to, uint32_t colour)
{
	if (has_packed_colours(&rfb->format)) {
		to[0] = (uint8_t)(colour >> 16);
		to[1] = (uint8_t)(colour >> 8);
		to[2] = (uint8_t)colour;
		return 3;
	}
	(*rfb->translateFn)(rfb->translateLookupTable, &rfb->screen->serverFormat, &rfb->format,
		(char *)&colour, (char *)to, sizeof(colour), 1, 1);
	return rfb->format.bitsPerPixel / 8u;
}

static bool send_solid(rfbClientPtr rfb, const struct vnc_piece *piece)
{
	uint8_t *to;

	if (rfb->ublen + VNC_RECT_BYTES + 1 + COLOUR_BYTES > UPDATE_BUF_SIZE &&
		!rfbSendUpdateBuf(rfb))
		return false;
	to = (uint8_t *)rfb->updateBuf + rfb->ublen;
	to = vnc_put_rect(to, &piece->rect, rfbEncodingTight);
	*to++ = TIGHT_FILL;
	rfb->ublen += VNC_RECT_BYTES + 1 + (int)put_colour(rfb, to, piece->colour);
	return true;
}

/* Does something to a piece with the library. It shall not look for areas of one colour where there
 * are two: the parts of that would be more, and each of them begins elsewhere than before. */
static int with_piece(rfbClientPtr rfb, const struct vnc_piece *piece,
	int (*what)(rfbClientPtr rfb, int x, int y, int width, int height))
{
	const rfbBool last_rect = rfb->enableLastRectEncoding;
	int result;

	if (piece->kind == VNC_PIECE_TWO)
		rfb->enableLastRectEncoding = FALSE;
	result = what(rfb, (int)piece->rect.x, (int)piece->rect.y, (int)piece->rect.width,
		(int)piece->rect.height);
	rfb->enableLastRectEncoding = last_rect;
	return result;
}

static int send_tight_rect(rfbClientPtr rfb, int x, int y, int width, int height)
{
	return rfbSendRectEncodingTight(rfb, x, y, width, height);
}

/* Of how many rectangles the pieces will be made; ANY_RECTS: the library does not know before. */
static unsigned count_rects(rfbClientPtr rfb, const struct vnc_pieces *pieces)
{
	unsigned rects = 0;

	for (size_t i = 0; i < pieces->count; i++) {
		const struct vnc_piece *piece = &pieces->pieces[i];
		int count = 1;

		if (piece->kind != VNC_PIECE_SOLID)
			count = with_piece(rfb, piece, rfbNumCodedRectsTight);
		if (count <= 0)
			return ANY_RECTS;
		rects += (unsigned)count;
	}
	return rects;
}

static bool send_tight(struct vnc_client *client, rfbClientPtr rfb, sraRegionPtr region)
{
	sraRectangleIterator *iterator = sraRgnGetIterator(region);
	struct vnc_pieces *pieces = &client->pieces;
	size_t to_come = sraRgnCountRects(region);
	struct rect rect;
	unsigned rects;
	bool done = true;

	pieces->count = 0;
	while (next_rect(iterator, &rect))
		vnc_split(pieces, client->pixels, VNC_STRIDE_PIXELS, &rect, --to_come);
	sraRgnReleaseIterator(iterator);
	rects = count_rects(rfb, pieces);
	vnc_put_update((uint8_t *)rfb->updateBuf, rects);
	rfb->ublen = VNC_UPDATE_BYTES;
	for (size_t i = 0; done && i < pieces->count; i++) {
		const struct vnc_piece *piece = &pieces->pieces[i];

		done = piece->kind == VNC_PIECE_SOLID ? send_solid(rfb, piece)
						      : with_piece(rfb, piece, send_tight_rect);
	}
	if (done && rects == ANY_RECTS)
		done = rfbSendLastRectMarker(rfb);
	return done && rfbSendUpdateBuf(rfb);
}

/* --- both --- */

/* Whether the client gets pixels and nothing else, and they are of the size that it knows. */
static bool only_pixels(rfbClientPtr rfb)
{
	return !rfb->newFBSizePending && !rfb->requestedDesktopSizeChange &&
	       !rfb->enableSupportedMessages && !rfb->enableSupportedEncodings &&
	       !rfb->enableServerIdentity &&
	       !(rfb->enableCursorShapeUpdates && rfb->cursorWasChanged) &&
	       !(rfb->enableCursorPosUpdates && rfb->cursorWasMoved) &&
	       rfb->scaledScreen == rfb->screen;
}

/* What is to be sent of what was asked for, and notes that it is; NULL: nothing, or too many
 * rectangles. */
static sraRegionPtr take_region(rfbClientPtr rfb)
{
	sraRegionPtr region;
	unsigned long rects;

	pthread_mutex_lock(&rfb->updateMutex);
	region = sraRgnCreateRgn(rfb->modifiedRegion);
	sraRgnAnd(region, rfb->requestedRegion);
	rects = sraRgnCountRects(region);
	if (rects && rects <= VNC_SPLIT_RECTS) {
		sraRgnSubtract(rfb->modifiedRegion, region);
		sraRgnMakeEmpty(rfb->requestedRegion);
	} else {
		sraRgnDestroy(region);
		region = NULL;
	}
	pthread_mutex_unlock(&rfb->updateMutex);
	return region;
}

bool vnc_encode_update(struct vnc_client *client, rfbClientPtr rfb)
{
	const bool tight = rfb->preferredEncoding == rfbEncodingTight;
	const bool raw =
		rfb->preferredEncoding == rfbEncodingRaw && rfb->translateFn == rfbTranslateNone;
	sraRegionPtr region;

	if ((!tight && !raw) || !only_pixels(rfb))
		return false;
	region = take_region(rfb);
	if (!region)
		return false;
	if (!(tight ? send_tight : send_raw)(client, rfb, region))
		rfbCloseClient(rfb);
	sraRgnDestroy(region);
	return true;
}
