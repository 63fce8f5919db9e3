/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A problem to train on, its samples drawn at random: as doubles, and as the core takes them.
 */
#ifndef PROBLEM_H
#define PROBLEM_H

#include "losses.h"

#define MOST_LAYERS 4

typedef struct {
    int n_layers, activation, loss, solver, real, weighted;
    int64_t units[MOST_LAYERS + 1];
    int64_t n_rows;
    fbp_step step;
    int precision;
    double dropout[MOST_LAYERS]; /* rates of the hidden layers */
} problem;

/* X [n × units[0]], y [n × n_out] (class codes one-hot), weights [n]; and as the core takes them. */
typedef struct {
    double *x, *y, *weights;
    void *x_real, *y_real, *weights_real;
    int32_t *codes;
} samples;

static const fbp_step usual = {.alpha = 0.1,
                               .learning_rate = 0.01,
                               .momentum = 0.9,
                               .beta_1 = 0.9,
                               .beta_2 = 0.999,
                               .epsilon = 1e-3,
                               .dropout_seed = UINT64_C(0x123456789abcdef0)};

static inline problem usual_problem(int loss, int solver)
{
    return (problem){.n_layers = 2,
                     .activation = FBP_ACT_TANH,
                     .loss = loss,
                     .solver = solver,
                     .real = FBP_F64,
                     .units = {20, 40, 3},
                     .n_rows = 100,
                     .step = usual};
}

static inline void *allocate(size_t bytes)
{
    void *p = calloc(bytes ? bytes : 1, 1);
    if (!p) {
        perror("calloc");
        exit(2);
    }
    return p;
}

static inline double *new_doubles(int64_t n) { return allocate(sizeof(double) * (size_t)n); }

/* A copy of doubles as reals of a type. */
static inline void *as_reals(int real, const double *values, int64_t n)
{
    void *out = allocate(real_bytes(real) * (size_t)n);
    for (int64_t i = 0; i < n; i++)
        if (real == FBP_F32)
            ((float *)out)[i] = (float)values[i];
        else
            ((double *)out)[i] = values[i];
    return out;
}

static inline double real_at(int real, const void *values, int64_t i)
{
    return real == FBP_F32 ? (double)((const float *)values)[i] : ((const double *)values)[i];
}

static inline samples samples_new(const problem *p)
{
    const int64_t n_in = p->units[0], n_out = p->units[p->n_layers];
    samples s = {new_doubles(p->n_rows * n_in),
                 new_doubles(p->n_rows * n_out),
                 new_doubles(p->n_rows),
                 NULL,
                 NULL,
                 NULL,
                 allocate(sizeof(int32_t) * (size_t)p->n_rows)};
    for (int64_t i = 0; i < p->n_rows * n_in; i++)
        s.x[i] = rounded(p->real, random_between(-2, 2));
    for (int64_t i = 0; i < p->n_rows * n_out; i++)
        s.y[i] = rounded(p->real, random_target(p->loss));
    for (int64_t r = 0; r < p->n_rows; r++) {
        s.codes[r] = (int32_t)random_below(n_out);
        if (fbp_loss_takes_codes(p->loss)) s.y[r * n_out + s.codes[r]] = 1;
        /* Some are zero, but none nearly: in a batch alone, it would make the penalty's step a leap. */
        const double weight = p->weighted ? random_between(-0.2, 2) : 1;
        s.weights[r] = weight < 0.1 ? 0 : rounded(p->real, weight);
    }
    s.x_real = as_reals(p->real, s.x, p->n_rows * n_in);
    s.y_real = as_reals(p->real, s.y, p->n_rows * n_out);
    s.weights_real = as_reals(p->real, s.weights, p->n_rows);
    return s;
}

static inline void samples_free(samples *s)
{
    free(s->x), free(s->y), free(s->weights), free(s->codes);
    free(s->x_real), free(s->y_real), free(s->weights_real);
}

static inline fbp_data data_of(const problem *p, const samples *s)
{
    return (fbp_data){
        .x = {.n_rows = p->n_rows,
              .n_cols = p->units[0],
              .real = p->real,
              .data = s->x_real,
              .ld = p->units[0]},
        .y = fbp_loss_takes_codes(p->loss) ? (const void *)s->codes : s->y_real,
        .weights = p->weighted ? s->weights_real : NULL,
    };
}

#endif
