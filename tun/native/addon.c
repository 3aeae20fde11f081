/*
 * Module registration, argument readers and errors.
 *
 * NAPI_MODULE_INIT runs once for every thread that loads the addon. It keeps no instance data: a
 * device hangs on its handle, an arena on its ArrayBuffer, and both go when the environment of
 * their thread ends.
 */
#include "addon.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/*
 * glibc has strerrorname_np, musl has not; these are the ones that the calls of this addon are
 * documented to give.
 */
static const char *errnoName(int error) {
  switch (error) {
    case EPERM: return "EPERM";
    case ENOENT: return "ENOENT";
    case EINTR: return "EINTR";
    case EIO: return "EIO";
    case ENXIO: return "ENXIO";
    case EBADF: return "EBADF";
    case EAGAIN: return "EAGAIN";
    case ENOMEM: return "ENOMEM";
    case EACCES: return "EACCES";
    case EFAULT: return "EFAULT";
    case EBUSY: return "EBUSY";
    case EEXIST: return "EEXIST";
    case ENODEV: return "ENODEV";
    case ENOTDIR: return "ENOTDIR";
    case EISDIR: return "EISDIR";
    case EINVAL: return "EINVAL";
    case ENFILE: return "ENFILE";
    case EMFILE: return "EMFILE";
    case EFBIG: return "EFBIG";
    case ENOSPC: return "ENOSPC";
    case EROFS: return "EROFS";
    case ENAMETOOLONG: return "ENAMETOOLONG";
    case ELOOP: return "ELOOP";
    case EBADFD: return "EBADFD";
    case EMSGSIZE: return "EMSGSIZE";
    case EOPNOTSUPP: return "EOPNOTSUPP";
    case ENOBUFS: return "ENOBUFS";
    case ECONNREFUSED: return "ECONNREFUSED";
    case EOVERFLOW: return "EOVERFLOW";
    default: return NULL;
  }
}

napi_value throwErrno(napi_env env, int error, const char *step) {
  char code[24], message[200];
  const char *name = errnoName(error);
  if (name != NULL) snprintf(code, sizeof code, "%s", name);
  else snprintf(code, sizeof code, "ERRNO_%d", error);
  snprintf(message, sizeof message, "%s: %s (%s)", step, strerror(error), code);

  napi_value codeValue, messageValue, stepValue, errorValue;
  napi_create_string_utf8(env, code, NAPI_AUTO_LENGTH, &codeValue);
  napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &messageValue);
  napi_create_string_utf8(env, step, NAPI_AUTO_LENGTH, &stepValue);
  napi_create_error(env, codeValue, messageValue, &errorValue);
  napi_set_named_property(env, errorValue, "step", stepValue);
  napi_set_named_property(env, errorValue, "errno", makeInt32(env, error));
  napi_throw(env, errorValue);
  return NULL;
}

napi_value throwUsage(napi_env env, const char *message) {
  napi_throw_type_error(env, "NATIVE_USAGE", message);
  return NULL;
}

bool readArguments(napi_env env, napi_callback_info info, size_t wanted, napi_value *values) {
  size_t count = wanted;
  if (napi_get_cb_info(env, info, &count, values, NULL, NULL) != napi_ok || count < wanted) {
    throwUsage(env, "too few arguments");
    return false;
  }
  return true;
}

bool readInt32(napi_env env, napi_value value, int32_t *result) {
  if (napi_get_value_int32(env, value, result) == napi_ok) return true;
  throwUsage(env, "a number was expected");
  return false;
}

bool readDouble(napi_env env, napi_value value, double *result) {
  if (napi_get_value_double(env, value, result) == napi_ok) return true;
  throwUsage(env, "a number was expected");
  return false;
}

bool readBool(napi_env env, napi_value value, bool *result) {
  if (napi_get_value_bool(env, value, result) == napi_ok) return true;
  throwUsage(env, "a boolean was expected");
  return false;
}

bool readString(napi_env env, napi_value value, char *buffer, size_t size, size_t *length) {
  size_t needed = 0, copied = 0;
  /* The first call measures: a text that does not fit is an error, never cut in silence. */
  if (napi_get_value_string_utf8(env, value, NULL, 0, &needed) != napi_ok) {
    throwUsage(env, "a string was expected");
    return false;
  }
  if (needed >= size) {
    throwErrno(env, ENAMETOOLONG, "string argument");
    return false;
  }
  napi_get_value_string_utf8(env, value, buffer, size, &copied);
  if (memchr(buffer, 0, copied) != NULL) {
    throwUsage(env, "a string without zero bytes was expected");
    return false;
  }
  if (length != NULL) *length = copied;
  return true;
}

bool readTypedArray(napi_env env, napi_value value, napi_typedarray_type type, void **data,
                    size_t *length) {
  napi_typedarray_type found;
  bool isTypedArray = false;
  napi_is_typedarray(env, value, &isTypedArray);
  if (!isTypedArray ||
      napi_get_typedarray_info(env, value, &found, length, data, NULL, NULL) != napi_ok ||
      found != type) {
    throwUsage(env, "a typed array of another type was expected");
    return false;
  }
  return true;
}

napi_value makeBool(napi_env env, bool value) {
  napi_value result;
  napi_get_boolean(env, value, &result);
  return result;
}

napi_value makeInt32(napi_env env, int32_t value) {
  napi_value result;
  napi_create_int32(env, value, &result);
  return result;
}

napi_value makeDouble(napi_env env, double value) {
  napi_value result;
  napi_create_double(env, value, &result);
  return result;
}

void setProperty(napi_env env, napi_value object, const char *name, napi_value value) {
  napi_set_named_property(env, object, name, value);
}

static void exportAll(napi_env env, napi_value exports, const Export *row) {
  for (; row->name != NULL; row++) {
    napi_value function;
    napi_create_function(env, row->name, NAPI_AUTO_LENGTH, row->function, NULL, &function);
    napi_set_named_property(env, exports, row->name, function);
  }
}

NAPI_MODULE_INIT() {
  exportAll(env, exports, deviceExports);
  exportAll(env, exports, writeExports);
  exportAll(env, exports, wakeExports);
  exportAll(env, exports, memoryExports);
  exportAll(env, exports, systemExports);
  return exports;
}
