/*
 * A link between two network namespaces, for benchmarks: a rate, a delay, a bounded queue.
 *
 *   link NAMESPACE_A NAMESPACE_B ONE_WAY_SECONDS BYTES_PER_SECOND QUEUE_BYTES
 *
 * It makes a TUN device "thin" in each namespace and carries packets between them; the
 * caller gives them addresses.  It prints "ready" and runs until it is killed.  While it is
 * stopped (SIGSTOP) the link is down.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

struct packet {
    struct packet *next;
    double due; /* when it arrives */
    int size;
    unsigned char data[];
};

struct direction {
    struct packet *first, *last;
    double free; /* when the line has sent all that it took */
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static int open_device(const char *name_space)
{
    char path[256];
    struct ifreq request = {0};
    int descriptor;

    snprintf(path, sizeof path, "/var/run/netns/%s", name_space);
    descriptor = open(path, O_RDONLY);
    if (descriptor < 0 || setns(descriptor, CLONE_NEWNET) < 0)
        fail(path);
    close(descriptor);
    descriptor = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    if (descriptor < 0)
        fail("/dev/net/tun");
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    strcpy(request.ifr_name, "thin");
    if (ioctl(descriptor, TUNSETIFF, &request) < 0)
        fail("TUNSETIFF");
    return descriptor;
}

static void deliver(struct direction *way, int descriptor)
{
    while (way->first && way->first->due <= now()) {
        struct packet *packet = way->first;
        if (write(descriptor, packet->data, packet->size) < 0 && errno == EAGAIN)
            return;
        way->first = packet->next;
        if (!way->first)
            way->last = NULL;
        free(packet);
    }
}

static void take(struct direction *way, int descriptor, double delay, double rate, double queue)
{
    unsigned char data[65536];
    int size;

    while ((size = read(descriptor, data, sizeof data)) > 0) {
        double time = now();
        struct packet *packet;
        if (way->free < time)
            way->free = time;
        if ((way->free - time) * rate + size > queue)
            continue; /* the queue is full: the packet is lost */
        way->free += size / rate;
        packet = malloc(sizeof *packet + size);
        if (!packet)
            fail("malloc");
        packet->next = NULL;
        packet->due = way->free + delay;
        packet->size = size;
        memcpy(packet->data, data, size);
        if (way->last)
            way->last->next = packet;
        else
            way->first = packet;
        way->last = packet;
    }
}

int main(int count, char **arguments)
{
    struct direction ways[2] = {0};
    int devices[2];
    double delay, rate, queue;

    if (count != 6) {
        fprintf(stderr, "usage: link A B SECONDS BYTES_PER_SECOND QUEUE_BYTES\n");
        return 2;
    }
    delay = atof(arguments[3]);
    rate = atof(arguments[4]);
    queue = atof(arguments[5]);
    devices[0] = open_device(arguments[1]);
    devices[1] = open_device(arguments[2]);
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct pollfd polled[2] = {{devices[0], POLLIN, 0}, {devices[1], POLLIN, 0}};
        double wait = 1.0;
        struct timespec timeout;
        for (int i = 0; i < 2; i++) {
            deliver(&ways[i], devices[!i]);
            if (ways[i].first && ways[i].first->due - now() < wait)
                wait = ways[i].first->due - now();
        }
        if (wait < 0)
            wait = 0;
        timeout.tv_sec = (time_t)wait;
        timeout.tv_nsec = (long)((wait - (double)timeout.tv_sec) * 1e9);
        ppoll(polled, 2, &timeout, NULL);
        for (int i = 0; i < 2; i++)
            if (polled[i].revents & POLLIN)
                take(&ways[i], devices[i], delay, rate, queue);
    }
}
