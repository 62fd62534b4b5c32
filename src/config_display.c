/* The display options: values of their own kinds, and what they have to do with each other. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

#define SCALE_MIN_PERCENT 25u
#define SCALE_MAX_PERCENT 800u

static int wrong_scale(const char *value, struct error *err)
{
	return error_set(err, EINVAL,
		"--scale %s: not a scale (write fit, integer, or a factor from 0.25 to 8, for "
		"example 1.5)",
		value);
}

int config_parse_scale(const char *value, void *field, struct error *err)
{
	struct display_settings *settings = container_of(field, struct display_settings, scale);
	unsigned whole, hundredths = 0;
	const char *at = value;

	settings->scale_given = true;
	settings->scale_percent = 100;
	if (!strcmp(value, "fit") || !strcmp(value, "integer")) {
		settings->scale = *value == 'f' ? DISPLAY_SCALE_FIT : DISPLAY_SCALE_INTEGER;
		return 0;
	}
	/* By hand: strtod would ask the locale what a decimal point is, and know "infinity". */
	if (*at < '0' || *at > '9')
		return wrong_scale(value, err);
	whole = (unsigned)(*at++ - '0');
	if (*at == '.') {
		at++;
		for (unsigned weight = 10; weight && *at >= '0' && *at <= '9'; weight /= 10)
			hundredths += weight * (unsigned)(*at++ - '0');
	}
	settings->scale = DISPLAY_SCALE_FIXED;
	settings->scale_percent = whole * 100 + hundredths;
	if (*at || settings->scale_percent < SCALE_MIN_PERCENT ||
		settings->scale_percent > SCALE_MAX_PERCENT)
		return wrong_scale(value, err);
	return 0;
}

int config_parse_filter(const char *value, void *field, struct error *err)
{
	enum display_filter *filter = field;

	if (!strcmp(value, "auto"))
		*filter = DISPLAY_FILTER_AUTO;
	else if (!strcmp(value, "nearest"))
		*filter = DISPLAY_FILTER_NEAREST;
	else if (!strcmp(value, "smooth"))
		*filter = DISPLAY_FILTER_SMOOTH;
	else
		return error_set(err, EINVAL,
			"--filter %s: not a filter (write auto, nearest or smooth)", value);
	return 0;
}

int config_parse_lock_keys(const char *value, void *field, struct error *err)
{
	if (strcmp(value, "sync") != 0 && strcmp(value, "guest") != 0)
		return error_set(
			err, EINVAL, "--lock-keys %s: not a choice (write sync or guest)", value);
	*(bool *)field = *value == 's';
	return 0;
}

int config_parse_release_key(const char *value, void *field, struct error *err)
{
	return chord_parse(value, "--release-key", field, err);
}

static int check_video(const struct config *config, struct error *err)
{
	const struct resolution *size = &config->resolution;
	uint64_t needed = (uint64_t)size->width * size->height * 4;

	if (config->vram_bytes & (config->vram_bytes - 1))
		return error_set(err, EINVAL,
			"--vram: %llu MiB is not a power of two (write 4, 8, 16, 32, 64, 128 or "
			"256)",
			(unsigned long long)(config->vram_bytes >> 20));
	if (size->width && config->vidmode)
		return error_set(err, EINVAL,
			"--vidmode: it contradicts --resolution (leave one of them out)");
	if (needed > config->vram_bytes)
		return error_set(err, EINVAL,
			"--resolution %ux%u: it does not fit into %llu MiB of video memory at 32 "
			"bits a pixel (give more with --vram)",
			size->width, size->height, (unsigned long long)(config->vram_bytes >> 20));
	return 0;
}

static bool is_release_key_usual(const struct key_chord *chord)
{
	return strcmp(chord->text, display_settings_default.release.text) == 0;
}

/* An option about windows where there can be none, about VNC where that is not served, or about
 * keys where there is neither would be ignored, which nobody means. */
static int check_unused(const struct config *config, struct error *err)
{
	const struct display_settings *display = &config->display;
	bool chosen = config->sdl || config->gtk || config->vnc.given;
	bool none = !chosen && (config->headless || config->nodefaults);
	bool no_window = none || (chosen && !config->sdl && !config->gtk);
	bool no_vnc = none || (chosen && !config->vnc.given);
	const char *window_option = display->keep_open                         ? "keep-open"
				    : display->fullscreen                      ? "fullscreen"
				    : display->scale_given                     ? "scale"
				    : display->filter                          ? "filter"
				    : !is_release_key_usual(&display->release) ? "release-key"
									       : NULL;
	const char *vnc_option = display->vnc_password_file  ? "vnc-password-file"
				 : display->vnc_allow_remote ? "vnc-allow-remote"
							     : NULL;
	const char *key_option = config->keymap         ? "keymap"
				 : !display->sync_locks ? "lock-keys"
							: NULL;

	if (no_window && window_option)
		return error_set(err, EINVAL, "--%s: there is no window (add --sdl or --gtk)",
			window_option);
	if (no_vnc && vnc_option)
		return error_set(err, EINVAL, "--%s: VNC is not served (add --vnc)", vnc_option);
	if (none && key_option)
		return error_set(err, EINVAL,
			"--%s: there is nothing to type at (add --sdl, --gtk or --vnc)",
			key_option);
	return 0;
}

int config_check_display(const struct config *config, struct error *err)
{
	int ret;

	ret = check_unused(config, err);
	return ret ? ret : check_video(config, err);
}
