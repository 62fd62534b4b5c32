#!/usr/bin/env python3
"""Stock Debian kernels under vmgui, by what they say themselves: processors, clock, devices, ways to end and to start again.

Each kernel gets an initrd of busybox and a handful of its own modules, and is talked to over the serial console. Runs wherever
/dev/kvm runs real kernels: tests/e2e/in-lab puts it there. A failed check does not keep the others from being made.
"""

import argparse
import base64
import gzip
import hashlib
import os
import re
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

from linux_guest import Guest, GuestError, find_busybox, make_initrd
from report import FAILED, check, say


# Where a stock kernel is linked, and so where it is without KASLR.
LINKED_AT = 0xFFFFFFFF81000000

# No line of the kernel's log may match the first; the second is what the lab's software CPU causes under any hypervisor: its
# XSAVE areas differ from what it announces, and it has no invariant TSC.
SUSPECT = re.compile(
    r"BUG\b|WARNING|Oops|Call Trace|[Ff]irmware [Bb]ug|\[Firmware|ACPI (BIOS )?(Error|Warning)|ACPI Exception|stall|unstable"
    r"|lockup|nobody cared|can't claim|no space for|can't assign|failed to assign|not responding|timed? ?out|NMI received"
    r"|conflict|unsupported|[Uu]nable to|missing|spurious|lost sync"
)
LAB_ONLY = re.compile(r"XSAVE consistency problem|Marking TSC unstable due to TSCs unsynchronized")


def kernel_text(guest):
    """Where the running kernel's text begins."""
    return int(guest.shell("grep ' _text$' /proc/kallsyms").split()[0], 16)


def kernel_log(guest, artefacts):
    """The kernel's log as (seconds, text)."""
    # The serial line is the slowest part of the lab.
    text = gzip.decompress(base64.b64decode(guest.shell("dmesg | gzip | base64"))).decode(errors="replace")
    with open(os.path.join(artefacts, f"{guest.name}.dmesg"), "w", encoding="utf-8") as file:
        file.write(text)
    found = re.findall(r"^\[ *([0-9]+\.[0-9]+)\] (.*)$", text, re.MULTILINE)
    return [(float(stamp), line) for stamp, line in found]


def stamp_of(log, pattern):
    """When a line of the kernel's log was written; None: it was not."""
    return next((stamp for stamp, line in log if re.search(pattern, line)), None)


def check_log(guest, log):
    """Nothing in the kernel's log looks like trouble. A warning's block is judged as a whole."""
    bad = []
    block = None
    for _, line in log:
        if "[ cut here ]" in line:
            block = []
        elif block is not None and "[ end trace" in line:
            if not any(LAB_ONLY.search(text) for text in block):
                bad += block[:2]
            block = None
        elif block is not None:
            block.append(line)
        elif SUSPECT.search(line) and not LAB_ONLY.search(line):
            bad.append(line)
    bad += block or []
    check(not bad, f"{guest.name}: nothing in the kernel's log looks like trouble", "; ".join(bad[:8]))


def check_processors(guest, cpus):
    online = guest.shell("nproc").strip()
    check(online == str(cpus), f"{guest.name}: {cpus} processors are online", online)
    source = guest.shell("cat /sys/devices/system/clocksource/clocksource0/current_clocksource").strip()
    check(source == "kvm-clock", f"{guest.name}: the clock source is kvm-clock", source)


def check_clocks(guest):
    """Both clocks that a guest has show this machine's time, and the alarm rings."""
    for what, line in (
        ("the RTC", "cat /sys/class/rtc/rtc0/since_epoch"),
        ("hwclock", "date -u -d \"$(hwclock -u | sed 's/  .*//')\" -D '%a %b %d %T %Y' +%s"),
        ("the system's clock", "date +%s"),
    ):
        before = time.time()
        shown = int(guest.shell(line))
        after = time.time()
        check(before - 2 <= shown <= after + 2, f"{guest.name}: {what} shows the time", f"{before:.1f} <= {shown} <= {after:.1f}")
    count = "{ n = 0; for (i = 2; i <= NF; i++) if ($i ~ /^[0-9]+$/) n += $i; print n }"
    guest.shell(f"rtc() {{ awk '/ rtc0$/ {count}' /proc/interrupts; }}")
    before = int(guest.shell("rtc"))
    guest.shell("echo +2 >/sys/class/rtc/rtc0/wakealarm; sleep 3.5")
    check(int(guest.shell("rtc")) > before, f"{guest.name}: the RTC's alarm rings")


def check_serial_ports(guest):
    text = guest.shell("cat /proc/tty/driver/serial")
    expected = [("0", "3F8", "4"), ("1", "2F8", "3"), ("2", "3E8", "4"), ("3", "2E8", "3")]
    found = re.findall(r"^(\d): uart:16550A port:0*([0-9A-F]+) irq:(\d+)", text, re.MULTILINE)
    check(found == expected, f"{guest.name}: four 16550A ports", str(found))


def check_pci(guest, log):
    """Host bridge and VGA are there, and every BAR stays where it was when the kernel first looked."""
    classes = guest.shell("cat /sys/bus/pci/devices/*/class").split()
    check("0x060000" in classes and "0x030000" in classes, f"{guest.name}: PCI host bridge and VGA", str(classes))
    vga = guest.shell("for d in /sys/bus/pci/devices/*; do [ $(cat $d/class) != 0x030000 ] || echo ${d##*/}; done").strip()
    resources = guest.shell(f"cat /sys/bus/pci/devices/{vga}/resource").splitlines()
    now = {(int(a, 16), int(b, 16)) for a, b, _ in (line.split() for line in resources[:6]) if int(b, 16)}
    first = set()
    for _, line in log:
        match = re.search(rf"{vga}: (?:reg 0x..:|BAR \d:?) \[mem 0x([0-9a-f]+)-0x([0-9a-f]+)", line)
        if match:
            first.add((int(match[1], 16), int(match[2], 16)))
    shown = ", ".join(f"{a:#x}-{b:#x}" for a, b in sorted(now))
    check(now and now == first, f"{guest.name}: the VGA's BARs are where they were given ({shown})", f"first {first}")
    check(
        any(b - a + 1 == 16 << 20 for a, b in now) and all(0xC0000000 <= a and b < 0xFEC00000 for a, b in now),
        f"{guest.name}: and lie in the window below 4 GiB, video memory of 16 MiB among them",
    )


def check_screen(guest, log, has_vesafb):
    if has_vesafb:
        name = guest.shell("cat /proc/fb").strip()
        size = guest.shell("cat /sys/class/graphics/fb0/virtual_size").strip()
        check(name == "0 VESA VGA" and size.startswith("1024,"), f"{guest.name}: vesafb has the start-up mode", f"{name}, {size}")
        check(
            stamp_of(log, "switching to colour frame buffer device 128x48") is not None,
            f"{guest.name}: and the console is on it",
        )


def check_input(guest, log):
    """The keyboard controller and what hangs on it are found at once: an unanswered probe costs half a second."""
    first, last = stamp_of(log, r"^i8042: PNP: PS/2 Controller \[PNP0303:.*PNP0f13:"), stamp_of(log, "serio: i8042 AUX port")
    check(first is not None and last is not None, f"{guest.name}: the keyboard controller is found through ACPI")
    if first is not None and last is not None:
        check(last - first < 0.5, f"{guest.name}: and answers at once ({last - first:.3f} s)")
    devices = guest.shell("cat /proc/bus/input/devices")
    check('N: Name="AT Translated Set 2 keyboard"' in devices, f"{guest.name}: the keyboard is identified")
    found = stamp_of(log, "input: AT Translated Set 2 keyboard")
    if last is not None and found is not None:
        check(found - last < 0.5, f"{guest.name}: within half a second ({found - last:.3f} s)")


def check_mouse(guest):
    before = float(guest.shell("modprobe psmouse; cut -d' ' -f1 /proc/uptime"))
    wait = "n=0; until dmesg | grep -q 'ImExPS/2 Generic Explorer Mouse' || [ $n = 100 ]; do usleep 50000; n=$((n+1)); done"
    guest.shell(wait, 60)
    line = guest.shell("dmesg | grep 'ImExPS/2' || true")
    match = re.search(r"\[ *([0-9.]+)\] input: ImExPS/2 Generic Explorer Mouse", line)
    check(match, f"{guest.name}: the mouse is a wheel mouse with five buttons", line)
    if match:
        took = float(match[1]) - before
        check(took < 2.5, f"{guest.name}: and psmouse found out in {took:.3f} s")


def check_bochs(guest):
    """The kernel's own driver takes the screen over from vesafb."""
    guest.shell("modprobe bochs")
    name = guest.shell("cat /proc/fb").strip()
    modes = guest.shell("cat /sys/class/drm/card0-*/status /sys/class/drm/card0-*/modes").split()
    taken = "bochs" in name and modes[:2] == ["connected", "1024x768"]
    check(taken, f"{guest.name}: bochs-drm takes over", f"{name}, {modes[:4]}")


def check_serial_bulk(guest, size):
    """Bytes of all values in both directions, as fast as they go, and none is lost or changed."""
    # The kernel's own messages would come in between.
    guest.shell(f"echo 0 >/proc/sys/kernel/printk; head -c {size} /dev/urandom >/tmp/blob; stty raw -echo; usleep 100000")
    wanted = guest.shell("md5sum </tmp/blob").split()[0]
    start = time.monotonic()
    guest.start("cat /tmp/blob")
    data = guest.wait_bytes(size, 60)
    guest.wait(rb"\A@done 0\n")
    took = time.monotonic() - start
    got = hashlib.md5(data).hexdigest()
    check(got == wanted, f"{guest.name}: {size} bytes came out unchanged, {size / took / 1000:.1f} kB/s")
    blob = os.urandom(size // 2)
    guest.start(f"echo @go; head -c {len(blob)} | md5sum")
    guest.wait(rb"\A@go\n")
    start = time.monotonic()
    guest.send(blob)
    match = guest.wait(rb"\A([0-9a-f]{32})  -\n@done 0\n", 60)
    took = time.monotonic() - start
    check(
        match[1].decode() == hashlib.md5(blob).hexdigest(),
        f"{guest.name}: {len(blob)} bytes came in unchanged, {len(blob) / took / 1000:.1f} kB/s",
    )
    guest.shell("stty -raw -echo -onlcr icrnl; echo 4 >/proc/sys/kernel/printk")


def check_signals(guest, cpus, artefacts):
    guest.signal(signal.SIGUSR1)
    dump = guest.wait_errors(r"(?i)rip.*?cr3")[0]
    guest.shell("true")
    check(guest.errors().lower().count("rip") >= cpus, f"{guest.name}: SIGUSR1 shows each processor, and the guest goes on", dump)

    guest.signal(signal.SIGUSR2)
    time.sleep(0.5)
    guest.start("echo @late")
    try:
        guest.wait(rb"@late", 1.5)
        check(False, f"{guest.name}: SIGUSR2 pauses")
    except GuestError:
        check(True, f"{guest.name}: SIGUSR2 pauses")
    guest.signal(signal.SIGUSR2)
    guest.wait(rb"\A@late\n@done 0\n", 20)
    check(True, f"{guest.name}: and resumes")

    # Before there is a trace in it that was asked for.
    check_log(guest, kernel_log(guest, artefacts))
    guest.shell("echo 7 >/proc/sys/kernel/printk")
    before = len(guest.errors())
    guest.signal(signal.SIGQUIT)
    try:
        guest.wait(rb"sysrq: Show Regs.*RIP: [0-9a-f]{4}:.*CR2: ", 20)
        check(True, f"{guest.name}: SIGQUIT makes the kernel show its registers")
    except GuestError as error:
        check(False, f"{guest.name}: SIGQUIT makes the kernel show its registers", str(error))
    check(len(guest.errors()) > before, f"{guest.name}: and vmgui shows them, too")
    guest.start("echo 4 >/proc/sys/kernel/printk; echo @quiet")
    guest.wait(rb"^@quiet\n@done 0\n", 30)


def power_button(guest):
    """SIGTERM presses the power button; a script in the guest obeys as an ACPI daemon would."""
    guest.shell("modprobe button; modprobe evdev")
    devices = guest.shell("cat /proc/bus/input/devices")
    match = re.search(r'Name="Power Button".*?Handlers=[^\n]*(event\d+)', devices, re.DOTALL)
    check(match, f"{guest.name}: the power button is there")
    if not match:
        return
    guest.shell("echo 0 >/proc/sys/kernel/printk")
    guest.start(f"head -c 24 /dev/input/{match[1]} >/dev/null; echo @button; poweroff -f")
    time.sleep(1)
    guest.signal(signal.SIGTERM)
    guest.wait(rb"@button\n", 20)
    status = guest.end(20)
    check(status == 0, f"{guest.name}: SIGTERM makes the guest power down, status 0", str(status))


class Lab:
    """What all scenarios share."""

    def __init__(self, options, folders):
        self.options = options
        self.folders = folders
        self.work = os.path.join(options.work, f"vmgui-linux-{os.getpid()}")
        os.makedirs(self.work, mode=0o700)
        self.initrds = {}

    def guest(self, name, flavour, cpus, *options, kernel="vmlinuz", params="", memory="512", alone=False):
        if flavour not in self.initrds:
            self.initrds[flavour] = os.path.join(self.work, f"initrd-{flavour}")
            make_initrd(self.initrds[flavour], self.folders[flavour], find_busybox())
        line = f"console=ttyS0 loglevel={self.options.loglevel} panic=1 {params}".strip()
        image = os.path.join(self.folders[flavour], kernel)
        if self.options.qemu:
            command = ["qemu-system-x86_64", "-accel", self.options.qemu, "-cpu", "host" if self.options.qemu == "kvm" else "max",
                       "-nodefaults", "-vga", "std", "-display", "none", "-serial", "stdio", "-device", "pvpanic",
                       "-m", memory, "-smp", str(cpus), "-kernel", image, "-initrd", self.initrds[flavour],
                       "-append", line + " vga=792"] + (["-no-reboot"] if "--no-reboot" in options else [])  # fmt: skip
        else:
            command = [self.options.vmgui, "--headless", "--debug", "--timeout", "200", "-m", memory, "-c", str(cpus),
                       "-k", image, "-i", self.initrds[flavour], "-p", line, *options]  # fmt: skip
        if alone:
            # The program without its modules: it finds them beside itself.
            command[0] = os.path.join(self.work, "vmgui")
            shutil.copy(self.options.vmgui, command[0])
        environment = {"XDG_CACHE_HOME": os.path.join(self.work, "cache")}
        return Guest(name, command, self.options.artefacts, environment)

    def usual(self, guest, cpus, has_vesafb=True):
        """The checks that hold for every kernel."""
        uptime = guest.ready()
        check(True, f"{guest.name}: boots ({time.monotonic() - guest.started:.1f} s, {uptime} s of them in the kernel)")
        log = kernel_log(guest, self.options.artefacts)
        check_processors(guest, cpus)
        check_log(guest, log)
        check_screen(guest, log, has_vesafb)
        check_input(guest, log)
        check_serial_ports(guest)
        check_pci(guest, log)


def scenario_xz(lab, guest):
    """The usual kernel: everything, then one start after another by all ways to reset, in one process."""
    lab.usual(guest, 2)
    check_clocks(guest)
    check_mouse(guest)
    check_bochs(guest)
    check_serial_bulk(guest, lab.options.bulk)
    check_signals(guest, 2, lab.options.artefacts)
    places = [kernel_text(guest)]
    for how in ("triple", "acpi", "kbd", "pci"):
        guest.shell(f"echo {how} >/sys/kernel/reboot/type")
        guest.triple_faults += how == "triple"
        guest.start("reboot -f")
        guest.ready()
        places.append(kernel_text(guest))
        check(guest.shell("nproc").strip() == "2", f"{guest.name}: starts again in place after a reset by {how}")
    check(len(set(places)) > 1, f"{guest.name}: KASLR moves the kernel", ", ".join(f"{place:#x}" for place in places))
    power_button(guest)


def scenario_lz4(lab, guest):
    """Many processors, RAM on both sides of the hole, and no KASLR."""
    lab.usual(guest, 4, has_vesafb=False)
    total = int(guest.shell("awk '/MemTotal/ { print $2 }' /proc/meminfo")) // 1024
    check(3300 < total <= 3500, f"{guest.name}: RAM above 4 GiB is used", f"{total} MiB")
    place = kernel_text(guest)
    check(place == LINKED_AT, f"{guest.name}: nokaslr leaves the kernel where it was linked", f"{place:#x}")
    guest.start("poweroff -f")
    status = guest.end()
    check(status == 0, f"{guest.name}: poweroff ends vmgui with status 0", str(status))


def scenario_rt(lab, guest):
    """One processor, and --no-reboot."""
    lab.usual(guest, 1)
    check_clocks(guest)
    check_mouse(guest)
    guest.start("reboot -f")
    status = guest.end()
    check(status == 0, f"{guest.name}: with --no-reboot a reboot ends vmgui with status 0", str(status))


def scenario_vmlinux(lab, guest):
    """An uncompressed ELF, and a panic that the guest reports."""
    lab.usual(guest, 2)
    guest.shell("modprobe pvpanic-mmio")
    guest.start("echo c >/proc/sysrq-trigger")
    status = guest.end()
    check(status == 3, f"{guest.name}: a panic ends vmgui with status 3", str(status))


def scenario_own(lab, guest):
    """A bzImage that unpacks itself, because vmgui has no module for it."""
    guest.ready()
    check_processors(guest, 2)
    said = guest.errors()
    check("by its own decompressor" in said, f"{guest.name}: boots by its own decompressor, and vmgui says why", said[:200])
    guest.start("poweroff -f")
    status = guest.end()
    check(status == 0, f"{guest.name}: status 0", str(status))


SCENARIOS = {
    "xz": (scenario_xz, ("amd64", 2), {}),
    "lz4": (scenario_lz4, ("cloud-amd64", 4), {"params": "nokaslr", "memory": "3500"}),
    "rt": (scenario_rt, ("rt-amd64", 1, "--no-reboot"), {}),
    "vmlinux": (scenario_vmlinux, ("amd64", 2, "--no-reboot"), {"kernel": "vmlinux"}),
    "own": (scenario_own, ("cloud-amd64", 2, "--no-kernel-cache"), {"alone": True}),
}


def lab_broke(guest):
    """Whether the lab's software CPU, not vmgui, has spoilt the guest: now and then it stores its own
    kernel's instruction and stack pointers as the guest's. Its kernel is not randomised, the guests' are, so a stack at
    0xffffc900... is the lab's; or the guest falls over them at once."""
    said = guest.errors()
    return "KVM_LAB" in os.environ and (" rsp ffffc900" in said or said.count("triple fault") > guest.triple_faults)


def run_scenario(lab, scenario, name, last=False):
    """Returns false when it has to be run again."""
    function, arguments, more = SCENARIOS[scenario]
    guest = lab.guest(name, *arguments, **more)
    again = False
    try:
        function(lab, guest)
    except GuestError as error:
        guest.dump()
        again = not last and lab_broke(guest)
        if again:
            say(f"{name}: the lab's CPU spoilt the guest, so once more ({error})")
        else:
            check(False, str(error))
    finally:
        guest.close()
    said = [line for line in guest.errors().splitlines() if re.match(r"vmgui: (error|warning)", line)]
    if said:
        say(f"{name}: vmgui said: " + "; ".join(said[:5]))
    return not again


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vmgui", help="the program under test")
    parser.add_argument("--qemu", metavar="ACCEL", help="try the test itself with QEMU (tcg or kvm)")
    parser.add_argument("--kernels", required=True, help="file with the output of linux-kernels")
    parser.add_argument("--artefacts", default=".", help="folder for logs")
    parser.add_argument("--work", default="/tmp", help="folder for initrds and vmgui's cache")
    parser.add_argument("--bulk", type=int, default=40000, help="bytes out of the serial port; half as many go in")
    parser.add_argument("--loglevel", type=int, default=4, help="what the guests print by themselves")
    parser.add_argument("scenario", nargs="*", help=f"of {', '.join(SCENARIOS)}; default: all")
    options = parser.parse_args()
    if bool(options.vmgui) == bool(options.qemu):
        parser.error("one of --vmgui and --qemu is needed")
    os.makedirs(options.artefacts, exist_ok=True)
    with open(options.kernels, encoding="utf-8") as file:
        folders = dict(line.rstrip("\n").split(" ", 1) for line in file)
    lab = Lab(options, folders)
    for name in options.scenario or SCENARIOS:
        if not run_scenario(lab, name, name):
            run_scenario(lab, name, f"{name}-again", last=True)
    say(f"{len(FAILED)} checks failed" if FAILED else "all seen")
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
