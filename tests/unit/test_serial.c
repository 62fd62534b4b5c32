/* The 16550A: registers, FIFOs, interrupts, back-pressure, and what Linux's 8250 driver looks for.
 */
#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "core/irq_or.h"
#include "devices/serial.h"
#include "fake_irq.h"
#include "port_io.h"

#define BASE 0x3f8

enum {
	DATA,
	IER,
	IIR,
	LCR,
	MCR,
	LSR,
	MSR,
	SCR
};

struct fixture {
	struct bus *bus;
	struct timer_queue *timers;
	struct fake_irq irq;
	struct serial *serial;
	const struct char_device *end;

	uint8_t sent[4096];
	size_t sent_count, room;
	unsigned resumes;
};

static size_t host_write(void *opaque, const uint8_t *data, size_t length)
{
	struct fixture *f = opaque;
	size_t n = length < f->room ? length : f->room;
	memcpy(f->sent + f->sent_count, data, n);
	f->sent_count += n;
	f->room -= n;
	return n;
}

static void host_resume(void *opaque)
{
	struct fixture *f = opaque;
	f->resumes++;
}

static uint8_t in(struct fixture *f, unsigned reg)
{
	return port_in(f->bus, (uint16_t)(BASE + reg));
}

static void out(struct fixture *f, unsigned reg, uint8_t value)
{
	port_out(f->bus, (uint16_t)(BASE + reg), value);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	f->bus = bus_create("ports", 0x10000);
	f->timers = timer_queue_create_manual();
	f->room = sizeof(f->sent);
	struct serial_config config = {
		.ports = f->bus,
		.port = BASE,
		.name = "COM1",
		.irq = fake_irq_line(&f->irq),
		.timers = f->timers,
	};
	assert_int_equal(serial_create(&config, &f->serial, NULL), 0);
	const struct char_host host = { host_write, host_resume, f };
	serial_set_host(f->serial, &host);
	f->end = serial_char_device(f->serial);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct device *device = serial_device(f->serial);
	device->ops->destroy(device);
	timer_queue_destroy(f->timers);
	bus_destroy(f->bus);
	free(f);
	return 0;
}

static size_t receive(struct fixture *f, const char *text)
{
	return f->end->receive(f->end->opaque, (const uint8_t *)text, strlen(text));
}

static void serial_create_on_a_taken_port_is_refused(void **state)
{
	struct fixture *f = *state;
	struct serial *second = NULL;
	struct error err = { "" };
	struct serial_config config = {
		.ports = f->bus, .port = BASE + 4, .name = "COM9", .timers = f->timers
	};
	assert_true(serial_create(&config, &second, &err) < 0);
	assert_null(second);
	assert_non_null(strstr(err.text, "COM1"));
}

/* What Linux's autoconfig does, in its order, up to the conclusion "16550A". */
static void serial_linux_autoconfig_finds_16550a(void **state)
{
	struct fixture *f = *state;
	out(f, IER, 0);
	assert_int_equal(in(f, IER) & 0x0f, 0);
	out(f, IER, 0x0f);
	assert_int_equal(in(f, IER), 0x0f);
	out(f, IER, 0);
	out(f, MCR, 0x10 | 0x08 | 0x02);
	assert_int_equal(in(f, MSR) & 0xf0, 0x90);
	out(f, MCR, 0);
	out(f, LCR, 0xbf);
	out(f, IIR, 0);
	out(f, LCR, 0);
	out(f, IIR, 1);
	assert_int_equal(in(f, IIR) >> 6, 3);
	out(f, LCR, 0x80); /* no enhanced features register: not a 16650 */
	assert_int_not_equal(in(f, IIR), 0);
	out(f, LCR, 0xbf);
	assert_int_not_equal(in(f, IIR), 0);
	out(f, IIR, 0x21); /* no 64-byte FIFO: not a 16750 */
	assert_int_equal(in(f, IIR) & 0x20, 0);
	out(f, LCR, 0);
	out(f, IER, 0x40); /* no UART unit enable: not an XScale */
	assert_int_equal(in(f, IER) & 0x40, 0);
	out(f, SCR, 0xa5);
	assert_int_equal(in(f, SCR), 0xa5);
}

/* Linux's serial8250_do_startup: neither the TXEN nor the THRE bug may be seen. */
static void serial_linux_startup_sees_no_bugs(void **state)
{
	struct fixture *f = *state;
	out(f, IIR, 1);
	out(f, IIR, 7);
	out(f, IIR, 0);
	out(f, IER, 0x02);
	assert_int_equal(in(f, IIR) & 1, 0);
	out(f, IER, 0);
	out(f, IER, 0x02);
	assert_int_equal(in(f, IIR) & 1, 0);
	out(f, IER, 0);
	out(f, IER, 0x02);
	assert_int_equal(in(f, LSR) & 0x60, 0x60);
	assert_int_equal(in(f, IIR) & 1, 0);
	assert_int_equal(in(f, IIR) & 1, 1); /* taken by the read before */
}

static void serial_divisor_latch_is_separate(void **state)
{
	struct fixture *f = *state;
	out(f, LCR, 0x83);
	out(f, DATA, 0x0c);
	out(f, IER, 0x01);
	assert_int_equal(in(f, DATA), 0x0c);
	assert_int_equal(in(f, IER), 0x01);
	out(f, LCR, 0x03);
	assert_int_equal(in(f, IER), 0);
	assert_int_equal(f->sent_count, 0);
}

static void serial_transmit_reaches_the_host_in_order(void **state)
{
	struct fixture *f = *state;
	for (const char *c = "hello\n"; *c; c++) {
		assert_int_equal(in(f, LSR) & 0x20, 0x20);
		out(f, DATA, (uint8_t)*c);
	}
	assert_int_equal(f->sent_count, 6);
	assert_memory_equal(f->sent, "hello\n", 6);
}

static void serial_transmit_without_host_is_discarded(void **state)
{
	struct fixture *f = *state;
	serial_set_host(f->serial, NULL);
	for (int i = 0; i < 100; i++)
		out(f, DATA, 'x');
	assert_int_equal(in(f, LSR) & 0x60, 0x60);
	assert_int_equal(f->sent_count, 0);
}

/* A guest that writes 16 bytes whenever THRE says so loses none, however slow the host side is. */
static void serial_slow_host_loses_no_byte(void **state)
{
	struct fixture *f = *state;
	uint8_t next = 0;
	out(f, IIR, 0xc7);
	out(f, MCR, 0x08);
	out(f, IER, 0x02);
	f->room = 0;
	for (int round = 0; round < 200; round++) {
		if (in(f, LSR) & 0x20) {
			for (int i = 0; i < 16; i++)
				out(f, DATA, next++);
		}
		f->room = (size_t)(round * 7 % 13);
		f->end->writable(f->end->opaque);
	}
	f->room = 100;
	f->end->writable(f->end->opaque);
	assert_true(f->sent_count > 1000);
	for (size_t i = 0; i < f->sent_count; i++)
		assert_int_equal(f->sent[i], (uint8_t)i);
	assert_int_equal(f->sent[f->sent_count - 1], (uint8_t)(next - 1));
}

static void serial_host_with_room_again_raises_thre(void **state)
{
	struct fixture *f = *state;
	out(f, MCR, 0x08);
	out(f, IER, 0x02);
	in(f, IIR);
	f->room = 0;
	out(f, DATA, 'a');
	assert_int_equal(in(f, LSR) & 0x60, 0);
	assert_false(f->irq.level);
	f->room = 10;
	f->end->writable(f->end->opaque);
	assert_true(f->irq.level);
	assert_int_equal(in(f, LSR) & 0x60, 0x60);
	assert_int_equal(in(f, IIR), 0x02);
	assert_false(f->irq.level);
}

/* One edge for a burst that follows a read of IIR; one for each byte of a guest that never reads
 * it. */
static void serial_thre_edges_follow_the_driver(void **state)
{
	struct fixture *f = *state;
	out(f, IIR, 0xc7);
	out(f, MCR, 0x08);
	out(f, IER, 0x02);
	in(f, IIR);
	unsigned before = f->irq.edges;
	for (int i = 0; i < 16; i++)
		out(f, DATA, 'x');
	assert_int_equal(f->irq.edges, before + 1);
	out(f, DATA, 'x');
	out(f, DATA, 'x');
	assert_int_equal(f->irq.edges, before + 3);
}

static void serial_without_out2_drives_no_interrupt(void **state)
{
	struct fixture *f = *state;
	out(f, IER, 0x03);
	receive(f, "a");
	assert_false(f->irq.level);
	out(f, MCR, 0x08);
	assert_true(f->irq.level);
	out(f, MCR, 0x00);
	assert_false(f->irq.level);
}

static void serial_receive_without_fifo_takes_one_byte(void **state)
{
	struct fixture *f = *state;
	out(f, MCR, 0x08);
	out(f, IER, 0x01);
	assert_int_equal(receive(f, "abc"), 1);
	assert_true(f->irq.level);
	assert_int_equal(in(f, IIR), 0x04);
	assert_int_equal(f->resumes, 0);
	assert_int_equal(in(f, DATA), 'a');
	assert_false(f->irq.level);
	assert_int_equal(f->resumes, 1);
	assert_int_equal(receive(f, "bc"), 1);
	assert_int_equal(in(f, LSR) & 0x03, 0x01); /* ready, no overrun */
}

static void serial_receive_full_fifo_holds_the_host_back(void **state)
{
	struct fixture *f = *state;
	out(f, IIR, 0x81);
	assert_int_equal(receive(f, "0123456789abcdefghij"), 16);
	assert_int_equal(receive(f, "ghij"), 0);
	for (int i = 0; i < 16; i++) {
		assert_int_equal(f->resumes, 0);
		assert_int_equal(in(f, DATA), "0123456789abcdef"[i]);
	}
	assert_int_equal(f->resumes, 1);
	assert_int_equal(receive(f, "ghij"), 4);
	assert_int_equal(in(f, LSR), 0x61);
}

static void serial_below_trigger_times_out(void **state)
{
	struct fixture *f = *state;
	out(f, IIR, 0x81); /* trigger: eight bytes */
	out(f, MCR, 0x08);
	out(f, IER, 0x01);
	receive(f, "abc");
	assert_false(f->irq.level);
	assert_int_equal(in(f, IIR), 0xc1);
	timer_queue_advance(f->timers, 300 * NS_PER_US);
	receive(f, "d"); /* starts the four character times anew */
	timer_queue_advance(f->timers, 300 * NS_PER_US);
	assert_false(f->irq.level);
	timer_queue_advance(f->timers, 100 * NS_PER_US);
	assert_true(f->irq.level);
	assert_int_equal(in(f, IIR), 0xcc);
	assert_int_equal(in(f, DATA), 'a');
	assert_false(f->irq.level); /* until four more have passed with bytes left */
	timer_queue_advance(f->timers, 400 * NS_PER_US);
	assert_int_equal(in(f, IIR), 0xcc);
	in(f, DATA), in(f, DATA), in(f, DATA);
	assert_int_equal(in(f, IIR), 0xc1);
	timer_queue_advance(f->timers, NS_PER_SECOND);
	assert_false(f->irq.level);
	assert_true(timer_queue_idle(f->timers));
}

static void serial_at_trigger_interrupts_at_once(void **state)
{
	struct fixture *f = *state;
	out(f, IIR, 0x81);
	out(f, MCR, 0x08);
	out(f, IER, 0x01);
	receive(f, "12345678");
	assert_int_equal(in(f, IIR), 0xc4);
	assert_true(timer_queue_idle(f->timers));
	in(f, DATA);
	assert_int_equal(in(f, IIR), 0xc1);
}

static void serial_polled_guest_arms_no_timer(void **state)
{
	struct fixture *f = *state;
	out(f, IIR, 0x81);
	receive(f, "abc");
	assert_true(timer_queue_idle(f->timers));
}

static void serial_interrupts_come_by_priority(void **state)
{
	struct fixture *f = *state;
	out(f, MCR, 0x0b);
	out(f, IER, 0x0f);
	receive(f, "x");
	f->end->receive_break(f->end->opaque); /* waits: one byte of room */
	out(f, MCR, 0x1b);                     /* all lines but ring change or stay */
	in(f, MSR);
	out(f, MCR, 0x18); /* CTS and DSR fall */
	out(f, DATA, 'y'); /* into a full receiver: overrun */
	assert_int_equal(in(f, IIR), 0x06);
	assert_int_equal(in(f, LSR) & 0x02, 0x02);
	assert_int_equal(in(f, IIR), 0x04);
	assert_int_equal(in(f, DATA), 'y');
	assert_int_equal(in(f, IIR), 0x02);
	assert_int_equal(in(f, IIR), 0x00);
	assert_int_equal(in(f, MSR), 0x83);
	assert_int_equal(in(f, IIR), 0x01);
	out(f, MCR, 0x0b); /* out of loop-back: the break comes in */
	assert_int_equal(in(f, IIR), 0x06);
	assert_int_equal(in(f, LSR), 0x71);
	assert_int_equal(in(f, DATA), 0);
}

static void serial_break_shows_when_it_is_at_the_head(void **state)
{
	struct fixture *f = *state;
	out(f, IIR, 0xc1);
	receive(f, "a");
	f->end->receive_break(f->end->opaque);
	receive(f, "h");
	assert_int_equal(in(f, LSR), 0xe1); /* an error somewhere in the FIFO */
	assert_int_equal(in(f, DATA), 'a');
	assert_int_equal(in(f, LSR), 0xf1);
	assert_int_equal(in(f, LSR), 0x61);
	assert_int_equal(in(f, DATA), 0);
	assert_int_equal(in(f, DATA), 'h');
	assert_int_equal(in(f, LSR), 0x60);
}

static void serial_break_into_a_full_fifo_is_kept(void **state)
{
	struct fixture *f = *state;
	out(f, IIR, 0x81);
	receive(f, "0123456789abcdef");
	f->end->receive_break(f->end->opaque);
	assert_int_equal(receive(f, "h"), 0); /* not past the break */
	in(f, DATA);
	for (int i = 0; i < 15; i++)
		in(f, DATA);
	assert_int_equal(in(f, LSR) & 0x10, 0x10);
	assert_int_equal(in(f, DATA), 0);
	assert_int_equal(f->resumes, 1);
}

static void serial_loop_back_keeps_bytes_inside(void **state)
{
	struct fixture *f = *state;
	out(f, IIR, 0x01);
	out(f, MCR, 0x10);
	out(f, DATA, 0x5a);
	assert_int_equal(in(f, DATA), 0x5a);
	assert_int_equal(f->sent_count, 0);
	assert_int_equal(receive(f, "outside"), 0);
	out(f, MCR, 0x00);
	assert_int_equal(f->resumes, 1);
	for (int i = 0; i < 17; i++) {
		out(f, MCR, 0x10);
		out(f, DATA, (uint8_t)i);
	}
	assert_int_equal(in(f, LSR) & 0x02, 0x02);
	assert_int_equal(in(f, DATA), 0);
}

static void serial_loop_back_ring_reports_its_trailing_edge(void **state)
{
	struct fixture *f = *state;
	out(f, MCR, 0x14);
	in(f, MSR);
	out(f, MCR, 0x10);
	assert_int_equal(in(f, MSR), 0x04);
	assert_int_equal(in(f, MSR), 0x00);
}

static void serial_fifo_clear_empties(void **state)
{
	struct fixture *f = *state;
	out(f, IIR, 0x01);
	receive(f, "0123456789abcdefgh");
	out(f, IIR, 0x03);
	assert_int_equal(in(f, LSR) & 1, 0);
	assert_int_equal(f->resumes, 1);
	f->room = 0;
	out(f, DATA, 'x');
	assert_int_equal(in(f, LSR) & 0x20, 0);
	out(f, IIR, 0x05);
	assert_int_equal(in(f, LSR) & 0x20, 0x20);
}

static void serial_reset_is_power_on(void **state)
{
	struct fixture *f = *state;
	struct device *device = serial_device(f->serial);
	out(f, IIR, 0x81);
	out(f, MCR, 0x0b);
	out(f, IER, 0x0f);
	receive(f, "0123456789abcdefgh");
	assert_true(f->irq.level);
	device->ops->reset(device);
	assert_false(f->irq.level);
	assert_int_equal(in(f, IER), 0);
	assert_int_equal(in(f, IIR), 0x01);
	assert_int_equal(in(f, LCR), 0);
	assert_int_equal(in(f, MCR), 0);
	assert_int_equal(in(f, LSR), 0x60);
	assert_int_equal(in(f, MSR), 0xb0);
	assert_int_equal(f->resumes, 1);
}

static void serial_two_on_one_line_are_ored(void **state)
{
	struct fixture *f = *state;
	struct fake_irq irq = { 0 };
	struct irq_line output = fake_irq_line(&irq);
	struct irq_or irq_or;
	(void)f;
	irq_or_init(&irq_or, &output);
	struct irq_line first = irq_or_line(&irq_or, 0), second = irq_or_line(&irq_or, 31);
	irq_line_set(&first, true);
	irq_line_set(&second, true);
	irq_line_set(&first, false);
	assert_true(irq.level);
	irq_line_set(&second, false);
	assert_false(irq.level);
	assert_int_equal(irq.edges, 1);
	irq_or_fini(&irq_or);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(serial_create_on_a_taken_port_is_refused),
		TEST(serial_linux_autoconfig_finds_16550a),
		TEST(serial_linux_startup_sees_no_bugs),
		TEST(serial_divisor_latch_is_separate),
		TEST(serial_transmit_reaches_the_host_in_order),
		TEST(serial_transmit_without_host_is_discarded),
		TEST(serial_slow_host_loses_no_byte),
		TEST(serial_host_with_room_again_raises_thre),
		TEST(serial_thre_edges_follow_the_driver),
		TEST(serial_without_out2_drives_no_interrupt),
		TEST(serial_receive_without_fifo_takes_one_byte),
		TEST(serial_receive_full_fifo_holds_the_host_back),
		TEST(serial_below_trigger_times_out),
		TEST(serial_at_trigger_interrupts_at_once),
		TEST(serial_polled_guest_arms_no_timer),
		TEST(serial_interrupts_come_by_priority),
		TEST(serial_break_shows_when_it_is_at_the_head),
		TEST(serial_break_into_a_full_fifo_is_kept),
		TEST(serial_loop_back_keeps_bytes_inside),
		TEST(serial_loop_back_ring_reports_its_trailing_edge),
		TEST(serial_fifo_clear_empties),
		TEST(serial_reset_is_power_on),
		TEST(serial_two_on_one_line_are_ored),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
