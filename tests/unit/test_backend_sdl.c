/* The window with SDL's dummy video driver: the displays' conformance suite, then what SDL's events
 * come to in the guest. SDL is reached through the module that has loaded it. Windows that are
 * really there are tests/e2e/window.py's. */
#include <SDL.h>
#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <linux/input-event-codes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "display/backend.h"
#include "display_conformance.h"
#include "fake_sink.h"

#define WAIT_MS 20000

#if defined(__SANITIZE_THREAD__)
/* Not instrumented. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "called_from_lib:libSDL2-2.0.so.0\n";
}
#endif

static char folder[] = "/tmp/vmgui-sdl-XXXXXX";
static int (*push_event)(SDL_Event *event);

struct fixture {
	struct surface *surface;
	struct fake_sink sink;
	struct input_router *router;
	struct display_backend *backend;
	struct vm_control control;
	struct display_host host;
	atomic_uint powerdowns, pauses, screenshots;
	char text[1 << 16];
};

static void count_powerdown(void *opaque)
{
	atomic_fetch_add(&((struct fixture *)opaque)->powerdowns, 1);
}

static void count_pause(void *opaque)
{
	struct fixture *fixture = opaque;

	atomic_fetch_add(&fixture->pauses, 1);
	backend_notify(fixture->backend); /* as the machine does with a new state */
}

static void count_screenshot(void *opaque)
{
	atomic_fetch_add(&((struct fixture *)opaque)->screenshots, 1);
}

static enum vm_state running(void *opaque)
{
	(void)opaque;
	return VM_RUNNING;
}

static int setup_with(void **state, unsigned pointer)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	const struct rect whole = { 0, 0, 640, 480 };
	uint32_t *pixels, stride;
	struct error err;

	fixture->surface = surface_create();
	fake_sink_init(&fixture->sink, "fake", INPUT_KEYBOARD | pointer, UINT_MAX);
	assert_int_equal(input_router_create(&fixture->router, &err), 0);
	assert_int_equal(input_router_attach(fixture->router, &fixture->sink.sink), 0);
	fixture->control = (struct vm_control){ .request_powerdown = count_powerdown,
		.toggle_pause = count_pause,
		.save_screenshot = count_screenshot,
		.state = running,
		.opaque = fixture };
	fixture->host = (struct display_host){ .surface = fixture->surface,
		.router = fixture->router,
		.control = &fixture->control,
		.guest_name = "a guest" };
	assert_int_equal(surface_write_begin(fixture->surface, 640, 480, &pixels, &stride), 0);
	surface_write_end(fixture->surface, &whole, 1);
	if (backend_create("sdl", &fixture->host, &fixture->backend, &err) ||
		backend_start(fixture->backend, NULL, &err)) {
		print_error("%s\n", err.text);
		return -1;
	}
	*state = fixture;
	return 0;
}

static int setup_relative(void **state)
{
	return setup_with(state, INPUT_POINTER_RELATIVE);
}

static int setup_absolute(void **state)
{
	return setup_with(state, INPUT_POINTER_ABSOLUTE);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	backend_destroy(fixture->backend);
	input_router_destroy(fixture->router);
	surface_destroy(fixture->surface);
	fake_sink_fini(&fixture->sink);
	free(fixture);
	return 0;
}

static void push(SDL_Event event)
{
	assert_int_equal(push_event(&event), 1);
}

static void push_key(SDL_Scancode scancode, SDL_Keycode sym, unsigned mod, bool down)
{
	push((SDL_Event){
		.key = { .type = down ? SDL_KEYDOWN : SDL_KEYUP,
			.state = down ? SDL_PRESSED : SDL_RELEASED,
			.keysym = { .scancode = scancode, .sym = sym, .mod = (Uint16)mod } } });
}

static void push_button(unsigned button, bool down, int x, int y)
{
	push((SDL_Event){ .button = { .type = down ? SDL_MOUSEBUTTONDOWN : SDL_MOUSEBUTTONUP,
				  .state = down ? SDL_PRESSED : SDL_RELEASED,
				  .button = (Uint8)button,
				  .x = x,
				  .y = y } });
}

static void push_motion(int x, int y, int dx, int dy)
{
	push((SDL_Event){
		.motion = { .type = SDL_MOUSEMOTION, .x = x, .y = y, .xrel = dx, .yrel = dy } });
}

static void push_wheel(float x, float y, bool flipped)
{
	push((SDL_Event){
		.wheel = { .type = SDL_MOUSEWHEEL,
			.direction = flipped ? SDL_MOUSEWHEEL_FLIPPED : SDL_MOUSEWHEEL_NORMAL,
			.preciseX = x,
			.preciseY = y } });
}

static void push_window(unsigned event)
{
	push((SDL_Event){ .window = { .type = SDL_WINDOWEVENT, .event = (Uint8)event } });
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What the guest got, up to a key that says that the window has come so far. */
static void expect(struct fixture *fixture, const char *text)
{
	static const char mark[] = "+119 -119 ";
	char *end = NULL;

	push_key(SDL_SCANCODE_PAUSE, SDLK_PAUSE, 0, true);
	push_key(SDL_SCANCODE_PAUSE, SDLK_PAUSE, 0, false);
	for (int64_t until = now_ms() + WAIT_MS; !end && now_ms() < until; usleep(1000)) {
		pthread_mutex_lock(&fixture->sink.lock);
		end = strstr(fixture->sink.text, mark);
		pthread_mutex_unlock(&fixture->sink.lock);
	}
	assert_non_null(end);
	fake_sink_take(&fixture->sink, fixture->text, sizeof(fixture->text));
	*strstr(fixture->text, mark) = '\0';
	assert_string_equal(fixture->text, text);
}

static void expect_count(atomic_uint *count, unsigned expected)
{
	for (int64_t until = now_ms() + WAIT_MS;
		atomic_load(count) != expected && now_ms() < until;)
		usleep(1000);
	assert_int_equal(atomic_load(count), expected);
}

static void sdl_keys_go_by_their_place_and_do_not_repeat(void **state)
{
	struct fixture *fixture = *state;

	/* A German keyboard: the key where a US one has Y says Z. */
	push_key(SDL_SCANCODE_Y, SDLK_z, 0, true);
	push((SDL_Event){ .key = { .type = SDL_KEYDOWN,
				  .state = SDL_PRESSED,
				  .repeat = 1,
				  .keysym = { .scancode = SDL_SCANCODE_Y } } });
	push_key(SDL_SCANCODE_Y, SDLK_z, 0, false);
	push_key(SDL_SCANCODE_UNKNOWN, SDLK_UNKNOWN, 0, true);
	push_key(SDL_SCANCODE_F24, SDLK_F24, 0, true);
	push_key(SDL_SCANCODE_F24, SDLK_F24, 0, false);
	expect(fixture, "+21 -21 +194 -194 ");
}

static void sdl_lost_focus_releases_everything(void **state)
{
	struct fixture *fixture = *state;

	push_key(SDL_SCANCODE_LALT, SDLK_LALT, KMOD_LALT, true);
	push_key(SDL_SCANCODE_A, SDLK_a, KMOD_LALT, true);
	push_window(SDL_WINDOWEVENT_FOCUS_LOST);
	push_key(SDL_SCANCODE_A, SDLK_a, 0, false);
	push_key(SDL_SCANCODE_LALT, SDLK_LALT, 0, false);
	expect(fixture, "+56 +30 -30 -56 ");
}

static void sdl_relative_mouse_is_the_guests_after_a_click(void **state)
{
	struct fixture *fixture = *state;

	push_motion(10, 10, 1, 1);
	push_button(SDL_BUTTON_LEFT, true, 10, 10); /* takes the mouse */
	push_button(SDL_BUTTON_LEFT, false, 10, 10);
	expect(fixture, ""); /* SDL drops motion that is older than its relative mode */
	push_motion(12, 9, 2, -1);
	push_button(SDL_BUTTON_RIGHT, true, 12, 9);
	push_button(SDL_BUTTON_RIGHT, false, 12, 9);
	push_button(SDL_BUTTON_X1, true, 12, 9);
	push_button(SDL_BUTTON_X1, false, 12, 9);
	push_button(17, true, 12, 9);
	expect(fixture, "rel(2,-1) b+273 sync b-273 sync b+275 sync b-275 sync ");
	/* Ctrl-Alt-G lets it go, and the guest keeps neither Ctrl nor Alt. */
	push_key(SDL_SCANCODE_LCTRL, SDLK_LCTRL, KMOD_LCTRL, true);
	push_key(SDL_SCANCODE_LALT, SDLK_LALT, KMOD_LCTRL | KMOD_LALT, true);
	push_key(SDL_SCANCODE_G, SDLK_g, KMOD_LCTRL | KMOD_LALT, true);
	push_key(SDL_SCANCODE_G, SDLK_g, KMOD_LCTRL | KMOD_LALT, false);
	push_motion(20, 20, 8, 8);
	push_wheel(0, 1, false);
	expect(fixture, "+29 +56 -29 -56 ");
	/* So does a lost focus. */
	push_button(SDL_BUTTON_LEFT, true, 10, 10);
	expect(fixture, "");
	push_motion(12, 9, 2, -1);
	push_window(SDL_WINDOWEVENT_FOCUS_LOST);
	push_motion(12, 9, 2, -1);
	expect(fixture, "rel(2,-1) sync ");
}

static void sdl_absolute_mouse_is_never_taken(void **state)
{
	struct fixture *fixture = *state;

	/* The window's size is the picture's here. */
	push_motion(10, 20, 1, 1);
	push_button(SDL_BUTTON_LEFT, true, 30, 40);
	push_button(SDL_BUTTON_LEFT, false, 30, 40);
	expect(fixture, "abs(30,40,640x480) b+272 sync abs(30,40,640x480) b-272 sync ");
	push_motion(639, 479, 1, 1);
	expect(fixture, "abs(639,479,640x480) sync ");
}

static void sdl_wheel_adds_up_fractions(void **state)
{
	struct fixture *fixture = *state;

	push_wheel(0, 1, false);
	push_wheel(0, -2, false);
	push_wheel(0, 1, true);
	push_wheel(0.25f, 0.5f, false);
	push_wheel(0, 0.004f, false); /* less than a unit */
	push_wheel(0, 0.005f, false);
	expect(fixture, "wheel(120,0) sync wheel(-240,0) sync wheel(-120,0) sync wheel(60,30) sync "
			"wheel(1,0) sync ");
}

static void sdl_hotkeys_reach_the_machine_not_the_guest(void **state)
{
	struct fixture *fixture = *state;
	const unsigned mod = KMOD_RCTRL | KMOD_LALT;

	push_key(SDL_SCANCODE_P, SDLK_p, mod, true);
	push_key(SDL_SCANCODE_S, SDLK_s, mod, true);
	push_key(SDL_SCANCODE_F, SDLK_f, mod, true);
	push_key(SDL_SCANCODE_F, SDLK_f, mod, true);
	expect(fixture, "");
	expect_count(&fixture->pauses, 1);
	expect_count(&fixture->screenshots, 1);
	/* A Russian keyboard has a letter of its own there. */
	push_key(SDL_SCANCODE_S, 0x44b, mod, true);
	push_key(SDL_SCANCODE_S, 0x44b, mod, false);
	expect_count(&fixture->screenshots, 2);
	/* Others are the guest's: Ctrl-Alt-Del, Ctrl-Alt-F1, Alt-F. */
	push_key(SDL_SCANCODE_DELETE, SDLK_DELETE, mod, true);
	push_key(SDL_SCANCODE_F1, SDLK_F1, mod, true);
	push_key(SDL_SCANCODE_F, SDLK_f, KMOD_LALT, true);
	expect(fixture, "+111 +59 +33 ");
}

static void sdl_closing_asks_for_power_down_once_a_time(void **state)
{
	struct fixture *fixture = *state;

	push_window(SDL_WINDOWEVENT_CLOSE);
	expect(fixture, "");
	expect_count(&fixture->powerdowns, 1);
	push_window(SDL_WINDOWEVENT_CLOSE);
	expect(fixture, "");
	expect_count(&fixture->powerdowns, 2);
	assert_false(backend_ended(fixture->backend));
}

static void sdl_renderer_that_lost_its_textures_goes_on(void **state)
{
	struct fixture *fixture = *state;

	push((SDL_Event){ .type = SDL_RENDER_TARGETS_RESET });
	push((SDL_Event){ .type = SDL_RENDER_DEVICE_RESET });
	push_window(SDL_WINDOWEVENT_EXPOSED);
	push_key(SDL_SCANCODE_A, SDLK_a, 0, true);
	expect(fixture, "+30 ");
}

static void sdl_without_a_session_says_what_to_do(void **state)
{
	const struct vm_control control = { .state = running };
	struct display_host host = {
		.surface = surface_create(), .control = &control, .guest_name = "a guest"
	};
	struct display_backend *backend;
	struct error err = { "" };

	(void)state;
	assert_int_equal(backend_create("sdl", &host, &backend, &err), 0);
	assert_int_equal(backend_start(backend, "an argument", &err), -EINVAL);
	assert_non_null(strstr(err.text, "an argument"));
	setenv("SDL_VIDEODRIVER", "nonexistent", 1);
	assert_int_equal(backend_start(backend, NULL, &err), -ENODEV);
	assert_non_null(strstr(err.text, "--vnc"));
	setenv("SDL_VIDEODRIVER", "dummy", 1);
	assert_int_equal(backend_start(backend, NULL, &err), 0);
	backend_destroy(backend);
	surface_destroy(host.surface);
}

static uint32_t get32(const uint8_t *bytes)
{
	return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
	       (uint32_t)bytes[3] << 24;
}

/* A BMP of 24 or 32 bits a pixel, rows upwards. */
static bool read_bmp(const char *path, struct display_picture *picture)
{
	FILE *file = fopen(path, "rb");
	uint8_t header[54], *row = NULL;
	uint32_t bytes = 0;
	bool good = file && fread(header, sizeof(header), 1, file) == 1;

	if (good) {
		picture->width = get32(header + 18);
		picture->height = get32(header + 22);
		bytes = header[28] / 8u;
		good = picture->width <= 4096 && picture->height <= 4096 &&
		       (bytes == 3 || bytes == 4) &&
		       fseek(file, (long)get32(header + 10), SEEK_SET) == 0;
	}
	if (good) {
		picture->pixels = calloc(picture->width * picture->height, sizeof(uint32_t));
		row = malloc((picture->width * bytes + 3) & ~3u);
	}
	for (uint32_t y = good ? picture->height : 0; good && y-- > 0;) {
		good = fread(row, (picture->width * bytes + 3) & ~3u, 1, file) == 1;
		for (uint32_t x = 0; good && x < picture->width; x++) {
			const uint8_t *pixel = row + (size_t)x * bytes;

			picture->pixels[(size_t)y * picture->width + x] =
				pixel[0] | (uint32_t)pixel[1] << 8 | (uint32_t)pixel[2] << 16;
		}
	}
	free(row);
	if (file)
		fclose(file);
	return good;
}

/* The dummy driver saves each frame of a window as SDL_windowN-FRAME.bmp in the current folder,
 * with numbers that only grow. Keeps the last `keep` of them, and reads the last. */
static bool read_frame(struct display_picture *picture, int keep)
{
	struct dirent **names;
	int count = scandir(".", &names, NULL, versionsort);
	bool good = false;

	for (int i = 0; i < count; i++) {
		if (!strncmp(names[i]->d_name, "SDL_window", 10)) {
			if (i >= count - keep)
				good = read_bmp(names[i]->d_name, picture);
			else
				unlink(names[i]->d_name);
		}
		free(names[i]);
	}
	if (count >= 0)
		free(names);
	return good;
}

static bool capture(void *opaque, struct display_picture *picture)
{
	(void)opaque;
	return read_frame(picture, 1);
}

static void remove_frames(void)
{
	(void)read_frame(NULL, 0);
	if (chdir("/") == 0)
		(void)rmdir(folder);
}

static void use(void *opaque, uint32_t width, uint32_t height)
{
	(void)opaque;
	push_key(SDL_SCANCODE_A, SDLK_a, 0, true);
	push_key(SDL_SCANCODE_A, SDLK_a, 0, false);
	push_motion((int)width / 2, (int)height / 2, 0, 0);
}

/* A renderer whose device was reset has lost all pictures, and says so when it is back. */
static void lose_textures(void *opaque, bool fails)
{
	(void)opaque;
	if (!fails)
		push((SDL_Event){ .type = SDL_RENDER_DEVICE_RESET });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name, setup) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(sdl_keys_go_by_their_place_and_do_not_repeat, setup_relative),
		TEST(sdl_lost_focus_releases_everything, setup_relative),
		TEST(sdl_relative_mouse_is_the_guests_after_a_click, setup_relative),
		TEST(sdl_absolute_mouse_is_never_taken, setup_absolute),
		TEST(sdl_wheel_adds_up_fractions, setup_absolute),
		TEST(sdl_hotkeys_reach_the_machine_not_the_guest, setup_relative),
		TEST(sdl_closing_asks_for_power_down_once_a_time, setup_relative),
		TEST(sdl_renderer_that_lost_its_textures_goes_on, setup_relative),
		cmocka_unit_test(sdl_without_a_session_says_what_to_do),
	};
	const struct display_conformance conformance = { .backend = "sdl",
		.capture = capture,
		.wrong_argument = "nonsense",
		.use = use,
		.disturb = lose_textures };
	void *sdl;
	int failed;

	setenv("SDL_VIDEODRIVER", "dummy", 1);
	if (!mkdtemp(folder) || chdir(folder))
		return 1;
	setenv("SDL_VIDEO_DUMMY_SAVE_FRAMES", "1", 1);
	/* The same one that the module uses. */
	sdl = dlopen("libSDL2-2.0.so.0", RTLD_NOW | RTLD_NODELETE);
	if (!sdl) {
		fprintf(stderr, "%s\n", dlerror());
		return 77;
	}
	*(void **)&push_event = dlsym(sdl, "SDL_PushEvent");
	failed = display_conformance_run(&conformance);
	unsetenv("SDL_VIDEO_DUMMY_SAVE_FRAMES");
	remove_frames();
	return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
