#include "wire.h"

#include <string.h>

static uint64_t random_state = 0x9E3779B97F4A7C15ull;

uint64_t wire_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

Frame wire_read(const unsigned char *bytes, size_t length) {
    Frame frame = {0};
    if (length < 2)
        return frame;
    size_t head = 2;
    uint64_t size = bytes[1] & 0x7f;
    int extra = size == 126 ? 2 : size == 127 ? 8 : 0;
    if (length < head + (size_t)extra)
        return frame;
    if (extra) {
        size = 0;
        for (int i = 0; i < extra; i++)
            size = size << 8 | bytes[2 + i];
        head += (size_t)extra;
    }
    if (length - head < size)
        return frame;
    frame.op = bytes[0] & 0x0f;
    frame.compressed = bytes[0] >> 6 & 1;
    frame.payload = (const char *)bytes + head;
    frame.length = size;
    frame.size = head + size;
    return frame;
}

size_t wire_write(unsigned char *out, int op, const char *payload, size_t length) {
    size_t at = 0;
    out[at++] = (unsigned char)(0x80 | op);
    if (length < 126) {
        out[at++] = (unsigned char)(0x80 | length);
    } else {
        int bytes = length < 65536 ? 2 : 8;
        out[at++] = bytes == 2 ? 0xfe : 0xff;
        for (int i = bytes - 1; i >= 0; i--)
            out[at++] = (unsigned char)((uint64_t)length >> (8 * i));
    }
    uint32_t mask = (uint32_t)wire_random();
    memcpy(out + at, &mask, 4);
    at += 4;
    const unsigned char *key = (const unsigned char *)&mask;
    for (size_t i = 0; i < length; i++)
        out[at + i] = (unsigned char)payload[i] ^ key[i & 3];
    return at + length;
}
