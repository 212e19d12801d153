/* The load generator: joins, messages, typing or a reconnect storm on one thread; one JSON object a line on stdout. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "arrivals.h"
#include "crowd.h"
#include "watch.h"

static const uint64_t SECOND = 1000000000ull;
static const uint64_t TICK = 1000000ull;
static const uint64_t QUIET_S = 3;
static const double ASK_AGAIN_S = 0.5;

static double seconds(uint64_t ns) { return (double)ns / 1e9; }
static uint64_t nanoseconds(double s) { return (uint64_t)(s * 1e9); }

static double own_cpu_s(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void raise_file_limit(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void rest(Crowd *crowd, double s) {
    for (uint64_t end = now_ns() + nanoseconds(s); now_ns() < end;)
        crowd_poll(crowd, end);
}

/* --- joining ------------------------------------------------------------------------------------------------------ */

static int join_up_to(Crowd *crowd, int first, int last) {
    uint64_t end = now_ns() + nanoseconds(crowd->options->join_s);
    while (crowd->joined + crowd->refused + crowd->lost < last && now_ns() < end) {
        while (first < last && crowd->waiting < crowd->options->in_flight)
            crowd_start(crowd, &crowd->client[first++]);
        crowd_poll(crowd, now_ns() + 20 * TICK);
    }
    return first;
}

static void print_step(const Watch *watch, const Usage *empty, int joined, int is_first) {
    Usage usage;
    watch_pss(watch, &usage);
    printf("%s{\"joined\":%d", is_first ? "" : ",", joined);
    for (int g = 0; g < watch->groups; g++)
        printf(",\"%s\":%.0f", watch->group[g].name, usage.pss_kib[g] - empty->pss_kib[g]);
    printf("}");
}

static void join_all(Crowd *crowd, Watch *watch) {
    const Options *options = crowd->options;
    Usage empty, before, after;
    watch_refresh(watch);
    watch_pss(watch, &empty);
    watch_cpu(watch, &before);
    double own = own_cpu_s();
    uint64_t joining_ns = 0;
    int next = 0;
    printf("{\"phase\":\"join\",\"memory\":[");
    for (int step = 1; step <= options->steps; step++) {
        uint64_t began = now_ns();
        next = join_up_to(crowd, next, (int)((long)options->members * step / options->steps));
        joining_ns += now_ns() - began;
        if (step == options->steps) {
            watch_refresh(watch); /* a database starts a process for a new connection */
            watch_cpu(watch, &after);
        }
        rest(crowd, options->settle_s);
        print_step(watch, &empty, crowd->joined, step == 1);
    }
    double s = seconds(joining_ns);
    printf("],\"joined\":%d,\"refused\":%d,\"lost\":%d,\"errors\":%llu,\"s\":%.4f,\"per_s\":%.1f,\"own_cpu_s\":%.3f",
           crowd->joined, crowd->refused, crowd->lost, (unsigned long long)crowd->errors, s, crowd->joined / s,
           own_cpu_s() - own);
    watch_print_pss(watch, "empty_kib", &empty);
    watch_print_cpu(watch, "cpu_s", &before, &after);
    watch_cpu(watch, &before);
    uint64_t began = now_ns();
    rest(crowd, options->still_s);
    watch_cpu(watch, &after);
    watch_print_cpu(watch, "idle_cpu_s", &before, &after);
    printf(",\"idle_s\":%.4f", seconds(now_ns() - began));
    watch_pss(watch, &after);
    watch_print_pss(watch, "still_kib", &after);
    printf("}\n");
    fflush(stdout);
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

typedef struct {
    int members;
    uint64_t tags;
    uint64_t order;
    int has_order;
} Group;

static Group *groups_of(const Crowd *crowd) {
    Group *groups = calloc((size_t)crowd->options->groups, sizeof *groups);
    for (int i = 0; i < crowd->options->members; i++) {
        const Client *client = &crowd->client[i];
        if (client->joined) {
            groups[client->group].members++;
            groups[client->group].tags += client->tag;
        }
    }
    return groups;
}

static uint64_t expected_of(const Crowd *crowd, const Group *groups) {
    uint64_t expected = 0;
    for (int i = 0; i < crowd->messages; i++)
        expected += (uint64_t)groups[crowd->message[i].group].members;
    return expected;
}

/* How many messages were not heard exactly once by each member of their room. */
static int incomplete_messages(const Crowd *crowd, const Group *groups) {
    int incomplete = 0;
    for (int i = 0; i < crowd->messages; i++) {
        const Message *message = &crowd->message[i];
        const Group *group = &groups[message->group];
        incomplete += message->heard != (uint32_t)group->members || message->tags != group->tags;
    }
    return incomplete;
}

/* How many members heard the messages of their room in another order than the first member did. */
static int out_of_order(const Crowd *crowd, Group *groups) {
    int different = 0;
    for (int i = 0; i < crowd->options->members; i++) {
        const Client *client = &crowd->client[i];
        Group *group = &groups[client->group];
        if (!client->joined)
            continue;
        if (!group->has_order)
            group->order = client->order;
        group->has_order = 1;
        different += client->order != group->order;
    }
    return different;
}

/* Each message at its time, however late the answers are; returns how late the latest was sent. */
static uint64_t send_by_rate(Crowd *crowd) {
    const Options *options = crowd->options;
    int wanted = (int)(options->rate * options->send_s);
    Arrivals arrivals;
    arrivals_open(&arrivals, wanted, options->send_s);
    uint64_t began = now_ns(), latest = 0;
    for (int i = 0; i < wanted; i++) {
        uint64_t due = began + nanoseconds(arrivals_next(&arrivals));
        while (now_ns() < due)
            crowd_poll(crowd, due);
        uint64_t late = now_ns() - due;
        latest = late > latest ? late : latest;
        Client *client = &crowd->client[arrivals_choose(&arrivals, options->senders)];
        if (client->joined)
            crowd_say(crowd, client, due);
        if (i % 64 == 63)
            crowd_poll(crowd, 0);
    }
    return latest;
}

/* As fast as each sender's own copies come back. */
static uint64_t send_by_window(Crowd *crowd) {
    const Options *options = crowd->options;
    uint64_t end = now_ns() + nanoseconds(options->send_s);
    crowd->repeating = 1;
    for (int round = 0; round < options->window; round++)
        for (int i = 0; i < options->senders; i++)
            if (crowd->client[i].joined)
                crowd_say(crowd, &crowd->client[i], now_ns());
    while (now_ns() < end)
        crowd_poll(crowd, end);
    crowd->repeating = 0;
    return 0;
}

static void drain(Crowd *crowd, uint64_t expected) {
    uint64_t end = now_ns() + nanoseconds(crowd->options->drain_s), seen = 0, quiet_since = now_ns();
    while (crowd->deliveries < expected && now_ns() < end && now_ns() - quiet_since < QUIET_S * SECOND) {
        crowd_poll(crowd, now_ns() + 20 * TICK);
        if (crowd->deliveries != seen)
            quiet_since = now_ns();
        seen = crowd->deliveries;
    }
}

static void warm_up(Crowd *crowd) {
    const Options *options = crowd->options;
    uint64_t began = now_ns();
    for (int i = 0; options->warm > 0 && i < options->senders; i++) {
        uint64_t due = began + nanoseconds(i / options->warm);
        while (now_ns() < due)
            crowd_poll(crowd, due);
        if (crowd->client[i].joined)
            crowd_say(crowd, &crowd->client[i], due);
    }
}

static void print_latency(const Latency *latency) {
    printf(",\"latency_ms\":{\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f}",
           latency_percentile(latency, 0.5), latency_percentile(latency, 0.9), latency_percentile(latency, 0.99),
           latency_percentile(latency, 0.999), (double)latency->largest_us / 1e3);
}

static void send_messages(Crowd *crowd, Watch *watch) {
    Usage before, after;
    crowd_reset(crowd);
    int lost = crowd->lost;
    Group *groups = groups_of(crowd);
    warm_up(crowd);
    drain(crowd, expected_of(crowd, groups));
    crowd_reset(crowd);
    watch_refresh(watch);
    watch_cpu(watch, &before);
    double own = own_cpu_s();
    uint64_t began = now_ns();
    uint64_t latest = crowd->options->window ? send_by_window(crowd) : send_by_rate(crowd);
    uint64_t sending = now_ns() - began, expected = expected_of(crowd, groups);
    drain(crowd, expected);
    watch_cpu(watch, &after);
    own = own_cpu_s() - own;
    rest(crowd, 0.1); /* what comes twice comes now */
    printf("{\"phase\":\"send\",\"sent\":%d,\"send_s\":%.4f,\"expected\":%llu,\"deliveries\":%llu,\"incomplete\":%d,"
           "\"out_of_order\":%d,\"lost_connections\":%d,\"errors\":%llu,\"wall_s\":%.4f,\"latest_ms\":%.3f,"
           "\"bytes\":%llu,\"compressed\":%llu,\"own_cpu_s\":%.3f",
           crowd->messages, seconds(sending), (unsigned long long)expected, (unsigned long long)crowd->deliveries,
           incomplete_messages(crowd, groups), out_of_order(crowd, groups), crowd->lost - lost,
           (unsigned long long)crowd->errors, seconds(crowd->last_delivery_ns - began), (double)latest / 1e6,
           (unsigned long long)crowd->bytes, (unsigned long long)crowd->compressed, own);
    watch_print_cpu(watch, "cpu_s", &before, &after);
    print_latency(&crowd->latency);
    printf("}\n");
    free(groups);
}

/* --- typing and presence ------------------------------------------------------------------------------------------ */

static void print_kinds(const Crowd *crowd) {
    printf(",\"frames\":{");
    for (int i = 0; i < KINDS && crowd->kind[i].name[0]; i++)
        printf("%s\"%s\":%llu", i ? "," : "", crowd->kind[i].name, (unsigned long long)crowd->kind[i].count);
    printf("}");
}

static void type_and_churn(Crowd *crowd, Watch *watch) {
    const Options *options = crowd->options;
    Usage before, after;
    crowd_reset(crowd);
    crowd->refused = crowd->lost = 0;
    watch_cpu(watch, &before);
    uint64_t began = now_ns(), end = began + nanoseconds(options->send_s);
    int typings = 0, typed = 0, turns = 0, churned = 0, quiet = options->members - options->senders;
    while (now_ns() < end) {
        double s = seconds(now_ns() - began);
        for (; typings < s * options->typing_rate; typings++) {
            const char *text = options->type_frames[typings / options->senders % 2];
            Client *client = &crowd->client[typings % options->senders];
            if (client->joined) {
                crowd_send(crowd, client, text, strlen(text));
                typed++;
            }
        }
        for (; quiet > 0 && turns < s * options->churn_rate; turns++) {
            Client *client = &crowd->client[options->senders + turns % quiet];
            if (client->joined) {
                crowd_cut(crowd, client);
                crowd_start(crowd, client);
                churned++;
            }
        }
        crowd_poll(crowd, now_ns() + TICK);
    }
    watch_cpu(watch, &after);
    double s = seconds(now_ns() - began);
    for (end = now_ns() + QUIET_S * SECOND; crowd->joined < options->members && now_ns() < end;)
        crowd_poll(crowd, now_ns() + 20 * TICK);
    printf("{\"phase\":\"typing\",\"s\":%.4f,\"typed\":%d,\"churned\":%d,\"joined\":%d,\"refused\":%d,\"lost\":%d,"
           "\"errors\":%llu,\"bytes\":%llu",
           s, typed, churned, crowd->joined, crowd->refused, crowd->lost, (unsigned long long)crowd->errors,
           (unsigned long long)crowd->bytes);
    print_kinds(crowd);
    watch_print_cpu(watch, "cpu_s", &before, &after);
    printf("}\n");
}

/* --- reconnect storm ---------------------------------------------------------------------------------------------- */

/* By how many the count that a member was told last is wrong; in small rooms it is told to whoever comes, and no more. */
static int wrong_by(const Crowd *crowd, const Client *client) {
    const Options *options = crowd->options;
    int size = options->members / options->groups + (client->group < options->members % options->groups);
    return (options->counts == AGAIN ? client : &crowd->client[crowd->told[client->group]])->count - size;
}

static int told_right(const Crowd *crowd) {
    int right = 0;
    for (int i = 0; i < crowd->options->members; i++)
        right += crowd->client[i].joined && !wrong_by(crowd, &crowd->client[i]);
    return right;
}

static void print_counts(const Crowd *crowd) {
    int least = wrong_by(crowd, &crowd->client[0]), most = least;
    for (int i = 1; i < crowd->options->members; i++) {
        int wrong = wrong_by(crowd, &crowd->client[i]);
        least = wrong < least ? wrong : least;
        most = wrong > most ? wrong : most;
    }
    printf(",\"right\":%d,\"least_wrong_by\":%d,\"most_wrong_by\":%d", told_right(crowd), least, most);
}

/* Whoever came last to a small room and was told a wrong count falls out again and is told anew, once it is not counted
   itself any more. */
static void ask_again(Crowd *crowd) {
    for (int g = 0; g < crowd->options->groups; g++) {
        Client *last = &crowd->client[crowd->told[g]];
        if (last->joined && wrong_by(crowd, last))
            crowd_cut_off(crowd, last, ASK_AGAIN_S, ASK_AGAIN_S);
    }
}

static void come_back(Crowd *crowd) {
    uint64_t now = now_ns();
    for (int i = 0; i < crowd->options->members; i++) {
        Client *client = &crowd->client[i];
        if (client->state == AWAY && client->back_at_ns <= now)
            crowd_start(crowd, client);
    }
}

static void storm(Crowd *crowd, Watch *watch) {
    const Options *options = crowd->options;
    Usage before, after;
    crowd_reset(crowd);
    watch_refresh(watch);
    watch_cpu(watch, &before);
    crowd->returning = 1;
    crowd->refused = crowd->lost = 0;
    crowd->first_lost_ns = 0;
    printf("{\"phase\":\"ready\"}\n");
    fflush(stdout);
    for (int i = 0; options->cut && i < options->members; i++)
        if (crowd->client[i].joined)
            crowd_cut_off(crowd, &crowd->client[i], 0, options->jitter_s);
    uint64_t end = now_ns() + nanoseconds(options->storm_s), joined_at = 0, right_at = 0;
    while (now_ns() < end && !right_at) {
        come_back(crowd);
        crowd_poll(crowd, now_ns() + 2 * TICK);
        if (crowd->lost < options->members || crowd->joined < options->members)
            continue;
        if (!joined_at)
            joined_at = now_ns();
        if (options->counts == UNTOLD || told_right(crowd) == options->members)
            right_at = now_ns();
        else if (options->counts == AT_JOIN)
            ask_again(crowd);
    }
    watch_cpu(watch, &after);
    printf("{\"phase\":\"storm\",\"joined\":%d,\"lost\":%d,\"refused\":%d,\"joined_s\":%.3f,\"right_s\":%.3f",
           crowd->joined, crowd->lost, crowd->refused,
           joined_at ? seconds(joined_at - crowd->first_lost_ns) : -1,
           right_at ? seconds(right_at - crowd->first_lost_ns) : -1);
    if (options->counts != UNTOLD)
        print_counts(crowd);
    print_kinds(crowd);
    watch_print_cpu(watch, "cpu_s", &before, &after);
    printf("}\n");
}

/* --- staying ------------------------------------------------------------------------------------------------------ */

static int is_closed(int fd) {
    struct pollfd end = {.fd = fd, .events = POLLIN};
    char ignored;
    return poll(&end, 1, 0) > 0 && read(fd, &ignored, 1) <= 0;
}

static void hold(Crowd *crowd) {
    uint64_t end = now_ns() + nanoseconds(crowd->options->hold_s);
    while (now_ns() < end && !is_closed(STDIN_FILENO))
        crowd_poll(crowd, now_ns() + 20 * TICK);
    printf("{\"phase\":\"hold\",\"joined\":%d,\"lost\":%d}\n", crowd->joined, crowd->lost);
}

int main(int argc, char **argv) {
    static Crowd crowd;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    prctl(PR_SET_TIMERSLACK, 1ul); /* 50 µs else, a tenth of a gap at 2,000 messages a second */
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    Options options = options_read(argc, argv);
    crowd_open(&crowd, &options);
    join_all(&crowd, &options.watch);
    if (options.rate > 0 || options.window > 0)
        send_messages(&crowd, &options.watch);
    if (options.typing_rate > 0 || options.churn_rate > 0)
        type_and_churn(&crowd, &options.watch);
    if (options.storm)
        storm(&crowd, &options.watch);
    if (options.hold_s > 0)
        hold(&crowd);
    return 0;
}
