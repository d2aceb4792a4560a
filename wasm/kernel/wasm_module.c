/* What a WebAssembly host sees: one stream in static memory, a fixed input and a fixed output buffer. */
#include "fingerprint.h"

#define EXPORT(name) __attribute__((export_name(#name)))

static extractor stream;
static float input[SAMPLES_PER_PUSH_MAX];
static segment output[SEGMENTS_PER_PUSH_MAX];

EXPORT(fingerprint_version) int32_t fingerprint_version(void) { return FINGERPRINT_VERSION; }
EXPORT(input_buffer) float *input_buffer(void) { return input; }
EXPORT(input_samples_max) int32_t input_samples_max(void) { return SAMPLES_PER_PUSH_MAX; }
EXPORT(output_buffer) segment *output_buffer(void) { return output; }
EXPORT(segment_bytes) int32_t segment_bytes(void) { return (int32_t)sizeof(segment); }
EXPORT(reset) void reset(void) { extractor_reset(&stream); }

EXPORT(push) int32_t push(int32_t count) {
    if (count < 0 || count > SAMPLES_PER_PUSH_MAX) return -1;
    return extractor_push(&stream, input, count, output);
}

EXPORT(finish) int32_t finish(void) { return extractor_finish(&stream, output); }
