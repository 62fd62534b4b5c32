"""The pointer, as the guest itself reports it: a grid of targets hit to the pixel through windows at several scales and through VNC,
absolute (the VMware pointer) and relative (the PS/2 mouse), buttons and wheels, and what happens when the guest changes its mind.
"""

import itertools
import random
import re
import threading
import time

import guest
import keys
import rfb
from hands import ScanFingers, XFingers
from viewers import VIEWERS, WINDOWS, DeskTest

ABSOLUTE = r"absolute (\d+) (\d+) (\d+) (-?\d+) (\d+) (\d+)"
ANYWHERE = r"(?:absolute|mouse) -?\d+ -?\d+"

WIDTH, HEIGHT = 1024, 768
COLOUR = (0x13, 0xA7, 0xF1)  # nothing else on the desktop has it
SCALES = (1, 1.5, 2)
SCREEN = {"width": 2240, "height": 1760}  # room for a window's bars around the picture at twice its size

# X's buttons, and RFB's bits, and what the card calls them.
BUTTONS = ((1, 1, 1), (2, 2, 4), (3, 4, 2), (8, 128, 8), (9, 256, 16))
# Those of the wheels, and what the card says: (vertical, horizontal).
WHEELS = ((4, 8, (1, 0)), (5, 16, (-1, 0)), (6, 32, (0, -1)), (7, 64, (0, 1)))


def grid(width=WIDTH, height=HEIGHT, step=1):
    """100 targets, the corners among them, each next to the one before; multiples of step."""
    columns = [index * (width - 1) // 9 // step * step for index in range(10)]
    rows = [index * (height - 1) // 9 // step * step for index in range(10)]
    return [(x, y) for row, y in enumerate(rows) for x in (columns if row % 2 == 0 else reversed(columns))]


class PointerTest(DeskTest):
    """What the card says of its pointer, and how to point at a picture in a window."""

    def relative(self, card):
        card.ask("pointer relative", "pointer relative")

    def absolute(self, card):
        card.ask("pointer absolute", "pointer absolute")

    def picture(self, card, desktop, window, scale=1):
        """Where the guest's picture is on the desktop, once it has that scale: (x, y, scale)."""
        card.ask(f"fill {bytes(COLOUR).hex()}", "filled")
        # Out of the way of what a toolkit shows under the pointer.
        desktop.xtest.move(SCREEN["width"] - 1, SCREEN["height"] - 1)
        window_x, window_y, _, _ = desktop.geometry(window)
        deadline = time.monotonic() + guest.PATIENCE
        while True:
            image = desktop.picture(window)
            pixel = bytes(COLOUR)
            first, last = image.data.find(pixel), image.data.rfind(pixel)
            if first >= 0 and first % 3 == 0 and last % 3 == 0:
                left, top = first // 3 % image.width, first // 3 // image.width
                right, bottom = last // 3 % image.width, last // 3 // image.width
                if (right - left + 1, bottom - top + 1) == (WIDTH * scale, HEIGHT * scale):
                    return window_x + left, window_y + top, scale
            if time.monotonic() > deadline:
                image.save(f"/tmp/vmgui-{self.id()}.png")
                self.fail(f"the picture is not seen whole at {scale}: {desktop.geometry(window)}; {card.story()}")
            time.sleep(0.05)

    def at(self, place, x, y):
        """Where on the desktop the middle of a pixel of the picture is."""
        left, top, scale = place
        return left + int((x + 0.5) * scale), top + int((y + 0.5) * scale)

    def scaled_card(self, kind, desktop, scale):
        """A card in a window at that scale, and where its picture is."""
        card = self.window_card(kind, desktop, "--scale", str(scale))
        desktop.xdotool("windowmove", card.window, 0, 0)
        return card, self.picture(card, desktop, card.window, scale)

    def check_absolute(self, card, move, targets):
        """Each target is hit at once, and the guest's driver would say so by any arithmetic."""
        self.come_in(card, move)
        for x, y in targets:
            move(x, y)
            match = card.expect(ABSOLUTE)
            while (x, y) == targets[0] and match.group(5, 6) != (str(x), str(y)):
                match = card.expect(ABSOLUTE)
            self.assertEqual(match.group(5, 6), (str(x), str(y)))
            raw_x, raw_y = int(match[1]), int(match[2])
            self.assertEqual((raw_x * self.width // 65536, raw_y * self.height // 65536), (x, y))
            self.assertEqual((round(raw_x * (self.width - 1) / 65535), round(raw_y * (self.height - 1) / 65535)), (x, y))
        card.fence()
        self.assertEqual(self.last_place(card), targets[-1])

    def come_in(self, card, move):
        """Brings the pointer into the picture: gtk-vnc swallows the motion that does."""
        deadline = time.monotonic() + guest.PATIENCE
        for count in itertools.count():
            move(50 + count % 50, 60)
            try:
                card.expect(ABSOLUTE, timeout=0.3)
                return
            except AssertionError:
                if time.monotonic() > deadline:
                    break
        self.fail(f"the guest's pointer does not follow; {card.story()}")

    width, height = WIDTH, HEIGHT

    def last_place(self, card):
        """Where the guest's pointer is."""
        for line in reversed(card.lines):
            match = re.fullmatch(rf"{ANYWHERE} \d+ -?\d+ (\d+) (\d+)", line or "")
            if match:
                return int(match[1]), int(match[2])
        return None

    def hit(self, card, x, y):
        """Waits until the pointer is there."""
        card.expect(rf"{ANYWHERE} \d+ -?\d+ {x} {y}")

    def click(self, card, press, x, y):
        """A click, which tells that all motion before it has been taken, and where that ended."""
        for down in (True, False):
            press(down)
            card.expect(rf"{ANYWHERE} {int(down)} 0 {x} {y}")

    def motion_client(self, card, *others):
        """A VNC client that can do steps as well as places."""
        client = card.client(extensions=(rfb.POINTER_MOTION, *others))
        client.wait_for(lambda: client.agreed == {rfb.POINTER_MOTION, *others}, "the server agrees")
        return client


class Targets(PointerTest):
    """A hundred targets each."""

    def test_absolute_through_windows(self):
        for kind in WINDOWS:
            for scale in SCALES[1:2] if guest.SHORT else SCALES:
                with self.subTest(window=kind, scale=scale):
                    desktop = self.desk(**SCREEN)
                    card, place = self.scaled_card(kind, desktop, scale)
                    self.check_absolute(card, lambda x, y: desktop.xtest.move(*self.at(place, x, y)), grid())  # pylint: disable=cell-var-from-loop
                    card.close()

    def test_absolute_through_a_window_of_the_users_size(self):
        """Black beside the picture, which is scaled by 1.171875."""
        desktop = self.desk(**SCREEN)
        card = self.window_card("sdl", desktop)
        # The window takes the picture's size first, then the user's.
        self.picture(card, desktop, card.window)
        desktop.xdotool("windowmove", card.window, 10, 20)
        # A new window insists once on its own size if it is given another one in its first moments.
        deadline = time.monotonic() + guest.PATIENCE
        kept = 0
        while kept < 2 and time.monotonic() < deadline:
            kept = kept + 1 if desktop.geometry(card.window)[2:] == (1500, 900) else 0
            desktop.xdotool("windowsize", card.window, 1500, 900, "sleep", 1)
        place = self.picture(card, desktop, card.window, 1200 / WIDTH)
        self.assertEqual(place[:2], (10 + 150, 20))
        self.check_absolute(card, lambda x, y: desktop.xtest.move(*self.at(place, x, y)), grid())

    def test_relative_through_windows(self):
        for kind in WINDOWS:
            for scale in SCALES[1:2] if guest.SHORT else SCALES:
                with self.subTest(window=kind, scale=scale):
                    desktop = self.desk(**SCREEN)
                    card, place = self.scaled_card(kind, desktop, scale)
                    self.relative(card)
                    self.take_mouse(card, desktop, place)
                    here = self.last_place(card)
                    # Steps that are whole in the picture and in the window.
                    targets = grid(step=2)
                    if here[0] % 2 or here[1] % 2:
                        self.fail(f"the pointer starts at {here}")
                    for x, y in targets:
                        for part_x, part_y in self.legs(x - here[0], y - here[1]):
                            desktop.xtest.step(round(part_x * scale), round(part_y * scale))
                            here = here[0] + part_x, here[1] + part_y
                            self.hit(card, *here)
                        self.click(card, lambda down: desktop.xtest.button(1, down), x, y)  # pylint: disable=cell-var-from-loop
                    card.fence()
                    self.assertEqual(self.last_place(card), targets[-1])
                    card.close()

    def legs(self, dx, dy, most=200):
        """A way in even steps that a pointer has room for which is put back to a window's middle."""
        while dx or dy:
            part = max(-most, min(most, dx)), max(-most, min(most, dy))
            yield part
            dx, dy = dx - part[0], dy - part[1]

    def take_mouse(self, card, desktop, place):
        """A click into the window takes the mouse; then the guest's pointer goes to the corner, which is as far as it goes."""
        desktop.xtest.move(*self.at(place, 500, 380))
        deadline = time.monotonic() + guest.PATIENCE
        while True:
            desktop.xtest.click(1)
            desktop.xtest.step(-42, -42)
            try:
                card.expect(r"mouse -\d+ -\d+ .*", timeout=0.5)
                break
            except AssertionError:
                self.assertLess(time.monotonic(), deadline, f"a click does not take the mouse; {card.story()}")
        for count in range(18):
            # Whole at each scale, and never the same twice: SDL takes two like motions in one millisecond for one.
            desktop.xtest.step(-120 - count % 2 * 6, -120 - count % 2 * 6)
            card.expect(r"mouse -\d+ -\d+ 0 .*")
        self.click(card, lambda down: desktop.xtest.button(1, down), 0, 0)

    def test_through_a_vnc_client_in_pictures_of_several_sizes(self):
        card = self.card(vnc=True)
        client = card.client()
        for width, height in ((1024, 768), (800, 600), (1920, 1080), (1366, 768)):
            with self.subTest(width=width, height=height):
                if (width, height) != (1024, 768):
                    card.ask(f"mode {width} {height} 32", "mode .*")
                    client.wait_for(lambda: (client.width, client.height) == (width, height), "the new size")  # pylint: disable=cell-var-from-loop
                self.width, self.height = width, height
                client.pointer(5, 7)
                self.check_absolute(card, client.pointer, grid(width, height))

    def test_through_a_vnc_client_at_a_relative_mouse(self):
        card = self.card("-p", "testcard.run=pointer,relative", vnc=True)
        card.expect("pointer relative")
        places, steps = card.client(), self.motion_client(card)
        steps.wait_for(lambda: steps.relative, "it is told to send steps")
        for x, y in grid():
            places.pointer(x, y)
            self.click(card, lambda down: places.pointer(x, y, int(down)), x, y)  # pylint: disable=cell-var-from-loop
        here = grid()[-1]
        for x, y in reversed(grid()):
            if (x, y) != here:
                steps.step(x - here[0], y - here[1])
                self.click(card, lambda down: steps.step(0, 0, int(down)), x, y)
                here = x, y
        card.fence()
        self.assertEqual(self.last_place(card), grid()[0])

    def test_through_viewers(self):
        for name in VIEWERS:
            with self.subTest(viewer=name):
                desktop = self.desk(**SCREEN)
                card = self.card(vnc=True)
                _, window = self.viewer(name, card, desktop)
                desktop.xdotool("windowmove", window, 0, 0)
                place = self.picture(card, desktop, window)
                self.check_absolute(card, lambda x, y: desktop.xtest.move(*self.at(place, x, y)), grid())  # pylint: disable=cell-var-from-loop
                card.close()

    def test_through_a_viewer_at_a_relative_mouse(self):
        desktop = self.desk(**SCREEN)
        card = self.card("-p", "testcard.run=pointer,relative", vnc=True)
        card.expect("pointer relative")
        _, window = self.viewer("xtigervncviewer", card, desktop)
        desktop.xdotool("windowmove", window, 0, 0)
        place = self.picture(card, desktop, window)
        for x, y in grid():
            desktop.xtest.move(*self.at(place, x, y))
            self.click(card, lambda down: desktop.xtest.button(1, down), x, y)


class Buttons(PointerTest):
    """Five buttons and two wheels."""

    def check(self, card, press, wheel, buttons):
        """press(button, down), wheel(button); buttons of BUTTONS by index of their kind."""
        for number, wanted in buttons:
            press(number, True)
            card.expect(rf"{ANYWHERE} {wanted} 0 \d+ \d+")
            press(number, False)
            card.expect(rf"{ANYWHERE} 0 0 \d+ \d+")
        # All together, in and out.
        held = 0
        for number, wanted in (*buttons, *buttons):
            held ^= wanted
            press(number, bool(held & wanted))
            card.expect(rf"{ANYWHERE} {held} 0 \d+ \d+")
        for number, (vertical, horizontal) in wheel:
            press(number, None)
            if vertical:
                card.expect(rf"{ANYWHERE} 0 {vertical} \d+ \d+")
            else:
                card.expect(f"hwheel {horizontal}")
        card.fence()
        start = card.position
        for _ in range(20):
            press(wheel[0][0], None)
        turned = 0
        while turned < 20:
            turned += int(card.expect(rf"{ANYWHERE} 0 (\d+) \d+ \d+")[1])
        self.assertEqual(turned, 20)
        card.fence()
        self.assertFalse([line for line in card.lines[start : card.position] if "error" in line])

    def modes(self, card):
        for mode in ("absolute", "relative"):
            card.ask(f"pointer {mode}", f"pointer {mode}")
            with self.subTest(mode=mode):
                yield mode

    def test_through_a_vnc_client(self):
        card = self.card(vnc=True)
        client = self.motion_client(card, rfb.EXTENDED_BUTTONS)
        held = 0

        def press(bit, down):
            nonlocal held
            where = (rfb.STEP_ZERO, rfb.STEP_ZERO) if client.relative else (300, 200)
            for mask in (held | bit, held) if down is None else (held | bit,) if down else (held & ~bit,):
                client.pointer(*where, mask)
                held = mask

        client.pointer(300, 200)
        self.hit(card, 300, 200)
        for mode in self.modes(card):
            client.wait_for(lambda: client.relative == (mode == "relative"), "the client is told")  # pylint: disable=cell-var-from-loop
            self.check(card, press, [(bit, turn) for _, bit, turn in WHEELS], [(bit, wanted) for _, bit, wanted in BUTTONS])

    def test_through_windows(self):
        for kind in WINDOWS:
            desktop = self.desk(**SCREEN)
            card, place = self.scaled_card(kind, desktop, 1)

            def press(number, down):
                if down is None:
                    desktop.xtest.click(number)  # pylint: disable=cell-var-from-loop
                else:
                    desktop.xtest.button(number, down)  # pylint: disable=cell-var-from-loop

            desktop.xtest.move(*self.at(place, 300, 200))
            self.hit(card, 300, 200)
            for mode in self.modes(card):
                with self.subTest(window=kind):
                    if mode == "relative":
                        Targets.take_mouse(self, card, desktop, place)
                    wheel = [(number, turn) for number, _, turn in WHEELS]
                    self.check(card, press, wheel, [(number, wanted) for number, _, wanted in BUTTONS])
            card.close()


class Together(PointerTest):
    """A window and two VNC clients at one guest."""

    def test_the_guest_changes_between_absolute_and_relative_while_all_are_there(self):
        for kind in WINDOWS:
            with self.subTest(window=kind):
                desktop = self.desk(**SCREEN)
                card = self.window_card(kind, desktop, "--scale", "1", vnc=True)
                desktop.xdotool("windowmove", card.window, 0, 0)
                place = self.picture(card, desktop, card.window)
                places, steps = card.client(), self.motion_client(card)
                for turn in range(1 if guest.SHORT else 3):
                    self.absolute(card)
                    steps.wait_for(lambda: not steps.relative, "places")  # pylint: disable=cell-var-from-loop
                    # The window may be told a moment later than the clients, and takes motion until then for steps.
                    self.come_in(card, lambda x, y: desktop.xtest.move(*self.at(place, x, y)))  # pylint: disable=cell-var-from-loop
                    for number, (x, y) in enumerate(grid()[turn::7]):
                        (lambda x, y: desktop.xtest.move(*self.at(place, x, y)), places.pointer, steps.pointer)[number % 3](x, y)  # pylint: disable=cell-var-from-loop
                        self.hit(card, x, y)
                    self.relative(card)
                    steps.wait_for(lambda: steps.relative, "steps")  # pylint: disable=cell-var-from-loop
                    Targets.take_mouse(self, card, desktop, place)
                    here = (0, 0)
                    for number in range(30):
                        dx, dy = (40, 24) if number < 20 else (-30, -20)
                        (desktop.xtest.step, steps.step)[number % 2](dx, dy)
                        here = here[0] + dx, here[1] + dy
                        self.hit(card, *here)
                    # One that knows only places brings the pointer to its own by a corner.
                    for x, y in ((0, 0), (77, 55)):
                        places.pointer(x, y)
                        self.click(card, lambda down: places.pointer(x, y, int(down)), x, y)  # pylint: disable=cell-var-from-loop
                card.close()

    def test_a_click_is_where_its_own_client_points(self):
        card = self.card(vnc=True)
        clients = [card.client(), card.client()]
        for client, x in zip(clients, (100, 900), strict=True):
            client.pointer(x, 300)
            self.hit(card, x, 300)
        for client, x in zip(clients, (100, 900), strict=True):
            client.pointer(x, 300, 1)
            card.expect(rf"absolute \d+ \d+ 1 0 {x} 300")
            client.pointer(x, 300)
            card.expect(rf"absolute \d+ \d+ 0 0 {x} 300")

    def test_keys_and_clicks_keep_their_order_at_a_slow_guest(self):
        """A hundred keys are still on their way when Ctrl is held for a click and a turn of the wheel."""
        codes = list(keys.US.values()) * 3
        wanted = ["+29", "b 1", "b 0", "wheel 1", "-29", "b 1", "+42", "b 0", "-42"]
        for kind in ("vnc", *WINDOWS):
            desktop = self.desk(**SCREEN)
            card = self.window_card(WINDOWS[0] if kind == "vnc" else kind, desktop, "--scale", "1", vnc=True)
            desktop.xtest.move(*self.at(self.picture(card, desktop, card.window), 300, 300))
            fingers, press, wheel = self.hands(kind, card, desktop)
            for mode in ("absolute", "relative"):
                with self.subTest(hands=kind, pointer=mode):
                    card.ask(f"pointer {mode}", f"pointer {mode}")
                    if kind != "vnc" and mode == "relative":
                        Targets.take_mouse(self, card, desktop, self.picture(card, desktop, card.window))
                    card.fence()
                    card.ask("slow 1000", "slow 1000")
                    start = card.position
                    fingers.type(codes)
                    fingers.key(keys.LEFTCTRL, True)
                    press(True)
                    press(False)
                    wheel()
                    fingers.key(keys.LEFTCTRL, False)
                    press(True)
                    fingers.key(keys.LEFTSHIFT, True)
                    press(False)
                    fingers.key(keys.LEFTSHIFT, False)
                    fingers.press(keys.ESC)
                    card.expect("key 1 up Esc", 10 * guest.PATIENCE)
                    card.ask("slow 0", "slow 0")
                    self.assertEqual(self.story(card.lines[start : card.position], "+29"), wanted)
            card.close()

    def hands(self, kind, card, desktop):
        """Fingers, press(down) of the left button, and a function that turns the wheel by one up."""
        if kind != "vnc":
            click = desktop.xtest.button
            return XFingers(kind, desktop.xtest), lambda down: click(1, down), lambda: (click(4, True), click(4, False))
        client = card.client(extensions=(rfb.EXTENDED_KEYS,))
        client.wait_for(lambda: rfb.EXTENDED_KEYS in client.agreed, "the server agrees to scan codes")
        client.pointer(300, 300)
        # On one connection, so that all of it has an order.
        return (
            ScanFingers(client),
            lambda down: client.pointer(300, 300, int(down)),
            lambda: (client.pointer(300, 300, 8), client.pointer(300, 300)),
        )

    def story(self, lines, first):
        """What the card said of modifiers, the left button and the wheel, from `first` on."""
        told, held = [], "0"
        for line in lines:
            key = re.fullmatch(r"key (29|42) (down|up) \S+", line or "")
            mouse = re.fullmatch(rf"{ANYWHERE} (\d+) (-?\d+) \d+ \d+", line or "")
            if key:
                told.append(("+" if key[2] == "down" else "-") + key[1])
            elif mouse:
                if mouse[1] != held:
                    held = mouse[1]
                    told.append(f"b {held}")
                if mouse[2] != "0":
                    told.append(f"wheel {mouse[2]}")
        return told[told.index(first) :] if first in told else told

    def test_all_at_once(self):
        """Each places the pointer on a line of its own; the guest's pointer is always on one of the three, and ends where the
        last one said."""
        desktop = self.desk(**SCREEN)
        card = self.window_card("sdl", desktop, "--scale", "1", vnc=True)
        desktop.xdotool("windowmove", card.window, 0, 0)
        place = self.picture(card, desktop, card.window)
        clients = [card.client(), card.client()]
        moves = [lambda x, y: desktop.xtest.move(*self.at(place, x, y)), clients[0].pointer, clients[1].pointer]

        def way(number, x):
            return (x * 5 + 211 * number) % HEIGHT

        def run(number, move):
            rng = random.Random(number)
            for _ in range(100 if guest.SHORT else 400):
                x = rng.randrange(3, WIDTH)
                move(x, way(number, x))

        start = len(card.lines)
        threads = [threading.Thread(target=run, args=(number, move)) for number, move in enumerate(moves)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # Places that wait are one: nothing of the clients' may still come after a last place.
        for client in clients:
            client.refresh()
        for number, move in enumerate(moves):
            move(number, way(number, number))
            self.hit(card, number, way(number, number))
        card.fence()
        for line in card.lines[start:]:
            match = re.fullmatch(ABSOLUTE, line or "")
            if match:
                x, y = int(match[5]), int(match[6])
                self.assertIn(y, {way(number, x) for number in range(3)}, line)
        self.assertEqual(self.last_place(card), (2, way(2, 2)))


if __name__ == "__main__":
    guest.main()
