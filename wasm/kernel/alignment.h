/* Lays a query along a song at every speed and shift: verification, the same at the origin and in the hot index. */
#ifndef SONICA_ALIGNMENT_H
#define SONICA_ALIGNMENT_H

#include "fingerprint.h"

enum {
    SPEEDS = 9,
    SHIFTS = 13,
    SHIFT_MAX = SHIFTS / 2,        /* steps to either side of the voted offset */
    CATALOGUE_THINNING = 4,        /* steps between stored segments */
    SILENCE_DB = 60,
    EMBEDDING_UNIT = 360,          /* the length of a unit vector in a fingerprint */
};

typedef struct query {
    const uint8_t *levels;         /* of each segment, decibels below full scale */
    const int8_t *embeddings;      /* [segments][DIMENSIONS] */
    int32_t segments, thinning;
} query;

/* Sums of inner products and how many, of each speed and shift. */
typedef struct fits {
    int64_t products[SPEEDS][SHIFTS];
    int32_t counts[SPEEDS][SHIFTS];
} fits;

typedef struct fit {
    double similarity;             /* mean cosine over the stored segments that the query covers; -1 where it covers too few */
    double sharpness;              /* how far that falls, on average, when the query is shifted by 3 steps or more */
    float speed;
    int32_t shift;                 /* steps from the voted offset */
} fit;

/* Take a stored segment in, so many steps after the voted offset, with its products with all of the query's segments. */
void fits_add(fits *all, const query *asked, const int32_t *products, int32_t steps);

/* The most similar one, of equals the least change; `unit`: what a product's one stands for in a fingerprint's bytes. */
fit best_fit(const fits *all, const query *asked, int32_t unit);

/* The query's segment that is heard so many steps after its start in a song at this speed; -1 for none that is not silent. */
int32_t heard_at(const query *asked, int32_t steps, float speed);

#endif
