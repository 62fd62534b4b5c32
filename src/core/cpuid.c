#include "core/cpuid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define MAX_ENTRIES 256

int cpuid_get_supported(const struct kvm *kvm, struct kvm_cpuid2 **out, struct error *err)
{
	struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + MAX_ENTRIES * sizeof(cpuid->entries[0]));
	int ret;

	if (!cpuid)
		return error_set(err, ENOMEM, "CPUID: out of memory");
	cpuid->nent = MAX_ENTRIES;
	if (ioctl(kvm->device_fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0) {
		ret = -errno;
		free(cpuid);
		return error_set(err, -ret, "KVM: it does not tell its CPUID: %s", strerror(-ret));
	}
	*out = cpuid;
	return 0;
}

/* Bits needed to number n things. */
static uint32_t id_bits(unsigned n)
{
	uint32_t bits = 0;

	while ((1u << bits) < n)
		bits++;
	return bits;
}

static bool is_amd(const struct kvm_cpuid2 *cpuid)
{
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		if (entry->function == 0) /* "AuthenticAMD", "HygonGenuine" */
			return entry->ebx == 0x68747541 || entry->ebx == 0x6f677948;
	}
	return false;
}

/* Leaf 4 and AMD's equal of it, where the cores of a package have no place. */
static void fit_cache_leaf(struct kvm_cpuid_entry2 *entry, unsigned cpus)
{
	unsigned type = entry->eax & 0x1f, level = (entry->eax >> 5) & 7;
	uint32_t sharing = type && level >= 3 ? (1u << id_bits(cpus)) - 1 : 0;

	if (!type)
		return;
	/* Threads that share this cache; cores in the package. */
	entry->eax &= 0x3fffu;
	entry->eax |= (sharing & 0xfff) << 14;
	if (entry->function == 0x4)
		entry->eax |= (((1u << id_bits(cpus)) - 1) & 0x3f) << 26;
}

/* Leaves 0xb and 0x1f: one thread a core, then all cores in the one package. */
static void fit_topology_leaf(struct kvm_cpuid_entry2 *entry, unsigned apic_id, unsigned cpus)
{
	entry->eax = entry->ebx = 0;
	entry->ecx = entry->index & 0xff;
	entry->edx = apic_id;
	if (entry->index == 0) {
		entry->ebx = 1;
		entry->ecx |= 1u << 8; /* SMT level */
	} else if (entry->index == 1) {
		entry->eax = id_bits(cpus);
		entry->ebx = cpus;
		entry->ecx |= 2u << 8; /* core level */
	}
}

static void add_entry(struct kvm_cpuid2 *cpuid, uint32_t leaf, uint32_t index)
{
	if (cpuid->nent == MAX_ENTRIES)
		return;
	cpuid->entries[cpuid->nent++] = (struct kvm_cpuid_entry2){
		.function = leaf,
		.index = index,
		.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
	};
}

static bool has_entry(const struct kvm_cpuid2 *cpuid, uint32_t leaf, uint32_t index)
{
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		if (cpuid->entries[i].function == leaf && cpuid->entries[i].index == index)
			return true;
	}
	return false;
}

void cpuid_fit(struct kvm_cpuid2 *cpuid, unsigned apic_id, unsigned cpus)
{
	bool amd = is_amd(cpuid);

	/* Some kernels list only the first subleaf of the topology; the guest needs two and an end.
	 */
	for (uint32_t leaf = 0xb; leaf <= 0x1f; leaf += 0x1f - 0xb) {
		if (!has_entry(cpuid, leaf, 0))
			continue;
		for (uint32_t index = 1; index <= 2; index++) {
			if (!has_entry(cpuid, leaf, index))
				add_entry(cpuid, leaf, index);
		}
	}

	for (uint32_t i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		switch (entry->function) {
		case 0x1:
			/* Initial APIC ID, logical processors, "running under a hypervisor", and
			 * HTT, which says that the number before counts. The timer's TSC deadline
			 * mode is in every in-kernel APIC, but not among what KVM lists. */
			entry->ebx = (entry->ebx & 0x0000ffff) | (apic_id & 0xff) << 24 |
				     (uint32_t)min_u64(1u << id_bits(cpus), 255) << 16;
			entry->ecx |= 1u << 31 | 1u << 24;
			if (cpus > 1)
				entry->edx |= 1u << 28;
			else
				entry->edx &= ~(1u << 28);
			break;
		case 0x4:
		case 0x8000001d:
			fit_cache_leaf(entry, cpus);
			break;
		case 0x6:
			/* No energy performance bias register behind it. */
			entry->ecx &= ~(1u << 3);
			break;
		case 0xb:
		case 0x1f:
			fit_topology_leaf(entry, apic_id, cpus);
			break;
		case 0x80000001:
			/* AMD: the logical processors of leaf 1 are cores, not threads. */
			if (amd && cpus > 1)
				entry->ecx |= 1u << 1;
			else
				entry->ecx &= ~(1u << 1);
			break;
		case 0x80000008:
			/* AMD: cores minus one, and the width of the core's number. */
			if (amd)
				entry->ecx = (entry->ecx & ~0xf0ffu) | ((cpus - 1) & 0xff) |
					     (id_bits(cpus) & 0xf) << 12;
			break;
		case 0x8000001e:
			entry->eax = apic_id;
			entry->ebx = apic_id & 0xff; /* core; one thread each */
			entry->ecx = 0;              /* one node */
			break;
		default:
			break;
		}
	}
}
