#!/usr/bin/env python3
"""The GTK window on X11, with a test picture instead of a guest (display_demo) and with the test card.

Every action that its menus offer is given over the session bus, as the menus give it, every shortcut by keys; what each does is
checked by what is on the screen, to the pixel, and by what the "guest" got. In the end the session bus and then the X server go
away, and the guest stays. Needs Xvfb, openbox, xdotool, xwd, xclip, dbus-daemon and gdbus; exits with 77 without them.
"""

import argparse
import contextlib
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

from demo import HEIGHT, WIDTH, Demo, check, expected_picture, press, say, take_mouse, wait
from desktop import Desktop, DesktopError
from image import Image
from session_bus import Actions, SessionBus

TOOLS = ("Xvfb", "openbox", "xdotool", "xwd", "xclip", "dbus-daemon", "gdbus")
SCREEN = (1400, 1000)
SUPPORT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support")
PATH = "/org/vmgui/Vmgui/window/1"
CTRL, ALT, SYSRQ = 29, 56, 99
F_KEYS = [59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 87, 88]
COMBINATIONS = {
    "ctrl-alt-delete": [CTRL, ALT, 111],
    "ctrl-alt-backspace": [CTRL, ALT, 14],
    "alt-tab": [ALT, 15],
    "alt-f4": [ALT, 62],
    "super": [125],
    "print": [SYSRQ],
    "pause": [119],
    **{f"ctrl-alt-f{n + 1}": [CTRL, ALT, code] for n, code in enumerate(F_KEYS)},
    **{
        f"sysrq-{letter}": [ALT, SYSRQ, code]
        for letter, code in {"h": 35, "r": 19, "e": 18, "i": 23, "s": 31, "u": 22, "b": 48, "t": 20, "w": 17}.items()
    },
}
ACTIONS = {
    "about", "cancel-paste", "close", "filter", "force-off", "fullscreen", "grab", "menu", "paste", "pause", "power-down", "reset",
    "scale", "screenshot", "screenshot-as", "screenshot-copy", "send-keys", "shortcuts", "tab", "zoom-in", "zoom-out",
}
HOT = [f"+{CTRL}", f"+{ALT}", f"-{CTRL}", f"-{ALT}"]  # what the guest sees of Ctrl-Alt and one of our keys


def chord(codes):
    """Pressed in order, let go in the reverse one."""
    return [f"+{code}" for code in codes] + [f"-{code}" for code in reversed(codes)]


def scaled(image, factor):
    """By a whole factor, pixels repeated."""
    result = Image(image.width * factor, image.height * factor)
    for y in range(image.height):
        row = image.row(y)
        wide = b"".join(bytes(row[x * 3 : x * 3 + 3]) * factor for x in range(image.width))
        result.data[y * factor * len(wide) : (y + 1) * factor * len(wide)] = wide * factor
    return result


class Session:
    """A desktop with a window manager and a bus, and the demo on it."""

    def __init__(self, program, artefacts, name, *options, environment=None):
        self.artefacts, self.name = artefacts, name
        self.bus = SessionBus()
        self.desktop = Desktop(*SCREEN)
        self.desktop.environment.update(
            # The accessibility bus is a process that outlives its session; only check_losses has one.
            {
                "DBUS_SESSION_BUS_ADDRESS": self.bus.address,
                "GDK_BACKEND": "x11",
                "GSETTINGS_BACKEND": "memory",
                "NO_AT_BRIDGE": "1",
                **(environment or {}),
            }
        )
        self.desktop.start(["openbox"], os.path.join(artefacts, "openbox.log"))
        wait(lambda: self._manager_runs(), "a window manager")
        self.demo = Demo(self.desktop, program, os.path.join(artefacts, f"{name}.log"), "--gtk", f"--name={name}", *options)
        self.window = self.desktop.window(f"^{name} - ")
        self.actions = Actions(self.bus, self.demo.process.pid, PATH)
        self.focus()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            with contextlib.suppress(DesktopError):
                self.keep("failed")
        self.desktop.close()
        self.bus.close()

    def _manager_runs(self):
        done = subprocess.run(
            ["xprop", "-root", "_NET_SUPPORTING_WM_CHECK"], env=self.desktop.environment, capture_output=True, text=True, check=False
        )
        return "window id" in done.stdout

    def focus(self):
        # Beside the window, the pointer says nothing when a dialog goes.
        self.desktop.xdotool("mousemove", 2, SCREEN[1] - 2, "windowactivate", "--sync", self.window, "sleep", 0.3)

    def key(self, *keys):
        self.desktop.xdotool("key", *keys, "sleep", 0.3)

    def hotkey(self, key):
        self.demo.hotkey(lambda: self.desktop.xdotool("key", f"ctrl+alt+{key}", "sleep", 0.1))

    def title(self):
        return self.desktop.xdotool("getwindowname", self.window).strip()

    def keep(self, what):
        """A picture for people to look at."""
        self.desktop.picture().save(os.path.join(self.artefacts, f"{self.name}-{what}.png"))
        active = self.active()  # of a dialog the whole desktop's dump has but its frame
        if active not in (None, self.window.strip()):
            with contextlib.suppress(DesktopError):
                self.desktop.picture(active).save(os.path.join(self.artefacts, f"{self.name}-{what}-window.png"))

    border = 0
    header = 0
    shots = 0

    def measure(self, expected):
        """Finds the picture in the window, both at 1:1, and so what stands around it."""

        def found():
            image = self.desktop.picture(self.window)
            left = (image.width - WIDTH) // 2
            top = image.height - HEIGHT - left
            if left < 0 or top < 0 or image.crop(left, top, WIDTH, HEIGHT).data != expected.data:
                return False
            self.border, self.header = left, top
            return True

        wait(found, "the picture in the window, exact")

    def area(self):
        """The picture's area."""
        image = self.desktop.picture(self.window)
        return image.crop(
            self.border, self.header, image.width - 2 * self.border, image.height - self.header - self.border
        )

    def shows(self, condition, what):
        """Waits until the area is so; else keeps what was there."""
        wait(lambda: condition(self.area()), what)
        check(True, what)

    def question(self, action):
        """An action that opens a dialog, until that has the focus and stands still."""
        self.actions.activate(action)
        pictures = [None]

        def stands():
            window = self.active()
            time.sleep(0.4)
            if window in (None, self.window.strip()) or window != self.active():
                return False
            with contextlib.suppress(DesktopError):
                pictures.append(self.desktop.picture(window).data)
            return pictures[-1] is not None and pictures[-1] == pictures[-2]

        wait(stands, f"{action}: a dialog")

    def answer(self, key):
        """A key for the dialog, until the window has the focus again."""
        self.key(key)
        wait(lambda: self.active() in (None, self.window.strip()), f"{key}: the dialog is gone")

    def active(self):
        """The window that has the focus, if there is one."""
        try:
            return self.desktop.xdotool("getactivewindow").strip()
        except DesktopError:
            return None

    def dialog(self, title):
        return self.desktop.window(title)

    def screenshot(self):
        """The one that the window tells of next."""
        known = self.shots
        names = wait(lambda: len(found := re.findall(r"screenshot: (\S+\.png)", self.demo.text())) > known and found, "a screenshot")
        self.shots = len(names)
        return Image.load(f"/proc/{self.demo.process.pid}/cwd/{names[-1]}")

    def end(self):
        self.demo.process.send_signal(signal.SIGTERM)
        check(self.demo.process.wait(60) == 0, f"{self.name}: it ends well")


def check_actions_exist(session, arguments):
    names = set(session.actions.names())
    check(names == ACTIONS, f"the window's actions: {' '.join(sorted(names ^ ACTIONS)) or 'as expected'}")
    with open(os.path.join(arguments.source, "src/display/gtk/menu.c"), encoding="utf-8") as file:
        offered = set(re.findall(r'"win\.([a-z-]+)', file.read()))
    check(offered <= ACTIONS, "every menu entry has its action, and is driven here")


def check_keyboard(session):
    demo = session.demo
    demo.take()
    session.key("a", "Return", "F10", "Tab", "Escape")
    demo.expect(press(30) + press(28) + press(68) + press(15) + press(1), "keys, those of the toolkit's too, are the guest's")
    session.desktop.xdotool("keydown", "alt", "key", "f", "keyup", "alt")
    demo.expect([f"+{ALT}", "+33", "-33", f"-{ALT}"], "mnemonics are not the window's")
    session.desktop.xdotool("keydown", "b", "sleep", 1.2, "keyup", "b")
    demo.expect(press(48), "a key that is held does not repeat")
    for name, codes in COMBINATIONS.items():
        session.actions.activate("send-keys", name)
        demo.expect(chord(codes), f"send {name}", quiet=True)
    check(len(COMBINATIONS) == 28, "every key combination of the menu arrived")


def check_machine(session):
    demo, actions = session.demo, session.actions
    actions.activate("pause")
    demo.expect(["pause"], "pause")
    wait(lambda: session.title().startswith("actions - paused - "), "the title says paused")
    check(actions.describe("pause") == (True, "true"), "and so does the menu")
    check(not actions.describe("send-keys")[0], "no keys for a guest that stands still")
    session.keep("paused")
    actions.activate("pause")
    demo.expect(["pause"], "and on it goes")
    session.question("reset")
    session.keep("reset-question")
    session.answer("Escape")
    demo.expect([], "reset: cancelled")
    session.question("reset")
    session.answer("alt+r")
    demo.expect(["reset"], "reset: confirmed")
    session.focus()


def check_shots(session, expected):
    demo, actions = session.demo, session.actions
    actions.activate("screenshot")
    check(session.screenshot().data == expected.data, "a screenshot: the file is the guest's picture")
    session.desktop.xdotool("sleep", 0.5)
    session.keep("message")
    path = os.path.join(session.artefacts, "saved.png")
    if os.path.exists(path):
        os.unlink(path)
    actions.activate("screenshot-as")
    session.dialog("^Save the screenshot as$")
    session.desktop.xdotool("sleep", 1.2)
    session.keep("save-as")
    session.desktop.xdotool("key", "ctrl+a", "type", "--delay", "5", path)

    def is_gone():
        # The chooser looks at folders while it is typed to, and takes no Return meanwhile.
        session.key("Return")
        time.sleep(3)
        return not session.desktop.windows("^Save the screenshot as$")

    wait(is_gone, "the dialog is gone")

    def is_saved():
        try:
            return Image.load(path).data == expected.data
        except (OSError, ValueError, IndexError, struct.error, zlib.error):  # not all of it yet
            return False

    wait(is_saved, "save the screenshot as: the file is the guest's picture")
    check(True, "save the screenshot as: the file is the guest's picture")
    actions.activate("screenshot-copy")
    copied = os.path.join(session.artefacts, "copied.png")

    def is_copied():
        with open(copied, "wb") as file:
            done = subprocess.run(
                ["xclip", "-selection", "clipboard", "-t", "image/png", "-o"], env=session.desktop.environment, stdout=file,
                stderr=subprocess.DEVNULL, timeout=20, check=False,
            )
        return done.returncode == 0 and Image.load(copied).data == expected.data

    wait(is_copied, "the clipboard's picture")
    check(True, "copy the screenshot: the clipboard has the guest's picture")
    session.focus()
    demo.take()


def copy_text(session, text):
    subprocess.run(
        ["xclip", "-selection", "clipboard", "-i"], input=text.encode(), env=session.desktop.environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20, check=True,
    )

    def copied():
        done = subprocess.run(
            ["xclip", "-selection", "clipboard", "-o"], env=session.desktop.environment, capture_output=True, timeout=60, check=False
        )
        return done.stdout == text.encode()

    wait(copied, "the clipboard's new text")
    time.sleep(0.5)  # the window that had it before hears of it


def check_paste(session):
    demo, actions = session.demo, session.actions
    demo.take()
    copy_text(session, "Hi 2!\n")
    actions.activate("paste")
    presses = [event for event in demo.until("-28") if event.startswith("+")]
    check(presses == ["+42", "+35", "+23", "+57", "+3", "+42", "+2", "+28"], f"paste: the text is typed: {presses}")
    text = "the quick brown fox " * 100
    copy_text(session, text)
    actions.activate("paste")
    got = []

    def all_typed():
        got.extend(event for event in demo.take() if event.startswith("+"))
        return len(got) >= len(text)

    wait(all_typed, "a long text")
    check(len(got) == len(text), f"a long paste: {len(got)} keys of {len(text)}")
    wait(lambda: actions.describe("paste")[0], "and it can be done again")


def check_scales(session, expected):
    demo, actions = session.demo, session.actions
    twice = scaled(expected, 2)
    for scale in ("50", "150", "200", "300", "400", "100", "integer", "fit"):
        actions.activate("scale", scale)
        wait(lambda: actions.describe("scale")[1] == f"'{scale}'", f"scale {scale}")
        if scale == "100" or not scale.isdigit():
            session.shows(lambda area: area.data == expected.data, f"scale {scale}: exact")
        elif scale == "200":  # more than the screen has: the upper left part, and scroll bars

            def part(area):
                width, height = area.width - 40, area.height - 40
                return width > 1000 and area.crop(0, 0, width, height).data == twice.crop(0, 0, width, height).data

            session.shows(part, "scale 200: every pixel is a square of four")
        else:
            factor = int(scale) / 100

            def bars(area):
                def colour(x, y):
                    return area.pixel(int(x * factor), int(y * factor)) if x * factor < area.width - 40 else None

                seen = [colour(50 + i * 100, 100) for i in range(8)]
                return all(one is None or one == expected.pixel(50 + i * 100, 100) for i, one in enumerate(seen)) and seen[1]

            session.shows(bars, f"scale {scale}: the bars are where they belong")
        session.keep(f"scale-{scale}")
    actions.activate("scale", "150")
    for kind, mixes in (("nearest", False), ("smooth", True), ("auto", True)):
        actions.activate("filter", kind)
        pure = set(bytes(expected.row(100)[i : i + 3]) for i in range(0, WIDTH * 3, 3))

        def fits(area, mixes=mixes):
            row = area.row(150)
            seen = set(bytes(row[i : i + 3]) for i in range(60, (WIDTH * 3 // 2 - 20) * 3, 3))
            return (seen <= pure) != mixes

        session.shows(fits, f"{kind} at 150 %: {'mixed' if mixes else 'pure'} colours")
    actions.activate("zoom-out")
    wait(lambda: actions.describe("scale")[1] == "'125'", "zoom out: 125 %")
    actions.activate("zoom-in")
    wait(lambda: actions.describe("scale")[1] == "'150'", "zoom in: 150 %")
    actions.activate("scale", "fit")
    session.shows(lambda area: area.data == expected.data, "back to fit: exact")
    # The user's own size: fitted, in the middle, black beside it.
    session.desktop.xdotool("windowsize", "--sync", session.window, 1200, 500, "sleep", 0.5)
    session.shows(
        lambda area: area.width > 1000 and area.pixel(5, 100) == (0, 0, 0) and area.pixel(area.width // 2, 20) == (0, 0, 0)
        and area.pixel(area.width - 5, 100) == (0, 0, 0) and area.count((255, 0, 0)) > 10000,
        "another size of the window: fitted",
    )
    session.keep("fitted")
    actions.activate("scale", "integer")
    session.keep("integer")
    actions.activate("scale", "fit")
    demo.take()


def check_fullscreen(session):
    actions, desktop = session.actions, session.desktop
    actions.activate("fullscreen")

    def is_full():
        image = desktop.picture()
        height = SCREEN[0] * HEIGHT // WIDTH
        top = (SCREEN[1] - min(height, SCREEN[1])) // 2
        return image.pixel(SCREEN[0] // 2, SCREEN[1] - 5) != (0, 0, 0) and image.pixel(100, top + 300) == (255, 0, 0)

    wait(is_full, "full screen")
    desktop.xdotool("mousemove", 700, 500, "sleep", 3.5)

    def upper_rows():
        picture = desktop.picture()
        return [picture.row(y) for y in range(60)]

    wait(lambda: desktop.picture().pixel(SCREEN[0] // 2, 3) in ((0, 0, 0), (255, 255, 255)), "full screen: nothing but the guest")
    bare = upper_rows()
    desktop.xdotool("mousemove", 700, 2, "mousemove", 700, 0, "sleep", 1)
    wait(lambda: sum(one != other for one, other in zip(upper_rows(), bare)) > 20, "touching the upper edge brings the bar")
    session.keep("fullscreen-bar")
    desktop.xdotool("mousemove", 700, 500)
    wait(lambda: upper_rows() == bare, "and it goes again")
    check(True, "full screen: the bar comes and goes")
    session.hotkey("f")
    wait(lambda: actions.describe("fullscreen")[1] == "false", "full screen is left by its key")
    check(True, "full screen is left by its key")
    session.demo.take()


def check_shortcut_keys(session):
    demo, actions = session.demo, session.actions
    session.focus()
    demo.take()
    session.key("ctrl+alt+p")
    wait(lambda: " - paused - " in session.title(), "Ctrl-Alt-P")
    session.key("ctrl+alt+p")
    wait(lambda: " - running - " in session.title(), "Ctrl-Alt-P again")
    session.key("ctrl+alt+s")
    session.screenshot()
    check(True, "Ctrl-Alt-S")
    demo.take()
    session.key("ctrl+alt+minus")
    wait(lambda: actions.describe("scale")[1] == "'75'", "Ctrl-Alt-minus")
    session.key("ctrl+alt+plus")
    wait(lambda: actions.describe("scale")[1] == "'100'", "Ctrl-Alt-plus")
    session.key("ctrl+alt+9")
    wait(lambda: actions.describe("scale")[1] == "'fit'", "Ctrl-Alt-9")
    session.key("ctrl+alt+0")
    wait(lambda: actions.describe("scale")[1] == "'100'", "Ctrl-Alt-0")
    session.hotkey("g")
    wait(lambda: actions.describe("grab")[1] == "true", "Ctrl-Alt-G takes the keyboard")
    wait(lambda: session.title().endswith(" - Ctrl-Alt-G releases the keyboard"), "and the title says so")
    session.keep("grabbed")
    demo.take()
    session.key("super", "alt+Tab", "Print")
    demo.expect([*press(125), *["+56", "+15", "-56", "-15"], *press(99)], "grabbed: Super, Alt-Tab and Print are the guest's")
    session.key("ctrl+alt+g")
    wait(lambda: actions.describe("grab")[1] == "false", "Ctrl-Alt-G lets it go")
    wait(lambda: session.title().endswith(" - Ctrl-Alt-G grabs the keyboard"), "and the title, what it would do")
    demo.expect(HOT, "and leaves no key down")
    copy_text(session, "q")
    session.key("ctrl+alt+v")
    demo.until("+16")
    check(True, "every shortcut did its work")
    actions.activate("grab")
    wait(lambda: actions.describe("grab")[1] == "true", "the menu grabs, too")
    actions.activate("grab")
    wait(lambda: actions.describe("grab")[1] == "false", "and lets go")
    actions.activate("scale", "fit")
    demo.take()


def check_windows(session, expected):
    actions, desktop = session.actions, session.desktop
    session.focus()

    def menu_is_there(there):
        wait(lambda: (session.area().data != expected.data) == there, "the menu" if there else "the menu is gone")
        desktop.xdotool("sleep", 0.5)

    session.shows(lambda area: area.data == expected.data, "no message lies over the lower edge any more")
    session.hotkey("m")
    menu_is_there(True)
    session.keep("menu")
    session.key("Down", "Down", "Down", "Escape")
    menu_is_there(False)
    session.demo.take()
    session.key("x")
    session.demo.expect(press(45), "after the menu the guest has the keys again")
    actions.activate("menu")
    menu_is_there(True)
    session.key("Escape")
    menu_is_there(False)
    for action in ("shortcuts", "about"):
        session.question(action)
        session.keep(action)
        session.answer("Escape")
    session.focus()
    session.hotkey("h")
    session.dialog("^Keyboard Shortcuts$")
    check(True, "Ctrl-Alt-H lists the keys")
    session.answer("Escape")
    session.focus()
    session.demo.take()
    session.key("y")
    session.demo.expect(press(21), "and after dialogs")


def check_pointer_absolute(session, expected):
    demo, desktop = session.demo, session.desktop
    session.actions.activate("scale", "100")
    session.shows(lambda area: area.data == expected.data, "no message lies over the lower edge any more")
    demo.take()
    for x, y in ((0, 0), (WIDTH - 1, HEIGHT - 1), (123, 456), (799, 0)):
        desktop.xdotool("mousemove", "--window", session.window, session.border + x, session.header + y)
        demo.until(f"abs({x},{y},{WIDTH}x{HEIGHT})")
        check(not demo.take(), f"the pointer is at {x},{y}")
    desktop.xdotool("click", 1, "click", 3, "click", 8, "click", 4, "click", 7)
    demo.expect(
        ["b+272", "b-272", "b+273", "b-273", "b+275", "b-275", "wheel(120,0)", "wheel(0,120)"], "buttons and wheels",
        extra=(f"abs({WIDTH - 1},0,{WIDTH}x{HEIGHT})",),
    )


def check_focus(session):
    demo, desktop = session.demo, session.desktop
    demo.take()
    desktop.xdotool("keydown", "ctrl", "keydown", "c", "sleep", 0.2)
    other = desktop.start(["xmessage", "another window"], os.path.join(session.artefacts, "xmessage.log"))
    desktop.xdotool("sleep", 0.2)
    desktop.xdotool("windowactivate", "--sync", desktop.window("xmessage"), "sleep", 0.3, "keyup", "c", "keyup", "ctrl")
    demo.expect(["+29", "+46", "-29", "-46"], "a lost focus lets every key go")
    other.terminate()
    other.wait()
    session.focus()


def check_close(session):
    session.question("force-off")
    session.keep("force-off-question")
    session.answer("Escape")
    session.demo.expect([], "force off: cancelled")
    session.desktop.ask_to_close(session.window)
    session.demo.expect(["powerdown"], "closing the window asks for power down", extra=("closed",))
    check(session.demo.process.wait(60) == 0, "and it ends well")


def check_last_wishes(arguments):
    """What ends the demo, each once."""
    for action, key in (("power-down", None), ("force-off", "alt+o"), ("close", None)):
        with Session(arguments.demo, arguments.artefacts, f"ends-{action}") as session:
            if key:
                session.question(action)
                session.key(key)
            else:
                session.actions.activate(action)
            session.demo.expect(["powerdown"], f"{action}: done", extra=("closed",))
            check(session.demo.process.wait(60) == 0, f"{action}: it ends well")


def check_relative(arguments):
    with Session(arguments.demo, arguments.artefacts, "relative") as session:
        demo, desktop = session.demo, session.desktop
        session.measure(expected_picture())
        desktop.xdotool("mousemove", "--window", session.window, 300, 300, "sleep", 0.3)
        take_mouse(
            demo, lambda: desktop.xdotool("click", 1), lambda dx, dy: desktop.xdotool("mousemove_relative", "--", dx, dy)
        )
        session.keep("grabbed")
        total = [0, 0]
        for _ in range(40):  # far beyond the window's edge
            desktop.xdotool("mousemove_relative", "--", 31, -17)
            time.sleep(0.02)
        desktop.xdotool("mousemove_relative", "--", -5, 3, "click", 3)
        events = demo.until("b-273")
        for event in events[:-2]:
            match = re.match(r"rel\((-?\d+),(-?\d+)\)", event)
            check(match is not None, f"motion only: {event}") if not match else None
            total[0] += int(match.group(1))
            total[1] += int(match.group(2))
        check(total == [40 * 31 - 5, 3 - 40 * 17], f"relative motion, not a pixel lost: {total}")
        check(events[-2:] == ["b+273", "b-273"], "and a button")
        desktop.xdotool("click", 5)
        demo.expect(["wheel(-120,0)"], "and the wheel")
        session.key("ctrl+alt+g")
        desktop.xdotool("mousemove_relative", "--", 10, 5, "sleep", 0.3)
        demo.expect(HOT, "Ctrl-Alt-G lets the mouse go and leaves no key down")
        # An absolute pointer comes: no grab is needed, nor kept.
        desktop.xdotool("mousemove", "--window", session.window, 300, 300, "click", 1)
        wait(lambda: session.actions.describe("grab")[1] == "true", "taken again")
        demo.process.send_signal(signal.SIGUSR1)
        wait(lambda: session.actions.describe("grab")[1] == "false", "an absolute pointer ends the grab")
        session.end()


def check_long_paste(arguments):
    with Session(arguments.demo, arguments.artefacts, "slow", "--slow") as session:
        actions = session.actions
        copy_text(session, "something to be typed, " * 1000)
        actions.activate("paste")
        wait(lambda: actions.describe("cancel-paste")[0], "a long paste can be cancelled")
        session.desktop.xdotool("sleep", 4)
        session.keep("pasting")
        check(not actions.describe("paste")[0], "one paste at a time")
        actions.activate("cancel-paste")
        wait(lambda: actions.describe("paste")[0] and not actions.describe("cancel-paste")[0], "cancelled")
        session.desktop.xdotool("sleep", 1)
        session.keep("cancelled")
        count = len([event for event in session.demo.take() if event.startswith("+")])
        check(0 < count < 20000, f"cancelled after {count} keys")
        session.end()


def check_fine_screen(arguments, expected):
    with Session(
        arguments.demo, arguments.artefacts, "fine", "--size=500x300", environment={"GDK_SCALE": "2"}
    ) as session:
        def exact():
            image = session.desktop.picture(session.window)
            left = (image.width - 1000) // 2
            top = image.height - 600 - left
            if left < 0 or top < 0:
                return False
            part = image.crop(left, top, 1000, 600)
            return all(part.pixel(x, y) == part.pixel(x // 2 * 2, y // 2 * 2) for x in range(0, 1000, 7) for y in range(0, 600, 11)) and (
                [part.pixel(60 + 125 * i, 100) for i in range(8)] == [expected.pixel(50 + 100 * i, 100) for i in range(8)]
            )

        wait(exact, "a screen of fine pixels: each of the picture's is four of it")
        check(True, "a screen of fine pixels: each of the picture's is four of it")
        session.keep("scale-factor-2")
        session.end()


def check_memory(arguments):
    with Session(arguments.demo, arguments.artefacts, "remembered") as session:
        session.desktop.xdotool("windowsize", "--sync", session.window, 1111, 777, "sleep", 4)  # as long as it may be the desktop's wish
        session.actions.activate("scale", "integer")
        time.sleep(0.3)
        first = session.desktop.picture(session.window)
        session.end()
        session.demo = Demo(
            session.desktop, arguments.demo, os.path.join(arguments.artefacts, "remembered2.log"), "--gtk", "--name=remembered"
        )
        session.window = session.desktop.window("^remembered - ")
        session.actions = Actions(session.bus, session.demo.process.pid, PATH)

        def as_large():
            second = session.desktop.picture(session.window)
            return (first.width, first.height) == (second.width, second.height)

        wait(as_large, "the next window has the size that this one had")
        check(True, "the next window has the size that this one had")
        check(session.actions.describe("scale")[1] == "'integer'", "and its scale")
        session.end()


def check_kept_open(arguments):
    with Session(arguments.demo, arguments.artefacts, "kept", "--keep-open") as session:
        session.actions.activate("power-down")
        session.demo.expect(["powerdown"], "power down")
        wait(lambda: " - the guest powered down - " in session.title(), "the title says why it ended")
        time.sleep(0.5)
        session.keep("ended")
        check(not session.actions.describe("reset")[0], "nothing can be asked of a guest that has ended")
        check(session.demo.process.poll() is None, "the window stays")
        session.desktop.ask_to_close(session.window)
        check(session.demo.process.wait(60) == 0, "until it is closed")


def check_names(session):
    """What a screen reader says of the window."""
    done = subprocess.run(
        ["/usr/bin/python3", os.path.join(SUPPORT, "accessible.py"), "vmgui"], env=session.desktop.environment, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode == 77:
        say("left out: accessible names need python3-gi and gir1.2-atspi-2.0")
        return
    widgets = [tuple(line.split("\t")) for line in done.stdout.splitlines()]
    for role, name in (
        ("push button", "Pause"),
        ("push button", "Full screen"),
        ("toggle button", "Send keys"),
        ("toggle button", "Menu"),
        ("drawing area", "Screen of the guest"),
    ):
        check((role, name) in [widget[:2] for widget in widgets], f"for those who cannot see: {role} {name}")
    status = [name for role, name, description in widgets if description == "Status"]
    check(len(status) == 1 and status[0].startswith("running"), f"and the status: {status}")
    nameless = [role for role, name, _ in widgets if not name and re.search("button|item|label|area|bar", role)]
    check(not nameless, f"nothing that can be used is without a name: {nameless}")


def check_theme(arguments):
    """As dark or light as the desktop is, at once."""
    with Session(arguments.demo, arguments.artefacts, "theme") as session:
        portal = subprocess.Popen(
            ["/usr/bin/python3", os.path.join(SUPPORT, "portal.py"), "1"], env=session.desktop.environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )
        try:
            if not portal.stdout.readline():
                say("left out: the desktop's colour scheme needs python3-gi")
                return
            header = session.desktop.picture(session.window).width // 4 * 3

            def brightness():
                return max(session.desktop.picture(session.window).pixel(header, 12))

            wait(lambda: brightness() > 150, "a light window")
            # 1 is dark, 2 is light, 0 is no preference.
            for scheme, dark in ((1, True), (2, False), (1, True), (0, False)):
                portal.stdin.write(f"{scheme}\n")
                portal.stdin.flush()
                wait(lambda dark=dark: (brightness() < 100) == dark, f"colour scheme {scheme}")
                session.keep("dark" if dark else "light")
            check(True, "dark and light, as the desktop is")
            session.demo.take()
            session.end()
        finally:
            portal.kill()
            portal.wait()


def check_losses(arguments):
    with Session(arguments.demo, arguments.artefacts, "losses", "--move=60", environment={"NO_AT_BRIDGE": "0"}) as session:
        check_names(session)
        session.bus.close()
        time.sleep(1.5)
        check(session.demo.process.poll() is None, "the session bus goes: the guest stays")
        wait(lambda: " - running - " in session.title(), "and so does the window")
        before = session.desktop.picture(session.window).data
        wait(lambda: session.desktop.picture(session.window).data != before, "and its picture moves")
        session.desktop.kill_server()
        wait(lambda: "the desktop is gone" in session.demo.text(), "the window notices the X server's end")
        time.sleep(0.5)
        check(session.demo.process.poll() is None, "the X server goes: the guest stays")
        session.end()


def check_console(arguments):
    """The test card, with the serial console's tab."""
    if not arguments.vmgui or not os.access("/dev/kvm", os.R_OK | os.W_OK):
        say("left out: the console's tab needs /dev/kvm")
        return
    with SessionBus() as bus:
        desktop = Desktop(*SCREEN)
        try:
            desktop.environment.update(DBUS_SESSION_BUS_ADDRESS=bus.address, GDK_BACKEND="x11", GSETTINGS_BACKEND="memory", NO_AT_BRIDGE="1")
            desktop.start(["openbox"], os.path.join(arguments.artefacts, "openbox.log"))
            log = os.path.join(arguments.artefacts, "console.log")
            name = f"card-{os.getpid()}"  # guests' names are one machine's, and somebody may run this twice
            vmgui = desktop.start([arguments.vmgui, "testcard", "--gtk", f"--name={name}", "--mem=64M"], log)
            window = desktop.window(f"^{name} - running - ")
            actions = Actions(bus, vmgui.pid, PATH)
            desktop.xdotool("windowactivate", "--sync", window, "sleep", 2)
            desktop.picture().save(os.path.join(arguments.artefacts, "card-screen.png"))
            screen = desktop.picture(window)
            actions.activate("tab", "console")
            wait(lambda: actions.describe("tab")[1] == "'console'", "the console's tab")
            desktop.xdotool("sleep", 1, "type", "--delay", "50", "help")
            desktop.xdotool("key", "Return", "sleep", 1)
            wait(lambda: desktop.picture(window).data != screen.data, "the serial console has a tab")
            desktop.picture().save(os.path.join(arguments.artefacts, "card-console.png"))
            check(True, "the serial console has a tab")
            for key, tab in ((1, "screen"), (2, "console")):
                desktop.xdotool("key", f"ctrl+alt+{key}", "sleep", 0.1)
                wait(lambda: actions.describe("tab")[1] == f"'{tab}'", f"Ctrl-Alt-{key} is the {tab}")  # pylint: disable=cell-var-from-loop
            check(True, "Ctrl-Alt-1 and -2 change the tab")

            def bar_is_there():
                return desktop.picture().pixel(SCREEN[0] // 2, 2) != (0, 0, 0)

            desktop.xdotool("mousemove", 700, 500, "key", "ctrl+alt+f", "sleep", 1)
            wait(lambda: not bar_is_there(), "full screen, without its bar")
            desktop.xdotool("mousemove", 700, 300, "sleep", 0.1, "mousemove", 700, 0)
            wait(bar_is_there, "over the console, too, touching the edge brings the bar")
            check(True, "over the console, too, touching the edge brings the bar")
            vmgui.send_signal(signal.SIGTERM)
            vmgui.send_signal(signal.SIGTERM)
            vmgui.wait(30)
        finally:
            desktop.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--demo", required=True)
    parser.add_argument("--vmgui")
    parser.add_argument("--source", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    parser.add_argument("--artefacts", required=True)
    parser.add_argument("--only", help="one part, e.g. scales")
    arguments = parser.parse_args()
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        say(f"skipped: {', '.join(missing)} not installed")
        return 77
    arguments.artefacts = os.path.abspath(arguments.artefacts)
    os.makedirs(arguments.artefacts, exist_ok=True)
    expected = expected_picture()

    def wanted(part):
        return not arguments.only or arguments.only == part

    if wanted("actions"):
        with Session(arguments.demo, arguments.artefacts, "actions", "--absolute") as session:
            session.measure(expected)
            check(True, "the picture is exact")
            session.keep("start")
            check_actions_exist(session, arguments)
            check_keyboard(session)
            check_machine(session)
            check_shots(session, expected)
            check_paste(session)
            check_pointer_absolute(session, expected)
            check_shortcut_keys(session)
            check_windows(session, expected)
            check_focus(session)
            session.demo.check_rest("gtk")
            check_close(session)
    if wanted("scales"):
        with Session(arguments.demo, arguments.artefacts, "scales", "--absolute") as session:
            session.measure(expected)
            check_scales(session, expected)
            check_fullscreen(session)
            session.end()
    for part, function in (
        ("relative", check_relative),
        ("last", check_last_wishes),
        ("memory", check_memory),
        ("slow", check_long_paste),
        ("kept", check_kept_open),
        ("console", check_console),
        ("theme", check_theme),
        ("losses", check_losses),
    ):
        if wanted(part):
            function(arguments)
    if wanted("fine"):
        check_fine_screen(arguments, expected)
    return 0


if __name__ == "__main__":
    sys.exit(main())
