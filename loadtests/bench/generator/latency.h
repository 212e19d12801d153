/* A histogram of latencies: 64 steps an octave, so that a percentile is known to 1.6 %. */
#ifndef LATENCY_H
#define LATENCY_H
#include <stdint.h>

enum { LATENCY_EXACT = 128, LATENCY_STEPS = 64, LATENCY_SLOTS = LATENCY_EXACT + 40 * LATENCY_STEPS };

typedef struct {
    uint64_t count[LATENCY_SLOTS];
    uint64_t total;
    uint64_t largest_us;
} Latency;

static inline int latency_slot(uint64_t us) {
    if (us < LATENCY_EXACT)
        return (int)us;
    int octave = 57 - __builtin_clzll(us); /* us >> octave is from 64 to 127 */
    int slot = LATENCY_EXACT + (octave - 1) * LATENCY_STEPS + (int)(us >> octave) - LATENCY_STEPS;
    return slot < LATENCY_SLOTS ? slot : LATENCY_SLOTS - 1;
}

static inline void latency_add(Latency *latency, uint64_t us) {
    latency->count[latency_slot(us)]++;
    latency->total++;
    if (us > latency->largest_us)
        latency->largest_us = us;
}

/* In ms; the upper end of the slot that the share falls into. */
double latency_percentile(const Latency *latency, double share);

#endif
