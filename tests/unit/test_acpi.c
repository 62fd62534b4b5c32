/* core/acpi: the tables as an operating system finds and checks them, and as iasl reads them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "core/acpi.h"

extern const uint8_t vmgui_dsdt_aml[], vmgui_dsdt_aml_end[];

#define FADT_BYTES 276u

static struct acpi_config board_config(unsigned cpus)
{
	return (struct acpi_config){
		.cpus = cpus,
		.dsdt = vmgui_dsdt_aml,
		.dsdt_bytes = (size_t)(vmgui_dsdt_aml_end - vmgui_dsdt_aml),
		.level_irqs = 1 << 5 | 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11,
		.sci_irq = 9,
		.pm_event_port = 0x600,
		.pm_control_port = 0x604,
		.pm_timer_port = 0x608,
		.reset_port = 0xcf9,
		.reset_value = 6,
	};
}

static int setup(void **state)
{
	struct guest_mem *mem = calloc(1, sizeof(*mem));

	if (guest_mem_init(mem, MIB(4), NULL))
		return -1;
	*state = mem;
	return 0;
}

static int teardown(void **state)
{
	guest_mem_fini(*state);
	free(*state);
	return 0;
}

static uint64_t get(const uint8_t *bytes, unsigned offset, unsigned length)
{
	uint64_t value = 0;

	memcpy(&value, bytes + offset, length);
	return value;
}

static uint8_t sum(const uint8_t *bytes, uint64_t length)
{
	uint8_t total = 0;

	for (uint64_t i = 0; i < length; i++)
		total = (uint8_t)(total + bytes[i]);
	return total;
}

/* Bytes of the guest's at gpa, which must lie where the memory map says that tables are. */
static const uint8_t *at(const struct guest_mem *mem, uint64_t gpa, uint64_t length)
{
	struct guest_slice slice;

	assert_true(gpa >= ACPI_RSDP_GPA && gpa + length <= ACPI_TABLES_END);
	assert_int_equal(guest_mem_slice(mem, gpa, length, &slice), 0);
	return slice.data;
}

/* A table with the standard header: signature and checksum are right. */
static const uint8_t *table_at(const struct guest_mem *mem, uint64_t gpa, const char *signature)
{
	const uint8_t *header = at(mem, gpa, 36);
	uint64_t length = get(header, 4, 4);

	assert_memory_equal(header, signature, 4);
	assert_true(length >= 36);
	assert_int_equal(sum(at(mem, gpa, length), length), 0);
	assert_memory_equal(header + 10, "VMGUI ", 6);
	return header;
}

struct tables {
	const uint8_t *rsdp, *xsdt, *fadt, *madt, *facs, *dsdt;
};

static struct tables follow(const struct guest_mem *mem)
{
	struct tables t;
	uint64_t facs_gpa;

	t.rsdp = at(mem, ACPI_RSDP_GPA, 36);
	assert_memory_equal(t.rsdp, "RSD PTR ", 8);
	assert_int_equal(sum(t.rsdp, 20), 0);
	assert_int_equal(sum(t.rsdp, 36), 0);
	assert_int_equal(t.rsdp[15], 2);
	assert_int_equal(get(t.rsdp, 20, 4), 36);
	t.xsdt = table_at(mem, get(t.rsdp, 24, 8), "XSDT");
	assert_int_equal(get(t.xsdt, 4, 4), 36 + 2 * 8);
	t.fadt = table_at(mem, get(t.xsdt, 36, 8), "FACP");
	t.madt = table_at(mem, get(t.xsdt, 44, 8), "APIC");
	t.dsdt = table_at(mem, get(t.fadt, 40, 4), "DSDT");
	assert_int_equal(get(t.fadt, 140, 8), get(t.fadt, 40, 4));
	facs_gpa = get(t.fadt, 36, 4);
	assert_int_equal(facs_gpa % 64, 0);
	t.facs = at(mem, facs_gpa, 64);
	assert_memory_equal(t.facs, "FACS", 4);
	assert_int_equal(get(t.facs, 4, 4), 64);
	return t;
}

static void acpi_rsdp_leads_to_every_table(void **state)
{
	struct guest_mem *mem = *state;
	struct acpi_config config = board_config(1);
	struct tables t;

	assert_int_equal(acpi_write_tables(&config, mem, NULL), 0);
	t = follow(mem);
	assert_memory_equal(t.dsdt, vmgui_dsdt_aml, config.dsdt_bytes);
	/* What searches the area in steps of 16 bytes finds it. */
	assert_int_equal(ACPI_RSDP_GPA % 16, 0);
}

static void check_port(const uint8_t *fadt, unsigned offset, unsigned bytes, uint16_t port)
{
	assert_int_equal(fadt[offset], 1);
	assert_int_equal(fadt[offset + 1], 8 * bytes);
	assert_int_equal(fadt[offset + 2], 0);
	assert_int_equal(fadt[offset + 3], bytes == 4 ? 3 : bytes);
	assert_int_equal(get(fadt, offset + 4, 8), port);
}

static void acpi_fadt_tells_the_registers(void **state)
{
	struct guest_mem *mem = *state;
	struct acpi_config config = board_config(2);
	const uint8_t *fadt;
	uint64_t flags;

	assert_int_equal(acpi_write_tables(&config, mem, NULL), 0);
	fadt = follow(mem).fadt;
	assert_int_equal(get(fadt, 4, 4), FADT_BYTES);
	assert_int_equal(fadt[8], 6);
	assert_int_equal(get(fadt, 46, 2), 9);
	assert_int_equal(get(fadt, 48, 4), 0); /* no SMI command: always in ACPI mode */
	assert_int_equal(get(fadt, 56, 4), 0x600);
	assert_int_equal(get(fadt, 64, 4), 0x604);
	assert_int_equal(get(fadt, 76, 4), 0x608);
	assert_int_equal(fadt[88], 4);
	assert_int_equal(fadt[89], 2);
	assert_int_equal(fadt[91], 4);
	assert_true(get(fadt, 96, 2) > 100);  /* no C2 */
	assert_true(get(fadt, 98, 2) > 1000); /* no C3 */
	assert_int_equal(fadt[108], 0x32);
	assert_int_equal(get(fadt, 109, 2) & 0x3, 0x3); /* ISA devices and the 8042 are there */
	assert_int_equal(get(fadt, 109, 2) & 0x24, 0);  /* so are VGA and RTC */
	flags = get(fadt, 112, 4);
	assert_int_equal(flags & 1 << 4, 0); /* the power button is fixed hardware */
	assert_int_equal(flags & 1 << 5, 1 << 5);
	assert_int_equal(flags & 1 << 8, 1 << 8);
	assert_int_equal(flags & 1 << 10, 1 << 10);
	assert_int_equal(flags & 1 << 20, 0); /* fixed hardware is not left out */
	check_port(fadt, 116, 1, 0xcf9);
	assert_int_equal(fadt[128], 6);
	check_port(fadt, 148, 4, 0x600);
	check_port(fadt, 172, 2, 0x604);
	check_port(fadt, 208, 4, 0x608);
}

static void check_madt(const struct guest_mem *mem, const struct acpi_config *config)
{
	const uint8_t *madt = follow(mem).madt;
	uint64_t length = get(madt, 4, 4), offset = 44;
	unsigned cpus = 0, io_apics = 0, nmis = 0;
	uint16_t overrides = 0;

	assert_int_equal(get(madt, 36, 4), 0xfee00000);
	assert_int_equal(get(madt, 40, 4), 1);
	while (offset < length) {
		const uint8_t *entry = madt + offset;

		assert_true(entry[1] >= 2 && offset + entry[1] <= length);
		switch (entry[0]) {
		case 0:
			assert_int_equal(entry[1], 8);
			assert_int_equal(entry[2], cpus);
			assert_int_equal(entry[3], cpus);
			assert_int_equal(get(entry, 4, 4), 1);
			cpus++;
			break;
		case 1:
			assert_int_equal(entry[1], 12);
			assert_int_equal(get(entry, 4, 4), 0xfec00000);
			assert_int_equal(get(entry, 8, 4), 0);
			io_apics++;
			break;
		case 2:
			assert_int_equal(entry[1], 10);
			assert_int_equal(entry[2], 0);
			assert_int_equal(get(entry, 4, 4), entry[3]);
			assert_int_equal(get(entry, 8, 2), 0xd); /* level, active high */
			assert_int_equal(overrides & 1 << entry[3], 0);
			overrides |= (uint16_t)(1 << entry[3]);
			break;
		case 4:
			assert_int_equal(entry[1], 6);
			assert_int_equal(entry[2], 0xff);
			assert_int_equal(entry[5], 1);
			nmis++;
			break;
		default:
			fail_msg("entry of type %u", entry[0]);
		}
		offset += entry[1];
	}
	assert_int_equal(offset, length);
	assert_int_equal(cpus, config->cpus);
	assert_int_equal(io_apics, 1);
	assert_int_equal(nmis, 1);
	assert_int_equal(overrides, config->level_irqs);
}

static void acpi_madt_has_each_processor_once(void **state)
{
	struct guest_mem *mem = *state;

	for (unsigned cpus = 1; cpus <= 255; cpus++) {
		struct acpi_config config = board_config(cpus);

		guest_mem_clear(mem);
		assert_int_equal(acpi_write_tables(&config, mem, NULL), 0);
		check_madt(mem, &config);
	}
}

static void acpi_madt_has_each_level_interrupt(void **state)
{
	struct guest_mem *mem = *state;
	static const uint16_t levels[] = { 0, 1, 0x8000, 0x5555, 0xffff };

	for (size_t i = 0; i < array_size(levels); i++) {
		struct acpi_config config = board_config(3);

		config.level_irqs = levels[i];
		guest_mem_clear(mem);
		assert_int_equal(acpi_write_tables(&config, mem, NULL), 0);
		check_madt(mem, &config);
	}
}

static void acpi_tables_without_room_say_so(void **state)
{
	struct guest_mem *mem = *state;
	struct acpi_config config = board_config(255);
	size_t room = (size_t)(ACPI_TABLES_END - ACPI_RSDP_GPA);
	uint8_t *big = calloc(1, room + 1);
	struct error err = { .text = "" };

	assert_non_null(big);
	memcpy(big, "DSDT", 4);
	config.dsdt = big;
	/* Too large by itself, then too large with what comes behind it. */
	config.dsdt_bytes = room + 1;
	assert_int_equal(acpi_write_tables(&config, mem, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "no room"));
	for (size_t less = 0; less <= 2500; less += 100) {
		config.dsdt_bytes = room - less;
		assert_int_equal(acpi_write_tables(&config, mem, &err), -ENOSPC);
	}
	config.dsdt_bytes = room - 4000;
	assert_int_equal(acpi_write_tables(&config, mem, &err), 0);
	/* Nothing is written behind the area either way. */
	assert_int_equal(sum(mem->regions[0].start_hva + ACPI_TABLES_END, PAGE_BYTES), 0);
	free(big);
}

static void acpi_tables_do_not_fit_into_too_little_ram(void **state)
{
	struct acpi_config config = board_config(1);
	struct guest_mem small = { 0 };
	struct error err;

	(void)state;
	/* No RAM at all there. */
	assert_int_equal(acpi_write_tables(&config, &small, &err), -EFAULT);
}

static void save(const char *folder, const char *name, const uint8_t *table)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.dat", folder, name);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(table, 1, get(table, 4, 4), file), get(table, 4, 4));
	assert_int_equal(fclose(file), 0);
}

static void acpi_tables_are_what_iasl_expects(void **state)
{
	struct guest_mem *mem = *state;
	struct acpi_config config = board_config(4);
	struct tables t;
	char folder[] = "/tmp/test_acpi.XXXXXX", command[512];
	int status;

	if (system("command -v iasl >/dev/null"))
		skip();
	assert_int_equal(acpi_write_tables(&config, mem, NULL), 0);
	t = follow(mem);
	assert_non_null(mkdtemp(folder));
	save(folder, "xsdt", t.xsdt);
	save(folder, "facp", t.fadt);
	save(folder, "apic", t.madt);
	save(folder, "facs", t.facs);
	save(folder, "dsdt", t.dsdt);
	/* It ends with status 0 whatever it found, and says in the listing what is wrong. */
	snprintf(command, sizeof(command),
		"cd %s && for t in xsdt facp apic facs dsdt; do iasl -d $t.dat >$t.log 2>&1 || "
		"exit 1; "
		"test -s $t.dsl || exit 1; done; "
		"! grep -iE 'error|invalid|incorrect|unknown|should be' *.log *.dsl",
		folder);
	status = system(command);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
	assert_int_equal(status, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(acpi_rsdp_leads_to_every_table),
		TEST(acpi_fadt_tells_the_registers),
		TEST(acpi_madt_has_each_processor_once),
		TEST(acpi_madt_has_each_level_interrupt),
		TEST(acpi_tables_without_room_say_so),
		TEST(acpi_tables_do_not_fit_into_too_little_ram),
		TEST(acpi_tables_are_what_iasl_expects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
