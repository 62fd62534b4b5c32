/* A 16550A serial port with FIFOs, as a PC has them at COM1 to COM4.
 *
 * Specification: National Semiconductor PC16550D data sheet, section 8 (registers and FIFO
 * operation); OUT2 gates the interrupt as on the PC/AT. The line has no speed of its own: what the
 * host side takes is sent at once, and the transmitter is busy only while the host side is full.
 * Input comes in bursts; the time-out interrupt follows four character times after a burst's last
 * byte.
 *
 * Threads: vCPUs (registers), the host side's thread (receive, writable, receive_break) and
 * "timers"; base.lock guards everything that is not marked immutable. */
#include "devices/serial.h"

#include <errno.h>
#include <stdlib.h>

enum serial_register {
	REG_DATA = 0, /* RBR and THR; divisor latch low with DLAB */
	REG_IER = 1,  /* divisor latch high with DLAB */
	REG_IIR = 2,  /* FCR when written */
	REG_LCR = 3,
	REG_MCR = 4,
	REG_LSR = 5,
	REG_MSR = 6,
	REG_SCR = 7,
};

enum {
	IER_DATA = 0x01,
	IER_THR_EMPTY = 0x02,
	IER_LINE_STATUS = 0x04,
	IER_MODEM_STATUS = 0x08,
	IER_MASK = 0x0f,

	/* By falling priority. */
	IIR_LINE_STATUS = 0x06,
	IIR_DATA = 0x04,
	IIR_TIMEOUT = 0x0c,
	IIR_THR_EMPTY = 0x02,
	IIR_MODEM_STATUS = 0x00,
	IIR_NONE = 0x01,
	IIR_FIFOS_ENABLED = 0xc0,

	FCR_ENABLE = 0x01,
	FCR_CLEAR_RECEIVER = 0x02,
	FCR_CLEAR_TRANSMITTER = 0x04,

	LCR_BREAK = 0x40,
	LCR_DLAB = 0x80,

	MCR_DTR = 0x01,
	MCR_RTS = 0x02,
	MCR_OUT1 = 0x04,
	MCR_OUT2 = 0x08,
	MCR_LOOP = 0x10,
	MCR_MASK = 0x1f,

	LSR_DATA_READY = 0x01,
	LSR_OVERRUN = 0x02,
	LSR_PARITY = 0x04,
	LSR_FRAMING = 0x08,
	LSR_BREAK = 0x10,
	LSR_THR_EMPTY = 0x20,
	LSR_TRANSMITTER_EMPTY = 0x40,
	LSR_FIFO_ERROR = 0x80,

	MSR_DELTA_CTS = 0x01,
	MSR_DELTA_DSR = 0x02,
	MSR_TRAILING_RI = 0x04,
	MSR_DELTA_DCD = 0x08,
	MSR_CTS = 0x10,
	MSR_DSR = 0x20,
	MSR_RI = 0x40,
	MSR_DCD = 0x80,

	FIFO_BYTES = 16,
};

#define CHARACTER_NS_AT_115200 UINT64_C(86806) /* ten bits */
/* A guest that chose a slow line does not have to suffer for it. */
#define TIMEOUT_MAX_NS (2 * NS_PER_MS)

struct serial {
	struct device base;
	struct char_device char_device; /* immutable after create, like the four below */
	struct bus *ports;
	uint16_t port;
	struct irq_line irq;
	struct timer_queue *timers;

	struct char_host host;
	struct timer timeout_timer;
	uint64_t timeout_at_ns; /* valid while the timer is armed; the timer may be early */
	bool timeout_armed;

	uint8_t ier, lcr, mcr, scratch, divisor_low, divisor_high;
	bool fifo_enabled;
	uint8_t trigger;    /* of the receiver's FIFO, in bytes */
	uint8_t lsr_errors; /* overrun, and what the byte at the receiver's head came with */
	uint8_t msr_lines, msr_deltas;

	uint8_t rx[FIFO_BYTES], rx_errors[FIFO_BYTES];
	unsigned rx_head, rx_count;
	uint8_t tx[FIFO_BYTES]; /* what the host side had no room for */
	unsigned tx_count;

	bool thr_empty_pending, timeout_pending;
	unsigned writes_since_iir; /* see write_data */
	bool break_waits;          /* a break that found the receiver full */
	bool input_refused;        /* the host side waits for resume_input */
	bool irq_level;
};

static unsigned fifo_capacity(const struct serial *serial)
{
	return serial->fifo_enabled ? FIFO_BYTES : 1;
}

static unsigned rx_trigger(const struct serial *serial)
{
	return serial->fifo_enabled ? serial->trigger : 1;
}

static uint8_t interrupt_identification(const struct serial *serial)
{
	if ((serial->ier & IER_LINE_STATUS) && serial->lsr_errors)
		return IIR_LINE_STATUS;
	if ((serial->ier & IER_DATA) && serial->rx_count >= rx_trigger(serial))
		return IIR_DATA;
	if ((serial->ier & IER_DATA) && serial->timeout_pending)
		return IIR_TIMEOUT;
	if ((serial->ier & IER_THR_EMPTY) && serial->thr_empty_pending)
		return IIR_THR_EMPTY;
	if ((serial->ier & IER_MODEM_STATUS) && serial->msr_deltas)
		return IIR_MODEM_STATUS;
	return IIR_NONE;
}

static void update_irq(struct serial *serial)
{
	bool level = (serial->mcr & MCR_OUT2) && interrupt_identification(serial) != IIR_NONE;
	if (level == serial->irq_level)
		return;
	serial->irq_level = level;
	irq_line_set(&serial->irq, level);
}

/* Receiver. */

/* The receiver's head has changed: its errors show in the line status now. */
static void rx_show_head(struct serial *serial)
{
	if (serial->rx_count) {
		serial->lsr_errors |= serial->rx_errors[serial->rx_head];
		serial->rx_errors[serial->rx_head] = 0;
	}
}

/* The receiver saw or lost a byte: below the trigger level the time-out starts anew. The timer is
 * left alone when it is armed already and looks at the new time when it fires: a guest that empties
 * the FIFO byte by byte does not wake the timers' thread sixteen times. */
static void rx_restart_timeout(struct serial *serial)
{
	serial->timeout_pending = false;
	if (!serial->fifo_enabled || !serial->rx_count || !(serial->ier & IER_DATA))
		return;
	unsigned divisor = (unsigned)serial->divisor_high << 8 | serial->divisor_low;
	uint64_t wait_ns = 4 * CHARACTER_NS_AT_115200 * (divisor ? divisor : 1);
	serial->timeout_at_ns =
		timer_queue_now_ns(serial->timers) + min_u64(wait_ns, TIMEOUT_MAX_NS);
	if (!serial->timeout_armed && serial->rx_count < serial->trigger) {
		serial->timeout_armed = true;
		timer_arm(&serial->timeout_timer, serial->timeout_at_ns);
	}
}

static void timeout_expired(void *opaque)
{
	struct serial *serial = opaque;
	serial->timeout_armed = false;
	if (!serial->fifo_enabled || !serial->rx_count || !(serial->ier & IER_DATA))
		return;
	if (timer_queue_now_ns(serial->timers) < serial->timeout_at_ns) {
		serial->timeout_armed = true;
		timer_arm(&serial->timeout_timer, serial->timeout_at_ns);
		return;
	}
	serial->timeout_pending = true;
	update_irq(serial);
}

static void rx_push(struct serial *serial, uint8_t byte, uint8_t errors)
{
	if (serial->rx_count == fifo_capacity(serial)) {
		/* Only what the guest sends to itself gets here: the host side is held back. A full
		 * FIFO stays as it is; without it the newer byte takes the place. */
		serial->lsr_errors |= LSR_OVERRUN;
		if (serial->fifo_enabled)
			return;
		serial->rx_count = 0;
	}
	unsigned tail = (serial->rx_head + serial->rx_count) % FIFO_BYTES;
	serial->rx[tail] = byte;
	serial->rx_errors[tail] = errors;
	if (serial->rx_count++ == 0)
		rx_show_head(serial);
}

/* There may be room again: a break that waited first, then the host side's bytes. */
static void rx_resume(struct serial *serial)
{
	if (serial->mcr & MCR_LOOP)
		return;
	if (serial->break_waits && serial->rx_count < fifo_capacity(serial)) {
		serial->break_waits = false;
		rx_push(serial, 0, LSR_BREAK);
		rx_restart_timeout(serial);
	}
	if (serial->input_refused && !serial->rx_count && serial->host.resume_input) {
		serial->input_refused = false;
		serial->host.resume_input(serial->host.opaque);
	}
}

static void rx_clear(struct serial *serial)
{
	serial->rx_head = serial->rx_count = 0;
	serial->timeout_pending = false;
	serial->lsr_errors &= LSR_OVERRUN;
}

static uint8_t read_data(struct serial *serial)
{
	if (!serial->rx_count)
		return 0;
	uint8_t byte = serial->rx[serial->rx_head];
	serial->rx_head = (serial->rx_head + 1) % FIFO_BYTES;
	serial->rx_count--;
	rx_show_head(serial);
	rx_restart_timeout(serial);
	rx_resume(serial);
	return byte;
}

static bool rx_has_error(const struct serial *serial)
{
	if (serial->lsr_errors & (LSR_PARITY | LSR_FRAMING | LSR_BREAK))
		return true;
	for (unsigned i = 0; i < serial->rx_count; i++)
		if (serial->rx_errors[(serial->rx_head + i) % FIFO_BYTES])
			return true;
	return false;
}

/* Transmitter. */

/* Hands the host side what it has room for. */
static void tx_drain(struct serial *serial)
{
	unsigned sent = serial->tx_count;
	if (serial->tx_count && serial->host.write)
		sent = (unsigned)serial->host.write(
			serial->host.opaque, serial->tx, serial->tx_count);
	if (sent > serial->tx_count)
		sent = serial->tx_count;
	for (unsigned i = sent; i < serial->tx_count; i++)
		serial->tx[i - sent] = serial->tx[i];
	serial->tx_count -= sent;
}

static void write_data(struct serial *serial, uint8_t byte)
{
	/* A write takes the interrupt back until the byte is gone, which is at once. A guest that
	 * answers interrupts without reading IIR needs the line's falling edge to get the next one;
	 * those that read IIR, as the data sheet wants it, are spared two calls into KVM a byte. */
	bool pulse = serial->writes_since_iir >= fifo_capacity(serial);
	if (serial->writes_since_iir < FIFO_BYTES)
		serial->writes_since_iir++;
	if (pulse) {
		serial->thr_empty_pending = false;
		update_irq(serial);
	}
	serial->thr_empty_pending = false;

	if (serial->mcr & MCR_LOOP) {
		rx_push(serial, byte, 0);
		rx_restart_timeout(serial);
	} else {
		if (serial->tx_count < fifo_capacity(serial))
			serial->tx[serial->tx_count++] = byte;
		else if (!serial->fifo_enabled)
			serial->tx[0] = byte;
		tx_drain(serial);
	}
	if (!serial->tx_count)
		serial->thr_empty_pending = true;
}

/* Control. */

static void write_fifo_control(struct serial *serial, uint8_t value)
{
	static const uint8_t triggers[] = { 1, 4, 8, 14 };
	bool enable = value & FCR_ENABLE;
	bool toggled = enable != serial->fifo_enabled;
	serial->fifo_enabled = enable;
	/* The other bits count only together with the enable bit; a change of it clears both FIFOs.
	 */
	if (enable)
		serial->trigger = triggers[value >> 6];
	if (toggled || (enable && (value & FCR_CLEAR_RECEIVER)))
		rx_clear(serial);
	if (serial->tx_count && (toggled || (enable && (value & FCR_CLEAR_TRANSMITTER)))) {
		serial->tx_count = 0;
		serial->thr_empty_pending = true;
	}
	rx_restart_timeout(serial);
	rx_resume(serial);
}

/* The modem's lines: a null modem with somebody at the other end, or the loop back from MCR. */
static void update_modem_lines(struct serial *serial)
{
	uint8_t lines = MSR_DCD | MSR_DSR | MSR_CTS;
	if (serial->mcr & MCR_LOOP)
		lines = (uint8_t)((serial->mcr & MCR_RTS ? MSR_CTS : 0) |
				  (serial->mcr & MCR_DTR ? MSR_DSR : 0) |
				  (serial->mcr & MCR_OUT1 ? MSR_RI : 0) |
				  (serial->mcr & MCR_OUT2 ? MSR_DCD : 0));
	uint8_t changed = lines ^ serial->msr_lines;
	serial->msr_deltas |=
		(uint8_t)((changed & MSR_CTS ? MSR_DELTA_CTS : 0) |
			  (changed & MSR_DSR ? MSR_DELTA_DSR : 0) |
			  (changed & serial->msr_lines & MSR_RI ? MSR_TRAILING_RI : 0) |
			  (changed & MSR_DCD ? MSR_DELTA_DCD : 0));
	serial->msr_lines = lines;
}

static uint8_t line_status(const struct serial *serial)
{
	unsigned status = serial->lsr_errors;
	if (serial->rx_count)
		status |= LSR_DATA_READY;
	if (!serial->tx_count)
		status |= LSR_THR_EMPTY | LSR_TRANSMITTER_EMPTY;
	if (serial->fifo_enabled && rx_has_error(serial))
		status |= LSR_FIFO_ERROR;
	return (uint8_t)status;
}

static uint64_t serial_read(void *opaque, uint64_t offset, unsigned width)
{
	struct serial *serial = opaque;
	uint8_t value = 0xff;
	(void)width;
	switch ((enum serial_register)offset) {
	case REG_DATA:
		value = serial->lcr & LCR_DLAB ? serial->divisor_low : read_data(serial);
		break;
	case REG_IER:
		value = serial->lcr & LCR_DLAB ? serial->divisor_high : serial->ier;
		break;
	case REG_IIR:
		value = interrupt_identification(serial);
		if (value == IIR_THR_EMPTY)
			serial->thr_empty_pending = false;
		serial->writes_since_iir = 0;
		value |= serial->fifo_enabled ? IIR_FIFOS_ENABLED : 0;
		break;
	case REG_LCR:
		value = serial->lcr;
		break;
	case REG_MCR:
		value = serial->mcr;
		break;
	case REG_LSR:
		value = line_status(serial);
		serial->lsr_errors = 0;
		break;
	case REG_MSR:
		value = serial->msr_lines | serial->msr_deltas;
		serial->msr_deltas = 0;
		break;
	case REG_SCR:
		value = serial->scratch;
		break;
	}
	update_irq(serial);
	return value;
}

static void write_ier(struct serial *serial, uint8_t value)
{
	uint8_t enabled = value & (uint8_t)~serial->ier;
	serial->ier = value & IER_MASK;
	/* Switching the interrupt on while the transmitter is empty raises it, even if it had been
	 * taken before: drivers start transmission with that. */
	if ((enabled & IER_THR_EMPTY) && !serial->tx_count)
		serial->thr_empty_pending = true;
	if (enabled & IER_DATA)
		rx_restart_timeout(serial);
}

static void write_lcr(struct serial *serial, uint8_t value)
{
	bool starts_break = (value & LCR_BREAK) && !(serial->lcr & LCR_BREAK);
	serial->lcr = value;
	/* A terminal has no use for a break from the guest; the guest's own receiver sees it. */
	if (starts_break && (serial->mcr & MCR_LOOP)) {
		rx_push(serial, 0, LSR_BREAK);
		rx_restart_timeout(serial);
	}
}

static void serial_write(void *opaque, uint64_t offset, unsigned width, uint64_t value64)
{
	struct serial *serial = opaque;
	uint8_t value = (uint8_t)value64;
	(void)width;
	switch ((enum serial_register)offset) {
	case REG_DATA:
		if (serial->lcr & LCR_DLAB)
			serial->divisor_low = value;
		else
			write_data(serial, value);
		break;
	case REG_IER:
		if (serial->lcr & LCR_DLAB)
			serial->divisor_high = value;
		else
			write_ier(serial, value);
		break;
	case REG_IIR:
		write_fifo_control(serial, value);
		break;
	case REG_LCR:
		write_lcr(serial, value);
		break;
	case REG_MCR:
		serial->mcr = value & MCR_MASK;
		update_modem_lines(serial);
		rx_resume(serial);
		break;
	case REG_LSR: /* factory test only */
	case REG_MSR:
		break;
	case REG_SCR:
		serial->scratch = value;
		break;
	}
	update_irq(serial);
}

static const struct bus_region_ops serial_ports = {
	.read = serial_read,
	.write = serial_write,
};

/* The host side. */

static size_t serial_receive(void *opaque, const uint8_t *data, size_t length)
{
	struct serial *serial = opaque;
	size_t taken = 0;
	pthread_mutex_lock(&serial->base.lock);
	/* In loop-back the receiver's input is cut off; what comes meanwhile waits outside. */
	if (!(serial->mcr & MCR_LOOP) && !serial->break_waits) {
		while (taken < length && serial->rx_count < fifo_capacity(serial))
			rx_push(serial, data[taken++], 0);
	}
	serial->input_refused = taken < length;
	if (taken)
		rx_restart_timeout(serial);
	update_irq(serial);
	pthread_mutex_unlock(&serial->base.lock);
	return taken;
}

static void serial_writable(void *opaque)
{
	struct serial *serial = opaque;
	pthread_mutex_lock(&serial->base.lock);
	if (serial->tx_count) {
		tx_drain(serial);
		if (!serial->tx_count)
			serial->thr_empty_pending = true;
		update_irq(serial);
	}
	pthread_mutex_unlock(&serial->base.lock);
}

static void serial_receive_break(void *opaque)
{
	struct serial *serial = opaque;
	pthread_mutex_lock(&serial->base.lock);
	serial->break_waits = true;
	rx_resume(serial);
	update_irq(serial);
	pthread_mutex_unlock(&serial->base.lock);
}

/* Life. */

static void power_on(struct serial *serial)
{
	serial->ier = serial->lcr = serial->mcr = serial->scratch = 0;
	serial->divisor_low = 1; /* 115200, for guests that take the line as it is */
	serial->divisor_high = 0;
	serial->fifo_enabled = false;
	serial->trigger = 1;
	rx_clear(serial);
	serial->lsr_errors = 0;
	serial->msr_lines = MSR_DCD | MSR_DSR | MSR_CTS;
	serial->msr_deltas = 0;
	serial->tx_count = 0;
	serial->thr_empty_pending = false;
	serial->writes_since_iir = 0;
	serial->break_waits = false;
	update_irq(serial);
	rx_resume(serial);
}

static void serial_reset(struct device *device)
{
	struct serial *serial = container_of(device, struct serial, base);
	pthread_mutex_lock(&device->lock);
	tx_drain(serial); /* the guest's last words, if there is room for them now */
	power_on(serial);
	pthread_mutex_unlock(&device->lock);
}

static void serial_destroy(struct device *device)
{
	if (!device)
		return;
	struct serial *serial = container_of(device, struct serial, base);
	if (serial->ports)
		bus_remove(serial->ports, serial->port);
	timer_fini(&serial->timeout_timer);
	device_fini(&serial->base);
	free(serial);
}

static const struct device_ops serial_device_ops = {
	.name = "serial",
	.reset = serial_reset,
	.destroy = serial_destroy,
};

int serial_create(const struct serial_config *config, struct serial **out, struct error *err)
{
	struct serial *serial = calloc(1, sizeof(*serial));
	if (!serial)
		return error_set(err, ENOMEM, "%s: out of memory", config->name);
	device_init(&serial->base, &serial_device_ops);
	serial->port = config->port;
	serial->irq = config->irq;
	serial->timers = config->timers;
	serial->char_device = (struct char_device){
		.receive = serial_receive,
		.writable = serial_writable,
		.receive_break = serial_receive_break,
		.opaque = serial,
	};
	timer_init(&serial->timeout_timer, config->timers, &serial->base.lock, timeout_expired,
		serial);
	power_on(serial);

	const struct bus_region region = {
		.base = config->port,
		.length = 8,
		.widths = BUS_WIDTH_1,
		.owner = config->name,
		.ops = &serial_ports,
		.opaque = serial,
		.lock = &serial->base.lock,
	};
	int rc = bus_add(config->ports, &region, err);
	if (rc) {
		serial_destroy(&serial->base);
		return rc;
	}
	serial->ports = config->ports;
	*out = serial;
	return 0;
}

struct device *serial_device(struct serial *serial)
{
	return &serial->base;
}

const struct char_device *serial_char_device(struct serial *serial)
{
	return &serial->char_device;
}

void serial_set_host(struct serial *serial, const struct char_host *host)
{
	pthread_mutex_lock(&serial->base.lock);
	serial->host = host ? *host : (struct char_host){ 0 };
	if (serial->tx_count) {
		tx_drain(serial);
		if (!serial->tx_count)
			serial->thr_empty_pending = true;
	}
	update_irq(serial);
	pthread_mutex_unlock(&serial->base.lock);
}
