/* COM1, a 16550A: lines out, lines in. */
#include "card.h"

#define COM1         0x3f8
#define COM_DATA     (COM1 + 0)
#define COM_IER      (COM1 + 1)
#define COM_FCR      (COM1 + 2)
#define COM_LCR      (COM1 + 3)
#define COM_MCR      (COM1 + 4)
#define COM_LSR      (COM1 + 5)
#define IER_RECEIVED 0x01
#define FCR_ENABLE   0x07 /* and clear both FIFOs; an interrupt from one byte on */
#define LCR_8N1      0x03
#define LCR_DLAB     0x80
#define MCR_ON       0x0b /* DTR, RTS, OUT2: the interrupt reaches the PIC */
#define LSR_DATA     0x01
#define LSR_THRE     0x20
#define FIFO_BYTES   16

#define SEND_POLLS 1000000

static bool present;
static char received[256];
static size_t received_length;
static bool received_skip; /* the rest of a line that was too long */

void serial_init(void)
{
	out8(COM_LCR, LCR_DLAB);
	out8(COM_DATA, 1); /* 115200 baud */
	out8(COM_IER, 0);
	out8(COM_LCR, LCR_8N1);
	out8(COM_FCR, FCR_ENABLE);
	out8(COM_MCR, MCR_ON);
	out8(COM_IER, IER_RECEIVED);
	present = in8(COM_LSR) != 0xff;
	if (present)
		interrupts_unmask(IRQ_COM1);
}

static void send(const char *text, size_t length)
{
	unsigned room = 0;

	for (size_t i = 0; i < length; i++, room--) {
		for (unsigned polls = 0; room == 0; polls++) {
			if (polls == SEND_POLLS) {
				present = false;
				return;
			}
			if (in8(COM_LSR) & LSR_THRE)
				room = FIFO_BYTES;
		}
		out8(COM_DATA, (uint8_t)text[i]);
	}
}

void report(const char *format, ...)
{
	char line[256];
	size_t length;
	__builtin_va_list arguments;

	if (!present)
		return;
	__builtin_va_start(arguments, format);
	length = text_vformat(line, sizeof(line) - 2, format, arguments);
	__builtin_va_end(arguments);
	line[length++] = '\r';
	line[length++] = '\n';
	send(line, length);
}

const char *serial_line(void)
{
	static char line[sizeof(received)];

	while (present && (in8(COM_LSR) & LSR_DATA)) {
		char c = (char)in8(COM_DATA);

		if (c != '\n' && c != '\r') {
			if (received_length < sizeof(received) - 1)
				received[received_length++] = c;
			else
				received_skip = true;
			continue;
		}
		memcpy(line, received, received_length);
		line[received_length] = '\0';
		if (received_length == 0)
			continue;
		received_length = 0;
		if (!received_skip)
			return line;
		received_skip = false;
		report("error line too long");
	}
	return NULL;
}
