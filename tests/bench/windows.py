#!/usr/bin/env python3
"""vmgui's windows beside QEMU's, on one X server in one run: from the start to the first picture, and what a frame costs.

The guest is the test card. For the frames it pans over rows of which no two are alike, 60 times a second: full-screen changes
that cost the guest nothing. The frames are those that the X server tells of, which loses none however busy the
machine is; processor time is that of all the process's threads but the vCPUs', and beside it the X server's own. `paint` is what the
card itself takes to draw after its start, which is part of the first picture and the same for all.

Usage: tests/bench/windows.py --vmgui build/release/vmgui --card build/release/tests/bench/qemu_card [--runs N] [--only NAME]
The target `bench` builds the card; QEMU's windows need qemu-system-gui. Prints one JSON object a line. On a busy machine the
numbers mean little.
"""

import argparse
import ctypes
import json
import os
import statistics
import sys
import time

import display
from display import Qemu, Vmgui, guest, memory_kib, processor_time, running

SECONDS = 5
RATE = 60
RED, MARK = 0xFF0000, 0x123456


class RootEye:
    """Looks at the X server's whole screen without starting a program for it."""

    def __init__(self, desktop, width, height):
        self.width, self.height = width, height
        self.xlib = ctypes.CDLL("libX11.so.6")
        self.xlib.XOpenDisplay.restype = ctypes.c_void_p
        self.xlib.XDefaultRootWindow.restype = ctypes.c_ulong
        self.xlib.XGetImage.restype = ctypes.c_void_p
        self.xlib.XDestroyImage.argtypes = [ctypes.c_void_p]
        self.display = ctypes.c_void_p(self.xlib.XOpenDisplay(desktop.display.encode()))
        self.root = ctypes.c_ulong(self.xlib.XDefaultRootWindow(self.display))

    def pixels(self, x, y, width):
        """`width` pixels of a row, as 0xRRGGBB."""
        image = self.xlib.XGetImage(self.display, self.root, x, y, width, 1, ctypes.c_ulong(0xFFFFFF), 2)
        # struct _XImage: width, height, xoffset, format, then the data.
        data = ctypes.cast(image + 16, ctypes.POINTER(ctypes.c_void_p))[0]
        words = (ctypes.c_uint32 * width).from_buffer_copy(ctypes.string_at(data, width * 4))
        self.xlib.XDestroyImage(image)
        return [word & 0xFFFFFF for word in words]

    def find(self, colour):
        """A place well inside a run of at least 16 pixels of that colour, or None."""
        for y in range(10, self.height, 29):
            row = self.pixels(0, y, self.width)
            if row.count(colour) < 16:
                continue
            x = row.index(colour) + 8
            if row[x] == colour:
                return x, y
        return None

    def close(self):
        self.xlib.XCloseDisplay(self.display)


class DamageEvent(ctypes.Structure):
    """XDamageNotifyEvent."""

    _fields_ = [
        ("type", ctypes.c_int), ("serial", ctypes.c_ulong), ("send_event", ctypes.c_int), ("display", ctypes.c_void_p),
        ("drawable", ctypes.c_ulong), ("damage", ctypes.c_ulong), ("level", ctypes.c_int), ("more", ctypes.c_int),
        ("timestamp", ctypes.c_ulong), ("x", ctypes.c_short), ("y", ctypes.c_short), ("width", ctypes.c_ushort),
        ("height", ctypes.c_ushort), ("rest", ctypes.c_byte * 192),
    ]  # fmt: skip


class Counter(RootEye):
    """Counts what is drawn on the X server's screen (the DAMAGE extension)."""

    def __init__(self, desktop):
        super().__init__(desktop, 0, 0)
        damage = ctypes.CDLL("libXdamage.so.1")
        damage.XDamageCreate.restype = ctypes.c_ulong
        first, error = ctypes.c_int(), ctypes.c_int()
        damage.XDamageQueryExtension(self.display, ctypes.byref(first), ctypes.byref(error))
        damage.XDamageCreate(self.display, self.root, 0)  # each by itself
        self.xlib.XSync(self.display, 0)

    def drawn(self, least):
        """How often so many pixels were drawn in one go since the last question."""
        event, count = DamageEvent(), 0
        while self.xlib.XPending(self.display):
            self.xlib.XNextEvent(self.display, ctypes.byref(event))
            count += event.width * event.height >= least
        return count


class VmguiGtk(Vmgui):
    window_arguments = ("--gtk",)


class QemuGtk(Qemu):
    window_arguments = ("-display", "gtk")


WINDOWS = {"vmgui sdl": Vmgui, "qemu sdl": Qemu, "vmgui gtk": VmguiGtk, "qemu gtk": QemuGtk}


def wait_for(eye, colour, what, limit=60):
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        place = eye.find(colour)
        if place:
            return place
        time.sleep(0.001)
    raise AssertionError(f"not within {limit} s: {what}")


def first_picture(kind, eye):
    """Milliseconds from the start of the program until the card is on the screen."""
    with running(kind, *kind.window_arguments) as card:
        wait_for(eye, RED, "the card in the window")
        return (time.monotonic() - card.started) * 1000


def process_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def frame_cost(card, eye, desktop, pixels):
    card.ask(f"fill {MARK:06x}", "filled")
    wait_for(eye, MARK, "the mark in the window")
    card.ask(f"pan {RATE}", f"pan {RATE}")
    time.sleep(1)
    server_pid = desktop._server.pid  # pylint: disable=protected-access
    counter = Counter(desktop)
    seconds, server, start = processor_time(card, False)[1], process_seconds(server_pid), time.monotonic()
    time.sleep(SECONDS)
    seconds, server = processor_time(card, False)[1] - seconds, process_seconds(server_pid) - server
    elapsed = time.monotonic() - start
    frames = max(counter.drawn(pixels // 2), 1)
    counter.close()
    card.ask("pan 0", "pan 0")
    return {
        "shown_per_second": round(frames / elapsed, 1),
        "cpu_ms_per_frame": round(seconds * 1000 / frames, 3),
        "x_server_ms_per_frame": round(server * 1000 / frames, 3),
    }


def measure(kind, desktop, size, runs):
    eye = RootEye(desktop, *size)
    try:
        pictures = [first_picture(kind, eye) for _ in range(runs)]
        result = {"first_picture_ms": round(statistics.median(pictures), 1)}
        with running(kind, *kind.window_arguments) as card:
            wait_for(eye, RED, "the card in the window")
            result["memory_kib"] = memory_kib(card)
            for width, height in ((1024, 768), (1920, 1080)):
                card.ask(f"mode {width} {height} 32", f"mode {width}x{height}x32")
                time.sleep(1)
                result[f"{width}x{height}"] = frame_cost(card, eye, desktop, width * height)
        return result
    finally:
        eye.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vmgui", required=True)
    parser.add_argument("--card", help="for QEMU; without, vmgui alone is measured")
    parser.add_argument("--runs", type=int, default=7, help="starts of each")
    parser.add_argument("--only", help="one of: " + ", ".join(WINDOWS))
    options = parser.parse_args()
    guest.VMGUI = os.path.abspath(options.vmgui)
    if options.card:
        Qemu.card = os.path.abspath(options.card)
    size = 2200, 1300
    for name, kind in WINDOWS.items():
        if (issubclass(kind, Qemu) and not options.card) or options.only not in (None, name):
            continue
        with display.Desktop(*size) as desktop:
            kind.desktop = desktop
            print(json.dumps({"name": name, **measure(kind, desktop, size, options.runs)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
