/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The split of a training step by phase, on random data: compiled with the core's own sources and
 * -DFBP_TIME_PHASES by parts/phases.py.
 *
 *     phases FAMILY N_THREADS CODES ROWS BATCH N_IN HIDDEN … N_OUT
 *
 * CODES is 1 for classes, 0 for values. Prints JSON: microseconds of a step by phase, as thread 0 sees
 * them, from the fastest of some epochs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fbp.h"
#include "phases.h"

#define MOST_LAYERS 16
#define SECONDS 1.0

static const char *const names[FBP_N_PHASES] = {"prepare",  "gather",  "forward", "loss",
                                                "backward", "weights", "wait"};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *allocate(size_t bytes)
{
    void *p = malloc(bytes);
    if (!p) exit(2);
    return p;
}

static float *random_reals(int64_t n, float scale)
{
    float *values = allocate(sizeof(float) * (size_t)n);
    for (int64_t i = 0; i < n; i++)
        values[i] = scale * (float)((double)rand() / RAND_MAX - 0.5);
    return values;
}

static fbp_net *make_net(const fbp_spec *spec)
{
    fbp_net *net;
    if (fbp_net_create(spec, &net) != FBP_OK) exit(2);
    for (int l = 0; l < spec->n_layers; l++) {
        float *w = random_reals(spec->units[l] * spec->units[l + 1], 0.2f);
        float *b = random_reals(spec->units[l + 1], 0);
        fbp_net_set_layer(net, l, w, b);
        free(w);
        free(b);
    }
    return net;
}

static int64_t *shuffled(int64_t n)
{
    int64_t *order = allocate(sizeof(int64_t) * (size_t)n);
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t j = rand() % (i + 1), other = order[i];
        order[i] = order[j];
        order[j] = other;
    }
    return order;
}

/* Rows of random numbers, and classes or values to learn. */
static fbp_data make_data(const fbp_spec *spec, int64_t n_rows)
{
    const int64_t n_in = spec->units[0], n_out = spec->units[spec->n_layers];
    int32_t *classes = allocate(sizeof(int32_t) * (size_t)n_rows);
    for (int64_t i = 0; i < n_rows; i++)
        classes[i] = (int32_t)(rand() % n_out);
    return (fbp_data){
        .x = {.n_rows = n_rows,
              .n_cols = n_in,
              .real = FBP_F32,
              .data = random_reals(n_rows * n_in, 2),
              .ld = n_in},
        .y = spec->loss == FBP_LOSS_LOG_LOSS ? (void *)classes : random_reals(n_rows * n_out, 2),
    };
}

/* Epochs, for about a second; the fastest one's seconds, and its nanoseconds by phase. */
static double time_epochs(fbp_net *net, const fbp_data *data, int64_t batch, double *phases)
{
    const int64_t n_rows = data->x.n_rows;
    const fbp_step step = {
        .alpha = 1e-4, .learning_rate = 1e-3, .beta_1 = 0.9, .beta_2 = 0.999, .epsilon = 1e-8};
    int64_t *order = shuffled(n_rows);
    double least = 1e30;
    for (double start = now(); now() - start < SECONDS || least == 1e30;) {
        fbp_progress progress;
        memset(fbp_phase_nanoseconds, 0, sizeof fbp_phase_nanoseconds);
        const double begin = now();
        if (fbp_train(net, data, order, n_rows, batch, &step, &progress) != FBP_OK) exit(2);
        const double seconds = now() - begin;
        if (seconds >= least) continue;
        least = seconds;
        memcpy(phases, fbp_phase_nanoseconds, sizeof fbp_phase_nanoseconds);
    }
    free(order);
    return least;
}

int main(int argc, char **argv)
{
    if (argc < 8 || argc > 7 + MOST_LAYERS) return 2;
    int32_t activations[MOST_LAYERS];
    int64_t units[MOST_LAYERS + 1];
    const int64_t n_rows = atoll(argv[4]), batch = atoll(argv[5]);
    fbp_spec spec = {
        .n_layers = argc - 7,
        .units = units,
        .activations = activations,
        .loss = atoi(argv[3]) ? FBP_LOSS_LOG_LOSS : FBP_LOSS_SQUARED_ERROR,
        .solver = FBP_SOLVER_ADAM,
        .real = FBP_F32,
        .isa = -1,
        .n_threads = atoi(argv[2]),
        .fixed_threads = 1,
        .max_rows = batch,
    };
    for (int isa = 0; isa < FBP_N_ISAS; isa++)
        if (strcmp(fbp_isa_name(isa), argv[1]) == 0) spec.isa = isa;
    for (int l = 0; l <= spec.n_layers; l++)
        units[l] = atoll(argv[6 + l]);
    for (int l = 0; l < spec.n_layers; l++)
        activations[l] = FBP_ACT_RELU;
    fbp_net *net = make_net(&spec);
    const fbp_data data = make_data(&spec, n_rows);
    double phases[FBP_N_PHASES];
    const double seconds = time_epochs(net, &data, batch, phases);
    const double n_steps = (double)((n_rows + batch - 1) / batch);
    printf("{\"step\": %.3f", 1e6 * seconds / n_steps);
    for (int p = 0; p < FBP_N_PHASES; p++)
        printf(", \"%s\": %.3f", names[p], 1e-3 * phases[p] / n_steps);
    printf("}\n");
    fbp_net_destroy(net);
    return 0;
}
