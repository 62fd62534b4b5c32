/* Interrupts as the 8259A pair delivers them, and the PIT. An interrupt only ends the wait: which
 * device it was, the main loop finds out by looking at all of them. */
#include "card.h"

#define PIC1_COMMAND         0x20
#define PIC1_DATA            0x21
#define PIC2_COMMAND         0xa0
#define PIC2_DATA            0xa1
#define PIC_INIT             0x11 /* ICW1: edge, cascade, ICW4 follows */
#define PIC_8086             0x01 /* ICW4 */
#define PIC_END_OF_INTERRUPT 0x20
#define PIC_CASCADE          2
#define ELCR2                0x4d1

#define PIT_COUNTER0 0x40
#define PIT_CONTROL  0x43
#define PIT_RATE_HZ  1193182u
#define PIT_MODE2    0x34 /* counter 0, both bytes, rate generator */
#define PIT_MODE0    0x30 /* counter 0, both bytes, one shot */
#define PIT_STATUS   0xe2 /* read back: the status of counter 0 */
#define PIT_OUT      0x80 /* in the status: the one shot is over */

#define GATE_INTERRUPT 0x8e /* present, for ring 0, 64-bit interrupt gate */

struct gate {
	uint16_t offset_low, selector;
	uint8_t stack, type;
	uint16_t offset_middle;
	uint32_t offset_high, reserved;
};

extern struct gate idt[IDT_ENTRIES];
extern uint8_t tss[TSS_BYTES];
extern const uint8_t call_gate[], interrupt_stub[], exception_stubs[], kernel_stack_top[];

static uint16_t masked = 0xffff & ~(1u << PIC_CASCADE);

static void set_gate(unsigned vector, const uint8_t *code)
{
	uintptr_t address = (uintptr_t)code;

	idt[vector] = (struct gate){
		.offset_low = (uint16_t)address,
		.offset_middle = (uint16_t)(address >> 16),
		.offset_high = (uint32_t)(address >> 32),
		.selector = SELECTOR_KERNEL_CODE,
		.type = GATE_INTERRUPT,
	};
}

static void set_masks(void)
{
	out8(PIC1_DATA, (uint8_t)masked);
	out8(PIC2_DATA, (uint8_t)(masked >> 8));
}

void interrupts_init(void)
{
	uint64_t stack = (uintptr_t)kernel_stack_top;

	memcpy(tss + 4, &stack, sizeof(stack));
	tss[102] = TSS_IO_MAP;
	tss[TSS_BYTES - 1] = 0xff;
	for (unsigned i = 0; i < 32; i++)
		set_gate(i, exception_stubs + EXCEPTION_STUB_BYTES * i);
	for (unsigned i = 0; i < 16; i++)
		set_gate(VECTOR_IRQ + i, interrupt_stub);
	set_gate(VECTOR_UD, call_gate);

	out8(PIC1_COMMAND, PIC_INIT);
	out8(PIC1_DATA, VECTOR_IRQ);
	out8(PIC1_DATA, 1u << PIC_CASCADE);
	out8(PIC1_DATA, PIC_8086);
	out8(PIC2_COMMAND, PIC_INIT);
	out8(PIC2_DATA, VECTOR_IRQ + 8);
	out8(PIC2_DATA, PIC_CASCADE);
	out8(PIC2_DATA, PIC_8086);
	/* The system control interrupt is the level-triggered one. */
	out8(ELCR2, 1u << (IRQ_SCI - 8));
	set_masks();
}

void interrupts_unmask(unsigned irq)
{
	masked &= (uint16_t) ~(1u << irq);
	set_masks();
}

void interrupts_wait(void)
{
	card_call(CALL_WAIT);
	out8(PIC2_COMMAND, PIC_END_OF_INTERRUPT);
	out8(PIC1_COMMAND, PIC_END_OF_INTERRUPT);
}

void pit_start(uint32_t hz)
{
	uint32_t count = hz ? PIT_RATE_HZ / hz : 0;

	if (!hz) {
		masked |= 1u << IRQ_PIT;
		set_masks();
		out8(PIT_CONTROL, PIT_MODE0);
		return;
	}
	if (count > 0xffff)
		count = 0; /* 65536, 18 a second */
	out8(PIT_CONTROL, PIT_MODE2);
	out8(PIT_COUNTER0, (uint8_t)count);
	out8(PIT_COUNTER0, (uint8_t)(count >> 8));
	interrupts_unmask(IRQ_PIT);
}

void pit_pause(uint32_t microseconds)
{
	uint32_t count = microseconds * 1193u / 1000 + 1;

	out8(PIT_CONTROL, PIT_MODE0);
	out8(PIT_COUNTER0, (uint8_t)count);
	out8(PIT_COUNTER0, (uint8_t)(count >> 8));
	interrupts_unmask(IRQ_PIT);
	do {
		interrupts_wait();
		out8(PIT_CONTROL, PIT_STATUS);
	} while (!(in8(PIT_COUNTER0) & PIT_OUT));
}

/* Entered from the exception stubs, on a fresh stack. Nothing can be trusted any more: say what it
 * was, then die as a kernel without handlers would. */
void card_exception(void);
void card_exception(void)
{
	report("exception %lu error %lx rip %lx address %lx", exception_vector, exception_error,
		exception_rip, exception_address);
	card_call(CALL_TRIPLE_FAULT);
}
