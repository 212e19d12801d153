/* When messages are due and who sends them, as from people who know nothing of each other: the same in every run. */
#ifndef ARRIVALS_H
#define ARRIVALS_H
#include <stdint.h>

typedef struct {
    uint64_t gaps, choices; /* states of two sequences of random numbers */
    double scale;           /* seconds a unit of the gaps */
    double at;
} Arrivals;

/* So many within so many seconds: exponential gaps, stretched together to fill the time exactly. */
void arrivals_open(Arrivals *arrivals, int count, double seconds);

/* Seconds from the beginning to the next one. */
double arrivals_next(Arrivals *arrivals);

/* A number below `count`, each as likely as any other. */
int arrivals_choose(Arrivals *arrivals, int count);

#endif
