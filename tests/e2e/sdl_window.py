"""What a user does at the SDL window on X11, and what comes of it: on the screen, to the pixel, and at the "guest".

Part of e2e.window (window.py). Without a window manager, but for the server's own rules.
"""

import ctypes
import os
import signal
import subprocess
import time

from demo import HEIGHT, WIDTH, Demo, check, compare, expected_picture, is_drawn, press, take_mouse, wait
from desktop import DesktopError
from image import Image
from xtest import XTest

HOTKEY_NOISE = ("+29", "+56", "-29", "-56")
# X has key codes up to 255, of evdev's 247. 84 is no key of Linux's; 241 and 242 the X server takes for itself (other video modes).
ALL_KEYS = [code for code in range(1, 248) if code not in (84, 241, 242)]
MORE_LAYOUTS = ("de", "fr", "us(dvorak)", "ru", "jp", "br")
SUPER_MASK, ALL_MODIFIERS = 0x40, 0x8000


class Rival:
    """Another X client that takes keys away: a desktop with shortcuts, a program that grabs the keyboard."""

    def __init__(self, display):
        self._x = ctypes.CDLL("libX11.so.6")
        self._x.XOpenDisplay.restype = ctypes.c_void_p
        self._x.XDefaultRootWindow.restype = ctypes.c_ulong
        self._display = ctypes.c_void_p(self._x.XOpenDisplay(display.encode()))
        self._root = ctypes.c_ulong(self._x.XDefaultRootWindow(self._display))

    def take_shortcut(self, code):
        """Super with that key is the desktop's."""
        self._x.XGrabKey(self._display, code + 8, SUPER_MASK, self._root, 0, 1, 1)
        self._x.XSync(self._display, 0)

    def grab_keyboard(self):
        """Whether it got the keyboard for itself."""
        return self._x.XGrabKeyboard(self._display, self._root, 0, 1, 1, ctypes.c_ulong(0)) == 0

    def shortcuts(self):
        """How many events came since the last time."""
        self._x.XSync(self._display, 0)
        count = self._x.XPending(self._display)
        event = ctypes.create_string_buffer(192)
        for _ in range(count):
            self._x.XNextEvent(self._display, event)
        return count

    def close(self):
        self._x.XCloseDisplay(self._display)


class Window:
    """The demo's window on a desktop, with the focus."""

    def __init__(self, desktop, program, artefacts, name, *options):
        self.desktop = desktop
        self.name = name
        self._artefacts = artefacts
        self.demo = Demo(desktop, program, os.path.join(artefacts, f"sdl-{name}.log"), "--sdl", f"--name={name}", *options)
        self.id = desktop.window(f"^{name} - ")
        wait(lambda: is_drawn(self.picture()), f"{name}: the window shows something")
        self.focus()

    def focus(self):
        self.desktop.xdotool("windowfocus", "--sync", self.id, "sleep", 0.2)

    def xdotool(self, *arguments):
        self.desktop.xdotool(*arguments)

    def title(self):
        return self.desktop.xdotool("getwindowname", self.id).strip()

    def geometry(self):
        """x, y, width, height."""
        lines = self.desktop.xdotool("getwindowgeometry", "--shell", self.id).splitlines()
        values = dict(line.split("=") for line in lines)
        return tuple(int(values[name]) for name in ("X", "Y", "WIDTH", "HEIGHT"))

    def resize(self, width, height):
        """By hand, not within the moment in which a window takes its size for the window manager's."""
        self.xdotool("sleep", 0.7, "windowmove", self.id, 0, 0, "windowsize", self.id, width, height)
        wait(lambda: self.geometry() == (0, 0, width, height), "the window's new place and size")
        self.xdotool("sleep", 0.7)

    def take_mouse(self):
        """A click, until the mouse is the guest's."""
        take_mouse(
            self.demo,
            lambda: self.xdotool("click", 1),
            lambda dx, dy: self.xdotool("mousemove_relative", "--", dx, dy),
        )

    def settle(self):
        """Until the picture stands still."""
        pictures = [None]

        def stands():
            time.sleep(0.5)
            pictures.append(self.picture().data)
            return pictures[-1] == pictures[-2]

        wait(stands, "a picture that stands still")

    def picture(self):
        try:
            return self.desktop.picture(self.id)
        except DesktopError:  # in the middle of another size
            return Image(0, 0)

    def hotkey(self, key):
        """And no key of it stays with the guest."""
        self.demo.hotkey(lambda: self.xdotool("key", f"ctrl+alt+{key}", "sleep", 0.1))

    def shows(self, image, what):
        """Waits until the window shows exactly this."""
        compare(self.picture, image, f"sdl: {what}", os.path.join(self._artefacts, f"sdl-{self.name}.png"))

    def keep(self, what):
        """A picture for people to look at."""
        self.picture().save(os.path.join(self._artefacts, f"sdl-{what}.png"))

    def end(self):
        self.demo.process.send_signal(signal.SIGTERM)
        check(self.demo.process.wait(60) == 0, f"sdl: {self.name} ends well")


def enlarged(image, factor):
    """Each pixel as a square."""
    data = bytearray()
    for y in range(image.height):
        row = b"".join(image.row(y, x, 1) * factor for x in range(image.width))
        data += row * factor
    return Image(image.width * factor, image.height * factor, data)


def check_keys(desktop, window):
    """Every key, whatever the host's layout."""
    hand = XTest(desktop.display)
    for layout in ("us", *MORE_LAYOUTS):
        name, _, variant = layout.rstrip(")").partition("(")
        command = ["setxkbmap", "-layout", name, "-variant", variant]
        subprocess.run(command, env=desktop.environment, check=True)
        time.sleep(0.5)
        window.demo.take()
        for code in ALL_KEYS:
            hand.press(code)
        window.demo.expect(
            [event for code in ALL_KEYS for event in press(code)], f"sdl: {layout}: every key by its own code", quiet=True
        )
        # Twice, so that no lock stays on.
        for code in (58, 69, 70):
            hand.press(code)
        window.demo.expect([event for code in (58, 69, 70) for event in press(code)], f"sdl: {layout}: locks", quiet=True)
    subprocess.run(["setxkbmap", "-layout", "us", "-variant", ""], env=desktop.environment, check=True)
    time.sleep(0.5)
    window.demo.take()
    hand.close()


def targets():
    """A grid of 100, corners and edges included."""
    return [(x * (WIDTH - 1) // 9, y * (HEIGHT - 1) // 9) for y in range(10) for x in range(10)]


def clicks_seen(window, count, button):
    """Where the guest's pointer was at each click: absolute, or the sum of its motion."""
    places, x, y = [], 0, 0
    deadline = time.monotonic() + 60
    while len(places) < count and time.monotonic() < deadline:
        for event in window.demo.take():
            kind, _, rest = event.partition("(")
            if kind == "abs":
                x, y = map(int, rest.split(",")[:2])
            elif kind == "rel":
                dx, dy = map(int, rest.rstrip(")").split(","))
                x, y = x + dx, y + dy
            elif event == f"b+{button}":
                places.append((x, y))
        time.sleep(0.05)
    return places


def check_absolute_grid(window, expected, width, height):
    """100 targets in a window of that size; each is the pixel that is seen there."""
    window.resize(width, height)
    scale = min(width / WIDTH, height / HEIGHT)
    shown_width, shown_height = round(WIDTH * scale), round(HEIGHT * scale)
    left, top = (width - shown_width) // 2, (height - shown_height) // 2
    command, places = [], []
    for x, y in targets():
        # The place whose middle is the closest to the middle of the target pixel.
        place = (left + (2 * x + 1) * shown_width // (2 * WIDTH), top + (2 * y + 1) * shown_height // (2 * HEIGHT))
        places.append(place)
        command += ["mousemove", "--window", window.id, *place, "click", 1]
    window.demo.take()
    window.xdotool(*command)
    seen = clicks_seen(window, len(places), 272)
    check(seen == targets(), f"sdl: 100 targets, absolute, in a window of {width}x{height}")
    wait(
        lambda: (picture := window.picture()).width == width
        and all(picture.pixel(*place) == expected.pixel(*target) for place, target in zip(places, targets())),
        f"the picture's pixels where they are aimed at, in a window of {width}x{height}",
    )


def check_relative_grid(window, width, height):
    """The same for a guest that is only told of motion."""
    window.resize(width, height)
    window.xdotool("mousemove", "--window", window.id, width // 2, height // 2, "sleep", 0.1)
    window.take_mouse()
    command, at, wanted = [], (0, 0), []
    for x, y in targets():
        x, y = x // 2 * 2, y // 2 * 2
        wanted.append((x, y))
        to = (x * width // WIDTH, y * height // HEIGHT)
        command += ["mousemove_relative", "--", to[0] - at[0], to[1] - at[1], "click", 3]
        at = to
    window.xdotool(*command)
    seen = clicks_seen(window, len(wanted), 273)
    check(seen == wanted, f"sdl: 100 targets, relative, in a window of {width}x{height}")
    window.hotkey("g")


def check_scales(desktop, program, artefacts, expected):
    """--scale and --filter."""
    for percent, image in ((100, expected), (200, enlarged(expected, 2))):
        window = Window(desktop, program, artefacts, f"scale{percent}", f"--scale={percent}")
        window.shows(image, f"exact at {percent}%")
        window.end()
    window = Window(desktop, program, artefacts, "scale300", "--scale=300", "--size=400x300")
    picture = wait(lambda: (image := window.picture()).width == 1200 and image, "300%")
    small = Image(400, 300)
    for y in range(300):
        for x in range(400):
            small.data[(y * 400 + x) * 3 : (y * 400 + x) * 3 + 3] = bytes(picture.pixel(3 * x + 1, 3 * y + 1))
    window.shows(enlarged(small, 3), "each pixel a square at 300%")
    window.end()
    window = Window(desktop, program, artefacts, "integer", "--scale=integer", "--size=400x300")
    window.resize(1000, 700)

    def twice(picture):
        return picture.pixel(99, 300) == (0, 0, 0) and picture.pixel(100, 300) == picture.pixel(101, 301) == (255, 255, 255)

    wait(lambda: twice(window.picture()), "twice, and black around it")
    check(True, "sdl: twice, and black around it")
    window.end()
    pictures = {}
    for name in ("nearest", "smooth", "auto"):
        window = Window(desktop, program, artefacts, name, "--scale=150", f"--filter={name}")
        window.settle()
        pictures[name] = window.picture()
        colours = {pictures[name].pixel(x, 300) for x in range(2, 1198)}
        check((len(colours) == 8) == (name == "nearest"), f"sdl: {name} at 150%: {len(colours)} colours")
        window.end()
    check(pictures["auto"].data == pictures["smooth"].data, "sdl: auto is smooth at 150%")


def check_hotkeys(desktop, window, expected):
    """Those that change what is seen."""
    place = window.geometry()
    window.shows(expected, "the picture is exact")
    window.hotkey("f")
    wait(lambda: window.geometry() == (0, 0, *desktop.size), "full screen")
    height = desktop.size[0] * HEIGHT // WIDTH
    wait(lambda: window.picture().pixel(desktop.size[0] // 2 - 20, 20) == (255, 255, 255), "the picture fills it")
    check(height >= desktop.size[1], "sdl: fits the full screen")
    wait(lambda: "releases the keyboard" in window.title(), "on the full screen the keyboard is the guest's")
    check(True, "sdl: on the full screen the keyboard is the guest's")
    window.keep("fullscreen")
    window.hotkey("f")
    wait(lambda: window.geometry() == place, "the window is where it was")
    window.shows(expected, "back from the full screen")
    wait(lambda: "grabs the keyboard" in window.title(), "and the keyboard is the desktop's")
    window.hotkey("h")
    wait(lambda: window.picture().data != expected.data, "help")
    window.keep("help")
    window.hotkey("F1")
    window.shows(expected, "without the help")
    for key, size in (("equal", 1000), ("shift+equal", 1200), ("minus", 1000), ("minus", 800), ("minus", 600), ("0", 800)):
        window.hotkey(key)
        wait(lambda: window.geometry()[2] == size, f"zoomed by {key} to {size}")
    window.shows(expected, "pixel by pixel")
    window.resize(1000, 700)
    wait(lambda: window.picture().crop(100, 50, 800, 600).data == expected.data, "pixel by pixel in another window")
    check(True, "sdl: and so it stays in another window")
    window.hotkey("0")
    window.resize(1000, 700)
    wait(lambda: window.picture().pixel(34, 350) != (0, 0, 0), "then the scale is the first one")
    window.resize(800, 600)
    window.demo.take()
    window.hotkey("p")
    wait(lambda: " - paused - " in window.title(), "paused")
    window.hotkey("p")
    window.hotkey("s")
    window.demo.expect(["pause", "pause", "screenshot"], "sdl: pause, go on, screenshot", extra=HOTKEY_NOISE)


def check_grab(desktop, window):
    """The keys of the desktop; another program that has the keyboard; the focus."""
    rival = Rival(desktop.display)
    rival.take_shortcut(32)
    window.demo.take()
    window.xdotool("key", "super+d")
    wait(lambda: rival.shortcuts() > 0, "Super-D is the desktop's")
    check("+32" not in window.demo.until("-125"), "sdl: Super-D is the desktop's")
    window.hotkey("g")
    window.demo.take()
    window.xdotool("key", "super+d", "sleep", 0.2, "key", "alt+Tab", "key", "Print", "sleep", 0.2)
    window.demo.expect(
        ["+125", "+32", "-125", "-32", "+56", "+15", "-56", "-15", *press(99)],
        "sdl: grabbed, Super-D, Alt-Tab and Print are the guest's",
    )
    check(rival.shortcuts() == 0, "sdl: and not the desktop's")
    check(not rival.grab_keyboard(), "sdl: the keyboard is ours")
    # The focus goes: so does the grab, and every key.
    window.demo.take()
    window.xdotool("keydown", "a")
    window.demo.expect(["+30"], "sdl: a key that is held", quiet=True)
    window.xdotool("windowunmap", "--sync", window.id)
    window.demo.expect(["-30"], "sdl: a window out of sight lets go of all keys")
    wait(rival.grab_keyboard, "the keyboard is free")
    check(True, "sdl: and of the keyboard")
    window.xdotool("keyup", "a", "windowmap", "--sync", window.id)
    window.focus()
    rival.close()
    window.demo.take()


def check_refusal(desktop, window):
    """Another program has the keyboard."""
    rival = Rival(desktop.display)
    check(rival.grab_keyboard(), "sdl: another program has the keyboard")
    window.demo.take()
    # Whoever waits for it does so each time; a busy machine is slow once in a while.
    for _ in range(5):
        told = window.demo.text().count("another program has the keyboard")
        begin = time.monotonic()
        window.xdotool("mousemove", "--window", window.id, 100, 100, "click", 1)
        wait(lambda: window.demo.text().count("another program has the keyboard") > told, "the refusal is told")
        seconds = time.monotonic() - begin
        if seconds < 3:
            break
    check(seconds < 3, "sdl: which is not waited for")
    window.xdotool("mousemove_relative", "--", 5, 5, "click", 1, "sleep", 0.2)
    window.demo.expect([], "sdl: and nothing is grabbed")
    rival.close()
    window.focus()
    window.demo.take()
    window.take_mouse()
    window.xdotool("mousemove_relative", "--", 5, 5)
    window.demo.expect(["rel(5,5)"], "sdl: later the mouse is the guest's")
    # The guest finds a tablet: the mouse is the desktop's again, and back.
    os.kill(window.demo.process.pid, signal.SIGUSR1)
    wait(lambda: "grabs the keyboard" in window.title(), "the title of an absolute pointer")
    window.demo.take()
    window.xdotool("mousemove", "--window", window.id, 33, 44, "sleep", 0.2)
    window.demo.expect(["abs(33,44,800x600)"], "sdl: a pointer that becomes absolute is followed without a grab")
    os.kill(window.demo.process.pid, signal.SIGUSR1)
    wait(lambda: "releases the mouse" in window.title(), "the title of a relative one")


def check_release_keys(desktop, program, artefacts):
    """Another release key, and a lone modifier."""
    for chord, keys in (("super-escape", ["super+Escape"]), ("right-ctrl", ["Control_R"]), ("ctrl-shift-f12", ["ctrl+shift+F12"])):
        window = Window(desktop, program, artefacts, chord, f"--release={chord}")
        window.xdotool("mousemove", "--window", window.id, 100, 100, "sleep", 0.1)
        window.take_mouse()
        window.xdotool("mousemove_relative", "--", 5, 5)
        window.demo.expect(["rel(5,5)"], f"sdl: {chord}: the mouse is the guest's")
        window.xdotool("key", *keys, "sleep", 0.3)
        window.demo.take()
        window.xdotool("mousemove_relative", "--", 5, 5, "sleep", 0.2)
        window.demo.expect([], f"sdl: {chord}: and is no more")
        window.end()


def check_memory(desktop, program, artefacts):
    """Size and scale of a named guest, and none of an unnamed one."""
    window = Window(desktop, program, artefacts, "named")
    window.resize(1100, 700)
    window.end()
    window = Window(desktop, program, artefacts, "named")
    wait(lambda: window.geometry()[2:] == (1100, 700), "sdl: the size of the last time")
    window.hotkey("equal")
    wait(lambda: window.geometry()[2] != 1100, "zoomed")
    size = window.geometry()[2:]
    window.end()
    window = Window(desktop, program, artefacts, "named")
    wait(lambda: window.geometry()[2:] == size, "sdl: the scale of the last time")
    window.end()
    window = Window(desktop, program, artefacts, "named", "--scale=fit")
    wait(lambda: window.geometry()[2:] == (WIDTH, HEIGHT), "sdl: a scale that is given goes first")
    check(True, "sdl: size and scale are remembered")
    window.end()


def check_end(desktop, program, artefacts):
    """--fullscreen from the start, then --keep-open."""
    window = Window(desktop, program, artefacts, "ending", "--keep-open", "--fullscreen", "--absolute")
    wait(lambda: window.geometry() == (0, 0, *desktop.size), "sdl: full screen from the start")
    desktop.ask_to_close(window.id)
    wait(lambda: "powerdown" in window.demo.take(), "closing asks for power down")
    wait(lambda: "the guest powered down" in window.title(), "the title says why")
    time.sleep(0.5)
    window.keep("ended")
    desktop.ask_to_close(window.id)
    wait(lambda: "closed" in window.demo.take(), "closing again")
    check(window.demo.process.wait(60) == 0, "sdl: the last picture stays until it is closed")


def check_all(desktop, program, artefacts):
    """Everything, on an empty desktop."""
    expected = expected_picture()
    window = Window(desktop, program, artefacts, "absolute", "--absolute", "--filter=nearest")
    check_hotkeys(desktop, window, expected)
    check_keys(desktop, window)
    check_grab(desktop, window)
    for width, height in ((800, 600), (1200, 900), (1600, 1200), (1333, 1000), (1500, 700)):
        check_absolute_grid(window, expected, width, height)
    window.end()
    window = Window(desktop, program, artefacts, "relative")
    check_refusal(desktop, window)
    for width, height in ((800, 600), (1200, 900), (1600, 1200)):
        check_relative_grid(window, width, height)
    window.end()
    check_scales(desktop, program, artefacts, expected)
    check_release_keys(desktop, program, artefacts)
    check_memory(desktop, program, artefacts)
    check_end(desktop, program, artefacts)
