/* The keyboard controller with its keyboard and mouse: driven as Linux's i8042, atkbd and psmouse
 * do. */
#include "cmocka_all.h"

#include <errno.h>
#include <linux/input-event-codes.h>
#include <stdlib.h>
#include <string.h>

#include "devices/i8042.h"
#include "devices/port92.h"
#include "fake_irq.h"
#include "port_io.h"

/* What the keyboard lets pass at least between two handfuls of keys. */
#define REST_NS (10 * NS_PER_MS)

struct fixture {
	struct bus *bus;
	struct timer_queue *timers;
	struct fake_irq keyboard_irq, mouse_irq;
	struct i8042 *controller;
	struct input_sink *keyboard, *mouse;
	unsigned resets, ready, leds, leds_calls;
};

static void request_reset(void *opaque)
{
	((struct fixture *)opaque)->resets++;
}

static void leds_changed(void *opaque, unsigned leds)
{
	struct fixture *f = opaque;
	f->leds = leds;
	f->leds_calls++;
}

static void ready(void *opaque)
{
	((struct fixture *)opaque)->ready++;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	f->bus = bus_create("ports", 0x10000);
	f->timers = timer_queue_create_manual();
	const struct i8042_config config = {
		.ports = f->bus,
		.keyboard_irq = fake_irq_line(&f->keyboard_irq),
		.mouse_irq = fake_irq_line(&f->mouse_irq),
		.timers = f->timers,
		.request_reset = request_reset,
		.opaque = f,
	};
	assert_int_equal(i8042_create(&config, &f->controller, NULL), 0);
	f->keyboard = i8042_keyboard_sink(f->controller);
	f->mouse = i8042_mouse_sink(f->controller);
	const struct input_sink_listener listener = { leds_changed, ready, f };
	f->keyboard->ops->set_listener(f->keyboard, &listener);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct device *device = i8042_device(f->controller);
	device->ops->destroy(device);
	timer_queue_destroy(f->timers);
	bus_destroy(f->bus);
	free(f);
	return 0;
}

static uint8_t status(struct fixture *f)
{
	return port_in(f->bus, 0x64);
}

static void command(struct fixture *f, uint8_t byte)
{
	assert_int_equal(status(f) & 0x02, 0);
	port_out(f->bus, 0x64, byte);
	assert_int_equal(status(f) & 0x08, 0x08);
}

static void data(struct fixture *f, uint8_t byte)
{
	port_out(f->bus, 0x60, byte);
}

static void to_mouse(struct fixture *f, uint8_t byte)
{
	command(f, 0xd4);
	data(f, byte);
}

/* The next byte, which must be there already and come from the keyboard's or the mouse's side. */
static uint8_t from(struct fixture *f, bool mouse)
{
	uint8_t now = status(f);
	assert_int_equal(now & 0xc0, 0);
	assert_int_equal(now & 0x01, 0x01);
	assert_int_equal(now & 0x20, mouse ? 0x20 : 0);
	return port_in(f->bus, 0x60);
}

static void expect(struct fixture *f, bool mouse, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		assert_int_equal(from(f, mouse), (uint8_t)bytes[i]);
}

#define expect_keys(f, bytes)  expect(f, false, bytes, sizeof(bytes) - 1)
#define expect_mouse(f, bytes) expect(f, true, bytes, sizeof(bytes) - 1)

static void expect_nothing(struct fixture *f)
{
	assert_int_equal(status(f) & 0x01, 0);
	assert_false(f->keyboard_irq.level);
	assert_false(f->mouse_irq.level);
}

static uint8_t ask(struct fixture *f, uint8_t byte)
{
	command(f, byte);
	return from(f, false);
}

static void set_mode(struct fixture *f, uint8_t mode)
{
	command(f, 0x60);
	data(f, mode);
}

static void mouse_command(struct fixture *f, uint8_t byte)
{
	to_mouse(f, byte);
	assert_int_equal(from(f, true), 0xfa);
}

/* A key of somebody who types no faster than the guest reads, and than the keyboard's wire carries;
 * see keyboard_flood_is_no_faster_than_the_wire for others. */
static int key(struct fixture *f, unsigned code, bool down)
{
	if (!(status(f) & 0x01))
		timer_queue_advance(f->timers, REST_NS);
	return f->keyboard->ops->key(f->keyboard, code, down);
}

static int key_at_once(struct fixture *f, unsigned code, bool down)
{
	return f->keyboard->ops->key(f->keyboard, code, down);
}

static void tap(struct fixture *f, unsigned code)
{
	assert_int_equal(key(f, code, true), 0);
	assert_int_equal(key(f, code, false), 0);
}

static void move(struct fixture *f, int dx, int dy)
{
	f->mouse->ops->relative(f->mouse, dx, dy);
	assert_int_equal(f->mouse->ops->sync(f->mouse), 0);
}

static void button(struct fixture *f, unsigned code, bool down)
{
	f->mouse->ops->button(f->mouse, code, down);
	assert_int_equal(f->mouse->ops->sync(f->mouse), 0);
}

static void knock(struct fixture *f, uint8_t first, uint8_t second, uint8_t third)
{
	const uint8_t rates[] = { first, second, third };
	for (int i = 0; i < 3; i++) {
		mouse_command(f, 0xf3);
		mouse_command(f, rates[i]);
	}
}

/* Mouse on: line clocked, interrupt enabled, reporting. */
static void enable_mouse(struct fixture *f)
{
	set_mode(f, 0x47);
	mouse_command(f, 0xf4);
}

/* The controller, in the order of Linux's i8042_probe. */
static void i8042_linux_probe_finds_both_ports_and_no_mux(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(status(f) & 0x01, 0); /* controller_check: nothing to flush */
	assert_int_equal(ask(f, 0xaa), 0x55);
	uint8_t mode = ask(f, 0x20);
	assert_int_equal(mode & 0x40, 0x40); /* translating: no "direct" mode */
	assert_int_equal(status(f) & 0x10, 0x10);
	mode = (mode | 0x10) & 0xfe;
	set_mode(f, mode);
	assert_int_equal(ask(f, 0x20), mode);

	command(f, 0xd3); /* check_aux: the loop must echo on the mouse's side */
	data(f, 0x5a);
	assert_int_equal(from(f, true), 0x5a);
	command(f, 0xa7);
	assert_int_equal(ask(f, 0x20) & 0x20, 0x20);
	command(f, 0xa8);
	assert_int_equal(ask(f, 0x20) & 0x20, 0);
	command(f, 0xa7);

	const uint8_t mux[] = { 0xf0, 0x56, 0xa4 }; /* set_mux_mode: a plain echo means none */
	for (int i = 0; i < 3; i++) {
		command(f, 0xd3);
		data(f, mux[i]);
		assert_int_equal(from(f, true), mux[i]);
	}

	mode = (mode & 0xdf) | 0x02; /* the interrupt test: one edge on IRQ 12 */
	set_mode(f, mode);
	unsigned edges = f->mouse_irq.edges;
	command(f, 0xd3);
	data(f, 0xa5);
	assert_int_equal(f->mouse_irq.edges, edges + 1);
	assert_int_equal(from(f, true), 0xa5);

	assert_int_equal(ask(f, 0xab), 0x00);
	assert_int_equal(ask(f, 0xa9), 0x00);
	expect_nothing(f);
}

/* Linux's atkbd_probe and atkbd_activate behind the translating controller. */
static void i8042_linux_atkbd_probe_is_answered(void **state)
{
	struct fixture *f = *state;
	set_mode(f, 0x45);
	unsigned edges = f->keyboard_irq.edges;
	data(f, 0xf2);
	assert_int_equal(f->keyboard_irq.edges, edges + 1);
	expect_keys(f, "\xfa\xab\x41");
	assert_int_equal(f->keyboard_irq.edges, edges + 3);
	data(f, 0xf5);
	expect_keys(f, "\xfa");
	data(f, 0xed);
	expect_keys(f, "\xfa");
	data(f, 0x02);
	expect_keys(f, "\xfa");
	assert_int_equal(f->leds, INPUT_LED_NUM);
	data(f, 0xf3);
	expect_keys(f, "\xfa");
	data(f, 0x00);
	expect_keys(f, "\xfa");
	assert_int_equal(f->keyboard->ops->active(f->keyboard), 0);
	assert_int_equal(key(f, KEY_A, true), -ENODEV);
	data(f, 0xf4);
	expect_keys(f, "\xfa");
	assert_int_equal(f->keyboard->ops->active(f->keyboard), INPUT_KEYBOARD);
	tap(f, KEY_A);
	expect_keys(f, "\x1e\x9e");
	expect_nothing(f);
}

/* Linux's psmouse: identify, other makers' extensions refused at once, IntelliMouse, Explorer, on.
 */
static void i8042_linux_psmouse_probe_finds_explorer(void **state)
{
	struct fixture *f = *state;
	set_mode(f, 0x47);
	to_mouse(f, 0xf2);
	expect_mouse(f, "\xfa\x00");
	mouse_command(f, 0xf6);
	const uint8_t resolutions[] = { 0, 0, 0, 0 }; /* Synaptics identify */
	for (int i = 0; i < 4; i++) {
		mouse_command(f, 0xe8);
		mouse_command(f, resolutions[i]);
	}
	to_mouse(f, 0xe9);
	expect_mouse(f, "\xfa\x00\x00\x64");
	to_mouse(f, 0xe1); /* TrackPoint */
	expect_mouse(f, "\xfe");
	to_mouse(f, 0xf8); /* Elantech */
	expect_mouse(f, "\xfe");
	to_mouse(f, 0xff);
	expect_mouse(f, "\xfa\xaa");
	expect_mouse(f, "\x00");

	knock(f, 200, 100, 80);
	to_mouse(f, 0xf2);
	expect_mouse(f, "\xfa\x03");
	knock(f, 200, 200, 80);
	to_mouse(f, 0xf2);
	expect_mouse(f, "\xfa\x04");
	knock(f, 200, 100, 60); /* almost, and no way back but by reset */
	to_mouse(f, 0xf2);
	expect_mouse(f, "\xfa\x04");

	mouse_command(f, 0xf3);
	mouse_command(f, 100);
	mouse_command(f, 0xe8);
	mouse_command(f, 3);
	mouse_command(f, 0xe6);
	assert_int_equal(f->mouse->ops->active(f->mouse), 0);
	mouse_command(f, 0xf4);
	assert_int_equal(f->mouse->ops->active(f->mouse), INPUT_POINTER_RELATIVE);
	to_mouse(f, 0xe9);
	expect_mouse(f, "\xfa\x20\x03\x64");
	move(f, 5, 3);
	expect_mouse(f, "\x28\x05\xfd");
	expect_mouse(f, "\x00");
	expect_nothing(f);
}

static void i8042_second_controller_on_the_ports_is_refused(void **state)
{
	struct fixture *f = *state;
	struct i8042 *second = NULL;
	const struct i8042_config config = { .ports = f->bus, .timers = f->timers };
	assert_true(i8042_create(&config, &second, NULL) < 0);
	assert_null(second);
}

static void i8042_all_reset_pulses_reset(void **state)
{
	struct fixture *f = *state;
	command(f, 0xff);
	command(f, 0xfd);
	assert_int_equal(f->resets, 0);
	command(f, 0xfe);
	command(f, 0xf0);
	assert_int_equal(f->resets, 2);
	command(f, 0xd1);
	data(f, 0xde);
	assert_int_equal(f->resets, 3);
}

static void i8042_output_port_keeps_a20_and_shows_the_buffer(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(ask(f, 0xd0) & 0x03, 0x03);
	command(f, 0xd1);
	data(f, 0x01);
	assert_int_equal(ask(f, 0xd0) & 0x03, 0x01);
	command(f, 0xdf);
	assert_int_equal(ask(f, 0xd0) & 0x03, 0x03);
	command(f, 0xd2);
	data(f, 0x12);
	expect_keys(f, "\x12");
	assert_int_equal(ask(f, 0xc0) & 0x80, 0x80);
	assert_int_equal(ask(f, 0xe0) & 0x01, 0x01);
	command(f, 0xad);
	assert_int_equal(ask(f, 0xe0) & 0x01, 0x00);
	expect_nothing(f);
}

static void i8042_ram_is_kept(void **state)
{
	struct fixture *f = *state;
	command(f, 0x7f);
	data(f, 0x99);
	assert_int_equal(ask(f, 0x3f), 0x99);
}

static void i8042_command_cancels_a_pending_argument(void **state)
{
	struct fixture *f = *state;
	command(f, 0xd4);
	command(f, 0xaa);
	expect_keys(f, "\x55");
	data(f, 0xee); /* the keyboard's, not the mouse's */
	expect_keys(f, "\xee");
}

static void i8042_disabled_keyboard_line_holds_bytes(void **state)
{
	struct fixture *f = *state;
	command(f, 0xad);
	tap(f, KEY_A);
	expect_nothing(f);
	command(f, 0xae);
	assert_true(f->keyboard_irq.level);
	expect_keys(f, "\x1e\x9e");
}

static void i8042_answer_overtakes_a_key_that_is_kept(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(key(f, KEY_A, true), 0);
	assert_int_equal(ask(f, 0x20), 0x65);
	expect_keys(f, "\x1e");
	expect_nothing(f);
}

static void i8042_each_byte_has_its_edge(void **state)
{
	struct fixture *f = *state;
	unsigned edges = f->keyboard_irq.edges;
	tap(f, KEY_RIGHTCTRL);
	expect_keys(f, "\xe0\x1d\xe0\x9d");
	assert_int_equal(f->keyboard_irq.edges, edges + 4);
}

static void i8042_masked_interrupt_comes_when_enabled(void **state)
{
	struct fixture *f = *state;
	set_mode(f, 0x44);
	tap(f, KEY_A);
	assert_false(f->keyboard_irq.level);
	assert_int_equal(status(f) & 0x01, 0x01);
	set_mode(f, 0x45);
	assert_true(f->keyboard_irq.level);
}

static void i8042_answer_goes_before_the_second_half_of_a_scancode(void **state)
{
	struct fixture *f = *state;
	set_mode(f, 0x05); /* no translation */
	tap(f, KEY_RIGHTCTRL);
	expect_keys(f, "\xe0"); /* 14 stands in the buffer now */
	data(f, 0xee);
	expect_keys(f, "\xee\x14\xe0\xf0\x14");
}

/* Linux's libps2 throws away what comes before the acknowledgement, and after it until the argument
 * has its own. */
static void i8042_key_that_was_not_read_comes_after_the_command(void **state)
{
	struct fixture *f = *state;
	key(f, KEY_NUMLOCK, true); /* stands in the buffer */
	key(f, KEY_NUMLOCK, false);
	data(f, 0xed);
	key(f, KEY_A, true);
	expect_keys(f, "\xfa");
	expect_nothing(f); /* it does not scan until it has the argument */
	key(f, KEY_A, false);
	data(f, 0x02);
	expect_keys(f, "\xfa\x45\xc5\x1e\x9e");
	expect_nothing(f);
	/* The answer is longer than a byte, and goes in one piece. */
	key(f, KEY_B, true);
	data(f, 0xf2);
	expect_keys(f, "\xfa\xab\x41\x30");
	key(f, KEY_B, false);
	expect_keys(f, "\xb0");
	/* A host that thinks better of it. */
	key(f, KEY_C, true);
	data(f, 0xf3);
	data(f, 0xee);
	expect_keys(f, "\xfa\xee\x2e");
	key(f, KEY_C, false);
	expect_keys(f, "\xae");
	expect_nothing(f);
	/* Two commands, and the key that comes back after the first is still not read. */
	key(f, KEY_D, true);
	data(f, 0xee);
	expect_keys(f, "\xee");
	data(f, 0xee);
	expect_keys(f, "\xee\x20");
	expect_nothing(f);
}

/* An answer of the controller, one of the keyboard, a key and motion: nothing takes the place of
 * another. */
static void i8042_bytes_that_answers_push_aside_all_come(void **state)
{
	struct fixture *f = *state;
	enable_mouse(f);
	/* The keyboard's answer is pushed out, and is not taken for a key that has to wait. */
	data(f, 0xed);
	command(f, 0x20);
	assert_int_equal(from(f, false) & 0x40, 0x40);
	expect_keys(f, "\xfa");
	data(f, 0x00);
	expect_keys(f, "\xfa");
	/* A key is set aside, a mouse's byte is pushed out. */
	key(f, KEY_A, true);
	move(f, 1, 0);
	data(f, 0xed);
	expect_keys(f, "\xfa");
	command(f, 0xaa);
	expect_keys(f, "\x55");
	expect_mouse(f, "\x08\x01\x00");
	expect_nothing(f);
	data(f, 0x00);
	expect_keys(f, "\xfa\x1e");
	/* A key is pushed out, and then has to wait for the keyboard's answer, too. */
	key(f, KEY_A, false);
	command(f, 0xaa);
	data(f, 0xee);
	expect_keys(f, "\x55\xee\x9e");
	assert_true(f->keyboard->ops->drained(f->keyboard));
	expect_nothing(f);
}

static void keyboard_reset_passes_its_test(void **state)
{
	struct fixture *f = *state;
	data(f, 0xed);
	data(f, 0x07);
	expect_keys(f, "\xfa\xfa");
	tap(f, KEY_B);
	data(f, 0xff);
	expect_keys(f, "\xfa\xaa");
	expect_keys(f, "\x30\xb0"); /* the B that was in the buffer is not held for ever, though its
				       release was thrown away */
	expect_nothing(f);
	assert_int_equal(f->leds, 0);
	assert_int_equal(f->keyboard->ops->active(f->keyboard), INPUT_KEYBOARD);
}

static void keyboard_echo_resend_and_unknown(void **state)
{
	struct fixture *f = *state;
	data(f, 0xee);
	expect_keys(f, "\xee");
	data(f, 0xfe);
	expect_keys(f, "\xee");
	data(f, 0x42);
	expect_keys(f, "\xfe");
	data(f, 0xfe); /* the last byte that was no resend */
	expect_keys(f, "\xee");
	data(f, 0xed); /* a command instead of the argument */
	data(f, 0xf4);
	expect_keys(f, "\xfa\xfa");
	assert_int_equal(f->leds, 0);
}

static void keyboard_scancode_sets_are_chosen_and_told(void **state)
{
	struct fixture *f = *state;
	set_mode(f, 0x05);
	data(f, 0xf0);
	data(f, 0x00);
	expect_keys(f, "\xfa\xfa\x02");
	tap(f, KEY_F7);
	expect_keys(f, "\x83\xf0\x83");
	data(f, 0xf0);
	data(f, 0x01);
	expect_keys(f, "\xfa\xfa");
	tap(f, KEY_F7);
	expect_keys(f, "\x41\xc1");
	tap(f, KEY_UP);
	expect_keys(f, "\xe0\x48\xe0\xc8");
	data(f, 0xf0);
	data(f, 0x03);
	expect_keys(f, "\xfa\xfe");
	data(f, 0xf0);
	data(f, 0x00);
	expect_keys(f, "\xfa\xfa\x01");
}

static void keyboard_translation_gives_set_1(void **state)
{
	struct fixture *f = *state;
	for (unsigned code = KEY_ESC; code <= KEY_KPDOT; code++) {
		if (code == 84)
			continue;
		tap(f, code);
		assert_int_equal(from(f, false), code);
		assert_int_equal(from(f, false), code | 0x80);
	}
	tap(f, KEY_F11);
	tap(f, KEY_F12);
	tap(f, KEY_102ND);
	expect_keys(f, "\x57\xd7\x58\xd8\x56\xd6");
	tap(f, KEY_LEFTMETA);
	expect_keys(f, "\xe0\x5b\xe0\xdb");
	tap(f, KEY_F13);
	tap(f, KEY_YEN);
	tap(f, KEY_RO);
	expect_keys(f, "\x5d\xdd\x7d\xfd\x73\xf3");
	tap(f, KEY_HENKAN);
	tap(f, KEY_MUHENKAN);
	tap(f, KEY_KATAKANAHIRAGANA);
	expect_keys(f, "\x79\xf9\x7b\xfb\x70\xf0");
	tap(f, KEY_VOLUMEUP);
	expect_keys(f, "\xe0\x30\xe0\xb0");
	tap(f, KEY_HANGEUL);
	tap(f, KEY_HANJA);
	expect_keys(f, "\xf2\xf1");
	expect_nothing(f);
}

static void keyboard_set_2_is_as_the_book_has_it(void **state)
{
	static const struct {
		unsigned code;
		uint8_t scancode;
	} keys[] = {
		{ KEY_ESC, 0x76 },
		{ KEY_1, 0x16 },
		{ KEY_0, 0x45 },
		{ KEY_BACKSPACE, 0x66 },
		{ KEY_TAB, 0x0d },
		{ KEY_Q, 0x15 },
		{ KEY_P, 0x4d },
		{ KEY_ENTER, 0x5a },
		{ KEY_LEFTCTRL, 0x14 },
		{ KEY_A, 0x1c },
		{ KEY_GRAVE, 0x0e },
		{ KEY_BACKSLASH, 0x5d },
		{ KEY_Z, 0x1a },
		{ KEY_LEFTSHIFT, 0x12 },
		{ KEY_RIGHTSHIFT, 0x59 },
		{ KEY_KPASTERISK, 0x7c },
		{ KEY_LEFTALT, 0x11 },
		{ KEY_SPACE, 0x29 },
		{ KEY_CAPSLOCK, 0x58 },
		{ KEY_F1, 0x05 },
		{ KEY_F10, 0x09 },
		{ KEY_NUMLOCK, 0x77 },
		{ KEY_SCROLLLOCK, 0x7e },
		{ KEY_KP7, 0x6c },
		{ KEY_KPMINUS, 0x7b },
		{ KEY_KPPLUS, 0x79 },
		{ KEY_KP0, 0x70 },
		{ KEY_KPDOT, 0x71 },
		{ KEY_F11, 0x78 },
		{ KEY_F12, 0x07 },
		{ KEY_102ND, 0x61 },
		{ KEY_RO, 0x51 },
		{ KEY_YEN, 0x6a },
		{ KEY_F23, 0x57 },
	};
	struct fixture *f = *state;
	set_mode(f, 0x05);
	for (size_t i = 0; i < array_size(keys); i++) {
		tap(f, keys[i].code);
		assert_int_equal(from(f, false), keys[i].scancode);
		assert_int_equal(from(f, false), 0xf0);
		assert_int_equal(from(f, false), keys[i].scancode);
	}
	tap(f, KEY_DELETE);
	expect_keys(f, "\xe0\x71\xe0\xf0\x71");
}

static void keyboard_print_and_pause_follow_the_modifiers(void **state)
{
	struct fixture *f = *state;
	tap(f, KEY_SYSRQ);
	expect_keys(f, "\xe0\x2a\xe0\x37\xe0\xb7\xe0\xaa");
	tap(f, KEY_PAUSE);
	expect_keys(f, "\xe1\x1d\x45\xe1\x9d\xc5");
	key(f, KEY_LEFTSHIFT, true);
	tap(f, KEY_SYSRQ);
	key(f, KEY_LEFTSHIFT, false);
	expect_keys(f, "\x2a\xe0\x37\xe0\xb7\xaa");
	key(f, KEY_RIGHTCTRL, true);
	tap(f, KEY_PAUSE);
	key(f, KEY_RIGHTCTRL, false);
	expect_keys(f, "\xe0\x1d\xe0\x46\xe0\xc6\xe0\x9d");
	/* The release is of the variant that was pressed, though Alt went first. */
	key(f, KEY_LEFTALT, true);
	key(f, KEY_SYSRQ, true);
	key(f, KEY_LEFTALT, false);
	key(f, KEY_SYSRQ, false);
	expect_keys(f, "\x38\x54\xb8\xd4");
	expect_nothing(f);
}

static void keyboard_unknown_key_is_told(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(key(f, KEY_MICMUTE, true), -ENOENT);
	assert_int_equal(key(f, 0, true), -ENOENT);
	assert_int_equal(key(f, 0x2ff, true), -ENOENT);
	assert_int_equal(key(f, UINT32_MAX, true), -ENOENT);
	expect_nothing(f);
}

static void keyboard_full_queue_takes_whole_codes_only(void **state)
{
	struct fixture *f = *state;
	unsigned taken = 0;
	while (key(f, KEY_PAUSE, true) == 0)
		taken++;
	assert_int_equal(key(f, KEY_PAUSE, true), -EAGAIN);
	assert_in_range(taken, 5, 20);
	assert_int_equal(f->ready, 0);
	unsigned bytes = 0;
	while (status(f) & 1) {
		uint8_t want = (uint8_t) "\xe1\x1d\x45\xe1\x9d\xc5"[bytes++ % 6];
		assert_int_equal(from(f, false), want);
	}
	assert_int_equal(bytes, taken * 6);
	timer_queue_advance(f->timers, REST_NS);
	assert_int_equal(f->ready, 1);
	assert_in_range(bytes, 1, 127); /* more would make Linux's flush give the controller up */
}

static void keyboard_repeats_as_programmed(void **state)
{
	struct fixture *f = *state;
	data(f, 0xf3);
	data(f, 0x00); /* 250 ms, then every 33 ms */
	expect_keys(f, "\xfa\xfa");
	assert_true(timer_queue_idle(f->timers));
	key(f, KEY_A, true);
	key(f, KEY_B, true);
	expect_keys(f, "\x1e\x30");
	timer_queue_advance(f->timers, 249 * NS_PER_MS);
	expect_nothing(f);
	timer_queue_advance(f->timers, 2 * NS_PER_MS);
	expect_keys(f, "\x30");
	timer_queue_advance(f->timers, 34 * NS_PER_MS);
	expect_keys(f, "\x30");
	timer_queue_advance(f->timers, NS_PER_SECOND); /* a slow guest gets no backlog */
	unsigned n = 0;
	while (status(f) & 1) {
		expect_keys(f, "\x30");
		n++;
	}
	assert_in_range(n, 1, 2);
	key(f, KEY_A, false); /* not the one that repeats */
	expect_keys(f, "\x9e");
	timer_queue_advance(f->timers, 34 * NS_PER_MS);
	expect_keys(f, "\x30");
	key(f, KEY_B, false);
	expect_keys(f, "\xb0");
	assert_true(timer_queue_idle(f->timers));
}

static void keyboard_release_after_reset_is_swallowed(void **state)
{
	struct fixture *f = *state;
	struct device *device = i8042_device(f->controller);
	key(f, KEY_A, true);
	device->ops->reset(device);
	assert_int_equal(key(f, KEY_A, false), 0);
	expect_nothing(f);
	assert_true(timer_queue_idle(f->timers));
}

/* What the guest has seen pressed is released, whatever it does to the keyboard meanwhile; of what
 * it has not seen it hears no release. */
static void keyboard_commands_leave_no_key_stuck(void **state)
{
	struct fixture *f = *state;
	static const uint8_t commands[] = { 0xf4, 0xf6, 0xff };
	for (unsigned i = 0; i < array_size(commands); i++) {
		key(f, KEY_LEFTSHIFT, true);
		key(f, KEY_A, true);
		expect_keys(f, "\x2a\x1e");
		key(f, KEY_A, false);         /* into the output buffer */
		key(f, KEY_LEFTSHIFT, false); /* waits in the keyboard */
		key(f, KEY_B, true);          /* so does this */
		data(f, commands[i]);
		expect_keys(f, "\xfa");
		if (commands[i] == 0xff)
			expect_keys(f, "\xaa");
		expect_keys(f, "\x9e\xaa"); /* 2A released */
		expect_nothing(f);
		key(f, KEY_B, false);
		expect_nothing(f);
	}
	/* Still held afterwards: released when it is. */
	key(f, KEY_A, true);
	expect_keys(f, "\x1e");
	data(f, 0xff);
	expect_keys(f, "\xfa\xaa");
	expect_nothing(f);
	key(f, KEY_A, false);
	expect_keys(f, "\x9e");
	/* Released while the keyboard was off. */
	key(f, KEY_RIGHTCTRL, true);
	expect_keys(f, "\xe0\x1d");
	data(f, 0xf5);
	expect_keys(f, "\xfa");
	assert_int_equal(key(f, KEY_RIGHTCTRL, false), -ENODEV);
	expect_nothing(f);
	data(f, 0xf4);
	expect_keys(f, "\xfa\xe0\x9d");
	expect_nothing(f);
}

/* A driver that reads until the buffer is empty (Linux's i8042_flush: at most 128 bytes) comes to
 * an end, though who types fills the room at once; and programs have time to look. */
static void keyboard_rests_when_all_is_read(void **state)
{
	struct fixture *f = *state;
	unsigned bytes = 0;
	while (key(f, KEY_PAUSE, true) == 0)
		;
	while (status(f) & 1) {
		assert_int_equal(f->ready, 0);
		port_in(f->bus, 0x60);
		bytes++;
	}
	assert_in_range(bytes, 1, 128);
	assert_int_equal(key_at_once(f, KEY_A, true), -EAGAIN);
	timer_queue_advance(f->timers, REST_NS - NS_PER_MS);
	assert_int_equal(key_at_once(f, KEY_A, true), -EAGAIN);
	assert_int_equal(f->ready, 0);
	timer_queue_advance(f->timers, NS_PER_MS);
	assert_int_equal(f->ready, 1);
	/* Who does not type too fast waits for nothing. */
	for (unsigned i = 0; i < 100; i++) {
		tap(f, KEY_A);
		expect_keys(f, "\x1e\x9e");
	}
	assert_true(timer_queue_idle(f->timers));
	assert_int_equal(f->ready, 1);
	/* A slow guest's programs have twice as long as its driver. */
	while (key(f, KEY_PAUSE, true) == 0)
		;
	timer_queue_advance(f->timers, 20 * NS_PER_MS);
	while (status(f) & 1)
		port_in(f->bus, 0x60);
	timer_queue_advance(f->timers, 39 * NS_PER_MS);
	assert_int_equal(f->ready, 1);
	timer_queue_advance(f->timers, NS_PER_MS);
	assert_int_equal(f->ready, 2);
	/* Up to a limit. */
	while (key(f, KEY_PAUSE, true) == 0)
		;
	timer_queue_advance(f->timers, NS_PER_SECOND);
	while (status(f) & 1)
		port_in(f->bus, 0x60);
	timer_queue_advance(f->timers, 249 * NS_PER_MS);
	assert_int_equal(f->ready, 2);
	timer_queue_advance(f->timers, NS_PER_MS);
	assert_int_equal(f->ready, 3);
}

/* A macro of 125 keys a second, and a guest that reads each byte within a millisecond; and a guest
 * ten times slower than that, with somebody who types 16 keys a second. */
static void keyboard_quick_fingers_never_wait(void **state)
{
	struct fixture *f = *state;
	static const unsigned every_ms[] = { 4, 31 }, read_after_ms[] = { 1, 10 };
	for (unsigned i = 0; i < array_size(every_ms); i++) {
		for (unsigned n = 0; n < 200; n++) {
			assert_int_equal(key_at_once(f, KEY_A, n % 2 == 0), 0);
			timer_queue_advance(f->timers, read_after_ms[i] * NS_PER_MS);
			assert_int_equal(from(f, false), n % 2 == 0 ? 0x1e : 0x9e);
			timer_queue_advance(
				f->timers, (every_ms[i] - read_after_ms[i]) * NS_PER_MS);
		}
	}
}

/* However fast the guest's driver reads, its programs need their time. A byte of 11 bits takes
 * 1.1 ms on the line at 10 kHz, the slowest clock that a keyboard may have; and evdev keeps 21
 * presses and releases for who looks every 30 ms. */
static void keyboard_flood_is_no_faster_than_the_wire(void **state)
{
	struct fixture *f = *state;
	unsigned bytes = 0, unseen = 0;
	bool down = true;
	for (unsigned ms = 0; ms < 1000; ms++) {
		if (ms % 30 == 0)
			unseen = 0;
		while (key_at_once(f, KEY_A, down) == 0) {
			while (status(f) & 0x01)
				port_in(f->bus, 0x60);
			bytes += down ? 1 : 2; /* set 2: a release has a prefix */
			unseen++;
			down = !down;
		}
		assert_in_range(unseen, 0, 21);
		timer_queue_advance(f->timers, NS_PER_MS);
	}
	assert_in_range(bytes, 800, 1000);
}

static void i8042_tells_when_the_guest_has_read_all(void **state)
{
	struct fixture *f = *state;
	const struct input_sink_listener listener = { leds_changed, ready, f };
	f->mouse->ops->set_listener(f->mouse, &listener);
	enable_mouse(f);
	f->ready = 0;
	assert_true(f->keyboard->ops->drained(f->keyboard));
	assert_true(f->mouse->ops->drained(f->mouse));
	tap(f, KEY_A);
	assert_false(f->keyboard->ops->drained(f->keyboard));
	assert_true(f->mouse->ops->drained(f->mouse));
	expect_keys(f, "\x1e");
	assert_int_equal(f->ready, 0);
	expect_keys(f, "\x9e");
	assert_int_equal(f->ready, 1);
	assert_true(f->keyboard->ops->drained(f->keyboard));
	move(f, 1, 0);
	assert_false(f->mouse->ops->drained(f->mouse));
	expect_mouse(f, "\x08\x01");
	assert_int_equal(f->ready, 1);
	expect_mouse(f, "\x00");
	assert_int_equal(f->ready, 2);
	assert_true(f->mouse->ops->drained(f->mouse));
}

static void keyboard_repeats_no_key_whose_release_may_wait(void **state)
{
	struct fixture *f = *state;
	unsigned code = KEY_1;
	while (key(f, code, true) == 0)
		code++;
	assert_int_equal(key(f, KEY_1, false), -EAGAIN);
	timer_queue_advance(f->timers, 2 * NS_PER_SECOND);
	for (unsigned i = KEY_1; i < code; i++)
		assert_int_equal(from(f, false), i);
	/* Nobody has come back with what was refused. */
	timer_queue_advance(f->timers, 740 * NS_PER_MS);
	expect_nothing(f);
	timer_queue_advance(f->timers, 20 * NS_PER_MS);
	assert_int_equal(from(f, false), code - 1); /* it is held indeed */
}

struct dialogue {
	const char *what; /* the command as the specification has it */
	uint8_t said[3];
	unsigned said_count;
	uint8_t answered[6];
	unsigned answered_count;
};

/* IBM PS/2 Hardware Interface Technical Reference, "Keyboard (101- and 102-key)", "Commands from
 * the System": every byte that is understood is acknowledged by FA, others by FE (Resend). */
static void keyboard_answers_each_command_as_the_book_has_it(void **state)
{
	struct fixture *f = *state;
	static const struct dialogue dialogues[] = {
		{ "EDh Set/Reset Status Indicators", { 0xed, 0x02 }, 2, { 0xfa, 0xfa }, 2 },
		{ "EEh Echo", { 0xee }, 1, { 0xee }, 1 },
		{ "EFh Invalid Command", { 0xef }, 1, { 0xfe }, 1 },
		{ "F0h Select Alternate Scan Codes, 0: which", { 0xf0, 0 }, 2, { 0xfa, 0xfa, 2 },
			3 },
		{ "F0h Select Alternate Scan Codes, 2", { 0xf0, 2 }, 2, { 0xfa, 0xfa }, 2 },
		{ "F1h Invalid Command", { 0xf1 }, 1, { 0xfe }, 1 },
		{ "F2h Read ID", { 0xf2 }, 1, { 0xfa, 0xab, 0x83 }, 3 },
		{ "F3h Set Typematic Rate/Delay", { 0xf3, 0x2b }, 2, { 0xfa, 0xfa }, 2 },
		{ "F4h Enable", { 0xf4 }, 1, { 0xfa }, 1 },
		{ "F5h Default Disable", { 0xf5 }, 1, { 0xfa }, 1 },
		{ "F6h Set Default", { 0xf6 }, 1, { 0xfa }, 1 },
		{ "F7h Set All Keys, Typematic", { 0xf7 }, 1, { 0xfa }, 1 },
		{ "F8h Set All Keys, Make/Break", { 0xf8 }, 1, { 0xfa }, 1 },
		{ "F9h Set All Keys, Make", { 0xf9 }, 1, { 0xfa }, 1 },
		{ "FAh Set All Keys, Typematic/Make/Break", { 0xfa }, 1, { 0xfa }, 1 },
		{ "FEh Resend", { 0xfe }, 1, { 0xfa }, 1 },
		{ "FFh Reset, and the Basic Assurance Test's AA", { 0xff }, 1, { 0xfa, 0xaa }, 2 },
	};
	set_mode(f, 0x05); /* without translation */
	for (unsigned i = 0; i < array_size(dialogues); i++) {
		const struct dialogue *dialogue = &dialogues[i];
		print_message("%s\n", dialogue->what);
		for (unsigned n = 0; n < dialogue->said_count; n++)
			data(f, dialogue->said[n]);
		expect(f, false, (const char *)dialogue->answered, dialogue->answered_count);
		expect_nothing(f);
	}
}

/* The same book, "Auxiliary Device": "Commands". FC would follow a second wrong byte; drivers stop
 * at the first FE. */
static void mouse_answers_each_command_as_the_book_has_it(void **state)
{
	struct fixture *f = *state;
	static const struct dialogue dialogues[] = {
		{ "E6h Reset Scaling", { 0xe6 }, 1, { 0xfa }, 1 },
		{ "E7h Set Scaling 2:1", { 0xe7 }, 1, { 0xfa }, 1 },
		{ "E8h Set Resolution, 8 counts/mm", { 0xe8, 3 }, 2, { 0xfa, 0xfa }, 2 },
		{ "E9h Status Request", { 0xe9 }, 1, { 0xfa, 0x10, 3, 100 }, 4 },
		{ "EAh Set Stream Mode", { 0xea }, 1, { 0xfa }, 1 },
		{ "EBh Read Data", { 0xeb }, 1, { 0xfa, 0x08, 0, 0 }, 4 },
		{ "EEh Set Wrap Mode", { 0xee }, 1, { 0xfa }, 1 },
		{ "any byte in Wrap Mode", { 0xf2 }, 1, { 0xf2 }, 1 },
		{ "ECh Reset Wrap Mode", { 0xec }, 1, { 0xfa }, 1 },
		{ "F0h Set Remote Mode", { 0xf0 }, 1, { 0xfa }, 1 },
		{ "E9h Status Request in Remote Mode", { 0xe9 }, 1, { 0xfa, 0x50, 3, 100 }, 4 },
		{ "F2h Read Device Type", { 0xf2 }, 1, { 0xfa, 0 }, 2 },
		{ "F3h Set Sampling Rate, 200", { 0xf3, 200 }, 2, { 0xfa, 0xfa }, 2 },
		{ "F3h Set Sampling Rate, 7: invalid", { 0xf3, 7 }, 2, { 0xfa, 0xfe }, 2 },
		{ "F4h Enable", { 0xf4 }, 1, { 0xfa }, 1 },
		{ "E9h Status Request, enabled", { 0xe9 }, 1, { 0xfa, 0x70, 3, 200 }, 4 },
		{ "F5h Disable", { 0xf5 }, 1, { 0xfa }, 1 },
		{ "F6h Set Default", { 0xf6 }, 1, { 0xfa }, 1 },
		{ "E9h Status Request, defaults", { 0xe9 }, 1, { 0xfa, 0x00, 2, 100 }, 4 },
		{ "FEh Resend: the last packet", { 0xfe }, 1, { 0xfa, 0x00, 2, 100 }, 4 },
		{ "EDh Invalid Command", { 0xed }, 1, { 0xfe }, 1 },
		{ "FFh Reset: the test's AA and the type", { 0xff }, 1, { 0xfa, 0xaa, 0 }, 3 },
	};
	for (unsigned i = 0; i < array_size(dialogues); i++) {
		const struct dialogue *dialogue = &dialogues[i];
		print_message("%s\n", dialogue->what);
		for (unsigned n = 0; n < dialogue->said_count; n++)
			to_mouse(f, dialogue->said[n]);
		expect(f, true, (const char *)dialogue->answered, dialogue->answered_count);
		expect_nothing(f);
	}
}

/* The same book, "Keyboard and Auxiliary Device Controller", "Controller Commands". */
static void i8042_answers_each_command_as_the_book_has_it(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *what;
		uint8_t command, answered;
	} dialogues[] = {
		{ "20h Read Controller RAM, the command byte", 0x20, 0x65 },
		{ "A4h Test Password Installed: none", 0xa4, 0xf1 },
		{ "A9h Auxiliary Device Interface Test", 0xa9, 0x00 },
		{ "AAh Self Test", 0xaa, 0x55 },
		{ "ABh Keyboard Interface Test", 0xab, 0x00 },
		{ "C0h Read Input Port", 0xc0, 0xa0 },
		{ "D0h Read Output Port: A20, no reset, clocks", 0xd0, 0xc3 },
		{ "E0h Read Test Inputs: the mouse's clock is held", 0xe0, 0x01 },
	};
	for (unsigned i = 0; i < array_size(dialogues); i++) {
		print_message("%s\n", dialogues[i].what);
		assert_int_equal(ask(f, dialogues[i].command), dialogues[i].answered);
		expect_nothing(f);
	}
	/* ADh and AEh, A7h and A8h: Disable and Enable Keyboard and Auxiliary Device Interface. */
	command(f, 0xad);
	assert_int_equal(ask(f, 0x20), 0x75);
	command(f, 0xae);
	command(f, 0xa8);
	assert_int_equal(ask(f, 0x20), 0x45);
	command(f, 0xa7);
	assert_int_equal(ask(f, 0x20), 0x65);
	/* 60h Write Controller RAM; D2h and D3h Write Keyboard and Auxiliary Device Output Buffer;
	 * D4h Write to Auxiliary Device: D1h is tested with A20. */
	set_mode(f, 0x47);
	command(f, 0xd2);
	data(f, 0x5a);
	expect_keys(f, "\x5a");
	command(f, 0xd3);
	data(f, 0xa5);
	expect_mouse(f, "\xa5");
	to_mouse(f, 0xe6);
	expect_mouse(f, "\xfa");
	expect_nothing(f);
}

static void mouse_long_strokes_are_split(void **state)
{
	struct fixture *f = *state;
	enable_mouse(f);
	move(f, 600, -300);
	expect_mouse(f, "\x08\xff\xff");
	expect_mouse(f, "\x08\xff\x2d");
	expect_mouse(f, "\x08\x5a");
	expect_mouse(f, ((const char[]){ 0, 0 }));
	move(f, -256, 0);
	expect_mouse(f, "\x18\x01");
	assert_int_equal(from(f, true), 0);
	expect_mouse(f, "\x18\xff");
	assert_int_equal(from(f, true), 0);
	expect_nothing(f);
}

static void mouse_motion_waits_for_sync(void **state)
{
	struct fixture *f = *state;
	enable_mouse(f);
	f->mouse->ops->relative(f->mouse, 1, 0);
	f->mouse->ops->relative(f->mouse, 2, -7);
	expect_nothing(f);
	f->mouse->ops->sync(f->mouse);
	expect_mouse(f, "\x08\x03\x07");
	f->mouse->ops->sync(f->mouse);
	expect_nothing(f);
}

static void mouse_slow_guest_gets_one_stroke_and_every_click(void **state)
{
	struct fixture *f = *state;
	enable_mouse(f);
	for (int i = 0; i < 200; i++)
		move(f, 1, 0);
	for (int i = 0; i < 4; i++) {
		button(f, BTN_LEFT, true);
		button(f, BTN_LEFT, false);
	}
	int moved = 0, packets = 0, clicks = 0;
	uint8_t before = 0;
	while (status(f) & 1) {
		uint8_t first = from(f, true);
		moved += from(f, true);
		assert_int_equal(from(f, true), 0);
		clicks += (first & 1) && !(before & 1);
		before = first;
		packets++;
	}
	assert_int_equal(moved, 200);
	assert_int_equal(clicks, 4);
	assert_int_equal(before & 1, 0);
	assert_in_range(packets, 8, 14);
}

/* Adds up packets up to a change of buttons, or to the last one; returns the buttons then. */
static unsigned walk(struct fixture *f, unsigned buttons, int *x, int *y)
{
	while (status(f) & 1) {
		uint8_t first = from(f, true);
		*x += from(f, true) - (first & 0x10 ? 256 : 0);
		*y -= from(f, true) - (first & 0x20 ? 256 : 0);
		if ((first & 7u) != buttons)
			return first & 7u;
	}
	return buttons;
}

static void mouse_button_comes_where_the_motion_ends(void **state)
{
	struct fixture *f = *state;
	int x = 0, y = 0;
	enable_mouse(f);
	move(f, 1000, -700);
	button(f, BTN_LEFT, true);
	move(f, -20, 900);
	button(f, BTN_LEFT, false);
	move(f, 5, 5);
	assert_int_equal(walk(f, 0, &x, &y), 1);
	assert_int_equal(x, 1000);
	assert_int_equal(y, -700);
	assert_int_equal(walk(f, 1, &x, &y), 0);
	assert_int_equal(x, 980);
	assert_int_equal(y, 200);
	assert_int_equal(walk(f, 0, &x, &y), 0);
	assert_int_equal(x, 985);
	assert_int_equal(y, 205);
}

static void mouse_long_way_back_is_gone_in_full(void **state)
{
	struct fixture *f = *state;
	int least = 0, x = 0;
	enable_mouse(f);
	move(f, -3000, 0);
	move(f, 400, 0);
	move(f, 100, 0);
	while (status(f) & 1) {
		uint8_t first = from(f, true);
		x += from(f, true) - (first & 0x10 ? 256 : 0);
		assert_int_equal(from(f, true), 0);
		least = x < least ? x : least;
	}
	assert_int_equal(least, -3000);
	assert_int_equal(x, -2500);
	/* A short one is not worth it. */
	move(f, 800, 0);
	move(f, 100, 0);
	move(f, -50, 0);
	for (x = 0; status(f) & 1; assert_int_equal(from(f, true), 0)) {
		assert_int_equal(from(f, true), 8);
		x += from(f, true);
	}
	assert_int_equal(x, 850);
}

static void mouse_clicks_without_end_are_held_back(void **state)
{
	struct fixture *f = *state;
	const struct input_sink_listener listener = { NULL, ready, f };
	f->mouse->ops->set_listener(f->mouse, &listener);
	enable_mouse(f);
	f->ready = 0;
	int rc = 0, n = 0;
	while (!rc && n < 1000) {
		f->mouse->ops->button(f->mouse, BTN_LEFT, n++ % 2 == 0);
		rc = f->mouse->ops->sync(f->mouse);
	}
	assert_int_equal(rc, -EAGAIN);
	expect_mouse(f, "\x09");
	from(f, true), from(f, true);
	from(f, true), from(f, true), from(f, true);
	assert_int_equal(f->ready, 1);
	assert_int_equal(f->mouse->ops->sync(f->mouse), 0);
}

static void mouse_intellimouse_wheel(void **state)
{
	struct fixture *f = *state;
	set_mode(f, 0x47);
	knock(f, 200, 100, 80);
	mouse_command(f, 0xf4);
	f->mouse->ops->wheel(f->mouse, 120, 0); /* up is negative on the wire */
	f->mouse->ops->sync(f->mouse);
	expect_mouse(f, ((const char[]){ 8, 0, 0, -1, 0 }));
	f->mouse->ops->wheel(f->mouse, -60, 0); /* half a step, then the other half */
	f->mouse->ops->sync(f->mouse);
	expect_nothing(f);
	f->mouse->ops->wheel(f->mouse, -60, 0);
	f->mouse->ops->sync(f->mouse);
	expect_mouse(f, ((const char[]){ 8, 0, 0, 1, 0 }));
}

static void mouse_explorer_buttons_and_both_wheels(void **state)
{
	struct fixture *f = *state;
	set_mode(f, 0x47);
	knock(f, 200, 200, 80);
	mouse_command(f, 0xf4);
	button(f, BTN_SIDE, true);
	expect_mouse(f, ((const char[]){ 8, 0, 0, 0x10, 0 }));
	button(f, BTN_EXTRA, true);
	expect_mouse(f, ((const char[]){ 8, 0, 0, 0x30, 0 }));
	button(f, BTN_SIDE, false);
	button(f, BTN_EXTRA, false);
	expect_mouse(f, ((const char[]){ 8, 0, 0, 0x20, 8, 0, 0, 0, 0 }));
	f->mouse->ops->wheel(f->mouse, 9 * 120, 0);
	f->mouse->ops->sync(f->mouse);
	expect_mouse(f, ((const char[]){ 8, 0, 0, 0x09, 8, 0, 0, 0x0e, 0 }));
	f->mouse->ops->wheel(f->mouse, 0, 120);
	f->mouse->ops->sync(f->mouse);
	expect_mouse(f, ((const char[]){ 8, 0, 0, 0x7f, 0 }));
	expect_nothing(f);
}

static void mouse_standard_has_no_wheel(void **state)
{
	struct fixture *f = *state;
	enable_mouse(f);
	f->mouse->ops->wheel(f->mouse, 240, 120);
	f->mouse->ops->sync(f->mouse);
	button(f, BTN_SIDE, true); /* a packet that says nothing new is the worst of it */
	while (status(f) & 1)
		from(f, true);
	expect_nothing(f);
}

static void mouse_off_reports_nothing_and_keeps_no_past(void **state)
{
	struct fixture *f = *state;
	set_mode(f, 0x47);
	move(f, 10, 10);
	button(f, BTN_LEFT, true);
	button(f, BTN_LEFT, false);
	expect_nothing(f);
	mouse_command(f, 0xf4);
	expect_nothing(f);
	move(f, 1, 0);
	expect_mouse(f, "\x08\x01");
	assert_int_equal(from(f, true), 0);
	mouse_command(f, 0xf5);
	move(f, 1, 0);
	expect_nothing(f);
}

static void mouse_remote_mode_answers_when_asked(void **state)
{
	struct fixture *f = *state;
	set_mode(f, 0x47);
	mouse_command(f, 0xf0);
	move(f, 4, -2);
	button(f, BTN_RIGHT, true);
	expect_nothing(f);
	to_mouse(f, 0xeb);
	expect_mouse(f, "\xfa\x0a\x04\x02");
	to_mouse(f, 0xeb);
	expect_mouse(f, "\xfa\x0a");
	assert_int_equal(from(f, true), 0);
	assert_int_equal(from(f, true), 0);
	to_mouse(f, 0xe9);
	expect_mouse(f, "\xfa\x41\x02\x64");
}

static void mouse_wrap_mode_echoes_until_told(void **state)
{
	struct fixture *f = *state;
	set_mode(f, 0x47);
	mouse_command(f, 0xee);
	to_mouse(f, 0xf2);
	expect_mouse(f, "\xf2");
	to_mouse(f, 0xee);
	expect_mouse(f, "\xee");
	mouse_command(f, 0xec);
	to_mouse(f, 0xf2);
	expect_mouse(f, "\xfa");
	assert_int_equal(from(f, true), 0);
}

static void mouse_bad_arguments_are_refused(void **state)
{
	struct fixture *f = *state;
	set_mode(f, 0x47);
	mouse_command(f, 0xe8);
	to_mouse(f, 4);
	expect_mouse(f, "\xfe");
	mouse_command(f, 0xf3);
	to_mouse(f, 33);
	expect_mouse(f, "\xfe");
	mouse_command(f, 0xf3);
	to_mouse(f, 0xf2); /* a command instead */
	expect_mouse(f, "\xfa");
	assert_int_equal(from(f, true), 0);
	to_mouse(f, 0xfe);
	expect_mouse(f, "\xfa");
	assert_int_equal(from(f, true), 0);
}

static void mouse_scaling_doubles_strokes(void **state)
{
	struct fixture *f = *state;
	enable_mouse(f);
	mouse_command(f, 0xe7);
	move(f, 4, 0);
	expect_mouse(f, "\x08\x06");
	assert_int_equal(from(f, true), 0);
	move(f, 10, 0);
	expect_mouse(f, "\x08\x14");
	assert_int_equal(from(f, true), 0);
}

static void mouse_answers_that_nobody_reads_are_bounded(void **state)
{
	struct fixture *f = *state;
	set_mode(f, 0x47);
	for (int i = 0; i < 1000; i++) {
		to_mouse(f, 0xe9);
		data(f, 0xf2);
	}
	unsigned n = 0;
	while (status(f) & 1) {
		port_in(f->bus, 0x60);
		n++;
	}
	assert_in_range(n, 1, 200);
}

static void i8042_reset_is_power_on(void **state)
{
	struct fixture *f = *state;
	struct device *device = i8042_device(f->controller);
	enable_mouse(f);
	move(f, 3, 3);
	tap(f, KEY_A);
	command(f, 0xd4);
	device->ops->reset(device);
	expect_nothing(f);
	assert_int_equal(ask(f, 0x20), 0x65);
	assert_int_equal(f->mouse->ops->active(f->mouse), 0);
	assert_int_equal(f->keyboard->ops->active(f->keyboard), INPUT_KEYBOARD);
	tap(f, KEY_A);
	expect_keys(f, "\x1e\x9e");
}

/* What a UI thread does while a vCPU reads: for the thread sanitizer, and whole packets. */
static void *user_thread(void *opaque)
{
	struct fixture *f = opaque;
	for (int i = 0; i < 2000; i++) {
		f->mouse->ops->relative(f->mouse, 1, 0);
		(void)f->mouse->ops->sync(f->mouse);
		(void)f->keyboard->ops->key(f->keyboard, KEY_RIGHTCTRL, i % 2 == 0);
	}
	return NULL;
}

static void i8042_user_and_guest_at_once_keep_sequences_whole(void **state)
{
	struct fixture *f = *state;
	pthread_t user;
	int moved = 0, position = 0, prefixes = 0;
	enable_mouse(f);
	assert_int_equal(pthread_create(&user, NULL, user_thread, f), 0);
	for (bool ended = false;;) {
		uint8_t now = status(f);
		if (!(now & 1)) {
			if (ended)
				break;
			ended = pthread_tryjoin_np(user, NULL) == 0;
			continue;
		}
		uint8_t byte = port_in(f->bus, 0x60);
		if (!(now & 0x20)) {
			assert_int_equal(prefixes % 2 == 0, byte == 0xe0);
			prefixes++;
			continue;
		}
		if (position == 0)
			assert_int_equal(byte, 0x08);
		if (position == 1)
			moved += byte;
		position = (position + 1) % 3;
	}
	assert_int_equal(moved, 2000);
	assert_int_equal(position, 0);
	assert_int_equal(prefixes % 2, 0);
}

static void port92_resets_on_a_rising_bit(void **state)
{
	struct fixture *f = *state;
	struct device *port;
	const struct port92_config config = { f->bus, request_reset, f };
	assert_int_equal(port92_create(&config, &port, NULL), 0);
	assert_int_equal(port_in(f->bus, 0x92), 0x02);
	port_out(f->bus, 0x92, 0x00);
	assert_int_equal(port_in(f->bus, 0x92), 0x00);
	assert_int_equal(f->resets, 0);
	port_out(f->bus, 0x92, 0x03);
	port_out(f->bus, 0x92, 0x01);
	assert_int_equal(f->resets, 1);
	port->ops->reset(port);
	assert_int_equal(port_in(f->bus, 0x92), 0x02);
	port->ops->destroy(port);
	assert_int_equal(port_in(f->bus, 0x92), 0xff);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(i8042_linux_probe_finds_both_ports_and_no_mux),
		TEST(i8042_linux_atkbd_probe_is_answered),
		TEST(i8042_linux_psmouse_probe_finds_explorer),
		TEST(i8042_second_controller_on_the_ports_is_refused),
		TEST(i8042_all_reset_pulses_reset),
		TEST(i8042_output_port_keeps_a20_and_shows_the_buffer),
		TEST(i8042_ram_is_kept),
		TEST(i8042_command_cancels_a_pending_argument),
		TEST(i8042_disabled_keyboard_line_holds_bytes),
		TEST(i8042_answer_overtakes_a_key_that_is_kept),
		TEST(i8042_each_byte_has_its_edge),
		TEST(i8042_masked_interrupt_comes_when_enabled),
		TEST(i8042_answer_goes_before_the_second_half_of_a_scancode),
		TEST(i8042_key_that_was_not_read_comes_after_the_command),
		TEST(i8042_bytes_that_answers_push_aside_all_come),
		TEST(i8042_reset_is_power_on),
		TEST(i8042_user_and_guest_at_once_keep_sequences_whole),
		TEST(keyboard_reset_passes_its_test),
		TEST(keyboard_echo_resend_and_unknown),
		TEST(keyboard_scancode_sets_are_chosen_and_told),
		TEST(keyboard_translation_gives_set_1),
		TEST(keyboard_set_2_is_as_the_book_has_it),
		TEST(keyboard_print_and_pause_follow_the_modifiers),
		TEST(keyboard_unknown_key_is_told),
		TEST(keyboard_full_queue_takes_whole_codes_only),
		TEST(keyboard_repeats_as_programmed),
		TEST(keyboard_release_after_reset_is_swallowed),
		TEST(keyboard_commands_leave_no_key_stuck),
		TEST(keyboard_rests_when_all_is_read),
		TEST(keyboard_quick_fingers_never_wait),
		TEST(keyboard_flood_is_no_faster_than_the_wire),
		TEST(keyboard_repeats_no_key_whose_release_may_wait),
		TEST(i8042_tells_when_the_guest_has_read_all),
		TEST(keyboard_answers_each_command_as_the_book_has_it),
		TEST(mouse_answers_each_command_as_the_book_has_it),
		TEST(i8042_answers_each_command_as_the_book_has_it),
		TEST(mouse_long_strokes_are_split),
		TEST(mouse_motion_waits_for_sync),
		TEST(mouse_slow_guest_gets_one_stroke_and_every_click),
		TEST(mouse_button_comes_where_the_motion_ends),
		TEST(mouse_long_way_back_is_gone_in_full),
		TEST(mouse_clicks_without_end_are_held_back),
		TEST(mouse_intellimouse_wheel),
		TEST(mouse_explorer_buttons_and_both_wheels),
		TEST(mouse_standard_has_no_wheel),
		TEST(mouse_off_reports_nothing_and_keeps_no_past),
		TEST(mouse_remote_mode_answers_when_asked),
		TEST(mouse_wrap_mode_echoes_until_told),
		TEST(mouse_bad_arguments_are_refused),
		TEST(mouse_scaling_doubles_strokes),
		TEST(mouse_answers_that_nobody_reads_are_bounded),
		TEST(port92_resets_on_a_rising_bit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
