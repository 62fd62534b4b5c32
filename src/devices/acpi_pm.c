/* ACPI's fixed hardware: PM1a event block, PM1a control and the power management timer.
 *
 * Threads: vCPUs through the bus, the machine's thread for the button, the timer thread; all under
 * the device's lock. Source: ACPI 6.5, sections 4.8.3.1 (PM1 event grouping), 4.8.3.2 (PM1
 * control), 4.8.3.3 (timer), 4.8.2.1 (the 3.579545 MHz clock, carry out of the highest bit sets
 * TMR_STS). */
#include "devices/acpi_pm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"

#define TIMER_HZ UINT64_C(3579545)

enum pm1_event {
	PM1_TIMER = 1 << 0,
	PM1_BUS_MASTER = 1 << 4,
	PM1_GLOBAL = 1 << 5,
	PM1_POWER_BUTTON = 1 << 8,
	PM1_RTC = 1 << 10,
	PM1_WAKE = 1 << 15,
};

#define PM1_STATUS_BITS (PM1_TIMER | PM1_BUS_MASTER | PM1_GLOBAL | PM1_POWER_BUTTON | PM1_WAKE)
/* RTC_EN keeps what is written though nothing sets RTC_STS here (the board does not sleep): Linux's
 * RTC driver takes a bit that reads back as zero for an error. */
#define PM1_ENABLE_BITS (PM1_TIMER | PM1_GLOBAL | PM1_POWER_BUTTON | PM1_RTC)

enum pm1_control {
	PM1_SCI_EN = 1 << 0,
	PM1_BUS_MASTER_RELOAD = 1 << 1,
	PM1_SLEEP_TYPE_SHIFT = 10,
	PM1_SLEEP_EN = 1 << 13,
};

struct acpi_pm {
	struct device base;
	struct acpi_pm_config config; /* immutable */
	struct timer carry;
	/* base.lock guards all below. */
	uint16_t status, enable, control;
	/* Times the timer's highest bit had changed when TMR_STS was cleared. */
	uint64_t carries_seen;
};

static uint64_t timer_ticks(const struct acpi_pm *pm)
{
	uint64_t ns = timer_queue_now_ns(pm->config.timers);

	return (uint64_t)((unsigned __int128)ns * TIMER_HZ / NS_PER_SECOND);
}

/* TMR_STS is derived from the clock, so that nothing runs for guests that do not ask. */
static void look_at_timer(struct acpi_pm *pm)
{
	if (timer_ticks(pm) >> 31 != pm->carries_seen)
		pm->status |= PM1_TIMER;
}

static void update(struct acpi_pm *pm)
{
	look_at_timer(pm);
	irq_line_set(&pm->config.sci, (pm->status & pm->enable & PM1_ENABLE_BITS) != 0);
	if (pm->enable & PM1_TIMER && !(pm->status & PM1_TIMER)) {
		uint64_t next = ((timer_ticks(pm) >> 31) + 1) << 31;
		uint64_t at = (uint64_t)((unsigned __int128)next * NS_PER_SECOND / TIMER_HZ) + 1;

		timer_arm(&pm->carry, at);
	} else {
		timer_disarm(&pm->carry);
	}
}

static void carry_expired(void *opaque)
{
	update(opaque);
}

static uint64_t pm_read(void *opaque, uint64_t offset, unsigned width)
{
	struct acpi_pm *pm = opaque;
	uint32_t ticks = (uint32_t)timer_ticks(pm);
	uint8_t image[ACPI_PM_PORTS + 4] = { 0 }; /* the whole block as it stands */
	uint32_t value = 0;

	look_at_timer(pm);
	memcpy(image, &pm->status, 2);
	memcpy(image + 2, &pm->enable, 2);
	memcpy(image + ACPI_PM_CONTROL_OFFSET, &pm->control, 2);
	memcpy(image + ACPI_PM_TIMER_OFFSET, &ticks, 4);
	memcpy(&value, image + offset, width);
	return value;
}

static void write_status(struct acpi_pm *pm, uint16_t ones)
{
	if (ones & PM1_TIMER)
		pm->carries_seen = timer_ticks(pm) >> 31;
	pm->status &= (uint16_t) ~(ones & PM1_STATUS_BITS);
}

static void write_control(struct acpi_pm *pm, uint16_t value)
{
	unsigned type = (value >> PM1_SLEEP_TYPE_SHIFT) & 7;

	/* SLP_EN and GBL_RLS are only ever written; SCI_EN is ours. */
	pm->control = (uint16_t)((value & (PM1_BUS_MASTER_RELOAD | 7 << PM1_SLEEP_TYPE_SHIFT)) |
				 PM1_SCI_EN);
	if (!(value & PM1_SLEEP_EN))
		return;
	if (type == ACPI_PM_SLEEP_TYPE_S5)
		pm->config.request_poweroff(pm->config.opaque);
	else
		log_guest("acpi", "sleep type %u is not one that this board has", type);
}

static uint16_t merge(uint16_t old, uint64_t mask, uint64_t value)
{
	return (uint16_t)((old & ~mask) | (value & mask));
}

static void pm_write(void *opaque, uint64_t offset, unsigned width, uint64_t value)
{
	struct acpi_pm *pm = opaque;
	uint64_t mask;

	if (offset >= ACPI_PM_TIMER_OFFSET)
		return;
	/* The eight bytes of status, enable and control, and which of them are written: any width
	 * at any place. */
	mask = ((UINT64_C(1) << (8 * width)) - 1) << (8 * offset);
	value <<= 8 * offset;
	write_status(pm, merge(0, mask, value));
	if (mask >> 16 & 0xffff)
		pm->enable = merge(pm->enable, mask >> 16, value >> 16) & PM1_ENABLE_BITS;
	if (mask >> 32 & 0xffff)
		write_control(pm, merge(pm->control, mask >> 32, value >> 32));
	update(pm);
}

static const struct bus_region_ops pm_ops = { .read = pm_read, .write = pm_write };

static void pm_reset(struct device *device)
{
	struct acpi_pm *pm = container_of(device, struct acpi_pm, base);

	pthread_mutex_lock(&device->lock);
	pm->status = pm->enable = 0;
	pm->control = PM1_SCI_EN;
	pm->carries_seen = timer_ticks(pm) >> 31;
	update(pm);
	pthread_mutex_unlock(&device->lock);
}

static void pm_destroy(struct device *device)
{
	struct acpi_pm *pm = container_of(device, struct acpi_pm, base);

	(void)bus_remove(pm->config.ports, pm->config.base_port);
	timer_fini(&pm->carry);
	device_fini(device);
	free(pm);
}

static const struct device_ops pm_device_ops = {
	.name = "acpi-pm",
	.reset = pm_reset,
	.destroy = pm_destroy,
};

int acpi_pm_create(const struct acpi_pm_config *config, struct acpi_pm **out, struct error *err)
{
	struct acpi_pm *pm = calloc(1, sizeof(*pm));
	struct bus_region region = {
		.base = config->base_port,
		.length = ACPI_PM_PORTS,
		.widths = BUS_WIDTH_1 | BUS_WIDTH_2 | BUS_WIDTH_4,
		.owner = "acpi-pm",
		.ops = &pm_ops,
		.opaque = pm,
	};
	int ret;

	if (!pm)
		return error_set(err, ENOMEM, "acpi-pm: out of memory");
	device_init(&pm->base, &pm_device_ops);
	pm->config = *config;
	pm->control = PM1_SCI_EN;
	timer_init(&pm->carry, config->timers, &pm->base.lock, carry_expired, pm);
	pm->carries_seen = timer_ticks(pm) >> 31;
	region.lock = &pm->base.lock;
	ret = bus_add(config->ports, &region, err);
	if (ret) {
		timer_fini(&pm->carry);
		device_fini(&pm->base);
		free(pm);
		return ret;
	}
	*out = pm;
	return 0;
}

struct device *acpi_pm_device(struct acpi_pm *pm)
{
	return &pm->base;
}

void acpi_pm_press_power_button(struct acpi_pm *pm)
{
	pthread_mutex_lock(&pm->base.lock);
	pm->status |= PM1_POWER_BUTTON;
	update(pm);
	pthread_mutex_unlock(&pm->base.lock);
}
