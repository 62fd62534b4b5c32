/* See doctor.h. The speed test is a virtual machine of one page: a counted loop in flat 32-bit
 * protected mode at privilege level 0, timed from KVM_RUN to its HLT. Real processors run some
 * thousand million of its instructions a second, a KVM that emulates kernel code about half a
 * million. */
#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "core/error.h"
#include "core/kvm.h"
#include "core/module.h"
#include "display/backend.h"

#define CODE_GPA 0x1000u
/* Below this many instructions a second Linux takes minutes to boot, or dies in the emulator. */
#define EMULATED_BELOW 50e6

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void set_flat_protected_mode(struct kvm_sregs *sregs)
{
	struct kvm_segment code = { .limit = 0xffffffff,
		.selector = 8,
		.type = 11,
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1 };
	struct kvm_segment data = code;

	data.selector = 16;
	data.type = 3;
	sregs->cs = code;
	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
	sregs->cr0 |= 1;
}

/* Instructions a second of a counted loop; negative errno as a double where it cannot be run. */
static double loop_speed(int vcpu_fd, struct kvm_run *run, uint8_t *memory, uint32_t count)
{
	/* mov ecx, count; 1: dec ecx; jnz 1b; hlt */
	uint8_t code[] = { 0xb9, 0, 0, 0, 0, 0x49, 0x75, 0xfd, 0xf4 };
	struct kvm_regs regs = { .rip = CODE_GPA, .rflags = 2 };
	double start, elapsed;

	memcpy(code + 1, &count, sizeof(count));
	memcpy(memory + CODE_GPA, code, sizeof(code));
	if (ioctl(vcpu_fd, KVM_SET_REGS, &regs) < 0)
		return -errno;
	start = seconds();
	if (ioctl(vcpu_fd, KVM_RUN, 0) < 0)
		return -errno;
	elapsed = seconds() - start;
	if (run->exit_reason != KVM_EXIT_HLT)
		return -EPROTO;
	return 2.0 * count / elapsed;
}

static double measure(const struct kvm *kvm)
{
	struct kvm_userspace_memory_region region = { .memory_size = 2 * PAGE_BYTES };
	uint8_t *memory = mmap(
		NULL, 2 * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_run *run = MAP_FAILED;
	struct kvm_sregs sregs;
	double speed = -ENOMEM;
	int vcpu_fd = -1;

	if (memory == MAP_FAILED)
		return speed;
	region.userspace_addr = (uintptr_t)memory;
	if (kvm_vm_ioctl(kvm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		goto unmap;
	vcpu_fd = ioctl(kvm->vm_fd, KVM_CREATE_VCPU, 0);
	if (vcpu_fd < 0)
		goto unmap;
	run = mmap(NULL, kvm->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_fd, 0);
	if (run == MAP_FAILED || ioctl(vcpu_fd, KVM_GET_SREGS, &sregs) < 0)
		goto unmap;
	set_flat_protected_mode(&sregs);
	if (ioctl(vcpu_fd, KVM_SET_SREGS, &sregs) < 0)
		goto unmap;
	/* Longer runs until one takes long enough to be timed. */
	for (uint32_t count = 1000; count <= 100000000; count *= 10) {
		double start = seconds();

		speed = loop_speed(vcpu_fd, run, memory, count);
		if (speed < 0 || seconds() - start > 0.01)
			break;
	}
unmap:
	if (run != MAP_FAILED)
		munmap(run, kvm->run_bytes);
	if (vcpu_fd >= 0)
		close(vcpu_fd);
	munmap(memory, 2 * PAGE_BYTES);
	return speed;
}

static void report_module(const char *label, const char *name, const char *use)
{
	struct module *module;
	struct error err;

	if (module_open(name, &module, &err)) {
		printf("%-15s no: %s\n", label, err.text);
	} else {
		printf("%-15s yes: %s\n", label, use);
		module_close(module);
	}
}

static void report_modules(void)
{
	for (const struct backend_info *info = backend_registry; info->name; info++) {
		char label[32];

		if (!info->module)
			continue;
		snprintf(label, sizeof(label), "display %s", info->name);
		report_module(label, info->name, info->description);
	}
	report_module("screenshots", "png", "PNG files");
	report_module("kernels", "unpack", "compressed ones are unpacked on the host");
	report_module("keymaps", "keymap", "keyboard layouts of the guest, for VNC");
	report_module("disks", "block", "raw and qcow2 images, block devices");
}

int doctor_run(void)
{
	struct error err;
	struct kvm kvm;
	double speed;

	if (kvm_create(&kvm, KVM_DEFAULT_PATH, &err)) {
		printf("kvm             no: %s\n", err.text);
		report_modules();
		printf("verdict         this machine cannot run guests yet\n");
		return 1;
	}
	printf("kvm             yes: /dev/kvm creates virtual machines, at most %u processors "
	       "each\n",
		kvm.max_vcpus);
	speed = measure(&kvm);
	if (speed < 0)
		printf("kernel code     no: a test guest did not run: %s\n", strerror((int)-speed));
	else if (speed < EMULATED_BELOW)
		printf("kernel code     slow: %.1f million instructions a second: this KVM "
		       "emulates guest kernels\n",
			speed / 1e6);
	else
		printf("kernel code     fast: %.0f million instructions a second\n", speed / 1e6);
	kvm_destroy(&kvm);
	report_modules();
	if (speed < 0) {
		printf("verdict         this machine cannot run guests (is it a virtual machine "
		       "without nesting?)\n");
		return 1;
	}
	if (speed < EMULATED_BELOW)
		printf("verdict         the test card runs; Linux guests are too slow or fail here "
		       "(use a machine with real virtualization, or scripts/kvm-lab)\n");
	else
		printf("verdict         this machine runs guests\n");
	return 0;
}
