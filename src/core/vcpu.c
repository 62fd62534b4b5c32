#include "core/vcpu.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "core/cpuid.h"
#include "core/log.h"
#include "core/machine.h"
#include "core/signals.h"

/* Brings a vCPU out of KVM_RUN; handled so that it interrupts, and nothing else. */
#define KICK_SIGNAL SIGRTMIN

static void kick_handler(int number)
{
	(void)number;
}

static void set_immediate_exit(struct vcpu *vcpu, uint8_t value)
{
	__atomic_store_n(&vcpu->run->immediate_exit, value, __ATOMIC_SEQ_CST);
}

int vcpu_create(struct machine *machine, unsigned index, struct kvm_cpuid2 *supported,
	struct vcpu **out, struct error *err)
{
	size_t cpuid_bytes = sizeof(*supported) + 256 * sizeof(supported->entries[0]);
	struct vcpu *vcpu = calloc(1, sizeof(*vcpu));
	struct kvm_cpuid2 *cpuid = malloc(cpuid_bytes);
	const char *step = "create";
	int ret = -ENOMEM;

	if (!vcpu || !cpuid)
		goto free_memory;
	vcpu->machine = machine;
	vcpu->index = index;
	vcpu->fd = ioctl(machine->kvm.vm_fd, KVM_CREATE_VCPU, (unsigned long)index);
	if (vcpu->fd < 0) {
		ret = -errno;
		goto free_memory;
	}
	step = "map";
	vcpu->run =
		mmap(NULL, machine->kvm.run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED) {
		ret = -errno;
		goto close_fd;
	}
	step = "set the CPUID of";
	memcpy(cpuid, supported, cpuid_bytes);
	cpuid_fit(cpuid, index, machine->config.cpus);
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid) < 0) {
		ret = -errno;
		goto unmap_run;
	}
	ret = vcpu_keep_pristine(vcpu, err);
	if (ret)
		goto unmap_run;
	free(cpuid);
	*out = vcpu;
	return 0;

unmap_run:
	munmap(vcpu->run, machine->kvm.run_bytes);
close_fd:
	close(vcpu->fd);
free_memory:
	free(cpuid);
	free(vcpu);
	return error_set(
		err, -ret, "--cpus: KVM does not %s processor %u: %s", step, index, strerror(-ret));
}

void vcpu_destroy(struct vcpu *vcpu)
{
	if (!vcpu)
		return;
	munmap(vcpu->run, vcpu->machine->kvm.run_bytes);
	close(vcpu->fd);
	vcpu_free_pristine(vcpu);
	free(vcpu);
}

static void io_delay(const struct machine *machine)
{
	unsigned ms = machine->config.debug_io_delay_ms;
	struct timespec delay = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	if (ms)
		nanosleep(&delay, NULL);
}

/* The vCPU that this thread runs, while a device handles a plain IN of it. In the program itself,
 * so that no call into the dynamic linker is needed to find it. */
static _Thread_local struct vcpu *in_access __attribute__((tls_model("initial-exec")));
/* Its registers as they were got in that access; KVM gives and takes them all at once. */
static _Thread_local struct kvm_regs in_registers __attribute__((tls_model("initial-exec")));

static int get_registers(void *opaque, struct guest_registers *registers)
{
	const struct kvm_regs *regs = &in_registers;

	(void)opaque;
	if (!in_access)
		return -ENXIO;
	if (ioctl(in_access->fd, KVM_GET_REGS, &in_registers) < 0)
		return -errno;
	*registers = (struct guest_registers){ regs->rax, regs->rbx, regs->rcx, regs->rdx,
		regs->rsi, regs->rdi };
	return 0;
}

/* In the middle of an IN, KVM takes registers for just this use. RIP has not moved: the access is
 * finished in the next KVM_RUN. */
static int set_registers(void *opaque, const struct guest_registers *registers)
{
	struct kvm_regs *regs = &in_registers;

	(void)opaque;
	if (!in_access)
		return -ENXIO;
	regs->rax = registers->rax;
	regs->rbx = registers->rbx;
	regs->rcx = registers->rcx;
	regs->rdx = registers->rdx;
	regs->rsi = registers->rsi;
	regs->rdi = registers->rdi;
	return ioctl(in_access->fd, KVM_SET_REGS, regs) < 0 ? -errno : 0;
}

const struct guest_register_access vcpu_registers = { get_registers, set_registers, NULL };

static void handle_io(struct vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;
	struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	bool in = run->io.direction == KVM_EXIT_IO_IN;

	io_delay(machine);
	/* REP INS counts in registers that are not a device's to change. */
	in_access = in && run->io.count == 1 ? vcpu : NULL;
	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		bool claimed = in ? bus_read(machine->ports, run->io.port, data, run->io.size)
				  : bus_write(machine->ports, run->io.port, data, run->io.size);

		if (!claimed && machine->config.debug_ioport)
			log_info("port", "nobody at port 0x%x: %s of %u bytes by processor %u",
				run->io.port, in ? "read" : "write", run->io.size, vcpu->index);
	}
	in_access = NULL;
	vcpu->io_pending = true;
}

static void handle_mmio(struct vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;
	struct kvm_run *run = vcpu->run;
	uint64_t address = run->mmio.phys_addr;
	bool claimed;

	vcpu->io_pending = true;
	if (run->mmio.is_write &&
		kvm_memory_store(&machine->kvm, address, run->mmio.data, run->mmio.len))
		return;
	io_delay(machine);
	claimed = run->mmio.is_write
			  ? bus_write(machine->mmio, address, run->mmio.data, run->mmio.len)
			  : bus_read(machine->mmio, address, run->mmio.data, run->mmio.len);
	if (!claimed && machine->config.debug_mmio)
		log_info("mmio", "nobody at 0x%llx: %s of %u bytes by processor %u",
			(unsigned long long)address, run->mmio.is_write ? "write" : "read",
			run->mmio.len, vcpu->index);
}

/* Where a processor goes after INIT (SDM volume 3, 10.1.4): on a machine with firmware, into it. */
static bool is_at_reset_vector(struct vcpu *vcpu, const struct kvm_regs *regs)
{
	struct kvm_sregs sregs = { 0 };

	(void)ioctl(vcpu->fd, KVM_GET_SREGS, &sregs);
	return regs->rip == 0xfff0 && sregs.cs.base == 0xffff0000;
}

/* What KVM cannot emulate, or the processor refuses, ends the guest: going on would spin. */
static void handle_internal_error(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct kvm_regs regs = { 0 };
	char code[3 * 15 + 1] = "";

	(void)ioctl(vcpu->fd, KVM_GET_REGS, &regs);
	if (is_at_reset_vector(vcpu, &regs)) {
		/* There is no firmware that would start the machine anew, so we do. */
		log_debug("vcpu", "processor %u got INIT: reset", vcpu->index);
		machine_request(vcpu->machine, MACHINE_RESET);
		return;
	}
	if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION && run->internal.ndata >= 4) {
		const uint8_t *bytes = (const uint8_t *)&run->internal.data[1];
		unsigned count = bytes[0] < 15 ? bytes[0] : 15;

		if (run->internal.data[0] & 1) {
			for (unsigned i = 0; i < count; i++)
				snprintf(code + 3 * i, 4, " %02x", bytes[1 + i]);
		}
		log_error("vcpu",
			"processor %u: KVM cannot emulate the guest's code at 0x%llx%s%s (vmgui "
			"doctor tells whether this KVM runs kernels)",
			vcpu->index, (unsigned long long)regs.rip, *code ? ":" : "", code);
	} else {
		log_error("vcpu", "processor %u: KVM stopped with an internal error %u at 0x%llx",
			vcpu->index, run->internal.suberror, (unsigned long long)regs.rip);
	}
	machine_request(vcpu->machine, MACHINE_FAILED);
}

static void handle_exit(struct vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;
	struct kvm_run *run = vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		handle_io(vcpu);
		break;
	case KVM_EXIT_MMIO:
		handle_mmio(vcpu);
		break;
	case KVM_EXIT_DEBUG:
		vcpu_dump_step(vcpu, stderr);
		break;
	case KVM_EXIT_SHUTDOWN:
		machine_request(machine, MACHINE_TRIPLE_FAULT);
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		machine_request(machine,
			run->system_event.type == KVM_SYSTEM_EVENT_SHUTDOWN ? MACHINE_POWEROFF
			: run->system_event.type == KVM_SYSTEM_EVENT_CRASH  ? MACHINE_PANIC
									    : MACHINE_RESET);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		handle_internal_error(vcpu);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		log_error("vcpu",
			"processor %u: the host's processor refused the guest's state (reason "
			"0x%llx)",
			vcpu->index,
			(unsigned long long)run->fail_entry.hardware_entry_failure_reason);
		machine_request(machine, MACHINE_FAILED);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_HLT:
		break;
	default:
		log_error("vcpu", "processor %u: KVM left the guest for an unknown reason, %u",
			vcpu->index, run->exit_reason);
		machine_request(machine, MACHINE_FAILED);
	}
}

/* Lets the kernel finish the access that was answered last, without running the guest, so that the
 * registers are whole while the vCPU is parked. */
static void finish_io(struct vcpu *vcpu)
{
	/* An access may go on in further pieces, each an exit of its own. */
	while (vcpu->io_pending) {
		vcpu->io_pending = false;
		set_immediate_exit(vcpu, 1);
		if (ioctl(vcpu->fd, KVM_RUN, 0) == 0)
			handle_exit(vcpu);
	}
}

static void *vcpu_main(void *opaque)
{
	struct vcpu *vcpu = opaque;
	struct machine *machine = vcpu->machine;

	for (;;) {
		unsigned disarms = kvm_disarms(&machine->kvm);

		if (atomic_load(&machine->hold)) {
			finish_io(vcpu);
			if (!machine_park(machine))
				return NULL;
			/* Cleared before `hold` is looked at again, so that no kick is lost. */
			set_immediate_exit(vcpu, 0);
			continue;
		}
		if (machine->config.debug_single_step && vcpu_single_step(vcpu))
			log_guest("vcpu", "processor %u: KVM does not step it", vcpu->index);
		if (ioctl(vcpu->fd, KVM_RUN, 0) == 0) {
			vcpu->io_pending = false;
			handle_exit(vcpu);
		} else if (errno == EINTR || errno == EAGAIN) {
			vcpu->io_pending = false;
			/* A signal that was not a kick: go on at once. */
			if (!atomic_load(&machine->hold))
				set_immediate_exit(vcpu, 0);
		} else if (errno == EFAULT && kvm_memory_faulted(&machine->kvm, disarms)) {
			/* The store is made when it goes on. */
			vcpu->io_pending = false;
		} else {
			log_error("vcpu", "processor %u: KVM cannot run it: %s", vcpu->index,
				strerror(errno));
			machine_request(machine, MACHINE_FAILED);
		}
	}
}

int vcpu_start(struct vcpu *vcpu, struct error *err)
{
	struct sigaction action = { .sa_handler = kick_handler };
	sigset_t before, kick;
	char name[16];
	int ret;

	sigemptyset(&action.sa_mask);
	sigaction(KICK_SIGNAL, &action, NULL);
	/* The thread takes kicks as well. */
	signals_block_for_thread(&before);
	sigemptyset(&kick);
	sigaddset(&kick, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
	ret = pthread_create(&vcpu->thread, NULL, vcpu_main, vcpu);
	signals_restore(&before);
	if (ret)
		return error_set(err, ret, "--cpus: no thread for processor %u: %s", vcpu->index,
			strerror(ret));
	vcpu->has_thread = true;
	snprintf(name, sizeof(name), "vcpu%u", vcpu->index);
	pthread_setname_np(vcpu->thread, name);
	kvm_add_vcpu_thread(&vcpu->machine->kvm, vcpu->thread);
	return 0;
}

void vcpu_join(struct vcpu *vcpu)
{
	if (vcpu->has_thread)
		pthread_join(vcpu->thread, NULL);
	vcpu->has_thread = false;
}

void vcpu_kick(struct vcpu *vcpu)
{
	set_immediate_exit(vcpu, 1);
	if (vcpu->has_thread)
		pthread_kill(vcpu->thread, KICK_SIGNAL);
}
