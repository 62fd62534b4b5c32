#!/usr/bin/env python3
"""The display path of vmgui beside QEMU's: the same guest, the test card, on the same KVM in one run.

Latency from the guest's own write (latency.py) to the surface, to a VNC client and to a window, after rests of 50 to 300 ms, beside
the machine's own noise at that time; frames, processor time and bytes for a full screen that changes, a window that moves, a
terminal that scrolls and a cursor that blinks, with a change each 40 ms or as fast as the guest can; wake-ups, processor time and
bytes at rest; memory by display. The card draws by itself (`flash` and `stream` in assets/testcard/README.md), so no command is
under way meanwhile. Processor time and wake-ups are those of all threads but the vCPUs'; `guest_ms` is the vCPUs' for each change.

Usage: tests/bench/display.py --vmgui build/release/vmgui --card build/release/tests/bench/qemu_card [--changes N] [--windows]
The target `bench` builds the card and what else stands beside it. Prints one JSON object a line. On a busy machine the numbers
mean little, as the noise tells.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "guest"), os.path.join(HERE, "..", "support")]

import counting  # noqa: E402
import guest  # noqa: E402
import installer_guest  # noqa: E402
import latency  # noqa: E402
from desktop import Desktop  # noqa: E402
from rfb import RfbClient  # noqa: E402

REST_SECONDS = 10
VCPU_NAMES = ("vcpu", "CPU ", "kvm")
SIZES = ((1024, 768), (1920, 1080))
PAUSE_US = 40000
PACED = 75  # changes
FLAT_OUT_SECONDS = 3


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


class ProbedVmgui(Vmgui):
    """The same, and a probe (probe.c) notes when the surface changed."""

    folder_of_probe = None

    @property
    def probe(self):
        return os.path.join(self.folder.name, "probe")

    def environment(self):
        return {**super().environment(), "VMGUI_MODULE_DIR": self.folder_of_probe, "VMGUI_PROBE": self.probe}


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


def processor_time(card, vcpus):
    """(switches, seconds of processor time) of the threads that run the guest, or of the others."""
    switches, seconds = 0, 0.0
    for name, count in card.switches().items():
        if name.startswith(VCPU_NAMES) != vcpus:
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


def at_rest(card, client):
    """Wake-ups and processor time a second, and bytes to the client."""
    client.poll(3)
    received, (switches, seconds) = client.bytes_received, processor_time(card, False)
    client.poll(REST_SECONDS)
    switches_now, seconds_now = processor_time(card, False)
    return {
        "wakeups_per_second": round((switches_now - switches) / REST_SECONDS, 2),
        "cpu_percent": round((seconds_now - seconds) / REST_SECONDS * 100, 3),
        "bytes": client.bytes_received - received,
    }


def follow(card, count, look):
    """Calls look until the card has said `streamed`; the seconds that took."""
    start, said = time.monotonic(), len(card.lines)
    while len(card.lines) == said:
        look()
        if time.monotonic() - start > 60 + count * 1.0:
            raise AssertionError(f"the stream does not end; {card.story()}")
    return time.monotonic() - start


def stream(card, kind, count, pause_us, client=None, eye=None):
    """So many changes: what arrived of them, and what they cost. A window's frames are those that the X server told of."""
    if client:
        client.poll(0.5)
    frames, received = (client.updates, client.bytes_received) if client else (eye.events, 0)
    ours, guests = processor_time(card, False)[1], processor_time(card, True)[1]
    card.send(f"stream {kind} {count} {pause_us}")
    card.expect("streaming .*")
    if client:
        elapsed = follow(card, count, lambda: client.poll(0.002))
        client.poll(0.1)
        frames, received = client.updates - frames, client.bytes_received - received
    else:
        elapsed = follow(card, count, lambda: eye.wait(0.05))
        eye.wait(0.1)
        frames = eye.events - frames
    ours, guests = processor_time(card, False)[1] - ours, processor_time(card, True)[1] - guests
    card.expect("streamed .*")
    result = {
        "changes_per_second": round(count / elapsed, 1),
        "frames_per_second": round(frames / elapsed, 1),
        "cpu_ms_per_frame": round(ours * 1000 / max(frames, 1), 3),
        "guest_ms": round(guests * 1000 / count, 3),
    }
    if client:
        result["bytes_per_frame"] = round(received / max(frames, 1))
        result["bytes_per_change"] = round(received / count)
    return result


def flat_out(card, kind, client):
    """As many changes as the guest can make."""
    rate = stream(card, kind, 30, 0, client)["changes_per_second"]
    return stream(card, kind, max(30, int(rate * FLAT_OUT_SECONDS)), 0, client)


def set_mode(card, width, height):
    card.ask(f"mode {width} {height} 32", f"mode {width}x{height}x32")


@contextlib.contextmanager
def running(kind, *arguments, vnc=False):
    card = kind(*arguments, vnc=vnc)
    try:
        card.ready()
        yield card
    finally:
        card.close()


def connected(card, client_class=RfbClient):
    """A client that has the picture."""
    client = client_class(port=card.port)
    card.clients.append(client)
    client.refresh()
    client.poll(1)
    return client


def measure_latency(kind, changes, noise):
    """To a client alone, and with vmgui to its surface."""
    probed = kind is Vmgui
    with running(*((ProbedVmgui, "--sdl") if probed else (kind,)), vnc=True) as card:
        eyes = {"client": latency.ClientEye(connected(card))}
        if probed:
            eyes["surface"] = latency.ProbeEye(card.probe)
        return latency.flash(card, eyes, changes, noise)


def measure_client(kind):
    """A client with raw pixels: it shows what the display path costs and not what compression does."""
    with running(kind, vnc=True) as card:
        result = {"memory_kib_vnc": memory_kib(card)}
        client = connected(card)
        result["memory_kib_vnc_client"] = memory_kib(card)
        result["at_rest"] = at_rest(card, client)
        for width, height in SIZES:
            set_mode(card, width, height)
            client.poll(2)
            for what in ("full", "window"):
                name = f"{what}_{width}x{height}"
                result[name] = stream(card, what, PACED, PAUSE_US, client)
                result[name + "_flat_out"] = flat_out(card, what, client)
        return result


def measure_bytes(kind):
    """For each kind of change, by encoding."""
    result = {}
    for name, client_class in (("raw", RfbClient), ("tight", counting.TightClient), ("zrle", counting.ZrleClient)):
        with running(kind, vnc=True) as card:
            client = connected(card, client_class)
            for what in ("cursor", "terminal", "window", "full"):
                found = stream(card, what, PACED, PAUSE_US, client)
                result[f"{what}_{name}"] = {key: found[key] for key in ("frames_per_second", "bytes_per_frame", "bytes_per_change")}
    return result


def measure_memory(kind):
    """Of displays that nobody looks at."""
    result = {}
    with running(kind) as card:
        result["memory_kib_headless"] = memory_kib(card)
    if kind is Vmgui:
        with running(kind, "--headless", "--screenshot", "screen.png") as card:
            result["memory_kib_png"] = memory_kib(card)
    return result


def measure_window(kind, changes, noise):
    """A window, beside a client; then its frames with the client gone."""
    with Desktop(2000, 1200) as desktop:
        kind.desktop = desktop
        try:
            with running(kind, *kind.window_arguments, vnc=True) as card:
                window = desktop.window("vmgui|guest|card|QEMU")
                result = {"memory_kib": memory_kib(card)}
                client = connected(card)
                result["memory_kib_client"] = memory_kib(card)
                result["at_rest"] = at_rest(card, client)
                eye = latency.WindowEye(desktop.display, window)
                eyes = {"window": eye, "client": latency.ClientEye(client)}
                result["latency"] = latency.flash(card, eyes, changes, noise)
                client.close()
                for width, height in SIZES:
                    set_mode(card, width, height)
                    eye.wait(2)
                    for what in ("full", "window"):
                        result[f"{what}_{width}x{height}"] = stream(card, what, PACED, PAUSE_US, eye=eye)
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
    parser.add_argument("--changes", type=int, default=300, help="samples of each latency, at most 2048")
    parser.add_argument("--windows", action="store_true", help="also with an SDL window on Xvfb")
    parser.add_argument("--installer", action="store_true", help="only Debian's installer at rest, on a KVM that runs it")
    options = parser.parse_args()
    guest.VMGUI = os.path.abspath(options.vmgui)
    bench = os.path.join(os.path.dirname(guest.VMGUI), "tests", "bench")
    noise = os.path.join(bench, "noise")
    ProbedVmgui.folder_of_probe = os.path.join(bench, "probe")
    kinds = [Vmgui]
    if options.card:
        Qemu.card = os.path.abspath(options.card)
        kinds.append(Qemu)
    for kind in kinds:
        if options.installer:
            print(json.dumps({"name": kind.name, "installer": measure_installer(kind, 1200)}), flush=True)
            continue
        parts = {
            "latency": lambda kind=kind: measure_latency(kind, options.changes, noise),
            "client": lambda kind=kind: measure_client(kind),
            "bytes": lambda kind=kind: measure_bytes(kind),
            "memory": lambda kind=kind: measure_memory(kind),
        }
        if options.windows:
            parts["window"] = lambda kind=kind: measure_window(kind, options.changes, noise)
        for name, measure in parts.items():
            print(json.dumps({"name": kind.name, name: measure()}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
