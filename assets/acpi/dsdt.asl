/*
 * What vmgui's board tells an operating system of itself: the PCI bridge and the devices at fixed
 * ports, so that stock kernels need no parameters. Addresses stand in src/board.c and the devices'
 * headers; ACPI 6.5, sections 6.1 (device identification), 6.2 (resources), 7.4.2 (_S5).
 */
DefinitionBlock ("dsdt.aml", "DSDT", 2, "VMGUI ", "VMGUIPC ", 1)
{
    /* Soft off: SLP_TYPa of PM1 control. */
    Name (\_S5, Package () { 5, 5, 0, 0 })

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, 0)
            Name (_BBN, 0)
            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0, 0, 1)
                IO (Decode16, 0x0CF8, 0x0CF8, 1, 8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0x0000, 0x0CF7, 0, 0x0CF8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0x0D00, 0xFFFF, 0, 0xF300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0, 0x000A0000, 0x000BFFFF, 0, 0x00020000)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0, 0xC0000000, 0xFEBFFFFF, 0, 0x3EC00000)
            })

            /* Pin p (0: INTA#) of slot s is on line (s + p) % 4: interrupts 10, 11, 5, 6 (src/board.c). */
            Name (_PRT, Package ()
            {
                Package () {0x0001FFFF, 0, 0, 11}, Package () {0x0001FFFF, 1, 0, 5}, Package () {0x0001FFFF, 2, 0, 6}, Package () {0x0001FFFF, 3, 0, 10},
                Package () {0x0002FFFF, 0, 0, 5}, Package () {0x0002FFFF, 1, 0, 6}, Package () {0x0002FFFF, 2, 0, 10}, Package () {0x0002FFFF, 3, 0, 11},
                Package () {0x0003FFFF, 0, 0, 6}, Package () {0x0003FFFF, 1, 0, 10}, Package () {0x0003FFFF, 2, 0, 11}, Package () {0x0003FFFF, 3, 0, 5},
                Package () {0x0004FFFF, 0, 0, 10}, Package () {0x0004FFFF, 1, 0, 11}, Package () {0x0004FFFF, 2, 0, 5}, Package () {0x0004FFFF, 3, 0, 6},
                Package () {0x0005FFFF, 0, 0, 11}, Package () {0x0005FFFF, 1, 0, 5}, Package () {0x0005FFFF, 2, 0, 6}, Package () {0x0005FFFF, 3, 0, 10},
                Package () {0x0006FFFF, 0, 0, 5}, Package () {0x0006FFFF, 1, 0, 6}, Package () {0x0006FFFF, 2, 0, 10}, Package () {0x0006FFFF, 3, 0, 11},
                Package () {0x0007FFFF, 0, 0, 6}, Package () {0x0007FFFF, 1, 0, 10}, Package () {0x0007FFFF, 2, 0, 11}, Package () {0x0007FFFF, 3, 0, 5},
                Package () {0x0008FFFF, 0, 0, 10}, Package () {0x0008FFFF, 1, 0, 11}, Package () {0x0008FFFF, 2, 0, 5}, Package () {0x0008FFFF, 3, 0, 6},
                Package () {0x0009FFFF, 0, 0, 11}, Package () {0x0009FFFF, 1, 0, 5}, Package () {0x0009FFFF, 2, 0, 6}, Package () {0x0009FFFF, 3, 0, 10},
                Package () {0x000AFFFF, 0, 0, 5}, Package () {0x000AFFFF, 1, 0, 6}, Package () {0x000AFFFF, 2, 0, 10}, Package () {0x000AFFFF, 3, 0, 11},
                Package () {0x000BFFFF, 0, 0, 6}, Package () {0x000BFFFF, 1, 0, 10}, Package () {0x000BFFFF, 2, 0, 11}, Package () {0x000BFFFF, 3, 0, 5},
                Package () {0x000CFFFF, 0, 0, 10}, Package () {0x000CFFFF, 1, 0, 11}, Package () {0x000CFFFF, 2, 0, 5}, Package () {0x000CFFFF, 3, 0, 6},
                Package () {0x000DFFFF, 0, 0, 11}, Package () {0x000DFFFF, 1, 0, 5}, Package () {0x000DFFFF, 2, 0, 6}, Package () {0x000DFFFF, 3, 0, 10},
                Package () {0x000EFFFF, 0, 0, 5}, Package () {0x000EFFFF, 1, 0, 6}, Package () {0x000EFFFF, 2, 0, 10}, Package () {0x000EFFFF, 3, 0, 11},
                Package () {0x000FFFFF, 0, 0, 6}, Package () {0x000FFFFF, 1, 0, 10}, Package () {0x000FFFFF, 2, 0, 11}, Package () {0x000FFFFF, 3, 0, 5},
                Package () {0x0010FFFF, 0, 0, 10}, Package () {0x0010FFFF, 1, 0, 11}, Package () {0x0010FFFF, 2, 0, 5}, Package () {0x0010FFFF, 3, 0, 6},
                Package () {0x0011FFFF, 0, 0, 11}, Package () {0x0011FFFF, 1, 0, 5}, Package () {0x0011FFFF, 2, 0, 6}, Package () {0x0011FFFF, 3, 0, 10},
                Package () {0x0012FFFF, 0, 0, 5}, Package () {0x0012FFFF, 1, 0, 6}, Package () {0x0012FFFF, 2, 0, 10}, Package () {0x0012FFFF, 3, 0, 11},
                Package () {0x0013FFFF, 0, 0, 6}, Package () {0x0013FFFF, 1, 0, 10}, Package () {0x0013FFFF, 2, 0, 11}, Package () {0x0013FFFF, 3, 0, 5},
                Package () {0x0014FFFF, 0, 0, 10}, Package () {0x0014FFFF, 1, 0, 11}, Package () {0x0014FFFF, 2, 0, 5}, Package () {0x0014FFFF, 3, 0, 6},
                Package () {0x0015FFFF, 0, 0, 11}, Package () {0x0015FFFF, 1, 0, 5}, Package () {0x0015FFFF, 2, 0, 6}, Package () {0x0015FFFF, 3, 0, 10},
                Package () {0x0016FFFF, 0, 0, 5}, Package () {0x0016FFFF, 1, 0, 6}, Package () {0x0016FFFF, 2, 0, 10}, Package () {0x0016FFFF, 3, 0, 11},
                Package () {0x0017FFFF, 0, 0, 6}, Package () {0x0017FFFF, 1, 0, 10}, Package () {0x0017FFFF, 2, 0, 11}, Package () {0x0017FFFF, 3, 0, 5},
                Package () {0x0018FFFF, 0, 0, 10}, Package () {0x0018FFFF, 1, 0, 11}, Package () {0x0018FFFF, 2, 0, 5}, Package () {0x0018FFFF, 3, 0, 6},
                Package () {0x0019FFFF, 0, 0, 11}, Package () {0x0019FFFF, 1, 0, 5}, Package () {0x0019FFFF, 2, 0, 6}, Package () {0x0019FFFF, 3, 0, 10},
                Package () {0x001AFFFF, 0, 0, 5}, Package () {0x001AFFFF, 1, 0, 6}, Package () {0x001AFFFF, 2, 0, 10}, Package () {0x001AFFFF, 3, 0, 11},
                Package () {0x001BFFFF, 0, 0, 6}, Package () {0x001BFFFF, 1, 0, 10}, Package () {0x001BFFFF, 2, 0, 11}, Package () {0x001BFFFF, 3, 0, 5},
                Package () {0x001CFFFF, 0, 0, 10}, Package () {0x001CFFFF, 1, 0, 11}, Package () {0x001CFFFF, 2, 0, 5}, Package () {0x001CFFFF, 3, 0, 6},
                Package () {0x001DFFFF, 0, 0, 11}, Package () {0x001DFFFF, 1, 0, 5}, Package () {0x001DFFFF, 2, 0, 6}, Package () {0x001DFFFF, 3, 0, 10},
                Package () {0x001EFFFF, 0, 0, 5}, Package () {0x001EFFFF, 1, 0, 6}, Package () {0x001EFFFF, 2, 0, 10}, Package () {0x001EFFFF, 3, 0, 11},
                Package () {0x001FFFFF, 0, 0, 6}, Package () {0x001FFFFF, 1, 0, 10}, Package () {0x001FFFFF, 2, 0, 11}, Package () {0x001FFFFF, 3, 0, 5}
            })
        }

        /* Ports and memory that belong to the board itself. */
        Device (BRD0)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0092, 0x0092, 1, 1)
                IO (Decode16, 0x0600, 0x0600, 1, 0x0C)
            })
        }

        Device (KBD0)
        {
            Name (_HID, EisaId ("PNP0303"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0060, 0x0060, 1, 1)
                IO (Decode16, 0x0064, 0x0064, 1, 1)
                IRQNoFlags () { 1 }
            })
        }

        Device (MOU0)
        {
            Name (_HID, EisaId ("PNP0F13"))
            Name (_CRS, ResourceTemplate () { IRQNoFlags () { 12 } })
        }

        Device (RTC0)
        {
            Name (_HID, EisaId ("PNP0B00"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0070, 0x0070, 1, 2)
                IRQNoFlags () { 8 }
            })
        }

        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 1)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x03F8, 0x03F8, 1, 8)
                IRQNoFlags () { 4 }
            })
        }

        Device (COM2)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 2)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x02F8, 0x02F8, 1, 8)
                IRQNoFlags () { 3 }
            })
        }

        Device (COM3)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 3)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x03E8, 0x03E8, 1, 8)
                IRQNoFlags () { 4 }
            })
        }

        Device (COM4)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 4)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x02E8, 0x02E8, 1, 8)
                IRQNoFlags () { 3 }
            })
        }

        /* Where a kernel says that it panics. */
        Device (PANC)
        {
            Name (_HID, "QEMU0001")
            Name (_STA, 0x0F)
            Name (_CRS, ResourceTemplate () { IO (Decode16, 0x0505, 0x0505, 1, 1) })
        }
    }
}
