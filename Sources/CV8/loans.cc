// Loans: memory of somebody else's that a script gets as an ArrayBuffer. It is charged to the isolate's quota and given
// back on the isolate's thread, whichever thread V8 lets go of it on.
#include "internal.h"

#include <algorithm>
#include <unordered_map>

namespace cv8 {

/// One loan, from cv8_call_lending until it was given back.
struct Loan {
  std::shared_ptr<LoanBook> book;  // V8 may let go of a buffer later than anything else here
  const cv8_loan terms;
  Loan *next = nullptr;
};

/// The loans of one isolate. Only `returned` is touched by V8's helper threads.
class LoanBook {
 public:
  std::unordered_map<const void *, Loan *> open;  // by the address of the first byte
  std::atomic<Loan *> returned{nullptr};
  size_t charged = 0;          // bytes of the quota
  size_t since_collected = 0;  // bytes charged since all garbage was collected
};

/// V8 let go of a buffer: on any thread.
static void give_back(void *, size_t, void *data) {
  Loan *loan = static_cast<Loan *>(data);
  LoanBook *book = loan->book.get();
  loan->next = book->returned.load(std::memory_order_relaxed);
  while (!book->returned.compare_exchange_weak(loan->next, loan, std::memory_order_release, std::memory_order_relaxed)) {
  }
}

void end_loans(cv8_isolate *isolate) {
  if (isolate->loans == nullptr || isolate->loans->returned.load(std::memory_order_relaxed) == nullptr) return;
  LoanBook &book = *isolate->loans;
  Loan *loan = book.returned.exchange(nullptr, std::memory_order_acquire);
  while (loan != nullptr) {
    Loan *next = loan->next;
    book.open.erase(loan->terms.bytes);
    const size_t freed = loan->terms.end(loan->terms.token);
    isolate->allocator->discharge(freed);
    book.charged -= freed;
    delete loan;
    loan = next;
  }
}

/// Whether the quota has room for a loan. Loans get one half of it, and those of a small part of a slab a quarter, so that a
/// script which keeps them has the rest for buffers of its own: copies of the same bytes, charged as what they are.
static bool has_room(cv8_isolate *isolate, const cv8_loan &terms) {
  LoanBook &book = *isolate->loans;
  const size_t charge = terms.charge;
  const size_t most = isolate->limits.external_bytes / (terms.count * 4 < charge ? 4 : 2);
  if (book.charged + charge > most && book.since_collected >= most / 2) {
    // Garbage may hold them. Not each time: a script may really keep them all.
    book.since_collected = 0;
    isolate->v8->LowMemoryNotification();
    end_loans(isolate);
  }
  return book.charged + charge <= most && isolate->allocator->charge(charge);
}

static v8::Local<v8::Uint8Array> lent_bytes(cv8_isolate *isolate, const cv8_loan &terms) {
  LoanBook &book = *isolate->loans;
  book.charged += terms.charge;
  book.since_collected += terms.charge;
  Loan *loan = new Loan{isolate->loans, terms};
  book.open[terms.bytes] = loan;
  std::unique_ptr<v8::BackingStore> store = v8::ArrayBuffer::NewBackingStore(terms.bytes, terms.count, give_back, loan);
  return v8::Uint8Array::New(v8::ArrayBuffer::New(isolate->v8, std::move(store)), 0, terms.count);
}

// MARK: young garbage

/// V8 counts buffers for its young generation, but collects it only when its own small objects fill it: a thousand chunks
/// later. Then each chunk would lie in other memory than the one before it, until the quota is full and everything is collected.
void note_young_bytes(cv8_isolate *isolate, size_t count) {
  isolate->young_bytes += count;
  if (isolate->young_bytes < std::min<size_t>(isolate->limits.external_bytes / 4, 2 << 20)) return;
  isolate->young_bytes = 0;
  const uint64_t before = isolate->scavenges;
  // What nobody holds fills the young generation; 4 MiB is more than it ever has.
  for (int i = 0; i < 256 && isolate->scavenges == before; i++) {
    v8::HandleScope scope(isolate->v8);
    v8::Array::New(isolate->v8, 2047);
  }
}

}  // namespace cv8

cv8_status cv8_call_lending(cv8_isolate *isolate, int32_t callee, const int32_t *integers, const cv8_loan *loan, bool *taken,
                            cv8_value *result, cv8_error **error) {
  *taken = false;
  if (cv8::stopped(isolate)) return CV8_TERMINATED;
  cv8::Reaper reaper{isolate};
  cv8::Entered entered(isolate);
  v8::TryCatch caught(isolate->v8);
  if (isolate->loans == nullptr) isolate->loans = std::make_shared<cv8::LoanBook>();
  cv8::end_loans(isolate);
  cv8::note_young_bytes(isolate, loan->charge > 0 ? loan->charge : loan->count);
  if (!cv8::has_room(isolate, *loan)) return CV8_RETURNED;
  *taken = true;
  v8::Local<v8::Value> values[4];
  for (int i = 0; i < 3; i++) values[i] = v8::Int32::New(isolate->v8, integers[i]);
  values[3] = cv8::lent_bytes(isolate, *loan);
  return cv8::invoke(isolate, entered.context, callee, values, 4, false, result, &caught, error);
}

bool cv8_argument_loan(cv8_call *call, int32_t index, cv8_loan *loan, cv8_bytes *bytes) {
  cv8_isolate *isolate = call->isolate;
  v8::Local<v8::Value> value = (*call->info)[index];
  if (isolate->loans == nullptr || isolate->loans->open.empty() || !value->IsArrayBufferView()) return false;
  v8::Local<v8::ArrayBufferView> view = value.As<v8::ArrayBufferView>();
  if (!view->HasBuffer() || view->ByteLength() == 0) return false;
  const std::shared_ptr<v8::BackingStore> store = view->Buffer()->GetBackingStore();
  const auto found = isolate->loans->open.find(store->Data());
  if (found == isolate->loans->open.end()) return false;
  *loan = found->second->terms;
  *bytes = {static_cast<const uint8_t *>(store->Data()) + view->ByteOffset(), view->ByteLength()};
  return true;
}
