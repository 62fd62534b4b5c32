/* The machine without its devices: KVM, memory, buses, vCPUs, and the thread that starts, pauses,
 * resets and ends the guest.
 *
 * Threads: machine_run is the machine's thread (main). Everybody else leaves a request
 * (machine_request, any thread, any lock: it only sets a bit and wakes) and the machine's thread
 * acts on it. To touch devices or memory as a whole it holds the vCPUs: sets `hold`, kicks them,
 * and waits until each is parked outside the guest with its last access finished.
 *
 * Lock order: machine, device, queue, surface, log. */
#ifndef VMGUI_CORE_MACHINE_H
#define VMGUI_CORE_MACHINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/boot/boot.h"
#include "core/bus.h"
#include "core/device.h"
#include "core/guest_mem.h"
#include "core/irqchip.h"
#include "core/kvm.h"
#include "core/log.h"
#include "core/vcpu.h"
#include "core/vm_control.h"

/* Exit statuses of the program that the machine decides on (interface.md). */
enum exit_status {
	EXIT_STATUS_OK = 0,
	EXIT_STATUS_FAILURE = 1,
	EXIT_STATUS_USAGE = 2,
	EXIT_STATUS_CRASH = 3,
	EXIT_STATUS_TIMEOUT = 4,
	EXIT_STATUS_TAKEN = 6,
};

enum machine_request {
	MACHINE_RESET = 1 << 0,    /* the guest or the user wants a restart */
	MACHINE_POWEROFF = 1 << 1, /* the guest is off */
	MACHINE_TRIPLE_FAULT = 1 << 2,
	MACHINE_PANIC = 1 << 3,        /* the guest's kernel said that it panics */
	MACHINE_FAILED = 1 << 4,       /* KVM cannot go on; the reason has been logged */
	MACHINE_POWER_BUTTON = 1 << 5, /* asks; a second one within 10 s ends the guest */
	MACHINE_QUIT = 1 << 6,         /* end at once */
	MACHINE_TOGGLE_PAUSE = 1 << 7,
	MACHINE_SCREENSHOT = 1 << 8,
	MACHINE_EXIT = 1 << 9,   /* end with exit_code */
	MACHINE_PAUSE = 1 << 10, /* a device cannot go on until the user has helped */
};

struct machine_config {
	const char *kvm_path;
	unsigned cpus;
	uint64_t memory_bytes;
	bool no_reboot;
	unsigned timeout_seconds; /* 0: none */
	bool debug_single_step, debug_ioport, debug_mmio;
	unsigned debug_io_delay_ms;
};

/* What the board does for the machine; all in the machine's thread. Any may be NULL but load. */
struct machine_hooks {
	/* Writes tables and kernel into cleared memory and tells where to begin. */
	int (*load)(void *opaque, struct boot_entry *entry, struct error *err);
	void (*power_button)(void *opaque);
	void (*send_sysrq)(void *opaque);
	void (*save_screenshot)(void *opaque);
	void (*state_changed)(void *opaque);
	void *opaque;
};

struct machine {
	struct machine_config config; /* immutable after init, as all without a lock's name */
	struct machine_hooks hooks;
	struct kvm kvm;
	struct guest_mem mem;
	struct bus *ports, *mmio;
	struct irqchip *chip;
	struct vcpu **vcpus;
	unsigned vcpu_count;
	struct device **devices; /* machine's thread */
	unsigned device_count;   /* machine's thread */
	unsigned started_count;  /* machine's thread: devices started */

	atomic_bool hold; /* vCPUs are to park */
	pthread_mutex_t lock;
	pthread_cond_t parked_changed;
	unsigned parked; /* lock */
	bool stop;       /* lock: parked vCPUs are to end */

	int event_fd;
	atomic_uint requests; /* mask of enum machine_request */
	atomic_int exit_code; /* for MACHINE_EXIT */
	atomic_int state;     /* enum vm_state */
	struct vm_control control;

	/* machine's thread */
	bool ended, panicked;
	const char *end_reason; /* for vm_control; immutable once the state is VM_ENDED */
	struct log_limit crash_limit;
	bool told_to_end; /* by a signal, since this guest began */
	int exit_status;
	uint64_t power_button_ns;
	enum vm_state paused_from; /* what VM_PAUSED goes back to */
};

/* KVM, RAM, buses and interrupt controllers; no vCPUs yet, so that the board can make its memory
 * slots while they are cheap (kvm.h). level_irqs as in irqchip_create. On failure nothing is left.
 */
VMGUI_MUST_USE int machine_init(struct machine *machine, const struct machine_config *config,
	uint16_t level_irqs, struct error *err);
/* The interrupt controllers, the interval timer and the vCPUs. */
VMGUI_MUST_USE int machine_create_cpus(struct machine *machine, struct error *err);
/* Takes the device over: it is reset, started, stopped and destroyed (in reverse order) with the
 * machine. -ENOMEM: the device is the caller's still. */
VMGUI_MUST_USE int machine_add_device(
	struct machine *machine, struct device *device, struct error *err);
/* Loads the guest and runs it to its end. Signals SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2 and
 * SIGQUIT must be blocked in all threads (machine_block_signals before any is created). Returns the
 * exit status; err is set where the guest never started or could not be restarted. On return the
 * vCPUs are parked and devices still run, so that a last picture can be taken. */
int machine_run(struct machine *machine, const struct machine_hooks *hooks, struct error *err);
/* Ends the vCPU threads, then stops the devices: disks have written all they were given. */
void machine_stop_devices(struct machine *machine);
/* That, and destroys them. */
void machine_destroy_devices(struct machine *machine);
/* That, and all the rest. */
void machine_fini(struct machine *machine);

void machine_block_signals(void);
/* Any thread, with any lock held; async-signal-safe. */
void machine_request(struct machine *machine, enum machine_request request);
void machine_request_exit(struct machine *machine, int code);
/* For devices' callbacks of the form void (*)(void *machine). */
void machine_request_reset(void *machine);
void machine_request_poweroff(void *machine);
void machine_request_pause(void *machine);

/* vCPU threads: stay here while held. False: end the thread. */
bool machine_park(struct machine *machine);

#endif
