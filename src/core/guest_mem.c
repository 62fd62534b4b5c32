#include "core/guest_mem.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* Small guests live below; the first touch of a large page costs a host up to some milliseconds. */
#define SMALL_PAGES_BYTES MIB(16)

/* Guest and host addresses must agree in their low bits for KVM to use large pages. */
static uint8_t *map_aligned(uint64_t length, uint64_t alignment)
{
	uint8_t *all = mmap(NULL, length + alignment, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t head;

	if (all == MAP_FAILED)
		return NULL;
	head = align_up((uintptr_t)all, alignment) - (uintptr_t)all;
	if (head)
		munmap(all, head);
	if (alignment - head)
		munmap(all + head + length, alignment - head);
	return all + head;
}

/* A guest may tell two devices to use the same memory, and races there are its own affair: we take
 * nothing in it for granted. ThreadSanitizer, which cannot know, is told. */
#ifdef __SANITIZE_THREAD__
void AnnotateBenignRaceSized(const char *file, int line, const volatile void *memory, size_t length,
	const char *description);

static void allow_races(const uint8_t *ram, uint64_t length)
{
	AnnotateBenignRaceSized(__FILE__, __LINE__, ram, length, "guest memory");
}
#else
static void allow_races(const uint8_t *ram, uint64_t length)
{
	(void)ram;
	(void)length;
}
#endif

static uint8_t *map_ram(uint64_t length)
{
	uint8_t *ram = map_aligned(length, MIB(2));

	if (!ram)
		return NULL;
	/* Large pages make nested paging two levels shorter; small guests stay small. A core dump
	 * of vmgui is about vmgui. */
	if (length >= MIB(64))
		madvise(ram, length, MADV_HUGEPAGE);
	madvise(ram, length, MADV_DONTDUMP);
	allow_races(ram, length);
	return ram;
}

int guest_mem_init(struct guest_mem *mem, uint64_t size_bytes, struct error *err)
{
	uint64_t low = min_u64(size_bytes, GUEST_MEM_HOLE_START);
	uint64_t high = size_bytes - low;

	memset(mem, 0, sizeof(*mem));
	if (size_bytes < MIB(1) || size_bytes % PAGE_BYTES || size_bytes > GIB(4096))
		return error_set(err, EINVAL,
			"memory of %llu bytes: not between 1M and 4T in whole pages",
			(unsigned long long)size_bytes);

	mem->size_bytes = size_bytes;
	mem->regions[0].length_bytes = low;
	mem->regions[0].start_hva = map_ram(low);
	if (!mem->regions[0].start_hva)
		goto no_memory;
	mem->region_count = 1;
	if (high) {
		mem->regions[1].start_gpa = GUEST_MEM_HOLE_END;
		mem->regions[1].length_bytes = high;
		mem->regions[1].start_hva = map_ram(high);
		if (!mem->regions[1].start_hva)
			goto no_memory;
		mem->region_count = 2;
	}
	return 0;

no_memory:
	guest_mem_fini(mem);
	return error_set(err, ENOMEM, "--mem %lluM: the host does not have that much (give less)",
		(unsigned long long)(size_bytes >> 20));
}

void guest_mem_fini(struct guest_mem *mem)
{
	for (unsigned i = 0; i < mem->region_count; i++)
		munmap(mem->regions[i].start_hva, mem->regions[i].length_bytes);
	memset(mem, 0, sizeof(*mem));
}

void guest_mem_clear(struct guest_mem *mem)
{
	for (unsigned i = 0; i < mem->region_count; i++) {
		const struct guest_mem_region *region = &mem->regions[i];

		/* Private anonymous pages that are given back read as zero again. */
		if (madvise(region->start_hva, region->length_bytes, MADV_DONTNEED))
			memset(region->start_hva, 0, region->length_bytes);
	}
}

int guest_mem_slice(
	const struct guest_mem *mem, uint64_t gpa, uint64_t length_bytes, struct guest_slice *slice)
{
	for (unsigned i = 0; i < mem->region_count; i++) {
		const struct guest_mem_region *region = &mem->regions[i];

		if (gpa < region->start_gpa)
			break;
		if (range_fits(gpa - region->start_gpa, length_bytes, region->length_bytes)) {
			slice->data = region->start_hva + (gpa - region->start_gpa);
			slice->length_bytes = length_bytes;
			return 0;
		}
	}
	slice->data = NULL;
	slice->length_bytes = 0;
	return -EFAULT;
}

int guest_mem_read(const struct guest_mem *mem, uint64_t gpa, void *buffer, uint64_t length_bytes)
{
	struct guest_slice slice;
	int ret = guest_mem_slice(mem, gpa, length_bytes, &slice);

	if (!ret && length_bytes)
		memcpy(buffer, slice.data, length_bytes);
	return ret;
}

int guest_mem_write(
	const struct guest_mem *mem, uint64_t gpa, const void *buffer, uint64_t length_bytes)
{
	struct guest_slice slice;
	int ret = guest_mem_slice(mem, gpa, length_bytes, &slice);

	if (!ret && length_bytes)
		memcpy(slice.data, buffer, length_bytes);
	return ret;
}

int guest_mem_fill(const struct guest_mem *mem, uint64_t gpa, uint8_t value, uint64_t length_bytes)
{
	struct guest_slice slice;
	int ret = guest_mem_slice(mem, gpa, length_bytes, &slice);

	if (!ret && length_bytes)
		memset(slice.data, value, length_bytes);
	return ret;
}
