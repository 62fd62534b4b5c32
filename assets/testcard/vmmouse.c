/* The absolute pointer behind the i8042: VMware's, on the port 0x5658, as Linux's vmmouse.c and X
 * speak it. A call is IN from that port with a magic number and a command in the registers, and
 * the answer in the same registers. The PS/2 mouse only says that there is something to fetch. */
#include "card.h"

#define PORT  0x5658
#define MAGIC 0x564d5868u

#define COMMAND_VERSION 10
#define COMMAND_DATA    39
#define COMMAND_STATUS  40
#define COMMAND_POINTER 41

/* Arguments of COMMAND_POINTER. */
#define POINTER_ENABLE   0x45414552u
#define POINTER_DISABLE  0x000000f5u
#define POINTER_ABSOLUTE 0x53424152u

#define POINTER_ID   0x3442554au /* the first word after enabling */
#define STATUS_ERROR 0xffff0000u
#define STATUS_WORDS 0x0000ffffu
#define PACKET_WORDS 4

#define BUTTON_LEFT     0x20
#define BUTTON_RIGHT    0x10
#define BUTTON_MIDDLE   0x08
#define PACKET_RELATIVE 0x00010000u

struct answer {
	uint32_t eax, ebx, ecx, edx;
};

static bool enabled;

static struct answer call(uint32_t command, uint32_t argument)
{
	struct answer answer;

	__asm__ volatile("inl %%dx, %%eax"
			 : "=a"(answer.eax), "=b"(answer.ebx), "=c"(answer.ecx), "=d"(answer.edx)
			 : "a"(MAGIC), "b"(argument), "c"(command), "d"(PORT), "S"(0), "D"(0)
			 : "memory");
	return answer;
}

bool vmmouse_found(void)
{
	struct answer answer = call(COMMAND_VERSION, ~MAGIC);

	return answer.ebx == MAGIC && answer.eax != 0xffffffff;
}

bool vmmouse_enabled(void)
{
	return enabled;
}

bool vmmouse_enable(void)
{
	struct answer answer;

	call(COMMAND_POINTER, POINTER_ENABLE);
	answer = call(COMMAND_STATUS, 0);
	if (!(answer.eax & STATUS_WORDS) || (answer.eax & STATUS_ERROR) == STATUS_ERROR) {
		report("error vmmouse: status %08x after enabling", answer.eax);
		return false;
	}
	answer = call(COMMAND_DATA, 1);
	if (answer.eax != POINTER_ID) {
		report("error vmmouse: its id is %08x", answer.eax);
		return false;
	}
	call(COMMAND_POINTER, POINTER_ABSOLUTE);
	enabled = true;
	return true;
}

void vmmouse_disable(void)
{
	call(COMMAND_POINTER, POINTER_DISABLE);
	enabled = false;
	/* This status is how drivers know that it is off. */
	if ((call(COMMAND_STATUS, 0).eax & STATUS_ERROR) != STATUS_ERROR)
		report("error vmmouse: still there after it was disabled");
}

bool vmmouse_next(struct mouse_event *event)
{
	struct answer answer;
	uint32_t flags;

	if (!enabled)
		return false;
	answer = call(COMMAND_STATUS, 0);
	if ((answer.eax & STATUS_ERROR) == STATUS_ERROR || answer.eax % PACKET_WORDS) {
		report("error vmmouse: status %08x", answer.eax);
		/* As drivers do: start anew. */
		(void)vmmouse_enable();
		return false;
	}
	if (!(answer.eax & STATUS_WORDS))
		return false;
	answer = call(COMMAND_DATA, PACKET_WORDS);
	flags = answer.eax;
	*event = (struct mouse_event){ .wheel = -(int8_t)answer.edx };
	event->buttons = (flags & BUTTON_LEFT ? 1 : 0) | (flags & BUTTON_RIGHT ? 2 : 0) |
			 (flags & BUTTON_MIDDLE ? 4 : 0);
	if (flags & PACKET_RELATIVE) {
		event->dx = (int32_t)answer.ebx;
		event->dy = -(int32_t)answer.ecx;
	} else {
		event->absolute = true;
		event->x = answer.ebx;
		event->y = answer.ecx;
	}
	return true;
}
