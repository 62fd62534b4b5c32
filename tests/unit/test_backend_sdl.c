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
#include <unistd.h>

#include "cmocka_all.h"
#include "display/backend.h"
#include "display_conformance.h"
#include "window_fixture.h"

#define WAIT_MS 60000

#if defined(__SANITIZE_THREAD__)
/* Not instrumented. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "called_from_lib:libSDL2-2.0.so.0\n";
}
#endif

static char folder[] = "/tmp/vmgui-sdl-XXXXXX";
static void *sdl_library;
static int (*push_event)(SDL_Event *event);
static char text_seen[1 << 16]; /* what the guest got of late */

static uint32_t pattern(uint32_t x, uint32_t y)
{
	return (x * 2654435761u ^ y * 40503u * 65537u) & 0xffffff;
}

/* A picture in which every pixel differs from those beside it. */
static void draw(struct fixture *fixture, uint32_t width, uint32_t height)
{
	fixture_draw(fixture, width, height, pattern);
}

/* The fixture without a window: the test may change the settings first. */
static int setup_unstarted(void **state, unsigned pointer)
{
	*state = fixture_create("sdl", "a guest", pointer);
	draw(*state, 640, 480);
	return 0;
}

static int setup_idle(void **state)
{
	return setup_unstarted(state, INPUT_POINTER_RELATIVE);
}

static int setup_with(void **state, unsigned pointer)
{
	setup_unstarted(state, pointer);
	fixture_start(*state);
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

static int setup_both(void **state)
{
	return setup_with(state, INPUT_POINTER_RELATIVE | INPUT_POINTER_ABSOLUTE);
}

static int teardown(void **state)
{
	fixture_destroy(*state);
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

/* What the guest got, up to a key that says that the window has come so far. NULL: whatever. */
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
	fake_sink_take(&fixture->sink, text_seen, sizeof(text_seen));
	*strstr(text_seen, mark) = '\0';
	if (text)
		assert_string_equal(text_seen, text);
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
	/* Others are the guest's: Ctrl-Alt-Del, Ctrl-Alt-F2, Alt-F. */
	push_key(SDL_SCANCODE_DELETE, SDLK_DELETE, mod, true);
	push_key(SDL_SCANCODE_F2, SDLK_F2, mod, true);
	push_key(SDL_SCANCODE_F, SDLK_f, KMOD_LALT, true);
	expect(fixture, "+111 +60 +33 ");
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

/* --- who has keyboard and mouse --- */

/* Whether relative motion reaches the guest, which it does only with the mouse grabbed. */
static void expect_grabbed_mouse(struct fixture *fixture, bool grabbed)
{
	expect(fixture, "");
	push_motion(12, 9, 2, -1);
	expect(fixture, grabbed ? "rel(2,-1) sync " : "");
}

static void sdl_grab_ends_with_a_pause_and_with_the_guest(void **state)
{
	struct fixture *fixture = *state;

	push_button(SDL_BUTTON_LEFT, true, 10, 10);
	expect_grabbed_mouse(fixture, true);
	set_state(fixture, VM_POWERING_DOWN); /* it still runs */
	expect_grabbed_mouse(fixture, true);
	push_key(SDL_SCANCODE_A, SDLK_a, 0, true);
	expect(fixture, "+30 ");
	set_state(fixture, VM_PAUSED);
	expect(fixture, "-30 ");
	push_button(SDL_BUTTON_LEFT, true, 10, 10); /* grabs nothing */
	set_state(fixture, VM_RUNNING);
	expect_grabbed_mouse(fixture, false);
	push_button(SDL_BUTTON_LEFT, true, 10, 10);
	expect_grabbed_mouse(fixture, true);
	set_state(fixture, VM_ENDED);
	expect_grabbed_mouse(fixture, false);
}

static void push_click_and_motion(struct fixture *fixture)
{
	push_button(SDL_BUTTON_LEFT, true, 10, 10);
	push_button(SDL_BUTTON_LEFT, false, 10, 10);
	/* Older than the relative mode that the click may have begun, it would be dropped. */
	expect(fixture, NULL);
	push_motion(12, 9, 2, -1);
}

static void push_far_motion(struct fixture *fixture)
{
	(void)fixture;
	push_motion(40, 50, 1, 1);
}

/* Again and again, until the guest gets that from it. */
static void expect_reaction(
	struct fixture *fixture, void (*act)(struct fixture *fixture), const char *text)
{
	const int64_t until = now_ms() + WAIT_MS;

	do {
		act(fixture);
		expect(fixture, NULL);
		if (!strcmp(text_seen, text))
			return;
		usleep(5000);
	} while (now_ms() < until);
	assert_string_equal(text_seen, text);
}

static void sdl_mouse_follows_what_the_guest_switches_on(void **state)
{
	struct fixture *fixture = *state;

	push_motion(20, 30, 1, 1);
	expect(fixture, "abs(20,30,640x480) sync ");
	fake_sink_set_active(&fixture->sink, INPUT_KEYBOARD | INPUT_POINTER_RELATIVE);
	/* The router's thread tells the window. */
	expect_reaction(fixture, push_click_and_motion, "rel(2,-1) sync ");
	expect_grabbed_mouse(fixture, true);
	/* A tablet is found: the mouse is free again. */
	fake_sink_set_active(
		&fixture->sink, INPUT_KEYBOARD | INPUT_POINTER_RELATIVE | INPUT_POINTER_ABSOLUTE);
	expect_reaction(fixture, push_far_motion, "abs(40,50,640x480) sync ");
	expect(fixture, "");
	push_motion(41, 50, 1, 1);
	expect(fixture, "abs(41,50,640x480) sync ");
}

static void sdl_without_a_release_key_nothing_is_grabbed(void **state)
{
	struct fixture *fixture = *state;
	struct error err;

	assert_int_equal(chord_parse("none", "--release-key", &fixture->settings.release, &err), 0);
	fixture_start(fixture);
	push_motion(12, 9, 2, -1); /* follows over the window */
	push_button(SDL_BUTTON_LEFT, true, 12, 9);
	push_button(SDL_BUTTON_LEFT, false, 12, 9);
	push_key(SDL_SCANCODE_G, SDLK_g, KMOD_LCTRL | KMOD_LALT, true);
	expect(fixture, "rel(2,-1) b+272 sync b-272 sync +34 ");
}

static void sdl_lone_modifier_releases(void **state)
{
	struct fixture *fixture = *state;
	struct error err;

	assert_int_equal(
		chord_parse("right-ctrl", "--release-key", &fixture->settings.release, &err), 0);
	fixture_start(fixture);
	push_button(SDL_BUTTON_LEFT, true, 10, 10);
	expect_grabbed_mouse(fixture, true);
	/* With another key in between it is the guest's. */
	push_key(SDL_SCANCODE_RCTRL, SDLK_RCTRL, KMOD_RCTRL, true);
	push_key(SDL_SCANCODE_C, SDLK_c, KMOD_RCTRL, true);
	push_key(SDL_SCANCODE_C, SDLK_c, KMOD_RCTRL, false);
	push_key(SDL_SCANCODE_RCTRL, SDLK_RCTRL, 0, false);
	push_key(SDL_SCANCODE_LCTRL, SDLK_LCTRL, KMOD_LCTRL, true);
	push_key(SDL_SCANCODE_LCTRL, SDLK_LCTRL, 0, false);
	/* So it is with a click. */
	push_key(SDL_SCANCODE_RCTRL, SDLK_RCTRL, KMOD_RCTRL, true);
	push_button(SDL_BUTTON_LEFT, true, 10, 10);
	push_button(SDL_BUTTON_LEFT, false, 10, 10);
	push_key(SDL_SCANCODE_RCTRL, SDLK_RCTRL, 0, false);
	expect(fixture, "+97 +46 -46 -97 +29 -29 +97 b+272 sync b-272 sync -97 ");
	expect_grabbed_mouse(fixture, true);
	push_key(SDL_SCANCODE_RCTRL, SDLK_RCTRL, KMOD_RCTRL, true);
	push_key(SDL_SCANCODE_RCTRL, SDLK_RCTRL, 0, false);
	expect(fixture, "+97 -97 ");
	expect_grabbed_mouse(fixture, false);
}

static void sdl_ten_thousand_keys_wait_and_arrive(void **state)
{
	struct fixture *fixture = *state;
	unsigned seen = 0;
	const unsigned strikes = 10000;
	int64_t until = now_ms() + 3 * WAIT_MS;

	fake_sink_give_room(&fixture->sink, 0);
	for (unsigned i = 0; i < strikes; i++) {
		push_key(SDL_SCANCODE_1 + i % 9, SDLK_1, 0, true);
		push_key(SDL_SCANCODE_1 + i % 9, SDLK_1, 0, false);
	}
	push_window(SDL_WINDOWEVENT_CLOSE);
	expect_count(&fixture->powerdowns, 1); /* the window is alive */
	while (seen < 2 * strikes && now_ms() < until) {
		char *text = text_seen;

		fake_sink_give_room(&fixture->sink, 1000);
		usleep(1000);
		fake_sink_take(&fixture->sink, text_seen, sizeof(text_seen));
		while (*text) {
			char *end;

			assert_int_equal(*text, seen % 2 ? '-' : '+');
			assert_int_equal(strtoul(text + 1, &end, 10), KEY_1 + seen / 2 % 9);
			seen++;
			text = end + 1;
		}
	}
	assert_int_equal(seen, 2 * strikes);
}

/* --- the picture --- */

static bool read_frame(struct display_picture *picture, int keep);

/* Waits until the window is width x height and shows the pattern of a picture_width x
 * picture_height picture, enlarged by factor, its pixel (first_x, first_y) at (x, y), black
 * elsewhere. */
static void expect_picture(uint32_t width, uint32_t height, uint32_t picture_width,
	uint32_t picture_height, uint32_t factor, uint32_t first_x, uint32_t first_y, uint32_t x,
	uint32_t y)
{
	uint32_t wrong = 1;

	for (int64_t until = now_ms() + WAIT_MS; wrong && now_ms() < until; usleep(20000)) {
		struct display_picture picture = { 0 };

		if (read_frame(&picture, 1)) {
			wrong = picture.width != width || picture.height != height;
			for (uint32_t i = 0; !wrong && i < width * height; i++) {
				uint32_t column = first_x + (i % width - x) / factor;
				uint32_t row = first_y + (i / width - y) / factor;
				uint32_t expected = i % width >= x && i / width >= y &&
								    column < picture_width &&
								    row < picture_height
							    ? pattern(column, row)
							    : 0;

				wrong += (picture.pixels[i] & 0xffffff) != expected;
			}
		}
		free(picture.pixels);
	}
	if (wrong)
		fail_msg("the picture is wrong at %ux%u times %u", width, height, factor);
}

static void start_saving(struct fixture *fixture)
{
	setenv("SDL_VIDEO_DUMMY_SAVE_FRAMES", "1", 1);
	fixture_start(fixture);
}

static int teardown(void **state);

static int teardown_saving(void **state)
{
	unsetenv("SDL_VIDEO_DUMMY_SAVE_FRAMES");
	(void)read_frame(NULL, 0);
	return teardown(state);
}

static void sdl_picture_is_exact_at_whole_scales(void **state)
{
	struct fixture *fixture = *state;

	draw(fixture, 320, 240);
	fixture->settings.scale = DISPLAY_SCALE_FIXED;
	for (unsigned factor = 1; factor <= 3; factor++) {
		fixture->settings.scale_percent = 100 * factor;
		start_saving(fixture);
		expect_picture(320 * factor, 240 * factor, 320, 240, factor, 0, 0, 0, 0);
		fixture_close(fixture);
	}
}

static void sdl_picture_larger_than_the_screen_shows_a_part(void **state)
{
	struct fixture *fixture = *state;

	/* The dummy driver's screen has 1024x768. */
	draw(fixture, 400, 300);
	fixture->settings.scale = DISPLAY_SCALE_FIXED;
	fixture->settings.scale_percent = 300;
	start_saving(fixture);
	expect_picture(1024, 768, 400, 300, 3, 0, 0, 0, 0);
	/* The pointer at the edges brings the rest. */
	for (int i = 0; i < 10; i++)
		push_motion(1023 - i % 2, 767, 1, 1);
	expect_picture(1024, 768, 400, 300, 3, 59, 44, 0, 0);
	for (int i = 0; i < 10; i++)
		push_motion(i % 2, 0, 1, 1);
	expect_picture(1024, 768, 400, 300, 3, 0, 0, 0, 0);
}

static void sdl_zoom_keys_change_the_scale(void **state)
{
	struct fixture *fixture = *state;
	const unsigned mod = KMOD_LCTRL | KMOD_LALT;

	draw(fixture, 320, 240);
	start_saving(fixture);
	expect_picture(320, 240, 320, 240, 1, 0, 0, 0, 0);
	for (int i = 0; i < 5; i++) /* 125, 150, 175, 200, 250 */
		push_key(SDL_SCANCODE_EQUALS, SDLK_EQUALS, mod | (i % 2 ? KMOD_LSHIFT : 0), true);
	push_key(SDL_SCANCODE_KP_PLUS, SDLK_KP_PLUS, mod, true); /* 300 */
	expect_picture(960, 720, 320, 240, 3, 0, 0, 0, 0);
	for (int i = 0; i < 2; i++)
		push_key(SDL_SCANCODE_MINUS, SDLK_MINUS, mod, true);
	expect_picture(640, 480, 320, 240, 2, 0, 0, 0, 0);
	push_key(SDL_SCANCODE_0, SDLK_0, mod, true);
	expect_picture(320, 240, 320, 240, 1, 0, 0, 0, 0);
	expect(fixture, "");
}

static void sdl_help_comes_over_the_picture_and_goes(void **state)
{
	struct fixture *fixture = *state;
	const unsigned mod = KMOD_LCTRL | KMOD_LALT;
	bool shown = false;

	start_saving(fixture);
	expect_picture(640, 480, 640, 480, 1, 0, 0, 0, 0);
	push_key(SDL_SCANCODE_F1, SDLK_F1, mod, true);
	push_key(SDL_SCANCODE_F1, SDLK_F1, mod, false);
	/* Paper over it in the middle, the picture at the edge. */
	for (int64_t until = now_ms() + WAIT_MS; !shown && now_ms() < until; usleep(20000)) {
		struct display_picture picture = { 0 };

		shown = read_frame(&picture, 1) &&
			(picture.pixels[5 * 640 + 5] & 0xffffff) == pattern(5, 5) &&
			(picture.pixels[240 * 640 + 320] & 0xffffff) != pattern(320, 240);
		free(picture.pixels);
	}
	assert_true(shown);
	/* Any key takes it away, and is the guest's. */
	push_key(SDL_SCANCODE_A, SDLK_a, 0, true);
	expect_picture(640, 480, 640, 480, 1, 0, 0, 0, 0);
	push_key(SDL_SCANCODE_H, SDLK_h, mod, true);
	push_key(SDL_SCANCODE_H, SDLK_h, mod, true);
	expect_picture(640, 480, 640, 480, 1, 0, 0, 0, 0);
	expect(fixture, "+30 -30 ");
}

static void sdl_last_picture_stays_and_closes_by_itself(void **state)
{
	struct fixture *fixture = *state;
	struct display_picture picture = { 0 };
	bool dimmed = false;

	fixture->settings.keep_open = true;
	start_saving(fixture);
	expect_picture(640, 480, 640, 480, 1, 0, 0, 0, 0);
	set_state(fixture, VM_ENDED);
	for (int64_t until = now_ms() + WAIT_MS; !dimmed && now_ms() < until; usleep(20000)) {
		free(picture.pixels);
		picture.pixels = NULL;
		if (read_frame(&picture, 1)) {
			uint32_t bright = (pattern(3, 3) >> 8 & 0xff) * 0x50 / 0xff;
			uint32_t is = picture.pixels[3 * 640 + 3] >> 8 & 0xff;

			dimmed = is + 1 >= bright && is <= bright + 1;
		}
	}
	assert_true(dimmed);
	free(picture.pixels);
	assert_false(backend_ended(fixture->backend));
	push_window(SDL_WINDOWEVENT_CLOSE);
	expect_count(&fixture->closes, 1);
	for (int64_t until = now_ms() + WAIT_MS;
		!backend_ended(fixture->backend) && now_ms() < until;)
		usleep(1000);
	assert_true(backend_ended(fixture->backend));
	assert_int_equal(atomic_load(&fixture->powerdowns), 0);
}

/* --- a renderer that goes away --- */

static atomic_int renderers_to_lose; /* each works until the picture is drawn for the first time */
static atomic_bool renderer_is_lost, software_asked;

/* The module finds these before SDL's own. */
int SDL_RenderCopy(
	SDL_Renderer *renderer, SDL_Texture *texture, const SDL_Rect *from, const SDL_Rect *to);
SDL_Renderer *SDL_CreateRenderer(SDL_Window *window, int index, Uint32 flags);

int SDL_RenderCopy(
	SDL_Renderer *renderer, SDL_Texture *texture, const SDL_Rect *from, const SDL_Rect *to)
{
	static int (*real)(SDL_Renderer * renderer, SDL_Texture * texture, const SDL_Rect *from,
		const SDL_Rect *to);

	if (!real)
		*(void **)&real = dlsym(sdl_library, "SDL_RenderCopy");
	if (atomic_load(&renderers_to_lose) > 0 && !atomic_exchange(&renderer_is_lost, true))
		atomic_fetch_sub(&renderers_to_lose, 1);
	return atomic_load(&renderer_is_lost) ? -1 : real(renderer, texture, from, to);
}

SDL_Renderer *SDL_CreateRenderer(SDL_Window *window, int index, Uint32 flags)
{
	SDL_Renderer *(*real)(SDL_Window * window, int index, Uint32 flags);

	*(void **)&real = dlsym(sdl_library, "SDL_CreateRenderer");
	atomic_store(&renderer_is_lost, false);
	if (flags & SDL_RENDERER_SOFTWARE)
		atomic_store(&software_asked, true);
	return real(window, index, flags);
}

static void sdl_lost_renderer_is_made_again(void **state)
{
	struct fixture *fixture = *state;

	start_saving(fixture);
	expect_picture(640, 480, 640, 480, 1, 0, 0, 0, 0);
	for (int losses = 1; losses <= 3; losses++) {
		(void)read_frame(NULL, 0);
		atomic_store(&renderers_to_lose, losses);
		/* Else the software renderer would not be needed. */
		push((SDL_Event){ .type = SDL_RENDER_TARGETS_RESET });
		draw(fixture, 640, 480);
		for (int64_t until = now_ms() + WAIT_MS;
			atomic_load(&renderers_to_lose) && now_ms() < until;)
			usleep(1000);
		assert_int_equal(atomic_load(&renderers_to_lose), 0);
		/* Nothing that was drawn before. */
		expect(fixture, "");
		(void)read_frame(NULL, 0);
		draw(fixture, 640, 480);
		expect_picture(640, 480, 640, 480, 1, 0, 0, 0, 0);
	}
	assert_true(atomic_load(&software_asked));
	/* Lost in every way, it goes on and comes back. */
	atomic_store(&renderers_to_lose, 20);
	push((SDL_Event){ .type = SDL_RENDER_TARGETS_RESET });
	draw(fixture, 640, 480);
	expect(fixture, "");
	assert_false(backend_ended(fixture->backend));
	(void)read_frame(NULL, 0);
	atomic_store(&renderers_to_lose, 0);
	push((SDL_Event){ .type = SDL_RENDER_DEVICE_RESET });
	draw(fixture, 640, 480);
	expect_picture(640, 480, 640, 480, 1, 0, 0, 0, 0);
}

/* --- from run to run --- */

static void sdl_named_guest_has_its_size_and_scale_again(void **state)
{
	struct fixture *fixture = *state;
	const unsigned mod = KMOD_LCTRL | KMOD_LALT;

	fixture->host.guest_name = "remembered";
	draw(fixture, 320, 240);
	start_saving(fixture);
	expect_picture(320, 240, 320, 240, 1, 0, 0, 0, 0);
	for (int i = 0; i < 4; i++)
		push_key(SDL_SCANCODE_EQUALS, SDLK_EQUALS, mod, true);
	expect_picture(640, 480, 320, 240, 2, 0, 0, 0, 0);
	fixture_close(fixture);
	(void)read_frame(NULL, 0);
	fixture_start(fixture);
	expect_picture(640, 480, 320, 240, 2, 0, 0, 0, 0);
	/* What is given goes before, and changes nothing that is remembered. */
	fixture_close(fixture);
	(void)read_frame(NULL, 0);
	fixture->settings.scale_given = true;
	fixture_start(fixture);
	expect_picture(320, 240, 320, 240, 1, 0, 0, 0, 0);
	fixture_close(fixture);
	(void)read_frame(NULL, 0);
	fixture->settings.scale_given = false;
	fixture_start(fixture);
	expect_picture(640, 480, 320, 240, 2, 0, 0, 0, 0);
}

static void sdl_without_a_session_says_what_to_do(void **state)
{
	struct fixture *fixture = fixture_create("sdl", "a guest", 0);
	struct display_backend *backend;
	struct error err = { "" };

	(void)state;
	fixture->host.router = NULL;
	fixture_create_backend(fixture);
	backend = fixture->backend;
	assert_int_equal(backend_start(backend, "an argument", &err), -EINVAL);
	assert_non_null(strstr(err.text, "an argument"));
	setenv("SDL_VIDEODRIVER", "nonexistent", 1);
	assert_int_equal(backend_start(backend, NULL, &err), -ENODEV);
	assert_non_null(strstr(err.text, "--vnc"));
	setenv("SDL_VIDEODRIVER", "dummy", 1);
	assert_int_equal(backend_start(backend, NULL, &err), 0);
	fixture_destroy(fixture);
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

static int is_frame(const struct dirent *entry)
{
	return !strncmp(entry->d_name, "SDL_window", 10);
}

/* The dummy driver saves each frame of a window as SDL_windowN-FRAME.bmp in the current folder,
 * with numbers that only grow. Keeps the last `keep` of them, and reads the last. */
static bool read_frame(struct display_picture *picture, int keep)
{
	struct dirent **names;
	int count = scandir(".", &names, is_frame, versionsort);
	bool good = false;

	for (int i = 0; i < count; i++) {
		if (i >= count - keep)
			good = read_bmp(names[i]->d_name, picture);
		else
			unlink(names[i]->d_name);
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

static void remove_folder(void)
{
	(void)read_frame(NULL, 0);
	(void)unlink("vmgui/windows");
	(void)rmdir("vmgui");
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
		TEST(sdl_grab_ends_with_a_pause_and_with_the_guest, setup_relative),
		TEST(sdl_mouse_follows_what_the_guest_switches_on, setup_both),
		TEST(sdl_without_a_release_key_nothing_is_grabbed, setup_idle),
		TEST(sdl_lone_modifier_releases, setup_idle),
		TEST(sdl_ten_thousand_keys_wait_and_arrive, setup_relative),
#define PICTURE_TEST(name) cmocka_unit_test_setup_teardown(name, setup_idle, teardown_saving)
		PICTURE_TEST(sdl_picture_is_exact_at_whole_scales),
		PICTURE_TEST(sdl_picture_larger_than_the_screen_shows_a_part),
		PICTURE_TEST(sdl_zoom_keys_change_the_scale),
		PICTURE_TEST(sdl_help_comes_over_the_picture_and_goes),
		PICTURE_TEST(sdl_last_picture_stays_and_closes_by_itself),
		PICTURE_TEST(sdl_lost_renderer_is_made_again),
		PICTURE_TEST(sdl_named_guest_has_its_size_and_scale_again),
		cmocka_unit_test(sdl_without_a_session_says_what_to_do),
	};
	const struct display_conformance conformance = { .backend = "sdl",
		.capture = capture,
		.wrong_argument = "nonsense",
		.use = use,
		.disturb = lose_textures };
	int failed;

	setenv("SDL_VIDEODRIVER", "dummy", 1);
	if (!mkdtemp(folder) || chdir(folder))
		return 1;
	setenv("SDL_VIDEO_DUMMY_SAVE_FRAMES", "1", 1);
	/* The same one that the module uses. */
	sdl_library = dlopen("libSDL2-2.0.so.0", RTLD_NOW | RTLD_NODELETE);
	if (!sdl_library) {
		fprintf(stderr, "%s\n", dlerror());
		return 77;
	}
	*(void **)&push_event = dlsym(sdl_library, "SDL_PushEvent");
	setenv("XDG_STATE_HOME", folder, 1);
	failed = display_conformance_run(&conformance);
	unsetenv("SDL_VIDEO_DUMMY_SAVE_FRAMES");
	failed += cmocka_run_group_tests(tests, NULL, NULL);
	remove_folder();
	return failed;
}
