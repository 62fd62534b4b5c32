/* What clients are sent: the surface's news, each client's own copy of the picture and its updates;
 * see server.h for threads and locks. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "core/display_source.h"
#include "core/log.h"
#include "display/vnc/server.h"

#define PIXEL_BYTES ((size_t)DISPLAY_MAX_HEIGHT * VNC_STRIDE_PIXELS * sizeof(uint32_t))

_Static_assert(DISPLAY_MAX_WIDTH <= VNC_STRIDE_PIXELS, "a row has room for the widest picture");

/* Sets one of the flags that "vnc-out-N" waits for. */
static void wake(struct vnc_client *client, bool *flag)
{
	rfbClientPtr rfb;

	pthread_mutex_lock(&client->server->lock);
	rfb = client->rfb;
	if (rfb) { /* else its first look comes anyway */
		pthread_mutex_lock(&rfb->updateMutex);
		*flag = true;
		pthread_cond_signal(&rfb->updateCond);
		pthread_mutex_unlock(&rfb->updateMutex);
	}
	pthread_mutex_unlock(&client->server->lock);
}

static void on_surface_news(void *opaque)
{
	struct vnc_client *client = opaque;

	wake(client, &client->news);
}

void vnc_updates_state_changed(struct vnc_client *client)
{
	wake(client, &client->state_news);
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

void vnc_updates_first_look(struct vnc_client *client)
{
	struct rect rects[SURFACE_MAX_RECTS];

	client->picture_width = VNC_DEFAULT_WIDTH;
	client->picture_height = VNC_DEFAULT_HEIGHT;
	client->picture_generation = 0;
	(void)take_picture(client, rects);
	client->width = client->picture_width;
	client->height = client->picture_height;
	client->seen_width = client->picture_width;
	client->seen_height = client->picture_height;
	client->told_generation = client->picture_generation;
	client->news = true; /* what came between this look and the first wake-up */
	client->screen->width = (int)client->width;
	client->screen->height = (int)client->height;
	client->screen->frameBuffer = (char *)client->pixels;
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
	client->seen_width = client->picture_width;
	client->seen_height = client->picture_height;
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

/* updateMutex held: as if the client had asked for all of it. */
static void ask_for_it(rfbClientPtr rfb)
{
	if (sraRgnEmpty(rfb->requestedRegion))
		add_rect(
			rfb->requestedRegion, &(struct rect){ .width = (uint32_t)rfb->screen->width,
						      .height = (uint32_t)rfb->screen->height });
}

/* sendMutex held. */
static void send_picture(struct vnc_client *client, rfbClientPtr rfb)
{
	sraRegionPtr region;

	take_news(client, rfb);
	if (vnc_encode_update(client, rfb))
		return;
	pthread_mutex_lock(&rfb->updateMutex);
	region = sraRgnCreateRgn(rfb->modifiedRegion);
	pthread_mutex_unlock(&rfb->updateMutex);
	(void)rfbSendFramebufferUpdate(rfb, region);
	sraRgnDestroy(region);
}

void *vnc_updates_main(void *opaque)
{
	struct vnc_client *client = opaque;
	rfbClientPtr rfb = client->rfb; /* stays until this thread has ended */
	char name[16];

	snprintf(name, sizeof(name), "vnc-out-%u", client->index);
	pthread_setname_np(pthread_self(), name);
	for (;;) {
		bool picture, state;

		pthread_mutex_lock(&rfb->updateMutex);
		for (;;) {
			if (client->held_back)
				ask_for_it(rfb);
			state = client->state_news;
			picture = update_wanted(rfb) ||
				  (client->news && !sraRgnEmpty(rfb->requestedRegion));
			if (vnc_client_is_shut(rfb) || state || picture)
				break;
			pthread_cond_wait(&rfb->updateCond, &rfb->updateMutex);
		}
		client->state_news = false;
		pthread_mutex_unlock(&rfb->updateMutex);
		if (vnc_client_is_shut(rfb))
			break;
		pthread_mutex_lock(&rfb->sendMutex);
		if (state)
			vnc_extensions_tell(client, rfb);
		if (picture)
			send_picture(client, rfb);
		pthread_mutex_unlock(&rfb->sendMutex);
	}
	/* The library may have given up sending; the other thread reads until it hears of it. */
	vnc_client_disconnect(client);
	return NULL;
}

bool vnc_updates_open(struct vnc_client *client)
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

void vnc_updates_close(struct vnc_client *client)
{
	surface_reader_destroy(client->reader); /* its wake-up comes no more */
	client->reader = NULL;
	if (client->pixels)
		munmap(client->pixels, PIXEL_BYTES);
	client->pixels = NULL;
}
