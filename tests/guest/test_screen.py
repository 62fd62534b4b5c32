"""The guest's screen, pixel by pixel: through VNC and in the file that --screenshot writes."""

import os
import random
import tempfile

import guest
from image import Image

BARS = ("ffffff", "ffff00", "00ffff", "00ff00", "ff00ff", "ff0000", "0000ff", "000000")
GRADIENTS = ((1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1))
# For what is at rest, and on a busy machine now and then not yet.
TRIES = 10
BLACK = (0, 0, 0)
WHITE = (255, 255, 255)


def colour(text):
    """RRGGBB as (red, green, blue)."""
    return tuple(bytes.fromhex(text))


class Picture(guest.GuestTest):
    """The geometry is in assets/testcard/README.md."""

    def check(self, image):
        width, height = image.width, image.height
        radius = min(width, height) * 45 // 100
        inner = radius - max(1, radius // 80)
        span, left, middle = 2 * inner, width // 2 - inner, height // 2

        for y in range(height):
            self.assertEqual((image.pixel(0, y), image.pixel(width - 1, y)), (WHITE, WHITE), f"row {y}")
        for y in (0, height - 1):
            self.assertEqual(image.row(y), b"\xff" * 3 * width)
        for y in (1, height - 2):
            self.assertEqual(image.row(y, 1, width - 2), bytes(3 * (width - 2)))

        # Where the disc is widest, away from its edge and from the pointer.
        y = middle - radius * 10 // 100
        for at in range(span // 50, span - span // 50):
            self.assertEqual(image.pixel(left + at, y), colour(BARS[at * 8 // span]), f"bar at {at}")
        top = middle + radius * 2 // 100
        rows = middle + radius * 26 // 100 - top
        for line, factors in enumerate(GRADIENTS):
            y = top + (2 * line + 1) * rows // 8
            for at in range(span // 20, span - span // 20):
                if abs(left + at - width // 2) < 40:
                    continue
                value = at * 255 // (span - 1)
                wanted = tuple(value * factor for factor in factors)
                self.assertEqual(image.pixel(left + at, y), wanted, f"gradient {line} at {at}")

    def test_through_vnc_every_pixel_arrives(self):
        card = self.guest(vnc=True)
        self.assertEqual(card.ready(), "1024x768x32")
        client = card.client()
        client.refresh()
        self.assert_shows(client, card.sum(), 32)
        self.check(client.image())

    def test_a_screenshot_is_what_vnc_shows(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "screen.png")
            card = self.card("--screenshot", path, vnc=True)
            client = card.client()
            client.pointer(300, 200)
            card.expect(r"absolute .* 300 200")
            checksum = card.sum()
            self.assert_shows(client, checksum, 32)
            card.send("poweroff")
            self.assertEqual(card.wait(), 0)
            image = Image.load(path)
        self.assertEqual((image.width, image.height), (1024, 768))
        self.assertEqual(guest.picture_sum(image, 32), checksum)
        self.assertEqual(image, client.image())

    def test_a_screenshot_needs_no_display(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "screen.png")
            card = self.card("--screenshot", path, "--resolution", "800x600")
            checksum = card.sum()
            card.send("poweroff")
            self.assertEqual(card.wait(), 0)
            self.assertEqual(guest.picture_sum(Image.load(path), 32), checksum)

    def test_a_guest_that_runs_out_of_time_leaves_a_screenshot(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "screen.png")
            # Enough for any machine on which it has painted its picture by then.
            for seconds in (3, 12, 60):
                card = self.guest("--screenshot", path, "--timeout", str(seconds))
                self.assertEqual(card.wait(), 4)
                if any(line and line.startswith("card: ready") for line in card.lines):
                    break
            self.check(Image.load(path))


class Modes(guest.GuestTest):
    def test_start_up_modes(self):
        for arguments, name in (
            (("--resolution", "640x480"), "640x480x32"),
            (("--resolution", "1366x768"), "1366x768x32"),
            (("--resolution", "1920x1080"), "1920x1080x32"),
            (("--resolution=1280x1024",), "1280x1024x32"),
            (("--vidmode", "0x117"), "1024x768x16"),
            (("--vidmode", "0x314"), "800x600x16"),
            (("--vidmode", "0x105"), "1024x768x8"),
        ):
            with self.subTest(arguments=arguments):
                card = self.guest(*arguments, vnc=True)
                self.assertEqual(card.ready(), name)
                depth = int(name.rsplit("x", 1)[1])
                client = card.client()
                self.assert_shows(client, card.sum(), depth)
                self.assertEqual(f"{client.width}x{client.height}x{depth}", name)
                card.close()

    def test_the_largest_mode_with_more_video_memory(self):
        card = self.guest("--vram", "64", "--resolution", "3840x2160", vnc=True)
        self.assertEqual(card.ready(), "3840x2160x32")
        client = card.client()
        self.assert_shows(client, card.sum(), 32)
        self.assertEqual((client.width, client.height), (3840, 2160))

    def test_the_guest_changes_them_while_somebody_looks(self):
        card = self.card(vnc=True)
        client = card.client()
        for width, height, depth in (
            (640, 480, 32), (800, 600, 24), (1280, 800, 16), (1024, 768, 15), (640, 400, 8), (1368, 768, 32),
            (320, 200, 32), (1920, 1080, 32), (2560, 1440, 24), (1600, 1200, 16), (1024, 768, 32),
        ):  # fmt: skip
            with self.subTest(mode=f"{width}x{height}x{depth}"):
                card.ask(f"mode {width} {height} {depth}", f"mode {width}x{height}x{depth}")
                self.assert_shows(client, card.sum(), depth)
                self.assertEqual((client.width, client.height), (width, height))

    def test_a_client_that_comes_after_a_change_sees_the_new_mode(self):
        card = self.card(vnc=True)
        first = card.client()
        card.ask("mode 800 600 32", "mode 800x600x32")
        client = card.client()
        self.assert_shows(client, card.sum(), 32)
        self.assertEqual((client.width, client.height), (800, 600))
        self.assert_shows(first, card.sum(), 32)

    def test_a_mode_that_does_not_fit_is_refused(self):
        card = self.card(vnc=True)
        client = card.client()
        for mode in ("3840 2160 32", "0 0 32", "1024 0 32", "65535 65535 32", "1024 768 7"):
            with self.subTest(mode=mode):
                card.ask(f"mode {mode}", "error mode .* refused")
                card.ask("card", "painted")
                self.assert_shows(client, card.sum(), 32)
                self.assertEqual((client.width, client.height), (1024, 768))

    def test_quick_changes_end_at_the_last(self):
        card = self.card(vnc=True)
        client = card.client()
        for i in range(40):
            width, height = ((640, 480), (1280, 720), (800, 600))[i % 3]
            card.send(f"mode {width} {height} {(16, 32)[i % 2]}")
        card.send("mode 1152 864 32")
        card.expect("mode 1152x864x32")
        self.assert_shows(client, card.sum(), 32)


class Damage(guest.GuestTest):
    def test_rectangles_arrive_exactly(self):
        card = self.card(vnc=True)
        client = card.client()
        card.ask("fill 203040", "filled")
        model = Image(1024, 768, bytearray(colour("203040") * 1024 * 768))
        rng = random.Random(2)
        for _ in range(60):
            x, y = rng.randrange(1024), rng.randrange(768)
            width, height = rng.randint(1, min(200, 1024 - x)), rng.randint(1, min(200, 768 - y))
            paint = f"{rng.randrange(1 << 24):06x}"
            card.ask(f"rect {x} {y} {width} {height} {paint}", "filled")
            for line in range(y, y + height):
                start = (line * 1024 + x) * 3
                model.data[start : start + width * 3] = colour(paint) * width
            client.poll(0.01)
        self.assert_shows(client, guest.picture_sum(model, 32), 32)
        self.assertEqual(client.image(), model)

    def test_single_pixels_at_the_corners_arrive(self):
        card = self.card(vnc=True)
        client = card.client()
        card.ask("fill 000000", "filled")
        self.assert_shows(client, card.sum(), 32)
        for x, y in ((0, 0), (1023, 0), (0, 767), (1023, 767), (511, 383)):
            card.ask(f"rect {x} {y} 1 1 ffffff", "filled")
            self.assert_shows(client, card.sum(), 32)
            self.assertEqual(client.image().pixel(x, y), WHITE)

    def test_a_small_change_costs_few_bytes(self):
        card = self.card(vnc=True)
        client = card.client()
        card.ask("fill 000000", "filled")
        self.assert_shows(client, card.sum(), 32)
        for number in range(TRIES):
            client.poll(0.3)
            before = client.bytes_received
            card.ask(f"rect 500 {300 + 20 * number} 20 10 ffffff", "filled")
            self.assert_shows(client, card.sum(), 32)
            client.poll(0.3)
            if client.bytes_received - before < 2000:
                break
        # 800 bytes of pixels; a page of framebuffer is four times that, and spans the whole width.
        self.assertLess(client.bytes_received - before, 2000)

    def test_a_static_screen_costs_no_bytes(self):
        card = self.card(vnc=True)
        client = card.client()
        self.assert_shows(client, card.sum(), 32)
        for _ in range(TRIES):
            client.poll(0.5)
            before = client.bytes_received
            client.poll(2)
            if client.bytes_received == before:
                break
        self.assertEqual(client.bytes_received, before)

    def test_at_rest_no_thread_wakes_up_and_the_next_change_comes(self):
        card = self.card(vnc=True)
        client = card.client()
        self.assert_shows(client, card.sum(), 32)
        for paint in ("ff0000", "00ff00", "0000ff"):
            for _ in range(TRIES):
                client.poll(1)
                before = card.switches()
                client.poll(2)
                after = card.switches()
                woken = {name: count - before.get(name, 0) for name, count in after.items() if not name.startswith("vcpu")}
                if sum(woken.values()) <= 2:
                    break
            self.assertLessEqual(sum(woken.values()), 2, woken)
            card.ask(f"rect 10 10 50 50 {paint}", "filled")
            self.assert_shows(client, card.sum(), 32)

    def test_what_nobody_sees_wakes_nobody(self):
        card = self.card(vnc=True)
        client = card.client()
        for depth, kinds in ((32, ("hidden", "palette", "dark")), (8, ("hidden",))):
            card.ask(f"mode 1024 768 {depth}", "mode .*")
            self.assert_shows(client, card.sum(), depth)
            for kind in kinds:
                with self.subTest(kind=kind, depth=depth):
                    client.poll(2)
                    before = card.switches()
                    card.ask(f"stream {kind} 200 10000", "streamed 200")
                    woken = sum(count - before[name] for name, count in card.switches().items() if name.startswith("refresh"))
                    # In the dark is a mode of its own, and its end another: some ten looks each. Without rest it is 200 and more.
                    self.assertLess(woken, 80 if kind == "dark" else 20)
                    self.assert_shows(client, card.sum(), depth)

    def test_an_animation_moves(self):
        card = self.card("-p", "testcard.fps=30", vnc=True)
        client = card.client()
        client.refresh()
        enough = client.updates + 20
        client.wait_for(lambda: client.updates > enough, "a picture that moves")
        card.ask("fps 0", "fps 0")
        self.assert_shows(client, card.sum(), 32)


if __name__ == "__main__":
    guest.main()
