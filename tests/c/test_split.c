/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The split kernels of every family that has them, at every precision, bitwise against the model
 * (split_model.h): splitting into tiles, both row products with every activation, the weight product
 * with every solver, in one and in two chunks. Operands end at protected pages.
 *
 * Rests on: the base family's update (test_updates), exp and tanh (test_math).
 */
#include "split_model.h"

static char label[200];

static void describe(const split_family *f, const char *what, int64_t rows, int64_t n, int64_t k)
{
    snprintf(label, sizeof label, "%s %s, %d parts, %lld x %lld x %lld", what, fbp_isa_name(f->isa),
             f->parts, (long long)rows, (long long)n, (long long)k);
}

static int64_t count_differences(const buffer *tiles, const buffer *expected, int64_t n)
{
    int64_t wrong = 0;
    for (int64_t i = 0; i < n; i++)
        wrong += ((const uint16_t *)tiles->data)[i] != ((const uint16_t *)expected->data)[i];
    return wrong;
}

/* Two blocks of rows, then the batch's operand: rows from `valid` on are zeros, also beyond. */
static void test_blocks(const split_family *f, int left, int64_t rows, int64_t valid, int64_t cols)
{
    const int64_t first = fbp_min(32, rows), k_tiles = fbp_ceil_div(cols, 32);
    float *x = floats_random(rows * cols);
    panels in = panels_of(f->base, rows, cols, x, valid); /* the rest is poison */
    for (int64_t i = valid * cols; i < rows * cols; i++)
        x[i] = 0;
    buffer rows_expected = tiles_new(f->parts, 0, rows, cols, x, cols, 1);
    buffer batch_expected = tiles_new(f->parts, !left, cols, rows, x, 1, cols);
    buffer batch = buffer_of_bytes(sizeof(uint16_t) * (size_t)batch_expected.n);
    describe(f, left ? "split a" : "split delta", rows, cols, valid);
    for (int64_t row = 0; row < rows; row += first) {
        const int64_t n = fbp_min(first, rows - row), size = n / 16 * k_tiles * f->parts * 512;
        buffer tiles = buffer_of_bytes(sizeof(uint16_t) * (size_t)size), expected = rows_expected;
        const fbp_split_block block = {
            .parts = f->parts,
            .rows = n,
            .valid = valid - row,
            .cols = cols,
            .x = (const float *)in.b.data + row * f->base->nr,
            .stride = in.stride,
            .tiles = row % 64 == 0 || row > 64 ? tiles.data : NULL,
            .batch = batch.data,
            .row = row,
            .batch_k = fbp_ceil_div(rows, 32),
            .last = row + n >= valid,
        };
        (left ? f->table->split_a : f->table->split_delta)(&block);
        expected.data = (uint16_t *)rows_expected.data + row / 16 * k_tiles * f->parts * 512;
        const int64_t wrong = block.tiles ? count_differences(&tiles, &expected, size) : 0;
        CHECK(wrong == 0, "%s: %lld wrong in the rows' tiles", label, (long long)wrong);
        buffer_free(&tiles);
    }
    const int64_t wrong = count_differences(&batch, &batch_expected, batch_expected.n);
    CHECK(wrong == 0, "%s: %lld wrong in the batch's tiles", label, (long long)wrong);
    buffer_free(&in.b), buffer_free(&rows_expected), buffer_free(&batch_expected);
    buffer_free(&batch);
    free(x);
}

/* Packed W of a plain [fan_in × fan_out], its padding zero. */
static buffer packed_floats(const fbp_kernels *k, int64_t fan_in, int64_t fan_out, const float *w)
{
    buffer b = buffer_new(FBP_F32, fan_in * fbp_round_up(fan_out, k->lanes));
    memset(b.data, 0, sizeof(float) * (size_t)b.n);
    k->pack(fan_in, fan_out, 0, fan_in, w, b.data, NULL);
    return b;
}

static void check_packed(const split_family *f, int64_t fan_in, int64_t fan_out, const float *w,
                         const buffer *w_tiles, const buffer *wt_tiles)
{
    buffer forward = tiles_new(f->parts, 1, fan_out, fan_in, w, 1, fan_out);
    buffer backward = tiles_new(f->parts, 1, fan_in, fan_out, w, fan_out, 1);
    const int64_t wrong = count_differences(w_tiles, &forward, forward.n);
    const int64_t wrong_t = count_differences(wt_tiles, &backward, backward.n);
    CHECK(wrong == 0, "%s: %lld wrong in the tiles of W", label, (long long)wrong);
    CHECK(wrong_t == 0, "%s: %lld wrong in the tiles of Wᵀ", label, (long long)wrong_t);
    buffer_free(&forward), buffer_free(&backward);
}

static buffer zeroed_tiles(int parts, int64_t lines, int64_t k)
{
    buffer b = buffer_of_bytes((size_t)(fbp_split_tiles(lines, k) * parts) * 1024);
    memset(b.data, 0, (size_t)(fbp_split_tiles(lines, k) * parts) * 1024);
    return b;
}

static void test_pack(const split_family *f, int64_t fan_in, int64_t fan_out)
{
    float *w = floats_random(fan_in * fan_out);
    buffer master = packed_floats(f->base, fan_in, fan_out, w);
    buffer w_tiles = zeroed_tiles(f->parts, fan_out, fan_in);
    buffer wt_tiles = zeroed_tiles(f->parts, fan_in, fan_out);
    describe(f, "pack", 0, fan_out, fan_in);
    f->table->pack(f->parts, fan_in, fan_out, master.data, w_tiles.data, NULL);
    f->table->pack(f->parts, fan_in, fan_out, master.data, NULL, wt_tiles.data);
    check_packed(f, fan_in, fan_out, w, &w_tiles, &wt_tiles);
    buffer_free(&master), buffer_free(&w_tiles), buffer_free(&wt_tiles);
    free(w);
}

/* act(z), with the base family's own kernels. */
static float activated(const split_family *f, int activation, float z)
{
    float values[16] = {z};
    f->base->activate[activation](1, values);
    return values[0];
}

/* delta · act', a being act's output, or act' itself: the product of one delta with a weight of 1. */
static float slope_times(const split_family *f, int activation, float delta, float a)
{
    float deltas[16] = {delta}, weights[16] = {1}, in[16 * 48] = {a}, out[16 * 48];
    f->base->backward_column[activation](1, 1, 1, deltas, 0, weights, in, 0, out);
    return out[0];
}

/* out [rows × n] of x [rows × k] and y [k × n], forward with a bias or backward with activations. */
static void test_product(const split_family *f, int backward, int activation, int64_t rows,
                         int64_t n, int64_t k)
{
    float *x = floats_random(rows * k), *y = floats_random(k * n);
    float *operand = floats_random(backward ? rows * n : n);
    for (int64_t i = 0; backward && i < rows * n; i += 3)
        operand[i] = 0;
    buffer a = tiles_new(f->parts, 0, rows, k, x, k, 1);
    buffer b = tiles_new(f->parts, 1, n, k, y, 1, n);
    buffer bias = buffer_new(FBP_F32, fbp_round_up(n, f->base->lanes));
    for (int64_t i = 0; !backward && i < n; i++)
        ((float *)bias.data)[i] = operand[i];
    panels out = panels_new(f->base, FBP_F32, rows, n);
    panels below = panels_of(f->base, rows, n, operand, backward ? rows : 0);
    const fbp_split_product product = {
        .parts = f->parts,
        .rows = rows,
        .n = n,
        .k = k,
        .a = a.data,
        .b = b.data,
        .operand = backward ? below.b.data : bias.data,
        .out = out.b.data,
        .stride = out.stride,
    };
    if (f->table->enter) f->table->enter();
    (backward ? f->table->backward : f->table->forward)[activation](&product);
    if (f->table->leave) f->table->leave();

    describe(f, backward ? "backward" : "forward", rows, n, k);
    float *sums = model_product(f, rows, n, k, x, k, 1, y, 1, n);
    int64_t wrong = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < n; c++) {
            const float sum = sums[r * n + c];
            const float expected = backward ? slope_times(f, activation, sum, operand[r * n + c])
                                            : activated(f, activation, sum + operand[c]);
            wrong += !same_float(((const float *)out.b.data)[panels_at(&out, r, c)], expected);
        }
    CHECK(wrong == 0, "%s %s: %lld wrong", label, fbp_activation_name(activation),
          (long long)wrong);
    double *values = matrix_new(rows * n);
    panels_read(&out, rows, values); /* nothing between the panels was touched */
    buffer_free(&a), buffer_free(&b), buffer_free(&bias), buffer_free(&out.b);
    buffer_free(&below.b);
    free(x), free(y), free(operand), free(values), free(sums);
}

/* A layer's state in buffers, to be updated twice: by the split kernels and by the base family. */
typedef struct {
    buffer w, b, mw[2], mb[2], gw, gb, squares;
} layer_state;

static layer_state state_new(const split_family *f, int64_t fan_in, int64_t fan_out)
{
    const int64_t lanes = f->base->lanes;
    layer_state s;
    float *values = floats_random(fan_in * fan_out);
    s.w = packed_floats(f->base, fan_in, fan_out, values);
    buffer *vectors[] = {&s.b, &s.mb[0], &s.mb[1], &s.gb}, *like_w[] = {&s.mw[0], &s.mw[1], &s.gw};
    for (int i = 0; i < 4; i++) {
        *vectors[i] = buffer_new(FBP_F32, fbp_round_up(fan_out, lanes));
        for (int64_t j = 0; j < vectors[i]->n; j++)
            put(vectors[i], j, j < fan_out ? random_unit() : 0);
    }
    for (int i = 0; i < 3; i++) {
        for (int64_t j = 0; j < fan_in * fan_out; j++)
            values[j] = (float)random_unit();
        *like_w[i] = packed_floats(f->base, fan_in, fan_out, values);
    }
    s.squares = buffer_new(FBP_F32, fbp_ceil_div(fan_in, 32) * fbp_round_up(fan_out, lanes));
    free(values);
    return s;
}

static layer_state state_copy(const layer_state *from)
{
    layer_state s = *from;
    buffer *all[] = {&s.w, &s.b, &s.mw[0], &s.mw[1], &s.mb[0], &s.mb[1], &s.gw, &s.gb, &s.squares};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const void *data = all[i]->data;
        *all[i] = buffer_new(FBP_F32, all[i]->n);
        memcpy(all[i]->data, data, sizeof(float) * (size_t)all[i]->n);
    }
    return s;
}

static void state_free(layer_state *s)
{
    buffer *all[] = {&s->w,     &s->b,  &s->mw[0], &s->mw[1],  &s->mb[0],
                     &s->mb[1], &s->gw, &s->gb,    &s->squares};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        buffer_free(all[i]);
}

static fbp_strip strip_of(layer_state *s, int solver, int64_t fan_in, int64_t fan_out)
{
    const int n_moments = solver == FBP_SOLVER_GRADIENT ? 1 : fbp_solver_n_moments(solver);
    fbp_strip strip = {.fan_in = fan_in, .fan_out = fan_out, .w = s->w.data, .b = s->b.data};
    strip.gw = s->gw.data, strip.gb = s->gb.data, strip.squares = s->squares.data;
    for (int m = 0; m < n_moments; m++)
        strip.mw[m] = s->mw[m].data, strip.mb[m] = s->mb[m].data;
    return strip;
}

/* The gradient's sums by the model, put where the base family's update goes on from. */
static void model_sums(const split_family *f, layer_state *s, int64_t rows, int64_t fan_in,
                       int64_t fan_out, const float *a, const float *delta)
{
    float *sums = model_product(f, fan_in, fan_out, rows, a, 1, fan_in, delta, 1, fan_out);
    f->base->pack(fan_in, fan_out, 0, fan_in, sums, s->gw.data, NULL);
    for (int64_t j = 0; j < fan_out; j++) {
        float sum = 0;
        for (int64_t r = 0; r < rows; r++)
            sum += delta[r * fan_out + j];
        ((float *)s->gb.data)[j] = sum;
    }
    free(sums);
}

typedef struct {
    int64_t rows, fan_in, fan_out;
    int solver, chunks;
    fbp_update update;
} weight_problem;

/* Every strip of the layer through the split kernels, once per chunk of whole tiles. */
static void update_split(const split_family *f, const weight_problem *p, layer_state *s,
                         const float *a, const float *delta, buffer *w_tiles, buffer *wt_tiles)
{
    const int64_t half = p->chunks == 2 ? p->rows / 64 * 32 : p->rows, nr = f->base->nr;
    for (int chunk = 0; chunk < p->chunks; chunk++) {
        const int64_t begin = chunk * half, rows = chunk + 1 == p->chunks ? p->rows - begin : half;
        buffer left = tiles_new(f->parts, 0, p->fan_in, rows, a + begin * p->fan_in, 1, p->fan_in);
        buffer right =
            tiles_new(f->parts, 1, p->fan_out, rows, delta + begin * p->fan_out, 1, p->fan_out);
        panels out = panels_of(f->base, rows, p->fan_out, delta + begin * p->fan_out, rows);
        fbp_update update = p->update;
        update.first = chunk == 0, update.last = chunk + 1 == p->chunks;
        fbp_strip strip = strip_of(s, p->solver, p->fan_in, p->fan_out);
        strip.rows = rows, strip.delta = out.b.data, strip.delta_stride = out.stride;
        const fbp_split_strip split = {
            .parts = f->parts,
            .strip = &strip,
            .a = left.data,
            .delta = right.data,
            .batch_k = fbp_ceil_div(rows, 32),
            .w_tiles = w_tiles->data,
            .wt_tiles = wt_tiles->data,
        };
        if (f->table->enter) f->table->enter();
        for (strip.panel = 0; strip.panel * nr < p->fan_out; strip.panel++)
            for (strip.i0 = 0; strip.i0 < p->fan_in; strip.i0 += 32) {
                strip.i1 = fbp_min(p->fan_in, strip.i0 + 32);
                f->table->update[p->solver](&split, &update);
            }
        if (f->table->leave) f->table->leave();
        buffer_free(&left), buffer_free(&right), buffer_free(&out.b);
    }
}

/* The base family's update from given sums: no rows are left to add. */
static void update_base(const split_family *f, const weight_problem *p, layer_state *s)
{
    fbp_strip strip = strip_of(s, p->solver, p->fan_in, p->fan_out);
    fbp_update update = p->update;
    float nothing[64] = {0};
    update.first = 0, update.last = 1;
    strip.a = strip.delta = nothing;
    for (strip.panel = 0; strip.panel * f->base->nr < p->fan_out; strip.panel++)
        for (strip.i0 = 0; strip.i0 < p->fan_in; strip.i0 += 32) {
            strip.i1 = fbp_min(p->fan_in, strip.i0 + 32);
            f->base->update[p->solver](&strip, &update);
        }
}

static void test_update(const split_family *f, const weight_problem *p)
{
    float *a = floats_random(p->rows * p->fan_in), *delta = floats_random(p->rows * p->fan_out);
    layer_state s = state_new(f, p->fan_in, p->fan_out), expected = state_copy(&s);
    buffer w_tiles = zeroed_tiles(f->parts, p->fan_out, p->fan_in);
    buffer wt_tiles = zeroed_tiles(f->parts, p->fan_in, p->fan_out);
    update_split(f, p, &s, a, delta, &w_tiles, &wt_tiles);
    model_sums(f, &expected, p->rows, p->fan_in, p->fan_out, a, delta);
    update_base(f, p, &expected);

    describe(f, "update", p->fan_in, p->fan_out, p->rows);
    const buffer *ours[] = {&s.w, &s.b, &s.mw[0], &s.mw[1], &s.mb[0], &s.mb[1], &s.squares};
    const buffer *theirs[] = {&expected.w,     &expected.b,     &expected.mw[0],  &expected.mw[1],
                              &expected.mb[0], &expected.mb[1], &expected.squares};
    for (int i = 0; i < 7; i++) {
        int64_t wrong = 0;
        const int vector = ours[i] == &s.b || ours[i] == &s.mb[0] || ours[i] == &s.mb[1];
        for (int64_t j = 0; j < (vector ? p->fan_out : ours[i]->n); j++)
            wrong +=
                !same_float(((const float *)ours[i]->data)[j], ((const float *)theirs[i]->data)[j]);
        CHECK(wrong == 0, "%s %s, %d chunks: %lld wrong in array %d", label,
              fbp_solver_name(p->solver), p->chunks, (long long)wrong, i);
    }
    float *w = floats_random(p->fan_in * p->fan_out);
    f->base->unpack(p->fan_in, p->fan_out, 0, p->fan_in, s.w.data, w);
    check_packed(f, p->fan_in, p->fan_out, w, &w_tiles, &wt_tiles);
    state_free(&s), state_free(&expected);
    buffer_free(&w_tiles), buffer_free(&wt_tiles);
    free(a), free(delta), free(w);
}

static void test_updates(const split_family *f)
{
    static const int64_t shapes[][3] = {{1, 1, 1},    {16, 17, 15}, {31, 32, 33},
                                        {33, 48, 16}, {64, 49, 47}, {70, 70, 97},
                                        {96, 31, 49}, {65, 16, 32}, {100, 100, 50}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int solver = 0; solver < FBP_N_SOLVERS; solver++) {
            weight_problem p = {.rows = shapes[i][0],
                                .fan_in = shapes[i][1],
                                .fan_out = shapes[i][2],
                                .solver = solver,
                                .update = {.alpha = 0.5,
                                           .scale = 0.25,
                                           .learning_rate = 0.25,
                                           .decay = 0.0625,
                                           .momentum = 0.5,
                                           .beta_1 = 0.5,
                                           .beta_2 = 0.75,
                                           .epsilon = 0.125}};
            for (p.chunks = 1; p.chunks <= (p.rows >= 64 ? 2 : 1); p.chunks++)
                test_update(f, &p);
        }
}

static void test_family(const split_family *f)
{
    static const int64_t sizes[] = {1, 15, 16, 17, 31, 32, 33, 47, 48, 49, 64, 70};
    const int n_sizes = sizeof sizes / sizeof *sizes;
    for (int i = 0; i < n_sizes; i++)
        for (int j = 0; j < n_sizes; j++) {
            const int64_t rows = 16 * (1 + (i + j) % 5);
            test_blocks(f, (i + j) % 2, rows, rows - (i * j) % 16, sizes[i]);
            test_pack(f, sizes[i], sizes[j]);
            test_product(f, 0, FBP_ACT_IDENTITY, rows, sizes[i], sizes[j]);
            test_product(f, 1, (i + j) % FBP_N_ACTIVATIONS, rows, sizes[i], sizes[j]);
        }
    test_blocks(f, 0, 48, 1, 40);
    test_blocks(f, 1, 80, 65, 100);
    for (int activation = 0; activation < FBP_N_ACTIVATIONS; activation++)
        for (int backward = 0; backward < 2; backward++)
            test_product(f, backward, activation, 48, 50, 1100); /* three blocks of k */
    test_updates(f);
}

int main(void)
{
    every_split_family(test_family);
    return check_done("split");
}
