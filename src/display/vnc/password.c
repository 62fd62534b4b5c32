/* The password and its check; see password.h. */
#include "display/vnc/password.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <rfb/rfb.h>

#include "core/log.h"

#define MAX_LINE 1024

/* As much as there is, at most size. */
static ssize_t read_up_to(int fd, char *text, size_t size)
{
	size_t have = 0;

	while (have < size) {
		ssize_t got = read(fd, text + have, size - have);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		have += (size_t)got;
	}
	return (ssize_t)have;
}

int vnc_password_read(const char *path, struct vnc_password *password, struct error *err)
{
	char line[MAX_LINE + 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;
	size_t length;

	memset(password, 0, sizeof(*password));
	if (fd < 0)
		return error_set(err, EINVAL, "--vnc-password-file=%s: cannot open it: %s", path,
			strerror(errno));
	got = read_up_to(fd, line, MAX_LINE);
	close(fd);
	if (got < 0)
		return error_set(err, EINVAL, "--vnc-password-file=%s: cannot read it: %s", path,
			strerror((int)-got));
	line[got] = '\0';
	length = strcspn(line, "\r\n");
	if (!length)
		return error_set(err, EINVAL,
			"--vnc-password-file=%s: there is no password in its first line (write one "
			"of up to %d characters there)",
			path, VNC_PASSWORD_BYTES);
	if (length > VNC_PASSWORD_BYTES)
		log_warn("vnc",
			"--vnc-password-file=%s: only the first %d characters of the "
			"password count: VNC knows no more",
			path, VNC_PASSWORD_BYTES);
	memcpy(password->text, line, length < VNC_PASSWORD_BYTES ? length : VNC_PASSWORD_BYTES);
	explicit_bzero(line, sizeof(line));
	return 0;
}

bool vnc_password_matches(const struct vnc_password *password,
	const uint8_t challenge[VNC_CHALLENGE_BYTES], const uint8_t response[VNC_CHALLENGE_BYTES])
{
	uint8_t expected[VNC_CHALLENGE_BYTES];
	struct vnc_password copy = *password;
	unsigned difference = 0;

	memcpy(expected, challenge, sizeof(expected));
	rfbEncryptBytes(expected, copy.text);
	explicit_bzero(&copy, sizeof(copy));
	/* The library does not say when it cannot encrypt (DES is forbidden on some systems), and
	 * leaves the challenge as it was. */
	if (memcmp(expected, challenge, sizeof(expected)) == 0)
		return false;
	for (size_t i = 0; i < sizeof(expected); i++)
		difference |= expected[i] ^ response[i];
	return difference == 0;
}
