/*
 * The wake table: how one thread ends the sleep of another.
 *
 * A device sleeps in wait() on its TUN and on an eventfd. Another thread of the process ends the
 * sleep by wake(token). The token is a plain number that may be posted to any thread:
 *
 *   token:   | generation : 24 bits | slot : 6 bits |      0 is no token
 *
 * It is looked up in a table of the process, so a token that outlives its device wakes nobody, and
 * never writes to a descriptor that has been given to something else since.
 *
 * Invariant: the table is touched under its mutex only; a slot with token 0 is free.
 */
#include "addon.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

enum { WAKE_SLOTS = 64, WAKE_GENERATIONS = 1 << 24 };

static pthread_mutex_t wakeMutex = PTHREAD_MUTEX_INITIALIZER;
static struct { uint32_t token; int event; } wakeSlots[WAKE_SLOTS];
static uint32_t wakeGeneration;

uint32_t wakeRegister(int event) {
  uint32_t token = 0;
  pthread_mutex_lock(&wakeMutex);
  for (uint32_t slot = 0; slot < WAKE_SLOTS && token == 0; slot++) {
    if (wakeSlots[slot].token != 0) continue;
    wakeGeneration = wakeGeneration % (WAKE_GENERATIONS - 1) + 1;
    token = wakeGeneration * WAKE_SLOTS + slot;
    wakeSlots[slot].token = token;
    wakeSlots[slot].event = event;
  }
  pthread_mutex_unlock(&wakeMutex);
  return token;
}

void wakeForget(uint32_t token) {
  pthread_mutex_lock(&wakeMutex);
  if (wakeSlots[token % WAKE_SLOTS].token == token) wakeSlots[token % WAKE_SLOTS].token = 0;
  pthread_mutex_unlock(&wakeMutex);
}

static bool wakeToken(uint32_t token) {
  const uint64_t one = 1;
  const uint32_t slot = token % WAKE_SLOTS;
  bool found;
  /* Written under the lock, so that close() cannot give the descriptor away in between. */
  pthread_mutex_lock(&wakeMutex);
  found = token != 0 && wakeSlots[slot].token == token;
  /* EAGAIN means that the counter is full, hence that a wake-up is due already. */
  if (found && write(wakeSlots[slot].event, &one, sizeof one) < 0 && errno != EAGAIN) {
    found = false;
  }
  pthread_mutex_unlock(&wakeMutex);
  return found;
}

/* wake(token) → whether that device is still open. From any thread of the process. */
static napi_value wakeDevice(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  int32_t token;
  if (!readArguments(env, info, 1, arguments) || !readInt32(env, arguments[0], &token)) return NULL;
  return makeBool(env, wakeToken((uint32_t)token));
}

const Export wakeExports[] = {
    {"wake", wakeDevice},
    {NULL, NULL},
};
