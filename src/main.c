/* vmgui: the command line's front door. Reads the command and hands over; nothing else ends the
 * process. See shared notes in src/run.c and src/board.c for how a guest comes to be. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "config.h"
#include "core/log.h"
#include "core/machine.h"
#include "doctor.h"
#include "display/session_bus.h"
#include "error_dialog.h"
#include "run.h"

static int command_run(int argc, char **argv);
static int command_testcard(int argc, char **argv);
static int command_doctor(int argc, char **argv);
static int command_version(int argc, char **argv);
static int command_help(int argc, char **argv);

static const struct command {
	const char *name, *help;
	int (*run)(int argc, char **argv); /* without the program's name and the command */
} commands[] = {
	{ "run", "run a guest (the default)", command_run },
	{ "testcard", "run the embedded test card: colours, keys and mouse to look at",
		command_testcard },
	{ "doctor", "say whether this machine can run guests, and how fast", command_doctor },
	{ "version", "print the version", command_version },
	{ "help", "print this; \"help man\" and \"help bash-completion\" print those",
		command_help },
};

static const char *const command_names[] = { "run", "testcard", "doctor", "version", "help", NULL };

static unsigned terminal_columns(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
		return size.ws_col < 120 ? size.ws_col : 120;
	return 100;
}

static void print_help(void)
{
	printf("vmgui runs a virtual machine with a screen, a keyboard and a mouse, on Linux's "
	       "KVM.\n\n"
	       "usage: vmgui [run] [OPTIONS] [KERNEL]\n"
	       "       vmgui COMMAND [...]\n\n"
	       "Without a kernel it runs a test card of its own. Displays: a window (--sdl), one "
	       "with\n"
	       "menus (--gtk), VNC (--vnc), or none (--headless); several at once are "
	       "fine.\n\ncommands:\n");
	for (size_t i = 0; i < array_size(commands); i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].help);
	options_print_help(&config_options, stdout, terminal_columns());
	printf("\nkeys in a window: Ctrl-Alt-G releases the mouse, Ctrl-Alt-F full screen, "
	       "Ctrl-Alt-S\n"
	       "screenshot, Ctrl-Alt-P pause. On the serial console: Ctrl-A x quits, Ctrl-A h "
	       "helps.\n\n"
	       "exit status: 0 the guest shut down, 1 vmgui failed, 2 wrong command line or file,\n"
	       "3 the guest crashed, 4 timeout, 6 the name or an image is in use; with "
	       "--exit-port, the guest's "
	       "own.\n\n"
	       "examples:\n"
	       "  vmgui                                          the test card in a window\n"
	       "  vmgui --vnc -k vmlinuz -i initrd.img           a Linux to be reached over VNC\n"
	       "  vmgui --headless --timeout 60 --screenshot s.png -k vmlinuz   a boot test\n");
}

static int usage_error(const struct error *err)
{
	log_error("main", "%s", err->text);
	return EXIT_STATUS_USAGE;
}

static int no_arguments(const char *command, int argc, char **argv)
{
	struct error err;

	if (!argc)
		return 0;
	error_set(&err, EXIT_STATUS_USAGE, "%s: vmgui %s takes nothing more (see vmgui --help)",
		argv[0], command);
	return usage_error(&err);
}

static int run_config(int argc, char **argv, bool testcard)
{
	static struct config config;
	struct error err;
	int status;

	if (config_parse(argc, argv, &config, &err)) {
		config_fini(&config);
		return usage_error(&err);
	}
	if (config.help || config.version) {
		config_fini(&config);
		if (config.version && !config.help)
			return command_version(0, NULL);
		print_help();
		return EXIT_STATUS_OK;
	}
	if (testcard && config.kernel) {
		error_set(&err, EXIT_STATUS_USAGE,
			"%s: vmgui testcard brings its own kernel (leave it out, or use vmgui run)",
			config.kernel);
		config_fini(&config);
		return usage_error(&err);
	}
	if (config.debug)
		log_set_level(LOG_DEBUG);
	status = run_guest(&config);
	config_fini(&config);
	return status;
}

static int command_run(int argc, char **argv)
{
	return run_config(argc, argv, false);
}

static int command_testcard(int argc, char **argv)
{
	return run_config(argc, argv, true);
}

static int command_doctor(int argc, char **argv)
{
	int status = no_arguments("doctor", argc, argv);

	return status ? status : doctor_run();
}

static int command_version(int argc, char **argv)
{
	int status = no_arguments("version", argc, argv);

	if (!status)
		printf("vmgui %s\n", VMGUI_VERSION);
	return status;
}

static int command_help(int argc, char **argv)
{
	if (argc == 1 && !strcmp(argv[0], "man")) {
		options_print_man(&config_options, stdout);
		return EXIT_STATUS_OK;
	}
	if (argc == 1 && !strcmp(argv[0], "bash-completion")) {
		options_print_bash_completion(&config_options, command_names, stdout);
		return EXIT_STATUS_OK;
	}
	if (argc)
		return no_arguments("help", argc, argv);
	print_help();
	return EXIT_STATUS_OK;
}

/* A word that looks like a command but is none, and no file either. */
static int check_command_word(const char *word)
{
	struct error err;
	const char *nearest;

	if (strchr(word, '/') || strchr(word, '.') || access(word, F_OK) == 0)
		return 0;
	if (!strcmp(word, "image")) {
		error_set(&err, EXIT_STATUS_USAGE,
			"image: vmgui leaves images to QEMU's tool (use qemu-img create, info, "
			"check, resize or convert)");
		return usage_error(&err);
	}
	nearest = options_nearest(word, command_names);
	if (nearest)
		error_set(&err, EXIT_STATUS_USAGE,
			"%s: neither a command nor a file (did you mean vmgui %s? see vmgui "
			"--help)",
			word, nearest);
	else
		error_set(&err, EXIT_STATUS_USAGE,
			"%s: neither a command nor a file (see vmgui --help)", word);
	return usage_error(&err);
}

/* Started with standard descriptors closed, the next files to be opened would take their numbers,
 * and the guest's console would write into them. */
static void fill_standard_descriptors(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static int run_command(int argc, char **argv)
{
	int status;

	if (argc > 1) {
		for (size_t i = 0; i < array_size(commands); i++) {
			if (!strcmp(argv[1], commands[i].name))
				return commands[i].run(argc - 2, argv + 2);
		}
		if (argv[1][0] != '-') {
			status = check_command_word(argv[1]);
			if (status)
				return status;
		}
	}
	return command_run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	bool dialog = false;
	int status;

	if (fcntl(STDIN_FILENO, F_GETFD) < 0 || fcntl(STDOUT_FILENO, F_GETFD) < 0 ||
		fcntl(STDERR_FILENO, F_GETFD) < 0)
		fill_standard_descriptors();
	session_bus_settle();
	/* Also for errors in the options themselves. */
	for (int i = 1; i < argc; i++)
		dialog |= !strcmp(argv[i], "--error-dialog");
	if (dialog)
		error_dialog_collect();
	status = run_command(argc, argv);
	if (dialog && status != EXIT_STATUS_OK)
		error_dialog_show(status);
	return status;
}
