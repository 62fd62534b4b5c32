/* measure: start-up and peak memory of a program, as numbers.
 *
 *   measure COMMAND [ARGUMENT...]
 *
 * prints one line: milliseconds from exec to the first byte on the program's standard output (-1 if
 * none came), milliseconds to its end, peak resident KiB, exit status. Small itself, because a
 * child's peak counts from what its parent had. The program's standard error goes through. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

int main(int argc, char **argv)
{
	posix_spawn_file_actions_t actions;
	struct rusage usage;
	double start, first = -1;
	char bytes[4096];
	ssize_t got;
	int out[2], status, ret;
	pid_t child;

	if (argc < 2) {
		fprintf(stderr, "usage: measure COMMAND [ARGUMENT...]\n");
		return 2;
	}
	if (pipe2(out, O_CLOEXEC)) {
		perror("measure: pipe");
		return 1;
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
	start = milliseconds();
	ret = posix_spawnp(&child, argv[1], &actions, NULL, argv + 1, environ);
	if (ret) {
		fprintf(stderr, "measure: %s: %s\n", argv[1], strerror(ret));
		return 1;
	}
	close(out[1]);
	while ((got = read(out[0], bytes, sizeof(bytes))) > 0 || (got < 0 && errno == EINTR)) {
		if (first < 0)
			first = milliseconds() - start;
	}
	while (wait4(child, &status, 0, &usage) < 0 && errno == EINTR)
		;
	printf("%.3f %.3f %ld %d\n", first, milliseconds() - start, usage.ru_maxrss,
		WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	return 0;
}
