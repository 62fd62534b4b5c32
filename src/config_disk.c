/* --disk and --channel: options that may be given many times, each a list of its own.
 *
 * Threads: main, at start-up. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "core/suboptions.h"

/* VIRTIO 1.2, 5.2.6: the identification string has 20 bytes. */
#define SERIAL_BYTES 20u

struct disk_items {
	bool ro, snapshot;
	unsigned format, cache, backing_format;
	const char *serial, *backing;
};

#define ITEM(name) offsetof(struct disk_items, name)

/* The same order as enum block_format, whose first is the default. */
static const char *const formats[] = { "auto", "raw", "qcow2", NULL };
static const char *const caches[] = { "writeback", "direct", NULL };

static const struct suboption_spec disk_specs[] = {
	{ "ro", SUBOPTION_FLAG, ITEM(ro), NULL },
	{ "snapshot", SUBOPTION_FLAG, ITEM(snapshot), NULL },
	{ "format", SUBOPTION_CHOICE, ITEM(format), formats },
	{ "cache", SUBOPTION_CHOICE, ITEM(cache), caches },
	{ "serial", SUBOPTION_STRING, ITEM(serial), NULL },
	{ "backing", SUBOPTION_STRING, ITEM(backing), NULL },
	{ "backing-format", SUBOPTION_CHOICE, ITEM(backing_format), formats },
	{ .name = NULL },
};

static int check_serial(const char *value, const char *serial, struct error *err)
{
	size_t length = strlen(serial);

	for (size_t i = 0; i < length; i++) {
		if (!isgraph((unsigned char)serial[i]))
			length = SERIAL_BYTES + 1;
	}
	if (length > SERIAL_BYTES)
		return error_set(err, EINVAL,
			"--disk %s: serial=%s is not possible (up to %u letters, digits and signs)",
			value, serial, SERIAL_BYTES);
	return 0;
}

static int add_disk(struct config_disks *list, const struct config_disk *disk, struct error *err)
{
	struct config_disk *disks;

	if (list->count >= CONFIG_MAX_DISKS)
		return error_set(err, EINVAL, "--disk %s: there are %u already (give fewer)",
			disk->image.path, list->count);
	disks = realloc(list->disks, (list->count + 1) * sizeof(*disks));
	if (!disks)
		return error_set(err, ENOMEM, "--disk %s: out of memory", disk->image.path);
	list->disks = disks;
	list->disks[list->count++] = *disk;
	return 0;
}

int config_add_disk(struct config_disks *disks, const char *value, struct error *err)
{
	struct disk_items items = { 0 };
	struct config_disk disk = { .text = NULL };
	bool any_backing;
	int ret = suboptions_parse(
		"disk", value, disk_specs, &items, &disk.image.path, &disk.text, err);

	if (ret)
		return ret;
	/* "allow" trusts the name in the image; a file of that name is "./allow". */
	any_backing = items.backing && !strcmp(items.backing, "allow");
	disk.image.format = (enum block_format)items.format;
	disk.image.cache = (enum block_cache)items.cache;
	disk.image.read_only = items.ro;
	disk.image.snapshot = items.snapshot;
	disk.image.allow_backing = any_backing;
	disk.image.backing_path = any_backing ? NULL : items.backing;
	disk.image.backing_format = (enum block_format)items.backing_format;
	disk.serial = items.serial;
	if (items.ro && items.snapshot)
		ret = error_set(err, EINVAL,
			"--disk %s: ro contradicts snapshot (leave one of them out)", value);
	else if (items.backing_format && !disk.image.backing_path)
		ret = error_set(err, EINVAL,
			"--disk %s: backing-format is for a named backing file (give backing=FILE, "
			"too)",
			value);
	if (!ret && items.serial)
		ret = check_serial(value, items.serial, err);
	if (!ret)
		ret = add_disk(disks, &disk, err);
	if (ret)
		free(disk.text);
	return ret;
}

int config_add_channel(struct config_channels *channels, const char *value, struct error *err)
{
	struct virtio_console_channel channel;
	int ret = virtio_console_parse_channel(value, &channel, err);

	if (ret)
		return ret;
	if (channels->count >= VIRTIO_CONSOLE_MAX_CHANNELS)
		return error_set(err, EINVAL, "--channel %s: there are %u already (give fewer)",
			value, channels->count);
	channels->channels[channels->count++] = channel;
	return 0;
}

void config_fini(struct config *config)
{
	for (unsigned i = 0; i < config->disks.count; i++)
		free(config->disks.disks[i].text);
	free(config->disks.disks);
	config->disks = (struct config_disks){ .count = 0 };
}
