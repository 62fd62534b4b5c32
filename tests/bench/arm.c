/* What it costs to be told of a guest's next write to video memory, one way beside the other.
 *
 *   arm [RUNS]
 *
 * The guest, in ring 3 of long mode (full speed on any KVM), writes one byte to each page that the
 * screen has at 1024x768x32, and leaves by a port; then the memory is armed in one of these ways
 * and the guest writes again, first one page and then all of them:
 *
 *   none: nothing is armed; what a look, and the log's own write protection, cost anyway.
 *   watched: the same, but the log keeps the pages (KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2).
 *   mprotect: the right to write is taken from our mapping. KVM_RUN fails with EFAULT, or leaves by
 *   an MMIO exit where its emulator executes the guest; all is given back at once.
 *   slot: the slot is deleted and added again read-only; each write is an MMIO exit until it is
 *   deleted and added again for writing.
 *   userfault: userfaultfd write protection, lifted by a thread that waits for the first fault.
 *
 * Medians of RUNS (default 200) in microseconds: arming; the first write, as long as it takes
 * longer than without; all pages of the picture after the first one. Needs no rights but
 * /dev/kvm's; userfaultfd needs CAP_SYS_PTRACE or vm.unprivileged_userfaultfd, else it is left out.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "ring3_guest.h"

#define VIDEO_BYTES  (UINT64_C(16) << 20)
#define PAGE         4096u
#define SCREEN_PAGES (1024u * 768 * 4 / PAGE)
#define DONE_PORT    0x10u

/* again: test ecx, ecx; jz done; mov [rdi], al; add rdi, 4096; dec ecx; jmp again;
 * done: out DONE_PORT, al; jmp again */
static const uint8_t code[] = { 0x85, 0xc9, 0x74, 0x0d, 0x88, 0x07, 0x48, 0x81, 0xc7, 0x00, 0x10,
	0x00, 0x00, 0xff, 0xc9, 0xeb, 0xef, 0xe6, DONE_PORT, 0xeb, 0xeb };

enum way {
	WAY_NONE,
	WAY_WATCHED,
	WAY_MPROTECT,
	WAY_SLOT,
	WAY_USERFAULT,
	WAY_COUNT
};
static const char *const way_names[] = { "none", "watched", "mprotect", "slot", "userfault" };

static int vm, vcpu, userfault = -1;
static struct kvm_run *run;
static uint8_t *video;
static enum way armed;
static bool keep_log;
static uint64_t bitmap[VIDEO_BYTES / PAGE / 64];

static int checked(int result, const char *what)
{
	if (result < 0)
		err(1, "%s", what);
	return result;
}

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void set_slot(uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t bytes, void *memory)
{
	struct kvm_userspace_memory_region region = { .slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)memory };

	checked(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
}

static void collect(void)
{
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };

	struct kvm_clear_dirty_log clear = {
		.slot = 1, .num_pages = VIDEO_BYTES / PAGE, .dirty_bitmap = bitmap
	};

	checked(ioctl(vm, KVM_GET_DIRTY_LOG, &log), "KVM_GET_DIRTY_LOG");
	if (keep_log)
		return;
	checked(ioctl(vm, KVM_CLEAR_DIRTY_LOG, &clear), "KVM_CLEAR_DIRTY_LOG");
}

static void protect_by_userfault(bool on)
{
	struct uffdio_writeprotect protect = { .range = { (uintptr_t)video, VIDEO_BYTES },
		.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0 };

	checked(ioctl(userfault, UFFDIO_WRITEPROTECT, &protect), "UFFDIO_WRITEPROTECT");
}

static void *answer_userfaults(void *unused)
{
	struct uffd_msg message;

	(void)unused;
	for (;;) {
		if (read(userfault, &message, sizeof(message)) == sizeof(message))
			protect_by_userfault(false);
	}
	return NULL;
}

static bool open_userfault(void)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };
	struct uffdio_register range = { .range = { (uintptr_t)video, VIDEO_BYTES },
		.mode = UFFDIO_REGISTER_MODE_WP };
	pthread_t thread;

	userfault = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	return userfault >= 0 && !ioctl(userfault, UFFDIO_API, &api) &&
	       !ioctl(userfault, UFFDIO_REGISTER, &range) &&
	       !pthread_create(&thread, NULL, answer_userfaults, NULL);
}

static void arm(enum way way)
{
	if (way == WAY_MPROTECT)
		checked(mprotect(video, VIDEO_BYTES, PROT_READ), "mprotect");
	if (way == WAY_SLOT) {
		set_slot(1, 0, RING3_MEMORY_GPA, 0, video);
		set_slot(1, KVM_MEM_READONLY | KVM_MEM_LOG_DIRTY_PAGES, RING3_MEMORY_GPA,
			VIDEO_BYTES, video);
	}
	if (way == WAY_USERFAULT)
		protect_by_userfault(true);
	armed = way;
}

static void disarm(void)
{
	if (armed == WAY_MPROTECT)
		checked(mprotect(video, VIDEO_BYTES, PROT_READ | PROT_WRITE), "mprotect");
	if (armed == WAY_SLOT) {
		set_slot(1, 0, RING3_MEMORY_GPA, 0, video);
		set_slot(1, KVM_MEM_LOG_DIRTY_PAGES, RING3_MEMORY_GPA, VIDEO_BYTES, video);
	}
	armed = WAY_NONE;
}

/* The guest writes so many pages. Returns the microseconds it took. */
static double write_pages(unsigned first, unsigned count)
{
	double start;

	checked(ring3_set_registers(vcpu, true, RING3_MEMORY_GPA + (uint64_t)first * PAGE, count),
		"registers");
	start = now_us();
	for (;;) {
		if (ioctl(vcpu, KVM_RUN, 0) < 0) {
			if (errno != EFAULT || armed != WAY_MPROTECT)
				err(1, "KVM_RUN");
			disarm();
		} else if (run->exit_reason == KVM_EXIT_MMIO && run->mmio.is_write) {
			disarm();
			memcpy(video + (run->mmio.phys_addr - RING3_MEMORY_GPA), run->mmio.data,
				run->mmio.len);
		} else if (run->exit_reason == KVM_EXIT_IO) {
			return now_us() - start;
		} else {
			errx(1, "the guest left for reason %u", run->exit_reason);
		}
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, unsigned count)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count / 2];
}

static void measure(enum way way, unsigned runs)
{
	double *arming = calloc(runs, sizeof(double)), *first = calloc(runs, sizeof(double));
	double *rest = calloc(runs, sizeof(double)), *look = calloc(runs, sizeof(double));

	if (!arming || !first || !rest || !look)
		errx(1, "out of memory");
	keep_log = way == WAY_WATCHED;
	for (unsigned i = 0; i < runs; i++) {
		double start;

		write_pages(0, SCREEN_PAGES);
		collect();
		start = now_us();
		arm(way);
		arming[i] = now_us() - start;
		start = now_us();
		collect();
		look[i] = now_us() - start;
		first[i] = write_pages(0, 1);
		rest[i] = write_pages(1, SCREEN_PAGES - 1);
		armed = WAY_NONE;
	}
	printf("%-10s arm %8.1f  look %6.1f  first write %8.1f  the other %u pages %8.1f\n",
		way_names[way], median(arming, runs), median(look, runs), median(first, runs),
		SCREEN_PAGES - 1, median(rest, runs));
	free(arming);
	free(first);
	free(rest);
	free(look);
}

static void *map_memory(uint64_t bytes)
{
	void *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		err(1, "memory");
	return memory;
}

int main(int argc, char **argv)
{
	unsigned runs = argc > 1 ? (unsigned)atoi(argv[1]) : 200;
	int kvm = checked(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	int run_bytes = checked(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	uint8_t *ram = map_memory(RING3_RAM_BYTES);
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		.args = { KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE } };

	if (!runs)
		errx(2, "usage: arm [RUNS]");
	video = map_memory(VIDEO_BYTES);
	vm = checked(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	checked(ioctl(vm, KVM_ENABLE_CAP, &cap), "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2");
	set_slot(0, 0, 0, RING3_RAM_BYTES, ram);
	set_slot(1, KVM_MEM_LOG_DIRTY_PAGES, RING3_MEMORY_GPA, VIDEO_BYTES, video);
	checked(ioctl(vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
	vcpu = checked(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	run = mmap(NULL, (size_t)run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		err(1, "kvm_run");
	ring3_set_page_tables(ram);
	memcpy(ram + RING3_CODE_GPA, code, sizeof(code));
	printf("microseconds, medians of %u\n", runs);
	for (enum way way = WAY_NONE; way < WAY_COUNT; way++) {
		if (way == WAY_USERFAULT && !open_userfault())
			printf("%-10s not possible here: %s\n", way_names[way], strerror(errno));
		else
			measure(way, runs);
	}
	return 0;
}
