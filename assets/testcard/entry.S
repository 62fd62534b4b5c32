/* The test card's only ring-0 code: the entry, the gates and the interrupt stubs.
 *
 * Some KVMs emulate guest kernel code one instruction at a time (0.5 million a second) but run ring
 * 3 at full speed. So the card enters ring 3 at once, with every port open and every page mapped to
 * it, and comes back here only to halt, to be interrupted, and to die.
 *
 * Entry: the 64-bit boot protocol of Linux (Documentation/arch/x86/boot.rst): long mode, low memory
 * identity-mapped, interrupts off, CS = 0x10, DS = ES = SS = 0x18, RSI = physical address of
 * boot_params. Interrupts are only ever enabled inside call_gate's HLT, so that ring 3 needs no
 * locks: an interrupt does nothing but end the wait, and ring 3 looks at the devices. */
#include "layout.h"

	.section .text.entry, "ax"
	.globl card_entry
	.type card_entry, @function
card_entry:
	cli
	cld
	mov	$kernel_stack_top, %esp
	mov	$pml4, %eax
	mov	%rax, %cr3
	lgdt	gdt_pointer
	lidt	idt_pointer
	mov	$SELECTOR_TSS, %eax
	ltr	%ax
	xor	%eax, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%rsi, %rdi
	push	$SELECTOR_USER_DATA
	push	$user_stack_top - 8
	push	$RFLAGS_USER
	push	$SELECTOR_USER_CODE
	push	$card_main
	iretq

	.text
/* Ring 3 calls by UD2 with a function in EAX: of the ways down to ring 0 this is the one that each
 * KVM knows (the emulating ones have no INT n, and some run what follows SYSCALL at ring 3).
 * CALL_WAIT halts until an interrupt, whose own frame is dropped; CALL_TRIPLE_FAULT raises an
 * exception that has no table to go through. */
	.globl call_gate
call_gate:
	cmpq	$card_ud2, (%rsp)
	jne	exception_stubs + 6 * EXCEPTION_STUB_BYTES
	addq	$2, (%rsp)
	test	%eax, %eax
	jnz	2f
1:	sti
	hlt
	jmp	1b
2:	lidt	idt_none
	ud2

	.globl interrupt_stub
interrupt_stub:
	mov	$kernel_stack_top - IRET_FRAME_BYTES, %esp
	iretq

/* void card_call(unsigned function), ring 3. */
	.globl card_call
card_call:
	mov	%edi, %eax
card_ud2:
	ud2
	ret

/* Exceptions: fixed-size stubs that leave the vector in exception_vector and go on in ring 3, in
 * card_exception, which tells what happened and gives up. */
	.balign	EXCEPTION_STUB_BYTES
	.globl exception_stubs
exception_stubs:
	.set	vector, 0
	.rept	32
	.balign	EXCEPTION_STUB_BYTES
	.if	((EXCEPTIONS_WITH_ERROR_CODE >> vector) & 1) == 0
	push	$0
	.endif
	push	$vector
	jmp	exception_common
	.set	vector, vector + 1
	.endr

exception_common:
	pop	exception_vector
	pop	exception_error
	pop	exception_rip
	mov	%cr2, %rax
	mov	%rax, exception_address
	mov	$kernel_stack_top, %esp
	push	$SELECTOR_USER_DATA
	push	$user_stack_top - 8
	push	$RFLAGS_USER
	push	$SELECTOR_USER_CODE
	push	$card_exception
	iretq

/* Application processors start here, in real mode, at a page below 1 MiB to which smp.c copies the
 * code. Each goes on to long mode on the card's own tables, leaves its APIC id and halts for good.
 * Addresses are relative to the page: DS = CS. */
	.section .rodata
	.code16
	.globl ap_trampoline, ap_trampoline_end
ap_trampoline:
	cli
	mov	%cs, %ax
	mov	%ax, %ds
	lgdtl	ap_gdt_pointer - ap_trampoline
	mov	$CR4_PAE, %eax
	mov	%eax, %cr4
	mov	$pml4, %eax
	mov	%eax, %cr3
	mov	$MSR_EFER, %ecx
	mov	$EFER_LME, %eax
	xor	%edx, %edx
	wrmsr
	mov	$CR0_PG | CR0_ET | CR0_PE, %eax
	mov	%eax, %cr0
	ljmpl	$SELECTOR_KERNEL_CODE, $ap_long_mode
	.balign	4
ap_gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt
ap_trampoline_end:

	.code64
	.text
ap_long_mode:
	mov	$1, %eax
	cpuid
	shr	$24, %ebx
	movb	$1, ap_online(%rbx)
	lock incl ap_count
1:	cli
	hlt
	jmp	1b

	.data
	.balign	16
gdt:
	.quad	0
	.quad	0
	.quad	0x00af9b000000ffff	/* 0x10 kernel code, 64-bit */
	.quad	0x00cf93000000ffff	/* 0x18 kernel data */
	.quad	0x00cff3000000ffff	/* 0x20 user data */
	.quad	0x00affb000000ffff	/* 0x28 user code, 64-bit */
	.word	TSS_BYTES - 1		/* 0x30 task state, 16 bytes; the address comes from card.ld */
	.word	tss_address_low
	.byte	tss_address_middle
	.byte	0x89, 0
	.byte	tss_address_high
	.quad	0
gdt_end:

gdt_pointer:
	.word	gdt_end - gdt - 1
	.quad	gdt
idt_pointer:
	.word	IDT_ENTRIES * 16 - 1
	.quad	idt
idt_none:
	.word	0
	.quad	0

/* The first 4 GiB, identity-mapped in 2 MiB pages, for users. */
	.balign	4096
pml4:
	.quad	pdpt + PAGE_USER_TABLE
	.zero	4096 - 8
pdpt:
	.set	index, 0
	.rept	4
	.quad	page_directories + 4096 * index + PAGE_USER_TABLE
	.set	index, index + 1
	.endr
	.zero	4096 - 32
page_directories:
	.set	index, 0
	.rept	2048
	.quad	index * 0x200000 + PAGE_USER_LARGE
	.set	index, index + 1
	.endr

	.bss
	.balign	16
	.globl idt, exception_vector, exception_error, exception_rip, exception_address
	.globl ap_count, ap_online, tss
tss:					/* filled in by interrupts.c */
	.zero	TSS_BYTES
	.balign	16
idt:
	.zero	IDT_ENTRIES * 16
exception_vector:
	.zero	8
exception_error:
	.zero	8
exception_rip:
	.zero	8
exception_address:
	.zero	8
ap_online:
	.zero	256
ap_count:
	.zero	4
	.balign	16
	.zero	2048
	.globl kernel_stack_top
kernel_stack_top:
	.zero	16384
user_stack_top:

	.section .note.GNU-stack, "", @progbits
