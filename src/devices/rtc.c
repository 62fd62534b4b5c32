/* The real-time clock and CMOS memory of a PC.
 *
 * Specification: Motorola MC146818A data sheet (registers A to D, update cycle, alarm and periodic
 * interrupt); the use of the memory's bytes as in the IBM PC/AT Technical Reference, with the
 * century at 32h (the FADT says so). The square wave output and daylight saving are kept bits
 * without effect.
 *
 * The time is the host's plus an offset, which is what a guest that sets the clock changes; it
 * lives as long as the device, as with a battery. Flags are worked out when somebody looks: a timer
 * runs only for an interrupt that the guest has enabled, and none while the last one is not
 * acknowledged.
 *
 * Threads: vCPUs (registers) and "timers"; base.lock guards everything that is not marked
 * immutable. */
#include "devices/rtc.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "devices/rtc_calendar.h"

#define INDEX_PORT 0x70

enum {
	REG_SECONDS = 0x00,
	REG_SECONDS_ALARM = 0x01,
	REG_MINUTES = 0x02,
	REG_MINUTES_ALARM = 0x03,
	REG_HOURS = 0x04,
	REG_HOURS_ALARM = 0x05,
	REG_WEEKDAY = 0x06,
	REG_DAY = 0x07,
	REG_MONTH = 0x08,
	REG_YEAR = 0x09,
	REG_A = 0x0a,
	REG_B = 0x0b,
	REG_C = 0x0c,
	REG_D = 0x0d,
	REG_SHUTDOWN = 0x0f,
	REG_EQUIPMENT = 0x14,
	REG_BASE_KIB = 0x15,
	REG_EXTENDED_KIB = 0x17,
	REG_CHECKSUM = 0x2e, /* of 10h to 2Dh, high byte first */
	REG_EXTENDED_KIB_POST = 0x30,
	REG_CENTURY = 0x32,
	REG_ABOVE_16M = 0x34, /* in units of 64 KiB, like the next */
	REG_ABOVE_4G = 0x5b,  /* three bytes */
	CMOS_BYTES = 128,

	A_UPDATE_IN_PROGRESS = 0x80,
	A_DIVIDER = 0x70,
	A_DIVIDER_RESET = 0x60, /* 110 and 111 */
	A_RATE = 0x0f,
	A_POWER_ON = 0x26, /* 32768 Hz, periodic rate 1024 Hz */

	B_SET = 0x80,
	B_PERIODIC = 0x40, /* the enable bits stand where register C has the flags */
	B_ALARM = 0x20,
	B_UPDATE = 0x10,
	B_SQUARE_WAVE = 0x08,
	B_BINARY = 0x04,
	B_24_HOURS = 0x02,
	B_ENABLES = B_PERIODIC | B_ALARM | B_UPDATE,

	C_IRQ = 0x80,
	C_PERIODIC = B_PERIODIC,
	C_ALARM = B_ALARM,
	C_UPDATE = B_UPDATE,

	D_VALID = 0x80,

	HOURS_PM = 0x80,
	ALARM_ANY = 0xc0, /* both top bits: matches everything */
	EQUIPMENT_FPU_MOUSE = 0x06,

	TICK_HZ = 32768,
	DAY_SECONDS = 86400,
};

#define UPDATE_IN_PROGRESS_NS (244 * NS_PER_US)
/* The host's clock may be set, or sleep, while an alarm waits: look again now and then. */
#define LOOK_AGAIN_NS (60 * NS_PER_SECOND)

struct instant {
	uint64_t seconds; /* since 0000-01-01 */
	uint64_t ns;      /* below a second */
};

struct rtc {
	struct device base;
	struct rtc_config config; /* immutable; ports is NULL until claimed */
	struct timer timer;

	uint8_t index;
	uint8_t cmos[CMOS_BYTES]; /* the time's bytes count while the clock stands still only */
	uint8_t flags;            /* register C without C_IRQ */
	bool irq_level;
	/* The clock's time is the wall clock plus this; arithmetic is modulo 2^64. */
	uint64_t offset_seconds, offset_ns;
	bool divider_was_reset; /* while the clock stands: the next second is half a second off */
	struct instant checked; /* flags are right up to here */
};

static uint64_t host_wall_clock_ns(void *opaque)
{
	struct timespec now;
	(void)opaque;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

static struct instant wall_clock(const struct rtc *rtc)
{
	uint64_t ns = rtc->config.wall_clock_ns(rtc->config.opaque);
	return (struct instant){ RTC_UNIX_EPOCH_SECONDS + ns / NS_PER_SECOND, ns % NS_PER_SECOND };
}

static struct instant rtc_now(const struct rtc *rtc)
{
	struct instant now = wall_clock(rtc);
	uint64_t ns = now.ns + rtc->offset_ns;
	now.seconds += rtc->offset_seconds + ns / NS_PER_SECOND;
	now.ns = ns % NS_PER_SECOND;
	return now;
}

static void set_offset(struct rtc *rtc, struct instant to)
{
	struct instant wall = wall_clock(rtc);
	bool borrow = to.ns < wall.ns;
	rtc->offset_ns = to.ns + (borrow ? NS_PER_SECOND : 0) - wall.ns;
	rtc->offset_seconds = to.seconds - wall.seconds - (borrow ? 1 : 0);
	rtc->checked = to;
}

static bool divider_reset(const struct rtc *rtc)
{
	return (rtc->cmos[REG_A] & A_DIVIDER_RESET) == A_DIVIDER_RESET;
}

static bool stands_still(const struct rtc *rtc)
{
	return (rtc->cmos[REG_B] & B_SET) || divider_reset(rtc);
}

/* Numbers in the registers: BCD or binary, hours of a day or of half a day. */

static uint8_t encode(const struct rtc *rtc, unsigned value)
{
	if (rtc->cmos[REG_B] & B_BINARY)
		return (uint8_t)value;
	return (uint8_t)(value / 10 % 10 << 4 | value % 10);
}

static unsigned decode(const struct rtc *rtc, uint8_t value)
{
	if (rtc->cmos[REG_B] & B_BINARY)
		return value;
	return (unsigned)(value >> 4) * 10 + (value & 0x0f);
}

static uint8_t encode_hour(const struct rtc *rtc, unsigned hour)
{
	if (rtc->cmos[REG_B] & B_24_HOURS)
		return encode(rtc, hour);
	uint8_t half = encode(rtc, hour % 12 ? hour % 12 : 12);
	return hour >= 12 ? half | HOURS_PM : half;
}

static unsigned decode_hour(const struct rtc *rtc, uint8_t value)
{
	if (rtc->cmos[REG_B] & B_24_HOURS)
		return decode(rtc, value);
	return decode(rtc, value & (uint8_t)~HOURS_PM) % 12 + (value & HOURS_PM ? 12 : 0);
}

static void store_time(struct rtc *rtc, struct instant at)
{
	struct rtc_date date = rtc_date_from_seconds(at.seconds);
	uint8_t *cmos = rtc->cmos;
	cmos[REG_SECONDS] = encode(rtc, date.second);
	cmos[REG_MINUTES] = encode(rtc, date.minute);
	cmos[REG_HOURS] = encode_hour(rtc, date.hour);
	cmos[REG_WEEKDAY] = encode(rtc, date.weekday);
	cmos[REG_DAY] = encode(rtc, date.day);
	cmos[REG_MONTH] = encode(rtc, date.month);
	cmos[REG_YEAR] = encode(rtc, date.year % 100);
	cmos[REG_CENTURY] = encode(rtc, date.year / 100);
}

/* The time in the registers, which a guest may have filled with anything. */
static uint64_t load_time(const struct rtc *rtc)
{
	const uint8_t *cmos = rtc->cmos;
	const struct rtc_date date = {
		.year = decode(rtc, cmos[REG_CENTURY]) * 100 + decode(rtc, cmos[REG_YEAR]),
		.month = decode(rtc, cmos[REG_MONTH]),
		.day = decode(rtc, cmos[REG_DAY]),
		.hour = decode_hour(rtc, cmos[REG_HOURS]),
		.minute = decode(rtc, cmos[REG_MINUTES]),
		.second = decode(rtc, cmos[REG_SECONDS]),
	};
	return rtc_date_to_seconds(&date);
}

static bool is_time_register(unsigned reg)
{
	return reg == REG_SECONDS || reg == REG_MINUTES || reg == REG_CENTURY ||
	       (reg >= REG_HOURS && reg <= REG_YEAR && reg != REG_HOURS_ALARM);
}

/* Events. */

static uint64_t ticks(struct instant at)
{
	return at.seconds * TICK_HZ + at.ns * TICK_HZ / NS_PER_SECOND;
}

/* Ticks between two periodic interrupts; 0: none. */
static uint64_t period_ticks(const struct rtc *rtc)
{
	unsigned rate = rtc->cmos[REG_A] & A_RATE;
	if (!rate)
		return 0;
	if (rate < 3)
		rate += 7; /* these two repeat the rates 8 and 9 */
	return UINT64_C(1) << (rate - 1);
}

/* One of the alarm's three numbers. */
struct alarm_field {
	bool any;
	unsigned wanted;
};

static bool matches(struct alarm_field field, unsigned value)
{
	return field.any || field.wanted == value;
}

/* The first second after `after` that the alarm matches; false: never. */
static bool next_alarm(const struct rtc *rtc, uint64_t after, uint64_t *at)
{
	const uint8_t *cmos = rtc->cmos;
	const struct alarm_field hours = { cmos[REG_HOURS_ALARM] >= ALARM_ANY,
		decode_hour(rtc, cmos[REG_HOURS_ALARM]) };
	const struct alarm_field minutes = { cmos[REG_MINUTES_ALARM] >= ALARM_ANY,
		decode(rtc, cmos[REG_MINUTES_ALARM]) };
	const struct alarm_field seconds = { cmos[REG_SECONDS_ALARM] >= ALARM_ANY,
		decode(rtc, cmos[REG_SECONDS_ALARM]) };
	if ((!hours.any && hours.wanted > 23) || (!minutes.any && minutes.wanted > 59) ||
		(!seconds.any && seconds.wanted > 59))
		return false;
	uint64_t day = (after + 1) / DAY_SECONDS * DAY_SECONDS;
	unsigned start = (unsigned)(after + 1 - day);
	/* Today from now on, then tomorrow from midnight; a few hundred steps at most. */
	for (int i = 0; i < 2; i++, day += DAY_SECONDS, start = 0) {
		for (unsigned hour = start / 3600; hour < 24; hour++) {
			if (!matches(hours, hour))
				continue;
			unsigned in_hour = hour * 3600 < start ? start - hour * 3600 : 0;
			for (unsigned minute = in_hour / 60; minute < 60; minute++) {
				if (!matches(minutes, minute))
					continue;
				unsigned second = minute * 60 < in_hour ? in_hour - minute * 60 : 0;
				if (!seconds.any && seconds.wanted >= second)
					second = seconds.wanted;
				else if (!seconds.any)
					continue;
				*at = day + hour * 3600u + minute * 60u + second;
				return true;
			}
		}
	}
	return false;
}

/* Brings the flags up to now. */
static void check_events(struct rtc *rtc)
{
	if (stands_still(rtc))
		return;
	struct instant now = rtc_now(rtc);
	uint64_t period = period_ticks(rtc), alarm;
	/* The host's clock may go backwards: nothing happens until it has caught up. */
	if (now.seconds < rtc->checked.seconds ||
		(now.seconds == rtc->checked.seconds && now.ns <= rtc->checked.ns)) {
		if (rtc->checked.seconds - now.seconds > 1)
			rtc->checked = now;
		return;
	}
	if (now.seconds > rtc->checked.seconds) {
		rtc->flags |= C_UPDATE;
		if (!(rtc->flags & C_ALARM) && next_alarm(rtc, rtc->checked.seconds, &alarm) &&
			alarm <= now.seconds)
			rtc->flags |= C_ALARM;
	}
	if (period && ticks(now) / period > ticks(rtc->checked) / period)
		rtc->flags |= C_PERIODIC;
	rtc->checked = now;
}

static bool wants_irq(const struct rtc *rtc)
{
	return (rtc->flags & rtc->cmos[REG_B] & B_ENABLES) != 0;
}

/* Nanoseconds from `now` to that second's start. */
static uint64_t until_second(struct instant now, uint64_t second)
{
	uint64_t seconds = second - now.seconds;
	if (seconds > LOOK_AGAIN_NS / NS_PER_SECOND)
		return LOOK_AGAIN_NS;
	return seconds * NS_PER_SECOND - now.ns;
}

/* Sets the interrupt line, and the timer for the next event that would raise it. */
static void update_irq(struct rtc *rtc)
{
	bool level = wants_irq(rtc);
	uint8_t enables = rtc->cmos[REG_B] & B_ENABLES;
	if (level != rtc->irq_level) {
		rtc->irq_level = level;
		irq_line_set(&rtc->config.irq, level);
	}
	if (level || !enables || stands_still(rtc)) {
		timer_disarm(&rtc->timer);
		return;
	}
	struct instant now = rtc_now(rtc);
	uint64_t wait_ns = UINT64_MAX, alarm, period = period_ticks(rtc);
	if (enables & B_UPDATE)
		wait_ns = min_u64(wait_ns, until_second(now, now.seconds + 1));
	if ((enables & B_ALARM) && next_alarm(rtc, now.seconds, &alarm))
		wait_ns = min_u64(wait_ns, until_second(now, alarm));
	if ((enables & B_PERIODIC) && period) {
		uint64_t next = (ticks(now) / period + 1) * period - now.seconds * TICK_HZ;
		wait_ns = min_u64(wait_ns, (next * NS_PER_SECOND + TICK_HZ - 1) / TICK_HZ - now.ns);
	}
	if (wait_ns == UINT64_MAX)
		timer_disarm(&rtc->timer);
	else
		timer_arm(&rtc->timer, timer_queue_now_ns(rtc->config.timers) + wait_ns);
}

static void timer_expired(void *opaque)
{
	struct rtc *rtc = opaque;
	check_events(rtc);
	update_irq(rtc);
}

/* Registers. */

static uint8_t read_a(const struct rtc *rtc)
{
	if (!stands_still(rtc) && rtc_now(rtc).ns >= NS_PER_SECOND - UPDATE_IN_PROGRESS_NS)
		return rtc->cmos[REG_A] | A_UPDATE_IN_PROGRESS;
	return rtc->cmos[REG_A];
}

static uint8_t read_register(struct rtc *rtc, unsigned reg)
{
	if (is_time_register(reg) && !stands_still(rtc))
		store_time(rtc, rtc_now(rtc));
	switch (reg) {
	case REG_A:
		return read_a(rtc);
	case REG_C: {
		check_events(rtc);
		uint8_t value = rtc->flags | (wants_irq(rtc) ? C_IRQ : 0);
		rtc->flags = 0;
		update_irq(rtc);
		return value;
	}
	case REG_D:
		return D_VALID;
	default:
		return rtc->cmos[reg];
	}
}

/* Writes A or B, either of which may stop the clock or let it go on. */
static void write_control(struct rtc *rtc, unsigned reg, uint8_t value)
{
	check_events(rtc);
	bool stood = stands_still(rtc), was_reset = divider_reset(rtc);
	struct instant now = rtc_now(rtc);
	if (!stood)
		store_time(rtc, now);
	if (reg == REG_B && (value & B_SET))
		value &= (uint8_t)~B_UPDATE;
	rtc->cmos[reg] = value;
	if (!stood && stands_still(rtc))
		rtc->divider_was_reset = false;
	rtc->divider_was_reset = rtc->divider_was_reset || was_reset || divider_reset(rtc);
	if (stood && !stands_still(rtc)) {
		/* Seconds start anew half a second after the divider is let go; otherwise they go
		 * on where they are. */
		uint64_t ns = rtc->divider_was_reset ? NS_PER_SECOND / 2 : now.ns;
		set_offset(rtc, (struct instant){ load_time(rtc), ns });
	}
	update_irq(rtc);
}

static void write_register(struct rtc *rtc, unsigned reg, uint8_t value)
{
	switch (reg) {
	case REG_A:
		write_control(rtc, reg, value & (uint8_t)~A_UPDATE_IN_PROGRESS);
		return;
	case REG_B:
		write_control(rtc, reg, value);
		return;
	case REG_C:
	case REG_D:
		return;
	case REG_SECONDS_ALARM:
	case REG_MINUTES_ALARM:
	case REG_HOURS_ALARM:
		check_events(rtc); /* against the alarm as it was */
		rtc->cmos[reg] = value;
		update_irq(rtc);
		return;
	}
	if (!is_time_register(reg) || stands_still(rtc)) {
		rtc->cmos[reg] = value;
		return;
	}
	/* Into the running clock. */
	check_events(rtc);
	struct instant now = rtc_now(rtc);
	store_time(rtc, now);
	rtc->cmos[reg] = value;
	set_offset(rtc, (struct instant){ load_time(rtc), now.ns });
	update_irq(rtc);
}

static uint64_t rtc_read(void *opaque, uint64_t offset, unsigned width)
{
	struct rtc *rtc = opaque;
	(void)width;
	return offset == 0 ? 0xff : read_register(rtc, rtc->index); /* the index is write-only */
}

static void rtc_write(void *opaque, uint64_t offset, unsigned width, uint64_t value)
{
	struct rtc *rtc = opaque;
	(void)width;
	if (offset == 0)
		rtc->index = value % CMOS_BYTES; /* bit 7 masks the NMI, which we never send */
	else
		write_register(rtc, rtc->index, (uint8_t)value);
}

static const struct bus_region_ops rtc_ports = { rtc_read, rtc_write };

/* Life. */

static void put16(uint8_t *to, uint64_t value)
{
	value = min_u64(value, UINT16_MAX);
	to[0] = (uint8_t)value;
	to[1] = (uint8_t)(value >> 8);
}

/* What firmware leaves in the memory for those who look. */
static void describe_machine(struct rtc *rtc)
{
	uint8_t *cmos = rtc->cmos;
	uint64_t low = rtc->config.low_ram_bytes, high = rtc->config.high_ram_bytes;
	uint64_t extended = low > MIB(1) ? low - MIB(1) : 0;
	uint64_t above_16m = low > MIB(16) ? low - MIB(16) : 0;
	uint64_t above_4g = min_u64(high / KIB(64), 0xffffff);
	cmos[REG_SHUTDOWN] = 0;
	cmos[REG_EQUIPMENT] = EQUIPMENT_FPU_MOUSE;
	put16(cmos + REG_BASE_KIB, min_u64(low, KIB(640)) / KIB(1));
	put16(cmos + REG_EXTENDED_KIB, extended / KIB(1));
	put16(cmos + REG_EXTENDED_KIB_POST, extended / KIB(1));
	put16(cmos + REG_ABOVE_16M, above_16m / KIB(64));
	cmos[REG_ABOVE_4G] = (uint8_t)above_4g;
	cmos[REG_ABOVE_4G + 1] = (uint8_t)(above_4g >> 8);
	cmos[REG_ABOVE_4G + 2] = (uint8_t)(above_4g >> 16);
	unsigned sum = 0;
	for (unsigned i = 0x10; i < REG_CHECKSUM; i++)
		sum += cmos[i];
	cmos[REG_CHECKSUM] = (uint8_t)(sum >> 8);
	cmos[REG_CHECKSUM + 1] = (uint8_t)sum;
}

/* As the chip's reset input: interrupts go, time and memory stay. */
static void rtc_reset(struct device *device)
{
	struct rtc *rtc = container_of(device, struct rtc, base);
	pthread_mutex_lock(&device->lock);
	if (stands_still(rtc))
		set_offset(rtc, (struct instant){ load_time(rtc), 0 });
	rtc->index = 0;
	rtc->cmos[REG_A] = A_POWER_ON;
	rtc->cmos[REG_B] = B_24_HOURS;
	rtc->flags = 0;
	rtc->checked = rtc_now(rtc);
	describe_machine(rtc);
	update_irq(rtc);
	pthread_mutex_unlock(&device->lock);
}

static void rtc_destroy(struct device *device)
{
	if (!device)
		return;
	struct rtc *rtc = container_of(device, struct rtc, base);
	if (rtc->config.ports)
		bus_remove(rtc->config.ports, INDEX_PORT);
	timer_fini(&rtc->timer);
	device_fini(device);
	free(rtc);
}

static const struct device_ops rtc_device_ops = {
	.name = "rtc",
	.reset = rtc_reset,
	.destroy = rtc_destroy,
};

int rtc_create(const struct rtc_config *config, struct device **out, struct error *err)
{
	struct rtc *rtc = calloc(1, sizeof(*rtc));
	if (!rtc)
		return error_set(err, ENOMEM, "rtc: out of memory");
	device_init(&rtc->base, &rtc_device_ops);
	rtc->config = *config;
	if (!rtc->config.wall_clock_ns)
		rtc->config.wall_clock_ns = host_wall_clock_ns;
	timer_init(&rtc->timer, config->timers, &rtc->base.lock, timer_expired, rtc);
	rtc->cmos[REG_A] = A_POWER_ON;
	rtc->cmos[REG_B] = B_24_HOURS;
	rtc_reset(&rtc->base);

	const struct bus_region region = {
		.base = INDEX_PORT,
		.length = 2,
		.widths = BUS_WIDTH_1,
		.owner = "rtc",
		.ops = &rtc_ports,
		.opaque = rtc,
		.lock = &rtc->base.lock,
	};
	int rc = bus_add(config->ports, &region, err);
	if (rc) {
		rtc->config.ports = NULL;
		rtc_destroy(&rtc->base);
		return rc;
	}
	*out = &rtc->base;
	return 0;
}
