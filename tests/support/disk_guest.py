"""The small Linux system of tests/support/disk-guest, as it is started under vmgui and under QEMU, and fio in it."""

import contextlib
import dataclasses
import os
import subprocess
import tempfile

LAB_DISK = "/dev/nullb0"

# mitigations=off: they cost a software CPU the most and tell nothing about a disk.
PARAMETERS = "console=ttyS0 loglevel=4 mitigations=off panic=-1"

# Fields of fio's terse output, version 3 (fio(1), "Terse output"); those on writing follow 41 after those on reading.
FIO_NAME, FIO_ERROR, FIO_READ, FIO_WRITE = 2, 4, 5, 46
FIO_KIB, FIO_IOPS, FIO_MILLISECONDS, FIO_LATENCY = 0, 2, 3, 34


@dataclasses.dataclass
class Disk:
    """An image and how the guest gets it."""

    path: str
    format: str = "raw"
    serial: str = ""
    read_only: bool = False
    snapshot: bool = False
    cache: str = "writeback"  # or "direct"


def vmgui_command(vmgui, folder, disks, parameters="", memory="512M", cpus=1, console="serial", more=()):
    """vmgui with the system in that folder and the disks; the first of them is its root."""
    command = [vmgui, "run", "--headless", "--no-reboot", "-m", memory, "-c", str(cpus), "--console", console, *more]
    command += ["-k", f"{folder}/vmlinuz", "-i", f"{folder}/initrd"]
    given = PARAMETERS.replace("ttyS0", "hvc0") if console == "virtio" else PARAMETERS
    command += ["-p", f"{given} {parameters}".strip()]
    for disk in disks:
        text = f"{disk.path},format={disk.format},cache={disk.cache}"
        if disk.serial:
            text += f",serial={disk.serial}"
        if disk.read_only:
            text += ",ro"
        if disk.snapshot:
            text += ",snapshot"
        command += ["-d", text]
    return command


def qemu_command(folder, disks, parameters="", memory="512M", cpus=1, accelerator="kvm"):
    """QEMU with the same and with what makes its disks fast: an I/O thread, io_uring, a queue for each processor."""
    cpu = "host" if accelerator == "kvm" else "max"
    command = ["qemu-system-x86_64", "-M", "q35", "-accel", accelerator, "-cpu", cpu, "-m", memory, "-smp", str(cpus)]
    command += ["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"]
    command += ["-kernel", f"{folder}/vmlinuz", "-initrd", f"{folder}/initrd", "-append", f"{PARAMETERS} {parameters}".strip()]
    for number, disk in enumerate(disks):
        caching = "cache.direct=on" if disk.cache == "direct" else "cache.direct=off"
        drive = f"id=d{number},if=none,file={disk.path},format={disk.format},{caching},aio=io_uring,discard=unmap"
        if disk.read_only:
            drive += ",readonly=on"
        if disk.snapshot:
            drive += ",snapshot=on"
        device = f"virtio-blk-pci,drive=d{number},iothread=t{number},num-queues={cpus},disable-legacy=on,romfile="
        if disk.serial:
            device += f",serial={disk.serial}"
        command += ["-object", f"iothread,id=t{number}", "-drive", drive, "-device", device]
    return command


def fio_line(name, **options):
    """A shell line that runs one job and prints one line of terse output; underscores in an option stay."""
    words = [f"--{key}={value}" for key, value in options.items()]
    return f"fio --minimal --terse-version=3 --name={name} --ioengine=libaio --direct=1 --thread {' '.join(words)}"


class FioResult:
    """One job's line of terse output."""

    def __init__(self, text):
        lines = [line for line in text.splitlines() if line.startswith("3;fio-")]
        if len(lines) != 1:
            raise ValueError(f"fio printed {text.strip()!r}")
        fields = lines[0].split(";")
        self.name = fields[FIO_NAME]
        self.error = int(fields[FIO_ERROR])
        self.read = self._direction(fields, FIO_READ)
        self.write = self._direction(fields, FIO_WRITE)

    @staticmethod
    def _direction(fields, first):
        return {
            "bytes": int(fields[first + FIO_KIB]) * 1024,
            "iops": float(fields[first + FIO_IOPS]),
            "seconds": int(fields[first + FIO_MILLISECONDS]) / 1000,
            "latency_us": float(fields[first + FIO_LATENCY]),
        }


@contextlib.contextmanager
def work_folder():
    """A folder for images that has O_DIRECT: in the lab on its empty disk, since its /tmp has not, else below /var/tmp."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        if not os.path.exists(LAB_DISK):
            yield folder
            return
        # Nothing of ext4's own shall be going on while something is measured.
        subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-E", "nodiscard,lazy_itable_init=0", LAB_DISK], check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        subprocess.run(["mount", LAB_DISK, folder], check=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", folder], check=True)
