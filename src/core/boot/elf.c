/* Reads ELF headers: see elf.h. Threads: one at a time. */
#include "core/boot/elf.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PROGRAM_HEADERS   64
#define MAX_SECTION_HEADERS   8192
#define MAX_NOTE_BYTES        KIB(64)
#define NOTE_XEN_PHYS32_ENTRY 18 /* xen/include/public/elfnote.h */

/* Both classes in the larger one's form. */
struct headers {
	Elf64_Ehdr file;
	Elf64_Phdr program[MAX_PROGRAM_HEADERS];
};

static int read_file_header(const struct boot_source *source, Elf64_Ehdr *header, struct error *err)
{
	union {
		unsigned char ident[EI_NIDENT];
		Elf32_Ehdr small;
		Elf64_Ehdr large;
	} raw;
	int r;

	memset(&raw, 0, sizeof(raw));
	r = boot_source_read(source, 0, &raw, min_u64(source->size_bytes, sizeof(raw)));
	if (r)
		return error_set(err, -r, "%s", strerror(-r));
	if (memcmp(raw.ident, ELFMAG, SELFMAG) != 0)
		return error_set(err, EINVAL, "not an ELF file");
	if (raw.ident[EI_DATA] != ELFDATA2LSB || raw.ident[EI_VERSION] != EV_CURRENT)
		return error_set(err, EINVAL, "not a little-endian ELF of version 1");
	switch (raw.ident[EI_CLASS]) {
	case ELFCLASS64:
		*header = raw.large;
		break;
	case ELFCLASS32:
		memcpy(header->e_ident, raw.ident, EI_NIDENT);
		header->e_type = raw.small.e_type;
		header->e_machine = raw.small.e_machine;
		header->e_entry = raw.small.e_entry;
		header->e_phoff = raw.small.e_phoff;
		header->e_shoff = raw.small.e_shoff;
		header->e_phentsize = raw.small.e_phentsize;
		header->e_phnum = raw.small.e_phnum;
		header->e_shentsize = raw.small.e_shentsize;
		header->e_shnum = raw.small.e_shnum;
		break;
	default:
		return error_set(err, EINVAL, "unknown ELF class %u", raw.ident[EI_CLASS]);
	}
	if (source->size_bytes <
		(raw.ident[EI_CLASS] == ELFCLASS64 ? sizeof(raw.large) : sizeof(raw.small)))
		return error_set(err, EINVAL, "the file ends inside the ELF header");
	if (header->e_machine != (raw.ident[EI_CLASS] == ELFCLASS64 ? EM_X86_64 : EM_386))
		return error_set(err, EINVAL, "an ELF for another processor (machine %u)",
			header->e_machine);
	if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
		return error_set(
			err, EINVAL, "an ELF of type %u, not an executable", header->e_type);
	return 0;
}

static int read_program_headers(
	const struct boot_source *source, bool is_64, struct headers *headers, struct error *err)
{
	const Elf64_Ehdr *file = &headers->file;
	size_t entry_bytes = is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	Elf32_Phdr small[MAX_PROGRAM_HEADERS];
	int r;

	if (file->e_phnum == 0 || file->e_phnum > MAX_PROGRAM_HEADERS ||
		file->e_phentsize != entry_bytes)
		return error_set(err, EINVAL,
			"%u ELF program headers of %u bytes (1 to %d of %zu are possible)",
			file->e_phnum, file->e_phentsize, MAX_PROGRAM_HEADERS, entry_bytes);
	r = boot_source_read(source, file->e_phoff,
		is_64 ? (void *)headers->program : (void *)small, file->e_phnum * entry_bytes);
	if (r == -ERANGE)
		return error_set(err, EINVAL, "the file ends inside the ELF program headers");
	if (r)
		return error_set(err, -r, "%s", strerror(-r));
	for (unsigned i = 0; !is_64 && i < file->e_phnum; i++)
		headers->program[i] = (Elf64_Phdr){
			.p_type = small[i].p_type,
			.p_offset = small[i].p_offset,
			.p_vaddr = small[i].p_vaddr,
			.p_paddr = small[i].p_paddr,
			.p_filesz = small[i].p_filesz,
			.p_memsz = small[i].p_memsz,
		};
	return 0;
}

static int add_segment(const struct boot_source *source, const Elf64_Phdr *program,
	struct elf_image *elf, struct error *err)
{
	const uint64_t start = program->p_paddr, length = program->p_memsz;

	if (!range_fits(program->p_offset, program->p_filesz, source->size_bytes))
		return error_set(err, EINVAL,
			"a segment lies outside of the file (at %#llx, %#llx bytes); is it "
			"truncated?",
			(unsigned long long)program->p_offset,
			(unsigned long long)program->p_filesz);
	if (program->p_filesz > length || start > UINT64_MAX - length)
		return error_set(err, EINVAL, "a segment's sizes make no sense");
	if (elf->segment_count == ELF_MAX_SEGMENTS)
		return error_set(err, EINVAL, "more than %d segments to load", ELF_MAX_SEGMENTS);
	for (unsigned i = 0; i < elf->segment_count; i++) {
		const struct elf_segment *other = &elf->segments[i];

		if (start < other->gpa + other->memory_bytes && other->gpa < start + length)
			return error_set(err, EINVAL, "two segments overlap at physical %#llx",
				(unsigned long long)max_u64(start, other->gpa));
	}
	elf->segments[elf->segment_count++] = (struct elf_segment){
		.offset = program->p_offset,
		.file_bytes = program->p_filesz,
		.gpa = start,
		.memory_bytes = length,
		.virtual_address = program->p_vaddr,
	};
	elf->start_gpa = min_u64(elf->start_gpa, start);
	elf->end_gpa = max_u64(elf->end_gpa, start + length);
	return 0;
}

static bool in_file_part(const struct elf_image *elf, uint64_t gpa)
{
	for (unsigned i = 0; i < elf->segment_count; i++)
		if (gpa >= elf->segments[i].gpa &&
			gpa - elf->segments[i].gpa < elf->segments[i].file_bytes)
			return true;
	return false;
}

/* Linux names its entry by the physical address, most others by the virtual one. */
static int find_entry(uint64_t entry, struct elf_image *elf, struct error *err)
{
	if (in_file_part(elf, entry)) {
		elf->entry_gpa = entry;
		return 0;
	}
	for (unsigned i = 0; i < elf->segment_count; i++) {
		const struct elf_segment *segment = &elf->segments[i];

		if (entry >= segment->virtual_address &&
			entry - segment->virtual_address < segment->file_bytes) {
			elf->entry_gpa = segment->gpa + (entry - segment->virtual_address);
			elf->entry_is_virtual = true;
			return 0;
		}
	}
	return error_set(err, EINVAL, "its entry %#llx is in none of its segments",
		(unsigned long long)entry);
}

static void read_notes(
	const struct boot_source *source, const Elf64_Phdr *program, struct elf_image *elf)
{
	uint64_t length = min_u64(program->p_filesz, MAX_NOTE_BYTES), offset = 0;
	uint8_t *notes = malloc(length ? length : 1);

	if (!notes || boot_source_read(source, program->p_offset, notes, length) != 0)
		length = 0; /* no notes: only other ways in are lost */
	while (range_fits(offset, sizeof(Elf64_Nhdr), length)) {
		Elf64_Nhdr note;
		uint64_t name, desc;

		memcpy(&note, notes + offset, sizeof(note));
		name = offset + sizeof(note);
		if (!range_fits(name, align_up(note.n_namesz, 4), length))
			break;
		desc = name + align_up(note.n_namesz, 4);
		if (!range_fits(desc, note.n_descsz, length))
			break;
		if (note.n_namesz == 6 && memcmp(notes + name, "Linux", 6) == 0)
			elf->is_linux = true;
		if (note.n_namesz == 4 && memcmp(notes + name, "Xen", 4) == 0 &&
			note.n_type == NOTE_XEN_PHYS32_ENTRY &&
			(note.n_descsz == 4 || note.n_descsz == 8)) {
			uint64_t entry = 0;

			memcpy(&entry, notes + desc, note.n_descsz);
			if (entry <= UINT32_MAX && in_file_part(elf, entry)) {
				elf->has_pvh = true;
				elf->pvh_entry_gpa = entry;
			}
		}
		offset = desc + align_up(note.n_descsz, 4);
	}
	free(notes);
}

/* Where the ELF ends in the file, for what the kernel's build appends to it. Headers that cannot be
 * read only mean that nothing is found there. */
static uint64_t find_file_end(
	const struct boot_source *source, const struct headers *headers, bool is_64)
{
	const Elf64_Ehdr *file = &headers->file;
	uint64_t end = file->e_phoff + (uint64_t)file->e_phnum * file->e_phentsize;
	size_t entry_bytes = is_64 ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);

	for (unsigned i = 0; i < file->e_phnum; i++)
		if (range_fits(headers->program[i].p_offset, headers->program[i].p_filesz,
			    source->size_bytes))
			end = max_u64(
				end, headers->program[i].p_offset + headers->program[i].p_filesz);
	if (file->e_shnum == 0 || file->e_shnum > MAX_SECTION_HEADERS ||
		file->e_shentsize != entry_bytes ||
		!range_fits(file->e_shoff, file->e_shnum * entry_bytes, source->size_bytes))
		return end;
	end = max_u64(end, file->e_shoff + file->e_shnum * entry_bytes);
	for (unsigned i = 0; i < file->e_shnum; i++) {
		Elf64_Shdr large;
		Elf32_Shdr small;
		void *to = is_64 ? (void *)&large : (void *)&small;
		uint64_t offset, length;
		uint32_t type;

		if (boot_source_read(source, file->e_shoff + i * entry_bytes, to, entry_bytes))
			return end;
		type = is_64 ? large.sh_type : small.sh_type;
		offset = is_64 ? large.sh_offset : small.sh_offset;
		length = is_64 ? large.sh_size : small.sh_size;
		if (type != SHT_NOBITS && type != SHT_NULL &&
			range_fits(offset, length, source->size_bytes))
			end = max_u64(end, offset + length);
	}
	return end;
}

int elf_parse(const struct boot_source *source, struct elf_image *elf, struct error *err)
{
	struct headers headers;
	int r;

	memset(elf, 0, sizeof(*elf));
	memset(&headers, 0, sizeof(headers));
	elf->start_gpa = UINT64_MAX;
	r = read_file_header(source, &headers.file, err);
	if (r)
		return r;
	elf->is_64 = headers.file.e_ident[EI_CLASS] == ELFCLASS64;
	r = read_program_headers(source, elf->is_64, &headers, err);
	if (r)
		return r;
	for (unsigned i = 0; i < headers.file.e_phnum; i++) {
		if (headers.program[i].p_type != PT_LOAD || headers.program[i].p_memsz == 0)
			continue;
		r = add_segment(source, &headers.program[i], elf, err);
		if (r)
			return r;
	}
	if (!elf->segment_count)
		return error_set(err, EINVAL, "the ELF has nothing to load");
	r = find_entry(headers.file.e_entry, elf, err);
	if (r)
		return r;
	for (unsigned i = 0; i < headers.file.e_phnum; i++)
		if (headers.program[i].p_type == PT_NOTE)
			read_notes(source, &headers.program[i], elf);
	elf->file_end = find_file_end(source, &headers, elf->is_64);
	return 0;
}
