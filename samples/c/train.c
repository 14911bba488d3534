/* Trains a small network with momentum, and equi-normalizes it behind every update: weights and momentum are rescaled in place, what the
 * network computes stays the same.
 *
 * Build and run, from the root of the repository:
 *
 *   dotnet publish src/EquiNorm.Native -c Release -r linux-x64 -o artifacts/native
 *   gcc -std=c99 -O2 samples/c/train.c -Iartifacts/native -Lartifacts/native -lequinorm -lm -Wl,-rpath,artifacts/native -o artifacts/train
 *   artifacts/train
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "equinorm.h"

enum { INPUTS = 4, HIDDEN = 16, OUTPUTS = 2, SAMPLES = 64, STEPS = 200 };

/* Channels of the input and of the output belong to the outside world and are pinned; the hidden ones are free. */
static const char NETWORK[] =
    "{ \"format\": \"equinorm-network\", \"version\": 1,"
    "  \"axes\": ["
    "    { \"name\": \"x\", \"channels\": 4, \"pinned\": \"network input\" },"
    "    { \"name\": \"hidden\", \"channels\": 16 },"
    "    { \"name\": \"y\", \"channels\": 2, \"pinned\": \"network output\" } ],"
    "  \"weights\": ["
    "    { \"name\": \"w1\", \"type\": \"float32\", \"shape\": [16, 4], \"output\": \"hidden\", \"input\": \"x\" },"
    "    { \"name\": \"b1\", \"type\": \"float32\", \"kind\": \"bias\", \"shape\": [16], \"output\": \"hidden\" },"
    "    { \"name\": \"w2\", \"type\": \"float32\", \"shape\": [2, 16], \"output\": \"y\", \"input\": \"hidden\" } ] }";

static float w1[HIDDEN][INPUTS], b1[HIDDEN], w2[OUTPUTS][HIDDEN];
static float m1[HIDDEN][INPUTS], mb[HIDDEN], m2[OUTPUTS][HIDDEN];
static float x[SAMPLES][INPUTS], y[SAMPLES][OUTPUTS];

static void check(en_status status)
{
    if (status != EN_OK) {
        fprintf(stderr, "%s: %s\n", en_status_name(status), en_last_error());
        exit(1);
    }
}

/* The same numbers on every machine, between -1 and 1. */
static float next(void)
{
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 8388608.0f - 1.0f;
}

static void fill(float *values, int count, float scale)
{
    for (int i = 0; i < count; i++) {
        values[i] = scale * next();
    }
}

/* Mean squared error; where momentum is wanted, the gradient is added to it. */
static double loss(int train)
{
    double sum = 0;
    for (int s = 0; s < SAMPLES; s++) {
        float h[HIDDEN], back[HIDDEN] = { 0 };
        for (int j = 0; j < HIDDEN; j++) {
            float z = b1[j];
            for (int i = 0; i < INPUTS; i++) {
                z += w1[j][i] * x[s][i];
            }
            h[j] = z > 0 ? z : 0; /* ReLU: rescaling a channel commutes with it */
        }
        for (int k = 0; k < OUTPUTS; k++) {
            float error = -y[s][k];
            for (int j = 0; j < HIDDEN; j++) {
                error += w2[k][j] * h[j];
            }
            sum += (double)error * error;
            for (int j = 0; train && j < HIDDEN; j++) {
                back[j] += error * w2[k][j];
                m2[k][j] += error * h[j] / SAMPLES;
            }
        }
        for (int j = 0; train && j < HIDDEN; j++) {
            for (int i = 0; h[j] > 0 && i < INPUTS; i++) {
                m1[j][i] += back[j] * x[s][i] / SAMPLES;
            }
            mb[j] += h[j] > 0 ? back[j] / SAMPLES : 0;
        }
    }
    return sum / SAMPLES;
}

static void decay(float *momentum, int count)
{
    for (int i = 0; i < count; i++) {
        momentum[i] *= 0.9f;
    }
}

static void descend(float *weight, const float *momentum, int count)
{
    for (int i = 0; i < count; i++) {
        weight[i] -= 0.01f * momentum[i];
    }
}

static void bind(en_session *session, const char *name, float *weight, float *momentum, int32_t dimensions, const int64_t *shape)
{
    en_tensor tensor;
    memset(&tensor, 0, sizeof tensor);
    tensor.size = sizeof tensor;
    tensor.type = EN_FLOAT32;
    tensor.device_kind = EN_CPU;
    tensor.data = weight;
    tensor.dimensions = dimensions;
    tensor.shape = shape;
    check(en_session_bind(session, name, &tensor));
    tensor.data = momentum; /* a sum of gradients: it is divided by what the weight is multiplied by */
    check(en_session_bind_companion(session, name, EN_FIRST_MOMENT, 0, &tensor));
}

int main(void)
{
    const int64_t shape1[] = { HIDDEN, INPUTS }, shape_bias[] = { HIDDEN }, shape2[] = { OUTPUTS, HIDDEN };
    en_network *network;
    en_session *session;
    en_options options;
    en_step_report report;
    size_t needed;
    char *groups;

    if (en_abi_version() != EN_ABI_VERSION) {
        fprintf(stderr, "libequinorm %s speaks another version of the interface than this program\n", en_version());
        return 1;
    }

    check(en_network_from_json(NETWORK, strlen(NETWORK), &network));
    check(en_network_groups(network, NULL, 0, &needed));
    groups = malloc(needed);
    if (groups == NULL) {
        return 1;
    }
    check(en_network_groups(network, groups, needed, &needed));
    printf("%s\n", groups);
    free(groups);

    check(en_options_init(&options, sizeof options));
    check(en_session_create(network, &options, &session));
    en_network_free(network); /* the session has what it needs */
    bind(session, "w1", &w1[0][0], &m1[0][0], 2, shape1);
    bind(session, "b1", b1, mb, 1, shape_bias);
    bind(session, "w2", &w2[0][0], &m2[0][0], 2, shape2);

    fill(&x[0][0], SAMPLES * INPUTS, 1);
    for (int s = 0; s < SAMPLES; s++) {
        y[s][0] = fabsf(x[s][0]) - x[s][1];
        y[s][1] = x[s][2] > 0 ? x[s][3] : 0;
    }
    fill(&w1[0][0], HIDDEN * INPUTS, 0.1f); /* badly balanced on purpose */
    fill(&w2[0][0], OUTPUTS * HIDDEN, 2);

    for (int step = 1; step <= STEPS; step++) {
        double before, after;
        decay(&m1[0][0], HIDDEN * INPUTS);
        decay(mb, HIDDEN);
        decay(&m2[0][0], OUTPUTS * HIDDEN);
        loss(1);
        descend(&w1[0][0], &m1[0][0], HIDDEN * INPUTS);
        descend(b1, mb, HIDDEN);
        descend(&w2[0][0], &m2[0][0], OUTPUTS * HIDDEN);

        before = loss(0);
        check(en_session_step(session, NULL, NULL));
        after = loss(0);
        if (fabs(after - before) > 1e-4 * before) {
            fprintf(stderr, "step %d changed what the network computes: %g, then %g\n", step, before, after);
            return 1;
        }
        if (step == 1 || step % 50 == 0) {
            memset(&report, 0, sizeof report);
            report.size = sizeof report;
            check(en_session_report(session, &report));
            printf("step %3d: loss %.3f, objective %.2f, residual %.1e\n", step, after, report.objective_before, report.residual);
        }
    }

    /* What is wrong is told in words; nothing has happened then. */
    {
        const int64_t wrong[] = { HIDDEN, 3 };
        en_tensor tensor;
        en_status status;
        memset(&tensor, 0, sizeof tensor);
        tensor.size = sizeof tensor;
        tensor.device_kind = EN_CPU;
        tensor.data = w1;
        tensor.dimensions = 2;
        tensor.shape = wrong;
        status = en_session_bind(session, "w1", &tensor);
        printf("%s: %s\n", en_status_name(status), en_last_error());
    }

    check(en_session_free(session));
    return 0;
}
