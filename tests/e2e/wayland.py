#!/usr/bin/env python3
"""The SDL window on Wayland (sway without a monitor), with a test picture instead of a guest (display_demo).

What is on the screen is compared to the pixel, also on an output with a scale factor of two; every key, button and wheel turn
must reach the "guest" by its own code; the desktop's own shortcuts are the desktop's, and the guest's while it has the keyboard.
Needs sway and grim; exits with 77 without them.
"""

import argparse
import os
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

from demo import HEIGHT, WIDTH, Demo, check, check_every_key, compare, expected_picture, is_drawn, press, say, take_mouse, wait
from wayland import EXTRA, LEFT, MIDDLE, RIGHT, SIDE, WaylandDesktop

CTRL, ALT, SUPER, TAB, PRINT = 29, 56, 125, 15, 99
KEY = {"f": 33, "g": 34, "h": 35, "p": 25, "s": 31, "d": 32, "=": 13, "-": 12, "0": 11, "F1": 59}
ALL_KEYS = [code for code in range(1, 248) if code != 84]  # 84 is no key of Linux's


class Window:
    """The demo's window on a desktop."""

    def __init__(self, desktop, program, artefacts, name, *options):
        self.desktop = desktop
        self.hand = desktop.hand
        self._artefacts = artefacts
        self.name = name
        self.demo = Demo(desktop, program, os.path.join(artefacts, f"wayland-{name}.log"), "--sdl", f"--name={name}", *options)
        wait(lambda: is_drawn(desktop.picture(self.rect())), f"{name}: the window shows something")

    def rect(self):
        """Where it is, in units of the output."""
        return self.desktop.window(f"{self.name} - ")["rect"]

    def title(self):
        return self.desktop.window(f"{self.name} - ")["name"]

    def place(self, x, y):
        """The pointer to a place in the window."""
        rect = self.rect()
        self.hand.move(rect["x"] + x, rect["y"] + y)

    def hotkey(self, name):
        self.demo.hotkey(lambda: self.hand.press(CTRL, ALT, KEY[name]))

    def shows(self, image, what):
        """Waits until the window shows exactly this."""
        compare(lambda: self.desktop.picture(self.rect()), image, what, os.path.join(self._artefacts, f"wayland-{self.name}.png"))

    def keep(self, what):
        """A picture for people to look at."""
        self.desktop.picture().save(os.path.join(self._artefacts, f"wayland-{what}.png"))

    def close(self):
        """As by its cross."""
        self.desktop.message(f'[title="{self.name} - .*"]', "kill")

    def end(self):
        self.demo.process.send_signal(signal.SIGTERM)
        check(self.demo.process.wait(60) == 0, f"{self.name}: it ends well")


def check_input(window, keys=tuple(ALL_KEYS)):
    """Keys, buttons, wheels."""
    demo, hand = window.demo, window.hand
    check_every_key(demo, hand, keys)
    for x, y in ((0, 0), (799, 599), (123, 456)):
        window.place(x, y)
        demo.expect([f"abs({x},{y},800x600)"], f"the pointer at {x},{y}")
    for button in (LEFT, RIGHT, MIDDLE, SIDE, EXTRA):
        hand.click(button)
    hand.wheel(0, -1)
    hand.wheel(1, 1)
    where = "abs(123,456,800x600)"
    expected = []
    for button in (LEFT, RIGHT, MIDDLE, SIDE, EXTRA):
        expected += [f"b+{button}", f"b-{button}"]
    demo.expect(expected + ["wheel(120,0)", "wheel(0,120)"], "five buttons and both wheels", extra=(where,))


def check_grab(window):
    """Whose keys Super-D and Alt-Tab are; the mouse of a guest with a relative one."""
    demo, hand, artefacts = window.demo, window.hand, window.desktop.mark
    hand.press(SUPER, KEY["d"])
    wait(lambda: os.path.exists(artefacts), "the desktop's shortcut works")
    os.remove(artefacts)
    demo.until("-125")
    window.hotkey("g")
    wait(lambda: "releases the keyboard" in window.title(), "the title tells of the grab")
    demo.take()
    hand.press(SUPER, KEY["d"])
    hand.press(ALT, TAB)
    hand.press(PRINT)
    demo.expect(
        ["+125", "+32", "-32", "-125", "+56", "+15", "-15", "-56", *press(99)], "Super-D, Alt-Tab, Print are the guest's"
    )
    check(not os.path.exists(artefacts), "and not the desktop's")
    window.hotkey("g")
    wait(lambda: "grabs the keyboard" in window.title(), "the release key releases")
    hand.press(SUPER, KEY["d"])
    wait(lambda: os.path.exists(artefacts), "the shortcut is the desktop's again")
    os.remove(artefacts)
    demo.until("-125")


def check_relative(window):
    """Relative motion, and that it ends."""
    demo, hand = window.demo, window.hand
    wait(lambda: (window.rect()["width"], window.rect()["height"]) == (WIDTH, HEIGHT), "the window's size")
    window.place(300, 200)
    take_mouse(demo, hand.click, hand.nudge)
    hand.nudge(10, 5)
    time.sleep(0.2)  # motion that comes together is sent together
    hand.nudge(-3, -2)
    time.sleep(0.2)
    hand.click(RIGHT)
    demo.expect(["rel(10,5)", "rel(-3,-2)", "b+273", "b-273"], "relative motion after a click")
    window.hotkey("g")
    demo.take()
    hand.nudge(10, 5)
    hand.press(30)
    demo.expect(press(30), "and none after the release key")


def check_pictures(window, expected):
    """Hot keys that change what is seen."""
    window.shows(expected, "the picture is exact")
    window.hotkey("f")
    wait(lambda: window.rect()["width"] == 1400, "full screen")
    wait(lambda: window.desktop.picture().pixel(3, 500) == (0, 0, 0), "black beside the picture")
    window.keep("fullscreen")
    window.hotkey("f")
    window.shows(expected, "back from the full screen")
    window.hotkey("h")
    wait(lambda: window.desktop.picture(window.rect()).data != expected.data, "help")
    window.keep("help")
    window.hotkey("F1")
    window.shows(expected, "without the help")
    window.hotkey("=")
    wait(lambda: (window.rect()["width"], window.rect()["height"]) == (1000, 750), "zoomed to 125%")
    window.hotkey("0")
    window.shows(expected, "as it was")
    window.demo.take()
    window.hotkey("p")
    wait(lambda: "paused" in window.title(), "paused")
    window.hotkey("p")
    window.hotkey("s")
    window.demo.expect(["pause", "pause", "screenshot"], "pause and screenshot", extra=("+29", "+56", "-29", "-56"))


def check_end(window):
    """--keep-open."""
    window.demo.take()
    window.close()
    window.demo.expect(["powerdown"], "closing asks for power down")
    wait(lambda: "the guest powered down" in window.title(), "the title says why the guest has ended")
    time.sleep(0.5)
    window.keep("ended")
    window.close()
    window.demo.expect(["closed"], "closing again closes the window")
    check(window.demo.process.wait(60) == 0, "it ends well")


def check_xwayland(desktop, program, artefacts, expected):
    """An X client here: what X does without a window manager is in window.py."""
    if not desktop.lets_run(program):
        print(f"left out: Xwayland: its clients are not root's, and {program} is where only root gets", flush=True)
        return
    desktop.x11()
    window = Window(desktop, program, artefacts, "xwayland", "--absolute")
    check_pictures(window, expected)
    check_input(window, [code for code in ALL_KEYS if code not in (241, 242)])  # the X server's own, other video modes
    window.end()


def check_life(desktop, program, artefacts):
    """Full screen from the start; a window that nobody sees; a still picture; the compositor goes."""
    window = Window(desktop, program, artefacts, "filling", "--fullscreen", "--absolute")
    wait(lambda: window.rect()["width"] == 1400, "full screen from the start")
    wait(lambda: "releases the keyboard" in window.title(), "which has the keyboard")
    window.hotkey("f")
    wait(lambda: window.rect()["width"] == WIDTH, "and back")
    check(True, "full screen from the start")
    window.end()
    window = Window(desktop, program, artefacts, "moving", "--move=60")
    desktop.message('[title="moving - .*"]', "move container to workspace 3")
    time.sleep(1)
    window.end()
    desktop.hand.press(58)  # nobody sees it: Caps Lock is on in the session
    window = Window(desktop, program, artefacts, "still", "--absolute")
    wait(lambda: "+58\n-58\n" in window.demo.text(), "Caps Lock of the session comes with the focus")
    desktop.hand.press(58)
    window.demo.check_rest("wayland")
    desktop.end_server()
    wait(lambda: "the desktop session is gone" in window.demo.text(), "the window notices")
    time.sleep(0.5)
    check(window.demo.process.poll() is None, "the guest survives its compositor")
    window.end()


def enlarged(image, factor):
    """Each pixel as a square."""
    data = bytearray()
    for y in range(image.height):
        row = b"".join(image.row(y, x, 1) * factor for x in range(image.width))
        data += row * factor
    return type(image)(image.width * factor, image.height * factor, data)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--demo", required=True)
    parser.add_argument("--artefacts", required=True)
    arguments = parser.parse_args()
    missing = WaylandDesktop.missing()
    if missing:
        say(f"skipped: {', '.join(missing)} not installed")
        return 77
    artefacts = os.path.abspath(arguments.artefacts)
    os.makedirs(artefacts, exist_ok=True)
    expected = expected_picture()
    with WaylandDesktop(more='bindsym Mod4+d exec "touch $XDG_RUNTIME_DIR/shortcut"') as desktop:
        desktop.mark = os.path.join(desktop.environment["XDG_RUNTIME_DIR"], "shortcut")
        window = Window(desktop, arguments.demo, artefacts, "absolute", "--absolute", "--keep-open")
        check_pictures(window, expected)
        check_input(window)
        check_grab(window)
        check_end(window)
        window = Window(desktop, arguments.demo, artefacts, "relative")
        check_relative(window)
        window.end()
        if shutil.which("Xwayland"):
            check_xwayland(desktop, arguments.demo, artefacts, expected)
        else:
            say("left out: Xwayland is not installed")
    with WaylandDesktop() as desktop:
        check_life(desktop, arguments.demo, artefacts)
    # An output with twice the pixels: as large as elsewhere, each pixel a square; at 100% pixel by pixel.
    with WaylandDesktop(2800, 2000, scale=2) as desktop:
        window = Window(desktop, arguments.demo, artefacts, "hidpi", "--absolute")
        window.shows(enlarged(expected, 2), "scale factor two: each pixel is a square")
        window.demo.take()
        window.place(321, 123)
        window.demo.expect(["abs(321,123,800x600)"], "scale factor two: the pointer")
        window.end()
        window = Window(desktop, arguments.demo, artefacts, "hidpi-exact", "--absolute", "--scale=100")
        window.shows(expected, "scale factor two at 100%: pixel by pixel")
        check((window.rect()["width"], window.rect()["height"]) == (400, 300), "in a window of half the size")
        window.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
