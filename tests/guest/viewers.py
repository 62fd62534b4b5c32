"""Cards with a window or a viewer on an X desktop, for the tests that use a keyboard or a mouse as a person would."""

import itertools
import os
import shutil
import time

import guest
import keys
from desktop import Desktop
from xtest import XTest

TOOLS = ("Xvfb", "xdotool", "setxkbmap")
WINDOWS = ("sdl", "gtk")
# Viewers: their windows' class, and how they are told where to connect.
VIEWERS = {
    "xtigervncviewer": (
        "TigerVNC",
        ["-MenuKey=", "-RemoteResize=0", "-PointerEventInterval=0", "-Shared=1", "-AlertOnFatalError=0", "127.0.0.1::{port}"],
    ),
    "gvncviewer": ("Gvncviewer", ["127.0.0.1:{display}"]),
}


def has_window(kind):
    """Whether this build has that kind of window."""
    return os.path.exists(os.path.join(os.path.dirname(guest.VMGUI), f"vmgui-{kind}.so"))


class DeskTest(guest.GuestTest):
    """A test case with desktops, which end with it."""

    def desk(self, layout="us", **options):
        """An X server with a keyboard layout and a hand at it (desktop.xtest)."""
        missing = [tool for tool in TOOLS if not shutil.which(tool)]
        if missing:
            self.skipTest(f"{', '.join(missing)} not installed")
        desktop = Desktop(**options)
        self.addCleanup(desktop.close)
        desktop.layout(layout)
        desktop.xtest = XTest(desktop.display)
        self.addCleanup(desktop.xtest.close)
        return desktop

    def window_card(self, kind, desktop, *arguments, **options):
        """A card in a window that has the focus."""
        if not has_window(kind):
            self.skipTest(f"this build has no {kind} window")
        if kind == "gtk" and guest.SHORT == "thread":
            self.skipTest("ThreadSanitizer does not see how GLib's threads wait for each other")
        card = self.card(f"--{kind}", *arguments, desktop=desktop, **options)
        card.window = desktop.window("^vmgui", by="class")
        desktop.xtest.focus(card.window)
        self.prime(card, desktop)
        return card

    def viewer(self, name, card, desktop):
        """A viewer of the card on the desktop, with the focus: (the program, its window)."""
        if not shutil.which(name):
            self.skipTest(f"{name} is not installed")
        window_class, arguments = VIEWERS[name]
        places = {"port": card.port, "display": card.port - 5900}
        log = os.path.join(card.folder.name, f"{name}.log")
        program = desktop.start([name, *(argument.format(**places) for argument in arguments)], log)
        window = desktop.window(window_class, by="class")
        desktop.xtest.focus(window)
        self.prime(card, desktop)
        return program, window

    def prime(self, card, desktop):
        """A program that has just got its window may lose the first keys: other keys until one arrives."""
        deadline = time.monotonic() + guest.PATIENCE
        for code in itertools.cycle(keys.US.values()):
            desktop.xtest.press(code)
            try:
                arrived = int(card.expect(r"key (\d+) up .*", timeout=0.5)[1])
            except AssertionError:
                if time.monotonic() > deadline:
                    break
                continue
            # On a busy machine one of those before it; then this one is on its way.
            if arrived != code:
                card.expect(f"key {code} up .*")
            return
        self.fail(f"no key reaches the guest; {card.story()}")
