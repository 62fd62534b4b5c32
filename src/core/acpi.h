/* ACPI tables: how an operating system finds processors, interrupt routing, power and reset.
 *
 * RSDP, XSDT, FADT, FACS, MADT are made here; the DSDT is compiled from assets/acpi/dsdt.asl. They
 * lie in the area where firmware's would, from ACPI_RSDP_GPA up, inside the range that the memory
 * map calls reserved. Source: ACPI 6.5, sections 5.2.5 (RSDP), 5.2.8 (XSDT), 5.2.9 (FADT), 5.2.10
 * (FACS), 5.2.12 (MADT). */
#ifndef VMGUI_CORE_ACPI_H
#define VMGUI_CORE_ACPI_H

#include "core/error.h"
#include "core/guest_mem.h"

#define ACPI_RSDP_GPA   UINT64_C(0xe0000)
#define ACPI_TABLES_END UINT64_C(0x100000)

struct acpi_config {
	unsigned cpus; /* APIC IDs 0 to cpus - 1 */
	const uint8_t *dsdt;
	size_t dsdt_bytes;
	uint16_t level_irqs; /* ISA interrupts that are level-triggered, active high */
	uint16_t sci_irq;
	/* Fixed hardware: PM1a event (4 ports), PM1a control (2), PM timer (4). */
	uint16_t pm_event_port, pm_control_port, pm_timer_port;
	uint16_t reset_port;
	uint8_t reset_value;
};

/* -ENOSPC: the tables do not fit. */
VMGUI_MUST_USE int acpi_write_tables(
	const struct acpi_config *config, const struct guest_mem *mem, struct error *err);

#endif
