"""A session bus of a test's own, and the actions that a GTK program offers on it."""

import os
import re
import subprocess
import time


class SessionBus:
    """dbus-daemon; put .address into a program's DBUS_SESSION_BUS_ADDRESS."""

    def __init__(self):
        self._daemon = subprocess.Popen(
            ["dbus-daemon", "--session", "--nofork", "--print-address"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self._daemon.stdout.readline().strip()
        self._environment = {**os.environ, "DBUS_SESSION_BUS_ADDRESS": self.address}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Takes the bus away from under its programs."""
        if self._daemon.poll() is None:
            self._daemon.kill()
        self._daemon.wait()
        self._daemon.stdout.close()

    def call(self, destination, path, method, *arguments):
        """What gdbus prints of the answer."""
        done = subprocess.run(
            ["gdbus", "call", "--session", "-d", destination, "-o", path, "-m", method, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        if done.returncode:
            raise OSError(f"gdbus {method}: {done.stderr.strip()}")
        return done.stdout


class Actions:
    """The actions of one process's window."""

    def __init__(self, bus, pid, path, timeout=30):
        self._bus, self._path = bus, path
        deadline = time.monotonic() + timeout
        while True:
            self._name = self._find(pid)
            if self._name:
                return
            if time.monotonic() > deadline:
                raise OSError(f"process {pid} is not on the bus")
            time.sleep(0.2)

    def _find(self, pid):
        bus = "org.freedesktop.DBus"
        names = self._bus.call(bus, "/org/freedesktop/DBus", f"{bus}.ListNames")
        for name in re.findall(r":1\.\d+", names):
            try:
                owner = self._bus.call(bus, "/org/freedesktop/DBus", f"{bus}.GetConnectionUnixProcessID", name)
                if re.search(rf"\b{pid}\b", owner) and self.names(name):
                    return name
            except OSError:
                continue
        return None

    def names(self, name=None):
        """All actions there are."""
        return re.findall(r"'([^']+)'", self._bus.call(name or self._name, self._path, "org.gtk.Actions.List"))

    def activate(self, action, parameter=None):
        """As a menu does."""
        parameters = f"[<'{parameter}'>]" if parameter is not None else "@av []"
        self._bus.call(self._name, self._path, "org.gtk.Actions.Activate", action, parameters, "{}")

    def describe(self, action):
        """(enabled, state), the state as GVariant text."""
        text = self._bus.call(self._name, self._path, "org.gtk.Actions.Describe", action)
        match = re.match(r"\(\((true|false), signature '[^']*', (.*)\),\)", text.strip())
        state = re.search(r"\[<(.*)>\]", match.group(2))
        return match.group(1) == "true", state.group(1) if state else None
