# SPDX-License-Identifier: BSD-3-Clause
"""A mirror of csrc/fbp.h, nothing else."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t


cdef extern from "fbp.h" nogil:
    ctypedef int fbp_status
    int FBP_OK, FBP_EINVAL, FBP_ENOMEM, FBP_EISA, FBP_ENONFINITE, FBP_ESTOPPED
    int FBP_F32, FBP_F64, FBP_CHUNK_ROWS
    int FBP_PREDICT_RAW, FBP_PREDICT_STRICT, FBP_PREDICT_HIDDEN
    int FBP_PARAMETER_NONE, FBP_PARAMETER_SMOOTHING, FBP_PARAMETER_POSITIVE, FBP_PARAMETER_LEVEL
    int FBP_N_ACTIVATIONS, FBP_N_LOSSES, FBP_N_SOLVERS, FBP_N_ISAS, FBP_N_PRECISIONS

    ctypedef struct fbp_net:
        pass
    ctypedef int (*fbp_poll_fn)(void *context) noexcept

    ctypedef struct fbp_spec:
        int32_t n_layers
        const int64_t *units
        const int32_t *activations
        int32_t loss, solver, real, precision, isa, n_threads, fixed_threads
        int64_t max_rows, predict_rows, max_row_nonzeros, max_batch_nonzeros
        const double *loss_parameters
        const double *dropout
        int32_t clips

    ctypedef struct fbp_matrix:
        int64_t n_rows, n_cols
        int32_t real, index_bits
        const void *data
        int64_t ld
        const void *indices
        const void *indptr

    ctypedef struct fbp_data:
        fbp_matrix x
        const void *y
        const void *weights

    ctypedef struct fbp_step:
        double alpha, learning_rate, momentum, beta_1, beta_2, epsilon, label_smoothing
        uint64_t dropout_seed
        const double *learning_rates
        double weight_decay, max_grad_norm
        fbp_poll_fn poll
        void *poll_context

    ctypedef struct fbp_model:
        fbp_spec spec
        const void *const *coefs
        const void *const *intercepts

    ctypedef struct fbp_progress:
        double loss_sum
        int64_t n_rows, n_steps

    fbp_status fbp_net_create(const fbp_spec *spec, fbp_net **net)
    void fbp_net_destroy(fbp_net *net)
    void fbp_net_ask(fbp_net *net, fbp_poll_fn poll, void *poll_context)
    fbp_status fbp_net_set_layer(fbp_net *net, int layer, const void *coef, const void *intercept)
    fbp_status fbp_net_get_layer(const fbp_net *net, int layer, void *coef, void *intercept)
    fbp_status fbp_net_set_moment(fbp_net *net, int layer, int moment, const void *coef,
                                  const void *intercept)
    fbp_status fbp_net_get_moment(const fbp_net *net, int layer, int moment, void *coef,
                                  void *intercept)
    fbp_status fbp_net_retire(fbp_net *net)
    fbp_status fbp_net_retire_layer(fbp_net *net, int layer)
    fbp_status fbp_net_retire_moment(fbp_net *net, int layer, int moment)
    int64_t fbp_net_get_step_count(const fbp_net *net)
    fbp_status fbp_net_set_step_count(fbp_net *net, int64_t count, double beta_1, double beta_2)
    fbp_status fbp_train(fbp_net *net, const fbp_data *data, const int64_t *order, int64_t n_order,
                         int64_t batch_rows, const fbp_step *step, fbp_progress *progress)
    fbp_status fbp_loss_gradient(fbp_net *net, const fbp_data *data, const fbp_step *step,
                                 double *loss, void *grad, void *delta)
    fbp_status fbp_predict(fbp_net *net, const fbp_matrix *x, int flags, fbp_poll_fn poll,
                           void *poll_context, int32_t out_real, void *out)
    fbp_status fbp_predict_order(fbp_net *net, const fbp_matrix *x, const int64_t *order,
                                 int64_t n_order, int flags, fbp_poll_fn poll, void *poll_context,
                                 int32_t out_real, void *out)
    fbp_status fbp_predict_loss(fbp_net *net, const fbp_data *data, const int64_t *order,
                                int64_t n_order, fbp_poll_fn poll, void *poll_context,
                                double *row_loss)
    fbp_status fbp_model_check(const fbp_model *model)
    int fbp_spec_splits(const fbp_spec *spec)
    fbp_status fbp_check_rows(const fbp_matrix *x, int32_t real, int32_t isa,
                              int32_t n_threads, fbp_poll_fn poll, void *poll_context)
    size_t fbp_predict_rows_bytes(const fbp_model *model)
    fbp_status fbp_predict_rows(const fbp_model *model, const fbp_matrix *x, int flags,
                                void *scratch, int32_t out_real, void *out)
    ctypedef uint32_t (*fbp_random_fn)(void *state) noexcept
    void fbp_shuffle(uint32_t first, uint32_t last, fbp_random_fn next, void *state, int64_t *order)
    int fbp_isa_available(int isa)
    int fbp_isa_best(int real, int precision)
    int fbp_isa_fused(int isa, int real)
    const char *fbp_activation_name(int id)
    const char *fbp_loss_name(int id)
    const char *fbp_loss_link(int id)
    const char *fbp_solver_name(int id)
    const char *fbp_isa_name(int id)
    const char *fbp_precision_name(int id)
    const char *fbp_status_text(int status)
    int fbp_solver_n_moments(int id)
    int fbp_loss_takes_codes(int id)
    int fbp_loss_parameter(int id)
    int fbp_max_threads()
    int fbp_threads_refused()
    int fbp_openmp_version()
