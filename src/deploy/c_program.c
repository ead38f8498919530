/* Runs a header on images from standard input, for `saliq export --verify`. Behind an image come the levels that quantized
 * activations are to have, [channel][row][column]; they take the place of those that the header made, which go to standard output
 * before. */
#include <stdio.h>
#if defined(_WIN32)
#include <fcntl.h>
#include <io.h>
#endif
#include "@file@"

/* Levels in the workspace: the step that makes them, their first byte, bytes of a row. */
typedef struct {
    uint32_t step, first, row, channels, height, width;
} levels;

/* Lets a level go out and another come in. */
static int replace(uint8_t *level) {
    int next;
    if (putchar(*level) == EOF || (next = getchar()) == EOF) { return 0; }
    *level = (uint8_t)next;
    return 1;
}

static int replace_all(const levels *own, uint8_t *bytes) {
    for (uint32_t channel = 0; channel < own->channels; channel++) {
        for (uint32_t row = 0; row < own->height; row++) {
            for (uint32_t column = 0; column < own->width; column++) {
                if (!replace(bytes + own->first + row * own->row + column * own->channels + channel)) { return 0; }
            }
        }
    }
    return 1;
}

int main(void) {
    /* The last one is none. */
    static const levels replaced[] = { @replaced@ { UINT32_MAX, 0, 0, 0, 0, 0 } };
    static @prefix@_workspace workspace, alone;
    static uint8_t pixels[@PREFIX@_CHANNELS * @PREFIX@_HEIGHT * @PREFIX@_WIDTH];
    static float scores[@PREFIX@_CLASSES], own[@PREFIX@_CLASSES];
#if defined(_WIN32)
    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
#endif
    while (fread(pixels, 1, sizeof pixels, stdin) == sizeof pixels) {
        const levels *next = replaced;
        int class;
        for (uint32_t step = 0; step < @steps@; step++) {
            @prefix@_step(step, pixels, &workspace, scores);
            for (; next->step == step; next++) {
                if (!replace_all(next, workspace.values.bytes)) { return 1; }
            }
        }
        class = @prefix@_classify(pixels, &alone, own);
        fwrite(scores, sizeof scores[0], @PREFIX@_CLASSES, stdout);
        fwrite(own, sizeof own[0], @PREFIX@_CLASSES, stdout);
        fwrite(&class, sizeof class, 1, stdout);
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
