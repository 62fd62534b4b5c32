/* The used ring, and who has to wake whom: the arithmetic of interrupts and notifications. */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include "virtqueue_fixture.h"

/* One buffer through the queue; what publish said. */
static bool use_one(struct fixture *f)
{
	uint32_t head, written;
	bool interrupt;

	offer_one(f, f->data_gpa, 1, FAKE_WRITE, 0);
	assert_int_equal(pop(f), 1);
	virtqueue_fill(&f->ring, f->chain.head, 77);
	interrupt = virtqueue_publish(&f->ring);
	assert_true(fake_queue_used(&f->queue, &head, &written));
	assert_int_equal(head, 0);
	assert_int_equal(written, 77);
	return interrupt;
}

static void virtqueue_filled_is_seen_once_published(void **state)
{
	struct fixture f;
	uint32_t head, written;

	(void)state;
	set_up(&f);
	for (uint16_t i = 0; i < 3; i++) {
		fake_queue_put(&f.queue, i, f.data_gpa, 100, FAKE_WRITE, 0);
		fake_queue_offer(&f.queue, i);
		assert_int_equal(pop(&f), 1);
	}
	assert_false(virtqueue_publish(&f.ring));
	virtqueue_fill(&f.ring, 2, 20);
	virtqueue_fill(&f.ring, 0, UINT32_MAX);
	assert_false(fake_queue_used(&f.queue, &head, &written));
	assert_true(virtqueue_publish(&f.ring));
	assert_false(virtqueue_publish(&f.ring));
	assert_true(fake_queue_used(&f.queue, &head, &written));
	assert_int_equal(head, 2);
	assert_int_equal(written, 20);
	assert_true(fake_queue_used(&f.queue, &head, &written));
	assert_int_equal(head, 0);
	assert_int_equal(written, UINT32_MAX);
	assert_false(fake_queue_used(&f.queue, &head, &written));
	tear_down(&f);
}

static void virtqueue_indices_wrap_around(void **state)
{
	struct fixture f;

	(void)state;
	for (unsigned event_idx = 0; event_idx < 2; event_idx++) {
		set_up_sized(&f, SIZE,
			event_idx ? VIRTIO_COMMON_FEATURES
				  : VIRTIO_COMMON_FEATURES & ~VIRTIO_F_EVENT_IDX);
		for (unsigned i = 0; i < 70000; i++) {
			/* Always wants the next one. */
			fake_store16(fake_queue_used_event(&f.queue), (uint16_t)i);
			assert_true(use_one(&f));
			assert_false(virtqueue_enable_notify(&f.ring));
			fake_queue_put(&f.queue, 0, 0, 1, 0, 0);
		}
		tear_down(&f);
	}
}

static void virtqueue_no_interrupt_flag_holds_interrupts_back(void **state)
{
	struct fixture f;

	(void)state;
	set_up_sized(&f, SIZE, VIRTIO_COMMON_FEATURES & ~VIRTIO_F_EVENT_IDX);
	/* used_event means nothing. */
	fake_store16(fake_queue_used_event(&f.queue), 0x4000);
	assert_true(use_one(&f));
	fake_store16(&f.queue.available[0], 1);
	assert_false(use_one(&f));
	fake_store16(&f.queue.available[0], 0xfffe);
	assert_true(use_one(&f));
	tear_down(&f);
}

static void virtqueue_event_idx_ignores_the_flag(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	fake_store16(&f.queue.available[0], 1);
	assert_true(use_one(&f));
	tear_down(&f);
}

static void virtqueue_used_event_decides_when_to_interrupt(void **state)
{
	/* Against the definition: the index goes from `from` to `from` + count, and the buffer with
	 * index `event` is among those used, modulo 2^16. */
	static const uint16_t starts[] = { 0, 1, 0x7ffe, 0x7fff, 0x8000, 0xfffa, 0xfffe, 0xffff };
	struct fixture f;

	(void)state;
	set_up(&f);
	for (unsigned i = 0; i < array_size(starts); i++) {
		for (int distance = -10; distance <= 10; distance++) {
			for (unsigned count = 1; count <= SIZE; count++) {
				uint16_t from = starts[i];
				bool wanted = distance >= 0 && distance < (int)count;

				activate(&f, VIRTIO_COMMON_FEATURES);
				f.ring.next_used = f.ring.published_used = from;
				fake_store16(fake_queue_used_event(&f.queue),
					(uint16_t)(from + distance));
				for (unsigned j = 0; j < count; j++)
					virtqueue_fill(&f.ring, 0, 0);
				assert_int_equal(virtqueue_publish(&f.ring), wanted);
			}
		}
	}
	tear_down(&f);
}

static void virtqueue_notify_flag_says_whether_to_kick(void **state)
{
	struct fixture f;

	(void)state;
	set_up_sized(&f, SIZE, VIRTIO_COMMON_FEATURES & ~VIRTIO_F_EVENT_IDX);
	virtqueue_disable_notify(&f.ring);
	assert_int_equal(fake_load16(&f.queue.used[0]), 1);
	assert_false(fake_queue_wants_kick(&f.queue));
	assert_false(virtqueue_enable_notify(&f.ring));
	assert_int_equal(fake_load16(&f.queue.used[0]), 0);
	virtqueue_disable_notify(&f.ring);
	offer_one(&f, 0, 1, 0, 0);
	assert_true(virtqueue_enable_notify(&f.ring));
	assert_int_equal(pop(&f), 1);
	assert_false(virtqueue_enable_notify(&f.ring));
	/* Nothing but the flag was written. */
	assert_int_equal(fake_load16(fake_queue_avail_event(&f.queue)), 0);
	tear_down(&f);
}

static void virtqueue_avail_event_says_when_to_kick(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	assert_false(virtqueue_enable_notify(&f.ring));
	for (unsigned i = 0; i < 66000; i++) {
		offer_one(&f, 0, 1, 0, 0);
		assert_true(fake_queue_wants_kick(&f.queue));
		f.queue.kicked_idx = f.queue.available_idx;
		virtqueue_disable_notify(&f.ring);
		assert_true(virtqueue_enable_notify(&f.ring));
		assert_int_equal(pop(&f), 1);
		give_back(&f);
		/* Another one while we work: no kick, and nothing lost. */
		offer_one(&f, 0, 1, 0, 0);
		f.queue.kicked_idx++;
		assert_int_equal(pop(&f), 1);
		give_back(&f);
		assert_false(virtqueue_enable_notify(&f.ring));
		assert_int_equal(
			fake_load16(fake_queue_avail_event(&f.queue)), (uint16_t)(2 * i + 2));
	}
	assert_int_equal(fake_load16(&f.queue.used[0]), 0);
	tear_down(&f);
}

static void virtqueue_notify_disabled_stays_silent_with_event_idx(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	assert_false(virtqueue_enable_notify(&f.ring));
	offer_one(&f, 0, 1, 0, 0);
	assert_true(fake_queue_wants_kick(&f.queue));
	f.queue.kicked_idx = f.queue.available_idx;
	virtqueue_disable_notify(&f.ring);
	fake_queue_put(&f.queue, 1, 0, 1, 0, 0);
	fake_queue_offer(&f.queue, 1);
	assert_false(fake_queue_wants_kick(&f.queue));
	assert_true(virtqueue_enable_notify(&f.ring));
	tear_down(&f);
}

/* Two threads play ping-pong, each asleep whenever the other has nothing for it and told so by the
 * notifications alone: one that is lost, for want of a barrier, ends in a time-out. */
struct pair {
	struct fixture *f;
	int to_device, to_driver; /* eventfds */
	unsigned rounds;
	atomic_bool lost;
};

static void signal_fd(int fd)
{
	const uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

static bool wait_fd(struct pair *pair, int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	uint64_t count;

	if (poll(&poll_fd, 1, 10000) != 1 || read(fd, &count, sizeof(count)) != sizeof(count))
		atomic_store(&pair->lost, true);
	return !atomic_load(&pair->lost);
}

static void *device_thread(void *opaque)
{
	struct pair *pair = opaque;
	struct virtqueue *ring = &pair->f->ring;
	unsigned done = 0;

	while (done < pair->rounds) {
		int ret = virtqueue_pop(ring, &pair->f->chain);

		if (ret < 0)
			break;
		if (ret) {
			virtqueue_disable_notify(ring);
			virtqueue_fill(ring, pair->f->chain.head, 1);
			if (virtqueue_publish(ring))
				signal_fd(pair->to_driver);
			done++;
		} else if (!virtqueue_enable_notify(ring) && !wait_fd(pair, pair->to_device)) {
			break;
		}
	}
	return NULL;
}

/* The driver keeps 1 to 3 buffers out there and sleeps when it has to. */
static void drive(struct pair *pair)
{
	struct fake_queue *queue = &pair->f->queue;
	unsigned offered = 0, taken = 0;
	uint32_t head, written;

	for (uint16_t i = 0; i < SIZE; i++)
		fake_queue_put(queue, i, 0, 1, FAKE_WRITE, 0);
	while (taken < pair->rounds) {
		unsigned room = 1 + offered % 3;

		while (offered - taken < room && offered < pair->rounds)
			fake_queue_offer(queue, (uint16_t)(offered++ % SIZE));
		if (fake_queue_wants_kick(queue))
			signal_fd(pair->to_device);
		queue->kicked_idx = queue->available_idx;
		while (!fake_queue_used(queue, &head, &written)) {
			if (queue->event_idx)
				fake_store16(fake_queue_used_event(queue), queue->seen_used);
			else
				fake_store16(&queue->available[0], 0);
			if (!fake_queue_used_count(queue) && !wait_fd(pair, pair->to_driver))
				return;
			if (!queue->event_idx)
				fake_store16(&queue->available[0], 1);
		}
		taken++;
	}
}

static void virtqueue_two_threads_lose_no_notification(void **state)
{
	(void)state;
	for (unsigned event_idx = 0; event_idx < 2; event_idx++) {
		struct fixture f;
		struct pair pair = { .f = &f, .rounds = 100000 };
		pthread_t thread;

		set_up_sized(&f, SIZE,
			event_idx ? VIRTIO_COMMON_FEATURES
				  : VIRTIO_COMMON_FEATURES & ~VIRTIO_F_EVENT_IDX);
		pair.to_device = eventfd(0, EFD_CLOEXEC);
		pair.to_driver = eventfd(0, EFD_CLOEXEC);
		assert_true(pair.to_device >= 0 && pair.to_driver >= 0);
		assert_int_equal(pthread_create(&thread, NULL, device_thread, &pair), 0);
		drive(&pair);
		pthread_join(thread, NULL);
		assert_false(atomic_load(&pair.lost));
		assert_false(f.ring.broken);
		close(pair.to_device);
		close(pair.to_driver);
		tear_down(&f);
	}
}

/* ---- stores before loads ---- */

/* Both sides write one word and read the other's in the same instant, over and over: if neither saw
 * the other's, both would sleep. With delays that let them meet. */
struct litmus {
	struct fixture *f;
	atomic_uint arrived;
	atomic_bool quit;
	bool more, interrupt; /* what the device was told */
};

static void meet(struct litmus *litmus, unsigned delay)
{
	unsigned before = atomic_fetch_add(&litmus->arrived, 1);
	unsigned spins = 0;

	while ((int)(atomic_load(&litmus->arrived) - (before / 2 + 1) * 2) < 0) {
		if (++spins > 1000)
			sched_yield();
	}
	for (unsigned i = 0; i < delay; i++)
		__builtin_ia32_pause();
}

/* What a side is going to read is in its cache then, so that the load can overtake the store. */
static void touch(const struct fake_queue *queue)
{
	(void)__atomic_load_n(&queue->available[1], __ATOMIC_RELAXED);
	(void)__atomic_load_n(fake_queue_used_event(queue), __ATOMIC_RELAXED);
	(void)__atomic_load_n(&queue->used[1], __ATOMIC_RELAXED);
	(void)__atomic_load_n(fake_queue_avail_event(queue), __ATOMIC_RELAXED);
}

static void *litmus_device(void *opaque)
{
	struct litmus *litmus = opaque;
	struct virtqueue *ring = &litmus->f->ring;

	for (unsigned round = 0; !atomic_load(&litmus->quit); round++) {
		virtqueue_disable_notify(ring);
		meet(litmus, 0);
		touch(&litmus->f->queue);
		meet(litmus, round % 5);
		litmus->more = virtqueue_enable_notify(ring);
		meet(litmus, 0);
		if (virtqueue_pop(ring, &litmus->f->chain) == 1)
			virtqueue_fill(ring, litmus->f->chain.head, 0);
		touch(&litmus->f->queue);
		meet(litmus, round % 5);
		litmus->interrupt = virtqueue_publish(ring);
		meet(litmus, 0);
	}
	return NULL;
}

/* How often both would have gone to sleep. */
static unsigned litmus_driver(struct litmus *litmus)
{
	struct fake_queue *queue = &litmus->f->queue;
	unsigned lost = 0;
	struct timespec start, now;

	fake_queue_put(queue, 0, 0, 1, FAKE_WRITE, 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (unsigned round = 0; !atomic_load(&litmus->quit); round++) {
		bool kick, unused;

		clock_gettime(CLOCK_MONOTONIC, &now);
		fake_store16(&queue->available[0], 1);
		meet(litmus, 0);
		queue->kicked_idx = queue->available_idx++;
		touch(queue);
		meet(litmus, round % 7);
		/* All entries name head 0 already. */
		fake_store16(&queue->available[1], queue->available_idx);
		kick = fake_queue_wants_kick(queue);
		meet(litmus, 0);
		lost += !kick && !litmus->more;

		touch(queue);
		meet(litmus, round % 7);
		if (queue->event_idx)
			fake_store16(fake_queue_used_event(queue), queue->seen_used);
		else
			fake_store16(&queue->available[0], 0);
		unused = !fake_queue_used_count(queue);
		/* Seen by both once they have met. */
		if (round == 300000 || now.tv_sec - start.tv_sec > 1)
			atomic_store(&litmus->quit, true);
		meet(litmus, 0);
		lost += unused && !litmus->interrupt;
		queue->seen_used++;
	}
	return lost;
}

static void virtqueue_store_and_load_are_not_swapped(void **state)
{
	(void)state;
	for (unsigned event_idx = 0; event_idx < 2; event_idx++) {
		struct fixture f;
		struct litmus litmus = { .f = &f };
		pthread_t thread;

		/* So large that the four words are in four cache lines. */
		set_up_sized(&f, 256,
			event_idx ? VIRTIO_COMMON_FEATURES
				  : VIRTIO_COMMON_FEATURES & ~VIRTIO_F_EVENT_IDX);
		/* Not armed for the first one. */
		fake_store16(fake_queue_avail_event(&f.queue), 0x8000);
		fake_store16(fake_queue_used_event(&f.queue), 0x8000);
		assert_int_equal(pthread_create(&thread, NULL, litmus_device, &litmus), 0);
		assert_int_equal(litmus_driver(&litmus), 0);
		pthread_join(thread, NULL);
		assert_false(f.ring.broken);
		tear_down(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(virtqueue_filled_is_seen_once_published),
		cmocka_unit_test(virtqueue_indices_wrap_around),
		cmocka_unit_test(virtqueue_no_interrupt_flag_holds_interrupts_back),
		cmocka_unit_test(virtqueue_event_idx_ignores_the_flag),
		cmocka_unit_test(virtqueue_used_event_decides_when_to_interrupt),
		cmocka_unit_test(virtqueue_notify_flag_says_whether_to_kick),
		cmocka_unit_test(virtqueue_avail_event_says_when_to_kick),
		cmocka_unit_test(virtqueue_notify_disabled_stays_silent_with_event_idx),
		cmocka_unit_test(virtqueue_two_threads_lose_no_notification),
		cmocka_unit_test(virtqueue_store_and_load_are_not_swapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
