/* Reads and checks the setup header of a bzImage: see bzimage.h. Threads: one at a time. */
#include "core/boot/bzimage.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <string.h>

#define SECTOR_BYTES      512u
#define MAGIC_OFFSET      0x202u /* "HdrS" */
#define BOOT_FLAG         0xaa55u
#define HEADER_MAGIC      0x53726448u /* "HdrS" */
#define DEFAULT_ALIGNMENT MIB(2)
#define MAX_ALIGNMENT     GIB(1)

_Static_assert(sizeof(struct setup_header) == BZIMAGE_HEADER_MAX_BYTES, "setup header");
_Static_assert(
	offsetof(struct boot_params, hdr) == BZIMAGE_HEADER_OFFSET, "place of the setup header");

bool bzimage_probe(const struct boot_source *source)
{
	uint32_t magic;

	return boot_source_read(source, MAGIC_OFFSET, &magic, sizeof(magic)) == 0 &&
	       magic == HEADER_MAGIC;
}

/* The header with zeroes for all that its version does not have. */
static int read_header(
	const struct boot_source *source, struct setup_header *header, struct error *err)
{
	uint8_t jump_bytes = 0;
	uint64_t length;
	int r;

	memset(header, 0, sizeof(*header));
	/* The jump over the header tells how long it is. */
	r = boot_source_read(source, MAGIC_OFFSET - 1, &jump_bytes, 1);
	if (!r) {
		length =
			min_u64(MAGIC_OFFSET + jump_bytes - BZIMAGE_HEADER_OFFSET, sizeof(*header));
		r = boot_source_read(source, BZIMAGE_HEADER_OFFSET, header, length);
	}
	if (r == -ERANGE)
		return error_set(err, EINVAL, "the file ends inside the setup header (truncated?)");
	if (r)
		return error_set(err, -r, "%s", strerror(-r));
	if (header->boot_flag != BOOT_FLAG || header->header != HEADER_MAGIC)
		return error_set(err, EINVAL, "not a Linux bzImage (no boot flag)");
	if (header->version < 0x0202)
		return error_set(err, EINVAL,
			"boot protocol %u.%02u is too old (2.02 or later is needed)",
			header->version >> 8, header->version & 0xff);
	if (!(header->loadflags & LOADED_HIGH))
		return error_set(err, EINVAL, "a zImage, which loads low (build a bzImage)");
	return 0;
}

static int find_parts(const struct boot_source *source, const struct setup_header *header,
	struct bzimage *image, struct error *err)
{
	/* 0 is what very old images have, and means 4. */
	uint64_t sectors = header->setup_sects ? header->setup_sects : 4u;
	uint64_t announced =
		16 * (uint64_t)(header->version >= 0x0204 ? header->syssize
							  : (header->syssize & 0xffff));

	image->kernel_offset = (sectors + 1) * SECTOR_BYTES;
	if (image->kernel_offset >= source->size_bytes)
		return error_set(
			err, EINVAL, "the file ends before the kernel proper (truncated?)");
	image->kernel_bytes = source->size_bytes - image->kernel_offset;
	/* syssize counts 16-byte units, rounded up; signatures may follow the kernel. Before 2.04
	 * it is not to be trusted. */
	if (header->version >= 0x0204) {
		if (announced > image->kernel_bytes + 15)
			return error_set(err, EINVAL,
				"the file has %llu bytes of the kernel's %llu (truncated?)",
				(unsigned long long)image->kernel_bytes,
				(unsigned long long)announced);
		if (announced)
			image->kernel_bytes = min_u64(image->kernel_bytes, announced);
	}
	if (header->version >= 0x0208 && header->payload_length) {
		if (!range_fits(
			    header->payload_offset, header->payload_length, image->kernel_bytes))
			return error_set(err, EINVAL,
				"its payload (%#x bytes at %#x) lies outside of the kernel",
				header->payload_length, header->payload_offset);
		image->payload_offset = image->kernel_offset + header->payload_offset;
		image->payload_bytes = header->payload_length;
	}
	return 0;
}

static int find_place(const struct setup_header *header, struct bzimage *image, struct error *err)
{
	image->load_gpa = MIB(1);
	image->alignment = DEFAULT_ALIGNMENT;
	image->memory_bytes = image->kernel_bytes;
	if (header->version >= 0x0205) {
		image->relocatable = header->relocatable_kernel != 0;
		if (header->kernel_alignment)
			image->alignment = header->kernel_alignment;
		if ((image->alignment & (image->alignment - 1)) || image->alignment < PAGE_BYTES ||
			image->alignment > MAX_ALIGNMENT)
			return error_set(err, EINVAL,
				"its alignment %#x is not a sane power of two",
				header->kernel_alignment);
	}
	if (header->version >= 0x020a) {
		image->load_gpa = header->pref_address;
		image->memory_bytes = max_u64(header->init_size, image->kernel_bytes);
		if (image->load_gpa > UINT32_MAX ||
			image->memory_bytes > UINT32_MAX - image->load_gpa)
			return error_set(err, EINVAL,
				"it wants to be loaded at %#llx, beyond the first 4 GiB",
				(unsigned long long)image->load_gpa);
		if (image->load_gpa < MIB(1))
			return error_set(err, EINVAL, "it wants to be loaded at %#llx, below 1 MiB",
				(unsigned long long)image->load_gpa);
	} else {
		/* Nothing tells the room that decompression takes. */
		image->memory_bytes = max_u64(4 * image->kernel_bytes, MIB(16));
	}
	return 0;
}

int bzimage_parse(const struct boot_source *source, struct bzimage *image, struct error *err)
{
	struct setup_header header;
	int r;

	memset(image, 0, sizeof(*image));
	r = read_header(source, &header, err);
	if (!r)
		r = find_parts(source, &header, image, err);
	if (!r)
		r = find_place(&header, image, err);
	if (r)
		return r;
	image->version = header.version;
	memcpy(image->header, &header, sizeof(header));
	image->entry_64 = header.version >= 0x020c && (header.xloadflags & XLF_KERNEL_64) &&
			  image->kernel_bytes > 0x200;
	image->initrd_max_gpa = header.version >= 0x0203 ? header.initrd_addr_max : 0x37ffffff;
	image->params_max_chars =
		header.version >= 0x0206 && header.cmdline_size ? header.cmdline_size : 255;
	return 0;
}
