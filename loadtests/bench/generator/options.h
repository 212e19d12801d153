/* What the generator is asked to do. */
#ifndef OPTIONS_H
#define OPTIONS_H
#include "watch.h"

typedef struct {
    int port;
    const char *path;   /* %d: number of the connection, %g: its group, %k: its token */
    const char *hello;  /* sent after the handshake, with the marks of `path`; or NULL */
    const char *ack;    /* what the frame that confirms the join holds; NULL: the handshake is enough */
    const char *frame;  /* what a sender sends; %m: the marked text, %n: a nonce, %g: the group */
    const char *ping;   /* a text frame that is answered at once by `pong`, or NULL */
    const char *pong;
    int members;
    int groups;
    int senders;        /* the first so many of the members send */
    int in_flight;      /* joins that wait for an answer at any time */
    int text_bytes;     /* length of the marked text */
    int deflate;        /* offer compression, and make the text of words */
    double rate;        /* messages a second; 0: none */
    double warm;        /* every sender sends one first, so many a second, which is counted nowhere; 0: none */
    int window;         /* messages a sender has under way instead of a rate; 0: by rate */
    double send_s;
    double drain_s;     /* how long to wait for the last deliveries once none comes any more */
    double settle_s;    /* quiet time after the joins, before memory is read */
    double still_s;     /* then so long for the idle CPU, and memory is read once more */
    double join_s;      /* when to give the joins up */
    int steps;          /* memory is read so many times on the way to `members` */
    double hold_s;      /* stay inside for so long at most, until stdin is closed */
    int storm;          /* tell when all are in, lose the server, come back */
    double storm_s;
    int cut;            /* in a storm all are cut off at once, instead of losing the server */
    double jitter_s;    /* whoever is cut off comes back within so long */
    enum { UNTOLD, AT_JOIN, AGAIN } counts; /* when members are told how many they are: a storm waits for that too */
    double typing_rate; /* typing frames a second instead of messages */
    double churn_rate;  /* members a second that leave and come back meanwhile */
    const char *type_frames[2];
    char **tokens;
    int token_count;
    Watch watch;
} Options;

/* Ends the process with a text and status 2 where the arguments make no sense. */
Options options_read(int argc, char **argv);

#endif
