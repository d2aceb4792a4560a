/* Opens a bundle, after checking all that it says of itself, and searches it: neighbours, votes, alignments. */
#include "hot_index.h"

static uint32_t number(const uint8_t *at) {
    uint32_t value;
    __builtin_memcpy(&value, at, sizeof value);   /* little-endian, like every host so far; maybe not aligned */
    return value;
}

uint32_t first_of(const hot_index *index, uint32_t song) { return number(index->firsts + 4 * (uint64_t)song); }

int32_t position_of(const hot_index *index, uint32_t ordinal) {
    return (int32_t)number(index->positions + 4 * (uint64_t)ordinal);
}

/* The song whose segments start last at or before this one; empty songs have none. */
uint32_t song_of(const hot_index *index, uint32_t ordinal) {
    uint32_t low = 0, high = index->songs - 1;
    while (low < high) {
        uint32_t middle = high - (high - low) / 2;
        if (first_of(index, middle) <= ordinal) low = middle;
        else high = middle - 1;
    }
    return low;
}

/* Songs follow each other, and so do the segments of each. */
static int in_order(const hot_index *index) {
    if (first_of(index, 0) != 0 || first_of(index, index->songs) != index->segments) return 0;
    for (uint32_t song = 0; song < index->songs; song++) {
        uint32_t first = first_of(index, song), end = first_of(index, song + 1);
        if (end < first || end > index->segments) return 0;
        int32_t before = -1;
        for (uint32_t ordinal = first; ordinal < end; ordinal++) {
            int32_t position = position_of(index, ordinal);
            if (position <= before || position >= POSITIONS_END) return 0;
            before = position;
        }
    }
    return 1;
}

int32_t hot_open(hot_index *index, const uint8_t *bundle, uint64_t length) {
    index->songs = index->segments = 0;
    index->aligned = 0;
    if (length < BUNDLE_HEADER_BYTES + BUNDLE_HASH_BYTES) return -1;
    if (bundle[0] != 'S' || bundle[1] != 'N' || bundle[2] != 'H' || bundle[3] != 'I') return -1;
    if (bundle[4] != BUNDLE_FORMAT || bundle[5] != FINGERPRINT_VERSION) return -1;
    if (bundle[6] != CATALOGUE_THINNING || bundle[7] != 0) return -1;
    uint32_t songs = number(bundle + 8), segments = number(bundle + 12), details = number(bundle + 16);
    uint64_t firsts = BUNDLE_HEADER_BYTES, positions = firsts + 4 * ((uint64_t)songs + 1);
    uint64_t codes = positions + 4 * (uint64_t)segments, end = codes + CODE_BYTES * (uint64_t)segments;
    if (songs == 0 || length != end + details + BUNDLE_HASH_BYTES) return -1;
    index->firsts = bundle + firsts;
    index->positions = bundle + positions;
    index->codes = bundle + codes;
    index->songs = songs;
    index->segments = segments;
    if (in_order(index)) return 0;
    index->songs = index->segments = 0;
    return -1;
}

/* Keep the alignments in descending order, each song's best one. */
static void keep(hot_index *index, const alignment *found) {
    int32_t at = 0, end = index->aligned;
    for (int32_t n = 0; n < end; n++) {
        if (index->alignments[n].song != found->song) continue;
        if (index->alignments[n].similarity >= found->similarity) return;
        end = n;   /* the gap that is closed */
        index->aligned--;
    }
    while (at < end && index->alignments[at].similarity >= found->similarity) at++;
    for (int32_t n = end; n > at; n--) index->alignments[n] = index->alignments[n - 1];
    index->alignments[at] = *found;
    index->aligned++;
}

int32_t hot_search(hot_index *index, const query *asked, int32_t limit) {
    index->aligned = 0;
    if (asked->segments < 0 || asked->segments > QUERY_SEGMENTS_MAX || limit < 1) return -1;
    if (asked->thinning < 1 || asked->thinning > QUERY_THINNING_MAX) return -1;
    find_neighbours(index, asked);
    int32_t places = tally(index, limit < CANDIDATES_MAX ? limit : CANDIDATES_MAX);
    for (int32_t n = 0; n < places; n++) {
        alignment found;
        align(index, asked, &index->places[n], &found);
        keep(index, &found);
    }
    return index->aligned;
}
