/* Every speed and shift at once; places are counted in steps. */
#include "alignment.h"

/* Two hundredths apart: a fifth of a second over ten. Of speeds that fit equally the first is taken: the least change. */
static const float SPEED[SPEEDS] = {1.0f, 0.98f, 1.02f, 0.96f, 1.04f, 0.94f, 1.06f, 0.92f, 1.08f};
static const double OVERLAP_MIN = 0.6;   /* of the clip's segments must lie within the song, or it could be anything */
static const double NO_OVERLAP = -1.0;
enum { ELSEWHERE_STEPS = 3 };   /* so far away a segment overlaps with itself by 60 % and looks like another */

/* To the nearest whole number, of two the even one, below 2^51. */
static int32_t rounded(double value) { return (int32_t)(value + 6755399441055744.0 - 6755399441055744.0); }

int32_t heard_at(const query *asked, int32_t steps, float speed) {
    int32_t segment = rounded((double)((float)steps / (speed * (float)asked->thinning)));
    return segment >= 0 && segment < asked->segments && asked->levels[segment] < SILENCE_DB ? segment : -1;
}

void fits_add(fits *all, const query *asked, const int32_t *products, int32_t steps) {
    for (int speed = 0; speed < SPEEDS; speed++) {
        for (int shift = 0; shift < SHIFTS; shift++) {
            int32_t segment = heard_at(asked, steps - (shift - SHIFT_MAX), SPEED[speed]);
            if (segment < 0) continue;
            all->products[speed][shift] += products[segment];
            all->counts[speed][shift]++;
        }
    }
}

/* Mean cosines; of what overlaps too little with the query, NO_OVERLAP. */
static void similarities_of(const fits *all, const query *asked, int32_t unit, double similarities[SPEEDS][SHIFTS]) {
    int32_t loud = 0;
    for (int32_t n = 0; n < asked->segments; n++) loud += asked->levels[n] < SILENCE_DB;
    double expected = (double)loud * asked->thinning / CATALOGUE_THINNING;
    if (expected < 1.0) expected = 1.0;
    for (int speed = 0; speed < SPEEDS; speed++) {
        for (int shift = 0; shift < SHIFTS; shift++) {
            int32_t count = all->counts[speed][shift], divisor = (int32_t)expected;
            if (count > divisor) divisor = count;
            double sum = (double)(all->products[speed][shift] * unit) / (EMBEDDING_UNIT * EMBEDDING_UNIT);
            similarities[speed][shift] = count >= OVERLAP_MIN * expected ? sum / divisor : NO_OVERLAP;
        }
    }
}

/* Rain, drones and beats fit at any shift; a song only where it was. */
static double sharpness(const double *similarities, int shift) {
    double sum = 0.0;
    int count = 0;
    for (int other = 0; other < SHIFTS; other++) {
        int apart = other < shift ? shift - other : other - shift;
        if (apart < ELSEWHERE_STEPS || similarities[other] <= NO_OVERLAP) continue;
        sum += similarities[other];
        count++;
    }
    return count ? similarities[shift] - sum / count : 0.0;
}

fit best_fit(const fits *all, const query *asked, int32_t unit) {
    double similarities[SPEEDS][SHIFTS];
    similarities_of(all, asked, unit, similarities);
    int speed = 0, shift = 0;
    for (int n = 1; n < SPEEDS * SHIFTS; n++) {
        if (similarities[n / SHIFTS][n % SHIFTS] <= similarities[speed][shift]) continue;
        speed = n / SHIFTS;
        shift = n % SHIFTS;
    }
    return (fit){similarities[speed][shift], sharpness(similarities[speed], shift), SPEED[speed], shift - SHIFT_MAX};
}
