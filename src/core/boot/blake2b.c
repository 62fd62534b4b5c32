/* BLAKE2b-256 (RFC 7693, section 3). Threads: any. */
#include "core/boot/blake2b.h"

#include <string.h>

#define BLOCK_BYTES 128u
#define ROUNDS      12

static const uint64_t initial[8] = {
	UINT64_C(0x6a09e667f3bcc908),
	UINT64_C(0xbb67ae8584caa73b),
	UINT64_C(0x3c6ef372fe94f82b),
	UINT64_C(0xa54ff53a5f1d36f1),
	UINT64_C(0x510e527fade682d1),
	UINT64_C(0x9b05688c2b3e6c1f),
	UINT64_C(0x1f83d9abfb41bd6b),
	UINT64_C(0x5be0cd19137e2179),
};

static const uint8_t schedule[10][16] = {
	{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
	{ 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
	{ 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4 },
	{ 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8 },
	{ 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13 },
	{ 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9 },
	{ 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11 },
	{ 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10 },
	{ 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5 },
	{ 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0 },
};

static inline uint64_t rotate_right(uint64_t value, unsigned bits)
{
	return value >> bits | value << (64 - bits);
}

static inline __attribute__((always_inline)) void mix(
	uint64_t *a, uint64_t *b, uint64_t *c, uint64_t *d, uint64_t x, uint64_t y)
{
	*a += *b + x;
	*d = rotate_right(*d ^ *a, 32);
	*c += *d;
	*b = rotate_right(*b ^ *c, 24);
	*a += *b + y;
	*d = rotate_right(*d ^ *a, 16);
	*c += *d;
	*b = rotate_right(*b ^ *c, 63);
}

static void compress(uint64_t state[8], const uint8_t *block, uint64_t counter, bool last)
{
	uint64_t message[16], v[16];

	memcpy(message, block, sizeof(message));
	memcpy(v, state, 64);
	memcpy(v + 8, initial, 64);
	v[12] ^= counter; /* the counter's upper half stays 0: no input is that long */
	if (last)
		v[14] = ~v[14];
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC unroll 12
#endif
	for (unsigned round = 0; round < ROUNDS; round++) {
		const uint8_t *s = schedule[round % 10];

		mix(&v[0], &v[4], &v[8], &v[12], message[s[0]], message[s[1]]);
		mix(&v[1], &v[5], &v[9], &v[13], message[s[2]], message[s[3]]);
		mix(&v[2], &v[6], &v[10], &v[14], message[s[4]], message[s[5]]);
		mix(&v[3], &v[7], &v[11], &v[15], message[s[6]], message[s[7]]);
		mix(&v[0], &v[5], &v[10], &v[15], message[s[8]], message[s[9]]);
		mix(&v[1], &v[6], &v[11], &v[12], message[s[10]], message[s[11]]);
		mix(&v[2], &v[7], &v[8], &v[13], message[s[12]], message[s[13]]);
		mix(&v[3], &v[4], &v[9], &v[14], message[s[14]], message[s[15]]);
	}
	for (unsigned i = 0; i < 8; i++)
		state[i] ^= v[i] ^ v[i + 8];
}

void blake2b(const void *data, size_t length_bytes, uint8_t digest[BLAKE2B_DIGEST_BYTES])
{
	const uint8_t *at = data;
	size_t left = length_bytes;
	uint64_t state[8];
	uint8_t block[BLOCK_BYTES] = { 0 };

	memcpy(state, initial, sizeof(state));
	state[0] ^= UINT64_C(0x01010000) ^ BLAKE2B_DIGEST_BYTES;
	while (left > BLOCK_BYTES) {
		at += BLOCK_BYTES;
		left -= BLOCK_BYTES;
		compress(state, at - BLOCK_BYTES, length_bytes - left, false);
	}
	if (left)
		memcpy(block, at, left);
	compress(state, block, length_bytes, true);
	memcpy(digest, state, BLAKE2B_DIGEST_BYTES);
}
