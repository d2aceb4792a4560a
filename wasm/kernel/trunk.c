/* The convolutional trunk, a column at a time: each layer keeps the few columns that the next one still looks at. */
#include "products.h"
#include "weights.h"

static int16_t activation(int32_t sum, float scale) {
    if (sum <= 0) return 0;
    float value = (float)sum * scale + 0.5f;
    return value < ACTIVATION_MAX ? (int16_t)value : ACTIVATION_MAX;
}

enum { BLOCK = 5 };   /* bands at a time: each weight is loaded once for all of them, and the sums stay in registers */

/* One column of a layer: of each output `columns` runs of `run` inputs, bands `band_step` apart, channels innermost. */
static inline __attribute__((always_inline)) void convolve(const uint8_t *layer, const int16_t *const *in, int columns,
                                                           int run, int band_step, int bands, int channels,
                                                           int16_t *out) {
    int block = bands < BLOCK ? bands : BLOCK;
    const int8_t *weights = (const int8_t *)layer;
    const int32_t *bias = (const int32_t *)(const void *)(layer + channels * columns * run);
    const float *scale = (const float *)(const void *)(layer + channels * (columns * run + 4));
    for (int channel = 0; channel < channels; channel++)
        for (int band = 0; band < bands; band += block) {
            sums total[BLOCK];
            for (int n = 0; n < block; n++) total[n] = no_sums();
            for (int column = 0; column < columns; column++)
                for (int i = 0; i < run; i += 8) {
                    weights8 eight = eight_weights(weights + (channel * columns + column) * run + i);
                    for (int n = 0; n < block; n++)
                        total[n] = add_eight(total[n], eight, in[column] + (band + n) * band_step + i);
                }
            for (int n = 0; n < block; n++)
                out[(band + n) * channels + channel] = activation(added(total[n]) + bias[channel], scale[channel]);
        }
}

static void first_column(const int16_t (*frames)[BANDS], int16_t *out) {
    int16_t padded[KERNEL1][BANDS + KERNEL1 - 1] = {{0}};
    int16_t taps[BANDS1][TAPS1] = {{0}};
    for (int frame = 0; frame < KERNEL1; frame++)
        __builtin_memcpy(padded[frame] + KERNEL1 / 2, frames[frame], sizeof frames[frame]);
    for (int band = 0; band < BANDS1; band++)
        for (int frame = 0; frame < KERNEL1; frame++)
            for (int near = 0; near < KERNEL1; near++)
                taps[band][frame * KERNEL1 + near] = padded[frame][2 * band + near];
    const int16_t *in[] = {taps[0]};
    convolve(WEIGHTS + LAYER1, in, 1, TAPS1, TAPS1, BANDS1, CHANNELS1, out);
}

void trunk_reset(trunk *state) {
    __builtin_memset(state, 0, sizeof *state);   /* the bands beyond either edge stay zero */
}

/* The three newest columns of a ring, oldest first. */
#define NEWEST(ring, count) {(ring)[(count) % 3][0], (ring)[((count) + 1) % 3][0], (ring)[((count) + 2) % 3][0]}

void trunk_push(trunk *state, const int16_t (*newest)[BANDS]) {
    if (++state->frames < KERNEL1 || (state->frames - KERNEL1) % 2) return;
    first_column(newest - (KERNEL1 - 1), state->columns1[state->count1++ % 3][1]);
    if (state->count1 < 3) return;
    const int16_t *in1[] = NEWEST(state->columns1, state->count1);
    convolve(WEIGHTS + LAYER2, in1, 3, 3 * CHANNELS1, 2 * CHANNELS1, BANDS2, CHANNELS2,
             state->columns2[state->count2++ % 3][1]);
    if (state->count2 < 3 || state->count2 % 2 == 0) return;
    const int16_t *in2[] = NEWEST(state->columns2, state->count2);
    convolve(WEIGHTS + LAYER3, in2, 3, 3 * CHANNELS2, 2 * CHANNELS2, BANDS3, CHANNELS3,
             state->columns3[state->count3++ % 3][1]);
    if (state->count3 < 3) return;
    const int16_t *in3[] = NEWEST(state->columns3, state->count3);
    convolve(WEIGHTS + LAYER4, in3, 3, 3 * CHANNELS3, 2 * CHANNELS3, BANDS4, CHANNELS4,
             state->columns4[state->count4++ % 2][0]);
}

void trunk_read(const trunk *state, int16_t *hidden) {
    const int16_t *in[] = {state->columns4[state->count4 % 2][0], state->columns4[(state->count4 + 1) % 2][0]};
    convolve(WEIGHTS + LAYER5, in, 2, BANDS4 * CHANNELS4, 0, 1, HIDDEN, hidden);
}
