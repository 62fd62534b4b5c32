/* What clients see that have their updates compressed: the guest's picture, pixel for pixel. The
 * client's side is another program's: libvncclient. */
#include <rfb/rfbclient.h>

#include "vnc_fixture.h"

#define BACK  0x204060u
#define PAPER 0xf8f8f8u
#define INK   0x101010u

static void say_nothing(const char *format, ...)
{
	(void)format;
}

static void ignore_update(rfbClient *client, int x, int y, int width, int height)
{
	(void)client, (void)x, (void)y, (void)width, (void)height;
}

static rfbClient *connect_to(struct vnc_fixture *fixture, const char *encodings, unsigned bits)
{
	rfbClient *client = bits == 16 ? rfbGetClient(5, 3, 2) : rfbGetClient(8, 3, 4);

	assert_non_null(client);
	rfbClientLog = rfbClientErr = say_nothing;
	free(client->serverHost);
	client->serverHost = strdup("127.0.0.1");
	client->serverPort = fixture->port;
	client->appData.encodingsString = encodings;
	client->appData.compressLevel = 2;
	client->appData.enableJPEG = FALSE;
	client->appData.useRemoteCursor = FALSE;
	client->canHandleNewFBSize = FALSE;
	client->GotFrameBufferUpdate = ignore_update;
	assert_true(rfbInitClient(client, NULL, NULL)); /* else it is freed */
	return client;
}

static uint32_t pixel_of(const rfbClient *client, uint32_t x, uint32_t y)
{
	size_t at = (size_t)y * (size_t)client->width + x;

	if (client->format.bitsPerPixel == 16)
		return ((const uint16_t *)client->frameBuffer)[at];
	return ((const uint32_t *)client->frameBuffer)[at] & 0xffffff;
}

/* As a client with 5 bits for each colour has it, or with 8; libvncclient puts red lowest. */
static uint32_t as_client(const rfbClient *client, uint32_t colour)
{
	const rfbPixelFormat *format = &client->format;
	uint32_t red = colour >> 16 & 255, green = colour >> 8 & 255, blue = colour & 255;

	return (red * format->redMax + 127) / 255 << format->redShift |
	       (green * format->greenMax + 127) / 255 << format->greenShift |
	       (blue * format->blueMax + 127) / 255 << format->blueShift;
}

static uint32_t differing(
	const rfbClient *client, const uint32_t *expected, uint32_t width, uint32_t height)
{
	uint32_t count = 0;

	for (uint32_t y = 0; y < height; y++)
		for (uint32_t x = 0; x < width; x++)
			count += pixel_of(client, x, y) !=
				 as_client(client, expected[(size_t)y * width + x]);
	return count;
}

/* Until the client has the picture, which it gets in one update or in some. */
static void expect_picture(struct vnc_fixture *fixture, rfbClient *client, const uint32_t *expected)
{
	const int64_t end = vnc_test_now_ms() + RFB_WAIT_MS;
	uint32_t wrong = 1;

	while (wrong && vnc_test_now_ms() < end) {
		/* It waits for the socket alone, and may have read more than it has worked off. */
		int ready = client->buffered ? 1 : WaitForMessage(client, 100000);

		assert_true(ready >= 0);
		if (ready > 0)
			assert_true(HandleRFBServerMessage(client));
		wrong = differing(client, expected, fixture->width, fixture->height);
	}
	assert_int_equal(wrong, 0);
}

struct canvas {
	struct vnc_fixture *fixture;
	uint32_t *pixels;
};

static void draw(struct canvas *canvas, uint32_t x, uint32_t y, uint32_t width, uint32_t height,
	uint32_t colour)
{
	for (uint32_t row = y; row < y + height; row++)
		for (uint32_t column = x; column < x + width; column++)
			canvas->pixels[(size_t)row * canvas->fixture->width + column] = colour;
}

static void show(struct canvas *canvas, struct rect rect)
{
	struct vnc_fixture *fixture = canvas->fixture;
	uint32_t *pixels, stride;

	assert_int_equal(surface_write_begin(fixture->surface, fixture->width, fixture->height,
				 &pixels, &stride),
		0);
	for (uint32_t y = rect.y; y < rect.y + rect.height; y++)
		memcpy(pixels + (size_t)y * stride + rect.x,
			canvas->pixels + (size_t)y * fixture->width + rect.x,
			rect.width * sizeof(*pixels));
	surface_write_end(fixture->surface, &rect, 1);
}

static void draw_window(struct canvas *canvas, uint32_t x, uint32_t y)
{
	draw(canvas, x, y, 300, 200, PAPER);
	draw(canvas, x, y, 300, 16, 0xc06020);
	for (uint32_t row = 24; row < 190; row += 8)
		for (uint32_t column = 8; column < 290; column += 5)
			draw(canvas, x + column, y + row, 1 + (column * row) % 4, 6, INK);
}

static void shows_every_picture(struct vnc_fixture *fixture, const char *encodings, unsigned bits)
{
	struct canvas canvas = { fixture, NULL };
	const struct rect all = { 0, 0, 1000, 700 };
	unsigned seed = bits;
	rfbClient *client;

	vnc_fixture_set_size(fixture, all.width, all.height, BACK);
	canvas.pixels = calloc((size_t)all.width * all.height, sizeof(uint32_t));
	assert_non_null(canvas.pixels);
	draw(&canvas, 0, 0, all.width, all.height, BACK);
	client = connect_to(fixture, encodings, bits);
	expect_picture(fixture, client, canvas.pixels);
	/* a window that moves, the whole screen in another colour, and a bit of everything */
	for (uint32_t i = 0; i < 12; i++) {
		draw(&canvas, 100 + i * 8, 100 + i * 4, 300, 200, BACK);
		draw_window(&canvas, 108 + i * 8, 104 + i * 4);
		show(&canvas, (struct rect){ 100 + i * 8, 100 + i * 4, 308, 204 });
		expect_picture(fixture, client, canvas.pixels);
	}
	draw(&canvas, 0, 0, all.width, all.height, 0x80ff00);
	show(&canvas, all);
	expect_picture(fixture, client, canvas.pixels);
	for (uint32_t i = 0; i < 40; i++) {
		uint32_t x = (uint32_t)rand_r(&seed) % 900, y = (uint32_t)rand_r(&seed) % 600;
		uint32_t width = 1 + (uint32_t)rand_r(&seed) % (all.width - x);
		uint32_t height = 1 + (uint32_t)rand_r(&seed) % (all.height - y);

		draw(&canvas, x, y, width, height, (uint32_t)rand_r(&seed) & 0xffffff);
		if (i % 4 == 0) /* many colours */
			for (uint32_t at = 0; at < width; at++)
				draw(&canvas, x + at, y, 1, height,
					(uint32_t)rand_r(&seed) & 0xffffff);
		if (i % 3 == 0)
			show(&canvas, all);
		else
			show(&canvas, (struct rect){ x, y, width, height });
		expect_picture(fixture, client, canvas.pixels);
	}
	free(client->frameBuffer); /* which cleaning up leaves alone */
	rfbClientCleanup(client);
	free(canvas.pixels);
}

static void vnc_tight_client_sees_every_pixel(void **state)
{
	shows_every_picture(*state, "tight raw", 32);
}

static void vnc_tight_client_of_16_bits_sees_every_pixel(void **state)
{
	shows_every_picture(*state, "tight raw", 16);
}

static void vnc_raw_client_sees_every_pixel(void **state)
{
	shows_every_picture(*state, "raw", 32);
}

static void vnc_zrle_client_sees_every_pixel(void **state)
{
	shows_every_picture(*state, "zrle raw", 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, vnc_fixture_setup, vnc_fixture_teardown)
		TEST(vnc_tight_client_sees_every_pixel),
		TEST(vnc_tight_client_of_16_bits_sees_every_pixel),
		TEST(vnc_raw_client_sees_every_pixel),
		TEST(vnc_zrle_client_sees_every_pixel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
