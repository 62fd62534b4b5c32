#!/usr/bin/env python3
"""A stock Debian kernel that boots from an ext4 root on a virtio disk, raw and qcow2, and fio that verifies what it wrote;
the second boot with two processors, the virtio console, random numbers and a channel.

Each format is root once and data disk in both boots: what was written in the first boot is verified in the second. On the host,
qemu-img and e2fsck find the images sound, with the same bytes that the guest saw. Runs wherever /dev/kvm runs real kernels:
tests/e2e/disk puts it there.
"""

import argparse
import contextlib
import hashlib
import os
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

from disk_guest import Disk, FioResult, fio_line, qemu_command, vmgui_command, work_folder
from linux_guest import Guest, GuestError
from report import FAILED, check, say

MIB = 1 << 20

DATA_MIB = 32
FILE_MIB = 16
DEPTHS = (1, 32)
# Several block sizes, and flushes in between.
VERIFY = {"rw": "randwrite", "bssplit": "4k/50:12k/20:64k/20:256k/10", "verify": "crc32c", "verify_fatal": 1, "fsync": 64}


class GuestCrashed(Exception):
    """A guest has reset itself in the middle of something."""


def tool(*command):
    """Exit status and output of a program."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout.strip()


def check_tool(text, *command):
    status, output = tool(*command)
    check(status == 0, text, f"{' '.join(command)}: status {status}: {output[-400:]}")


def digest(path):
    state = hashlib.md5()
    with open(path, "rb") as file:
        while block := file.read(MIB):
            state.update(block)
    return state.hexdigest()


class Test:
    """The images, and how a guest with them is started."""

    def __init__(self, options, work):
        self.options = options
        self.work = work
        self.digests = {}

    def path(self, name):
        return os.path.join(self.work, name)

    def make_images(self):
        self.clone(os.path.join(self.options.system, "root.raw"), "root.raw")
        self.data = [Disk(self.path("data.raw"), "raw", "data-raw", cache="direct"),
                     Disk(self.path("data.qcow2"), "qcow2", "data-qcow2")]  # fmt: skip
        self.data = [disk for disk in self.data if disk.format in self.options.formats]
        for disk in self.data:
            subprocess.run(["qemu-img", "create", "-q", "-f", disk.format, disk.path, f"{DATA_MIB}M"], check=True)
        # What a guest must not change.
        for name in ("read-only", "snapshot"):
            with open(self.path(name), "wb") as file:
                file.write(b"before " * (MIB // 7) + b"." * (MIB % 7))
        self.kept = [Disk(self.path("read-only"), "raw", "read-only", read_only=True),
                     Disk(self.path("snapshot"), "raw", "snapshot", snapshot=True)]  # fmt: skip

    def clone(self, source, name):
        subprocess.run(["cp", "--sparse=always", source, self.path(name)], check=True)

    @contextlib.contextmanager
    def guest(self, name, disks, **more):
        """A guest that has come up; it is told to power off at the end. more: vmgui's options beside the disks."""
        if self.options.qemu:
            command = qemu_command(self.options.system, disks, accelerator=self.options.qemu)
        else:
            command = vmgui_command(self.options.vmgui, self.options.system, disks, **more)
        say(f"start: {' '.join(command)}")
        guest = Guest(name, command, self.options.artefacts)
        try:
            guest.ready(self.options.boot_seconds)
            say(f"ok: {name}: the system on the disk is up after {time.monotonic() - guest.started:.1f} s")
            guest.shell('disk() { grep -lx "$1" /sys/block/vd*/serial | cut -d/ -f4; }')
            yield guest
            guest.start("end")
            status = guest.end()
            check(status == 0, f"{name}: power off, status {status}", guest.errors()[-400:])
            # A slow machine is told how far the kernel's decompression is.
            words = [line for line in guest.errors().splitlines() if line and ": decompressing (" not in line]
            check(not words, f"{name}: not a word on stderr", guest.errors()[-400:])
        except BaseException as error:
            if not self.options.qemu:
                guest.dump()
            with contextlib.suppress(subprocess.TimeoutExpired):
                guest.process.wait(2)
            say(f"{name}: exit status {guest.process.returncode}, on stderr: {guest.errors()[-2000:]!r}")
            if isinstance(error, GuestError) and guest.process.returncode in (0, 3):
                raise GuestCrashed(str(error)) from error
            raise
        finally:
            guest.close()

    def fio(self, guest, name, **options):
        """One job that must pass."""
        began = time.monotonic()
        status, text = guest.run(fio_line(name, **options), 240)
        try:
            result = FioResult(text)
        except ValueError as error:
            check(False, f"{guest.name}: {name}", str(error))
            return
        checked = "verified" if options.get("verify") else "read"
        check(
            status == 0 and result.error == 0 and result.read["bytes"] > 0,
            f"{guest.name}: {name}: {result.read['bytes'] // 1024} KiB {checked} ({time.monotonic() - began:.1f} s)",
            text.strip()[-600:],
        )

    def write_and_verify(self, guest, what, filename, mib, **more):
        """Half of a file or disk at each depth."""
        half = mib // len(DEPTHS)
        for number, depth in enumerate(DEPTHS):
            place = {"filename": filename, "offset": f"{number * half}m", "size": f"{half}m", "iodepth": depth}
            self.fio(guest, f"{what}-depth-{depth}", **place, **VERIFY, **more)

    @staticmethod
    def make_file(guest):
        """The file that fio writes to, in its full size: fio would make a file that is too small anew."""
        guest.shell(f"rm -f /verify; dd if=/dev/zero of=/verify bs=1M count={FILE_MIB} 2>/dev/null")

    def check_kept(self, guest):
        """The options ro and snapshot."""
        read_only, snapshot = (guest.shell(f"disk {name}").strip() for name in ("read-only", "snapshot"))
        check(guest.shell(f"cat /sys/block/{read_only}/ro").strip() == "1", f"{guest.name}: ro: the guest knows")
        write = "dd if=/dev/zero of=/dev/{} bs=4096 count=16 conv=fsync"
        check(guest.run(write.format(read_only))[0] != 0, f"{guest.name}: ro: a write fails")
        guest.shell(write.format(snapshot))
        guest.shell("echo 3 >/proc/sys/vm/drop_caches")
        text = guest.shell(f"dd if=/dev/{snapshot} bs=4096 count=16 2>/dev/null | tr -d '\\0' | wc -c")
        check(text.strip() == "0", f"{guest.name}: snapshot: the guest reads what it wrote", text)

    def check_locks(self, guest):
        """QEMU's tools keep away from an image in use."""
        for disk in self.data:
            status, output = tool("qemu-img", "resize", "-f", disk.format, disk.path, f"{DATA_MIB + 1}M")
            check(status != 0 and "lock" in output, f"{guest.name}: {disk.format}: qemu-img is locked out meanwhile", output)

    def check_trim(self, guest):
        """DISCARD, where the kernel uses it most."""
        status, text = guest.run("fstrim -v /", 120)
        check(status == 0, f"{guest.name}: fstrim: {text.strip()}")

    def check_growth(self, guest):
        """A raw image that grows is seen at the next access, without anybody's doing in the guest."""
        name = guest.shell("disk read-only").strip()
        os.truncate(self.path("read-only"), 3 * MIB)
        sectors = ""
        for _ in range(100):
            guest.run(f"dd if=/dev/{name} of=/dev/null bs=4096 count=1 iflag=direct 2>/dev/null")
            sectors = guest.shell(f"cat /sys/block/{name}/size").strip()
            if sectors == str(3 * MIB // 512):
                break
            time.sleep(0.2)
        check(sectors == str(3 * MIB // 512), f"{guest.name}: a raw image that grows is seen to", f"{sectors} sectors")

    def check_random(self, guest):
        """--rng: the kernel has taken the device for its own, and bytes come."""
        current = guest.shell("cat /sys/class/misc/hw_random/rng_current").strip()
        text = guest.shell("dd if=/dev/hwrng bs=64 count=1 2>/dev/null | md5sum; dd if=/dev/hwrng bs=64 count=1 2>/dev/null | md5sum")
        one, other = (line.split()[0] for line in text.splitlines())
        nothing = hashlib.md5(b"").hexdigest()
        check(current.startswith("virtio") and one != other and nothing not in (one, other),
              f"{guest.name}: random numbers from {current}", text)  # fmt: skip

    def check_channel(self, guest, path):
        """--channel: lines both ways between a socket here and a port there."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(180)
            client.connect(path)
            client.sendall(b"from the host\n")
            heard = guest.shell(
                "p=/dev/$(grep -lx agent /sys/class/virtio-ports/*/name | cut -d/ -f5); "
                'exec 3<>$p; echo "from the guest" >&3; head -n 1 <&3; exec 3>&-'
            ).strip()
            with client.makefile() as lines:
                line = lines.readline()
        check((heard, line) == ("from the host", "from the guest\n"), f"{guest.name}: a channel both ways", f"{heard!r} {line!r}")

    def check_bulk(self, guest):
        """A megabyte over the virtio console, every byte of it."""
        size = 768 * 1024
        guest.shell("dd if=/dev/zero bs=1k count=768 2>/dev/null | tr '\\0' x >/tmp/bulk; stty -opost")
        began = time.monotonic()
        guest.start("cat /tmp/bulk")
        data = guest.wait_bytes(size, 240)
        guest.wait(rb"\A@done 0\n")
        check(data == b"x" * size, f"{guest.name}: {len(data)} bytes came over hvc0 ({time.monotonic() - began:.1f} s)")

    def first_boot(self):
        root = Disk(self.path("root.raw"), "raw", "root")
        with self.guest("raw", [root, *self.data, *self.kept]) as guest:
            mounted = guest.shell("grep ' / ' /proc/mounts").strip()
            check(mounted.startswith("/dev/vda / ext4 rw"), f"raw: the root file system: {mounted}")
            self.make_file(guest)
            self.write_and_verify(guest, "file-on-root", "/verify", FILE_MIB)
            for disk in self.data:
                name = guest.shell(f"disk {disk.serial}").strip()
                check(name.startswith("vd"), f"raw: {disk.serial} is {name}, by its serial")
                self.write_and_verify(guest, disk.format, f"/dev/{name}", DATA_MIB)
            self.check_locks(guest)
            self.check_kept(guest)
            if not self.options.qemu:
                self.check_growth(guest)
            self.check_trim(guest)
            for disk in self.data:
                line = f"md5sum /dev/$(disk {disk.serial})"
                self.digests[disk.serial] = guest.shell(line, 120).split()[0]
        with open(self.path("snapshot"), "rb") as file:
            check(file.read(7) == b"before ", "snapshot: the image is as it was")
        check_tool("e2fsck: the root file system is sound", "e2fsck", "-fn", self.path("root.raw"))

    def second_boot(self):
        root = Disk(self.path("root.qcow2"), "qcow2", "root")
        check_tool("qemu-img convert: root.raw to qcow2", "qemu-img", "convert", "-f", "raw", "-O", "qcow2",
                   self.path("root.raw"), root.path)  # fmt: skip
        channel = self.path("agent.sock")
        more = {"cpus": 2, "console": "virtio", "more": ("--rng", "--channel", f"agent,{channel}")}
        with self.guest("qcow2", [root, *self.data], **({} if self.options.qemu else more)) as guest:
            if not self.options.qemu:
                self.check_random(guest)
                self.check_channel(guest, channel)
                self.check_bulk(guest)
            mounted = guest.shell("grep ' / ' /proc/mounts").strip()
            check(mounted.startswith("/dev/vda / ext4 rw"), f"qcow2: the root file system: {mounted}")
            for disk in self.data:
                name = guest.shell(f"disk {disk.serial}").strip()
                self.write_and_verify(guest, f"{disk.format}-again", f"/dev/{name}", DATA_MIB, verify_only=1)
            self.write_and_verify(guest, "file-on-root-again", "/verify", FILE_MIB, verify_only=1)
            self.make_file(guest)
            self.write_and_verify(guest, "file-on-root", "/verify", FILE_MIB)
            self.check_trim(guest)
        check_tool("qemu-img check: root.qcow2", "qemu-img", "check", "-q", "-f", "qcow2", root.path)
        back = self.path("root-back.raw")
        check_tool("qemu-img convert: and back", "qemu-img", "convert", "-f", "qcow2", "-O", "raw", root.path, back)
        check_tool("e2fsck: the root file system is sound", "e2fsck", "-fn", back)

    def check_data(self, when):
        """The host finds in the images what the guest wrote."""
        for disk in self.data:
            path = disk.path
            if disk.format == "qcow2":
                check_tool(f"qemu-img check: data.qcow2 {when}", "qemu-img", "check", "-q", "-f", "qcow2", path)
                path = self.path("data-back.raw")
                check_tool(f"qemu-img convert: data.qcow2 {when}", "qemu-img", "convert", "-f", "qcow2", "-O", "raw", disk.path, path)
            check(digest(path) == self.digests[disk.serial], f"{disk.serial}: the host's bytes are the guest's {when}")


def run(options):
    with work_folder() as work:
        test = Test(options, work)
        test.make_images()
        test.first_boot()
        test.check_data("after the first boot")
        if "qcow2" in options.formats:
            test.second_boot()
            test.check_data("after the second boot")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vmgui", help="the program under test")
    parser.add_argument("--qemu", metavar="ACCEL", help="try the test itself with QEMU (tcg or kvm)")
    parser.add_argument("--system", required=True, help="the folder that tests/support/disk-guest printed")
    parser.add_argument("--artefacts", default=".", help="folder for logs")
    parser.add_argument("--formats", nargs="+", default=["raw", "qcow2"], help="raw alone: without the second boot")
    parser.add_argument("--boot-seconds", type=int, default=600, help="give up when the system is not up after that long")
    options = parser.parse_args()
    if not options.vmgui and not options.qemu:
        parser.error("one of --vmgui and --qemu is needed")
    os.makedirs(options.artefacts, exist_ok=True)
    try:
        run(options)
    except GuestCrashed:
        # Neither a wrong byte nor a guest that stands still is excused, and a crash only once and only there.
        if FAILED or os.environ.get("KVM_LAB") != "1":
            raise
        say("THE GUEST CRASHED. The lab's software CPU spoils a guest now and then, so once more from the start")
        run(options)
    say(f"{len(FAILED)} checks failed" if FAILED else "all seen")
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
