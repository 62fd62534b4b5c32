/* What the user asked for: the command line as one typed, checked struct, with defaults filled in.
 */
#ifndef VMGUI_CONFIG_H
#define VMGUI_CONFIG_H

#include "core/options.h"

struct resolution {
	unsigned width, height; /* 0 x 0: not given */
};

struct config {
	const char *name;
	unsigned cpus;
	uint64_t memory_bytes;
	const char *kvm_path;
	bool nodefaults;

	bool sdl, headless;
	struct optional_string vnc;
	struct resolution resolution;
	unsigned vidmode; /* 0: not given */

	const char *kernel, *operand, *initrd, *params;

	bool no_reboot, exit_port, no_kernel_cache;
	unsigned timeout_seconds;
	const char *screenshot, *user, *chroot;

	bool debug, debug_single_step, debug_ioport, debug_mmio;
	unsigned debug_io_delay_ms;

	bool help, version;   /* print it and exit; nothing else has been checked */
	char name_buffer[32]; /* for the default name */
};

extern const struct option_table config_options;

/* Defaults, then argv[0..argc) (no program name, no command), then what follows from the two.
 * -EINVAL: err says what is wrong. Strings point into argv. */
VMGUI_MUST_USE int config_parse(
	int argc, char *const *argv, struct config *config, struct error *err);

#endif
