/* One interrupt input that several devices share. See irq_or.h. */
#include "core/irq_or.h"

#include <assert.h>

static void set_source(void *opaque, unsigned source, bool level)
{
	struct irq_or *irq_or = opaque;
	uint32_t bit = UINT32_C(1) << source;
	pthread_mutex_lock(&irq_or->lock);
	uint32_t before = irq_or->levels;
	irq_or->levels = level ? before | bit : before & ~bit;
	if (!before != !irq_or->levels)
		irq_line_set(&irq_or->output, irq_or->levels != 0);
	pthread_mutex_unlock(&irq_or->lock);
}

void irq_or_init(struct irq_or *irq_or, const struct irq_line *output)
{
	pthread_mutex_init(&irq_or->lock, NULL);
	irq_or->output = *output;
	irq_or->levels = 0;
}

void irq_or_fini(struct irq_or *irq_or)
{
	pthread_mutex_destroy(&irq_or->lock);
}

struct irq_line irq_or_line(struct irq_or *irq_or, unsigned source)
{
	assert(source < 32);
	return (struct irq_line){ .set = set_source, .opaque = irq_or, .number = source };
}
