/* The embedding: a linear map of the patch and the trunk's head, added, scaled to a unit vector, rounded to bytes. */
#include "products.h"
#include "weights.h"

_Alignas(16) const uint8_t WEIGHTS[] = {
#embed "weights.bin"
};

_Static_assert(sizeof WEIGHTS == WEIGHTS_BYTES, "weights.bin is of another shape: retrain or restore it");

static const float EMBEDDING_SCALE = 360.0f;   /* clips components beyond 0.35: four sigma of a random unit vector */

static void add_layer(const uint8_t *layer, const int16_t *in, int inputs, float *components) {
    const int8_t *weights = (const int8_t *)layer;
    const int32_t *bias = (const int32_t *)(const void *)(layer + DIMENSIONS * inputs);
    const float *scale = (const float *)(const void *)(layer + DIMENSIONS * (inputs + 4));
    for (int row = 0; row < DIMENSIONS; row++) {
        sums total = no_sums();
        for (int i = 0; i < inputs; i += 8) total = add_eight(total, eight_weights(weights + row * inputs + i), in + i);
        components[row] += (float)(added(total) + bias[row]) * scale[row];
    }
}

void embed(const int16_t *patch, const trunk *state, int8_t *embedding) {
    float components[DIMENSIONS] = {0}, square_sum = 1e-20f;
    int16_t hidden[HIDDEN];
    trunk_read(state, hidden);
    add_layer(WEIGHTS + LINEAR, patch, PATCH, components);
    add_layer(WEIGHTS + HEAD, hidden, HIDDEN, components);
    for (int row = 0; row < DIMENSIONS; row++) square_sum += components[row] * components[row];
    float unit = EMBEDDING_SCALE / __builtin_sqrtf(square_sum);
    for (int row = 0; row < DIMENSIONS; row++) {
        float component = components[row] * unit;
        component = component > 127.0f ? 127.0f : component < -127.0f ? -127.0f : component;
        embedding[row] = (int8_t)((int32_t)(component + 128.5f) - 128);
    }
}
