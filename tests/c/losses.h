/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What each loss is, by its name and for one output, in long double: targets to draw for it, its value,
 * dL/dz, and how far rounding may move them. A loss is tested as soon as the registry has it.
 */
#ifndef LOSSES_H
#define LOSSES_H

#include "activations.h" /* exact */

#define LOSS_EPSILON 0x1p-52L /* probabilities are clipped to ε … 1 − ε */

/* One output: z, its prediction o, the target y, the loss's parameter; and where it is computed. */
typedef struct {
    exact z, o, y, parameter;
    int real;
    exact roundings; /* that a softmax's o feels, in units */
} loss_input;

/* Errors in units of roundoff, beside what sums of terms lose. */
typedef struct {
    exact loss, slope, loss_error, slope_error;
} loss_value;

typedef enum { ANY, ZERO_ONE, CLASSES, COUNTS, ABOVE_ZERO } loss_targets;

static inline exact clipped(exact p) { return fminl(fmaxl(p, LOSS_EPSILON), 1 - LOSS_EPSILON); }

static inline loss_value exact_squared_error(const loss_input *in)
{
    const exact d = in->o - in->y;
    return (loss_value){d * d / 2, d, 0, 2 * fabsl(d)};
}

static inline loss_value exact_absolute_error(const loss_input *in)
{
    const exact d = in->o - in->y;
    return (loss_value){fabsl(d), d > 0 ? 1 : d < 0 ? -1 : 0, 0, 0};
}

static inline loss_value exact_huber(const loss_input *in)
{
    const exact d = in->o - in->y, size = fabsl(d), limit = in->parameter;
    if (size <= limit) return (loss_value){d * d / 2, d, 0, 2 * size};
    return (loss_value){limit * (size - limit / 2), d > 0 ? limit : -limit, 0, 0};
}

static inline loss_value exact_quantile(const loss_input *in)
{
    const exact d = in->o - in->y, level = in->parameter;
    const exact slope = d > 0 ? 1 - level : d < 0 ? -level : 0;
    return (loss_value){d * slope, slope, 0, 0};
}

static inline loss_value exact_poisson(const loss_input *in)
{
    const exact o = in->o, y = in->y;
    return (loss_value){(y > 0 ? y * logl(y / o) : 0) - y + o, o - y, 8 * (1 + y + o), 8 * (o + y)};
}

/* z − ln y is added to what remains of y/o − 1. */
static inline loss_value exact_gamma(const loss_input *in)
{
    const exact ratio = in->y / in->o, log_y = logl(in->y);
    return (loss_value){in->z - log_y + ratio - 1, 1 - ratio,
                        8 * (1 + fabsl(in->z) + fabsl(log_y) + ratio), 8 * (1 + ratio)};
}

static inline loss_value exact_binary_log_loss(const loss_input *in)
{
    /* In float32, 1 − p is logistic(−z); in float64 it is subtracted, and feels p's rounding. */
    const exact p = clipped(in->o), y = in->y;
    const exact q = in->real == FBP_F32 ? clipped(1 / (1 + expl(in->z))) : 1 - p;
    const exact error = 8 + (in->real == FBP_F64 ? (1 - y) * 4 / (1 - p) : 0);
    return (loss_value){-y * logl(p) - (1 - y) * logl(q), in->o - y, error, 8 * (in->o + y)};
}

static inline loss_value exact_log_loss(const loss_input *in)
{
    return (loss_value){-in->y * logl(clipped(in->o)), in->o - in->y, in->y * in->roundings,
                        in->roundings * (in->o + in->y)};
}

static const struct loss_oracle {
    const char *name;
    loss_targets targets;
    int mean; /* over outputs, of a row's loss, but not of its slopes */
    loss_value (*value)(const loss_input *in);
} loss_oracles[] = {
    {"squared_error", ANY, 1, exact_squared_error},
    {"absolute_error", ANY, 0, exact_absolute_error},
    {"huber", ANY, 0, exact_huber},
    {"quantile", ANY, 0, exact_quantile},
    {"poisson", COUNTS, 0, exact_poisson},
    {"gamma", ABOVE_ZERO, 0, exact_gamma},
    {"binary_log_loss", ZERO_ONE, 0, exact_binary_log_loss},
    {"log_loss", CLASSES, 0, exact_log_loss},
};

static inline const struct loss_oracle *oracle_of(int loss)
{
    for (size_t i = 0; i < sizeof loss_oracles / sizeof *loss_oracles; i++)
        if (strcmp(loss_oracles[i].name, fbp_loss_name(loss)) == 0) return &loss_oracles[i];
    fprintf(stderr, "losses.h does not say what %s is\n", fbp_loss_name(loss));
    exit(2);
}

/* A target as the oracle wants it; those of classes are set by the caller, from zeros. */
static inline double random_target(int loss)
{
    switch (oracle_of(loss)->targets) {
    case ANY:
        return random_between(-1, 1);
    case ZERO_ONE:
        return (double)random_below(2);
    case COUNTS:
        return (double)random_below(5);
    case ABOVE_ZERO:
        return random_between(0.05, 4);
    default:
        return 0;
    }
}

/* The parameter of output c, a number that every real type holds; 0 where the loss has none. */
static inline double loss_parameter(int loss, int64_t c)
{
    switch (fbp_loss_parameter(loss)) {
    case FBP_PARAMETER_POSITIVE:
        return 0.25 * (double)(1 + c % 4);
    case FBP_PARAMETER_LEVEL:
        return 0.125 * (double)(1 + c % 7);
    default:
        return 0;
    }
}

static inline int loss_has_parameters(int loss) { return loss_parameter(loss, 0) > 0; }

/* n of them, malloc'ed; NULL where the loss has none. */
static inline double *loss_parameters_new(int loss, int64_t n)
{
    if (!loss_has_parameters(loss)) return NULL;
    double *parameters = malloc(sizeof(double) * (size_t)n);
    for (int64_t c = 0; parameters && c < n; c++)
        parameters[c] = loss_parameter(loss, c);
    return parameters;
}

static inline int loss_smooths(int loss)
{
    return fbp_loss_parameter(loss) == FBP_PARAMETER_SMOOTHING;
}

/* The target that a smoothed one stands for. */
static inline exact smoothed(int loss, int64_t n, exact y, exact smoothing)
{
    return y * (1 - smoothing) + smoothing / (fbp_loss_takes_codes(loss) ? (exact)n : 2);
}

/* Predictions of a row by the loss's link. */
static inline void exact_link(int loss, int64_t n, const double *z, exact *o)
{
    const char *link = fbp_loss_link(loss);
    exact largest = (exact)z[0], sum = 0;
    for (int64_t c = 0; c < n; c++)
        largest = fmaxl(largest, (exact)z[c]);
    for (int64_t c = 0; c < n; c++)
        if (strcmp(link, "logistic") == 0)
            o[c] = 1 / (1 + expl(-(exact)z[c]));
        else if (strcmp(link, "exp") == 0)
            o[c] = expl((exact)z[c]);
        else if (strcmp(link, "softmax") == 0)
            sum += o[c] = expl((exact)z[c] - largest);
        else
            o[c] = (exact)z[c];
    for (int64_t c = 0; c < n && sum > 0; c++)
        o[c] /= sum;
}

#endif
