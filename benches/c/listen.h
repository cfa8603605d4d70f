/* What every server here begins with: its arguments, the socket it listens on, the line that says where.
 *
 * It knows addresses and sockets; it does not know how they are waited for.
 */
#ifndef LISTEN_H
#define LISTEN_H

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BACKLOG 1024

/* Ends the program: what did not work, and why. */
static inline _Noreturn void fail(const char *what)
{
    perror(what);
    exit(1);
}

static inline void *allocate(void *old, size_t size)
{
    void *memory = realloc(old, size);
    if (!memory)
        fail("realloc");
    return memory;
}

/* A number from the command line. */
static inline size_t number(const char *text)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *end) {
        fprintf(stderr, "%s is no number\n", text);
        exit(1);
    }
    return (size_t)value;
}

static inline struct addrinfo *resolve(const char *host, const char *port)
{
    struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE, .ai_socktype = SOCK_STREAM };
    struct addrinfo *address;
    int error = getaddrinfo(host, port, &hints, &address);
    if (error) {
        fprintf(stderr, "%s port %s: %s\n", host, port, gai_strerror(error));
        exit(1);
    }
    return address;
}

/* What waits for a server reads this line. */
static inline void announce(const struct sockaddr *address, socklen_t length)
{
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (getnameinfo(address, length, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV))
        fail("getnameinfo");
    printf(address->sa_family == AF_INET6 ? "listening on [%s]:%s\n" : "listening on %s:%s\n", host, port);
    fflush(stdout);
}

/* A non-blocking socket that listens; what it accepts inherits that small segments are not delayed. */
static inline int listen_on(const char *host, const char *port)
{
    struct addrinfo *address = resolve(host, port);
    int on = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on)
        || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on)
        || bind(fd, address->ai_addr, address->ai_addrlen) || listen(fd, BACKLOG))
        fail("listen");
    freeaddrinfo(address);

    struct sockaddr_storage bound;
    socklen_t length = sizeof bound;
    if (getsockname(fd, (struct sockaddr *)&bound, &length))
        fail("getsockname");
    announce((struct sockaddr *)&bound, length);
    return fd;
}

#endif
