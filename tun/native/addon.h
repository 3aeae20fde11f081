/*
 * What the files of the addon share: argument readers, the one way to throw, and the tables of
 * functions.
 *
 *   addon.c    module registration and the helpers declared here
 *   device.c   TUN device: open, register, readBatch, writeBatch, wait
 *   write.c    which way a frame of a batch takes (frame.h: how it lies there)
 *   segment.c  IPv4 into IPv6, superpackets cut
 *   coalesce.c TCP segments merged
 *   wake.c     ending the wait of another thread
 *   memory.c   the arena: mmap of a file on tmpfs, and the lock that keeps a second gateway out
 *   system.c   boot clock, sd_notify, processor affinity, completing a checksum
 *
 * The addon moves bytes and knows nothing of NAT. It is context-aware: each thread that loads it
 * gets functions of its own, and the only state of the process as a whole is the wake table in
 * wake.c, which a mutex guards.
 *
 * A failed system call is thrown as an Error with `code` (the errno's name) and `step` (what was
 * being tried). tun/native.ts makes the sentence for people; here is no prose.
 */
#ifndef PORTFOLD_ADDON_H
#define PORTFOLD_ADDON_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One row of a table of functions; a row without a name ends the table. */
typedef struct {
  const char *name;
  napi_callback function;
} Export;

extern const Export deviceExports[];
extern const Export wakeExports[];
extern const Export writeExports[];
extern const Export memoryExports[];
extern const Export systemExports[];

/* Throws the errno `error`, met while doing `step`. Returns NULL, so that callers can return it. */
napi_value throwErrno(napi_env env, int error, const char *step);

/* Throws a TypeError: the caller inside the project used the addon wrongly. Returns NULL. */
napi_value throwUsage(napi_env env, const char *message);

/* Reads exactly `wanted` arguments; throws and returns false when there are fewer. */
bool readArguments(napi_env env, napi_callback_info info, size_t wanted, napi_value *values);

/* Each reads one argument; throws and returns false when it has another type. */
bool readInt32(napi_env env, napi_value value, int32_t *result);
bool readDouble(napi_env env, napi_value value, double *result);
bool readBool(napi_env env, napi_value value, bool *result);
bool readString(napi_env env, napi_value value, char *buffer, size_t size, size_t *length);

/* Memory and number of elements of a typed array of the given type. */
bool readTypedArray(napi_env env, napi_value value, napi_typedarray_type type, void **data,
                    size_t *length);

napi_value makeBool(napi_env env, bool value);
napi_value makeInt32(napi_env env, int32_t value);
napi_value makeDouble(napi_env env, double value);
void setProperty(napi_env env, napi_value object, const char *name, napi_value value);

/* The boot-time clock, in milliseconds. */
double bootClock(void);

/* A token for an eventfd, or 0 when too many devices are open. */
uint32_t wakeRegister(int event);

/* Forgets the token; to be called before its eventfd is closed. */
void wakeForget(uint32_t token);

#endif
