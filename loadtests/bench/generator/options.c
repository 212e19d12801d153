#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void refuse(const char *text) {
    fprintf(stderr, "generator: %s\n", text);
    exit(2);
}

static void read_tokens(Options *options, const char *path) {
    FILE *file = fopen(path, "r");
    if (!file)
        refuse("the file of tokens cannot be read");
    char line[4096];
    int room = 0;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (options->token_count == room) {
            room = room ? room * 2 : 1024;
            options->tokens = realloc(options->tokens, (size_t)room * sizeof *options->tokens);
        }
        options->tokens[options->token_count++] = strdup(line);
    }
    fclose(file);
}

enum {
    PORT = 256, PATH, HELLO, ACK, FRAME, PING, PONG, MEMBERS, GROUPS, SENDERS, IN_FLIGHT, TEXT, RATE, WARM, WINDOW, SEND,
    DRAIN, SETTLE, STILL, JOIN, STEPS, HOLD, STORM, CUT, JITTER, COUNTS, TYPING, CHURN, TYPE_START, TYPE_STOP, TOKENS, WATCH, DEFLATE
};

static const struct option names[] = {
    {"port", 1, 0, PORT},           {"path", 1, 0, PATH},           {"hello", 1, 0, HELLO},
    {"ack", 1, 0, ACK},             {"frame", 1, 0, FRAME},         {"ping", 1, 0, PING},
    {"pong", 1, 0, PONG},           {"members", 1, 0, MEMBERS},     {"groups", 1, 0, GROUPS},
    {"senders", 1, 0, SENDERS},     {"in-flight", 1, 0, IN_FLIGHT}, {"text", 1, 0, TEXT},
    {"rate", 1, 0, RATE},           {"window", 1, 0, WINDOW},       {"send", 1, 0, SEND},
    {"drain", 1, 0, DRAIN},         {"settle", 1, 0, SETTLE},       {"join", 1, 0, JOIN},
    {"steps", 1, 0, STEPS},         {"storm", 1, 0, STORM},         {"typing", 1, 0, TYPING},
    {"churn", 1, 0, CHURN},         {"type-start", 1, 0, TYPE_START}, {"type-stop", 1, 0, TYPE_STOP},
    {"tokens", 1, 0, TOKENS},       {"watch", 1, 0, WATCH},         {"deflate", 1, 0, DEFLATE},
    {"hold", 1, 0, HOLD},           {"cut", 1, 0, CUT},             {"jitter", 1, 0, JITTER},
    {"counts", 1, 0, COUNTS},       {"still", 1, 0, STILL},         {"warm", 1, 0, WARM},
    {0, 0, 0, 0},
};

static int set_text(Options *options, int name, const char *value) {
    switch (name) {
    case PATH: options->path = value; return 1;
    case HELLO: options->hello = value; return 1;
    case ACK: options->ack = value; return 1;
    case FRAME: options->frame = value; return 1;
    case PING: options->ping = value; return 1;
    case PONG: options->pong = value; return 1;
    case TYPE_START: options->type_frames[0] = value; return 1;
    case TYPE_STOP: options->type_frames[1] = value; return 1;
    case TOKENS: read_tokens(options, value); return 1;
    case WATCH: return watch_add(&options->watch, value);
    default: return 0;
    }
}

static int set_number(Options *options, int name, double value) {
    switch (name) {
    case PORT: options->port = (int)value; return 1;
    case MEMBERS: options->members = (int)value; return 1;
    case GROUPS: options->groups = (int)value; return 1;
    case SENDERS: options->senders = (int)value; return 1;
    case IN_FLIGHT: options->in_flight = (int)value; return 1;
    case DEFLATE: options->deflate = (int)value; return 1;
    case TEXT: options->text_bytes = (int)value; return 1;
    case RATE: options->rate = value; return 1;
    case WARM: options->warm = value; return 1;
    case WINDOW: options->window = (int)value; return 1;
    case SEND: options->send_s = value; return 1;
    case DRAIN: options->drain_s = value; return 1;
    case SETTLE: options->settle_s = value; return 1;
    case STILL: options->still_s = value; return 1;
    case JOIN: options->join_s = value; return 1;
    case STEPS: options->steps = (int)value; return 1;
    case HOLD: options->hold_s = value; return 1;
    case STORM: options->storm = 1; options->storm_s = value; return 1;
    case CUT: options->cut = (int)value; return 1;
    case JITTER: options->jitter_s = value; return 1;
    case COUNTS: options->counts = (int)value; return 1;
    case TYPING: options->typing_rate = value; return 1;
    case CHURN: options->churn_rate = value; return 1;
    default: return 0;
    }
}

Options options_read(int argc, char **argv) {
    Options options = {
        .path = "/", .members = 1, .groups = 1, .in_flight = 256, .text_bytes = 120, .send_s = 5, .drain_s = 3,
        .settle_s = 1, .still_s = 1, .join_s = 60, .steps = 1,
    };
    for (int name; (name = getopt_long(argc, argv, "", names, NULL)) != -1;)
        if (name == '?' || (!set_text(&options, name, optarg) && !set_number(&options, name, atof(optarg))))
            refuse("an argument that cannot be used");
    if (options.port <= 0 || options.members < 1 || options.groups < 1 || options.groups > options.members)
        refuse("port, members and groups must be at least 1, and no group may be empty");
    if (options.text_bytes < 40 || options.text_bytes > 4000)
        refuse("the text has 40 to 4000 bytes");
    if (options.senders > options.members || options.in_flight < 1 || options.steps < 1)
        refuse("more senders than members, or nothing in flight, or no step");
    if ((options.rate > 0 || options.window > 0) && (!options.frame || options.senders < 1))
        refuse("messages need a frame and somebody who sends");
    if (options.typing_rate > 0 && (!options.type_frames[0] || !options.type_frames[1] || options.senders < 1))
        refuse("typing needs two frames and somebody who types");
    return options;
}
