"""Hands at vmgui's displays, and what the desktop guest reports of them: its kernel key by key (evdev), and X symbol by symbol,
pixel by pixel and button by button."""

import os
import random
import re
import time

import keys
import rfb
import xkb
from desktop import Desktop
from desktop_guest import GuestError
from report import check, say
from hands import ScanFingers, SymbolFingers, XFingers, record_sum, rollover
from xtest import XTest

SIZE = (640, 480)
CHUNK = 5  # keys at a time
SYMBOLS_CHUNK = 2  # with their Shift and AltGr
GRID = 10
SCALES = ((1, 1), (3, 2), (2, 1))
# vmgui's and setxkbmap's names of the layouts.
LAYOUTS = {
    "us": "us", "gb": "gb", "de": "de", "fr": "fr", "es": "es", "it": "it", "jp": "jp", "br": "br", "dvorak": "us -variant dvorak",
}  # fmt: skip
VIEWERS = {
    "tigervnc": ("TigerVNC", ["xtigervncviewer", "-MenuKey=", "-RemoteResize=0", "-PointerEventInterval=0", "-Shared=1", "-AutoSelect=0",
                              "-FullColor=1", "-PreferredEncoding=ZRLE", "-AlertOnFatalError=0", "127.0.0.1::{port}"]),
    # Without the session's services, for which it would wait.
    "gvncviewer": ("Gvncviewer", ["env", "NO_AT_BRIDGE=1", "GIO_USE_VFS=local", "GSETTINGS_BACKEND=memory", "gvncviewer",
                                  "127.0.0.1:{display}"]),
}  # fmt: skip
# Keys that a viewer keeps to itself: gvncviewer's menu and full screen.
VIEWERS_OWN = {"gvncviewer": (68, 87)}


def grid(width, height):
    """100 targets, the corners among them."""
    return [(round(i * (width - 1) / (GRID - 1)), round(j * (height - 1) / (GRID - 1))) for j in range(GRID) for i in range(GRID)]


class Hands:
    """A guest with X, a display number of its VNC server, and a desktop with its SDL window (or None)."""

    FLOOD = 1000  # keys at once

    def __init__(self, guest, port, desktop, artefacts):
        self.guest = guest
        self.port = port
        self.desktop = desktop
        self.artefacts = artefacts
        self.xtest = XTest(desktop.display) if desktop else None

    # ---- keys ----

    def events(self, fingers, codes, seconds=60):
        """The (code, down) of what is typed, as the guest's kernel tells it. The kernel drops what its readers do not take in time,
        some ten keys, and X is one of them: so a few keys at a time."""
        guest = self.guest
        guest.evdev.take()
        found = []
        # While Linux sets a light it takes what comes from the keyboard for (wrong) answers: so each lock key by itself.
        first_lock = next((n for n, code in enumerate(codes) if code in keys.LIGHTS), len(codes))
        parts = [codes[n : min(n + CHUNK, first_lock)] for n in range(0, first_lock, CHUNK)] + [[code] for code in codes[first_lock:]]
        for part in parts:
            fingers.type(part)
            lines = guest.evdev.lines(lambda lines: len(self.key_events(lines)) >= 2 * len(part), seconds)
            if part[0] in keys.LIGHTS:
                lines += guest.evdev.lines(lambda more: any(" led " in line for line in (*lines, *more)), 0.5)
            found += self.key_events(lines)
            found += [line for line in lines if "dropped" in line]
            if len(self.key_events(lines)) < 2 * len(part):
                break
        return found

    @staticmethod
    def key_events(lines):
        found = [re.fullmatch(r"\d+ key (\d+) (\d)", line) for line in lines]
        return [(int(match[1]), int(match[2])) for match in found if match]

    def every_key(self, name, fingers):
        """105 keys (but for what this way cannot say), each pressed and released, in order."""
        left_out = {*fingers.without, *VIEWERS_OWN.get(name, ()), *keys.LIGHTS, keys.ESC}
        codes = [code for code in keys.PC_KEYS if code not in left_out]
        # Twice, so that the lights are out afterwards.
        codes += list(keys.LIGHTS) * 2 + [keys.ESC]
        wanted = [(code, down) for code in codes for down in (1, 0)]
        self.prime(fingers)
        found = self.events(fingers, codes)
        wrong = next((n for n, (one, other) in enumerate(zip(found, wanted)) if one != other), min(len(found), len(wanted)))
        check(found == wanted, f"{name}: {len(set(codes))} keys arrive, pressed and released, in order",
              f"{len(found)} of {len(wanted)} events; from number {wrong} on: {found[wrong : wrong + 6]} for {wanted[wrong : wrong + 6]}")

    def prime(self, fingers):
        """A program that has just got its window may lose the first keys."""
        for _ in range(40):
            fingers.press(keys.LEFTSHIFT)
            if self.guest.evdev.lines(lambda found: any("key 42 0" in line for line in found), 1):
                time.sleep(0.2)
                self.guest.evdev.take()
                return
        raise GuestError(f"{fingers.name}: no key reaches the guest")

    def viewer(self, name, desktop):
        """A viewer with the focus."""
        title, command = VIEWERS[name]
        command = [word.format(port=self.port, display=self.port - 5900) for word in command]
        program = desktop.start(command, os.path.join(self.artefacts, f"{name}.log"))
        window = desktop.window(title, by="class")
        say(f"{name} has a window")
        xtest = XTest(desktop.display)
        xtest.focus(window)
        return program, window, xtest

    def keyboards(self):
        """Every way to the guest's keyboard."""
        with rfb.RfbClient(port=self.port) as client:
            self.every_key("rfb, symbols", SymbolFingers(client))
        with rfb.RfbClient(port=self.port, extensions=(rfb.EXTENDED_KEYS,)) as client:
            client.wait_for(lambda: rfb.EXTENDED_KEYS in client.agreed, "the server agrees to scan codes")
            self.every_key("rfb, scan codes", ScanFingers(client))
        if self.desktop:
            self.every_key("sdl", self.sdl_fingers())
        for name in VIEWERS:
            with Desktop() as desktop:
                _, _, xtest = self.viewer(name, desktop)
                self.every_key(name, XFingers(name, xtest))
                xtest.close()

    def sdl_fingers(self):
        window = self.desktop.window("^vmgui", by="class")
        self.xtest.focus(window)
        return XFingers("sdl", self.xtest)

    def flood(self, count):
        """Keys as fast as they go, to X and to a program that reads them from the kernel: each arrives, in order, none stuck. Programs
        lose keys when the kernel has some twenty for them before they look, so this tests the keyboard's pace."""
        guest = self.guest
        guest.stop_watching()
        names = guest.shell("cat /proc/bus/input/devices").split("\n\n")
        device = re.search(r"\bevent\d+", next(name for name in names if "AT Translated" in name))[0]
        rng = random.Random(count)
        codes = [30]
        while len(codes) < count:
            codes.append(rng.choice([code for code in keys.US.values() if code != codes[-1]]))
        events = [*rollover(codes), (keys.ESC, True), (keys.ESC, False)]
        guest.shell(f"agent record /dev/input/{device} >/tmp/record & until grep -q recording /tmp/record; do usleep 100000; done")
        began = time.monotonic()
        with rfb.RfbClient(port=self.port, extensions=(rfb.EXTENDED_KEYS,)) as client:
            client.wait_for(lambda: rfb.EXTENDED_KEYS in client.agreed, "the server agrees to scan codes")
            fingers = ScanFingers(client)
            for code, down in events:
                fingers.key(code, down)
            told = guest.shell("until grep -q '^recorded\\|^agent' /tmp/record; do sleep 1; done; tail -1 /tmp/record", 300).strip()
        guest.start_watching()
        wanted = f"recorded {len(events)} {record_sum(events):08x} dropped 0"
        check(told.startswith(wanted), f"{count} keys at once arrive, in order ({time.monotonic() - began:.0f} s; {told})", wanted)

    # ---- layouts ----

    def x_symbols(self, strike, items, chunk=CHUNK, seconds=60):
        """The symbols in X of that many strokes, those of modifiers left out; strike(items) strikes some."""
        self.guest.x.take()
        found = []
        for start in range(0, len(items), chunk):
            part = items[start : start + chunk]
            strike(part)
            lines = self.guest.x.lines(lambda lines: len(self.pressed_symbols(lines)) >= len(part), seconds)
            found += self.pressed_symbols(lines)
            if len(self.pressed_symbols(lines)) < len(part):
                break
        return found

    @staticmethod
    def pressed_symbols(lines):
        matches = [re.fullmatch(r"key \d+ 1 (\S+)", line) for line in lines]
        symbols = [xkb.keysym(match[1]) for match in matches if match]
        return [symbol for symbol in symbols if not xkb.is_modifier(symbol)]

    def layouts_by_place(self, name, fingers):
        """Keys that are sent by where they are: the guest's X gives each the symbol that its own layout has there."""
        codes = [code for code in (*keys.US.values(), 86) if code not in fingers.without]
        self.prime(fingers)
        for ours, theirs in LAYOUTS.items():
            self.guest.shell(f"setxkbmap -layout {theirs}")
            layout, _, variant = theirs.partition(" -variant ")
            symbols = {place[0]: symbol for symbol, places in xkb.Layout(layout, variant).symbols(codes).items()
                       for place in places if place[1] == 0}  # fmt: skip
            wanted = [symbols[code] for code in codes]
            found = self.x_symbols(fingers.type, codes)
            wrong = [(xkb.name(one), xkb.name(other)) for one, other in zip(found, wanted) if not xkb.same(one, other)]
            check(len(found) == len(wanted) and not wrong, f"{name}: guest's layout {ours}: {len(codes)} keys, each its symbol in X",
                  f"{len(found)} came; {wrong[:4]}")  # fmt: skip

    def layout_by_symbol(self, ours):
        """A client that knows symbols only, with --keymap: X gets each character that the layout's keys have."""
        theirs = LAYOUTS[ours]
        self.guest.shell(f"setxkbmap -layout {theirs}")
        layout, _, variant = theirs.partition(" -variant ")
        codes = [code for code in (*range(2, 58), 86, 89, 124) if code not in keys.LIGHTS]
        symbols = [symbol for symbol in xkb.Layout(layout, variant).symbols(codes)
                   if 0x20 < xkb.character(symbol) and xkb.character(symbol) != 0x7F and symbol < 0xFF80 or xkb.is_dead(symbol)]  # fmt: skip
        with rfb.RfbClient(port=self.port) as client:

            def strike(some):
                for symbol in some:
                    client.keysym(symbol, True)
                    client.keysym(symbol, False)

            found = self.x_symbols(strike, symbols, SYMBOLS_CHUNK)
        wrong = [(xkb.name(one), xkb.name(other)) for one, other in zip(found, symbols) if not xkb.same(one, other)]
        check(len(found) == len(symbols) and not wrong, f"rfb, symbols: --keymap {ours}: {len(symbols)} symbols are the same in X",
              f"{len(found)} came; {wrong[:4]}")  # fmt: skip
        state = self.guest.eye("where")
        check("buttons 0" in state, f"--keymap {ours}: nothing is held", state)

    # ---- pointer ----

    def at(self, x, y, seconds=20):
        """Waits until X says that the pointer is there; else says where it is."""
        wanted = f"motion {x} {y}"
        lines = self.guest.x.lines(lambda found: wanted in found, seconds)
        if wanted in lines:
            return None
        where = self.guest.where()[:2]
        return None if where == (x, y) else where

    def hit(self, name, aim, whole=1):
        """All targets of the grid, brought to multiples of a whole number; aim(x, y) moves there."""
        missed = []
        began = time.monotonic()
        for x, y in grid(*SIZE):
            x, y = x // whole * whole, y // whole * whole
            aim(x, y)
            where = self.at(x, y, 2 if missed else 5)
            if where:
                missed.append(((x, y), where))
                if len(missed) > 4:
                    break
        check(not missed, f"{name}: {GRID * GRID} targets hit exactly ({time.monotonic() - began:.1f} s)", f"{missed}")

    def resize(self, window, width, height):
        """A window of that size in the desktop's corner."""
        self.desktop.xdotool("windowmove", window, 0, 0, "windowsize", window, width, height)
        deadline = time.monotonic() + 60
        while self.desktop.geometry(window) != (0, 0, width, height) and time.monotonic() < deadline:
            time.sleep(0.1)
        # vmgui hears of it, too.
        time.sleep(1)

    def until_it_follows(self, aim):
        """A window that has just got another size may still go by the former one."""
        for _ in range(30):
            for place in ((SIZE[0] - 2, SIZE[1] - 2), (SIZE[0] // 2, SIZE[1] // 2)):
                aim(*place)
                if not self.at(*place, 2):
                    return

    def take_mouse(self):
        """A click, until the mouse is the guest's."""
        self.guest.x.take()
        self.xtest.click(1)
        for n in range(120):
            # Whole pixels at each scale, and back again.
            self.xtest.step(-6 if n % 2 else 6, 0)
            if any(line.startswith("motion") for line in self.guest.x.lines(lambda lines: any("motion" in line for line in lines), 0.5)):
                break
        else:
            raise GuestError("sdl: a click does not take the mouse")
        time.sleep(0.5)

    def absolute(self):
        """The VMware pointer: exactly where the hand is, with nothing grabbed."""
        with rfb.RfbClient(port=self.port) as client:
            self.hit("absolute, rfb", client.pointer)
        if not self.desktop:
            return
        window = self.desktop.window("^vmgui", by="class")
        self.xtest.focus(window)
        for up, down in SCALES:
            self.resize(window, SIZE[0] * up // down, SIZE[1] * up // down)
            left, top, _, _ = self.desktop.geometry(window)


            def aim(x, y):  # at the middle of a pixel of the guest's
                # pylint: disable=cell-var-from-loop
                self.xtest.move(left + (2 * x + 1) * up // (2 * down), top + (2 * y + 1) * up // (2 * down))

            self.until_it_follows(aim)
            self.hit(f"absolute, sdl, scale {up / down:g}", aim)

    def relative(self):
        """A mouse that knows steps only."""
        guest = self.guest
        # (psmouse's parameter proto=exps finds the VMware pointer first, and then a mouse of two buttons.)
        guest.shell("printf exps >/sys/bus/serio/devices/serio1/protocol; udevadm settle", 60)
        guest.evdev.lines(lambda found: any("ImExPS/2" in line for line in found), 60)
        time.sleep(1)
        guest.x.take()
        with rfb.RfbClient(port=self.port) as client:
            # From corner to corner: wherever the guest's pointer was, both are at 0,0 then.
            for _ in range(2):
                client.pointer(*(n - 1 for n in SIZE))
                time.sleep(0.3)
                client.pointer(0, 0)
                time.sleep(0.3)
            self.hit("relative, rfb", client.pointer)
        with rfb.RfbClient(port=self.port, extensions=(rfb.POINTER_MOTION,)) as client:
            client.wait_for(lambda: client.relative, "the server wants steps")
            self.hit("relative, rfb by steps", self.stepper(client.step))
        if not self.desktop:
            return
        window = self.desktop.window("^vmgui", by="class")
        self.xtest.focus(window)
        for up, down in SCALES:
            self.resize(window, SIZE[0] * up // down, SIZE[1] * up // down)
            left, top, width, height = self.desktop.geometry(window)
            self.xtest.move(left + width // 2, top + height // 2)
            self.take_mouse()
            # Targets that whole steps lead to: what is left over is the next motion's, whichever way that goes.
            self.hit(f"relative, sdl, scale {up / down:g}", self.stepper(self.xtest.step, up, down), down)
            self.release_mouse()

    def release_mouse(self):
        """Ctrl-Alt-G."""
        for code in (keys.LEFTCTRL, keys.LEFTALT, 34):
            self.xtest.key(code, True)
        for code in (34, keys.LEFTALT, keys.LEFTCTRL):
            self.xtest.key(code, False)
        time.sleep(0.3)

    def stepper(self, step, up=1, down=1):
        """aim() for a hand that moves by steps: to the corner first, then from target to target. A window that shows the picture larger
        takes as many more steps."""
        for _ in range(6):
            step(-300 * up // down, -300 * up // down)
            time.sleep(0.05)
        state = {"x": 0, "y": 0, "sent_x": 0, "sent_y": 0}
        time.sleep(0.5)

        def aim(x, y):
            sent_x, sent_y = x * up // down, y * up // down
            step(sent_x - state["sent_x"], sent_y - state["sent_y"])
            state.update(sent_x=sent_x, sent_y=sent_y)

        return aim

    # ---- buttons, wheels, lights ----

    def buttons(self, kind, count):
        """Buttons and wheels by their numbers in X: 1 to 3, 4 and 5 the wheel, 6 and 7 the other, 8 and 9 back and forward."""
        guest = self.guest
        with rfb.RfbClient(port=self.port) as client:
            client.pointer(100, 100)
            time.sleep(0.3)
            guest.x.take()
            wanted = list(range(1, min(count, 7) + 1))
            for n in wanted:
                client.pointer(100, 100, 1 << (n - 1))
                client.pointer(100, 100)
                # A mouse of steps sums up what it has not told: up and down at once is nothing.
                time.sleep(0.1)
            self.pressed(f"{kind}, rfb", wanted)
        if not self.desktop:
            return
        window = self.desktop.window("^vmgui", by="class")
        self.xtest.focus(window)
        left, top, width, height = self.desktop.geometry(window)
        self.xtest.move(left + width // 2, top + height // 2)
        if kind == "relative":
            self.take_mouse()
        time.sleep(0.5)
        guest.x.take()
        wanted = list(range(1, count + 1))
        for n in wanted:
            self.xtest.click(n)
            time.sleep(0.05)
        self.pressed(f"{kind}, sdl", wanted)
        if kind == "relative":
            self.release_mouse()

    def pressed(self, name, wanted):
        want = [f"button {n} {down}" for n in wanted for down in (1, 0)]
        lines = self.guest.x.lines(lambda found: sum(line.startswith("button") for line in found) >= len(want), 60)
        found = [line for line in lines if line.startswith("button")]
        check(found == want, f"{name}: buttons and wheels {wanted}", f"{found}")

    def lights(self):
        """Caps Lock in the guest, by whoever: every client that asked is told."""
        with rfb.RfbClient(port=self.port, extensions=(rfb.QEMU_LEDS,)) as one, rfb.RfbClient(
            port=self.port, extensions=(rfb.VMWARE_LEDS,)
        ) as other, rfb.RfbClient(port=self.port) as typist:
            caps = keys.LIGHTS[keys.CAPSLOCK]
            for name, act in (
                ("a key", lambda: [typist.keysym(0xFFE5, down) for down in (True, False)]),
                ("X in the guest", lambda: self.guest.shell("xdotool key Caps_Lock")),
            ):
                seen = []
                act()
                for client in (one, other):
                    try:
                        client.wait_for(lambda c=client: c.leds and bool(c.leds[-1] & caps) == (name == "a key"), "the light")
                        seen.append(True)
                    except rfb.RfbError:
                        seen.append(client.leds)
                check(seen == [True, True], f"Caps Lock {'on' if name == 'a key' else 'off'} by {name}: both kinds of clients see it", f"{seen}")

    # ---- all of it ----

    def all(self):
        guest = self.guest
        guest.start_watching()
        guest.evdev.lines(lambda found: len(found) >= 2, 60)
        names = guest.shell("grep -h '^N' /proc/bus/input/devices")
        check("VMMouse" in names, "the guest has the VMware pointer", names)
        size = guest.start_x("modesetting")
        say(f"X has {size[0]}x{size[1]}")
        self.absolute()
        # The VMware pointer has three buttons and one wheel.
        self.buttons("absolute", 5)
        self.keyboards()
        if self.desktop:
            self.layouts_by_place("sdl", self.sdl_fingers())
        self.flood(self.FLOOD)
        self.layout_by_symbol("us")
        self.lights()
        self.relative()
        self.buttons("relative", 9)
        if self.xtest:
            self.xtest.close()
