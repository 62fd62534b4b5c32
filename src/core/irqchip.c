#include "core/irqchip.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"

/* Vectors of all devices together: 248 devices with 15 queues each. With the pins they are as many
 * as the kernel's table takes. */
#define MAX_MESSAGES 4032u
#define PIC_PINS     16u

struct irqchip {
	struct kvm *kvm;
	uint16_t level_irqs;
	/* The power-on state, read once and written back at reset. */
	struct kvm_irqchip pristine[3]; /* master PIC, slave PIC, I/O APIC */
	struct kvm_pit_state2 pristine_pit;
	struct msi_controller msi;
	pthread_mutex_t lock;
	bool used[MAX_MESSAGES];                   /* lock */
	struct msi_message messages[MAX_MESSAGES]; /* lock; data of those with valid */
	bool valid[MAX_MESSAGES];                  /* lock */
	struct kvm_irq_routing *table; /* lock; room for everything; NULL before first use */
};

static void line_set(void *opaque, unsigned gsi, bool level)
{
	struct irqchip *chip = opaque;
	struct kvm_irq_level line = { .irq = gsi, .level = level };

	(void)kvm_vm_ioctl(chip->kvm, KVM_IRQ_LINE, &line);
}

struct irq_line irqchip_line(struct irqchip *chip, unsigned gsi)
{
	return (struct irq_line){ .set = line_set, .opaque = chip, .number = gsi };
}

static void add_pin(struct kvm_irq_routing *table, uint32_t gsi, uint32_t chip, uint32_t pin)
{
	table->entries[table->nr++] = (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

/* The whole table, as the kernel wants it; lock held. */
static int commit_routes(struct irqchip *chip)
{
	struct kvm_irq_routing *table = chip->table;

	if (!table) {
		table = calloc(1, sizeof(*table) + (PIC_PINS + IRQCHIP_PINS + MAX_MESSAGES) *
							   sizeof(table->entries[0]));
		if (!table)
			return -ENOMEM;
		chip->table = table;
	}
	table->nr = 0;
	/* The pins as the kernel routes them before it is told otherwise; the MADT says the same.
	 */
	for (unsigned pin = 0; pin < IRQCHIP_PINS; pin++) {
		if (pin < PIC_PINS)
			add_pin(table, pin,
				pin < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, pin % 8);
		add_pin(table, pin, KVM_IRQCHIP_IOAPIC, pin);
	}
	for (unsigned i = 0; i < MAX_MESSAGES; i++) {
		if (!chip->valid[i])
			continue;
		table->entries[table->nr++] = (struct kvm_irq_routing_entry){
			.gsi = IRQCHIP_PINS + i,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi = { .address_lo = (uint32_t)chip->messages[i].address,
				.address_hi = (uint32_t)(chip->messages[i].address >> 32),
				.data = chip->messages[i].data },
		};
	}
	return kvm_vm_ioctl(chip->kvm, KVM_SET_GSI_ROUTING, table);
}

static int msi_allocate(void *opaque)
{
	struct irqchip *chip = opaque;
	int gsi = -ENOSPC;

	pthread_mutex_lock(&chip->lock);
	for (unsigned i = 0; i < MAX_MESSAGES && gsi < 0; i++) {
		if (!chip->used[i]) {
			chip->used[i] = true;
			gsi = (int)(IRQCHIP_PINS + i);
		}
	}
	pthread_mutex_unlock(&chip->lock);
	return gsi;
}

static void msi_release(void *opaque, unsigned gsi)
{
	struct irqchip *chip = opaque;

	pthread_mutex_lock(&chip->lock);
	chip->used[gsi - IRQCHIP_PINS] = false;
	chip->valid[gsi - IRQCHIP_PINS] = false;
	pthread_mutex_unlock(&chip->lock);
}

static int msi_update(void *opaque, unsigned gsi, const struct msi_message *message)
{
	struct irqchip *chip = opaque;
	unsigned index = gsi - IRQCHIP_PINS;
	int ret = 0;

	pthread_mutex_lock(&chip->lock);
	if (!chip->valid[index] || chip->messages[index].address != message->address ||
		chip->messages[index].data != message->data) {
		const struct msi_message old = chip->messages[index];
		bool was_valid = chip->valid[index];

		chip->messages[index] = *message;
		chip->valid[index] = true;
		ret = commit_routes(chip);
		if (ret < 0) {
			/* One bad message must not spoil the table for all the others. */
			chip->messages[index] = old;
			chip->valid[index] = was_valid;
		}
	}
	pthread_mutex_unlock(&chip->lock);
	return ret < 0 ? ret : 0;
}

static int msi_bind(void *opaque, unsigned gsi, int eventfd, const struct msi_message *message)
{
	struct irqchip *chip = opaque;
	struct kvm_irqfd irqfd = { .fd = (uint32_t)eventfd, .gsi = gsi };
	int ret = msi_update(opaque, gsi, message);
	uint64_t count;

	if (!ret)
		ret = kvm_vm_ioctl(chip->kvm, KVM_IRQFD, &irqfd);
	if (ret < 0)
		return ret;
	/* The kernel delivers what it finds there but leaves it in the eventfd, where the next bind
	 * would find it again. What comes from now on it takes out by itself. */
	if (read(eventfd, &count, sizeof(count)) < 0)
		return 0; /* nothing was pending */
	return 0;
}

static void msi_unbind(void *opaque, unsigned gsi, int eventfd)
{
	struct irqchip *chip = opaque;
	struct kvm_irqfd irqfd = {
		.fd = (uint32_t)eventfd,
		.gsi = gsi,
		.flags = KVM_IRQFD_FLAG_DEASSIGN,
	};

	(void)kvm_vm_ioctl(chip->kvm, KVM_IRQFD, &irqfd);
}

const struct msi_controller *irqchip_msi(struct irqchip *chip)
{
	return &chip->msi;
}

int irqchip_create(struct kvm *kvm, uint16_t level_irqs, struct irqchip **out, struct error *err)
{
	struct irqchip *chip = calloc(1, sizeof(*chip));

	if (!chip)
		return error_set(err, ENOMEM, "interrupt controllers: out of memory");
	chip->kvm = kvm;
	chip->level_irqs = level_irqs;
	pthread_mutex_init(&chip->lock, NULL);
	chip->msi = (struct msi_controller){
		.allocate = msi_allocate,
		.release = msi_release,
		.bind = msi_bind,
		.update = msi_update,
		.unbind = msi_unbind,
		.opaque = chip,
	};
	*out = chip;
	return 0;
}

int irqchip_start(struct irqchip *chip, struct error *err)
{
	/* Port 0x61 then belongs to the kernel's timer, as its channel 2 does. */
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct kvm_irqchip *pics = chip->pristine;
	const char *what = "interrupt controllers";
	int ret = kvm_vm_ioctl(chip->kvm, KVM_CREATE_IRQCHIP, NULL);

	for (uint32_t i = 0; i < 3 && ret >= 0; i++) {
		chip->pristine[i].chip_id = i;
		ret = kvm_vm_ioctl(chip->kvm, KVM_GET_IRQCHIP, &chip->pristine[i]);
	}
	pics[KVM_IRQCHIP_PIC_MASTER].chip.pic.elcr = (uint8_t)chip->level_irqs;
	pics[KVM_IRQCHIP_PIC_SLAVE].chip.pic.elcr = (uint8_t)(chip->level_irqs >> 8);
	for (uint32_t i = 0; i < 2 && ret >= 0; i++)
		ret = kvm_vm_ioctl(chip->kvm, KVM_SET_IRQCHIP, &chip->pristine[i]);
	if (ret >= 0) {
		what = "interval timer";
		ret = kvm_vm_ioctl(chip->kvm, KVM_CREATE_PIT2, &pit);
	}
	if (ret >= 0)
		ret = kvm_vm_ioctl(chip->kvm, KVM_GET_PIT2, &chip->pristine_pit);
	if (ret < 0)
		return error_set(err, -ret,
			"KVM: it cannot create the %s: %s (vmgui doctor tells more)", what,
			strerror(-ret));
	return 0;
}

void irqchip_destroy(struct irqchip *chip)
{
	if (!chip)
		return;
	pthread_mutex_destroy(&chip->lock);
	free(chip->table);
	free(chip);
}

void irqchip_reset(struct irqchip *chip)
{
	struct kvm_pit_state2 pit = chip->pristine_pit;
	int ret = 0;

	for (unsigned i = 0; i < 3 && ret >= 0; i++)
		ret = kvm_vm_ioctl(chip->kvm, KVM_SET_IRQCHIP, &chip->pristine[i]);
	if (ret >= 0)
		ret = kvm_vm_ioctl(chip->kvm, KVM_SET_PIT2, &pit);
	if (ret < 0)
		log_warn("irqchip", "the interrupt controllers were not reset: %s", strerror(-ret));
}
