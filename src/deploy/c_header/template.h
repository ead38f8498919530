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
 * pixels are the image's own bytes, @order@: @pixels@.
 * RAM: the workspace, and the stack of a few calls. ROM: @ROM@ bytes of constants, and the code.
 *
 * Between layers there is a byte a number wherever an activation is quantized: [row][column][channel], with the zeros around that
 * padded convolutions read. A sum of products of integers is exact. The next level is round(sum * multiplier + offset), half to even,
 * within the levels there are. Compile without options that relax floating point.
@if fixed@
 *
 * Levels are made without floats: (sum * multiplier + offset) >> shift.
 * @edges@
@end@
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
        float floats[@words@];
        int16_t shorts[2 * @words@];
        uint8_t bytes[4 * @words@];
    } values; /* what goes into a step, what comes out, and the weights that it unpacks */
} @prefix@_workspace;

@constants@
@if level@
/* The level nearest to x from lowest to highest, of which none is below 0; half to even. */
static inline int32_t @prefix@_level(float x, float lowest, float highest) {
    float inside = x < lowest ? lowest : x > highest ? highest : x;
    int32_t level = (int32_t)inside;
    float rest = inside - (float)level;
    return level + ((rest > 0.5f) | ((rest == 0.5f) & (level & 1)));
}

@end@
@if signed_level@
/* The same where levels can be below 0. */
static inline int32_t @prefix@_signed_level(float x, float lowest, float highest) {
    float inside = x < lowest ? lowest : x > highest ? highest : x;
    int32_t level = (int32_t)inside;
    float rest = inside - (float)level;
    int32_t up = (rest > 0.5f) | ((rest == 0.5f) & (level & 1)), down = (rest < -0.5f) | ((rest == -0.5f) & (level & 1));
    return level + up - down;
}

@end@
@if clipped@
/* x from lowest to highest. */
static inline float @prefix@_clipped(float x, float lowest, float highest) {
    return x < lowest ? lowest : x > highest ? highest : x;
}

@end@
@if scaled@
/* Two roundings, whatever the precision of a machine's registers is. */
static inline float @prefix@_scaled(float x, float multiplier, float offset) {
    float product = x * multiplier, sum = product + offset;
    return sum;
}

@end@
@if rescaled@
/* The level of fixed point that is nearest to sum * multiplier + offset, from lowest to highest. */
static inline int32_t @prefix@_rescaled(int32_t sum, int32_t multiplier, int64_t offset, uint32_t shift, int32_t lowest, int32_t highest) {
    int32_t level = (int32_t)(((int64_t)sum * multiplier + offset) >> shift);
    return level < lowest ? lowest : level > highest ? highest : level;
}

@end@
@if shifted@
/* The level x >> shift, from lowest to highest. */
static inline int32_t @prefix@_shifted(int64_t x, uint32_t shift, int32_t lowest, int32_t highest) {
    int32_t level = (int32_t)(x >> shift);
    return level < lowest ? lowest : level > highest ? highest : level;
}

@end@
@if larger@
static inline int32_t @prefix@_larger(int32_t a, int32_t b) { return a > b ? a : b; }

@end@
@if mean@
/* What the mean of numbers stands for, of which some are inside the image. */
static inline float @prefix@_mean(float sum, float scale, float zero, uint32_t inside, uint32_t averaged) {
    float zeros = zero * (float)inside, x = sum - zeros;
    x = x * scale;
    return x / (float)averaged;
}

@end@
@if clear@
/* Zeros around and in place of a value to come. */
static inline void @prefix@_clear(uint8_t *bytes, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) { bytes[i] = 0; }
}

@end@
@functions@
/* Step `index` of @steps@. */
static inline void @prefix@_step(uint32_t index, const uint8_t *pixels, @prefix@_workspace *workspace, float *scores) {
    (void)pixels, (void)workspace, (void)scores;
    switch (index) {
@calls@
    default: break;
    }
}

/* The class scores of an image: the highest is the class. */
static inline void @prefix@_scores(const uint8_t *pixels, @prefix@_workspace *workspace, float *scores) {
    for (uint32_t index = 0; index < @steps@; index++) { @prefix@_step(index, pixels, workspace, scores); }
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
