/* A guest with a VMware pointer (src/devices/vmmouse.c): says what the backdoor answers, then each
 * record that it fetches after a packet of the PS/2 mouse, as Linux's psmouse does it. The kernel
 * parameter "relative" asks for relative records.
 *
 *	backdoor VERSION MAGIC PRODUCT, identity N, on
 *	record FLAGS X Y WHEEL
 *
 * Characters on the serial line: 0 switches the pointer off, 1 on again. */
#include "bare.h"

#define MAGIC 0x564d5868u

static uint64_t regs[6]; /* RAX, RBX, RCX, RDX, RSI, RDI after the IN */

static void backdoor(uint32_t command, uint32_t argument)
{
	/* Rubbish above the 32 bits that count. */
	regs[0] = 0xaaaaaaaa00000000 | MAGIC;
	regs[1] = 0xbbbbbbbb00000000 | argument;
	regs[2] = 0xcccccccc00000000 | command;
	regs[3] = 0xdddddddddddd5658;
	regs[4] = 0x5151515151515151;
	regs[5] = 0xd1d1d1d1d1d1d1d1;
	__asm__ volatile("inl %%dx, %%eax"
			 : "+a"(regs[0]), "+b"(regs[1]), "+c"(regs[2]), "+d"(regs[3]),
			 "+S"(regs[4]), "+D"(regs[5]));
}

static void say(const char *what, unsigned numbers, const uint64_t *values)
{
	put(what);
	for (unsigned i = 0; i < numbers; i++) {
		put(" ");
		put_number(values[i]);
	}
	put("\n");
}

static void switch_on(uint32_t mode)
{
	backdoor(41, 0x45414552);
	backdoor(40, 0);
	say("waiting", 1, regs);
	backdoor(39, 1);
	say("identity", 1, regs);
	backdoor(41, mode);
}

static void wait_for_byte(void)
{
	while (!(in8(0x64) & 1))
		;
	in8(0x60);
}

void bare_main(const uint8_t *boot_params)
{
	const char *params = (const char *)(uintptr_t)(*(const uint32_t *)(boot_params + 0x228));
	uint32_t mode = *params == 'r' ? 0x4c455252 : 0x53424152;
	unsigned bytes = 0;

	backdoor(10, ~MAGIC);
	say("backdoor", 6, regs);
	switch_on(mode);
	out8(0x64, 0x60); /* mouse on, no interrupts, which nobody takes */
	out8(0x60, 0x44);
	out8(0x64, 0xd4);
	out8(0x60, 0xf4);
	wait_for_byte();
	put("on\n");
	for (;;) {
		if (in8(COM1 + 5) & 1) {
			if (in8(COM1) == '1')
				switch_on(mode);
			else
				backdoor(41, 0xf5);
			put("switched\n");
		}
		if (!(in8(0x64) & 1))
			continue;
		in8(0x60);
		if (++bytes % 3)
			continue;
		for (;;) {
			backdoor(40, 0);
			if (!regs[0] || regs[0] >> 16)
				break;
			backdoor(39, 4);
			say("record", 4, regs);
		}
	}
}
