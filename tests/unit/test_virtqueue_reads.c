/* What a virtqueue reads, it reads once: a driver that writes meanwhile gains nothing. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "count_accesses.h"
#include "virtqueue_fixture.h"

static void virtqueue_reads_each_field_once(void **state)
{
	struct fixture f;
	uint8_t *table;

	(void)state;
#ifdef __SANITIZE_THREAD__
	print_message("skipped: ThreadSanitizer's atomics read memory once more by themselves\n");
	skip();
#endif
	/* A table of one page, with both rings in the next one. */
	memset(&f, 0, sizeof(f));
	fake_virtio_init(&f.driver, LOW_BYTES, 0);
	fake_queue_init(&f.queue, &f.driver, 256);
	assert_int_equal(f.queue.layout.descriptors_gpa % PAGE_BYTES, 0);
	assert_int_equal(f.queue.layout.driver_gpa % PAGE_BYTES, 0);
	f.data_gpa = fake_virtio_alloc(&f.driver, PAGE_BYTES, PAGE_BYTES);
	f.chain.iov = f.iov;
	f.chain.capacity = 256;
	activate(&f, VIRTIO_COMMON_FEATURES);
	table = fake_virtio_at(&f.driver, f.data_gpa, PAGE_BYTES);
	fake_put_descriptor(table, 0, 16, 1, FAKE_NEXT, 1);
	fake_put_descriptor(table, 1, 16, 1, FAKE_WRITE, 0);
	fake_queue_put(&f.queue, 0, 16, 1, FAKE_NEXT, 1);
	fake_queue_put(&f.queue, 1, f.data_gpa, 32, FAKE_INDIRECT, 0);
	fake_queue_offer(&f.queue, 0);
	fake_queue_put(&f.queue, 2, 16, 1, 0, 0);
	fake_queue_offer(&f.queue, 2);

	/* Two descriptors, each in two halves. */
	count_begin(f.queue.table, PAGE_BYTES);
	assert_int_equal(virtqueue_pop(&f.ring, &f.chain), 1);
	assert_int_equal(count_end(), 4);
	assert_int_equal(f.chain.readable_count + f.chain.writable_count, 3);

	/* The index and the entry; the second one came with the same index. */
	activate(&f, VIRTIO_COMMON_FEATURES);
	count_begin(f.queue.available, PAGE_BYTES);
	assert_int_equal(virtqueue_pop(&f.ring, &f.chain), 1);
	assert_int_equal(count_end(), 2);
	count_begin(f.queue.available, PAGE_BYTES);
	assert_int_equal(virtqueue_pop(&f.ring, &f.chain), 1);
	assert_int_equal(count_end(), 1);
	count_begin(f.queue.available, PAGE_BYTES);
	assert_int_equal(virtqueue_pop(&f.ring, &f.chain), 0);
	assert_int_equal(count_end(), 1);

	/* Two words of the entry; then the used index and used_event. */
	count_begin(f.queue.available, PAGE_BYTES);
	virtqueue_fill(&f.ring, 0, 1);
	assert_int_equal(count_end(), 2);
	count_begin(f.queue.available, PAGE_BYTES);
	assert_true(virtqueue_publish(&f.ring));
	assert_int_equal(count_end(), 2);
	/* avail_event and the index. */
	count_begin(f.queue.available, PAGE_BYTES);
	assert_false(virtqueue_enable_notify(&f.ring));
	assert_int_equal(count_end(), 2);

	/* An indirect table: each of its descriptors too. */
	activate(&f, VIRTIO_COMMON_FEATURES);
	count_begin(table, PAGE_BYTES);
	assert_int_equal(virtqueue_pop(&f.ring, &f.chain), 1);
	assert_int_equal(count_end(), 4);
	tear_down(&f);
}

struct attacker {
	struct fixture *f;
	atomic_bool started, stop;
};

/* Writes descriptors and indices as fast as it can. */
static void *attack(void *opaque)
{
	struct attacker *attacker = opaque;
	struct fake_queue *queue = &attacker->f->queue;

	for (unsigned i = 0; !atomic_load(&attacker->stop); i++) {
		fake_queue_put(queue, 0, i & 1 ? attacker->f->data_gpa : UINT64_MAX,
			i & 2 ? 16 : UINT32_MAX, i & 4 ? FAKE_NEXT : 0, i & 8 ? 1 : 0xffff);
		fake_queue_put(queue, 1, attacker->f->data_gpa, i & 1 ? 32 : 33,
			i & 2 ? FAKE_INDIRECT : FAKE_WRITE, 0);
		__atomic_store_n(&queue->available[2], i & 16 ? 0 : 0xffff, __ATOMIC_RELAXED);
		fake_store16(&queue->available[1], i & 32 ? 1 : 0x8000);
		atomic_store(&attacker->started, true);
	}
	return NULL;
}

static void virtqueue_driver_that_writes_meanwhile_gets_only_checked_buffers(void **state)
{
	unsigned chains = 0, broken = 0;
	struct attacker attacker;
	struct fixture f;
	pthread_t thread;

	(void)state;
	set_up(&f);
	attacker.f = &f;
	atomic_init(&attacker.started, false);
	atomic_init(&attacker.stop, false);
	assert_int_equal(pthread_create(&thread, NULL, attack, &attacker), 0);
	while (!atomic_load(&attacker.started))
		usleep(100);
	for (unsigned i = 0; i < 50000; i++) {
		int ret;

		activate(&f, VIRTIO_COMMON_FEATURES);
		ret = pop(&f);
		assert_true(ret == 0 || ret == 1 || ret == -EPROTO);
		chains += ret == 1;
		broken += ret < 0;
		for (unsigned j = 0;
			ret == 1 && j < f.chain.readable_count + f.chain.writable_count; j++) {
			const uint8_t *low = f.driver.mem.regions[0].start_hva;

			assert_true(range_fits((uint64_t)((uint8_t *)f.iov[j].iov_base - low),
				f.iov[j].iov_len, LOW_BYTES));
			assert_true(f.iov[j].iov_len <= 33);
		}
	}
	atomic_store(&attacker.stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(chains + broken, 50000);
	tear_down(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(virtqueue_reads_each_field_once),
		cmocka_unit_test(virtqueue_driver_that_writes_meanwhile_gets_only_checked_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
