/* The two shortcuts between guest and device threads, on a real KVM: a doorbell (ioeventfd) that
 * the guest rings without an exit, also after its BAR has moved, and an interrupt message (irqfd)
 * that an eventfd delivers. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "core/bus.h"
#include "core/irqchip.h"
#include "core/kvm.h"
#include "core/pci.h"

#define CODE_GPA     0x1000u
#define DOORBELL_GPA 0xd000u /* no memory there */
#define APIC_SVR     0xf0
#define APIC_IRR     0x200
#define VECTOR       0x41

struct fixture {
	struct kvm kvm;
	struct bus *ports, *mmio;
	struct guest_mem mem;
	int vcpu;
	struct kvm_run *run;
};

static int setup(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	assert_int_equal(kvm_create(&f.kvm, "/dev/kvm", NULL), 0);
	f.ports = bus_create("port", 0x10000);
	f.mmio = bus_create("memory", 0);
	kvm_connect_doorbells(&f.kvm, f.ports, f.mmio);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->run)
		munmap(f->run, f->kvm.run_bytes);
	if (f->vcpu > 0)
		close(f->vcpu);
	kvm_destroy(&f->kvm);
	guest_mem_fini(&f->mem);
	bus_destroy(f->ports);
	bus_destroy(f->mmio);
	return 0;
}

static void create_vcpu(struct fixture *f)
{
	f->vcpu = ioctl(f->kvm.vm_fd, KVM_CREATE_VCPU, 0);
	assert_true(f->vcpu > 0);
	f->run = mmap(NULL, f->kvm.run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, f->vcpu, 0);
	assert_ptr_not_equal(f->run, MAP_FAILED);
}

static uint64_t rings(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

/* Real mode at CODE_GPA until the next exit. */
static uint32_t run_code(struct fixture *f, const uint8_t *code, size_t length)
{
	struct kvm_userspace_memory_region region = { .memory_size = 0x4000 };
	struct kvm_regs regs = { .rip = CODE_GPA, .rflags = 2 };
	struct kvm_sregs sregs;

	assert_int_equal(guest_mem_init(&f->mem, MIB(1), NULL), 0);
	assert_int_equal(guest_mem_write(&f->mem, CODE_GPA, code, length), 0);
	region.userspace_addr = (uintptr_t)f->mem.regions[0].start_hva;
	assert_int_equal(kvm_vm_ioctl(&f->kvm, KVM_SET_USER_MEMORY_REGION, &region), 0);
	create_vcpu(f);
	assert_int_equal(ioctl(f->vcpu, KVM_GET_SREGS, &sregs), 0);
	sregs.cs.base = sregs.cs.selector = 0;
	assert_int_equal(ioctl(f->vcpu, KVM_SET_SREGS, &sregs), 0);
	assert_int_equal(ioctl(f->vcpu, KVM_SET_REGS, &regs), 0);
	assert_int_equal(ioctl(f->vcpu, KVM_RUN, 0), 0);
	return f->run->exit_reason;
}

static void kvm_doorbell_rings_without_an_exit(void **state)
{
	/* mov dx, 0x510; mov al, 5; out dx, al; mov byte [DOORBELL_GPA], 9;
	 * mov byte [DOORBELL_GPA], 8; hlt */
	static const uint8_t code[] = { 0xba, 0x10, 0x05, 0xb0, 0x05, 0xee, 0xc6, 0x06, 0x00, 0xd0,
		0x09, 0xc6, 0x06, 0x00, 0xd0, 0x08, 0xf4 };
	struct fixture *f = *state;
	int port = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	int memory = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	const struct bus_doorbell port_bell = { .address = 0x510, .eventfd = port };
	const struct bus_doorbell memory_bell = {
		.address = DOORBELL_GPA, .width = 1, .match = true, .value = 9, .eventfd = memory
	};

	assert_int_equal(bus_add_doorbell(f->ports, &port_bell, NULL), 0);
	assert_int_equal(bus_add_doorbell(f->mmio, &memory_bell, NULL), 0);
	/* The first exit is the store of 8, which nobody waits for. */
	assert_int_equal(run_code(f, code, sizeof(code)), KVM_EXIT_MMIO);
	assert_int_equal(f->run->mmio.phys_addr, DOORBELL_GPA);
	assert_int_equal(f->run->mmio.data[0], 8);
	assert_int_equal(rings(port), 1);
	assert_int_equal(rings(memory), 1);
	assert_int_equal(bus_remove_doorbell(f->ports, &port_bell), 0);
	assert_int_equal(bus_remove_doorbell(f->mmio, &memory_bell), 0);
	close(port);
	close(memory);
}

static void write_bar(struct fixture *f, uint32_t bar)
{
	const uint32_t select = 0x80000000 | 1 << 11 | PCI_CFG_BAR0;

	bus_write(f->ports, 0xcf8, &select, sizeof(select));
	bus_write(f->ports, 0xcfc, &bar, sizeof(bar));
}

static void kvm_doorbell_moves_with_its_bar(void **state)
{
	/* mov byte [0xd104], 1; hlt; mov byte [0xd104], 2; mov byte [0xe104], 3; hlt */
	static const uint8_t code[] = { 0xc6, 0x06, 0x04, 0xd1, 0x01, 0xf4, 0xc6, 0x06, 0x04, 0xd1,
		0x02, 0xc6, 0x06, 0x04, 0xe1, 0x03, 0xf4 };
	static const struct pci_ids ids = { .vendor = 1, .device = 2 };
	static const struct bus_region_ops none = { .read = NULL };
	struct fixture *f = *state;
	const struct pci_bus_config config = {
		.ports = f->ports, .mmio = f->mmio, .mmio_base = DOORBELL_GPA, .mmio_end = 0xf000
	};
	const struct bus_doorbell bell = { .address = 0x104,
		.eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
	const struct pci_bar bar = { .kind = PCI_BAR_MMIO,
		.size_bytes = PAGE_BYTES,
		.widths = BUS_WIDTH_ANY,
		.ops = &none,
		.doorbells = &bell,
		.doorbell_count = 1 };
	struct pci_device device;
	struct pci_bus *pci;

	assert_int_equal(pci_bus_create(&config, &pci, NULL), 0);
	pci_device_init(&device, "device", &ids, 0);
	assert_int_equal(pci_device_set_bar(&device, 0, &bar), 0);
	assert_int_equal(pci_bus_attach(pci, &device, 1, NULL), 0);
	assert_int_equal(device.mapped[0], DOORBELL_GPA);
	pci_device_set_doorbell(&device, 0, 0, true);
	assert_int_equal(run_code(f, code, sizeof(code)), KVM_EXIT_HLT);
	assert_int_equal(rings(bell.eventfd), 1);
	write_bar(f, 0xe000);
	assert_int_equal(ioctl(f->vcpu, KVM_RUN, 0), 0);
	assert_int_equal(f->run->exit_reason, KVM_EXIT_MMIO);
	assert_int_equal(f->run->mmio.phys_addr, 0xd104);
	assert_int_equal(rings(bell.eventfd), 0);
	assert_int_equal(ioctl(f->vcpu, KVM_RUN, 0), 0);
	assert_int_equal(f->run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(rings(bell.eventfd), 1);
	pci_bus_detach(&device);
	pci_bus_destroy(pci);
	close(bell.eventfd);
}

static bool interrupt_requested(struct fixture *f, unsigned vector)
{
	struct kvm_lapic_state lapic;
	uint32_t word;

	assert_int_equal(ioctl(f->vcpu, KVM_GET_LAPIC, &lapic), 0);
	memcpy(&word, lapic.regs + APIC_IRR + vector / 32 * 16, sizeof(word));
	return word >> vector % 32 & 1;
}

/* The kernel may deliver from a worker of its own. */
static bool wait_for_interrupt(struct fixture *f, unsigned vector)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	for (unsigned i = 0; i < 2000; i++) {
		if (interrupt_requested(f, vector))
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

static void kvm_message_reaches_the_local_apic(void **state)
{
	struct fixture *f = *state;
	struct irqchip *chip;
	const struct msi_controller *msi;
	struct msi_message message = { .address = 0xfee00000, .data = VECTOR };
	struct kvm_lapic_state lapic;
	const uint32_t enabled = 0x1ff;
	const uint64_t one = 1;
	uint64_t count;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), gsi;

	assert_int_equal(irqchip_create(&f->kvm, 0, &chip, NULL), 0);
	assert_int_equal(irqchip_start(chip, NULL), 0);
	create_vcpu(f);
	assert_int_equal(ioctl(f->vcpu, KVM_GET_LAPIC, &lapic), 0);
	memcpy(lapic.regs + APIC_SVR, &enabled, sizeof(enabled));
	assert_int_equal(ioctl(f->vcpu, KVM_SET_LAPIC, &lapic), 0);

	msi = irqchip_msi(chip);
	gsi = msi->allocate(msi->opaque);
	assert_true(gsi >= (int)IRQCHIP_PINS);
	/* What came before the vector was bound is delivered when it is. */
	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
	assert_false(interrupt_requested(f, VECTOR));
	assert_int_equal(msi->bind(msi->opaque, (unsigned)gsi, fd, &message), 0);
	assert_true(wait_for_interrupt(f, VECTOR));
	/* Once: the next bind must not find it again. */
	assert_int_equal(read(fd, &count, sizeof(count)), -1);
	/* Another message on the same eventfd. */
	message.data = VECTOR + 64;
	assert_int_equal(msi->update(msi->opaque, (unsigned)gsi, &message), 0);
	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
	assert_true(wait_for_interrupt(f, VECTOR + 64));
	msi->unbind(msi->opaque, (unsigned)gsi, fd);
	msi->release(msi->opaque, (unsigned)gsi);
	irqchip_destroy(chip);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			kvm_doorbell_rings_without_an_exit, setup, teardown),
		cmocka_unit_test_setup_teardown(kvm_doorbell_moves_with_its_bar, setup, teardown),
		cmocka_unit_test_setup_teardown(
			kvm_message_reaches_the_local_apic, setup, teardown),
	};

	if (access("/dev/kvm", R_OK | W_OK)) {
		printf("skipped: /dev/kvm cannot be used here: %s\n", strerror(errno));
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
