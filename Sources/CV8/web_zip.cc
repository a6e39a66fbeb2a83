// Compression by zlib: gzip, zlib ("deflate") and raw deflate, in steps of bounded output.
#include "builtins.h"

#include <zlib.h>

namespace cv8 {

constexpr size_t kStep = 64 * 1024;

class Zip final : public Resource {
 public:
  ~Zip() override {
    if (compresses) deflateEnd(&stream); else inflateEnd(&stream);
  }
  z_stream stream{};
  bool compresses = false, ended = false;
  std::string input;  // what the last step has not taken
  size_t taken = 0;
};

/// zipOpen(format, compresses): format 0 gzip, 1 zlib, 2 raw.
static void zip_open(const Arguments &info) {
  static const int kBits[] = {15 + 16, 15, -15};
  const int32_t format = integer(info, 0);
  auto zip = std::make_unique<Zip>();
  zip->compresses = info[1]->IsTrue();
  const int bits = kBits[format >= 0 && format < 3 ? format : 0];
  const int status = zip->compresses ? deflateInit2(&zip->stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY)
                                     : inflateInit2(&zip->stream, bits);
  if (status != Z_OK) return throw_range_error(info.GetIsolate(), "no memory for a compressor");
  const size_t bytes = zip->compresses ? 268 * 1024 : 48 * 1024;
  Resource::give(info, zip.release(), kZip, bytes);
}

/// zipFeed(zip, bytes): gives it bytes, to be worked off by zipStep.
static void zip_feed(const Arguments &info) {
  auto *zip = static_cast<Zip *>(Resource::find(info, 0, kZip));
  Bytes bytes(info, 1);
  if (zip == nullptr || !bytes.ok()) return throw_type_error(info.GetIsolate(), "not a compressor and bytes");
  if (zip->ended && bytes.size() > 0) return throw_type_error(info.GetIsolate(), "there are bytes behind the end of the compressed data");
  zip->input.erase(0, zip->taken);
  zip->taken = 0;
  zip->input.append(reinterpret_cast<const char *>(bytes.data()), bytes.size());
}

/// zipStep(zip, last): up to 64 KiB of output; null when more input is wanted, or (with `last`) when all is done.
static void zip_step(const Arguments &info) {
  auto *zip = static_cast<Zip *>(Resource::find(info, 0, kZip));
  if (zip == nullptr) return throw_type_error(info.GetIsolate(), "not a compressor");
  info.GetReturnValue().SetNull();
  const bool last = info[1]->IsTrue();
  if (zip->ended) return;
  std::string out(kStep, 0);
  z_stream &stream = zip->stream;
  stream.next_in = reinterpret_cast<uint8_t *>(zip->input.data()) + zip->taken;
  stream.avail_in = static_cast<uInt>(zip->input.size() - zip->taken);
  stream.next_out = reinterpret_cast<uint8_t *>(out.data());
  stream.avail_out = kStep;
  const int status = zip->compresses ? deflate(&stream, last ? Z_FINISH : Z_NO_FLUSH) : inflate(&stream, Z_NO_FLUSH);
  zip->taken = zip->input.size() - stream.avail_in;
  const size_t made = kStep - stream.avail_out;
  if (status == Z_STREAM_END) {
    zip->ended = true;
    if (stream.avail_in > 0) return throw_type_error(info.GetIsolate(), "there are bytes behind the end of the compressed data");
  } else if (status != Z_OK && status != Z_BUF_ERROR) {
    return throw_type_error(info.GetIsolate(), "the compressed data is damaged");
  } else if (last && !zip->compresses && made == 0) {
    return throw_type_error(info.GetIsolate(), "the compressed data is cut short");
  }
  if (made > 0) give_bytes(info, reinterpret_cast<const uint8_t *>(out.data()), made);
}

const Builtin zip_builtins[] = {{"zipOpen", zip_open}, {"zipFeed", zip_feed}, {"zipStep", zip_step}, {nullptr, nullptr}};

}  // namespace cv8
