/* WebSocket framing as a client does it: masked frames out, unmasked frames in. */
#ifndef WIRE_H
#define WIRE_H
#include <stddef.h>
#include <stdint.h>

enum { OP_TEXT = 1, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10, WIRE_HEAD_MAX = 14 };

typedef struct {
    int op;
    int compressed;
    const char *payload;
    size_t length;
    size_t size; /* header included; 0: not here yet */
} Frame;

/* Read the frame at the front of what has arrived. */
Frame wire_read(const unsigned char *bytes, size_t length);

/* Write one masked frame; `out` has room for `length` + WIRE_HEAD_MAX. Returns its size. */
size_t wire_write(unsigned char *out, int op, const char *payload, size_t length);

/* xorshift: cheap numbers, different every time. */
uint64_t wire_random(void);

#endif
