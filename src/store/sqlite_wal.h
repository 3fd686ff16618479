/*
 * sqlite_wal.h - SQLite's write-ahead log, written in one piece a commit.
 *
 * SQLite writes each page of a commit by two calls of the system, of 24 bytes
 * and of a page, which is most of a commit's time here.  This is a file system
 * ("VFS") between it and the usual one that keeps what goes to the log, as
 * long as it follows on, until it is to be on disk (xSync).  Nobody reads it
 * before: a commit is told to other connections after its sync.  So it is for
 * connections with synchronous=FULL, where each commit has one.
 */
#ifndef ET_STORE_SQLITE_WAL_H
#define ET_STORE_SQLITE_WAL_H

/* Makes it, once in a process; its name for sqlite3_open_v2, or NULL, which there is the usual one. */
const char *sqlite_wal_make(void);

#endif
