/* CPU time and memory of the server's processes, children included, out of /proc. */
#ifndef WATCH_H
#define WATCH_H

enum { WATCH_GROUPS = 8, WATCH_PIDS = 128 };

typedef struct {
    char name[32];
    int roots[16], root_count;
    int pids[WATCH_PIDS], pid_count;
} WatchGroup;

typedef struct {
    WatchGroup group[WATCH_GROUPS];
    int groups;
} Watch;

typedef struct {
    double cpu_s[WATCH_GROUPS];    /* user and system */
    double kernel_s[WATCH_GROUPS]; /* system alone */
    double pss_kib[WATCH_GROUPS];
} Usage;

/* "edge=12,13": the processes 12 and 13 and whatever they started count as "edge". Returns 0 when it cannot be read. */
int watch_add(Watch *watch, const char *text);

/* Look for the children again. */
void watch_refresh(Watch *watch);

void watch_cpu(const Watch *watch, Usage *usage);
void watch_pss(const Watch *watch, Usage *usage);

/* Two JSON objects of seconds, later minus earlier: KEY, and kernel_KEY with the system time in it. */
void watch_print_cpu(const Watch *watch, const char *key, const Usage *earlier, const Usage *later);

/* A JSON object of KiB. */
void watch_print_pss(const Watch *watch, const char *key, const Usage *usage);

#endif
