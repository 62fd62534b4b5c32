/* Sizes of windows, kept from run to run; see window_memory.h. */
#include "display/window_memory.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"

#define FILE_NAME     "windows"
#define NEW_FILE_NAME ".windows.new"
#define MAX_NAME      64u
#define MAX_LINE      128u
#define MAX_BYTES     ((WINDOW_MEMORY_MAX_GUESTS + 1) * MAX_LINE)

/* A name that can stand in a line, and is more than this process's number. */
static bool is_worth_it(const char *name)
{
	char of_process[MAX_NAME];

	if (!*name || strlen(name) > MAX_NAME)
		return false;
	for (const char *c = name; *c; c++) {
		if (!isgraph((unsigned char)*c))
			return false;
	}
	snprintf(of_process, sizeof(of_process), "guest-%ld", (long)getpid());
	return strcmp(name, of_process) != 0;
}

/* vmgui's folder for state, or -errno. Not one in a home of somebody else (sudo keeps HOME), where
 * its owner could have put anything. */
static int open_folder(bool create)
{
	const char *base = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	char path[PATH_MAX];
	struct stat st;
	int fd, length;

	if (base && *base == '/') {
		length = snprintf(path, sizeof(path), "%s/vmgui", base);
	} else if (home && *home == '/') {
		base = home;
		length = snprintf(path, sizeof(path), "%s/.local/state/vmgui", home);
	} else {
		return -ENOENT;
	}
	/* Folders made there would be ours, and in their owner's way. */
	if (stat(base, &st) == 0 && st.st_uid != geteuid())
		return -EPERM;
	if (length < 0 || (size_t)length >= sizeof(path))
		return -ENAMETOOLONG;
	for (char *slash = path; create && slash;) {
		slash = strchr(slash + 1, '/');
		if (slash)
			*slash = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST && !slash)
			return -errno;
		if (slash)
			*slash = '/';
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && !(st.st_mode & (S_IWGRP | S_IWOTH)))
		return fd;
	close(fd);
	return -EPERM;
}

/* The file as a string, or "" with nothing; text has MAX_BYTES + 1. */
static void read_file(int folder, char *text)
{
	int fd = openat(folder, FILE_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	size_t length = 0;
	ssize_t got;

	while (fd >= 0 && length < MAX_BYTES &&
		(got = read(fd, text + length, MAX_BYTES - length)) > 0)
		length += (size_t)got;
	text[length] = '\0';
	if (fd >= 0)
		close(fd);
}

/* A line without its end. False: not one of ours. name has MAX_NAME + 1. */
static bool parse_line(const char *line, char *name, struct window_memory *memory)
{
	struct window_memory found = { .scale = DISPLAY_SCALE_FIT, .scale_percent = 100 };
	char scale[16];
	int length = 0;

	if (strlen(line) >= MAX_LINE ||
		sscanf(line, "%64s %5ux%5u %15s%n", name, &found.width, &found.height, scale,
			&length) != 4 ||
		line[length])
		return false;
	if (found.width > WINDOW_MEMORY_MAX_SIZE || found.height > WINDOW_MEMORY_MAX_SIZE ||
		!found.width != !found.height)
		return false;
	if (!strcmp(scale, "integer")) {
		found.scale = DISPLAY_SCALE_INTEGER;
	} else if (strcmp(scale, "fit") != 0) {
		length = 0;
		found.scale = DISPLAY_SCALE_FIXED;
		if (sscanf(scale, "%3u%%%n", &found.scale_percent, &length) != 1 || !length ||
			scale[length] || found.scale_percent < 25 || found.scale_percent > 800)
			return false;
	}
	*memory = found;
	return true;
}

/* Calls for the lines of text one after the other; takes it to pieces. */
static char *next_line(char **text)
{
	char *line = *text, *end = strchr(line, '\n');

	if (!*line)
		return NULL;
	if (end)
		*end = '\0';
	*text = end ? end + 1 : line + strlen(line);
	return line;
}

bool window_memory_load(const char *guest_name, struct window_memory *memory)
{
	char text[MAX_BYTES + 1], name[MAX_NAME + 1], *rest = text, *line;
	int folder = is_worth_it(guest_name) ? open_folder(false) : -ENOENT;
	struct window_memory found;
	bool known = false;

	if (folder < 0)
		return false;
	read_file(folder, text);
	close(folder);
	while (!known && (line = next_line(&rest)))
		known = parse_line(line, name, &found) && !strcmp(name, guest_name);
	if (known)
		*memory = found;
	return known;
}

static void print_line(FILE *file, const char *name, const struct window_memory *memory)
{
	fprintf(file, "%s %ux%u ", name, memory->width, memory->height);
	if (memory->scale == DISPLAY_SCALE_FIXED)
		fprintf(file, "%u%%\n", memory->scale_percent);
	else
		fputs(memory->scale == DISPLAY_SCALE_INTEGER ? "integer\n" : "fit\n", file);
}

/* The guest's line and then those of others; text is taken to pieces. */
static int write_new_file(
	int folder, const char *guest_name, const struct window_memory *memory, char *text)
{
	int fd = openat(
		folder, NEW_FILE_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
	struct window_memory other;
	char name[MAX_NAME + 1], *line;
	int result = 0;

	if (!file) {
		result = -errno;
		if (fd >= 0)
			close(fd);
		return result;
	}
	print_line(file, guest_name, memory);
	for (unsigned kept = 1; kept < WINDOW_MEMORY_MAX_GUESTS && (line = next_line(&text));) {
		if (!parse_line(line, name, &other) || !strcmp(name, guest_name))
			continue;
		print_line(file, name, &other);
		kept++;
	}
	if (fflush(file) || ferror(file))
		result = -EIO;
	if (fclose(file) && !result)
		result = -errno;
	return result;
}

void window_memory_save(const char *guest_name, const struct window_memory *memory)
{
	char text[MAX_BYTES + 1];
	int folder, result = 0;

	if (!is_worth_it(guest_name))
		return;
	folder = open_folder(true);
	if (folder < 0) {
		log_debug("display", "no folder to remember a window in: %s", strerror(-folder));
		return;
	}
	/* Another vmgui may be at it; each adds to what the other has written. */
	if (flock(folder, LOCK_EX) < 0)
		result = -errno;
	if (!result) {
		read_file(folder, text);
		result = write_new_file(folder, guest_name, memory, text);
	}
	if (!result && renameat(folder, NEW_FILE_NAME, folder, FILE_NAME) < 0)
		result = -errno;
	if (result)
		log_debug("display", "the window is not remembered: %s", strerror(-result));
	close(folder);
}
