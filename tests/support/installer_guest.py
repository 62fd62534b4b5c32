"""How Debian's graphical installer is started under vmgui and under QEMU, and how to wait until its first page stands."""

import os
import socket
import time

import installer_screen

IMAGES = "/usr/lib/debian-installer/images/12/amd64/gtk/debian-installer/amd64"
KERNEL = f"{IMAGES}/linux"
INITRD = f"{IMAGES}/initrd.gz"
# What the installer's own boot menu gives its kernel.
PARAMETERS = "vga=788 --- quiet"


def missing_images():
    """A reason why the installer cannot be started, or None."""
    for path in (KERNEL, INITRD):
        if not os.path.exists(path):
            return f"{path} is missing (package debian-installer-12-netboot-amd64)"
    return None


def free_display(first=20):
    """A VNC display number (port minus 5900) that nobody uses."""
    for number in range(first, 90):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", 5900 + number))
                return number
            except OSError:
                continue
    raise RuntimeError("no free VNC display")


def vmgui_command(vmgui, display, extra=()):
    """vmgui with a VNC server on that display."""
    guest = ["-k", KERNEL, "-i", INITRD, "-p", PARAMETERS, "-m", "1G", "-c", "1"]
    return [vmgui, "run", *guest, f"--vnc=127.0.0.1:{display}", *extra]


def qemu_command(display, accelerator="kvm"):
    """QEMU with the same guest and the same kind of display."""
    cpu = "host" if accelerator == "kvm" else "max"
    guest = ["-kernel", KERNEL, "-initrd", INITRD, "-append", PARAMETERS, "-m", "1G", "-smp", "1"]
    devices = ["-nodefaults", "-vga", "std", "-vnc", f"127.0.0.1:{display},share=ignore"]
    return ["qemu-system-x86_64", "-accel", accelerator, "-cpu", cpu, *guest, *devices]


def plain_qemu_command(display):
    """QEMU with KVM and otherwise as it comes: its default processor and its default devices."""
    guest = ["-kernel", KERNEL, "-initrd", INITRD, "-append", PARAMETERS, "-m", "1G"]
    return ["qemu-system-x86_64", "-accel", "kvm", *guest, "-vnc", f"127.0.0.1:{display},share=ignore"]


def wait_for_language_page(client, process, limit_seconds):
    """Returns the seconds until the page stood, seen through that connection; looks only when something changed."""
    start = time.monotonic()
    while True:
        changed = client.poll(0.5)
        elapsed = time.monotonic() - start
        if changed and installer_screen.is_language_page(client.image()):
            return elapsed
        if process.poll() is not None:
            raise AssertionError(f"{process.args[0]} ended with status {process.returncode}")
        if elapsed > limit_seconds:
            raise AssertionError(f"no language page within {limit_seconds} s")
