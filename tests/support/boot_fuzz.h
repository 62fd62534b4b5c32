/* What the fuzz targets of boot share: one image is opened and loaded twice, as at a reset. */
#ifndef VMGUI_TESTS_BOOT_FUZZ_H
#define VMGUI_TESTS_BOOT_FUZZ_H

#include <stdlib.h>

#include "core/boot/boot.h"
#include "core/module.h"

#define BOOT_FUZZ_RAM MIB(48)

static inline void boot_fuzz_run(const uint8_t *data, size_t size)
{
	static const struct boot_memory_range acpi = { MIB(40), MIB(1), BOOT_MEMORY_ACPI };
	static const struct boot_machine machine = { .ranges = &acpi, .range_count = 1 };
	static struct guest_mem mem;
	struct boot_options options = { .embedded_image = data,
		.embedded_bytes = size,
		.embedded_name = "fuzz",
		.params = "quiet",
		.ram_bytes = BOOT_FUZZ_RAM };
	struct boot_image *image;
	struct boot_entry entry;

	if (!mem.size_bytes) {
		static struct module *module;

		/* Held open, so that each run does not load it anew. */
		if (guest_mem_init(&mem, BOOT_FUZZ_RAM, NULL) ||
			module_open("unpack", &module, NULL))
			abort();
	}
	if (boot_open(&options, &image, NULL) != 0)
		return;
	for (unsigned i = 0; i < 2; i++) {
		if (boot_load(image, &mem, &machine, &entry, NULL) == 0 &&
			entry.rip >= BOOT_FUZZ_RAM)
			abort(); /* an entry outside of what was loaded */
		guest_mem_clear(&mem);
	}
	boot_close(image);
}

#endif
