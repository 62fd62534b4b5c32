/* Routes of a virtio device's interrupts. See virtio_pci_interrupts.h. */
#include "core/virtio/virtio_pci_interrupts.h"

#include <string.h>
#include <unistd.h>

#define ISR_QUEUE  1u
#define ISR_CONFIG 2u

/* A route that is not an eventfd. */
#define ROUTE_INTX    (-1)
#define ROUTE_NOWHERE (-2)

static void update_route(struct virtio_pci_interrupts *interrupts, struct virtio_pci_source *source)
{
	int route = ROUTE_NOWHERE;

	if (interrupts->live && !pci_msi_enabled(interrupts->msi))
		route = ROUTE_INTX;
	else if (interrupts->live && source->vector != VIRTIO_PCI_NO_VECTOR)
		route = pci_msi_eventfd(interrupts->msi, source->vector);
	atomic_store(&source->route, route);
}

/* routes held */
static void update_routes(struct virtio_pci_interrupts *interrupts)
{
	update_route(interrupts, &interrupts->config);
	for (unsigned i = 0; i < interrupts->queue_count; i++)
		update_route(interrupts, &interrupts->queues[i]);
}

static void forget_vectors(struct virtio_pci_interrupts *interrupts)
{
	pthread_mutex_lock(&interrupts->routes);
	interrupts->config.vector = VIRTIO_PCI_NO_VECTOR;
	for (unsigned i = 0; i < interrupts->queue_count; i++)
		interrupts->queues[i].vector = VIRTIO_PCI_NO_VECTOR;
	update_routes(interrupts);
	pthread_mutex_unlock(&interrupts->routes);
}

void virtio_pci_interrupts_init(struct virtio_pci_interrupts *interrupts, struct pci_device *device,
	struct pci_msi *msi, unsigned queue_count)
{
	memset(interrupts, 0, sizeof(*interrupts));
	interrupts->device = device;
	interrupts->msi = msi;
	interrupts->queue_count = queue_count;
	pthread_mutex_init(&interrupts->pin, NULL);
	pthread_mutex_init(&interrupts->routes, NULL);
	forget_vectors(interrupts);
}

void virtio_pci_interrupts_fini(struct virtio_pci_interrupts *interrupts)
{
	pthread_mutex_destroy(&interrupts->routes);
	pthread_mutex_destroy(&interrupts->pin);
}

void virtio_pci_interrupts_set_live(struct virtio_pci_interrupts *interrupts, bool live)
{
	pthread_mutex_lock(&interrupts->routes);
	if (live != interrupts->live) {
		interrupts->live = live;
		update_routes(interrupts);
	}
	pthread_mutex_unlock(&interrupts->routes);
}

void virtio_pci_interrupts_update(struct virtio_pci_interrupts *interrupts)
{
	pthread_mutex_lock(&interrupts->routes);
	update_routes(interrupts);
	pthread_mutex_unlock(&interrupts->routes);
}

void virtio_pci_interrupts_reset(struct virtio_pci_interrupts *interrupts)
{
	forget_vectors(interrupts);
	(void)virtio_pci_take_isr(interrupts);
}

void virtio_pci_set_vector(
	struct virtio_pci_interrupts *interrupts, struct virtio_pci_source *source, uint16_t vector)
{
	pthread_mutex_lock(&interrupts->routes);
	source->vector =
		pci_msi_eventfd(interrupts->msi, vector) < 0 ? VIRTIO_PCI_NO_VECTOR : vector;
	update_route(interrupts, source);
	pthread_mutex_unlock(&interrupts->routes);
}

uint16_t virtio_pci_get_vector(
	struct virtio_pci_interrupts *interrupts, const struct virtio_pci_source *source)
{
	uint16_t vector;

	pthread_mutex_lock(&interrupts->routes);
	vector = source->vector;
	pthread_mutex_unlock(&interrupts->routes);
	return vector;
}

uint8_t virtio_pci_take_isr(struct virtio_pci_interrupts *interrupts)
{
	uint8_t isr;

	pthread_mutex_lock(&interrupts->pin);
	isr = interrupts->isr;
	interrupts->isr = 0;
	pci_device_set_intx(interrupts->device, false);
	pthread_mutex_unlock(&interrupts->pin);
	return isr;
}

static void raise_vector(int fd)
{
	const uint64_t one = 1;

	/* It fails only when the counter is full, and then an interrupt is pending anyway. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

/* The route is looked at again under the lock: a reset that came meanwhile has silenced it. */
static void raise_pin(struct virtio_pci_interrupts *interrupts,
	const struct virtio_pci_source *source, uint8_t bit)
{
	pthread_mutex_lock(&interrupts->pin);
	if (atomic_load(&source->route) == ROUTE_INTX) {
		interrupts->isr |= bit;
		pci_device_set_intx(interrupts->device, true);
	}
	pthread_mutex_unlock(&interrupts->pin);
}

void virtio_pci_raise_queue(struct virtio_pci_interrupts *interrupts, unsigned queue)
{
	const struct virtio_pci_source *source = &interrupts->queues[queue];
	int route = atomic_load(&source->route);

	if (route >= 0)
		raise_vector(route);
	else if (route == ROUTE_INTX)
		raise_pin(interrupts, source, ISR_QUEUE);
}

void virtio_pci_raise_config(struct virtio_pci_interrupts *interrupts)
{
	int route = atomic_load(&interrupts->config.route);

	if (route == ROUTE_INTX)
		raise_pin(interrupts, &interrupts->config, ISR_CONFIG);
	if (route < 0)
		return;
	/* The ISR tells of configuration changes with MSI-X too, though no pin does. */
	pthread_mutex_lock(&interrupts->pin);
	if (atomic_load(&interrupts->config.route) != ROUTE_NOWHERE)
		interrupts->isr |= ISR_CONFIG;
	pthread_mutex_unlock(&interrupts->pin);
	raise_vector(route);
}
