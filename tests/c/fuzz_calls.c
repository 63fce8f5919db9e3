/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls of csrc/fbp.h that are made of random bytes, for libFuzzer: valid ones and others. Every array has
 * exactly the size that fbp.h asks for, in a block of its own, so that a sanitizer sees the first byte
 * that is read or written beyond. What is documented is asserted: which statuses a call may return, that a
 * failed one makes no net, that a row's prediction does not depend on others.
 *
 * What cannot be checked by any callee is always right here: pointers, and the sizes of what they point to.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fbp.h"

#define ASSERT(condition)                                \
    do {                                                 \
        if (!(condition)) {                              \
            fprintf(stderr, "not so: %s\n", #condition); \
            abort();                                     \
        }                                                \
    } while (0)
#define BIT(status) (1 << FBP_##status)
#define MOST_LAYERS 4
#define MOST_BLOCKS 64

static const uint8_t *at, *end;
static void *blocks[MOST_BLOCKS];
static int n_blocks;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A call ends well, or with one of these statuses. */
static void expect(fbp_status status, int allowed)
{
    ASSERT(status == FBP_OK || (allowed >> status & 1));
}

/* A number below n; 0 when the bytes are used up. */
static int64_t below(int64_t n)
{
    int64_t value = 0;
    for (int64_t most = 1; most < n && at < end; most *= 256)
        value = value * 256 + *at++;
    return n > 0 ? value % n : 0;
}

static int rarely(void) { return below(32) == 31; }

/* n items of some bytes, all zero, freed when the input is done with. */
static void *block(int64_t n, size_t bytes)
{
    ASSERT(n_blocks < MOST_BLOCKS);
    void *b = malloc((size_t)(n > 0 ? n : 0) * bytes + (n <= 0));
    ASSERT(b);
    memset(b, 0, (size_t)(n > 0 ? n : 0) * bytes);
    return blocks[n_blocks++] = b;
}

static double number(void)
{
    static const double odd[] = {NAN,    INFINITY, -INFINITY, 1e300, -1e300, 1e38,
                                 1e-310, -0.0,     1e-45,     1,     -1,     0.5};
    const int64_t kind = below(64);
    return kind < 12 ? odd[kind] : (double)(below(256) - 128) / 32;
}

/* A share in [0, 1), or rarely any number. */
static double share(void) { return rarely() ? number() : (double)below(256) / 256; }

static void *reals(int real, int64_t n)
{
    void *values = block(n, real == FBP_F32 ? 4 : 8);
    for (int64_t i = 0; i < n; i++) {
        const double value = number();
        if (real == FBP_F32)
            ((float *)values)[i] = (float)value;
        else
            ((double *)values)[i] = value;
    }
    return values;
}

static int64_t odd_size(void)
{
    static const int64_t odd[] = {0, -1, INT64_MAX, INT64_MIN, INT64_C(1) << 32, INT64_C(1) << 62};
    return odd[below(6)];
}

static int64_t some_size(int64_t most) { return rarely() ? odd_size() : below(most + 1); }

static int32_t some_id(int n) { return rarely() ? (int32_t)below(n + 3) - 1 : (int32_t)below(n); }

static fbp_spec some_spec(int64_t *units)
{
    fbp_spec spec = {.n_layers =
                         rarely() ? (int32_t)below(3) - 1 : 1 + (int32_t)below(MOST_LAYERS)};
    int32_t *activations = block(MOST_LAYERS, sizeof(int32_t));
    double *rates = block(MOST_LAYERS, sizeof(double));
    for (int l = 0; l <= spec.n_layers; l++) {
        units[l] = rarely() && rarely() ? odd_size() : 1 + below(40);
        if (l < MOST_LAYERS) activations[l] = some_id(FBP_N_ACTIVATIONS), rates[l] = share();
    }
    spec.units = units, spec.activations = activations;
    spec.loss = some_id(FBP_N_LOSSES), spec.solver = some_id(FBP_N_SOLVERS);
    spec.real = some_id(2), spec.precision = some_id(FBP_N_PRECISIONS);
    spec.isa = rarely() ? some_id(FBP_N_ISAS) : fbp_isa_best(spec.real == 1, 0);
    spec.n_threads = rarely() ? (int32_t)below(3) - 1 : 1 + (int32_t)below(2);
    spec.fixed_threads = (int32_t)below(2);
    spec.max_rows = some_size(40), spec.predict_rows = some_size(40);
    spec.clips = (int32_t)below(2);
    if (below(2)) {
        spec.max_row_nonzeros = some_size(50);
        spec.max_batch_nonzeros = some_size(500);
    }
    const int64_t n_out = spec.n_layers > 0 ? units[spec.n_layers] : 1;
    if (below(2) && n_out > 0 && n_out < 64) {
        double *parameters = block(n_out, sizeof(double));
        for (int64_t i = 0; i < n_out; i++)
            parameters[i] = share();
        spec.loss_parameters = parameters;
    }
    if (below(4) == 0) spec.dropout = rates;
    return spec;
}

/* Indices of any value, row pointers that mostly rise; the last one tells the truth. */
static void make_csr(fbp_matrix *x, int64_t n_cols)
{
    const int bits = below(2) ? 32 : 64;
    const int64_t n_values = below(120);
    int64_t last = 0;
    x->index_bits = rarely() ? 16 : bits;
    void *indptr = block(x->n_rows + 1, (size_t)bits / 8),
         *indices = block(n_values, (size_t)bits / 8);
    for (int64_t r = 0; r <= x->n_rows; r++) {
        last = r == x->n_rows ? n_values : r == 0 ? 0 : last + below(n_values - last + 1);
        const int64_t value = rarely() && r < x->n_rows ? odd_size() : last;
        if (bits == 32)
            ((int32_t *)indptr)[r] = (int32_t)value;
        else
            ((int64_t *)indptr)[r] = value;
    }
    for (int64_t i = 0; i < n_values; i++) {
        const int64_t column =
            rarely() && rarely() ? below(2) ? odd_size() : n_cols : below(n_cols);
        if (bits == 32)
            ((int32_t *)indices)[i] = (int32_t)column;
        else
            ((int64_t *)indices)[i] = column;
    }
    x->indptr = indptr, x->indices = indices;
    x->data = reals(x->real, n_values);
}

static fbp_matrix some_matrix(int64_t n_cols, int sparse)
{
    fbp_matrix x = {.n_rows = below(24), .n_cols = n_cols, .real = (int32_t)below(2)};
    if (sparse ? !rarely() : rarely())
        make_csr(&x, n_cols);
    else {
        x.ld = n_cols + (below(2) ? below(4) : 0);
        x.data = reals(x.real, x.n_rows > 0 ? (x.n_rows - 1) * x.ld + n_cols : 0);
        if (rarely()) x.ld = n_cols - 1;
    }
    if (rarely()) x.n_cols--;
    if (rarely()) x.real = 2;
    return x;
}

static fbp_data some_data(const fbp_spec *spec)
{
    const int64_t n_out = spec->units[spec->n_layers];
    fbp_data data = {.x = some_matrix(spec->units[0], spec->max_row_nonzeros > 0)};
    if (fbp_loss_takes_codes(spec->loss)) {
        int32_t *codes = block(data.x.n_rows, sizeof(int32_t));
        for (int64_t i = 0; i < data.x.n_rows; i++)
            codes[i] = (int32_t)(rarely() && rarely() ? below(n_out + 3) - 1 : below(n_out));
        data.y = codes;
    } else
        data.y = reals(spec->real, data.x.n_rows * n_out);
    if (below(4) == 0) {
        void *weights = reals(spec->real, data.x.n_rows);
        for (int64_t i = 0; i < data.x.n_rows && !rarely(); i++) {
            const double value = share();
            if (spec->real == FBP_F32)
                ((float *)weights)[i] = (float)value;
            else
                ((double *)weights)[i] = value;
        }
        data.weights = weights;
    }
    return data;
}

static const int64_t *some_order(int64_t n_rows, int64_t *n_order)
{
    *n_order = rarely() ? -1 : below(30);
    if (below(2)) {
        if (!rarely() && *n_order > n_rows) *n_order = n_rows;
        return NULL;
    }
    int64_t *order = block(*n_order, sizeof(int64_t));
    for (int64_t i = 0; i < *n_order; i++)
        order[i] = rarely() && rarely() ? below(2) ? odd_size() : n_rows : below(n_rows);
    return order;
}

static int stop_now(void *context) { return --*(int *)context < 0; }

static fbp_step some_step(int64_t n_order, int64_t batch_rows, int *polls)
{
    fbp_step step = {.alpha = share(), .learning_rate = share(), .momentum = share()};
    step.beta_1 = share(), step.beta_2 = share(), step.epsilon = 1e-8;
    step.weight_decay = below(4) ? 0 : share();
    step.max_grad_norm = below(4) ? 0 : number();
    step.label_smoothing = below(4) ? 0 : share();
    step.dropout_seed = (uint64_t)below(INT64_C(1) << 32);
    *polls = (int)below(4);
    if (below(2)) step.poll = stop_now, step.poll_context = polls;
    if (below(4) == 0 && batch_rows > 0 && n_order > 0)
        step.learning_rates = reals(FBP_F64, (n_order - 1) / batch_rows + 1);
    return step;
}

static int64_t n_parameters(const fbp_spec *spec)
{
    int64_t n = 0;
    for (int l = 0; l < spec->n_layers; l++)
        n += (spec->units[l] + 1) * spec->units[l + 1];
    return n;
}

static void train(fbp_net *net, const fbp_spec *spec)
{
    const fbp_data data = some_data(spec);
    int64_t n_order;
    int polls;
    const int64_t *order = some_order(data.x.n_rows, &n_order), batch_rows = some_size(40);
    const fbp_step step = some_step(n_order, batch_rows, &polls);
    fbp_progress progress = {0};
    const fbp_status status = fbp_train(net, &data, order, n_order, batch_rows, &step, &progress);
    expect(status, BIT(EINVAL) | BIT(ENONZEROS) | BIT(ESTOPPED));
    ASSERT(progress.n_rows >= 0 && (n_order < 0 || progress.n_rows <= n_order));
    if (status == FBP_OK) ASSERT(progress.n_rows == n_order);
}

static void loss_gradient(fbp_net *net, const fbp_spec *spec)
{
    const fbp_data data = some_data(spec);
    int polls;
    const fbp_step step = some_step(0, 0, &polls);
    double loss = 7;
    const size_t bytes = spec->real == FBP_F32 ? 4 : 8;
    void *grad = block(n_parameters(spec), bytes);
    void *delta = below(2) ? block(data.x.n_rows * spec->units[1], bytes) : NULL;
    const fbp_status status = fbp_loss_gradient(net, &data, &step, &loss, grad, delta);
    expect(status, BIT(EINVAL) | BIT(ENONZEROS) | BIT(ESTOPPED));
    if (status != FBP_OK) ASSERT(loss == 7);
}

static void losses(fbp_net *net, const fbp_spec *spec)
{
    const fbp_data data = some_data(spec);
    int64_t n_order;
    const int64_t *order = some_order(data.x.n_rows, &n_order);
    double *loss = block(n_order, sizeof(double));
    expect(fbp_predict_loss(net, &data, order, n_order, NULL, NULL, loss),
           BIT(EINVAL) | BIT(ENONZEROS) | BIT(ESTOPPED));
}

/* Same bits; a NaN's sign and payload are not promised. */
static int are_same(int real, const void *a, const void *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const double one = real == FBP_F32 ? ((const float *)a)[i] : ((const double *)a)[i],
                     other = real == FBP_F32 ? ((const float *)b)[i] : ((const double *)b)[i];
        if (memcmp(&one, &other, sizeof one) != 0 && !(isnan(one) && isnan(other))) return 0;
    }
    return 1;
}

/* Row r of dense predictions, made alone, has the bits that it has among all. */
static void predict_alone(fbp_net *net, const fbp_matrix *x, int64_t n_rows, int flags,
                          int out_real, int64_t width, const char *all)
{
    const int64_t r = below(n_rows);
    const size_t item = x->real == FBP_F32 ? 4 : 8,
                 row = (size_t)width * (out_real == FBP_F32 ? 4 : 8);
    fbp_matrix one = *x;
    one.n_rows = 1;
    one.data = (const char *)x->data + (size_t)(r * x->ld) * item;
    void *alone = block(width, out_real == FBP_F32 ? 4 : 8);
    ASSERT(fbp_predict(net, &one, flags, NULL, NULL, out_real, alone) == FBP_OK);
    ASSERT(are_same(out_real, alone, all + (size_t)r * row, width));
}

static void predict(fbp_net *net, const fbp_spec *spec)
{
    const fbp_matrix x = some_matrix(spec->units[0], spec->max_row_nonzeros > 0);
    const int flags = (int)below(8), hidden = flags & FBP_PREDICT_HIDDEN && spec->n_layers > 1;
    const int64_t width = spec->units[spec->n_layers - hidden];
    const int out_real = (int)below(2);
    int64_t n_order = x.n_rows;
    const int64_t *order = below(2) ? some_order(x.n_rows, &n_order) : NULL;
    int polls = (int)below(4);
    void *out = block(n_order * width, out_real == FBP_F32 ? 4 : 8);
    const fbp_status status = fbp_predict_order(net, &x, order, n_order, flags,
                                                below(2) ? stop_now : NULL, &polls, out_real, out);
    expect(status, BIT(EINVAL) | BIT(ENONZEROS) | BIT(ESTOPPED) | BIT(ENONFINITE));
    if (status == FBP_OK && !order && !x.indptr && n_order > 0)
        predict_alone(net, &x, n_order, flags, out_real, width, out);
}

/* The model is the caller's own arrays. */
static void predict_rows(const fbp_spec *spec)
{
    const void *coefs[MOST_LAYERS], *intercepts[MOST_LAYERS];
    for (int l = 0; l < spec->n_layers; l++) {
        coefs[l] = reals(spec->real, spec->units[l] * spec->units[l + 1]);
        intercepts[l] = reals(spec->real, spec->units[l + 1]);
    }
    const fbp_model model = {.spec = *spec, .coefs = coefs, .intercepts = intercepts};
    expect(fbp_model_check(&model), BIT(EINVAL) | BIT(ENOMEM) | BIT(EISA) | BIT(ENONFINITE));
    const fbp_matrix x = some_matrix(spec->units[0], 0);
    expect(fbp_check_rows(&x, spec->real, spec->isa, 1 + (int)below(2), NULL, NULL),
           BIT(EINVAL) | BIT(EISA) | BIT(ENONFINITE));
    if (fbp_spec_splits(spec)) return;
    const size_t bytes = fbp_predict_rows_bytes(&model);
    const int out_real = (int)below(2);
    void *out = block(x.n_rows * spec->units[spec->n_layers], out_real == FBP_F32 ? 4 : 8);
    void *scratch = block((int64_t)bytes, 1);
    expect(fbp_predict_rows(&model, &x, (int)below(2), scratch, out_real, out),
           BIT(EINVAL) | BIT(ENOMEM) | BIT(EISA) | BIT(ENONFINITE));
}

/* Parameters or solver state in, or out. */
static void move_layer(fbp_net *net, const fbp_spec *spec)
{
    const int layer = (int)below(spec->n_layers);
    const int moment = (int)below(3) - 1;
    const int64_t n = spec->units[layer] * spec->units[layer + 1];
    void *coef = reals(spec->real, n), *intercept = reals(spec->real, spec->units[layer + 1]);
    const int named = rarely() ? (int)below(40) - 20 : layer, out = (int)below(2);
    if (named < 0 || named >= spec->n_layers || spec->units[named] * spec->units[named + 1] <= n) {
        if (named >= 0 && named < spec->n_layers && spec->units[named + 1] > spec->units[layer + 1])
            return;
        if (moment < 0)
            expect(out ? fbp_net_get_layer(net, named, coef, intercept)
                       : fbp_net_set_layer(net, named, coef, intercept),
                   BIT(EINVAL));
        else
            expect(out ? fbp_net_get_moment(net, named, moment, coef, intercept)
                       : fbp_net_set_moment(net, named, moment, coef, intercept),
                   BIT(EINVAL));
    }
}

static void retire(fbp_net *net, const fbp_spec *spec)
{
    if (below(4) == 0) expect(fbp_net_retire(net), BIT(EINVAL));
    const int layer = (int)below(spec->n_layers + 2) - 1;
    expect(fbp_net_retire_layer(net, layer), BIT(EINVAL));
    expect(fbp_net_retire_moment(net, layer, (int)below(4) - 1), BIT(EINVAL));
    ASSERT(fbp_net_get_step_count(net) >= 0);
}

static void call(fbp_net *net, const fbp_spec *spec)
{
    switch (below(9)) {
    case 0:
    case 1:
        train(net, spec);
        break;
    case 2:
        loss_gradient(net, spec);
        break;
    case 3:
        losses(net, spec);
        break;
    case 4:
        predict(net, spec);
        break;
    case 5:
        predict_rows(spec);
        break;
    case 6:
        move_layer(net, spec);
        break;
    case 7:
        expect(fbp_net_set_step_count(net, some_size(99), share(), share()), BIT(EINVAL));
        break;
    default:
        if (rarely()) retire(net, spec);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t units[MOST_LAYERS + 1] = {0};
    at = data, end = data + size;
    const fbp_spec spec = some_spec(units);
    fbp_net *net = NULL;
    const fbp_status status = fbp_net_create(&spec, &net);
    expect(status, BIT(EINVAL) | BIT(ENOMEM) | BIT(EISA));
    ASSERT((status == FBP_OK) == (net != NULL));
    for (int l = 0; net && l < spec.n_layers; l++)
        ASSERT(fbp_net_set_layer(net, l, reals(spec.real, units[l] * units[l + 1]),
                                 reals(spec.real, units[l + 1])) == FBP_OK);
    for (int i = 0; net && i < 4 && at < end; i++)
        call(net, &spec);
    fbp_net_destroy(net);
    while (n_blocks > 0)
        free(blocks[--n_blocks]);
    return 0;
}
