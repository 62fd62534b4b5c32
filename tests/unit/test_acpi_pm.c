/* devices/acpi_pm: power button, soft off, and the power management timer, by the clock of the
 * test. */
#include <errno.h>
#include <stdlib.h>

#include "cmocka_all.h"
#include "devices/acpi_pm.h"
#include "fake_irq.h"

#define BASE     0x600
#define STATUS   (BASE + 0)
#define ENABLE   (BASE + 2)
#define CONTROL  (BASE + 4)
#define TIMER    (BASE + 8)
#define TIMER_HZ UINT64_C(3579545)

#define TMR_STS    0x0001u
#define PWRBTN_STS 0x0100u
#define SLP_EN     0x2000u
#define SLP_TYP(n) ((n) << 10)

struct chipset {
	struct bus *ports;
	struct timer_queue *timers;
	struct acpi_pm *pm;
	struct fake_irq sci;
	unsigned poweroffs;
};

static void count_poweroff(void *opaque)
{
	((struct chipset *)opaque)->poweroffs++;
}

static uint32_t in(struct chipset *c, uint16_t port, unsigned width)
{
	uint32_t value = 0;

	assert_true(bus_read(c->ports, port, &value, width));
	return value;
}

static void out(struct chipset *c, uint16_t port, uint32_t value, unsigned width)
{
	assert_true(bus_write(c->ports, port, &value, width));
}

static int setup(void **state)
{
	struct chipset *c = calloc(1, sizeof(*c));
	struct acpi_pm_config config = {
		.base_port = BASE, .request_poweroff = count_poweroff, .opaque = c
	};

	c->ports = config.ports = bus_create("port", 0x10000);
	c->timers = config.timers = timer_queue_create_manual();
	config.sci = fake_irq_line(&c->sci);
	*state = c;
	return acpi_pm_create(&config, &c->pm, NULL);
}

static int teardown(void **state)
{
	struct chipset *c = *state;

	acpi_pm_device(c->pm)->ops->destroy(acpi_pm_device(c->pm));
	assert_true(timer_queue_idle(c->timers));
	timer_queue_destroy(c->timers);
	bus_destroy(c->ports);
	free(c);
	return 0;
}

static void acpi_pm_ports_taken_is_refused(void **state)
{
	struct chipset *c = *state;
	struct acpi_pm_config config = {
		.ports = c->ports, .base_port = BASE + 11, .timers = c->timers
	};
	struct acpi_pm *other;

	assert_int_equal(acpi_pm_create(&config, &other, NULL), -EEXIST);
}

static void acpi_pm_starts_in_acpi_mode_and_silent(void **state)
{
	struct chipset *c = *state;

	assert_int_equal(in(c, STATUS, 4), 0);
	assert_int_equal(in(c, CONTROL, 2), 1); /* SCI_EN */
	assert_false(c->sci.level);
	assert_true(timer_queue_idle(c->timers));
}

static void acpi_pm_button_interrupts_only_while_enabled(void **state)
{
	struct chipset *c = *state;

	acpi_pm_press_power_button(c->pm);
	assert_false(c->sci.level);
	assert_int_equal(in(c, STATUS, 2), PWRBTN_STS);
	out(c, ENABLE, PWRBTN_STS, 2);
	assert_true(c->sci.level);
	out(c, ENABLE, 0, 2);
	assert_false(c->sci.level);
	assert_int_equal(in(c, STATUS, 2), PWRBTN_STS);
	out(c, ENABLE, PWRBTN_STS, 2);
	out(c, STATUS, PWRBTN_STS, 2);
	assert_false(c->sci.level);
	acpi_pm_press_power_button(c->pm);
	acpi_pm_press_power_button(c->pm);
	assert_true(c->sci.level);
	assert_int_equal(c->sci.edges, 3);
}

static void acpi_pm_status_is_cleared_by_ones_only(void **state)
{
	struct chipset *c = *state;

	out(c, ENABLE, PWRBTN_STS, 2);
	acpi_pm_press_power_button(c->pm);
	out(c, STATUS, 0, 2);
	out(c, STATUS, 0xffff & ~PWRBTN_STS, 2);
	out(c, STATUS, 0xff, 1);
	assert_int_equal(in(c, STATUS, 2), PWRBTN_STS);
	assert_true(c->sci.level);
	out(c, STATUS, PWRBTN_STS, 2);
	assert_int_equal(in(c, STATUS, 2), 0);
	/* Ones do not set anything. */
	out(c, STATUS, 0xffff, 2);
	assert_int_equal(in(c, STATUS, 2), 0);
}

static void acpi_pm_takes_partial_widths(void **state)
{
	struct chipset *c = *state;

	out(c, ENABLE + 1, PWRBTN_STS >> 8, 1);
	assert_int_equal(in(c, ENABLE, 2), PWRBTN_STS);
	assert_int_equal(in(c, ENABLE + 1, 1), PWRBTN_STS >> 8);
	acpi_pm_press_power_button(c->pm);
	assert_int_equal(in(c, STATUS + 1, 1), PWRBTN_STS >> 8);
	assert_int_equal(in(c, STATUS, 4), PWRBTN_STS | PWRBTN_STS << 16);
	out(c, STATUS + 1, PWRBTN_STS >> 8, 1);
	assert_int_equal(in(c, STATUS, 4), PWRBTN_STS << 16);
	assert_false(c->sci.level);
	/* Both registers at once; status in the low half, enable in the high one. */
	acpi_pm_press_power_button(c->pm);
	out(c, STATUS, PWRBTN_STS, 4);
	assert_int_equal(in(c, STATUS, 4), 0);
	/* Across registers: high byte of status, low byte of enable. */
	acpi_pm_press_power_button(c->pm);
	out(c, STATUS + 1, PWRBTN_STS >> 8 | TMR_STS << 8, 2);
	assert_int_equal(in(c, STATUS, 4), TMR_STS << 16);
	/* A dword over enable and control. */
	out(c, ENABLE, PWRBTN_STS | SLP_TYP(3u) << 16, 4);
	assert_int_equal(in(c, ENABLE, 4), PWRBTN_STS | (SLP_TYP(3u) | 1) << 16);
	/* The control word's upper neighbours are not there. */
	assert_int_equal(in(c, CONTROL + 2, 2), 0);
}

static void acpi_pm_enable_takes_existing_bits_only(void **state)
{
	struct chipset *c = *state;

	out(c, ENABLE, 0xffff, 2);
	assert_int_equal(in(c, ENABLE, 2), 0x0521);
}

static void acpi_pm_control_keeps_what_can_be_kept(void **state)
{
	struct chipset *c = *state;

	/* SCI_EN cannot be cleared; SLP_EN and GBL_RLS read as zero. */
	out(c, CONTROL, 0, 2);
	assert_int_equal(in(c, CONTROL, 2), 1);
	out(c, CONTROL, 0x0006 | SLP_TYP(7u) | SLP_EN, 2);
	assert_int_equal(in(c, CONTROL, 2), 0x0003 | SLP_TYP(7u));
}

static void acpi_pm_only_type_5_powers_off(void **state)
{
	struct chipset *c = *state;

	for (unsigned type = 0; type < 8; type++) {
		out(c, CONTROL, SLP_TYP(type), 2);
		assert_int_equal(c->poweroffs, 0);
		if (type == ACPI_PM_SLEEP_TYPE_S5)
			continue;
		out(c, CONTROL, SLP_TYP(type) | SLP_EN, 2);
		assert_int_equal(c->poweroffs, 0);
	}
	out(c, CONTROL, SLP_TYP(5u) | SLP_EN, 2);
	assert_int_equal(c->poweroffs, 1);
	/* The high byte alone does as well; the low one does not. */
	out(c, CONTROL, (SLP_TYP(5u) | SLP_EN) & 0xff, 1);
	assert_int_equal(c->poweroffs, 1);
	out(c, CONTROL + 1, (SLP_TYP(5u) | SLP_EN) >> 8, 1);
	assert_int_equal(c->poweroffs, 2);
	/* As does a dword from the control register on. */
	out(c, CONTROL, SLP_TYP(5u) | SLP_EN, 4);
	assert_int_equal(c->poweroffs, 3);
}

static void acpi_pm_timer_counts_at_its_rate(void **state)
{
	struct chipset *c = *state;
	uint32_t before = in(c, TIMER, 4), after;

	timer_queue_advance(c->timers, NS_PER_SECOND);
	after = in(c, TIMER, 4);
	assert_in_range(after - before, TIMER_HZ - 1, TIMER_HZ + 1);
	timer_queue_advance(c->timers, NS_PER_MS);
	assert_in_range(in(c, TIMER, 4) - after, 3579, 3580);
	/* Over a long time nothing is lost to rounding, and the counter has 32 bits. */
	timer_queue_advance(c->timers, 999 * NS_PER_MS + 99999 * NS_PER_SECOND);
	assert_in_range((uint32_t)(in(c, TIMER, 4) - before - (uint32_t)(100001 * TIMER_HZ)), 0, 1);
	/* Read-only, and readable in pieces. */
	after = in(c, TIMER, 4);
	out(c, TIMER, 0, 4);
	assert_int_equal(in(c, TIMER, 4), after);
	assert_int_equal(in(c, TIMER, 2) | in(c, TIMER + 2, 2) << 16, after);
	assert_int_equal(in(c, TIMER + 3, 1), after >> 24);
}

/* Time until the counter's highest bit changes next. */
static uint64_t until_carry_ns(struct chipset *c)
{
	uint64_t left = 0x80000000u - (in(c, TIMER, 4) & 0x7fffffff);

	return left * NS_PER_SECOND / TIMER_HZ;
}

static void acpi_pm_carry_sets_status_without_a_timer(void **state)
{
	struct chipset *c = *state;

	timer_queue_advance(c->timers, until_carry_ns(c) - NS_PER_MS);
	assert_int_equal(in(c, STATUS, 2), 0);
	timer_queue_advance(c->timers, 2 * NS_PER_MS);
	assert_int_equal(in(c, STATUS, 2), TMR_STS);
	assert_int_equal(in(c, TIMER, 4) >> 31, 1);
	assert_false(c->sci.level);
	assert_true(timer_queue_idle(c->timers)); /* nobody asked for interrupts */
	out(c, STATUS, TMR_STS, 2);
	assert_int_equal(in(c, STATUS, 2), 0);
	/* Back to zero is a carry, too. */
	timer_queue_advance(c->timers, until_carry_ns(c) + NS_PER_MS);
	assert_int_equal(in(c, STATUS, 2), TMR_STS);
	assert_int_equal(in(c, TIMER, 4) >> 31, 0);
}

static void acpi_pm_carry_interrupts_while_enabled(void **state)
{
	struct chipset *c = *state;

	out(c, ENABLE, TMR_STS, 2);
	assert_false(timer_queue_idle(c->timers));
	timer_queue_advance(c->timers, until_carry_ns(c) - NS_PER_MS);
	assert_false(c->sci.level);
	timer_queue_advance(c->timers, 2 * NS_PER_MS);
	assert_true(c->sci.level);
	assert_true(timer_queue_idle(c->timers)); /* until the guest has seen this one */
	out(c, STATUS, TMR_STS, 2);
	assert_false(c->sci.level);
	assert_false(timer_queue_idle(c->timers));
	timer_queue_advance(c->timers, until_carry_ns(c) + NS_PER_MS);
	assert_int_equal(c->sci.edges, 2);
	out(c, ENABLE, 0, 2);
	assert_false(c->sci.level);
	out(c, STATUS, TMR_STS, 2);
	assert_true(timer_queue_idle(c->timers));
}

static void acpi_pm_reset_silences_all(void **state)
{
	struct chipset *c = *state;

	out(c, ENABLE, PWRBTN_STS | TMR_STS, 2);
	out(c, CONTROL, SLP_TYP(5u), 2);
	acpi_pm_press_power_button(c->pm);
	timer_queue_advance(c->timers, until_carry_ns(c) + NS_PER_MS);
	assert_true(c->sci.level);
	acpi_pm_device(c->pm)->ops->reset(acpi_pm_device(c->pm));
	assert_false(c->sci.level);
	assert_int_equal(in(c, STATUS, 4), 0);
	assert_int_equal(in(c, CONTROL, 2), 1);
	assert_true(timer_queue_idle(c->timers));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(acpi_pm_ports_taken_is_refused),
		TEST(acpi_pm_starts_in_acpi_mode_and_silent),
		TEST(acpi_pm_button_interrupts_only_while_enabled),
		TEST(acpi_pm_status_is_cleared_by_ones_only),
		TEST(acpi_pm_takes_partial_widths),
		TEST(acpi_pm_enable_takes_existing_bits_only),
		TEST(acpi_pm_control_keeps_what_can_be_kept),
		TEST(acpi_pm_only_type_5_powers_off),
		TEST(acpi_pm_timer_counts_at_its_rate),
		TEST(acpi_pm_carry_sets_status_without_a_timer),
		TEST(acpi_pm_carry_interrupts_while_enabled),
		TEST(acpi_pm_reset_silences_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
