#include "inflate.h"

#include <stdint.h>
#include <string.h>

enum { CODE_BITS = 15, LITERALS = 288, DISTANCES = 30, END_OF_BLOCK = 256 };

typedef struct {
    const unsigned char *bytes;
    size_t length, at;
    uint32_t bits;
    int bit_count;
    char *out;
    size_t room, size;
    int failed;
} Stream;

/* How many codes there are of each length, and the symbols in the order of their codes. */
typedef struct {
    uint16_t count[CODE_BITS + 1];
    uint16_t symbol[LITERALS];
} Codes;

static unsigned take_byte(Stream *stream) {
    static const unsigned char left_out[] = {0, 0, 0xff, 0xff};
    size_t at = stream->at++;
    if (at < stream->length)
        return stream->bytes[at];
    if (at < stream->length + sizeof left_out)
        return left_out[at - stream->length];
    stream->failed = 1;
    return 0;
}

static unsigned take_bits(Stream *stream, int count) {
    while (stream->bit_count < count) {
        stream->bits |= take_byte(stream) << stream->bit_count;
        stream->bit_count += 8;
    }
    unsigned value = stream->bits & ((1u << count) - 1);
    stream->bits >>= count;
    stream->bit_count -= count;
    return value;
}

static void put(Stream *stream, char byte) {
    if (stream->size < stream->room)
        stream->out[stream->size++] = byte;
    else
        stream->failed = 1;
}

static void make_codes(Codes *codes, const unsigned char *lengths, int symbols) {
    uint16_t next[CODE_BITS + 2] = {0};
    memset(codes->count, 0, sizeof codes->count);
    for (int symbol = 0; symbol < symbols; symbol++)
        codes->count[lengths[symbol]]++;
    codes->count[0] = 0;
    for (int bits = 1; bits <= CODE_BITS; bits++)
        next[bits + 1] = next[bits] + codes->count[bits];
    for (int symbol = 0; symbol < symbols; symbol++)
        if (lengths[symbol])
            codes->symbol[next[lengths[symbol]]++] = (uint16_t)symbol;
}

static int take_symbol(Stream *stream, const Codes *codes) {
    int code = 0, first = 0, index = 0;
    for (int bits = 1; bits <= CODE_BITS; bits++) {
        code |= (int)take_bits(stream, 1);
        int count = codes->count[bits];
        if (code - count < first)
            return codes->symbol[index + code - first];
        index += count;
        first = (first + count) << 1;
        code <<= 1;
    }
    stream->failed = 1;
    return END_OF_BLOCK;
}

static void copy_earlier(Stream *stream, int symbol, const Codes *distances) {
    static const uint16_t length_base[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                           31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const unsigned char length_bits[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                                2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    static const uint16_t base[] = {1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
                                    193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
    static const unsigned char base_bits[] = {0, 0, 0, 0, 1, 1, 2, 2,  3,  3,  4,  4,  5,  5,  6,
                                              6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};
    if (symbol >= END_OF_BLOCK + 30) {
        stream->failed = 1;
        return;
    }
    int row = symbol - END_OF_BLOCK - 1;
    size_t length = length_base[row] + take_bits(stream, length_bits[row]);
    int far = take_symbol(stream, distances);
    if (far >= DISTANCES) {
        stream->failed = 1;
        return;
    }
    size_t distance = base[far] + take_bits(stream, base_bits[far]);
    if (distance > stream->size)
        stream->failed = 1;
    while (length-- && !stream->failed)
        put(stream, stream->out[stream->size - distance]);
}

static void take_coded(Stream *stream, const Codes *literals, const Codes *distances) {
    for (int symbol; !stream->failed && (symbol = take_symbol(stream, literals)) != END_OF_BLOCK;) {
        if (symbol < END_OF_BLOCK)
            put(stream, (char)symbol);
        else
            copy_earlier(stream, symbol, distances);
    }
}

static void take_fixed(Stream *stream) {
    unsigned char lengths[LITERALS], far[DISTANCES];
    Codes literals, distances;
    for (int symbol = 0; symbol < LITERALS; symbol++)
        lengths[symbol] = symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8;
    memset(far, 5, sizeof far);
    make_codes(&literals, lengths, LITERALS);
    make_codes(&distances, far, DISTANCES);
    take_coded(stream, &literals, &distances);
}

static void take_dynamic(Stream *stream) {
    static const unsigned char order[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    unsigned char lengths[LITERALS + 32] = {0}, of_lengths[sizeof order] = {0};
    Codes literals, distances;
    int literal_count = (int)take_bits(stream, 5) + 257, distance_count = (int)take_bits(stream, 5) + 1;
    int order_count = (int)take_bits(stream, 4) + 4;
    for (int i = 0; i < order_count; i++)
        of_lengths[order[i]] = (unsigned char)take_bits(stream, 3);
    make_codes(&literals, of_lengths, sizeof order);
    for (int i = 0; i < literal_count + distance_count && !stream->failed;) {
        int symbol = take_symbol(stream, &literals), times = 1;
        unsigned char value = symbol < 16 ? (unsigned char)symbol : symbol == 16 && i ? lengths[i - 1] : 0;
        if (symbol >= 16)
            times = symbol == 16 ? 3 + (int)take_bits(stream, 2) : symbol == 17 ? 3 + (int)take_bits(stream, 3)
                                                                             : 11 + (int)take_bits(stream, 7);
        if (symbol >= (int)sizeof order || i + times > literal_count + distance_count)
            stream->failed = 1;
        while (times-- && !stream->failed)
            lengths[i++] = value;
    }
    make_codes(&literals, lengths, literal_count > LITERALS ? LITERALS : literal_count);
    make_codes(&distances, lengths + literal_count, distance_count);
    take_coded(stream, &literals, &distances);
}

static void take_stored(Stream *stream) {
    stream->bits = 0;
    stream->bit_count = 0;
    unsigned length = take_bits(stream, 16), inverted = take_bits(stream, 16);
    if ((length ^ inverted) != 0xffff)
        stream->failed = 1;
    while (length-- && !stream->failed)
        put(stream, (char)take_byte(stream));
}

size_t inflate_message(const unsigned char *bytes, size_t length, char *out, size_t room) {
    Stream stream = {.bytes = bytes, .length = length, .out = out, .room = room};
    while (!stream.failed && stream.at < length + 4) {
        int is_last = (int)take_bits(&stream, 1);
        switch (take_bits(&stream, 2)) {
        case 0: take_stored(&stream); break;
        case 1: take_fixed(&stream); break;
        case 2: take_dynamic(&stream); break;
        default: stream.failed = 1;
        }
        if (is_last)
            break;
    }
    return stream.failed ? 0 : stream.size;
}
