/* A virtio device with a thread of its own, driven, stopped and reset while it works. It sends back
 * what it gets. Nothing may be lost, done twice, or touched after a reset is complete. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include "cmocka_all.h"
#include "core/virtio/virtio_device.h"
#include "fake_virtio.h"

#define SIZE     8u
#define BYTES    64u
#define ROUNDS   200u
#define REQUESTS 6u

struct echo {
	struct virtio_device vdev; /* first */
	struct fake_virtio driver;
	struct fake_queue queue;
	uint64_t data_gpa; /* SIZE times BYTES out and BYTES in */
	pthread_t thread;
	int wake_fd;
	pthread_mutex_t lock; /* inside device.lock */
	bool start, stop, quit;
};

/* ---- the device ---- */

static void signal_fd(int fd)
{
	const uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		abort();
}

static void queue_start(struct virtio_device *vdev, unsigned queue)
{
	struct echo *echo = container_of(vdev, struct echo, vdev);

	(void)queue;
	pthread_mutex_lock(&echo->lock);
	echo->start = true;
	pthread_mutex_unlock(&echo->lock);
	signal_fd(echo->wake_fd);
}

static void queue_stop(struct virtio_device *vdev, unsigned queue)
{
	struct echo *echo = container_of(vdev, struct echo, vdev);

	(void)queue;
	pthread_mutex_lock(&echo->lock);
	echo->stop = true;
	pthread_mutex_unlock(&echo->lock);
	signal_fd(echo->wake_fd);
}

static void serve(struct echo *echo)
{
	struct virtqueue *ring = &echo->vdev.queues[0].ring;
	struct iovec iov[SIZE];
	struct virtqueue_chain chain = { .iov = iov, .capacity = SIZE };
	uint8_t buffer[BYTES];

	do {
		int ret;

		virtqueue_disable_notify(ring);
		while ((ret = virtqueue_pop(ring, &chain)) > 0) {
			size_t length = virtqueue_read(&chain, 0, buffer, sizeof(buffer));

			length = virtqueue_write(&chain, 0, buffer, length);
			virtqueue_fill(ring, chain.head, (uint32_t)length);
			if (virtqueue_publish(ring))
				virtio_queue_interrupt(&echo->vdev, 0);
		}
		if (ret < 0) {
			virtio_device_needs_reset(&echo->vdev, ring->why_broken);
			return;
		}
	} while (virtqueue_enable_notify(ring));
}

static void *echo_thread(void *opaque)
{
	struct echo *echo = opaque;
	struct pollfd fds[2] = { { .fd = echo->wake_fd, .events = POLLIN },
		{ .fd = echo->vdev.queues[0].kick_fd, .events = POLLIN } };
	bool serving = false;

	for (;;) {
		bool stop, quit;
		uint64_t count;

		if (poll(fds, 2, -1) < 0)
			abort();
		for (unsigned i = 0; i < 2; i++) {
			if (fds[i].revents && read(fds[i].fd, &count, sizeof(count)) < 0)
				abort();
		}
		pthread_mutex_lock(&echo->lock);
		serving |= echo->start;
		stop = echo->stop;
		quit = echo->quit;
		echo->start = echo->stop = false;
		pthread_mutex_unlock(&echo->lock);
		if (quit)
			return NULL;
		if (stop) {
			serving = false;
			virtio_queue_stopped(&echo->vdev, 0);
		} else if (serving) {
			serve(echo);
		}
	}
}

static const struct virtio_device_ops echo_ops = { .queue_start = queue_start,
	.queue_stop = queue_stop };
static const struct device_ops device_ops = { .name = "echo" };

static void set_up(struct echo *echo)
{
	const struct virtio_device_config config = {
		.name = "echo",
		.ops = &echo_ops,
		.id = VIRTIO_ID_RNG,
		.mem = &echo->driver.mem,
		.queue_count = 1,
		.max_queue_size = SIZE,
	};

	memset(echo, 0, sizeof(*echo));
	fake_virtio_init(&echo->driver, MIB(1), 0);
	assert_int_equal(virtio_device_init(&echo->vdev, &device_ops, &config, NULL), 0);
	fake_virtio_attach(&echo->driver, &echo->vdev);
	echo->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(echo->wake_fd >= 0);
	pthread_mutex_init(&echo->lock, NULL);
	assert_int_equal(pthread_create(&echo->thread, NULL, echo_thread, echo), 0);
}

static void tear_down(struct echo *echo)
{
	pthread_mutex_lock(&echo->lock);
	echo->quit = true;
	pthread_mutex_unlock(&echo->lock);
	signal_fd(echo->wake_fd);
	pthread_join(echo->thread, NULL);
	pthread_mutex_destroy(&echo->lock);
	close(echo->wake_fd);
	virtio_device_fini(&echo->vdev);
	fake_virtio_fini(&echo->driver);
}

/* ---- its driver ---- */

static void offer(struct echo *echo, unsigned slot, uint8_t value)
{
	uint64_t out = echo->data_gpa + (uint64_t)slot * 2 * BYTES;
	uint8_t *data = fake_virtio_at(&echo->driver, out, 2 * BYTES);

	memset(data, value, BYTES);
	memset(data + BYTES, ~value, BYTES);
	fake_queue_put(&echo->queue, 2 * slot, out, BYTES, FAKE_NEXT, 2 * slot + 1);
	fake_queue_put(&echo->queue, 2 * slot + 1, out + BYTES, BYTES, FAKE_WRITE, 0);
	fake_queue_offer(&echo->queue, (uint16_t)(2 * slot));
	fake_queue_kick(&echo->queue);
}

static void expect_answer(struct echo *echo, unsigned slot)
{
	uint64_t out = echo->data_gpa + (uint64_t)slot * 2 * BYTES;
	const uint8_t *data = fake_virtio_at(&echo->driver, out, 2 * BYTES);
	uint32_t head, written;

	fake_queue_wait(&echo->queue, &head, &written);
	assert_int_equal(head, 2 * slot);
	assert_int_equal(written, BYTES);
	assert_memory_equal(data, data + BYTES, BYTES);
}

/* Fresh rings, some requests with answers, one request at the end that nobody waits for. */
static void use_queue(struct echo *echo, unsigned round)
{
	/* The same memory each time. */
	echo->driver.next_gpa = PAGE_BYTES;
	fake_queue_init(&echo->queue, &echo->driver, SIZE);
	echo->data_gpa = fake_virtio_alloc(&echo->driver, (uint64_t)SIZE * 2 * BYTES, 64);
	fake_queue_enable(&echo->queue, 0);
	if (!(fake_virtio_status(&echo->driver) & VIRTIO_STATUS_DRIVER_OK))
		fake_virtio_driver_ok(&echo->driver);
	for (unsigned i = 0; i < REQUESTS; i++) {
		offer(echo, i % 4, (uint8_t)(round + i));
		expect_answer(echo, i % 4);
	}
	for (unsigned i = 0; i < round % 4; i++)
		offer(echo, i, (uint8_t)round);
}

static void reset_queue(struct echo *echo)
{
	struct virtio_queue *queue = virtio_device_queue(&echo->vdev, 0);
	bool busy = true;

	fake_virtio_lock(&echo->driver);
	virtio_queue_reset(&echo->vdev, 0);
	fake_virtio_unlock(&echo->driver);
	while (busy) {
		fake_virtio_lock(&echo->driver);
		busy = queue->resetting || queue->enabled;
		fake_virtio_unlock(&echo->driver);
		usleep(50);
	}
}

static void run(uint64_t features)
{
	struct echo echo;

	set_up(&echo);
	for (unsigned round = 0; round < ROUNDS; round++) {
		assert_true(fake_virtio_negotiate(&echo.driver, features));
		use_queue(&echo, round);
		if (round % 3 == 0) {
			reset_queue(&echo);
			use_queue(&echo, round + 1);
		}
		if (round % 5 == 0)
			virtio_device_reset(&echo.vdev);
		else
			fake_virtio_reset(&echo.driver);
		/* From here on the memory is the driver's alone: it is written in the next
		 * round, which would race with a device that still works in it. */
		assert_int_equal(echo.vdev.queues[0].state, VIRTIO_QUEUE_IDLE);
	}
	tear_down(&echo);
}

static void virtio_threads_resets_under_load_lose_nothing(void **state)
{
	(void)state;
	run(UINT64_MAX);
}

static void virtio_threads_resets_under_load_without_event_idx_lose_nothing(void **state)
{
	(void)state;
	run(UINT64_MAX & ~VIRTIO_F_EVENT_IDX);
}

static void virtio_threads_broken_queue_is_well_after_a_reset(void **state)
{
	struct echo echo;

	(void)state;
	set_up(&echo);
	for (unsigned round = 0; round < 20; round++) {
		assert_true(fake_virtio_negotiate(&echo.driver, UINT64_MAX));
		use_queue(&echo, round);
		fake_queue_offer(&echo.queue, 0xffff);
		fake_queue_ring(&echo.queue);
		for (unsigned i = 0; !(fake_virtio_status(&echo.driver) & 0x40); i++) {
			assert_true(i < 60000);
			usleep(1000);
		}
		fake_virtio_reset(&echo.driver);
	}
	assert_int_equal(atomic_load(&echo.driver.config_interrupts), 20);
	tear_down(&echo);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(virtio_threads_resets_under_load_lose_nothing),
		cmocka_unit_test(virtio_threads_resets_under_load_without_event_idx_lose_nothing),
		cmocka_unit_test(virtio_threads_broken_queue_is_well_after_a_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
