/*
 * The twin of the session table (core/table/sessions.ts) in C: what the same layout and the same steps cost without JavaScript.
 *
 *   table-twin SESSIONS OPERATIONS      prints one line of JSON
 *
 * The same 64-byte records and 8-byte index entries { hash, record + 1 }, two slots a record, linear probing, backward-shift deletion,
 * the same hash with the same seed, a free list threaded through the records, and the work of bench/table/workload.ts: same seed, same
 * order, same number of operations. `proof` is made of what was found, and is equal when both found the same records.
 *
 * Built by the benchmark:  gcc -O2
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SESSION_WORDS 16
#define SEED 20261122u
#define PROTOCOL 17u
#define REMOTE_PORT 443u
#define PORT_FIRST 1024u
#define LAN_FIRST (10u << 24)
#define REMOTE_FIRST ((198u << 24) | (18u << 16))
#define NEVER_FIRST (1u << 22)
#define PSID 86u
#define PRACTICE_ROUNDS 8

enum { INTERNAL, REMOTE, PORTS, EXTERNAL, COMMIT };

struct index {
  uint32_t *slots;
  uint32_t mask;
};

struct table {
  uint32_t *words;
  struct index by_internal, by_external;
  uint32_t free;
};

struct work {
  uint32_t sessions, operations;
  uint32_t *outbound, *missed, *inbound, *victims, *ends;
};

static uint32_t random_state = SEED | 1;

static uint32_t next_random(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 17;
  random_state ^= random_state << 5;
  return random_state;
}

static void *zeros(size_t count) {
  void *memory = calloc(count, sizeof(uint32_t));
  if (memory == NULL) {
    fputs("table-twin: no memory\n", stderr);
    exit(1);
  }
  return memory;
}

/* The indexes lie on huge pages, as those of the gateway do. */
static uint32_t *index_memory(size_t words) {
  uint32_t *memory = zeros(words);
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  const uintptr_t from = ((uintptr_t)memory + page - 1) & ~(page - 1);
  const uintptr_t until = (uintptr_t)(memory + words) & ~(page - 1);
  if (until > from) (void)madvise((void *)from, until - from, MADV_HUGEPAGE);
  return memory;
}

static uint32_t hash3(uint32_t a, uint32_t b, uint32_t c, uint32_t seed) {
  uint32_t h = (a ^ seed) * 0x9e3779b1u;
  h = (h ^ (h >> 15)) * 0x85ebca6bu;
  h = (h ^ b) * 0xc2b2ae35u;
  h = (h ^ (h >> 16) ^ c ^ (seed >> 7)) * 0x27d4eb2fu;
  h = (h ^ (h >> 15)) * 0x165667b1u;
  return h ^ (h >> 16);
}

static void index_insert(struct index *index, uint32_t hash, uint32_t record) {
  uint32_t *slots = index->slots, mask = index->mask;
  uint32_t slot = hash & mask;
  while (slots[slot * 2 + 1] != 0) slot = (slot + 1) & mask;
  slots[slot * 2] = hash;
  slots[slot * 2 + 1] = record + 1;
}

static void index_remove(struct index *index, uint32_t hash, uint32_t record) {
  uint32_t *slots = index->slots, mask = index->mask;
  uint32_t slot = hash & mask;
  while (slots[slot * 2 + 1] != record + 1) {
    if (slots[slot * 2 + 1] == 0) return;
    slot = (slot + 1) & mask;
  }
  uint32_t hole = slot;
  for (;;) {
    slot = (slot + 1) & mask;
    if (slots[slot * 2 + 1] == 0) break;
    uint32_t home = slots[slot * 2] & mask;
    if (((slot - home) & mask) >= ((slot - hole) & mask)) {
      slots[hole * 2] = slots[slot * 2];
      slots[hole * 2 + 1] = slots[slot * 2 + 1];
      hole = slot;
    }
  }
  slots[hole * 2] = 0;
  slots[hole * 2 + 1] = 0;
}

static uint32_t internal_hash(const uint32_t *record) {
  return hash3(record[INTERNAL], record[REMOTE], record[PORTS], SEED ^ (record[EXTERNAL] & 0xff));
}

static uint32_t external_hash(const uint32_t *record) {
  return hash3(record[EXTERNAL], record[REMOTE], record[PORTS] & 0xffff, SEED);
}

static int32_t find_internal(const struct table *table, uint32_t internal, uint32_t remote, uint32_t ports) {
  const uint32_t *slots = table->by_internal.slots, mask = table->by_internal.mask;
  uint32_t hash = hash3(internal, remote, ports, SEED ^ PROTOCOL);
  for (uint32_t slot = hash & mask;; slot = (slot + 1) & mask) {
    int32_t session = (int32_t)slots[slot * 2 + 1] - 1;
    if (session < 0) return -1;
    if (slots[slot * 2] != hash) continue;
    const uint32_t *record = table->words + (size_t)session * SESSION_WORDS;
    if (record[INTERNAL] == internal && record[REMOTE] == remote && record[PORTS] == ports &&
        (record[EXTERNAL] & 0xff) == PROTOCOL)
      return session;
  }
}

static int32_t find_external(const struct table *table, uint32_t external, uint32_t remote, uint32_t remote_port) {
  const uint32_t *slots = table->by_external.slots, mask = table->by_external.mask;
  uint32_t hash = hash3(external, remote, remote_port, SEED);
  for (uint32_t slot = hash & mask;; slot = (slot + 1) & mask) {
    int32_t session = (int32_t)slots[slot * 2 + 1] - 1;
    if (session < 0) return -1;
    if (slots[slot * 2] != hash) continue;
    const uint32_t *record = table->words + (size_t)session * SESSION_WORDS;
    if (record[EXTERNAL] == external && record[REMOTE] == remote && (record[PORTS] & 0xffff) == remote_port)
      return session;
  }
}

static uint32_t internal_of(uint32_t n) { return LAN_FIRST + (n >> 6); }
static uint32_t ports_of(uint32_t n) { return ((PORT_FIRST + (n & 63)) << 16) | REMOTE_PORT; }
static uint32_t remote_of(uint32_t n) { return REMOTE_FIRST + n / 240; }

/* The 240 ports of a v6 Plus line: 15 blocks of 16. */
static uint32_t external_of(uint32_t n) {
  uint32_t i = n % 240;
  uint32_t port = ((1 + (i >> 4)) << 12) | (PSID << 4) | (i & 15);
  return (port << 16) | PROTOCOL;
}

static void open_session(struct table *table, uint32_t n) {
  uint32_t session = table->free - 1;
  uint32_t *record = table->words + (size_t)session * SESSION_WORDS;
  table->free = record[0];
  record[INTERNAL] = internal_of(n);
  record[REMOTE] = remote_of(n);
  record[PORTS] = ports_of(n);
  record[EXTERNAL] = external_of(n);
  for (int word = 5; word < SESSION_WORDS; word++) record[word] = 0;
  __atomic_store_n(&record[COMMIT], (1u << 24) | 6, __ATOMIC_SEQ_CST);
  index_insert(&table->by_internal, internal_hash(record), session);
  index_insert(&table->by_external, external_hash(record), session);
}

static void end_session(struct table *table, uint32_t session) {
  uint32_t *record = table->words + (size_t)session * SESSION_WORDS;
  __atomic_store_n(&record[COMMIT], record[COMMIT] & 0xff000000u, __ATOMIC_SEQ_CST);
  index_remove(&table->by_internal, internal_hash(record), session);
  index_remove(&table->by_external, external_hash(record), session);
  record[0] = table->free;
  table->free = session + 1;
}

static void put_key(uint32_t *keys, uint32_t i, uint32_t n) {
  keys[i * 3] = internal_of(n);
  keys[i * 3 + 1] = remote_of(n);
  keys[i * 3 + 2] = ports_of(n);
}

static struct work make_work(uint32_t sessions, uint32_t operations) {
  random_state = SEED | 1;
  struct work work = {sessions, operations, zeros(operations * 3ul), zeros(operations * 3ul),
                      zeros(operations * 2ul), zeros(operations), zeros(sessions)};
  for (uint32_t i = 0; i < sessions; i++) work.ends[i] = i;
  for (uint32_t i = 0; i < operations; i++) {
    put_key(work.outbound, i, next_random() % sessions);
    uint32_t n = next_random() % sessions;
    work.inbound[i * 2] = external_of(n);
    work.inbound[i * 2 + 1] = remote_of(n);
    put_key(work.missed, i, NEVER_FIRST + next_random() % sessions);
    work.victims[i] = next_random() % sessions;
  }
  for (uint32_t i = sessions - 1; i > 0; i--) {
    uint32_t other = next_random() % (i + 1), record = work.ends[i];
    work.ends[i] = work.ends[other];
    work.ends[other] = record;
  }
  return work;
}

static struct table make_table(uint32_t capacity) {
  struct table table = {zeros((size_t)capacity * SESSION_WORDS),
                        {index_memory(capacity * 4ul), capacity * 2 - 1},
                        {index_memory(capacity * 4ul), capacity * 2 - 1},
                        0};
  for (uint32_t session = capacity; session-- > 0;) {
    table.words[(size_t)session * SESSION_WORDS] = table.free;
    table.free = session + 1;
  }
  return table;
}

/*
 * The result as a value that the compiler knows nothing about. Else it makes a branch of "found or not", the processor predicts it, and
 * the next look-up does not wait for this one.
 */
static inline int32_t known_late(int32_t found) {
  __asm__("" : "+r"(found));
  return found;
}

/* Which key comes next depends on what was found; `step` is one more where nothing (-1) will be. */
static uint32_t find_all(const struct table *table, const uint32_t *keys, uint32_t count, int32_t step) {
  uint32_t sum = 0;
  for (uint32_t i = 0; i < count;) {
    int32_t found = known_late(find_internal(table, keys[i * 3], keys[i * 3 + 1], keys[i * 3 + 2]));
    sum += (uint32_t)found;
    i += (uint32_t)(step + (found >> 31));
  }
  return sum;
}

static uint32_t step_insert(struct table *table, const struct work *work) {
  for (uint32_t n = 0; n < work->sessions; n++) open_session(table, n);
  return 0;
}

static uint32_t step_outbound(struct table *table, const struct work *work) {
  return find_all(table, work->outbound, work->operations, 1);
}

static uint32_t step_inbound(struct table *table, const struct work *work) {
  uint32_t sum = 0;
  for (uint32_t i = 0; i < work->operations;) {
    int32_t found = known_late(find_external(table, work->inbound[i * 2], work->inbound[i * 2 + 1], REMOTE_PORT));
    sum += (uint32_t)found;
    i += (uint32_t)(1 + (found >> 31));
  }
  return sum;
}

static uint32_t step_miss(struct table *table, const struct work *work) {
  return find_all(table, work->missed, work->operations, 2);
}

static uint32_t step_streamed(struct table *table, const struct work *work) {
  const uint32_t *keys = work->outbound;
  uint32_t sum = 0;
  for (uint32_t i = 0; i < work->operations; i++)
    sum += (uint32_t)find_internal(table, keys[i * 3], keys[i * 3 + 1], keys[i * 3 + 2]);
  return sum;
}

static uint32_t step_churn(struct table *table, const struct work *work) {
  for (uint32_t i = 0; i < work->operations; i++) {
    end_session(table, work->victims[i]);
    open_session(table, work->sessions + i);
  }
  return 0;
}

static uint32_t step_end(struct table *table, const struct work *work) {
  for (uint32_t i = 0; i < work->sessions; i++) end_session(table, work->ends[i]);
  return 0;
}

static const struct {
  const char *name;
  uint32_t (*run)(struct table *, const struct work *);
  int is_per_session, is_look_up;
} steps[] = {
    {"insert", step_insert, 1, 0}, {"outbound", step_outbound, 0, 1}, {"inbound", step_inbound, 0, 1},
    {"miss", step_miss, 0, 1}, {"streamed", step_streamed, 0, 1},     {"churn", step_churn, 0, 0},       {"end", step_end, 1, 0},
};

/* Processor time, as the other tables are timed. */
static double nanoseconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

int main(int argc, char **argv) {
  uint32_t sessions = argc == 3 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
  uint32_t operations = argc == 3 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
  if (sessions == 0 || operations == 0 || sessions > (1u << 20)) {
    fputs("usage: table-twin SESSIONS OPERATIONS\n", stderr);
    return 2;
  }
  uint32_t capacity = 1;
  while (capacity < sessions) capacity *= 2;

  struct work practice = make_work((sessions + 9) / 10, (operations + 9) / 10);
  struct table practised = make_table(capacity);
  for (int round = 0; round < PRACTICE_ROUNDS; round++)
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) steps[i].run(&practised, &practice);

  struct work work = make_work(sessions, operations);
  struct table table = make_table(capacity);
  uint32_t proof = 0;
  printf("{\"nanoseconds\":{");
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    double started = nanoseconds_now();
    uint32_t found = steps[i].run(&table, &work);
    double spent = nanoseconds_now() - started;
    printf("%s\"%s\":%.2f", i == 0 ? "" : ",", steps[i].name, spent / (steps[i].is_per_session ? sessions : operations));
    if (steps[i].is_look_up) proof = proof * 31 + found;
  }
  printf("},\"bytesPerSession\":%.2f,\"proof\":%d}\n", 96.0 * capacity / sessions, (int32_t)proof);
  return 0;
}
