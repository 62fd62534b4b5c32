#!/usr/bin/env python3
"""Debian's graphical installer, from its stock kernel to a click on Continue, under vmgui with all its displays at once.

Seen and used three ways: by a bare VNC connection, by TigerVNC's viewer on an X desktop, and through the SDL window on another.
Each of them sees the same picture, moves the selection with the keyboard and the pointer with the mouse; at the end a click on
Continue leads to the next page. Runs wherever /dev/kvm runs real kernels: tests/e2e/in-lab puts it there.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import installer_guest
import installer_screen as screen
from desktop import Desktop
from hands import NotSeen, VncHand, WindowHand
from rfb import RfbClient

START = time.monotonic()


def say(text):
    print(f"{time.monotonic() - START:6.1f} s  {text}", flush=True)


def check(condition, text):
    """One thing that the test is about."""
    if not condition:
        raise AssertionError(text)
    say(f"ok: {text}")


def try_keyboard(hand):
    """Arrow keys move the selection down and up again."""
    first = screen.selection(hand.wait(screen.is_language_page, "the language page"))
    hand.key("Down")
    moved = hand.wait(
        lambda image: (screen.selection(image) or first)[0] > first[0] + 3, "the selection moves down after the Down key"
    )
    hand.key("Up")
    hand.wait(lambda image: screen.same_row(screen.selection(image), first), "the selection is back after the Up key")
    check(True, f"{hand.name}: arrow keys move the selection (from row {first[0]} to {screen.selection(moved)[0]})")


def try_mouse(hand):
    """A click selects the row under the pointer; a key brings the old selection back."""
    first = screen.selection(hand.settle())
    x, y = 400, first[0] + 3 * first[1]
    hand.steer(screen.pointer, x, y)
    hand.click()
    chosen = screen.selection(
        hand.wait(
            lambda image: screen.selection(image) and not screen.same_row(screen.selection(image), first),
            "the clicked row is selected",
        )
    )
    check(
        chosen[0] - 8 <= y <= chosen[0] + chosen[1] + 8,
        f"{hand.name}: a click at row {y} selects what is under the pointer (rows {chosen[0]} to {sum(chosen)})",
    )
    while screen.selection(hand.settle())[0] > first[0] + 3:
        hand.key("Up")
    check(screen.same_row(screen.selection(hand.settle()), first), f"{hand.name}: and keys bring the selection back")


def same_picture(hand, reference, artefacts):
    """This hand's window shows exactly what the bare connection got."""
    expected = reference.settle()
    try:
        hand.wait(lambda image: image == expected, f"the guest's {expected.width}x{expected.height} pixel for pixel")
    finally:
        hand.image().save(os.path.join(artefacts, f"language-{hand.name}.png"))
    check(True, f"{hand.name}: the window shows the guest's {expected.width}x{expected.height} pixel for pixel")


def run(options, stack):
    number = installer_guest.free_display()
    artefacts = options.artefacts

    sdl_desktop = None
    if not options.without_sdl:
        sdl_desktop = stack.enter_context(Desktop())
    log = os.path.join(artefacts, "guest.log")
    if options.qemu:
        command = installer_guest.qemu_command(number, options.qemu)
    else:
        command = installer_guest.vmgui_command(options.vmgui, number, ["--sdl"] if sdl_desktop else [])
    say("start: " + " ".join(command))
    started = time.monotonic()
    if sdl_desktop:
        guest = sdl_desktop.start(command, log)
    else:
        with open(log, "wb") as out:
            guest = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        stack.callback(guest.kill)

    client = stack.enter_context(RfbClient(port=5900 + number, timeout=120))
    bare = VncHand(client)
    installer_guest.wait_for_language_page(client, guest, options.boot_seconds)
    check(True, f"the language page stands {time.monotonic() - started:.1f} s after the start")
    bare.settle().save(os.path.join(artefacts, "language-vnc.png"))

    if not options.qemu:
        for _ in range(10):  # until the guest has drawn the last of it
            client.poll(2)
            before = client.bytes_received
            client.poll(5)
            if client.bytes_received == before:
                break
        check(client.bytes_received == before, "a screen that stands still costs a VNC client no bytes")

    try_keyboard(bare)
    try_mouse(bare)

    viewer_desktop = stack.enter_context(Desktop())
    viewer_desktop.start(
        ["xtigervncviewer", "-Shared", "-AutoSelect=0", "-FullColor=1", "-PreferredEncoding=ZRLE", "-RemoteResize=0",
         "-PointerEventInterval=0", "-MenuKey=", "-AlertOnFatalError=0", "-ReconnectOnError=0", f"127.0.0.1::{5900 + number}"],
        os.path.join(artefacts, "viewer.log"),
    )  # fmt: skip
    viewer = WindowHand("tigervnc", viewer_desktop, viewer_desktop.window("TigerVNC"), relative=False)
    viewer.wait(screen.is_language_page, "the language page in TigerVNC's window")
    hands = [bare, viewer]
    if sdl_desktop:
        hands.append(WindowHand("sdl", sdl_desktop, sdl_desktop.window("guest-|vmgui"), relative=False))
    for hand in hands[1:]:
        same_picture(hand, bare, artefacts)
        try_keyboard(hand)
        try_mouse(hand)

    last = hands[-1]
    last.steer(screen.pointer, *screen.continue_button(last.settle()))
    last.click()
    last.wait(screen.is_other_page, "the page after the language page")
    for hand in hands:
        image = hand.wait(screen.is_other_page, "the page after the language page")
        image.save(os.path.join(artefacts, f"next-page-{hand.name}.png"))
    check(True, f"{last.name}: a click on Continue leads to the next page")

    # The installer does not listen to the power button, so the first signal only asks and the second one ends.
    guest.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        guest.wait(3)
    if guest.poll() is None:
        guest.send_signal(signal.SIGTERM)
        guest.wait(60)
    check(guest.returncode == 0 or options.qemu, f"the second SIGTERM ends vmgui with status {guest.returncode}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vmgui", help="the program under test")
    parser.add_argument("--qemu", metavar="ACCEL", help="try the test itself with QEMU (tcg or kvm)")
    parser.add_argument("--artefacts", default=".", help="folder for pictures and logs")
    parser.add_argument("--without-sdl", action="store_true")
    parser.add_argument("--boot-seconds", type=int, default=900, help="give up after that long without the language page")
    options = parser.parse_args()
    if bool(options.vmgui) == bool(options.qemu):
        parser.error("one of --vmgui and --qemu is needed")
    if options.qemu:
        options.without_sdl = True
    missing = installer_guest.missing_images()
    if missing:
        print(f"skipped: {missing}")
        return 77
    os.makedirs(options.artefacts, exist_ok=True)
    try:
        with contextlib.ExitStack() as stack:
            run(options, stack)
    except Exception as error:  # pylint: disable=broad-except
        say(f"FAILED: {error}")
        if isinstance(error, NotSeen):
            error.image.save(os.path.join(options.artefacts, "failed.png"))
            say("what stood there instead is in failed.png")
        with contextlib.suppress(OSError):
            with open(os.path.join(options.artefacts, "guest.log"), encoding="utf-8", errors="replace") as log:
                print("".join("guest: " + line for line in log.readlines()[-20:]))
        if not isinstance(error, AssertionError):
            raise
        return 1
    say("all seen")
    return 0


if __name__ == "__main__":
    sys.exit(main())
