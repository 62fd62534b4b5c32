/* What the user asked for: the command line as one typed, checked struct, with defaults filled in.
 */
#ifndef VMGUI_CONFIG_H
#define VMGUI_CONFIG_H

#include "block/disk.h"
#include "core/options.h"
#include "devices/virtio_console.h"
#include "display/settings.h"

struct resolution {
	unsigned width, height; /* 0 x 0: not given */
};

struct config_disk {
	struct block_options image;
	const char *serial; /* NULL: none */
	char *text;         /* what the strings above point into */
};

enum config_console {
	CONSOLE_SERIAL,
	CONSOLE_VIRTIO
};

/* More than the bus has places for. */
#define CONFIG_MAX_DISKS 256u

struct config_disks {
	struct config_disk *disks; /* count of them */
	unsigned count;
};

struct config_channels {
	struct virtio_console_channel channels[VIRTIO_CONSOLE_MAX_CHANNELS];
	unsigned count;
};

struct config {
	const char *name;
	unsigned cpus;
	uint64_t memory_bytes;
	const char *kvm_path;
	bool nodefaults, rng;
	unsigned console; /* enum config_console */
	struct config_disks disks;
	struct config_channels channels;

	bool sdl, gtk, headless;
	struct display_settings display; /* but for its keymap */
	const char *keymap;              /* NULL: not given */
	struct optional_string vnc;
	struct resolution resolution;
	unsigned vidmode; /* 0: not given */
	unsigned refresh_hz;
	uint64_t vram_bytes; /* a power of two */

	const char *kernel, *operand, *initrd, *params;

	bool no_reboot, exit_port, no_kernel_cache;
	unsigned timeout_seconds;
	const char *screenshot, *user, *chroot;

	bool debug, debug_single_step, debug_ioport, debug_mmio;
	unsigned debug_io_delay_ms;

	bool error_dialog;
	bool help, version;   /* print it and exit; nothing else has been checked */
	char name_buffer[32]; /* for the default name */
};

extern const struct option_table config_options;

/* Defaults, then argv[0..argc) (no program name, no command), then what follows from the two.
 * -EINVAL: err says what is wrong. Strings point into argv or are the config's; config_fini frees
 * them. */
VMGUI_MUST_USE int config_parse(
	int argc, char *const *argv, struct config *config, struct error *err);
/* Frees what config_parse made, also after it failed. */
void config_fini(struct config *config);

/* config_disk.c: one more, for --disk and --channel. -EINVAL, -ENOMEM. */
VMGUI_MUST_USE int config_add_disk(
	struct config_disks *disks, const char *value, struct error *err);
VMGUI_MUST_USE int config_add_channel(
	struct config_channels *channels, const char *value, struct error *err);

/* config_display.c: the values of --scale, --filter, --lock-keys and --release-key into the members
 * of struct display_settings, and what the display options have to do with each other. */
VMGUI_MUST_USE int config_parse_scale(const char *value, void *scale, struct error *err);
VMGUI_MUST_USE int config_parse_filter(const char *value, void *filter, struct error *err);
VMGUI_MUST_USE int config_parse_lock_keys(const char *value, void *sync, struct error *err);
VMGUI_MUST_USE int config_parse_release_key(const char *value, void *chord, struct error *err);
VMGUI_MUST_USE int config_check_display(const struct config *config, struct error *err);

#endif
