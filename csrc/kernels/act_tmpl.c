/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Activations: a = <name>_forward(z), and <name>_backward(delta, a) = delta · act'(z), the derivative
 * written from the output a. A NaN in z stays a NaN in a.
 */

static ALWAYS_INLINE vf identity_forward(vf z) { return z; }

static ALWAYS_INLINE vf identity_backward(vf delta, vf a)
{
    (void)a;
    return delta;
}

static ALWAYS_INLINE vf logistic_forward(vf z) { return vf_logistic(z); }

static ALWAYS_INLINE vf logistic_backward(vf delta, vf a)
{
    return vf_mul(vf_mul(delta, a), vf_sub(vf_set1(1), a));
}

static ALWAYS_INLINE vf tanh_forward(vf z) { return vf_tanh(z); }

static ALWAYS_INLINE vf tanh_backward(vf delta, vf a)
{
    return vf_mul(delta, vf_sub(vf_set1(1), vf_mul(a, a)));
}

static ALWAYS_INLINE vf relu_forward(vf z) { return vf_max(vf_set1(0), z); }

static ALWAYS_INLINE vf relu_backward(vf delta, vf a)
{
    return vf_select(vf_eq(a, vf_set1(0)), vf_set1(0), delta);
}
