/* config: defaults, what contradicts what, names and resolutions; and privileges' checks. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "config.h"
#include "privileges.h"

#define WORDS(...)                                                                                 \
	(int)(array_size(((const char *[]){ __VA_ARGS__ }))), (char *[])                           \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

static const struct config *parse(int argc, char *const *argv)
{
	static struct config config;
	struct error err = { .text = "" };

	config_fini(&config); /* the last one's */
	if (config_parse(argc, argv, &config, &err))
		fail_msg("%s", err.text);
	return &config;
}

static const char *complaint(int argc, char *const *argv)
{
	static struct error err;
	struct config config;

	err.text[0] = 0;
	assert_int_equal(config_parse(argc, argv, &config, &err), -EINVAL);
	config_fini(&config);
	assert_true(strchr(err.text, '(') && strchr(err.text, ')'));
	return err.text;
}

static void assert_begins(const char *text, const char *beginning)
{
	if (strncmp(text, beginning, strlen(beginning)))
		fail_msg("\"%s\" does not begin with \"%s\"", text, beginning);
}

static void config_defaults_suit_the_host(void **state)
{
	const struct config *config = parse(0, NULL);
	char name[32];

	(void)state;
	snprintf(name, sizeof(name), "guest-%d", (int)getpid());
	assert_string_equal(config->name, name);
	assert_string_equal(config->kvm_path, "/dev/kvm");
	assert_in_range(config->cpus, 1, 4);
	assert_in_range(config->memory_bytes, MIB(64), GIB(1));
	assert_int_equal(config->memory_bytes % MIB(1), 0);
	assert_null(config->kernel);
	assert_null(config->params);
	assert_null(config->screenshot);
	assert_false(config->sdl || config->headless || config->vnc.given || config->no_reboot ||
		     config->exit_port || config->debug || config->help);
	assert_int_equal(config->resolution.width, 0);
	assert_int_equal(config->vidmode, 0);
	assert_int_equal(config->timeout_seconds, 0);
}

static void config_scale_is_a_word_or_a_factor(void **state)
{
	static const struct {
		const char *text;
		enum display_scale scale;
		unsigned percent;
	} good[] = {
		{ "fit", DISPLAY_SCALE_FIT, 100 },
		{ "integer", DISPLAY_SCALE_INTEGER, 100 },
		{ "1", DISPLAY_SCALE_FIXED, 100 },
		{ "1.5", DISPLAY_SCALE_FIXED, 150 },
		{ "2.", DISPLAY_SCALE_FIXED, 200 },
		{ "0.25", DISPLAY_SCALE_FIXED, 25 },
		{ "8.00", DISPLAY_SCALE_FIXED, 800 },
	};
	static const char *const bad[] = { "", "0", "0.24", "8.01", "9", "10", "-1", "1x", ".5",
		"1.255", "inf", "fits", "1,5", "99999999999" };

	(void)state;
	assert_false(parse(0, NULL)->display.scale_given);
	assert_int_equal(parse(0, NULL)->display.scale, DISPLAY_SCALE_FIT);
	for (size_t i = 0; i < array_size(good); i++) {
		const struct config *config = parse(WORDS("--scale", (char *)good[i].text));

		assert_true(config->display.scale_given);
		assert_int_equal(config->display.scale, good[i].scale);
		assert_int_equal(config->display.scale_percent, good[i].percent);
	}
	for (size_t i = 0; i < array_size(bad); i++)
		assert_begins(complaint(WORDS("--scale", (char *)bad[i])), "--scale ");
}

static void config_display_words_are_known(void **state)
{
	(void)state;
	assert_int_equal(
		parse(WORDS("--filter", "nearest"))->display.filter, DISPLAY_FILTER_NEAREST);
	assert_int_equal(parse(WORDS("--filter=smooth"))->display.filter, DISPLAY_FILTER_SMOOTH);
	assert_begins(complaint(WORDS("--filter", "sharp")), "--filter sharp: not a filter");
	assert_true(parse(0, NULL)->display.sync_locks);
	assert_false(parse(WORDS("--lock-keys", "guest"))->display.sync_locks);
	assert_begins(complaint(WORDS("--lock-keys", "host")), "--lock-keys host: ");
	assert_string_equal(parse(0, NULL)->display.release.text, "Ctrl-Alt-G");
	assert_string_equal(parse(WORDS("--release-key", "ctrl-shift-f12"))->display.release.text,
		"Ctrl-Shift-F12");
	assert_begins(complaint(WORDS("--release-key", "ctrl-")), "--release-key ctrl-: ");
	assert_null(parse(0, NULL)->keymap);
	assert_string_equal(parse(WORDS("--keymap", "de"))->keymap, "de");
}

static void config_display_options_that_nothing_would_use_are_refused(void **state)
{
	(void)state;
	assert_begins(complaint(WORDS("--vnc", "--keep-open")), "--keep-open: there is no window");
	assert_begins(complaint(WORDS("--headless", "--fullscreen")), "--fullscreen: there is no");
	assert_begins(complaint(WORDS("--nodefaults", "--scale=2")), "--scale: there is no window");
	assert_begins(complaint(WORDS("--sdl", "--vnc-allow-remote")),
		"--vnc-allow-remote: VNC is not served");
	assert_begins(complaint(WORDS("--headless", "--vnc-password-file", "f")),
		"--vnc-password-file: VNC is not served");
	assert_begins(complaint(WORDS("--vnc", "--release-key=pause")),
		"--release-key: there is no window");
	assert_begins(complaint(WORDS("--headless", "--keymap", "de")),
		"--keymap: there is nothing to type at");
	assert_begins(complaint(WORDS("--nodefaults", "--lock-keys=guest")),
		"--lock-keys: there is nothing to type at");
	assert_string_equal(parse(WORDS("--headless", "--vnc", "--keymap", "de"))->keymap, "de");
	/* What the displays will be is not known yet: none was chosen. */
	assert_true(parse(WORDS("--keep-open", "--vnc-allow-remote"))->display.keep_open);
	assert_true(parse(WORDS("--gtk", "--vnc", "--scale", "2"))->gtk);
}

static void config_default_cpus_are_those_that_may_be_used(void **state)
{
	cpu_set_t all, one;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	CPU_ZERO(&one);
	for (size_t i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++) {
		if (CPU_ISSET(i, &all))
			CPU_SET(i, &one);
	}
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(parse(0, NULL)->cpus, 1);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
	assert_int_equal(parse(WORDS("--cpus=255"))->cpus, 255);
}

static void config_memory_is_taken_as_asked(void **state)
{
	(void)state;
	assert_int_equal(parse(WORDS("-m4"))->memory_bytes, MIB(4));
	assert_int_equal(parse(WORDS("-m", "4097K"))->memory_bytes, KIB(4096)); /* whole pages */
	assert_int_equal(parse(WORDS("--mem=1T"))->memory_bytes, GIB(1024));
	assert_begins(complaint(WORDS("-m3")), "--mem 3: out of range");
	assert_begins(complaint(WORDS("-m", "0x10T")), "--mem 0x10T: out of range");
	assert_begins(complaint(WORDS("-c", "256")), "--cpus 256: out of range");
}

static void config_kernel_is_option_or_operand(void **state)
{
	(void)state;
	assert_string_equal(parse(WORDS("vmlinuz"))->kernel, "vmlinuz");
	assert_string_equal(parse(WORDS("-k", "vmlinuz", "-i", "initrd"))->kernel, "vmlinuz");
	assert_string_equal(parse(WORDS("-i", "initrd", "vmlinuz"))->initrd, "initrd");
	assert_begins(complaint(WORDS("-k", "one", "two")), "two: there is a kernel already");
	assert_begins(complaint(WORDS("-i", "initrd")), "--initrd initrd: there is no kernel");
}

static void config_disks_are_kept_in_their_order(void **state)
{
	const struct config *config = parse(WORDS("-k", "vmlinuz", "-d", "a.img,ro,serial=one",
		"--disk=b.qcow2,snapshot,cache=direct,backing=a,,b,backing-format=raw", "-d",
		"c,backing=allow,format=qcow2", "--disk", "d"));
	const struct config_disk *disks = config->disks.disks;

	(void)state;
	assert_int_equal(config->disks.count, 4);
	assert_string_equal(disks[0].image.path, "a.img");
	assert_true(disks[0].image.read_only);
	assert_string_equal(disks[0].serial, "one");
	assert_int_equal(disks[0].image.format, BLOCK_FORMAT_BY_NAME);
	assert_true(disks[1].image.snapshot);
	assert_int_equal(disks[1].image.cache, BLOCK_CACHE_DIRECT);
	assert_string_equal(disks[1].image.backing_path, "a,b");
	assert_int_equal(disks[1].image.backing_format, BLOCK_FORMAT_RAW);
	assert_false(disks[1].image.allow_backing);
	assert_true(disks[2].image.allow_backing);
	assert_null(disks[2].image.backing_path);
	assert_int_equal(disks[2].image.format, BLOCK_FORMAT_QCOW2);
	assert_string_equal(disks[3].image.path, "d");
	assert_int_equal(disks[3].image.cache, BLOCK_CACHE_WRITEBACK);
}

static void config_wrong_disks_are_explained(void **state)
{
	(void)state;
	assert_begins(complaint(WORDS("-d", "a")), "--disk a: there is no firmware");
	assert_begins(complaint(WORDS("-k", "k", "-d", "")), "--disk : the name is missing");
	assert_begins(complaint(WORDS("-k", "k", "-d", "a,ro,snapshot")),
		"--disk a,ro,snapshot: ro contradicts snapshot");
	assert_begins(complaint(WORDS("-k", "k", "-d", "a,serial=123456789012345678901")),
		"--disk a,serial=123456789012345678901: serial=");
	assert_begins(complaint(WORDS("-k", "k", "-d", "a,backing-format=raw")),
		"--disk a,backing-format=raw: backing-format is for a named backing file");
}

static void config_channels_have_a_name_and_a_path(void **state)
{
	static char list[VIRTIO_CONSOLE_MAX_CHANNELS + 1][32];
	char *words[2 * (VIRTIO_CONSOLE_MAX_CHANNELS + 1)], option[] = "--channel";
	const struct config *config =
		parse(WORDS("--channel", "a.0,/tmp/a,b", "--channel=b,relative"));

	(void)state;
	assert_int_equal(config->channels.count, 2);
	assert_string_equal(config->channels.channels[0].name, "a.0");
	assert_string_equal(config->channels.channels[0].path, "/tmp/a,b");
	assert_begins(
		complaint(WORDS("--channel", "a")), "--channel a: a name and a path are needed");
	assert_begins(complaint(WORDS("--channel", ",a")), "--channel ,a: a name and a path are");
	assert_begins(complaint(WORDS("--channel", "a,")), "--channel a,: a name and a path are");
	for (unsigned i = 0; i <= VIRTIO_CONSOLE_MAX_CHANNELS; i++) {
		snprintf(list[i], sizeof(list[i]), "n%u,p%u", i, i);
		words[2 * i] = option;
		words[2 * i + 1] = list[i];
	}
	assert_begins(complaint(2 * (VIRTIO_CONSOLE_MAX_CHANNELS + 1), words),
		"--channel n30,p30: there are 30 already");
}

static void config_displays_go_together(void **state)
{
	(void)state;
	assert_true(parse(WORDS("--sdl", "--vnc"))->vnc.given);
	assert_string_equal(parse(WORDS("--vnc=127.0.0.1:1"))->vnc.value, "127.0.0.1:1");
	assert_true(parse(WORDS("--sdl", "--headless", "--vnc", "--gtk"))->sdl);
	assert_true(parse(WORDS("--headless", "--vnc", "--vnc-allow-remote"))->vnc.given);
}

static void config_displays_are_given_once(void **state)
{
	(void)state;
	assert_begins(complaint(WORDS("--gtk", "--sdl", "--gtk")), "--gtk: it is given twice");
	assert_begins(complaint(WORDS("--sdl", "--sdl")), "--sdl: it is given twice");
	assert_begins(complaint(WORDS("--vnc", "--vnc=unix:/tmp/s")), "--vnc: it is given twice");
	parse(WORDS("--headless", "--headless", "--no-reboot", "--no-reboot"));
}

static void config_video_memory_is_a_power_of_two(void **state)
{
	(void)state;
	assert_int_equal(parse(WORDS("--headless"))->vram_bytes, MIB(16));
	assert_int_equal(parse(WORDS("--vram", "4"))->vram_bytes, MIB(4));
	assert_int_equal(parse(WORDS("--vram=256M"))->vram_bytes, MIB(256));
	assert_non_null(strstr(complaint(WORDS("--vram=24")), "power of two"));
	assert_non_null(complaint(WORDS("--vram=512")));
	assert_non_null(complaint(WORDS("--vram=2")));
}

static void config_refresh_is_1_to_240(void **state)
{
	(void)state;
	assert_int_equal(parse(WORDS("--headless"))->refresh_hz, 60);
	assert_int_equal(parse(WORDS("--refresh", "1"))->refresh_hz, 1);
	assert_int_equal(parse(WORDS("--refresh=240"))->refresh_hz, 240);
	assert_non_null(complaint(WORDS("--refresh=0")));
	assert_non_null(complaint(WORDS("--refresh=241")));
}

static void config_resolution_is_two_numbers(void **state)
{
	static const char *const wrong[] = { "", "x", "1024", "1024x", "x768", "1024x768x",
		"1024x768 ", " 1024x768", "1024 x768", "1024x 768", "+1024x768", "1024x+768",
		"-1024x768", "1024X768", "0x400x768",
		/* 1024 and 768 if 32 bits were all that is looked at. */
		"4294968320x768", "1024x4294968064", "-4294966272x768",
		"99999999999999999999x99999999999999999999" };
	static const char *const impossible[] = { "319x200", "320x199", "0x0", "3848x2160",
		"3840x2161", "99999x99999" };

	(void)state;
	assert_int_equal(parse(WORDS("--resolution", "1024x768"))->resolution.width, 1024);
	assert_int_equal(parse(WORDS("--resolution", "1024x768"))->resolution.height, 768);
	assert_int_equal(parse(WORDS("--resolution=2560x1600"))->resolution.height, 1600);
	assert_non_null(strstr(complaint(WORDS("--resolution=3840x2160")), "does not fit into"));
	assert_int_equal(
		parse(WORDS("--resolution=3840x2160", "--vram=64"))->resolution.height, 2160);
	assert_non_null(strstr(
		complaint(WORDS("--vram=4M", "--resolution=1280x1024")), "give more with --vram"));
	assert_int_equal(parse(WORDS("--resolution=320x200"))->resolution.height, 200);
	assert_int_equal(parse(WORDS("--resolution=1366x768"))->resolution.width, 1366);
	for (size_t i = 0; i < array_size(wrong); i++)
		assert_non_null(strstr(complaint(WORDS("--resolution", (char *)wrong[i])),
			": not a size (write for example 1024x768)"));
	for (size_t i = 0; i < array_size(impossible); i++)
		assert_non_null(strstr(complaint(WORDS("--resolution", (char *)impossible[i])),
			": not possible (write 320x200 to 3840x2160"));
	assert_begins(complaint(WORDS("--resolution=640x480", "--vidmode=0x118")),
		"--vidmode: it contradicts --resolution");
	assert_int_equal(parse(WORDS("--vidmode", "792"))->vidmode, 0x118);
}

static void config_names_are_fit_for_files(void **state)
{
	static const char *const wrong[] = { "", ".", "..", ".hidden", "-x", "a/b", "a b", "a\nb",
		"\xc3\xbc", "12345678901234567890123456789012345678901234567890123456789012345" };
	static const char *const right[] = { "a", "Guest-1.test_2", "0",
		"1234567890123456789012345678901234567890123456789012345678901234" };

	(void)state;
	for (size_t i = 0; i < array_size(wrong); i++)
		assert_begins(complaint(WORDS("--name", (char *)wrong[i])), "--name ");
	for (size_t i = 0; i < array_size(right); i++)
		assert_string_equal(parse(WORDS("--name", (char *)right[i]))->name, right[i]);
}

static void config_help_wins_over_contradictions(void **state)
{
	(void)state;
	assert_true(parse(WORDS("--headless", "--keep-open", "--help"))->help);
	assert_true(parse(WORDS("-h"))->help);
	assert_true(parse(WORDS("--version"))->version);
}

/* The rules that the generated texts rely on: unique names, groups in one piece, ranges that make
 * sense. */
static void config_table_is_well_formed(void **state)
{
	const struct option_spec *specs = config_options.specs;

	(void)state;
	for (size_t i = 0; specs[i].name; i++) {
		bool flag = specs[i].type == OPTION_FLAG;

		assert_non_null(specs[i].group);
		assert_non_null(specs[i].help);
		assert_int_equal(specs[i].help[strlen(specs[i].help) - 1], '.');
		assert_null(strchr(specs[i].help, '\n'));
		assert_int_equal(flag, specs[i].metavar == NULL);
		assert_true(specs[i].field < sizeof(struct config));
		if (specs[i].type == OPTION_NUMBER || specs[i].type == OPTION_SIZE)
			assert_true(specs[i].min < specs[i].max);
		if (specs[i].type == OPTION_NUMBER)
			assert_true(specs[i].max <= UINT32_MAX);
		for (size_t j = 0; j < i; j++) {
			assert_string_not_equal(specs[i].name, specs[j].name);
			assert_true(
				!specs[i].short_name || specs[i].short_name != specs[j].short_name);
			assert_true(specs[i].field != specs[j].field);
			if (!strcmp(specs[i].group, specs[j].group))
				assert_string_equal(specs[i - 1].group, specs[i].group);
		}
	}
}

static void privileges_wrong_names_are_refused(void **state)
{
	/* A container may have set it long ago. */
	const int before = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
	struct error err;

	(void)state;
	assert_int_equal(privileges_check("no-such-user-here", NULL, &err), -EINVAL);
	assert_begins(err.text, "--user no-such-user-here: there is no such user");
	assert_int_equal(privileges_check(NULL, "/no/such/folder", &err), -EINVAL);
	assert_begins(err.text, "--chroot /no/such/folder: No such file or directory");
	assert_int_equal(privileges_check(NULL, "/proc/self/status", &err), -EINVAL);
	assert_begins(err.text, "--chroot /proc/self/status: it is not a folder");
	assert_int_equal(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), before);
	assert_int_equal(privileges_check(NULL, NULL, &err), 0);
	assert_int_equal(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), before);
}

static void privileges_need_root(void **state)
{
	struct error err;

	(void)state;
	if (!geteuid())
		skip();
	assert_int_equal(privileges_check("root", NULL, &err), -EINVAL);
	assert_begins(err.text, "--user: only root may do that");
	assert_int_equal(privileges_check(NULL, "/", &err), -EINVAL);
	assert_begins(err.text, "--chroot: only root may do that");
}

/* 0 if all is gone that root has; else the number of what is not. */
static int become_nobody(void)
{
	struct error err;
	uid_t real, effective, saved;

	if (privileges_check("nobody", "/usr", &err) || privileges_drop("nobody", "/usr", &err))
		return 1;
	if (getresuid(&real, &effective, &saved) || !real || !effective || !saved)
		return 2;
	if (!setuid(0) || !setgid(0) || !getgid())
		return 3;
	if (access("/bin", F_OK) || !access("/usr", F_OK))
		return 4;
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 5;
}

static void privileges_dropped_do_not_come_back(void **state)
{
	int status;
	pid_t child;

	(void)state;
	if (geteuid())
		skip();
	child = fork();
	if (!child)
		_exit(become_nobody());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(config_defaults_suit_the_host),
		cmocka_unit_test(config_scale_is_a_word_or_a_factor),
		cmocka_unit_test(config_display_words_are_known),
		cmocka_unit_test(config_display_options_that_nothing_would_use_are_refused),
		cmocka_unit_test(config_default_cpus_are_those_that_may_be_used),
		cmocka_unit_test(config_memory_is_taken_as_asked),
		cmocka_unit_test(config_kernel_is_option_or_operand),
		cmocka_unit_test(config_disks_are_kept_in_their_order),
		cmocka_unit_test(config_wrong_disks_are_explained),
		cmocka_unit_test(config_channels_have_a_name_and_a_path),
		cmocka_unit_test(config_displays_go_together),
		cmocka_unit_test(config_displays_are_given_once),
		cmocka_unit_test(config_video_memory_is_a_power_of_two),
		cmocka_unit_test(config_refresh_is_1_to_240),
		cmocka_unit_test(config_resolution_is_two_numbers),
		cmocka_unit_test(config_names_are_fit_for_files),
		cmocka_unit_test(config_help_wins_over_contradictions),
		cmocka_unit_test(config_table_is_well_formed),
		cmocka_unit_test(privileges_wrong_names_are_refused),
		cmocka_unit_test(privileges_need_root),
		cmocka_unit_test(privileges_dropped_do_not_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
