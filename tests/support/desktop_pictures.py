"""The desktop guest's pictures: each way that its drivers have of showing something, compared with what a VNC client sees."""

import os
import time

from desktop_guest import difference, pattern_pixel
from report import check, say

# vesafb at each depth: a name and vmgui's --vidmode.
DEPTHS = (("vesafb-8", 0x103), ("vesafb-15", 0x113), ("vesafb-16", 0x114), ("vesafb-24", 0x115))
SIZES = ((640, 400), (640, 480), (800, 600), (1280, 720), (1366, 768), (1600, 1200), (1920, 1080), (3840, 2160))
# Sizes for the KMS test beside those that the monitor offers.
MADE_UP = ((640, 400), (1366, 768), (3840, 2160))

# Larger ones are kept where they are wrong: compressing them takes a software CPU longer than all the rest.
SAVED_PIXELS = 1280 * 1024


class Pictures:
    """A guest, and a VNC client that sees it."""

    def __init__(self, guest, client, artefacts):
        self.guest = guest
        self.client = client
        self.artefacts = artefacts

    # ---- comparing ----

    def image(self, want_size=None, seconds=60):
        """The client's picture once nothing changes any more."""
        deadline = time.monotonic() + seconds
        while True:
            self.client.poll(0.3)
            while self.client.poll(0.3) and time.monotonic() < deadline:
                pass
            if not want_size or (self.client.width, self.client.height) == want_size or time.monotonic() > deadline:
                return self.client.image()

    def same(self, name, sums, seconds=90, height=None):
        """The client has exactly those rows (of the upper part, with a height) before long."""
        deadline = time.monotonic() + seconds
        while True:
            self.client.poll(0.1)
            while self.client.poll(0.1) and time.monotonic() < deadline:
                pass
            image = self.client.image()
            what = difference(image, sums, height)
            if not what or time.monotonic() > deadline:
                break
        if what or image.width * image.height <= SAVED_PIXELS:
            image.save(os.path.join(self.artefacts, name.replace(" ", "-") + ".png"))
        check(not what, f"{name}: {image.width}x{image.height} as the guest has it, pixel for pixel", what)
        return image

    def is_pattern(self, name, image, seed, bits=(8, 8, 8)):
        """Some of the pixels, by what the pattern is and not by what the guest says."""
        wrong = []
        for y in range(0, image.height, 37):
            for x in range(0, image.width, 41):
                wanted = tuple(value >> (8 - count) for value, count in zip(pattern_pixel(x, y, seed), bits))
                seen = tuple(value >> (8 - count) for value, count in zip(image.pixel(x, y), bits))
                if seen != wanted:
                    wrong.append((x, y, seen, wanted))
        check(not wrong, f"{name}: and it is the pattern", wrong[:3])

    def framebuffer(self, name, seed, bits=(8, 8, 8)):
        """/dev/fb0 drawn upon and read back."""
        self.guest.shell(f"agent graphics 1; agent fb draw {seed}")
        image = self.same(f"{name} drawn", self.guest.rows())
        if bits:
            self.is_pattern(name, image, seed, bits)

    def x_picture(self, name, seed, bits=(8, 8, 8)):
        self.guest.eye(f"pattern {seed}")
        image = self.same(name, self.guest.x_rows())
        if bits:
            self.is_pattern(name, image, seed, bits)

    def black(self, name, seconds=90):
        """Nothing but black before long."""
        deadline = time.monotonic() + seconds
        while True:
            self.client.poll(0.3)
            image = self.client.image()
            dark = not any(image.data)
            if dark or time.monotonic() > deadline:
                image.save(os.path.join(self.artefacts, name.replace(" ", "-") + ".png"))
                return check(dark, f"{name}: the picture is black")

    # ---- consoles ----

    def console(self, name):
        """Text on the console: the kernel's messages and what was written to it."""
        self.guest.shell("agent graphics 0; dmesg | tail -n 60 >/dev/tty1; seq 1 9 >/dev/tty1")
        time.sleep(0.3)
        self.same(name, self.guest.rows())

    def vesafb(self):
        say("fb0: " + self.guest.shell("agent fb info").strip())
        self.console("vesafb console")
        self.framebuffer("vesafb", 1, None if self.bits() == 16 else (8, 8, 8))

    def bits(self):
        return int(self.guest.shell("agent fb info").split()[-3])

    def x_on_fbdev(self, name, depth, bits=(8, 8, 8)):
        size = self.guest.start_x(f"fbdev{depth}")
        say(f"{name}: X fbdev has {size[0]}x{size[1]}, depth {size[2]}")
        self.x_picture(f"{name} X fbdev", 2, bits)

    def bochs(self):
        """bochs-drm takes the screen over; its console, and blanking. (Panning it leaves out, whoever asks for it.)"""
        guest = self.guest
        guest.shell("modprobe bochs", 120)
        info = guest.shell("n=0; until agent fb info | grep -q bochs || [ $n -gt 100 ]; do usleep 50000; n=$((n + 1)); done; agent fb info")
        check("bochs" in info, f"bochs-drm: {info.strip()}")
        self.console("bochs-drm console")
        self.framebuffer("bochs-drm", 3)
        self.console("bochs-drm console again")
        guest.shell("agent blank 1")
        self.black("bochs-drm console blanked")
        guest.shell("agent blank 0")
        self.same("bochs-drm console no longer blanked", guest.rows())

    # ---- KMS ----

    def kms(self, all_sizes):
        """Sizes that the monitor offers and some that it does not, page flips, and how fast those go."""
        guest = self.guest
        guest.shell("agent graphics 1")
        guest.kms_start()
        modes = guest.kms("modes").split()
        say(f"the monitor's modes: {' '.join(modes)}")
        sizes = sorted({tuple(int(word) for word in mode.split("@")[0].split("x")) for mode in modes} | set(MADE_UP))
        check((640, 480) in sizes and (3840, 2160) in sizes, f"modes from {sizes[0]} to {sizes[-1]}")
        # The others differ in nothing but numbers; each takes seconds.
        for seed, (width, height) in enumerate(size for size in sizes if all_sizes or size in SIZES):
            guest.kms(f"set {width} {height} {seed}", 120)
            self.same(f"kms {width}x{height}", guest.kms_rows(120))
        width, height = sizes[-1]
        guest.kms(f"flip {len(sizes)}", 120)
        self.same(f"kms {width}x{height} flipped", guest.kms_rows(120))
        guest.kms("set 1024 768 7")
        guest.kms("flip 8")
        self.same("kms flipped", guest.kms_rows())
        began = time.monotonic()
        guest.kms("swap 121", 120)
        say(f"121 page flips took {time.monotonic() - began:.2f} s")
        self.same("kms after 121 flips", guest.kms_rows())
        guest.kms_stop()

    # ---- X ----

    def x_on_modesetting(self, all_sizes):
        guest = self.guest
        size = guest.start_x("modesetting")
        say(f"X modesetting has {size[0]}x{size[1]}, depth {size[2]}")
        self.x_picture("X modesetting", 4)
        sizes = ((640, 480), (1920, 1080), *(((2560, 1440), (3840, 2160)) if all_sizes else ()), (1024, 768))
        for seed, (width, height) in enumerate(sizes):
            guest.shell(f"xrandr --output Virtual-1 --mode {width}x{height}", 120)
            guest.x.wait(rf"^size {width} {height}\n", 60)
            self.x_picture(f"X modesetting xrandr {width}x{height}", 10 + seed)
        self.blanking()
        self.terminal()

    def blanking(self):
        """DPMS: black, and awake at a key."""
        guest = self.guest
        rows = guest.x_rows()
        guest.shell("xset dpms force off")
        self.black("X blanked by DPMS")
        check("Monitor is Off" in guest.shell("xset q"), "X says that its monitor is off")
        self.client.press("Shift_L")
        self.same("X awake after a key", rows)

    def terminal(self):
        """A terminal that scrolls: what it costs a client, and that it is right at the end."""
        guest = self.guest
        guest.eye("hide")
        guest.shell("xterm -geometry 120x50+0+0 +bc -e sh -c 'until [ -e /tmp/go ]; do usleep 50000; done; seq 1 2000; echo >/tmp/gone; "
                    "sleep 1000' >/dev/null 2>&1 </dev/null &")  # fmt: skip
        self.image()
        before, updates, began = self.client.bytes_received, self.client.updates, time.monotonic()
        guest.control.send("echo >/tmp/go; until [ -e /tmp/gone ]; do usleep 50000; done")
        while True:
            self.client.poll(0.2)
            if self.client.bytes_received and "@done" in guest.control.peek():
                break
        guest.control.wait(r"@done 0\n")
        seconds = time.monotonic() - began
        self.image()
        got = self.client.bytes_received - before
        say(f"figure: xterm scrolls 2000 lines in {seconds:.1f} s: {got / 1e6:.1f} MB raw in {self.client.updates - updates} updates")
        # X's own picture has no pointer in it.
        # The terminal draws its cursor anew when the pointer leaves it.
        guest.shell("xdotool mousemove 1023 760; sleep 2")
        self.same("X terminal that has scrolled", guest.x_rows(), height=740)
        guest.shell("killall xterm; rm -f /tmp/go /tmp/gone")
        guest.eye("show")

    # ---- all of it ----

    def all(self, all_sizes):
        self.vesafb()
        self.guest.load_input()
        if self.bits() == 32:
            self.x_on_fbdev("vesafb-32", 24)
            self.guest.stop_x()
        self.bochs()
        self.kms(all_sizes)
        self.x_on_modesetting(all_sizes)

    def depth(self, name):
        """One of vesafb's depths; X is there afterwards."""
        bits = {"vesafb-8": None, "vesafb-15": (5, 5, 5), "vesafb-16": (5, 6, 5), "vesafb-24": (8, 8, 8)}[name]
        say("fb0: " + self.guest.shell("agent fb info").strip())
        self.console(f"{name} console")
        self.framebuffer(name, 5, bits)
        self.guest.load_input()
        if name != "vesafb-24":
            self.x_on_fbdev(name, name.split("-")[1], bits)
        else:
            # X knows no pixels of three bytes any more.
            self.guest.shell("modprobe bochs", 120)
            self.guest.start_x("modesetting")
