/* An interrupt line that remembers its level and counts its rising edges. */
#ifndef VMGUI_TESTS_FAKE_IRQ_H
#define VMGUI_TESTS_FAKE_IRQ_H

#include "core/irq.h"

struct fake_irq {
	bool level;
	unsigned edges, calls;
};

static inline void fake_irq_set(void *opaque, unsigned number, bool level)
{
	struct fake_irq *irq = opaque;
	(void)number;
	irq->calls++;
	if (level && !irq->level)
		irq->edges++;
	irq->level = level;
}

static inline struct irq_line fake_irq_line(struct fake_irq *irq)
{
	return (struct irq_line){ .set = fake_irq_set, .opaque = irq };
}

#endif
