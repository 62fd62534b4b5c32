#!/usr/bin/env python3
"""The GTK window on Wayland (sway without a monitor), with a test picture instead of a guest (display_demo).

The picture to the pixel at scale factors 1 and 2, every key by its own code, the pointer absolute and held by the compositor,
the desktop's own shortcuts, full screen, and a compositor that dies. Needs sway, grim, dbus-daemon and gdbus; exits with 77
without them.
"""

import argparse
import contextlib
import os
import re
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

from demo import HEIGHT, WIDTH, Demo, check, check_every_key, expected_picture, press, say, take_mouse, wait
from session_bus import Actions, SessionBus
from wayland import EXTRA, LEFT, MIDDLE, RIGHT, SIDE, WaylandDesktop, WaylandError

PATH = "/org/vmgui/Vmgui/window/1"
CTRL, ALT, SUPER, TAB, PRINT = 29, 56, 125, 15, 99
KEYS = {"f": 33, "g": 34, "p": 25, "0": 11, "9": 10}
# 84 is no key of Linux's; GDK drops those that have no symbol in the desktop's layout.
NO_SYMBOL = {85, 89, 95, 112, 124, 141, 146, 160, 170, 175, 176, 189, 194, 196, 197, 198, 199, 209, 211, 214, 222, 240}
ALL_KEYS = [code for code in range(1, 248) if code != 84 and code not in NO_SYMBOL]
# This sway holds pointers only for those who have a configuration of their seats.
BINDINGS = "seat * pointer_constraint enable\nbindsym Mod4+t exec touch {path}\nbindsym Mod1+Tab exec touch {path}\n"


class Session:
    def __init__(self, arguments, name, *options, scale=1, size=(1400, 1000)):
        self.artefacts, self.name, self.scale = arguments.artefacts, name, scale
        self.bus = SessionBus()
        self.mark = f"/tmp/vmgui-gtk-wayland-{os.getpid()}"
        self.desktop = WaylandDesktop(size[0] * scale, size[1] * scale, scale, more=BINDINGS.format(path=self.mark))
        self.hand = self.desktop.hand
        self.desktop.environment.update(
            DBUS_SESSION_BUS_ADDRESS=self.bus.address, GDK_BACKEND="wayland", GSETTINGS_BACKEND="memory", NO_AT_BRIDGE="1"
        )
        self.demo = Demo(
            self.desktop, arguments.demo, os.path.join(self.artefacts, f"{name}.log"), "--gtk", f"--name={name}", *options
        )
        self.desktop.window(f"{name} - ")
        self.actions = Actions(self.bus, self.demo.process.pid, PATH)
        self.header = self.border = 0

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            with contextlib.suppress(WaylandError):
                self.keep("failed")
        self.desktop.close()
        self.bus.close()
        if os.path.exists(self.mark):
            os.unlink(self.mark)

    def rect(self):
        return self.desktop.window(f"{self.name} - ")["rect"]

    def title(self):
        return self.desktop.window(f"{self.name} - ")["name"]

    def keep(self, what):
        self.desktop.picture().save(os.path.join(self.artefacts, f"{self.name}-{what}.png"))

    def hotkey(self, name):
        self.demo.hotkey(lambda: self.hand.press(CTRL, ALT, KEYS[name]))

    def measure(self, expected):
        """Finds the picture, each of its pixels scale * scale of the output's."""
        seen = expected if self.scale == 1 else None

        def found():
            rect = self.rect()
            image = self.desktop.picture(rect)
            left = (image.width - WIDTH * self.scale) // 2
            top = image.height - HEIGHT * self.scale - left
            if left < 0 or top < 0:
                return False
            part = image.crop(left, top, WIDTH * self.scale, HEIGHT * self.scale)
            if seen:
                right = part.data == seen.data
            else:
                right = all(
                    part.pixel(x * self.scale + i, y * self.scale + j) == expected.pixel(x, y)
                    for y in range(0, HEIGHT, 7)
                    for x in range(0, WIDTH, 5)
                    for i in range(self.scale)
                    for j in range(self.scale)
                )
            if right:
                self.border, self.header = left // self.scale, top // self.scale
            return right

        wait(found, "the picture is exact")
        check(True, f"{self.name}: the picture is exact")

    def place(self, x, y):
        rect = self.rect()
        self.hand.move(rect["x"] + self.border + x, rect["y"] + self.header + y)

    def end(self):
        self.demo.process.send_signal(signal.SIGTERM)
        check(self.demo.process.wait(60) == 0, f"{self.name}: it ends well")


def check_keys(session):
    demo, hand = session.demo, session.hand
    check_every_key(demo, hand, ALL_KEYS)
    hand.key(42, True)
    hand.key(30, True)
    session.desktop.message("focus", "output", "HEADLESS-1")
    hand.key(30, False)
    hand.key(42, False)
    demo.expect(["+42", "+30", "-30", "-42"], "Shift and a letter")
    session.hotkey("p")
    wait(lambda: " - paused - " in session.title(), "Ctrl-Alt-P")
    session.hotkey("p")
    wait(lambda: " - running - " in session.title(), "Ctrl-Alt-P again")
    demo.take()


def check_pointer(session):
    demo, hand = session.demo, session.hand
    for x, y in ((0, 0), (WIDTH - 1, HEIGHT - 1), (123, 456), (799, 0)):
        demo.take()
        session.place(x, y)
        demo.until(f"abs({x},{y},{WIDTH}x{HEIGHT})")
        check(not demo.take(), f"the pointer is at {x},{y}")
    for code in (LEFT, RIGHT, MIDDLE, SIDE, EXTRA):
        hand.click(code)
    hand.wheel(0, -1)
    got = [event for event in demo.until("wheel(120,0)") if not event.startswith("abs")]
    wanted = [f"b{sign}{code}" for code in (LEFT, RIGHT, MIDDLE, SIDE, EXTRA) for sign in "+-"]
    check(got == [*wanted, "wheel(120,0)"], f"five buttons and the wheel: {got}")


def check_grab(session):
    demo, hand = session.demo, session.hand
    hand.press(SUPER, 20)
    wait(lambda: os.path.exists(session.mark), "the desktop's shortcut is the desktop's")
    os.unlink(session.mark)
    demo.until(f"-{SUPER}")
    session.hotkey("g")
    wait(lambda: session.actions.describe("grab")[1] == "true", "Ctrl-Alt-G takes the keyboard")
    session.keep("grabbed")
    demo.take()
    hand.press(SUPER, 20)
    hand.press(ALT, TAB)
    demo.expect(
        [f"+{SUPER}", "+20", "-20", f"-{SUPER}", f"+{ALT}", f"+{TAB}", f"-{TAB}", f"-{ALT}"], "grabbed, it is the guest's"
    )
    check(not os.path.exists(session.mark), "and not the desktop's")
    session.hotkey("g")
    wait(lambda: session.actions.describe("grab")[1] == "false", "Ctrl-Alt-G lets it go")


    def shortcut():
        # That it has no keyboard any more the window knows before the compositor does.
        hand.press(SUPER, 20)
        time.sleep(0.5)
        return os.path.exists(session.mark)

    wait(shortcut, "the desktop has its shortcut again")
    check(True, "the desktop has its shortcut again")
    demo.take()


def check_fullscreen(session, expected):
    session.hotkey("f")
    wait(lambda: session.rect()["width"] == 1400 and session.rect()["height"] == 1000, "full screen")
    time.sleep(4)  # the bar has gone again
    session.keep("fullscreen")

    def fills():
        image = session.desktop.picture()
        return image.pixel(image.width // 16, image.height // 4) == expected.pixel(50, 100)

    wait(fills, "the picture fills it")
    check(True, "full screen: the picture fills it")
    session.hotkey("f")
    wait(lambda: session.rect()["width"] < 1400, "and back")
    session.demo.take()


def check_relative(arguments, expected):
    with Session(arguments, "gtk-relative") as session:
        demo, hand = session.demo, session.hand
        session.measure(expected)
        session.place(300, 300)
        take_mouse(demo, lambda: hand.click(LEFT), hand.nudge)
        check(session.actions.describe("grab")[1] == "true", "and the menu knows")
        for _ in range(60):
            hand.nudge(25, -15)
        hand.click(RIGHT)
        total = [0, 0]
        events = demo.until("b-273")
        for event in events[:-2]:
            match = re.match(r"rel\((-?\d+),(-?\d+)\)", event)
            check(match is not None, f"motion only: {event}") if not match else None
            total[0] += int(match.group(1))
            total[1] += int(match.group(2))
        check(total == [1500, -900], f"relative motion beyond every edge: {total}")
        check(events[-2:] == ["b+273", "b-273"], "and a button")
        session.hotkey("g")
        demo.take()
        hand.nudge(10, 10)
        time.sleep(0.3)
        demo.expect([], "let go, the mouse is the desktop's")
        session.end()


def check_death(arguments):
    with Session(arguments, "gtk-death", "--move=60") as session:
        session.desktop._server.kill()  # pylint: disable=protected-access
        wait(lambda: "the desktop is gone" in session.demo.text(), "the window notices the compositor's end")
        time.sleep(0.5)
        check(session.demo.process.poll() is None, "the compositor dies: the guest stays")
        session.end()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--demo", required=True)
    parser.add_argument("--artefacts", required=True)
    parser.add_argument("--only")
    arguments = parser.parse_args()
    missing = WaylandDesktop.missing() + [tool for tool in ("dbus-daemon", "gdbus") if not shutil.which(tool)]
    if missing:
        say(f"skipped: {', '.join(missing)} not installed")
        return 77
    arguments.artefacts = os.path.abspath(arguments.artefacts)
    os.makedirs(arguments.artefacts, exist_ok=True)
    expected = expected_picture()
    if arguments.only in (None, "one"):
        with Session(arguments, "gtk-one", "--absolute") as session:
            session.measure(expected)
            session.keep("start")
            check_keys(session)
            check_pointer(session)
            check_grab(session)
            check_fullscreen(session, expected)
            session.end()
    if arguments.only in (None, "two"):
        with Session(arguments, "gtk-two", "--absolute", scale=2) as session:
            session.measure(expected)
            session.keep("start")
            check_pointer(session)
            session.end()
    if arguments.only in (None, "relative"):
        check_relative(arguments, expected)
    if arguments.only in (None, "death"):
        check_death(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
