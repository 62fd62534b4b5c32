/* Kernel files that are damaged or lie: each is refused with one line that names it and the reason,
 * and none is loaded. */
#include "cmocka_all.h"

#include <errno.h>
#include <string.h>

#include "core/boot/boot.h"
#include "kernel_image.h"

#define RAM MIB(64)

struct patch {
	const char *reason; /* part of the message */
	size_t offset;
	unsigned bytes;
	uint64_t value;
	size_t cut_to; /* 0: the file keeps its length */
};

static void refuse_each(
	void (*build)(struct image *image), const struct patch *patches, size_t count)
{
	static const struct boot_machine machine = { .acpi_rsdp_gpa = 0 };
	struct guest_mem mem;

	assert_int_equal(guest_mem_init(&mem, RAM, NULL), 0);
	for (size_t i = 0; i < count; i++) {
		struct image image = { NULL, 0 };
		struct error err = { "" };
		struct boot_image *boot;
		struct boot_entry entry;
		int r;

		build(&image);
		if (patches[i].bytes)
			image_put(&image, patches[i].offset, &patches[i].value, patches[i].bytes);
		if (patches[i].cut_to) {
			assert_true(patches[i].cut_to < image.size_bytes);
			image.data = realloc(image.data, patches[i].cut_to);
			image.size_bytes = patches[i].cut_to;
		}
		r = boot_open(&(struct boot_options){ .embedded_image = image.data,
				      .embedded_bytes = image.size_bytes,
				      .embedded_name = "test image",
				      .ram_bytes = RAM },
			&boot, &err);
		if (!r)
			r = boot_load(boot, &mem, &machine, &entry, &err);
		if (r != -EINVAL || !strstr(err.text, patches[i].reason) ||
			strncmp(err.text, "test image: ", 12) != 0)
			fail_msg(
				"%zu: %d, '%s' instead of '%s'", i, r, err.text, patches[i].reason);
		boot_close(boot);
		image_free(&image);
	}
	guest_mem_fini(&mem);
}

static void build_plain_bzimage(struct image *image)
{
	build_bzimage(image, NULL, 0);
	image_grow(image, 4096);
	image_put(image, BZIMAGE_FIELD(syssize), &(uint32_t){ (4096 - 1024) / 16 }, 4);
}

static void bzimage_each_bad_field_is_refused(void **state)
{
#define FIELD(name, bytes, value) BZIMAGE_FIELD(name), bytes, value, 0
	static const struct patch patches[] = {
		{ "looks like a disk", FIELD(header, 4, 0) },
		{ "boot flag", FIELD(boot_flag, 2, 0) },
		{ "too old", FIELD(version, 2, 0x0201) },
		{ "zImage", FIELD(loadflags, 1, 0) },
		{ "truncated", FIELD(setup_sects, 1, 255) },
		{ "truncated", FIELD(setup_sects, 1, 7) },
		{ "truncated", FIELD(syssize, 4, 1000) },
		{ "truncated", FIELD(syssize, 4, 0xffffffff) },
		{ "truncated", 0, 0, 0, 0x206 },
		{ "truncated", 0, 0, 0, 0x230 },
		{ "truncated", 0, 0, 0, 1024 },
		{ "truncated", 0, 0, 0, 2000 },
		{ "alignment", FIELD(kernel_alignment, 4, 0x300000) },
		{ "alignment", FIELD(kernel_alignment, 4, 1) },
		{ "alignment", FIELD(kernel_alignment, 4, 0x80000000) },
		{ "4 GiB", FIELD(pref_address, 8, UINT64_MAX) },
		{ "4 GiB", FIELD(pref_address, 8, UINT64_C(0x100000000)) },
		{ "4 GiB", FIELD(pref_address, 8, 0xfffff000) },
		{ "below 1 MiB", FIELD(pref_address, 8, 0x1000) },
		{ "--mem", FIELD(init_size, 4, 0x80000000) },
		{ "--mem", FIELD(init_size, 4, 0x04000000) },
		{ "payload", FIELD(payload_length, 4, 0xffffffff) },
		{ "payload", FIELD(payload_length, 4, 4097) },
	};

	(void)state;
	refuse_each(build_plain_bzimage, patches, array_size(patches));
}

static void build_plain_elf(struct image *image)
{
	static const struct elf_spec spec = {
		.entry = MIB(16),
		.segments = { { MIB(16), MIB(16), 0x1000, 0x2000, 1 },
			{ MIB(17), MIB(17), 0x1000, 0x2000, 1 } },
		.segment_count = 2,
	};

	build_elf(image, &spec);
}

static void elf_each_bad_field_is_refused(void **state)
{
#define HEAD(name, bytes, value) offsetof(Elf64_Ehdr, name), bytes, value, 0
#define PROGRAM(i, name, bytes, value)                                                             \
	sizeof(Elf64_Ehdr) + (i) * sizeof(Elf64_Phdr) + offsetof(Elf64_Phdr, name), bytes, value, 0
	static const struct patch patches[] = {
		{ "neither", 0, 4, 0, 0 },
		{ "class", EI_CLASS, 1, 3, 0 },
		{ "little-endian", EI_DATA, 1, ELFDATA2MSB, 0 },
		{ "little-endian", EI_VERSION, 1, 2, 0 },
		{ "processor", HEAD(e_machine, 2, EM_AARCH64) },
		{ "processor", HEAD(e_machine, 2, EM_386) },
		{ "executable", HEAD(e_type, 2, ET_REL) },
		{ "inside the ELF header", 0, 0, 0, 60 },
		{ "program headers", HEAD(e_phnum, 2, 0) },
		{ "program headers", HEAD(e_phnum, 2, 0xffff) },
		{ "program headers", HEAD(e_phentsize, 2, 32) },
		{ "program headers", HEAD(e_phoff, 8, UINT64_MAX) },
		{ "program headers", HEAD(e_phoff, 8, 0x23f0) },
		{ "program headers", 0, 0, 0, 100 },
		{ "outside of the file", 0, 0, 0, 0x23ff },
		{ "outside of the file", PROGRAM(0, p_offset, 8, UINT64_MAX - 0xfff) },
		{ "outside of the file", PROGRAM(0, p_filesz, 8, UINT64_MAX) },
		{ "sizes", PROGRAM(0, p_memsz, 8, 0xfff) },
		{ "sizes", PROGRAM(0, p_paddr, 8, UINT64_MAX - 0x1000) },
		{ "sizes", PROGRAM(0, p_memsz, 8, UINT64_MAX) },
		{ "overlap", PROGRAM(0, p_memsz, 8, MIB(1) + 1) },
		{ "overlap", PROGRAM(1, p_paddr, 8, MIB(16) + 0x1000) },
		{ "entry", HEAD(e_entry, 8, 0) },
		{ "entry", HEAD(e_entry, 8, MIB(16) + 0x1000) }, /* in .bss */
		{ "entry", HEAD(e_entry, 8, UINT64_MAX) },
		{ "--mem", PROGRAM(1, p_paddr, 8, MIB(64)) },
		{ "--mem", PROGRAM(1, p_paddr, 8, MIB(64) - 0x1000) },
		{ "--mem", PROGRAM(1, p_paddr, 8, UINT64_C(0x100000000000)) },
		{ "--mem", PROGRAM(1, p_paddr, 8, 0xf0000) },
		{ "boot data", PROGRAM(1, p_paddr, 8, 0x8000) },
	};

	(void)state;
	refuse_each(build_plain_elf, patches, array_size(patches));
}

static void build_elf_without_segments(struct image *image)
{
	build_plain_elf(image);
	image_put(image, sizeof(Elf64_Ehdr), &(uint32_t){ PT_NULL }, 4);
	image_put(image, sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr), &(uint32_t){ PT_NULL }, 4);
}

static void elf_without_segments_is_refused(void **state)
{
	static const struct patch none = { "nothing to load", 0, 0, 0, 0 };

	(void)state;
	refuse_each(build_elf_without_segments, &none, 1);
}

/* A segment that takes no memory is not loaded, whatever else it says; the entry is not in it. */
static void build_elf_with_empty_segment(struct image *image)
{
	struct elf_spec spec = {
		.entry = 0x5000,
		.segments = { { MIB(16), MIB(16), 0x100, 0x100, 1 },
			{ UINT64_MAX - 5, 0x4000, 0x2000, 0, 1 } },
		.segment_count = 2,
	};

	build_elf(image, &spec);
}

static void elf_entry_in_empty_segment_is_refused(void **state)
{
	static const struct patch none = { "entry", 0, 0, 0, 0 };

	(void)state;
	refuse_each(build_elf_with_empty_segment, &none, 1);
}

static void build_text(struct image *image)
{
	image_append(image, "just some text", 14);
}

static void build_packed_file(struct image *image)
{
	build_gzip(image, (const uint8_t *)"x", 1);
}

static void build_qcow2(struct image *image)
{
	image_append(image, "QFI\xfb\0\0\0\3", 8);
}

static void build_disk(struct image *image)
{
	static const char zeroes[510];

	image_append(image, zeroes, sizeof(zeroes));
	image_append(image, "\x55\xaa", 2);
}

static void build_cd(struct image *image)
{
	static const char zeroes[32769];

	image_append(image, zeroes, sizeof(zeroes));
	image_append(image, "CD001\1", 6);
}

static void other_files_are_named_for_what_they_are(void **state)
{
	static const struct patch text = { "neither a Linux bzImage nor an ELF", 0, 0, 0, 0 };
	static const struct patch packed = { "gzip", 0, 0, 0, 0 };
	static const struct patch qcow2 = { "looks like a qcow2 disk image, not a kernel", 0, 0, 0,
		0 };
	static const struct patch disk = { "looks like a disk image, not a kernel", 0, 0, 0, 0 };
	static const struct patch cd = { "looks like a CD image, not a kernel", 0, 0, 0, 0 };

	(void)state;
	refuse_each(build_text, &text, 1);
	refuse_each(build_packed_file, &packed, 1);
	refuse_each(build_qcow2, &qcow2, 1);
	refuse_each(build_disk, &disk, 1);
	refuse_each(build_cd, &cd, 1);
}

static void kernel_path_errors_name_option_and_path(void **state)
{
	static const struct {
		const char *path, *reason;
		int r;
	} paths[] = {
		{ "/nonexistent/vmlinuz", "No such file", -ENOENT },
		{ "/tmp", "directory", -EINVAL },
		{ "/dev/null", "not a regular file", -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < array_size(paths); i++) {
		struct error err = { "" };
		struct boot_image *boot;

		assert_int_equal(boot_open(&(struct boot_options){ .kernel_path = paths[i].path },
					 &boot, &err),
			paths[i].r);
		assert_null(boot);
		assert_int_equal(strncmp(err.text, "--kernel /", 10), 0);
		assert_non_null(strstr(err.text, paths[i].reason));
	}
}

static void bzimage_every_truncation_is_survived(void **state)
{
	static const struct boot_machine machine = { .acpi_rsdp_gpa = 0 };
	struct image image = { NULL, 0 };
	struct guest_mem mem;

	(void)state;
	assert_int_equal(guest_mem_init(&mem, RAM, NULL), 0);
	build_plain_bzimage(&image);
	/* The length is counted in units of 16 bytes, the last of which may be cut. */
	for (size_t length = 0; length < image.size_bytes - 15; length += 7) {
		uint8_t *copy = malloc(length ? length : 1);
		struct error err = { "" };
		struct boot_image *boot;
		struct boot_entry entry;

		memcpy(copy, image.data, length);
		if (boot_open(&(struct boot_options){ .embedded_image = copy,
				      .embedded_bytes = length,
				      .embedded_name = "test image" },
			    &boot, &err) == 0) {
			assert_int_equal(boot_load(boot, &mem, &machine, &entry, &err), 0);
			fail_msg("%zu bytes were accepted", length);
		}
		boot_close(boot);
		free(copy);
	}
	image_free(&image);
	guest_mem_fini(&mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bzimage_each_bad_field_is_refused),
		cmocka_unit_test(elf_each_bad_field_is_refused),
		cmocka_unit_test(elf_without_segments_is_refused),
		cmocka_unit_test(elf_entry_in_empty_segment_is_refused),
		cmocka_unit_test(other_files_are_named_for_what_they_are),
		cmocka_unit_test(kernel_path_errors_name_option_and_path),
		cmocka_unit_test(bzimage_every_truncation_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
