/* The main() of a fuzz target without libFuzzer: runs it on each file of its corpus, on every beginning of the file,
 * and on some thousand copies with damaged bytes, always the same ones.
 *
 *     fuzz-NAME [FILE|FOLDER]...       default: the corpus of NAME in the sources */

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

#define MAX_SIZE 65536
#define N_CUTS 256
#define N_DAMAGED 64

static size_t n_files, n_runs;

static void
run(const uint8_t *data, size_t size)
{
    /* Memory of exactly this size, so that a sanitizer sees each byte that is read behind it. */
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    n_runs++;
}

static int
run_file(const char *path)
{
    static uint8_t data[MAX_SIZE];
    FILE *f = fopen(path, "r");
    if (!f) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return EXIT_FAILURE;
    }
    size_t size = fread(data, 1, sizeof data, f);
    fclose(f);
    n_files++;

    run(data, size);
    for (size_t cut = 0; cut < size && cut < N_CUTS; cut++) {
        run(data, size - 1 - cut);
    }
    uint32_t random = size;
    for (int i = 0; i < N_DAMAGED && size; i++) {
        uint8_t old[4];
        size_t at[4];
        for (int k = 0; k < 4; k++) {
            random = random * 1103515245 + 12345;
            at[k] = (random >> 8) % size;
            old[k] = data[at[k]];
            data[at[k]] ^= k < 2 ? 1 << (random >> 28 & 7) : random >> 24;
        }
        run(data, size);
        for (int k = 4; k-- > 0; ) {
            data[at[k]] = old[k];
        }
    }
    return EXIT_SUCCESS;
}

static int
run_path(const char *path)
{
    struct stat s;
    if (stat(path, &s) || !S_ISDIR(s.st_mode)) {
        return run_file(path);
    }

    struct dirent **names;
    int n = scandir(path, &names, NULL, alphasort);
    int status = n < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    for (int i = 0; i < n; i++) {
        if (names[i]->d_name[0] != '.') {
            char name[PATH_MAX];
            snprintf(name, sizeof name, "%s/%s", path, names[i]->d_name);
            status |= run_path(name);
        }
        free(names[i]);
    }
    if (n >= 0) {
        free(names);
    }
    return status;
}

int
main(int argc, char *argv[])
{
    int status = EXIT_SUCCESS;
    if (argc > 1) {
        for (int i = 1; i < argc; i++) {
            status |= run_path(argv[i]);
        }
    } else {
        const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
        char path[PATH_MAX];
        name += strncmp(name, "lt-", 3) ? 0 : 3;
        snprintf(path, sizeof path, "%s/tests/fuzz/corpus/%s", TOP_SRCDIR, name + strlen("fuzz-"));
        status = run_path(path);
    }
    printf("%zu files, %zu runs\n", n_files, n_runs);
    return n_files ? status : EXIT_FAILURE;
}
