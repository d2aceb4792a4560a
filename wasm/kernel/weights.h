/* The shape of weights.bin, which scripts/train_embedding.py writes; the model card in wasm/README.md says how.
   Little-endian. Six layers, each int8 [rows][inputs], then int32 bias [rows], then float32 scale [rows]:
   four convolutions (inputs by frame, then band, then channel), the hidden layer over the last two columns and the
   head over it, and then the linear map from the patch. */
#ifndef SONICA_WEIGHTS_H
#define SONICA_WEIGHTS_H

#include "fingerprint.h"

enum {
    LAYER1 = 0,
    LAYER2 = LAYER1 + CHANNELS1 * (TAPS1 + 8),
    LAYER3 = LAYER2 + CHANNELS2 * (9 * CHANNELS1 + 8),
    LAYER4 = LAYER3 + CHANNELS3 * (9 * CHANNELS2 + 8),
    LAYER5 = LAYER4 + CHANNELS4 * (9 * CHANNELS3 + 8),
    HEAD = LAYER5 + HIDDEN * (2 * BANDS4 * CHANNELS4 + 8),
    LINEAR = HEAD + DIMENSIONS * (HIDDEN + 8),
    WEIGHTS_BYTES = LINEAR + DIMENSIONS * (PATCH + 8),
    ACTIVATION_MAX = 8191,   /* so that no layer's sum leaves int32 */
    BIAS_MAX = 1 << 29,
};

_Static_assert((int64_t)ACTIVATION_MAX * 127 * 2 * BANDS4 * CHANNELS4 + BIAS_MAX < INT32_MAX, "sums of the hidden layer");
_Static_assert((int64_t)ACTIVATION_MAX * 127 * 9 * CHANNELS3 + BIAS_MAX < INT32_MAX, "sums of the widest convolution");
_Static_assert((int64_t)2047 * 127 * PATCH + BIAS_MAX < INT32_MAX, "sums of the linear map");

extern const uint8_t WEIGHTS[];

#endif
