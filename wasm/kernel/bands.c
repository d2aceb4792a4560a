/* Bin powers to log-scaled band features under automatic gain control. */
#include "fingerprint.h"
#include "tables.h"

enum { FEATURE_SCALE = 256, FEATURE_MAX = 2047, TILT_REACH_BANDS = 10 };

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

/* Mean powers of the frames within reach; at the stream's ends there are fewer. */
static void mean_powers(const float (*band_powers)[BANDS], int64_t ring, int64_t frame, int64_t frames, float *means) {
    int64_t first = frame < AGC_REACH_FRAMES ? 0 : frame - AGC_REACH_FRAMES;
    int64_t last = frame + AGC_REACH_FRAMES < frames ? frame + AGC_REACH_FRAMES : frames - 1;
    for (int band = 0; band < BANDS; band++) means[band] = 0.0f;
    for (int64_t f = first; f <= last; f++)
        for (int band = 0; band < BANDS; band++) means[band] += band_powers[f % ring][band];
    for (int band = 0; band < BANDS; band++) means[band] /= (float)(last - first + 1);
}

/* Rooms, microphones and steady noise colour the spectrum: half of its tilt, in decibels, is taken out, and a quarter of
   what else stays in a band for a second. Frame f is in row f % ring. */
void gains(const float (*band_powers)[BANDS], int64_t ring, int64_t frame, int64_t frames, float *gain_powers) {
    float means[BANDS], total = 0.0f;
    mean_powers(band_powers, ring, frame, frames, means);
    for (int band = 0; band < BANDS; band++) total += means[band];
    for (int band = 0; band < BANDS; band++) {
        int first = band < TILT_REACH_BANDS ? 0 : band - TILT_REACH_BANDS;
        int last = band + TILT_REACH_BANDS < BANDS ? band + TILT_REACH_BANDS : BANDS - 1;
        float nearby = 0.0f;
        for (int near = first; near <= last; near++) nearby += means[near];
        float smooth = nearby / (float)(last - first + 1);
        gain_powers[band] = __builtin_sqrtf(total / BANDS * __builtin_sqrtf(smooth * means[band]));
    }
}

void normalise(const float *band_powers, const float *gain_powers, int16_t *features) {
    for (int band = 0; band < BANDS; band++) {
        float levelled = band_powers[band] / (gain_powers[band] + SILENCE_POWER);
        float feature = (log10_positive(levelled + FLOOR_POWER) + 0.5f) * FEATURE_SCALE;
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
