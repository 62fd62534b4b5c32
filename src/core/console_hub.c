/* One line, several people; see console_hub.h. */
#include "core/console_hub.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct console_tap {
	struct console_hub *hub;
	struct console_tap *next;
	void (*wake)(void *opaque);
	void *opaque;
	/* under the hub's lock */
	uint64_t at; /* the next byte to read, counted from the line's first */
	bool told;   /* wake was called and nothing has been read since */
};

struct console_hub {
	const struct char_device *device; /* immutable, like the next two */
	const struct char_host *primary;
	struct char_host host;

	pthread_mutex_t lock;
	/* under lock */
	struct console_tap *taps;
	uint64_t written; /* bytes ever; the last of them are in history, each at its number modulo
			     the size */
	uint8_t history[CONSOLE_HUB_HISTORY_BYTES];
};

static void remember(struct console_hub *hub, const uint8_t *data, size_t length)
{
	/* Of more than the history holds only the end would stay. */
	if (length > sizeof(hub->history)) {
		hub->written += length - sizeof(hub->history);
		data += length - sizeof(hub->history);
		length = sizeof(hub->history);
	}
	while (length) {
		size_t at = hub->written % sizeof(hub->history);
		size_t part = min_u64(length, sizeof(hub->history) - at);

		memcpy(hub->history + at, data, part);
		hub->written += part;
		data += part;
		length -= part;
	}
}

static size_t host_write(void *opaque, const uint8_t *data, size_t length)
{
	struct console_hub *hub = opaque;

	if (hub->primary)
		length = hub->primary->write(hub->primary->opaque, data, length);
	if (!length)
		return 0;
	pthread_mutex_lock(&hub->lock);
	remember(hub, data, length);
	for (struct console_tap *tap = hub->taps; tap; tap = tap->next) {
		if (tap->told)
			continue;
		tap->told = true;
		tap->wake(tap->opaque);
	}
	pthread_mutex_unlock(&hub->lock);
	return length;
}

static void host_resume_input(void *opaque)
{
	struct console_hub *hub = opaque;

	if (hub->primary && hub->primary->resume_input)
		hub->primary->resume_input(hub->primary->opaque);
	/* Whoever was refused first is not known; those who have nothing to type do nothing. */
	pthread_mutex_lock(&hub->lock);
	for (struct console_tap *tap = hub->taps; tap; tap = tap->next)
		tap->wake(tap->opaque);
	pthread_mutex_unlock(&hub->lock);
}

int console_hub_create(const struct char_device *device, const struct char_host *primary,
	struct console_hub **out, struct error *err)
{
	struct console_hub *hub = calloc(1, sizeof(*hub));

	if (!hub)
		return error_set(err, ENOMEM, "console: out of memory");
	pthread_mutex_init(&hub->lock, NULL);
	hub->device = device;
	hub->primary = primary;
	hub->host = (struct char_host){
		.write = host_write,
		.resume_input = host_resume_input,
		.opaque = hub,
	};
	*out = hub;
	return 0;
}

void console_hub_destroy(struct console_hub *hub)
{
	if (!hub)
		return;
	pthread_mutex_destroy(&hub->lock);
	free(hub);
}

const struct char_host *console_hub_char_host(struct console_hub *hub)
{
	return &hub->host;
}

struct console_tap *console_tap_create(
	struct console_hub *hub, void (*wake)(void *opaque), void *opaque)
{
	struct console_tap *tap = calloc(1, sizeof(*tap));

	if (!tap)
		return NULL;
	tap->hub = hub;
	tap->wake = wake;
	tap->opaque = opaque;
	pthread_mutex_lock(&hub->lock);
	if (hub->written > sizeof(hub->history))
		tap->at = hub->written - sizeof(hub->history);
	tap->next = hub->taps;
	hub->taps = tap;
	pthread_mutex_unlock(&hub->lock);
	return tap;
}

void console_tap_destroy(struct console_tap *tap)
{
	if (!tap)
		return;
	pthread_mutex_lock(&tap->hub->lock);
	for (struct console_tap **link = &tap->hub->taps; *link; link = &(*link)->next) {
		if (*link == tap) {
			*link = tap->next;
			break;
		}
	}
	pthread_mutex_unlock(&tap->hub->lock);
	free(tap);
}

size_t console_tap_read(struct console_tap *tap, uint8_t *data, size_t bytes, size_t *lost)
{
	struct console_hub *hub = tap->hub;
	size_t done = 0;

	*lost = 0;
	pthread_mutex_lock(&hub->lock);
	tap->told = false;
	if (hub->written - tap->at > sizeof(hub->history)) {
		*lost = (size_t)(hub->written - sizeof(hub->history) - tap->at);
		tap->at += *lost;
	}
	while (done < bytes && tap->at < hub->written) {
		size_t at = tap->at % sizeof(hub->history);
		size_t part = min_u64(hub->written - tap->at, sizeof(hub->history) - at);

		part = min_u64(part, bytes - done);
		memcpy(data + done, hub->history + at, part);
		tap->at += part;
		done += part;
	}
	pthread_mutex_unlock(&hub->lock);
	return done;
}

size_t console_tap_write(struct console_tap *tap, const uint8_t *data, size_t bytes)
{
	const struct char_device *device = tap->hub->device;

	return device->receive(device->opaque, data, bytes);
}
