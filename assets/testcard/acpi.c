/* As much of ACPI 6.4 as switching off, resetting and the power button take: RSDP (5.2.5), RSDT and
 * XSDT (5.2.7, 5.2.8), FADT (5.2.9), MADT (5.2.12), and \_S5_ read from the DSDT's bytes, without
 * an interpreter. Without tables, the ports are where vmgui has them. */
#include "card.h"

#define DEFAULT_PM1_EVENT   0x600
#define DEFAULT_PM1_CONTROL 0x604
#define DEFAULT_SLP_TYP     5

#define PM1_POWER_BUTTON 0x0100 /* in the status and in the enable register */
#define PM1_SLP_TYP_BIT  10
#define PM1_SLP_EN       0x2000

#define TABLE_HEADER_BYTES 36u
#define FADT_DSDT          40u
#define FADT_PM1A_EVENT    56u
#define FADT_PM1A_CONTROL  64u
#define FADT_PM1_EVENT_LEN 88u
#define FADT_FLAGS         112u
#define FADT_FLAG_RESET    0x400u
#define FADT_RESET_REG     116u
#define FADT_RESET_VALUE   128u
#define FADT_X_DSDT        140u
#define GAS_SYSTEM_IO      1

#define MADT_ENTRIES    44u
#define MADT_LOCAL_APIC 0
#define MADT_ENABLED    1u

#define RSDP_SCAN_START 0xe0000u
#define RSDP_SCAN_END   0x100000u
#define RSDP_REVISION   15u
#define RSDP_RSDT       16u
#define RSDP_XSDT       24u

/* Addresses from tables are only followed inside what is mapped. */
#define MAPPED_END 0x100000000u

static const uint8_t *fadt, *madt;
static uint16_t pm1_event = DEFAULT_PM1_EVENT, pm1_control = DEFAULT_PM1_CONTROL;
static uint16_t slp_typ = DEFAULT_SLP_TYP;

static uint32_t read32(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
	       (uint32_t)at[3] << 24;
}

static uint64_t read64(const uint8_t *at)
{
	return read32(at) | (uint64_t)read32(at + 4) << 32;
}

static uint32_t table_length(const uint8_t *table)
{
	return read32(table + 4);
}

/* The table there if its signature and checksum are right. */
static const uint8_t *table_at(uint64_t address, const char *signature)
{
	const uint8_t *table = (const uint8_t *)(uintptr_t)address;
	uint8_t sum = 0;
	uint32_t length;

	if (!address || address > MAPPED_END - TABLE_HEADER_BYTES ||
		memcmp(table, signature, 4) != 0)
		return NULL;
	length = table_length(table);
	if (length < TABLE_HEADER_BYTES || length > MAPPED_END - address)
		return NULL;
	for (uint32_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + table[i]);
	return sum ? NULL : table;
}

static const uint8_t *find_rsdp(void)
{
	uint64_t address = boot_rsdp();

	if (address && address < MAPPED_END - 64 &&
		memcmp((const void *)(uintptr_t)address, "RSD PTR ", 8) == 0)
		return (const uint8_t *)(uintptr_t)address;
	for (address = RSDP_SCAN_START; address < RSDP_SCAN_END; address += 16) {
		if (memcmp((const void *)(uintptr_t)address, "RSD PTR ", 8) == 0)
			return (const uint8_t *)(uintptr_t)address;
	}
	return NULL;
}

/* Name (\_S5_, Package () { SLP_TYPa, ... }): 08 [5c] "_S5_" 12 length count first-element. */
static void find_s5(const uint8_t *dsdt)
{
	uint32_t length = table_length(dsdt);

	for (uint32_t i = TABLE_HEADER_BYTES + 2; i + 12 < length; i++) {
		const uint8_t *at = dsdt + i;

		if (memcmp(at, "_S5_", 4) != 0 || at[4] != 0x12 ||
			(at[-1] != 0x08 && !(at[-1] == '\\' && at[-2] == 0x08)))
			continue;
		at += 5;
		at += 1 + (*at >> 6); /* package length */
		at++;                 /* number of elements */
		if (*at == 0x0a) /* byte prefix; else the constants 0 and 1 stand for themselves */
			at++;
		slp_typ = *at;
		return;
	}
}

void acpi_init(void)
{
	const uint8_t *rsdp = find_rsdp(), *list = NULL, *dsdt;
	uint32_t size = 8;

	if (rsdp && rsdp[RSDP_REVISION] >= 2)
		list = table_at(read64(rsdp + RSDP_XSDT), "XSDT");
	if (rsdp && !list) {
		list = table_at(read32(rsdp + RSDP_RSDT), "RSDT");
		size = 4;
	}
	for (uint32_t i = TABLE_HEADER_BYTES; list && i + size <= table_length(list); i += size) {
		uint64_t address = size == 8 ? read64(list + i) : read32(list + i);

		if (!fadt)
			fadt = table_at(address, "FACP");
		if (!madt)
			madt = table_at(address, "APIC");
	}
	if (fadt && table_length(fadt) >= FADT_RESET_REG) {
		pm1_event = (uint16_t)read32(fadt + FADT_PM1A_EVENT);
		pm1_control = (uint16_t)read32(fadt + FADT_PM1A_CONTROL);
		dsdt = table_length(fadt) >= FADT_X_DSDT + 8
			       ? table_at(read64(fadt + FADT_X_DSDT), "DSDT")
			       : NULL;
		if (!dsdt)
			dsdt = table_at(read32(fadt + FADT_DSDT), "DSDT");
		if (dsdt)
			find_s5(dsdt);
	}
	if (in16(pm1_event) == 0xffff) {
		pm1_event = 0;
		return;
	}
	out16(pm1_event, PM1_POWER_BUTTON);
	out16((uint16_t)(pm1_event + 2), PM1_POWER_BUTTON);
	interrupts_unmask(IRQ_SCI);
}

bool acpi_power_button(void)
{
	if (!pm1_event || !(in16(pm1_event) & PM1_POWER_BUTTON))
		return false;
	out16(pm1_event, PM1_POWER_BUTTON);
	return true;
}

void acpi_power_off(void)
{
	out16(pm1_control, (uint16_t)(slp_typ << PM1_SLP_TYP_BIT | PM1_SLP_EN));
}

bool acpi_reset(void)
{
	if (!fadt || table_length(fadt) <= FADT_RESET_VALUE ||
		!(read32(fadt + FADT_FLAGS) & FADT_FLAG_RESET) ||
		fadt[FADT_RESET_REG] != GAS_SYSTEM_IO)
		return false;
	out8((uint16_t)read64(fadt + FADT_RESET_REG + 4), fadt[FADT_RESET_VALUE]);
	return true;
}

unsigned acpi_processors(uint8_t *apic_ids, unsigned max)
{
	unsigned count = 0;

	for (uint32_t i = MADT_ENTRIES; madt && i + 8 <= table_length(madt);) {
		const uint8_t *entry = madt + i;

		if (entry[1] < 2)
			break;
		if (entry[0] == MADT_LOCAL_APIC && (read32(entry + 4) & MADT_ENABLED) &&
			count < max)
			apic_ids[count++] = entry[3];
		i += entry[1];
	}
	return count;
}
