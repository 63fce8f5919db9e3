/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The activations by the book, for the oracles, found by their names in the registry.
 */
#ifndef ACTIVATIONS_H
#define ACTIVATIONS_H

#include <math.h>

#include "check.h"

typedef long double exact; /* the oracles' type: 64 bits of mantissa on x86 */

#define SELU_SCALE 1.0507009873554804934193349852946L
#define SELU_ALPHA 1.6732632423543772848170429916717L

static inline exact exact_logistic(exact z) { return 1 / (1 + expl(-z)); }

static inline exact exact_softplus(exact z) { return fmaxl(z, 0) + log1pl(expl(-fabsl(z))); }

static inline exact exact_density(exact z) { return expl(-z * z / 2) / sqrtl(8 * atanl(1)); }

static inline exact exact_cdf(exact z) { return erfcl(-z / sqrtl(2)) / 2; }

typedef struct {
    const char *name;
    int kinked;                                 /* act' has a jump at 0 */
    exact (*value)(exact z), (*slope)(exact z); /* act, act' */
    exact (*slope_from)(exact a); /* act' from act's output; NULL: not a function of it */
} exact_activation;

#define DEFINE(name, value, slope)                                 \
    static inline exact value_of_##name(exact z) { return value; } \
    static inline exact slope_of_##name(exact z) { return slope; }
#define DEFINE_FROM(name, value, slope, from) \
    DEFINE(name, value, slope)                \
    static inline exact slope_from_##name(exact a) { return from; }
DEFINE_FROM(identity, z, 1 + 0 * z, 1 + 0 * a)
DEFINE_FROM(logistic, exact_logistic(z), exact_logistic(z) * exact_logistic(-z), a *(1 - a))
DEFINE_FROM(tanh, tanhl(z), 1 - tanhl(z) * tanhl(z), 1 - a * a)
DEFINE_FROM(relu, z > 0 ? z : 0, z > 0, a > 0)
DEFINE_FROM(leaky_relu, z > 0 ? z : z / 100, z > 0 ? 1 : 0.01L, a > 0 ? 1 : 0.01L)
DEFINE_FROM(elu, z > 0 ? z : expm1l(z), z > 0 ? 1 : expl(z), a > 0 ? 1 : a + 1)
DEFINE_FROM(selu, SELU_SCALE *(z > 0 ? z : SELU_ALPHA * expm1l(z)),
            SELU_SCALE *(z > 0 ? 1 : SELU_ALPHA * expl(z)),
            a > 0 ? SELU_SCALE : a + SELU_SCALE * SELU_ALPHA)
DEFINE(gelu, z *exact_cdf(z), exact_cdf(z) + z * exact_density(z))
DEFINE(silu, z *exact_logistic(z), exact_logistic(z) * (1 + z * exact_logistic(-z)))
DEFINE(mish, z *tanhl(exact_softplus(z)),
       tanhl(exact_softplus(z)) + z * exact_logistic(z) / powl(coshl(exact_softplus(z)), 2))
DEFINE_FROM(softplus, exact_softplus(z), exact_logistic(z), -expm1l(-a))

/* What a test knows of an activation of the registry. */
static inline const exact_activation *exactly(int activation)
{
#define ROW(name, kinked)                                                  \
    {                                                                      \
#name, kinked, value_of_##name, slope_of_##name, slope_from_##name \
    }
#define STORED_ROW(name)                                 \
    {                                                    \
#name, 0, value_of_##name, slope_of_##name, NULL \
    }
    static const exact_activation known[] = {ROW(identity, 0), ROW(logistic, 0),   ROW(tanh, 0),
                                             ROW(relu, 1),     ROW(leaky_relu, 1), ROW(elu, 0),
                                             ROW(selu, 1),     STORED_ROW(gelu),   STORED_ROW(silu),
                                             STORED_ROW(mish), ROW(softplus, 0)};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, fbp_activation_name(activation)) == 0) return &known[i];
    CHECK(0, "no oracle for %s", fbp_activation_name(activation));
    return &known[0];
}

#endif
