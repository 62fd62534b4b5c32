#!/usr/bin/env python3
"""Speed, processor time and VM exits of a virtio disk under vmgui and QEMU: same kernel, same image, same run, in turns.

tests/bench/run starts it in the lab. Prints one JSON object a line, one for each job of fio in each run of a guest. QEMU has an
I/O thread, io_uring and a queue for each processor; both have cache=direct unless told otherwise.
"""

import argparse
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

from disk_guest import Disk, FioResult, fio_line, qemu_command, vmgui_command, work_folder
from linux_guest import Guest, GuestError

DATA_MIB = 256
JOBS = {
    "read 4K depth 1": {"rw": "randread", "bs": "4k", "iodepth": 1},
    "read 4K depth 32": {"rw": "randread", "bs": "4k", "iodepth": 32},
    "write 4K depth 1": {"rw": "randwrite", "bs": "4k", "iodepth": 1},
    "write 4K depth 32": {"rw": "randwrite", "bs": "4k", "iodepth": 32},
    "read 1M in order": {"rw": "read", "bs": "1m", "iodepth": 4},
    "write 1M in order": {"rw": "write", "bs": "1m", "iodepth": 4},
}
BLOCK_BYTES = {"4k": 4096, "1m": 1 << 20}
# fio runs these just before and after the I/O itself, so that its own start is not counted.
MARKS = "--exec_prerun=\"sh -c 'echo @begin >/dev/ttyS0'\" --exec_postrun=\"sh -c 'echo @end >/dev/ttyS0'\""


def vm_exits():
    """Exits of all virtual machines that run now, or None where debugfs is not mounted."""
    try:
        with open("/sys/kernel/debug/kvm/exits", encoding="ascii") as file:
            return int(file.read())
    except OSError:
        return None


def host_seconds(pid):
    """What a process has used of the processors outside of its guest, all of its threads together."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    user, system, guest = int(fields[11]), int(fields[12]), int(fields[40])
    return (user + system - guest) / os.sysconf("SC_CLK_TCK")


def run_job(guest, name, job, seconds):
    """One job in a guest that is up: a dictionary of numbers."""
    line = fio_line("job", filename="/dev/vdb", time_based=1, runtime=seconds, clat_percentiles=0, disable_slat=1, **job)
    guest.send(f"cd /tmp; {line} {MARKS}\n".encode())
    guest.wait(rb"^@begin\r?\n", 60)
    cpu, exits = host_seconds(guest.process.pid), vm_exits()
    guest.wait(rb"^@end\r?\n", 60 + seconds)
    cpu, exits = host_seconds(guest.process.pid) - cpu, None if exits is None else vm_exits() - exits
    result = FioResult(guest.wait(rb"\A(.*?)^@done 0\n", 60)[1].decode())
    side = result.read if result.read["bytes"] else result.write
    operations = side["bytes"] / BLOCK_BYTES[job["bs"]]
    return {
        "job": name,
        "per_second": round(operations / side["seconds"], 1),
        "latency_us": round(side["latency_us"], 1),
        "cpu_us": round(cpu * 1e6 / operations, 2),
        "exits": None if exits is None else round(exits / operations, 3),
    }


def run_guest(name, command, options, report):
    """All jobs in one guest."""
    guest = Guest(name, command, options.artefacts)
    try:
        guest.ready(180)
        for job in JOBS:
            report(run_job(guest, job, JOBS[job], options.seconds))
        guest.start("end")
        guest.end()
    finally:
        guest.close()


def make_images(options, work):
    """Root and data in both formats; everything is allocated, so that no run pays for that."""
    paths = {}
    subprocess.run(["cp", "--sparse=always", os.path.join(options.system, "root.raw"), work], check=True)
    paths["raw"] = os.path.join(work, "data.raw")
    with open(paths["raw"], "wb") as file:
        for _ in range(DATA_MIB):
            file.write(os.urandom(1 << 20))
    paths["qcow2"] = os.path.join(work, "data.qcow2")
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", paths["raw"], paths["qcow2"]], check=True)
    return os.path.join(work, "root.raw"), paths


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vmgui", required=True)
    parser.add_argument("--system", required=True, help="the folder that tests/support/disk-guest printed")
    parser.add_argument("--artefacts", default=".", help="folder for logs")
    parser.add_argument("--only", choices=["vmgui", "qemu"], help="one of the two")
    parser.add_argument("--formats", nargs="+", default=["raw", "qcow2"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="length of a job")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--cache", choices=["direct", "writeback"], default="direct")
    options = parser.parse_args()
    os.makedirs(options.artefacts, exist_ok=True)
    with work_folder() as work:
        root, data = make_images(options, work)
        for image_format in options.formats:
            disks = [Disk(root, "raw", "root"), Disk(data[image_format], image_format, "data", cache=options.cache)]
            commands = {
                "vmgui": vmgui_command(options.vmgui, options.system, disks, cpus=options.cpus),
                "qemu": qemu_command(options.system, disks, cpus=options.cpus),
            }
            for number in range(options.rounds):
                # Whoever is first meets another state of the lab than the second; so they take turns at that.
                for name in list(commands)[:: 1 if number % 2 == 0 else -1]:
                    if options.only not in (None, name):
                        continue

                    def report(result, name=name, image_format=image_format):
                        print(json.dumps({"name": name, "format": image_format, **result}), flush=True)

                    try:
                        run_guest(f"{name}-{image_format}-{number}", commands[name], options, report)
                    except GuestError as error:
                        # The lab's software CPU spoils a guest now and then; the other rounds remain.
                        print(f"a run was lost: {error}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
