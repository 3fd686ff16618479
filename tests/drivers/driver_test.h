/* driver_test.h - what must hold in a database whatever happened. */
#ifndef ET_DRIVER_TEST_H
#define ET_DRIVER_TEST_H

#include "../unit/store/store_test.h"

/* Each counts what must not be; with what it means. */
static const struct {
    const char *what, *sql;
} invariants[] = {
    {"an unfinished document without its job",
     "SELECT COUNT(*) FROM documents d LEFT JOIN jobs j ON j.id = d.id"
     " WHERE d.state IN (1, 2, 3) AND (j.id IS NULL OR j.state <> d.state - 1)"},
    {"a job without its document", "SELECT COUNT(*) FROM jobs j LEFT JOIN documents d ON d.id = j.id"
                                   " WHERE d.id IS NULL OR d.state <> j.state + 1"},
    {"a lane that counts wrong", "SELECT COUNT(*) FROM lanes l WHERE running <> (SELECT COUNT(*) FROM jobs j"
                                 " WHERE j.pool = l.pool AND j.owner = l.owner AND j.state = 2)"},
    {"a lane with another head than its best job",
     "SELECT COUNT(*) FROM lanes l WHERE COALESCE(head_job, '') <> COALESCE((SELECT id FROM jobs j"
     " WHERE j.pool = l.pool AND j.owner = l.owner AND j.state = 1 ORDER BY priority DESC, id LIMIT 1), '')"},
    {"a job without a lane", "SELECT COUNT(*) FROM jobs j WHERE NOT EXISTS"
                             " (SELECT 1 FROM lanes l WHERE l.pool = j.pool AND l.owner = j.owner)"},
    {"a job that waits for another number than it has",
     "SELECT COUNT(*) FROM jobs j WHERE waits <> (SELECT COUNT(*) FROM deps WHERE job = j.id)"},
    {"a dependency on what is over",
     "SELECT COUNT(*) FROM deps d WHERE d.needs NOT IN (SELECT id FROM jobs)"},
    {"a feed that is not at its owner's number",
     "SELECT COUNT(*) FROM owners o WHERE seq <> (SELECT MAX(seq) FROM documents d WHERE d.owner = o.owner)"},
    {"an ended document whose attempts say otherwise",
     "SELECT COUNT(*) FROM documents d WHERE state = 4"
     " AND (SELECT COUNT(*) FROM attempts a WHERE a.job = d.id AND a.outcome = 1) <> 1"},
};

static inline void assert_consistent(const char *database)
{
    struct error err;
    struct connection *db = NULL;
    assert_ok(connection_open(tested_driver(), where_of(database), true, &db, &err));
    for (size_t i = 0; i < ARRAY_SIZE(invariants); i++) {
        ROWS rows = {0};
        assert_ok(sql_run(db, &rows, &err, invariants[i].sql, NULL, 0));
        if (row_int(&rows, 0, 0))
            fail_msg("%s (%lld times)", invariants[i].what, (long long)row_int(&rows, 0, 0));
    }
    connection_free(db);
}

#endif
