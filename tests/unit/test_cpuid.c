/* core/cpuid: what a processor tells of itself and of the package, as Intel's and AMD's leaves say
 * it. */
#include <stdlib.h>
#include <string.h>

#include "cmocka_all.h"
#include "core/cpuid.h"

#define MAX_ENTRIES 256

static const struct kvm_cpuid_entry2 intel[] = {
	{ .function = 0, .eax = 0x1f, .ebx = 0x756e6547, .ecx = 0x6c65746e, .edx = 0x49656e69 },
	{ .function = 1, .eax = 0x806f8, .ebx = 0x37400800, .ecx = 0x1, .edx = 0x1f8bfbff },
	{ .function = 4, .index = 0, .eax = 0xfc004121 }, /* data, level 1 */
	{ .function = 4, .index = 1, .eax = 0xfc004122 },
	{ .function = 4, .index = 2, .eax = 0xfc01c143 }, /* level 2 */
	{ .function = 4, .index = 3, .eax = 0xfc1fc163 }, /* level 3 */
	{ .function = 4, .index = 4, .eax = 0 },
	{ .function = 6, .eax = 4, .ecx = 9 },
	{ .function = 0xb, .index = 0, .eax = 1, .ebx = 2, .ecx = 0x100, .edx = 55 },
	{ .function = 0x1f, .index = 0, .eax = 1, .ebx = 2, .ecx = 0x100, .edx = 55 },
	{ .function = 0x80000001, .ecx = 0x121 },
	{ .function = 0x80000008, .eax = 0x3934 },
};

static const struct kvm_cpuid_entry2 amd[] = {
	{ .function = 0, .eax = 0x10, .ebx = 0x68747541, .ecx = 0x444d4163, .edx = 0x69746e65 },
	{ .function = 1, .eax = 0xa20f10, .ebx = 0x10800, .edx = 0x178bfbff },
	{ .function = 0xb, .index = 0 },
	{ .function = 0xb, .index = 1 },
	{ .function = 0xb, .index = 2 },
	{ .function = 0xb, .index = 3, .eax = 9, .ebx = 9, .ecx = 0x503, .edx = 9 },
	{ .function = 0x80000001, .ecx = 0x75c237ff },
	{ .function = 0x80000008, .eax = 0x3030, .ecx = 0x740f },
	{ .function = 0x8000001d, .index = 0, .eax = 0x4121 },
	{ .function = 0x8000001d, .index = 3, .eax = 0x3c163 },
	{ .function = 0x8000001e, .eax = 99, .ebx = 0x163, .ecx = 0x302 },
};

static struct kvm_cpuid2 *table(const struct kvm_cpuid_entry2 *entries, size_t count)
{
	struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + MAX_ENTRIES * sizeof(cpuid->entries[0]));

	assert_non_null(cpuid);
	memcpy(cpuid->entries, entries, count * sizeof(*entries));
	cpuid->nent = (uint32_t)count;
	return cpuid;
}

static const struct kvm_cpuid_entry2 *find(
	const struct kvm_cpuid2 *cpuid, uint32_t leaf, uint32_t index)
{
	const struct kvm_cpuid_entry2 *found = NULL;

	for (uint32_t i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		if (entry->function != leaf || entry->index != index)
			continue;
		assert_null(found); /* KVM wants each one once */
		found = entry;
	}
	assert_non_null(found);
	return found;
}

/* The smallest power of two that is not below cpus, as a shift. */
static unsigned shift_for(unsigned cpus)
{
	unsigned shift = 0;

	for (; 1u << shift < cpus; shift++)
		;
	return shift;
}

static void check_topology(
	const struct kvm_cpuid2 *cpuid, uint32_t leaf, unsigned apic_id, unsigned cpus)
{
	const struct kvm_cpuid_entry2 *smt = find(cpuid, leaf, 0), *core = find(cpuid, leaf, 1),
				      *end = find(cpuid, leaf, 2);

	assert_int_equal(smt->eax, 0);
	assert_int_equal(smt->ebx, 1);
	assert_int_equal(smt->ecx, 0x100);
	assert_int_equal(smt->edx, apic_id);
	assert_int_equal(core->eax, shift_for(cpus));
	assert_int_equal(core->ebx, cpus);
	assert_int_equal(core->ecx, 0x201);
	assert_int_equal(core->edx, apic_id);
	assert_int_equal(end->eax, 0);
	assert_int_equal(end->ebx, 0);
	assert_int_equal(end->ecx, 2);
	assert_int_equal(end->edx, apic_id);
	/* All processors are in one package. */
	assert_int_equal(apic_id >> core->eax, 0);
}

static void cpuid_fit_intel_tells_one_package_of_cores(void **state)
{
	(void)state;
	for (unsigned cpus = 1; cpus <= 255; cpus++) {
		unsigned apic_ids[] = { 0, cpus / 2, cpus - 1 };

		for (size_t i = 0; i < array_size(apic_ids); i++) {
			struct kvm_cpuid2 *cpuid = table(intel, array_size(intel));
			unsigned apic_id = apic_ids[i], ids = 1u << shift_for(cpus);
			const struct kvm_cpuid_entry2 *basic;

			cpuid_fit(cpuid, apic_id, cpus);
			basic = find(cpuid, 1, 0);
			assert_int_equal(basic->ebx >> 24, apic_id);
			assert_int_equal(basic->ebx >> 16 & 0xff, ids < 255 ? ids : 255);
			assert_int_equal(basic->ebx & 0xffff, 0x0800);
			assert_int_equal(basic->ecx, 1u | 1u << 31 | 1u << 24);
			assert_int_equal(basic->edx >> 28 & 1, cpus > 1);
			check_topology(cpuid, 0xb, apic_id, cpus);
			check_topology(cpuid, 0x1f, apic_id, cpus);
			free(cpuid);
		}
	}
}

static void cpuid_fit_intel_caches_are_shared_from_level_3_on(void **state)
{
	static const unsigned cpus[] = { 1, 2, 3, 4, 5, 63, 64, 65, 255 };

	(void)state;
	for (size_t i = 0; i < array_size(cpus); i++) {
		struct kvm_cpuid2 *cpuid = table(intel, array_size(intel));
		unsigned last = (1u << shift_for(cpus[i])) - 1;

		cpuid_fit(cpuid, 0, cpus[i]);
		for (uint32_t index = 0; index < 4; index++) {
			uint32_t eax = find(cpuid, 4, index)->eax;

			assert_int_equal(eax >> 26, last < 63 ? last : 63);
			assert_int_equal(eax >> 14 & 0xfff, index == 3 ? last : 0);
			assert_int_equal(eax & 0x3fff, intel[2 + index].eax & 0x3fff);
		}
		assert_int_equal(find(cpuid, 4, 4)->eax, 0); /* the end stays the end */
		free(cpuid);
	}
}

static void cpuid_fit_intel_keeps_amds_fields_clear(void **state)
{
	struct kvm_cpuid2 *cpuid = table(intel, array_size(intel));

	(void)state;
	cpuid_fit(cpuid, 1, 4);
	assert_int_equal(find(cpuid, 0x80000008, 0)->eax, 0x3934);
	assert_int_equal(find(cpuid, 0x80000008, 0)->ecx, 0);
	assert_int_equal(find(cpuid, 0x80000001, 0)->ecx, 0x121);
	assert_int_equal(find(cpuid, 6, 0)->ecx, 1); /* no energy bias register */
	free(cpuid);
}

static void cpuid_fit_amd_tells_cores_without_threads(void **state)
{
	static const unsigned cpus[] = { 1, 2, 3, 6, 16, 255 };

	(void)state;
	for (size_t i = 0; i < array_size(cpus); i++) {
		struct kvm_cpuid2 *cpuid = table(amd, array_size(amd));
		unsigned shift = shift_for(cpus[i]), apic_id = cpus[i] - 1;
		const struct kvm_cpuid_entry2 *entry;

		cpuid_fit(cpuid, apic_id, cpus[i]);
		assert_int_equal(
			find(cpuid, 0x80000001, 0)->ecx, cpus[i] > 1 ? 0x75c237ff : 0x75c237fd);
		entry = find(cpuid, 0x80000008, 0);
		assert_int_equal(entry->ecx & 0xff, cpus[i] - 1);
		assert_int_equal(entry->ecx >> 12 & 0xf, shift);
		assert_int_equal(entry->ecx & ~0xf0ffu, 0x0400);
		entry = find(cpuid, 0x8000001e, 0);
		assert_int_equal(entry->eax, apic_id);
		assert_int_equal(entry->ebx, apic_id);
		assert_int_equal(entry->ecx, 0);
		/* Bits 31 to 26 are not AMD's. */
		assert_int_equal(find(cpuid, 0x8000001d, 0)->eax, 0x121);
		assert_int_equal(
			find(cpuid, 0x8000001d, 3)->eax, 0x163 | ((1u << shift) - 1) << 14);
		check_topology(cpuid, 0xb, apic_id, cpus[i]);
		entry = find(cpuid, 0xb, 3);
		assert_int_equal(entry->eax | entry->ebx, 0);
		assert_int_equal(entry->ecx, 3);
		free(cpuid);
	}
}

static void cpuid_fit_adds_no_leaf_that_the_host_lacks(void **state)
{
	static const struct kvm_cpuid_entry2 old[] = {
		{ .function = 0, .eax = 5, .ebx = 0x756e6547 },
		{ .function = 1, .edx = 1u << 28 },
	};
	struct kvm_cpuid2 *cpuid = table(old, array_size(old));

	(void)state;
	cpuid_fit(cpuid, 0, 1);
	assert_int_equal(cpuid->nent, 2);
	assert_int_equal(cpuid->entries[1].edx, 0);
	free(cpuid);
}

static void cpuid_fit_of_a_full_table_stays_inside(void **state)
{
	struct kvm_cpuid2 *cpuid = table(intel, array_size(intel));

	(void)state;
	/* One entry is free where four are wanted. AddressSanitizer sees a fifth write. */
	while (cpuid->nent < MAX_ENTRIES - 1) {
		cpuid->entries[cpuid->nent] =
			(struct kvm_cpuid_entry2){ .function = 0xd, .index = cpuid->nent };
		cpuid->nent++;
	}
	cpuid_fit(cpuid, 3, 4);
	assert_int_equal(cpuid->nent, MAX_ENTRIES);
	assert_int_equal(find(cpuid, 0xb, 1)->ebx, 4);
	cpuid_fit(cpuid, 2, 4);
	assert_int_equal(cpuid->nent, MAX_ENTRIES);
	assert_int_equal(find(cpuid, 0xb, 1)->edx, 2);
	free(cpuid);
}

static void cpuid_fit_of_a_fitted_table_changes_the_id_only(void **state)
{
	struct kvm_cpuid2 *once = table(intel, array_size(intel)),
			  *twice = table(intel, array_size(intel));

	(void)state;
	cpuid_fit(once, 5, 6);
	cpuid_fit(twice, 2, 6);
	cpuid_fit(twice, 5, 6);
	assert_int_equal(once->nent, twice->nent);
	assert_memory_equal(once->entries, twice->entries, once->nent * sizeof(once->entries[0]));
	free(once);
	free(twice);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpuid_fit_intel_tells_one_package_of_cores),
		cmocka_unit_test(cpuid_fit_intel_caches_are_shared_from_level_3_on),
		cmocka_unit_test(cpuid_fit_intel_keeps_amds_fields_clear),
		cmocka_unit_test(cpuid_fit_amd_tells_cores_without_threads),
		cmocka_unit_test(cpuid_fit_adds_no_leaf_that_the_host_lacks),
		cmocka_unit_test(cpuid_fit_of_a_full_table_stays_inside),
		cmocka_unit_test(cpuid_fit_of_a_fitted_table_changes_the_id_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
