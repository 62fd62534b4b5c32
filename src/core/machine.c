#include "core/machine.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "core/cpuid.h"
#include "core/clock.h"
#include "core/log.h"

/* A second wish to power down within this time ends the guest at once. */
#define POWER_BUTTON_AGAIN_NS UINT64_C(10000000000)

/* Reserved so that no BAR lands there: the I/O APIC, the local APICs and what lies behind. */
#define CHIPS_BASE 0xfec00000u
#define CHIPS_END  0x100000000u

/* After these the guest's code does not go on. */
#define STOPPING_REQUESTS                                                                          \
	(MACHINE_RESET | MACHINE_POWEROFF | MACHINE_TRIPLE_FAULT | MACHINE_FAILED | MACHINE_EXIT)

static const int handled_signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT };

static void signal_set(sigset_t *set)
{
	sigemptyset(set);
	for (size_t i = 0; i < array_size(handled_signals); i++)
		sigaddset(set, handled_signals[i]);
}

void machine_block_signals(void)
{
	sigset_t set;

	signal_set(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	/* Whoever reads our messages or a client may go; the guest stays, and write says EPIPE. */
	signal(SIGPIPE, SIG_IGN);
	/* A write past the limit of a file's size (ulimit -f) is an error, not our end. */
	signal(SIGXFSZ, SIG_IGN);
}

void machine_request(struct machine *machine, enum machine_request request)
{
	uint64_t one = 1;

	/* What ends this run of the guest's code does so now: the vCPU that asks does not go on.
	 * The request comes first, so that release_vcpus cannot miss both. */
	atomic_fetch_or(&machine->requests, (unsigned)request);
	if (request & STOPPING_REQUESTS)
		atomic_store(&machine->hold, true);
	if (write(machine->event_fd, &one, sizeof(one)) < 0) {
		/* The counter is full: the machine's thread is awake anyway. */
	}
}

void machine_request_exit(struct machine *machine, int code)
{
	atomic_store(&machine->exit_code, code);
	machine_request(machine, MACHINE_EXIT);
}

void machine_request_reset(void *machine)
{
	machine_request(machine, MACHINE_RESET);
}

void machine_request_poweroff(void *machine)
{
	machine_request(machine, MACHINE_POWEROFF);
}

void machine_request_pause(void *machine)
{
	machine_request(machine, MACHINE_PAUSE);
}

static void control_powerdown(void *machine)
{
	machine_request(machine, MACHINE_POWER_BUTTON);
}

static void control_quit(void *machine)
{
	machine_request(machine, MACHINE_QUIT);
}

static void control_pause(void *machine)
{
	machine_request(machine, MACHINE_TOGGLE_PAUSE);
}

static void control_screenshot(void *opaque)
{
	struct machine *machine = opaque;

	/* A window that is kept open has the last picture, and nobody takes requests any more. */
	if (atomic_load(&machine->state) == VM_ENDED && machine->hooks.save_screenshot)
		machine->hooks.save_screenshot(machine->hooks.opaque);
	else
		machine_request(machine, MACHINE_SCREENSHOT);
}

static const char *control_end_reason(void *opaque)
{
	const struct machine *machine = opaque;

	/* Written before the state, which is atomic. */
	return atomic_load(&machine->state) == VM_ENDED ? machine->end_reason : NULL;
}

static enum vm_state control_state(void *opaque)
{
	struct machine *machine = opaque;

	return (enum vm_state)atomic_load(&machine->state);
}

static int reserve(
	struct bus *mmio, const char *owner, uint64_t base, uint64_t length, struct error *err)
{
	static const struct bus_region_ops none = { .read = NULL, .write = NULL };
	const struct bus_region region = { .base = base,
		.length = length,
		.widths = BUS_WIDTH_ANY,
		.owner = owner,
		.ops = &none };

	return bus_add(mmio, &region, err);
}

int machine_init(struct machine *machine, const struct machine_config *config, uint16_t level_irqs,
	struct error *err)
{
	int ret;

	memset(machine, 0, sizeof(*machine));
	machine->config = *config;
	pthread_mutex_init(&machine->lock, NULL);
	pthread_cond_init(&machine->parked_changed, NULL);
	atomic_store(&machine->hold, true);
	machine->control = (struct vm_control){
		.request_powerdown = control_powerdown,
		.request_quit = control_quit,
		.request_reset = machine_request_reset,
		.toggle_pause = control_pause,
		.state = control_state,
		.end_reason = control_end_reason,
		.save_screenshot = control_screenshot,
		.opaque = machine,
	};
	machine->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (machine->event_fd < 0) {
		ret = error_set(err, errno, "eventfd: %s", strerror(errno));
		goto destroy_lock;
	}
	machine->ports = bus_create("port", 0x10000);
	machine->mmio = bus_create("memory", 0);
	if (!machine->ports || !machine->mmio) {
		ret = error_set(err, ENOMEM, "buses: out of memory");
		goto destroy_buses;
	}
	ret = guest_mem_init(&machine->mem, config->memory_bytes, err);
	if (ret)
		goto destroy_buses;
	for (unsigned i = 0; i < machine->mem.region_count && !ret; i++)
		ret = reserve(machine->mmio, "RAM", machine->mem.regions[i].start_gpa,
			machine->mem.regions[i].length_bytes, err);
	if (!ret)
		ret = reserve(machine->mmio, "interrupt controllers", CHIPS_BASE,
			CHIPS_END - CHIPS_BASE, err);
	if (ret)
		goto fini_mem;
	ret = kvm_create(&machine->kvm, config->kvm_path, err);
	if (ret)
		goto fini_mem;
	if (config->cpus > machine->kvm.max_vcpus) {
		ret = error_set(err, EINVAL, "--cpus %u: KVM runs at most %u here (give fewer)",
			config->cpus, machine->kvm.max_vcpus);
		goto destroy_kvm;
	}
	kvm_connect_doorbells(&machine->kvm, machine->ports, machine->mmio);
	ret = kvm_map_ram(&machine->kvm, &machine->mem, err);
	if (!ret)
		ret = irqchip_create(&machine->kvm, level_irqs, &machine->chip, err);
	if (ret)
		goto destroy_kvm;
	return 0;

destroy_kvm:
	kvm_destroy(&machine->kvm);
fini_mem:
	guest_mem_fini(&machine->mem);
destroy_buses:
	bus_destroy(machine->mmio);
	bus_destroy(machine->ports);
	close(machine->event_fd);
destroy_lock:
	pthread_cond_destroy(&machine->parked_changed);
	pthread_mutex_destroy(&machine->lock);
	return ret;
}

int machine_create_cpus(struct machine *machine, struct error *err)
{
	struct kvm_cpuid2 *supported;
	int ret = irqchip_start(machine->chip, err);

	if (ret)
		return ret;
	ret = cpuid_get_supported(&machine->kvm, &supported, err);
	if (ret)
		return ret;
	machine->vcpus = calloc(machine->config.cpus, sizeof(*machine->vcpus));
	if (!machine->vcpus)
		ret = error_set(err, ENOMEM, "--cpus: out of memory");
	while (!ret && machine->vcpu_count < machine->config.cpus) {
		ret = vcpu_create(machine, machine->vcpu_count, supported,
			&machine->vcpus[machine->vcpu_count], err);
		if (!ret)
			machine->vcpu_count++;
	}
	free(supported);
	return ret;
}

int machine_add_device(struct machine *machine, struct device *device, struct error *err)
{
	struct device **devices =
		realloc(machine->devices, (machine->device_count + 1) * sizeof(struct device *));

	if (!devices)
		return error_set(err, ENOMEM, "%s: out of memory", device->ops->name);
	machine->devices = devices;
	machine->devices[machine->device_count++] = device;
	return 0;
}

bool machine_park(struct machine *machine)
{
	bool stop;

	pthread_mutex_lock(&machine->lock);
	machine->parked++;
	pthread_cond_broadcast(&machine->parked_changed);
	while (atomic_load(&machine->hold) && !machine->stop)
		pthread_cond_wait(&machine->parked_changed, &machine->lock);
	machine->parked--;
	stop = machine->stop;
	pthread_mutex_unlock(&machine->lock);
	return !stop;
}

/* Every vCPU outside the guest and parked. */
static void hold_vcpus(struct machine *machine)
{
	unsigned running = 0;

	atomic_store(&machine->hold, true);
	for (unsigned i = 0; i < machine->vcpu_count; i++) {
		if (machine->vcpus[i]->has_thread) {
			vcpu_kick(machine->vcpus[i]);
			running++;
		}
	}
	pthread_mutex_lock(&machine->lock);
	while (machine->parked < running)
		pthread_cond_wait(&machine->parked_changed, &machine->lock);
	pthread_mutex_unlock(&machine->lock);
}

static void release_vcpus(struct machine *machine)
{
	pthread_mutex_lock(&machine->lock);
	atomic_store(&machine->hold, false);
	/* One that waits to be handled holds them itself. */
	if (atomic_load(&machine->requests) & STOPPING_REQUESTS)
		atomic_store(&machine->hold, true);
	pthread_cond_broadcast(&machine->parked_changed);
	pthread_mutex_unlock(&machine->lock);
}

static void set_state(struct machine *machine, enum vm_state state)
{
	if (atomic_exchange(&machine->state, (int)state) != (int)state &&
		machine->hooks.state_changed)
		machine->hooks.state_changed(machine->hooks.opaque);
}

/* The first reason is the one that counts. */
static void end(struct machine *machine, int status, const char *reason)
{
	if (!machine->ended) {
		machine->exit_status = status;
		machine->end_reason = reason;
	}
	machine->ended = true;
	hold_vcpus(machine);
}

static int load_guest(struct machine *machine, struct error *err)
{
	struct boot_entry entry;
	int ret = machine->hooks.load(machine->hooks.opaque, &entry, err);

	if (!ret)
		ret = vcpu_set_entry(machine->vcpus[0], &entry, err);
	return ret;
}

/* The guest starts anew in place: what a reset line does, then what firmware and loader do. */
static void reset_guest(struct machine *machine, struct error *err)
{
	int ret = 0;

	hold_vcpus(machine);
	log_debug("machine", "reset");
	/* Devices and vCPUs first: none of them reaches into memory any more when it is cleared,
	 * nor does KVM for the old guest's clock and steal time. */
	for (unsigned i = 0; i < machine->device_count; i++)
		machine->devices[i]->ops->reset(machine->devices[i]);
	irqchip_reset(machine->chip);
	for (unsigned i = 0; i < machine->vcpu_count && !ret; i++)
		ret = vcpu_reset(machine->vcpus[i], err);
	guest_mem_clear(&machine->mem);
	if (!ret)
		ret = load_guest(machine, err);
	if (ret) {
		end(machine, EXIT_STATUS_FAILURE, "the guest could not be started again");
		return;
	}
	/* Requests that the old guest left behind are void; those of people are not. */
	atomic_fetch_and(&machine->requests, ~(unsigned)(MACHINE_RESET | MACHINE_TRIPLE_FAULT |
							 MACHINE_POWEROFF | MACHINE_PANIC));
	machine->power_button_ns = 0;
	machine->told_to_end = false;
	machine->panicked = false;
	set_state(machine, VM_RUNNING);
	release_vcpus(machine);
}

static void toggle_pause(struct machine *machine)
{
	if (atomic_load(&machine->state) == VM_PAUSED) {
		for (unsigned i = 0; i < machine->vcpu_count; i++)
			vcpu_mark_paused(machine->vcpus[i]);
		set_state(machine, machine->paused_from);
		for (unsigned i = 0; i < machine->device_count; i++) {
			if (machine->devices[i]->ops->resume)
				machine->devices[i]->ops->resume(machine->devices[i]);
		}
		release_vcpus(machine);
	} else {
		hold_vcpus(machine);
		machine->paused_from = (enum vm_state)atomic_load(&machine->state);
		set_state(machine, VM_PAUSED);
	}
}

static void press_power_button(struct machine *machine)
{
	uint64_t now = clock_now_ns();

	if (machine->power_button_ns && now - machine->power_button_ns < POWER_BUTTON_AGAIN_NS) {
		end(machine, EXIT_STATUS_OK, "the guest was asked to end twice");
		return;
	}
	machine->power_button_ns = now;
	if (atomic_load(&machine->state) == VM_PAUSED)
		toggle_pause(machine);
	set_state(machine, VM_POWERING_DOWN);
	if (machine->hooks.power_button)
		machine->hooks.power_button(machine->hooks.opaque);
}

static void dump(struct machine *machine)
{
	bool paused = atomic_load(&machine->state) == VM_PAUSED;

	hold_vcpus(machine);
	for (unsigned i = 0; i < machine->vcpu_count; i++)
		vcpu_dump(machine->vcpus[i], stderr);
	if (!paused)
		release_vcpus(machine);
}

/* A guest may crash at every start, many times a second. */
static void warn_of_crash(struct machine *machine, const char *what)
{
	unsigned dropped;

	if (!log_limit_pass(&machine->crash_limit, &dropped))
		return;
	if (dropped)
		log_warn("machine", "%u more crashes since the last one that was told", dropped);
	log_warn("machine", "%s", what);
}

static void handle_panic(struct machine *machine)
{
	if (!machine->panicked)
		warn_of_crash(machine, "the guest's kernel panicked");
	machine->panicked = true;
	if (machine->config.no_reboot)
		end(machine, EXIT_STATUS_CRASH, "the guest's kernel panicked");
}

static void handle_requests(struct machine *machine, struct error *err)
{
	unsigned requests = atomic_exchange(&machine->requests, 0);

	if (requests & MACHINE_SCREENSHOT && machine->hooks.save_screenshot)
		machine->hooks.save_screenshot(machine->hooks.opaque);
	/* A kernel that panics may reset in the same moment; the panic came first. */
	if (requests & MACHINE_PANIC && !(requests & MACHINE_EXIT))
		handle_panic(machine);
	if (machine->ended)
		return;
	if (requests & MACHINE_EXIT) {
		end(machine, atomic_load(&machine->exit_code), "the guest ended itself");
	} else if (requests & MACHINE_FAILED) {
		end(machine, EXIT_STATUS_FAILURE, "vmgui could not run it any more");
	} else if (requests & MACHINE_POWEROFF) {
		log_debug("machine", "the guest powered off");
		end(machine, EXIT_STATUS_OK, "the guest powered down");
	} else if (requests & MACHINE_QUIT) {
		end(machine, EXIT_STATUS_OK, "the guest was forced off");
	} else if (requests & MACHINE_TRIPLE_FAULT && machine->config.no_reboot) {
		log_error("machine", "the guest crashed: triple fault");
		end(machine, EXIT_STATUS_CRASH, "the guest crashed: triple fault");
	} else if (requests & MACHINE_RESET && machine->config.no_reboot) {
		end(machine, machine->panicked ? EXIT_STATUS_CRASH : EXIT_STATUS_OK,
			machine->panicked ? "the guest's kernel panicked" : "the guest reset");
	} else if (requests & (MACHINE_RESET | MACHINE_TRIPLE_FAULT)) {
		if (requests & MACHINE_TRIPLE_FAULT)
			warn_of_crash(machine, "the guest crashed (triple fault) and starts again");
		reset_guest(machine, err);
	}
	if (machine->ended)
		return;
	if (requests & MACHINE_TOGGLE_PAUSE)
		toggle_pause(machine);
	if (requests & MACHINE_PAUSE && atomic_load(&machine->state) != VM_PAUSED)
		toggle_pause(machine);
	if (requests & MACHINE_POWER_BUTTON)
		press_power_button(machine);
}

static void handle_signal(struct machine *machine, int signal_fd)
{
	struct signalfd_siginfo info;

	if (read(signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	switch (info.ssi_signo) {
	case SIGTERM:
	case SIGINT:
	case SIGHUP:
		/* A guest that has not gone by itself goes with the second one, whenever it comes.
		 */
		if (machine->told_to_end) {
			end(machine, EXIT_STATUS_OK, "the guest was told to end twice");
			break;
		}
		machine->told_to_end = true;
		press_power_button(machine);
		break;
	case SIGUSR1:
		dump(machine);
		break;
	case SIGUSR2:
		toggle_pause(machine);
		break;
	case SIGQUIT:
		dump(machine);
		if (machine->hooks.send_sysrq)
			machine->hooks.send_sysrq(machine->hooks.opaque);
		break;
	default:
		break;
	}
}

/* Milliseconds until the deadline, rounded up; -1: none; 0: passed. */
static int remaining_ms(uint64_t deadline_ns)
{
	uint64_t now = clock_now_ns(), ms;

	if (!deadline_ns)
		return -1;
	if (now >= deadline_ns)
		return 0;
	ms = (deadline_ns - now + 999999) / 1000000;
	return (int)min_u64(ms, 1000000);
}

/* Whether somebody asked us to end while there was no guest yet that could be asked. */
static bool ends_before_start(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 &&
	       (sigismember(&pending, SIGTERM) || sigismember(&pending, SIGINT) ||
		       sigismember(&pending, SIGHUP));
}

static void run_loop(
	struct machine *machine, int signal_fd, uint64_t deadline_ns, struct error *err)
{
	while (!machine->ended) {
		struct pollfd fds[] = {
			{ .fd = machine->event_fd, .events = POLLIN },
			{ .fd = signal_fd, .events = POLLIN },
		};
		uint64_t count;
		int timeout = remaining_ms(deadline_ns);

		if (timeout == 0) {
			log_error("machine", "--timeout %u: the guest has not ended by itself",
				machine->config.timeout_seconds);
			end(machine, EXIT_STATUS_TIMEOUT, "the guest's time was up (--timeout)");
			break;
		}
		if (poll(fds, array_size(fds), timeout) < 0)
			continue;
		if (fds[0].revents & POLLIN && read(machine->event_fd, &count, sizeof(count)) > 0)
			handle_requests(machine, err);
		if (!machine->ended && fds[1].revents & POLLIN)
			handle_signal(machine, signal_fd);
	}
}

int machine_run(struct machine *machine, const struct machine_hooks *hooks, struct error *err)
{
	uint64_t deadline =
		machine->config.timeout_seconds
			? clock_now_ns() + (uint64_t)machine->config.timeout_seconds * 1000000000u
			: 0;
	sigset_t signals;
	int signal_fd, ret;

	machine->hooks = *hooks;
	machine->exit_status = EXIT_STATUS_FAILURE;
	ret = load_guest(machine, err);
	if (ret)
		return ret == -EINVAL ? EXIT_STATUS_USAGE : EXIT_STATUS_FAILURE;
	for (; machine->started_count < machine->device_count; machine->started_count++) {
		struct device *device = machine->devices[machine->started_count];

		if (device->ops->start && device->ops->start(device, err))
			return EXIT_STATUS_FAILURE;
	}
	signal_set(&signals);
	signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signal_fd < 0) {
		error_set(err, errno, "signalfd: %s", strerror(errno));
		return EXIT_STATUS_FAILURE;
	}
	if (ends_before_start()) {
		end(machine, EXIT_STATUS_OK, "the guest was told to end before it began");
	} else {
		set_state(machine, VM_RUNNING);
		atomic_store(&machine->hold, false);
	}
	for (unsigned i = 0; i < machine->vcpu_count && !machine->ended; i++) {
		if (vcpu_start(machine->vcpus[i], err))
			end(machine, EXIT_STATUS_FAILURE, "the guest could not be started");
	}
	run_loop(machine, signal_fd, deadline, err);
	close(signal_fd);
	set_state(machine, VM_ENDED);
	return machine->exit_status;
}

void machine_stop_devices(struct machine *machine)
{
	pthread_mutex_lock(&machine->lock);
	machine->stop = true;
	pthread_cond_broadcast(&machine->parked_changed);
	pthread_mutex_unlock(&machine->lock);
	atomic_store(&machine->hold, true);
	for (unsigned i = 0; i < machine->vcpu_count; i++)
		vcpu_kick(machine->vcpus[i]);
	for (unsigned i = 0; i < machine->vcpu_count; i++)
		vcpu_join(machine->vcpus[i]);
	kvm_end(&machine->kvm);
	while (machine->started_count > 0) {
		struct device *device = machine->devices[--machine->started_count];

		if (device->ops->stop)
			device->ops->stop(device);
	}
}

void machine_destroy_devices(struct machine *machine)
{
	machine_stop_devices(machine);
	while (machine->device_count > 0) {
		struct device *device = machine->devices[--machine->device_count];

		device->ops->destroy(device);
	}
	free(machine->devices);
	machine->devices = NULL;
}

void machine_fini(struct machine *machine)
{
	machine_destroy_devices(machine);
	for (unsigned i = 0; i < machine->vcpu_count; i++)
		vcpu_destroy(machine->vcpus[i]);
	free(machine->vcpus);
	irqchip_destroy(machine->chip);
	kvm_destroy(&machine->kvm);
	guest_mem_fini(&machine->mem);
	bus_destroy(machine->mmio);
	bus_destroy(machine->ports);
	close(machine->event_fd);
	pthread_cond_destroy(&machine->parked_changed);
	pthread_mutex_destroy(&machine->lock);
}
