/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A naive trainer in double, its losses in long double: what the core does, one loop per formula, in
 * plain arrays; and nets of the core with its parameters.
 */
#ifndef TRAINER_H
#define TRAINER_H

#include "activations.h"
#include "masks.h"
#include "problem.h"

#define MOST_MOMENTS 2

typedef struct {
    const problem *p;
    double *w[MOST_LAYERS], *b[MOST_LAYERS];   /* parameters */
    double *gw[MOST_LAYERS], *gb[MOST_LAYERS]; /* gradient */
    double *mw[MOST_MOMENTS][MOST_LAYERS], *mb[MOST_MOMENTS][MOST_LAYERS];
    /* Of one row; the last a is z, and o its prediction. */
    double *a[MOST_LAYERS + 1], *slope[MOST_LAYERS + 1], *delta[MOST_LAYERS + 1];
    exact *o;
    int64_t step_count;
    int64_t batch_row; /* from 1: the row's place in its batch; 0: a prediction drops nothing */
    int64_t nonzeros;  /* of X's fullest row, for nets for sparse X; 0: dense */
} trainer;

static inline trainer trainer_new(const problem *p)
{
    trainer t = {.p = p};
    for (int l = 0; l < p->n_layers; l++) {
        const int64_t n_w = p->units[l] * p->units[l + 1], n_b = p->units[l + 1];
        t.w[l] = new_doubles(n_w), t.b[l] = new_doubles(n_b);
        t.gw[l] = new_doubles(n_w), t.gb[l] = new_doubles(n_b);
        for (int m = 0; m < MOST_MOMENTS; m++)
            t.mw[m][l] = new_doubles(n_w), t.mb[m][l] = new_doubles(n_b);
        for (int64_t i = 0; i < n_w; i++)
            t.w[l][i] = rounded(p->real, random_between(-1, 1) / sqrt((double)p->units[l]));
        for (int64_t i = 0; i < n_b; i++)
            t.b[l][i] = rounded(p->real, random_between(-0.5, 0.5));
    }
    for (int l = 0; l <= p->n_layers; l++)
        t.a[l] = new_doubles(p->units[l]), t.slope[l] = new_doubles(p->units[l]),
        t.delta[l] = new_doubles(p->units[l]);
    t.o = allocate(sizeof(exact) * (size_t)p->units[p->n_layers]);
    return t;
}

static inline void trainer_free(trainer *t)
{
    for (int l = 0; l < t->p->n_layers; l++) {
        free(t->w[l]), free(t->b[l]), free(t->gw[l]), free(t->gb[l]);
        for (int m = 0; m < MOST_MOMENTS; m++)
            free(t->mw[m][l]), free(t->mb[m][l]);
    }
    for (int l = 0; l <= t->p->n_layers; l++)
        free(t->a[l]), free(t->slope[l]), free(t->delta[l]);
    free(t->o);
}

/* Dropout of layer l's outputs, and of their slopes. */
static inline void drop_row(trainer *t, int l)
{
    const problem *p = t->p;
    uint32_t key[2];
    if (t->batch_row == 0 || l + 1 == p->n_layers || p->dropout[l] == 0) return;
    mask_key(p->step.dropout_seed, t->step_count, l, key);
    for (int64_t j = 0; j < p->units[l + 1]; j++) {
        const double factor = mask_factor(p->dropout[l], key, t->batch_row - 1, j);
        t->a[l + 1][j] *= factor;
        t->slope[l + 1][j] *= factor;
    }
}

/* One row's prediction, left in o. */
static inline void trainer_forward(trainer *t, const double *x)
{
    const problem *p = t->p;
    const exact_activation *act = exactly(p->activation);
    memcpy(t->a[0], x, sizeof(double) * (size_t)p->units[0]);
    for (int l = 0; l < p->n_layers; l++) {
        for (int64_t j = 0; j < p->units[l + 1]; j++) {
            double z = t->b[l][j];
            for (int64_t i = 0; i < p->units[l]; i++)
                z += t->a[l][i] * t->w[l][i * p->units[l + 1] + j];
            t->a[l + 1][j] = l + 1 < p->n_layers ? (double)act->value((exact)z) : z;
            t->slope[l + 1][j] = (double)act->slope((exact)z);
        }
        drop_row(t, l);
    }
    exact_link(p->loss, p->units[p->n_layers], t->a[p->n_layers], t->o);
}

/* The row's loss; its delta goes into the last layer's. */
static inline double trainer_loss(trainer *t, const double *y, double w)
{
    const problem *p = t->p;
    const struct loss_oracle *oracle = oracle_of(p->loss);
    const int64_t n = p->units[p->n_layers];
    exact loss = 0;
    for (int64_t c = 0; c < n; c++) {
        const exact smoothing = (exact)p->step.label_smoothing;
        const loss_input in = {
            .z = (exact)t->a[p->n_layers][c],
            .o = t->o[c],
            .y = loss_smooths(p->loss) ? smoothed(p->loss, n, (exact)y[c], smoothing) : (exact)y[c],
            .parameter = (exact)loss_parameter(p->loss, c),
            .real = FBP_F64};
        const loss_value value = oracle->value(&in);
        t->delta[p->n_layers][c] = (double)value.slope * w;
        loss += value.loss;
    }
    return (double)(oracle->mean ? loss / (exact)n : loss) * w;
}

/* Forward and backward for one row of weight w, its gradient added to gw and gb. */
static inline double trainer_row(trainer *t, const double *x, const double *y, double w)
{
    const problem *p = t->p;
    const int last = p->n_layers;
    trainer_forward(t, x);
    const double loss = trainer_loss(t, y, w);
    for (int l = last - 1; l >= 0; l--) {
        const int64_t n_in = p->units[l], n_out = p->units[l + 1];
        for (int64_t j = 0; j < n_out; j++)
            t->gb[l][j] += t->delta[l + 1][j];
        for (int64_t i = 0; i < n_in; i++) {
            double back = 0;
            for (int64_t j = 0; j < n_out; j++) {
                t->gw[l][i * n_out + j] += t->a[l][i] * t->delta[l + 1][j];
                back += t->delta[l + 1][j] * t->w[l][i * n_out + j];
            }
            t->delta[l][i] = back * t->slope[l][i];
        }
    }
    return loss;
}

static inline void trainer_step_one(trainer *t, double *w, double g, double *m0, double *m1)
{
    const fbp_step *s = &t->p->step;
    const double count = (double)t->step_count;
    switch (t->p->solver) {
    case FBP_SOLVER_SGD:
        *m0 = s->momentum * *m0 - s->learning_rate * g;
        *w += *m0;
        break;
    case FBP_SOLVER_NESTEROV:
        *m0 = s->momentum * *m0 - s->learning_rate * g;
        *w += s->momentum * *m0 - s->learning_rate * g;
        break;
    case FBP_SOLVER_ADAM:
        *m0 = s->beta_1 * *m0 + (1 - s->beta_1) * g;
        *m1 = s->beta_2 * *m1 + (1 - s->beta_2) * g * g;
        *w -= s->learning_rate * sqrt(1 - pow(s->beta_2, count)) / (1 - pow(s->beta_1, count)) *
              *m0 / (sqrt(*m1) + s->epsilon);
        break;
    case FBP_SOLVER_GRADIENT:
        break;
    default: /* keeps no state */
        *w -= s->learning_rate * g;
    }
}

/* Shorten the gradient, of all parameters together, to a length. */
static inline void trainer_clip(trainer *t, double most)
{
    const problem *p = t->p;
    double sum = 0;
    for (int pass = 0; pass < 2; pass++) {
        const double factor = sqrt(sum) > most ? most / sqrt(sum) : 1;
        for (int l = 0; l < p->n_layers; l++) {
            for (int64_t i = 0; i < p->units[l] * p->units[l + 1]; i++)
                if (pass)
                    t->gw[l][i] *= factor;
                else
                    sum += t->gw[l][i] * t->gw[l][i];
            for (int64_t j = 0; j < p->units[l + 1]; j++)
                if (pass)
                    t->gb[l][j] *= factor;
                else
                    sum += t->gb[l][j] * t->gb[l][j];
        }
    }
}

/* Every parameter through the solver. */
static inline void trainer_update(trainer *t)
{
    const problem *p = t->p;
    const double keep = 1 - p->step.learning_rate * p->step.weight_decay;
    for (int l = 0; l < p->n_layers; l++) {
        for (int64_t i = 0; i < p->units[l] * p->units[l + 1]; i++) {
            if (p->solver != FBP_SOLVER_GRADIENT) t->w[l][i] *= keep;
            trainer_step_one(t, &t->w[l][i], t->gw[l][i], &t->mw[0][l][i], &t->mw[1][l][i]);
        }
        for (int64_t j = 0; j < p->units[l + 1]; j++)
            trainer_step_one(t, &t->b[l][j], t->gb[l][j], &t->mb[0][l][j], &t->mb[1][l][j]);
    }
}

/* Loss and gradient of the rows order[0 … n−1], then an update; nothing where they have no weight. */
static inline double trainer_batch(trainer *t, const samples *s, const int64_t *order, int64_t n)
{
    const problem *p = t->p;
    const int64_t n_in = p->units[0], n_out = p->units[p->n_layers];
    double loss = 0, sum = 0, squares = 0;
    for (int l = 0; l < p->n_layers; l++) {
        memset(t->gw[l], 0, sizeof(double) * (size_t)(p->units[l] * p->units[l + 1]));
        memset(t->gb[l], 0, sizeof(double) * (size_t)p->units[l + 1]);
    }
    for (int64_t r = 0; r < n; r++) {
        const int64_t row = order ? order[r] : r;
        sum += s->weights[row];
        t->batch_row = r + 1;
        loss += trainer_row(t, s->x + row * n_in, s->y + row * n_out, s->weights[row]);
    }
    t->batch_row = 0;
    if (sum == 0) return 0;
    t->step_count++;
    for (int l = 0; l < p->n_layers; l++) {
        for (int64_t i = 0; i < p->units[l] * p->units[l + 1]; i++) {
            squares += t->w[l][i] * t->w[l][i];
            t->gw[l][i] = (t->gw[l][i] + p->step.alpha * t->w[l][i]) / sum;
        }
        for (int64_t j = 0; j < p->units[l + 1]; j++)
            t->gb[l][j] /= sum;
    }
    if (p->step.max_grad_norm > 0) trainer_clip(t, p->step.max_grad_norm);
    trainer_update(t);
    return (loss + p->step.alpha / 2 * squares) / sum;
}

static inline int best_isa(const problem *p) { return fbp_isa_best(p->real, p->precision); }

/* A net of the core with the trainer's parameters; NULL (and a failed check) when there is none. */
static inline fbp_net *net_of(const trainer *t, int isa, int n_threads, int64_t max_rows)
{
    const problem *p = t->p;
    double *parameters = loss_parameters_new(p->loss, p->units[p->n_layers]);
    const int32_t activations[MOST_LAYERS] = {p->activation, p->activation, p->activation,
                                              p->activation};
    const fbp_spec spec = {.n_layers = p->n_layers,
                           .units = p->units,
                           .activations = activations,
                           .loss = p->loss,
                           .solver = p->solver,
                           .real = p->real,
                           .precision = p->precision,
                           .isa = isa,
                           .n_threads = n_threads,
                           .fixed_threads = 1,
                           .max_rows = max_rows,
                           .clips = p->step.max_grad_norm > 0,
                           .max_row_nonzeros = t->nonzeros,
                           .max_batch_nonzeros = t->nonzeros * max_rows,
                           .loss_parameters = parameters,
                           .dropout = p->solver == FBP_SOLVER_GRADIENT ? NULL : p->dropout};
    fbp_net *net;
    const fbp_status status = fbp_net_create(&spec, &net);
    free(parameters);
    if (!CHECK(status == FBP_OK, "no net")) return NULL;
    for (int l = 0; l < p->n_layers; l++) {
        void *w = as_reals(p->real, t->w[l], p->units[l] * p->units[l + 1]);
        void *b = as_reals(p->real, t->b[l], p->units[l + 1]);
        CHECK(fbp_net_set_layer(net, l, w, b) == FBP_OK, "set_layer");
        free(w), free(b);
    }
    return net;
}

/* All parameters: every W row-major, then every b. */
static inline int64_t n_parameters(const problem *p)
{
    int64_t n = 0;
    for (int l = 0; l < p->n_layers; l++)
        n += (p->units[l] + 1) * p->units[l + 1];
    return n;
}

static inline void net_parameters(const problem *p, const fbp_net *net, void *out)
{
    char *w = out, *b = out;
    for (int l = 0; l < p->n_layers; l++)
        b += (size_t)(p->units[l] * p->units[l + 1]) * real_bytes(p->real);
    for (int l = 0; l < p->n_layers; l++) {
        CHECK(fbp_net_get_layer(net, l, w, b) == FBP_OK, "get_layer");
        w += (size_t)(p->units[l] * p->units[l + 1]) * real_bytes(p->real);
        b += (size_t)p->units[l + 1] * real_bytes(p->real);
    }
}

/* The trainer's parameters (or gradient) in the same order. */
static inline void trainer_flatten(const problem *p, double *const *w, double *const *b,
                                   double *out)
{
    for (int l = 0; l < p->n_layers; l++)
        for (int64_t i = 0; i < p->units[l] * p->units[l + 1]; i++)
            *out++ = w[l][i];
    for (int l = 0; l < p->n_layers; l++)
        for (int64_t j = 0; j < p->units[l + 1]; j++)
            *out++ = b[l][j];
}

/* Rows in an order, some of them twice: the bits of the same rows of a whole prediction. */
static inline void check_order(const problem *p, fbp_net *net, const fbp_matrix *x,
                               const void *whole)
{
    const size_t row_bytes = (size_t)p->units[p->n_layers] * real_bytes(p->real);
    const int64_t n = p->n_rows + 3;
    int64_t *order = allocate(sizeof(int64_t) * (size_t)n);
    char *out = allocate((size_t)n * row_bytes);
    for (int64_t i = 0; i < n; i++)
        order[i] = (7 * i + 3) % p->n_rows; /* no random numbers: those of the problems stay */
    CHECK(fbp_predict_order(net, x, order, n, 0, NULL, NULL, p->real, out) == FBP_OK,
          "predict in an order");
    for (int64_t i = 0; i < n; i++)
        CHECK(memcmp(out + (size_t)i * row_bytes,
                     (const char *)whole + (size_t)order[i] * row_bytes, row_bytes) == 0,
              "row %lld in an order differs", (long long)order[i]);
    free(order), free(out);
}

/* Losses of rows, all and in an order: those that a step without penalty adds up, bit for bit. The net's
 * solver is the gradient. */
static inline void check_row_losses(const problem *p, fbp_net *net, const fbp_data *data)
{
    const int64_t n = p->n_rows, n_order = n + 3;
    int64_t *order = allocate(sizeof(int64_t) * (size_t)n_order);
    double *rows = new_doubles(n), *ordered = new_doubles(n_order), loss = NAN, sum = 0;
    void *unused = allocate((size_t)n_parameters(p) * real_bytes(p->real));
    fbp_data unweighted = *data;
    fbp_step step = p->step;
    unweighted.weights = NULL, step.alpha = step.label_smoothing = 0;
    for (int64_t i = 0; i < n_order; i++)
        order[i] = (7 * i + 3) % n;
    CHECK(fbp_loss_gradient(net, &unweighted, &step, &loss, unused, NULL) == FBP_OK, "gradient");
    CHECK(fbp_predict_loss(net, data, NULL, n, NULL, NULL, rows) == FBP_OK, "losses of all rows");
    CHECK(fbp_predict_loss(net, data, order, n_order, NULL, NULL, ordered) == FBP_OK,
          "losses in an order");
    for (int64_t i = 0; i < n; i++)
        sum += rows[i];
    const double mean = sum / (double)n * (double)n / (double)n; /* as a step and a call make it */
    CHECK(same_bits(mean, loss), "rows' losses make %.17g, the step's is %.17g", mean, loss);
    int64_t wrong = 0;
    for (int64_t i = 0; i < n_order; i++)
        wrong += !same_bits(ordered[i], rows[order[i]]);
    CHECK(wrong == 0, "%lld rows' losses differ in an order", (long long)wrong);
    free(order), free(rows), free(ordered), free(unused);
}

/* Largest difference, relative to the largest value. */
static inline double relative_difference(int real, const void *actual, const double *expected,
                                         int64_t n)
{
    double worst = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        const double difference = fabs(real_at(real, actual, i) - expected[i]);
        worst = isnan(difference) ? INFINITY : fmax(worst, difference);
        largest = fmax(largest, fabs(expected[i]));
    }
    return worst / largest;
}

#endif
