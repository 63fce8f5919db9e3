/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Links and losses of every family, against an oracle in long double, and bitwise against ref where
 * the family is fused: the prediction, the delta and each row's loss, with and without weights, from
 * one output to several panels of them, and where probabilities round to 0 and 1.
 *
 * Rests on: exp, log and logistic (test_math).
 */
#include "kernels.h"

#define EPSILON 0x1p-52L

typedef struct {
    int64_t rows, n;
    int real, loss, weighted;
    double range; /* z in −range … range */
} problem;

static char label[200];

/* Predictions of one row. */
static void exact_link(int loss, int64_t n, const double *z, exact *o)
{
    exact largest = (exact)z[0], sum = 0;
    for (int64_t c = 0; c < n; c++)
        largest = fmaxl(largest, (exact)z[c]);
    for (int64_t c = 0; c < n; c++)
        switch (loss) {
        case FBP_LOSS_BINARY_LOG_LOSS:
            o[c] = 1 / (1 + expl(-(exact)z[c]));
            break;
        case FBP_LOSS_POISSON:
            o[c] = expl((exact)z[c]);
            break;
        case FBP_LOSS_LOG_LOSS:
            sum += o[c] = expl((exact)z[c] - largest);
            break;
        default:
            o[c] = (exact)z[c];
        }
    for (int64_t c = 0; c < n && loss == FBP_LOSS_LOG_LOSS; c++)
        o[c] /= sum;
}

static exact clipped(exact p) { return fminl(fmaxl(p, EPSILON), 1 - EPSILON); }

/* The sum over n outputs, and z − max z, whose rounding exp feels in full. */
static exact softmax_roundings(const problem *p) { return (exact)p->n + 8 + 2 * (exact)p->range; }

/* One output's share of the row's loss, and what rounding of o may do to it. */
static exact exact_term(const problem *p, exact o, exact z, exact y, exact *error)
{
    const exact u = (exact)unit_roundoff(p->real);
    switch (p->loss) {
    case FBP_LOSS_BINARY_LOG_LOSS: {
        /* In float32, 1 − p is logistic(−z); in float64 it is subtracted, and feels p's rounding. */
        const exact q = p->real == FBP_F32 ? 1 / (1 + expl(z)) : 1 - clipped(o);
        *error = 8 * u + (p->real == FBP_F64 ? (1 - y) * 4 * u / (1 - clipped(o)) : 0);
        return -y * logl(clipped(o)) - (1 - y) * logl(clipped(q));
    }
    case FBP_LOSS_LOG_LOSS:
        *error = y * softmax_roundings(p) * u;
        return -y * logl(clipped(o));
    case FBP_LOSS_POISSON:
        *error = 8 * u * (1 + y + o);
        return (y > 0 ? y * logl(y / o) : 0) - y + o;
    default:
        *error = 0;
        return (y - o) * (y - o) / 2 / (exact)p->n;
    }
}

static void oracle(const problem *p, const double *z, const double *y, const double *weights,
                   double *prediction, double *delta, double *loss, double *tolerance[3])
{
    const exact u = (exact)unit_roundoff(p->real);
    exact *o = malloc(sizeof(exact) * (size_t)p->n);
    for (int64_t r = 0; r < p->rows; r++) {
        const exact w = weights ? (exact)weights[r] : 1;
        exact sum = 0, size = 0, error = 0;
        exact_link(p->loss, p->n, z + r * p->n, o);
        for (int64_t c = 0; c < p->n; c++) {
            const int64_t at = r * p->n + c;
            exact own;
            const exact term = exact_term(p, o[c], (exact)z[at], (exact)y[at], &own);
            prediction[at] = (double)o[c];
            delta[at] = (double)((o[c] - (exact)y[at]) * w);
            const exact terms = p->loss == FBP_LOSS_LOG_LOSS ? softmax_roundings(p) : 8;
            tolerance[0][at] =
                p->loss == FBP_LOSS_SQUARED_ERROR ? 0 : (double)(terms * u * o[c]) + 1e-37;
            tolerance[1][at] =
                (double)((terms * u * (fabsl(o[c]) + fabsl((exact)y[at])) + 1e-37L) * w);
            sum += term, size += fabsl(term), error += own;
        }
        loss[r] = (double)(sum * w);
        tolerance[2][r] = (double)((error + 10 * u * size) * w);
    }
    free(o);
}

/* The family's prediction (link), then its delta and rows' losses. */
static void run(const family *f, const problem *p, const double *z, const double *y,
                const double *weights, double *prediction, double *delta, double *loss)
{
    const fbp_kernels *k = f->table;
    const int64_t step = p->n == 1 ? 1 : fbp_round_up(p->n, k->lanes);
    const int codes = p->loss == FBP_LOSS_LOG_LOSS;
    buffer w = buffer_new(p->real, p->rows), row_loss = buffer_new(FBP_F64, p->rows);
    buffer targets = codes ? buffer_of_bytes((size_t)p->rows * sizeof(int32_t))
                           : buffer_new(p->real, (p->rows - 1) * step + step);
    for (int64_t r = 0; r < p->rows; r++) {
        put(&w, r, weights ? weights[r] : 1);
        for (int64_t c = 0; c < p->n; c++)
            if (!codes)
                put(&targets, r * step + c, y[r * p->n + c]);
            else if (y[r * p->n + c] == 1)
                ((int32_t *)targets.data)[r] = (int32_t)c;
    }
    for (int pass = 0; pass < 2; pass++) {
        double *out = pass == 0 ? prediction : delta;
        panels panel = panels_new(k, p->real, p->rows, p->n);
        buffer column = buffer_new(p->real, p->rows);
        panels_fill(&panel, z, p->rows, 0);
        for (int64_t r = 0; r < p->rows; r++)
            put(&column, r, z[r * p->n]);
        void *own = p->n == 1 ? column.data : panel.b.data;
        if (pass == 0)
            k->link[p->loss](p->rows, p->n, own, panel.stride);
        else
            k->loss[p->loss](p->rows, p->n, own, panel.stride, targets.data,
                             weights ? w.data : NULL, row_loss.data);
        if (p->n > 1) panels_read(&panel, p->rows, out);
        for (int64_t r = 0; p->n == 1 && r < p->rows; r++)
            out[r] = get(&column, r);
        buffer_free(&panel.b);
        buffer_free(&column);
    }
    for (int64_t r = 0; r < p->rows; r++)
        loss[r] = get(&row_loss, r);
    buffer_free(&w), buffer_free(&targets), buffer_free(&row_loss);
}

static double *targets_of(const problem *p)
{
    const int64_t size = p->rows * p->n;
    double *y = matrix_random(p->real, size, REALS);
    for (int64_t i = 0; i < size; i++)
        if (p->loss == FBP_LOSS_POISSON)
            y[i] = (double)random_below(5);
        else if (p->loss != FBP_LOSS_SQUARED_ERROR)
            y[i] = p->loss == FBP_LOSS_LOG_LOSS ? 0 : (double)random_below(2);
    for (int64_t r = 0; r < p->rows && p->loss == FBP_LOSS_LOG_LOSS; r++)
        y[r * p->n + random_below(p->n)] = 1;
    return y;
}

static void test_loss(const problem *p)
{
    static const char *const parts[] = {"prediction", "delta", "loss"};
    family families[FBP_N_ISAS];
    const int n_families = families_of(p->real, families);
    const int64_t size = p->rows * p->n, sizes[] = {size, size, p->rows};
    double *z = matrix_random(p->real, size, REALS), *y = targets_of(p);
    double *weights = matrix_random(p->real, p->rows, UNIT);
    double *expected[3], *tolerance[3], *result[3], *ref[3];
    for (int64_t i = 0; i < size; i++)
        z[i] = rounded(p->real, z[i] * p->range);
    for (int i = 0; i < 3; i++) {
        expected[i] = matrix_new(size), tolerance[i] = matrix_new(size);
        result[i] = matrix_new(size), ref[i] = matrix_new(size);
    }
    oracle(p, z, y, p->weighted ? weights : NULL, expected[0], expected[1], expected[2], tolerance);
    for (int f = 0; f < n_families; f++) {
        double **out = f == 0 ? ref : result;
        run(&families[f], p, z, y, p->weighted ? weights : NULL, out[0], out[1], out[2]);
        for (int i = 0; i < 3; i++) {
            snprintf(label, sizeof label, "%s of %s %s %s, %lld x %lld, |z| < %g", parts[i],
                     fbp_loss_name(p->loss), fbp_isa_name(families[f].isa), real_name(p->real),
                     (long long)p->rows, (long long)p->n, p->range);
            check_close(label, sizes[i], out[i], expected[i], tolerance[i]);
            if (families[f].table->fused) check_same(label, sizes[i], out[i], ref[i]);
        }
    }
    for (int i = 0; i < 3; i++)
        free(expected[i]), free(tolerance[i]), free(result[i]), free(ref[i]);
    free(z), free(y), free(weights);
}

int main(void)
{
    flush_subnormals();
    for (int real = FBP_F32; real <= FBP_F64; real++)
        for (int loss = 0; loss < FBP_N_LOSSES; loss++) {
            static const int64_t outputs[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 48, 49, 100};
            for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++)
                for (int weighted = 0; weighted < 2; weighted++) {
                    if (outputs[i] == 1 && fbp_loss_takes_codes(loss)) continue;
                    problem p = {1 + random_below(40), outputs[i], real, loss, weighted, 5};
                    test_loss(&p);
                    p.range = 80;
                    if (loss != FBP_LOSS_SQUARED_ERROR) test_loss(&p);
                }
        }
    return check_done("losses");
}
