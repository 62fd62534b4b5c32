"""Latencies from the guest's own write to its pixels, by the test card's `flash` (assets/testcard/README.md).

The card changes a few pixels after rests of 50 to 300 ms, when its own timer wakes it, and tells afterwards what its
time-stamp counter was just before each. Asking it for the counter before and after gives the two clocks' relation; the
quickest answers bound the error to a fraction of a millisecond.
"""

import ctypes
import select
import statistics
import subprocess
import time

PLACE = (504, 308)
FIRST_COLOUR = 0x010000
ASKED = 60
LONGEST = 0.3


def numbers(samples_ms):
    """Median, 99th percentile and worst of milliseconds."""
    samples = sorted(samples_ms)
    if not samples:
        return None
    return {
        "count": len(samples), "median": round(statistics.median(samples), 2),
        "p95": round(samples[len(samples) * 95 // 100], 2),
        "p99": round(samples[len(samples) * 99 // 100], 2), "max": round(samples[-1], 2),
    }  # fmt: skip


def clock_pair(card):
    """(guest's counter, our clock) at one moment, and half of what the answer took, in seconds."""
    best = None
    for _ in range(ASKED):
        start = time.monotonic()
        counter = int(card.ask("tsc", r"tsc ([0-9a-f]+)")[1], 16)
        end = time.monotonic()
        if best is None or end - start < 2 * best[2]:
            best = (counter, (start + end) / 2, (end - start) / 2)
    return best


class ClientEye:
    """Sees the pixel through a VNC client."""

    def __init__(self, client):
        self.client = client
        self.seen = {}

    def fileno(self):
        return self.client.fileno()

    def look(self):
        self.client.poll(0.0001)
        pixel = self.client.pixel(*PLACE)
        self.seen.setdefault(pixel - FIRST_COLOUR, time.monotonic())


class WindowEye:
    """Sees the pixel in a window: the X server tells when something was drawn (the DAMAGE extension)."""

    def __init__(self, display_name, window):
        self.seen = {}
        self.events = 0
        self.xlib = ctypes.CDLL("libX11.so.6")
        self.xdamage = ctypes.CDLL("libXdamage.so.1")
        for function in (self.xlib.XOpenDisplay, self.xlib.XGetImage):
            function.restype = ctypes.c_void_p
        self.xlib.XGetPixel.restype = ctypes.c_ulong
        self.xdamage.XDamageCreate.restype = ctypes.c_ulong
        self.display = ctypes.c_void_p(self.xlib.XOpenDisplay(display_name.encode()))
        self.window = ctypes.c_ulong(int(window))
        first, error = ctypes.c_int(), ctypes.c_int()
        self.xdamage.XDamageQueryExtension(self.display, ctypes.byref(first), ctypes.byref(error))
        self.damage = ctypes.c_ulong(self.xdamage.XDamageCreate(self.display, self.window, 3))  # when it is no longer empty
        self.xlib.XFlush(self.display)

    def fileno(self):
        return self.xlib.XConnectionNumber(self.display)

    def pixel(self, x, y):
        image = self.xlib.XGetImage(self.display, self.window, x, y, 1, 1, ctypes.c_ulong(0xFFFFFF), 2)
        if not image:
            return 0
        value = self.xlib.XGetPixel(ctypes.c_void_p(image), 0, 0)
        self.xlib.XDestroyImage(ctypes.c_void_p(image))
        return value & 0xFFFFFF

    def look(self):
        now = time.monotonic()
        self.take_events()
        self.seen.setdefault(self.pixel(*PLACE) - FIRST_COLOUR, now)

    def wait(self, seconds):
        """Takes in what the server tells within that time."""
        deadline = time.monotonic() + seconds
        while select.select([self], [], [], max(0, deadline - time.monotonic()))[0]:
            self.take_events()

    def take_events(self):
        event = ctypes.create_string_buffer(24 * 8)
        while self.xlib.XPending(self.display):
            self.xlib.XNextEvent(self.display, event)
            self.events += 1
            self.xdamage.XDamageSubtract(self.display, self.damage, ctypes.c_ulong(0), ctypes.c_ulong(0))
        self.xlib.XFlush(self.display)


class ProbeEye:
    """What the probe (probe.c) wrote."""

    def __init__(self, path):
        self.path = path

    @property
    def seen(self):
        with open(self.path, encoding="ascii") as file:
            return {int(number): int(when) / 1e9 for number, when in map(str.split, file)}


def noise(program, rounds, hops=4, sleep_us=1000):
    """Starts the machine's own noise beside us; .samples() when it is over."""
    process = subprocess.Popen([program, str(rounds), str(hops), str(sleep_us)], stdout=subprocess.PIPE, text=True)
    return process


def flash(card, eyes, count, noise_program=None):
    """Lets the card change `count` times: {name of the eye: numbers}. Eyes with a descriptor are woken by it."""
    waiting = [eye for eye in eyes.values() if hasattr(eye, "fileno")]
    before = clock_pair(card)
    for eye in waiting:
        eye.look()
    other = noise(noise_program, count) if noise_program else None
    card.send(f"flash {count} {int(time.time()) & 0xFFFFFF}")
    card.expect("flashing .*")
    start = len(card.lines)
    limit = time.monotonic() + count * LONGEST + 30
    while len(card.lines) == start:  # the first word comes when all is over
        if time.monotonic() > limit:
            raise AssertionError(f"the flashes do not end; {card.story()}")
        for eye in select.select(waiting, [], [], 0.5)[0]:
            eye.look()
    times = card.collect(r"flash (\d+) ([0-9a-f]+)", "flashed")
    after = clock_pair(card)
    rate = (after[1] - before[1]) / (after[0] - before[0])
    written = {int(match[1]): before[1] + (int(match[2], 16) - before[0]) * rate for match in times}
    result = {"clock_error_ms": round(max(before[2], after[2]) * 1000, 2)}
    for name, eye in eyes.items():
        seen, samples, arrival = eye.seen, [], None
        for number in range(count - 1, -1, -1):
            # A change that was overtaken by the next one was seen with that one.
            arrival = seen.get(number, arrival)
            if arrival is not None:
                samples.append((arrival - written[number]) * 1000)
        result[name] = numbers(samples)
    if other:
        result["noise"] = numbers([float(line) for line in other.communicate()[0].split()])
    return result
