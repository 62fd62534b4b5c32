/* Strings, numbers and checksums, and the three functions that the compiler may call by itself. */
#include "card.h"

void *memcpy(void *to, const void *from, size_t bytes)
{
	void *start = to;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
	return start;
}

void *memset(void *to, int value, size_t bytes)
{
	void *start = to;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
	return start;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
	const uint8_t *left = a, *right = b;

	for (size_t i = 0; i < bytes; i++) {
		if (left[i] != right[i])
			return left[i] - right[i];
	}
	return 0;
}

size_t text_length(const char *text)
{
	size_t length = 0;

	while (text[length])
		length++;
	return length;
}

bool text_equal(const char *a, const char *b)
{
	size_t length = text_length(a);

	return length == text_length(b) && memcmp(a, b, length) == 0;
}

struct output {
	char *to;
	size_t size, length;
};

static void put(struct output *output, char c)
{
	if (output->length + 1 < output->size)
		output->to[output->length++] = c;
}

static void put_number(
	struct output *output, uint64_t number, unsigned radix, unsigned width, char pad)
{
	char digits[20];
	unsigned count = 0;

	do {
		digits[count++] = "0123456789abcdef"[number % radix];
		number /= radix;
	} while (number);
	for (; width > count; width--)
		put(output, pad);
	while (count > 0)
		put(output, digits[--count]);
}

static void put_argument(struct output *output, const char **at, __builtin_va_list *arguments)
{
	const char *format = *at;
	char pad = ' ';
	unsigned width = 0;
	bool wide = false;

	if (*format == '0')
		pad = *format++;
	while (*format >= '0' && *format <= '9')
		width = width * 10 + (unsigned)(*format++ - '0');
	if (*format == 'l') {
		wide = true;
		format++;
	}
	switch (*format) {
	case 's':
		for (const char *s = __builtin_va_arg(*arguments, const char *); *s; s++)
			put(output, *s);
		break;
	case 'c':
		put(output, (char)__builtin_va_arg(*arguments, int));
		break;
	case 'd': {
		int number = __builtin_va_arg(*arguments, int);

		if (number < 0)
			put(output, '-');
		put_number(output, number < 0 ? 0u - (unsigned)number : (unsigned)number, 10, width,
			pad);
		break;
	}
	case 'u':
	case 'x': {
		uint64_t number = wide ? __builtin_va_arg(*arguments, uint64_t)
				       : __builtin_va_arg(*arguments, unsigned);

		put_number(output, number, *format == 'x' ? 16 : 10, width, pad);
		break;
	}
	default:
		put(output, *format);
		break;
	}
	*at = *format ? format + 1 : format;
}

size_t text_vformat(char *to, size_t size, const char *format, __builtin_va_list arguments)
{
	struct output output = { .to = to, .size = size };
	__builtin_va_list copy;

	__builtin_va_copy(copy, arguments);
	while (*format) {
		if (*format != '%') {
			put(&output, *format++);
			continue;
		}
		format++;
		put_argument(&output, &format, &copy);
	}
	__builtin_va_end(copy);
	to[output.length] = '\0';
	return output.length;
}

size_t text_format(char *to, size_t size, const char *format, ...)
{
	__builtin_va_list arguments;
	size_t length;

	__builtin_va_start(arguments, format);
	length = text_vformat(to, size, format, arguments);
	__builtin_va_end(arguments);
	return length;
}

bool text_number(const char **at, uint32_t *number)
{
	const char *text = *at;
	uint32_t radix = 10, value = 0;
	bool any = false;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		radix = 16;
		text += 2;
	}
	for (;; text++) {
		unsigned digit;

		if (*text >= '0' && *text <= '9')
			digit = (unsigned)(*text - '0');
		else if (radix == 16 && (*text | 0x20) >= 'a' && (*text | 0x20) <= 'f')
			digit = (unsigned)((*text | 0x20) - 'a' + 10);
		else
			break;
		value = value * radix + digit;
		any = true;
	}
	if (!any)
		return false;
	*at = text;
	*number = value;
	return true;
}

uint32_t crc_add(uint32_t crc, const void *data, size_t bytes)
{
	static uint32_t table[256];
	const uint8_t *from = data;

	for (uint32_t i = 0; !table[255] && i < 256; i++) {
		uint32_t value = i;

		for (int bit = 0; bit < 8; bit++)
			value = value >> 1 ^ (value & 1 ? 0xedb88320 : 0);
		table[i] = value;
	}
	crc = ~crc;
	while (bytes-- > 0)
		crc = crc >> 8 ^ table[(crc ^ *from++) & 255];
	return ~crc;
}
