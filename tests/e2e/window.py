#!/usr/bin/env python3
"""The SDL window and real VNC viewers on an X desktop, with a test picture instead of a guest (display_demo).

What is on the screen is compared to the pixel; keys, clicks and wheel turns are those of an X user and must reach the "guest"
as they were made. Needs Xvfb, xdotool and xwd; exits with 77 without them. Viewers that are not installed are left out, and
said to be.
"""

import argparse
import os
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import sdl_window
from demo import HEIGHT, WIDTH, Demo, check, expected_picture, press, say, wait
from desktop import Desktop

# X keycodes (evdev code + 8) of keys that xdotool has no place for in Xvfb's layout. (SDL does not know F21 to F24 on X11.)
KEYCODES = {"F13": 191, "F20": 198, "102nd": 94, "KP7": 79, "KPEnter": 104, "Pause": 127, "Print": 107, "Menu": 135}


def check_keys(name, desktop, demo, by_symbol):
    """by_symbol: the display sends symbols (VNC) and not keys."""
    desktop.xdotool("key", "a", "key", "Return")
    demo.expect(press(30) + press(28), f"{name}: plain keys")
    desktop.xdotool("type", "--delay", "30", "A!/")
    demo.expect(["+42", "+30", "-42", "-30", "+42", "+2", "-42", "-2"] + press(53), f"{name}: typed text with Shift")
    for key, code in (("F13", 183), ("F20", 190), ("KPEnter", 96), ("Pause", 119), ("Print", 99), ("Menu", 127)):
        if by_symbol and key in ("F13", "F20"):
            continue  # Xvfb's layout gives those keys other symbols
        desktop.xdotool("key", KEYCODES[key])
        demo.expect(press(code), f"{name}: {key}")
    desktop.xdotool("keydown", "ctrl", "keydown", "alt", "key", "Delete", "keyup", "alt", "keyup", "ctrl")
    demo.expect(["+29", "+56", *press(111), "-56", "-29"], f"{name}: Ctrl-Alt-Del")
    desktop.xdotool("keydown", "b", "sleep", 1.5, "keyup", "b")
    demo.expect(press(48), f"{name}: a key that is held does not repeat")


def check_window(desktop, program, artefacts, expected):
    """The SDL window."""
    whole = sdl_window.Window(desktop, program, artefacts, "demo")
    demo = whole.demo
    window = desktop.window("^demo - running - 800x600 - Ctrl-Alt-G releases the mouse$")
    whole.shows(expected, "the picture is exact")
    check_keys("sdl", desktop, demo, False)

    desktop.xdotool("mousemove", "--window", window, 100, 100, "sleep", 0.3)
    whole.take_mouse()
    desktop.xdotool("mousemove_relative", "--", 10, 5, "sleep", 0.2)
    desktop.xdotool("mousemove_relative", "--", -3, -2, "sleep", 0.2, "click", 3, "click", 4, "click", 5)
    demo.expect(
        ["rel(10,5)", "rel(-3,-2)", "b+273", "b-273", "wheel(120,0)", "wheel(-120,0)"], "sdl: relative mouse, button, wheel"
    )
    desktop.xdotool("key", "ctrl+alt+g", "sleep", 0.3)
    desktop.xdotool("mousemove_relative", "--", 10, 5, "sleep", 0.3)
    demo.expect(["+29", "+56", "-29", "-56"], "sdl: Ctrl-Alt-G lets the mouse go and leaves no key down")
    desktop.xdotool("key", "ctrl+alt+p", "sleep", 0.3)
    demo.expect(["+29", "+56", "pause", "-29", "-56"], "sdl: Ctrl-Alt-P pauses")
    desktop.window("^demo - paused - ")
    desktop.xdotool("key", "ctrl+alt+p", "key", "ctrl+alt+s", "sleep", 0.3)
    demo.expect(
        ["+29", "+56", "pause", "-29", "-56", "+29", "+56", "screenshot", "-29", "-56"], "sdl: and goes on; a screenshot"
    )

    # Twice the size, with black beside it.
    desktop.xdotool("windowmove", window, 0, 0, "windowsize", "--sync", window, 1200, 450)

    def is_fitted():
        image = desktop.picture(window)
        return (
            (image.width, image.height) == (1200, 450)
            and image.pixel(10, 200) == (0, 0, 0)
            and image.pixel(1190, 200) == (0, 0, 0)
            and image.pixel(330, 100) == (255, 0, 0)
            and image.pixel(870, 100) == (255, 0, 255)
        )

    wait(is_fitted, "the picture is fitted into the window, black beside it")
    check(True, "sdl: another size of the window")

    demo.check_rest("sdl")

    desktop.ask_to_close(window)
    check(demo.process.wait(60) == 0, "sdl: it ends well")
    check(demo.take()[:1] == ["powerdown"], "sdl: closing the window asked for power down")


def check_viewer(desktop, program, artefacts, expected, viewer, options):
    """A VNC viewer."""
    path = os.path.join(artefacts, f"{viewer}.sock")
    demo = Demo(desktop, program, os.path.join(artefacts, f"{viewer}-server.log"), f"--vnc=unix:{path}", "--absolute")
    command = [option.replace("SOCKET", path) for option in options]
    desktop.start([viewer, *command], os.path.join(artefacts, f"{viewer}.log"))
    window = desktop.window("demo")
    wait(lambda: (size := desktop.picture(window)).width >= WIDTH and size.height >= HEIGHT, f"{viewer}: its window's size")

    def shows_it():
        image = desktop.picture(window)
        return image.crop(0, 0, WIDTH, HEIGHT).data == expected.data

    try:
        wait(shows_it, "exact picture")
    except AssertionError:
        desktop.picture(window).save(os.path.join(artefacts, f"{viewer}.png"))
        raise
    check(True, f"{viewer}: the picture is exact")
    desktop.xdotool("windowfocus", "--sync", window, "mousemove", "--window", window, 300, 200)
    demo.until("abs(300,200,800x600)")
    check_keys(viewer, desktop, demo, True)
    desktop.xdotool("mousemove", "--window", window, 310, 220, "sleep", 0.3, "click", 1, "click", 4, "sleep", 0.3)
    demo.expect(["abs(310,220,800x600)", "b+272", "b-272", "wheel(120,0)"], f"{viewer}: mouse, button, wheel")
    demo.process.send_signal(signal.SIGTERM)
    check(demo.process.wait(60) == 0, f"{viewer}: the server ends well")


def check_server_loss(program, artefacts):
    """The X server goes away: the guest stays."""
    desktop = Desktop(1000, 800)
    demo = Demo(desktop, program, os.path.join(artefacts, "loss.log"), "--sdl", "--move=60")
    desktop.window("^demo - ")
    desktop.kill_server()
    wait(lambda: "the X server is gone" in demo.text(), "the window notices")
    time.sleep(0.5)
    check(demo.process.poll() is None, "sdl: the guest survives its X server")
    demo.process.send_signal(signal.SIGTERM)
    check(demo.process.wait(60) == 0, "sdl: and ends well")
    desktop.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--demo", required=True)
    parser.add_argument("--artefacts", required=True)
    arguments = parser.parse_args()
    missing = [tool for tool in ("Xvfb", "xdotool", "xwd") if not shutil.which(tool)]
    if missing:
        say(f"skipped: {', '.join(missing)} not installed")
        return 77
    os.makedirs(arguments.artefacts, exist_ok=True)
    expected = expected_picture()
    # Lossless, so that the picture can be compared.
    viewers = {"xtigervncviewer": ["-AutoSelect=0", "-PreferredEncoding=ZRLE", "-NoJPEG=1", "-RemoteResize=0", "SOCKET"]}
    with Desktop() as desktop:
        check_window(desktop, arguments.demo, arguments.artefacts, expected)
        for viewer, options in viewers.items():
            if shutil.which(viewer):
                check_viewer(desktop, arguments.demo, arguments.artefacts, expected, viewer, options)
            else:
                say(f"left out: {viewer} is not installed")
    with Desktop(1680, 1260) as desktop:
        sdl_window.check_all(desktop, arguments.demo, arguments.artefacts)
    check_server_loss(arguments.demo, arguments.artefacts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
