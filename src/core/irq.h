/* An interrupt input of the machine's interrupt controllers, as a value that a device is handed.
 * Any thread may set it. A line that several devices share (PCI INTx) is an OR made by its owner.
 */
#ifndef VMGUI_CORE_IRQ_H
#define VMGUI_CORE_IRQ_H

#include "core/util.h"

struct irq_line {
	void (*set)(void *opaque, unsigned number, bool level); /* NULL: not connected */
	void *opaque;
	unsigned number; /* the GSI: 0 to 15 are the ISA interrupts */
};

static inline void irq_line_set(const struct irq_line *line, bool level)
{
	if (line->set)
		line->set(line->opaque, line->number, level);
}

#endif
