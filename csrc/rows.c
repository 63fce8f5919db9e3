/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Prediction for a few rows without a net: no memory of its own, nothing packed. Groups of MR rows go
 * through all layers in two buffers of the caller's, in turn; a row in the weights' own type is read
 * where it is. A row of z is a panel of one row to the links and to scatter, stride NR.
 */
#include <math.h>

#include "data.h"
#include "internal.h"
#include "isa/fpenv.h"
#include "widen.h"

#define PART_BYTES 16384 /* of W, in L1 */

static int64_t widest_layer(const fbp_spec *spec)
{
    int64_t widest = 1;
    for (int l = 0; l <= spec->n_layers; l++)
        widest = fbp_max(widest, spec->units[l]);
    return widest;
}

/* Elements from row to row of the scratch. */
static int64_t scratch_ld(const fbp_spec *spec, const fbp_kernels *k)
{
    return fbp_round_up(widest_layer(spec), k->nr);
}

static fbp_status find_kernels(const fbp_model *model, const fbp_kernels **kernels)
{
    if (!model || !fbp_spec_is_valid(&model->spec) || !model->coefs || !model->intercepts)
        return FBP_EINVAL;
    *kernels = fbp_kernels_find(model->spec.isa, model->spec.real);
    if (!*kernels) return FBP_EISA;
    return fbp_sizes_fit(&model->spec) ? FBP_OK : FBP_ENOMEM;
}

size_t fbp_predict_rows_bytes(const fbp_model *model)
{
    const fbp_kernels *k;
    const uint64_t fpenv = fbp_fpenv_enter();
    const fbp_status status = find_kernels(model, &k);
    fbp_fpenv_leave(fpenv);
    if (status != FBP_OK || fbp_spec_splits(&model->spec)) return 0;
    return 2 * (size_t)scratch_ld(&model->spec, k) * (size_t)k->mr *
           fbp_real_bytes(model->spec.real);
}

static int parameters_are_finite(const fbp_model *model, const fbp_kernels *k)
{
    const int64_t *units = model->spec.units;
    for (int l = 0; l < model->spec.n_layers; l++)
        if (!k->within(units[l] * units[l + 1], model->coefs[l], INFINITY) ||
            !k->within(units[l + 1], model->intercepts[l], INFINITY))
            return 0;
    return 1;
}

fbp_status fbp_model_check(const fbp_model *model)
{
    const fbp_kernels *k;
    const uint64_t fpenv = fbp_fpenv_enter();
    fbp_status status = find_kernels(model, &k);
    if (status == FBP_OK && !parameters_are_finite(model, k)) status = FBP_ENONFINITE;
    fbp_fpenv_leave(fpenv);
    return status;
}

/* Rows from `first` on: where they lie, or in buffer if their type is another. */
static const void *row_inputs(const fbp_matrix *x, const fbp_spec *spec, const fbp_kernels *k,
                              int64_t first, int64_t rows, void *buffer, int64_t *lda)
{
    const size_t bytes = fbp_real_bytes(spec->real);
    if (x->real == spec->real) {
        *lda = x->ld;
        return (const char *)x->data + (size_t)(first * x->ld) * bytes;
    }
    for (int64_t r = 0; r < rows; r++)
        k->gather_dense[x->real](x, NULL, first + r, 1, (char *)buffer + (size_t)(r * *lda) * bytes,
                                 k->nr);
    return buffer;
}

/* One layer for a group of rows. Unless W was checked for an earlier group, it is checked a part at a
 * time, each multiplied by while it is in L1: W comes through the caches once. */
static int forward_layer(const fbp_kernels *k, const fbp_model *model, int l, int checked,
                         int64_t rows, const char *a, int64_t lda, char *z, int64_t ld)
{
    const fbp_spec *spec = &model->spec;
    const int64_t fan_in = spec->units[l], fan_out = spec->units[l + 1];
    const int64_t bytes = (int64_t)fbp_real_bytes(spec->real);
    const char *w = model->coefs[l];
    const void *b = model->intercepts[l];
    if (!checked && !k->within(fan_out, b, INFINITY)) return 0;
    if (l + 1 == spec->n_layers && fan_out == 1) {
        if (!checked && !k->within(fan_in, w, INFINITY)) return 0;
        k->rows_column(rows, fan_in, a, lda, w, b, z, ld);
        return 1;
    }
    const int64_t part = checked ? fan_in : fbp_max(16, PART_BYTES / (fan_out * bytes));
    for (int64_t i = 0; i < fan_in; i += part, a += part * bytes, w += part * fan_out * bytes) {
        const int64_t n = fbp_min(part, fan_in - i);
        if (!checked && !k->within(n * fan_out, w, INFINITY)) return 0;
        k->rows(rows, fan_out, n, a, lda, w, i == 0, i + n == fan_in ? b : NULL, z, ld);
    }
    return 1;
}

/* A group of rows through every layer; z of the last one is returned, ld apart, or NULL if a
 * parameter is not finite. */
static char *forward_rows(const fbp_model *model, const fbp_kernels *k, int checked, int64_t rows,
                          const void *a, int64_t lda, char *const buffers[2], int64_t ld)
{
    const fbp_spec *spec = &model->spec;
    for (int l = 0;; l++, a = buffers[l % 2], lda = ld) {
        char *z = buffers[(l + 1) % 2];
        if (!forward_layer(k, model, l, checked, rows, a, lda, z, ld)) return NULL;
        if (l + 1 == spec->n_layers) return z;
        for (int64_t r = 0; r < rows; r++)
            k->activate[spec->activations[l]](spec->units[l + 1],
                                              z + (size_t)(r * ld) * fbp_real_bytes(spec->real));
    }
}

static fbp_status predict_rows(const fbp_model *model, const fbp_kernels *k, const fbp_matrix *x,
                               int flags, char *scratch, int32_t out_real, char *out)
{
    const fbp_spec *spec = &model->spec;
    const size_t row_bytes = (size_t)spec->units[spec->n_layers] * fbp_real_bytes(out_real);
    const int64_t ld = scratch_ld(spec, k), n_out = spec->units[spec->n_layers];
    const size_t ld_bytes = (size_t)ld * fbp_real_bytes(spec->real);
    const size_t buffer_bytes = ld_bytes * (size_t)k->mr;
    char *const buffers[2] = {scratch, scratch + buffer_bytes};
    const fbp_kernels *wide = fbp_wide_kernels(spec->isa, spec->real, out_real, flags);
    for (int64_t first = 0; first < x->n_rows; first += k->mr) {
        const int64_t rows = fbp_min(k->mr, x->n_rows - first);
        if (!fbp_rows_are_within(x, spec->isa, spec->real, first, rows)) return FBP_ENONFINITE;
        int64_t lda = ld;
        const void *a = row_inputs(x, spec, k, first, rows, buffers[0], &lda);
        char *z = forward_rows(model, k, first > 0, rows, a, lda, buffers, ld);
        if (!z) return FBP_ENONFINITE;
        char *into = out + (size_t)first * row_bytes;
        for (int64_t r = 0; r < rows; r++, z += ld_bytes) {
            if (!wide && !(flags & FBP_PREDICT_RAW)) k->link[spec->loss](1, n_out, z, k->nr);
            k->scatter[out_real](1, n_out, z, k->nr, into + (size_t)r * row_bytes);
        }
        if (wide)
            fbp_link_wide(wide, spec->loss, rows, n_out, (double *)(void *)into,
                          buffers[(spec->n_layers + 1) % 2], buffer_bytes);
    }
    return FBP_OK;
}

static fbp_status check_and_predict(const fbp_model *model, const fbp_matrix *x, int flags,
                                    void *scratch, int32_t out_real, void *out)
{
    const fbp_kernels *k;
    const fbp_status status = find_kernels(model, &k);
    if (status != FBP_OK) return status;
    if (!fbp_matrix_is_valid(x, model->spec.units[0]) || x->indptr || !scratch ||
        fbp_spec_splits(&model->spec) || (out_real != FBP_F32 && out_real != FBP_F64) ||
        (!out && x->n_rows > 0))
        return FBP_EINVAL;
    return predict_rows(model, k, x, flags, scratch, out_real, out);
}

fbp_status fbp_predict_rows(const fbp_model *model, const fbp_matrix *x, int flags, void *scratch,
                            int32_t out_real, void *out)
{
    const uint64_t fpenv = fbp_fpenv_enter();
    const fbp_status status = check_and_predict(model, x, flags, scratch, out_real, out);
    fbp_fpenv_leave(fpenv);
    return status;
}
