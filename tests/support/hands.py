"""Ways to use a guest's screen: through a bare VNC connection, or through a window on an X desktop.

Fingers press keys, by their evdev codes, and tell nobody what they mean. A hand sees the guest's picture, presses keys, moves the pointer by small steps and clicks. What a hand moves is a relative mouse,
which the guest may accelerate; so the way to a target is found by looking where the pointer went.
"""

import struct
import time
import zlib

import keys

STEP = 3  # pixels; slow enough that no guest accelerates
STEP_SECONDS = 0.01
LEG = 150  # pixels moved between two looks at the pointer


class NotSeen(AssertionError):
    """What should have appeared did not; image is what stood there instead."""

    def __init__(self, text, image):
        super().__init__(text)
        self.image = image


class Hand:
    """What all hands share; those below know how to look and how to act."""

    name = "?"

    def wait(self, condition, what, timeout=180):
        """Looks until condition(picture) holds; returns that picture."""
        deadline = time.monotonic() + timeout
        while True:
            image = self.image()
            if condition(image):
                return image
            if time.monotonic() > deadline:
                raise NotSeen(f"{self.name}: {what}: not seen within {timeout} s", image)
            self.rest(0.3)

    def settle(self, quiet=0.7, timeout=30):
        """Waits until the picture stands still; returns it."""
        deadline = time.monotonic() + timeout
        image = self.image()
        while True:
            self.rest(quiet)
            before, image = image, self.image()
            if image == before or time.monotonic() > deadline:
                return image

    def rest(self, seconds):
        """Lets time pass."""
        time.sleep(seconds)

    def steer(self, find_pointer, x, y, tolerance=4):
        """Moves the guest's pointer to (x, y); find_pointer(picture) tells where it is."""
        seen = []
        # Whoever moved the mouse before, from here on hand and guest agree where it is.
        self.home()
        self.nudge(40, 40)
        for _ in range(30):
            where = find_pointer(self.settle(0.4))
            seen.append(where)
            if where and abs(where[0] - x) <= tolerance and abs(where[1] - y) <= tolerance:
                return
            # On a busy machine steps run together and the guest takes them for speed: no long way without a look.
            if where:
                moved = self.nudge(*(max(-LEG, min(LEG, wanted)) for wanted in (x - where[0], y - where[1])))
            else:
                # Most likely at the right or lower edge, where half of the arrow is cut off.
                moved = len(seen) > 1 and seen[-2] is not None and self.nudge(-40, -40)
            if not moved:
                self.home()
                self.nudge(40, 40)
        raise NotSeen(f"{self.name}: the pointer does not reach {x},{y}; it was at {seen}", self.image())

    def _steps(self, dx, dy):
        """A straight way of small steps."""
        count = max(1, (max(abs(dx), abs(dy)) + STEP - 1) // STEP)
        done_x = done_y = 0
        for n in range(1, count + 1):
            x, y = round(dx * n / count), round(dy * n / count)
            yield x - done_x, y - done_y
            done_x, done_y = x, y


class VncHand(Hand):
    """A bare RFB connection (rfb.RfbClient)."""

    name = "vnc"

    def __init__(self, client):
        self._client = client
        self._x, self._y = client.width // 2, client.height // 2
        client.refresh()

    def image(self):
        self._client.poll(0)
        return self._client.image()

    def rest(self, seconds):
        self._client.poll(seconds)

    def key(self, name):
        self._client.press(name)

    def nudge(self, dx, dy):
        """Moves by that much; False, and nothing moved, where VNC's absolute position has no room for it."""
        if not (0 <= self._x + dx < self._client.width and 0 <= self._y + dy < self._client.height):
            return False
        for x, y in self._steps(dx, dy):
            self._x += x
            self._y += y
            self._client.pointer(self._x, self._y)
            self._client.poll(STEP_SECONDS)
        return True

    def home(self):
        """Brings VNC's position and the guest's pointer to the left upper corner."""
        for _ in range(2):
            self._client.pointer(self._client.width - 1, self._client.height - 1)
            self._client.poll(0.2)
            self._client.pointer(0, 0)
            self._client.poll(0.2)
        self._x = self._y = 0

    def click(self):
        for mask in (1, 0):
            self._client.pointer(self._x, self._y, mask)
            self._client.poll(0.15)


class WindowHand(Hand):
    """A window on a desktop (desktop.Desktop), used through xdotool.

    A window that keeps the mouse to itself (SDL) gets relative motion; for a VNC viewer, which sends where in its window the
    mouse is, the same limits hold as for a bare connection.
    """

    def __init__(self, name, desktop, window, relative):
        self.name = name
        self._desktop, self._window, self._relative = desktop, window, relative
        self._x, self._y = 600, 30  # the guest's pointer may come along, and nothing of interest is under it
        desktop.xdotool("windowfocus", window)
        # A window takes mouse motion seriously once it was clicked on; the middle button follows no link and presses nothing.
        desktop.xdotool("mousemove", "--window", window, self._x, self._y, "sleep", 0.2, "click", 2)
        self.settle()

    def image(self):
        return self._desktop.picture(self._window)

    def key(self, name):
        self._desktop.xdotool("key", "--delay", 50, name)

    def nudge(self, dx, dy):
        if not self._relative:
            size = self.image()
            if not (0 <= self._x + dx < size.width and 0 <= self._y + dy < size.height):
                return False
        command = []
        for x, y in self._steps(dx, dy):
            self._x += x
            self._y += y
            if self._relative:
                command += ["mousemove_relative", "--", x, y]
            else:
                command += ["mousemove", "--window", self._window, self._x, self._y]
            command += ["sleep", STEP_SECONDS]
        self._desktop.xdotool(*command)
        return True

    def home(self):
        if self._relative:
            self._desktop.xdotool(*["mousemove_relative", "--", -400, -400, "sleep", 0.05] * 5)
            return
        size = self.image()
        far = ["mousemove", "--window", self._window, size.width - 1, size.height - 1, "sleep", 0.2]
        near = ["mousemove", "--window", self._window, 0, 0, "sleep", 0.2]
        self._desktop.xdotool(*far, *near, *far, *near)
        self._x = self._y = 0

    def click(self):
        self._desktop.xdotool("mousedown", 1, "sleep", 0.15, "mouseup", 1)


def rollover(codes):
    """(code, down) as fast typists have it: the next key goes down before the last one is up."""
    events = []
    for before, code in zip([None, *codes], [*codes, None], strict=True):
        if code:
            events.append((code, True))
        if before:
            events.append((before, False))
    return events


def record_sum(events):
    """The CRC-32 by which a guest tells what keys it has had."""
    return zlib.crc32(b"".join(struct.pack("<H", code | (0x4000 if down else 0)) for code, down in events))


class Fingers:
    """What all fingers share: those below know how to press and how to let go of a key."""

    name = "?"
    # Keys of a PC keyboard that cannot be sent this way.
    without = frozenset()

    def press(self, code):
        """Press and release."""
        self.key(code, True)
        self.key(code, False)

    def type(self, codes):
        """One after the other, as fast as they go."""
        for code in codes:
            self.press(code)


class SymbolFingers(Fingers):
    """A bare RFB connection (rfb.RfbClient) of a client that knows symbols only, with a US keyboard."""

    name = "vnc, symbols"
    without = frozenset(code for code in (*keys.PC_KEYS, *keys.EXTRA) if keys.us_keysym(code) is None)

    def __init__(self, client):
        self.client = client

    def key(self, code, down):
        self.client.keysym(keys.us_keysym(code), down)


class ScanFingers(Fingers):
    """The same of a client that sends scan codes; the server must have agreed (client.agreed)."""

    name = "vnc, scan codes"

    def __init__(self, client):
        self.client = client

    def key(self, code, down):
        self.client.scan(keys.rfb_code(code), down, keys.us_keysym(code) or 0)


class XFingers(Fingers):
    """An X server (xtest.XTest), at whose window with the focus they are."""

    # Toolkits take a key that is let go and pressed again in less time for X's repetition (SDL: 2 ms).
    AGAIN_SECONDS = 0.005

    def __init__(self, name, xtest):
        self.name = name
        self.xtest = xtest
        # SDL 2 on X11 has no name of its own for it.
        self.without = frozenset({keys.KP_COMMA} if name == "sdl" else ())

    def key(self, code, down):
        self.xtest.key(code, down)

    def type(self, codes):
        released = {}
        for code in codes:
            if time.monotonic() - released.get(code, 0) < self.AGAIN_SECONDS:
                self.xtest.sync()
                time.sleep(self.AGAIN_SECONDS)
            self.xtest.key_later(code, True)
            self.xtest.key_later(code, False)
            released[code] = time.monotonic()
        self.xtest.sync()
