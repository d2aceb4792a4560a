/* Samples of any common rate become samples at 16 kHz, for hosts that have no resampler of their own; or a clip is slowed or
   hurried by some per cent, for one that was played at another speed. */
#ifndef SONICA_RESAMPLE_H
#define SONICA_RESAMPLE_H

#include "fingerprint.h"

enum {
    RESAMPLE_TAPS_MAX = 512,
    RESAMPLE_COEFFICIENTS_MAX = 16384,   /* 44,100 Hz takes 160 phases of 40 taps */
    RESAMPLE_PART = 1024,                /* samples taken at a time */
};

/* One stream. Hosts own it, start it before use, and look at nothing inside. */
typedef struct resampler {
    int32_t up, down, taps;   /* of `down` samples become `up` */
    int32_t at, phase;        /* of the next output: its first tap within the line, and its filter */
    int32_t filled;
    float line[RESAMPLE_TAPS_MAX + RESAMPLE_PART];
    float coefficients[RESAMPLE_COEFFICIENTS_MAX];
} resampler;

/* Begin a stream of which every `down` samples become `up`, heard at 16 kHz; return 0 for a ratio whose filter would be too
   large. */
int32_t resampler_start(resampler *stream, int32_t down, int32_t up);

/* At most so many samples come out of a push of `count`, or of a finish (count 0). */
int64_t resampler_bound(const resampler *stream, int64_t count);

/* Take samples; write those at 16 kHz that are certain, return how many. */
int64_t resampler_push(resampler *stream, const float *samples, int64_t count, float *out);

/* End the stream: write the samples that waited for later ones. */
int64_t resampler_finish(resampler *stream, float *out);

#endif
