"""The small Debian with X of tests/support/desktop-guest, under vmgui (or QEMU, to try the test itself): started, spoken to over
virtio ports, its input devices and its X server listened to, and its screen compared with what a display shows of it."""

import contextlib
import os
import pty
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import tty
import zlib

# mitigations=off: they cost a software CPU the most. The text console stays as it was drawn: no cursor that blinks.
PARAMETERS = "console=tty0 console=ttyS0 loglevel=4 mitigations=off panic=-1 vt.global_cursor_default=0 consoleblank=0"
PORTS = ("control", "evdev", "x")


class GuestError(AssertionError):
    """The guest did something else than expected, or nothing."""


def pattern_pixel(x, y, seed):
    """What desktop_guest_pattern.h draws."""
    return ((x + 3 * y + 50 * seed) & 255, (x ^ (y + seed)) & 255, (5 * x + (x >> 8) * 31 + (y >> 8) * 17 + y) & 255)


def row_sums(image):
    """A picture told as the guest tells it: a CRC for each row."""
    size = image.width * 3
    view = memoryview(image.data)
    return [zlib.crc32(view[y * size : (y + 1) * size]) for y in range(image.height)]


def difference(image, sums, height=None):
    """What is different between a picture and the guest's rows, all or the upper ones, in words; None when nothing is."""
    if image.height != len(sums):
        return f"{image.height} rows, the guest has {len(sums)}"
    wrong = [y for y, (ours, theirs) in enumerate(zip(row_sums(image)[:height], sums)) if ours != theirs]
    return f"{len(wrong)} of {image.height} rows differ, the first is {wrong[0]}" if wrong else None


class Channel:
    """Lines to and from one of the guest's virtio ports. A thread keeps what comes, for a log too."""

    def __init__(self, name, path, log, alive):
        self.name = name
        self._alive = alive
        self._changed = threading.Condition()
        self._text = ""
        self._ended = False
        self._log = open(log, "w", encoding="utf-8")
        deadline = time.monotonic() + 60
        while True:
            self._socket = socket.socket(socket.AF_UNIX)
            try:
                self._socket.connect(path)
                break
            except OSError:
                self._socket.close()
                if time.monotonic() > deadline or not alive():
                    raise GuestError(f"{path}: nobody listens") from None
                time.sleep(0.05)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            try:
                data = self._socket.recv(65536)
            except OSError:
                data = b""
            text = data.decode(errors="replace")
            self._log.write(text)
            self._log.flush()
            with self._changed:
                self._text += text
                self._ended = not data
                self._changed.notify_all()
            if not data:
                return

    def send(self, line):
        self._socket.sendall(line.encode() + b"\n")

    def wait(self, pattern, seconds=120):
        """The match of a regular expression in what has come and was not taken; takes all up to its end."""
        deadline = time.monotonic() + seconds
        compiled = re.compile(pattern, re.DOTALL | re.MULTILINE)
        with self._changed:
            while True:
                match = compiled.search(self._text)
                if match:
                    self._text = self._text[match.end() :]
                    return match
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    why = "vmgui ended" if self._ended else f"not within {seconds} s"
                    raise GuestError(f"{self.name}: {pattern!r} expected, {why}; last: {self._text[-300:]!r}")
                self._changed.wait(left)

    def lines(self, enough, seconds):
        """Takes the lines that come until enough(lines) holds or the time is up; returns them."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                whole, _, _ = self._text.rpartition("\n")
                found = whole.split("\n") if whole else []
                left = deadline - time.monotonic()
                if enough(found) or left <= 0 or self._ended:
                    self._text = self._text[len(whole) + 1 if whole else 0 :]
                    return found
                self._changed.wait(left)

    def take(self):
        """The lines that are there already."""
        return self.lines(lambda _: True, 0)

    def peek(self):
        """What has come and was not taken; it stays."""
        with self._changed:
            return self._text

    def close(self):
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class DesktopGuest:
    """One vmgui process with the desktop's guest in it."""

    def __init__(self, program, system, artefacts, name="desktop", displays=(), parameters="", memory="512M", cpus=1, desktop=None,
                 qemu=None):  # fmt: skip
        self.name = name
        self.folder = tempfile.mkdtemp(prefix="vmgui-desktop.")
        self.artefacts = artefacts
        given = f"{PARAMETERS} {parameters}".strip()
        if qemu:
            command = self._qemu_command(qemu, system, displays, given, memory)
        else:
            command = [program, "run", "--no-reboot", "-m", memory, "-c", str(cpus), *displays]
            command += ["-k", f"{system}/vmlinuz", "-i", f"{system}/initrd", "-p", given]
            command += ["-d", f"{system}/root.raw,format=raw,snapshot"]
            for port in PORTS:
                command += ["--channel", f"{port},{self.folder}/{port}"]
        self.command = command
        # Beside a display the serial console is only there for a terminal.
        master, slave = pty.openpty()
        tty.setraw(slave)
        self.stderr_path = os.path.join(artefacts, f"{name}.stderr.log")
        with open(self.stderr_path, "wb") as errors:
            self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=errors,
                                            env=desktop.environment if desktop else None)  # fmt: skip
        os.close(slave)
        self.started = time.monotonic()
        self._serial = threading.Thread(target=self._log_serial, args=(master,), daemon=True)
        self._serial.start()
        alive = lambda: self.process.poll() is None  # noqa: E731
        self.channels = {}
        for port in PORTS:
            log = os.path.join(artefacts, f"{name}.{port}.log")
            self.channels[port] = Channel(f"{name}: {port}", f"{self.folder}/{port}", log, alive)
        self.control, self.evdev, self.x = (self.channels[port] for port in PORTS)

    def _qemu_command(self, accelerator, system, displays, parameters, memory):
        command = ["qemu-system-x86_64", "-M", "pc", "-accel", accelerator, "-cpu", "max", "-m", memory, "-nodefaults", "-no-reboot"]
        command += ["-vga", "std", "-serial", "stdio", "-device", "virtio-serial-pci", *displays]
        command += ["-kernel", f"{system}/vmlinuz", "-initrd", f"{system}/initrd", "-append", parameters]
        command += ["-drive", f"if=virtio,file={system}/root.raw,format=raw,snapshot=on"]
        for port in PORTS:
            command += ["-chardev", f"socket,id={port},path={self.folder}/{port},server=on,wait=off"]
            command += ["-device", f"virtserialport,chardev={port},name={port}"]
        return command

    def _log_serial(self, master):
        with open(os.path.join(self.artefacts, f"{self.name}.serial.log"), "wb") as log:
            while True:
                try:
                    data = os.read(master, 65536)
                except OSError:
                    data = b""
                if not data:
                    break
                log.write(data)
                log.flush()
        os.close(master)

    # ---- the shell ----

    def ready(self, seconds):
        """Waits for the guest's shell."""
        self.control.wait(r"^@ready [0-9.]+\n", seconds)

    def run(self, line, seconds=120):
        """Runs a shell line; returns its exit status and what it printed."""
        self.control.send(line)
        match = self.control.wait(r"\A(.*?)^@done ([0-9]+)\n", seconds)
        return int(match[2]), match[1]

    def shell(self, line, seconds=120):
        """Runs a shell line that succeeds; returns what it printed."""
        status, text = self.run(line, seconds)
        if status != 0:
            raise GuestError(f"{self.name}: {line!r} ended with {status}: {text.strip()!r}")
        return text

    def rows(self, line="agent fb rows", seconds=120):
        """The rows that a line of the shell prints."""
        return [int(word, 16) for word in self.shell(line, seconds).split()]

    # ---- input ----

    def load_input(self):
        """The input drivers, and udev to tell X about them."""
        self.shell("modprobe evdev; modprobe psmouse; modprobe button", 120)
        self.shell("/lib/systemd/systemd-udevd --daemon >/dev/null 2>&1; udevadm trigger -c add --subsystem-match=input; udevadm settle", 120)

    def start_watching(self):
        """The port "evdev" tells every event from here on."""
        self.shell("p=$(agent port evdev); agent watch >$p 2>&1 </dev/null & echo $! >/tmp/watch.pid")

    def stop_watching(self):
        """Nobody takes events from everybody else's time."""
        self.shell("kill $(cat /tmp/watch.pid)")

    # ---- KMS, while nobody else is master ----

    def kms_start(self, seconds=120):
        self.control.send("agent kms")
        self._kms_done("start", seconds)

    def _kms_done(self, line, seconds):
        match = self.control.wait(r"\A(.*?)^@kms ([0-9]+)\n", seconds)
        if match[2] != "0":
            raise GuestError(f"{self.name}: kms: {line}: {match[1].strip()}")
        return match[1]

    def kms(self, line, seconds=120):
        """A line to desktop_guest_agent.c's KMS mode; what it printed."""
        self.control.send(line)
        return self._kms_done(line, seconds)

    def kms_rows(self, seconds=120):
        return [int(word, 16) for word in self.kms("rows", seconds).split()]

    def kms_stop(self):
        self.control.send("quit")
        self.control.wait(r"\A.*?^@done [0-9]+\n")

    # ---- X ----

    def start_x(self, config, seconds=120):
        """X with that configuration (/etc/X11/NAME.conf) and xeye as its only client; returns width, height and depth."""
        self.shell(f"agent graphics 0; setsid Xorg :0 -config {config}.conf -nolisten tcp -noreset -ac vt7 >/tmp/xorg.out 2>&1 </dev/null &")
        self.shell("p=$(agent port x); xeye <>$p >&0 2>/dev/null & echo $! >/tmp/xeye.pid")
        try:
            match = self.x.wait(r"^ready ([0-9]+) ([0-9]+) depth ([0-9]+)\n", seconds)
        except GuestError as error:
            raise GuestError(f"{error}; X said: {self.x_log()[-1500:]}") from None
        return tuple(int(word) for word in match.groups())

    def stop_x(self):
        self.shell("kill $(cat /tmp/xeye.pid); kill $(cat /tmp/.X0-lock); while [ -e /tmp/.X0-lock ]; do usleep 50000; done")

    def x_log(self):
        """What X has to say about itself."""
        return self.run("cat /var/log/Xorg.0.log")[1]

    def eye(self, line, seconds=120):
        """A line to desktop_guest_x.c; what it printed, without what X had to tell meanwhile."""
        self.x.take()
        self.x.send(line)
        match = self.x.wait(r"\A(.*?)^@x ([0-9]+)\n.*?^@done\n", seconds)
        if match[2] != "0":
            raise GuestError(f"{self.name}: xeye: {line}: status {match[2]}: {match[1].strip()[-200:]}")
        return match[1]

    def x_rows(self, seconds=120):
        """The rows of X's screen."""
        return [int(word, 16) for word in self.eye("rows", seconds).split() if re.fullmatch("[0-9a-f]{8}", word)]

    def where(self):
        """X's pointer: x, y, and the core protocol's button mask."""
        match = re.search(r"at (-?\d+) (-?\d+) buttons (\d+)", self.eye("where"))
        return tuple(int(word) for word in match.groups())

    # ---- the end ----

    def errors(self):
        """What vmgui has written to stderr."""
        with open(self.stderr_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def complaints(self):
        """The same without what it tells of its own accord."""
        return "".join(line for line in self.errors().splitlines(True) if not re.search(": decompressing|: VNC server on ", line))

    def dump(self):
        """Registers of a guest that may be stuck, into the log of stderr."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGUSR1)
            time.sleep(1)

    def power_off(self, seconds=120):
        """Tells the guest to; returns vmgui's exit status."""
        self.control.send("end")
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise GuestError(f"{self.name}: vmgui still runs {seconds} s after the guest powered off") from None

    def close(self):
        """Ends vmgui if it has not ended."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        for channel in self.channels.values():
            channel.close()
        self._serial.join(5)
        subprocess.run(["rm", "-rf", self.folder], check=False)
