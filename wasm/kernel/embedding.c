/* The linear embedding: an affine map of the patch in exact integers, scaled to a unit vector, rounded to bytes. */
#include "fingerprint.h"

/* weights.bin, little-endian: int8 [DIMENSIONS][PATCH], then int32 bias [DIMENSIONS], then float32 scale [DIMENSIONS].
   scripts/train_embedding.py writes it; the model card beside it says how. */
enum { WEIGHT_BYTES = DIMENSIONS * PATCH, FILE_BYTES = WEIGHT_BYTES + 8 * DIMENSIONS };

static const _Alignas(16) uint8_t WEIGHTS_FILE[] = {
#embed "weights.bin"
};

_Static_assert(sizeof WEIGHTS_FILE == FILE_BYTES, "weights.bin is of another shape: retrain or restore it");
_Static_assert((int64_t)2047 * 127 * PATCH < INT32_MAX / 2, "a row's sum and its bias must fit int32");

static const float EMBEDDING_SCALE = 360.0f;   /* clips components beyond 0.35: four sigma of a random unit vector */

static int32_t dot(const int8_t *weights, const int16_t *patch) {
    int32_t sum = 0;
    for (int i = 0; i < PATCH; i++) sum += (int32_t)weights[i] * (int32_t)patch[i];
    return sum;
}

void embed(const int16_t *patch, int8_t *embedding) {
    const int8_t *weights = (const int8_t *)WEIGHTS_FILE;
    const int32_t *bias = (const int32_t *)(const void *)(WEIGHTS_FILE + WEIGHT_BYTES);
    const float *scale = (const float *)(const void *)(WEIGHTS_FILE + WEIGHT_BYTES + 4 * DIMENSIONS);
    float components[DIMENSIONS], square_sum = 1e-20f;
    for (int row = 0; row < DIMENSIONS; row++) {
        components[row] = (float)(dot(weights + row * PATCH, patch) + bias[row]) * scale[row];
        square_sum += components[row] * components[row];
    }
    float unit = EMBEDDING_SCALE / __builtin_sqrtf(square_sum);
    for (int row = 0; row < DIMENSIONS; row++) {
        float component = components[row] * unit;
        component = component > 127.0f ? 127.0f : component < -127.0f ? -127.0f : component;
        embedding[row] = (int8_t)((int32_t)(component + 128.5f) - 128);
    }
}
