/* Compares every stored segment with every searched one, four at a time, and keeps the nearest of each. */
#include "hot_index.h"
#include "products.h"

/* Longer queries search every second segment: neighbours overlap by 87 %. */
enum { DENSE_QUERY_SEGMENTS = 16, ROWS = 4 };

void heard_vector(const int8_t *embedding, int16_t *vector) {
    for (int n = 0; n < CODE_BYTES; n++) {
        vector[n] = embedding[2 * n];
        vector[CODE_BYTES + n] = embedding[2 * n + 1];
    }
}

void stored_vector(const hot_index *index, uint32_t ordinal, int16_t *vector) {
    const uint8_t *code = index->codes + CODE_BYTES * (uint64_t)ordinal;
    for (int n = 0; n < CODE_BYTES; n++) {
        vector[n] = (int16_t)(2 * (code[n] & 15) - 15);
        vector[CODE_BYTES + n] = (int16_t)(2 * (code[n] >> 4) - 15);
    }
}

int32_t product(const int16_t *one, const int16_t *other) {
    int32_t sum = 0;
    for (int n = 0; n < DIMENSIONS; n++) sum += one[n] * other[n];
    return sum;
}

float cosine(int32_t product) { return (float)(STORED_UNIT * product) / (float)(EMBEDDING_UNIT * EMBEDDING_UNIT); }

static void choose_searched(hot_index *index, const query *asked) {
    int32_t loud = 0, seen = 0;
    for (int32_t n = 0; n < asked->segments; n++) loud += asked->levels[n] < SILENCE_DB;
    int32_t each = loud > DENSE_QUERY_SEGMENTS ? 2 : 1;
    index->searched = 0;
    for (int32_t n = 0; n < asked->segments; n++) {
        if (asked->levels[n] >= SILENCE_DB || seen++ % each) continue;
        index->searched_at[index->searched] = n * asked->thinning;
        heard_vector(asked->embeddings + n * DIMENSIONS, index->vectors[index->searched++]);
    }
}

static void take(hot_index *index, int32_t searched, uint32_t ordinal, int32_t found) {
    int32_t *products = index->products[searched], n = NEIGHBOURS - 1;
    uint32_t *ordinals = index->ordinals[searched];
    for (; n > 0 && products[n - 1] < found; n--) {
        products[n] = products[n - 1];
        ordinals[n] = ordinals[n - 1];
    }
    products[n] = found;
    ordinals[n] = ordinal;
}

/* Not inlined: engines put a function's optimised code in place when it is next called, and that should be soon. */
__attribute__((noinline)) static void compare(hot_index *index, uint32_t start, uint32_t rows) {
    _Alignas(16) int16_t vectors[ROWS][DIMENSIONS] = {0};
    for (uint32_t row = 0; row < rows; row++) stored_vector(index, start + row, vectors[row]);
    for (int32_t q = 0; q < index->searched; q++) {
        sums totals[ROWS] = {no_sums(), no_sums(), no_sums(), no_sums()};
        for (int n = 0; n < DIMENSIONS; n += 8) {
            weights8 heard = eight_values(index->vectors[q] + n);
            for (int row = 0; row < ROWS; row++) totals[row] = add_eight(totals[row], heard, vectors[row] + n);
        }
        int32_t found[ROWS];
        added_four(totals, found);
        for (uint32_t row = 0; row < rows; row++)
            if (found[row] > index->products[q][NEIGHBOURS - 1]) take(index, q, start + row, found[row]);
    }
}

void find_neighbours(hot_index *index, const query *asked) {
    choose_searched(index, asked);
    for (int32_t q = 0; q < index->searched; q++)
        for (int32_t n = 0; n < NEIGHBOURS; n++) index->products[q][n] = INT32_MIN;
    for (uint32_t start = 0; start < index->segments; start += ROWS)
        compare(index, start, index->segments - start < ROWS ? index->segments - start : ROWS);
}
