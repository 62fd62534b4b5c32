/* minimal_vm: the least that a program can do to run the tiny guest on a machine like vmgui's.
 *
 *   minimal_vm IMAGE [MEMORY_MIB]
 *
 * It makes the same virtual machine with the same calls as vmgui (two memory slots, one of them
 * with dirty log, interrupt controllers, timer, one vCPU with CPUID) and nothing else: what vmgui
 * takes on top of its time is vmgui's own. Linux gives no memory back faster than it tears the
 * machine down, so this also shows what the kernel alone costs. */
#include <elf.h>
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define COM1_DATA    0x3f8
#define EXIT_PORT    0xf4
#define VIDEO_GPA    0xc0000000u
#define VIDEO_BYTES  (16u << 20)
#define TSS_GPA      0xfffbd000u
#define IDENTITY_GPA 0xfffbc000u
#define CPUID_MAX    256

static int checked(int result, const char *what)
{
	if (result < 0)
		err(1, "%s", what);
	return result;
}

static uint8_t *add_memory(int vm, uint32_t slot, uint32_t flags, uint64_t gpa, size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct kvm_userspace_memory_region region = { .slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)memory };

	if (memory == MAP_FAILED)
		err(1, "memory");
	checked(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "memory slot");
	return memory;
}

/* Copies the image's segments; returns its entry. The image is our own, so what it says is
 * believed. */
static uint64_t load(const char *path, uint8_t *memory)
{
	int fd = checked(open(path, O_RDONLY | O_CLOEXEC), path);
	struct stat info;
	const uint8_t *file;
	const Elf64_Ehdr *header;
	uint64_t entry;

	checked(fstat(fd, &info), path);
	file = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (file == MAP_FAILED)
		err(1, "%s", path);
	header = (const void *)file;
	entry = header->e_entry;
	for (unsigned i = 0; i < header->e_phnum; i++) {
		const Elf64_Phdr *segment = (const Elf64_Phdr *)(file + header->e_phoff) + i;

		if (segment->p_type == PT_LOAD)
			memcpy(memory + segment->p_paddr, file + segment->p_offset,
				segment->p_filesz);
	}
	munmap((void *)file, (size_t)info.st_size);
	close(fd);
	return entry;
}

static void set_cpuid(int kvm, int vcpu)
{
	struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + CPUID_MAX * sizeof(cpuid->entries[0]));

	if (!cpuid)
		err(1, "CPUID");
	cpuid->nent = CPUID_MAX;
	checked(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid), "KVM_GET_SUPPORTED_CPUID");
	checked(ioctl(vcpu, KVM_SET_CPUID2, cpuid), "KVM_SET_CPUID2");
	free(cpuid);
}

/* Flat 32-bit protected mode: the image's code means the same there as in 64-bit mode. */
static void set_registers(int vcpu, uint64_t entry)
{
	struct kvm_segment code = { .limit = 0xffffffff,
		.selector = 8,
		.type = 11,
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1 };
	struct kvm_segment data = code;
	struct kvm_regs regs = { .rip = entry, .rflags = 2 };
	struct kvm_sregs sregs;

	data.selector = 16;
	data.type = 3;
	checked(ioctl(vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.cr0 |= 1;
	checked(ioctl(vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	checked(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

int main(int argc, char **argv)
{
	size_t memory_bytes = (size_t)(argc > 2 ? atoi(argv[2]) : 1024) << 20;
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	uint64_t identity_gpa = IDENTITY_GPA;
	int kvm, vm, vcpu, run_bytes;
	struct kvm_run *run;
	uint64_t entry;

	if (argc < 2)
		errx(2, "usage: minimal_vm IMAGE [MEMORY_MIB]");
	kvm = checked(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	run_bytes = checked(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	vm = checked(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	checked(ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity_gpa), "KVM_SET_IDENTITY_MAP_ADDR");
	checked(ioctl(vm, KVM_SET_TSS_ADDR, (unsigned long)TSS_GPA), "KVM_SET_TSS_ADDR");
	entry = load(argv[1], add_memory(vm, 0, 0, 0, memory_bytes));
	add_memory(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, VIDEO_GPA, VIDEO_BYTES);
	checked(ioctl(vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
	checked(ioctl(vm, KVM_CREATE_PIT2, &pit), "KVM_CREATE_PIT2");
	vcpu = checked(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	run = mmap(NULL, (size_t)run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		err(1, "kvm_run");
	set_cpuid(kvm, vcpu);
	set_registers(vcpu, entry);
	for (;;) {
		const uint8_t *data;

		checked(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
		if (run->exit_reason != KVM_EXIT_IO)
			errx(1, "exit reason %u", run->exit_reason);
		data = (const uint8_t *)run + run->io.data_offset;
		if (run->io.port == COM1_DATA && write(STDOUT_FILENO, data, 1) < 0)
			err(1, "standard output");
		if (run->io.port == EXIT_PORT)
			return *data;
	}
}
