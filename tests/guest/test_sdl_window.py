"""The SDL window with the test card: what its hot keys do to the guest, and what the guest says of what came from the window."""

import glob
import os
import time

import guest
import viewers
from desktop import DesktopError
from image import Image

WIDTH, HEIGHT = 1024, 768
MODE = f"{WIDTH}x{HEIGHT}x32"
CTRL, ALT = 29, 56
KEY = {"f": 33, "f1": 59, "g": 34, "p": 25, "s": 31, "=": 13, "-": 12, "0": 11}


def shrunk(image, factor):
    """One pixel of each square; None if the squares are not of one colour."""
    small = Image(image.width // factor, image.height // factor)
    for y in range(image.height):
        row = image.row(y)
        pixels = [row[x * 3 : x * 3 + 3] for x in range(image.width)]
        line = b"".join(pixels[::factor])
        if b"".join(pixel for pixel in pixels[::factor] for _ in range(factor)) != row:
            return None
        if y % factor == 0:
            small.data[y // factor * small.width * 3 : (y // factor + 1) * small.width * 3] = line
        elif small.row(y // factor) != line:
            return None
    return small


class SdlWindow(viewers.DeskTest):
    def open(self, *arguments):
        """A card in a window, and its desktop."""
        desktop = self.desk(width=2200, height=1600)
        card = self.window_card("sdl", desktop, "--name", f"sdl-{os.getpid()}", "--resolution", f"{WIDTH}x{HEIGHT}", *arguments)
        return desktop, card

    def hotkey(self, desktop, name):
        for code, down in ((CTRL, 1), (ALT, 1), (KEY[name], 1), (KEY[name], 0), (ALT, 0), (CTRL, 0)):
            desktop.xtest.key(code, down)

    def title(self, desktop, card):
        return desktop.xdotool("getwindowname", card.window).strip()

    def until(self, condition, what):
        deadline = time.monotonic() + guest.PATIENCE
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() > deadline:
                self.fail(f"not within {guest.PATIENCE} s: {what}")
            time.sleep(0.1)

    def until_shown(self, desktop, card, factor=1):
        """The window shows the card's own picture, enlarged."""

        def is_shown():
            checksum = card.sum()  # of this moment: keys are painted when they come
            image = desktop.picture(card.window)
            if (image.width, image.height) != (WIDTH * factor, HEIGHT * factor):
                return False
            small = image if factor == 1 else shrunk(image, factor)
            return small and guest.picture_sum(small, 32) == checksum

        self.until(is_shown, f"the card's picture, {factor} times")

    def test_picture_is_the_guests_at_whole_scales(self):
        desktop, card = self.open()
        self.until_shown(desktop, card)
        for _ in range(4):  # 125, 150, 175, 200 per cent
            self.hotkey(desktop, "=")
            time.sleep(0.2)
        self.until_shown(desktop, card, 2)
        self.hotkey(desktop, "0")
        self.until_shown(desktop, card)

    def test_hotkeys_leave_no_key_with_the_guest(self):
        desktop, card = self.open()
        card.fence()
        for name in ("f", "f", "f1", "f1", "=", "0"):
            self.hotkey(desktop, name)
            time.sleep(0.3)
        desktop.xtest.press(30)
        held = set()
        for match in card.collect(r"key (\d+) (down|up) .*", r"key 30 up .*"):
            code, what = int(match[1]), match[2]
            self.assertIn(code, (CTRL, ALT, 30))
            held = held | {code} if what == "down" else held - {code}
        self.assertEqual(held, set())

    def test_pause_stops_the_guest_and_releases_its_keys(self):
        desktop, card = self.open()
        desktop.xtest.key(30, True)
        card.expect("key 30 down .*")
        self.hotkey(desktop, "p")
        self.until(lambda: " - paused - " in self.title(desktop, card), "the title says that it is paused")
        card.send("echo late")
        desktop.xtest.key(30, False)
        desktop.xtest.press(48)  # of a still picture nobody expects that it comes later
        time.sleep(0.5)
        self.assertNotIn("echo late", card.lines)
        self.hotkey(desktop, "p")
        self.until(lambda: " - running - " in self.title(desktop, card), "it runs again")
        desktop.xtest.press(46)
        card.expect("key 46 up .*")
        self.until(lambda: "echo late" in card.lines, "the guest hears what was said to it")
        self.assertIn("key 30 up A", card.lines)
        self.assertFalse([line for line in card.lines if line.startswith("key 48 ")])

    def test_screenshot_is_what_the_window_shows(self):
        desktop, card = self.open()
        card.ask("fill 336699", "filled")  # keys are not painted any more
        card.ask("rect 10 20 300 200 ff8000", "filled")
        self.until_shown(desktop, card)
        self.hotkey(desktop, "s")
        path = self.until(lambda: glob.glob(os.path.join(card.folder.name, "*.png")), "a file")[0]
        self.until(lambda: "screenshot" in card.stderr() or ".png" in card.stderr(), "vmgui says where")
        self.assertEqual(guest.picture_sum(Image.load(path), 32), card.sum())

    def test_pointer_lands_on_the_very_pixel(self):
        desktop, card = self.open()
        targets = [(x * (WIDTH - 1) // 9, y * (HEIGHT - 1) // 9) for y in range(10) for x in range(10)]
        for width, height in ((WIDTH, HEIGHT), (WIDTH * 3 // 2, HEIGHT * 3 // 2), (2 * WIDTH, 2 * HEIGHT), (1777, 1400)):
            time.sleep(0.7)
            scale = min(width / WIDTH, height / HEIGHT)
            shown_width, shown_height = round(WIDTH * scale), round(HEIGHT * scale)
            left, top = (width - shown_width) // 2, (height - shown_height) // 2
            self.resize(desktop, card, width, height, lambda image: max(image.pixel(left, top)) > 250)  # pylint: disable=cell-var-from-loop
            seen = []
            for x, y in targets:
                desktop.xtest.move(
                    left + (2 * x + 1) * shown_width // (2 * WIDTH), top + (2 * y + 1) * shown_height // (2 * HEIGHT)
                )
                desktop.xtest.click(1)
                match = card.expect(r"absolute \d+ \d+ 1 0 (\d+) (\d+)")
                seen.append((int(match[1]), int(match[2])))
            self.assertEqual(seen, targets, f"in a window of {width}x{height}")

    def resize(self, desktop, card, width, height, shown):
        """As a window manager does for its user, until the window has kept that size, and shown(image) holds for what is in it.
        A window that has just got its own size may insist on that once."""
        deadline = time.monotonic() + guest.PATIENCE
        kept = 0
        while kept < 2:
            desktop.xdotool("windowmove", card.window, 0, 0, "windowsize", card.window, width, height, "sleep", 0.3)
            image = desktop.picture(card.window)
            kept = kept + 1 if (image.width, image.height) == (width, height) and shown(image) else 0
            self.assertLess(time.monotonic(), deadline, f"the window does not become {width}x{height}")

    def test_relative_mouse_is_the_guests_after_a_click(self):
        desktop, card = self.open()
        card.ask("pointer relative", "pointer relative")
        self.until(lambda: "releases the mouse" in self.title(desktop, card), "the window knows")
        desktop.xdotool("mousemove", "--window", card.window, 300, 300, "sleep", 0.3)
        desktop.xtest.click(1)
        time.sleep(0.5)
        card.fence()
        desktop.xtest.step(7, -3)
        moved = None
        deadline = time.monotonic() + guest.PATIENCE
        while not moved:
            try:
                moved = card.expect(r"mouse (-?[1-9]\d*) (-?\d+) 0 0 .*", timeout=2).groups()
            except AssertionError:
                # It was moved before the window, on a busy machine, had taken the mouse.
                self.assertLess(time.monotonic(), deadline, f"the mouse is not the guest's; {card.story()}")
                desktop.xtest.step(7, -3)
        self.assertIn(moved, [(str(7 * count), str(-3 * count)) for count in range(1, 100)])
        self.hotkey(desktop, "g")
        time.sleep(0.3)
        card.fence()
        desktop.xtest.step(7, -3)
        desktop.xtest.press(30)
        card.expect("key 30 up .*")
        self.assertFalse([line for line in card.lines[-3:] if line.startswith("mouse")])

    def test_locks_of_the_host_come_with_the_focus(self):
        desktop, card = self.open()
        card.ask("leds 0", "leds 0")
        desktop.xtest.focus(None)
        desktop.xtest.lock_caps(True)
        desktop.xtest.focus(card.window)
        card.expect("key 58 down .*")
        card.expect("key 58 up .*")
        desktop.xtest.unlock()

    def test_closing_presses_the_power_button(self):
        desktop, card = self.open()
        desktop.ask_to_close(card.window)
        card.expect("power button")
        self.assertEqual(card.wait(), 0)
        with self.assertRaises(DesktopError):  # which is what xdotool makes of finding none
            desktop.xdotool("search", "--onlyvisible", "--class", "^vmgui")

    def test_last_picture_stays_with_keep_open(self):
        desktop, card = self.open("--keep-open")
        self.until_shown(desktop, card)
        card.send("poweroff")
        self.until(lambda: "running" not in self.title(desktop, card), "the title tells of the end")
        title = self.title(desktop, card)
        self.assertRegex(title, "power|shut|ended")
        # The white border becomes dimmed.
        self.until(lambda: 32 < max(desktop.picture(card.window).pixel(0, 0)) < 128, "the last picture, dimmed")
        image = desktop.picture(card.window)
        self.assertEqual((image.width, image.height), (WIDTH, HEIGHT))
        time.sleep(0.5)
        self.assertIsNone(card.process.poll())
        desktop.ask_to_close(card.window)
        self.assertEqual(card.wait(), 0)


if __name__ == "__main__":
    guest.main()
