/* From a file to the guest's memory and first state: each kind of kernel. */
#include "cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/boot/boot.h"
#include "core/boot/reloc.h"
#include "kernel_image.h"

#define RAM MIB(64)

struct fixture {
	struct guest_mem mem;
	struct boot_options options;
	struct boot_machine machine;
	struct boot_entry entry;
	struct boot_image *boot;
	struct error err;
	struct image file;
	char folder[32], initrd[64];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f || guest_mem_init(&f->mem, RAM, NULL))
		return -1;
	strcpy(f->folder, "/tmp/vmgui-test-XXXXXX");
	if (!mkdtemp(f->folder))
		return -1;
	snprintf(f->initrd, sizeof(f->initrd), "%s/initrd", f->folder);
	f->options = (struct boot_options){
		.embedded_name = "test image", .params = "console=ttyS0", .ram_bytes = RAM
	};
	f->machine.acpi_rsdp_gpa = 0xe0000;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	boot_close(f->boot);
	guest_mem_fini(&f->mem);
	image_free(&f->file);
	unlink(f->initrd);
	rmdir(f->folder);
	free(f);
	return 0;
}

static int load(struct fixture *f)
{
	int r;

	boot_close(f->boot);
	f->boot = NULL;
	f->err.text[0] = '\0';
	f->options.embedded_image = f->file.data;
	f->options.embedded_bytes = f->file.size_bytes;
	guest_mem_clear(&f->mem);
	r = boot_open(&f->options, &f->boot, &f->err);
	return r ? r : boot_load(f->boot, &f->mem, &f->machine, &f->entry, &f->err);
}

static void load_well(struct fixture *f)
{
	int r = load(f);

	if (r)
		print_error("%s\n", f->err.text);
	assert_int_equal(r, 0);
}

static struct boot_params params(struct fixture *f)
{
	struct boot_params p;

	assert_int_equal(guest_mem_read(&f->mem, f->entry.rsi, &p, sizeof(p)), 0);
	return p;
}

static uint64_t guest_u64(struct fixture *f, uint64_t gpa)
{
	uint64_t value;

	assert_int_equal(guest_mem_read(&f->mem, gpa, &value, sizeof(value)), 0);
	return value;
}

static uint8_t guest_byte(struct fixture *f, uint64_t gpa)
{
	uint8_t value;

	assert_int_equal(guest_mem_read(&f->mem, gpa, &value, 1), 0);
	return value;
}

static void write_initrd(struct fixture *f, size_t size_bytes, uint8_t fill)
{
	FILE *file = fopen(f->initrd, "w");

	assert_non_null(file);
	for (size_t i = 0; i < size_bytes; i++)
		fputc(fill, file);
	fclose(file);
	f->options.initrd_path = f->initrd;
}

static const struct elf_spec plain_elf = {
	.entry = MIB(16) + 0x100,
	.segments = { { MIB(16), RELOC_KERNEL_MAP + MIB(16), 0x2000, 0x3000, 0x11 },
		{ MIB(17), RELOC_KERNEL_MAP + MIB(17), 0x1000, 0x100000, 0x22 } },
	.segment_count = 2,
};

static void walk(struct fixture *f, uint64_t address)
{
	uint64_t entry = f->entry.cr3;

	for (int shift = 39; shift >= 21; shift -= 9) {
		entry = guest_u64(f, (entry & ~UINT64_C(0xfff)) + ((address >> shift) & 511) * 8);
		assert_int_equal(entry & 3, 3);
	}
	assert_int_equal(entry & 0x80, 0x80);
	assert_int_equal(entry & ~UINT64_C(0x1fffff), align_down(address, MIB(2)));
}

static void boot_elf64_enters_linux_in_long_mode(void **state)
{
	struct fixture *f = *state;
	struct boot_params p;
	char cmdline[64];

	build_elf(&f->file, &plain_elf);
	load_well(f);
	assert_int_equal(f->entry.mode, BOOT_LONG_64);
	assert_int_equal(f->entry.rip, MIB(16) + 0x100);
	assert_int_equal(guest_byte(f, MIB(16) + 0x1fff), 0x11);
	assert_int_equal(guest_byte(f, MIB(16) + 0x2000), 0);
	assert_int_equal(guest_byte(f, MIB(17)), 0x22);

	p = params(f);
	assert_int_equal(p.hdr.boot_flag, 0xaa55);
	assert_int_equal(p.hdr.type_of_loader, 0xff);
	assert_int_equal(p.hdr.loadflags & KASLR_FLAG, 0);
	assert_int_equal(p.acpi_rsdp_addr, 0xe0000);
	assert_int_equal(p.sentinel, 0);
	assert_int_equal(p.e820_entries, 4);
	assert_int_equal(p.e820_table[3].addr, MIB(1));
	assert_int_equal(p.e820_table[3].size, RAM - MIB(1));
	assert_int_equal(guest_mem_read(&f->mem, p.hdr.cmd_line_ptr, cmdline, 64), 0);
	assert_string_equal(cmdline, "console=ttyS0");

	walk(f, 0);
	walk(f, f->entry.rip);
	walk(f, UINT64_C(0xffffffff));
	assert_true(guest_u64(f, f->entry.gdt_gpa + f->entry.code_selector) ==
		    UINT64_C(0x00af9b000000ffff));
	assert_int_equal(f->entry.code_selector, 0x10);
	assert_int_equal(f->entry.data_selector, 0x18);
	assert_true(f->entry.gdt_limit >= 0x2f);
}

static void boot_elf_virtual_entry_is_translated(void **state)
{
	struct fixture *f = *state;
	struct elf_spec spec = plain_elf;

	spec.entry = RELOC_KERNEL_MAP + MIB(16) + 0x40;
	build_elf(&f->file, &spec);
	load_well(f);
	assert_int_equal(f->entry.mode, BOOT_LONG_64);
	assert_int_equal(f->entry.rip, MIB(16) + 0x40);
}

static void boot_elf32_without_note_enters_linux_in_protected_mode(void **state)
{
	struct fixture *f = *state;
	struct elf_spec spec = { .is_32 = true,
		.entry = MIB(1),
		.segments = { { MIB(1), 0xc0100000, 0x1000, 0x1000, 0x33 } },
		.segment_count = 1 };

	build_elf(&f->file, &spec);
	load_well(f);
	assert_int_equal(f->entry.mode, BOOT_PROTECTED_32);
	assert_int_equal(f->entry.rip, MIB(1));
	assert_int_equal(f->entry.cr3, 0);
	assert_true(guest_u64(f, f->entry.gdt_gpa + f->entry.code_selector) ==
		    UINT64_C(0x00cf9b000000ffff));
	assert_int_equal(params(f).hdr.header, 0x53726448);
}

static void boot_pvh_is_for_what_is_not_linux(void **state)
{
	struct fixture *f = *state;
	struct elf_spec spec = { .is_32 = true,
		.entry = MIB(1),
		.segments = { { MIB(1), MIB(1), 0x1000, 0x1000, 0x33 } },
		.segment_count = 1,
		.pvh_entry = MIB(1) + 0x80 };
	uint32_t info[14];
	uint64_t module;

	write_initrd(f, 5000, 0x77);
	build_elf(&f->file, &spec);
	load_well(f);
	assert_int_equal(f->entry.mode, BOOT_PVH_32);
	assert_int_equal(f->entry.rip, MIB(1) + 0x80);
	assert_int_equal(f->entry.rsi, 0);
	assert_int_equal(guest_mem_read(&f->mem, f->entry.rbx, info, sizeof(info)), 0);
	assert_int_equal(info[0], 0x336ec578);
	assert_int_equal(info[1], 1);
	assert_int_equal(info[3], 1);       /* modules */
	assert_int_equal(info[8], 0xe0000); /* RSDP */
	assert_int_equal(info[12], 4);      /* memory map */
	module = guest_u64(f, info[4]);
	assert_int_equal(guest_u64(f, info[4] + 8), 5000);
	assert_int_equal(guest_byte(f, module + 4999), 0x77);
	assert_int_equal(guest_u64(f, info[10] + 3 * 24), MIB(1));
	assert_int_equal(guest_byte(f, info[6]), 'c');

	spec.linux_note = true;
	build_elf(&f->file, &spec);
	load_well(f);
	assert_int_equal(f->entry.mode, BOOT_PROTECTED_32);

	spec = plain_elf;
	spec.pvh_entry = MIB(16) + 0x80;
	build_elf(&f->file, &spec);
	load_well(f);
	assert_int_equal(f->entry.mode, BOOT_LONG_64);
	spec.entry = RELOC_KERNEL_MAP + MIB(16);
	build_elf(&f->file, &spec);
	load_well(f);
	assert_int_equal(f->entry.mode, BOOT_PVH_32);
}

static void boot_bzimage_without_payload_uses_its_own_decompressor(void **state)
{
	struct fixture *f = *state;
	uint16_t none = 0, version = 0x0205;

	build_bzimage(&f->file, NULL, 0);
	load_well(f);
	assert_int_equal(f->entry.mode, BOOT_LONG_64);
	assert_int_equal(f->entry.rip, MIB(16) + 0x200);
	assert_int_equal(guest_byte(f, MIB(16)), 0x90);
	assert_int_equal(params(f).hdr.code32_start, MIB(16));

	image_put(&f->file, BZIMAGE_FIELD(xloadflags), &none, 2);
	load_well(f);
	assert_int_equal(f->entry.mode, BOOT_PROTECTED_32);
	assert_int_equal(f->entry.rip, MIB(16));

	image_put(&f->file, BZIMAGE_FIELD(version), &version, 2);
	load_well(f);
	assert_int_equal(f->entry.mode, BOOT_PROTECTED_32);
	assert_int_equal(f->entry.rip, MIB(1));
}

static void boot_bzimage_moves_where_there_is_room(void **state)
{
	struct fixture *f = *state;
	uint64_t preferred = MIB(256);
	uint8_t fixed = 0;

	build_bzimage(&f->file, NULL, 0);
	image_put(&f->file, BZIMAGE_FIELD(pref_address), &preferred, 8);
	load_well(f);
	assert_int_equal(f->entry.rip, MIB(2) + 0x200);
	image_put(&f->file, BZIMAGE_FIELD(relocatable_kernel), &fixed, 1);
	assert_int_equal(load(f), -EINVAL);
	assert_non_null(strstr(f->err.text, "--mem"));
}

/* The kernel with relocation tables, in gzip, in a bzImage. */
static void build_packed(struct fixture *f, bool with_tables)
{
	const uint32_t at = (uint32_t)(RELOC_KERNEL_MAP + MIB(16));
	const uint32_t tables[] = { 0, at + 0x10, 0, at + 0x20, 0, at + 0x30 };
	const uint64_t word = RELOC_KERNEL_MAP + MIB(16);
	struct image elf = { NULL, 0 }, packed = { NULL, 0 };

	build_elf(&elf, &plain_elf);
	for (unsigned i = 0x10; i <= 0x30; i += 0x10)
		image_put(&elf, ELF_IMAGE_FIRST_OFFSET + i, &word, 8);
	if (with_tables)
		image_append(&elf, tables, sizeof(tables));
	build_gzip(&packed, elf.data, elf.size_bytes);
	build_bzimage(&f->file, packed.data, packed.size_bytes);
	image_free(&elf);
	image_free(&packed);
}

static void boot_packed_kernel_is_unpacked_and_relocated(void **state)
{
	struct fixture *f = *state;
	uint64_t first_offset = 0, first_rip = 0;
	bool offset_differs = false, rip_differs = false;

	build_packed(f, true);
	load_well(f);
	for (unsigned i = 0; i < 20; i++) {
		uint64_t base = f->entry.rip - 0x100;
		uint64_t offset = guest_u64(f, base + 0x10) - (RELOC_KERNEL_MAP + MIB(16));

		assert_int_equal(f->entry.mode, BOOT_LONG_64);
		assert_true(base % MIB(2) == 0 && base >= MIB(16) && base + MIB(2) <= RAM);
		assert_int_equal(guest_byte(f, base + 0x1fff), 0x11);
		assert_int_equal(guest_byte(f, base + MIB(1)), 0x22);
		assert_true(offset % MIB(2) == 0 && offset <= GIB(1) - MIB(18));
		assert_int_equal(
			(uint32_t)guest_u64(f, base + 0x20), 0x81000000 - (uint32_t)offset);
		assert_int_equal(
			(uint32_t)guest_u64(f, base + 0x30), 0x81000000 + (uint32_t)offset);
		assert_int_equal(params(f).hdr.loadflags & KASLR_FLAG, KASLR_FLAG);
		if (i == 0) {
			first_offset = offset;
			first_rip = f->entry.rip;
		}
		offset_differs |= offset != first_offset;
		rip_differs |= f->entry.rip != first_rip;
		/* As at a reset of the guest. */
		guest_mem_clear(&f->mem);
		assert_int_equal(boot_load(f->boot, &f->mem, &f->machine, &f->entry, &f->err), 0);
	}
	assert_true(offset_differs && rip_differs);
}

static void boot_packed_kernel_stays_put_with_nokaslr(void **state)
{
	struct fixture *f = *state;

	build_packed(f, true);
	f->options.params = "quiet nokaslr";
	load_well(f);
	assert_int_equal(f->entry.rip, MIB(16) + 0x100);
	assert_true(guest_u64(f, MIB(16) + 0x10) == RELOC_KERNEL_MAP + MIB(16));
	assert_int_equal(params(f).hdr.loadflags & KASLR_FLAG, 0);
	f->options.params = "xnokaslr nokaslr=1";
	load_well(f);
	assert_int_equal(params(f).hdr.loadflags & KASLR_FLAG, KASLR_FLAG);
}

static void boot_packed_kernel_without_tables_stays_put(void **state)
{
	struct fixture *f = *state;

	build_packed(f, false);
	load_well(f);
	assert_int_equal(f->entry.rip, MIB(16) + 0x100);
	assert_int_equal(params(f).hdr.loadflags & KASLR_FLAG, 0);
}

static void boot_damaged_payload_falls_back_to_the_decompressor(void **state)
{
	struct fixture *f = *state;
	const size_t payload = BZIMAGE_SETUP_BYTES + BZIMAGE_PAYLOAD_OFFSET;
	uint32_t length, huge = 0xffffffff;

	build_packed(f, true);
	f->file.data[payload + 200] ^= 1; /* breaks the checksum */
	load_well(f);
	assert_int_equal(f->entry.rip, MIB(16) + 0x200);

	build_packed(f, true);
	memcpy(&length, f->file.data + BZIMAGE_FIELD(payload_length), 4);
	image_put(&f->file, payload + length - 4, &huge, 4); /* a bomb's announcement */
	load_well(f);
	assert_int_equal(f->entry.rip, MIB(16) + 0x200);

	build_packed(f, true);
	f->file.data[payload] = 'x';
	load_well(f);
	assert_int_equal(f->entry.rip, MIB(16) + 0x200);
}

static void boot_initrd_lies_at_the_top_of_low_memory(void **state)
{
	struct fixture *f = *state;
	struct boot_params p;
	uint32_t limit = MIB(40) - 1;

	write_initrd(f, 10000, 0x77);
	build_bzimage(&f->file, NULL, 0);
	load_well(f);
	p = params(f);
	assert_int_equal(p.hdr.ramdisk_size, 10000);
	assert_int_equal(p.hdr.ramdisk_image, RAM - 3 * PAGE_BYTES);
	assert_int_equal(guest_byte(f, p.hdr.ramdisk_image), 0x77);
	assert_int_equal(guest_byte(f, p.hdr.ramdisk_image + 9999), 0x77);
	assert_int_equal(guest_byte(f, p.hdr.ramdisk_image + 10000), 0);

	image_put(&f->file, BZIMAGE_FIELD(initrd_addr_max), &limit, 4);
	load_well(f);
	assert_int_equal(params(f).hdr.ramdisk_image, MIB(40) - 3 * PAGE_BYTES);
}

static void boot_initrd_without_room_is_refused(void **state)
{
	struct fixture *f = *state;

	write_initrd(f, 1, 0);
	assert_int_equal(truncate(f->initrd, MIB(63)), 0);
	build_bzimage(&f->file, NULL, 0);
	assert_int_equal(load(f), -EINVAL);
	assert_non_null(strstr(f->err.text, "--initrd"));
	assert_non_null(strstr(f->err.text, "--mem"));
	f->options.initrd_path = "/nonexistent/initrd";
	assert_int_equal(load(f), -ENOENT);
	assert_non_null(strstr(f->err.text, "--initrd /nonexistent/initrd: "));
	f->options.initrd_path = f->folder;
	assert_int_equal(load(f), -EINVAL);
	assert_non_null(strstr(f->err.text, "directory"));
}

static void boot_screen_info_describes_the_framebuffer(void **state)
{
	struct fixture *f = *state;
	static uint8_t edid[128] = { 0, 0xff };
	struct boot_params p;

	f->machine.video = (struct boot_video){ .present = true,
		.width = 1024,
		.height = 768,
		.stride_bytes = 4096,
		.depth = 32,
		.framebuffer_gpa = 0xfd000000,
		.framebuffer_bytes = MIB(16),
		.edid = edid };
	build_elf(&f->file, &plain_elf);
	load_well(f);
	p = params(f);
	assert_int_equal(p.screen_info.orig_video_isVGA, 0x23);
	assert_int_equal(p.screen_info.lfb_width, 1024);
	assert_int_equal(p.screen_info.lfb_height, 768);
	assert_int_equal(p.screen_info.lfb_depth, 32);
	assert_int_equal(p.screen_info.lfb_base, 0xfd000000);
	assert_int_equal(p.screen_info.lfb_size, 256);
	assert_int_equal(p.screen_info.lfb_linelength, 4096);
	assert_int_equal(p.screen_info.red_pos, 16);
	assert_int_equal(p.screen_info.rsvd_pos, 24);
	assert_int_equal(p.screen_info.capabilities, 0);
	assert_int_equal(((uint8_t *)&p.edid_info)[1], 0xff);

	f->machine.video.framebuffer_gpa = UINT64_C(0x1234000000);
	load_well(f);
	p = params(f);
	assert_int_equal(p.screen_info.lfb_base, 0x34000000);
	assert_int_equal(p.screen_info.ext_lfb_base, 0x12);
	assert_int_equal(p.screen_info.capabilities, VIDEO_CAPABILITY_64BIT_BASE);

	f->machine.video.depth = 12;
	assert_int_equal(load(f), -EINVAL);
	f->machine.video.depth = 32;
	f->machine.video.framebuffer_bytes = MIB(3) - 1;
	assert_int_equal(load(f), -EINVAL);
}

static void boot_params_too_long_are_refused(void **state)
{
	struct fixture *f = *state;
	char line[3000];
	uint32_t most = 100;

	memset(line, 'x', sizeof(line));
	line[2047] = '\0';
	f->options.params = line;
	build_elf(&f->file, &plain_elf);
	load_well(f);
	line[2047] = 'x';
	line[2048] = '\0';
	assert_int_equal(load(f), -EINVAL);
	assert_non_null(strstr(f->err.text, "--params: 2048 characters"));

	build_bzimage(&f->file, NULL, 0);
	image_put(&f->file, BZIMAGE_FIELD(cmdline_size), &most, 4);
	line[101] = '\0';
	assert_int_equal(load(f), -EINVAL);
	line[100] = '\0';
	load_well(f);
}

static void boot_kernel_in_the_machines_own_memory_is_refused(void **state)
{
	static const struct boot_memory_range acpi = { MIB(17), MIB(1), BOOT_MEMORY_ACPI };
	struct fixture *f = *state;

	f->machine.ranges = &acpi;
	f->machine.range_count = 1;
	build_elf(&f->file, &plain_elf);
	assert_int_equal(load(f), -EINVAL);
	build_bzimage(&f->file, NULL, 0);
	load_well(f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(boot_elf64_enters_linux_in_long_mode),
		TEST(boot_elf_virtual_entry_is_translated),
		TEST(boot_elf32_without_note_enters_linux_in_protected_mode),
		TEST(boot_pvh_is_for_what_is_not_linux),
		TEST(boot_bzimage_without_payload_uses_its_own_decompressor),
		TEST(boot_bzimage_moves_where_there_is_room),
		TEST(boot_packed_kernel_is_unpacked_and_relocated),
		TEST(boot_packed_kernel_stays_put_with_nokaslr),
		TEST(boot_packed_kernel_without_tables_stays_put),
		TEST(boot_damaged_payload_falls_back_to_the_decompressor),
		TEST(boot_initrd_lies_at_the_top_of_low_memory),
		TEST(boot_initrd_without_room_is_refused),
		TEST(boot_screen_info_describes_the_framebuffer),
		TEST(boot_params_too_long_are_refused),
		TEST(boot_kernel_in_the_machines_own_memory_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
