/*
 * Runs a fuzz target over files, and over the files of folders, given on the
 * command line: how CI replays a kept corpus without a fuzzing compiler.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "fuzz.h"

enum { INPUT_MAX = 16 << 20 };

static int run_file(const char *path)
{
    CLEANUP(freep) char *bytes = NULL;
    size_t size;
    struct error err;
    if (file_read(path, INPUT_MAX, &bytes, &size, &err) != OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    LLVMFuzzerTestOneInput((const uint8_t *)bytes, size);
    return 0;
}

static int run_folder(DIR *dir, const char *path, int *n_files)
{
    int failed = 0;
    const struct dirent *entry;
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        CLEANUP(freep) char *file = path_join(path, entry->d_name);
        failed |= run_file(file);
        (*n_files)++;
    }
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0, n_files = 0;
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (dir) {
            failed |= run_folder(dir, argv[i], &n_files);
            closedir(dir);
        } else {
            failed |= run_file(argv[i]);
            n_files++;
        }
    }
    printf("%d files\n", n_files);
    return failed || n_files == 0;
}
