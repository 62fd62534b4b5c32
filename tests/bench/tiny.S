# A guest that says one byte on COM1 and ends the machine through I/O port 0xf4: the shortest run that does something.
#
# Its code means the same in 32-bit and in 64-bit mode, so one image serves vmgui (which enters an ELF kernel in 64-bit mode)
# and QEMU (which enters it through the PVH note, in 32-bit mode).
	.code32
	.section .text
	.globl _start
_start:
	mov	$0x3f8, %dx
	mov	$'!', %al
	out	%al, %dx
	mov	$0xf4, %dx
	xor	%eax, %eax
	out	%al, %dx
1:	hlt
	jmp	1b

	.section .note.pvh, "a", @note
	.align	4
	.long	4		# length of the name
	.long	8		# length of the value
	.long	18		# XEN_ELFNOTE_PHYS32_ENTRY
	.asciz	"Xen"
	.quad	_start
	.section .note.GNU-stack, "", @progbits
