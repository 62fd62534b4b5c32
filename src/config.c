#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board.h"
#include "core/boot/vidmode.h"
#include "core/display_source.h"
#include "core/kvm.h"

#define DEFAULT_MEMORY MIB(1024)
#define DEFAULT_VRAM   MIB(16)
#define DEFAULT_HZ     60
#define NAME_CHARS     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

/* Up to five digits; false where anything else stands there. */
static bool take_length(const char **text, unsigned *length)
{
	size_t digits = strspn(*text, "0123456789");

	if (!digits || digits > 5)
		return false;
	*length = (unsigned)strtoul(*text, NULL, 10);
	*text += digits;
	return true;
}

static int parse_resolution(const char *value, void *field, struct error *err)
{
	struct resolution *resolution = field;
	unsigned width, height;
	const char *rest = value;

	if (!take_length(&rest, &width) || *rest++ != 'x' || !take_length(&rest, &height) || *rest)
		return error_set(err, EINVAL,
			"--resolution %s: not a size (write for example 1024x768)", value);
	if (width < 320 || height < 200 || width > DISPLAY_MAX_WIDTH || height > DISPLAY_MAX_HEIGHT)
		return error_set(err, EINVAL,
			"--resolution %s: not possible (write 320x200 to %ux%u)", value,
			DISPLAY_MAX_WIDTH, DISPLAY_MAX_HEIGHT);
	*resolution = (struct resolution){ .width = width, .height = height };
	return 0;
}

static int parse_vidmode(const char *value, void *field, struct error *err)
{
	const struct vidmode *mode;
	int ret = vidmode_parse(value, &mode, err);

	if (!ret)
		*(unsigned *)field = mode->number;
	return ret;
}

static int parse_name(const char *value, void *field, struct error *err)
{
	size_t length = strlen(value);

	if (!length || length > 64 || strspn(value, NAME_CHARS) != length || value[0] == '.' ||
		value[0] == '-')
		return error_set(err, EINVAL,
			"--name %s: not a name (use up to 64 letters, digits, dots, dashes and "
			"underscores)",
			value);
	*(const char **)field = value;
	return 0;
}

/* Unlike a file's name this may be empty: no parameters, not even the default ones. */
static int parse_params(const char *value, void *field, struct error *err)
{
	(void)err;
	*(const char **)field = value;
	return 0;
}

static int parse_disk(const char *value, void *field, struct error *err)
{
	return config_add_disk(field, value, err);
}

static int parse_channel(const char *value, void *field, struct error *err)
{
	return config_add_channel(field, value, err);
}

static const char *const consoles[] = { "serial", "virtio", NULL };

#define FIELD(name) offsetof(struct config, name)

static const struct option_spec specs[] = {
	{ .name = "name",
		.type = OPTION_CUSTOM,
		.metavar = "NAME",
		.group = "basic",
		.help = "The guest's name; no two running guests of a user have the same. Default: "
			"guest-PID.",
		.field = FIELD(name),
		.parse = parse_name },
	{ .name = "cpus",
		.short_name = 'c',
		.type = OPTION_NUMBER,
		.metavar = "N",
		.group = "basic",
		.help = "Processors. Default: as many as the host has, at most 4.",
		.field = FIELD(cpus),
		.min = 1,
		.max = 255 },
	{ .name = "mem",
		.short_name = 'm',
		.type = OPTION_SIZE,
		.metavar = "SIZE[KMGT]",
		.group = "basic",
		.help = "Memory, in MiB if there is no unit. Default: 1G, or 80% of what is free "
			"if that is less.",
		.field = FIELD(memory_bytes),
		.min = MIB(4),
		.max = GIB(1024) },
	{ .name = "disk",
		.short_name = 'd',
		.type = OPTION_CUSTOM,
		.metavar = "IMAGE[,KEY[=VALUE]]...",
		.group = "basic",
		.help = "A disk (virtio; /dev/vda and so on): an image file or a block device; may "
			"be given many times. format=raw|qcow2: by default qcow2 where the name "
			"ends in .qcow2, else raw. ro: the guest cannot write. snapshot: what it "
			"writes is thrown away at the end. cache=writeback|direct: through the "
			"host's page cache, which is the default, or past it. serial=S: what the "
			"guest may tell it by. backing=FILE|allow, backing-format=raw|qcow2: a "
			"backing file is opened only when it is named here, or when allow trusts "
			"the name in the image.",
		.field = FIELD(disks),
		.parse = parse_disk },
	{ .name = "rng",
		.type = OPTION_FLAG,
		.group = "basic",
		.help = "Give the guest a source of random numbers (virtio).",
		.field = FIELD(rng) },
	{ .name = "console",
		.type = OPTION_CHOICE,
		.metavar = "serial|virtio",
		.group = "basic",
		.help = "What the terminal is joined to: the serial port ttyS0, which is the "
			"default, or the virtio console hvc0, which is many times faster.",
		.field = FIELD(console),
		.choices = consoles },
	{ .name = "channel",
		.type = OPTION_CUSTOM,
		.metavar = "NAME,PATH",
		.group = "basic",
		.help = "A virtio port of that name in the guest (/dev/virtio-ports/NAME), for an "
			"agent, joined to the socket file PATH; may be given many times.",
		.field = FIELD(channels),
		.parse = parse_channel },
	{ .name = "dev",
		.type = OPTION_STRING,
		.metavar = "PATH",
		.group = "basic",
		.help = "The KVM device. Default: /dev/kvm.",
		.field = FIELD(kvm_path) },
	{ .name = "nodefaults",
		.type = OPTION_FLAG,
		.group = "basic",
		.help = "Add nothing that was not asked for: no display, no kernel parameters.",
		.field = FIELD(nodefaults) },
	{ .name = "help",
		.short_name = 'h',
		.type = OPTION_FLAG,
		.group = "basic",
		.help = "Print this and exit.",
		.field = FIELD(help) },
	{ .name = "version",
		.type = OPTION_FLAG,
		.group = "basic",
		.help = "Print the version and exit.",
		.field = FIELD(version) },

	{ .name = "sdl",
		.type = OPTION_FLAG,
		.group = "display",
		.help = "Show the guest in a window. Default in a desktop session. Displays may be "
			"combined.",
		.field = FIELD(sdl),
		.once = "a guest has one such window; --gtk and --vnc show it besides" },
	{ .name = "gtk",
		.type = OPTION_FLAG,
		.group = "display",
		.help = "Show the guest in a window with menus (GTK).",
		.field = FIELD(gtk),
		.once = "a guest has one such window; --sdl and --vnc show it besides" },
	{ .name = "vnc",
		.type = OPTION_OPTIONAL,
		.metavar = "ADDR:DISPLAY|unix:PATH",
		.group = "display",
		.help = "Serve VNC clients of this machine: on a loopback address (display 0 is "
			"port 5900) or on a socket file. Default without a desktop session: the "
			"first free display of 127.0.0.1.",
		.field = FIELD(vnc),
		.once = "there is one server, for up to 16 clients" },
	{ .name = "headless",
		.type = OPTION_FLAG,
		.group = "display",
		.help = "No display but those that are named. Without any, the guest's serial "
			"console is on stdin and stdout.",
		.field = FIELD(headless) },
	{ .name = "resolution",
		.type = OPTION_CUSTOM,
		.metavar = "WxH",
		.group = "display",
		.help = "Size of the screen at start-up and preferred by the guest later. Default: "
			"1024x768.",
		.field = FIELD(resolution),
		.parse = parse_resolution },
	{ .name = "vidmode",
		.type = OPTION_CUSTOM,
		.metavar = "N",
		.group = "display",
		.help = "Size and depth of the screen as a VBE mode number or as Linux's vga= "
			"number, instead of --resolution; for example 0x118 or 792.",
		.field = FIELD(vidmode),
		.parse = parse_vidmode },
	{ .name = "refresh",
		.type = OPTION_NUMBER,
		.metavar = "HZ",
		.group = "display",
		.help = "How often a second a changing picture is shown at most. Default: 60.",
		.field = FIELD(refresh_hz),
		.min = 1,
		.max = 240 },
	{ .name = "vram",
		.type = OPTION_SIZE,
		.metavar = "SIZE",
		.group = "display",
		.help = "Video memory, a power of two, in MiB if there is no unit; 3840x2160 needs "
			"64. Default: 16.",
		.field = FIELD(vram_bytes),
		.min = MIB(4),
		.max = MIB(256) },

	{ .name = "fullscreen",
		.type = OPTION_FLAG,
		.group = "display",
		.help = "Start with the window on the full screen; Ctrl-Alt-F goes back.",
		.field = FIELD(display.fullscreen) },
	{ .name = "scale",
		.type = OPTION_CUSTOM,
		.metavar = "fit|integer|N",
		.group = "display",
		.help = "How large the picture is in the window: as the window allows, which is "
			"the "
			"default; by whole factors only; or N times, 0.25 to 8.",
		.field = FIELD(display.scale),
		.parse = config_parse_scale },
	{ .name = "filter",
		.type = OPTION_CUSTOM,
		.metavar = "auto|nearest|smooth",
		.group = "display",
		.help = "How a scaled picture is drawn: sharp pixels, or smooth. Default: sharp at "
			"whole factors, smooth at others.",
		.field = FIELD(display.filter),
		.parse = config_parse_filter },
	{ .name = "keep-open",
		.type = OPTION_FLAG,
		.group = "display",
		.help = "Keep the window with its last picture when the guest has ended, and say "
			"why it did.",
		.field = FIELD(display.keep_open) },
	{ .name = "error-dialog",
		.type = OPTION_FLAG,
		.group = "display",
		.help = "Show an error that ends vmgui in a dialog as well: for starts from an "
			"icon.",
		.field = FIELD(error_dialog) },
	{ .name = "keymap",
		.type = OPTION_STRING,
		.metavar = "LAYOUT",
		.group = "display",
		.help = "The keyboard layout that the guest has set: for VNC clients that say what "
			"a key means rather than which it is, and for pasted text. us (the "
			"default), gb, de, fr, es, it, jp, br, dvorak or another of X's layouts, "
			"with a variant as in 'de(nodeadkeys)'.",
		.field = FIELD(keymap) },
	{ .name = "release-key",
		.type = OPTION_CUSTOM,
		.metavar = "KEYS",
		.group = "display",
		.help = "What gives mouse and keyboard back from a window, for example "
			"ctrl-shift-f12, or one modifier alone: right-ctrl. Default: ctrl-alt-g.",
		.field = FIELD(display.release),
		.parse = config_parse_release_key },
	{ .name = "lock-keys",
		.type = OPTION_CUSTOM,
		.metavar = "sync|guest",
		.group = "display",
		.help = "Let Caps, Num and Scroll Lock of host and guest follow each other, which "
			"is the default, or leave the guest's alone.",
		.field = FIELD(display.sync_locks),
		.parse = config_parse_lock_keys },
	{ .name = "vnc-password-file",
		.type = OPTION_STRING,
		.metavar = "FILE",
		.group = "display",
		.help = "Let in only VNC clients that know the password in the first line of FILE "
			"(at most 8 characters count: the protocol's limit).",
		.field = FIELD(display.vnc_password_file) },
	{ .name = "vnc-allow-remote",
		.type = OPTION_FLAG,
		.group = "display",
		.help = "Let --vnc listen on addresses that other machines reach. Neither picture "
			"nor keys are encrypted then.",
		.field = FIELD(display.vnc_allow_remote) },

	{ .name = "kernel",
		.short_name = 'k',
		.type = OPTION_STRING,
		.metavar = "FILE",
		.group = "kernel",
		.help = "The kernel: a bzImage or an ELF vmlinux. The operand KERNEL means the "
			"same. A bzImage is decompressed on the host; its address is randomised "
			"(KASLR) unless the parameters say nokaslr.",
		.field = FIELD(kernel) },
	{ .name = "initrd",
		.short_name = 'i',
		.type = OPTION_STRING,
		.metavar = "FILE",
		.group = "kernel",
		.help = "The initial RAM disk.",
		.field = FIELD(initrd) },
	{ .name = "params",
		.short_name = 'p',
		.type = OPTION_CUSTOM,
		.metavar = "TEXT",
		.group = "kernel",
		.help = "Kernel parameters; may be empty. Default: console=ttyS0 where there is no "
			"display, else none.",
		.field = FIELD(params),
		.parse = parse_params },

	{ .name = "no-reboot",
		.type = OPTION_FLAG,
		.group = "lifecycle",
		.help = "End with status 0 when the guest resets, rather than start it again; with "
			"status 3 when it crashed.",
		.field = FIELD(no_reboot) },
	{ .name = "timeout",
		.type = OPTION_NUMBER,
		.metavar = "SECONDS",
		.group = "lifecycle",
		.help = "Give up when the guest has not ended by then, with status 4.",
		.field = FIELD(timeout_seconds),
		.min = 1,
		.max = 100000000 },
	{ .name = "exit-port",
		.type = OPTION_FLAG,
		.group = "lifecycle",
		.help = "Let the guest end vmgui with status N by writing the byte N to I/O port "
			"0xf4.",
		.field = FIELD(exit_port) },
	{ .name = "no-kernel-cache",
		.type = OPTION_FLAG,
		.group = "lifecycle",
		.help = "Do not keep decompressed kernels in $XDG_CACHE_HOME/vmgui, nor use those "
			"that are there.",
		.field = FIELD(no_kernel_cache) },
	{ .name = "screenshot",
		.type = OPTION_STRING,
		.metavar = "FILE.png",
		.group = "lifecycle",
		.help = "Write the last picture there when the guest ends, also after a failure.",
		.field = FIELD(screenshot) },
	{ .name = "user",
		.type = OPTION_STRING,
		.metavar = "NAME",
		.group = "lifecycle",
		.help = "Once all is open and before the guest runs, become this user.",
		.field = FIELD(user) },
	{ .name = "chroot",
		.type = OPTION_STRING,
		.metavar = "DIR",
		.group = "lifecycle",
		.help = "Once all is open and before the guest runs, make DIR the root. File names "
			"are looked up before that, except for --screenshot's.",
		.field = FIELD(chroot) },

	{ .name = "debug",
		.type = OPTION_FLAG,
		.group = "debug",
		.help = "Say more on stderr.",
		.field = FIELD(debug) },
	{ .name = "debug-single-step",
		.type = OPTION_FLAG,
		.group = "debug",
		.help = "Print registers and code of each guest instruction.",
		.field = FIELD(debug_single_step) },
	{ .name = "debug-ioport",
		.type = OPTION_FLAG,
		.group = "debug",
		.help = "Print accesses to I/O ports that belong to no device.",
		.field = FIELD(debug_ioport) },
	{ .name = "debug-mmio",
		.type = OPTION_FLAG,
		.group = "debug",
		.help = "Print accesses to memory addresses that belong to no device.",
		.field = FIELD(debug_mmio) },
	{ .name = "debug-iodelay",
		.type = OPTION_NUMBER,
		.metavar = "MS",
		.group = "debug",
		.help = "Answer each access to a device register MS milliseconds later.",
		.field = FIELD(debug_io_delay_ms),
		.min = 0,
		.max = 10000 },
	{ .name = NULL },
};

const struct option_table config_options = {
	.specs = specs,
	.operand = "KERNEL",
	.operand_field = FIELD(operand),
};

/* 80% of the memory that the host can give without swapping, if that is less than the usual. */
static uint64_t default_memory(void)
{
	long pages = sysconf(_SC_AVPHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	uint64_t free_bytes;

	if (pages <= 0 || page <= 0)
		return DEFAULT_MEMORY;
	/* Free pages already suffice mostly; only then is the longer look needed. */
	free_bytes = (uint64_t)pages * (uint64_t)page;
	if (free_bytes / 5 * 4 < DEFAULT_MEMORY) {
		FILE *file = fopen("/proc/meminfo", "re");
		char line[128];
		unsigned long long kib;

		while (file && fgets(line, sizeof(line), file)) {
			if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
				free_bytes = kib << 10;
		}
		if (file)
			fclose(file);
	}
	return max_u64(MIB(64), align_down(min_u64(DEFAULT_MEMORY, free_bytes / 5 * 4), MIB(1)));
}

static unsigned default_cpus(void)
{
	cpu_set_t set;

	/* On a host with more processors than the set holds there are at least four. */
	if (sched_getaffinity(0, sizeof(set), &set))
		return errno == EINVAL ? 4 : 1;
	return (unsigned)min_u64(max_u64((uint64_t)CPU_COUNT(&set), 1), 4);
}

int config_parse(int argc, char *const *argv, struct config *config, struct error *err)
{
	int ret;

	memset(config, 0, sizeof(*config));
	config->kvm_path = KVM_DEFAULT_PATH;
	config->refresh_hz = DEFAULT_HZ;
	config->vram_bytes = DEFAULT_VRAM;
	config->display = display_settings_default;
	ret = options_parse(&config_options, argc, argv, config, err);
	if (ret || config->help || config->version)
		return ret;

	if (config->kernel && config->operand)
		return error_set(err, EINVAL,
			"%s: there is a kernel already, --kernel %s (give one)", config->operand,
			config->kernel);
	if (!config->kernel)
		config->kernel = config->operand;
	if (!config->kernel && config->initrd)
		return error_set(err, EINVAL,
			"--initrd %s: there is no kernel to use it (give --kernel FILE)",
			config->initrd);
	if (!config->kernel && config->disks.count)
		return error_set(err, EINVAL,
			"--disk %s: there is no firmware to start it (give --kernel FILE and its "
			"--initrd)",
			config->disks.disks[0].image.path);
	ret = config_check_display(config, err);
	if (ret)
		return ret;
	if (!config->cpus)
		config->cpus = default_cpus();
	if (!config->memory_bytes)
		config->memory_bytes = default_memory();
	config->memory_bytes = align_down(config->memory_bytes, PAGE_BYTES);
	if (!config->name) {
		snprintf(config->name_buffer, sizeof(config->name_buffer), "guest-%d",
			(int)getpid());
		config->name = config->name_buffer;
	}
	return 0;
}
