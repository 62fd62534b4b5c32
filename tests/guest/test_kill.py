"""vmgui is killed at random moments under a load of writes: what was flushed is there, images are sound.

The guest (virtio/writer.c) makes its writes from a seed; the same numbers are made here, so that each sector of the image
can be judged: it holds the last write that was flushed, or a later one. VMGUI_KILLS says how often for each format (default
12; the issue's measure is 1000 in all), VMGUI_KILL_SEED repeats a run.
"""

import os
import random
import re
import shutil
import struct
import subprocess
import sys
import time

import guest

KILLS = int(os.environ.get("VMGUI_KILLS", "12"))
SEED = int(os.environ.get("VMGUI_KILL_SEED", "0")) or random.SystemRandom().getrandbits(32)
DISK_BYTES = 4 << 20
SECTOR = 512
MAX_SECTORS = 64
DEPTH = 8
MASK = (1 << 64) - 1


class Writer:
    """The writes of writer.c, in their order."""

    def __init__(self, seed, first):
        self.state = seed
        self.number = first

    def below(self, limit):
        self.state ^= self.state << 13 & MASK
        self.state ^= self.state >> 7
        self.state ^= self.state << 17 & MASK
        return (self.state >> 16) % limit

    def writes_until(self, flushed):
        """(round, number, start, count, zeroes), for some rounds beyond the number that was flushed."""
        rounds = beyond = 0
        while beyond < 40:
            rounds += 1
            for _ in range(1 + self.below(DEPTH)):
                count = 8 if self.below(4) else 1 + self.below(MAX_SECTORS)
                start = self.below(DISK_BYTES // SECTOR - count)
                yield rounds, self.number, start, count, self.below(8) == 0
                self.number += 1
            self.below(3)
            if self.number > flushed:
                beyond += 1


def mix(number, sector):
    return ((number * 0x9E3779B97F4A7C15 & MASK) ^ sector) * 0xFF51AFD7ED558CCD & MASK


def content(number, sector):
    """What write `number` puts into a sector."""
    return struct.pack("<QQ6Q", number, sector, *[mix(number, sector)] * 6) * (SECTOR // 64)


class Kill(guest.GuestTest):
    def tool(self, *arguments):
        result = subprocess.run(["qemu-img", *arguments], capture_output=True, text=True, check=False)
        return result.returncode, result.stdout + result.stderr

    def judge(self, now, before, seed, first, flushed):
        """Each sector holds the last flushed write to it, or one that came after. Those of a round are in flight together
        and may take effect in any order."""
        allowed, last = {}, {}
        for rounds, number, start, count, zeroes in Writer(seed, first).writes_until(flushed):
            for sector in range(start, start + count):
                if number <= flushed and last.get(sector) != rounds:
                    allowed[sector] = []
                last[sector] = rounds
                allowed.setdefault(sector, [(None, False)]).append((number, zeroes))
        for sector in range(DISK_BYTES // SECTOR):
            data = now[sector * SECTOR : (sector + 1) * SECTOR]
            for number, zeroes in allowed.get(sector, [(None, False)]):
                if number is None:
                    good = before[sector * SECTOR : (sector + 1) * SECTOR]
                else:
                    good = bytes(SECTOR) if zeroes else content(number, sector)
                if data == good:
                    break
            else:
                choices = [number for number, _ in allowed.get(sector, [])]
                self.fail(
                    f"seed {SEED}: sector {sector} holds {data[:16].hex()}, flushed were the writes to {flushed}; it may "
                    f"hold those of {choices[:8]}"
                )

    def life(self, image, format_name, seed, first, seconds):
        """One run of the guest, killed after that long; the number of the last write that was flushed."""
        process = subprocess.Popen(
            [guest.VMGUI, "--headless", "-m", "64M", "-c", "1", "-k", os.environ["BARE_WRITER"],
             "-p", f"seed={seed} first={first}", "-d", f"{image},format={format_name}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=guest.end_with_the_test,
        )  # fmt: skip
        if process.stdout.readline() != b"ready\n":
            process.kill()
            self.fail(f"seed {SEED}: the guest did not start: {process.communicate()}")
        time.sleep(seconds)
        process.kill()
        output, errors = process.communicate()
        self.assertEqual(process.returncode, -9, errors)
        # The kernel gives up a killed io_uring's files, and with them the image's lock, a moment later.
        deadline = time.monotonic() + guest.PATIENCE
        while self.tool("info", "-f", format_name, image)[0] != 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertNotIn(b"failed", output)
        lines = re.findall(rb"flushed (\d+)\n", output)
        return int(lines[-1]) if lines else first - 1

    def kill(self, format_name):
        folder = self.enterContext(guest.tempfile.TemporaryDirectory(prefix="vmgui-test-"))
        image = os.path.join(folder, "image")
        raw = os.path.join(folder, "raw")
        chance = random.Random(f"{SEED} {format_name}")
        print(f"{format_name}: VMGUI_KILL_SEED={SEED}", flush=True)
        flushes = leaks = i = 0
        # How long a life is at most: longer on a machine on which none comes as far as a flush.
        life_seconds = 0.15
        before = bytes(DISK_BYTES)
        while i < KILLS or not flushes:
            # Now and then a fresh image, in which everything is still to be allocated.
            if i % 10 == 0:
                status, text = self.tool("create", "-q", "-f", format_name, image, str(DISK_BYTES))
                self.assertEqual(status, 0, text)
                before = bytes(DISK_BYTES)
            seed, first = chance.getrandbits(63) | 1, 1 + i * 1000000
            flushed = self.life(image, format_name, seed, first, chance.random() * life_seconds)
            flushes += flushed >= first
            if not flushes:
                self.assertLess(life_seconds, guest.PATIENCE, "no guest comes as far as a flush")
                life_seconds *= 1.5
            if format_name == "raw":
                with open(image, "rb") as file:
                    now = file.read()
            else:
                status, text = self.tool("check", "-f", format_name, image)
                self.assertIn(status, (0, 3), f"seed {SEED}, life {i}: {text}")
                leaks += status == 3
                status, text = self.tool("convert", "-f", format_name, "-O", "raw", image, raw)
                self.assertEqual(status, 0, text)
                with open(raw, "rb") as file:
                    now = file.read()
            self.judge(now, before, seed, first, flushed)
            before = now
            i += 1
        print(f"{format_name}: {i} kills, {flushes} with flushed writes, {leaks} left leaked clusters", flush=True)

    def test_kill_raw_keeps_what_was_flushed(self):
        self.kill("raw")

    def test_kill_qcow2_keeps_what_was_flushed_and_stays_sound(self):
        self.kill("qcow2")


if __name__ == "__main__":
    if not shutil.which("qemu-img"):
        print("skipped: qemu-img is not installed (scripts/setup test)")
        sys.exit(guest.SKIPPED)
    guest.main()
