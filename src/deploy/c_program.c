/* Runs a header on images from standard input, for `saliq export --verify`. Behind an image come the levels that quantized
 * activations are to have; they take the place of those that the header made, which go to standard output before. */
#include <stdio.h>
#if defined(_WIN32)
#include <fcntl.h>
#include <io.h>
#endif
#include "@file@"

int main(void) {
    static const uint8_t replaced[] = { @replaced@ };
    static @prefix@_workspace workspace, alone;
    static uint8_t pixels[@PREFIX@_CHANNELS * @PREFIX@_HEIGHT * @PREFIX@_WIDTH];
    static float scores[@PREFIX@_CLASSES], own[@PREFIX@_CLASSES];
#if defined(_WIN32)
    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
#endif
    while (fread(pixels, 1, sizeof pixels, stdin) == sizeof pixels) {
        int class;
        for (uint32_t index = 0; index < sizeof replaced; index++) {
            const @prefix@_step *step = @prefix@_steps + index;
            uint32_t count = @prefix@_count(step);
            void *to = @prefix@_advance(index, pixels, &workspace, scores);
            if (replaced[index] && (fwrite(to, 1, count, stdout) != count || fread(to, 1, count, stdin) != count)) { return 1; }
        }
        class = @prefix@_classify(pixels, &alone, own);
        fwrite(scores, sizeof scores[0], @PREFIX@_CLASSES, stdout);
        fwrite(own, sizeof own[0], @PREFIX@_CLASSES, stdout);
        fwrite(&class, sizeof class, 1, stdout);
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
