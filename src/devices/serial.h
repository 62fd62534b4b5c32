/* A 16550A serial port with FIFOs. See serial.c. */
#ifndef VMGUI_DEVICES_SERIAL_H
#define VMGUI_DEVICES_SERIAL_H

#include "core/bus.h"
#include "core/char_channel.h"
#include "core/device.h"
#include "core/error.h"
#include "core/irq.h"
#include "core/timer.h"

#define SERIAL_COM1_PORT 0x3f8 /* IRQ 4 */
#define SERIAL_COM2_PORT 0x2f8 /* IRQ 3 */
#define SERIAL_COM3_PORT 0x3e8 /* IRQ 4, shared with COM1: see core/irq_or.h */
#define SERIAL_COM4_PORT 0x2e8 /* IRQ 3, shared with COM2 */

struct serial_config {
	struct bus *ports;
	uint16_t port;              /* the first of eight */
	const char *name;           /* static, e.g. "COM1" */
	struct irq_line irq;        /* driven only while the guest has set OUT2, as on a PC */
	struct timer_queue *timers; /* outlives the device */
};

struct serial;

int serial_create(
	const struct serial_config *config, struct serial **out, struct error *err) VMGUI_MUST_USE;
struct device *serial_device(struct serial *serial);

/* The end that the host side talks to; lives as long as the device. */
const struct char_device *serial_char_device(struct serial *serial);
/* Connects the host side; *host is copied. NULL (and the state after create): nobody listens,
 * output is discarded. */
void serial_set_host(struct serial *serial, const struct char_host *host);

#endif
