/* Loads the module vmgui-block when there are disks, and opens them.
 *
 * Threads: main. */
#include "disks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_the_machines_fault(int ret)
{
	return ret == -EIO || ret == -ENOMEM || ret == -ENOSPC || ret == -EMFILE || ret == -ENFILE;
}

int disks_open(
	const struct config_disks *config, struct disks *disks, bool *user_error, struct error *err)
{
	int (*open)(const struct block_options *, struct block_disk **, struct error *);
	void *address;
	int ret;

	*disks = (struct disks){ .count = 0 };
	*user_error = false;
	if (!config->count)
		return 0;
	ret = module_open("block", &disks->module, err);
	if (ret)
		return ret;
	ret = module_symbol(disks->module, "block_open", &address, err);
	if (ret)
		goto close;
	memcpy(&open, &address, sizeof(open)); /* ISO C has no cast from data to functions */
	disks->disks = calloc(config->count, sizeof(*disks->disks));
	if (!disks->disks) {
		ret = error_set(err, ENOMEM, "--disk: out of memory");
		goto close;
	}
	for (unsigned i = 0; i < config->count; i++) {
		struct error why;

		ret = open(&config->disks[i].image, &disks->disks[i], &why);
		if (ret) {
			*user_error = !is_the_machines_fault(ret);
			(void)error_set(err, -ret, "--disk %s", why.text);
			goto close;
		}
		disks->count++;
	}
	return 0;

close:
	disks_close(disks);
	return ret;
}

void disks_close(struct disks *disks)
{
	for (unsigned i = 0; i < disks->count; i++) {
		if (disks->disks[i])
			disks->disks[i]->ops->destroy(disks->disks[i]);
	}
	free(disks->disks);
	module_close(disks->module);
	*disks = (struct disks){ .count = 0 };
}
