/* The resampler as a WebAssembly host sees it: from the input buffer into one of its own. */
#include "resample.h"

#define EXPORT(name) __attribute__((export_name(#name)))

enum { RESAMPLED_MAX = 2 * SAMPLES_PER_PUSH_MAX };

static resampler resampling;
static float resampled[RESAMPLED_MAX];
static int32_t started;

float *input_buffer(void);   /* wasm_module.c */

EXPORT(resampled_buffer) float *resampled_buffer(void) { return resampled; }

/* Return 0 for a ratio whose filter, or what comes out of it, would be too large. */
EXPORT(resample_start) int32_t resample_start(int32_t down, int32_t up) {
    started = resampler_start(&resampling, down, up) &&
              resampler_bound(&resampling, SAMPLES_PER_PUSH_MAX) <= RESAMPLED_MAX;
    return started;
}

EXPORT(resample_push) int32_t resample_push(int32_t count) {
    if (!started || count < 0 || count > SAMPLES_PER_PUSH_MAX) return -1;
    return (int32_t)resampler_push(&resampling, input_buffer(), count, resampled);
}

EXPORT(resample_finish) int32_t resample_finish(void) {
    if (!started) return -1;
    started = 0;
    return (int32_t)resampler_finish(&resampling, resampled);
}
