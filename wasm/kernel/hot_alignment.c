/* Lays the query along a song's stored segments, as the origin does. */
#include "hot_index.h"

enum { WINDOW_MARGIN_STEPS = 12 };

static const double STRETCH_MAX = 1.1;
static const double SHARED_SIMILARITY_GAP = 0.1, SHARED_REFERENCE_COSINE = 0.35;   /* backend/recognition/verify.py */

/* To the nearest whole number, of two the even one, below 2^51. */
static int32_t rounded(double value) { return (int32_t)(value + 6755399441055744.0 - 6755399441055744.0); }

/* The first of a song's segments from `first` that is not before a position. */
static uint32_t reach(const hot_index *index, uint32_t first, uint32_t end, int32_t position) {
    while (first < end) {
        uint32_t middle = first + (end - first) / 2;
        if (position_of(index, middle) < position) first = middle + 1;
        else end = middle;
    }
    return first;
}

static void lay_along(const hot_index *index, const query *asked, const alignment *window, int32_t offset, fits *all) {
    for (uint32_t ordinal = window->first; ordinal < window->end; ordinal++) {
        int16_t reference[DIMENSIONS], heard[DIMENSIONS];
        int32_t products[QUERY_SEGMENTS_MAX];
        stored_vector(index, ordinal, reference);
        for (int32_t n = 0; n < asked->segments; n++) {
            heard_vector(asked->embeddings + n * DIMENSIONS, heard);
            products[n] = product(heard, reference);
        }
        fits_add(all, asked, products, position_of(index, ordinal) - offset);
    }
}

void align(const hot_index *index, const query *asked, const place *candidate, alignment *best) {
    int32_t offset = rounded(candidate->moment / (candidate->votes > 1e-9 ? candidate->votes : 1e-9));
    int32_t reached = rounded(index->searched_at[index->searched - 1] * STRETCH_MAX);
    uint32_t first = first_of(index, candidate->song), end = first_of(index, candidate->song + 1);
    best->song = candidate->song;
    best->first = reach(index, first, end, offset - WINDOW_MARGIN_STEPS);
    best->end = reach(index, best->first, end, offset + reached + WINDOW_MARGIN_STEPS + 1);

    fits all = {0};
    lay_along(index, asked, best, offset, &all);
    fit found = best_fit(&all, asked, STORED_UNIT);
    best->similarity = found.similarity;
    best->sharpness = found.sharpness;
    best->speed = found.speed;
    best->offset_steps = offset + found.shift;
    best->unused = 0;
}

/* The stored segment that is heard at each of the query's, by ascending row; return how many. */
static int32_t references(const hot_index *index, const query *asked, const alignment *at, int32_t *rows,
                          uint32_t *ordinals) {
    int32_t count = 0;
    for (uint32_t ordinal = at->first; ordinal < at->end; ordinal++) {
        int32_t row = heard_at(asked, position_of(index, ordinal) - at->offset_steps, at->speed);
        if (row < 0) continue;
        if (count == 0 || rows[count - 1] != row) count++;   /* the last one stays, where several are heard at one */
        rows[count - 1] = row;
        ordinals[count - 1] = ordinal;
    }
    return count;
}

/* The cosine of a stored segment and what lies between two others, `weight` of the way to the second. */
static double cosine_between(const int16_t *ours, const int16_t *before, const int16_t *after, double weight) {
    double rest = 1.0 - weight;
    double along = rest * product(ours, before) + weight * product(ours, after);
    double square = rest * rest * product(before, before) + 2.0 * rest * weight * product(before, after) +
                    weight * weight * product(after, after);
    double lengths = __builtin_sqrt(product(ours, ours) * square);
    return along / (lengths > 1e-9 ? lengths : 1e-9);
}

/* Their stored segments start at different phases, so the other's are interpolated in between. */
int32_t hot_same_recording(const hot_index *index, const query *asked, int32_t one, int32_t other) {
    if (one < 0 || other < 0 || one >= index->aligned || other >= index->aligned) return 0;
    const alignment *ours = &index->alignments[one], *theirs = &index->alignments[other];
    if (ours->similarity - theirs->similarity > SHARED_SIMILARITY_GAP) return 0;
    int32_t rows[QUERY_SEGMENTS_MAX], other_rows[QUERY_SEGMENTS_MAX];
    uint32_t ordinals[QUERY_SEGMENTS_MAX], other_ordinals[QUERY_SEGMENTS_MAX];
    int32_t count = references(index, asked, ours, rows, ordinals);
    int32_t other_count = references(index, asked, theirs, other_rows, other_ordinals);
    if (count == 0 || other_count == 0) return 0;

    double sum = 0.0;
    int32_t after = 0;
    for (int32_t n = 0; n < count; n++) {
        int16_t vector[DIMENSIONS], vector_before[DIMENSIONS], vector_after[DIMENSIONS];
        while (after < other_count - 1 && other_rows[after] < rows[n]) after++;
        int32_t before = after > 0 ? after - 1 : 0, gap = other_rows[after] - other_rows[before];
        double weight = (double)(rows[n] - other_rows[before]) / (gap > 1 ? gap : 1);
        weight = weight < 0.0 ? 0.0 : weight > 1.0 ? 1.0 : weight;
        stored_vector(index, ordinals[n], vector);
        stored_vector(index, other_ordinals[before], vector_before);
        stored_vector(index, other_ordinals[after], vector_after);
        sum += cosine_between(vector, vector_before, vector_after, weight);
    }
    return sum / count >= SHARED_REFERENCE_COSINE;
}
