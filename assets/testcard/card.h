/* What the parts of the test card share. Everything here runs in ring 3, on one processor, with
 * interrupts off; the only place that waits is interrupts_wait. */
#ifndef TESTCARD_CARD_H
#define TESTCARD_CARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"

/* ---- ports ---- */

static inline uint8_t in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %w1, %b0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint16_t in16(uint16_t port)
{
	uint16_t value;

	__asm__ volatile("inw %w1, %w0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint32_t in32(uint16_t port)
{
	uint32_t value;

	__asm__ volatile("inl %w1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %b0, %w1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void out16(uint16_t port, uint16_t value)
{
	__asm__ volatile("outw %w0, %w1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void out32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %w1" : : "a"(value), "Nd"(port) : "memory");
}

/* ---- entry.S ---- */

void card_call(unsigned function);
extern uint64_t exception_vector, exception_error, exception_rip, exception_address;
extern uint8_t ap_online[256]; /* by APIC id */
extern volatile uint32_t ap_count;
extern const uint8_t ap_trampoline[], ap_trampoline_end[];

/* ---- text.c: strings, numbers ---- */

void *memcpy(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
size_t text_length(const char *text);
bool text_equal(const char *a, const char *b);
/* printf's %s %c %u %d %x (32 bits), %lx (64 bits), with a width and leading zeros for %x and %u.
 * Always ends the text; returns its length. */
size_t text_format(char *to, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
size_t text_vformat(char *to, size_t size, const char *format, __builtin_va_list arguments);
/* The number at *at (decimal, or hexadecimal after 0x), which then points behind it. */
bool text_number(const char **at, uint32_t *number);
/* CRC-32 as zlib has it; starts with 0. */
uint32_t crc_add(uint32_t crc, const void *data, size_t bytes);

/* ---- interrupts.c ---- */

enum {
	IRQ_PIT = 0,
	IRQ_KEYBOARD = 1,
	IRQ_COM1 = 4,
	IRQ_SCI = 9,
	IRQ_MOUSE = 12
};

void interrupts_init(void);
void interrupts_unmask(unsigned irq);
/* Ends an interrupt's service and halts until the next. */
void interrupts_wait(void);
/* Interrupts at about that rate from the PIT's counter 0; 0 stops them. */
void pit_start(uint32_t hz);
#define PIT_PAUSE_MAX_US 50000u
/* Halts for that long, at most 50 ms; stops what pit_start has started. Interrupts of other devices
 * are taken meanwhile: look at all devices afterwards. */
void pit_pause(uint32_t microseconds);

/* ---- serial.c ---- */

void serial_init(void);
/* One line of the protocol (README.md); the line's end is added. */
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A whole line received since the last call, without its end; NULL: none yet. */
const char *serial_line(void);

/* ---- boot.c: what the boot loader left ---- */

struct screen_mode {
	uint64_t base; /* 0: no framebuffer */
	uint32_t width, height, depth, stride;
};

void boot_init(const void *boot_params);
void boot_screen(struct screen_mode *mode);
const char *boot_parameters(void);
uint64_t boot_rsdp(void);
/* A page below 640 KiB that nothing of the boot loader's lives in. */
uint32_t boot_free_page(void);
/* Value of `name=` on the kernel command line, ended by blank or end; NULL: not there. */
const char *boot_parameter(const char *name);

/* ---- screen.c: pixels ---- */

extern struct screen_mode screen;

void screen_init(void);
/* By the Bochs DISPI registers. False: the adapter refused, and the old mode is back. */
bool screen_set_mode(uint32_t width, uint32_t height, uint32_t depth);
void screen_mode_name(char *to, size_t size); /* "1024x768x32" */
/* Colours are 0xRRGGBB. Everything is clipped to the screen. */
void screen_fill(int x, int y, int width, int height, uint32_t colour);
void screen_pixel(int x, int y, uint32_t colour);
/* width pixels from x on, the first from colours[0]. */
void screen_row(int x, int y, int width, const uint32_t *colours);
/* Raw pixels of a rectangle inside the screen, to be put back later. */
void screen_save(int x, int y, int width, int height, void *to);
void screen_restore(int x, int y, int width, int height, const void *from);
/* Twice as many rows as the screen has, no two alike. False: there is no room. */
bool screen_make_rows(void);
/* Shows the screen from that row on; all that draws means row 0. */
void screen_pan(uint32_t row);
/* A row that no display shows; nothing without video memory for it. */
void screen_fill_hidden(uint32_t colour);
void screen_blank(bool blank);
/* An entry of the palette, which 8-bit modes show. */
void screen_set_colour(uint32_t index, uint32_t colour);
/* CRC-32 of the picture as rows of R, G, B bytes, masked to the bits that the mode can hold. */
uint32_t screen_checksum(void);

/* ---- font.c ---- */

#define FONT_WIDTH  6
#define FONT_HEIGHT 10

void font_draw(int x, int y, int scale, uint32_t colour, const char *text);

/* ---- picture.c: the card itself ---- */

struct card_state {
	char key[48]; /* the last key, or empty */
	unsigned leds, buttons;
	int x, y, wheel, hwheel;
	bool absolute; /* where the pointer is comes from the vmmouse */
	uint32_t frame;
};

void picture_paint(const struct card_state *state);
/* Paints what differs from the last time. */
void picture_update(const struct card_state *state);
/* Takes the pointer off the screen and stops painting until the next picture_paint. */
void picture_leave(void);

/* ---- ps2.c, keys.c ---- */

struct mouse_event {
	int dx, dy;        /* right, down positive */
	int wheel, hwheel; /* up, right positive */
	unsigned buttons;  /* 1 left, 2 right, 4 middle, 8 side, 16 extra */
	bool absolute;     /* in place of dx, dy: */
	uint32_t x, y;     /* 0..0xffff is the screen's width and height */
};

enum ps2_event_kind {
	PS2_NONE,
	PS2_KEY,
	PS2_MOUSE
};

struct ps2_event {
	enum ps2_event_kind kind;
	unsigned code; /* evdev's; 0: not known, then scan says what came */
	unsigned scan; /* set 1, with 0xe000 for the E0 prefix */
	bool down, repeat;
	struct mouse_event mouse;
};

void ps2_init(void);
/* The next event that the controller holds; kind PS2_NONE: no more. */
struct ps2_event ps2_next(void);
void ps2_set_leds(unsigned leds); /* 1 scroll, 2 num, 4 caps */
/* Each byte from the controller is read that much later; 0: at once. */
void ps2_set_delay(uint32_t microseconds);
/* Says `scan` and the bytes for each sequence of the keyboard's. */
void ps2_report_scans(bool on);
/* What answered: 0 no keyboard or mouse, else a mask of these. */
enum {
	PS2_HAS_KEYBOARD = 1,
	PS2_HAS_MOUSE = 2,
	PS2_HAS_WHEEL = 4,
	PS2_HAS_BUTTONS5 = 8
};
unsigned ps2_found(void);

unsigned key_code(unsigned scan); /* set 1 to evdev, 0 unknown */
const char *key_name(unsigned code);

/* evdev codes that the card itself knows. */
enum {
	KEY_ESC = 1,
	KEY_CAPSLOCK = 58,
	KEY_NUMLOCK = 69,
	KEY_SCROLLLOCK = 70,
	KEY_PAUSE = 119,
	KEY_HANGUL = 122,
	KEY_HANJA = 123,
};

/* ---- vmmouse.c: once the PS/2 mouse has said something ---- */

bool vmmouse_found(void);
bool vmmouse_enable(void);
void vmmouse_disable(void);
bool vmmouse_enabled(void);
/* False: it holds no more. */
bool vmmouse_next(struct mouse_event *event);

/* ---- motion.c: for measuring (README.md) ---- */

#define FLASH_MAX 2048

void motion_time(void);
void motion_flash(uint32_t count, uint32_t seed);
/* False: there is no such kind. */
bool motion_stream(const char *kind, uint32_t count, uint32_t pause_us);

/* ---- acpi.c ---- */

void acpi_init(void);
bool acpi_power_button(void); /* pressed since the last call */
void acpi_power_off(void);
bool acpi_reset(void); /* by the FADT's register; false: there is none */
unsigned acpi_processors(uint8_t *apic_ids, unsigned max); /* enabled ones in the MADT */

/* ---- machine.c, smp.c, commands.c, main.c ---- */

bool pci_find(uint32_t vendor_device, uint32_t *address);
uint32_t pci_read32(uint32_t address, unsigned offset);
void machine_reset(const char *kind);
void smp_start(void);
void command_run(const char *line);
/* Commands separated by ';', blanks written as ','. */
void command_run_list(const char *list);

extern struct card_state card;
void card_set_rate(uint32_t fps);
/* Pans over twice the screen's height that often; 0: stops at the top. False: there is no room. */
bool card_set_pan(uint32_t hz);
void card_mode_changed(void);
/* From the vmmouse, or from the PS/2 mouse. False: there is no such thing. */
bool card_set_absolute(bool absolute);
void card_set_delay(uint32_t microseconds);
/* Keys are kept in memory from now on and not reported, up to an Escape; tells how many have been
 * kept, and their checksum. */
void card_record(bool on);
void card_record_show(void);

#endif
