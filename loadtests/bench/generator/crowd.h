/* Many clients on one epoll: they join, hear, and keep count of what they heard. */
#ifndef CROWD_H
#define CROWD_H
#include <stddef.h>
#include <stdint.h>

#include "latency.h"
#include "options.h"

typedef enum { AWAY, CONNECTING, UPGRADING, OPEN } State;

typedef struct {
    int fd;
    State state;
    int joined;
    int index;
    int group;
    int count;           /* the connection_count that it was told last */
    uint64_t tag;        /* a random number: the tags of all who heard a message add up to a fingerprint */
    uint64_t order;      /* a fingerprint of what was heard, and in which order */
    uint64_t back_at_ns; /* when to come back, in a storm */
    char *early;         /* the beginning of a frame whose end is not here yet */
    uint32_t early_length, early_room;
    char *unsent;
    uint32_t unsent_length, unsent_room;
} Client;

typedef struct {
    int group;
    int sender;
    uint32_t heard;
    uint64_t tags;
} Message;

enum { KINDS = 16 };

typedef struct {
    char name[24];
    uint64_t count;
} Kind;

typedef struct {
    const Options *options;
    int epoll;
    Client *client;
    int *told; /* by group: the client that was told the count last */
    int joined;
    int waiting; /* joins under way */
    int refused;
    int lost;
    int returning; /* whoever is lost comes back */
    int repeating; /* whoever hears its own message sends the next one */
    uint64_t first_lost_ns;
    uint64_t deliveries, foreign, bytes, errors, compressed;
    uint64_t last_delivery_ns;
    uint64_t nonce_run;
    Kind kind[KINDS];
    Message *message;
    int messages, message_room;
    Latency latency;
} Crowd;

uint64_t now_ns(void);

void crowd_open(Crowd *crowd, const Options *options);
void crowd_start(Crowd *crowd, Client *client);

/* Drop the connection without a word, as a lost network does. */
void crowd_cut(Crowd *crowd, Client *client);

/* Reset the connection of a member, who is lost and comes back at some time between two, in seconds from now. */
void crowd_cut_off(Crowd *crowd, Client *client, double least_s, double most_s);

/* Send message number `crowd->messages`, stamped with the time at which it was due. */
void crowd_say(Crowd *crowd, Client *client, uint64_t due_ns);
void crowd_send(Crowd *crowd, Client *client, const char *text, size_t length);

/* Handle what happens until the given time, at most one round: a whole one where that time has come already. */
void crowd_poll(Crowd *crowd, uint64_t until_ns);

/* Begin to count again. */
void crowd_reset(Crowd *crowd);

#endif
