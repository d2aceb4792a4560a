/* The hot index as a WebAssembly host sees it: a bundle in memory that the host has grown, queries in a fixed buffer. */
#include "hot_index.h"

#define EXPORT(name) __attribute__((export_name(#name)))

enum { PAGE_BYTES = 65536 };

static hot_index hot;
static query asked;
static uint8_t query_bytes[QUERY_SEGMENTS_MAX * sizeof(segment)];

EXPORT(query_buffer) uint8_t *query_buffer(void) { return query_bytes; }
EXPORT(query_segments_max) int32_t query_segments_max(void) { return QUERY_SEGMENTS_MAX; }
EXPORT(alignments_buffer) alignment *alignments_buffer(void) { return hot.alignments; }
EXPORT(alignment_bytes) int32_t alignment_bytes(void) { return (int32_t)sizeof(alignment); }

EXPORT(open_bundle) int32_t open_bundle(uint32_t address, uint32_t length) {
    uint64_t end = (uint64_t)address + length;
    if (end > (uint64_t)__builtin_wasm_memory_size(0) * PAGE_BYTES) return -1;
    return hot_open(&hot, (const uint8_t *)address, length);
}

/* The query: all levels, then all embeddings, as the wire format has them. */
EXPORT(search) int32_t search(int32_t segments, int32_t thinning, int32_t limit) {
    if (segments < 0 || segments > QUERY_SEGMENTS_MAX) return -1;
    asked = (query){query_bytes, (const int8_t *)query_bytes + segments, segments, thinning};
    return hot_search(&hot, &asked, limit);
}

EXPORT(same_recording) int32_t same_recording(int32_t one, int32_t other) {
    return hot_same_recording(&hot, &asked, one, other);
}
