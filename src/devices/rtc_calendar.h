/* Date arithmetic for the real-time clock: the Gregorian calendar from 0000-01-01, so that every
 * date which a guest can write is a number from 0. */
#ifndef VMGUI_DEVICES_RTC_CALENDAR_H
#define VMGUI_DEVICES_RTC_CALENDAR_H

#include "core/util.h"

/* Seconds from 0000-01-01 to 1970-01-01. */
#define RTC_UNIX_EPOCH_SECONDS (UINT64_C(719528) * 86400)

struct rtc_date {
	unsigned year;       /* 0 and up */
	unsigned month, day; /* from 1 */
	unsigned weekday;    /* 1 is Sunday; not read by rtc_date_to_seconds */
	unsigned hour, minute, second;
};

struct rtc_date rtc_date_from_seconds(uint64_t seconds);
/* Fields out of range are moved into it or carried over; the result is a date in any case. */
uint64_t rtc_date_to_seconds(const struct rtc_date *date);

#endif
