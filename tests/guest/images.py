"""Builds tiny kernels byte by byte: bzImages and ELFs whose code leaves one number at the exit port."""

import struct

SECTOR = 512
KERNEL_64_ENTRY = 0x200
LOAD_ADDRESS = 0x1000000
PAYLOAD_OFFSET = 0x400

# Numbers that tell which way a kernel was entered.
BY_32_BIT_ENTRY = 32
BY_64_BIT_ENTRY = 64
BY_ELF_ENTRY = 65


def leave(status):
    """mov $status, %al; out %al, $0xf4; then halt for good. The same bytes in 32 and 64-bit mode."""
    return bytes((0xB0, status, 0xE6, 0xF4, 0xFA, 0xF4, 0xEB, 0xFD))


def elf(code=leave(BY_ELF_ENTRY), address=LOAD_ADDRESS, **fields):
    """A static ELF64 with one segment. fields override those of the ELF and the program header by name."""
    values = {
        "ident": b"\x7fELF\x02\x01\x01", "type": 2, "machine": 62, "version": 1, "entry": address, "phoff": 64,
        "phentsize": 56, "phnum": 1, "p_type": 1, "p_offset": 120, "p_paddr": address, "p_filesz": len(code),
        "p_memsz": len(code),
    }  # fmt: skip
    values.update(fields)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", values["ident"], values["type"], values["machine"], values["version"], values["entry"],
        values["phoff"], 0, 0, 64, values["phentsize"], values["phnum"], 0, 0, 0,
    )  # fmt: skip
    segment = struct.pack(
        "<IIQQQQQQ", values["p_type"], 7, values["p_offset"], values["p_paddr"], values["p_paddr"], values["p_filesz"],
        values["p_memsz"], 4096,
    )  # fmt: skip
    return header + segment + code


# Fields of the setup header: offset in the file and struct format.
HEADER = {
    "setup_sects": (0x1F1, "B"), "syssize": (0x1F4, "I"), "boot_flag": (0x1FE, "H"), "jump": (0x200, "H"),
    "header": (0x202, "4s"), "version": (0x206, "H"), "loadflags": (0x211, "B"), "code32_start": (0x214, "I"),
    "initrd_addr_max": (0x22C, "I"), "kernel_alignment": (0x230, "I"), "relocatable": (0x234, "B"),
    "min_alignment": (0x235, "B"), "xloadflags": (0x236, "H"), "cmdline_size": (0x238, "I"),
    "payload_offset": (0x248, "I"), "payload_length": (0x24C, "I"), "pref_address": (0x258, "Q"),
    "init_size": (0x260, "I"),
}  # fmt: skip


def bzimage(payload=b"", **fields):
    """A bzImage with both entries and maybe a payload. fields override those of the setup header by name."""
    kernel = leave(BY_32_BIT_ENTRY).ljust(KERNEL_64_ENTRY, b"\0") + leave(BY_64_BIT_ENTRY)
    kernel = kernel.ljust(PAYLOAD_OFFSET, b"\0") + payload
    kernel += b"\0" * (-len(kernel) % 16)
    values = {
        "setup_sects": 1, "syssize": len(kernel) // 16, "boot_flag": 0xAA55, "jump": 0x66EB, "header": b"HdrS",
        "version": 0x020F, "loadflags": 1, "code32_start": 0x100000, "initrd_addr_max": 0x7FFFFFFF,
        "kernel_alignment": 0x200000, "relocatable": 1, "min_alignment": 21, "xloadflags": 1, "cmdline_size": 2047,
        "payload_offset": PAYLOAD_OFFSET if payload else 0, "payload_length": len(payload),
        "pref_address": LOAD_ADDRESS, "init_size": 0x100000,
    }  # fmt: skip
    values.update(fields)
    image = bytearray(2 * SECTOR)
    for name, value in values.items():
        offset, layout = HEADER[name]
        struct.pack_into("<" + layout, image, offset, value)
    return bytes(image) + kernel
