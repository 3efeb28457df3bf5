/*
 * The pool's decisions on a clock of our own. drive() is a small world: it
 * carries out each plan, and a start takes what the test says.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "pool/pool.h"
#include "tests/unit/unit.h"

#define START_MAX 4096

struct world {
	struct pool_profile p;
	int64_t now_ms;
	int64_t room;	  /* of all; less what is kept */
	int64_t start_ms; /* how long a start takes */
	bool fail;	  /* starts fail */
	int64_t ends_ms[START_MAX];
	size_t n, tried;
	int64_t most; /* ready ones at any time */
};

static struct world w;

static void
setup(void)
{
	memset(&w, 0, sizeof(w));
	pool_init(&w.p, 2, 10);
	w.room = 60;
	w.start_ms = 50;
}

static void
finish_starts(void)
{
	size_t i, kept = 0;

	for (i = 0; i < w.n; i++) {
		if (w.ends_ms[i] > w.now_ms)
			w.ends_ms[kept++] = w.ends_ms[i];
		else if (w.fail)
			pool_start_failed(&w.p, w.now_ms);
		else
			pool_started(&w.p, w.start_ms);
	}
	w.n = kept;
}

/* Goes on for ms milliseconds, claiming every so many (0: never). */
static void
drive(int64_t ms, int64_t claim_every_ms)
{
	int64_t until = w.now_ms + ms, n;

	for (; w.now_ms < until; w.now_ms++) {
		if (claim_every_ms > 0 && w.now_ms % claim_every_ms == 0)
			(void)pool_claim(&w.p, w.now_ms);
		finish_starts();
		n = pool_plan(
		    &w.p, w.now_ms, w.room - w.p.ready - w.p.starting);
		for (; n > 0; n--) {
			ck_assert_uint_lt(w.n, START_MAX);
			w.ends_ms[w.n++] = w.now_ms + w.start_ms;
			w.p.starting++;
			w.tried++;
		}
		for (; n < 0; n++)
			pool_lost(&w.p);
		ck_assert_int_ge(w.p.ready, 0);
		if (w.p.ready > w.most)
			w.most = w.p.ready;
	}
}

START_TEST(an_idle_pool_fills_to_its_minimum)
{
	drive(1000, 0);
	ck_assert_int_eq(w.p.ready, 2);
	ck_assert_int_eq(w.p.starting, 0);
	ck_assert_uint_eq(w.tried, 2);
}
END_TEST

START_TEST(a_pool_without_minimum_stays_empty_while_idle)
{
	pool_init(&w.p, 0, 10);
	drive(1000, 0);
	ck_assert_uint_eq(w.tried, 0);
}
END_TEST

START_TEST(a_claim_takes_a_ready_one_and_counts_a_hit)
{
	drive(1000, 0);
	ck_assert(pool_claim(&w.p, w.now_ms));
	ck_assert_int_eq(w.p.ready, 1);
	ck_assert_uint_eq(w.p.hits, 1);
	ck_assert_uint_eq(w.p.misses, 0);
}
END_TEST

START_TEST(a_claim_of_an_empty_pool_is_a_miss)
{
	ck_assert(!pool_claim(&w.p, 0));
	ck_assert_int_eq(w.p.ready, 0);
	ck_assert_uint_eq(w.p.hits, 0);
	ck_assert_uint_eq(w.p.misses, 1);
}
END_TEST

START_TEST(a_refill_begins_with_the_claim)
{
	drive(1000, 0);
	ck_assert_int_eq(pool_plan(&w.p, w.now_ms, 60), 0);
	(void)pool_claim(&w.p, w.now_ms);
	ck_assert_int_ge(pool_plan(&w.p, w.now_ms, 60), 1);
}
END_TEST

START_TEST(what_is_starting_is_not_started_again)
{
	ck_assert_int_eq(pool_plan(&w.p, 0, 60), 2);
	w.p.starting = 2;
	ck_assert_int_eq(pool_plan(&w.p, 0, 60), 0);
}
END_TEST

START_TEST(a_burst_is_refilled_and_a_minute_later_the_minimum_is_there)
{
	int i;

	drive(1000, 0);
	for (i = 0; i < 20; i++)
		(void)pool_claim(&w.p, w.now_ms);
	ck_assert_uint_eq(w.p.hits, 2);
	ck_assert_uint_eq(w.p.misses, 18);
	drive(60000, 0);
	ck_assert_int_eq(w.p.ready, 2);
}
END_TEST

START_TEST(faster_claims_keep_more_ready)
{
	int64_t slow;

	w.start_ms = 500;
	drive(60000, 2000);
	slow = pool_want(&w.p, w.now_ms);
	drive(60000, 100);
	ck_assert_int_gt(pool_want(&w.p, w.now_ms), slow);
}
END_TEST

START_TEST(slower_starts_keep_more_ready)
{
	int64_t fast;

	pool_init(&w.p, 2, 100);
	drive(30000, 100);
	fast = pool_want(&w.p, w.now_ms);
	w.start_ms = 2000;
	drive(30000, 100);
	ck_assert_int_gt(pool_want(&w.p, w.now_ms), fast);
}
END_TEST

START_TEST(a_steady_stream_of_claims_is_all_hits_once_its_rate_is_known)
{
	uint64_t misses;

	pool_init(&w.p, 1, 60);
	w.start_ms = 400;
	drive(60000, 50);
	misses = w.p.misses;
	drive(60000, 50);
	ck_assert_uint_eq(w.p.misses, misses);
}
END_TEST

START_TEST(never_more_than_the_maximum_is_kept)
{
	w.start_ms = 5000;
	drive(120000, 10);
	drive(10000, 0);
	ck_assert_int_le(w.most, 10);
	ck_assert_int_eq(pool_want(&w.p, w.now_ms - 10000), 10);
}
END_TEST

START_TEST(an_idle_profile_shrinks_to_its_minimum)
{
	pool_init(&w.p, 2, 100);
	w.start_ms = 2000;
	drive(60000, 200);
	ck_assert_int_gt(w.most, 2);
	drive(300000, 0);
	ck_assert_int_eq(w.p.ready, 2);
}
END_TEST

START_TEST(a_steady_rate_ends_none_that_are_ready)
{
	int64_t t;

	w.start_ms = 500;
	drive(60000, 100);
	for (t = 0; t < 60000; t++) {
		ck_assert_int_ge(pool_plan(&w.p, w.now_ms, 60), 0);
		drive(1, 100);
	}
}
END_TEST

START_TEST(what_is_starting_is_not_ended)
{
	w.p.ready = 1;
	w.p.starting = 9;
	ck_assert_int_eq(pool_plan(&w.p, 0, 60), -1);
}
END_TEST

START_TEST(a_lowered_maximum_ends_what_is_above_it)
{
	drive(1000, 0);
	pool_set(&w.p, 0, 0, 0, w.now_ms);
	ck_assert_int_eq(pool_plan(&w.p, w.now_ms, 60), -2);
}
END_TEST

START_TEST(a_raised_minimum_is_filled)
{
	drive(1000, 0);
	pool_set(&w.p, 7, 7, 10, w.now_ms);
	drive(1000, 0);
	ck_assert_int_eq(w.p.ready, 7);
}
END_TEST

START_TEST(what_is_wanted_goes_down_to_the_minimum_when_nobody_claims)
{
	pool_set(&w.p, 6, 1, 10, w.now_ms);
	drive(POOL_IDLE_MS / 2, 0);
	ck_assert_int_eq(w.p.ready, 6);
	ck_assert(pool_claim(&w.p, w.now_ms));
	drive(POOL_IDLE_MS - 1000, 0);
	ck_assert_int_eq(w.p.ready, 6);
	drive(2000, 0);
	ck_assert_int_eq(w.p.ready, 1);
	(void)pool_claim(&w.p, w.now_ms);
	drive(1000, 0);
	ck_assert_int_eq(w.p.ready, 6);
}
END_TEST

START_TEST(no_more_is_started_than_there_is_room_for)
{
	ck_assert_int_eq(pool_plan(&w.p, 0, 1), 1);
	ck_assert_int_eq(pool_plan(&w.p, 0, 0), 0);
	ck_assert_int_eq(pool_plan(&w.p, 0, -5), 0);
}
END_TEST

START_TEST(a_dead_one_is_replaced)
{
	drive(1000, 0);
	pool_lost(&w.p);
	ck_assert_int_eq(pool_plan(&w.p, w.now_ms, 60), 1);
}
END_TEST

START_TEST(a_failed_start_is_tried_again_after_100_ms)
{
	w.p.starting = 1;
	pool_start_failed(&w.p, 1000);
	ck_assert_int_eq(w.p.starting, 0);
	ck_assert_int_eq(pool_plan(&w.p, 1099, 60), 0);
	ck_assert_int_eq(pool_plan(&w.p, 1100, 60), 2);
}
END_TEST

START_TEST(failing_starts_are_tried_ever_more_seldom)
{
	static const int64_t waits[] = { 100, 200, 400, 800, 1600, 3200, 6400,
		10000, 10000 };
	int64_t now = 0;
	size_t i;

	for (i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		pool_start_failed(&w.p, now);
		ck_assert_int_eq(pool_plan(&w.p, now + waits[i] - 1, 60), 0);
		now += waits[i];
		ck_assert_int_gt(pool_plan(&w.p, now, 60), 0);
	}
}
END_TEST

START_TEST(two_that_fail_together_count_once)
{
	pool_start_failed(&w.p, 0);
	pool_start_failed(&w.p, 1);
	ck_assert_int_eq(pool_plan(&w.p, 100, 60), 2);
}
END_TEST

START_TEST(a_host_that_cannot_start_is_not_hammered)
{
	w.fail = true;
	drive(60000, 0);
	ck_assert_uint_le(w.tried, 30);
}
END_TEST

START_TEST(a_start_that_succeeds_ends_the_back_off)
{
	w.fail = true;
	drive(20000, 0);
	w.fail = false;
	drive(11000, 0);
	ck_assert_int_eq(w.p.ready, 2);
	pool_lost(&w.p);
	pool_start_failed(&w.p, w.now_ms);
	ck_assert_int_eq(pool_plan(&w.p, w.now_ms + 100, 60), 1);
}
END_TEST

START_TEST(a_failing_profile_still_ends_what_is_too_much)
{
	drive(1000, 0);
	pool_start_failed(&w.p, w.now_ms);
	pool_set(&w.p, 1, 1, 1, w.now_ms);
	ck_assert_int_eq(pool_plan(&w.p, w.now_ms, 60), -1);
}
END_TEST

START_TEST(a_clock_that_stands_or_goes_back_breaks_nothing)
{
	int i;

	for (i = 0; i < 1000; i++) {
		(void)pool_claim(&w.p, 1000 - i);
		ck_assert_int_le(pool_want(&w.p, 1000 - i), 10);
	}
	pool_started(&w.p, -5);
	ck_assert_int_ge(pool_want(&w.p, 0), 2);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("pool");
	TCase *t = tcase_create("pool");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, an_idle_pool_fills_to_its_minimum);
	tcase_add_test(t, a_pool_without_minimum_stays_empty_while_idle);
	tcase_add_test(t, a_claim_takes_a_ready_one_and_counts_a_hit);
	tcase_add_test(t, a_claim_of_an_empty_pool_is_a_miss);
	tcase_add_test(t, a_refill_begins_with_the_claim);
	tcase_add_test(t, what_is_starting_is_not_started_again);
	tcase_add_test(
	    t, a_burst_is_refilled_and_a_minute_later_the_minimum_is_there);
	tcase_add_test(t, faster_claims_keep_more_ready);
	tcase_add_test(t, slower_starts_keep_more_ready);
	tcase_add_test(
	    t, a_steady_stream_of_claims_is_all_hits_once_its_rate_is_known);
	tcase_add_test(t, never_more_than_the_maximum_is_kept);
	tcase_add_test(t, an_idle_profile_shrinks_to_its_minimum);
	tcase_add_test(t, a_steady_rate_ends_none_that_are_ready);
	tcase_add_test(t, what_is_starting_is_not_ended);
	tcase_add_test(t, a_lowered_maximum_ends_what_is_above_it);
	tcase_add_test(t, a_raised_minimum_is_filled);
	tcase_add_test(
	    t, what_is_wanted_goes_down_to_the_minimum_when_nobody_claims);
	tcase_add_test(t, no_more_is_started_than_there_is_room_for);
	tcase_add_test(t, a_dead_one_is_replaced);
	tcase_add_test(t, a_failed_start_is_tried_again_after_100_ms);
	tcase_add_test(t, failing_starts_are_tried_ever_more_seldom);
	tcase_add_test(t, two_that_fail_together_count_once);
	tcase_add_test(t, a_host_that_cannot_start_is_not_hammered);
	tcase_add_test(t, a_start_that_succeeds_ends_the_back_off);
	tcase_add_test(t, a_failing_profile_still_ends_what_is_too_much);
	tcase_add_test(t, a_clock_that_stands_or_goes_back_breaks_nothing);
	suite_add_tcase(s, t);
	return unit_run(s);
}
