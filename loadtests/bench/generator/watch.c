#include "watch.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int watch_add(Watch *watch, const char *text) {
    const char *equals = strchr(text, '=');
    if (!equals || watch->groups == WATCH_GROUPS || equals - text >= (long)sizeof watch->group[0].name)
        return 0;
    WatchGroup *group = &watch->group[watch->groups++];
    memcpy(group->name, text, (size_t)(equals - text));
    for (const char *at = equals; *at && group->root_count < 16;) {
        group->roots[group->root_count++] = (int)strtol(at + 1, (char **)&at, 10);
    }
    return 1;
}

/* The fields of /proc/PID/stat that follow the name, which may hold anything. */
static const char *stat_fields(int pid, char *buffer, size_t size) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return NULL;
    buffer[fread(buffer, 1, size - 1, file)] = 0;
    fclose(file);
    const char *end = strrchr(buffer, ')');
    return end ? end + 2 : NULL;
}

static int holds(const WatchGroup *group, int pid) {
    for (int i = 0; i < group->pid_count; i++)
        if (group->pids[i] == pid)
            return 1;
    return 0;
}

static int adopt_children(WatchGroup *group) {
    DIR *proc = opendir("/proc");
    int found = 0;
    for (struct dirent *entry; proc && (entry = readdir(proc));) {
        char buffer[1024];
        int pid = atoi(entry->d_name), parent = 0;
        const char *fields = pid > 0 ? stat_fields(pid, buffer, sizeof buffer) : NULL;
        if (!fields || sscanf(fields, "%*c %d", &parent) != 1)
            continue;
        if (group->pid_count < WATCH_PIDS && holds(group, parent) && !holds(group, pid)) {
            group->pids[group->pid_count++] = pid;
            found = 1;
        }
    }
    if (proc)
        closedir(proc);
    return found;
}

void watch_refresh(Watch *watch) {
    for (int g = 0; g < watch->groups; g++) {
        WatchGroup *group = &watch->group[g];
        memcpy(group->pids, group->roots, sizeof group->roots);
        group->pid_count = group->root_count;
        while (adopt_children(group)) {
        }
    }
}

void watch_cpu(const Watch *watch, Usage *usage) {
    double hz = (double)sysconf(_SC_CLK_TCK);
    for (int g = 0; g < watch->groups; g++) {
        usage->cpu_s[g] = usage->kernel_s[g] = 0;
        for (int i = 0; i < watch->group[g].pid_count; i++) {
            char buffer[1024];
            unsigned long user = 0, kernel = 0;
            const char *fields = stat_fields(watch->group[g].pids[i], buffer, sizeof buffer);
            if (fields && sscanf(fields, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) == 2) {
                usage->cpu_s[g] += (double)(user + kernel) / hz;
                usage->kernel_s[g] += (double)kernel / hz;
            }
        }
    }
}

void watch_pss(const Watch *watch, Usage *usage) {
    for (int g = 0; g < watch->groups; g++) {
        usage->pss_kib[g] = 0;
        for (int i = 0; i < watch->group[g].pid_count; i++) {
            char path[64], line[256];
            snprintf(path, sizeof path, "/proc/%d/smaps_rollup", watch->group[g].pids[i]);
            FILE *file = fopen(path, "r");
            for (long kib; file && fgets(line, sizeof line, file);)
                if (sscanf(line, "Pss: %ld kB", &kib) == 1)
                    usage->pss_kib[g] += (double)kib;
            if (file)
                fclose(file);
        }
    }
}

static void print_seconds(const Watch *watch, const double *earlier, const double *later) {
    for (int g = 0; g < watch->groups; g++)
        printf("%s\"%s\":%.3f", g ? "," : "", watch->group[g].name, later[g] - earlier[g]);
    printf("}");
}

void watch_print_cpu(const Watch *watch, const char *key, const Usage *earlier, const Usage *later) {
    printf(",\"%s\":{", key);
    print_seconds(watch, earlier->cpu_s, later->cpu_s);
    printf(",\"kernel_%s\":{", key);
    print_seconds(watch, earlier->kernel_s, later->kernel_s);
}

void watch_print_pss(const Watch *watch, const char *key, const Usage *usage) {
    printf(",\"%s\":{", key);
    for (int g = 0; g < watch->groups; g++)
        printf("%s\"%s\":%.0f", g ? "," : "", watch->group[g].name, usage->pss_kib[g]);
    printf("}");
}
