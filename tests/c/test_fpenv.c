/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The floating-point environment: the caller's, flags included, is as before after every call of the
 * public header, also a refused one, and while its poll function runs; and it changes no result.
 */
#include "trainer.h"

#if defined(__x86_64__)
/* Default; flush to zero; subnormals are zero; both; down; up; to zero; flags; all of it. */
static const uint64_t modes[] = {0x1f80, 0x9f80, 0x1fc0, 0x9fc0, 0x3f80,
                                 0x5f80, 0x7f80, 0x1fbf, 0xffff};

static uint64_t get_mode(void) { return __builtin_ia32_stmxcsr(); }

static void set_mode(uint64_t mode) { __builtin_ia32_ldmxcsr((unsigned)mode); }
#elif defined(__aarch64__)
/* FPSR above FPCR. */
static const uint64_t modes[] = {
    0, 1 << 24, 1 << 22, 2 << 22, 3 << 22, UINT64_C(0x9f) << 32, UINT64_C(0x9f) << 32 | 7 << 22};

static uint64_t get_mode(void)
{
    uint64_t control, status;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    __asm__ volatile("mrs %0, fpsr" : "=r"(status));
    return status << 32 | control;
}

static void set_mode(uint64_t mode)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(mode & UINT32_MAX));
    __asm__ volatile("msr fpsr, %0" : : "r"(mode >> 32));
}
#endif

#if defined(__x86_64__) || defined(__aarch64__)
static int stop_and_tell(void *mode)
{
    *(uint64_t *)mode = get_mode();
    return 1;
}

/* The mode that the poll function of a training call of some 20 ms sees. */
static uint64_t mode_in_poll(fbp_net *net, const fbp_data *data)
{
    const int64_t n_order = 3000000;
    int64_t *order = allocate(sizeof(int64_t) * (size_t)n_order);
    uint64_t mode = 0;
    fbp_progress progress;
    fbp_step step = usual;
    step.poll = stop_and_tell, step.poll_context = &mode;
    (void)fbp_train(net, data, order, n_order, 32, &step, &progress);
    free(order);
    return mode;
}

static unsigned long long shown(uint64_t mode) { return mode; }

/* What one round of calls gives, to be compared byte by byte. */
#define MOST_BYTES 65536

typedef struct {
    unsigned char bytes[MOST_BYTES];
    size_t used;
} record;

static void note(record *r, const void *bytes, size_t size)
{
    if (!CHECK(r->used + size <= MOST_BYTES, "the record is full")) return;
    memcpy(r->bytes + r->used, bytes, size);
    r->used += size;
}

static uint64_t current; /* the mode of this round */

/* A call under the current mode, which must survive it; its result is noted. */
#define UNDER(r, call)                                                                           \
    do {                                                                                         \
        set_mode(current);                                                                       \
        const int64_t result = (int64_t)(call);                                                  \
        const uint64_t left = get_mode();                                                        \
        set_mode(modes[0]);                                                                      \
        CHECK(left == current, "mode %llx became %llx: %s", shown(current), shown(left), #call); \
        note(r, &result, sizeof result);                                                         \
    } while (0)

static const fbp_step odd_step = {.learning_rate = 0.01,
                                  .momentum = 0.9,
                                  .label_smoothing = 1 - 1e-9, /* as a float, 1 */
                                  .max_grad_norm = 1e-310};    /* subnormal: none */

/* Creation: rates of dropout and the loss's parameters are rounded in it; some are refused. */
static void note_creation(record *r, const problem *p)
{
    const double parameters[] = {0.1, 0.3, 0.7}, no_numbers[] = {0.1, NAN, 1e-310};
    const double rates[] = {0.1234567891, 0.3}, no_rates[] = {NAN, 1e-310};
    const int32_t activations[] = {FBP_ACT_TANH};
    fbp_spec spec = {.n_layers = 2,
                     .units = p->units,
                     .activations = activations,
                     .loss = FBP_LOSS_QUANTILE,
                     .solver = FBP_SOLVER_SGD,
                     .real = p->real,
                     .isa = fbp_isa_best(p->real, FBP_PRECISION_HIGHEST),
                     .n_threads = 1,
                     .max_rows = 100,
                     .loss_parameters = parameters,
                     .dropout = rates};
    fbp_net *net;
    UNDER(r, fbp_net_create(&spec, &net));
    samples s = samples_new(p);
    const fbp_matrix x = {p->n_rows, p->units[0], p->real, 0, s.x_real, p->units[0], NULL, NULL};
    const fbp_data data = {x, s.y_real, s.weights_real};
    fbp_progress progress;
    UNDER(r, fbp_train(net, &data, NULL, p->n_rows, 32, &usual, &progress));
    note(r, &progress, sizeof progress);
    UNDER(r, (fbp_net_destroy(net), 0));
    UNDER(r, fbp_spec_splits(&spec));
    spec.loss_parameters = no_numbers;
    UNDER(r, fbp_net_create(&spec, &net));
    spec.loss_parameters = parameters, spec.dropout = no_rates;
    UNDER(r, fbp_net_create(&spec, &net));
    UNDER(r, fbp_spec_splits(&spec));
    samples_free(&s);
}

/* Training, in and out. */
static void note_training(record *r, const problem *p, trainer *t, const fbp_data *data,
                          int n_threads)
{
    const int64_t n = n_parameters(p);
    void *weights = allocate((size_t)n * real_bytes(p->real));
    double out[300], w[1000], b[100];
    fbp_progress progress;
    fbp_net *net = net_of(t, best_isa(p), n_threads, 32);
    for (size_t i = 0; i < sizeof w / sizeof *w; i++)
        w[i] = 0.01 * (double)i;
    memcpy(b, w, sizeof b);
    UNDER(r, fbp_net_set_layer(net, 0, w, b));
    UNDER(r, fbp_net_set_moment(net, 0, 0, w, b));
    UNDER(r, fbp_net_set_step_count(net, 1000, 0.9, 0.999));
    UNDER(r, fbp_train(net, data, NULL, 100, 32, &p->step, &progress));
    note(r, &progress, sizeof progress);
    UNDER(r, fbp_train(net, data, NULL, 100, 32, &odd_step, &progress));
    UNDER(r, fbp_predict(net, &data->x, 0, NULL, NULL, FBP_F64, out));
    note(r, out, sizeof out);
    UNDER(r, fbp_predict_loss(net, data, NULL, 100, NULL, NULL, out));
    note(r, out, sizeof(double) * 100);
    net_parameters(p, net, weights);
    note(r, weights, (size_t)n * real_bytes(p->real));
    fbp_data refused = *data;
    const double not_numbers[100] = {1, NAN, 1e-310};
    void *bad = as_reals(p->real, not_numbers, 100);
    refused.weights = bad;
    UNDER(r, fbp_train(net, &refused, NULL, 100, 32, &p->step, &progress));
    UNDER(r, fbp_net_get_layer(net, 0, w, b));
    UNDER(r, fbp_net_get_moment(net, 0, 0, w, b));
    UNDER(r, fbp_net_retire(net));
    UNDER(r, (fbp_net_destroy(net), 0));
    free(weights), free(bad);
}

/* Gradients. */
static void note_gradient(record *r, problem p, trainer *t, const fbp_data *data, int n_threads)
{
    p.solver = FBP_SOLVER_GRADIENT;
    trainer own = *t;
    own.p = &p;
    fbp_net *net = net_of(&own, best_isa(&p), n_threads, 100);
    void *grad = allocate((size_t)n_parameters(&p) * real_bytes(p.real));
    double loss = 0;
    UNDER(r, fbp_loss_gradient(net, data, &usual, &loss, grad, NULL));
    note(r, &loss, sizeof loss);
    note(r, grad, (size_t)n_parameters(&p) * real_bytes(p.real));
    UNDER(r, fbp_loss_gradient(net, data, &odd_step, &loss, grad, NULL));
    free(grad);
    fbp_net_destroy(net);
}

/* Calls without a net: rows predicted where the weights lie, models and tables checked. */
static void note_plain_calls(record *r, const problem *p, const trainer *t, const fbp_data *data)
{
    const int32_t activations[] = {p->activation};
    const void *coefs[2], *intercepts[2], *wrong[2];
    double *bad = as_reals(FBP_F64, t->w[1], p->units[1] * p->units[2]), out[300];
    for (int l = 0; l < 2; l++) {
        coefs[l] = as_reals(p->real, t->w[l], p->units[l] * p->units[l + 1]);
        intercepts[l] = as_reals(p->real, t->b[l], p->units[l + 1]);
    }
    memset(bad, POISON_BYTE, 40); /* NaN in either type */
    wrong[0] = coefs[0], wrong[1] = bad;
    fbp_model model = {.spec = {.n_layers = 2,
                                .units = p->units,
                                .activations = activations,
                                .loss = p->loss,
                                .real = p->real,
                                .isa = best_isa(p),
                                .n_threads = 1},
                       .coefs = coefs,
                       .intercepts = intercepts};
    UNDER(r, fbp_predict_rows_bytes(&model));
    void *scratch = allocate(fbp_predict_rows_bytes(&model));
    UNDER(r, fbp_model_check(&model));
    UNDER(r, fbp_predict_rows(&model, &data->x, 0, scratch, FBP_F64, out));
    note(r, out, sizeof out);
    UNDER(r, fbp_check_rows(&data->x, FBP_F32, best_isa(p), 2, NULL, NULL));
    model.coefs = wrong;
    UNDER(r, fbp_model_check(&model));
    UNDER(r, fbp_predict_rows(&model, &data->x, 0, scratch, FBP_F64, out));
    fbp_matrix x = data->x;
    x.data = bad, x.n_rows = 1;
    UNDER(r, fbp_check_rows(&x, FBP_F32, best_isa(p), 1, NULL, NULL));
    free(scratch), free(bad);
    for (int l = 0; l < 2; l++)
        free((void *)(uintptr_t)coefs[l]), free((void *)(uintptr_t)intercepts[l]);
}

/* The same calls under every mode: same statuses, same bytes, the mode untouched. */
static void test_calls(int real, int loss, int solver, double max_grad_norm, int n_threads)
{
    problem p = usual_problem(loss, solver);
    p.real = real, p.weighted = 1, p.dropout[0] = 0.3, p.step.max_grad_norm = max_grad_norm;
    const uint64_t seed = random_state;
    static record first, again;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        record *r = i ? &again : &first;
        r->used = 0, random_state = seed, current = modes[i];
        trainer t = trainer_new(&p);
        samples s = samples_new(&p);
        const fbp_data data = data_of(&p, &s);
        if (loss == FBP_LOSS_SQUARED_ERROR) note_creation(r, &p);
        note_training(r, &p, &t, &data, n_threads);
        note_gradient(r, p, &t, &data, n_threads);
        note_plain_calls(r, &p, &t, &data);
        CHECK(r->used == first.used && memcmp(r->bytes, first.bytes, first.used) == 0,
              "mode %llx changed a result: %s, %s, %d threads", shown(modes[i]), real_name(real),
              fbp_loss_name(loss), n_threads);
        samples_free(&s);
        trainer_free(&t);
    }
}

/* The caller's poll function runs in the caller's mode. */
static void test_poll(int n_threads)
{
    problem p = usual_problem(FBP_LOSS_LOG_LOSS, FBP_SOLVER_SGD);
    trainer t = trainer_new(&p);
    samples s = samples_new(&p);
    const fbp_data data = data_of(&p, &s);
    fbp_net *net = net_of(&t, best_isa(&p), n_threads, 32);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        set_mode(modes[i]);
        const uint64_t polled = mode_in_poll(net, &data), left = get_mode();
        set_mode(modes[0]);
        CHECK(polled == modes[i], "mode %llx was %llx in poll", shown(modes[i]), shown(polled));
        CHECK(left == modes[i], "mode %llx became %llx", shown(modes[i]), shown(left));
    }
    fbp_net_destroy(net);
    samples_free(&s);
    trainer_free(&t);
}

/* A test that reads no flags would see no change. */
static void test_the_test(void)
{
    volatile double third = 1, three = 3;
    set_mode(modes[0]);
    third /= three;
    (void)third; /* clang: set but not used */
    CHECK(get_mode() != modes[0], "an inexact division leaves a flag");
    set_mode(modes[0]);
}
#endif

int main(void)
{
#if defined(__x86_64__) || defined(__aarch64__)
    test_the_test();
    for (int threads = 1; threads <= 2; threads++)
        for (int real = FBP_F32; real <= FBP_F64; real++) {
            test_calls(real, FBP_LOSS_LOG_LOSS, FBP_SOLVER_ADAM, 0, threads);
            test_calls(real, FBP_LOSS_SQUARED_ERROR, FBP_SOLVER_SGD, 0.1, threads);
        }
    test_poll(1);
    test_poll(2);
#else
    CHECK(1, "no such environment here");
#endif
    return check_done("fpenv");
}
