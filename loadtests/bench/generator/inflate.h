/* Raw DEFLATE (RFC 1951), so that the generator needs a C compiler and nothing else. */
#ifndef INFLATE_H
#define INFLATE_H
#include <stddef.h>

/* Inflate a message of permessage-deflate, whose last four bytes its sender left out. Returns its length; 0 where it is
   malformed or does not fit into `room`. */
size_t inflate_message(const unsigned char *bytes, size_t length, char *out, size_t room);

#endif
