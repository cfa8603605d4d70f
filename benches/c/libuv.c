/* Echo by libuv, after the echo server of its guide: one handle for each connection, and callbacks.
 *
 * The guide allocates for each read and for each write. Here all reads share one buffer, as libuv leaves it to the
 * program, because what was read is sent before the callback returns: `uv_try_write` first, and `uv_write` only for
 * what the kernel does not take. Until that is gone the connection is not read.
 *
 *     libuv HOST PORT BUFFER_BYTES IDLE_SECONDS          (0 for no idle timeout)
 */
#include <signal.h>
#include <uv.h>

#include "listen.h"

struct client {
    uv_tcp_t stream;
    /* Only with an idle timeout. */
    uv_timer_t *idle;
};

struct rest {
    uv_write_t request;
    char bytes[];
};

static char *buffer;
static size_t buffer_size;
static uint64_t idle_timeout;

static void receive(uv_stream_t *stream, ssize_t received, const uv_buf_t *bytes);

static void check(const char *what, int error)
{
    if (error) {
        fprintf(stderr, "%s: %s\n", what, uv_strerror(error));
        exit(1);
    }
}

static void release(uv_handle_t *handle)
{
    free(handle);
}

static void end(uv_handle_t *stream)
{
    struct client *client = (struct client *)stream;
    if (uv_is_closing(stream))
        return;
    if (client->idle)
        uv_close((uv_handle_t *)client->idle, release);
    uv_close(stream, release);
}

static void silent(uv_timer_t *timer)
{
    end(timer->data);
}

static void lend_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *bytes)
{
    (void)handle, (void)suggested;
    *bytes = uv_buf_init(buffer, (unsigned)buffer_size);
}

static void rest_is_sent(uv_write_t *request, int status)
{
    uv_stream_t *stream = request->handle;
    free(request);
    if (status)
        end((uv_handle_t *)stream);
    else
        uv_read_start(stream, lend_buffer, receive);
}

/* Stops reading until the kernel has taken these. */
static void send_rest(uv_stream_t *stream, const char *bytes, size_t length)
{
    struct rest *rest = allocate(NULL, sizeof *rest + length);
    memcpy(rest->bytes, bytes, length);
    uv_buf_t copy = uv_buf_init(rest->bytes, (unsigned)length);
    uv_read_stop(stream);
    if (uv_write(&rest->request, stream, &copy, 1, rest_is_sent)) {
        free(rest);
        end((uv_handle_t *)stream);
    }
}

static void receive(uv_stream_t *stream, ssize_t received, const uv_buf_t *bytes)
{
    struct client *client = (struct client *)stream;
    if (received == 0) /* as good as EAGAIN */
        return;
    if (received < 0) {
        end((uv_handle_t *)stream);
        return;
    }
    if (client->idle)
        uv_timer_again(client->idle);
    uv_buf_t answer = uv_buf_init(bytes->base, (unsigned)received);
    int sent = uv_try_write(stream, &answer, 1);
    if (sent == UV_EAGAIN)
        sent = 0;
    if (sent < 0)
        end((uv_handle_t *)stream);
    else if (sent < received)
        send_rest(stream, bytes->base + sent, (size_t)(received - sent));
}

static void welcome(uv_stream_t *listener, int status)
{
    check("accept", status);
    struct client *client = allocate(NULL, sizeof *client);
    client->idle = NULL;
    check("uv_tcp_init", uv_tcp_init(listener->loop, &client->stream));
    if (uv_accept(listener, (uv_stream_t *)&client->stream)) {
        end((uv_handle_t *)&client->stream);
        return;
    }
    if (idle_timeout) {
        client->idle = allocate(NULL, sizeof *client->idle);
        check("uv_timer_init", uv_timer_init(listener->loop, client->idle));
        client->idle->data = client;
        check("uv_timer_start", uv_timer_start(client->idle, silent, idle_timeout, idle_timeout));
    }
    uv_read_start((uv_stream_t *)&client->stream, lend_buffer, receive);
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "--version")) {
        printf("%s\n", uv_version_string());
        return 0;
    }
    if (argc != 5) {
        fprintf(stderr, "libuv HOST PORT BUFFER_BYTES IDLE_SECONDS\n");
        return 1;
    }
    buffer_size = number(argv[3]);
    buffer = allocate(NULL, buffer_size);
    idle_timeout = (uint64_t)number(argv[4]) * 1000;

    /* As its documentation asks of programs that write to sockets. */
    signal(SIGPIPE, SIG_IGN);
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t listener;
    struct addrinfo *address = resolve(argv[1], argv[2]);
    check("uv_tcp_init", uv_tcp_init(loop, &listener));
    check("uv_tcp_bind", uv_tcp_bind(&listener, address->ai_addr, 0));
    /* What it accepts inherits this. */
    check("uv_tcp_nodelay", uv_tcp_nodelay(&listener, 1));
    check("uv_listen", uv_listen((uv_stream_t *)&listener, BACKLOG, welcome));
    freeaddrinfo(address);

    struct sockaddr_storage bound;
    int length = sizeof bound;
    check("uv_tcp_getsockname", uv_tcp_getsockname(&listener, (struct sockaddr *)&bound, &length));
    announce((struct sockaddr *)&bound, (socklen_t)length);
    return uv_run(loop, UV_RUN_DEFAULT);
}
