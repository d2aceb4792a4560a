/* Bin powers to log-scaled band features under automatic gain control. */
#include "fingerprint.h"
#include "tables.h"

enum { FEATURE_SCALE = 256, FEATURE_MAX = 2047 };

static const float FLOOR_POWER = 0.0199526231f;   /* 10^-1.7 of the mean: what lies lower is noise on a phone */
static const float SILENCE_POWER = 1e-12f;        /* keeps digital silence finite; 16-bit rounding noise is far above */

void bands(const float *bin_powers, float *band_powers) {
    const float *weight = BAND_WEIGHTS;
    for (int band = 0; band < BANDS; band++) {
        float sum = 0.0f;
        for (int bin = BAND_FIRST[band]; bin < BAND_FIRST[band] + BAND_COUNT[band]; bin++)
            sum += bin_powers[bin] * *weight++;
        band_powers[band] = sum;
    }
}

/* log10 by exponent and the series of artanh; within 1e-6 of the true value and the same on every host. */
static float log10_positive(float x) {
    union { float value; uint32_t bits; } u = { x };
    int32_t exponent = (int32_t)(u.bits >> 23) - 127;
    u.bits = (u.bits & 0x007fffffu) | 0x3f800000u;
    if (u.value > 1.41421356f) {
        u.value *= 0.5f;
        exponent += 1;
    }
    float s = (u.value - 1.0f) / (u.value + 1.0f), square = s * s;
    float series = s * (2.0f + square * (0.666666667f + square * (0.4f + square * 0.285714286f)));
    return (float)exponent * 0.301029996f + series * 0.434294482f;
}

void normalise(const float *band_powers, float gain_power, int16_t *features) {
    float gain = 1.0f / (gain_power + SILENCE_POWER);
    for (int band = 0; band < BANDS; band++) {
        float feature = (log10_positive(band_powers[band] * gain + FLOOR_POWER) + 0.5f) * FEATURE_SCALE;
        int32_t rounded = (int32_t)(feature + 4096.5f) - 4096;   /* truncation of a positive number is floor */
        features[band] = (int16_t)(rounded > FEATURE_MAX ? FEATURE_MAX : rounded);
    }
}

/* Rounded to the nearest whole number, in integers. */
void mean_frame(const int16_t (*frames)[BANDS], int16_t *mean) {
    for (int band = 0; band < BANDS; band++) {
        int32_t sum = SEGMENT_FRAMES * 4096 + SEGMENT_FRAMES / 2;   /* positive, for division truncates */
        for (int frame = 0; frame < SEGMENT_FRAMES; frame++) sum += frames[frame][band];
        mean[band] = (int16_t)(sum / SEGMENT_FRAMES - 4096);
    }
}

float decibels(float power) {
    return 10.0f * log10_positive(power + 1e-20f);
}
