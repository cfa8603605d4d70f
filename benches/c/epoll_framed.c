/* The floor for frames: echo of lines, or of messages behind a four-byte big-endian length, which are cut and
 * encoded one by one, and leave with one send for all that one recv brought. A connection has no memory of its own
 * unless a frame is not yet whole or the kernel did not take all that it was sent.
 *
 *     epoll_framed lines|length HOST PORT BUFFER_BYTES
 */
#define _GNU_SOURCE
#include "epoll.h"

/* The limits of the servers it is compared with. */
#define LINE_MAX_BYTES ((size_t)8 * 1024)
#define MESSAGE_MAX_BYTES ((size_t)1024 * 1024)

/* Bytes with room for more behind them. */
struct bytes {
    char *start;
    size_t length, capacity;
};

struct client {
    /* The beginning of a frame. The next recv goes behind it. */
    struct bytes partial;
    /* What the kernel did not take, of which `sent` are gone. While there is any, nothing is received. */
    struct bytes unsent;
    size_t sent;
};

/* Where recv puts what comes to who has no partial frame, and the answer to it. */
static struct bytes in, out;
static size_t buffer_size;
/* By descriptor, and only where there is something to keep. */
static struct client **clients;
static size_t client_count;
/* Encodes all whole frames into `out`, and answers how many bytes of input they were, or -1 for a frame too long. */
static ssize_t (*echo_frames)(const char *input, size_t length);

/* Makes room for `more` bytes behind what there is. */
static void reserve(struct bytes *bytes, size_t more)
{
    if (bytes->capacity - bytes->length < more) {
        bytes->capacity = 2 * bytes->length + more;
        bytes->start = allocate(bytes->start, bytes->capacity);
    }
}

static void append(struct bytes *bytes, const char *more, size_t length)
{
    reserve(bytes, length);
    memcpy(bytes->start + bytes->length, more, length);
    bytes->length += length;
}

static void clear(struct bytes *bytes)
{
    free(bytes->start);
    *bytes = (struct bytes) { 0 };
}

static ssize_t echo_lines(const char *input, size_t length)
{
    const char *at = input, *end = input + length, *newline;
    char *to = out.start;
    while (at < end && (newline = memchr(at, '\n', (size_t)(end - at)))) {
        size_t line = (size_t)(newline - at);
        if (line > LINE_MAX_BYTES)
            return -1;
        memcpy(to, at, line);
        to += line;
        *to++ = '\n';
        at = newline + 1;
    }
    out.length = (size_t)(to - out.start);
    return (size_t)(end - at) > LINE_MAX_BYTES ? -1 : at - input;
}

static ssize_t echo_messages(const char *input, size_t length)
{
    const char *at = input, *end = input + length;
    char *to = out.start;
    while (end - at >= 4) {
        uint32_t size;
        memcpy(&size, at, 4);
        size_t message = ntohl(size);
        if (message > MESSAGE_MAX_BYTES)
            return -1;
        if ((size_t)(end - at) < 4 + message)
            break;
        size = htonl((uint32_t)message);
        memcpy(to, &size, 4);
        memcpy(to + 4, at + 4, message);
        to += 4 + message;
        at += 4 + message;
    }
    out.length = (size_t)(to - out.start);
    return at - input;
}

static void accept_all(int epoll, int listener)
{
    int fd;
    while ((fd = accept_one(epoll, listener)) >= 0) {
        if ((size_t)fd >= client_count) {
            size_t count = 2 * (size_t)fd + 64;
            clients = allocate(clients, count * sizeof *clients);
            memset(clients + client_count, 0, (count - client_count) * sizeof *clients);
            client_count = count;
        }
    }
}

static struct client *client_of(int fd)
{
    if (!clients[fd]) {
        clients[fd] = allocate(NULL, sizeof *clients[fd]);
        *clients[fd] = (struct client) { 0 };
    }
    return clients[fd];
}

static void forget(int fd)
{
    clear(&clients[fd]->partial);
    clear(&clients[fd]->unsent);
    free(clients[fd]);
    clients[fd] = NULL;
}

static void end(int fd)
{
    if (clients[fd])
        forget(fd);
    close(fd);
}

static void forget_if_empty(int fd)
{
    if (!clients[fd]->partial.length && !clients[fd]->unsent.length)
        forget(fd);
}

/* Answers whether nothing is left, and the connection is still there. */
static int send_rest(int fd)
{
    struct client *client = clients[fd];
    ssize_t sent = send_some(fd, client->unsent.start + client->sent, client->unsent.length - client->sent);
    if (sent < 0) {
        end(fd);
        return 0;
    }
    client->sent += (size_t)sent;
    if (client->sent < client->unsent.length)
        return 0;
    client->sent = 0;
    clear(&client->unsent);
    forget_if_empty(fd);
    return 1;
}

/* Keeps what follows the `used` bytes of whole frames. */
static void keep_partial(int fd, struct bytes *input, size_t used)
{
    size_t left = input->length - used;
    if (input == &in) {
        if (left)
            append(&client_of(fd)->partial, in.start + used, left);
    } else if (used) {
        memmove(input->start, input->start + used, left);
        input->length = left;
        if (!left)
            forget_if_empty(fd);
    }
    in.length = 0;
}

/* Answers whether the connection is still there and takes more. */
static int answer(int fd, struct bytes *input)
{
    out.length = 0;
    reserve(&out, input->length);
    ssize_t used = echo_frames(input->start, input->length);
    if (used < 0) {
        in.length = 0;
        end(fd);
        return 0;
    }
    keep_partial(fd, input, (size_t)used);
    if (!out.length)
        return 1;
    ssize_t sent = send_some(fd, out.start, out.length);
    if (sent < 0) {
        end(fd);
        return 0;
    }
    if ((size_t)sent == out.length)
        return 1;
    append(&client_of(fd)->unsent, out.start + sent, out.length - (size_t)sent);
    return 0;
}

static void serve(int epoll, int fd, uint32_t ready)
{
    /* What came meanwhile was not received, whatever its event said then: so it is tried. */
    if (clients[fd] && clients[fd]->unsent.length) {
        if (!(ready & EPOLLOUT) || !send_rest(fd))
            return;
    } else if (!(ready & ~(uint32_t)EPOLLOUT)) {
        return;
    }
    for (int i = 0; i < RECVS_MAX; i++) {
        struct bytes *input = clients[fd] ? &clients[fd]->partial : &in;
        reserve(input, buffer_size);
        ssize_t received = recv(fd, input->start + input->length, buffer_size, 0);
        if (received <= 0) {
            if (received == 0 || errno != EAGAIN)
                end(fd);
            return;
        }
        input->length += (size_t)received;
        if (!answer(fd, input) || ((size_t)received < buffer_size && SHORT_IS_ALL(ready)))
            return;
    }
    give_way(epoll, fd);
}

int main(int argc, char **argv)
{
    if (argc == 5 && !strcmp(argv[1], "lines"))
        echo_frames = echo_lines;
    else if (argc == 5 && !strcmp(argv[1], "length"))
        echo_frames = echo_messages;
    if (!echo_frames) {
        fprintf(stderr, "epoll_framed lines|length HOST PORT BUFFER_BYTES\n");
        return 1;
    }
    buffer_size = number(argv[4]);
    int listener = listen_on(argv[2], argv[3]);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        fail("epoll_create1");
    run(epoll, listener, accept_all, serve, NULL);
}
