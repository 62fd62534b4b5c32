/* What the desktop guest does below X: tells what its input devices report, draws on and reads back
 * its frame buffer, and sets modes through KMS. One static program, so that the initrd's system can
 * run it as well.
 *
 * Output is lines. A picture is told as one CRC-32 for each row, taken over its pixels as red,
 * green, blue bytes, so that whoever sees the guest's screen from outside can compare every pixel
 * and name the row that differs. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fb.h>
#include <linux/input.h>
#include <linux/kd.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <drm.h>
#include <drm_mode.h>

#include "desktop_guest_pattern.h"

static int fail(const char *what)
{
	printf("agent: %s: %s\n", what, strerror(errno));
	return 1;
}

/* ---- evdev ---- */

enum {
	MAX_DEVICES = 32
};

static void open_inputs(struct pollfd *polls)
{
	char path[64];
	char name[80];

	for (int n = 0; n < MAX_DEVICES; n++) {
		if (polls[n].fd >= 0)
			continue;
		snprintf(path, sizeof(path), "/dev/input/event%d", n);
		polls[n].fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		polls[n].events = POLLIN;
		if (polls[n].fd < 0)
			continue;
		memset(name, 0, sizeof(name));
		ioctl(polls[n].fd, EVIOCGNAME(sizeof(name) - 1), name);
		printf("device %d %s\n", n, name);
	}
	fflush(stdout);
}

/* Everything but what the kernel makes of the keyboard's own codes (EV_MSC) and its repeating. */
static void print_events(struct pollfd *device, int number)
{
	struct input_event events[64];
	ssize_t got;

	while ((got = read(device->fd, events, sizeof(events))) > 0) {
		for (size_t i = 0; i < (size_t)got / sizeof(events[0]); i++) {
			const struct input_event *event = &events[i];

			if (event->type == EV_SYN && event->code == SYN_DROPPED)
				printf("%d dropped\n", number);
			else if (event->type == EV_KEY && event->value != 2)
				printf("%d key %u %d\n", number, event->code, event->value);
			else if (event->type == EV_REL)
				printf("%d rel %u %d\n", number, event->code, event->value);
			else if (event->type == EV_ABS)
				printf("%d abs %u %d\n", number, event->code, event->value);
			else if (event->type == EV_LED)
				printf("%d led %u %d\n", number, event->code, event->value);
		}
	}
	if (got < 0 && errno == ENODEV) {
		printf("device %d gone\n", number);
		close(device->fd);
		device->fd = -1;
	}
}

/* Until killed: every event of every input device, also of those that come later. The kernel keeps
 * some ten keys for a reader that does not come, so this one goes before everybody else. */
static int watch(void)
{
	const struct sched_param first = { .sched_priority = 50 };
	struct pollfd polls[MAX_DEVICES + 1];
	char news[4096];

	sched_setscheduler(0, SCHED_FIFO, &first);
	for (int n = 0; n < MAX_DEVICES; n++)
		polls[n].fd = -1;
	polls[MAX_DEVICES].fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	polls[MAX_DEVICES].events = POLLIN;
	if (inotify_add_watch(polls[MAX_DEVICES].fd, "/dev/input", IN_CREATE | IN_ATTRIB) < 0)
		return fail("/dev/input");
	open_inputs(polls);
	for (;;) {
		poll(polls, MAX_DEVICES + 1, -1);
		if (polls[MAX_DEVICES].revents &&
			read(polls[MAX_DEVICES].fd, news, sizeof(news)) > 0)
			open_inputs(polls);
		for (int n = 0; n < MAX_DEVICES; n++)
			if (polls[n].fd >= 0 && polls[n].revents)
				print_events(&polls[n], n);
		fflush(stdout);
	}
}

/* Keys until Escape is let go, kept here and told at the end: how many, their CRC-32 as that of a
 * record in test_keyboard.py (16 bits each: the code, and 4000h for a press), how often the kernel
 * has dropped events and how many there were at most in one reading. */
static int record_keys(const char *device)
{
	enum {
		MAX_RECORD = 65536
	};
	static uint16_t record[MAX_RECORD];
	struct input_event events[64];
	unsigned count = 0, dropped = 0, most = 0;
	const int fd = open(device, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return fail(device);
	printf("recording\n");
	fflush(stdout);
	while (!count || record[count - 1] != KEY_ESC) {
		const ssize_t got = read(fd, events, sizeof(events));
		const unsigned n = got > 0 ? (unsigned)((size_t)got / sizeof(events[0])) : 0;

		if (!n || count + n > MAX_RECORD)
			return fail(device);
		most = n > most ? n : most;
		for (unsigned i = 0; i < n; i++) {
			const struct input_event *event = &events[i];

			if (event->type == EV_SYN && event->code == SYN_DROPPED)
				dropped++;
			else if (event->type == EV_KEY && event->value != 2)
				record[count++] =
					(uint16_t)(event->code | (event->value ? 0x4000 : 0));
		}
	}
	printf("recorded %u %08x dropped %u most %u\n", count,
		crc32_of((const uint8_t *)record, count * sizeof(record[0])), dropped, most);
	return 0;
}

/* ---- the frame buffer device ---- */

struct framebuffer {
	int fd;
	struct fb_var_screeninfo var;
	struct fb_fix_screeninfo fix;
	uint8_t *memory;
};

static int open_framebuffer(struct framebuffer *fb)
{
	fb->fd = open("/dev/fb0", O_RDWR | O_CLOEXEC);
	if (fb->fd < 0 || ioctl(fb->fd, FBIOGET_VSCREENINFO, &fb->var) ||
		ioctl(fb->fd, FBIOGET_FSCREENINFO, &fb->fix))
		return fail("/dev/fb0");
	fb->memory = mmap(NULL, fb->fix.smem_len, PROT_READ | PROT_WRITE, MAP_SHARED, fb->fd, 0);
	return fb->memory == MAP_FAILED ? fail("mmap of /dev/fb0") : 0;
}

static bool has_palette(const struct framebuffer *fb)
{
	return fb->fix.visual == FB_VISUAL_PSEUDOCOLOR;
}

static uint32_t field_put(struct fb_bitfield field, uint32_t value)
{
	return field.length ? value >> (8 - field.length) << field.offset : 0;
}

/* 5 or 6 bits made 8 by repeating the upper ones. */
static uint8_t field_get(struct fb_bitfield field, uint32_t pixel)
{
	uint32_t value = pixel >> field.offset & ((1u << field.length) - 1);

	value <<= 8 - field.length;
	return (uint8_t)(value | value >> field.length);
}

static uint8_t *pixel_at(const struct framebuffer *fb, uint32_t x, uint32_t y)
{
	return fb->memory + (size_t)y * fb->fix.line_length +
	       (size_t)x * fb->var.bits_per_pixel / 8;
}

static void palette_entry(uint32_t index, uint16_t rgb[3])
{
	/* The DAC holds 6 bits; a colour that needs no more survives it. */
	rgb[0] = (uint16_t)((index * 0x0404u) & 0xfc00u);
	rgb[1] = (uint16_t)(((255 - index) * 0x0808u) & 0xfc00u);
	rgb[2] = (uint16_t)((index * 0x1c1cu) & 0xfc00u);
}

static int framebuffer_palette(const struct framebuffer *fb, bool set, uint16_t colours[3][256])
{
	struct fb_cmap map = {
		.len = 256, .red = colours[0], .green = colours[1], .blue = colours[2]
	};

	for (uint32_t i = 0; set && i < 256; i++) {
		uint16_t rgb[3];

		palette_entry(i, rgb);
		for (int c = 0; c < 3; c++)
			colours[c][i] = rgb[c];
	}
	return ioctl(fb->fd, set ? FBIOPUTCMAP : FBIOGETCMAP, &map) ? fail("palette") : 0;
}

/* The pattern on the whole virtual screen; with a palette, the pattern's red is the index. */
static int framebuffer_draw(const struct framebuffer *fb, uint32_t seed)
{
	uint16_t colours[3][256];

	if (has_palette(fb) && framebuffer_palette(fb, true, colours))
		return 1;
	for (uint32_t y = 0; y < fb->var.yres_virtual; y++) {
		for (uint32_t x = 0; x < fb->var.xres; x++) {
			uint32_t rgb = pattern_pixel(x, y, seed);
			uint32_t value =
				has_palette(fb) ? rgb >> 16
						: field_put(fb->var.red, rgb >> 16) |
							  field_put(fb->var.green, rgb >> 8 & 255) |
							  field_put(fb->var.blue, rgb & 255);

			memcpy(pixel_at(fb, x, y), &value, fb->var.bits_per_pixel / 8);
		}
	}
	return 0;
}

static int framebuffer_rows(const struct framebuffer *fb)
{
	uint16_t colours[3][256];
	uint8_t *row = malloc((size_t)fb->var.xres * 3);

	if (!row || (has_palette(fb) && framebuffer_palette(fb, false, colours)))
		return 1;
	for (uint32_t y = 0; y < fb->var.yres; y++) {
		for (uint32_t x = 0; x < fb->var.xres; x++) {
			uint32_t value = 0;

			memcpy(&value, pixel_at(fb, x, y + fb->var.yoffset),
				fb->var.bits_per_pixel / 8);
			for (int c = 0; c < 3 && has_palette(fb); c++)
				row[x * 3 + (uint32_t)c] = (uint8_t)(colours[c][value] >> 10 << 2 |
								     colours[c][value] >> 14);
			if (!has_palette(fb)) {
				row[x * 3] = field_get(fb->var.red, value);
				row[x * 3 + 1] = field_get(fb->var.green, value);
				row[x * 3 + 2] = field_get(fb->var.blue, value);
			}
		}
		print_row(row, (size_t)fb->var.xres * 3);
	}
	free(row);
	return 0;
}

static int framebuffer(int argc, char **argv)
{
	struct framebuffer fb;
	const char *what = argc > 2 ? argv[2] : "info";
	uint32_t value = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 0) : 0;

	if (open_framebuffer(&fb))
		return 1;
	if (!strcmp(what, "info")) {
		printf("%s %ux%u virtual %ux%u bits %u stride %u\n", fb.fix.id, fb.var.xres,
			fb.var.yres, fb.var.xres_virtual, fb.var.yres_virtual,
			fb.var.bits_per_pixel, fb.fix.line_length);
		return 0;
	}
	if (!strcmp(what, "draw"))
		return framebuffer_draw(&fb, value);
	if (!strcmp(what, "rows"))
		return framebuffer_rows(&fb);
	printf("agent: fb %s is unknown\n", what);
	return 2;
}

/* The console's text out of the way (1), or back (0): what is drawn stays as it is. */
static int graphics(bool on)
{
	int tty = open("/dev/tty1", O_RDWR | O_CLOEXEC);

	return tty < 0 || ioctl(tty, KDSETMODE, (long)(on ? KD_GRAPHICS : KD_TEXT))
		       ? fail("/dev/tty1")
		       : 0;
}

/* The console blanks, as it does by itself after a while, or shows again. TIOCLINUX,
 * ioctl_console(2). */
static int blank_console(bool on)
{
	char subcode = on ? 14 : 4;
	int tty = open("/dev/tty1", O_RDWR | O_CLOEXEC);

	return tty < 0 || ioctl(tty, TIOCLINUX, &subcode) ? fail("blank") : 0;
}

/* ---- KMS ---- */

enum {
	BUFFERS = 2,
	MAX_MODES = 64
};

struct kms {
	int fd;
	uint32_t crtc, connector;
	struct drm_mode_modeinfo modes[MAX_MODES];
	uint32_t mode_count;
	struct {
		uint32_t handle, id, width, height, pitch;
		uint8_t *memory;
		uint64_t size;
	} buffers[BUFFERS];
	int shown;
};

static int kms_open(struct kms *kms)
{
	uint32_t crtcs[8], connectors[8], encoders[8];
	struct drm_mode_card_res resources = { .crtc_id_ptr = (uintptr_t)crtcs,
		.connector_id_ptr = (uintptr_t)connectors,
		.encoder_id_ptr = (uintptr_t)encoders,
		.count_crtcs = 8,
		.count_connectors = 8,
		.count_encoders = 8 };
	struct drm_mode_get_connector connector = { .modes_ptr = (uintptr_t)kms->modes };

	memset(kms->buffers, 0, sizeof(kms->buffers));
	kms->fd = open("/dev/dri/card0", O_RDWR | O_CLOEXEC);
	if (kms->fd < 0 || ioctl(kms->fd, DRM_IOCTL_SET_MASTER, 0) ||
		ioctl(kms->fd, DRM_IOCTL_MODE_GETRESOURCES, &resources))
		return fail("/dev/dri/card0");
	kms->crtc = crtcs[0];
	kms->connector = connector.connector_id = connectors[0];
	/* Asked without room first, the kernel reads the monitor's modes anew. */
	if (ioctl(kms->fd, DRM_IOCTL_MODE_GETCONNECTOR, &connector))
		return fail("connector");
	if (connector.count_modes > MAX_MODES)
		connector.count_modes = MAX_MODES;
	connector.count_props = connector.count_encoders = 0;
	if (ioctl(kms->fd, DRM_IOCTL_MODE_GETCONNECTOR, &connector))
		return fail("modes");
	kms->mode_count = connector.count_modes < MAX_MODES ? connector.count_modes : MAX_MODES;
	return 0;
}

static void kms_release(struct kms *kms, int n)
{
	struct drm_mode_destroy_dumb destroy = { .handle = kms->buffers[n].handle };

	if (!kms->buffers[n].handle)
		return;
	munmap(kms->buffers[n].memory, kms->buffers[n].size);
	ioctl(kms->fd, DRM_IOCTL_MODE_RMFB, &kms->buffers[n].id);
	ioctl(kms->fd, DRM_IOCTL_MODE_DESTROY_DUMB, &destroy);
	memset(&kms->buffers[n], 0, sizeof(kms->buffers[n]));
}

static int kms_buffer(struct kms *kms, int n, uint32_t width, uint32_t height, uint32_t seed)
{
	struct drm_mode_create_dumb create = { .width = width, .height = height, .bpp = 32 };
	struct drm_mode_map_dumb map = { 0 };
	struct drm_mode_fb_cmd fb = { .width = width, .height = height, .bpp = 32, .depth = 24 };

	kms_release(kms, n);
	if (ioctl(kms->fd, DRM_IOCTL_MODE_CREATE_DUMB, &create))
		return fail("create dumb buffer");
	map.handle = fb.handle = create.handle;
	fb.pitch = create.pitch;
	if (ioctl(kms->fd, DRM_IOCTL_MODE_MAP_DUMB, &map) ||
		ioctl(kms->fd, DRM_IOCTL_MODE_ADDFB, &fb))
		return fail("frame buffer");
	kms->buffers[n].memory = mmap(
		NULL, create.size, PROT_READ | PROT_WRITE, MAP_SHARED, kms->fd, (off_t)map.offset);
	if (kms->buffers[n].memory == MAP_FAILED)
		return fail("mmap of a dumb buffer");
	kms->buffers[n].handle = create.handle;
	kms->buffers[n].id = fb.fb_id;
	kms->buffers[n].size = create.size;
	kms->buffers[n].width = width;
	kms->buffers[n].height = height;
	kms->buffers[n].pitch = create.pitch;
	for (uint32_t y = 0; y < height; y++) {
		uint32_t *row =
			(uint32_t *)(void *)(kms->buffers[n].memory + (size_t)y * create.pitch);

		for (uint32_t x = 0; x < width; x++)
			row[x] = pattern_pixel(x, y, seed);
	}
	return 0;
}

static void kms_rows(const struct kms *kms)
{
	uint32_t width = kms->buffers[kms->shown].width;
	uint8_t *bytes = malloc((size_t)width * 3);

	for (uint32_t y = 0; bytes && y < kms->buffers[kms->shown].height; y++) {
		const uint8_t *row = kms->buffers[kms->shown].memory +
				     (size_t)y * kms->buffers[kms->shown].pitch;

		for (uint32_t x = 0; x < width; x++)
			for (uint32_t c = 0; c < 3; c++)
				bytes[x * 3 + c] = row[x * 4 + 2 - c];
		print_row(bytes, (size_t)width * 3);
	}
	free(bytes);
}

/* The mode of that size from the monitor's list, or else one made up: the card does not mind. */
static struct drm_mode_modeinfo kms_mode(const struct kms *kms, uint32_t width, uint32_t height)
{
	struct drm_mode_modeinfo made = { .clock = width * height / 1000 * 66,
		.hdisplay = (uint16_t)width,
		.hsync_start = (uint16_t)(width + 8),
		.hsync_end = (uint16_t)(width + 16),
		.htotal = (uint16_t)(width + 32),
		.vdisplay = (uint16_t)height,
		.vsync_start = (uint16_t)(height + 2),
		.vsync_end = (uint16_t)(height + 4),
		.vtotal = (uint16_t)(height + 8),
		.vrefresh = 60 };

	for (uint32_t n = 0; n < kms->mode_count; n++)
		if (kms->modes[n].hdisplay == width && kms->modes[n].vdisplay == height)
			return kms->modes[n];
	return made;
}

static int kms_set(struct kms *kms, uint32_t width, uint32_t height, uint32_t seed)
{
	struct drm_mode_modeinfo mode = kms_mode(kms, width, height);
	struct drm_mode_crtc crtc = { .crtc_id = kms->crtc,
		.set_connectors_ptr = (uintptr_t)&kms->connector,
		.count_connectors = 1,
		.mode = mode,
		.mode_valid = 1 };
	int next = kms->buffers[kms->shown].handle ? !kms->shown : kms->shown;

	if (kms_buffer(kms, next, width, height, seed))
		return 1;
	crtc.fb_id = kms->buffers[next].id;
	if (ioctl(kms->fd, DRM_IOCTL_MODE_SETCRTC, &crtc))
		return fail("set mode");
	kms->shown = next;
	kms_release(kms, !next);
	return 0;
}

/* A page flip to the other buffer, with the kernel's word that it has happened. */
static int kms_flip(struct kms *kms, uint32_t seed, bool draw)
{
	int next = !kms->shown;
	struct drm_mode_crtc_page_flip flip = { .crtc_id = kms->crtc,
		.flags = DRM_MODE_PAGE_FLIP_EVENT };
	char event[256];

	if (draw && kms_buffer(kms, next, kms->buffers[kms->shown].width,
			    kms->buffers[kms->shown].height, seed))
		return 1;
	flip.fb_id = kms->buffers[next].id;
	if (ioctl(kms->fd, DRM_IOCTL_MODE_PAGE_FLIP, &flip))
		return fail("page flip");
	if (read(kms->fd, event, sizeof(event)) <= 0)
		return fail("page flip event");
	kms->shown = next;
	return 0;
}

/* Lines in: "modes", "set WIDTH HEIGHT SEED", "flip SEED" (a new picture), "swap N" (to and fro
 * between the two), "rows", "quit"; after each "@kms STATUS". */
static int kms(void)
{
	static struct kms kms;
	char line[128];
	unsigned a = 0, b = 0, c = 0;
	int status = kms_open(&kms);

	printf("@kms %d\n", status);
	fflush(stdout);
	/* Unbuffered: what comes after "quit" is not ours. */
	setvbuf(stdin, NULL, _IONBF, 0);
	while (!status && fgets(line, sizeof(line), stdin)) {
		int result = 0;

		if (!strcmp(line, "quit\n"))
			break;
		if (!strcmp(line, "modes\n"))
			for (uint32_t n = 0; n < kms.mode_count; n++)
				printf("%ux%u@%u\n", kms.modes[n].hdisplay, kms.modes[n].vdisplay,
					kms.modes[n].vrefresh);
		else if (sscanf(line, "set %u %u %u", &a, &b, &c) == 3)
			result = kms_set(&kms, a, b, c);
		else if (sscanf(line, "flip %u", &a) == 1)
			result = kms_flip(&kms, a, true);
		else if (sscanf(line, "swap %u", &a) == 1)
			while (!result && a--)
				result = kms_flip(&kms, 0, false);
		else if (!strcmp(line, "rows\n"))
			kms_rows(&kms);
		else
			result = 2;
		printf("@kms %d\n", result);
		fflush(stdout);
	}
	return status;
}

/* The name of the device of a virtio port. */
static int port(const char *wanted)
{
	char path[300], name[80];
	struct dirent *entry;
	DIR *folder = opendir("/sys/class/virtio-ports");

	while (folder && (entry = readdir(folder))) {
		FILE *file;

		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (fgets(name, sizeof(name), file) && !strncmp(name, wanted, strlen(wanted)) &&
			name[strlen(wanted)] == '\n') {
			printf("/dev/%s\n", entry->d_name);
			return 0;
		}
		fclose(file);
	}
	return 1;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "watch"))
		return watch();
	if (!strcmp(what, "record") && argc > 2)
		return record_keys(argv[2]);
	if (!strcmp(what, "fb"))
		return framebuffer(argc, argv);
	if (!strcmp(what, "graphics"))
		return graphics(argc > 2 && !strcmp(argv[2], "1"));
	if (!strcmp(what, "blank"))
		return blank_console(argc > 2 && !strcmp(argv[2], "1"));
	if (!strcmp(what, "kms"))
		return kms();
	if (!strcmp(what, "port") && argc > 2)
		return port(argv[2]);
	printf("usage: agent watch | record DEVICE | fb info|draw SEED|rows | graphics 0|1 | "
	       "blank 0|1 | kms | port NAME\n");
	return 2;
}
