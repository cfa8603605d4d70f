/* The floor: echo with one accept4 and one epoll_ctl for each connection, one recv and one send for each request,
 * and nothing else. A connection has no memory of its own unless the kernel does not take all that it is sent.
 *
 *     epoll HOST PORT BUFFER_BYTES
 */
#define _GNU_SOURCE
#include "epoll.h"

/* What the kernel did not take. While there is any, nothing is received. */
struct unsent {
    size_t length, sent;
    char bytes[];
};

static char *buffer;
static size_t buffer_size;
/* By descriptor. */
static struct unsent **unsent;
static size_t unsent_count;

static void accept_all(int epoll, int listener)
{
    int fd;
    while ((fd = accept_one(epoll, listener)) >= 0) {
        if ((size_t)fd >= unsent_count) {
            size_t count = 2 * (size_t)fd + 64;
            unsent = allocate(unsent, count * sizeof *unsent);
            memset(unsent + unsent_count, 0, (count - unsent_count) * sizeof *unsent);
            unsent_count = count;
        }
    }
}

static void end(int fd)
{
    free(unsent[fd]);
    unsent[fd] = NULL;
    close(fd);
}

static void keep(int fd, const char *bytes, size_t length)
{
    struct unsent *rest = allocate(NULL, sizeof *rest + length);
    rest->length = length;
    rest->sent = 0;
    memcpy(rest->bytes, bytes, length);
    unsent[fd] = rest;
}

/* Answers whether nothing is left, and the connection is still there. */
static int send_rest(int fd)
{
    struct unsent *rest = unsent[fd];
    ssize_t sent = send_some(fd, rest->bytes + rest->sent, rest->length - rest->sent);
    if (sent < 0) {
        end(fd);
        return 0;
    }
    rest->sent += (size_t)sent;
    if (rest->sent < rest->length)
        return 0;
    free(rest);
    unsent[fd] = NULL;
    return 1;
}

static void serve(int epoll, int fd, uint32_t ready)
{
    /* What came meanwhile was not received, whatever its event said then: so it is tried. */
    if (unsent[fd]) {
        if (!(ready & EPOLLOUT) || !send_rest(fd))
            return;
    } else if (!(ready & ~(uint32_t)EPOLLOUT)) {
        return;
    }
    for (int i = 0; i < RECVS_MAX; i++) {
        ssize_t received = recv(fd, buffer, buffer_size, 0);
        if (received <= 0) {
            if (received == 0 || errno != EAGAIN)
                end(fd);
            return;
        }
        ssize_t sent = send_some(fd, buffer, (size_t)received);
        if (sent < 0) {
            end(fd);
            return;
        }
        if (sent < received) {
            keep(fd, buffer + sent, (size_t)(received - sent));
            return;
        }
        if ((size_t)received < buffer_size && SHORT_IS_ALL(ready))
            return;
    }
    give_way(epoll, fd);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "epoll HOST PORT BUFFER_BYTES\n");
        return 1;
    }
    buffer_size = number(argv[3]);
    buffer = allocate(NULL, buffer_size);
    int listener = listen_on(argv[1], argv[2]);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        fail("epoll_create1");
    run(epoll, listener, accept_all, serve, NULL);
}
