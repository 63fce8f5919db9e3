/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sizes beyond 2³¹ and 2³²: elements that lie gigabytes apart, in address space that is reserved and
 * for the most part never touched; the sums and products of sizes, against integers of 128 bits.
 */
#include "arena.h"
#include "kernels.h"
#include "split.h"
#include "trainer.h"

typedef __int128 wide;

#define REGION (INT64_C(1) << 36) /* bytes; 64 GiB */
#define N_REGIONS 4
#define COLUMNS 131 /* two panels and more, in every family */

static char *regions[N_REGIONS];

static void reserve(void)
{
    char *space = mmap(NULL, N_REGIONS * (size_t)REGION, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (space == MAP_FAILED) {
        perror("mmap");
        exit(2);
    }
    for (int i = 0; i < N_REGIONS; i++)
        regions[i] = space + (size_t)i * (size_t)REGION;
}

/* What was written goes back to the system; all is zeros again. */
static void forget(void)
{
    if (madvise(regions[0], N_REGIONS * (size_t)REGION, MADV_DONTNEED) != 0) {
        perror("madvise");
        exit(2);
    }
}

/* A size of any number of bits up to `bits`. */
static int64_t any_size(int bits)
{
    return 1 + (int64_t)(random_bits() >> (64 - 1 - random_below(bits)));
}

/* A row and a distance of rows whose product is a number of elements between 2³² and limit. */
static void far_row(int64_t limit, int64_t *row, int64_t *ld)
{
    do {
        *ld = COLUMNS + any_size(33);
        *row = any_size(33);
    } while ((wide)*row * *ld <= INT64_C(1) << 32 || (wide)(*row + 1) * *ld > limit);
}

static void put_real(int real, char *at, double value)
{
    if (real == FBP_F32)
        *(float *)(void *)at = (float)value;
    else
        *(double *)(void *)at = value;
}

/* Where element i of an array of items of some bytes must be. */
static char *place(char *base, wide i, size_t bytes) { return base + (size_t)(i * (wide)bytes); }

static void test_dense(const family *f, int real, int of_x)
{
    const size_t bytes = real_bytes(of_x);
    int64_t row, ld;
    far_row(REGION / (int64_t)bytes, &row, &ld);
    const int64_t stride = REGION / (int64_t)real_bytes(real) / (COLUMNS / f->table->nr + 2);
    const fbp_matrix x = {row + 1, COLUMNS, of_x, 0, regions[0], ld, NULL, NULL};
    for (int64_t c = 0; c < COLUMNS; c++)
        put_real(of_x, place(regions[0], (wide)row * ld + c, bytes), (double)(c + 1));
    f->table->gather_dense[of_x](&x, &row, 0, 1, regions[1], stride);
    int64_t wrong = 0;
    for (int64_t c = 0; c < COLUMNS; c++) {
        const wide at = (wide)(c / f->table->nr) * stride + c % f->table->nr;
        wrong += real_at(real, place(regions[1], at, real_bytes(real)), 0) != (double)(c + 1);
    }
    CHECK(wrong == 0, "row %lld, %lld apart: %lld wrong", (long long)row, (long long)ld,
          (long long)wrong);
    f->table->scatter[of_x](1, COLUMNS, regions[1], stride, regions[2]);
    CHECK(memcmp(regions[2], place(regions[0], (wide)row * ld, bytes), COLUMNS * bytes) == 0,
          "scatter from panels %lld apart", (long long)stride);
    forget();
}

/* One row of CSR whose values lie beyond 2³² others, in row number 2³² and more. */
static void test_csr(const family *f, int real, int of_x, int bits)
{
    const int64_t room = REGION / 8, row = any_size(32) + (INT64_C(1) << 32);
    const int64_t from = bits == 64 ? random_below(room / 4) + (INT64_C(1) << 32)
                                    : INT32_MAX - COLUMNS - random_below(1000000);
    const size_t item = (size_t)bits / 8;
    const fbp_matrix x = {row + 1, COLUMNS, of_x, bits, regions[0], 0, regions[1], regions[2]};
    for (int64_t i = 0; i < 2; i++) {
        char *end = place(regions[2], (wide)row + i, item);
        if (bits == 64)
            *(int64_t *)(void *)end = from + i * COLUMNS;
        else
            *(int32_t *)(void *)end = (int32_t)(from + i * COLUMNS);
    }
    for (int64_t c = 0; c < COLUMNS; c++) { /* backwards, so that they are sorted, too */
        char *index = place(regions[1], (wide)from + c, item);
        if (bits == 64)
            *(int64_t *)(void *)index = COLUMNS - 1 - c;
        else
            *(int32_t *)(void *)index = (int32_t)(COLUMNS - 1 - c);
        put_real(of_x, place(regions[0], (wide)from + c, real_bytes(of_x)), (double)(COLUMNS - c));
    }
    const int64_t stride = 4 * f->table->nr;
    f->table->gather_csr[of_x](&x, &row, 0, 1, regions[3], stride);
    int64_t wrong = 0;
    for (int64_t c = 0; c < COLUMNS; c++)
        wrong += real_at(real, regions[3], c / f->table->nr * stride + c % f->table->nr) != c + 1;
    CHECK(wrong == 0, "values from %lld on: %lld wrong", (long long)from, (long long)wrong);

    uint32_t columns[COLUMNS];
    double values[COLUMNS], sums[COLUMNS] = {0};
    uint64_t marks[COLUMNS / 64 + 1] = {0};
    int64_t begin = 0, end = 0;
    const fbp_csr out = {&begin, &end, columns, values};
    f->table->compact[of_x](&x, &row, 0, 1, &out, sums, marks);
    wrong = end != COLUMNS;
    for (int64_t c = 0; c < COLUMNS; c++)
        wrong += columns[c] != c || real_at(real, values, c) != c + 1;
    CHECK(wrong == 0, "compact, values from %lld on: %lld wrong", (long long)from,
          (long long)wrong);
    forget();
}

/* Rows of samples, far from one another: X ld apart, y as long as there are rows. */
typedef struct {
    problem p;
    trainer t;
    samples s;
    fbp_data near, far;
    int64_t *order; /* near row r is far row order[r] */
} distant;

static distant distant_new(int real, int64_t far_rows, int64_t ld)
{
    distant d = {.p = usual_problem(FBP_LOSS_SQUARED_ERROR, FBP_SOLVER_ADAM)};
    const size_t bytes = real_bytes(real);
    d.p.real = real, d.p.units[0] = 3, d.p.n_rows = 40;
    d.t = (trainer){0}; /* made by the caller, in whose frame d.p then lies */
    d.s = samples_new(&d.p);
    d.near = data_of(&d.p, &d.s);
    d.far = d.near;
    d.far.x.n_rows = far_rows, d.far.x.ld = ld;
    d.far.x.data = regions[0], d.far.y = regions[1];
    d.order = allocate(sizeof(int64_t) * 40);
    for (int64_t r = 0; r < 40; r++) {
        d.order[r] = r < 39 ? r * (far_rows / 40) + random_below(far_rows / 40) : far_rows - 1;
        memcpy(place(regions[0], (wide)d.order[r] * ld, bytes),
               (const char *)d.s.x_real + (size_t)r * 3 * bytes, 3 * bytes);
        memcpy(place(regions[1], (wide)d.order[r] * 3, bytes),
               (const char *)d.s.y_real + (size_t)r * 3 * bytes, 3 * bytes);
    }
    return d;
}

/* Training and predictions of far rows: the bits of the same rows side by side. */
static void test_net(int real, int64_t far_rows, int64_t ld, int n_threads)
{
    distant d = distant_new(real, far_rows, ld);
    d.t = trainer_new(&d.p);
    const size_t out_bytes = 40 * 3 * real_bytes(real),
                 bytes = (size_t)n_parameters(&d.p) * real_bytes(real);
    void *near = allocate(bytes + out_bytes), *far = allocate(bytes + out_bytes);
    double near_loss[40], far_loss[40];
    fbp_progress progress;
    fbp_net *net = net_of(&d.t, best_isa(&d.p), n_threads, 16);
    CHECK(fbp_train(net, &d.near, NULL, 40, 16, &usual, &progress) == FBP_OK, "near");
    net_parameters(&d.p, net, near);
    CHECK(fbp_predict(net, &d.near.x, 0, NULL, NULL, real, (char *)near + bytes) == FBP_OK &&
              fbp_predict_loss(net, &d.near, NULL, 40, NULL, NULL, near_loss) == FBP_OK,
          "near");
    fbp_net_destroy(net);
    net = net_of(&d.t, best_isa(&d.p), n_threads, 16);
    CHECK(fbp_train(net, &d.far, d.order, 40, 16, &usual, &progress) == FBP_OK, "far");
    net_parameters(&d.p, net, far);
    CHECK(fbp_predict_order(net, &d.far.x, d.order, 40, 0, NULL, NULL, real, (char *)far + bytes) ==
                  FBP_OK &&
              fbp_predict_loss(net, &d.far, d.order, 40, NULL, NULL, far_loss) == FBP_OK,
          "far");
    CHECK(memcmp(near, far, bytes + out_bytes) == 0 &&
              memcmp(near_loss, far_loss, sizeof near_loss) == 0,
          "%s, %lld rows, %lld apart: other bits", real_name(real), (long long)far_rows,
          (long long)ld);
    fbp_net_destroy(net);
    free(near), free(far), free(d.order);
    samples_free(&d.s);
    trainer_free(&d.t);
    forget();
}

/* Rows that lie far apart, all of them predicted and checked: without an order. */
static void test_every_row(int real)
{
    const int64_t ld = REGION / 40 / (int64_t)real_bytes(real);
    distant d = distant_new(real, 40, ld);
    d.t = trainer_new(&d.p);
    const int32_t activations[] = {d.p.activation};
    const void *coefs[2], *intercepts[2];
    for (int l = 0; l < 2; l++) {
        coefs[l] = as_reals(real, d.t.w[l], d.p.units[l] * d.p.units[l + 1]);
        intercepts[l] = as_reals(real, d.t.b[l], d.p.units[l + 1]);
    }
    const fbp_model model = {.spec = {.n_layers = 2,
                                      .units = d.p.units,
                                      .activations = activations,
                                      .loss = d.p.loss,
                                      .real = real,
                                      .isa = best_isa(&d.p),
                                      .n_threads = 1},
                             .coefs = coefs,
                             .intercepts = intercepts};
    double near[120], far[120];
    void *scratch = allocate(fbp_predict_rows_bytes(&model));
    CHECK(fbp_predict_rows(&model, &d.near.x, 0, scratch, FBP_F64, near) == FBP_OK &&
              fbp_predict_rows(&model, &d.far.x, 0, scratch, FBP_F64, far) == FBP_OK &&
              memcmp(near, far, sizeof near) == 0,
          "%s: rows in place", real_name(real));
    CHECK(fbp_check_rows(&d.far.x, FBP_F32, best_isa(&d.p), 2, NULL, NULL) == FBP_OK,
          "finite rows");
    put_real(real, place(regions[0], (wide)39 * ld + 2, real_bytes(real)), INFINITY);
    CHECK(fbp_check_rows(&d.far.x, FBP_F32, best_isa(&d.p), 2, NULL, NULL) == FBP_ENONFINITE,
          "the last number is not finite");
    free(scratch), free(d.order);
    for (int l = 0; l < 2; l++)
        free((void *)(uintptr_t)coefs[l]), free((void *)(uintptr_t)intercepts[l]);
    samples_free(&d.s);
    trainer_free(&d.t);
    forget();
}

/* Sums and products of sizes: right, or an overflow that is noted. */
static void test_arena(void)
{
    fbp_arena arena = {0};
    wide used = 0;
    const wide limit = (wide)PTRDIFF_MAX - 256;
    for (int i = 0; i < 30; i++) {
        const int64_t count = random_below(20) ? any_size(62) : -any_size(62);
        const size_t bytes = (size_t)any_size(random_below(2) ? 62 : 4);
        const wide size = ((wide)count * (wide)bytes + 64 + 63) / 64 * 64;
        const int fits = count >= 0 && (wide)count * (wide)bytes <= limit && size <= limit - used;
        CHECK(fbp_arena_take(&arena, count, bytes) == NULL, "an address while planning");
        CHECK(arena.overflow == !fits, "%lld times %llu", (long long)count,
              (unsigned long long)bytes);
        if (!fits) return;
        used += size;
        CHECK((wide)arena.used == used, "%lld times %llu: %llu", (long long)count,
              (unsigned long long)bytes, (unsigned long long)arena.used);
    }
}

static void test_arithmetic(void)
{
    const int64_t a = any_size(60), b = any_size(20), i = any_size(40);
    CHECK((wide)fbp_ceil_div(a, b) == ((wide)a + b - 1) / b, "ceil_div");
    CHECK((wide)fbp_round_up(a, b) == ((wide)a + b - 1) / b * b, "round_up");
    for (int real = FBP_F32; real <= FBP_F64; real++) {
        const fbp_net net = {.real_bytes = real_bytes(real)};
        const wide at = (wide)(uintptr_t)regions[0] + (wide)i * (wide)net.real_bytes;
        CHECK((wide)(uintptr_t)fbp_at(&net, regions[0], i) == at, "element %lld", (long long)i);
    }
    const int64_t lines = any_size(62), k = any_size(62), tiles = fbp_split_tiles(lines, k);
    const wide exactly = (((wide)lines + 15) / 16) * (((wide)k + 31) / 32);
    CHECK((wide)tiles == exactly || (tiles == -1 && exactly * 3 * 512 * 2 > INT64_MAX / 2),
          "tiles of %lld x %lld: %lld", (long long)lines, (long long)k, (long long)tiles);
}

/* A layer that no memory holds is refused, whatever its product is modulo 2⁶⁴. */
static void test_net_sizes(void)
{
    const int64_t units[] = {any_size(63), any_size(63), any_size(63)};
    const wide product = (wide)units[0] * units[1];
    const int32_t activations[] = {FBP_ACT_RELU};
    const fbp_spec spec = {.n_layers = 2,
                           .units = units,
                           .activations = activations,
                           .loss = FBP_LOSS_SQUARED_ERROR,
                           .real = (int32_t)random_below(2),
                           .isa = FBP_ISA_REF,
                           .n_threads = 1 + (int32_t)random_below(3),
                           .max_rows = random_below(2) ? any_size(63) : 0,
                           .solver = FBP_SOLVER_SGD};
    if (product < (wide)1 << 50 && (wide)units[1] * units[2] < (wide)1 << 50) return;
    fbp_net *net;
    CHECK(fbp_net_create(&spec, &net) == FBP_ENOMEM && !net, "%lld, %lld, %lld",
          (long long)units[0], (long long)units[1], (long long)units[2]);
}

int main(void)
{
    const int n = fewer_cases() ? 2 : 10;
    reserve();
    for (int real = FBP_F32; real <= FBP_F64; real++) {
        family families[FBP_N_ISAS];
        const int n_families = families_of(real, families);
        for (int i = 0; i < n_families * n; i++)
            for (int of_x = FBP_F32; of_x <= FBP_F64; of_x++) {
                test_dense(&families[i % n_families], real, of_x);
                test_csr(&families[i % n_families], real, of_x, 32);
                test_csr(&families[i % n_families], real, of_x, 64);
            }
        for (int threads = 1; threads <= 2; threads++) {
            test_net(real, (INT64_C(1) << 32) / 3 + 1000, 3, threads);
            test_net(real, REGION / 8 / 4096, 4096, threads);
            test_net(real, 100, REGION / 8 / 100, threads);
        }
        test_every_row(real);
    }
    for (int i = 0; i < 100000; i++) {
        test_arena();
        test_arithmetic();
        test_net_sizes();
    }
    return check_done("sizes");
}
