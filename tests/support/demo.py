"""display_demo, driven: a test picture on a display and a "guest" that writes down what it gets."""

import itertools
import time

from image import Image

WIDTH, HEIGHT = 800, 600
BARS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (255, 255, 0), (0, 255, 255), (255, 0, 255)]


def say(text):
    print(text, flush=True)


def check(condition, text):
    if not condition:
        raise AssertionError(text)
    say(f"ok: {text}")


def wait(condition, what, timeout=60):
    """Until condition() is true, however slow the machine is; returns what it gave."""
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.05)


def press(code):
    return [f"+{code}", f"-{code}"]


def expected_picture():
    """display_demo's picture."""
    image = Image(WIDTH, HEIGHT)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            if x in (0, WIDTH - 1) or y in (0, HEIGHT - 1):
                colour = (255, 255, 255)
            elif y < HEIGHT // 2:
                colour = BARS[x * 8 // WIDTH]
            else:
                colour = (x * 255 // WIDTH, y * 255 // HEIGHT, 0x40)
            image.data[(y * WIDTH + x) * 3 : (y * WIDTH + x) * 3 + 3] = bytes(colour)
    return image


def compare(look, expected, what, path):
    """Waits until look() gives exactly the expected picture; else keeps what was there."""
    try:
        wait(lambda: look().data == expected.data, what)
    except AssertionError:
        look().save(path)
        raise
    check(True, what)


def is_drawn(image):
    """Whether some of display_demo's picture is there. A click before that is nobody's."""
    return bytes(BARS[0]) in image.data


class Demo:
    """display_demo on a desktop, and what its guest got."""

    def __init__(self, desktop, program, log, *options):
        self._log = log
        self._seen = 0
        self.process = desktop.start([program, *options], log)
        wait(lambda: "ready" in self._lines(), "display_demo is ready")
        self.take()

    def _lines(self):
        with open(self._log, encoding="utf-8") as file:
            return file.read().splitlines()

    def take(self):
        """The events since the last time, sync marks left out."""
        lines = self._lines()
        new, self._seen = lines[self._seen :], len(lines)
        return [line for line in new if line != "sync" and not line.startswith("vmgui:")]

    def expect(self, events, what, extra=(), quiet=False):
        """Waits for exactly these events; those in extra may stand between them."""
        got = []

        def complete():
            got.extend(event for event in self.take() if event not in extra)
            return len(got) >= len(events)

        try:
            wait(complete, what)
        except AssertionError:
            pass
        if not events:  # none are to come
            time.sleep(0.2)
            complete()
        if got == events:
            check(True, what if quiet else f"{what}: {' '.join(got)}")
        else:
            same = next((i for i, pair in enumerate(zip(got, events)) if pair[0] != pair[1]), min(len(got), len(events)))
            after = f"after {same} of {len(events)}: " if same > 20 else ""
            start = same if same > 20 else 0
            check(False, f"{what}: {after}{' '.join(got[start : start + 40])}, expected {' '.join(events[start : start + 40])}")

    def hotkey(self, press):
        """press() gives Ctrl, Alt and a key of the window's; until the guest has heard of the two keys' end, so that what comes
        afterwards is no part of it."""

        def ends():
            lines = self._lines()
            return lines.count("-29"), lines.count("-56")

        # No hand is as quick as a test, and toolkits take a key that is let go and pressed again at once for X's repetition.
        time.sleep(0.1)
        before = ends()
        press()
        wait(lambda: all(now > then for now, then in zip(ends(), before)), "Ctrl and Alt, pressed and let go")

    def until(self, last):
        """The events up to that one."""
        got = []

        def complete():
            got.extend(self.take())
            return last in got

        wait(complete, f"{last} arrives")
        return got

    def text(self):
        with open(self._log, encoding="utf-8") as file:
            return file.read()

    def ticks(self):
        """Processor time so far, in clock ticks."""
        with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])


    def check_rest(self, what, seconds=5):
        """A static picture costs nothing, once the last of what was before is done."""
        for _ in range(10):
            before = self.ticks()
            time.sleep(seconds)
            used = self.ticks() - before
            if used <= 2:
                break
        check(used <= 2, f"{what}: a static picture costs nothing ({used} ticks in {seconds} s)")


def take_mouse(demo, click, nudge):
    """A click(), until the mouse is the guest's, which nudge(dx, dy) shows; nothing of that is still on its way afterwards."""
    demo.take()
    click()
    seen = []

    def motion():
        seen.extend(demo.take())
        return [tuple(map(int, event[4:-1].split(","))) for event in seen if event.startswith("rel(")]

    # As many pixels as are a whole number in pictures of other sizes, too, and back again.
    steps = itertools.cycle((12, -12))

    def moved():
        nudge(next(steps), 0)
        time.sleep(0.1)
        return motion()

    wait(moved, "the mouse is the guest's")
    nudge(0, 12)
    wait(lambda: any(dy for _, dy in motion()), "the last motion")
    check(len(seen) == len(motion()), "the click that takes the mouse is not the guest's")


def check_every_key(demo, hand, keys):
    """Keys pressed by a hand on the hardware, each by its code; and one that is held."""
    demo.take()
    for code in keys:
        hand.press(code, hold=0)
    demo.expect([event for code in keys for event in press(code)], "every key arrives by its own code", quiet=True)
    hand.key(30, True)
    time.sleep(1)
    hand.key(30, False)
    demo.expect(press(30), "a key that is held does not repeat")
