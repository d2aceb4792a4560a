/* The only loop: samples -> windows -> band powers -> gain control -> edges -> patches, trunk -> segments. */
#include "fingerprint.h"
#include "tables.h"

enum { RING = 2 * AGC_REACH_FRAMES + 1 };

static void read_window(extractor *stream) {
    float bin_powers[BINS];
    int slot = (int)(stream->frames_read % RING);
    spectrum(stream->window, bin_powers);
    bands(bin_powers, stream->band_powers[slot]);
    float energy = 0.0f;
    for (int n = 0; n < HOP_SAMPLES; n++) energy += stream->window[n] * stream->window[n];
    stream->frame_energies[slot] = energy / HOP_SAMPLES;
    stream->frames_read++;

    __builtin_memmove(stream->window, stream->window + HOP_SAMPLES, sizeof(float) * (WINDOW_SAMPLES - HOP_SAMPLES));
    stream->window_filled = WINDOW_SAMPLES - HOP_SAMPLES;
}

static uint8_t patch_level(const extractor *stream) {
    float energy = 0.0f;
    for (int frame = 0; frame < SEGMENT_FRAMES; frame++) energy += stream->patch_energies[frame];
    float below = -decibels(energy / SEGMENT_FRAMES);
    return below < 0.0f ? 0 : below > 127.0f ? 127 : (uint8_t)(below + 0.5f);
}

/* Move one frame on to the patch; return 1 if that completed a segment. */
static int32_t push_frame(extractor *stream, const int16_t *features, float energy, segment *out) {
    __builtin_memcpy(stream->patch[stream->patch_filled], features, sizeof stream->patch[0]);
    stream->patch_energies[stream->patch_filled++] = energy;
    trunk_push(&stream->trunk, (const int16_t(*)[BANDS])&stream->patch[stream->patch_filled - 1]);
    if (stream->patch_filled < SEGMENT_FRAMES) return 0;

    out->level = patch_level(stream);
    embed(&stream->patch[0][0], &stream->trunk, out->embedding);
    stream->patch_filled = SEGMENT_FRAMES - STEP_FRAMES;
    __builtin_memmove(stream->patch, stream->patch[STEP_FRAMES], sizeof(stream->patch[0]) * (size_t)stream->patch_filled);
    __builtin_memmove(stream->patch_energies, stream->patch_energies + STEP_FRAMES,
                      sizeof(float) * (size_t)stream->patch_filled);
    return 1;
}

/* What lies beyond either end is unknown: the mean of the nearest SEGMENT_FRAMES stands for it. */
static int32_t push_edge(extractor *stream, segment *out) {
    int16_t mean[BANDS];
    float energy = 0.0f;
    mean_frame((const int16_t(*)[BANDS])stream->newest, mean);
    for (int frame = 0; frame < SEGMENT_FRAMES; frame++) energy += stream->newest_energies[frame];
    int32_t written = 0;
    for (int n = 0; n < EDGE_FRAMES; n++) written += push_frame(stream, mean, energy / SEGMENT_FRAMES, out + written);
    return written;
}

/* The first frames wait until there are enough of them to know what stands before them. */
static int32_t normalise_frame(extractor *stream, segment *out) {
    int64_t frame = stream->frames_normalised++;
    int slot = (int)(frame % RING), newest = (int)(frame % SEGMENT_FRAMES);
    float gain_powers[BANDS];
    gains((const float(*)[BANDS])stream->band_powers, RING, frame, stream->frames_read, gain_powers);
    normalise(stream->band_powers[slot], gain_powers, stream->newest[newest]);
    stream->newest_energies[newest] = stream->frame_energies[slot];
    if (frame + 1 < SEGMENT_FRAMES) return 0;
    if (frame + 1 > SEGMENT_FRAMES) return push_frame(stream, stream->newest[newest], stream->newest_energies[newest], out);
    int32_t written = push_edge(stream, out);
    for (int n = 0; n < SEGMENT_FRAMES; n++)
        written += push_frame(stream, stream->newest[n], stream->newest_energies[n], out + written);
    return written;
}

void extractor_reset(extractor *stream) {
    stream->window_filled = stream->patch_filled = 0;
    stream->frames_read = stream->frames_normalised = 0;
    trunk_reset(&stream->trunk);
}

/* Hosts may push anything: what is no number becomes silence, what is absurdly loud is clipped. */
static float sane(float sample) {
    if (!(sample == sample)) return 0.0f;
    return sample > 4.0f ? 4.0f : sample < -4.0f ? -4.0f : sample;
}

int32_t extractor_push(extractor *stream, const float *samples, int32_t count, segment *segments) {
    int32_t written = 0;
    for (int32_t n = 0; n < count; n++) {
        stream->window[stream->window_filled++] = sane(samples[n]);
        if (stream->window_filled < WINDOW_SAMPLES) continue;
        read_window(stream);
        if (stream->frames_read - stream->frames_normalised > AGC_REACH_FRAMES)
            written += normalise_frame(stream, segments + written);
    }
    return written;
}

int32_t extractor_finish(extractor *stream, segment *segments) {
    int32_t written = 0;
    while (stream->frames_normalised < stream->frames_read) written += normalise_frame(stream, segments + written);
    if (stream->frames_normalised >= SEGMENT_FRAMES) written += push_edge(stream, segments + written);
    return written;
}
