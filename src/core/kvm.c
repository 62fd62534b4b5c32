#include "core/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where the kernel keeps what Intel processors without unrestricted guests need to run real mode:
 * three pages and one, in the hole, out of the way of PCI. */
#define IDENTITY_MAP_GPA UINT64_C(0xfffbc000)
#define TSS_GPA          UINT64_C(0xfffbd000)

static bool cpu_has_virtualization(void)
{
	char line[4096];
	bool found = false;
	FILE *file = fopen("/proc/cpuinfo", "re");

	if (!file)
		return false;
	while (!found && fgets(line, sizeof(line), file))
		found = !strncmp(line, "flags", 5) &&
			(strstr(line, " vmx") || strstr(line, " svm"));
	fclose(file);
	return found;
}

void kvm_explain_open(const char *path, int errnum, struct error *err)
{
	switch (errnum) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		if (strcmp(path, KVM_DEFAULT_PATH) != 0)
			error_set(err, errnum,
				"--dev %s: %s (without --dev it is " KVM_DEFAULT_PATH ")", path,
				strerror(errnum));
		else if (cpu_has_virtualization())
			error_set(err, errnum,
				"%s: the kernel's KVM module is not loaded (modprobe kvm_intel or "
				"kvm_amd, as root)",
				path);
		else
			error_set(err, errnum,
				"%s: there is no KVM and the processor shows no virtualization "
				"(switch VT-x or AMD-V on in the firmware; inside a virtual "
				"machine, allow nesting)",
				path);
		break;
	case EACCES:
	case EPERM:
		error_set(err, errnum,
			"%s: you may not open it (join the group that owns it, usually: sudo "
			"usermod -aG kvm $USER, then log in again)",
			path);
		break;
	default:
		error_set(err, errnum, "%s: %s (vmgui doctor tells more)", path, strerror(errnum));
	}
}

int kvm_vm_ioctl(const struct kvm *kvm, unsigned long request, void *argument)
{
	int ret;

	do {
		ret = ioctl(kvm->vm_fd, request, argument);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : ret;
}

int kvm_create(struct kvm *kvm, const char *path, struct error *err)
{
	static const struct {
		int number;
		const char *name;
	} needed[] = {
		{ KVM_CAP_IRQCHIP, "an in-kernel interrupt controller" },
		{ KVM_CAP_PIT2, "an in-kernel timer" },
		{ KVM_CAP_USER_MEMORY, "memory slots" },
		{ KVM_CAP_EXT_CPUID, "CPUID control" },
		{ KVM_CAP_IRQFD, "irqfd" },
		{ KVM_CAP_IMMEDIATE_EXIT, "immediate exit (Linux 4.11 or newer)" },
	};
	uint64_t identity_map = IDENTITY_MAP_GPA;
	int version, ret;

	memset(kvm, 0, sizeof(*kvm));
	kvm->vm_fd = -1;
	kvm->device_fd = open(path, O_RDWR | O_CLOEXEC);
	if (kvm->device_fd < 0) {
		ret = -errno;
		kvm_explain_open(path, -ret, err);
		return ret;
	}
	version = ioctl(kvm->device_fd, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION) {
		ret = error_set(err, ENODEV,
			"--dev %s: it is not a KVM device (without --dev it is " KVM_DEFAULT_PATH
			")",
			path);
		goto close_device;
	}
	for (size_t i = 0; i < array_size(needed); i++) {
		if (ioctl(kvm->device_fd, KVM_CHECK_EXTENSION, needed[i].number) <= 0) {
			ret = error_set(err, ENOSYS,
				"%s: this kernel's KVM lacks %s (a newer kernel has it)", path,
				needed[i].name);
			goto close_device;
		}
	}
	ret = ioctl(kvm->device_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	kvm->max_vcpus = ret > 0 ? (unsigned)ret : 4;
	ret = ioctl(kvm->device_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (ret < (int)sizeof(struct kvm_run)) {
		ret = error_set(err, ENODEV, "%s: it gives no run area (try another kernel)", path);
		goto close_device;
	}
	kvm->run_bytes = (size_t)ret;
	kvm->vcpu_clocks = calloc(kvm->max_vcpus, sizeof(*kvm->vcpu_clocks));
	if (!kvm->vcpu_clocks) {
		ret = error_set(err, ENOMEM, "%s: out of memory", path);
		goto close_device;
	}

	do {
		kvm->vm_fd = ioctl(kvm->device_fd, KVM_CREATE_VM, 0);
	} while (kvm->vm_fd < 0 && errno == EINTR);
	if (kvm->vm_fd < 0) {
		ret = -errno;
		error_set(err, -ret, "%s: it cannot create a virtual machine: %s (%s)", path,
			strerror(-ret),
			ret == -EBUSY ? "another hypervisor may hold the processor"
				      : "vmgui doctor tells more");
		goto free_clocks;
	}
	/* Only some Intel processors need these; others refuse or ignore them. */
	(void)kvm_vm_ioctl(kvm, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
	(void)kvm_vm_ioctl(kvm, KVM_SET_TSS_ADDR, (void *)TSS_GPA);
	pthread_mutex_init(&kvm->slots_lock, NULL);
	pthread_mutex_init(&kvm->clocks_lock, NULL);
	return 0;

free_clocks:
	free(kvm->vcpu_clocks);
close_device:
	close(kvm->device_fd);
	kvm->device_fd = -1;
	return ret;
}

static int set_doorbell(
	const struct kvm_doorbells *doorbells, const struct bus_doorbell *doorbell, uint32_t flags)
{
	struct kvm_ioeventfd ioeventfd = {
		.datamatch = doorbell->value,
		.addr = doorbell->address,
		.len = doorbell->width,
		.fd = doorbell->eventfd,
		.flags = flags,
	};

	if (doorbells->ports)
		ioeventfd.flags |= KVM_IOEVENTFD_FLAG_PIO;
	if (doorbell->match)
		ioeventfd.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
	return kvm_vm_ioctl(doorbells->kvm, KVM_IOEVENTFD, &ioeventfd);
}

static int bind_doorbell(void *opaque, const struct bus_doorbell *doorbell)
{
	return set_doorbell(opaque, doorbell, 0);
}

static void unbind_doorbell(void *opaque, const struct bus_doorbell *doorbell)
{
	(void)set_doorbell(opaque, doorbell, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

void kvm_connect_doorbells(struct kvm *kvm, struct bus *ports, struct bus *mmio)
{
	struct bus_doorbell_ops ops = { .bind = bind_doorbell, .unbind = unbind_doorbell };

	kvm->port_doorbells = (struct kvm_doorbells){ .kvm = kvm, .ports = true };
	kvm->mmio_doorbells = (struct kvm_doorbells){ .kvm = kvm };
	ops.opaque = &kvm->port_doorbells;
	bus_connect_doorbells(ports, &ops);
	ops.opaque = &kvm->mmio_doorbells;
	bus_connect_doorbells(mmio, &ops);
}

void kvm_add_vcpu_thread(struct kvm *kvm, pthread_t thread)
{
	pthread_mutex_lock(&kvm->clocks_lock);
	if (kvm->vcpu_clock_count < kvm->max_vcpus &&
		pthread_getcpuclockid(thread, &kvm->vcpu_clocks[kvm->vcpu_clock_count]) == 0)
		kvm->vcpu_clock_count++;
	else
		kvm->vcpu_clocks_missing = true;
	pthread_mutex_unlock(&kvm->clocks_lock);
}

uint64_t kvm_vcpu_time_ns(struct kvm *kvm)
{
	uint64_t sum = 0;
	bool known;

	pthread_mutex_lock(&kvm->clocks_lock);
	known = !kvm->vcpu_clocks_missing;
	for (unsigned i = 0; known && i < kvm->vcpu_clock_count; i++) {
		struct timespec time;

		known = clock_gettime(kvm->vcpu_clocks[i], &time) == 0; /* or it has ended */
		sum += (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
	}
	pthread_mutex_unlock(&kvm->clocks_lock);
	return known ? sum : 0;
}

void kvm_end(struct kvm *kvm)
{
	pthread_mutex_lock(&kvm->slots_lock);
	kvm->ending = true;
	pthread_mutex_unlock(&kvm->slots_lock);
}

void kvm_destroy(struct kvm *kvm)
{
	if (kvm->device_fd < 0)
		return;
	close(kvm->vm_fd);
	close(kvm->device_fd);
	kvm->vm_fd = kvm->device_fd = -1;
	pthread_mutex_destroy(&kvm->slots_lock);
	pthread_mutex_destroy(&kvm->clocks_lock);
	free(kvm->vcpu_clocks);
}
