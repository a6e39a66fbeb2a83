// One thread that stops scripts. While a turn is open it looks at the worker thread's CPU clock each millisecond; while
// turns come and go, and none lasts from one look to the next, each four milliseconds: its waking takes the core from the
// worker for some microseconds. With nothing to watch for a while it sleeps on a futex. A wall clock alone would punish a script for other
// people's load, and asking for the CPU clock on the worker costs 0.5 us per call. So the worker asks once in a millisecond at most; what a
// stretch used, that the watchdog met late or not at all, is never taken for more than its thread had since such a moment before it: on a
// busy machine both threads wait for a processor, longer than a script may run.
//
// A slot belongs to one worker thread. Its state is (sequence << 2 | phase). The worker arms with one store and
// disarms with one compare-and-swap. The watchdog touches the isolate only in phase `firing`, which it enters from
// `armed` or `fired` by compare-and-swap; the worker waits for it to leave before it goes on.
#include "internal.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

namespace cv8 {
namespace {

enum Phase : uint64_t { kIdle = 0, kArmed = 1, kFiring = 2, kFired = 3 };
constexpr uint64_t kPhaseMask = 3, kOneSequence = 4;
constexpr uint64_t kMillisecond = 1000000, kRepeat = 50 * kMillisecond;
constexpr uint64_t kFarBeyond = 40;
constexpr int kSlots = 256, kQuietTicks = 10;
// How long it sleeps between two looks: at most an eighth of the smallest CPU budget it met, so that small budgets are kept.
constexpr uint64_t kLongTick = 4 * kMillisecond, kShareOfBudget = 8;

struct Slot {
  std::atomic<bool> taken{false};
  std::atomic<uint64_t> state{0};
  // Written before `state`, read after it; stale reads are harmless because the compare-and-swap then fails.
  std::atomic<cv8_isolate *> isolate{nullptr};
  std::atomic<uint64_t> cpu_budget{0}, deadline{0}, began{0};
  std::atomic<clockid_t> clock{0};
  // The watchdog's notes on the sequence it is watching. The worker reads them at the end of a turn.
  std::atomic<uint64_t> seen{0}, base_cpu{0}, missed{0};
  uint64_t last_state = 0, fired_at = 0, fired_cpu = 0, repeated_at = 0;
  // The worker's own. What its CPU clock said at some moment before the stretch that runs.
  uint64_t sequence = 0, sampled_at = 0, sampled_cpu = 0;
  cv8_isolate *current = nullptr;
};

Slot slots[kSlots];
std::atomic<uint32_t> sleeping{0};
std::atomic<size_t> slots_in_use{0};  // high-water mark
std::atomic<uint64_t> fired_count{0}, wakeup_count{0};
uint64_t kill_after = 0;

void futex_wait(std::atomic<uint32_t> *word, uint32_t value) {
  syscall(SYS_futex, reinterpret_cast<uint32_t *>(word), FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

void wake_watchdog() {
  sleeping.store(0, std::memory_order_seq_cst);
  syscall(SYS_futex, reinterpret_cast<uint32_t *>(&sleeping), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

bool cpu_ns(clockid_t clock, uint64_t *out) {
  struct timespec now;
  if (clock_gettime(clock, &now) != 0) return false;
  *out = static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
  return true;
}

/// The thread's slot, taken at its first turn and given back when the thread ends.
struct SlotOwner {
  Slot *slot = nullptr;
  ~SlotOwner() {
    if (slot != nullptr) slot->taken.store(false, std::memory_order_release);
  }
};
thread_local SlotOwner slot_owner;

Slot *take_slot() {
  for (Slot &slot : slots) {
    bool expected = false;
    if (!slot.taken.compare_exchange_strong(expected, true, std::memory_order_acquire)) continue;
    clockid_t clock;
    pthread_getcpuclockid(pthread_self(), &clock);
    slot.clock.store(clock, std::memory_order_relaxed);
    slot.sequence = slot.state.load(std::memory_order_relaxed) / kOneSequence;
    slot.current = nullptr;
    slot.sampled_at = 0;  // of another thread
    const size_t count = static_cast<size_t>(&slot - slots) + 1;
    size_t known = slots_in_use.load();
    while (known < count && !slots_in_use.compare_exchange_weak(known, count)) {
    }
    return slot_owner.slot = &slot;
  }
  die(CV8_EXIT_FATAL, "more than 256 threads run JavaScript", "watchdog", "");
}

Slot *own_slot() { return slot_owner.slot != nullptr ? slot_owner.slot : take_slot(); }

// MARK: the watching side

void fire(Slot &slot, uint64_t state, int32_t reason, uint64_t now) {
  const uint64_t sequence = state & ~kPhaseMask;
  if (!slot.state.compare_exchange_strong(state, sequence | kFiring, std::memory_order_acq_rel)) return;
  cv8_isolate *isolate = slot.isolate.load(std::memory_order_relaxed);
  if (reason != CV8_NOT_STOPPED) {
    mark_stopped(isolate, reason);
    fired_count.fetch_add(1, std::memory_order_relaxed);
    slot.fired_at = now;
    if (!cpu_ns(slot.clock.load(std::memory_order_relaxed), &slot.fired_cpu)) slot.fired_cpu = 0;
  }
  slot.repeated_at = now;
  isolate->v8->TerminateExecution();
  slot.state.store(sequence | kFired, std::memory_order_release);
}

/// Ends the process, unless the turn has ended meanwhile.
void give_up(Slot &slot, uint64_t state) {
  const uint64_t sequence = state & ~kPhaseMask;
  if (!slot.state.compare_exchange_strong(state, sequence | kFiring, std::memory_order_acq_rel)) return;
  die(CV8_EXIT_UNSTOPPABLE, "JavaScript did not stop when told to", "watchdog", slot.isolate.load()->name);
}

/// Whether the script had as much processor time since it was told to stop as one gets that stops. The wall clock alone would end
/// a process that waits for its turn on a busy machine; it decides only when it is over by far.
bool had_its_chance(const Slot &slot, uint64_t now) {
  const uint64_t waited = now - slot.fired_at;
  if (kill_after == 0 || waited <= kill_after) return false;
  uint64_t cpu = 0;
  if (!cpu_ns(slot.clock.load(std::memory_order_relaxed), &cpu)) return true;
  return cpu - slot.fired_cpu >= kill_after || waited > kFarBeyond * kill_after;
}

/// Notes where the CPU clock stood when the watchdog first met this stretch of a turn.
void first_sight(Slot &slot, uint64_t state, uint64_t now, uint64_t cpu) {
  const uint64_t began = slot.began.load(std::memory_order_relaxed);
  slot.base_cpu.store(cpu, std::memory_order_relaxed);
  slot.missed.store(now > began ? now - began : 0, std::memory_order_relaxed);
  slot.seen.store(state & ~kPhaseMask, std::memory_order_release);
}

void look_after(Slot &slot, uint64_t state) {
  const uint64_t now = monotonic_ns();
  if ((state & kPhaseMask) == kFired) {
    if (had_its_chance(slot, now)) give_up(slot, state);
    if (now - slot.repeated_at > kRepeat) fire(slot, state, CV8_NOT_STOPPED, now);
    return;
  }
  uint64_t cpu = 0;
  if (!cpu_ns(slot.clock.load(std::memory_order_relaxed), &cpu)) return;
  if (slot.seen.load(std::memory_order_relaxed) != (state & ~kPhaseMask)) first_sight(slot, state, now, cpu);
  if (cpu - slot.base_cpu.load(std::memory_order_relaxed) >= slot.cpu_budget.load(std::memory_order_relaxed)) {
    fire(slot, state, CV8_STOP_CPU, now);
  } else if (now >= slot.deadline.load(std::memory_order_relaxed)) {
    fire(slot, state, CV8_STOP_WALL, now);
  }
}

struct Look {
  bool busy = false;   // a slot is armed or was since the last look
  uint64_t pause = kLongTick;  // until the next look, in nanoseconds
};

Look look_around() {
  bool busy = false;
  uint64_t pause = kLongTick;
  const size_t count = slots_in_use.load(std::memory_order_seq_cst);
  for (size_t i = 0; i < count; i++) {
    Slot &slot = slots[i];
    const uint64_t state = slot.state.load(std::memory_order_seq_cst);
    const uint64_t phase = state & kPhaseMask;
    if (phase == kArmed || phase == kFired) look_after(slot, state);
    busy = busy || phase != kIdle || state != slot.last_state;
    const uint64_t share = slot.cpu_budget.load(std::memory_order_relaxed) / kShareOfBudget;
    if (phase != kIdle && state == slot.last_state) {
      pause = kMillisecond;
    } else if (state != slot.last_state && share < pause) {
      pause = share > kMillisecond ? share : kMillisecond;
    }
    slot.last_state = state;
  }
  return {busy, pause};
}

void *watch(void *) {
  int quiet = 0;
  for (;;) {
    const Look look = look_around();
    quiet = look.busy ? 0 : quiet + 1;
    if (quiet < kQuietTicks) {
      const struct timespec tick = {0, static_cast<long>(look.pause)};
      nanosleep(&tick, nullptr);
      continue;
    }
    // Whoever arms after this store sees it and wakes us; whoever armed before it is found by the look.
    sleeping.store(1, std::memory_order_seq_cst);
    if (!look_around().busy) {
      while (sleeping.load(std::memory_order_seq_cst) == 1) futex_wait(&sleeping, 1);
      wakeup_count.fetch_add(1, std::memory_order_relaxed);
    }
    sleeping.store(0, std::memory_order_seq_cst);
    quiet = 0;
  }
  return nullptr;
}

// MARK: the worker's side

/// Notes what the thread's CPU clock says. False: it cannot be asked.
bool sample(Slot *slot, uint64_t now) {
  slot->sampled_at = now;
  return cpu_ns(CLOCK_THREAD_CPUTIME_ID, &slot->sampled_cpu);
}

/// Processor time of a stretch that took `elapsed` on the clock.
uint64_t used_by(Slot *slot, uint64_t sequence, uint64_t elapsed, uint64_t now) {
  const bool seen = slot->seen.load(std::memory_order_acquire) == sequence;
  if (!seen && elapsed <= kMillisecond) return elapsed;
  const uint64_t before = slot->sampled_cpu;
  if (!sample(slot, now)) return elapsed;
  uint64_t used = std::min(elapsed, slot->sampled_cpu - before);
  if (seen) {
    const uint64_t base = slot->base_cpu.load(std::memory_order_relaxed), missed = slot->missed.load(std::memory_order_relaxed);
    used = std::min(used, slot->sampled_cpu - base + missed);
  }
  return used;
}

/// Starts (or goes on with) a stretch of the isolate's turn.
void arm(Slot *slot, cv8_isolate *isolate, uint64_t now) {
  Turn &turn = isolate->turn;
  const uint64_t left = turn.cpu_budget > turn.cpu ? turn.cpu_budget - turn.cpu : 0;
  turn.resumed_at = now;
  if (now - slot->sampled_at >= kMillisecond) sample(slot, now);
  turn.sequence = ++slot->sequence * kOneSequence;
  slot->isolate.store(isolate, std::memory_order_relaxed);
  slot->cpu_budget.store(left, std::memory_order_relaxed);
  slot->deadline.store(turn.deadline, std::memory_order_relaxed);
  slot->began.store(now, std::memory_order_relaxed);
  slot->current = isolate;
  slot->state.store(turn.sequence | kArmed, std::memory_order_seq_cst);
  if (sleeping.load(std::memory_order_seq_cst) != 0) wake_watchdog();
}

/// Ends a stretch: afterwards the watchdog does not touch the isolate.
void disarm(Slot *slot, cv8_isolate *isolate, uint64_t now) {
  Turn &turn = isolate->turn;
  for (;;) {
    uint64_t state = slot->state.load(std::memory_order_acquire);
    if ((state & kPhaseMask) == kFiring) continue;  // a few hundred nanoseconds
    if (slot->state.compare_exchange_weak(state, turn.sequence | kIdle, std::memory_order_acq_rel)) break;
  }
  const uint64_t elapsed = now - turn.resumed_at;
  turn.elapsed += elapsed;
  turn.cpu += used_by(slot, turn.sequence, elapsed, now);
}

}  // namespace

uint64_t watchdog_fired() { return fired_count.load(std::memory_order_relaxed); }
uint64_t watchdog_wakeups() { return wakeup_count.load(std::memory_order_relaxed); }

void mark_stopped(cv8_isolate *isolate, int32_t reason) {
  int32_t expected = CV8_NOT_STOPPED;
  isolate->stop.compare_exchange_strong(expected, reason, std::memory_order_acq_rel);
}

void start_watchdog(uint32_t kill_after_ms) {
  kill_after = kill_after_ms * kMillisecond;
  pthread_t thread;
  if (pthread_create(&thread, nullptr, watch, nullptr) != 0) {
    die(CV8_EXIT_FATAL, "the watchdog thread cannot be made", "pthread_create", "");
  }
  pthread_setname_np(thread, "hook-watchdog");
  pthread_detach(thread);
}

void hold_turn(cv8_isolate *isolate) {
  if (!isolate->turn.open) return;
  const uint64_t now = monotonic_ns();
  disarm(own_slot(), isolate, now);
  isolate->turn.held_at = now;
}

void release_turn(cv8_isolate *isolate) {
  if (!isolate->turn.open) return;
  const uint64_t now = monotonic_ns();
  if (isolate->turn.deadline != UINT64_MAX) isolate->turn.deadline += now - isolate->turn.held_at;
  arm(own_slot(), isolate, now);
}

Turn begin_aside(cv8_isolate *isolate, uint64_t cpu_ns, uint64_t wall_ns) {
  const uint64_t now = monotonic_ns();
  const Turn held = isolate->turn;
  isolate->turn.cpu_budget = held.cpu + cpu_ns;
  isolate->turn.deadline = now + wall_ns;
  arm(own_slot(), isolate, now);
  return held;
}

void end_aside(cv8_isolate *isolate, const Turn &held) {
  disarm(own_slot(), isolate, monotonic_ns());
  isolate->turn = held;
  if (isolate->must_be_discarded || isolate->stop.load(std::memory_order_acquire) == CV8_NOT_STOPPED) return;
  isolate->stop.store(CV8_NOT_STOPPED, std::memory_order_release);
  isolate->v8->CancelTerminateExecution();
}

}  // namespace cv8

void cv8_turn_begin(cv8_isolate *isolate, uint64_t cpu_ns, uint64_t wall_ns, uint64_t now_ns) {
  cv8::turn_begins();
  cv8::Slot *slot = cv8::own_slot();
  const uint64_t now = now_ns != 0 ? now_ns : cv8::monotonic_ns();
  cv8_isolate *outer = slot->current;
  if (outer != nullptr) cv8::disarm(slot, outer, now);
  cv8::inspector_allowance(isolate, &cpu_ns, &wall_ns);
  cv8::Turn &turn = isolate->turn;
  turn = cv8::Turn();
  turn.open = true;
  turn.cpu_budget = cpu_ns;
  turn.deadline = now + wall_ns < now ? UINT64_MAX : now + wall_ns;
  turn.outer = outer;
  isolate->stop.store(isolate->must_be_discarded ? CV8_STOP_HEAP : CV8_NOT_STOPPED, std::memory_order_relaxed);
  cv8::arm(slot, isolate, now);
}

void cv8_turn_end(cv8_isolate *isolate, cv8_turn *out) {
  cv8::Slot *slot = cv8::own_slot();
  if (slot->current != isolate) {
    cv8::die(CV8_EXIT_FATAL, "turns must end on their thread, the innermost first", "cv8_turn_end", isolate->name);
  }
  // Still watched, because what is in the queue is the script's.
  if (cv8::stopped(isolate)) cv8::drop_microtasks(isolate);
  const uint64_t now = cv8::monotonic_ns();
  cv8::disarm(slot, isolate, now);
  cv8::check_wasm_memory(isolate);
  cv8::end_loans(isolate);
  cv8::Turn &turn = isolate->turn;
  turn.open = false;
  isolate->rejections.clear();  // nobody asked; the next turn is someone else's
  isolate->rejections_dropped = 0;
  slot->current = turn.outer;
  out->elapsed_ns = turn.elapsed;
  out->cpu_ns = turn.cpu;
  out->stop = isolate->stop.load(std::memory_order_acquire);
  if (out->stop != CV8_NOT_STOPPED) {
    isolate->terminations++;
    isolate->v8->CancelTerminateExecution();
  }
  if (turn.outer == nullptr) return;
  turn.outer->turn.deadline += turn.elapsed;
  cv8::arm(slot, turn.outer, now);
}

bool cv8_turn_is_open(const cv8_isolate *isolate) { return isolate->turn.open; }
int32_t cv8_turn_stop(const cv8_isolate *isolate) { return isolate->stop.load(std::memory_order_acquire); }

void cv8_isolate_terminate(cv8_isolate *isolate) {
  cv8::mark_stopped(isolate, CV8_STOP_REQUESTED);
  isolate->v8->TerminateExecution();
}
