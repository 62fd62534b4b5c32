/* A hostile guest before all displays at once: two processors set modes, offsets, palettes and
 * blanking through the graphics card's registers and draw, while a null display, a PNG file, a
 * window (SDL's dummy driver) and a VNC server with two clients follow, input comes from both
 * sides, and the machine tells of new states. Run under ThreadSanitizer, too. In the end the
 * picture is the guest's, to the pixel, on the surface and at a client. */
#include "cmocka_all.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <linux/input-event-codes.h>
#include <stdio.h>
#include <time.h>

#include "devices/vga.h"
#include "display/backend.h"
#include "display/refresh.h"
#include "fake_memory.h"
#include "fake_sink.h"
#include "rfb_client.h"
#include "test_port.h"

#define VRAM         MIB(16)
#define MMIO_BASE    UINT64_C(0xc0000000)
#define STORM_MS     3000
#define CLIENTS      2
#define FIRST_PORT   5900
#define FINAL_WIDTH  640u
#define FINAL_HEIGHT 480u

#if defined(__SANITIZE_THREAD__)
/* Not instrumented. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "called_from_lib:libSDL2-2.0.so.0\n";
}
#endif

struct storm {
	struct bus *ports, *mmio;
	struct pci_bus *pci;
	struct fake_memory *memory;
	struct vga *vga;
	uint64_t registers_gpa;
	struct surface *surface;
	struct refresh *refresh;
	struct input_router *router;
	struct fake_sink sink;
	struct display_backend *displays[4];
	unsigned display_count;
	struct test_port reserved;
	uint16_t port; /* 0: no VNC in this build */
	atomic_bool over;
	atomic_uint state, updates;
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static enum vm_state vm_state(void *opaque)
{
	return atomic_load(&((struct storm *)opaque)->state) % 2 ? VM_PAUSED : VM_RUNNING;
}

static void nothing(void *opaque)
{
	(void)opaque;
}

static void kick(void *opaque)
{
	refresh_kick(opaque);
}

/* ---- The guest ---- */

static void dispi(struct storm *storm, unsigned index, unsigned value)
{
	bus_write(storm->mmio, storm->registers_gpa + 0x500 + 2 * index, &value, 2);
}

static void outb(struct storm *storm, unsigned port, unsigned value)
{
	bus_write(storm->ports, port, &value, 1);
}

static void set_mode(struct storm *storm, unsigned width, unsigned height, unsigned depth)
{
	dispi(storm, 4, 0);
	dispi(storm, 1, width);
	dispi(storm, 2, height);
	dispi(storm, 3, depth);
	dispi(storm, 4, 0x41);
}

static unsigned below(unsigned *seed, unsigned limit)
{
	return (unsigned)rand_r(seed) % limit;
}

static void storm_once(struct storm *storm, unsigned *seed)
{
	static const uint16_t sizes[][2] = { { 640, 480 }, { 800, 600 }, { 1024, 768 },
		{ 1920, 1080 }, { 3840, 2160 }, { 8, 1 }, { 16, 2160 }, { 3840, 3 }, { 0, 0 },
		{ 65535, 65535 } };
	static const uint8_t depths[] = { 8, 15, 16, 24, 32, 4 };
	unsigned size = below(seed, array_size(sizes));

	switch (below(seed, 8)) {
	case 0:
		set_mode(storm, sizes[size][0], sizes[size][1],
			depths[below(seed, array_size(depths))]);
		break;
	case 1: /* the registers one by one, in the middle of a mode */
		dispi(storm, 1 + below(seed, 10), below(seed, 65536));
		break;
	case 2:
		dispi(storm, 9, below(seed, 3000));
		break;
	case 3:
		outb(storm, 0x3c8, below(seed, 256));
		for (unsigned i = 0; i < 30; i++)
			outb(storm, 0x3c9, below(seed, 256));
		break;
	case 4:
		outb(storm, 0x3c0, below(seed, 2) * 0x20);
		break;
	case 5:
		if (below(seed, 10) == 0)
			vga_get_device(storm->vga)->ops->reset(vga_get_device(storm->vga));
		break;
	default:
		break;
	}
}

/* Only one of the two draws and changes what clears the memory: two that write the same bytes at
 * once are a race that the guest would have to answer for. */
static void *first_processor(void *opaque)
{
	struct storm *storm = opaque;
	unsigned seed = 21;

	while (!atomic_load(&storm->over)) {
		storm_once(storm, &seed);
		for (unsigned i = 0; i < 20; i++)
			fake_memory_fill(storm->memory, below(&seed, VRAM - 5000),
				(uint8_t)below(&seed, 256), below(&seed, 5000));
		/* busy for a while, then at rest for one */
		if (below(&seed, 20) == 0)
			usleep(below(&seed, 150000));
	}
	return NULL;
}

static void *second_processor(void *opaque)
{
	struct storm *storm = opaque;
	unsigned seed = 22;

	while (!atomic_load(&storm->over)) {
		dispi(storm, 8 + below(&seed, 2), below(&seed, 4000));
		outb(storm, 0x3c6, below(&seed, 256));
		outb(storm, 0x3c4, 1);
		outb(storm, 0x3c5, below(&seed, 2) * 0x20);
		usleep(500);
	}
	return NULL;
}

/* ---- People ---- */

static void *watch(void *opaque)
{
	struct storm *storm = opaque;
	struct rfb_client client;
	bool resized, good = rfb_open(&client, storm->port, true);
	unsigned seed = 23;

	while (good && !atomic_load(&storm->over)) {
		good = rfb_request(&client, true);
		for (int i = 0; good && i < 20 && !rfb_readable(client.fd, 10); i++)
			good = !atomic_load(&storm->over) &&
			       rfb_key(&client, 'a' + below(&seed, 26), below(&seed, 2)) &&
			       rfb_pointer(&client, (uint8_t)below(&seed, 8), below(&seed, 4000),
				       below(&seed, 3000));
		if (good && rfb_readable(client.fd, 0)) {
			good = rfb_update(&client, &resized);
			atomic_fetch_add(&storm->updates, good);
		}
	}
	rfb_close(&client);
	return NULL;
}

static void *pause_and_resume(void *opaque)
{
	struct storm *storm = opaque;

	while (!atomic_load(&storm->over)) {
		atomic_fetch_add(&storm->state, 1);
		for (unsigned i = 0; i < storm->display_count; i++)
			backend_notify(storm->displays[i]);
		refresh_sync(storm->refresh); /* as a screenshot does */
		usleep(20000);
	}
	return NULL;
}

/* ---- Setting up ---- */

static void create_card(struct storm *storm)
{
	const struct vga_options options = { 1024, 768, 32 };
	struct pci_bus_config config = { .mmio_base = MMIO_BASE,
		.mmio_end = MMIO_BASE + MIB(512),
		.ports_base = 0xc000,
		.ports_end = 0xd000 };
	uint32_t address = 0x80000000u | 1u << 11 | 0x18, value;
	struct error err;

	storm->ports = bus_create("ports", 0x10000);
	storm->mmio = bus_create("mmio", 0);
	config.ports = storm->ports;
	config.mmio = storm->mmio;
	assert_int_equal(pci_bus_create(&config, &storm->pci, &err), 0);
	storm->memory = fake_memory_create(VRAM);
	assert_int_equal(vga_create(&options, &storm->memory->base, &storm->vga, &err), 0);
	assert_int_equal(vga_attach(storm->vga, storm->ports, storm->pci, 1, &err), 0);
	assert_int_equal(
		vga_get_device(storm->vga)->ops->start(vga_get_device(storm->vga), &err), 0);
	bus_write(storm->ports, 0xcf8, &address, 4);
	bus_read(storm->ports, 0xcfc, &value, 4);
	storm->registers_gpa = value & ~15u;
}

/* A display that this build does not have is left out. */
static bool add_display(struct storm *storm, const struct display_host *host, const char *name,
	const char *argument)
{
	struct display_backend *display;
	struct error err;

	if (backend_create(name, host, &display, &err))
		return false;
	if (backend_start(display, argument, &err)) {
		print_message("without %s: %s\n", name, err.text);
		backend_destroy(display);
		return false;
	}
	storm->displays[storm->display_count++] = display;
	return true;
}

static void add_vnc(struct storm *storm, const struct display_host *host)
{
	char argument[32];

	assert_true(test_port_reserve(&storm->reserved));
	snprintf(argument, sizeof(argument), "127.0.0.1:%u", storm->reserved.port - FIRST_PORT);
	if (add_display(storm, host, "vnc", argument))
		storm->port = storm->reserved.port;
}

static void assert_shows(const uint32_t *pixels, size_t stride, const struct storm *storm)
{
	for (uint32_t y = 0; y < FINAL_HEIGHT; y++) {
		for (uint32_t x = 0; x < FINAL_WIDTH; x++) {
			uint32_t pixel;

			memcpy(&pixel, storm->memory->bytes + (y * FINAL_WIDTH + x) * 4, 4);
			if (pixels[y * stride + x] != (pixel & 0xffffff))
				fail_msg("pixel %u,%u is %06x, not %06x", x, y,
					pixels[y * stride + x], pixel & 0xffffff);
		}
	}
}

static void check_surface(struct storm *storm)
{
	struct surface_reader *reader = surface_reader_create(storm->surface, NULL, NULL);
	uint32_t *copy = calloc(FINAL_WIDTH * FINAL_HEIGHT, sizeof(*copy));
	struct rect rects[SURFACE_MAX_RECTS];
	struct surface_view view;

	(void)surface_read_begin(reader, &view, rects);
	if (view.width == FINAL_WIDTH && view.height == FINAL_HEIGHT) {
		for (uint32_t y = 0; y < FINAL_HEIGHT; y++)
			memcpy(copy + (size_t)y * FINAL_WIDTH,
				view.pixels + (size_t)y * view.stride_pixels,
				FINAL_WIDTH * sizeof(*copy));
	}
	surface_read_end(reader);
	surface_reader_destroy(reader);
	assert_int_equal(view.width, FINAL_WIDTH);
	assert_int_equal(view.height, FINAL_HEIGHT);
	assert_shows(copy, FINAL_WIDTH, storm);
	free(copy);
}

static void check_client(struct storm *storm)
{
	struct rfb_client client;

	if (!storm->port)
		return;
	assert_true(rfb_open(&client, storm->port, true));
	assert_true(rfb_refresh(&client));
	assert_int_equal(client.width, FINAL_WIDTH);
	assert_int_equal(client.height, FINAL_HEIGHT);
	assert_shows(client.pixels, client.width, storm);
	rfb_close(&client);
}

static void storm_before_all_displays_ends_with_the_right_picture(void **state)
{
	static struct storm storm;
	const struct vm_control control = { .request_powerdown = nothing,
		.request_quit = nothing,
		.request_reset = nothing,
		.toggle_pause = nothing,
		.state = vm_state,
		.save_screenshot = nothing,
		.opaque = &storm };
	struct display_host host = { .control = &control, .guest_name = "storm" };
	void *(*const jobs[])(void *) = { first_processor, second_processor, pause_and_resume };
	pthread_t threads[array_size(jobs)], clients[CLIENTS];
	char folder[] = "/tmp/vmgui-storm-XXXXXX", png[sizeof(folder) + 16];
	unsigned seed = 24;
	struct error err;

	(void)state;
	create_card(&storm);
	storm.surface = surface_create();
	assert_int_equal(
		refresh_create(vga_get_source(storm.vga), storm.surface, 120, &storm.refresh, &err),
		0);
	fake_sink_init(&storm.sink, "fake", INPUT_KEYBOARD | INPUT_POINTER_ABSOLUTE, UINT_MAX);
	assert_int_equal(input_router_create(&storm.router, &err), 0);
	assert_int_equal(input_router_attach(storm.router, &storm.sink.sink), 0);
	input_router_watch(storm.router, kick, storm.refresh);
	host.surface = storm.surface;
	host.router = storm.router;
	assert_non_null(mkdtemp(folder));
	snprintf(png, sizeof(png), "%s/screen.png", folder);
	assert_true(add_display(&storm, &host, "null", NULL));
	assert_true(add_display(&storm, &host, "png", png));
	(void)add_display(&storm, &host, "sdl", NULL);
	add_vnc(&storm, &host);
	assert_int_equal(refresh_start(storm.refresh, &err), 0);

	for (size_t i = 0; i < array_size(jobs); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, jobs[i], &storm), 0);
	for (size_t i = 0; storm.port && i < CLIENTS; i++)
		assert_int_equal(pthread_create(&clients[i], NULL, watch, &storm), 0);
	/* Longer where nobody has seen anything of it by then. */
	for (int64_t begun = now_ms();
		now_ms() - begun <
		(storm.port && !atomic_load(&storm.updates) ? RFB_WAIT_MS : STORM_MS);) {
		/* a display is closed and opened again, in turn */
		unsigned i = below(&seed, 2);

		backend_stop(storm.displays[i]);
		assert_int_equal(backend_start(storm.displays[i], i ? png : NULL, &err), 0);
		usleep(100000);
	}
	atomic_store(&storm.over, true);
	for (size_t i = 0; i < array_size(jobs); i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; storm.port && i < CLIENTS; i++)
		pthread_join(clients[i], NULL);
	assert_true(!storm.port || atomic_load(&storm.updates) > 0);

	vga_get_device(storm.vga)->ops->reset(vga_get_device(storm.vga));
	set_mode(&storm, FINAL_WIDTH, FINAL_HEIGHT, 32);
	for (unsigned i = 0; i < 200; i++)
		fake_memory_fill(storm.memory, below(&seed, MIB(1)), (uint8_t)below(&seed, 256),
			below(&seed, 5000));
	refresh_stop(storm.refresh);
	refresh_sync(storm.refresh);
	check_surface(&storm);
	check_client(&storm);
	for (unsigned i = 0; i < storm.display_count; i++) {
		assert_false(backend_ended(storm.displays[i]));
		backend_destroy(storm.displays[i]);
	}
	unlink(png);
	rmdir(folder);
	refresh_destroy(storm.refresh);
	input_router_destroy(storm.router);
	fake_sink_fini(&storm.sink);
	surface_destroy(storm.surface);
	vga_get_device(storm.vga)->ops->destroy(vga_get_device(storm.vga));
	pci_bus_destroy(storm.pci);
	bus_destroy(storm.mmio);
	bus_destroy(storm.ports);
	fake_memory_destroy(storm.memory);
	test_port_release(&storm.reserved);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(storm_before_all_displays_ends_with_the_right_picture),
	};

	setenv("SDL_VIDEODRIVER", "dummy", 1);
	/* It stays: ThreadSanitizer does not bear that a library it ignores goes. */
	(void)dlopen("libSDL2-2.0.so.0", RTLD_NOW | RTLD_NODELETE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
