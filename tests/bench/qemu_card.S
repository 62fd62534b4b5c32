# The test card for QEMU, which enters an ELF kernel through its PVH note: in 32-bit protected mode, without a screen. This
# does what vmgui does for the card (assets/testcard/entry.S): a mode, boot_params that tell of it, and long mode.
#
# 0x1000 boot_params, 0x2000 to 0x4fff page tables of the first GiB, 0x100000 this, 0x200000 the card.
	.set	BOOT_PARAMS, 0x1000
	.set	PML4, 0x2000
	.set	PDPT, 0x3000
	.set	PD, 0x4000

	.macro	dispi index, value
	mov	$0x1ce, %dx
	mov	$\index, %ax
	out	%ax, %dx
	mov	$0x1d0, %dx
	mov	$\value, %ax
	out	%ax, %dx
	.endm

	# Register `offset` of the PCI device in ESI (its address for port 0xcf8), into EAX.
	.macro	pci_read offset
	lea	\offset(%esi), %eax
	mov	$0xcf8, %dx
	out	%eax, %dx
	mov	$0xcfc, %dx
	in	%dx, %eax
	.endm

	.code32
	.section .text
	.globl _start
_start:
	cli
	cld
	mov	$start_stack, %esp
	xor	%eax, %eax
	mov	$BOOT_PARAMS, %edi
	mov	$4096, %ecx		# boot_params and the tables, in dwords
	rep stosl
	# The start info: parameters at 24, RSDP at 32.
	mov	24(%ebx), %eax
	mov	%eax, BOOT_PARAMS + 0x228
	mov	32(%ebx), %eax
	mov	%eax, BOOT_PARAMS + 0x70

	mov	$0x80000000, %esi	# the first bus, function 0 of each slot
1:	pci_read 0
	cmp	$0x11111234, %eax
	je	2f
	add	$0x800, %esi
	cmp	$0x80010000, %esi
	jb	1b
	jmp	3f			# no card, no screen
2:	pci_read 0x10
	and	$~15, %eax
	mov	%eax, BOOT_PARAMS + 0x18
	movb	$0x23, BOOT_PARAMS + 0x0f	# linear framebuffer
	movw	$1024, BOOT_PARAMS + 0x12
	movw	$768, BOOT_PARAMS + 0x14
	movw	$32, BOOT_PARAMS + 0x16
	movw	$4096, BOOT_PARAMS + 0x24
	mov	$0x3da, %dx		# the attribute controller waits for an index then
	in	%dx, %al
	mov	$0x3c0, %dx
	mov	$0x20, %al		# screen on
	out	%al, %dx
	dispi	4, 0
	dispi	1, 1024
	dispi	2, 768
	dispi	3, 32
	dispi	4, 0x41

3:	movl	$PDPT + 3, PML4
	movl	$PD + 3, PDPT
	mov	$PD, %edi
	mov	$0x83, %eax
4:	mov	%eax, (%edi)
	add	$8, %edi
	add	$0x200000, %eax
	cmp	$0x40000083, %eax
	jne	4b
	mov	$0x20, %eax		# PAE
	mov	%eax, %cr4
	mov	$PML4, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx	# EFER
	rdmsr
	or	$0x100, %eax		# long mode
	wrmsr
	mov	%cr0, %eax
	or	$0x80000001, %eax
	mov	%eax, %cr0
	lgdt	gdt_pointer
	ljmp	$0x10, $5f
	.code64
5:	mov	$0x18, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	$BOOT_PARAMS, %esi
	mov	$0x200000, %eax
	jmp	*%rax

	.balign	8
gdt:	.quad	0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt
	.balign	16
	.skip	256
start_stack:

	.section .card, "awx", @progbits
	.incbin	"testcard.bin"

	.section .note.pvh, "a", @note
	.align	4
	.long	4		# length of the name
	.long	8		# length of the value
	.long	18		# XEN_ELFNOTE_PHYS32_ENTRY
	.asciz	"Xen"
	.quad	_start
	.section .note.GNU-stack, "", @progbits
