/* The whole ABI of the fingerprint kernel: push samples, read segments. No libc, no heap, no I/O. */
#ifndef SONICA_FINGERPRINT_H
#define SONICA_FINGERPRINT_H

#include <stddef.h>
#include <stdint.h>

enum {
    FINGERPRINT_VERSION = 4,
    SAMPLE_RATE_HZ = 16000,
    WINDOW_SAMPLES = 2048,
    HOP_SAMPLES = 512,
    BANDS = 80,
    AGC_REACH_FRAMES = 15,   /* gains are of the mean powers of 2 x 15 + 1 frames */
    SEGMENT_FRAMES = 27,     /* 0.96 s of audio */
    STEP_FRAMES = 4,         /* 0.128 s */
    EDGE_FRAMES = 8,         /* made up before the first frame and after the last: two segments reach beyond either end */
    PATCH = SEGMENT_FRAMES * BANDS,
    DIMENSIONS = 128,

    /* The trunk: each layer halves the bands, the first and the third also the frames. */
    KERNEL1 = 5,
    TAPS1 = 32,              /* 5 x 5 and zeros, so that vectors are full */
    BANDS1 = BANDS / 2, CHANNELS1 = 24,
    BANDS2 = BANDS1 / 2, CHANNELS2 = 48,
    BANDS3 = BANDS2 / 2, CHANNELS3 = 96,
    BANDS4 = BANDS3 / 2, CHANNELS4 = 128,
    HIDDEN = 256,

    SAMPLES_PER_PUSH_MAX = 16384,
    /* one push completes a segment every 2,048 samples, and those of the start; a finish releases the frames that the gain
       still waited for, and those of the end */
    SEGMENTS_PER_PUSH_MAX =
        SAMPLES_PER_PUSH_MAX / (STEP_FRAMES * HOP_SAMPLES) + 1 + (AGC_REACH_FRAMES + 2 * EDGE_FRAMES) / STEP_FRAMES + 1,
};

/* What a host reads for each segment. */
typedef struct segment {
    uint8_t level;                  /* decibels below full scale, 0..127 */
    int8_t embedding[DIMENSIONS];   /* a unit vector times EMBEDDING_SCALE */
} segment;

_Static_assert(sizeof(segment) == 1 + DIMENSIONS, "hosts read segments as packed bytes");

/* What the trunk remembers: of each layer the newest columns, with a band of zeros beyond either edge. */
typedef struct trunk {
    _Alignas(16) int16_t columns1[3][BANDS1 + 2][CHANNELS1];
    _Alignas(16) int16_t columns2[3][BANDS2 + 2][CHANNELS2];
    _Alignas(16) int16_t columns3[3][BANDS3 + 2][CHANNELS3];
    _Alignas(16) int16_t columns4[2][BANDS4][CHANNELS4];
    int64_t frames, count1, count2, count3, count4;   /* columns made so far */
} trunk;

/* One stream. Hosts own it, reset it before use, and look at nothing inside. */
typedef struct extractor {
    float window[WINDOW_SAMPLES];
    float band_powers[2 * AGC_REACH_FRAMES + 1][BANDS];   /* rings over the last frames */
    float frame_energies[2 * AGC_REACH_FRAMES + 1];
    int16_t newest[SEGMENT_FRAMES][BANDS];   /* ring over the last normalised frames: the clip's first, or its last */
    float newest_energies[SEGMENT_FRAMES];
    int16_t patch[SEGMENT_FRAMES][BANDS];
    float patch_energies[SEGMENT_FRAMES];
    trunk trunk;
    int32_t window_filled;
    int32_t patch_filled;
    int64_t frames_read;       /* spectra taken */
    int64_t frames_normalised;   /* of these, gain-controlled */
} extractor;

void extractor_reset(extractor *stream);

/* Take up to SAMPLES_PER_PUSH_MAX samples (mono, 16 kHz, full scale 1); return how many segments were written. */
int32_t extractor_push(extractor *stream, const float *samples, int32_t count, segment *segments);

/* End the stream: write the segments that waited for later frames. The stream must be reset before more is pushed. */
int32_t extractor_finish(extractor *stream, segment *segments);

/* The stages, in order; fingerprint.c calls them, training reads features through them. */
void spectrum(const float *window, float *bin_powers);
void bands(const float *bin_powers, float *band_powers);
void gains(const float (*band_powers)[BANDS], int64_t ring, int64_t frame, int64_t frames, float *gain_powers);
void normalise(const float *band_powers, const float *gain_powers, int16_t *features);
void mean_frame(const int16_t (*frames)[BANDS], int16_t *mean);   /* of SEGMENT_FRAMES */
float decibels(float power);
void trunk_reset(trunk *state);
void trunk_push(trunk *state, const int16_t (*newest)[BANDS]);   /* the newest frame; the four before it are read too */
void trunk_read(const trunk *state, int16_t *hidden);
void embed(const int16_t *patch, const trunk *state, int8_t *embedding);

#endif
