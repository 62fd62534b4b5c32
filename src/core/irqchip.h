/* The in-kernel PIC pair, I/O APIC, local APICs and interval timer, and interrupts into them.
 *
 * GSIs 0 to 23 are the PIC's and I/O APIC's pins; above them come message-signalled interrupts,
 * each an eventfd that the kernel turns into its message (irqfd), so that a device raises one with
 * a write and no ioctl. The routing table is only handed to the kernel when the first message is
 * set up.
 *
 * Threads: any; locks inside. Source: Linux api.rst, sections KVM_CREATE_IRQCHIP,
 * KVM_SET_GSI_ROUTING, KVM_IRQFD; PCI interrupts are level-triggered: ELCR bits (ports 4d0h/4d1h)
 * as a firmware sets them. */
#ifndef VMGUI_CORE_IRQCHIP_H
#define VMGUI_CORE_IRQCHIP_H

#include "core/irq.h"
#include "core/kvm.h"
#include "core/msi.h"

#define IRQCHIP_PINS 24u

struct irqchip;

/* Only the object, so that its lines can be wired: level_irqs is the mask of ISA interrupts that
 * are level-triggered (PCI, SCI). */
VMGUI_MUST_USE int irqchip_create(
	struct kvm *kvm, uint16_t level_irqs, struct irqchip **chip, struct error *err);
/* Makes the kernel create chips and timer: once all memory slots are made, before any vCPU. */
VMGUI_MUST_USE int irqchip_start(struct irqchip *chip, struct error *err);
void irqchip_destroy(struct irqchip *chip);
/* All of it back to the power-on state; vCPUs are stopped. */
void irqchip_reset(struct irqchip *chip);
struct irq_line irqchip_line(struct irqchip *chip, unsigned gsi);
const struct msi_controller *irqchip_msi(struct irqchip *chip);

#endif
