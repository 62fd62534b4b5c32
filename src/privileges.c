#include "privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct passwd *look_up(const char *user, struct error *err)
{
	const struct passwd *entry;

	errno = 0;
	entry = getpwnam(user);
	if (!entry)
		error_set(err, EINVAL, "--user %s: there is no such user (see /etc/passwd)", user);
	return entry;
}

int privileges_check(const char *user, const char *root, struct error *err)
{
	struct stat status;

	if (user && !look_up(user, err))
		return -EINVAL;
	if (root && stat(root, &status))
		return error_set(err, EINVAL, "--chroot %s: %s (name a folder that is there)", root,
			strerror(errno));
	if (root && !S_ISDIR(status.st_mode))
		return error_set(err, EINVAL, "--chroot %s: it is not a folder", root);
	if ((user || root) && geteuid())
		return error_set(err, EINVAL,
			"--%s: only root may do that (start vmgui as root, or leave it out)",
			user ? "user" : "chroot");
	/* It is each thread's own and inherited: here, before there are others, it is everybody's.
	 */
	if ((user || root) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return error_set(err, errno, "no_new_privs: %s", strerror(errno));
	return 0;
}

int privileges_drop(const char *user, const char *root, struct error *err)
{
	uid_t uid = 0;
	gid_t gid = 0;

	if (user) {
		const struct passwd *entry = look_up(user, err);

		if (!entry)
			return -EINVAL;
		uid = entry->pw_uid;
		gid = entry->pw_gid;
		/* While /etc/group is still to be seen. */
		if (initgroups(user, gid))
			return error_set(err, errno, "--user %s: its groups cannot be taken: %s",
				user, strerror(errno));
	}
	if (root && (chroot(root) || chdir("/")))
		return error_set(err, errno, "--chroot %s: %s", root, strerror(errno));
	if (user && (setresgid(gid, gid, gid) || setresuid(uid, uid, uid)))
		return error_set(err, errno, "--user %s: %s", user, strerror(errno));
	return 0;
}
