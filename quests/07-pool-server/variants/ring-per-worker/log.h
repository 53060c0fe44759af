#ifndef LOG_H
#define LOG_H
/* Everybody, workers and event loop alike, tells everything on stderr. */

/* One whole line with one write(2), so that lines of different threads never mix. */
__attribute__((format(printf, 1, 2))) void tell(const char *format, ...);

/* After the last line: no thread may call tell() any more. */
void end_of_log(void);

#endif
