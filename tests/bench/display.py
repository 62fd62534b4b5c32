#!/usr/bin/env python3
"""The display path of vmgui beside QEMU's: the same guest, the test card, on the same KVM in one run.

Latency from a command to its pixels in a VNC client and in a window, with the guest at rest before; frames and processor time
for full-screen changes and a moving window; wake-ups, processor time and bytes at rest; bytes for a blinking cursor and for
lines that scroll; memory by display. A command travels through the guest's serial port; `echo` is that way alone, there and
back. Processor time and wake-ups are those of all threads but the vCPUs'.

Usage: tests/bench/display.py --vmgui build/release/vmgui --card build/release/tests/bench/qemu_card [--changes N] [--windows]
The target `bench` builds the card. Prints one JSON object a line. On a busy machine the numbers mean little.
"""

import argparse
import contextlib
import ctypes
import json
import os
import statistics
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "guest"), os.path.join(HERE, "..", "support")]

import guest  # noqa: E402
import installer_guest  # noqa: E402
from desktop import Desktop  # noqa: E402
from rfb import RfbClient  # noqa: E402

REST_SECONDS = 10
VCPU_NAMES = ("vcpu", "CPU ", "kvm")


class Vmgui(guest.Guest):
    """The test card under vmgui."""

    name = "vmgui"
    window_arguments = ("--sdl",)
    desktop = None

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, desktop=type(self).desktop, **options)

    def command_line(self, command, arguments, display):
        line = [guest.VMGUI, "testcard", "-m", "256M", "-c", "1", *arguments]
        if display is not None:
            line.append(f"--vnc=127.0.0.1:{display}")
        elif not arguments:
            line.append("--headless")
        return line


class Qemu(Vmgui):
    """The test card under QEMU, with nothing that vmgui has not."""

    name = "qemu"
    window_arguments = ("-display", "sdl")
    card = None

    def command_line(self, command, arguments, display):
        line = ["qemu-system-x86_64", "-name", "card,debug-threads=on", "-accel", "kvm", "-cpu", "host", "-m", "256"]
        line += ["-nodefaults", "-vga", "std", "-serial", "stdio", "-kernel", self.card, *arguments]
        if display is not None:
            line += ["-vnc", f"127.0.0.1:{display},share=ignore"]
        if "-display" not in arguments and display is None:
            line += ["-display", "none"]
        return line


def threads(card):
    """(switches, seconds of processor time) of the threads that do not run the guest."""
    switches, seconds = 0, 0.0
    for name, count in card.switches().items():
        if name.startswith(VCPU_NAMES):
            continue
        switches += count
        with contextlib.suppress(OSError):
            with open(f"/proc/{card.process.pid}/task/{name.rsplit('-', 1)[1]}/schedstat", encoding="ascii") as file:
                seconds += int(file.read().split()[0]) / 1e9
    return switches, seconds


def memory_kib(card):
    """The memory that the process has for itself, its share of what is shared included."""
    with open(f"/proc/{card.process.pid}/smaps_rollup", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))


def milliseconds(samples):
    """Median and 99th percentile."""
    samples = sorted(sample * 1000 for sample in samples)
    return {"median": round(statistics.median(samples), 2), "p99": round(samples[len(samples) * 99 // 100], 2)}


def paint(number):
    """A colour that is not the one before."""
    return f"{(number * 7919 + 0x10101) & 0xFFFFFF:06x}"


def echo_latency(card, count):
    samples = []
    for _ in range(count):
        start = time.monotonic()
        card.fence()
        samples.append(time.monotonic() - start)
    return milliseconds(samples)


def client_latency(card, client, count):
    """From the command to the update, after rest."""
    samples = []
    for number in range(count):
        client.poll(0.25)
        updates, start = client.updates, time.monotonic()
        card.send(f"rect 500 300 8 16 {paint(number)}")
        while client.updates == updates:
            client.poll(0.0005)
        samples.append(time.monotonic() - start)
        card.expect("filled")
    return milliseconds(samples)


class WindowEye:
    """Reads one pixel of an X window."""

    def __init__(self, desktop, window):
        self.xlib = ctypes.CDLL("libX11.so.6")
        self.xlib.XOpenDisplay.restype = ctypes.c_void_p
        self.xlib.XGetImage.restype = ctypes.c_void_p
        self.xlib.XGetPixel.restype = ctypes.c_ulong
        self.display = ctypes.c_void_p(self.xlib.XOpenDisplay(desktop.display.encode()))
        self.window = ctypes.c_ulong(int(window))

    def pixel(self, x, y):
        image = self.xlib.XGetImage(self.display, self.window, x, y, 1, 1, ctypes.c_ulong(0xFFFFFF), 2)
        if not image:
            return None
        value = self.xlib.XGetPixel(ctypes.c_void_p(image), 0, 0)
        self.xlib.XFree(ctypes.c_void_p(image))
        return value & 0xFFFFFF


def window_latency(card, eye, count):
    samples = []
    for number in range(count):
        time.sleep(0.25)
        wanted, start = paint(number), time.monotonic()
        card.send(f"rect 500 300 8 16 {wanted}")
        while eye.pixel(504, 308) != int(wanted, 16):
            if time.monotonic() - start > 10:
                raise AssertionError(f"the window shows {eye.pixel(504, 308)}, not {wanted}")
            time.sleep(0.0002)
        samples.append(time.monotonic() - start)
        card.expect("filled")
    return milliseconds(samples)


def at_rest(card, client):
    """Wake-ups and processor time a second, and bytes to the client."""
    client.poll(3)
    received, (switches, seconds) = client.bytes_received, threads(card)
    client.poll(REST_SECONDS)
    switches_now, seconds_now = threads(card)
    return {
        "wakeups_per_second": round((switches_now - switches) / REST_SECONDS, 2),
        "cpu_percent": round((seconds_now - seconds) / REST_SECONDS * 100, 3),
        "bytes": client.bytes_received - received,
    }


def frames(card, client, command, limit, pause=0):
    """Gives the guest one change after the other for `limit` seconds: what arrived, and what one frame cost."""
    client.poll(0.5)
    updates, received, seconds, start = client.updates, client.bytes_received, threads(card)[1], time.monotonic()
    number = 0
    while time.monotonic() - start < limit:
        card.position = len(card.lines)
        card.send(command(number))
        number += 1
        while len(card.lines) == card.position:
            client.poll(0.001)
        client.poll(pause)
    client.poll(0.2)
    count, elapsed = client.updates - updates, time.monotonic() - start
    return {
        "changes_per_second": round(number / elapsed, 1),
        "frames_per_second": round(count / elapsed, 1),
        "cpu_ms_per_frame": round((threads(card)[1] - seconds) * 1000 / max(count, 1), 3),
        "bytes_per_change": round((client.bytes_received - received) / max(number, 1)),
    }


def full_screen(number):
    return f"fill {paint(number)}"


def moving_window(number):
    """A window of 300x200 at the next place."""
    return f"rect {100 + number * 8 % 600} {100 + number * 4 % 400} 300 200 {paint(number)}"


def cursor(number):
    return f"rect 400 300 8 16 {'ffffff' if number % 2 else '000000'}"


def terminal_line(number):
    """One of 24 lines of 80 characters; all of them in turn are a page that scrolls."""
    return f"rect 100 {100 + number % 24 * 16} 640 16 {paint(number)}"


@contextlib.contextmanager
def running(kind, *arguments, vnc=False):
    card = kind(*arguments, vnc=vnc)
    try:
        card.ready()
        yield card
    finally:
        card.close()


def measure_client(kind, changes):
    with running(kind, vnc=True) as card:
        result = {"memory_kib_vnc": memory_kib(card)}
        client = card.client()
        client.refresh()
        client.poll(1)
        result["memory_kib_vnc_client"] = memory_kib(card)
        result["at_rest"] = at_rest(card, client)
        result["echo_ms"] = echo_latency(card, changes)
        result["client_ms"] = client_latency(card, client, changes)
        result["blinking_cursor"] = frames(card, client, cursor, 5, pause=0.5)
        result["terminal"] = frames(card, client, terminal_line, 5)
        for width, height in ((1024, 768), (1920, 1080)):
            card.ask(f"mode {width} {height} 32", f"mode {width}x{height}x32")
            client.poll(2)
            result[f"full_screen_{width}x{height}"] = frames(card, client, full_screen, 5)
            result[f"moving_window_{width}x{height}"] = frames(card, client, moving_window, 5)
    with running(kind) as card:
        result["memory_kib_headless"] = memory_kib(card)
    return result


def measure_window(kind, changes):
    with Desktop() as desktop:
        kind.desktop = desktop
        try:
            with running(kind, *kind.window_arguments, vnc=True) as card:
                window = desktop.window("vmgui|guest|card|QEMU")
                client = card.client()
                client.refresh()
                result = {"memory_kib_window_client": memory_kib(card), "at_rest": at_rest(card, client)}
                result["window_ms"] = window_latency(card, WindowEye(desktop, window), changes)
                return result
        finally:
            kind.desktop = None


class Installer:
    """Debian's graphical installer with a window and a VNC server."""

    def __init__(self, name, command, desktop, folder):
        self.process = desktop.start(command, os.path.join(folder, name))

    switches = guest.Guest.switches


def measure_installer(kind, limit):
    """At rest on its first page, in a window and at one client."""
    display = installer_guest.free_display()
    if kind is Vmgui:
        command = installer_guest.vmgui_command(guest.VMGUI, display, ["--sdl"])
    else:
        command = [*installer_guest.qemu_command(display), "-display", "sdl", "-name", "installer,debug-threads=on"]
    with Desktop() as desktop, tempfile.TemporaryDirectory() as folder:
        installer = Installer(kind.name, command, desktop, folder)
        with RfbClient(port=5900 + display, timeout=60) as client:
            seconds = installer_guest.wait_for_language_page(client, installer.process, limit)
            client.poll(10)
            return {"seconds": round(seconds, 1), "at_rest": at_rest(installer, client)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vmgui", required=True)
    parser.add_argument("--card", help="for QEMU; without, vmgui alone is measured")
    parser.add_argument("--changes", type=int, default=200, help="samples of each latency")
    parser.add_argument("--windows", action="store_true", help="also with an SDL window on Xvfb")
    parser.add_argument("--installer", action="store_true", help="only Debian's installer at rest, on a KVM that runs it")
    options = parser.parse_args()
    guest.VMGUI = os.path.abspath(options.vmgui)
    kinds = [Vmgui]
    if options.card:
        Qemu.card = os.path.abspath(options.card)
        kinds.append(Qemu)
    if options.installer:
        for kind in kinds:
            print(json.dumps({"name": kind.name, "installer": measure_installer(kind, 1200)}), flush=True)
        return 0
    for kind in kinds:
        result = {"name": kind.name, **measure_client(kind, options.changes)}
        if options.windows:
            result["window"] = measure_window(kind, options.changes)
        print(json.dumps(result), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
