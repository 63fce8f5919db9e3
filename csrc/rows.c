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

static size_t bytes_of(const fbp_spec *spec)
{
    return spec->real == FBP_F32 ? sizeof(float) : sizeof(double);
}

size_t fbp_predict_rows_bytes(const fbp_model *model)
{
    const fbp_kernels *k;
    if (find_kernels(model, &k) != FBP_OK) return 0;
    return 2 * (size_t)scratch_ld(&model->spec, k) * (size_t)k->mr * bytes_of(&model->spec);
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
    const fbp_status status = find_kernels(model, &k);
    if (status != FBP_OK) return status;
    return parameters_are_finite(model, k) ? FBP_OK : FBP_ENONFINITE;
}

/* Rows from `first` on: where they lie, or in buffer if their type is another. */
static const void *row_inputs(const fbp_matrix *x, const fbp_spec *spec, const fbp_kernels *k,
                              int64_t first, int64_t rows, void *buffer, int64_t *lda)
{
    const size_t bytes = bytes_of(spec);
    if (x->real == spec->real) {
        *lda = x->ld;
        return (const char *)x->data + (size_t)(first * x->ld) * bytes;
    }
    for (int64_t r = 0; r < rows; r++)
        k->gather_dense[x->real](x, NULL, first + r, 1, (char *)buffer + (size_t)(r * *lda) * bytes,
                                 k->nr);
    return buffer;
}

/* A group of rows through every layer; z of the last one is returned, ld apart. */
static char *forward_rows(const fbp_model *model, const fbp_kernels *k, int64_t rows, const void *a,
                          int64_t lda, char *const buffers[2], int64_t ld)
{
    const fbp_spec *spec = &model->spec;
    for (int l = 0; l < spec->n_layers; l++) {
        const int64_t fan_in = spec->units[l], fan_out = spec->units[l + 1];
        const int last = l + 1 == spec->n_layers;
        char *z = buffers[(l + 1) % 2];
        (last && fan_out == 1 ? k->rows_column : k->rows)(
            rows, fan_out, fan_in, a, lda, model->coefs[l], model->intercepts[l], z, ld);
        if (last) return z;
        for (int64_t r = 0; r < rows; r++)
            k->activate[spec->activations[l]](fan_out, z + (size_t)(r * ld) * bytes_of(spec));
        a = z;
        lda = ld;
    }
    return NULL;
}

static fbp_status predict_rows(const fbp_model *model, const fbp_kernels *k, const fbp_matrix *x,
                               int flags, char *scratch, int32_t out_real, char *out)
{
    const fbp_spec *spec = &model->spec;
    const size_t out_bytes = out_real == FBP_F32 ? sizeof(float) : sizeof(double);
    const int64_t ld = scratch_ld(spec, k), n_out = spec->units[spec->n_layers];
    char *const buffers[2] = {scratch, scratch + (size_t)(ld * k->mr) * bytes_of(spec)};
    for (int64_t first = 0; first < x->n_rows; first += k->mr) {
        const int64_t rows = fbp_min(k->mr, x->n_rows - first);
        if (!fbp_rows_are_within(x, spec->isa, spec->real, first, rows)) return FBP_ENONFINITE;
        int64_t lda = ld;
        const void *a = row_inputs(x, spec, k, first, rows, buffers[0], &lda);
        char *z = forward_rows(model, k, rows, a, lda, buffers, ld);
        for (int64_t r = 0; r < rows; r++, z += (size_t)ld * bytes_of(spec)) {
            if (!(flags & FBP_PREDICT_RAW)) k->link[spec->loss](1, n_out, z, k->nr);
            k->scatter[out_real](1, n_out, z, k->nr,
                                 out + (size_t)((first + r) * n_out) * out_bytes);
        }
    }
    return FBP_OK;
}

fbp_status fbp_predict_rows(const fbp_model *model, const fbp_matrix *x, int flags, void *scratch,
                            int32_t out_real, void *out)
{
    const fbp_kernels *k;
    const fbp_status status = find_kernels(model, &k);
    if (status != FBP_OK) return status;
    if (!fbp_matrix_is_valid(x, model->spec.units[0]) || x->indptr || !scratch ||
        (out_real != FBP_F32 && out_real != FBP_F64) || (!out && x->n_rows > 0))
        return FBP_EINVAL;
    if (!parameters_are_finite(model, k)) return FBP_ENONFINITE;
    const uint64_t fpenv = fbp_fpenv_enter();
    const fbp_status done = predict_rows(model, k, x, flags, scratch, out_real, out);
    fbp_fpenv_leave(fpenv);
    return done;
}
