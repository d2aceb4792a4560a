/* A polyphase filter: a sinc under a Kaiser window, made when the rate is known. Its order of operations is fixed, so
   that every host gives the same samples. */
#include "resample.h"

/* The fingerprint looks at 80 to 5,000 Hz. Downwards the filter may fall from there to where aliases of it would come
   from; upwards it must be steep, for images begin right above the old half rate. */
static const double CUTOFF_HZ = SAMPLE_RATE_HZ / 2, FALL_HZ = 5600.0, STEEP_FALL = 0.09;
static const double ATTENUATION_DB = 80.0, KAISER_BETA = 7.857;   /* 0.1102 x (80 - 8.7): Kaiser 1974 */
static const double PI = 3.14159265358979323846;

/* sin(pi x) / (pi x); the series errs by less than 1e-9 within half a turn. */
static double sinc(double x) {
    if (x == 0.0) return 1.0;
    double turns = __builtin_floor(x + 0.5), angle = (x - turns) * PI, square = angle * angle, series = 1.0;
    for (int n = 14; n > 0; n -= 2) series = 1.0 - square * series / (double)(n * (n + 1));
    return ((int64_t)turns & 1 ? -angle : angle) * series / (x * PI);
}

/* The modified Bessel function I0, which the Kaiser window is made of. */
static double bessel(double x) {
    double term = 1.0, sum = 1.0;
    for (int n = 1; n < 30; n++) sum += term *= x * x / (4.0 * n * n);
    return sum;
}

static int32_t common_divisor(int32_t a, int32_t b) {
    return b == 0 ? a : common_divisor(b, a % b);
}

/* The filter of one phase: the output lies `phase / up` behind the sample under the tap in the middle. */
static void make_phase(const resampler *stream, int32_t phase, double cutoff, float *coefficients) {
    double sum = 0.0, values[RESAMPLE_TAPS_MAX], half = stream->taps / 2.0;
    for (int32_t tap = 0; tap < stream->taps; tap++) {
        double distance = tap - (half - 1.0) - (double)phase / stream->up, place = distance / half;
        double within = place * place < 1.0 ? 1.0 - place * place : 0.0;
        values[tap] = sinc(2.0 * cutoff * distance) * bessel(KAISER_BETA * __builtin_sqrt(within));
        sum += values[tap];
    }
    for (int32_t tap = 0; tap < stream->taps; tap++) coefficients[tap] = (float)(values[tap] / sum);
}

int32_t resampler_start(resampler *stream, int32_t down, int32_t up) {
    if (down < 1 || up < 1) return 0;
    int32_t divisor = common_divisor(up, down);
    double rate_hz = (double)SAMPLE_RATE_HZ * down / up;
    double fall = rate_hz < SAMPLE_RATE_HZ ? STEEP_FALL : FALL_HZ / rate_hz;   /* per sample taken in */
    double cutoff = rate_hz < SAMPLE_RATE_HZ ? 0.5 : CUTOFF_HZ / rate_hz;
    double length = (ATTENUATION_DB - 8.0) / (2.285 * 2.0 * PI * fall);
    if (length > RESAMPLE_TAPS_MAX - 4) return 0;
    stream->taps = ((int32_t)length / 4 + 1) * 4;
    stream->up = up / divisor;
    stream->down = down / divisor;
    if (stream->up > RESAMPLE_COEFFICIENTS_MAX / stream->taps) return 0;
    for (int32_t phase = 0; phase < stream->up; phase++)
        make_phase(stream, phase, cutoff, stream->coefficients + phase * stream->taps);

    stream->at = stream->phase = 0;
    stream->filled = stream->taps / 2 - 1;   /* silence before the first sample */
    for (int32_t n = 0; n < stream->filled; n++) stream->line[n] = 0.0f;
    return 1;
}

int64_t resampler_bound(const resampler *stream, int64_t count) {
    return (count + stream->taps) * stream->up / stream->down + 1;
}

/* Four sums, added in one order. */
static float product(const float *samples, const float *coefficients, int32_t taps) {
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (int32_t tap = 0; tap < taps; tap += 4)
        for (int32_t lane = 0; lane < 4; lane++) sums[lane] += samples[tap + lane] * coefficients[tap + lane];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/* Write what the line suffices for, then move its rest to its start. */
static int64_t drain(resampler *stream, float *out) {
    int64_t written = 0;
    while (stream->at + stream->taps <= stream->filled) {
        out[written++] = product(stream->line + stream->at, stream->coefficients + stream->phase * stream->taps, stream->taps);
        stream->phase += stream->down;
        stream->at += stream->phase / stream->up;
        stream->phase %= stream->up;
    }
    int32_t gone = stream->at < stream->filled ? stream->at : stream->filled;
    stream->filled -= gone;
    stream->at -= gone;
    __builtin_memmove(stream->line, stream->line + gone, sizeof(float) * (size_t)stream->filled);
    return written;
}

int64_t resampler_push(resampler *stream, const float *samples, int64_t count, float *out) {
    int64_t written = 0;
    for (int64_t done = 0; done < count; done += RESAMPLE_PART) {
        int32_t part = count - done < RESAMPLE_PART ? (int32_t)(count - done) : RESAMPLE_PART;
        __builtin_memcpy(stream->line + stream->filled, samples + done, sizeof(float) * (size_t)part);
        stream->filled += part;
        written += drain(stream, out + written);
    }
    return written;
}

int64_t resampler_finish(resampler *stream, float *out) {
    static const float SILENCE[RESAMPLE_TAPS_MAX / 2];
    return resampler_push(stream, SILENCE, stream->taps / 2, out);
}
