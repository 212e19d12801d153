#include "arrivals.h"

#include <math.h>

/* splitmix64 */
static uint64_t next_random(uint64_t *state) {
    uint64_t value = *state += 0x9E3779B97F4A7C15ull;
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9ull;
    value = (value ^ value >> 27) * 0x94D049BB133111EBull;
    return value ^ value >> 31;
}

static double gap(uint64_t *state) { return -log(((double)(next_random(state) >> 11) + 0.5) / 9007199254740992.0); }

void arrivals_open(Arrivals *arrivals, int count, double seconds) {
    uint64_t state = 1;
    double sum = gap(&state);
    for (int i = 0; i < count; i++)
        sum += gap(&state);
    *arrivals = (Arrivals){.gaps = 1, .choices = 2, .scale = seconds / sum};
}

double arrivals_next(Arrivals *arrivals) {
    arrivals->at += gap(&arrivals->gaps) * arrivals->scale;
    return arrivals->at;
}

int arrivals_choose(Arrivals *arrivals, int count) {
    return (int)(next_random(&arrivals->choices) % (uint64_t)count);
}
