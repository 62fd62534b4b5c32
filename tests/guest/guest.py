"""Runs vmgui with the test card, or another tiny guest, for the tests of this folder.

A guest's serial console is a pseudo-terminal here, because vmgui gives it to stdin and stdout only if those are a terminal
or there is no display. What the card says there is in assets/testcard/README.md. The environment names the program: VMGUI.
"""

import ctypes
import fcntl
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tty
import unittest
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import rfb  # noqa: E402

VMGUI = os.environ.get("VMGUI", "vmgui")
# The sanitizers of this build, if any: much slower, so that long tests take a part of what they would.
SHORT = os.environ.get("VMGUI_TEST_SHORT", "")
# Sanitizers and busy machines are slow; nothing that passes waits as long.
PATIENCE = int(os.environ.get("VMGUI_TEST_PATIENCE", "120"))
SKIPPED = 77

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)

KVM_GET_API_VERSION = 0xAE00
KVM_CREATE_VM = 0xAE01

SYS_POLL = 7  # x86-64
SYS_FUTEX = 202

# The bits of red, green and blue that a mode of that depth can hold.
DEPTH_MASKS = {
    8: (0xFC, 0xFC, 0xFC),
    15: (0xF8, 0xF8, 0xF8),
    16: (0xF8, 0xFC, 0xF8),
    24: (0xFF, 0xFF, 0xFF),
    32: (0xFF, 0xFF, 0xFF),
}


def picture_sum(image, depth):
    """The checksum that the card's `sum` gives for a screen that shows this image."""
    data = bytearray(image.data)
    for channel, mask in enumerate(DEPTH_MASKS[depth]):
        if mask != 0xFF:
            data[channel::3] = data[channel::3].translate(bytes(value & mask for value in range(256)))
    return zlib.crc32(data)


def why_no_kvm():
    """What keeps this machine from running guests at all; None if nothing does."""
    try:
        kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return f"/dev/kvm: {error.strerror}"
    try:
        if fcntl.ioctl(kvm, KVM_GET_API_VERSION, 0) != 12:
            return "/dev/kvm: not KVM's API version 12"
        os.close(fcntl.ioctl(kvm, KVM_CREATE_VM, 0))
        return None
    except OSError as error:
        return f"/dev/kvm: no virtual machine: {error.strerror}"
    finally:
        os.close(kvm)


def end_with_the_test():
    """For a child: no guest outlives a test that was killed."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_display():
    """A VNC display number whose port nobody listens on, and no other test will (see tests/support/test_port.h)."""
    for number in range(1000):
        display = 100 + (os.getpid() + number) % 1000
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0vmgui-test-port-{5900 + display}")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", 5900 + display))
        except OSError:
            name.close()
            continue
        # The name stays taken for as long as this process lives.
        name.detach()
        return display
    raise RuntimeError("no free port")


def environment(folder):
    """The tests' own: no desktop session, and caches and sockets in a folder that goes away."""
    result = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    result.update(XDG_CACHE_HOME=folder, XDG_RUNTIME_DIR=folder)
    return result


class Guest:
    """One vmgui process. Its serial lines arrive in a thread; everything else is the caller's."""

    def __init__(self, *arguments, command=("testcard",), vnc=False, desktop=None):
        """vnc: it serves VNC on self.port; desktop: the desktop.Desktop for its window (the arguments say which kind)."""
        self.folder = tempfile.TemporaryDirectory(prefix="vmgui-test-")
        self.lines = []
        self.position = 0
        self.arrived = threading.Condition()
        self.clients = []
        self.size = None  # of the guest's picture, where it is known and stays
        self.desktop = desktop
        display = free_display() if vnc else None
        self.port = 5900 + display if vnc else None
        line = self.command_line(command, arguments, display)
        self.errors = open(os.path.join(self.folder.name, "stderr"), "w+b")
        self.console, terminal = pty.openpty()
        tty.setraw(terminal)
        self.started = time.monotonic()
        # A session of its own, so that the terminal's signals are nobody else's.
        self.process = subprocess.Popen(
            line, stdin=terminal, stdout=terminal, stderr=self.errors, env=self.environment(),
            cwd=self.folder.name, start_new_session=True, preexec_fn=end_with_the_test,
        )  # fmt: skip
        os.close(terminal)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def command_line(self, command, arguments, display):
        """What is run; display: the VNC display, or None."""
        if display is not None:
            arguments = (*arguments, f"--vnc=127.0.0.1:{display}")
        elif not self.desktop:
            arguments = (*arguments, "--headless")
        return [VMGUI, *command, *arguments]

    def environment(self):
        """What it is run in."""
        result = environment(self.folder.name)
        if self.desktop:
            result.update(self.desktop.environment)
            result.update(XDG_CACHE_HOME=self.folder.name, XDG_RUNTIME_DIR=self.folder.name)
        return result

    def _read(self):
        rest = b""
        while True:
            try:
                data = os.read(self.console, 65536)
            except OSError:
                data = b""
            with self.arrived:
                if not data:
                    self.lines.append(None)
                    self.arrived.notify_all()
                    return
                *whole, rest = (rest + data).split(b"\n")
                self.lines += [line.rstrip(b"\r").decode(errors="replace") for line in whole]
                self.arrived.notify_all()

    def close(self):
        """Ends the guest, if it has not ended."""
        if self.errors.closed:
            return
        for client in self.clients:
            client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join(5)
        os.close(self.console)
        self.errors.close()
        self.folder.cleanup()

    def stderr(self):
        """What vmgui has said so far."""
        self.errors.flush()
        with open(self.errors.name, "rb") as file:
            return file.read().decode(errors="replace")

    def story(self):
        """For a failure's message."""
        said = "\n".join("  " + str(line) for line in self.lines[-40:])
        return f"status {self.process.poll()}; the serial port said:\n{said}\nvmgui said:\n{self.stderr()}"

    def expect(self, pattern, timeout=PATIENCE):
        """The match of the next line that fits, from the last one on that was expected."""
        deadline = time.monotonic() + timeout
        with self.arrived:
            while True:
                while self.position < len(self.lines):
                    line = self.lines[self.position]
                    if line is None:
                        raise AssertionError(f"vmgui ended before /{pattern}/; {self.story()}")
                    self.position += 1
                    match = re.fullmatch(pattern, line)
                    if match:
                        return match
                if not self.arrived.wait(deadline - time.monotonic()):
                    raise AssertionError(f"no line /{pattern}/ in {timeout} s; {self.story()}")

    def collect(self, pattern, until, timeout=PATIENCE):
        """The matches of all lines that fit, up to the line that fits `until`."""
        start = self.position
        self.expect(until, timeout)
        found = (re.fullmatch(pattern, line) for line in self.lines[start : self.position])
        return [match for match in found if match]

    def send(self, text):
        """One command to the card."""
        if text.startswith("mode "):
            self.size = None
        os.write(self.console, text.encode() + b"\n")

    def ask(self, text, pattern, timeout=PATIENCE):
        """A command and the line that answers it."""
        self.send(text)
        return self.expect(pattern, timeout)

    def ready(self):
        """Waits until the card stands; returns the mode's name."""
        mode = self.expect(r"card: ready (\S+)")[1]
        self.size = tuple(map(int, mode.split("x")[:2]))
        return mode

    def fence(self):
        """All that was asked for before has happened when this returns."""
        self.fences = getattr(self, "fences", 0) + 1
        self.ask(f"echo fence{self.fences}", f"echo fence{self.fences}")

    def sum(self):
        """The card's checksum of its picture."""
        return int(self.ask("sum", r"sum ([0-9a-f]{8})")[1], 16)

    def wait(self, timeout=PATIENCE):
        """vmgui's exit status."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"vmgui still runs after {timeout} s; {self.story()}") from None

    def terminate(self):
        """As a service manager would."""
        self.process.send_signal(signal.SIGTERM)

    def end_at_once(self):
        """As somebody would who does not wait for the guest: vmgui's exit status."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            # Two that are pending at once are one; so more of them, until one is the second.
            self.terminate()
            time.sleep(0.1)
        return self.wait()

    def client(self, **options):
        """A new VNC client."""
        client = rfb.RfbClient(port=self.port, timeout=PATIENCE, **options)
        self.clients.append(client)
        # One that comes before vmgui has looked at the guest's first picture gets its size a moment later.
        if self.size and (client.width, client.height) != self.size:
            client.wait_for(lambda: (client.width, client.height) == self.size, "the guest's size", PATIENCE)
            client.refresh()
        return client

    def system_calls(self):
        """[(name, number of the system call that it is in, or None)] of its threads."""
        found = []
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            folder = f"/proc/{self.process.pid}/task/{task}"
            try:
                with open(f"{folder}/comm", encoding="utf-8") as name, open(f"{folder}/syscall", encoding="ascii") as call:
                    number = call.read().split()[0]
                    found.append((name.read().strip(), int(number) if number.isdigit() else None))
            except OSError:  # it has just ended
                continue
        return found

    def pause(self):
        """Pauses the guest, or lets it go on; returns once a pause has come into effect everywhere."""
        self.process.send_signal(signal.SIGUSR2)
        self.paused = not getattr(self, "paused", False)
        deadline = time.monotonic() + PATIENCE
        quiet = 0
        # Its processors wait on locks, and nothing else has anything left to do: the main thread is in poll again.
        while self.paused and quiet < 3:
            calls = self.system_calls()
            parked = all(call == SYS_FUTEX for name, call in calls if name.startswith("vcpu"))
            quiet = quiet + 1 if parked and ("vmgui", SYS_POLL) in calls else 0
            if time.monotonic() > deadline:
                raise AssertionError(f"the guest does not pause: {calls}; {self.story()}")
            time.sleep(0.02)

    def cpu_seconds(self):
        """Processor time that all of its threads have used."""
        total = 0
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            with open(f"/proc/{self.process.pid}/task/{task}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
        return total / 1e9

    def switches(self):
        """How often each of its threads, by name, was switched to. All of vmgui's have names of their own; one with the
        program's, beside the main thread, is a sanitizer's."""
        result = {}
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            try:
                with open(f"/proc/{self.process.pid}/task/{task}/status", encoding="utf-8") as file:
                    fields = dict(line.split(":", 1) for line in file if ":" in line)
            except OSError:  # it has just ended
                continue
            if fields["Name"].strip() == "vmgui" and int(task) != self.process.pid:
                continue
            count = int(fields["voluntary_ctxt_switches"]) + int(fields["nonvoluntary_ctxt_switches"])
            result[f"{fields['Name'].strip()}-{task}"] = count
        return result


class GuestTest(unittest.TestCase):
    """A test case whose guests end with it."""

    maxDiff = None

    def guest(self, *arguments, **options):
        guest = Guest(*arguments, **options)
        self.addCleanup(guest.close)
        self.addCleanup(self._no_sanitizer_complained, guest)
        return guest

    def _no_sanitizer_complained(self, guest):
        # Of a guest that is ended by force, the exit status does not tell.
        if not guest.errors.closed:
            self.assertNotRegex(guest.stderr(), "Sanitizer|runtime error:")

    def card(self, *arguments, **options):
        """A test card that stands."""
        guest = self.guest(*arguments, **options)
        guest.ready()
        return guest

    def assert_shows(self, client, checksum, depth, timeout=PATIENCE):
        """The client's picture becomes the one with that checksum."""
        deadline = time.monotonic() + timeout
        while picture_sum(client.image(), depth) != checksum:
            if time.monotonic() > deadline:
                client.refresh()
                path = os.path.join(tempfile.gettempdir(), f"vmgui-{self.id()}.png")
                client.image().save(path)
                self.fail(f"the VNC picture ({client.width}x{client.height}) is not the guest's (see {path})")
            client.poll(0.1)


def run(*arguments, timeout=PATIENCE, folder=None):
    """vmgui to its end, without a terminal: (status, stdout, stderr)."""
    with tempfile.TemporaryDirectory(prefix="vmgui-test-") as own:
        result = subprocess.run(
            [VMGUI, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False,
            env=environment(folder or own), cwd=own, preexec_fn=end_with_the_test,
        )  # fmt: skip
    return result.returncode, result.stdout.decode(errors="replace"), result.stderr.decode(errors="replace")


def main():
    """Runs the calling file's tests; without KVM they are skipped."""
    reason = why_no_kvm()
    if reason:
        print(f"skipped: {reason}")
        sys.exit(SKIPPED)
    unittest.main(module="__main__", verbosity=2)
