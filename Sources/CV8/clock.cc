// The wall clock that JavaScript sees. For code of strangers it stands still while a turn runs: what cannot time itself
// cannot time what it shares a processor with.
#include "internal.h"

#include <cmath>
#include <limits>

namespace cv8 {
namespace {

std::atomic<bool> frozen{false};
std::atomic<double> turn_began{0};
/// What a rehearsal on this thread says the time is; not a number while there is none.
thread_local double given = std::numeric_limits<double>::quiet_NaN();

/// The default platform with a clock of ours. Only V8 gets to see it; who pumps tasks uses the platform inside.
class ClockPlatform final : public v8::Platform {
 public:
  explicit ClockPlatform(v8::Platform *inner) : inner_(inner) {}

  double CurrentClockTimeMillis() override {
    if (!std::isnan(given)) return given;
    return frozen.load(std::memory_order_relaxed) ? turn_began.load(std::memory_order_relaxed) : inner_->CurrentClockTimeMillis();
  }

  v8::PageAllocator *GetPageAllocator() override { return inner_->GetPageAllocator(); }
  v8::ZoneBackingAllocator *GetZoneBackingAllocator() override { return inner_->GetZoneBackingAllocator(); }
  bool OnCriticalMemoryPressure(size_t length) override { return inner_->OnCriticalMemoryPressure(length); }
  int NumberOfWorkerThreads() override { return inner_->NumberOfWorkerThreads(); }
  std::shared_ptr<v8::TaskRunner> GetForegroundTaskRunner(v8::Isolate *isolate) override {
    return inner_->GetForegroundTaskRunner(isolate);
  }
  void CallOnWorkerThread(std::unique_ptr<v8::Task> task) override { inner_->CallOnWorkerThread(std::move(task)); }
  void CallBlockingTaskOnWorkerThread(std::unique_ptr<v8::Task> task) override {
    inner_->CallBlockingTaskOnWorkerThread(std::move(task));
  }
  void CallLowPriorityTaskOnWorkerThread(std::unique_ptr<v8::Task> task) override {
    inner_->CallLowPriorityTaskOnWorkerThread(std::move(task));
  }
  void CallDelayedOnWorkerThread(std::unique_ptr<v8::Task> task, double delay) override {
    inner_->CallDelayedOnWorkerThread(std::move(task), delay);
  }
  bool IdleTasksEnabled(v8::Isolate *isolate) override { return inner_->IdleTasksEnabled(isolate); }
  std::unique_ptr<v8::JobHandle> PostJob(v8::TaskPriority priority, std::unique_ptr<v8::JobTask> task) override {
    return inner_->PostJob(priority, std::move(task));
  }
  double MonotonicallyIncreasingTime() override { return inner_->MonotonicallyIncreasingTime(); }
  StackTracePrinter GetStackTracePrinter() override { return inner_->GetStackTracePrinter(); }
  v8::TracingController *GetTracingController() override { return inner_->GetTracingController(); }
  void DumpWithoutCrashing() override { inner_->DumpWithoutCrashing(); }
  v8::HighAllocationThroughputObserver *GetHighAllocationThroughputObserver() override {
    return inner_->GetHighAllocationThroughputObserver();
  }

 private:
  v8::Platform *const inner_;
};

}  // namespace

v8::Platform *with_our_clock(v8::Platform *inner) { return new ClockPlatform(inner); }

void turn_begins() {
  if (frozen.load(std::memory_order_relaxed)) {
    turn_began.store(platform()->CurrentClockTimeMillis(), std::memory_order_relaxed);
  }
}

}  // namespace cv8

void cv8_set_clock(double milliseconds) { cv8::given = milliseconds; }

void cv8_freeze_clock(void) {
  cv8::turn_began.store(cv8::platform()->CurrentClockTimeMillis(), std::memory_order_relaxed);
  cv8::frozen.store(true, std::memory_order_relaxed);
}
