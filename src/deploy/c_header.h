/*
 * @summary@
 *
 * A network with its weights and its inference in integers, by saliq. C99, no other file, no malloc, no state.
@if no_math@
 * It needs no library.
@end@
@if math@
 * It needs the functions of <math.h>: some linkers are told so by -lm.
@end@
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

@if math@
#include <math.h>
@end@
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
/* What a step computes: sums of products of integers or of floats, maxima, means, the sum of two values, an activation alone, the product
 * of two values or of one with a value a channel, the channels of two values, or a function of floats. */
enum {
    @PREFIX@_INTEGERS, @PREFIX@_FLOATS, @PREFIX@_MAXIMA, @PREFIX@_MEANS, @PREFIX@_ADD, @PREFIX@_ACTIVATION, @PREFIX@_MULTIPLY, @PREFIX@_SCALE,
    @PREFIX@_CONCAT, @PREFIX@_FUNCTION
};
@if functions@
/* Functions of floats. */
enum { @PREFIX@_IDENTITY, @PREFIX@_RELU, @PREFIX@_RELU6, @PREFIX@_LEAKY_RELU, @PREFIX@_TANH, @PREFIX@_SIGMOID, @PREFIX@_SILU, @PREFIX@_HARD_SWISH };
@end@
/* The place of the image among the values. */
#define @PREFIX@_PIXELS UINT32_MAX

/* Rows or columns: pixels of the input and of the output, and the windows. The padding is that in front. */
typedef struct {
    uint32_t size, out, kernel, stride, dilation, padding;
} @prefix@_axis;

typedef struct {
    uint8_t kind, function;
    uint8_t from, second_from, to; /* what values are stored as */
    uint8_t bits;           /* of a code: weight = spacing * code + pivot of its output channel */
    uint8_t spacing;
    uint8_t pivot_stride;   /* 0: one pivot for all */
    uint8_t border;         /* the offset depends on which taps are inside the image */
    uint8_t counts_padding; /* means are over padded pixels too */
    uint32_t channels, out_channels;
    uint32_t groups;        /* of channels that are summed on their own */
    @prefix@_axis rows, columns;
    uint32_t weights;       /* first byte of codes, or first float */
    uint32_t pivots;        /* first pivot */
    uint32_t scales;        /* first float: multipliers, offsets, borders */
    uint32_t first, second, output; /* words of the workspace where values begin */
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

/* Numbers from first on, below end. */
typedef struct {
    uint32_t first, end;
} @prefix@_span;

/* Of `count` places offset, offset + step, ... along an axis and its padding: those inside the image. */
static inline @prefix@_span @prefix@_inside(const @prefix@_axis *axis, uint32_t offset, uint32_t step, uint32_t count) {
    @prefix@_span span = { 0, count };
    uint32_t beyond = axis->padding + axis->size;
    if (offset < axis->padding) { span.first = (axis->padding - offset + step - 1) / step; }
    if (offset >= beyond) {
        span.end = 0;
    } else if (offset + (count - 1) * step >= beyond) {
        span.end = (beyond - offset + step - 1) / step;
    }
    if (span.first > span.end) { span.first = span.end; }
    return span;
}

/* The outputs whose tap number `tap` is inside the image. */
static inline @prefix@_span @prefix@_outputs(const @prefix@_axis *axis, uint32_t tap) {
    return @prefix@_inside(axis, tap * axis->dilation, axis->stride, axis->out);
}

/* The taps of output `at` that are inside the image. */
static inline @prefix@_span @prefix@_taps(const @prefix@_axis *axis, uint32_t at) {
    return @prefix@_inside(axis, at * axis->stride, axis->dilation, axis->kernel);
}

/* The sum of the weights of output channel `out` at some taps. */
static inline float @prefix@_weights(const @prefix@_step *step, uint32_t out, @prefix@_span high, @prefix@_span wide) {
    uint32_t own = step->channels / step->groups, width = step->columns.kernel;
    int32_t integers = 0;
    float floats = 0.0f;
    for (uint32_t k = out * own * step->rows.kernel; k < (out + 1) * own * step->rows.kernel; k++) {
        uint32_t row = k % step->rows.kernel;
        if (row < high.first || row >= high.end) { continue; }
        for (uint32_t column = wide.first; column < wide.end; column++) {
            if (step->kind == @PREFIX@_INTEGERS) {
                integers += @prefix@_weight(step, out, k * width + column);
            } else {
                floats += @prefix@_floats[step->weights + k * width + column];
            }
        }
    }
    return step->kind == @PREFIX@_INTEGERS ? (float)integers : floats;
}

/* Adds weight * value to `count` sums, of the values that lie `stride` apart from `at` on. */
static inline void @prefix@_add_integers(int32_t *sums, const void *from, uint32_t at, uint8_t type, int32_t weight, uint32_t count, uint32_t stride) {
    if (type == @PREFIX@_I8) {
        const int8_t *values = (const int8_t *)from + at;
        for (uint32_t i = 0; i < count; i++) { sums[i] += weight * values[i * stride]; }
    } else {
        const uint8_t *values = (const uint8_t *)from + at;
        for (uint32_t i = 0; i < count; i++) { sums[i] += weight * values[i * stride]; }
    }
}

static inline void @prefix@_add_floats(float *sums, const void *from, uint32_t at, uint8_t type, float weight, uint32_t count, uint32_t stride) {
    if (type == @PREFIX@_FLOAT) {
        const float *values = (const float *)from + at;
        for (uint32_t i = 0; i < count; i++) { sums[i] += weight * values[i * stride]; }
    } else if (type == @PREFIX@_I8) {
        const int8_t *values = (const int8_t *)from + at;
        for (uint32_t i = 0; i < count; i++) { sums[i] += weight * (float)values[i * stride]; }
    } else {
        const uint8_t *values = (const uint8_t *)from + at;
        for (uint32_t i = 0; i < count; i++) { sums[i] += weight * (float)values[i * stride]; }
    }
}

/* The sums of output channel `out`. Every weight is read once; of windows, none that is 0 is multiplied. */
static inline void @prefix@_sums(const @prefix@_step *step, @prefix@_workspace *workspace, const void *from, uint32_t out) {
    const @prefix@_axis *rows = &step->rows, *columns = &step->columns;
    uint32_t plane = rows->size * columns->size, own = step->channels / step->groups;
    uint32_t at = out / (step->out_channels / step->groups) * own * plane, k = out * own * rows->kernel * columns->kernel;
    int32_t *integers = workspace->plane.integers;
    float *floats = workspace->plane.floats;
    @prefix@_span high = { 0, 0 }, wide = { 0, 0 };
    for (uint32_t pixel = 0; pixel < rows->out * columns->out; pixel++) {
        if (step->kind == @PREFIX@_INTEGERS) { integers[pixel] = 0; } else { floats[pixel] = 0.0f; }
    }
    /* One tap on one pixel, as of a fully connected layer. */
    if (plane == 1 && rows->out == 1 && columns->out == 1 && rows->kernel == 1 && columns->kernel == 1 && rows->padding + columns->padding == 0) {
        for (uint32_t channel = 0; channel < own; channel++) {
            if (step->kind == @PREFIX@_INTEGERS) {
                int32_t weight = @prefix@_weight(step, out, k + channel);
                integers[0] += weight * @prefix@_integer((const uint8_t *)from, at + channel, step->from);
            } else {
                floats[0] += @prefix@_floats[step->weights + k + channel] * @prefix@_value(from, at + channel, step->from);
            }
        }
        return;
    }
    for (uint32_t channel = 0; channel < own; channel++, at += plane) {
        for (uint32_t i = 0; i < rows->kernel; i++) {
            /* What a single tap meets is the same in all channels. */
            if (channel == 0 || rows->kernel > 1) { high = @prefix@_outputs(rows, i); }
            for (uint32_t j = 0; j < columns->kernel; j++, k++) {
                int32_t weight = 0;
                float real = 0.0f;
                if (channel == 0 || columns->kernel > 1) { wide = @prefix@_outputs(columns, j); }
                if (wide.first == wide.end) { continue; }
                if (step->kind == @PREFIX@_INTEGERS) {
                    weight = @prefix@_weight(step, out, k);
                    if (weight == 0) { continue; }
                } else {
                    real = @prefix@_floats[step->weights + k];
                }
                for (uint32_t row = high.first; row < high.end; row++) {
                    uint32_t y = row * rows->stride + i * rows->dilation - rows->padding;
                    uint32_t x = wide.first * columns->stride + j * columns->dilation - columns->padding;
                    uint32_t first = at + y * columns->size + x, sum = row * columns->out + wide.first, count = wide.end - wide.first;
                    if (step->kind == @PREFIX@_INTEGERS) {
                        @prefix@_add_integers(integers + sum, from, first, step->from, weight, count, columns->stride);
                    } else {
                        @prefix@_add_floats(floats + sum, from, first, step->from, real, count, columns->stride);
                    }
                }
            }
        }
    }
}

/* A convolution, or a fully connected layer as one of 1 x 1 pixels, with its activation. */
static inline void @prefix@_weighted(const @prefix@_step *step, @prefix@_workspace *workspace, const void *from, void *to) {
    const @prefix@_axis *rows = &step->rows, *columns = &step->columns;
    const float *scales = @prefix@_floats + step->scales;
    const @prefix@_span all_rows = { 0, rows->kernel }, all_columns = { 0, columns->kernel };
    uint32_t pixels = rows->out * columns->out;
    for (uint32_t out = 0; out < step->out_channels; out++) {
        float whole = step->border ? @prefix@_weights(step, out, all_rows, all_columns) : 0.0f;
        @prefix@_sums(step, workspace, from, out);
        for (uint32_t pixel = 0; pixel < pixels; pixel++) {
            float sum = step->kind == @PREFIX@_INTEGERS ? (float)workspace->plane.integers[pixel] : workspace->plane.floats[pixel];
            float offset = scales[step->out_channels + out], x = sum * scales[out];
            if (step->border) {
                @prefix@_span high = @prefix@_taps(rows, pixel / columns->out), wide = @prefix@_taps(columns, pixel % columns->out);
                float inside = whole;
                if (high.end - high.first < rows->kernel || wide.end - wide.first < columns->kernel) {
                    inside = @prefix@_weights(step, out, high, wide);
                }
                inside = inside * scales[2 * step->out_channels + out];
                offset = inside + offset;
            }
            @prefix@_store(step, to, out * pixels + pixel, x + offset);
        }
    }
}

/* Maxima over windows, of the pixels inside the image. Bytes with their sign turned over are in the order of their numbers. */
static inline void @prefix@_maxima(const @prefix@_step *step, const void *from, void *to) {
    const @prefix@_axis *rows = &step->rows, *columns = &step->columns;
    const uint8_t sign = step->from == @PREFIX@_I8 ? 128 : 0;
    uint32_t at = 0;
    for (uint32_t plane = 0; plane < step->channels * rows->out; plane++) {
        @prefix@_span high = @prefix@_taps(rows, plane % rows->out);
        uint32_t top = plane / rows->out * rows->size + plane % rows->out * rows->stride - rows->padding;
        for (uint32_t column = 0; column < columns->out; column++, at++) {
            @prefix@_span wide = @prefix@_taps(columns, column);
            uint32_t left = column * columns->stride - columns->padding;
            uint32_t first = (top + high.first) * columns->size + left + wide.first;
            uint8_t best = 0;
            float largest = step->from == @PREFIX@_FLOAT ? ((const float *)from)[first] : 0.0f;
            for (uint32_t i = high.first; i < high.end; i++, first += columns->size) {
                for (uint32_t j = 0; j < wide.end - wide.first; j++) {
                    if (step->from == @PREFIX@_FLOAT) {
                        float value = ((const float *)from)[first + j];
                        if (value > largest) { largest = value; }
                    } else {
                        uint8_t value = (uint8_t)(((const uint8_t *)from)[first + j] ^ sign);
                        if (value > best) { best = value; }
                    }
                }
            }
            if (step->from == @PREFIX@_FLOAT) { ((float *)to)[at] = largest; } else { ((uint8_t *)to)[at] = (uint8_t)(best ^ sign); }
        }
    }
}

/* Pixels of a mean along an axis, the padded ones among them: nothing counts beyond the padding. */
static inline uint32_t @prefix@_averaged(const @prefix@_axis *axis, uint32_t at) {
    uint32_t rest = axis->size + 2 * axis->padding - at * axis->stride;
    return rest < axis->kernel ? rest : axis->kernel;
}

/* Means over windows: the sum of the pixels inside the image, over the pixels of the mean. */
static inline void @prefix@_means(const @prefix@_step *step, const void *from, void *to) {
    const @prefix@_axis *rows = &step->rows, *columns = &step->columns;
    const float *scales = @prefix@_floats + step->scales;
    uint32_t at = 0;
    for (uint32_t plane = 0; plane < step->channels * rows->out; plane++) {
        uint32_t row = plane % rows->out;
        @prefix@_span high = @prefix@_taps(rows, row);
        uint32_t top = plane / rows->out * rows->size + row * rows->stride - rows->padding;
        for (uint32_t column = 0; column < columns->out; column++, at++) {
            @prefix@_span wide = @prefix@_taps(columns, column);
            uint32_t left = column * columns->stride - columns->padding;
            uint32_t first = (top + high.first) * columns->size + left + wide.first;
            uint32_t inside = (high.end - high.first) * (wide.end - wide.first), averaged = inside;
            int32_t integers = 0;
            float floats = 0.0f;
            for (uint32_t i = high.first; i < high.end; i++, first += columns->size) {
                for (uint32_t j = 0; j < wide.end - wide.first; j++) {
                    if (step->from == @PREFIX@_FLOAT) {
                        floats += ((const float *)from)[first + j];
                    } else {
                        integers += @prefix@_integer((const uint8_t *)from, first + j, step->from);
                    }
                }
            }
            if (step->from != @PREFIX@_FLOAT) { floats = (float)integers; }
            if (step->counts_padding) { averaged = @prefix@_averaged(rows, row) * @prefix@_averaged(columns, column); }
            floats = (floats - scales[1] * (float)inside) * scales[0];
            @prefix@_store(step, to, at, floats / (float)averaged);
        }
    }
}

/* The value at `word` of the workspace, or the image. */
static inline const void *@prefix@_read(uint32_t word, const uint8_t *pixels, const @prefix@_workspace *workspace) {
    return word == @PREFIX@_PIXELS ? (const void *)pixels : (const void *)(workspace->values.integers + word);
}

/* Numbers that a step makes. */
static inline uint32_t @prefix@_count(const @prefix@_step *step) {
    return step->out_channels * step->rows.out * step->columns.out;
}

/* The sum of two values in units of the output. */
static inline void @prefix@_add(const @prefix@_step *step, const void *left, const void *right, void *to) {
    const float *scales = @prefix@_floats + step->scales;
    for (uint32_t at = 0; at < @prefix@_count(step); at++) {
        float offset = @prefix@_value(right, at, step->second_from) * scales[1], x = @prefix@_value(left, at, step->from) * scales[0];
        offset = offset + scales[2];
        @prefix@_store(step, to, at, x + offset);
    }
}

/* An activation alone. */
static inline void @prefix@_activation(const @prefix@_step *step, const void *from, void *to) {
    const float *scales = @prefix@_floats + step->scales;
    for (uint32_t at = 0; at < @prefix@_count(step); at++) {
        float x = @prefix@_value(from, at, step->from) * scales[0];
        @prefix@_store(step, to, at, x + scales[1]);
    }
}

/* The product of two values of floats; the second has a pixel for each of the first's, or one a channel. */
static inline void @prefix@_multiply(const @prefix@_step *step, const float *left, const float *right, float *to) {
    uint32_t pixels = step->rows.out * step->columns.out, at = 0;
    for (uint32_t channel = 0; channel < step->out_channels; channel++) {
        for (uint32_t pixel = 0; pixel < pixels; pixel++, at++) {
            to[at] = left[at] * right[step->kind == @PREFIX@_SCALE ? channel : at];
        }
    }
}

/* The channels of the second value behind those of the first, byte by byte. */
static inline void @prefix@_concat(const @prefix@_step *step, const uint8_t *first, const uint8_t *second, uint8_t *to) {
    uint32_t size = step->to == @PREFIX@_FLOAT ? 4 : 1, count = @prefix@_count(step) * size;
    uint32_t own = step->channels * step->rows.size * step->columns.size * size;
    for (uint32_t at = 0; at < count; at++) { to[at] = at < own ? first[at] : second[at - own]; }
}

@if functions@
/* The step's function. */
static inline float @prefix@_function(const @prefix@_step *step, float x) {
    switch (step->function) {
@if relu@
    case @PREFIX@_RELU: return x > 0.0f ? x : 0.0f;
@end@
@if relu6@
    case @PREFIX@_RELU6: return x < 0.0f ? 0.0f : x > 6.0f ? 6.0f : x;
@end@
@if leaky-relu@
    case @PREFIX@_LEAKY_RELU: return x < 0.0f ? x * @prefix@_floats[step->scales] : x;
@end@
@if tanh@
    case @PREFIX@_TANH: return tanhf(x);
@end@
@if sigmoid@
    case @PREFIX@_SIGMOID: return 1.0f / (1.0f + expf(-x));
@end@
@if silu@
    case @PREFIX@_SILU: return x / (1.0f + expf(-x));
@end@
@if hard-swish@
    case @PREFIX@_HARD_SWISH: return x < -3.0f ? 0.0f : x > 3.0f ? x : x * (x + 3.0f) / 6.0f;
@end@
    default: return x;
    }
}

@end@
/* What step `index` makes; the last one makes scores. */
static inline void *@prefix@_advance(uint32_t index, const uint8_t *pixels, @prefix@_workspace *workspace, float *scores) {
    const @prefix@_step *step = @prefix@_steps + index;
    const void *from = @prefix@_read(step->first, pixels, workspace), *second = @prefix@_read(step->second, pixels, workspace);
    void *to = workspace->values.integers + step->output;
    if (index + 1 == @steps@) { to = scores; }
    switch (step->kind) {
    case @PREFIX@_MAXIMA: @prefix@_maxima(step, from, to); break;
    case @PREFIX@_MEANS: @prefix@_means(step, from, to); break;
    case @PREFIX@_ADD: @prefix@_add(step, from, second, to); break;
    case @PREFIX@_ACTIVATION: @prefix@_activation(step, from, to); break;
    case @PREFIX@_MULTIPLY:
    case @PREFIX@_SCALE: @prefix@_multiply(step, (const float *)from, (const float *)second, (float *)to); break;
    case @PREFIX@_CONCAT: @prefix@_concat(step, (const uint8_t *)from, (const uint8_t *)second, (uint8_t *)to); break;
@if functions@
    case @PREFIX@_FUNCTION:
        for (uint32_t at = 0; at < @prefix@_count(step); at++) { ((float *)to)[at] = @prefix@_function(step, ((const float *)from)[at]); }
        break;
@end@
    default: @prefix@_weighted(step, workspace, from, to);
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
