/* Any bytes as an archive: an error, or entries that stay inside their folder. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "fuzz.h"
#include "worker/archives.h"
#include "worker/database.h"
#include "worker/labels.h"

/* Small, so that a bomb costs no time; the limits themselves are at work all the same. */
static const struct archive_limits limits = {.max_bytes = 1 << 20, .max_entries = 200};

static enum status read_all(int fd, int folder, struct labels *labels, struct database *database,
                            struct error *err)
{
    CLEANUP(archive_reader_freep) struct archive_reader *r = NULL;
    TRY(archive_reader_open(fd, "x", &limits, &r, err));
    for (int n = 0;; n++) {
        struct archive_item item;
        struct error why;
        bool more;
        int label;
        TRY(archive_reader_next(r, &item, &more, err));
        if (!more)
            return OK;
        if (item.path[0] == '/' || strlen(item.path) > ARCHIVE_PATH_MAX || strstr(item.path, "//"))
            abort();
        labels_of_path(labels, item.path, &label, &why);
        database_note(database, item.path, &why);
        if (n % 3) /* some are written, some are passed over */
            TRY(archive_reader_extract(r, folder, err));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err;
    const char *parent = getenv("TMPDIR");
    CLEANUP(freep) char *path = xasprintf("%s/et-fuzz-XXXXXX", parent ? parent : "/tmp");
    CLEANUP(fd_closep) int fd = memfd_create("archive", MFD_CLOEXEC);
    if (fd < 0 || fd_write_all(fd, data, size) || !mkdtemp(path))
        abort();
    CLEANUP(fd_closep) int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct labels labels;
    struct database database = {0};
    labels_init(&labels);
    read_all(fd, folder, &labels, &database, &err);
    labels_release(&labels);
    database_release(&database);
    if (dir_remove(path, &err) != OK)
        abort();
    return 0;
}
