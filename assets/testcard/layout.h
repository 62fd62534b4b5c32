/* Numbers that entry.S and the C code share. Included by both: macros only. */
#ifndef TESTCARD_LAYOUT_H
#define TESTCARD_LAYOUT_H

#define SELECTOR_KERNEL_CODE 0x10 /* as the boot protocol has it */
#define SELECTOR_USER_DATA   0x23
#define SELECTOR_USER_CODE   0x2b
#define SELECTOR_TSS         0x30

/* The task state and its map of the ports open to ring 3: all of them, since not every KVM
 * lets the guest have an I/O privilege level. */
#define TSS_IO_MAP 104
#define TSS_BYTES  (TSS_IO_MAP + 8192 + 1)

#define RFLAGS_USER      0x2 /* interrupts off */
#define IRET_FRAME_BYTES 40

#define CALL_WAIT         0
#define CALL_TRIPLE_FAULT 1

#define IDT_ENTRIES          0x30
#define VECTOR_UD            6
#define VECTOR_IRQ           0x20 /* of IRQ 0; the sixteen of the PICs follow */
#define EXCEPTION_STUB_BYTES 16
/* Vectors 8, 10 to 14, 17, 21, 29 and 30. */
#define EXCEPTIONS_WITH_ERROR_CODE 0x60227d00

#define CR0_PE   0x00000001
#define CR0_ET   0x00000010
#define CR0_PG   0x80000000
#define CR4_PAE  0x20
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100

#define PAGE_USER_TABLE 0x07 /* present, writable, user */
#define PAGE_USER_LARGE 0xe7 /* and accessed, dirty, large */

#endif
