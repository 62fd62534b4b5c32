/* The real-time clock, its calendar and CMOS memory. */
#include "cmocka_all.h"

#include <stdlib.h>
#include <time.h>

#include "devices/rtc.h"
#include "devices/rtc_calendar.h"
#include "fake_irq.h"
#include "port_io.h"

/* 2024-02-29 23:59:58 UTC, a Thursday, and a half second. */
#define START_NS (UINT64_C(1709251198) * NS_PER_SECOND + NS_PER_SECOND / 2)

struct fixture {
	struct bus *bus;
	struct timer_queue *timers;
	struct fake_irq irq;
	struct device *rtc;
	uint64_t wall_ns; /* what to add to the manual clock */
};

static uint64_t wall_clock(void *opaque)
{
	const struct fixture *f = opaque;
	return timer_queue_now_ns(f->timers) + f->wall_ns;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	f->bus = bus_create("ports", 0x10000);
	f->timers = timer_queue_create_manual();
	f->wall_ns = START_NS - timer_queue_now_ns(f->timers);
	const struct rtc_config config = {
		.ports = f->bus,
		.irq = fake_irq_line(&f->irq),
		.timers = f->timers,
		.wall_clock_ns = wall_clock,
		.opaque = f,
		.low_ram_bytes = GIB(1),
		.high_ram_bytes = GIB(2),
	};
	assert_int_equal(rtc_create(&config, &f->rtc, NULL), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	f->rtc->ops->destroy(f->rtc);
	timer_queue_destroy(f->timers);
	bus_destroy(f->bus);
	free(f);
	return 0;
}

static uint8_t get(struct fixture *f, uint8_t reg)
{
	port_out(f->bus, 0x70, reg);
	return port_in(f->bus, 0x71);
}

static void set(struct fixture *f, uint8_t reg, uint8_t value)
{
	port_out(f->bus, 0x70, reg);
	port_out(f->bus, 0x71, value);
}

static void advance_ms(struct fixture *f, uint64_t ms)
{
	timer_queue_advance(f->timers, ms * NS_PER_MS);
}

/* century, year, month, day, weekday, hours, minutes, seconds as they stand in the registers */
static void expect_time(struct fixture *f, const uint8_t wanted[8])
{
	static const uint8_t regs[] = { 0x32, 9, 8, 7, 6, 4, 2, 0 };
	for (int i = 0; i < 8; i++)
		assert_int_equal(get(f, regs[i]), wanted[i]);
}

#define expect_time(f, ...) expect_time(f, (const uint8_t[8]){ __VA_ARGS__ })

static void calendar_agrees_with_the_c_library(void **state)
{
	(void)state;
	for (int64_t t = -62000000000; t < 250000000000; t += 86400 * 13 + 12345) {
		struct tm tm;
		time_t host = t;
		gmtime_r(&host, &tm);
		uint64_t seconds = RTC_UNIX_EPOCH_SECONDS + (uint64_t)t;
		struct rtc_date date = rtc_date_from_seconds(seconds);
		assert_int_equal(date.year, tm.tm_year + 1900);
		assert_int_equal(date.month, tm.tm_mon + 1);
		assert_int_equal(date.day, tm.tm_mday);
		assert_int_equal(date.weekday, tm.tm_wday + 1);
		assert_int_equal(date.hour, tm.tm_hour);
		assert_int_equal(date.minute, tm.tm_min);
		assert_int_equal(date.second, tm.tm_sec);
		assert_int_equal(rtc_date_to_seconds(&date), seconds);
	}
}

static void calendar_starts_at_year_zero(void **state)
{
	(void)state;
	struct rtc_date date = rtc_date_from_seconds(0);
	assert_int_equal(date.year, 0);
	assert_int_equal(date.month, 1);
	assert_int_equal(date.day, 1);
	const struct rtc_date wild = { .month = 99, .day = 0, .hour = 255, .minute = 255 };
	(void)rtc_date_from_seconds(rtc_date_to_seconds(&wild));
}

static void rtc_shows_host_time_in_bcd(void **state)
{
	struct fixture *f = *state;
	expect_time(f, 0x20, 0x24, 0x02, 0x29, 5, 0x23, 0x59, 0x58);
	advance_ms(f, 2000);
	expect_time(f, 0x20, 0x24, 0x03, 0x01, 6, 0x00, 0x00, 0x00);
	assert_int_equal(get(f, 0x0d), 0x80);
	assert_true(timer_queue_idle(f->timers));
}

static void rtc_shows_binary_and_half_days(void **state)
{
	struct fixture *f = *state;
	set(f, 0x0b, 0x04);
	expect_time(f, 20, 24, 2, 29, 5, 0x80 | 11, 59, 58);
	set(f, 0x0b, 0x00);
	assert_int_equal(get(f, 4), 0x91);
	advance_ms(f, 2000);
	assert_int_equal(get(f, 4), 0x12); /* midnight is twelve */
	set(f, 0x0b, 0x06);
	assert_int_equal(get(f, 4), 0);
}

static void rtc_update_in_progress_precedes_the_second(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(get(f, 0x0a), 0x26);
	timer_queue_advance(f->timers, 499 * NS_PER_MS);
	assert_int_equal(get(f, 0x0a), 0x26);
	timer_queue_advance(f->timers, 800 * NS_PER_US);
	assert_int_equal(get(f, 0x0a), 0xa6);
	assert_int_equal(get(f, 0x00), 0x58);
	timer_queue_advance(f->timers, 200 * NS_PER_US);
	assert_int_equal(get(f, 0x0a), 0x26);
	assert_int_equal(get(f, 0x00), 0x59);
}

/* As Linux's mc146818_set_time does it. */
static void rtc_linux_sets_the_time(void **state)
{
	struct fixture *f = *state;
	set(f, 0x0b, 0x82);
	set(f, 0x0a, 0x76);
	set(f, 9, 0x99);
	set(f, 8, 0x12);
	set(f, 7, 0x31);
	set(f, 4, 0x23);
	set(f, 2, 0x59);
	set(f, 0, 0x59);
	set(f, 0x32, 0x19);
	advance_ms(f, 5000); /* it stands still meanwhile */
	assert_int_equal(get(f, 0), 0x59);
	assert_int_equal(get(f, 0x0a) & 0x80, 0);
	set(f, 0x0b, 0x02);
	set(f, 0x0a, 0x26);
	expect_time(f, 0x19, 0x99, 0x12, 0x31, 6, 0x23, 0x59, 0x59);
	advance_ms(f, 499);
	assert_int_equal(get(f, 0), 0x59);
	advance_ms(f, 2); /* half a second after the divider was let go */
	expect_time(f, 0x20, 0x00, 0x01, 0x01, 7, 0x00, 0x00, 0x00);
	f->rtc->ops->reset(f->rtc); /* a battery keeps it */
	expect_time(f, 0x20, 0x00, 0x01, 0x01, 7, 0x00, 0x00, 0x00);
}

static void rtc_write_into_the_running_clock_counts(void **state)
{
	struct fixture *f = *state;
	set(f, 4, 0x07);
	expect_time(f, 0x20, 0x24, 0x02, 0x29, 5, 0x07, 0x59, 0x58);
	advance_ms(f, 2500);
	expect_time(f, 0x20, 0x24, 0x02, 0x29, 5, 0x08, 0x00, 0x01);
}

static void rtc_nonsense_becomes_some_date(void **state)
{
	struct fixture *f = *state;
	for (unsigned value = 0; value < 256; value += 5) {
		set(f, 0x0b, 0x80 | (value & 6));
		for (uint8_t reg = 0; reg < 10; reg++)
			set(f, reg, (uint8_t)(value + reg * 31));
		set(f, 0x32, (uint8_t)value);
		set(f, 0x0b, (value & 6) | 0x70);
		advance_ms(f, 1500);
		get(f, 0x0c);
		get(f, 9);
	}
}

static void rtc_update_interrupt_comes_each_second(void **state)
{
	struct fixture *f = *state;
	advance_ms(f, 5000);
	assert_int_equal(
		get(f, 0x0c), 0x70); /* flags without interrupt; the alarm is at midnight */
	set(f, 0x0b, 0x12);
	assert_false(f->irq.level);
	advance_ms(f, 499);
	assert_false(f->irq.level);
	advance_ms(f, 2);
	assert_true(f->irq.level);
	assert_true(timer_queue_idle(f->timers)); /* nothing to wake for until it is taken */
	advance_ms(f, 5000);
	assert_int_equal(f->irq.edges, 1);
	assert_int_equal(get(f, 0x0c) & 0x90, 0x90);
	assert_int_equal(get(f, 0x0c), 0x00);
	assert_false(f->irq.level);
	advance_ms(f, 1000);
	assert_int_equal(f->irq.edges, 2);
	set(f, 0x0b, 0x02);
	assert_false(f->irq.level);
	assert_true(timer_queue_idle(f->timers));
}

static void rtc_alarm_rings_at_its_time(void **state)
{
	struct fixture *f = *state;
	set(f, 1, 0x05);
	set(f, 3, 0x01);
	set(f, 5, 0x00);
	get(f, 0x0c);
	set(f, 0x0b, 0x22);
	advance_ms(f, 1500 + 60000 + 4900); /* 23:59:58.5 to 00:01:04.9 */
	assert_false(f->irq.level);
	advance_ms(f, 200);
	assert_true(f->irq.level);
	assert_int_equal(get(f, 0x0c) & 0xa0, 0xa0);
	advance_ms(f, 86400000 - 1000);
	assert_false(f->irq.level);
	advance_ms(f, 1000);
	assert_true(f->irq.level);
}

static void rtc_alarm_with_wildcards_rings_each_minute(void **state)
{
	struct fixture *f = *state;
	set(f, 1, 0x00);
	set(f, 3, 0xff);
	set(f, 5, 0xc0);
	set(f, 0x0b, 0x22);
	unsigned rings = 0;
	for (int i = 0; i < 300; i++) {
		advance_ms(f, 1000);
		if (f->irq.level) {
			rings++;
			get(f, 0x0c);
		}
	}
	assert_int_equal(rings, 5);
}

static void rtc_alarm_follows_a_step_of_the_host_clock(void **state)
{
	struct fixture *f = *state;
	set(f, 1, 0x00);
	set(f, 3, 0x00);
	set(f, 5, 0x06);
	set(f, 0x0b, 0x22);
	f->wall_ns += UINT64_C(6 * 3600) * NS_PER_SECOND; /* over the alarm */
	advance_ms(f, 61000);
	assert_true(f->irq.level);
}

static void rtc_impossible_alarm_never_rings(void **state)
{
	struct fixture *f = *state;
	set(f, 1, 0x99);
	set(f, 0x0b, 0x22);
	assert_true(timer_queue_idle(f->timers));
	advance_ms(f, 200000);
	assert_int_equal(get(f, 0x0c) & 0x20, 0);
}

static void rtc_periodic_interrupt_has_its_rate(void **state)
{
	struct fixture *f = *state;
	set(f, 0x0a, 0x2a); /* 64 Hz */
	get(f, 0x0c);
	set(f, 0x0b, 0x42);
	unsigned before = f->irq.edges;
	for (int i = 0; i < 1000; i++) {
		advance_ms(f, 1);
		if (f->irq.level)
			assert_int_equal(get(f, 0x0c) & 0xc0, 0xc0);
	}
	assert_in_range(f->irq.edges - before, 63, 65);
	set(f, 0x0a, 0x20); /* none */
	assert_true(timer_queue_idle(f->timers));
}

static void rtc_set_bit_takes_the_update_interrupt_off(void **state)
{
	struct fixture *f = *state;
	set(f, 0x0b, 0x12);
	set(f, 0x0b, 0x92);
	assert_int_equal(get(f, 0x0b), 0x82);
}

static void rtc_cmos_describes_the_machine(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(get(f, 0x15) | get(f, 0x16) << 8, 640);
	assert_int_equal(get(f, 0x17) | get(f, 0x18) << 8, 65535);
	assert_int_equal(get(f, 0x30) | get(f, 0x31) << 8, 65535);
	assert_int_equal(get(f, 0x34) | get(f, 0x35) << 8, (1024 - 16) * 16);
	assert_int_equal(get(f, 0x5b) | get(f, 0x5c) << 8 | get(f, 0x5d) << 16, 2048 * 16);
	set(f, 0x0f, 0x0a);
	set(f, 0x60, 0x77);
	assert_int_equal(get(f, 0x8f), 0x0a); /* bit 7 of the index is the NMI's */
	f->rtc->ops->reset(f->rtc);
	assert_int_equal(get(f, 0x0f), 0x00);
	assert_int_equal(get(f, 0x60), 0x77);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calendar_agrees_with_the_c_library),
		cmocka_unit_test(calendar_starts_at_year_zero),
		TEST(rtc_shows_host_time_in_bcd),
		TEST(rtc_shows_binary_and_half_days),
		TEST(rtc_update_in_progress_precedes_the_second),
		TEST(rtc_linux_sets_the_time),
		TEST(rtc_write_into_the_running_clock_counts),
		TEST(rtc_nonsense_becomes_some_date),
		TEST(rtc_update_interrupt_comes_each_second),
		TEST(rtc_alarm_rings_at_its_time),
		TEST(rtc_alarm_with_wildcards_rings_each_minute),
		TEST(rtc_alarm_follows_a_step_of_the_host_clock),
		TEST(rtc_impossible_alarm_never_rings),
		TEST(rtc_periodic_interrupt_has_its_rate),
		TEST(rtc_set_bit_takes_the_update_interrupt_off),
		TEST(rtc_cmos_describes_the_machine),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
