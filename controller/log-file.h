#ifndef SLUICE_LOG_FILE_H
#define SLUICE_LOG_FILE_H 1

/* A file of lines that never holds up its writer.
 *
 * Lines go into a buffer of at most LOG_FILE_MAX_QUEUE bytes; a thread of its own, which sleeps without a timer,
 * appends them to the file as fast as the disk is.  A line that does not fit is lost and counted, as are those that
 * could not be written.  The file and its directory are made when the first line comes.
 *
 * For logrotate: rename the file, then log_file_reopen() (SIGHUP). */

#include <stddef.h>
#include <stdint.h>

#define LOG_FILE_MAX_QUEUE (1024 * 1024)

struct log_file;

struct log_file *log_file_create(const char *path);
/* Writes what is queued, first. */
void log_file_destroy(struct log_file *);
/* Appends 'line' and a new-line character. */
void log_file_put(struct log_file *, const char *line, size_t size);
/* The next line goes to a file that is opened anew, at 'path' if it is not NULL. */
void log_file_reopen(struct log_file *, const char *path);

struct log_file_stats {
    uint64_t n_written, n_lost;         /* Lines. */
    int error;                          /* errno of the last attempt; 0: it went well. */
};
void log_file_get_stats(struct log_file *, struct log_file_stats *);

#endif /* controller/log-file.h */
