/* One guest's life: opens what the command line asks for, wires displays, input and console to the
 * board, lets the machine run and takes everything down in reverse order.
 *
 * Threads: main, which is the machine's thread. */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "board.h"
#include "core/boot/vidmode.h"
#include "core/console_terminal.h"
#include "core/log.h"
#include "devices/acpi_pm.h"
#include "devices/serial.h"
#include "devices/virtio_console.h"
#include "display/png_file.h"
#include "displays.h"
#include "disks.h"
#include "privileges.h"
#include "testcard/testcard_image.h"

#define LOW_DESCRIPTORS 512u

static const struct board_video default_video = { .width = 1024, .height = 768, .depth = 32 };

struct run {
	const struct config *config;
	struct board board;
	struct boot_image *image;
	struct disks disks;
	char params[64]; /* where none were given */
	struct console_terminal *console;
	struct console_hub *hub; /* NULL: nobody but the terminal looks at the serial line */
	struct displays displays;
	int name_fd; /* holds the guest's name; -1: the default name needs none */
	int held[LOW_DESCRIPTORS];
	unsigned held_count;
	bool has_console;
	bool no_screenshot; /* it was found impossible, and that was said */
};

/* Who we are then may not write where we could before, or finds another tree there. */
static int drop_privileges(struct run *run, struct error *err)
{
	const struct config *config = run->config;
	int ret = privileges_drop(config->user, config->chroot, err);

	if (ret || !config->screenshot || !(config->user || config->chroot))
		return ret;
	ret = png_file_check(config->screenshot, err);
	run->no_screenshot = ret != 0;
	return ret;
}

/* A name is held by a socket in the abstract namespace: it ends with the process and leaves no
 * file. */
static int take_name(const char *name, int *fd, struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int length = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "vmgui/%u/%s",
		(unsigned)getuid(), name);
	int ret;

	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return error_set(err, errno, "--name %s: %s", name, strerror(errno));
	if (bind(*fd, (const struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length))) {
		ret = -errno;
		close(*fd);
		*fd = -1;
		return error_set(err, -ret,
			"--name %s: another running guest has that name (choose another, or end "
			"that one)",
			name);
	}
	return 0;
}

/* The last vga=N among the kernel's parameters, which a boot loader would obey; 0: none. */
static unsigned vga_parameter(const char *params)
{
	unsigned number = 0;

	for (const char *at = params; at && (at = strstr(at, "vga=")) != NULL; at += 4) {
		char *end;
		unsigned long value = strtoul(at + 4, &end, 0);

		if ((at == params || at[-1] == ' ') && end != at + 4 && (*end == ' ' || !*end) &&
			value <= 0xffff)
			number = (unsigned)value;
	}
	return number;
}

static struct board_video start_mode(const struct config *config)
{
	struct board_video video = default_video;
	unsigned number = config->vidmode;
	const struct vidmode *mode;

	if (config->resolution.width) {
		video.width = config->resolution.width;
		video.height = config->resolution.height;
		return video;
	}
	if (!number)
		number = vga_parameter(config->params);
	mode = number ? vidmode_find(number) : NULL;
	if (mode) {
		video.width = mode->width;
		video.height = mode->height;
		video.depth = mode->depth;
	} else if (number) {
		log_warn("run",
			"vga=%u: no mode that is known by this number, the start-up mode is %ux%u",
			number, video.width, video.height);
	}
	return video;
}

/* What a guest needs to be told when its user says nothing. */
static const char *default_params(struct run *run)
{
	const struct config *config = run->config;
	const char *console = config->console == CONSOLE_VIRTIO ? "console=hvc0" : "console=ttyS0";

	if (config->nodefaults)
		return "";
	snprintf(run->params, sizeof(run->params), "%s%s%s", displays_wanted(config) ? "" : console,
		!displays_wanted(config) && config->disks.count ? " " : "",
		!config->disks.count                     ? ""
		: config->disks.disks[0].image.read_only ? "root=/dev/vda ro"
							 : "root=/dev/vda rw");
	return run->params;
}

static int open_image(struct run *run, struct error *err)
{
	const struct config *config = run->config;
	const struct boot_options options = {
		.kernel_path = config->kernel,
		.embedded_image = config->kernel ? NULL : vmgui_testcard_image,
		.embedded_bytes = config->kernel ? 0 : vmgui_testcard_size,
		.embedded_name = "test card",
		.initrd_path = config->initrd,
		.params = config->params ? config->params : default_params(run),
		.ram_bytes = config->memory_bytes,
		.use_cache = !config->no_kernel_cache,
	};

	return boot_open(&options, &run->image, err);
}

static int load_hook(void *opaque, struct boot_entry *entry, struct error *err)
{
	struct run *run = opaque;

	displays_guest_starts(&run->displays);
	return board_load(&run->board, run->image, entry, err);
}

static void power_button_hook(void *opaque)
{
	struct run *run = opaque;

	acpi_pm_press_power_button(run->board.acpi_pm);
}

static void sysrq_hook(void *opaque)
{
	struct run *run = opaque;

	/* 'p': the kernel shows the registers of the processor that takes the interrupt. */
	if (run->console)
		console_terminal_send_sysrq(run->console, 'p');
}

static int write_screenshot(struct run *run, const char *path, struct error *err)
{
	refresh_sync(run->displays.refresh);
	return png_file_write_surface(path, run->displays.surface, err);
}

static void screenshot_hook(void *opaque)
{
	struct run *run = opaque;
	char path[128];
	struct error err;

	png_file_name(run->config->name, path, sizeof(path));
	if (write_screenshot(run, path, &err))
		log_error("run", "%s", err.text);
	else
		log_info("run", "screenshot: %s", path);
}

static void state_hook(void *opaque)
{
	struct run *run = opaque;

	displays_notify(&run->displays);
}

static void join_line(struct run *run, const struct char_host *host)
{
	if (run->config->console == CONSOLE_VIRTIO)
		virtio_console_set_host(run->board.console, host);
	else
		serial_set_host(run->board.serial[0], host);
}

/* The serial line to the terminal, to windows that show it, or to both. */
static int create_console(struct run *run, struct error *err)
{
	const struct console_terminal_config config = {
		.in_fd = STDIN_FILENO,
		.out_fd = STDOUT_FILENO,
		.device = run->config->console == CONSOLE_VIRTIO
				  ? virtio_console_char_device(run->board.console)
				  : serial_char_device(run->board.serial[0]),
		.control = &run->board.machine.control,
	};
	const struct char_host *host = NULL;
	int ret = 0;

	if (run->has_console) {
		ret = console_terminal_create(&config, &run->console, err);
		if (ret)
			return ret;
		host = console_terminal_char_host(run->console);
	}
	if (displays_want_console(run->config)) {
		ret = console_hub_create(config.device, host, &run->hub, err);
		if (ret)
			return ret;
		host = console_hub_char_host(run->hub);
	}
	if (host)
		join_line(run, host);
	return run->has_console ? console_terminal_start(run->console, err) : 0;
}

/* False: a display does not end, and everything that it uses has to stay. */
static bool tear_down(struct run *run)
{
	if (!displays_stop(&run->displays))
		return false;
	console_terminal_stop(run->console);
	/* No thread of a display or of the console is left; now what they pointed to may go. */
	displays_fini(&run->displays);
	return true;
}

/* Each queue and each vector of a virtio device is a descriptor, and the usual limit of 1024 is for
 * programs that use select(2), which we do not; but libraries of the displays do. So the lowest
 * ones are taken while disks and devices get theirs, and free again for the displays and their
 * clients.
 */
static void hold_low_descriptors(struct run *run)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	/* Only disks are many, and where there are not more of them anyway, the devices need them
	 * all. */
	if (!displays_wanted(run->config) || !run->config->disks.count ||
		limit.rlim_max < 2 * (rlim_t)FD_SETSIZE)
		return;
	while (run->held_count < LOW_DESCRIPTORS) {
		int fd = run->held_count ? fcntl(run->held[0], F_DUPFD_CLOEXEC, 0)
					 : eventfd(0, EFD_CLOEXEC);

		if (fd < 0)
			return;
		run->held[run->held_count++] = fd;
	}
}

static void release_low_descriptors(struct run *run)
{
	while (run->held_count)
		close(run->held[--run->held_count]);
}

int run_guest(const struct config *config)
{
	struct run run = { .config = config, .name_fd = -1 };
	const struct board_video video = start_mode(config);
	const struct machine_hooks hooks = {
		.load = load_hook,
		.power_button = power_button_hook,
		.send_sysrq = sysrq_hook,
		.save_screenshot = screenshot_hook,
		.state_changed = state_hook,
		.opaque = &run,
	};
	struct error err = { .text = "" };
	int ret, status = EXIT_STATUS_FAILURE;
	bool user_error;

	run.has_console = !displays_wanted(config) || isatty(STDIN_FILENO);
	machine_block_signals();
	hold_low_descriptors(&run);

	ret = privileges_check(config->user, config->chroot, &err);
	if (ret) {
		status = EXIT_STATUS_USAGE;
		goto report;
	}
	if (config->name != config->name_buffer) {
		ret = take_name(config->name, &run.name_fd, &err);
		if (ret) {
			status = ret == -EADDRINUSE ? EXIT_STATUS_TAKEN : EXIT_STATUS_FAILURE;
			goto report;
		}
	}
	/* Rather now than after hours. With --chroot both are looked up in the new root, so the
	 * encoder is loaded while it can be found. */
	ret = 0;
	if (config->screenshot)
		ret = config->chroot ? png_file_prepare(&err)
				     : png_file_check(config->screenshot, &err);
	if (ret) {
		status = EXIT_STATUS_USAGE;
		goto report;
	}
	ret = open_image(&run, &err);
	if (ret) {
		status = ret == -ENOMEM || ret == -EIO ? EXIT_STATUS_FAILURE : EXIT_STATUS_USAGE;
		goto report;
	}
	ret = disks_open(&config->disks, &run.disks, &user_error, &err);
	if (ret) {
		status = ret == -EBUSY ? EXIT_STATUS_TAKEN
			 : user_error  ? EXIT_STATUS_USAGE
				       : EXIT_STATUS_FAILURE;
		goto close_image;
	}
	ret = board_create(config, &video, &run.disks, &run.board, &err);
	if (ret) {
		/* More processors than KVM has, say, or a wrong --dev; what the host lacks is
		 * something else. */
		if (ret == -EINVAL || strcmp(config->kvm_path, KVM_DEFAULT_PATH) != 0)
			status = EXIT_STATUS_USAGE;
		goto close_disks;
	}
	release_low_descriptors(&run);
	ret = displays_init(&run.displays, config, &run.board, &err);
	if (!ret)
		ret = create_console(&run, &err);
	if (!ret) {
		ret = displays_start(&run.displays, run.hub, &err);
		/* An option's value; what the host cannot do has other names. */
		if (ret == -EINVAL)
			status = EXIT_STATUS_USAGE;
	}
	if (!ret)
		ret = drop_privileges(&run, &err);
	if (run.no_screenshot)
		status = EXIT_STATUS_USAGE;
	if (!ret)
		status = machine_run(&run.board.machine, &hooks, &err);
	if (config->screenshot && run.displays.refresh && !run.no_screenshot) {
		struct error why;

		if (write_screenshot(&run, config->screenshot, &why)) {
			log_error("run", "%s", why.text);
			if (status == EXIT_STATUS_OK)
				status = EXIT_STATUS_FAILURE;
		}
	}
	/* A signal asked for more than the guest's end. */
	if (!run.board.machine.told_to_end && displays_want_to_linger(&run.displays)) {
		/* Nobody listens to the terminal's keys now; Ctrl-C is to end us again. */
		console_terminal_stop(run.console);
		displays_linger(&run.displays);
	}
	if (!tear_down(&run)) {
		/* Neither may its thread's modules be unloaded under it, which exit() would do. */
		console_terminal_stop(run.console);
		machine_stop_devices(&run.board.machine);
		if (err.text[0])
			log_error("run", "%s", err.text);
		_exit(status);
	}
	board_destroy(&run.board);
	console_hub_destroy(run.hub);
	console_terminal_destroy(run.console);
close_disks:
	disks_close(&run.disks);
close_image:
	boot_close(run.image);
report:
	if (err.text[0])
		log_error("run", "%s", err.text);
	release_low_descriptors(&run);
	if (run.name_fd >= 0)
		close(run.name_fd);
	return status;
}
