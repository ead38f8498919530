/*
 * @summary@
 *
 * A network with its weights and its inference in integers, by saliq. C99, nothing else: no other file, no library, no malloc, no state.
 *
 *   @prefix@_workspace workspace;                       // @RAM@ bytes
 *   float scores[@PREFIX@_CLASSES];
 *   int class = @prefix@_classify(pixels, &workspace, scores);
 *
 * pixels are the image's own bytes, [channel][row][column]: @channels@ x @height@ x @width@.
 * RAM: the workspace, and the stack of a few calls. ROM: @ROM@ bytes of constants, and the code.
 *
 * Between layers there is a byte a number wherever an activation is quantized. A sum of products of integers is exact; the next level is
 * round(sum * multiplier + offset), half to even, within the levels there are. Compile without options that relax floating point.
 */
#ifndef @PREFIX@_H
#define @PREFIX@_H

#include <stdint.h>

#define @PREFIX@_CHANNELS @channels@
#define @PREFIX@_HEIGHT @height@
#define @PREFIX@_WIDTH @width@
#define @PREFIX@_CLASSES @classes@
/* Bytes of the workspace, and of the constants below. */
#define @PREFIX@_RAM_BYTES @RAM@
#define @PREFIX@_ROM_BYTES @ROM@

typedef struct {
    union {
        float floats[@ram_words@];
        int32_t integers[@ram_words@];
        uint8_t bytes[4 * @ram_words@];
    } values; /* what goes into a step at one end, what comes out at the other */
    union {
        float floats[@plane_words@];
        int32_t integers[@plane_words@];
    } plane; /* sums of one output channel */
} @prefix@_workspace;

/* What a number is stored as. */
enum { @PREFIX@_U8, @PREFIX@_I8, @PREFIX@_FLOAT };
/* What a step computes: sums of products of integers or of floats, maxima, means, the sum of two values, or an activation alone. */
enum { @PREFIX@_INTEGERS, @PREFIX@_FLOATS, @PREFIX@_POOL, @PREFIX@_MEANS, @PREFIX@_ADD, @PREFIX@_ACTIVATION };
/* The place of the image among the values. */
#define @PREFIX@_PIXELS UINT32_MAX

typedef struct {
    uint8_t kind, from, to;
    uint8_t bits;         /* of a code: weight = spacing * code + pivot of its output channel */
    uint8_t spacing;
    uint8_t pivot_stride; /* 0: one pivot for all */
    uint8_t border;       /* the offset depends on which taps are inside the image */
    uint8_t counts_padding; /* means are over padded pixels too */
    uint32_t channels, height, width;                /* of the input */
    uint32_t out_channels, out_height, out_width;
    uint32_t kernel, stride, padding;
    uint32_t weights;     /* first byte of codes, or first float */
    uint32_t pivots;      /* first pivot */
    uint32_t scales;      /* first float: multipliers, offsets, borders */
    uint32_t first, second, output; /* words of the workspace where values begin */
    uint8_t second_from;  /* what the second value is stored as */
    float lowest, highest;
} @prefix@_step;

@constants@
/* The code at `index` of packed ones: bit n of the stream is bit n % 8 of byte n / 8. */
static inline int32_t @prefix@_code(const uint8_t *codes, uint32_t index, uint32_t bits) {
    uint32_t at = index * bits, word = codes[at / 8];
    if (at % 8 + bits > 8) { word |= (uint32_t)codes[at / 8 + 1] << 8; }
    return (int32_t)(word >> at % 8 & ((1u << bits) - 1));
}

/* Weight `index` of output channel `out`. */
static inline int32_t @prefix@_weight(const @prefix@_step *step, uint32_t out, uint32_t index) {
    int32_t code = @prefix@_code(@prefix@_codes + step->weights, index, step->bits);
    return step->spacing * code + @prefix@_pivots[step->pivots + out * step->pivot_stride];
}

static inline int32_t @prefix@_integer(const uint8_t *values, uint32_t index, uint8_t type) {
    int32_t byte = values[index];
    return type == @PREFIX@_I8 ? (byte ^ 128) - 128 : byte;
}

/* What is stored; floats are those of a workspace, and aligned. */
static inline float @prefix@_value(const void *values, uint32_t index, uint8_t type) {
    if (type == @PREFIX@_FLOAT) { return ((const float *)values)[index]; }
    return (float)@prefix@_integer((const uint8_t *)values, index, type);
}

/* Stores x at the end of a step: itself, or the level nearest to it, half to even. */
static inline void @prefix@_store(const @prefix@_step *step, void *values, uint32_t index, float x) {
    x = x < step->lowest ? step->lowest : x > step->highest ? step->highest : x;
    if (step->to == @PREFIX@_FLOAT) {
        ((float *)values)[index] = x;
    } else {
        int32_t level = (int32_t)x;
        float rest = x - (float)level;
        if (rest > 0.5f || (rest == 0.5f && level % 2 != 0)) { level += 1; }
        if (rest < -0.5f || (rest == -0.5f && level % 2 != 0)) { level -= 1; }
        ((uint8_t *)values)[index] = (uint8_t)(level & 255);
    }
}

/* The row or column of the input that a tap meets, or `size` outside. */
static inline uint32_t @prefix@_place(const @prefix@_step *step, uint32_t at, uint32_t tap, uint32_t size) {
    uint32_t place = at * step->stride + tap;
    return place < step->padding || place - step->padding >= size ? size : place - step->padding;
}

/* The sum of the weights of output channel `out` that lie inside the image. */
static inline float @prefix@_inside(const @prefix@_step *step, uint32_t out, uint32_t row, uint32_t column) {
    uint32_t taps = step->kernel * step->kernel, fan_in = step->channels * taps;
    int32_t integers = 0;
    float floats = 0.0f;
    for (uint32_t k = 0; k < fan_in; k++) {
        uint32_t y = @prefix@_place(step, row, k % taps / step->kernel, step->height);
        uint32_t x = @prefix@_place(step, column, k % step->kernel, step->width);
        if (y == step->height || x == step->width) { continue; }
        if (step->kind == @PREFIX@_INTEGERS) {
            integers += @prefix@_weight(step, out, out * fan_in + k);
        } else {
            floats += @prefix@_floats[step->weights + out * fan_in + k];
        }
    }
    return step->kind == @PREFIX@_INTEGERS ? (float)integers : floats;
}

/* A convolution, or a fully connected layer as one of 1 x 1 pixels, with its activation. Every weight is read once. */
static inline void @prefix@_sum(const @prefix@_step *step, @prefix@_workspace *workspace, const void *from, void *to) {
    uint32_t pixels = step->out_height * step->out_width, taps = step->kernel * step->kernel, fan_in = step->channels * taps;
    const float *scales = @prefix@_floats + step->scales;
    for (uint32_t out = 0; out < step->out_channels; out++) {
        int32_t *integers = workspace->plane.integers;
        float *floats = workspace->plane.floats;
        for (uint32_t pixel = 0; pixel < pixels; pixel++) {
            if (step->kind == @PREFIX@_INTEGERS) { integers[pixel] = 0; } else { floats[pixel] = 0.0f; }
        }
        for (uint32_t k = 0; k < fan_in; k++) {
            uint32_t plane = k / taps * step->height * step->width;
            int32_t weight = 0;
            float real = 0.0f;
            if (step->kind == @PREFIX@_INTEGERS) {
                weight = @prefix@_weight(step, out, out * fan_in + k);
                if (weight == 0) { continue; }
            } else {
                real = @prefix@_floats[step->weights + out * fan_in + k];
            }
            for (uint32_t row = 0; row < step->out_height; row++) {
                uint32_t y = @prefix@_place(step, row, k % taps / step->kernel, step->height);
                if (y == step->height) { continue; }
                for (uint32_t column = 0; column < step->out_width; column++) {
                    uint32_t x = @prefix@_place(step, column, k % step->kernel, step->width);
                    uint32_t at = plane + y * step->width + x;
                    if (x == step->width) { continue; }
                    if (step->kind == @PREFIX@_INTEGERS) {
                        integers[row * step->out_width + column] += weight * @prefix@_integer((const uint8_t *)from, at, step->from);
                    } else {
                        floats[row * step->out_width + column] += real * @prefix@_value(from, at, step->from);
                    }
                }
            }
        }
        for (uint32_t pixel = 0; pixel < pixels; pixel++) {
            float sum = step->kind == @PREFIX@_INTEGERS ? (float)integers[pixel] : floats[pixel];
            float offset = scales[step->out_channels + out], x = sum * scales[out];
            if (step->border) {
                float inside = @prefix@_inside(step, out, pixel / step->out_width, pixel % step->out_width);
                inside = inside * scales[2 * step->out_channels + out];
                offset = inside + offset;
            }
            @prefix@_store(step, to, out * pixels + pixel, x + offset);
        }
    }
}

static inline void @prefix@_pool(const @prefix@_step *step, const void *from, void *to) {
    for (uint32_t out = 0; out < step->channels * step->out_height * step->out_width; out++) {
        uint32_t column = out % step->out_width, row = out / step->out_width % step->out_height;
        uint32_t plane = out / step->out_width / step->out_height * step->height;
        float best = 0.0f;
        for (uint32_t k = 0; k < step->kernel * step->kernel; k++) {
            uint32_t y = row * step->stride + k / step->kernel, x = column * step->stride + k % step->kernel;
            float value = @prefix@_value(from, (plane + y) * step->width + x, step->from);
            if (k == 0 || value > best) { best = value; }
        }
        @prefix@_store(step, to, out, best);
    }
}

/* Means over windows: the sum of the pixels inside the image, over the pixels of the mean; nothing counts beyond the padding. */
static inline void @prefix@_means(const @prefix@_step *step, const void *from, void *to) {
    const float *scales = @prefix@_floats + step->scales;
    for (uint32_t out = 0; out < step->channels * step->out_height * step->out_width; out++) {
        uint32_t column = out % step->out_width, row = out / step->out_width % step->out_height;
        uint32_t plane = out / step->out_width / step->out_height * step->height;
        uint32_t inside = 0, averaged = 0;
        int32_t integers = 0;
        float floats = 0.0f;
        for (uint32_t k = 0; k < step->kernel * step->kernel; k++) {
            uint32_t y = @prefix@_place(step, row, k / step->kernel, step->height);
            uint32_t x = @prefix@_place(step, column, k % step->kernel, step->width);
            averaged += row * step->stride + k / step->kernel < step->height + 2 * step->padding &&
                        column * step->stride + k % step->kernel < step->width + 2 * step->padding;
            if (y == step->height || x == step->width) { continue; }
            inside += 1;
            if (step->from == @PREFIX@_FLOAT) {
                floats += ((const float *)from)[(plane + y) * step->width + x];
            } else {
                integers += @prefix@_integer((const uint8_t *)from, (plane + y) * step->width + x, step->from);
            }
        }
        if (step->from != @PREFIX@_FLOAT) { floats = (float)integers; }
        floats = (floats - scales[1] * (float)inside) * scales[0];
        @prefix@_store(step, to, out, floats / (float)(step->counts_padding ? averaged : inside));
    }
}

/* The value at `word` of the workspace, or the image. */
static inline const void *@prefix@_read(uint32_t word, const uint8_t *pixels, const @prefix@_workspace *workspace) {
    return word == @PREFIX@_PIXELS ? (const void *)pixels : (const void *)(workspace->values.integers + word);
}

/* The sum of two values in units of the output. */
static inline void @prefix@_add(const @prefix@_step *step, const void *left, const void *right, void *to) {
    const float *scales = @prefix@_floats + step->scales;
    for (uint32_t at = 0; at < step->out_channels * step->out_height * step->out_width; at++) {
        float offset = @prefix@_value(right, at, step->second_from) * scales[1], x = @prefix@_value(left, at, step->from) * scales[0];
        offset = offset + scales[2];
        @prefix@_store(step, to, at, x + offset);
    }
}

/* What step `index` makes; the last one makes scores. */
static inline void *@prefix@_advance(uint32_t index, const uint8_t *pixels, @prefix@_workspace *workspace, float *scores) {
    const @prefix@_step *step = @prefix@_steps + index;
    uint32_t count = step->out_channels * step->out_height * step->out_width;
    const void *from = @prefix@_read(step->first, pixels, workspace);
    void *to = workspace->values.integers + step->output;
    if (index + 1 == @steps@) { to = scores; }
    if (step->kind == @PREFIX@_POOL) {
        @prefix@_pool(step, from, to);
    } else if (step->kind == @PREFIX@_MEANS) {
        @prefix@_means(step, from, to);
    } else if (step->kind == @PREFIX@_ADD) {
        @prefix@_add(step, from, @prefix@_read(step->second, pixels, workspace), to);
    } else if (step->kind == @PREFIX@_ACTIVATION) {
        const float *scales = @prefix@_floats + step->scales;
        for (uint32_t at = 0; at < count; at++) {
            float x = @prefix@_value(from, at, step->from) * scales[0];
            @prefix@_store(step, to, at, x + scales[1]);
        }
    } else {
        @prefix@_sum(step, workspace, from, to);
    }
    return to;
}

/* The class scores of an image: the highest is the class. */
static inline void @prefix@_scores(const uint8_t *pixels, @prefix@_workspace *workspace, float *scores) {
    for (uint32_t index = 0; index < @steps@; index++) { @prefix@_advance(index, pixels, workspace, scores); }
}

/* The class of an image, and its scores. Of equal scores the first class wins. */
static inline int @prefix@_classify(const uint8_t *pixels, @prefix@_workspace *workspace, float *scores) {
    int best = 0;
    @prefix@_scores(pixels, workspace, scores);
    for (int c = 1; c < @PREFIX@_CLASSES; c++) {
        if (scores[c] > scores[best]) { best = c; }
    }
    return best;
}

#endif
