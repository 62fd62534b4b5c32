/* Timers of devices: order, disarming, the thread that comes on demand. */
#include "cmocka_all.h"

#include "core/timer.h"

struct owner {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct timer timer[3];
	char order[16];
	unsigned count;
	bool again;
};

static void fired(struct owner *owner, char which)
{
	if (owner->count < sizeof(owner->order) - 1)
		owner->order[owner->count++] = which;
	pthread_cond_broadcast(&owner->changed);
}

static void expired_a(void *opaque)
{
	struct owner *owner = opaque;
	fired(owner, 'a');
	if (owner->again)
		timer_arm(&owner->timer[0],
			timer_queue_now_ns(owner->timer[0].queue) + 100 * NS_PER_US);
}

static void expired_b(void *opaque)
{
	fired(opaque, 'b');
}

static void expired_c(void *opaque)
{
	fired(opaque, 'c');
}

static void owner_init(struct owner *owner, struct timer_queue *queue)
{
	*owner = (struct owner){ .count = 0 };
	pthread_mutex_init(&owner->lock, NULL);
	pthread_cond_init(&owner->changed, NULL);
	timer_init(&owner->timer[0], queue, &owner->lock, expired_a, owner);
	timer_init(&owner->timer[1], queue, &owner->lock, expired_b, owner);
	timer_init(&owner->timer[2], queue, &owner->lock, expired_c, owner);
}

static void owner_fini(struct owner *owner)
{
	for (int i = 0; i < 3; i++)
		timer_fini(&owner->timer[i]);
	pthread_cond_destroy(&owner->changed);
	pthread_mutex_destroy(&owner->lock);
}

static void timer_manual_queue_fires_in_order(void **state)
{
	(void)state;
	struct timer_queue *queue = timer_queue_create_manual();
	struct owner owner;
	owner_init(&owner, queue);
	uint64_t now = timer_queue_now_ns(queue);
	timer_arm(&owner.timer[2], now + 300);
	timer_arm(&owner.timer[0], now + 100);
	timer_arm(&owner.timer[1], now + 200);
	timer_arm(&owner.timer[0], now + 250); /* moved */
	timer_queue_advance(queue, 99);
	assert_string_equal(owner.order, "");
	timer_queue_advance(queue, 160);
	assert_string_equal(owner.order, "ba");
	timer_disarm(&owner.timer[2]);
	timer_queue_advance(queue, 1000);
	assert_string_equal(owner.order, "ba");
	assert_true(timer_queue_idle(queue));
	owner_fini(&owner);
	timer_queue_destroy(queue);
}

static void timer_thread_fires_in_order(void **state)
{
	(void)state;
	struct timer_queue *queue = timer_queue_create();
	struct owner owner;
	owner_init(&owner, queue);
	pthread_mutex_lock(&owner.lock);
	uint64_t now;
	do {
		now = timer_queue_now_ns(queue);
		timer_arm(&owner.timer[0], now + 30 * NS_PER_MS);
		timer_arm(&owner.timer[1], now + 10 * NS_PER_MS);
		timer_arm(&owner.timer[2], now + 20 * NS_PER_MS);
		/* Again if the first was due before the last was armed. */
	} while (timer_queue_now_ns(queue) >= now + 10 * NS_PER_MS);
	while (owner.count < 3)
		pthread_cond_wait(&owner.changed, &owner.lock);
	assert_true(timer_queue_now_ns(queue) >= now + 30 * NS_PER_MS);
	pthread_mutex_unlock(&owner.lock);
	assert_string_equal(owner.order, "bca");
	owner_fini(&owner);
	timer_queue_destroy(queue);
}

static void timer_disarmed_under_the_lock_does_not_fire(void **state)
{
	(void)state;
	struct timer_queue *queue = timer_queue_create();
	struct owner owner;
	owner_init(&owner, queue);
	for (int i = 0; i < 200; i++) {
		pthread_mutex_lock(&owner.lock);
		timer_arm(&owner.timer[1], timer_queue_now_ns(queue)); /* due, and waits for us */
		timer_disarm(&owner.timer[1]);
		pthread_mutex_unlock(&owner.lock);
	}
	owner_fini(&owner);
	assert_int_equal(owner.count, 0);
	timer_queue_destroy(queue);
}

static void timer_fini_ends_one_that_arms_itself(void **state)
{
	(void)state;
	struct timer_queue *queue = timer_queue_create();
	struct owner owner;
	owner_init(&owner, queue);
	pthread_mutex_lock(&owner.lock);
	owner.again = true;
	timer_arm(&owner.timer[0], timer_queue_now_ns(queue));
	while (owner.count < 5)
		pthread_cond_wait(&owner.changed, &owner.lock);
	pthread_mutex_unlock(&owner.lock);
	owner_fini(&owner);
	assert_true(timer_queue_idle(queue));
	timer_queue_destroy(queue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timer_manual_queue_fires_in_order),
		cmocka_unit_test(timer_thread_fires_in_order),
		cmocka_unit_test(timer_disarmed_under_the_lock_does_not_fire),
		cmocka_unit_test(timer_fini_ends_one_that_arms_itself),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
