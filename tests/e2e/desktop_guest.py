#!/usr/bin/env python3
"""A small Debian desktop under vmgui: what its drivers show is what a VNC client sees, pixel for pixel, and what hands do at vmgui's
displays is what the guest's kernel and its X server report.

The guest (tests/support/desktop-guest) goes through vesafb, bochs-drm's console, KMS and X on each of them in one boot; vesafb's
other depths take a boot each. Runs wherever /dev/kvm runs real kernels: tests/e2e/desktop puts it there.
"""

import argparse
import concurrent.futures
import contextlib
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

from desktop import Desktop, DesktopError
from desktop_guest import DesktopGuest, GuestError
from desktop_hands import LAYOUTS, Hands
from desktop_pictures import DEPTHS, Pictures
from report import FAILED, check, say
from installer_guest import free_display
from rfb import RfbClient, RfbError

# Two pictures of 3840x2160 and what bochs-drm keeps beside them.
VRAM = "128"
PARTS = ("pictures", "depths", "hands", "layouts")
# A boot each of its own for the layouts that no other boot has takes long: by hand.
USUAL = ("pictures", "depths", "hands")
KEYMAPS = {"desktop": "br", "vesafb-8": "fr", "vesafb-15": "es", "vesafb-16": "jp", "vesafb-24": "de"}


@contextlib.contextmanager
def guest_on(options, name, displays, keymap=None, **more):
    """A guest that has come up, and a VNC client of it; it powers off at the end."""
    # Two guests at a time do not meet.
    order = ["desktop", "hands", *(depth for depth, _ in DEPTHS)]
    number = free_display(20 + (10 * order.index(name) if name in order else 0))
    if options.qemu:
        # Its VNC server shows at most 2560x2048, so its modes above that fail.
        displays = ["-vnc", f"127.0.0.1:{number},share=ignore", "-global", f"VGA.vgamem_mb={VRAM}"]
    else:
        displays = [f"--vnc=127.0.0.1:{number}", "--vram", VRAM, "--keymap", keymap or KEYMAPS.get(name, "us"), *displays]
    guest = DesktopGuest(options.vmgui, options.system, options.artefacts, name=name, displays=displays, qemu=options.qemu, **more)
    say("start: " + " ".join(guest.command))
    try:
        client = RfbClient(port=5900 + number, timeout=180)
        client.port = 5900 + number
        guest.ready(options.boot_seconds)
        say(f"{name}: up after {time.monotonic() - guest.started:.1f} s")
        yield guest, client
        client.close()
        status = guest.power_off()
        check(status == 0, f"{name}: power off, status {status}", guest.errors()[-400:])
        check(not guest.complaints(), f"{name}: no complaint on stderr", guest.complaints()[-400:])
    except BaseException:
        guest.dump()
        say(f"{name}: on stderr: {guest.errors()[-2000:]!r}")
        raise
    finally:
        guest.close()


def pictures(options):
    """All ways to show something on one boot."""
    given = {"displays": ["--resolution", "1024x768"], "parameters": "vga=0x317" if options.qemu else ""}
    with guest_on(options, "desktop", **given) as (guest, client):
        Pictures(guest, client, options.artefacts).all(options.all_sizes)
        symbols(options, guest, client)


def depth_of(name, number):
    """A part that looks at one of vesafb's depths."""

    def part(options):
        given = {"displays": ["--vidmode", hex(number)], "parameters": f"vga={number + 0x200:#x}" if options.qemu else ""}
        with guest_on(options, name, memory="192M", **given) as (guest, client):
            Pictures(guest, client, options.artefacts).depth(name)
            symbols(options, guest, client)

    return part


def run(options):
    """Two guests at a time: each waits as often as it works."""
    parts = [("pictures", pictures), ("hands", hands), *(("depths", depth_of(*depth)) for depth in DEPTHS)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(part, options) for name, part in parts if name in options.only]
        for future in concurrent.futures.as_completed(futures):
            future.result()
    for layout in LAYOUTS if "layouts" in options.only else ():
        with guest_on(options, f"layout-{layout}", ["--resolution", "640x480"], keymap=layout) as (guest, client):
            guest.load_input()
            guest.start_x("fbdev24")
            symbols(options, guest, client, layout)


def symbols(options, guest, client, layout=None):
    """What a client that knows symbols only types at a guest with vmgui's --keymap."""
    Hands(guest, client.port, None, options.artefacts).layout_by_symbol(layout or KEYMAPS[guest.name])


def hands(options):
    """Every key, target, button and light."""
    with contextlib.ExitStack() as stack:
        desktop = None if options.qemu or options.without_sdl else stack.enter_context(Desktop(1300, 980))
        displays = ["--resolution", "640x480"] + (["--sdl"] if desktop else [])
        parameters = "vga=0x314" if options.qemu else ""
        guest, client = stack.enter_context(guest_on(options, "hands", displays, parameters=parameters, desktop=desktop))
        port = client.port
        client.close()
        guest.load_input()
        guest.shell("modprobe bochs", 120)
        Hands(guest, port, desktop, options.artefacts).all()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vmgui", help="the program under test")
    parser.add_argument("--qemu", metavar="ACCEL", help="try the test itself with QEMU (tcg or kvm)")
    parser.add_argument("--system", required=True, help="the folder that tests/support/desktop-guest printed")
    parser.add_argument("--artefacts", default=".", help="folder for pictures and logs")
    parser.add_argument("--without-sdl", action="store_true")
    parser.add_argument("--all-sizes", action="store_true", help="every size that the monitor offers")
    parser.add_argument("--only", nargs="+", default=USUAL, choices=PARTS, help="parts of the test")
    parser.add_argument("--boot-seconds", type=int, default=600, help="give up when the system is not up after that long")
    options = parser.parse_args()
    if bool(options.vmgui) == bool(options.qemu):
        parser.error("one of --vmgui and --qemu is needed")
    os.makedirs(options.artefacts, exist_ok=True)
    try:
        run(options)
    except (GuestError, RfbError, DesktopError) as error:
        check(False, str(error))
    say(f"{len(FAILED)} checks failed" if FAILED else "all seen")
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
