/* PNG files: written whole or not at all, right to the pixel; and the display that is one. */
#include "cmocka_all.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "display/backend.h"
#include "display/png_file.h"
#include "display/surface.h"
#include "display_conformance.h"

static char folder[] = "/tmp/vmgui-test-XXXXXX";
static char path[sizeof(folder) + 16];

static bool read_png(const char *name, struct display_picture *picture)
{
	png_image image = { .version = PNG_IMAGE_VERSION };

	if (!png_image_begin_read_from_file(&image, name))
		return false;
	image.format = PNG_FORMAT_BGRA; /* 0xAARRGGBB in memory */
	picture->width = image.width;
	picture->height = image.height;
	picture->pixels = malloc(PNG_IMAGE_SIZE(image));
	if (!png_image_finish_read(&image, NULL, picture->pixels, 0, NULL))
		return false;
	for (size_t i = 0; i < (size_t)picture->width * picture->height; i++)
		picture->pixels[i] &= 0xffffff;
	return true;
}

static unsigned files_in_folder(void)
{
	DIR *dir = opendir(folder);
	unsigned count = 0;

	for (struct dirent *entry; (entry = readdir(dir));)
		count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
	closedir(dir);
	return count;
}

static void png_file_holds_the_pixels(void **state)
{
	uint32_t pixels[5 * 4]; /* a row of the picture is 3 of 4 */
	struct display_picture read = { .pixels = NULL };
	struct error err;

	(void)state;
	for (uint32_t i = 0; i < array_size(pixels); i++)
		pixels[i] = 0xff000000 | i * 0x0b0703; /* what is above the colours is not shown */
	assert_int_equal(png_file_write(path, pixels, 3, 5, 4, &err), 0);
	assert_true(read_png(path, &read));
	assert_int_equal(read.width, 3);
	assert_int_equal(read.height, 5);
	for (uint32_t y = 0; y < 5; y++) {
		for (uint32_t x = 0; x < 3; x++)
			assert_int_equal(read.pixels[y * 3 + x], pixels[y * 4 + x] & 0xffffff);
	}
	free(read.pixels);
	assert_int_equal(files_in_folder(), 1);
	unlink(path);
}

static void png_file_replaces_and_keeps_a_link(void **state)
{
	const uint32_t red = 0xff0000, blue = 0x0000ff;
	struct display_picture read = { .pixels = NULL };
	char link_path[sizeof(path) + 8];
	struct stat status;
	struct error err;

	(void)state;
	snprintf(link_path, sizeof(link_path), "%s/link.png", folder);
	assert_int_equal(png_file_write(path, &red, 1, 1, 1, &err), 0);
	assert_int_equal(symlink(path, link_path), 0);
	assert_int_equal(png_file_write(link_path, &blue, 1, 1, 1, &err), 0);
	assert_int_equal(lstat(link_path, &status), 0);
	assert_true(S_ISLNK(status.st_mode));
	assert_true(read_png(path, &read));
	assert_int_equal(read.pixels[0], blue);
	free(read.pixels);
	unlink(link_path);
	unlink(path);
}

static void png_file_into_a_device_does_not_replace_it(void **state)
{
	const uint32_t red = 0xff0000;
	struct stat status;
	struct error err;

	(void)state;
	assert_int_equal(png_file_check("/dev/null", &err), 0);
	assert_int_equal(png_file_write("/dev/null", &red, 1, 1, 1, &err), 0);
	assert_int_equal(stat("/dev/null", &status), 0);
	assert_true(S_ISCHR(status.st_mode));
	if (access("/dev/full", W_OK) == 0)
		assert_int_equal(png_file_write("/dev/full", &red, 1, 1, 1, &err), -ENOSPC);
}

static void png_file_impossible_place_is_one_line(void **state)
{
	static const char *const wrong[] = { "/nonexistent/folder/a.png", "", "/tmp/", "/tmp" };
	const uint32_t red = 0xff0000;

	(void)state;
	for (size_t i = 0; i < array_size(wrong); i++) {
		struct error err = { .text = "" };

		assert_true(png_file_check(wrong[i], &err) < 0);
		assert_non_null(strstr(err.text, wrong[i]));
		assert_null(strchr(err.text, '\n'));
		assert_true(png_file_write(wrong[i], &red, 1, 1, 1, &err) < 0);
	}
}

static void png_file_of_an_empty_surface_is_refused(void **state)
{
	struct surface *surface = surface_create();
	uint32_t *pixels, stride;
	struct error err;

	(void)state;
	assert_int_equal(png_file_write_surface(path, surface, &err), -ENODATA);
	assert_int_equal(files_in_folder(), 0);
	assert_int_equal(surface_write_begin(surface, 20, 10, &pixels, &stride), 0);
	surface_write_end(surface, NULL, 0);
	assert_int_equal(png_file_write_surface(path, surface, &err), 0);
	surface_destroy(surface);
	unlink(path);
}

static bool capture(void *opaque, struct display_picture *picture)
{
	(void)opaque;
	return read_png(path, picture);
}

static enum vm_state state_running(void *opaque)
{
	(void)opaque;
	return VM_RUNNING;
}

/* A FIFO that nobody reads is a display that does not answer. */
static void backend_that_does_not_answer_is_given_up(void **state)
{
	static const struct vm_control control = { .state = state_running };
	struct surface *surface = surface_create();
	struct display_host host = { .surface = surface, .control = &control, .guest_name = "x" };
	struct display_backend *backend;
	uint32_t *pixels, stride;
	struct error err;
	char bytes[4096];
	int fd;

	(void)state;
	assert_int_equal(surface_write_begin(surface, 8, 8, &pixels, &stride), 0);
	surface_write_end(surface, &(struct rect){ 0, 0, 8, 8 }, 1);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(backend_create("png", &host, &backend, &err), 0);
	assert_int_equal(backend_start(backend, path, &err), 0);
	assert_int_equal(backend_stop_within(backend, 1), -ETIMEDOUT);
	fd = open(path, O_RDONLY);
	while (read(fd, bytes, sizeof(bytes)) > 0)
		;
	close(fd);
	assert_int_equal(backend_stop_within(backend, 20), 0);
	backend_destroy(backend);
	surface_destroy(surface);
	unlink(path);
}

/* The file's folder is gone, and comes back. */
static void hide_folder(void *opaque, bool hidden)
{
	char away[sizeof(folder) + 8];

	(void)opaque;
	snprintf(away, sizeof(away), "%s.away", folder);
	assert_int_equal(hidden ? rename(folder, away) : rename(away, folder), 0);
}

int main(void)
{
	const struct display_conformance png = { .backend = "png",
		.argument = path,
		.capture = capture,
		.capture_at_end = true,
		.wrong_argument = "/nonexistent/folder/shot.png",
		.disturb = hide_folder };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backend_that_does_not_answer_is_given_up),
		cmocka_unit_test(png_file_holds_the_pixels),
		cmocka_unit_test(png_file_replaces_and_keeps_a_link),
		cmocka_unit_test(png_file_into_a_device_does_not_replace_it),
		cmocka_unit_test(png_file_impossible_place_is_one_line),
		cmocka_unit_test(png_file_of_an_empty_surface_is_refused),
	};
	int failed;

	if (!mkdtemp(folder))
		return 1;
	snprintf(path, sizeof(path), "%s/shot.png", folder);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	failed += display_conformance_run(&png);
	unlink(path);
	rmdir(folder);
	return failed;
}
