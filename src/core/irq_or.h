/* One interrupt input that several devices share: its level is the OR of theirs (COM1 and COM3 on
 * IRQ 4, the devices behind one PCI INTx pin).
 *
 * irq_or_line hands out one source's line; at most 32 sources. Any thread may set them; the output
 * is set with the OR's own lock held, so that levels arrive in order. */
#ifndef VMGUI_CORE_IRQ_OR_H
#define VMGUI_CORE_IRQ_OR_H

#include <pthread.h>

#include "core/irq.h"

struct irq_or {
	pthread_mutex_t lock;
	struct irq_line output; /* immutable after init */
	uint32_t levels;        /* lock: bit n is source n */
};

void irq_or_init(struct irq_or *irq_or, const struct irq_line *output);
void irq_or_fini(struct irq_or *irq_or);
/* source: 0 to 31, each for one device. */
struct irq_line irq_or_line(struct irq_or *irq_or, unsigned source);

#endif
