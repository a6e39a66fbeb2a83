// CPU profiles and heap snapshots, in the formats that Chrome's DevTools open.
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <v8-profiler.h>

namespace cv8 {

static void add_text(std::string *out, const char *text) {
  out->push_back('"');
  for (const char *at = text; *at != 0; at++) {
    const auto byte = static_cast<unsigned char>(*at);
    if (byte == '"' || byte == '\\') {
      out->push_back('\\');
      out->push_back(*at);
    } else if (byte < 0x20) {
      char escaped[8];
      snprintf(escaped, sizeof escaped, "\\u%04x", byte);
      out->append(escaped);
    } else {
      out->push_back(*at);
    }
  }
  out->push_back('"');
}

static void add_node(std::string *out, const v8::CpuProfileNode *node) {
  out->append("{\"id\":" + std::to_string(node->GetNodeId()) + ",\"callFrame\":{\"functionName\":");
  add_text(out, node->GetFunctionNameStr());
  out->append(",\"scriptId\":\"" + std::to_string(node->GetScriptId()) + "\",\"url\":");
  add_text(out, node->GetScriptResourceNameStr());
  out->append(",\"lineNumber\":" + std::to_string(node->GetLineNumber() - 1) + ",\"columnNumber\":" +
              std::to_string(node->GetColumnNumber() - 1) + "},\"hitCount\":" + std::to_string(node->GetHitCount()));
  if (node->GetChildrenCount() > 0) {
    out->append(",\"children\":[");
    for (int i = 0; i < node->GetChildrenCount(); i++) {
      if (i > 0) out->push_back(',');
      out->append(std::to_string(node->GetChild(i)->GetNodeId()));
    }
    out->push_back(']');
  }
  out->push_back('}');
}

static std::string written(const v8::CpuProfile *profile) {
  std::string out = "{\"nodes\":[";
  std::vector<const v8::CpuProfileNode *> waiting = {profile->GetTopDownRoot()};
  while (!waiting.empty()) {
    const v8::CpuProfileNode *node = waiting.back();
    waiting.pop_back();
    add_node(&out, node);
    for (int i = node->GetChildrenCount() - 1; i >= 0; i--) waiting.push_back(node->GetChild(i));
    if (!waiting.empty()) out.push_back(',');
  }
  out.append("],\"startTime\":" + std::to_string(profile->GetStartTime()) + ",\"endTime\":" +
             std::to_string(profile->GetEndTime()) + ",\"samples\":[");
  std::string deltas;
  int64_t before = profile->GetStartTime();
  for (int i = 0; i < profile->GetSamplesCount(); i++) {
    if (i > 0) {
      out.push_back(',');
      deltas.push_back(',');
    }
    out.append(std::to_string(profile->GetSample(i)->GetNodeId()));
    deltas.append(std::to_string(profile->GetSampleTimestamp(i) - before));
    before = profile->GetSampleTimestamp(i);
  }
  return out + "],\"timeDeltas\":[" + deltas + "]}";
}

static uint8_t *given(const std::string &text, size_t *count) {
  auto *out = static_cast<uint8_t *>(malloc(text.size() + 1));
  *count = out == nullptr ? 0 : text.size();
  if (out != nullptr) memcpy(out, text.data(), text.size());
  return out;
}

// Inside the isolate. V8 ends the process when a profiler goes whose profile is not finished: the thread that samples would go on.
void stop_profiler(cv8_isolate *isolate) {
  if (isolate->profiler == nullptr) return;
  v8::CpuProfile *unfinished = isolate->profiler->StopProfiling(v8::String::Empty(isolate->v8));
  if (unfinished != nullptr) unfinished->Delete();
  isolate->profiler->Dispose();
  isolate->profiler = nullptr;
}

class TextStream final : public v8::OutputStream {
 public:
  explicit TextStream(size_t limit) : limit_(limit) {}
  int GetChunkSize() override { return 64 * 1024; }
  void EndOfStream() override {}
  WriteResult WriteAsciiChunk(char *data, int size) override {
    if (text.size() + static_cast<size_t>(size) > limit_) {
      overflowed = true;
      return kAbort;
    }
    text.append(data, static_cast<size_t>(size));
    return kContinue;
  }
  std::string text;
  bool overflowed = false;

 private:
  const size_t limit_;
};

}  // namespace cv8

bool cv8_profile_start(cv8_isolate *isolate, int32_t interval_us) {
  if (isolate->profiler != nullptr) return false;
  cv8::Entered entered(isolate);
  isolate->profiler = v8::CpuProfiler::New(isolate->v8);
  isolate->profiler->SetSamplingInterval(interval_us);
  isolate->profiler->StartProfiling(v8::String::Empty(isolate->v8), v8::CpuProfilingOptions{});
  return true;
}

uint8_t *cv8_profile_stop(cv8_isolate *isolate, size_t *count) {
  *count = 0;
  if (isolate->profiler == nullptr) return nullptr;
  cv8::Entered entered(isolate);
  uint8_t *out = nullptr;
  v8::CpuProfile *profile = isolate->profiler->StopProfiling(v8::String::Empty(isolate->v8));
  if (profile != nullptr) {
    out = cv8::given(cv8::written(profile), count);
    profile->Delete();
  }
  cv8::stop_profiler(isolate);
  return out;
}

uint8_t *cv8_heap_snapshot(cv8_isolate *isolate, size_t limit, size_t *count) {
  *count = 0;
  cv8::Entered entered(isolate);
  const v8::HeapSnapshot *snapshot = isolate->v8->GetHeapProfiler()->TakeHeapSnapshot();
  if (snapshot == nullptr) return nullptr;
  cv8::TextStream stream(limit);
  snapshot->Serialize(&stream, v8::HeapSnapshot::kJSON);
  const_cast<v8::HeapSnapshot *>(snapshot)->Delete();
  return stream.overflowed ? nullptr : cv8::given(stream.text, count);
}
