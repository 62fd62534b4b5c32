/* What the boot loader left in boot_params: Linux's boot protocol,
 * Documentation/arch/x86/zero-page.rst and boot.rst. A copy is taken first. */
#include "card.h"

#define SCREEN_WIDTH     0x12
#define SCREEN_HEIGHT    0x14
#define SCREEN_DEPTH     0x16
#define SCREEN_BASE      0x18
#define SCREEN_STRIDE    0x24
#define SCREEN_TYPE      0x0f
#define SCREEN_CAPS      0x36
#define SCREEN_BASE_HIGH 0x3a
#define ACPI_RSDP        0x70
#define EXT_CMDLINE      0x0c8
#define CMDLINE          0x228

#define SCREEN_TYPE_VLFB  0x23
#define SCREEN_TYPE_EFI   0x70
#define SCREEN_CAPS_64BIT 2
#define CMDLINE_BYTES     1024
#define PAGE_BYTES        4096u
#define BOOT_PARAMS_BYTES 4096u
#define LOW_MEMORY_END    0x90000u
#define CMDLINE_SPAN      0x2000u

static uint8_t zero_page[BOOT_PARAMS_BYTES];
static uint64_t zero_page_at, cmdline_at;
static char cmdline[CMDLINE_BYTES];

static uint32_t field16(unsigned offset)
{
	return zero_page[offset] | (uint32_t)zero_page[offset + 1] << 8;
}

static uint64_t field32(unsigned offset)
{
	return field16(offset) | field16(offset + 2) << 16;
}

void boot_init(const void *boot_params)
{
	zero_page_at = (uintptr_t)boot_params;
	memcpy(zero_page, boot_params, sizeof(zero_page));
	cmdline_at = field32(CMDLINE) | field32(EXT_CMDLINE) << 32;
	if (!cmdline_at)
		return;
	for (size_t i = 0; i < sizeof(cmdline) - 1; i++) {
		cmdline[i] = ((const char *)cmdline_at)[i];
		if (!cmdline[i])
			break;
	}
}

void boot_screen(struct screen_mode *mode)
{
	unsigned type = zero_page[SCREEN_TYPE];

	memset(mode, 0, sizeof(*mode));
	if (type != SCREEN_TYPE_VLFB && type != SCREEN_TYPE_EFI)
		return;
	mode->base = field32(SCREEN_BASE);
	if (zero_page[SCREEN_CAPS] & SCREEN_CAPS_64BIT)
		mode->base |= field32(SCREEN_BASE_HIGH) << 32;
	mode->width = field16(SCREEN_WIDTH);
	mode->height = field16(SCREEN_HEIGHT);
	mode->depth = field16(SCREEN_DEPTH);
	mode->stride = field16(SCREEN_STRIDE);
}

const char *boot_parameters(void)
{
	return cmdline;
}

uint64_t boot_rsdp(void)
{
	return field32(ACPI_RSDP) | field32(ACPI_RSDP + 4) << 32;
}

static bool overlaps(uint32_t page, uint64_t start, uint64_t bytes)
{
	return page < start + bytes && start < page + PAGE_BYTES;
}

uint32_t boot_free_page(void)
{
	for (uint32_t page = 0x8000; page < LOW_MEMORY_END; page += PAGE_BYTES) {
		if (!overlaps(page, zero_page_at, BOOT_PARAMS_BYTES) &&
			!overlaps(page, cmdline_at, CMDLINE_SPAN))
			return page;
	}
	return 0;
}

const char *boot_parameter(const char *name)
{
	size_t length = text_length(name);

	for (const char *at = cmdline; *at; at++) {
		if ((at == cmdline || at[-1] == ' ') && memcmp(at, name, length) == 0 &&
			at[length] == '=')
			return at + length + 1;
	}
	return NULL;
}
