/* From neighbours to places worth aligning: votes over (song, offset), as backend/search/votes.py counts them. */
#include "hot_index.h"

enum { BIN_STEPS = CATALOGUE_THINNING, PLACES_PER_SONG_MAX = 6 };

/* The bin of an offset, rounded down. */
static int32_t bin_of(int32_t offset) { return (offset + POSITIONS_END) / BIN_STEPS - POSITIONS_END / BIN_STEPS; }

static int comes_after(const hit *one, const hit *other) {
    if (one->song != other->song) return one->song > other->song;
    return bin_of(one->offset) > bin_of(other->offset);
}

/* By song and bin; those of one bin stay as they were found. */
static int32_t sorted_hits(hot_index *index) {
    int32_t count = 0;
    for (int32_t q = 0; q < index->searched; q++) {
        for (int32_t n = 0; n < NEIGHBOURS && index->products[q][n] != INT32_MIN; n++) {
            uint32_t ordinal = index->ordinals[q][n];
            float weight = cosine(index->products[q][n]);
            weight = weight < 0.0f ? 0.0f : weight > 1.0f ? 1.0f : weight;
            hit found = {song_of(index, ordinal), position_of(index, ordinal) - index->searched_at[q], weight * weight};
            int32_t at = count++;
            for (; at > 0 && comes_after(&index->hits[at - 1], &found); at--) index->hits[at] = index->hits[at - 1];
            index->hits[at] = found;
        }
    }
    return count;
}

static int32_t bins(hot_index *index, int32_t hits) {
    int32_t count = 0;
    for (int32_t n = 0; n < hits; n++) {
        const hit *found = &index->hits[n];
        if (n == 0 || comes_after(found, found - 1)) {
            index->places[count++] = (place){found->song, bin_of(found->offset), 0.0, 0.0};
        }
        place *last = &index->places[count - 1];
        last->votes += (double)found->weight;
        last->moment += (double)found->weight * found->offset;
    }
    /* A true alignment's votes fall into one bin or two neighbouring ones. */
    for (int32_t n = 0; n + 1 < count; n++) {
        place *one = &index->places[n], *next = one + 1;
        if (next->song != one->song || next->bin != one->bin + 1) continue;
        one->votes += next->votes;
        one->moment += next->moment;
    }
    return count;
}

/* A song that repeats itself must not crowd the others out. */
static int crowded(const place *chosen, int32_t count, const place *one) {
    int32_t of_song = 0;
    for (int32_t n = 0; n < count; n++) {
        if (chosen[n].song != one->song) continue;
        int32_t apart = chosen[n].bin - one->bin;
        if (++of_song == PLACES_PER_SONG_MAX || (-1 <= apart && apart <= 1)) return 1;
    }
    return 0;
}

int32_t tally(hot_index *index, int32_t limit) {
    int32_t count = bins(index, sorted_hits(index)), chosen = 0;
    for (int32_t done = 0; done < count && chosen < limit; done++) {
        int32_t best = done;
        for (int32_t n = done + 1; n < count; n++)
            if (index->places[n].votes > index->places[best].votes) best = n;
        place found = index->places[best];
        /* The others stay in order, for equal votes go to the first. */
        for (int32_t n = best; n > done; n--) index->places[n] = index->places[n - 1];
        index->places[done] = found;
        if (!crowded(index->places, chosen, &found)) index->places[chosen++] = found;
    }
    return chosen;
}
