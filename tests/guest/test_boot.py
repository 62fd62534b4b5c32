"""Kernels that vmgui loads, and kernels and command lines that it must refuse, each with its words and status 2."""

import bz2
import gzip
import lzma
import os
import re
import shutil
import struct
import subprocess
import tempfile

import guest
import images

TOOLS = {"zstd": ("zstd", "-19", "-c"), "lz4": ("lz4", "-l", "-c"), "lzo": ("lzop", "-c")}


def with_size(packed, plain):
    """Linux appends the unpacked size to the payload of all formats but gzip, which has it anyway."""
    return packed + struct.pack("<I", len(plain))


def payloads(kernel):
    """Name and bytes of the kernel compressed in each way that can be made here."""
    yield "gzip", gzip.compress(kernel)
    yield "xz", with_size(lzma.compress(kernel, check=lzma.CHECK_CRC32), kernel)
    yield "lzma", with_size(lzma.compress(kernel, lzma.FORMAT_ALONE), kernel)
    yield "bzip2", with_size(bz2.compress(kernel), kernel)
    for name, command in TOOLS.items():
        if shutil.which(command[0]):
            packed = subprocess.run(command, input=kernel, capture_output=True, check=True).stdout
            yield name, with_size(packed, kernel)


class Files(guest.GuestTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="vmgui-boot-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def file(self, content, name="kernel"):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def boot(self, content, *arguments):
        return guest.run(
            "--headless", "--exit-port", "-m", "64", "--timeout", str(guest.PATIENCE), "--kernel", self.file(content), *arguments,
            folder=self.folder,
        )  # fmt: skip


class Loaded(Files):
    def assert_enters(self, content, status, *arguments):
        found = self.boot(content, *arguments)
        self.assertEqual(found[0], status, found[2])
        self.assertEqual(found[2], "")

    def test_bzimage_by_its_64_bit_entry(self):
        self.assert_enters(images.bzimage(), images.BY_64_BIT_ENTRY)

    def test_bzimage_by_its_32_bit_entry_where_there_is_no_other(self):
        self.assert_enters(images.bzimage(xloadflags=0), images.BY_32_BIT_ENTRY)
        self.assert_enters(images.bzimage(version=0x0206, xloadflags=0), images.BY_32_BIT_ENTRY)

    def test_elf_by_its_entry(self):
        self.assert_enters(images.elf(), images.BY_ELF_ENTRY)

    def test_the_kernel_inside_a_bzimage_is_unpacked_by_the_host(self):
        kernel = images.elf()
        for name, payload in payloads(kernel):
            for arguments in ((), (), ("--no-kernel-cache",)):
                with self.subTest(compression=name, arguments=arguments):
                    self.assert_enters(images.bzimage(payload), images.BY_ELF_ENTRY, *arguments)

    def test_a_payload_that_cannot_be_used_leaves_it_to_the_kernel(self):
        good = gzip.compress(images.elf())
        for name, payload in (
            ("unknown", b"not compressed at all"),
            ("cut off", good[:-20]),
            ("damaged", good[:20] + bytes([good[20] ^ 0xFF]) + good[21:]),
            ("no ELF", gzip.compress(b"nothing of the kind" * 100)),
            ("wrong size", with_size(lzma.compress(images.elf(), check=lzma.CHECK_CRC32), b"x" * 7)),
        ):
            with self.subTest(payload=name):
                self.assert_enters(images.bzimage(payload), images.BY_64_BIT_ENTRY)

    def test_a_damaged_cache_is_not_believed(self):
        content = images.bzimage(gzip.compress(images.elf()))
        self.assert_enters(content, images.BY_ELF_ENTRY)
        entries = [
            os.path.join(folder, name)
            for folder, _, names in os.walk(self.folder)
            for name in names
            if name != "kernel"
        ]
        self.assertTrue(entries, "nothing was cached")
        foreign = images.elf(images.leave(99))
        for damage in (b"", foreign, b"\0" * 4096):
            for entry in entries:
                with open(entry, "wb") as file:
                    file.write(damage)
            self.assert_enters(content, images.BY_ELF_ENTRY)


class Refused(Files):
    def assert_refuses(self, found, pattern):
        status, output, errors = found
        self.assertEqual((status, output), (2, ""), errors)
        self.assertEqual(errors.count("\n"), 1, errors)
        self.assertTrue(re.fullmatch(f"vmgui: .*(?:{pattern}).*\n", errors), f"{errors!r} is not /{pattern}/")

    def test_kernel_files(self):
        whole = images.bzimage()
        packed = images.bzimage(gzip.compress(images.elf()))
        for name, content, pattern in (
            ("empty", b"", "is empty"),
            ("text", b"#!/bin/sh\n" * 100, "neither a Linux bzImage nor an ELF"),
            ("gzip", gzip.compress(b"x" * 1000), "gzip"),
            ("bzImage, only the first sector", whole[:0x200], "truncated|neither|like a disk"),
            ("bzImage, only the setup", whole[:0x400], "truncated"),
            ("bzImage, half a kernel", packed[:0x600], "truncated"),
            ("bzImage, old protocol", images.bzimage(version=0x0200), "too old"),
            ("bzImage, loads low", images.bzimage(loadflags=0), "zImage"),
            ("bzImage, no alignment", images.bzimage(kernel_alignment=3), "alignment"),
            ("bzImage, huge alignment", images.bzimage(kernel_alignment=0x80000000), "alignment|RAM"),
            ("bzImage, beyond RAM", images.bzimage(pref_address=0x40000000, relocatable=0), "RAM"),
            ("bzImage, at the end of all", images.bzimage(pref_address=0xFFFFFFFFFFFFF000), "4 GiB"),
            ("bzImage, below 1 MiB", images.bzimage(pref_address=0x1000), "below 1 MiB"),
            ("bzImage, more than RAM", images.bzimage(init_size=0x7FFFFFFF), "RAM"),
            ("bzImage, payload outside", images.bzimage(payload_offset=0xFFFFFFF0, payload_length=64), "payload"),
            ("bzImage, huge setup", images.bzimage(setup_sects=255), "truncated"),
            ("ELF, header cut off", images.elf()[:40], "ends inside the ELF header"),
            ("ELF, program headers cut off", images.elf()[:100], "program headers"),
            ("ELF, segment cut off", images.elf(p_filesz=5000, p_memsz=5000), "segment|truncated|ends"),
            ("ELF, offset wraps", images.elf(p_offset=0xFFFFFFFFFFFFFFF0), "segment|truncated|ends"),
            ("ELF, other processor", images.elf(machine=183), "another processor"),
            ("ELF, object file", images.elf(type=1), "not an executable"),
            ("ELF, big-endian", images.elf(ident=b"\x7fELF\x02\x02\x01"), "little-endian"),
            ("ELF, no segments", images.elf(phnum=0), "nothing to load|program headers"),
            ("ELF, memory below file size", images.elf(p_memsz=1), "sizes"),
            ("ELF, entry outside", images.elf(entry=0x123), "entry"),
            ("ELF, beyond RAM", images.elf(address=0x40000000), "RAM"),
            ("ELF, address wraps", images.elf(address=0xFFFFFFFFFFFFFFF8), "RAM|sizes|segment"),
            ("ELF, headers of no size", images.elf(phentsize=0), "header"),
        ):
            with self.subTest(file=name):
                self.assert_refuses(self.boot(content), pattern)

    def test_paths(self):
        missing = os.path.join(self.folder, "missing")
        kernel = self.file(images.bzimage())
        for arguments, pattern in (
            (("--kernel", missing), f"--kernel {missing}: .*No such file"),
            (("--kernel", self.folder), "--kernel .*folder|--kernel .*directory"),
            (("--kernel", kernel, "--initrd", missing), f"--initrd {missing}: .*No such file"),
            (("--kernel", kernel, "--initrd", "/dev/zero"), "--initrd /dev/zero: "),
        ):
            with self.subTest(arguments=arguments):
                self.assert_refuses(guest.run("--headless", *arguments), pattern)

    def test_an_initrd_that_does_not_fit(self):
        initrd = self.file(os.urandom(1 << 20) * 70, "initrd")
        self.assert_refuses(self.boot(images.bzimage(), "--initrd", initrd), "--initrd .*larger --mem")

    def test_a_command_line_that_is_too_long(self):
        self.assert_refuses(
            self.boot(images.bzimage(cmdline_size=255), "--params", "x" * 1000), "--params: .*255.*shorten"
        )

    def test_options(self):
        for arguments, pattern in (
            (("--hedless",), "--hedless: .*--headless"),
            (("--cpus", "0"), "--cpus"),
            (("--cpus", "many"), "--cpus"),
            (("--mem", "0"), "--mem"),
            (("--mem", "lots"), "--mem"),
            (("--mem", "99999999999999999999G"), "--mem"),
            (("--resolution", "1024"), "--resolution"),
            (("--resolution", "0x768"), "--resolution"),
            (("--resolution", "99999x99999"), "--resolution"),
            (("--vidmode", "0x999"), "--vidmode"),
            (("--timeout", "soon"), "--timeout"),
            (("--timeout",), "--timeout"),
            (("--vnc=everywhere",), "--vnc"),
            (("--vnc=127.0.0.1:99999",), "--vnc"),
            (("--dev", "/dev/null"), "--dev /dev/null"),
            (("--dev", "/nowhere/kvm"), "--dev /nowhere/kvm"),
        ):
            with self.subTest(arguments=arguments):
                found = guest.run("testcard", "--headless", *arguments)
                self.assert_refuses(found, pattern)


if __name__ == "__main__":
    guest.main()
