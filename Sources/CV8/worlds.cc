// Several worlds in one isolate: contexts from the snapshot, each with handles of its own.
#include "internal.h"

#include <utility>

namespace cv8 {

/// Puts the world under way aside and takes another one up.
static void exchange(cv8_isolate *isolate, World *world) {
  std::swap(isolate->context, world->context);
  isolate->handles.swap(world->handles);
  isolate->free_handles.swap(world->free_handles);
}

static int32_t free_number(cv8_isolate *isolate) {
  for (size_t i = 0; i < isolate->worlds.size(); i++) {
    if (!isolate->worlds[i].exists) return static_cast<int32_t>(i);
  }
  isolate->worlds.emplace_back();
  return static_cast<int32_t>(isolate->worlds.size() - 1);
}

}  // namespace cv8

int32_t cv8_world_make(cv8_isolate *isolate, cv8_error **error) {
  *error = nullptr;
  if (isolate->worlds.empty()) {
    isolate->worlds.emplace_back();
    isolate->worlds[0].exists = true;
  }
  const int32_t number = cv8::free_number(isolate);
  const int32_t before = isolate->world;
  cv8::exchange(isolate, &isolate->worlds[static_cast<size_t>(before)]);
  *error = cv8::boot(isolate);
  if (*error == nullptr) {
    isolate->worlds[static_cast<size_t>(number)].exists = true;
    cv8::exchange(isolate, &isolate->worlds[static_cast<size_t>(number)]);
  } else {
    isolate->handles.clear();
    isolate->free_handles.clear();
    isolate->context.Reset();
  }
  cv8::exchange(isolate, &isolate->worlds[static_cast<size_t>(before)]);
  return *error == nullptr ? number : -1;
}

void cv8_world_enter(cv8_isolate *isolate, int32_t world) {
  if (world == isolate->world || world < 0 || static_cast<size_t>(world) >= isolate->worlds.size()) return;
  if (!isolate->worlds[static_cast<size_t>(world)].exists || isolate->depth > 0) return;
  cv8::exchange(isolate, &isolate->worlds[static_cast<size_t>(isolate->world)]);
  cv8::exchange(isolate, &isolate->worlds[static_cast<size_t>(world)]);
  isolate->world = world;
}

void cv8_world_free(cv8_isolate *isolate, int32_t world) {
  if (world == isolate->world || world < 0 || static_cast<size_t>(world) >= isolate->worlds.size()) return;
  cv8::IsolateEntry entry(isolate);
  cv8::World &gone = isolate->worlds[static_cast<size_t>(world)];
  if (isolate->inspector != nullptr) {
    v8::HandleScope scope(isolate->v8);
    cv8::inspector_context_gone(isolate, gone.context.Get(isolate->v8));
  }
  gone.handles.clear();
  gone.free_handles.clear();
  gone.context.Reset();
  gone.exists = false;
  isolate->v8->ContextDisposedNotification(false);
}

size_t cv8_world_count(const cv8_isolate *isolate) {
  size_t count = isolate->worlds.empty() ? 1 : 0;
  for (const cv8::World &world : isolate->worlds) count += world.exists ? 1 : 0;
  return count;
}
