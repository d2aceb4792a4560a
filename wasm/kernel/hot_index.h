/* The hot index: finds a fingerprint among the popular songs of a bundle. No libc, no heap, no I/O; sizes are bounded. */
#ifndef SONICA_HOT_INDEX_H
#define SONICA_HOT_INDEX_H

#include "alignment.h"

enum {
    BUNDLE_FORMAT = 1,
    BUNDLE_HEADER_BYTES = 20,
    BUNDLE_HASH_BYTES = 32,
    CODE_BYTES = DIMENSIONS / 2,   /* of a stored embedding: four bits a component */
    POSITIONS_END = 1 << 24,       /* steps, 25 days: beyond, float does not hold every whole number */

    QUERY_SEGMENTS_MAX = 256,      /* 32 s */
    QUERY_THINNING_MAX = 16,
    SEARCHED_MAX = QUERY_SEGMENTS_MAX / 2,
    NEIGHBOURS = 10,               /* of each searched segment */
    HITS_MAX = SEARCHED_MAX * NEIGHBOURS,
    CANDIDATES_MAX = 64,
    STORED_UNIT = 5,               /* a stored component is (2 x code - 15) x 5 */
};

/* A song, and how the query lies in it best. */
typedef struct alignment {
    double similarity;             /* mean cosine over the stored segments that the query covers */
    double sharpness;              /* how far that falls, on average, when the query is shifted by 3 steps or more */
    float speed;
    int32_t offset_steps;          /* where in the song the query starts */
    uint32_t song;                 /* its ordinal in the bundle */
    uint32_t first, end;           /* the stored segments around the query */
    uint32_t unused;
} alignment;

_Static_assert(sizeof(alignment) == 40, "hosts read alignments as packed bytes");

/* A stored segment near a searched one, hence a vote for where the query starts. */
typedef struct hit {
    uint32_t song;
    int32_t offset;
    float weight;
} hit;

/* The votes of a few neighbouring offsets. */
typedef struct place {
    uint32_t song;
    int32_t bin;
    double votes, moment;          /* their sum, and the sum of vote times offset */
} place;

/* A bundle and the room that a search in it needs. Hosts own it, one search at a time. */
typedef struct hot_index {
    const uint8_t *firsts, *positions, *codes;   /* within the bundle */
    uint32_t songs, segments;

    int32_t searched, searched_at[SEARCHED_MAX];   /* which segments of the query are searched, and their steps */
    _Alignas(16) int16_t vectors[SEARCHED_MAX][DIMENSIONS];
    int32_t products[SEARCHED_MAX][NEIGHBOURS];    /* descending */
    uint32_t ordinals[SEARCHED_MAX][NEIGHBOURS];
    hit hits[HITS_MAX];
    place places[HITS_MAX];
    int32_t aligned;
    alignment alignments[CANDIDATES_MAX];
} hot_index;

/* Take a bundle, which must stay where it is; return 0, or -1 for one that this kernel cannot read. Hosts check the hash. */
int32_t hot_open(hot_index *index, const uint8_t *bundle, uint64_t length);

/* Align the query with the `limit` likeliest places, at most CANDIDATES_MAX; return how many songs `alignments` then holds,
   most similar first, or -1 for a query that is longer than QUERY_SEGMENTS_MAX or otherwise none. */
int32_t hot_search(hot_index *index, const query *asked, int32_t limit);

/* Say whether two of the alignments hold the same audio where the query lies. */
int32_t hot_same_recording(const hot_index *index, const query *asked, int32_t one, int32_t other);

/* The stages, in order, and what they share. */
void find_neighbours(hot_index *index, const query *asked);
int32_t tally(hot_index *index, int32_t limit);   /* the likeliest places to the front of `places`; how many */
void align(const hot_index *index, const query *asked, const place *candidate, alignment *best);
uint32_t song_of(const hot_index *index, uint32_t ordinal);
uint32_t first_of(const hot_index *index, uint32_t song);
int32_t position_of(const hot_index *index, uint32_t ordinal);

/* Vectors have their even components first and then the odd ones, as the codes are unpacked. */
void heard_vector(const int8_t *embedding, int16_t *vector);
void stored_vector(const hot_index *index, uint32_t ordinal, int16_t *vector);   /* in STORED_UNIT, odd, up to +-15 */
int32_t product(const int16_t *one, const int16_t *other);
float cosine(int32_t product);   /* of a heard and a stored vector */

#endif
