// The protocol of Chrome's DevTools for one isolate. Sessions are numbers, messages are JSON in UTF-8; who carries them
// is Swift's business. While a script stands at a breakpoint its turn's clocks stand still.
#include "internal.h"

#include <map>
#include <v8-inspector.h>

namespace cv8 {
namespace {

constexpr int kGroup = 1;
constexpr size_t kSessions = 8;
// What a developer evaluates may run this long: an endless loop must not cost the session.
constexpr uint64_t kEvaluationCPU = 5000000000u, kEvaluationWall = 60000000000u;

std::string ascii_text(const v8_inspector::StringView &view) {
  // V8 escapes what is not ASCII; what it should miss is escaped here, which JSON allows inside strings only.
  std::string out;
  out.reserve(view.length());
  for (size_t i = 0; i < view.length(); i++) {
    const uint16_t unit = view.is8Bit() ? view.characters8()[i] : view.characters16()[i];
    if (unit < 128) {
      out.push_back(static_cast<char>(unit));
    } else {
      char escaped[8];
      snprintf(escaped, sizeof escaped, "\\u%04x", unit);
      out.append(escaped);
    }
  }
  return out;
}

v8_inspector::StringView view_of(const std::string &text) {
  return v8_inspector::StringView(reinterpret_cast<const uint8_t *>(text.data()), text.size());
}

/// `/a b.js` is `file:///a%20b.js`.
std::string file_url(const std::string &path) {
  std::string out = "file://";
  for (const char character : path) {
    const auto byte = static_cast<unsigned char>(character);
    const bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
                       std::string("/-._~!$&'()*+,;=:@").find(character) != std::string::npos;
    char escaped[4];
    snprintf(escaped, sizeof escaped, "%%%02X", byte);
    if (plain) out.push_back(character); else out.append(escaped);
  }
  return out;
}

// The methods of `console` that DevTools show.
const char *const kConsole[] = {"debug", "error", "info", "log", "warn", "dir", "dirxml", "table", "trace", "group", "groupCollapsed",
                                "groupEnd", "clear", "count", "countReset", "assert", "time", "timeLog", "timeEnd"};

/// A call of `console.x` of the Web API: told to DevTools, then done as without them.
void console_call(const v8::FunctionCallbackInfo<v8::Value> &info) {
  v8::Isolate *isolate = info.GetIsolate();
  v8::Local<v8::Context> context = isolate->GetCurrentContext();
  v8::Local<v8::Array> both = info.Data().As<v8::Array>();
  std::vector<v8::Local<v8::Value>> arguments;
  for (int i = 0; i < info.Length(); i++) arguments.push_back(info[i]);
  v8::Local<v8::Value> shown, written, receiver, result;
  if (!both->Get(context, 0).ToLocal(&shown) || !both->Get(context, 1).ToLocal(&written) || !both->Get(context, 2).ToLocal(&receiver)) return;
  // A termination while V8 describes the arguments ends the process (a CHECK in ValueMirror::getProperties): none may come.
  cv8_isolate *const known = owner(isolate);
  hold_turn(known);
  if (!stopped(known)) {
    v8::TryCatch ignored(isolate);
    (void)shown.As<v8::Function>()->Call(context, receiver, info.Length(), arguments.data());
  }
  release_turn(known);
  if (written.As<v8::Function>()->Call(context, info.This(), info.Length(), arguments.data()).ToLocal(&result)) info.GetReturnValue().Set(result);
}

/// V8 keeps a `console` of its own for inspectors; ours took its place on the global object.
void show_console(v8::Isolate *isolate, v8::Local<v8::Context> context) {
  v8::Context::Scope scope(context);
  v8::TryCatch ignored(isolate);
  v8::Local<v8::String> name = v8::String::NewFromUtf8Literal(isolate, "console");
  v8::Local<v8::Value> theirs, ours;
  if (!context->GetExtrasBindingObject()->Get(context, name).ToLocal(&theirs) || !theirs->IsObject() ||
      !context->Global()->Get(context, name).ToLocal(&ours) || !ours->IsObject() || ours->StrictEquals(theirs)) {
    return;
  }
  for (const char *method : kConsole) {
    v8::Local<v8::String> key = v8::String::NewFromUtf8(isolate, method).ToLocalChecked();
    v8::Local<v8::Value> shown, written;
    v8::Local<v8::Function> wrapper;
    if (!theirs.As<v8::Object>()->Get(context, key).ToLocal(&shown) || !shown->IsFunction() ||
        !ours.As<v8::Object>()->Get(context, key).ToLocal(&written) || !written->IsFunction()) {
      continue;
    }
    v8::Local<v8::Value> items[] = {shown, written, theirs};
    v8::Local<v8::Array> data = v8::Array::New(isolate, items, 3);
    if (!v8::Function::New(context, console_call, data, 0, v8::ConstructorBehavior::kThrow).ToLocal(&wrapper)) continue;
    wrapper->SetName(key);
    (void)ours.As<v8::Object>()->DefineOwnProperty(context, key, wrapper);
  }
}

}  // namespace

/// One client.
struct InspectorSession final : v8_inspector::V8Inspector::Channel {
  InspectorSession(Inspector *owner, int32_t number) : owner(owner), number(number) {}
  void sendResponse(int, std::unique_ptr<v8_inspector::StringBuffer> message) override { send(message->string()); }
  void sendNotification(std::unique_ptr<v8_inspector::StringBuffer> message) override { send(message->string()); }
  void flushProtocolNotifications() override {}
  void send(const v8_inspector::StringView &message);

  Inspector *const owner;
  const int32_t number;
  int dispatching = 0;
  bool gone = false;
  std::unique_ptr<v8_inspector::V8InspectorSession> session;
};

class Inspector final : public v8_inspector::V8InspectorClient {
 public:
  Inspector(cv8_isolate *isolate, const cv8_inspector_host &host, std::string base)
      : isolate_(isolate), host_(host), base_(std::move(base)), inspector_(v8_inspector::V8Inspector::create(isolate->v8, this)) {}
  ~Inspector() override {
    sessions_.clear();
    inspector_.reset();
    host_.release(host_.context);
  }

  void context_made(v8::Local<v8::Context> context) {
    const std::string name = std::string("function ") + isolate_->name;
    const std::string details = "{\"isDefault\":true,\"type\":\"default\"}";
    v8_inspector::V8ContextInfo info(context, kGroup, view_of(name));
    info.auxData = view_of(details);
    inspector_->contextCreated(info);
    show_console(isolate_->v8, context);
  }
  void context_gone(v8::Local<v8::Context> context) { inspector_->contextDestroyed(context); }

  bool connect(int32_t number) {
    if (sessions_.size() >= kSessions || sessions_.count(number) != 0) return false;
    auto session = std::make_unique<InspectorSession>(this, number);
    session->session = inspector_->connect(kGroup, session.get(), v8_inspector::StringView());
    sessions_[number] = std::move(session);
    return true;
  }

  void disconnect(int32_t number) {
    const auto found = sessions_.find(number);
    if (found == sessions_.end()) return;
    InspectorSession *session = found->second.get();
    session->gone = true;
    // A message of its own stands on the stack, paused: it is let go on, and freed when it has ended.
    if (session->dispatching == 0) sessions_.erase(found); else run(session, "{\"id\":0,\"method\":\"Debugger.disable\"}");
  }

  void dispatch(int32_t number, cv8_bytes message) {
    const auto found = sessions_.find(number);
    if (found == sessions_.end() || found->second->gone) return;
    InspectorSession *session = found->second.get();
    v8::Local<v8::String> text;
    if (!utf8_string(isolate_->v8, message).ToLocal(&text)) return;
    std::vector<uint16_t> units(static_cast<size_t>(text->Length()));
    text->Write(isolate_->v8, units.data(), 0, static_cast<int>(units.size()), v8::String::NO_NULL_TERMINATION);
    session->dispatching++;
    session->session->dispatchProtocolMessage(v8_inspector::StringView(units.data(), units.size()));
    end_dispatch(session);
  }

  bool paused() const { return paused_; }
  bool has_clients() const { return !sessions_.empty(); }
  cv8_isolate *isolate() const { return isolate_; }
  void send(int32_t session, const std::string &text) const {
    host_.send(host_.context, session, {reinterpret_cast<const uint8_t *>(text.data()), text.size()});
  }

  // MARK: what V8 asks

  void runMessageLoopOnPause(int) override {
    if (paused_) return;
    paused_ = true;
    hold_turn(isolate_);
    while (paused_ && !sessions_.empty()) host_.pause(host_.context);
    paused_ = false;
    release_turn(isolate_);
  }
  void quitMessageLoopOnPause() override { paused_ = false; }
  v8::Local<v8::Context> ensureDefaultContextInGroup(int) override { return isolate_->context.Get(isolate_->v8); }
  double currentTimeMS() override { return platform()->CurrentClockTimeMillis(); }
  std::unique_ptr<v8_inspector::StringBuffer> resourceNameToUrl(const v8_inspector::StringView &name) override {
    std::string text;
    for (size_t i = 0; i < name.length(); i++) {
      const uint16_t unit = name.is8Bit() ? name.characters8()[i] : name.characters16()[i];
      if (unit > 127) return nullptr;
      text.push_back(static_cast<char>(unit));
    }
    if (text.empty() || text.find(':') != std::string::npos) return nullptr;
    const std::string url = file_url(text[0] == '/' ? text : base_ + "/" + text);
    return v8_inspector::StringBuffer::create(view_of(url));
  }

 private:
  void run(InspectorSession *session, const char *message) {
    session->dispatching++;
    session->session->dispatchProtocolMessage(view_of(message));
    end_dispatch(session);
  }
  void end_dispatch(InspectorSession *session) {
    session->dispatching--;
    if (session->gone && session->dispatching == 0) sessions_.erase(session->number);
  }

  cv8_isolate *const isolate_;
  const cv8_inspector_host host_;
  const std::string base_;
  std::unique_ptr<v8_inspector::V8Inspector> inspector_;
  std::map<int32_t, std::unique_ptr<InspectorSession>> sessions_;
  bool paused_ = false;
};

void InspectorSession::send(const v8_inspector::StringView &message) {
  if (!gone) owner->send(number, ascii_text(message));
}

void inspector_context_made(cv8_isolate *isolate, v8::Local<v8::Context> context) {
  if (isolate->inspector != nullptr) isolate->inspector->context_made(context);
}

void inspector_context_gone(cv8_isolate *isolate, v8::Local<v8::Context> context) {
  if (isolate->inspector != nullptr) isolate->inspector->context_gone(context);
}

void inspector_allowance(const cv8_isolate *isolate, uint64_t *cpu_ns, uint64_t *wall_ns) {
  if (isolate->inspector == nullptr || !isolate->inspector->has_clients()) return;
  *cpu_ns += kEvaluationCPU;
  *wall_ns += kEvaluationWall;
}

void close_inspector(cv8_isolate *isolate) {
  Inspector *inspector = isolate->inspector;
  isolate->inspector = nullptr;
  delete inspector;
}

}  // namespace cv8

bool cv8_inspector_open(cv8_isolate *isolate, cv8_bytes base, const cv8_inspector_host *host) {
  if (isolate->inspector != nullptr) return false;
  cv8::Entered entered(isolate);
  isolate->inspector = new cv8::Inspector(isolate, *host, std::string(reinterpret_cast<const char *>(base.bytes), base.count));
  isolate->inspector->context_made(entered.context);
  return true;
}

bool cv8_inspector_connect(cv8_isolate *isolate, int32_t session) {
  if (isolate->inspector == nullptr) return false;
  cv8::Entered entered(isolate);
  return isolate->inspector->connect(session);
}

void cv8_inspector_disconnect(cv8_isolate *isolate, int32_t session) {
  if (isolate->inspector == nullptr) return;
  cv8::Entered entered(isolate);
  isolate->inspector->disconnect(session);
}

void cv8_inspector_dispatch(cv8_isolate *isolate, int32_t session, cv8_bytes message) {
  if (isolate->inspector == nullptr) return;
  cv8::Reaper reaper{isolate};
  // At a breakpoint the turn that is open stands still, and this is a stretch of its own beside it.
  const bool inside = isolate->turn.open;
  cv8::Turn held;
  cv8_turn turn;
  if (inside) {
    held = cv8::begin_aside(isolate, cv8::kEvaluationCPU, cv8::kEvaluationWall);
  } else {
    cv8_turn_begin(isolate, 0, 0, 0);  // the allowance is the limit
  }
  {
    cv8::Entered entered(isolate);
    isolate->inspector->dispatch(session, message);
    if (!inside && !cv8::stopped(isolate)) cv8::drain_microtasks(isolate);
  }
  if (inside) cv8::end_aside(isolate, held); else cv8_turn_end(isolate, &turn);
}

bool cv8_inspector_is_paused(const cv8_isolate *isolate) { return isolate->inspector != nullptr && isolate->inspector->paused(); }
