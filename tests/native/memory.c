/* Ten thousand steps as a training loop makes them, everything bound before each, sessions made and freed on the way, wrong calls too: the memory of the process
 * must not grow. The collector lets it rise and fall by some MB between collections, so peaks are compared: that of the steps with that of the second half of a warm-up. A leak of
 * 100 bytes in a step shows. Prints the growth. Linux. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "equinorm.h"

enum { WIDTH = 32, WARM_UP = 20000, STEPS = 10000, SAMPLE = 100, LIMIT_KIB = 900 };

static const char NETWORK[] =
    "{ \"format\": \"equinorm-network\", \"version\": 1,"
    "  \"axes\": [ { \"name\": \"x\", \"channels\": 32, \"pinned\": \"input\" }, { \"name\": \"h\", \"channels\": 32 },"
    "    { \"name\": \"y\", \"channels\": 32, \"pinned\": \"output\" } ],"
    "  \"weights\": ["
    "    { \"name\": \"w1\", \"type\": \"float32\", \"shape\": [32, 32], \"output\": \"h\", \"input\": \"x\" },"
    "    { \"name\": \"w2\", \"type\": \"float32\", \"shape\": [32, 32], \"output\": \"y\", \"input\": \"h\" } ] }";

static const int64_t SHAPE[] = { WIDTH, WIDTH };

static void check(en_status status, en_status expected)
{
    if (status != expected) {
        fprintf(stderr, "%s: %s\n", en_status_name(status), en_last_error());
        exit(1);
    }
}

static long resident_kib(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%*d %ld", &pages) != 1) {
        exit(1);
    }
    fclose(file);
    return pages * 4;
}

static en_session *create(void)
{
    en_network *network;
    en_session *session;
    en_options options;
    check(en_network_from_json(NETWORK, strlen(NETWORK), &network), EN_OK);
    check(en_options_init(&options, sizeof options), EN_OK);
    options.threads = 1;
    check(en_session_create(network, &options, &session), EN_OK);
    en_network_free(network);
    return session;
}

static void bind(en_session *session, const char *name, float *weight, float *momentum)
{
    en_tensor tensor;
    memset(&tensor, 0, sizeof tensor);
    tensor.size = sizeof tensor;
    tensor.type = EN_FLOAT32;
    tensor.device_kind = EN_CPU;
    tensor.data = weight;
    tensor.dimensions = 2;
    tensor.shape = SHAPE;
    check(en_session_bind(session, name, &tensor), EN_OK);
    tensor.data = momentum;
    check(en_session_bind_companion(session, name, EN_FIRST_MOMENT, 0, &tensor), EN_OK);
    check(en_session_bind(session, "w3", &tensor), EN_UNKNOWN_TENSOR);
}

int main(void)
{
    static float weights[2][WIDTH * WIDTH], momentum[3][WIDTH * WIDTH];
    en_session *session = create();
    long before = 0, after = 0, growth;
    clock_t start = 0;
    for (int i = 0; i < WIDTH * WIDTH; i++) {
        weights[0][i] = (float)(i % 17) - 8;
        weights[1][i] = (float)(i % 13) / 13 - 0.5f;
    }
    for (int step = 0; step < WARM_UP + STEPS; step++) {
        if (step == WARM_UP) {
            start = clock();
        }
        if (step >= WARM_UP - STEPS && step % SAMPLE == 0) {
            long *peak = step < WARM_UP ? &before : &after; /* of equally long times */
            long now = resident_kib();
            *peak = now > *peak ? now : *peak;
        }
        if (step % 1000 == 500) {
            check(en_session_free(session), EN_OK);
            check(en_session_step(session, NULL, NULL), EN_INVALID_ARGUMENT);
            session = create();
        }
        bind(session, "w1", weights[0], momentum[step % 2]); /* a gradient that moves */
        bind(session, "w2", weights[1], momentum[2]);
        check(en_session_step(session, NULL, NULL), EN_OK);
    }
    growth = after - before;
    fprintf(stderr, "%.1f us of processor time for a step\n", 1e6 * (double)(clock() - start) / CLOCKS_PER_SEC / STEPS);
    printf("%ld KiB more after %d steps\n", growth, STEPS);
    return growth <= LIMIT_KIB ? 0 : 1;
}
