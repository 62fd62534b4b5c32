/* The registry of displays, and the thread that each one runs in; see backend.h.
 *
 * Threads: create, start, stop and destroy by the owner; notify and ended by anybody. `lock` guards
 * the phase; a wakeup runs under it, so it can meet neither a backend that is not set up yet nor
 * one that is being taken down. */
#include "display/backend.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/log.h"
#include "core/module.h"
#include "core/signals.h"
#include "display/backend_builtin.h"

const struct backend_info backend_registry[] = {
	{ "sdl", "a window (SDL2)", true, NULL },
	{ "gtk", "a window with menus (GTK)", true, NULL },
	{ "vnc", "a VNC server", true, NULL },
	{ "png", "a PNG file that follows the screen", false, &backend_png_ops },
	{ "null", "no display", false, &backend_null_ops },
	{ NULL, NULL, false, NULL },
};

enum phase {
	PHASE_IDLE,     /* no thread */
	PHASE_STARTING, /* in init */
	PHASE_RUNNING,  /* wakeup may be called */
	PHASE_ENDED,    /* run has returned, or init failed */
};

struct display_backend {
	const struct display_backend_ops *ops; /* immutable */
	struct display_host host;              /* immutable */
	struct module *module;                 /* immutable; NULL: built in */
	atomic_bool stop;

	pthread_mutex_t lock;
	pthread_cond_t changed; /* phase or gone; CLOCK_MONOTONIC */
	/* under lock */
	enum phase phase;
	bool gone;     /* fini has returned, too: joining takes no time */
	bool notified; /* before there was somebody to wake */
	int init_result;

	/* for the thread, set before it starts */
	const char *argument;
	struct error *init_error;

	bool joinable; /* owner's thread only */
	pthread_t thread;

	_Alignas(max_align_t) unsigned char private[];
};

static const struct backend_info *find(const char *name)
{
	for (const struct backend_info *info = backend_registry; info->name; info++) {
		if (!strcmp(info->name, name))
			return info;
	}
	return NULL;
}

static int load(const char *name, struct module **module, const struct display_backend_ops **ops,
	struct error *err)
{
	void *symbol;
	int result = module_open(name, module, err);

	if (result)
		return result;
	result = module_symbol(*module, "vmgui_backend_ops", &symbol, err);
	if (!result) {
		*ops = symbol;
		if ((*ops)->abi != DISPLAY_BACKEND_ABI)
			result = error_set(err, ENOEXEC,
				"display '%s': its module is of another version (install both "
				"from one build)",
				name);
	}
	if (result) {
		module_close(*module);
		*module = NULL;
	}
	return result;
}

int backend_create(const char *name, const struct display_host *host, struct display_backend **out,
	struct error *err)
{
	const struct backend_info *info = find(name);
	const struct display_backend_ops *ops;
	struct display_backend *backend;
	struct module *module = NULL;
	pthread_condattr_t attributes;
	int result;

	if (!info)
		return error_set(err, ENOENT, "display '%s': there is no such display", name);
	ops = info->ops;
	if (info->module) {
		result = load(name, &module, &ops, err);
		if (result)
			return result;
	}
	backend = calloc(1, sizeof(*backend) + ops->private_size);
	if (!backend) {
		module_close(module);
		return error_set(err, ENOMEM, "display '%s': out of memory", name);
	}
	backend->ops = ops;
	backend->host = *host;
	backend->module = module;
	pthread_mutex_init(&backend->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&backend->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	*out = backend;
	return 0;
}

void backend_destroy(struct display_backend *backend)
{
	if (!backend)
		return;
	backend_stop(backend);
	pthread_cond_destroy(&backend->changed);
	pthread_mutex_destroy(&backend->lock);
	module_close(backend->module);
	free(backend);
}

static void set_phase(struct display_backend *backend, enum phase phase)
{
	pthread_mutex_lock(&backend->lock);
	backend->phase = phase;
	if (phase == PHASE_RUNNING && backend->notified)
		backend->ops->wakeup(backend);
	if (phase != PHASE_STARTING)
		backend->notified = false;
	pthread_cond_signal(&backend->changed);
	pthread_mutex_unlock(&backend->lock);
}

static void live(struct display_backend *backend)
{
	backend->init_result = backend->ops->init(backend, backend->argument, backend->init_error);
	if (backend->init_result) {
		set_phase(backend, PHASE_ENDED);
		return;
	}
	set_phase(backend, PHASE_RUNNING);
	backend->ops->run(backend);
	set_phase(backend, PHASE_ENDED);
	backend->ops->fini(backend);
	if (backend->host.closed)
		backend->host.closed(backend->host.closed_opaque);
	if (!backend_should_stop(backend))
		log_info("display", "%s: closed; the guest goes on", backend->ops->name);
}

static void *backend_main(void *opaque)
{
	struct display_backend *backend = opaque;

	live(backend);
	pthread_mutex_lock(&backend->lock);
	backend->gone = true;
	pthread_cond_signal(&backend->changed);
	pthread_mutex_unlock(&backend->lock);
	return NULL;
}

int backend_start(struct display_backend *backend, const char *argument, struct error *err)
{
	sigset_t before;
	int result;

	if (backend->joinable)
		return error_set(err, EBUSY, "display '%s': runs already", backend->ops->name);
	memset(backend->private, 0, backend->ops->private_size);
	atomic_store(&backend->stop, false);
	backend->gone = false;
	set_phase(backend, PHASE_STARTING);
	backend->argument = argument;
	backend->init_error = err;
	/* Signals belong to the main thread. */
	signals_block_for_thread(&before);
	result = pthread_create(&backend->thread, NULL, backend_main, backend);
	signals_restore(&before);
	if (result) {
		set_phase(backend, PHASE_IDLE);
		return error_set(err, result, "display '%s': no thread for it: %s",
			backend->ops->name, strerror(result));
	}
	pthread_setname_np(backend->thread, backend->ops->name);
	backend->joinable = true;

	pthread_mutex_lock(&backend->lock);
	while (backend->phase == PHASE_STARTING)
		pthread_cond_wait(&backend->changed, &backend->lock);
	result = backend->init_result;
	pthread_mutex_unlock(&backend->lock);
	if (result)
		backend_stop(backend);
	return result;
}

void backend_stop(struct display_backend *backend)
{
	if (!backend || !backend->joinable)
		return;
	atomic_store(&backend->stop, true);
	backend_notify(backend);
	pthread_join(backend->thread, NULL);
	backend->joinable = false;
}

int backend_stop_within(struct display_backend *backend, unsigned seconds)
{
	struct timespec deadline;
	int result = 0;

	if (!backend || !backend->joinable)
		return 0;
	atomic_store(&backend->stop, true);
	backend_notify(backend);
	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += (time_t)seconds;
	pthread_mutex_lock(&backend->lock);
	while (!backend->gone && !result)
		result = -pthread_cond_timedwait(&backend->changed, &backend->lock, &deadline);
	if (backend->gone)
		result = 0;
	pthread_mutex_unlock(&backend->lock);
	if (result)
		log_warn("display", "%s: does not answer for %u s; ending without it",
			backend->ops->name, seconds);
	else
		backend_stop(backend);
	return result;
}

void backend_notify(struct display_backend *backend)
{
	pthread_mutex_lock(&backend->lock);
	if (backend->phase == PHASE_RUNNING)
		backend->ops->wakeup(backend);
	else
		backend->notified = true;
	pthread_mutex_unlock(&backend->lock);
}

bool backend_ended(struct display_backend *backend)
{
	bool ended;

	pthread_mutex_lock(&backend->lock);
	ended = backend->phase == PHASE_ENDED;
	pthread_mutex_unlock(&backend->lock);
	return ended;
}

bool backend_is_window(const struct display_backend *backend)
{
	return backend->ops->is_window;
}

void *display_backend_private(struct display_backend *backend)
{
	return backend->private;
}

const struct display_host *display_backend_host(struct display_backend *backend)
{
	return &backend->host;
}

const struct display_settings *display_backend_settings(struct display_backend *backend)
{
	return backend->host.settings ? backend->host.settings : &display_settings_default;
}

bool backend_should_stop(struct display_backend *backend)
{
	return atomic_load(&backend->stop);
}
