#include "board.h"

#include <errno.h>
#include <string.h>

#include "board_virtio.h"
#include "core/acpi.h"
#include "core/log.h"
#include "devices/acpi_pm.h"
#include "devices/exit_port.h"
#include "devices/i8042.h"
#include "devices/port92.h"
#include "devices/pvpanic.h"
#include "devices/rtc.h"
#include "devices/serial.h"
#include "devices/vga.h"
#include "devices/vmmouse.h"

/* Where PCI devices may lie: behind RAM, below the interrupt controllers; dsdt.asl says the same.
 * BARs are handed out from the middle, so that a guest that moves some finds room. */
#define PCI_MMIO_BASE  UINT64_C(0xc0000000)
#define PCI_MMIO_END   UINT64_C(0xfec00000)
#define PCI_PORTS_BASE UINT64_C(0x1000)
#define PCI_PORTS_END  UINT64_C(0x10000)

#define ACPI_PM_PORT 0x600
#define RESET_PORT   0xcf9
#define RESET_VALUE  0x06

enum board_irq {
	IRQ_KEYBOARD = 1,
	IRQ_COM2_COM4 = 3,
	IRQ_COM1_COM3 = 4,
	IRQ_RTC = 8,
	IRQ_SCI = 9,
	IRQ_MOUSE = 12,
};

/* PCI's four interrupt lines; dsdt.asl's _PRT says the same. */
static const unsigned pci_irqs[4] = { 10, 11, 5, 6 };

#define LEVEL_IRQS (1u << IRQ_SCI | 1u << 10 | 1u << 11 | 1u << 5 | 1u << 6)

extern const uint8_t vmgui_dsdt_aml[], vmgui_dsdt_aml_end[];

static const struct serial_place {
	const char *name;
	uint16_t port;
	unsigned irq_or;
	unsigned source;
} serial_places[BOARD_SERIAL_PORTS] = {
	{ "COM1", SERIAL_COM1_PORT, 1, 0 },
	{ "COM2", SERIAL_COM2_PORT, 0, 0 },
	{ "COM3", SERIAL_COM3_PORT, 1, 1 },
	{ "COM4", SERIAL_COM4_PORT, 0, 1 },
};

static void guest_exits(void *machine, uint8_t status)
{
	machine_request_exit(machine, status);
}

static void guest_panicked(void *machine, unsigned events)
{
	/* With a crash kernel loaded it goes on by itself. */
	if (events & PVPANIC_PANICKED)
		machine_request(machine, MACHINE_PANIC);
}

/* Hands the device to the machine, or destroys it. */
static int add(struct board *board, struct device *device, struct error *err)
{
	int ret = machine_add_device(&board->machine, device, err);

	if (ret)
		device->ops->destroy(device);
	return ret;
}

static void reset_pci(struct device *device)
{
	pci_bus_reset(container_of(device, struct board, pci_device)->pci);
}

/* The bus itself outlives the devices on it. */
static void destroy_pci_device(struct device *device)
{
	device_fini(device);
}

static int create_pci(struct board *board, struct error *err)
{
	static const struct device_ops ops = {
		.name = "pci",
		.reset = reset_pci,
		.destroy = destroy_pci_device,
	};
	struct pci_bus_config config = {
		.ports = board->machine.ports,
		.mmio = board->machine.mmio,
		.mmio_base = PCI_MMIO_BASE,
		.mmio_end = PCI_MMIO_END,
		.ports_base = PCI_PORTS_BASE,
		.ports_end = PCI_PORTS_END,
		.request_reset = machine_request_reset,
		.opaque = &board->machine,
	};
	int ret;

	for (unsigned i = 0; i < 4; i++)
		config.intx[i] = irqchip_line(board->machine.chip, pci_irqs[i]);
	ret = pci_bus_create(&config, &board->pci, err);
	if (ret)
		return ret;
	device_init(&board->pci_device, &ops);
	return add(board, &board->pci_device, err);
}

static int create_vga(const struct config *config, struct board *board, struct error *err)
{
	const struct vga_options options = {
		.width = board->video.width,
		.height = board->video.height,
		.depth = board->video.depth,
	};
	int ret = kvm_memory_create(
		&board->machine.kvm, "video memory", config->vram_bytes, &board->vram, err);

	if (ret)
		return ret;
	ret = vga_create(&options, board->vram, &board->vga, err);
	if (ret)
		return ret;
	ret = vga_attach(board->vga, board->machine.ports, board->pci, 0, err);
	if (ret) {
		vga_get_device(board->vga)->ops->destroy(vga_get_device(board->vga));
		return ret;
	}
	return add(board, vga_get_device(board->vga), err);
}

static int create_serial_ports(struct board *board, struct error *err)
{
	for (unsigned i = 0; i < BOARD_SERIAL_PORTS; i++) {
		const struct serial_place *place = &serial_places[i];
		const struct serial_config config = {
			.ports = board->machine.ports,
			.port = place->port,
			.name = place->name,
			.irq = irq_or_line(&board->serial_irq[place->irq_or], place->source),
			.timers = board->timers,
		};
		int ret = serial_create(&config, &board->serial[i], err);

		if (!ret)
			ret = add(board, serial_device(board->serial[i]), err);
		if (ret)
			return ret;
	}
	return 0;
}

static int create_i8042(struct board *board, struct error *err)
{
	const struct i8042_config config = {
		.ports = board->machine.ports,
		.keyboard_irq = irqchip_line(board->machine.chip, IRQ_KEYBOARD),
		.mouse_irq = irqchip_line(board->machine.chip, IRQ_MOUSE),
		.timers = board->timers,
		.request_reset = machine_request_reset,
		.opaque = &board->machine,
	};
	int ret = i8042_create(&config, &board->i8042, err);

	return ret ? ret : add(board, i8042_device(board->i8042), err);
}

static int create_vmmouse(struct board *board, struct error *err)
{
	const struct vmmouse_config config = {
		.ports = board->machine.ports,
		.registers = &vcpu_registers,
		.ps2_mouse = i8042_mouse_sink(board->i8042),
		.announce = i8042_announce,
		.opaque = board->i8042,
	};
	int ret = vmmouse_create(&config, &board->vmmouse, err);

	return ret ? ret : add(board, vmmouse_device(board->vmmouse), err);
}

static int create_port92(struct board *board, struct error *err)
{
	const struct port92_config config = {
		.ports = board->machine.ports,
		.request_reset = machine_request_reset,
		.opaque = &board->machine,
	};
	struct device *device;
	int ret = port92_create(&config, &device, err);

	return ret ? ret : add(board, device, err);
}

static int create_rtc(struct board *board, struct error *err)
{
	const struct guest_mem *mem = &board->machine.mem;
	const struct rtc_config config = {
		.ports = board->machine.ports,
		.irq = irqchip_line(board->machine.chip, IRQ_RTC),
		.timers = board->timers,
		.low_ram_bytes = mem->regions[0].length_bytes,
		.high_ram_bytes = mem->size_bytes - mem->regions[0].length_bytes,
	};
	struct device *device;
	int ret = rtc_create(&config, &device, err);

	return ret ? ret : add(board, device, err);
}

static int create_pvpanic(struct board *board, struct error *err)
{
	const struct pvpanic_config config = {
		.ports = board->machine.ports,
		.guest_panicked = guest_panicked,
		.opaque = &board->machine,
	};
	struct device *device;
	int ret = pvpanic_create(&config, &device, err);

	return ret ? ret : add(board, device, err);
}

static int create_exit_port(struct board *board, struct error *err)
{
	const struct exit_port_config config = {
		.ports = board->machine.ports,
		.guest_exits = guest_exits,
		.opaque = &board->machine,
	};
	struct device *device;
	int ret = exit_port_create(&config, &device, err);

	return ret ? ret : add(board, device, err);
}

static int create_acpi_pm(struct board *board, struct error *err)
{
	const struct acpi_pm_config config = {
		.ports = board->machine.ports,
		.base_port = ACPI_PM_PORT,
		.sci = irqchip_line(board->machine.chip, IRQ_SCI),
		.timers = board->timers,
		.request_poweroff = machine_request_poweroff,
		.opaque = &board->machine,
	};
	int ret = acpi_pm_create(&config, &board->acpi_pm, err);

	return ret ? ret : add(board, acpi_pm_device(board->acpi_pm), err);
}

int board_create(const struct config *config, const struct board_video *video, struct disks *disks,
	struct board *board, struct error *err)
{
	const struct machine_config machine_config = {
		.kvm_path = config->kvm_path,
		.cpus = config->cpus,
		.memory_bytes = config->memory_bytes,
		.no_reboot = config->no_reboot,
		.timeout_seconds = config->timeout_seconds,
		.debug_single_step = config->debug_single_step,
		.debug_ioport = config->debug_ioport,
		.debug_mmio = config->debug_mmio,
		.debug_io_delay_ms = config->debug_io_delay_ms,
	};
	struct irq_line irq3, irq4;
	int ret;

	memset(board, 0, sizeof(*board));
	board->video = *video;
	ret = machine_init(&board->machine, &machine_config, LEVEL_IRQS, err);
	if (ret)
		return ret;
	irq3 = irqchip_line(board->machine.chip, IRQ_COM2_COM4);
	irq4 = irqchip_line(board->machine.chip, IRQ_COM1_COM3);
	irq_or_init(&board->serial_irq[0], &irq3);
	irq_or_init(&board->serial_irq[1], &irq4);
	board->timers = timer_queue_create();
	if (!board->timers)
		ret = error_set(err, ENOMEM, "timers: out of memory");

	/* Memory slots come before the timer and the vCPUs (core/kvm.h). */
	if (!ret)
		ret = create_pci(board, err);
	if (!ret)
		ret = create_vga(config, board, err);
	if (!ret)
		ret = machine_create_cpus(&board->machine, err);
	if (!ret)
		ret = create_serial_ports(board, err);
	if (!ret)
		ret = create_i8042(board, err);
	if (!ret)
		ret = create_vmmouse(board, err);
	if (!ret)
		ret = create_port92(board, err);
	if (!ret)
		ret = create_rtc(board, err);
	if (!ret)
		ret = create_acpi_pm(board, err);
	if (!ret)
		ret = create_pvpanic(board, err);
	if (!ret && config->exit_port)
		ret = create_exit_port(board, err);
	if (!ret)
		ret = board_virtio_create(board, config, disks, err);
	if (ret)
		board_destroy(board);
	return ret;
}

void board_destroy(struct board *board)
{
	/* The machine's parts in two steps: devices hold on to PCI and video memory, these to KVM.
	 */
	machine_destroy_devices(&board->machine);
	pci_bus_destroy(board->pci);
	kvm_memory_destroy(board->vram);
	timer_queue_destroy(board->timers);
	irq_or_fini(&board->serial_irq[0]);
	irq_or_fini(&board->serial_irq[1]);
	machine_fini(&board->machine);
}

int board_load(
	struct board *board, struct boot_image *image, struct boot_entry *entry, struct error *err)
{
	const struct acpi_config acpi = {
		.cpus = board->machine.config.cpus,
		.dsdt = vmgui_dsdt_aml,
		.dsdt_bytes = (size_t)(vmgui_dsdt_aml_end - vmgui_dsdt_aml),
		.level_irqs = LEVEL_IRQS,
		.sci_irq = IRQ_SCI,
		.pm_event_port = ACPI_PM_PORT + ACPI_PM_EVENT_OFFSET,
		.pm_control_port = ACPI_PM_PORT + ACPI_PM_CONTROL_OFFSET,
		.pm_timer_port = ACPI_PM_PORT + ACPI_PM_TIMER_OFFSET,
		.reset_port = RESET_PORT,
		.reset_value = RESET_VALUE,
	};
	struct display_source *source = vga_get_source(board->vga);
	struct display_mode mode;
	struct boot_machine machine = { .acpi_rsdp_gpa = ACPI_RSDP_GPA };
	int ret;

	source->ops->get_mode(source, &mode);
	machine.video = (struct boot_video){
		.present = true,
		.width = mode.width,
		.height = mode.height,
		.stride_bytes = mode.stride_bytes,
		.depth = board->video.depth,
		.framebuffer_gpa = vga_framebuffer_gpa(board->vga),
		.framebuffer_bytes = board->vram->size_bytes,
		.edid = vga_edid(board->vga),
	};
	ret = acpi_write_tables(&acpi, &board->machine.mem, err);
	return ret ? ret : boot_load(image, &board->machine.mem, &machine, entry, err);
}
