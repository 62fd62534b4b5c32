/* PCI configuration space by mechanism 1, and the ways to reset a PC. */
#include "card.h"

#define PCI_ADDRESS 0xcf8
#define PCI_DATA    0xcfc
#define PCI_ENABLE  0x80000000u

#define KBD_COMMAND     0x64
#define KBD_PULSE_RESET 0xfe
#define KBD_STATUS_FULL 0x02
#define PORT92          0x92
#define PORT92_RESET    0x01
#define PORT92_A20      0x02
#define RESET_CONTROL   0xcf9
#define RESET_PREPARE   0x02
#define RESET_NOW       0x06

uint32_t pci_read32(uint32_t address, unsigned offset)
{
	out32(PCI_ADDRESS, PCI_ENABLE | address | offset);
	return in32(PCI_DATA);
}

bool pci_find(uint32_t vendor_device, uint32_t *address)
{
	for (uint32_t device = 0; device < 32; device++) {
		if (pci_read32(device << 11, 0) == vendor_device) {
			*address = device << 11;
			return true;
		}
	}
	return false;
}

void machine_reset(const char *kind)
{
	if (text_equal(kind, "kbd")) {
		for (unsigned polls = 0; polls < 1000 && (in8(KBD_COMMAND) & KBD_STATUS_FULL);
			polls++)
			;
		out8(KBD_COMMAND, KBD_PULSE_RESET);
	} else if (text_equal(kind, "port92")) {
		/* The reset is the change from 0 to 1. */
		out8(PORT92, PORT92_A20);
		out8(PORT92, PORT92_A20 | PORT92_RESET);
	} else if (text_equal(kind, "cf9")) {
		out8(RESET_CONTROL, RESET_PREPARE);
		out8(RESET_CONTROL, RESET_NOW);
	} else if (text_equal(kind, "acpi")) {
		if (!acpi_reset())
			report("error reset acpi: no reset register in the FADT");
	} else if (text_equal(kind, "triple")) {
		card_call(CALL_TRIPLE_FAULT);
	} else {
		report("error reset %s: kinds are kbd port92 cf9 acpi triple", kind);
	}
}
