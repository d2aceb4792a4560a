/* Inner products of int8 weights (or int16 values) and int16 values in int32: exact, so the same on every host and in every
   order. */
#ifndef SONICA_PRODUCTS_H
#define SONICA_PRODUCTS_H

#include <stdint.h>

#if defined(__wasm_simd128__)
#include <wasm_simd128.h>
typedef v128_t sums;
static inline sums no_sums(void) { return wasm_i32x4_splat(0); }
static inline v128_t eight_weights(const int8_t *weights) { return wasm_i16x8_load8x8(weights); }
static inline v128_t eight_values(const int16_t *values) { return wasm_v128_load(values); }
static inline sums add_eight(sums total, v128_t weights, const int16_t *values) {
    return wasm_i32x4_add(total, wasm_i32x4_dot_i16x8(weights, wasm_v128_load(values)));
}
static inline int32_t added(sums total) {
    return wasm_i32x4_extract_lane(total, 0) + wasm_i32x4_extract_lane(total, 1) + wasm_i32x4_extract_lane(total, 2) +
           wasm_i32x4_extract_lane(total, 3);
}
static inline void added_four(const sums totals[4], int32_t *out) {
    v128_t halves[2];
    for (int n = 0; n < 2; n++) {
        v128_t one = totals[2 * n], other = totals[2 * n + 1];
        halves[n] = wasm_i32x4_add(wasm_i32x4_shuffle(one, other, 0, 4, 1, 5), wasm_i32x4_shuffle(one, other, 2, 6, 3, 7));
    }
    v128_t low = wasm_i64x2_shuffle(halves[0], halves[1], 0, 2), high = wasm_i64x2_shuffle(halves[0], halves[1], 1, 3);
    wasm_v128_store(out, wasm_i32x4_add(low, high));
}
typedef v128_t weights8;
#elif defined(__SSE4_1__)
#include <smmintrin.h>
typedef __m128i sums;
typedef __m128i weights8;
static inline sums no_sums(void) { return _mm_setzero_si128(); }
static inline weights8 eight_weights(const int8_t *weights) {
    return _mm_cvtepi8_epi16(_mm_loadl_epi64((const __m128i *)(const void *)weights));
}
static inline weights8 eight_values(const int16_t *values) { return _mm_loadu_si128((const __m128i *)(const void *)values); }
static inline sums add_eight(sums total, weights8 weights, const int16_t *values) {
    return _mm_add_epi32(total, _mm_madd_epi16(weights, _mm_loadu_si128((const __m128i *)(const void *)values)));
}
static inline int32_t added(sums total) {
    total = _mm_add_epi32(total, _mm_shuffle_epi32(total, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(total, _mm_shuffle_epi32(total, 0xb1)));
}
static inline void added_four(const sums totals[4], int32_t *out) {
    __m128i first = _mm_hadd_epi32(totals[0], totals[1]), second = _mm_hadd_epi32(totals[2], totals[3]);
    _mm_storeu_si128((__m128i *)(void *)out, _mm_hadd_epi32(first, second));
}
#else
/* Vectors in the compiler's own terms, which it turns into what the machine has. */
typedef int32_t sums __attribute__((vector_size(32)));
typedef int32_t weights8 __attribute__((vector_size(32)));
typedef int8_t bytes8 __attribute__((vector_size(8), aligned(1)));
typedef int16_t shorts8 __attribute__((vector_size(16), aligned(2)));
static inline sums no_sums(void) { return (sums){0}; }
static inline weights8 eight_weights(const int8_t *weights) {
    return __builtin_convertvector(*(const bytes8 *)(const void *)weights, weights8);
}
static inline weights8 eight_values(const int16_t *values) {
    return __builtin_convertvector(*(const shorts8 *)(const void *)values, weights8);
}
static inline sums add_eight(sums total, weights8 weights, const int16_t *values) {
    return total + weights * __builtin_convertvector(*(const shorts8 *)(const void *)values, weights8);
}
static inline int32_t added(sums total) {
    int32_t sum = 0;
    for (int i = 0; i < 8; i++) sum += total[i];
    return sum;
}
static inline void added_four(const sums totals[4], int32_t *out) {
    for (int n = 0; n < 4; n++) out[n] = added(totals[n]);
}
#endif

#endif
