/*
 * A disk that fails on request, for LD_PRELOAD: system calls on files whose path holds a given text return an error, take
 * half of what they were given, or take their time.
 *
 * MILLRACE_FAULTS names the control file, of CONTROL_BYTES, which the test creates and writes while the program runs:
 *   byte 0     generation, 64 bits: the test raises it after it has written the rules
 *   byte 64    hits of each rule, 64 bits each, written here
 *   byte 1024  rules as text, one a line, ended by a zero byte:  <call> <path part> <action> <from> <count>
 *     call     create, open (that does not create), write, sync, dirsync, truncate, unlink, read
 *     action   a number: errno;  short: half of the bytes, without an error;  delay:<ms>
 *     from     number of the first matching call that fails, from 1 since the rules were written
 *     count    how many fail; 0: all from there on
 *
 * A sync that fails here loses what it should have written, as a disk does whose kernel marks the pages of a failed
 * write-back clean: the bytes of the file behind its last good sync become zeros. So a program that believes a later sync
 * of the same file, or acknowledges before one, is found out by reading what is there.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define CONTROL_BYTES 8192
#define HITS_AT 64
#define RULES_AT 1024
#define RULES_MAX 64
#define SYNCED_MAX 65536

enum call { CREATE, OPEN, WRITE, SYNC, DIRSYNC, TRUNCATE, UNLINK, READ, CALLS };
static const char *const names[CALLS] = {"create", "open", "write", "sync", "dirsync", "truncate", "unlink", "read"};

enum action { ERRNO, SHORT, DELAY };
struct rule {
  enum call call;
  char part[256];
  enum action action;
  long value;
  uint64_t from, count, seen;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char *control;
static uint64_t generation;
static struct rule rules[RULES_MAX];
static int rule_count;
static atomic_uint used_calls;

/* End of what a good sync covered, by inode. */
static struct { ino_t inode; off_t end; } synced[SYNCED_MAX];

__attribute__((constructor)) static void start(void) {
  const char *path = getenv("MILLRACE_FAULTS");
  if (path == NULL) return;
  int (*real_open)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
  int file = real_open(path, O_RDWR | O_CLOEXEC);
  if (file < 0) return;
  void *memory = mmap(NULL, CONTROL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (memory != MAP_FAILED) control = memory;
  close(file);
}

static void load_rules(void) {
  char text[CONTROL_BYTES - RULES_AT + 1];
  memcpy(text, control + RULES_AT, CONTROL_BYTES - RULES_AT);
  text[CONTROL_BYTES - RULES_AT] = 0;
  rule_count = 0;
  unsigned calls = 0;
  char *rest = text;
  for (char *line; (line = strsep(&rest, "\n")) != NULL && rule_count < RULES_MAX;) {
    struct rule *rule = &rules[rule_count];
    char call[32], action[32];
    unsigned long long from, count;
    if (sscanf(line, "%31s %255s %31s %llu %llu", call, rule->part, action, &from, &count) != 5) continue;
    int known = 0;
    while (known < CALLS && strcmp(names[known], call) != 0) known++;
    if (known == CALLS) continue;
    rule->call = known;
    rule->action = strcmp(action, "short") == 0 ? SHORT : strncmp(action, "delay:", 6) == 0 ? DELAY : ERRNO;
    rule->value = atol(rule->action == DELAY ? action + 6 : action);
    rule->from = from;
    rule->count = count;
    rule->seen = 0;
    calls |= 1u << known;
    rule_count++;
  }
  atomic_store(&used_calls, calls);
}

/* 0: the call goes on. Otherwise errno, or -1: only half of the bytes. */
static int judge(enum call call, const char *path) {
  int verdict = 0;
  long delay = 0;
  pthread_mutex_lock(&lock);
  for (int i = 0; i < rule_count; i++) {
    struct rule *rule = &rules[i];
    if (rule->call != call || strstr(path, rule->part) == NULL) continue;
    rule->seen++;
    if (rule->seen < rule->from || (rule->count > 0 && rule->seen >= rule->from + rule->count)) continue;
    __atomic_add_fetch((uint64_t *)(control + HITS_AT) + i, 1, __ATOMIC_SEQ_CST);
    if (rule->action == DELAY) delay = rule->value;
    else verdict = rule->action == SHORT ? -1 : (int)rule->value;
    break;
  }
  pthread_mutex_unlock(&lock);
  if (delay > 0) {
    struct timespec time = {delay / 1000, delay % 1000 * 1000000};
    nanosleep(&time, NULL);
  }
  return verdict;
}

static int is_used(enum call call) {
  if (control == NULL) return 0;
  uint64_t now = __atomic_load_n((uint64_t *)control, __ATOMIC_SEQ_CST);
  if (now != __atomic_load_n(&generation, __ATOMIC_SEQ_CST)) {
    pthread_mutex_lock(&lock);
    load_rules();
    __atomic_store_n(&generation, now, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&lock);
  }
  return (atomic_load(&used_calls) & 1u << call) != 0;
}

static int judge_file(enum call call, int file) {
  if (!is_used(call)) return 0;
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return judge(call, path);
}

static int fail(int error) {
  errno = error;
  return -1;
}

#define REAL(type, name, ...) \
  static type (*real)(__VA_ARGS__); \
  if (real == NULL) real = dlsym(RTLD_NEXT, name)

/* open */

static void remember(int file, off_t end) {
  struct stat stat;
  if (control == NULL || fstat(file, &stat) != 0 || !S_ISREG(stat.st_mode)) return;
  pthread_mutex_lock(&lock);
  for (unsigned i = 0; i < SYNCED_MAX; i++) {
    unsigned slot = (stat.st_ino + i) % SYNCED_MAX;
    if (synced[slot].inode != stat.st_ino && synced[slot].inode != 0) continue;
    synced[slot].inode = stat.st_ino;
    synced[slot].end = end;
    break;
  }
  pthread_mutex_unlock(&lock);
}

static int opened(const char *symbol, const char *path, int flags, mode_t mode) {
  int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, symbol);
  enum call call = (flags & O_CREAT) != 0 ? CREATE : OPEN;
  int verdict = is_used(call) ? judge(call, path) : 0;
  if (verdict > 0) return fail(verdict);
  int file = real(path, flags, mode);
  /* An inode that another file had. */
  if (file >= 0 && (flags & O_EXCL) != 0) remember(file, 0);
  return file;
}

#define MODE mode_t mode = 0; \
  if ((flags & O_CREAT) != 0) { va_list list; va_start(list, flags); mode = va_arg(list, mode_t); va_end(list); }

int open(const char *path, int flags, ...) { MODE return opened("open", path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return opened("open64", path, flags, mode); }

int openat(int directory, const char *path, int flags, ...) {
  MODE
  REAL(int, "openat", int, const char *, int, ...);
  enum call call = (flags & O_CREAT) != 0 ? CREATE : OPEN;
  int verdict = is_used(call) ? judge(call, path) : 0;
  return verdict > 0 ? fail(verdict) : real(directory, path, flags, mode);
}

/* write and read */

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
  REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
  int verdict = judge_file(WRITE, file);
  if (verdict > 0) return fail(verdict);
  return real(file, bytes, verdict < 0 ? count / 2 : count, at);
}
ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) { return pwrite64(file, bytes, count, at); }

ssize_t write(int file, const void *bytes, size_t count) {
  REAL(ssize_t, "write", int, const void *, size_t);
  int verdict = judge_file(WRITE, file);
  if (verdict > 0) return fail(verdict);
  return real(file, bytes, verdict < 0 ? count / 2 : count);
}

/* The first half of the bytes that the parts hold. */
static int halved(const struct iovec *parts, int count, struct iovec *into) {
  size_t left = 0;
  for (int i = 0; i < count; i++) left += parts[i].iov_len;
  left /= 2;
  int used = 0;
  for (; used < count && left > 0; used++) {
    into[used] = parts[used];
    if (into[used].iov_len > left) into[used].iov_len = left;
    left -= into[used].iov_len;
  }
  return used;
}

ssize_t pwritev64(int file, const struct iovec *parts, int count, off64_t at) {
  REAL(ssize_t, "pwritev64", int, const struct iovec *, int, off64_t);
  int verdict = judge_file(WRITE, file);
  if (verdict > 0) return fail(verdict);
  if (verdict == 0 || count > 1024) return real(file, parts, count, at);
  struct iovec half[1024];
  return real(file, half, halved(parts, count, half), at);
}
ssize_t pwritev(int file, const struct iovec *parts, int count, off_t at) { return pwritev64(file, parts, count, at); }

ssize_t writev(int file, const struct iovec *parts, int count) {
  REAL(ssize_t, "writev", int, const struct iovec *, int);
  int verdict = judge_file(WRITE, file);
  if (verdict > 0) return fail(verdict);
  return real(file, parts, count);
}

ssize_t pread64(int file, void *bytes, size_t count, off64_t at) {
  REAL(ssize_t, "pread64", int, void *, size_t, off64_t);
  int verdict = judge_file(READ, file);
  return verdict > 0 ? fail(verdict) : real(file, bytes, count, at);
}
ssize_t pread(int file, void *bytes, size_t count, off_t at) { return pread64(file, bytes, count, at); }

ssize_t preadv64(int file, const struct iovec *parts, int count, off64_t at) {
  REAL(ssize_t, "preadv64", int, const struct iovec *, int, off64_t);
  int verdict = judge_file(READ, file);
  return verdict > 0 ? fail(verdict) : real(file, parts, count, at);
}
ssize_t preadv(int file, const struct iovec *parts, int count, off_t at) { return preadv64(file, parts, count, at); }

/* sync */

static off_t remembered(ino_t inode) {
  off_t end = 0;
  pthread_mutex_lock(&lock);
  for (unsigned i = 0; i < SYNCED_MAX; i++) {
    unsigned slot = (inode + i) % SYNCED_MAX;
    if (synced[slot].inode == 0) break;
    if (synced[slot].inode == inode) { end = synced[slot].end; break; }
  }
  pthread_mutex_unlock(&lock);
  return end;
}

/* Only segments, which grow: a cursor is written in place, and its other slot is untouched. */
static void lose_unsynced(int file) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  struct stat stat;
  if (length < 4 || memcmp(path + length - 4, ".seg", 4) != 0 || fstat(file, &stat) != 0) return;
  static ssize_t (*real)(int, const void *, size_t, off64_t);
  if (real == NULL) real = dlsym(RTLD_NEXT, "pwrite64");
  static const char zeros[65536];
  for (off_t at = remembered(stat.st_ino); at < stat.st_size;) {
    size_t count = stat.st_size - at < (off_t)sizeof zeros ? (size_t)(stat.st_size - at) : sizeof zeros;
    ssize_t written = real(file, zeros, count, at);
    if (written <= 0) return;
    at += written;
  }
}

static int synced_with(int (*real)(int), int file) {
  struct stat stat;
  int known = fstat(file, &stat) == 0;
  int verdict = judge_file(known && S_ISDIR(stat.st_mode) ? DIRSYNC : SYNC, file);
  if (verdict > 0) {
    if (known && S_ISREG(stat.st_mode)) lose_unsynced(file);
    return fail(verdict);
  }
  int result = real(file);
  if (result == 0 && known) remember(file, stat.st_size);
  return result;
}

int fdatasync(int file) {
  REAL(int, "fdatasync", int);
  return synced_with(real, file);
}
int fsync(int file) {
  REAL(int, "fsync", int);
  return synced_with(real, file);
}

/* names and sizes */

int unlink(const char *path) {
  REAL(int, "unlink", const char *);
  int verdict = is_used(UNLINK) ? judge(UNLINK, path) : 0;
  return verdict > 0 ? fail(verdict) : real(path);
}

int ftruncate64(int file, off64_t size) {
  REAL(int, "ftruncate64", int, off64_t);
  int verdict = judge_file(TRUNCATE, file);
  return verdict > 0 ? fail(verdict) : real(file, size);
}
int ftruncate(int file, off_t size) { return ftruncate64(file, size); }
