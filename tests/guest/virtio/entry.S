/* The way to ring 3, where the emulating kind of KVM runs code at full speed. It has no
 * interrupts and no exceptions: a fault ends in a reset, after which it pokes on.
 *
 * Entry: the 64-bit boot protocol of Linux: long mode, interrupts off, RSI = boot_params. */
#define PAGE_TABLE 7	/* present, writable, user */
#define TSS_BYTES  (104 + 8192 + 1)
#define PAGE_LARGE 0x87 /* the same, 2 MiB */

	.section .text.entry, "ax"
	.globl bare_entry
bare_entry:
	cli
	cld
	mov	$stack_top, %esp
	mov	$pml4, %eax
	mov	%rax, %cr3
	lgdt	gdt_pointer
	mov	$0x28, %eax
	ltr	%ax
	mov	%rsi, %rdi
	push	$0x1b			/* user data */
	push	$stack_top - 8
	push	$0x2			/* interrupts off */
	push	$0x23			/* user code */
	push	$bare_main
	iretq

	.data
	.balign	8
gdt:
	.quad	0
	.quad	0
	.quad	0x00af9b000000ffff	/* 0x10 kernel code */
	.quad	0x00cff3000000ffff	/* 0x18 user data */
	.quad	0x00affb000000ffff	/* 0x20 user code */
	.word	TSS_BYTES - 1		/* 0x28 task state; its address comes from bare.ld */
	.word	tss_address_low
	.byte	tss_address_middle
	.byte	0x89, 0
	.byte	tss_address_high
	.quad	0
gdt_end:
gdt_pointer:
	.word	gdt_end - gdt - 1
	.quad	gdt

/* The first 4 GiB as they are, for users. */
	.balign	4096
pml4:
	.quad	pdpt + PAGE_TABLE
	.zero	4096 - 8
pdpt:
	.set	index, 0
	.rept	4
	.quad	page_directories + 4096 * index + PAGE_TABLE
	.set	index, index + 1
	.endr
	.zero	4096 - 32
page_directories:
	.set	index, 0
	.rept	2048
	.quad	index * 0x200000 + PAGE_LARGE
	.set	index, index + 1
	.endr

/* Its I/O permission bitmap, all zeroes, opens every port. */
	.balign	16
	.globl	tss
tss:
	.zero	102
	.word	104
	.zero	8192
	.byte	0xff

	.bss
	.balign	4096
	.zero	65536
stack_top:
	.section .note.GNU-stack, "", @progbits
