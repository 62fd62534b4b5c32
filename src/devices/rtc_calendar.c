/* Date arithmetic for the real-time clock. See rtc_calendar.h. No state, no threads. */
#include "devices/rtc_calendar.h"

#define DAY_SECONDS 86400u

static bool is_leap(uint64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Year 0 is a leap year: there are ceil(year / 4) multiples of four before `year`. */
static uint64_t days_before_year(uint64_t year)
{
	return year * 365 + (year + 3) / 4 - (year + 99) / 100 + (year + 399) / 400;
}

static unsigned days_before_month(bool leap, unsigned month)
{
	static const uint16_t days[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
	return days[month - 1] + (leap && month > 2 ? 1u : 0u);
}

struct rtc_date rtc_date_from_seconds(uint64_t seconds)
{
	uint64_t days = seconds / DAY_SECONDS;
	unsigned in_day = (unsigned)(seconds % DAY_SECONDS);
	/* 400 years have 146097 days; the guess is off by one at most. */
	uint64_t year = days * 400 / 146097;
	while (year && days_before_year(year) > days)
		year--;
	while (days_before_year(year + 1) <= days)
		year++;
	unsigned in_year = (unsigned)(days - days_before_year(year));
	unsigned month = 12;
	while (days_before_month(is_leap(year), month) > in_year)
		month--;
	return (struct rtc_date){
		.year = (unsigned)year,
		.month = month,
		.day = in_year - days_before_month(is_leap(year), month) + 1,
		.weekday = (unsigned)((days + 6) % 7) + 1, /* 0000-01-01 was a Saturday */
		.hour = in_day / 3600,
		.minute = in_day / 60 % 60,
		.second = in_day % 60,
	};
}

uint64_t rtc_date_to_seconds(const struct rtc_date *date)
{
	unsigned month = date->month < 1 ? 1 : date->month > 12 ? 12 : date->month;
	unsigned day = date->day < 1 ? 1 : date->day;
	uint64_t days = days_before_year(date->year) +
			days_before_month(is_leap(date->year), month) + day - 1;
	return days * DAY_SECONDS + date->hour * 3600u + date->minute * 60u + date->second;
}
