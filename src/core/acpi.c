#include "core/acpi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOCAL_APIC_ADDRESS 0xfee00000u
#define IO_APIC_ADDRESS    0xfec00000u
#define HEADER_BYTES       36u
#define FADT_BYTES         276u
#define FACS_BYTES         64u

enum fadt_flag {
	FADT_WBINVD = 1 << 0,
	FADT_PROC_C1 = 1 << 2,
	FADT_SLEEP_BUTTON_NOT_FIXED = 1 << 5,
	FADT_RTC_WAKE_NOT_FIXED = 1 << 6,
	FADT_TIMER_32_BITS = 1 << 8,
	FADT_RESET_REGISTER = 1 << 10,
};

enum boot_arch_flag {
	BOOT_ARCH_LEGACY_DEVICES = 1 << 0,
	BOOT_ARCH_8042 = 1 << 1,
};

/* Tables grow upwards in a buffer that is copied into the guest as a whole. */
struct builder {
	uint8_t *bytes;
	size_t capacity, used;
	bool overflow;
};

static uint8_t *take(struct builder *b, size_t length, size_t alignment)
{
	size_t at = (size_t)align_up(b->used, alignment);

	if (!range_fits(at, length, b->capacity)) {
		b->overflow = true;
		return NULL;
	}
	b->used = at + length;
	return b->bytes + at;
}

static uint64_t gpa_of(const struct builder *b, const uint8_t *table)
{
	return ACPI_RSDP_GPA + (uint64_t)(table - b->bytes);
}

/* Little-endian field of `length` bytes. */
static void put(uint8_t *table, unsigned offset, uint64_t value, unsigned length)
{
	memcpy(table + offset, &value, length);
}

/* Generic address structure, ACPI 6.5 section 5.2.3.2, of an I/O port. */
static void put_port(uint8_t *table, unsigned offset, uint16_t port, unsigned bytes)
{
	static const uint8_t access[] = { 0, 1, 2, 0, 3 };

	table[offset] = 1; /* system I/O */
	table[offset + 1] = (uint8_t)(8 * bytes);
	table[offset + 2] = 0;
	table[offset + 3] = access[bytes <= 4 ? bytes : 0];
	put(table, offset + 4, port, 8);
}

static void put_checksum(uint8_t *table, size_t length, unsigned offset)
{
	uint8_t sum = 0;

	table[offset] = 0;
	for (size_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + table[i]);
	table[offset] = (uint8_t)-sum;
}

static uint8_t *begin_table(
	struct builder *b, const char *signature, uint8_t revision, size_t length)
{
	uint8_t *table = take(b, length, 16);

	if (!table)
		return NULL;
	memcpy(table, signature, 4);
	put(table, 4, length, 4);
	table[8] = revision;
	memcpy(table + 10, "VMGUI ", 6);
	memcpy(table + 16, "VMGUIPC ", 8);
	put(table, 24, 1, 4);
	memcpy(table + 28, "VMGU", 4);
	put(table, 32, 1, 4);
	return table;
}

static uint8_t *build_madt(struct builder *b, const struct acpi_config *config)
{
	unsigned overrides = (unsigned)__builtin_popcount(config->level_irqs);
	size_t length =
		HEADER_BYTES + 8 + 8 * (size_t)config->cpus + 12 + 10 * (size_t)overrides + 6;
	uint8_t *table = begin_table(b, "APIC", 5, length), *p;

	if (!table)
		return NULL;
	put(table, 36, LOCAL_APIC_ADDRESS, 4);
	put(table, 40, 1, 4); /* there is a PIC pair as well */
	p = table + 44;
	for (unsigned i = 0; i < config->cpus; i++, p += 8) {
		p[0] = 0; /* processor's local APIC */
		p[1] = 8;
		p[2] = (uint8_t)i;
		p[3] = (uint8_t)i;
		put(p, 4, 1, 4); /* enabled */
	}
	p[0] = 1; /* I/O APIC, for interrupts from 0 */
	p[1] = 12;
	p[2] = 0;
	put(p, 4, IO_APIC_ADDRESS, 4);
	put(p, 8, 0, 4);
	p += 12;
	for (unsigned irq = 0; irq < 16; irq++) {
		if (!(config->level_irqs & 1u << irq))
			continue;
		p[0] = 2; /* interrupt source override: the same number, but level, active high */
		p[1] = 10;
		p[2] = 0;
		p[3] = (uint8_t)irq;
		put(p, 4, irq, 4);
		put(p, 8, 0xd, 2);
		p += 10;
	}
	p[0] = 4; /* NMI on LINT1 of every processor */
	p[1] = 6;
	p[2] = 0xff;
	put(p, 3, 0, 2);
	p[5] = 1;
	put_checksum(table, length, 9);
	return table;
}

static uint8_t *build_fadt(
	struct builder *b, const struct acpi_config *config, uint64_t facs, uint64_t dsdt)
{
	uint8_t *table = begin_table(b, "FACP", 6, FADT_BYTES);

	if (!table)
		return NULL;
	put(table, 36, facs, 4);
	put(table, 40, dsdt, 4);
	put(table, 46, config->sci_irq, 2);
	/* No SMI command port: the guest finds itself in ACPI mode. */
	put(table, 56, config->pm_event_port, 4);
	put(table, 64, config->pm_control_port, 4);
	put(table, 76, config->pm_timer_port, 4);
	table[88] = 4;             /* PM1 event length */
	table[89] = 2;             /* PM1 control length */
	table[91] = 4;             /* PM timer length */
	put(table, 96, 0xffff, 2); /* no C2 */
	put(table, 98, 0xffff, 2); /* no C3 */
	table[108] = 0x32;         /* century byte in the RTC */
	put(table, 109, BOOT_ARCH_LEGACY_DEVICES | BOOT_ARCH_8042, 2);
	put(table, 112,
		FADT_WBINVD | FADT_PROC_C1 | FADT_SLEEP_BUTTON_NOT_FIXED | FADT_RTC_WAKE_NOT_FIXED |
			FADT_TIMER_32_BITS | FADT_RESET_REGISTER,
		4);
	put_port(table, 116, config->reset_port, 1);
	table[128] = config->reset_value;
	table[131] = 5; /* FADT minor version */
	put(table, 140, dsdt, 8);
	put_port(table, 148, config->pm_event_port, 4);
	put_port(table, 172, config->pm_control_port, 2);
	put_port(table, 208, config->pm_timer_port, 4);
	put_checksum(table, FADT_BYTES, 9);
	return table;
}

static int build(struct builder *b, const struct acpi_config *config)
{
	uint8_t *rsdp = take(b, 36, 16), *facs, *dsdt, *fadt, *madt, *xsdt;

	facs = take(b, FACS_BYTES, 64);
	dsdt = take(b, config->dsdt_bytes, 16);
	if (!rsdp || !facs || !dsdt)
		return -ENOSPC;
	memcpy(facs, "FACS", 4);
	put(facs, 4, FACS_BYTES, 4);
	facs[32] = 2;
	memcpy(dsdt, config->dsdt, config->dsdt_bytes);
	fadt = build_fadt(b, config, gpa_of(b, facs), gpa_of(b, dsdt));
	madt = build_madt(b, config);
	xsdt = begin_table(b, "XSDT", 1, HEADER_BYTES + 2 * 8);
	if (!fadt || !madt || !xsdt)
		return -ENOSPC;
	put(xsdt, 36, gpa_of(b, fadt), 8);
	put(xsdt, 44, gpa_of(b, madt), 8);
	put_checksum(xsdt, HEADER_BYTES + 2 * 8, 9);

	memcpy(rsdp, "RSD PTR ", 8);
	memcpy(rsdp + 9, "VMGUI ", 6);
	rsdp[15] = 2;
	put(rsdp, 20, 36, 4);
	put(rsdp, 24, gpa_of(b, xsdt), 8);
	put_checksum(rsdp, 20, 8);
	put_checksum(rsdp, 36, 32);
	return 0;
}

int acpi_write_tables(
	const struct acpi_config *config, const struct guest_mem *mem, struct error *err)
{
	struct builder b = { .capacity = (size_t)(ACPI_TABLES_END - ACPI_RSDP_GPA) };
	int ret;

	b.bytes = calloc(1, b.capacity);
	if (!b.bytes)
		return error_set(err, ENOMEM, "ACPI tables: out of memory");
	ret = build(&b, config);
	if (!ret)
		ret = guest_mem_write(mem, ACPI_RSDP_GPA, b.bytes, b.used);
	free(b.bytes);
	if (ret)
		return error_set(err, -ret, "ACPI tables: no room for them (give fewer --cpus)");
	return 0;
}
