#include "latency.h"

static double upper_us(int slot) {
    if (slot < LATENCY_EXACT)
        return slot;
    int octave = (slot - LATENCY_EXACT) / LATENCY_STEPS + 1;
    uint64_t step = (uint64_t)((slot - LATENCY_EXACT) % LATENCY_STEPS + LATENCY_STEPS);
    return (double)((step + 1) << octave) - 1;
}

double latency_percentile(const Latency *latency, double share) {
    uint64_t wanted = (uint64_t)(share * (double)latency->total), seen = 0;
    for (int slot = 0; slot < LATENCY_SLOTS; slot++) {
        seen += latency->count[slot];
        if (seen > wanted)
            return upper_us(slot) / 1e3;
    }
    return (double)latency->largest_us / 1e3;
}
