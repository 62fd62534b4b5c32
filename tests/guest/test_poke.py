"""A guest that abuses every virtio device (virtio/poke.c): vmgui goes on, its memory stays flat, images stay sound.

VMGUI_POKE_SECONDS says how long (default 15; the issue's measure is 1800), VMGUI_POKE_SEED repeats a run.
"""

import os
import shutil
import subprocess
import time

import guest

SECONDS = float(os.environ.get("VMGUI_POKE_SECONDS", "15"))
SEED = os.environ.get("VMGUI_POKE_SEED", "")
PROGRESS = r"pokes (\d+) used (\d+) resets (\d+)"
GUEST_MIB = 64
# What grows after the first moments, the guest's own memory aside, is vmgui; its queues' room for requests (4.5 MiB each) is
# only touched as deep as a guest has gone.
SETTLE_SECONDS = 4
GROWTH_KIB = 24 * 1024
# Sanitizers keep what was freed, and some bytes for each that our threads touch, the guest's included.
SANITIZER_GROWTH_KIB = 512 * 1024


def has_sanitizer():
    """Whether vmgui was built with one."""
    with open(guest.VMGUI, "rb") as file:
        program = file.read()
    return b"__tsan_init" in program or b"__asan_init" in program


def own_kib(pid):
    """Anonymous memory of a process: neither image files in the page cache nor the guest's memory, the one mapping of its size."""
    total, size = 0, 0
    with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("Size:"):
                size = int(line.split()[1])
            elif line.startswith("Anonymous:") and size != GUEST_MIB * 1024:
                total += int(line.split()[1])
    return total


class Poke(guest.GuestTest):
    def images(self, folder):
        """--disk options: raw, raw that is thrown away, qcow2 where qemu-img can make one."""
        raw = os.path.join(folder, "raw.img")
        with open(raw, "wb") as file:
            file.truncate(4 << 20)
        options = ["-d", raw, "-d", f"{raw}.ro,ro", "-d", f"{raw}.thrown,snapshot"]
        shutil.copy(raw, f"{raw}.ro")
        shutil.copy(raw, f"{raw}.thrown")
        self.qcow2 = None
        if shutil.which("qemu-img"):
            self.qcow2 = os.path.join(folder, "disk.qcow2")
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", self.qcow2, "4M"], check=True)
            options += ["-d", self.qcow2]
        return options

    def poke(self, *arguments):
        folder = self.enterContext(guest.tempfile.TemporaryDirectory(prefix="vmgui-test-"))
        options = self.images(folder)
        params = f"seed={SEED}" if SEED else ""
        poker = self.guest(
            "-m", f"{GUEST_MIB}M", "-c", "1", "-k", os.environ["BARE_POKE"], "-p", params, *options, *arguments, command=()
        )  # fmt: skip
        ready = poker.expect(r"ready (\d+) (\d+)")
        print(f"seed {ready[1]}, {ready[2]} devices", flush=True)
        growth = SANITIZER_GROWTH_KIB if has_sanitizer() else GROWTH_KIB
        start = time.monotonic()
        flat = now = None
        pokes = used = 0
        while time.monotonic() - start < SECONDS:
            progress = poker.expect(PROGRESS, timeout=guest.PATIENCE)
            pokes, used = int(progress[1]), max(used, int(progress[2]))
            # Nobody reads them again.
            with poker.arrived:
                del poker.lines[: poker.position]
                poker.position = 0
            if time.monotonic() - start > SETTLE_SECONDS:
                now = own_kib(poker.process.pid)
                flat = flat or now
                self.assertLess(now, flat + growth, f"memory grows; {poker.story()}")
        print(f"pokes {pokes} used {used}, own memory {flat} KiB at first and {now} KiB at last", flush=True)
        self.assertGreater(pokes, 0)
        self.assertGreater(used, 0, "no device has answered a single request")
        self.assertEqual(poker.end_at_once(), 0, poker.story())
        if self.qcow2:
            check = subprocess.run(["qemu-img", "check", self.qcow2], capture_output=True, text=True, check=False)
            # 3: clusters that nobody uses, which is no damage.
            self.assertIn(check.returncode, (0, 3), check.stdout + check.stderr)

    def test_abuse_changes_nothing_for_vmgui(self):
        channel = os.path.join(self.enterContext(guest.tempfile.TemporaryDirectory()), "agent.sock")
        self.poke("--rng", "--channel", f"agent,{channel}")


if __name__ == "__main__":
    guest.main()
