/* Opens a kernel and its initrd, and puts them into guest memory: see boot.h.
 *
 * boot_open does what takes long and can go wrong with the files; boot_load only places, copies and
 * relocates, so that a guest's reset is quick. Threads: one at a time; boot_open may run one of its
 * own, which has ended when it returns. */
#include "core/boot/boot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <sys/random.h>

#include "core/boot/bzimage.h"
#include "core/boot/elf.h"
#include "core/boot/low_memory.h"
#include "core/boot/memory_map.h"
#include "core/boot/params.h"
#include "core/boot/payload.h"
#include "core/boot/reloc.h"
#include "core/log.h"

#define PARAMS_MAX_CHARS  2047u /* of a kernel that does not tell: Linux's COMMAND_LINE_SIZE - 1 */
#define INITRD_MAX_GPA    UINT64_C(0x7fffffff) /* likewise */
#define KERNEL_MAP_BYTES  GIB(1) /* what a kernel that relocates itself maps at RELOC_KERNEL_MAP */
#define KERNEL_ALIGN_MIN  MIB(2) /* startup_64 accepts no less */
#define RELOC_MAX_BYTES   MIB(64)
#define ENTRY_64_OFFSET   0x200u
#define KERNEL_LOWEST_GPA MIB(16) /* of a random place: ISA DMA keeps its memory */

struct boot_image {
	char *what;        /* "--kernel PATH", or an embedded image's name, for messages */
	char *initrd_what; /* "--initrd PATH" */
	char *params;

	/* What is loaded: the file, or the kernel unpacked from it. */
	struct boot_source kernel;
	bool has_header; /* the file is a bzImage */
	struct bzimage header;
	bool is_elf; /* kernel is an ELF: the file itself, or a bzImage's content */
	struct elf_image elf;
	bool randomize; /* the relocation tables behind the ELF are sound, and wanted */

	bool has_initrd;
	struct boot_source initrd;
};

static char *join(const char *a, const char *b)
{
	char *text;

	return asprintf(&text, "%s%s%s", a, b ? " " : "", b ? b : "") < 0 ? NULL : text;
}

/* Whether word stands in a command line by itself. */
static bool has_word(const char *line, const char *word)
{
	const size_t length = strlen(word);

	while (*line) {
		size_t n = strcspn(line, " \t\n");

		if (n == length && memcmp(line, word, n) == 0)
			return true;
		line += n;
		line += strspn(line, " \t\n");
	}
	return false;
}

/* ---- opening ---- */

/* The tables behind the ELF, in memory of their own. *words is NULL where there are none. */
static int read_relocations(
	const struct boot_image *image, uint32_t **words, struct reloc_table *table)
{
	const struct elf_image *elf = &image->elf;
	uint64_t length = image->kernel.size_bytes - elf->file_end;
	int r;

	*words = NULL;
	if (length == 0 || length % sizeof(**words) || length > RELOC_MAX_BYTES)
		return -EINVAL;
	*words = malloc(length);
	if (!*words)
		return -ENOMEM;
	r = boot_source_read(&image->kernel, elf->file_end, *words, length);
	if (!r)
		r = reloc_parse(table, *words, length / sizeof(**words), elf->start_gpa,
			elf->end_gpa - elf->start_gpa);
	if (r) {
		free(*words);
		*words = NULL;
	}
	return r;
}

static void decide_randomization(struct boot_image *image)
{
	struct reloc_table table;
	uint32_t *words;
	int r;

	if (has_word(image->params, "nokaslr")) {
		log_debug("boot", "kernel: at its preferred address, as nokaslr asks");
		return;
	}
	if (!image->header.relocatable || !image->elf.is_64 ||
		image->header.load_gpa != image->elf.start_gpa) {
		log_debug("boot", "kernel: at its preferred address: it cannot be moved");
		return;
	}
	r = read_relocations(image, &words, &table);
	if (r) {
		log_debug("boot", "kernel: at its preferred address: %s",
			r == -EINVAL ? "its relocation tables are absent or unsound"
				     : strerror(-r));
		return;
	}
	free(words);
	image->randomize = true;
}

/* The ELF inside a bzImage. -errno: it boots by its own decompressor; err has the reason. */
static int open_inner_kernel(
	struct boot_image *image, const struct boot_options *options, struct error *err)
{
	struct boot_source inner = BOOT_SOURCE_NONE;
	int r;

	if (!image->header.payload_bytes)
		return error_set(err, EINVAL, "it does not say where its payload is");
	r = payload_open_kernel(&image->kernel, image->header.payload_offset,
		image->header.payload_bytes, options->ram_bytes ? options->ram_bytes : UINT64_MAX,
		options->use_cache, &inner, err);
	if (r)
		return r;
	r = elf_parse(&inner, &image->elf, err);
	if (!r && image->elf.is_64 && !image->header.entry_64)
		r = error_set(err, EINVAL, "a 64-bit kernel without a 64-bit entry");
	if (!r && image->elf.entry_is_virtual)
		r = error_set(err, EINVAL, "its ELF entry is not a physical address");
	if (r) {
		boot_source_close(&inner);
		return r;
	}
	boot_source_close(&image->kernel);
	image->kernel = inner;
	image->is_elf = true;
	decide_randomization(image);
	return 0;
}

/* What people give in a kernel's place: the disk or the CD that a kernel is on. */
static const char *kind_of_disk(const struct boot_source *file)
{
	static const struct {
		uint64_t offset;
		const char *kind, *magic;
		size_t length;
	} kinds[] = {
		{ 0, "a qcow2 disk image", "QFI\xfb", 4 },
		{ 32769, "a CD image", "CD001", 5 }, /* ECMA-119, 8.1.2 */
		{ 510, "a disk image", "\x55\xaa", 2 },
	};
	char bytes[8];

	for (size_t i = 0; i < array_size(kinds); i++) {
		if (!boot_source_read(file, kinds[i].offset, bytes, kinds[i].length) &&
			!memcmp(bytes, kinds[i].magic, kinds[i].length))
			return kinds[i].kind;
	}
	return NULL;
}

static int refuse_unknown(const struct boot_image *image, struct error *err)
{
	enum unpack_format format = payload_probe(&image->kernel, 0);
	const char *disk = kind_of_disk(&image->kernel);

	if (format != UNPACK_UNKNOWN)
		return error_set(err, EINVAL,
			"%s: it is a %s file, not a kernel (unpack it first, or name the bzImage)",
			image->what, payload_format_name(format));
	if (disk)
		return error_set(err, EINVAL,
			"%s: it looks like %s, not a kernel (give --kernel FILE with its --initrd, "
			"and "
			"this as --disk)",
			image->what, disk);
	return error_set(err, EINVAL,
		"%s: it is neither a Linux bzImage nor an ELF kernel (name a vmlinuz or vmlinux)",
		image->what);
}

static int open_kernel(
	struct boot_image *image, const struct boot_options *options, struct error *err)
{
	struct error reason = { "" };
	uint32_t magic = 0;
	int r = 0;

	if (options->embedded_image)
		boot_source_from_memory(
			&image->kernel, options->embedded_image, options->embedded_bytes);
	else
		r = boot_source_open(&image->kernel, options->kernel_path, "--kernel", err);
	if (r)
		return r;

	if (bzimage_probe(&image->kernel)) {
		r = bzimage_parse(&image->kernel, &image->header, &reason);
		if (r)
			return error_set(err, -r, "%s: %s", image->what, reason.text);
		image->has_header = true;
		if (open_inner_kernel(image, options, &reason) != 0)
			log_debug("boot", "kernel: by its own decompressor: %s", reason.text);
		return 0;
	}
	if (boot_source_read(&image->kernel, 0, &magic, sizeof(magic)) != 0 ||
		magic != 0x464c457f) /* "\177ELF" */
		return refuse_unknown(image, err);
	r = elf_parse(&image->kernel, &image->elf, &reason);
	if (r)
		return error_set(err, -r, "%s: %s", image->what, reason.text);
	image->is_elf = true;
	return 0;
}

int boot_open(const struct boot_options *options, struct boot_image **out, struct error *err)
{
	struct boot_image *image;
	uint64_t params_max;
	int r;

	*out = NULL;
	image = calloc(1, sizeof(*image));
	if (!image)
		return error_set(err, ENOMEM, "boot: out of memory");
	image->kernel = image->initrd = BOOT_SOURCE_NONE;
	if (options->embedded_image)
		image->what = join(options->embedded_name, NULL);
	else
		image->what = join("--kernel", options->kernel_path);
	image->initrd_what = join("--initrd", options->initrd_path);
	image->params = strdup(options->params ? options->params : "");
	if (!image->what || !image->initrd_what || !image->params) {
		r = error_set(err, ENOMEM, "boot: out of memory");
		goto fail;
	}
	r = open_kernel(image, options, err);
	if (!r && options->initrd_path) {
		r = boot_source_open(&image->initrd, options->initrd_path, "--initrd", err);
		image->has_initrd = !r;
	}
	if (r)
		goto fail;
	params_max = min_u64(LOW_CMDLINE_MAX,
		image->has_header ? image->header.params_max_chars : PARAMS_MAX_CHARS);
	if (strlen(image->params) > params_max) {
		r = error_set(err, EINVAL,
			"--params: %zu characters, but this kernel takes %llu (shorten them)",
			strlen(image->params), (unsigned long long)params_max);
		goto fail;
	}
	*out = image;
	return 0;

fail:
	boot_close(image);
	return r;
}

void boot_close(struct boot_image *image)
{
	if (!image)
		return;
	boot_source_close(&image->kernel);
	boot_source_close(&image->initrd);
	free(image->what);
	free(image->initrd_what);
	free(image->params);
	free(image);
}

/* ---- loading ---- */

struct placement {
	struct memory_map map;
	uint64_t kernel_gpa;     /* where its first byte goes */
	uint64_t kernel_bytes;   /* RAM that it needs there */
	uint64_t kernel_shift;   /* kernel_gpa - where it was linked to (an ELF) */
	uint64_t virtual_offset; /* likewise of its virtual addresses */
	bool randomized;
	uint64_t initrd_gpa;
};

static enum boot_mode choose_mode(const struct boot_image *image)
{
	const struct elf_image *elf = &image->elf;

	if (!image->is_elf)
		return image->header.entry_64 ? BOOT_LONG_64 : BOOT_PROTECTED_32;
	/* A stranger with a PVH entry means that one: only Linux can be entered with boot_params,
	 * and Linux says so in a note, or by the physical address of a 64-bit entry. */
	if (!image->has_header && elf->has_pvh && !elf->is_linux &&
		(!elf->is_64 || elf->entry_is_virtual))
		return BOOT_PVH_32;
	return elf->is_64 ? BOOT_LONG_64 : BOOT_PROTECTED_32;
}

static uint64_t random_bits(void)
{
	uint64_t bits = 0;

	/* Without randomness the guest starts all the same, at a place that is no secret. */
	(void)!getrandom(&bits, sizeof(bits), GRND_NONBLOCK);
	return bits;
}

static int no_room(const struct boot_image *image, const struct guest_mem *mem, uint64_t start,
	uint64_t length, const char *other, struct error *err)
{
	if (other)
		return error_set(err, EINVAL,
			"%s: it wants %#llx to %#llx, where the %s lies (this image cannot be run)",
			image->what, (unsigned long long)start,
			(unsigned long long)(start + length), other);
	return error_set(err, EINVAL,
		"%s: it needs RAM from %#llx to %#llx, and %llu MiB do not have it (try a larger "
		"--mem)",
		image->what, (unsigned long long)start, (unsigned long long)(start + length),
		(unsigned long long)(mem->size_bytes >> 20));
}

/* At most one piece for each segment: what lies between them stays free. */
static int take_segments(const struct boot_image *image, const struct guest_mem *mem,
	struct placement *place, struct error *err)
{
	const struct elf_image *elf = &image->elf;
	const char *other;

	for (unsigned i = 0; i < elf->segment_count; i++)
		if (memory_map_take(&place->map, elf->segments[i].gpa,
			    elf->segments[i].memory_bytes, "kernel", &other) != 0)
			return no_room(image, mem, elf->segments[i].gpa,
				elf->segments[i].memory_bytes, other, err);
	place->kernel_gpa = elf->start_gpa;
	return 0;
}

/* A bzImage's kernel, packed or not: one block at its preferred address, or where there is room. */
static int take_block(const struct boot_image *image, const struct guest_mem *mem,
	struct placement *place, struct error *err)
{
	const struct bzimage *header = &image->header;
	uint64_t preferred = header->load_gpa, align = header->alignment;
	const char *other;

	place->kernel_bytes = header->memory_bytes;
	if (image->is_elf) {
		preferred = image->elf.start_gpa;
		place->kernel_bytes =
			max_u64(place->kernel_bytes, image->elf.end_gpa - image->elf.start_gpa);
		align = max_u64(align, KERNEL_ALIGN_MIN);
	}
	place->kernel_gpa = preferred;
	if (memory_map_take(&place->map, preferred, place->kernel_bytes, "kernel", &other) == 0)
		return 0;
	/* Moved physically only, a 64-bit kernel needs no relocation. */
	if (!header->relocatable || (image->is_elf && !image->elf.is_64) ||
		memory_map_find_bottom(&place->map, place->kernel_bytes, align, MIB(1),
			GUEST_MEM_HOLE_START, &place->kernel_gpa) != 0 ||
		memory_map_take(
			&place->map, place->kernel_gpa, place->kernel_bytes, "kernel", &other) != 0)
		return no_room(image, mem, preferred, place->kernel_bytes, other, err);
	return 0;
}

static int place_initrd(const struct boot_image *image, const struct guest_mem *mem,
	struct placement *place, struct error *err)
{
	const uint64_t length = image->initrd.size_bytes;
	const uint64_t limit =
		(image->has_header ? image->header.initrd_max_gpa : INITRD_MAX_GPA) + 1;
	const char *other;

	if (!image->has_initrd)
		return 0;
	if (length <= UINT32_MAX &&
		memory_map_find_top(&place->map, length, PAGE_BYTES, MIB(1),
			min_u64(limit, GUEST_MEM_HOLE_START), &place->initrd_gpa) == 0 &&
		memory_map_take(&place->map, place->initrd_gpa, length, "initrd", &other) == 0)
		return 0;
	return error_set(err, EINVAL,
		"%s: no room for its %llu MiB beside the kernel in %llu MiB (try a larger --mem)",
		image->initrd_what, (unsigned long long)((length + MIB(1) - 1) >> 20),
		(unsigned long long)(mem->size_bytes >> 20));
}

/* A random place and a random virtual offset, as the kernel's own decompressor draws them. */
static void randomize(const struct boot_image *image, struct placement *place)
{
	const uint64_t align = max_u64(image->header.alignment, KERNEL_ALIGN_MIN);
	const uint64_t start = image->elf.start_gpa;
	const uint64_t length = align_up(place->kernel_bytes, align);
	const char *other;
	uint64_t gpa;

	if (start % align || start > KERNEL_MAP_BYTES || length > KERNEL_MAP_BYTES - start)
		return;
	place->virtual_offset =
		random_bits() % ((KERNEL_MAP_BYTES - start - length) / align + 1) * align;
	place->randomized = true;
	if (memory_map_find_random(&place->map, place->kernel_bytes, align, KERNEL_LOWEST_GPA,
		    GUEST_MEM_HOLE_START, random_bits(), &gpa) == 0 &&
		memory_map_take(&place->map, gpa, place->kernel_bytes, "kernel", &other) == 0)
		place->kernel_gpa = gpa;
}

static int place_all(const struct boot_image *image, const struct guest_mem *mem,
	struct placement *place, struct error *err)
{
	const char *other;
	int r;

	if (memory_map_take(&place->map, 0, LOW_END_GPA, "boot data", &other) != 0)
		return error_set(err, EINVAL, "boot: the board took low memory for itself");
	r = image->has_header ? take_block(image, mem, place, err)
			      : take_segments(image, mem, place, err);
	if (!r)
		r = place_initrd(image, mem, place, err);
	/* Only now, so that chance never leaves the initrd without room. The first place stays
	 * taken, and is not used. */
	if (!r && image->randomize)
		randomize(image, place);
	if (!r && image->is_elf)
		place->kernel_shift = place->kernel_gpa - image->elf.start_gpa;
	return r;
}

static int read_into_guest(const struct boot_source *source, uint64_t offset, struct guest_mem *mem,
	uint64_t gpa, uint64_t length, const char *what, struct error *err)
{
	struct guest_slice slice;
	int r;

	r = guest_mem_slice(mem, gpa, length, &slice);
	if (r)
		return error_set(err, -r, "%s: no RAM at %#llx", what, (unsigned long long)gpa);
	r = boot_source_read(source, offset, slice.data, length);
	if (r)
		return error_set(err, -r, "%s: cannot be read: %s (did it change meanwhile?)", what,
			strerror(-r));
	return 0;
}

static int relocate(const struct boot_image *image, struct guest_mem *mem,
	const struct placement *place, struct error *err)
{
	const uint64_t start = image->elf.start_gpa, length = image->elf.end_gpa - start;
	struct reloc_table table;
	struct guest_slice slice;
	uint32_t *words;
	int r;

	if (!place->virtual_offset)
		return 0;
	r = guest_mem_slice(mem, place->kernel_gpa, length, &slice);
	if (!r)
		r = read_relocations(image, &words, &table);
	if (r)
		return error_set(err, -r, "%s: its relocations cannot be read again", image->what);
	reloc_apply(&table, slice.data, start, length, place->virtual_offset);
	free(words);
	return 0;
}

static int load_kernel(const struct boot_image *image, struct guest_mem *mem,
	const struct placement *place, struct error *err)
{
	const struct elf_image *elf = &image->elf;
	int r = 0;

	if (!image->is_elf)
		return read_into_guest(&image->kernel, image->header.kernel_offset, mem,
			place->kernel_gpa, image->header.kernel_bytes, image->what, err);
	for (unsigned i = 0; i < elf->segment_count && !r; i++)
		r = read_into_guest(&image->kernel, elf->segments[i].offset, mem,
			elf->segments[i].gpa + place->kernel_shift, elf->segments[i].file_bytes,
			image->what, err);
	return r ? r : relocate(image, mem, place, err);
}

int boot_load(struct boot_image *image, struct guest_mem *mem, const struct boot_machine *machine,
	struct boot_entry *entry, struct error *err)
{
	const enum boot_mode mode = choose_mode(image);
	struct placement place = { .kernel_gpa = 0 };
	struct params_input input;
	int r;

	r = memory_map_build(&place.map, mem, machine, err);
	if (!r)
		r = place_all(image, mem, &place, err);
	if (!r)
		r = load_kernel(image, mem, &place, err);
	if (!r && image->has_initrd)
		r = read_into_guest(&image->initrd, 0, mem, place.initrd_gpa,
			image->initrd.size_bytes, image->initrd_what, err);
	if (!r)
		r = low_memory_write(mem, mode, image->params, entry, err);
	if (r)
		return r;
	input = (struct params_input){
		.header = image->has_header ? &image->header : NULL,
		.machine = machine,
		.map = &place.map,
		.kernel_gpa = place.kernel_gpa,
		.initrd_gpa = place.initrd_gpa,
		.initrd_bytes = image->has_initrd ? image->initrd.size_bytes : 0,
		.randomized = place.randomized,
	};
	if (mode == BOOT_PVH_32) {
		entry->rip = image->elf.pvh_entry_gpa;
		entry->rbx = LOW_START_INFO_GPA;
		r = params_write_pvh(mem, &input, err);
	} else {
		entry->rip = image->is_elf ? image->elf.entry_gpa + place.kernel_shift
					   : place.kernel_gpa;
		if (!image->is_elf && mode == BOOT_LONG_64)
			entry->rip += ENTRY_64_OFFSET;
		entry->rsi = LOW_PARAMS_GPA;
		r = params_write_linux(mem, &input, err);
	}
	if (!r)
		log_debug("boot", "kernel at %#llx%s, initrd at %#llx, entry %#llx (%s)",
			(unsigned long long)place.kernel_gpa, place.randomized ? " (random)" : "",
			(unsigned long long)place.initrd_gpa, (unsigned long long)entry->rip,
			mode == BOOT_LONG_64  ? "64-bit"
			: mode == BOOT_PVH_32 ? "PVH"
					      : "32-bit");
	return r;
}
