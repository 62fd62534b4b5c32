"""Disks as a user meets them: what is refused and how, locks, a full host, many disks, snapshots."""

import os
import resource
import shutil
import subprocess
import sys
import time

import guest

MIB = 1 << 20


def image(folder, name, size=4 * MIB, content=b""):
    """A raw file."""
    path = os.path.join(folder, name)
    with open(path, "wb") as file:
        file.write(content)
        file.truncate(size)
    return path


def read(path):
    """A file's content."""
    with open(path, "rb") as file:
        return file.read()


def qemu_img(*arguments):
    """Status and text."""
    result = subprocess.run(["qemu-img", *arguments], capture_output=True, text=True, check=False)
    return result.returncode, result.stdout + result.stderr


def make(path, *options, size=4 * MIB):
    """An image by qemu-img; the format is the name's ending."""
    status, text = qemu_img("create", "-q", "-f", path.rsplit(".", 1)[1], *options, path, *([str(size)] if size else []))
    if status:
        raise AssertionError(text)
    return path


class DiskTest(guest.GuestTest):
    def setUp(self):
        self.folder = self.enterContext(guest.tempfile.TemporaryDirectory(prefix="vmgui-test-"))

    def path(self, name):
        return os.path.join(self.folder, name)

    def writer(self, *disks, params="seed=1 first=1", **options):
        """A guest that writes to its first disk (virtio/writer.c)."""
        arguments = [word for disk in disks for word in ("-d", disk)]
        return self.guest(
            "-m", "64M", "-c", "1", "-k", os.environ["BARE_WRITER"], "-p", params, *arguments, command=(), **options
        )  # fmt: skip

    def refused(self, disk, status=2):
        """What a run with that disk says; it does not start."""
        result = guest.run("--headless", "-m", "64M", "-k", os.environ["BARE_WRITER"], "-d", disk, "--timeout", "5")
        self.assertEqual(result[:2], (status, ""), result)
        self.assertEqual(result[2].count("\n"), 1, result)
        self.assertRegex(result[2], r"^vmgui: --disk .*\(.*\)$")
        return result[2]


class Refused(DiskTest):
    def test_files_that_are_no_images(self):
        os.mkdir(self.path("folder"))
        os.mkfifo(self.path("fifo"))
        image(self.folder, "empty", 0)
        with open(self.path("noise.qcow2"), "wb") as file:
            file.write(os.urandom(70000))
        for disk, why in (
            ("none", "No such file"), ("folder", "is a folder"), ("fifo", "is a pipe"), ("empty", "is empty"),
            ("noise.qcow2", "is not a qcow2 image"),
        ):  # fmt: skip
            with self.subTest(disk=disk):
                self.assertIn(why, self.refused(self.path(disk)))
        self.assertIn("character device", self.refused("/dev/zero"))

    def test_qcow2_that_needs_more_than_there_is(self):
        base = make(self.path("base.qcow2"))
        over = make(self.path("over.qcow2"), "-b", base, "-F", "qcow2", size=0)
        loop = make(self.path("loop.qcow2"), "-u", "-b", self.path("pool.qcow2"), "-F", "qcow2")
        make(self.path("pool.qcow2"), "-u", "-b", loop, "-F", "qcow2")
        gone = make(self.path("gone.qcow2"), "-u", "-b", self.path("nothing.qcow2"), "-F", "qcow2")
        data = make(self.path("data.qcow2"), "-o", f"data_file={self.path('data.raw')},data_file_raw=on")
        self.assertIn("needs the backing file", self.refused(over))
        self.assertIn("nothing.qcow2", self.refused(f"{gone},backing=allow"))
        self.refused(f"{loop},backing=allow", status=2)
        self.assertIn("external data file", self.refused(data))
        before = [read(path) for path in (base, over, loop, gone, data)]
        self.refused(over)
        self.assertEqual(before, [read(path) for path in (base, over, loop, gone, data)])
        self.writer(f"{over},backing=allow").expect(r"flushed \d+")
        self.assertEqual(before[0], read(base), "the backing file was written to")

    def test_more_disks_than_the_bus_takes(self):
        disks = [f"{image(self.folder, f'{number}.raw', MIB)},ro" for number in range(250)]
        arguments = [word for disk in disks for word in ("-d", disk)]
        result = guest.run("--headless", "-m", "64M", "-k", os.environ["BARE_WRITER"], *arguments, "--timeout", "5")
        self.assertEqual(result[0], 2, result)
        self.assertRegex(result[2], r"^vmgui: --disk .*: the PCI bus is full, it takes \d+ devices \(give fewer\)\n$")

    def test_truncated_images_at_every_length_of_the_header(self):
        whole = read(make(self.path("whole.qcow2")))
        path = self.path("cut.qcow2")
        for length in (*range(1, 112, 10), 512, 65536, 65600, 131072):
            with open(path, "wb") as file:
                file.write(whole[:length])
            with self.subTest(length=length):
                self.refused(path)
                self.assertEqual(read(path), whole[:length])


    def test_a_limit_of_file_sizes_is_an_error_and_no_signal(self):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        disk = f"{image(self.folder, 'disk.raw')},snapshot"
        resource.setrlimit(resource.RLIMIT_FSIZE, (100000, before[1]))
        try:
            self.assertIn("File too large", self.refused(disk, status=2))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


class Shared(DiskTest):
    def test_images_are_locked_against_qemu_img_and_vmgui(self):
        for name in ("disk.raw", "disk.qcow2"):
            with self.subTest(name=name):
                path = make(self.path(name))
                writer = self.writer(path)
                writer.expect("ready")
                status, text = qemu_img("resize", path, "8M")
                self.assertNotEqual(status, 0)
                self.assertIn("lock", text)
                self.assertIn(path, self.refused(path, status=6))
                self.assertIn(path, self.refused(f"{path},ro", status=6))
                writer.close()

    def test_a_lock_of_qemu_is_respected(self):
        if not shutil.which("qemu-io"):
            self.skipTest("no qemu-io")
        path = make(self.path("disk.qcow2"))
        holder = subprocess.Popen(
            ["qemu-io", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=guest.end_with_the_test
        )  # fmt: skip
        holder.stdin.write("length\n")
        holder.stdin.flush()
        holder.stdout.readline()
        self.refused(path, status=6)
        holder.communicate("quit\n")
        self.writer(path).expect("ready")

    def test_one_image_twice_is_refused_but_for_readers(self):
        path = image(self.folder, "disk.raw")
        result = guest.run("--headless", "-k", os.environ["BARE_WRITER"], "-d", path, "-d", path, "--timeout", "5")
        self.assertEqual(result[0], 6, result)
        card = self.writer(self.path(os.path.basename(image(self.folder, "first.raw"))), f"{path},ro", f"{path},ro")
        card.expect("ready")


class Content(DiskTest):
    def test_snapshot_leaves_the_image_alone(self):
        for name in ("disk.raw", "disk.qcow2"):
            path = make(self.path(name))
            before = read(path)
            writer = self.writer(f"{path},snapshot")
            writer.expect(r"flushed \d+")
            writer.close()
            self.assertEqual(before, read(path))

    def test_read_only_disk_refuses_writes(self):
        self.writer(f"{image(self.folder, 'disk.raw')},ro").expect("failed .*")

    def test_forty_disks(self):
        disks = [image(self.folder, f"{number}.raw", MIB) for number in range(40)]
        writer = self.writer(*disks)
        writer.expect(r"flushed \d+")

    def test_many_disks_leave_descriptors_for_vnc_clients(self):
        # More than select() knows, which libvncserver uses.
        disks = [image(self.folder, f"{number}.raw", MIB) for number in range(100)]
        arguments = [word for disk in disks for word in ("-d", disk)]
        writer = self.guest(
            "-m", "64M", "-c", "8", "-k", os.environ["BARE_WRITER"], "-p", "seed=1 first=1", *arguments,
            command=(), vnc=True,
        )  # fmt: skip
        writer.expect(r"flushed \d+")
        writer.client().refresh()

    def test_a_normal_end_writes_all_there_was(self):
        path = make(self.path("disk.qcow2"))
        writer = self.writer(path)
        writer.expect(r"flushed \d+")
        self.assertEqual(writer.end_at_once(), 0)
        status, text = qemu_img("check", path)
        self.assertEqual(status, 0, text)

    def expect_pauses(self, writer, path, count):
        """The guest waits for room, and that for the count-th time; vmgui says so when the pause is on its way."""
        line = f"{path}: no space left on the host, the guest waits (free some space and resume with SIGUSR2)"
        deadline = time.monotonic() + guest.PATIENCE
        while writer.stderr().count(line) < count:
            self.assertIsNone(writer.process.poll(), writer.story())
            self.assertLess(time.monotonic(), deadline, writer.story())
            time.sleep(0.02)

    def test_a_full_host_pauses_the_guest_until_there_is_room(self):
        mount = self.path("small")
        os.mkdir(mount)
        # A file system of our own, which only root can make.
        if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small", mount], check=False).returncode:
            self.skipTest("cannot mount a file system here")
        self.addCleanup(subprocess.run, ["umount", "-l", mount], check=False)
        for name in ("disk.raw", "disk.qcow2"):
            with self.subTest(name=name):
                path = make(os.path.join(mount, name))
                writer = self.writer(path)
                writer.expect(r"flushed \d+")
                self.expect_pauses(writer, path, 1)
                # Resumed with no room it pauses again; with room it goes on, and no request has failed.
                writer.process.send_signal(guest.signal.SIGUSR2)
                self.expect_pauses(writer, path, 2)
                subprocess.run(["mount", "-o", "remount,size=16m", mount], check=True)
                with writer.arrived:
                    writer.position = len(writer.lines)
                writer.process.send_signal(guest.signal.SIGUSR2)
                writer.expect(r"flushed \d+")
                self.assertNotIn("failed", "\n".join(map(str, writer.lines)))
                self.assertEqual(writer.end_at_once(), 0, writer.story())
                if name.endswith("qcow2"):
                    status, text = qemu_img("check", path)
                    self.assertEqual(status, 0, text)
                os.remove(path)
                subprocess.run(["mount", "-o", "remount,size=1m", mount], check=True)


if __name__ == "__main__":
    if not shutil.which("qemu-img"):
        print("skipped: qemu-img is not installed (scripts/setup test)")
        sys.exit(guest.SKIPPED)
    guest.main()
