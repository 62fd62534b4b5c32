/* Behind a named port: a unix stream socket that we listen on, for one client at a time; others
 * wait in the backlog.
 *
 * The guest is told when a client has come and when it has gone (PORT_OPEN); the next one is let in
 * only when the guest has heard that the last one is gone, so that it never takes two for one.
 *
 * A client that hangs up has what it sent before delivered, as long as the guest has the port open
 * and until it has taken all of it; a guest that has the port closed never sees it. What the guest
 * sends when no client is there is thrown away.
 *
 * Threads: the device's event thread; create and destroy while it does not run. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/virtio_console_internal.h"

#define BACKLOG 4

struct console_channel {
	struct console_port port;
	struct unix_listener listener;
	struct event_watch arrival, client; /* client.fd is -1 where there is none */
	bool end_of_input;                  /* the client sends no more */
	bool gone;                          /* nor does it read: only its last words are left */
	char name[VIRTIO_CONSOLE_NAME_BYTES];
};

static struct console_channel *channel_of(struct console_port *port)
{
	return container_of(port, struct console_channel, port);
}

static struct event_thread *thread_of(const struct console_channel *channel)
{
	return virtio_worker_thread(channel->port.console->worker);
}

static void disconnect(struct console_channel *channel)
{
	event_thread_unwatch(thread_of(channel), &channel->client);
	close(channel->client.fd);
	channel->client.fd = -1;
	log_debug("channel", "%s: the client has gone", channel->name);
	console_port_set_host_open(&channel->port, false);
	/* What waits for it goes nowhere. */
	virtio_worker_again(channel->port.console->worker, channel->port.from_driver);
}

/* Whether a client that hung up has left words behind: to be known without a buffer to read into.
 */
static bool has_last_words(const struct console_channel *channel)
{
	char byte;

	return recv(channel->client.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* What the descriptors are watched for follows from the state alone. */
static void channel_update(struct console_port *port)
{
	struct console_channel *channel = channel_of(port);
	uint32_t events = EPOLLHUP; /* comes in any case, but there has to be something */
	int rc;

	if (channel->client.fd >= 0 && channel->gone &&
		(!console_port_listens(port) || !has_last_words(channel)))
		disconnect(channel);
	if (channel->client.fd >= 0) {
		if (console_port_wants_input(port) && !channel->end_of_input)
			events |= EPOLLIN;
		if (console_port_wants_output(port))
			events |= EPOLLOUT;
		/* Its hang-up is known and would come again and again; the guest's buffers are what
		 * counts now. */
		if (channel->gone)
			events = 0;
		rc = event_thread_watch(thread_of(channel), &channel->client, events);
		if (rc) {
			log_warn("channel", "%s: cannot watch the client: %s (it is disconnected)",
				channel->name, strerror(-rc));
			disconnect(channel);
		}
	}
	events = channel->client.fd < 0 && !port->told_open ? EPOLLIN : 0;
	rc = event_thread_watch(thread_of(channel), &channel->arrival, events);
	if (rc)
		log_error("channel", "%s: cannot watch the socket: %s (no client will be let in)",
			channel->name, strerror(-rc));
}

static void client_ready(struct event_watch *watch, uint32_t events)
{
	struct console_channel *channel = container_of(watch, struct console_channel, client);
	struct virtio_worker *worker = channel->port.console->worker;

	if (events & (EPOLLHUP | EPOLLERR))
		channel->gone = true;
	if (events & ~(uint32_t)EPOLLOUT)
		virtio_worker_again(worker, channel->port.to_driver);
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		virtio_worker_again(worker, channel->port.from_driver);
	channel_update(&channel->port);
}

/* Without a descriptor to spare accept fails and leaves the client where it is, and the socket
 * ready for ever. So one is kept for that case. */
static void turn_away(struct console_channel *channel)
{
	static struct log_limit limit;
	struct virtio_console *console = channel->port.console;
	unsigned dropped;
	int fd;

	if (log_limit_pass(&limit, &dropped))
		log_warn("channel", "%s: a client is turned away: too many open files",
			channel->name);
	if (console->spare_fd >= 0)
		close(console->spare_fd);
	fd = accept4(channel->listener.fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	console->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void client_arrived(struct event_watch *watch, uint32_t events)
{
	struct console_channel *channel = container_of(watch, struct console_channel, arrival);
	int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE)
			turn_away(channel);
		return;
	}
	log_debug("channel", "%s: a client has come", channel->name);
	channel->client.fd = fd;
	channel->end_of_input = channel->gone = false;
	console_port_set_host_open(&channel->port, true);
	channel_update(&channel->port);
}

static size_t channel_read(struct console_port *port, const struct iovec *iov, unsigned count)
{
	struct console_channel *channel = channel_of(port);
	ssize_t got;

	if (channel->client.fd < 0 || channel->end_of_input)
		return 0;
	do {
		got = readv(channel->client.fd, iov, (int)count);
	} while (got < 0 && errno == EINTR);
	if (got > 0)
		return (size_t)got;
	if (got < 0 && errno == EAGAIN)
		return 0;
	channel->end_of_input = true;
	if (got < 0) /* reset by the peer */
		channel->gone = true;
	return 0;
}

static size_t channel_write(struct console_port *port, const struct iovec *iov, unsigned count)
{
	struct console_channel *channel = channel_of(port);
	const struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = count };
	ssize_t sent;

	if (channel->client.fd < 0 || channel->gone)
		return console_iov_bytes(iov, count);
	do {
		sent = sendmsg(channel->client.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return (size_t)sent;
	/* Anything else says that nobody reads any more; the hang-up follows. */
	return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : console_iov_bytes(iov, count);
}

static const struct console_port_ops channel_ops = {
	.read = channel_read,
	.write = channel_write,
	.update = channel_update,
};

int console_channel_create(struct virtio_console *console, unsigned number,
	const struct virtio_console_channel *config, struct console_channel **out,
	struct error *err)
{
	char asked[sizeof(config->name) + sizeof(config->path) + 16];
	struct console_channel *channel = calloc(1, sizeof(*channel));
	int rc;

	if (!channel)
		return error_set(err, ENOMEM, "virtio-console: out of memory");
	snprintf(asked, sizeof(asked), "--channel %s,%s", config->name, config->path);
	rc = unix_listener_open(&channel->listener, config->path, BACKLOG, asked, err);
	if (rc)
		goto free_channel;
	console_port_init(&channel->port, console, number, &channel_ops);
	memcpy(channel->name, config->name, sizeof(channel->name));
	channel->port.name = channel->name;
	channel->client = (struct event_watch){ .fd = -1, .ready = client_ready };
	channel->arrival = (struct event_watch){
		.fd = channel->listener.fd,
		.ready = client_arrived,
	};
	rc = event_thread_watch(thread_of(channel), &channel->arrival, EPOLLIN);
	if (rc) {
		error_set(err, -rc, "%s: %s", asked, strerror(-rc));
		goto close_listener;
	}
	*out = channel;
	return 0;

close_listener:
	unix_listener_close(&channel->listener);
free_channel:
	free(channel);
	return rc;
}

struct console_port *console_channel_port(struct console_channel *channel)
{
	return &channel->port;
}

void console_channel_destroy(struct console_channel *channel)
{
	if (!channel)
		return;
	if (channel->client.fd >= 0)
		close(channel->client.fd);
	unix_listener_close(&channel->listener);
	free(channel);
}
