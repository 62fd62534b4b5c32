/* ACPI's fixed power management registers: power button, soft off, timer. See acpi_pm.c. */
#ifndef VMGUI_DEVICES_ACPI_PM_H
#define VMGUI_DEVICES_ACPI_PM_H

#include "core/bus.h"
#include "core/device.h"
#include "core/irq.h"
#include "core/timer.h"

/* Offsets from the base port; 12 ports in all. */
#define ACPI_PM_EVENT_OFFSET   0u
#define ACPI_PM_CONTROL_OFFSET 4u
#define ACPI_PM_TIMER_OFFSET   8u
#define ACPI_PM_PORTS          12u

#define ACPI_PM_SLEEP_TYPE_S5 5u /* as \_S5 in assets/acpi/dsdt.asl says */

struct acpi_pm_config {
	struct bus *ports;
	uint16_t base_port;
	struct irq_line sci; /* level-triggered */
	struct timer_queue *timers;
	void (*request_poweroff)(void *opaque); /* with the device's lock held */
	void *opaque;
};

struct acpi_pm;

VMGUI_MUST_USE int acpi_pm_create(
	const struct acpi_pm_config *config, struct acpi_pm **out, struct error *err);
struct device *acpi_pm_device(struct acpi_pm *pm);
/* The user pressed the power button. Any thread. */
void acpi_pm_press_power_button(struct acpi_pm *pm);

#endif
