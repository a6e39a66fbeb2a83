// Text by ICU: domain names (UTS 46) and the legacy encodings of the Encoding standard; base64.
#include "builtins.h"

#include <unicode/ucnv.h>
#include <unicode/ucnv_cb.h>
#include <unicode/uidna.h>

namespace cv8 {

/// Characters between two looks whether the call was stopped: its text may be as long as the heap allows.
constexpr size_t kBetweenLooks = 3 << 16;

// MARK: domain names

/// Processing as the URL standard wants it ("domain to ASCII", beStrict false).
static const UIDNA *idna() {
  static UIDNA *shared = [] {
    UErrorCode error = U_ZERO_ERROR;
    UIDNA *made = uidna_openUTS46(
        UIDNA_CHECK_BIDI | UIDNA_CHECK_CONTEXTJ | UIDNA_NONTRANSITIONAL_TO_ASCII | UIDNA_NONTRANSITIONAL_TO_UNICODE, &error);
    return U_SUCCESS(error) ? made : nullptr;
  }();
  return shared;
}

constexpr uint32_t kIgnored = UIDNA_ERROR_EMPTY_LABEL | UIDNA_ERROR_LABEL_TOO_LONG | UIDNA_ERROR_DOMAIN_NAME_TOO_LONG |
                              UIDNA_ERROR_LEADING_HYPHEN | UIDNA_ERROR_TRAILING_HYPHEN | UIDNA_ERROR_HYPHEN_3_4;

/// domainToASCII(text): the domain, or null when it is none.
static void domain_to_ascii(const Arguments &info) {
  info.GetReturnValue().SetNull();
  if (!info[0]->IsString() || idna() == nullptr) return;
  v8::Local<v8::String> string = info[0].As<v8::String>();
  if (string->Length() > 4096) return;
  std::u16string domain(static_cast<size_t>(string->Length()), 0);
  string->Write(info.GetIsolate(), reinterpret_cast<uint16_t *>(domain.data()), 0, string->Length(),
                v8::String::NO_NULL_TERMINATION);
  std::u16string out(domain.size() * 8 + 256, 0);
  UIDNAInfo details = UIDNA_INFO_INITIALIZER;
  UErrorCode error = U_ZERO_ERROR;
  const int32_t count = uidna_nameToASCII(idna(), domain.data(), static_cast<int32_t>(domain.size()), out.data(),
                                          static_cast<int32_t>(out.size()), &details, &error);
  if (U_FAILURE(error) || (details.errors & ~kIgnored) != 0) return;
  v8::Local<v8::String> result;
  if (v8::String::NewFromTwoByte(info.GetIsolate(), reinterpret_cast<const uint16_t *>(out.data()),
                                 v8::NewStringType::kNormal, count).ToLocal(&result)) {
    info.GetReturnValue().Set(result);
  }
}

// MARK: legacy encodings

class Decoder final : public Resource {
 public:
  explicit Decoder(UConverter *converter) : converter(converter) {}
  ~Decoder() override { ucnv_close(converter); }
  UConverter *const converter;
};

/// One U+FFFD for what is not of the encoding; ICU would write U+001A for some.
static void substitute(const void *, UConverterToUnicodeArgs *arguments, const char *, int32_t, UConverterCallbackReason reason,
                       UErrorCode *error) {
  if (reason > UCNV_IRREGULAR) return;
  *error = U_ZERO_ERROR;
  static const UChar replacement = 0xfffd;
  ucnv_cbToUWriteUChars(arguments, &replacement, 1, 0, error);
}

/// decoderOpen(name, fatal): a decoder, or null when ICU does not know the encoding.
static void decoder_open(const Arguments &info) {
  UErrorCode error = U_ZERO_ERROR;
  UConverter *converter = ucnv_open(text(info, 0).c_str(), &error);
  if (U_FAILURE(error) || converter == nullptr) return info.GetReturnValue().SetNull();
  ucnv_setToUCallBack(converter, info[1]->IsTrue() ? UCNV_TO_U_CALLBACK_STOP : substitute, nullptr,
                      nullptr, nullptr, &error);
  Resource::give(info, new Decoder(converter), kDecoder, 1024);
}

/// decoderDecode(decoder, bytes, last): text, or null for bytes that are not of the encoding (when fatal).
static void decoder_decode(const Arguments &info) {
  info.GetReturnValue().SetNull();
  auto *decoder = static_cast<Decoder *>(Resource::find(info, 0, kDecoder));
  Bytes bytes(info, 1);
  if (decoder == nullptr || !bytes.ok()) return;
  const char *source = reinterpret_cast<const char *>(bytes.data()), *end = source + bytes.size();
  std::u16string out;
  const bool last = info[2]->IsTrue();
  UErrorCode error = U_ZERO_ERROR;
  do {
    const size_t before = out.size();
    out.resize(before + std::max<size_t>(std::min(bytes.size(), kBetweenLooks), 64) + 16);
    char16_t *target = out.data() + before;
    error = U_ZERO_ERROR;
    ucnv_toUnicode(decoder->converter, &target, out.data() + out.size(), &source, end, nullptr, last, &error);
    out.resize(static_cast<size_t>(target - out.data()));
  } while (error == U_BUFFER_OVERFLOW_ERROR && !stopped(owner(info.GetIsolate())));
  if (U_FAILURE(error) || last) ucnv_resetToUnicode(decoder->converter);
  v8::Local<v8::String> result;
  if (U_SUCCESS(error) && v8::String::NewFromTwoByte(info.GetIsolate(), reinterpret_cast<const uint16_t *>(out.data()),
                                                     v8::NewStringType::kNormal, static_cast<int>(out.size())).ToLocal(&result)) {
    info.GetReturnValue().Set(result);
  }
}

/// utf16Text(bytes, bigEndian): the code units of whole pairs of bytes, lone surrogates as they are.
static void utf16_text(const Arguments &info) {
  Bytes bytes(info, 0);
  std::u16string units(bytes.size() / 2, 0);
  const bool big = info[1]->IsTrue();
  for (size_t i = 0; i < units.size(); i++) {
    const uint8_t a = bytes.data()[2 * i], b = bytes.data()[2 * i + 1];
    units[i] = static_cast<char16_t>(big ? a << 8 | b : b << 8 | a);
  }
  v8::Local<v8::String> result;
  if (v8::String::NewFromTwoByte(info.GetIsolate(), reinterpret_cast<const uint16_t *>(units.data()),
                                 v8::NewStringType::kNormal, static_cast<int>(units.size())).ToLocal(&result)) {
    info.GetReturnValue().Set(result);
  }
}

// MARK: base64

static const char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// base64(text): of the characters as bytes; null when one is above U+00FF.
static void base64(const Arguments &info) {
  info.GetReturnValue().SetNull();
  if (!info[0]->IsString()) return;
  v8::Local<v8::String> string = info[0].As<v8::String>();
  if (!string->ContainsOnlyOneByte()) return;
  std::string in(static_cast<size_t>(string->Length()), 0), out;
  string->WriteOneByte(info.GetIsolate(), reinterpret_cast<uint8_t *>(in.data()), 0, string->Length(),
                       v8::String::NO_NULL_TERMINATION);
  out.reserve(in.size() * 4 / 3 + 4);
  const cv8_isolate *isolate = owner(info.GetIsolate());
  for (size_t i = 0; i < in.size(); i += 3) {
    if (i % kBetweenLooks == 0 && stopped(isolate)) return;
    const size_t left = in.size() - i;
    const uint32_t bits = static_cast<uint8_t>(in[i]) << 16 | (left > 1 ? static_cast<uint8_t>(in[i + 1]) << 8 : 0) |
                          (left > 2 ? static_cast<uint8_t>(in[i + 2]) : 0);
    out += kAlphabet[bits >> 18];
    out += kAlphabet[bits >> 12 & 63];
    out += left > 1 ? kAlphabet[bits >> 6 & 63] : '=';
    out += left > 2 ? kAlphabet[bits & 63] : '=';
  }
  v8::Local<v8::String> result;
  if (latin1_string(info.GetIsolate(), {reinterpret_cast<const uint8_t *>(out.data()), out.size()}).ToLocal(&result)) {
    info.GetReturnValue().Set(result);
  }
}

static int digit_value(uint16_t character) {
  if (character >= 'A' && character <= 'Z') return character - 'A';
  if (character >= 'a' && character <= 'z') return character - 'a' + 26;
  if (character >= '0' && character <= '9') return character - '0' + 52;
  return character == '+' ? 62 : character == '/' ? 63 : -1;
}

/// unbase64(text): "forgiving-base64 decode" of the Infra standard, one character for each byte; null when it is none.
static void unbase64(const Arguments &info) {
  info.GetReturnValue().SetNull();
  if (!info[0]->IsString()) return;
  v8::String::Value source(info.GetIsolate(), info[0]);
  const cv8_isolate *isolate = owner(info.GetIsolate());
  std::string digits, out;
  digits.reserve(static_cast<size_t>(source.length()));
  for (int i = 0; i < source.length(); i++) {
    if (static_cast<size_t>(i) % kBetweenLooks == 0 && stopped(isolate)) return;
    const uint16_t character = (*source)[i];
    if (character == ' ' || character == '\t' || character == '\n' || character == '\f' || character == '\r') continue;
    if (character > 127) return;
    digits += static_cast<char>(character);
  }
  // Filling is filling only where it fills up: "ab=" is none.
  const bool filled = digits.size() % 4 == 0;
  for (int i = 0; i < 2 && filled && !digits.empty() && digits.back() == '='; i++) digits.pop_back();
  if (digits.size() % 4 == 1) return;
  uint32_t bits = 0;
  int held = 0;
  out.reserve(digits.size() * 3 / 4);
  for (const char digit : digits) {
    if (out.size() % kBetweenLooks == 0 && stopped(isolate)) return;
    const int value = digit_value(static_cast<uint8_t>(digit));
    if (value < 0) return;
    bits = bits << 6 | static_cast<uint32_t>(value);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    out += static_cast<char>(bits >> held & 255);
  }
  v8::Local<v8::String> result;
  if (latin1_string(info.GetIsolate(), {reinterpret_cast<const uint8_t *>(out.data()), out.size()}).ToLocal(&result)) {
    info.GetReturnValue().Set(result);
  }
}

const Builtin text_builtins[] = {
    {"domainToASCII", domain_to_ascii}, {"decoderOpen", decoder_open}, {"decoderDecode", decoder_decode},
    {"utf16Text", utf16_text},          {"base64", base64},            {"unbase64", unbase64},
    {nullptr, nullptr},
};

}  // namespace cv8
