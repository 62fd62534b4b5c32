"""A Linux guest under vmgui, spoken to over its serial console: its initrd, its processes, and lines to and from its shell."""

import gzip
import os
import re
import shutil
import signal
import subprocess
import threading
import time

# The guest's process 1. Lines that come in are run one by one; the marker after each carries the exit status. Messages of the
# kernel's own go to the same line, so that little is printed unless asked for.
INIT = r"""#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo -onlcr
echo 1 >/proc/sys/kernel/sysrq
echo "@ready $(cut -d' ' -f1 /proc/uptime)"
while read -r line; do
	eval "$line"
	echo "@done $?"
done
echo "@eof"
poweroff -f
"""


def _cpio_entry(name, mode, data=b"", rdev=(0, 0)):
    """One file of a "newc" archive (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    encoded = name.encode() + b"\0"
    fields = [0, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev, len(encoded), 0]
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


def make_initrd(path, module_root, busybox):
    """Writes an initrd of busybox and what lies below module_root."""
    with open(busybox, "rb") as file:
        program = file.read()
    # Where the dynamic busybox is installed instead of the static one, its libraries come along.
    listed = subprocess.run(["ldd", busybox], capture_output=True, text=True, check=False).stdout
    libraries = sorted(set(re.findall(r"(/\S+) \(0x", listed)))
    folders = {"bin", "dev", "proc", "sys", "tmp"}
    for library in libraries:
        steps = library.strip("/").split("/")[:-1]
        folders.update("/".join(steps[: i + 1]) for i in range(len(steps)))
    parts = [_cpio_entry(name, 0o040755) for name in sorted(folders)]
    for library in libraries:
        with open(library, "rb") as file:
            parts.append(_cpio_entry(library.strip("/"), 0o100755, file.read()))
    parts.append(_cpio_entry("dev/console", 0o020600, rdev=(5, 1)))
    parts.append(_cpio_entry("bin/busybox", 0o100755, program))
    parts.append(_cpio_entry("init", 0o100755, INIT.encode()))
    for folder, _, names in os.walk(os.path.join(module_root, "lib")):
        parts.append(_cpio_entry(os.path.relpath(folder, module_root), 0o040755))
        for name in sorted(names):
            full = os.path.join(folder, name)
            with open(full, "rb") as file:
                parts.append(_cpio_entry(os.path.relpath(full, module_root), 0o100644, file.read()))
    parts.append(_cpio_entry("TRAILER!!!", 0))
    with open(path, "wb") as out:
        out.write(gzip.compress(b"".join(parts), 1))


class GuestError(AssertionError):
    """The guest did something else than expected, or nothing."""


class Guest:
    """One vmgui process and the console of the guest in it. A thread keeps what comes from the console, for a log too."""

    def __init__(self, name, command, artefacts, environment=None):
        self.name = name
        self.triple_faults = 0  # those that were asked for
        self._lock = threading.Condition()
        self._text = bytearray()
        self._ended = False
        self._log = open(os.path.join(artefacts, f"{name}.console.log"), "wb")
        self.stderr_path = os.path.join(artefacts, f"{name}.stderr.log")
        with open(self.stderr_path, "wb") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **(environment or {})},
                bufsize=0,
            )
        self.started = time.monotonic()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        while True:
            data = os.read(self.process.stdout.fileno(), 65536)
            self._log.write(data)
            self._log.flush()
            with self._lock:
                self._text += data
                self._ended = not data
                self._lock.notify_all()
            if not data:
                return

    def wait(self, pattern, seconds=120):
        """The match of a regular expression (bytes) in what has come and not been taken; takes all up to its end."""
        deadline = time.monotonic() + seconds
        compiled = re.compile(pattern, re.DOTALL | re.MULTILINE)
        with self._lock:
            while True:
                match = compiled.search(bytes(self._text))
                if match:
                    del self._text[: match.end()]
                    return match
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    tail = bytes(self._text[-400:]).decode(errors="replace")
                    why = "vmgui ended" if self._ended else f"not within {seconds} s"
                    raise GuestError(f"{self.name}: {pattern.decode()!r} expected, {why}; last: {tail!r}")
                self._lock.wait(left)

    def wait_bytes(self, count, seconds):
        """Exactly that many bytes as they come."""
        deadline = time.monotonic() + seconds
        with self._lock:
            while len(self._text) < count:
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    raise GuestError(f"{self.name}: {len(self._text)} of {count} bytes came")
                self._lock.wait(left)
            data = bytes(self._text[:count])
            del self._text[:count]
            return data

    def send(self, data):
        """Bytes to the guest's console."""
        view = memoryview(data)
        while view:
            view = view[os.write(self.process.stdin.fileno(), view) :]

    def ready(self, seconds=120):
        """Waits for the initrd's shell; returns the guest's uptime then."""
        return float(self.wait(rb"^@ready ([0-9.]+)\n", seconds)[1])

    def run(self, line, seconds=120):
        """Runs a shell line; returns its exit status and what it printed."""
        self.send(line.encode() + b"\n")
        match = self.wait(rb"\A(.*?)^@done ([0-9]+)\n", seconds)
        return int(match[2]), match[1].decode(errors="replace").replace("\r\n", "\n")

    def shell(self, line, seconds=120):
        """Runs a shell line that succeeds; returns what it printed."""
        status, text = self.run(line, seconds)
        if status != 0:
            raise GuestError(f"{self.name}: {line!r} ended with {status}: {text.strip()!r}")
        return text

    def start(self, line):
        """Runs a shell line that is not expected to come back."""
        self.send(line.encode() + b"\n")

    def errors(self):
        """What vmgui has written to stderr."""
        with open(self.stderr_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_errors(self, pattern, seconds=20):
        """The match of a regular expression in vmgui's stderr."""
        deadline = time.monotonic() + seconds
        while True:
            match = re.search(pattern, self.errors(), re.DOTALL | re.MULTILINE)
            if match:
                return match
            if time.monotonic() > deadline:
                raise GuestError(f"{self.name}: {pattern!r} is not on stderr: {self.errors()[-400:]!r}")
            time.sleep(0.05)

    def signal(self, number):
        """A signal to vmgui."""
        self.process.send_signal(number)

    def end(self, seconds=120):
        """vmgui's exit status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise GuestError(f"{self.name}: vmgui still runs after {seconds} s") from None

    def dump(self):
        """Registers of a guest that is stuck, into the log of stderr."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGUSR1)
            time.sleep(1)

    def close(self):
        """Ends vmgui if it has not ended."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self._reader.join()
        self.process.stdin.close()
        self.process.stdout.close()
        self._log.close()


def find_busybox():
    """The busybox of this machine, which the lab needs as well."""
    return shutil.which("busybox") or "/bin/busybox"
