/* Writes PNG files; see png_file.h. */
#include "display/png_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/module.h"
#include "display/png/encode.h"
#include "display/surface.h"

#define NAME_TRIES 100

static pthread_mutex_t encoder_lock = PTHREAD_MUTEX_INITIALIZER;
/* Under encoder_lock. Shared by all pictures of the process, and never unloaded. */
static struct module *encoder_module;
static vmgui_png_encode_fn *encoder;

static int load_encoder(vmgui_png_encode_fn **out, struct error *err)
{
	void *symbol;
	int result = 0;

	pthread_mutex_lock(&encoder_lock);
	if (!encoder_module)
		result = module_open("png", &encoder_module, err);
	if (!result && !encoder) {
		result = module_symbol(encoder_module, VMGUI_PNG_ENCODE_SYMBOL, &symbol, err);
		if (!result)
			encoder = (vmgui_png_encode_fn *)symbol;
	}
	*out = encoder;
	pthread_mutex_unlock(&encoder_lock);
	return result;
}

void png_file_name(const char *guest_name, char *path, size_t size)
{
	time_t now = time(NULL);
	char stamp[32] = "";
	struct tm local;

	if (localtime_r(&now, &local))
		strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &local);
	snprintf(path, size, "%.64s-%s.png", guest_name, stamp);
	/* Two within a second are two. */
	for (unsigned i = 2; i < NAME_TRIES && access(path, F_OK) == 0; i++)
		snprintf(path, size, "%.64s-%s-%u.png", guest_name, stamp, i);
}

int png_file_prepare(struct error *err)
{
	vmgui_png_encode_fn *unused;

	return load_encoder(&unused, err);
}

/* The target's folder; "." where path names none. */
static int folder_of(const char *path, char folder[PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	size_t length = slash ? (size_t)(slash - path) : 0;

	if (!*path || (slash && !slash[1]))
		return -EISDIR;
	if (strlen(path) >= PATH_MAX - 32)
		return -ENAMETOOLONG;
	if (!slash)
		strcpy(folder, ".");
	else if (!length)
		strcpy(folder, "/");
	else {
		memcpy(folder, path, length);
		folder[length] = '\0';
	}
	return 0;
}

static int cannot_write(const char *path, int errnum, struct error *err)
{
	return error_set(
		err, errnum, "picture '%s': cannot be written: %s", path, strerror(errnum));
}

int png_file_check(const char *path, struct error *err)
{
	char folder[PATH_MAX];
	struct stat status;
	int result = folder_of(path, folder);

	if (result)
		return cannot_write(path, -result, err);
	if (!stat(path, &status)) {
		if (S_ISDIR(status.st_mode))
			return cannot_write(path, EISDIR, err);
		if (!S_ISREG(status.st_mode))
			return access(path, W_OK) ? cannot_write(path, errno, err) : 0;
	}
	if (stat(folder, &status))
		return error_set(err, errno, "picture '%s': its folder: %s (make it first)", path,
			strerror(errno));
	if (access(folder, W_OK | X_OK))
		return error_set(err, errno, "picture '%s': its folder cannot be written to: %s",
			path, strerror(errno));
	return 0;
}

/* Opens a new file beside target and gives its name. */
static int open_temporary(const char *target, char name[PATH_MAX])
{
	const char *slash = strrchr(target, '/');
	int folder_length = slash ? (int)(slash - target) + 1 : 0;
	static unsigned counter; /* only to find a free name sooner */

	for (int tries = 0; tries < NAME_TRIES; tries++) {
		int fd, length = snprintf(name, PATH_MAX, "%.*s.vmgui-%d-%u.png", folder_length,
				target, (int)getpid(),
				__atomic_fetch_add(&counter, 1, __ATOMIC_RELAXED));

		if (length < 0 || length >= PATH_MAX)
			return -ENAMETOOLONG;
		fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd >= 0 || errno != EEXIST)
			return fd >= 0 ? fd : -errno;
	}
	return -EEXIST;
}

/* Encodes into fd, which is closed in any case. */
static int encode_to(int fd, const char *path, const uint32_t *pixels, uint32_t width,
	uint32_t height, uint32_t stride_pixels, vmgui_png_encode_fn *encode, struct error *err)
{
	FILE *file = fdopen(fd, "wb");
	char reason[128];
	int result;

	if (!file) {
		close(fd);
		return cannot_write(path, ENOMEM, err);
	}
	result = encode(file, pixels, width, height, stride_pixels, reason);
	if (result)
		error_set(err, -result, "picture '%s': cannot be written: %s", path, reason);
	if (fclose(file) && !result)
		result = cannot_write(path, errno, err);
	return result;
}

int png_file_write(const char *path, const uint32_t *pixels, uint32_t width, uint32_t height,
	uint32_t stride_pixels, struct error *err)
{
	char target[PATH_MAX], temporary[PATH_MAX];
	vmgui_png_encode_fn *encode;
	struct stat status;
	int fd, result = load_encoder(&encode, err);

	if (result)
		return result;
	result = folder_of(path, target);
	if (result)
		return cannot_write(path, -result, err);
	if (!stat(path, &status) && !S_ISREG(status.st_mode)) {
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			return cannot_write(path, errno, err);
		return encode_to(fd, path, pixels, width, height, stride_pixels, encode, err);
	}
	/* A symbolic link stays one: what it points to is replaced. */
	if (!realpath(path, target))
		strcpy(target, path);
	fd = open_temporary(target, temporary);
	if (fd < 0)
		return cannot_write(path, -fd, err);
	result = encode_to(fd, path, pixels, width, height, stride_pixels, encode, err);
	if (!result && rename(temporary, target))
		result = cannot_write(path, errno, err);
	if (result)
		unlink(temporary);
	return result;
}

int png_file_write_surface(const char *path, struct surface *surface, struct error *err)
{
	struct surface_reader *reader = surface_reader_create(surface, NULL, NULL);
	struct rect rects[SURFACE_MAX_RECTS];
	struct surface_view view;
	uint32_t *copy = NULL;
	int result = 0;

	if (!reader)
		return cannot_write(path, ENOMEM, err);
	surface_read_begin(reader, &view, rects);
	if (!view.width)
		result = -ENODATA;
	else
		copy = malloc((size_t)view.height * view.stride_pixels * sizeof(*copy));
	if (copy)
		memcpy(copy, view.pixels, (size_t)view.height * view.stride_pixels * sizeof(*copy));
	surface_read_end(reader);
	surface_reader_destroy(reader);
	if (result)
		return error_set(err, ENODATA, "picture '%s': the guest shows none yet", path);
	if (!copy)
		return cannot_write(path, ENOMEM, err);
	result = png_file_write(path, copy, view.width, view.height, view.stride_pixels, err);
	free(copy);
	return result;
}
