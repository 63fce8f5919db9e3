/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fbp: multilayer perceptrons trained by backpropagation on CPUs.
 *
 * This is the only public header. A program makes a net, puts weights in, trains or predicts, takes
 * the weights out and destroys it:
 *
 *     fbp_net *net;
 *     fbp_net_create(&spec, &net);
 *     for (int l = 0; l < spec.n_layers; l++) fbp_net_set_layer(net, l, w[l], b[l]);
 *     while (epochs--) fbp_train(net, &data, order, &step, &progress);
 *     fbp_net_get_layer(net, 0, w[0], b[0]);
 *     fbp_net_destroy(net);
 *
 * "Real" below is float or double, as spec.real says. Matrices are row-major. Sizes count elements.
 */
#ifndef FBP_H
#define FBP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FBP_ACTIVATION(NAME, name, how) FBP_ACT_##NAME,
typedef enum {
#include "registry.def"
    FBP_N_ACTIVATIONS
} fbp_activation;

#define FBP_LOSS(NAME, name, link, reduction, parameter) FBP_LOSS_##NAME,
typedef enum {
#include "registry.def"
    FBP_N_LOSSES
} fbp_loss;

#define FBP_SOLVER(NAME, name, n_moments) FBP_SOLVER_##NAME,
typedef enum {
#include "registry.def"
    FBP_N_SOLVERS
} fbp_solver;

#define FBP_STATUS(NAME, text) FBP_##NAME,
typedef enum {
#include "registry.def"
    FBP_N_STATUSES
} fbp_status;

#define FBP_ISA(NAME, name) FBP_ISA_##NAME,
#define FBP_SPLIT_ISA(NAME, name, BASE) FBP_ISA_##NAME,
typedef enum {
#include "registry.def"
    FBP_N_ISAS
} fbp_isa;

#define FBP_PRECISION(NAME, name, parts) FBP_PRECISION_##NAME,
typedef enum {
#include "registry.def"
    FBP_N_PRECISIONS
} fbp_precision;

/** A number that a loss reads beside outputs and targets: none; the label smoothing of a step; or one per
 *  output in the spec, a number > 0 or a level between 0 and 1. */
typedef enum {
    FBP_PARAMETER_NONE,
    FBP_PARAMETER_SMOOTHING,
    FBP_PARAMETER_POSITIVE,
    FBP_PARAMETER_LEVEL
} fbp_parameter;

typedef enum { FBP_F32, FBP_F64 } fbp_real;

/** Rows of a batch that are held at once, at most; larger batches run in chunks. */
#define FBP_CHUNK_ROWS 4096

typedef struct fbp_net fbp_net;

/** Asked about every 20 ms, from the calling thread, until the answer is non-zero: stop. */
typedef int (*fbp_poll_fn)(void *context);

/** What a net is. Borrowed by fbp_net_create for the call only. */
typedef struct {
    int32_t n_layers;           /* dense layers, output included; ≥ 1 */
    const int64_t *units;       /* [n_layers + 1] inputs, then outputs of each layer; all ≥ 1 */
    const int32_t *activations; /* [n_layers − 1] fbp_activation of each hidden layer */
    int32_t loss;               /* fbp_loss */
    int32_t solver;             /* fbp_solver; FBP_SOLVER_GRADIENT for loss_gradient or predict */
    int32_t real;               /* fbp_real: type of the weights and of all arithmetic */
    int32_t precision;          /* fbp_precision of float32 products; float64 has but one */
    int32_t isa;                /* fbp_isa, one that fbp_isa_available */
    int32_t n_threads;          /* threads to use at most; ≥ 1 */
    int32_t fixed_threads; /* non-zero: as many where they find work, even if fewer are faster */
    int64_t max_rows;      /* rows of the largest batch; 0: the net only predicts */
    int64_t predict_rows;  /* most rows of a prediction, to save memory; 0: not known */
    int32_t clips;         /* non-zero: fbp_step may ask for max_grad_norm */
    /* A net for sparse X takes CSR only, and passes over what is not stored. Values stored: */
    int64_t max_row_nonzeros;   /* in the fullest row, ≥ 1; 0: X is dense, or CSR made dense */
    int64_t max_batch_nonzeros; /* in any FBP_CHUNK_ROWS rows of any batch; read if max_rows > 0 */
    /* [n_out] the loss's parameters, as fbp_loss_parameter says, if it has such and max_rows > 0; else
     * NULL. They count as rounded to real. */
    const double *loss_parameters;
    /* [n_layers − 1] the share of each hidden layer's outputs that training drops, in [0, 1), counted
     * in 65,536ths; NULL: none. Not with FBP_SOLVER_GRADIENT. Predictions drop nothing. */
    const double *dropout;
} fbp_spec;

/** A matrix of samples: dense, or CSR when indptr is set. Borrowed, read only. Both give the
 *  same bits.
 *  Dense rows are contiguous, ld elements apart. CSR rows may be unsorted; duplicates add up. */
typedef struct {
    int64_t n_rows, n_cols;
    int32_t real;       /* fbp_real of data, independent of the net's */
    int32_t index_bits; /* CSR: 32 or 64; dense: ignored */
    const void *data;
    int64_t ld;          /* dense: elements from row to row, ≥ n_cols */
    const void *indices; /* CSR: column of each value */
    const void *indptr;  /* CSR: [n_rows + 1]; NULL: dense */
} fbp_matrix;

/** Samples with what they should give. Borrowed, read only. */
typedef struct {
    fbp_matrix x;
    const void *y; /* int32 codes [n_rows] or real [n_rows × n_out], see fbp_loss_takes_codes */
    const void *weights; /* real [n_rows], ≥ 0, or NULL: all one */
} fbp_data;

/** One step's arithmetic. */
typedef struct {
    double alpha; /* L2 penalty: α/2 · ΣW² / Σ sample weights */
    double learning_rate;
    const double *learning_rates;   /* instead, one per batch of the call, also of those that */
                                    /* are skipped; borrowed; NULL: learning_rate for all */
    double momentum;                /* sgd, nesterov */
    double beta_1, beta_2, epsilon; /* adam */
    double weight_decay;    /* λ: W · (1 − learning rate · λ) before the solver's step */
    double max_grad_norm;   /* longest gradient, of all parameters, penalty included; 0: any */
    double label_smoothing; /* in [0, 1): y·(1 − s) + s/K stands for y, K being 2 for a logistic
                                       output and the classes of a softmax; 0 for other losses */
    uint64_t dropout_seed;  /* of the masks, with the net's step count */
    fbp_poll_fn poll;       /* or NULL */
    void *poll_context;
} fbp_step;

/** How far a call came. */
typedef struct {
    double loss_sum; /* Σ over batches of (batch loss, penalty included) × (rows of the batch) */
    int64_t n_rows;  /* rows of the whole batches done */
    int64_t n_steps; /* updates done: batches whose weights sum to zero make none */
} fbp_progress;

/** Make a net with zero weights and fresh solver state.
 *  spec   borrowed for the call
 *  net    out: the net, owned by the caller, freed by fbp_net_destroy; NULL on failure
 *  Threads  any
 *  Memory   one block, here; no later call allocates
 *  Returns  FBP_OK | FBP_EINVAL | FBP_ENOMEM (sizes that overflow too) | FBP_EISA (which a family may
 *           turn out to be only now, when it is first asked to multiply) */
fbp_status fbp_net_create(const fbp_spec *spec, fbp_net **net);

/** Free a net.
 *  net    may be NULL
 *  Threads  no other call on this net at the time
 *  Memory   gives the net's one block back
 *  Returns  nothing */
void fbp_net_destroy(fbp_net *net);

/** Name the function that the four calls below ask about every 20 ms whether to stop, and then return
 *  FBP_ESTOPPED: what they copied is then partly there.
 *  poll, poll_context  as in fbp_step; NULL, as at first: nobody is asked
 *  Threads  one caller at a time per net
 *  Memory   none allocated
 *  Returns  nothing */
void fbp_net_ask(fbp_net *net, fbp_poll_fn poll, void *poll_context);

/** Put one layer's parameters in; solver state is unchanged.
 *  layer  0 … n_layers − 1
 *  coef   real [fan_in × fan_out], row-major; borrowed for the call
 *  intercept  real [fan_out]; borrowed for the call
 *  Threads  one team of at most spec.n_threads; one caller at a time per net
 *  Memory   none allocated
 *  Returns  FBP_OK | FBP_EINVAL | FBP_ESTOPPED */
fbp_status fbp_net_set_layer(fbp_net *net, int layer, const void *coef, const void *intercept);

/** Take one layer's parameters out.
 *  coef, intercept  out, shapes as for fbp_net_set_layer
 *  Threads  one team of at most spec.n_threads; one caller at a time per net
 *  Memory   none allocated
 *  Returns  FBP_OK | FBP_EINVAL | FBP_ESTOPPED */
fbp_status fbp_net_get_layer(const fbp_net *net, int layer, void *coef, void *intercept);

/** Put one layer's solver state in.
 *  moment  0 … n_moments − 1 (sgd: velocity; adam: first, second moment)
 *  coef, intercept  shapes as for fbp_net_set_layer; borrowed for the call
 *  Threads  one team of at most spec.n_threads; one caller at a time per net
 *  Memory   none allocated
 *  Returns  FBP_OK | FBP_EINVAL | FBP_ESTOPPED */
fbp_status fbp_net_set_moment(fbp_net *net, int layer, int moment, const void *coef,
                              const void *intercept);

/** Take one layer's solver state out.
 *  moment, coef, intercept  as for fbp_net_set_moment; coef and intercept out
 *  Threads  one team of at most spec.n_threads; one caller at a time per net
 *  Memory   none allocated
 *  Returns  FBP_OK | FBP_EINVAL | FBP_ESTOPPED */
fbp_status fbp_net_get_moment(const fbp_net *net, int layer, int moment, void *coef,
                              void *intercept);

/** End a net's training and prediction: the memory of all but parameters and solver state goes back to
 *  the system (on Linux; elsewhere it stays until the net is destroyed). What is left can be taken
 *  out, retired in turn, and so be copied while the copies take the place of the net.
 *  net    from now on it only gives what it has not retired, and its step count; all other calls on
 *         it but fbp_net_destroy return FBP_EINVAL. Retiring twice is the same as once
 *  Threads  one caller at a time per net
 *  Memory   none allocated
 *  Returns  FBP_OK | FBP_EINVAL */
fbp_status fbp_net_retire(fbp_net *net);

/** Give back the memory of one layer's parameters in a retired net, which no longer has them.
 *  layer  0 … n_layers − 1, each once
 *  Threads  one caller at a time per net
 *  Memory   none allocated
 *  Returns  FBP_OK | FBP_EINVAL (also where net is not retired, or the layer is already) */
fbp_status fbp_net_retire_layer(fbp_net *net, int layer);

/** Give back the memory of one layer's solver state in a retired net, which no longer has it.
 *  layer, moment  as for fbp_net_get_moment, each once
 *  Threads  one caller at a time per net
 *  Memory   none allocated
 *  Returns  FBP_OK | FBP_EINVAL, as for fbp_net_retire_layer */
fbp_status fbp_net_retire_moment(fbp_net *net, int layer, int moment);

/** The number of updates made so far, which Adam's bias correction reads.
 *  Threads  one caller at a time per net
 *  Memory   none allocated
 *  Returns  the count, ≥ 0 */
int64_t fbp_net_get_step_count(const fbp_net *net);

#define FBP_MAX_STEP_COUNT ((int64_t)1 << 62) /* which leaves room to count on */

/** Set that number, for a solver that goes on.
 *  count  0 … FBP_MAX_STEP_COUNT
 *  beta_1, beta_2  Adam's, whose powers are recomputed by repeated multiplication
 *  Threads  one caller at a time per net
 *  Memory   none allocated
 *  Returns  FBP_OK | FBP_EINVAL */
fbp_status fbp_net_set_step_count(fbp_net *net, int64_t count, double beta_1, double beta_2);

/** Train over rows in mini-batches: for each, forward, loss, backward, update.
 *  data   the samples
 *  order  [n_order] row numbers in the order of use, each in 0 … n_rows − 1; NULL: storage order,
 *         n_order ≤ n_rows; borrowed
 *  batch_rows  rows per update, ≤ spec.max_rows; the last batch may be smaller
 *  step   the step's numbers; max_grad_norm only for a net that clips
 *  progress  out: also filled when stopped, for the whole updates done
 *  Threads  one team of at most spec.n_threads; one caller at a time per net
 *  Memory   none allocated
 *  Numerics the same bits for any number of threads
 *  Returns  FBP_OK | FBP_EINVAL | FBP_ENONZEROS | FBP_ESTOPPED (weights are those after whole
 *           updates) */
fbp_status fbp_train(fbp_net *net, const fbp_data *data, const int64_t *order, int64_t n_order,
                     int64_t batch_rows, const fbp_step *step, fbp_progress *progress);

/** Loss and gradient over all rows, without an update; the net's solver must be FBP_SOLVER_GRADIENT.
 *  data   the samples; Σ weights must be > 0
 *  step   alpha and poll are read
 *  loss   out: mean loss with penalty; unchanged on failure
 *  grad   out: real, every layer's dL/dW row-major, then every layer's dL/db; unchanged on failure
 *  delta  out: real [n_rows × the first layer's fan_out], row-major: Σ weights · dL/dz of the first
 *         layer, whose product with Wᵀ is Σ weights · dL/dx; partly written on failure; or NULL
 *  Threads  one team of at most spec.n_threads; one caller at a time per net
 *  Memory   none allocated
 *  Numerics the same bits for any number of threads
 *  Returns  FBP_OK | FBP_EINVAL | FBP_ENONZEROS | FBP_ESTOPPED */
fbp_status fbp_loss_gradient(fbp_net *net, const fbp_data *data, const fbp_step *step, double *loss,
                             void *grad, void *delta);

/** Whether dense samples hold finite numbers only, and such as a type can hold.
 *  x          the samples, dense
 *  real       fbp_real of the net that they are for
 *  isa        kernel family to read them with
 *  n_threads  at most; >= 1
 *  poll       as in fbp_step, or NULL
 *  Threads  one team of at most n_threads, fewer for a few megabytes
 *  Memory   none allocated
 *  Returns  FBP_OK | FBP_EINVAL | FBP_EISA | FBP_ENONFINITE | FBP_ESTOPPED */
fbp_status fbp_check_rows(const fbp_matrix *x, int32_t real, int32_t isa, int32_t n_threads,
                          fbp_poll_fn poll, void *poll_context);

/** How to predict, or'ed: z of the last layer without the loss's link; refuse x that holds what is
 *  not finite, or not so in the net's type; the last hidden layer's activations, n_out being its
 *  units. */
enum { FBP_PREDICT_RAW = 1, FBP_PREDICT_STRICT = 2, FBP_PREDICT_HIDDEN = 4 };

/** Predict.
 *  x      the samples
 *  flags  FBP_PREDICT_RAW, FBP_PREDICT_STRICT (dense x only), FBP_PREDICT_HIDDEN (for nets that have
 *         hidden layers), or 0
 *  poll, poll_context  as in fbp_step
 *  out_real  fbp_real of out
 *  out    [x.n_rows × n_out], row-major, contiguous
 *  Threads  one team of at most spec.n_threads; one caller at a time per net
 *  Memory   none allocated
 *  Numerics a row's bits depend on neither other rows nor threads; the link is in the wider type
 *  Returns  FBP_OK | FBP_EINVAL | FBP_ENONZEROS | FBP_ESTOPPED | FBP_ENONFINITE (out is then partly
 *           written by the last two) */
fbp_status fbp_predict(fbp_net *net, const fbp_matrix *x, int flags, fbp_poll_fn poll,
                       void *poll_context, int32_t out_real, void *out);

/** The same for some rows of x, in an order.
 *  order    [n_order] row numbers, of any number and order; NULL: the first n_order rows
 *  flags    FBP_PREDICT_STRICT only without an order
 *  out      [n_order × n_out], row-major, contiguous
 *  x, poll, poll_context, out_real  as for fbp_predict
 *  Threads  one team of at most spec.n_threads; one caller at a time per net
 *  Memory   none allocated
 *  Numerics the bits of fbp_predict
 *  Returns  as fbp_predict; FBP_EINVAL for an order of rows that x does not have, too */
fbp_status fbp_predict_order(fbp_net *net, const fbp_matrix *x, const int64_t *order,
                             int64_t n_order, int flags, fbp_poll_fn poll, void *poll_context,
                             int32_t out_real, void *out);

/** The loss of some rows, in an order: each row's own, not weighted and without the penalty.
 *  net      any that was made with max_rows ≥ 1, whatever its solver; its weights stay
 *  data     the samples; weights are not looked at
 *  order    [n_order] row numbers, of any number and order; NULL: the first n_order rows
 *  poll, poll_context  as in fbp_step
 *  row_loss  out: [n_order]
 *  Threads  one team of at most spec.n_threads; one caller at a time per net
 *  Memory   none allocated
 *  Numerics the bits of a row's loss in training, which depend neither on the other rows nor on the
 *           number of threads
 *  Returns  FBP_OK | FBP_EINVAL | FBP_ENONZEROS | FBP_ESTOPPED (row_loss is then partly written) */
fbp_status fbp_predict_loss(fbp_net *net, const fbp_data *data, const int64_t *order,
                            int64_t n_order, fbp_poll_fn poll, void *poll_context,
                            double *row_loss);

/** A network that is its caller's arrays. */
typedef struct {
    fbp_spec spec;                 /* solver, n_threads and max_rows are not looked at, but valid */
    const void *const *coefs;      /* [n_layers] real [fan_in × fan_out], row-major */
    const void *const *intercepts; /* [n_layers] real [fan_out] */
} fbp_model;

/** Whether all of a model's parameters are finite.
 *  model  borrowed for the call
 *  Threads  any
 *  Memory   none allocated
 *  Returns  FBP_OK | FBP_EINVAL | FBP_ENOMEM (sizes that overflow) | FBP_EISA | FBP_ENONFINITE */
fbp_status fbp_model_check(const fbp_model *model);

/** Whether any layer of a net would have split products, see matmul precision in README.md.
 *  Threads any · Memory none allocated · Returns 1 or 0; 0 for a spec that is not valid */
int fbp_spec_splits(const fbp_spec *spec);

/** Bytes of scratch that fbp_predict_rows wants.
 *  Threads  any · Memory none allocated · Returns the bytes; 0 for a model that it refuses */
size_t fbp_predict_rows_bytes(const fbp_model *model);

/** Predict for a few rows without a net: parameters are read where they are, and nothing is packed,
 *  which is quicker than a net up to some tens of rows. FBP_ENONFINITE tells of parameters, too.
 *  model  borrowed for the call; fbp_spec_splits(&model->spec) must be 0: those are packed
 *  x      the samples, dense
 *  flags  FBP_PREDICT_RAW or 0; FBP_PREDICT_STRICT is implied
 *  scratch  fbp_predict_rows_bytes(model), of any alignment
 *  out_real, out  as for fbp_predict
 *  Threads  any, each with its own scratch and out
 *  Memory   none allocated
 *  Numerics the bits of fbp_predict
 *  Returns  FBP_OK | FBP_EINVAL | FBP_ENOMEM | FBP_EISA | FBP_ENONFINITE (out: partly written) */
fbp_status fbp_predict_rows(const fbp_model *model, const fbp_matrix *x, int flags, void *scratch,
                            int32_t out_real, void *out);

/** 32 random bits from a generator's state. */
typedef uint32_t (*fbp_random_fn)(void *state);

/** Shuffle an order as NumPy's RandomState.shuffle does, with the same draws: its places last, last − 1 …
 *  first + 1 in turn are exchanged with one that is no later. 0 and n − 1 shuffle all; a shuffle can
 *  be done in pieces, the last places first.
 *  next, state  the generator; drawn from at least once for each place
 *  order        [last + 1], in place
 *  Threads  any, each with its own order and generator
 *  Memory   none allocated
 *  Numerics exact
 *  Returns  nothing */
void fbp_shuffle(uint32_t first, uint32_t last, fbp_random_fn next, void *state, int64_t *order);

/** Whether this build and this CPU and operating system can run a kernel family.
 *  Threads any · Memory none allocated · Returns 1 or 0 */
int fbp_isa_available(int isa);

/** The fastest family that can run here for nets of a type (fbp_real) and a precision.
 *  Threads any · Memory none allocated · Returns an fbp_isa */
int fbp_isa_best(int real, int precision);

/** Whether a family's kernels of a type round a product and a sum once. All such families give the
 *  same bits, those of ref; any other has its own, the same on every machine that runs it.
 *  Threads any · Memory none allocated · Returns 1 or 0; 0 where the family is not available */
int fbp_isa_fused(int isa, int real);

/** Names, as the registry has them; NULL for an id out of range.
 *  Threads any · Memory none allocated; the strings are static */
const char *fbp_activation_name(int id);
const char *fbp_loss_name(int id);
const char *fbp_loss_link(int id);
const char *fbp_solver_name(int id);
const char *fbp_isa_name(int id);
const char *fbp_precision_name(int id);
const char *fbp_status_text(int status);

/** State vectors that a solver keeps per parameter; 0 for an id out of range.
 *  Threads any · Memory none allocated */
int fbp_solver_n_moments(int id);

/** Whether y holds int32 class codes for this loss (otherwise reals, one per output).
 *  Threads any · Memory none allocated */
int fbp_loss_takes_codes(int id);

/** What a loss reads beside outputs and targets, an fbp_parameter.
 *  Threads any · Memory none allocated; FBP_PARAMETER_NONE for an id out of range */
int fbp_loss_parameter(int id);

/** The threads OpenMP would use now, in the calling thread: what OMP_NUM_THREADS, OMP_THREAD_LIMIT and
 *  limits set by threadpoolctl leave.
 *  Threads any · Memory none allocated
 *  Returns  a count ≥ 1; 1 without OpenMP, and in a process forked from the one that loaded this */
int fbp_max_threads(void);

/** Whether the system has refused to start a thread that a call could have used. Such a call uses
 *  fewer, with the same bits.
 *  Threads any · Memory none allocated */
int fbp_threads_refused(void);

/** The OpenMP specification this was built with, as yyyymm; 0 without OpenMP.
 *  Threads any · Memory none allocated */
int fbp_openmp_version(void);

#ifdef __cplusplus
}
#endif
#endif
