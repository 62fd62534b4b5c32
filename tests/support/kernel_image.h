/* Builds small kernel images for tests: ELF files with segments, notes and relocation tables, and
 * bzImages around them. Every field can be made wrong afterwards with image_put. */
#ifndef VMGUI_TESTS_KERNEL_IMAGE_H
#define VMGUI_TESTS_KERNEL_IMAGE_H

#include <asm/bootparam.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"

struct image {
	uint8_t *data;
	size_t size_bytes;
};

static inline void image_grow(struct image *image, size_t size_bytes)
{
	if (size_bytes <= image->size_bytes)
		return;
	image->data = realloc(image->data, size_bytes);
	if (!image->data)
		abort();
	memset(image->data + image->size_bytes, 0, size_bytes - image->size_bytes);
	image->size_bytes = size_bytes;
}

static inline void image_put(struct image *image, size_t at, const void *data, size_t length)
{
	image_grow(image, at + length);
	if (length)
		memcpy(image->data + at, data, length);
}

static inline void image_append(struct image *image, const void *data, size_t length)
{
	image_put(image, image->size_bytes, data, length);
}

static inline void image_free(struct image *image)
{
	free(image->data);
	*image = (struct image){ NULL, 0 };
}

struct segment_spec {
	uint64_t gpa, vaddr;
	uint64_t file_bytes, memory_bytes;
	uint8_t fill;
};

struct elf_spec {
	bool is_32;
	uint64_t entry;
	struct segment_spec segments[4];
	unsigned segment_count;
	uint32_t pvh_entry; /* 0: no note */
	bool linux_note;
};

#define ELF_IMAGE_FIRST_OFFSET 0x400u /* of the first segment; the next one follows it */

static inline size_t build_note(uint8_t *to, const char *name, uint32_t type, uint32_t desc)
{
	Elf64_Nhdr note = { (uint32_t)strlen(name) + 1, 4, type };
	size_t name_bytes = (size_t)align_up(note.n_namesz, 4);

	memcpy(to, &note, sizeof(note));
	memset(to + sizeof(note), 0, name_bytes);
	memcpy(to + sizeof(note), name, note.n_namesz);
	memcpy(to + sizeof(note) + name_bytes, &desc, 4);
	return sizeof(note) + name_bytes + 4;
}

static inline void build_elf(struct image *image, const struct elf_spec *spec)
{
	const uint64_t table = spec->is_32 ? sizeof(Elf32_Ehdr) : sizeof(Elf64_Ehdr);
	const size_t entry_bytes = spec->is_32 ? sizeof(Elf32_Phdr) : sizeof(Elf64_Phdr);
	uint64_t offset = ELF_IMAGE_FIRST_OFFSET;
	uint8_t notes[64];
	size_t notes_bytes = 0;
	unsigned count = 0;

	image_free(image);
	if (spec->linux_note)
		notes_bytes += build_note(notes + notes_bytes, "Linux", 0x100, 1);
	if (spec->pvh_entry)
		notes_bytes += build_note(notes + notes_bytes, "Xen", 18, spec->pvh_entry);
	for (unsigned i = 0; i <= spec->segment_count; i++) {
		const bool is_note = i == spec->segment_count;
		const struct segment_spec *s = &spec->segments[is_note ? 0 : i];
		const uint64_t at = is_note ? 0x300 : offset;
		const uint64_t file_bytes = is_note ? notes_bytes : s->file_bytes;
		const uint64_t memory_bytes = is_note ? notes_bytes : s->memory_bytes;

		if (is_note && !notes_bytes)
			break;
		if (spec->is_32) {
			Elf32_Phdr program = { .p_type = is_note ? PT_NOTE : PT_LOAD,
				.p_offset = (uint32_t)at,
				.p_vaddr = (uint32_t)s->vaddr,
				.p_paddr = (uint32_t)s->gpa,
				.p_filesz = (uint32_t)file_bytes,
				.p_memsz = (uint32_t)memory_bytes };
			image_put(image, table + count * entry_bytes, &program, sizeof(program));
		} else {
			Elf64_Phdr program = { .p_type = is_note ? PT_NOTE : PT_LOAD,
				.p_offset = at,
				.p_vaddr = s->vaddr,
				.p_paddr = s->gpa,
				.p_filesz = file_bytes,
				.p_memsz = memory_bytes };
			image_put(image, table + count * entry_bytes, &program, sizeof(program));
		}
		count++;
		image_grow(image, at + file_bytes);
		if (is_note)
			memcpy(image->data + at, notes, notes_bytes);
		else if (file_bytes)
			memset(image->data + at, s->fill, file_bytes);
		if (!is_note)
			offset += file_bytes;
	}
	if (spec->is_32) {
		Elf32_Ehdr header = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB,
					      1 },
			.e_type = ET_EXEC,
			.e_machine = EM_386,
			.e_version = 1,
			.e_entry = (uint32_t)spec->entry,
			.e_phoff = (uint32_t)table,
			.e_phentsize = sizeof(Elf32_Phdr),
			.e_phnum = (uint16_t)count };
		image_put(image, 0, &header, sizeof(header));
	} else {
		Elf64_Ehdr header = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB,
					      1 },
			.e_type = ET_EXEC,
			.e_machine = EM_X86_64,
			.e_version = 1,
			.e_entry = spec->entry,
			.e_phoff = table,
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = (uint16_t)count };
		image_put(image, 0, &header, sizeof(header));
	}
}

/* gzip without compression (RFC 1951, stored blocks), so that a test needs no compressor. */
static inline void build_gzip(struct image *image, const uint8_t *data, size_t length)
{
	static const uint8_t head[10] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255 };
	uint32_t crc = UINT32_MAX, size = (uint32_t)length;
	size_t at = 0;

	image_free(image);
	image_append(image, head, sizeof(head));
	do {
		uint16_t n = (uint16_t)(length - at > 0xffff ? 0xffff : length - at);
		uint16_t inverse = (uint16_t)~n;
		uint8_t last = at + n == length;

		image_append(image, &last, 1);
		image_append(image, &n, 2);
		image_append(image, &inverse, 2);
		image_append(image, data + at, n);
		at += n;
	} while (at < length);
	for (size_t i = 0; i < length; i++) {
		crc ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
	}
	crc = ~crc;
	image_append(image, &crc, 4);
	image_append(image, &size, 4);
}

#define BZIMAGE_SETUP_BYTES    1024u  /* boot sector and one more */
#define BZIMAGE_PAYLOAD_OFFSET 0x300u /* in the protected-mode part */

/* A sound image of version 2.15 with a 64-bit entry, around payload (NULL: none). */
static inline void build_bzimage(struct image *image, const uint8_t *payload, size_t payload_bytes)
{
	struct setup_header header = {
		.setup_sects = 1,
		.boot_flag = 0xaa55,
		.jump = 0x66eb,
		.header = 0x53726448,
		.version = 0x020f,
		.loadflags = LOADED_HIGH,
		.code32_start = 0x100000,
		.initrd_addr_max = 0x7fffffff,
		.kernel_alignment = 0x200000,
		.relocatable_kernel = 1,
		.min_alignment = 21,
		.xloadflags = XLF_KERNEL_64,
		.cmdline_size = 2047,
		.payload_offset = payload ? BZIMAGE_PAYLOAD_OFFSET : 0,
		.payload_length = (uint32_t)payload_bytes,
		.pref_address = 0x1000000,
		.init_size = 0x200000,
	};

	image_free(image);
	image_grow(image, BZIMAGE_SETUP_BYTES + BZIMAGE_PAYLOAD_OFFSET);
	memset(image->data + BZIMAGE_SETUP_BYTES, 0x90, BZIMAGE_PAYLOAD_OFFSET);
	image_append(image, payload, payload_bytes);
	image_grow(image, (size_t)align_up(image->size_bytes, 16));
	header.syssize = (uint32_t)((image->size_bytes - BZIMAGE_SETUP_BYTES) / 16);
	image_put(image, 0x1f1, &header, sizeof(header));
}

#define BZIMAGE_FIELD(name) (0x1f1u + offsetof(struct setup_header, name))

#endif
