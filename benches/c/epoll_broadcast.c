/* The floor for many receivers: every line to every connection, the sender's too. What was said in one turn is one
 * buffer, which at the end of the turn goes to each connection with one send. Only what the kernel does not take is
 * copied.
 *
 *     epoll_broadcast HOST PORT BUFFER_BYTES
 */
#define _GNU_SOURCE
#include "epoll.h"

#define LINE_MAX_BYTES ((size_t)8 * 1024)
/* Who is so far behind is closed: to leave lines out would not be noticed. */
#define UNSENT_MAX_BYTES ((size_t)4 * 1024 * 1024)

/* Bytes with room for more behind them. */
struct bytes {
    char *start;
    size_t length, capacity;
};

struct client {
    int fd;
    /* It said all it had to say, and goes when it has got everything. */
    int ended;
    /* The beginning of a line. */
    struct bytes partial;
    /* What the kernel did not take, of which `sent` are gone. */
    struct bytes unsent;
    size_t sent;
};

static char *buffer;
static size_t buffer_size;
/* What was said in this turn. */
static struct bytes said;
/* All of them, one behind the other. */
static struct client *clients;
static size_t client_count, client_capacity;
/* By descriptor: where in `clients`. */
static size_t *places;
static size_t place_count;
/* There is someone to close after the turn. */
static int someone_leaves;

static void append(struct bytes *bytes, const char *more, size_t length)
{
    if (bytes->capacity - bytes->length < length) {
        bytes->capacity = 2 * bytes->capacity + length;
        bytes->start = allocate(bytes->start, bytes->capacity);
    }
    memcpy(bytes->start + bytes->length, more, length);
    bytes->length += length;
}

static void clear(struct bytes *bytes)
{
    free(bytes->start);
    *bytes = (struct bytes) { 0 };
}

static void accept_all(int epoll, int listener)
{
    int fd;
    while ((fd = accept_one(epoll, listener)) >= 0) {
        if ((size_t)fd >= place_count) {
            place_count = 2 * (size_t)fd + 64;
            places = allocate(places, place_count * sizeof *places);
        }
        if (client_count == client_capacity) {
            client_capacity = 2 * client_capacity + 64;
            clients = allocate(clients, client_capacity * sizeof *clients);
        }
        places[fd] = client_count;
        clients[client_count++] = (struct client) { .fd = fd };
    }
}

/* It gets no more, and goes after the turn. */
static void give_up(struct client *client)
{
    client->ended = 1;
    client->sent = 0;
    clear(&client->unsent);
    someone_leaves = 1;
}

static void send_rest(struct client *client)
{
    ssize_t sent = send_some(client->fd, client->unsent.start + client->sent, client->unsent.length - client->sent);
    if (sent < 0) {
        give_up(client);
        return;
    }
    client->sent += (size_t)sent;
    if (client->sent == client->unsent.length) {
        client->sent = 0;
        clear(&client->unsent);
        someone_leaves |= client->ended;
    }
}

/* Adds to `said` up to the last end of a line. Nobody asks where in between the others are. */
static void take_lines(struct client *client, size_t length)
{
    char *newline = memrchr(buffer, '\n', length);
    size_t whole = newline ? (size_t)(newline - buffer) + 1 : 0;
    if (whole) {
        if (client->partial.length) {
            append(&said, client->partial.start, client->partial.length);
            clear(&client->partial);
        }
        append(&said, buffer, whole);
    }
    if (whole < length)
        append(&client->partial, buffer + whole, length - whole);
    if (client->partial.length > LINE_MAX_BYTES)
        give_up(client);
}

static void serve(int epoll, int fd, uint32_t ready)
{
    struct client *client = &clients[places[fd]];
    if (client->unsent.length && (ready & EPOLLOUT))
        send_rest(client);
    if (!(ready & ~(uint32_t)EPOLLOUT))
        return;
    for (int i = 0; i < RECVS_MAX && !client->ended; i++) {
        ssize_t received = recv(fd, buffer, buffer_size, 0);
        if (received < 0) {
            if (errno != EAGAIN)
                give_up(client);
            return;
        }
        if (received == 0) {
            client->ended = 1;
            someone_leaves = 1;
            return;
        }
        take_lines(client, (size_t)received);
        if ((size_t)received < buffer_size && SHORT_IS_ALL(ready))
            return;
    }
    if (!client->ended)
        give_way(epoll, fd);
}

static void tell(struct client *client)
{
    size_t sent = 0;
    if (!client->unsent.length) {
        ssize_t taken = send_some(client->fd, said.start, said.length);
        if (taken < 0) {
            give_up(client);
            return;
        }
        sent = (size_t)taken;
    }
    if (sent == said.length)
        return;
    append(&client->unsent, said.start + sent, said.length - sent);
    if (client->unsent.length - client->sent > UNSENT_MAX_BYTES)
        give_up(client);
}

/* Tells everyone what was said in this turn, and lets go who is done. */
static void end_turn(void)
{
    if (said.length) {
        for (size_t i = 0; i < client_count; i++)
            tell(&clients[i]);
        said.length = 0;
    }
    if (!someone_leaves)
        return;
    someone_leaves = 0;
    for (size_t i = 0; i < client_count;) {
        struct client *client = &clients[i];
        if (!client->ended || client->unsent.length) {
            i++;
            continue;
        }
        clear(&client->partial);
        close(client->fd);
        *client = clients[--client_count];
        places[client->fd] = i;
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "epoll_broadcast HOST PORT BUFFER_BYTES\n");
        return 1;
    }
    buffer_size = number(argv[3]);
    buffer = allocate(NULL, buffer_size);
    int listener = listen_on(argv[1], argv[2]);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        fail("epoll_create1");
    run(epoll, listener, accept_all, serve, end_turn);
}
