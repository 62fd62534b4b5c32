/* The VMware pointer, driven as Linux's psmouse (vmmouse.c) and X.Org's driver do: through the
 * backdoor's registers, woken by the PS/2 mouse's packets. */
#include "cmocka_all.h"

#include <errno.h>
#include <linux/input-event-codes.h>
#include <stdlib.h>
#include <string.h>

#include "devices/i8042.h"
#include "devices/vmmouse.h"
#include "fake_irq.h"
#include "port_io.h"

#define MAGIC    0x564d5868u
#define ON       0x45414552u
#define OFF      0x000000f5u
#define RELATIVE 0x4c455252u
#define ABSOLUTE 0x53424152u

enum {
	GETVERSION = 10,
	DATA = 39,
	STATUS = 40,
	COMMAND = 41
};
enum {
	LEFT = 0x20,
	RIGHT = 0x10,
	MIDDLE = 0x08,
	IS_RELATIVE = 0x10000
};

struct fixture {
	struct bus *bus;
	struct timer_queue *timers;
	struct fake_irq keyboard_irq, mouse_irq;
	struct i8042 *controller;
	struct vmmouse *vmmouse;
	struct input_sink *sink;
	struct guest_register_access access;
	struct guest_registers registers;
	int get_error;
	unsigned sets, ready;
};

static int get_registers(void *opaque, struct guest_registers *registers)
{
	struct fixture *f = opaque;

	*registers = f->registers;
	return f->get_error;
}

static int set_registers(void *opaque, const struct guest_registers *registers)
{
	struct fixture *f = opaque;

	f->registers = *registers;
	f->sets++;
	return 0;
}

static void no_reset(void *opaque)
{
	(void)opaque;
}

static void ready(void *opaque)
{
	((struct fixture *)opaque)->ready++;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const struct input_sink_listener listener = { .ready = ready, .opaque = f };

	f->bus = bus_create("ports", 0x10000);
	f->timers = timer_queue_create_manual();
	const struct i8042_config controller = { f->bus, fake_irq_line(&f->keyboard_irq),
		fake_irq_line(&f->mouse_irq), f->timers, no_reset, NULL };
	assert_int_equal(i8042_create(&controller, &f->controller, NULL), 0);
	f->access = (struct guest_register_access){ get_registers, set_registers, f };
	const struct vmmouse_config config = { f->bus, &f->access, i8042_mouse_sink(f->controller),
		i8042_announce, f->controller };
	assert_int_equal(vmmouse_create(&config, &f->vmmouse, NULL), 0);
	f->sink = vmmouse_sink(f->vmmouse);
	f->sink->ops->set_listener(f->sink, &listener);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	vmmouse_device(f->vmmouse)->ops->destroy(vmmouse_device(f->vmmouse));
	i8042_device(f->controller)->ops->destroy(i8042_device(f->controller));
	timer_queue_destroy(f->timers);
	bus_destroy(f->bus);
	free(f);
	return 0;
}

/* IN EAX, DX. Registers hold rubbish above. */
static uint32_t backdoor(struct fixture *f, uint32_t command, uint32_t argument)
{
	unsigned sets = f->sets;
	uint32_t eax = 0;

	f->registers = (struct guest_registers){ UINT64_C(0xaaaaaaaa00000000) | MAGIC,
		UINT64_C(0xbbbbbbbb00000000) | argument, UINT64_C(0xcccccccc00000000) | command,
		0xdddddddddddd5658, 0x5151515151515151, 0xd1d1d1d1d1d1d1d1 };
	assert_true(bus_read(f->bus, VMMOUSE_PORT, &eax, 4));
	/* KVM may or may not write EAX after the registers that were set. */
	if (f->sets != sets)
		assert_int_equal(f->registers.rax, eax);
	return eax;
}

static uint32_t status(struct fixture *f)
{
	return backdoor(f, STATUS, 0);
}

/* As Linux's vmmouse_enable. */
static void switch_on(struct fixture *f, uint32_t mode)
{
	backdoor(f, COMMAND, ON);
	assert_int_equal(status(f), 1);
	assert_int_equal(backdoor(f, DATA, 1), 0x3442554a);
	assert_int_equal(status(f), 0);
	backdoor(f, COMMAND, mode);
}

static void to_mouse(struct fixture *f, uint8_t byte)
{
	port_out(f->bus, 0x64, 0xd4);
	port_out(f->bus, 0x60, byte);
	assert_int_equal(port_in(f->bus, 0x64) & 0x21, 0x21);
	assert_int_equal(port_in(f->bus, 0x60), 0xfa);
}

/* psmouse_activate */
static void stream(struct fixture *f)
{
	port_out(f->bus, 0x64, 0x60);
	port_out(f->bus, 0x60, 0x47);
	to_mouse(f, 0xf4);
}

static bool packet_waits(struct fixture *f)
{
	return port_in(f->bus, 0x64) & 1;
}

/* An empty packet of three bytes, as psmouse_process_byte wants it. */
static void expect_packet(struct fixture *f)
{
	assert_true(f->mouse_irq.level);
	assert_int_equal(port_in(f->bus, 0x64) & 0x21, 0x21);
	assert_int_equal(port_in(f->bus, 0x60), 0x08);
	assert_int_equal(port_in(f->bus, 0x60), 0);
	assert_int_equal(port_in(f->bus, 0x60), 0);
}

static void expect_record(
	struct fixture *f, uint32_t buttons, uint32_t x, uint32_t y, uint32_t wheel)
{
	assert_int_equal(status(f) % 4, 0);
	assert_true(status(f) >= 4);
	assert_int_equal(backdoor(f, DATA, 4), buttons);
	assert_int_equal(f->registers.rbx, x);
	assert_int_equal(f->registers.rcx, y);
	assert_int_equal(f->registers.rdx, wheel);
	assert_int_equal(f->registers.rsi, 0x5151515151515151);
	assert_int_equal(f->registers.rdi, 0xd1d1d1d1d1d1d1d1);
}

/* A picture of 64 pixels: coordinate x * 400h + 1FFh. */
static int move(struct fixture *f, unsigned x, unsigned y)
{
	f->sink->ops->absolute(f->sink, x, y, 64, 64);
	return f->sink->ops->sync(f->sink);
}

#define AT(pixel) ((pixel)*0x400u + 0x1ffu)

static int press(struct fixture *f, unsigned code, bool down)
{
	f->sink->ops->button(f->sink, code, down);
	return f->sink->ops->sync(f->sink);
}

static void vmmouse_version_answers_the_magic(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(backdoor(f, GETVERSION, ~MAGIC), 6);
	assert_int_equal(f->registers.rbx, MAGIC);
	assert_int_equal(f->registers.rdx, 0xdddddddddddd5658);
}

static void vmmouse_other_accesses_do_nothing(void **state)
{
	struct fixture *f = *state;
	const uint32_t value = MAGIC;
	uint64_t got = 0;

	f->registers = (struct guest_registers){ .rax = MAGIC, .rbx = ON, .rcx = COMMAND };
	for (unsigned width = 1; width <= 2; width++) {
		for (unsigned offset = 0; offset < 4; offset++) {
			got = 0;
			bus_read(f->bus, VMMOUSE_PORT + offset, &got, width);
			assert_int_equal(got, width == 1 ? 0xff : 0xffff);
		}
	}
	bus_write(f->bus, VMMOUSE_PORT, &value, 4);
	got = 0;
	bus_read(f->bus, VMMOUSE_PORT + 1, &got, 4);
	assert_int_equal(got, 0xffffffff);
	assert_int_equal(f->sets, 0);
	assert_int_equal(status(f), 0xffff0000); /* still off */
	/* Not the magic; a command that there is not; no registers to be had. */
	f->registers.rax = MAGIC + 1;
	got = 0;
	bus_read(f->bus, VMMOUSE_PORT, &got, 4);
	assert_int_equal(got, 0xffffffff);
	assert_int_equal(backdoor(f, 86, 1), 0xffffffff);
	f->get_error = -ENXIO;
	assert_int_equal(backdoor(f, COMMAND, ON), 0xffffffff);
	f->get_error = 0;
	assert_int_equal(status(f), 0xffff0000);
	assert_int_equal(f->sets, 0);
}

static void vmmouse_switching_on_tells_the_identity_and_off_the_error(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->sink->ops->active(f->sink), 0);
	switch_on(f, ABSOLUTE);
	assert_int_equal(
		f->sink->ops->active(f->sink), INPUT_POINTER_ABSOLUTE | INPUT_POINTER_RELATIVE);
	assert_int_equal(f->ready, 2);
	backdoor(f, COMMAND, RELATIVE);
	assert_int_equal(f->sink->ops->active(f->sink), INPUT_POINTER_RELATIVE);
	backdoor(f, COMMAND, OFF);
	assert_int_equal(status(f), 0xffff0000);
	assert_int_equal(f->sink->ops->active(f->sink), 0);
	backdoor(f, COMMAND, ABSOLUTE); /* not without switching on */
	assert_int_equal(f->sink->ops->active(f->sink), 0);
	assert_int_equal(status(f), 0xffff0000);
}

static void vmmouse_position_comes_with_a_packet(void **state)
{
	struct fixture *f = *state;

	switch_on(f, ABSOLUTE);
	stream(f);
	assert_false(packet_waits(f));
	assert_int_equal(move(f, 1, 63), 0);
	expect_packet(f);
	expect_record(f, 0, AT(1), AT(63), 0);
	assert_int_equal(status(f), 0);
	assert_false(packet_waits(f));
	/* The same place again is no news. */
	assert_int_equal(move(f, 1, 63), 0);
	assert_false(packet_waits(f));
	assert_int_equal(status(f), 0);
}

static void vmmouse_each_record_has_its_packet(void **state)
{
	struct fixture *f = *state;

	switch_on(f, ABSOLUTE);
	stream(f);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(move(f, i, 0), 0);
	assert_int_equal(status(f), 20);
	/* A driver that fetches one at a time. */
	for (unsigned i = 0; i < 5; i++) {
		expect_packet(f);
		expect_record(f, 0, AT(i), AT(0), 0);
	}
	assert_false(packet_waits(f));
	/* One that fetches them all, as Linux: at most one packet more. */
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(move(f, 10 + i, 0), 0);
	expect_packet(f);
	for (unsigned i = 0; i < 5; i++)
		expect_record(f, 0, AT(10 + i), AT(0), 0);
	expect_packet(f);
	assert_false(packet_waits(f));
	assert_int_equal(move(f, 0, 0), 0);
	expect_packet(f);
	expect_record(f, 0, AT(0), AT(0), 0);
	assert_false(packet_waits(f));
}

static void vmmouse_record_before_streaming_is_announced_then(void **state)
{
	struct fixture *f = *state;

	switch_on(f, ABSOLUTE);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(move(f, i % 64, 2), 0);
	assert_int_equal(press(f, BTN_LEFT, true), 0);
	f->sink->ops->wheel(f->sink, 1200, 0);
	assert_int_equal(f->sink->ops->sync(f->sink), 0);
	/* Only how things are now. */
	assert_int_equal(status(f), 4);
	stream(f);
	expect_packet(f);
	expect_record(f, LEFT, AT(35), AT(2), 0);
	assert_false(packet_waits(f));
}

static void vmmouse_packet_lost_to_a_mouse_reset_comes_again(void **state)
{
	struct fixture *f = *state;

	switch_on(f, ABSOLUTE);
	stream(f);
	assert_int_equal(move(f, 7, 7), 0);
	port_out(f->bus, 0x64, 0xd4);
	port_out(f->bus, 0x60, 0xff); /* reset: the packet is gone, and reports are off */
	while (packet_waits(f))
		port_in(f->bus, 0x60);
	assert_int_equal(status(f), 4); /* but not what it announced */
	stream(f);
	expect_packet(f);
	expect_record(f, 0, AT(7), AT(7), 0);
}

static void vmmouse_buttons_and_wheel_are_in_the_record(void **state)
{
	struct fixture *f = *state;

	switch_on(f, ABSOLUTE);
	stream(f);
	assert_int_equal(move(f, 5, 6), 0);
	expect_record(f, 0, AT(5), AT(6), 0);
	assert_int_equal(press(f, BTN_LEFT, true), 0);
	assert_int_equal(press(f, BTN_RIGHT, true), 0);
	assert_int_equal(press(f, BTN_MIDDLE, true), 0);
	assert_int_equal(press(f, BTN_LEFT, false), 0);
	expect_record(f, LEFT, AT(5), AT(6), 0);
	expect_record(f, LEFT | RIGHT, AT(5), AT(6), 0);
	expect_record(f, LEFT | RIGHT | MIDDLE, AT(5), AT(6), 0);
	expect_record(f, RIGHT | MIDDLE, AT(5), AT(6), 0);
	/* Up is negative; parts of a step gather, and turning back forgets them. */
	f->sink->ops->wheel(f->sink, 60, 0);
	assert_int_equal(f->sink->ops->sync(f->sink), 0);
	assert_int_equal(status(f), 0);
	f->sink->ops->wheel(f->sink, 60, 0);
	assert_int_equal(f->sink->ops->sync(f->sink), 0);
	expect_record(f, RIGHT | MIDDLE, AT(5), AT(6), 0xff);
	f->sink->ops->wheel(f->sink, 119, 0);
	assert_int_equal(f->sink->ops->sync(f->sink), 0);
	f->sink->ops->wheel(f->sink, -240, 0);
	assert_int_equal(f->sink->ops->sync(f->sink), 0);
	expect_record(f, RIGHT | MIDDLE, AT(5), AT(6), 2);
	/* More than a record holds. */
	f->sink->ops->wheel(f->sink, 130 * 120, 0);
	assert_int_equal(f->sink->ops->sync(f->sink), 0);
	expect_record(f, RIGHT | MIDDLE, AT(5), AT(6), 0x81);
	expect_record(f, RIGHT | MIDDLE, AT(5), AT(6), 0xfd);
	assert_int_equal(status(f), 0);
}

static void vmmouse_button_without_a_position_moves_nothing(void **state)
{
	struct fixture *f = *state;

	switch_on(f, ABSOLUTE);
	stream(f);
	assert_int_equal(press(f, BTN_LEFT, true), 0);
	expect_record(f, LEFT | IS_RELATIVE, 0, 0, 0);
	assert_int_equal(move(f, 1, 1), 0);
	expect_record(f, LEFT, AT(1), AT(1), 0);
	/* After relative motion nobody knows where it is. */
	f->sink->ops->relative(f->sink, 3, -4);
	assert_int_equal(f->sink->ops->sync(f->sink), 0);
	expect_record(f, LEFT | IS_RELATIVE, 3, 4, 0);
	assert_int_equal(press(f, BTN_LEFT, false), 0);
	expect_record(f, IS_RELATIVE, 0, 0, 0);
	assert_int_equal(move(f, 1, 1), 0); /* the same as before, but not for the guest */
	expect_record(f, 0, AT(1), AT(1), 0);
}

static void vmmouse_relative_mode_knows_no_place(void **state)
{
	struct fixture *f = *state;

	switch_on(f, RELATIVE);
	stream(f);
	assert_int_equal(move(f, 9, 9), 0);
	assert_int_equal(status(f), 0);
	f->sink->ops->relative(f->sink, -5, 6);
	assert_int_equal(f->sink->ops->sync(f->sink), 0);
	expect_record(f, IS_RELATIVE, (uint32_t)-5, (uint32_t)-6, 0);
}

static void vmmouse_full_queue_merges_motion_and_delays_buttons(void **state)
{
	struct fixture *f = *state;
	unsigned records;

	switch_on(f, ABSOLUTE);
	stream(f);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(move(f, i % 64, i / 64), 0);
	records = status(f) / 4;
	assert_int_equal(records, 32);
	/* The last place is where the button goes down: one record. */
	assert_int_equal(press(f, BTN_LEFT, true), 0);
	assert_int_equal(status(f) / 4, records);
	/* That one must not move any more. */
	assert_int_equal(move(f, 3, 3), -EAGAIN);
	assert_int_equal(press(f, BTN_LEFT, false), -EAGAIN);
	f->ready = 0;
	for (unsigned i = 0; i < records - 1; i++)
		expect_record(f, 0, AT(i), AT(0), 0);
	assert_int_equal(f->ready, 1);
	assert_int_equal(f->sink->ops->sync(f->sink), 0);
	expect_record(f, LEFT, AT(999 % 64), AT(999 / 64), 0);
	expect_record(f, 0, AT(3), AT(3), 0);
	assert_int_equal(status(f), 0);
}

static void vmmouse_tells_when_the_guest_has_read_all(void **state)
{
	struct fixture *f = *state;

	switch_on(f, ABSOLUTE);
	stream(f);
	f->ready = 0;
	assert_true(f->sink->ops->drained(f->sink));
	assert_int_equal(move(f, 1, 1), 0);
	assert_int_equal(move(f, 2, 2), 0);
	assert_false(f->sink->ops->drained(f->sink));
	expect_packet(f);
	expect_record(f, 0, AT(1), AT(1), 0);
	assert_int_equal(f->ready, 0);
	expect_packet(f);
	assert_false(f->sink->ops->drained(f->sink));
	expect_record(f, 0, AT(2), AT(2), 0);
	assert_int_equal(f->ready, 1);
	assert_true(f->sink->ops->drained(f->sink));
}

static void vmmouse_full_queue_adds_relative_motion(void **state)
{
	struct fixture *f = *state;
	int x = 0, y = 0;

	switch_on(f, RELATIVE);
	stream(f);
	for (int i = 0; i < 1000; i++) {
		f->sink->ops->relative(f->sink, i, -1);
		assert_int_equal(f->sink->ops->sync(f->sink), 0);
	}
	while (status(f)) {
		assert_int_equal(backdoor(f, DATA, 4), IS_RELATIVE);
		x += (int)f->registers.rbx;
		y += (int)f->registers.rcx;
	}
	assert_int_equal(x, 999 * 500);
	assert_int_equal(y, 1000);
}

static void vmmouse_data_out_of_step_switches_off(void **state)
{
	struct fixture *f = *state;
	static const uint32_t wrong[] = { 0, 5, 7, 0xffffffff };

	for (unsigned i = 0; i < array_size(wrong); i++) {
		switch_on(f, ABSOLUTE);
		assert_int_equal(move(f, i, 0), 0);
		assert_int_equal(backdoor(f, DATA, wrong[i]), 0xffffffff);
		assert_int_equal(status(f), 0xffff0000);
		assert_int_equal(f->sink->ops->active(f->sink), 0);
	}
}

static void vmmouse_six_dwords_fill_six_registers(void **state)
{
	struct fixture *f = *state;

	switch_on(f, ABSOLUTE);
	stream(f);
	assert_int_equal(move(f, 1, 2), 0);
	assert_int_equal(move(f, 3, 4), 0);
	assert_int_equal(backdoor(f, DATA, 6), 0);
	assert_int_equal(f->registers.rsi, 0);
	assert_int_equal(f->registers.rdi, AT(3));
	assert_int_equal(status(f), 2);
}

static void vmmouse_side_buttons_and_sideways_wheel_are_the_ps2_mouses(void **state)
{
	struct fixture *f = *state;

	switch_on(f, ABSOLUTE);
	stream(f);
	for (unsigned i = 0; i < 3; i++) { /* the knock of the IntelliMouse Explorer */
		static const uint8_t rates[] = { 200, 200, 80 };

		to_mouse(f, 0xf3);
		to_mouse(f, rates[i]);
	}
	assert_int_equal(press(f, BTN_SIDE, true), 0);
	assert_int_equal(status(f), 0);
	assert_false(f->sink->ops->drained(f->sink));
	assert_int_equal(port_in(f->bus, 0x60), 0x08);
	port_in(f->bus, 0x60);
	port_in(f->bus, 0x60);
	assert_int_equal(port_in(f->bus, 0x60), 0x10);
	assert_true(f->sink->ops->drained(f->sink));
	f->sink->ops->wheel(f->sink, 0, 120);
	assert_int_equal(f->sink->ops->sync(f->sink), 0);
	for (unsigned i = 0; i < 3; i++)
		port_in(f->bus, 0x60);
	assert_int_equal(port_in(f->bus, 0x60), 0x7f);
	assert_false(packet_waits(f));
}

static void vmmouse_reset_switches_off_and_releases(void **state)
{
	struct fixture *f = *state;

	switch_on(f, ABSOLUTE);
	stream(f);
	assert_int_equal(press(f, BTN_LEFT, true), 0);
	vmmouse_device(f->vmmouse)->ops->reset(vmmouse_device(f->vmmouse));
	assert_int_equal(status(f), 0xffff0000);
	assert_int_equal(f->sink->ops->active(f->sink), 0);
	switch_on(f, ABSOLUTE);
	assert_int_equal(move(f, 1, 1), 0);
	expect_record(f, 0, AT(1), AT(1), 0);
}

/* Linux gives evdev clients the value as it is, axis 0..FFFFh. libinput (evdev_device_transform)
 * and X's server (rescaleValuatorAxis) both map by value * size / (max - min + 1), in doubles, and
 * cut off; X.Org's libinput driver maps twice, to FFFFh of X's own axis first. Some round. */
static void vmmouse_coordinate_lands_on_the_pixel_at_every_size(void **state)
{
	(void)state;
	for (unsigned size = 1; size <= 3840; size++) {
		for (unsigned at = 0; at < size; at++) {
			const double value = vmmouse_coordinate(at, size);
			const double libinput = value * size / 65536;
			const double x_libinput = value * 65535 / 65536 * size / 65536;
			const double last = value * (size - 1) / 65535;

			if ((unsigned)libinput != at || (unsigned)(libinput + 0.5) != at ||
				(unsigned)x_libinput != at || (unsigned)(last + 0.5) != at)
				fail_msg("pixel %u of %u: %.0f", at, size, value);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
		TEST(vmmouse_version_answers_the_magic),
		TEST(vmmouse_other_accesses_do_nothing),
		TEST(vmmouse_switching_on_tells_the_identity_and_off_the_error),
		TEST(vmmouse_position_comes_with_a_packet),
		TEST(vmmouse_each_record_has_its_packet),
		TEST(vmmouse_record_before_streaming_is_announced_then),
		TEST(vmmouse_packet_lost_to_a_mouse_reset_comes_again),
		TEST(vmmouse_buttons_and_wheel_are_in_the_record),
		TEST(vmmouse_button_without_a_position_moves_nothing),
		TEST(vmmouse_relative_mode_knows_no_place),
		TEST(vmmouse_full_queue_merges_motion_and_delays_buttons),
		TEST(vmmouse_full_queue_adds_relative_motion),
		TEST(vmmouse_tells_when_the_guest_has_read_all),
		TEST(vmmouse_data_out_of_step_switches_off),
		TEST(vmmouse_six_dwords_fill_six_registers),
		TEST(vmmouse_side_buttons_and_sideways_wheel_are_the_ps2_mouses),
		TEST(vmmouse_reset_switches_off_and_releases),
		cmocka_unit_test(vmmouse_coordinate_lands_on_the_pixel_at_every_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
