/* Threads made under signals_block_for_thread: faults come through, signals of people do not. */
#include "core/signals.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>

#include <cmocka.h>

static atomic_int taken;

static void note(int number)
{
	atomic_store(&taken, number);
}

static void *raise_it(void *opaque)
{
	/* Where it is blocked it stays pending, and goes with the thread. */
	raise(*(const int *)opaque);
	return NULL;
}

static int taken_in_thread(int number)
{
	struct sigaction action = { .sa_handler = note }, previous;
	sigset_t before, after;
	pthread_t thread;

	atomic_store(&taken, 0);
	sigemptyset(&action.sa_mask);
	assert_int_equal(sigaction(number, &action, &previous), 0);
	signals_block_for_thread(&before);
	assert_int_equal(pthread_create(&thread, NULL, raise_it, &number), 0);
	signals_restore(&before);
	pthread_join(thread, NULL);
	sigaction(number, &previous, NULL);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	assert_int_equal(sigismember(&after, number), sigismember(&before, number));
	return atomic_load(&taken);
}

static void signals_fault_in_thread_reaches_handler(void **state)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGABRT };

	(void)state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		assert_int_equal(taken_in_thread(faults[i]), faults[i]);
}

static void signals_request_in_thread_is_left_to_main(void **state)
{
	static const int requests[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGUSR1, SIGALRM };

	(void)state;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		assert_int_equal(taken_in_thread(requests[i]), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signals_fault_in_thread_reaches_handler),
		cmocka_unit_test(signals_request_in_thread_is_left_to_main),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
