#define _GNU_SOURCE
#include "crowd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "inflate.h"
#include "wire.h"

enum { READ_SIZE = 1 << 19, EVENTS = 1024, READS_A_LOOK = 8, COME_BACK_NS = 200000000 };
enum { MARK = 28, TEXT_MAX = 70000, KNOWN = 8192 };

static unsigned char arrived[READ_SIZE + TEXT_MAX + 1];

uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec;
}

static void fail(const char *text) {
    perror(text);
    exit(2);
}

void crowd_open(Crowd *crowd, const Options *options) {
    memset(crowd, 0, sizeof *crowd);
    crowd->options = options;
    crowd->epoll = epoll_create1(0);
    crowd->client = calloc((size_t)options->members, sizeof *crowd->client);
    crowd->told = calloc((size_t)options->groups, sizeof *crowd->told);
    for (int g = 0; g < options->groups; g++)
        crowd->told[g] = g;
    for (int skip = (int)(now_ns() % 1000); skip >= 0; skip--)
        crowd->nonce_run = wire_random() ^ now_ns();
    for (int i = 0; i < options->members; i++) {
        Client *client = &crowd->client[i];
        client->index = i;
        client->group = i % options->groups;
        client->tag = wire_random();
        client->fd = -1;
    }
}

void crowd_reset(Crowd *crowd) {
    crowd->deliveries = crowd->foreign = crowd->bytes = crowd->errors = crowd->compressed = 0;
    crowd->messages = 0;
    memset(crowd->kind, 0, sizeof crowd->kind);
    memset(&crowd->latency, 0, sizeof crowd->latency);
}

static void watch_for(Crowd *crowd, Client *client, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = client};
    if (epoll_ctl(crowd->epoll, operation, client->fd, &event))
        fail("epoll_ctl");
}

/* Each client an address of its own, as people have; others in each run, so that ports do not run out either. */
static struct sockaddr_in own_address(const Client *client) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    uint32_t run = 1 + (uint32_t)getpid() % 250, number = 1 + (uint32_t)client->index % 0xfff0;
    address.sin_addr.s_addr = htonl(127u << 24 | run << 16 | number);
    return address;
}

static void close_client(Client *client) {
    close(client->fd);
    client->fd = -1;
    client->state = AWAY;
    client->early_length = client->unsent_length = 0;
}

static void lose(Crowd *crowd, Client *client) {
    uint64_t now = now_ns();
    close_client(client);
    if (client->joined) {
        crowd->joined--;
        crowd->lost++;
        if (!crowd->first_lost_ns)
            crowd->first_lost_ns = now;
        client->back_at_ns = now;
    } else {
        crowd->waiting--;
        crowd->refused++;
        client->back_at_ns = now + COME_BACK_NS;
    }
    client->joined = 0;
    client->count = 0;
}

void crowd_cut(Crowd *crowd, Client *client) {
    if (client->joined)
        crowd->joined--;
    close_client(client);
    client->joined = 0;
}

void crowd_cut_off(Crowd *crowd, Client *client, double least_s, double most_s) {
    struct linger at_once = {.l_onoff = 1};
    setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    lose(crowd, client);
    client->back_at_ns += (uint64_t)((least_s + (most_s - least_s) * (double)(wire_random() % 1000000) / 1e6) * 1e9);
}

void crowd_start(Crowd *crowd, Client *client) {
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (client->fd < 0)
        fail("socket");
    int yes = 1;
    struct sockaddr_in own = own_address(client);
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((uint16_t)crowd->options->port)};
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(client->fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (bind(client->fd, (void *)&own, sizeof own))
        fail("bind");
    client->state = CONNECTING;
    crowd->waiting++;
    if (connect(client->fd, (void *)&server, sizeof server) && errno != EINPROGRESS) {
        lose(crowd, client);
        return;
    }
    watch_for(crowd, client, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

/* --- out ---------------------------------------------------------------------------------------------------------- */

static void keep(char **kept, uint32_t *length, uint32_t *room, const void *bytes, size_t size) {
    if (*length + size > *room) {
        *room = (uint32_t)(*length + size) * 2;
        *kept = realloc(*kept, *room);
    }
    memcpy(*kept + *length, bytes, size);
    *length += (uint32_t)size;
}

static void write_bytes(Crowd *crowd, Client *client, const void *bytes, size_t size) {
    ssize_t written = client->unsent_length ? 0 : write(client->fd, bytes, size);
    if (written < 0)
        written = 0; /* a broken connection shows itself when it is read */
    if ((size_t)written == size)
        return;
    if (!client->unsent_length)
        watch_for(crowd, client, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    keep(&client->unsent, &client->unsent_length, &client->unsent_room, (const char *)bytes + written,
         size - (size_t)written);
}

static void flush(Crowd *crowd, Client *client) {
    ssize_t written = write(client->fd, client->unsent, client->unsent_length);
    if (written < 0)
        return;
    client->unsent_length -= (uint32_t)written;
    memmove(client->unsent, client->unsent + written, client->unsent_length);
    if (!client->unsent_length)
        watch_for(crowd, client, EPOLL_CTL_MOD, EPOLLIN);
}

static void send_frame(Crowd *crowd, Client *client, int op, const char *payload, size_t length) {
    unsigned char frame[TEXT_MAX + WIRE_HEAD_MAX];
    write_bytes(crowd, client, frame, wire_write(frame, op, payload, length));
}

void crowd_send(Crowd *crowd, Client *client, const char *text, size_t length) {
    send_frame(crowd, client, OP_TEXT, text, length);
}

/* What people write: what is said again and again would compress better than they do. */
static void put_words(char *out, int size) {
    static const char words[] =
        "Good evening everybody, did anyone see the beginning? That jump was unbelievable, I had to rewind twice. "
        "Which song is this, please? My sound is a bit behind the picture since the last break, is it only me? "
        "No, here too; closing the tab and opening it again helped. She said on Tuesday that they would play the new "
        "map first, so be patient. Greetings from Lisbon, it is raining and I should be working. What a save!! "
        "Can somebody pin the link to the schedule? Thanks for the raid, welcome all, grab a chair. I would never "
        "have thought of going left there. How long has he been awake, thirty hours? Hydrate, and stretch your legs. ";
    size_t at = wire_random() % (sizeof words - 1);
    while (size-- > 0) {
        *out++ = words[at];
        at = (at + 1) % (sizeof words - 1);
    }
}

/* The text that is looked for on the other side: two tildes, the time due, the message's number, two tildes, padding. */
static int put_mark(char *out, const Options *options, uint64_t due_ns, int number) {
    int at = sprintf(out, "~~%016llx%08x~~", (unsigned long long)due_ns, (unsigned)number);
    int left = options->text_bytes - at;
    if (options->deflate)
        put_words(out + at, left);
    else
        memset(out + at, 'x', (size_t)left);
    return options->text_bytes;
}

static size_t fill(Crowd *crowd, const Client *client, const char *template, uint64_t due_ns, char *out, size_t room) {
    size_t at = 0;
    for (; *template && at + 4200 < room; template++) {
        if (*template != '%') {
            out[at++] = *template;
            continue;
        }
        switch (*++template) {
        case 'd': at += (size_t)sprintf(out + at, "%d", client->index); break;
        case 'g': at += (size_t)sprintf(out + at, "%d", client->group); break;
        case 'm': at += (size_t)put_mark(out + at, crowd->options, due_ns, crowd->messages); break;
        case 'n':
            at += (size_t)sprintf(out + at, "%016llx-%x", (unsigned long long)crowd->nonce_run, (unsigned)crowd->messages);
            break;
        case 'k':
            if (crowd->options->token_count)
                at += (size_t)snprintf(out + at, 4000, "%s",
                                       crowd->options->tokens[client->index % crowd->options->token_count]);
            break;
        default: out[at++] = *template;
        }
    }
    return at;
}

void crowd_say(Crowd *crowd, Client *client, uint64_t due_ns) {
    char text[TEXT_MAX];
    if (crowd->messages == crowd->message_room) {
        crowd->message_room = crowd->message_room ? crowd->message_room * 2 : 65536;
        crowd->message = realloc(crowd->message, (size_t)crowd->message_room * sizeof *crowd->message);
    }
    size_t length = fill(crowd, client, crowd->options->frame, due_ns, text, sizeof text);
    crowd->message[crowd->messages++] = (Message){.group = client->group, .sender = client->index};
    crowd_send(crowd, client, text, length);
}

static void say_hello(Crowd *crowd, Client *client) {
    char text[8192];
    crowd_send(crowd, client, text, fill(crowd, client, crowd->options->hello, 0, text, sizeof text));
}

static void ask_for_upgrade(Crowd *crowd, Client *client) {
    char path[8192], request[9000];
    path[fill(crowd, client, crowd->options->path, 0, path, sizeof path)] = 0;
    int length = snprintf(request, sizeof request,
                          "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Key: c2Fsb24tYmVuY2gtMTIzNA==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                          path, crowd->options->port,
                          crowd->options->deflate ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");
    client->state = UPGRADING;
    watch_for(crowd, client, EPOLL_CTL_MOD, EPOLLIN);
    write_bytes(crowd, client, request, (size_t)length);
}

/* --- in ----------------------------------------------------------------------------------------------------------- */

static void has_joined(Crowd *crowd, Client *client) {
    client->joined = 1;
    crowd->joined++;
    crowd->waiting--;
}

static uint64_t read_hex(const char *text, int digits) {
    uint64_t value = 0;
    for (int i = 0; i < digits; i++)
        value = value << 4 | (uint64_t)(text[i] <= '9' ? text[i] - '0' : text[i] - 'a' + 10);
    return value;
}

/* Frames of one server look alike: the mark is mostly where it was before. */
static const char *find_mark(const char *payload, size_t length) {
    static size_t usual;
    if (usual + MARK <= length && payload[usual] == '~' && payload[usual + 1] == '~' && payload[usual + 26] == '~')
        return payload + usual;
    const char *found = memmem(payload, length, "~~", 2);
    if (!found || (size_t)(found - payload) + MARK > length)
        return NULL;
    usual = (size_t)(found - payload);
    return found;
}

static void on_message(Crowd *crowd, Client *client, const char *mark, uint64_t now) {
    uint64_t due = read_hex(mark + 2, 16);
    int number = (int)read_hex(mark + 18, 8);
    if (number >= crowd->messages) {
        crowd->foreign++;
        return;
    }
    Message *message = &crowd->message[number];
    message->heard++;
    message->tags += client->tag;
    client->order = (client->order ^ (uint64_t)number) * 0x100000001B3ull;
    crowd->deliveries++;
    crowd->last_delivery_ns = now;
    latency_add(&crowd->latency, now > due ? (now - due) / 1000 : 0);
    if (crowd->repeating && message->sender == client->index)
        crowd_say(crowd, client, now);
}

static void count_kind(Crowd *crowd, const char *name, size_t length) {
    for (int i = 0; i < KINDS; i++) {
        Kind *kind = &crowd->kind[i];
        if (!kind->name[0] && length < sizeof kind->name)
            memcpy(kind->name, name, length);
        if (strlen(kind->name) == length && !memcmp(kind->name, name, length)) {
            kind->count++;
            return;
        }
    }
}

static void on_kind(Crowd *crowd, Client *client, const char *payload, size_t length) {
    static const char start[] = "{\"type\":\"", counted[] = "\"connection_count\":";
    if (length < sizeof start || memcmp(payload, start, sizeof start - 1))
        return;
    const char *name = payload + sizeof start - 1, *end = memchr(name, '"', length - (sizeof start - 1));
    if (!end)
        return;
    size_t size = (size_t)(end - name);
    count_kind(crowd, name, size);
    const char *count = memmem(payload, length, counted, sizeof counted - 1);
    if (count) {
        client->count = atoi(count + sizeof counted - 1);
        crowd->told[client->group] = client->index;
    } else if (size == 5 && !memcmp(name, "error", 5) && crowd->errors++ < 3 && !crowd->returning)
        fprintf(stderr, "generator: client %d was told %.*s\n", client->index, (int)length, payload);
}

static void on_text(Crowd *crowd, Client *client, const char *payload, size_t length, uint64_t now) {
    const Options *options = crowd->options;
    const char *mark = find_mark(payload, length);
    if (mark) {
        on_message(crowd, client, mark, now);
        return;
    }
    if (options->ping && length == strlen(options->ping) && !memcmp(payload, options->ping, length)) {
        crowd_send(crowd, client, options->pong, strlen(options->pong));
        return;
    }
    if (!client->joined && options->ack && memmem(payload, length, options->ack, strlen(options->ack)))
        has_joined(crowd, client);
    on_kind(crowd, client, payload, length);
}

/* Some servers write several messages into one frame, a line each. */
static void on_lines(Crowd *crowd, Client *client, const char *payload, size_t length, uint64_t now) {
    for (const char *end; (end = memchr(payload, '\n', length));) {
        size_t size = (size_t)(end - payload);
        on_text(crowd, client, payload, size, now);
        payload += size + 1;
        length -= size + 1;
    }
    if (length)
        on_text(crowd, client, payload, length, now);
}

typedef struct {
    char *bytes; /* as they came, and behind them the text */
    size_t length, text_length;
} Inflated;

/* All members get the same bytes: each message is inflated for the first of them, and compared for the others. */
static void on_compressed(Crowd *crowd, Client *client, const Frame *frame, uint64_t now) {
    static Inflated known[KNOWN];
    static char text[TEXT_MAX];
    uint64_t sum = frame->length;
    for (size_t at = 0; at + 8 <= frame->length; at += 8) {
        uint64_t part;
        memcpy(&part, frame->payload + at, 8);
        sum = (sum ^ part) * 0x100000001B3ull;
    }
    Inflated *same = &known[(sum ^ sum >> 32) % KNOWN];
    if (same->length != frame->length || memcmp(same->bytes, frame->payload, frame->length)) {
        same->length = frame->length;
        same->text_length = inflate_message((const unsigned char *)frame->payload, frame->length, text, sizeof text);
        same->bytes = realloc(same->bytes, same->length + same->text_length + 1);
        memcpy(same->bytes, frame->payload, same->length);
        memcpy(same->bytes + same->length, text, same->text_length);
        same->bytes[same->length + same->text_length] = 0;
    }
    crowd->compressed++;
    on_lines(crowd, client, same->bytes + same->length, same->text_length, now);
}

static void on_close(Crowd *crowd, Client *client, const Frame *frame) {
    const unsigned char *code = (const unsigned char *)frame->payload;
    if (frame->length >= 2 && crowd->lost + crowd->refused < 3 && !crowd->returning)
        fprintf(stderr, "generator: client %d was closed: %d %.*s\n", client->index, code[0] << 8 | code[1],
                (int)frame->length - 2, frame->payload + 2);
    lose(crowd, client);
}

/* Returns 0 when the connection is gone. */
static int on_frame(Crowd *crowd, Client *client, const Frame *frame, uint64_t now) {
    if (frame->op == OP_CLOSE) {
        on_close(crowd, client, frame);
        return 0;
    }
    if (frame->op == OP_PING)
        send_frame(crowd, client, OP_PONG, frame->payload, frame->length);
    else if (frame->compressed)
        on_compressed(crowd, client, frame, now);
    else if (frame->op != OP_PONG)
        on_lines(crowd, client, frame->payload, frame->length, now);
    return 1;
}

/* Returns how many bytes the answer has, 0 while it is not whole; the connection may be gone afterwards. */
static size_t on_upgrade(Crowd *crowd, Client *client, const unsigned char *bytes, size_t length) {
    const unsigned char *end = memmem(bytes, length, "\r\n\r\n", 4);
    if (!end)
        return 0;
    if (memcmp(bytes, "HTTP/1.1 101", 12)) {
        if (crowd->refused < 3)
            fprintf(stderr, "generator: no upgrade: %.60s\n", (const char *)bytes);
        lose(crowd, client);
        return length;
    }
    client->state = OPEN;
    if (!crowd->options->ack)
        has_joined(crowd, client);
    if (crowd->options->hello)
        say_hello(crowd, client);
    return (size_t)(end + 4 - bytes);
}

static void on_bytes(Crowd *crowd, Client *client, const unsigned char *bytes, size_t length) {
    size_t at = 0;
    uint64_t now = now_ns();
    if (client->state == UPGRADING)
        at = on_upgrade(crowd, client, bytes, length);
    while (client->state == OPEN) {
        Frame frame = wire_read(bytes + at, length - at);
        if (!frame.size)
            break;
        at += frame.size;
        if (!on_frame(crowd, client, &frame, now))
            return;
    }
    client->early_length = 0;
    if (client->state != AWAY && at < length)
        keep(&client->early, &client->early_length, &client->early_room, bytes + at, length - at);
}

static void on_readable(Crowd *crowd, Client *client) {
    size_t early = client->early_length;
    if (early > TEXT_MAX) {
        lose(crowd, client);
        return;
    }
    memcpy(arrived, client->early, early);
    ssize_t size = read(client->fd, arrived + early, READ_SIZE);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size <= 0) {
        lose(crowd, client);
        return;
    }
    crowd->bytes += (uint64_t)size;
    arrived[early + (size_t)size] = 0;
    on_bytes(crowd, client, arrived, early + (size_t)size);
}

static void on_event(Crowd *crowd, Client *client, uint32_t events) {
    if (client->state == AWAY)
        return;
    if (client->state == CONNECTING) {
        int problem = 0;
        socklen_t size = sizeof problem;
        getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &problem, &size);
        if (problem)
            lose(crowd, client);
        else
            ask_for_upgrade(crowd, client);
        return;
    }
    if (events & EPOLLOUT && client->unsent_length)
        flush(crowd, client);
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
        on_readable(crowd, client);
}

void crowd_poll(Crowd *crowd, uint64_t until_ns) {
    static struct epoll_event events[EVENTS];
    uint64_t now = now_ns(), left = until_ns > now ? until_ns - now : 0;
    struct timespec patience = {.tv_sec = (time_t)(left / 1000000000ull), .tv_nsec = (long)(left % 1000000000ull)};
    int count = epoll_pwait2(crowd->epoll, events, EVENTS, &patience, NULL);
    for (int i = 0; i < count; i++) {
        on_event(crowd, events[i].data.ptr, events[i].events);
        if (left && i % READS_A_LOOK == READS_A_LOOK - 1 && now_ns() >= until_ns)
            return;
    }
}
