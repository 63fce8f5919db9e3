/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Links and losses of every family, against an oracle in long double, and bitwise against ref where
 * the family is fused: the prediction, the delta and each row's loss, with and without weights, from
 * one output to several panels of them, and where probabilities round to 0 and 1.
 *
 * Rests on: exp, log and logistic (test_math).
 */
#include "kernels.h"

typedef struct {
    int64_t rows, n;
    int real, loss, weighted;
    double range; /* z in −range … range */
    double smoothing;
} problem;

static char label[240];

/* The sum over n outputs, and z − max z, whose rounding exp feels in full. */
static exact softmax_roundings(const problem *p) { return (exact)p->n + 8 + 2 * (exact)p->range; }

static void oracle(const problem *p, const double *z, const double *y, const double *weights,
                   double *prediction, double *delta, double *loss, double *tolerance[3])
{
    const exact u = (exact)unit_roundoff(p->real);
    const struct loss_oracle *loss_of = oracle_of(p->loss);
    const int codes = fbp_loss_takes_codes(p->loss);
    const exact roundings = codes ? softmax_roundings(p) : 8;
    const int links = strcmp(fbp_loss_link(p->loss), "identity") != 0;
    exact *o = malloc(sizeof(exact) * (size_t)p->n);
    for (int64_t r = 0; r < p->rows; r++) {
        const exact w = weights ? (exact)weights[r] : 1;
        exact sum = 0, size = 0, error = 0;
        exact_link(p->loss, p->n, z + r * p->n, o);
        for (int64_t c = 0; c < p->n; c++) {
            const int64_t at = r * p->n + c;
            const exact t = loss_smooths(p->loss)
                                ? smoothed(p->loss, p->n, (exact)y[at], (exact)p->smoothing)
                                : (exact)y[at];
            const loss_input in = {(exact)z[at], o[c],     t, (exact)loss_parameter(p->loss, c),
                                   p->real,      roundings};
            const loss_value value = loss_of->value(&in);
            prediction[at] = (double)o[c];
            delta[at] = (double)(value.slope * w);
            tolerance[0][at] = links ? (double)(roundings * u * o[c]) + 1e-37 : 0;
            tolerance[1][at] =
                (double)((value.slope_error + 2 * fabsl(value.slope)) * u * w + 1e-37L);
            sum += value.loss, size += fabsl(value.loss), error += value.loss_error * u;
        }
        const exact terms = loss_of->mean ? (exact)p->n : 1;
        loss[r] = (double)(sum / terms * w);
        tolerance[2][r] = (double)((error + 10 * u * size) / terms * w);
    }
    free(o);
}

/* The family's prediction (link), then its delta and rows' losses. */
static void run(const family *f, const problem *p, const double *z, const double *y,
                const double *weights, double *prediction, double *delta, double *loss)
{
    const fbp_kernels *k = f->table;
    const int64_t step = p->n == 1 ? 1 : fbp_round_up(p->n, k->lanes);
    const int codes = fbp_loss_takes_codes(p->loss);
    buffer w = buffer_new(p->real, p->rows), row_loss = buffer_new(FBP_F64, p->rows);
    buffer targets = codes ? buffer_of_bytes((size_t)p->rows * sizeof(int32_t))
                           : buffer_new(p->real, (p->rows - 1) * step + step);
    buffer parameters = buffer_new(p->real, fbp_round_up(p->n, k->lanes));
    for (int64_t c = 0; c < parameters.n; c++)
        put(&parameters, c, c < p->n || p->n == 1 ? loss_parameter(p->loss, p->n == 1 ? 0 : c) : 0);
    const fbp_targets against = {.y = targets.data,
                                 .weights = weights ? w.data : NULL,
                                 .parameters =
                                     loss_has_parameters(p->loss) ? parameters.data : NULL,
                                 .label_smoothing = p->smoothing};
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
            k->loss[p->loss](p->rows, p->n, own, panel.stride, &against, row_loss.data);
        if (p->n > 1) panels_read(&panel, p->rows, out);
        for (int64_t r = 0; p->n == 1 && r < p->rows; r++)
            out[r] = get(&column, r);
        buffer_free(&panel.b);
        buffer_free(&column);
    }
    for (int64_t r = 0; r < p->rows; r++)
        loss[r] = get(&row_loss, r);
    buffer_free(&w), buffer_free(&targets), buffer_free(&row_loss), buffer_free(&parameters);
}

static double *targets_of(const problem *p)
{
    const int64_t size = p->rows * p->n;
    double *y = matrix_new(size);
    for (int64_t i = 0; i < size; i++)
        y[i] = rounded(p->real, random_target(p->loss));
    for (int64_t r = 0; r < p->rows && fbp_loss_takes_codes(p->loss); r++)
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
        /* here and there just the target, where some losses have a kink */
        z[i] = i % 7 == 3 && oracle_of(p->loss)->targets == ANY ? y[i]
                                                                : rounded(p->real, z[i] * p->range);
    for (int i = 0; i < 3; i++) {
        expected[i] = matrix_new(size), tolerance[i] = matrix_new(size);
        result[i] = matrix_new(size), ref[i] = matrix_new(size);
    }
    oracle(p, z, y, p->weighted ? weights : NULL, expected[0], expected[1], expected[2], tolerance);
    for (int f = 0; f < n_families; f++) {
        double **out = f == 0 ? ref : result;
        run(&families[f], p, z, y, p->weighted ? weights : NULL, out[0], out[1], out[2]);
        for (int i = 0; i < 3; i++) {
            snprintf(label, sizeof label, "%s of %s %s %s, %lld x %lld, |z| < %g, smoothing %g",
                     parts[i], fbp_loss_name(p->loss), fbp_isa_name(families[f].isa),
                     real_name(p->real), (long long)p->rows, (long long)p->n, p->range,
                     p->smoothing);
            check_close(label, sizes[i], out[i], expected[i], tolerance[i]);
            if (families[f].table->fused) check_same(label, sizes[i], out[i], ref[i]);
        }
    }
    for (int i = 0; i < 3; i++)
        free(expected[i]), free(tolerance[i]), free(result[i]), free(ref[i]);
    free(z), free(y), free(weights);
}

/* Outputs that no real can hold the squares or exponentials of: no loss or slope becomes nan but where it
 * did so before there were others (poisson: ∞ − ∞). */
static void test_extremes(int real, int loss)
{
    static const double sizes[] = {50, 200, 1e4, 1e30, 3e38};
    const struct loss_oracle *loss_of = oracle_of(loss);
    family families[FBP_N_ISAS];
    const int n_families = families_of(real, families);
    if (loss_of->targets == COUNTS || fbp_loss_takes_codes(loss)) return;
    for (int f = 0; f < n_families; f++)
        for (int i = 0; i < 10; i++) {
            const problem p = {1, 1, real, loss, 0, 0, 0};
            const double z = rounded(real, i % 2 ? -sizes[i / 2] : sizes[i / 2]);
            const double y = loss_of->targets == ZERO_ONE ? i % 2 : 2;
            double prediction, delta, value;
            run(&families[f], &p, &z, &y, NULL, &prediction, &delta, &value);
            snprintf(label, sizeof label, "%s of %s %s at %g", fbp_loss_name(loss),
                     fbp_isa_name(families[f].isa), real_name(real), z);
            CHECK(!isnan(value) && value >= 0, "%s: loss %g", label, value);
            CHECK(!isnan(delta) && (delta == 0 || (delta > 0) == (z > 0)), "%s: delta %g", label,
                  delta);
        }
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
                    problem p = {1 + random_below(40), outputs[i], real, loss, weighted, 5, 0};
                    test_loss(&p);
                    /* of two classes, the right one is often certain: a loss of 0 */
                    p.range = fbp_loss_takes_codes(loss) && p.n == 2 ? 20 : 80;
                    if (oracle_of(loss)->targets == ANY) p.range = 1e15;
                    test_loss(&p);
                    for (p.smoothing = 0.1; loss_smooths(loss) && p.smoothing < 1;
                         p.smoothing += 0.8) {
                        p.smoothing = rounded(real, p.smoothing);
                        test_loss(&p);
                    }
                }
            test_extremes(real, loss);
        }
    return check_done("losses");
}
