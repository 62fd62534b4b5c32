/* Starts the other processors as MultiProcessor Specification 1.4, appendix B.4, says: INIT, then
 * STARTUP twice, here to all of them at once. */
#include "card.h"

#define LAPIC_BASE   0xfee00000u
#define LAPIC_ID     0x020
#define LAPIC_SVR    0x0f0
#define LAPIC_ICR    0x300
#define SVR_ENABLE   0x100
#define SVR_SPURIOUS 0xff
#define ICR_INIT     0x000c4500u /* all but self, asserted */
#define ICR_STARTUP  0x000c4600u
#define ICR_PENDING  0x00001000u

#define TICKS_PER_SECOND 100
#define INIT_TICKS       2   /* 10 ms at least */
#define ARRIVE_TICKS     300 /* how long to wait for processors that the MADT names */
#define SETTLE_TICKS     5   /* and for those that it does not */
#define MAX_PROCESSORS   256

static volatile uint32_t *lapic(unsigned offset)
{
	return (volatile uint32_t *)(uintptr_t)(LAPIC_BASE + offset);
}

static void ticks(unsigned count)
{
	while (count-- > 0)
		interrupts_wait();
}

void smp_start(void)
{
	static uint8_t apic_ids[MAX_PROCESSORS];
	unsigned known = acpi_processors(apic_ids, MAX_PROCESSORS), missing = 0;
	uint32_t page = boot_free_page(), own = *lapic(LAPIC_ID) >> 24;
	char list[128];
	size_t length = 0;

	memset(ap_online, 0, sizeof(ap_online));
	ap_count = 0;
	memcpy((void *)(uintptr_t)page, ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
	*lapic(LAPIC_SVR) = SVR_ENABLE | SVR_SPURIOUS;
	pit_start(TICKS_PER_SECOND);
	*lapic(LAPIC_ICR) = ICR_INIT;
	ticks(INIT_TICKS);
	for (int i = 0; i < 2; i++) {
		*lapic(LAPIC_ICR) = ICR_STARTUP | page >> 12;
		ticks(1);
	}
	for (unsigned i = 0; i < ARRIVE_TICKS && ap_count + 1 < known; i++)
		ticks(1);
	ticks(SETTLE_TICKS);
	card_set_rate(0);

	ap_online[own] = 1;
	for (unsigned i = 0; i < known; i++)
		missing += !ap_online[apic_ids[i]];
	list[0] = '\0';
	for (unsigned i = 0; i < MAX_PROCESSORS; i++) {
		if (ap_online[i])
			length += text_format(list + length, sizeof(list) - length, " %u", i);
	}
	report("smp cpus %u madt %u missing %u ids%s", ap_count + 1, known, missing, list);
}
