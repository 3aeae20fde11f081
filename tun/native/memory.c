/*
 * The arena's memory and the lock of the runtime directory.
 *
 * An arena is a file on tmpfs, mapped MAP_SHARED: the pages of the file are the memory, nothing is
 * ever written out, and the next process that maps the file finds every record where the last one
 * left it, however that one ended.
 *
 *   created:   O_CREAT | O_EXCL, then posix_fallocate. All pages are promised at start; a full tmpfs
 *              is an error message now instead of a SIGBUS in the middle of the night.
 *   mapped:    the size must be the one expected, since touching a page beyond the end of the file
 *              is a SIGBUS too.
 *   resident:  page faults taken at once and mlock where the limits allow it; the caller learns if
 *              they did not. For the thread that writes; a thread that looks now and then maps the
 *              same file without, and is charged only for what it touches.
 *   unmapped:  by the finalizer of the ArrayBuffer, hence never while JavaScript can still reach a
 *              byte of it.
 *
 * Threads that look at the same arena each map the file for themselves: an ArrayBuffer belongs to
 * one thread.
 *
 * A lock is an flock(2) on a file. The kernel gives it back when the process ends, also by kill -9,
 * so a stale lock does not exist. The descriptor is closed by unlockFile only: a lock that the
 * garbage collector released would be no lock.
 */
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { ARENA_MODE = 0600, LOCK_MODE = 0644 };

/* The largest whole number that a JavaScript number holds exactly. */
#define SAFE_INTEGER_MAX 9007199254740991.0

static void arenaFinalize(napi_env env, void *data, void *hint) {
  size_t *length = hint;
  munmap(data, *length);
  free(length);
}

/*
 * Opens the arena's file, with all its pages present when it is new. Returns a descriptor, or -1
 * with errno and step.
 */
static int openArena(const char *path, off_t bytes, bool create, const char **step) {
  *step = create ? "create" : "open";
  const int creation = create ? O_CREAT | O_EXCL : 0;
  const int file = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | creation, ARENA_MODE);
  if (file < 0) return -1;

  int error = 0;
  if (create) {
    *step = "allocate";
    error = posix_fallocate(file, 0, bytes);
    if (error != 0) unlink(path);
  } else {
    struct stat status;
    *step = "size";
    if (fstat(file, &status) < 0) error = errno;
    else if (!S_ISREG(status.st_mode) || status.st_size != bytes) error = EOVERFLOW;
  }
  if (error == 0) return file;
  close(file);
  errno = error;
  return -1;
}

/* mapArena(path, bytes, create, resident) → { buffer ArrayBuffer, lockErrno } */
static napi_value mapArena(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  char path[PATH_MAX];
  double bytes;
  bool create, resident;
  if (!readArguments(env, info, 4, arguments)) return NULL;
  if (!readString(env, arguments[0], path, sizeof path, NULL)) return NULL;
  if (!readDouble(env, arguments[1], &bytes) || !readBool(env, arguments[2], &create)) return NULL;
  if (!readBool(env, arguments[3], &resident)) return NULL;
  /* The negation also catches what is not a number. */
  if (!(bytes >= 1 && bytes <= SAFE_INTEGER_MAX)) {
    return throwUsage(env, "the size of an arena must be positive");
  }

  const char *step;
  const size_t length = (size_t)bytes;
  const int file = openArena(path, (off_t)length, create, &step);
  if (file < 0) return throwErrno(env, errno, step);

  /* MAP_POPULATE takes the page faults now, not one by one under the first packets. */
  const int flags = MAP_SHARED | (resident ? MAP_POPULATE : 0);
  void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, flags, file, 0);
  const int mapError = memory == MAP_FAILED ? errno : 0;
  close(file);
  size_t *hint = mapError == 0 ? malloc(sizeof *hint) : NULL;
  if (hint == NULL) {
    if (mapError == 0) munmap(memory, length);
    if (create) unlink(path);
    return throwErrno(env, mapError != 0 ? mapError : ENOMEM, "map");
  }
  *hint = length;
  const int lockError = resident && mlock(memory, length) < 0 ? errno : 0;

  napi_value buffer, result;
  const napi_status status =
      napi_create_external_arraybuffer(env, memory, length, arenaFinalize, hint, &buffer);
  if (status != napi_ok) {
    munmap(memory, length);
    free(hint);
    if (create) unlink(path);
    return throwErrno(env, ENOMEM, "array buffer");
  }
  napi_create_object(env, &result);
  setProperty(env, result, "buffer", buffer);
  setProperty(env, result, "lockErrno", makeInt32(env, lockError));
  return result;
}

/*
 * preferHugePages(array) → whether the kernel took the advice. For large tables that are read at
 * random, where the look-up of small pages costs as much as that of the entry. To be called before
 * the memory is touched: what is there already stays as it is until the kernel comes by.
 */
static napi_value preferHugePages(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  void *data;
  size_t words;
  if (!readArguments(env, info, 1, arguments)) return NULL;
  if (!readTypedArray(env, arguments[0], napi_int32_array, &data, &words)) return NULL;
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  const uintptr_t from = ((uintptr_t)data + page - 1) & ~(page - 1);
  const uintptr_t until = ((uintptr_t)data + words * sizeof(int32_t)) & ~(page - 1);
  const bool taken = until > from && madvise((void *)from, until - from, MADV_HUGEPAGE) == 0;
  return makeBool(env, taken);
}

/*
 * isTmpfs(path) → whether what lies there lives in memory. The path must exist: a directory will
 * do.
 */
static napi_value isTmpfs(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  char path[PATH_MAX];
  struct statfs status;
  if (!readArguments(env, info, 1, arguments)) return NULL;
  if (!readString(env, arguments[0], path, sizeof path, NULL)) return NULL;
  if (statfs(path, &status) < 0) return throwErrno(env, errno, "statfs");
  return makeBool(env, (uint32_t)status.f_type == TMPFS_MAGIC);
}

/* lockFile(path) → descriptor, or -1 when another open of the file holds the lock. */
static napi_value lockFile(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  char path[PATH_MAX];
  if (!readArguments(env, info, 1, arguments)) return NULL;
  if (!readString(env, arguments[0], path, sizeof path, NULL)) return NULL;

  const int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, LOCK_MODE);
  if (file < 0) return throwErrno(env, errno, "open");
  if (flock(file, LOCK_EX | LOCK_NB) == 0) return makeInt32(env, file);
  const int error = errno;
  close(file);
  return error == EWOULDBLOCK ? makeInt32(env, -1) : throwErrno(env, error, "flock");
}

/*
 * unlockFile(descriptor). The file stays: removing it would let two processes lock two files of one
 * name.
 */
static napi_value unlockFile(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  int32_t file;
  if (!readArguments(env, info, 1, arguments) || !readInt32(env, arguments[0], &file)) return NULL;
  if (close(file) < 0) return throwErrno(env, errno, "close");
  return NULL;
}

const Export memoryExports[] = {
    {"mapArena", mapArena},
    {"preferHugePages", preferHugePages},
    {"isTmpfs", isTmpfs},
    {"lockFile", lockFile},
    {"unlockFile", unlockFile},
    {NULL, NULL},
};
