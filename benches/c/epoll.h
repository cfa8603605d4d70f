/* What the servers on epoll share: registering once, for both directions, edge-triggered.
 *
 * It knows epoll; it does not know what is done with what is ready.
 */
#ifndef EPOLL_H
#define EPOLL_H

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listen.h"

#define EVENTS_MAX 1024
/* After so many full buffers a connection gives way to the others. */
#define RECVS_MAX 16

/* With priority: else nothing says that a recv ended short at the mark of urgent data, with more behind it. */
#define INTEREST (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET)

/* epoll(7), question 9: less than was asked for was all there was. Not so before an end, an error or a mark. */
#define SHORT_IS_ALL(ready) (!((ready) & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)))

static inline void watch(int epoll, int operation, int fd, uint32_t interest)
{
    struct epoll_event event = { .events = interest, .data.fd = fd };
    if (epoll_ctl(epoll, operation, fd, &event))
        fail("epoll_ctl");
}

/* Asked for anew, readiness is reported anew: behind what is ready now. */
static inline void give_way(int epoll, int fd)
{
    watch(epoll, EPOLL_CTL_MOD, fd, INTEREST);
}

/* Accepts one connection and watches it, or answers -1: there is none at present. */
static inline int accept_one(int epoll, int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            watch(epoll, EPOLL_CTL_ADD, fd, INTEREST);
            return fd;
        }
        if (errno == EAGAIN)
            return -1;
        if (errno != ECONNABORTED && errno != EINTR)
            fail("accept4");
    }
}

/* Answers how many of `length` bytes the kernel took, or -1: the connection is over. */
static inline ssize_t send_some(int fd, const char *bytes, size_t length)
{
    ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
    return sent < 0 && errno == EAGAIN ? 0 : sent;
}

/* Waits for ever and has `serve` called for what is ready; the listener and the clients by their descriptors.
 *
 * A client is closed in its own event only, of which each wait has one, so that no event is another's. */
static inline _Noreturn void run(int epoll, int listener, void (*accept_all)(int, int),
                                 void (*serve)(int, int, uint32_t), void (*after)(void))
{
    static struct epoll_event events[EVENTS_MAX];
    watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS_MAX, -1);
        if (count < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                accept_all(epoll, listener);
            else
                serve(epoll, events[i].data.fd, events[i].events);
        }
        if (after)
            after();
    }
}

#endif
